/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of many thresholds: the histogram against comparing with every threshold; TensorFlow's own cases; strange
 * predictions; batches against one batch.
 */
#include "train/metrics.h"

/* TensorFlow's own test cases. */
static void tensorflow_cases(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item, thresholds;
    int count = 0;
    static float labels[MOST], p[MOST], weights[MOST], own[MOST];
    if (!golden_open(&golden, "../shared/conformance/tf_golden/metrics_auc.json")) {
        print_message("no conformance data: not checked\n");
        skip();
    }
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item);) {
        bool keras = slice_is(golden_get(&item, "metric").text, "tf.keras.metrics.AUC");
        char sum[32];
        struct slice word = golden_get(&item, "summation").text;
        snprintf(sum, sizeof sum, "%.*s", (int)word.size, word.data);
        struct metric_options options = { .kind = "auc",
                                          .tensorflow = keras ? 2 : 1,
                                          .summation = sum,
                                          .thresholds = (int64_t)golden_get(&item, "num_thresholds").number,
                                          .curve = slice_is(golden_get(&item, "curve").text, "PR") ? "PR" : "ROC" };
        if (json_get(&item, "thresholds", &thresholds) && thresholds.kind == JSON_LIST) {
            assert_true(thresholds.count <= MOST && json_floats(&thresholds, own));
            options.own_thresholds = own;
            options.own_threshold_count = thresholds.count;
        }
        int64_t n = floats_of(&item, "labels", labels);
        assert_int_equal(floats_of(&item, "predictions", p), n);
        const float *w = floats_of(&item, "weights", weights) ? weights : NULL;
        double got = measure_with(&options, labels, p, w, n, 3);
        double want = golden_get(&item, "expected").number;
        if (!(fabs(got - want) <= golden_get(&item, "tol").number))
            fail_msg("%.*s: got %.9g, want %.9g", (int)golden_get(&item, "src").text.size, golden_get(&item, "src").text.data,
                     got, want);
        count++;
    }
    golden_close(&golden);
    assert_int_equal(count, 19);
}

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
        struct metric_options options = { .kind = "auc", .tensorflow = 1, .thresholds = n };
        double got = measure_with(&options, labels, p, NULL, MOST, 100), want = area_by_comparing(labels, p, MOST, n);
        if (!(fabs(got - want) < 1e-12))
            fail_msg("%d thresholds: %.17g, by comparing %.17g", (int)n, got, want);
    }
}

static void strange_predictions(void **state)
{
    (void)state;
    const float labels[] = { 1, 0, 1, 0, 1 }, values[] = { NAN, INFINITY, -INFINITY, -3, 4 };
    for (int tensorflow = 1; tensorflow <= 2; tensorflow++) {
        double area = measure("auc", tensorflow, labels, values, NULL, 5, 5);
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
    struct metric *metric = make(&(struct metric_options){ .kind = "auc_precision_recall", .tensorflow = 2 });
    struct tensor l = column(labels, MOST), v = column(p, MOST);
    metric_update(metric, &l, &v, NULL);
    double once = metric_result(metric);
    metric_update(metric, &v, &l, NULL);
    metric_reset(metric);
    metric_update(metric, &l, &v, NULL);
    assert_true(metric_result(metric) == once);
    metric_free(metric);
    assert_true(fabs(once - measure("auc_precision_recall", 2, labels, p, NULL, MOST, 1)) < 1e-14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensorflow_cases),
        cmocka_unit_test(histogram_is_comparison),
        cmocka_unit_test(strange_predictions),
        cmocka_unit_test(reset_and_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
