/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf's wire: known encodings, every type there and back, every cut found. */
#include "format/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct slice view(const struct text *text)
{
    return slice_of(text->data, text->size);
}

/* Examples of the encoding guide, and the ends of the range. */
static void varints(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        const char *bytes;
        size_t size;
    } cases[] = {
        { 0, "\x00", 1 },
        { 1, "\x01", 1 },
        { 127, "\x7F", 1 },
        { 128, "\x80\x01", 2 },
        { 300, "\xAC\x02", 2 },
        { UINT32_MAX, "\xFF\xFF\xFF\xFF\x0F", 5 },
        { UINT64_MAX, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 10 },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct text out = { 0 };
        wire_put_varint(&out, cases[i].value);
        assert_int_equal(out.size, cases[i].size);
        assert_memory_equal(out.data, cases[i].bytes, out.size);
        struct slice in = view(&out);
        uint64_t back = 77;
        assert_true(wire_varint(&in, &back));
        assert_true(back == cases[i].value);
        assert_int_equal(in.size, 0);
        for (size_t cut = 0; cut < out.size; cut++) {
            in = slice_of(out.data, cut);
            assert_false(wire_varint(&in, &back));
        }
        text_free(&out);
    }
    uint64_t value;
    struct slice too_long = slice_of("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 10);
    assert_false(wire_varint(&too_long, &value));
    too_long = slice_of("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11);
    assert_false(wire_varint(&too_long, &value));
}

static void zigzag(void **state)
{
    (void)state;
    assert_int_equal(wire_zigzag(0), 0);
    assert_int_equal(wire_zigzag(1), -1);
    assert_int_equal(wire_zigzag(2), 1);
    assert_true(wire_zigzag(UINT64_MAX) == INT64_MIN);
    assert_true(wire_zigzag(UINT64_MAX - 1) == INT64_MAX);
}

static struct text every_type(void)
{
    struct text out = { 0 }, inner = { 0 };
    wire_put_uint(&out, 1, 300);
    wire_put_double(&out, 2, 0.5);
    wire_put_text(&out, 3, "text");
    wire_put_float(&out, 4, -2.0f);
    wire_put_uint(&inner, 1, 7);
    wire_put_message(&out, 536870911, &inner);
    wire_put_bytes(&out, 6, "", 0);
    text_free(&inner);
    return out;
}

static void fields(void **state)
{
    (void)state;
    struct text out = every_type();
    struct slice in = view(&out);
    struct wire_field field;
    bool damaged;
    assert_true(wire_next(&in, &field, &damaged) && field.number == 1 && field.type == WIRE_VARINT && field.value == 300);
    assert_true(wire_next(&in, &field, &damaged) && field.number == 2 && field.type == WIRE_FIXED64);
    assert_true(field.value == 0x3FE0000000000000u);
    assert_true(wire_next(&in, &field, &damaged) && field.type == WIRE_BYTES && slice_is(field.bytes, "text"));
    assert_true(wire_next(&in, &field, &damaged) && field.type == WIRE_FIXED32 && field.value == 0xC0000000u);
    assert_true(wire_next(&in, &field, &damaged) && field.number == 536870911 && field.bytes.size == 2);
    assert_true(wire_next(&in, &field, &damaged) && field.number == 6 && field.bytes.size == 0);
    assert_false(wire_next(&in, &field, &damaged));
    assert_false(damaged);
    text_free(&out);
}

/* A message may be cut between fields; anywhere else the cut must be seen. */
static void cuts(void **state)
{
    (void)state;
    struct text out = every_type();
    int whole = 0;
    for (size_t cut = 0; cut < out.size; cut++) {
        struct slice in = slice_of(out.data, cut);
        struct wire_field field;
        bool damaged;
        while (wire_next(&in, &field, &damaged))
            ;
        whole += !damaged;
        assert_true(damaged || in.size == 0);
    }
    assert_int_equal(whole, 6); /* six fields: a cut before each */
    text_free(&out);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        { "\x0B\x0C", 2 },                                      /* a group */
        { "\x0E\x00", 2 },                                      /* wire type 6 */
        { "\x00\x00", 2 },                                      /* field 0 */
        { "\x80\x80\x80\x80\x80\x01\x00", 7 },                  /* a number beyond 32 bits */
        { "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11 }, /* a length of 2^64 - 1 */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice in = slice_of(cases[i].bytes, cases[i].size);
        struct wire_field field;
        bool damaged = false;
        assert_false(wire_next(&in, &field, &damaged));
        assert_true(damaged);
    }
}

static void failure_spreads(void **state)
{
    (void)state;
    struct text inner = { .failed = true }, out = { 0 };
    wire_put_message(&out, 1, &inner);
    assert_true(out.failed);
    text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints), cmocka_unit_test(zigzag),  cmocka_unit_test(fields),
        cmocka_unit_test(cuts),    cmocka_unit_test(refused), cmocka_unit_test(failure_spreads),
    };
    return cmocka_run_group_tests_name("format/wire", tests, NULL, NULL);
}
