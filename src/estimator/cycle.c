/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_and_evaluate, on one machine: train; at every checkpoint but the one at the start evaluate, if it is the first time or
 * throttle_secs have gone by; and once at the end, unless the last checkpoint was evaluated just now.
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
    char *model_file, *checkpoints; /* model.yaml of the model_dir, and the file that names its checkpoints */
    struct estimator *estimator;
    struct feed *feed;
    const struct batch *first;     /* read before anything was written */
    struct cursor pending, consumed; /* behind the batch that runs, behind the last one trained on */
    struct event_writer *events, *eval_events;
    struct pil_run loop;
    int64_t start_step, saved_step, evaluated_step;
    double started, last_save, last_evaluation, last_count;
    int64_t last_count_step;
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
    const struct model *model = cycle->estimator->model;
    int64_t asked = cycle->loop.last_step, rows = cycle->feed ? feed_rows(cycle->feed) : -1;
    int64_t epochs = model->input.epochs - cycle->consumed.epoch;
    if (rows <= 0 || model->input.epochs == 0 || epochs <= 0 || epochs > INT64_MAX / 2 / rows)
        return asked;
    int64_t left = MAX(rows * epochs - cycle->consumed.emitted, 0), batch = model->input.batch_size;
    int64_t end = estimator_step(cycle->estimator) + left / batch + (left % batch > 0);
    return asked ? MIN(asked, end) : end;
}

static void tell(struct cycle *cycle, enum estimator_event_kind kind, const char *checkpoint)
{
    const struct estimator *estimator = cycle->estimator;
    if (!estimator->options.event)
        return;
    struct estimator_event event = {
        .kind = kind, .step = estimator_step(estimator), .start_step = cycle->start_step, .last_step = expected_end(cycle),
        .examples = cycle->loop.examples, .seconds = now_seconds() - cycle->started, .loss = cycle->loop.loss,
        .train_rows = cycle->feed ? feed_rows(cycle->feed) : -1, .checkpoint = checkpoint,
        .metrics = kind == EVENT_EVALUATED ? estimator->metrics : NULL,
    };
    estimator->options.event(estimator->options.context, &event);
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

/* The model as trained, beside its checkpoints; without it they are no model. */
static bool write_model_file(struct cycle *cycle, pil_status *status)
{
    struct text yaml = { 0 };
    modelfile_print(cycle->estimator->model, &yaml);
    bool ok = text_ok(&yaml, status) && file_replace(cycle->model_file, yaml.data, yaml.size, status);
    text_free(&yaml);
    return ok;
}

static bool save(struct cycle *cycle, pil_status *status)
{
    struct estimator *estimator = cycle->estimator;
    const struct run_options *run = &estimator->model->run;
    int64_t step = estimator_step(estimator);
    unsigned char cursor[24];
    put_int64(cursor, (uint64_t)cycle->consumed.epoch);
    put_int64(cursor + 8, (uint64_t)cycle->consumed.emitted);
    put_int64(cursor + 16, feed_fingerprint(cycle->feed));
    struct text definitions = { 0 };
    put_definitions(estimator->program, &definitions);
    struct checkpoint_extra extras[] = { { DEFINITIONS_NAME, definitions.data, definitions.size }, { CURSOR_NAME, cursor, sizeof cursor } };
    /* A run that reached the end of its input has no place to go on from. */
    size_t extra_count = cycle->loop.input_ended ? 1 : 2;
    bool ok = text_ok(&definitions, status) &&
              checkpoint_save(estimator->store, run->model_dir, step, run->keep_checkpoint_max, extras, extra_count, status);
    text_free(&definitions);
    /* Somebody may move or remove the folder at any time; the next checkpoint makes it anew. */
    if (ok && !file_exists(cycle->model_file))
        ok = file_make_folder(run->model_dir, status) && write_model_file(cycle, status);
    cycle->saved_step = step;
    cycle->last_save = now_seconds();
    if (ok) {
        char name[64];
        snprintf(name, sizeof name, "model.ckpt-%lld", (long long)step);
        tell(cycle, EVENT_SAVED, name);
    }
    return ok;
}

/* The columns of the checkpoint must be those of the model: otherwise ids would mean other things. */
static bool check_definitions(struct estimator *estimator, struct slice saved, pil_status *status)
{
    const char *const *names;
    const uint64_t *hashes;
    size_t count = program_definitions(estimator->program, &names, &hashes);
    while (saved.size) {
        const char *end = memchr(saved.data, '\n', saved.size);
        size_t length = end ? (size_t)(end - saved.data) : saved.size;
        for (size_t i = 0; length > 17 && i < count; i++) {
            char hash[20];
            snprintf(hash, sizeof hash, "%016llx", (unsigned long long)hashes[i]);
            if (slice_is(slice_of(saved.data + 17, length - 17), names[i]) && memcmp(hash, saved.data, 16) != 0) {
                status_fail(status, PIL_INVALID_ARGUMENT, "%s: the column '%s' is defined otherwise than when %s was written",
                            estimator->model->path, names[i], estimator->restored);
                return status_hint(status, "start in an empty folder, or go on with the changed column by --accept-changed-data");
            }
        }
        saved = slice_of(saved.data + MIN(length + 1, saved.size), saved.size - MIN(length + 1, saved.size));
    }
    return true;
}

/* Where the checkpoint says the input goes on; *has false: from the start. */
static bool find_cursor(struct estimator *estimator, struct cursor *cursor, bool *has, pil_status *status)
{
    struct slice bytes = { 0 };
    *has = false;
    if (!estimator->restored || estimator->options.accept_changed_data)
        return true;
    if (checkpoint_extra(estimator->restored, DEFINITIONS_NAME, estimator->arena, &bytes, status) &&
        !check_definitions(estimator, bytes, status))
        return false;
    if (!status_ok(status) || !checkpoint_extra(estimator->restored, CURSOR_NAME, estimator->arena, &bytes, status))
        return status_ok(status);
    if (bytes.size != 24)
        return status_fail(status, PIL_BAD_DATA, "%s: the place in the data is damaged", estimator->restored);
    *cursor = (struct cursor){ (int64_t)get_int64(bytes.data), (int64_t)get_int64(bytes.data + 8), get_int64(bytes.data + 16) };
    *has = true;
    return true;
}

static bool changed_data(const struct estimator *estimator, pil_status *status)
{
    const struct arg_texts *files = &estimator->model->input.train;
    char more[40] = "";
    if (files->count > 1)
        snprintf(more, sizeof more, " and %zu more", files->count - 1);
    status_fail(status, PIL_BAD_DATA, "%s%s: not the data that %s was trained on (their size or contents differ)",
                files->count ? files->items[0] : "-", more, estimator->restored);
    return status_hint(status, "put the old files back, or start the new data from their beginning with --accept-changed-data");
}

static bool open_feed(struct cycle *cycle, pil_status *status)
{
    struct estimator *estimator = cycle->estimator;
    struct cursor cursor;
    bool has;
    if (!find_cursor(estimator, &cursor, &has, status))
        return false;
    cycle->feed = estimator_feed(estimator, MODE_TRAIN, NULL, has ? &cursor : NULL, NULL, 0, status);
    if (!cycle->feed)
        return false;
    if (has && cursor.data != feed_fingerprint(cycle->feed))
        return changed_data(estimator, status);
    if (has)
        cycle->consumed = cursor;
    cycle->first = feed_next(cycle->feed, status);
    if (!cycle->first && status_ok(status) && !has)
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
    column_bind(cycle->estimator->runs[MODE_TRAIN].session, batch, program_feature_count(cycle->estimator->program));
    cycle->pending = batch->cursor;
    *rows = batch->rows;
    return true;
}

static size_t next_jobs(void *context, struct job *jobs, size_t limit)
{
    return feed_jobs(((struct cycle *)context)->feed, jobs, limit);
}

/* ---- evaluation ---- */

static bool can_evaluate(const struct model *model)
{
    return model->input.eval.count > 0 || model->eval.split > 0;
}

static bool write_evaluation(struct cycle *cycle, pil_status *status)
{
    const struct estimator *estimator = cycle->estimator;
    double now = now_seconds();
    if (!cycle->eval_events) {
        const char *name = estimator->model->eval.name;
        char *folder = arena_format(estimator->arena, status, "%s/eval%s%s", estimator->model->run.model_dir, name ? "_" : "", name ? name : "");
        cycle->eval_events = folder ? event_writer_new(folder, NULL, now, status) : NULL;
    }
    int64_t step = estimator_step(estimator);
    for (size_t i = 0; cycle->eval_events && i < head_metrics_count(estimator->metrics); i++)
        if (!event_scalar(cycle->eval_events, now, step, head_metrics_name(estimator->metrics, i),
                          (float)head_metrics_value(estimator->metrics, i), status))
            return false;
    return status_ok(status) && event_flush(cycle->eval_events, status);
}

static bool evaluate(struct cycle *cycle, pil_status *status)
{
    double before = now_seconds();
    if (!estimator_evaluate_live(cycle->estimator, NULL, status) || !write_evaluation(cycle, status))
        return false;
    cycle->evaluated_step = estimator_step(cycle->estimator);
    cycle->last_evaluation = now_seconds();
    cycle->started += cycle->last_evaluation - before; /* seconds count training alone */
    cycle->last_count += cycle->last_evaluation - before;
    tell(cycle, EVENT_EVALUATED, NULL);
    return true;
}

static bool save_and_evaluate(struct cycle *cycle, pil_status *status)
{
    const struct model *model = cycle->estimator->model;
    if (!save(cycle, status))
        return false;
    bool due = cycle->evaluated_step < 0 || now_seconds() - cycle->last_evaluation >= model->eval.throttle_secs;
    return !can_evaluate(model) || !due || evaluate(cycle, status);
}

/* ---- hooks ---- */

static bool begin(void *context, pil_run *loop, pil_status *status)
{
    struct cycle *cycle = context;
    struct estimator *estimator = cycle->estimator;
    (void)loop;
    cycle->model_file = path_join(estimator->arena, estimator->model->run.model_dir, "model.yaml", status);
    cycle->checkpoints = path_join(estimator->arena, estimator->model->run.model_dir, "checkpoint", status);
    bool ok = cycle->model_file && cycle->checkpoints && write_model_file(cycle, status);
    cycle->events = ok ? event_writer_new(estimator->model->run.model_dir, NULL, now_seconds(), status) : NULL;
    if (!cycle->events || !event_session_start(cycle->events, now_seconds(), cycle->start_step, status))
        return false;
    cycle->saved_step = cycle->start_step;
    cycle->started = cycle->last_save = cycle->last_count = now_seconds();
    cycle->last_count_step = cycle->start_step;
    if (!estimator->restored && !save(cycle, status))
        return false;
    tell(cycle, EVENT_START, NULL);
    return true;
}

static bool summarize(struct cycle *cycle, int64_t step, pil_status *status)
{
    const struct run_options *run = &cycle->estimator->model->run;
    if (run->save_summary_steps > 0 && (cycle->loop.steps - 1) % run->save_summary_steps == 0 &&
        !event_scalar(cycle->events, now_seconds(), step, "loss", (float)cycle->loop.loss, status))
        return false;
    if (run->log_step_count_steps > 0 && cycle->loop.steps % run->log_step_count_steps == 0) {
        double now = now_seconds(), seconds = now - cycle->last_count;
        double rate = seconds > 0 ? (double)(step - cycle->last_count_step) / seconds : 0;
        cycle->last_count = now;
        cycle->last_count_step = step;
        return event_scalar(cycle->events, now, step, "global_step/sec", (float)rate, status);
    }
    return true;
}

static bool after_run(void *context, pil_run *loop, pil_status *status)
{
    struct cycle *cycle = context;
    const struct run_options *run = &cycle->estimator->model->run;
    int64_t step = *loop->global_step;
    cycle->consumed = cycle->pending;
    if (!summarize(cycle, step, status))
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
    const struct model *model = cycle->estimator->model;
    bool stopped = loop->stop && *loop->stop;
    /* The folder may have been moved since the last save; what stands in its place must be a model too. */
    bool saved = *loop->global_step == cycle->saved_step && file_exists(cycle->checkpoints);
    if ((!saved || loop->input_ended) && !save(cycle, status))
        return false;
    if (!stopped && can_evaluate(model) && cycle->evaluated_step != *loop->global_step && !evaluate(cycle, status))
        return false;
    return event_flush(cycle->events, status);
}

/* ---- all of it ---- */

/* The model's folder, which was not there when the first values were made. Another start may have been faster. */
static bool make_folder(struct estimator *estimator, pil_status *status)
{
    const char *model_dir = estimator->model->run.model_dir;
    if (!file_make_folder(model_dir, status))
        return status_hint(status, "--model-dir, or model_dir in the run section, names the folder that the model is kept in");
    estimator->lock = checkpoint_lock(model_dir, status);
    if (!estimator->lock)
        return false;
    if (checkpoint_latest(model_dir, estimator->arena, status)) {
        status_fail(status, PIL_BUSY, "%s: another training has begun in this folder meanwhile", model_dir);
        return status_hint(status, "train again to go on from its checkpoint");
    }
    return status_ok(status);
}

static bool prepare(struct cycle *cycle, pil_status *status)
{
    struct estimator *estimator = cycle->estimator;
    const struct model *model = estimator->model;
    struct updater_part parts[PART_NONE] = {
        { .optimizer = model->linear_optimizer, .group = PART_LINEAR, .names = estimator->names[PART_LINEAR],
          .clip_gradients = model->clip_gradients,
          .own_iter = model->kind == ESTIMATOR_COMBINED && model->dnn_count > 0 },
        { .optimizer = model->dnn_optimizer, .group = PART_DNN, .names = estimator->names[PART_DNN],
          .clip_gradients = model->clip_gradients },
    };
    if (!mode_bind(estimator, MODE_TRAIN, status) || !open_feed(cycle, status))
        return false;
    if (!estimator->lock && !make_folder(estimator, status))
        return false;
    cycle->loop.updater = updater_new(estimator->store, parts, PART_NONE, estimator->threads, kernel_get(), status);
    cycle->loop.session = estimator->runs[MODE_TRAIN].session;
    cycle->loop.feed = (struct loop_feed){ next_batch, next_jobs, cycle };
    cycle->loop.global_step = store_int64(estimator->store, "global_step");
    cycle->loop.loss_fetch = (size_t)estimator->runs[MODE_TRAIN].loss;
    cycle->loop.stop = estimator->options.stop;
    const pil_hook check = pil_nan_tensor_hook(true), hook = { .begin = begin, .after_run = after_run, .end = end, .context = cycle };
    return cycle->loop.updater && hook_add(&cycle->loop, &check, status) && hook_add(&cycle->loop, &hook, status);
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

bool estimator_train_and_evaluate(struct estimator *estimator, pil_status *status)
{
    const struct model *model = estimator->model;
    if (!model->run.model_dir)
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: run.model_dir (or --model-dir) must name a folder for the model", model->path);
    struct cycle cycle = { .estimator = estimator, .start_step = estimator_step(estimator), .evaluated_step = -1 };
    cycle.loop.last_step = model->train.steps > 0 ? cycle.start_step + model->train.steps : model->train.max_steps;
    if (cycle.loop.last_step > 0 && cycle.start_step >= cycle.loop.last_step) {
        log_line(LOG_INFO, "nothing to do: the model in %s has been trained %lld steps, the last one asked for is %lld",
                 model->run.model_dir, (long long)cycle.start_step, (long long)cycle.loop.last_step);
        return true;
    }
    cycle.loop.profile = estimator->options.profile != NULL;
    bool ok = prepare(&cycle, status) && (!cycle.loop.profile || session_profile(cycle.loop.session, status)) &&
              loop_run(&cycle.loop, status);
    if (ok)
        tell(&cycle, EVENT_END, NULL);
    if (ok && cycle.loop.profile)
        print_profile(&cycle, estimator->options.profile);
    pil_status closing = { 0 };
    if (!close_events(&cycle, ok ? status : &closing))
        ok = false;
    if (!run_free(&cycle.loop, ok ? status : &closing))
        ok = false;
    updater_free(cycle.loop.updater);
    if (ok)
        estimator_tell_skipped(cycle.feed, "training (every pass over the data counts)");
    feed_close(cycle.feed);
    if (ok && estimator->options.stop && *estimator->options.stop)
        return status_fail(status, PIL_CANCELLED, "stopped at step %lld; the checkpoint is saved, train again to go on",
                           (long long)estimator_step(estimator));
    return ok;
}
