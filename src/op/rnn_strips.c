/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A right factor that many products share, in strips of columns. Every step of a layer multiplies a few rows with the same kernel,
 * whose rows lie a power of two apart as a rule: read where they lie, they fall on few sets of the caches and come from the second
 * level for every few rows. Laid together once for all steps, a strip stays in the first. Each output is the same chain of
 * multiply-adds as before.
 */
#include <string.h>

#include "op/rnn.h"

enum { MOST_WIDTH = 32 };

/* A copy for a handful of products, or of a kernel that the first level holds, is not worth it; and a product of a few rows goes
 * through more columns at a time than a strip has. */
bool rnn_wants_strips(const struct rnn_sizes *s, int64_t rows)
{
    return s->time >= 4 && s->hidden >= 64 && rows >= 8;
}

/* Two vectors, which is what a product takes at a time. */
static int64_t width_of(const struct kernels *kernels)
{
    return MIN(MAX(2 * kernels->lanes, PAD), MOST_WIDTH);
}

int64_t rnn_strips_floats(int64_t k, int64_t n)
{
    return k * ((n + MOST_WIDTH - 1) / MOST_WIDTH * MOST_WIDTH);
}

/* Rows of b into strips that are `k` rows high, from row `at` on. */
static void pack_rows(const float *b, int64_t ldb, int64_t rows, int64_t n, int64_t width, float *data, int64_t k, int64_t at)
{
    for (int64_t j = 0; j < n; j += width) {
        const size_t bytes = (size_t)pad_columns(MIN(width, MAX(n - j, 2))) * sizeof(float);
        for (int64_t p = 0; p < rows; p++)
            memcpy(data + j * k + (at + p) * width, b + p * ldb + j, bytes);
    }
}

struct rnn_strips rnn_strips_pack(const struct rnn_layer *layer, float *data)
{
    const struct rnn_sizes *s = &layer->s;
    const int64_t width = width_of(layer->kernels), k = s->features + s->hidden;
    pack_rows(layer->kernel, layer->kernel_ld, s->features, s->columns, width, data, k, 0);
    pack_rows(layer->recurrent, layer->recurrent_ld, s->hidden, s->columns, width, data, k, s->features);
    return (struct rnn_strips){ data, k, s->columns, width };
}

struct rnn_strips rnn_strips_transpose(const struct kernels *kernels, const float *b, int64_t ldb, int64_t rows, int64_t columns,
                                       float *data)
{
    const int64_t width = width_of(kernels);
    for (int64_t j = 0; j < rows; j += width)
        kernels->transpose(b + j * ldb, MIN(width, rows - j), columns, ldb, data + j * columns, width);
    return (struct rnn_strips){ data, columns, rows, width };
}

void rnn_strips_product(const struct rnn_layer *layer, const float *a, int64_t a_ld, const struct rnn_strips *b,
                        const float *bias, bool accumulate, float *c, int64_t ldc)
{
    for (int64_t j = 0; j < b->n; j += b->width)
        rnn_product(layer, a, a_ld, b->k, b->data + j * b->k, b->width, bias ? bias + j : NULL, accumulate, c + j, ldc,
                    MIN(b->width, b->n - j));
}
