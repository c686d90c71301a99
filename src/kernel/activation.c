/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activation functions, their gradients, softmax. One inline function a kind tells the formula (functions.h); a loop over the
 * matrix is made for each kind, so that the choice is made once a call.
 */
#include "kernel/functions.h"
#include "kernel/internal.h"

/* A matrix to go through: rows that touch are one long row. */
struct walk {
    int64_t rows, cols;
};

static struct walk walk_of(int64_t rows, int64_t cols, bool contiguous)
{
    return contiguous ? (struct walk){ 1, rows * cols } : (struct walk){ rows, cols };
}

INLINE void values(const enum activation kind, const float *x, int64_t ldx, float *y, int64_t ldy, struct walk walk)
{
    for (int64_t r = 0; r < walk.rows; r++, x += ldx, y += ldy) {
        int64_t c = 0;
        for (; c + VL <= walk.cols; c += VL)
            vstore(y + c, vactivation(kind, vload(x + c)));
        if (c < walk.cols)
            vstore_part(y + c, vactivation(kind, vload_part(x + c, walk.cols - c, 0)), walk.cols - c);
    }
}

INLINE void gradients(const enum activation kind, const float *dy, int64_t lddy, const float *at, int64_t ldat, float *dx,
                      int64_t lddx, struct walk walk)
{
    for (int64_t r = 0; r < walk.rows; r++, dy += lddy, at += ldat, dx += lddx) {
        int64_t c = 0;
        for (; c + VL <= walk.cols; c += VL)
            vstore(dx + c, vactivation_gradient(kind, vload(dy + c), vload(at + c)));
        if (c < walk.cols) {
            int64_t rest = walk.cols - c;
            vstore_part(dx + c, vactivation_gradient(kind, vload_part(dy + c, rest, 0), vload_part(at + c, rest, 0)), rest);
        }
    }
}

/* The kinds with their loops; a kind that is not here is the identity. */
#define EACH_KIND(X)                                                                                                             \
    X(RELU)                                                                                                                      \
    X(SIGMOID)                                                                                                                   \
    X(TANH)                                                                                                                      \
    X(ELU)                                                                                                                       \
    X(SELU)                                                                                                                      \
    X(SOFTPLUS)                                                                                                                  \
    X(SOFTSIGN)                                                                                                                  \
    X(EXPONENTIAL)                                                                                                               \
    X(GELU)                                                                                                                      \
    X(SWISH)                                                                                                                     \
    X(HARD_SIGMOID)                                                                                                              \
    X(LEAKY_RELU)                                                                                                                \
    X(RELU6)                                                                                                                     \
    X(MISH)

#define VALUES(KIND)                                                                                                             \
    case ACTIVATION_##KIND:                                                                                                      \
        values(ACTIVATION_##KIND, x, ldx, y, ldy, walk);                                                                         \
        break;
#define GRADIENTS(KIND)                                                                                                          \
    case ACTIVATION_##KIND:                                                                                                      \
        gradients(ACTIVATION_##KIND, dy, lddy, at, ldat, dx, lddx, walk);                                                        \
        break;

void LEVEL_SYMBOL(kernel_activate)(enum activation kind, const float *x, int64_t ldx, float *y, int64_t ldy, int64_t rows,
                                   int64_t cols)
{
    const struct walk walk = walk_of(rows, cols, ldx == cols && ldy == cols);
    switch (kind) {
        EACH_KIND(VALUES)
    default:
        for (int64_t r = 0; x != y && r < walk.rows; r++)
            memcpy(y + r * ldy, x + r * ldx, (size_t)walk.cols * sizeof(float));
    }
}

static void activate_gradient(enum activation kind, const float *dy, int64_t lddy, const float *y, int64_t ldy, const float *x,
                              int64_t ldx, float *dx, int64_t lddx, int64_t rows, int64_t cols)
{
    const float *at = activation_from_input(kind) ? x : y;
    const int64_t ldat = activation_from_input(kind) ? ldx : ldy;
    const struct walk walk = walk_of(rows, cols, lddy == cols && ldat == cols && lddx == cols);
    switch (kind) {
        EACH_KIND(GRADIENTS)
    default:
        for (int64_t r = 0; dx != dy && r < walk.rows; r++)
            memcpy(dx + r * lddx, dy + r * lddy, (size_t)walk.cols * sizeof(float));
    }
}

/* ---- softmax ---- */

/* Lanes of vector v, from column c of a row on, that the row has. */
INLINE int64_t lanes_left(int64_t cols, int64_t c)
{
    return MIN(MAX(cols - c, 0), VL);
}

INLINE float largest(const float *x, int64_t cols)
{
    vf most = vset(-__builtin_inff());
    for (int64_t c = 0; c < cols; c += VL)
        most = vhigher(most, vload_part(x + c, lanes_left(cols, c), -__builtin_inff()));
    float lane[VL], result;
    vstore(lane, most);
    result = lane[0];
    for (int i = 1; i < VL; i++)
        result = lane[i] > result ? lane[i] : result;
    return result;
}

/* exp(x - shift) into y unless y is NULL; returns the sum, over 16 lanes. */
INLINE float exponentials(const float *x, float *y, int64_t cols, float shift)
{
    vf sum[SUM_VECTORS];
    for (int v = 0; v < SUM_VECTORS; v++)
        sum[v] = vset(0);
    for (int64_t c = 0; c < cols; c += SUM_LANES)
        for (int v = 0; v < SUM_VECTORS; v++) {
            const int64_t at = c + v * VL, lanes = lanes_left(cols, at);
            if (lanes <= 0)
                break;
            vf e = vexp(vload_part(x + at, lanes, -__builtin_inff()) - vset(shift));
            sum[v] += e;
            if (y)
                vstore_part(y + at, e, lanes);
        }
    return fold(sum);
}

/* A NaN in a row makes the row NaN, by its sum. */
static void softmax(const float *x, int64_t ldx, float *y, int64_t ldy, int64_t rows, int64_t cols, bool logarithm)
{
    for (int64_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        const float shift = largest(x, cols);
        const vf sum = vset(exponentials(x, logarithm ? NULL : y, cols, shift)), log_sum = logarithm ? vlog(sum) : sum;
        for (int64_t c = 0; c < cols; c += VL) {
            const int64_t lanes = lanes_left(cols, c);
            if (logarithm)
                vstore_part(y + c, (vload_part(x + c, lanes, 0) - vset(shift)) - log_sum, lanes);
            else
                vstore_part(y + c, vload_part(y + c, lanes, 0) / sum, lanes);
        }
    }
}

/* ---- over contiguous values ---- */

static void exp_values(const float *x, float *y, int64_t n)
{
    values(ACTIVATION_EXPONENTIAL, x, 0, y, 0, (struct walk){ 1, n });
}

static void log_values(const float *x, float *y, int64_t n)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        vstore(y + i, vlog(vload(x + i)));
    if (i < n)
        vstore_part(y + i, vlog(vload_part(x + i, n - i, 1)), n - i);
}

KERNEL_FILL(activation)
{
    kernels->activate = LEVEL_SYMBOL(kernel_activate);
    kernels->activate_gradient = activate_gradient;
    kernels->softmax = softmax;
    kernels->exp = exp_values;
    kernels->log = log_values;
}
