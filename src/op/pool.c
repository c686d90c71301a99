/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling over time, channel by channel: the largest of a window's steps, or their mean. Steps that padding adds do not exist. */
#include <string.h>

#include "op/window.h"

static struct windows pool_windows(const void *options, int64_t time)
{
    const pil_pool1d_options *args = options;
    return windows_of(time, args->ksize, args->strides ? args->strides : args->ksize, 1, args->padding);
}

static bool pool_infer(struct op_infer *infer)
{
    const pil_pool1d_options *args = infer->args;
    const struct op_type *x = &infer->inputs[0];
    if (!op_need_float(infer) ||
        !windows_check(infer, x, args->ksize, args->strides ? args->strides : args->ksize, 1, args->padding))
        return false;
    if (args->padding == PIL_PADDING_CAUSAL)
        return op_fail(infer, "pools are padded valid or same, not causal");
    infer->outputs[0] = *x;
    infer->outputs[0].shape.dims[1] = pool_windows(args, x->shape.dims[1]).count;
    infer->behaviour = BEHAVIOUR_ROW_BY_ROW;
    return true;
}

/* The steps of x that window i covers. */
static void bounds(const struct windows *w, int64_t i, int64_t *first, int64_t *end)
{
    *first = MAX(i * w->stride - w->before, 0);
    *end = MIN(i * w->stride - w->before + w->size, w->time);
}

/* Window by window: the steps of one, [count, channels], into its place. */
static void each_window(const struct op_run *run, void (*pool)(const float *steps, int64_t count, int64_t channels, float *to))
{
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    const int64_t channels = x->shape.dims[2];
    const struct windows w = pool_windows(run->args, x->shape.dims[1]);
    int64_t first, end;
    for (int64_t n = 0; n < x->rows * w.count; n++) {
        bounds(&w, n % w.count, &first, &end);
        pool(tensor_floats(x) + n / w.count * x->ld + first * channels, end - first, channels,
             tensor_floats(y) + n / w.count * y->ld + n % w.count * channels);
    }
}

static void largest(const float *steps, int64_t count, int64_t channels, float *to)
{
    memcpy(to, steps, (size_t)channels * sizeof *to);
    for (int64_t t = 1; t < count; t++)
        for (int64_t c = 0; c < channels; c++)
            to[c] = steps[t * channels + c] > to[c] ? steps[t * channels + c] : to[c];
}

static void mean(const float *steps, int64_t count, int64_t channels, float *to)
{
    memcpy(to, steps, (size_t)channels * sizeof *to);
    for (int64_t t = 1; t < count; t++)
        for (int64_t c = 0; c < channels; c++)
            to[c] += steps[t * channels + c];
    for (int64_t c = 0; c < channels; c++)
        to[c] /= (float)count;
}

static void max_pool1d_run(struct op_run *run)
{
    each_window(run, largest);
}

static void avg_pool1d_run(struct op_run *run)
{
    each_window(run, mean);
}

/* ---- gradients: dy, x ---- */

static bool gradient_infer(struct op_infer *infer)
{
    return op_need_float(infer) && op_like(infer, 1);
}

/* To the first of the largest. */
static void max_gradient_run(struct op_run *run)
{
    const struct tensor *dy = &run->inputs[0].tensor, *x = &run->inputs[1].tensor, *dx = &run->outputs[0].tensor;
    const int64_t channels = x->shape.dims[2];
    const struct windows w = pool_windows(run->args, x->shape.dims[1]);
    int64_t first, end;
    for (int64_t r = 0; r < x->rows; r++) {
        const float *in = tensor_floats(x) + r * x->ld, *from = tensor_floats(dy) + r * dy->ld;
        float *to = tensor_floats(dx) + r * dx->ld;
        memset(to, 0, (size_t)dx->cols * sizeof *to);
        for (int64_t i = 0; i < w.count; i++) {
            bounds(&w, i, &first, &end);
            for (int64_t c = 0; c < channels; c++) {
                int64_t best = first;
                for (int64_t t = first + 1; t < end; t++)
                    best = in[t * channels + c] > in[best * channels + c] ? t : best;
                to[best * channels + c] += from[i * channels + c];
            }
        }
    }
}

static void avg_gradient_run(struct op_run *run)
{
    const struct tensor *dy = &run->inputs[0].tensor, *dx = &run->outputs[0].tensor;
    const int64_t channels = dx->shape.dims[2];
    const struct windows w = pool_windows(run->args, dx->shape.dims[1]);
    int64_t first, end;
    for (int64_t r = 0; r < dx->rows; r++) {
        const float *from = tensor_floats(dy) + r * dy->ld;
        float *to = tensor_floats(dx) + r * dx->ld;
        memset(to, 0, (size_t)dx->cols * sizeof *to);
        for (int64_t i = 0; i < w.count; i++) {
            bounds(&w, i, &first, &end);
            for (int64_t t = first; t < end; t++)
                for (int64_t c = 0; c < channels; c++)
                    to[t * channels + c] += from[i * channels + c] / (float)(end - first);
        }
    }
}

static void max_pool1d_backward(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "max_pool1d_gradient", g->args, g->output_gradients[0], g->inputs[0]);
}

static void avg_pool1d_backward(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "avg_pool1d_gradient", g->args, g->output_gradients[0], g->inputs[0]);
}

#define AT(field) offsetof(pil_pool1d_options, field)
static const struct arg pool_arguments[] = {
    { "ksize", &ARG_INT, AT(ksize), "steps of a window" },
    { "strides", &ARG_INT, AT(strides), "steps from one window to the next; 0: its size" },
    { "padding", &ARG_CHOICE, AT(padding), "what is added in front and behind", .extra = window_padding_words },
};
static const pil_pool1d_options pairs = { .ksize = 2 };
#define POOL(op, text, inputs, rule, runs, back)                                                                                 \
    {                                                                                                                            \
        .name = op, .help = text, OP_ARGUMENTS(pil_pool1d_options, pool_arguments), .defaults = &pairs, .min_inputs = inputs,    \
        .max_inputs = inputs, .infer = rule, .run = runs, .gradient = back                                                       \
    }

static const struct op_row rows[] = {
    POOL("max_pool1d", "the largest of windows over time", 1, pool_infer, max_pool1d_run, max_pool1d_backward),
    POOL("max_pool1d_gradient", "to the first of a window's largest", 2, gradient_infer, max_gradient_run, NULL),
    POOL("avg_pool1d", "the mean of windows over time", 1, pool_infer, avg_pool1d_run, avg_pool1d_backward),
    POOL("avg_pool1d_gradient", "shared by a window's steps", 2, gradient_infer, avg_gradient_run, NULL),
};
OP_ROWS_OF(pool);
