/* SPDX-License-Identifier: Apache-2.0 */
/* Comparisons and truths over shapes that broadcast, where with every operand's gradient, clipping and its limits. */
#include "op/onnx.h"
#include "op/refusals.h"
#include "pilaster/op.h"

/* Element n of a tensor of shape `to`, taken from one of shape `from` that is broadcast to it (both with the batch put in). */
static double repeated(const double *x, struct shape from, struct shape to, int64_t n)
{
    int64_t index[SHAPE_MAX_RANK], at = 0;
    for (int axis = to.rank - 1; axis >= 0; axis--) {
        index[axis] = n % to.dims[axis];
        n /= to.dims[axis];
    }
    for (int axis = 0; axis < from.rank; axis++)
        at = at * from.dims[axis] + (from.dims[axis] == 1 ? 0 : index[axis + to.rank - from.rank]);
    return x[at];
}

static const struct {
    const char *op;
    bool of_truths; /* whole numbers -1, 0, 1, so that some are equal and some are 0 */
} comparisons[] = {
    { "equal", true },   { "not_equal", true },     { "less", true },        { "less_equal", true }, { "greater", false },
    { "greater", true }, { "greater_equal", true }, { "logical_and", true }, { "logical_or", true }, { "less_equal", false },
};

static double compared(const char *op, double a, double b)
{
    static const char *const names[] = { "equal",   "not_equal",     "less",        "less_equal",
                                         "greater", "greater_equal", "logical_and", "logical_or" };
    const bool values[] = { a == b, a != b, a<b, a <= b, a> b, a >= b, a != 0 && b != 0, a != 0 || b != 0 };
    size_t k = 0;
    while (strcmp(names[k], op) != 0)
        k++;
    return values[k];
}

static void compare_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    struct shape a = shape_with_batch(t->inputs[0].shape, rows), b = shape_with_batch(t->inputs[1].shape, rows);
    struct shape out = shape_with_batch(t->outputs[0], rows);
    for (int64_t n = 0; n < shape_elements(out); n++)
        y[0][n] = compared(t->op, repeated(x[0], a, out, n), repeated(x[1], b, out, n));
}

static void where_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    struct shape out = shape_with_batch(t->outputs[0], rows), in[3];
    for (int i = 0; i < 3; i++)
        in[i] = shape_with_batch(t->inputs[i].shape, rows);
    for (int64_t n = 0; n < shape_elements(out); n++)
        y[0][n] = repeated(x[0], in[0], out, n) != 0 ? repeated(x[1], in[1], out, n) : repeated(x[2], in[2], out, n);
}

/* Three operands' shapes and the result's. */
static const struct three {
    struct shape in[3], out;
} threes[] = {
    { { { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 5 } } }, { 2, { BATCH_DIM, 5 } } },
    { { { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 1 } }, { 0, { 0 } } }, { 2, { BATCH_DIM, 1 } } },
    { { { 1, { BATCH_DIM } }, { 1, { BATCH_DIM } }, { 1, { 1 } } }, { 1, { BATCH_DIM } } },
    { { { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 7 } }, { 1, { 7 } } }, { 2, { BATCH_DIM, 7 } } },
    { { { 1, { 19 } }, { 2, { 1, 19 } }, { 2, { BATCH_DIM, 19 } } }, { 2, { BATCH_DIM, 19 } } },
    { { { 2, { BATCH_DIM, 1 } }, { 0, { 0 } }, { 1, { 6 } } }, { 2, { BATCH_DIM, 6 } } },
    { { { 3, { BATCH_DIM, 3, 1 } }, { 2, { 3, 4 } }, { 3, { BATCH_DIM, 1, 4 } } }, { 3, { BATCH_DIM, 3, 4 } } },
    { { { 1, { 4 } }, { 3, { BATCH_DIM, 3, 4 } }, { 3, { BATCH_DIM, 3, 4 } } }, { 3, { BATCH_DIM, 3, 4 } } },
    { { { 2, { 3, 5 } }, { 2, { 3, 5 } }, { 2, { 3, 5 } } }, { 2, { 3, 5 } } },
    { { { 2, { 3, 1 } }, { 1, { 17 } }, { 3, { 2, 1, 1 } } }, { 3, { 2, 3, 17 } } },
    { { { 0, { 0 } }, { 0, { 0 } }, { 0, { 0 } } }, { 0, { 0 } } },
};

static void set_rows(struct trial *t)
{
    bool rows = has_rows(t->outputs[0]);
    t->extent = rows ? EXTENT_ROWS : EXTENT_FIXED;
    t->behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE;
}

/* The first two of the three shapes, where they give the whole result; and the other way round. */
static void compares(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(comparisons); k++)
        for (size_t s = 0; s < COUNT_OF(threes); s++)
            for (int turn = 0; turn < 2; turn++) {
                struct shape out, a = threes[s].in[turn], b = threes[s].in[2 - turn];
                assert_true(shape_broadcast(a, b, &out));
                struct trial t = { .op = comparisons[k].op,
                                   .inputs = { { .shape = a }, { .shape = b } },
                                   .input_count = 2,
                                   .outputs = { out },
                                   .reference = compare_reference,
                                   .no_gradient = true };
                for (int i = 0; i < 2 && comparisons[k].of_truths; i++)
                    t.inputs[i] = (struct input){ .shape = t.inputs[i].shape, .low = -1, .high = 1.99, .whole = true };
                set_rows(&t);
                try_op(&t);
            }
}

static void not_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] = x[0][n] == 0;
}

static void logical_not(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(threes); s++) {
        struct trial t = { .op = "logical_not",
                           .inputs = { { .shape = threes[s].out, .low = -1, .high = 1.99, .whole = true } },
                           .input_count = 1,
                           .outputs = { threes[s].out },
                           .reference = not_reference,
                           .no_gradient = true };
        set_rows(&t);
        try_op(&t);
    }
}

static void where(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(threes); s++) {
        struct trial t = { .op = "where", .input_count = 3, .outputs = { threes[s].out }, .reference = where_reference };
        for (int i = 0; i < 3; i++)
            t.inputs[i] = (struct input){ .shape = threes[s].in[i] };
        t.inputs[0] = (struct input){ .shape = threes[s].in[0], .low = -1, .high = 1.99, .whole = true, .data = true };
        set_rows(&t);
        try_op(&t);
    }
}

/* The gradient of what a gradient uses. */
static void part_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    bool otherwise = *(const bool *)t->args;
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] = (x[0][n] == 0) == otherwise ? x[1][n] : 0;
}

static void where_part(void **state)
{
    (void)state;
    static const bool either[] = { false, true };
    for (int k = 0; k < 2; k++) {
        struct shape shape = SHAPE(BATCH_DIM, 5);
        struct trial t = { .op = "where_part",
                           .args = &either[k],
                           .input_count = 2,
                           .outputs = { shape },
                           .reference = part_reference,
                           .inputs = { { .shape = shape, .low = -1, .high = 1.99, .whole = true, .data = true },
                                       { .shape = shape } } };
        set_rows(&t);
        try_op(&t);
    }
}

static void clip_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const pil_clip_options *args = t->args;
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] = fmin(fmax(x[0][n], (double)args->clip_value_min), (double)args->clip_value_max);
}

static void clip(void **state)
{
    (void)state;
    static const pil_clip_options limits[] = { { -0.25f, 0.5f }, { -INFINITY, 0 }, { 0.125f, 0.125f } };
    for (size_t k = 0; k < COUNT_OF(limits); k++)
        for (size_t s = 0; s < COUNT_OF(threes); s++) {
            struct trial t = { .op = "clip_by_value",
                               .args = &limits[k],
                               .inputs = { { .shape = threes[s].out } },
                               .input_count = 1,
                               .outputs = { threes[s].out },
                               .reference = clip_reference };
            set_rows(&t);
            try_op(&t);
        }
}

/* ---- single runs ---- */

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
                           .rows = 1 };
    op_find(op)->run(&call);
}

static void nan_and_zeros(void **state)
{
    (void)state;
    float a[] = { NAN, -0.0f, INFINITY, NAN }, b[] = { 1, 0, -INFINITY, NAN }, out[4];
    static const struct {
        const char *op;
        float want[4];
    } list[] = {
        { "equal", { 0, 1, 0, 0 } },       { "not_equal", { 1, 0, 1, 1 } },  { "less", { 0, 0, 0, 0 } },
        { "less_equal", { 0, 1, 0, 0 } },  { "greater", { 0, 0, 1, 0 } },    { "greater_equal", { 0, 1, 1, 0 } },
        { "logical_and", { 1, 0, 1, 1 } }, { "logical_or", { 1, 0, 1, 1 } },
    };
    struct op_value inputs[] = { vector(a, 4), vector(b, 4) };
    for (size_t k = 0; k < COUNT_OF(list); k++) {
        run_alone(list[k].op, NULL, inputs, 2, vector(out, 4));
        assert_memory_equal(out, list[k].want, sizeof out);
    }
}

/* What was not taken may be anything, and so may its gradient. */
static void what_is_not_taken_does_not_matter(void **state)
{
    (void)state;
    float c[] = { 1, 0, 2 }, a[] = { 1, NAN, INFINITY }, b[] = { NAN, 5, NAN }, out[3];
    run_alone("where", NULL, (struct op_value[]){ vector(c, 3), vector(a, 3), vector(b, 3) }, 3, vector(out, 3));
    assert_true(out[0] == 1 && out[1] == 5 && out[2] == INFINITY);
    run_alone("where_part", &(bool){ false }, (struct op_value[]){ vector(c, 3), vector(a, 3) }, 2, vector(out, 3));
    assert_true(out[0] == 1 && out[1] == 0 && out[2] == INFINITY);
    run_alone("where_part", &(bool){ true }, (struct op_value[]){ vector(c, 3), vector(b, 3) }, 2, vector(out, 3));
    assert_true(out[0] == 0 && out[1] == 5 && out[2] == 0);
}

/* What TensorFlow 2.15 gives: at a limit the gradient flows; NaN stays NaN, and nothing flows through it. */
static void at_the_limits(void **state)
{
    (void)state;
    static const pil_clip_options limits = { -1, 2 };
    float x[] = { -1, 2, -1.5f, 2.5f, NAN, 0 }, dy[] = { 1, 2, 3, 4, 5, 6 }, out[6];
    static const float want[] = { 1, 2, 0, 0, 0, 6 };
    run_alone("clip_by_value", &limits, (struct op_value[]){ vector(x, 6) }, 1, vector(out, 6));
    assert_true(out[0] == -1 && out[1] == 2 && out[2] == -1 && out[3] == 2 && isnan(out[4]) && out[5] == 0);
    run_alone("clip_by_value_gradient", &limits, (struct op_value[]){ vector(dy, 6), vector(x, 6) }, 2, vector(out, 6));
    assert_memory_equal(out, want, sizeof out);
}

static void refusals(void **state)
{
    (void)state;
    static const pil_clip_options crossed = { 1, 0 }, nan = { NAN, 1 }, fine = { 0, 1 };
    static const struct refusal list[] = {
        { "equal", NULL, "do not fit", 2, { DENSE(3), DENSE(4) } },
        { "less", NULL, "input 2 is float64", 2, { DENSE(3), FLOAT64(3) } },
        { "greater_equal", NULL, "input 1 is sparse", 2, { IDS, ROWS_OF(3) } },
        { "logical_and", NULL, "batch axis would no longer be the first", 2, { ROWS_OF(3), DENSE(2, 1, 3) } },
        { "logical_not", NULL, "input 1 is int64", 1, { INTEGERS(3) } },
        { "where", NULL, "do not fit", 3, { ROWS_OF(3), ROWS_OF(3), DENSE(2) } },
        { "where", NULL, "takes 3 inputs, got 2", 2, { ROWS_OF(3), ROWS_OF(3) } },
        { "where", NULL, "input 1 is sparse", 3, { IDS, ROWS_OF(3), ROWS_OF(3) } },
        { "where", NULL, "stand there twice", 3, { ROWS_OF(1), TURNED(1), SCALAR } },
        { "clip_by_value", &crossed, "1 is above 0", 1, { ROWS_OF(3) } },
        { "clip_by_value", &nan, "nan is above 1", 1, { ROWS_OF(3) } },
        { "clip_by_value", &fine, "input 1 is int64", 1, { INTEGERS(3) } },
        { "clip_by_value_gradient", &fine, "the shapes differ", 2, { ROWS_OF(3), ROWS_OF(4) } },
    };
    check_refusals(list, COUNT_OF(list));
}

static void onnx(void **state)
{
    (void)state;
    static const pil_clip_options one = { -1, 1 }, five = { -5, 5 }, all = { -INFINITY, INFINITY }, from_zero = { 0, INFINITY },
                                  to_zero = { -INFINITY, 0 };
    static const struct onnx_case list[] = {
        { "Equal/equal", "equal", NULL, 2, true },
        { "Equal/equal_bcast", "equal", NULL, 2, true },
        { "Less/less", "less", NULL, 2, true },
        { "Less/less_bcast", "less", NULL, 2, true },
        { "Greater/greater", "greater", NULL, 2, true },
        { "Greater/greater_bcast", "greater", NULL, 2, true },
        { "And/and2d", "logical_and", NULL, 2, true },
        { "And/and3d", "logical_and", NULL, 2, true },
        { "And/and4d", "logical_and", NULL, 2, true },
        { "And/and_bcast3v1d", "logical_and", NULL, 2, true },
        { "And/and_bcast3v2d", "logical_and", NULL, 2, true },
        { "And/and_bcast4v2d", "logical_and", NULL, 2, true },
        { "And/and_bcast4v3d", "logical_and", NULL, 2, true },
        { "And/and_bcast4v4d", "logical_and", NULL, 2, false },
        { "Or/or2d", "logical_or", NULL, 2, true },
        { "Or/or3d", "logical_or", NULL, 2, true },
        { "Or/or4d", "logical_or", NULL, 2, true },
        { "Or/or_bcast3v1d", "logical_or", NULL, 2, true },
        { "Or/or_bcast3v2d", "logical_or", NULL, 2, true },
        { "Or/or_bcast4v2d", "logical_or", NULL, 2, true },
        { "Or/or_bcast4v3d", "logical_or", NULL, 2, true },
        { "Or/or_bcast4v4d", "logical_or", NULL, 2, false },
        { "Not/not_2d", "logical_not", NULL, 1, true },
        { "Not/not_3d", "logical_not", NULL, 1, true },
        { "Not/not_4d", "logical_not", NULL, 1, true },
        { "Where/where_example", "where", NULL, 3, true },
        { "Where/where_long_example", "where", NULL, 3, true },
        { "Clip/clip", "clip_by_value", &one, 1, true },
        { "Clip/clip_example", "clip_by_value", &one, 1, true },
        { "Clip/clip_inbounds", "clip_by_value", &five, 1, true },
        { "Clip/clip_outbounds", "clip_by_value", &five, 1, true },
        { "Clip/clip_splitbounds", "clip_by_value", &five, 1, true },
        { "Clip/clip_default_inbounds", "clip_by_value", &all, 1, true },
        { "Clip/clip_default_min", "clip_by_value", &from_zero, 1, true },
        { "Clip/clip_default_max", "clip_by_value", &to_zero, 1, true },
        { "Clip/clip_default_int8_min", "clip_by_value", &from_zero, 1, true },
        { "Clip/clip_default_int8_max", "clip_by_value", &to_zero, 1, true },
    };
    onnx_try(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares),      cmocka_unit_test(logical_not),
        cmocka_unit_test(where),         cmocka_unit_test(where_part),
        cmocka_unit_test(clip),          cmocka_unit_test(nan_and_zeros),
        cmocka_unit_test(at_the_limits), cmocka_unit_test(what_is_not_taken_does_not_matter),
        cmocka_unit_test(refusals),      cmocka_unit_test(onnx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
