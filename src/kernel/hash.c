/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fingerprints and checksums with the same bits as TensorFlow.
 *
 * fingerprint64 is farmhash's Fingerprint64, that is farmhashna::Hash64 (Geoff Pike, Google, farmhash 1.1): strings up to
 * 64 bytes have a formula per length class, longer ones a state of 56 bytes that eats blocks of 64. All arithmetic is
 * modulo 2^64, all loads are little-endian. hash_bucket columns, crosses and vocabularies' spare buckets stand on it, so
 * one wrong bit moves every id of a trained model.
 *
 * crc32c is the checksum of TFRecord frames and checkpoint bundles (Castagnoli polynomial, reflected: 0x82f63b78). Where
 * the processor has the instruction (SSE 4.2) it takes eight bytes at a time, and long inputs run in three lanes, because
 * the instruction takes three cycles but one can start in every cycle. Elsewhere: eight tables, eight bytes at a time.
 */
#include <pthread.h>
#include <string.h>

#include "kernel/kernel.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* ---- fingerprint64 ------------------------------------------------------------------------------------------- */

#define PRIME_0 0xc3a5c85c97cb3127u
#define PRIME_1 0xb492b66fbe98f273u
#define PRIME_2 0x9ae16a3b2f90404fu

static uint64_t load64(const char *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof value);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static uint64_t load32(const char *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof value);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    return value;
}

static uint64_t rotate(uint64_t value, int right)
{
    return value >> right | value << (64 - right);
}

static uint64_t fold(uint64_t value)
{
    return value ^ value >> 47;
}

/* Two words to one: two rounds of xor, multiply, fold. */
static uint64_t mix(uint64_t u, uint64_t v, uint64_t factor)
{
    uint64_t a = fold((u ^ v) * factor);
    return fold((v ^ a) * factor) * factor;
}

static uint64_t hash_up_to_16(const char *s, size_t size)
{
    uint64_t factor = PRIME_2 + size * 2;
    if (size >= 8) {
        uint64_t a = load64(s) + PRIME_2, b = load64(s + size - 8);
        return mix(rotate(b, 37) * factor + a, (rotate(a, 25) + b) * factor, factor);
    }
    if (size >= 4)
        return mix(size + (load32(s) << 3), load32(s + size - 4), factor);
    if (size == 0)
        return PRIME_2;
    uint32_t first = (unsigned char)s[0], middle = (unsigned char)s[size >> 1], last = (unsigned char)s[size - 1];
    uint32_t y = first + (middle << 8), z = (uint32_t)size + (last << 2);
    return fold(y * PRIME_2 ^ z * PRIME_0) * PRIME_2;
}

static uint64_t hash_17_to_32(const char *s, size_t size)
{
    uint64_t factor = PRIME_2 + size * 2;
    uint64_t a = load64(s) * PRIME_1, b = load64(s + 8);
    uint64_t c = load64(s + size - 8) * factor, d = load64(s + size - 16) * PRIME_2;
    return mix(rotate(a + b, 43) + rotate(c, 30) + d, a + rotate(b + PRIME_2, 18) + c, factor);
}

static uint64_t hash_33_to_64(const char *s, size_t size)
{
    uint64_t factor = PRIME_2 + size * 2;
    uint64_t a = load64(s) * PRIME_2, b = load64(s + 8);
    uint64_t c = load64(s + size - 8) * factor, d = load64(s + size - 16) * PRIME_2;
    uint64_t y = rotate(a + b, 43) + rotate(c, 30) + d;
    uint64_t z = mix(y, a + rotate(b + PRIME_2, 18) + c, factor);
    uint64_t e = load64(s + 16) * factor, f = load64(s + 24);
    uint64_t g = (y + load64(s + size - 32)) * factor, h = (z + load64(s + size - 24)) * factor;
    return mix(rotate(e + f, 43) + rotate(g, 30) + h, e + rotate(f + a, 18) + g, factor);
}

struct pair {
    uint64_t first, second;
};

/* 32 bytes into a pair of seeds. */
static struct pair absorb(const char *s, uint64_t a, uint64_t b)
{
    uint64_t w = load64(s), x = load64(s + 8), y = load64(s + 16), z = load64(s + 24);
    a += w;
    b = rotate(b + a + z, 21);
    uint64_t c = a;
    a += x + y;
    return (struct pair){ a + z, b + rotate(a, 44) + c };
}

/* The running state over blocks of 64 bytes. The last block differs in factor and in two multipliers (9 for 1). */
struct state {
    uint64_t x, y, z;
    struct pair v, w;
};

static inline void round_64(struct state *t, const char *s, uint64_t factor, uint64_t times)
{
    uint64_t x = rotate(t->x + t->y + t->v.first + load64(s + 8), 37) * factor;
    uint64_t y = rotate(t->y + t->v.second + load64(s + 48), 42) * factor;
    x ^= t->w.second * times;
    y += t->v.first * times + load64(s + 40);
    uint64_t z = rotate(t->z + t->w.first, 33) * factor;
    struct pair v = absorb(s, t->v.second * factor, x + t->w.first);
    struct pair w = absorb(s + 32, z + t->w.second, y + load64(s + 16));
    *t = (struct state){ .x = z, .y = y, .z = x, .v = v, .w = w }; /* x and z change places after every block */
}

static uint64_t hash_long(const char *s, size_t size)
{
    const uint64_t seed = 81;
    struct state t = { .x = seed * PRIME_2 + load64(s), .y = seed * PRIME_1 + 113 };
    t.z = fold(t.y * PRIME_2 + 113) * PRIME_2;
    size_t rest = (size - 1) & 63; /* the last block is the last 64 bytes, whatever the whole blocks covered of it */
    for (const char *end = s + (size - 1) / 64 * 64; s != end; s += 64)
        round_64(&t, s, PRIME_1, 1);
    uint64_t factor = PRIME_1 + ((t.z & 0xff) << 1);
    t.w.first += rest;
    t.v.first += t.w.first;
    t.w.first += t.v.first;
    round_64(&t, s + rest - 63, factor, 9);
    return mix(mix(t.v.first, t.w.first, factor) + fold(t.y) * PRIME_0 + t.z, mix(t.v.second, t.w.second, factor) + t.x, factor);
}

uint64_t fingerprint64(const char *data, size_t size)
{
    if (size <= 16)
        return hash_up_to_16(data, size);
    if (size <= 32)
        return hash_17_to_32(data, size);
    return size <= 64 ? hash_33_to_64(data, size) : hash_long(data, size);
}

/* Murmur's finish over two words: TensorFlow, core/platform/fingerprint.h. */
uint64_t fingerprint_cat64(uint64_t a, uint64_t b)
{
    const uint64_t k = 0xc6a4a7935bd1e995u;
    uint64_t h = (a ^ k ^ fold(b * k) * k) * k;
    return fold(fold(h) * k);
}

/* ---- crc32c -------------------------------------------------------------------------------------------------- */

enum { LANE = 1024 }; /* bytes a lane takes before three lanes are joined */

/* Made once, on the first call that needs them. bytes[k][b]: byte b followed by k zero bytes. lane[k][b]: byte k of a
 * checksum with value b, followed by LANE zero bytes: a checksum moves past a lane's length by four look-ups. */
static uint32_t bytes[8][256];
static uint32_t lane[4][256];
static pthread_once_t tables_made = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
        bytes[0][b] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int b = 0; b < 256; b++)
            bytes[k][b] = bytes[k - 1][b] >> 8 ^ bytes[0][bytes[k - 1][b] & 0xff];
    for (int k = 0; k < 4; k++)
        for (uint32_t b = 0; b < 256; b++) {
            uint32_t crc = b << 8 * k;
            for (int zero = 0; zero < LANE; zero++)
                crc = crc >> 8 ^ bytes[0][crc & 0xff];
            lane[k][b] = crc;
        }
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size)
{
    const char *p = data;
    pthread_once(&tables_made, make_tables);
    crc = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t v = load64(p) ^ crc;
        crc = bytes[7][v & 0xff] ^ bytes[6][v >> 8 & 0xff] ^ bytes[5][v >> 16 & 0xff] ^ bytes[4][v >> 24 & 0xff] ^
              bytes[3][v >> 32 & 0xff] ^ bytes[2][v >> 40 & 0xff] ^ bytes[1][v >> 48 & 0xff] ^ bytes[0][v >> 56];
    }
    for (; size > 0; size--, p++)
        crc = crc >> 8 ^ bytes[0][(crc ^ (unsigned char)*p) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
static uint32_t past_lane(uint32_t crc)
{
    return lane[0][crc & 0xff] ^ lane[1][crc >> 8 & 0xff] ^ lane[2][crc >> 16 & 0xff] ^ lane[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t start, const char *p, size_t size)
{
    uint64_t crc = start;
    if (size >= 3 * LANE)
        pthread_once(&tables_made, make_tables);
    for (; size >= 3 * LANE; size -= 3 * LANE, p += 3 * LANE) {
        uint64_t second = 0, third = 0;
        for (int i = 0; i < LANE; i += 8) {
            crc = _mm_crc32_u64(crc, load64(p + i));
            second = _mm_crc32_u64(second, load64(p + LANE + i));
            third = _mm_crc32_u64(third, load64(p + 2 * LANE + i));
        }
        crc = past_lane(past_lane((uint32_t)crc) ^ (uint32_t)second) ^ (uint32_t)third;
    }
    for (; size >= 8; size -= 8, p += 8)
        crc = _mm_crc32_u64(crc, load64(p));
    for (; size > 0; size--, p++)
        crc = _mm_crc32_u8((uint32_t)crc, (unsigned char)*p);
    return (uint32_t)crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_hardware(~crc, data, size);
#endif
    return crc32c_portable(crc, data, size);
}
