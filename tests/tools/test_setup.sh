#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Does tools/setup call apt when it must, and only then? It runs on a system made of stand-ins: a PATH on which gcc, apt-get,
# sudo, id and the others are two-line scripts that write down how they were called.
set -u
root=$1
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
number=0
result=0
bin=$folder/bin
mkdir "$bin" "$folder/libraries"

stand_in() { # stand_in NAME < BODY
    { echo '#!/bin/sh' && cat; } >"$bin/$1" && chmod +x "$bin/$1"
}

# A system where everything is there, and a user's number.
system() { # system UID
    rm -f "$bin"/* "$folder"/libraries/* "$folder/calls"
    touch "$folder/calls"
    for tool in sh sort tr cat touch; do
        ln -s "$(command -v $tool)" "$bin/$tool"
    done
    for tool in gcc g++ meson ninja clang clang-format; do
        echo exit 0 | stand_in $tool
    done
    touch "$folder/libraries/yaml-0.1" "$folder/libraries/zlib" "$folder/libraries/simdjson" "$folder/libraries/cmocka"
    echo "[ -e '$folder/libraries/'\$2 ]" | stand_in pkg-config
    echo "echo $1" | stand_in id
    echo "echo apt-get \$* >>'$folder/calls'; touch '$folder/libraries/yaml-0.1'" | stand_in apt-get
}

# expect NAME STATUS CALLS OUTPUT SET...: run it, and compare exit status, calls, and the last line said.
expect() {
    name=$1 status=$2 calls=$3 output=$4
    shift 4
    number=$((number + 1))
    PATH=$bin "$root/tools/setup" "$@" >"$folder/out" 2>&1 </dev/null
    found="$?|$(cat "$folder/calls")|$(tail -n 1 "$folder/out")"
    if [ "$found" = "$status|$calls|$output" ]; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        printf '%s\n' "expected: $status|$calls|$output" "found: $found" | sed 's/^/# /'
        result=1
    fi
}

install="apt-get install -y --no-install-recommends"
both="apt-get update -q
$install libyaml-dev -q -o DPkg::Lock::Timeout=120"

echo 1..9
system 0
expect "nothing is missing: apt is not called" 0 "" "" build test format lint
system 1000
rm "$folder/libraries/cmocka"
expect "what the set does not need may be missing" 0 "" ""
expect "without root and sudo: one line to type" 1 "" "apt-get update && $install libcmocka-dev" test
rm "$bin/gcc" "$bin/pkg-config"
expect "without pkg-config no library is known" 1 "" \
    "apt-get update && $install gcc libcmocka-dev libsimdjson-dev libyaml-dev pkg-config zlib1g-dev" build test
system 0
rm "$folder/libraries/yaml-0.1"
expect "root installs what is missing" 0 "$both" "installing what is missing: libyaml-dev" build
system 0
rm "$folder/libraries/zlib" "$bin/apt-get"
expect "no apt: one line to type" 1 "" "apt-get update && $install zlib1g-dev" build
system 0
rm "$folder/libraries/zlib"
expect "an installation that brings nothing is an error" 1 "apt-get update -q
$install zlib1g-dev -q -o DPkg::Lock::Timeout=120" "tools/setup: installed, and still not to be found: zlib1g-dev " build
system 1000
rm "$folder/libraries/yaml-0.1"
stand_in sudo <<'S'
if [ "$1" = -n ]; then exit 0; fi
"$@"
S
expect "sudo that asks nothing is used" 0 "$both" "installing what is missing: libyaml-dev" build
system 0
expect "an unknown set" 2 "" "tools/setup: there is no set 'tests': build, test, format or lint" tests
exit $result
