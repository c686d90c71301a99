/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streaming metrics. Every one is a handful of weighted sums, in float64 and in the order of the rows, and a formula over
 * them at the end. The formulas are TensorFlow's: Keras's classes (2) and tf.metrics (1). A kind of metric is a row of the
 * table below: what an element adds, what the result is, which options it has; pilaster/metric.h has a line for it.
 */
#include <math.h>
#include <string.h>

#include "train/internal.h"

enum { MOST_CLASSES = 10000000 };

/* ---- what an element adds ------------------------------------------------------------------------------------ */

static void add_to_mean(struct metric *metric, double value, double weight)
{
    metric->sum += weight * value;
    metric->divisor += weight;
}

static void add_value(struct metric *metric, double label, double value, double weight)
{
    (void)label;
    add_to_mean(metric, value, weight);
}

static void add_below(struct metric *metric, double label, double value, double weight)
{
    (void)label;
    add_to_mean(metric, value < metric->threshold, weight);
}

static void add_equal(struct metric *metric, double label, double value, double weight)
{
    add_to_mean(metric, label == value, weight);
}

static void add_same_side(struct metric *metric, double label, double value, double weight)
{
    add_to_mean(metric, label == (value > metric->threshold), weight);
}

static void add_square(struct metric *metric, double label, double value, double weight)
{
    add_to_mean(metric, (value - label) * (value - label), weight);
}

static void add_distance(struct metric *metric, double label, double value, double weight)
{
    add_to_mean(metric, fabs(value - label), weight);
}

/* Is it predicted? tf.metrics takes anything but 0 for true, Keras what is above a half. */
static bool is_true(const struct metric *metric, double value)
{
    if (metric->row->options & METRIC_THRESHOLD)
        return value > metric->threshold;
    return metric->first_tensorflow ? value != 0 : value > 0.5;
}

static void add_precision(struct metric *metric, double label, double value, double weight)
{
    if (is_true(metric, value))
        add_to_mean(metric, label != 0, weight);
}

static void add_recall(struct metric *metric, double label, double value, double weight)
{
    if (label != 0)
        add_to_mean(metric, is_true(metric, value), weight);
}

static void add_true_positive(struct metric *metric, double label, double value, double weight)
{
    metric->sum += label != 0 && is_true(metric, value) ? weight : 0;
}

static void add_false_positive(struct metric *metric, double label, double value, double weight)
{
    metric->sum += label == 0 && is_true(metric, value) ? weight : 0;
}

static void add_true_negative(struct metric *metric, double label, double value, double weight)
{
    metric->sum += label == 0 && !is_true(metric, value) ? weight : 0;
}

static void add_false_negative(struct metric *metric, double label, double value, double weight)
{
    metric->sum += label != 0 && !is_true(metric, value) ? weight : 0;
}

/* A class's number, or -1 with the first such kept for metric_check. */
static int64_t class_of(struct metric *metric, double value)
{
    if (value > -1 && value < (double)metric->classes)
        return (int64_t)value;
    if (!metric->failed)
        metric->wrong_class = value;
    metric->failed = true;
    return -1;
}

static void add_classes(struct metric *metric, double label, double value, double weight)
{
    int64_t is = class_of(metric, label), said = class_of(metric, value);
    if (is < 0 || said < 0)
        return;
    metric->labelled[is] += weight;
    metric->predicted[said] += weight;
    metric->both[is] += is == said ? weight : 0;
}

/* ---- results ------------------------------------------------------------------------------------------------- */

static double divide(double a, double b)
{
    return b != 0 ? a / b : 0;
}

static double mean_result(const struct metric *metric)
{
    return divide(metric->sum, metric->divisor);
}

/* How often the more frequent of two labels is right. */
static double majority_result(const struct metric *metric)
{
    double mean = mean_result(metric);
    return mean > 0.5 ? mean : 1 - mean;
}

static double root_result(const struct metric *metric)
{
    return sqrt(mean_result(metric));
}

static double rest_result(const struct metric *metric)
{
    return 1 - mean_result(metric);
}

static double sum_result(const struct metric *metric)
{
    return metric->sum;
}

/* Of tf.metrics' *_at_thresholds. */
static double careful_result(const struct metric *metric)
{
    return metric->first_tensorflow ? metric->sum / (metric->divisor + 1e-7) : mean_result(metric);
}

static double area_result(const struct metric *metric)
{
    return curve_area(metric, metric->curve, metric->summation);
}

/* The heads' metric: that of 1.x takes trapezoids. */
static double precision_recall_result(const struct metric *metric)
{
    return curve_area(metric, CURVE_PR, metric->first_tensorflow ? SUM_TRAPEZOIDS : SUM_INTERPOLATED);
}

/* A class without labels counts as 0. */
static double class_mean_result(const struct metric *metric)
{
    double sum = 0;
    for (int64_t c = 0; c < metric->classes; c++)
        sum += metric->labelled[c] > 0 ? metric->both[c] / metric->labelled[c] : 0;
    return sum / (double)metric->classes;
}

/* Of the classes that were seen. */
static double union_result(const struct metric *metric)
{
    double sum = 0, seen = 0;
    for (int64_t c = 0; c < metric->classes; c++) {
        double either = metric->labelled[c] + metric->predicted[c] - metric->both[c];
        sum += either > 0 ? metric->both[c] / either : metric->both[c];
        seen += either != 0;
    }
    return divide(sum, seen);
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

enum {
    BOTH = METRIC_LABELS | METRIC_KERAS,
    AT_THRESHOLD = BOTH | METRIC_THRESHOLD,
    CURVE = BOTH | METRIC_THRESHOLDS | METRIC_CURVE,
    BY_CLASS = METRIC_LABELS | METRIC_CLASSES
};
static const struct metric_row rows[] = {
    { "mean", add_value, mean_result, METRIC_KERAS },
    { "accuracy_baseline", add_value, majority_result, METRIC_KERAS }, /* of labels 0 and 1 */
    { "mean_squared_error", add_square, mean_result, BOTH },
    { "root_mean_squared_error", add_square, root_result, BOTH },
    { "mean_absolute_error", add_distance, mean_result, BOTH },
    { "mean_cosine_distance", add_value, rest_result, 0 }, /* of sums of products */
    { "percentage_below", add_below, mean_result, METRIC_THRESHOLD },
    { "accuracy", add_equal, mean_result, BOTH },
    { "binary_accuracy", add_same_side, mean_result, AT_THRESHOLD }, /* value: a probability */
    { "precision", add_precision, mean_result, BOTH },
    { "precision_at_threshold", add_precision, careful_result, AT_THRESHOLD },
    { "recall", add_recall, mean_result, BOTH },
    { "recall_at_threshold", add_recall, careful_result, AT_THRESHOLD },
    { "true_positives", add_true_positive, sum_result, BOTH },
    { "true_positives_at_threshold", add_true_positive, sum_result, AT_THRESHOLD },
    { "false_positives", add_false_positive, sum_result, BOTH },
    { "false_positives_at_threshold", add_false_positive, sum_result, AT_THRESHOLD },
    { "true_negatives", add_true_negative, sum_result, BOTH },
    { "true_negatives_at_threshold", add_true_negative, sum_result, AT_THRESHOLD },
    { "false_negatives", add_false_negative, sum_result, BOTH },
    { "false_negatives_at_threshold", add_false_negative, sum_result, AT_THRESHOLD },
    { "mean_per_class_accuracy", add_classes, class_mean_result, BY_CLASS },
    { "mean_iou", add_classes, union_result, BY_CLASS | METRIC_KERAS },
    { "auc", curve_add, area_result, CURVE },
    { "auc_precision_recall", curve_add, precision_recall_result, BOTH | METRIC_THRESHOLDS },
    { "sensitivity_at_specificity", curve_add, curve_sensitivity, METRIC_LABELS | METRIC_THRESHOLDS | METRIC_AT },
    { "specificity_at_sensitivity", curve_add, curve_specificity,
      METRIC_LABELS | METRIC_THRESHOLDS | METRIC_AT | METRIC_ENDS_BELOW_1 },
};

const struct metric_row *metric_find(const char *kind, pil_status *status)
{
    const char *names[COUNT_OF(rows)];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        names[i] = rows[i].name;
        if (strcmp(kind, rows[i].name) == 0)
            return &rows[i];
    }
    const char *nearest = nearest_word(kind, names, COUNT_OF(rows));
    if (nearest)
        status_fail(status, PIL_INVALID_ARGUMENT, "no metric is called '%s'; did you mean '%s'?", kind, nearest);
    else
        status_fail(status, PIL_INVALID_ARGUMENT, "no metric is called '%s'", kind);
    return NULL;
}

static bool make_classes(struct metric *metric, int64_t classes, pil_status *status)
{
    if (classes < 1 || classes > MOST_CLASSES)
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s needs from 1 to %d classes, not %lld", metric->row->name,
                           (int)MOST_CLASSES, (long long)classes);
    metric->classes = classes;
    metric->labelled = mem_array((size_t)classes * 3, sizeof *metric->labelled, status);
    if (!metric->labelled)
        return false;
    metric->predicted = metric->labelled + classes;
    metric->both = metric->predicted + classes;
    return true;
}

static bool prepare(struct metric *metric, const struct metric_options *options, pil_status *status)
{
    unsigned has = metric->row->options;
    metric->threshold = (double)options->threshold;
    metric->at = options->at;
    if ((has & METRIC_AT) && !(options->at >= 0 && options->at <= 1))
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: %g is not from 0 to 1", metric->row->name, options->at);
    if ((has & METRIC_THRESHOLD) && isnan(metric->threshold))
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: the threshold is not a number", metric->row->name);
    return (!(has & METRIC_CLASSES) || make_classes(metric, options->classes, status)) &&
           (!(has & METRIC_THRESHOLDS) || curve_new(metric, options, status));
}

struct metric *metric_new(const struct metric_options *options, pil_status *status)
{
    const struct metric_row *row = metric_find(options->kind, status);
    struct metric *metric = row ? mem_new(sizeof *metric, status) : NULL;
    if (!metric)
        return NULL;
    metric->row = row;
    metric->first_tensorflow = options->tensorflow == 1;
    if (!prepare(metric, options, status)) {
        metric_free(metric);
        return NULL;
    }
    return metric;
}

/* ---- batches ------------------------------------------------------------------------------------------------- */

/* A column or a row that is alone stands for all: labels [rows, 1] beside values [rows, d], a row's weight, everybody's. */
static double element(const struct tensor *tensor, int64_t row, int64_t column)
{
    int64_t i = (row < tensor->rows ? row : 0) * tensor->ld + (column < tensor->cols ? column : 0);
    switch (tensor->dtype) {
    case DTYPE_FLOAT32:
        return (double)((const float *)tensor->data)[i];
    case DTYPE_FLOAT64:
        return ((const double *)tensor->data)[i];
    case DTYPE_INT32:
        return ((const int32_t *)tensor->data)[i];
    case DTYPE_INT64:
        return (double)((const int64_t *)tensor->data)[i];
    default:
        return ((const uint8_t *)tensor->data)[i] != 0; /* a bool */
    }
}

void metric_update(struct metric *metric, const struct tensor *labels, const struct tensor *values, const struct tensor *weights)
{
    void (*add)(struct metric *, double, double, double) = metric->row->add;
    for (int64_t r = 0; r < values->rows; r++)
        for (int64_t c = 0; c < values->cols; c++)
            add(metric, labels ? element(labels, r, c) : 0, element(values, r, c), weights ? element(weights, r, c) : 1);
}

bool metric_check(const struct metric *metric, pil_status *status)
{
    if (!metric->failed)
        return true;
    return status_fail(status, PIL_BAD_DATA, "%s: %g is not one of the %lld classes 0 .. %lld", metric->row->name,
                       metric->wrong_class, (long long)metric->classes, (long long)metric->classes - 1);
}

double metric_result(const struct metric *metric)
{
    return metric->row->result(metric);
}

void metric_reset(struct metric *metric)
{
    metric->sum = metric->divisor = 0;
    metric->failed = false;
    if (metric->classes)
        memset(metric->labelled, 0, (size_t)metric->classes * 3 * sizeof *metric->labelled);
    curve_reset(metric);
}

void metric_free(struct metric *metric)
{
    if (!metric)
        return;
    mem_free(metric->labelled);
    mem_free(metric->threshold_list);
    mem_free(metric->positive);
    mem_free(metric->negative);
    mem_free(metric);
}
