/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that fails: a small training with evaluation and export, and predictions of it, with every allocation failing once. Each
 * time the calls say so, and nothing is lost.
 */
#include "custom.h"
#include "failing.h"

static pil_estimator_spec small_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                      void *params)
{
    static const char *const colours[] = { "red", "green", "blue" };
    const pil_head head = pil_regression_head(1, .weight_column = "weight");
    const pil_optimizer sgd = pil_gradient_descent_optimizer(0.1f);
    (void)params;
    pil_columns *columns = pil_columns_new();
    pil_column *word = pil_categorical_column_with_vocabulary_list(columns, "word", colours, 3);
    pil_column *x = pil_numeric_column(columns, "x", .shape = { CUSTOM_WIDTH });
    pil_tensor *layer = pil_input_layer(features, PIL_KEYS(x, pil_embedding_column(columns, word, 2)));
    pil_estimator_spec spec = pil_head_spec(&head, features, mode, pil_layers_dense(g, layer, 1), targets, .optimizer = &sgd);
    pil_columns_free(columns);
    return spec;
}

static void serving(pil_receivers *receivers, void *params)
{
    custom_serving(receivers, params);
    pil_receive(receivers, "word", PIL_RECEIVE_STRINGS, 1);
}

/* Training with all around it: true where every call went well; then what came of it is whole. */
static bool live(pil_status *status)
{
    pil_result result;
    int rows = 0;
    pil_run_config config = pil_run_config_default();
    config.threads = 1;
    pil_estimator *estimator = pil_estimator_new(
        &(pil_estimator_config){ .model_fn = small_model, .model_dir = scratch_path("model"), .config = &config });
    *status = pil_train_and_evaluate(
        estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 2 },
        &(pil_eval_spec){ .input_fn = input_once, .steps = 1, .exporters = { pil_latest_exporter("e", serving) } }, &result);
    if (status_ok(status)) {
        pil_predictions *predictions = pil_predict(estimator, input_once);
        while (pil_predictions_next(predictions))
            rows++;
        *status = pil_predictions_close(predictions);
    }
    if (status_ok(status))
        assert_true(rows == CUSTOM_ROWS && result.export_count == 1 && result.global_step == 2 && result.metric_count == 4);
    pil_estimator_free(estimator);
    return status_ok(status);
}

static void remove_model(void)
{
    nftw(scratch_path("model"), scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void test_every_allocation(void **state)
{
    (void)state;
    pil_status status;
    int64_t n = 0, done = 0;
    broken_start(-1, false); /* a disk that works, without waiting for it */
    log_set(custom_note, NULL);
    for (;; n++) {
        custom_log[0] = '\0';
        remove_model();
        failing_start(n, false);
        bool worked = live(&status);
        bool reached = failing_stop();
        if (atomic_load(&failing_live) != 0)
            fail_msg("allocation %lld fails: %lld are not given back", (long long)n, (long long)atomic_load(&failing_live));
        if (!reached)
            break;
        if (worked)
            done++; /* what can be done without, as garbage that stays for the next time */
        else if (status.code != PIL_NO_MEMORY)
            fail_msg("allocation %lld fails: %s: %s", (long long)n, pil_code_name(status.code), status.message);
        else
            assert_non_null(strstr(status.message, "out of memory"));
    }
    if (!status_ok(&status))
        fail_msg("%s", status.message);
    log_set(NULL, NULL);
    broken_stop();
    print_message("# %lld allocations, without %lld of which it goes, too\n", (long long)n, (long long)done);
    assert_true(n > 500 && done < n / 10);
}

/* A disk that refuses one call, or is full from there on. What is left is gone on with, to the bits of a training that met no
 * such disk. */
static void test_every_file_call(void **state)
{
    (void)state;
    pil_status status;
    log_set(custom_note, NULL);
    remove_model();
    broken_start(-1, false);
    assert_true(live(&status));
    broken_stop();
    rename(scratch_path("model"), scratch_path("whole"));
    for (int n = 0, reached = 1; reached; n++)
        for (int lasting = 0; lasting < 2; lasting++) {
            custom_log[0] = '\0';
            remove_model();
            broken_start(n, lasting);
            bool worked = live(&status);
            reached = broken_stop();
            if (!worked && status.code != PIL_IO)
                fail_msg("call %d fails: %s: %s", n, pil_code_name(status.code), status.message);
            if (worked && lasting && reached && n < 10)
                fail_msg("call %d fails, and nobody has noticed", n);
            broken_start(-1, false);
            if (!worked && custom_step("model") < 2 && !live(&status))
                fail_msg("behind call %d: %s", n, status.message);
            broken_stop();
            expect_same_checkpoints("model", "whole", 2);
        }
    log_set(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_allocation), cmocka_unit_test(test_every_file_call) };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
