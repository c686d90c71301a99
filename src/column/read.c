/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading half of a feed. A piece of the input goes through three hands:
 *
 *     cut        in order, one thread: a block of whole records from the source
 *     parse      any thread, any order: records to fields to transformed rows
 *     absorb     in order, the calling thread: the rows get their numbers in the line
 *
 * What goes wrong with a piece stays in the piece until somebody needs its rows, so that the batches before it are dealt
 * whatever was read ahead, and an error comes at the same batch for any number of threads.
 */
#include <stdio.h>
#include <string.h>

#include "column/feed.h"

enum { GUESSED_ROWS = 64 }; /* of a piece, before one has been seen */

/* ---- pieces -------------------------------------------------------------------------------------------------- */

static struct piece *piece_take(struct feed *feed, pil_status *status)
{
    struct piece *piece = feed->spare;
    if (piece != NULL) {
        feed->spare = piece->next;
    } else {
        piece = mem_new(sizeof(*piece), status);
        if (piece == NULL)
            return NULL;
        if (!records_init(&piece->records, feed->program, status)) {
            mem_free(piece);
            return NULL;
        }
    }
    records_clear(&piece->records);
    status_clear(&piece->status);
    piece->next = NULL;
    piece->done = piece->end_of_pass = piece->some_dropped = piece->targets_absent = false;
    piece->skipped = 0;
    return piece;
}

struct fields *piece_fields(const struct feed *feed, struct piece *piece)
{
    if (piece->fields == NULL)
        piece->fields = fields_new(feed->read_specs, feed->read_count, &piece->status);
    return piece->fields;
}

static void piece_free(struct piece *piece)
{
    block_release(&piece->block);
    records_free(&piece->records);
    fields_free(piece->fields);
    mem_free(piece->kept);
    mem_free(piece);
}

static void append(struct piece **first, struct piece **last, struct piece *piece)
{
    if (*first == NULL)
        *first = piece;
    else
        (*last)->next = piece;
    *last = piece;
}

static void free_list(struct piece *piece)
{
    while (piece != NULL) {
        struct piece *next = piece->next;
        piece_free(piece);
        piece = next;
    }
}

/* ---- cut ----------------------------------------------------------------------------------------------------- */

/* The pass is over; the next one begins if anybody needs it. */
static void end_pass(struct feed *feed, struct piece *piece)
{
    piece->end_of_pass = piece->done = true;
    feed->cut_ended = feed->options.cache || feed->pass == feed->last_pass;
    feed->pass++;
}

static void cut_piece(struct feed *feed, struct piece *piece)
{
    bool end = false;
    if (!origin_cut(feed, piece, &end))
        piece->done = feed->cut_ended = true;
    else if (end)
        end_pass(feed, piece);
}

void feed_cut(struct feed *feed, int64_t pieces)
{
    for (; pieces > 0 && !feed->cut_ended; pieces--) {
        pil_status status = { 0 };
        struct piece *piece = piece_take(feed, &status);
        if (piece == NULL) {
            feed->cut_status = status;
            return;
        }
        cut_piece(feed, piece);
        append(&feed->fresh, &feed->fresh_end, piece);
    }
}

bool feed_merge(struct feed *feed, pil_status *status)
{
    if (feed->fresh != NULL) {
        if (feed->next_absorb == NULL)
            feed->next_absorb = feed->fresh;
        append(&feed->queue, &feed->queue_end, feed->fresh);
        feed->queue_end = feed->fresh_end;
        feed->fresh = NULL;
    }
    if (!status_ok(&feed->cut_status))
        *status = feed->cut_status;
    return status_ok(status);
}

/* ---- parse --------------------------------------------------------------------------------------------------- */

/* Takes back what a row that failed has left in the lists. */
static void forget_row(struct records *records)
{
    for (size_t i = 0; i < records->ragged_count; i++) {
        struct sparse_builder *list = &records->ragged[i];
        list->rows = records->rows;
        list->entries = records->rows > 0 ? list->offsets[records->rows] : 0;
    }
}

/* on_error: skip, and a row of this piece is bad: row by row, without those that fail. */
static bool transform_rows(struct feed *feed, struct worker *worker, struct piece *piece, const struct fields *fields)
{
    pil_status *status = &piece->status;
    records_clear(&piece->records);
    if (!mem_grow(&piece->kept, &piece->kept_capacity, (size_t)fields->rows, sizeof(*piece->kept), status))
        return false;
    piece->some_dropped = true;
    for (int64_t row = 0; row < fields->rows; row++) {
        status_clear(status);
        if (program_run(feed->program, fields, row, 1, worker->scratch, &piece->records, status)) {
            piece->kept[piece->records.rows - 1] = (int32_t)row;
            continue;
        }
        if (status->code != PIL_BAD_DATA)
            return false;
        forget_row(&piece->records);
        piece->skipped++;
    }
    status_clear(status);
    return true;
}

static bool transform(struct feed *feed, struct worker *worker, struct piece *piece, const struct fields *fields)
{
    struct records *records = &piece->records;
    size_t most = (size_t)MAX(feed->most_rows, fields->rows) * feed->shape.words;
    /* Whichever piece comes to the largest block: each has room for it from then on. */
    if (!mem_grow(&records->words, &records->capacity, most, sizeof(*records->words), &piece->status))
        return false;
    if (program_run(feed->program, fields, 0, fields->rows, worker->scratch, records, &piece->status))
        return true;
    bool skip = feed->options.csv.skip_bad && piece->status.code == PIL_BAD_DATA;
    return skip && transform_rows(feed, worker, piece, fields);
}

void feed_parse_task(void *context, int64_t index, int number)
{
    struct feed *feed = context;
    struct worker *worker = &feed->workers[number];
    struct piece *piece = feed->todo[index];
    struct fields *fields = feed->own_fields ? piece_fields(feed, piece) : worker->fields;
    piece->done = true;
    if (fields == NULL || !origin_parse(feed, worker, piece, fields))
        return;
    if (!transform(feed, worker, piece, fields)) {
        origin_place(feed, piece);
        return;
    }
    for (size_t i = 0; i < fields->count; i++)
        piece->targets_absent = piece->targets_absent || (fields->fields[i].absent && !fields->fields[i].spec->required);
}

int64_t feed_list_todo(struct feed *feed, int64_t limit, pil_status *status)
{
    feed->todo_count = 0;
    for (struct piece *piece = feed->next_absorb; piece != NULL && (int64_t)feed->todo_count < limit; piece = piece->next) {
        if (piece->done)
            continue;
        if (!mem_grow(&feed->todo, &feed->todo_capacity, feed->todo_count + 1, sizeof(struct piece *), status))
            return 0;
        feed->todo[feed->todo_count++] = piece;
    }
    return (int64_t)feed->todo_count;
}

/* ---- absorb -------------------------------------------------------------------------------------------------- */

static bool data_changed(const struct feed *feed, int64_t rows, bool more, pil_status *status)
{
    status_fail(status, PIL_BAD_DATA, "%s: the data changed while it was read: %lld rows in the first epoch, %s%lld in this one",
                origin_name(feed), (long long)feed->rows, more ? "at least " : "", (long long)rows);
    return status_hint(status, "keep the files as they are during a run, or set input.cache: true to read them once");
}

static bool no_rows(const struct feed *feed, pil_status *status)
{
    size_t files = feed->source != NULL ? source_file_count(feed->source) : 1;
    status_fail(status, PIL_BAD_DATA, "%s%s: %s", origin_name(feed), files > 1 ? " and the other files" : "",
                feed->options.split > 0 ? "no row falls into this part of the split" : "there are no rows");
    return feed->skipped > 0 && status_hint(status, "%lld bad records were skipped", (long long)feed->skipped);
}

/* Batches of a callback are no rows of a file: each epoch may have others. One that goes on behind a cursor may be over. */
static bool absorb_end(struct feed *feed, const struct piece *piece, pil_status *status)
{
    bool known = feed->complete && feed->callback == NULL;
    if (known)
        return feed->pass_rows == feed->rows || data_changed(feed, feed->pass_rows, false, status);
    bool may_be_empty = feed->options.order.epochs > 0 && !feed->options.group;
    if (feed->pass_rows == 0 && !may_be_empty && piece->batch == 0)
        return no_rows(feed, status);
    if (!feed->complete && !feed->partial)
        feed->rows = feed->pass_rows;
    feed->complete = feed->complete || !feed->partial;
    feed->partial = false;
    return true;
}

/* "1,234 MB", "0.03 MB" */
static void megabytes(char *out, size_t size, double bytes)
{
    struct text text = { 0 };
    if (bytes < 1e6)
        text_format(&text, "%.1g", bytes / 1e6);
    else
        text_count(&text, (int64_t)(bytes / 1e6));
    snprintf(out, size, "%s MB", text.data != NULL ? text.data : "?");
    text_free(&text);
}

static bool cache_too_small(const struct feed *feed, int64_t limit, double progress, pil_status *status)
{
    char need[64], allowed[64];
    megabytes(need, sizeof(need), (double)feed->cache.bytes / (progress > 0 ? progress : 1));
    megabytes(allowed, sizeof(allowed), (double)limit);
    status_fail(status, PIL_INVALID_ARGUMENT, "%s: the cache would need %s %s, input.cache_bytes allows %s", origin_name(feed),
                progress > 0 ? "about" : "more than", need, allowed);
    return status_hint(status, "raise input.cache_bytes, or set input.cache: false to read the data again in each epoch");
}

static bool to_cache(struct feed *feed, struct piece *piece, pil_status *status)
{
    const int64_t limit = feed->options.cache_bytes > 0 ? feed->options.cache_bytes : CACHE_BYTES;
    if (!cache_append(&feed->cache, feed->program, &feed->shape, &piece->records, status))
        return false;
    feed->used = feed->cache.rows;
    return feed->arrays != NULL || feed->cache.bytes <= limit || cache_too_small(feed, limit, piece->progress, status);
}

/* Rows that come in before the first draw go into their slots at once. */
static bool fill_slots(struct feed *feed, const struct piece *piece, pil_status *status)
{
    int64_t end = MIN(order_hold(feed->order, feed->rows, feed->complete), piece->first + piece->records.rows);
    if (feed->drawn > 0 || feed->slots_filled >= end)
        return true;
    if (!slots_reserve(&feed->slots, &feed->shape, end, status))
        return false;
    for (; feed->slots_filled < end; feed->slots_filled++) {
        struct row_ref from;
        struct tail old;
        records_row(&piece->records, &feed->shape, feed->slots_filled - piece->first, &from);
        if (!slots_take(&feed->slots, &feed->shape, feed->slots_filled, &from, &old, status))
            return false;
        slots_write(&feed->slots, &feed->shape, feed->slots_filled, &from);
    }
    feed->used = end;
    return true;
}

/* A piece counts when its rows are where they belong; one that failed stays the next to be absorbed. */
static bool absorb_piece(struct feed *feed, struct piece *piece, pil_status *status)
{
    const int64_t rows = piece->records.rows;
    piece->first = feed->absorbed;
    if (piece->end_of_pass) {
        bool fine = absorb_end(feed, piece, status);
        feed->pass_rows = 0;
        return fine;
    }
    if (feed->complete && feed->callback == NULL && feed->pass_rows + rows > feed->rows)
        return data_changed(feed, feed->pass_rows + rows, true, status);
    if (!(feed->options.cache ? to_cache(feed, piece, status) : fill_slots(feed, piece, status)))
        return false;
    if (!feed->complete)
        feed->skipped += piece->skipped;
    feed->targets_absent = feed->targets_absent || piece->targets_absent;
    feed->pass_rows += rows;
    feed->absorbed += rows;
    feed->absorbed_pieces++;
    feed->most_rows = MAX(feed->most_rows, rows + piece->skipped);
    if (!feed->options.keep_fields)
        block_release(&piece->block); /* the rows no longer need its texts */
    return true;
}

void feed_absorb(struct feed *feed)
{
    for (struct piece *piece; (piece = feed->next_absorb) != NULL && piece->done && status_ok(&piece->status);) {
        if (!absorb_piece(feed, piece, &piece->status))
            return;
        feed->next_absorb = piece->next;
    }
}

int64_t feed_rows_a_piece(const struct feed *feed)
{
    if (feed->arrays != NULL)
        return feed->array_piece;
    return feed->absorbed_pieces > 0 ? MAX(feed->absorbed / feed->absorbed_pieces, 1) : GUESSED_ROWS;
}

bool feed_read(struct feed *feed, int64_t rows_wanted, bool *more, pil_status *status)
{
    int64_t pieces = 1 + (rows_wanted - 1) / feed_rows_a_piece(feed);
    pieces = MIN(pieces, feed->worker_count == 1 ? 1 : 4 * (int64_t)feed->worker_count);
    *more = true;
    if (feed->next_absorb != NULL && feed->next_absorb->done) {
        *status = feed->next_absorb->status; /* its rows are wanted now */
        return false;
    }
    int64_t waiting = feed_list_todo(feed, pieces, status);
    if (waiting < pieces && status_ok(status)) {
        feed_cut(feed, pieces - waiting);
        if (!feed_merge(feed, status))
            return false;
        waiting = feed_list_todo(feed, pieces, status);
    }
    *more = feed->next_absorb != NULL;
    struct job job = { feed_parse_task, feed, waiting };
    threads_run(feed->threads, &job, 1);
    feed_absorb(feed);
    return status_ok(status);
}

/* ---- used up ------------------------------------------------------------------------------------------------- */

void feed_release(struct feed *feed, int64_t used)
{
    while (feed->queue != NULL && feed->queue != feed->next_absorb) {
        struct piece *piece = feed->queue;
        if (piece->first + piece->records.rows > used)
            return;
        feed->queue = piece->next;
        block_release(&piece->block);
        piece->next = feed->spare;
        feed->spare = piece;
    }
}

struct piece *feed_piece(const struct feed *feed, int64_t line, struct piece *hint)
{
    struct piece *piece = hint != NULL && hint->first <= line ? hint : feed->queue;
    while (line >= piece->first + piece->records.rows)
        piece = piece->next;
    return piece;
}

/* ---- closing --------------------------------------------------------------------------------------------------- */

void feed_free_reading(struct feed *feed)
{
    free_list(feed->queue);
    free_list(feed->fresh);
    free_list(feed->spare);
    mem_free(feed->todo);
    origin_close(feed);
}
