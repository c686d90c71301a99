/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of metrics share: a metric over columns of numbers, batch by batch, and golden figures. */
#ifndef PILASTER_TESTS_TRAIN_METRICS_H
#define PILASTER_TESTS_TRAIN_METRICS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "train/train.h"

#include "kernel/golden.h"

enum { MOST = 512 };

static inline struct metric *make(const struct metric_options *options)
{
    pil_status status = { 0 };
    struct metric *metric = metric_new(options, &status);
    if (!metric)
        fail_msg("%s", status.message);
    return metric;
}

static inline struct tensor column(const float *values, int64_t rows)
{
    return tensor_view((void *)values, DTYPE_FLOAT32, SHAPE(rows, 1), true);
}

/* The metric of all rows, in batches of `batch`. */
static inline double measure_with(const struct metric_options *options, const float *labels, const float *values,
                                  const float *weights, int64_t rows, int64_t batch)
{
    struct metric *metric = make(options);
    for (int64_t first = 0; first < rows; first += batch) {
        int64_t n = MIN(batch, rows - first);
        struct tensor l = labels ? column(labels + first, n) : (struct tensor){ 0 }, v = column(values + first, n);
        struct tensor w = weights ? column(weights + first, n) : (struct tensor){ 0 };
        metric_update(metric, labels ? &l : NULL, &v, weights ? &w : NULL);
    }
    double result = metric_result(metric);
    metric_free(metric);
    return result;
}

static inline double measure(const char *kind, int tensorflow, const float *labels, const float *values, const float *weights,
                             int64_t rows, int64_t batch)
{
    struct metric_options options = { .kind = kind, .tensorflow = tensorflow, .threshold = 0.5f, .classes = 2 };
    return measure_with(&options, labels, values, weights, rows, batch);
}

static inline int64_t floats_of(const struct json_value *map, const char *key, float *out)
{
    struct json_value list;
    if (!json_get(map, key, &list) || list.kind != JSON_LIST)
        return 0;
    assert_true(list.count <= MOST && json_floats(&list, out));
    return (int64_t)list.count;
}

static inline void expect(const struct json_value *values, const char *name, double got, double tolerance)
{
    double want = golden_get(values, name).number;
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: got %.9g, want %.9g", name, got, want);
}

#endif
