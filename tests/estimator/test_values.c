/* SPDX-License-Identifier: Apache-2.0 */
/* Where values come from: initializers, a model that is taken over, the model's own checkpoint; and what a program is told of
 * them. */
#include "custom.h"

static pil_estimator *warm(const char *folder, const char *from)
{
    return pil_estimator_new(&(pil_estimator_config){
        .model_fn = custom_model, .model_dir = scratch_path(folder), .warm_start_from = scratch_path(from) });
}

static void read_w(pil_estimator *estimator, float *out)
{
    expect_ok(pil_variable_value(estimator, "w", NULL, out, CUSTOM_WIDTH));
}

static int set_up(void **state)
{
    custom_set_up(state);
    custom_train_in("old", custom_model, input_endless, 1, 5);
    return 0;
}

static void test_warm_start(void **state)
{
    (void)state;
    float old[CUSTOM_WIDTH], taken[CUSTOM_WIDTH];
    pil_estimator *estimator = custom_new(custom_model, "old", 1);
    read_w(estimator, old);
    pil_estimator_free(estimator);
    const char *const from[] = { "old", "old/model.ckpt-5" };
    for (size_t i = 0; i < COUNT_OF(from); i++) {
        char folder[16];
        snprintf(folder, sizeof folder, "new%zu", i);
        pil_result before, after;
        pil_estimator *old_estimator = custom_new(custom_model, "old", 1);
        expect_ok(pil_evaluate(old_estimator, &(pil_eval_spec){ .input_fn = input_once }, &before));
        pil_estimator_free(old_estimator);
        estimator = warm(folder, from[i]);
        custom_log_start();
        expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_once }, &after)); /* before it has a checkpoint */
        assert_non_null(strstr(custom_log, "there is no checkpoint in"));
        assert_non_null(strstr(custom_log, from[i]));
        assert_true(pil_metrics_get(&before, "rmse") == pil_metrics_get(&after, "rmse"));
        assert_int_equal(after.global_step, 0);
        expect_ok(pil_train(estimator, &(pil_train_spec){ .input_fn = input_endless, .steps = 1 }));
        assert_int_equal(custom_step(folder), 1);
        pil_estimator_free(estimator);
        /* The checkpoint at the start has the old weights. */
        snprintf(folder, sizeof folder, "new%zu", i);
        char prefix[64];
        pil_status status = { 0 };
        snprintf(prefix, sizeof prefix, "%s/model.ckpt-0", folder);
        struct bundle *bundle = bundle_open(scratch_path(prefix), &status);
        assert_true(status_ok(&status) && bundle_read(bundle, bundle_find(bundle, "w"), taken, &status));
        assert_memory_equal(old, taken, sizeof old);
        bundle_close(bundle);
    }
    log_set(NULL, NULL);
}

/* A model that has a checkpoint goes on from that one. */
static void test_own_checkpoint_wins(void **state)
{
    (void)state;
    pil_estimator *estimator = warm("own", "old");
    expect_ok(pil_train(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 2 }));
    pil_estimator_free(estimator);
    estimator = warm("own", "old");
    custom_log_start();
    expect_ok(pil_train(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 4 }));
    assert_non_null(strstr(custom_log, "goes on from its own checkpoint: nothing is taken from"));
    assert_int_equal(custom_step("own"), 4);
    log_set(NULL, NULL);
    pil_estimator_free(estimator);
}

static pil_estimator_spec other_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                      void *params)
{
    (void)params;
    pil_tensor *w = pil_variable(g, "v", pil_zeros(g, PIL_SHAPE(CUSTOM_WIDTH, 1)));
    return custom_spec(g, pil_matmul(g, pil_feature(features, "x"), w), targets, mode);
}

/* To evaluate: it has nothing to train. */
static pil_estimator_spec wider_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                      void *params)
{
    (void)params;
    pil_variable(g, "w", pil_zeros(g, PIL_SHAPE(CUSTOM_WIDTH, 2)), .trainable = false);
    pil_variable(g, "b", pil_zeros(g, PIL_SHAPE(1)), .trainable = false);
    pil_tensor *first = pil_slice(g, pil_feature(features, "x"), PIL_SHAPE(0, 0), PIL_SHAPE(-1, 1));
    return (pil_estimator_spec){ .mode = mode, .loss = pil_mean_squared_error(g, targets, first) };
}

static void test_wrong_starts(void **state)
{
    (void)state;
    const pil_train_spec spec = { .input_fn = input_endless, .max_steps = 7 };
    pil_estimator *estimator = warm("nowhere", "nothing");
    expect_error_words("no such folder", pil_train(estimator, &spec), PIL_NOT_FOUND, "nothing");
    pil_estimator_free(estimator);
    estimator = pil_estimator_new(&(pil_estimator_config){
        .model_fn = other_model, .model_dir = scratch_path("nowhere"), .warm_start_from = scratch_path("old") });
    expect_error_words("nothing fits", pil_train(estimator, &spec), PIL_INVALID_ARGUMENT, "old", "none of its variables fits");
    pil_estimator_free(estimator);
    assert_false(file_exists(scratch_path("nowhere")));

    estimator = custom_new(other_model, "old", 1); /* another model on the folder */
    expect_error_words("another model", pil_train(estimator, &spec), PIL_INVALID_ARGUMENT, "model.ckpt-5 is of another model",
                       "v is not there");
    expect_error_words("evaluated", pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_once }, NULL),
                       PIL_INVALID_ARGUMENT, "v is not there");
    pil_estimator_free(estimator);
    estimator = custom_new(wider_model, "old", 1);
    expect_error_words("another shape", pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_once }, NULL),
                       PIL_INVALID_ARGUMENT, "w", "[3, 1]", "[3, 2]");
    pil_estimator_free(estimator);
}

/* A damaged checkpoint is told, not trained over. */
static void test_damaged(void **state)
{
    (void)state;
    custom_train_in("damaged", custom_model, input_endless, 1, 3);
    size_t size;
    const char *path = scratch_path("damaged/model.ckpt-3.data-00000-of-00001");
    char *data = scratch_read(path, &size);
    for (size_t i = 0; i < size; i += 3)
        data[i] ^= 0x10;
    scratch_write(path, data, size);
    free(data);
    float values[CUSTOM_WIDTH];
    pil_estimator *estimator = custom_new(custom_model, "damaged", 1);
    expect_error_words("train", pil_train(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 5 }),
                       PIL_BAD_DATA, "model.ckpt-3");
    expect_error_words("evaluate", pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_once }, NULL), PIL_BAD_DATA,
                       "model.ckpt-3");
    expect_error_words("a variable", pil_variable_value(estimator, "w", NULL, values, CUSTOM_WIDTH), PIL_BAD_DATA, "model.ckpt-3",
                       "w");
    assert_int_equal(custom_step("damaged"), 3);
    pil_estimator_free(estimator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warm_start),
        cmocka_unit_test(test_own_checkpoint_wins),
        cmocka_unit_test(test_wrong_starts),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_tear_down);
}
