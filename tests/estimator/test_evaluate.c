/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation: how far it reads, when it happens in training, and what stands in the event files of both. */
#include "custom.h"
#include "train/events.h"

/* 24 rows in batches of 10, 10 and 4. */
static pil_dataset *input_uneven(void *params)
{
    (void)params;
    return pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = custom_x[0], .rows = CUSTOM_ROWS, .shape = { CUSTOM_WIDTH } }),
                                   false, .y = { .floats = custom_y, .rows = CUSTOM_ROWS }, .batch_size = 10);
}

static pil_dataset *input_empty_file(void *params)
{
    (void)params;
    scratch_write(scratch_path("empty.csv"), "x,y\n", 4);
    return pil_csv_dataset(PIL_WORDS(scratch_path("empty.csv")), 2, .label_name = "y", .num_epochs = 1);
}

/* y is 0 whatever x is: losses follow from the labels. */
static pil_estimator_spec zero_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    (void)params;
    pil_tensor *w = pil_variable(g, "w", pil_zeros(g, PIL_SHAPE(CUSTOM_WIDTH, 1)));
    return custom_spec(g, pil_matmul(g, pil_feature(features, "x"), w), targets, mode);
}

static double squares(int first, int count)
{
    double sum = 0;
    for (int r = first; r < first + count; r++)
        sum += (double)custom_y[r] * (double)custom_y[r];
    return sum;
}

/* The loss is the mean of the batches' losses, a short one among them; a metric that of the rows. */
static void test_loss_and_metrics(void **state)
{
    (void)state;
    pil_result result;
    pil_estimator *estimator = custom_new(zero_model, "zero", 1);
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_uneven }, &result));
    assert_int_equal(result.metric_count, 2);
    assert_string_equal(result.metrics[0].name, "rmse");
    assert_string_equal(result.metrics[1].name, "loss");
    double batches = (squares(0, 10) / 10 + squares(10, 10) / 10 + squares(20, 4) / 4) / 3;
    assert_true(fabs(pil_metrics_get(&result, "loss") - batches) < 1e-6);
    assert_true(fabs(pil_metrics_get(&result, "rmse") - sqrt(squares(0, CUSTOM_ROWS) / CUSTOM_ROWS)) < 1e-6);
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_uneven, .steps = 1 }, &result));
    assert_true(fabs(pil_metrics_get(&result, "loss") - squares(0, 10) / 10) < 1e-6);
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_endless, .steps = 12 }, &result)); /* twice */
    assert_true(fabs(pil_metrics_get(&result, "loss") - squares(0, CUSTOM_ROWS) / CUSTOM_ROWS) < 1e-6);
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_uneven }, NULL));
    pil_estimator_free(estimator);
}

/* Options of metrics that lie on the model function's stack. */
static pil_estimator_spec threshold_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                          void *params)
{
    (void)params;
    float thresholds[] = { 0.25f, 0.5f, 0.75f };
    char curve[] = "PR", name[] = "auc_pr";
    pil_tensor *logits = custom_layer(g, pil_feature(features, "x"));
    pil_estimator_spec spec = { .mode = mode, .predictions = PIL_DICT(g, { "p", pil_sigmoid(g, logits) }) };
    if (mode == PIL_PREDICT)
        return spec;
    spec.loss = pil_sigmoid_cross_entropy(g, targets, logits);
    spec.eval_metric_ops = PIL_METRICS(g, { name, pil_metric_auc(g, targets, pil_sigmoid(g, logits), .thresholds = thresholds,
                                                                 .threshold_count = 3, .curve = curve) });
    memset(thresholds, 0, sizeof thresholds);
    memset(curve, 'x', sizeof curve - 1);
    memset(name, 'x', sizeof name - 1);
    return spec;
}

static void test_options_are_copied(void **state)
{
    (void)state;
    pil_result result;
    pil_estimator *estimator = custom_new(threshold_model, "thresholds", 1);
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_class, .steps = 6 }, &result));
    const double area = pil_metrics_get(&result, "auc_pr");
    assert_true(area > 0 && area <= 1);
    assert_true(isnan(pil_metrics_get(&result, NULL)));
    pil_estimator_free(estimator);
}

static pil_estimator_spec narrow_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                       void *params)
{
    (void)params;
    return custom_spec(g, pil_layers_dense(g, pil_feature(features, "x"), 1), targets, mode);
}

static void test_no_rows(void **state)
{
    (void)state;
    pil_result result;
    pil_estimator *estimator = custom_new(narrow_model, "narrow", 1);
    expect_error_words("evaluate", pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_empty_file }, &result),
                       PIL_BAD_DATA, "empty.csv", "no rows");
    assert_int_equal(result.metric_count, 0);
    expect_error_words("train", pil_train(estimator, &(pil_train_spec){ .input_fn = input_empty_file }), PIL_BAD_DATA, "no rows");
    assert_false(file_exists(scratch_path("narrow")));
    pil_predictions *predictions = pil_predict(estimator, input_empty_file);
    assert_false(pil_predictions_next(predictions));
    expect_ok(pil_predictions_close(predictions));
    pil_estimator_free(estimator);
}

/* ---- in training ---- */

static int64_t evaluated[16], evaluations;

static bool count_evaluation(void *context, pil_run *run, pil_status *status)
{
    (void)context;
    (void)status;
    evaluated[evaluations++ % 16] = pil_run_step(run);
    return true;
}

/* 100 batches where the spec says nothing; at every checkpoint, or at the first and then when the time has come, and at the end.
 */
static void test_when(void **state)
{
    (void)state;
    pil_result result;
    const pil_hook hook = { .begin = count_evaluation };
    pil_run_config config = pil_run_config_default();
    config.save_checkpoints_steps = 2;
    for (int often = 0; often < 2; often++) {
        pil_estimator *estimator = pil_estimator_new(&(pil_estimator_config){
            .model_fn = custom_model, .model_dir = scratch_path(often ? "often" : "seldom"), .config = &config });
        pil_eval_spec spec = { .input_fn = input_endless, .throttle_secs = often ? -1 : 0, .hooks = &hook, .hook_count = 1 };
        evaluations = 0;
        expect_ok(
            pil_train_and_evaluate(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 7 }, &spec, &result));
        const int64_t all[] = { 2, 4, 6, 7 }, few[] = { 2, 7 };
        assert_int_equal(evaluations, often ? 4 : 2);
        assert_memory_equal(evaluated, often ? all : few, (often ? 4 : 2) * sizeof all[0]);
        assert_int_equal(result.global_step, 7);
        pil_result alone;
        spec.steps = 100;
        expect_ok(pil_evaluate(estimator, &spec, &alone));
        assert_memory_equal(&alone, &result, sizeof alone); /* the default of steps, and the live values */
        pil_estimator_free(estimator);
    }
}

static pil_dataset *alternating(void *params)
{
    static int calls;
    (void)params;
    return calls++ % 2 ? input_once(NULL) : input_uneven(NULL);
}

/* Data of other features, from one evaluation to the next: the graph is made anew for them. */
static void test_other_features(void **state)
{
    (void)state;
    pil_result first, result;
    pil_run_config config = pil_run_config_default();
    config.save_checkpoints_steps = 1;
    const pil_hook hook = { .begin = count_evaluation };
    const pil_eval_spec spec = {
        .input_fn = alternating, .steps = PIL_ALL, .throttle_secs = -1, .hooks = &hook, .hook_count = 1
    };
    pil_estimator *estimator = pil_estimator_new(
        &(pil_estimator_config){ .model_fn = custom_model, .model_dir = scratch_path("alternating"), .config = &config });
    evaluations = 0;
    expect_ok(pil_train_and_evaluate(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 4 }, &spec, &result));
    assert_int_equal(evaluations, 4);
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_once }, &first));
    assert_true(fabs(pil_metrics_get(&first, "rmse") - pil_metrics_get(&result, "rmse")) < 1e-12);
    pil_estimator_free(estimator);
}

static pil_estimator *running;

static bool stop_it(void *context, pil_run *run, pil_status *status)
{
    (void)context;
    (void)run;
    (void)status;
    pil_estimator_stop(running);
    return true;
}

/* A stop ends an evaluation by itself, and one in training together with the training, behind its checkpoint. */
static void test_stopped(void **state)
{
    (void)state;
    pil_result result;
    const pil_hook hook = { .after_run = stop_it };
    const pil_eval_spec spec = { .input_fn = input_endless, .steps = 50, .throttle_secs = -1, .hooks = &hook, .hook_count = 1 };
    pil_run_config config = pil_run_config_default();
    config.save_checkpoints_steps = 2;
    config.tf_random_seed = 7; /* as the other's */
    running = pil_estimator_new(
        &(pil_estimator_config){ .model_fn = custom_model, .model_dir = scratch_path("cancelled"), .config = &config });
    const pil_status status = pil_evaluate(running, &spec, &result);
    expect_error_words("alone", status, PIL_CANCELLED, "stopped in the evaluation of step 0");
    assert_null(strstr(status.message, "saved"));
    assert_int_equal(result.metric_count, 0);
    expect_error_words(
        "in training",
        pil_train_and_evaluate(running, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 9 }, &spec, &result),
        PIL_CANCELLED, "stopped in the evaluation of step 2", "saved");
    assert_int_equal(custom_step("cancelled"), 2);
    custom_train(running, input_endless, 9);
    pil_estimator_free(running);
    custom_train_in("uncancelled", custom_model, input_endless, 1, 9);
    expect_same_checkpoints("cancelled", "uncancelled", 9);
}

/* ---- event files ---- */

/* "step tag value" lines of the only event file of a folder that has other files, too. */
static void events_of(const char *folder, char *out, size_t size)
{
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char **names;
    size_t count, found = 0;
    if (!file_list(folder, arena, &names, &count, &status))
        fail_msg("%s", status.message);
    const char *copies = scratch_path("copies");
    mkdir(copies, 0777);
    for (size_t i = 0; i < count; i++)
        if (strncmp(names[i], "events.out.tfevents.", 20) == 0) {
            scratch_copy(path_join(arena, folder, names[i], &status), path_join(arena, copies, "events", &status));
            found++;
        }
    assert_int_equal(found, 1);
    read_events(copies, out, size);
    arena_free(arena);
}

/* Whether there is such a line, without its number. */
static void expect_event(const char *events, int64_t step, const char *tag, bool there)
{
    char line[128];
    snprintf(line, sizeof line, "\n%lld %s ", (long long)step, tag);
    bool found = strncmp(events, line + 1, strlen(line + 1)) == 0 || strstr(events, line);
    if (found != there)
        fail_msg("%s%s is%s in:\n%s", line + 1, "", found ? "" : " not", events);
}

static void test_events(void **state)
{
    (void)state;
    char events[4096], line[128];
    pil_run_config config = pil_run_config_default();
    config.save_summary_steps = 2;
    config.log_step_count_steps = 2;
    pil_result result;
    pil_estimator *estimator = pil_estimator_new(
        &(pil_estimator_config){ .model_fn = custom_model, .model_dir = scratch_path("events"), .config = &config });
    expect_ok(pil_train_and_evaluate(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 5 },
                                     &(pil_eval_spec){ .input_fn = input_once, .steps = PIL_ALL }, &result));
    events_of(scratch_path("events"), events, sizeof events);
    for (int64_t step = 1; step <= 5; step++) {
        expect_event(events, step, "loss", step % 2 == 1);
        expect_event(events, step, "OptimizeLoss/loss", step % 2 == 1);
        expect_event(events, step, "OptimizeLoss/global_norm/gradient_norm", step % 2 == 1);
    }
    assert_non_null(strstr(events, " global_step/sec "));
    events_of(scratch_path("events/eval"), events, sizeof events);
    snprintf(line, sizeof line, "5 rmse %g\n5 loss %g\n", (double)(float)pil_metrics_get(&result, "rmse"),
             (double)(float)pil_metrics_get(&result, "loss"));
    assert_string_equal(events, line);
    /* An evaluation by itself writes as one in training does, under its name. */
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_once, .name = "late" }, NULL));
    events_of(scratch_path("events/eval_late"), events, sizeof events);
    assert_string_equal(events, line);
    pil_estimator_free(estimator);
}

static void test_no_summaries(void **state)
{
    (void)state;
    char events[4096];
    pil_run_config config = pil_run_config_default();
    config.save_summary_steps = config.log_step_count_steps = 0;
    pil_estimator *estimator = pil_estimator_new(
        &(pil_estimator_config){ .model_fn = custom_model, .model_dir = scratch_path("quiet"), .config = &config });
    custom_train(estimator, input_endless, 3);
    events_of(scratch_path("quiet"), events, sizeof events);
    assert_string_equal(events, "");
    pil_estimator_free(estimator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_and_metrics), cmocka_unit_test(test_options_are_copied),
        cmocka_unit_test(test_no_rows),          cmocka_unit_test(test_when),
        cmocka_unit_test(test_other_features),   cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_events),           cmocka_unit_test(test_no_summaries),
    };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
