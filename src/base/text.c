/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text: slices, a growing text with a ceiling, UTF-8, the nearest word. Numbers are number.c's.
 */
#include "base/base.h"

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

void text_append_text(struct text *text, const char *bytes)
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
        text_append_text(text, "NaN");
    else if (isinf(value))
        text_append_text(text, value > 0 ? "Infinity" : "-Infinity");
    else
        text_append(text, number, print_float(number, value));
}

void text_json_double(struct text *text, double value)
{
    char number[40];
    if (isnan(value))
        text_append_text(text, "NaN");
    else if (isinf(value))
        text_append_text(text, value > 0 ? "Infinity" : "-Infinity");
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

static void append_escape(struct text *text, unsigned code)
{
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *pair = letters; *pair != '\0'; pair += 2) {
        if ((unsigned char)pair[0] == code) {
            text_append(text, (const char[]){ '\\', pair[1] }, 2);
            return;
        }
    }
    text_format(text, "\\u%04x", code);
}

/* The code of a character that is written as an escape, or 0x10FFFF for one that stays. JSON asks for the first line only;
 * YAML's readers refuse the others (DEL, C1 controls, U+FFFE and U+FFFF) unless they are escaped. */
static unsigned escaped_code(const unsigned char *at, size_t size)
{
    if (at[0] < 0x20 || at[0] == '"' || at[0] == '\\')
        return at[0];
    if (at[0] == 0x7F || (size == 2 && at[0] == 0xC2 && at[1] < 0xA0))
        return size == 2 ? at[1] : at[0];
    if (size == 3 && at[0] == 0xEF && at[1] == 0xBF && at[2] >= 0xBE)
        return 0xFFC0u + (at[2] & 0x3F);
    return 0x10FFFF;
}

void text_json_string(struct text *text, struct slice value)
{
    const unsigned char *at = (const unsigned char *)value.data;
    size_t start = 0, bad;
    text_append(text, "\"", 1);
    for (size_t i = 0; i < value.size;) {
        size_t size = utf8_sequence(at + i, value.size - i, &bad);
        unsigned code = size > 0 ? escaped_code(at + i, size) : 0;
        if (size > 0 && code == 0x10FFFF) {
            i += size; /* runs of what stays as it is are copied at once */
            continue;
        }
        text_append(text, value.data + start, i - start);
        if (size > 0)
            append_escape(text, code);
        else
            text_append_text(text, "\xEF\xBF\xBD");
        i += size > 0 ? size : bad;
        start = i;
    }
    if (value.size > start)
        text_append(text, value.data + start, value.size - start);
    text_append(text, "\"", 1);
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
