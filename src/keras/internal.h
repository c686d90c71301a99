/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share: a class of layers, a layer in its model, the model. */
#ifndef PILASTER_KERAS_INTERNAL_H
#define PILASTER_KERAS_INTERNAL_H

#include "keras/keras.h"
#include "keras/loss.h"

/* ---- a class of layers ---- */

/* A layer on its way into a graph. */
struct layer_build {
    pil_sequential *model;
    struct layer *layer;
    const void *options; /* of its class */
    const char *path;    /* in front of object paths of its weights, "forward_layer/"; NULL: nothing */
    struct pil_graph *graph;
    const struct sequential_data *data;
    bool training;                 /* dropout, batch statistics; and regularization is counted */
    struct pil_tensor *x;          /* in: what the layer before gives; NULL for the first. Its result is what build returns */
    struct pil_tensor *mask;       /* in and out: [batch, time] of 0 and 1, or NULL */
    int64_t ones_from, ones_to;    /* of the next weight: these elements start at 1 (an LSTM's forget bias); 0: none */
    struct pil_tensor **penalties; /* sum of regularization so far; *penalties NULL: none */
};
enum layer_mask { MASK_ENDS, MASK_PASSES, MASK_OWN }; /* what becomes of a mask behind a layer; OWN: build sets b->mask */
struct layer_row {
    struct arg_table table; /* its name is Keras's class: "LSTM"; the options' struct */
    const char *word;       /* of layers without a name: "lstm" */
    /* Adds the layer's ops; weights through layer_weight. Errors are the graph's: layer_fail. */
    struct pil_tensor *(*build)(struct layer_build *b);
    enum layer_mask mask;
    bool first_only;       /* Input, DenseFeatures */
    bool recurrent;        /* may be Bidirectional */
    bool time_distributed; /* its build works at every step of [batch, time, ...] as it stands, or is told by b->layer->wrapper */
    size_t trainable_offset, name_offset,
        input_shape_offset; /* in the options; 0: it has none (no option lies at 0 but the first) */
};
struct layer_rows {
    const struct layer_row *rows;
    size_t count;
};
/* Families end with LAYER_ROWS_OF(word); layer_find looks through all of them. */
#define LAYER_ROWS_OF(family) const struct layer_rows keras_##family##_rows = { rows, COUNT_OF(rows) }
const struct layer_row *layer_find(const char *class_name);

/* ---- a layer in its model ---- */

struct layer {
    const struct layer_row *row;
    pil_layer value; /* texts in the model's arena */
    const char *name;
    bool built;
    pil_shape output; /* of a row */
    struct sequential_weight *weights;
    size_t weight_count, weight_capacity;
};
/* "lstm: ..." as the graph's error; returns its error tensor. */
struct pil_tensor *layer_fail(struct layer_build *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* x's rank, the batch included, must be within low .. high; `takes` says what the layer takes: "[time, features]". */
bool layer_takes(struct layer_build *b, int low, int high, const char *takes);
/* A weight "<layer>/<name>" (NULL initial: b's), noted in the layer, its penalty added to the loss. path NULL: the name. */
struct layer_weight {
    const char *name, *path;
    struct shape shape;
    pil_layer_initializer initializer;
    pil_regularizer regularizer;
    pil_constraint constraint;
    bool not_trainable; /* whatever the layer says */
};
struct pil_tensor *layer_weight(struct layer_build *b, const struct layer_weight *weight);
bool layer_checks_activation(struct layer_build *b, const char *word); /* NULL is linear */
/* Notes a weight that somebody else has made: a table of a feature column. */
bool layer_note_variable(struct layer_build *b, const struct graph_variable *variable);
bool layer_trainable(const struct layer *layer);
struct pil_tensor *layer_activate(struct layer_build *b, const char *word, struct pil_tensor *x);
struct pil_tensor *layer_bidirectional(struct layer_build *b); /* recurrent.c */
/* The model's input: a feature of the data. input.c */
struct pil_tensor *layer_input(struct layer_build *b);
/* A copy whose texts and lists lie in the arena. */
bool layer_copy(const pil_layer *value, struct arena *arena, pil_layer *out, pil_status *status);
const char *layer_class(const struct layer *layer);      /* "LSTM", "Bidirectional" */
const char *layer_word(const struct layer *layer);       /* "lstm", "bidirectional" */
const char *layer_given_name(const struct layer *layer); /* NULL: none; of the wrapper, where there is one */
const int64_t *layer_input_shape(const struct layer *layer);
/* Adds the layer with its wrapper to the graph: b->x and b->mask to what it gives, b->mask becomes its own. */
struct pil_tensor *layer_add(struct layer_build *b);

/* ---- the model ---- */

struct compiled {
    struct optimizer optimizer;
    pil_keras_loss loss;
    pil_keras_metric *metrics;
    size_t metric_count, weighted_from; /* metrics from here on are weighted */
};
struct pil_sequential {
    pil_status status;
    struct arena *arena;
    struct layer *layers;
    size_t layer_count, layer_capacity;
    const char *input_name;
    pil_row input_shape; /* of a row; dims[0] 0: unknown yet */
    uint64_t seed;
    int thread_count;
    bool is_compiled;
    struct compiled compiled;
    pil_floats class_weight; /* of the fit that goes on */
    /* values */
    bool built; /* weights are known */
    struct store *store;
    bool trains; /* the store has slots */
    struct threads *threads;
    struct fit *fit; /* that goes on; NULL */
    struct pil_history *history;
};

/* Whether nothing can be done with the model: an error of its making, no layers. */
bool sequential_fails(pil_sequential *model, pil_status *status);
const struct sequential_weight *sequential_weight_at(const pil_sequential *model, size_t i); /* of all layers; NULL */

/* ---- compile.c ---- */
/* Loss and metrics of out->predictions; errors are the graph's. mask: of the last layer's steps, penalty: regularization; or NULL. */
void compile_outputs(pil_sequential *model, struct pil_graph *graph, const struct sequential_data *data, struct pil_tensor *mask,
                     struct pil_tensor *penalty, pil_mode mode, struct sequential_outputs *out);

/* ---- fit.c ---- */
bool sequential_is_busy(const pil_sequential *model, const char *call, pil_status *status); /* it is being fitted */

/* ---- history.c ---- */
void history_free(struct pil_history *history);

#endif
