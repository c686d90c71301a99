/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers: exactly the nearest, whatever the spelling; printed so that they read back. */
#include "base/base.h"

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

/* Numbers of up to nine characters with any byte at any place: the C library judges here too. */
static void any_byte_anywhere(void **state)
{
    (void)state;
    static const char digits[] = "123456789";
    for (size_t size = 1; size <= 9; size++) {
        for (size_t place = 0; place < size; place++) {
            for (int byte = 1; byte < 256; byte++) {
                char text[16] = "", *end;
                memcpy(text, digits, size);
                text[place] = (char)byte;
                float value = 0, expected = strtof(text, &end);
                bool ok = *end == '\0' && end != text && strchr(" \t\n\v\f\r", text[0]) == NULL;
                if (parse_float(slice_of(text, size), &value) != ok || (ok && !same_float(value, expected)))
                    fail_msg("'%s' was read as %a, should be %a", text, (double)value, (double)expected);
            }
        }
    }
}

/* More zeros than a double has digits: the exponent alone does not tell what is large. */
static void many_zeros(void **state)
{
    (void)state;
    char text[2000] = "0.";
    memset(text + 2, '0', 900);
    strcpy(text + 902, "1");
    check_number(text);
    strcpy(text + 902, "1e890");
    check_number(text);
    strcpy(text + 902, "1e1500");
    check_number(text);
    strcpy(text + 902, ".1");
    text[1] = '1';
    check_number(text);
    strcpy(text + 902, "e-1500");
    check_number(text);
    strcpy(text + 902, "e-900");
    check_number(text);
}

static void not_numbers(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",  " ",   " 1",  "1 ",    "abc", "1x",    "0x10",  "1e",   "1e+", "e5",     ".",  "-",
        "+", "+-1", "--1", "1.2.3", "1,5", "1_000", "infin", "nano", "in",  "nan(1)", "1f", "\302\2401"
    }; /* a no-break space first */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_numbers), cmocka_unit_test(not_numbers), cmocka_unit_test(any_byte_anywhere),
        cmocka_unit_test(many_zeros),      cmocka_unit_test(integers),    cmocka_unit_test(printed_numbers),
        cmocka_unit_test(shapes),
    };
    return cmocka_run_group_tests_name("base/number", tests, NULL, NULL);
}
