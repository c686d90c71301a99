/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loops around the formulas, which test_formula.c compares with TensorFlow on three columns: rows of all widths against the
 * same step on packed arrays (to the bit), what lies between rows, zero pads, the gradient through max_norm, AVX2 against
 * AVX-512.
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

/* ---- rows of every width against packed arrays --------------------------------------------------------------- */

/* Every formula, and the variants that take other paths. */
static struct update variant(int number)
{
    struct update rule = { .rate = 0.05f,
                           .epsilon = 1e-3f,
                           .momentum = 0.9f,
                           .rho = 0.9f,
                           .beta_1 = 0.9f,
                           .beta_2 = 0.99f,
                           .l1 = 0.01f,
                           .l2 = 0.02f,
                           .shrinkage = 0.01f,
                           .beta = 0.1f,
                           .power = -0.5f,
                           .extra = { 0.4f, 0.5f, 0.2f } };
    rule.formula = (enum update_formula)(number % UPDATE_COUNT);
    if (number >= UPDATE_COUNT) { /* the second round */
        rule.nesterov = true;
        rule.power = -0.7f;
        rule.slots_only = rule.formula == UPDATE_NADAM || rule.formula == UPDATE_RMSPROP || rule.formula == UPDATE_RMSPROP_ROOT;
    }
    return rule;
}
enum { VARIANTS = 2 * UPDATE_COUNT, TABLE_ROWS = 70, MOST_ENTRIES = 400, BATCH = 30 };

/* A table between sentinels, groups of 0 to 9 entries, gradients and coefficients of few bits, so that their sums are exact. */
struct trial {
    struct update rule;
    int64_t dim, slot_stride, stride, gradient_ld;
    int slots;
    float *before, *gradient, *coefficient;
    int32_t ids[TABLE_ROWS], starts[TABLE_ROWS + 1], entries[MOST_ENTRIES], rows[MOST_ENTRIES];
    struct groups groups;
};
static const float sentinel = 3.5f;

static void make_groups(struct trial *t, struct random_key key)
{
    int32_t entry = 0;
    t->groups = (struct groups){ .ids = t->ids, .starts = t->starts, .entries = t->entries, .rows = t->rows };
    for (int32_t id = 0; id < TABLE_ROWS; id++) {
        int32_t n = (int32_t)random_below(key, 0, (uint64_t)id, 14) - 4; /* below 0: an unused row */
        if (n < 0)
            continue;
        t->ids[t->groups.count] = id;
        t->starts[t->groups.count++] = entry;
        for (int32_t i = 0; i < n; i++, entry++) {
            t->entries[entry] = MOST_ENTRIES - 1 - entry; /* not what the row says, so that a mix-up shows */
            t->rows[entry] = (int32_t)random_below(key, 1, (uint64_t)entry, BATCH);
        }
    }
    t->starts[t->groups.count] = entry;
}

static void trial_new(struct trial *t, int64_t dim, struct update rule, bool weighted)
{
    struct random_key key = random_key((uint64_t)dim, "update");
    *t = (struct trial){ .rule = rule, .dim = dim, .slots = update_slots(rule.formula), .gradient_ld = dim + 1 };
    t->slot_stride = dim == 1 ? 1 : (dim + 3) / 4 * 4;
    t->stride = t->slot_stride * (1 + t->slots) + (dim > 1 ? 4 : 0);
    size_t floats = (size_t)(TABLE_ROWS * t->stride), entries = MOST_ENTRIES, gradients = (size_t)(BATCH * t->gradient_ld - 1);
    t->before = malloc(floats * sizeof(float));
    t->gradient = malloc(gradients * sizeof(float)); /* ends with the last column of the last row */
    t->coefficient = malloc(entries * sizeof(float));
    assert_true(t->before && t->gradient && t->coefficient);
    for (size_t i = 0; i < floats; i++)
        t->before[i] = sentinel;
    for (int64_t r = 0; r < TABLE_ROWS; r++)
        for (int k = 0; k <= t->slots; k++) { /* weights of both signs, slots above 0, the first above the second's square */
            float low = k == 0 ? -1 : k == 1 ? 1.2f : 0.01f;
            random_fill_uniform(key, t->before + r * t->stride + k * t->slot_stride, (r * 4 + k) * dim, dim, low, k == 1 ? 2 : 1);
        }
    for (size_t i = 0; i < gradients; i++)
        t->gradient[i] = (float)((int)random_below(key, 2, i, 64) - 32) / 64;
    for (size_t e = 0; e < entries; e++)
        t->coefficient[e] = (float)(1 << random_below(key, 3, e, 3)) / 2;
    make_groups(t, key);
    if (!weighted) {
        free(t->coefficient);
        t->coefficient = NULL;
    }
}

static void trial_free(struct trial *t)
{
    free(t->before);
    free(t->gradient);
    free(t->coefficient);
}

static struct update_rows call_of(const struct trial *t, float *table)
{
    return (struct update_rows){ .rule = &t->rule,
                                 .table = table,
                                 .stride = t->stride,
                                 .slot_stride = t->slot_stride,
                                 .dim = t->dim,
                                 .groups = &t->groups,
                                 .count = t->groups.count,
                                 .gradient = t->gradient,
                                 .gradient_ld = t->gradient_ld,
                                 .coefficient = t->coefficient };
}

/* A row stepped as packed arrays; everything else as it was. */
static void step_packed(const struct kernels *kernels, const struct trial *t, float *row, const float *g)
{
    float *packed[UPDATE_MAX_SLOTS + 1] = { NULL };
    struct update_dense call = { .rule = &t->rule, .g = g, .n = t->dim };
    for (int k = 0; k <= t->slots; k++) {
        packed[k] = malloc((size_t)t->dim * sizeof(float));
        assert_non_null(packed[k]);
        memcpy(packed[k], row + k * t->slot_stride, (size_t)t->dim * sizeof(float));
        if (k > 0)
            call.slot[k - 1] = packed[k];
    }
    call.w = packed[0];
    kernels->update_dense(&call);
    for (int k = 0; k <= t->slots; k++) {
        memcpy(row + k * t->slot_stride, packed[k], (size_t)t->dim * sizeof(float));
        free(packed[k]);
    }
}

static float *expected(const struct kernels *kernels, const struct trial *t)
{
    size_t bytes = (size_t)(TABLE_ROWS * t->stride) * sizeof(float);
    float *table = malloc(bytes), *g = malloc((size_t)t->dim * sizeof(float));
    assert_true(table && g);
    memcpy(table, t->before, bytes);
    for (int64_t j = 0; j < t->groups.count; j++) {
        for (int64_t c = 0; c < t->dim; c++) {
            g[c] = 0;
            for (int32_t e = t->starts[j]; e < t->starts[j + 1]; e++)
                g[c] += (t->coefficient ? t->coefficient[t->entries[e]] : 1) * t->gradient[t->rows[e] * t->gradient_ld + c];
        }
        step_packed(kernels, t, table + t->ids[j] * t->stride, g);
    }
    free(g);
    return table;
}

static float *run_trial(const struct kernels *kernels, const struct trial *t)
{
    size_t bytes = (size_t)(TABLE_ROWS * t->stride) * sizeof(float);
    float *table = malloc(bytes), *want = expected(kernels, t);
    assert_non_null(table);
    memcpy(table, t->before, bytes);
    struct update_rows call = call_of(t, table);
    call.count = t->groups.count / 3; /* two workers' shares */
    kernels->update_rows(&call);
    call.first = call.count;
    call.count = t->groups.count - call.first;
    kernels->update_rows(&call);
    assert_memory_equal(table, want, bytes);
    free(want);
    return table;
}

static void try_trial(const struct trial *t)
{
    float *tables[LEVELS] = { NULL };
    size_t floats = (size_t)(TABLE_ROWS * t->stride);
    for (int level = 0; level < LEVELS; level++) {
        const struct kernels *kernels = kernel_level(level_names[level]);
        if (kernels)
            tables[level] = run_trial(kernels, t);
    }
    if (tables[1])
        assert_true(golden_error(tables[1], tables[0], (int64_t)floats, 0.5) < 1e-5); /* without fma other roundings */
    if (tables[2])
        assert_memory_equal(tables[1], tables[2], floats * sizeof(float));
    for (int level = 0; level < LEVELS; level++)
        free(tables[level]);
}

static void rows_of_every_width(void **state)
{
    (void)state;
    static const int64_t dims[] = { 1, 2, 3, 4, 5, 7, 8, 10, 12, 15, 16, 17, 31, 32, 100, 512, 515, 527, 528, 1100 };
    for (size_t d = 0; d < COUNT_OF(dims); d++)
        for (int number = 0; number < VARIANTS; number++) {
            struct trial t;
            if (dims[d] > 100 && number % 5 != (int)d % 5) /* the widest rows with every fifth variant */
                continue;
            trial_new(&t, dims[d], variant(number), number % 2);
            try_trial(&t);
            trial_free(&t);
        }
}

/* Rows without a gradient: groups NULL is the same as a group without entries for each row. */
static void rows_without_gradient(void **state)
{
    (void)state;
    static const int64_t dims[] = { 1, 3, 4, 16, 20, 700 };
    for (int level = 0; level < LEVELS; level++)
        for (size_t d = 0; d < COUNT_OF(dims); d++)
            for (int number = 0; number < VARIANTS; number++) {
                const struct kernels *kernels = kernel_level(level_names[level]);
                struct trial t;
                if (!kernels)
                    continue;
                trial_new(&t, dims[d], variant(number), false);
                t.groups.count = 5;
                for (int j = 0; j < 5; j++) {
                    t.ids[j] = 20 + j;
                    t.starts[j] = t.starts[j + 1] = 0;
                }
                size_t bytes = (size_t)(TABLE_ROWS * t.stride) * sizeof(float);
                float *table = malloc(bytes), *want = expected(kernels, &t);
                assert_non_null(table);
                memcpy(table, t.before, bytes);
                struct update_rows call = call_of(&t, table);
                call.groups = NULL;
                call.first = 20;
                kernels->update_rows(&call);
                assert_memory_equal(table, want, bytes);
                free(table);
                free(want);
                trial_free(&t);
            }
}

/* ---- dense arrays -------------------------------------------------------------------------------------------- */

/* Any length, in one piece and in two, between sentinels; and zeros stay zeros. */
static void dense_arrays(void **state)
{
    (void)state;
    enum { N = 67 };
    for (int number = 0; number < VARIANTS * LEVELS; number++) {
        const struct kernels *kernels = kernel_level(level_names[number / VARIANTS]);
        struct update rule = variant(number % VARIANTS);
        if (!kernels)
            continue;
        if (rule.formula == UPDATE_ADAGRAD)
            rule.epsilon = 0;
        float whole[UPDATE_MAX_SLOTS + 1][N + 2], cut[UPDATE_MAX_SLOTS + 1][N + 2], zero[UPDATE_MAX_SLOTS + 1][N] = { { 0 } },
                                                                                                            g[N];
        for (int k = 0; k <= UPDATE_MAX_SLOTS; k++) {
            random_fill_uniform(random_key(1, "dense"), whole[k], k * 100, N + 2, 0.1f, 1);
            whole[k][0] = whole[k][N + 1] = sentinel;
            memcpy(cut[k], whole[k], sizeof whole[k]);
        }
        random_fill_normal(random_key(2, "dense"), g, 0, N, 0, 1);
        struct update_dense call = { &rule, whole[0] + 1, { whole[1] + 1, whole[2] + 1, whole[3] + 1 }, g, N };
        kernels->update_dense(&call);
        for (int first = 0, n; first < N; first += n) {
            n = first ? N - first : 21;
            call = (struct update_dense){
                &rule, cut[0] + 1 + first, { cut[1] + 1 + first, cut[2] + 1 + first, cut[3] + 1 + first }, g + first, n
            };
            kernels->update_dense(&call);
        }
        assert_memory_equal(whole, cut, sizeof whole);
        for (int k = 0; k <= UPDATE_MAX_SLOTS; k++)
            assert_true(whole[k][0] == sentinel && whole[k][N + 1] == sentinel);
        memset(g, 0, sizeof g);
        call = (struct update_dense){ &rule, zero[0], { zero[1], zero[2], zero[3] }, g, N };
        for (int step = 0; step < 3; step++)
            kernels->update_dense(&call);
        for (int k = 0; k <= UPDATE_MAX_SLOTS; k++)
            for (int i = 0; i < N; i++)
                assert_true(zero[k][i] == 0);
    }
}

/* ---- the gradient of a table, through max_norm --------------------------------------------------------------- */

/* A step of gradient descent takes the same gradient, found while the row is already changing where it is wide. */
static void check_descent(const struct kernels *kernels, const struct trial *t, const struct update_rows *sums, const float *g)
{
    size_t bytes = (size_t)(TABLE_ROWS * t->stride) * sizeof(float);
    float *table = malloc(bytes);
    assert_non_null(table);
    memcpy(table, t->before, bytes);
    struct update_rows call = *sums;
    call.table = table;
    kernels->update_rows(&call);
    for (int64_t r = 0; r < TABLE_ROWS; r++)
        for (int64_t c = 0; c < t->dim; c++)
            assert_true(fabsf(table[r * t->stride + c] - (t->before[r * t->stride + c] - t->rule.rate * g[r * t->dim + c])) <
                        1e-6f);
    free(table);
}

static void sums_through_norm(void **state)
{
    (void)state;
    static const int64_t dims[] = { 1, 2, 6, 16, 37, 512, 530, 1200 };
    for (int level = 0; level < LEVELS; level++)
        for (size_t d = 0; d < COUNT_OF(dims); d++)
            for (int norm = 0; norm < 2; norm++) {
                const struct kernels *kernels = kernel_level(level_names[level]);
                struct trial t;
                int64_t dim = dims[d];
                if (!kernels)
                    continue;
                trial_new(&t, dim, variant(UPDATE_SGD), true);
                float *out = calloc((size_t)(TABLE_ROWS * dim), sizeof(float));
                assert_non_null(out);
                struct update_rows call = call_of(&t, t.before);
                call.max_norm = norm ? 0.5f * sqrtf((float)dim) : 0; /* about half of the rows are longer */
                kernels->sum_groups(&call, out, dim);
                for (int64_t j = 0; j < t.groups.count; j++) {
                    const float *x = t.before + t.ids[j] * t.stride;
                    double g[1200] = { 0 }, square = 0, along = 0;
                    for (int64_t c = 0; c < dim; c++) {
                        for (int32_t e = t.starts[j]; e < t.starts[j + 1]; e++)
                            g[c] += (double)t.coefficient[t.entries[e]] * t.gradient[t.rows[e] * t.gradient_ld + c];
                        square += (double)x[c] * x[c];
                        along += g[c] * x[c];
                    }
                    double scale = norm && sqrt(square) > call.max_norm ? call.max_norm / sqrt(square) : 1;
                    for (int64_t c = 0; c < dim; c++) {
                        double want = scale < 1 ? scale * (g[c] - x[c] * along / square) : g[c];
                        assert_true(fabs(out[t.ids[j] * dim + c] - want) < 2e-6 * (1 + fabs(g[c])));
                    }
                }
                check_descent(kernels, &t, &call, out);
                free(out);
                trial_free(&t);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_every_width),
        cmocka_unit_test(rows_without_gradient),
        cmocka_unit_test(dense_arrays),
        cmocka_unit_test(sums_through_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
