/* SPDX-License-Identifier: Apache-2.0 */
/* Products with a factor in strips give the bits of the product with the factor as it lies, at every level. */
#include "kernel/levels.h"
#include "op/rnn.h"

enum { MOST_ROWS = 20, MOST_K = 150, MOST_N = 150, LD = 160, SIZE = MOST_K * LD };

static void one_product(const struct kernels *kernels, bool transposed)
{
    static float a[MOST_ROWS * MOST_K], b[SIZE], other[SIZE], bias[LD], c[2][MOST_ROWS * LD], data[MOST_K * 160];
    const int64_t rows = 1 + random_to(MOST_ROWS), k = 1 + random_to(MOST_K), n = 2 + random_to(MOST_N - 1);
    const bool accumulate = random_to(2), with_bias = random_to(2);
    const int64_t features = random_to(k + 1); /* where the second kernel begins, of a layer's two */
    const struct rnn_layer layer = { .kernels = kernels,
                                     .rows = rows,
                                     .s = { .features = features, .hidden = k - features, .columns = n },
                                     .kernel = b,
                                     .recurrent = b + features * LD,
                                     .kernel_ld = LD,
                                     .recurrent_ld = LD };
    assert_true(rnn_strips_floats(k, n) <= (int64_t)COUNT_OF(data));
    memset(b, 0, sizeof b);
    memset(bias, 0, sizeof bias);
    for (int64_t i = 0; i < rows * k; i++)
        a[i] = random_float(-1, 1);
    for (int64_t i = 0; i < n; i++)
        bias[i] = random_float(-1, 1);
    for (int64_t p = 0; p < k; p++)
        for (int64_t j = 0; j < n; j++)
            other[j * LD + p] = b[p * LD + j] = random_float(-1, 1);
    for (int64_t i = 0; i < MOST_ROWS * LD; i++)
        c[0][i] = c[1][i] = i % LD < n ? random_float(-1, 1) : 0;
    for (size_t i = 0; i < COUNT_OF(data); i++)
        data[i] = NAN; /* what is not written must not be read */
    rnn_product(&layer, a, k, k, b, LD, with_bias ? bias : NULL, accumulate, c[0], LD, n);
    struct rnn_strips strips = transposed ? rnn_strips_transpose(kernels, other, LD, n, k, data) : rnn_strips_pack(&layer, data);
    rnn_strips_product(&layer, a, k, &strips, with_bias ? bias : NULL, accumulate, c[1], LD);
    for (int64_t i = 0; i < rows * LD; i++)
        if (!same_float(c[0][i], c[1][i]))
            fail_msg("%s: [%lld, %lld, %lld]: element %lld is %.9g, not %.9g", kernels->level, (long long)rows, (long long)k,
                     (long long)n, (long long)i, (double)c[1][i], (double)c[0][i]);
}

static void strips_keep_the_bits(void **state)
{
    (void)state;
    for (int l = 0; l < LEVELS; l++)
        for (int round = 0; kernel_level(level_names[l]) && round < 200; round++)
            one_product(kernel_level(level_names[l]), round & 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(strips_keep_the_bits) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
