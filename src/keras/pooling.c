/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution and pooling over time: what windows of steps come to, or all steps together. */
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

/* A padding by its word; how many steps of one row a window of `reach` needs must be there. */
static bool find_padding(struct layer_build *b, const char *word, bool causal, int64_t reach, pil_padding *out)
{
    static const char *const words[] = { "valid", "same", "causal" };
    char text[128];
    size_t known = causal ? 3 : 2, i = 0;
    if (!layer_takes(b, 3, 3, "[time, features]"))
        return false;
    while (i < known && (!word || strcmp(words[i], word) != 0))
        i++;
    *out = (pil_padding)i;
    if (i == known)
        layer_fail(b, "there is no padding '%s': it is valid%s", word ? word : "NULL", causal ? ", same or causal" : " or same");
    else if (*out == PIL_PADDING_VALID && reach > b->x->type.shape.dims[1])
        layer_fail(b, "rows of %s are too short for windows of %lld steps", keras_row_text(b->x, text), (long long)reach);
    return status_ok(graph_status(b->graph));
}

/* ---- Conv1D ---- */

static struct pil_tensor *conv1d_build(struct layer_build *b)
{
    enum { MOST = 1 << 20 };
    const pil_conv1d_layer_options *o = b->options;
    pil_padding padding;
    if (o->filters < 1 || o->groups != 1)
        return layer_fail(b, "filters is %lld (from 1), groups %lld (1 is possible)", (long long)o->filters,
                          (long long)o->groups);
    if (o->kernel_size < 1 || o->strides < 1 || o->dilation_rate < 1 || MAX(o->kernel_size, o->dilation_rate) > MOST)
        return layer_fail(b, "kernel_size is %lld, strides %lld, dilation_rate %lld: each is from 1", (long long)o->kernel_size,
                          (long long)o->strides, (long long)o->dilation_rate);
    if (!find_padding(b, o->padding, true, (o->kernel_size - 1) * o->dilation_rate + 1, &padding) ||
        !layer_checks_activation(b, o->activation))
        return graph_error_tensor(b->graph);
    struct pil_tensor *kernel =
        layer_weight(b, &(struct layer_weight){ .name = "kernel",
                                                .shape = SHAPE(o->kernel_size, b->x->type.shape.dims[2], o->filters),
                                                .initializer = o->kernel_initializer,
                                                .regularizer = o->kernel_regularizer,
                                                .constraint = o->kernel_constraint });
    struct pil_tensor *y =
        pil_conv1d(b->graph, b->x, kernel, .stride = o->strides, .padding = padding, .dilation_rate = o->dilation_rate);
    if (o->use_bias)
        y = pil_add(b->graph, y,
                    layer_weight(b, &(struct layer_weight){ .name = "bias",
                                                            .shape = SHAPE(o->filters),
                                                            .initializer = o->bias_initializer,
                                                            .regularizer = o->bias_regularizer,
                                                            .constraint = o->bias_constraint }));
    return layer_activate(b, o->activation, y);
}

/* ---- pooling ---- */

static bool find_pool(struct layer_build *b, pil_pool1d_options *out)
{
    const pil_pooling1d_options *o = b->options;
    if (o->pool_size < 1 || o->strides < 0)
        return layer_fail(b, "pool_size is %lld, from 1, strides %lld, from 0", (long long)o->pool_size, (long long)o->strides) ==
               NULL;
    *out = (pil_pool1d_options){ .ksize = o->pool_size, .strides = o->strides };
    return find_padding(b, o->padding, false, o->pool_size, &out->padding);
}

static struct pil_tensor *max_build(struct layer_build *b)
{
    pil_pool1d_options pool;
    return find_pool(b, &pool) ? pil_max_pool1d_make(b->graph, b->x, &pool) : graph_error_tensor(b->graph);
}

static struct pil_tensor *average_build(struct layer_build *b)
{
    pil_pool1d_options pool;
    return find_pool(b, &pool) ? pil_avg_pool1d_make(b->graph, b->x, &pool) : graph_error_tensor(b->graph);
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
