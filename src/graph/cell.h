/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of recurrent layers share: cell.c says what a cell is, rnn.c carries it over time. Private to them. */
#ifndef PILASTER_GRAPH_CELL_H
#define PILASTER_GRAPH_CELL_H

#include "graph/internal.h"
#include "pilaster/rnn.h"

/* Which variable is which; NULL where a cell has none. */
enum cell_variable {
    CELL_KERNEL,
    CELL_BIAS,
    CELL_CANDIDATE_KERNEL,
    CELL_CANDIDATE_BIAS,
    CELL_W_F,
    CELL_W_I,
    CELL_W_O,
    CELL_PROJECTION,
    CELL_VARIABLES
};
struct cell_kind;
struct pil_rnn_cell {
    const struct cell_kind *kind;
    struct pil_graph *graph;
    const char *name;
    int64_t num_units, size; /* of c, and of h */
    bool use_peepholes, projects;
    float cell_clip, proj_clip, forget_bias;
    enum activation activation;
    pil_initializer kernel_initializer;
    pil_initializer bias_initializers[2]; /* of a GRU: gates, candidate */
    const char *used;                     /* where its variables were made: "<scopes>/<scope>"; NULL before */
    struct pil_tensor *variables[CELL_VARIABLES];
};
/* A row of the table of cells. */
struct cell_kind {
    const char *call; /* who makes one, for errors */
    bool has_c;
    void (*make_variables)(struct pil_rnn_cell *cell, int64_t features);
    /* What the op `rnn` takes behind x for this cell; returns how many, 0 where it cannot do this one. */
    int (*fuse)(const struct pil_rnn_cell *cell, struct op_rnn_args *args, struct pil_tensor **inputs);
    /* One step made of small ops. */
    pil_rnn_state (*step)(const struct pil_rnn_cell *cell, struct pil_tensor *x, pil_rnn_state before);
};

/* The cell's first and only use: makes its variables under the open scopes. */
bool cell_use(struct pil_rnn_cell *cell, const char *call, const char *scope, int64_t features);

#endif
