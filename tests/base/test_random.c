/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers: the generator's published vectors, frozen values of everything built on it, pieces, moments. */
#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* Random123's known answers (kat_vectors, philox4x32 10). */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const uint32_t *c = cases[i].counter;
        uint32_t out[4];
        random_bits((struct random_key){ { cases[i].key[0], cases[i].key[1] } }, (uint64_t)c[3] << 32 | c[2],
                    (uint64_t)c[1] << 32 | c[0], out);
        assert_memory_equal(out, cases[i].out, sizeof(out));
    }
}

/* Frozen: these values are in trained models. All were computed by an independent program (Python, NormalDist.inv_cdf). */
static void keys_are_frozen(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        const char *name;
        uint32_t word[2];
    } cases[] = {
        { 0u, "", { 0x29c0cc9e, 0x7bd3144f } },
        { 7u, "dnn/hiddenlayer_0/kernel", { 0x357c812e, 0x9e23c928 } },
        { 18446744073709551615u, "shuffle", { 0x5cfad6b6, 0x6a6c2cbb } },
        { 20240101u, "frozen", { 0xb1d45d2f, 0x4b7555cb } },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct random_key key = random_key(cases[i].seed, cases[i].name);
        assert_int_equal(key.word[0], cases[i].word[0]);
        assert_int_equal(key.word[1], cases[i].word[1]);
    }
    struct random_key none = random_key(7, NULL), empty = random_key(7, "");
    assert_memory_equal(&none, &empty, sizeof(none));
}

static void fills_are_frozen(void **state)
{
    (void)state;
    static const struct {
        void (*fill)(struct random_key, float *, int64_t, int64_t, float, float);
        float low, high;
        uint32_t hash; /* FNV-1a over the words of the elements */
    } cases[] = {
        { random_fill_uniform, 0, 1, 0x50e74df4 },   { random_fill_uniform, -0.3f, 0.7f, 0xf1c3ca5a },
        { random_fill_normal, 0, 1, 0xe4dc1130 },    { random_fill_normal, 5, 0.1f, 0x7551fa2b },
        { random_fill_truncated, 0, 1, 0xb9ca9ae4 },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        enum { COUNT = 4096 };
        static float values[COUNT];
        cases[i].fill(random_key(20240101, "frozen"), values, 3, COUNT, cases[i].low, cases[i].high);
        uint32_t hash = 0x811C9DC5u;
        for (int e = 0; e < COUNT; e++)
            hash = (hash ^ float_bits(values[e])) * 0x01000193u;
        assert_int_equal(hash, cases[i].hash);
    }
}

static void pieces_equal_one_fill(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static void (*const fills[])(struct random_key, float *, int64_t, int64_t, float,
                                 float) = { random_fill_uniform, random_fill_normal, random_fill_truncated };
    const struct random_key key = random_key(1, "pieces");
    for (size_t f = 0; f < COUNT_OF(fills); f++) {
        float whole[COUNT], pieces[COUNT];
        fills[f](key, whole, 0, COUNT, -1, 2);
        for (int first = 0, size = 1; first < COUNT; first += size, size = size * 3 % 131 + 1) {
            size = MIN(size, COUNT - first);
            fills[f](key, pieces + first, first, size, -1, 2);
        }
        assert_memory_equal(whole, pieces, sizeof(whole));
        float far[3];
        fills[f](key, far, ((int64_t)1 << 40) + 7, 3, -1, 2); /* block numbers beyond 32 bits */
        float near[3];
        fills[f](key, near, 7, 3, -1, 2);
        assert_memory_not_equal(far, near, sizeof(far));
        fills[f](key, far, 5, 0, -1, 2); /* nothing asked, nothing written */
    }
    float values[COUNT];
    random_fill_uniform(key, values, 0, COUNT, 0, 1);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_true(values[i] == random_uniform(key, 0, i));
    assert_true(random_uniform(key, 0, 5) != random_uniform(key, 1, 5));
}

/* The inverse against the distribution function: erfc of the C library, in double. */
static void normal_is_the_inverse(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static float values[COUNT];
    const struct random_key key = random_key(2, "inverse");
    random_fill_normal(key, values, 0, COUNT, 0, 1);
    for (uint64_t i = 0; i < COUNT; i++) {
        uint32_t bits[4];
        random_bits(key, 0, i / 4, bits);
        double p = (bits[i % 4] + 0.5) * 0x1p-32;
        double density = 0.3989422804014327 * exp(-0.5 * (double)values[i] * values[i]);
        double error = (0.5 * erfc(-values[i] * 0.7071067811865476) - p) / density; /* in units of the value */
        assert_true(fabs(error) <= 0.51 * (double)(nextafterf(fabsf(values[i]), INFINITY) - fabsf(values[i])) + 1e-15);
    }
}

struct moments {
    double mean, variance, skew, kurtosis, low, high;
};

static struct moments measure(const float *values, int count)
{
    struct moments m = { .low = INFINITY, .high = -INFINITY };
    for (int i = 0; i < count; i++) {
        m.mean += values[i] / count;
        m.low = fmin(m.low, values[i]);
        m.high = fmax(m.high, values[i]);
    }
    for (int i = 0; i < count; i++) {
        double d = values[i] - m.mean;
        m.variance += d * d / count;
        m.skew += d * d * d / count;
        m.kurtosis += d * d * d * d / count;
    }
    m.skew /= pow(m.variance, 1.5);
    m.kurtosis /= m.variance * m.variance;
    return m;
}

/* Bounds are about five standard errors of 400,000 draws. */
static void moments_are_right(void **state)
{
    (void)state;
    enum { COUNT = 400000 };
    float *values = malloc(COUNT * sizeof(float));
    assert_non_null(values);
    random_fill_uniform(random_key(3, "uniform"), values, 0, COUNT, 2, 6);
    struct moments m = measure(values, COUNT);
    assert_true(fabs(m.mean - 4) < 0.01 && fabs(m.variance - 4.0 / 3) < 0.01 && fabs(m.skew) < 0.02 &&
                fabs(m.kurtosis - 1.8) < 0.02);
    assert_true(m.low >= 2 && m.low < 2.001 && m.high < 6 && m.high > 5.999);
    random_fill_normal(random_key(3, "normal"), values, 0, COUNT, -1, 3);
    m = measure(values, COUNT);
    assert_true(fabs(m.mean + 1) < 0.025 && fabs(m.variance - 9) < 0.1 && fabs(m.skew) < 0.02 && fabs(m.kurtosis - 3) < 0.04);
    assert_true(m.low < -1 - 3 * 4 && m.high > -1 + 3 * 4);
    random_fill_truncated(random_key(3, "truncated"), values, 0, COUNT, 0, 1);
    m = measure(values, COUNT);
    /* of the normal distribution cut at 2: variance 1 - 4 phi(2) / (2 Phi(2) - 1), fourth moment by the same integral */
    assert_true(fabs(m.mean) < 0.007 && fabs(m.variance - 0.773741) < 0.007 && fabs(m.skew) < 0.02);
    assert_true(fabs(m.kurtosis - 1.416189 / (0.773741 * 0.773741)) < 0.02);
    assert_true(m.low >= -2 && m.low < -1.99 && m.high <= 2 && m.high > 1.99);
    free(values);
}

static void odd_ranges(void **state)
{
    (void)state;
    float values[200];
    const struct random_key key = random_key(4, "ranges");
    random_fill_uniform(key, values, 0, 200, 1.5f, 1.5f);
    for (int i = 0; i < 200; i++)
        assert_true(values[i] == 1.5f);
    random_fill_uniform(key, values, 0, 200, -3e38f, 3e38f); /* the width is no float */
    for (int i = 0; i < 200; i++)
        assert_true(values[i] >= -3e38f && values[i] < 3e38f);
    random_fill_uniform(key, values, 0, 200, 1, nextafterf(1, 2)); /* rounding would reach high */
    for (int i = 0; i < 200; i++)
        assert_true(values[i] == 1);
    random_fill_normal(key, values, 0, 200, 2.5f, 0);
    for (int i = 0; i < 200; i++)
        assert_true(values[i] == 2.5f);
}

static void below_is_exact(void **state)
{
    (void)state;
    const struct random_key key = random_key(5, "below");
    assert_int_equal(random_below(key, 0, 0, 0), 0);
    assert_int_equal(random_below(key, 0, 0, 1), 0);
    int counts[7] = { 0 };
    for (uint64_t i = 0; i < 70000; i++) {
        uint64_t value = random_below(key, 9, i, 7);
        assert_true(value < 7);
        counts[value]++;
    }
    for (int v = 0; v < 7; v++)
        assert_true(abs(counts[v] - 10000) < 500);
    /* Against an independent program; with the third limit half of all tries are rejected, up to nine in a row. */
    static const struct {
        uint64_t limit, hash;
    } cases[] = {
        { 7, 0x4f20b6d96b8ba6fe },
        { 1000003, 0xe3550eb2b540b279 },
        { 9223372036854775809u, 0xab2cc8ff3bec5182 },
        { UINT64_MAX, 0x4a7a4b0d238dae57 },
    };
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        uint64_t hash = 0;
        for (uint64_t i = 0; i < 1000; i++)
            hash = hash * 31 + random_below(key, 3, i, cases[c].limit);
        assert_true(hash == cases[c].hash);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(keys_are_frozen),
        cmocka_unit_test(fills_are_frozen),
        cmocka_unit_test(pieces_equal_one_fill),
        cmocka_unit_test(normal_is_the_inverse),
        cmocka_unit_test(moments_are_right),
        cmocka_unit_test(odd_ranges),
        cmocka_unit_test(below_is_exact),
    };
    return cmocka_run_group_tests_name("base/random", tests, NULL, NULL);
}
