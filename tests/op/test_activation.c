/* SPDX-License-Identifier: Apache-2.0 */
/* Activation functions with every derivative, softmax and log-softmax along the last axis of every rank. */
#include "op/onnx.h"
#include "op/refusals.h"
#include "pilaster/op.h"

static void activation_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const struct op_activation_args *args = t->args;
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] = activated(args->activation, x[0][n]);
}

static const struct shape shapes[] = {
    { 2, { BATCH_DIM, 5 } },    { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 70 } },
    { 3, { BATCH_DIM, 3, 4 } }, { 2, { 3, 17 } },        { 1, { 6 } },
    { 3, { 2, 3, 4 } },
};

static struct trial one_input(const char *op, const void *args, struct shape shape, double range)
{
    bool rows = has_rows(shape);
    return (struct trial){ .op = op,
                           .args = args,
                           .inputs = { { .shape = shape, .low = -range, .high = range } },
                           .input_count = 1,
                           .outputs = { shape },
                           .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                           .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE };
}

static void activations(void **state)
{
    (void)state;
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++)
        for (size_t s = 0; s < COUNT_OF(shapes); s++) {
            struct op_activation_args args = { (enum activation)kind };
            struct trial t = one_input("activation", &args, shapes[s], kind == ACTIVATION_RELU6 ? 9 : 3.5);
            t.reference = activation_reference;
            try_op(&t);
        }
}

static void leaky_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    double alpha = (double)((const pil_leaky_relu_options *)t->args)->alpha;
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] = x[0][n] > 0 ? x[0][n] : alpha * x[0][n];
}

static void leaky_relu(void **state)
{
    (void)state;
    static const pil_leaky_relu_options slopes[] = { { .alpha = 0.2f }, { .alpha = 0 }, { .alpha = -1.5f } };
    for (size_t k = 0; k < COUNT_OF(slopes); k++)
        for (size_t s = 0; s < COUNT_OF(shapes); s++) {
            struct trial t = one_input("leaky_relu", &slopes[k], shapes[s], 2);
            t.reference = leaky_reference;
            try_op(&t);
        }
}

static void softmax_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    struct shape shape = shape_with_batch(t->outputs[0], rows);
    int axis = t->args ? ((const pil_softmax_options *)t->args)->axis : -1;
    int64_t count = shape.dims[axis < 0 ? axis + shape.rank : axis], step = 1;
    bool logarithm = strcmp(t->op, "log_softmax") == 0;
    for (int i = (axis < 0 ? axis + shape.rank : axis) + 1; i < shape.rank; i++)
        step *= shape.dims[i];
    for (int64_t n = 0; n < shape_elements(shape); n++) {
        if (n / step % count != 0) /* only where a line begins */
            continue;
        double sum = 0;
        for (int64_t i = 0; i < count; i++)
            sum += exp(x[0][n + i * step]);
        for (int64_t i = 0; i < count; i++)
            y[0][n + i * step] = logarithm ? x[0][n + i * step] - log(sum) : exp(x[0][n + i * step]) / sum;
    }
}

/* Every axis of every rank, counted both ways; the batch is one of them. */
static void softmax_along(void **state)
{
    (void)state;
    static const char *const ops[] = { "softmax", "log_softmax" };
    static const struct shape all[] = {
        { 1, { BATCH_DIM } }, { 2, { BATCH_DIM, 70 } }, { 3, { BATCH_DIM, 3, 4 } }, { 2, { 80, 3 } }, { 3, { 2, 5, 1 } }
    };
    for (size_t k = 0; k < COUNT_OF(ops); k++)
        for (size_t s = 0; s < COUNT_OF(all); s++)
            for (int axis = -all[s].rank; axis < all[s].rank; axis++) {
                pil_softmax_options args = { .axis = axis };
                struct trial t = one_input(ops[k], &args, all[s], 4);
                if ((axis == 0 || axis == -all[s].rank) && has_rows(all[s]))
                    t.behaviour = BEHAVIOUR_WHOLE;
                t.reference = softmax_reference;
                try_op(&t);
            }
}

static void softmax(void **state)
{
    (void)state;
    static const char *const ops[] = { "softmax", "log_softmax" };
    for (size_t k = 0; k < COUNT_OF(ops); k++)
        for (size_t s = 0; s < COUNT_OF(shapes); s++) {
            struct trial t = one_input(ops[k], NULL, shapes[s], 4);
            t.reference = softmax_reference;
            try_op(&t);
        }
}

/* Large logits neither overflow nor lose the small ones. */
static void large_logits(void **state)
{
    (void)state;
    float x[] = { 1000, 999, -1000 }, p[3], logp[3];
    struct tensor vx = { x, DTYPE_FLOAT32, SHAPE(3), 1, 3, 3 }, vp = vx, vl = vx;
    vp.data = p;
    vl.data = logp;
    struct op_value in = { .tensor = vx }, out = { .tensor = vp }, log_out = { .tensor = vl };
    struct op_run call = { .args = op_find("softmax")->defaults,
                           .kernels = kernel_get(),
                           .input_count = 1,
                           .output_count = 1,
                           .inputs = &in,
                           .outputs = &out,
                           .rows = 1 };
    op_find("softmax")->run(&call);
    assert_true(fabsf(p[0] - 0.73105858f) < 1e-6f && fabsf(p[1] - 0.26894142f) < 1e-6f && p[2] == 0);
    call.outputs = &log_out;
    op_find("log_softmax")->run(&call);
    assert_true(fabsf(logp[0] + 0.31326169f) < 1e-6f && fabsf(logp[2] + 2000.3133f) < 1e-3f);
}

static void refusals(void **state)
{
    (void)state;
    static const struct op_activation_args none = { ACTIVATION_COUNT }, swish = { ACTIVATION_SWISH }, relu = { ACTIVATION_RELU };
    static const pil_softmax_options third = { .axis = 2 }, before = { .axis = -3 };
    static const pil_leaky_relu_options slope = { .alpha = 0.1f };
    static const struct refusal list[] = {
        { "activation", &none, "unknown activation", 1, { ROWS_OF(3) } },
        { "activation", &relu, "input 1 is sparse", 1, { IDS } },
        { "activation", &relu, "input 1 is int64", 1, { INTEGERS(3) } },
        { "activation_gradient", &swish, "the activation's input is needed", 2, { ROWS_OF(3), ROWS_OF(3) } },
        { "activation_gradient", &relu, "the shapes differ", 2, { ROWS_OF(3), ROWS_OF(4) } },
        { "activation_gradient", &relu, "takes 2 to 3 inputs, got 1", 1, { ROWS_OF(3) } },
        { "softmax", &third, "there is no axis 2", 1, { ROWS_OF(3) } },
        { "softmax_gradient", &before, "there is no axis -3", 2, { ROWS_OF(3), ROWS_OF(3) } },
        { "log_softmax", NULL, "there is no axis -1", 1, { SCALAR } },
        { "leaky_relu", &slope, "input 1 is sparse", 1, { IDS } },
        { "leaky_relu_gradient", &slope, "the shapes differ", 2, { ROWS_OF(3), ROWS_OF(4) } },
        { "softmax", NULL, "input 1 is sparse", 1, { IDS } },
        { "softmax_gradient", NULL, "the shapes differ", 2, { ROWS_OF(3), ROWS_OF(2) } },
        { "log_softmax_gradient", NULL, "input 2 is int64", 2, { ROWS_OF(3), INTEGERS(3) } },
    };
    check_refusals(list, COUNT_OF(list));
}

static void onnx(void **state)
{
    (void)state;
    static const struct op_activation_args elu = { ACTIVATION_ELU }, relu = { ACTIVATION_RELU }, selu = { ACTIVATION_SELU },
                                           sigmoid = { ACTIVATION_SIGMOID }, softplus = { ACTIVATION_SOFTPLUS },
                                           softsign = { ACTIVATION_SOFTSIGN }, tanh_args = { ACTIVATION_TANH },
                                           hard = { ACTIVATION_HARD_SIGMOID };
    static const pil_softmax_options axes[] = { { .axis = 0 }, { .axis = 1 } };
    static const pil_leaky_relu_options slopes[] = { { .alpha = 0.1f }, { .alpha = 0.01f } };
    static const struct onnx_case list[] = {
        { "Elu/elu_default", "activation", &elu, 1, true },
        { "Relu/relu", "activation", &relu, 1, true },
        { "Selu/selu_default", "activation", &selu, 1, true },
        { "Sigmoid/sigmoid", "activation", &sigmoid, 1, true },
        { "Sigmoid/sigmoid_example", "activation", &sigmoid, 1, true },
        { "Softplus/softplus", "activation", &softplus, 1, true },
        { "Softplus/softplus_example", "activation", &softplus, 1, true },
        { "Softsign/softsign", "activation", &softsign, 1, true },
        { "Softsign/softsign_example", "activation", &softsign, 1, true },
        { "Tanh/tanh", "activation", &tanh_args, 1, true },
        { "Tanh/tanh_example", "activation", &tanh_args, 1, true },
        { "HardSigmoid/hardsigmoid_default", "activation", &hard, 1, true },
        { "Softmax/softmax_axis_2", "softmax", NULL, 1, true },
        { "Softmax/softmax_default_axis", "softmax", NULL, 1, true },
        { "Softmax/softmax_example", "softmax", NULL, 1, true },
        { "Softmax/softmax_large_number", "softmax", NULL, 1, true },
        { "Softmax/softmax_negative_axis", "softmax", NULL, 1, true },
        { "Softmax/softmax_axis_0", "softmax", &axes[0], 1, true },
        { "Softmax/softmax_axis_1", "softmax", &axes[1], 1, true },
        { "LogSoftmax/logsoftmax_axis_0", "log_softmax", &axes[0], 1, true },
        { "LogSoftmax/logsoftmax_axis_1", "log_softmax", &axes[1], 1, true },
        { "LeakyRelu/leakyrelu", "leaky_relu", &slopes[0], 1, true },
        { "LeakyRelu/leakyrelu_example", "leaky_relu", &slopes[0], 1, true },
        { "LeakyRelu/leakyrelu_default", "leaky_relu", &slopes[1], 1, true },
        { "LogSoftmax/logsoftmax_axis_2", "log_softmax", NULL, 1, true },
        { "LogSoftmax/logsoftmax_default_axis", "log_softmax", NULL, 1, true },
        { "LogSoftmax/logsoftmax_example_1", "log_softmax", NULL, 1, true },
        { "LogSoftmax/logsoftmax_large_number", "log_softmax", NULL, 1, true },
        { "LogSoftmax/logsoftmax_negative_axis", "log_softmax", NULL, 1, true },
    };
    onnx_try(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(activations),  cmocka_unit_test(leaky_relu),
                                        cmocka_unit_test(softmax),      cmocka_unit_test(softmax_along),
                                        cmocka_unit_test(large_logits), cmocka_unit_test(refusals),
                                        cmocka_unit_test(onnx) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
