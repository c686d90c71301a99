/* SPDX-License-Identifier: Apache-2.0 */
/* Types and shapes. */
#include "tensor/tensor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void types(void **state)
{
    (void)state;
    static const struct {
        int number; /* types.proto */
        size_t size;
        const char *name;
    } cases[] = { { 1, 4, "float32" }, { 2, 8, "float64" },  { 3, 4, "int32" },   { 4, 1, "uint8" },  { 5, 2, "int16" },
                  { 6, 1, "int8" },    { 7, 0, "string" },   { 9, 8, "int64" },   { 10, 1, "bool" },  { 14, 2, "bfloat16" },
                  { 17, 2, "uint16" }, { 19, 2, "float16" }, { 22, 4, "uint32" }, { 23, 8, "uint64" } };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        enum dtype dtype = (enum dtype)cases[i].number;
        assert_int_equal(dtype_size(dtype), cases[i].size);
        assert_string_equal(dtype_name(dtype), cases[i].name);
        assert_int_equal(dtype_find(slice_text(cases[i].name)), dtype);
    }
    assert_int_equal(dtype_size(DTYPE_NONE), 0);
    assert_string_equal(dtype_name((enum dtype)99), "unknown type");
    assert_int_equal(dtype_find(slice_text("float")), DTYPE_NONE);
    assert_int_equal(dtype_find(slice_of("float32x", 7)), DTYPE_FLOAT32);
}

static void equality(void **state)
{
    (void)state;
    assert_true(shape_equal(SHAPE(2, 3), SHAPE(2, 3)));
    assert_false(shape_equal(SHAPE(2, 3), SHAPE(3, 2)));
    assert_false(shape_equal(SHAPE(2), SHAPE(2, 0)));
    assert_true(shape_equal(SHAPE_SCALAR, SHAPE_SCALAR));
    assert_true(shape_equal(SHAPE(BATCH_DIM, 3), SHAPE(BATCH_DIM, 3)));
    struct shape dirty = SHAPE(2, 3);
    dirty.dims[5] = 9; /* beyond the rank nothing counts */
    assert_true(shape_equal(dirty, SHAPE(2, 3)));
}

static void elements(void **state)
{
    (void)state;
    assert_int_equal(shape_elements(SHAPE_SCALAR), 1);
    assert_int_equal(shape_elements(SHAPE(2, 3, 4)), 24);
    assert_int_equal(shape_elements(SHAPE(BATCH_DIM, 3)), -1);
    assert_int_equal(shape_elements(SHAPE(0, BATCH_DIM)), -1);
    assert_int_equal(shape_elements(SHAPE(5, 0, 3)), 0);
    const int64_t half = (int64_t)1 << 32;
    assert_int_equal(shape_elements(SHAPE(half, half)), -1);
    assert_int_equal(shape_elements(SHAPE(half, half, 0)), 0);
    assert_int_equal(shape_elements(SHAPE(0, half, half)), 0);
    assert_int_equal(shape_elements(SHAPE(half / 2, half - 1)), (half / 2) * (half - 1));
    assert_int_equal(shape_elements(SHAPE(INT64_MAX, 1)), INT64_MAX);
}

static void batch(void **state)
{
    (void)state;
    assert_true(shape_equal(shape_with_batch(SHAPE(BATCH_DIM, 3, BATCH_DIM), 7), SHAPE(7, 3, 7)));
    assert_true(shape_equal(shape_with_batch(SHAPE(2, 3), 7), SHAPE(2, 3)));
    char text[128];
    assert_string_equal(shape_text(SHAPE(BATCH_DIM, 16), text), "[?, 16]");
    assert_string_equal(shape_text(SHAPE_SCALAR, text), "[]");
}

static void broadcasting(void **state)
{
    (void)state;
    const struct {
        struct shape a, b, result;
        bool fits;
    } cases[] = {
        { SHAPE(2, 3), SHAPE(2, 3), SHAPE(2, 3), true },
        { SHAPE(2, 3), SHAPE(3), SHAPE(2, 3), true },
        { SHAPE(2, 1), SHAPE(1, 5), SHAPE(2, 5), true },
        { SHAPE(2, 3), SHAPE_SCALAR, SHAPE(2, 3), true },
        { SHAPE_SCALAR, SHAPE_SCALAR, SHAPE_SCALAR, true },
        { SHAPE(4, 1, 3), SHAPE(2, 1), SHAPE(4, 2, 3), true },
        { SHAPE(BATCH_DIM, 3), SHAPE(1, 3), SHAPE(BATCH_DIM, 3), true },
        { SHAPE(BATCH_DIM, 1), SHAPE(BATCH_DIM, 4), SHAPE(BATCH_DIM, 4), true },
        { SHAPE(0, 3), SHAPE(1, 3), SHAPE(0, 3), true },
        { SHAPE(2, 3), SHAPE(2), SHAPE_SCALAR, false },
        { SHAPE(BATCH_DIM, 3), SHAPE(2, 3), SHAPE_SCALAR, false },
        { SHAPE(0, 3), SHAPE(2, 3), SHAPE_SCALAR, false },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct shape one = SHAPE(99), other = SHAPE(99);
        assert_int_equal(shape_broadcast(cases[i].a, cases[i].b, &one), cases[i].fits);
        assert_int_equal(shape_broadcast(cases[i].b, cases[i].a, &other), cases[i].fits);
        struct shape expected = cases[i].fits ? cases[i].result : SHAPE(99); /* untouched on failure */
        assert_true(shape_equal(one, expected) && shape_equal(other, expected));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types), cmocka_unit_test(equality),     cmocka_unit_test(elements),
        cmocka_unit_test(batch), cmocka_unit_test(broadcasting),
    };
    return cmocka_run_group_tests_name("tensor/shape", tests, NULL, NULL);
}
