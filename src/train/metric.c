/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streaming metrics. Every one is a handful of weighted sums, in float64 and in the order of the rows, and a formula over
 * them at the end. The formulas are TensorFlow's: Keras's classes (2) and tf.metrics (1).
 *
 * The areas under curves keep a histogram: how much weight of either label lies between which two thresholds. What lies
 * above a threshold is then a sum over the histogram's end, so a row costs one increment and not two hundred comparisons.
 * Thresholds are -1e-7, i / (n - 1), 1 + 1e-7.
 */
#include <math.h>
#include <string.h>

#include "train/train.h"

enum { MOST_THRESHOLDS = 1000000 };

struct metric_row;
struct metric {
    const struct metric_row *row;
    bool first_tensorflow; /* tf.metrics, not Keras */
    int64_t thresholds;
    float *threshold;    /* [thresholds] ascending */
    double *positive;    /* [thresholds + 1]: weight of label 1 that is above just so many thresholds */
    double *negative;    /* the same of label 0 */
    double sum, divisor; /* a mean; precision and recall: true positives, and what they are divided by */
};
struct metric_row {
    const char *name;
    void (*add)(struct metric *metric, double label, double value, double weight);
    double (*result)(const struct metric *metric);
    bool curve; /* has thresholds */
};

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

static void add_equal(struct metric *metric, double label, double value, double weight)
{
    add_to_mean(metric, label == value, weight);
}

static void add_same_side(struct metric *metric, double label, double value, double weight)
{
    add_to_mean(metric, label == (value > 0.5), weight);
}

static void add_square(struct metric *metric, double label, double value, double weight)
{
    add_to_mean(metric, (value - label) * (value - label), weight);
}

static void add_distance(struct metric *metric, double label, double value, double weight)
{
    add_to_mean(metric, fabs(value - label), weight);
}

static void add_precision(struct metric *metric, double label, double value, double weight)
{
    if (value > 0.5)
        add_to_mean(metric, label != 0, weight);
}

static void add_recall(struct metric *metric, double label, double value, double weight)
{
    if (label != 0)
        add_to_mean(metric, value > 0.5, weight);
}

/* How many thresholds a prediction is above. Keras computes the place and never compares, which differs by one place for
 * a few floats beside a threshold; a NaN is above none. */
static int64_t thresholds_below(const struct metric *metric, float p)
{
    float place = ceilf(p * (float)(metric->thresholds - 1));
    int64_t last = metric->thresholds - 1, n = !(place > 0) ? 0 : place >= (float)last ? last : (int64_t)place;
    if (!metric->first_tensorflow)
        return isnan(p) ? 0 : MAX(n, 1);
    while (n <= last && p > metric->threshold[n])
        n++;
    while (n > 0 && !(p > metric->threshold[n - 1]))
        n--;
    return n;
}

static void add_to_curve(struct metric *metric, double label, double value, double weight)
{
    int64_t place = thresholds_below(metric, (float)value);
    if (metric->first_tensorflow)
        label = label != 0;
    metric->positive[place] += weight * label;
    metric->negative[place] += weight * (1 - label);
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

static double root_result(const struct metric *metric)
{
    return sqrt(mean_result(metric));
}

static double total(const double *histogram, int64_t thresholds)
{
    double sum = 0;
    for (int64_t i = thresholds; i >= 0; i--)
        sum += histogram[i];
    return sum;
}

/* A point of a curve, at one threshold. */
struct point {
    double x, y;
};
enum curve { CURVE_ROC, CURVE_PR };

/* tf.metrics adds 1e-6 so that it never divides by 0; Keras gives 0 there. */
static struct point curve_point(const struct metric *metric, enum curve curve, double tp, double fp, double positives,
                                double negatives)
{
    const double small = 1e-6;
    if (!metric->first_tensorflow)
        return curve == CURVE_ROC ? (struct point){ divide(fp, negatives), divide(tp, positives) }
                                  : (struct point){ divide(tp, positives), divide(tp, tp + fp) };
    double recall = (tp + small) / (positives + small);
    return curve == CURVE_ROC ? (struct point){ fp / (negatives + small), recall }
                              : (struct point){ recall, (tp + small) / (tp + fp + small) };
}

static double trapezoids(const struct metric *metric, enum curve curve)
{
    int64_t n = metric->thresholds;
    double positives = total(metric->positive, n), negatives = total(metric->negative, n);
    double tp = 0, fp = 0, area = 0;
    struct point above = { 0, 0 };
    for (int64_t i = n - 1; i >= 0; i--) { /* from the highest threshold down */
        tp += metric->positive[i + 1];
        fp += metric->negative[i + 1];
        struct point here = curve_point(metric, curve, tp, fp, positives, negatives);
        if (i < n - 1)
            area += (here.x - above.x) * (here.y + above.y) / 2;
        above = here;
    }
    return area;
}

static double roc_result(const struct metric *metric)
{
    return trapezoids(metric, CURVE_ROC);
}

/* Between two thresholds the true positives grow in proportion to the positives (Davis and Goadrich 2006): the area below
 * that curve, whose precision is no straight line. */
static double interpolated_result(const struct metric *metric)
{
    int64_t n = metric->thresholds;
    double positives = total(metric->positive, n), area = 0;
    double tp = metric->positive[n], p = tp + metric->negative[n]; /* at the upper threshold */
    for (int64_t i = n - 2; i >= 0; i--) {
        double tp_more = metric->positive[i + 1], p_more = tp_more + metric->negative[i + 1], p_below = p + p_more;
        double slope = p_more > 0 ? tp_more / p_more : 0, intercept = tp - slope * p;
        double ratio = p_below > 0 && p > 0 ? p_below / p : 1;
        area += divide(slope * (tp_more + intercept * log(ratio)), positives);
        tp += tp_more;
        p = p_below;
    }
    return area;
}

/* The binary head of 1.x takes trapezoids. */
static double precision_recall_result(const struct metric *metric)
{
    return metric->first_tensorflow ? trapezoids(metric, CURVE_PR) : interpolated_result(metric);
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

static const struct metric_row rows[] = {
    { "mean", add_value, mean_result, false },
    { "accuracy", add_equal, mean_result, false },
    { "binary_accuracy", add_same_side, mean_result, false }, /* value: a probability, 1 above 0.5 */
    { "precision", add_precision, mean_result, false },
    { "recall", add_recall, mean_result, false },
    { "auc", add_to_curve, roc_result, true },
    { "auc_precision_recall", add_to_curve, precision_recall_result, true },
    { "auc_precision_recall_careful", add_to_curve, interpolated_result, true }, /* tf.metrics.auc, careful_interpolation */
    { "mse", add_square, mean_result, false },
    { "rmse", add_square, root_result, false },
    { "mae", add_distance, mean_result, false },
};

static const struct metric_row *find_row(const char *kind, pil_status *status)
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

static bool make_thresholds(struct metric *metric, int64_t count, pil_status *status)
{
    metric->thresholds = count ? count : 200;
    if (metric->thresholds < 2 || metric->thresholds > MOST_THRESHOLDS)
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s needs from 2 to %d thresholds, not %lld", metric->row->name,
                           (int)MOST_THRESHOLDS, (long long)count);
    size_t n = (size_t)metric->thresholds;
    metric->threshold = mem_array(n, sizeof *metric->threshold, status);
    metric->positive = mem_array(n + 1, sizeof *metric->positive, status);
    metric->negative = mem_array(n + 1, sizeof *metric->negative, status);
    if (!metric->threshold || !metric->positive || !metric->negative)
        return false;
    for (size_t i = 0; i < n; i++)
        metric->threshold[i] = (float)((double)i / (double)(n - 1));
    metric->threshold[0] = -1e-7f;
    metric->threshold[n - 1] = (float)(1 + 1e-7);
    return true;
}

struct metric *metric_new(const struct metric_options *options, pil_status *status)
{
    const struct metric_row *row = find_row(options->kind, status);
    struct metric *metric = row ? mem_new(sizeof *metric, status) : NULL;
    if (!metric)
        return NULL;
    metric->row = row;
    metric->first_tensorflow = options->tensorflow == 1;
    if (row->curve && !make_thresholds(metric, options->thresholds, status)) {
        metric_free(metric);
        return NULL;
    }
    return metric;
}

/* ---- batches ------------------------------------------------------------------------------------------------- */

/* A column that is alone stands for all columns: labels [rows, 1] beside values [rows, d], a row's weight. */
static double element(const struct tensor *tensor, int64_t row, int64_t column)
{
    int64_t i = row * tensor->ld + (column < tensor->cols ? column : 0);
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

double metric_result(const struct metric *metric)
{
    return metric->row->result(metric);
}

void metric_reset(struct metric *metric)
{
    metric->sum = metric->divisor = 0;
    if (!metric->row->curve)
        return;
    memset(metric->positive, 0, (size_t)(metric->thresholds + 1) * sizeof *metric->positive);
    memset(metric->negative, 0, (size_t)(metric->thresholds + 1) * sizeof *metric->negative);
}

void metric_free(struct metric *metric)
{
    if (!metric)
        return;
    mem_free(metric->threshold);
    mem_free(metric->positive);
    mem_free(metric->negative);
    mem_free(metric);
}
