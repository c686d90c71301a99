/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training as it is watched and disturbed: hooks in all three modes, stops, other estimators in the folder, a folder that
 * disappears, and what stands in the event files.
 */
#include "custom.h"

#include <sys/wait.h>

/* ---- hooks ---- */

static char calls[4096]; /* "begin before after ..." */

struct watcher {
    const char *name;
    int64_t stop_at, fail_at; /* steps; 0: never */
    pil_estimator *stops;     /* pil_estimator_stop instead of the run's own stop */
    bool (*act)(void);        /* once, at the second step */
    int64_t last_examples;
    float last_mean;
    double last_loss;
};

static bool note(const struct watcher *watcher, const char *what)
{
    size_t used = strlen(calls);
    snprintf(calls + used, sizeof calls - used, "%s%s.%s", used ? " " : "", watcher->name, what);
    return true;
}

static bool watch_begin(void *context, pil_run *run, pil_status *status)
{
    size_t count;
    (void)status;
    assert_true(isnan(pil_run_loss(run)));
    assert_null(pil_run_value(run, "mean", &count));
    return note(context, "begin");
}

static bool watch_before(void *context, pil_run *run, pil_status *status)
{
    (void)run;
    (void)status;
    return note(context, "before");
}

static bool watch_after(void *context, pil_run *run, pil_status *status)
{
    struct watcher *watcher = context;
    size_t count = 0;
    const float *mean = pil_run_value(run, "mean", &count);
    char text[32];
    if (mean && count == 1)
        watcher->last_mean = mean[0];
    watcher->last_examples = pil_run_examples(run);
    watcher->last_loss = pil_run_loss(run);
    snprintf(text, sizeof text, "after%lld", (long long)pil_run_step(run));
    note(watcher, text);
    if (watcher->act && watcher->last_examples == 2 * CUSTOM_BATCH && !watcher->act())
        return false;
    if (watcher->fail_at && pil_run_step(run) == watcher->fail_at) {
        status->code = PIL_IO;
        snprintf(status->message, sizeof status->message, "the screen is gone");
        return false;
    }
    if (watcher->stop_at && watcher->last_examples == watcher->stop_at * CUSTOM_BATCH) {
        if (watcher->stops)
            pil_estimator_stop(watcher->stops);
        else
            pil_run_request_stop(run);
    }
    return true;
}

static bool watch_end(void *context, pil_run *run, pil_status *status)
{
    (void)run;
    (void)status;
    return note(context, "end");
}

static pil_hook hook_of(struct watcher *watcher, pil_dict fetches)
{
    return (pil_hook){ .begin = watch_begin,
                       .before_run = watch_before,
                       .after_run = watch_after,
                       .end = watch_end,
                       .context = watcher,
                       .fetches = fetches };
}

/* The spec's own hook, in every mode; it fetches. */
static struct watcher inner = { .name = "spec" };

static pil_estimator_spec watched_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                        void *params)
{
    (void)params;
    pil_tensor *y = custom_layer(g, pil_feature(features, "x"));
    pil_estimator_spec spec = custom_spec(g, y, targets, mode);
    const pil_hook hook = hook_of(&inner, PIL_DICT(g, { "mean", pil_reduce_mean(g, y) }));
    spec.training_hooks[0] = spec.evaluation_hooks[0] = spec.prediction_hooks[0] = hook;
    spec.training_hook_count = spec.evaluation_hook_count = spec.prediction_hook_count = 1;
    return spec;
}

static void start_watching(void)
{
    calls[0] = '\0';
    inner = (struct watcher){ .name = "spec" };
}

static void test_training_hooks(void **state)
{
    (void)state;
    struct watcher outer = { .name = "call" };
    const pil_hook hook = hook_of(&outer, (pil_dict){ 0 });
    pil_estimator *estimator = custom_new(watched_model, "hooks", 1);
    start_watching();
    expect_ok(
        pil_train(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 2, .hooks = &hook, .hook_count = 1 }));
    assert_string_equal(
        calls, "call.begin spec.begin call.before spec.before call.after1 spec.after1 call.before spec.before call.after2 "
               "spec.after2 call.end spec.end");
    assert_int_equal(outer.last_examples, 2 * CUSTOM_BATCH);
    assert_true(inner.last_mean != 0 && isfinite(inner.last_loss));
    pil_estimator_free(estimator);
}

static void test_evaluation_hooks(void **state)
{
    (void)state;
    struct watcher outer = { .name = "call", .stop_at = 2 };
    const pil_hook hook = hook_of(&outer, (pil_dict){ 0 });
    pil_estimator *estimator = custom_new(watched_model, "hooks", 1);
    pil_result two, stopped;
    start_watching();
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_once, .hooks = &hook, .hook_count = 1 }, &stopped));
    assert_string_equal(
        calls, "call.begin spec.begin call.before spec.before call.after2 spec.after2 call.before spec.before call.after2 "
               "spec.after2 call.end spec.end");
    assert_true(isfinite(inner.last_loss));
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_once, .steps = 2 }, &two));
    assert_memory_equal(&two, &stopped, sizeof two); /* what was asked for by a stop and by a number */
    outer = (struct watcher){ .name = "call", .fail_at = 2 };
    expect_error_words("a hook that fails",
                       pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_once, .hooks = &hook, .hook_count = 1 }, NULL),
                       PIL_IO, "the screen is gone");
    pil_estimator_free(estimator);
}

static int64_t predict_rows(pil_estimator *estimator, int64_t most)
{
    int64_t rows = 0;
    pil_predictions *predictions = pil_predict(estimator, input_unlabelled);
    while (rows < most && pil_predictions_next(predictions))
        rows++;
    expect_ok(pil_predictions_close(predictions));
    return rows;
}

static void test_prediction_hooks(void **state)
{
    (void)state;
    pil_estimator *estimator = custom_new(watched_model, "hooks", 1);
    start_watching();
    assert_int_equal(predict_rows(estimator, 5), 5); /* in the second batch */
    assert_string_equal(calls, "spec.begin spec.before spec.after2 spec.before spec.after2 spec.end");
    assert_true(isnan(inner.last_loss) && inner.last_mean != 0);
    start_watching();
    inner.stop_at = 3;
    assert_int_equal(predict_rows(estimator, 1000), 3 * CUSTOM_BATCH);
    start_watching();
    assert_int_equal(predict_rows(estimator, 1000), CUSTOM_ROWS);
    assert_non_null(strstr(calls, "spec.before spec.end")); /* the end of the data shows behind before_run, as in the original */
    start_watching();
    inner.fail_at = 2;
    pil_predictions *predictions = pil_predict(estimator, input_unlabelled);
    assert_false(pil_predictions_next(predictions));
    assert_false(pil_predictions_next(predictions));
    assert_null(pil_predictions_get(predictions, "predicted", NULL));
    expect_error_words("a hook that fails", pil_predictions_close(predictions), PIL_IO, "the screen is gone");
    assert_null(strstr(calls, "end"));
    pil_estimator_free(estimator);
}

static pil_status train_with(pil_estimator *estimator, struct watcher *watcher, int64_t max_steps)
{
    const pil_hook hook = hook_of(watcher, (pil_dict){ 0 });
    return pil_train(estimator,
                     &(pil_train_spec){ .input_fn = input_shuffled, .max_steps = max_steps, .hooks = &hook, .hook_count = 1 });
}

/* A run that is stopped saves, and goes on to the bits of one that was not. */
static void test_stops(void **state)
{
    (void)state;
    pil_estimator *estimator = custom_new(custom_model, "stopped", 2);
    expect_ok(train_with(estimator, &(struct watcher){ .name = "own", .stop_at = 3 }, 9));
    assert_int_equal(custom_step("stopped"), 3);
    expect_error_words("a signal",
                       train_with(estimator, &(struct watcher){ .name = "signal", .stop_at = 2, .stops = estimator }, 9),
                       PIL_CANCELLED, "stopped at step 5", "saved");
    assert_int_equal(custom_step("stopped"), 5);
    expect_error_words("an error", train_with(estimator, &(struct watcher){ .name = "error", .fail_at = 7 }, 9), PIL_IO,
                       "the screen");
    assert_int_equal(custom_step("stopped"), 5);
    expect_ok(train_with(estimator, &(struct watcher){ .name = "none" }, 9));
    pil_estimator_free(estimator);
    custom_train_in("unstopped", custom_model, input_shuffled, 1, 9);
    expect_same_checkpoints("stopped", "unstopped", 9);
}

/* ---- others ---- */

static pil_estimator *self, *other;

static bool ask_others(void)
{
    pil_result result;
    const pil_train_spec train = { .input_fn = input_endless, .max_steps = 9 };
    const pil_eval_spec eval = { .input_fn = input_once };
    char path[PIL_PATH];
    expect_error_words("the folder", pil_train(other, &train), PIL_BUSY, scratch_path("busy"),
                       "another training runs in this folder");
    expect_ok(pil_evaluate(other, &eval, &result)); /* of the newest checkpoint */
    assert_int_equal(result.global_step, 0);
    expect_error_words("itself", pil_train(self, &train), PIL_BUSY, "training");
    expect_error_words("evaluated", pil_evaluate(self, &eval, &result), PIL_BUSY, "training", "evaluating");
    expect_error_words("exported", pil_export(self, scratch_path("busy"), custom_serving, path), PIL_BUSY, "training");
    pil_predictions *predictions = pil_predict(self, input_once);
    assert_false(pil_predictions_next(predictions));
    expect_error_words("predicting", pil_predictions_close(predictions), PIL_BUSY, "training");
    return true;
}

static void test_busy(void **state)
{
    (void)state;
    self = custom_new(custom_model, "busy", 1);
    other = custom_new(custom_model, "busy", 1);
    expect_ok(train_with(self, &(struct watcher){ .name = "ask", .act = ask_others }, 4));
    pil_predictions *predictions = pil_predict(self, input_once);
    assert_true(pil_predictions_next(predictions));
    expect_error_words("open predictions", pil_train(self, &(pil_train_spec){ .input_fn = input_endless }), PIL_BUSY,
                       "predicting", "close");
    assert_true(pil_predictions_next(predictions));
    expect_ok(pil_predictions_close(predictions));
    custom_train(self, input_shuffled, 6);
    pil_estimator_free(self);
    pil_estimator_free(other);
}

/* A child trains in the folder: the code of its status is its exit. */
static int train_in_child(int64_t max_steps)
{
    int exit_status = -1;
    const pid_t child = fork();
    if (child == 0) {
        pil_estimator *estimator = custom_new(custom_model, "processes", 1);
        const pil_status status = pil_train(estimator, &(pil_train_spec){ .input_fn = input_shuffled, .max_steps = max_steps });
        pil_estimator_free(estimator);
        _exit((int)status.code);
    }
    assert_true(child > 0 && waitpid(child, &exit_status, 0) == child && WIFEXITED(exit_status));
    return WEXITSTATUS(exit_status);
}

static bool ask_a_child(void)
{
    assert_int_equal(train_in_child(9), PIL_BUSY);
    return true;
}

/* Another process is kept out while the model trains; what it trains afterwards is found. */
static void test_processes(void **state)
{
    (void)state;
    pil_result result;
    pil_estimator *estimator = custom_new(custom_model, "processes", 1);
    expect_ok(train_with(estimator, &(struct watcher){ .name = "ask", .act = ask_a_child }, 3));
    assert_int_equal(train_in_child(6), PIL_OK);
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_once }, &result));
    assert_int_equal(result.global_step, 6);
    custom_train(estimator, input_shuffled, 8);
    pil_estimator_free(estimator);
    custom_train_in("alone", custom_model, input_shuffled, 1, 8);
    expect_same_checkpoints("processes", "alone", 8);
}

static bool remove_folder(void)
{
    nftw(scratch_path("gone"), scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    assert_false(file_exists(scratch_path("gone")));
    return true;
}

static bool remove_at_end(void *context, pil_run *run, pil_status *status)
{
    (void)context;
    (void)run;
    (void)status;
    return remove_folder();
}

/* The folder goes while steps are taken, and between a checkpoint and the export that follows it. */
static void test_folder_disappears(void **state)
{
    (void)state;
    pil_estimator *estimator = custom_new(custom_model, "gone", 1);
    expect_ok(train_with(estimator, &(struct watcher){ .name = "remove", .act = remove_folder }, 5));
    assert_int_equal(custom_step("gone"), 5);
    custom_train(estimator, input_shuffled, 7);
    custom_train_in("stayed", custom_model, input_shuffled, 1, 7);
    expect_same_checkpoints("gone", "stayed", 7);
    const pil_hook hook = { .end = remove_at_end };
    pil_result result;
    expect_ok(pil_train_and_evaluate(estimator, &(pil_train_spec){ .input_fn = input_shuffled, .max_steps = 9 },
                                     &(pil_eval_spec){ .input_fn = input_once,
                                                       .steps = PIL_ALL,
                                                       .hooks = &hook,
                                                       .hook_count = 1,
                                                       .exporters = { pil_latest_exporter("e", custom_serving) } },
                                     &result));
    assert_int_equal(result.export_count, 1);
    assert_true(file_is_folder(result.exports[0]));
    remove_folder();
    custom_train(estimator, input_shuffled, 7); /* from first values */
    expect_same_checkpoints("gone", "stayed", 7);
    pil_estimator_free(estimator);
}

/* ---- checkpoints ---- */

/* The steps of the checkpoints that a training of seven steps leaves: "0 3 6 7". */
static void saved_steps(pil_run_config config, char *out, size_t size)
{
    static int number;
    char folder[16];
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char **prefixes;
    size_t count, used = 0;
    snprintf(folder, sizeof folder, "saved%d", number++);
    pil_estimator *estimator = pil_estimator_new(
        &(pil_estimator_config){ .model_fn = custom_model, .model_dir = scratch_path(folder), .config = &config });
    custom_train(estimator, input_endless, 7);
    pil_estimator_free(estimator);
    assert_true(checkpoint_list(scratch_path(folder), arena, &prefixes, &count, &status));
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? " " : "", strrchr(prefixes[i], '-') + 1);
    arena_free(arena);
}

static void test_when_saved(void **state)
{
    (void)state;
    const struct {
        int64_t steps;
        double secs;
        int64_t keep;
        const char *expected;
    } rows[] = {
        { 3, -1, 5, "0 3 6 7" }, { 3, -1, 2, "6 7" }, { 3, 0, 0, "0 3 6 7" },  { 1, -1, 0, "0 1 2 3 4 5 6 7" },
        { 0, 0, 5, "0 7" },      { 0, -1, 5, "0 7" }, { 0, 1e-9, 3, "5 6 7" }, { 7, -1, 1, "7" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char steps[64] = "";
        pil_run_config config = pil_run_config_default();
        config.save_checkpoints_steps = rows[i].steps;
        config.save_checkpoints_secs = rows[i].secs;
        config.keep_checkpoint_max = rows[i].keep;
        saved_steps(config, steps, sizeof steps);
        assert_string_equal(steps, rows[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training_hooks),
        cmocka_unit_test(test_evaluation_hooks),
        cmocka_unit_test(test_prediction_hooks),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_when_saved),
        cmocka_unit_test(test_processes),
        cmocka_unit_test(test_folder_disappears),
    };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
