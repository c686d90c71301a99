/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic: every pair of shapes that broadcasts, every function of one operand, casts, and what the rules refuse. */
#include "op/onnx.h"
#include "op/refusals.h"

/* ---- references ---- */

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

static double two(const char *op, double a, double b)
{
    static const char *const names[] = { "add", "sub", "mul", "div", "pow", "maximum", "minimum" };
    const double values[] = { a + b, a - b, a * b, a / b, pow(a, b), fmax(a, b), fmin(a, b) };
    size_t k = 0;
    while (strcmp(names[k], op) != 0)
        k++;
    return values[k];
}

static void binary_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    struct shape a = shape_with_batch(t->inputs[0].shape, rows), b = shape_with_batch(t->inputs[1].shape, rows);
    struct shape out = shape_with_batch(t->outputs[0], rows);
    for (int64_t n = 0; n < shape_elements(out); n++)
        y[0][n] = two(t->op, repeated(x[0], a, out, n), repeated(x[1], b, out, n));
}

static double one(const char *op, double x, double parameter)
{
    static const char *const names[] = { "scale", "add_scalar", "square", "sqrt",  "abs",  "exp",
                                         "log",   "sign",       "neg",    "floor", "ceil", "round" };
    size_t k = 0;
    while (k < COUNT_OF(names) && strcmp(names[k], op) != 0)
        k++;
    const double values[] = { x * parameter, x + parameter,     x * x, sqrt(x),  fabs(x), exp(x),
                              log(x),        (x > 0) - (x < 0), -x,    floor(x), ceil(x), rint(x) };
    return k < COUNT_OF(names) ? values[k] : x;
}

static void unary_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    double parameter = t->args ? (double)((const struct op_scalar_args *)t->args)->value : 0;
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] = one(t->op, x[0][n], parameter);
}

/* ---- arithmetic ---- */

/* Two operands' shapes and the result's, behind the batch axis where `rows` says so. */
static const struct pair {
    struct shape a, b, out;
} pairs[] = {
    { { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 5 } } },
    { { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 1 } } },
    { { 1, { BATCH_DIM } }, { 1, { BATCH_DIM } }, { 1, { BATCH_DIM } } },
    { { 2, { BATCH_DIM, 19 } }, { 1, { 19 } }, { 2, { BATCH_DIM, 19 } } },
    { { 1, { 5 } }, { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 5 } } },
    { { 2, { BATCH_DIM, 5 } }, { 2, { 1, 5 } }, { 2, { BATCH_DIM, 5 } } },
    { { 2, { BATCH_DIM, 5 } }, { 2, { 1, 1 } }, { 2, { BATCH_DIM, 5 } } },
    { { 2, { BATCH_DIM, 7 } }, { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 7 } } },
    { { 2, { BATCH_DIM, 1 } }, { 1, { 6 } }, { 2, { BATCH_DIM, 6 } } },
    { { 2, { BATCH_DIM, 5 } }, { 0, { 0 } }, { 2, { BATCH_DIM, 5 } } },
    { { 0, { 0 } }, { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 1 } } },
    { { 1, { BATCH_DIM } }, { 0, { 0 } }, { 1, { BATCH_DIM } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 3, { BATCH_DIM, 3, 4 } }, { 3, { BATCH_DIM, 3, 4 } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 1, { 4 } }, { 3, { BATCH_DIM, 3, 4 } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 2, { 3, 1 } }, { 3, { BATCH_DIM, 3, 4 } } },
    { { 3, { BATCH_DIM, 1, 4 } }, { 3, { BATCH_DIM, 3, 1 } }, { 3, { BATCH_DIM, 3, 4 } } },
    { { 4, { BATCH_DIM, 2, 1, 3 } }, { 3, { 2, 2, 3 } }, { 4, { BATCH_DIM, 2, 2, 3 } } },
    { { 2, { 3, 5 } }, { 2, { 3, 5 } }, { 2, { 3, 5 } } },
    { { 2, { 3, 1 } }, { 1, { 5 } }, { 2, { 3, 5 } } },
    { { 0, { 0 } }, { 0, { 0 } }, { 0, { 0 } } },
    { { 3, { 2, 3, 17 } }, { 2, { 3, 1 } }, { 3, { 2, 3, 17 } } },
    { { 3, { 2, 1, 4 } }, { 3, { 1, 3, 4 } }, { 3, { 2, 3, 4 } } },
};

static void try_pairs(const char *op, double a_low, double a_high, double low, double high, bool no_gradient)
{
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        bool rows = has_rows(pairs[i].out);
        struct trial t = { .op = op,
                           .inputs = { { .shape = pairs[i].a, .low = a_low, .high = a_high },
                                       { .shape = pairs[i].b, .low = low, .high = high } },
                           .input_count = 2,
                           .outputs = { pairs[i].out },
                           .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                           .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                           .reference = binary_reference,
                           .no_gradient = no_gradient };
        try_op(&t);
    }
}

static void arithmetic(void **state)
{
    (void)state;
    static const double powers[] = { 0.5, 1, 1.5, 2, 3, 4, -1 };
    try_pairs("add", 0, 0, 0, 0, false);
    try_pairs("sub", 0, 0, 0, 0, false);
    try_pairs("mul", 0, 0, 0, 0, false);
    try_pairs("div", 0, 0, 0.5, 2, false);
    try_pairs("pow", 0.2, 3, -2, 3, false);
    for (size_t i = 0; i < COUNT_OF(powers); i++) /* the same number for all, as models have it */
        try_pairs("pow", 0.2, 3, powers[i], powers[i], false);
}

static void extremes(void **state)
{
    (void)state;
    try_pairs("maximum", 0, 0, 0, 0, false);
    try_pairs("minimum", 0, 0, 0, 0, false);
}

static const struct shape shapes[] = {
    { 2, { BATCH_DIM, 5 } },
    { 2, { BATCH_DIM, 1 } },
    { 2, { BATCH_DIM, 33 } },
    { 1, { BATCH_DIM } },
    { 3, { BATCH_DIM, 2, 9 } },
    { 2, { 3, 5 } },
    { 1, { 17 } },
    { 0, { 0 } },
    { 3, { 2, 3, 4 } },
};

static void functions(void **state)
{
    (void)state;
    static const struct op_scalar_args third = { 1.0f / 3 };
    static const struct {
        const char *op;
        const void *args;
        double low, high;
        bool no_gradient;
    } list[] = {
        { "scale", &third, 0, 0, false }, { "add_scalar", &third, 0, 0, false }, { "square", NULL, 0, 0, false },
        { "sqrt", NULL, 0.1, 4, false },  { "abs", NULL, 0, 0, false },          { "exp", NULL, -3, 3, false },
        { "log", NULL, 0.1, 10, false },  { "sign", NULL, 0, 0, true },          { "stop_gradient", NULL, 0, 0, true },
        { "neg", NULL, 0, 0, false },     { "floor", NULL, -9, 9, true },        { "ceil", NULL, -9, 9, true },
        { "round", NULL, -9, 9, true },
    };
    for (size_t k = 0; k < COUNT_OF(list); k++)
        for (size_t i = 0; i < COUNT_OF(shapes); i++) {
            bool rows = has_rows(shapes[i]);
            struct trial t = { .op = list[k].op,
                               .args = list[k].args,
                               .inputs = { { .shape = shapes[i], .low = list[k].low, .high = list[k].high } },
                               .input_count = 1,
                               .outputs = { shapes[i] },
                               .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                               .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                               .reference = unary_reference,
                               .no_gradient = list[k].no_gradient };
            try_op(&t);
        }
}

/* ---- a single run, without a graph ---- */

static struct tensor vector(void *data, enum dtype dtype, int64_t count)
{
    return (struct tensor){ .data = data, .dtype = dtype, .shape = SHAPE(count), .rows = 1, .cols = count, .ld = count };
}

static void run_alone(const char *op, const void *args, struct tensor a, struct tensor b, struct tensor out)
{
    struct op_value inputs[2] = { { .tensor = a }, { .tensor = b } }, outputs[1] = { { .tensor = out } };
    struct op_run call = { .args = args,
                           .kernels = kernel_get(),
                           .input_count = 2,
                           .output_count = 1,
                           .inputs = inputs,
                           .outputs = outputs,
                           .rows = 1,
                           .batch_rows = 1 };
    op_find(op)->run(&call);
}

static void a_tie_and_nan(void **state)
{
    (void)state;
    float a[] = { 1, NAN, 2, -0.0f, INFINITY }, b[] = { 1, 3, NAN, 0, -INFINITY }, out[5];
    struct tensor va = vector(a, DTYPE_FLOAT32, 5), vb = vector(b, DTYPE_FLOAT32, 5), vo = vector(out, DTYPE_FLOAT32, 5);
    run_alone("maximum", NULL, va, vb, vo);
    assert_true(out[0] == 1 && isnan(out[1]) && isnan(out[2]) && out[4] == INFINITY);
    run_alone("minimum", NULL, va, vb, vo);
    assert_true(out[0] == 1 && isnan(out[1]) && isnan(out[2]) && out[4] == -INFINITY);
    run_alone("sign", NULL, va, vb, vo);
    assert_true(out[0] == 1 && isnan(out[1]) && out[3] == 0 && out[4] == 1);
    run_alone("sqrt", NULL, vb, vb, vo);
    assert_true(out[0] == 1 && isnan(out[2]) && isnan(out[4]));
    run_alone("log", NULL, vb, vb, vo);
    assert_true(out[0] == 0 && out[3] == -INFINITY && isnan(out[4]));
}

/* What TensorFlow 2.15 gives for the corners of pow, and for the gradients there (its first operand's is inf * 0 at 0^0). */
static void corners_of_pow(void **state)
{
    (void)state;
    float a[] = { 0, -2, -2, 0, 2, -8, 0, NAN, 1, -1 }, b[] = { 0, 3, 0.5f, -1, 0.5f, 1.0f / 3, 2, 0, NAN, -INFINITY };
    float y[10], ones[10], da[10], db[10];
    struct tensor va = vector(a, DTYPE_FLOAT32, 10), vb = vector(b, DTYPE_FLOAT32, 10), vy = vector(y, DTYPE_FLOAT32, 10);
    run_alone("pow", NULL, va, vb, vy);
    assert_true(y[0] == 1 && y[1] == -8 && isnan(y[2]) && y[3] == INFINITY && y[4] == sqrtf(2) && isnan(y[5]) && y[6] == 0 &&
                y[7] == 1 && y[8] == 1 && y[9] == 1);
    for (int i = 0; i < 10; i++)
        ones[i] = 1;
    struct op_value of_a[] = { { .tensor = vector(ones, DTYPE_FLOAT32, 10) }, { .tensor = va }, { .tensor = vb } };
    struct op_value of_b[] = { of_a[0], of_a[1], { .tensor = vy } }, out = { .tensor = vector(da, DTYPE_FLOAT32, 10) };
    struct op_run call = {
        .kernels = kernel_get(), .input_count = 3, .output_count = 1, .inputs = of_a, .outputs = &out, .rows = 1
    };
    op_find("pow_da")->run(&call);
    assert_true(isnan(da[0]) && da[1] == 12 && isnan(da[2]) && da[3] == -INFINITY && da[6] == 0);
    call.inputs = of_b;
    out.tensor.data = db;
    op_find("pow_db")->run(&call);
    assert_true(db[0] == 0 && db[1] == 0 && isnan(db[2]) && isnan(db[3]) && fabsf(db[4] - 0.98025814f) < 1e-6f && db[6] == 0);
}

static void cast_to(void **state)
{
    (void)state;
    float x[] = { 1.9f, -1.9f, NAN, 3e9f, -3e9f, 1e30f, 0 };
    int32_t narrow[7];
    int64_t wide[7], big[] = { INT64_MAX - 1, -7 }, same[2];
    double doubled[7];
    float back[7];
    uint8_t truth[7];
    struct tensor vx = vector(x, DTYPE_FLOAT32, 7);
    run_alone("cast", &(struct op_cast_args){ DTYPE_INT32 }, vx, vx, vector(narrow, DTYPE_INT32, 7));
    const int32_t want_narrow[] = { 1, -1, 0, INT32_MAX, INT32_MIN, INT32_MAX, 0 };
    assert_memory_equal(narrow, want_narrow, sizeof want_narrow);
    run_alone("cast", &(struct op_cast_args){ DTYPE_INT64 }, vx, vx, vector(wide, DTYPE_INT64, 7));
    const int64_t want_wide[] = { 1, -1, 0, 3000000000, -3000000000, INT64_MAX, 0 };
    assert_memory_equal(wide, want_wide, sizeof want_wide);
    run_alone("cast", &(struct op_cast_args){ DTYPE_BOOL }, vx, vx, vector(truth, DTYPE_BOOL, 7));
    const uint8_t want_truth[] = { 1, 1, 1, 1, 1, 1, 0 };
    assert_memory_equal(truth, want_truth, sizeof want_truth);
    run_alone("cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, vector(truth, DTYPE_BOOL, 7), vx, vector(back, DTYPE_FLOAT32, 7));
    assert_true(back[0] == 1 && back[6] == 0);
    run_alone("cast", &(struct op_cast_args){ DTYPE_FLOAT64 }, vx, vx, vector(doubled, DTYPE_FLOAT64, 7));
    assert_true(doubled[0] == (double)1.9f && isnan(doubled[2]));
    run_alone("cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, vector(doubled, DTYPE_FLOAT64, 7), vx,
              vector(back, DTYPE_FLOAT32, 7));
    assert_true(back[0] == 1.9f && back[5] == 1e30f);
    run_alone("cast", &(struct op_cast_args){ DTYPE_INT64 }, vector(big, DTYPE_INT64, 2), vx, vector(same, DTYPE_INT64, 2));
    assert_memory_equal(same, big, sizeof big);
    run_alone("cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, vector(narrow, DTYPE_INT32, 7), vx,
              vector(back, DTYPE_FLOAT32, 7));
    assert_true(back[1] == -1);
}

/* By way of doubles and back, so that the gradient goes the same way. */
static void cast_gradients(void **state)
{
    (void)state;
    static const struct op_cast_args args = { DTYPE_FLOAT64 };
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        bool rows = has_rows(shapes[i]);
        struct trial t = { .op = "cast",
                           .args = &args,
                           .inputs = { { .shape = shapes[i] } },
                           .input_count = 1,
                           .outputs = { shapes[i] },
                           .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                           .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                           .reference = unary_reference };
        try_op(&t);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct op_cast_args text = { DTYPE_STRING }, byte = { DTYPE_UINT8 }, number = { DTYPE_FLOAT32 };
    static const struct refusal list[] = {
        { "add", NULL, "takes 2 inputs, got 1", 1, { ROWS_OF(3) } },
        { "add", NULL, "do not fit", 2, { ROWS_OF(3), ROWS_OF(4) } },
        { "mul", NULL, "do not fit", 2, { ROWS_OF(3), DENSE(2) } },
        { "mul", NULL, "do not fit", 2, { ROWS_OF(3), DENSE(64, 3) } },
        { "sub", NULL, "batch axis would no longer be the first", 2, { ROWS_OF(3), DENSE(2, 1, 3) } },
        { "sub", NULL, "batch axis would no longer be the first", 2, { DENSE(2, 1), ONE_A_ROW } },
        { "mul", NULL, "stand there twice", 2, { ROWS_OF(1), TURNED(1) } },
        { "add", NULL, "do not fit", 2, { ROWS_OF(3), TURNED(3) } },
        { "div", NULL, "input 2 is int64", 2, { ROWS_OF(3), INTEGERS(3) } },
        { "div", NULL, "input 1 is sparse", 2, { IDS, ROWS_OF(3) } },
        { "maximum", NULL, "do not fit", 2, { DENSE(3), DENSE(4) } },
        { "pow", NULL, "do not fit", 2, { ROWS_OF(3), ROWS_OF(4) } },
        { "pow", NULL, "input 2 is int64", 2, { ROWS_OF(3), INTEGERS(3) } },
        { "pow_da", NULL, "takes 3 inputs, got 2", 2, { ROWS_OF(3), ROWS_OF(3) } },
        { "floor", NULL, "input 1 is int64", 1, { INTEGERS(3) } },
        { "exp", NULL, "input 1 is int64", 1, { INTEGERS(3) } },
        { "abs", NULL, "input 1 is sparse", 1, { IDS } },
        { "log", NULL, "takes 1 input, got 2", 2, { ROWS_OF(3), ROWS_OF(3) } },
        { "cast", &text, "float32 cannot become string", 1, { ROWS_OF(3) } },
        { "cast", &byte, "float32 cannot become uint8", 1, { ROWS_OF(3) } },
        { "cast", &number, "a sparse tensor cannot become float32", 1, { IDS } },
    };
    check_refusals(list, COUNT_OF(list));
}

static void onnx(void **state)
{
    (void)state;
    static const struct op_scalar_args minus = { -1 };
    static const struct onnx_case list[] = {
        { "Add/add", "add", NULL, 2, true },
        { "Add/add_bcast", "add", NULL, 2, true },
        { "Sub/sub", "sub", NULL, 2, true },
        { "Sub/sub_bcast", "sub", NULL, 2, true },
        { "Sub/sub_example", "sub", NULL, 2, true },
        { "Mul/mul", "mul", NULL, 2, true },
        { "Mul/mul_bcast", "mul", NULL, 2, true },
        { "Mul/mul_example", "mul", NULL, 2, true },
        { "Div/div", "div", NULL, 2, true },
        { "Div/div_bcast", "div", NULL, 2, true },
        { "Div/div_example", "div", NULL, 2, true },
        { "Exp/exp", "exp", NULL, 1, true },
        { "Exp/exp_example", "exp", NULL, 1, true },
        { "Log/log", "log", NULL, 1, true },
        { "Log/log_example", "log", NULL, 1, true },
        { "Sqrt/sqrt", "sqrt", NULL, 1, true },
        { "Sqrt/sqrt_example", "sqrt", NULL, 1, true },
        { "Sign/sign", "sign", NULL, 1, true },
        { "Abs/abs", "abs", NULL, 1, true },
        { "Neg/neg", "neg", NULL, 1, true },
        { "Neg/neg_example", "scale", &minus, 1, true },
        { "Floor/floor", "floor", NULL, 1, true },
        { "Floor/floor_example", "floor", NULL, 1, true },
        { "Pow/pow", "pow", NULL, 2, true },
        { "Pow/pow_example", "pow", NULL, 2, true },
        { "Pow/pow_bcast_array", "pow", NULL, 2, true },
        { "Pow/pow_bcast_scalar", "pow", NULL, 2, true },
        { "Pow/pow_types_float32_int32", "pow", NULL, 2, true },
        { "Pow/pow_types_float32_int64", "pow", NULL, 2, true },
        { "Pow/pow_types_float32_uint32", "pow", NULL, 2, true },
        { "Pow/pow_types_float32_uint64", "pow", NULL, 2, true },
        { "Pow/pow_types_int32_int32", "pow", NULL, 2, true },
        { "Pow/pow_types_int64_int64", "pow", NULL, 2, true },
        { "Max/max_example", "maximum", NULL, 3, true },
        { "Max/max_float32", "maximum", NULL, 2, true },
        { "Max/max_two_inputs", "maximum", NULL, 2, true },
        { "Min/min_example", "minimum", NULL, 3, true },
        { "Min/min_float32", "minimum", NULL, 2, true },
        { "Min/min_two_inputs", "minimum", NULL, 2, true },
        { "Sum/sum_example", "add", NULL, 3, true },
        { "Sum/sum_two_inputs", "add", NULL, 2, true },
        { "Clip/clip_default_min", "maximum", NULL, 2, true },
        { "Clip/clip_default_max", "minimum", NULL, 2, true },
    };
    onnx_try(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic),     cmocka_unit_test(extremes),       cmocka_unit_test(functions),
        cmocka_unit_test(a_tie_and_nan),  cmocka_unit_test(corners_of_pow), cmocka_unit_test(cast_to),
        cmocka_unit_test(cast_gradients), cmocka_unit_test(refusals),       cmocka_unit_test(onnx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
