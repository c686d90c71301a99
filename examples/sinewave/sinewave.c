/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A custom Estimator from low-level ops: an LSTM reads nine values of a sine wave and says the tenth. The model function is the
 * one of the course "Sequence models for time series" (tf.estimator, TensorFlow 1), line by line.
 *
 *     cc sinewave.c $(pkg-config --cflags --libs pilaster) -lm -o sinewave
 *     ./sinewave [MODEL_DIR]
 *
 * It makes its own waves, trains and evaluates, leaves checkpoints, event files and exports in MODEL_DIR (sinewave_model), and
 * predicts from the newest export as any other program would.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <pilaster.h>

enum { SEQ_LEN = 10, N_OUTPUTS = 1, N_INPUTS = SEQ_LEN - N_OUTPUTS, LSTM_SIZE = 3 };
enum { TRAIN_ROWS = 2000, VALID_ROWS = 500, BATCH_SIZE = 20 };

/* ---- data: what the course reads from CSV files ---- */

struct waves {
    float rawdata[TRAIN_ROWS][N_INPUTS], next[TRAIN_ROWS][N_OUTPUTS];
    int64_t rows;
};

/* Waves of any pace, height and beginning, the same in every run. */
static void make_waves(struct waves *waves, int64_t rows, unsigned seed)
{
    waves->rows = rows;
    for (int64_t r = 0; r < rows; r++) {
        double random[3];
        for (int i = 0; i < 3; i++) {
            seed = seed * 1664525u + 1013904223u; /* a linear congruence (Numerical Recipes) */
            random[i] = (seed >> 8) / 16777216.0;
        }
        double pace = 0.2 + 0.5 * random[0], height = 0.5 + random[1], start = 6.283185307 * random[2];
        for (int t = 0; t < SEQ_LEN; t++) {
            float value = (float)(height * sin(start + pace * t));
            if (t < N_INPUTS)
                waves->rawdata[r][t] = value;
            else
                waves->next[r][t - N_INPUTS] = value;
        }
    }
}

static struct waves train_waves, valid_waves;

/* What a model has to beat: the error of saying the last value again. */
static double rmse_of_last_value(const struct waves *waves)
{
    double sum = 0;
    for (int64_t r = 0; r < waves->rows; r++) {
        double error = (double)waves->rawdata[r][N_INPUTS - 1] - (double)waves->next[r][0];
        sum += error * error;
    }
    return sqrt(sum / (double)waves->rows);
}

static pil_dataset *get_train(void *params)
{
    (void)params;
    return pil_dataset_from_arrays(
        PIL_ARRAYS({ "rawdata", .floats = train_waves.rawdata[0], .rows = train_waves.rows, .shape = { N_INPUTS } }), true,
        .y = { .floats = train_waves.next[0], .rows = train_waves.rows }, .batch_size = BATCH_SIZE, .num_epochs = 0);
}

static pil_dataset *get_valid(void *params)
{
    (void)params;
    return pil_dataset_from_arrays(
        PIL_ARRAYS({ "rawdata", .floats = valid_waves.rawdata[0], .rows = valid_waves.rows, .shape = { N_INPUTS } }), false,
        .y = { .floats = valid_waves.next[0], .rows = valid_waves.rows }, .batch_size = BATCH_SIZE);
}

/* ---- the model ---- */

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
        .mode = mode,                                             /* 1 passed through */
        .predictions = PIL_DICT(g, { "predicted", predictions }), /* 2 what predict gives */
        .export_outputs = PIL_EXPORTS(g, { "regression_export_outputs", pil_regression_output(predictions) }), /* 6 */
    };
    if (mode != PIL_PREDICT) {
        spec.loss = pil_mean_squared_error(g, targets, predictions);                                             /* 3 */
        spec.train_op = pil_optimize_loss(g, spec.loss, .learning_rate = 0.01f, .optimizer = "SGD");             /* 4 */
        spec.eval_metric_ops = PIL_METRICS(g, { "rmse", pil_root_mean_squared_error(g, targets, predictions) }); /* 5 */
    }
    return spec;
}

/* What requests to the exported model bring. */
static void serving_input_fn(pil_receivers *receivers, void *params)
{
    (void)params;
    pil_receive(receivers, "rawdata", PIL_RECEIVE_FLOATS, N_INPUTS);
}

/* ---- the exported model, as a program that knows nothing of the above would use it ---- */

static bool predict(const char *folder, pil_status *status)
{
    enum { ROWS = 3 };
    pil_request_input rawdata = { .name = "rawdata", .floats = valid_waves.rawdata[0] };
    pil_request request = { .rows = ROWS, .inputs = &rawdata, .input_count = 1 };
    pil_prediction result = { 0 };
    pil_predictor *predictor = pil_predictor_open(folder, status);
    bool ok = predictor && pil_predictor_run(predictor, &request, &result, status);
    const pil_output *outputs = ok ? pil_predictor_outputs(&result, NULL, NULL) : NULL;
    for (int r = 0; ok && r < ROWS; r++)
        printf("row %d: predicted %.4f, was %.4f\n", r, (double)outputs[0].floats[r], (double)valid_waves.next[r][0]);
    pil_predictor_close(predictor);
    return ok;
}

static void log_line(void *context, pil_log_level level, const char *line)
{
    (void)context;
    if (level <= PIL_LOG_INFO)
        fprintf(stderr, "%s\n", line);
}

int main(int count, char **arguments)
{
    const char *output_dir = count > 1 ? arguments[1] : "sinewave_model";
    pil_result result;

    pil_log_to(log_line, NULL);
    make_waves(&train_waves, TRAIN_ROWS, 1);
    make_waves(&valid_waves, VALID_ROWS, 2);

    pil_estimator *estimator = pil_estimator_new(&(pil_estimator_config){ .model_fn = myfunc, .model_dir = output_dir });
    pil_train_spec train_spec = { .input_fn = get_train, .max_steps = 1000 };
    pil_eval_spec eval_spec = { .input_fn = get_valid,
                                .steps = PIL_ALL,
                                .exporters = { pil_latest_exporter("exporter", serving_input_fn) } };
    pil_status status = pil_train_and_evaluate(estimator, &train_spec, &eval_spec, &result);

    if (status.code == PIL_OK && result.metric_count == 0) /* trained before: nothing was left to do */
        status = pil_evaluate(estimator, &eval_spec, &result);
    if (status.code == PIL_OK)
        printf("step %lld: rmse %.4f, of the last value again %.4f\n", (long long)result.global_step,
               pil_metrics_get(&result, "rmse"), rmse_of_last_value(&valid_waves));
    if (status.code == PIL_OK && result.export_count > 0)
        predict(result.exports[0], &status);
    pil_estimator_free(estimator);
    if (status.code != PIL_OK)
        fprintf(stderr, "sinewave: %s\n", status.message);
    return status.code == PIL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
