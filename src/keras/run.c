/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model for one mode: its graph and column program made for some data, compiled, and bound to the model's values. The values are
 * the model's and outlive every run; a run that trains needs slots, so the values of a model that was only evaluated so far move
 * into a store that has them.
 */
#include <string.h>

#include "input/input.h"
#include "keras/run.h"

/* ---- values: declared, filled, what there was before kept ---- */

static bool has_all(const struct store *store, const struct pil_graph *graph)
{
    for (size_t i = 0; i < graph_variable_count(graph); i++)
        if (!store_find(store, graph_variable_at(graph, i)->name))
            return false;
    return true;
}

static bool make_values(pil_sequential *model, const struct pil_graph *graph, const struct pil_train_op *op, pil_status *status)
{
    if (model->store && has_all(model->store, graph) && (!op || model->trains))
        return true;
    struct store *store = store_new(status);
    bool ok = store && store_declare(store, "global_step", DTYPE_INT64, SHAPE_SCALAR, STORE_PLAIN, status) &&
              train_op_declare(op, graph, store, status) && store_allocate(store, status) &&
              store_initialize(store, model->seed, model->threads, status) && transfer_apply(store, status);
    if (!ok) {
        store_free(store);
        return false;
    }
    if (model->store)
        store_copy_values(model->store, store);
    store_free(model->store);
    model->store = store;
    model->trains = op != NULL;
    return true;
}

/* ---- making ---- */

static bool collect_fetches(struct keras_run *run, pil_status *status)
{
    const struct sequential_outputs *outputs = &run->outputs;
    bool ok = fetches_add(&run->fetches, run->mode == PIL_PREDICT ? outputs->predictions : outputs->loss, status);
    for (size_t i = 0; ok && i < outputs->metric_count; i++)
        ok = metric_fetch(outputs->metrics[i].metric, &run->fetches, status);
    return ok;
}

/* A field's columns of the program, as a tensor that has its name; NULL: an error. */
static struct pil_tensor *ask_target(struct keras_run *run, const char *field, int64_t width, pil_status *status)
{
    int first = program_target(run->program, &(struct program_target){ .field = field, .width = width }, status);
    struct pil_tensor *target = first < 0 ? NULL : column_target(&run->inputs, first, width);
    if (target)
        graph_suggest_name(run->graph, target, field);
    return target;
}

/* Labels where the data have them, and the weights' field where there is one. */
static bool ask_targets(struct keras_run *run, const struct pil_dataset *dataset, const char *weights,
                        struct sequential_data *data, pil_status *status)
{
    if (run->mode == PIL_PREDICT)
        return true;
    if (dataset->label && !(data->labels = ask_target(run, dataset->label, dataset_label_width(dataset), status)))
        return false;
    return !weights || (data->weights = ask_target(run, weights, 1, status)) != NULL;
}

static bool build(struct keras_run *run, const struct pil_dataset *dataset, const char *weights, struct pil_train_op **op,
                  pil_status *status)
{
    struct program_options options = { .max_values_per_row = MAX(dataset->max_values_per_row, 10000) };
    struct sequential_data data = { .inputs = &run->inputs, .dataset = dataset };
    run->program = program_new(&options, status);
    run->graph = run->program ? graph_new(status) : NULL;
    if (!run->graph)
        return false;
    if (run->mode != PIL_TRAIN)
        graph_forward_only(run->graph);
    run->inputs = (struct column_inputs){ run->program, run->graph };
    if (!program_dataset(run->program, dataset, status) || !ask_targets(run, dataset, weights, &data, status))
        return false;
    sequential_outputs(run->model, run->graph, &data, run->mode, &run->outputs);
    if (run->mode == PIL_TRAIN && status_ok(graph_status(run->graph)))
        *op = sequential_minimize(run->model, run->graph, run->outputs.loss, false);
    if (!status_ok(graph_status(run->graph))) {
        *status = *graph_status(run->graph);
        return false;
    }
    if (!program_finish(run->program, status))
        return false;
    column_settle(&run->inputs);
    return true;
}

static bool make_metrics(struct keras_run *run, pil_status *status)
{
    size_t count = run->outputs.metric_count;
    run->metrics = mem_array(MAX(count, 1), sizeof *run->metrics, status);
    for (size_t i = 0; run->metrics && i < count; i++)
        if (!(run->metrics[i] = metric_new(&run->outputs.metrics[i].metric->options, status)))
            return false;
    return run->metrics != NULL;
}

static bool bind(struct keras_run *run, const struct pil_train_op *op, pil_status *status)
{
    pil_sequential *model = run->model;
    if (!model->threads && !(model->threads = threads_new(model->thread_count, status)))
        return false;
    run->plan = plan_compile(run->graph, run->fetches.items, run->fetches.count, status);
    if (!run->plan || !make_values(model, run->graph, op, status))
        return false;
    run->session = session_new(run->plan, model->threads, kernel_get(), model->seed, status);
    if (!run->session || !train_op_bind(run->graph, model->store, run->session, status))
        return false;
    run->updater = op ? train_op_updater(op, model->store, model->threads, kernel_get(), status) : NULL;
    if (run->updater) /* somebody may have set it between two fits */
        updater_set_rate(run->updater, model->compiled.optimizer.options.learning_rate.rate);
    return status_ok(status);
}

bool keras_run_make(struct keras_run *run, pil_sequential *model, pil_mode mode, const struct pil_dataset *dataset,
                    const char *weights, pil_status *status)
{
    struct pil_train_op *op = NULL;
    *run = (struct keras_run){ .model = model, .mode = mode };
    if (!sequential_fails(model, status) && status_ok(&dataset->status)) {
        if (build(run, dataset, weights, &op, status) && collect_fetches(run, status) && bind(run, op, status) &&
            make_metrics(run, status))
            return true;
    }
    if (status_ok(status))
        *status = dataset->status;
    keras_run_free(run);
    return false;
}

struct feed *keras_run_feed(const struct keras_run *run, const struct pil_dataset *dataset, pil_status *status)
{
    struct feed_options options = feed_dataset(dataset, run->model->seed);
    options.group = run->mode == PIL_TRAIN;
    options.targets_optional = run->mode == PIL_PREDICT;
    return feed_open(run->program, &options, run->model->threads, status);
}

/* ---- running ---- */

const struct tensor *keras_run_value(const struct keras_run *run, const struct pil_tensor *tensor)
{
    return fetches_value(&run->fetches, run->session, tensor);
}

bool keras_run_count(struct keras_run *run, pil_status *status)
{
    for (size_t i = 0; i < run->outputs.metric_count; i++) {
        const struct sequential_metric *metric = &run->outputs.metrics[i];
        if (!metric_count(run->metrics[i], metric->metric, metric->name, &run->fetches, run->session, status))
            return false;
    }
    return true;
}

void keras_run_reset(struct keras_run *run)
{
    for (size_t i = 0; i < run->outputs.metric_count; i++)
        metric_reset(run->metrics[i]);
}

bool keras_run_batch(struct keras_run *run, struct feed *feed, const struct batch *batch, pil_status *status)
{
    struct job jobs[4];
    column_bind(run->session, batch, program_feature_count(run->program));
    size_t count = feed_jobs(feed, jobs, COUNT_OF(jobs));
    return session_run(run->session, batch->rows, *store_int64(run->model->store, "global_step"), jobs, count, status);
}

void keras_run_free(struct keras_run *run)
{
    for (size_t i = 0; run->metrics && i < run->outputs.metric_count; i++)
        metric_free(run->metrics[i]);
    mem_free(run->metrics);
    updater_free(run->updater);
    session_free(run->session);
    plan_free(run->plan);
    graph_free(run->graph);
    program_free(run->program);
    mem_free(run->fetches.items);
    *run = (struct keras_run){ 0 };
}
