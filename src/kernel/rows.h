/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a table, as lookup.c and update.c read and write them: exactly `dim` floats, or four at a time where the row's
 * pads allow it; and prefetching, without which a random row of a large table costs a whole trip to memory.
 */
#ifndef PILASTER_KERNEL_ROWS_H
#define PILASTER_KERNEL_ROWS_H

#include "kernel/simd.h"

/* Rows between asking for a row and using it. 8 to 64 were the same within noise (a core has some 24 misses under way). */
enum { AHEAD = 16 };

INLINE void prefetch_row(const float *row, int64_t floats)
{
    const char *first = (const char *)row, *last = (const char *)(row + floats) - 1;
    __builtin_prefetch(first);
    for (const char *line = first + 64; line < last; line += 64)
        __builtin_prefetch(line);
    __builtin_prefetch(last); /* a row need not begin at a cache line */
}

typedef float v8_memory __attribute__((vector_size(32), aligned(4), may_alias));

/* Copies exactly n floats. Inlined with a constant n it is a few moves; the last one overlaps instead of being masked. */
INLINE void copy_floats(float *to, const float *from, int64_t n)
{
    int64_t c = 0;
    if (n >= 8) {
        for (; c + 8 <= n; c += 8)
            *(v8_memory *)(to + c) = *(const v8_memory *)(from + c);
        if (c < n)
            *(v8_memory *)(to + n - 8) = *(const v8_memory *)(from + n - 8);
    } else if (n >= 4) {
        v4 first = v4load(from), last = v4load(from + n - 4);
        v4store(to, first);
        v4store(to + n - 4, last);
    } else {
        for (; c < n; c++)
            to[c] = from[c];
    }
}

/* sum of x[i] y[i] over 16 lanes, to be continued with the next columns (the first of which must be a multiple of 16) and
 * ended by fold(). */
INLINE void add_products(vf sum[SUM_VECTORS], const float *x, const float *y, int64_t n)
{
    int64_t c = 0;
    for (; c + SUM_LANES <= n; c += SUM_LANES)
        for (int i = 0; i < SUM_VECTORS; i++)
            sum[i] = vfma(vload(x + c + i * VL), vload(y + c + i * VL), sum[i]);
    for (int i = 0; i < SUM_VECTORS && c < n; i++, c += VL) {
        if (c + VL <= n)
            sum[i] = vfma(vload(x + c), vload(y + c), sum[i]);
        else
            sum[i] = vfma(vload_part(x + c, n - c, 0), vload_part(y + c, n - c, 0), sum[i]);
    }
}

INLINE float norm_squared(const float *row, int64_t dim)
{
    vf sum[SUM_VECTORS] = { 0 };
    add_products(sum, row, row, dim);
    return fold(sum);
}

#endif
