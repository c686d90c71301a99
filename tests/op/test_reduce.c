/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over the batch and over axes, repetitions that undo them, the scale of a plain mean. */
#include "op/onnx.h"
#include "op/refusals.h"

/* The position in a tensor of shape `from` of element n of shape `to`, `from` broadcast to it. */
static int64_t under(struct shape from, struct shape to, int64_t n)
{
    int64_t index[SHAPE_MAX_RANK], at = 0;
    for (int axis = to.rank - 1; axis >= 0; axis--) {
        index[axis] = n % to.dims[axis];
        n /= to.dims[axis];
    }
    for (int axis = 0; axis < from.rank; axis++)
        at = at * from.dims[axis] + (from.dims[axis] == 1 ? 0 : index[axis + to.rank - from.rank]);
    return at;
}

static void sum_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    struct shape in = shape_with_batch(t->inputs[0].shape, rows), out = shape_with_batch(t->outputs[0], rows);
    memset(y[0], 0, (size_t)shape_elements(out) * sizeof(double));
    for (int64_t n = 0; n < shape_elements(in); n++)
        y[0][under(out, in, n)] += x[0][n];
}

static void repeat_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    struct shape in = shape_with_batch(t->inputs[0].shape, rows), out = shape_with_batch(t->outputs[0], rows);
    for (int64_t n = 0; n < shape_elements(out); n++)
        y[0][n] = x[0][under(in, out, n)];
}

static void sum_all(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 1 } }, { 1, { BATCH_DIM } }, { 3, { BATCH_DIM, 3, 6 } },
        { 2, { 3, 5 } },         { 1, { 20 } },           { 0, { 0 } },
    };
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        bool rows = has_rows(shapes[i]);
        struct trial t = { .op = "sum_all",
                           .inputs = { { .shape = shapes[i] } },
                           .input_count = 1,
                           .outputs = { { 0, { 0 } } },
                           .extent = rows ? EXTENT_BATCH : EXTENT_FIXED,
                           .behaviour = rows ? BEHAVIOUR_REDUCES : BEHAVIOUR_WHOLE,
                           .reference = sum_reference,
                           .tolerance = 1e-12 };
        try_op(&t);
    }
}

/* Every way in which a shape can come from another by broadcasting; both directions. */
static const struct pair {
    struct shape large, small;
} pairs[] = {
    { { 2, { BATCH_DIM, 5 } }, { 1, { 5 } } },
    { { 2, { BATCH_DIM, 5 } }, { 2, { 1, 5 } } },
    { { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 1 } } },
    { { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 5 } } },
    { { 2, { BATCH_DIM, 5 } }, { 2, { 1, 1 } } },
    { { 2, { BATCH_DIM, 5 } }, { 1, { 1 } } },
    { { 2, { BATCH_DIM, 5 } }, { 0, { 0 } } },
    { { 2, { BATCH_DIM, 1 } }, { 1, { 1 } } },
    { { 1, { BATCH_DIM } }, { 0, { 0 } } },
    { { 1, { BATCH_DIM } }, { 1, { 1 } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 1, { 4 } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 2, { 3, 4 } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 2, { 3, 1 } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 3, { BATCH_DIM, 1, 4 } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 3, { BATCH_DIM, 3, 1 } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 3, { BATCH_DIM, 1, 1 } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 3, { 1, 3, 1 } } },
    { { 2, { 3, 17 } }, { 1, { 17 } } },
    { { 2, { 3, 17 } }, { 2, { 3, 1 } } },
    { { 3, { 2, 3, 4 } }, { 2, { 1, 4 } } },
    { { 3, { 2, 3, 4 } }, { 3, { 2, 1, 1 } } },
    { { 1, { 6 } }, { 0, { 0 } } },
    { { 0, { 0 } }, { 0, { 0 } } },
};

static void sum_to(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        bool in = has_rows(pairs[i].large), out = has_rows(pairs[i].small);
        struct op_reshape_args args = { pairs[i].small };
        struct trial t = { .op = "sum_to",
                           .args = &args,
                           .inputs = { { .shape = pairs[i].large } },
                           .input_count = 1,
                           .outputs = { pairs[i].small },
                           .extent = out  ? EXTENT_ROWS
                                     : in ? EXTENT_BATCH
                                          : EXTENT_FIXED,
                           .behaviour = !in   ? BEHAVIOUR_WHOLE
                                        : out ? BEHAVIOUR_ROW_BY_ROW
                                              : BEHAVIOUR_REDUCES,
                           .reference = sum_reference,
                           .tolerance = 1e-5 };
        try_op(&t);
    }
}

static void broadcast_like(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        bool rows = has_rows(pairs[i].large);
        struct trial t = { .op = "broadcast_like",
                           .inputs = { { .shape = pairs[i].small }, { .shape = pairs[i].large, .data = true } },
                           .input_count = 2,
                           .outputs = { pairs[i].large },
                           .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                           .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                           .reference = repeat_reference };
        try_op(&t);
    }
}

static void divide_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    int64_t factor = ((const struct op_count_args *)t->args)->factor;
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] = x[0][n] / (double)(rows * MAX(factor, 1));
}

/* By itself it sees no rows in the harness (1 row); within a model its divisor is the batch's: see rows_of_the_batch. */
static void divide_by_rows(void **state)
{
    (void)state;
    static const struct shape shapes[] = { { 0, { 0 } }, { 1, { 5 } }, { 2, { 3, 18 } } };
    for (size_t i = 0; i < COUNT_OF(shapes); i++)
        for (int64_t factor = 0; factor < 4; factor++) {
            struct op_count_args args = { factor };
            struct trial t = { .op = "divide_by_rows",
                               .args = &args,
                               .inputs = { { .shape = shapes[i] } },
                               .input_count = 1,
                               .outputs = { shapes[i] },
                               .extent = EXTENT_FIXED,
                               .behaviour = BEHAVIOUR_WHOLE,
                               .reference = divide_reference };
            try_op(&t);
        }
}

/* A mean in double precision, however the batch is cut: sum_all's float64 goes straight in. */
static void rows_of_the_batch(void **state)
{
    (void)state;
    static const int64_t sizes[] = { 1, 3, 64, 65, 333, 4096 };
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        pil_status status = { 0 };
        struct pil_graph *g = graph_new(&status);
        struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3), false);
        struct pil_tensor *mean = graph_op1(g, "divide_by_rows", &(struct op_count_args){ 3 }, graph_op1(g, "sum_all", NULL, x));
        assert_int_equal(mean->type.extent, EXTENT_BATCH);
        assert_int_equal(mean->type.dtype, DTYPE_FLOAT32);
        struct plan *plan = plan_compile(g, &mean, 1, &status);
        struct threads *threads = threads_new(2, &status);
        struct session *session = session_new(plan, threads, kernel_get(), 1, &status);
        struct tensor values;
        assert_true(tensor_new(&values, DTYPE_FLOAT32, SHAPE(sizes[s], 3), true, &status));
        double sum = 0;
        for (int64_t r = 0; r < sizes[s]; r++)
            for (int64_t c = 0; c < 3; c++)
                sum += (double)(tensor_floats(&values)[r * values.ld + c] = (float)uniform(-1, 3));
        session_input(session, "x", &(struct op_value){ .tensor = values });
        session_run(session, sizes[s], 0, NULL, 0, &status);
        assert_ok(status);
        assert_true(fabs(session_scalar(session, 0) - sum / (double)(3 * sizes[s])) < 1e-7);
        session_free(session);
        threads_free(threads);
        plan_free(plan);
        graph_free(g);
        tensor_free(&values);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct op_reshape_args vector = { { 1, { 3 } } }, matrix = { { 2, { 2, 3 } } },
                                        rows = { { 2, { BATCH_DIM, 3 } } };
    static const struct op_count_args count = { 1 };
    static const struct refusal list[] = {
        { "sum_all", NULL, "input 1 is sparse", 1, { IDS } },
        { "sum_all", NULL, "input 1 is int64", 1, { INTEGERS(3) } },
        { "sum_all", NULL, "takes 1 input, got 2", 2, { DENSE(3), DENSE(3) } },
        { "divide_by_rows", &count, "without a batch axis", 1, { ROWS_OF(3) } },
        { "divide_by_rows", &count, "without a batch axis", 1, { IDS } },
        { "divide_by_rows", &count, "a float tensor", 1, { { .dtype = DTYPE_INT32 } } },
        { "broadcast_like", NULL, "cannot be repeated", 2, { DENSE(4), ROWS_OF(3) } },
        { "broadcast_like", NULL, "cannot be repeated", 2, { ROWS_OF(3), DENSE(3) } },
        { "broadcast_like", NULL, "input 2 is sparse", 2, { SCALAR, IDS } },
        { "sum_to", &vector, "cannot be summed to [3]", 1, { ROWS_OF(4) } },
        { "sum_to", &matrix, "cannot be summed to [2, 3]", 1, { ROWS_OF(3) } },
        { "sum_to", &matrix, "cannot be summed to [2, 3]", 1, { DENSE(3) } },
        { "sum_to", &rows, "cannot be summed to [?, 3]", 1, { DENSE(2, 3) } },
        { "sum_to", &vector, "input 1 is float64", 1, { FLOAT64(2, 3) } },
    };
    check_refusals(list, COUNT_OF(list));
}

static void onnx(void **state)
{
    (void)state;
    static const struct op_reshape_args all = { { 3, { 1, 1, 1 } } }, middle = { { 3, { 3, 1, 2 } } },
                                        none = { { 3, { 3, 2, 2 } } };
    static const struct onnx_case list[] = {
        { "ReduceSum/reduce_sum_default_axes_keepdims_example", "sum_to", &all, 1, true },
        { "ReduceSum/reduce_sum_default_axes_keepdims_random", "sum_to", &all, 1, true },
        { "ReduceSum/reduce_sum_do_not_keepdims_random", "sum_to", &middle, 1, false },
        { "ReduceSum/reduce_sum_keepdims_example", "sum_to", &middle, 1, false },
        { "ReduceSum/reduce_sum_keepdims_random", "sum_to", &middle, 1, false },
        { "ReduceSum/reduce_sum_empty_axes_input_noop_example", "sum_to", &none, 1, false },
    };
    onnx_try(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sum_all),
        cmocka_unit_test(sum_to),
        cmocka_unit_test(broadcast_like),
        cmocka_unit_test(divide_by_rows),
        cmocka_unit_test(rows_of_the_batch),
        cmocka_unit_test(refusals),
        cmocka_unit_test(onnx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
