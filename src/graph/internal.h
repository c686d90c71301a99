/* SPDX-License-Identifier: Apache-2.0 */
/* The graph's nodes, and the plan that is made of them: shared by the files of this room. */
#ifndef PILASTER_GRAPH_INTERNAL_H
#define PILASTER_GRAPH_INTERNAL_H

#include "graph/graph.h"

/* ---- the graph: nodes in order of creation, which is an order of evaluation ---- */
enum node_kind { NODE_OP, NODE_INPUT, NODE_VARIABLE, NODE_CONSTANT };
struct node {
    enum node_kind kind;
    int number; /* position in the graph */
    const char *name;
    const struct op_row *row; /* NODE_OP */
    void *args;
    int input_count, output_count;
    struct pil_tensor **inputs;
    struct pil_tensor *outputs;
    enum behaviour behaviour;
    struct graph_variable *variable; /* NODE_VARIABLE */
    struct tensor constant;          /* NODE_CONSTANT */
};
/* What flows back into a variable. */
struct variable_gradient {
    struct pil_tensor **dense;
    int dense_count;
    struct node **records;
    int record_count;
};
struct moving {
    struct pil_tensor *variable, *value;
    float decay;
};
struct variable_entry { /* the public part first, so that one pointer serves both */
    struct graph_variable variable;
    struct variable_gradient gradient;
    int number;
};
struct pil_graph {
    pil_status status;
    struct arena *arena;
    struct node **nodes;
    size_t node_count, node_capacity;
    struct variable_entry **variables;
    size_t variable_count, variable_capacity;
    struct moving *movings;
    size_t moving_count, moving_capacity;
    struct map *names;       /* of nodes: each once */
    char scope[512];
    struct node error_node;
    struct pil_tensor error_tensor;
    bool has_gradients;
};
struct node *graph_add_node(struct pil_graph *graph, enum node_kind kind, const char *name, int output_count);
const char *graph_unique_name(struct pil_graph *graph, const char *name);

/* ---- the plan ---- */
enum place {
    PLACE_NONE,
    PLACE_INPUT,    /* bound each run */
    PLACE_VARIABLE, /* bound once */
    PLACE_CONSTANT, /* the graph's */
    PLACE_STATIC,   /* fixed size, whole stages: at `offset` of the session's static memory */
    PLACE_TILE,     /* a tile's rows: at `offset` floats-per-row of the worker's arena */
    PLACE_BATCH,    /* batch-sized: buffer number `offset` */
    PLACE_PARTIAL,  /* a reduction's: at `offset` bytes of the stage's partial block of a shard */
    PLACE_GRADIENT, /* a reduction's that is a variable's gradient: in the group's partial block of a shard */
    PLACE_COLUMNS   /* columns of another tensor's memory: `base`, `offset` elements further on, the base's ld */
};
struct plan_tensor {
    struct pil_tensor *tensor;
    enum place place;
    int64_t offset;
    int base;          /* PLACE_COLUMNS: plan tensor number */
    int64_t ld, cols;  /* elements */
    int maker;         /* step number, -1 for sources */
    int first_use, last_use; /* step numbers */
    int uses;
    bool batch_sized;  /* crosses a border, or is fetched */
    bool fetched;
    int stage;         /* its maker's */
    int variable;      /* PLACE_VARIABLE, PLACE_GRADIENT: number in the graph */
    int input;         /* PLACE_INPUT: number in the plan */
};
struct step {
    const struct node *node; /* names it */
    const struct op_row *row;
    const void *args;
    enum behaviour behaviour;
    int stage;
    int input_count, output_count;
    int *inputs, *outputs; /* plan tensor numbers */
    bool view;             /* nothing to run */
    bool adds;             /* PLACE_GRADIENT shared with an earlier step: always accumulate */
    bool dropped;
    size_t scratch;
};
struct plan_stage {
    int first, count;           /* of `order` */
    size_t partial_doubles;     /* bytes of float64 partials, at the front of the block */
    size_t partial_bytes;       /* of a shard's block, a multiple of 64 */
};
struct plan {
    struct pil_graph *graph;
    struct arena *arena;
    struct plan_tensor *tensors;
    int tensor_count;
    struct step *steps;   /* in order of evaluation */
    int step_count;
    int *order;           /* step numbers by stage */
    struct plan_stage *stages;
    int stage_count;
    int *fetches;
    size_t fetch_count;
    struct pil_tensor **inputs;
    int input_count;
    int batch_buffers;
    int64_t tile_bytes;   /* of a worker's arena */
    size_t static_bytes;
    size_t scratch_bytes;
    int max_operands;
    double flops;         /* a row */
    int64_t gradient_bytes;
    int *number_of;       /* plan tensor of (node, output): index_of[node->number] + output */
    int *index_of;
};
int plan_number(const struct plan *plan, const struct pil_tensor *tensor);
bool plan_is_rows(const struct plan *plan, int tensor); /* laid out by rows of the batch */
bool phase_cut(struct plan *plan, pil_status *status);  /* phase.c: stages, borders */
bool place_all(struct plan *plan, pil_status *status);  /* place.c: buffers */

/* For tests: fills every buffer that is not a pad with NaN, so that reading what was not written shows. */
void session_poison(struct session *session);

#endif
