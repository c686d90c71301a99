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
    estimator->stopped = 0;
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
    bool ok = status_ok(&estimator->status);
    if (!ok)
        *status = estimator->status;
    ok = ok && prediction_begin(prediction, estimator, input_fn, keep, keep_count, status) &&
         mode_pass(&(struct mode_pass){ estimator, &prediction->run, prediction->feed, -1, hand_on, &handing }, status);
    if (ok)
        mode_tell_skipped(prediction->feed, "prediction");
    prediction_end(prediction);
    return ok;
}

/* ---- by rows ---- */

struct pil_predictions {
    struct prediction prediction;
    pil_status status;
    int64_t row, rows; /* of the batch at hand */
};
static struct pil_predictions no_memory = { .status = { PIL_NO_MEMORY, "out of memory for predictions" } };

pil_predictions *pil_predict(pil_estimator *estimator, pil_input_fn input_fn)
{
    pil_status status = { 0 };
    struct pil_predictions *predictions = mem_new(sizeof *predictions, &status);
    if (!predictions)
        return &no_memory;
    predictions->status = estimator->status;
    predictions->row = -1;
    if (status_ok(&predictions->status))
        prediction_begin(&predictions->prediction, estimator, input_fn, NULL, 0, &predictions->status);
    return predictions;
}

bool pil_predictions_next(pil_predictions *predictions)
{
    struct prediction *prediction = &predictions->prediction;
    pil_status *status = &predictions->status;
    if (predictions == &no_memory || !status_ok(status))
        return false;
    if (++predictions->row < predictions->rows)
        return true;
    const struct batch *batch = feed_next(prediction->feed, status);
    predictions->row = 0;
    predictions->rows = batch ? batch->rows : 0;
    if (!batch)
        return false;
    struct session *session = prediction->run.session;
    column_bind(session, batch, program_feature_count(prediction->run.program));
    return session_run(session, batch->rows, estimator_step(prediction->estimator), NULL, 0, status) && set_outputs(prediction, status);
}

/* The output of that name while there is a row. */
static const pil_output *find(const struct pil_predictions *predictions, const char *name)
{
    size_t count = 0;
    const pil_output *items = predictions->row < predictions->rows && predictions->row >= 0 && status_ok(&predictions->status)
                                  ? outputs_items(predictions->prediction.outputs, &count)
                                  : NULL;
    for (size_t i = 0; i < count; i++)
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
    pil_status status = predictions->status;
    if (predictions == &no_memory)
        return status;
    prediction_end(&predictions->prediction);
    mem_free(predictions);
    return status;
}
