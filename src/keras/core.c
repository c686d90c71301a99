/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of every model: where rows come in, Dense, Embedding, Dropout, and those that only change shapes or numbers. */
#include <stdio.h>
#include <string.h>

#include "keras/args.h"
#include "pilaster/op.h"

/* ---- Input, DenseFeatures ---- */

LAYER_MAKER(input, "Input", pil_input_options, input, PIL_INPUT_DEFAULTS)
LAYER_MAKER(dense_features, "DenseFeatures", pil_dense_features_options, dense_features, PIL_DENSE_FEATURES_DEFAULTS)

static struct pil_tensor *dense_features_build(struct layer_build *b)
{
    const pil_dense_features_options *o = b->options;
    pil_status status = { 0 };
    if (o->feature_columns.count == 0)
        return layer_fail(b, "DenseFeatures takes at least one feature column");
    for (size_t i = 0; i < o->feature_columns.count; i++)
        if (!o->feature_columns.items[i] || !status_ok(column_status(o->feature_columns.items[i]))) {
            if (!o->feature_columns.items[i])
                return layer_fail(b, "feature column %zu is NULL", i + 1);
            graph_fail_with(b->graph, column_status(o->feature_columns.items[i]));
            return graph_error_tensor(b->graph);
        }
    size_t before = graph_variable_count(b->graph);
    char scope[256];
    snprintf(scope, sizeof scope, "%s", b->layer->name);
    struct pil_tensor *y =
        column_input_layer(b->data->inputs, o->feature_columns.items, o->feature_columns.count, scope, &status);
    if (!status_ok(&status))
        return layer_fail(b, "%s", status.message);
    for (size_t i = before; i < graph_variable_count(b->graph); i++)
        if (!layer_note_variable(b, graph_variable_at(b->graph, i)))
            return graph_error_tensor(b->graph);
    return y;
}

/* ---- Dense ---- */

LAYER_MAKER(dense, "Dense", pil_dense_options, dense, PIL_DENSE_DEFAULTS)

static struct pil_tensor *dense_build(struct layer_build *b)
{
    const pil_dense_options *o = b->options;
    enum activation activation;
    if (!layer_takes(b, 2, PIL_MAX_RANK, "of at least one axis"))
        return graph_error_tensor(b->graph);
    if (o->units < 1)
        return layer_fail(b, "units is %lld: at least 1 is needed", (long long)o->units);
    int64_t width = b->x->type.shape.dims[b->x->type.shape.rank - 1];
    struct pil_tensor *kernel = layer_weight(b, &(struct layer_weight){ .name = "kernel",
                                                                        .shape = SHAPE(width, o->units),
                                                                        .initializer = o->kernel_initializer,
                                                                        .regularizer = o->kernel_regularizer,
                                                                        .constraint = o->kernel_constraint });
    struct pil_tensor *bias = NULL;
    if (o->use_bias)
        bias = layer_weight(b, &(struct layer_weight){ .name = "bias",
                                                       .shape = SHAPE(o->units),
                                                       .initializer = o->bias_initializer,
                                                       .regularizer = o->bias_regularizer,
                                                       .constraint = o->bias_constraint });
    if (!layer_checks_activation(b, o->activation))
        return graph_error_tensor(b->graph);
    /* A sigmoid stays an op of its own, which a loss traces back to its logits; softmax is one. */
    if (graph_find_activation(o->activation, &activation) && activation != ACTIVATION_SIGMOID)
        return graph_dense(b->graph, b->x, kernel, bias, activation);
    return layer_activate(b, o->activation, graph_dense(b->graph, b->x, kernel, bias, ACTIVATION_LINEAR));
}

/* ---- Embedding ---- */

LAYER_MAKER(embedding, "Embedding", pil_embedding_options, embedding, PIL_EMBEDDING_DEFAULTS)

static struct pil_tensor *embedding_build(struct layer_build *b)
{
    const pil_embedding_options *o = b->options;
    if (o->input_dim < 1 || o->input_dim > INT32_MAX || o->output_dim < 1)
        return layer_fail(b, "input_dim and output_dim are %lld and %lld: at least 1 is needed", (long long)o->input_dim,
                          (long long)o->output_dim);
    if (o->input_length > 0 && (b->x->type.shape.rank != 2 || b->x->type.shape.dims[1] != o->input_length)) {
        char text[128];
        return layer_fail(b, "input_length is %lld, it is given rows of %s", (long long)o->input_length,
                          keras_row_text(b->x, text));
    }
    struct pil_tensor *table = layer_weight(b, &(struct layer_weight){ .name = "embeddings",
                                                                       .shape = SHAPE(o->input_dim, o->output_dim),
                                                                       .initializer = o->embeddings_initializer,
                                                                       .regularizer = o->embeddings_regularizer,
                                                                       .constraint = o->embeddings_constraint });
    struct graph_variable *variable = status_ok(graph_status(b->graph)) ? graph_variable_of(table) : NULL;
    if (variable && (o->ckpt_to_load_from != NULL) != (o->tensor_name_in_ckpt != NULL))
        return layer_fail(b, "ckpt_to_load_from and tensor_name_in_ckpt are given both or neither");
    if (variable) {
        variable->checkpoint = o->ckpt_to_load_from;
        variable->checkpoint_tensor = o->tensor_name_in_ckpt;
    }
    if (o->mask_zero)
        b->mask = pil_not_equal(b->graph, b->x, pil_scalar(b->graph, 0));
    else
        b->mask = NULL;
    struct pil_tensor *y = pil_embedding_lookup(b->graph, table, b->x);
    graph_suggest_name(b->graph, y, "embedding_lookup");
    return y;
}

/* ---- Dropout ---- */

LAYER_MAKER(dropout, "Dropout", pil_dropout_options, dropout, PIL_DROPOUT_DEFAULTS)
LAYER_MAKER(spatial_dropout1d, "SpatialDropout1D", pil_dropout_options, dropout, PIL_DROPOUT_DEFAULTS)

static struct pil_tensor *drop(struct layer_build *b, pil_shape noise_shape)
{
    const pil_dropout_options *o = b->options;
    if (!(o->rate >= 0 && o->rate < 1))
        return layer_fail(b, "rate is %g: it is from 0 to below 1", (double)o->rate);
    if (o->rate == 0)
        return b->x;
    return pil_nn_dropout(b->graph, b->x, .rate = o->rate, .training = b->training, .noise_shape = noise_shape, .seed = o->seed);
}

static struct pil_tensor *dropout_build(struct layer_build *b)
{
    return drop(b, (pil_shape){ 0 });
}

static struct pil_tensor *spatial_dropout1d_build(struct layer_build *b)
{
    if (!layer_takes(b, 3, 3, "[time, features]"))
        return graph_error_tensor(b->graph);
    return drop(b, PIL_SHAPE(-1, 1, b->x->type.shape.dims[2]));
}

/* ---- shapes and activations ---- */

LAYER_MAKER(flatten, "Flatten", pil_flatten_options, flatten, PIL_FLATTEN_DEFAULTS)
LAYER_MAKER(reshape_layer, "Reshape", pil_reshape_layer_options, reshape, PIL_RESHAPE_LAYER_DEFAULTS)
LAYER_MAKER(activation_layer, "Activation", pil_activation_layer_options, activation, PIL_ACTIVATION_LAYER_DEFAULTS)
LAYER_MAKER(masking, "Masking", pil_masking_options, masking, PIL_MASKING_DEFAULTS)

static struct pil_tensor *flatten_build(struct layer_build *b)
{
    return pil_reshape(b->graph, b->x, PIL_SHAPE(-1, keras_row_elements(b->x)));
}

static struct pil_tensor *reshape_build(struct layer_build *b)
{
    const pil_reshape_layer_options *o = b->options;
    int64_t have = keras_row_elements(b->x), known = 1;
    pil_shape shape = { 1, { -1 } };
    int open = 0;
    char text[128], want[128];
    for (int i = 0; i < PIL_ROW_RANK && o->target_shape.dims[i] != 0; i++) {
        int64_t size = o->target_shape.dims[i];
        shape.dims[shape.rank++] = size;
        if (size < -1 || (size == -1 && open) || (size > 0 && known > INT32_MAX / size))
            return layer_fail(b, "target_shape has the size %lld", (long long)size);
        open = size == -1 ? shape.rank - 1 : open;
        known *= size == -1 ? 1 : size;
    }
    if (open && have % known == 0)
        shape.dims[open] = have / known;
    else if (open || known != have) {
        struct shape target = { .rank = shape.rank - 1 };
        memcpy(target.dims, shape.dims + 1, (size_t)target.rank * sizeof target.dims[0]);
        return layer_fail(b, "rows of %s have %lld elements and cannot become %s", keras_row_text(b->x, text), (long long)have,
                          shape_text(target, want));
    }
    return pil_reshape(b->graph, b->x, shape);
}

static struct pil_tensor *activation_build(struct layer_build *b)
{
    const pil_activation_layer_options *o = b->options;
    return layer_activate(b, o->activation, b->x);
}

/* A step counts if any of its features is another number. */
static struct pil_tensor *masking_build(struct layer_build *b)
{
    const pil_masking_options *o = b->options;
    struct pil_graph *graph = b->graph;
    if (!layer_takes(b, 3, 3, "[time, features]"))
        return graph_error_tensor(graph);
    struct pil_tensor *other = pil_cast(graph, pil_not_equal(graph, b->x, pil_scalar(graph, o->mask_value)), PIL_FLOAT32);
    b->mask = pil_reduce_max(graph, other, .axis = PIL_AXES(2));
    return pil_mul(graph, b->x, pil_expand_dims(graph, b->mask, 2));
}

/* ---- their arguments ---- */

static const pil_input_options input_defaults = { PIL_INPUT_DEFAULTS };
static const struct arg input_args[] = {
    { .name = "shape", .type = &KERAS_ARG_ROW, .offset = offsetof(pil_input_options, shape), .help = "of one row" },
    { .name = "name", .type = &ARG_TEXT, .offset = offsetof(pil_input_options, name), .help = "of the feature" },
};
static const pil_dense_features_options dense_features_defaults = { PIL_DENSE_FEATURES_DEFAULTS };
static const struct arg dense_features_args[] = {
    { .name = "feature_columns",
      .type = &KERAS_ARG_COLUMNS,
      .offset = offsetof(pil_dense_features_options, feature_columns),
      .required = true,
      .help = "dense ones, by their keys" },
    { .name = "name", .type = &ARG_TEXT, .offset = offsetof(pil_dense_features_options, name), .help = "of the layer" },
    { .name = "trainable",
      .type = &ARG_BOOL,
      .offset = offsetof(pil_dense_features_options, trainable),
      .help = "false: its weights stay" },
};
static const pil_dense_options dense_defaults = { PIL_DENSE_DEFAULTS };
static const struct arg dense_args[] = {
    { .name = "units",
      .type = &ARG_INT,
      .offset = offsetof(pil_dense_options, units),
      .low = 1,
      .high = INT32_MAX,
      .required = true,
      .help = "numbers that come out" },
    { .name = "activation",
      .type = &KERAS_ARG_ACTIVATION,
      .offset = offsetof(pil_dense_options, activation),
      .help = "of the result" },
    { .name = "use_bias", .type = &ARG_BOOL, .offset = offsetof(pil_dense_options, use_bias), .help = "adds a bias" },
    WEIGHT_ARGS(pil_dense_options, kernel),
    WEIGHT_ARGS(pil_dense_options, bias),
    LAYER_ARGS(pil_dense_options),
};
static const pil_embedding_options embedding_defaults = { PIL_EMBEDDING_DEFAULTS };
static const struct arg embedding_args[] = {
    { .name = "input_dim",
      .type = &ARG_INT,
      .offset = offsetof(pil_embedding_options, input_dim),
      .low = 1,
      .high = INT32_MAX,
      .required = true,
      .help = "ids: 0 to input_dim - 1" },
    { .name = "output_dim",
      .type = &ARG_INT,
      .offset = offsetof(pil_embedding_options, output_dim),
      .low = 1,
      .high = INT32_MAX,
      .required = true,
      .help = "numbers of a row" },
    WEIGHT_ARGS(pil_embedding_options, embeddings),
    { .name = "mask_zero", .type = &ARG_BOOL, .offset = offsetof(pil_embedding_options, mask_zero), .help = "id 0 is no step" },
    { .name = "input_length",
      .type = &ARG_INT,
      .offset = offsetof(pil_embedding_options, input_length),
      .low = 0,
      .high = INT32_MAX,
      .help = "ids of a row, where no Input says it; 0: not said" },
    { .name = "ckpt_to_load_from",
      .type = &ARG_TEXT,
      .offset = offsetof(pil_embedding_options, ckpt_to_load_from),
      .help = "a checkpoint that has the first values" },
    { .name = "tensor_name_in_ckpt",
      .type = &ARG_TEXT,
      .offset = offsetof(pil_embedding_options, tensor_name_in_ckpt),
      .help = "their name there" },
    LAYER_ARGS(pil_embedding_options),
};
static const pil_dropout_options dropout_defaults = { PIL_DROPOUT_DEFAULTS };
static const struct arg dropout_args[] = {
    { .name = "rate",
      .type = &ARG_FLOAT,
      .offset = offsetof(pil_dropout_options, rate),
      .required = true,
      .help = "the part that is dropped, from 0 to below 1" },
    { .name = "seed",
      .type = &ARG_INT,
      .offset = offsetof(pil_dropout_options, seed),
      .low = -1,
      .high = 9e18,
      .help = "of a stream of its own; -1: the model's" },
    LAYER_ARGS(pil_dropout_options),
};
static const pil_flatten_options flatten_defaults = { PIL_FLATTEN_DEFAULTS };
static const struct arg flatten_args[] = { LAYER_ARGS(pil_flatten_options) };
static const pil_reshape_layer_options reshape_defaults = { PIL_RESHAPE_LAYER_DEFAULTS };
static const struct arg reshape_args[] = {
    { .name = "target_shape",
      .type = &KERAS_ARG_ROW,
      .offset = offsetof(pil_reshape_layer_options, target_shape),
      .required = true,
      .help = "of a row; -1: what is left" },
    LAYER_ARGS(pil_reshape_layer_options),
};
static const pil_activation_layer_options activation_defaults = { PIL_ACTIVATION_LAYER_DEFAULTS };
static const struct arg activation_args[] = {
    { .name = "activation",
      .type = &KERAS_ARG_ACTIVATION,
      .offset = offsetof(pil_activation_layer_options, activation),
      .required = true,
      .help = "by its name" },
    LAYER_ARGS(pil_activation_layer_options),
};
static const pil_masking_options masking_defaults = { PIL_MASKING_DEFAULTS };
static const struct arg masking_args[] = {
    { .name = "mask_value",
      .type = &ARG_FLOAT,
      .offset = offsetof(pil_masking_options, mask_value),
      .help = "a step of nothing else does not count" },
    LAYER_ARGS(pil_masking_options),
};

static const struct layer_row rows[] = {
    LAYER_ROW("Input", "input", pil_input_options, input_args, input_defaults, "what rows look like", .build = layer_input,
              .first_only = true),
    LAYER_ROW("DenseFeatures", "dense_features", pil_dense_features_options, dense_features_args, dense_features_defaults,
              "feature columns", .build = dense_features_build, .first_only = true,
              .trainable_offset = offsetof(pil_dense_features_options, trainable)),
    LAYER_ROW("Dense", "dense", pil_dense_options, dense_args, dense_defaults, "a product with a bias and an activation",
              .build = dense_build, .mask = MASK_PASSES, .time_distributed = true, LAYER_OFFSETS(pil_dense_options)),
    LAYER_ROW("Embedding", "embedding", pil_embedding_options, embedding_args, embedding_defaults, "a learned row for each id",
              .build = embedding_build, .mask = MASK_OWN, LAYER_OFFSETS(pil_embedding_options)),
    LAYER_ROW("Dropout", "dropout", pil_dropout_options, dropout_args, dropout_defaults, "elements dropped in training",
              .build = dropout_build, .mask = MASK_PASSES, .time_distributed = true, LAYER_OFFSETS(pil_dropout_options)),
    LAYER_ROW("SpatialDropout1D", "spatial_dropout1d", pil_dropout_options, dropout_args, dropout_defaults,
              "whole features dropped in training", .build = spatial_dropout1d_build, .mask = MASK_PASSES,
              LAYER_OFFSETS(pil_dropout_options)),
    LAYER_ROW("Flatten", "flatten", pil_flatten_options, flatten_args, flatten_defaults, "one axis", .build = flatten_build,
              LAYER_OFFSETS(pil_flatten_options)),
    LAYER_ROW("Reshape", "reshape", pil_reshape_layer_options, reshape_args, reshape_defaults, "another shape",
              .build = reshape_build, LAYER_OFFSETS(pil_reshape_layer_options)),
    LAYER_ROW("Activation", "activation", pil_activation_layer_options, activation_args, activation_defaults, "an activation",
              .build = activation_build, .mask = MASK_PASSES, .time_distributed = true,
              LAYER_OFFSETS(pil_activation_layer_options)),
    LAYER_ROW("Masking", "masking", pil_masking_options, masking_args, masking_defaults, "passes over steps of one number",
              .build = masking_build, .mask = MASK_OWN, LAYER_OFFSETS(pil_masking_options)),
};
LAYER_ROWS_OF(core);
