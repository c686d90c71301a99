#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: test_headers.sh ROOT COMPILER...
# The public headers as a program meets them: each alone, as strict C17 and as C++17, and every one in pilaster.h.
set -u
cd "$1/include" || exit 1
shift
compiler=$*
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
number=0
result=0

check() { # check NAME COMMAND...
    name=$1
    shift
    number=$((number + 1))
    if "$@" >"$out" 2>&1; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sed 's/^/# /' "$out"
        result=1
    fi
}

# compile LANGUAGE HEADER: the compiler may be several words; check calls it.
# shellcheck disable=SC2317
compile() {
    # shellcheck disable=SC2086
    echo "#include \"$2\"" | $compiler -x "${1%1*}" -std="$1" -I. -Wall -Wextra -Werror -pedantic -fsyntax-only -
}

set -- pilaster/*.h
echo 1..$((2 + 3 * $#))
for header in pilaster.h "$@"; do
    check "$header as C17" compile c17 "$header"
    check "$header as C++17" compile c++17 "$header"
done
for header in "$@"; do
    check "pilaster.h includes $header" grep -qxF "#include \"$header\"" pilaster.h
done
exit $result
