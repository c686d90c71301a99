#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: flights.sh PROGRAM ROOT
# The example as its README tells it, but for fifty steps: it trains, learns something, and answers for the three flights.
set -u
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
example=$(cd "$2" && pwd)/examples/flights
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}exitcode=99" UBSAN_OPTIONS="halt_on_error=1:exitcode=99"
export LC_ALL=C
number=0
result=0

report() { # report NAME EXIT-STATUS
    number=$((number + 1))
    if [ "$2" = 0 ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        cat out err | sed 's/^/# /'
        result=1
    fi
}

# value NAME: of the line of metrics in `out`.
value() {
    tr ',{}' '[\n*]' <out | sed -n "s|^\"$1\":||p"
}

echo 1..7
"$program" train "$example/model.yaml" --model-dir m --max-steps 50 --set eval.steps=20 >out 2>err
report "trains fifty steps" $?
[ "$(value global_step)" = 50 ] && awk "BEGIN { exit !($(value auc) > 0.58 && $(value average_loss) < 0.62) }"
report "is better than guessing" $?
"$program" train "$example/model.yaml" --model-dir one --max-steps 50 --set eval.steps=20 --threads 1 >again 2>err &&
    cmp out again >>err && cmp m/model.ckpt-50.data-00000-of-00001 one/model.ckpt-50.data-00000-of-00001 >>err
report "one thread gives the same bits" $?
"$program" predict m --data "$example/rows.csv" --format table >out 2>err &&
    [ "$(grep -c '^ late  probability  0\.[0-9]*   class [01]$' out)" = 3 ] && [ "$(wc -l <out)" -eq 3 ]
report "answers for three flights, in words" $?
"$program" predict m --data "$example/rows.csv" --keep tailnum >out 2>err &&
    [ "$(sed 's/^{"tailnum":"\([A-Z0-9]*\)","logits":.*}$/\1/' out | tr '\n' ' ')" = "N14573 N326NB N592JB " ]
report "answers for three flights, in JSON" $?
"$program" evaluate m --format table >out 2>err && grep -q '^  global_step  *50$' out && grep -q '^  auc  *0\.' out
report "evaluates" $?
"$program" columns "$example/model.yaml" --data "$example/rows.csv" --rows 1 --format table >out 2>err &&
    grep -q "^ weekday_hour  *'Fri' x 18 *-> id [0-9]* of 672" out
report "shows its columns" $?
exit $result
