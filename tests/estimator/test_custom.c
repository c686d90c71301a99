/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The course's LSTM as TensorFlow 2.15 trained it (tests/golden/README.md): from its first checkpoint our model function must give
 * every loss, the variables at the end, the evaluation and the predictions; and an export what the Estimator predicts, to the bit.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "estimator/internal.h"
#include "pilaster.h"
#include "scratch.h"

enum { SEQ_LEN = 10, N_OUTPUTS = 1, N_INPUTS = SEQ_LEN - N_OUTPUTS, LSTM_SIZE = 3, BATCH_SIZE = 20, STEPS = 50, MOST_ROWS = 400 };

struct rows {
    float rawdata[MOST_ROWS][N_INPUTS], next[MOST_ROWS][N_OUTPUTS];
    int64_t count;
};
static struct rows train_rows, eval_rows;

static void read_rows(const char *path, struct rows *rows)
{
    FILE *file = fopen(path, "r");
    float value;
    int count = 0;
    assert_non_null(file);
    while (fscanf(file, count % SEQ_LEN ? ",%f" : "%f", &value) == 1) {
        int64_t row = count / SEQ_LEN, at = count % SEQ_LEN;
        assert_true(row < MOST_ROWS);
        *(at < N_INPUTS ? &rows->rawdata[row][at] : &rows->next[row][0]) = value;
        count++;
    }
    fclose(file);
    assert_true(count > 0 && count % SEQ_LEN == 0);
    rows->count = count / SEQ_LEN;
}

static pil_dataset *dataset_of(const struct rows *rows, int64_t epochs)
{
    return pil_dataset_from_arrays(
        PIL_ARRAYS({ "rawdata", .floats = rows->rawdata[0], .rows = rows->count, .shape = { N_INPUTS } }), false,
        .y = { .floats = rows->next[0], .rows = rows->count }, .batch_size = BATCH_SIZE, .num_epochs = epochs);
}

static pil_dataset *get_train(void *params)
{
    (void)params;
    return dataset_of(&train_rows, 0);
}

static pil_dataset *get_valid(void *params)
{
    (void)params;
    return dataset_of(&eval_rows, 1);
}

static pil_tensor *model_from_research_paper(pil_graph *g, pil_tensor *timeseries)
{
    pil_tensor *x[N_INPUTS], *outputs[N_INPUTS];
    pil_split(g, timeseries, N_INPUTS, 1, x);
    pil_rnn_cell *lstm_cell = pil_basic_lstm_cell(g, LSTM_SIZE, .forget_bias = 1.0f);
    pil_static_rnn(g, lstm_cell, x, N_INPUTS, outputs);
    pil_tensor *weight = pil_variable(g, "weight", pil_random_normal(g, PIL_SHAPE(LSTM_SIZE, N_OUTPUTS)));
    pil_tensor *bias = pil_variable(g, "bias", pil_random_normal(g, PIL_SHAPE(N_OUTPUTS)));
    return pil_add(g, pil_matmul(g, outputs[N_INPUTS - 1], weight), bias);
}

static pil_estimator_spec myfunc(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    (void)params;
    pil_tensor *predictions = model_from_research_paper(g, pil_feature(features, "rawdata"));
    pil_estimator_spec spec = {
        .mode = mode,
        .predictions = PIL_DICT(g, { "predicted", predictions }),
        .export_outputs = PIL_EXPORTS(g, { "regression_export_outputs", pil_regression_output(predictions) }),
    };
    if (mode != PIL_PREDICT) {
        spec.loss = pil_mean_squared_error(g, targets, predictions);
        spec.train_op = pil_minimize(g, pil_gradient_descent_optimizer(0.05f), spec.loss);
        spec.eval_metric_ops = PIL_METRICS(g, { "rmse", pil_root_mean_squared_error(g, targets, predictions) });
    }
    return spec;
}

static void serving_input_fn(pil_receivers *receivers, void *params)
{
    (void)params;
    pil_receive(receivers, "rawdata", PIL_RECEIVE_FLOATS, N_INPUTS);
}

/* ---- TensorFlow's figures ---- */

static struct json_parser *parser;
static struct file_data file;
static struct json_value expected;

static void assert_ok(const pil_status *status)
{
    if (status->code != PIL_OK)
        fail_msg("%s", status->message);
}

static void assert_near(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%s: %.9g, TensorFlow has %.9g", what, got, want);
}

static int setup(void **state)
{
    static const char *const names[] = { "checkpoint", "model.ckpt-0.index", "model.ckpt-0.data-00000-of-00001" };
    pil_status status = { 0 };
    (void)state;
    read_rows("tests/golden/custom/sines-train.csv", &train_rows);
    read_rows("tests/golden/custom/sines-eval.csv", &eval_rows);
    scratch_make();
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[256];
        snprintf(path, sizeof path, "tests/golden/custom/sines-step0/%s", names[i]);
        scratch_copy(path, scratch_path(names[i]));
    }
    parser = json_parser_new(0, &status);
    return parser && file_load("tests/golden/custom/custom_lstm.json", &file, &status) &&
                   json_parse(parser, slice_of(file.data, file.size), &expected, &status)
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_parser_free(parser);
    file_unload(&file);
    scratch_remove();
    return 0;
}

static double number_at(const struct json_value *from, const char *key)
{
    struct json_value value;
    assert_true(json_get(from, key, &value));
    return value.number;
}

/* A hook, as a user would watch the losses. */
static bool check_loss(void *context, pil_run *run, pil_status *status)
{
    struct json_value losses;
    char key[16];
    (void)status;
    snprintf(key, sizeof key, "%lld", (long long)pil_run_step(run));
    assert_true(json_get(&expected, "loss_by_step", &losses));
    assert_near(key, pil_run_loss(run), number_at(&losses, key), 1e-5);
    ++*(int *)context;
    return true;
}

static void flatten(const struct json_value *value, float *out, size_t *count, size_t limit)
{
    if (value->kind != JSON_LIST) {
        assert_true(*count < limit);
        out[(*count)++] = (float)value->number;
        return;
    }
    struct json_walk walk = json_children(value);
    struct json_value item;
    while (json_next(&walk, NULL, &item))
        flatten(&item, out, count, limit);
}

static void check_variables(pil_estimator *estimator)
{
    enum { MOST = 64 };
    struct json_value table, value;
    struct slice key;
    assert_true(json_get(&expected, "final", &table));
    struct json_walk walk = json_children(&table);
    while (json_next(&walk, &key, &value)) {
        float want[MOST], have[MOST];
        char name[128];
        size_t count = 0;
        snprintf(name, sizeof name, "%.*s", (int)key.size, key.data);
        if (strcmp(name, "global_step") == 0)
            continue;
        flatten(&value, want, &count, MOST);
        pil_status status = pil_variable_value(estimator, name, NULL, have, count);
        assert_ok(&status);
        for (size_t i = 0; i < count; i++)
            assert_near(name, (double)have[i], (double)want[i], 1e-5);
    }
}

static void check_predictions(pil_estimator *estimator, const char *folder)
{
    pil_status status = { 0 };
    float want[MOST_ROWS], have[MOST_ROWS];
    size_t count = 0, rows = 0, width;
    struct json_value list;
    assert_true(json_get(&expected, "predictions", &list));
    flatten(&list, want, &count, MOST_ROWS);
    pil_predictions *predictions = pil_predict(estimator, get_valid);
    while (pil_predictions_next(predictions) && rows < MOST_ROWS) {
        have[rows] = *pil_predictions_get(predictions, "predicted", &width);
        assert_int_equal(width, 1);
        if (rows < count)
            assert_near("a prediction", (double)have[rows], (double)want[rows], 1e-5);
        rows++;
    }
    status = pil_predictions_close(predictions);
    assert_ok(&status);
    assert_int_equal(rows, eval_rows.count);
    assert_true(count > 0 && count <= rows);

    pil_predictor *predictor = pil_predictor_open(folder, &status);
    assert_ok(&status);
    pil_request_input input = { .name = "rawdata", .floats = eval_rows.rawdata[0] };
    pil_prediction result = { 0 };
    pil_predictor_run(predictor, &(pil_request){ .inputs = &input, .input_count = 1, .rows = eval_rows.count }, &result, &status);
    assert_ok(&status);
    assert_memory_equal(pil_predictor_outputs(&result, NULL, NULL)->floats, have, rows * sizeof *have);
    pil_predictor_close(predictor);
}

static void as_tensorflow(void **state)
{
    int steps = 0;
    pil_result result;
    struct json_value eval;
    (void)state;
    pil_run_config config = pil_run_config_default();
    config.strict = true;
    pil_estimator *estimator =
        pil_estimator_new(&(pil_estimator_config){ .model_fn = myfunc, .model_dir = scratch_folder, .config = &config });
    const pil_hook hook = { .after_run = check_loss, .context = &steps };
    pil_train_spec train_spec = { .input_fn = get_train, .max_steps = STEPS, .hooks = &hook, .hook_count = 1 };
    pil_eval_spec eval_spec = { .input_fn = get_valid,
                                .steps = PIL_ALL,
                                .exporters = { pil_latest_exporter("exporter", serving_input_fn) } };
    pil_status status = pil_train_and_evaluate(estimator, &train_spec, &eval_spec, &result);
    assert_ok(&status);
    assert_int_equal(steps, STEPS);
    assert_true(json_get(&expected, "eval", &eval));
    assert_near("rmse", pil_metrics_get(&result, "rmse"), number_at(&eval, "rmse"), 1e-5);
    assert_near("loss", pil_metrics_get(&result, "loss"), number_at(&eval, "loss"), 1e-5);
    assert_int_equal((int64_t)pil_metrics_get(&result, "global_step"), STEPS);
    check_variables(estimator);
    assert_int_equal(result.export_count, 1);
    check_predictions(estimator, result.exports[0]);
    pil_estimator_free(estimator);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(as_tensorflow, setup, teardown) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
