#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: test_docs_examples.sh ROOT
# Does the C of README.md and docs/*.md compile, strictly, with gcc and with clang where it is there? A block of a page
#
#     ```c            that has an #include is a whole file; another one stands behind #include <pilaster.h>
#     ```c body       is what stands in a function: that of a model function's parameters, g, features, targets, mode and params
#
# Between "<!-- c" and "-->" a page declares, unseen by its readers, what its bodies speak of without defining it. Bodies and
# parts may define what they do not use. Besides, every name pil_... and PIL_... of these pages is one of a public header.
set -u
cd "$1" || exit 1
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
        echo "$2" | head -n 40 | sed 's/^/# /'
        result=1
    fi
}

# A file for each block, block-<line>.c; #line lets the compiler name the page and its line.
extract() { # extract PAGE FOLDER
    mkdir -p "$2"
    awk -v page="$1" -v folder="$2" '
        function close_block() {
            file = sprintf("%s/block-%d.c", folder, line)
            if (kind == "body") {
                print "/* a part of a page */\n#include <pilaster.h>\n#include <math.h>\n#include <stdio.h>\n" declared >file
                print "pil_estimator_spec block(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode," >file
                print "                         void *params);" >file
                print "pil_estimator_spec block(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode," >file
                print "                         void *params)\n{\n    pil_estimator_spec spec = { .mode = mode };" >file
                print "    (void)g, (void)features, (void)targets, (void)params;\n    {" >file
                printf "#line %d \"%s\"\n%s    }\n    return spec;\n}\n", line + 1, page, text >file
            } else {
                if (text !~ /(^|\n)#include/)
                    print "/* a part of a page */\n#include <pilaster.h>" >file
                printf "#line %d \"%s\"\n%s", line + 1, page, text >file
            }
            close(file)
        }
        declaring && /^-->/ { declaring = 0; next }
        declaring { declared = declared $0 "\n"; next }
        /^<!-- c$/ { declaring = 1; declared = declared "#line " NR + 1 " \"" page "\"\n"; next }
        /^```c( body)?$/ { inside = 1; kind = $2; line = NR; text = ""; next }
        inside && /^```$/ { inside = 0; close_block(); next }
        inside { text = text $0 "\n" }' "$1"
}

compile() { # compile COMPILER FOLDER: what the compiler says of the blocks of one page
    for block in "$2"/block-*.c; do
        unused=-Wunused
        [ "$(head -n 1 "$block")" = '/* a part of a page */' ] &&
            unused='-Wno-unused-function -Wno-unused-variable -Wno-unused-but-set-variable'
        # shellcheck disable=SC2086
        "$1" -std=c17 -pedantic -Wall -Wextra -Werror $unused -fsyntax-only -Iinclude "$block" 2>&1
    done
}

pages=
for page in README.md docs/*.md; do
    grep -q '^```c' "$page" && pages="$pages $page"
done
compilers=
for compiler in gcc clang; do
    command -v $compiler >/dev/null && compilers="$compilers $compiler"
done
# shellcheck disable=SC2086
echo 1..$((3 + $(set -- $pages && echo $#) * $(set -- $compilers && echo $#)))

{
    grep -oh 'pil_[a-z0-9_]*\|PIL_[A-Z0-9_]*' include/pilaster/*.h
    sed -n 's/^PIL_OP_[A-Z0-9]*(\([a-z0-9_]*\).*/pil_\1/p' include/pilaster/op.h
} | sort -u >"$folder/public"
for page in $pages; do
    extract "$page" "$folder/$page"
    for compiler in $compilers; do
        check "$page: $(find "$folder/$page" -name 'block-*' | wc -l) blocks with $compiler" "$(compile "$compiler" "$folder/$page")"
    done
done
# "pil_metric_..." stands for several and is none.
check "names in the text are public" "$(for page in README.md CHANGELOG.md docs/*.md; do
    grep -ow 'pil_[a-z0-9_]*\|PIL_[A-Z0-9_]*' "$page" | grep -v '_$' | sort -u | comm -23 - "$folder/public" | sed "s|^|$page: |"
done)"

# A page with two mistakes must be refused, at their lines.
cat >"$folder/wrong.md" <<'C'
<!-- c
extern pil_tensor *x;
-->
```c body
pil_tensor *y = pil_square(g, x, x);
```
```c
static int twice(int n) { return 2 * m; }
```
C
extract "$folder/wrong.md" "$folder/wrong"
compile "${compilers##* }" "$folder/wrong" >"$folder/said"
check "a call of too many arguments is told with its line" "$(grep -q 'wrong.md:5:' "$folder/said" || cat "$folder/said")"
check "so is a name that is not there" "$(grep -q 'wrong.md:8:' "$folder/said" || cat "$folder/said")"
exit $result
