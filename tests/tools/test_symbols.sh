#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: test_symbols.sh LIBRARY ROOT COMPILER...
# What the shared library shows to a program: all that the public headers declare, and no name without pil_ that could clash
# with one of the program's own.
set -u
library=$1
include=$2/include
shift 2
symbols=$(nm -D --defined-only "$library") || { echo "Bail out! nm cannot read $library" && exit 1; }
# nm prints address, kind, name; the version's own entry is absolute, kind A.
exported=$(echo "$symbols" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
# A declaration is what stands before a semicolon; PIL_API has become the attribute. The function's name is the first one before
# a bracket that opens no pointer to a function.
declared=$(echo '#include "pilaster.h"' | "$@" -E -P -x c -I"$include" - | tr '\n;' ' \n' | awk '
    sub(/.*visibility\("default"\)/, "") && match($0, /pil_[a-z0-9_]+ *\([^*]/) {
        name = substr($0, RSTART, RLENGTH)
        sub(/ *\(.*/, "", name)
        print name
    }' | sort -u)
number=0
result=0

check() { # check NAME FAULTS: passes where there are none
    number=$((number + 1))
    if [ -z "$2" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        echo "$2" | sed 's/^/# /'
        result=1
    fi
}

echo 1..3
check "only names with pil_ are exported" "$([ -n "$exported" ] || echo nothing is exported; echo "$exported" | grep -v '^pil_')"
check "what the headers declare is exported" "$([ -n "$declared" ] || echo nothing is declared
    for name in $declared; do echo "$exported" | grep -qx "$name" || echo "$name"; done)"
# Programs are linked with the interface's version, never with a file that the next release replaces.
check "the library's name carries its interface's version" \
    "$(readelf -d "$library" | grep -q 'SONAME.*\[libpilaster\.so\.[0-9]*\]' || readelf -d "$library")"
exit $result
