/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `columns` section of a model file. Every entry is built, in the order of the file, and one that another names is built
 * first, so entries may stand in any order; one that is named while it is being built closes a cycle.
 *
 * A maker knows its argument but not the file; this file knows where each argument stands, so that an error of either has a
 * place.
 */
#include <string.h>

#include "column/internal.h"

enum state { UNBUILT, BUILDING, BUILT };
struct entry {
    enum state state;
    struct pil_column *column;
    size_t from; /* while building: the entry that named this one; itself at the start */
};
struct column_set {
    const struct value *map; /* NULL: no entries */
    const char *folder;
    struct pil_columns *owner;
    struct entry *entries; /* [map->count] */
    size_t building;       /* the entry being built, or map->count */
};

static size_t set_size(const struct column_set *set)
{
    return set->map ? set->map->count : 0;
}

static size_t set_find(const struct column_set *set, struct slice key)
{
    size_t i = 0;

    while (i < set_size(set) && !slice_equal(set->map->keys[i]->text, key))
        i++;
    return i;
}

/* ---- building an entry --------------------------------------------------------------------------------------- */

/* {kind: {arguments}}, or the kind alone. */
static bool read_kind(const struct value *entry, const struct value *key, const struct value **kind,
                      const struct value **arguments, pil_status *status)
{
    *arguments = NULL;
    *kind = entry;
    if (entry->kind == VALUE_SCALAR)
        return true;
    if (entry->kind != VALUE_MAP || entry->count != 1)
        return value_fail(entry->kind == VALUE_MAP && entry->count > 1 ? entry->keys[1] : key, status,
                          "column '%s' takes one kind with its arguments, such as {numeric_column: {}}", key->text.data);
    *kind = entry->keys[0];
    *arguments = entry->items[0];
    return true;
}

/* "there is no WHAT 'x'", and what was meant, or all there are. */
static void no_such(const char *what, const struct value *name, const char *const *known, size_t count, pil_status *status)
{
    const char *nearest = nearest_word(name->text.data, known, count);
    struct text list = { .limit = 400 };

    if (nearest) {
        value_fail(name, status, "there is no %s '%s'; did you mean '%s'?", what, name->text.data, nearest);
        return;
    }
    value_fail(name, status, "there is no %s '%s'", what, name->text.data);
    for (size_t i = 0; i < count; i++)
        text_format(&list, "%s%s", i > 0 ? ", " : "", known[i]);
    if (!list.failed && count > 0)
        status_hint(status, "there are %s", list.data);
    text_free(&list);
}

static const struct column_row *find_row(const struct value *kind, pil_status *status)
{
    const struct column_row *row = column_find(kind->text.data);
    const char *names[64];
    size_t count = MIN(column_kind_count(), COUNT_OF(names));

    if (row)
        return row;
    for (size_t i = 0; i < count; i++)
        names[i] = column_kind_table(i)->name;
    no_such("kind of column", kind, names, count, status);
    return NULL;
}

/* `key` defaults to the entry's name. */
static void default_key(const struct arg_table *table, const struct value *key, void *options)
{
    for (size_t i = 0; i < table->arg_count; i++)
        if (strcmp(table->args[i].name, "key") == 0) {
            const char **field = (const char **)((char *)options + table->args[i].offset);
            if (!*field)
                *field = key->text.data;
        }
}

/* A maker's error stands in the owner, without a place. */
static bool place_error(const struct column_set *set, const struct value *key, const struct value *arguments, pil_status *status)
{
    const struct value *at = set->owner->wrong_argument && arguments ? value_get(arguments, set->owner->wrong_argument) : NULL;

    if (!status_ok(status))
        return false;
    *status = set->owner->status;
    at = at ? at : key;
    if (status->code != PIL_NO_MEMORY && at->file && at->line > 0)
        status_prefix(status, "%s:%d:%d: ", at->file, at->line, at->column);
    else if (status->code != PIL_NO_MEMORY && at->file)
        status_prefix(status, "%s: ", at->file);
    return false;
}

static struct pil_column *build(struct column_set *set, size_t number, pil_status *status)
{
    const struct value *key = set->map->keys[number], *kind, *arguments;
    struct args_reader reader = { .arena = set->owner->arena, .context = set };
    const struct column_row *row;
    struct pil_column *column;
    void *options;

    if (!read_kind(set->map->items[number], key, &kind, &arguments, status) || !(row = find_row(kind, status)))
        return NULL;
    options = arena_alloc(set->owner->arena, row->args->size, status);
    if (!options || !args_parse(row->args, arguments, options, &reader, status))
        return NULL;
    default_key(row->args, key, options);
    column = row->make(set->owner, options, arguments);
    if (column_is_error(column)) {
        place_error(set, key, arguments, status);
        return NULL;
    }
    column->key = key->text.data;
    return column;
}

/* "a -> b -> a": the way back from the entry being built to the one that is named again. */
static bool fail_cycle(const struct column_set *set, size_t again, const struct value *at, pil_status *status)
{
    struct text way = { .limit = 512 };
    struct text rest = { .limit = 512 };

    text_format(&way, "%s", set->map->keys[again]->text.data);
    for (size_t i = set->building; i != again; i = set->entries[i].from) {
        text_clear(&rest);
        text_append(&rest, way.data, way.size);
        text_clear(&way);
        text_format(&way, "%s -> %s", set->map->keys[i]->text.data, rest.data ? rest.data : "");
    }
    value_fail(at, status, "column '%s' is made of itself: %s -> %s", set->map->keys[again]->text.data,
               set->map->keys[again]->text.data, way.data ? way.data : "...");
    text_free(&way);
    text_free(&rest);
    return false;
}

static struct pil_column *set_build(struct column_set *set, size_t number, const struct value *at, pil_status *status)
{
    struct entry *entry = &set->entries[number];
    size_t before = set->building;

    if (entry->state == BUILDING)
        fail_cycle(set, number, at, status);
    if (entry->state != UNBUILT)
        return entry->column;
    entry->state = BUILDING;
    entry->from = before < set_size(set) ? before : number;
    set->building = number;
    entry->column = build(set, number, status);
    entry->state = BUILT;
    set->building = before;
    return entry->column;
}

/* ---- the set ------------------------------------------------------------------------------------------------- */

struct column_set *column_set_new(const struct value *columns, const char *folder, pil_status *status)
{
    struct column_set *set = NULL;

    if (columns && value_is_null(columns))
        columns = NULL;
    if (columns && columns->kind != VALUE_MAP) {
        value_fail(columns, status, "columns is a map from names to columns");
        return NULL;
    }
    set = mem_new(sizeof *set, status);
    if (!set)
        return NULL;
    set->map = columns;
    set->building = set_size(set);
    set->owner = pil_columns_new();
    *status = status_ok(status) ? pil_columns_status(set->owner) : *status;
    if (!status_ok(status))
        goto failed;
    set->folder = column_copy(set->owner, folder ? folder : "");
    set->entries = arena_alloc(set->owner->arena, MAX(set_size(set), 1) * sizeof *set->entries, status);
    for (size_t i = 0; set->folder && set->entries && i < set_size(set); i++)
        if (!set_build(set, i, columns->keys[i], status))
            break;
    if (status_ok(status) && set->folder)
        return set;
    *status = status_ok(status) ? set->owner->status : *status;
failed:
    column_set_free(set);
    return NULL;
}

struct pil_column *column_set_get(struct column_set *set, struct slice key, const struct value *at, pil_status *status)
{
    size_t number = set_find(set, key), count = 0;
    const char **names;

    if (number < set_size(set))
        return set_build(set, number, at, status);
    names = mem_array(set_size(set) + 1, sizeof *names, status);
    if (!names)
        return NULL;
    for (; count < set_size(set); count++)
        names[count] = set->map->keys[count]->text.data;
    if (at)
        no_such("column", at, names, count, status);
    else
        status_fail(status, PIL_NOT_FOUND, "there is no column '%.*s'", (int)MIN(key.size, 200), key.data);
    mem_free(names);
    return NULL;
}

size_t column_set_count(const struct column_set *set)
{
    return set_size(set);
}

struct pil_column *column_set_at(const struct column_set *set, size_t i)
{
    return set->entries[i].column;
}

struct pil_columns *column_set_columns(struct column_set *set)
{
    return set->owner;
}

void column_set_print(const struct column_set *set, struct text *yaml)
{
    text_format(yaml, set_size(set) > 0 ? "columns:\n" : "columns: {}\n");
    for (size_t i = 0; i < set_size(set); i++) {
        const struct pil_column *column = set->entries[i].column;
        text_format(yaml, "  ");
        ARG_TEXT.print(NULL, &column->key, yaml);
        text_format(yaml, ":\n    %s: ", column->row->name);
        args_print(column->row->args, column->options, yaml);
        text_format(yaml, "\n");
    }
}

void column_set_free(struct column_set *set)
{
    if (!set)
        return;
    pil_columns_free(set->owner);
    mem_free(set);
}

/* ---- argument types ------------------------------------------------------------------------------------------ */

static bool need_name(const struct arg *arg, const struct value *value, pil_status *status)
{
    if (value->kind == VALUE_SCALAR)
        return true;
    return value_fail(value, status, "%s takes the name of a column", arg->name);
}

static bool column_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                         pil_status *status)
{
    struct pil_column *column;

    if (!need_name(arg, value, status))
        return false;
    column = column_set_get(reader->context, value->text, value, status);
    memcpy(field, &column, sizeof column);
    return column != NULL;
}

static void print_name(const struct pil_column *column, struct text *out)
{
    const char *name = column_key(column);

    ARG_TEXT.print(NULL, &name, out);
}

static void column_print(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    print_name(*(struct pil_column *const *)field, out);
}

const struct arg_type COLUMN_ARG_COLUMN = {
    .name = "column", .schema = "{\"type\":\"string\"}", .parse = column_parse, .print = column_print
};

/* A key of a cross. A name that is no entry is a raw field. So is the entry of a hash_bucket column that has its field's name: it
 * may not be crossed, and there is no other way to name the field. */
static struct pil_column *key_of(struct column_set *set, const struct value *name, pil_status *status)
{
    size_t number = set_find(set, name->text);
    struct pil_column *column = NULL;

    if (number < set_size(set)) {
        column = set_build(set, number, name, status);
        if (!column || !column_is_hashed(column) || !slice_is(name->text, column->use.field))
            return column;
    }
    column = pil_key(set->owner, name->text.data);
    if (column_is_error(column)) {
        place_error(set, name, NULL, status);
        return NULL;
    }
    return column;
}

static bool list_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader, bool keys,
                       pil_status *status)
{
    struct column_set *set = reader->context;
    struct pil_column **items;

    if (value->kind != VALUE_LIST)
        return value_fail(value, status, "%s takes a list of names", arg->name);
    items = arena_alloc(reader->arena, MAX(value->count, 1) * sizeof *items, status);
    if (!items)
        return false;
    for (size_t i = 0; i < value->count; i++) {
        const struct value *name = value->items[i];
        if (!need_name(arg, name, status))
            return false;
        items[i] = keys ? key_of(set, name, status) : column_set_get(set, name->text, name, status);
        if (!items[i])
            return false;
    }
    memcpy(field, &(pil_keys){ items, value->count }, sizeof(pil_keys));
    return true;
}

static bool keys_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                       pil_status *status)
{
    return list_parse(arg, value, field, reader, true, status);
}

static bool columns_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                          pil_status *status)
{
    return list_parse(arg, value, field, reader, false, status);
}

static void columns_print(const struct arg *arg, const void *field, struct text *out)
{
    const pil_keys *list = field;

    (void)arg;
    text_format(out, "[");
    for (size_t i = 0; i < list->count; i++) {
        text_format(out, i > 0 ? ", " : "");
        print_name(list->items[i], out);
    }
    text_format(out, "]");
}

#define NAMES_SCHEMA "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"
const struct arg_type COLUMN_ARG_KEYS = {
    .name = "list of columns and fields", .schema = NAMES_SCHEMA, .parse = keys_parse, .print = columns_print
};
const struct arg_type COLUMN_ARG_COLUMNS = {
    .name = "list of columns", .schema = NAMES_SCHEMA, .parse = columns_parse, .print = columns_print
};

static bool path_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                       pil_status *status)
{
    const struct column_set *set = reader->context;
    const char *path = NULL;

    if (!ARG_TEXT.parse(arg, value, &path, reader, status))
        return false;
    if (path && *set->folder && !(path = path_join(reader->arena, set->folder, path, status)))
        return false;
    memcpy(field, &path, sizeof path);
    return true;
}

static void path_print(const struct arg *arg, const void *field, struct text *out)
{
    ARG_TEXT.print(arg, field, out);
}

const struct arg_type COLUMN_ARG_PATH = {
    .name = "path", .schema = "{\"type\":[\"string\",\"null\"]}", .parse = path_parse, .print = path_print
};

static bool count_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                        pil_status *status)
{
    return value_is_null(value) || ARG_INT.parse(arg, value, field, reader, status);
}

static void count_print(const struct arg *arg, const void *field, struct text *out)
{
    ARG_INT.print(arg, field, out);
}

const struct arg_type COLUMN_ARG_COUNT = {
    .name = "integer", .schema = "{\"type\":[\"integer\",\"null\"]}", .parse = count_parse, .print = count_print
};

static bool limit_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                        pil_status *status)
{
    return value_is_null(value) || ARG_FLOAT.parse(arg, value, field, reader, status);
}

static void limit_print(const struct arg *arg, const void *field, struct text *out)
{
    if (*(const float *)field == 0)
        text_format(out, "null");
    else
        ARG_FLOAT.print(arg, field, out);
}

const struct arg_type COLUMN_ARG_LIMIT = {
    .name = "float", .schema = "{\"type\":[\"number\",\"null\"]}", .parse = limit_parse, .print = limit_print
};

static bool numbers_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                          pil_status *status)
{
    struct arg_floats floats = { 0 };
    float *one;

    if (value_is_null(value))
        return true;
    if (value->kind != VALUE_SCALAR) {
        if (!ARG_FLOATS.parse(arg, value, &floats, reader, status))
            return false;
    } else {
        one = arena_alloc(reader->arena, sizeof *one, status);
        if (!one || !ARG_FLOAT.parse(arg, value, one, reader, status))
            return false;
        floats = (struct arg_floats){ one, 1 };
    }
    memcpy(field, &(pil_floats){ floats.items, floats.count }, sizeof(pil_floats));
    return true;
}

static void numbers_print(const struct arg *arg, const void *field, struct text *out)
{
    const pil_floats *floats = field;

    if (floats->count == 0)
        text_format(out, "null");
    else
        ARG_FLOATS.print(arg, &(struct arg_floats){ floats->items, floats->count }, out);
}

const struct arg_type COLUMN_ARG_NUMBERS = {
    .name = "float or list of floats",
    .schema = "{\"type\":[\"number\",\"array\",\"object\",\"null\"],\"items\":{\"type\":\"number\"}}",
    .parse = numbers_parse,
    .print = numbers_print,
};
