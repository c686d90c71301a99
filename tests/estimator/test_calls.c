/* SPDX-License-Identifier: Apache-2.0 */
/* Mistakes in calls of an estimator: its config, its specs, its exports; and a training that diverges. */
#include <inttypes.h>

#include "custom.h"

static pil_estimator *with(pil_estimator_config config)
{
    config.model_fn = config.model_fn ? config.model_fn : custom_model;
    return pil_estimator_new(&config);
}

static pil_status train_once(pil_estimator *estimator, pil_train_spec spec)
{
    pil_status status = pil_train(estimator, &spec);
    pil_estimator_free(estimator);
    return status;
}

static pil_status evaluate_once(pil_eval_spec spec)
{
    pil_train_spec train = { .input_fn = input_once, .max_steps = 2 };
    pil_estimator *estimator = with((pil_estimator_config){ .model_dir = scratch_path("evaluated") });
    pil_status status = pil_train_and_evaluate(estimator, &train, &spec, NULL);
    pil_estimator_free(estimator);
    return status;
}

static pil_status with_run(pil_run_config run)
{
    return train_once(with((pil_estimator_config){ .model_dir = scratch_path("config"), .config = &run }),
                      (pil_train_spec){ .input_fn = input_once });
}

static void test_train_calls(void **state)
{
    (void)state;
    const char *folder = scratch_path("calls");
    const pil_train_spec good = { .input_fn = input_once };
    pil_estimator *estimator = pil_estimator_new(&(pil_estimator_config){ .model_dir = folder });
    expect_error_words("no model_fn", train_once(estimator, good), PIL_INVALID_ARGUMENT, "model_fn");
    expect_error_words("no config", train_once(pil_estimator_new(NULL), good), PIL_INVALID_ARGUMENT, "model_fn");
    expect_error_words("no folder", train_once(with((pil_estimator_config){ 0 }), good), PIL_INVALID_ARGUMENT,
                       "model_dir of the estimator's config");
    /* "" is not the root folder. */
    expect_error_words("an empty folder name", train_once(with((pil_estimator_config){ .model_dir = "" }), good),
                       PIL_INVALID_ARGUMENT, "model_dir is empty");
    pil_run_config run = pil_run_config_default();
    run.model_dir = "";
    expect_error_words("an empty folder name", train_once(with((pil_estimator_config){ .config = &run }), good),
                       PIL_INVALID_ARGUMENT, "model_dir is empty");
    expect_error_words("an empty checkpoint name",
                       train_once(with((pil_estimator_config){ .model_dir = folder, .warm_start_from = "" }), good),
                       PIL_INVALID_ARGUMENT, "warm_start_from is empty");
    estimator = with((pil_estimator_config){ .model_dir = folder });
    expect_error_words("no train spec", pil_train(estimator, NULL), PIL_INVALID_ARGUMENT, "train spec", "NULL");
    expect_error_words("no eval spec", pil_evaluate(estimator, NULL, NULL), PIL_INVALID_ARGUMENT, "eval spec", "NULL");
    expect_error_words("steps and max_steps",
                       pil_train(estimator, &(pil_train_spec){ .input_fn = input_once, .steps = 1, .max_steps = 2 }),
                       PIL_INVALID_ARGUMENT, "steps", "max_steps", "exclude");
    expect_error_words("steps below 0", pil_train(estimator, &(pil_train_spec){ .input_fn = input_once, .steps = -1 }),
                       PIL_INVALID_ARGUMENT, "steps -1");
    expect_error_words("no input_fn", pil_train(estimator, &(pil_train_spec){ .max_steps = 2 }), PIL_INVALID_ARGUMENT, "train",
                       "input_fn");
    const pil_hook hooks[PIL_MAX_HOOKS] = { { 0 } };
    expect_error_words("too many hooks",
                       train_once(estimator, (pil_train_spec){ .input_fn = input_once, .hooks = hooks, .hook_count = 11 }),
                       PIL_INVALID_ARGUMENT, "11 hooks", "10");
    expect_error_words("no estimator", pil_train(NULL, &good), PIL_INVALID_ARGUMENT, "estimator", "NULL");
    assert_false(file_exists(folder));
    scratch_write(folder, "x", 1);
    expect_error_words("a file", train_once(with((pil_estimator_config){ .model_dir = folder }), good), PIL_IO, folder,
                       "model_dir of the estimator's config");
    remove(folder);
}

static const char *columns_words[] = { "red", "green", "blue" };

static pil_estimator_spec columns_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                        void *params)
{
    (void)params;
    pil_columns *columns = pil_columns_new();
    pil_column *word = pil_categorical_column_with_vocabulary_list(columns, "word", columns_words, 3);
    pil_tensor *x = pil_input_layer(features, PIL_KEYS(pil_embedding_column(columns, word, 2)));
    pil_columns_free(columns);
    return custom_spec(g, pil_layers_dense(g, x, 1), targets, mode);
}

/* A column that means something else than when the checkpoint was written. */
static void test_changed_columns(void **state)
{
    (void)state;
    const pil_train_spec spec = { .input_fn = input_endless, .steps = 2 };
    const char *folder = scratch_path("columns");
    expect_ok(train_once(with((pil_estimator_config){ .model_fn = columns_model, .model_dir = folder }), spec));
    expect_ok(train_once(with((pil_estimator_config){ .model_fn = columns_model, .model_dir = folder }), spec));
    columns_words[1] = "yellow";
    const pil_status status = train_once(with((pil_estimator_config){ .model_fn = columns_model, .model_dir = folder }), spec);
    expect_error_words("another word", status, PIL_INVALID_ARGUMENT, "word", "is defined otherwise than when", "model.ckpt-4",
                       "empty folder");
    assert_null(strstr(status.message, "--"));
    columns_words[1] = "green";
}

static void test_configs(void **state)
{
    (void)state;
    pil_run_config run = pil_run_config_default();
    run.model_dir = "elsewhere";
    expect_error_words("two folders", with_run(run), PIL_INVALID_ARGUMENT, "elsewhere", scratch_path("config"));
    run = pil_run_config_default();
    run.save_checkpoints_steps = 10;
    run.save_checkpoints_secs = 10;
    expect_error_words("two periods", with_run(run), PIL_INVALID_ARGUMENT, "save_checkpoints_steps", "save_checkpoints_secs");
    run = pil_run_config_default();
    run.keep_checkpoint_max = -2;
    expect_error_words("a negative number", with_run(run), PIL_INVALID_ARGUMENT, "keep_checkpoint_max", "-2");
    run = pil_run_config_default();
    run.save_checkpoints_secs = NAN;
    expect_error_words("no number", with_run(run), PIL_INVALID_ARGUMENT, "save_checkpoints_secs");
    assert_false(file_exists(scratch_path("config")));
}

static void wrong_serving(pil_receivers *receivers, void *params)
{
    (void)params;
    pil_receive(receivers, "y", PIL_RECEIVE_FLOATS, 3);
}

static void narrow_serving(pil_receivers *receivers, void *params)
{
    (void)params;
    pil_receive(receivers, "x", PIL_RECEIVE_FLOATS, 2);
}

static void double_serving(pil_receivers *receivers, void *params)
{
    custom_serving(receivers, params);
    custom_serving(receivers, params);
}

static void empty_serving(pil_receivers *receivers, void *params)
{
    (void)receivers;
    (void)params;
}

static void test_eval_specs(void **state)
{
    (void)state;
    expect_error_words("no input", evaluate_once((pil_eval_spec){ 0 }), PIL_INVALID_ARGUMENT, "eval", "input_fn");
    expect_error_words("steps", evaluate_once((pil_eval_spec){ .input_fn = input_once, .steps = -7 }), PIL_INVALID_ARGUMENT, "-7",
                       "PIL_ALL");
    expect_error_words("no serving",
                       evaluate_once((pil_eval_spec){ .input_fn = input_once, .exporters = { pil_latest_exporter("e", NULL) } }),
                       PIL_INVALID_ARGUMENT, "'e'", "serving_input_fn");
    expect_error_words(
        "no name",
        evaluate_once((pil_eval_spec){ .input_fn = input_once, .exporters = { pil_latest_exporter("", custom_serving) } }),
        PIL_INVALID_ARGUMENT, "exporter 1", "name");
    expect_error_words("two of a name",
                       evaluate_once((pil_eval_spec){
                           .input_fn = input_once,
                           .exporters = { pil_latest_exporter("e", custom_serving), pil_latest_exporter("e", custom_serving) } }),
                       PIL_INVALID_ARGUMENT, "two exporters", "'e'");
    assert_false(file_exists(scratch_path("evaluated")));
}

static pil_status export_with(pil_estimator *estimator, pil_serving_input_fn serving)
{
    char path[PIL_PATH] = "untouched";
    pil_status status = pil_export(estimator, scratch_path("export"), serving, path);
    assert_string_equal(path, "untouched");
    return status;
}

static void test_exports(void **state)
{
    (void)state;
    char path[PIL_PATH];
    pil_estimator *estimator = with((pil_estimator_config){ .model_dir = scratch_path("exported") });
    expect_error_words("no checkpoint", export_with(estimator, custom_serving), PIL_NOT_FOUND, "no checkpoint", "exported");
    expect_error_words("no variable", pil_variable_value(estimator, "w", NULL, NULL, 0), PIL_NOT_FOUND, "no checkpoint",
                       "exported");
    expect_ok(pil_train(estimator, &(pil_train_spec){ .input_fn = input_once, .max_steps = 2 }));
    expect_error_words("another feature", export_with(estimator, wrong_serving), PIL_INVALID_ARGUMENT, "'x'", "they have y",
                       "serving_input_fn");
    expect_error_words("another width", export_with(estimator, narrow_serving), PIL_INVALID_ARGUMENT, "matmul", "[?, 2]",
                       "[3, 1]");
    expect_error_words("a name twice", export_with(estimator, double_serving), PIL_INVALID_ARGUMENT, "'x'", "twice");
    expect_error_words("no receivers", export_with(estimator, empty_serving), PIL_INVALID_ARGUMENT, "serving_input_fn",
                       "pil_receive");
    expect_error_words("no serving", export_with(estimator, NULL), PIL_INVALID_ARGUMENT, "serving");
    expect_error_words("no base", pil_export(estimator, NULL, custom_serving, path), PIL_INVALID_ARGUMENT, "folder");
    float values[2];
    expect_error_words("another variable", pil_variable_value(estimator, "weight", NULL, NULL, 0), PIL_NOT_FOUND, "'weight'",
                       "w");
    expect_error_words("little room", pil_variable_value(estimator, "w", NULL, values, 2), PIL_INVALID_ARGUMENT, "w", "3", "2");
    expect_error_words("an integer", pil_variable_value(estimator, "global_step", NULL, values, 1), PIL_INVALID_ARGUMENT,
                       "global_step", "int64");
    pil_estimator_free(estimator);
}

/* A loss that is no number ends the run, and nothing is saved of the step that gave it. */
static pil_estimator_spec diverging_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                          void *params)
{
    (void)params;
    pil_estimator_spec spec = custom_spec(g, custom_layer(g, pil_feature(features, "x")), targets, mode);
    if (mode == PIL_TRAIN)
        spec.train_op = pil_minimize(g, pil_gradient_descent_optimizer(1e20f), spec.loss);
    return spec;
}

static void test_divergence(void **state)
{
    (void)state;
    pil_run_config run = pil_run_config_default();
    run.save_checkpoints_steps = 1;
    pil_estimator *estimator =
        with((pil_estimator_config){ .model_fn = diverging_model, .model_dir = scratch_path("diverged"), .config = &run });
    pil_status status = pil_train(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 50 });
    expect_error_words("divergence", status, PIL_DIVERGED, "loss", "step");
    int64_t step = 0;
    assert_int_equal(sscanf(strstr(status.message, "step "), "step %" SCNd64, &step), 1);
    assert_in_range(step, 2, 10);
    pil_status ok = { 0 };
    struct arena *arena = arena_new(&ok);
    char expected[64], *latest = checkpoint_latest(scratch_path("diverged"), arena, &ok);
    snprintf(expected, sizeof expected, "model.ckpt-%" PRId64, step - 1);
    assert_non_null(latest);
    assert_string_equal(strrchr(latest, '/') + 1, expected);
    arena_free(arena);
    pil_estimator_free(estimator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_train_calls), cmocka_unit_test(test_changed_columns), cmocka_unit_test(test_configs),
        cmocka_unit_test(test_eval_specs),  cmocka_unit_test(test_exports),         cmocka_unit_test(test_divergence),
    };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
