#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: test_examples.sh BUILD ROOT
# The examples as somebody meets them who has installed the library and has nothing else of this tree: BUILD is installed into an
# empty folder, and each examples/*/*.c is compiled through pkg-config with gcc and with clang, strictly, and once more under the
# address sanitizer; run in a folder of its own; and its newest export is asked by the program. Whoever compiled it, it prints the
# same. A program in C++20 is compiled and run too.
#
# An example has a line in `expect`, below.
set -u
build=$(cd "$1" && pwd) || exit 1
root=$(cd "$2" && pwd) || exit 1
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
number=0
result=0

check() { # check NAME COMMAND...
    name=$1
    shift
    number=$((number + 1))
    if "$@" >"$folder/said" 2>&1; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sed 's/^/# /' "$folder/said"
        result=1
    fi
}

# Of each example: the words behind its model_dir on the command line; what its output must be, in awk, true of at least one line;
# of one with an export, a row for it and what the program's answer must be; and the words behind `pilaster train` that give the
# same checkpoints, where a model file does.
# shellcheck disable=SC2016 # the dollars are awk's
expect() { # expect EXAMPLE
    arguments='' says='' row='' answers='' canned=''
    case $1 in
    sinewave) # the LSTM beats the last value again; the wave that the row is a part of goes on with -0.442
        says='/^step 1000: / && $4 > 0 && $4 < $10'
        row='{"rawdata":[0.0, 0.389, 0.717, 0.932, 1.0, 0.909, 0.675, 0.335, -0.058]}'
        answers='match($0, /^{"predicted":\[-0\.[2-6][0-9]*\]}$/)' ;;
    custom_columns)
        arguments="$root/examples/flights 200"
        says='/^auc 0\.5[3-9]/'
        row='{"weekday":"Fri","sched_hour":18,"month":7,"origin":"EWR","dest":"ORD","carrier":"UA","tailnum":"N14228","distance":719}'
        answers='match($0, /"class_ids":\[0\],"classes":\["0"\]/)'
        canned="$root/examples/custom_columns/model.yaml --max-steps 200" ;;
    *) return 1 ;;
    esac
}

# shellcheck disable=SC2317 # check calls these
install_stage() {
    DESTDIR=$folder/stage meson install -C "$build" --no-rebuild --quiet && [ -n "$(find "$folder/stage" -name pilaster.pc)" ]
}
# shellcheck disable=SC2317
compile() { # compile PROGRAM COMPILER FLAG... SOURCE, the command as it is in an example's README but for the flags
    program=$1
    shift
    # shellcheck disable=SC2046
    "$@" -pedantic -Wall -Wextra -Werror -O1 -g $(pkg-config --cflags --libs pilaster) -lm -o "$program"
}
# shellcheck disable=SC2317
run() { # run PROGRAM ARGUMENT...: in an empty folder, what it prints stays in PROGRAM.out
    program=$1
    shift
    rm -rf "$program.run" && mkdir "$program.run" && cd "$program.run" || return 1
    ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}exitcode=99" "$program" model_dir "$@" >"$program.out" || return 1
    cat "$program.out"
}
# shellcheck disable=SC2317
holds() { # holds FILE CONDITION
    cat "$1"
    awk "$2"' { found = 1 } END { exit !found }' "$1"
}
# shellcheck disable=SC2317
predict() { # predict EXPORTS ROW CONDITION: what the installed program answers
    echo "$2" | "$(find "$folder/stage" -type f -name pilaster)" predict "$1" >"$folder/answer" && holds "$folder/answer" "$3"
}
# shellcheck disable=SC2317
gives_the_same() { # gives_the_same MODEL_DIR WORD...: pilaster train WORD... leaves the checkpoints of MODEL_DIR
    model_dir=$1
    shift
    "$(find "$folder/stage" -type f -name pilaster)" train "$@" --model-dir "$folder/canned" || return 1
    for file in "$folder/canned"/model.ckpt-*; do
        cmp "$file" "$model_dir/${file##*/}" || return 1
    done
    rm -rf "$folder/canned"
}
# shellcheck disable=SC2317
same() { # same FILE...
    first=$1
    for file in "$@"; do
        cmp "$first" "$file" || return 1
    done
}

set -- "$root"/examples/*/*.c
echo 1..$((3 + 11 * $#))
check "an installation in an empty folder" install_stage
pc=$(find "$folder/stage" -name pilaster.pc)
export PKG_CONFIG_SYSROOT_DIR="$folder/stage" PKG_CONFIG_LIBDIR="${pc%/*}"
export LD_LIBRARY_PATH="${pc%/pkgconfig/*}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
for source in "$@"; do
    example=$(basename "$source" .c)
    check "$example has its line in this test" expect "$example"
    expect "$example" || continue
    for way in gcc clang "gcc -fsanitize=address"; do
        program=$folder/$example-$(echo "$way" | tr -c 'a-z\n' _)
        if ! command -v "${way%% *}" >/dev/null; then
            number=$((number + 2))
            printf 'ok %d - %s # SKIP there is no such compiler\n' $((number - 1)) "$example: $way" $number "$example: $way, run"
            continue
        fi
        # shellcheck disable=SC2086
        check "$example: $way" compile "$program" $way -std=c17 "$source"
        # shellcheck disable=SC2086
        check "$example: $way, run" run "$program" $arguments
    done
    check "$example prints what it should" holds "$folder/$example-gcc.out" "$says"
    check "$example prints the same whatever compiled it" same "$folder/$example"-*.out
    if [ -n "$row" ]; then
        check "the program predicts from $example's export" predict "$folder/$example-gcc.run/model_dir/export/exporter" "$row" "$answers"
    else
        number=$((number + 1))
        echo "ok $number - $example's export # SKIP there is no row for it"
    fi
    if [ -n "$canned" ]; then
        # shellcheck disable=SC2086
        check "a model file gives $example's checkpoints" gives_the_same "$folder/$example-gcc.run/model_dir" $canned
    else
        number=$((number + 1))
        echo "ok $number - $example as a model file # SKIP there is none"
    fi
done
check "a program in C++20" compile "$folder/installed" g++ -std=c++20 "$root/tests/tools/installed.cc"
check "a program in C++20, run" run "$folder/installed"
exit $result
