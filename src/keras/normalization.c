/* SPDX-License-Identifier: Apache-2.0 */
/* BatchNormalization, by the moments of a batch or by averages kept since, and LayerNormalization, by a row's own. */
#include <string.h>

#include "keras/args.h"
#include "pilaster/op.h"

LAYER_MAKER(batch_normalization, "BatchNormalization", pil_batch_normalization_options, batch_normalization,
            PIL_BATCH_NORMALIZATION_DEFAULTS)
LAYER_MAKER(layer_normalization, "LayerNormalization", pil_layer_normalization_options, layer_normalization,
            PIL_LAYER_NORMALIZATION_DEFAULTS)

/* A weight of the shape, or, where it is left out, that number over and over. */
static struct pil_tensor *weight_or(struct layer_build *b, bool exists, const struct layer_weight *weight, float value)
{
    if (exists)
        return layer_weight(b, weight);
    return graph_op1(b->graph, "broadcast_to", &(struct op_reshape_args){ weight->shape }, graph_scalar(b->graph, value));
}

/* ---- BatchNormalization ---- */

static bool check_batch(struct layer_build *b, const pil_batch_normalization_options *o)
{
    int rank = b->x->type.shape.rank;
    if (!layer_takes(b, 2, PIL_MAX_RANK, "of at least one axis"))
        return false;
    if (o->axis != -1 && o->axis != rank - 1)
        layer_fail(b, "axis is %d: the last one, -1, is what it can normalize", o->axis);
    else if (!(o->epsilon >= 0) || !(o->momentum >= 0 && o->momentum <= 1))
        layer_fail(b, "epsilon %g must be 0 at least, momentum %g within 0 and 1", (double)o->epsilon, (double)o->momentum);
    return status_ok(graph_status(b->graph));
}

static struct pil_tensor *batch_build(struct layer_build *b)
{
    const pil_batch_normalization_options *o = b->options;
    struct pil_graph *graph = b->graph;
    if (!check_batch(b, o))
        return graph_error_tensor(graph);
    struct shape channels = SHAPE(b->x->type.shape.dims[b->x->type.shape.rank - 1]);
    struct pil_tensor *gamma = weight_or(
        b, o->scale,
        &(struct layer_weight){ "gamma", NULL, channels, o->gamma_initializer, o->gamma_regularizer, o->gamma_constraint }, 1);
    struct pil_tensor *beta = weight_or(
        b, o->center,
        &(struct layer_weight){ "beta", NULL, channels, o->beta_initializer, o->beta_regularizer, o->beta_constraint }, 0);
    struct pil_tensor *averages[] = {
        layer_weight(b, &(struct layer_weight){ .name = "moving_mean",
                                                .shape = channels,
                                                .initializer = o->moving_mean_initializer,
                                                .not_trainable = true }),
        layer_weight(b, &(struct layer_weight){ .name = "moving_variance",
                                                .shape = channels,
                                                .initializer = o->moving_variance_initializer,
                                                .not_trainable = true }),
    };
    return graph_batch_norm(graph, b->x,
                            &(struct graph_batch_norm){ .gamma = gamma,
                                                        .beta = beta,
                                                        .moving_mean = averages[0],
                                                        .moving_variance = averages[1],
                                                        .momentum = o->momentum,
                                                        .epsilon = o->epsilon,
                                                        .training = b->training && layer_trainable(b->layer) });
}

/* ---- LayerNormalization ---- */

static struct pil_tensor *layer_build(struct layer_build *b)
{
    const pil_layer_normalization_options *o = b->options;
    int rank = b->x->type.shape.rank, first = o->axis < 0 ? o->axis + rank : o->axis;
    if (first < 1 || first >= rank)
        return layer_fail(b, "axis is %d: rows have the axes 1 to %d", o->axis, rank - 1);
    if (!(o->epsilon >= 0))
        return layer_fail(b, "epsilon %g must be 0 at least", (double)o->epsilon);
    struct shape shape = { .rank = rank - first };
    memcpy(shape.dims, b->x->type.shape.dims + first, (size_t)shape.rank * sizeof shape.dims[0]);
    struct pil_tensor *gamma = weight_or(
        b, o->scale,
        &(struct layer_weight){ "gamma", NULL, shape, o->gamma_initializer, o->gamma_regularizer, o->gamma_constraint }, 1);
    struct pil_tensor *beta =
        weight_or(b, o->center,
                  &(struct layer_weight){ "beta", NULL, shape, o->beta_initializer, o->beta_regularizer, o->beta_constraint }, 0);
    return graph_op3(b->graph, "layer_norm", &(struct op_layer_norm_args){ o->axis, o->epsilon }, b->x, gamma, beta);
}

/* ---- their arguments ---- */

static bool axis_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                       pil_status *status)
{
    int64_t number = 0;
    if (!ARG_INT.parse(arg, value, &number, reader, status))
        return false;
    *(int *)field = (int)number;
    return true;
}

static void axis_print(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    text_format(out, "%d", *(const int *)field);
}

static const struct arg_type ARG_AXIS = { "integer", "{\"type\":\"integer\"}", axis_parse, axis_print, axis_print };

#define NORM_ARGS(options)                                                                                                       \
    { .name = "axis",                                                                                                            \
      .type = &ARG_AXIS,                                                                                                         \
      .offset = offsetof(options, axis),                                                                                         \
      .low = -PIL_MAX_RANK,                                                                                                      \
      .high = PIL_MAX_RANK,                                                                                                      \
      .help = "that is normalized" },                                                                                            \
        { .name = "epsilon", .type = &ARG_FLOAT, .offset = offsetof(options, epsilon), .help = "added to the variance" },        \
        { .name = "center", .type = &ARG_BOOL, .offset = offsetof(options, center), .help = "adds beta" },                       \
        { .name = "scale", .type = &ARG_BOOL, .offset = offsetof(options, scale), .help = "multiplies by gamma" },               \
        WEIGHT_ARGS(options, gamma), WEIGHT_ARGS(options, beta), LAYER_ARGS(options)

static const pil_batch_normalization_options batch_defaults = { PIL_BATCH_NORMALIZATION_DEFAULTS };
static const struct arg batch_args[] = {
    { .name = "momentum",
      .type = &ARG_FLOAT,
      .offset = offsetof(pil_batch_normalization_options, momentum),
      .help = "of the averages" },
    { .name = "moving_mean_initializer",
      .type = &COLUMN_ARG_INITIALIZER,
      .offset = offsetof(pil_batch_normalization_options, moving_mean_initializer),
      .help = "first values of moving_mean" },
    { .name = "moving_variance_initializer",
      .type = &COLUMN_ARG_INITIALIZER,
      .offset = offsetof(pil_batch_normalization_options, moving_variance_initializer),
      .help = "first values of moving_variance" },
    NORM_ARGS(pil_batch_normalization_options),
};
static const pil_layer_normalization_options layer_defaults = { PIL_LAYER_NORMALIZATION_DEFAULTS };
static const struct arg layer_args[] = { NORM_ARGS(pil_layer_normalization_options) };

static const struct layer_row rows[] = {
    LAYER_ROW("BatchNormalization", "batch_normalization", pil_batch_normalization_options, batch_args, batch_defaults,
              "channels to mean 0 and variance 1 over the batch", .build = batch_build, .mask = MASK_PASSES,
              .time_distributed = true, LAYER_OFFSETS(pil_batch_normalization_options)),
    LAYER_ROW("LayerNormalization", "layer_normalization", pil_layer_normalization_options, layer_args, layer_defaults,
              "rows to mean 0 and variance 1", .build = layer_build, .mask = MASK_PASSES, .time_distributed = true,
              LAYER_OFFSETS(pil_layer_normalization_options)),
};
LAYER_ROWS_OF(normalization);
