/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text: slices, a growing text with a ceiling, exact numbers, UTF-8, the nearest word.
 *
 * How a decimal becomes the nearest float32 with one division. The digits make an integer m, the point and the exponent a
 * power: x = m * 10^e. With m <= 2^53 and |e| <= 22 both m and 10^|e| are exact doubles, so one multiplication or division
 * gives d, the double nearest to x. Rounding d to float32 would be wrong only if x and d lay on different sides of a
 * midpoint of two floats. Midpoints are doubles themselves and rounding is monotonic, so this can happen only where d *is*
 * a midpoint: its low 29 bits are then 1 followed by zeros. Those, and everything long, large or tiny, go to
 * std::from_chars.
 */
#include "base/base.h"
#include "base/internal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- slices -------------------------------------------------------------------------------------------------- */

struct slice slice_text(const char *text)
{
    return slice_of(text, strlen(text));
}

bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool slice_is(struct slice a, const char *text)
{
    return slice_equal(a, slice_text(text));
}

int slice_compare(struct slice a, struct slice b)
{
    size_t common = MIN(a.size, b.size);
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

struct slice slice_trim(struct slice a)
{
    while (a.size > 0 && (a.data[0] == ' ' || a.data[0] == '\t')) {
        a.data++;
        a.size--;
    }
    while (a.size > 0 && (a.data[a.size - 1] == ' ' || a.data[a.size - 1] == '\t'))
        a.size--;
    return a;
}

/* ---- the growing text ---------------------------------------------------------------------------------------- */

enum { TEXT_LIMIT = 64 << 20 };

/* Room for `size` more bytes and the NUL. */
static bool reserve(struct text *text, size_t size)
{
    size_t limit = text->limit != 0 ? text->limit : TEXT_LIMIT;
    if (text->failed)
        return false;
    if (size > limit || text->size > limit - size) {
        text->failed = text->too_long = true;
        return false;
    }
    if (!mem_grow(&text->data, &text->capacity, MAX(text->size + size + 1, 64), 1, NULL))
        text->failed = true;
    return !text->failed;
}

void text_append(struct text *text, const char *bytes, size_t size)
{
    if (!reserve(text, size))
        return;
    if (size > 0)
        memcpy(text->data + text->size, bytes, size);
    text->size += size;
    text->data[text->size] = '\0';
}

static void append_text(struct text *text, const char *bytes)
{
    text_append(text, bytes, strlen(bytes));
}

void text_format(struct text *text, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    /* Print where the text ends; only what does not fit is printed twice. */
    size_t free_bytes = text->data != NULL && !text->failed ? text->capacity - text->size : 0;
    int size = vsnprintf(free_bytes > 0 ? text->data + text->size : NULL, free_bytes, format, arguments);
    if (size < 0) {
        text->failed = true;
    } else if (reserve(text, (size_t)size)) {
        if ((size_t)size >= free_bytes)
            vsnprintf(text->data + text->size, (size_t)size + 1, format, again);
        text->size += (size_t)size;
    }
    if (text->failed && text->data != NULL)
        text->data[text->size] = '\0';
    va_end(again);
    va_end(arguments);
}

void text_json_float(struct text *text, float value)
{
    char number[32];
    if (isnan(value))
        append_text(text, "NaN");
    else if (isinf(value))
        append_text(text, value > 0 ? "Infinity" : "-Infinity");
    else
        text_append(text, number, print_float(number, value));
}

void text_json_double(struct text *text, double value)
{
    char number[40];
    if (isnan(value))
        append_text(text, "NaN");
    else if (isinf(value))
        append_text(text, value > 0 ? "Infinity" : "-Infinity");
    else
        text_append(text, number, print_double(number, value));
}

void text_count(struct text *text, int64_t value)
{
    char digits[32];
    size_t at = sizeof(digits);
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    for (int place = 0; place == 0 || left > 0; place++) {
        if (place > 0 && place % 3 == 0)
            digits[--at] = ',';
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    }
    if (value < 0)
        digits[--at] = '-';
    text_append(text, digits + at, sizeof(digits) - at);
}

bool text_ok(const struct text *text, pil_status *status)
{
    if (text->too_long)
        return status_fail(status, PIL_BAD_DATA, "a text is longer than its limit of %zu bytes",
                           text->limit != 0 ? text->limit : (size_t)TEXT_LIMIT);
    if (text->failed)
        return status_no_memory(status, text->size);
    return true;
}

void text_clear(struct text *text)
{
    text->size = 0;
    text->failed = text->too_long = false;
    if (text->data != NULL)
        text->data[0] = '\0';
}

void text_free(struct text *text)
{
    mem_free(text->data);
    *text = (struct text){ .limit = text->limit };
}

/* ---- UTF-8 --------------------------------------------------------------------------------------------------- */

/* The length of the valid sequence at the start (RFC 3629), or 0; then *bad is how many bytes one U+FFFD stands for: the
 * longest start of a valid sequence, at least one byte (Unicode, "substitution of maximal subparts"). */
static size_t utf8_sequence(const unsigned char *at, size_t left, size_t *bad)
{
    unsigned char lead = at[0], low = 0x80, high = 0xBF; /* of the second byte: no overlong forms, no surrogates */
    *bad = 1;
    if (lead < 0x80)
        return 1;
    if (lead < 0xC2 || lead > 0xF4)
        return 0;
    size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    for (size_t i = 1; i < size; i++) {
        if (i >= left || at[i] < low || at[i] > high)
            return 0;
        low = 0x80;
        high = 0xBF;
        *bad = i + 1;
    }
    return size;
}

bool utf8_valid(struct slice text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    size_t left = text.size, bad;
    while (left > 0) {
        uint64_t eight;
        if (left >= 8 && (memcpy(&eight, at, 8), (eight & 0x8080808080808080u) == 0)) {
            at += 8;
            left -= 8;
            continue;
        }
        size_t size = utf8_sequence(at, left, &bad);
        if (size == 0)
            return false;
        at += size;
        left -= size;
    }
    return true;
}

static void append_escape(struct text *text, unsigned char c)
{
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *pair = letters; *pair != '\0'; pair += 2) {
        if ((unsigned char)pair[0] == c) {
            text_append(text, (const char[]){ '\\', pair[1] }, 2);
            return;
        }
    }
    text_format(text, "\\u%04x", c);
}

void text_json_string(struct text *text, struct slice value)
{
    const unsigned char *at = (const unsigned char *)value.data;
    size_t start = 0, bad;
    text_append(text, "\"", 1);
    for (size_t i = 0; i < value.size;) {
        bool plain = at[i] >= 0x20 && at[i] != '"' && at[i] != '\\';
        size_t size = plain ? utf8_sequence(at + i, value.size - i, &bad) : 0;
        if (size > 0) {
            i += size; /* runs of what stays as it is are copied at once */
            continue;
        }
        text_append(text, value.data + start, i - start);
        if (plain)
            append_text(text, "\xEF\xBF\xBD");
        else
            append_escape(text, at[i]);
        i += plain ? bad : 1;
        start = i;
    }
    if (value.size > start)
        text_append(text, value.data + start, value.size - start);
    text_append(text, "\"", 1);
}

/* ---- numbers from text --------------------------------------------------------------------------------------- */

struct decimal {
    uint64_t mantissa; /* all digits as an integer; wrapped when there are more than 19 */
    int64_t exponent;  /* of ten, fraction included */
    size_t digits;
    const char *first; /* after the sign */
    bool negative;
};

enum { EXPONENT_LIMIT = 100000000 }; /* beyond every double; keeps the sum in range */

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

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

/* Digits with or without a point that fill at most eight bytes: nearly every number of a CSV file. */
static inline bool scan_short(const char *at, size_t size, struct decimal *out)
{
    uint64_t word = load_short(at, size);
    uint64_t point = word ^ 0x2E2E2E2E2E2E2E2Eu;
    point = (point - 0x0101010101010101u) & ~point & 0x8080808080808080u;
    out->exponent = 0;
    out->digits = size;
    if (point != 0) {
        size_t bits = (size_t)__builtin_ctzll(point) & 56; /* before the point */
        uint64_t below = ((uint64_t)1 << bits) - 1;
        word = (word & below) | (word >> bits >> 8) << bits;
        out->digits = size - 1;
        out->exponent = (int64_t)(bits / 8) - (int64_t)out->digits;
    }
    return out->digits > 0 && word_digits(word, out->digits, &out->mantissa);
}

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
static inline bool scan_decimal(struct slice text, struct decimal *out)
{
    const char *at = text.data, *end = at + text.size;
    out->negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    out->first = at;
    if (end - at - 1 < 8 && at < end && scan_short(at, (size_t)(end - at), out))
        return true;
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

static const double POWERS[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

/* The nearest double of a decimal whose two parts are exact doubles. */
static inline bool exact_parts(const struct decimal *decimal, double *value)
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

bool parse_float(struct slice text, float *value)
{
    struct decimal decimal;
    double nearest;
    if (!scan_decimal(text, &decimal)) {
        if (!special_word(text, &nearest))
            return false;
        *value = (float)nearest;
        return true;
    }
    float result;
    if (exact_parts(&decimal, &nearest)) {
        uint64_t bits;
        memcpy(&bits, &nearest, sizeof(bits));
        bool midpoint = (bits & 0x1FFFFFFF) == 0x10000000;
        if (nearest == 0 || (!midpoint && nearest >= (double)FLT_MIN && nearest <= (double)FLT_MAX)) {
            result = (float)nearest;
            *value = decimal.negative ? -result : result;
            return true;
        }
    }
    const char *end = text.data + text.size;
    if (!number_from_text(decimal.first, end, &result))
        result = is_large(&decimal, end) ? INFINITY : 0;
    *value = decimal.negative ? -result : result;
    return true;
}

bool parse_double(struct slice text, double *value)
{
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

/* ---- the nearest word ---------------------------------------------------------------------------------------- */

enum { WORD_LIMIT = 64 };

/* Case and the two dashes are no difference between words: "ReLU" is relu. */
static int folded(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c + ('a' - 'A');
    return c == '-' ? '_' : (unsigned char)c;
}

/* Damerau's and Levenshtein's distance in the form that edits no part twice (optimal string alignment), by three rows
 * of its table. Both words are at most WORD_LIMIT long. */
static size_t edit_distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[3][WORD_LIMIT + 1] = { { 0 } };
    size_t *before = rows[0], *previous = rows[1], *current = rows[2];
    for (size_t j = 0; j <= b_size; j++)
        previous[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        current[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            int x = folded(a[i - 1]), y = folded(b[j - 1]);
            size_t best = previous[j - 1] + (x != y);
            best = MIN(best, MIN(previous[j], current[j - 1]) + 1);
            if (i > 1 && j > 1 && x == folded(b[j - 2]) && folded(a[i - 2]) == y)
                best = MIN(best, before[j - 2] + 1);
            current[j] = best;
        }
        size_t *oldest = before;
        before = previous;
        previous = current;
        current = oldest;
    }
    return previous[b_size];
}

const char *nearest_word(const char *word, const char *const *candidates, size_t count)
{
    size_t size = strlen(word), best = MAX(2, size / 3) + 1;
    const char *nearest = NULL;
    if (size > WORD_LIMIT)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t other = candidates[i] != NULL ? strlen(candidates[i]) : 0;
        if (other == 0 || other > WORD_LIMIT)
            continue;
        size_t distance = edit_distance(word, size, candidates[i], other);
        /* Words that share nothing are not near, however short. */
        if (distance < best && distance < MAX(size, other)) {
            best = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}
