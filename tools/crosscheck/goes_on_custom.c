/* SPDX-License-Identifier: Apache-2.0 */
/*
 * goes_on_custom MODEL_DIR DATA OPTIMIZER: the custom model of goes_on_custom.py, evaluated, trained for one pass over the data
 * and evaluated again. DATA holds 400 rows of nine floats, then their 400 labels. Prints step and loss before and after.
 */
#include <stdio.h>
#include <string.h>

#include <pilaster.h>

enum { ROWS = 400, STEPS = 9 };
static struct data {
    float xs[ROWS][STEPS], ys[ROWS];
} data;

static pil_dataset *input_fn(void *params)
{
    (void)params;
    return pil_dataset_from_arrays(PIL_ARRAYS({ "rawdata", .floats = data.xs[0], .rows = ROWS, .shape = { STEPS } }), false,
                                   .y = { .floats = data.ys, .rows = ROWS }, .batch_size = 20);
}

static pil_optimizer optimizer_of(const char *word)
{
    const struct {
        const char *word;
        pil_optimizer optimizer;
    } known[] = {
        { "GradientDescent", pil_gradient_descent_optimizer(0.01f) },
        { "Momentum", pil_momentum_optimizer(0.01f, 0.9f) },
        { "Adagrad", pil_adagrad_optimizer(0.05f) },
        { "Adam", pil_adam_optimizer(0.01f) },
        { "Ftrl", pil_ftrl_optimizer(0.05f) },
        { "RMSProp", pil_rmsprop_optimizer(0.005f) },
        { "legacy.Adam", pil_adam(0.01f, .legacy = true) },
        { "legacy.Adagrad", pil_adagrad(0.05f, .legacy = true) },
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].word, word) == 0)
            return known[i].optimizer;
    return (pil_optimizer){ .class_name = NULL };
}

static pil_estimator_spec model_fn(pil_graph *g, const pil_features *features, pil_tensor *labels, pil_mode mode, void *params)
{
    pil_tensor *x[STEPS], *outputs[STEPS];
    pil_split(g, pil_feature(features, "rawdata"), STEPS, 1, x);
    pil_rnn_cell *cell = pil_basic_lstm_cell(g, 3, .forget_bias = 1.0f);
    pil_static_rnn(g, cell, x, STEPS, outputs);
    pil_tensor *weight = pil_variable(g, "weight", pil_random_normal(g, PIL_SHAPE(3, 1)));
    pil_tensor *bias = pil_variable(g, "Variable", pil_random_normal(g, PIL_SHAPE(1)));
    pil_tensor *h = pil_layers_dense(g, outputs[STEPS - 1], 4, .activation = PIL_ACTIVATION_TANH);
    h = pil_layers_dense(g, h, 3);
    pil_tensor *predictions = pil_add(g, pil_matmul(g, h, weight), bias);
    pil_estimator_spec spec = { .mode = mode, .predictions = PIL_DICT(g, { "predicted", predictions }) };
    if (mode != PIL_PREDICT) {
        spec.loss = pil_mean_squared_error(g, labels, predictions);
        spec.train_op = pil_minimize(g, optimizer_of(params), spec.loss);
    }
    return spec;
}

static bool print_loss(pil_estimator *estimator, pil_status *status)
{
    pil_result result;
    *status = pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_fn }, &result);
    if (status->code == PIL_OK)
        printf("%lld %.9g\n", (long long)result.global_step, pil_metrics_get(&result, "loss"));
    return status->code == PIL_OK;
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    FILE *file = fopen(arguments[2], "rb");
    if (!file || fread(&data, sizeof data, 1, file) != 1)
        return 1;
    fclose(file);
    pil_estimator *estimator =
        pil_estimator_new(&(pil_estimator_config){ .model_fn = model_fn, .model_dir = arguments[1], .params = arguments[3] });
    pil_status status;
    if (print_loss(estimator, &status))
        status = pil_train(estimator, &(pil_train_spec){ .input_fn = input_fn });
    if (status.code == PIL_OK)
        print_loss(estimator, &status);
    pil_estimator_free(estimator);
    if (status.code != PIL_OK)
        fprintf(stderr, "%s\n", status.message);
    return status.code != PIL_OK;
}
