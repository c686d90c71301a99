/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of tables, combined per row of ids.
 *
 * Two paths. A single-valued column without weights is a gather: every combiner gives the table's row itself, so rows are
 * copied (or added), with the usual widths known to the compiler. Everything else goes row by row: first what the row's
 * entries come to (kept entries, the combiner's divisor), then the sum over its entries, a block of columns at a time with
 * the accumulators in registers. Sums run in the order of the entries; the division comes last, as in TensorFlow's
 * embedding_lookup_sparse.
 *
 * `out` may be a part of a wider block, so exactly `dim` columns are written; the table's rows have pads up to a multiple of
 * four floats, so four may be read.
 */
#include "kernel/rows.h"

/* Tables up to this size stay in the second-level cache: asking for rows ahead only costs instructions there. */
enum { SMALL_TABLE = 256 * 1024 };

static bool is_small(const struct lookup *call)
{
    return call->table_rows * call->stride * (int64_t)sizeof(float) <= SMALL_TABLE;
}

/* ---- single-valued, no weights, no norm ---------------------------------------------------------------------- */

/* No entry looks at these zeros instead of branching; wider rows branch. */
enum { ZEROS = 64 };
static const float zeros[ZEROS];

INLINE void put_row(float *out, const float *row, int64_t dim, bool add)
{
    if (!add) {
        copy_floats(out, row, dim);
        return;
    }
    int64_t c = 0;
    for (; c + VL <= dim; c += VL)
        vstore(out + c, vload(out + c) + vload(row + c));
    for (; c + 4 <= dim; c += 4)
        v4store(out + c, v4load(out + c) + v4load(row + c));
    for (; c < dim; c++)
        out[c] += row[c];
}

INLINE void gather(const struct lookup *call, int64_t dim, bool add, bool ahead)
{
    const int32_t *ids = call->ids->ids;
    int64_t rows = call->ids->rows;
    for (int64_t r = 0; r < rows; r++) {
        if (ahead && r + AHEAD < rows && ids[r + AHEAD] >= 0)
            prefetch_row(call->table + ids[r + AHEAD] * call->stride, dim);
        float *out = call->out + r * call->ld;
        if (dim <= ZEROS)
            put_row(out, ids[r] < 0 ? zeros : call->table + ids[r] * call->stride, dim, add);
        else if (ids[r] >= 0)
            put_row(out, call->table + ids[r] * call->stride, dim, add);
        else if (!add)
            memset(out, 0, (size_t)dim * sizeof(float));
    }
}

/* The combinations that occur in every model have their width built in. */
INLINE void gather_of(const struct lookup *call, bool add, bool ahead)
{
    switch (call->dim) {
    case 1: gather(call, 1, add, ahead); break;
    case 4: gather(call, 4, add, ahead); break;
    case 8: gather(call, 8, add, ahead); break;
    case 10: gather(call, 10, add, ahead); break;
    case 16: gather(call, 16, add, ahead); break;
    case 32: gather(call, 32, add, ahead); break;
    default: gather(call, call->dim, add, ahead); break;
    }
}

static void gather_single(const struct lookup *call)
{
    if (call->accumulate)
        gather_of(call, true, !is_small(call));
    else if (is_small(call))
        gather_of(call, false, false);
    else
        gather_of(call, false, true);
}

/* ---- entries of one row -------------------------------------------------------------------------------------- */

/* An entry's weight, or a negative zero's worth of nothing: false when the entry is dropped. */
INLINE bool keep(const int32_t *ids, const float *weights, int64_t e, enum combiner combiner, float *weight)
{
    *weight = weights ? weights[e] : 1;
    return ids[e] >= 0 && (combiner == COMBINER_SUM || *weight > 0);
}

/* What the sum over a row's entries is divided by; 1 for an empty row. */
INLINE float divisor(const int32_t *ids, const float *weights, int64_t n, enum combiner combiner)
{
    float sum = 0, weight;
    if (combiner == COMBINER_SUM)
        return 1;
    for (int64_t e = 0; e < n; e++)
        if (keep(ids, weights, e, combiner, &weight))
            sum += combiner == COMBINER_MEAN ? weight : weight * weight;
    if (combiner == COMBINER_SQRTN)
        sum = __builtin_sqrtf(sum);
    return sum > 0 ? sum : 1;
}

/* Where the entries of row r begin and end, counted in ids and weights. */
INLINE void row_entries(const struct sparse *ids, int64_t r, int64_t *first, int64_t *end)
{
    *first = ids->offsets ? ids->offsets[r] : r;
    *end = ids->offsets ? ids->offsets[r + 1] : r + 1;
}

static void coefficients(const struct coefficients *call)
{
    const struct sparse *ids = call->ids;
    int64_t base = ids->offsets ? ids->offsets[0] : 0;
    for (int64_t r = 0; r < ids->rows; r++) {
        int64_t first, end;
        row_entries(ids, r, &first, &end);
        const int32_t *row_ids = ids->ids + first;
        const float *weights = ids->weights ? ids->weights + first : NULL;
        float by = divisor(row_ids, weights, end - first, call->combiner), weight;
        for (int64_t e = 0; e < end - first; e++)
            call->out[first - base + e] = keep(row_ids, weights, e, call->combiner, &weight) ? weight / by : 0;
    }
}

/* ---- the general path ---------------------------------------------------------------------------------------- */

/* One row of ids. Factors (weight times norm's scale) of the first entries are kept; a longer row computes the others
 * whenever it needs them. `plain`, here and below: no weights and no norm, every kept entry has factor 1. */
enum { KEPT_FACTORS = 64 };
struct bag {
    const int32_t *ids;
    const float *weights;
    int64_t n;
    float divisor;
    float factor[KEPT_FACTORS]; /* 0 for a dropped one */
};

/* A dropped entry has factor 0, and so does one of weight 0, which changes nothing. */
static float compute_factor(const struct lookup *call, const struct bag *bag, int64_t e)
{
    float weight;
    if (!keep(bag->ids, bag->weights, e, call->combiner, &weight))
        return 0;
    if (!(call->max_norm > 0))
        return weight;
    float norm = __builtin_sqrtf(norm_squared(call->table + bag->ids[e] * call->stride, call->dim));
    return norm > call->max_norm ? weight * (call->max_norm / norm) : weight;
}

INLINE float factor_of(const struct lookup *call, const struct bag *bag, int64_t e, bool plain)
{
    if (plain)
        return bag->ids[e] >= 0;
    return e < KEPT_FACTORS ? bag->factor[e] : compute_factor(call, bag, e);
}

INLINE void fill_bag(const struct lookup *call, int64_t r, bool plain, struct bag *bag)
{
    int64_t first, end;
    row_entries(call->ids, r, &first, &end);
    bag->ids = call->ids->ids + first;
    bag->weights = plain ? NULL : call->ids->weights ? call->ids->weights + first : NULL;
    bag->n = end - first;
    bag->divisor = divisor(bag->ids, bag->weights, bag->n, call->combiner);
    for (int64_t e = 0; !plain && e < MIN(bag->n, KEPT_FACTORS); e++)
        bag->factor[e] = compute_factor(call, bag, e);
}

/* `count` vectors of columns from `column` on: the sum over the entries, divided, written. */
INLINE void combine_vectors(const struct lookup *call, const struct bag *bag, bool plain, int64_t column, int count, float *out)
{
    vf sum[4] = { 0 };
    for (int64_t e = 0; e < bag->n; e++) {
        float factor = factor_of(call, bag, e, plain);
        if (factor == 0)
            continue;
        const float *row = call->table + bag->ids[e] * call->stride + column;
        for (int i = 0; i < count; i++)
            sum[i] = plain ? sum[i] + vload(row + i * VL) : vfma(vset(factor), vload(row + i * VL), sum[i]);
    }
    for (int i = 0; i < count; i++) {
        vf value = bag->divisor == 1 ? sum[i] : sum[i] / vset(bag->divisor);
        vstore(out + column + i * VL, call->accumulate ? vload(out + column + i * VL) + value : value);
    }
}

/* Four columns, or the last 1 to 3 and the pads behind them, which are not written. */
INLINE void combine_four(const struct lookup *call, const struct bag *bag, bool plain, int64_t column, float *out)
{
    v4 sum = { 0 };
    for (int64_t e = 0; e < bag->n; e++) {
        float factor = factor_of(call, bag, e, plain);
        if (factor == 0)
            continue;
        v4 row = v4load(call->table + bag->ids[e] * call->stride + column);
        sum = plain ? sum + row : v4fma(v4set(factor), row, sum);
    }
    sum = bag->divisor == 1 ? sum : sum / v4set(bag->divisor);
    if (column + 4 <= call->dim)
        v4store(out + column, call->accumulate ? v4load(out + column) + sum : sum);
    else
        for (int64_t c = column; c < call->dim; c++)
            out[c] = call->accumulate ? out[c] + sum[c - column] : sum[c - column];
}

INLINE void combine_one(const struct lookup *call, const struct bag *bag, bool plain, float *out)
{
    float sum = 0;
    for (int64_t e = 0; e < bag->n; e++) {
        float factor = factor_of(call, bag, e, plain);
        if (factor != 0)
            sum = fma1(factor, call->table[bag->ids[e] * call->stride], sum);
    }
    sum /= bag->divisor;
    *out = call->accumulate ? *out + sum : sum;
}

INLINE void combine_row(const struct lookup *call, const struct bag *bag, bool plain, float *out)
{
    int64_t dim = call->dim, c = 0;
    if (dim == 1) { /* such a row has no pads */
        combine_one(call, bag, plain, out);
        return;
    }
    for (; c + 4 * VL <= dim; c += 4 * VL)
        combine_vectors(call, bag, plain, c, 4, out);
    for (; c + 2 * VL <= dim; c += 2 * VL)
        combine_vectors(call, bag, plain, c, 2, out);
    for (; c + VL <= dim; c += VL)
        combine_vectors(call, bag, plain, c, 1, out);
    for (; c < dim; c += 4)
        combine_four(call, bag, plain, c, out);
}

INLINE void combine_rows(const struct lookup *call, bool plain)
{
    const struct sparse *ids = call->ids;
    int64_t next, end, unused;
    bool ahead = !is_small(call);
    row_entries(ids, 0, &next, &unused);
    row_entries(ids, ids->rows - 1, &unused, &end);
    for (int64_t r = 0; r < ids->rows; r++) {
        struct bag bag;
        fill_bag(call, r, plain, &bag);
        for (int64_t until = MIN(end, bag.ids - ids->ids + bag.n + AHEAD); ahead && next < until; next++)
            if (ids->ids[next] >= 0)
                prefetch_row(call->table + ids->ids[next] * call->stride, call->dim);
        combine_row(call, &bag, plain, call->out + r * call->ld);
    }
}

static void lookup(const struct lookup *call)
{
    bool plain = !call->ids->weights && !(call->max_norm > 0);
    if (call->ids->rows == 0)
        return;
    if (plain && !call->ids->offsets)
        gather_single(call);
    else if (plain)
        combine_rows(call, true);
    else
        combine_rows(call, false);
}

KERNEL_FILL(lookup)
{
    kernels->lookup = lookup;
    kernels->coefficients = coefficients;
}
