/* SPDX-License-Identifier: Apache-2.0 */
/* The list of all rows, and what op_infer checks for every op. */
#include "op/harness.h"

static void every_row_is_whole(void **state)
{
    (void)state;
    assert_true(op_count() >= 40);
    for (size_t i = 0; i < op_count(); i++) {
        const struct op_row *row = op_at(i);
        assert_true(row->name && row->name[0] && row->help && row->help[0]);
        assert_ptr_equal(op_find(row->name), row); /* so no name is given twice */
        assert_non_null(row->infer);
        assert_true((row->run == NULL) == ((row->flags & OP_RECORD) != 0));
        assert_true(row->min_inputs >= 1 && (row->max_inputs < 0 || row->max_inputs >= row->min_inputs));
        assert_true(row->outputs >= 0 && row->outputs <= OP_MAX_OUTPUTS);
    }
    assert_null(op_at(op_count()));
    assert_null(op_find("matmull"));
    assert_null(op_find(""));
}

/* No op takes an input too few, or one too many; the error says how many it takes. */
static void counts_inputs(void **state)
{
    (void)state;
    enum { ENOUGH = 16 };
    struct op_type types[ENOUGH] = { { .dtype = DTYPE_FLOAT32 } };
    for (size_t i = 0; i < op_count(); i++) {
        const struct op_row *row = op_at(i);
        const int wrong[] = { row->min_inputs - 1, row->max_inputs + 1 };
        for (int k = 0; k < (row->max_inputs < 0 ? 1 : 2); k++) {
            pil_status status = { 0 };
            char number[32];
            struct op_infer infer = { .input_count = wrong[k], .inputs = types, .status = &status };
            assert_true(wrong[k] <= ENOUGH);
            assert_false(op_infer(row, &infer));
            assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
            snprintf(number, sizeof number, "%d", row->min_inputs);
            assert_true(strncmp(status.message, row->name, strlen(row->name)) == 0 && strstr(status.message, number));
        }
    }
}

/* The error holds what its inputs are called, with shapes, and stays one line however many there are. */
static void names_inputs(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct op_type types[100];
    const char *names[100];
    for (int i = 0; i < 100; i++) {
        types[i] = (struct op_type){ .dtype = DTYPE_FLOAT32, .extent = EXTENT_ROWS, .shape = SHAPE(BATCH_DIM, i, 1234567890123) };
        names[i] = i == 1 ? NULL : "a_column_with_a_rather_long_name";
    }
    struct op_infer infer = {
        .args = &(struct op_axis_args){ 1 }, .input_count = 2, .inputs = types, .input_names = names, .status = &status
    };
    types[1].shape.rank = 2;
    assert_false(op_infer(op_find("concat"), &infer));
    assert_string_equal(
        status.message,
        "concat(a_column_with_a_rather_long_name [?, 0, 1234567890123], input [?, 1]): input 2 has another type or rank");
    status_clear(&status);
    infer.input_count = 100;
    assert_false(op_infer(op_find("concat"), &infer));
    assert_true(strlen(status.message) < sizeof status.message && !strchr(status.message, '\n'));
}

/* What op_infer checks for every rule: where the batch axis stands in a result. */
static struct op_type result;

static bool any_rule(struct op_infer *infer)
{
    infer->outputs[0] = result;
    return true;
}

static bool allowed(enum extent extent, struct shape shape)
{
    static const struct op_row row = { .name = "any", .infer = any_rule, .max_inputs = 1 };
    pil_status status = { 0 };
    struct op_type input = { .dtype = DTYPE_FLOAT32 };
    struct op_infer infer = { .input_count = 1, .inputs = &input, .status = &status };
    result = (struct op_type){ .dtype = DTYPE_FLOAT32, .extent = extent, .shape = shape };
    bool ok = op_infer(&row, &infer);
    assert_true(ok == status_ok(&status));
    return ok;
}

static void the_batch_axis_stands_first(void **state)
{
    (void)state;
    assert_true(allowed(EXTENT_ROWS, SHAPE(BATCH_DIM)) && allowed(EXTENT_ROWS, SHAPE(BATCH_DIM, 3)));
    assert_true(allowed(EXTENT_BATCH, SHAPE(3, BATCH_DIM)) && allowed(EXTENT_BATCH, SHAPE(3)) &&
                allowed(EXTENT_BATCH, SHAPE_SCALAR));
    assert_true(allowed(EXTENT_FIXED, SHAPE(3, 4)) && allowed(EXTENT_FIXED, SHAPE_SCALAR));
    assert_false(allowed(EXTENT_ROWS, SHAPE(3)) || allowed(EXTENT_ROWS, SHAPE_SCALAR));
    assert_false(allowed(EXTENT_ROWS, SHAPE(BATCH_DIM, BATCH_DIM)) || allowed(EXTENT_ROWS, SHAPE(3, BATCH_DIM)));
    assert_false(allowed(EXTENT_BATCH, SHAPE(BATCH_DIM, 3)) || allowed(EXTENT_FIXED, SHAPE(BATCH_DIM)));
    assert_false(allowed(EXTENT_FIXED, SHAPE(3, BATCH_DIM)));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_row_is_whole), cmocka_unit_test(counts_inputs),
                                        cmocka_unit_test(names_inputs), cmocka_unit_test(the_batch_axis_stands_first) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
