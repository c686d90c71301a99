#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: test_docs.sh ROOT PROGRAM
# Do the pages say what the program does? docs/cli.md has a section for each command with exactly the options of its --help;
# the model file of docs/model-file.md and the example's are accepted as they stand.
set -u
root=$1
program=$2
cd "$root" || exit 1
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
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

commands=$("$program" --help | sed -n 's/^  \([a-z][a-z]*\)  *[a-z].*/\1/p')
documented=$(sed -n 's/^## pilaster \([a-z]*\).*/\1/p' docs/cli.md)
# shellcheck disable=SC2086
echo 1..$((3 + $(set -- $commands && echo $#)))
check "docs/cli.md has the commands of --help" "$([ "$commands" = "$documented" ] && [ -n "$commands" ] ||
    printf '%s\n' "--help: $commands" "docs: $documented")"
for command in $commands; do
    "$program" "$command" --help | sed -n 's/^  --\([a-z-]*\).*/\1/p' | grep -vx help | sort >"$folder/help"
    awk -v section="## pilaster $command" 'index($0, "## ") == 1 { inside = index($0, section " ") == 1 } inside' docs/cli.md |
        sed -n 's/^| `--\([a-z-]*\).*/\1/p' | sort >"$folder/docs"
    check "docs/cli.md has the options of $command" "$(diff "$folder/help" "$folder/docs")"
done

# The page's example speaks of data of its own: a row of it is enough to look at, and --dry-run writes nothing.
awk '/^```yaml$/ { inside = 1; next } /^```$/ { inside = 0 } inside' docs/model-file.md >"$folder/model.yaml"
printf 'fare_amount,dayofweek,hourofday,pickuplat\n12.5,Sun,18,40.7\n' | tee "$folder/taxi-train-1.csv" >"$folder/taxi-valid.csv"
check "the model file of docs/model-file.md is accepted" \
    "$("$program" train "$folder/model.yaml" --dry-run 2>&1 >"$folder/out" || echo "exit status $?")"
check "so is the example's" \
    "$("$program" train examples/flights/model.yaml --dry-run 2>&1 >"$folder/out" || echo "exit status $?")"
exit $result
