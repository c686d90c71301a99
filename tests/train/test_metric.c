/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streaming metrics against TensorFlow's figures: those of tf.metrics and of Keras, on data with ties, weights and empty
 * cases; the histogram against comparing with every threshold; batches against one batch.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "train/train.h"

#include "kernel/golden.h"

enum { MOST = 512 };

static struct metric *make(const char *kind, int tensorflow, int64_t thresholds)
{
    pil_status status = { 0 };
    struct metric *metric = metric_new(&(struct metric_options){ kind, tensorflow, thresholds }, &status);
    if (!metric)
        fail_msg("%s", status.message);
    return metric;
}

static struct tensor column(const float *values, int64_t rows)
{
    return tensor_view((void *)values, DTYPE_FLOAT32, SHAPE(rows, 1), true);
}

/* The metric of all rows, in batches of `batch`. */
static double measure(const char *kind, int tensorflow, int64_t thresholds, const float *labels, const float *values,
                      const float *weights, int64_t rows, int64_t batch)
{
    struct metric *metric = make(kind, tensorflow, thresholds);
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

static int64_t floats_of(const struct json_value *map, const char *key, float *out)
{
    struct json_value list;
    if (!json_get(map, key, &list) || list.kind != JSON_LIST)
        return 0;
    assert_true(list.count <= MOST && json_floats(&list, out));
    return (int64_t)list.count;
}

static void expect(const struct json_value *values, const char *name, double got, double tolerance)
{
    double want = golden_get(values, name).number;
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: got %.9g, want %.9g", name, got, want);
}

/* ---- golden -------------------------------------------------------------------------------------------------- */

static void tf_metrics(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    int count = 0;
    static float labels[MOST], p[MOST], classes[MOST], r_labels[MOST], r_values[MOST], weights[MOST];
    assert_true(golden_open(&golden, "tests/golden/losses_metrics.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item);) {
        if (!slice_is(golden_get(&item, "kind").text, "metrics"))
            continue;
        struct json_value values = golden_get(&item, "values");
        int64_t n = floats_of(&item, "labels", labels);
        assert_int_equal(floats_of(&item, "probabilities", p), n);
        assert_int_equal(floats_of(&item, "regression_labels", r_labels), n);
        assert_int_equal(floats_of(&item, "regression_predictions", r_values), n);
        const float *w = floats_of(&item, "weights", weights) ? weights : NULL;
        for (int64_t i = 0; i < n; i++)
            classes[i] = p[i] > 0.5f;
        expect(&values, "accuracy", measure("accuracy", 1, 0, labels, classes, w, n, 37), 1e-6);
        expect(&values, "precision", measure("precision", 1, 0, labels, classes, w, n, 37), 1e-6);
        expect(&values, "recall", measure("recall", 1, 0, labels, classes, w, n, 37), 1e-6);
        expect(&values, "auc", measure("auc", 1, 200, labels, p, w, n, 37), 2e-6);
        expect(&values, "auc_precision_recall", measure("auc_precision_recall_careful", 1, 200, labels, p, w, n, 37), 2e-6);
        expect(&values, "mean", measure("mean", 1, 0, NULL, r_values, w, n, 37), 1e-6);
        expect(&values, "root_mean_squared_error", measure("rmse", 1, 0, r_labels, r_values, w, n, 37), 1e-6);
        expect(&values, "mean_absolute_error", measure("mae", 1, 0, r_labels, r_values, w, n, 37), 1e-6);
        expect(&values, "mean_squared_error", measure("mse", 1, 0, r_labels, r_values, w, n, 37), 1e-6);
        count++;
    }
    golden_close(&golden);
    assert_int_equal(count, 2);
}

/* Predictions on the thresholds: Keras and tf.metrics differ there, and so must ours. */
static void curves_with_ties(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    int count = 0;
    static float labels[MOST], p[MOST], weights[MOST];
    assert_true(golden_open(&golden, "tests/golden/metrics_curves.json"));
    int64_t n = floats_of(&golden.root, "labels", labels);
    assert_int_equal(floats_of(&golden.root, "predictions", p), n);
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        struct json_value values = golden_get(&item, "values");
        const float *w = floats_of(&item, "weights", weights) ? weights : NULL;
        expect(&values, "keras_ROC", measure("auc", 2, 200, labels, p, w, n, 64), 1e-6);
        expect(&values, "keras_PR", measure("auc_precision_recall", 2, 200, labels, p, w, n, 64), 1e-6);
        expect(&values, "keras_precision", measure("precision", 2, 0, labels, p, w, n, 64), 1e-6);
        expect(&values, "keras_recall", measure("recall", 2, 0, labels, p, w, n, 64), 1e-6);
        expect(&values, "keras_binary_accuracy", measure("binary_accuracy", 2, 0, labels, p, w, n, 64), 1e-6);
        expect(&values, "v1_ROC_trapezoidal", measure("auc", 1, 200, labels, p, w, n, 64), 1e-6);
        expect(&values, "v1_PR_trapezoidal", measure("auc_precision_recall", 1, 200, labels, p, w, n, 64), 1e-6);
        expect(&values, "v1_PR_careful_interpolation", measure("auc_precision_recall_careful", 1, 200, labels, p, w, n, 64),
               1e-6);
    }
    golden_close(&golden);
    assert_int_equal(count, 2);
}

/* TensorFlow's own test cases; those with thresholds of one's own or other sums have no counterpart here. */
static void tensorflow_cases(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item, thresholds;
    int count = 0;
    static float labels[MOST], p[MOST], weights[MOST];
    if (!golden_open(&golden, "../shared/conformance/tf_golden/metrics_auc.json")) {
        print_message("no conformance data: not checked\n");
        skip();
    }
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item);) {
        bool keras = slice_is(golden_get(&item, "metric").text, "tf.keras.metrics.AUC"),
             pr = slice_is(golden_get(&item, "curve").text, "PR");
        struct slice sum = golden_get(&item, "summation").text;
        bool own = json_get(&item, "thresholds", &thresholds) && thresholds.kind == JSON_LIST;
        if (own || slice_is(sum, "majoring") || slice_is(sum, "minoring"))
            continue;
        int64_t n = floats_of(&item, "labels", labels);
        assert_int_equal(floats_of(&item, "predictions", p), n);
        const float *w = floats_of(&item, "weights", weights) ? weights : NULL;
        const char *kind = !pr                                      ? "auc"
                           : slice_is(sum, "careful_interpolation") ? "auc_precision_recall_careful"
                                                                    : "auc_precision_recall";
        double got = measure(kind, keras ? 2 : 1, (int64_t)golden_get(&item, "num_thresholds").number, labels, p, w, n, 3);
        double want = golden_get(&item, "expected").number;
        if (!(fabs(got - want) <= golden_get(&item, "tol").number))
            fail_msg("%.*s: got %.9g, want %.9g", (int)golden_get(&item, "src").text.size, golden_get(&item, "src").text.data,
                     got, want);
        count++;
    }
    golden_close(&golden);
    assert_int_equal(count, 14);
}

/* ---- the histogram against its definition -------------------------------------------------------------------- */

static double area_by_comparing(const float *labels, const float *p, int64_t rows, int64_t n)
{
    double area = 0, above_x = 0, above_y = 0, positives = 0, negatives = 0;
    for (int64_t r = 0; r < rows; r++)
        *(labels[r] != 0 ? &positives : &negatives) += 1;
    for (int64_t i = n - 1; i >= 0; i--) {
        float threshold = i == 0 ? -1e-7f : i == n - 1 ? (float)(1 + 1e-7) : (float)((double)i / (double)(n - 1));
        double tp = 0, fp = 0;
        for (int64_t r = 0; r < rows; r++)
            if (p[r] > threshold)
                *(labels[r] != 0 ? &tp : &fp) += 1;
        double x = fp / (negatives + 1e-6), y = (tp + 1e-6) / (positives + 1e-6);
        area += i < n - 1 ? (x - above_x) * (y + above_y) / 2 : 0;
        above_x = x;
        above_y = y;
    }
    return area;
}

static void histogram_is_comparison(void **state)
{
    (void)state;
    static float labels[MOST], p[MOST];
    static const int64_t counts[] = { 2, 3, 10, 200, 1000 };
    struct random_key key = random_key(3, "auc");
    for (size_t k = 0; k < COUNT_OF(counts); k++) {
        int64_t n = counts[k];
        for (int64_t i = 0; i < MOST; i++) {
            labels[i] = random_uniform(key, 0, (uint64_t)i) < 0.5f;
            int64_t place = (int64_t)random_below(key, 1, (uint64_t)i, (uint64_t)n);
            p[i] = (float)((double)place / (double)(n - 1));
            if (i % 3 == 1)
                p[i] = nextafterf(p[i], i % 2 ? 2 : -1);
            if (i % 3 == 2)
                p[i] = random_uniform(key, 2, (uint64_t)i);
        }
        double got = measure("auc", 1, n, labels, p, NULL, MOST, 100), want = area_by_comparing(labels, p, MOST, n);
        if (!(fabs(got - want) < 1e-12))
            fail_msg("%d thresholds: %.17g, by comparing %.17g", (int)n, got, want);
    }
}

/* ---- the rest ------------------------------------------------------------------------------------------------ */

/* Several columns, a row's weight for all of them, other types, what lies in the pads; then empty again. */
static void rows_and_columns(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct tensor values;
    assert_true(tensor_new(&values, DTYPE_FLOAT32, SHAPE(3, 2), true, &status));
    const float numbers[3][2] = { { 1, 2 }, { 3, 5 }, { 7, 11 } };
    for (int r = 0; r < 3; r++)
        for (int64_t c = 0; c < values.ld; c++)
            tensor_floats(&values)[r * values.ld + c] = c < 2 ? numbers[r][c] : 1000;
    const float weights[] = { 1, 0, 2 };
    const int64_t labels[] = { 1, 5, 7 };
    struct tensor w = column(weights, 3), l = tensor_view((void *)labels, DTYPE_INT64, SHAPE(3, 1), true);
    struct metric *mean = make("mean", 2, 0), *accuracy = make("accuracy", 2, 0), *mse = make("mse", 2, 0);
    metric_update(mean, NULL, &values, &w);
    metric_update(accuracy, &l, &values, NULL);
    metric_update(mse, &l, &values, &w);
    assert_true(metric_result(mean) == (1 + 2 + 2 * 7 + 2 * 11) / 6.0);
    assert_true(metric_result(accuracy) == 3 / 6.0); /* 1 = 1, 5 = 5, 7 = 7 of six */
    assert_true(metric_result(mse) == (0 + 1 + 0 + 2 * 16) / 6.0);
    metric_reset(mean);
    assert_true(metric_result(mean) == 0);
    metric_update(mean, NULL, &values, NULL);
    assert_true(fabs(metric_result(mean) - 29 / 6.0) < 1e-15);
    metric_free(mean);
    metric_free(accuracy);
    metric_free(mse);
    tensor_free(&values);
    metric_free(NULL);
}

/* Nothing seen, or only weight 0, or one class: 0 and never a NaN. */
static void empty_denominators(void **state)
{
    (void)state;
    static const char *const kinds[] = { "mean",
                                         "accuracy",
                                         "binary_accuracy",
                                         "precision",
                                         "recall",
                                         "auc",
                                         "auc_precision_recall",
                                         "auc_precision_recall_careful",
                                         "mse",
                                         "rmse",
                                         "mae" };
    const float values[] = { 0.2f, 0.7f }, zeros[] = { 0, 0 };
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        assert_true(measure(kinds[k], 2, 0, zeros, values, NULL, 0, 1) == 0);
        assert_true(measure(kinds[k], 2, 0, zeros, values, zeros, 2, 2) == 0);
    }
    assert_true(measure("recall", 2, 0, zeros, values, NULL, 2, 2) == 0);
    assert_true(measure("auc", 2, 0, zeros, values, NULL, 2, 2) == 0);
    assert_true(measure("auc_precision_recall", 2, 0, zeros, values, NULL, 2, 2) == 0);
}

static void strange_predictions(void **state)
{
    (void)state;
    const float labels[] = { 1, 0, 1, 0, 1 }, values[] = { NAN, INFINITY, -INFINITY, -3, 4 };
    for (int tensorflow = 1; tensorflow <= 2; tensorflow++) {
        double area = measure("auc", tensorflow, 200, labels, values, NULL, 5, 5);
        assert_true(area >= 0 && area <= 1);
    }
}

/* A reset metric is as good as new, batches make no difference. */
static void reset_and_batches(void **state)
{
    (void)state;
    static float labels[MOST], p[MOST];
    struct random_key key = random_key(4, "auc");
    for (int64_t i = 0; i < MOST; i++) {
        labels[i] = random_uniform(key, 0, (uint64_t)i) < 0.3f;
        p[i] = random_uniform(key, 1, (uint64_t)i);
    }
    struct metric *metric = make("auc_precision_recall", 2, 200);
    struct tensor l = column(labels, MOST), v = column(p, MOST);
    metric_update(metric, &l, &v, NULL);
    double once = metric_result(metric);
    metric_update(metric, &v, &l, NULL);
    metric_reset(metric);
    metric_update(metric, &l, &v, NULL);
    assert_true(metric_result(metric) == once);
    metric_free(metric);
    assert_true(fabs(once - measure("auc_precision_recall", 2, 200, labels, p, NULL, MOST, 1)) < 1e-14);
}

static void wrong_options(void **state)
{
    (void)state;
    pil_status status = { 0 };
    assert_null(metric_new(&(struct metric_options){ "acuracy", 2, 0 }, &status));
    assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "did you mean 'accuracy'?"));
    status_clear(&status);
    assert_null(metric_new(&(struct metric_options){ "auc", 2, 1 }, &status));
    assert_non_null(strstr(status.message, "thresholds"));
    status_clear(&status);
    assert_null(metric_new(&(struct metric_options){ "auc", 2, INT64_MAX }, &status));
    assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tf_metrics),          cmocka_unit_test(curves_with_ties),
        cmocka_unit_test(tensorflow_cases),    cmocka_unit_test(histogram_is_comparison),
        cmocka_unit_test(rows_and_columns),    cmocka_unit_test(empty_denominators),
        cmocka_unit_test(strange_predictions), cmocka_unit_test(reset_and_batches),
        cmocka_unit_test(wrong_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
