/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gradients of groups, for update.c: the sum over a group's entries in the order of the batch's rows, each entry times its
 * coefficient, one chain of fused multiply-adds a column; then through max_norm, if the lookup had one.
 */
#ifndef PILASTER_KERNEL_GROUPS_H
#define PILASTER_KERNEL_GROUPS_H

#include "kernel/rows.h"

/* Columns that are summed at a time: what is wider is cut, and a last piece below a vector joins the one before. */
enum { BLOCK = 512 };
INLINE int64_t block_columns(int64_t rest)
{
    return rest <= BLOCK + VL ? rest : BLOCK;
}
static const float no_gradient[BLOCK + VL];

INLINE int64_t row_of_group(const struct update_rows *call, int64_t j)
{
    return call->groups ? call->groups->ids[j] : j;
}

/* Sums of `count` groups, `pitch` floats apart in `to`, for a few columns from `column` on. Most groups have few entries, and how
 * many cannot be foreseen: where they are few on average, vectors of the first FEW are added without a branch, those that a
 * group does not have by a mask. (More than 2 of them, or the same for single floats, gained nothing.) */
enum { FEW = 2 };
struct run {
    const int32_t *starts, *entries, *rows;
    const float *gradient, *coefficient;
    int64_t count, ld;
    int32_t last; /* of the entries: where those look that a group does not have */
    float *to;
    int64_t pitch;
};

INLINE float factor_of(const struct run *run, int32_t entry)
{
    return run->coefficient ? run->coefficient[run->entries[entry]] : 1;
}

INLINE void run_vectors(const struct run *of, int64_t column, int few, int vectors)
{
    const struct run run = *of;
    for (int64_t i = 0; i < run.count; i++) {
        int32_t first = run.starts[i], stop = run.starts[i + 1];
        vf sum[4] = { 0 };
#pragma GCC unroll 4
        for (int k = 0; k < few; k++) {
            int32_t e = MIN(first + k, run.last);
            const float *row = run.gradient + run.rows[e] * run.ld + column;
            vf factor = vset(factor_of(&run, e));
            vi has = vset_int(-(first + k < stop));
            for (int v = 0; v < vectors; v++)
                sum[v] = vselect(has, vfma(factor, vload(row + v * VL), sum[v]), sum[v]);
        }
        for (int32_t e = first + few; e < stop; e++) {
            const float *row = run.gradient + run.rows[e] * run.ld + column;
            vf factor = vset(factor_of(&run, e));
            for (int v = 0; v < vectors; v++)
                sum[v] = vfma(factor, vload(row + v * VL), sum[v]);
        }
        for (int v = 0; v < vectors; v++)
            vstore(run.to + i * run.pitch + column + v * VL, sum[v]);
    }
}

INLINE void run_fours(const struct run *of, int64_t column)
{
    const struct run run = *of;
    for (int64_t i = 0; i < run.count; i++) {
        v4 sum = { 0 };
        for (int32_t e = run.starts[i]; e < run.starts[i + 1]; e++)
            sum = v4fma(v4set(factor_of(&run, e)), v4load(run.gradient + run.rows[e] * run.ld + column), sum);
        v4store(run.to + i * run.pitch + column, sum);
    }
}

INLINE void run_ones(const struct run *of, int64_t column)
{
    const struct run run = *of;
    for (int64_t i = 0; i < run.count; i++) {
        float sum = 0;
        for (int32_t e = run.starts[i]; e < run.starts[i + 1]; e++)
            sum = fma1(factor_of(&run, e), run.gradient[run.rows[e] * run.ld + column], sum);
        run.to[i * run.pitch + column] = sum;
    }
}

/* n columns; the last vector overlaps its neighbour. */
INLINE void run_columns(const struct run *run, int64_t n, int few)
{
    int64_t c = 0;
    if (n >= VL) {
        for (; c + 4 * VL <= n; c += 4 * VL)
            run_vectors(run, c, few, 4);
        for (; c + 2 * VL <= n; c += 2 * VL)
            run_vectors(run, c, few, 2);
        for (; c < n; c += VL)
            run_vectors(run, MIN(c, n - VL), few, 1);
    } else if (n >= 4) {
        for (; c < n; c += 4)
            run_fours(run, MIN(c, n - 4));
    } else {
        for (; c < n; c++)
            run_ones(run, c);
    }
}

/* Columns column .. column + n of the sums of groups j .. j + count. */
static void sum_entries(const struct update_rows *call, int64_t j, int64_t count, int64_t column, int64_t n, float *to)
{
    const struct groups *groups = call->groups;
    struct run run = { .starts = groups->starts + j,
                       .entries = groups->entries,
                       .rows = groups->rows,
                       .gradient = call->gradient + column,
                       .coefficient = call->coefficient,
                       .count = count,
                       .ld = call->gradient_ld,
                       .to = to,
                       .pitch = n };
    int32_t entries = run.starts[count] - run.starts[0];
    run.last = run.starts[count] - 1;
    if (entries == 0)
        memset(to, 0, (size_t)(count * n) * sizeof *to);
    else if (entries <= 4 * count)
        run_columns(&run, n, FEW);
    else
        run_columns(&run, n, 0);
}

/* ---- through max_norm ---------------------------------------------------------------------------------------- */

/* A lookup scaled row x by max_norm / |x|, where |x| is larger. The gradient of that is max_norm / |x| (g - x (x g) / |x|^2),
 * linear in g, so it can follow the sum over entries. Found for the whole row, before anything of it is stepped. */
struct through_norm {
    float along, scale;
};

static struct through_norm find_norm(const struct update_rows *call, int64_t j)
{
    const float *x = call->table + row_of_group(call, j) * call->stride;
    float square = norm_squared(x, call->dim), norm = __builtin_sqrtf(square), part[BLOCK];
    if (!(norm > call->max_norm))
        return (struct through_norm){ 0, 1 };
    vf products[SUM_VECTORS] = { 0 };
    for (int64_t c = 0; c < call->dim; c += BLOCK) {
        int64_t width = MIN(call->dim - c, BLOCK);
        sum_entries(call, j, 1, c, width, part);
        add_products(products, x + c, part, width);
    }
    return (struct through_norm){ fold(products) / square, call->max_norm / norm };
}

INLINE void pass_norm(struct through_norm norm, const float *x, int64_t n, float *g)
{
    for (int64_t c = 0; norm.scale != 1 && c < n; c++)
        g[c] = norm.scale * fma1(-norm.along, x[c], g[c]);
}

/* The finished gradients of the whole rows of groups j .. j + count, row after row; dim <= BLOCK. */
static void find_gradients(const struct update_rows *call, int64_t j, int64_t count, float *to)
{
    sum_entries(call, j, count, 0, call->dim, to);
    for (int64_t i = 0; call->max_norm > 0 && i < count; i++) {
        const float *x = call->table + row_of_group(call, j + i) * call->stride;
        pass_norm(find_norm(call, j + i), x, call->dim, to + i * call->dim);
    }
}

/* The same for the next block of one wide row; *norm is found at the first and kept for the others. */
static void find_gradient_block(const struct update_rows *call, int64_t j, int64_t column, int64_t n, struct through_norm *norm,
                                float *to)
{
    if (column == 0)
        *norm = call->max_norm > 0 ? find_norm(call, j) : (struct through_norm){ 0, 1 };
    sum_entries(call, j, 1, column, n, to);
    pass_norm(*norm, call->table + row_of_group(call, j) * call->stride + column, n, to);
}

#endif
