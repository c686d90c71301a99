/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses: from labels and predictions to the number that training makes smaller.
 *
 *     spec.loss = pil_mean_squared_error(g, targets, predictions);
 *     spec.loss = pil_sigmoid_cross_entropy(g, targets, logits, .weights = weights, .label_smoothing = 0.1f);
 *
 * Labels and predictions have one shape, [batch, d] or any other, unless a loss says otherwise; numbers of another type than
 * float32 become float32. The result is a float32 scalar; with PIL_REDUCTION_NONE the losses themselves.
 *
 * Weights. NULL stands for 1. A scalar weighs everything; otherwise each axis is as long as the losses' or 1: [batch, 1] weighs
 * rows, [batch, d] elements.
 *
 * Errors, with both shapes: labels and predictions that differ ([batch] and [batch, 1] do), weights that do not fit; labels that
 * are NULL, as targets are in PREDICT.
 *
 * Source: tf.compat.v1.losses, with its defaults.
 */
#ifndef PILASTER_PUBLIC_LOSS_H
#define PILASTER_PUBLIC_LOSS_H

#include "pilaster/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How weighted losses become one number; 0 where it would divide by 0. Source: tf.compat.v1.losses.Reduction. */
typedef enum pil_reduction {
    PIL_REDUCTION_NONE,                   /* they do not */
    PIL_REDUCTION_SUM,                    /* sum w l */
    PIL_REDUCTION_SUM_OVER_BATCH_SIZE,    /* sum w l / number of losses */
    PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS, /* sum w l / number of losses whose weight is not 0 */
    PIL_REDUCTION_MEAN,                   /* sum w l / sum w */
    PIL_REDUCTION_SUM_OVER_NONZERO_WEIGHTS = PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS
} pil_reduction;

/* ---- of predictions ------------------------------------------------------------------------------------------ */

typedef struct pil_loss_options {
    pil_tensor *predictions;
    pil_tensor *weights;
    pil_reduction reduction;
} pil_loss_options;
#define PIL_LOSS_DEFAULTS .weights = NULL, .reduction = PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS
PIL_API pil_loss_options pil_loss_options_default(void);

/* (prediction - label)^2. Source: tf.compat.v1.losses.mean_squared_error. */
#define pil_mean_squared_error(graph, labels, ...)                                                                               \
    pil_mean_squared_error_make((graph), (labels), &(pil_loss_options){ PIL_LOSS_DEFAULTS, .predictions = __VA_ARGS__ })
PIL_API pil_tensor *pil_mean_squared_error_make(pil_graph *graph, pil_tensor *labels, const pil_loss_options *options);

/* |prediction - label|. Source: tf.compat.v1.losses.absolute_difference. */
#define pil_absolute_difference(graph, labels, ...)                                                                              \
    pil_absolute_difference_make((graph), (labels), &(pil_loss_options){ PIL_LOSS_DEFAULTS, .predictions = __VA_ARGS__ })
PIL_API pil_tensor *pil_absolute_difference_make(pil_graph *graph, pil_tensor *labels, const pil_loss_options *options);

typedef struct pil_huber_loss_options {
    pil_tensor *predictions;
    pil_tensor *weights;
    float delta; /* where the square ends and the straight line begins */
    pil_reduction reduction;
} pil_huber_loss_options;
#define PIL_HUBER_LOSS_DEFAULTS .weights = NULL, .delta = 1.0f, .reduction = PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS
/* With e = |prediction - label|: e^2 / 2 up to delta, delta e - delta^2 / 2 beyond. Source: tf.compat.v1.losses.huber_loss. */
#define pil_huber_loss(graph, labels, ...)                                                                                       \
    pil_huber_loss_make((graph), (labels), &(pil_huber_loss_options){ PIL_HUBER_LOSS_DEFAULTS, .predictions = __VA_ARGS__ })
PIL_API pil_huber_loss_options pil_huber_loss_options_default(void);
PIL_API pil_tensor *pil_huber_loss_make(pil_graph *graph, pil_tensor *labels, const pil_huber_loss_options *options);

typedef struct pil_log_loss_options {
    pil_tensor *predictions; /* probabilities */
    pil_tensor *weights;
    float epsilon; /* added inside both logarithms */
    pil_reduction reduction;
} pil_log_loss_options;
#define PIL_LOG_LOSS_DEFAULTS .weights = NULL, .epsilon = 1e-7f, .reduction = PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS
/* -label log(p + epsilon) - (1 - label) log(1 - p + epsilon). Source: tf.compat.v1.losses.log_loss. */
#define pil_log_loss(graph, labels, ...)                                                                                         \
    pil_log_loss_make((graph), (labels), &(pil_log_loss_options){ PIL_LOG_LOSS_DEFAULTS, .predictions = __VA_ARGS__ })
PIL_API pil_log_loss_options pil_log_loss_options_default(void);
PIL_API pil_tensor *pil_log_loss_make(pil_graph *graph, pil_tensor *labels, const pil_log_loss_options *options);

typedef struct pil_cosine_distance_options {
    int axis; /* from the end where below 0 */
    pil_tensor *weights;
    pil_reduction reduction;
} pil_cosine_distance_options;
#define PIL_COSINE_DISTANCE_DEFAULTS .weights = NULL, .reduction = PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS
/* 1 - the sum of label * prediction along an axis, which both must have been made of length 1 along; the losses keep that axis,
 * 1 long. Source: tf.compat.v1.losses.cosine_distance. */
#define pil_cosine_distance(graph, labels, predictions, ...)                                                                     \
    pil_cosine_distance_make((graph), (labels), (predictions),                                                                   \
                             &(pil_cosine_distance_options){ PIL_COSINE_DISTANCE_DEFAULTS, .axis = __VA_ARGS__ })
PIL_API pil_cosine_distance_options pil_cosine_distance_options_default(void);
PIL_API pil_tensor *pil_cosine_distance_make(pil_graph *graph, pil_tensor *labels, pil_tensor *predictions,
                                             const pil_cosine_distance_options *options);

typedef struct pil_mean_pairwise_squared_error_options {
    pil_tensor *predictions;
    pil_tensor *weights;
} pil_mean_pairwise_squared_error_options;
/* Within each row the mean over pairs of elements of (d_i - d_j)^2, d = prediction - label; summed over the batch, by weight.
 * Labels and predictions [batch, ...]. Source: tf.compat.v1.losses.mean_pairwise_squared_error, which has no reduction. */
#define pil_mean_pairwise_squared_error(graph, labels, ...)                                                                      \
    pil_mean_pairwise_squared_error_make(                                                                                        \
        (graph), (labels), &(pil_mean_pairwise_squared_error_options){ .weights = NULL, .predictions = __VA_ARGS__ })
PIL_API pil_mean_pairwise_squared_error_options pil_mean_pairwise_squared_error_options_default(void);
PIL_API pil_tensor *pil_mean_pairwise_squared_error_make(pil_graph *graph, pil_tensor *labels,
                                                         const pil_mean_pairwise_squared_error_options *options);

/* ---- of logits ----------------------------------------------------------------------------------------------- */

typedef struct pil_logits_loss_options {
    pil_tensor *logits;
    pil_tensor *weights;
    pil_reduction reduction;
} pil_logits_loss_options;
#define PIL_LOGITS_LOSS_DEFAULTS .weights = NULL, .reduction = PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS
PIL_API pil_logits_loss_options pil_logits_loss_options_default(void);

/* max(0, 1 - (2 label - 1) logit); labels are 0 or 1. Source: tf.compat.v1.losses.hinge_loss. */
#define pil_hinge_loss(graph, labels, ...)                                                                                       \
    pil_hinge_loss_make((graph), (labels), &(pil_logits_loss_options){ PIL_LOGITS_LOSS_DEFAULTS, .logits = __VA_ARGS__ })
PIL_API pil_tensor *pil_hinge_loss_make(pil_graph *graph, pil_tensor *labels, const pil_logits_loss_options *options);

/* log sum exp(logits) - the logit of the label. Logits [batch, ..., classes], labels [batch, ...] or [batch, ..., 1]: classes
 * from 0, others are an error when a batch brings them. Losses and weights [batch, ...]; weights may end in an axis of 1.
 * Source: tf.compat.v1.losses.sparse_softmax_cross_entropy. */
#define pil_sparse_softmax_cross_entropy(graph, labels, ...)                                                                     \
    pil_sparse_softmax_cross_entropy_make((graph), (labels),                                                                     \
                                          &(pil_logits_loss_options){ PIL_LOGITS_LOSS_DEFAULTS, .logits = __VA_ARGS__ })
PIL_API pil_tensor *pil_sparse_softmax_cross_entropy_make(pil_graph *graph, pil_tensor *labels,
                                                          const pil_logits_loss_options *options);

typedef struct pil_cross_entropy_options {
    pil_tensor *logits;
    pil_tensor *weights;
    float label_smoothing; /* 0 to 1: how far labels move to what says nothing, 1/2 or 1 / classes */
    pil_reduction reduction;
} pil_cross_entropy_options;
#define PIL_CROSS_ENTROPY_DEFAULTS .weights = NULL, .label_smoothing = 0.0f, .reduction = PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS
PIL_API pil_cross_entropy_options pil_cross_entropy_options_default(void);

/* Of independent classes: max(x, 0) - x z + log(1 + exp(-|x|)). Source: tf.compat.v1.losses.sigmoid_cross_entropy. */
#define pil_sigmoid_cross_entropy(graph, multi_class_labels, ...)                                                                \
    pil_sigmoid_cross_entropy_make((graph), (multi_class_labels),                                                                \
                                   &(pil_cross_entropy_options){ PIL_CROSS_ENTROPY_DEFAULTS, .logits = __VA_ARGS__ })
PIL_API pil_tensor *pil_sigmoid_cross_entropy_make(pil_graph *graph, pil_tensor *multi_class_labels,
                                                   const pil_cross_entropy_options *options);

/* -sum z log softmax(x) over the last axis; labels are distributions and get no gradient. Losses and weights [batch, ...];
 * weights may end in an axis of 1. Source: tf.compat.v1.losses.softmax_cross_entropy. */
#define pil_softmax_cross_entropy(graph, onehot_labels, ...)                                                                     \
    pil_softmax_cross_entropy_make((graph), (onehot_labels),                                                                     \
                                   &(pil_cross_entropy_options){ PIL_CROSS_ENTROPY_DEFAULTS, .logits = __VA_ARGS__ })
PIL_API pil_tensor *pil_softmax_cross_entropy_make(pil_graph *graph, pil_tensor *onehot_labels,
                                                   const pil_cross_entropy_options *options);

/* ---- losses of one's own ------------------------------------------------------------------------------------- */

typedef struct pil_weighted_loss_options {
    pil_tensor *losses;
    pil_tensor *weights;
    pil_reduction reduction;
} pil_weighted_loss_options;
#define PIL_WEIGHTED_LOSS_DEFAULTS .weights = NULL, .reduction = PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS
/* Weights and reduces losses of any shape: pil_compute_weighted_loss(g, losses, .weights = w). Source:
 * tf.compat.v1.losses.compute_weighted_loss. */
#define pil_compute_weighted_loss(graph, ...)                                                                                    \
    pil_compute_weighted_loss_make((graph), &(pil_weighted_loss_options){ PIL_WEIGHTED_LOSS_DEFAULTS, .losses = __VA_ARGS__ })
PIL_API pil_weighted_loss_options pil_weighted_loss_options_default(void);
PIL_API pil_tensor *pil_compute_weighted_loss_make(pil_graph *graph, const pil_weighted_loss_options *options);

/* Losses by element or by row, to go on with. Gradients flow to the labels too, to classes none. */
/* [batch, ...] as logits and labels. Source: tf.nn.sigmoid_cross_entropy_with_logits. */
PIL_API pil_tensor *pil_sigmoid_cross_entropy_with_logits(pil_graph *graph, pil_tensor *labels, pil_tensor *logits);
/* The same, positive labels counting pos_weight times. Source: tf.nn.weighted_cross_entropy_with_logits. */
PIL_API pil_tensor *pil_weighted_cross_entropy_with_logits(pil_graph *graph, pil_tensor *labels, pil_tensor *logits,
                                                           float pos_weight);
/* [batch, ..., classes] to [batch, ...]. Source: tf.nn.softmax_cross_entropy_with_logits. */
PIL_API pil_tensor *pil_softmax_cross_entropy_with_logits(pil_graph *graph, pil_tensor *labels, pil_tensor *logits);
/* Logits [batch, ..., classes], labels [batch, ...] or [batch, ..., 1], to [batch, ...]. Source:
 * tf.nn.sparse_softmax_cross_entropy_with_logits. */
PIL_API pil_tensor *pil_sparse_softmax_cross_entropy_with_logits(pil_graph *graph, pil_tensor *labels, pil_tensor *logits);
/* sum x^2 / 2, a scalar. Source: tf.nn.l2_loss. */
PIL_API pil_tensor *pil_l2_loss(pil_graph *graph, pil_tensor *x);

#ifdef __cplusplus
}
#endif

#endif
