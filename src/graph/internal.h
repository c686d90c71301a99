/* SPDX-License-Identifier: Apache-2.0 */
/* The graph's nodes, and the plan that is made of them: shared by the files of this room. */
#ifndef PILASTER_GRAPH_INTERNAL_H
#define PILASTER_GRAPH_INTERNAL_H

#include "graph/graph.h"

/* ---- the graph: nodes in order of creation, which is an order of evaluation ---- */
enum { MAX_SCOPES = 64 };
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
    struct map *names; /* of nodes: each once */
    int *name_counts;  /* by a name's number there: the suffix to try next */
    size_t name_count_capacity;
    struct map *input_names; /* by the number of the key: inputs, and the same of variables */
    struct pil_tensor **inputs;
    size_t input_capacity;
    struct map *variable_names;
    char scope[512];
    int scope_starts[MAX_SCOPES]; /* where each of the nested scopes begins */
    int scope_depth;
    struct node error_node;
    struct pil_tensor error_tensor;
    bool has_gradients, forward_only;
    struct pil_tensor *loss; /* what the gradients are of */
    bool unrolls_cells;      /* for tests: recurrent layers are made of small ops, also where one node could do */
};
struct node *graph_add_node(struct pil_graph *graph, enum node_kind kind, const char *name, int output_count);

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
    int base;                /* PLACE_COLUMNS: plan tensor number */
    int64_t ld, cols;        /* elements */
    int maker;               /* step number, -1 for sources */
    int first_use, last_use; /* step numbers */
    int uses;
    bool batch_sized; /* crosses a border, or is fetched */
    bool fetched;
    bool lookup_only; /* PLACE_VARIABLE: only lookups read it */
    bool view;        /* columns of its maker's first input, from `offset` on */
    int stage;        /* its maker's */
    int slot;         /* PLACE_TILE: of the arena */
    int variable;     /* PLACE_VARIABLE, PLACE_GRADIENT: number in the graph; else -1 */
    int input;        /* PLACE_INPUT: number in the plan */
};
struct step {
    const struct node *node; /* names it */
    const struct op_row *row;
    const void *args;
    enum behaviour behaviour;
    int stage;
    int input_count, output_count;
    int *inputs, *outputs; /* plan tensor numbers */
    bool view;             /* all outputs are: nothing to run */
    bool adds;             /* PLACE_GRADIENT shared with an earlier step: always accumulate */
    bool dropped;
    size_t scratch;
};
struct plan_stage {
    int first, count;       /* of `order` */
    size_t partial_doubles; /* bytes of float64 partials, at the front of the block */
    size_t partial_bytes;   /* of a shard's block, a multiple of 64 */
};
struct plan {
    struct pil_graph *graph;
    struct arena *arena;
    struct plan_tensor *tensors;
    int tensor_count;
    struct step *steps; /* in order of evaluation */
    int step_count;
    int *order; /* step numbers by stage */
    struct plan_stage *stages;
    int stage_count;
    int *fetches;
    size_t fetch_count;
    struct pil_tensor **inputs;
    int input_count;
    int batch_buffers;
    int64_t tile_bytes; /* of a worker's arena */
    size_t static_bytes;
    size_t scratch_bytes;
    int max_operands;
    double flops; /* a row */
    int64_t gradient_bytes;
    int *number_of; /* plan tensor of (node, output): index_of[node->number] + output */
    int *index_of;
};
int plan_number(const struct plan *plan, const struct pil_tensor *tensor);
bool plan_is_rows(const struct plan *plan, int tensor); /* laid out by rows of the batch */
bool phase_cut(struct plan *plan, pil_status *status);  /* phase.c: stages, borders */
bool place_all(struct plan *plan, pil_status *status);  /* place.c: buffers */

/* ---- the session ---- */
enum { MAX_JOBS = 8 }; /* of a run of the workers: the shards, and what the caller appends */

/* A group's gradient blocks, one a shard. */
struct group {
    float *partials[MAX_SHARDS];
    int64_t floats;
};
struct buffer {
    char *data;
    size_t capacity;
};
/* An input or output of a step, as it is found when a tile comes. Most operands never move: they are settled once for every
 * worker. Those of rows move from tile to tile, and a reduction is written in its shard's block. */
struct operand {
    int tensor, root;  /* plan tensors: its own, and the one in whose memory it lies */
    int64_t columns;   /* bytes from the beginning of the root's row to its own */
    char *base;        /* at the batch's row 0, where a tile's rows begin first * row_bytes further on */
    int64_t row_bytes; /* 0: every tile begins at the same place */
};
/* Operands by stage: those of stage s are numbers[first[s]] .. numbers[first[s + 1] - 1]. */
struct operand_list {
    int *first, *numbers;
};
struct worker {
    char *arena;
    void *scratch;
    struct op_value *values; /* by operand */
    struct op_run *runs;     /* by step */
    pil_status status;
    int64_t bad_row; /* where the status is from */
    double *seconds; /* by step, when profiled; else NULL */
};
double profile_now(void); /* profile.c */
/* What a record's dense ids became. */
struct record_memory {
    int32_t *ids;
    float *gradient;
    size_t id_capacity, gradient_capacity;
};
struct session {
    const struct plan *plan;
    struct threads *threads;
    const struct kernels *kernels;
    uint64_t seed;
    int worker_count;
    struct worker *workers;
    struct operand *operands;
    int operand_count;
    struct operand_list moving;  /* rows, dense or sparse */
    struct operand_list sharded; /* reductions' outputs */
    int *input_operands;         /* dense ones that lie in an input */
    int input_operand_count;
    struct session_variable *variables; /* by the graph's number */
    bool *bound;
    struct op_value *inputs;
    struct map *input_names; /* to numbers of inputs */
    struct group *groups;
    size_t group_capacity;
    int group_count;
    struct buffer *buffers;  /* PLACE_BATCH */
    char *memory;            /* PLACE_STATIC */
    struct buffer *partials; /* per stage: MAX_SHARDS blocks at most */
    struct op_value *fetches;
    struct session_record *records;
    struct sparse *record_ids;
    struct record_memory *record_memory;
    size_t record_count;
    bool settled; /* no buffer was moved since operands were settled */
    /* of the run in progress */
    int64_t rows, step, shards;
    int stage;
    bool poisoned;
};
/* The first byte of what a plan tensor that is no part of another holds; a reduction's in the block of `shard`. run.c */
char *session_address(const struct session *session, const struct worker *worker, const struct plan_tensor *tensor,
                      int64_t shard);
/* The plan tensor in whose memory t lies, and how many elements into its rows. */
int plan_root(const struct plan *plan, int t, int64_t *columns);
/* What does not change from tile to tile: type, columns, distance of rows. */
struct op_value session_template(const struct plan *plan, int t);

/* A tensor of the whole batch, as a run has left it. run.c */
struct op_value session_whole(const struct session *session, int t);
bool record_collect(struct session *session, pil_status *status); /* record.c */
void record_free(struct session *session);

/* For tests: fills every buffer that is not a pad with NaN before each run, so that reading what was not written shows. */
void session_poison(struct session *session);
/* For tests: the first tensor of which a pad is not zero, or NULL. */
const char *session_dirty_pad(const struct session *session);

#endif
