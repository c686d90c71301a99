/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pieces are made of. A feed reads one of three:
 *
 *     files      cut: the next block of whole records        parse: its records to fields
 *     arrays     cut: the next range of rows                 parse: the ranges of all arrays to fields
 *     callback   cut: the callback fills fields              parse: nothing is left
 *
 * Cutting goes in order and one thread at a time, parsing in any order on any thread; so a callback is called while a batch is
 * cut, and never twice at once.
 */
#include <string.h>
#include <time.h>

#include "column/feed.h"

/* ---- opening: files ------------------------------------------------------------------------------------------ */

/* Pieces are small enough that several of them share the work of one batch. */
static size_t block_bytes(const struct feed_options *options)
{
    enum { BYTES_A_ROW = 32, LEAST = 16 << 10, MOST = 256 << 10 };
    int64_t rows = MIN(options->order.batch_size, (int64_t)MOST / BYTES_A_ROW);
    return (size_t)MAX(rows * BYTES_A_ROW, (int64_t)LEAST);
}

static bool open_lines(struct feed *feed, const struct row_split *split, pil_status *status)
{
    /* The first block says which optional fields there are; it stays the first of the queue. */
    feed_cut(feed, 1);
    if (!feed_merge(feed, status))
        return false;
    const struct piece *piece = feed->queue;
    if (!status_ok(&piece->status)) {
        *status = piece->status;
        return false;
    }
    for (int i = 0; i < feed->worker_count; i++) {
        feed->workers[i].lines = lines_new(feed->read_specs, feed->read_count, split, feed->options.csv.skip_bad,
                                           feed->options.targets_optional ? &piece->block : NULL, status);
        if (feed->workers[i].lines == NULL)
            return false;
    }
    return true;
}

static uint64_t split_fingerprint(const struct row_split *split)
{
    uint64_t hash = fingerprint_cat64((uint64_t)(split->share * 0x1p53), split->held_out);
    return split->by != NULL ? fingerprint_cat64(hash, fingerprint64(split->by, strlen(split->by))) : hash;
}

static bool open_files(struct feed *feed, pil_status *status)
{
    const struct feed_options *options = &feed->options;
    const struct csv_options *csv = &options->csv;
    const struct row_split split = { options->split, options->split_eval, options->split_by };
    const struct row_split *used = options->split > 0 ? &split : NULL;
    bool only_lines = options->format != NULL && strcmp(options->format, "jsonl") == 0;
    if (options->format != NULL && !only_lines && strcmp(options->format, "csv") != 0)
        return status_fail(status, PIL_UNSUPPORTED, "the input format '%s' is not one this version reads: csv, jsonl",
                           options->format);
    const struct source_options source = { .paths = options->paths,
                                           .path_count = options->path_count,
                                           .block_bytes = block_bytes(options),
                                           .quotes = !only_lines,
                                           .header = !only_lines && csv->header,
                                           .delimiter = csv->delimiter,
                                           .comment = csv->comment,
                                           .detect_lines = true };
    feed->source = source_open(&source, status);
    if (feed->source == NULL)
        return false;
    feed->fingerprint = source_fingerprint(feed->source);
    if (used != NULL) /* other rows, other places */
        feed->fingerprint = fingerprint_cat64(feed->fingerprint, split_fingerprint(used));
    if (only_lines || source_is_lines(feed->source))
        return open_lines(feed, used, status);
    struct csv_options with = *csv;
    with.all_required = !options->targets_optional;
    feed->csv = csv_new(&with, used, source_header(feed->source), source_file(feed->source, 0), feed->read_specs,
                        feed->read_count, status);
    return feed->csv != NULL;
}

/* ---- opening: arrays and callbacks --------------------------------------------------------------------------- */

static int64_t record_bytes(const struct feed *feed)
{
    return (int64_t)(MAX(feed->shape.words, 1) * sizeof(int32_t));
}

/* Rows that go through a worker's nearest cache at once, however wide they are. */
static int64_t array_piece(const struct feed *feed)
{
    enum { BYTES = 64 << 10, LEAST = 64, MOST = 4096 };
    return MAX(MIN((int64_t)BYTES / record_bytes(feed), (int64_t)MOST), (int64_t)LEAST);
}

/* Rows are made once and then dealt from memory, if there is a second time, or an order that needs many of them at once: unless
 * they would take more of it than a cache of files may. */
static bool caches_arrays(const struct feed *feed)
{
    const struct order_options *order = &feed->options.order;
    const int64_t limit = feed->options.cache_bytes > 0 ? feed->options.cache_bytes : CACHE_BYTES;
    bool again = order->epochs != 1 || order->shuffle > 1;
    return again && !feed->options.keep_fields && feed->options.dataset->rows <= limit / record_bytes(feed);
}

static bool open_arrays(struct feed *feed, pil_status *status)
{
    feed->arrays = arrays_new(feed->options.dataset, feed->read_specs, feed->read_count, !feed->options.targets_optional, status);
    if (feed->arrays == NULL)
        return false;
    feed->fingerprint = arrays_fingerprint(feed->arrays);
    feed->array_piece = array_piece(feed);
    feed->options.cache = caches_arrays(feed);
    return true;
}

/* A callback starts where the cursor says; its batches count for what rows are to a file. */
static bool open_callback(struct feed *feed, pil_status *status)
{
    const struct cursor *from = feed->options.from;
    feed->callback =
        callback_new(feed->options.dataset, feed->read_specs, feed->read_count, !feed->options.targets_optional, status);
    if (feed->callback == NULL)
        return false;
    feed->fingerprint = callback_fingerprint(feed->callback);
    feed->own_fields = true;
    feed->options.cache = false;
    feed->next_epoch = feed->first_epoch;
    feed->next_batch = from != NULL ? from->emitted : 0;
    feed->partial = feed->next_batch > 0;
    feed->cut_ended = feed->options.order.epochs > 0 && feed->first_epoch >= feed->options.order.epochs; /* of a longer run */
    return true;
}

bool origin_open(struct feed *feed, pil_status *status)
{
    const struct pil_dataset *dataset = feed->options.dataset;
    feed->own_fields = feed->options.keep_fields;
    if (dataset == NULL || dataset->kind == DATASET_FILES)
        return open_files(feed, status);
    return dataset->kind == DATASET_ARRAYS ? open_arrays(feed, status) : open_callback(feed, status);
}

void origin_close(struct feed *feed)
{
    csv_free(feed->csv);
    source_close(feed->source);
    arrays_free(feed->arrays);
    callback_free(feed->callback);
}

const char *origin_name(const struct feed *feed)
{
    return feed->source != NULL ? source_file(feed->source, 0) : feed->arrays != NULL ? "the arrays" : "the callback";
}

/* ---- cutting ------------------------------------------------------------------------------------------------- */

static bool cut_block(struct feed *feed, struct piece *piece, bool *end)
{
    if (feed->rewind && !source_rewind(feed->source, &piece->status))
        return false;
    feed->rewind = false;
    if (!source_next(feed->source, &piece->block, end, &piece->status))
        return false;
    piece->progress = source_progress(feed->source);
    feed->rewind = *end;
    return true;
}

static void cut_range(struct feed *feed, struct piece *piece, bool *end)
{
    const int64_t rows = feed->options.dataset->rows;
    piece->range = feed->array_at;
    piece->range_rows = MIN(feed->array_piece, rows - feed->array_at);
    feed->array_at += piece->range_rows;
    piece->progress = (double)feed->array_at / (double)rows;
    *end = piece->range_rows == 0;
    if (*end)
        feed->array_at = 0;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool cut_batch(struct feed *feed, struct piece *piece, bool *end)
{
    const int64_t start = now_ns();
    piece->epoch = feed->next_epoch;
    piece->batch = feed->next_batch;
    if (piece_fields(feed, piece) == NULL ||
        !callback_next(feed->callback, piece->epoch, piece->batch, piece->fields, end, &piece->status))
        return false;
    feed->batch_ns += (now_ns() - start - feed->batch_ns) / 8;
    piece->progress = -1;
    feed->next_epoch += *end;
    feed->next_batch = *end ? 0 : piece->batch + 1;
    return true;
}

bool origin_cut(struct feed *feed, struct piece *piece, bool *end)
{
    *end = false;
    if (feed->source != NULL)
        return cut_block(feed, piece, end);
    if (feed->callback != NULL)
        return cut_batch(feed, piece, end);
    cut_range(feed, piece, end);
    return true;
}

bool origin_waits(const struct feed *feed)
{
    return feed->source != NULL && source_progress(feed->source) < 0;
}

/* ---- parsing ------------------------------------------------------------------------------------------------- */

bool origin_parse(struct feed *feed, struct worker *worker, struct piece *piece, struct fields *fields)
{
    if (feed->callback != NULL)
        return true;
    fields_clear(fields);
    if (feed->arrays != NULL)
        return arrays_read(feed->arrays, piece->range, piece->range_rows, fields, &piece->status);
    if (!fields_reserve(fields, feed->most_rows, &piece->status))
        return false;
    if (feed->csv != NULL)
        return csv_parse(feed->csv, &piece->block, fields, &piece->skipped, &piece->status);
    return lines_parse(worker->lines, &piece->block, fields, &piece->skipped, &piece->status);
}

void origin_place(const struct feed *feed, struct piece *piece)
{
    if (feed->callback != NULL)
        status_prefix(&piece->status, "the callback, epoch %lld, batch %lld, ", (long long)piece->epoch, (long long)piece->batch);
}
