/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the fields of a CSV text end. Bytes are compared 64 at a time: each comparison leaves a word with a bit a byte, and
 * all that follows (what lies between quotes, which quotes are odd) is arithmetic on these words.
 *
 *     text    a , " b , " " c " , d \n         a quote toggles, so a doubled one changes nothing in the end
 *     quotes  0 0 1 0 0 1 1 0 1 0 0 0
 *     inside  0 0 1 1 1 0 1 1 0 0 0 0          each bit: the parity of the quotes up to here
 *     ends    0 1 0 0 0 0 0 0 0 1 0 1          separators that are not inside
 *
 * Toggling is right as long as every quote that opens stands where a field begins. One that does not (5'10", tall) is an
 * ordinary character, and from there on the parity says nothing: the scan stops in front of that word and says so.
 *
 * This is the one place where intrinsics pay: a byte comparison that leaves a mask is one instruction on x86 and has no
 * word in C. The levels differ in nothing else, and every level gives the same ends.
 */
#include "kernel/kernel.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { WORD = 64 };

struct marks {
    uint64_t separators, quotes;
};

/* ---- one word of each level ---------------------------------------------------------------------------------- */

/* Eight bytes at once: a zero byte of x ^ (c repeated) becomes 0x80, exactly (no carry passes from byte to byte), and one
 * multiplication brings the eight bits together. */
static inline uint64_t equal_eight(uint64_t x, char c)
{
    const uint64_t low = 0x7F7F7F7F7F7F7F7Fu;
    x ^= 0x0101010101010101u * (unsigned char)c;
    uint64_t zero = ~(((x & low) + low) | x | low);
    return ((zero >> 7) * 0x0102040810204080u) >> 56;
}

static inline struct marks marks_c(const char *data, char a, char b, char quote)
{
    struct marks marks = { 0, 0 };
    for (int i = 0; i < WORD; i += 8) {
        uint64_t x;
        memcpy(&x, data + i, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        x = __builtin_bswap64(x);
#endif
        marks.separators |= (equal_eight(x, a) | equal_eight(x, b)) << i;
        marks.quotes |= equal_eight(x, quote) << i;
    }
    return marks;
}

#if defined(__x86_64__)
static inline struct marks marks_sse2(const char *data, char a, char b, char quote)
{
    struct marks marks = { 0, 0 };
    const __m128i va = _mm_set1_epi8(a), vb = _mm_set1_epi8(b), vq = _mm_set1_epi8(quote);
    for (int i = 0; i < WORD; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(data + i));
        __m128i separator = _mm_or_si128(_mm_cmpeq_epi8(x, va), _mm_cmpeq_epi8(x, vb));
        marks.separators |= (uint64_t)(uint32_t)_mm_movemask_epi8(separator) << i;
        marks.quotes |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, vq)) << i;
    }
    return marks;
}

__attribute__((target("avx2"))) static inline struct marks marks_avx2(const char *data, char a, char b, char quote)
{
    const __m256i va = _mm256_set1_epi8(a), vb = _mm256_set1_epi8(b), vq = _mm256_set1_epi8(quote);
    __m256i x = _mm256_loadu_si256((const __m256i *)data), y = _mm256_loadu_si256((const __m256i *)(data + 32));
    __m256i sx = _mm256_or_si256(_mm256_cmpeq_epi8(x, va), _mm256_cmpeq_epi8(x, vb));
    __m256i sy = _mm256_or_si256(_mm256_cmpeq_epi8(y, va), _mm256_cmpeq_epi8(y, vb));
    uint64_t low = (uint32_t)_mm256_movemask_epi8(sx), high = (uint32_t)_mm256_movemask_epi8(sy);
    uint64_t quotes_low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, vq));
    uint64_t quotes_high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(y, vq));
    return (struct marks){ low | high << 32, quotes_low | quotes_high << 32 };
}
#endif

/* ---- what the marks mean ------------------------------------------------------------------------------------- */

/* Bit i: the parity of bits 0 .. i. */
static inline uint64_t parity(uint64_t bits)
{
    for (int shift = 1; shift < 64; shift *= 2)
        bits ^= bits << shift;
    return bits;
}

/* Takes the separators between quotes out. False: a quote opens in the middle of a field. */
static inline bool outside(struct scan *scan, struct marks *marks)
{
    uint64_t quotes = marks->quotes, inside = parity(quotes) ^ scan->inside;
    uint64_t begins = marks->separators << 1 | scan->after_separator; /* bytes behind a separator */
    uint64_t doubled = quotes << 1 | scan->after_quote;
    if ((quotes & inside & ~(begins | doubled)) != 0)
        return false;
    marks->separators &= ~inside;
    scan->inside = 0 - (inside >> 63);
    scan->after_quote = quotes >> 63;
    return true;
}

/* Writes the positions of the set bits; returns how many. */
static inline size_t write_positions(uint64_t bits, uint32_t base, uint32_t *out)
{
    size_t count = 0;
    while (bits != 0) {
        out[count++] = base + (uint32_t)__builtin_ctzll(bits);
        bits &= bits - 1;
    }
    return count;
}

/* The last word, with zero bytes behind its end whose marks are taken out again (zero may be a separator). */
#define LAST_WORD(marks_of, marks, scan, left)                                                                                   \
    do {                                                                                                                         \
        char bytes[WORD] = { 0 };                                                                                                \
        memcpy(bytes, (scan)->data + (scan)->at, (left));                                                                        \
        uint64_t valid = ((uint64_t)1 << (left)) - 1;                                                                            \
        (marks) = marks_of(bytes, (scan)->a, (scan)->b, (scan)->quote);                                                          \
        (marks).separators &= valid;                                                                                             \
        (marks).quotes &= valid;                                                                                                 \
    } while (0)

/* One loop, compiled for each level so that the marks are inlined with the instructions of the level. */
#define DEFINE_SCAN(name, marks_of, attributes)                                                                                  \
    attributes static size_t name(struct scan *scan, uint32_t *ends, size_t limit)                                               \
    {                                                                                                                            \
        size_t count = 0;                                                                                                        \
        while (scan->at < scan->size && count + WORD <= limit) {                                                                 \
            struct marks marks;                                                                                                  \
            size_t left = scan->size - scan->at;                                                                                 \
            if (left >= WORD)                                                                                                    \
                marks = marks_of(scan->data + scan->at, scan->a, scan->b, scan->quote);                                          \
            else                                                                                                                 \
                LAST_WORD(marks_of, marks, scan, left);                                                                          \
            if ((marks.quotes | scan->inside | scan->after_quote) != 0 && !outside(scan, &marks)) {                              \
                scan->strange = true;                                                                                            \
                break;                                                                                                           \
            }                                                                                                                    \
            count += write_positions(marks.separators, (uint32_t)scan->at, ends + count);                                        \
            scan->after_separator = marks.separators >> 63;                                                                      \
            scan->at += left < WORD ? left : WORD;                                                                               \
        }                                                                                                                        \
        return count;                                                                                                            \
    }

DEFINE_SCAN(scan_c, marks_c, )
#if defined(__x86_64__)
DEFINE_SCAN(scan_sse2, marks_sse2, )
DEFINE_SCAN(scan_avx2, marks_avx2, __attribute__((target("avx2"))))
#endif

/* ---- counting ------------------------------------------------------------------------------------------------ */

static size_t count_tail(const char *data, size_t size, char c)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += data[i] == c;
    return count;
}

#if defined(__x86_64__)
/* A comparison leaves -1 in each equal byte: 255 of them fit into a byte's sum before the sums are added up. */
__attribute__((target("avx2"))) static size_t count_avx2(const char *data, size_t size, char c)
{
    const __m256i wanted = _mm256_set1_epi8(c), zero = _mm256_setzero_si256();
    __m256i total = zero;
    size_t at = 0;
    while (size - at >= 32) {
        __m256i sums = zero;
        for (int i = 0; i < 255 && size - at >= 32; i++, at += 32)
            sums = _mm256_sub_epi8(sums, _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(data + at)), wanted));
        total = _mm256_add_epi64(total, _mm256_sad_epu8(sums, zero));
    }
    uint64_t lanes[4];
    _mm256_storeu_si256((__m256i *)lanes, total);
    return (size_t)(lanes[0] + lanes[1] + lanes[2] + lanes[3]) + count_tail(data + at, size - at, c);
}
#endif

size_t scan_count(const char *data, size_t size, char c)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return count_avx2(data, size, c);
#endif
    return count_tail(data, size, c);
}

/* ---- the level ----------------------------------------------------------------------------------------------- */

size_t (*scan_level(const char *name))(struct scan *scan, uint32_t *ends, size_t limit)
{
    if (strcmp(name, "c") == 0)
        return scan_c;
#if defined(__x86_64__)
    if (strcmp(name, "sse2") == 0)
        return scan_sse2;
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2"))
        return scan_avx2;
#endif
    return NULL;
}

struct scan scan_begin(const char *data, size_t size, char a, char b, char quote)
{
    size_t (*run)(struct scan *, uint32_t *, size_t) = scan_c;
#if defined(__x86_64__)
    run = __builtin_cpu_supports("avx2") ? scan_avx2 : scan_sse2;
#endif
    return (struct scan){ .data = data, .size = size, .a = a, .b = b, .quote = quote, .after_separator = 1, .run = run };
}
