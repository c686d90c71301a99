/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers: ops together with the variables they need.
 *
 *     pil_tensor *h = pil_layers_dense(g, x, 64, .activation = PIL_ACTIVATION_RELU, .name = "hidden");
 *     h = pil_layers_batch_normalization(g, h, .training = mode == PIL_TRAIN);
 *     pil_tensor *logits = pil_layers_dense(g, h, 1);
 *
 * Variables are called "<open scopes>/<name>/kernel" and so on. Without a name a layer takes that of its kind, "dense", then
 * "dense_1", "dense_2", ...: the first under which the scope has no such layer. A name that is given and taken is an error.
 */
#ifndef PILASTER_PUBLIC_LAYERS_H
#define PILASTER_PUBLIC_LAYERS_H

#include "pilaster/graph.h"
#include "pilaster/op.h"
#include "pilaster/options.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pil_layers_dense_options {
    int64_t units;
    pil_activation activation; /* of the result; linear */
    bool use_bias;
    pil_initializer kernel_initializer; /* glorot_uniform */
    pil_initializer bias_initializer;   /* zeros */
    bool trainable;
    const char *name;
} pil_layers_dense_options;
#define PIL_LAYERS_DENSE_DEFAULTS                                                                                                \
    .activation = PIL_ACTIVATION_LINEAR, .use_bias = true, .kernel_initializer = { PIL_INITIALIZER_GLOROT_UNIFORM, 0.0f, 0.0f }, \
    .bias_initializer = { PIL_INITIALIZER_ZEROS, 0.0f, 0.0f }, .trainable = true, .name = NULL
/* activation(x kernel + bias) over x's last axis: [?, k] gives [?, units], [?, time, k] gives [?, time, units]. Variables:
 * "kernel" [k, units], "bias" [units]. Errors: x with less than two axes, units below 1. Source: tf.compat.v1.layers.dense. */
#define pil_layers_dense(graph, x, ...)                                                                                          \
    pil_layers_dense_make((graph), (x), &(pil_layers_dense_options){ PIL_LAYERS_DENSE_DEFAULTS, .units = __VA_ARGS__ })
PIL_API pil_layers_dense_options pil_layers_dense_options_default(void);
PIL_API pil_tensor *pil_layers_dense_make(pil_graph *graph, pil_tensor *x, const pil_layers_dense_options *options);

typedef struct pil_layers_batch_normalization_options {
    pil_tensor *x;
    bool training;      /* mode == PIL_TRAIN: by the batch's moments, which also move the averages; else by the averages */
    float momentum;     /* of the averages: average = momentum average + (1 - momentum) batch's, after each step */
    float epsilon;      /* added to the variance */
    bool center, scale; /* with beta, with gamma */
    bool trainable;     /* beta and gamma */
    const char *name;
} pil_layers_batch_normalization_options;
#define PIL_LAYERS_BATCH_NORMALIZATION_DEFAULTS                                                                                  \
    .training = false, .momentum = 0.99f, .epsilon = 0.001f, .center = true, .scale = true, .trainable = true, .name = NULL
/* Each channel (position of x's last axis) to mean 0 and variance 1 over the batch, times gamma plus beta; of x's shape.
 * Variables, each [channels]: "gamma" (ones), "beta" (zeros), "moving_mean" (zeros), "moving_variance" (ones), the last two not
 * trainable. Errors: x without rows or of one axis. Source: tf.compat.v1.layers.batch_normalization. */
#define pil_layers_batch_normalization(graph, ...)                                                                               \
    pil_layers_batch_normalization_make(                                                                                         \
        (graph), &(pil_layers_batch_normalization_options){ PIL_LAYERS_BATCH_NORMALIZATION_DEFAULTS, .x = __VA_ARGS__ })
PIL_API pil_layers_batch_normalization_options pil_layers_batch_normalization_options_default(void);
PIL_API pil_tensor *pil_layers_batch_normalization_make(pil_graph *graph, const pil_layers_batch_normalization_options *options);

typedef struct pil_layers_layer_normalization_options {
    pil_tensor *x;
    int axis;           /* the first of the axes that are normalized together */
    float epsilon;      /* added to the variance */
    bool center, scale; /* with beta, with gamma */
    bool trainable;
    const char *name;
} pil_layers_layer_normalization_options;
#define PIL_LAYERS_LAYER_NORMALIZATION_DEFAULTS                                                                                  \
    .axis = -1, .epsilon = 0.001f, .center = true, .scale = true, .trainable = true, .name = NULL
/* Each row to mean 0 and variance 1 over the axes from `axis` on, times gamma plus beta; of x's shape. Variables, of those axes'
 * shape: "gamma" (ones), "beta" (zeros). Errors: the batch among the axes. Source: tf.keras.layers.LayerNormalization. */
#define pil_layers_layer_normalization(graph, ...)                                                                               \
    pil_layers_layer_normalization_make(                                                                                         \
        (graph), &(pil_layers_layer_normalization_options){ PIL_LAYERS_LAYER_NORMALIZATION_DEFAULTS, .x = __VA_ARGS__ })
PIL_API pil_layers_layer_normalization_options pil_layers_layer_normalization_options_default(void);
PIL_API pil_tensor *pil_layers_layer_normalization_make(pil_graph *graph, const pil_layers_layer_normalization_options *options);

#ifdef __cplusplus
}
#endif

#endif
