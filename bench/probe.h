/* SPDX-License-Identifier: Apache-2.0 */
/* Peak of one core, measured in the same process as the figure it judges: independent multiply-adds in registers. */
#ifndef PILASTER_BENCH_PROBE_H
#define PILASTER_BENCH_PROBE_H

#include <time.h>

#include "kernel/kernel.h"

static inline double bench_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* GFLOP/s of a product whose operands stay in the first cache: what kernels can reach at best, least of many runs. */
static inline double bench_peak(void)
{
    enum { M = 48, N = 64, K = 64 };
    static float a[M * K] __attribute__((aligned(64))), b[K * N] __attribute__((aligned(64))), c[M * N] __attribute__((aligned(64)));
    struct gemm call = { .m = M, .n = N, .k = K, .a = a, .a_row = K, .a_column = 1, .b = b, .ldb = N, .c = c, .ldc = N };
    double best = 0;
    for (int i = 0; i < 2000; i++) {
        double start = bench_seconds();
        for (int k = 0; k < 20; k++)
            kernel_get()->gemm(&call);
        double rate = 20 * 2.0 * M * N * K / (bench_seconds() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}

#endif
