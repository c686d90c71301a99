/* SPDX-License-Identifier: Apache-2.0 */
/* Every level of the scan against a reading byte by byte, on texts made of the characters that matter. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kernel.h"

enum { TEXT = 1000, CASES = 3000 };

static uint64_t state = 7;

static uint32_t next_random(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* The separators outside quotes, and the position of the first quote that opens inside a field (size when there is none). */
static size_t read_bytes(const char *text, size_t size, uint32_t *ends, size_t *strange)
{
    size_t count = 0;
    bool inside = false;
    *strange = size;
    for (size_t i = 0; i < size; i++) {
        bool begins = i == 0 || text[i - 1] == ',' || text[i - 1] == '\n';
        if (text[i] == '"') {
            if (!inside && !begins && text[i - 1] != '"') {
                *strange = i;
                return count;
            }
            inside = !inside;
        } else if (!inside && (text[i] == ',' || text[i] == '\n')) {
            ends[count++] = (uint32_t)i;
        }
    }
    return count;
}

/* Fields as writers make them: mostly plain, some quoted with separators and doubled quotes, few with a quote inside. */
static size_t make_text(char *text, uint32_t quoted, uint32_t odd)
{
    size_t size = 0, wanted = next_random() % TEXT;
    while (size < wanted) {
        bool quotes = next_random() % 100 < quoted;
        if (quotes)
            text[size++] = '"';
        for (uint32_t i = next_random() % 12; i > 0; i--) {
            uint32_t pick = next_random() % 100;
            if (quotes && pick < 20)
                text[size++] = pick < 10 ? ',' : '\n';
            else if (quotes && pick < 40)
                size += (size_t)sprintf(text + size, "\"\"");
            else if (pick < 40 + odd)
                text[size++] = '"';
            else
                text[size++] = "abc\0\x80\xff;|"[pick % 8];
        }
        if (quotes)
            text[size++] = '"';
        text[size++] = next_random() % 5 == 0 ? '\n' : ',';
    }
    return wanted;
}

static void check_text(size_t (*run)(struct scan *, uint32_t *, size_t), const char *text, size_t size, size_t limit)
{
    static uint32_t expected[TEXT + 100], ends[TEXT + 200];
    size_t strange, count = 0, expected_count = read_bytes(text, size, expected, &strange);
    /* An exact copy, so that the address sanitizer sees every byte read beyond the text. */
    char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    struct scan scan = scan_begin(copy, size, ',', '\n', '"');
    scan.run = run;
    while (scan.at < size && !scan.strange) {
        size_t before = scan.at;
        count += scan.run(&scan, ends + count, limit);
        assert_true(scan.strange || scan.at > before);
    }
    assert_int_equal(scan.strange, strange < size);
    if (scan.strange) {
        assert_true(scan.at <= strange && strange < scan.at + 64);
        while (expected_count > 0 && expected[expected_count - 1] >= scan.at)
            expected_count--;
    }
    assert_int_equal(count, expected_count);
    assert_memory_equal(ends, expected, count * sizeof(ends[0]));
    free(copy);
}

static void check_level(const char *name)
{
    static char text[TEXT + 100];
    size_t (*run)(struct scan *, uint32_t *, size_t) = scan_level(name);
    if (run == NULL) {
        print_message("no level %s here\n", name);
        skip();
        return;
    }
    state = 7;
    for (int i = 0; i < CASES; i++) {
        size_t size = make_text(text, i % 3 == 0 ? 0 : 30, i % 5 == 0 ? 1 : 0);
        check_text(run, text, size, i % 2 == 0 ? 64 : 200);
    }
}

static void plain_c(void **unused)
{
    (void)unused;
    check_level("c");
}

static void sse2(void **unused)
{
    (void)unused;
    check_level("sse2");
}

static void avx2(void **unused)
{
    (void)unused;
    check_level("avx2");
}

static void examples(void **unused)
{
    (void)unused;
    const char text[] = "a,\"b,\"\"c\",d\n";
    uint32_t ends[64];
    struct scan scan = scan_begin(text, sizeof(text) - 1, ',', '\n', '"');
    assert_int_equal(scan.run(&scan, ends, 64), 3);
    assert_int_equal(ends[0], 1);
    assert_int_equal(ends[1], 9);
    assert_int_equal(ends[2], 11);
    assert_false(scan.strange);

    const char inch[] = "5\" disk,3\n";
    scan = scan_begin(inch, sizeof(inch) - 1, ',', '\n', '"');
    assert_int_equal(scan.run(&scan, ends, 64), 0);
    assert_true(scan.strange);

    scan = scan_begin("", 0, ',', '\n', '"');
    assert_int_equal(scan.run(&scan, ends, 64), 0);
}

static void counts(void **unused)
{
    (void)unused;
    enum { SIZE = 40000 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (int round = 0; round < 60; round++) {
        size_t size = round < 50 ? next_random() % 200 : SIZE - (size_t)round, expected = 0;
        for (size_t i = 0; i < size; i++) {
            text[i] = round % 2 == 0 ? '\n' : "\n\xf5 a"[next_random() % 4]; /* only newlines: sums must not overflow */
            expected += text[i] == '\n';
        }
        char *copy = malloc(size > 0 ? size : 1); /* its end is its end */
        assert_non_null(copy);
        memcpy(copy, text, size);
        assert_int_equal(scan_count(copy, size, '\n'), expected);
        free(copy);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples), cmocka_unit_test(plain_c), cmocka_unit_test(sse2),
        cmocka_unit_test(avx2),     cmocka_unit_test(counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
