/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the families of one level share.
 */
#ifndef PILASTER_KERNEL_INTERNAL_H
#define PILASTER_KERNEL_INTERNAL_H

#include "kernel/simd.h"

/* activation.c: gemm's epilogue for what does not fit its registers. */
void LEVEL_SYMBOL(kernel_activate)(enum activation kind, const float *x, int64_t ldx, float *y, int64_t ldy, int64_t rows,
                                   int64_t cols);

#endif
