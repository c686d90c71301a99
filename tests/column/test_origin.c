/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds that read no file. Arrays against the order, as files are: the same rows in the same batches whatever the way. Callbacks:
 * each of their batches is one of the feed's, from every cursor, with and without a seek; what they do wrong is told at the batch
 * where they do it.
 */
#include "callbacks.h"

#include <math.h>

#include "failing.h"

/* ---- arrays -------------------------------------------------------------------------------------------------- */

/* The rows of csv_row as arrays: what new_model(false) reads. */
struct rows {
    float *x, *id;
    char (*text)[32];
    const char **words;
    pil_dataset *dataset;
};

static struct rows new_rows(int64_t count, pil_dataset_from_arrays_options options)
{
    const size_t size = (size_t)count;
    struct rows rows = { calloc(size * X_WIDTH, sizeof(float)), calloc(size, sizeof(float)), calloc(size, sizeof(*rows.text)),
                         calloc(size, sizeof(char *)), NULL };
    for (int64_t n = 0; n < count; n++) {
        rows.id[n] = (float)n;
        rows.x[n * X_WIDTH] = (float)n + 0.25f;
        rows.x[n * X_WIDTH + 1] = (float)n + 1;
        rows.x[n * X_WIDTH + 2] = (float)n + 2;
        snprintf(rows.text[n], sizeof(rows.text[n]), "w%lld", (long long)n * 7);
        rows.words[n] = rows.text[n];
    }
    options.x = PIL_ARRAYS({ "x", .floats = rows.x, .rows = count, .shape = { X_WIDTH } },
                           { "word", .strings = rows.words, .rows = count });
    options.y = (pil_array){ "id", .floats = rows.id, .rows = count };
    rows.dataset = pil_dataset_from_arrays_make(&options);
    pil_status status = pil_dataset_status(rows.dataset);
    if (!status_ok(&status))
        fail_msg("%s", status.message);
    return rows;
}

static void free_rows(struct rows *rows)
{
    pil_dataset_free(rows->dataset);
    free(rows->x);
    free(rows->id);
    free(rows->text);
    free(rows->words);
}

static const struct array_setting {
    int64_t rows, batch, epochs, shuffle; /* -1: all rows */
    int64_t cache_bytes;                  /* 1: too few */
} array_settings[] = {
    { 1, 1, 3, 0, 0 },         { 1, 3, 0, -1, 0 },       { 10, 4, 0, 0, 0 },     { 10, 4, 2, -1, 0 },
    { 10, 25, 0, -1, 0 },      { 10, 25, 0, -1, 1 },     { 5000, 64, 1, 0, 0 },  { 5000, 64, 3, -1, 0 },
    { 5000, 64, 3, -1, 1 },    { 5000, 20, 0, 0, 1 },    { 5000, 20, 1, 0, 0 },  { 5000, 512, 0, 0, 0 },
    { 5000, 512, 0, 100, 0 },  { 5000, 512, 0, 100, 1 }, { 9000, 64, 2, -1, 0 }, { 9000, 20000, 0, 0, 1 },
    { 9000, 20000, 0, -1, 0 },
};

static void arrays_in_every_way(void **unused)
{
    (void)unused;
    struct model model = new_model(false);
    for (size_t s = 0; s < COUNT_OF(array_settings); s++) {
        const struct array_setting *set = &array_settings[s];
        pil_dataset_from_arrays_options asked = pil_dataset_from_arrays_options_default();
        asked.batch_size = set->batch;
        asked.num_epochs = set->epochs;
        asked.shuffle = set->shuffle != 0;
        struct rows rows = new_rows(set->rows, asked);
        int64_t batches = set->epochs > 0 ? INT64_MAX : MIN(5 * set->rows / set->batch / 2 + 3, (int64_t)700);
        for (int way = 0; way < 6; way++) {
            struct feed_options options = feed_dataset(rows.dataset, 7);
            assert_int_equal(options.order.seed, 7);
            assert_int_equal(options.order.shuffle, set->shuffle != 0 ? set->rows : 0);
            options.order.shuffle = set->shuffle < 0 ? set->rows : set->shuffle;
            options.cache_bytes = set->cache_bytes;
            options.group = way % 2 == 0;
            compare(&model, &options, set->rows, batches, way < 3 ? 1 : 3, way % 3);
        }
        free_rows(&rows);
    }
    free_model(&model);
}

static void arrays_resume(void **unused)
{
    (void)unused;
    struct model model = new_model(false);
    for (int way = 0; way < 8; way++) {
        pil_dataset_from_arrays_options asked = pil_dataset_from_arrays_options_default();
        asked.num_epochs = way & 1 ? 4 : 0;
        asked.shuffle = way & 2;
        struct rows rows = new_rows(1500, asked);
        struct feed_options options = feed_dataset(rows.dataset, 7);
        options.group = true;
        options.cache_bytes = way & 4 ? 1 : 0;
        struct expected expected = expect(&options.order, NULL, 1500);
        for (int64_t n = 0; n < 45; n += n < 3 ? 1 : 7) {
            struct cursor from = order_cursor(expected.order);
            options.from = &from;
            compare(&model, &options, 1500, 6, 2, (int)(n % 3));
            for (int64_t skip = n < 3 ? 1 : 7; skip > 0; skip--)
                assert_true(expect_next(&expected));
        }
        free_expected(&expected);
        free_rows(&rows);
    }
    free_model(&model);
}

/* ---- callbacks ----------------------------------------------------------------------------------------------- */

/* Batches from a cursor to the end (or 40), each compared. */
static void compare_made(bool seeks, int64_t epochs, struct cursor from, int threads_count, int mode)
{
    pil_status status = { 0 };
    struct maker maker = { .next_epoch = seeks ? 0 : from.epoch };
    pil_dataset *dataset = new_callback(&maker, seeks, epochs);
    struct model model = callback_model(dataset);
    struct threads *threads = threads_new(threads_count, &status);
    struct feed_options options = feed_dataset(dataset, 0);
    options.group = mode != 1;
    options.from = from.epoch + from.emitted > 0 ? &from : NULL;
    struct feed *feed = open_feed(&model, &options, threads);
    int64_t epoch = from.epoch, batch = from.emitted, n = 0;
    for (; n < 40; n++, batch++) {
        if (batch == batches_of(epoch)) {
            epoch++;
            batch = 0;
        }
        if (epochs > 0 && epoch == epochs)
            break;
        const struct batch *made = feed_next(feed, &status);
        if (made == NULL)
            fail_msg("batch %d: %s", (int)n, status.message);
        run_jobs(feed, threads, mode, n);
        check_made(&model, made, epoch, batch, options.group);
        assert_true(made->cursor.data == feed_fingerprint(feed));
    }
    if (n < 40) {
        assert_null(feed_next(feed, &status));
        assert_null(feed_next(feed, &status));
        assert_true(status_ok(&status));
    }
    assert_int_equal(maker.seeks, seeks && options.from != NULL ? 1 : 0);
    feed_close(feed);
    threads_free(threads);
    free_model(&model);
    pil_dataset_free(dataset);
}

static void callbacks_in_every_way(void **unused)
{
    (void)unused;
    for (int way = 0; way < 6; way++) {
        compare_made(way % 2, 0, (struct cursor){ 0 }, way < 3 ? 1 : 3, way % 3);
        compare_made(way % 2, 1, (struct cursor){ 0 }, way < 3 ? 1 : 3, way % 3);
        compare_made(way % 2, 3, (struct cursor){ 0 }, way < 3 ? 1 : 3, way % 3);
    }
}

static void callbacks_resume(void **unused)
{
    (void)unused;
    for (int64_t epoch = 0; epoch < 3; epoch++)
        for (int64_t batch = 0; batch <= batches_of(epoch); batch++)
            for (int seeks = 0; seeks < 2; seeks++) {
                compare_made(seeks, 3, (struct cursor){ epoch, batch, 0 }, 2, (int)(batch % 3));
                compare_made(seeks, 0, (struct cursor){ epoch, batch, 0 }, 1, (int)(batch % 3));
            }
}

static const struct {
    enum fault fault;
    const char *message;
} faults[] = {
    { FAULT_SAYS_SO, "the callback, epoch 1, batch 2: the cable is out" },
    { FAULT_OTHER_ROWS, "the callback, epoch 1, batch 2: feature 'word' has 21 rows, 'x' 20: all of a batch have the same" },
    { FAULT_NO_ROWS, "the callback, epoch 1, batch 2: feature 'unread' has no rows" },
    { FAULT_NOTHING, "the callback, epoch 1, batch 2: no feature was given" },
    { FAULT_FORGETS, "the callback, epoch 1, batch 2: feature 'unread' was not given" },
    { FAULT_TWICE, "the callback, epoch 1, batch 2: feature 'x' is given twice" },
    { FAULT_TYPE, "the callback, epoch 1, batch 2: feature 'word' is declared string, and int64 is given" },
    { FAULT_UNKNOWN, "the callback, epoch 1, batch 2: there is no feature 'wird'; did you mean 'word'?" },
    { FAULT_NULL, "the callback, epoch 1, batch 2: feature 'word' is given NULL for values" },
    { FAULT_SPLITS, "the callback, epoch 1, batch 2: feature 'tags': row_splits goes from 1 to 0 behind row 1" },
    { FAULT_RETURNS_FALSE, "the callback, epoch 1, batch 2: it sets 'unread' and returns false" },
    { FAULT_BAD_ID, "the callback, epoch 1, batch 2, row 1: field 'ids': -7" },
};

/* Batch 2 of epoch 1 is the seventh: six are dealt first, whoever works ahead. The first call that ends epoch 0 counts too. */
static void callbacks_fail(void **unused)
{
    (void)unused;
    assert_int_equal(number_of(1, 2, 0) % 3, 0); /* the first id is row 1's */
    assert_int_equal(number_of(1, 2, 1) % 3, 1);
    for (size_t i = 0; i < COUNT_OF(faults); i++)
        for (int way = 0; way < 6; way++) {
            struct maker maker = { .fault = faults[i].fault, .at = batches_of(0) + 1 + 2 };
            pil_dataset *dataset = new_callback(&maker, false, 0);
            struct model model = callback_model(dataset);
            struct feed_options options = feed_dataset(dataset, 0);
            options.group = way % 2;
            pil_status status;
            assert_int_equal(batches_until(&model, &options, way < 3 ? 1 : 3, way % 3, &status, NULL), batches_of(0) + 2);
            assert_message(&status, faults[i].message);
            free_model(&model);
            pil_dataset_free(dataset);
        }
}

static void expect_failure(struct maker maker, bool seeks, const struct cursor *from, bool group, const char *message)
{
    pil_dataset *dataset = new_callback(&maker, seeks, 2);
    struct model model = callback_model(dataset);
    struct feed_options options = feed_dataset(dataset, 0);
    options.group = group;
    options.from = from;
    pil_status status;
    assert_int_equal(batches_until(&model, &options, 2, 1, &status, NULL), 0);
    if (message != NULL)
        assert_message(&status, message);
    else
        assert_true(status_ok(&status));
    free_model(&model);
    pil_dataset_free(dataset);
}

static void callbacks_end_early(void **unused)
{
    (void)unused;
    const struct cursor behind = { 1, batches_of(1) + 1, 0 }, within = { 1, 2, 0 }, last = { 1, batches_of(1), 0 },
                        after = { 2, 0, 0 };
    expect_failure((struct maker){ .fault = FAULT_NO_BATCHES }, false, NULL, true, "the callback: there are no rows");
    expect_failure((struct maker){ .fault = FAULT_NO_BATCHES }, false, NULL, false, NULL);
    expect_failure((struct maker){ .next_epoch = 1 }, false, &behind, true, "epoch 1 has fewer than the 6 batches it had");
    expect_failure((struct maker){ .fault = FAULT_SAYS_SO }, true, &within, true,
                   "the callback cannot seek epoch 1, batch 2: it is not there");
    expect_failure((struct maker){ .next_epoch = 1 }, false, &last, true, NULL);
    expect_failure((struct maker){ .next_epoch = 2 }, false, &after, true, NULL);
}

/* ---- both ---------------------------------------------------------------------------------------------------- */

static void labels_only_to_predict(void **unused)
{
    (void)unused;
    struct maker maker = { .no_label = true };
    pil_dataset *dataset = new_callback(&maker, false, 1);
    struct model model = callback_model(dataset);
    struct feed_options options = feed_dataset(dataset, 0);
    pil_status status = { 0 };
    assert_int_equal(batches_until(&model, &options, 1, 1, &status, NULL), 0);
    assert_message(&status, "epoch 0, batch 0: feature 'id' was not given");
    status_clear(&status);
    struct threads *threads = threads_new(1, &status);
    options.targets_optional = true;
    maker = (struct maker){ .no_label = true };
    struct feed *feed = open_feed(&model, &options, threads);
    const struct batch *batch = feed_next(feed, &status);
    assert_non_null(batch);
    assert_true(batch->targets_absent);
    assert_true(tensor_floats(&batch->numbers)[model.target] == 0 && tensor_floats(&batch->numbers)[model.x + 1] == 1);
    feed_close(feed);
    free_model(&model);
    pil_dataset_free(dataset);

    float x[2 * X_WIDTH] = { 1, 2, 3, 4, 5, 6 };
    const char *const words[] = { "a", "b" };
    dataset = pil_dataset_from_arrays(
        PIL_ARRAYS({ "x", .floats = x, .rows = 2, .shape = { X_WIDTH } }, { "word", .strings = words, .rows = 2 }), false);
    model = new_model(false);
    options = feed_dataset(dataset, 0);
    assert_int_equal(batches_until(&model, &options, 1, 1, &status, NULL), 0);
    assert_message(&status, "there is no feature 'id'");
    status_clear(&status);
    options.targets_optional = true;
    feed = open_feed(&model, &options, threads);
    assert_int_equal(feed_rows(feed), 2);
    batch = feed_next(feed, &status);
    assert_non_null(batch);
    assert_true(batch->targets_absent);
    assert_int_equal(batch->rows, 2);
    feed_close(feed);
    free_model(&model);
    pil_dataset_free(dataset);
    threads_free(threads);
}

/* The raw rows of a batch, as predict keeps them; and a row of an array that is no good is named by its number. */
static void raw_rows_are_kept(void **unused)
{
    (void)unused;
    pil_status status = { 0 };
    struct threads *threads = threads_new(2, &status);
    pil_dataset_from_arrays_options asked = pil_dataset_from_arrays_options_default();
    asked.batch_size = 700;
    struct rows rows = new_rows(3000, asked);
    struct model model = new_model(false);
    struct feed_options options = feed_dataset(rows.dataset, 7);
    options.keep_fields = true;
    struct feed *feed = open_feed(&model, &options, threads);
    int64_t n = 0;
    for (const struct batch *batch; (batch = feed_next(feed, &status)) != NULL;) {
        const struct field *word = &batch->fields->fields[fields_find(batch->fields, "word")];
        run_jobs(feed, threads, 1, n);
        for (int64_t i = 0; i < batch->rows; i++, n++) {
            assert_true(slice_is(word->texts[i], rows.words[n]));
            assert_int_equal(batch->fields->lines[i], n);
        }
    }
    assert_int_equal(n, 3000);
    feed_close(feed);
    threads_free(threads);

    rows.words[2222] = NULL; /* no value: no id */
    rows.x[6] = (float)NAN;  /* a number like others */
    options = feed_dataset(rows.dataset, 7);
    assert_int_equal(batches_until(&model, &options, 2, 1, &status, NULL), 5);
    free_model(&model);

    pil_columns *c = pil_columns_new();
    model = (struct model){ .columns = c, .program = program_new(&(struct program_options){ 0 }, &status) };
    program_dense(model.program, "x", 4, &status);
    assert_true(program_dataset(model.program, rows.dataset, &status) && program_finish(model.program, &status));
    assert_int_equal(batches_until(&model, &options, 2, 1, &status, NULL), 0);
    assert_string_equal(status.message, "row 0: field 'x': the cell has 3 numbers, the model takes 4");
    free_model(&model);
    free_rows(&rows);
}

static void a_datasets_error_is_the_feeds(void **unused)
{
    (void)unused;
    struct model model = new_model(false);
    pil_dataset *dataset = pil_dataset_from_arrays(PIL_ARRAYS({ "x", .rows = 3 }), false);
    struct feed_options options = feed_dataset(dataset, 0);
    pil_status status;
    assert_int_equal(batches_until(&model, &options, 1, 0, &status, NULL), 0);
    assert_message(&status, "pil_dataset_from_arrays: feature 'x' has no values");
    pil_dataset_free(dataset);

    const char *path = write_csv("data.csv", 333);
    dataset = pil_csv_dataset(PIL_WORDS(path), 50, .shuffle_buffer_size = 40, .num_epochs = 2);
    options = feed_dataset(dataset, 7);
    options.group = true;
    compare(&model, &options, 333, INT64_MAX, 2, 1);
    pil_dataset_free(dataset);
    free_model(&model);
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

static void second_pass_allocates_nothing(void **unused)
{
    (void)unused;
    struct model model = new_model(false);
    for (int way = 0; way < 6; way++) {
        pil_status status = { 0 };
        pil_dataset_from_arrays_options asked = pil_dataset_from_arrays_options_default();
        asked.num_epochs = 0;
        asked.shuffle = way % 3 == 1;
        struct rows rows = new_rows(2000, asked);
        struct threads *threads = threads_new(1, &status);
        struct feed_options options = feed_dataset(rows.dataset, 7);
        options.group = true;
        options.cache_bytes = way % 3 == 2 ? 1 : 0;
        struct feed *feed = open_feed(&model, &options, threads);
        uint64_t before = 0;
        for (int64_t n = 0; n < 200; n++) {
            assert_non_null(feed_next(feed, &status));
            run_jobs(feed, threads, way / 3, n);
            if (n == 80)
                before = mem_allocations();
        }
        if (mem_allocations() != before)
            fail_msg("way %d allocates", way);
        feed_close(feed);
        threads_free(threads);
        free_rows(&rows);
    }
    free_model(&model);
}

/* Each allocation fails once. */
static void memory_runs_out(void **unused)
{
    (void)unused;
    pil_status ignored = { 0 };
    struct threads *threads = threads_new(1, &ignored);
    pil_dataset_from_arrays_options asked = pil_dataset_from_arrays_options_default();
    asked.shuffle = true;
    struct rows rows = new_rows(900, asked);
    for (int way = 0; way < 4; way++) {
        struct maker maker;
        pil_dataset *dataset = way % 2 ? new_callback(&maker, false, 2) : rows.dataset;
        struct model model = way % 2 ? callback_model(dataset) : new_model(false);
        int64_t whole = 0, n = 0;
        for (bool reached = true; reached; n++) {
            pil_status status = { 0 };
            int64_t dealt = 0;
            maker = (struct maker){ 0 };
            failing_start(n, false);
            struct feed_options options = feed_dataset(dataset, 0);
            struct feed *feed = feed_open(model.program, &options, threads, &status);
            const struct batch *batch;
            while (feed != NULL && (batch = feed_next(feed, &status)) != NULL) {
                dealt += batch->rows;
                run_jobs(feed, threads, way / 2, 0);
            }
            feed_close(feed);
            assert_int_equal(failing_live, 0);
            reached = failing_stop();
            if (reached && status_ok(&status))
                whole = whole != 0 ? whole : dealt;
            assert_true(status.code == PIL_NO_MEMORY || (status_ok(&status) && (whole == 0 || dealt == whole)));
        }
        assert_true(n > 20);
        free_model(&model);
        if (way % 2)
            pil_dataset_free(dataset);
    }
    free_rows(&rows);
    threads_free(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_in_every_way),
        cmocka_unit_test(arrays_resume),
        cmocka_unit_test(callbacks_in_every_way),
        cmocka_unit_test(callbacks_resume),
        cmocka_unit_test(callbacks_fail),
        cmocka_unit_test(callbacks_end_early),
        cmocka_unit_test(labels_only_to_predict),
        cmocka_unit_test(raw_rows_are_kept),
        cmocka_unit_test(a_datasets_error_is_the_feeds),
        cmocka_unit_test(second_pass_allocates_nothing),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
