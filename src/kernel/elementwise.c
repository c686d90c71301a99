/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on matrices, and sums. Sums of floats run over 16 lanes in floats (dot) or doubles (sum); sums down the columns
 * take the rows in order. So each result is the same at every width, and where no multiply-add is fused (all but dot and
 * axpy) at every level.
 */
#include "kernel/simd.h"

/* ---- a op b ---- */

INLINE vf apply(const enum binary kind, vf a, vf b)
{
    switch (kind) {
    case BINARY_ADD:
        return a + b;
    case BINARY_SUB:
        return a - b;
    case BINARY_MUL:
        return a * b;
    case BINARY_DIV:
        return a / b;
    case BINARY_MAX:
        return vmax(a, b);
    default:
        return vmin(a, b);
    }
}

struct operands {
    const float *a, *b;
    float *out;
    int64_t lda, ldb, ldo, rows, cols;
};

/* One column, where a row would be a vector with one lane in use: VL rows at a time through a copy. */
INLINE void column(const enum binary kind, const struct operands *o)
{
    float a[VL] = { 0 }, b[VL] = { 0 }, out[VL];
    for (int64_t first = 0; first < o->rows; first += VL) {
        const int64_t count = MIN(VL, o->rows - first);
        for (int64_t i = 0; i < count; i++) {
            a[i] = o->a[(first + i) * o->lda];
            b[i] = o->b[(first + i) * o->ldb];
        }
        vstore(out, apply(kind, vload(a), vload(b)));
        for (int64_t i = 0; i < count; i++)
            o->out[(first + i) * o->ldo] = out[i];
    }
}

INLINE void matrix(const enum binary kind, const struct operands *o)
{
    if (o->cols == 1 && o->rows > 1) {
        column(kind, o);
        return;
    }
    for (int64_t r = 0; r < o->rows; r++) {
        const float *a = o->a + r * o->lda, *b = o->b + r * o->ldb;
        float *out = o->out + r * o->ldo;
        int64_t c = 0;
        for (; c + VL <= o->cols; c += VL)
            vstore(out + c, apply(kind, vload(a + c), vload(b + c)));
        const int64_t rest = o->cols - c;
        if (rest > 0)
            vstore_part(out + c, apply(kind, vload_part(a + c, rest, 0), vload_part(b + c, rest, 1)), rest);
    }
}

static void binary(enum binary kind, const float *a, int64_t lda, const float *b, int64_t ldb, float *out, int64_t ldo,
                   int64_t rows, int64_t cols)
{
    struct operands o = { a, b, out, lda, ldb, ldo, rows, cols };
    if (lda == cols && ldb == cols && ldo == cols) { /* rows that touch are one long row */
        o.rows = 1;
        o.cols = rows * cols;
    }
    switch (kind) {
    case BINARY_ADD:
        matrix(BINARY_ADD, &o);
        break;
    case BINARY_SUB:
        matrix(BINARY_SUB, &o);
        break;
    case BINARY_MUL:
        matrix(BINARY_MUL, &o);
        break;
    case BINARY_DIV:
        matrix(BINARY_DIV, &o);
        break;
    case BINARY_MAX:
        matrix(BINARY_MAX, &o);
        break;
    case BINARY_MIN:
        matrix(BINARY_MIN, &o);
        break;
    default:
        break;
    }
}

/* ---- over contiguous values ---- */

static void axpy(int64_t n, float a, const float *x, float *y)
{
    const vf factor = vset(a);
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        vstore(y + i, vfma(factor, vload(x + i), vload(y + i)));
    if (i < n)
        vstore_part(y + i, vfma(factor, vload_part(x + i, n - i, 0), vload_part(y + i, n - i, 0)), n - i);
}

/* Lanes that a vector of `left` elements has. */
INLINE int64_t lanes_of(int64_t left)
{
    return MIN(MAX(left, 0), VL);
}

static float dot(int64_t n, const float *x, const float *y)
{
    vf sum[SUM_VECTORS];
    for (int v = 0; v < SUM_VECTORS; v++)
        sum[v] = vset(0);
    int64_t i = 0;
    for (; i + SUM_LANES <= n; i += SUM_LANES)
        for (int v = 0; v < SUM_VECTORS; v++)
            sum[v] = vfma(vload(x + i + v * VL), vload(y + i + v * VL), sum[v]);
    for (int v = 0; v < SUM_VECTORS && i + v * VL < n; v++) {
        const int64_t at = i + v * VL, lanes = lanes_of(n - at);
        sum[v] = vfma(vload_part(x + at, lanes, 0), vload_part(y + at, lanes, 0), sum[v]);
    }
    return fold(sum);
}

typedef double vd __attribute__((vector_size(8 * VL))); /* as many doubles as a vector has floats */
typedef double vd_memory __attribute__((vector_size(8 * VL), aligned(8), may_alias));

/* A macro, since a function that returns more than the level's registers hold would have an ABI of its own. */
#define WIDEN(x) __builtin_convertvector(x, vd)

static double sum(int64_t n, const float *x)
{
    vd lanes[SUM_VECTORS];
    for (int v = 0; v < SUM_VECTORS; v++)
        lanes[v] = (vd){ 0 };
    int64_t i = 0;
    for (; i + SUM_LANES <= n; i += SUM_LANES)
        for (int v = 0; v < SUM_VECTORS; v++)
            lanes[v] += WIDEN(vload(x + i + v * VL));
    for (int v = 0; v < SUM_VECTORS && i + v * VL < n; v++)
        lanes[v] += WIDEN(vload_part(x + i + v * VL, lanes_of(n - i - v * VL), 0));
    double lane[SUM_LANES];
    memcpy(lane, lanes, sizeof(lane));
    for (int half = SUM_LANES / 2; half >= 1; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

/* ---- down the columns, rows in order ---- */

/* `lanes` columns (VL of them, or fewer at the right edge). A square of a float is exact in a double. */
INLINE void sum_vector(const float *x, int64_t ld, int64_t rows, int64_t lanes, double *total, double *square)
{
    double totals[VL] = { 0 }, squares[VL] = { 0 };
    const size_t bytes = (size_t)lanes * sizeof(double);
    memcpy(totals, total, bytes);
    if (square)
        memcpy(squares, square, bytes);
    vd add = *(const vd_memory *)totals, add_square = *(const vd_memory *)squares;
    for (int64_t r = 0; r < rows; r++) {
        vd value = WIDEN(lanes == VL ? vload(x + r * ld) : vload_part(x + r * ld, lanes, 0));
        add += value;
        add_square += value * value;
    }
    *(vd_memory *)totals = add;
    *(vd_memory *)squares = add_square;
    memcpy(total, totals, bytes);
    if (square)
        memcpy(square, squares, bytes);
}

static void column_sums(const float *x, int64_t ld, int64_t rows, int64_t cols, double *sum, double *square)
{
    int64_t c = 0;
    for (; c + VL <= cols; c += VL)
        sum_vector(x + c, ld, rows, VL, sum + c, square ? square + c : NULL);
    if (c < cols)
        sum_vector(x + c, ld, rows, cols - c, sum + c, square ? square + c : NULL);
}

/* Eight vectors side by side hide each other's additions. */
enum { SIDE_BY_SIDE = 8, FEW = 2 };
#define EACH_VECTOR UNROLL for (int v = 0; v < SIDE_BY_SIDE; v++)

static void bias_gradient(const float *x, int64_t ld, int64_t rows, int64_t cols, float *sum)
{
    int64_t c = 0;
    for (; c + SIDE_BY_SIDE * VL <= cols; c += SIDE_BY_SIDE * VL) {
        vf add[SIDE_BY_SIDE];
        EACH_VECTOR add[v] = vload(sum + c + v * VL);
        for (int64_t r = 0; r < rows; r++) {
            EACH_VECTOR add[v] += vload(x + r * ld + c + v * VL);
        }
        EACH_VECTOR vstore(sum + c + v * VL, add[v]);
    }
    for (; c + VL <= cols; c += VL) {
        vf add = vload(sum + c);
        for (int64_t r = 0; r < rows; r++)
            add += vload(x + r * ld + c);
        vstore(sum + c, add);
    }
    if (cols - c <= FEW) { /* a column or two (a last layer's bias): chains of scalars, the same additions */
        for (; c < cols; c++) {
            float add = sum[c];
            for (int64_t r = 0; r < rows; r++)
                add += x[r * ld + c];
            sum[c] = add;
        }
    } else {
        const int64_t rest = cols - c;
        vf add = vload_part(sum + c, rest, 0);
        for (int64_t r = 0; r < rows; r++)
            add += vload_part(x + r * ld + c, rest, 0);
        vstore_part(sum + c, add, rest);
    }
}

KERNEL_FILL(elementwise)
{
    kernels->binary = binary;
    kernels->axpy = axpy;
    kernels->dot = dot;
    kernels->sum = sum;
    kernels->column_sums = column_sums;
    kernels->bias_gradient = bias_gradient;
}
