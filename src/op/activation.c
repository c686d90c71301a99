/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activation functions, softmax and log-softmax. A derivative is taken from the output where that is enough (ReLU, sigmoid,
 * tanh, ...), from the input where it is not (softplus, GELU, swish, mish). Formulas: kernel/activation.c.
 */
#include <math.h>

#include "op/internal.h"
#include "pilaster/op.h"

_Static_assert((int)PIL_ACTIVATION_MISH == (int)ACTIVATION_MISH && (int)PIL_ACTIVATION_TANH == (int)ACTIVATION_TANH &&
                   (int)ACTIVATION_MISH + 1 == (int)ACTIVATION_COUNT,
               "public activations have the kernels' numbers");

bool op_activation_takes_input(enum activation activation)
{
    return activation == ACTIVATION_SOFTPLUS || activation == ACTIVATION_GELU || activation == ACTIVATION_SWISH ||
           activation == ACTIVATION_MISH;
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
    struct pil_tensor *dy = g->output_gradients[0], *y = g->outputs[0];
    if (args->activation == ACTIVATION_LINEAR)
        g->input_gradients[0] = dy;
    else if (op_activation_takes_input(args->activation))
        g->input_gradients[0] = op_emit3(g, "activation_gradient", args, dy, y, g->inputs[0]);
    else /* without its input, which a product before it then need not keep */
        g->input_gradients[0] = op_emit2(g, "activation_gradient", args, dy, y);
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

/* ---- leaky_relu: its slope is the model's choice ---- */

static void leaky_relu_run(struct op_run *run)
{
    const float alpha = ((const pil_leaky_relu_options *)run->args)->alpha;
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t c = 0; c < x->cols; c++) {
            float value = tensor_floats(x)[r * x->ld + c];
            tensor_floats(y)[r * y->ld + c] = value > 0 ? value : alpha * value;
        }
}

static void leaky_relu_backward(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "leaky_relu_gradient", g->args, g->output_gradients[0], g->inputs[0]);
}

/* dy, x; at 0 the slope is alpha. */
static void leaky_relu_gradient_run(struct op_run *run)
{
    const float alpha = ((const pil_leaky_relu_options *)run->args)->alpha;
    const struct tensor *dy = &run->inputs[0].tensor, *x = &run->inputs[1].tensor, *dx = &run->outputs[0].tensor;
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t c = 0; c < x->cols; c++) {
            float d = tensor_floats(dy)[r * dy->ld + c];
            tensor_floats(dx)[r * dx->ld + c] = tensor_floats(x)[r * x->ld + c] > 0 ? d : alpha * d;
        }
}

/* ---- softmax along an axis: of row i it needs row i, unless the axis is the batch ---- */

static int axis_of(const void *args, int rank)
{
    int axis = ((const pil_softmax_options *)args)->axis;
    return axis < 0 ? axis + rank : axis;
}

static bool softmax_infer(struct op_infer *infer)
{
    const pil_softmax_options *args = infer->args;
    const struct op_type *x = &infer->inputs[0];
    if (!same_shapes_infer(infer))
        return false;
    int axis = axis_of(args, x->shape.rank);
    if (axis < 0 || axis >= x->shape.rank)
        return op_fail(infer, "there is no axis %d", args->axis);
    if (axis == 0 && OP_ROWS(*x))
        infer->behaviour = BEHAVIOUR_WHOLE;
    return true;
}

/* A line along the axis: `count` elements, `step` apart; of each of the operands, the last of which is the result. */
struct soft_line {
    const struct kernels *kernels;
    bool together; /* the elements lie side by side, wherever the tensor lies: a view's sum must have the same bits */
    int64_t count, step[3];
    const float *a, *b;
    float *out;
};

static void each_soft_line(struct op_run *run, void (*line)(const struct soft_line *line))
{
    const struct tensor *a = &run->inputs[0].tensor, *b = &run->inputs[run->input_count - 1].tensor;
    const struct tensor *out = &run->outputs[0].tensor, *all[3] = { a, b, out };
    int axis = axis_of(run->args, a->shape.rank), rank = a->shape.rank;
    int64_t index[SHAPE_MAX_RANK] = { 0 }, count = a->shape.dims[axis], elements = shape_elements(a->shape);
    struct soft_line call = { .kernels = run->kernels,
                              .count = count,
                              .together = axis == rank - 1 && (rank > 1 || a->rows == 1) };
    index[axis] = count > 1;
    for (int i = 0; i < 3; i++)
        call.step[i] = op_offset(all[i], index);
    index[axis] = 0;
    for (int64_t n = 0; n < elements; n += count) {
        call.a = tensor_floats(a) + op_offset(a, index);
        call.b = tensor_floats(b) + op_offset(b, index);
        call.out = tensor_floats(out) + op_offset(out, index);
        line(&call);
        for (int i = rank - 1; i >= 0; i--) {
            if (i == axis)
                continue;
            if (++index[i] < a->shape.dims[i])
                break;
            index[i] = 0;
        }
    }
}

/* Along another axis than the last: the kernel's steps, a chunk at a time. */
enum { CHUNK = 64 };

/* exp(a - top) of the chunk from `at` on; its sum. */
static double exponentials(const struct soft_line *line, int64_t at, int64_t count, float top, float *e)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        e[i] = line->a[(at + i) * line->step[0]] - top;
    line->kernels->exp(e, e, count);
    for (int64_t i = 0; i < count; i++)
        sum += (double)e[i];
    return sum;
}

static float highest(const struct soft_line *line)
{
    float top = line->a[0];
    for (int64_t i = 1; i < line->count; i++)
        top = line->a[i * line->step[0]] > top ? line->a[i * line->step[0]] : top;
    return top;
}

static void softmax_line(const struct soft_line *line)
{
    float top = highest(line), e[CHUNK];
    double sum = 0;
    for (int64_t at = 0; at < line->count; at += CHUNK) {
        int64_t count = MIN(CHUNK, line->count - at);
        sum += exponentials(line, at, count, top, e);
        for (int64_t i = 0; i < count; i++)
            line->out[(at + i) * line->step[2]] = e[i];
    }
    for (int64_t i = 0; i < line->count; i++)
        line->out[i * line->step[2]] /= (float)sum;
}

static void log_softmax_line(const struct soft_line *line)
{
    float top = highest(line), e[CHUNK], log_sum;
    double sum = 0;
    for (int64_t at = 0; at < line->count; at += CHUNK)
        sum += exponentials(line, at, MIN(CHUNK, line->count - at), top, e);
    line->kernels->log(&(float){ (float)sum }, &log_sum, 1);
    for (int64_t i = 0; i < line->count; i++)
        line->out[i * line->step[2]] = (line->a[i * line->step[0]] - top) - log_sum;
}

/* The last axis by the kernel, whatever the rank. */
static void soft(struct op_run *run, bool logarithm)
{
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    int rank = x->shape.rank;
    int64_t last = x->shape.dims[rank - 1];
    if (axis_of(run->args, rank) != rank - 1 || (rank == 1 && x->cols != last)) {
        each_soft_line(run, logarithm ? log_softmax_line : softmax_line);
        return;
    }
    if (x->cols == last) {
        run->kernels->softmax(tensor_floats(x), x->ld, tensor_floats(y), y->ld, x->rows, x->cols, logarithm);
        return;
    }
    for (int64_t r = 0; r < x->rows; r++)
        run->kernels->softmax(tensor_floats(x) + r * x->ld, last, tensor_floats(y) + r * y->ld, last, x->cols / last, last,
                              logarithm);
}

static void softmax_run(struct op_run *run)
{
    soft(run, false);
}

static void log_softmax_run(struct op_run *run)
{
    soft(run, true);
}

static void softmax_backward(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "softmax_gradient", g->args, g->output_gradients[0], g->outputs[0]);
}

static void log_softmax_backward(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "log_softmax_gradient", g->args, g->output_gradients[0], g->outputs[0]);
}

/* dx = y (dy - sum dy y). */
static void softmax_gradient_line(const struct soft_line *line)
{
    double sum = 0;
    bool plain = line->together;
    for (int64_t i = 0; i < line->count && !plain; i++)
        sum += (double)line->a[i * line->step[0]] * (double)line->b[i * line->step[1]];
    float dot = plain ? line->kernels->dot(line->count, line->a, line->b) : (float)sum;
    for (int64_t i = 0; i < line->count; i++)
        line->out[i * line->step[2]] = line->b[i * line->step[1]] * (line->a[i * line->step[0]] - dot);
}

/* dx = dy - exp(y) sum dy. */
static void log_softmax_gradient_line(const struct soft_line *line)
{
    float e[CHUNK];
    double sum = 0;
    bool plain = line->together;
    for (int64_t i = 0; i < line->count && !plain; i++)
        sum += (double)line->a[i * line->step[0]];
    float total = (float)(plain ? line->kernels->sum(line->count, line->a) : sum);
    for (int64_t at = 0; at < line->count; at += CHUNK) {
        int64_t count = MIN(CHUNK, line->count - at);
        for (int64_t i = 0; i < count; i++)
            e[i] = line->b[(at + i) * line->step[1]];
        line->kernels->exp(e, e, count);
        for (int64_t i = 0; i < count; i++)
            line->out[(at + i) * line->step[2]] = line->a[(at + i) * line->step[0]] - e[i] * total;
    }
}

static void softmax_gradient_run(struct op_run *run)
{
    each_soft_line(run, softmax_gradient_line);
}

static void log_softmax_gradient_run(struct op_run *run)
{
    each_soft_line(run, log_softmax_gradient_line);
}

static const struct arg activation_arguments[] = {
    { "activation", &ARG_CHOICE, offsetof(struct op_activation_args, activation), "which", .extra = op_activation_words },
};

static const struct arg leaky_relu_arguments[] = {
    { "alpha", &ARG_FLOAT, offsetof(pil_leaky_relu_options, alpha), "the slope below 0" },
};
static const struct arg softmax_arguments[] = {
    { "axis", &OP_ARG_INT, offsetof(pil_softmax_options, axis), "along which the results sum to 1" },
};
static const pil_softmax_options last_axis = { .axis = -1 };
#define SOFTMAX(op, text, inputs, more_flags, back)                                                                              \
    {                                                                                                                            \
        .name = #op, .help = text, OP_ARGUMENTS(pil_softmax_options, softmax_arguments), .defaults = &last_axis,                 \
        .min_inputs = inputs, .max_inputs = inputs, .flags = OP_TAKES_VIEWS | (more_flags), .infer = softmax_infer,              \
        .run = op##_run, .gradient = back                                                                                        \
    }

static const struct op_row rows[] = {
    { .name = "activation",
      .help = "an activation function by its number",
      OP_ARGUMENTS(struct op_activation_args, activation_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = activation_infer,
      .run = activation_run,
      .gradient = activation_backward },
    { .name = "activation_gradient",
      .help = "dy times an activation's derivative",
      OP_ARGUMENTS(struct op_activation_args, activation_arguments),
      .min_inputs = 2,
      .max_inputs = 3,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = activation_gradient_infer,
      .run = activation_gradient_run },
    { .name = "leaky_relu",
      .help = "x above 0, else x times a number",
      OP_ARGUMENTS(pil_leaky_relu_options, leaky_relu_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = same_shapes_infer,
      .run = leaky_relu_run,
      .gradient = leaky_relu_backward },
    { .name = "leaky_relu_gradient",
      .help = "dy where x is above 0, else dy times a number",
      OP_ARGUMENTS(pil_leaky_relu_options, leaky_relu_arguments),
      .min_inputs = 2,
      .max_inputs = 2,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = same_shapes_infer,
      .run = leaky_relu_gradient_run },
    SOFTMAX(softmax, "exp(x) / sum exp(x) along an axis", 1, 0, softmax_backward),
    SOFTMAX(log_softmax, "the logarithm of softmax", 1, 0, log_softmax_backward),
    SOFTMAX(softmax_gradient, "y (dy - sum dy y)", 2, OP_IN_PLACE, NULL),
    SOFTMAX(log_softmax_gradient, "dy - exp(y) sum dy", 2, OP_IN_PLACE, NULL),
};
OP_ROWS_OF(activation);
