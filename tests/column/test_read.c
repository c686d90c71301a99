/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What feeds read: bad records told at the batch that needs them, or dropped; labels that are not there; raw fields kept; JSON
 * lines; standard input; a split.
 */
#include "feeds.h"

/* ---- errors -------------------------------------------------------------------------------------------------- */

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
        cmocka_unit_test(errors_come_when_needed), cmocka_unit_test(errors),     cmocka_unit_test(labels_may_be_absent),
        cmocka_unit_test(raw_fields_are_kept),     cmocka_unit_test(json_lines), cmocka_unit_test(standard_input),
        cmocka_unit_test(split_into_two_parts),
    };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
