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

/* The call's fields are copied first: stores to `out` may alias anything as far as the compiler knows. */
INLINE void gather(const struct lookup *call, int64_t dim, bool add, bool ahead)
{
    const struct lookup own = *call;
    const int32_t *ids = own.ids->ids;
    const int64_t rows = own.ids->rows;
    for (int64_t r = 0; ahead && r < MIN(rows, AHEAD); r++) /* a tile is short: its first rows count */
        if (ids[r] >= 0)
            prefetch_row(own.table + ids[r] * own.stride, dim);
    for (int64_t r = 0; r < rows; r++) {
        if (ahead && r + AHEAD < rows && ids[r + AHEAD] >= 0)
            prefetch_row(own.table + ids[r + AHEAD] * own.stride, dim);
        float *out = own.out + r * own.ld;
        if (dim <= ZEROS)
            put_row(out, ids[r] < 0 ? zeros : own.table + ids[r] * own.stride, dim, add);
        else if (ids[r] >= 0)
            put_row(out, own.table + ids[r] * own.stride, dim, add);
        else if (!add)
            memset(out, 0, (size_t)dim * sizeof(float));
    }
}

/* The combinations that occur in every model have their width built in. */
INLINE void gather_of(const struct lookup *call, bool add, bool ahead)
{
    switch (call->dim) {
    case 1:
        gather(call, 1, add, ahead);
        break;
    case 4:
        gather(call, 4, add, ahead);
        break;
    case 8:
        gather(call, 8, add, ahead);
        break;
    case 10:
        gather(call, 10, add, ahead);
        break;
    case 16:
        gather(call, 16, add, ahead);
        break;
    case 32:
        gather(call, 32, add, ahead);
        break;
    default:
        gather(call, call->dim, add, ahead);
        break;
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

/* What an entry's row is multiplied by: nothing, its weight, or its weight times its norm's scale. Known to the compiler. */
enum way { PLAIN, WEIGHTED, NORMED };

/* One row of ids. With norms the factors of the first entries are kept; a longer row computes the others whenever it needs
 * them. */
enum { KEPT_FACTORS = 64 };
struct bag {
    const int32_t *ids;
    const float *weights;
    int64_t n;
    float divisor;
    float factor[KEPT_FACTORS];
};

/* 0 for a dropped entry; one of weight 0 changes nothing either. */
INLINE float weight_of(const struct lookup *call, const struct bag *bag, int64_t e)
{
    float weight;
    return keep(bag->ids, bag->weights, e, call->combiner, &weight) ? weight : 0;
}

static float normed_factor(const struct lookup *call, const struct bag *bag, int64_t e)
{
    float weight = weight_of(call, bag, e);
    if (weight == 0)
        return 0;
    float norm = __builtin_sqrtf(norm_squared(call->table + bag->ids[e] * call->stride, call->dim));
    return norm > call->max_norm ? weight * (call->max_norm / norm) : weight;
}

INLINE float factor_of(const struct lookup *call, const struct bag *bag, int64_t e, enum way way)
{
    if (way == PLAIN)
        return bag->ids[e] >= 0;
    if (way == WEIGHTED)
        return weight_of(call, bag, e);
    return e < KEPT_FACTORS ? bag->factor[e] : normed_factor(call, bag, e);
}

INLINE void fill_bag(const struct lookup *call, int64_t r, enum way way, struct bag *bag)
{
    int64_t first, end;
    row_entries(call->ids, r, &first, &end);
    bag->ids = call->ids->ids + first;
    bag->weights = way != PLAIN && call->ids->weights ? call->ids->weights + first : NULL;
    bag->n = end - first;
    bag->divisor = divisor(bag->ids, bag->weights, bag->n, call->combiner);
    for (int64_t e = 0; way == NORMED && e < MIN(bag->n, KEPT_FACTORS); e++)
        bag->factor[e] = normed_factor(call, bag, e);
}

/* `count` vectors of columns, `step` apart (so that they may overlap): the sum over the entries, divided, written. */
INLINE void combine_vectors(const struct lookup *call, const struct bag *bag, enum way way, int64_t column, int count,
                            int64_t step, float *out)
{
    vf sum[4] = { 0 };
    for (int64_t e = 0; e < bag->n; e++) {
        float factor = factor_of(call, bag, e, way);
        if (factor == 0)
            continue;
        const float *row = call->table + bag->ids[e] * call->stride + column;
        for (int i = 0; i < count; i++)
            sum[i] = way == PLAIN ? sum[i] + vload(row + i * step) : vfma(vset(factor), vload(row + i * step), sum[i]);
    }
    for (int i = 0; i < count; i++) {
        sum[i] = bag->divisor == 1 ? sum[i] : sum[i] / vset(bag->divisor);
        if (call->accumulate) /* all is read before anything is written */
            sum[i] += vload(out + column + i * step);
    }
    for (int i = 0; i < count; i++)
        vstore(out + column + i * step, sum[i]);
}

/* Four columns, or the last 1 to 3 and the pads behind them, which are not written. */
INLINE void combine_four(const struct lookup *call, const struct bag *bag, enum way way, int64_t column, float *out)
{
    v4 sum = { 0 };
    for (int64_t e = 0; e < bag->n; e++) {
        float factor = factor_of(call, bag, e, way);
        if (factor == 0)
            continue;
        v4 row = v4load(call->table + bag->ids[e] * call->stride + column);
        sum = way == PLAIN ? sum + row : v4fma(v4set(factor), row, sum);
    }
    sum = bag->divisor == 1 ? sum : sum / v4set(bag->divisor);
    if (column + 4 <= call->dim)
        v4store(out + column, call->accumulate ? v4load(out + column) + sum : sum);
    else
        for (int64_t c = column; c < call->dim; c++)
            out[c] = call->accumulate ? out[c] + sum[c - column] : sum[c - column];
}

INLINE void combine_one(const struct lookup *call, const struct bag *bag, enum way way, float *out)
{
    float sum = 0;
    for (int64_t e = 0; e < bag->n; e++) {
        float factor = factor_of(call, bag, e, way);
        if (factor != 0)
            sum = fma1(factor, call->table[bag->ids[e] * call->stride], sum);
    }
    sum = bag->divisor == 1 ? sum : sum / bag->divisor;
    *out = call->accumulate ? *out + sum : sum;
}

INLINE void combine_row(const struct lookup *call, const struct bag *bag, enum way way, float *out)
{
    int64_t dim = call->dim, c = 0;
    if (dim == 1) { /* such a row has no pads */
        combine_one(call, bag, way, out);
        return;
    }
    for (; c + 4 * VL <= dim; c += 4 * VL)
        combine_vectors(call, bag, way, c, 4, VL, out);
    while (c + VL < dim) {
        int64_t both = MIN(dim - c, 2 * VL);
        combine_vectors(call, bag, way, c, 2, both - VL, out);
        c += both;
    }
    for (; c + VL <= dim; c += VL)
        combine_vectors(call, bag, way, c, 1, VL, out);
    for (; c < dim; c += 4)
        combine_four(call, bag, way, c, out);
}

INLINE void combine_rows(const struct lookup *call, enum way way)
{
    const struct lookup own = *call;
    const struct sparse ids = *own.ids;
    int64_t next, end, unused;
    bool ahead = !is_small(call);
    row_entries(&ids, 0, &next, &unused);
    row_entries(&ids, ids.rows - 1, &unused, &end);
    for (int64_t r = 0; r < ids.rows; r++) {
        struct bag bag;
        fill_bag(&own, r, way, &bag);
        for (int64_t until = MIN(end, bag.ids - ids.ids + bag.n + AHEAD); ahead && next < until; next++)
            if (ids.ids[next] >= 0)
                prefetch_row(own.table + ids.ids[next] * own.stride, own.dim);
        combine_row(&own, &bag, way, own.out + r * own.ld);
    }
}

static void lookup(const struct lookup *call)
{
    if (call->ids->rows == 0)
        return;
    if (call->max_norm > 0)
        combine_rows(call, NORMED);
    else if (call->ids->weights)
        combine_rows(call, WEIGHTED);
    else if (call->ids->offsets)
        combine_rows(call, PLAIN);
    else
        gather_single(call);
}

KERNEL_FILL(lookup)
{
    kernels->lookup = lookup;
    kernels->coefficients = coefficients;
}
