/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ready-made hooks, as tf.estimator has them. A public hook says which kind it is and how it is set; what a kind does at each
 * moment of a run is a row of the table at the foot. The state is the run's (struct run_hook), so that a hook stays a value.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "train/internal.h"

enum { MOST_SHOWN = 10 }; /* elements of a tensor in a line of the log */

/* ---- time ---------------------------------------------------------------------------------------------------- */

static double clock_seconds(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

double run_seconds(const struct pil_run *run)
{
    return (run->seconds ? run->seconds() : clock_seconds(CLOCK_MONOTONIC)) - run->paused;
}

bool timer_due(const pil_second_or_step_timer *timer, int64_t step, double seconds)
{
    if (!timer->triggered || timer->last_triggered_step == step)
        return !timer->triggered;
    return (timer->every_secs > 0 && seconds >= timer->last_triggered_secs + timer->every_secs) ||
           (timer->every_steps > 0 && step - timer->last_triggered_step >= timer->every_steps);
}

void timer_trigger(pil_second_or_step_timer *timer, int64_t step, double now, double *seconds, int64_t *steps)
{
    if (seconds)
        *seconds = timer->triggered ? now - timer->last_triggered_secs : -1;
    if (steps)
        *steps = timer->triggered ? step - timer->last_triggered_step : -1;
    timer->triggered = true;
    timer->last_triggered_step = step;
    timer->last_triggered_secs = now;
}

bool pil_should_trigger_for_step(const pil_second_or_step_timer *timer, int64_t step)
{
    return timer_due(timer, step, clock_seconds(CLOCK_MONOTONIC));
}

void pil_update_last_triggered_step(pil_second_or_step_timer *timer, int64_t step, double *seconds, int64_t *steps)
{
    timer_trigger(timer, step, clock_seconds(CLOCK_MONOTONIC), seconds, steps);
}

/* One of steps and seconds, neither below 0. */
static bool check_every(const pil_hook *hook, const char **wrong)
{
    const pil_hook_settings *settings = &hook->settings;
    *wrong = "it happens every so many steps or seconds: one of the two, above 0";
    return settings->steps >= 0 && settings->seconds >= 0 && (settings->steps > 0) != (settings->seconds > 0);
}

/* ---- events -------------------------------------------------------------------------------------------------- */

/* Opens the hook's own event file where it wants one. */
static bool open_events(struct run_hook *hook, struct pil_run *run, pil_status *status)
{
    char suffix[32];
    (void)run;
    snprintf(suffix, sizeof suffix, "hook%d", hook->number);
    if (hook->hook.settings.output_dir && !hook->events)
        hook->events = event_writer_new(hook->hook.settings.output_dir, suffix, clock_seconds(CLOCK_REALTIME), status);
    return status_ok(status);
}

static bool write_scalar(const struct run_hook *hook, const struct pil_run *run, const char *tag, double value,
                         pil_status *status)
{
    struct event_writer *events = hook->events ? hook->events : run->events;
    return !events || event_scalar(events, clock_seconds(CLOCK_REALTIME), *run->global_step, tag, (float)value, status);
}

static bool flush_events(struct run_hook *hook, struct pil_run *run, pil_status *status)
{
    (void)run;
    return !hook->events || event_flush(hook->events, status);
}

/* ---- stop_at_step -------------------------------------------------------------------------------------------- */

static bool check_stop(const pil_hook *hook, const char **wrong)
{
    const pil_hook_settings *settings = &hook->settings;
    *wrong = "it takes either num_steps or last_step, above 0";
    return settings->steps >= 0 && settings->last_step >= 0 && (settings->steps > 0) != (settings->last_step > 0);
}

static bool stop_at_step(struct run_hook *hook, struct pil_run *run, pil_status *status)
{
    (void)status;
    if (*run->global_step >= hook->last_step)
        pil_run_request_stop(run);
    return true;
}

static bool begin_stop(struct run_hook *hook, struct pil_run *run, pil_status *status)
{
    const pil_hook_settings *settings = &hook->hook.settings;
    int64_t room = INT64_MAX - *run->global_step;
    hook->last_step = settings->steps > 0 ? *run->global_step + MIN(settings->steps, room) : settings->last_step;
    return stop_at_step(hook, run, status);
}

/* ---- nan_tensor ---------------------------------------------------------------------------------------------- */

static bool check_loss(struct run_hook *hook, struct pil_run *run, pil_status *status)
{
    const char *what = isnan(run->loss) ? "not a number" : "infinite";
    long long step = (long long)*run->global_step + 1;
    if (isfinite(run->loss))
        return true;
    run->rejected = true;
    if (!hook->hook.settings.fail) {
        log_line(PIL_LOG_WARNING, "the loss of step %lld is %s: the run ends before it", step, what);
        pil_run_request_stop(run);
        return true;
    }
    status_fail(status, PIL_DIVERGED, "the loss of step %lld is %s", step, what);
    /* Before anything was learned the numbers of the data are the likelier reason. */
    return status_hint(status,
                       *run->global_step == 0
                           ? "the data may hold nan, or numbers beyond a float: pilaster columns MODEL.yaml shows what is read"
                           : "a smaller learning rate, clipped gradients or scaled inputs may help; the last checkpoint is kept");
}

/* ---- logging_tensor ------------------------------------------------------------------------------------------ */

static bool check_logging(const pil_hook *hook, const char **wrong)
{
    const pil_hook_settings *settings = &hook->settings;
    if (settings->at_end && settings->steps == 0 && settings->seconds == 0)
        return true;
    bool right = check_every(hook, wrong);
    *wrong = "it takes either every_n_iter or every_n_secs, above 0, or at_end alone";
    return right;
}

static void put_values(struct text *line, const float *values, size_t count)
{
    if (count != 1)
        text_append(line, "[", 1);
    for (size_t i = 0; i < count && i < MOST_SHOWN; i++) {
        if (i)
            text_append(line, " ", 1);
        text_json_float(line, values[i]);
    }
    if (count > MOST_SHOWN)
        text_append(line, " ...", 4);
    if (count != 1)
        text_append(line, "]", 1);
}

/* "name = values, ..., step = 100 (0.312 sec)" */
static bool log_values(struct run_hook *hook, struct pil_run *run, double seconds, pil_status *status)
{
    const pil_dict *dict = &hook->hook.fetches;
    struct text line = { 0 };
    for (size_t i = 0; i < dict->count; i++) {
        size_t count;
        const float *values = pil_run_value(run, dict->items[i].name, &count);
        text_format(&line, "%s = ", dict->items[i].name);
        put_values(&line, values, count);
        text_append(&line, ", ", 2);
    }
    if (!dict->count) {
        text_format(&line, "loss = ");
        text_json_float(&line, (float)run->loss);
        text_append(&line, ", ", 2);
    }
    text_format(&line, "step = %lld", (long long)*run->global_step - 1);
    if (seconds >= 0)
        text_format(&line, " (%.3f sec)", seconds);
    bool ok = text_ok(&line, status);
    if (ok)
        log_line(PIL_LOG_INFO, "%s", line.data);
    text_free(&line);
    return ok;
}

static bool log_after(struct run_hook *hook, struct pil_run *run, pil_status *status)
{
    const pil_hook_settings *settings = &hook->hook.settings;
    bool periodic = settings->steps > 0 || settings->seconds > 0;
    double seconds, now = run_seconds(run);
    if (periodic && timer_due(&hook->timer, run->steps, now)) {
        timer_trigger(&hook->timer, run->steps, now, &seconds, NULL);
        return log_values(hook, run, seconds, status);
    }
    for (size_t i = 0, count; settings->at_end && i < hook->hook.fetches.count; i++)
        pil_run_value(run, hook->hook.fetches.items[i].name, &count); /* kept for the end */
    return true;
}

static bool log_end(struct run_hook *hook, struct pil_run *run, pil_status *status)
{
    double seconds, now = run_seconds(run);
    if (!hook->hook.settings.at_end || !run->steps)
        return true;
    timer_trigger(&hook->timer, run->steps, now, &seconds, NULL);
    return log_values(hook, run, seconds, status);
}

/* ---- step_counter -------------------------------------------------------------------------------------------- */

static bool count_after(struct run_hook *hook, struct pil_run *run, pil_status *status)
{
    double seconds, now = run_seconds(run);
    int64_t steps;
    if (!timer_due(&hook->timer, *run->global_step, now))
        return true;
    timer_trigger(&hook->timer, *run->global_step, now, &seconds, &steps);
    if (seconds < 0)
        return true;
    double rate = seconds > 0 ? (double)steps / seconds : 0;
    if (!run->quiet)
        log_line(PIL_LOG_INFO, "global_step/sec: %g", rate);
    return write_scalar(hook, run, "global_step/sec", rate, status);
}

/* ---- summary_saver ------------------------------------------------------------------------------------------- */

/* Decided before the step, since norms of gradients must be noted while it runs. */
static bool save_before(struct run_hook *hook, struct pil_run *run, pil_status *status)
{
    (void)status;
    hook->due = timer_due(&hook->timer, *run->global_step + 1, run_seconds(run));
    if (hook->due && run->updater && !hook->hook.fetches.count)
        updater_note(run->updater, true);
    return true;
}

static bool save_run(const struct run_hook *hook, const struct pil_run *run, pil_status *status)
{
    const struct train_summary *list = NULL;
    size_t count = run->updater ? updater_summaries(run->updater, run->loss, &list) : 0;
    bool ok = write_scalar(hook, run, "loss", run->loss, status);
    for (size_t i = 0; ok && i < count; i++)
        ok = write_scalar(hook, run, list[i].tag, list[i].value, status);
    return ok;
}

static bool save_after(struct run_hook *hook, struct pil_run *run, pil_status *status)
{
    const pil_dict *dict = &hook->hook.fetches;
    bool ok = true;
    if (!hook->due)
        return true;
    timer_trigger(&hook->timer, *run->global_step, run_seconds(run), NULL, NULL);
    if (!dict->count)
        return save_run(hook, run, status);
    for (size_t i = 0; ok && i < dict->count; i++) {
        size_t count;
        const float *values = pil_run_value(run, dict->items[i].name, &count);
        if (count != 1)
            return status_fail(status, PIL_INVALID_ARGUMENT, "summary_saver_hook: %s has %zu elements; a summary is one number",
                               dict->items[i].name, count);
        ok = write_scalar(hook, run, dict->items[i].name, (double)values[0], status);
    }
    return ok;
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

static const struct hook_kind kinds[] = {
    [PIL_HOOK_STOP_AT_STEP] = { "stop_at_step_hook", check_stop, { [RUN_BEGIN] = begin_stop, [RUN_AFTER] = stop_at_step } },
    [PIL_HOOK_NAN_TENSOR] = { "nan_tensor_hook", NULL, { [RUN_CHECK] = check_loss } },
    [PIL_HOOK_LOGGING_TENSOR] = { "logging_tensor_hook", check_logging, { [RUN_AFTER] = log_after, [RUN_END] = log_end } },
    [PIL_HOOK_STEP_COUNTER] = { "step_counter_hook",
                                check_every,
                                { [RUN_BEGIN] = open_events, [RUN_AFTER] = count_after, [RUN_END] = flush_events } },
    [PIL_HOOK_SUMMARY_SAVER] = { "summary_saver_hook",
                                 check_every,
                                 { [RUN_BEGIN] = open_events,
                                   [RUN_BEFORE] = save_before,
                                   [RUN_AFTER] = save_after,
                                   [RUN_END] = flush_events } },
};

const struct hook_kind *hook_kind(pil_hook_kind kind)
{
    return (unsigned)kind < COUNT_OF(kinds) && kinds[kind].name ? &kinds[kind] : NULL;
}

pil_stop_at_step_options pil_stop_at_step_options_default(void)
{
    return (pil_stop_at_step_options){ 0, 0 };
}

pil_hook pil_stop_at_step_hook_make(const pil_stop_at_step_options *options)
{
    return (pil_hook){ .kind = PIL_HOOK_STOP_AT_STEP,
                       .settings = { .steps = options->num_steps, .last_step = options->last_step } };
}

pil_hook pil_nan_tensor_hook(bool fail_on_nan_loss)
{
    return (pil_hook){ .kind = PIL_HOOK_NAN_TENSOR, .settings = { .fail = fail_on_nan_loss } };
}

pil_logging_tensor_options pil_logging_tensor_options_default(void)
{
    return (pil_logging_tensor_options){ PIL_LOGGING_TENSOR_DEFAULTS };
}

pil_hook pil_logging_tensor_hook_make(const pil_logging_tensor_options *options)
{
    return (
        pil_hook){ .kind = PIL_HOOK_LOGGING_TENSOR,
                   .fetches = options->tensors,
                   .settings = { .steps = options->every_n_iter, .seconds = options->every_n_secs, .at_end = options->at_end } };
}

pil_step_counter_options pil_step_counter_options_default(void)
{
    return (pil_step_counter_options){ PIL_STEP_COUNTER_DEFAULTS, .every_n_steps = 100 };
}

pil_hook pil_step_counter_hook_make(const pil_step_counter_options *options)
{
    return (pil_hook){
        .kind = PIL_HOOK_STEP_COUNTER,
        .settings = { .steps = options->every_n_steps, .seconds = options->every_n_secs, .output_dir = options->output_dir }
    };
}

pil_summary_saver_options pil_summary_saver_options_default(void)
{
    return (pil_summary_saver_options){ PIL_SUMMARY_SAVER_DEFAULTS };
}

pil_hook pil_summary_saver_hook_make(const pil_summary_saver_options *options)
{
    return (pil_hook){ .kind = PIL_HOOK_SUMMARY_SAVER,
                       .fetches = options->summaries,
                       .settings = {
                           .steps = options->save_steps, .seconds = options->save_secs, .output_dir = options->output_dir } };
}
