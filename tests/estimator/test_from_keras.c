/* SPDX-License-Identifier: Apache-2.0 */
/* A Keras-style model as an Estimator: the rule of names, its numbers, train_and_evaluate with an export, weights to start from. */
#include "custom.h"

#include "pilaster/keras.h"

enum { BATCHES = CUSTOM_ROWS / CUSTOM_BATCH };
static float keras_y[CUSTOM_ROWS];
static const char *feature = "XYZ_input";

static pil_dataset *arrays(int64_t epochs)
{
    return pil_dataset_from_arrays(PIL_ARRAYS({ feature, .floats = custom_x[0], .rows = CUSTOM_ROWS, .shape = { CUSTOM_WIDTH } }),
                                   false, .y = { .floats = keras_y, .rows = CUSTOM_ROWS }, .batch_size = CUSTOM_BATCH,
                                   .num_epochs = epochs);
}

static pil_dataset *keras_input(void *params)
{
    (void)params;
    return arrays(1);
}

static pil_dataset *endless_input(void *params)
{
    (void)params;
    return arrays(0);
}

static void receive(pil_receivers *receivers, void *params)
{
    (void)params;
    pil_receive(receivers, "XYZ_input", PIL_RECEIVE_FLOATS, CUSTOM_WIDTH);
}

static pil_sequential *new_model(void)
{
    for (int i = 0; i < CUSTOM_ROWS; i++)
        keras_y[i] = (float)custom_class[i];
    pil_sequential *model = pil_sequential_new();
    pil_add_layer(model, pil_dense(4, .activation = "tanh", .name = "XYZ", .input_shape = { CUSTOM_WIDTH }));
    pil_add_layer(model, pil_batch_normalization());
    pil_add_layer(model, pil_dense(1, .activation = "sigmoid", .name = "out"));
    pil_compile(model, .loss = "binary_crossentropy", .optimizer = "adam", .metrics = PIL_WORDS("accuracy", "AUC"));
    return model;
}

static void good(pil_status status)
{
    if (status.code != PIL_OK)
        fail_msg("%s", status.message);
}

/* As many steps in an Estimator and in fit, with the optimizer that both have, come to the same weights. */
static void test_same_as_fit(void **state)
{
    (void)state;
    static const char *const names[] = { "XYZ/kernel", "XYZ/bias", "batch_normalization/moving_variance", "out/kernel" };
    static const size_t counts[] = { 12, 4, 4, 4 };
    const char *folder = scratch_path("same");
    pil_run_config config = pil_run_config_default();
    config.threads = 3;
    pil_sequential *model = new_model();
    pil_compile(model, .loss = "binary_crossentropy", .optimizer = "legacy/adam", .metrics = PIL_WORDS("accuracy", "AUC"));
    good(pil_sequential_build(model, (pil_row){ { 0 } }));
    pil_estimator *estimator = pil_model_to_estimator(model, folder, .config = &config);
    good(pil_train(estimator, &(pil_train_spec){ .input_fn = keras_input, .max_steps = BATCHES }));
    good(pil_fit(model, ((pil_array){ .floats = custom_x[0], .rows = CUSTOM_ROWS, .shape = { CUSTOM_WIDTH } }),
                 { .floats = keras_y, .rows = CUSTOM_ROWS }, .batch_size = CUSTOM_BATCH, .shuffle = false));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        float here[16], there[16];
        good(pil_variable_value(estimator, names[i], NULL, here, counts[i]));
        good(pil_sequential_get_weight(model, names[i], there, counts[i]));
        assert_memory_equal(here, there, counts[i] * sizeof(float));
    }
    pil_result result;
    pil_logs logs;
    good(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = keras_input, .steps = PIL_ALL }, &result));
    good(pil_sequential_evaluate(model, ((pil_array){ .floats = custom_x[0], .rows = CUSTOM_ROWS, .shape = { CUSTOM_WIDTH } }),
                                 ((pil_array){ .floats = keras_y, .rows = CUSTOM_ROWS }), &logs, .batch_size = CUSTOM_BATCH));
    assert_true(pil_metrics_get(&result, "global_step") == BATCHES);
    assert_true(pil_metrics_get(&result, "accuracy") == pil_logs_get(&logs, "accuracy"));
    assert_true(pil_metrics_get(&result, "auc") == pil_logs_get(&logs, "auc"));
    assert_true(fabs(pil_metrics_get(&result, "loss") - pil_logs_get(&logs, "loss")) < 1e-6);
    pil_estimator_free(estimator);
    pil_sequential_free(model);
}

/* Of a newer class the legacy one is trained, with its own decay: the checkpoint has its numbers. */
static void test_legacy_class(void **state)
{
    (void)state;
    float decay = -1;
    pil_sequential *model = new_model();
    pil_compile(model, .loss = "binary_crossentropy", .optimizer = "nadam");
    pil_estimator *estimator = pil_model_to_estimator(model, scratch_path("nadam"));
    good(pil_train(estimator, &(pil_train_spec){ .input_fn = keras_input, .max_steps = 2 }));
    good(pil_variable_value(estimator, "training/Nadam/decay", NULL, &decay, 1));
    assert_true(decay == 0.004f);
    pil_estimator_free(estimator);
    pil_sequential_free(model);
}

/* Trains, evaluates, exports; another estimator goes on; a fitted model's weights are where a new folder starts. */
static void test_train_and_evaluate(void **state)
{
    (void)state;
    float fitted[4], first[4], row[1];
    pil_result result;
    pil_sequential *model = new_model();
    good(pil_fit(model, ((pil_array){ .floats = custom_x[0], .rows = CUSTOM_ROWS, .shape = { CUSTOM_WIDTH } }),
                 { .floats = keras_y, .rows = CUSTOM_ROWS }, .batch_size = CUSTOM_BATCH, .epochs = 3));
    good(pil_sequential_get_weight(model, "out/kernel", fitted, 4));
    const char *folder = scratch_path("model");
    pil_run_config config = pil_run_config_default();
    config.save_checkpoints_steps = 3;
    pil_estimator *estimator = pil_model_to_estimator(model, folder, .config = &config);
    pil_predictions *predictions = pil_predict(estimator, keras_input);
    assert_true(pil_predictions_next(predictions));
    size_t count;
    const float *out = pil_predictions_get(predictions, "out", &count);
    assert_true(out && count == 1);
    row[0] = out[0];
    good(pil_predictions_close(predictions));
    float all[CUSTOM_ROWS];
    good(pil_sequential_predict(model, (pil_array){ .floats = custom_x[0], .rows = CUSTOM_ROWS, .shape = { CUSTOM_WIDTH } }, 8,
                                all, CUSTOM_ROWS));
    assert_true(row[0] == all[0]);
    pil_train_spec train = { .input_fn = endless_input, .max_steps = BATCHES };
    pil_eval_spec eval = {
        .input_fn = keras_input, .steps = PIL_ALL, .throttle_secs = -1, .exporters = { pil_latest_exporter("exporter", receive) }
    };
    good(pil_train_and_evaluate(estimator, &train, &eval, &result));
    assert_int_equal(result.export_count, 1);
    assert_int_equal(result.global_step, BATCHES);
    pil_estimator_free(estimator);
    estimator = pil_model_to_estimator(model, folder, .config = &config);
    train.max_steps = 2 * BATCHES;
    good(pil_train_and_evaluate(estimator, &train, &eval, &result));
    assert_int_equal(result.global_step, 2 * BATCHES);
    good(pil_variable_value(estimator, "out/kernel", NULL, first, 4));
    assert_memory_not_equal(first, fitted, sizeof first);
    good(pil_sequential_get_weight(model, "out/kernel", first, 4)); /* the model itself stays as it was */
    assert_memory_equal(first, fitted, sizeof first);
    pil_estimator_free(estimator);
    pil_sequential_free(model);
}

static void test_mistakes(void **state)
{
    (void)state;
    pil_run_config config = pil_run_config_default();
    pil_sequential *model = new_model();
    pil_estimator *estimator = pil_model_to_estimator(model, scratch_path("wrong"), .config = &config);
    feature = "XYZ";
    pil_status status = pil_train(estimator, &(pil_train_spec){ .input_fn = keras_input, .max_steps = 1 });
    feature = "XYZ_input";
    if (!strstr(status.message, "the layer XYZ: the model takes the feature 'XYZ_input'; the data have 'XYZ': call 'XYZ' so"))
        fail_msg("%s", status.message);
    pil_estimator_free(estimator);
    pil_sequential_free(model);
    model = pil_sequential_new();
    pil_add_layer(model, pil_dense(1));
    estimator = pil_model_to_estimator(model, scratch_path("wrong"));
    status = pil_train(estimator, &(pil_train_spec){ .input_fn = keras_input, .max_steps = 1 });
    assert_non_null(strstr(status.message, "the model is not compiled"));
    pil_estimator_free(estimator);
    estimator = pil_model_to_estimator(NULL, scratch_path("wrong"));
    status = pil_train(estimator, &(pil_train_spec){ .input_fn = keras_input, .max_steps = 1 });
    assert_non_null(strstr(status.message, "the model is NULL"));
    pil_estimator_free(estimator);
    pil_sequential_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_fit),
        cmocka_unit_test(test_legacy_class),
        cmocka_unit_test(test_train_and_evaluate),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
