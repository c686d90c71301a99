/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses as Keras's compile takes them: a word, or a value with options.
 *
 *     pil_compile(model, .loss = "mse");
 *     pil_compile(model, .loss_object = pil_binary_crossentropy(true, .label_smoothing = 0.1f));
 *
 * Words are those of tf.keras.losses.get of 2.15: "mean_squared_error", "mse", "MSE", "MeanSquaredError", ... A loss is taken of each
 * row (the mean over the last axis unless a line says otherwise), weighed, and divided by the number of such losses, whatever the
 * weights: Keras's sum_over_batch_size.
 *
 * Probabilities that come straight from a sigmoid or a softmax are traced back to their logits, as Keras does: the loss is exact
 * where they are 0 or 1. Others are cut to [1e-7, 1 - 1e-7].
 */
#ifndef PILASTER_PUBLIC_KERAS_LOSS_H
#define PILASTER_PUBLIC_KERAS_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "pilaster/options.h"
#include "pilaster/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A loss with its options; a name of NULL: none is given. An option that its loss has no use for is an error. */
typedef struct pil_keras_loss {
    const char *name;      /* a word: see above */
    bool from_logits;      /* of crossentropies */
    float label_smoothing; /* the same */
    float delta;           /* huber */
} pil_keras_loss;
#define PIL_KERAS_LOSS_DEFAULTS .label_smoothing = 0.0f, .delta = 1.0f
/* A loss by its word, with Keras's defaults. */
PIL_API pil_keras_loss pil_keras_loss_named(const char *name);
/* -z log p - (1 - z) log(1 - p). Option .label_smoothing. Source: tf.keras.losses.BinaryCrossentropy. */
#define pil_binary_crossentropy(...)                                                                                             \
    ((pil_keras_loss){ PIL_KERAS_LOSS_DEFAULTS, .name = "binary_crossentropy", .from_logits = __VA_ARGS__ })
/* -sum z log p of one-hot labels. Option .label_smoothing. Source: tf.keras.losses.CategoricalCrossentropy. */
#define pil_categorical_crossentropy(...)                                                                                        \
    ((pil_keras_loss){ PIL_KERAS_LOSS_DEFAULTS, .name = "categorical_crossentropy", .from_logits = __VA_ARGS__ })
/* The same of classes 0, 1, .... Source: tf.keras.losses.SparseCategoricalCrossentropy. */
#define pil_sparse_categorical_crossentropy(...)                                                                                 \
    ((pil_keras_loss){ PIL_KERAS_LOSS_DEFAULTS, .name = "sparse_categorical_crossentropy", .from_logits = __VA_ARGS__ })
/* e^2 / 2 up to |e| = delta, straight beyond. Source: tf.keras.losses.Huber. */
#define pil_huber(...) ((pil_keras_loss){ PIL_KERAS_LOSS_DEFAULTS, .name = "huber", .delta = __VA_ARGS__ })

#ifdef __cplusplus
}
#endif

#endif
