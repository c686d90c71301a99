/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of this room share: a graph with its session and variables in plain memory, filled from a fixed
 * pseudo-random sequence, and the sum of its gradient partials. Every check goes through cmocka.
 */
#ifndef PILASTER_TEST_GRAPH_HARNESS_H
#define PILASTER_TEST_GRAPH_HARNESS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "graph/internal.h"

enum { MOST_VARIABLES = 32 };

struct rig {
    pil_status status;
    struct pil_graph *graph;
    struct plan *plan;
    struct threads *threads;
    struct session *session;
    struct tensor values[MOST_VARIABLES];
    int64_t offsets[MOST_VARIABLES];
    int64_t floats;
};

#define assert_ok(status)                                                                                                        \
    do {                                                                                                                         \
        if (!status_ok(&(status)))                                                                                               \
            fail_msg("%s", (status).message);                                                                                    \
    } while (0)

static inline float noise(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (float)((double)(*state >> 33) / (double)(1u << 31) * 2 - 1) * 0.5f;
}

static inline struct rig rig_new(void)
{
    struct rig rig = { 0 };
    rig.graph = graph_new(&rig.status);
    assert_ok(rig.status);
    return rig;
}

/* Compiles and binds; variables get noise of `seed`. */
static inline void rig_start(struct rig *rig, struct pil_tensor *const *fetches, size_t fetch_count, int threads, uint64_t seed)
{
    assert_ok(*graph_status(rig->graph));
    rig->plan = plan_compile(rig->graph, fetches, fetch_count, &rig->status);
    assert_ok(rig->status);
    rig->threads = threads_new(threads, &rig->status);
    rig->session = session_new(rig->plan, rig->threads, kernel_get(), 7, &rig->status);
    assert_ok(rig->status);
    uint64_t state = seed;
    assert_true(graph_variable_count(rig->graph) <= MOST_VARIABLES);
    for (size_t v = 0; v < graph_variable_count(rig->graph); v++) {
        const struct graph_variable *variable = graph_variable_at(rig->graph, v);
        assert_true(tensor_new(&rig->values[v], DTYPE_FLOAT32, variable->shape, false, &rig->status));
        struct tensor *value = &rig->values[v];
        for (int64_t r = 0; r < value->rows; r++)
            for (int64_t c = 0; c < value->cols; c++)
                tensor_floats(value)[r * value->ld + c] =
                    noise(&state) + (variable->initializer.kind == PIL_INITIALIZER_ONES ? 1.0f : 0.0f);
        rig->offsets[v] = rig->floats;
        rig->floats += (value->rows * value->ld + 15) / 16 * 16;
        struct session_variable where = { *value, 0, rig->offsets[v] };
        assert_true(session_bind(rig->session, variable, &where, &rig->status));
    }
    assert_true(session_groups(rig->session, 0, rig->floats, &rig->status));
}

static inline void rig_run(struct rig *rig, int64_t rows)
{
    session_run(rig->session, rows, 1, NULL, 0, &rig->status);
    assert_ok(rig->status);
}

/* The fixed tree, into shard 0's block; returns it. */
static inline float *rig_gradients(struct rig *rig)
{
    struct session_partials partials = session_partials(rig->session, 0);
    for (int64_t step = 1; step < partials.count; step *= 2)
        for (int64_t s = 0; s + step < partials.count; s += 2 * step)
            for (int64_t i = 0; i < partials.floats; i++)
                partials.partials[s][i] += partials.partials[s + step][i];
    return partials.partials[0];
}

/* A record's gradient as a table [rows, dim] of zeros and sums; ids single-valued or ragged, combiner sum or mean of weights 1. */
static inline void rig_scatter(const struct session_record *record, float *table, int64_t dim)
{
    const struct sparse *ids = record->ids;
    for (int64_t r = 0; r < ids->rows; r++) {
        int64_t first = ids->offsets ? ids->offsets[r] : r, last = ids->offsets ? ids->offsets[r + 1] : r + 1, kept = 0;
        for (int64_t e = first; e < last; e++)
            kept += ids->ids[e] >= 0;
        for (int64_t e = first; e < last; e++)
            for (int64_t c = 0; ids->ids[e] >= 0 && c < dim; c++)
                table[ids->ids[e] * dim + c] += tensor_floats(&record->gradient)[r * record->gradient.ld + c] /
                                                (record->combiner == COMBINER_MEAN ? (float)kept : 1.0f);
    }
}

static inline void rig_free(struct rig *rig)
{
    for (size_t v = 0; v < MOST_VARIABLES; v++)
        tensor_free(&rig->values[v]);
    session_free(rig->session);
    threads_free(rig->threads);
    plan_free(rig->plan);
    graph_free(rig->graph);
}

#endif
