/* SPDX-License-Identifier: Apache-2.0 */
/* Exports of a custom model: after evaluations and when a program asks; what is exported predicts the bits of the estimator. */
#include "custom.h"

static float expected[CUSTOM_ROWS];

static void predict_all(pil_estimator *estimator)
{
    pil_predictions *predictions = pil_predict(estimator, input_unlabelled);
    for (int r = 0; r < CUSTOM_ROWS; r++) {
        assert_true(pil_predictions_next(predictions));
        expected[r] = pil_predictions_get(predictions, "predicted", NULL)[0];
    }
    expect_ok(pil_predictions_close(predictions));
}

static void expect_predictor(const char *folder, const char *signature, const char *output)
{
    pil_status status = { 0 };
    pil_prediction result = { 0 };
    pil_predictor *predictor = pil_predictor_open(folder, &status);
    expect_ok(status);
    if (!pil_predictor_run(
            predictor, &(pil_request){ PIL_INPUTS({ "x", .floats = custom_x[0] }), .signature = signature, .rows = CUSTOM_ROWS },
            &result, &status))
        fail_msg("%s", status.message);
    const pil_output *values = pil_predictor_outputs(&result, output, NULL);
    assert_non_null(values);
    assert_int_equal(values->rows, CUSTOM_ROWS);
    assert_int_equal(values->width, 1);
    assert_memory_equal(values->floats, expected, sizeof expected);
    pil_predictor_close(predictor);
}

static size_t versions(const char *base)
{
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char **names;
    size_t count, found = 0;
    assert_true(file_list(base, arena, &names, &count, &status));
    for (size_t i = 0; i < count; i++)
        found += strlen(names[i]) == 10 && strspn(names[i], "0123456789") == 10;
    arena_free(arena);
    return found;
}

/* Fourteen evaluations, as many exports, faster than seconds pass, of which two are kept; the result names the newest of each. */
static void test_latest(void **state)
{
    (void)state;
    pil_result result;
    pil_run_config config = pil_run_config_default();
    config.save_checkpoints_steps = 1;
    pil_estimator *estimator = pil_estimator_new(
        &(pil_estimator_config){ .model_fn = custom_model, .model_dir = scratch_path("latest"), .config = &config });
    const pil_eval_spec spec = { .input_fn = input_once,
                                 .steps = PIL_ALL,
                                 .throttle_secs = -1,
                                 .exporters = { pil_latest_exporter("two", custom_serving, .exports_to_keep = 2),
                                                pil_latest_exporter("all", custom_serving, .exports_to_keep = 0) } };
    expect_ok(pil_train_and_evaluate(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 14 }, &spec, &result));
    assert_int_equal(result.export_count, 2);
    assert_int_equal(versions(scratch_path("latest/export/two")), 2);
    assert_int_equal(versions(scratch_path("latest/export/all")), 14);
    predict_all(estimator);
    for (size_t i = 0; i < 2; i++) {
        const char *base = scratch_path(i ? "latest/export/all" : "latest/export/two");
        assert_memory_equal(result.exports[i], base, strlen(base));
        expect_predictor(result.exports[i], NULL, "predicted");
        expect_predictor(base, "serving_default", "predicted"); /* the newest of a folder */
    }
    pil_estimator_free(estimator);
}

static pil_estimator_spec serving_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                        void *params)
{
    pil_estimator_spec spec = custom_model(g, features, targets, mode, params);
    pil_tensor *y = spec.predictions.items[0].tensor;
    spec.export_outputs =
        PIL_EXPORTS(g, { "serving_default", pil_regression_output(y) },
                    { "twice", pil_predict_output(PIL_DICT(g, { "double", pil_add(g, y, y) }, { "once", y })) });
    return spec;
}

static void test_on_demand(void **state)
{
    (void)state;
    char first[PIL_PATH], second[PIL_PATH];
    const char *base = scratch_path("exports/deep");
    pil_estimator *estimator = custom_new(serving_model, "demand", 2);
    custom_train(estimator, input_endless, 3);
    expect_ok(pil_export(estimator, base, custom_serving, first));
    predict_all(estimator);
    expect_predictor(first, NULL, "outputs");
    expect_predictor(first, "twice", "once");
    expect_predictor(first, "predict", "predicted");
    custom_train(estimator, input_endless, 6);
    expect_ok(pil_export(estimator, base, custom_serving, second));
    assert_true(strcmp(first, second) < 0);
    expect_ok(pil_export(estimator, base, custom_serving, NULL)); /* the path is not wanted */
    assert_int_equal(versions(base), 3);
    predict_all(estimator);
    expect_predictor(second, NULL, "outputs");
    pil_estimator_free(estimator);

    estimator = custom_new(serving_model, "demand", 1); /* by a program that has not trained it */
    expect_ok(pil_export(estimator, base, custom_serving, second));
    expect_predictor(second, NULL, "outputs");
    char long_base[PIL_PATH + 64];
    snprintf(long_base, sizeof long_base, "%s/", scratch_path("deep"));
    for (size_t i = strlen(long_base); i < sizeof long_base - 1; i += 2)
        memcpy(long_base + i, "a/", 3);
    long_base[sizeof long_base - 1] = '\0';
    expect_error_words("a long path", pil_export(estimator, long_base, custom_serving, second), PIL_INVALID_ARGUMENT, "path",
                       "1023");
    assert_false(file_exists(scratch_path("deep")));
    pil_estimator_free(estimator);
}

/* A variable that only the loss reads stays behind. */
static pil_estimator_spec uneven_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                       void *params)
{
    (void)params;
    pil_tensor *y = custom_layer(g, pil_feature(features, "x"));
    pil_estimator_spec spec = { .mode = mode, .predictions = PIL_DICT(g, { "predicted", y }) };
    if (mode == PIL_PREDICT)
        return spec;
    pil_tensor *scale = pil_variable(g, "scale", pil_ones(g, PIL_SCALAR));
    spec.loss = pil_mul(g, pil_mean_squared_error(g, targets, y), pil_square(g, scale));
    spec.train_op = pil_minimize(g, pil_gradient_descent_optimizer(0.1f), spec.loss);
    return spec;
}

static void test_variables_of_training(void **state)
{
    (void)state;
    pil_status status = { 0 };
    pil_result result;
    char path[PIL_PATH], prefix[PIL_PATH + 32];
    pil_estimator *estimator = custom_new(uneven_model, "uneven", 1);
    const pil_eval_spec spec = { .input_fn = input_once,
                                 .steps = PIL_ALL,
                                 .exporters = { pil_latest_exporter("e", custom_serving) } };
    expect_ok(pil_train_and_evaluate(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 3 }, &spec, &result));
    expect_ok(pil_export(estimator, scratch_path("uneven-export"), custom_serving, path));
    predict_all(estimator);
    const char *const folders[] = { result.exports[0], path };
    for (size_t i = 0; i < 2; i++) {
        expect_predictor(folders[i], NULL, "predicted");
        snprintf(prefix, sizeof prefix, "%s/variables/variables", folders[i]);
        struct bundle *bundle = bundle_open(prefix, &status);
        expect_ok(status);
        assert_non_null(bundle_find(bundle, "w"));
        assert_null(bundle_find(bundle, "scale"));
        bundle_close(bundle);
    }
    pil_estimator_free(estimator);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_latest), cmocka_unit_test(test_on_demand),
                                        cmocka_unit_test(test_variables_of_training) };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
