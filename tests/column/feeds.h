/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers of tests that drive feeds: rows of which number n is a formula of n, a program that reads them, and the comparison of
 * each batch with the rows that order_next deals when all are known.
 */
#ifndef PILASTER_TESTS_FEEDS_H
#define PILASTER_TESTS_FEEDS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "column/feed.h"
#include "scratch.h"

/* ---- data: row n is a formula -------------------------------------------------------------------------------- */

enum { X_WIDTH = 3, WORDS = 50, TAGS = 30 };

static inline const char *write_text(const char *name, const struct text *text)
{
    const char *path = scratch_path(name);
    pil_status status = { 0 };
    assert_true(file_replace(path, text->data, text->size, &status));
    return path;
}

static inline void csv_row(struct text *out, int64_t n)
{
    text_format(out, "%lld,%lld.25|%lld|%lld,w%lld,", (long long)n, (long long)n, (long long)n + 1, (long long)n + 2,
                (long long)n * 7);
    for (int64_t t = 0; t < n % 4; t++)
        text_format(out, "%st%lld", t > 0 ? "|" : "", (long long)(n + t));
    for (int64_t t = 0; t < n % 3; t++)
        text_format(out, "%s%lld:%lld.5", t > 0 ? "|" : ",", (long long)((n + t) % TAGS), (long long)t);
    text_append_text(out, n % 3 == 0 ? ",\n" : "\n");
}

static inline const char *write_csv(const char *name, int64_t rows)
{
    struct text text = { 0 };
    text_append_text(&text, "id,x,word,tags,pairs\n");
    for (int64_t n = 0; n < rows; n++)
        csv_row(&text, n);
    const char *path = write_text(name, &text);
    text_free(&text);
    return path;
}

static inline int32_t hashed(const char *text, uint64_t buckets)
{
    return (int32_t)(fingerprint64(text, strlen(text)) % buckets);
}

/* ---- the program --------------------------------------------------------------------------------------------- */

struct model {
    pil_columns *columns;
    struct program *program;
    int target, x;         /* columns of the block of numbers */
    int word, tags, pairs; /* features */
    bool lists;
};

/* With lists: a field of several words, and one of ids with weights. Without: a label, three numbers, one word. */
static inline struct model new_model(bool lists)
{
    pil_status status = { 0 };
    struct model model = { .columns = pil_columns_new(), .lists = lists };
    pil_columns *c = model.columns;
    model.program = program_new(&(struct program_options){ 0 }, &status);
    assert_non_null(model.program);
    const struct field_spec tags = { .name = "tags", .type = FIELD_STRING, .separator = '|' },
                            x = { .name = "x", .type = FIELD_FLOAT, .separator = '|' },
                            pairs = { .name = "pairs", .type = FIELD_INT64, .separator = '|', .weight_separator = ':' };
    assert_true(program_field(model.program, &x, &status));
    model.x = program_numbers(model.program, pil_numeric_column(c, "x", .shape = { X_WIDTH }), &status);
    model.target = program_target(model.program, &(struct program_target){ .field = "id", .width = 1 }, &status);
    model.word = program_feature(model.program, pil_categorical_column_with_hash_bucket(c, "word", WORDS), &status);
    if (lists) {
        assert_true(program_field(model.program, &tags, &status) && program_field(model.program, &pairs, &status));
        model.tags = program_feature(model.program, pil_categorical_column_with_hash_bucket(c, "tags", TAGS), &status);
        pil_column *ids = pil_categorical_column_with_identity(c, "pairs", TAGS);
        model.pairs = program_feature(model.program, pil_weighted_categorical_column(c, ids, "weights"), &status);
    }
    pil_status made = pil_columns_status(c);
    if (!status_ok(&made) || !program_finish(model.program, &status))
        fail_msg("%s %s", made.message, status.message);
    return model;
}

static inline void free_model(struct model *model)
{
    program_free(model->program);
    pil_columns_free(model->columns);
}

/* ---- what a batch must hold ---------------------------------------------------------------------------------- */

static inline void check_list(const struct model *model, const struct batch *batch, int64_t row, int64_t n)
{
    const struct sparse *tags = &batch->features[model->tags], *pairs = &batch->features[model->pairs];
    char word[32];
    assert_int_equal(tags->offsets[row + 1] - tags->offsets[row], n % 4);
    assert_int_equal(pairs->offsets[row + 1] - pairs->offsets[row], n % 3);
    assert_null(tags->weights);
    for (int64_t t = 0; t < n % 4; t++) {
        snprintf(word, sizeof(word), "t%lld", (long long)(n + t));
        assert_int_equal(tags->ids[tags->offsets[row] + t], hashed(word, TAGS));
    }
    for (int64_t t = 0; t < n % 3; t++) {
        assert_int_equal(pairs->ids[pairs->offsets[row] + t], (n + t) % TAGS);
        assert_true(pairs->weights[pairs->offsets[row] + t] == (float)t + 0.5f);
    }
}

static inline void check_row(const struct model *model, const struct batch *batch, int64_t row, int64_t n)
{
    const float *numbers = tensor_floats(&batch->numbers) + row * batch->numbers.ld;
    char word[32];
    if (numbers[model->target] != (float)n)
        fail_msg("row %d is %g, not %d", (int)row, numbers[model->target], (int)n);
    assert_true(numbers[model->x] == (float)n + 0.25f && numbers[model->x + 2] == (float)(n + 2));
    for (int64_t column = batch->numbers.cols; column < batch->numbers.ld; column++)
        assert_true(numbers[column] == 0);
    snprintf(word, sizeof(word), "w%lld", (long long)n * 7);
    assert_int_equal(batch->features[model->word].ids[row], hashed(word, WORDS));
    if (model->lists)
        check_list(model, batch, row, n);
}

static inline void check_groups(const struct sparse *feature)
{
    const struct groups *groups = feature->groups;
    assert_non_null(groups);
    assert_int_equal(groups->starts[groups->count], feature->entries);
    for (int64_t g = 0; g < groups->count; g++) {
        assert_true(g == 0 || groups->ids[g] > groups->ids[g - 1]);
        for (int32_t e = groups->starts[g]; e < groups->starts[g + 1]; e++)
            assert_int_equal(feature->ids[groups->entries[e]], groups->ids[g]);
    }
}

/* The rows that an order deals when all rows are known. */
struct expected {
    struct order *order;
    struct order_row *rows;
    int64_t count, total;
};

static inline struct expected expect(const struct order_options *options, const struct cursor *from, int64_t total)
{
    pil_status status = { 0 };
    struct expected expected = { .order = order_new(options, from, &status), .total = total };
    expected.rows = calloc((size_t)options->batch_size, sizeof(struct order_row));
    assert_non_null(expected.order);
    assert_non_null(expected.rows);
    return expected;
}

static inline bool expect_next(struct expected *expected)
{
    pil_status status = { 0 };
    int64_t need;
    enum order_result result =
        order_next(expected->order, expected->total, true, expected->rows, &expected->count, &need, &status);
    assert_true(result == ORDER_BATCH || result == ORDER_END);
    return result == ORDER_BATCH;
}

static inline void free_expected(struct expected *expected)
{
    order_free(expected->order);
    free(expected->rows);
}

static inline void check_batch(const struct model *model, const struct feed_options *options, const struct batch *batch,
                               const struct expected *expected, const struct feed *feed)
{
    assert_int_equal(batch->rows, expected->count);
    assert_false(batch->targets_absent);
    for (int64_t i = 0; i < batch->rows; i++)
        check_row(model, batch, i, expected->rows[i].row);
    for (size_t f = 0; f < program_feature_count(model->program); f++) {
        assert_int_equal(batch->features[f].rows, batch->rows);
        if (options->group)
            check_groups(&batch->features[f]);
        else
            assert_null(batch->features[f].groups);
    }
    struct cursor cursor = order_cursor(expected->order);
    assert_int_equal(batch->cursor.epoch, cursor.epoch);
    assert_int_equal(batch->cursor.emitted, cursor.emitted);
    assert_true(batch->cursor.data == feed_fingerprint(feed));
}

/* ---- driving a feed ------------------------------------------------------------------------------------------ */

static inline struct feed *open_feed(const struct model *model, const struct feed_options *options, struct threads *threads)
{
    pil_status status = { 0 };
    struct feed *feed = feed_open(model->program, options, threads, &status);
    if (feed == NULL)
        fail_msg("%s", status.message);
    return feed;
}

/* As a session does: jobs run while the batch is in use. `mode` 0: none; 1: all; 2: now and then, of
 * small batches as feed_jobs thinks best. */
static inline void run_jobs(struct feed *feed, struct threads *threads, int mode, int64_t step)
{
    struct job jobs[4];
    if (mode == 0 || (mode == 2 && step % 3 == 1))
        return;
    feed->worth_words = mode == 1 || step % 2 == 0 ? 0 : WORTH_WORDS; /* 0: small ones are handed out too */
    size_t count = feed_jobs(feed, jobs, COUNT_OF(jobs));
    assert_true(count <= COUNT_OF(jobs));
    if (mode == 1 || step % 3 == 0)
        threads_run(threads, jobs, count);
}

/* Runs `batches` batches (or to the end) and compares each. */
static inline void compare(const struct model *model, const struct feed_options *options, int64_t total, int64_t batches,
                           int thread_count, int mode)
{
    pil_status status = { 0 };
    struct threads *threads = threads_new(thread_count, &status);
    assert_non_null(threads);
    struct feed *feed = open_feed(model, options, threads);
    struct expected expected = expect(&options->order, options->from, total);
    int64_t n = 0;
    for (; n < batches && expect_next(&expected); n++) {
        const struct batch *batch = feed_next(feed, &status);
        if (batch == NULL)
            fail_msg("batch %d: %s", (int)n, status.message);
        run_jobs(feed, threads, mode, n);
        check_batch(model, options, batch, &expected, feed);
    }
    if (n < batches) {
        assert_null(feed_next(feed, &status));
        assert_null(feed_next(feed, &status));
        assert_true(status_ok(&status));
        assert_int_equal(feed_rows(feed), total);
    }
    free_expected(&expected);
    feed_close(feed);
    threads_free(threads);
}

/* Batches until the end or an error. */
static inline int64_t batches_until(const struct model *model, const struct feed_options *options, int thread_count, int mode,
                                    pil_status *status, int64_t *skipped)
{
    pil_status ignored = { 0 };
    struct threads *threads = threads_new(thread_count, &ignored);
    assert_non_null(threads);
    int64_t batches = 0;
    status_clear(status);
    struct feed *feed = feed_open(model->program, options, threads, status);
    while (feed != NULL && feed_next(feed, status) != NULL) {
        run_jobs(feed, threads, mode, batches);
        batches++;
    }
    if (feed != NULL && skipped != NULL)
        *skipped = feed_skipped(feed);
    if (feed != NULL && !status_ok(status)) {
        pil_status again = { 0 };
        assert_null(feed_next(feed, &again));
        assert_string_equal(again.message, status->message);
    }
    feed_close(feed);
    threads_free(threads);
    return batches;
}

static inline void assert_message(const pil_status *status, const char *part)
{
    if (strstr(status->message, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, status->message);
}

static inline struct feed_options in_order(const char *const *path, int64_t batch)
{
    return (struct feed_options){
        .paths = path, .path_count = 1, .csv = { .header = true }, .order = { .batch_size = batch, .epochs = 1 }
    };
}

static inline void expect_message(const struct model *model, const struct feed_options *options, const char *part)
{
    pil_status status;
    assert_int_equal(batches_until(model, options, 2, 1, &status, NULL), 0);
    assert_message(&status, part);
}

#endif
