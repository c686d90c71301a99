/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the updater share: a graph whose gradients are what the test puts in, its store, session and updater.
 *
 *     loss = sum(table[ids] * gradient) + ... + sum((x kernel) * gradient)
 *
 * so that a lookup's output gets the rows of an input as its gradient, and with x the identity a kernel of [n, m] gets the
 * input [n, m] itself. A table may be looked up by several features.
 */
#ifndef PILASTER_TESTS_TRAIN_HARNESS_H
#define PILASTER_TESTS_TRAIN_HARNESS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/internal.h"

#include "values.h"

enum { RIG_LOOKUPS = 8 };
struct rig_lookup {
    const char *table; /* of this name; made with the first that names it */
    int64_t rows, dim;
    enum combiner combiner;
    float max_norm;
    int part;
    bool dense;    /* the table is read by a product as well */
    bool stopped;  /* but gets no gradient through it */
    bool by_entry; /* looked up by dense ids, one a row */
};
struct rig {
    pil_status status;
    struct arena *arena;
    struct pil_graph *graph;
    struct plan *plan;
    struct threads *threads;
    struct store *store;
    struct session *session;
    struct updater *updater;
    struct updater_part parts[2];
    int lookup_count;
    int64_t batch; /* rows of the last run */
};

#define rig_ok(rig)                                                                                                              \
    do {                                                                                                                         \
        if (!status_ok(&(rig)->status))                                                                                          \
            fail_msg("%s", (rig)->status.message);                                                                               \
    } while (0)

static inline struct optimizer rig_optimizer(struct rig *rig, const char *text, enum optimizer_flavour flavour)
{
    struct args_reader reader = { .arena = rig->arena };
    struct optimizer optimizer = { 0 };
    optimizer_read(values_parse(rig->arena, text), "sgd", 1, flavour, &reader, &optimizer, &rig->status);
    rig_ok(rig);
    return optimizer;
}

static inline struct pil_tensor *rig_add(struct rig *rig, struct pil_tensor *loss, struct pil_tensor *out, const char *gradient,
                                         int64_t dim)
{
    struct pil_tensor *g = graph_input(rig->graph, gradient, DTYPE_FLOAT32, SHAPE(BATCH_DIM, dim), false);
    struct pil_tensor *sum = graph_op1(rig->graph, "sum_all", NULL, graph_op2(rig->graph, "mul", NULL, out, g));
    sum = graph_op1(rig->graph, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, sum);
    return loss ? graph_op2(rig->graph, "add", NULL, loss, sum) : sum;
}

static inline int rig_part_of(const struct rig_lookup *lookups, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(lookups[i].table, name) == 0)
            return lookups[i].part;
    return 0;
}

/* Kernel [n, m] with input "x" [batch, n] and its output's gradient "kernel_gradient"; m 0: none. Lookup i has the ids
 * "ids<i>" and the gradient "gradient<i>". rig->parts is set before; a part with a scope gets its scalars. */
static inline void rig_start(struct rig *rig, const struct rig_lookup *lookups, int count, int64_t n, int64_t m, int threads)
{
    struct pil_tensor *loss = NULL;
    rig->graph = graph_new(&rig->status);
    rig->lookup_count = count;
    for (int i = 0; i < count; i++) {
        char ids[20], gradient[20];
        snprintf(ids, sizeof ids, "ids%d", i);
        snprintf(gradient, sizeof gradient, "gradient%d", i);
        struct op_lookup_args args = { lookups[i].combiner, lookups[i].max_norm, 1 };
        struct pil_tensor *table = graph_variable(rig->graph, lookups[i].table, SHAPE(lookups[i].rows, lookups[i].dim),
                                                  (pil_initializer){ PIL_INITIALIZER_ZEROS, 0, 0 }, true);
        struct pil_tensor *in = graph_input(rig->graph, ids, DTYPE_INT32, SHAPE(BATCH_DIM), !lookups[i].by_entry), *found;
        found = lookups[i].by_entry ? graph_op2(rig->graph, "embedding_lookup", NULL, in, table)
                                    : graph_op2(rig->graph, "lookup", &args, in, table);
        loss = rig_add(rig, loss, found, gradient, lookups[i].dim);
        if (lookups[i].dense) {
            struct pil_tensor *x = graph_input(rig->graph, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, lookups[i].rows), false);
            if (lookups[i].stopped)
                table = graph_op1(rig->graph, "stop_gradient", NULL, table);
            struct pil_tensor *out = graph_op2(rig->graph, "matmul", &(struct op_matmul_args){ 0 }, x, table);
            loss = rig_add(rig, loss, out, "kernel_gradient", lookups[i].dim);
        }
    }
    if (m) {
        struct pil_tensor *kernel =
            graph_variable(rig->graph, "kernel", SHAPE(n, m), (pil_initializer){ PIL_INITIALIZER_ZEROS, 0, 0 }, true);
        struct pil_tensor *x = graph_input(rig->graph, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, n), false);
        struct pil_tensor *out = graph_op2(rig->graph, "matmul", &(struct op_matmul_args){ 0 }, x, kernel);
        loss = rig_add(rig, loss, out, "kernel_gradient", m);
    }
    graph_gradients(rig->graph, loss);
    rig->status = *graph_status(rig->graph);
    rig_ok(rig);
    rig->plan = plan_compile(rig->graph, &loss, 1, &rig->status);
    rig->threads = threads_new(threads, &rig->status);
    rig->store = store_new(&rig->status);
    rig_ok(rig);
    for (size_t v = 0; v < graph_variable_count(rig->graph); v++) {
        const struct graph_variable *variable = graph_variable_at(rig->graph, v);
        struct variable *stored = store_declare(rig->store, variable->name, DTYPE_FLOAT32, variable->shape,
                                                variable->lookup_only ? STORE_TABLE : STORE_DENSE, &rig->status);
        rig_ok(rig);
        stored->trainable = true;
        stored->group = rig_part_of(lookups, count, variable->name);
        static const struct optimizer_names unnamed = { .scope = "slots" };
        const struct updater_part *part = &rig->parts[stored->group];
        optimizer_declare(&part->optimizer, rig->store, stored, part->names.scope ? &part->names : &unnamed, &rig->status);
    }
    for (int part = 0; part < 2; part++)
        if (rig->parts[part].names.scope)
            optimizer_declare_scalars(&rig->parts[part].optimizer, rig->store, &rig->parts[part].names, rig->parts[part].own_iter,
                                      &rig->status);
    store_allocate(rig->store, &rig->status);
    rig->session = session_new(rig->plan, rig->threads, kernel_get(), 7, &rig->status);
    rig_ok(rig);
    for (size_t v = 0; v < graph_variable_count(rig->graph); v++) {
        const struct variable *stored = store_find(rig->store, graph_variable_at(rig->graph, v)->name);
        bool block = stored->layout == STORE_DENSE;
        session_bind(rig->session, graph_variable_at(rig->graph, v),
                     &(struct session_variable){ stored->value, block ? stored->group : -1, block ? stored->block_offset : 0 },
                     &rig->status);
    }
    for (int part = 0; part < 2; part++) {
        session_groups(rig->session, part, store_block(rig->store, part).floats, &rig->status);
        rig->parts[part].group = part;
    }
    rig->updater = updater_new(rig->store, rig->parts, 2, rig->threads, kernel_get(), &rig->status);
    rig_ok(rig);
}

/* Values of an input, [rows, cols] contiguous: copied to memory of the rig's, padded as sessions want it. */
static inline void rig_input(struct rig *rig, const char *name, const float *values, int64_t rows, int64_t cols)
{
    size_t bytes = tensor_bytes(DTYPE_FLOAT32, SHAPE(rows, cols), true);
    char *memory = arena_alloc(rig->arena, bytes + 64, &rig->status);
    rig_ok(rig);
    memory += (64 - (uintptr_t)memory % 64) % 64;
    struct op_value value = { .tensor = tensor_view(memory, DTYPE_FLOAT32, SHAPE(rows, cols), true) };
    tensor_unpack(values, &value.tensor);
    assert_true(session_input(rig->session, name, &value));
    rig->batch = rows;
}

static inline void rig_ids(struct rig *rig, int lookup, const struct sparse *ids)
{
    char name[20];
    snprintf(name, sizeof name, "ids%d", lookup);
    assert_true(session_input(rig->session, name, &(struct op_value){ .sparse = *ids }));
    rig->batch = ids->rows;
}

static inline void rig_step(struct rig *rig, int64_t step)
{
    session_run(rig->session, rig->batch, step, NULL, 0, &rig->status);
    rig_ok(rig);
    updater_apply(rig->updater, rig->session, step, &rig->status);
    rig_ok(rig);
}

/* A batch for one lookup: ids (some -1), weights (some not above 0), gradients. */
struct rig_data {
    struct sparse ids;
    float *gradient;
    void *groups_memory;
    struct groups groups;
};

static inline void *must(void *pointer)
{
    assert_non_null(pointer);
    return pointer;
}

static inline struct rig_data rig_data(struct rig *rig, struct random_key key, uint64_t stream, int64_t rows,
                                       const struct rig_lookup *lookup, bool ragged, bool weighted, bool grouped)
{
    struct rig_data data = { 0 };
    int64_t *offsets = must(arena_alloc(rig->arena, (size_t)(rows + 1) * sizeof *offsets, &rig->status)), entries = rows;
    if (ragged) {
        for (int64_t r = 0; r < rows; r++)
            offsets[r + 1] = offsets[r] + (int64_t)random_below(key, stream, (uint64_t)r, 5);
        entries = offsets[rows];
    }
    int32_t *ids = must(arena_alloc(rig->arena, (size_t)entries * sizeof *ids + 1, &rig->status));
    float *weights = must(arena_alloc(rig->arena, (size_t)entries * sizeof *weights + 1, &rig->status));
    for (int64_t e = 0; e < entries; e++) { /* half of them within the first tenth, so that ids repeat */
        int64_t limit = random_uniform(key, stream + 1, (uint64_t)e) < 0.5f ? MAX(lookup->rows / 10, 1) : lookup->rows;
        ids[e] = (int32_t)random_below(key, stream + 2, (uint64_t)e, (uint64_t)limit + 1) - 1;
        weights[e] = random_uniform(key, stream + 3, (uint64_t)e) * 2.4f - 0.4f;
    }
    data.gradient = must(arena_alloc(rig->arena, (size_t)(rows * lookup->dim) * sizeof(float), &rig->status));
    random_fill_normal(random_key(stream, "gradient"), data.gradient, 0, rows * lookup->dim, 0, 1);
    data.ids = (struct sparse){
        .rows = rows, .entries = entries, .offsets = ragged ? offsets : NULL, .ids = ids, .weights = weighted ? weights : NULL
    };
    if (grouped) {
        void *scratch = mem_new(sort_scratch(entries), &rig->status);
        data.groups_memory = must(arena_alloc(rig->arena, sort_memory(entries), &rig->status));
        sort_groups(&data.ids, lookup->rows, scratch, data.groups_memory, &data.groups);
        mem_free(scratch);
    }
    return data;
}

static inline void rig_put(struct rig *rig, int lookup, struct rig_data *data, int64_t dim)
{
    char name[20];
    snprintf(name, sizeof name, "gradient%d", lookup);
    if (data->groups_memory)
        data->ids.groups = &data->groups;
    rig_ids(rig, lookup, &data->ids);
    rig_input(rig, name, data->gradient, data->ids.rows, dim);
}

static inline struct rig rig_new(void)
{
    struct rig rig = { 0 };
    rig.arena = arena_new(&rig.status);
    rig_ok(&rig);
    return rig;
}

static inline void rig_free(struct rig *rig)
{
    updater_free(rig->updater);
    session_free(rig->session);
    store_free(rig->store);
    threads_free(rig->threads);
    plan_free(rig->plan);
    graph_free(rig->graph);
    arena_free(rig->arena);
}

#endif
