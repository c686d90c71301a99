/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model for one mode: its graph and column program made for some data, compiled, and bound to the model's values. The values are
 * the model's and outlive every run; a run that trains needs slots, so the values of a model that was only evaluated so far move
 * into a store that has them.
 */
#include <string.h>

#include "input/input.h"
#include "keras/run.h"

/* ---- values ---- */

static bool has_all(const struct store *store, const struct pil_graph *graph)
{
    for (size_t i = 0; i < graph_variable_count(graph); i++)
        if (!store_find(store, graph_variable_at(graph, i)->name))
            return false;
    return true;
}

bool keras_values(pil_sequential *model, const struct pil_graph *graph, const struct pil_train_op *op, pil_status *status)
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

static bool add_fetch(struct keras_run *run, struct pil_tensor *tensor, pil_status *status)
{
    for (size_t i = 0; i < run->fetch_count; i++)
        if (run->fetches[i] == tensor)
            return true;
    if (!tensor)
        return true;
    if (!mem_grow(&run->fetches, &run->fetch_capacity, run->fetch_count + 1, sizeof *run->fetches, status))
        return false;
    run->fetches[run->fetch_count++] = tensor;
    return true;
}

static bool collect_fetches(struct keras_run *run, pil_status *status)
{
    bool ok =
        run->mode == PIL_PREDICT ? add_fetch(run, run->outputs.predictions, status) : add_fetch(run, run->outputs.loss, status);
    for (size_t i = 0; ok && i < run->outputs.metric_count; i++) {
        const struct pil_metric *metric = run->outputs.metrics[i].metric;
        ok = add_fetch(run, metric->labels, status) && add_fetch(run, metric->values, status) &&
             add_fetch(run, metric->weights, status);
    }
    return ok;
}

static void describe(const struct pil_dataset *dataset, struct text *out)
{
    for (size_t i = 0; i < dataset->field_count; i++) {
        const struct dataset_field *field = &dataset->fields[i];
        text_format(out, "%s %d %d %lld %d\n", field->name, field->typed, (int)field->type, (long long)field->width,
                    field->ragged);
    }
    text_format(out, "%d %s\n", (int)dataset->kind, dataset->label ? dataset->label : "");
}

bool keras_run_fits(const struct keras_run *run, const struct pil_dataset *dataset)
{
    struct text text = { 0 };
    describe(dataset, &text);
    bool fits = run->session && !text.failed &&
                slice_equal(slice_of(text.data, text.size), slice_of(run->offered.data, run->offered.size));
    text_free(&text);
    return fits;
}

/* The label's and the weights' columns of the program, as tensors. */
static bool ask_targets(struct keras_run *run, const struct pil_dataset *dataset, const char *weights,
                        struct sequential_data *data, pil_status *status)
{
    if (run->mode == PIL_PREDICT)
        return true;
    if (dataset->label) {
        const struct dataset_field *label = dataset_find(dataset, dataset->label);
        struct program_target target = { .field = dataset->label,
                                         .width = label && label->sized ? MAX(label->width, 1) : MAX(dataset->label_width, 1) };
        int first = program_target(run->program, &target, status);
        if (first < 0)
            return false;
        data->labels = column_target(&run->inputs, first, target.width);
        graph_suggest_name(run->graph, data->labels, dataset->label);
    }
    if (weights) {
        struct program_target target = { .field = weights, .width = 1 };
        int first = program_target(run->program, &target, status);
        if (first < 0)
            return false;
        data->weights = column_target(&run->inputs, first, 1);
    }
    return true;
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
    run->plan = plan_compile(run->graph, run->fetches, run->fetch_count, status);
    if (!run->plan || !keras_values(model, run->graph, op, status))
        return false;
    run->session = session_new(run->plan, model->threads, kernel_get(), model->seed, status);
    if (!run->session || !train_op_bind(run->graph, model->store, run->session, status))
        return false;
    run->updater = op ? train_op_updater(op, model->store, model->threads, kernel_get(), status) : NULL;
    return status_ok(status);
}

bool keras_run_make(struct keras_run *run, pil_sequential *model, pil_mode mode, const struct pil_dataset *dataset,
                    const char *weights, pil_status *status)
{
    struct pil_train_op *op = NULL;
    *run = (struct keras_run){ .model = model, .mode = mode };
    if (!sequential_fails(model, status) && status_ok(&dataset->status)) {
        describe(dataset, &run->offered);
        if (text_ok(&run->offered, status) && build(run, dataset, weights, &op, status) && collect_fetches(run, status) &&
            bind(run, op, status) && make_metrics(run, status))
            return true;
    }
    if (status_ok(status))
        *status = dataset->status;
    keras_run_free(run);
    return false;
}

struct feed *keras_run_feed(const struct keras_run *run, const struct pil_dataset *dataset, const struct cursor *from,
                            pil_status *status)
{
    struct feed_options options = feed_dataset(dataset, run->model->seed);
    options.group = run->mode == PIL_TRAIN;
    options.targets_optional = run->mode == PIL_PREDICT;
    options.from = from;
    return feed_open(run->program, &options, run->model->threads, status);
}

/* ---- running ---- */

const struct tensor *keras_run_value(const struct keras_run *run, const struct pil_tensor *tensor)
{
    for (size_t i = 0; tensor && i < run->fetch_count; i++)
        if (run->fetches[i] == tensor)
            return &session_fetch(run->session, i)->tensor;
    return NULL;
}

bool keras_run_count(struct keras_run *run, pil_status *status)
{
    for (size_t i = 0; i < run->outputs.metric_count; i++) {
        const struct pil_metric *metric = run->outputs.metrics[i].metric;
        metric_update(run->metrics[i], keras_run_value(run, metric->labels), keras_run_value(run, metric->values),
                      keras_run_value(run, metric->weights));
        if (!metric_check(run->metrics[i], status))
            return status_prefix(status, "%s: ", run->outputs.metrics[i].name);
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
    mem_free(run->fetches);
    text_free(&run->offered);
    *run = (struct keras_run){ 0 };
}
