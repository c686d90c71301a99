/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics as a model function makes them: TensorFlow's figures through the public constructors, in a graph that runs batch by
 * batch; shapes that are one to the original; mistakes.
 */
#include "train/metrics.h"

/* ---- a graph that measures ----------------------------------------------------------------------------------- */

enum { MOST_ARRAYS = 8 };
struct array {
    const char *name;
    const float *values;
    int64_t columns; /* 0: of shape [batch] */
};
struct bench {
    pil_status status;
    struct pil_graph *graph;
    struct array arrays[MOST_ARRAYS];
    struct pil_tensor *inputs[MOST_ARRAYS];
    int count;
    int64_t rows;
};

static struct bench bench_new(int64_t rows)
{
    struct bench bench = { .rows = rows };
    bench.graph = graph_new(&bench.status);
    assert_non_null(bench.graph);
    return bench;
}

/* An input of these values, row by row; NULL values: none. */
static struct pil_tensor *feed(struct bench *bench, const char *name, const float *values, int64_t columns)
{
    if (!values)
        return NULL;
    assert_true(bench->count < MOST_ARRAYS);
    bench->arrays[bench->count] = (struct array){ name, values, columns };
    struct shape shape = columns ? SHAPE(BATCH_DIM, columns) : SHAPE(BATCH_DIM);
    return bench->inputs[bench->count++] = graph_input(bench->graph, name, DTYPE_FLOAT32, shape, false);
}

static const struct tensor *fetched(const struct session *session, const struct pil_tensor *tensor, size_t *fetch)
{
    return tensor ? &session_fetch(session, (*fetch)++)->tensor : NULL;
}

/* As whoever evaluates does it: fetches the metric's tensors and updates with each batch. */
static double bench_run(struct bench *bench, const struct pil_metric *made, int64_t batch)
{
    struct pil_tensor *fetches[3];
    size_t count = 0;
    if (!status_ok(graph_status(bench->graph)))
        fail_msg("%s", graph_status(bench->graph)->message);
    for (int i = 0; i < 3; i++) {
        struct pil_tensor *tensor = ((struct pil_tensor *[]){ made->labels, made->values, made->weights })[i];
        if (tensor)
            fetches[count++] = tensor;
    }
    struct plan *plan = plan_compile(bench->graph, fetches, count, &bench->status);
    struct threads *threads = threads_new(2, &bench->status);
    struct session *session = session_new(plan, threads, kernel_get(), 1, &bench->status);
    struct metric *metric = metric_new(&made->options, &bench->status);
    for (int64_t first = 0; status_ok(&bench->status) && first < bench->rows; first += batch) {
        int64_t rows = MIN(batch, bench->rows - first);
        struct op_value values[MOST_ARRAYS] = { 0 };
        for (int i = 0; i < bench->count; i++) {
            struct shape shape = shape_with_batch(bench->inputs[i]->type.shape, rows);
            tensor_new(&values[i].tensor, DTYPE_FLOAT32, shape, true, &bench->status);
            tensor_unpack(bench->arrays[i].values + first * MAX(bench->arrays[i].columns, 1), &values[i].tensor);
            session_input(session, bench->arrays[i].name, &values[i]);
        }
        session_run(session, rows, 0, NULL, 0, &bench->status);
        size_t fetch = 0;
        const struct tensor *l = fetched(session, made->labels, &fetch), *v = fetched(session, made->values, &fetch);
        metric_update(metric, l, v, fetched(session, made->weights, &fetch));
        for (int i = 0; i < bench->count; i++)
            tensor_free(&values[i].tensor);
    }
    if (!status_ok(&bench->status) || !metric_check(metric, &bench->status))
        fail_msg("%s", bench->status.message);
    double result = metric_result(metric);
    metric_free(metric);
    session_free(session);
    threads_free(threads);
    plan_free(plan);
    graph_free(bench->graph);
    return result;
}

/* A metric of labels, values and weights, [batch, 1] each, by its name. */
static double measured(const char *name, const pil_metric_options *usual, const float *labels, const float *values,
                       const float *weights, int64_t rows)
{
    struct bench bench = bench_new(rows);
    pil_metric_options options = *usual;
    struct pil_tensor *l = feed(&bench, "labels", labels, 1);
    options.predictions = feed(&bench, "values", values, 1);
    options.weights = feed(&bench, "weights", weights, 1);
    return bench_run(&bench, pil_metric_make(bench.graph, name, l, &options), 37);
}

#define OPTIONS(...) (&(const pil_metric_options){ PIL_METRIC_DEFAULTS, __VA_ARGS__ })
#define USUAL OPTIONS(.predictions = NULL)

/* ---- TensorFlow's figures ------------------------------------------------------------------------------------ */

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
        static const char *const of_classes[] = { "accuracy", "precision", "recall" };
        static const char *const of_numbers[] = { "root_mean_squared_error", "mean_squared_error", "mean_absolute_error" };
        for (int i = 0; i < 3; i++) {
            expect(&values, of_classes[i], measured(of_classes[i], USUAL, labels, classes, w, n), 1e-6);
            expect(&values, of_numbers[i], measured(of_numbers[i], USUAL, r_labels, r_values, w, n), 1e-6);
        }
        expect(&values, "mean", measured("mean", USUAL, NULL, r_values, w, n), 1e-6);
        expect(&values, "auc", measured("auc", USUAL, labels, p, w, n), 2e-6);
        expect(&values, "auc_precision_recall",
               measured("auc", OPTIONS(.curve = "PR", .summation_method = "careful_interpolation"), labels, p, w, n), 2e-6);
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
    static const struct {
        const char *figure, *name;
        pil_metric_options options;
    } list[] = {
        { "keras_ROC", "auc", { PIL_METRIC_DEFAULTS, .keras = true } },
        { "keras_PR", "auc", { PIL_METRIC_DEFAULTS, .keras = true, .curve = "PR" } },
        { "keras_precision", "precision", { PIL_METRIC_DEFAULTS, .keras = true } },
        { "keras_recall", "recall", { PIL_METRIC_DEFAULTS, .keras = true } },
        { "keras_binary_accuracy", "binary_accuracy", { PIL_METRIC_DEFAULTS } },
        { "v1_ROC_trapezoidal", "auc", { PIL_METRIC_DEFAULTS } },
        { "v1_PR_trapezoidal", "auc", { PIL_METRIC_DEFAULTS, .curve = "PR" } },
        { "v1_PR_careful_interpolation",
          "auc",
          { PIL_METRIC_DEFAULTS, .curve = "PR", .summation_method = "careful_interpolation" } },
    };
    assert_true(golden_open(&golden, "tests/golden/metrics_curves.json"));
    int64_t n = floats_of(&golden.root, "labels", labels);
    assert_int_equal(floats_of(&golden.root, "predictions", p), n);
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        struct json_value values = golden_get(&item, "values");
        const float *w = floats_of(&item, "weights", weights) ? weights : NULL;
        for (size_t i = 0; i < COUNT_OF(list); i++)
            expect(&values, list[i].figure, measured(list[i].name, &list[i].options, labels, p, w, n), 1e-6);
    }
    golden_close(&golden);
    assert_int_equal(count, 2);
}

/* What a figure of metrics_more.json is of. */
enum arrays { OF_PROBABILITIES, OF_SIDES, OF_NUMBERS, OF_CLASSES, ALONE };
static const float own[] = { 0.7f, 0.1f, 0.35f, 0.5f };
static const struct {
    const char *figure, *name;
    enum arrays arrays;
    pil_metric_options options;
} more[] = {
#define COUNTS(kind)                                                                                                             \
    { kind, kind, OF_SIDES, { PIL_METRIC_DEFAULTS } },                                                                           \
    {                                                                                                                            \
        kind "_at_threshold", kind "_at_threshold", OF_PROBABILITIES,                                                            \
        {                                                                                                                        \
            PIL_METRIC_DEFAULTS, .threshold = 0.3f                                                                               \
        }                                                                                                                        \
    }
    COUNTS("true_positives"),
    COUNTS("false_positives"),
    COUNTS("true_negatives"),
    COUNTS("false_negatives"),
    { "precision_at_threshold", "precision_at_threshold", OF_PROBABILITIES, { PIL_METRIC_DEFAULTS, .threshold = 0.3f } },
    { "recall_at_threshold", "recall_at_threshold", OF_PROBABILITIES, { PIL_METRIC_DEFAULTS, .threshold = 0.3f } },
    { "precision_of_numbers", "precision", OF_NUMBERS, { PIL_METRIC_DEFAULTS } },
    { "recall_of_numbers", "recall", OF_NUMBERS, { PIL_METRIC_DEFAULTS } },
    { "percentage_below", "percentage_below", ALONE, { PIL_METRIC_DEFAULTS, .threshold = 0.3f } },
    { "mean_per_class_accuracy", "mean_per_class_accuracy", OF_CLASSES, { PIL_METRIC_DEFAULTS, .num_classes = 6 } },
    { "mean_iou", "mean_iou", OF_CLASSES, { PIL_METRIC_DEFAULTS, .num_classes = 6 } },
    { "keras_mean_iou", "mean_iou", OF_CLASSES, { PIL_METRIC_DEFAULTS, .keras = true, .num_classes = 6 } },
#define RATES(text, number)                                                                                                      \
    { "sensitivity_at_specificity_" text,                                                                                        \
      "sensitivity_at_specificity",                                                                                              \
      OF_PROBABILITIES,                                                                                                          \
      { PIL_METRIC_DEFAULTS, .at = number } },                                                                                   \
    {                                                                                                                            \
        "specificity_at_sensitivity_" text, "specificity_at_sensitivity", OF_PROBABILITIES,                                      \
        {                                                                                                                        \
            PIL_METRIC_DEFAULTS, .at = number                                                                                    \
        }                                                                                                                        \
    }
    RATES("0.5", 0.5f),
    RATES("0.8", 0.8f),
    RATES("0.95", 0.95f),
#define AREAS(of, sum)                                                                                                           \
    { "auc_" of "_" sum, "auc", OF_PROBABILITIES, { PIL_METRIC_DEFAULTS, .curve = of, .summation_method = sum } },               \
    {                                                                                                                            \
        "auc_own_" of "_" sum, "auc", OF_PROBABILITIES,                                                                          \
        {                                                                                                                        \
            PIL_METRIC_DEFAULTS, .curve = of, .summation_method = sum, .thresholds = own, .threshold_count = COUNT_OF(own)       \
        }                                                                                                                        \
    }
    AREAS("ROC", "trapezoidal"),
    AREAS("ROC", "careful_interpolation"),
    AREAS("ROC", "minoring"),
    AREAS("ROC", "majoring"),
    AREAS("PR", "trapezoidal"),
    AREAS("PR", "careful_interpolation"),
    AREAS("PR", "minoring"),
    AREAS("PR", "majoring"),
    { "keras_precision_at_threshold",
      "precision_at_threshold",
      OF_PROBABILITIES,
      { PIL_METRIC_DEFAULTS, .keras = true, .threshold = 0.3f } },
    { "keras_recall_at_threshold",
      "recall_at_threshold",
      OF_PROBABILITIES,
      { PIL_METRIC_DEFAULTS, .keras = true, .threshold = 0.3f } },
    { "keras_true_positives", "true_positives", OF_PROBABILITIES, { PIL_METRIC_DEFAULTS, .keras = true } },
    { "keras_false_negatives", "false_negatives", OF_PROBABILITIES, { PIL_METRIC_DEFAULTS, .keras = true } },
    { "keras_auc_own_PR",
      "auc",
      OF_PROBABILITIES,
      { PIL_METRIC_DEFAULTS, .keras = true, .curve = "PR", .thresholds = own, .threshold_count = 4 } },
    { "keras_auc_own_ROC",
      "auc",
      OF_PROBABILITIES,
      { PIL_METRIC_DEFAULTS, .keras = true, .thresholds = own, .threshold_count = 4 } },
    { "keras_auc_minoring_ROC", "auc", OF_PROBABILITIES, { PIL_METRIC_DEFAULTS, .keras = true, .summation_method = "minoring" } },
    { "keras_auc_majoring_PR",
      "auc",
      OF_PROBABILITIES,
      { PIL_METRIC_DEFAULTS, .keras = true, .curve = "PR", .summation_method = "majoring" } },
};

static void more_metrics(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    int count = 0;
    static float labels[MOST], p[MOST], sides[MOST], numbers[MOST], classes[MOST], said[MOST], weights[MOST];
    assert_true(golden_open(&golden, "tests/golden/metrics_more.json"));
    int64_t n = floats_of(&golden.root, "labels", labels);
    assert_int_equal(floats_of(&golden.root, "predictions", p), n);
    assert_int_equal(floats_of(&golden.root, "classes", classes), n);
    assert_int_equal(floats_of(&golden.root, "predicted_classes", said), n);
    for (int64_t i = 0; i < n; i++) {
        sides[i] = p[i] > 0.4f;
        numbers[i] = p[i] > 0.4f ? p[i] : 0;
    }
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        struct json_value values = golden_get(&item, "values");
        const float *w = floats_of(&item, "weights", weights) ? weights : NULL;
        for (size_t i = 0; i < COUNT_OF(more); i++) {
            const float *const from[] = {
                [OF_PROBABILITIES] = p, [OF_SIDES] = sides, [OF_NUMBERS] = numbers, [OF_CLASSES] = said, [ALONE] = p
            };
            const float *l = more[i].arrays == ALONE ? NULL : more[i].arrays == OF_CLASSES ? classes : labels;
            double want = golden_get(&values, more[i].figure).number;
            expect(&values, more[i].figure, measured(more[i].name, &more[i].options, l, from[more[i].arrays], w, n),
                   2e-6 * fmax(want, 1));
        }
    }
    golden_close(&golden);
    assert_int_equal(count, 2);
}

/* Those whose elements the graph computes. */
static void composed_metrics(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item, list;
    int count = 0;
    static float labels[MOST], p[MOST], normalizer[MOST], weights[MOST], u[3 * MOST], v[3 * MOST];
    assert_true(golden_open(&golden, "tests/golden/metrics_more.json"));
    int64_t n = floats_of(&golden.root, "regression_labels", labels);
    assert_int_equal(floats_of(&golden.root, "regression_predictions", p), n);
    assert_int_equal(floats_of(&golden.root, "normalizer", normalizer), n);
    assert_true(json_get(&golden.root, "u", &list) && (int64_t)list.count == 3 * n && json_floats(&list, u));
    assert_true(json_get(&golden.root, "v", &list) && (int64_t)list.count == 3 * n && json_floats(&list, v));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        struct json_value values = golden_get(&item, "values");
        const float *w = floats_of(&item, "weights", weights) ? weights : NULL;
        struct bench bench = bench_new(n);
        struct pil_tensor *weight = feed(&bench, "weights", w, 1), *a = feed(&bench, "a", labels, 1),
                          *b = feed(&bench, "b", p, 0);
        struct pil_metric *metric =
            pil_metric_mean_relative_error(bench.graph, a, b, feed(&bench, "by", normalizer, 1), .weights = weight);
        expect(&values, "mean_relative_error", bench_run(&bench, metric, 37), 1e-6);
        bench = bench_new(n);
        weight = feed(&bench, "weights", w, 1);
        a = feed(&bench, "u", u, 3);
        b = feed(&bench, "v", v, 3);
        metric = pil_metric_mean_cosine_distance(bench.graph, a, b, 1, .weights = weight);
        expect(&values, "mean_cosine_distance", bench_run(&bench, metric, 37), 1e-6);
    }
    golden_close(&golden);
    assert_int_equal(count, 2);
}

/* ---- shapes -------------------------------------------------------------------------------------------------- */

/* Two columns, with every form of weights. */
static void forms_of_weights(void **state)
{
    (void)state;
    const float labels[] = { 1, 2, 3, 4, 5, 6 }, values[] = { 2, 4, 6, 8, 10, 12 }; /* distances 1 .. 6 */
    const float each[] = { 1, 0, 2, 0, 0, 1 }, by_row[] = { 1, 0, 2 };
    for (int form = 0; form < 6; form++) {
        static const double wants[] = { 21 / 6.0, (1 + 2 * 3 + 6) / 4.0, (1 + 2 + 2 * (5 + 6)) / 6.0,
                                        21 / 6.0, (9 + 3 * 12) / 12.0,   21 / 6.0 };
        struct bench bench = bench_new(3);
        struct pil_tensor *l = feed(&bench, "labels", labels, 2), *v = feed(&bench, "values", values, 2), *w = NULL;
        if (form == 1)
            w = feed(&bench, "weights", each, 2);
        if (form == 2)
            w = feed(&bench, "weights", by_row, 1);
        if (form == 3)
            w = graph_scalar(bench.graph, 3);
        if (form == 4)
            w = graph_constant(bench.graph, SHAPE(1, 2), (const float[]){ 1, 3 });
        if (form == 5)
            w = graph_constant(bench.graph, SHAPE(1, 1), (const float[]){ 5 });
        double got = bench_run(&bench, pil_metric_mean_absolute_error(bench.graph, l, v, .weights = w), 2);
        if (!(fabs(got - wants[form]) < 1e-12))
            fail_msg("form %d: %g, not %g", form, got, wants[form]);
    }
}

/* [batch] and [batch, 1] are one; a scalar may be averaged over batches. */
static void ends_of_one(void **state)
{
    (void)state;
    const float labels[] = { 1, 2, 3 }, values[] = { 2, 2, 5 }, weights[] = { 1, 5, 3 };
    for (int flat = 0; flat < 8; flat++) {
        struct bench bench = bench_new(3);
        struct pil_tensor *l = feed(&bench, "labels", labels, flat & 1), *v = feed(&bench, "values", values, flat >> 1 & 1);
        struct pil_tensor *w = feed(&bench, "weights", weights, flat >> 2);
        assert_true(bench_run(&bench, pil_metric_mean_squared_error(bench.graph, l, v, .weights = w), 2) == 13 / 9.0);
    }
    struct bench bench = bench_new(3);
    struct pil_tensor *sum = graph_op1(bench.graph, "sum_all", NULL, feed(&bench, "values", values, 1));
    assert_true(bench_run(&bench, pil_metric_mean(bench.graph, sum), 2) == 4.5); /* of 4 and 5 */
}

/* ---- mistakes ------------------------------------------------------------------------------------------------ */

struct made {
    struct pil_graph *g;
    struct pil_tensor *flat, *one, *three, *five, *ids, *foreign;
};
static void m_shapes(struct made *m)
{
    pil_metric_accuracy(m->g, m->three, m->five);
}
static void m_alias(struct made *m)
{
    pil_root_mean_squared_error(m->g, m->flat, m->three);
}
static void m_null(struct made *m)
{
    pil_metric_recall(m->g, NULL, m->one);
}
static void m_no_values(struct made *m)
{
    pil_metric_mean(m->g, NULL);
}
static void m_sparse(struct made *m)
{
    pil_metric_precision(m->g, m->ids, m->one);
}
static void m_foreign(struct made *m)
{
    pil_metric_mean_absolute_error(m->g, m->foreign, m->one);
}
static void m_weights(struct made *m)
{
    pil_metric_mean(m->g, m->three, .weights = m->five);
}
static void m_flat_weights(struct made *m)
{
    pil_metric_mean(m->g, m->three, .weights = m->flat);
}
static void m_option(struct made *m)
{
    pil_metric_accuracy(m->g, m->one, m->one, .curve = "PR");
}
static void m_keras(struct made *m)
{
    pil_metric_percentage_below(m->g, m->one, 0.5f, .keras = true);
}
static void m_curve(struct made *m)
{
    pil_metric_auc(m->g, m->one, m->one, .curve = "pr");
}
static void m_classes(struct made *m)
{
    pil_metric_mean_iou(m->g, m->one, m->one, 0);
}
static void m_unknown(struct made *m)
{
    PIL_METRIC(m->g, "mean_squared_eror", m->one, .predictions = m->one);
}
static void m_labelled(struct made *m)
{
    PIL_METRIC(m->g, "mean", m->one, .predictions = m->one);
}
static void m_normalizer(struct made *m)
{
    pil_metric_mean_relative_error(m->g, m->one, m->one, m->three);
}
static void m_axis(struct made *m)
{
    pil_metric_mean_cosine_distance(m->g, m->three, m->three, 7);
}
static void m_reserved(struct made *m)
{
    PIL_METRICS(m->g, { "loss", pil_metric_mean(m->g, m->one) });
}
static void m_reserved_step(struct made *m)
{
    PIL_METRICS(m->g, { "a", pil_metric_mean(m->g, m->one) }, { "global_step", pil_metric_mean(m->g, m->one) });
}
static void m_twice(struct made *m)
{
    PIL_METRICS(m->g, { "a", pil_metric_mean(m->g, m->one) }, { "a", pil_metric_mean(m->g, m->one) });
}
static void m_nameless(struct made *m)
{
    PIL_METRICS(m->g, { NULL, pil_metric_mean(m->g, m->one) });
}
static void m_no_metric(struct made *m)
{
    PIL_METRICS(m->g, { "a", NULL });
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        void (*make)(struct made *made);
        const char *say;
    } list[] = {
        { m_shapes, "head/accuracy: labels and predictions must have one shape; the labels, three, are [?, 3], the predictions, "
                    "five, are [?, 5]" },
        { m_alias, "root_mean_squared_error: labels and predictions must have one shape" },
        { m_null, "recall: the labels are NULL (targets are, in PREDICT and where the data have no label)" },
        { m_no_values, "mean: the predictions are NULL" },
        { m_sparse, "precision: the labels, ids, are sparse" },
        { m_foreign, "mean_absolute_error: the labels, foreign, belong to another graph" },
        { m_weights, "mean: the weights, five, are [?, 5] and do not fit predictions of [?, 3]" },
        { m_flat_weights, "mean: the weights, flat, are [?] and do not fit predictions of [?, 3]" },
        { m_option, "accuracy: it has no option .curve" },
        { m_keras, "percentage_below: it has no option .keras" },
        { m_curve, "auc: the curve is \"ROC\" or \"PR\", not \"pr\"" },
        { m_classes, "mean_iou needs from 1" },
        { m_unknown, "no metric is called 'mean_squared_eror'; did you mean 'mean_squared_error'?" },
        { m_labelled, "mean: it has no labels" },
        { m_normalizer, "normalizer and predictions must have one shape" },
        { m_axis, "reduce_sum" },
        { m_reserved, "a metric may not be named 'loss'" },
        { m_reserved_step, "a metric may not be named 'global_step'" },
        { m_twice, "two metrics are named 'a'" },
        { m_nameless, "metric 1 has no name" },
        { m_no_metric, "the metric 'a' is NULL" },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        pil_status status = { 0 };
        struct pil_graph *g = graph_new(&status), *other = graph_new(&status);
        struct made made = { g,
                             graph_input(g, "flat", DTYPE_FLOAT32, SHAPE(BATCH_DIM), false),
                             graph_input(g, "one", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false),
                             graph_input(g, "three", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3), false),
                             graph_input(g, "five", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 5), false),
                             graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true),
                             graph_input(other, "foreign", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false) };
        graph_push_scope(g, "head");
        list[i].make(&made);
        if (!strstr(graph_status(g)->message, list[i].say))
            fail_msg("case %d: %s", (int)i, graph_status(g)->message);
        assert_int_equal(graph_status(g)->code, PIL_INVALID_ARGUMENT);
        pil_status first = *graph_status(g); /* stays; builders go on and return objects */
        assert_non_null(pil_metric_auc(g, made.one, made.five));
        assert_non_null(pil_metric_mean_relative_error(g, made.one, made.one, made.one));
        assert_int_equal(PIL_METRICS(g, { "x", pil_metric_mean(g, made.one) }).count, 0);
        assert_string_equal(graph_status(g)->message, first.message);
        graph_free(g);
        graph_free(other);
    }
}

/* Names, words and lists may go as soon as the call is over. */
static void copied(void **state)
{
    (void)state;
    struct bench bench = bench_new(4);
    const float labels[] = { 0, 0, 1, 1 }, values[] = { 0.1f, 0.4f, 0.35f, 0.8f };
    char name[] = "area", curve[] = "PR", sum[] = "careful_interpolation";
    float thresholds[] = { 0.5f, 0.2f };
    struct pil_tensor *l = feed(&bench, "labels", labels, 1), *v = feed(&bench, "values", values, 1);
    pil_metrics metrics = PIL_METRICS(bench.graph,
                                      { name, pil_metric_auc(bench.graph, l, v, .curve = curve, .summation_method = sum,
                                                             .thresholds = thresholds, .threshold_count = 2) },
                                      { "rmse", pil_root_mean_squared_error(bench.graph, l, v) });
    memset(name, 'x', sizeof name - 1);
    memset(curve, 'x', sizeof curve - 1);
    memset(sum, 'x', sizeof sum - 1);
    thresholds[0] = 9;
    assert_int_equal(metrics.count, 2);
    assert_string_equal(metrics.items[0].name, "area");
    assert_string_equal(metrics.items[1].name, "rmse");
    double got = bench_run(&bench, metrics.items[0].metric, 4);
    struct metric_options same = { .kind = "auc",
                                   .tensorflow = 1,
                                   .curve = "PR",
                                   .summation = "careful_interpolation",
                                   .own_thresholds = (const float[]){ 0.2f, 0.5f },
                                   .own_threshold_count = 2 };
    assert_true(got == measure_with(&same, labels, values, NULL, 4, 4));
    assert_true(pil_mean_relative_error_options_default().weights == NULL);
    assert_true(pil_mean_cosine_distance_options_default().dim == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tf_metrics),       cmocka_unit_test(curves_with_ties), cmocka_unit_test(more_metrics),
        cmocka_unit_test(composed_metrics), cmocka_unit_test(forms_of_weights), cmocka_unit_test(ends_of_one),
        cmocka_unit_test(refusals),         cmocka_unit_test(copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
