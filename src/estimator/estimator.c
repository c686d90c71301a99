/* SPDX-License-Identifier: Apache-2.0 */
/* The public face of an estimator: its config, and what each call does with a dataset. The work is in the room's other files. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "estimator/internal.h"

pil_run_config pil_run_config_default(void)
{
    return (pil_run_config){ .tf_random_seed = -1,
                             .save_summary_steps = 100,
                             .save_checkpoints_secs = -1,
                             .keep_checkpoint_max = 5,
                             .keep_checkpoint_every_n_hours = 10000,
                             .log_step_count_steps = 100 };
}

/* ---- making ---- */

static bool check_config(const pil_estimator_config *config, struct pil_estimator *estimator, pil_status *status)
{
    const pil_run_config *run = &estimator->config;
    if (!config->model_fn)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the estimator's config has no model_fn");
    /* "" would put the model's files into the root folder. */
    if ((config->model_dir && !*config->model_dir) || (run->model_dir && !*run->model_dir))
        return status_fail(status, PIL_INVALID_ARGUMENT, "model_dir is empty, it must name a folder for the model");
    if (config->warm_start_from && !*config->warm_start_from)
        return status_fail(status, PIL_INVALID_ARGUMENT,
                           "warm_start_from is empty, it must name a checkpoint or a model's folder");
    if (config->model_dir && run->model_dir && strcmp(config->model_dir, run->model_dir) != 0)
        return status_fail(status, PIL_INVALID_ARGUMENT, "two folders are named: model_dir %s, and %s in the run config",
                           config->model_dir, run->model_dir);
    if (run->save_checkpoints_steps > 0 && run->save_checkpoints_secs > 0)
        return status_fail(status, PIL_INVALID_ARGUMENT, "save_checkpoints_steps and save_checkpoints_secs exclude each other");
    const struct {
        const char *name;
        int64_t value;
    } counts[] = { { "save_checkpoints_steps", run->save_checkpoints_steps },
                   { "save_summary_steps", run->save_summary_steps },
                   { "keep_checkpoint_max", run->keep_checkpoint_max },
                   { "log_step_count_steps", run->log_step_count_steps },
                   { "threads", run->threads } };
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        if (counts[i].value < 0)
            return status_fail(status, PIL_INVALID_ARGUMENT, "the run config's %s is %lld, 0 or more is needed", counts[i].name,
                               (long long)counts[i].value);
    if (isnan(run->save_checkpoints_secs))
        return status_fail(status, PIL_INVALID_ARGUMENT, "the run config's save_checkpoints_secs is not a number");
    return true;
}

/* Texts are the caller's: the estimator keeps copies. */
static const char *copy(struct pil_estimator *estimator, const char *text)
{
    return text ? arena_text(estimator->arena, text, strlen(text), &estimator->status) : NULL;
}

static void start(struct pil_estimator *estimator, const pil_estimator_config *config)
{
    enum { DEFAULT_SECONDS = 600 };
    pil_run_config *run = &estimator->config;
    estimator->arena = arena_new(&estimator->status);
    *run = config->config ? *config->config : pil_run_config_default();
    if (!estimator->arena || !check_config(config, estimator, &estimator->status))
        return;
    if (run->save_checkpoints_secs < 0)
        run->save_checkpoints_secs = run->save_checkpoints_steps ? 0 : DEFAULT_SECONDS;
    run->model_dir = copy(estimator, config->model_dir ? config->model_dir : run->model_dir);
    estimator->model_fn = config->model_fn;
    estimator->params = estimator->model_params = config->params;
    estimator->warm_start_from = copy(estimator, config->warm_start_from);
    estimator->threads = threads_new(run->threads, &estimator->status);
}

static struct pil_estimator no_memory = { .status = { PIL_NO_MEMORY, "out of memory for an estimator" } };

struct pil_estimator *estimator_new(const pil_estimator_config *config, const struct estimator_options *options)
{
    pil_status status = { 0 };
    struct pil_estimator *estimator = mem_new(sizeof *estimator, &status);
    if (!estimator)
        return &no_memory;
    if (options)
        estimator->options = *options;
    start(estimator, config);
    return estimator;
}

pil_estimator *pil_estimator_new(const pil_estimator_config *config)
{
    static const pil_estimator_config nothing = { 0 };
    return estimator_new(config ? config : &nothing,
                         &(struct estimator_options){ .logs = true, .eval_events = true, .new_data = true });
}

void pil_estimator_free(pil_estimator *estimator)
{
    if (!estimator || estimator == &no_memory)
        return;
    values_free(estimator);
    store_free(estimator->first_values);
    file_lock_free(estimator->lock);
    threads_free(estimator->threads);
    arena_free(estimator->arena);
    mem_free(estimator);
}

void pil_estimator_stop(pil_estimator *estimator)
{
    if (estimator && estimator != &no_memory)
        estimator->stopped = 1;
}

bool estimator_stops(const struct pil_estimator *estimator)
{
    return estimator->stopped != 0;
}

int64_t estimator_step(const struct pil_estimator *estimator)
{
    return estimator->store ? *store_int64(estimator->store, "global_step") : 0;
}

/* ---- datasets ---- */

pil_dataset *estimator_dataset(struct pil_estimator *estimator, pil_input_fn input_fn, const char *what, pil_status *status)
{
    if (!input_fn) {
        status_fail(status, PIL_INVALID_ARGUMENT, "the %s input has no input_fn", what);
        return NULL;
    }
    pil_dataset *dataset = input_fn(estimator->params);
    if (!dataset) {
        status_fail(status, PIL_INVALID_ARGUMENT, "the %s input_fn returned NULL: it must return a dataset", what);
        return NULL;
    }
    *status = pil_dataset_status(dataset);
    if (status_ok(status))
        return dataset;
    status_prefix(status, "%s input: ", what);
    pil_dataset_free(dataset);
    return NULL;
}

/* ---- calls ---- */

bool estimator_begin(struct pil_estimator *estimator, const char *what, pil_status *status)
{
    if (!estimator)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the estimator is NULL");
    if (!status_ok(&estimator->status)) {
        *status = estimator->status;
        return false;
    }
    if (estimator->busy)
        return status_fail(status, PIL_BUSY, "the estimator is %s and cannot be %s at the same time%s", estimator->busy, what,
                           strcmp(estimator->busy, "predicting") == 0 ? ": close its predictions first" : "");
    estimator->busy = what;
    estimator->stopped = 0;
    return true;
}

void estimator_end(struct pil_estimator *estimator)
{
    estimator->busy = NULL;
}

static bool check_train_spec(const pil_train_spec *spec, pil_status *status)
{
    if (!spec)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the train spec is NULL");
    if (spec->steps && spec->max_steps)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the train spec has steps and max_steps: they exclude each other");
    if (spec->steps < 0 || spec->max_steps < 0)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the train spec has %s %lld, 1 or more is needed",
                           spec->steps ? "steps" : "max_steps", (long long)(spec->steps ? spec->steps : spec->max_steps));
    return true;
}

static bool check_eval_spec(const pil_eval_spec *spec, pil_status *status)
{
    if (!spec)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the eval spec is NULL");
    if (spec->steps < PIL_ALL)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the eval spec has steps %lld: batches, 0 (100) or PIL_ALL are possible",
                           (long long)spec->steps);
    for (size_t i = 0; i < PIL_MAX_EXPORTERS; i++) {
        const pil_exporter *exporter = &spec->exporters[i];
        if (exporter->kind == PIL_EXPORTER_NONE)
            continue;
        if (!exporter->name || !exporter->name[0] || strchr(exporter->name, '/'))
            return status_fail(status, PIL_INVALID_ARGUMENT, "exporter %zu has no name, or one with a slash", i + 1);
        if (!exporter->serving_input_fn)
            return status_fail(status, PIL_INVALID_ARGUMENT, "the exporter '%s' has no serving_input_fn", exporter->name);
        for (size_t k = 0; k < i; k++)
            if (spec->exporters[k].kind != PIL_EXPORTER_NONE && strcmp(spec->exporters[k].name, exporter->name) == 0)
                return status_fail(status, PIL_INVALID_ARGUMENT, "two exporters are named '%s'", exporter->name);
    }
    return true;
}

pil_status pil_train(pil_estimator *estimator, const pil_train_spec *train_spec)
{
    pil_status status = { 0 };
    if (!estimator_begin(estimator, "training", &status))
        return status;
    if (check_train_spec(train_spec, &status))
        cycle_run(estimator, train_spec, NULL, NULL, &status);
    estimator_end(estimator);
    return status;
}

pil_status pil_train_and_evaluate(pil_estimator *estimator, const pil_train_spec *train_spec, const pil_eval_spec *eval_spec,
                                  pil_result *result)
{
    pil_status status = { 0 };
    pil_result unwanted;
    if (!result)
        result = &unwanted;
    *result = (pil_result){ 0 };
    if (!estimator_begin(estimator, "training", &status))
        return status;
    if (check_train_spec(train_spec, &status) && check_eval_spec(eval_spec, &status))
        cycle_run(estimator, train_spec, eval_spec, result, &status);
    estimator_end(estimator);
    return status;
}

pil_status pil_evaluate(pil_estimator *estimator, const pil_eval_spec *eval_spec, pil_result *result)
{
    pil_status status = { 0 };
    pil_result unwanted;
    if (!result)
        result = &unwanted;
    *result = (pil_result){ 0 };
    if (!estimator_begin(estimator, "evaluating", &status))
        return status;
    if (check_eval_spec(eval_spec, &status)) {
        pil_eval_spec spec = *eval_spec;
        spec.steps = spec.steps ? spec.steps : PIL_ALL; /* EvalSpec's default is 100, Estimator.evaluate's is all */
        evaluate_alone(estimator, &spec, result, &status);
    }
    estimator_end(estimator);
    return status;
}

double pil_metrics_get(const pil_result *result, const char *name)
{
    if (!name)
        return NAN;
    for (size_t i = 0; i < result->metric_count; i++)
        if (strcmp(result->metrics[i].name, name) == 0)
            return result->metrics[i].value;
    return result->metric_count && strcmp(name, "global_step") == 0 ? (double)result->global_step : NAN;
}

pil_status pil_variable_value(pil_estimator *estimator, const char *name, pil_shape *shape, float *values, size_t count)
{
    pil_status status = { 0 };
    if (!estimator)
        status_fail(&status, PIL_INVALID_ARGUMENT, "the estimator is NULL");
    else
        status = estimator->status;
    struct arena *arena = status_ok(&status) ? arena_new(&status) : NULL;
    const char *prefix =
        arena && estimator->config.model_dir ? checkpoint_latest(estimator->config.model_dir, arena, &status) : NULL;
    if (arena && !prefix)
        values_missing(estimator, &status);
    struct bundle *bundle = prefix ? bundle_open(prefix, &status) : NULL;
    const struct bundle_entry *entry = bundle ? bundle_find(bundle, name ? name : "") : NULL;
    if (bundle && !entry)
        status_fail(&status, PIL_NOT_FOUND, "%s has no variable '%s'", prefix, name ? name : "NULL");
    else if (entry && entry->dtype != DTYPE_FLOAT32)
        status_fail(&status, PIL_INVALID_ARGUMENT, "%s: %s is %s, not float32", prefix, name, dtype_name(entry->dtype));
    else if (entry && values && count != (size_t)entry->bytes / sizeof(float))
        status_fail(&status, PIL_INVALID_ARGUMENT, "%s: %s has %lld values, room is for %zu", prefix, name,
                    (long long)(entry->bytes / (int64_t)sizeof(float)), count);
    else if (entry && values)
        bundle_read(bundle, entry, values, &status);
    if (entry && shape) {
        shape->rank = entry->shape.rank;
        memcpy(shape->dims, entry->shape.dims, sizeof shape->dims);
    }
    bundle_close(bundle);
    arena_free(arena);
    return status;
}
