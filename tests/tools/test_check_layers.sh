#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Does tools/check-layers find what it should? In a tree that keeps the rules one file is replaced at a time by one that
# breaks exactly one of them, and the place and the reason must be told.
set -u
root=$1
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
number=0
result=0

report() { # report NAME YES-OR-NO
    number=$((number + 1))
    if [ "$2" = yes ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        sed 's/^/# /' "$folder/out"
        result=1
    fi
}

# breaks NAME FILE INCLUDE REASON: the file with this include alone must fail, at line 2, for this reason.
breaks() {
    cp -r "$folder/good" "$folder/bad"
    mkdir -p "$(dirname "$folder/bad/$2")"
    printf '/* one */\n#include %s\n' "$3" >"$folder/bad/$2"
    if "$root/tools/check-layers" "$folder/bad" >"$folder/out"; then
        report "$1" no
    elif [ "$(grep -c '^not ok' "$folder/out")" = 1 ] && grep -qF "# $2:2: $4" "$folder/out"; then
        report "$1" yes
    else
        report "$1" no
    fi
    rm -rf "$folder/bad"
}

mkdir -p "$folder/good/src/base" "$folder/good/src/op" "$folder/good/src/graph" "$folder/good/include/pilaster"
cd "$folder/good" || exit 1
printf '#include <stdint.h>\n#include "pilaster/status.h"\n' >src/base/base.h
printf '#include "base/json.h"\n' >src/base/json.cc
printf '#include "base.h"\n  #  include "base/json.h"\n' >src/base/status.c
printf '#include "base/base.h"\n#include "base/json.h"\n#include "op_rows.h"\n#include "op/op_rows.h"\n' >src/op/op.c
printf '#include "base/base.h"\n' >src/op/op.h
printf '#include "op/op.h"\n#include "internal.h"\n#include "pilaster.h"\n' >src/graph/plan.c
printf '#include "graph/plan.h"\n' >src/graph/internal.h
printf '#include "pilaster/status.h"\n#include "status.h"\n#include <stddef.h>\n' >include/pilaster/op.h
touch include/pilaster/status.h

echo 1..11
if "$root/tools/check-layers" "$folder/good" >"$folder/out"; then report "a tree that keeps the rules" yes; else
    report "a tree that keeps the rules" no; fi
breaks "a higher room" src/op/math.c '"graph/graph.h"' 'op (level 3) must not include graph (level 4)'
breaks "a room of the same level" src/op/math.c '"format/format.h"' 'op (level 3) must not include format (level 3)'
breaks "a private header" src/graph/plan.c '"op/internal.h"' '"op/internal.h" is private to op'
breaks "the rows of another room" src/graph/plan.c '"op/op_rows.h"' '"op/op_rows.h" is private to op'
breaks "a relative path" src/op/math.c '"../base/base.h"' '"../base/base.h" goes through a relative path'
breaks "a bare name that is elsewhere" src/op/math.c '"base.h"' '"base.h" is no file of op'
breaks "a folder that is no room" src/op/math.c '"util/util.h"' '"util/util.h" is in no room'
breaks "a name behind a macro" src/op/math.c 'HEADER' 'an include that hides its name'
breaks "a public header that looks inside" include/pilaster/op.h '"base/base.h"' 'a public header must not'

mkdir -p "$folder/good/src/util"
touch "$folder/good/src/util/util.c"
if "$root/tools/check-layers" "$folder/good" >"$folder/out"; then report "a source in no room" no
elif grep -qF '# src/util/util.c stands in no room' "$folder/out"; then report "a source in no room" yes
else report "a source in no room" no; fi
exit $result
