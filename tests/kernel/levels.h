/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of level-compiled kernels: the levels this processor has, repeatable numbers, memory whose pads are poisoned.
 */
#ifndef PILASTER_TESTS_KERNEL_LEVELS_H
#define PILASTER_TESTS_KERNEL_LEVELS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kernel.h"

static const char *const level_names[] = { "c", "avx2", "avx512" };
enum { LEVELS = COUNT_OF(level_names) };

/* Levels with fused multiply-add, which promise equal bits. Level c has it where the build's baseline has. */
static inline bool level_fuses(const struct kernels *kernels)
{
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMAF)
    (void)kernels;
    return true;
#else
    return strcmp(kernels->level, "c") != 0;
#endif
}

/* xorshift64*: the same numbers in every run. */
static uint64_t random_state = 0x9e3779b97f4a7c15u;

static inline uint32_t random_word(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545f4914f6cdd1du) >> 32);
}

static inline int64_t random_to(int64_t limit) /* 0 .. limit - 1 */
{
    return (int64_t)(random_word() % (uint64_t)limit);
}

static inline float random_float(float low, float high)
{
    return low + (high - low) * (float)(random_word() >> 8) * 0x1p-24f;
}

/* rows x cols values, ld apart; what lies between the rows is `pad`. Exactly as large as its last element needs, so that
 * the address sanitizer sees a step too far, unless whole rows are asked for. */
static inline float *matrix_new(int64_t rows, int64_t cols, int64_t ld, bool whole_rows, float pad)
{
    size_t size = (size_t)((rows - 1) * ld + (whole_rows ? ld : cols));
    float *data = malloc(size * sizeof(float));
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (int64_t)(i % (size_t)ld) < cols ? random_float(-1, 1) : pad;
    return data;
}

/* Equal bits, or both NaN (a NaN's payload is nobody's promise). */
static inline bool same_float(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof(a)) == 0;
}

#endif
