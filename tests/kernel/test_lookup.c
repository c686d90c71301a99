/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lookups: TensorFlow's safe_embedding_lookup_sparse, output and table's gradient; then every level on all widths, combiners,
 * weights and forms of ids against sums in double, with sentinels around what may be written; AVX2 and AVX-512 bit by bit.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/kernel.h"

#include "kernel/golden.h"

static const char *const level_names[] = { "c", "avx2", "avx512" };
enum { LEVELS = COUNT_OF(level_names) };

static enum combiner combiner_of(struct slice name)
{
    return slice_is(name, "mean") ? COMBINER_MEAN : slice_is(name, "sqrtn") ? COMBINER_SQRTN : COMBINER_SUM;
}

/* ---- golden ---- */

enum { MOST_ROWS = 16, DIM = 3, STRIDE = 4 };
struct fixture {
    struct sparse ids;
    int64_t offsets[MOST_ROWS + 1];
    int32_t id[8 * MOST_ROWS];
    float weight[8 * MOST_ROWS];
    float table[MOST_ROWS * STRIDE]; /* pads zero */
    int64_t table_rows;
    enum combiner combiner;
    float max_norm;
};

static void read_fixture(const struct json_value *item, struct fixture *f)
{
    struct json_value ids = golden_get(item, "ids"), weights = golden_get(item, "weights"), table = golden_get(item, "table"),
                      row, id;
    memset(f, 0, sizeof *f);
    f->combiner = combiner_of(golden_get(item, "combiner").text);
    f->max_norm = golden_number(item, "max_norm", 0);
    f->table_rows = golden_rows(&table, f->table, STRIDE, NULL);
    f->ids = (struct sparse){ .offsets = f->offsets, .ids = f->id, .weights = weights.kind == JSON_LIST ? f->weight : NULL };
    for (struct json_walk walk = json_children(&ids); json_next(&walk, NULL, &row);) {
        for (struct json_walk each = json_children(&row); json_next(&each, NULL, &id);)
            f->id[f->ids.entries++] = (int32_t)id.integer;
        f->offsets[++f->ids.rows] = f->ids.entries;
    }
    int64_t entry = 0;
    if (f->ids.weights)
        for (struct json_walk walk = json_children(&weights); json_next(&walk, NULL, &row); entry += (int64_t)row.count)
            assert_true(json_floats(&row, f->weight + entry));
}

static void check_forward(const struct kernels *kernels, const struct fixture *f, const struct json_value *item)
{
    float out[MOST_ROWS * DIM], want[MOST_ROWS * DIM];
    struct json_value output = golden_get(item, "output");
    assert_int_equal(golden_rows(&output, want, DIM, NULL), f->ids.rows);
    kernels->lookup(&(struct lookup){ .table = f->table,
                                      .stride = STRIDE,
                                      .dim = DIM,
                                      .table_rows = f->table_rows,
                                      .ids = &f->ids,
                                      .combiner = f->combiner,
                                      .max_norm = f->max_norm,
                                      .out = out,
                                      .ld = DIM });
    assert_true(golden_error(out, want, f->ids.rows * DIM, 0.1) < 2e-6);
}

/* The gradient of the table: coefficients, groups, sums through max_norm. */
static void check_gradient(const struct kernels *kernels, const struct fixture *f, const struct json_value *item)
{
    float gradient[MOST_ROWS * DIM], want[MOST_ROWS * DIM], out[MOST_ROWS * DIM] = { 0 }, coefficient[8 * MOST_ROWS];
    uint64_t scratch[8192], memory[512];
    struct groups groups;
    struct json_value output = golden_get(item, "output_grad"), table = golden_get(item, "table_grad");
    golden_rows(&output, gradient, DIM, NULL);
    golden_rows(&table, want, DIM, NULL);
    assert_true(sort_scratch(f->ids.entries) <= sizeof scratch && sort_memory(f->ids.entries) <= sizeof memory);
    kernels->coefficients(&(struct coefficients){ .ids = &f->ids, .combiner = f->combiner, .out = coefficient });
    sort_groups(&f->ids, f->table_rows, scratch, memory, &groups);
    struct update_rows call = { .table = (float *)f->table,
                                .stride = STRIDE,
                                .slot_stride = STRIDE,
                                .dim = DIM,
                                .groups = &groups,
                                .count = groups.count,
                                .gradient = gradient,
                                .gradient_ld = DIM,
                                .coefficient = coefficient,
                                .max_norm = f->max_norm };
    kernels->sum_groups(&call, out, DIM);
    assert_true(golden_error(out, want, f->table_rows * DIM, 0.1) < 2e-6);
}

static void golden_lookups(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    static struct fixture f;
    int count = 0;
    assert_true(golden_open(&golden, "tests/golden/embedding_lookup.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        read_fixture(&item, &f);
        for (int level = 0; level < LEVELS; level++) {
            const struct kernels *kernels = kernel_level(level_names[level]);
            if (!kernels)
                continue;
            check_forward(kernels, &f, &item);
            check_gradient(kernels, &f, &item);
        }
    }
    assert_true(count >= 12);
    golden_close(&golden);
}

/* ---- levels against sums in double ---- */

struct trial {
    int64_t rows, dim, stride, ld;
    int64_t table_rows, claimed_rows; /* a table that is said to be large is prefetched */
    struct sparse ids;
    float *table;
    enum combiner combiner;
    float max_norm;
    bool accumulate;
    uint64_t seed;
};

static double scale_of(const struct trial *t, const float *row)
{
    double square = 0;
    for (int64_t c = 0; c < t->dim; c++)
        square += (double)row[c] * row[c];
    return t->max_norm > 0 && sqrt(square) > t->max_norm ? t->max_norm / sqrt(square) : 1;
}

/* One row of the result, and its entries' coefficients. */
static void combine_slowly(const struct trial *t, int64_t first, int64_t end, double *out, double *coefficient)
{
    double divisor = 0;
    for (int64_t e = first; e < end; e++) {
        double w = t->ids.weights ? t->ids.weights[e] : 1;
        bool dropped = t->ids.ids[e] < 0 || (t->combiner != COMBINER_SUM && w <= 0);
        coefficient[e - first] = dropped ? 0 : w;
        divisor += coefficient[e - first] * (t->combiner == COMBINER_SQRTN ? coefficient[e - first] : 1);
    }
    divisor = t->combiner == COMBINER_SUM || divisor == 0 ? 1 : t->combiner == COMBINER_MEAN ? divisor : sqrt(divisor);
    for (int64_t e = first; e < end; e++) {
        coefficient[e - first] /= divisor;
        if (t->ids.ids[e] < 0)
            continue;
        const float *row = t->table + t->ids.ids[e] * t->stride;
        double factor = coefficient[e - first] * scale_of(t, row);
        for (int64_t c = 0; c < t->dim; c++)
            out[c] += factor * row[c];
    }
}

static const float sentinel = -7.25f;

/* The result of a level inside a wider block; everything else of the block keeps its sentinel. */
static float *run_level(const struct kernels *kernels, const struct trial *t)
{
    size_t floats = (size_t)(t->rows * t->ld + 1);
    float *block = malloc(floats * sizeof(float)), *out = block + 1;
    assert_non_null(block);
    for (size_t i = 0; i < floats; i++)
        block[i] = sentinel;
    kernels->lookup(&(struct lookup){ .table = t->table,
                                      .stride = t->stride,
                                      .dim = t->dim,
                                      .table_rows = t->claimed_rows,
                                      .ids = &t->ids,
                                      .combiner = t->combiner,
                                      .max_norm = t->max_norm,
                                      .accumulate = t->accumulate,
                                      .out = out,
                                      .ld = t->ld });
    assert_true(block[0] == sentinel);
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t c = t->dim; c < t->ld; c++)
            assert_true(out[r * t->ld + c] == sentinel);
    return block;
}

static void check_level(const struct kernels *kernels, const struct trial *t, const float *out)
{
    double want[512], exact[64];
    float *coefficient = malloc((size_t)MAX(t->ids.entries, 1) * sizeof(float));
    assert_non_null(coefficient);
    kernels->coefficients(&(struct coefficients){ .ids = &t->ids, .combiner = t->combiner, .out = coefficient });
    int64_t base = t->ids.offsets ? t->ids.offsets[0] : 0;
    for (int64_t r = 0; r < t->rows; r++) {
        int64_t first = t->ids.offsets ? t->ids.offsets[r] : r, end = t->ids.offsets ? t->ids.offsets[r + 1] : r + 1;
        memset(want, 0, sizeof want);
        assert_true(end - first <= (int64_t)COUNT_OF(exact) && t->dim <= (int64_t)COUNT_OF(want));
        combine_slowly(t, first, end, want, exact);
        for (int64_t c = 0; c < t->dim; c++)
            assert_true(fabs(out[r * t->ld + c] - want[c] - (t->accumulate ? sentinel : 0)) < 4e-6 * (1 + fabs(want[c])));
        for (int64_t e = first; e < end; e++)
            assert_true(fabs(coefficient[e - base] - exact[e - first]) <= 1e-6 * fabs(exact[e - first]));
    }
    free(coefficient);
}

static void try_lookup(const struct trial *t)
{
    float *blocks[LEVELS] = { NULL };
    for (int level = 0; level < LEVELS; level++) {
        const struct kernels *kernels = kernel_level(level_names[level]);
        if (!kernels)
            continue;
        blocks[level] = run_level(kernels, t);
        check_level(kernels, t, blocks[level] + 1);
    }
    if (blocks[1] && blocks[2])
        assert_memory_equal(blocks[1], blocks[2], (size_t)(t->rows * t->ld + 1) * sizeof(float));
    for (int level = 0; level < LEVELS; level++)
        free(blocks[level]);
}

/* Ids (single-valued, or up to 5 a row and now and then a row of 60) and weights, some not above 0. */
static void make_ids(struct trial *t, bool ragged, bool weighted)
{
    struct random_key key = random_key(t->seed, "lookup");
    int64_t *offsets = malloc((size_t)(t->rows + 3) * sizeof *offsets);
    assert_non_null(offsets);
    offsets[0] = 0;
    for (int64_t r = 0; r < t->rows + 2; r++) {
        int64_t n = (int64_t)random_below(key, 0, (uint64_t)r, 6);
        offsets[r + 1] = offsets[r] + (r % 16 == 7 ? 60 : n);
    }
    int64_t entries = ragged ? offsets[t->rows + 2] : t->rows;
    int32_t *ids = malloc((size_t)entries * sizeof *ids);
    float *weights = malloc((size_t)entries * sizeof *weights);
    assert_true(ids && weights);
    for (int64_t e = 0; e < entries; e++) {
        ids[e] = (int32_t)random_below(key, 1, (uint64_t)e, (uint64_t)t->table_rows + 2) - 2;
        if (ids[e] < -1)
            ids[e] = -1;
        weights[e] = 2 * random_uniform(key, 2, (uint64_t)e) - 0.5f;
    }
    t->ids = (struct sparse){ .rows = t->rows, .entries = entries, .ids = ids, .weights = weights };
    if (ragged) { /* a slice: two rows stand before it */
        t->ids.offsets = offsets + 2;
        t->ids.entries = offsets[t->rows + 2] - offsets[2];
    } else {
        free(offsets);
    }
    if (!weighted) {
        free(weights);
        t->ids.weights = NULL;
    }
}

static void free_ids(struct trial *t)
{
    free((void *)t->ids.ids);
    free((void *)t->ids.weights);
    if (t->ids.offsets)
        free((void *)(t->ids.offsets - 2));
}

static void levels(void **state)
{
    (void)state;
    static const int64_t dims[] = { 1, 2, 3, 4, 5, 7, 8, 10, 12, 15, 16, 17, 24, 31, 33, 64, 70, 130, 300 };
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        struct trial t = { .rows = 40, .dim = dims[d], .table_rows = 30, .ld = dims[d] + 3 };
        int64_t padded = t.dim == 1 ? 1 : (t.dim + 3) / 4 * 4;
        t.stride = 2 * padded; /* a slot beside the weights */
        t.table = malloc((size_t)(t.table_rows * t.stride) * sizeof(float));
        assert_non_null(t.table);
        random_fill_normal(random_key(d, "table"), t.table, 0, t.table_rows * t.stride, 0, 1);
        for (int form = 0; form < 96; form++) {
            t.combiner = (enum combiner)(form % 3);
            t.accumulate = form / 12 % 2;
            t.max_norm = form / 24 % 2 ? 0.8f * sqrtf((float)t.dim) : 0;
            t.claimed_rows = form / 48 ? t.table_rows : 1000000;
            t.seed = (uint64_t)form;
            make_ids(&t, form / 3 % 2, form / 6 % 2);
            try_lookup(&t);
            free_ids(&t);
        }
        free(t.table);
    }
}

/* A batch without rows, and one without entries: nothing is read. */
static void empty(void **state)
{
    (void)state;
    const int64_t offsets[] = { 0, 0, 0 };
    float out[4] = { 1, 1, 1, 1 };
    for (int level = 0; level < LEVELS; level++) {
        const struct kernels *kernels = kernel_level(level_names[level]);
        if (!kernels)
            continue;
        struct sparse none = { .offsets = offsets }, two = { .rows = 2, .offsets = offsets };
        struct lookup call = { .stride = 4, .dim = 2, .table_rows = 1, .ids = &none, .out = out, .ld = 2 };
        kernels->lookup(&call);
        assert_true(out[0] == 1);
        call.ids = &two;
        kernels->lookup(&call);
        for (int i = 0; i < 4; i++)
            assert_true(out[i] == 0);
        out[0] = 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(golden_lookups), cmocka_unit_test(levels), cmocka_unit_test(empty) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
