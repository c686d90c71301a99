/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of a recurrent layer share: rnn.c goes forward through time, rnn_gradient.c back. Private to them. */
#ifndef PILASTER_OP_RNN_H
#define PILASTER_OP_RNN_H

#include "op/internal.h"

/* ---- sizes and blocks ---- */

struct rnn_sizes {
    int64_t time, features, hidden;
    int64_t columns; /* of all gates */
    int64_t width;   /* padded */
};

int64_t rnn_gate_count(enum rnn_cell cell);
struct rnn_sizes rnn_sizes_of(const struct op_rnn_args *args, int64_t time, int64_t features);

/* What a step leaves behind. */
enum rnn_block {
    BLOCK_JOINED, /* [x, h before] of step t; h of the last step follows as step `time` */
    BLOCK_GATES,
    BLOCK_CELL,  /* LSTM: c before step t; the last c follows */
    BLOCK_SHOWN, /* LSTM: activation(c) */
    BLOCK_INNER, /* GRU: h R + b */
    BLOCK_RESET, /* GRU without reset_after: r h */
    BLOCKS
};
struct rnn_blocks {
    int64_t rows;
    int64_t width[BLOCKS], steps[BLOCKS]; /* a block of one step serves all of them in turn */
    float *data[BLOCKS];
};

/* Returns the floats a row needs. */
int64_t rnn_find_blocks(const struct op_rnn_args *args, const struct rnn_sizes *s, bool keep, int64_t rows, float *data,
                        struct rnn_blocks *out);
float *rnn_block_at(const struct rnn_blocks *blocks, enum rnn_block b, int64_t step);
/* Rows without pads, whatever they hold. */
struct op_type rnn_private_rows(int64_t floats);
/* A piece of scratch memory, on a cache line. */
void *rnn_piece(char **scratch, int64_t bytes);
char *rnn_scratch_begin(void *scratch);

/* ---- which steps are left out ---- */

struct rnn_ended {
    bool *ended;    /* of the step at hand; NULL: none ever */
    int64_t *first; /* the first step that is not left out, `time` when there is none */
};

size_t rnn_ends_scratch(int64_t rows);
struct rnn_ended rnn_ends_begin(const struct op_rnn_args *args, const struct tensor *ends, int64_t rows, int64_t time,
                                char **scratch);
void rnn_ends_step(const struct op_rnn_args *args, const struct tensor *tensor, const struct rnn_ended *ends, int64_t rows,
                   int64_t step, int64_t time);
/* Whether a row's output at this step is not its state but zeros. */
bool rnn_gives_zeros(const struct op_rnn_args *args, const struct rnn_ended *ends, int64_t row, int64_t step);

/* ---- a layer ---- */

/* The inputs by their role; -1 or NULL where there is none. */
struct rnn_roles {
    int kernel, recurrent, bias, h, c, ends, count;
};

struct rnn_roles rnn_roles_of(const struct op_rnn_args *args);

/* ---- rnn_strips.c: b [k, n] in strips of `width` columns, each [k, width] ---- */
struct rnn_strips {
    const float *data; /* NULL: b is taken as it lies */
    int64_t k, n, width;
};
struct rnn_layer;
bool rnn_wants_strips(const struct rnn_sizes *s, int64_t rows);
int64_t rnn_strips_floats(int64_t k, int64_t n);
/* Of both kernels, one below the other, pads included; and of b [rows, columns] transposed. */
struct rnn_strips rnn_strips_pack(const struct rnn_layer *layer, float *data);
struct rnn_strips rnn_strips_transpose(const struct kernels *kernels, const float *b, int64_t ldb, int64_t rows, int64_t columns,
                                       float *data);
void rnn_strips_product(const struct rnn_layer *layer, const float *a, int64_t a_ld, const struct rnn_strips *b,
                        const float *bias, bool accumulate, float *c, int64_t ldc);

/* One run of a layer over a tile. */
struct rnn_layer {
    const struct op_rnn_args *args;
    const struct kernels *kernels;
    struct rnn_sizes s;
    struct rnn_blocks blocks;
    struct rnn_ended ends;
    const float *kernel, *recurrent; /* the rows for x, and for h */
    int64_t kernel_ld, recurrent_ld;
    const float *bias, *recurrent_bias;
    float *sums;                                   /* of the step at hand, an LSTM's */
    struct rnn_strips joined_strips;               /* of both kernels together */
    struct rnn_strips kernel_back, recurrent_back; /* of each transposed */
    int64_t rows;
};

void rnn_find_kernels(struct rnn_layer *layer, const struct tensor *kernel, const struct tensor *recurrent);
/* Rows of a matrix, each `count` floats, from one stride to another; `from` NULL: zeros. */
void rnn_copy_rows(const float *from, int64_t from_ld, float *to, int64_t to_ld, int64_t rows, int64_t count);
void rnn_product(const struct rnn_layer *layer, const float *a, int64_t a_ld, int64_t k, const float *b, int64_t ldb,
                 const float *bias, bool accumulate, float *c, int64_t ldc, int64_t n);
struct lstm_step rnn_lstm_call(const struct rnn_layer *layer, int64_t step);
struct gru_step rnn_gru_call(const struct rnn_layer *layer, int64_t step);
double rnn_products_work(const struct op_rnn_args *args, int64_t time, int64_t features);

void rnn_gradient(struct op_gradient *g); /* of the op rnn */

/* ---- rnn_lanes.c: an LSTM of few units ---- */

/* What the way back is given, NULL where there is none, and what it gives. */
struct rnn_lanes_losses {
    struct rnn_sizes s;
    const struct tensor *by_output, *by_h, *by_c;
    const struct tensor *dx, *dh, *dc;
};

bool rnn_in_lanes(const struct op_rnn_args *args);
int64_t rnn_lanes_floats(const struct rnn_sizes *s, bool keep); /* a row's, of what is saved */
int64_t rnn_lanes_gates(const struct rnn_sizes *s);             /* a row's, of dgates */
void rnn_lanes_run(struct op_run *run);
size_t rnn_lanes_gradient_scratch(const struct rnn_sizes *s, int64_t tile_rows);
void rnn_lanes_gradient_run(struct op_run *run, const struct op_rnn_args *args, const struct rnn_lanes_losses *losses);
void rnn_lanes_sums_run(const struct op_run *run, const struct op_rnn_args *args, const struct rnn_sizes *s,
                        const struct tensor *saved, const struct tensor *dgates, int64_t first, int64_t count);

/* ---- arguments: AT(field) is where a field of struct op_rnn_args stands in the op's own ---- */

extern const char *const rnn_cell_words[], *const rnn_ends_words[];
#define RNN_ARGUMENT_ROWS(AT)                                                                                                    \
    { "cell", &ARG_CHOICE, AT(cell), "the kind of cell", .extra = rnn_cell_words }, { "hidden", &ARG_INT, AT(hidden), "units" }, \
        { "activation", &ARG_CHOICE, AT(activation), "of what enters the state", .extra = op_activation_words },                 \
        { "recurrent", &ARG_CHOICE, AT(recurrent), "of the gates", .extra = op_activation_words },                               \
        { "keras_order", &ARG_BOOL, AT(keras_order), "gates in the order of Keras" },                                            \
        { "reset_after", &ARG_BOOL, AT(reset_after), "a GRU resets behind its product" },                                        \
        { "forget_bias", &ARG_FLOAT, AT(forget_bias), "what an LSTM adds to its forget gate" },                                  \
        { "joined", &ARG_BOOL, AT(joined), "one kernel for input and state" },                                                   \
        { "bias", &ARG_BOOL, AT(bias), "whether there is one" },                                                                 \
        { "initial_state", &ARG_BOOL, AT(initial_state), "whether one is given" },                                               \
        { "ends", &ARG_CHOICE, AT(ends), "how steps are left out", .extra = rnn_ends_words },                                    \
        { "zero_output", &ARG_BOOL, AT(zero_output), "a step left out gives zeros" },                                            \
        { "sequence", &ARG_BOOL, AT(sequence), "all outputs, not the last alone" },                                              \
        { "backwards", &ARG_BOOL, AT(backwards), "from the last step to the first" },                                            \
    {                                                                                                                            \
        "forward_only", &ARG_BOOL, AT(forward_only), "nothing is saved for a gradient"                                           \
    }

#endif
