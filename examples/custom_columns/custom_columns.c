/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A custom model over feature columns: will a flight arrive late? The model function makes its own layers from embeddings and a
 * number, and ends in a head, which gives it loss, metrics, predictions and export outputs.
 *
 *     cc custom_columns.c $(pkg-config --cflags --libs pilaster) -o custom_columns
 *     ./custom_columns [MODEL_DIR] [DATA] [STEPS]        (DATA: ../flights)
 *
 * It is the canned dnn_classifier of model.yaml, written by hand: under the same names the variables begin with the same values, so
 * both give the same numbers to the last bit.
 */
#include <stdio.h>
#include <stdlib.h>

#include <pilaster.h>

enum { N_DENSE = 6 };

struct flights {
    char train[512], eval[512]; /* files */
    pil_columns *columns;
    pil_column *dense[N_DENSE];
};

/* ---- columns ---- */

static pil_status make_columns(struct flights *flights)
{
    static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
    static const char *const origins[] = { "EWR", "JFK", "LGA" };
    pil_columns *c = flights->columns = pil_columns_new();
    pil_column *weekday = pil_categorical_column_with_vocabulary_list(c, "weekday", days, 7);
    pil_column *sched_hour = pil_categorical_column_with_identity(c, "sched_hour", 24);
    pil_column *origin = pil_categorical_column_with_vocabulary_list(c, "origin", origins, 3);
    pil_column *tailnum = pil_categorical_column_with_hash_bucket(c, "tailnum", 5000);
    pil_column *carrier = pil_categorical_column_with_hash_bucket(c, "carrier", 100);
    pil_column *month = pil_categorical_column_with_identity(c, "month", 13);
    pil_column *weekday_hour = pil_crossed_column(c, PIL_KEYS(weekday, sched_hour), 672);
    pil_column *route = pil_crossed_column(c, PIL_KEYS(origin, pil_key(c, "dest")), 1000);
    pil_column *month_hour = pil_crossed_column(c, PIL_KEYS(month, sched_hour), 1000);
    flights->dense[0] = pil_embedding_column(c, weekday_hour, 4);
    flights->dense[1] = pil_embedding_column(c, route, 8);
    flights->dense[2] = pil_embedding_column(c, tailnum, 8);
    flights->dense[3] = pil_embedding_column(c, month_hour, 4);
    flights->dense[4] = pil_embedding_column(c, carrier, 4);
    flights->dense[5] = pil_numeric_column(c, "distance", .normalizer_fn = { .subtract = 0, .divide = 1000 });
    return pil_columns_status(c);
}

/* ---- data ---- */

static pil_dataset *get_train(void *params)
{
    struct flights *flights = params;
    return pil_csv_dataset(PIL_WORDS(flights->train), 512, .label_name = "late", .shuffle_buffer_size = 100000, .num_epochs = 0,
                           .cache = true);
}

static pil_dataset *get_valid(void *params)
{
    struct flights *flights = params;
    return pil_csv_dataset(PIL_WORDS(flights->eval), 512, .label_name = "late", .shuffle = false, .num_epochs = 1);
}

/* ---- the model ---- */

static pil_estimator_spec delay_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                      void *params)
{
    struct flights *flights = params;
    pil_head head = pil_binary_class_head(NULL);

    pil_push_scope(g, "dnn");
    pil_tensor *x = pil_input_layer(features, { flights->dense, N_DENSE }, .name = "input_from_feature_columns/input_layer");
    x = pil_layers_dense(g, x, 64, .activation = PIL_ACTIVATION_RELU, .name = "hiddenlayer_0");
    x = pil_layers_dense(g, x, 32, .activation = PIL_ACTIVATION_RELU, .name = "hiddenlayer_1");
    pil_tensor *logits = pil_layers_dense(g, x, 1, .name = "logits");
    pil_pop_scope(g);

    pil_optimizer adagrad = pil_adagrad(0.5f, .legacy = true);
    return pil_head_spec(&head, features, mode, logits, targets, .optimizer = &adagrad);
}

static void serving_input_fn(pil_receivers *receivers, void *params)
{
    static const char *const words[] = { "weekday", "origin", "dest", "tailnum", "carrier" };
    (void)params;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        pil_receive(receivers, words[i], PIL_RECEIVE_STRINGS, 1);
    pil_receive(receivers, "sched_hour", PIL_RECEIVE_INTS, 1);
    pil_receive(receivers, "month", PIL_RECEIVE_INTS, 1);
    pil_receive(receivers, "distance", PIL_RECEIVE_FLOATS, 1);
}

/* ---- one flight, asked of the export ---- */

static bool ask(const char *folder, pil_status *status)
{
    static const char *const weekday = "Fri", *const origin = "EWR", *const dest = "ORD", *const tailnum = "N14228",
                             *const carrier = "UA";
    static const int64_t month = 7, sched_hour = 18;
    static const float distance = 719;
    pil_prediction result = { 0 };
    pil_predictor *predictor = pil_predictor_open(folder, status);
    bool ok =
        predictor &&
        pil_predictor_run(predictor,
                          &(pil_request){ PIL_INPUTS({ "weekday", .strings = &weekday }, { "origin", .strings = &origin },
                                                     { "dest", .strings = &dest }, { "tailnum", .strings = &tailnum },
                                                     { "carrier", .strings = &carrier }, { "month", .ints = &month },
                                                     { "sched_hour", .ints = &sched_hour }, { "distance", .floats = &distance }),
                                          .rows = 1 },
                          &result, status);
    if (ok)
        printf("a Friday in July at 18, Newark to Chicago: late with probability %.3f\n",
               (double)pil_predictor_outputs(&result, "logistic", NULL)->floats[0]);
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
    struct flights flights = { .columns = NULL };
    const char *model_dir = count > 1 ? arguments[1] : "custom_columns_model", *data = count > 2 ? arguments[2] : "../flights";
    pil_result result = { 0 };
    pil_log_to(log_line, NULL);
    snprintf(flights.train, sizeof flights.train, "%s/flights-train.csv.gz", data);
    snprintf(flights.eval, sizeof flights.eval, "%s/flights-eval.csv.gz", data);

    pil_run_config config = pil_run_config_default();
    config.tf_random_seed = 7;
    config.save_checkpoints_steps = 1000;
    pil_estimator *estimator = NULL;
    pil_status status = make_columns(&flights);
    if (status.code == PIL_OK) {
        estimator = pil_estimator_new(
            &(pil_estimator_config){ .model_fn = delay_model, .model_dir = model_dir, .config = &config, .params = &flights });
        pil_train_spec train_spec = { .input_fn = get_train, .max_steps = count > 3 ? atoi(arguments[3]) : 1000 };
        pil_eval_spec eval_spec = { .input_fn = get_valid,
                                    .steps = PIL_ALL,
                                    .throttle_secs = -1,
                                    .exporters = { pil_latest_exporter("exporter", serving_input_fn) } };
        status = pil_train_and_evaluate(estimator, &train_spec, &eval_spec, &result);
    }
    for (size_t i = 0; status.code == PIL_OK && i < result.metric_count; i++)
        printf("%s %.9g\n", result.metrics[i].name, result.metrics[i].value);
    if (status.code == PIL_OK && result.export_count > 0)
        ask(result.exports[0], &status);
    pil_estimator_free(estimator);
    pil_columns_free(flights.columns);
    if (status.code != PIL_OK)
        fprintf(stderr, "custom_columns: %s\n", status.message);
    return status.code == PIL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
