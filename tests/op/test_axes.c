/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions over every set of axes of every rank, with and without keepdims; ties, NaN, and where the largest stands. */
#include "op/onnx.h"
#include "op/refusals.h"
#include "pilaster/op.h"

/* ---- references ---- */

static bool goes(const pil_axes *axes, int axis, int rank)
{
    for (int i = 0; i < axes->count; i++)
        if (axes->items[i] == axis || axes->items[i] + rank == axis)
            return true;
    return axes->count == 0;
}

/* The element of the result into which element n of x goes. */
static int64_t goes_into(struct shape x, const pil_axes *axes, int64_t n)
{
    int64_t index[SHAPE_MAX_RANK], at = 0;
    for (int axis = x.rank - 1; axis >= 0; axis--) {
        index[axis] = n % x.dims[axis];
        n /= x.dims[axis];
    }
    for (int axis = 0; axis < x.rank; axis++)
        at = goes(axes, axis, x.rank) ? at : at * x.dims[axis] + index[axis];
    return at;
}

static void reduce_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const pil_axes *axes = &((const pil_reduce_options *)t->args)->axis;
    struct shape in = shape_with_batch(t->inputs[0].shape, rows);
    int64_t all = shape_elements(in), left = elements(t->outputs[0], rows);
    const char *kind = t->op + strlen("reduce_");
    for (int64_t k = 0; k < left; k++)
        y[0][k] = strcmp(kind, "max") == 0 ? -INFINITY : strcmp(kind, "min") == 0 ? INFINITY : 0;
    for (int64_t n = 0; n < all; n++) {
        double *to = &y[0][goes_into(in, axes, n)];
        *to = strcmp(kind, "max") == 0 ? fmax(*to, x[0][n]) : strcmp(kind, "min") == 0 ? fmin(*to, x[0][n]) : *to + x[0][n];
    }
    for (int64_t k = 0; k < left && strcmp(kind, "mean") == 0; k++)
        y[0][k] /= (double)(all / left);
}

static void argmax_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    int axis = ((const pil_argmax_options *)t->args)->axis;
    struct shape in = shape_with_batch(t->inputs[0].shape, rows);
    axis += axis < 0 ? in.rank : 0;
    pil_axes axes = { 1, { axis } };
    int64_t all = shape_elements(in), left = elements(t->outputs[0], rows), step = 1;
    double *most = doubles(left);
    for (int i = axis + 1; i < in.rank; i++)
        step *= in.dims[i];
    for (int64_t n = 0; n < all; n++) {
        int64_t k = goes_into(in, &axes, n), position = n / step % in.dims[axis];
        if (position == 0 || x[0][n] > most[k]) {
            most[k] = x[0][n];
            y[0][k] = (double)position;
        }
    }
    free(most);
}

/* ---- every set of axes ---- */

static struct shape left_of(struct shape shape, const pil_axes *axes, bool keepdims)
{
    struct shape out = { 0 };
    for (int i = 0; i < shape.rank; i++)
        if (keepdims || !goes(axes, i, shape.rank))
            out.dims[out.rank++] = goes(axes, i, shape.rank) ? 1 : shape.dims[i];
    return out;
}

static struct trial reducing(const char *op, const void *args, const pil_axes *axes, bool keepdims, struct shape shape)
{
    bool rows = has_rows(shape);
    struct trial t = {
        .op = op, .args = args, .inputs = { { .shape = shape } }, .input_count = 1, .outputs = { left_of(shape, axes, keepdims) }
    };
    bool batch_left = has_rows(t.outputs[0]), sums = strstr(op, "sum") || strstr(op, "mean");
    t.extent = batch_left ? EXTENT_ROWS : rows ? EXTENT_BATCH : EXTENT_FIXED;
    t.behaviour = batch_left ? BEHAVIOUR_ROW_BY_ROW : rows && sums ? BEHAVIOUR_REDUCES : BEHAVIOUR_WHOLE;
    return t;
}

static const struct shape shapes[] = {
    { 1, { BATCH_DIM } },
    { 2, { BATCH_DIM, 5 } },
    { 2, { BATCH_DIM, 1 } },
    { 2, { BATCH_DIM, 37 } },
    { 3, { BATCH_DIM, 3, 4 } },
    { 4, { BATCH_DIM, 2, 1, 3 } },
    { 0, { 0 } },
    { 1, { 19 } },
    { 2, { 3, 17 } },
    { 3, { 2, 3, 4 } },
};

static void every_set_of_axes(const char *op)
{
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (int set = 0; set < 1 << shapes[s].rank; set++)
            for (int keepdims = 0; keepdims < 2; keepdims++) {
                pil_reduce_options args = { .keepdims = keepdims };
                for (int axis = 0; axis < shapes[s].rank; axis++)
                    if (set >> axis & 1) /* by turns from the front and from the end */
                        args.axis.items[args.axis.count++] = axis % 2 ? axis - shapes[s].rank : axis;
                struct trial t = reducing(op, &args, &args.axis, keepdims, shapes[s]);
                t.reference = reduce_reference;
                try_op(&t);
            }
}

static void sums(void **state)
{
    (void)state;
    every_set_of_axes("reduce_sum");
}

static void means(void **state)
{
    (void)state;
    every_set_of_axes("reduce_mean");
}

static void largest(void **state)
{
    (void)state;
    every_set_of_axes("reduce_max");
}

static void smallest(void **state)
{
    (void)state;
    every_set_of_axes("reduce_min");
}

static void argmax(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (int axis = -shapes[s].rank; axis < shapes[s].rank; axis++)
            for (int keepdims = 0; keepdims < 2; keepdims++) {
                pil_argmax_options args = { .axis = axis, .keepdims = keepdims };
                pil_axes axes = { 1, { axis } };
                struct trial t = reducing("argmax", &args, &axes, keepdims, shapes[s]);
                t.reference = argmax_reference;
                t.no_gradient = true;
                try_op(&t);
            }
}

/* ---- the batch as another axis than the first ---- */

static struct pil_reduce_options turned_args;

static void turned_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    int64_t columns = t->inputs[0].shape.dims[1];
    bool over_batch = turned_args.axis.items[0] == 1;
    memset(y[0], 0, (size_t)elements(t->outputs[0], rows) * sizeof(double));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            y[0][over_batch ? c : r] += x[0][r * columns + c] / (double)(over_batch ? rows : columns);
}

static void turn_and_reduce(const struct trial *t, struct pil_graph *graph, struct pil_tensor *const *inputs,
                            struct pil_tensor **results)
{
    (void)t;
    results[0] = graph_op1(graph, "reduce_mean", &turned_args, graph_op1(graph, "transpose", NULL, inputs[0]));
}

static void turned(void **state)
{
    (void)state;
    for (int axis = 0; axis < 2; axis++)
        for (int keepdims = 0; keepdims < 2; keepdims++) {
            turned_args = (pil_reduce_options){ .axis = PIL_AXES(axis), .keepdims = keepdims };
            struct shape mean_of_rows = keepdims ? SHAPE(1, BATCH_DIM) : SHAPE(BATCH_DIM),
                         over_batch = keepdims ? SHAPE(3, 1) : SHAPE(3);
            struct trial t = { .op = "reduce_mean of a transposed matrix",
                               .inputs = { { .shape = SHAPE(BATCH_DIM, 3) } },
                               .input_count = 1,
                               .outputs = { axis ? over_batch : mean_of_rows },
                               .behaviour = BEHAVIOUR_WHOLE,
                               .extent = axis || keepdims ? EXTENT_BATCH : EXTENT_ROWS,
                               .reference = turned_reference,
                               .compose = turn_and_reduce };
            try_op(&t);
        }
}

/* ---- single runs ---- */

static struct op_value matrix(float *values, int64_t rows, int64_t cols)
{
    return (struct op_value){ .tensor = { values, DTYPE_FLOAT32, SHAPE(rows, cols), rows, cols, cols } };
}

static struct op_value vector(float *values, int64_t count)
{
    return (struct op_value){ .tensor = { values, DTYPE_FLOAT32, SHAPE(count), 1, count, count } };
}

static void run_alone(const char *op, const void *args, const struct op_value *inputs, int count, struct op_value out)
{
    struct op_run call = { .args = args,
                           .kernels = kernel_get(),
                           .input_count = count,
                           .output_count = 1,
                           .inputs = inputs,
                           .outputs = &out,
                           .rows = 1,
                           .batch_rows = 1 };
    op_find(op)->run(&call);
}

/* As TensorFlow: what is equally large shares equally. */
static void ties_share(void **state)
{
    (void)state;
    pil_reduce_options along = { .axis = PIL_AXES(1) };
    float x[] = { 1, 3, 3, 2, 5, 5, 5, 5, -1, -2, -1, -3 }, y[3], d[] = { 1, 8, -3 }, dx[12];
    static const float largest_share[] = { 0, 0.5f, 0.5f, 0, 2, 2, 2, 2, -1.5f, 0, -1.5f, 0 };
    static const float smallest_share[] = { 1, 0, 0, 0, 2, 2, 2, 2, 0, 0, 0, -3 };
    run_alone("reduce_max", &along, (struct op_value[]){ matrix(x, 3, 4) }, 1, vector(y, 3));
    assert_true(y[0] == 3 && y[1] == 5 && y[2] == -1);
    struct op_value inputs[] = { vector(d, 3), matrix(x, 3, 4), vector(y, 3) };
    run_alone("reduce_extreme_gradient", &along, inputs, 3, matrix(dx, 3, 4));
    assert_memory_equal(dx, largest_share, sizeof dx);
    run_alone("reduce_min", &along, inputs + 1, 1, vector(y, 3));
    run_alone("reduce_extreme_gradient", &along, inputs, 3, matrix(dx, 3, 4));
    assert_memory_equal(dx, smallest_share, sizeof dx);
}

/* A number repeated for every row: all rows share what flows back, and their shares sum to the whole, however rows are cut. */
static void same_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    (void)t, (void)rows;
    y[0][0] = x[1][0];
}

static void repeat_and_take(const struct trial *t, struct pil_graph *graph, struct pil_tensor *const *inputs,
                            struct pil_tensor **results)
{
    static const pil_reduce_options down = { .axis = { 1, { 0 } } };
    (void)t;
    results[0] = graph_op1(graph, "reduce_max", &down, graph_op2(graph, "mul", NULL, inputs[0], inputs[1]));
}

static void ties_in_other_tiles(void **state)
{
    (void)state;
    static const struct trial t = { .op = "reduce_max of equal rows",
                                    .inputs = { { .shape = { 2, { BATCH_DIM, 1 } }, .low = 1, .high = 1, .data = true },
                                                { .shape = { 1, { 1 } } } },
                                    .input_count = 2,
                                    .outputs = { { 1, { 1 } } },
                                    .extent = EXTENT_BATCH,
                                    .behaviour = BEHAVIOUR_WHOLE,
                                    .reference = same_reference,
                                    .compose = repeat_and_take };
    try_op(&t);
}

static void nan_goes_through(void **state)
{
    (void)state;
    static const char *const ops[] = { "reduce_max", "reduce_min", "reduce_sum", "reduce_mean" };
    pil_reduce_options down = { .axis = PIL_AXES(0) };
    float x[] = { 1, NAN, 3, NAN, 5, 6, 7, 8, -INFINITY }, y[3];
    for (size_t k = 0; k < COUNT_OF(ops); k++) {
        run_alone(ops[k], &down, (struct op_value[]){ matrix(x, 3, 3) }, 1, vector(y, 3));
        assert_true(isnan(y[0]) && isnan(y[1]) && !isnan(y[2]));
    }
    float d[] = { 1, 1, 1 }, dx[9];
    run_alone("reduce_max", &down, (struct op_value[]){ matrix(x, 3, 3) }, 1, vector(y, 3));
    run_alone("reduce_extreme_gradient", &down, (struct op_value[]){ vector(d, 3), matrix(x, 3, 3), vector(y, 3) }, 3,
              matrix(dx, 3, 3));
    assert_true(isnan(dx[0]) && isnan(dx[3]) && isnan(dx[6]) && dx[2] == 0 && dx[5] == 1 && dx[8] == 0); /* as TensorFlow's */
}

/* Of no values: the sum is 0, the largest is below everything, a mean is no number. */
static void of_nothing(void **state)
{
    (void)state;
    pil_reduce_options down = { .axis = PIL_AXES(0) };
    float y[2] = { 7, 7 };
    struct op_value none[] = { matrix(y, 0, 2) };
    run_alone("reduce_sum", &down, none, 1, vector(y, 2));
    assert_true(y[0] == 0 && y[1] == 0);
    run_alone("reduce_max", &down, none, 1, vector(y, 2));
    assert_true(y[0] == -INFINITY && y[1] == -INFINITY);
    run_alone("reduce_mean", &down, none, 1, vector(y, 2));
    assert_true(isnan(y[0]) && isnan(y[1]));
}

static void argmax_takes_the_first(void **state)
{
    (void)state;
    float x[] = { 1, 3, 3, 2, 5, 5, 5, 5, -1, -2, -1, -3 }, out[4];
    struct op_value in[] = { matrix(x, 3, 4) };
    run_alone("argmax", op_find("argmax")->defaults, in, 1, matrix(out, 3, 1));
    assert_true(out[0] == 1 && out[1] == 0 && out[2] == 0);
    run_alone("argmax", &(pil_argmax_options){ .axis = 0 }, in, 1, vector(out, 4));
    assert_true(out[0] == 1 && out[1] == 1 && out[2] == 1 && out[3] == 1);
}

/* A million equal numbers, whose sum in float32 would stand still long before. */
static void a_long_sum(void **state)
{
    (void)state;
    enum { COUNT = 1 << 20 };
    float *x = calloc(COUNT, sizeof *x), y[1];
    assert_non_null(x);
    for (int i = 0; i < COUNT; i++)
        x[i] = 0.1f;
    pil_reduce_options all = { .axis = { 0 } }, down = { .axis = PIL_AXES(0) };
    run_alone("reduce_sum", &all, (struct op_value[]){ matrix(x, 1 << 10, 1 << 10) }, 1,
              (struct op_value){ .tensor = { y, DTYPE_FLOAT32, SHAPE_SCALAR, 1, 1, 1 } });
    assert_true(fabsf(y[0] - 104857.6f) < 0.05f);
    run_alone("reduce_sum", &down, (struct op_value[]){ matrix(x, COUNT, 1) }, 1, vector(y, 1));
    assert_true(fabsf(y[0] - 104857.6f) < 0.05f);
    free(x);
}

static void refusals(void **state)
{
    (void)state;
    static const pil_reduce_options all = { .keepdims = false }, second = { .axis = { 1, { 2 } } },
                                    before = { .axis = { 1, { -3 } } };
    static const pil_reduce_options twice = { .axis = { 2, { 1, -1 } } }, many = { .axis = { 9, { 0 } } },
                                    less = { .axis = { -1, { 0 } } };
    static const pil_argmax_options third = { .axis = 2 }, first = { .axis = 0 };
    static const struct refusal list[] = {
        { "reduce_sum", &second, "there is no axis 2", 1, { ROWS_OF(3) } },
        { "reduce_mean", &before, "there is no axis -3", 1, { ROWS_OF(3) } },
        { "reduce_max", &twice, "axis -1 is named twice", 1, { ROWS_OF(3) } },
        { "reduce_min", &many, "9 axes given", 1, { ROWS_OF(3) } },
        { "reduce_min", &less, "-1 axes given", 1, { ROWS_OF(3) } },
        { "reduce_sum", &second, "there is no axis 2", 1, { SCALAR } },
        { "reduce_sum", &all, "input 1 is sparse", 1, { IDS } },
        { "reduce_max", &all, "input 1 is int64", 1, { INTEGERS(3) } },
        { "reduce_mean", &all, "input 1 is float64", 1, { FLOAT64(3) } },
        { "reduce_sum_gradient", &all, "input 1 does not fit", 2, { DENSE(3), ROWS_OF(3) } },
        { "reduce_extreme_gradient", &all, "input 3 does not fit", 3, { SCALAR, ROWS_OF(3), DENSE(1) } },
        { "argmax", &third, "there is no axis 2", 1, { ROWS_OF(3) } },
        { "argmax", &first, "there is no axis 0", 1, { SCALAR } },
        { "argmax", &first, "axis 0 is empty", 1, { DENSE(0, 3) } },
        { "argmax", NULL, "input 1 is sparse", 1, { IDS } },
    };
    check_refusals(list, COUNT_OF(list));
}

static void onnx(void **state)
{
    (void)state;
    static const pil_reduce_options all = { .keepdims = true }, middle = { .axis = { 1, { 1 } } },
                                    kept = { .axis = { 1, { -2 } }, .keepdims = true };
    static const pil_argmax_options first = { .axis = 0, .keepdims = true }, second = { .axis = 1, .keepdims = true },
                                    bare = { .axis = 1 }, last = { .axis = -1, .keepdims = true };
#define CASES(folder, op, name)                                                                                                  \
    { folder "/" name "_default_axes_keepdims_random", op, &all, 1, true },                                                      \
        { folder "/" name "_do_not_keepdims_example", op, &middle, 1, true },                                                    \
        { folder "/" name "_do_not_keepdims_random", op, &middle, 1, true },                                                     \
        { folder "/" name "_keepdims_example", op, &kept, 1, true }, { folder "/" name "_keepdims_random", op, &kept, 1, true }, \
    {                                                                                                                            \
        folder "/" name "_negative_axes_keepdims_example", op, &kept, 1, true                                                    \
    }
    static const struct onnx_case list[] = {
        CASES("ReduceSum", "reduce_sum", "reduce_sum"),
        CASES("ReduceMean", "reduce_mean", "reduce_mean"),
        CASES("ReduceMax", "reduce_max", "reduce_max"),
        CASES("ReduceMin", "reduce_min", "reduce_min"),
        { "ReduceSum/reduce_sum_default_axes_keepdims_example", "reduce_sum", &all, 1, true },
        { "ReduceMean/reduce_mean_default_axes_keepdims_example", "reduce_mean", &all, 1, true },
        { "ReduceMax/reduce_max_default_axes_keepdim_example", "reduce_max", &all, 1, true },
        { "ReduceMin/reduce_min_default_axes_keepdims_example", "reduce_min", &all, 1, true },
        { "ReduceMean/reduce_mean_negative_axes_keepdims_random", "reduce_mean", &kept, 1, true },
        { "ReduceMax/reduce_max_negative_axes_keepdims_random", "reduce_max", &kept, 1, true },
        { "ReduceMin/reduce_min_negative_axes_keepdims_random", "reduce_min", &kept, 1, true },
        { "ArgMax/argmax_default_axis_example", "argmax", &first, 1, true },
        { "ArgMax/argmax_default_axis_random", "argmax", &first, 1, true },
        { "ArgMax/argmax_keepdims_example", "argmax", &second, 1, true },
        { "ArgMax/argmax_keepdims_random", "argmax", &second, 1, true },
        { "ArgMax/argmax_negative_axis_keepdims_example", "argmax", &last, 1, true },
        { "ArgMax/argmax_negative_axis_keepdims_random", "argmax", &last, 1, true },
        { "ArgMax/argmax_no_keepdims_example", "argmax", &bare, 1, true },
        { "ArgMax/argmax_no_keepdims_random", "argmax", &bare, 1, true },
    };
    onnx_try(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums),
        cmocka_unit_test(means),
        cmocka_unit_test(largest),
        cmocka_unit_test(smallest),
        cmocka_unit_test(argmax),
        cmocka_unit_test(turned),
        cmocka_unit_test(ties_share),
        cmocka_unit_test(ties_in_other_tiles),
        cmocka_unit_test(nan_goes_through),
        cmocka_unit_test(of_nothing),
        cmocka_unit_test(a_long_sum),
        cmocka_unit_test(argmax_takes_the_first),
        cmocka_unit_test(refusals),
        cmocka_unit_test(onnx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
