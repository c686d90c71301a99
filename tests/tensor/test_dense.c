/* SPDX-License-Identifier: Apache-2.0 */
/* Dense values: the cut into rows, pads, copies between layouts. */
#include "failing.h"
#include "tensor/tensor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void cuts(void **state)
{
    (void)state;
    const struct {
        struct shape shape;
        bool is_rows;
        int64_t rows, cols, ld;
    } cases[] = {
        { SHAPE_SCALAR, false, 1, 1, 1 },     { SHAPE_SCALAR, true, 1, 1, 1 },      { SHAPE(5), false, 1, 5, 16 },
        { SHAPE(5), true, 5, 1, 1 },          { SHAPE(4, 16), false, 4, 16, 16 },   { SHAPE(4, 17), true, 4, 17, 32 },
        { SHAPE(4, 3, 2), false, 12, 2, 16 }, { SHAPE(4, 3, 20), true, 4, 60, 64 }, { SHAPE(4, 3, 1), false, 12, 1, 1 },
        { SHAPE(0, 3), true, 0, 3, 16 },      { SHAPE(3, 0), true, 3, 0, 0 },       { SHAPE(2, 0, 3), false, 0, 3, 16 },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tensor view = tensor_view(NULL, DTYPE_FLOAT32, cases[i].shape, cases[i].is_rows);
        assert_int_equal(view.rows, cases[i].rows);
        assert_int_equal(view.cols, cases[i].cols);
        assert_int_equal(view.ld, cases[i].ld);
        assert_true(shape_equal(view.shape, cases[i].shape));
        int64_t places = cases[i].rows * cases[i].ld;
        assert_int_equal(tensor_bytes(DTYPE_FLOAT32, cases[i].shape, cases[i].is_rows), 4 * places);
        assert_int_equal(tensor_bytes(DTYPE_INT64, cases[i].shape, cases[i].is_rows), 8 * places);
    }
    const int64_t huge = (int64_t)1 << 40;
    assert_true(tensor_bytes(DTYPE_FLOAT32, SHAPE(huge, huge), false) == SIZE_MAX);
    assert_true(tensor_bytes(DTYPE_FLOAT32, SHAPE(INT64_MAX - 3), false) == SIZE_MAX);
    assert_true(tensor_bytes(DTYPE_FLOAT64, SHAPE(huge, huge >> 18), true) == SIZE_MAX);
}

static void owned(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct tensor tensor;
    assert_true(tensor_new(&tensor, DTYPE_FLOAT32, SHAPE(3, 20), true, &status));
    assert_int_equal((uintptr_t)tensor.data % 64, 0);
    for (int64_t i = 0; i < tensor.rows * tensor.ld; i++)
        assert_true(tensor_floats(&tensor)[i] == 0);
    tensor_free(&tensor);
    assert_null(tensor.data);
    tensor_free(&tensor);
    tensor_free(NULL);
    /* Seven values have no pads, but a vector over the end stays within the memory. */
    assert_true(tensor_new(&tensor, DTYPE_FLOAT32, SHAPE(7), true, &status));
    assert_true(tensor_floats(&tensor)[15] == 0);
    tensor_free(&tensor);
    assert_true(tensor_new(&tensor, DTYPE_FLOAT32, SHAPE(0, 3), true, &status));
    assert_non_null(tensor.data);
    tensor_free(&tensor);
}

static void refused(void **state)
{
    (void)state;
    const int64_t huge = (int64_t)1 << 40;
    const struct {
        enum dtype dtype;
        struct shape shape;
        pil_code code;
        const char *word;
    } cases[] = {
        { DTYPE_STRING, SHAPE(2), PIL_INVALID_ARGUMENT, "string" },
        { DTYPE_NONE, SHAPE(2), PIL_INVALID_ARGUMENT, "unknown type" },
        { DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2), PIL_INVALID_ARGUMENT, "[?, 2]" },
        { DTYPE_FLOAT32, SHAPE(huge, huge), PIL_NO_MEMORY, "1099511627776" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_status status = { 0 };
        struct tensor tensor;
        assert_false(tensor_new(&tensor, cases[i].dtype, cases[i].shape, true, &status));
        assert_null(tensor.data);
        assert_int_equal(status.code, cases[i].code);
        assert_non_null(strstr(status.message, cases[i].word));
    }
    pil_status status = { 0 };
    struct tensor tensor;
    failing_start(0, false);
    assert_false(tensor_new(&tensor, DTYPE_FLOAT32, SHAPE(2), true, &status));
    assert_true(failing_stop());
    assert_int_equal(status.code, PIL_NO_MEMORY);
}

/* Every pair of layouts of one shape; what lies between the target's rows holds 77 before and after. */
static void copies(void **state)
{
    (void)state;
    pil_status status = { 0 };
    enum { LAYOUTS = 4, VALUES = 4 * 3 * 20 };
    const struct shape shape = SHAPE(4, 3, 20);
    for (int pair = 0; pair < LAYOUTS * LAYOUTS; pair++) {
        int f = pair / LAYOUTS, t = pair % LAYOUTS;
        struct tensor from, to;
        assert_true(tensor_new(&from, DTYPE_FLOAT32, shape, f % 2 == 0, &status));
        assert_true(tensor_new(&to, DTYPE_FLOAT32, shape, t % 2 == 0, &status));
        for (int64_t i = 0; i < to.rows * to.ld; i++)
            tensor_floats(&to)[i] = 77;
        if (f >= 2) /* without pads */
            from.ld = from.cols;
        if (t >= 2)
            to.ld = to.cols;
        float values[VALUES], back[VALUES];
        for (int i = 0; i < VALUES; i++)
            values[i] = (float)(i + 1);
        tensor_unpack(values, &from);
        tensor_copy(&from, &to);
        tensor_pack(&to, back);
        assert_memory_equal(values, back, sizeof(values));
        for (int64_t r = 0; r < to.rows; r++)
            for (int64_t c = 0; c < to.ld; c++)
                assert_true(tensor_floats(&to)[r * to.ld + c] == (c < to.cols ? (float)(r * to.cols + c + 1) : 77));
        tensor_free(&from);
        tensor_free(&to);
    }
}

static void copies_of_other_types(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct tensor bytes, none;
    assert_true(tensor_new(&bytes, DTYPE_UINT8, SHAPE(2, 3), true, &status));
    const uint8_t values[6] = { 1, 2, 3, 4, 5, 6 };
    uint8_t back[6];
    tensor_unpack(values, &bytes);
    assert_int_equal(((uint8_t *)bytes.data)[16], 4);
    assert_int_equal(((uint8_t *)bytes.data)[3], 0);
    tensor_pack(&bytes, back);
    assert_memory_equal(values, back, 6);
    tensor_free(&bytes);
    assert_true(tensor_new(&none, DTYPE_FLOAT32, SHAPE(3, 0), true, &status)); /* nothing to copy, no endless loop */
    tensor_copy(&none, &none);
    tensor_pack(&none, back);
    tensor_free(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts),
        cmocka_unit_test(owned),
        cmocka_unit_test(refused),
        cmocka_unit_test(copies),
        cmocka_unit_test(copies_of_other_types),
    };
    return cmocka_run_group_tests_name("tensor/dense", tests, NULL, NULL);
}
