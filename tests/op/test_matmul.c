/* SPDX-License-Identifier: Apache-2.0 */
/* Products of every kind the rule knows, with bias, activation and gate fused, at sizes around the kernels' vectors and pads. */
#include "op/onnx.h"
#include "op/refusals.h"

/* x W (+ b), activated, gated; x transposed where the arguments say so. A tensor is a matrix of its last axis. */
static void product_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const struct op_matmul_args *args = t->args;
    struct shape a = t->inputs[0].shape, b = t->inputs[1].shape;
    int64_t last = a.dims[a.rank - 1], n = b.dims[b.rank - 1], lines = elements(a, rows) / last;
    int64_t m = args->transpose_a ? last : lines, k = args->transpose_a ? lines : last;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = args->bias ? x[2][j] : 0;
            for (int64_t p = 0; p < k; p++)
                sum += (args->transpose_a ? x[0][p * last + i] : x[0][i * last + p]) * x[1][p * n + j];
            sum = activated(args->activation, sum);
            y[0][i * n + j] = args->gate && !(x[2 + args->bias][i * n + j] > 0) ? 0 : sum;
        }
}

/* a times a matrix [k, n]; `a` ends in k. */
static struct trial product(const struct op_matmul_args *args, struct shape a, int64_t n)
{
    int64_t k = a.dims[a.rank - 1];
    bool rows = has_rows(a);
    struct trial t = { .op = "matmul",
                       .args = args,
                       .inputs = { { .shape = a }, { .shape = { 2, { k, n } } } },
                       .input_count = 2,
                       .outputs = { a },
                       .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                       .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                       .reference = product_reference,
                       .tolerance = 5e-6 };
    t.outputs[0].dims[a.rank - 1] = n;
    if (args->bias)
        t.inputs[t.input_count++].shape = SHAPE(n);
    if (args->gate)
        t.inputs[t.input_count++] = (struct input){ .shape = t.outputs[0], .data = true };
    return t;
}

static void by_rows(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = { { 1, 1 }, { 5, 1 }, { 1, 7 }, { 3, 4 }, { 16, 16 }, { 17, 33 }, { 40, 8 }, { 2, 64 } };
    for (size_t s = 0; s < COUNT_OF(sizes); s++)
        for (int bias = 0; bias < 2; bias++) {
            struct op_matmul_args args = { .bias = bias };
            struct trial t = product(&args, SHAPE(BATCH_DIM, sizes[s][0]), sizes[s][1]);
            try_op(&t);
        }
}

static void other_ranks(void **state)
{
    (void)state;
    static const struct shape shapes[] = { { 3, { BATCH_DIM, 3, 5 } },
                                           { 3, { BATCH_DIM, 2, 16 } },
                                           { 3, { BATCH_DIM, 1, 4 } },
                                           { 4, { BATCH_DIM, 2, 2, 3 } },
                                           { 2, { 6, 5 } },
                                           { 3, { 2, 3, 4 } } };
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (int64_t n = 1; n < 22; n += 10) {
            struct op_matmul_args args = { .bias = true, .activation = ACTIVATION_TANH };
            struct trial t = product(&args, shapes[s], n);
            try_op(&t);
        }
}

static void activations(void **state)
{
    (void)state;
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++) {
        if (op_activation_takes_input((enum activation)kind))
            continue;
        for (int bias = 0; bias < 2; bias++)
            for (int64_t n = 1; n < 20; n += 9) {
                struct op_matmul_args args = { .bias = bias, .activation = (enum activation)kind };
                struct trial t = product(&args, SHAPE(BATCH_DIM, 6), n);
                try_op(&t);
            }
    }
}

static void gated(void **state)
{
    (void)state;
    for (int bias = 0; bias < 2; bias++)
        for (int64_t n = 1; n < 20; n += 9) {
            struct op_matmul_args args = { .bias = bias,
                                           .gate = true,
                                           .activation = bias ? ACTIVATION_SIGMOID : ACTIVATION_LINEAR };
            struct trial t = product(&args, SHAPE(BATCH_DIM, 6), n);
            try_op(&t);
        }
}

/* The gradient of a kernel, as an op with a gradient of its own. */
static void over_the_batch(void **state)
{
    (void)state;
    static const struct op_matmul_args args = { .transpose_a = true };
    static const struct shape shapes[] = { { 2, { BATCH_DIM, 5 } },    { 2, { BATCH_DIM, 1 } },     { 2, { BATCH_DIM, 20 } },
                                           { 3, { BATCH_DIM, 3, 4 } }, { 3, { BATCH_DIM, 2, 16 } }, { 2, { 6, 5 } } };
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (int64_t n = 1; n < 20; n += 9) {
            bool rows = has_rows(shapes[s]);
            struct shape b = shapes[s];
            b.dims[b.rank - 1] = n;
            struct trial t = { .op = "matmul",
                               .args = &args,
                               .inputs = { { .shape = shapes[s] }, { .shape = b } },
                               .input_count = 2,
                               .outputs = { { 2, { shapes[s].dims[b.rank - 1], n } } },
                               .extent = rows ? EXTENT_BATCH : EXTENT_FIXED,
                               .behaviour = rows ? BEHAVIOUR_REDUCES : BEHAVIOUR_WHOLE,
                               .reference = product_reference,
                               .tolerance = 2e-5 };
            try_op(&t);
        }
}

static void column_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    int64_t n = t->outputs[0].dims[0];
    memset(y[0], 0, (size_t)n * sizeof(double));
    for (int64_t i = 0; i < elements(t->inputs[0].shape, rows); i++)
        y[0][i % n] += x[0][i];
}

static void bias_gradient(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 40 } }, { 3, { BATCH_DIM, 3, 4 } }, { 2, { 4, 5 } }
    };
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        bool rows = has_rows(shapes[s]);
        struct trial t = { .op = "bias_gradient",
                           .inputs = { { .shape = shapes[s], .data = true } },
                           .input_count = 1,
                           .outputs = { { 1, { shapes[s].dims[shapes[s].rank - 1] } } },
                           .extent = rows ? EXTENT_BATCH : EXTENT_FIXED,
                           .behaviour = rows ? BEHAVIOUR_REDUCES : BEHAVIOUR_WHOLE,
                           .reference = column_reference,
                           .no_gradient = true,
                           .tolerance = 1e-5 };
        try_op(&t);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct op_matmul_args plain = { 0 }, biased = { .bias = true }, gate = { .gate = true },
                                       turned = { .transpose_a = true }, gelu = { .activation = ACTIVATION_GELU };
    static const struct refusal list[] = {
        { "matmul", &plain, "takes 2 to 4 inputs, got 1", 1, { ROWS_OF(3) } },
        { "matmul", &plain, "3 inputs given, 2 needed", 3, { ROWS_OF(3), DENSE(3, 4), DENSE(4) } },
        { "matmul", &biased, "2 inputs given, 3 needed", 2, { ROWS_OF(3), DENSE(3, 4) } },
        { "matmul", &plain, "the inner sizes 3 and 4 differ", 2, { ROWS_OF(3), DENSE(4, 4) } },
        { "matmul", &biased, "the bias must have 4 elements", 3, { ROWS_OF(3), DENSE(3, 4), DENSE(5) } },
        { "matmul", &biased, "the bias must have 4 elements", 3, { ROWS_OF(3), DENSE(3, 4), DENSE(1, 4) } },
        { "matmul", &gate, "the gate must have the product's shape", 3, { ROWS_OF(3), DENSE(3, 4), ROWS_OF(3) } },
        { "matmul", &plain, "the right factor must be a matrix without a batch axis", 2, { ROWS_OF(3), ROWS_OF(4) } },
        { "matmul", &plain, "the right factor must be a matrix without a batch axis", 2, { ROWS_OF(3), DENSE(2, 3, 4) } },
        { "matmul", &plain, "both factors need two axes or more", 2, { ONE_A_ROW, DENSE(3, 4) } },
        { "matmul", &plain, "both factors need two axes or more", 2, { ROWS_OF(3), DENSE(3) } },
        { "matmul", &plain, "stand there twice", 2, { ROWS_OF(3), TURNED(3) } },
        { "matmul", &turned, "a product over the batch needs rows on both sides", 2, { ROWS_OF(3), DENSE(3, 4) } },
        { "matmul", &turned, "the factors differ in axis 1", 2, { ROWS_OF(2, 3), ROWS_OF(3, 3) } },
        { "matmul", &turned, "only a matrix can be transposed", 2, { DENSE(2, 3, 4), DENSE(3, 4) } },
        { "matmul", &turned, "batch axis would not be the first", 2, { TURNED(3), DENSE(3, 4) } },
        { "matmul", &gelu, "this activation cannot be fused", 2, { ROWS_OF(3), DENSE(3, 4) } },
        { "matmul", &plain, "input 1 is sparse", 2, { IDS, DENSE(3, 4) } },
        { "matmul", &plain, "input 2 is float64", 2, { ROWS_OF(3), FLOAT64(3, 4) } },
        { "bias_gradient", NULL, "two axes or more", 1, { ONE_A_ROW } },
        { "bias_gradient", NULL, "input 1 is sparse", 1, { IDS } },
    };
    check_refusals(list, COUNT_OF(list));
}

static void onnx(void **state)
{
    (void)state;
    static const struct op_matmul_args plain = { 0 };
    static const struct onnx_case list[] = {
        { "MatMul/matmul_2d", "matmul", &plain, 2, true },
        { "Gemm/gemm_default_no_bias", "matmul", &plain, 2, true },
    };
    onnx_try(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_rows),        cmocka_unit_test(other_ranks),   cmocka_unit_test(activations), cmocka_unit_test(gated),
        cmocka_unit_test(over_the_batch), cmocka_unit_test(bias_gradient), cmocka_unit_test(refusals),    cmocka_unit_test(onnx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
