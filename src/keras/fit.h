/* SPDX-License-Identifier: Apache-2.0 */
/* What fit, evaluate and predict share: arrays as datasets, passes over data, callbacks around them. */
#ifndef PILASTER_KERAS_FIT_H
#define PILASTER_KERAS_FIT_H

#include "input/input.h"
#include "keras/run.h"

/* ---- data.c ---- */
#define SAMPLE_WEIGHT_FIELD "sample_weight"
/* Rows first .. first + count of an array; its name is the caller's to set. */
pil_array array_rows(const pil_array *array, int64_t first, int64_t count);
/* Labelled rows as a dataset of the model's input; y without values and weights of NULL: there are none. */
struct array_data {
    pil_array x, y;
    const float *weights; /* [x.rows] */
    int64_t batch_size;
    bool shuffle;
};
pil_dataset *array_dataset(const pil_sequential *model, const struct array_data *data, const char *call, pil_status *status);

/* ---- evaluate.c ---- */
/* Loss and metrics over data, behind the logs there are, each name with `prefix` in front. steps 0: to the end. */
bool evaluate_pass(struct keras_run *run, const pil_dataset *dataset, int64_t steps, const char *prefix, pil_logs *logs,
                   pil_status *status);

/* ---- history.c ---- */
const pil_log_value *logs_find(const pil_logs *logs, const char *name); /* NULL */
struct pil_history *history_new(pil_status *status);
bool history_add(struct pil_history *history, const pil_logs *logs, pil_status *status); /* an epoch's */

/* ---- callback.c, callback_kind.c ---- */
enum moment { TRAIN_BEGIN, TRAIN_END, EPOCH_BEGIN, EPOCH_END, BATCH_BEGIN, BATCH_END, TEST_BEGIN, TEST_END, MOMENTS };
struct callback_state; /* what a ready-made one keeps during a fit */
struct callback_kind {
    const char *name;
    bool (*check)(const pil_callback *callback, pil_status *status); /* its settings; NULL: any will do */
    bool (*at[MOMENTS])(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status);
};
const struct callback_kind *callback_kind(pil_callback_kind kind); /* NULL: the callback's own functions, or none */
struct callback_state {
    pil_callback callback; /* texts are the list's */
    const struct callback_kind *kind;
    pil_sequential *model;
    /* of those that watch a number */
    double best;
    int64_t wait, cooling;
    bool rising;    /* the number is to rise */
    bool told;      /* that the number is not there */
    bool terminal;  /* progress: the output is one */
    FILE *file;     /* CSVLogger's */
    char **columns; /* CSVLogger's names, sorted */
    size_t column_count;
    float **weights; /* EarlyStopping's best, by sequential_weight_at */
    struct arena *arena;
};
struct callbacks;
struct callbacks *callbacks_new(pil_sequential *model, pil_callbacks list, pil_status *status);
/* Calls them in order; false with *status filled when one fails. */
bool callbacks_at(struct callbacks *callbacks, enum moment moment, const pil_fit_position *position, pil_logs *logs,
                  pil_status *status);
bool callbacks_want_batches(const struct callbacks *callbacks);
void callbacks_free(struct callbacks *callbacks);

#endif
