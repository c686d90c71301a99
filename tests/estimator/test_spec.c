/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of specs that no maker has checked before: a program in another language may fill the structs by hand. What is right
 * passes, whatever mode it is for.
 */
#include "custom.h"

/* A graph with the tensors that specs are made of. */
struct scene {
    pil_graph *g;
    pil_tensor *x, *row, *constant, *scalar, *sum, *ids;
    pil_metric *metric;
    pil_train_op *train_op;
};

static struct scene scene_new(void)
{
    pil_status status = { 0 };
    struct scene s = { .g = graph_new(&status) };
    s.x = graph_input(s.g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3), false);
    s.ids = graph_input(s.g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true);
    s.row = pil_reduce_sum(s.g, s.x, .axis = PIL_AXES(1));
    s.constant = pil_constant(s.g, (float[]){ 1, 2, 3 }, PIL_SHAPE(3));
    s.sum = pil_reduce_sum(s.g, s.x);
    pil_tensor *w = pil_variable(s.g, "w", pil_zeros(s.g, PIL_SHAPE(3, 1)));
    s.scalar = pil_reduce_mean(s.g, pil_matmul(s.g, s.x, w));
    s.metric = pil_metric_mean(s.g, s.x);
    s.train_op = pil_minimize(s.g, pil_gradient_descent_optimizer(0.1f), s.scalar);
    expect_ok(pil_graph_status(s.g));
    return s;
}

static pil_estimator_spec good(const struct scene *s, pil_mode mode)
{
    return (pil_estimator_spec){ .mode = mode,
                                 .predictions = PIL_DICT(s->g, { "row", s->row }, { "x", s->x }, { "constant", s->constant }),
                                 .loss = s->scalar,
                                 .train_op = s->train_op,
                                 .eval_metric_ops = PIL_METRICS(s->g, { "mean", s->metric }) };
}

static void expect_spec(const struct scene *s, const pil_estimator_spec *spec, const char *const *words)
{
    pil_status status = { 0 };
    bool passed = spec_check(spec, s->g, spec->mode, &status);
    assert_true(passed == (words == NULL));
    if (words)
        expect_error(words[0], status, PIL_INVALID_ARGUMENT, words);
    expect_ok(pil_graph_status(s->g)); /* a check leaves the graph alone */
}
#define EXPECT_WRONG(s, spec, ...) expect_spec((s), &(spec), (const char *const[]){ __VA_ARGS__, NULL })

static void test_right_ones(void **state)
{
    (void)state;
    struct scene s = scene_new();
    static const char *const words[] = { "a", "b", "c" };
    for (int mode = PIL_TRAIN; mode <= PIL_PREDICT; mode++) {
        pil_estimator_spec spec = good(&s, (pil_mode)mode);
        expect_spec(&s, &spec, NULL);
        spec.export_outputs = PIL_EXPORTS(s.g, { "row", pil_regression_output(s.row) });
        expect_spec(&s, &spec, NULL);
        spec.export_outputs = PIL_EXPORTS(s.g, { "serving_default", pil_classification_output(s.x, words, 3) },
                                          { "numbers", pil_classification_output(s.x, NULL, 0) },
                                          { "all", pil_predict_output(PIL_DICT(s.g, { "x", s.x })) });
        expect_spec(&s, &spec, NULL);
    }
    pil_estimator_spec spec = { .mode = PIL_TRAIN, .loss = s.scalar, .train_op = s.train_op }; /* no more is needed */
    expect_spec(&s, &spec, NULL);
    spec = (pil_estimator_spec){ .mode = PIL_EVAL, .loss = s.scalar };
    expect_spec(&s, &spec, NULL);
    spec = (pil_estimator_spec){ .mode = PIL_PREDICT, .predictions = PIL_DICT(s.g, { "x", s.x }) };
    expect_spec(&s, &spec, NULL);
    graph_free(s.g);
}

static void test_predictions(void **state)
{
    (void)state;
    struct scene s = scene_new();
    const struct {
        pil_named_tensor items[2];
        const char *words[4];
    } rows[] = {
        { { { NULL, s.x }, { "b", s.x } }, { "prediction 1 has no name" } },
        { { { "a", s.x }, { "", s.x } }, { "prediction 2 has no name" } },
        { { { "a", s.x }, { "a", s.row } }, { "two predictions", "'a'" } },
        { { { "a", NULL }, { "b", s.x } }, { "'a'", "NULL" } },
        { { { "a", s.ids }, { "b", s.x } }, { "'a'", "sparse" } },
        { { { "a", s.x }, { "b", s.sum } }, { "'b'", "a row for each row of the batch" } },
        { { { "a", graph_error_tensor(s.g) }, { "b", s.x } }, { "'a'", "another graph" } },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        pil_estimator_spec spec = good(&s, PIL_PREDICT);
        spec.predictions = (pil_dict){ rows[i].items, 2 };
        expect_spec(&s, &spec, rows[i].words);
    }
    graph_free(s.g);
}

static void test_metrics(void **state)
{
    (void)state;
    struct scene s = scene_new();
    char long_name[PIL_METRIC_NAME + 1];
    memset(long_name, 'm', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const struct {
        pil_named_metric items[2];
        const char *words[4];
    } rows[] = {
        { { { NULL, s.metric }, { "b", s.metric } }, { "metric 1 has no name" } },
        { { { "a", s.metric }, { long_name, s.metric } }, { "metric 2", "96" } },
        { { { "a", s.metric }, { "a", s.metric } }, { "two metrics", "'a'" } },
        { { { "a", s.metric }, { "global_step", s.metric } }, { "'global_step'", "the Estimator" } },
        { { { "a", s.metric }, { "b", NULL } }, { "'b'", "NULL" } },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        pil_estimator_spec spec = good(&s, PIL_EVAL);
        spec.eval_metric_ops = (pil_metrics){ rows[i].items, 2 };
        expect_spec(&s, &spec, rows[i].words);
    }
    pil_named_metric many[PIL_MAX_METRICS];
    char names[PIL_MAX_METRICS][16];
    for (int i = 0; i < PIL_MAX_METRICS; i++) {
        snprintf(names[i], sizeof names[i], "m%d", i);
        many[i] = (pil_named_metric){ names[i], s.metric };
    }
    pil_estimator_spec spec = good(&s, PIL_EVAL);
    spec.eval_metric_ops = (pil_metrics){ many, PIL_MAX_METRICS - 1 };
    expect_spec(&s, &spec, NULL);
    spec.eval_metric_ops.count++;
    EXPECT_WRONG(&s, spec, "64 metrics", "63");
    graph_free(s.g);
}

static void test_exports(void **state)
{
    (void)state;
    struct scene s = scene_new();
    static const char *const words[] = { "a", "b" };
    const pil_named_tensor null = { "n", NULL }, sparse = { "n", s.ids };
    const pil_export_output fine = pil_regression_output(s.row);
    const struct {
        pil_named_export items[2];
        const char *words[4];
    } rows[] = {
        { { { NULL, fine }, { "serving_default", fine } }, { "export output 1 has no name" } },
        { { { "serving_default", fine }, { "", fine } }, { "export output 2 has no name" } },
        { { { "serving_default", fine }, { "serving_default", fine } }, { "two export outputs", "'serving_default'" } },
        { { { "serving_default", fine }, { "b", pil_regression_output(NULL) } }, { "'b'", "NULL" } },
        { { { "serving_default", fine }, { "b", pil_regression_output(s.x) } }, { "'b'", "[?, 3]", "one number a row" } },
        { { { "serving_default", fine }, { "b", pil_regression_output(s.sum) } }, { "'b'", "one number a row" } },
        { { { "serving_default", fine }, { "b", pil_classification_output(s.row, NULL, 0) } },
          { "'b'", "[?]", "a score for each class" } },
        { { { "serving_default", fine }, { "b", pil_classification_output(s.x, words, 2) } }, { "'b'", "2 words", "[?, 3]" } },
        { { { "serving_default", fine }, { "b", pil_predict_output((pil_dict){ &null, 1 }) } }, { "'b'", "NULL" } },
        { { { "serving_default", fine }, { "b", pil_predict_output((pil_dict){ &sparse, 1 }) } }, { "'b'", "sparse" } },
        { { { "serving_default", fine }, { "b", { .kind = (pil_export_kind)9 } } }, { "'b'", "kind 9" } },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (int mode = PIL_TRAIN; mode <= PIL_PREDICT; mode++) {
            pil_estimator_spec spec = good(&s, (pil_mode)mode);
            spec.export_outputs = (pil_exports){ rows[i].items, 2 };
            expect_spec(&s, &spec, rows[i].words);
        }
    graph_free(s.g);
}

static void test_hooks_and_mode(void **state)
{
    (void)state;
    struct scene s = scene_new();
    const pil_named_tensor nameless = { NULL, s.x };
    pil_estimator_spec spec = good(&s, PIL_EVAL);
    spec.evaluation_hooks[0] = (pil_hook){ .fetches = { &nameless, 1 } };
    spec.evaluation_hook_count = 1;
    EXPECT_WRONG(&s, spec, "evaluation_hooks", "NULL");
    spec = good(&s, PIL_PREDICT);
    spec.prediction_hook_count = 9;
    EXPECT_WRONG(&s, spec, "prediction_hooks has 9 hooks", "4");
    spec = good(&s, PIL_EVAL);
    spec.mode = (pil_mode)7;
    pil_status status = { 0 };
    assert_false(spec_check(&spec, s.g, PIL_EVAL, &status));
    expect_error_words("mode", status, PIL_INVALID_ARGUMENT, "EVAL", "not one of the three");
    graph_free(s.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_ones), cmocka_unit_test(test_predictions),    cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_exports),    cmocka_unit_test(test_hooks_and_mode),
    };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
