/* SPDX-License-Identifier: Apache-2.0 */
/* Text: slices, the bounded builder, UTF-8, near words. */
#include "failing.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void slices(void **state)
{
    (void)state;
    assert_true(slice_equal(slice_text("ab"), slice_of("abc", 2)));
    assert_false(slice_equal(slice_text("ab"), slice_text("abc")));
    assert_true(slice_equal(slice_of(NULL, 0), slice_text("")));
    assert_true(slice_is(slice_of("key: x", 3), "key"));
    assert_true(slice_compare(slice_text("a"), slice_text("ab")) < 0);
    assert_true(slice_compare(slice_text("b"), slice_text("ab")) > 0);
    assert_true(slice_compare(slice_text("\xFF"), slice_text("a")) > 0);
    assert_int_equal(slice_compare(slice_of(NULL, 0), slice_text("")), 0);
    assert_true(slice_is(slice_trim(slice_text(" \t a b\t ")), "a b"));
    assert_int_equal(slice_trim(slice_text(" \t ")).size, 0);
}

static void builder(void **state)
{
    (void)state;
    struct text text = { 0 };
    pil_status status = { 0 };
    text_format(&text, "%s", "");
    assert_string_equal(text.data, "");
    text_append(&text, "rows ", 5);
    text_count(&text, 263149);
    for (int i = 0; i < 50; i++)
        text_format(&text, " %d", i);
    assert_true(text_ok(&text, &status));
    assert_memory_equal(text.data, "rows 263,149 0 1 2", 18);
    assert_string_equal(text.data + text.size - 6, " 48 49");
    assert_int_equal(strlen(text.data), text.size);
    uint64_t before = mem_allocations();
    text_clear(&text);
    assert_string_equal(text.data, "");
    text_append(&text, "again", 5);
    assert_int_equal(mem_allocations(), before);
    text_free(&text);
    assert_null(text.data);
}

static void builder_limit(void **state)
{
    (void)state;
    struct text text = { .limit = 10 };
    pil_status status = { 0 };
    text_append(&text, "0123456789", 10);
    assert_true(text_ok(&text, &status));
    text_format(&text, "%d", 7);
    text_append(&text, "", 0);
    assert_false(text_ok(&text, &status));
    assert_int_equal(status.code, PIL_BAD_DATA);
    assert_non_null(strstr(status.message, "10 bytes"));
    assert_string_equal(text.data, "0123456789");
    text_clear(&text);
    text_append(&text, "01234567890", 11);
    assert_true(text.failed);
    text_free(&text);
    assert_int_equal(text.limit, 10);
}

static void builder_out_of_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        struct text text = { 0 };
        pil_status status = { 0 };
        failing_start(n, false);
        for (int i = 0; i < 100; i++) {
            text_format(&text, "%032d,", i);
            text_json_string(&text, slice_text("\"quoted\" \x80"));
        }
        bool worked = text_ok(&text, &status);
        assert_true(text.data == NULL || strlen(text.data) == text.size);
        text_free(&text);
        assert_int_equal(failing_live, 0);
        if (!failing_stop()) {
            assert_true(worked && n >= 4);
            break;
        }
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

static void counts(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *text;
    } cases[] = { { 0, "0" },
                  { 999, "999" },
                  { 1000, "1,000" },
                  { -1, "-1" },
                  { -123456, "-123,456" },
                  { 1234567, "1,234,567" },
                  { INT64_MIN, "-9,223,372,036,854,775,808" },
                  { INT64_MAX, "9,223,372,036,854,775,807" } };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct text text = { 0 };
        text_count(&text, cases[i].value);
        assert_string_equal(text.data, cases[i].text);
        text_free(&text);
    }
}

static void json_strings(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } cases[] = {
        { "", "\"\"" },
        { "plain / 'text'", "\"plain / 'text'\"" },
        { "a\"b\\c", "\"a\\\"b\\\\c\"" },
        { "\b\f\n\r\t\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\"" },
        { "\xC2\x85\xC2\xA0\xEF\xBF\xBD\xEF\xBF\xBF", "\"\\u0085\xC2\xA0\xEF\xBF\xBD\\uffff\"" },
        { "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"" },
        { "a\xC3", "\"a\xEF\xBF\xBD\"" },                                               /* cut short */
        { "\xE2\x82z", "\"\xEF\xBF\xBDz\"" },                                           /* one for the started sequence */
        { "\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"" },                                 /* overlong */
        { "\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },                 /* surrogate */
        { "\xF4\x90\x80\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" }, /* above U+10FFFF */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct text text = { 0 };
        text_json_string(&text, slice_text(cases[i].from));
        assert_string_equal(text.data, cases[i].to);
        assert_true(utf8_valid(slice_of(text.data, text.size)));
        text_free(&text);
    }
    struct text text = { 0 };
    text_json_string(&text, slice_of("a\0b", 3));
    text_json_float(&text, NAN);
    text_json_float(&text, -INFINITY);
    text_json_double(&text, (double)INFINITY);
    text_json_float(&text, 0.1f);
    text_append(&text, " ", 1);
    text_json_double(&text, 0.1);
    assert_string_equal(text.data, "\"a\\u0000b\"NaN-InfinityInfinity0.1 0.1");
    text_free(&text);
}

static void utf8(void **state)
{
    (void)state;
    assert_true(utf8_valid(slice_text("")));
    assert_true(utf8_valid(slice_text("a long text of plain ASCII, then \xE2\x82\xAC and \xF4\x8F\xBF\xBF and \xED\x9F\xBF")));
    static const char *const bad[] = { "\x80", "long enough \xFF", "\xC1\xBF",         "\xE0\x9F\xBF",     "\xED\xA0\x80",
                                       "\xC3", "\xE2\x82",         "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80" };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(utf8_valid(slice_text(bad[i])));
}

static void near_words(void **state)
{
    (void)state;
    static const char *const words[] = { "hash_bucket_size", "relu", "tanh", "adam", "lr", "dimension", "combiner" };
    static const struct {
        const char *word, *nearest;
    } cases[] = { { "hash_buckets_size", "hash_bucket_size" },
                  { "hash-bucket-size", "hash_bucket_size" },
                  { "RELU", "relu" },
                  { "rleu", "relu" },
                  { "dimensoin", "dimension" },
                  { "dims", NULL },
                  { "comb", NULL },
                  { "zzz", NULL },
                  { "x", NULL },
                  { "", NULL },
                  { "tahn", "tanh" },
                  { "adma", "adam" } };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *nearest = nearest_word(cases[i].word, words, COUNT_OF(words));
        if (cases[i].nearest == NULL)
            assert_null(nearest);
        else
            assert_string_equal(nearest, cases[i].nearest);
    }
    char word[1000];
    memset(word, 'a', sizeof(word));
    word[sizeof(word) - 1] = '\0';
    assert_null(nearest_word(word, words, COUNT_OF(words)));
    assert_null(nearest_word("relu", NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices),        cmocka_unit_test(builder),
        cmocka_unit_test(builder_limit), cmocka_unit_test(builder_out_of_memory),
        cmocka_unit_test(counts),        cmocka_unit_test(json_strings),
        cmocka_unit_test(utf8),          cmocka_unit_test(near_words),
    };
    return cmocka_run_group_tests_name("base/text", tests, NULL, NULL);
}
