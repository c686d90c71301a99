/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics as Keras's compile takes them: a word, or a value with options.
 *
 *     pil_compile(model, .loss = "binary_crossentropy", .metrics = PIL_WORDS("accuracy"),
 *                 .metric_objects = PIL_KERAS_METRICS({ .metric = "AUC", .curve = "PR" }));
 *
 * Words are those of tf.keras.metrics.get of 2.15. "accuracy" and "acc" become binary, categorical or sparse categorical accuracy,
 * whichever fits the model's output and the labels, and are shown as they were written.
 */
#ifndef PILASTER_PUBLIC_KERAS_METRIC_H
#define PILASTER_PUBLIC_KERAS_METRIC_H

#include <stddef.h>
#include <stdint.h>

#include "pilaster/options.h"
#include "pilaster/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A metric with its options; what is 0 or NULL is Keras's default. */
typedef struct pil_keras_metric {
    const char *metric;     /* a word: see above */
    const char *name;       /* that it is shown by; NULL: Keras's, "auc" for AUC, "auc_1" for a second */
    float threshold;        /* of binary accuracy, precision, recall, ...: 0.5 */
    int64_t num_thresholds; /* of AUC: 200 */
    const char *curve;      /* of AUC: "ROC" or "PR" */
} pil_keras_metric;
typedef struct pil_keras_metrics {
    const pil_keras_metric *items;
    size_t count;
} pil_keras_metrics;
#define PIL_KERAS_METRICS(...)                                                                                                   \
    ((pil_keras_metrics){ (const pil_keras_metric[]){ __VA_ARGS__ },                                                             \
                          sizeof((const pil_keras_metric[]){ __VA_ARGS__ }) / sizeof(pil_keras_metric) })

#ifdef __cplusplus
}
#endif

#endif
