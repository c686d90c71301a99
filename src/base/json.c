/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C half of JSON: buffers, limits, and what to say about a text that was refused.
 *
 * The fast parser (json.cc) only knows that a text is wrong. So a refused text is read a second time, slowly, by a reader
 * that stops at the first byte that cannot stand there. That reader also knows NaN and Infinity, which are no JSON: where
 * they are allowed it writes a copy in which each is a string that no one else writes, and the fast parser takes the copy.
 * Texts without them pay nothing for it.
 */
#include "base/json.h"
#include "base/internal.h"

#include <math.h>
#include <string.h>

enum { DEFAULT_LIMIT = 64 << 20, HIGHEST_LIMIT = 1 << 30, FIRST_CAPACITY = 4096 };

struct json_parser {
    struct json_dom *dom;
    char *buffer; /* a copy with padding */
    size_t capacity, limit;
    bool allow_nan;
    struct text patched;
    size_t error_offset;
    const char *error_text;
};

/* ---- the slow reader ----------------------------------------------------------------------------------------- */

struct scan {
    const char *data;
    size_t size, at;
    const char *problem;
    struct text *patched; /* NULL: NaN and Infinity are wrong */
    size_t copied;        /* of data, into patched */
};

static bool refuse(struct scan *scan, size_t at, const char *problem)
{
    scan->at = at;
    scan->problem = problem;
    return false;
}

static int peek(const struct scan *scan)
{
    return scan->at < scan->size ? (unsigned char)scan->data[scan->at] : -1;
}

static void skip_space(struct scan *scan)
{
    while (peek(scan) == ' ' || peek(scan) == '\t' || peek(scan) == '\n' || peek(scan) == '\r')
        scan->at++;
}

static bool starts_with(const struct scan *scan, const char *word)
{
    size_t size = strlen(word);
    return scan->size - scan->at >= size && memcmp(scan->data + scan->at, word, size) == 0;
}

/* Four hexadecimal digits after \u; -1 when they are not there. */
static int hex_code(const struct scan *scan, size_t at)
{
    int code = 0;
    for (size_t i = at; i < at + 4; i++) {
        int c = i < scan->size ? (unsigned char)scan->data[i] : 0, lower = c | 0x20;
        if (c >= '0' && c <= '9')
            code = code * 16 + c - '0';
        else if (lower >= 'a' && lower <= 'f')
            code = code * 16 + lower - 'a' + 10;
        else
            return -1;
    }
    return code;
}

/* At a backslash. */
static bool scan_escape(struct scan *scan)
{
    size_t start = scan->at++;
    int c = peek(scan);
    scan->at++;
    if (c != 'u')
        return c > 0 && strchr("\"\\/bfnrt", c) != NULL ? true : refuse(scan, start, "no such escape in a string");
    int code = hex_code(scan, scan->at);
    if (code < 0)
        return refuse(scan, start, "\\u needs four hexadecimal digits");
    scan->at += 4;
    if (code >= 0xD800 && code < 0xDC00 && starts_with(scan, "\\u")) {
        int low = hex_code(scan, scan->at + 2);
        if (low >= 0xDC00 && low < 0xE000) {
            scan->at += 6;
            return true;
        }
    }
    return code < 0xD800 || code >= 0xE000 ? true : refuse(scan, start, "half of a surrogate pair");
}

/* At the opening quote. */
static bool scan_string(struct scan *scan)
{
    size_t start = scan->at++;
    for (;;) {
        int c = peek(scan);
        if (c < 0)
            return refuse(scan, start, "the string has no end");
        if (c == '"') {
            scan->at++;
            return true;
        }
        if (c < 0x20)
            return refuse(scan, scan->at, "a control character in a string must be escaped");
        if (c == '\\') {
            if (!scan_escape(scan))
                return false;
        } else if (c < 0x80) {
            scan->at++;
        } else {
            size_t size = 2;
            while (size <= 4 && (size > scan->size - scan->at || !utf8_valid(slice_of(scan->data + scan->at, size))))
                size++;
            if (size > 4)
                return refuse(scan, scan->at, "no valid UTF-8");
            scan->at += size;
        }
    }
}

static size_t scan_digits(struct scan *scan)
{
    size_t start = scan->at;
    while (peek(scan) >= '0' && peek(scan) <= '9')
        scan->at++;
    return scan->at - start;
}

static bool scan_number(struct scan *scan)
{
    size_t start = scan->at;
    bool is_integer = true;
    scan->at += peek(scan) == '-';
    bool zero = peek(scan) == '0';
    size_t digits = scan_digits(scan);
    if (digits == 0 || (zero && digits > 1))
        return refuse(scan, start, digits == 0 ? "no value" : "a number with leading zeros");
    if (peek(scan) == '.') {
        is_integer = false;
        scan->at++;
        if (scan_digits(scan) == 0)
            return refuse(scan, scan->at, "no digit after the point");
    }
    if (peek(scan) == 'e' || peek(scan) == 'E') {
        is_integer = false;
        scan->at++;
        scan->at += peek(scan) == '-' || peek(scan) == '+';
        if (scan_digits(scan) == 0)
            return refuse(scan, scan->at, "no digit in the exponent");
    }
    struct slice text = slice_of(scan->data + start, scan->at - start);
    int64_t integer;
    double number = 0;
    parse_double(text, &number);
    if (is_integer && !parse_int64(text, &integer) && (number < 0 || number > 18446744073709551616.0 || digits > 20))
        return refuse(scan, start, "an integer of more than 64 bits");
    return isfinite(number) ? true : refuse(scan, start, "a number beyond a double");
}

/* What stands for such a word in the patched copy; json.cc reads it back. */
static bool scan_nan(struct scan *scan)
{
    static const char *const words[] = { "NaN", "Infinity", "-Infinity" };
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (!starts_with(scan, words[i]))
            continue;
        text_append(scan->patched, scan->data + scan->copied, scan->at - scan->copied);
        text_format(scan->patched, "\"\\u0000%s\"", words[i]);
        scan->at += strlen(words[i]);
        scan->copied = scan->at;
        return true;
    }
    return false;
}

static bool scan_scalar(struct scan *scan)
{
    static const char *const words[] = { "true", "false", "null" };
    int c = peek(scan);
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (starts_with(scan, words[i])) {
            scan->at += strlen(words[i]);
            return true;
        }
    }
    if (scan->patched != NULL && scan_nan(scan))
        return true;
    if (c == '"')
        return scan_string(scan);
    if (c == '-' || (c >= '0' && c <= '9'))
        return scan_number(scan);
    return refuse(scan, scan->at, c < 0 ? "the text ends too early" : "no value");
}

static bool scan_key(struct scan *scan)
{
    skip_space(scan);
    if (peek(scan) != '"')
        return refuse(scan, scan->at, "a name in quotes is missing");
    if (!scan_string(scan))
        return false;
    skip_space(scan);
    if (peek(scan) != ':')
        return refuse(scan, scan->at, "a colon is missing after a name");
    scan->at++;
    return true;
}

/* The whole text. `within` tells for each open container whether it is an object. */
static bool scan_text(struct scan *scan)
{
    bool within[JSON_DEPTH];
    int depth = 0;
    for (;;) {
        skip_space(scan); /* a value */
        int c = peek(scan);
        bool is_open = c == '{' || c == '[';
        if (is_open) {
            if (depth == JSON_DEPTH)
                return refuse(scan, scan->at, "nested too deep");
            within[depth++] = c == '{';
            scan->at++;
            skip_space(scan);
            is_open = peek(scan) != (c == '{' ? '}' : ']');
        } else if (!scan_scalar(scan)) {
            return false;
        }
        while (!is_open && depth > 0) { /* after a value: close what ends here */
            skip_space(scan);
            c = peek(scan);
            if (c == ',')
                break;
            if (c != (within[depth - 1] ? '}' : ']'))
                return refuse(scan, scan->at, within[depth - 1] ? "a comma or } is missing" : "a comma or ] is missing");
            scan->at++;
            depth--;
        }
        if (depth == 0)
            break;
        if (!is_open)
            scan->at++; /* the comma */
        if (within[depth - 1] && !scan_key(scan))
            return false;
    }
    skip_space(scan);
    return scan->at == scan->size ? true : refuse(scan, scan->at, "something follows the value");
}

/* ---- the parser ---------------------------------------------------------------------------------------------- */

struct json_parser *json_parser_new(size_t limit, pil_status *status)
{
    struct json_parser *parser = mem_new(sizeof(*parser), status);
    if (parser == NULL)
        return NULL;
    parser->limit = MIN(limit == 0 ? (size_t)DEFAULT_LIMIT : limit, (size_t)HIGHEST_LIMIT);
    parser->error_offset = SIZE_MAX;
    parser->error_text = "";
    parser->patched.limit = HIGHEST_LIMIT;
    parser->dom = json_dom_new();
    if (parser->dom == NULL) {
        status_no_memory(status, 1024);
        mem_free(parser);
        return NULL;
    }
    return parser;
}

void json_parser_free(struct json_parser *parser)
{
    if (parser == NULL)
        return;
    json_dom_free(parser->dom);
    text_free(&parser->patched);
    mem_free(parser->buffer);
    mem_free(parser);
}

void json_allow_nan(struct json_parser *parser, bool allow)
{
    parser->allow_nan = allow;
}

size_t json_error_offset(const struct json_parser *parser)
{
    return parser->error_offset;
}

const char *json_error_text(const struct json_parser *parser)
{
    return parser->error_text;
}

static bool within_limit(struct json_parser *parser, struct slice text, pil_status *status)
{
    parser->error_offset = SIZE_MAX;
    parser->error_text = "";
    if (text.size <= parser->limit)
        return true;
    parser->error_text = "the text is too long";
    return status_fail(status, PIL_BAD_DATA, "JSON of %zu bytes is longer than the limit of %zu", text.size, parser->limit);
}

/* The tables grow with the text, by doubling. */
static enum json_dom_result dom_parse(struct json_parser *parser, struct slice text, bool patched, struct json_value *root)
{
    size_t capacity = FIRST_CAPACITY;
    while (capacity < text.size)
        capacity *= 2;
    return json_dom_parse(parser->dom, text.data, text.size, capacity, patched, root);
}

static bool refused(struct json_parser *parser, struct slice text, struct json_value *root, pil_status *status)
{
    struct scan scan = { .data = text.data, .size = text.size };
    if (parser->allow_nan) {
        text_clear(&parser->patched);
        scan.patched = &parser->patched;
    }
    bool good = scan_text(&scan);
    if (good && scan.copied > 0) {
        static const char padding[JSON_PADDING];
        text_append(&parser->patched, text.data + scan.copied, text.size - scan.copied);
        size_t size = parser->patched.size;
        text_append(&parser->patched, padding, sizeof(padding));
        if (!text_ok(&parser->patched, status))
            return false;
        enum json_dom_result result = dom_parse(parser, slice_of(parser->patched.data, size), true, root);
        if (result == JSON_DOM_PARSED)
            return true;
        if (result == JSON_DOM_NO_MEMORY)
            return status_no_memory(status, size);
    }
    parser->error_offset = good ? SIZE_MAX : scan.at;
    parser->error_text = good ? "a value is out of range" : scan.problem;
    if (good)
        return status_fail(status, PIL_BAD_DATA, "JSON is wrong: %s", parser->error_text);
    return status_fail(status, PIL_BAD_DATA, "JSON is wrong at offset %zu: %s", scan.at, scan.problem);
}

bool json_parse_padded(struct json_parser *parser, struct slice text, struct json_value *root, pil_status *status)
{
    if (!within_limit(parser, text, status))
        return false;
    switch (dom_parse(parser, text, false, root)) {
    case JSON_DOM_PARSED:
        return true;
    case JSON_DOM_NO_MEMORY:
        return status_no_memory(status, text.size);
    default:
        return refused(parser, text, root, status);
    }
}

bool json_parse(struct json_parser *parser, struct slice text, struct json_value *root, pil_status *status)
{
    if (!within_limit(parser, text, status) || !mem_grow(&parser->buffer, &parser->capacity, text.size + JSON_PADDING, 1, status))
        return false;
    if (text.size > 0)
        memcpy(parser->buffer, text.data, text.size);
    memset(parser->buffer + text.size, ' ', JSON_PADDING);
    return json_parse_padded(parser, slice_of(parser->buffer, text.size), root, status);
}
