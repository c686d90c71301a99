/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds that read no file. Arrays against the order, as files are: the same rows in the same batches whatever the way. Callbacks:
 * each of their batches is one of the feed's, from every cursor, with and without a seek; what they do wrong is told at the batch
 * where they do it.
 */
#include "feeds.h"

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
    { 1, 1, 3, 0, 0 },      { 1, 3, 0, -1, 0 },      { 10, 4, 0, 0, 0 },        { 10, 4, 2, -1, 0 },    { 10, 25, 0, -1, 0 },
    { 10, 25, 0, -1, 1 },   { 5000, 64, 1, 0, 0 },   { 5000, 64, 3, -1, 0 },    { 5000, 64, 3, -1, 1 }, { 5000, 20, 0, 0, 1 },
    { 5000, 20, 1, 0, 0 },  { 5000, 512, 0, 0, 0 },  { 5000, 512, 0, 100, 0 },  { 5000, 512, 0, 100, 1 },
    { 9000, 64, 2, -1, 0 }, { 9000, 20000, 0, 0, 1 }, { 9000, 20000, 0, -1, 0 },
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_in_every_way),
        cmocka_unit_test(arrays_resume),
    };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
