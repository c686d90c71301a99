/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers as a pure function of (key, counter): Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers:
 * as easy as 1, 2, 3; SC 2011). Everything here is frozen: trained models, shuffles and resumed runs depend on each bit.
 *
 * A block is four words of 32 bits at a counter of 128 bits: words 0 and 1 are counter_low, words 2 and 3 counter_high (low
 * word first). Element i of a sequence is word i % 4 of block i / 4, so a fill in pieces equals one fill.
 *
 * Normal numbers are the inverse of the distribution function (Wichura: Algorithm AS 241, 1988, PPND16: relative error about
 * 1e-16) at (word + 1/2) / 2^32, so they end at 6.33 deviations. Truncated ones take the inverse over the middle part of the
 * distribution only; that is the distribution that redrawing gives, without redrawing. All arithmetic is + - * / and sqrt on
 * doubles, none is left to the math library, so the bits are the same everywhere (contraction is off for the whole build).
 */
#include "base/base.h"

#include <math.h>
#include <string.h>

/* ---- Philox -------------------------------------------------------------------------------------------------- */

#define FACTOR0 0xD2511F53u
#define FACTOR1 0xCD9E8D57u
#define BUMP0 0x9E3779B9u /* the golden ratio */
#define BUMP1 0xBB67AE85u /* sqrt(3) - 1 */
enum { ROUNDS = 10 };

void random_bits(struct random_key key, uint64_t counter_high, uint64_t counter_low, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)counter_low, c1 = (uint32_t)(counter_low >> 32);
    uint32_t c2 = (uint32_t)counter_high, c3 = (uint32_t)(counter_high >> 32);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t product0 = (uint64_t)c0 * FACTOR0, product1 = (uint64_t)c2 * FACTOR1;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ (key.word[0] + round * BUMP0);
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ (key.word[1] + round * BUMP1);
        c1 = (uint32_t)product1;
        c3 = (uint32_t)product0;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The key of a stream: FNV-1a (64 bits) over the seed's eight bytes, lowest first, and the name's bytes, then MurmurHash3's
 * 64-bit finish, since FNV mixes its high bits into the low ones too little. word[0] is the low half. */
struct random_key random_key(uint64_t seed, const char *name)
{
    const uint64_t prime = 0x100000001B3u;
    uint64_t hash = 0xCBF29CE484222325u;
    for (int byte = 0; byte < 8; byte++)
        hash = (hash ^ ((seed >> (8 * byte)) & 0xFF)) * prime;
    for (const char *at = name; at != NULL && *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * prime;
    hash = (hash ^ (hash >> 33)) * 0xFF51AFD7ED558CCDu;
    hash = (hash ^ (hash >> 33)) * 0xC4CEB9FE1A85EC53u;
    hash ^= hash >> 33;
    return (struct random_key){ { (uint32_t)hash, (uint32_t)(hash >> 32) } };
}

/* ---- single numbers ------------------------------------------------------------------------------------------ */

/* The 128-bit product of a and b: returns the high half. */
static uint64_t multiply(uint64_t a, uint64_t b, uint64_t *low)
{
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
    uint64_t other = a0 * b1 + (uint32_t)middle;
    *low = a * b;
    return a1 * b1 + (middle >> 32) + (other >> 32);
}

/* Exactly uniform on 0 .. limit - 1 (0 for limit 0): multiply and reject (Lemire 2019). A block has two tries; in the rare
 * case that both are rejected the next tries come from the same counter under a changed key. */
uint64_t random_below(struct random_key key, uint64_t counter_high, uint64_t counter_low, uint64_t limit)
{
    if (limit <= 1)
        return 0;
    const uint64_t reject_below = (0 - limit) % limit; /* 2^64 mod limit */
    for (uint32_t attempt = 0;; attempt++) {
        const struct random_key changed = { { key.word[0] ^ attempt * 0x85EBCA6Bu, key.word[1] } };
        uint32_t bits[4];
        random_bits(changed, counter_high, counter_low, bits);
        for (int half = 0; half < 4; half += 2) {
            uint64_t low;
            uint64_t value = multiply((uint64_t)bits[half + 1] << 32 | bits[half], limit, &low);
            if (low >= reject_below)
                return value;
        }
    }
}

/* 24 bits: every value is a float, and 1 is none of them. */
static inline float unit(uint32_t bits)
{
    return (float)(bits >> 8) * 0x1p-24f;
}

float random_uniform(struct random_key key, uint64_t counter_high, uint64_t index)
{
    uint32_t bits[4];
    random_bits(key, counter_high, index / 4, bits);
    return unit(bits[index % 4]);
}

/* ---- the inverse of the normal distribution ------------------------------------------------------------------ */

/* Natural logarithm of a normal positive double, to about one unit in the last place: x = m 2^e with m in [sqrt(1/2),
 * sqrt(2)), log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.1716, by its series. */
static double logarithm(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    const uint64_t root_half = 0x3FE6A09E667F3BCDu; /* sqrt(1/2) */
    int64_t exponent = (int64_t)(bits - root_half) >> 52;
    bits -= (uint64_t)exponent << 52;
    double m;
    memcpy(&m, &bits, sizeof(m));
    double s = (m - 1) / (m + 1), z = s * s;
    static const double series[] = { 1.0 / 23, 1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13,
                                     1.0 / 11, 1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3 };
    double sum = 0;
    for (size_t i = 0; i < COUNT_OF(series); i++)
        sum = sum * z + series[i];
    /* ln 2 in two parts, the first with trailing zeros, so that its product with the exponent is exact. */
    const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
    return (double)exponent * ln2_high + (2 * s + (2 * s * z * sum + (double)exponent * ln2_low));
}

static inline double ratio(double x, const double top[8], const double bottom[8])
{
    double a = top[7], b = bottom[7];
    for (int i = 6; i >= 0; i--) {
        a = a * x + top[i];
        b = b * x + bottom[i];
    }
    return a / b;
}

/* AS 241's three pieces: the middle |p - 1/2| <= 0.425, the flanks and the far tails, in r = sqrt(-log(min(p, 1 - p))). */
static const double middle_top[8] = { 3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
                                      1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
                                      3.3430575583588128105e4, 2.5090809287301226727e3 };
static const double middle_bottom[8] = { 1.0,
                                         4.2313330701600911252e1,
                                         6.8718700749205790830e2,
                                         5.3941960214247511077e3,
                                         2.1213794301586595867e4,
                                         3.9307895800092710610e4,
                                         2.8729085735721942674e4,
                                         5.2264952788528545610e3 };
static const double flank_top[8] = { 1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                                     3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                                     2.27238449892691845833e-2, 7.74545014278341407640e-4 };
static const double flank_bottom[8] = { 1.0,
                                        2.05319162663775882187e0,
                                        1.67638483018380384940e0,
                                        6.89767334985100004550e-1,
                                        1.48103976427480074590e-1,
                                        1.51986665636164571966e-2,
                                        5.47593808499534494600e-4,
                                        1.05075007164441684324e-9 };
/* Far tails (r > 5, p < 1.4e-11) need no piece: the smallest p here is 2^-33, r 4.78. */

static double tail(double q) /* q = p - 1/2 */
{
    double r = sqrt(-logarithm(0.5 - fabs(q)));
    double z = ratio(r - 1.6, flank_top, flank_bottom);
    return q < 0 ? -z : z;
}

/* ---- fills --------------------------------------------------------------------------------------------------- */

/* A sequence is made in chunks that begin at multiples of CHUNK; of the first and last one a fill takes its part. A chunk
 * goes through simple loops of fixed length, which compilers make vectors of. */
enum { CHUNK = 64 };

/* What a sequence's words become. */
struct form {
    void (*make)(const struct form *form, const uint32_t bits[CHUNK], float out[CHUNK]);
    double offset, scale; /* uniform: low, high - low; normal: mean, deviation */
    double from, width;   /* normal: the part of the distribution that is used */
    float last;           /* uniform: the greatest value allowed */
};

static void fill(struct random_key key, float *out, int64_t first, int64_t count, const struct form *form)
{
    uint32_t bits[CHUNK];
    float values[CHUNK];
    for (int64_t at = first, end = first + count; at < end;) {
        int64_t skip = at % CHUNK, size = MIN(CHUNK - skip, end - at);
        for (int64_t i = 0; i < CHUNK; i += 4)
            random_bits(key, 0, (uint64_t)(at - skip + i) / 4, bits + i);
        form->make(form, bits, values);
        memcpy(out + (at - first), values + skip, (size_t)size * sizeof(float));
        at += size;
    }
}

static void make_uniform(const struct form *form, const uint32_t bits[CHUNK], float out[CHUNK])
{
    const double low = form->offset, width = form->scale;
    const float last = form->last;
    for (int i = 0; i < CHUNK; i++) {
        float value = (float)(low + width * unit(bits[i]));
        out[i] = value > last ? last : value;
    }
}

void random_fill_uniform(struct random_key key, float *out, int64_t first, int64_t count, float low, float high)
{
    const float last = low < high ? nextafterf(high, low) : low; /* rounding must not reach high */
    fill(key, out, first, count,
         &(struct form){ .make = make_uniform, .offset = low, .scale = (double)high - low, .last = last });
}

/* Elements at p = from + width * (word + 1/2) / 2^32 of the normal distribution. Those in the
 * tails (15 in 100) are listed first: a branch that nobody can predict costs more than the list. */
static void make_normal(const struct form *form, const uint32_t bits[CHUNK], float out[CHUNK])
{
    double q[CHUNK], z[CHUNK];
    int tails[CHUNK], count = 0;
    const double start = form->from - 0.5, step = form->width * 0x1p-32;
    const double mean = form->offset, deviation = form->scale;
    for (int i = 0; i < CHUNK; i++)
        q[i] = start + step * (bits[i] + 0.5);
    for (int i = 0; i < CHUNK; i++)
        z[i] = q[i] * ratio(0.180625 - q[i] * q[i], middle_top, middle_bottom);
    for (int i = 0; i < CHUNK; i++) {
        tails[count] = i;
        count += fabs(q[i]) > 0.425;
    }
    for (int i = 0; i < count; i++)
        z[tails[i]] = tail(q[tails[i]]);
    for (int i = 0; i < CHUNK; i++)
        out[i] = (float)(mean + deviation * z[i]);
}

void random_fill_normal(struct random_key key, float *out, int64_t first, int64_t count, float mean, float deviation)
{
    fill(key, out, first, count,
         &(struct form){ .make = make_normal, .offset = mean, .scale = deviation, .from = 0, .width = 1 });
}

void random_fill_truncated(struct random_key key, float *out, int64_t first, int64_t count, float mean, float deviation)
{
    const double below = 0.022750131948179207; /* the distribution function at -2 */
    fill(key, out, first, count,
         &(struct form){ .make = make_normal, .offset = mean, .scale = deviation, .from = below, .width = 1 - 2 * below });
}
