/* SPDX-License-Identifier: Apache-2.0 */
/* The Estimator's own state, shared by estimator.c (a model with its store), cycle.c (training) and evaluation. */
#ifndef PILASTER_ESTIMATOR_INTERNAL_H
#define PILASTER_ESTIMATOR_INTERNAL_H

#include "estimator/estimator.h"

enum { PART_LINEAR, PART_DNN, PART_NONE, PART_COUNT }; /* groups of the store: two optimizers, and what none moves */

/* A mode's graph, compiled and bound to the store. */
struct mode_run {
    struct canned_graph canned;
    struct plan *plan;
    struct session *session;
    /* where each of the head's tensors is among the fetches, -1: not fetched */
    int loss, losses, logits, logistic, probabilities, class_ids, labels, weights;
};
struct estimator {
    struct model *model; /* borrowed */
    struct estimator_options options;
    struct arena *arena;
    struct threads *threads;
    struct program *program;
    struct canned_inputs inputs;
    struct store *store;
    struct mode_run runs[3];
    struct optimizer_names names[PART_COUNT]; /* of the optimizers in checkpoints */
    struct file_lock *lock;         /* of the model_dir while training */
    const char *restored;           /* the checkpoint the values came from, or NULL */
    struct head_metrics *metrics;   /* of the last evaluation */
    bool skipped_told;              /* that rows of the evaluation's data are bad */
};

/* Builds a mode's graph and plan (once). The first one declares the variables of the store. */
bool mode_prepare(struct estimator *estimator, enum mode mode, pil_status *status);
/* Makes the session and binds it to the allocated store. */
bool mode_bind(struct estimator *estimator, enum mode mode, pil_status *status);
void mode_batch(const struct mode_run *run, struct head_batch *out); /* the fetched values after a run */
void mode_free(struct mode_run *run);
/* The options of a feed over the model's files. data NULL: the model file's eval files, or the held-out part. */
struct feed *estimator_feed(struct estimator *estimator, enum mode mode, const char *data, const struct cursor *from,
                            const struct field_spec *keep, size_t keep_count, pil_status *status);
/* Warns of bad rows that input.on_error: skip has dropped so far. */
void estimator_tell_skipped(const struct feed *feed, const char *what);
/* Evaluates the live store; the result stays with the estimator. */
bool estimator_evaluate_live(struct estimator *estimator, const char *data, pil_status *status);

#endif
