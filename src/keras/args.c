/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of layers: how a value of a model file becomes a regularizer, a constraint, a row's shape, and back. */
#include <string.h>

#include "keras/args.h"

/* ---- small values ---- */

pil_regularizer pil_l1(float l1)
{
    return (pil_regularizer){ l1, 0 };
}

pil_regularizer pil_l2(float l2)
{
    return (pil_regularizer){ 0, l2 };
}

pil_regularizer pil_l1_l2(float l1, float l2)
{
    return (pil_regularizer){ l1, l2 };
}

/* "there is no WHAT 'x'; did you mean 'y'?" */
static bool no_such(const struct value *at, const char *what, const char *const *words, pil_status *status)
{
    size_t count = 0;
    while (words[count])
        count++;
    const char *nearest = nearest_word(at->text.data, words, count);
    return nearest ? value_fail(at, status, "there is no %s '%s'; did you mean '%s'?", what, at->text.data, nearest)
                   : value_fail(at, status, "there is no %s '%s'", what, at->text.data);
}

static int word_number(struct slice text, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (slice_is(text, words[i]))
            return i;
    return -1;
}

static void print_word(const char *word, struct text *out)
{
    if (word)
        text_json_string(out, slice_text(word));
    else
        text_append_text(out, "null");
}

/* ---- words ---- */

static bool activation_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                             pil_status *status)
{
    if (!value_is_null(value))
        return ARG_TEXT.parse(arg, value, field, reader, status);
    *(const char **)field = NULL;
    return true;
}

static void word_print(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    print_word(*(const char *const *)field, out);
}

const struct arg_type KERAS_ARG_ACTIVATION = { "activation", "{\"type\":[\"string\",\"null\"]}", activation_parse, word_print,
                                               word_print };

static bool word_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                       pil_status *status)
{
    if (value_is_null(value)) {
        *(const char **)field = NULL;
        return true;
    }
    if (!ARG_TEXT.parse(arg, value, field, reader, status))
        return false;
    return word_number(value->text, arg->extra) >= 0 || no_such(value, arg->name, arg->extra, status);
}

const struct arg_type KERAS_ARG_WORD = { "word", "{\"type\":[\"string\",\"null\"]}", word_parse, word_print, word_print };

/* ---- a name, or one with numbers ---- */

/* {max_norm: {max_value: 2}}, {l2: 0.01} or "l2": the word's number, and what it is given (NULL: nothing). */
static int read_kind(const char *what, const char *const *words, const struct value *value, const struct value **given,
                     pil_status *status)
{
    const struct value *name = value->kind == VALUE_MAP && value->count == 1 ? value->keys[0] : value;
    *given = name == value ? NULL : value->items[0];
    if (name->kind != VALUE_SCALAR)
        return value_fail(value, status, "a %s is a name, or one with numbers: {%s: ...}", what, words[0]) ? 0 : -1;
    int number = word_number(name->text, words);
    if (number < 0)
        no_such(name, what, words, status);
    return number;
}

static const pil_regularizer regularizer_defaults = { 0.01f, 0.01f };
static const struct arg regularizer_args[] = {
    { .name = "l1", .type = &ARG_FLOAT, .offset = offsetof(pil_regularizer, l1), .help = "times sum |w|" },
    { .name = "l2", .type = &ARG_FLOAT, .offset = offsetof(pil_regularizer, l2), .help = "times sum w^2" },
};

static bool regularizer_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                              pil_status *status)
{
    static const char *const words[] = { "l2", "l1", "l1_l2", NULL };
    static const struct arg_table both = { "l1_l2", NULL, regularizer_args, 2, &regularizer_defaults, sizeof(pil_regularizer) };
    pil_regularizer *out = field;
    const struct value *given = NULL;
    *out = (pil_regularizer){ 0, 0 };
    (void)arg;
    if (value_is_null(value))
        return true;
    int kind = read_kind("regularizer", words, value, &given, status);
    if (kind < 0)
        return false;
    if (kind == 2)
        return args_parse(&both, given, out, reader, status);
    float *number = kind == 0 ? &out->l2 : &out->l1;
    *number = 0.01f;
    if (!given || value_is_null(given))
        return true;
    if (given->kind == VALUE_MAP) { /* {l2: {l2: 0.01}}, as Keras writes it */
        struct arg_table one = { words[kind], NULL, &regularizer_args[1 - kind], 1, &regularizer_defaults, sizeof *out };
        pil_regularizer read;
        if (!args_parse(&one, given, &read, reader, status))
            return false;
        *number = kind == 0 ? read.l2 : read.l1;
        return true;
    }
    return ARG_FLOAT.parse(&regularizer_args[1 - kind], given, number, reader, status);
}

static void regularizer_print(const struct arg *arg, const void *field, struct text *out)
{
    const pil_regularizer *r = field;
    char l1[32], l2[32];
    (void)arg;
    print_float(l1, r->l1);
    print_float(l2, r->l2);
    if (r->l1 == 0 && r->l2 == 0)
        text_append_text(out, "null");
    else if (r->l1 == 0)
        text_format(out, "{l2: %s}", l2);
    else if (r->l2 == 0)
        text_format(out, "{l1: %s}", l1);
    else
        text_format(out, "{l1_l2: {l1: %s, l2: %s}}", l1, l2);
}

const struct arg_type KERAS_ARG_REGULARIZER = { "regularizer", "{\"type\":[\"string\",\"object\",\"null\"]}", regularizer_parse,
                                                regularizer_print, NULL };

/* The constraints by their numbers in pil_constraint_kind, each with the arguments that it has. */
struct constraint_options {
    float max_value, min_value, rate;
    int64_t axis;
};
static const struct arg constraint_args[] = {
    /* so that each constraint has a run of them */
    { .name = "max_value",
      .type = &ARG_FLOAT,
      .offset = offsetof(struct constraint_options, max_value),
      .help = "length at most" },
    { .name = "axis",
      .type = &ARG_INT,
      .offset = offsetof(struct constraint_options, axis),
      .low = -8,
      .high = 7,
      .help = "along which lengths are taken" },
    { .name = "min_value", .type = &ARG_FLOAT, .offset = offsetof(struct constraint_options, min_value), .help = "and at least" },
    { .name = "rate", .type = &ARG_FLOAT, .offset = offsetof(struct constraint_options, rate), .help = "part of the way there" },
};
static const struct constraint_options max_norm_defaults = { 2, 0, 1, 0 }, min_max_defaults = { 1, 0, 1, 0 };
#define CONSTRAINT(name_, first, count, defaults_)                                                                               \
    {                                                                                                                            \
        .name = name_, .args = &constraint_args[first], .arg_count = count, .defaults = &defaults_,                              \
        .size = sizeof(struct constraint_options)                                                                                \
    }
static const struct arg_table constraint_tables[] = {
    CONSTRAINT("max_norm", 0, 2, max_norm_defaults),
    CONSTRAINT("non_neg", 0, 0, max_norm_defaults),
    CONSTRAINT("unit_norm", 1, 1, max_norm_defaults),
    CONSTRAINT("min_max_norm", 0, 4, min_max_defaults),
};

static bool constraint_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                             pil_status *status)
{
    static const char *const words[] = { "max_norm", "non_neg", "unit_norm", "min_max_norm", NULL };
    pil_constraint *out = field;
    const struct value *given = NULL;
    struct constraint_options read;
    *out = (pil_constraint){ 0 };
    (void)arg;
    if (value_is_null(value))
        return true;
    int kind = read_kind("constraint", words, value, &given, status);
    if (kind < 0 || !args_parse(&constraint_tables[kind], given, &read, reader, status))
        return false;
    *out = (pil_constraint){ (pil_constraint_kind)(kind + 1), read.min_value, read.max_value, read.rate, (int)read.axis };
    return true;
}

static void constraint_print(const struct arg *arg, const void *field, struct text *out)
{
    const pil_constraint *c = field;
    struct constraint_options options = { c->max_value, c->min_value, c->rate, c->axis };
    (void)arg;
    if (c->kind == PIL_CONSTRAINT_NONE) {
        text_append_text(out, "null");
        return;
    }
    const struct arg_table *table = &constraint_tables[c->kind - 1];
    text_format(out, "{%s: ", table->name);
    args_print(table, &options, out);
    text_append_text(out, "}");
}

const struct arg_type KERAS_ARG_CONSTRAINT = { "constraint", "{\"type\":[\"string\",\"object\",\"null\"]}", constraint_parse,
                                               constraint_print, NULL };

/* ---- shapes ---- */

static bool row_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                      pil_status *status)
{
    int64_t *dims = field;
    struct arg_ints list = { 0 };
    struct arg inner = { .name = arg->name, .type = &ARG_INTS };
    memset(dims, 0, PIL_ROW_RANK * sizeof *dims);
    if (value_is_null(value))
        return true;
    if (!ARG_INTS.parse(&inner, value, &list, reader, status))
        return false;
    if (list.count > PIL_ROW_RANK)
        return value_fail(value, status, "%s has at most %d sizes", arg->name, PIL_ROW_RANK);
    for (size_t i = 0; i < list.count; i++) {
        if (list.items[i] == 0 || list.items[i] < -1 || list.items[i] > INT32_MAX)
            return value_fail(value, status, "%s has the size %lld", arg->name, (long long)list.items[i]);
        dims[i] = list.items[i];
    }
    return true;
}

static void row_print(const struct arg *arg, const void *field, struct text *out)
{
    const int64_t *dims = field;
    (void)arg;
    if (dims[0] == 0) {
        text_append_text(out, "null");
        return;
    }
    for (int i = 0; i < PIL_ROW_RANK && dims[i] != 0; i++)
        text_format(out, "%s%lld", i ? ", " : "[", (long long)dims[i]);
    text_append_text(out, "]");
}

const struct arg_type KERAS_ARG_ROW = { "shape", "{\"type\":[\"array\",\"integer\",\"null\"],\"items\":{\"type\":\"integer\"}}",
                                        row_parse, row_print, NULL };

/* ---- columns ---- */

static struct pil_column *find_column(const struct value *name, struct args_reader *reader, pil_status *status)
{
    struct column_set *set = reader->context;
    if (name->kind != VALUE_SCALAR || !set) {
        value_fail(name, status, set ? "a column is named by its key under columns" : "there are no columns to name");
        return NULL;
    }
    return column_set_get(set, name->text, name, status);
}

static bool columns_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                          pil_status *status)
{
    pil_keys *keys = field;
    *keys = (pil_keys){ 0 };
    if (value->kind != VALUE_LIST)
        return value_fail(value, status, "%s takes a list of columns", arg->name);
    pil_column **items = arena_alloc(reader->arena, MAX(value->count, 1) * sizeof *items, status);
    for (size_t i = 0; items && i < value->count; i++)
        if (!(items[i] = find_column(value->items[i], reader, status)))
            return false;
    *keys = (pil_keys){ items, items ? value->count : 0 };
    return items != NULL;
}

static void columns_print(const struct arg *arg, const void *field, struct text *out)
{
    const pil_keys *keys = field;
    (void)arg;
    text_append_text(out, "[");
    for (size_t i = 0; i < keys->count; i++) {
        text_append_text(out, i ? ", " : "");
        print_word(column_key(keys->items[i]), out);
    }
    text_append_text(out, "]");
}

const struct arg_type KERAS_ARG_COLUMNS = { "list of columns", "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
                                            columns_parse, columns_print, NULL };
