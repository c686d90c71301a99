/* SPDX-License-Identifier: Apache-2.0 */
/*
 * estimator: models as people know them (pilaster/estimator.h), and the model file.
 *
 *   modelfile   YAML -> struct model, every default filled in
 *   canned      a model -> a model function's spec; heads are its end
 *   estimator   a model function, a model_dir, a store; train, evaluate, predict
 *   cycle       train_and_evaluate: when it saves, evaluates, exports
 *   model       a model file's estimator: its config and its input functions
 *
 * What a model file names is an estimator like any other: canned_model_fn with the model as its params.
 */
#ifndef PILASTER_ESTIMATOR_H
#define PILASTER_ESTIMATOR_H

#include "column/column.h"
#include "export/export.h"
#include "format/format.h"
#include "graph/graph.h"
#include "pilaster/estimator.h"
#include "store/store.h"
#include "train/train.h"

/* ---- modelfile.c: one YAML file -> a model with every default written out ---- */
struct run_options {
    const char *model_dir;
    int64_t tf_random_seed;               /* -1: none given (0 is used) */
    int64_t save_summary_steps;           /* 100 */
    int64_t save_checkpoints_steps;       /* 0: by time */
    double save_checkpoints_secs;         /* 600 where neither is given; 0: no periodic checkpoints */
    int64_t keep_checkpoint_max;          /* 5 */
    double keep_checkpoint_every_n_hours; /* 10,000 */
    int64_t log_step_count_steps;         /* 100 */
};
struct input_section {
    const char *format;           /* "csv" */
    struct arg_texts train, eval; /* paths and globs, absolute or relative to the file's folder */
    int64_t batch_size;           /* 128 */
    int64_t shuffle;              /* rows; -1: true, a sensible one; 0: false */
    int64_t epochs;               /* 0: without end */
    int64_t skip;
    bool cache;
    int64_t cache_bytes;
    int64_t max_values_per_row; /* 10,000 */
    struct csv_options csv;
    const struct field_spec *fields; /* stated types and separators */
    size_t field_count;
};
struct train_section {
    int64_t max_steps; /* 0: to the end of the input */
    int64_t steps;     /* 0: not given */
    bool strict;
};
struct eval_section {
    int64_t steps;           /* -1: null, to the end of the data; 100 by default, as EvalSpec */
    double throttle_secs;    /* 600 */
    double start_delay_secs; /* 120; of no effect on one machine, as in the original */
    double split;            /* 0: none */
    const char *split_by;    /* "hash": NULL field; else a field's name */
    const char *name;        /* the folder eval_<name>; NULL: eval */
};
enum exporter_kind { EXPORTER_LATEST, EXPORTER_BEST, EXPORTER_FINAL };
struct exporter_options {
    enum exporter_kind kind;
    const char *name;        /* of its folder below export/ */
    const char *metric;      /* best: of the evaluation; else NULL */
    int64_t exports_to_keep; /* latest, best; 0: all */
};
enum estimator_kind { ESTIMATOR_LINEAR, ESTIMATOR_DNN, ESTIMATOR_COMBINED, ESTIMATOR_BASELINE };
struct model {
    struct arena *arena;
    const char *path, *folder;  /* of the file, as given; folder "": the current one */
    const char *base, *current; /* absolute: the file's folder, and what was current when it was read */
    const char *estimator;      /* as written: "dnn_linear_combined_classifier" */
    enum estimator_kind kind;
    pil_head head;
    const char *label;
    const char *warm_start_from; /* a checkpoint or a folder: what a new model takes over; NULL: none */
    int tensorflow;              /* 2 or 1 */
    bool logs;                   /* lines of loss and step, as the original's INFO lines */
    bool tf_dense;               /* compat: tf_dense */
    struct column_set *columns;
    struct pil_column **linear_columns, **dnn_columns;
    size_t linear_count, dnn_count;           /* a group of shared embeddings counts with all its columns */
    struct arg_texts linear_names, dnn_names; /* as listed, by the keys of the file */
    struct arg_ints hidden_units;
    enum activation activation;
    float dropout; /* 0: none */
    bool batch_norm;
    enum combiner sparse_combiner;                    /* of the linear model */
    struct optimizer linear_optimizer, dnn_optimizer; /* baseline: linear_optimizer */
    float clip_gradients;                             /* 0: none */
    struct input_section input;
    struct train_section train;
    struct eval_section eval;
    struct run_options run;
    struct exporter_options *exporters;
    size_t exporter_count;
    const char *data; /* evaluate, predict: these files instead of the eval section's; NULL */
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

/* ---- head.c: besides the public functions ---- */
/* What an evaluation of such a head tells, "loss" with it; at most `limit` names. Returns their number. */
size_t head_metric_names(const pil_head *head, const char **names, size_t limit);

/* ---- canned.c ---- */
pil_estimator_spec canned_model_fn(pil_graph *graph, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                   void *model);

/* ---- estimator.c, cycle.c, evaluate.c: besides the public functions ---- */
struct estimator_event;
/* What a program that shows a run, or a test, adds to a config. */
struct estimator_options {
    const char *checkpoint; /* evaluate, predict: this prefix instead of the newest */
    struct text *profile;   /* train: gets a table of where the time went; NULL: none */
    bool accept_changed_data;
    bool logs;              /* lines of loss and step, as the original's INFO lines */
    bool eval_events;       /* an evaluation by itself writes to the event files, too */
    bool new_data;          /* data that are not those of the checkpoint are read from their beginning, with a line in the log */
    bool tf_dense;          /* crosses as the original computes them of dense features */
    const char *model_file; /* text of model.yaml, to lie beside the checkpoints; NULL: none */
    const char *origin;     /* what errors name as the place of settings: the model file; NULL: "the config" */
    /* Called on the training thread. */
    void (*event)(void *context, const struct estimator_event *event);
    void *context;
};
enum estimator_event_kind { EVENT_START, EVENT_STEP, EVENT_SAVED, EVENT_EVALUATED, EVENT_END };
struct estimator_event {
    enum estimator_event_kind kind;
    int64_t step, start_step, last_step; /* last_step 0: unknown (yet) */
    int64_t examples;                    /* trained on since the start of this call */
    double seconds;                      /* training time of this call so far */
    double loss;
    int64_t train_rows, eval_rows; /* -1: unknown */
    const char *checkpoint;
    const pil_result *result; /* EVALUATED */
};
struct pil_estimator *estimator_new(const pil_estimator_config *config, const struct estimator_options *options);
int64_t estimator_step(const struct pil_estimator *estimator); /* 0 before there are values */
/* Predictions batch by batch. With keep_count, `raw->fields` holds the model's fields and those of `keep`, whether the model
 * reads them or not. */
typedef bool (*predicted_batch)(void *context, const pil_output *outputs, size_t count, const struct batch *raw,
                                pil_status *status);
bool estimator_predict(struct pil_estimator *estimator, pil_input_fn input_fn, const struct field_spec *keep, size_t keep_count,
                       predicted_batch batch, void *context, pil_status *status);

/* ---- model.c: a model file's estimator ---- */
/* Borrows the model, which is also the params of its functions. `options` may be NULL. */
struct pil_estimator *model_estimator(struct model *model, const struct estimator_options *options, int threads);
pil_dataset *model_train_input(void *model);
pil_dataset *model_eval_input(void *model); /* model->data, else the model file's eval files, or the held-out part */
void model_receives(pil_receivers *receivers, void *model); /* what an export of it takes: the fields that its columns read */
bool model_can_evaluate(const struct model *model);
bool model_has_files(const struct model *model, bool training, pil_status *status); /* else an error */
void model_specs(const struct model *model, pil_train_spec *train, pil_eval_spec *eval);
void model_headline(const struct model *model, struct pil_estimator *estimator, struct text *out); /* model, parts, schedule */
/* train --dry-run: headline, variables, parameters, work. Makes the TRAIN graph, the variables and their values; writes nothing. */
bool model_describe(const struct model *model, struct pil_estimator *estimator, struct text *out, pil_status *status);

#endif
