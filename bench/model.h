/* SPDX-License-Identifier: Apache-2.0 */
/* A graph's variables in a store, moved by one optimizer, and bound to a session: for programs that build their model by hand. */
#ifndef PILASTER_BENCH_MODEL_H
#define PILASTER_BENCH_MODEL_H

#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "store/store.h"
#include "train/train.h"

static inline bool bench_declare(struct store *store, const struct pil_graph *graph, const struct optimizer *optimizer,
                                 const char *scope, pil_status *status)
{
    for (size_t i = 0; i < graph_variable_count(graph); i++) {
        const struct graph_variable *variable = graph_variable_at(graph, i);
        struct variable *stored = store_declare(store, variable->name, DTYPE_FLOAT32, variable->shape,
                                                variable->lookup_only ? STORE_TABLE : STORE_DENSE, status);
        if (!stored)
            return false;
        stored->trainable = true;
        stored->initializer = variable->initializer;
        if (!optimizer_declare(optimizer, store, stored, &(struct optimizer_names){ .scope = scope }, status))
            return false;
    }
    return store_allocate(store, status);
}

static inline bool bench_bind(struct session *session, const struct store *store, const struct pil_graph *graph,
                              pil_status *status)
{
    for (size_t i = 0; i < graph_variable_count(graph); i++) {
        const struct graph_variable *variable = graph_variable_at(graph, i);
        const struct variable *stored = store_find(store, variable->name);
        bool block = stored->layout == STORE_DENSE;
        if (!session_bind(session, variable, &(struct session_variable){ stored->value, block ? 0 : -1, stored->block_offset },
                          status))
            return false;
    }
    return session_groups(session, 0, store_block(store, 0).floats, status);
}

/* The number behind `--name` on the command line; 1 for a bare last one. */
static inline int64_t bench_option(int count, char **words, const char *name, int64_t otherwise)
{
    for (int i = 1; i < count; i++)
        if (strcmp(words[i], name) == 0)
            return i + 1 < count ? strtoll(words[i + 1], NULL, 10) : 1;
    return otherwise;
}

#endif
