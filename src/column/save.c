/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A column program as text, which load.c reads. What a model file would say of the columns is written, whoever made them, and
 * the requests in their order; the records of the loaded program have every number and id in its old place:
 *
 *     columns {version: 1, max_values_per_row: 10000, tf_dense: false}
 *     field {name: hour, type: int64, separator: "", weight_separator: ""}
 *     column {name: hour, kind: categorical_column_with_identity, args: {key: hour, num_buckets: 24, default_value: -1}}
 *     feature {column: hour}
 *     numbers {column: delay, first: 0}
 *     dense {field: rawdata, width: 9, first: 1}
 *     end {width: 12}
 *
 * Labels and weights of rows are not written: nothing that predicts reads them. Their places among the numbers stay free, and
 * zero. Columns are named by their key, or their name, and where two would have one name by a number behind it. The words of a
 * vocabulary file go to a file of their own, assets/<column>_vocabulary.txt.
 */
#include <string.h>

#include "column/program.h"

/* ---- which columns ------------------------------------------------------------------------------------------- */

struct saved {
    const struct pil_column *column;
    const char *name;
};
struct save {
    const struct program *program;
    struct saved *columns; /* each behind those it reads */
    size_t count, capacity;
    struct arena *arena;
    const struct program_assets *assets;
    size_t asset_count;
    struct text *out;
    pil_status *status;
};

/* Does the column have its words from a file? */
static bool has_file(const struct pil_column *column)
{
    const struct arg_table *table = column->row->args;

    for (size_t i = 0; i < table->arg_count; i++)
        if (table->args[i].type == &COLUMN_ARG_PATH)
            return true;
    return false;
}

static const struct saved *saved_find(const struct save *save, const struct pil_column *column)
{
    for (size_t i = 0; i < save->count; i++)
        if (save->columns[i].column == column)
            return &save->columns[i];
    return NULL;
}

/* A name in a list of keys means a column where there is one of that name, else a raw field (set.c); so no column may be called
 * as a raw field of any cross, unless it is a hash of just that field. */
static bool is_raw_field(const struct save *save, const struct pil_column *called, const char *name)
{
    for (size_t i = 0; i < save->count; i++) {
        const struct pil_column *cross = save->columns[i].column;
        for (size_t k = 0; column_is_crossed(cross) && k < cross->input_count; k++)
            if (column_is_key(cross->inputs[k]) && strcmp(cross->inputs[k]->use.field, name) == 0 &&
                !(column_is_hashed(called) && strcmp(called->use.field, name) == 0))
                return true;
    }
    return false;
}

static bool is_taken(const struct save *save, size_t until, const char *name)
{
    for (size_t i = 0; i < until; i++)
        if (strcmp(save->columns[i].name, name) == 0)
            return true;
    return is_raw_field(save, save->columns[until].column, name);
}

static bool name_columns(struct save *save)
{
    for (size_t i = 0; i < save->count; i++) {
        const char *key = column_key(save->columns[i].column), *name = key;
        for (int number = 2; name && is_taken(save, i, name); number++)
            name = arena_format(save->arena, save->status, "%s#%d", key, number);
        if (!name)
            return false;
        save->columns[i].name = name;
    }
    return true;
}

/* The columns that an argument of options names. */
static size_t references(const struct arg *arg, const void *options, pil_column *const **out)
{
    const char *field = (const char *)options + arg->offset;
    pil_keys keys;

    if (arg->type == &COLUMN_ARG_COLUMN) {
        *out = (pil_column *const *)(const void *)field;
        return 1;
    }
    if (arg->type != &COLUMN_ARG_KEYS && arg->type != &COLUMN_ARG_COLUMNS)
        return 0;
    memcpy(&keys, field, sizeof keys);
    *out = keys.items;
    return keys.count;
}

static bool collect(struct save *save, const struct pil_column *column)
{
    const struct arg_table *table = column->row->args;
    pil_column *const *named;

    if (column_is_key(column) || saved_find(save, column))
        return true;
    for (size_t i = 0; i < table->arg_count; i++) {
        size_t count = references(&table->args[i], column->options, &named);
        for (size_t k = 0; k < count; k++)
            if (!collect(save, named[k]))
                return false;
    }
    if (!mem_grow(&save->columns, &save->capacity, save->count + 1, sizeof *save->columns, save->status))
        return false;
    save->columns[save->count++] = (struct saved){ .column = column };
    return true;
}

static void put_text(struct text *out, const char *text)
{
    ARG_TEXT.print(NULL, &text, out);
}

static void put_character(struct text *out, char c)
{
    text_json_string(out, slice_of(&c, c ? 1 : 0));
}

static void put_reference(const struct save *save, const struct pil_column *column)
{
    put_text(save->out, column_is_key(column) ? column->use.field : saved_find(save, column)->name);
}

/* Two columns of one name have two files; no scope has a # in it. */
static const char *asset_path(struct save *save, const struct pil_column *column)
{
    save->asset_count++;
    for (size_t i = 0; i < save->count; i++)
        if (save->columns[i].column != column && strncmp(save->columns[i].column->scope, column->scope, 100) == 0)
            return arena_format(save->arena, save->status, "assets/%.100s#%zu_vocabulary.txt", column->scope, save->asset_count);
    return arena_format(save->arena, save->status, "assets/%.100s_vocabulary.txt", column->scope);
}

/* A word that ends in \r has another behind it, since readers take one away. */
static bool put_asset(struct save *save, const struct pil_column *column)
{
    struct text words = { .limit = (size_t)1 << 40 };
    const char *path = asset_path(save, column);
    struct slice word;

    for (int64_t id = 0; path && column_word(column, id, &word); id++) {
        text_append(&words, word.data, word.size);
        text_append_text(&words, word.size && word.data[word.size - 1] == '\r' ? "\r\n" : "\n");
    }
    bool done = path && text_ok(&words, save->status) &&
                save->assets->write(save->assets->context, path, words.data, words.size, save->status);
    if (done)
        put_text(save->out, path);
    text_free(&words);
    return done;
}

static bool put_argument(struct save *save, const struct pil_column *column, const struct arg *arg)
{
    pil_column *const *named;
    size_t count = references(arg, column->options, &named);

    if (arg->type == &COLUMN_ARG_COLUMN) {
        put_reference(save, named[0]);
    } else if (arg->type == &COLUMN_ARG_KEYS || arg->type == &COLUMN_ARG_COLUMNS) {
        text_append_text(save->out, "[");
        for (size_t i = 0; i < count; i++) {
            text_append_text(save->out, i > 0 ? ", " : "");
            put_reference(save, named[i]);
        }
        text_append_text(save->out, "]");
    } else if (arg->type == &COLUMN_ARG_PATH) {
        return put_asset(save, column);
    } else {
        arg->type->print(arg, (const char *)column->options + arg->offset, save->out);
    }
    return true;
}

static bool put_column(struct save *save, const struct saved *saved)
{
    const struct arg_table *table = saved->column->row->args;

    text_append_text(save->out, "column {name: ");
    put_text(save->out, saved->name);
    text_format(save->out, ", kind: %s, args: {", table->name);
    for (size_t i = 0; i < table->arg_count; i++) {
        text_format(save->out, "%s%s: ", i > 0 ? ", " : "", table->args[i].name);
        if (!put_argument(save, saved->column, &table->args[i]))
            return false;
    }
    text_append_text(save->out, "}}\n");
    return true;
}

/* Fields that columns and raw features read. */
static void put_fields(const struct save *save)
{
    for (size_t i = 0; i < save->program->field_count; i++) {
        const struct field_spec *spec = &save->program->fields[i];
        if (!spec->required)
            continue;
        text_append_text(save->out, "field {name: ");
        put_text(save->out, spec->name);
        text_format(save->out, ", type: %s, separator: ", field_type_name(spec->type));
        put_character(save->out, spec->separator);
        text_append_text(save->out, ", weight_separator: ");
        put_character(save->out, spec->weight_separator);
        text_append_text(save->out, "}\n");
    }
}

/* The columns of numbers that stand next from `from` on; NULL and NULL: there are none. */
static void next_numbers(const struct program *program, int64_t from, const struct number **number, const struct target **dense)
{
    int64_t first = INT64_MAX;

    *number = NULL;
    *dense = NULL;
    for (size_t i = 0; i < program->number_count; i++)
        if (program->numbers[i].first >= from && program->numbers[i].first < first) {
            *number = &program->numbers[i];
            first = (*number)->first;
        }
    for (size_t i = 0; i < program->target_count; i++)
        if (program->targets[i].required && program->targets[i].first >= from && program->targets[i].first < first) {
            *dense = &program->targets[i];
            first = (*dense)->first;
        }
    if (*dense)
        *number = NULL;
}

static void put_requests(const struct save *save)
{
    const struct program *program = save->program;
    const struct number *number;
    const struct target *dense;

    for (size_t i = 0; i < program->feature_count; i++) {
        text_append_text(save->out, "feature {column: ");
        put_reference(save, program->features[i].column);
        text_append_text(save->out, "}\n");
    }
    for (int64_t at = 0;; at = (number ? number->first : dense->first) + 1) {
        next_numbers(program, at, &number, &dense);
        if (number) {
            text_append_text(save->out, "numbers {column: ");
            put_reference(save, number->column);
            text_format(save->out, ", first: %lld}\n", (long long)number->first);
        } else if (dense) {
            text_append_text(save->out, "dense {field: ");
            put_text(save->out, dense->name);
            text_format(save->out, ", width: %lld, first: %lld}\n", (long long)dense->width, (long long)dense->first);
        } else {
            return;
        }
    }
}

/* What is no UTF-8 could not be read again as it was. */
static bool check_text(const struct save *save, struct slice text, const char *what)
{
    if (utf8_valid(text))
        return true;
    return status_fail(save->status, PIL_UNSUPPORTED, "%s cannot be exported: '%.*s' is not UTF-8", what,
                       (int)MIN(text.size, 100), text.data);
}

static bool check_texts(const struct save *save)
{
    struct slice word;

    for (size_t i = 0; i < save->program->field_count; i++) {
        const struct field_spec *spec = &save->program->fields[i];
        if (!check_text(save, slice_text(spec->name), "a field") ||
            !check_text(save, slice_of(&spec->separator, 1), "a separator") ||
            !check_text(save, slice_of(&spec->weight_separator, 1), "a separator"))
            return false;
    }
    for (size_t i = 0; i < save->count; i++) {
        const struct pil_column *column = save->columns[i].column;
        if (!check_text(save, slice_text(save->columns[i].name), "a column"))
            return false;
        for (int64_t id = 0; !has_file(column) && column_word(column, id, &word); id++)
            if (!check_text(save, word, "a word of a vocabulary_list"))
                return status_hint(save->status, "a vocabulary_file may hold any bytes");
    }
    return true;
}

static bool save_all(struct save *save)
{
    const struct program *program = save->program;

    for (size_t i = 0; i < program->feature_count; i++)
        if (!collect(save, program->features[i].column))
            return false;
    for (size_t i = 0; i < program->number_count; i++)
        if (!collect(save, program->numbers[i].column))
            return false;
    if (!name_columns(save) || !check_texts(save))
        return false;
    text_format(save->out, "columns {version: %d, max_values_per_row: %lld, tf_dense: %s}\n", PROGRAM_VERSION,
                (long long)program->options.max_values_per_row, program->options.tf_dense ? "true" : "false");
    put_fields(save);
    for (size_t i = 0; i < save->count; i++)
        if (!put_column(save, &save->columns[i]))
            return false;
    put_requests(save);
    text_format(save->out, "end {width: %lld}\n", (long long)program->number_width);
    if (!text_ok(save->out, save->status))
        return false;
    return true;
}

bool program_save(const struct program *program, const struct program_assets *assets, struct text *out, pil_status *status)
{
    struct save save = { .program = program, .assets = assets, .out = out, .status = status };
    bool done = false;

    if (!program->finished)
        return status_fail(status, PIL_INTERNAL, "a column program is saved before it is finished");
    save.arena = arena_new(status);
    if (save.arena)
        done = save_all(&save);
    mem_free(save.columns);
    arena_free(save.arena);
    return done;
}
