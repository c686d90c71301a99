#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: test_reference.sh ROOT
# Is docs/reference what tools/reference makes of the headers, does a comment speak of every public function, and would the tool
# say so if none did?
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

echo 1..5
faults=$(tools/reference "$folder/pages" 2>&1) || faults="${faults:-exit status not 0}"
check "a comment speaks of every public function" "$faults"
check "docs/reference is what 'make docs' makes" "$(diff -r docs/reference "$folder/pages" 2>&1)"

# The names are looked for once more, in another way: what is declared is found on a page.
{
    sed -n 's/^PIL_API .*\(pil_[a-z0-9_]*\)(.*/\1/p; s/^static inline .*\(pil_[a-z0-9_]*\)(.*/\1/p' include/pilaster/*.h
    sed -n 's/^PIL_OP_[123A-Z]*(\([a-z0-9_]*\).*/pil_\1/p; s/^#define \(pil_[a-z0-9_]*\)(.*/\1/p' include/pilaster/*.h
    sed -n 's/^} \(pil_[a-z0-9_]*\);/\1/p; s/^typedef .* \(pil_[a-z0-9_]*\);.*/\1/p' include/pilaster/*.h
} | sort -u >"$folder/names"
grep -oh 'pil_[a-z0-9_]*' docs/reference/[a-z]*.md | sort -u >"$folder/shown"
check "every declaration is on a page" "$([ "$(wc -l <"$folder/names")" -gt 300 ] || echo only few names are found
    comm -23 "$folder/names" "$folder/shown")"
sed -n 's/^- .*](\([a-z]*\.md#.*\))$/\1/p' docs/reference/README.md | sort -u >"$folder/links"
for page in docs/reference/[a-z]*.md; do
    sed -n 's/^### //p' "$page" | tr 'A-Z ' 'a-z-' | tr -d , | sed "s/^/${page##*/}#/"
done | sort -u >"$folder/headings"
check "every link of the index leads to a heading" "$([ -s "$folder/links" ] || echo there is no link
    comm -23 "$folder/links" "$folder/headings")"

cat >"$folder/bare.h" <<'C'
/* SPDX-License-Identifier: Apache-2.0 */
/* A header. */

/* Said. */
PIL_API int pil_said(void);

PIL_API int pil_unsaid(void);
C
check "a function without a comment is told" "$(tools/reference "$folder/bare" "$folder/bare.h" 2>"$folder/said" && echo accepted
    grep -q 'bare.h: no comment speaks of pil_unsaid$' "$folder/said" || cat "$folder/said")"
exit $result
