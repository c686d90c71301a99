/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model with its store: columns compiled, graphs of the modes built when first needed, variables declared from the first of
 * them, values from the newest checkpoint or from their initializers. Every mode is bound to the same store, so an evaluation
 * during training reads the live values and restores nothing.
 */
#include <stdio.h>
#include <string.h>

#include "estimator/internal.h"

/* ---- variables ---- */

/* "training/Adagrad"; where both parts of a combined model have one class, the linear part's is "training/Adagrad_1". 1.x:
 * slots of a linear and of a dnn model are named after the only part of their variable. */
static bool name_optimizers(struct estimator *estimator, pil_status *status)
{
    const struct model *model = estimator->model;
    const char *linear = optimizer_class(&model->linear_optimizer), *dnn = optimizer_class(&model->dnn_optimizer);
    bool both = model->kind == ESTIMATOR_COMBINED && model->linear_count && model->dnn_count, twice = both && strcmp(linear, dnn) == 0;
    struct optimizer_names *names = estimator->names;
    if (model->tensorflow == 1) {
        bool linear_alone = model->kind == ESTIMATOR_LINEAR, dnn_alone = model->kind == ESTIMATOR_DNN;
        names[PART_LINEAR] = (struct optimizer_names){ .part = linear_alone ? "part_0" : NULL, .powers = linear_alone ? "linear/head" : "head",
                                                       .number = twice };
        names[PART_DNN] = (struct optimizer_names){ .part = dnn_alone ? "t_0" : NULL, .powers = dnn_alone ? "dnn/head" : "head" };
        return true;
    }
    names[PART_LINEAR].scope = arena_format(estimator->arena, status, "training/%s%s", linear, twice ? "_1" : "");
    names[PART_DNN].scope = arena_format(estimator->arena, status, "training/%s", dnn);
    return status_ok(status);
}

static const struct optimizer *part_optimizer(const struct model *model, int part)
{
    return part == PART_LINEAR ? &model->linear_optimizer : &model->dnn_optimizer;
}

static bool has_gradient(const struct pil_graph *graph, const struct graph_variable *variable)
{
    const char **names;
    size_t count = graph_without_gradient(graph, &names);
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], variable->name) == 0)
            return false;
    return variable->trainable;
}

static bool declare(struct estimator *estimator, const struct pil_graph *graph, const struct graph_variable *variable, bool training,
                    bool used[PART_COUNT], pil_status *status)
{
    struct variable *stored = store_declare(estimator->store, variable->name, DTYPE_FLOAT32, variable->shape,
                                            variable->lookup_only ? STORE_TABLE : STORE_DENSE, status);
    if (!stored)
        return false;
    bool moves = training && has_gradient(graph, variable);
    stored->trainable = variable->trainable;
    stored->initializer = variable->initializer;
    stored->note = (struct store_note){ variable->checkpoint, variable->checkpoint_tensor };
    stored->group = moves ? canned_part(estimator->model, variable->name) : PART_NONE;
    if (!moves)
        return true;
    used[stored->group] = true;
    return optimizer_declare(part_optimizer(estimator->model, stored->group), estimator->store, stored,
                             &estimator->names[stored->group], status);
}

static bool declare_all(struct estimator *estimator, const struct pil_graph *graph, bool training, pil_status *status)
{
    bool used[PART_COUNT] = { false };
    if (!store_declare(estimator->store, "global_step", DTYPE_INT64, SHAPE_SCALAR, STORE_PLAIN, status))
        return false;
    for (size_t i = 0; i < graph_variable_count(graph); i++)
        if (!declare(estimator, graph, graph_variable_at(graph, i), training, used, status))
            return false;
    for (int part = 0; part < PART_NONE; part++) {
        bool iter = part == PART_LINEAR && used[PART_DNN];
        if (used[part] && !optimizer_declare_scalars(part_optimizer(estimator->model, part), estimator->store, &estimator->names[part], iter,
                                                     status))
            return false;
    }
    return true;
}

/* ---- modes ---- */

static int add_fetch(struct pil_tensor **fetches, int *count, struct pil_tensor *tensor)
{
    if (!tensor)
        return -1;
    for (int i = 0; i < *count; i++)
        if (fetches[i] == tensor)
            return i;
    fetches[*count] = tensor;
    return (*count)++;
}

bool mode_prepare(struct estimator *estimator, enum mode mode, pil_status *status)
{
    struct mode_run *run = &estimator->runs[mode];
    if (run->plan)
        return true;
    if (!canned_build(estimator->model, estimator->program, &estimator->inputs, mode, &run->canned, status))
        return false;
    const struct head_tensors *head = &run->canned.head;
    struct pil_tensor *fetches[8];
    int count = 0;
    run->loss = add_fetch(fetches, &count, head->loss);
    run->losses = run->logits = run->logistic = run->probabilities = run->class_ids = run->labels = run->weights = -1;
    if (mode != MODE_TRAIN) {
        run->losses = add_fetch(fetches, &count, head->losses);
        run->logits = add_fetch(fetches, &count, head->logits);
        run->logistic = add_fetch(fetches, &count, head->logistic);
        run->probabilities = mode == MODE_PREDICT ? add_fetch(fetches, &count, head->probabilities) : -1;
        run->class_ids = add_fetch(fetches, &count, head->class_ids);
        run->labels = add_fetch(fetches, &count, run->canned.labels);
        run->weights = add_fetch(fetches, &count, run->canned.weights);
    }
    run->plan = plan_compile(run->canned.graph, fetches, (size_t)count, status);
    return run->plan != NULL;
}

bool mode_bind(struct estimator *estimator, enum mode mode, pil_status *status)
{
    struct mode_run *run = &estimator->runs[mode];
    if (run->session)
        return true;
    int64_t seed = estimator->model->run.tf_random_seed;
    run->session = session_new(run->plan, estimator->threads, kernel_get(), (uint64_t)MAX(seed, 0), status);
    if (!run->session)
        return false;
    for (size_t i = 0; i < graph_variable_count(run->canned.graph); i++) {
        const struct graph_variable *variable = graph_variable_at(run->canned.graph, i);
        const struct variable *stored = store_find(estimator->store, variable->name);
        if (!stored)
            return status_fail(status, PIL_INTERNAL, "the store lacks %s", variable->name);
        bool block = stored->layout == STORE_DENSE && stored->group != PART_NONE;
        struct session_variable where = { stored->value, block ? stored->group : -1, block ? stored->block_offset : 0 };
        if (!session_bind(run->session, variable, &where, status))
            return false;
    }
    for (int part = 0; mode == MODE_TRAIN && part < PART_NONE; part++)
        if (part < store_groups(estimator->store) &&
            !session_groups(run->session, part, store_block(estimator->store, part).floats, status))
            return false;
    return true;
}

static const struct tensor *fetched(const struct mode_run *run, int number)
{
    return number < 0 ? NULL : &session_fetch(run->session, (size_t)number)->tensor;
}

void mode_batch(const struct mode_run *run, struct head_batch *out)
{
    *out = (struct head_batch){ .labels = fetched(run, run->labels), .weights = fetched(run, run->weights),
                                .losses = fetched(run, run->losses), .logits = fetched(run, run->logits),
                                .logistic = fetched(run, run->logistic), .probabilities = fetched(run, run->probabilities),
                                .class_ids = fetched(run, run->class_ids) };
    if (run->loss >= 0)
        out->loss = session_scalar(run->session, (size_t)run->loss);
}

void mode_free(struct mode_run *run)
{
    session_free(run->session);
    plan_free(run->plan);
    graph_free(run->canned.graph);
    *run = (struct mode_run){ 0 };
}

/* ---- making ---- */

/* First values: from the checkpoint asked for, from the newest one, else from initializers and notes. */
static bool fill_store(struct estimator *estimator, pil_status *status)
{
    const struct model *model = estimator->model;
    const char *prefix = estimator->options.checkpoint;
    const char *warm_start = estimator->options.warm_start_from;
    /* A folder that does not exist yet is made and locked when there is something to write. */
    bool locks = estimator->options.training && !estimator->options.look_only;
    if (locks && model->run.model_dir && file_is_folder(model->run.model_dir)) {
        estimator->lock = checkpoint_lock(model->run.model_dir, status);
        if (!estimator->lock)
            return false;
    }
    if (!prefix && model->run.model_dir)
        prefix = checkpoint_latest(model->run.model_dir, estimator->arena, status);
    if (!status_ok(status))
        return false;
    if (prefix) {
        struct checkpoint_restore_options options = { .slots = estimator->options.training,
                                                      .model_dir = estimator->options.checkpoint ? NULL : model->run.model_dir };
        estimator->restored = prefix;
        if (estimator->options.warm_start_from)
            log_line(LOG_INFO, "%s goes on from its own checkpoint: nothing is taken from %s", model->run.model_dir,
                     estimator->options.warm_start_from);
        return checkpoint_restore(estimator->store, prefix, &options, status);
    }
    if (!warm_start && estimator->options.training)
        warm_start = model->warm_start_from;
    if (!estimator->options.training)
        log_line(LOG_WARNING, "there is no checkpoint in %s: the initial weights are used", model->run.model_dir ? model->run.model_dir : "-");
    return store_initialize(estimator->store, (uint64_t)MAX(model->run.tf_random_seed, 0), estimator->threads, status) &&
           transfer_apply(estimator->store, status) &&
           (!warm_start || transfer_warm_start(estimator->store, warm_start, status));
}

static bool start(struct estimator *estimator, pil_status *status)
{
    const struct model *model = estimator->model;
    struct program_options options = { model->input.max_values_per_row, model->tf_dense };
    enum mode first = estimator->options.training ? MODE_TRAIN : MODE_PREDICT;
    estimator->arena = arena_new(status);
    estimator->threads = threads_new(estimator->options.threads, status);
    estimator->program = program_new(&options, status);
    estimator->store = store_new(status);
    return status_ok(status) && canned_register(model, estimator->program, &estimator->inputs, status) &&
           program_finish(estimator->program, status) && name_optimizers(estimator, status) && mode_prepare(estimator, first, status) &&
           declare_all(estimator, estimator->runs[first].canned.graph, estimator->options.training, status) &&
           store_allocate(estimator->store, status) && fill_store(estimator, status);
}

struct estimator *estimator_new(struct model *model, const struct estimator_options *options, pil_status *status)
{
    struct estimator *estimator = mem_new(sizeof *estimator, status);
    if (!estimator)
        return NULL;
    estimator->model = model;
    estimator->options = *options;
    if (start(estimator, status))
        return estimator;
    estimator_free(estimator);
    return NULL;
}

void estimator_free(struct estimator *estimator)
{
    if (!estimator)
        return;
    for (int mode = 0; mode < 3; mode++)
        mode_free(&estimator->runs[mode]);
    head_metrics_free(estimator->metrics);
    file_lock_free(estimator->lock);
    program_free(estimator->program);
    store_free(estimator->store);
    threads_free(estimator->threads);
    arena_free(estimator->arena);
    mem_free(estimator);
}

struct store *estimator_store(struct estimator *estimator)
{
    return estimator->store;
}

int64_t estimator_step(const struct estimator *estimator)
{
    return *store_int64(estimator->store, "global_step");
}

/* ---- input ---- */

struct feed *estimator_feed(struct estimator *estimator, enum mode mode, const char *data, const struct cursor *from,
                            const struct field_spec *keep, size_t keep_count, pil_status *status)
{
    const struct model *model = estimator->model;
    const struct input_section *input = &model->input;
    bool training = mode == MODE_TRAIN, split = !data && model->eval.split > 0;
    const char *one[] = { data };
    const struct arg_texts *files = training || split ? &input->train : &input->eval;
    enum { SENSIBLE_SHUFFLE = 100000 };
    struct feed_options options = {
        .paths = data ? one : files->items,
        .path_count = data ? 1 : files->count,
        .format = input->format,
        .csv = input->csv,
        .order = { .seed = (uint64_t)MAX(model->run.tf_random_seed, 0),
                   .batch_size = input->batch_size,
                   .shuffle = !training            ? 0
                              : input->shuffle < 0 ? SENSIBLE_SHUFFLE
                                                   : input->shuffle,
                   .epochs = training ? input->epochs : 1,
                   .skip = training ? input->skip : 0 },
        .group = training,
        .cache = training && input->cache,
        .cache_bytes = input->cache_bytes,
        .keep_fields = keep_count > 0,
        .extra = keep,
        .extra_count = keep_count,
        .targets_optional = mode == MODE_PREDICT,
        .from = from,
        .split = split ? model->eval.split : 0,
        .split_eval = !training,
        .split_by = model->eval.split_by,
    };
    if (!options.path_count) {
        status_fail(status, PIL_INVALID_ARGUMENT, "%s: the input section names no %s files", model->path, training ? "train" : "eval");
        return NULL;
    }
    return feed_open(estimator->program, &options, estimator->threads, status);
}

void estimator_tell_skipped(const struct feed *feed, const char *what)
{
    long long rows = feed ? feed_skipped(feed) : 0;
    if (rows > 0)
        log_line(LOG_WARNING, "%s: %lld bad row%s %s skipped", what, rows, rows == 1 ? "" : "s", rows == 1 ? "was" : "were");
}

/* ---- evaluate, predict ---- */

/* Runs a mode over a feed; `each` sees every batch's values. steps -1: to the end of the data. */
static bool run_over(struct estimator *estimator, enum mode mode, struct feed *feed, int64_t steps,
                     bool (*each)(void *context, const struct head_batch *values, const struct batch *raw, pil_status *status),
                     void *context, pil_status *status)
{
    struct mode_run *run = &estimator->runs[mode];
    size_t features = program_feature_count(estimator->program);
    int64_t done = 0;
    for (; steps < 0 || done < steps; done++) {
        if (estimator->options.stop && *estimator->options.stop)
            return status_fail(status, PIL_CANCELLED, "stopped in the evaluation of step %lld; the checkpoint is saved",
                               (long long)estimator_step(estimator));
        const struct batch *batch = feed_next(feed, status);
        if (!batch)
            break;
        column_bind(run->session, batch, features);
        struct job jobs[4];
        size_t job_count = feed_jobs(feed, jobs, COUNT_OF(jobs));
        struct head_batch values;
        if (!session_run(run->session, batch->rows, *store_int64(estimator->store, "global_step"), jobs, job_count, status))
            return false;
        mode_batch(run, &values);
        if (!each(context, &values, batch, status))
            return false;
    }
    return status_ok(status);
}

static bool add_to_metrics(void *context, const struct head_batch *values, const struct batch *raw, pil_status *status)
{
    (void)status;
    (void)raw;
    head_metrics_update(context, values);
    return true;
}

bool estimator_evaluate_live(struct estimator *estimator, const char *data, pil_status *status)
{
    struct feed *feed = NULL;
    bool ok = false;
    head_metrics_free(estimator->metrics);
    estimator->metrics = head_metrics_new(&estimator->model->head, status);
    if (estimator->metrics && mode_prepare(estimator, MODE_EVAL, status) && mode_bind(estimator, MODE_EVAL, status) &&
        (feed = estimator_feed(estimator, MODE_EVAL, data, NULL, NULL, 0, status)))
        ok = run_over(estimator, MODE_EVAL, feed, data ? -1 : estimator->model->eval.steps, add_to_metrics, estimator->metrics, status);
    if (ok && feed_rows(feed) == 0) {
        const struct arg_texts *files = &estimator->model->input.eval;
        ok = status_fail(status, PIL_BAD_DATA, "%s: there are no rows to evaluate",
                         data           ? data
                         : files->count ? files->items[0]
                                        : "eval.split");
    }
    if (ok && !estimator->skipped_told)
        estimator_tell_skipped(feed, "evaluation");
    estimator->skipped_told = true;
    feed_close(feed);
    return ok;
}

const struct head_metrics *estimator_evaluate(struct estimator *estimator, const char *data, pil_status *status)
{
    return estimator_evaluate_live(estimator, data, status) ? estimator->metrics : NULL;
}

bool estimator_predict(struct estimator *estimator, const char *data, const struct field_spec *keep, size_t keep_count,
                       bool (*batch)(void *context, const struct head_batch *batch, const struct batch *raw, pil_status *status),
                       void *context, pil_status *status)
{
    struct feed *feed = NULL;
    bool ok = mode_prepare(estimator, MODE_PREDICT, status) && mode_bind(estimator, MODE_PREDICT, status) &&
              (feed = estimator_feed(estimator, MODE_PREDICT, data, NULL, keep, keep_count, status)) &&
              run_over(estimator, MODE_PREDICT, feed, -1, batch, context, status);
    if (ok)
        estimator_tell_skipped(feed, "prediction");
    feed_close(feed);
    return ok;
}
