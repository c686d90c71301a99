/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op: what a node of the graph can do. One file a family: shape rule, row behaviour, forward and gradient side by side, the
 * family's rows at the foot. An op never sees the graph: its shape rule gets types, its run gets views, its gradient adds
 * ops through a function pointer that the graph supplies. So ops are tested without a graph.
 *
 * Extent. A tensor is ROWS (its first axis is the batch, and row i is row i of the batch), BATCH (needs all rows: a loss, a
 * parameter's gradient, moments; or a value in which rows are mixed) or FIXED (parameters, constants, what follows from
 * them alone).
 */
#ifndef PILASTER_OP_H
#define PILASTER_OP_H

#include "kernel/kernel.h"
#include "pilaster/graph.h"
#include "tensor/tensor.h"

/* ---- random.c ---- */
/* The public initializers. Numbers: the constant a; normal and truncated normal with mean a and deviation b (the truncated one drawn
 * again beyond two); uniform in [a, b); orthogonal (Q of a normal matrix's QR, R's diagonal positive) and identity times a. The normal
 * kinds of Glorot, He and LeCun are truncated, of deviation / 0.87962566103423978. */
/* Elements first .. first + count of a contiguous tensor of that shape. Orthogonal: first 0 and all elements only. */
bool initializer_fill(pil_initializer initializer, struct random_key key, struct shape shape, int64_t first, int64_t count,
                      float *out, pil_status *status);

/* ---- types ---- */
enum extent { EXTENT_FIXED, EXTENT_BATCH, EXTENT_ROWS };
struct op_type {
    enum dtype dtype;
    enum extent extent;
    bool sparse;        /* ids per row (struct sparse) instead of dense values; always ROWS */
    struct shape shape; /* ROWS: dims[0] is BATCH_DIM. Sparse: [BATCH_DIM] */
};
#define OP_ROWS(type) ((type).extent == EXTENT_ROWS)

/* The batch axis shows in the shape: a tensor whose first axis alone is BATCH_DIM is ROWS, one that has it elsewhere is BATCH,
 * any other is FIXED, or BATCH where its values depend on the rows. op_infer refuses what would have it twice. */

/* What a node does with rows, from its inputs' extents and its arguments. */
enum behaviour {
    BEHAVIOUR_ROW_BY_ROW, /* row i of the output needs row i of ROWS inputs; runs tile by tile */
    BEHAVIOUR_REDUCES,    /* ROWS in, BATCH out: run adds a tile's contribution to the shard's partial */
    BEHAVIOUR_WHOLE       /* everything else: runs once, whole tensors in, whole tensors out (mixes rows, or sees none) */
};
enum { OP_MAX_OUTPUTS = 256 };

/* ---- shape rule ---- */
struct op_infer {
    const void *args; /* the row's options struct */
    int input_count;
    const struct op_type *inputs;
    const char *const *input_names; /* for errors */
    int output_count;               /* the row's; a rule may set another */
    struct op_type outputs[OP_MAX_OUTPUTS];
    enum behaviour behaviour; /* set by the rule */
    pil_status *status;
};

/* ---- forward ---- */
/* A dense value, or a sparse one. */
struct op_value {
    struct tensor tensor;
    struct sparse sparse;
};
struct op_run {
    const void *args;
    const struct kernels *kernels;
    int input_count, output_count;
    const struct op_value *inputs;
    struct op_value *outputs;
    bool accumulate;    /* REDUCES: false for the shard's first tile (write), true for the others (add); else false */
    int64_t first_row;  /* the tile's first row within the batch */
    int64_t rows;       /* rows of the tile (ROW_BY_ROW, REDUCES) or of the batch (WHOLE) */
    int64_t batch_rows; /* rows of the whole batch */
    int64_t step;       /* the global step, for random numbers */
    uint64_t seed;
    const char *name;   /* the node's name: names its random stream */
    void *scratch;      /* as many bytes as the row's scratch() asked for */
    pil_status *status; /* for what data can cause (a label out of range); each worker has its own */
};

/* ---- gradient ---- */
/* A handle on a tensor of the graph, opaque to ops. NULL means "no gradient". */
struct pil_tensor;
struct op_gradient {
    const void *args;
    const char *name; /* the node's name: the stream a dropout's gradient must draw again */
    int input_count, output_count;
    struct pil_tensor *const *inputs;
    struct pil_tensor *const *outputs;
    struct pil_tensor *const *output_gradients; /* NULL where nothing flows back */
    struct pil_tensor **input_gradients;        /* to be filled; stays NULL where there is none. Types as the inputs' */
    const bool *wanted;                         /* per input: does anything below need it? */
    /* Adds an op and returns its first output (all of them in `outputs` when not NULL). Never NULL: sticky error. */
    struct pil_tensor *(*emit)(void *context, const char *op, const void *args, struct pil_tensor *const *inputs, int input_count,
                               struct pil_tensor **outputs);
    struct op_type (*type)(void *context, const struct pil_tensor *tensor);
    void *context;
};
static inline struct pil_tensor *op_emit1(struct op_gradient *g, const char *op, const void *args, struct pil_tensor *a)
{
    return g->emit(g->context, op, args, (struct pil_tensor *[]){ a }, 1, NULL);
}
static inline struct pil_tensor *op_emit2(struct op_gradient *g, const char *op, const void *args, struct pil_tensor *a,
                                          struct pil_tensor *b)
{
    return g->emit(g->context, op, args, (struct pil_tensor *[]){ a, b }, 2, NULL);
}
static inline struct pil_tensor *op_emit3(struct op_gradient *g, const char *op, const void *args, struct pil_tensor *a,
                                          struct pil_tensor *b, struct pil_tensor *c)
{
    return g->emit(g->context, op, args, (struct pil_tensor *[]){ a, b, c }, 3, NULL);
}

/* ---- a row ---- */
enum op_flag {
    OP_WRITES_STRIDED = 1, /* may write its output as columns of a wider buffer (a concat's): respects ld, touches no pads */
    OP_IN_PLACE = 4,       /* output 0 may take the memory of an input of its shape that nobody reads afterwards */
    OP_RECORD = 8,         /* a sparse gradient: no run; the optimizer reads the node's inputs: ids, the gradient, the table */
    OP_TAKES_VIEWS = 16,   /* its dense inputs may be columns of a wider buffer: nothing behind `cols` is read */
    OP_READS_TABLES = 32 /* its variables are tables, of which it reads rows by id: an optimizer's slots may stand beside them */
};
struct op_row {
    const char *name;
    const char *help;
    size_t args_size; /* of its options struct; 0: it has none */
    const struct arg
        *arguments; /* that struct, field by field: a graph is written and read by them (OP_ARGUMENTS in internal.h) */
    size_t argument_count;
    const void *defaults;       /* the struct that stands for none at all; NULL: zeros */
    int min_inputs, max_inputs; /* max -1: any number */
    int outputs;                /* 0: one */
    int flags;
    bool (*infer)(struct op_infer *infer); /* returns status_ok */
    void (*run)(struct op_run *run);
    void (*gradient)(struct op_gradient *gradient); /* NULL: no gradient flows through */
    size_t (*scratch)(const void *args, const struct op_type *inputs, const struct op_type *outputs,
                      int64_t tile_rows); /* bytes or NULL */
    /* Work of one row (ROW_BY_ROW, REDUCES) in floating-point operations, for shards and for `inspect`. NULL: counts elements. */
    double (*work)(const void *args, const struct op_type *inputs, const struct op_type *outputs);
    /* Of an op that moves rows without changing them: where in a row of its input an output's row begins, in elements; -1 where it
     * does not lie there in one run. Such an output is a view where its readers take one, and run finds it written already. */
    int64_t (*view)(const void *args, const struct op_type *input, int output);
    /* Adapts a copy of its options to the outputs that are read; returns how many it writes then, the last ones left out. NULL: all. */
    int (*narrow)(void *args, const bool *read, int output_count);
};

/* A row's arguments as a table for args_parse and args_print. A tensor among the fields (what a public macro swallowed) is none:
 * nodes have NULL there. */
struct arg_table op_arguments(const struct op_row *row);
extern const char *const op_activation_words[]; /* by their numbers, NULL-terminated: "linear", "relu", ... */
extern const char *const op_combiner_words[];

/* All rows of all families. */
const struct op_row *op_find(const char *name);
size_t op_count(void);
const struct op_row *op_at(size_t i);
/* Checks the number of inputs, runs the shape rule and checks where the batch axis stands in its outputs; errors name the op, its
 * inputs and their shapes. */
bool op_infer(const struct op_row *row, struct op_infer *infer);

/* Softplus, GELU, swish, mish: their derivative cannot be told from their value, so no product fuses them. */
bool op_activation_takes_input(enum activation activation);

/* ---- argument structs that other rooms fill (each documented with its op) ---- */
struct op_matmul_args { /* y = act(x W + b); inputs x, W [, b] [, gate] */
    bool transpose_a;
    bool gate; /* the last input gates the product: zero where it is not above 0 (a ReLU's gradient; set by plan.c's fusion) */
    bool bias;
    enum activation activation;
};
struct op_transposes_args { /* batch_matmul */
    bool transpose_a, transpose_b;
};
struct op_gather_back_args { /* gather_gradient: params' shape, and gather's arguments */
    struct shape shape;
    int axis, batch_dims;
};
struct op_lookup_args { /* pairs (ids, table): combine each, then add the pairs: a linear model's sum; one pair: an embedding */
    enum combiner combiner;
    float max_norm;
    int pairs;
    bool foreign; /* nobody knows that the ids are below the tables' rows: they are checked */
};
struct op_indicator_args {
    int64_t depth;
};
struct op_axis_args { /* concat; from the end where below 0 */
    int axis;
};
struct op_slice_args { /* columns [first, first + count) of `axis` */
    int axis;
    int64_t first, count;
};
struct op_pad_args { /* pad_zeros: the input stands at `first` of `total` positions of `axis` */
    int axis;
    int64_t first, total;
};
struct op_dropout_args {
    float rate;
    const char *stream;       /* whose random numbers: NULL for the node's own, a gradient names its forward node */
    struct shape noise_shape; /* axes of 1 share a draw, -1 is x's own size; rank 0: an element each */
    bool seeded;              /* by `seed`, else by the run's */
    int64_t seed;
};
struct op_scalar_args {
    float value;
};
struct op_activation_args {
    enum activation activation;
};
struct op_norm_args {
    float epsilon;
    bool training; /* mean and variance are the batch's own */
};
struct op_layer_norm_args {
    int axis; /* the first of those that are normalized together; from the end where below 0 */
    float epsilon;
};
struct op_count_args {
    int64_t factor; /* divide_by_rows: by rows * factor; moments_mean: positions of a channel in a row; 0: 1 */
};
struct op_reshape_args {
    struct shape shape; /* one -1 is inferred, besides the batch axis, which stays the first */
};
struct op_cast_args {
    enum dtype dtype;
};
enum rnn_cell { RNN_LSTM, RNN_GRU, RNN_SIMPLE };
enum rnn_ends {
    RNN_ENDS_NEVER,
    RNN_ENDS_LENGTHS, /* [batch, 1]: steps of the sequence, in the order of time */
    RNN_ENDS_MASK     /* [batch, time]: 0 where a step is left out */
};
/* One recurrent layer over time; G gates: LSTM 4, GRU 3, simple 1. Inputs in this order, those in brackets as the fields say:
 *   x [batch, time, features], kernel [features, G hidden], recurrent kernel [hidden, G hidden] (joined: kernel
 *   [features + hidden, G hidden] alone), [bias [G hidden]; of a GRU with reset_after [2, 3 hidden]: for x, for h],
 *   [initial h [batch, hidden], for an LSTM c too], [lengths or mask].
 * Outputs: the sequence [batch, time, hidden] in the order of the steps, or the last step's [batch, hidden]; final h; LSTM:
 * final c; then, unless forward_only, what the gradient needs. */
struct op_rnn_args {
    enum rnn_cell cell;
    int64_t hidden;
    enum activation activation,
        recurrent;     /* TANH and SIGMOID in the originals; those whose derivative follows from their value */
    bool keras_order;  /* LSTM: gates i, f, c, o, else i, j, f, o. GRU: z, r, h, else r, z, h (GRUCell's r, u, c) */
    bool reset_after;  /* GRU: the reset gate works on h R + b, else on h */
    float forget_bias; /* LSTM */
    bool joined, bias, initial_state;
    enum rnn_ends ends;
    bool zero_output; /* a step left out gives zeros (static_rnn), else the output before it (Keras; at first zeros) */
    bool sequence;
    bool backwards;    /* the steps go from the last to the first */
    bool forward_only; /* saves nothing: no gradient flows through */
    bool state_only;   /* output 0 is not written: nobody reads it (set by the plan) */
};
#endif
