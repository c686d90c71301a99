/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ready-made callbacks, a row a kind: what each does at which moment. Their rules are those of tf.keras.callbacks 2.15.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keras/fit.h"

/* ---- those that watch a number ------------------------------------------------------------------------------- */

static bool check_watch(const pil_callback *callback, pil_status *status)
{
    const pil_callback_settings *s = &callback->settings;
    static const char *const modes[] = { "auto", "min", "max" };
    bool known = false;
    for (size_t i = 0; s->mode && i < COUNT_OF(modes); i++)
        known |= strcmp(s->mode, modes[i]) == 0;
    if (!s->monitor)
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: monitor is NULL", callback_kind(callback->kind)->name);
    if (!known)
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: the mode is \"auto\", \"min\" or \"max\", not \"%s\"",
                           callback_kind(callback->kind)->name, s->mode ? s->mode : "NULL");
    if (callback->kind == PIL_CALLBACK_REDUCE_LR_ON_PLATEAU && !(s->factor > 0 && s->factor < 1))
        return status_fail(status, PIL_INVALID_ARGUMENT, "ReduceLROnPlateau: factor is %g, it is above 0 and below 1", s->factor);
    return true;
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

/* EarlyStopping takes names that end so for rising, ReduceLROnPlateau those that contain "acc". */
static bool is_rising(const struct callback_state *state)
{
    const pil_callback_settings *s = &state->callback.settings;
    if (strcmp(s->mode, "auto") != 0)
        return strcmp(s->mode, "max") == 0;
    if (state->callback.kind == PIL_CALLBACK_EARLY_STOPPING)
        return ends_with(s->monitor, "acc") || ends_with(s->monitor, "accuracy") || ends_with(s->monitor, "auc");
    return strstr(s->monitor, "acc") != NULL;
}

/* The watched number; false where the logs have none, which is told once. */
static bool watched(struct callback_state *state, const pil_logs *logs, double *value)
{
    bool there = logs_find(logs, state->callback.settings.monitor) != NULL;
    *value = pil_logs_get(logs, state->callback.settings.monitor);
    if (!there && !state->told)
        log_line(PIL_LOG_WARNING, "%s: there is no '%s' in the logs, it does nothing", state->kind->name,
                 state->callback.settings.monitor);
    state->told |= !there;
    return there;
}

static bool is_better(const struct callback_state *state, double value, double than)
{
    double delta = fabs(state->callback.settings.min_delta);
    return state->rising ? value - delta > than : value + delta < than;
}

static bool begin_watch(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    (void)position, (void)logs, (void)status;
    state->rising = is_rising(state);
    state->best = state->rising ? -INFINITY : INFINITY;
    state->wait = state->cooling = 0;
    return true;
}

/* ---- EarlyStopping ---- */

static bool keep_weights(struct callback_state *state, pil_status *status)
{
    const struct sequential_weight *weight;
    size_t count = 0;
    while (sequential_weight_at(state->model, count))
        count++;
    if (!state->weights)
        state->weights = arena_alloc(state->arena, MAX(count, 1) * sizeof *state->weights, status);
    for (size_t i = 0; state->weights && (weight = sequential_weight_at(state->model, i)) != NULL; i++) {
        if (!state->weights[i])
            state->weights[i] = arena_alloc(state->arena, (size_t)shape_elements(weight->shape) * sizeof(float), status);
        if (!state->weights[i])
            return false;
        tensor_pack(&store_find(state->model->store, weight->variable)->value, state->weights[i]);
    }
    return state->weights != NULL;
}

static void restore_weights(struct callback_state *state)
{
    const struct sequential_weight *weight;
    for (size_t i = 0; (weight = sequential_weight_at(state->model, i)) != NULL; i++)
        tensor_unpack(state->weights[i], &store_find(state->model->store, weight->variable)->value);
}

static bool early_stopping(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    const pil_callback_settings *s = &state->callback.settings;
    double value;
    if (!watched(state, logs, &value) || position->epoch < s->start_from_epoch)
        return true;
    if (s->restore_best_weights && !state->weights && !keep_weights(state, status))
        return false;
    state->wait++;
    if (is_better(state, value, state->best)) {
        state->best = value;
        if (s->restore_best_weights && !keep_weights(state, status))
            return false;
        if (!s->has_baseline || is_better(state, value, s->baseline))
            state->wait = 0;
        return true;
    }
    if (state->wait < s->patience || position->epoch == 0)
        return true;
    pil_stop_training(state->model);
    if (s->restore_best_weights)
        restore_weights(state);
    return true;
}

pil_early_stopping_options pil_early_stopping_options_default(void)
{
    return (pil_early_stopping_options){ PIL_EARLY_STOPPING_DEFAULTS };
}

pil_callback pil_early_stopping_make(const pil_early_stopping_options *o)
{
    return (pil_callback){ .kind = PIL_CALLBACK_EARLY_STOPPING,
                           .settings = { .monitor = o->monitor,
                                         .mode = o->mode,
                                         .min_delta = o->min_delta,
                                         .patience = o->patience,
                                         .has_baseline = o->has_baseline,
                                         .baseline = o->baseline,
                                         .restore_best_weights = o->restore_best_weights,
                                         .start_from_epoch = o->start_from_epoch } };
}

/* ---- the learning rate --------------------------------------------------------------------------------------- */

static bool log_rate(struct callback_state *state, pil_logs *logs, pil_status *status)
{
    return pil_logs_set(logs, "lr", pil_get_learning_rate(state->model)) ||
           status_fail(status, PIL_INVALID_ARGUMENT, "the logs have no room for lr");
}

static bool set_rate(struct callback_state *state, double rate, pil_status *status)
{
    pil_status own = pil_set_learning_rate(state->model, rate);
    if (!status_ok(&own) && status_ok(status))
        *status = own;
    return status_ok(status);
}

static bool plateau(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    const pil_callback_settings *s = &state->callback.settings;
    double value, rate = pil_get_learning_rate(state->model);
    (void)position;
    if (!log_rate(state, logs, status) || !watched(state, logs, &value))
        return status_ok(status);
    if (state->cooling > 0) {
        state->cooling--;
        state->wait = 0;
    }
    if (is_better(state, value, state->best)) {
        state->best = value;
        state->wait = 0;
        return true;
    }
    if (state->cooling > 0 || ++state->wait < s->patience || !(rate > (double)(float)s->min_lr))
        return true;
    state->cooling = s->cooldown;
    state->wait = 0;
    return set_rate(state, fmax(rate * s->factor, s->min_lr), status);
}

pil_reduce_lr_on_plateau_options pil_reduce_lr_on_plateau_options_default(void)
{
    return (pil_reduce_lr_on_plateau_options){ PIL_REDUCE_LR_ON_PLATEAU_DEFAULTS };
}

pil_callback pil_reduce_lr_on_plateau_make(const pil_reduce_lr_on_plateau_options *o)
{
    return (pil_callback){ .kind = PIL_CALLBACK_REDUCE_LR_ON_PLATEAU,
                           .settings = { .monitor = o->monitor,
                                         .mode = o->mode,
                                         .factor = o->factor,
                                         .patience = o->patience,
                                         .min_delta = o->min_delta,
                                         .cooldown = o->cooldown,
                                         .min_lr = o->min_lr } };
}

static bool scheduled(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    const pil_callback *callback = &state->callback;
    (void)logs;
    return set_rate(state, callback->settings.schedule(callback->context, position->epoch, pil_get_learning_rate(state->model)),
                    status);
}

static bool tell_rate(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    (void)position;
    return log_rate(state, logs, status);
}

static bool check_schedule(const pil_callback *callback, pil_status *status)
{
    return callback->settings.schedule || status_fail(status, PIL_INVALID_ARGUMENT, "LearningRateScheduler: schedule is NULL");
}

pil_callback pil_learning_rate_scheduler(pil_rate_function schedule, void *context)
{
    return (
        pil_callback){ .kind = PIL_CALLBACK_LEARNING_RATE_SCHEDULER, .context = context, .settings = { .schedule = schedule } };
}

/* ---- CSVLogger ----------------------------------------------------------------------------------------------- */

static bool check_path(const pil_callback *callback, pil_status *status)
{
    return (callback->settings.path && callback->settings.path[0]) ||
           status_fail(status, PIL_INVALID_ARGUMENT, "%s: there is no file name", callback_kind(callback->kind)->name);
}

static bool csv_open(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    const pil_callback_settings *s = &state->callback.settings;
    (void)position, (void)logs;
    int64_t size = 0;
    bool behind = s->append && file_exists(s->path) && file_size(s->path, &size, status) && size > 0;
    state->file = fopen(s->path, behind ? "a" : "w");
    state->told = behind; /* the header is there */
    return state->file || status_fail(status, PIL_IO, "%s: cannot be written", s->path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of the first epoch, sorted, stay the columns. */
static bool csv_columns(struct callback_state *state, const pil_logs *logs, pil_status *status)
{
    state->columns = arena_alloc(state->arena, MAX(logs->count, 1) * sizeof *state->columns, status);
    for (size_t i = 0; state->columns && i < logs->count; i++) {
        state->columns[i] = arena_text(state->arena, logs->values[i].name, strlen(logs->values[i].name), status);
        state->column_count += state->columns[i] != NULL;
    }
    if (!status_ok(status))
        return false;
    qsort(state->columns, state->column_count, sizeof *state->columns, by_name);
    if (!state->told) {
        fputs("epoch", state->file);
        for (size_t i = 0; i < state->column_count; i++)
            fprintf(state->file, "%c%s", state->callback.settings.separator, state->columns[i]);
        fputc('\n', state->file);
    }
    return true;
}

static bool csv_row(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    const pil_callback_settings *s = &state->callback.settings;
    if (!state->columns && !csv_columns(state, logs, status))
        return false;
    fprintf(state->file, "%lld", (long long)position->epoch);
    for (size_t i = 0; i < state->column_count; i++) {
        char number[40] = "NA";
        const pil_log_value *value = logs_find(logs, state->columns[i]);
        if (value)
            print_double(number, value->value);
        fprintf(state->file, "%c%s", s->separator, number);
    }
    fputc('\n', state->file);
    return fflush(state->file) == 0 || status_fail(status, PIL_IO, "%s: cannot be written", s->path);
}

static bool csv_close(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    (void)position, (void)logs;
    FILE *file = state->file;
    state->file = NULL;
    return fclose(file) == 0 || status_fail(status, PIL_IO, "%s: cannot be written", state->callback.settings.path);
}

pil_csv_logger_options pil_csv_logger_options_default(void)
{
    return (pil_csv_logger_options){ PIL_CSV_LOGGER_DEFAULTS };
}

pil_callback pil_csv_logger_make(const pil_csv_logger_options *o)
{
    return (pil_callback){ .kind = PIL_CALLBACK_CSV_LOGGER,
                           .settings = { .path = o->filename, .separator = o->separator, .append = o->append } };
}

/* ---- TerminateOnNaN ------------------------------------------------------------------------------------------ */

static bool nan_stops(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    (void)status;
    if (isfinite(pil_logs_get(logs, "loss")))
        return true;
    log_line(PIL_LOG_WARNING, "epoch %lld, batch %lld: the loss is no number, the fit ends", (long long)position->epoch + 1,
             (long long)position->batch);
    pil_stop_training(state->model);
    return true;
}

pil_callback pil_terminate_on_nan(void)
{
    return (pil_callback){ .kind = PIL_CALLBACK_TERMINATE_ON_NAN };
}

/* ---- the progress bar ---------------------------------------------------------------------------------------- */

enum { BAR_WIDTH = 30 };

static bool check_out(const pil_callback *callback, pil_status *status)
{
    return callback->settings.out || status_fail(status, PIL_INVALID_ARGUMENT, "pil_progress_bar: out is NULL");
}

/* Numbers as Keras shows them: four places, or with an exponent where they are small. */
static void show_logs(FILE *out, const pil_logs *logs)
{
    for (size_t i = 0; i < logs->count; i++)
        fprintf(out, fabs(logs->values[i].value) > 1e-3 ? " - %s: %.4f" : " - %s: %.4e", logs->values[i].name,
                logs->values[i].value);
}

static void show_bar(FILE *out, int64_t done, int64_t all)
{
    if (all <= 0) {
        fprintf(out, "%7lld/Unknown", (long long)done);
        return;
    }
    int digits = snprintf(NULL, 0, "%lld", (long long)all), full = (int)(done * BAR_WIDTH / all);
    fprintf(out, "%*lld/%lld [", digits, (long long)done, (long long)all);
    for (int i = 0; i < BAR_WIDTH; i++)
        fputc(i < full ? (i == full - 1 && done < all ? '>' : '=') : '.', out);
    fputc(']', out);
}

static bool bar_epoch(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    FILE *out = state->callback.settings.out;
    (void)logs, (void)status;
    state->terminal = isatty(fileno(out));
    fprintf(out, "Epoch %lld/%lld\n", (long long)position->epoch + 1, (long long)position->epochs);
    return true;
}

static bool bar_batch(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    FILE *out = state->callback.settings.out;
    (void)status;
    double each = position->seconds / (double)(position->batch + 1);
    if (!state->terminal || position->seconds - state->best < 0.05)
        return true;
    state->best = position->seconds; /* when it was shown last */
    fputc('\r', out);
    show_bar(out, position->batch + 1, position->batches);
    if (position->batches > 0)
        fprintf(out, " - ETA: %.0fs", each * (double)(position->batches - position->batch - 1));
    show_logs(out, logs);
    fflush(out);
    return true;
}

static void show_time(FILE *out, double seconds, int64_t batches)
{
    double each = batches > 0 ? seconds / (double)batches : 0;
    fprintf(out, " - %.0fs", seconds);
    if (each >= 1)
        fprintf(out, " %.0fs/step", each);
    else if (each >= 1e-3)
        fprintf(out, " %.0fms/step", each * 1e3);
    else
        fprintf(out, " %.0fus/step", each * 1e6);
}

static bool bar_end(struct callback_state *state, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    FILE *out = state->callback.settings.out;
    if (state->terminal)
        fputc('\r', out);
    show_bar(out, position->batch, position->batch);
    show_time(out, position->seconds, position->batch);
    show_logs(out, logs);
    fputc('\n', out);
    state->best = 0;
    return fflush(out) == 0 || status_fail(status, PIL_IO, "the progress bar cannot be written");
}

pil_callback pil_progress_bar(FILE *out)
{
    return (pil_callback){ .kind = PIL_CALLBACK_PROGRESS_BAR, .settings = { .out = out } };
}

/* ---- the list ------------------------------------------------------------------------------------------------ */

static const struct callback_kind kinds[] = {
    [PIL_CALLBACK_PROGRESS_BAR] = { "pil_progress_bar",
                                    check_out,
                                    { [EPOCH_BEGIN] = bar_epoch, [BATCH_END] = bar_batch, [EPOCH_END] = bar_end } },
    [PIL_CALLBACK_EARLY_STOPPING] = { "EarlyStopping",
                                      check_watch,
                                      { [TRAIN_BEGIN] = begin_watch, [EPOCH_END] = early_stopping } },
    [PIL_CALLBACK_REDUCE_LR_ON_PLATEAU] = { "ReduceLROnPlateau",
                                            check_watch,
                                            { [TRAIN_BEGIN] = begin_watch, [EPOCH_END] = plateau } },
    [PIL_CALLBACK_LEARNING_RATE_SCHEDULER] = { "LearningRateScheduler",
                                               check_schedule,
                                               { [EPOCH_BEGIN] = scheduled, [EPOCH_END] = tell_rate } },
    [PIL_CALLBACK_CSV_LOGGER] = { "CSVLogger",
                                  check_path,
                                  { [TRAIN_BEGIN] = csv_open, [EPOCH_END] = csv_row, [TRAIN_END] = csv_close } },
    [PIL_CALLBACK_TERMINATE_ON_NAN] = { "TerminateOnNaN", NULL, { [BATCH_END] = nan_stops } },
};

const struct callback_kind *callback_kind(pil_callback_kind kind)
{
    return (size_t)kind < COUNT_OF(kinds) && kinds[kind].name ? &kinds[kind] : NULL;
}
