/* SPDX-License-Identifier: Apache-2.0 */
/* Prediction: a pass of the PREDICT graph, handed on batch by batch to the program, row by row to callers of the library. */
#include <string.h>

#include "estimator/internal.h"

/* A graph with values, over data. */
struct prediction {
    struct pil_estimator *estimator;
    struct mode_run run;
    pil_dataset *dataset;
    struct feed *feed;
    struct outputs *outputs;
};

static bool prediction_begin(struct prediction *prediction, struct pil_estimator *estimator, pil_input_fn input_fn,
                             const struct field_spec *keep, size_t keep_count, pil_status *status)
{
    struct mode_run *run = &prediction->run;
    prediction->estimator = estimator;
    prediction->dataset = estimator_dataset(estimator, input_fn, "predict", status);
    if (!prediction->dataset || !mode_make(run, estimator, PIL_PREDICT, prediction->dataset, NULL, 0, status) ||
        !values_make(estimator, run, status) || !mode_bind(run, estimator, status))
        return false;
    prediction->feed = mode_feed(run, estimator, prediction->dataset, NULL, keep, keep_count, status);
    prediction->outputs = prediction->feed ? outputs_new(run->spec.predictions.items, run->spec.predictions.count, status) : NULL;
    return prediction->outputs != NULL;
}

static void prediction_end(struct prediction *prediction)
{
    outputs_free(prediction->outputs);
    feed_close(prediction->feed);
    mode_free(&prediction->run);
    pil_dataset_free(prediction->dataset);
}

static bool set_outputs(struct prediction *prediction, pil_status *status)
{
    const pil_dict *dict = &prediction->run.spec.predictions;
    for (size_t i = 0; i < dict->count; i++)
        if (!outputs_set(prediction->outputs, i, mode_value(&prediction->run, dict->items[i].tensor), status))
            return false;
    return true;
}

/* ---- by batches ---- */

struct handing {
    struct prediction prediction;
    predicted_batch batch;
    void *context;
};

static bool hand_on(void *context, const struct batch *raw, pil_status *status)
{
    struct handing *handing = context;
    size_t count;
    const pil_output *items = outputs_items(handing->prediction.outputs, &count);
    return set_outputs(&handing->prediction, status) && handing->batch(handing->context, items, count, raw, status);
}

bool estimator_predict(struct pil_estimator *estimator, pil_input_fn input_fn, const struct field_spec *keep, size_t keep_count,
                       predicted_batch batch, void *context, pil_status *status)
{
    struct handing handing = { .batch = batch, .context = context };
    struct prediction *prediction = &handing.prediction;
    if (!estimator_begin(estimator, "predicting", status))
        return false;
    bool ok = prediction_begin(prediction, estimator, input_fn, keep, keep_count, status);
    struct mode_pass pass = { .estimator = estimator,
                              .run = &prediction->run,
                              .feed = prediction->feed,
                              .steps = -1,
                              .each = hand_on,
                              .context = &handing };
    ok = ok && mode_pass(&pass, status);
    if (ok)
        mode_tell_skipped(prediction->feed, "prediction");
    prediction_end(prediction);
    estimator_end(estimator);
    return ok;
}

/* ---- by rows ---- */

struct pil_predictions {
    struct prediction prediction;
    struct mode_pass pass;
    bool begun, ended; /* the pass's hooks have been told */
    pil_status status;
    int64_t row, rows; /* of the batch at hand */
};
static struct pil_predictions no_memory = { .status = { PIL_NO_MEMORY, "out of memory for predictions" } };

static bool take_batch(void *context, const struct batch *batch, pil_status *status)
{
    struct pil_predictions *predictions = context;
    predictions->row = 0;
    predictions->rows = batch->rows;
    return set_outputs(&predictions->prediction, status);
}

pil_predictions *pil_predict(pil_estimator *estimator, pil_input_fn input_fn)
{
    pil_status status = { 0 };
    struct pil_predictions *predictions = mem_new(sizeof *predictions, &status);
    if (!predictions)
        return &no_memory;
    struct prediction *prediction = &predictions->prediction;
    predictions->row = -1;
    if (!estimator_begin(estimator, "predicting", &predictions->status))
        return predictions;
    if (!prediction_begin(prediction, estimator, input_fn, NULL, 0, &predictions->status))
        return predictions;
    predictions->pass = (struct mode_pass){ .estimator = estimator,
                                            .run = &prediction->run,
                                            .feed = prediction->feed,
                                            .steps = -1,
                                            .each = take_batch,
                                            .context = predictions };
    predictions->begun = true;
    mode_pass_begin(&predictions->pass, &predictions->status);
    return predictions;
}

/* Once: at the end of the data, or where the caller stops. */
static void end_pass(struct pil_predictions *predictions)
{
    if (!predictions->begun || predictions->ended)
        return;
    predictions->ended = true;
    if (mode_pass_end(&predictions->pass, status_ok(&predictions->status), &predictions->status))
        mode_tell_skipped(predictions->prediction.feed, "prediction");
}

bool pil_predictions_next(pil_predictions *predictions)
{
    bool end = false;
    if (predictions == &no_memory || predictions->ended || !status_ok(&predictions->status))
        return false;
    if (++predictions->row < predictions->rows)
        return true;
    predictions->row = predictions->rows = 0;
    if (!mode_pass_next(&predictions->pass, &end, &predictions->status)) {
        predictions->rows = 0;
        return false;
    }
    if (end)
        end_pass(predictions);
    return !end;
}

/* The output of that name while there is a row. */
static const pil_output *find(const struct pil_predictions *predictions, const char *name)
{
    size_t count = 0;
    const pil_output *items = predictions->row < predictions->rows && predictions->row >= 0 && status_ok(&predictions->status)
                                  ? outputs_items(predictions->prediction.outputs, &count)
                                  : NULL;
    for (size_t i = 0; name && i < count; i++)
        if (strcmp(items[i].name, name) == 0)
            return &items[i];
    return NULL;
}

const float *pil_predictions_get(const pil_predictions *predictions, const char *name, size_t *count)
{
    const pil_output *output = find(predictions, name);
    if (count)
        *count = output ? (size_t)output->width : 0;
    return output ? output->floats + output_row(output, predictions->row) * output->width : NULL;
}

const char *pil_predictions_word(const pil_predictions *predictions, const char *name)
{
    const pil_output *output = find(predictions, name);
    return output && output->strings ? output->strings[output_row(output, predictions->row) * output->width] : NULL;
}

pil_status pil_predictions_close(pil_predictions *predictions)
{
    if (!predictions)
        return (pil_status){ 0 };
    if (predictions == &no_memory)
        return predictions->status;
    end_pass(predictions);
    struct pil_estimator *estimator = predictions->prediction.estimator;
    pil_status status = predictions->status;
    prediction_end(&predictions->prediction);
    if (estimator)
        estimator_end(estimator);
    mem_free(predictions);
    return status;
}
