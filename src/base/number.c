/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers from text and text from numbers: exact, without a locale.
 *
 * How a decimal becomes the nearest float32 with one division. The digits make an integer m, the point and the exponent a
 * power: x = m * 10^e. With m <= 2^53 and |e| <= 22 both m and 10^|e| are exact doubles, so one multiplication or division
 * gives d, the double nearest to x. Rounding d to float32 would be wrong only if x and d lay on different sides of a
 * midpoint of two floats. Midpoints are doubles themselves and rounding is monotonic, so this can happen only where d *is*
 * a midpoint: its low 29 bits are then 1 followed by zeros. Those, and everything long, large or tiny, go to
 * std::from_chars.
 *
 * CSV files are full of numbers of at most eight bytes whose lengths no processor can predict. They are read as one
 * word, without a branch that depends on the length (short_number).
 */
#include "base/base.h"
#include "base/internal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- short numbers ------------------------------------------------------------------------------------------- */

static const double POWERS[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

/* 1 to 8 bytes as one little-endian word, zero above, without touching a byte beyond them. */
static inline uint64_t load_short(const char *at, size_t size)
{
    uint32_t low = 0, high = 0;
    if (size >= 4) {
        memcpy(&low, at, 4);
        memcpy(&high, at + size - 4, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        low = __builtin_bswap32(low);
        high = __builtin_bswap32(high);
#endif
        return low | (uint64_t)high << 8 * (size - 4);
    }
    uint64_t middle = (unsigned char)at[size / 2], last = (unsigned char)at[size - 1];
    return (unsigned char)at[0] | middle << 8 * (size / 2) | last << 8 * (size - 1);
}

/* The number of 1 to 8 digits in the low bytes of a word, all at once: neighbours are joined to pairs, pairs to fours,
 * fours to the eight by two multiplications (D. Lemire, "Quickly parsing eight digits", 2018). Lengths that vary cost
 * no mispredicted branch. */
static inline bool word_digits(uint64_t word, size_t count, uint64_t *value)
{
    uint64_t zeros = 0x3030303030303030u & (((uint64_t)1 << 8 * (8 - count)) - 1);
    word = word << 8 * (8 - count) | zeros; /* leading zeros in front */
    uint64_t high = word & 0xF0F0F0F0F0F0F0F0u, carried = (word + 0x0606060606060606u) & 0xF0F0F0F0F0F0F0F0u;
    if ((high | carried >> 4) != 0x3333333333333333u)
        return false;
    word -= 0x3030303030303030u;
    word = word * 10 + (word >> 8);
    *value =
        ((word & 0x000000FF000000FFu) * 0x000F424000000064u + ((word >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u) >> 32;
    return true;
}

/* The nearest double of [+-] digits [. digits] that fills at most eight bytes after the sign. False: look again, slowly. */
static inline bool short_number(struct slice text, double *nearest)
{
    if (text.size - 1 >= 9) /* an empty one wraps */
        return false;
    bool negative = text.data[0] == '-';
    size_t sign = negative | (text.data[0] == '+'), size = text.size - sign, fraction = 0;
    if (size - 1 >= 8)
        return false;
    uint64_t word = load_short(text.data + sign, size), mantissa;
    uint64_t point = word ^ 0x2E2E2E2E2E2E2E2Eu; /* the byte that becomes zero is the first point */
    point = (point - 0x0101010101010101u) & ~point & 0x8080808080808080u;
    if (point != 0) {
        size_t bits = (size_t)__builtin_ctzll(point) & 56; /* of the digits before it */
        word = (word & (((uint64_t)1 << bits) - 1)) | (word >> bits >> 8) << bits;
        size--;
        fraction = size - bits / 8;
        if (size == 0)
            return false;
    }
    if (!word_digits(word, size, &mantissa))
        return false;
    *nearest = (double)(int64_t)mantissa / POWERS[fraction];
    *nearest = copysign(*nearest, negative ? -1.0 : 1.0);
    return true;
}

/* ---- any number ---------------------------------------------------------------------------------------------- */

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

struct decimal {
    uint64_t mantissa; /* all digits as an integer; wrapped when there are more than 19 */
    int64_t exponent;  /* of ten, fraction included */
    size_t digits;
    const char *first; /* after the sign */
    bool negative;
};

enum { EXPONENT_LIMIT = 100000000 }; /* beyond every double; keeps the sum in range */

/* All digits at *at, eight at a time while there are eight. */
static inline uint64_t scan_digits(const char **at, const char *end, uint64_t mantissa)
{
    const char *here = *at;
    uint64_t eight;
    while (end - here >= 8 && word_digits(load_short(here, 8), 8, &eight)) {
        mantissa = mantissa * 100000000 + eight;
        here += 8;
    }
    while (here < end && is_digit(*here))
        mantissa = mantissa * 10 + (uint64_t)(*here++ - '0');
    *at = here;
    return mantissa;
}

/* [+-] digits [. digits] [e [+-] digits], with at least one digit before the exponent. */
static bool scan_decimal(struct slice text, struct decimal *out)
{
    const char *at = text.data, *end = at + text.size;
    out->negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    out->first = at;
    out->mantissa = scan_digits(&at, end, 0);
    out->digits = (size_t)(at - out->first);
    out->exponent = 0;
    if (at < end && *at == '.') {
        const char *point = ++at;
        out->mantissa = scan_digits(&at, end, out->mantissa);
        out->exponent = point - at;
        out->digits += (size_t)(at - point);
    }
    if (at == end || out->digits == 0)
        return at == end && out->digits > 0;
    if (*at != 'e' && *at != 'E')
        return false;
    bool minus = false;
    if (++at < end && (*at == '-' || *at == '+'))
        minus = *at++ == '-';
    if (at == end)
        return false;
    int64_t power = 0;
    for (; at < end && is_digit(*at); at++)
        power = power < EXPONENT_LIMIT ? power * 10 + (*at - '0') : power;
    out->exponent += minus ? -power : power;
    return at == end;
}

/* "inf", "infinity", "nan" in any case, with an optional sign: how other programs write them. */
static bool special_word(struct slice text, double *value)
{
    static const char *const words[] = { "inf", "infinity", "nan" };
    bool negative = text.size > 0 && text.data[0] == '-';
    if (text.size > 0 && (negative || text.data[0] == '+'))
        text = slice_of(text.data + 1, text.size - 1);
    for (size_t w = 0; w < COUNT_OF(words); w++) {
        size_t i = 0;
        while (i < text.size && words[w][i] != '\0' && (text.data[i] | 0x20) == words[w][i])
            i++;
        if (i == text.size && words[w][i] == '\0') {
            *value = words[w][0] == 'i' ? (double)INFINITY : (double)NAN;
            *value = negative ? -*value : *value;
            return true;
        }
    }
    return false;
}

/* x = 0.d1d2d3... * 10^n: whether n is positive, for a number that no float or double holds. */
static bool is_large(const struct decimal *decimal, const char *end)
{
    int64_t zeros = 0;
    for (const char *at = decimal->first; at < end && (*at == '0' || *at == '.'); at++)
        zeros += *at == '0';
    return (int64_t)decimal->digits - zeros + decimal->exponent > 0;
}

/* The nearest double of a decimal whose two parts are exact doubles. */
static bool exact_parts(const struct decimal *decimal, double *value)
{
    if (decimal->digits > 19 || decimal->mantissa > (uint64_t)1 << 53)
        return false;
    double mantissa = (double)(int64_t)decimal->mantissa;
    if (decimal->exponent <= 0 && decimal->exponent >= -22)
        *value = mantissa / POWERS[-decimal->exponent];
    else if (decimal->exponent > 0 && decimal->exponent <= 22)
        *value = mantissa * POWERS[decimal->exponent];
    else
        return false;
    return true;
}

static inline bool is_midpoint(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return (bits & 0x1FFFFFFF) == 0x10000000;
}

/* Any spelling and length. */
static bool long_float(struct slice text, float *value)
{
    struct decimal decimal;
    double nearest;
    float result;
    if (!scan_decimal(text, &decimal)) {
        if (!special_word(text, &nearest))
            return false;
        *value = (float)nearest;
        return true;
    }
    const char *end = text.data + text.size;
    if (exact_parts(&decimal, &nearest) &&
        (nearest == 0 || (!is_midpoint(nearest) && nearest >= (double)FLT_MIN && nearest <= (double)FLT_MAX)))
        result = (float)nearest;
    else if (!number_from_text(decimal.first, end, &result))
        result = is_large(&decimal, end) ? INFINITY : 0;
    *value = decimal.negative ? -result : result;
    return true;
}

/* A short number m / 10^f needs no look at midpoints. From a midpoint k / 2^j of two floats near x, with 2^j <= 2^24 / x, it
 * is 0 or at least 1 / (10^f * 2^j) away, relatively at least 1 / (10^7 * 2^24) > 2^-48: too far to be rounded onto it. */
bool parse_float(struct slice text, float *value)
{
    double nearest;
    if (!short_number(text, &nearest))
        return long_float(text, value);
    *value = (float)nearest; /* zero or between 1e-7 and 1e8: a normal float */
    return true;
}

bool parse_double(struct slice text, double *value)
{
    if (short_number(text, value))
        return true;
    struct decimal decimal;
    if (!scan_decimal(text, &decimal))
        return special_word(text, value);
    double result;
    const char *end = text.data + text.size;
    if (!exact_parts(&decimal, &result) && !number_from_text_double(decimal.first, end, &result))
        result = is_large(&decimal, end) ? (double)INFINITY : 0;
    *value = decimal.negative ? -result : result;
    return true;
}

bool parse_int64(struct slice text, int64_t *value)
{
    const char *at = text.data, *end = at + text.size;
    bool negative = false;
    if (at < end && (*at == '-' || *at == '+'))
        negative = *at++ == '-';
    if (at == end || !is_digit(*at))
        return false;
    uint64_t few;
    if (end - at <= 8 && word_digits(load_short(at, (size_t)(end - at)), (size_t)(end - at), &few)) {
        *value = negative ? -(int64_t)few : (int64_t)few;
        return true;
    }
    int64_t result = 0; /* negative all along: INT64_MIN has no positive */
    for (; at < end && is_digit(*at); at++) {
        if (__builtin_mul_overflow(result, 10, &result) || __builtin_sub_overflow(result, *at - '0', &result))
            return false;
    }
    if (at < end && *at == '.') {
        at++;
        while (at < end && *at == '0')
            at++;
    }
    if (at != end || (!negative && result == INT64_MIN))
        return false;
    *value = negative ? result : -result;
    return true;
}

bool parse_bool(struct slice text, bool *value)
{
    static const char *const words[] = { "false", "true" };
    for (size_t w = 0; w < 2; w++) {
        size_t i = 0;
        while (i < text.size && words[w][i] != '\0' && (text.data[i] | 0x20) == words[w][i])
            i++;
        if (i == text.size && words[w][i] == '\0') {
            *value = w == 1;
            return true;
        }
    }
    return false;
}

/* ---- text from numbers --------------------------------------------------------------------------------------- */

/* 0.0001 and 100000 rather than 1e-04 and 1e+05: people read them. Beyond, a power of ten says more. */
size_t print_float(char out[32], float value)
{
    float size = fabsf(value);
    bool fixed = size == 0 || (size >= 1e-4f && size < 1e9f);
    if (isnan(value))
        value = NAN; /* without its sign */
    size_t length = number_to_text(out, 31, value, fixed);
    out[length] = '\0';
    return length;
}

size_t print_double(char out[40], double value)
{
    double size = fabs(value);
    bool fixed = size == 0 || (size >= 1e-4 && size < 1e16);
    if (isnan(value))
        value = (double)NAN;
    size_t length = number_to_text_double(out, 39, value, fixed);
    out[length] = '\0';
    return length;
}

int print_shape(char *out, size_t size, const int64_t *dims, int rank)
{
    size_t used = 0; /* what is wanted, as snprintf counts */
    for (int i = 0; i < rank; i++) {
        char *at = used < size ? out + used : NULL;
        size_t left = used < size ? size - used : 0;
        const char *before = i == 0 ? "[" : ", ";
        if (dims[i] == -1)
            used += (size_t)snprintf(at, left, "%s?", before);
        else
            used += (size_t)snprintf(at, left, "%s%lld", before, (long long)dims[i]);
    }
    used += (size_t)snprintf(used < size ? out + used : NULL, used < size ? size - used : 0, rank <= 0 ? "[]" : "]");
    return (int)used;
}
