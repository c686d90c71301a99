/* SPDX-License-Identifier: Apache-2.0 */
/* Snappy's blocks: each kind of element, a block of TensorFlow's, and no byte written or read outside whatever comes. */
#include "format/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Uncompresses from and into memory of the exact sizes; NULL when it is refused. */
static char *uncompress(const char *bytes, size_t count, size_t *size)
{
    char *in = malloc(count + 1), *out = NULL;
    memcpy(in, bytes, count);
    in = realloc(in, count > 0 ? count : 1);
    if (snappy_size(slice_of(in, count), size)) {
        out = malloc(*size > 0 ? *size : 1);
        if (!snappy_uncompress(slice_of(in, count), out, *size)) {
            free(out);
            out = NULL;
        }
    }
    free(in);
    return out;
}

static void expect(const char *bytes, size_t count, const char *expected, size_t expected_size)
{
    size_t size;
    char *out = uncompress(bytes, count, &size);
    assert_non_null(out);
    assert_int_equal(size, expected_size);
    assert_memory_equal(out, expected, size);
    free(out);
}

static void each_element(void **state)
{
    (void)state;
    expect("\x00", 1, "", 0);
    expect("\x05\x10hello", 7, "hello", 5);
    expect("\x05\xF0\x04hello", 8, "hello", 5);              /* a length of one byte */
    expect("\x05\xF4\x04\x00hello", 9, "hello", 5);          /* of two */
    expect("\x05\xFC\x04\x00\x00\x00hello", 11, "hello", 5); /* of four */
    expect("\x08\x0C"
           "abcd\x01\x04",
           8, "abcdabcd", 8); /* copy, offset of 11 bits */
    expect("\x08\x0C"
           "abcd\x0E\x04\x00",
           9, "abcdabcd", 8); /* of two bytes */
    expect("\x08\x0C"
           "abcd\x0F\x04\x00\x00\x00",
           11, "abcdabcd", 8); /* of four bytes */
    expect("\x09\x00"
           "a\x12\x01\x00"
           "\x08"
           "end",
           10, "aaaaaaend", 9);
}

static void far_copy(void **state)
{
    (void)state;
    /* 300 bytes of literal, then 4 bytes from 300 back: the offset's upper bits stand in the tag. */
    char in[400], expected[304];
    size_t at = 0;
    memcpy(in, "\xB0\x02\xF4\x2B\x01", 5);
    at = 5;
    for (int i = 0; i < 300; i++)
        in[at++] = expected[i] = (char)i;
    in[at++] = (char)(0x01 | 1 << 5);
    in[at++] = 44;
    memcpy(expected + 300, expected, 4);
    expect(in, at, expected, 304);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        { "", 0 },
        { "\x05\x10hell", 6 },  /* literal cut off */
        { "\x04\x10hello", 7 }, /* more than was said */
        { "\x06\x10hello", 7 }, /* less */
        { "\x05\xF4\x04", 3 },  /* length cut off */
        { "\x08\x0C"
          "abcd\x01\x05",
          8 }, /* from before the beginning */
        { "\x08\x0C"
          "abcd\x01\x00",
          8 }, /* offset 0 */
        { "\x07\x0C"
          "abcd\x01\x04",
          8 }, /* copies beyond the end */
        { "\x08\x0C"
          "abcd\x0E\x04",
          8 }, /* offset cut off */
        { "\xFF\xFF\xFF\xFF\x0F\x00"
          "a",
          7 }, /* a length of 4 GB */
        { "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x00"
          "a",
          12 },
        { "\x05\xFC\xFF\xFF\xFF\xFFhello", 11 },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t size;
        assert_null(uncompress(cases[i].bytes, cases[i].size, &size));
    }
}

static void any_bytes(void **state)
{
    (void)state;
    static const char good[] = "\x40\x0C"
                               "abcd\x01\x04\x0E\x03\x00\xF0\x10"
                               "0123456789abcdefg\x2E\x07\x00\x2A\x02\x00";
    char copy[sizeof good];
    int worked = 0;
    for (uint32_t i = 0; i < 40000; i++) {
        uint32_t draw = i * 2654435761u;
        size_t size;
        memcpy(copy, good, sizeof good);
        copy[(draw >> 8) % (sizeof good - 1)] = (char)(draw >> 24);
        copy[(draw >> 12) % (sizeof good - 1)] ^= (char)(1 << (i % 8));
        char *out = uncompress(copy, sizeof good - 1 - i % 3, &size);
        worked += out != NULL;
        free(out);
    }
    assert_in_range(worked, 1, 39999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_element),
        cmocka_unit_test(far_copy),
        cmocka_unit_test(refused),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests_name("format/snappy", tests, NULL, NULL);
}
