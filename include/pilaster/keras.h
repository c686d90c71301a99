/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keras-style models: layers in a row, compiled, fitted, evaluated. The functions are tf.keras.Sequential's of TensorFlow 2.15, with
 * its names, arguments and defaults.
 *
 *     pil_sequential *model = pil_sequential_new();
 *     pil_add_layer(model, pil_embedding(max_features, .output_dim = 256));
 *     pil_add_layer(model, pil_lstm(128));
 *     pil_add_layer(model, pil_dropout(0.5f));
 *     pil_add_layer(model, pil_dense(1, .activation = "sigmoid"));
 *     pil_compile(model, .loss = "binary_crossentropy", .optimizer = "rmsprop", .metrics = PIL_WORDS("accuracy"));
 *     status = pil_fit(model, x_train, y_train, .batch_size = 16, .epochs = 10);
 *     status = pil_sequential_evaluate(model, x_test, y_test, &score, .batch_size = 16);
 *     pil_sequential_free(model);
 *
 * Data are arrays, (pil_array){ .ints = ids, .rows = n, .shape = { 80 } }, of one feature and of the label; or any dataset
 * (pilaster/input.h), of which the model takes the feature of its input's name: of a first layer "XYZ" that is "XYZ_input", of an
 * Input its own name. A DenseFeatures layer takes whatever its columns read.
 *
 * Weights get their first values when the model is built; they follow from the seed and their names. The same bits come out at any
 * number of threads.
 *
 * Errors. What is wrong with a layer or with compile stays in the model: pil_sequential_status tells it, and so does the next call
 * that trains, evaluates or predicts. One line, which names the layer. One thread at a time uses a model.
 */
#ifndef PILASTER_PUBLIC_KERAS_H
#define PILASTER_PUBLIC_KERAS_H

#include "pilaster/input.h"
#include "pilaster/keras_callback.h"
#include "pilaster/keras_layer.h"
#include "pilaster/keras_loss.h"
#include "pilaster/keras_metric.h"
#include "pilaster/options.h"
#include "pilaster/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the model ----------------------------------------------------------------------------------------------- */

/* Without layers yet; the caller's to free. Never NULL: without memory, a model that holds that error. */
PIL_API pil_sequential *pil_sequential_new(void);
/* NULL is fine. */
PIL_API void pil_sequential_free(pil_sequential *model);
/* The first error of a layer or of compile, or PIL_OK. */
PIL_API PIL_WARN_UNUSED pil_status pil_sequential_status(const pil_sequential *model);
/* Appends a layer, before the model is built by data or compiled and fitted. Source: Sequential.add. */
PIL_API void pil_add_layer(pil_sequential *model, pil_layer layer);
/* Of first values, shuffles and dropout (0); and threads (0: one for each processor). Before the model is built. Source:
 * tf.keras.utils.set_random_seed. */
PIL_API void pil_sequential_seed(pil_sequential *model, uint64_t seed);
PIL_API void pil_sequential_threads(pil_sequential *model, int threads);
/* Builds the model for rows of a shape, where no layer says it. Source: Sequential.build. */
PIL_API PIL_WARN_UNUSED pil_status pil_sequential_build(pil_sequential *model, pil_row input_shape);
/* A table of layers, output shapes and parameters. Errors: the model is not built. Source: Sequential.summary. */
PIL_API PIL_WARN_UNUSED pil_status pil_sequential_summary(pil_sequential *model, FILE *out);

/* ---- compile ------------------------------------------------------------------------------------------------- */

typedef struct pil_compile_options {
    const char *optimizer;            /* Keras's word: "adam" is 2.15's class, "legacy/adam" the older one */
    pil_optimizer optimizer_object;   /* instead: pil_adam(0.01f) */
    const char *loss;                 /* Keras's word: "mse", "binary_crossentropy", ... */
    pil_keras_loss loss_object;       /* instead: pil_binary_crossentropy(true) */
    pil_words metrics;                /* Keras's words; "accuracy" becomes the one that fits output and labels */
    pil_keras_metrics metric_objects; /* behind them: PIL_KERAS_METRICS(...) */
    pil_words weighted_metrics;       /* the same, by sample and class weights */
} pil_compile_options;
#define PIL_COMPILE_DEFAULTS .optimizer = "rmsprop", .loss = NULL
/* How to train and what to tell. A model that was fitted keeps its weights, and the optimizer begins anew. Source: Model.compile. */
#define pil_compile(model, ...) pil_compile_make((model), &(pil_compile_options){ PIL_COMPILE_DEFAULTS, __VA_ARGS__ })
PIL_API pil_compile_options pil_compile_options_default(void);
PIL_API void pil_compile_make(pil_sequential *model, const pil_compile_options *options);

/* ---- fit ----------------------------------------------------------------------------------------------------- */

typedef struct pil_fit_options {
    pil_array y; /* labels, [rows] or [rows, ...] */
    int64_t batch_size;
    int64_t epochs; /* the number of the last: a fit with initial_epoch 3 and epochs 5 takes two */
    pil_callbacks callbacks;
    double validation_split; /* this share of the rows, the last ones, is kept apart, before any shuffle */
    pil_array validation_x, validation_y;
    const float *validation_sample_weight;
    pil_dataset *validation_dataset; /* instead of arrays; borrowed */
    bool shuffle;                    /* all rows, anew each epoch */
    pil_floats class_weight;         /* of class 0, 1, ...; in training alone */
    const float *sample_weight;      /* one a row; borrowed */
    int64_t initial_epoch;
    int64_t steps_per_epoch;       /* 0: to the end of the data */
    int64_t validation_steps;      /* 0: to the end */
    int64_t validation_batch_size; /* 0: batch_size */
    int64_t validation_freq;       /* every so many epochs */
} pil_fit_options;
#define PIL_FIT_DEFAULTS .batch_size = 32, .epochs = 1, .shuffle = true, .validation_freq = 1
/* Trains for some epochs; the history tells how it went. Another fit goes on. Errors, besides those of model and data: a model that is
 * not compiled, labels that do not fit the loss, a validation_split that leaves no rows. Source: Model.fit. */
#define pil_fit(model, x, ...) pil_fit_make((model), (x), &(pil_fit_options){ PIL_FIT_DEFAULTS, .y = __VA_ARGS__ })
PIL_API pil_fit_options pil_fit_options_default(void);
PIL_API PIL_WARN_UNUSED pil_status pil_fit_make(pil_sequential *model, pil_array x, const pil_fit_options *options);
/* The same with a dataset, borrowed, whose batch size, shuffle and label count; one that has no end needs steps_per_epoch. `options` has
 * no y, batch_size, shuffle, validation_split and sample_weight then. */
PIL_API PIL_WARN_UNUSED pil_status pil_fit_dataset(pil_sequential *model, pil_dataset *dataset, const pil_fit_options *options);

/* What the last fit told: names, and a number of each for every epoch. It lives until the next fit. Source: History. */
typedef struct pil_history pil_history;
PIL_API const pil_history *pil_sequential_history(const pil_sequential *model);
PIL_API size_t pil_history_epochs(const pil_history *history);
/* The numbers of "loss", "val_accuracy", ... by epoch; *count of them (0, NULL: there is no such name). An epoch without a number
 * (validation_freq) has none: then *count is smaller than the epochs. */
PIL_API const double *pil_history_get(const pil_history *history, const char *name, size_t *count);
PIL_API size_t pil_history_names(const pil_history *history, const char *const **names);

/* ---- for callbacks ------------------------------------------------------------------------------------------- */

/* The fit ends behind this batch or epoch. Source: Model.stop_training. */
PIL_API void pil_stop_training(pil_sequential *model);
PIL_API double pil_get_learning_rate(const pil_sequential *model);
/* Of the steps to come. Errors: a rate that follows a schedule; a model that is not compiled. */
PIL_API PIL_WARN_UNUSED pil_status pil_set_learning_rate(pil_sequential *model, double rate);

/* ---- evaluate, predict --------------------------------------------------------------------------------------- */

typedef struct pil_sequential_evaluate_options {
    int64_t batch_size;
    const float *sample_weight;
    int64_t steps; /* 0: to the end */
} pil_sequential_evaluate_options;
#define PIL_SEQUENTIAL_EVALUATE_DEFAULTS .batch_size = 32
/* Loss and metrics over all rows. logs: what they are, "loss" first. Source: Model.evaluate. */
#define pil_sequential_evaluate(model, x, y, logs, ...)                                                                          \
    pil_sequential_evaluate_make((model), (x), (y), (logs),                                                                      \
                                 &(pil_sequential_evaluate_options){ PIL_SEQUENTIAL_EVALUATE_DEFAULTS, __VA_ARGS__ })
PIL_API pil_sequential_evaluate_options pil_sequential_evaluate_options_default(void);
PIL_API PIL_WARN_UNUSED pil_status pil_sequential_evaluate_make(pil_sequential *model, pil_array x, pil_array y, pil_logs *logs,
                                                                const pil_sequential_evaluate_options *options);
PIL_API PIL_WARN_UNUSED pil_status pil_sequential_evaluate_dataset(pil_sequential *model, pil_dataset *dataset, int64_t steps,
                                                                   pil_logs *logs);
/* The output of one row, without the batch; rank 0 before the model is built. */
PIL_API pil_shape pil_sequential_output_shape(const pil_sequential *model);
/* What the model says of each row of x, row after row, to `out`, which has room for `count` floats: exactly rows times the output's
 * elements. Source: Model.predict. */
PIL_API PIL_WARN_UNUSED pil_status pil_sequential_predict(pil_sequential *model, pil_array x, int64_t batch_size, float *out,
                                                          size_t count);
/* The same of a dataset: `each` is called with every batch's rows, in order. False from it ends the call with *status. */
typedef bool (*pil_predicted_rows)(void *context, const float *rows, int64_t row_count, int64_t row_floats, pil_status *status);
PIL_API PIL_WARN_UNUSED pil_status pil_sequential_predict_dataset(pil_sequential *model, pil_dataset *dataset,
                                                                  pil_predicted_rows each, void *context);

/* ---- weights ------------------------------------------------------------------------------------------------- */

/* The weights of a built model in the order of its layers: name ("dense/kernel") and shape. False: there is no such number. */
PIL_API bool pil_sequential_weight(const pil_sequential *model, size_t i, const char **name, pil_shape *shape);
/* Copies a weight's values, row by row; count must be its elements. Errors: no such weight (the nearest is named), another count. */
PIL_API PIL_WARN_UNUSED pil_status pil_sequential_get_weight(pil_sequential *model, const char *name, float *values,
                                                             size_t count);
PIL_API PIL_WARN_UNUSED pil_status pil_sequential_set_weight(pil_sequential *model, const char *name, const float *values,
                                                             size_t count);
#ifdef __cplusplus
}
#endif

#endif
