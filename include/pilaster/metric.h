/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: what an evaluation tells of a model, gathered batch by batch in float64.
 *
 *     spec.eval_metric_ops = PIL_METRICS(g, {"rmse", pil_root_mean_squared_error(g, targets, predictions)},
 *                                           {"auc_pr", pil_metric_auc(g, targets, probabilities, .curve = "PR")});
 *
 * A metric is a value's kind with the tensors it is made of. It belongs to its graph; whoever evaluates feeds it.
 *
 * Labels and predictions have one shape, [batch, d] or any other; [batch] and [batch, 1] are taken for one. Weights (NULL: 1) are
 * a scalar, or each of their axes is as long as that of the predictions or 1. Where nothing was seen the result is 0.
 *
 * Errors, with both shapes: labels and predictions that differ, weights that do not fit; a tensor that is NULL; an option that
 * the metric has no use for. As all builders these return an object after an error, never NULL.
 *
 * Source: tf.compat.v1.metrics, with its defaults. `.keras = true` takes the formula of tf.keras.metrics, where both have one.
 */
#ifndef PILASTER_PUBLIC_METRIC_H
#define PILASTER_PUBLIC_METRIC_H

#include "pilaster/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pil_metric pil_metric;

/* Of all metrics; each has those that its line names. */
typedef struct pil_metric_options {
    pil_tensor *predictions; /* or values: what is judged or averaged */
    pil_tensor *weights;
    bool keras;              /* the formula of tf.keras.metrics */
    int64_t num_thresholds;  /* of curves: evenly spaced in 0 .. 1, both ends among them */
    const float *thresholds; /* of auc, instead: `threshold_count` between 0 and 1, in any order; the ends are added */
    size_t threshold_count;
    const char *curve;            /* "ROC" or "PR" */
    const char *summation_method; /* "trapezoidal", "careful_interpolation" (PR), "minoring", "majoring" */
    float threshold;              /* what a prediction must be above to be taken for true */
    int64_t num_classes;
    float at; /* the specificity or sensitivity that is given */
} pil_metric_options;
#define PIL_METRIC_DEFAULTS                                                                                                      \
    .weights = NULL, .keras = false, .num_thresholds = 200, .thresholds = NULL, .threshold_count = 0, .curve = "ROC",            \
    .summation_method = NULL, .threshold = 0.5f, .num_classes = 0, .at = 0.0f
PIL_API pil_metric_options pil_metric_options_default(void);
/* Any metric by its name ("accuracy"), without labels where it has none. What the macros below call. */
PIL_API pil_metric *pil_metric_make(pil_graph *graph, const char *name, pil_tensor *labels, const pil_metric_options *options);
#define PIL_METRIC(graph, name, labels, ...)                                                                                     \
    pil_metric_make((graph), (name), (labels), &(pil_metric_options){ PIL_METRIC_DEFAULTS, __VA_ARGS__ })

/* ---- means --------------------------------------------------------------------------------------------------- */

/* sum w x / sum w. Source: tf.compat.v1.metrics.mean. */
#define pil_metric_mean(graph, ...) PIL_METRIC(graph, "mean", NULL, .predictions = __VA_ARGS__)
/* The mean of (prediction - label)^2. Source: tf.compat.v1.metrics.mean_squared_error. */
#define pil_metric_mean_squared_error(graph, labels, ...)                                                                        \
    PIL_METRIC(graph, "mean_squared_error", labels, .predictions = __VA_ARGS__)
/* Its root. Source: tf.compat.v1.metrics.root_mean_squared_error. */
#define pil_metric_root_mean_squared_error(graph, labels, ...)                                                                   \
    PIL_METRIC(graph, "root_mean_squared_error", labels, .predictions = __VA_ARGS__)
/* The same; no loss has this name. */
#define pil_root_mean_squared_error(graph, labels, ...) pil_metric_root_mean_squared_error(graph, labels, __VA_ARGS__)
/* The mean of |prediction - label|. Source: tf.compat.v1.metrics.mean_absolute_error. */
#define pil_metric_mean_absolute_error(graph, labels, ...)                                                                       \
    PIL_METRIC(graph, "mean_absolute_error", labels, .predictions = __VA_ARGS__)
/* The mean of |prediction - label| / normalizer, 0 where that is 0; a normalizer of the same shape. Source:
 * tf.compat.v1.metrics.mean_relative_error. */
#define pil_metric_mean_relative_error(graph, labels, predictions, ...)                                                          \
    pil_metric_mean_relative_error_make((graph), (labels), (predictions),                                                        \
                                        &(pil_mean_relative_error_options){ .weights = NULL, .normalizer = __VA_ARGS__ })
typedef struct pil_mean_relative_error_options {
    pil_tensor *normalizer;
    pil_tensor *weights;
} pil_mean_relative_error_options;
PIL_API pil_mean_relative_error_options pil_mean_relative_error_options_default(void);
PIL_API pil_metric *pil_metric_mean_relative_error_make(pil_graph *graph, pil_tensor *labels, pil_tensor *predictions,
                                                        const pil_mean_relative_error_options *options);
/* 1 - the mean of the sums of label * prediction along an axis, both of length 1 along it; weights have 1 there, or are scalars.
 * Where nothing was seen: 1. Source: tf.compat.v1.metrics.mean_cosine_distance. */
#define pil_metric_mean_cosine_distance(graph, labels, predictions, ...)                                                         \
    pil_metric_mean_cosine_distance_make((graph), (labels), (predictions),                                                       \
                                         &(pil_mean_cosine_distance_options){ .weights = NULL, .dim = __VA_ARGS__ })
typedef struct pil_mean_cosine_distance_options {
    int dim; /* from the end where below 0 */
    pil_tensor *weights;
} pil_mean_cosine_distance_options;
PIL_API pil_mean_cosine_distance_options pil_mean_cosine_distance_options_default(void);
PIL_API pil_metric *pil_metric_mean_cosine_distance_make(pil_graph *graph, pil_tensor *labels, pil_tensor *predictions,
                                                         const pil_mean_cosine_distance_options *options);
/* The share of values below a threshold. Source: tf.compat.v1.metrics.percentage_below. */
#define pil_metric_percentage_below(graph, values, ...)                                                                          \
    PIL_METRIC(graph, "percentage_below", NULL, .predictions = (values), .threshold = __VA_ARGS__)

/* ---- of classes ---------------------------------------------------------------------------------------------- */

/* The share of predictions that equal their label. Source: tf.compat.v1.metrics.accuracy. */
#define pil_metric_accuracy(graph, labels, ...) PIL_METRIC(graph, "accuracy", labels, .predictions = __VA_ARGS__)
/* The same of probabilities, which are 1 above .threshold (0.5). Source: tf.keras.metrics.BinaryAccuracy. */
#define pil_metric_binary_accuracy(graph, labels, ...) PIL_METRIC(graph, "binary_accuracy", labels, .predictions = __VA_ARGS__)
/* Of what is predicted, the share that is so. True is what is not 0; .keras: what is above 0.5. Source:
 * tf.compat.v1.metrics.precision. */
#define pil_metric_precision(graph, labels, ...) PIL_METRIC(graph, "precision", labels, .predictions = __VA_ARGS__)
/* Of what is so, the share that is predicted; true as with precision. Source: tf.compat.v1.metrics.recall. */
#define pil_metric_recall(graph, labels, ...) PIL_METRIC(graph, "recall", labels, .predictions = __VA_ARGS__)
/* The weight of what is predicted and so, predicted and not so, ... Source: tf.compat.v1.metrics.true_positives, ... */
#define pil_metric_true_positives(graph, labels, ...) PIL_METRIC(graph, "true_positives", labels, .predictions = __VA_ARGS__)
#define pil_metric_false_positives(graph, labels, ...) PIL_METRIC(graph, "false_positives", labels, .predictions = __VA_ARGS__)
#define pil_metric_true_negatives(graph, labels, ...) PIL_METRIC(graph, "true_negatives", labels, .predictions = __VA_ARGS__)
#define pil_metric_false_negatives(graph, labels, ...) PIL_METRIC(graph, "false_negatives", labels, .predictions = __VA_ARGS__)
/* The same at one threshold: predictions above it are true. Source: tf.compat.v1.metrics.precision_at_thresholds, ..., which take
 * several; here each is a metric with a name of its own. */
#define pil_metric_precision_at_threshold(graph, labels, predictions_, ...)                                                      \
    PIL_METRIC(graph, "precision_at_threshold", labels, .predictions = (predictions_), .threshold = __VA_ARGS__)
#define pil_metric_recall_at_threshold(graph, labels, predictions_, ...)                                                         \
    PIL_METRIC(graph, "recall_at_threshold", labels, .predictions = (predictions_), .threshold = __VA_ARGS__)
#define pil_metric_true_positives_at_threshold(graph, labels, predictions_, ...)                                                 \
    PIL_METRIC(graph, "true_positives_at_threshold", labels, .predictions = (predictions_), .threshold = __VA_ARGS__)
#define pil_metric_false_positives_at_threshold(graph, labels, predictions_, ...)                                                \
    PIL_METRIC(graph, "false_positives_at_threshold", labels, .predictions = (predictions_), .threshold = __VA_ARGS__)
#define pil_metric_true_negatives_at_threshold(graph, labels, predictions_, ...)                                                 \
    PIL_METRIC(graph, "true_negatives_at_threshold", labels, .predictions = (predictions_), .threshold = __VA_ARGS__)
#define pil_metric_false_negatives_at_threshold(graph, labels, predictions_, ...)                                                \
    PIL_METRIC(graph, "false_negatives_at_threshold", labels, .predictions = (predictions_), .threshold = __VA_ARGS__)
/* The mean over num_classes classes of the share of each that is predicted right. Classes from 0; others are an error when a
 * batch brings them. Source: tf.compat.v1.metrics.mean_per_class_accuracy. */
#define pil_metric_mean_per_class_accuracy(graph, labels, predictions_, ...)                                                     \
    PIL_METRIC(graph, "mean_per_class_accuracy", labels, .predictions = (predictions_), .num_classes = __VA_ARGS__)
/* The mean over the classes seen of what is predicted and so, of what is predicted or so. Source: tf.compat.v1.metrics.mean_iou.
 */
#define pil_metric_mean_iou(graph, labels, predictions_, ...)                                                                    \
    PIL_METRIC(graph, "mean_iou", labels, .predictions = (predictions_), .num_classes = __VA_ARGS__)

/* ---- of thresholds ------------------------------------------------------------------------------------------- */

/* The area below a curve through .num_thresholds thresholds, or through .thresholds. .curve "ROC": recall over the false positive
 * rate; "PR": precision over recall. .summation_method: "trapezoidal", unless .keras, which interpolates PR. Source:
 * tf.compat.v1.metrics.auc. */
#define pil_metric_auc(graph, labels, ...) PIL_METRIC(graph, "auc", labels, .predictions = __VA_ARGS__)
/* The sensitivity where the specificity is next to the one given. Option .num_thresholds. Source:
 * tf.compat.v1.metrics.sensitivity_at_specificity. */
#define pil_metric_sensitivity_at_specificity(graph, labels, predictions_, ...)                                                  \
    PIL_METRIC(graph, "sensitivity_at_specificity", labels, .predictions = (predictions_), .at = __VA_ARGS__)
/* The specificity where the sensitivity is next to the one given. Option .num_thresholds. Source:
 * tf.compat.v1.metrics.specificity_at_sensitivity. */
#define pil_metric_specificity_at_sensitivity(graph, labels, predictions_, ...)                                                  \
    PIL_METRIC(graph, "specificity_at_sensitivity", labels, .predictions = (predictions_), .at = __VA_ARGS__)

/* ---- named metrics ------------------------------------------------------------------------------------------- */

/* Names and metrics, copied into the graph. Errors: no name, a name used twice, "loss" and "global_step", which every evaluation
 * adds by itself. */
typedef struct pil_named_metric {
    const char *name;
    pil_metric *metric;
} pil_named_metric;
typedef struct pil_metrics {
    const pil_named_metric *items;
    size_t count;
} pil_metrics;
#define PIL_METRICS(graph, ...)                                                                                                  \
    pil_metrics_make((graph), (const pil_named_metric[]){ __VA_ARGS__ },                                                         \
                     sizeof((const pil_named_metric[]){ __VA_ARGS__ }) / sizeof(pil_named_metric))
PIL_API pil_metrics pil_metrics_make(pil_graph *graph, const pil_named_metric *items, size_t count);

#ifdef __cplusplus
}
#endif

#endif
