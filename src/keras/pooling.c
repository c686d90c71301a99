/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolution and pooling over time. A window's steps are gathered side by side, [batch, windows, size, features]; what is left is a
 * product, a maximum or a mean.
 */
#include <float.h>
#include <string.h>

#include "keras/args.h"
#include "pilaster/op.h"

LAYER_MAKER(conv1d_layer, "Conv1D", pil_conv1d_layer_options, conv1d, PIL_CONV1D_LAYER_DEFAULTS)
LAYER_MAKER(max_pooling1d, "MaxPooling1D", pil_pooling1d_options, pooling1d, PIL_POOLING1D_DEFAULTS)
LAYER_MAKER(average_pooling1d, "AveragePooling1D", pil_pooling1d_options, pooling1d, PIL_POOLING1D_DEFAULTS)
LAYER_MAKER(global_average_pooling1d, "GlobalAveragePooling1D", pil_global_pooling1d_options, global_pooling1d,
            PIL_GLOBAL_POOLING1D_DEFAULTS)
LAYER_MAKER(global_max_pooling1d, "GlobalMaxPooling1D", pil_global_pooling1d_options, global_pooling1d,
            PIL_GLOBAL_POOLING1D_DEFAULTS)

/* ---- windows ---- */

struct windows {
    int64_t size, stride, dilation;
    const char *padding;
    int64_t time, count;   /* steps of x, windows */
    int64_t before, after; /* steps added */
};

/* How many windows there are, and what is added to x for them, as TensorFlow counts both. */
static bool count_windows(struct layer_build *b, struct windows *w)
{
    char text[128];
    if (!layer_takes(b, 3, 3, "[time, features]"))
        return false;
    w->time = b->x->type.shape.dims[1];
    if (w->size < 1 || w->stride < 1 || w->dilation < 1 || w->size > 1 << 20 || w->dilation > 1 << 20 || w->stride > 1 << 20)
        return layer_fail(b, "its sizes are %lld, strides %lld, dilation_rate %lld: each is from 1", (long long)w->size,
                          (long long)w->stride, (long long)w->dilation) == NULL;
    int64_t reach = (w->size - 1) * w->dilation + 1;
    bool same = strcmp(w->padding, "same") == 0, causal = strcmp(w->padding, "causal") == 0;
    if (!same && !causal && strcmp(w->padding, "valid") != 0) {
        layer_fail(b, "there is no padding '%s': it is valid or same%s", w->padding, w->dilation ? ", of Conv1D causal too" : "");
        return false;
    }
    if (same) {
        w->count = (w->time + w->stride - 1) / w->stride;
        int64_t missing = MAX((w->count - 1) * w->stride + reach - w->time, 0);
        w->before = missing / 2;
        w->after = missing - w->before;
    } else {
        w->before = causal ? reach - 1 : 0;
        w->count = w->time + w->before < reach ? 0 : (w->time + w->before - reach) / w->stride + 1;
    }
    if (w->count < 1)
        layer_fail(b, "rows of %s are too short for windows of %lld steps", layer_shape_text(b->x, text), (long long)reach);
    return w->count >= 1;
}

/* [batch, windows * size, features], with `fill` for the steps that are added. */
static struct pil_tensor *gather_windows(struct layer_build *b, const struct windows *w, float fill)
{
    struct pil_tensor *x = b->x;
    pil_status status = { 0 };
    if (w->before + w->after > 0)
        x = pil_pad(b->graph, x, PIL_SHAPE(0, w->before, 0), PIL_SHAPE(0, w->after, 0), fill);
    float *steps = mem_array((size_t)(w->count * w->size), sizeof *steps, &status);
    if (!steps)
        return layer_fail(b, "out of memory for its windows");
    for (int64_t i = 0; i < w->count * w->size; i++)
        steps[i] = (float)(i / w->size * w->stride + i % w->size * w->dilation);
    struct pil_tensor *order = graph_constant(b->graph, SHAPE(w->count * w->size), steps);
    mem_free(steps);
    return pil_gather(b->graph, x, order, .axis = 1);
}

/* ---- Conv1D ---- */

static struct pil_tensor *conv1d_build(struct layer_build *b)
{
    const pil_conv1d_layer_options *o = b->options;
    struct windows w = { .size = o->kernel_size, .stride = o->strides, .dilation = o->dilation_rate, .padding = o->padding };
    if (!o->padding || o->groups != 1 || o->filters < 1)
        return layer_fail(b, "filters is %lld (from 1), groups %lld (1 is possible)", (long long)o->filters,
                          (long long)o->groups);
    if (!count_windows(b, &w) || !layer_checks_activation(b, o->activation))
        return graph_error_tensor(b->graph);
    int64_t channels = b->x->type.shape.dims[2];
    struct pil_tensor *inputs[3];
    inputs[0] = pil_reshape(b->graph, gather_windows(b, &w, 0), PIL_SHAPE(-1, w.count, w.size * channels));
    inputs[1] = layer_weight(b, &(struct layer_weight){ .name = "kernel",
                                                        .shape = SHAPE(w.size, channels, o->filters),
                                                        .initializer = o->kernel_initializer,
                                                        .regularizer = o->kernel_regularizer,
                                                        .constraint = o->kernel_constraint });
    inputs[1] = pil_reshape(b->graph, inputs[1], PIL_SHAPE(w.size * channels, o->filters));
    if (o->use_bias)
        inputs[2] = layer_weight(b, &(struct layer_weight){ .name = "bias",
                                                            .shape = SHAPE(o->filters),
                                                            .initializer = o->bias_initializer,
                                                            .regularizer = o->bias_regularizer,
                                                            .constraint = o->bias_constraint });
    struct op_matmul_args args = { .bias = o->use_bias };
    return layer_activate(b, o->activation, graph_op(b->graph, "matmul", &args, inputs, o->use_bias ? 3 : 2, NULL));
}

/* ---- pooling ---- */

static struct pil_tensor *pooled_windows(struct layer_build *b, struct windows *w, float fill)
{
    const pil_pooling1d_options *o = b->options;
    *w = (struct windows){ .size = o->pool_size, .stride = o->strides ? o->strides : o->pool_size, .dilation = 1 };
    w->padding = o->padding ? o->padding : "";
    if (strcmp(w->padding, "causal") == 0)
        return layer_fail(b, "there is no padding 'causal': it is valid or same");
    if (!count_windows(b, w))
        return graph_error_tensor(b->graph);
    return pil_reshape(b->graph, gather_windows(b, w, fill), PIL_SHAPE(-1, w->count, w->size, b->x->type.shape.dims[2]));
}

static struct pil_tensor *max_build(struct layer_build *b)
{
    struct windows w;
    struct pil_tensor *x = pooled_windows(b, &w, -FLT_MAX);
    return pil_reduce_max(b->graph, x, .axis = PIL_AXES(2));
}

/* Steps that were added do not count. */
static struct pil_tensor *average_build(struct layer_build *b)
{
    struct windows w;
    pil_status status = { 0 };
    struct pil_tensor *x = pooled_windows(b, &w, 0);
    if (!status_ok(graph_status(b->graph)))
        return x;
    float *shares = mem_array((size_t)w.count, sizeof *shares, &status);
    if (!shares)
        return layer_fail(b, "out of memory for its windows");
    for (int64_t i = 0; i < w.count; i++) {
        int64_t first = MAX(i * w.stride - w.before, 0), end = MIN(i * w.stride - w.before + w.size, w.time);
        shares[i] = 1 / (float)(end - first);
    }
    struct pil_tensor *share = graph_constant(b->graph, SHAPE(1, w.count, 1), shares);
    mem_free(shares);
    return pil_mul(b->graph, pil_reduce_sum(b->graph, x, .axis = PIL_AXES(2)), share);
}

static struct pil_tensor *global_average_build(struct layer_build *b)
{
    const pil_global_pooling1d_options *o = b->options;
    struct pil_graph *graph = b->graph;
    if (!layer_takes(b, 3, 3, "[time, features]"))
        return graph_error_tensor(graph);
    if (!b->mask)
        return pil_reduce_mean(graph, b->x, .axis = PIL_AXES(1), .keepdims = o->keepdims);
    struct pil_tensor *counts = pil_expand_dims(graph, pil_cast(graph, b->mask, PIL_FLOAT32), 2);
    struct pil_tensor *sum = pil_reduce_sum(graph, pil_mul(graph, b->x, counts), .axis = PIL_AXES(1), .keepdims = o->keepdims);
    return pil_div(graph, sum, pil_reduce_sum(graph, counts, .axis = PIL_AXES(1), .keepdims = o->keepdims));
}

static struct pil_tensor *global_max_build(struct layer_build *b)
{
    const pil_global_pooling1d_options *o = b->options;
    if (!layer_takes(b, 3, 3, "[time, features]"))
        return graph_error_tensor(b->graph);
    return pil_reduce_max(b->graph, b->x, .axis = PIL_AXES(1), .keepdims = o->keepdims);
}

/* ---- their arguments ---- */

static const char *const paddings[] = { "valid", "same", "causal", NULL };
static const pil_conv1d_layer_options conv1d_defaults = { PIL_CONV1D_LAYER_DEFAULTS };
#define CONV_SIZE(member, help_, ...)                                                                                            \
    {                                                                                                                            \
        .name = #member, .type = &ARG_INT, .offset = offsetof(pil_conv1d_layer_options, member), .low = 1, .high = 1 << 20,      \
        .help = help_, __VA_ARGS__                                                                                               \
    }
static const struct arg conv1d_args[] = {
    CONV_SIZE(filters, "numbers that come out of a window", .required = true),
    CONV_SIZE(kernel_size, "steps of a window", .required = true),
    CONV_SIZE(strides, "steps from window to window"),
    CONV_SIZE(dilation_rate, "steps from one of a window's to its next"),
    CONV_SIZE(groups, "1"),
    { .name = "padding",
      .type = &KERAS_ARG_WORD,
      .offset = offsetof(pil_conv1d_layer_options, padding),
      .extra = paddings,
      .help = "valid, same or causal" },
    { .name = "activation",
      .type = &KERAS_ARG_ACTIVATION,
      .offset = offsetof(pil_conv1d_layer_options, activation),
      .help = "of the result" },
    { .name = "use_bias", .type = &ARG_BOOL, .offset = offsetof(pil_conv1d_layer_options, use_bias), .help = "adds a bias" },
    WEIGHT_ARGS(pil_conv1d_layer_options, kernel),
    WEIGHT_ARGS(pil_conv1d_layer_options, bias),
    LAYER_ARGS(pil_conv1d_layer_options),
};
static const pil_pooling1d_options pooling_defaults = { PIL_POOLING1D_DEFAULTS };
static const struct arg pooling_args[] = {
    { .name = "pool_size",
      .type = &ARG_INT,
      .offset = offsetof(pil_pooling1d_options, pool_size),
      .low = 1,
      .high = 1 << 20,
      .help = "steps of a pool" },
    { .name = "strides",
      .type = &ARG_INT,
      .offset = offsetof(pil_pooling1d_options, strides),
      .low = 0,
      .high = 1 << 20,
      .help = "steps from pool to pool; 0: the pool's size" },
    { .name = "padding",
      .type = &KERAS_ARG_WORD,
      .offset = offsetof(pil_pooling1d_options, padding),
      .extra = paddings,
      .help = "valid or same" },
    LAYER_ARGS(pil_pooling1d_options),
};
static const pil_global_pooling1d_options global_defaults = { PIL_GLOBAL_POOLING1D_DEFAULTS };
static const struct arg global_args[] = {
    { .name = "keepdims",
      .type = &ARG_BOOL,
      .offset = offsetof(pil_global_pooling1d_options, keepdims),
      .help = "the time stays as an axis of 1" },
    LAYER_ARGS(pil_global_pooling1d_options),
};

static const struct layer_row rows[] = {
    LAYER_ROW("Conv1D", "conv1d", pil_conv1d_layer_options, conv1d_args, conv1d_defaults, "products of windows of steps",
              .build = conv1d_build, LAYER_OFFSETS(pil_conv1d_layer_options)),
    LAYER_ROW("MaxPooling1D", "max_pooling1d", pil_pooling1d_options, pooling_args, pooling_defaults, "the largest of each pool",
              .build = max_build, LAYER_OFFSETS(pil_pooling1d_options)),
    LAYER_ROW("AveragePooling1D", "average_pooling1d", pil_pooling1d_options, pooling_args, pooling_defaults,
              "the mean of each pool", .build = average_build, LAYER_OFFSETS(pil_pooling1d_options)),
    LAYER_ROW("GlobalAveragePooling1D", "global_average_pooling1d", pil_global_pooling1d_options, global_args, global_defaults,
              "the mean over all steps that count", .build = global_average_build, LAYER_OFFSETS(pil_global_pooling1d_options)),
    LAYER_ROW("GlobalMaxPooling1D", "global_max_pooling1d", pil_global_pooling1d_options, global_args, global_defaults,
              "the largest over all steps", .build = global_max_build, LAYER_OFFSETS(pil_global_pooling1d_options)),
};
LAYER_ROWS_OF(pooling);
