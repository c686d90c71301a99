#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: run.sh PROGRAM ROOT FOLDER
# Runs the cases of tests/program/FOLDER, one file each, and prints TAP. A case is a text of sections:
#
#     What it is about: the first line is its name in the output.
#     === data.csv        a file to be made; any name that is none of those below
#     === skip            shell commands; if they succeed the case cannot be run here
#     === setup           shell commands before the one that counts; each must succeed, what they print is not looked at
#     === command         shell commands; `pilaster` is the program
#     === stdout          what they print, line by line; left out: nothing
#     === stderr          the same
#     === code            the exit code; left out: 0
#     === after           shell commands that look at what is left; each must succeed
#
# In stdout and stderr "..." stands for any text, and for any number of lines where it stands alone.
# A case runs in a folder of its own that holds a copy of tests/program/common. After every case no temporary file may be
# left, whatever went wrong.
set -u
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
root=$(cd "$2" && pwd)
folder=$root/tests/program/$3
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# An error that a sanitizer finds must not look like an exit code of the program's own.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}exitcode=99" UBSAN_OPTIONS="halt_on_error=1:exitcode=99"
export LC_ALL=C NO_COLOR=1
mkdir "$work/bin"
ln -s "$program" "$work/bin/pilaster"
PATH=$work/bin:$PATH

# matches EXPECTED ACTUAL: compares line by line, says the first difference.
matches() {
    awk -v expected="$1" '
        # Does text fit pattern, in which "..." is any text? Pieces between the dots are looked for from left to right.
        function fits(text, pattern,    pieces, count, i, at) {
            count = cut(pattern, pieces)
            if (count == 1)
                return text == pattern
            if (substr(text, 1, length(pieces[1])) != pieces[1])
                return 0
            text = substr(text, length(pieces[1]) + 1)
            for (i = 2; i < count; i++) {
                at = index(text, pieces[i])
                if (!at)
                    return 0
                text = substr(text, at + length(pieces[i]))
            }
            return length(text) >= length(pieces[count]) &&
                substr(text, length(text) - length(pieces[count]) + 1) == pieces[count]
        }
        function cut(pattern, pieces,    count, at) {
            for (count = 1; (at = index(pattern, "...")) > 0; count++) {
                pieces[count] = substr(pattern, 1, at - 1)
                pattern = substr(pattern, at + 3)
            }
            pieces[count] = pattern
            return count
        }
        # Lines e.. of what is wanted against lines a.. of what came.
        function same(e, a) {
            for (; e <= wanted; e++) {
                if (want[e] == "...") {
                    for (; a <= came + 1; a++)
                        if (same(e + 1, a))
                            return 1
                    return 0
                }
                if (a > came || !fits(got[a], want[e])) {
                    if (a > furthest || (a == furthest && e > missing)) {
                        furthest = a
                        missing = e
                    }
                    return 0
                }
                a++
            }
            if (a > came)
                return 1
            if (a > furthest) {
                furthest = a
                missing = e
            }
            return 0
        }
        BEGIN {
            while ((getline line <expected) > 0)
                want[++wanted] = line
            wanted += 0
        }
        { got[++came] = $0 }
        END {
            came += 0
            furthest = 0
            if (same(1, 1))
                exit 0
            printf "line %d is:   %s\n", furthest, furthest <= came ? got[furthest] : "(the end)"
            printf "  expected: %s\n", missing <= wanted ? want[missing] : "(the end)"
            exit 1
        }' "$2"
}

# cut_case FILE TO: each section into TO/NAME.
cut_case() {
    awk -v to="$2" '
        /^=== [A-Za-z0-9_.-]+$/ { name = to "/" $2; printf "" >name; next }
        name { print >name }' "$1"
}

number=0
result=0
set -- "$folder"/*.case
echo "1..$#"
for case in "$@"; do
    number=$((number + 1))
    here=$work/here
    parts=$work/parts
    mkdir "$here" "$parts"
    cp -R "$root"/tests/program/common/* "$here"
    cut_case "$case" "$parts"
    for name in skip setup command stdout stderr code after; do
        [ -f "$parts/$name" ] || : >"$parts/$name"
        mv "$parts/$name" "$work/$name"
    done
    mv "$parts"/* "$here" 2>/dev/null
    [ -s "$work/code" ] || echo 0 >"$work/code"
    : >"$work/why"
    title="$(basename "$case" .case): $(head -n 1 "$case")"
    if [ -s "$work/skip" ] && (cd "$here" && sh -e "$work/skip") >"$work/out" 2>&1 </dev/null; then
        echo "ok $number - $title # SKIP not possible here"
        rm -rf "$here" "$parts"
        continue
    fi
    (cd "$here" && sh -e "$work/setup") >"$work/out" 2>&1 </dev/null || {
        echo "the setup failed:"
        cat "$work/out"
    } >>"$work/why"
    if [ ! -s "$work/why" ]; then
        (cd "$here" && sh "$work/command") >"$work/out" 2>"$work/err" </dev/null
        code=$?
        [ "$code" = "$(cat "$work/code")" ] || echo "exit code $code, expected $(cat "$work/code")" >>"$work/why"
        matches "$work/stdout" "$work/out" >"$work/difference" || {
            echo "stdout is not as expected:"
            cat "$work/difference"
        } >>"$work/why"
        matches "$work/stderr" "$work/err" >"$work/difference" || {
            echo "stderr is not as expected:"
            cat "$work/difference"
        } >>"$work/why"
        [ ! -s "$work/why" ] || sed 's/^/stderr| /' "$work/err" >>"$work/why"
        (cd "$here" && sh -e "$work/after") >"$work/out" 2>&1 </dev/null || {
            echo "what is left is not as it should be:"
            cat "$work/after" "$work/out"
        } >>"$work/why"
        left=$(find "$here" -name '*.tmp*')
        [ -z "$left" ] || echo "left behind: $left" >>"$work/why"
    fi
    if [ -s "$work/why" ]; then
        echo "not ok $number - $title"
        sed 's/^/# /' "$work/why"
        result=1
    else
        echo "ok $number - $title"
    fi
    chmod -R u+rwx "$here"
    rm -rf "$here" "$parts"
done
exit $result
