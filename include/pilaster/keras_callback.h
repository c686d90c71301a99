/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callbacks: what happens around the epochs and batches of pil_fit. Source: tf.keras.callbacks of 2.15.
 *
 *     pil_fit(model, x, y, .epochs = 50, .validation_split = 0.2,
 *             .callbacks = PIL_CALLBACKS(pil_progress_bar(stdout), pil_csv_logger("log.csv"),
 *                                        pil_early_stopping("val_loss", .patience = 3, .restore_best_weights = true)));
 *
 * A callback is a value, copied with its texts when a fit begins; a context is borrowed and must live as long as the fit. They are
 * called in the order in which they are given, on the thread that calls pil_fit. One that returns false, with *status filled, ends the
 * fit with that error.
 */
#ifndef PILASTER_PUBLIC_KERAS_CALLBACK_H
#define PILASTER_PUBLIC_KERAS_CALLBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "pilaster/options.h"
#include "pilaster/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pil_sequential pil_sequential;

/* ---- logs ---------------------------------------------------------------------------------------------------- */

enum { PIL_MAX_LOGS = 64, PIL_LOG_NAME = 64 };
/* Names and numbers in their order: loss, metrics, val_loss, ... A plain struct: nothing to free. */
typedef struct pil_log_value {
    char name[PIL_LOG_NAME];
    double value;
} pil_log_value;
typedef struct pil_logs {
    size_t count;
    pil_log_value values[PIL_MAX_LOGS];
} pil_logs;
/* The number of that name; NaN: there is none. */
PIL_API double pil_logs_get(const pil_logs *logs, const char *name);
/* Sets a number, under a new name behind the others; false where there is no room for it. */
PIL_API bool pil_logs_set(pil_logs *logs, const char *name, double value);

/* ---- a callback ---------------------------------------------------------------------------------------------- */

/* Where a fit is. Epochs and batches count from 0; a batch's number is within its epoch. */
typedef struct pil_fit_position {
    int64_t epoch, epochs;  /* epochs: what the fit was asked for */
    int64_t batch, batches; /* batches: of an epoch; 0: unknown yet */
    int64_t step;           /* batches trained on since the model was compiled */
    double seconds;         /* since the epoch began */
} pil_fit_position;

/* logs: of batches the means of the epoch so far; of epochs the epoch's, which a callback may add to: later callbacks and the
 * history see it. NULL at the beginnings. */
typedef bool (*pil_callback_function)(void *context, pil_sequential *model, const pil_fit_position *position, pil_logs *logs,
                                      pil_status *status);
/* The rate of an epoch by its number, from 0, and the rate so far. */
typedef double (*pil_rate_function)(void *context, int64_t epoch, double rate);

typedef enum pil_callback_kind {
    PIL_CALLBACK_OWN, /* the functions below */
    PIL_CALLBACK_PROGRESS_BAR,
    PIL_CALLBACK_EARLY_STOPPING,
    PIL_CALLBACK_REDUCE_LR_ON_PLATEAU,
    PIL_CALLBACK_LEARNING_RATE_SCHEDULER,
    PIL_CALLBACK_CSV_LOGGER,
    PIL_CALLBACK_TERMINATE_ON_NAN
} pil_callback_kind;
/* What the ready-made ones are told; their functions below explain. */
typedef struct pil_callback_settings {
    const char *path, *monitor, *mode;
    double min_delta, baseline, factor, min_lr;
    bool has_baseline, restore_best_weights, append;
    int64_t patience, cooldown, start_from_epoch;
    char separator;
    FILE *out;
    pil_rate_function schedule;
} pil_callback_settings;
typedef struct pil_callback {
    pil_callback_kind kind;
    pil_callback_function on_train_begin, on_train_end;
    pil_callback_function on_epoch_begin, on_epoch_end; /* on_epoch_end: after the validation */
    pil_callback_function on_train_batch_begin, on_train_batch_end;
    pil_callback_function on_test_begin, on_test_end; /* around a validation */
    void *context;
    pil_callback_settings settings;
} pil_callback;
typedef struct pil_callbacks {
    const pil_callback *items;
    size_t count;
} pil_callbacks;
#define PIL_CALLBACKS(...)                                                                                                       \
    ((pil_callbacks){ (const pil_callback[]){ __VA_ARGS__ },                                                                     \
                      sizeof((const pil_callback[]){ __VA_ARGS__ }) / sizeof(pil_callback) })

/* ---- ready-made ---------------------------------------------------------------------------------------------- *
 *
 * monitor: a name of the epoch's logs; one that is not there is told in the log and passed over, as in Keras. mode: "auto" (names
 * with acc, accuracy or auc are to rise, others to fall), "min", "max". */

/* Shows how a fit goes on `out`, borrowed, as Keras does: a bar that moves where out is a terminal, else a line an epoch. Source:
 * tf.keras.callbacks.ProgbarLogger. */
PIL_API pil_callback pil_progress_bar(FILE *out);

typedef struct pil_early_stopping_options {
    const char *monitor;
    double min_delta; /* less is no improvement */
    int64_t patience; /* epochs without one */
    const char *mode;
    bool has_baseline;
    double baseline;
    bool restore_best_weights; /* of the best epoch, when it stops; a fit that ends by itself keeps its last, as in Keras */
    int64_t start_from_epoch;
} pil_early_stopping_options;
#define PIL_EARLY_STOPPING_DEFAULTS                                                                                              \
    .min_delta = 0, .patience = 0, .mode = "auto", .has_baseline = false, .restore_best_weights = false, .start_from_epoch = 0
/* Source: tf.keras.callbacks.EarlyStopping. */
#define pil_early_stopping(...)                                                                                                  \
    pil_early_stopping_make(&(pil_early_stopping_options){ PIL_EARLY_STOPPING_DEFAULTS, .monitor = __VA_ARGS__ })
PIL_API pil_early_stopping_options pil_early_stopping_options_default(void);
PIL_API pil_callback pil_early_stopping_make(const pil_early_stopping_options *options);

typedef struct pil_reduce_lr_on_plateau_options {
    const char *monitor;
    double factor;
    int64_t patience;
    const char *mode;
    double min_delta;
    int64_t cooldown;
    double min_lr;
} pil_reduce_lr_on_plateau_options;
#define PIL_REDUCE_LR_ON_PLATEAU_DEFAULTS                                                                                        \
    .factor = 0.1, .patience = 10, .mode = "auto", .min_delta = 1e-4, .cooldown = 0, .min_lr = 0
/* rate = max(rate factor, min_lr) after `patience` epochs without improvement; adds "lr" to the logs. Source:
 * tf.keras.callbacks.ReduceLROnPlateau. */
#define pil_reduce_lr_on_plateau(...)                                                                                            \
    pil_reduce_lr_on_plateau_make(                                                                                               \
        &(pil_reduce_lr_on_plateau_options){ PIL_REDUCE_LR_ON_PLATEAU_DEFAULTS, .monitor = __VA_ARGS__ })
PIL_API pil_reduce_lr_on_plateau_options pil_reduce_lr_on_plateau_options_default(void);
PIL_API pil_callback pil_reduce_lr_on_plateau_make(const pil_reduce_lr_on_plateau_options *options);

/* Sets the rate at each epoch's beginning; adds "lr" to the logs. Source: tf.keras.callbacks.LearningRateScheduler. */
PIL_API pil_callback pil_learning_rate_scheduler(pil_rate_function schedule, void *context);

typedef struct pil_csv_logger_options {
    const char *filename;
    char separator;
    bool append; /* to a file that is there, without a second header */
} pil_csv_logger_options;
#define PIL_CSV_LOGGER_DEFAULTS .separator = ',', .append = false
/* A line an epoch: its number from 0, then its logs sorted by name; "NA" for what is missing. Source:
 * tf.keras.callbacks.CSVLogger. */
#define pil_csv_logger(...) pil_csv_logger_make(&(pil_csv_logger_options){ PIL_CSV_LOGGER_DEFAULTS, .filename = __VA_ARGS__ })
PIL_API pil_csv_logger_options pil_csv_logger_options_default(void);
PIL_API pil_callback pil_csv_logger_make(const pil_csv_logger_options *options);

/* A loss that is not a number, or infinite, ends the fit in order. Source: tf.keras.callbacks.TerminateOnNaN. */
PIL_API pil_callback pil_terminate_on_nan(void);

#ifdef __cplusplus
}
#endif

#endif
