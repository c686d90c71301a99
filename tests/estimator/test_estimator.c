/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an estimator: it trains, goes on, is stopped, is asked in between, and shares its folder with others. What is
 * compared are the bytes of checkpoints: in pieces or at once, alone or watched, a training ends in the same model.
 */
#include "custom.h"

#include <pthread.h>

/* A model with all that a resumed run must draw again: dropout, a hidden layer, Adam's slots. */
static pil_estimator_spec deep_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    (void)params;
    pil_tensor *h = pil_layers_dense(g, pil_feature(features, "x"), 5, .activation = PIL_ACTIVATION_TANH, .name = "hidden");
    h = pil_nn_dropout(g, h, .rate = 0.3f, .training = mode == PIL_TRAIN);
    pil_tensor *predictions = pil_layers_dense(g, h, 1, .name = "last");
    pil_estimator_spec spec = { .mode = mode, .predictions = PIL_DICT(g, { "predicted", predictions }) };
    if (mode == PIL_PREDICT)
        return spec;
    spec.loss = pil_mean_squared_error(g, targets, predictions);
    spec.train_op = pil_minimize(g, pil_adam_optimizer(0.05f), spec.loss);
    spec.eval_metric_ops = PIL_METRICS(g, { "rmse", pil_root_mean_squared_error(g, targets, predictions) });
    return spec;
}

/* ---- inputs ---- */

static pil_dataset *csv_file(bool shuffle, int64_t epochs)
{
    const char *path = scratch_path("rows.csv");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "a,b,c,y\n");
    for (int r = 0; r < CUSTOM_ROWS; r++)
        fprintf(file, "%.9g,%.9g,%.9g,%.9g\n", (double)custom_x[r][0], (double)custom_x[r][1], (double)custom_x[r][2],
                (double)custom_y[r]);
    fclose(file);
    return pil_csv_dataset(PIL_WORDS(path), CUSTOM_BATCH, .label_name = "y", .shuffle = shuffle, .shuffle_buffer_size = 10,
                           .num_epochs = epochs);
}

static pil_dataset *input_csv(void *params)
{
    (void)params;
    return csv_file(true, 0);
}

/* Five batches an epoch, the last of them short; an epoch's rows begin where its number says. */
static bool next_rows(void *context, int64_t epoch, int64_t batch, pil_batch *out, pil_status *status)
{
    (void)context;
    (void)status;
    if (batch == 5)
        return false;
    int64_t rows = batch == 4 ? 2 : CUSTOM_BATCH, first = (batch * 4 + epoch * 3) % (CUSTOM_ROWS - CUSTOM_BATCH);
    pil_batch_set_floats(out, "x", custom_x[first], rows);
    pil_batch_set_floats(out, "label", &custom_y[first], rows);
    return true;
}

static bool seek_rows(void *context, int64_t epoch, int64_t batch, pil_status *status)
{
    (void)context;
    (void)epoch;
    (void)batch;
    (void)status;
    return true;
}

static pil_dataset *callback(pil_seek_batch seek)
{
    return pil_dataset_from_callback(
        PIL_FEATURE_SPECS({ "x", PIL_TYPE_FLOAT32, .shape = { CUSTOM_WIDTH } }, { "label", PIL_TYPE_FLOAT32 }), next_rows,
        .seek = seek, .label_name = "label", .num_epochs = 0);
}

static pil_dataset *input_callback(void *params)
{
    (void)params;
    return callback(NULL);
}

static pil_dataset *input_seekable(void *params)
{
    (void)params;
    return callback(seek_rows);
}

/* The deep model over three columns of a file. */
static pil_estimator_spec file_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    (void)params;
    pil_tensor *parts[] = { pil_feature(features, "a"), pil_feature(features, "b"), pil_feature(features, "c") };
    pil_tensor *h =
        pil_nn_dropout(g, pil_layers_dense(g, pil_concat(g, parts, 3, 1), 5), .rate = 0.3f, .training = mode == PIL_TRAIN);
    return custom_spec(g, pil_layers_dense(g, h, 1), targets, mode);
}

/* ---- going on ---- */

static void test_steps(void **state)
{
    (void)state;
    float before[3], after[3];
    pil_shape shape;
    pil_estimator *estimator = custom_new(custom_model, "steps", 1);
    const pil_train_spec five = { .input_fn = input_endless, .steps = 5 };
    expect_ok(pil_train(estimator, &five));
    assert_int_equal(custom_step("steps"), 5);
    expect_ok(pil_variable_value(estimator, "w", &shape, before, 3));
    assert_true(shape.rank == 2 && shape.dims[0] == 3 && shape.dims[1] == 1);
    expect_ok(pil_train(estimator, &five)); /* steps add up */
    assert_int_equal(custom_step("steps"), 10);
    expect_ok(pil_variable_value(estimator, "w", NULL, after, 3));
    assert_memory_not_equal(before, after, sizeof before);
    custom_train(estimator, input_endless, 12); /* max_steps are the model's */
    assert_int_equal(custom_step("steps"), 12);
    custom_log_start();
    pil_result result;
    expect_ok(pil_train_and_evaluate(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 12 },
                                     &(pil_eval_spec){ .input_fn = input_once }, &result));
    assert_non_null(strstr(custom_log, "nothing to do"));
    assert_int_equal(result.metric_count, 0);
    assert_true(isnan(pil_metrics_get(&result, "loss")));
    log_set(NULL, NULL);
    pil_estimator_free(estimator);
}

/* An input that ends is begun again by the next call, and by a call whose steps would find nothing behind the checkpoint. */
static void test_end_of_data(void **state)
{
    (void)state;
    pil_estimator *estimator = custom_new(custom_model, "end", 1);
    expect_ok(pil_train(estimator, &(pil_train_spec){ .input_fn = input_once }));
    assert_int_equal(custom_step("end"), 6);
    expect_ok(pil_train(estimator, &(pil_train_spec){ .input_fn = input_once }));
    assert_int_equal(custom_step("end"), 12);
    pil_estimator_free(estimator);
    estimator = custom_new(custom_model, "all", 1);
    const pil_train_spec six = { .input_fn = input_once, .steps = 6 };
    expect_ok(pil_train(estimator, &six));
    expect_ok(pil_train(estimator, &six));
    assert_int_equal(custom_step("all"), 12);
    custom_log_start();
    custom_train(estimator, input_once, 20); /* as a run that was killed there, which has reached the end of its data */
    assert_int_equal(custom_step("all"), 12);
    assert_non_null(strstr(custom_log, "warning: the data end where"));
    custom_log_start();
    custom_train(estimator, input_once, 20);
    assert_int_equal(custom_step("all"), 18);
    assert_null(strstr(custom_log, "the data end where"));
    log_set(NULL, NULL);
    pil_estimator_free(estimator);
}

struct piece {
    const char *name;
    pil_model_fn model_fn;
    pil_input_fn input;
};
static const struct piece pieces[] = {
    { "arrays", deep_model, input_shuffled },
    { "csv", file_model, input_csv },
    { "callback", deep_model, input_callback },
    { "seekable", deep_model, input_seekable },
};

/* 13 steps at once, and 4 and 6 and 3, by one object and by several, at any number of threads. */
static void test_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        const struct piece *piece = &pieces[i];
        char whole[32], one[32], many[32];
        snprintf(whole, sizeof whole, "%s-whole", piece->name);
        custom_train_in(whole, piece->model_fn, piece->input, 1, 13);
        for (int threads = 1; threads <= 3; threads++) {
            snprintf(one, sizeof one, "%s-one-%d", piece->name, threads);
            snprintf(many, sizeof many, "%s-many-%d", piece->name, threads);
            pil_estimator *estimator = custom_new(piece->model_fn, one, threads);
            custom_train(estimator, piece->input, 4);
            custom_train(estimator, piece->input, 10);
            custom_train(estimator, piece->input, 13);
            pil_estimator_free(estimator);
            expect_same_checkpoints(whole, one, 13);
            custom_train_in(many, piece->model_fn, piece->input, threads, 4);
            custom_train_in(many, piece->model_fn, piece->input, threads, 10);
            custom_train_in(many, piece->model_fn, piece->input, threads, 13);
            expect_same_checkpoints(whole, many, 13);
        }
    }
}

static pil_dataset *input_other(void *params)
{
    (void)params;
    return pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = custom_x[4], .rows = 8, .shape = { CUSTOM_WIDTH } }), false,
                                   .y = { .floats = &custom_y[4], .rows = 8 }, .batch_size = 2);
}

/* A model that is trained on other data goes on with them from their first row. */
static void test_other_data(void **state)
{
    (void)state;
    pil_estimator *estimator = custom_new(custom_model, "other", 1);
    custom_train(estimator, input_endless, 3);
    custom_log_start();
    expect_ok(pil_train(estimator, &(pil_train_spec){ .input_fn = input_other }));
    assert_non_null(strstr(custom_log, "warning: "));
    assert_non_null(strstr(custom_log, "model.ckpt-3 was trained on other data"));
    assert_int_equal(custom_step("other"), 7);
    log_set(NULL, NULL);
    pil_estimator_free(estimator);
}

/* ---- modes on one object ---- */

static double mean_square(pil_estimator *estimator, int64_t *rows)
{
    double sum = 0;
    pil_predictions *predictions = pil_predict(estimator, input_unlabelled);
    for (*rows = 0; pil_predictions_next(predictions); ++*rows) {
        size_t count;
        const float *y = pil_predictions_get(predictions, "predicted", &count);
        assert_int_equal(count, 1);
        sum += ((double)y[0] - (double)custom_y[*rows]) * ((double)y[0] - (double)custom_y[*rows]);
    }
    expect_ok(pil_predictions_close(predictions));
    return sum / (double)*rows;
}

static void expect_evaluation(pil_estimator *estimator, int64_t step)
{
    pil_result result;
    int64_t rows;
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_once }, &result));
    double mean = mean_square(estimator, &rows);
    assert_int_equal(rows, CUSTOM_ROWS);
    assert_int_equal(result.global_step, step);
    assert_true(pil_metrics_get(&result, "global_step") == (double)step);
    assert_true(fabs(pil_metrics_get(&result, "rmse") - sqrt(mean)) < 1e-6);
    assert_true(fabs(pil_metrics_get(&result, "loss") - mean) < 1e-6);
    assert_true(isnan(pil_metrics_get(&result, "mae")));
}

/* First values, which are those that training begins with; nothing is written. */
static void test_untrained(void **state)
{
    (void)state;
    pil_estimator *estimator = custom_new(custom_model, "untrained", 1);
    custom_log_start();
    expect_evaluation(estimator, 0);
    assert_non_null(strstr(custom_log, "warning: there is no checkpoint in"));
    assert_false(file_exists(scratch_path("untrained")));
    log_set(NULL, NULL);
    custom_train(estimator, input_endless, 1);
    pil_estimator_free(estimator);
    custom_train_in("straight", custom_model, input_endless, 1, 1);
    expect_same_checkpoints("untrained", "straight", 0);
    expect_same_checkpoints("untrained", "straight", 1);
}

static void test_modes_mixed(void **state)
{
    (void)state;
    pil_estimator *estimator = custom_new(deep_model, "mixed", 2);
    expect_evaluation(estimator, 0);
    custom_train(estimator, input_shuffled, 4);
    expect_evaluation(estimator, 4);
    expect_evaluation(estimator, 4);
    custom_train(estimator, input_shuffled, 9);
    expect_evaluation(estimator, 9);
    pil_estimator_free(estimator);
    custom_train_in("unmixed", deep_model, input_shuffled, 1, 9);
    expect_same_checkpoints("mixed", "unmixed", 9);
}

/* A program that asks again and again does not grow. */
static void test_many_calls(void **state)
{
    (void)state;
    int64_t rows;
    custom_train_in("many", custom_model, input_endless, 1, 2);
    pil_estimator *estimator = custom_new(custom_model, "many", 1);
    mean_square(estimator, &rows);
    const size_t before = arena_bytes(estimator->arena);
    for (int i = 0; i < 300; i++)
        mean_square(estimator, &rows);
    assert_int_equal(arena_bytes(estimator->arena), before);
    pil_estimator_free(estimator);
}

/* A loss may need variables that predictions do not. */
static pil_estimator_spec uneven_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                       void *params)
{
    (void)params;
    pil_tensor *predictions = custom_layer(g, pil_feature(features, "x"));
    pil_estimator_spec spec = { .mode = mode, .predictions = PIL_DICT(g, { "predicted", predictions }) };
    if (mode == PIL_PREDICT)
        return spec;
    pil_tensor *scale = pil_variable(g, "scale", pil_ones(g, PIL_SCALAR));
    spec.loss = pil_mul(g, pil_mean_squared_error(g, targets, predictions), pil_square(g, scale));
    spec.train_op = pil_minimize(g, pil_gradient_descent_optimizer(0.1f), spec.loss);
    return spec;
}

static void test_variables_of_modes(void **state)
{
    (void)state;
    int64_t rows;
    pil_result result;
    custom_train_in("uneven", uneven_model, input_endless, 1, 3);
    pil_estimator *estimator = custom_new(uneven_model, "uneven", 1);
    mean_square(estimator, &rows);
    assert_int_equal(rows, CUSTOM_ROWS);
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_once }, &result));
    assert_int_equal(result.global_step, 3);
    mean_square(estimator, &rows);
    custom_train(estimator, input_endless, 5);
    pil_estimator_free(estimator);
    custom_train_in("even", uneven_model, input_endless, 1, 5);
    expect_same_checkpoints("uneven", "even", 5);
}

/* ---- several in one folder ---- */

static void test_newest_values(void **state)
{
    (void)state;
    pil_estimator *a = custom_new(custom_model, "shared", 1), *b = custom_new(custom_model, "shared", 1);
    custom_train(a, input_endless, 3);
    expect_evaluation(b, 3);
    custom_train(a, input_endless, 6);
    expect_evaluation(b, 6);
    custom_train(b, input_endless, 8);
    expect_evaluation(a, 8);
    custom_train(a, input_endless, 9);
    pil_estimator_free(a);
    pil_estimator_free(b);
    custom_train_in("owned", custom_model, input_endless, 1, 9);
    expect_same_checkpoints("shared", "owned", 9);
}

/* ---- at the same time ---- */

static void *train_aside(void *folder)
{
    custom_train_in(folder, deep_model, input_shuffled, 2, 12);
    return NULL;
}

/* Estimators do not know of each other: two threads, each with one of its own. */
static void test_two_threads(void **state)
{
    (void)state;
    pthread_t thread;
    char beside[] = "beside";
    assert_int_equal(pthread_create(&thread, NULL, train_aside, beside), 0);
    custom_train_in("here", deep_model, input_shuffled, 2, 12);
    pthread_join(thread, NULL);
    expect_same_checkpoints("beside", "here", 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),       cmocka_unit_test(test_end_of_data),        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_other_data),  cmocka_unit_test(test_untrained),          cmocka_unit_test(test_modes_mixed),
        cmocka_unit_test(test_many_calls),  cmocka_unit_test(test_variables_of_modes), cmocka_unit_test(test_newest_values),
        cmocka_unit_test(test_two_threads),
    };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
