/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph: a model for one mode, as nodes; its gradients, as nodes of the same graph; compiled once into a plan; run batch
 * after batch by a session that allocates nothing on a second pass.
 *
 *   build     graph_new, graph_input, graph_variable, graph_op: the first error stays, builders never return NULL
 *   grad      graph_gradients: reverse walk; every trainable variable gets a dense gradient, records, or none
 *   plan      dead ops dropped, neighbours fused, stages cut, buffers placed
 *   session   binds variables and inputs, holds the memory
 *   run       runs stages: shards of tiles, the fixed tree
 *
 * Stages. Even stages are WHOLE: nodes that run once (prologue, between phases, epilogue). Odd stages are ROWS: one phase each;
 * its rows run tile by tile through all its nodes. A reduction of stage s can be read from stage s + 1 on, after the tree. A
 * ROWS tensor read in a later stage than it is made in is batch-sized, any other lives in a worker's tile arena.
 *
 * Shards depend on the batch's rows and the plan alone; partials are added in a fixed binary tree: the same bits for any number
 * of threads (execution.md).
 */
#ifndef PILASTER_GRAPH_H
#define PILASTER_GRAPH_H

#include "op/op.h"

enum { TILE_ROWS = 64, MAX_SHARDS = 64 };

/* ---- build.c, variable.c ---- */
struct node;
struct pil_tensor {
    struct op_type type;
    struct node *node;
    int index; /* which output of the node */
};
struct pil_graph;
struct graph_variable {
    const char *name; /* full, as in the checkpoint */
    struct shape shape;
    pil_initializer initializer;
    bool trainable;
    bool lookup_only; /* set by plan_compile: read by lookups alone */
    struct pil_tensor *tensor;
    const char *checkpoint, *checkpoint_tensor; /* ckpt_to_load_from, or NULL */
};

struct pil_graph *graph_new(pil_status *status);
void graph_free(struct pil_graph *graph);
const pil_status *graph_status(const struct pil_graph *graph);
/* Fills the graph's sticky error and returns its error tensor. */
struct pil_tensor *graph_fail(struct pil_graph *graph, const char *format, ...) PRINTF_LIKE(2, 3);
struct pil_tensor *graph_error_tensor(struct pil_graph *graph);
/* The same with an error that another room has filled: its code and hints stay. */
void graph_fail_with(struct pil_graph *graph, const pil_status *reason);
struct arena *graph_arena(struct pil_graph *graph);
/* Names of nodes and variables made until the matching pop are prefixed "scope/". */
void graph_push_scope(struct pil_graph *graph, const char *scope);
void graph_pop_scope(struct pil_graph *graph);
const char *graph_scope(const struct pil_graph *graph); /* the open scopes, "a/b/" or "" */
/* public.c: the open scopes as a model's author wrote them, "a/b", or NULL when all are closed; for whoever checks a model. */
const char *graph_open_scope(struct pil_graph *graph);
/* A name that a caller gave for `what` ("a variable"): not NULL, not empty, of TensorFlow's alphabet; else the graph's error. */
bool graph_check_name(struct pil_graph *graph, const char *what, const char *name);
bool graph_good_name(const char *name);    /* of the alphabet of checkpoints */
struct shape graph_shape(pil_shape shape); /* its rank must have been checked */
bool graph_owns(const struct pil_graph *graph, const struct pil_tensor *tensor);

/* Dense rows input [batch, ...], or a sparse one (dtype and shape ignored). The same name again gives the same tensor; as another
 * type it is an error. */
struct pil_tensor *graph_input(struct pil_graph *graph, const char *name, enum dtype dtype, struct shape shape, bool sparse);
/* A float32 input [batch, columns] that may become wider until the plan is compiled: the same name again gives the same tensor, with
 * at least that many columns. Only columns of it may be read (slice), for what is already built stays as it is. */
struct pil_tensor *graph_grow_input(struct pil_graph *graph, const char *name, int64_t columns);
/* `name` is full (no scope is added). The same name again is an error unless shape and trainable agree. */
struct pil_tensor *graph_variable(struct pil_graph *graph, const char *name, struct shape shape, pil_initializer initializer,
                                  bool trainable);
/* What pil_variable does: the open scopes stand in front of the name, everything is checked, a name used twice is an error. */
struct pil_tensor *graph_new_variable(struct pil_graph *graph, const char *name, pil_shape shape, pil_initializer initializer,
                                      bool trainable);
struct graph_variable *graph_variable_of(const struct pil_tensor *tensor); /* NULL when it is none */
size_t graph_variable_count(const struct pil_graph *graph);
struct graph_variable *graph_variable_at(const struct pil_graph *graph, size_t i);
struct pil_tensor *graph_constant(struct pil_graph *graph, struct shape shape, const float *contiguous);
struct pil_tensor *graph_scalar(struct pil_graph *graph, float value);
/* Adds a node. Returns output 0; all of them in `outputs` when not NULL. */
struct pil_tensor *graph_op(struct pil_graph *graph, const char *op, const void *args, struct pil_tensor *const *inputs,
                            int input_count, struct pil_tensor **outputs);
struct pil_tensor *graph_op1(struct pil_graph *graph, const char *op, const void *args, struct pil_tensor *a);
struct pil_tensor *graph_op2(struct pil_graph *graph, const char *op, const void *args, struct pil_tensor *a,
                             struct pil_tensor *b);
struct pil_tensor *graph_op3(struct pil_graph *graph, const char *op, const void *args, struct pil_tensor *a,
                             struct pil_tensor *b, struct pil_tensor *c);
/* Names an op's node (scoped), before the gradients are added; dropout's random stream follows from it. */
void graph_name(struct pil_graph *graph, struct pil_tensor *tensor, const char *name);
/* The same for what messages call it by: where it cannot be named so, it keeps its name. */
void graph_suggest_name(struct pil_graph *graph, struct pil_tensor *tensor, const char *name);
const char *graph_tensor_name(const struct pil_tensor *tensor);
/* After the last phase of a TRAIN run: variable = decay * variable + (1 - decay) * value. */
void graph_moving(struct pil_graph *graph, struct pil_tensor *variable, struct pil_tensor *value, float decay);
bool graph_is_moving(const struct pil_graph *graph, const struct pil_tensor *variable); /* it is such an average */

/* ---- recurrent.c ---- */
/* A recurrent layer as Keras 2.15 computes LSTM, GRU and SimpleRNN. Variables are the caller's, in Keras's layouts: G gates side by
 * side, an LSTM's i, f, c, o, a GRU's z, r, h. */
struct graph_rnn_options {
    const char *layer; /* for errors, "the layer lstm_1"; NULL: the cell's word */
    enum rnn_cell cell;
    int64_t units;
    const char *activation, *recurrent_activation; /* Keras's names; NULL: linear. A simple cell has no recurrent one */
    bool reset_after;                              /* GRU; Keras's default is true */
    bool return_sequences;                         /* [batch, time, units], else the last step's output, [batch, units] */
    bool go_backwards;         /* the outputs stand in the order of the steps, as Keras's: the last x's first */
    bool zero_output_for_mask; /* a step left out gives zeros, else the output before it. Bidirectional has it with sequences */
    float dropout, recurrent_dropout;    /* as the layer's in TRAIN, else 0 */
    const int64_t *seed;                 /* the layer's own, or NULL: the model's */
    struct pil_tensor *kernel;           /* [features, G units] */
    struct pil_tensor *recurrent_kernel; /* [units, G units] */
    struct pil_tensor *bias;             /* [G units], of a GRU with reset_after [2, 3 units]; NULL: use_bias is false */
    struct pil_tensor *mask;             /* [batch, time], 0 where a step is left out: the state stays. NULL: none is */
};
/* x [batch, time, features]. The op `rnn` where that one can do the layer, else its steps, unrolled. */
struct pil_tensor *graph_rnn(struct pil_graph *graph, struct pil_tensor *x, const struct graph_rnn_options *options);

/* ---- layers.c: ops of layers whose variables somebody else has made ---- */
/* activation(x kernel + bias) over the last axis, the activation fused where it can be. bias: or NULL. */
struct pil_tensor *graph_dense(struct pil_graph *graph, struct pil_tensor *x, struct pil_tensor *kernel, struct pil_tensor *bias,
                               enum activation activation);
/* Channels by the batch's moments, which move the averages, or (training false) by the averages; times gamma plus beta. */
struct graph_batch_norm {
    struct pil_tensor *gamma, *beta, *moving_mean, *moving_variance;
    float momentum, epsilon;
    bool training;
};
struct pil_tensor *graph_batch_norm(struct pil_graph *graph, struct pil_tensor *x, const struct graph_batch_norm *norm);

/* ---- activate.c ---- */
/* By Keras's names (and tf.nn's relu6, leaky_relu, log_softmax); NULL is linear. An unknown one is the graph's error, "<call>: there
 * is no activation 'x'; did you mean 'y'?". */
bool graph_check_activation(struct pil_graph *graph, const char *call, const char *name);
struct pil_tensor *graph_activate(struct pil_graph *graph, const char *call, const char *name, struct pil_tensor *x);
/* The same as a number, for what fuses it; false without an error where the name is no activation of single elements. */
bool graph_find_activation(const char *name, enum activation *out);
/* What a sigmoid or a softmax over the last axis was taken of, where the tensor is such an op's own result; else NULL. */
struct pil_tensor *graph_logits(const struct pil_tensor *tensor, const char *activation);

/* ---- grad.c ---- */
/* Adds the gradients of a scalar loss with respect to every trainable variable it depends on. Once per graph. */
bool graph_gradients(struct pil_graph *graph, struct pil_tensor *loss);
/* Said before the model is built: the graph evaluates or predicts. graph_gradients then looks at the loss and adds nothing. */
void graph_forward_only(struct pil_graph *graph);
bool graph_is_forward_only(const struct pil_graph *graph);
/* What the gradients are of; NULL: none were added. */
struct pil_tensor *graph_loss(const struct pil_graph *graph);
/* Trainable variables that got no gradient: names in the graph's arena. */
size_t graph_without_gradient(const struct pil_graph *graph, const char ***names);

/* ---- save.c ---- */
/* Appends the nodes that some tensors need, in their order, as records of flow text (base.h), and which tensors are wanted. */
bool graph_save(const struct pil_graph *graph, struct pil_tensor *const *wanted, size_t count, struct text *out,
                pil_status *status);
/* What a loaded graph reads: its inputs, and the rows of the smallest table that an input's ids choose from (INT64_MAX: none). */
size_t graph_input_count(const struct pil_graph *graph);
struct pil_tensor *graph_input_at(const struct pil_graph *graph, size_t i);
int64_t graph_fewest_rows(const struct pil_graph *graph, const struct pil_tensor *ids);
/* Reads such records up to the last of them. The wanted tensors lie in the graph's arena, in the order given to graph_save.
 * PIL_BAD_DATA with the file's line where it is no graph, PIL_UNSUPPORTED where it is a newer version's. */
struct pil_graph *graph_load(struct flow_reader *reader, struct pil_tensor ***wanted, size_t *count, pil_status *status);

/* ---- plan.c, phase.c, place.c ---- */
struct plan;
/* Keeps what the fetches need (and, when graph_gradients was called, every gradient and moving update). The graph must outlive
 * the plan. Fetched ROWS tensors are batch-sized. */
struct plan *plan_compile(struct pil_graph *graph, struct pil_tensor *const *fetches, size_t fetch_count, pil_status *status);
int plan_stages(const struct plan *plan);
double plan_flops(const struct plan *plan); /* of one row, all stages */
int64_t plan_shards(const struct plan *plan, int64_t rows);
void plan_dump(const struct plan *plan, struct text *out); /* a line a node: stage, behaviour, shapes, place */
void plan_free(struct plan *plan);

/* ---- session.c, run.c ---- */
/* Where a variable lives. For dense trainable ones also where its gradient goes: `group` and `block_offset` as in the store. */
struct session_variable {
    struct tensor value;
    int group;            /* -1: not in a block (tables, not trainable) */
    int64_t block_offset; /* floats */
};
struct session;
struct session *session_new(const struct plan *plan, struct threads *threads, const struct kernels *kernels, uint64_t seed,
                            pil_status *status);
/* Every variable the plan reads must be bound before the first run. */
bool session_bind(struct session *session, const struct graph_variable *variable, const struct session_variable *where,
                  pil_status *status);
/* Floats of each group's gradient block. Before the first run. */
bool session_groups(struct session *session, int group, int64_t floats, pil_status *status);
/* The batch's values: views that stay valid during the run. Dense ones are padded as tensor_new pads them; ids are below the rows of
 * every table that is read by them, which whoever made them has checked. */
bool session_input(struct session *session, const char *name,
                   const struct op_value *value); /* false: the plan does not read it */
/* Runs one batch. `jobs`, at most seven, are appended behind the first phase's shards (the next batch's input). */
bool session_run(struct session *session, int64_t rows, int64_t step, const struct job *jobs, size_t job_count,
                 pil_status *status);
/* A fetch's value after a run, in the order given to plan_compile. */
const struct op_value *session_fetch(const struct session *session, size_t i);
double session_scalar(const struct session *session, size_t fetch);
/* What a plan is to give, each once; all 0 at first, its items are the caller's to free (mem_free). NULL is fine to add, and has no
 * value. */
struct fetches {
    struct pil_tensor **items;
    size_t count, capacity;
};
bool fetches_add(struct fetches *fetches, struct pil_tensor *tensor, pil_status *status);
/* After a run of a session of that plan; NULL: it is none of them. */
const struct tensor *fetches_value(const struct fetches *fetches, const struct session *session, const struct pil_tensor *tensor);

/* Dense gradients after a run: the partials of a group's block, not yet summed; `count` of them, each `floats` long. The sum is
 * the fixed tree over them: for (step = 1; step < count; step *= 2) p[i] += p[i + step], i a multiple of 2 step. */
struct session_partials {
    float *const *partials;
    int64_t count;
    int64_t floats;
};
struct session_partials session_partials(const struct session *session, int group);
/* Sparse gradients after a run. */
struct session_record {
    const struct graph_variable *variable;
    const struct sparse *ids; /* with groups */
    struct tensor gradient;   /* [rows, dim], strided */
    enum combiner combiner;
    float max_norm;
    bool by_entry; /* of dense ids: TensorFlow's IndexedSlices has a value an entry, not a sum an id (clipping sees it) */
};
size_t session_records(const struct session *session, const struct session_record **records);
/* From now on notes how long each op takes; the text has a line an op, longest first, and returns their sum in seconds. */
bool session_profile(struct session *session, pil_status *status);
double session_profile_text(const struct session *session, struct text *out);
size_t session_bytes(const struct session *session);
void session_free(struct session *session);

#endif
