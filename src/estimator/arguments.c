/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types of arguments that only the model file has. Null has a meaning in most places of TensorFlow's signatures (no limit, not
 * asked for), so numbers that may be null name what null stands for; paths start at the file's folder; and what the CSV reader
 * takes as characters and flags stands here as users write it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "estimator/modelfile.h"

bool value_unsupported(const struct value *at, pil_status *status, const char *format, ...)
{
    char text[PIL_MESSAGE_SIZE / 2];
    va_list arguments;

    if (!status_ok(status))
        return false;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    value_fail(at, status, "%s", text);
    status->code = PIL_UNSUPPORTED;
    return false;
}

/* ---- raw ----------------------------------------------------------------------------------------------------- */

static bool parse_raw(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                      pil_status *status)
{
    (void)arg, (void)reader, (void)status;
    *(const struct value **)field = value_is_null(value) ? NULL : value;
    return true;
}

static void print_null(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg, (void)field;
    text_append_text(out, "null");
}

const struct arg_type FILE_ARG_RAW = { .name = "section", .schema = "{}", .parse = parse_raw, .print = print_null };

/* ---- numbers that may be null -------------------------------------------------------------------------------- */

static bool parse_int(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                      pil_status *status)
{
    if (!value_is_null(value))
        return ARG_INT.parse(arg, value, field, reader, status);
    *(int64_t *)field = *(const int64_t *)arg->extra;
    return true;
}

static void print_int(const struct arg *arg, const void *field, struct text *out)
{
    if (*(const int64_t *)field == *(const int64_t *)arg->extra)
        print_null(arg, field, out);
    else
        ARG_INT.print(arg, field, out);
}

static bool parse_double_arg(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                             pil_status *status)
{
    if (!value_is_null(value))
        return ARG_DOUBLE.parse(arg, value, field, reader, status);
    *(double *)field = *(const double *)arg->extra;
    return true;
}

static void print_double_arg(const struct arg *arg, const void *field, struct text *out)
{
    if (*(const double *)field == *(const double *)arg->extra)
        print_null(arg, field, out);
    else
        ARG_DOUBLE.print(arg, field, out);
}

static bool parse_float_arg(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                            pil_status *status)
{
    *(float *)field = 0;
    return value_is_null(value) || ARG_FLOAT.parse(arg, value, field, reader, status);
}

static void print_float_arg(const struct arg *arg, const void *field, struct text *out)
{
    if (*(const float *)field == 0)
        print_null(arg, field, out);
    else
        ARG_FLOAT.print(arg, field, out);
}

const struct arg_type FILE_ARG_INT = { .name = "integer or null",
                                       .schema = "{\"type\":[\"integer\",\"null\"]}",
                                       .parse = parse_int,
                                       .print = print_int,
                                       .json = print_int };
const struct arg_type FILE_ARG_DOUBLE = { .name = "number or null",
                                          .schema = "{\"type\":[\"number\",\"null\"]}",
                                          .parse = parse_double_arg,
                                          .print = print_double_arg,
                                          .json = print_double_arg };
const struct arg_type FILE_ARG_FLOAT = { .name = "number or null",
                                         .schema = "{\"type\":[\"number\",\"null\"]}",
                                         .parse = parse_float_arg,
                                         .print = print_float_arg,
                                         .json = print_float_arg };

/* ---- paths --------------------------------------------------------------------------------------------------- */

/* "-" is standard input. */
static const char *join_path(const struct arg *arg, const struct value *value, struct args_reader *reader, pil_status *status)
{
    const struct model *model = reader->context;
    const char *path = NULL;

    if (!ARG_TEXT.parse(arg, value, &path, reader, status))
        return NULL;
    if (!path || !*path) {
        value_fail(value, status, "%s takes the path of a file, not an empty text", arg->name);
        return NULL;
    }
    return strcmp(path, "-") == 0 ? path : path_join(reader->arena, model->folder, path, status);
}

static bool parse_path(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                       pil_status *status)
{
    const char *path = NULL;

    if (!value_is_null(value) && !(path = join_path(arg, value, reader, status)))
        return false;
    *(const char **)field = path;
    return true;
}

static bool parse_paths(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                        pil_status *status)
{
    bool one = value->kind == VALUE_SCALAR;
    size_t count = one ? 1 : value->count;
    const char **paths;

    *(struct arg_texts *)field = (struct arg_texts){ 0 };
    if (value_is_null(value))
        return true;
    if (value->kind == VALUE_MAP)
        return value_fail(value, status, "%s takes a path, a glob or a list of them, not a map", arg->name);
    if (count == 0)
        return value_fail(value, status, "%s is an empty list: name a file", arg->name);
    if (!(paths = arena_alloc(reader->arena, count * sizeof *paths, status)))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!(paths[i] = join_path(arg, one ? value : value->items[i], reader, status)))
            return false;
    *(struct arg_texts *)field = (struct arg_texts){ paths, count, false };
    return true;
}

static void print_text(const struct arg *arg, const void *field, struct text *out)
{
    ARG_TEXT.print(arg, field, out);
}

static void print_texts(const struct arg *arg, const void *field, struct text *out)
{
    ARG_TEXTS.print(arg, field, out);
}

const struct arg_type FILE_ARG_PATH = {
    .name = "path", .schema = "{\"type\":[\"string\",\"null\"]}", .parse = parse_path, .print = print_text, .json = print_null
};
const struct arg_type FILE_ARG_PATHS = {
    .name = "path, glob or list of them",
    .schema = "{\"type\":[\"string\",\"array\",\"null\"],\"items\":{\"type\":\"string\"},\"minItems\":1}",
    .parse = parse_paths,
    .print = print_texts,
    .json = print_null,
};

/* ---- input's own --------------------------------------------------------------------------------------------- */

static bool parse_shuffle(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                          pil_status *status)
{
    bool flag;

    if (value->kind != VALUE_SCALAR || value->quoted || !parse_bool(value->text, &flag)) {
        int64_t rows;
        if (value->kind == VALUE_SCALAR && !value->quoted && !parse_int64(value->text, &rows))
            return value_fail(value, status, "%s takes true, false or a number of rows, not '%.64s'", arg->name,
                              value->text.data);
        return ARG_INT.parse(arg, value, field, reader, status);
    }
    *(int64_t *)field = flag ? -1 : 0;
    return true;
}

static void print_shuffle(const struct arg *arg, const void *field, struct text *out)
{
    int64_t rows = *(const int64_t *)field;

    if (rows > 0)
        ARG_INT.print(arg, field, out);
    else
        text_append_text(out, rows < 0 ? "true" : "false");
}

const struct arg_type FILE_ARG_SHUFFLE = {
    .name = "true, false or rows",
    .schema = "{\"type\":[\"boolean\",\"integer\"],\"minimum\":0}",
    .parse = parse_shuffle,
    .print = print_shuffle,
    .json = print_shuffle,
};

/* One byte that no CSV cell needs for something else. `\t` may be written without the quotes that make it a tab. */
static bool parse_character(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                            pil_status *status)
{
    const char *text = NULL;
    char character;

    if (!ARG_TEXT.parse(arg, value, &text, reader, status))
        return false;
    *(char *)field = '\0';
    if (!text)
        return true;
    character = strcmp(text, "\\t") == 0 ? '\t' : text[0];
    if ((strlen(text) != 1 && character != '\t') || (unsigned char)character >= 0x80)
        return value_fail(value, status, "%s takes one ASCII character, not '%.64s'", arg->name, text);
    if (strchr("\"\r\n", character))
        return value_fail(value, status, "%s cannot be a quote or the end of a line", arg->name);
    *(char *)field = character;
    return true;
}

static void print_character(const struct arg *arg, const void *field, struct text *out)
{
    const char text[2] = { *(const char *)field, '\0' }, *pointer = text;

    ARG_TEXT.json(arg, *text ? &pointer : &(const char *){ NULL }, out);
}

const struct arg_type FILE_ARG_CHARACTER = {
    .name = "character",
    .schema = "{\"type\":[\"string\",\"null\"],\"minLength\":1,\"maxLength\":2}",
    .parse = parse_character,
    .print = print_character,
    .json = print_character,
};

/* A flag of two words. */
static bool parse_word(const struct arg *arg, const struct value *value, const char *const *words, bool *field,
                       struct args_reader *reader, pil_status *status)
{
    struct arg choice = { .name = arg->name, .extra = words };
    int number = 0;

    if (!ARG_CHOICE.parse(&choice, value, &number, reader, status))
        return false;
    *field = number == 1;
    return true;
}

static bool parse_on_error(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                           pil_status *status)
{
    static const char *const words[] = { "stop", "skip", NULL };

    return parse_word(arg, value, words, field, reader, status);
}

static void print_on_error(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    text_append_text(out, *(const bool *)field ? "skip" : "stop");
}

static void json_on_error(const struct arg *arg, const void *field, struct text *out)
{
    text_append_text(out, "\"");
    print_on_error(arg, field, out);
    text_append_text(out, "\"");
}

const struct arg_type FILE_ARG_ON_ERROR = {
    .name = "stop or skip",
    .schema = "{\"enum\":[\"stop\",\"skip\"]}",
    .parse = parse_on_error,
    .print = print_on_error,
    .json = json_on_error,
};

static bool parse_compat(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                         pil_status *status)
{
    static const char *const words[] = { "null", "tf_dense", NULL };

    *(bool *)field = false;
    return value_is_null(value) || parse_word(arg, value, words, field, reader, status);
}

static void print_compat(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    text_append_text(out, *(const bool *)field ? "tf_dense" : "null");
}

const struct arg_type FILE_ARG_COMPAT = { .name = "tf_dense or null",
                                          .schema = "{\"enum\":[\"tf_dense\",null]}",
                                          .parse = parse_compat,
                                          .print = print_compat,
                                          .json = print_compat };

static bool parse_by(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                     pil_status *status)
{
    const char *name = NULL;

    if (!ARG_TEXT.parse(arg, value, &name, reader, status))
        return false;
    *(const char **)field = name && strcmp(name, "hash") != 0 ? name : NULL;
    return true;
}

static void print_by(const struct arg *arg, const void *field, struct text *out)
{
    const char *name = *(const char *const *)field;

    ARG_TEXT.print(arg, name ? &name : &(const char *){ "hash" }, out);
}

static void json_by(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg, (void)field;
    text_append_text(out, "\"hash\"");
}

const struct arg_type FILE_ARG_BY = {
    .name = "hash or a field", .schema = "{\"type\":\"string\"}", .parse = parse_by, .print = print_by, .json = json_by
};

static bool parse_names(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                        pil_status *status)
{
    struct csv_options *csv = field;
    struct arg_texts names;
    struct map *seen;

    if (!ARG_TEXTS.parse(arg, value, &names, reader, status))
        return false;
    if (names.items && names.count == 0)
        return value_fail(value, status, "%s is an empty list: name the columns of the file", arg->name);
    if (!(seen = map_new(status)))
        return false;
    for (size_t i = 0; i < names.count && status_ok(status); i++) {
        bool added = true;
        map_intern(seen, slice_text(names.items[i]), &added, status);
        if (!added)
            value_fail(value->items[i], status, "%s has '%.80s' twice", arg->name, names.items[i]);
    }
    map_free(seen);
    if (!status_ok(status))
        return false;
    csv->names = names.items;
    csv->name_count = names.count;
    return true;
}

static void print_names(const struct arg *arg, const void *field, struct text *out)
{
    const struct csv_options *csv = field;

    ARG_TEXTS.print(arg, &(struct arg_texts){ csv->names, csv->name_count, false }, out);
}

const struct arg_type FILE_ARG_NAMES = {
    .name = "list of texts",
    .schema = "{\"type\":[\"array\",\"null\"],\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]},\"minItems\":1}",
    .parse = parse_names,
    .print = print_names,
    .json = print_null,
};

/* ---- fields: {name: type} or {name: {type, separator, weight_separator}} ---- */

/* The types' names as TensorFlow has them; all integers are int64 here and all numbers float32. */
static const struct {
    const char *name;
    enum field_type type;
} field_types[] = {
    { "string", FIELD_STRING }, { "int64", FIELD_INT64 }, { "float32", FIELD_FLOAT }, { "int32", FIELD_INT64 },
    { "int16", FIELD_INT64 },   { "int8", FIELD_INT64 },  { "uint64", FIELD_INT64 },  { "uint32", FIELD_INT64 },
    { "uint16", FIELD_INT64 },  { "uint8", FIELD_INT64 }, { "float64", FIELD_FLOAT }, { "double", FIELD_FLOAT },
    { "float16", FIELD_FLOAT },
};
#define NO_TYPE ((enum field_type)PROGRAM_ANY_TYPE)

static bool parse_type(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                       pil_status *status)
{
    const char *name = NULL, *nearest, *names[COUNT_OF(field_types)];

    *(enum field_type *)field = NO_TYPE;
    if (!ARG_TEXT.parse(arg, value, &name, reader, status) || !name)
        return status_ok(status);
    for (size_t i = 0; i < COUNT_OF(field_types); i++) {
        names[i] = field_types[i].name;
        if (strcmp(name, names[i]) == 0) {
            *(enum field_type *)field = field_types[i].type;
            return true;
        }
    }
    nearest = nearest_word(name, names, COUNT_OF(names));
    if (nearest)
        return value_fail(value, status, "there is no type '%.64s' of a field; did you mean '%s'?", name, nearest);
    return value_fail(value, status, "there is no type '%.64s' of a field: take string, int64 or float32", name);
}

static void print_type(const struct arg *arg, const void *field, struct text *out)
{
    enum field_type type = *(const enum field_type *)field;

    (void)arg;
    text_append_text(out, type == NO_TYPE ? "null" : field_type_name(type));
}

static const struct arg_type TYPE = {
    .name = "string, int64 or float32", .schema = "{\"type\":[\"string\",\"null\"]}", .parse = parse_type, .print = print_type
};
static const struct field_spec field_defaults = { .type = NO_TYPE, .required = true };
static const struct arg field_args[] = {
    { "type", &TYPE, offsetof(struct field_spec, type), "string, int64 or float32; null: it follows from the columns" },
    { "separator", &FILE_ARG_CHARACTER, offsetof(struct field_spec, separator), "between several values in a cell" },
    { "weight_separator", &FILE_ARG_CHARACTER, offsetof(struct field_spec, weight_separator), "between a key and its weight" },
};
static const struct arg_table FIELD_TABLE = {
    .name = "a field",
    .args = field_args,
    .arg_count = COUNT_OF(field_args),
    .defaults = &field_defaults,
    .size = sizeof(struct field_spec),
};

static bool parse_field(const struct value *value, struct field_spec *spec, struct args_reader *reader, pil_status *status)
{
    if (value->kind == VALUE_SCALAR) {
        *spec = field_defaults;
        return parse_type(&field_args[0], value, &spec->type, reader, status);
    }
    if (!args_parse(&FIELD_TABLE, value, spec, reader, status))
        return false;
    if (spec->separator && spec->separator == spec->weight_separator)
        return value_fail(value, status, "separator and weight_separator cannot be the same character");
    return true;
}

static bool parse_fields(const struct arg *arg, const struct value *map, void *section, struct args_reader *reader,
                         pil_status *status)
{
    struct input_section *input = section;
    struct field_spec *specs;

    input->fields = NULL;
    input->field_count = 0;
    if (value_is_null(map))
        return true;
    if (map->kind != VALUE_MAP)
        return value_fail(map, status, "%s is a map from names to types: {hourofday: int64}", arg->name);
    if (!(specs = arena_alloc(reader->arena, MAX(map->count, 1) * sizeof *specs, status)))
        return false;
    for (size_t i = 0; i < map->count; i++) {
        if (!parse_field(map->items[i], &specs[i], reader, status))
            return false;
        specs[i].name = map->keys[i]->text.data;
    }
    input->fields = specs;
    input->field_count = map->count;
    return true;
}

static void print_fields(const struct arg *arg, const void *section, struct text *out)
{
    const struct input_section *input = section;

    (void)arg;
    text_append_text(out, "{");
    for (size_t i = 0; i < input->field_count; i++) {
        text_append_text(out, i > 0 ? ", " : "");
        ARG_TEXT.print(NULL, &input->fields[i].name, out);
        text_append_text(out, ": ");
        args_print(&FIELD_TABLE, &input->fields[i], out);
    }
    text_append_text(out, "}");
}

static void json_fields(const struct arg *arg, const void *section, struct text *out)
{
    (void)arg, (void)section;
    text_append_text(out, "{}");
}

const struct arg_type FILE_ARG_FIELDS = {
    .name = "map from fields to types",
    .schema = "{\"type\":[\"object\",\"null\"],\"additionalProperties\":{\"anyOf\":[{\"type\":[\"string\",\"null\"]},"
              "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"type\":{\"type\":[\"string\",\"null\"]},"
              "\"separator\":{\"type\":[\"string\",\"null\"]},\"weight_separator\":{\"type\":[\"string\",\"null\"]}}}]}}",
    .parse = parse_fields,
    .print = print_fields,
    .json = json_fields,
};
