/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flow text, as args_print writes options, read back as a tree of values: {axis: 1, words: [a, "b c"], name: null}. It is the
 * part of YAML that our own printers use. Texts in quotes are JSON's; a word without quotes ends at `,`, `]`, `}` or `:`.
 *
 * And files made of it, a record a line, each a word with its values, in which one change of a model is one changed line:
 *
 *     variable {name: dnn/kernel, shape: [3, 1]}
 *
 * Nothing that a file says is believed: what is no flow text is an error with line and column, nesting has an end, and memory
 * grows with the text alone.
 */
#include "base/base.h"

#include <string.h>

enum { MOST_NESTED = 32 };

struct parser {
    struct slice text;
    size_t at;
    const char *file;
    int line;
    int first_column; /* of the text in its line, from 1 */
    int depth;
    struct arena *arena;
    struct value **stack; /* items of the lists and maps that are open */
    size_t stack_count, stack_capacity;
    pil_status *status;
};

static struct value *parse_value(struct parser *parser);

static int look(const struct parser *parser)
{
    return parser->at < parser->text.size ? (unsigned char)parser->text.data[parser->at] : -1;
}

static void skip_spaces(struct parser *parser)
{
    while (look(parser) == ' ')
        parser->at++;
}

static struct value *fail_here(struct parser *parser, const char *what)
{
    status_fail(parser->status, PIL_BAD_DATA, "%s:%d:%zu: %s", parser->file, parser->line,
                parser->at + (size_t)parser->first_column, what);
    return NULL;
}

static struct value *value_new(struct parser *parser, enum value_kind kind)
{
    struct value *value = arena_alloc(parser->arena, sizeof *value, parser->status);
    if (value)
        *value = (struct value){
            .kind = kind, .file = parser->file, .line = parser->line, .column = (int)parser->at + parser->first_column
        };
    return value;
}

/* ---- scalars ------------------------------------------------------------------------------------------------- */

static int hex_digit(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* The four digits behind \u; -1: they are none, or half of a pair, which our printers never write. */
static int32_t read_code(struct parser *parser)
{
    int32_t code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(look(parser));
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
        parser->at++;
    }
    return code >= 0xD800 && code <= 0xDFFF ? -1 : code;
}

static size_t put_utf8(char *out, int32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    out[0] = (char)(0xE0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3F));
    out[2] = (char)(0x80 | (code & 0x3F));
    return 3;
}

/* One escape, the backslash taken; how many bytes it is, 0: it is none. */
static size_t read_escape(struct parser *parser, char *out)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    int c = look(parser);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;
    if (c >= 0)
        parser->at++;
    if (letter) {
        *out = meant[letter - letters];
        return 1;
    }
    int32_t code = c == 'u' ? read_code(parser) : -1;
    return code < 0 ? 0 : put_utf8(out, code);
}

/* A text in quotes is never longer than what stands in them. */
static struct value *parse_quoted(struct parser *parser)
{
    struct value *value = value_new(parser, VALUE_SCALAR);
    size_t end = ++parser->at;
    while (end < parser->text.size && parser->text.data[end] != '"')
        end += parser->text.data[end] == '\\' ? 2 : 1;
    char *out = value && end < parser->text.size ? arena_alloc(parser->arena, end - parser->at + 1, parser->status) : NULL;
    size_t size = 0;
    if (!value || !out)
        return end >= parser->text.size ? fail_here(parser, "a text in quotes has no end") : NULL;
    while (parser->at < end) {
        char c = parser->text.data[parser->at++];
        size_t more = 1;
        if (c == '\\')
            more = read_escape(parser, out + size);
        else
            out[size] = c;
        if (more == 0)
            return fail_here(parser, "there is no such escape in a text");
        size += more;
    }
    parser->at = end + 1;
    out[size] = '\0';
    value->quoted = true;
    value->text = slice_of(out, size);
    return value;
}

static bool ends_word(int c)
{
    return c < 0 || c == ',' || c == ']' || c == '}' || c == ':' || c == '[' || c == '{' || c == '"' || c == '\t' || c == '\r';
}

static struct value *parse_word(struct parser *parser)
{
    struct value *value = value_new(parser, VALUE_SCALAR);
    size_t first = parser->at;
    while (!ends_word(look(parser)))
        parser->at++;
    struct slice text = slice_trim(slice_of(parser->text.data + first, parser->at - first));
    if (text.size == 0)
        return fail_here(parser, "a value is missing");
    char *copy = value ? arena_text(parser->arena, text.data, text.size, parser->status) : NULL;
    if (!copy)
        return NULL;
    value->text = slice_of(copy, text.size);
    return value;
}

/* ---- lists and maps ------------------------------------------------------------------------------------------ */

static bool push(struct parser *parser, struct value *value)
{
    if (!value ||
        !mem_grow(&parser->stack, &parser->stack_capacity, parser->stack_count + 1, sizeof *parser->stack, parser->status))
        return false;
    parser->stack[parser->stack_count++] = value;
    return true;
}

/* What was pushed since `base`: the items, or keys and items in turn. */
static struct value *close(struct parser *parser, struct value *value, size_t base)
{
    size_t each = value->kind == VALUE_MAP ? 2 : 1, count = (parser->stack_count - base) / each;
    value->items = arena_alloc(parser->arena, MAX(count, 1) * sizeof *value->items, parser->status);
    value->keys = each == 2 ? arena_alloc(parser->arena, MAX(count, 1) * sizeof *value->keys, parser->status) : NULL;
    if (!value->items || (each == 2 && !value->keys))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        value->items[i] = parser->stack[base + each * i + each - 1];
        if (each == 2)
            value->keys[i] = parser->stack[base + 2 * i];
    }
    value->count = count;
    parser->stack_count = base;
    return value;
}

static bool parse_key(struct parser *parser)
{
    if (!push(parser, look(parser) == '"' ? parse_quoted(parser) : parse_word(parser)))
        return false;
    skip_spaces(parser);
    if (look(parser) != ':')
        return fail_here(parser, "':' is missing behind a name") != NULL;
    parser->at++;
    skip_spaces(parser);
    return true;
}

static struct value *parse_items(struct parser *parser, enum value_kind kind, char end)
{
    struct value *value = value_new(parser, kind);
    size_t base = parser->stack_count;
    if (!value)
        return NULL;
    if (++parser->depth > MOST_NESTED)
        return fail_here(parser, "lists and maps are nested too deep");
    parser->at++;
    skip_spaces(parser);
    while (look(parser) != end) {
        if (parser->stack_count > base) {
            if (look(parser) != ',')
                return fail_here(parser, "',' or the end of the list is missing");
            parser->at++;
            skip_spaces(parser);
        }
        if ((kind == VALUE_MAP && !parse_key(parser)) || !push(parser, parse_value(parser)))
            return NULL;
        skip_spaces(parser);
    }
    parser->at++;
    parser->depth--;
    return close(parser, value, base);
}

static struct value *parse_value(struct parser *parser)
{
    switch (look(parser)) {
    case '{':
        return parse_items(parser, VALUE_MAP, '}');
    case '[':
        return parse_items(parser, VALUE_LIST, ']');
    case '"':
        return parse_quoted(parser);
    default:
        return parse_word(parser);
    }
}

/* ---- a record a line ----------------------------------------------------------------------------------------- */

bool flow_next(struct flow_reader *reader, struct slice *word, struct value **value, struct arena *arena, pil_status *status)
{
    struct slice rest = reader->rest;
    if (rest.size == 0)
        return false;
    const char *end = memchr(rest.data, '\n', rest.size);
    struct slice line = slice_of(rest.data, end ? (size_t)(end - rest.data) : rest.size);
    size_t size = 0;
    reader->line++;
    reader->rest = end ? slice_of(end + 1, rest.size - line.size - 1) : slice_of(rest.data + rest.size, 0);
    if (!end)
        return status_fail(status, PIL_BAD_DATA, "%s:%d: the file ends within a line", reader->file, reader->line);
    while (size < line.size && line.data[size] != ' ')
        size++;
    *word = slice_of(line.data, size);
    struct parser parser = { .text = slice_of(line.data + size, line.size - size),
                             .file = reader->file,
                             .line = reader->line,
                             .first_column = (int)MIN(size, 1000) + 1,
                             .arena = arena,
                             .status = status };
    skip_spaces(&parser);
    *value = parse_value(&parser);
    skip_spaces(&parser);
    bool done = *value && (parser.at == parser.text.size || fail_here(&parser, "something stands behind the value"));
    mem_free(parser.stack);
    return done;
}

bool flow_fail(const struct flow_reader *reader, pil_status *status, const char *what)
{
    return status_fail(status, PIL_BAD_DATA, "%s:%d: %s", reader->file, reader->line, what);
}

static bool keep_value(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                       pil_status *status)
{
    (void)arg, (void)reader, (void)status;
    memcpy(field, &value, sizeof value);
    return true;
}

const struct arg_type ARG_VALUE = { .name = "value", .schema = "{}", .parse = keep_value };
