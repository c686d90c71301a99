/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keras: layers in a row (pilaster/keras.h).
 *
 *   layer        classes of layers: one row each, with its arguments and what it adds to a graph
 *   sequential   the model: its layers, their names, its weights; built into a graph for a mode
 *   compile      loss, optimizer and metrics; what a mode's graph is to give
 *   run          a mode's graph, compiled and bound to the model's weights
 *   fit          epochs over data, with callbacks; evaluate, predict
 *   callback     ready-made callbacks, the history
 *   weights      values in and out, checkpoints
 *
 * A model outside of fit, one that an Estimator trains or a model file describes, is built by the same functions:
 * sequential_outputs gives loss, metrics and predictions for any graph, whoever runs it.
 */
#ifndef PILASTER_KERAS_H
#define PILASTER_KERAS_H

#include "column/column.h"
#include "graph/graph.h"
#include "pilaster/keras.h"
#include "store/store.h"
#include "train/train.h"

/* ---- layer.c ---- */
const struct arg_table *layer_arguments(size_t i); /* of the i-th class, for schema and reference; NULL beyond the last */

/* ---- sequential.c ---- */
/* Where a model's rows come from: the requests of one column program, the tensors of one graph. */
struct sequential_data {
    const struct column_inputs *inputs;
    const struct pil_dataset *dataset; /* what is offered */
    struct pil_tensor *labels;         /* NULL: none */
    struct pil_tensor *weights;        /* of samples, [batch] or [batch, 1]; NULL: all 1 */
};
/* What a compiled model gives in a mode. */
enum { SEQUENTIAL_METRICS = 32 };
struct sequential_metric {
    const char *name; /* as it is shown: "accuracy" */
    struct pil_metric *metric;
};
struct sequential_outputs {
    struct pil_tensor *predictions;
    struct pil_tensor *loss; /* with regularization; NULL in PREDICT */
    struct sequential_metric metrics[SEQUENTIAL_METRICS];
    size_t metric_count;
};
/* The name of the feature that the model takes: "XYZ_input", or an Input's own; NULL where it takes columns. */
const char *sequential_input_name(const pil_sequential *model);
const char *sequential_output_name(const pil_sequential *model); /* of the last layer */
/* Adds the model to a graph; errors are the graph's, and begin with the layer's name. The first time also settles what the model's
 * weights are. */
bool sequential_outputs(pil_sequential *model, struct pil_graph *graph, const struct sequential_data *data, pil_mode mode,
                        struct sequential_outputs *out);
/* The train op of the compiled optimizer: all trainable weights, with their constraints. legacy: a newer class becomes its legacy
 * one, as model_to_estimator makes it. */
struct pil_train_op *sequential_minimize(pil_sequential *model, struct pil_graph *graph, struct pil_tensor *loss, bool legacy);
const pil_status *sequential_status(const pil_sequential *model);
bool sequential_is_compiled(const pil_sequential *model);
/* Its weights' present values, or NULL: it was never built. Variables have the names of the graph's. */
const struct store *sequential_values(const pil_sequential *model);

/* The layers for checkpoints. */
struct sequential_weight {
    const char *variable; /* "lstm/lstm_cell/kernel" */
    const char *path;     /* below its layer in the object graph: "cell/kernel" */
    struct shape shape;
    bool trainable;
    pil_constraint constraint;
};
size_t sequential_layer_count(const pil_sequential *model);
const char *sequential_layer_name(const pil_sequential *model, size_t layer);
const struct sequential_weight *sequential_layer_weights(const pil_sequential *model, size_t layer, size_t *count);

#endif
