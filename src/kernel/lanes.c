/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole LSTM layer of few units, each row in a lane of its own. Where a row has three units, vectors along it are mostly air, and
 * a product of [20, 4] with [4, 12] is over before it has begun; across the rows every lane works, and all that a block of
 * rows needs stays in registers from step to step.
 *
 * A block's rows are loaded and stored as whole vectors. Where fewer rows are left than a vector has lanes, a store spills over the
 * next number's first rows, which belong to the first block. So the last block goes first, each block goes through time before the
 * next one, and everything within is written in ascending order: what was spilt on is written afterwards. The callers'
 * LANES_SLACK takes what spills over an array's end.
 *
 * Each gate's sum is one chain of multiply-adds over x, then h; each loss by h one over the gates' columns: the bits of gemm and
 * lstm_step. The kernel's gradients are sums over 16 lanes, lane i taking rows i, i + 16, ... of a step.
 */
#include "kernel/functions.h"
#include "kernel/internal.h"

/* A block: two vectors of rows, which keep the multiply-adds busy; one where a vector takes 16. */
enum { VECTORS = VL == 16 ? 1 : 2, BLOCK = VECTORS * VL };
enum { GATE_I, GATE_J, GATE_F, GATE_O, GATES };

/* Where the kernel's columns of a gate begin. */
struct columns {
    int64_t at[GATES];
};

static struct columns columns_of(const struct lstm_lanes *s)
{
    const int64_t n = s->hidden;
    return s->keras_order ? (struct columns){ { 0, 2 * n, n, 3 * n } } : (struct columns){ { 0, n, 2 * n, 3 * n } };
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* sum[gate] += a[k] weights[k][gate's column] over k in ascending order. */
INLINE void add_products_of(vf sum[GATES][VECTORS], const float *a, int64_t rows, const float *weights, int64_t ld, int64_t count,
                            const struct columns *columns, const int vectors)
{
    for (int64_t k = 0; k < count; k++, a += rows, weights += ld)
        UNROLL for (int g = 0; g < GATES; g++)
        {
            const vf weight = vset(weights[columns->at[g]]);
            UNROLL for (int v = 0; v < vectors; v++) sum[g][v] = vfma(vload(a + v * VL), weight, sum[g][v]);
        }
}

/* One unit's gates and c for one block. */
INLINE void unit_gates(const struct lstm_lanes *s, const struct columns *columns, int64_t u, const float *x, int64_t state,
                       float *gates, const int vectors)
{
    const int64_t rows = s->rows, next = state + s->hidden * rows;
    vf sum[GATES][VECTORS];
    UNROLL for (int g = 0; g < GATES; g++) UNROLL for (int v = 0; v < vectors; v++) sum[g][v] =
        vset(s->bias ? s->bias[columns->at[g] + u] : 0.0f);
    add_products_of(sum, x, rows, s->kernel + u, s->kernel_ld, s->features, columns, vectors);
    add_products_of(sum, s->h + state, rows, s->recurrent + u, s->recurrent_ld, s->hidden, columns, vectors);
    UNROLL for (int v = 0; v < vectors; v++)
    {
        const int64_t at = u * rows + v * VL;
        sum[GATE_I][v] = vsigmoid(sum[GATE_I][v]);
        sum[GATE_J][v] = vtanh(sum[GATE_J][v]);
        sum[GATE_F][v] = vsigmoid(sum[GATE_F][v] + vset(s->forget_bias));
        sum[GATE_O][v] = vsigmoid(sum[GATE_O][v]);
        vstore(s->c + next + at, vfma(sum[GATE_I][v], sum[GATE_J][v], sum[GATE_F][v] * vload(s->c + state + at)));
    }
    UNROLL for (int g = 0; g < GATES; g++) UNROLL for (int v = 0; v < vectors; v++)
        vstore(gates + (GATES * u + g) * rows + v * VL, sum[g][v]);
}

/* A step in two goes: what shows c waits for it, and a processor looks ahead no further than one unit's gates. */
INLINE void forward_block(const struct lstm_lanes *s, int64_t first, const int vectors)
{
    const struct columns columns = columns_of(s);
    const int64_t n = s->hidden, rows = s->rows;
    for (int64_t t = 0; t < s->time; t++) {
        const float *x = s->x + (s->backwards ? s->time - 1 - t : t) * s->features * rows + first;
        const int64_t slot = s->keep ? t : 0, state = t * n * rows + first, next = state + n * rows;
        float *gates = s->gates + slot * GATES * n * rows + first, *shown = s->shown + slot * n * rows + first;
        for (int64_t u = 0; u < n; u++)
            unit_gates(s, &columns, u, x, state, gates, vectors);
        for (int64_t u = 0; u < n; u++)
            UNROLL for (int v = 0; v < vectors; v++)
            {
                const int64_t at = u * rows + v * VL;
                const vf c_shown = vtanh(vload(s->c + next + at));
                vstore(shown + at, c_shown);
                vstore(s->h + next + at, vload(gates + (GATES * u + GATE_O) * rows + v * VL) * c_shown);
            }
    }
}

static void lstm_lanes(const struct lstm_lanes *s)
{
    for (int64_t first = (s->rows - 1) / BLOCK * BLOCK; first >= 0; first -= BLOCK)
        if (VECTORS == 1 || s->rows - first <= VL)
            forward_block(s, first, 1);
        else
            forward_block(s, first, VECTORS);
}

/* ---- back -------------------------------------------------------------------------------------------------------- */

/* out[k] = the sum of dgates times row k of a kernel, over its columns in ascending order. */
INLINE void products_of(const struct lstm_lanes *s, const struct columns *columns, const float *dgates, const float *weights,
                        int64_t ld, const int units, vf out[][VECTORS], const int vectors)
{
    const int64_t rows = s->rows, n = s->hidden;
    vf sum[4][VECTORS];
    UNROLL for (int k = 0; k < units; k++) UNROLL for (int v = 0; v < vectors; v++) sum[k][v] = vset(0.0f);
    for (int g = 0; g < GATES; g++) {
        const int gate = columns->at[1] == n || g == GATE_I || g == GATE_O ? g : GATE_J + GATE_F - g; /* Keras: f before j */
        const float *d = dgates + gate * rows;
        for (int64_t column = g * n; column < (g + 1) * n; column++, d += GATES * rows)
            UNROLL for (int k = 0; k < units; k++)
            {
                const vf weight = vset(weights[k * ld + column]);
                UNROLL for (int v = 0; v < vectors; v++) sum[k][v] = vfma(vload(d + v * VL), weight, sum[k][v]);
            }
    }
    UNROLL for (int k = 0; k < units; k++) UNROLL for (int v = 0; v < vectors; v++) out[k][v] = sum[k][v];
}

INLINE void all_products(const struct lstm_lanes *s, const struct columns *columns, const float *dgates, const float *weights,
                         int64_t ld, int64_t count, vf out[][VECTORS], const int vectors)
{
    int64_t k = 0;
    for (; k + 4 <= count; k += 4)
        products_of(s, columns, dgates, weights + k * ld, ld, 4, out + k, vectors);
    if (count - k == 3)
        products_of(s, columns, dgates, weights + k * ld, ld, 3, out + k, vectors);
    else if (count - k == 2)
        products_of(s, columns, dgates, weights + k * ld, ld, 2, out + k, vectors);
    else if (count - k == 1)
        products_of(s, columns, dgates, weights + k * ld, ld, 1, out + k, vectors);
}

/* The loss by a unit's sums, from that by its h and c. */
INLINE void back_unit(const struct lstm_lanes *s, int64_t u, int64_t step, int64_t first, const float *dout, vf dh[VECTORS],
                      vf dc[VECTORS], float *dgates, const int vectors)
{
    const int64_t rows = s->rows, n = s->hidden;
    const float *gates = s->gates + (step * n + u) * GATES * rows + first, *shown = s->shown + (step * n + u) * rows + first;
    const float *before = s->c + (step * n + u) * rows + first;
    float *out = dgates + u * GATES * rows;
    vf d[GATES][VECTORS];
    UNROLL for (int v = 0; v < vectors; v++)
    {
        const vf i = vload(gates + GATE_I * rows + v * VL), j = vload(gates + GATE_J * rows + v * VL);
        const vf f = vload(gates + GATE_F * rows + v * VL), o = vload(gates + GATE_O * rows + v * VL);
        const vf c_shown = vload(shown + v * VL);
        const vf loss = dout ? dh[v] + vload(dout + u * rows + v * VL) : dh[v];
        const vf c = dc[v] + vactivation_gradient(ACTIVATION_TANH, loss * o, c_shown);
        d[GATE_I][v] = vactivation_gradient(ACTIVATION_SIGMOID, c * j, i);
        d[GATE_J][v] = vactivation_gradient(ACTIVATION_TANH, c * i, j);
        d[GATE_F][v] = vactivation_gradient(ACTIVATION_SIGMOID, c * vload(before + v * VL), f);
        d[GATE_O][v] = vactivation_gradient(ACTIVATION_SIGMOID, loss * c_shown, o);
        dc[v] = c * f;
    }
    UNROLL for (int g = 0; g < GATES; g++) UNROLL for (int v = 0; v < vectors; v++) vstore(out + g * rows + v * VL, d[g][v]);
}

/* Exactly the rows that there are: others' inputs lie behind. */
INLINE void put_rows(float *to, const vf *from, int64_t count)
{
    for (int v = 0; v < VECTORS && v * VL < count; v++)
        vstore_part(to + v * VL, from[v], MIN(count - v * VL, VL));
}

INLINE void back_block(const struct lstm_lanes_gradient *c, int64_t first, const int vectors)
{
    const struct lstm_lanes *s = c->layer;
    const struct columns columns = columns_of(s);
    const int64_t rows = s->rows, n = s->hidden, count = MIN(rows - first, BLOCK);
    vf dh[LANES_MOST_HIDDEN][VECTORS], dc[LANES_MOST_HIDDEN][VECTORS], dx[4][VECTORS];
    for (int64_t u = 0; u < n; u++)
        UNROLL for (int v = 0; v < vectors; v++)
        {
            dh[u][v] = vload(c->dh + u * rows + first + v * VL);
            dc[u][v] = vload(c->dc + u * rows + first + v * VL);
        }
    for (int64_t step = s->time - 1; step >= 0; step--) {
        float *dgates = c->dgates + (s->time - 1 - step) * GATES * n * rows + first;
        const float *dout = c->dout ? c->dout + step * n * rows + first : NULL;
        for (int64_t u = 0; u < n; u++)
            back_unit(s, u, step, first, dout, dh[u], dc[u], dgates, vectors);
        all_products(s, &columns, dgates, s->recurrent, s->recurrent_ld, n, dh, vectors);
        const int64_t at = (s->backwards ? s->time - 1 - step : step) * s->features;
        for (int64_t k = 0; c->dx && k < s->features; k += 4) {
            all_products(s, &columns, dgates, s->kernel + k * s->kernel_ld, s->kernel_ld, MIN(s->features - k, 4), dx, vectors);
            for (int64_t i = k; i < MIN(k + 4, s->features); i++)
                put_rows(c->dx + (at + i) * rows + first, dx[i - k], count);
        }
    }
    for (int64_t u = 0; u < n; u++) {
        put_rows(c->dh + u * rows + first, dh[u], count);
        put_rows(c->dc + u * rows + first, dc[u], count);
    }
}

static void lstm_lanes_gradient(const struct lstm_lanes_gradient *c)
{
    for (int64_t first = (c->layer->rows - 1) / BLOCK * BLOCK; first >= 0; first -= BLOCK)
        if (VECTORS == 1 || c->layer->rows - first <= VL)
            back_block(c, first, 1);
        else
            back_block(c, first, VECTORS);
}

/* ---- the kernels' gradients -------------------------------------------------------------------------------------- */

enum { PAIR = 2 };

/* What one row of [x, h, 1] holds at a step. */
struct factor {
    const float *at; /* NULL: ones */
    int64_t step;
};

static struct factor factor_of(const struct lstm_lanes *s, int64_t k)
{
    const int64_t wide = s->features * s->rows;
    if (k >= s->features + s->hidden)
        return (struct factor){ 0 };
    if (k >= s->features)
        return (struct factor){ s->h + (k - s->features) * s->rows, s->hidden * s->rows };
    return s->backwards ? (struct factor){ s->x + (s->time - 1) * wide + k * s->rows, -wide }
                        : (struct factor){ s->x + k * s->rows, wide };
}

/* 16 rows' part of the sums; of the last ones only those that there are. */
INLINE void add_rows(vf sum[PAIR][PAIR][SUM_VECTORS], const float *const a[PAIR], const float *const b[PAIR], int64_t count,
                     const bool whole)
{
    UNROLL for (int v = 0; v < SUM_VECTORS; v++)
    {
        const vi there = vlanes() + vset_int(v * VL) < vset_int((int32_t)count);
        UNROLL for (int k = 0; k < PAIR; k++)
        {
            vf x = a[k] ? vload(a[k] + v * VL) : vset(1.0f);
            if (!whole)
                x = (vf)((vi)x & there);
            UNROLL for (int n = 0; n < PAIR; n++)
            {
                vf y = vload(b[n] + v * VL);
                if (!whole)
                    y = (vf)((vi)y & there);
                sum[k][n][v] = vfma(x, y, sum[k][n][v]);
            }
        }
    }
}

/* Two factors' sums with two of the numbers of dgates over all steps and rows. */
INLINE void sum_pairs(const struct lstm_lanes_sums *c, const struct factor a[PAIR], int64_t n, float out[PAIR][PAIR])
{
    const struct lstm_lanes *s = c->layer;
    const int64_t rows = s->rows, wide = GATES * s->hidden * rows;
    vf sum[PAIR][PAIR][SUM_VECTORS] = { 0 };
    for (int64_t t = 0; t < s->time; t++) {
        const float *d = c->dgates + (s->time - 1 - t) * wide + n * rows;
        const float *first[PAIR] = { a[0].at ? a[0].at + t * a[0].step : NULL, a[1].at ? a[1].at + t * a[1].step : NULL };
        for (int64_t r = 0; r < rows; r += SUM_LANES) {
            const float *const x[PAIR] = { first[0] ? first[0] + r : NULL, first[1] ? first[1] + r : NULL };
            const float *const y[PAIR] = { d + r, d + rows + r };
            if (rows - r >= SUM_LANES)
                add_rows(sum, x, y, SUM_LANES, true);
            else
                add_rows(sum, x, y, rows - r, false);
        }
    }
    const v4 all = fold_four(fold_to_4(sum[0][0]), fold_to_4(sum[0][1]), fold_to_4(sum[1][0]), fold_to_4(sum[1][1]));
    memcpy(out, &all, sizeof all);
}

static void lstm_lanes_sums(const struct lstm_lanes_sums *c)
{
    const struct lstm_lanes *s = c->layer;
    const struct columns columns = columns_of(s);
    for (int64_t k = 0; k < c->count; k += PAIR) {
        const int64_t last = MIN(k + 1, c->count - 1);
        const struct factor a[PAIR] = { factor_of(s, c->first + k), factor_of(s, c->first + last) };
        for (int64_t n = 0; n < GATES * s->hidden; n += PAIR) {
            float sums[PAIR][PAIR];
            sum_pairs(c, a, n, sums);
            for (int64_t i = k; i <= last; i++)
                for (int p = 0; p < PAIR; p++) {
                    float *to = c->out + i * c->ld + columns.at[(n + p) % GATES] + (n + p) / GATES;
                    *to = c->accumulate ? *to + sums[i - k][p] : sums[i - k][p];
                }
        }
    }
}

KERNEL_FILL(lanes)
{
    kernels->lstm_lanes = lstm_lanes;
    kernels->lstm_lanes_gradient = lstm_lanes_gradient;
    kernels->lstm_lanes_sums = lstm_lanes_sums;
}
