#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Does tools/run-tests count what it should? A small Meson project of shell scripts that pass, fail, skip, die, stop
# early, say nothing and hang is run with it, and the sums are compared.
set -u
root=$1
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
number=0
result=0

check() { # check NAME EXPECTED FOUND
    number=$((number + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $number - $1"
    else
        printf 'not ok %s - %s\n# expected: %s\n# found:    %s\n' "$number" "$1" "$2" "$3"
        result=1
    fi
}

# script NAME TIMEOUT < SCRIPT: one more program of the project.
script() {
    cat >"$folder/$1" && chmod +x "$folder/$1"
    echo "test('$1', find_program('./$1'), protocol: 'tap', timeout: $2)" >>"$folder/meson.build"
}

# count NAME: the exit status and the last line of a run of this one program.
count() {
    MESON_TEST_ARGS=${1:-} "$root/tools/run-tests" "$folder/build" >"$folder/out" 2>/dev/null </dev/null
    echo "$? $(tail -n 1 "$folder/out")"
}

echo "project('t')" >"$folder/meson.build"
script well 30 <<'S'
#!/bin/sh
echo 1..2; echo "ok 1 - a"; echo "ok 2 - b"
S
script fails 30 <<'S'
#!/bin/sh
echo 1..2; echo "ok 1 - a"; echo "not ok 2 - b"; exit 1
S
script lies 30 <<'S'
#!/bin/sh
echo 1..2; echo "ok 1 - a"; echo "not ok 2 - b"
S
script skips 30 <<'S'
#!/bin/sh
echo 1..3; echo "not ok 1 # SKIP a"; echo "ok 2 - b"; echo "ok 3 - c # SKIP no data"
S
script groups 30 <<'S'
#!/bin/sh
echo 1..1; echo "ok 1 - a"; echo 1..2; echo "ok 1 - b"; echo "ok 2 - c"
S
script dies 30 <<'S'
#!/bin/sh
echo 1..3; echo "ok 1 - a"; kill -s SEGV $$
S
script early 30 <<'S'
#!/bin/sh
echo 1..2; echo "ok 1 - a"
S
script leaks 30 <<'S'
#!/bin/sh
echo 1..1; echo "ok 1 - a"; exit 23
S
script silent 30 <<'S'
#!/bin/sh
exit 0
S
# Hangs by reading from a pipe that nobody writes to.
script hangs 1 <<'S'
#!/bin/sh
echo 1..2; echo "ok 1 - a"; mkfifo "$0.pipe"; exec 3<>"$0.pipe"; read -r never <&3
S
meson setup "$folder/build" "$folder" >/dev/null || exit 1

echo 1..11
check "all well" "0 2 passed, 0 failed" "$(count well)"
check "a failed check" "1 1 passed, 1 failed" "$(count fails)"
check "a failed check, exit status 0" "1 1 passed, 1 failed" "$(count lies)"
check "skipped checks, as cmocka and as TAP say it" "0 1 passed, 0 failed, 2 skipped" "$(count skips)"
check "two groups of checks in a program" "0 3 passed, 0 failed" "$(count groups)"
check "dies in the middle" "1 1 passed, 2 failed" "$(count dies)"
check "stops early with exit status 0" "1 1 passed, 1 failed" "$(count early)"
check "fails after its checks (a leak found at exit)" "1 1 passed, 1 failed" "$(count leaks)"
check "says nothing" "1 0 passed, 1 failed" "$(count silent)"
check "runs out of time" "1 1 passed, 1 failed" "$(count hangs)"
check "all of them" "1 12 passed, 8 failed, 2 skipped" "$(count)"
exit $result
