/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A column program that was saved (save.c), read. Its columns are made by the functions of a model file's, of the same arguments;
 * so every check of theirs is made again, and nothing that the file says is believed.
 */
#include <string.h>

#include "column/program.h"

static const char *const field_types[] = { [FIELD_STRING] = "string", [FIELD_INT64] = "int64", [FIELD_FLOAT] = "float32", NULL };

struct record { /* what any of them has */
    int64_t version, max_values_per_row, width, first;
    bool tf_dense;
    int type;
    const char *separator, *weight_separator, *field;
    const struct value *name, *kind, *column, *args;
};
#define MEMBER(member) .name = #member, .offset = offsetof(struct record, member), .required = true
static const struct arg columns_members[] = { { MEMBER(version), .type = &ARG_INT },
                                              { MEMBER(max_values_per_row), .type = &ARG_INT, .low = 1, .high = INT32_MAX },
                                              { MEMBER(tf_dense), .type = &ARG_BOOL } };
static const struct arg field_members[] = { { MEMBER(name), .type = &ARG_VALUE },
                                            { MEMBER(type), .type = &ARG_CHOICE, .extra = field_types },
                                            { MEMBER(separator), .type = &ARG_TEXT },
                                            { MEMBER(weight_separator), .type = &ARG_TEXT } };
static const struct arg column_members[] = { { MEMBER(name), .type = &ARG_VALUE },
                                             { MEMBER(kind), .type = &ARG_VALUE },
                                             { MEMBER(args), .type = &ARG_VALUE } };
static const struct arg feature_members[] = { { MEMBER(column), .type = &ARG_VALUE } };
static const struct arg numbers_members[] = { { MEMBER(column), .type = &ARG_VALUE }, { MEMBER(first), .type = &ARG_INT } };
static const struct arg dense_members[] = { { MEMBER(field), .type = &ARG_TEXT },
                                            { MEMBER(width), .type = &ARG_INT },
                                            { MEMBER(first), .type = &ARG_INT } };
static const struct arg end_members[] = { { MEMBER(width), .type = &ARG_INT } };

struct load {
    struct flow_reader *reader;
    const struct program_assets *assets;
    const char *folder;
    struct program_file *file;
    size_t item_capacity, key_capacity;
    bool ended;
    pil_status *status;
};

static bool fail(const struct load *load, const char *what)
{
    return flow_fail(load->reader, load->status, what);
}

static bool load_columns(struct load *load, const struct record *record)
{
    struct program_options options = { .max_values_per_row = record->max_values_per_row, .tf_dense = record->tf_dense };

    if (record->version != PROGRAM_VERSION) {
        status_fail(load->status, PIL_UNSUPPORTED, "%s:%d: columns of version %lld; this library reads version %d",
                    load->reader->file, load->reader->line, (long long)record->version, PROGRAM_VERSION);
        return status_hint(load->status, "they were written by a newer version: update the library");
    }
    load->file->program = program_new(&options, load->status);
    return load->file->program != NULL;
}

static bool separator_of(const struct load *load, const char *text, char *out)
{
    *out = text[0];
    return text[0] == '\0' || text[1] == '\0' || fail(load, "a separator is one character");
}

static bool load_field(struct load *load, const struct record *record)
{
    struct field_spec spec = { .type = (enum field_type)record->type };

    if (record->name->kind != VALUE_SCALAR)
        return fail(load, "a field has no name");
    spec.name = record->name->text.data;
    return separator_of(load, record->separator, &spec.separator) &&
           separator_of(load, record->weight_separator, &spec.weight_separator) &&
           program_field(load->file->program, &spec, load->status);
}

/* A file of words lies beside the graph and nowhere else, whatever the text says. */
static bool check_path(const struct load *load, const struct value *path)
{
    static const char folder[] = "assets/";
    struct slice text = path->text;

    if (path->kind != VALUE_SCALAR || text.size < sizeof folder || memcmp(text.data, folder, sizeof folder - 1) != 0 ||
        text.data[sizeof folder - 1] == '.' || memchr(text.data + sizeof folder - 1, '/', text.size - sizeof folder + 1) ||
        strlen(text.data) != text.size)
        return fail(load, "a vocabulary_file is no file of the folder assets");
    return !load->assets || load->assets->check(load->assets->context, text.data, load->status);
}

static bool check_paths(const struct load *load, const struct record *record)
{
    const struct column_row *row = record->kind->kind == VALUE_SCALAR ? column_find(record->kind->text.data) : NULL;
    const struct value *path;

    for (size_t i = 0; row && i < row->args->arg_count; i++)
        if (row->args->args[i].type == &COLUMN_ARG_PATH && (path = value_get(record->args, row->args->args[i].name)) != NULL &&
            !value_is_null(path) && !check_path(load, path))
            return false;
    return true;
}

/* As an entry of a model file: name: {kind: args}. */
static bool load_column(struct load *load, const struct record *record)
{
    struct value *entry = arena_alloc(load->file->arena, sizeof *entry, load->status);
    struct value **one = arena_alloc(load->file->arena, 2 * sizeof *one, load->status);
    struct value *map = &load->file->map;

    if (!entry || !one || !check_paths(load, record) ||
        !mem_grow(&map->items, &load->item_capacity, map->count + 1, sizeof *map->items, load->status) ||
        !mem_grow(&map->keys, &load->key_capacity, map->count + 1, sizeof *map->keys, load->status))
        return false;
    if (record->name->kind != VALUE_SCALAR || record->kind->kind != VALUE_SCALAR || record->args->kind != VALUE_MAP)
        return fail(load, "a column has a name, a kind and a map of arguments");
    one[0] = (struct value *)record->kind;
    one[1] = (struct value *)record->args;
    *entry = (struct value){ .kind = VALUE_MAP,
                             .file = load->reader->file,
                             .line = load->reader->line,
                             .column = 1,
                             .count = 1,
                             .keys = &one[0],
                             .items = &one[1] };
    for (size_t i = 0; i < map->count; i++)
        if (slice_equal(map->keys[i]->text, record->name->text))
            return fail(load, "a column of this name is there already");
    map->keys[map->count] = (struct value *)record->name;
    map->items[map->count++] = entry;
    return true;
}

/* The columns are made once all are known, since they may stand in any order. */
static struct pil_column *column_of(struct load *load, const struct value *name)
{
    if (name->kind != VALUE_SCALAR) {
        fail(load, "a column is missing");
        return NULL;
    }
    if (!load->file->columns)
        load->file->columns = column_set_new(&load->file->map, load->folder, load->status);
    return load->file->columns ? column_set_get(load->file->columns, name->text, name, load->status) : NULL;
}

static bool load_feature(struct load *load, const struct record *record)
{
    struct pil_column *column = column_of(load, record->column);

    return column && program_feature(load->file->program, column, load->status) >= 0;
}

/* Leaves the numbers before `first` to nobody. */
static bool skip_to(struct load *load, int64_t first)
{
    if (first < load->file->program->number_width || first > INT32_MAX)
        return fail(load, "numbers stand in each other's place");
    load->file->program->number_width = first;
    return true;
}

static bool load_numbers(struct load *load, const struct record *record)
{
    struct pil_column *column = column_of(load, record->column);

    return column && skip_to(load, record->first) && program_numbers(load->file->program, column, load->status) >= 0;
}

static bool load_dense(struct load *load, const struct record *record)
{
    return skip_to(load, record->first) && program_dense(load->file->program, record->field, record->width, load->status) >= 0;
}

static bool load_end(struct load *load, const struct record *record)
{
    load->ended = true;
    return skip_to(load, record->width) && program_finish(load->file->program, load->status);
}

#define KIND(word)                                                                                                               \
    {                                                                                                                            \
        { .name = #word, .args = word##_members, .arg_count = COUNT_OF(word##_members), .size = sizeof(struct record) },         \
            load_##word                                                                                                          \
    }
static const struct kind {
    struct arg_table table;
    bool (*load)(struct load *load, const struct record *record);
} kinds[] = { KIND(columns), KIND(field), KIND(column), KIND(feature), KIND(numbers), KIND(dense), KIND(end) };
enum { COLUMN_KIND = 2 };

static bool load_record(struct load *load, struct slice word, const struct value *value)
{
    struct args_reader reader = { .arena = load->file->arena };
    struct record record;
    size_t k = 0;

    while (k < COUNT_OF(kinds) && !slice_is(word, kinds[k].table.name))
        k++;
    if (k == COUNT_OF(kinds) || (k == 0) == (load->file->program != NULL) || (k == COLUMN_KIND && load->file->columns))
        return fail(load, load->file->program ? "such a record does not stand here" : "columns should begin here");
    if (value->kind != VALUE_MAP)
        return fail(load, "a map should stand here");
    return args_parse(&kinds[k].table, value, &record, &reader, load->status) && kinds[k].load(load, &record);
}

bool program_load(struct flow_reader *reader, const char *folder, const struct program_assets *assets, struct program_file *out,
                  pil_status *status)
{
    struct load load = { .reader = reader, .assets = assets, .folder = folder, .file = out, .status = status };
    struct slice word;
    struct value *value;

    *out = (struct program_file){ .arena = arena_new(status), .map = { .kind = VALUE_MAP, .file = reader->file } };
    while (out->arena && status_ok(status) && !load.ended) {
        if (flow_next(reader, &word, &value, out->arena, status))
            load_record(&load, word, value);
        else if (status_ok(status))
            fail(&load, "the columns have no end");
    }
    if (status_ok(status))
        return true;
    if (status->code == PIL_INVALID_ARGUMENT) /* whoever reads the file has not written it */
        status->code = PIL_BAD_DATA;
    program_file_free(out);
    return false;
}

void program_file_free(struct program_file *file)
{
    program_free(file->program);
    column_set_free(file->columns);
    mem_free(file->map.items);
    mem_free(file->map.keys);
    arena_free(file->arena);
    *file = (struct program_file){ 0 };
}
