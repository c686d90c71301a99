/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of variables: keys as TensorFlow writes them, boxes of any rank in their places. */
#include "format/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define EXPECT_KEY(name, bytes, ...) expect_key(name, (struct part){ __VA_ARGS__ }, bytes, sizeof(bytes) - 1)
static void expect_key(const char *name, struct part part, const char *bytes, size_t size)
{
    struct text key = { 0 };
    part_key(&key, name, &part);
    assert_int_equal(key.size, size);
    assert_memory_equal(key.data, bytes, size);
    text_free(&key);
}

/* tf_made_bundles/partitioned.index has the first three; the others follow ordered_code.cc's tables. */
static void keys(void **state)
{
    (void)state;
    EXPECT_KEY("embedding_weights", "\0embedding_weights\0\1\1\2\x80\xC1\x4E\x80\x88", .shape = SHAPE(334, 8));
    EXPECT_KEY("embedding_weights", "\0embedding_weights\0\1\1\2\xC1\x4E\xC1\x4D\x80\x88", .shape = SHAPE(333, 8),
               .start = { 334, 0 });
    EXPECT_KEY("embedding_weights", "\0embedding_weights\0\1\1\2\xC2\x9B\xC1\x4D\x80\x88", .shape = SHAPE(333, 8),
               .start = { 667, 0 });
    EXPECT_KEY("a", "\0a\0\1\1\1\x80\x7F", .shape = SHAPE(7), .whole = { true });
    EXPECT_KEY("a\xFF"
               "b",
               "\0a\xFF\0b\0\1\0", .shape = SHAPE_SCALAR);
    EXPECT_KEY("x", "\0x\0\1\1\1\xC0\x40\xBF", .shape = SHAPE(63), .start = { 64 });
    EXPECT_KEY("x", "\0x\0\1\1\1\xE0\x20\x00\xDF\xFF", .shape = SHAPE(8191), .start = { 8192 });
    EXPECT_KEY("x", "\0x\0\1\1\1\xFF\xC0\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFE\x81", .shape = SHAPE(1), .start = { INT64_MAX - 1 });
}

/* Ordered code sorts as the numbers do. */
static void order(void **state)
{
    (void)state;
    struct text before = { 0 };
    for (int64_t value = 0; value < INT64_MAX / 3; value = value < 200 ? value + 1 : value * 3 / 2) {
        struct text key = { 0 };
        part_key(&key, "n", &(struct part){ .shape = SHAPE(1), .start = { value } });
        assert_true(slice_compare(slice_of(before.data, before.size), slice_of(key.data, key.size)) < 0);
        text_free(&before);
        before = key;
    }
    text_free(&before);
}

/* A [3, 4, 5] tensor, cut into two boxes along each axis, comes together again. */
static void boxes(void **state)
{
    (void)state;
    struct shape whole = SHAPE(3, 4, 5);
    for (int axis = 0; axis < 3; axis++) {
        int16_t values[60], out[60];
        memset(out, 0xEE, sizeof out);
        for (int i = 0; i < 60; i++)
            values[i] = (int16_t)(1000 + i);
        for (int half = 0; half < 2; half++) {
            struct part part = { .shape = whole };
            part.start[axis] = half == 0 ? 0 : 2;
            part.shape.dims[axis] = half == 0 ? 2 : whole.dims[axis] - 2;
            int16_t box[60];
            int count = 0;
            for (int i = 0; i < 60; i++) {
                int at[3] = { i / 20, i / 5 % 4, i % 5 };
                if (at[axis] >= part.start[axis] && at[axis] < part.start[axis] + part.shape.dims[axis])
                    box[count++] = values[i];
            }
            part_copy(&part, whole, sizeof *box, box, out);
        }
        assert_memory_equal(out, values, sizeof values);
    }
    float scalar = 2.5f, copied = 0;
    struct part all = { .shape = SHAPE_SCALAR };
    part_copy(&all, SHAPE_SCALAR, sizeof scalar, &scalar, &copied);
    assert_true(copied == scalar);
    struct part empty = { .shape = SHAPE(0, 4) };
    part_copy(&empty, SHAPE(3, 4), sizeof scalar, NULL, NULL); /* copies nothing */
}

static void overlaps(void **state)
{
    (void)state;
    struct part a = { .shape = SHAPE(2, 2), .start = { 0, 0 } };
    struct part beside = { .shape = SHAPE(2, 2), .start = { 0, 2 } }, across = { .shape = SHAPE(2, 2), .start = { 1, 1 } };
    assert_false(part_overlaps(&a, &beside));
    assert_false(part_overlaps(&beside, &a));
    assert_true(part_overlaps(&a, &across));
    assert_true(part_overlaps(&across, &a));
    assert_true(part_overlaps(&a, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),
        cmocka_unit_test(order),
        cmocka_unit_test(boxes),
        cmocka_unit_test(overlaps),
    };
    return cmocka_run_group_tests_name("format/part", tests, NULL, NULL);
}
