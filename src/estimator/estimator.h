/* SPDX-License-Identifier: Apache-2.0 */
/*
 * estimator: models as people know them. Heads, canned estimators, train_and_evaluate, the model file.
 *
 *   modelfile   YAML -> struct model (every default filled in) -> estimator
 *   canned      columns + params -> logits in a graph
 *   head        logits -> loss, predictions, metrics
 *   estimator   a model_dir, a store, graphs for the modes; train, evaluate, predict
 *   cycle       train_and_evaluate: when it saves, evaluates, exports
 */
#ifndef PILASTER_ESTIMATOR_H
#define PILASTER_ESTIMATOR_H

#include "column/column.h"
#include "format/format.h"
#include "graph/graph.h"
#include "store/store.h"
#include "train/train.h"

enum mode { MODE_TRAIN, MODE_EVAL, MODE_PREDICT };

/* ---- head.c ---- */
enum head_kind { HEAD_REGRESSION, HEAD_BINARY, HEAD_MULTI_CLASS };
struct head_options {
    enum head_kind kind;
    int64_t label_dimension;          /* regression */
    int64_t classes;
    const char *const *vocabulary;    /* label_vocabulary or NULL */
    size_t vocabulary_count;
    enum loss_reduction reduction;
    int tensorflow;                   /* 2 or 1: AUC's form */
};
int64_t head_logits(const struct head_options *head); /* columns of logits */
/* What a head adds to a graph. Tensors are NULL where the mode has none. */
struct head_tensors {
    struct pil_tensor *loss;          /* TRAIN, EVAL: the training loss, a scalar */
    struct pil_tensor *losses;        /* EVAL: of each row [batch, 1], unweighted (several label dimensions: their mean) */
    struct pil_tensor *logits;        /* [batch, n] */
    struct pil_tensor *logistic;      /* binary */
    struct pil_tensor *probabilities; /* classifiers [batch, classes] */
    struct pil_tensor *class_ids;     /* classifiers [batch, 1], as float32 numbers */
};
struct head_tensors head_build(const struct head_options *head, struct pil_graph *graph, enum mode mode, struct pil_tensor *logits,
                               struct pil_tensor *labels, struct pil_tensor *weights);
/* Metrics over an evaluation, under the original's names, in the order in which they are printed. */
struct head_metrics;
struct head_metrics *head_metrics_new(const struct head_options *head, pil_status *status);
struct head_batch { /* a batch's fetched values; weights NULL: 1 */
    const struct tensor *labels, *weights, *losses, *logits, *logistic, *probabilities, *class_ids;
    double loss;
};
void head_metrics_update(struct head_metrics *metrics, const struct head_batch *batch);
size_t head_metrics_count(const struct head_metrics *metrics);
const char *head_metrics_name(const struct head_metrics *metrics, size_t i);
double head_metrics_value(const struct head_metrics *metrics, size_t i);
void head_metrics_free(struct head_metrics *metrics);
/* One row's predictions as a JSON object (keys as the original's), or the cells of a table for --format csv and table. */
void head_print_json(const struct head_options *head, const struct head_batch *batch, int64_t row, struct text *out);
/* The class's word: from the vocabulary, else its number. */
void head_class_word(const struct head_options *head, int64_t class_id, struct text *out);

/* ---- modelfile.c: one YAML file -> a model with every default written out ---- */
struct run_options {
    const char *model_dir;
    int64_t tf_random_seed;          /* -1: none given (0 is used) */
    int64_t save_summary_steps;      /* 100 */
    int64_t save_checkpoints_steps;  /* 0: by time */
    double save_checkpoints_secs;    /* 600 where neither is given; 0: no periodic checkpoints */
    int64_t keep_checkpoint_max;     /* 5 */
    int64_t log_step_count_steps;    /* 100 */
};
struct input_section {
    const char *format;              /* "csv" */
    struct arg_texts train, eval;    /* paths and globs, absolute or relative to the file's folder */
    int64_t batch_size;              /* 128 */
    int64_t shuffle;                 /* rows; -1: true, a sensible one; 0: false */
    int64_t epochs;                  /* 0: without end */
    int64_t skip;
    bool cache;
    int64_t cache_bytes;
    int64_t max_values_per_row;      /* 10,000 */
    struct csv_options csv;
    const struct field_spec *fields; /* stated types and separators */
    size_t field_count;
};
struct train_section {
    int64_t max_steps;               /* 0: to the end of the input */
    int64_t steps;                   /* 0: not given */
    bool strict;
};
struct eval_section {
    int64_t steps;                   /* -1: null, to the end of the data; 100 by default, as EvalSpec */
    double throttle_secs;            /* 600 */
    double start_delay_secs;         /* 120; of no effect on one machine, as in the original */
    double split;                    /* 0: none */
    const char *split_by;            /* "hash": NULL field; else a field's name */
    const char *name;                /* the folder eval_<name>; NULL: eval */
};
enum exporter_kind { EXPORTER_LATEST, EXPORTER_BEST, EXPORTER_FINAL };
struct exporter_options {
    enum exporter_kind kind;
    const char *name;                /* of its folder below export/ */
    const char *metric;              /* best: of the evaluation; else NULL */
    int64_t exports_to_keep;         /* latest, best; 0: all */
};
enum estimator_kind { ESTIMATOR_LINEAR, ESTIMATOR_DNN, ESTIMATOR_COMBINED, ESTIMATOR_BASELINE };
struct model {
    struct arena *arena;
    const char *path, *folder;       /* of the file, as given; folder "": the current one */
    const char *base, *current;      /* absolute: the file's folder, and what was current when it was read */
    const char *estimator;           /* as written: "dnn_linear_combined_classifier" */
    enum estimator_kind kind;
    struct head_options head;
    const char *label;
    const char *weight_column;       /* NULL: none */
    const char *warm_start_from;     /* a checkpoint or a folder: what a new model takes over; NULL: none */
    int tensorflow;                  /* 2 or 1 */
    bool tf_dense;                   /* compat: tf_dense */
    struct column_set *columns;
    struct pil_column **linear_columns, **dnn_columns;
    size_t linear_count, dnn_count;  /* a group of shared embeddings counts with all its columns */
    struct arg_texts linear_names, dnn_names; /* as listed, by the keys of the file */
    struct arg_ints hidden_units;
    enum activation activation;
    float dropout;                   /* 0: none */
    bool batch_norm;
    enum combiner sparse_combiner;   /* of the linear model */
    struct optimizer linear_optimizer, dnn_optimizer; /* baseline: linear_optimizer */
    float clip_gradients;            /* 0: none */
    struct input_section input;
    struct train_section train;
    struct eval_section eval;
    struct run_options run;
    struct exporter_options *exporters;
    size_t exporter_count;
};
/* Reads and checks the whole file; `sets` are "--set key.path=value" texts in order. Errors carry file:line:column and the nearest
 * known word. The YAML is read by events: depth at most 64, no duplicate keys, aliases capped, at most 1 MB. */
struct model *modelfile_load(const char *path, const char *const *sets, size_t set_count, pil_status *status);
/* The tree of values of a YAML text alone (also for tests). */
struct value *modelfile_parse(struct slice yaml, const char *file, struct arena *arena, pil_status *status);
/* The model with every default written out, paths absolute: reads back to the same model. */
void modelfile_print(const struct model *model, struct text *yaml);
void modelfile_schema(struct text *json); /* JSON Schema */
void model_free(struct model *model);

/* ---- canned.c ---- */
/* Registers what the model reads with the program (columns, label, weight); program_finish is the caller's. */
struct canned_inputs {
    int label, weight; /* first columns in the block of numbers, -1: none */
};
bool canned_register(const struct model *model, struct program *program, struct canned_inputs *inputs, pil_status *status);
/* Builds a mode's graph. Variables are named as TensorFlow names them. */
struct canned_graph {
    struct pil_graph *graph;
    struct head_tensors head;
    struct pil_tensor *labels, *weights;
};
bool canned_build(const struct model *model, struct program *program, const struct canned_inputs *inputs, enum mode mode,
                  struct canned_graph *out, pil_status *status);
/* Which optimizer a variable belongs to: 0 linear, 1 dnn. */
int canned_part(const struct model *model, const char *variable);

/* ---- estimator.c ---- */
struct estimator_event;
/* One model with its store: made new or from its newest checkpoint. */
struct estimator_options {
    int threads;                 /* 0: all */
    bool training;               /* with slots and hyper-parameters; false: evaluate and predict only */
    const char *checkpoint;      /* evaluate, predict: this prefix instead of the newest */
    struct text *profile;        /* train: gets a table of where the time went; NULL: none */
    const char *warm_start_from; /* a checkpoint or a folder that a new model takes over from; NULL: the model file's */
    bool accept_changed_data;
    bool look_only;              /* with training: to describe the model; takes no lock, writes nothing */
    const volatile int *stop;    /* becomes non-zero on SIGINT, SIGTERM: save and stop */
    /* Called on the training thread. */
    void (*event)(void *context, const struct estimator_event *event);
    void *context;
};
enum estimator_event_kind { EVENT_START, EVENT_STEP, EVENT_SAVED, EVENT_EVALUATED, EVENT_END };
struct estimator_event {
    enum estimator_event_kind kind;
    int64_t step, start_step, last_step; /* last_step 0: unknown (yet) */
    int64_t examples;              /* trained on since the start of this call */
    double seconds;                /* training time of this call so far */
    double loss;
    int64_t train_rows, eval_rows; /* -1: unknown */
    const char *checkpoint;
    const struct head_metrics *metrics;
};
struct estimator;
struct estimator *estimator_new(struct model *model, const struct estimator_options *options, pil_status *status); /* borrows the model */
/* train_and_evaluate (cycle.c). The last evaluation's metrics stay with the estimator. PIL_CANCELLED after a signal, all saved. */
bool estimator_train_and_evaluate(struct estimator *estimator, pil_status *status);
/* data NULL: the model file's eval files (or its split). */
const struct head_metrics *estimator_evaluate(struct estimator *estimator, const char *data, pil_status *status);
int64_t estimator_step(const struct estimator *estimator);
/* Predictions row by row, in the order of the data. `batch` is called with each batch's values; with keep_count, `raw->fields`
 * holds the model's fields and those of `keep`, whether the model reads them or not. */
bool estimator_predict(struct estimator *estimator, const char *data, const struct field_spec *keep, size_t keep_count,
                       bool (*batch)(void *context, const struct head_batch *batch, const struct batch *raw, pil_status *status),
                       void *context, pil_status *status);
void estimator_headline(struct estimator *estimator, struct text *out);  /* three lines: model, parts, schedule */
void estimator_describe(struct estimator *estimator, struct text *out);  /* train --dry-run: variables, parameters, work, schedule */
const struct head_metrics *estimator_metrics(const struct estimator *estimator); /* of the last evaluation, or NULL */
struct store *estimator_store(struct estimator *estimator);
void estimator_free(struct estimator *estimator);

#endif
