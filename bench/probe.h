/* SPDX-License-Identifier: Apache-2.0 */
/* Peak of one core, measured in the same process as the figure it judges: independent multiply-adds in registers. */
#ifndef PILASTER_BENCH_PROBE_H
#define PILASTER_BENCH_PROBE_H

#include <string.h>
#include <time.h>

#include "kernel/kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static inline double bench_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* ---- the chains; each function returns the flops done ---- */

enum { PROBE_STEPS = 2000 };
static volatile float one = 1.0f, sink; /* volatile: nothing about the chains is known beforehand */

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static inline double probe_avx512(void)
{
    __m512 sum[20], x = _mm512_set1_ps(one);
#pragma GCC unroll 20
    for (int i = 0; i < 20; i++)
        sum[i] = _mm512_set1_ps((float)i);
    for (int step = 0; step < PROBE_STEPS; step++) {
#pragma GCC unroll 20
        for (int i = 0; i < 20; i++)
            sum[i] = _mm512_fmadd_ps(x, x, sum[i]);
    }
    for (int i = 1; i < 20; i++)
        sum[0] = _mm512_add_ps(sum[0], sum[i]);
    sink = _mm512_cvtss_f32(sum[0]);
    return 2.0 * 16 * 20 * PROBE_STEPS;
}

__attribute__((target("avx2,fma"))) static inline double probe_avx2(void)
{
    __m256 sum[12], x = _mm256_set1_ps(one);
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        sum[i] = _mm256_set1_ps((float)i);
    for (int step = 0; step < PROBE_STEPS; step++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            sum[i] = _mm256_fmadd_ps(x, x, sum[i]);
    }
    for (int i = 1; i < 12; i++)
        sum[0] = _mm256_add_ps(sum[0], sum[i]);
    sink = _mm256_cvtss_f32(sum[0]);
    return 2.0 * 8 * 12 * PROBE_STEPS;
}
#endif

/* What four lanes can do with the multiplication and the addition apart. */
static inline double probe_c(void)
{
    typedef float v4 __attribute__((vector_size(16)));
    v4 sum[12], x = one - (v4){ 0 };
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        sum[i] = (float)i - (v4){ 0 };
    for (int step = 0; step < PROBE_STEPS; step++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            sum[i] = sum[i] * x + x;
    }
    for (int i = 1; i < 12; i++)
        sum[0] += sum[i];
    sink = sum[0][0];
    return 2.0 * 4 * 12 * PROBE_STEPS;
}

static inline double (*probe_of(const char *level))(void)
{
#if defined(__x86_64__)
    if (strcmp(level, "avx512") == 0)
        return probe_avx512;
    if (strcmp(level, "avx2") == 0)
        return probe_avx2;
#endif
    (void)level;
    return probe_c;
}

/* The most flops a second that a core does at this level, of what `seconds` of trying show. */
static inline double bench_peak(const char *level, double seconds)
{
    double best = 0;
    for (double start = bench_seconds(); bench_seconds() - start < seconds;) {
        double begin = bench_seconds(), flops = probe_of(level)();
        best = MAX(best, flops / (bench_seconds() - begin));
    }
    return best;
}

#endif
