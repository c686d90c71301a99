/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of matrices, row-major as they lie.
 *
 * The micro-kernel keeps a tile of C in registers: up to MR rows of two vectors. For each p of k it loads two vectors of B's
 * row p, broadcasts one element of A per row and does two multiply-adds with it. So each output is one chain of vfma over k
 * in ascending order, from the bias (or c, or 0): the same bits at every width, for every cut of m, n and k into tiles.
 *
 * M is cut into equal blocks (64 rows by six: nine blocks of 6 and two of 5, not ten of 6 and one of 4), since a tile of few
 * rows spends its time loading B. Columns go outside and rows inside: the strip of B that all blocks need stays near. What
 * does not suit the tile (n = 1: a dot or a weighted sum of rows; k = 1: an outer product) has a small routine of its own.
 */
#include "kernel/internal.h"

/* Accumulators: 14 x 2 of 32 registers, or 6 x 2 of 16; the rest holds B's two vectors and A's broadcast. */
#if VL == 16
enum { MR = 14 };
#else
enum { MR = 6 };
#endif

/* One or two rows alone would wait for their own additions; more vectors side by side hide that. */
enum { WIDEST = 8 };

/* What the micro-kernel needs: `blocks` tiles one below the other; a, c, start and gate point at the first one's first
 * element. */
struct tile {
    const float *a;
    int64_t a_row, a_column;
    const float *b;
    int64_t ldb, k;
    const float *start; /* the bias (start_row 0), c itself, or zeros */
    int64_t start_row;
    float *c;
    int64_t ldc;
    const float *gate; /* or NULL */
    int64_t gate_ld;
    bool relu;
    int64_t blocks;
};

INLINE vf relu(vf x)
{
    return (vf)((vi)x & ~(x <= 0.0f)); /* NaN stays NaN */
}

INLINE vf gated(vf x, vf gate)
{
    return (vf)((vi)x & (gate > 0.0f));
}

/* Every loop over rows and vectors has constant bounds and is unrolled: only so the compiler keeps `sum` in registers. */
#define EACH_ROW UNROLL for (int r = 0; r < rows; r++)
#define EACH_VECTOR UNROLL for (int v = 0; v < vectors; v++)

/* `rows` and `vectors` are constants wherever this is called. */
INLINE void multiply(const struct tile *t, const int rows, const int vectors)
{
    vf sum[MR][WIDEST], b[WIDEST];
    const int64_t a_row = t->a_row, a_column = t->a_column, ldb = t->ldb, ldc = t->ldc;
    const float *a_block = t->a, *start = t->start, *gate = t->gate;
    float *c = t->c;

    for (int64_t block = t->blocks; block > 0; block--) {
        const float *at = a_block, *bt = t->b;
        EACH_ROW EACH_VECTOR sum[r][v] = vload(start + r * t->start_row + v * VL);
        for (int64_t p = t->k; p > 0; p--, at += a_column, bt += ldb) {
            EACH_VECTOR b[v] = vload(bt + v * VL);
            EACH_ROW
            {
                vf a = vset(at[r * a_row]);
                EACH_VECTOR sum[r][v] = vfma(a, b[v], sum[r][v]);
            }
        }
        if (gate) {
            EACH_ROW EACH_VECTOR sum[r][v] = gated(sum[r][v], vload(gate + r * t->gate_ld + v * VL));
            gate += rows * t->gate_ld;
        } else if (t->relu) {
            EACH_ROW EACH_VECTOR sum[r][v] = relu(sum[r][v]);
        }
        EACH_ROW EACH_VECTOR vstore(c + r * ldc + v * VL, sum[r][v]);
        a_block += rows * a_row;
        start += rows * t->start_row;
        c += rows * ldc;
    }
}

typedef void multiply_function(const struct tile *tile);

#define MULTIPLY(rows, vectors)                                                                                                  \
    static void multiply_##rows##_##vectors(const struct tile *tile)                                                             \
    {                                                                                                                            \
        multiply(tile, rows, vectors);                                                                                           \
    }
#define MULTIPLY_ROWS(rows) MULTIPLY(rows, 1) MULTIPLY(rows, 2)
MULTIPLY_ROWS(1)
MULTIPLY_ROWS(2)
MULTIPLY_ROWS(3)
MULTIPLY_ROWS(4)
MULTIPLY_ROWS(5)
MULTIPLY_ROWS(6)
#if VL == 16
MULTIPLY_ROWS(7)
MULTIPLY_ROWS(8)
MULTIPLY_ROWS(9)
MULTIPLY_ROWS(10)
MULTIPLY_ROWS(11)
MULTIPLY_ROWS(12)
MULTIPLY_ROWS(13)
MULTIPLY_ROWS(14)
#endif
MULTIPLY(1, 4)
MULTIPLY(1, 8)
MULTIPLY(2, 4)

#define TABLE_ROW(rows)                                                                                                          \
    {                                                                                                                            \
        multiply_##rows##_1, multiply_##rows##_2                                                                                 \
    }
static multiply_function *const table[MR][2] = {
    TABLE_ROW(1), TABLE_ROW(2), TABLE_ROW(3), TABLE_ROW(4),  TABLE_ROW(5),  TABLE_ROW(6),
#if VL == 16
    TABLE_ROW(7), TABLE_ROW(8), TABLE_ROW(9), TABLE_ROW(10), TABLE_ROW(11), TABLE_ROW(12), TABLE_ROW(13), TABLE_ROW(14),
#endif
};

static multiply_function *find(int64_t rows, int64_t vectors)
{
    if (vectors > 2)
        return rows == 2 ? multiply_2_4 : vectors == 4 ? multiply_1_4 : multiply_1_8;
    return table[rows - 1][vectors - 1];
}

/* ---- the walk over tiles ---- */

static const float zeros[WIDEST * VL];

static int64_t padded(int64_t columns)
{
    return (columns + PAD - 1) / PAD * PAD;
}

/* Tiles whose last vector would reach beyond the n-th column of a C or gate without pads: through copies on the stack. */
static void edge(const struct tile *tile, multiply_function *function, int64_t rows, int64_t columns, bool accumulate)
{
    float c[MR * WIDEST * VL] = { 0 }, gate[MR * WIDEST * VL] = { 0 };
    const int64_t ld = WIDEST * VL;
    const size_t bytes = (size_t)columns * sizeof(float);
    for (int64_t block = 0; block < tile->blocks; block++) {
        struct tile copy = *tile;
        float *to = tile->c + block * rows * tile->ldc;
        for (int64_t r = 0; r < rows; r++) {
            if (accumulate)
                memcpy(c + r * ld, to + r * tile->ldc, bytes);
            if (tile->gate)
                memcpy(gate + r * ld, tile->gate + (block * rows + r) * tile->gate_ld, bytes);
        }
        if (accumulate) {
            copy.start = c;
            copy.start_row = ld;
        }
        copy.a += block * rows * tile->a_row;
        copy.c = c;
        copy.ldc = ld;
        copy.gate = tile->gate ? gate : NULL;
        copy.gate_ld = ld;
        copy.blocks = 1;
        function(&copy);
        for (int64_t r = 0; r < rows; r++)
            memcpy(to + r * tile->ldc, c + r * ld, bytes);
    }
}

/* `blocks` blocks of `rows` rows from row i on, `wide` vectors of columns from vector j on; b: B from that column on. */
static void run(const struct gemm *g, const float *b, int64_t ldb, int64_t i, int64_t rows, int64_t blocks, int64_t j,
                int64_t wide)
{
    if (blocks <= 0)
        return;
    const int64_t column = j * VL, columns = MIN(g->n - column, wide * VL);
    struct tile tile = { .a = g->a + i * g->a_row,
                         .a_row = g->a_row,
                         .a_column = g->a_column,
                         .b = b,
                         .ldb = ldb,
                         .k = g->k,
                         .start = zeros,
                         .start_row = 0,
                         .c = g->c + i * g->ldc + column,
                         .ldc = g->ldc,
                         .gate = g->gate ? g->gate + i * g->gate_ld + column : NULL,
                         .gate_ld = g->gate_ld,
                         .relu = g->activation == ACTIVATION_RELU,
                         .blocks = blocks };
    if (g->accumulate) {
        tile.start = tile.c;
        tile.start_row = g->ldc;
    } else if (g->bias) {
        tile.start = g->bias + column;
    }
    if (columns == wide * VL || (g->ldc >= padded(g->n) && (!g->gate || g->gate_ld >= padded(g->n))))
        find(rows, wide)(&tile);
    else
        edge(&tile, find(rows, wide), rows, columns, g->accumulate);
}

/* The cut of m into equal blocks: `larger` blocks of size + 1 rows, then blocks of size rows. */
struct cut {
    int64_t blocks, size, larger;
};

static struct cut cut_rows(int64_t m)
{
    int64_t blocks = (m + MR - 1) / MR;
    return (struct cut){ blocks, m / blocks, m % blocks };
}

/* How many vectors of columns the next tile takes. */
static int64_t width(int64_t m, int64_t vectors_left)
{
    if (m == 1 && vectors_left >= 8)
        return 8;
    if (m <= 2 && vectors_left >= 4)
        return 4;
    return vectors_left >= 2 ? 2 : 1;
}

/* Deeper products are done in parts, whose sums pass through C; this bounds the strip of B below. */
enum { DEPTH = 512 };

/* Whether the strip of B that a tile walks down (k rows of 64 or 128 bytes, ldb apart) is worth copying together first.
 * Rows a power of two apart fall on few sets of the caches: on Zen 3 the strip leaves L1 at a few dozen rows, and leaves L2
 * when 1024 sets of 8 ways cannot hold it (N = 512: 76 % of peak unpacked, 90 % packed). The copy costs as much as two rows of
 * A; many rows win it back from L1 alone. */
static bool wants_strip(const struct gemm *g)
{
    if (g->m < 32 || g->k * g->ldb <= 4096)
        return false;
    const int64_t lines = MAX(g->ldb / 16, 1), power = lines & -lines;
    return g->m >= 128 || g->k > 8 * 1024 / power;
}

static void columns_outside(const struct gemm *g)
{
    float strip[DEPTH * 2 * VL] __attribute__((aligned(64)));
    const struct cut cut = cut_rows(g->m);
    const int64_t vectors = (g->n + VL - 1) / VL;
    const bool packed = wants_strip(g);
    for (int64_t j = 0, wide; j < vectors; j += wide) {
        const float *b = packed ? strip : g->b + j * VL;
        const int64_t ldb = packed ? 2 * VL : g->ldb;
        wide = width(g->m, vectors - j);
        for (int64_t p = 0; packed && p < g->k; p++)
            for (int64_t v = 0; v < wide; v++)
                vstore(strip + (p * 2 + v) * VL, vload(g->b + p * g->ldb + (j + v) * VL));
        run(g, b, ldb, 0, cut.size + 1, cut.larger, j, wide);
        run(g, b, ldb, cut.larger * (cut.size + 1), cut.size, cut.blocks - cut.larger, j, wide);
    }
}

/* Where the second-level cache holds all of B (1 MB where there is AVX-512) and a block of A stays in the first. */
static void rows_outside(const struct gemm *g)
{
    const struct cut cut = cut_rows(g->m);
    const int64_t vectors = (g->n + VL - 1) / VL;
    for (int64_t block = 0, i = 0, rows; block < cut.blocks; block++, i += rows) {
        rows = cut.size + (block < cut.larger);
        for (int64_t j = 0, wide; j < vectors; j += wide) {
            wide = width(g->m, vectors - j);
            run(g, g->b + j * VL, g->ldb, i, rows, 1, j, wide);
        }
    }
}

/* Where A lies transposed, a line of it that a block of rows reads serves the next blocks too, if it is still there: shallower. */
static void tiles(const struct gemm *g)
{
    const int64_t most = g->a_column == 1 ? DEPTH : DEPTH / 4;
    const int64_t parts = MAX((g->k + most - 1) / most, 1), depth = (g->k + parts - 1) / parts;
    struct gemm part = *g;
    for (int64_t i = 0; i < parts; i++) {
        part.a = g->a + i * depth * g->a_column;
        part.b = g->b + i * depth * g->ldb;
        part.k = MIN(depth, g->k - i * depth);
        part.accumulate = i > 0 || g->accumulate;
        part.activation = i == parts - 1 ? g->activation : ACTIVATION_LINEAR;
        part.gate = i == parts - 1 ? g->gate : NULL;
        if (VL == 16 && g->a_column == 1 && part.k * g->ldb <= 128 * 1024)
            rows_outside(&part);
        else
            columns_outside(&part);
    }
}

/* ---- k = 1 ---- */

/* One vector of row i; what is absent is a constant that changes nothing. */
INLINE vf outer_vector(vf a, vf b, vf start, vf gate, const bool with_relu)
{
    vf x = vfma(a, b, start);
    return gated(with_relu ? relu(x) : x, gate);
}

INLINE void outer_rows(const struct gemm *g, const bool with_relu)
{
    static const float zero[VL] = { 0 };
    const vf one = vset(1);
    float ones[VL];
    vstore(ones, one);
    const int64_t full = g->n / VL * VL, rest = g->n - full;
    const int64_t start_step = g->accumulate || g->bias, gate_step = g->gate != NULL;
    for (int64_t i = 0; i < g->m; i++) {
        const vf a = vset(g->a[i * g->a_row]);
        float *c = g->c + i * g->ldc;
        const float *start = g->accumulate ? c : g->bias ? g->bias : zero, *gate = g->gate ? g->gate + i * g->gate_ld : ones;
        for (int64_t j = 0; j < full; j += VL)
            vstore(c + j,
                   outer_vector(a, vload(g->b + j), vload(start + j * start_step), vload(gate + j * gate_step), with_relu));
        if (rest) {
            vf from = vload_part(start + full * start_step, rest, 0), by = vload_part(gate + full * gate_step, rest, 0);
            vstore_part(c + full, outer_vector(a, vload(g->b + full), from, by, with_relu), rest);
        }
    }
}

static void outer(const struct gemm *g)
{
    if (g->activation == ACTIVATION_RELU)
        outer_rows(g, true);
    else
        outer_rows(g, false);
}

/* ---- n = 1 ---- */

/* Rows whose sums are at hand: bias or c, then the epilogue. */
static void put(const struct gemm *g, int64_t first, int64_t rows, const float *sums)
{
    const float bias = g->bias ? g->bias[0] : 0.0f;
    float *c = g->c + first * g->ldc;
    for (int64_t i = 0; i < rows; i++)
        c[i * g->ldc] = sums[i] + (g->accumulate ? c[i * g->ldc] : bias);
    if (g->activation == ACTIVATION_RELU)
        for (int64_t i = 0; i < rows; i++)
            c[i * g->ldc] = c[i * g->ldc] <= 0.0f ? 0.0f : c[i * g->ldc];
    if (g->gate)
        for (int64_t i = 0; i < rows; i++)
            c[i * g->ldc] = g->gate[(first + i) * g->gate_ld] > 0.0f ? c[i * g->ldc] : 0.0f;
}

/* Rows that are dealt with together: eight chains of additions. */
enum { DOT_ROWS = VL / 2 };

/* `rows` dots of rows of A with the column b, 16 lanes each, folded to 4. */
INLINE void dots(const float *a, int64_t a_row, const float *b, int64_t k, const int rows, v4 *out)
{
    enum { vectors = SUM_VECTORS };
    vf sum[DOT_ROWS][vectors];
    EACH_ROW EACH_VECTOR sum[r][v] = vset(0);
    int64_t p = 0;
    for (; p + SUM_LANES <= k; p += SUM_LANES)
        EACH_VECTOR
        {
            vf x = vload(b + p + v * VL);
            EACH_ROW sum[r][v] = vfma(vload(a + r * a_row + p + v * VL), x, sum[r][v]);
        }
    if (p < k) {
        /* Both tails are copied: nobody promises what lies behind a row of A. */
        const size_t bytes = (size_t)(k - p) * sizeof(float);
        float at[SUM_LANES] = { 0 }, bt[SUM_LANES] = { 0 };
        memcpy(bt, b + p, bytes);
        EACH_ROW
        {
            memcpy(at, a + r * a_row + p, bytes);
            EACH_VECTOR sum[r][v] = vfma(vload(at + v * VL), vload(bt + v * VL), sum[r][v]);
        }
    }
    EACH_ROW out[r] = fold_to_4(sum[r]);
}

/* A lies as it is. */
static void column_of_dots(const struct gemm *g)
{
    enum { ROWS = 64 };
    float sums[ROWS];
    v4 four[8];
    for (int64_t first = 0; first < g->m; first += ROWS) {
        const float *a = g->a + first * g->a_row;
        const int64_t rows = MIN(ROWS, g->m - first);
        int64_t i = 0;
        for (; i + 8 <= rows; i += 8) {
            for (int r = 0; r < 8; r += DOT_ROWS)
                dots(a + (i + r) * g->a_row, g->a_row, g->b, g->k, DOT_ROWS, four + r);
            for (int r = 0; r < 8; r += 4) {
                v4 sum = fold_four(four[r], four[r + 1], four[r + 2], four[r + 3]);
                memcpy(sums + i + r, &sum, sizeof(sum));
            }
        }
        for (; i < rows; i++) {
            dots(a + i * g->a_row, 0, g->b, g->k, 1, four);
            sums[i] = fold_last(four[0]);
        }
        put(g, first, rows, sums);
    }
}

/* Any strides: one chain over k for each row from `first` on. */
static void plain_column(const struct gemm *g, int64_t first)
{
    for (int64_t i = first; i < g->m; i++) {
        const float *a = g->a + i * g->a_row;
        float sum = g->accumulate ? g->c[i * g->ldc] : g->bias ? g->bias[0] : 0.0f;
        for (int64_t p = 0; p < g->k; p++)
            sum = fma1(a[p * g->a_column], g->b[p * g->ldb], sum);
        if (g->activation == ACTIVATION_RELU)
            sum = sum <= 0.0f ? 0.0f : sum;
        if (g->gate)
            sum = g->gate[i * g->gate_ld] > 0.0f ? sum : 0.0f;
        g->c[i * g->ldc] = sum;
    }
}

/* A lies transposed: c is the sum of A's rows weighted by b, that is, a product of one row (b) with the matrix A. */
static void weighted_sum(const struct gemm *g)
{
    struct gemm row = { .m = 1,
                        .n = g->m,
                        .k = g->k,
                        .a = g->b,
                        .a_column = g->ldb,
                        .b = g->a,
                        .ldb = g->a_column,
                        .c = g->c,
                        .ldc = g->m,
                        .accumulate = g->accumulate,
                        .activation = g->activation,
                        .gate = g->gate,
                        .gate_ld = g->m };
    /* Beyond m, A's rows may be read only where they have pads. */
    if (g->a_row != 1 || g->ldc != 1 || (g->gate && g->gate_ld != 1))
        row.n = 0;
    else if (row.ldb < padded(row.n))
        row.n = row.n / VL * VL;
    if (row.n > 0) {
        if (g->bias && !g->accumulate) {
            for (int64_t i = 0; i < row.n; i++)
                g->c[i] = g->bias[0];
            row.accumulate = true;
        }
        tiles(&row);
    }
    plain_column(g, row.n);
}

/* ---- the call ---- */

/* Zeros in columns n .. pad_columns(n). They would come out as zeros by themselves but for infinities in A. */
static void zero_pads(const struct gemm *g)
{
    const int64_t pads = pad_columns(g->n) - g->n;
    if (pads == 0 || g->ldc < g->n + pads)
        return;
    for (int64_t i = 0; i < g->m; i++)
        memset(g->c + i * g->ldc + g->n, 0, (size_t)pads * sizeof(float));
}

static void gate_rows(const struct gemm *g)
{
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++)
            if (!(g->gate[i * g->gate_ld + j] > 0.0f))
                g->c[i * g->ldc + j] = 0.0f;
}

static void gemm(const struct gemm *g)
{
    if (g->m <= 0 || g->n <= 0)
        return;
    /* A tile has one of the two; both together, or another function, are passes of their own. */
    const bool in_tile = g->activation == ACTIVATION_LINEAR || (g->activation == ACTIVATION_RELU && !g->gate);
    struct gemm product = *g;
    if (!in_tile) {
        product.activation = ACTIVATION_LINEAR;
        product.gate = NULL;
    }
    if (g->n == 1 && g->a_column == 1 && g->ldb == 1)
        column_of_dots(&product);
    else if (g->n == 1)
        weighted_sum(&product);
    else if (g->k == 1)
        outer(&product);
    else
        tiles(&product);
    zero_pads(g);
    if (!in_tile) {
        LEVEL_SYMBOL(kernel_activate)(g->activation, g->c, g->ldc, g->c, g->ldc, g->m, g->n);
        if (g->gate)
            gate_rows(g);
    }
}

/* Sixteen rows at a time: a strip of 16 floats of each output row is gathered from 16 rows of the input, which stay in cache
 * for the next columns. About a thousandth of a step; shuffles would not pay. */
static void transpose(const float *in, int64_t rows, int64_t cols, int64_t ld, float *out, int64_t out_ld)
{
    for (int64_t i = 0; i < rows; i += PAD) {
        const int64_t count = MIN(PAD, rows - i);
        for (int64_t j = 0; j < cols; j++) {
            const float *from = in + i * ld + j;
            float *to = out + j * out_ld + i;
            if (count == PAD)
                for (int r = 0; r < PAD; r++)
                    to[r] = from[r * ld];
            else
                for (int64_t r = 0; r < count; r++)
                    to[r] = from[r * ld];
        }
    }
    if (out_ld >= pad_columns(rows))
        for (int64_t j = 0; j < cols; j++)
            memset(out + j * out_ld + rows, 0, (size_t)(pad_columns(rows) - rows) * sizeof(float));
}

KERNEL_FILL(gemm)
{
    kernels->lanes = VL;
    kernels->gemm = gemm;
    kernels->transpose = transpose;
}
