/* SPDX-License-Identifier: Apache-2.0 */
/* The gradient audit: what it finds in models that train, and yet not all of them, and what it must not find. */
#include "custom.h"

/* ---- models ---- */

/* Trainable, and behind a stop_gradient. */
static pil_estimator_spec stopped_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                        void *params)
{
    (void)params;
    pil_tensor *hidden = pil_layers_dense(g, pil_feature(features, "x"), 2, .name = "hidden");
    return custom_spec(g, pil_layers_dense(g, pil_stop_gradient(g, hidden), 1, .name = "last"), targets, mode);
}

static pil_estimator_spec forgotten_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                          void *params)
{
    for (int i = 0; i < 7; i++) {
        char name[32];
        snprintf(name, sizeof name, "forgotten%d", i);
        pil_variable(g, name, pil_ones(g, PIL_SHAPE(2)));
    }
    return custom_model(g, features, targets, mode, params);
}

/* A gradient that is 0, as that of dead units. */
static pil_estimator_spec dead_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    (void)params;
    pil_tensor *dead = pil_variable(g, "dead", pil_fill(g, PIL_SHAPE(1), -5));
    pil_tensor *y = pil_add(g, custom_layer(g, pil_feature(features, "x")), pil_relu(g, dead));
    return custom_spec(g, y, targets, mode);
}

/* Averages that move without being trained, and a variable that is not to be trained and stays. */
static pil_estimator_spec good_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    (void)params;
    pil_tensor *x = pil_layers_batch_normalization(g, pil_feature(features, "x"), .training = mode == PIL_TRAIN);
    pil_tensor *fixed = pil_variable(g, "fixed", pil_fill(g, PIL_SHAPE(1), 0.5f), .trainable = false);
    return custom_spec(g, pil_add(g, custom_layer(g, x), fixed), targets, mode);
}

/* One of two parts is left to nobody's optimizer on purpose: it has a gradient. */
static pil_estimator_spec partial_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                        void *params)
{
    (void)params;
    pil_tensor *w = pil_variable(g, "w", pil_zeros(g, PIL_SHAPE(CUSTOM_WIDTH, 1)));
    pil_tensor *b = pil_variable(g, "b", pil_ones(g, PIL_SHAPE(1)));
    pil_tensor *y = pil_add(g, pil_matmul(g, pil_feature(features, "x"), w), b);
    pil_estimator_spec spec = { .mode = mode, .predictions = PIL_DICT(g, { "predicted", y }) };
    if (mode == PIL_PREDICT)
        return spec;
    spec.loss = pil_mean_squared_error(g, targets, y);
    spec.train_op = pil_minimize(g, pil_gradient_descent_optimizer(0.1f), spec.loss, .var_list = PIL_VARIABLES(w));
    return spec;
}

/* ---- findings ---- */

static pil_status train(pil_model_fn model_fn, const char *folder, bool strict)
{
    pil_run_config config = pil_run_config_default();
    config.strict = strict;
    pil_estimator *estimator =
        pil_estimator_new(&(pil_estimator_config){ .model_fn = model_fn, .model_dir = scratch_path(folder), .config = &config });
    custom_log_start();
    pil_status status = pil_train(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 3 });
    log_set(NULL, NULL);
    pil_estimator_free(estimator);
    return status;
}

static void expect_warning(const char *text)
{
    if (!strstr(custom_log, text))
        fail_msg("'%s' is missing in:\n%s", text, custom_log);
}

static void test_warnings(void **state)
{
    (void)state;
    expect_ok(train(stopped_model, "stopped", false));
    expect_warning("warning: gradient audit: no gradient reaches trainable variables: hidden/kernel, hidden/bias\n");
    assert_int_equal(custom_step("stopped"), 3);
    expect_ok(train(forgotten_model, "forgotten", false));
    expect_warning("forgotten0, forgotten1, forgotten2, forgotten3, forgotten4, ...\n");
    expect_ok(train(dead_model, "dead", false));
    expect_warning("gradient audit: the first step left a variable as it was: dead\n");
    assert_null(strstr(custom_log, "warning"));
}

static void test_strict(void **state)
{
    (void)state;
    expect_error_words("strict", train(stopped_model, "strict", true), PIL_INVALID_ARGUMENT,
                       "no gradient reaches trainable variables", "hidden/kernel, hidden/bias", "strict");
    assert_false(file_exists(scratch_path("strict"))); /* known from the graph, before anything is written */
    expect_ok(train(dead_model, "strict-dead", true)); /* it may come to life */
}

static void test_nothing_found(void **state)
{
    (void)state;
    expect_ok(train(good_model, "good", true));
    assert_null(strstr(custom_log, "audit"));
    expect_ok(train(partial_model, "partial", true));
    assert_null(strstr(custom_log, "audit"));
    float b = 0, moved[CUSTOM_WIDTH], fixed = 0;
    pil_estimator *estimator = custom_new(partial_model, "partial", 1);
    expect_ok(pil_variable_value(estimator, "b", NULL, &b, 1));
    assert_true(b == 1);
    pil_estimator_free(estimator);
    estimator = custom_new(good_model, "good", 1);
    expect_ok(pil_variable_value(estimator, "batch_normalization/moving_mean", NULL, moved, CUSTOM_WIDTH));
    expect_ok(pil_variable_value(estimator, "fixed", NULL, &fixed, 1));
    assert_true(moved[0] != 0 && fixed == 0.5f);
    pil_estimator_free(estimator);
}

/* A variable that moves although it must not: nothing public can do that, so the store is changed behind the audit's back. */
static void test_moved(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct audit audit;
    custom_train_in("moved", good_model, input_endless, 1, 1);
    pil_estimator *estimator = custom_new(good_model, "moved", 1);
    estimator->config.strict = true;
    pil_dataset *dataset = input_endless(NULL);
    struct mode_run run;
    assert_true(mode_make(&run, estimator, PIL_TRAIN, dataset, NULL, 0, &status) && values_make(estimator, &run, &status));
    assert_true(audit_begin(&audit, estimator->store, &status));
    assert_true(audit_step(&audit, estimator, &run, &status));
    assert_true(audit_begin(&audit, estimator->store, &status));
    tensor_floats(&store_find(estimator->store, "fixed")->value)[0] = 7;
    assert_false(audit_step(&audit, estimator, &run, &status));
    expect_error_words("moved", status, PIL_INVALID_ARGUMENT, "a variable moved that is not trainable: fixed");
    audit_free(&audit);
    mode_free(&run);
    pil_dataset_free(dataset);
    pil_estimator_free(estimator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_strict),
        cmocka_unit_test(test_nothing_found),
        cmocka_unit_test(test_moved),
    };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
