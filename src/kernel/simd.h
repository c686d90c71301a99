/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lanes of a level. Only sources that are compiled once per level include this: the build defines LEVEL_NAME (c, avx2,
 * avx512) and LEVEL (0, 1, 2) for each pass. Everything here is static inline, so that no copy compiled for a wider level
 * ever serves a narrower one; whatever is not static carries the level's name by LEVEL_SYMBOL.
 *
 * GCC's vector extensions (clang has the same) give one source for all widths. The rules that keep the bits of AVX2 and
 * AVX-512 equal: a multiply-add is vfma() and never `a * b + c` in the hope of fusion; no approximate reciprocals; sums
 * run over SUM_LANES lanes whatever VL is, and end in fold().
 */
#ifndef PILASTER_KERNEL_SIMD_H
#define PILASTER_KERNEL_SIMD_H

#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "kernel/kernel.h"

#if !defined(LEVEL) || !defined(LEVEL_NAME)
#error "LEVEL and LEVEL_NAME say for which level this source is being compiled"
#endif

enum { LEVEL_C, LEVEL_AVX2, LEVEL_AVX512 };

/* Lanes of a vector of floats. */
#if LEVEL == 2
#define VL 16
#elif LEVEL == 1
#define VL 8
#else
#define VL 4
#endif

#define LEVEL_PASTE_(name, level) name##_##level
#define LEVEL_PASTE(name, level) LEVEL_PASTE_(name, level)
#define LEVEL_SYMBOL(name) LEVEL_PASTE(name, LEVEL_NAME)
/* The last function of a family's source: KERNEL_FILL(gemm) { kernels->gemm = gemm; } */
#define KERNEL_FILL(family)                                                                                                      \
    void LEVEL_SYMBOL(kernel_fill_##family)(struct kernels * kernels);                                                           \
    void LEVEL_SYMBOL(kernel_fill_##family)(struct kernels * kernels)

/* Before a loop with constant bounds over an array of vectors: unrolled at once, or the array stays in memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define INLINE static inline __attribute__((always_inline, unused))

typedef float vf __attribute__((vector_size(4 * VL)));
typedef int32_t vi __attribute__((vector_size(4 * VL)));
/* The same values at any address of a float: no load or store here asks for alignment. */
typedef float vf_memory __attribute__((vector_size(4 * VL), aligned(4), may_alias));
typedef int32_t vi_memory __attribute__((vector_size(4 * VL), aligned(4), may_alias));

INLINE vf vload(const float *p)
{
    return *(const vf_memory *)p;
}

INLINE void vstore(float *p, vf v)
{
    *(vf_memory *)p = v;
}

INLINE vf vset(float x)
{
    return x - (vf){ 0 };
}

INLINE vi vset_int(int32_t x)
{
    return x - (vi){ 0 };
}

/* mask ? a : b by bits; mask lanes are 0 or -1, as comparisons give them. C has no ?: for vectors. */
INLINE vf vselect(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* 0, 1, 2, ... */
INLINE vi vlanes(void)
{
#if VL == 16
    return (vi){ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
#elif VL == 8
    return (vi){ 0, 1, 2, 3, 4, 5, 6, 7 };
#else
    return (vi){ 0, 1, 2, 3 };
#endif
}

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMAF)
#define HAS_FMA 1
#else
#define HAS_FMA 0
#endif

#if LEVEL == 2 && defined(__AVX512F__)
#define VFMA_INTRINSIC(a, b, c) (vf) _mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c))
#define VSQRT_INTRINSIC(a) (vf) _mm512_sqrt_ps((__m512)(a))
#define VLOWER_INTRINSIC(a, b) (vf) _mm512_min_ps((__m512)(a), (__m512)(b))
#define VHIGHER_INTRINSIC(a, b) (vf) _mm512_max_ps((__m512)(a), (__m512)(b))
#define VMASK_INTRINSIC(count) (__mmask16)((1u << (count)) - 1)
#define VMASK_LOAD_INTRINSIC(p, count) (vf) _mm512_maskz_loadu_ps(VMASK_INTRINSIC(count), p)
#define VMASK_STORE_INTRINSIC(p, count, v) _mm512_mask_storeu_ps(p, VMASK_INTRINSIC(count), (__m512)(v))
#elif LEVEL == 1 && defined(__FMA__)
#define VFMA_INTRINSIC(a, b, c) (vf) _mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c))
#define VSQRT_INTRINSIC(a) (vf) _mm256_sqrt_ps((__m256)(a))
#define VLOWER_INTRINSIC(a, b) (vf) _mm256_min_ps((__m256)(a), (__m256)(b))
#define VHIGHER_INTRINSIC(a, b) (vf) _mm256_max_ps((__m256)(a), (__m256)(b))
#define VMASK_INTRINSIC(count) (__m256i)(vlanes() < vset_int((int32_t)(count)))
#define VMASK_LOAD_INTRINSIC(p, count) (vf) _mm256_maskload_ps(p, VMASK_INTRINSIC(count))
#define VMASK_STORE_INTRINSIC(p, count, v) _mm256_maskstore_ps(p, VMASK_INTRINSIC(count), (__m256)(v))
#elif LEVEL == 0 && defined(__SSE2__)
#define VSQRT_INTRINSIC(a) (vf) _mm_sqrt_ps((__m128)(a))
#define VLOWER_INTRINSIC(a, b) (vf) _mm_min_ps((__m128)(a), (__m128)(b))
#define VHIGHER_INTRINSIC(a, b) (vf) _mm_max_ps((__m128)(a), (__m128)(b))
#endif

/* The first `count` (0 .. VL) floats, no byte beyond them; the other lanes are `rest`. */
INLINE vf vload_part(const float *p, int64_t count, float rest)
{
#ifdef VMASK_INTRINSIC
    return vselect(vlanes() < vset_int((int32_t)count), VMASK_LOAD_INTRINSIC(p, count), vset(rest));
#else
    vf v = vset(rest);
    memcpy(&v, p, (size_t)count * sizeof(float));
    return v;
#endif
}

INLINE void vstore_part(float *p, vf v, int64_t count)
{
#ifdef VMASK_INTRINSIC
    VMASK_STORE_INTRINSIC(p, count, v);
#else
    memcpy(p, &v, (size_t)count * sizeof(float));
#endif
}

/* a * b + c, rounded once where the processor has fused multiply-add. Without it (level c on x86) it is rounded twice: the
 * library's fmaf would be a call per element, some hundred times slower; such a level is correct, its bits are its own. */
INLINE vf vfma(vf a, vf b, vf c)
{
#ifdef VFMA_INTRINSIC
    return VFMA_INTRINSIC(a, b, c);
#elif HAS_FMA
    for (int i = 0; i < VL; i++)
        c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
#else
    return a * b + c;
#endif
}

INLINE float fma1(float a, float b, float c)
{
#if HAS_FMA
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* The exact root, as sqrtf gives it. */
INLINE vf vsqrt(vf a)
{
#ifdef VSQRT_INTRINSIC
    return VSQRT_INTRINSIC(a);
#else
    for (int i = 0; i < VL; i++)
        a[i] = __builtin_sqrtf(a[i]);
    return a;
#endif
}

INLINE vf vabs(vf a)
{
    return (vf)((vi)a & vset_int(0x7fffffff));
}

/* a < b ? a : b and a > b ? a : b: where either is NaN, b. So a limit stands first and the value last. */
INLINE vf vlower(vf a, vf b)
{
#ifdef VLOWER_INTRINSIC
    return VLOWER_INTRINSIC(a, b);
#else
    return vselect(a < b, a, b);
#endif
}

INLINE vf vhigher(vf a, vf b)
{
#ifdef VHIGHER_INTRINSIC
    return VHIGHER_INTRINSIC(a, b);
#else
    return vselect(a > b, a, b);
#endif
}

/* Both give NaN when either is NaN, as TensorFlow's maximum and minimum do. */
INLINE vf vmax(vf a, vf b)
{
    return vselect(a != a, a, vhigher(a, b));
}

INLINE vf vmin(vf a, vf b)
{
    return vselect(a != a, a, vlower(a, b));
}

/* ---- four lanes at every level, for rows shorter than a vector ---- */

typedef float v4 __attribute__((vector_size(16)));
typedef float v4_memory __attribute__((vector_size(16), aligned(4), may_alias));

INLINE v4 v4load(const float *p)
{
    return *(const v4_memory *)p;
}

INLINE void v4store(float *p, v4 v)
{
    *(v4_memory *)p = v;
}

INLINE v4 v4set(float x)
{
    return x - (v4){ 0 };
}

INLINE v4 v4fma(v4 a, v4 b, v4 c)
{
#if defined(__FMA__)
    return (v4)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
#elif HAS_FMA
    for (int i = 0; i < 4; i++)
        c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
#else
    return a * b + c;
#endif
}

/* ---- sums: 16 lanes, lane i takes elements i, i + 16, ...; folded 8+8, 4+4, 2+2, 1+1 ---- */

enum { SUM_LANES = 16, SUM_VECTORS = SUM_LANES / VL };

/* Lanes of a (0 .. 3) and b (4 .. 7) by number. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE4(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#endif
#endif
#ifndef SHUFFLE4 /* gcc before 12 */
typedef int32_t v4i __attribute__((vector_size(16)));
#define SHUFFLE4(a, b, i, j, k, l) __builtin_shuffle(a, b, (v4i){ i, j, k, l })
#endif

/* 8+8 and 4+4. */
INLINE v4 fold_to_4(const vf sum[SUM_VECTORS])
{
    v4 quarter[4];
    memcpy(quarter, sum, sizeof(quarter));
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

/* 2+2 and 1+1. */
INLINE float fold_last(v4 four)
{
    return (four[0] + four[2]) + (four[1] + four[3]);
}

INLINE float fold(const vf sum[SUM_VECTORS])
{
    return fold_last(fold_to_4(sum));
}

/* Lane i: what fold gives of four's sum i; the two last steps of four sums together. */
INLINE v4 fold_four(v4 a, v4 b, v4 c, v4 d)
{
    v4 ab = SHUFFLE4(a, b, 0, 4, 1, 5) + SHUFFLE4(a, b, 2, 6, 3, 7); /* a0+a2 b0+b2 a1+a3 b1+b3 */
    v4 cd = SHUFFLE4(c, d, 0, 4, 1, 5) + SHUFFLE4(c, d, 2, 6, 3, 7);
    return SHUFFLE4(ab, cd, 0, 1, 4, 5) + SHUFFLE4(ab, cd, 2, 3, 6, 7);
}

#endif
