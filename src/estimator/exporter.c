/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an export is made: after an evaluation, by each exporter of its spec, or when a program asks. The PREDICT graph of an export
 * is made for what the serving input function receives, not for the features of the training data.
 */
#include <stdio.h>
#include <string.h>

#include "estimator/internal.h"

/* Nobody draws batches of a dataset that only says what requests bring. */
static bool no_batch(void *context, int64_t epoch, int64_t batch, pil_batch *out, pil_status *status)
{
    (void)context;
    (void)epoch;
    (void)batch;
    (void)out;
    return status_fail(status, PIL_INTERNAL, "a receiver has no batches");
}

static pil_dataset *received(const struct pil_receivers *receivers, struct arena *arena, pil_status *status)
{
    static const pil_feature_type types[] = {
        [PIL_RECEIVE_FLOATS] = PIL_TYPE_FLOAT32, [PIL_RECEIVE_INTS] = PIL_TYPE_INT64, [PIL_RECEIVE_STRINGS] = PIL_TYPE_STRING
    };
    size_t count = receivers_count(receivers);
    if (!status_ok(receivers_status(receivers)) || count == 0) {
        *status = *receivers_status(receivers);
        status_fail(status, PIL_INVALID_ARGUMENT,
                    "the serving_input_fn receives nothing: pil_receive names a feature of requests");
        return NULL;
    }
    pil_feature_spec *specs = arena_alloc(arena, MAX(count, 1) * sizeof *specs, status);
    for (size_t i = 0; specs && i < count; i++) {
        const struct receiver *receiver = receivers_at(receivers, i);
        specs[i] = (pil_feature_spec){ .name = receiver->name, .type = types[receiver->type], .ragged = receiver->width == 0 };
        specs[i].shape[0] = receiver->width > 1 ? receiver->width : 0;
    }
    if (!specs)
        return NULL;
    pil_dataset *dataset = pil_dataset_from_callback(((pil_feature_specs){ specs, count }), no_batch);
    *status = pil_dataset_status(dataset);
    return dataset;
}

/* In training the live values are exported, whatever has become of the folder since; otherwise those of the newest checkpoint. */
static bool have_values(struct pil_estimator *estimator, const struct mode_run *run, pil_status *status)
{
    if (estimator->lock)
        return mode_check(run, estimator->store, status);
    if (!values_make(estimator, run, status))
        return false;
    return estimator->restored || estimator->warm_start_from || values_missing(estimator, status);
}

/* One export of the store's values to base/<seconds>/. */
static bool write_export(struct pil_estimator *estimator, pil_serving_input_fn serving_input_fn, const char *base,
                         struct text *path, pil_status *status)
{
    enum { VERSION = 11 }; /* a slash and ten digits */
    if (strlen(base) + VERSION >= PIL_PATH)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the path of the export has more than %d characters: %.200s...",
                           PIL_PATH - 1, base);
    struct arena *arena = arena_new(status);
    struct pil_receivers *receivers = arena ? receivers_new(status) : NULL;
    pil_dataset *dataset = NULL;
    struct mode_run run = { 0 };
    bool ok = receivers != NULL;
    if (ok)
        serving_input_fn(receivers, estimator->params);
    ok = ok && (dataset = received(receivers, arena, status)) && status_ok(status);
    if (ok && !mode_make(&run, estimator, PIL_PREDICT, dataset, NULL, 0, status))
        ok = status_prefix(status, "with the features of serving_input_fn: ");
    ok = ok && have_values(estimator, &run, status);
    if (ok) {
        struct export_request request = { .graph = run.graph,
                                          .program = run.program,
                                          .predictions = run.spec.predictions,
                                          .outputs = run.spec.export_outputs,
                                          .receivers = receivers,
                                          .store = estimator->store,
                                          .step = estimator_step(estimator),
                                          .model_yaml = estimator->options.model_file };
        ok = export_write(&request, base, path, status);
    }
    mode_free(&run);
    pil_dataset_free(dataset);
    receivers_free(receivers);
    arena_free(arena);
    return ok;
}

static bool run_exporter(struct pil_estimator *estimator, const pil_exporter *exporter, pil_result *result, pil_status *status)
{
    struct text path = { 0 };
    struct arena *arena = arena_new(status);
    char *base = arena ? arena_format(arena, status, "%s/export/%s", estimator->config.model_dir, exporter->name) : NULL;
    bool ok = base && write_export(estimator, exporter->serving_input_fn, base, &path, status) &&
              export_keep(base, exporter->exports_to_keep, status);
    if (ok)
        snprintf(result->exports[result->export_count++], PIL_PATH, "%s", path.data ? path.data : "");
    else
        status_prefix(status, "exporter '%s': ", exporter->name);
    text_free(&path);
    arena_free(arena);
    return ok;
}

bool exporters_run(struct pil_estimator *estimator, const pil_eval_spec *spec, pil_result *result, pil_status *status)
{
    result->export_count = 0;
    for (size_t i = 0; i < PIL_MAX_EXPORTERS; i++)
        if (spec->exporters[i].kind != PIL_EXPORTER_NONE && !run_exporter(estimator, &spec->exporters[i], result, status))
            return false;
    return true;
}

pil_status pil_export(pil_estimator *estimator, const char *base, pil_serving_input_fn serving_input_fn, char path[PIL_PATH])
{
    pil_status status = { 0 };
    struct text written = { 0 };
    if (!estimator_begin(estimator, "exporting", &status))
        return status;
    if (!base || !base[0] || !serving_input_fn)
        status_fail(&status, PIL_INVALID_ARGUMENT, "an export needs a folder and a serving_input_fn");
    if (status_ok(&status) && write_export(estimator, serving_input_fn, base, &written, &status) && path)
        snprintf(path, PIL_PATH, "%s", written.data ? written.data : "");
    text_free(&written);
    estimator_end(estimator);
    return status;
}
