/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_and_evaluate, on one machine: train; at every checkpoint but the one at the start evaluate, if it is the first time or
 * throttle_secs have gone by; and once at the end, unless the last checkpoint was evaluated just now. An export follows an
 * evaluation. Graphs of both modes are made before the first step, so that a mistake in either is told at once.
 *
 * Nothing is written before the first batch has been read, so that a start that fails leaves the folder as it was. A checkpoint
 * carries the cursor of the input behind the last batch that was trained on, and the definitions of the columns: a resumed run
 * goes on to the same bits, or says what has changed.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "estimator/internal.h"

struct cycle {
    struct pil_estimator *estimator;
    const pil_train_spec *train;
    const pil_eval_spec *eval; /* NULL: training alone */
    pil_result *result;
    char *model_file, *checkpoints; /* model.yaml of the model_dir (NULL: none), and the file that names its checkpoints */
    struct mode_run run;
    struct evaluation evaluation;
    struct audit audit;
    pil_dataset *dataset;
    struct feed *feed;
    const struct batch *first;       /* read before anything was written */
    struct cursor pending, consumed; /* behind the batch that runs, behind the last one trained on */
    struct event_writer *events, *eval_events;
    struct pil_run loop;
    int64_t start_step, saved_step, evaluated_step;
    double started, last_save, last_evaluation;
    struct checkpoint_keep keep;
};

static double now_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* The step at which training will end, where that is known: by what was asked for, or where the input ends, which is known when
 * its rows have been counted. */
static int64_t expected_end(const struct cycle *cycle)
{
    const struct order_options *order = &cycle->dataset->order;
    int64_t asked = cycle->loop.last_step, rows = cycle->feed ? feed_rows(cycle->feed) : -1;
    int64_t epochs = order->epochs - cycle->consumed.epoch;
    if (rows <= 0 || order->batch_size <= 0 || order->epochs == 0 || epochs <= 0 || epochs > INT64_MAX / 2 / rows)
        return asked;
    int64_t left = MAX(rows * epochs - cycle->consumed.emitted, 0), batch = order->batch_size;
    int64_t end = estimator_step(cycle->estimator) + left / batch + (left % batch > 0);
    return asked ? MIN(asked, end) : end;
}

static void tell(struct cycle *cycle, enum estimator_event_kind kind, const char *checkpoint)
{
    const struct pil_estimator *estimator = cycle->estimator;
    if (!estimator->options.event)
        return;
    struct estimator_event event = {
        .kind = kind,
        .step = estimator_step(estimator),
        .start_step = cycle->start_step,
        .last_step = expected_end(cycle),
        .examples = cycle->loop.examples,
        .seconds = now_seconds() - cycle->started,
        .loss = cycle->loop.loss,
        .train_rows = cycle->feed ? feed_rows(cycle->feed) : -1,
        .eval_rows = -1,
        .checkpoint = checkpoint,
        .result = kind == EVENT_EVALUATED ? cycle->result : NULL,
    };
    estimator->options.event(estimator->options.context, &event);
}

/* A way out is told in the words of the model file and its program, or of C. */
static bool of_file(const struct pil_estimator *estimator)
{
    return estimator->options.origin != NULL;
}

static const char *dir_hint(const struct pil_estimator *estimator)
{
    return of_file(estimator) ? "--model-dir, or model_dir in the run section, names the folder that the model is kept in"
                              : "model_dir of the estimator's config names the folder that the model is kept in";
}

/* ---- what rides along in a checkpoint ---- */

#define CURSOR_NAME "pilaster/cursor"
#define DEFINITIONS_NAME "pilaster/definitions"

static void put_int64(unsigned char *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get_int64(const char *in)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | (unsigned char)in[i];
    return value;
}

/* "name hash" lines of every column. */
static void put_definitions(const struct program *program, struct text *out)
{
    const char *const *names;
    const uint64_t *hashes;
    size_t count = program_definitions(program, &names, &hashes);
    for (size_t i = 0; i < count; i++)
        text_format(out, "%016llx %s\n", (unsigned long long)hashes[i], names[i]);
}

/* The model as trained, beside its checkpoints; without it a model file's checkpoints are no model. */
static bool write_model_file(const struct cycle *cycle, pil_status *status)
{
    const char *text = cycle->estimator->options.model_file;
    return !text || file_replace(cycle->model_file, text, strlen(text), status);
}

static bool save(struct cycle *cycle, pil_status *status)
{
    struct pil_estimator *estimator = cycle->estimator;
    const pil_run_config *config = &estimator->config;
    int64_t step = estimator_step(estimator);
    unsigned char cursor[24];
    put_int64(cursor, (uint64_t)cycle->consumed.epoch);
    put_int64(cursor + 8, (uint64_t)cycle->consumed.emitted);
    put_int64(cursor + 16, feed_fingerprint(cycle->feed));
    struct text definitions = { 0 };
    put_definitions(cycle->run.program, &definitions);
    struct checkpoint_extra extras[] = { { DEFINITIONS_NAME, definitions.data, definitions.size },
                                         { CURSOR_NAME, cursor, sizeof cursor } };
    /* A run that reached the end of its input has no place to go on from. */
    size_t extra_count = cycle->loop.input_ended ? 1 : 2;
    bool ok = text_ok(&definitions, status) &&
              checkpoint_save(estimator->store, config->model_dir, step, &cycle->keep, extras, extra_count, status);
    text_free(&definitions);
    /* Somebody may move or remove the folder at any time; the next checkpoint makes it anew. */
    if (ok && !file_exists(cycle->model_file))
        ok = file_make_folder(config->model_dir, status) && write_model_file(cycle, status);
    cycle->saved_step = step;
    cycle->last_save = now_seconds();
    if (ok)
        ok = values_saved(estimator, status);
    if (ok) {
        char name[64];
        snprintf(name, sizeof name, "model.ckpt-%lld", (long long)step);
        tell(cycle, EVENT_SAVED, name);
    }
    return ok;
}

/* The columns of the checkpoint must be those of the model: otherwise ids would mean other things. */
static bool check_definitions(const struct cycle *cycle, struct slice saved, pil_status *status)
{
    const char *const *names;
    const uint64_t *hashes;
    size_t count = program_definitions(cycle->run.program, &names, &hashes);
    while (saved.size) {
        const char *end = memchr(saved.data, '\n', saved.size);
        size_t length = end ? (size_t)(end - saved.data) : saved.size;
        for (size_t i = 0; length > 17 && i < count; i++) {
            char hash[20];
            snprintf(hash, sizeof hash, "%016llx", (unsigned long long)hashes[i]);
            if (slice_is(slice_of(saved.data + 17, length - 17), names[i]) && memcmp(hash, saved.data, 16) != 0) {
                const struct pil_estimator *estimator = cycle->estimator;
                status_fail(status, PIL_INVALID_ARGUMENT, "%s%sthe column '%s' is defined otherwise than when %s was written",
                            estimator->options.origin ? estimator->options.origin : "", estimator->options.origin ? ": " : "",
                            names[i], estimator->restored);
                return status_hint(status, "%s",
                                   of_file(estimator)
                                       ? "start in an empty folder, or go on with the changed column by --accept-changed-data"
                                       : "its ids would mean other things now: start in an empty folder");
            }
        }
        saved = slice_of(saved.data + MIN(length + 1, saved.size), saved.size - MIN(length + 1, saved.size));
    }
    return true;
}

/* Where the checkpoint says the input goes on; *has false: from the start. */
static bool find_cursor(const struct cycle *cycle, struct cursor *cursor, bool *has, pil_status *status)
{
    const struct pil_estimator *estimator = cycle->estimator;
    struct slice bytes = { 0 };
    *has = false;
    if (!estimator->restored || estimator->options.accept_changed_data)
        return true;
    if (checkpoint_extra(estimator->restored, DEFINITIONS_NAME, estimator->arena, &bytes, status) &&
        !check_definitions(cycle, bytes, status))
        return false;
    if (!status_ok(status) || !checkpoint_extra(estimator->restored, CURSOR_NAME, estimator->arena, &bytes, status))
        return status_ok(status);
    if (bytes.size != 24)
        return status_fail(status, PIL_BAD_DATA, "%s: the place in the data is damaged", estimator->restored);
    *cursor = (struct cursor){ (int64_t)get_int64(bytes.data), (int64_t)get_int64(bytes.data + 8), get_int64(bytes.data + 16) };
    *has = true;
    return true;
}

static bool changed_data(const struct cycle *cycle, pil_status *status)
{
    const struct pil_dataset *data = cycle->dataset;
    char more[40] = "";
    if (data->path_count > 1)
        snprintf(more, sizeof more, " and %zu more", data->path_count - 1);
    status_fail(status, PIL_BAD_DATA, "%s%s: not the data that %s was trained on (their size or contents differ)",
                data->path_count ? data->paths[0] : "the training data", more, cycle->estimator->restored);
    return status_hint(status, "put the old files back, or start the new data from their beginning with --accept-changed-data");
}

/* Opens the feed and reads its first batch; from NULL: from the start. False also at the end of the data, with status ok. */
static bool open_at(struct cycle *cycle, const struct cursor *from, pil_status *status)
{
    feed_close(cycle->feed);
    cycle->consumed = from ? *from : (struct cursor){ 0 };
    cycle->feed = mode_feed(&cycle->run, cycle->estimator, cycle->dataset, from, NULL, 0, status);
    if (!cycle->feed)
        return false;
    if (from && from->data != feed_fingerprint(cycle->feed))
        return changed_data(cycle, status);
    cycle->first = feed_next(cycle->feed, status);
    return cycle->first != NULL;
}

/* Goes on where the checkpoint says. From the start: other data of a program, which means them; and all `steps` of a call whose
 * data end behind the checkpoint. */
static bool open_feed(struct cycle *cycle, pil_status *status)
{
    struct cursor cursor;
    bool has;
    if (!find_cursor(cycle, &cursor, &has, status))
        return false;
    bool opened = open_at(cycle, has ? &cursor : NULL, status);
    bool other = has && cycle->feed && cursor.data != feed_fingerprint(cycle->feed) && cycle->estimator->options.new_data;
    if (other) {
        log_line(PIL_LOG_WARNING, "%s was trained on other data: these are read from their beginning",
                 cycle->estimator->restored);
        status_clear(status);
    }
    if (!opened && status_ok(status) && has && (other || cycle->train->steps)) {
        has = false;
        opened = open_at(cycle, NULL, status);
    }
    if (!opened && status_ok(status) && has)
        log_line(PIL_LOG_WARNING, "the data end where %s stands: nothing is left of them, the next call reads them again",
                 cycle->estimator->restored);
    if (!opened && status_ok(status) && !has)
        status_fail(status, PIL_BAD_DATA, "the training data have no rows");
    return status_ok(status);
}

/* ---- the loop's feed ---- */

static bool next_batch(void *context, int64_t *rows, bool *end, pil_status *status)
{
    struct cycle *cycle = context;
    const struct batch *batch = cycle->first ? cycle->first : feed_next(cycle->feed, status);
    cycle->first = NULL;
    *end = !batch && status_ok(status);
    if (!batch)
        return status_ok(status);
    column_bind(cycle->run.session, batch, program_feature_count(cycle->run.program));
    cycle->pending = batch->cursor;
    *rows = batch->rows;
    return true;
}

static size_t next_jobs(void *context, struct job *jobs, size_t limit)
{
    return feed_jobs(((struct cycle *)context)->feed, jobs, limit);
}

/* ---- evaluation ---- */

static bool evaluate(struct cycle *cycle, pil_status *status)
{
    double before = now_seconds();
    if (!evaluation_run(&cycle->evaluation, cycle->result, status) ||
        !evaluation_write(cycle->estimator, cycle->eval->name, cycle->result, &cycle->eval_events, status) ||
        !exporters_run(cycle->estimator, cycle->eval, cycle->result, status))
        return false;
    cycle->evaluated_step = estimator_step(cycle->estimator);
    cycle->last_evaluation = now_seconds();
    cycle->started += cycle->last_evaluation - before; /* seconds count training alone */
    cycle->loop.paused += cycle->last_evaluation - before;
    tell(cycle, EVENT_EVALUATED, NULL);
    return true;
}

static bool save_and_evaluate(struct cycle *cycle, pil_status *status)
{
    enum { DEFAULT_THROTTLE = 600 };
    if (!save(cycle, status) || !cycle->eval)
        return status_ok(status);
    double throttle = cycle->eval->throttle_secs == 0 ? DEFAULT_THROTTLE : cycle->eval->throttle_secs;
    bool due = cycle->evaluated_step < 0 || now_seconds() - cycle->last_evaluation >= throttle;
    return !due || evaluate(cycle, status);
}

/* ---- hooks ---- */

static bool begin(void *context, pil_run *loop, pil_status *status)
{
    struct cycle *cycle = context;
    struct pil_estimator *estimator = cycle->estimator;
    cycle->model_file = path_join(estimator->arena, estimator->config.model_dir, "model.yaml", status);
    cycle->checkpoints = path_join(estimator->arena, estimator->config.model_dir, "checkpoint", status);
    bool ok = cycle->model_file && cycle->checkpoints && write_model_file(cycle, status);
    cycle->events = ok ? event_writer_new(estimator->config.model_dir, NULL, now_seconds(), status) : NULL;
    if (!cycle->events || !event_session_start(cycle->events, now_seconds(), cycle->start_step, status))
        return false;
    cycle->saved_step = cycle->start_step;
    cycle->started = cycle->last_save = now_seconds();
    const pil_run_config *config = &estimator->config;
    cycle->keep = (struct checkpoint_keep){ config->keep_checkpoint_max, config->keep_checkpoint_every_n_hours,
                                            cycle->started + config->keep_checkpoint_every_n_hours * 3600 };
    loop->events = cycle->events;
    if (!estimator->restored && !save(cycle, status))
        return false;
    tell(cycle, EVENT_START, NULL);
    return true;
}

static bool after_run(void *context, pil_run *loop, pil_status *status)
{
    struct cycle *cycle = context;
    const pil_run_config *run = &cycle->estimator->config;
    int64_t step = *loop->global_step;
    cycle->consumed = cycle->pending;
    if (loop->steps == 1 && !audit_step(&cycle->audit, cycle->estimator, &cycle->run, status))
        return false;
    tell(cycle, EVENT_STEP, NULL);
    bool by_steps = run->save_checkpoints_steps > 0 && (step - cycle->start_step) % run->save_checkpoints_steps == 0;
    bool by_time = run->save_checkpoints_steps == 0 && run->save_checkpoints_secs > 0 &&
                   now_seconds() - cycle->last_save >= run->save_checkpoints_secs;
    if (!by_steps && !by_time)
        return true;
    return (loop->last_step && step >= loop->last_step) || save_and_evaluate(cycle, status); /* the last step saves at the end */
}

static bool end(void *context, pil_run *loop, pil_status *status)
{
    struct cycle *cycle = context;
    /* The folder may have been moved since the last save; what stands in its place must be a model too. */
    bool saved = *loop->global_step == cycle->saved_step && file_exists(cycle->checkpoints);
    if ((!saved || loop->input_ended) && !save(cycle, status))
        return false;
    if (!estimator_stops(cycle->estimator) && cycle->eval && cycle->evaluated_step != *loop->global_step &&
        !evaluate(cycle, status))
        return false;
    return event_flush(cycle->events, status);
}

/* ---- all of it ---- */

/* The model's folder, which was not there when the first values were made. Another start may have been faster. */
static bool make_folder(struct pil_estimator *estimator, pil_status *status)
{
    const char *model_dir = estimator->config.model_dir;
    if (!file_make_folder(model_dir, status))
        return status_hint(status, "%s", dir_hint(estimator));
    estimator->lock = checkpoint_lock(model_dir, status);
    if (!estimator->lock)
        return false;
    if (checkpoint_latest(model_dir, estimator->arena, status)) {
        status_fail(status, PIL_BUSY, "%s: another training has begun in this folder meanwhile", model_dir);
        return status_hint(status, "train again to go on from its checkpoint");
    }
    return status_ok(status);
}

/* The graph, the variables, the evaluation's graph. A folder that is there is locked before its checkpoint is read; one that is
 * not is made when there is something to write. */
static bool prepare_model(struct cycle *cycle, pil_status *status)
{
    struct pil_estimator *estimator = cycle->estimator;
    const char *model_dir = estimator->config.model_dir;
    if (!model_dir) {
        status_fail(status, PIL_INVALID_ARGUMENT, "%s%smodel_dir must name a folder for the model",
                    estimator->options.origin ? estimator->options.origin : "", estimator->options.origin ? ": run." : "");
        return status_hint(status, "%s", dir_hint(estimator));
    }
    cycle->dataset = estimator_dataset(estimator, cycle->train->input_fn, "train", status);
    if (!cycle->dataset)
        return false;
    if (file_is_folder(model_dir) && !(estimator->lock = checkpoint_lock(model_dir, status)))
        return false;
    return mode_make(&cycle->run, estimator, PIL_TRAIN, cycle->dataset, cycle->train->hooks, cycle->train->hook_count, status) &&
           values_make(estimator, &cycle->run, status) &&
           (!cycle->eval || (evaluation_prepare(&cycle->evaluation, estimator, cycle->eval, status) &&
                             mode_check(&cycle->evaluation.run, estimator->store, status)));
}

/* What the original's Estimator adds by itself, then the caller's and the spec's. The checkpoints come last of ours: a save stands
 * behind what its step wrote. */
static bool add_hooks(struct cycle *cycle, pil_status *status)
{
    const pil_run_config *config = &cycle->estimator->config;
    const pil_hook nan = pil_nan_tensor_hook(true),
                   keep = { .begin = begin, .after_run = after_run, .end = end, .context = cycle };
    const pil_dict loss = { 0 };
    bool ok = hook_add(&cycle->loop, &nan, status) && hook_add(&cycle->loop, &keep, status);
    if (ok && config->save_summary_steps > 0) {
        const pil_hook summary = pil_summary_saver_hook(loss, .save_steps = config->save_summary_steps);
        ok = hook_add(&cycle->loop, &summary, status);
    }
    if (ok && config->log_step_count_steps > 0) {
        const pil_hook counter = pil_step_counter_hook(config->log_step_count_steps);
        const pil_hook logging = pil_logging_tensor_hook(loss, .every_n_iter = config->log_step_count_steps);
        ok = hook_add(&cycle->loop, &counter, status) &&
             (!cycle->estimator->options.logs || hook_add(&cycle->loop, &logging, status));
    }
    for (size_t i = 0; ok && i < cycle->run.hooks.count; i++)
        ok = hook_add(&cycle->loop, &cycle->run.hooks.items[i], status);
    return ok;
}

static bool prepare_loop(struct cycle *cycle, pil_status *status)
{
    struct pil_estimator *estimator = cycle->estimator;
    struct pil_run *loop = &cycle->loop;
    if (!audit_graph(estimator, &cycle->run, status) || !mode_bind(&cycle->run, estimator, status) || !open_feed(cycle, status) ||
        !audit_begin(&cycle->audit, estimator->store, status))
        return false;
    if (!estimator->lock && !make_folder(estimator, status))
        return false;
    loop->updater = train_op_updater(cycle->run.spec.train_op, estimator->store, estimator->threads, kernel_get(), status);
    loop->session = cycle->run.session;
    loop->feed = (struct loop_feed){ next_batch, next_jobs, cycle };
    loop->global_step = store_int64(estimator->store, "global_step");
    loop->loss_fetch = 0;
    loop->stop = &estimator->stopped;
    loop->profile = estimator->options.profile != NULL;
    loop->quiet = !estimator->options.logs;
    loop->value = mode_fetched;
    loop->value_context = &cycle->run;
    return loop->updater && add_hooks(cycle, status) && (!loop->profile || session_profile(loop->session, status));
}

static bool close_events(struct cycle *cycle, pil_status *status)
{
    bool ok = event_writer_close(cycle->events, status);
    return event_writer_close(cycle->eval_events, status) && ok;
}

/* Ops by their time on all workers; then the steps' parts by the clock: what the next batch's jobs take is in "run". */
static void print_profile(const struct cycle *cycle, struct text *out)
{
    const struct pil_run *loop = &cycle->loop;
    text_format(out, "ops, %d worker%s together\n", threads_count(cycle->estimator->threads),
                threads_count(cycle->estimator->threads) == 1 ? "" : "s");
    double sum = session_profile_text(loop->session, out);
    text_format(out, "  %-28s %9.3f s\nsteps, by the clock\n", "all ops", sum);
    text_format(out, "  %-28s %9.3f s\n  %-28s %9.3f s\n  %-28s %9.3f s\n", "waiting for input", loop->input_seconds,
                "run (ops and the next input)", loop->run_seconds, "update", loop->update_seconds);
}

/* Nothing is left to train; true with a line in the log. */
static bool is_done(const struct cycle *cycle)
{
    const struct pil_estimator *estimator = cycle->estimator;
    if (!cycle->loop.last_step || cycle->start_step < cycle->loop.last_step)
        return false;
    log_line(PIL_LOG_INFO, "nothing to do: the model in %s has been trained %lld steps, the last one asked for is %lld",
             estimator->config.model_dir, (long long)cycle->start_step, (long long)cycle->loop.last_step);
    return true;
}

static bool train(struct cycle *cycle, pil_status *status)
{
    struct pil_estimator *estimator = cycle->estimator;
    cycle->start_step = estimator_step(estimator);
    cycle->loop.last_step = cycle->train->steps > 0 ? cycle->start_step + cycle->train->steps : cycle->train->max_steps;
    if (is_done(cycle))
        return true;
    if (!prepare_loop(cycle, status) || !loop_run(&cycle->loop, status))
        return false;
    tell(cycle, EVENT_END, NULL);
    if (cycle->loop.profile)
        print_profile(cycle, estimator->options.profile);
    mode_tell_skipped(cycle->feed, "training (every pass over the data counts)");
    return true;
}

bool cycle_run(struct pil_estimator *estimator, const pil_train_spec *train_spec, const pil_eval_spec *eval_spec,
               pil_result *result, pil_status *status)
{
    struct cycle cycle = {
        .estimator = estimator, .train = train_spec, .eval = eval_spec, .result = result, .evaluated_step = -1
    };
    bool ok = prepare_model(&cycle, status) && train(&cycle, status);
    pil_status closing = { 0 };
    if (!close_events(&cycle, ok ? status : &closing))
        ok = false;
    if (!run_free(&cycle.loop, ok ? status : &closing))
        ok = false;
    audit_free(&cycle.audit);
    updater_free(cycle.loop.updater);
    feed_close(cycle.feed);
    evaluation_end(&cycle.evaluation);
    mode_free(&cycle.run);
    pil_dataset_free(cycle.dataset);
    file_lock_free(estimator->lock);
    estimator->lock = NULL;
    if (!ok)
        values_free(estimator); /* what an interrupted step left is not what the folder holds */
    else if (estimator_stops(estimator))
        ok = status_fail(status, PIL_CANCELLED, "stopped at step %lld; the checkpoint is saved, train again to go on",
                         (long long)estimator_step(estimator));
    return ok;
}
