/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The types of arguments: how a value of a model file becomes a field of an options struct, and back.
 *
 * A value is text until the argument that takes it converts it. So `007` stays 007 where a name is wanted and a
 * vocabulary [yes, no] stays two strings. Unquoted `null`, `~` and nothing at all are null; in quotes they are text, and a
 * number in quotes is no number.
 */
#include "base/base.h"
#include "base/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- one value ----------------------------------------------------------------------------------------------- */

/* What an error calls a value: "dropout", or "item 3 of hidden_units". */
struct label {
    char text[96];
};

static struct label item_label(const struct arg *arg, size_t index)
{
    struct label label;
    snprintf(label.text, sizeof(label.text), "item %zu of %.60s", index + 1, arg->name);
    return label;
}

static bool must_be_scalar(const char *label, const char *wanted, const struct value *value, pil_status *status)
{
    if (value_is_null(value))
        return value_fail(value, status, "%s takes %s and cannot be null", label, wanted);
    if (value->kind != VALUE_SCALAR)
        return value_fail(value, status, "%s takes %s, not a %s", label, wanted, value->kind == VALUE_LIST ? "list" : "map");
    return true;
}

static bool must_be_plain(const char *label, const char *wanted, const struct value *value, pil_status *status)
{
    if (!must_be_scalar(label, wanted, value, status))
        return false;
    if (value->quoted)
        return value_fail(value, status, "%s takes %s, not the text \"%s\": leave out the quotes", label, wanted,
                          value_shown(value->text).text);
    return true;
}

static bool not_wanted(const char *label, const char *wanted, const struct value *value, pil_status *status)
{
    return value_fail(value, status, "%s takes %s, not '%s'", label, wanted, value_shown(value->text).text);
}

bool arg_has_limits(const struct arg *arg)
{
    return arg->low != 0 || arg->high != 0;
}

/* "from 0 to 1", "at least 1": what the limits allow. */
void arg_print_limits(char out[112], const struct arg *arg)
{
    char low[40], high[40];
    print_double(low, arg->low);
    print_double(high, arg->high);
    if (arg->high >= ARG_NO_LIMIT)
        snprintf(out, 112, "at least %s", low);
    else if (arg->low <= -ARG_NO_LIMIT)
        snprintf(out, 112, "at most %s", high);
    else
        snprintf(out, 112, "from %s to %s", low, high);
}

static bool within_limits(const struct arg *arg, const char *label, double number, const struct value *value, pil_status *status)
{
    if (!arg_has_limits(arg) || (number >= arg->low && number <= arg->high))
        return true;
    char limits[112];
    arg_print_limits(limits, arg);
    return value_fail(value, status, "%s must be %s, not %s", label, limits, value_shown(value->text).text);
}

static bool read_int(const struct arg *arg, const char *label, const struct value *value, int64_t *out, pil_status *status)
{
    static const char wanted[] = "an integer";
    int64_t number;
    if (!must_be_plain(label, wanted, value, status))
        return false;
    if (!parse_int64(value->text, &number))
        return not_wanted(label, wanted, value, status);
    if (!within_limits(arg, label, (double)number, value, status))
        return false;
    *out = number;
    return true;
}

/* YAML writes .inf and .nan, other programs inf and nan: both are read. A number beyond the type's range is refused. */
static bool read_number(const struct arg *arg, const char *label, const struct value *value, bool narrow, double *out,
                        pil_status *status)
{
    static const char wanted[] = "a number";
    if (!must_be_plain(label, wanted, value, status))
        return false;
    struct slice text = value->text;
    size_t sign = text.data[0] == '-' || text.data[0] == '+';
    bool dotted = text.size > sign + 1 && text.data[sign] == '.' && (text.data[sign + 1] | 0x20) >= 'a';
    double number = 0;
    float near = 0;
    bool parsed;
    if (dotted)
        text = slice_of(text.data + sign + 1, text.size - sign - 1);
    parsed = narrow ? parse_float(text, &near) : parse_double(text, &number);
    if (narrow)
        number = (double)near;
    if (!parsed)
        return not_wanted(label, wanted, value, status);
    if (isinf(number) && memchr(text.data, 'f', text.size) == NULL && memchr(text.data, 'F', text.size) == NULL)
        return value_fail(value, status, "%s: %s is too large for a %s", label, value_shown(text).text,
                          narrow ? "float32" : "double");
    if (dotted && value->text.data[0] == '-')
        number = -number;
    if (!within_limits(arg, label, number, value, status))
        return false;
    *out = number;
    return true;
}

static const char *read_text(const char *label, const struct value *value, struct args_reader *reader, pil_status *status)
{
    if (!must_be_scalar(label, "a text", value, status))
        return NULL;
    if (value->text.size > 0 && memchr(value->text.data, '\0', value->text.size) != NULL) {
        value_fail(value, status, "%s contains a zero byte", label);
        return NULL;
    }
    return arena_text(reader->arena, value->text.data, value->text.size, status);
}

/* True for what needs no quotes anywhere: not null, no number, no YAML word, no special character. */
static bool is_plain_word(const char *text)
{
    static const char *const words[] = { "null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan" };
    if (text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-")] != '\0')
        return false;
    if (strchr("0123456789.+-", text[0]) != NULL) /* the empty text as well */
        return false;
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        size_t at = 0;
        while (text[at] != '\0' && (text[at] | 0x20) == words[i][at])
            at++;
        if (text[at] == '\0' && words[i][at] == '\0')
            return false;
    }
    return true;
}

static void print_quoted(const char *text, struct text *out)
{
    text_json_string(out, slice_text(text)); /* JSON's strings are YAML's too */
}

/* ---- the types: one value ------------------------------------------------------------------------------------ */

static bool parse_bool_arg(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                           pil_status *status)
{
    static const char wanted[] = "true or false";
    bool flag;
    (void)reader;
    if (!must_be_plain(arg->name, wanted, value, status))
        return false;
    if (!parse_bool(value->text, &flag))
        return not_wanted(arg->name, wanted, value, status);
    *(bool *)field = flag;
    return true;
}

static void print_bool_arg(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    text_append_text(out, *(const bool *)field ? "true" : "false");
}

static bool parse_int_arg(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                          pil_status *status)
{
    (void)reader;
    return read_int(arg, arg->name, value, field, status);
}

static void print_int_arg(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    text_format(out, "%lld", (long long)*(const int64_t *)field);
}

static bool parse_float_arg(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                            pil_status *status)
{
    double number;
    (void)reader;
    if (!read_number(arg, arg->name, value, true, &number, status))
        return false;
    *(float *)field = (float)number;
    return true;
}

static void print_float_arg(const struct arg *arg, const void *field, struct text *out)
{
    char number[32];
    (void)arg;
    text_append(out, number, print_float(number, *(const float *)field));
}

static void json_float_arg(const struct arg *arg, const void *field, struct text *out)
{
    if (isfinite(*(const float *)field))
        print_float_arg(arg, field, out);
    else
        text_append_text(out, "null"); /* JSON has no such number */
}

static bool parse_double_arg(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                             pil_status *status)
{
    (void)reader;
    return read_number(arg, arg->name, value, false, field, status);
}

static void print_double_arg(const struct arg *arg, const void *field, struct text *out)
{
    char number[40];
    (void)arg;
    text_append(out, number, print_double(number, *(const double *)field));
}

static void json_double_arg(const struct arg *arg, const void *field, struct text *out)
{
    if (isfinite(*(const double *)field))
        print_double_arg(arg, field, out);
    else
        text_append_text(out, "null");
}

static bool parse_text_arg(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                           pil_status *status)
{
    const char *text = NULL;
    if (!value_is_null(value) && (text = read_text(arg->name, value, reader, status)) == NULL)
        return false;
    *(const char **)field = text;
    return true;
}

static void print_text_arg(const struct arg *arg, const void *field, struct text *out)
{
    const char *text = *(const char *const *)field;
    (void)arg;
    if (text == NULL)
        text_append_text(out, "null");
    else if (is_plain_word(text))
        text_append_text(out, text);
    else
        print_quoted(text, out);
}

static void json_text_arg(const struct arg *arg, const void *field, struct text *out)
{
    const char *text = *(const char *const *)field;
    (void)arg;
    if (text == NULL)
        text_append_text(out, "null");
    else
        print_quoted(text, out);
}

static bool parse_choice_arg(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                             pil_status *status)
{
    const char *const *words = arg->extra;
    size_t count = 0, used = 0;
    char list[300] = "";
    (void)reader;
    for (; words[count] != NULL; count++) {
        if (used < sizeof(list))
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
                                     count == 0                 ? ""
                                     : words[count + 1] != NULL ? ", "
                                                                : " or ",
                                     words[count]);
    }
    if (!must_be_scalar(arg->name, list, value, status))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (slice_is(value->text, words[i])) {
            *(int *)field = (int)i;
            return true;
        }
    }
    struct value_shown word = value_shown(value->text);
    const char *nearest = nearest_word(word.text, words, count);
    if (nearest != NULL)
        return value_fail(value, status, "%s takes %s, not '%s'; did you mean '%s'?", arg->name, list, word.text, nearest);
    return not_wanted(arg->name, list, value, status);
}

static const char *choice_word(const struct arg *arg, const void *field)
{
    const char *const *words = arg->extra;
    int wanted = *(const int *)field;
    for (int i = 0; i <= wanted; i++) {
        if (words[i] == NULL)
            return "null";
        if (i == wanted)
            return words[i];
    }
    return "null";
}

static void print_choice_arg(const struct arg *arg, const void *field, struct text *out)
{
    text_append_text(out, choice_word(arg, field));
}

static void json_choice_arg(const struct arg *arg, const void *field, struct text *out)
{
    print_quoted(choice_word(arg, field), out);
}

const struct arg_type ARG_BOOL = { .name = "true or false",
                                   .schema = "{\"type\":\"boolean\"}",
                                   .parse = parse_bool_arg,
                                   .print = print_bool_arg,
                                   .json = print_bool_arg };
const struct arg_type ARG_INT = {
    .name = "integer", .schema = "{\"type\":\"integer\"}", .parse = parse_int_arg, .print = print_int_arg, .json = print_int_arg
};
const struct arg_type ARG_FLOAT = {
    .name = "float", .schema = "{\"type\":\"number\"}", .parse = parse_float_arg, .print = print_float_arg, .json = json_float_arg
};
const struct arg_type ARG_DOUBLE = { .name = "double",
                                     .schema = "{\"type\":\"number\"}",
                                     .parse = parse_double_arg,
                                     .print = print_double_arg,
                                     .json = json_double_arg };
const struct arg_type ARG_TEXT = { .name = "text",
                                   .schema = "{\"type\":[\"string\",\"number\",\"boolean\",\"null\"]}",
                                   .parse = parse_text_arg,
                                   .print = print_text_arg,
                                   .json = json_text_arg };
const struct arg_type ARG_CHOICE = { .name = "choice",
                                     .schema = "{\"type\":\"string\"}",
                                     .parse = parse_choice_arg,
                                     .print = print_choice_arg,
                                     .json = json_choice_arg };

/* ---- the types: lists ---------------------------------------------------------------------------------------- */

/* Memory for the items of a list. Null is a list that is not there: *items stays NULL with a count of 0. */
static bool open_list(const struct arg *arg, const char *wanted, const struct value *value, size_t item, void *items,
                      struct args_reader *reader, pil_status *status)
{
    void *memory = NULL;
    size_t bytes;
    if (!value_is_null(value)) {
        if (value->kind == VALUE_SCALAR) {
            struct value_shown word = value_shown(value->text);
            value_fail(value, status, "%s takes a list of %s, not the single value '%s'", arg->name, wanted, word.text);
            return status_hint(status, "write it as a list: %s: [%s]", arg->name, word.text);
        }
        if (value->kind != VALUE_LIST)
            return value_fail(value, status, "%s takes a list of %s, not a map", arg->name, wanted);
        if (__builtin_mul_overflow(value->count, item, &bytes))
            return status_no_memory(status, SIZE_MAX);
        if ((memory = arena_alloc(reader->arena, bytes, status)) == NULL)
            return false;
    }
    memcpy(items, &memory, sizeof(memory));
    return true;
}

static bool parse_texts_arg(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                            pil_status *status)
{
    const char **items;
    if (!open_list(arg, "texts", value, sizeof(*items), &items, reader, status))
        return false;
    size_t count = items != NULL ? value->count : 0;
    for (size_t i = 0; i < count; i++) {
        items[i] = read_text(item_label(arg, i).text, value->items[i], reader, status);
        if (items[i] == NULL)
            return false;
    }
    *(struct arg_texts *)field = (struct arg_texts){ items, count, count > 0 && value->items[0]->quoted };
    return true;
}

/* A number that stood without quotes is printed without: a vocabulary of numbers stays one. */
static void print_texts_arg(const struct arg *arg, const void *field, struct text *out)
{
    const struct arg_texts *texts = field;
    double number;
    (void)arg;
    text_append_text(out, texts->items == NULL ? "null" : "[");
    for (size_t i = 0; i < texts->count; i++) {
        bool plain = is_plain_word(texts->items[i]) || parse_double(slice_text(texts->items[i]), &number);
        text_append_text(out, i > 0 ? ", " : "");
        if (plain && !texts->quoted_first)
            text_append_text(out, texts->items[i]);
        else
            print_quoted(texts->items[i], out);
    }
    text_append_text(out, texts->items == NULL ? "" : "]");
}

static void json_texts_arg(const struct arg *arg, const void *field, struct text *out)
{
    const struct arg_texts *texts = field;
    (void)arg;
    text_append_text(out, texts->items == NULL ? "null" : "[");
    for (size_t i = 0; i < texts->count; i++) {
        text_append_text(out, i > 0 ? "," : "");
        print_quoted(texts->items[i], out);
    }
    text_append_text(out, texts->items == NULL ? "" : "]");
}

static bool parse_ints_arg(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                           pil_status *status)
{
    int64_t *items;
    if (!open_list(arg, "integers", value, sizeof(*items), &items, reader, status))
        return false;
    size_t count = items != NULL ? value->count : 0;
    for (size_t i = 0; i < count; i++) {
        if (!read_int(arg, item_label(arg, i).text, value->items[i], &items[i], status))
            return false;
    }
    *(struct arg_ints *)field = (struct arg_ints){ items, count };
    return true;
}

static void print_ints_arg(const struct arg *arg, const void *field, struct text *out)
{
    const struct arg_ints *ints = field;
    (void)arg;
    text_append_text(out, ints->items == NULL ? "null" : "[");
    for (size_t i = 0; i < ints->count; i++)
        text_format(out, "%s%lld", i > 0 ? ", " : "", (long long)ints->items[i]);
    text_append_text(out, ints->items == NULL ? "" : "]");
}

enum { LINSPACE_LIMIT = 1000000 };

/* {linspace: [from, to, count]}: numpy.linspace's arithmetic in double (i * step + from, the last exactly `to`), then
 * float32, as the Python that a model file replaces computed its boundaries. */
static bool parse_linspace(const struct arg *arg, const struct value *map, struct arg_floats *out, struct args_reader *reader,
                           pil_status *status)
{
    const struct value *list = value_get(map, "linspace");
    const struct arg free = { .name = arg->name }; /* the limits are for the results */
    double from, to;
    int64_t count;
    if (list == NULL || map->count != 1 || list->kind != VALUE_LIST || list->count != 3)
        return value_fail(map, status, "%s takes a list of numbers or {linspace: [from, to, count]}", arg->name);
    if (!read_number(&free, "linspace's first item", list->items[0], false, &from, status) ||
        !read_number(&free, "linspace's second item", list->items[1], false, &to, status) ||
        !read_int(&free, "linspace's third item", list->items[2], &count, status))
        return false;
    if (count < 1 || count > LINSPACE_LIMIT)
        return value_fail(list->items[2], status, "linspace's count must be from 1 to 1000000, not %lld", (long long)count);
    if (!isfinite(from) || !isfinite(to))
        return value_fail(list, status, "linspace takes finite numbers");
    float *items = arena_alloc(reader->arena, (size_t)count * sizeof(*items), status);
    if (items == NULL)
        return false;
    double parts = (double)(count - 1), step = count > 1 ? (to - from) / parts : 0;
    for (int64_t i = 0; i < count; i++) {
        double offset = step != 0 || count == 1 ? (double)i * step : (double)i / parts * (to - from);
        double number = i == count - 1 && count > 1 ? to : offset + from;
        if (!within_limits(arg, arg->name, number, list->items[0], status))
            return false;
        items[i] = (float)number;
    }
    *out = (struct arg_floats){ items, (size_t)count };
    return true;
}

static bool parse_floats_arg(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                             pil_status *status)
{
    float *items;
    double number;
    if (value->kind == VALUE_MAP)
        return parse_linspace(arg, value, field, reader, status);
    if (!open_list(arg, "numbers", value, sizeof(*items), &items, reader, status))
        return false;
    size_t count = items != NULL ? value->count : 0;
    for (size_t i = 0; i < count; i++) {
        if (!read_number(arg, item_label(arg, i).text, value->items[i], true, &number, status))
            return false;
        items[i] = (float)number;
    }
    *(struct arg_floats *)field = (struct arg_floats){ items, count };
    return true;
}

static void print_floats(const struct arg_floats *floats, bool json, struct text *out)
{
    text_append_text(out, floats->items == NULL ? "null" : "[");
    for (size_t i = 0; i < floats->count; i++) {
        text_append_text(out, i == 0 ? "" : json ? "," : ", ");
        (json ? json_float_arg : print_float_arg)(NULL, &floats->items[i], out);
    }
    text_append_text(out, floats->items == NULL ? "" : "]");
}

static void print_floats_arg(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    print_floats(field, false, out);
}

static void json_floats_arg(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    print_floats(field, true, out);
}

const struct arg_type ARG_TEXTS = {
    .name = "list of texts",
    .schema = "{\"type\":[\"array\",\"null\"],\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]}}",
    .parse = parse_texts_arg,
    .print = print_texts_arg,
    .json = json_texts_arg,
};
const struct arg_type ARG_INTS = {
    .name = "list of integers",
    .schema = "{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"integer\"}}",
    .parse = parse_ints_arg,
    .print = print_ints_arg,
    .json = print_ints_arg,
};
const struct arg_type ARG_FLOATS = {
    .name = "list of floats",
    .schema = "{\"anyOf\":[{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"number\"}},"
              "{\"type\":\"object\",\"properties\":{\"linspace\":{\"type\":\"array\",\"items\":{\"type\":\"number\"},"
              "\"minItems\":3,\"maxItems\":3}},\"required\":[\"linspace\"],\"additionalProperties\":false}]}",
    .parse = parse_floats_arg,
    .print = print_floats_arg,
    .json = json_floats_arg,
};
