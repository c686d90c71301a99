/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel: the hot loops. Each family is one source, compiled once per level (plain C, AVX2, AVX-512) and chosen at start
 * by what the processor has; PILASTER_CPU=c|avx2|avx512 forces one. A kernel never allocates, never fails, never sees a
 * graph: sizes were checked before. Shapes stand in brackets.
 *
 * Bits. An output of a product is one chain of fused multiply-adds over k in ascending order, started from the bias (or c,
 * or 0); of a product with one column (n = 1, A as it lies), and of a sum over columns, it is a sum over 16 lanes whatever
 * the vector width (lane i takes elements i, i + 16, ...), folded in a fixed order (8+8, 4+4, 2+2, 1+1). So AVX2 and AVX-512
 * give equal bits, and so does level c where the processor's baseline has the instruction (ARM). Without it (level c on x86)
 * every multiply-add is rounded twice: correct results, bits of its own.
 */
#ifndef PILASTER_KERNEL_H
#define PILASTER_KERNEL_H

#include "tensor/tensor.h"

/* ---- activation functions, shared by gemm's epilogue and the element-wise kernels ---- */
enum activation {
    ACTIVATION_LINEAR,
    ACTIVATION_RELU,
    ACTIVATION_SIGMOID,
    ACTIVATION_TANH,
    ACTIVATION_ELU, /* alpha 1 */
    ACTIVATION_SELU,
    ACTIVATION_SOFTPLUS,
    ACTIVATION_SOFTSIGN,
    ACTIVATION_EXPONENTIAL,
    ACTIVATION_GELU, /* by erf, as Keras's default */
    ACTIVATION_SWISH,
    ACTIVATION_HARD_SIGMOID, /* clip(0.2 x + 0.5, 0, 1), Keras 2 */
    ACTIVATION_LEAKY_RELU,   /* slope 0.2 as tf.nn.leaky_relu */
    ACTIVATION_RELU6,
    ACTIVATION_MISH,
    ACTIVATION_COUNT
};

/* c[m, n] = epilogue(bias + a[m, k] b[k, n] (+ c)).
 * a: element (i, p) at a[i * a_row + p * a_column]: (ld, 1) as it lies, (1, ld) transposed.
 * b: row p at b + p * ldb; columns n .. pad_columns(n) of each row are readable and zero when n > 1.
 * c: row i at c + i * ldc. With ldc >= pad_columns(n) pads are written (with zeros); else exactly n columns are.
 * n = 1, k = 1 and m = 1 are fast paths of the same call (b then has ldb 1, c ldc 1, when n = 1). */
struct gemm {
    int64_t m, n, k;
    const float *a;
    int64_t a_row, a_column;
    const float *b;
    int64_t ldb;
    float *c;
    int64_t ldc;
    const float *bias;          /* [pad_columns(n)] or NULL */
    bool accumulate;            /* start from c instead of 0 (then no bias) */
    enum activation activation; /* epilogue: LINEAR or RELU inside the tile, others by a pass while the block is hot */
    const float *gate;          /* epilogue, after that: c where gate > 0, else 0 (ReLU's gradient); NULL: none */
    int64_t gate_ld;
};

/* out[r] = combination of the table's rows for row r of `ids`, r in [0, ids->rows).
 * table row i: `dim` floats at table + i * stride; with dim > 1, floats up to the next multiple of 4 are readable (the store
 * pads its rows so; of `out` exactly dim columns are written, since it may be part of a concat). Ids are below table_rows;
 * any id < 0 is dropped. Empty rows give zeros. */
enum combiner { COMBINER_SUM, COMBINER_MEAN, COMBINER_SQRTN };
struct lookup {
    const float *table;
    int64_t stride;
    int64_t dim;
    int64_t table_rows;
    const struct sparse *ids; /* a slice: offsets count from the whole */
    enum combiner combiner;
    float max_norm;  /* 0: none. Each row is scaled to at most this L2 norm before combining */
    bool accumulate; /* add to out instead of writing it */
    float *out;      /* [rows, dim], `ld` apart */
    int64_t ld;
};

/* The coefficient of each entry in its row's combination: sum w, mean w / sum w, sqrtn w / sqrt(sum w^2); 0 for a dropped
 * entry (id < 0; weight <= 0 unless combiner is sum). out: [entries of the slice]. */
struct coefficients {
    const struct sparse *ids;
    enum combiner combiner;
    float *out;
};

/* Every optimizer's formula: w and its slots after one step with gradient g. sqrt and division are exact. In brackets the
 * slots in order; TensorFlow's names and first values are the optimizer's row's business (train/optimizer.c). w, slots and
 * g all 0 (a pad) stay 0, provided epsilon > 0 where a formula has one besides Adagrad's. "r" is rate, "eps" epsilon. */
enum update_formula {
    UPDATE_SGD,              /* []      w -= r g */
    UPDATE_MOMENTUM,         /* [a]     a = momentum a + g; w -= r (nesterov ? g + momentum a : a)              1.x */
    UPDATE_MOMENTUM_KERAS,   /* [v]     v = momentum v - r g; w += nesterov ? momentum v - r g : v */
    UPDATE_ADAGRAD,          /* [n]     n += g^2; w -= r g / (sqrt(n) + eps)          1.x: eps 0; Keras legacy: 1e-7 */
    UPDATE_ADAGRAD_INSIDE,   /* [n]     n += g^2; w -= r g / sqrt(n + eps)                          Keras's newer class */
    UPDATE_ADAM,             /* [m, v]  m, v: moving means of g, g^2 by beta_1, beta_2; w -= r m / (sqrt(v) + eps) */
    UPDATE_ADAM_AMSGRAD,     /* [m, v, h]  the same with h = max(h, v) under the root */
    UPDATE_RMSPROP,          /* [s]     s: moving mean of g^2 by rho; w -= r g / (sqrt(s) + eps)   Keras, momentum 0 */
    UPDATE_RMSPROP_ROOT,     /* [s]     the same with w -= r g / sqrt(s + eps)              Keras's newer class, momentum 0 */
    UPDATE_RMSPROP_INSIDE,   /* [s, a]  a = momentum a + r g / sqrt(s + eps); w -= a           1.x; Keras, momentum > 0 */
    UPDATE_RMSPROP_CENTERED, /* [s, q]     RMSPROP with s - q^2 for s; q: moving mean of g by rho */
    UPDATE_RMSPROP_CENTERED_INSIDE, /* [s, q, a]  RMSPROP_INSIDE likewise */
    UPDATE_FTRL,                    /* [n, z]  n' = n + g^2; z += g + 2 shrinkage w - (n'^-power - n^-power) / r w;
                      *         w = |z| <= l1 ? 0 : (sign(z) l1 - z) / ((n'^-power + beta) / r + 2 l2) */
    UPDATE_ADADELTA,         /* [a, b]  a: moving mean of g^2 by rho; x = g sqrt(b + eps) / sqrt(a + eps); b: of x^2; w -= r x */
    UPDATE_ADAMAX,           /* [m, u]  m as Adam's; u = max(beta_2 u, |g|); w -= r m / (u + eps) */
    UPDATE_NADAM,            /* [m, v]  m, v as Adam's; w -= r (extra[0] g + extra[1] m) / (sqrt(v / extra[2]) + eps) */
    UPDATE_PROXIMAL_ADAGRAD, /* [n]  n += g^2; e = r / sqrt(n); x = w - e g; w = sign(x) max(|x| - e l1, 0) / (1 + e l2) */
    UPDATE_COUNT
};
enum { UPDATE_MAX_SLOTS = 3 };
/* The hyper-parameters of one step. What depends on the step is the caller's to put in, computed in double from the fp32
 * values of the betas (TensorFlow's are fp32: 1 - 0.999f is 0.00099999) and rounded once. With t counting steps from 1:
 *   every formula   rate after its schedule (Keras's decay: rate / (1 + decay (t - 1)))
 *   ADAM, AMSGRAD   rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)
 *   ADAMAX          rate / (1 - beta_1^t)
 *   NADAM           with c(t) = beta_1 (1 - 0.5 * 0.96^(0.004 t)) and P(t) = c(1) c(2) ... c(t):
 *                   extra[0] = (1 - c(t)) / (1 - P(t)), extra[1] = c(t + 1) / (1 - P(t) c(t + 1)), extra[2] = 1 - beta_2^t
 * Fields that a formula does not name are not read. */
struct update {
    enum update_formula formula;
    bool nesterov;
    bool slots_only; /* leave w alone: rows without a gradient where slots decay but weights stay */
    float rate, epsilon;
    float momentum, rho, beta_1, beta_2;
    float l1, l2, shrinkage, beta, power; /* Ftrl (power -0.5, the default, is the fast case), ProximalAdagrad's l1 and l2 */
    float extra[3];
};
int update_slots(enum update_formula formula);
/* What an optimizer does to rows without a gradient in a sparse step: nothing; its slots decay (an update with slots_only
 * and groups NULL); it moves them as well (groups NULL alone). */
enum untouched { UNTOUCHED_STAYS, UNTOUCHED_DECAYS, UNTOUCHED_MOVES };

/* w and slots: n contiguous floats each, slots NULL where the formula has fewer; g is the gradient. Nothing overlaps. */
struct update_dense {
    const struct update *rule;
    float *w;
    float *slot[UPDATE_MAX_SLOTS];
    const float *g;
    int64_t n;
};
/* Rows of a table: weights at row 0 .. dim, slot k at row + (k + 1) * slot_stride. For each group j of `groups` in
 * [first, first + count): g = sum over its entries of coefficient[entry] * gradient[row of entry] (row order), then the
 * formula on row ids[j]. Each id occurs in one group, so ranges of groups can go to different workers. A group may be empty:
 * its row is used with gradient 0. Exactly dim floats of a row, of each slot and of a gradient's row are read and written.
 * groups NULL: rows first .. first + count of the table, each with gradient 0. */
struct update_rows {
    const struct update *rule;
    float *table;
    int64_t stride, slot_stride, dim;
    const struct groups *groups;
    int64_t first, count;
    const float *gradient; /* [rows, dim], gradient_ld apart */
    int64_t gradient_ld;
    const float *coefficient; /* [entries] or NULL: all 1 */
    float max_norm; /* the lookup's; 0: none. g then goes through the scaling of its row, as the row stands before the update */
};

/* Element-wise: rows x cols, each operand with its own ld. Pads of out are not written unless the function maps 0 to 0. */
enum binary { BINARY_ADD, BINARY_SUB, BINARY_MUL, BINARY_DIV, BINARY_MAX, BINARY_MIN, BINARY_COUNT };

/* ---- lstm.c: the element-wise part of one step of a recurrent cell, [rows, hidden]; the products are gemm's ----
 * Every matrix has its own ld. `ended`: NULL, or a flag a row: such a row keeps its state and gets no gradient of its own.
 * Formulas: Hochreiter & Schmidhuber 1997 with Gers's forget gate, as TensorFlow's BasicLSTMCell (gates i, j, f, o) and Keras's
 * LSTM (i, f, c, o) have them; Cho et al. 2014 as Keras's GRU (z, r, h) and TensorFlow's GRUCell (r, u, c). `activation` and
 * `recurrent` are of the kinds whose derivative follows from their value. */
struct lstm_step {
    int64_t rows, hidden;
    enum activation activation, recurrent;
    bool keras_order;  /* i, f, c, o instead of i, j, f, o */
    float forget_bias; /* added to f before its activation */
    const bool *ended;
    const float *sums; /* [rows, 4 hidden]: of the products; may be gates */
    int64_t sums_ld;
    float *gates; /* [rows, 4 hidden] out: i, j, f, o after their activations, in the same order */
    int64_t gates_ld;
    const float *c_before;
    int64_t c_before_ld;
    const float *h_before; /* read where a row has ended */
    int64_t h_before_ld;
    float *c; /* c' = f c + i j; may be c_before */
    int64_t c_ld;
    float *c_activated; /* activation(c') */
    int64_t c_activated_ld;
    float *h; /* h' = o activation(c'); may be h_before */
    int64_t h_ld;
};
/* The way back: gates, c_before and c_activated as the step left them. */
struct lstm_step_gradient {
    const struct lstm_step *step;
    const float *dh; /* the loss by h' */
    int64_t dh_ld;
    float *dc; /* in: the loss by c' other than through h'; out: the loss by c */
    int64_t dc_ld;
    float *dgates; /* [rows, 4 hidden] by the sums of the products; zeros where a row has ended. May be step->gates */
    int64_t dgates_ld;
};
/* z = recurrent(z), r = recurrent(r), each of gates + inner; h' = z h + (1 - z) g with the candidate
 *   reset_after   g = activation(gates + r inner); inner = h R + its bias
 *   otherwise     in two calls: `first_half` gives z, r and reset = r h (inner = h R); the second takes inner = reset R and
 *                 gives g = activation(gates + inner) and h'. */
struct gru_step {
    int64_t rows, hidden;
    enum activation activation, recurrent;
    bool reset_first; /* columns r, z, g instead of z, r, g */
    bool reset_after, first_half;
    const bool *ended;
    float *gates; /* [rows, 3 hidden] in: sums of the products; out: z, r, g after their activations */
    int64_t gates_ld;
    const float *inner; /* [rows, 3 hidden] */
    int64_t inner_ld;
    float *reset; /* without reset_after: [rows, hidden] */
    int64_t reset_ld;
    const float *h_before;
    int64_t h_before_ld;
    float *h; /* may be h_before */
    int64_t h_ld;
};
/* The way back. reset_after: one call gives dgates, dinner (inner as the step had it) and dh (what of the loss reaches h other
 * than through a product). Otherwise two: first_half gives dz, dg and dh's part; with dreset = dg R^T the second gives dr and
 * adds dreset r to dh. */
struct gru_step_gradient {
    const struct gru_step *step;
    float *dh; /* in: the loss by h'; out: by h. Rows that have ended keep theirs */
    int64_t dh_ld;
    float *dgates; /* [rows, 3 hidden]; zeros where a row has ended */
    int64_t dgates_ld;
    float *dinner; /* reset_after: likewise */
    int64_t dinner_ld;
    const float *dreset; /* otherwise: [rows, hidden], read in the second call */
    int64_t dreset_ld;
};

/* ---- lanes.c: a whole LSTM layer of few units, tanh and sigmoid, a row in each lane; the formulas of struct lstm_step ----
 * Arrays are [step][number][rows], rows side by side; LANES_SLACK floats behind each but the kernels can be read and written. */
enum { LANES_MOST_HIDDEN = 7, LANES_SLACK = 16 };
struct lstm_lanes {
    int64_t rows, time, features, hidden;
    bool keras_order, backwards; /* backwards: step 0 takes the last x */
    bool keep;                   /* gates and shown of every step, else of one after the other */
    float forget_bias;
    const float *kernel, *recurrent; /* [features, 4 hidden], [hidden, 4 hidden] */
    int64_t kernel_ld, recurrent_ld;
    const float *bias; /* [4 hidden] or NULL */
    const float *x;    /* [time][features][rows], in the input's order */
    float *h, *c;      /* [time + 1][hidden][rows]; the first are the initial state */
    float *gates;      /* [time][hidden][4][rows]: i, j, f, o after their activations */
    float *shown;      /* [time][hidden][rows]: tanh(c) */
};
/* The way back, over what was kept. */
struct lstm_lanes_gradient {
    const struct lstm_lanes *layer;
    const float *dout; /* [time][hidden][rows]: the loss by the steps' outputs, or NULL */
    float *dh, *dc;    /* [hidden][rows] in: by the final state; out: by the initial one */
    float *dgates;     /* [time][hidden][4][rows], the last step first */
    float *dx;         /* [time][features][rows], in the input's order, or NULL */
};
/* out[k, 4 hidden] (+)= the sums over steps and rows of row first + k of [x, h, 1] times dgates: a kernel's gradient, a bias's. */
struct lstm_lanes_sums {
    const struct lstm_lanes *layer;
    const float *dgates;
    int64_t first, count;
    float *out;
    int64_t ld;
    bool accumulate;
};

struct kernels {
    const char *level; /* "c", "avx2", "avx512" */
    int lanes;

    void (*gemm)(const struct gemm *call);
    void (*transpose)(const float *in, int64_t rows, int64_t cols, int64_t ld, float *out,
                      int64_t out_ld); /* out: [cols, rows] */

    void (*lookup)(const struct lookup *call);
    void (*coefficients)(const struct coefficients *call);

    void (*update_dense)(const struct update_dense *call);
    void (*update_rows)(const struct update_rows *call);
    /* The groups' g added to a dense gradient, for optimizers that treat a sparse gradient as one and for tests:
     * out[ids[j] * out_stride + c] += g[c]. The rule is not read, the table only with max_norm. */
    void (*sum_groups)(const struct update_rows *call, float *out, int64_t out_stride);

    /* y = f(x); dx = dy * f'(x) given y (and x where the derivative needs it: softplus, gelu, swish). In place is fine. */
    void (*activate)(enum activation kind, const float *x, int64_t ldx, float *y, int64_t ldy, int64_t rows, int64_t cols);
    void (*activate_gradient)(enum activation kind, const float *dy, int64_t lddy, const float *y, int64_t ldy, const float *x,
                              int64_t ldx, float *dx, int64_t lddx, int64_t rows, int64_t cols);
    /* Row-wise softmax and log-softmax over cols. */
    void (*softmax)(const float *x, int64_t ldx, float *y, int64_t ldy, int64_t rows, int64_t cols, bool logarithm);
    void (*exp)(const float *x, float *y, int64_t n);
    void (*log)(const float *x, float *y, int64_t n);

    /* out = a op b; ld 0 repeats a's or b's one row. */
    void (*binary)(enum binary kind, const float *a, int64_t lda, const float *b, int64_t ldb, float *out, int64_t ldo,
                   int64_t rows, int64_t cols);
    /* y += a x over n floats (fma). */
    void (*axpy)(int64_t n, float a, const float *x, float *y);
    float (*dot)(int64_t n, const float *x, const float *y);
    double (*sum)(int64_t n, const float *x); /* 16 double lanes */
    /* Column sums in doubles, rows in order: sum[c] += sum_r x[r, c]; square (may be NULL)[c] += sum_r x[r, c]^2. */
    void (*column_sums)(const float *x, int64_t ld, int64_t rows, int64_t cols, double *sum, double *square);
    /* Column sums in floats, rows in order: sum[c] += sum_r x[r, c] (a bias's gradient). */
    void (*bias_gradient)(const float *x, int64_t ld, int64_t rows, int64_t cols, float *sum);

    void (*lstm_step)(const struct lstm_step *step);
    void (*lstm_step_gradient)(const struct lstm_step_gradient *call);
    void (*gru_step)(const struct gru_step *step);
    void (*gru_step_gradient)(const struct gru_step_gradient *call);
    void (*lstm_lanes)(const struct lstm_lanes *call);
    void (*lstm_lanes_gradient)(const struct lstm_lanes_gradient *call);
    void (*lstm_lanes_sums)(const struct lstm_lanes_sums *call);
};

/* The best level this processor has, or the one PILASTER_CPU forces; the same pointer ever after. */
const struct kernels *kernel_get(void);
/* A level by name for tests: NULL when the processor (or the build) lacks it. */
const struct kernels *kernel_level(const char *name);

/* ---- hash.c: the same bits as TensorFlow ---- */
uint64_t fingerprint64(const char *data, size_t size);                 /* farmhash's farmhashna::Hash64 */
uint64_t fingerprint_cat64(uint64_t a, uint64_t b);                    /* TensorFlow's FingerprintCat64 */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);          /* start with 0; hardware where there is one */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size); /* the same by tables, what crc32c falls back to */

/* ---- sort.c ---- */
/* Groups the entries of `ids` (see struct groups); entry and row numbers count from the slice's first. `scratch` holds what
 * sort_scratch(entries) says, 8-byte aligned; out's arrays lie in `memory` of sort_memory(entries) bytes. limit: ids are below
 * it (the way to sort follows from it). */
size_t sort_scratch(int64_t entries);
size_t sort_memory(int64_t entries);
void sort_groups(const struct sparse *ids, int64_t limit, void *scratch, void *memory, struct groups *out);

/* ---- scan.c ---- */
/* Where the fields of a CSV text end: positions of the bytes a and b (delimiter and newline) that are not between quotes.
 * `run` writes as many as surely fit into `limit` (at least 64) and may be called again for the next ones, until at == size.
 * It stops early, with `strange` set, in front of the 64 bytes in which a quote opens in the middle of a field: such a quote
 * is an ordinary character, and telling needs a look at each byte. Texts are below 4 GiB. */
struct scan {
    const char *data;
    size_t size;
    char a, b, quote;
    size_t at;                /* bytes looked at so far */
    uint64_t inside;          /* all ones: the byte before is between quotes */
    uint64_t after_separator; /* 1: the byte before is a separator, or there is none */
    uint64_t after_quote;     /* 1: the byte before is a quote */
    bool strange;
    size_t (*run)(struct scan *scan, uint32_t *ends, size_t limit);
};
struct scan scan_begin(const char *data, size_t size, char a, char b, char quote); /* from the beginning of a record */
size_t scan_count(const char *data, size_t size, char c);                          /* how many bytes are c */
/* The run of a level for tests ("c", "sse2", "avx2"): NULL when the processor (or the build) lacks it. */
size_t (*scan_level(const char *name))(struct scan *scan, uint32_t *ends, size_t limit);

#endif
