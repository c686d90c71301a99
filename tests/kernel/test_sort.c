/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of equal ids against qsort, over both ways to sort, with ids of -1, ragged rows and slices of a batch. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "kernel/kernel.h"

struct record {
    int32_t id, entry, row;
};

static int compare_records(const void *a, const void *b)
{
    const struct record *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->entry > y->entry) - (x->entry < y->entry);
}

/* The records of a slice that have an id, sorted; returns their number. */
static int64_t sort_slowly(const struct sparse *ids, struct record *records)
{
    int64_t n = 0, base = ids->offsets ? ids->offsets[0] : 0;
    for (int64_t r = 0; r < ids->rows; r++) {
        int64_t first = ids->offsets ? ids->offsets[r] : r, end = ids->offsets ? ids->offsets[r + 1] : r + 1;
        for (int64_t e = first; e < end; e++)
            if (ids->ids[e] >= 0)
                records[n++] = (struct record){ ids->ids[e], (int32_t)(e - base), (int32_t)r };
    }
    qsort(records, (size_t)n, sizeof *records, compare_records);
    return n;
}

static void check_groups(const struct sparse *ids, int64_t limit)
{
    size_t n = (size_t)ids->entries;
    /* exactly what sort_scratch and sort_memory ask for, so that the address sanitizer sees a byte too many */
    void *scratch = malloc(sort_scratch(ids->entries)), *memory = malloc(sort_memory(ids->entries));
    struct record *records = malloc((n + 1) * sizeof *records);
    struct groups groups;
    assert_true(scratch && memory && records);
    int64_t kept = sort_slowly(ids, records);
    sort_groups(ids, limit, scratch, memory, &groups);

    int64_t group = -1;
    for (int64_t i = 0; i < kept; i++) {
        if (i == 0 || records[i].id != records[i - 1].id) {
            group++;
            assert_true(group < groups.count);
            assert_int_equal(groups.ids[group], records[i].id);
            assert_int_equal(groups.starts[group], i);
        }
        assert_int_equal(groups.entries[i], records[i].entry);
        assert_int_equal(groups.rows[i], records[i].row);
    }
    assert_int_equal(groups.count, group + 1);
    assert_int_equal(groups.starts[groups.count], kept);
    free(scratch);
    free(memory);
    free(records);
}

/* n ids below limit, in runs of equal ids now and then; one in `missing` is -1 (0: none). */
static int32_t *make_ids(int64_t n, int64_t limit, int missing, uint64_t seed)
{
    struct random_key key = random_key(seed, "ids");
    int32_t *ids = malloc((size_t)MAX(n, 1) * sizeof *ids);
    assert_non_null(ids);
    for (int64_t i = 0; i < n; i++) {
        ids[i] = (int32_t)random_below(key, 0, (uint64_t)i, (uint64_t)limit);
        if (i > 0 && random_below(key, 1, (uint64_t)i, 4) == 0)
            ids[i] = ids[i - 1];
        if (missing && random_below(key, 2, (uint64_t)i, (uint64_t)missing) == 0)
            ids[i] = -1;
    }
    return ids;
}

static void single_valued(void **state)
{
    (void)state;
    static const int64_t sizes[] = { 0, 1, 2, 3, 20, 64, 333, 512, 2048, 5000 };
    static const int64_t limits[] = { 1, 2, 24, 128, 1000, 2049, 4095, 8192, 100000, 1000003, 1 << 24, INT32_MAX };
    static const int missing[] = { 0, 1, 2, 10 }; /* 1: every id is -1 */
    for (size_t s = 0; s < COUNT_OF(sizes); s++)
        for (size_t l = 0; l < COUNT_OF(limits); l++)
            for (size_t m = 0; m < COUNT_OF(missing); m++) {
                int32_t *ids = make_ids(sizes[s], limits[l], missing[m], s * 100 + l);
                struct sparse sparse = { .rows = sizes[s], .entries = sizes[s], .ids = ids };
                check_groups(&sparse, limits[l]);
                free(ids);
            }
}

/* The largest and the smallest id, in every order of digits. */
static void extreme_ids(void **state)
{
    (void)state;
    const int32_t ids[] = { INT32_MAX - 1, 0, -1, INT32_MAX - 1, 1, 0, 1 << 30, (1 << 30) - 1, 0x2aaaaaaa, 0x15555555, -1, 0 };
    struct sparse sparse = { .rows = COUNT_OF(ids), .entries = COUNT_OF(ids), .ids = ids };
    check_groups(&sparse, INT32_MAX);
}

static void ragged(void **state)
{
    (void)state;
    enum { ROWS = 400 };
    static const int64_t limits[] = { 3, 700, 50000 };
    for (size_t l = 0; l < COUNT_OF(limits); l++) {
        int64_t offsets[ROWS + 1] = { 0 };
        for (int64_t r = 0; r < ROWS; r++) /* 0 to 5 entries */
            offsets[r + 1] = offsets[r] + (int64_t)random_below(random_key(5, "lengths"), l, (uint64_t)r, 6);
        int32_t *ids = make_ids(offsets[ROWS], limits[l], 7, l);
        struct sparse whole = { .rows = ROWS, .entries = offsets[ROWS], .offsets = offsets, .ids = ids };
        check_groups(&whole, limits[l]);
        struct sparse slice = { .rows = 64, .entries = offsets[164] - offsets[100], .offsets = offsets + 100, .ids = ids };
        check_groups(&slice, limits[l]);
        struct sparse none = { .rows = 0, .entries = 0, .offsets = offsets + 7, .ids = ids };
        check_groups(&none, limits[l]);
        free(ids);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(single_valued), cmocka_unit_test(extreme_ids),
                                        cmocka_unit_test(ragged) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
