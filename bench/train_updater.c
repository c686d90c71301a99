/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What applying a step's gradients costs: microseconds of updater_apply, the least and the median of many steps.
 *
 *   nothing   8 tables of one weight, batch 1: what a step costs that has nothing to do
 *   tiny      8 tables of 100 rows, dimension 4, batch 32, two layers of 16 units
 *   taxi      8 tables of 1000 rows, dimension 10, batch 512, kernels of 64 and 32 units (Adagrad)
 *   click     26 tables of --rows rows, dimension 16, batch 2048, 429 -> 256 -> 128 -> 64 -> 1 (Adagrad)
 *   adam      as taxi, with Adam: whole tables
 *
 *
 *   train_updater [--threads N] [--rows ROWS] [--ms MILLISECONDS_A_FIGURE] [--pause MICROSECONDS] [--clip NORM]
 *
 * --pause: between steps, so that the other workers have gone to sleep, as they have in a loop that reads its input.
 * --clip: limit of the norm of all gradients.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "train/train.h"

static pil_status status;
static int thread_count = 1;
static int64_t click_rows = 100000;
static double sample_ms = 500, pause_us, clip;

struct shape_case {
    const char *name, *optimizer;
    int tables;
    int64_t rows, dim, batch;
    int64_t units[5]; /* 0: end */
};

static void check(void)
{
    if (status_ok(&status))
        return;
    fprintf(stderr, "%s\n", status.message);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Tables, their concat, layers; the loss is the sum of the last layer. */
static struct pil_tensor *build(struct pil_graph *graph, const struct shape_case *c)
{
    struct pil_tensor *parts[32];
    pil_initializer some = { PIL_INITIALIZER_NORMAL, 0, 0.05f };
    for (int i = 0; i < c->tables; i++) {
        char ids[20], table[20];
        snprintf(ids, sizeof ids, "ids%d", i);
        snprintf(table, sizeof table, "table%d", i);
        parts[i] = graph_op2(graph, "lookup", &(struct op_lookup_args){ COMBINER_MEAN, 0, 1 },
                             graph_input(graph, ids, DTYPE_INT32, SHAPE(BATCH_DIM), true),
                             graph_variable(graph, table, SHAPE(c->rows, c->dim), some, true));
    }
    struct pil_tensor *x = graph_op(graph, "concat", &(struct op_axis_args){ .axis = 1 }, parts, c->tables, NULL);
    int64_t width = c->dim * c->tables;
    for (int i = 0; c->units[i]; i++) {
        char kernel[20];
        snprintf(kernel, sizeof kernel, "kernel%d", i);
        x = graph_op2(graph, "matmul", &(struct op_matmul_args){ 0 }, x,
                      graph_variable(graph, kernel, SHAPE(width, c->units[i]), some, true));
        width = c->units[i];
    }
    return graph_op1(graph, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, graph_op1(graph, "sum_all", NULL, x));
}

static void declare(struct store *store, const struct pil_graph *graph, const struct optimizer *optimizer)
{
    for (size_t v = 0; v < graph_variable_count(graph); v++) {
        const struct graph_variable *variable = graph_variable_at(graph, v);
        struct variable *stored = store_declare(store, variable->name, DTYPE_FLOAT32, variable->shape,
                                                variable->lookup_only ? STORE_TABLE : STORE_DENSE, &status);
        check();
        stored->trainable = true;
        stored->initializer = variable->initializer;
        optimizer_declare(optimizer, store, stored, &(struct optimizer_names){ .scope = "training/X" }, &status);
    }
    store_allocate(store, &status);
    store_initialize(store, 1, NULL, &status);
    check();
}

static void bind(struct session *session, const struct store *store, const struct pil_graph *graph)
{
    for (size_t v = 0; v < graph_variable_count(graph); v++) {
        const struct variable *stored = store_find(store, graph_variable_at(graph, v)->name);
        bool block = stored->layout == STORE_DENSE;
        session_bind(session, graph_variable_at(graph, v),
                     &(struct session_variable){ stored->value, block ? 0 : -1, block ? stored->block_offset : 0 }, &status);
    }
    session_groups(session, 0, store_block(store, 0).floats, &status);
    check();
}

/* Uniform ids with their groups, for one table. */
static struct sparse make_ids(const struct shape_case *c, int table)
{
    struct random_key key = random_key(7, "ids");
    int32_t *ids = mem_array((size_t)c->batch, sizeof *ids, &status);
    struct groups *groups = mem_new(sizeof *groups, &status);
    void *scratch = mem_new(sort_scratch(c->batch), &status), *memory = mem_new(sort_memory(c->batch), &status);
    check();
    for (int64_t i = 0; i < c->batch; i++)
        ids[i] = (int32_t)random_below(key, (uint64_t)table, (uint64_t)i, (uint64_t)c->rows);
    struct sparse sparse = { .rows = c->batch, .entries = c->batch, .ids = ids };
    sort_groups(&sparse, c->rows, scratch, memory, groups);
    mem_free(scratch);
    sparse.groups = groups;
    return sparse;
}

static void measure(const struct shape_case *c)
{
    enum { MOST = 1000000 };
    struct optimizer optimizer;
    struct pil_graph *graph = graph_new(&status);
    struct store *store = store_new(&status);
    struct threads *threads = threads_new(thread_count, &status);
    optimizer_find(c->optimizer, FLAVOUR_KERAS_LEGACY, &optimizer, &status);
    check();
    struct pil_tensor *loss = build(graph, c);
    graph_gradients(graph, loss);
    struct plan *plan = plan_compile(graph, &loss, 1, &status);
    check();
    declare(store, graph, &optimizer);
    struct session *session = session_new(plan, threads, kernel_get(), 1, &status);
    check();
    bind(session, store, graph);
    for (int i = 0; i < c->tables; i++) {
        char name[20];
        snprintf(name, sizeof name, "ids%d", i);
        session_input(session, name, &(struct op_value){ .sparse = make_ids(c, i) });
    }
    struct updater_part part = { .optimizer = optimizer, .clip_gradients = (float)clip };
    struct updater *updater = updater_new(store, &part, 1, threads, kernel_get(), &status);
    double *samples = mem_array(MOST, sizeof *samples, &status), total = 0;
    int n = 0;
    session_run(session, c->batch, 0, NULL, 0, &status);
    check();
    for (; n < MOST && total < sample_ms * 1e3; n++) {
        double begin = now();
        while (now() - begin < pause_us)
            ;
        begin = now();
        updater_apply(updater, session, n, &status);
        samples[n] = now() - begin;
        total += samples[n];
        check();
    }
    qsort(samples, (size_t)n, sizeof *samples, compare);
    printf("{\"bench\":\"train_updater\",\"level\":\"%s\",\"threads\":%d,\"case\":\"%s\",\"shards\":%d,\"least_us\":%.2f,"
           "\"median_us\":%.2f}\n",
           kernel_get()->level, thread_count, c->name, (int)plan_shards(plan, c->batch), samples[0], samples[n / 2]);
    fflush(stdout);
    mem_free(samples);
    updater_free(updater);
    session_free(session);
    plan_free(plan);
    threads_free(threads);
    store_free(store);
    graph_free(graph); /* the ids stay: the program ends soon */
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--threads") == 0)
            thread_count = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--rows") == 0)
            click_rows = atoll(argv[i + 1]);
        else if (strcmp(argv[i], "--ms") == 0)
            sample_ms = atof(argv[i + 1]);
        else if (strcmp(argv[i], "--pause") == 0)
            pause_us = atof(argv[i + 1]);
        else if (strcmp(argv[i], "--clip") == 0)
            clip = atof(argv[i + 1]);
    }
    const struct shape_case cases[] = {
        { "nothing", "sgd", 8, 1, 1, 1, { 1 } },
        { "tiny", "adagrad", 8, 100, 4, 32, { 16, 16 } },
        { "taxi", "adagrad", 8, 1000, 10, 512, { 64, 32, 1 } },
        { "click", "adagrad", 26, click_rows, 16, 2048, { 256, 128, 64, 1 } },
        { "adam", "adam", 8, 1000, 10, 512, { 64, 32, 1 } },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        measure(&cases[i]);
    return 0;
}
