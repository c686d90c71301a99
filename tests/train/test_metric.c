/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streaming metrics against their definitions: rows and columns, empty cases, classes, what is refused. Those of curves are
 * test_curve's; TensorFlow's figures, through a graph, test_metric_graph's.
 */
#include "train/metrics.h"

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
    struct metric *mean = make(&(struct metric_options){ .kind = "mean", .tensorflow = 2 }),
                  *accuracy = make(&(struct metric_options){ .kind = "accuracy", .tensorflow = 2 }),
                  *mse = make(&(struct metric_options){ .kind = "mean_squared_error", .tensorflow = 2 });
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
    static const char *const kinds[] = {
        "mean",
        "mean_squared_error",
        "root_mean_squared_error",
        "mean_absolute_error",
        "percentage_below",
        "accuracy",
        "binary_accuracy",
        "precision",
        "precision_at_threshold",
        "recall",
        "recall_at_threshold",
        "true_positives",
        "false_positives",
        "true_negatives",
        "false_negatives",
        "mean_per_class_accuracy",
        "mean_iou",
        "auc",
        "auc_precision_recall",
        "specificity_at_sensitivity",
        "sensitivity_at_specificity",
    };
    const float values[] = { 0.2f, 0.7f }, zeros[] = { 0, 0 };
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        assert_true(measure(kinds[k], 2, zeros, values, NULL, 0, 1) == 0);
        assert_true(measure(kinds[k], 2, zeros, values, zeros, 2, 2) == 0);
        assert_true(measure(kinds[k], 1, zeros, values, NULL, 0, 1) <= 1e-6); /* tf.metrics.auc of nothing */
    }
    assert_true(measure("recall", 2, zeros, values, NULL, 2, 2) == 0);
    assert_true(measure("auc", 2, zeros, values, NULL, 2, 2) == 0);
    assert_true(measure("auc_precision_recall", 2, zeros, values, NULL, 2, 2) == 0);
}

/* What is predicted and so, and the rest, in both readings of what is true. */
static void counts(void **state)
{
    (void)state;
    const float labels[] = { 1, 1, 1, 0, 0, 2 }, values[] = { 0.2f, 0.7f, 0, 0.4f, 0.9f, 0.6f },
                weights[] = { 1, 2, 4, 8, 16, 32 };
    static const struct {
        const char *kind;
        double v1, keras, at; /* not 0, above 0.5, above 0.3 */
    } list[] = {
        { "true_positives", 35, 34, 34 },
        { "false_positives", 24, 16, 24 },
        { "true_negatives", 0, 8, 0 },
        { "false_negatives", 4, 5, 5 },
        { "precision", 35.0 / 59, 34.0 / 50, 34.0 / 58 },
        { "recall", 35.0 / 39, 34.0 / 39, 34.0 / 39 },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        char name[64];
        snprintf(name, sizeof name, "%s_at_threshold", list[i].kind);
        const struct metric_options at = { .kind = name, .tensorflow = 2, .threshold = 0.3f };
        assert_true(measure(list[i].kind, 1, labels, values, weights, 6, 4) == list[i].v1);
        assert_true(measure(list[i].kind, 2, labels, values, weights, 6, 4) == list[i].keras);
        assert_true(measure_with(&at, labels, values, weights, 6, 4) == list[i].at);
    }
}

/* Classes 0 .. 3: 2 is never seen, 3 only predicted. */
static void of_classes(void **state)
{
    (void)state;
    const float labels[] = { 0, 0, 0, 1, 1 }, values[] = { 0, 1, 3, 1, 1 };
    struct metric_options options = { .kind = "mean_per_class_accuracy", .tensorflow = 1, .classes = 4 };
    assert_true(fabs(measure_with(&options, labels, values, NULL, 5, 2) - (1.0 / 3 + 1) / 4) < 1e-15);
    options.kind = "mean_iou";
    assert_true(fabs(measure_with(&options, labels, values, NULL, 5, 2) - (1.0 / 3 + 2.0 / 3 + 0) / 3) < 1e-15);
}

static void a_class_that_is_none(void **state)
{
    (void)state;
    static const float wrong[] = { 4, -1, NAN, INFINITY };
    struct metric *metric = make(&(struct metric_options){ .kind = "mean_iou", .tensorflow = 1, .classes = 4 });
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        for (int label = 0; label < 2; label++) {
            pil_status status = { 0 };
            const float fine[] = { 1, 3 }, bad[] = { 2, wrong[i] };
            struct tensor l = column(label ? bad : fine, 2), v = column(label ? fine : bad, 2);
            metric_reset(metric);
            metric_update(metric, &l, &v, NULL);
            assert_false(metric_check(metric, &status));
            assert_int_equal(status.code, PIL_BAD_DATA);
            assert_non_null(strstr(status.message, "is not one of the 4 classes 0 .. 3"));
        }
    metric_reset(metric);
    assert_true(metric_check(metric, &(pil_status){ 0 }));
    metric_free(metric);
}

static void wrong_options(void **state)
{
    (void)state;
    const struct {
        struct metric_options options;
        const char *say;
    } list[] = {
        { { .kind = "acuracy" }, "did you mean 'accuracy'?" },
        { { .kind = "qqqqqqqqqqqqqqqqqqqqqqq" }, "no metric is called" },
        { { .kind = "auc", .thresholds = 1 }, "from 2 to 1000000 thresholds, not 1" },
        { { .kind = "auc", .thresholds = INT64_MAX }, "thresholds" },
        { { .kind = "auc", .own_thresholds = (const float[]){ 0.5f, 1.5f }, .own_threshold_count = 2 },
          "the threshold 1.5 is not from 0 to 1" },
        { { .kind = "auc", .own_thresholds = (const float[]){ 0.5f }, .own_threshold_count = SIZE_MAX }, "thresholds" },
        { { .kind = "auc", .curve = "AB" }, "\"ROC\" or \"PR\", not \"AB\"" },
        { { .kind = "auc", .summation = "best" }, "no summation_method \"best\"" },
        { { .kind = "auc", .tensorflow = 1, .summation = "interpolation" }, "no summation_method" },
        { { .kind = "mean_iou" }, "from 1 to 10000000 classes, not 0" },
        { { .kind = "mean_iou", .classes = INT64_MAX }, "classes" },
        { { .kind = "percentage_below", .threshold = NAN }, "not a number" },
        { { .kind = "sensitivity_at_specificity", .at = 1.5 }, "1.5 is not from 0 to 1" },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        pil_status status = { 0 };
        assert_null(metric_new(&list[i].options, &status));
        assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
        if (!strstr(status.message, list[i].say))
            fail_msg("%d: %s", (int)i, status.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_columns), cmocka_unit_test(empty_denominators),   cmocka_unit_test(counts),
        cmocka_unit_test(of_classes),       cmocka_unit_test(a_class_that_is_none), cmocka_unit_test(wrong_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
