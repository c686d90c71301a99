/* SPDX-License-Identifier: Apache-2.0 */
/* The order of rows: what a shuffle with a buffer may and may not do, and that a stopped run goes on as if it had not been. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "input/input.h"

enum { LIMIT = 4096 };

static struct order *new_order(int64_t shuffle, int64_t batch, int64_t epochs, const struct cursor *from)
{
    pil_status status = { 0 };
    struct order_options options = { .seed = 7, .shuffle = shuffle, .batch_size = batch, .epochs = epochs };
    struct order *order = order_new(&options, from, &status);
    assert_non_null(order);
    return order;
}

/* A reader that knows `step` rows more each time it is asked, of `rows` in all. */
struct reader {
    int64_t rows, known, step;
    bool complete;
};

static enum order_result next_batch(struct order *order, struct reader *reader, struct order_row *rows, int64_t *count)
{
    pil_status status = { 0 };
    for (;;) {
        int64_t need;
        enum order_result result = order_next(order, reader->known, reader->complete, rows, count, &need, &status);
        assert_int_not_equal(result, ORDER_FAILED);
        if (result != ORDER_NEED_ROWS)
            return result;
        assert_false(reader->complete);
        assert_true(need > reader->known);
        reader->known = MIN(reader->known + reader->step, reader->rows);
        reader->complete = reader->known == reader->rows;
    }
}

/* All rows of `epochs` epochs in one list; batches end where `ends` says. */
static int64_t all_rows(int64_t n, int64_t shuffle, int64_t batch, int64_t epochs, int64_t step, struct order_row *rows)
{
    struct order *order = new_order(shuffle, batch, epochs, NULL);
    struct reader reader = { .rows = n, .step = step };
    int64_t total = 0, count;
    while (next_batch(order, &reader, rows + total, &count) == ORDER_BATCH) {
        assert_true(count == batch || total + count == n * epochs);
        total += count;
    }
    order_free(order);
    return total;
}

static const struct setting {
    int64_t rows, shuffle, batch;
} settings[] = {
    { 1, 0, 1 },     { 1, 5, 3 },      { 10, 0, 3 },    { 10, 1, 3 },      { 10, 2, 3 },     { 10, 9, 4 },
    { 10, 10, 4 },   { 10, 11, 4 },    { 10, 1000, 4 }, { 100, 7, 32 },    { 100, 30, 100 }, { 100, 30, 64 },
    { 97, 96, 250 }, { 300, 100, 20 }, { 300, 299, 7 }, { 300, 1000, 16 },
};

/* Every row once an epoch; no row before it can have been in the buffer; slots as promised. */
static void each_row_once(void **unused)
{
    (void)unused;
    static struct order_row rows[LIMIT];
    for (size_t s = 0; s < COUNT_OF(settings); s++) {
        const struct setting *set = &settings[s];
        int64_t epochs = 3, hold = MIN(set->shuffle > 1 ? set->shuffle : 0, set->rows);
        int64_t total = all_rows(set->rows, set->shuffle, set->batch, epochs, set->rows, rows);
        assert_int_equal(total, set->rows * epochs);
        int seen[LIMIT] = { 0 };
        int64_t held[LIMIT];
        for (int64_t g = 0; g < hold; g++)
            held[g] = g;
        for (int64_t g = 0; g < total; g++) {
            assert_int_equal(rows[g].epoch, g / set->rows);
            assert_in_range(rows[g].row, 0, set->rows - 1);
            assert_int_equal(seen[rows[g].row]++, g / set->rows);
            if (hold == 0) {
                assert_int_equal(rows[g].row, g % set->rows);
                continue;
            }
            assert_true(rows[g].row <= g % set->rows + hold - 1);
            assert_in_range(rows[g].slot, 0, hold - 1);
            assert_int_equal(held[rows[g].slot], rows[g].epoch * set->rows + rows[g].row);
            held[rows[g].slot] = g + hold;
        }
    }
}

static void known_rows_do_not_matter(void **unused)
{
    (void)unused;
    static struct order_row expected[LIMIT], rows[LIMIT];
    for (size_t s = 0; s < COUNT_OF(settings); s++) {
        const struct setting *set = &settings[s];
        int64_t total = all_rows(set->rows, set->shuffle, set->batch, 3, set->rows, expected);
        for (int64_t step = 1; step < 40; step += 6) {
            assert_int_equal(all_rows(set->rows, set->shuffle, set->batch, 3, step, rows), total);
            assert_memory_equal(rows, expected, (size_t)total * sizeof(rows[0]));
        }
    }
}

/* From every cursor of an endless run: the same rows follow, whether the feed replays or the order does. */
static void resume_at_every_batch(void **unused)
{
    (void)unused;
    static struct order_row expected[LIMIT], rows[LIMIT];
    for (size_t s = 0; s < COUNT_OF(settings); s++) {
        const struct setting *set = &settings[s];
        int64_t batches = 3 * set->rows / set->batch + 4, count, need;
        struct order *order = new_order(set->shuffle, set->batch, 0, NULL);
        struct reader reader = { .rows = set->rows, .step = 3 };
        struct cursor cursors[LIMIT];
        for (int64_t b = 0; b < batches; b++) {
            cursors[b] = order_cursor(order);
            assert_int_equal(next_batch(order, &reader, expected + b * set->batch, &count), ORDER_BATCH);
            assert_int_equal(count, set->batch);
        }
        order_free(order);
        for (int64_t b = 0; b < batches; b++) {
            order = new_order(set->shuffle, set->batch, 0, &cursors[b]);
            reader = (struct reader){ .rows = set->rows, .step = 1 + b % 5 };
            assert_int_equal(order_cursor(order).emitted, cursors[b].emitted);
            pil_status status = { 0 };
            while (b % 2 == 0 && order_behind(order) > 0) {
                enum order_result result = order_replay(order, reader.known, reader.complete, 5, rows, &count, &need, &status);
                if (result == ORDER_NEED_ROWS) {
                    reader.known = MIN(reader.known + 3, reader.rows);
                    reader.complete = reader.known == reader.rows;
                }
            }
            for (int64_t c = b; c < batches; c++) {
                assert_int_equal(next_batch(order, &reader, rows, &count), ORDER_BATCH);
                for (int64_t i = 0; i < count; i++) {
                    assert_int_equal(rows[i].row, expected[c * set->batch + i].row);
                    assert_int_equal(rows[i].epoch, expected[c * set->batch + i].epoch);
                }
                struct cursor after = order_cursor(order);
                assert_true(c + 1 == batches || (after.epoch == cursors[c + 1].epoch && after.emitted == cursors[c + 1].emitted));
            }
            order_free(order);
        }
    }
}

/* TensorFlow: 600 rows, 32 a batch, without end: the 19th batch holds the last 24 and the first 8. */
static void batches_run_across_the_end(void **unused)
{
    (void)unused;
    struct order *order = new_order(0, 32, 0, NULL);
    struct reader reader = { .rows = 600, .step = 100 };
    struct order_row rows[32];
    int64_t count;
    for (int batch = 0; batch < 19; batch++)
        assert_int_equal(next_batch(order, &reader, rows, &count), ORDER_BATCH);
    assert_int_equal(rows[23].row, 599);
    assert_int_equal(rows[24].row, 0);
    assert_int_equal(rows[24].epoch, 1);
    assert_int_equal(rows[31].row, 7);
    assert_int_equal(order_cursor(order).epoch, 1);
    assert_int_equal(order_cursor(order).emitted, 8);
    order_free(order);
}

static void skip_passes_batches_over(void **unused)
{
    (void)unused;
    pil_status status = { 0 };
    struct order_options options = { .seed = 7, .shuffle = 13, .batch_size = 8, .skip = 11 };
    struct order *order = order_new(&options, NULL, &status);
    assert_non_null(order);
    struct reader reader = { .rows = 50, .step = 9 };
    static struct order_row expected[LIMIT];
    struct order_row rows[8];
    int64_t count;
    all_rows(50, 13, 8, 5, 50, expected);
    assert_int_equal(next_batch(order, &reader, rows, &count), ORDER_BATCH);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(rows[i].epoch, expected[88 + i].epoch);
        assert_int_equal(rows[i].row, expected[88 + i].row);
    }
    order_free(order);
}

static void ends(void **unused)
{
    (void)unused;
    struct order_row rows[8];
    int64_t count;
    struct reader none = { .rows = 0, .step = 1 };
    struct order *order = new_order(10, 8, 0, NULL);
    assert_int_equal(next_batch(order, &none, rows, &count), ORDER_END);
    order_free(order);

    const struct cursor beyond = { .epoch = 2 }, last = { .epoch = 1, .emitted = 20 };
    struct reader reader = { .rows = 20, .step = 20 };
    order = new_order(10, 8, 2, &beyond);
    assert_int_equal(next_batch(order, &reader, rows, &count), ORDER_END);
    order_free(order);
    order = new_order(10, 8, 2, &last);
    assert_int_equal(next_batch(order, &reader, rows, &count), ORDER_END);
    order_free(order);
}

static void bad_arguments(void **unused)
{
    (void)unused;
    const struct order_options bad[] = {
        { .batch_size = 0 },
        { .batch_size = 1, .shuffle = -1 },
        { .batch_size = 1, .epochs = -1 },
        { .batch_size = 1, .skip = -1 },
        { .batch_size = 1 << 30, .skip = INT64_MAX / 4 },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        pil_status status = { 0 };
        assert_null(order_new(&bad[i], NULL, &status));
        assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    }
    const struct order_options good = { .batch_size = 1 };
    const struct cursor from = { .epoch = 0, .emitted = -1 };
    pil_status status = { 0 };
    assert_null(order_new(&good, &from, &status));
    assert_int_equal(status.code, PIL_BAD_DATA);
}

/* Draws are uniform: where does row 0 of 4 go over many seeds; and epochs differ. */
static void draws_are_uniform(void **unused)
{
    (void)unused;
    int at[4][4] = { { 0 } }, same = 0;
    enum { SEEDS = 4000 };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        pil_status status = { 0 };
        struct order_options options = { .seed = seed, .shuffle = 4, .batch_size = 4 };
        struct order *order = order_new(&options, NULL, &status);
        assert_non_null(order);
        struct order_row first[4], second[4];
        int64_t count, need;
        assert_int_equal(order_next(order, 4, true, first, &count, &need, &status), ORDER_BATCH);
        assert_int_equal(order_next(order, 4, true, second, &count, &need, &status), ORDER_BATCH);
        bool equal = true;
        for (int i = 0; i < 4; i++) {
            at[first[i].row][i]++;
            equal = equal && first[i].row == second[i].row;
        }
        same += equal;
        order_free(order);
    }
    /* 1,000 each, standard deviation 27; 1 of 24 orders repeats: 167, deviation 13. */
    for (int row = 0; row < 4; row++)
        for (int i = 0; i < 4; i++)
            assert_in_range(at[row][i], 865, 1135);
    assert_in_range(same, 102, 232);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_once),
        cmocka_unit_test(known_rows_do_not_matter),
        cmocka_unit_test(resume_at_every_batch),
        cmocka_unit_test(skip_passes_batches_over),
        cmocka_unit_test(batches_run_across_the_end),
        cmocka_unit_test(ends),
        cmocka_unit_test(bad_arguments),
        cmocka_unit_test(draws_are_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
