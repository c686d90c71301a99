/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed against its definition: the rows that order_next deals when all are known, each made by a formula of its number.
 * The same for every mixture of cache, shuffle, threads, jobs and batch size; from every cursor; with errors at the batch
 * that needs the bad row.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "column/column.h"
#include "failing.h"
#include "scratch.h"

/* ---- data: row n is a formula -------------------------------------------------------------------------------- */

enum { X_WIDTH = 3, WORDS = 50, TAGS = 30 };

static const char *write_text(const char *name, const struct text *text)
{
    const char *path = scratch_path(name);
    pil_status status = { 0 };
    assert_true(file_replace(path, text->data, text->size, &status));
    return path;
}

static void csv_row(struct text *out, int64_t n)
{
    text_format(out, "%lld,%lld.25|%lld|%lld,w%lld,", (long long)n, (long long)n, (long long)n + 1, (long long)n + 2,
                (long long)n * 7);
    for (int64_t t = 0; t < n % 4; t++)
        text_format(out, "%st%lld", t > 0 ? "|" : "", (long long)(n + t));
    for (int64_t t = 0; t < n % 3; t++)
        text_format(out, "%s%lld:%lld.5", t > 0 ? "|" : ",", (long long)((n + t) % TAGS), (long long)t);
    text_append_text(out, n % 3 == 0 ? ",\n" : "\n");
}

static const char *write_csv(const char *name, int64_t rows)
{
    struct text text = { 0 };
    text_append_text(&text, "id,x,word,tags,pairs\n");
    for (int64_t n = 0; n < rows; n++)
        csv_row(&text, n);
    const char *path = write_text(name, &text);
    text_free(&text);
    return path;
}

static int32_t hashed(const char *text, uint64_t buckets)
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
static struct model new_model(bool lists)
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

static void free_model(struct model *model)
{
    program_free(model->program);
    pil_columns_free(model->columns);
}

/* ---- what a batch must hold ---------------------------------------------------------------------------------- */

static void check_list(const struct model *model, const struct batch *batch, int64_t row, int64_t n)
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

static void check_row(const struct model *model, const struct batch *batch, int64_t row, int64_t n)
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

static void check_groups(const struct sparse *feature)
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

static struct expected expect(const struct order_options *options, const struct cursor *from, int64_t total)
{
    pil_status status = { 0 };
    struct expected expected = { .order = order_new(options, from, &status), .total = total };
    expected.rows = calloc((size_t)options->batch_size, sizeof(struct order_row));
    assert_non_null(expected.order);
    assert_non_null(expected.rows);
    return expected;
}

static bool expect_next(struct expected *expected)
{
    pil_status status = { 0 };
    int64_t need;
    enum order_result result =
        order_next(expected->order, expected->total, true, expected->rows, &expected->count, &need, &status);
    assert_true(result == ORDER_BATCH || result == ORDER_END);
    return result == ORDER_BATCH;
}

static void free_expected(struct expected *expected)
{
    order_free(expected->order);
    free(expected->rows);
}

static void check_batch(const struct model *model, const struct feed_options *options, const struct batch *batch,
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

static struct feed *open_feed(const struct model *model, const struct feed_options *options, struct threads *threads)
{
    pil_status status = { 0 };
    struct feed *feed = feed_open(model->program, options, threads, &status);
    if (feed == NULL)
        fail_msg("%s", status.message);
    return feed;
}

/* As a session does: jobs run while the batch is in use. `mode` 0: none; 1: all; 2: now and then. */
static void run_jobs(struct feed *feed, struct threads *threads, int mode, int64_t step)
{
    struct job jobs[4];
    if (mode == 0 || (mode == 2 && step % 3 == 1))
        return;
    size_t count = feed_jobs(feed, jobs, COUNT_OF(jobs));
    assert_true(count <= COUNT_OF(jobs));
    if (mode == 1 || step % 3 == 0)
        threads_run(threads, jobs, count);
}

/* Runs `batches` batches (or to the end) and compares each. */
static void compare(const struct model *model, const struct feed_options *options, int64_t total, int64_t batches,
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

static const struct setting {
    int64_t rows, shuffle, batch, epochs;
    bool cache;
} settings[] = {
    { 1, 0, 1, 3, false },         { 1, 10, 3, 0, false },        { 10, 0, 4, 0, false },        { 10, 4, 4, 2, false },
    { 10, 100, 3, 0, false },      { 10, 4, 25, 0, true },        { 333, 50, 64, 3, false },     { 333, 50, 64, 3, true },
    { 4000, 0, 64, 2, false },     { 4000, 0, 64, 2, true },      { 4000, 100, 7, 0, false },    { 4000, 1000, 512, 0, false },
    { 4000, 1000, 512, 0, true },  { 4000, 3999, 512, 2, false }, { 4000, 9000, 300, 0, false }, { 4000, 9000, 300, 2, true },
    { 4000, 500, 3000, 0, false }, { 4000, 500, 9000, 0, true },  { 4000, 500, 9000, 0, false },
};

static void same_batches_in_every_way(void **unused)
{
    (void)unused;
    for (int lists = 0; lists < 2; lists++) {
        struct model model = new_model(lists);
        for (size_t s = 0; s < COUNT_OF(settings); s++) {
            const struct setting *set = &settings[s];
            const char *path = write_csv("data.csv", set->rows);
            int64_t batches = set->epochs > 0 ? INT64_MAX : MIN(5 * set->rows / set->batch / 2 + 3, (int64_t)700);
            for (int way = 0; way < 6; way++) {
                const struct feed_options options = {
                    .paths = &path,
                    .path_count = 1,
                    .csv = { .header = true },
                    .order = { .seed = 7, .shuffle = set->shuffle, .batch_size = set->batch, .epochs = set->epochs },
                    .group = way % 2 == 0 || set->epochs == 0,
                    .cache = set->cache
                };
                compare(&model, &options, set->rows, batches, way < 3 ? 1 : 3, way % 3);
            }
        }
        free_model(&model);
    }
}

static void resume_from_every_cursor(void **unused)
{
    (void)unused;
    struct model model = new_model(true);
    const char *path = write_csv("data.csv", 1500);
    static const struct order_options orders[] = {
        { .seed = 7, .batch_size = 128 },
        { .seed = 7, .batch_size = 128, .shuffle = 300 },
        { .seed = 7, .batch_size = 700, .shuffle = 5000 },
        { .seed = 7, .batch_size = 128, .epochs = 4 },
        { .seed = 7, .batch_size = 128, .epochs = 4, .shuffle = 300 },
    };
    for (size_t s = 0; s < 2 * COUNT_OF(orders); s++) {
        struct feed_options options = { .paths = &path,
                                        .path_count = 1,
                                        .csv = { .header = true },
                                        .order = orders[s % COUNT_OF(orders)],
                                        .group = true,
                                        .cache = s >= COUNT_OF(orders) };
        struct expected expected = expect(&options.order, NULL, 1500);
        for (int64_t n = 0; n < 45; n += n < 3 ? 1 : 7) {
            struct cursor from = order_cursor(expected.order);
            options.from = &from;
            compare(&model, &options, 1500, 6, 2, (int)(n % 3));
            for (int64_t skip = n < 3 ? 1 : 7; skip > 0; skip--)
                assert_true(expect_next(&expected));
        }
        free_expected(&expected);
    }
    /* And batches passed over without a cursor. */
    struct feed_options options = { .paths = &path,
                                    .path_count = 1,
                                    .csv = { .header = true },
                                    .order = { .seed = 7, .batch_size = 100, .shuffle = 90, .skip = 20 },
                                    .group = true };
    compare(&model, &options, 1500, 30, 2, 1);
    free_model(&model);
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

static void second_pass_allocates_nothing(void **unused)
{
    (void)unused;
    const int64_t rows = 6000, batch = 256, batches = rows / batch + 1;
    const char *path = write_csv("data.csv", rows);
    for (int way = 0; way < 12; way++) {
        bool lists = way >= 6;
        struct model model = new_model(lists);
        const struct feed_options options = {
            .paths = &path,
            .path_count = 1,
            .csv = { .header = true },
            .order = { .seed = 7, .shuffle = way % 3 == 1 && !lists ? 1000 : 0, .batch_size = batch },
            .group = true,
            .cache = way % 3 == 2
        };
        pil_status status = { 0 };
        struct threads *threads = threads_new(1, &status);
        assert_non_null(threads);
        struct feed *feed = open_feed(&model, &options, threads);
        uint64_t before = 0;
        for (int64_t n = 0; n < 3 * batches; n++) {
            assert_non_null(feed_next(feed, &status));
            run_jobs(feed, threads, way % 6 >= 3, n);
            if (n == 2 * batches)
                before = mem_allocations();
        }
        assert_int_equal(mem_allocations() - before, 0);
        feed_close(feed);
        threads_free(threads);
        free_model(&model);
    }
}

/* Each allocation fails once. */
static void memory_runs_out(void **unused)
{
    (void)unused;
    const char *path = write_csv("data.csv", 900);
    struct model model = new_model(true);
    pil_status ignored = { 0 };
    struct threads *threads = threads_new(1, &ignored);
    assert_non_null(threads);
    for (int way = 0; way < 4; way++) {
        const struct feed_options options = { .paths = &path,
                                              .path_count = 1,
                                              .csv = { .header = true },
                                              .order = { .shuffle = 100, .batch_size = 200, .epochs = 2 },
                                              .group = true,
                                              .cache = way % 2 };
        int64_t n = 0;
        for (;; n++) {
            pil_status status = { 0 };
            int64_t rows = 0;
            failing_start(n, false);
            struct feed *feed = feed_open(model.program, &options, threads, &status);
            const struct batch *batch;
            while (feed != NULL && (batch = feed_next(feed, &status)) != NULL) {
                rows += batch->rows;
                run_jobs(feed, threads, way / 2, 0);
            }
            feed_close(feed);
            assert_int_equal(failing_live, 0);
            if (!failing_stop())
                break;
            assert_true(rows == 1800 || status.code == PIL_NO_MEMORY);
        }
        assert_true(n > 30);
    }
    threads_free(threads);
    free_model(&model);
}

/* ---- errors -------------------------------------------------------------------------------------------------- */

/* Batches until the end or an error. */
static int64_t batches_until(const struct model *model, const struct feed_options *options, int thread_count, int mode,
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

static void assert_message(const pil_status *status, const char *part)
{
    if (strstr(status->message, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, status->message);
}

static const char *write_bad(const char *name)
{
    struct text text = { 0 };
    text_append_text(&text, "id,x,word,tags,pairs\n");
    for (int64_t n = 0; n < 3000; n++) {
        csv_row(&text, n);
        if (n == 1999)
            text_append_text(&text, "2000,1|zwei|3,w,,\n1,2\n7,1|2|3,w,,1:1|99:1\n8,1|2,w,,\n");
    }
    const char *path = write_text(name, &text);
    text_free(&text);
    return path;
}

static struct feed_options in_order(const char *const *path, int64_t batch)
{
    return (struct feed_options){
        .paths = path, .path_count = 1, .csv = { .header = true }, .order = { .batch_size = batch, .epochs = 1 }
    };
}

/* The bad record stands behind 2,000 rows: told when its block is needed, however many threads read ahead. */
static void errors_come_when_needed(void **unused)
{
    (void)unused;
    struct model model = new_model(true);
    const char *path = write_bad("bad.csv");
    struct feed_options options = in_order(&path, 100);
    pil_status status;
    int64_t first = batches_until(&model, &options, 1, 0, &status, NULL);
    assert_in_range(first, 15, 20);
    for (int way = 0; way < 6; way++) {
        options.group = way % 2;
        assert_int_equal(batches_until(&model, &options, way < 3 ? 1 : 3, way % 3, &status, NULL), first);
        assert_message(&status, "bad.csv:2002: field 'x' (column 2): 'zwei' is not a number\n          2000,1|zwei|3,w,,\n");
    }

    /* Dropped: a cell, a record, an id and a list's length. */
    for (int way = 0; way < 6; way++) {
        int64_t skipped;
        options.csv.skip_bad = true;
        options.cache = way % 2;
        assert_int_equal(batches_until(&model, &options, way < 3 ? 1 : 3, way % 3, &status, &skipped), 30);
        assert_true(status_ok(&status));
        assert_int_equal(skipped, 4);
        compare(&model, &options, 3000, INT64_MAX, 2, way % 3);
    }
    free_model(&model);
}

static void expect_message(const struct model *model, const struct feed_options *options, const char *part)
{
    pil_status status;
    assert_int_equal(batches_until(model, options, 2, 1, &status, NULL), 0);
    assert_message(&status, part);
}

static void errors(void **unused)
{
    (void)unused;
    struct model model = new_model(false);
    const char *path = scratch_path("missing.csv");
    struct feed_options options = in_order(&path, 10);
    expect_message(&model, &options, "missing.csv: no such file");
    options.format = "parquet";
    expect_message(&model, &options, "the input format 'parquet'");
    options.format = NULL;

    /* A header alone: nothing to train on; nothing to predict either, but that is no error. */
    struct text text = { 0 };
    text_append_text(&text, "id,x,word\n");
    path = write_text("header.csv", &text);
    pil_status status;
    assert_int_equal(batches_until(&model, &options, 1, 1, &status, NULL), 0);
    assert_true(status_ok(&status));
    options.group = true;
    expect_message(&model, &options, "header.csv: there are no rows");
    options.group = false;
    options.order.epochs = 0;
    expect_message(&model, &options, "header.csv: there are no rows");
    text_free(&text);

    path = write_csv("data.csv", 5000);
    options.cache = true;
    options.cache_bytes = 30000; /* 5,000 rows of 20 bytes */
    assert_in_range(batches_until(&model, &options, 2, 1, &status, NULL), 50, 200);
    assert_message(&status, "data.csv: the cache would need about 0.1 MB, input.cache_bytes allows 0.03 MB");
    options.cache_bytes = 100000;
    options.order.epochs = 3;
    assert_int_equal(batches_until(&model, &options, 2, 1, &status, NULL), 1500);
    options.split = 2;
    expect_message(&model, &options, "split must be from 0 to 1");
    options.split = 0;
    options.keep_fields = true;
    options.order.shuffle = 10;
    expect_message(&model, &options, "no shuffle");
    free_model(&model);
}

/* ---- predicting ---------------------------------------------------------------------------------------------- */

static void labels_may_be_absent(void **unused)
{
    (void)unused;
    struct model model = new_model(false);
    struct text text = { 0 };
    text_append_text(&text, "word,x\nw0,0.25|1|2\n");
    const char *path = write_text("new.csv", &text);
    struct feed_options options = in_order(&path, 10);
    expect_message(&model, &options, "new.csv: has no column 'id'");
    text_clear(&text);
    text_append_text(&text, "{\"word\": \"w0\", \"x\": [0.25, 1, 2]}\n");
    const char *lines = write_text("new.json", &text);
    pil_status status = { 0 };
    struct threads *threads = threads_new(1, &status);
    options.targets_optional = true;
    for (int way = 0; way < 2; way++) {
        options.paths = way == 0 ? &path : &lines;
        struct feed *feed = open_feed(&model, &options, threads);
        const struct batch *batch = feed_next(feed, &status);
        assert_non_null(batch);
        assert_true(batch->targets_absent);
        assert_true(tensor_floats(&batch->numbers)[model.x] == 0.25f && tensor_floats(&batch->numbers)[model.target] == 0);
        feed_close(feed);
    }
    threads_free(threads);
    text_free(&text);
    free_model(&model);
}

/* The raw rows of a batch, through a gzip-like source (standard input) as well, and fields that no column reads. */
static void raw_fields_are_kept(void **unused)
{
    (void)unused;
    struct model model = new_model(true);
    const char *path = write_bad("bad.csv");
    const struct field_spec extra[] = { { .name = "word", .type = FIELD_STRING, .required = true },
                                        { .name = "id", .type = FIELD_FLOAT, .required = true } };
    struct feed_options options = in_order(&path, 64);
    options.keep_fields = true;
    options.extra = extra;
    options.extra_count = 2;
    options.csv.skip_bad = true;
    pil_status status = { 0 };
    for (int way = 0; way < 4; way++) {
        int64_t n = 0;
        struct threads *threads = threads_new(1 + way, &status);
        assert_non_null(threads);
        struct feed *feed = open_feed(&model, &options, threads);
        for (const struct batch *batch; (batch = feed_next(feed, &status)) != NULL;) {
            run_jobs(feed, threads, way % 3, n);
            assert_int_equal(batch->fields->rows, batch->rows);
            const struct field *word = &batch->fields->fields[fields_find(batch->fields, "word")];
            const struct field *tags = &batch->fields->fields[fields_find(batch->fields, "tags")];
            for (int64_t i = 0; i < batch->rows; i++, n++) {
                char expected[32];
                snprintf(expected, sizeof(expected), "w%lld", (long long)n * 7);
                check_row(&model, batch, i, n);
                assert_true(slice_is(word->texts[i], expected));
                assert_int_equal(batch->fields->lines[i], n + 2 + (n > 1999 ? 4 : 0));
                assert_string_equal(path_base(batch->fields->sources[i]), "bad.csv");
                assert_int_equal(tags->offsets[i + 1] - tags->offsets[i], n % 4);
            }
        }
        if (!status_ok(&status))
            fail_msg("%s", status.message);
        assert_int_equal(n, 3000);
        feed_close(feed);
        threads_free(threads);
    }
    free_model(&model);
}

/* The same rows as JSON lines give the same batches. */
static void json_lines(void **unused)
{
    (void)unused;
    struct model model = new_model(true);
    struct text text = { 0 };
    for (int64_t n = 0; n < 1200; n++) {
        text_format(&text, "{\"x\": [%lld.25, %lld, %lld.0], \"id\": %lld, \"word\": \"w%lld\", \"unknown\": {\"a\": []}",
                    (long long)n, (long long)n + 1, (long long)n + 2, (long long)n, (long long)n * 7);
        text_append_text(&text, n % 4 > 0 ? ", \"tags\": [" : n % 8 > 0 ? ", \"tags\": null" : "");
        for (int64_t t = 0; t < n % 4; t++)
            text_format(&text, "%s\"t%lld\"", t > 0 ? ", " : "", (long long)(n + t));
        text_append_text(&text, n % 4 > 0 ? "]" : "");
        text_append_text(&text, ", \"pairs\": \"");
        for (int64_t t = 0; t < n % 3; t++)
            text_format(&text, "%s%lld:%lld.5", t > 0 ? "|" : "", (long long)((n + t) % TAGS), (long long)t);
        text_append_text(&text, n % 5 == 0 ? "\"}\r\n\n" : "\"}\n");
    }
    const char *path = write_text("data.jsonl", &text);
    const struct feed_options options = { .paths = &path,
                                          .path_count = 1,
                                          .csv = { .header = true },
                                          .order = { .seed = 7, .shuffle = 100, .batch_size = 64 },
                                          .group = true };
    for (int way = 0; way < 6; way++)
        compare(&model, &options, 1200, 40, way < 3 ? 1 : 3, way % 3);
    text_free(&text);
    free_model(&model);
}

/* Standard input comes in small reads and only once. */
static struct text input;
static size_t input_at;

static int64_t read_input(int fd, void *data, size_t size)
{
    assert_int_equal(fd, 0);
    size = MIN(MIN(size, (size_t)4096), input.size - input_at);
    memcpy(data, input.data + input_at, size);
    input_at += size;
    return (int64_t)size;
}

static void standard_input(void **unused)
{
    (void)unused;
    struct model model = new_model(true);
    const char *path = "-";
    struct feed_options options = in_order(&path, 64);
    struct file_calls calls = *file_calls();
    calls.read = read_input;
    text_append_text(&input, "id,x,word,tags,pairs\n");
    for (int64_t n = 0; n < 3000; n++)
        csv_row(&input, n);
    file_set_calls(&calls);
    for (int way = 0; way < 6; way++) {
        input_at = 0;
        compare(&model, &options, 3000, INT64_MAX, way < 3 ? 1 : 3, way % 3);
    }
    options.order.epochs = 2;
    input_at = 0;
    pil_status status;
    assert_int_equal(batches_until(&model, &options, 1, 0, &status, NULL), 46);
    assert_message(&status, "only once");
    options.cache = true;
    input_at = 0;
    assert_int_equal(batches_until(&model, &options, 1, 0, &status, NULL), 94);
    file_set_calls(NULL);
    text_free(&input);
    free_model(&model);
}

/* ---- split --------------------------------------------------------------------------------------------------- */

static int64_t count_part(const struct model *model, struct feed_options options, bool held_out, const char *by, int *seen)
{
    pil_status status = { 0 };
    struct threads *threads = threads_new(2, &status);
    assert_non_null(threads);
    options.split = 0.2;
    options.split_eval = held_out;
    options.split_by = by;
    struct feed *feed = open_feed(model, &options, threads);
    int64_t rows = 0;
    for (const struct batch *batch; (batch = feed_next(feed, &status)) != NULL; rows += batch->rows)
        for (int64_t i = 0; i < batch->rows; i++)
            seen[(int64_t)tensor_floats(&batch->numbers)[i * batch->numbers.ld + model->target]]++;
    assert_true(status_ok(&status));
    assert_int_equal(feed_rows(feed), rows);
    feed_close(feed);
    threads_free(threads);
    return rows;
}

static void split_into_two_parts(void **unused)
{
    (void)unused;
    enum { ROWS = 4000 };
    struct model model = new_model(true);
    const char *path = write_csv("data.csv", ROWS);
    struct feed_options options = in_order(&path, 100);
    uint64_t whole = 0;
    for (int by = 0; by < 2; by++) {
        int seen[ROWS] = { 0 };
        options.order.shuffle = 500;
        int64_t held = count_part(&model, options, true, by ? "word" : NULL, seen);
        assert_in_range(held, 700, 900); /* 800; standard deviation 25 */
        assert_int_equal(held + count_part(&model, options, false, by ? "word" : NULL, seen), ROWS);
        for (int i = 0; i < ROWS; i++)
            assert_int_equal(seen[i], 1);
    }
    pil_status status = { 0 };
    struct threads *threads = threads_new(1, &status);
    for (int part = 0; part < 3; part++) {
        options.split = part * 0.25;
        struct feed *feed = open_feed(&model, &options, threads);
        assert_true(feed_fingerprint(feed) != whole);
        whole = feed_fingerprint(feed);
        feed_close(feed);
    }
    threads_free(threads);
    free_model(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_batches_in_every_way),
        cmocka_unit_test(resume_from_every_cursor),
        cmocka_unit_test(second_pass_allocates_nothing),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(errors_come_when_needed),
        cmocka_unit_test(errors),
        cmocka_unit_test(labels_may_be_absent),
        cmocka_unit_test(raw_fields_are_kept),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(standard_input),
        cmocka_unit_test(split_into_two_parts),
    };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
