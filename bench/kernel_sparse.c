/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a row costs: gathering it, grouping its id, updating it. The figure is nanoseconds a row. On a shared machine only
 * minima say anything, and a whole batch is too long to stay undisturbed: the work is cut into segments (one table, or one
 * tile of 64 rows), each segment's least time of many samples with other ids counts, and these are added.
 *
 *   tables   26 tables of dimension 16 with Adagrad's slot beside the weights, a batch of 2048 uniform ids: the work of a
 *            click model. --rows sets the rows of a table (1,000,000: 3.3 GB, so that every row comes from memory).
 *   small    one table that stays in cache, the widths of a wide & deep model; 512 ids.
 *
 *   kernel_sparse [--level c|avx2|avx512] [--rows ROWS] [--ms MILLISECONDS_A_FIGURE]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel/kernel.h"

enum { TABLES = 26, BATCH = 2048, SETS = 16 };

static const struct kernels *kernels;
static double sample_ms = 300;
static pil_status status;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "%s\n", status.message);
        exit(1);
    }
    return memory;
}

/* A piece of work: segment 0 .. segments - 1 of a figure, with ids of set 0 .. SETS - 1. */
typedef void work(void *context, int set, int segment);

/* One figure. `before` (may be NULL) runs ahead of each segment and is not timed. */
static void measure(const char *what, const char *detail, int64_t rows, int segments, work *before, work *run, void *context)
{
    double best[64], sum = 0, end = now() + sample_ms * 1e6;
    for (int i = 0; i < segments; i++)
        best[i] = 1e30;
    for (int set = 0; now() < end || best[segments - 1] == 1e30; set = (set + 1) % SETS)
        for (int i = 0; i < segments; i++) {
            if (before)
                before(context, set, i);
            double begin = now();
            run(context, set, i);
            double ns = now() - begin;
            if (ns < best[i])
                best[i] = ns;
        }
    for (int i = 0; i < segments; i++)
        sum += best[i];
    printf("{\"bench\":\"kernel_sparse\",\"level\":\"%s\",\"what\":\"%s\",\"case\":\"%s\",\"ns\":%.2f}\n", kernels->level, what,
           detail, sum / (double)rows);
    fflush(stdout);
}

static void fill_ids(int32_t *ids, int64_t n, int64_t limit, const char *name)
{
    struct random_key key = random_key(7, name);
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)random_below(key, 0, (uint64_t)i, (uint64_t)limit);
}

/* ---- many large tables --------------------------------------------------------------------------------------- */

struct tables {
    int64_t rows;
    float *table[TABLES];
    int32_t *ids;          /* [SETS][TABLES][BATCH] */
    float *out, *gradient; /* [BATCH, TABLES * DIM]: the concat, and its gradient */
    void *scratch, *memory[TABLES];
    struct groups groups[TABLES];
    struct update rule;
};
enum { DIM = 16, STRIDE = 2 * DIM, WIDTH = TABLES * DIM };

static struct sparse ids_of(const struct tables *t, int set, int table)
{
    return (struct sparse){ .rows = BATCH, .entries = BATCH, .ids = t->ids + ((int64_t)set * TABLES + table) * BATCH };
}

static void gather(struct tables *t, int table, const struct sparse *ids)
{
    kernels->lookup(&(struct lookup){ .table = t->table[table],
                                      .stride = STRIDE,
                                      .dim = DIM,
                                      .table_rows = t->rows,
                                      .ids = ids,
                                      .combiner = COMBINER_MEAN,
                                      .out = t->out + table * DIM,
                                      .ld = WIDTH });
}

/* All tables for 64 rows, into a tile that stays in cache, as a step does it. */
static void gather_tile(void *context, int set, int tile)
{
    struct tables *t = context;
    for (int k = 0; k < TABLES; k++) {
        struct sparse whole = ids_of(t, set, k), ids = { .rows = 64, .entries = 64, .ids = whole.ids + tile * 64 };
        gather(t, k, &ids);
    }
}

static void gather_table(void *context, int set, int table)
{
    struct tables *t = context;
    struct sparse ids = ids_of(t, set, table);
    gather(t, table, &ids);
}

static void sort_table(void *context, int set, int table)
{
    struct tables *t = context;
    struct sparse ids = ids_of(t, set, table);
    sort_groups(&ids, t->rows, t->scratch, t->memory[table], &t->groups[table]);
}

static void update_table(void *context, int set, int table)
{
    struct tables *t = context;
    (void)set; /* the groups of the sort just before */
    kernels->update_rows(&(struct update_rows){ .rule = &t->rule,
                                                .table = t->table[table],
                                                .stride = STRIDE,
                                                .slot_stride = DIM,
                                                .dim = DIM,
                                                .groups = &t->groups[table],
                                                .count = t->groups[table].count,
                                                .gradient = t->gradient + table * DIM,
                                                .gradient_ld = WIDTH });
}

static void bench_tables(int64_t rows, bool logarithmic)
{
    struct tables t = { .rows = rows, .rule = { .formula = UPDATE_ADAGRAD, .rate = 0.01f } };
    char detail[96];
    for (int k = 0; k < TABLES; k++) {
        t.table[k] = need(mem_block((size_t)(rows * STRIDE) * sizeof(float), &status));
        for (int64_t i = 0; i < rows * STRIDE; i++) /* touched, and no slot at zero */
            t.table[k][i] = 0.1f;
        t.memory[k] = need(mem_block(sort_memory(BATCH), &status));
    }
    t.ids = need(mem_array((size_t)SETS * TABLES * BATCH, sizeof *t.ids, &status));
    fill_ids(t.ids, (int64_t)SETS * TABLES * BATCH, rows, "tables");
    if (logarithmic) /* id = rows^u, so that about a third of a batch's ids repeat */
        for (int64_t i = 0; i < (int64_t)SETS * TABLES * BATCH; i++)
            t.ids[i] = (int32_t)__builtin_powf((float)rows - 1, random_uniform(random_key(7, "log"), 0, (uint64_t)i));
    t.out = need(mem_block((size_t)BATCH * WIDTH * sizeof(float), &status));
    t.gradient = need(mem_block((size_t)BATCH * WIDTH * sizeof(float), &status));
    random_fill_normal(random_key(7, "gradient"), t.gradient, 0, (int64_t)BATCH * WIDTH, 0, 0.01f);
    t.scratch = need(mem_block(sort_scratch(BATCH), &status));
    snprintf(detail, sizeof detail, "%d x %lld %s, D 16, batch %d", TABLES, (long long)rows,
             logarithmic ? "log-uniform" : "uniform", BATCH);
    int64_t all = (int64_t)TABLES * BATCH;
    measure("gather into a tile", detail, all, BATCH / 64, NULL, gather_tile, &t);
    measure("gather into the batch", detail, all, TABLES, NULL, gather_table, &t);
    measure("sort", detail, all, TABLES, NULL, sort_table, &t);
    measure("update Adagrad", detail, all, TABLES, sort_table, update_table, &t);
    for (int k = 0; k < TABLES; k++) {
        mem_free(t.table[k]);
        mem_free(t.memory[k]);
    }
    mem_free(t.ids);
    mem_free(t.out);
    mem_free(t.gradient);
    mem_free(t.scratch);
}

/* ---- one small table ----------------------------------------------------------------------------------------- */

struct small {
    int64_t rows, batch, dim, slot_stride, per_row;
    int32_t *ids;     /* [SETS][batch * per_row] */
    int64_t *offsets; /* [batch + 1] or NULL */
    float *weights, *table, *out, *gradient;
    void *scratch, *memory[SETS];
    struct groups groups[SETS];
    struct update rule;
    bool accumulate;
};

static struct sparse small_ids(const struct small *s, int set)
{
    int64_t n = s->batch * s->per_row;
    return (
        struct sparse){ .rows = s->batch, .entries = n, .offsets = s->offsets, .ids = s->ids + set * n, .weights = s->weights };
}

static int64_t small_stride(const struct small *s)
{
    return (1 + update_slots(s->rule.formula)) * s->slot_stride;
}

static void run_small_lookup(void *context, int set, int segment)
{
    (void)segment;
    struct small *s = context;
    struct sparse ids = small_ids(s, set);
    kernels->lookup(&(struct lookup){ .table = s->table,
                                      .stride = small_stride(s),
                                      .dim = s->dim,
                                      .table_rows = s->rows,
                                      .ids = &ids,
                                      .combiner = COMBINER_MEAN,
                                      .accumulate = s->accumulate,
                                      .out = s->out,
                                      .ld = s->dim });
}

static void run_small_sort(void *context, int set, int segment)
{
    (void)segment;
    struct small *s = context;
    struct sparse ids = small_ids(s, set);
    sort_groups(&ids, s->rows, s->scratch, s->memory[set], &s->groups[set]);
}

/* Other groups in every segment: what branches do is not learned by heart. */
static void run_small_update(void *context, int set, int segment)
{
    struct small *s = context;
    (void)set;
    kernels->update_rows(&(struct update_rows){ .rule = &s->rule,
                                                .table = s->table,
                                                .stride = small_stride(s),
                                                .slot_stride = s->slot_stride,
                                                .dim = s->dim,
                                                .groups = &s->groups[segment],
                                                .count = s->groups[segment].count,
                                                .gradient = s->gradient,
                                                .gradient_ld = s->dim });
}

static struct small small_new(int64_t rows, int64_t batch, int64_t dim, int64_t per_row, struct update rule)
{
    struct small s = { .rows = rows, .batch = batch, .dim = dim, .per_row = per_row, .rule = rule };
    int64_t n = batch * per_row;
    s.slot_stride = dim == 1 ? 1 : (dim + 3) / 4 * 4;
    size_t floats = (size_t)(rows * small_stride(&s));
    s.table = need(mem_block(floats * sizeof(float), &status));
    for (size_t i = 0; i < floats; i++)
        s.table[i] = 0.1f;
    s.ids = need(mem_array((size_t)(SETS * n), sizeof *s.ids, &status));
    fill_ids(s.ids, SETS * n, rows, "small");
    if (per_row > 1) {
        s.offsets = need(mem_array((size_t)batch + 1, sizeof *s.offsets, &status));
        for (int64_t r = 0; r <= batch; r++)
            s.offsets[r] = r * per_row;
    }
    s.out = need(mem_block((size_t)(batch * dim) * sizeof(float), &status));
    s.gradient = need(mem_block((size_t)(batch * dim) * sizeof(float), &status));
    random_fill_normal(random_key(7, "gradient"), s.gradient, 0, batch * dim, 0, 0.01f);
    s.scratch = need(mem_block(sort_scratch(n), &status));
    for (int i = 0; i < SETS; i++)
        s.memory[i] = need(mem_block(sort_memory(n), &status));
    return s;
}

static void small_free(struct small *s)
{
    void *all[] = { s->ids, s->offsets, s->weights, s->table, s->out, s->gradient, s->scratch };
    for (size_t i = 0; i < COUNT_OF(all); i++)
        mem_free(all[i]);
    for (int i = 0; i < SETS; i++)
        mem_free(s->memory[i]);
}

static void bench_lookup(int64_t rows, int64_t dim, int64_t per_row, bool weighted, bool accumulate)
{
    char detail[96];
    struct small s = small_new(rows, 512, dim, per_row, (struct update){ .formula = UPDATE_ADAGRAD, .rate = 0.01f });
    s.accumulate = accumulate;
    if (weighted) {
        s.weights = need(mem_array((size_t)(512 * per_row), sizeof(float), &status));
        for (int64_t i = 0; i < 512 * per_row; i++)
            s.weights[i] = 0.5f;
    }
    snprintf(detail, sizeof detail, "%lld rows, D %lld, %lld a row%s%s", (long long)rows, (long long)dim, (long long)per_row,
             weighted ? ", weighted" : "", accumulate ? ", added" : "");
    measure("lookup", detail, 512 * per_row, 1, NULL, run_small_lookup, &s);
    small_free(&s);
}

static void bench_sort(int64_t limit, int64_t batch)
{
    char detail[96];
    struct small s = small_new(limit, batch, 1, 1, (struct update){ .formula = UPDATE_SGD });
    snprintf(detail, sizeof detail, "%lld ids below %lld", (long long)batch, (long long)limit);
    measure("sort", detail, batch, 1, NULL, run_small_sort, &s);
    small_free(&s);
}

static void bench_update(const char *name, int64_t rows, int64_t dim, struct update rule)
{
    char detail[96];
    struct small s = small_new(rows, 512, dim, 1, rule);
    int64_t groups = 0;
    for (int set = 0; set < SETS; set++) {
        run_small_sort(&s, set, 0);
        groups += s.groups[set].count;
    }
    snprintf(detail, sizeof detail, "%s, %lld rows, D %lld, 512 ids in %lld groups; a group", name, (long long)rows,
             (long long)dim, (long long)(groups / SETS));
    measure("update", detail, groups, SETS, NULL, run_small_update, &s);
    small_free(&s);
}

static void bench_small(void)
{
    static const int64_t dims[] = { 1, 4, 8, 10, 16, 64 };
    for (size_t i = 0; i < COUNT_OF(dims); i++)
        bench_lookup(168, dims[i], 1, false, false);
    bench_lookup(168, 1, 1, false, true);
    bench_lookup(10000, 10, 1, false, false);
    bench_lookup(1000, 10, 4, false, false);
    bench_lookup(1000, 16, 4, false, false);
    bench_lookup(1000, 16, 4, true, false);
    bench_lookup(1000, 16, 1, true, false);
    bench_lookup(1000, 1, 4, false, true);
    static const int64_t limits[] = { 7, 24, 168, 1000, 10000, 1000000 };
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        bench_sort(limits[i], 512);
        bench_sort(limits[i], 2048);
    }
    const struct update ftrl = { .formula = UPDATE_FTRL, .rate = 0.05f, .power = -0.5f };
    const struct update adagrad = { .formula = UPDATE_ADAGRAD, .rate = 0.05f };
    const struct update adam = { .formula = UPDATE_ADAM, .rate = 0.001f, .beta_1 = 0.9f, .beta_2 = 0.999f, .epsilon = 1e-7f };
    bench_update("Ftrl", 24, 1, ftrl);
    bench_update("Ftrl", 168, 1, ftrl);
    bench_update("Ftrl", 10000, 1, ftrl);
    bench_update("Adagrad", 168, 10, adagrad);
    bench_update("Adagrad", 10000, 10, adagrad);
    bench_update("Adagrad", 10000, 4, adagrad);
    bench_update("Adagrad", 10000, 16, adagrad);
    bench_update("Adam", 10000, 16, adam);
}

int main(int argc, char **argv)
{
    int64_t rows = 1000000;
    kernels = kernel_get();
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--level") == 0)
            kernels = kernel_level(argv[i + 1]);
        else if (strcmp(argv[i], "--rows") == 0)
            rows = strtoll(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--ms") == 0)
            sample_ms = strtod(argv[i + 1], NULL);
    }
    if (!kernels || rows < 2 || rows > 100000000 || !(sample_ms > 0)) {
        fprintf(stderr,
                "kernel_sparse [--level c|avx2|avx512] [--rows ROWS] [--ms MILLISECONDS_A_FIGURE]: this processor lacks the "
                "level, or a number is out of range\n");
        return 2;
    }
    bench_small();
    bench_tables(rows, false);
    bench_tables(rows, true);
    return 0;
}
