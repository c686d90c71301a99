/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fit: epochs of the one training loop. An epoch is a run of steps to the end of the data, with a hook behind each step that counts
 * metrics and calls callbacks; behind it come the validation, the callbacks of the epoch's end, and the history.
 */
#include <math.h>
#include <string.h>
#include <time.h>

#include "keras/fit.h"

struct fit {
    pil_sequential *model;
    const pil_fit_options *options;
    struct keras_run run, validation;
    const pil_dataset *data, *validation_data; /* NULL: none */
    const char *weights, *validation_weights;  /* fields of sample weights, or NULL */
    struct feed *feed;
    struct callbacks *callbacks;
    pil_fit_position position;
    pil_logs logs;
    double loss_sum, began;
    int64_t rows, batches; /* of the epoch so far; of an epoch, once one has ended */
    bool stopping;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* ---- for callbacks ---- */

bool sequential_is_busy(const pil_sequential *model, const char *call, pil_status *status)
{
    return model->fit && !status_fail(status, PIL_BUSY, "%s: the model is being fitted", call);
}

void pil_stop_training(pil_sequential *model)
{
    if (model->fit)
        model->fit->stopping = true;
}

double pil_get_learning_rate(const pil_sequential *model)
{
    const struct schedule *schedule = &model->compiled.optimizer.options.learning_rate;
    int64_t step = model->store && model->trains ? *store_int64(model->store, "global_step") : 0;
    return model->is_compiled ? schedule_rate(schedule, step) : NAN;
}

pil_status pil_set_learning_rate(pil_sequential *model, double rate)
{
    pil_status status = { 0 };
    struct schedule *schedule = &model->compiled.optimizer.options.learning_rate;
    if (!model->is_compiled)
        status_fail(&status, PIL_INVALID_ARGUMENT, "pil_set_learning_rate: the model is not compiled");
    else if (schedule->kind != SCHEDULE_CONSTANT)
        status_fail(&status, PIL_INVALID_ARGUMENT, "pil_set_learning_rate: the rate of this model follows a schedule");
    else if (!(rate >= 0) || !isfinite(rate))
        status_fail(&status, PIL_INVALID_ARGUMENT, "pil_set_learning_rate: %g is no rate", rate);
    if (!status_ok(&status))
        return status;
    schedule->rate = rate;
    if (model->fit && model->fit->run.updater)
        updater_set_rate(model->fit->run.updater, rate);
    return status;
}

const pil_history *pil_sequential_history(const pil_sequential *model)
{
    return model->history;
}

/* ---- a batch ---- */

static bool next_batch(void *context, int64_t *rows, bool *end, pil_status *status)
{
    struct fit *fit = context;
    int64_t most = fit->options->steps_per_epoch;
    *end = fit->stopping || (most > 0 && fit->position.batch >= most);
    if (*end)
        return true;
    const struct batch *batch = feed_next(fit->feed, status);
    *end = !batch;
    if (!batch)
        return status_ok(status);
    column_bind(fit->run.session, batch, program_feature_count(fit->run.program));
    *rows = batch->rows;
    return callbacks_at(fit->callbacks, BATCH_BEGIN, &fit->position, NULL, status);
}

static size_t batch_jobs(void *context, struct job *jobs, size_t limit)
{
    return feed_jobs(((struct fit *)context)->feed, jobs, limit);
}

/* The epoch's means so far. */
static bool fill_logs(struct fit *fit, pil_status *status)
{
    bool ok = pil_logs_set(&fit->logs, "loss", fit->rows ? fit->loss_sum / (double)fit->rows : 0);
    for (size_t i = 0; ok && i < fit->run.outputs.metric_count; i++)
        ok = pil_logs_set(&fit->logs, fit->run.outputs.metrics[i].name, metric_result(fit->run.metrics[i]));
    return ok || status_fail(status, PIL_INVALID_ARGUMENT, "the logs have no room for all metrics");
}

static bool after_batch(void *context, pil_run *run, pil_status *status)
{
    struct fit *fit = context;
    int64_t rows = run->examples - fit->rows;
    fit->loss_sum += run->loss * (double)rows;
    fit->rows += rows;
    if (!keras_run_count(&fit->run, status))
        return false;
    if (callbacks_want_batches(fit->callbacks)) {
        fit->position.seconds = now() - fit->began;
        if (!fill_logs(fit, status) || !callbacks_at(fit->callbacks, BATCH_END, &fit->position, &fit->logs, status))
            return false;
    }
    fit->position.batch++;
    fit->position.step++;
    return true;
}

/* ---- an epoch ---- */

/* The data from the beginning of epoch number `epoch` to its end. Data without end go on where they were. */
static bool open_epoch(struct fit *fit, int64_t epoch, pil_status *status)
{
    if (fit->feed && fit->data->order.epochs == 0)
        return true;
    struct feed_options options = feed_dataset(fit->data, fit->model->seed);
    struct cursor from = { .epoch = epoch };
    options.group = true;
    if (options.order.epochs != 0) {
        options.order.epochs = epoch + 1;
        options.from = &from;
    }
    feed_close(fit->feed);
    fit->feed = feed_open(fit->run.program, &options, fit->model->threads, status);
    return fit->feed != NULL;
}

static bool run_batches(struct fit *fit, pil_status *status)
{
    struct pil_run run = { .session = fit->run.session,
                           .updater = fit->run.updater,
                           .feed = { next_batch, batch_jobs, fit },
                           .global_step = store_int64(fit->model->store, "global_step"),
                           .quiet = true };
    pil_hook hook = { .kind = PIL_HOOK_OWN, .after_run = after_batch, .context = fit };
    pil_status closing = { 0 };
    bool ok = hook_add(&run, &hook, status) && loop_run(&run, status);
    return run_free(&run, ok ? status : &closing) && ok;
}

static bool validate(struct fit *fit, pil_status *status)
{
    const pil_fit_options *o = fit->options;
    if (!fit->validation_data || (fit->position.epoch + 1) % o->validation_freq != 0)
        return true;
    if (!fit->validation.session &&
        !keras_run_make(&fit->validation, fit->model, PIL_EVAL, fit->validation_data, fit->validation_weights, status))
        return false;
    return callbacks_at(fit->callbacks, TEST_BEGIN, &fit->position, NULL, status) &&
           evaluate_pass(&fit->validation, fit->validation_data, o->validation_steps, "val_", &fit->logs, status) &&
           callbacks_at(fit->callbacks, TEST_END, &fit->position, &fit->logs, status);
}

static bool run_epoch(struct fit *fit, int64_t epoch, pil_status *status)
{
    fit->logs = (pil_logs){ 0 };
    fit->loss_sum = 0;
    fit->rows = 0;
    fit->began = now();
    fit->position.epoch = epoch;
    fit->position.batch = 0;
    fit->position.seconds = 0;
    keras_run_reset(&fit->run);
    if (!open_epoch(fit, epoch, status) || !callbacks_at(fit->callbacks, EPOCH_BEGIN, &fit->position, NULL, status) ||
        !run_batches(fit, status))
        return false;
    if (fit->rows == 0 && !fit->stopping)
        return status_fail(status, PIL_INVALID_ARGUMENT, "pil_fit: the data have no rows");
    fit->position.batches = fit->position.batch;
    if (!fill_logs(fit, status) || !validate(fit, status))
        return false;
    fit->position.seconds = now() - fit->began;
    return callbacks_at(fit->callbacks, EPOCH_END, &fit->position, &fit->logs, status) &&
           history_add(fit->model->history, &fit->logs, status);
}

/* ---- the whole ---- */

static bool check_options(const pil_fit_options *o, pil_status *status)
{
    if (o->epochs < 0 || o->initial_epoch < 0 || o->steps_per_epoch < 0 || o->validation_steps < 0 || o->validation_freq < 1)
        return status_fail(status, PIL_INVALID_ARGUMENT,
                           "pil_fit: epochs %lld, initial_epoch %lld, steps_per_epoch %lld, validation_steps %lld are from 0, "
                           "validation_freq %lld from 1",
                           (long long)o->epochs, (long long)o->initial_epoch, (long long)o->steps_per_epoch,
                           (long long)o->validation_steps, (long long)o->validation_freq);
    for (size_t i = 0; i < o->class_weight.count; i++)
        if (!(o->class_weight.items[i] >= 0) || !isfinite(o->class_weight.items[i]))
            return status_fail(status, PIL_INVALID_ARGUMENT, "pil_fit: the weight of class %zu is %g", i,
                               (double)o->class_weight.items[i]);
    return true;
}

static bool run_fit(struct fit *fit, pil_status *status)
{
    pil_sequential *model = fit->model;
    const pil_fit_options *o = fit->options;
    if (!check_options(o, status) || sequential_is_busy(model, "pil_fit", status))
        return false;
    if (fit->data->order.epochs == 0 && o->steps_per_epoch == 0)
        return status_fail(status, PIL_INVALID_ARGUMENT,
                           "pil_fit: the dataset has no end: steps_per_epoch says how many batches an epoch has");
    history_free(model->history);
    model->history = history_new(status);
    model->class_weight = o->class_weight;
    bool ok = model->history && keras_run_make(&fit->run, model, PIL_TRAIN, fit->data, fit->weights, status);
    fit->callbacks = ok ? callbacks_new(model, o->callbacks, status) : NULL;
    fit->position.epochs = o->epochs;
    fit->position.step = ok ? *store_int64(model->store, "global_step") : 0;
    model->fit = fit;
    ok = fit->callbacks && callbacks_at(fit->callbacks, TRAIN_BEGIN, &fit->position, NULL, status);
    for (int64_t epoch = o->initial_epoch; ok && epoch < o->epochs && !fit->stopping; epoch++)
        ok = run_epoch(fit, epoch, status);
    ok = ok && callbacks_at(fit->callbacks, TRAIN_END, &fit->position, &fit->logs, status);
    model->fit = NULL;
    model->class_weight = (pil_floats){ 0 };
    callbacks_free(fit->callbacks);
    feed_close(fit->feed);
    keras_run_free(&fit->validation);
    keras_run_free(&fit->run);
    return ok;
}

/* Where a share of the rows, the last ones, begins. */
static bool split_at(const pil_fit_options *o, int64_t rows, int64_t *at, pil_status *status)
{
    double share = o->validation_split;
    *at = rows;
    if (share == 0)
        return true;
    if (!(share > 0 && share < 1))
        return status_fail(status, PIL_INVALID_ARGUMENT, "pil_fit: validation_split is %g: it is from 0 to below 1", share);
    *at = (int64_t)floor((double)rows * (1 - share));
    if (*at == 0 || *at == rows)
        return status_fail(status, PIL_INVALID_ARGUMENT, "pil_fit: a validation_split of %g of %lld rows leaves no row %s", share,
                           (long long)rows, *at == 0 ? "to train on" : "to validate with");
    return true;
}

/* The rows to validate with: those split off, or those given. */
static pil_dataset *validation_of(const pil_sequential *model, const struct array_data *all, int64_t at, const pil_fit_options *o,
                                  pil_status *status)
{
    int64_t batch = o->validation_batch_size > 0 ? o->validation_batch_size : o->batch_size, rest = all->x.rows - at;
    struct array_data data = { o->validation_x, o->validation_y, o->validation_sample_weight, batch, false };
    if (rest > 0)
        data = (struct array_data){ array_rows(&all->x, at, rest), array_rows(&all->y, at, rest),
                                    all->weights ? all->weights + at : NULL, batch, false };
    return array_dataset(model, &data, "pil_fit", status);
}

pil_fit_options pil_fit_options_default(void)
{
    return (pil_fit_options){ PIL_FIT_DEFAULTS };
}

pil_status pil_fit_make(pil_sequential *model, pil_array x, const pil_fit_options *o)
{
    pil_status status = { 0 };
    int64_t at = x.rows;
    struct array_data data = { x, o->y, o->sample_weight, o->batch_size, o->shuffle };
    struct fit fit = { .model = model, .options = o };
    pil_dataset *own = NULL, *train = NULL;
    if (sequential_fails(model, &status) || !split_at(o, x.rows, &at, &status))
        return status;
    struct array_data kept = { array_rows(&x, 0, at), array_rows(&o->y, 0, MIN(at, o->y.rows)), o->sample_weight, o->batch_size,
                               o->shuffle };
    bool validates = at < x.rows || o->validation_x.rows > 0;
    if (at < x.rows && o->y.rows != x.rows)
        status_fail(&status, PIL_INVALID_ARGUMENT, "pil_fit: x has %lld rows, y has %lld", (long long)x.rows,
                    (long long)o->y.rows);
    train = status_ok(&status) ? array_dataset(model, &kept, "pil_fit", &status) : NULL;
    own = train && validates ? validation_of(model, &data, at, o, &status) : NULL;
    if (status_ok(&status)) {
        fit.data = train;
        fit.weights = o->sample_weight ? SAMPLE_WEIGHT_FIELD : NULL;
        fit.validation_data = own ? own : o->validation_dataset;
        bool weighs = own && (at < x.rows ? o->sample_weight : o->validation_sample_weight) != NULL;
        fit.validation_weights = weighs ? SAMPLE_WEIGHT_FIELD : NULL;
        run_fit(&fit, &status);
    }
    pil_dataset_free(own);
    pil_dataset_free(train);
    return status;
}

pil_status pil_fit_dataset(pil_sequential *model, pil_dataset *dataset, const pil_fit_options *options)
{
    pil_status status = { 0 };
    struct fit fit = { .model = model, .options = options, .data = dataset, .validation_data = options->validation_dataset };
    if (!sequential_fails(model, &status))
        run_fit(&fit, &status);
    return status;
}
