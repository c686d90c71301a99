/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Estimator's own state. Its files, from the inside out:
 *
 *   features   what a model function sees of its data
 *   spec       checks of what it returns
 *   mode       a mode's graph, made, compiled and bound
 *   values     the variables: declared from the first graph, filled from a checkpoint or from initializers
 *   estimator  the public face: a config, and runs of it
 *   cycle      training: checkpoints, evaluations, exports between steps
 *   evaluate   evaluation and prediction
 *   audit      after the first step: who got a gradient, and who moved
 */
#ifndef PILASTER_ESTIMATOR_INTERNAL_H
#define PILASTER_ESTIMATOR_INTERNAL_H

#include "estimator/estimator.h"
#include "keras/keras.h"

/* ---- features.c ---- */
struct pil_features {
    struct column_inputs inputs;
    const struct pil_dataset *dataset; /* what is offered; borrowed until the model function has returned */
    int label;                         /* first column of the label in the block of numbers; -1: none */
    struct pil_tensor *targets;
    struct pil_columns **held; /* sets of columns that the program was made with */
    size_t held_count, held_capacity;
    const char **layers; /* scopes of layers of columns */
    size_t layer_count, layer_capacity;
    bool label_settled; /* a head has said what the label's words are */
};
/* labelled: with the dataset's label as targets. */
bool features_begin(struct pil_features *features, struct pil_graph *graph, struct program *program,
                    const struct pil_dataset *dataset, bool labelled, pil_status *status);
bool features_end(struct pil_features *features, pil_status *status); /* finishes the program */
void features_free(struct pil_features *features);                    /* behind the program */
/* A field of weights, [batch, 1]. */
struct pil_tensor *features_weights(const struct pil_features *features, const char *field);
/* The label's words become 0, 1, ...; numbers are checked against `classes`. The error is the graph's. */
bool features_label_words(const struct pil_features *features, pil_words words, int64_t classes);

/* ---- spec.c ---- */
const char *mode_name(pil_mode mode);
/* A hook's tensors are of this graph. */
bool spec_check_fetches(const pil_hook *hook, const struct pil_graph *graph, const char *what, pil_status *status);
bool spec_check(const pil_estimator_spec *spec, struct pil_graph *graph, pil_mode mode, pil_status *status);

/* ---- mode.c ---- */
enum { MOST_RUN_HOOKS = PIL_MAX_HOOKS - 6 }; /* the Estimator adds its own */
struct hook_list {                           /* of a run: the caller's, then the spec's */
    pil_hook items[MOST_RUN_HOOKS];
    size_t count;
};
/* A mode's graph, compiled and bound to the store. */
struct mode_run {
    pil_mode mode;
    struct program *program;
    struct pil_graph *graph;
    struct pil_features features;
    pil_estimator_spec spec;
    struct hook_list hooks;
    struct plan *plan;
    struct session *session;
    struct arena *arena;
    struct fetches fetches; /* of the plan */
    struct text offered;    /* the features it was made for */
};
/* Calls the model function, checks its spec, compiles. The dataset is looked at until it returns. */
bool mode_make(struct mode_run *run, struct pil_estimator *estimator, pil_mode mode, const struct pil_dataset *dataset,
               const pil_hook *hooks, size_t hook_count, pil_status *status);
bool mode_fits(const struct mode_run *run, const struct pil_dataset *dataset); /* it was made for such features */
/* Every variable of the graph is in the store, in the same shape. */
bool mode_check(const struct mode_run *run, const struct store *store, pil_status *status);
/* Makes the session and binds it to the allocated store. */
bool mode_bind(struct mode_run *run, struct pil_estimator *estimator, pil_status *status);
const struct tensor *mode_value(const struct mode_run *run, const struct pil_tensor *tensor); /* after a run; NULL for NULL */
const struct tensor *mode_fetched(void *run, const struct pil_tensor *tensor);                /* the same, for hooks */
/* A feed over the dataset for this mode's program. keep: raw fields to read besides. */
struct feed *mode_feed(const struct mode_run *run, struct pil_estimator *estimator, const struct pil_dataset *dataset,
                       const struct cursor *from, const struct field_spec *keep, size_t keep_count, pil_status *status);
void mode_tell_skipped(const struct feed *feed, const char *what); /* warns of bad rows that were dropped so far */
/* Runs a bound graph over a feed, with the mode's hooks; `each` sees every batch. */
struct mode_pass {
    struct pil_estimator *estimator;
    struct mode_run *run;
    struct feed *feed;
    int64_t steps; /* batches at most; below 0: to the end of the data */
    bool (*each)(void *context, const struct batch *batch, pil_status *status);
    void *context;
    struct pil_run loop; /* the pass's own */
};
bool mode_pass(struct mode_pass *pass, pil_status *status); /* all of it, or in parts: */
bool mode_pass_begin(struct mode_pass *pass, pil_status *status);
bool mode_pass_next(struct mode_pass *pass, bool *end, pil_status *status);
bool mode_pass_end(struct mode_pass *pass, bool ok, pil_status *status); /* always; ok: nothing went wrong before */
void mode_free(struct mode_run *run);

/* ---- the estimator ---- */
struct pil_estimator {
    pil_status status; /* of its making */
    pil_model_fn model_fn;
    void *params;       /* of input functions */
    void *model_params; /* of the model function */
    pil_run_config config;
    const char *warm_start_from;
    struct store *first_values; /* that a new model starts from; NULL: its initializers' */
    struct estimator_options options;
    struct arena *arena;
    struct threads *threads;
    struct store *store;
    bool trains;            /* the store has slots */
    const char *busy;       /* what it does now; NULL: nothing */
    struct file_lock *lock; /* of the model_dir while training */
    const char *restored;   /* the checkpoint that the values came from, or NULL */
    const char *holds;      /* the newest checkpoint that has the store's values, or NULL */
    volatile int stopped;   /* pil_estimator_stop */
};
/* Every public call begins with it: errors of the making, and of a call within another. begin: what the call does, for messages. */
bool estimator_begin(struct pil_estimator *estimator, const char *what, pil_status *status);
void estimator_end(struct pil_estimator *estimator);
/* Calls an input function; NULL with *status where its dataset holds an error. */
pil_dataset *estimator_dataset(struct pil_estimator *estimator, pil_input_fn input_fn, const char *what, pil_status *status);
bool estimator_stops(const struct pil_estimator *estimator);

/* ---- values.c ---- */
/* The store has the variables of the graph, with slots in TRAIN, and their values. */
bool values_make(struct pil_estimator *estimator, const struct mode_run *run, pil_status *status);
bool values_missing(const struct pil_estimator *estimator, pil_status *status); /* always an error: there is no checkpoint */
bool values_saved(struct pil_estimator *estimator, pil_status *status);         /* a checkpoint has just been written of them */
void values_free(struct pil_estimator *estimator);

/* ---- evaluate.c ---- */
/* Evaluations of one model by one spec, as many as there are checkpoints. */
struct evaluation {
    struct pil_estimator *estimator;
    const pil_eval_spec *spec;
    struct mode_run run;
    pil_dataset *dataset;    /* that the graph was made for, until it is used */
    struct metric **metrics; /* as the spec's eval_metric_ops */
    bool skipped_told;       /* that rows of the data are bad */
};
bool evaluation_prepare(struct evaluation *evaluation, struct pil_estimator *estimator, const pil_eval_spec *spec,
                        pil_status *status);
bool evaluation_run(struct evaluation *evaluation, pil_result *result, pil_status *status);
void evaluation_end(struct evaluation *evaluation);
/* The result as events of model_dir/eval or eval_<name>; *events is made at the first. */
bool evaluation_write(const struct pil_estimator *estimator, const char *name, const pil_result *result,
                      struct event_writer **events, pil_status *status);
bool evaluate_alone(struct pil_estimator *estimator, const pil_eval_spec *spec, pil_result *result, pil_status *status);

/* ---- from_keras.c ---- */
/* The model function of a Keras-style model, which is its params. */
pil_estimator_spec from_keras_model_fn(pil_graph *graph, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                       void *model);

/* ---- audit.c ---- */
struct audit {
    uint64_t *hashes; /* of every variable of the store, before the first step */
    size_t count;
};
bool audit_graph(const struct pil_estimator *estimator, const struct mode_run *run, pil_status *status); /* before it */
bool audit_begin(struct audit *audit, const struct store *store, pil_status *status);
bool audit_step(struct audit *audit, const struct pil_estimator *estimator, const struct mode_run *run,
                pil_status *status); /* after it */
void audit_free(struct audit *audit);

/* ---- cycle.c ---- */
bool cycle_run(struct pil_estimator *estimator, const pil_train_spec *train_spec, const pil_eval_spec *eval_spec,
               pil_result *result, pil_status *status);

/* ---- exporter.c ---- */
/* An export for every exporter of the spec. */
bool exporters_run(struct pil_estimator *estimator, const pil_eval_spec *spec, pil_result *result, pil_status *status);

#endif
