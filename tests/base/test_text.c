/* SPDX-License-Identifier: Apache-2.0 */
/* Text: slices, the bounded builder, numbers that are exactly the nearest, UTF-8, near words. */
#include "failing.h"

#include <float.h>
#include <inttypes.h>
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
        { "\b\f\n\r\t\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"" },
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

/* ---- numbers ------------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 16 ^ *state << 47;
}

static bool same_float(float a, float b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static void check_number(const char *text)
{
    float value = 42;
    double wide = 42;
    bool read = parse_float(slice_text(text), &value) && parse_double(slice_text(text), &wide);
    double expected = strtod(text, NULL);
    if (!read || !same_float(value, strtof(text, NULL)) || memcmp(&wide, &expected, sizeof(wide)) != 0)
        fail_msg("'%s' was read as %a and %a, should be %a and %a", text, (double)value, wide, (double)strtof(text, NULL),
                 expected);
}

/* The C library is the judge: it rounds correctly. */
static void nearest_numbers(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        "+1",
        "1.",
        ".5",
        "-.5e1",
        "00012",
        "1e5",
        "1E-5",
        "1e+05",
        "0.1",
        "16777217",
        "16777219",
        "33554434",
        "16777217.0000000000001",
        "9007199254740993",
        "9007199791611905",
        "123456789012345678901234567890",
        "0.000000000000000000000000000000000000000000001",
        "1.17549435e-38",
        "1.17549421e-38",
        "1.40129846e-45",
        "7.0e-46",
        "7.1e-46",
        "3.40282347e38",
        "3.40282356e38",
        "3.40282357e38",
        "1e39",
        "-1e39",
        "1e400",
        "1e-400",
        "-1e-400",
        "0e999999999999",
        "1e999999999999999999999",
        "1e-999999999999999999999",
        "4.9406564584124654e-324",
        "1.7976931348623157e308",
        "1.0000000596046448",
        "1.00000005960464477539062500001",
        "1.00000005960464477539062499999",
        "8388608.5",
        "8388609.5",
        "0.00000000000000000000000000000000000000000000000000000000000000000001e68",
        "10000000000000000000000000000000000000000000000000000000000000000000e-68",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        check_number(texts[i]);
    uint64_t random = 1;
    char text[80];
    for (int i = 0; i < 60000; i++) {
        uint64_t digits = next_random(&random) >> (next_random(&random) % 60);
        int power = (int)(next_random(&random) % 40) - 28;
        switch (i % 4) {
        case 0: /* as CSV files have them */
            snprintf(text, sizeof(text), "%.*f", (int)(digits % 9), (double)(int64_t)(digits % 100000000) / 7919.0);
            break;
        case 1:
            snprintf(text, sizeof(text), "%" PRIu64 "e%d", digits, power);
            break;
        case 2:
            snprintf(text, sizeof(text), "-%" PRIu64 ".%" PRIu64, digits >> 20, digits & 0xFFFFFF);
            break;
        default: { /* around the midpoint of two floats, where rounding twice would be wrong */
            uint32_t bits = (uint32_t)(0x30000000 + digits % 0x20000000);
            float low;
            memcpy(&low, &bits, sizeof(low));
            double middle = ((double)low + (double)nextafterf(low, INFINITY)) / 2;
            snprintf(text, sizeof(text), "%.*g", 14 + (int)(digits % 24), middle);
        }
        }
        check_number(text);
    }
}

static void not_numbers(void **state)
{
    (void)state;
    static const char *const texts[] = { "",
                                         " ",
                                         " 1",
                                         "1 ",
                                         "abc",
                                         "1x",
                                         "0x10",
                                         "1e",
                                         "1e+",
                                         "e5",
                                         ".",
                                         "-",
                                         "+",
                                         "+-1",
                                         "--1",
                                         "1.2.3",
                                         "1,5",
                                         "1_000",
                                         "infin",
                                         "nano",
                                         "in",
                                         "nan(1)",
                                         "1f",
                                         "\xC2\xA0"
                                         "1" };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        float value = 42;
        double wide = 42;
        assert_false(parse_float(slice_text(texts[i]), &value));
        assert_false(parse_double(slice_text(texts[i]), &wide));
        assert_true(same_float(value, 42) && wide == 42);
    }
    assert_false(parse_float(slice_of(NULL, 0), &(float){ 0 }));
    float value = 0;
    assert_true(parse_float(slice_text("-Inf"), &value) && isinf(value) && value < 0);
    assert_true(parse_float(slice_text("INFINITY"), &value) && isinf(value) && value > 0);
    assert_true(parse_float(slice_text("NaN"), &value) && isnan(value));
    assert_true(parse_float(slice_of("12345", 2), &value) && same_float(value, 12));
}

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        { "0", true, 0 },
        { "-7", true, -7 },
        { "+7", true, 7 },
        { "007", true, 7 },
        { "1.0", true, 1 },
        { "-1.000", true, -1 },
        { "1.", true, 1 },
        { "1.5", false, 0 },
        { "1.05", false, 0 },
        { ".0", false, 0 },
        { "", false, 0 },
        { "-", false, 0 },
        { " 1", false, 0 },
        { "1e3", false, 0 },
        { "0x1", false, 0 },
        { "9223372036854775807", true, INT64_MAX },
        { "9223372036854775808", false, 0 },
        { "-9223372036854775808", true, INT64_MIN },
        { "-9223372036854775809", false, 0 },
        { "99999999999999999999", false, 0 },
        { "true", false, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t value = 42;
        assert_int_equal(parse_int64(slice_text(cases[i].text), &value), cases[i].ok);
        assert_int_equal(value, cases[i].ok ? cases[i].value : 42);
    }
    bool flag = false;
    assert_true(parse_bool(slice_text("True"), &flag) && flag);
    assert_true(parse_bool(slice_text("FALSE"), &flag) && !flag);
    assert_false(parse_bool(slice_text("yes"), &flag));
    assert_false(parse_bool(slice_text("truer"), &flag));
    assert_false(parse_bool(slice_text("tru"), &flag));
    assert_false(parse_bool(slice_text(""), &flag));
}

static void printed_numbers(void **state)
{
    (void)state;
    static const struct {
        float value;
        const char *text;
    } cases[] = { { 0, "0" },
                  { -0.0f, "-0" },
                  { 1, "1" },
                  { 0.1f, "0.1" },
                  { -2.5f, "-2.5" },
                  { 0.0001f, "0.0001" },
                  { 1e-5f, "1e-05" },
                  { 100000, "100000" },
                  { 16777216, "16777216" },
                  { 1e10f, "1e+10" },
                  { FLT_MAX, "3.4028235e+38" },
                  { 1e-45f, "1e-45" },
                  { INFINITY, "inf" },
                  { -INFINITY, "-inf" },
                  { -NAN, "nan" } };
    char out[32], wide[40];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(print_float(out, cases[i].value), strlen(cases[i].text));
        assert_string_equal(out, cases[i].text);
    }
    print_double(wide, 0.1);
    assert_string_equal(wide, "0.1");
    print_double(wide, 1e15);
    assert_string_equal(wide, "1000000000000000");
    print_double(wide, -2.2250738585072014e-308);
    assert_string_equal(wide, "-2.2250738585072014e-308");
    uint64_t random = 5;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = next_random(&random);
        uint32_t low = (uint32_t)bits;
        float value, back;
        double value_wide, back_wide;
        memcpy(&value, &low, sizeof(value));
        memcpy(&value_wide, &bits, sizeof(value_wide));
        if (isnan(value) || isnan(value_wide))
            continue;
        assert_true(parse_float(slice_of(out, print_float(out, value)), &back) && same_float(value, back));
        assert_true(parse_double(slice_of(wide, print_double(wide, value_wide)), &back_wide));
        assert_memory_equal(&value_wide, &back_wide, sizeof(back_wide));
    }
}

static void shapes(void **state)
{
    (void)state;
    char out[32];
    assert_int_equal(print_shape(out, sizeof(out), (int64_t[]){ -1, 16 }, 2), 7);
    assert_string_equal(out, "[?, 16]");
    print_shape(out, sizeof(out), NULL, 0);
    assert_string_equal(out, "[]");
    print_shape(out, sizeof(out), (int64_t[]){ 3 }, 1);
    assert_string_equal(out, "[3]");
    assert_int_equal(print_shape(out, 6, (int64_t[]){ 100, 200, 300 }, 3), 15);
    assert_string_equal(out, "[100,");
    assert_int_equal(print_shape(NULL, 0, (int64_t[]){ 100, 200, 300 }, 3), 15);
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
        cmocka_unit_test(slices),
        cmocka_unit_test(builder),
        cmocka_unit_test(builder_limit),
        cmocka_unit_test(builder_out_of_memory),
        cmocka_unit_test(counts),
        cmocka_unit_test(json_strings),
        cmocka_unit_test(utf8),
        cmocka_unit_test(nearest_numbers),
        cmocka_unit_test(not_numbers),
        cmocka_unit_test(integers),
        cmocka_unit_test(printed_numbers),
        cmocka_unit_test(shapes),
        cmocka_unit_test(near_words),
    };
    return cmocka_run_group_tests_name("base/text", tests, NULL, NULL);
}
