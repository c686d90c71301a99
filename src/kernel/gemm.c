/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/simd.h"

KERNEL_FILL(gemm)
{
    (void)kernels;
}
