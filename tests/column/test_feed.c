/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed against its definition: the rows that order_next deals when all are known, each made by a formula of its number.
 * The same for every mixture of cache, shuffle, threads, jobs and batch size; from every cursor; with errors at the batch
 * that needs the bad row.
 */
#include "feeds.h"

#include "failing.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_batches_in_every_way),
        cmocka_unit_test(resume_from_every_cursor),
        cmocka_unit_test(second_pass_allocates_nothing),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
