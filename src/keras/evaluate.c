/* SPDX-License-Identifier: Apache-2.0 */
/* A pass over data without training: loss and metrics, or the model's output. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "keras/fit.h"

/* ---- passes ---- */

/* A feed over one epoch of the data; one that has no end needs steps. */
static struct feed *open_pass(const struct keras_run *run, const pil_dataset *dataset, int64_t steps, const char *call,
                              pil_status *status)
{
    if (dataset->order.epochs == 0 && steps <= 0) {
        status_fail(status, PIL_INVALID_ARGUMENT, "%s: the dataset has no end: steps says how many of its batches are wanted",
                    call);
        return NULL;
    }
    return keras_run_feed(run, dataset, status);
}

static bool add_log(pil_logs *logs, const char *prefix, const char *name, double value, pil_status *status)
{
    char full[PIL_LOG_NAME];
    if (snprintf(full, sizeof full, "%s%s", prefix, name) < (int)sizeof full && pil_logs_set(logs, full, value))
        return true;
    return status_fail(status, PIL_INVALID_ARGUMENT, "the logs have no room for '%s%s'", prefix, name);
}

bool evaluate_pass(struct keras_run *run, const pil_dataset *dataset, int64_t steps, const char *prefix, pil_logs *logs,
                   pil_status *status)
{
    double sum = 0;
    int64_t rows = 0, step = 0;
    const struct batch *batch;
    struct feed *feed = open_pass(run, dataset, steps, "evaluate", status);
    keras_run_reset(run);
    while (feed && (steps <= 0 || step < steps) && (batch = feed_next(feed, status)) != NULL) {
        if (!keras_run_batch(run, feed, batch, status) || !keras_run_count(run, status))
            break;
        sum += (double)tensor_floats(keras_run_value(run, run->outputs.loss))[0] * (double)batch->rows;
        rows += batch->rows;
        step++;
    }
    feed_close(feed);
    if (!feed || !status_ok(status) || !add_log(logs, prefix, "loss", rows ? sum / (double)rows : 0, status))
        return false;
    for (size_t i = 0; i < run->outputs.metric_count; i++)
        if (!add_log(logs, prefix, run->outputs.metrics[i].name, metric_result(run->metrics[i]), status))
            return false;
    return true;
}

/* ---- evaluate ---- */

pil_sequential_evaluate_options pil_sequential_evaluate_options_default(void)
{
    return (pil_sequential_evaluate_options){ PIL_SEQUENTIAL_EVALUATE_DEFAULTS };
}

static bool evaluate_dataset(pil_sequential *model, const pil_dataset *dataset, const char *weights, int64_t steps,
                             pil_logs *logs, pil_status *status)
{
    struct keras_run run;
    *logs = (pil_logs){ 0 };
    if (sequential_is_busy(model, "evaluate", status) || !keras_run_make(&run, model, PIL_EVAL, dataset, weights, status))
        return false;
    bool ok = evaluate_pass(&run, dataset, steps, "", logs, status);
    keras_run_free(&run);
    return ok;
}

pil_status pil_sequential_evaluate_make(pil_sequential *model, pil_array x, pil_array y, pil_logs *logs,
                                        const pil_sequential_evaluate_options *options)
{
    pil_status status = { 0 };
    struct array_data data = { x, y, options->sample_weight, options->batch_size, false };
    *logs = (pil_logs){ 0 };
    pil_dataset *dataset =
        sequential_fails(model, &status) ? NULL : array_dataset(model, &data, "pil_sequential_evaluate", &status);
    if (dataset)
        evaluate_dataset(model, dataset, options->sample_weight ? SAMPLE_WEIGHT_FIELD : NULL, options->steps, logs, &status);
    pil_dataset_free(dataset);
    return status;
}

pil_status pil_sequential_evaluate_dataset(pil_sequential *model, pil_dataset *dataset, int64_t steps, pil_logs *logs)
{
    pil_status status = { 0 };
    *logs = (pil_logs){ 0 };
    if (!sequential_fails(model, &status))
        evaluate_dataset(model, dataset, NULL, steps, logs, &status);
    return status;
}

/* ---- predict ---- */

/* Rows without pads, in `packed`, which grows. */
static const float *pack(const struct tensor *tensor, float **packed, size_t *capacity, pil_status *status)
{
    if (!mem_grow(packed, capacity, (size_t)(tensor->rows * tensor->cols), sizeof **packed, status))
        return NULL;
    tensor_pack(tensor, *packed);
    return *packed;
}

static bool predict_dataset(pil_sequential *model, const pil_dataset *dataset, pil_predicted_rows each, void *context,
                            pil_status *status)
{
    struct keras_run run;
    float *packed = NULL;
    size_t capacity = 0;
    const struct batch *batch;
    if (sequential_is_busy(model, "predict", status) || !keras_run_make(&run, model, PIL_PREDICT, dataset, NULL, status))
        return false;
    struct feed *feed = open_pass(&run, dataset, 0, "predict", status);
    while (feed && (batch = feed_next(feed, status)) != NULL) {
        if (!keras_run_batch(&run, feed, batch, status))
            break;
        const struct tensor *value = keras_run_value(&run, run.outputs.predictions);
        const float *rows = pack(value, &packed, &capacity, status);
        if (!rows || !each(context, rows, value->rows, value->cols, status)) {
            status_fail(status, PIL_CANCELLED, "the predictions were not taken");
            break;
        }
    }
    feed_close(feed);
    mem_free(packed);
    keras_run_free(&run);
    return status_ok(status);
}

struct taking {
    float *out;
    size_t left;
};

static bool take_rows(void *context, const float *rows, int64_t row_count, int64_t row_floats, pil_status *status)
{
    struct taking *taking = context;
    size_t count = (size_t)(row_count * row_floats);
    if (count > taking->left)
        return status_fail(status, PIL_INVALID_ARGUMENT,
                           "pil_sequential_predict: a row has %lld numbers, there is no room for all", (long long)row_floats);
    memcpy(taking->out, rows, count * sizeof *rows);
    taking->out += count;
    taking->left -= count;
    return true;
}

pil_status pil_sequential_predict(pil_sequential *model, pil_array x, int64_t batch_size, float *out, size_t count)
{
    pil_status status = { 0 };
    struct taking taking = { out, count };
    struct array_data data = { .x = x, .batch_size = batch_size };
    pil_dataset *dataset =
        sequential_fails(model, &status) ? NULL : array_dataset(model, &data, "pil_sequential_predict", &status);
    if (dataset && predict_dataset(model, dataset, take_rows, &taking, &status) && taking.left != 0)
        status_fail(&status, PIL_INVALID_ARGUMENT, "pil_sequential_predict: %lld rows give %zu numbers, there is room for %zu",
                    (long long)x.rows, count - taking.left, count);
    pil_dataset_free(dataset);
    return status;
}

pil_status pil_sequential_predict_dataset(pil_sequential *model, pil_dataset *dataset, pil_predicted_rows each, void *context)
{
    pil_status status = { 0 };
    if (!sequential_fails(model, &status))
        predict_dataset(model, dataset, each, context, &status);
    return status;
}
