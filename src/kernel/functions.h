/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementary functions on vectors: the same operations in the same order at every level, so the same bits wherever
 * multiply-add is fused. The classic shape of each (reduce, polynomial, restore) is in Cody & Waite, "Software Manual for the
 * Elementary Functions" (1980), as is the split of ln 2; the coefficients are minimax fits of ours (relative error, rounded
 * to float one by one). Largest errors at the AVX2 level, found by going through all floats whose results are normal
 * numbers (tests/kernel/test_activation.c samples them):
 *
 *   vexp 0.77 ulp   vlog 0.89   vexpm1_negative 0.89   vsoftplus 1.77   vsigmoid 2.41   vtanh 1.35
 *   vgelu 9.5 in the far negative tail (x < -12), 4e-7 absolute; its gradient 2.4e-7 absolute
 *
 * NaN gives NaN everywhere; infinities give limits.
 */
#ifndef PILASTER_KERNEL_FUNCTIONS_H
#define PILASTER_KERNEL_FUNCTIONS_H

#include "kernel/simd.h"

/* ln 2 in two parts; the first has so few bits that its product with an exponent is exact even without fma. */
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194442e-4f

/* What vexp and vexpm1_negative share: x = n ln 2 + r, |r| <= ln 2 / 2. Returns q with exp(r) = 1 + r + r^2 q. */
INLINE vf exp_reduced(vf x, vi *n, vf *r)
{
    /* Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits. */
    const vf magic = vset(12582912.0f);
    vf shifted = vfma(x, vset(1.44269502f), magic), whole = shifted - magic;
    *r = vfma(whole, vset(-LN2_LOW), vfma(whole, vset(-LN2_HIGH), x));
    *n = (vi)shifted - (vi)magic;

    vf q = vset(0x1.9e7cf2p-13f);
    q = vfma(q, *r, vset(0x1.6d3a84p-10f));
    q = vfma(q, *r, vset(0x1.1112d4p-7f));
    q = vfma(q, *r, vset(0x1.5554f8p-5f));
    q = vfma(q, *r, vset(0x1.555554p-3f));
    return vfma(q, *r, vset(0.5f));
}

INLINE vf power_of_two(vi n) /* -126 .. 127 */
{
    return (vf)((n + vset_int(127)) << 23);
}

INLINE vf vexp(vf x)
{
    const vf one = vset(1.0f);
    vi n;
    vf r;
    x = vlower(vset(89.0f), vhigher(vset(-104.0f), x)); /* NaN stays; beyond: infinity, 0 */
    vf q = exp_reduced(x, &n, &r);
    /* 1 + r is rounded; what that lost goes to the small part. */
    vf sum = one + r, lost = r - (sum - one);
    vf e = sum + vfma(r * r, q, lost);
    /* The power in two steps: results below the normal range and just below the largest float come out rounded. */
    vi half = n >> 1;
    return e * power_of_two(half) * power_of_two(n - half);
}

/* exp(x) - 1 for x <= 0, without loss near 0. */
INLINE vf vexpm1_negative(vf x)
{
    vi n;
    vf r, q = exp_reduced(vhigher(vset(-30.0f), x), &n, &r), power = power_of_two(n);
    return vfma(power, vfma(r * r, q, r), power - vset(1.0f));
}

/* log(1 + f) + e ln 2 for sqrt(1/2) <= 1 + f <= sqrt(2). */
INLINE vf log_reduced(vf f, vf e)
{
    vf q = vset(-0x1.38dc38p-4f);
    q = vfma(q, f, vset(0x1.056c2p-3f));
    q = vfma(q, f, vset(-0x1.0d854cp-3f));
    q = vfma(q, f, vset(0x1.22d792p-3f));
    q = vfma(q, f, vset(-0x1.54720cp-3f));
    q = vfma(q, f, vset(0x1.99a028p-3f));
    q = vfma(q, f, vset(-0x1.000228p-2f));
    q = vfma(q, f, vset(0x1.555554p-2f));
    vf square = f * f, rest = square * f * q;
    rest = vfma(vset(-0.5f), square, rest);
    rest = vfma(e, vset(LN2_LOW), rest);
    return vfma(e, vset(LN2_HIGH), f + rest);
}

INLINE vf vlog(vf x)
{
    const vi root_half = vset_int(0x3f3504f3); /* the bits of sqrt(1/2) */
    vi tiny = x < vset(0x1p-126f);
    vf scaled = vselect(tiny, x * vset(0x1p23f), x);
    vi bits = (vi)scaled - root_half;
    vf e = __builtin_convertvector((bits >> 23) - (tiny & vset_int(23)), vf);
    vf f = (vf)((bits & vset_int(0x7fffff)) + root_half) - vset(1.0f);
    vf y = log_reduced(f, e);
    y = vselect(x < vset(__builtin_inff()), y, x); /* infinity, NaN */
    y = vselect(x == vset(0.0f), vset(-__builtin_inff()), y);
    return vselect(x < vset(0.0f), vset(__builtin_nanf("")), y);
}

/* log(1 + t) for 0 <= t <= 1, without loss near 0. */
INLINE vf vlog1p_unit(vf t)
{
    vi large = t > vset(0.41421357f);
    vf f = vselect(large, (t - vset(1.0f)) * vset(0.5f), t); /* (1 + t) / 2 - 1 */
    return log_reduced(f, (vf)(large & (vi)vset(1.0f)));
}

/* 1 / (1 + exp(-x)), for negative x as exp(x) / (1 + exp(x)), which does not overflow. Not by tanh, which would leave no
 * relative accuracy in the negative tail. */
INLINE vf vsigmoid(vf x)
{
    vf e = vexp(-vabs(x)), one = vset(1.0f);
    return vselect(x < vset(0.0f), e, one) / (one + e);
}

/* A polynomial near 0; beyond, 1 - 2 / (exp(2 |x|) + 1). A rational function over all is faster, with 4.6 ulp. */
INLINE vf vtanh(vf x)
{
    vf a = vabs(x), u = a * a;
    vf q = vset(-0x1.750ce4p-8f);
    q = vfma(q, u, vset(0x1.51f8cep-6f));
    q = vfma(q, u, vset(-0x1.b835a4p-5f));
    q = vfma(q, u, vset(0x1.1106f6p-3f));
    q = vfma(q, u, vset(-0x1.555532p-2f));
    vf small = vfma(a * u, q, a);
    vf large = vset(1.0f) - vset(2.0f) / (vexp(a + a) + vset(1.0f));
    vf y = vselect(a < vset(0.625f), small, large);
    return (vf)((vi)y | ((vi)x & vset_int((int32_t)0x80000000)));
}

/* log(1 + exp(x)). */
INLINE vf vsoftplus(vf x)
{
    return vhigher(vset(0.0f), x) + vlog1p_unit(vexp(-vabs(x)));
}

/* The normal distribution's density without its factor, exp(-x^2 / 2), and *tail = the probability beyond |x|,
 * erfc(|x| / sqrt 2) / 2 = exp(-x^2 / 2) t P(t) with t = 1 / (1 + 0.3 |x|). The square's rounding error is given back. */
INLINE vf normal_tail(vf x, vf *tail)
{
    const vf a = vlower(vset(20.0f), vabs(x));
    vf square = a * a;
    vf density = vexp(vset(-0.5f) * square);
#if HAS_FMA
    density = vfma(density, vset(-0.5f) * vfma(a, a, -square), density);
#endif
    vf t = vset(1.0f) / vfma(vset(0.3f), a, vset(1.0f));
    vf p = vset(-0x1.51b8e2p-6f);
    p = vfma(p, t, vset(0x1.cc4b5ap-4f));
    p = vfma(p, t, vset(-0x1.d31658p-3f));
    p = vfma(p, t, vset(0x1.885e2ep-3f));
    p = vfma(p, t, vset(-0x1.449d6p-4f));
    p = vfma(p, t, vset(0x1.8976dp-4f));
    p = vfma(p, t, vset(0x1.413a08p-4f));
    p = vfma(p, t, vset(0x1.c37e02p-4f));
    p = vfma(p, t, vset(0x1.e9c52ep-4f));
    p = vfma(p, t, vset(0x1.ea3c8ap-4f));
    *tail = density * t * p;
    return density;
}

/* x times the normal distribution function: 0.5 x (1 + erf(x / sqrt 2)), with relative accuracy also for negative x. */
INLINE vf vgelu(vf x)
{
    vf tail;
    normal_tail(x, &tail);
    return x * vselect(x > vset(0.0f), vset(1.0f) - tail, tail);
}

INLINE vf vgelu_gradient(vf x)
{
    vf tail, density = normal_tail(x, &tail);
    vf below = vselect(x > vset(0.0f), vset(1.0f) - tail, tail);
    /* Beyond 20 the density is 0, but an infinite x would make it NaN. */
    vf inside = vlower(vset(20.0f), vhigher(vset(-20.0f), x));
    return vfma(inside * vset(0.398942292f), density, below);
}

/* x tanh(log(1 + e^x)). With q = exp(-|x|) the tangent is (1 + 2 q) / d, d = 1 + 2 q + 2 q^2, for positive x and q (2 + q) / d,
 * d = 2 + 2 q + q^2, for others: no cancellation, no overflow. */
INLINE vf vmish(vf x)
{
    const vf q = vexp(-vabs(x)), two = vset(2.0f);
    const vi above = x > vset(0.0f);
    const vf part = vselect(above, vfma(two, q, vset(1.0f)), q * (two + q));
    return x * (part / vfma(vselect(above, two * q, two), vselect(above, q, vset(1.0f)), part));
}

/* tanh + x sigmoid(x) (1 - tanh^2), where the last is 4 (1 + q)^2 / d^2, times q^2 for positive x. */
INLINE vf vmish_gradient(vf x)
{
    const vf q = vexp(-vabs(x)), one = vset(1.0f), two = vset(2.0f);
    const vi above = x > vset(0.0f);
    const vf part = vselect(above, vfma(two, q, one), q * (two + q));
    const vf d = vfma(vselect(above, two * q, two), vselect(above, q, one), part);
    const vf inside = vlower(vset(100.0f), vhigher(vset(-104.0f), x)); /* an infinite x times 0 would be NaN */
    return part / d + inside * (vset(4.0f) * (one + q)) * (vselect(above, q * q, q) / (d * d));
}

/* ---- activation functions by kind ----
 * Where a derivative has a kink it follows TensorFlow: ReLU's is 0 at 0, leaky ReLU's is the slope there, ELU's is the right
 * hand one. */

#define SELU_SCALE 1.05070099f
#define SELU_SCALE_ALPHA 1.75809933f /* times alpha, 1.67326324 */
#define LEAKY_SLOPE 0.2f

INLINE vf positive(vf x)
{
    return (vf)((vi)x & ~(x <= vset(0.0f))); /* NaN stays NaN */
}

/* f(x). `kind` is a constant wherever this is called. */
INLINE vf vactivation(const enum activation kind, vf x)
{
    const vf zero = vset(0.0f), one = vset(1.0f);
    switch (kind) {
    case ACTIVATION_RELU:
        return positive(x);
    case ACTIVATION_SIGMOID:
        return vsigmoid(x);
    case ACTIVATION_TANH:
        return vtanh(x);
    case ACTIVATION_ELU:
        return vselect(x > zero, x, vexpm1_negative(x));
    case ACTIVATION_SELU:
        return vselect(x > zero, vset(SELU_SCALE) * x, vset(SELU_SCALE_ALPHA) * vexpm1_negative(x));
    case ACTIVATION_SOFTPLUS:
        return vsoftplus(x);
    case ACTIVATION_SOFTSIGN:
        return x / (one + vabs(x));
    case ACTIVATION_EXPONENTIAL:
        return vexp(x);
    case ACTIVATION_GELU:
        return vgelu(x);
    case ACTIVATION_SWISH:
        return x * vsigmoid(x);
    case ACTIVATION_HARD_SIGMOID:
        return vlower(one, vhigher(zero, vset(0.2f) * x + vset(0.5f))); /* rounded twice, as in TensorFlow */
    case ACTIVATION_LEAKY_RELU:
        return vselect(x > zero, x, vset(LEAKY_SLOPE) * x);
    case ACTIVATION_RELU6:
        return vlower(vset(6.0f), positive(x));
    case ACTIVATION_MISH:
        return vmish(x);
    default:
        return x;
    }
}

/* Whose derivative is told by x, not by y. */
INLINE bool activation_from_input(const enum activation kind)
{
    return kind == ACTIVATION_SOFTPLUS || kind == ACTIVATION_GELU || kind == ACTIVATION_SWISH || kind == ACTIVATION_MISH;
}

/* f'(x) dy; `at` is x for the kinds above, else y. */
INLINE vf vactivation_gradient(const enum activation kind, vf dy, vf at)
{
    const vf zero = vset(0.0f), one = vset(1.0f);
    switch (kind) {
    case ACTIVATION_RELU:
        return (vf)((vi)dy & (at > zero));
    case ACTIVATION_SIGMOID:
        return dy * (at * (one - at));
    case ACTIVATION_TANH:
        return dy * vfma(-at, at, one);
    case ACTIVATION_ELU:
        return vselect(at < zero, dy * (at + one), dy);
    case ACTIVATION_SELU:
        return dy * vselect(at < zero, at + vset(SELU_SCALE_ALPHA), vset(SELU_SCALE));
    case ACTIVATION_SOFTPLUS:
        return dy * vsigmoid(at);
    case ACTIVATION_SOFTSIGN: { /* 1 / (1 + |x|) = 1 - |y| */
        vf rest = one - vabs(at);
        return dy * (rest * rest);
    }
    case ACTIVATION_EXPONENTIAL:
        return dy * at;
    case ACTIVATION_GELU:
        return dy * vgelu_gradient(at);
    case ACTIVATION_SWISH: { /* x s(x): s (1 + x (1 - s)) */
        vf s = vsigmoid(at);
        return dy * (s * vfma(at, one - s, one));
    }
    case ACTIVATION_HARD_SIGMOID:
        return (vf)((vi)(vset(0.2f) * dy) & (at > zero) & (at < one));
    case ACTIVATION_LEAKY_RELU:
        return vselect(at > zero, dy, vset(LEAKY_SLOPE) * dy);
    case ACTIVATION_RELU6:
        return (vf)((vi)dy & (at > zero) & (at < vset(6.0f)));
    case ACTIVATION_MISH:
        return dy * vmish_gradient(at);
    default:
        return dy;
    }
}

#endif
