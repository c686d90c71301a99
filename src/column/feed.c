/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed: batches of transformed rows, in the order that stages.c deals, made ahead of their use.
 *
 * A batch goes through three states, and a step of training brings each of three batches one state on:
 *
 *                      planned              gathered              ready
 *     during step k    --                   k + 2 (job gather)    k + 1 (job group)      pieces: job parse, job cut
 *     feed_next        k + 3                                      returns k + 1
 *
 * Jobs of one run do not depend on each other: what one run prepares, the next goes on with. The session runs them behind its
 * own tasks, on whichever thread is free; feed_next does what nobody has done, so a feed also works without jobs, in the
 * same order and with the same results.
 *
 * What is planned is decided by numbers of rows alone, never by what happens to be finished. So the batches, their cursors,
 * and the batch at which an error is told, are the same for any number of threads.
 */
#include "column/feed.h"

#include <string.h>

#include "column/internal.h"

/* ---- running ------------------------------------------------------------------------------------------------- */

static struct work *work_of(struct feed *feed, int64_t number)
{
    return &feed->works[number % WORKS];
}

static struct job gather_job(struct feed *feed, int64_t number)
{
    feed->gathering = number;
    return (struct job){ feed_gather_task, feed, work_gather_tasks(work_of(feed, number)) };
}

static struct job group_job(struct feed *feed, int64_t number)
{
    feed->grouping = number;
    return (struct job){ feed_group_task, feed, (int64_t)feed->feature_count };
}

static void gather_now(struct feed *feed, int64_t number)
{
    struct job job = gather_job(feed, number);
    threads_run(feed->threads, &job, 1);
    feed_finish_gather(feed, work_of(feed, number));
}

static void group_now(struct feed *feed, int64_t number)
{
    struct job job = group_job(feed, number);
    threads_run(feed->threads, &job, 1);
    work_of(feed, number)->state = WORK_READY;
}

/* What jobs have done since the last call. A job whose tasks were not run is as if it had not been handed out. */
static bool settle(struct feed *feed)
{
    for (int64_t n = feed->current + 1; n < feed->planned; n++) {
        struct work *work = work_of(feed, n);
        if (work->state == WORK_PLANNED && work->gathered == work_gather_tasks(work))
            feed_finish_gather(feed, work);
        else if (work->state == WORK_GATHERED && work->grouped == (int64_t)feed->feature_count)
            work->state = WORK_READY;
        /* What is absorbed below may move the cache's first rows. */
        if (work->state == WORK_PLANNED && feed->options.cache && !feed->complete)
            gather_now(feed, n);
    }
    bool merged = feed_merge(feed, &feed->status);
    feed_absorb(feed);
    return merged;
}

/* ---- planning ------------------------------------------------------------------------------------------------ */

enum outcome { PLAN_DONE, PLAN_NEEDS_ROWS, PLAN_END, PLAN_FAILED };

/* Rows that must be in the line before `count` more can be dealt from slots or pieces. */
static int64_t rows_missing(const struct feed *feed, int64_t count)
{
    if (feed->options.cache || !feed->complete)
        return 0; /* the order knows */
    int64_t needed = feed->drawn + count + order_hold(feed->order, feed->rows, true);
    return MIN(needed, feed_line_end(feed)) - feed->absorbed;
}

/* A callback's next batch is the next piece. */
static enum outcome plan_piece(struct feed *feed, int64_t *wanted)
{
    struct work *work = work_of(feed, feed->planned);
    *wanted = 1;
    if (feed->drawn == feed->absorbed) {
        feed->ended = feed->cut_ended && feed->next_absorb == NULL && feed->fresh == NULL;
        return feed->ended ? PLAN_END : PLAN_NEEDS_ROWS;
    }
    work->thrown = false;
    if (!feed_plan_piece(feed, work, feed_piece(feed, feed->drawn, NULL), &feed->status))
        return PLAN_FAILED;
    feed->planned++;
    return PLAN_DONE;
}

/* Plans the next batch, or the next rows to throw away, if the rows that are there allow it. */
static enum outcome plan_rows(struct feed *feed, int64_t *wanted)
{
    struct work *work = work_of(feed, feed->planned);
    int64_t behind = feed->options.cache ? 0 : order_behind(feed->order), size = feed->options.order.batch_size, count, need;
    int64_t known = feed->complete ? feed->rows : feed->absorbed;
    enum order_result result;
    if (behind > 0)
        size = MIN(behind, size);
    *wanted = rows_missing(feed, size);
    if (*wanted > 0)
        return PLAN_NEEDS_ROWS;
    if (behind > 0)
        result = order_replay(feed->order, known, feed->complete, size, feed->dealt, &count, &need, &feed->status);
    else
        result = order_next(feed->order, known, feed->complete, feed->dealt, &count, &need, &feed->status);
    *wanted = need - known;
    if (result == ORDER_NEED_ROWS)
        return PLAN_NEEDS_ROWS;
    feed->ended = result == ORDER_END && behind == 0;
    if (result == ORDER_END)
        return PLAN_END;
    work->thrown = behind > 0;
    if (result == ORDER_FAILED || !feed_plan_rows(feed, work, count, &feed->status))
        return PLAN_FAILED;
    if (work->thrown)
        gather_now(feed, feed->planned);
    else
        feed->planned++;
    return PLAN_DONE;
}

static enum outcome plan_once(struct feed *feed, int64_t *wanted)
{
    return feed->callback != NULL ? plan_piece(feed, wanted) : plan_rows(feed, wanted);
}

/* Plans a batch with the rows that are there; nothing is read. */
static void plan_ahead(struct feed *feed)
{
    int64_t wanted;
    while (!feed->ended && feed->planned - feed->current < WORKS && status_ok(&feed->status)) {
        /* One at a time: the next plan needs to know what the slots hold behind this one. */
        if (feed->planned > feed->current + 1 && work_of(feed, feed->planned - 1)->state == WORK_PLANNED)
            return;
        if (plan_once(feed, &wanted) != PLAN_DONE)
            return;
    }
}

/* The raw rows of the batch in use must stay where they are. */
static void release_used(struct feed *feed)
{
    int64_t used = feed->used;
    if (feed->options.keep_fields && feed->current >= 0)
        used = MIN(used, work_of(feed, feed->current)->first_line);
    feed_release(feed, used);
}

/* Plans batch number `planned`, reading on as far as it takes. False at the end and after an error. */
static bool plan_now(struct feed *feed)
{
    int64_t before = feed->planned;
    while (feed->planned == before && !feed->ended) {
        int64_t wanted;
        bool more;
        enum outcome plan = plan_once(feed, &wanted);
        if (plan == PLAN_FAILED)
            return false;
        if (plan == PLAN_NEEDS_ROWS) {
            if (!feed_read(feed, wanted, &more, &feed->status))
                return false;
            if (!more)
                return status_fail(&feed->status, PIL_INTERNAL, "the feed waits for rows that nobody reads");
            release_used(feed);
        }
    }
    return feed->planned > before;
}

/* ---- batches ------------------------------------------------------------------------------------------------- */

static bool make_ready(struct feed *feed, int64_t number)
{
    struct work *work = work_of(feed, number);
    while (work->state != WORK_READY) {
        if (work->state == WORK_EMPTY && !plan_now(feed))
            return false;
        if (work->state == WORK_PLANNED)
            gather_now(feed, number);
        if (work->state == WORK_GATHERED)
            group_now(feed, number);
    }
    return true;
}

const struct batch *feed_next(struct feed *feed, pil_status *status)
{
    const int64_t next = feed->current + 1;
    if (feed->current >= 0)
        work_of(feed, feed->current)->state = WORK_EMPTY;
    /* A batch that is planned is dealt, whatever has gone wrong behind it. */
    bool fine = status_ok(&feed->status) && settle(feed);
    fine = (fine || next < feed->planned) && make_ready(feed, next);
    if (!fine) {
        if (!status_ok(&feed->status))
            *status = feed->status;
        return NULL;
    }
    feed->current = next;
    release_used(feed);
    if (feed->ahead)
        plan_ahead(feed);
    return &work_of(feed, next)->batch;
}

/* ---- jobs ---------------------------------------------------------------------------------------------------- */

static void cut_task(void *context, int64_t index, int worker)
{
    struct feed *feed = context;
    (void)index;
    (void)worker;
    feed_cut(feed, feed->cut_pieces);
}

/* A callback's batches that are in the line and not dealt. */
static int64_t batches_waiting(const struct feed *feed)
{
    int64_t count = 0;
    for (const struct piece *piece = feed->queue; piece != feed->next_absorb; piece = piece->next)
        count += piece->records.rows > 0 && piece->first >= feed->drawn;
    return count;
}

/* Pieces that must be parsed for two more batches. */
static int64_t pieces_missing(const struct feed *feed, int64_t a_batch)
{
    const int64_t batch = feed->options.order.batch_size, hold = order_hold(feed->order, feed->rows, feed->complete);
    if (feed->callback != NULL)
        return MAX(2 - batches_waiting(feed), 0);
    int64_t missing = MIN(feed->drawn + 2 * batch + hold, feed_line_end(feed)) - feed->absorbed;
    return missing > 0 ? MIN(1 + (missing - 1) / feed_rows_a_piece(feed), 2 * a_batch) : 0;
}

/* Reading ahead: as many pieces as two more batches need, and as many blocks cut as will be parsed next. */
static size_t reading_jobs(struct feed *feed, struct job *jobs, size_t limit)
{
    const int64_t a_batch = feed->callback != NULL ? 1 : 1 + (feed->options.order.batch_size - 1) / feed_rows_a_piece(feed);
    int64_t waiting = 0;
    size_t count = 0;
    if (feed->options.cache && feed->complete)
        return 0;
    int64_t pieces = pieces_missing(feed, a_batch);
    int64_t tasks = feed_list_todo(feed, pieces, &feed->status);
    if (tasks > 0 && count < limit)
        jobs[count++] = (struct job){ feed_parse_task, feed, tasks };
    for (const struct piece *piece = feed->next_absorb; piece != NULL; piece = piece->next)
        waiting += !piece->done;
    feed->cut_pieces = (feed->callback != NULL ? 2 : 2 * a_batch + 1) - (waiting - tasks);
    if (feed->cut_pieces > 0 && !feed->cut_ended && !origin_waits(feed) && count < limit)
        jobs[count++] = (struct job){ cut_task, feed, 1 };
    return count;
}

/* Is making a batch so little that feed_next does it itself, before anybody else has woken up? The answer changes no batch. */
static bool small_batches(const struct feed *feed)
{
    const size_t words = feed->shape.words + (feed->options.group ? feed->feature_count * GROUP_WORDS : 0);
    int64_t rows = feed->options.order.batch_size;
    if (feed->callback != NULL)
        rows = feed->works[feed->current % WORKS].batch.rows;
    return rows < feed->worth_words / (int64_t)MAX(words, 1);
}

size_t feed_jobs(struct feed *feed, struct job *jobs, size_t limit)
{
    const int64_t next = feed->current + 1;
    size_t count = 0;
    if (!status_ok(&feed->status) || feed->current < 0)
        return 0;
    if (small_batches(feed))
        return feed->callback == NULL || feed->batch_ns >= WORTH_NS ? reading_jobs(feed, jobs, limit) : 0;
    feed->ahead = true;
    plan_ahead(feed);
    /* The first time, the batch after next cannot be gathered before the next one is. */
    if (feed->options.group && next < feed->planned && work_of(feed, next)->state == WORK_PLANNED) {
        gather_now(feed, next);
        plan_ahead(feed);
    }
    for (int64_t n = next; n < feed->planned && count < limit; n++) {
        struct work *work = work_of(feed, n);
        if (work->state == WORK_GATHERED)
            jobs[count++] = group_job(feed, n);
        else if (work->state == WORK_PLANNED)
            jobs[count++] = gather_job(feed, n);
    }
    return status_ok(&feed->status) ? count + reading_jobs(feed, jobs + count, limit - count) : count;
}

/* ---- opening and closing ------------------------------------------------------------------------------------- */

static bool shape_rows(struct feed *feed, pil_status *status)
{
    const struct program *program = feed->program;
    struct row_shape *shape = &feed->shape;
    shape->words = program_record_words(program);
    shape->numbers = (size_t)program_number_count(program);
    shape->weighted = mem_array(program_ragged_count(program), sizeof(*shape->weighted), status);
    feed->feature_count = program_feature_count(program);
    feed->lists = mem_array(feed->feature_count, sizeof(*feed->lists), status);
    if (shape->weighted == NULL || feed->lists == NULL)
        return false;
    for (size_t f = 0; f < feed->feature_count; f++) {
        feed->lists[f] = -1;
        if (!program_feature_ragged(program, f))
            continue;
        shape->weighted[shape->ragged] = column_is_weighted(program_feature_column(program, f));
        feed->lists[f] = (int)shape->ragged++;
    }
    return true;
}

/* The fields to read: the program's, and those that shall be kept besides. */
static bool collect_specs(struct feed *feed, pil_status *status)
{
    const struct feed_options *options = &feed->options;
    feed->read_specs = program_fields(feed->program, &feed->read_count);
    if (!options->keep_fields || options->extra_count == 0)
        return true;
    feed->specs = mem_array(feed->read_count + options->extra_count, sizeof(*feed->specs), status);
    if (feed->specs == NULL)
        return false;
    memcpy(feed->specs, feed->read_specs, feed->read_count * sizeof(*feed->specs));
    for (size_t i = 0; i < options->extra_count; i++) {
        size_t at = 0;
        while (at < feed->read_count && strcmp(feed->specs[at].name, options->extra[i].name) != 0)
            at++;
        if (at == feed->read_count)
            feed->specs[feed->read_count++] = options->extra[i];
    }
    feed->read_specs = feed->specs;
    return true;
}

static bool make_workers(struct feed *feed, pil_status *status)
{
    feed->worker_count = threads_count(feed->threads);
    feed->workers = mem_array((size_t)feed->worker_count, sizeof(*feed->workers), status);
    for (int i = 0; feed->workers != NULL && i < feed->worker_count; i++) {
        struct worker *worker = &feed->workers[i];
        worker->scratch = program_scratch_new(feed->program, status);
        worker->fields = feed->options.keep_fields ? NULL : fields_new(feed->read_specs, feed->read_count, status);
        if (!status_ok(status))
            return false;
    }
    return feed->workers != NULL;
}

static bool make_works(struct feed *feed, pil_status *status)
{
    for (int i = 0; i < WORKS; i++) {
        struct work *work = &feed->works[i];
        work->memory = mem_array(feed->feature_count, sizeof(*work->memory), status);
        work->features = mem_array(feed->feature_count, sizeof(*work->features), status);
        if (work->memory == NULL || work->features == NULL)
            return false;
    }
    feed->dealt = mem_array((size_t)feed->options.order.batch_size, sizeof(*feed->dealt), status);
    return feed->dealt != NULL;
}

static bool check_options(struct feed *feed, pil_status *status)
{
    struct feed_options *options = &feed->options;
    if (options->dataset != NULL && !status_ok(&options->dataset->status)) {
        *status = options->dataset->status;
        return false;
    }
    if (options->keep_fields && options->order.shuffle > 1)
        return status_fail(status, PIL_INVALID_ARGUMENT, "raw fields are kept in the order of the file only: no shuffle");
    if (options->split < 0 || options->split > 1)
        return status_fail(status, PIL_INVALID_ARGUMENT, "split must be from 0 to 1, not %g", options->split);
    options->cache = options->cache && !options->keep_fields;
    feed->first_epoch = options->from != NULL ? options->from->epoch : 0;
    feed->last_pass = options->order.epochs > 0 ? MAX(options->order.epochs - 1 - feed->first_epoch, 0) : INT64_MAX;
    return true;
}

struct feed_options feed_dataset(const struct pil_dataset *dataset, uint64_t seed)
{
    struct feed_options options = { .dataset = dataset,
                                    .paths = dataset->paths,
                                    .path_count = dataset->path_count,
                                    .format = dataset->format,
                                    .csv = dataset->csv,
                                    .order = dataset->order,
                                    .cache = dataset->cache,
                                    .cache_bytes = dataset->cache_bytes,
                                    .split = dataset->split.share,
                                    .split_eval = dataset->split.held_out,
                                    .split_by = dataset->split.by };
    options.order.seed = dataset->seed >= 0 ? (uint64_t)dataset->seed : seed;
    return options;
}

/* A callback's cursor counts batches, which the order knows nothing of. */
static bool make_order(struct feed *feed, pil_status *status)
{
    const struct feed_options *options = &feed->options;
    bool callback = options->dataset != NULL && options->dataset->kind == DATASET_CALLBACK;
    feed->order = order_new(&options->order, callback ? NULL : options->from, status);
    return feed->order != NULL;
}

struct feed *feed_open(const struct program *program, const struct feed_options *options, struct threads *threads,
                       pil_status *status)
{
    struct feed *feed = mem_new(sizeof(*feed), status);
    if (feed == NULL)
        return NULL;
    feed->program = program;
    feed->options = *options;
    feed->threads = threads;
    feed->current = -1;
    feed->worth_words = WORTH_WORDS;
    if (check_options(feed, status) && make_order(feed, status) && shape_rows(feed, status) && collect_specs(feed, status) &&
        make_workers(feed, status) && make_works(feed, status) && origin_open(feed, status))
        return feed;
    feed_close(feed);
    return NULL;
}

int64_t feed_rows(const struct feed *feed)
{
    if (feed->arrays != NULL)
        return feed->options.dataset->rows;
    return feed->complete ? feed->rows : -1;
}

int64_t feed_skipped(const struct feed *feed)
{
    return feed->skipped;
}

uint64_t feed_fingerprint(const struct feed *feed)
{
    return feed->fingerprint;
}

void feed_close(struct feed *feed)
{
    if (feed == NULL)
        return;
    for (int i = 0; i < WORKS; i++)
        work_free(&feed->works[i], feed->feature_count);
    feed_free_reading(feed);
    for (int i = 0; feed->workers != NULL && i < feed->worker_count; i++) {
        struct worker *worker = &feed->workers[i];
        fields_free(worker->fields);
        program_scratch_free(worker->scratch);
        lines_free(worker->lines);
        mem_free(worker->sort);
    }
    cache_free(&feed->cache);
    slots_free(&feed->slots);
    order_free(feed->order);
    mem_free(feed->workers);
    mem_free(feed->dealt);
    mem_free(feed->specs);
    mem_free(feed->lists);
    mem_free(feed->shape.weighted);
    mem_free(feed);
}
