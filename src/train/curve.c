/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of many thresholds. They keep a histogram: how much weight of either label lies between which two thresholds. What
 * lies above a threshold is then a sum over the histogram's end, so a row costs one increment and not two hundred comparisons.
 *
 * Even thresholds are -1e-7, i / (n - 1), 1 + 1e-7; one's own are sorted and stand between the same ends.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/internal.h"

enum { MOST_THRESHOLDS = 1000000 };

/* ---- thresholds ---------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static bool own_thresholds(struct metric *metric, const struct metric_options *options, pil_status *status)
{
    size_t n = options->own_threshold_count;
    for (size_t i = 0; i < n; i++)
        if (!(options->own_thresholds[i] >= 0 && options->own_thresholds[i] <= 1))
            return status_fail(status, PIL_INVALID_ARGUMENT, "%s: the threshold %g is not from 0 to 1", metric->row->name,
                               (double)options->own_thresholds[i]);
    memcpy(metric->threshold_list + 1, options->own_thresholds, n * sizeof(float));
    qsort(metric->threshold_list + 1, n, sizeof(float), by_size);
    return true;
}

static bool read_curve(struct metric *metric, const struct metric_options *options, pil_status *status)
{
    static const char *const curves[] = { [CURVE_ROC] = "ROC", [CURVE_PR] = "PR" };
    static const char *const sums[] = { [SUM_TRAPEZOIDS] = "trapezoidal",
                                        [SUM_INTERPOLATED] = "careful_interpolation",
                                        [SUM_MINORING] = "minoring",
                                        [SUM_MAJORING] = "majoring" };
    size_t curve = 0, sum = 0;
    while (options->curve && curve < COUNT_OF(curves) && strcmp(options->curve, curves[curve]) != 0)
        curve++;
    if (curve == COUNT_OF(curves))
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: the curve is \"ROC\" or \"PR\", not \"%s\"", metric->row->name,
                           options->curve);
    metric->curve = (enum curve)curve;
    /* Keras's word for what is best for each curve. */
    bool keras = !metric->first_tensorflow,
         best = keras && (!options->summation || strcmp(options->summation, "interpolation") == 0);
    while (!best && options->summation && sum < COUNT_OF(sums) && strcmp(options->summation, sums[sum]) != 0)
        sum++;
    if (sum == COUNT_OF(sums)) {
        status_fail(status, PIL_INVALID_ARGUMENT, "%s: there is no summation_method \"%s\"", metric->row->name,
                    options->summation);
        return status_hint(status, "it is \"trapezoidal\", \"careful_interpolation\", \"minoring\" or \"majoring\"");
    }
    metric->summation = best ? SUM_INTERPOLATED : (enum summation)sum;
    return true;
}

bool curve_new(struct metric *metric, const struct metric_options *options, pil_status *status)
{
    bool own = options->own_thresholds != NULL;
    int64_t count = own ? (int64_t)MIN(options->own_threshold_count, MOST_THRESHOLDS) + 2 : options->thresholds;
    metric->thresholds = count ? count : 200;
    metric->even = !own;
    if (metric->thresholds < 2 || metric->thresholds > MOST_THRESHOLDS)
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s needs from 2 to %d thresholds, not %lld", metric->row->name,
                           (int)MOST_THRESHOLDS, (long long)count);
    size_t n = (size_t)metric->thresholds;
    metric->threshold_list = mem_array(n, sizeof *metric->threshold_list, status);
    metric->positive = mem_array(n + 1, sizeof *metric->positive, status);
    metric->negative = mem_array(n + 1, sizeof *metric->negative, status);
    if (!metric->threshold_list || !metric->positive || !metric->negative)
        return false;
    for (size_t i = 0; i < n && !own; i++)
        metric->threshold_list[i] = (float)((double)i / (double)(n - 1));
    if (own && !own_thresholds(metric, options, status))
        return false;
    metric->threshold_list[0] = -1e-7f;
    metric->threshold_list[n - 1] = (float)(metric->row->options & METRIC_ENDS_BELOW_1 ? 1 - 1e-7 : 1 + 1e-7);
    return !(metric->row->options & METRIC_CURVE) || read_curve(metric, options, status);
}

/* ---- what an element adds ------------------------------------------------------------------------------------ */

/* The thresholds below p among `count` ascending ones. */
static int64_t count_below(const float *thresholds, int64_t count, float p)
{
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (p > thresholds[middle])
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* How many thresholds a prediction is above. Keras computes the place among even ones and never compares, which differs by one
 * place for a few floats beside a threshold; a NaN is above none. */
static int64_t thresholds_below(const struct metric *metric, float p)
{
    if (!metric->even)
        return count_below(metric->threshold_list, metric->thresholds, p);
    float place = ceilf(p * (float)(metric->thresholds - 1));
    int64_t last = metric->thresholds - 1, n = !(place > 0) ? 0 : place >= (float)last ? last : (int64_t)place;
    if (!metric->first_tensorflow)
        return isnan(p) ? 0 : MAX(n, 1);
    while (n <= last && p > metric->threshold_list[n])
        n++;
    while (n > 0 && !(p > metric->threshold_list[n - 1]))
        n--;
    return n;
}

void curve_add(struct metric *metric, double label, double value, double weight)
{
    int64_t place = thresholds_below(metric, (float)value);
    if (metric->first_tensorflow || !metric->even)
        label = label != 0;
    metric->positive[place] += weight * label;
    metric->negative[place] += weight * (1 - label);
}

void curve_reset(struct metric *metric)
{
    size_t bytes = (size_t)(metric->thresholds + 1) * sizeof(double);
    if (!(metric->row->options & METRIC_THRESHOLDS))
        return;
    memset(metric->positive, 0, bytes);
    memset(metric->negative, 0, bytes);
}

/* ---- areas --------------------------------------------------------------------------------------------------- */

static double divide(double a, double b)
{
    return b != 0 ? a / b : 0;
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

static double height(enum summation summation, double a, double b)
{
    return summation == SUM_MINORING ? fmin(a, b) : summation == SUM_MAJORING ? fmax(a, b) : (a + b) / 2;
}

static double strips(const struct metric *metric, enum curve curve, enum summation summation)
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
            area += (here.x - above.x) * height(summation, here.y, above.y);
        above = here;
    }
    return area;
}

/* Between two thresholds the true positives grow in proportion to the positives (Davis and Goadrich 2006): the area below
 * that curve, whose precision is no straight line. */
static double interpolated(const struct metric *metric)
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

double curve_area(const struct metric *metric, enum curve curve, enum summation summation)
{
    return curve == CURVE_PR && summation == SUM_INTERPOLATED ? interpolated(metric) : strips(metric, curve, summation);
}

/* ---- one rate where the other is given ----------------------------------------------------------------------- */

#define TINY 1e-7f /* TensorFlow's, in every denominator */

/* How far a rate is from the one that is given. In float32, as TensorFlow chooses: of 67 / 135 and 68 / 135 one is nearer to a
 * half there. */
static float distance(double part, double whole, double at)
{
    return fabsf((float)part / ((float)whole + TINY) - (float)at);
}

/* Where the true negative rate is next to `at`; of equally near thresholds TensorFlow takes the lowest. */
double curve_sensitivity(const struct metric *metric)
{
    int64_t n = metric->thresholds, best = 0;
    double positives = total(metric->positive, n), negatives = total(metric->negative, n);
    double tn = 0, tp = 0;
    float nearest = INFINITY;
    for (int64_t i = 0; i < n; i++) {
        tn += metric->negative[i];
        float far = distance(tn, negatives, metric->at);
        best = far < nearest ? i : best;
        nearest = fminf(far, nearest);
    }
    for (int64_t i = n; i > best; i--)
        tp += metric->positive[i];
    return tp / (positives + (double)TINY);
}

/* Where the true positive rate is; here it takes the highest. */
double curve_specificity(const struct metric *metric)
{
    int64_t n = metric->thresholds, best = 0;
    double positives = total(metric->positive, n), negatives = total(metric->negative, n);
    double tn = 0, tp = 0;
    float nearest = INFINITY;
    for (int64_t i = n - 1; i >= 0; i--) {
        tp += metric->positive[i + 1];
        float far = distance(tp, positives, metric->at);
        best = far < nearest ? i : best;
        nearest = fminf(far, nearest);
    }
    for (int64_t i = 0; i <= best; i++)
        tn += metric->negative[i];
    return tn / (negatives + (double)TINY);
}
