/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activation functions, softmax and log-softmax. A derivative is taken from the output where that is enough (ReLU, sigmoid,
 * tanh, ...), from the input besides where it is not (softplus, GELU, swish). Formulas: kernel/activation.c.
 */
#include "op/internal.h"

bool op_activation_takes_input(enum activation activation)
{
    return activation == ACTIVATION_SOFTPLUS || activation == ACTIVATION_GELU || activation == ACTIVATION_SWISH;
}

static bool activation_infer(struct op_infer *infer)
{
    const struct op_activation_args *args = infer->args;
    if (args->activation < 0 || args->activation >= ACTIVATION_COUNT)
        return op_fail(infer, "unknown activation");
    return op_need_float(infer) && op_like(infer, 0);
}

static void activation_run(struct op_run *run)
{
    const struct op_activation_args *args = run->args;
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    run->kernels->activate(args->activation, tensor_floats(x), x->ld, tensor_floats(y), y->ld, x->rows, x->cols);
}

static void activation_backward(struct op_gradient *g)
{
    const struct op_activation_args *args = g->args;
    g->input_gradients[0] = args->activation == ACTIVATION_LINEAR
                                ? g->output_gradients[0]
                                : op_emit3(g, "activation_gradient", args, g->output_gradients[0], g->outputs[0], g->inputs[0]);
}

/* dx = dy f'(x), inputs dy, y [, x]. */
static bool same_shapes_infer(struct op_infer *infer)
{
    if (!op_need_float(infer))
        return false;
    for (int i = 1; i < infer->input_count; i++)
        if (!shape_equal(infer->inputs[0].shape, infer->inputs[i].shape))
            return op_fail(infer, "the shapes differ");
    return op_like(infer, 0);
}

static bool activation_gradient_infer(struct op_infer *infer)
{
    const struct op_activation_args *args = infer->args;
    if (op_activation_takes_input(args->activation) && infer->input_count < 3)
        return op_fail(infer, "the activation's input is needed");
    return same_shapes_infer(infer);
}

static void activation_gradient_run(struct op_run *run)
{
    const struct op_activation_args *args = run->args;
    const struct tensor *dy = &run->inputs[0].tensor, *y = &run->inputs[1].tensor, *dx = &run->outputs[0].tensor;
    const struct tensor *x = run->input_count > 2 ? &run->inputs[2].tensor : y;
    run->kernels->activate_gradient(args->activation, tensor_floats(dy), dy->ld, tensor_floats(y), y->ld, tensor_floats(x), x->ld,
                                    tensor_floats(dx), dx->ld, dy->rows, dy->cols);
}

/* ---- softmax over the last axis ---- */

static bool softmax_infer(struct op_infer *infer)
{
    if (!op_need_float(infer))
        return false;
    if (infer->inputs[0].shape.rank < (OP_ROWS(infer->inputs[0]) ? 2 : 1))
        return op_fail(infer, "needs an axis besides the batch");
    return op_like(infer, 0);
}

/* Calls softmax on a view cut at its last axis, whatever its rank. */
static void softmax_last_axis(struct op_run *run, bool logarithm)
{
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    int64_t last = x->shape.dims[x->shape.rank - 1];
    if (x->cols == last) {
        run->kernels->softmax(tensor_floats(x), x->ld, tensor_floats(y), y->ld, x->rows, x->cols, logarithm);
        return;
    }
    for (int64_t r = 0; r < x->rows; r++)
        run->kernels->softmax(tensor_floats(x) + r * x->ld, last, tensor_floats(y) + r * y->ld, last, x->cols / last, last, logarithm);
}

static void softmax_run(struct op_run *run)
{
    softmax_last_axis(run, false);
}

static void log_softmax_run(struct op_run *run)
{
    softmax_last_axis(run, true);
}

static void softmax_backward(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "softmax_gradient", NULL, g->output_gradients[0], g->outputs[0]);
}

static void log_softmax_backward(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "log_softmax_gradient", NULL, g->output_gradients[0], g->outputs[0]);
}

/* dx = y (dy - sum dy y), for `n` elements. */
static void softmax_line(const struct kernels *kernels, const float *dy, const float *y, float *dx, int64_t n)
{
    float sum = kernels->dot(n, dy, y);
    for (int64_t i = 0; i < n; i++)
        dx[i] = y[i] * (dy[i] - sum);
}

/* dx = dy - exp(y) sum dy. */
static void log_softmax_line(const struct kernels *kernels, const float *dy, const float *y, float *dx, int64_t n)
{
    enum { CHUNK = 64 };
    float sum = (float)kernels->sum(n, dy), e[CHUNK];
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t count = MIN(CHUNK, n - at);
        kernels->exp(y + at, e, count);
        for (int64_t i = 0; i < count; i++)
            dx[at + i] = dy[at + i] - e[i] * sum;
    }
}

/* Along the last axis, whatever the rank. */
static void each_line(struct op_run *run, void (*line)(const struct kernels *, const float *, const float *, float *, int64_t))
{
    const struct tensor *dy = &run->inputs[0].tensor, *y = &run->inputs[1].tensor, *dx = &run->outputs[0].tensor;
    int64_t last = dy->shape.dims[dy->shape.rank - 1];
    for (int64_t r = 0; r < dy->rows; r++)
        for (int64_t at = 0; at < dy->cols; at += last)
            line(run->kernels, tensor_floats(dy) + r * dy->ld + at, tensor_floats(y) + r * y->ld + at,
                 tensor_floats(dx) + r * dx->ld + at, last);
}

static void softmax_gradient_run(struct op_run *run)
{
    each_line(run, softmax_line);
}

static void log_softmax_gradient_run(struct op_run *run)
{
    each_line(run, log_softmax_line);
}

static const struct arg activation_arguments[] = {
    { "activation", &ARG_CHOICE, offsetof(struct op_activation_args, activation), "which function", .extra = op_activation_words },
};

static const struct op_row rows[] = {
    { .name = "activation", .help = "an activation function by its number", OP_ARGUMENTS(struct op_activation_args, activation_arguments), .min_inputs = 1,
      .max_inputs = 1, .flags = OP_TAKES_VIEWS | OP_IN_PLACE, .infer = activation_infer, .run = activation_run, .gradient = activation_backward },
    { .name = "activation_gradient", .help = "dy times an activation's derivative", OP_ARGUMENTS(struct op_activation_args, activation_arguments),
      .min_inputs = 2, .max_inputs = 3, .flags = OP_TAKES_VIEWS | OP_IN_PLACE, .infer = activation_gradient_infer,
      .run = activation_gradient_run },
    { .name = "softmax", .help = "exp(x) / sum exp(x) over the last axis", .min_inputs = 1, .max_inputs = 1, .flags = OP_TAKES_VIEWS,
      .infer = softmax_infer, .run = softmax_run, .gradient = softmax_backward },
    { .name = "log_softmax", .help = "the logarithm of softmax", .min_inputs = 1, .max_inputs = 1, .flags = OP_TAKES_VIEWS,
      .infer = softmax_infer, .run = log_softmax_run, .gradient = log_softmax_backward },
    { .name = "softmax_gradient", .help = "y (dy - sum dy y)", .min_inputs = 2, .max_inputs = 2, .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = same_shapes_infer, .run = softmax_gradient_run },
    { .name = "log_softmax_gradient", .help = "dy - exp(y) sum dy", .min_inputs = 2, .max_inputs = 2, .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = same_shapes_infer, .run = log_softmax_gradient_run },
};
OP_ROWS_OF(activation);
