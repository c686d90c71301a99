/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model for one mode: the model function is called with a new graph and a column program of its own, what it returns is checked,
 * and what the mode needs of it is compiled. The first graph of an estimator declares the variables; all are bound to them.
 */
#include <math.h>
#include <string.h>

#include "estimator/internal.h"

static bool add_fetches(struct mode_run *run, pil_dict dict, pil_status *status)
{
    for (size_t i = 0; i < dict.count; i++)
        if (!fetches_add(&run->fetches, dict.items[i].tensor, status))
            return false;
    return true;
}

/* The loss; an evaluation's metrics; what is predicted; what hooks want to see. */
static bool collect_fetches(struct mode_run *run, pil_status *status)
{
    const pil_estimator_spec *spec = &run->spec;
    if (run->mode == PIL_PREDICT ? !add_fetches(run, spec->predictions, status) : !fetches_add(&run->fetches, spec->loss, status))
        return false;
    for (size_t i = 0; run->mode == PIL_EVAL && i < spec->eval_metric_ops.count; i++)
        if (!metric_fetch(spec->eval_metric_ops.items[i].metric, &run->fetches, status))
            return false;
    for (size_t i = 0; i < run->hooks.count; i++)
        if (!add_fetches(run, run->hooks.items[i].fetches, status))
            return false;
    return true;
}

static bool add_hooks(struct mode_run *run, const pil_hook *hooks, size_t count, pil_status *status)
{
    if (count > MOST_RUN_HOOKS - run->hooks.count)
        return status_fail(status, PIL_INVALID_ARGUMENT, "a run has %zu hooks, %d are possible", run->hooks.count + count,
                           MOST_RUN_HOOKS);
    for (size_t i = 0; i < count; i++) {
        if (!spec_check_fetches(&hooks[i], run->graph, "hooks", status))
            return false;
        run->hooks.items[run->hooks.count++] = hooks[i];
    }
    return true;
}

static bool add_spec_hooks(struct mode_run *run, pil_status *status)
{
    const pil_estimator_spec *spec = &run->spec;
    if (run->mode == PIL_TRAIN)
        return add_hooks(run, spec->training_hooks, spec->training_hook_count, status);
    if (run->mode == PIL_EVAL)
        return add_hooks(run, spec->evaluation_hooks, spec->evaluation_hook_count, status);
    return add_hooks(run, spec->prediction_hooks, spec->prediction_hook_count, status);
}

/* Names, types and widths: what a graph depends on. */
static void describe_fields(const struct pil_dataset *dataset, struct text *out)
{
    for (size_t i = 0; i < dataset->field_count; i++) {
        const struct dataset_field *field = &dataset->fields[i];
        text_format(out, "%s %d %d %lld %d %d %d\n", field->name, field->typed, (int)field->type, (long long)field->width,
                    field->ragged, field->separator, field->weight_separator);
    }
    text_format(out, "%d %s\n", (int)dataset->kind, dataset->label ? dataset->label : "");
}

bool mode_fits(const struct mode_run *run, const struct pil_dataset *dataset)
{
    struct text text = { 0 };
    describe_fields(dataset, &text);
    bool fits = run->plan && slice_equal(slice_of(text.data, text.size), slice_of(run->offered.data, run->offered.size));
    text_free(&text);
    return fits;
}

static bool build(struct mode_run *run, struct pil_estimator *estimator, const struct pil_dataset *dataset, pil_status *status)
{
    struct program_options options = { .max_values_per_row = dataset->max_values_per_row,
                                       .tf_dense = estimator->options.tf_dense };
    run->program = program_new(&options, status);
    run->graph = run->program ? graph_new(status) : NULL;
    if (run->graph && run->mode != PIL_TRAIN)
        graph_forward_only(run->graph);
    if (!run->graph || !features_begin(&run->features, run->graph, run->program, dataset, run->mode != PIL_PREDICT, status))
        return false;
    run->spec = estimator->model_fn(run->graph, &run->features, run->features.targets, run->mode, estimator->model_params);
    return spec_check(&run->spec, run->graph, run->mode, status) && features_end(&run->features, status);
}

bool mode_make(struct mode_run *run, struct pil_estimator *estimator, pil_mode mode, const struct pil_dataset *dataset,
               const pil_hook *hooks, size_t hook_count, pil_status *status)
{
    *run = (struct mode_run){ .mode = mode };
    describe_fields(dataset, &run->offered);
    bool ok = text_ok(&run->offered, status) && build(run, estimator, dataset, status) &&
              add_hooks(run, hooks, hook_count, status) && add_spec_hooks(run, status) && collect_fetches(run, status);
    run->plan = ok ? plan_compile(run->graph, run->fetches.items, run->fetches.count, status) : NULL;
    run->features.dataset = NULL;
    if (run->plan)
        return true;
    mode_free(run);
    return false;
}

bool mode_check(const struct mode_run *run, const struct store *store, pil_status *status)
{
    for (size_t i = 0; i < graph_variable_count(run->graph); i++) {
        const struct graph_variable *variable = graph_variable_at(run->graph, i);
        const struct variable *stored = store_find(store, variable->name);
        char here[128], there[128];
        if (!stored)
            return status_fail(status, PIL_INVALID_ARGUMENT,
                               "the variable %s is made in %s alone: a model function makes the same "
                               "variables in every mode",
                               variable->name, mode_name(run->mode));
        if (!shape_equal(stored->shape, variable->shape))
            return status_fail(status, PIL_INVALID_ARGUMENT, "the variable %s is %s in %s and %s in another mode", variable->name,
                               shape_text(variable->shape, here), mode_name(run->mode), shape_text(stored->shape, there));
    }
    return true;
}

bool mode_bind(struct mode_run *run, struct pil_estimator *estimator, pil_status *status)
{
    uint64_t seed = (uint64_t)MAX(estimator->config.tf_random_seed, 0);
    run->session =
        mode_check(run, estimator->store, status) ? session_new(run->plan, estimator->threads, kernel_get(), seed, status) : NULL;
    return run->session && train_op_bind(run->graph, estimator->store, run->session, status);
}

struct feed *mode_feed(const struct mode_run *run, struct pil_estimator *estimator, const struct pil_dataset *dataset,
                       const struct cursor *from, const struct field_spec *keep, size_t keep_count, pil_status *status)
{
    struct feed_options options = feed_dataset(dataset, (uint64_t)MAX(estimator->config.tf_random_seed, 0));
    options.group = run->mode == PIL_TRAIN;
    options.targets_optional = run->mode == PIL_PREDICT;
    options.keep_fields = keep_count > 0;
    options.extra = keep;
    options.extra_count = keep_count;
    options.from = from;
    return feed_open(run->program, &options, estimator->threads, status);
}

void mode_tell_skipped(const struct feed *feed, const char *what)
{
    long long rows = feed ? feed_skipped(feed) : 0;
    if (rows > 0)
        log_line(PIL_LOG_WARNING, "%s: %lld bad row%s %s skipped", what, rows, rows == 1 ? "" : "s", rows == 1 ? "was" : "were");
}

const struct tensor *mode_value(const struct mode_run *run, const struct pil_tensor *tensor)
{
    return fetches_value(&run->fetches, run->session, tensor);
}

const struct tensor *mode_fetched(void *run, const struct pil_tensor *tensor)
{
    return mode_value(run, tensor);
}

/* One batch; *end when there is none. */
static bool pass_batch(const struct mode_pass *pass, pil_run *run, bool *end, pil_status *status)
{
    struct job jobs[4];
    const struct batch *batch = feed_next(pass->feed, status);
    *end = !batch;
    if (!batch)
        return status_ok(status);
    column_bind(pass->run->session, batch, program_feature_count(pass->run->program));
    size_t job_count = feed_jobs(pass->feed, jobs, COUNT_OF(jobs));
    if (!session_run(pass->run->session, batch->rows, estimator_step(pass->estimator), jobs, job_count, status) ||
        !pass->each(pass->context, batch, status))
        return false;
    run->steps++;
    run->examples += batch->rows;
    if (pass->run->spec.loss && pass->run->mode == PIL_EVAL)
        run->loss = (double)tensor_floats(mode_value(pass->run, pass->run->spec.loss))[0];
    return true;
}

bool mode_pass_begin(struct mode_pass *pass, pil_status *status)
{
    bool ok = true;
    pass->loop = (pil_run){ .session = pass->run->session,
                            .global_step = store_int64(pass->estimator->store, "global_step"),
                            .value = mode_fetched,
                            .value_context = pass->run,
                            .loss = NAN };
    for (size_t i = 0; ok && i < pass->run->hooks.count; i++)
        ok = hook_add(&pass->loop, &pass->run->hooks.items[i], status);
    return ok && run_hooks(&pass->loop, RUN_BEGIN, status);
}

bool mode_pass_next(struct mode_pass *pass, bool *end, pil_status *status)
{
    const struct pil_estimator *estimator = pass->estimator;
    *end = pass->loop.stopping || (pass->steps >= 0 && pass->loop.steps >= pass->steps);
    if (*end)
        return true;
    if (estimator_stops(estimator))
        return status_fail(status, PIL_CANCELLED, "stopped in the %s of step %lld%s",
                           pass->run->mode == PIL_EVAL ? "evaluation" : "prediction", (long long)estimator_step(estimator),
                           estimator->lock ? "; the checkpoint is saved" : "");
    if (!run_hooks(&pass->loop, RUN_BEFORE, status) || !pass_batch(pass, &pass->loop, end, status))
        return false;
    return *end || run_hooks(&pass->loop, RUN_AFTER, status);
}

bool mode_pass_end(struct mode_pass *pass, bool ok, pil_status *status)
{
    pil_status closing = { 0 };
    ok = ok && run_hooks(&pass->loop, RUN_END, status);
    return run_free(&pass->loop, ok ? status : &closing) && ok;
}

bool mode_pass(struct mode_pass *pass, pil_status *status)
{
    bool end = false, ok = mode_pass_begin(pass, status);
    while (ok && !end)
        ok = mode_pass_next(pass, &end, status);
    return mode_pass_end(pass, ok, status);
}

void mode_free(struct mode_run *run)
{
    session_free(run->session);
    plan_free(run->plan);
    graph_free(run->graph);
    program_free(run->program);
    features_free(&run->features);
    mem_free(run->fetches.items);
    text_free(&run->offered);
    *run = (struct mode_run){ 0 };
}
