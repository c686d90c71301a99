/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns that know their words: a list, or a file of them. Both are one kind of value: the word's place, else one of the spare
 * buckets behind the list, else default_value.
 *
 * Words may be integers. Where the field is one of integers they are found by value, so a column whose words all are integers
 * keeps them in both forms: which one is asked follows from the field.
 */
#include <stdio.h>
#include <string.h>

#include "column/internal.h"

static const struct column_row rows[2];
#define LIST (&rows[0])
#define LINES (&rows[1])

struct vocabulary {
    int64_t count; /* of words */
    int64_t default_value;
    struct divisor spare;     /* num_oov_buckets; divisor 0: none */
    struct map *words;        /* by their text; for integer columns too, since their definition is hashed from it */
    struct int_map *integers; /* by value; NULL where the words are text only */
};

pil_categorical_column_with_vocabulary_list_options pil_categorical_column_with_vocabulary_list_options_default(void)
{
    return (pil_categorical_column_with_vocabulary_list_options){ PIL_CATEGORICAL_COLUMN_WITH_VOCABULARY_LIST_DEFAULTS };
}

pil_categorical_column_with_vocabulary_file_options pil_categorical_column_with_vocabulary_file_options_default(void)
{
    return (pil_categorical_column_with_vocabulary_file_options){ PIL_CATEGORICAL_COLUMN_WITH_VOCABULARY_FILE_DEFAULTS };
}

/* ---- making -------------------------------------------------------------------------------------------------- */

enum form { FORM_TEXT, FORM_INTEGERS, FORM_BOTH };

static size_t print_integer(char out[24], int64_t value)
{
    return (size_t)snprintf(out, 24, "%lld", (long long)value);
}

/* An integer as it is printed: "7", "-5", but not "+7", "07", "7.0". */
static bool canonical_integer(struct slice text, int64_t *value)
{
    char again[24];

    return parse_int64(text, value) && slice_equal(text, slice_of(again, print_integer(again, *value)));
}

static struct vocabulary *vocabulary_new(struct pil_column *column, enum form form)
{
    struct pil_columns *owner = column->owner;
    struct vocabulary *own = arena_alloc(owner->arena, sizeof *own, &owner->status);

    if (!own)
        return NULL;
    column->own = own; /* from here on `release` frees what it holds */
    own->words = map_new(&owner->status);
    if (!own->words)
        return NULL;
    if (form != FORM_TEXT && !(own->integers = int_map_new(&owner->status)))
        return NULL;
    return own;
}

/* Adds word number own->count. `where` names it in errors: "number 3", "words.txt:3". */
static bool add_word(struct pil_column *column, const char *argument, struct slice word, const char *where)
{
    struct vocabulary *own = (struct vocabulary *)column->own;
    struct pil_columns *owner = column->owner;
    bool added = true;
    int64_t integer;
    char canonical[24];

    if (own->count == INT32_MAX) {
        column_fail(owner, column->row, argument, "more than 2147483647 words");
        return false;
    }
    if (own->integers) {
        if (!parse_int64(word, &integer)) {
            column_fail(owner, column->row, argument, "%s, '%.*s', is no integer, but dtype is 'int64'", where,
                        (int)MIN(word.size, 200), word.data);
            return false;
        }
        if (!int_map_put(own->integers, integer, own->count, &added, &owner->status))
            return false;
        word = slice_of(canonical, print_integer(canonical, integer));
    }
    if (added && map_intern(own->words, word, &added, &owner->status) < 0)
        return false;
    if (!added) {
        column_fail(owner, column->row, argument, "%s, '%.*s', is there twice", where, (int)MIN(word.size, 200), word.data);
        return false;
    }
    own->count++;
    return true;
}

/* What list and file have in common once the words are there. */
static bool vocabulary_finish(struct pil_column *column, const char *key, enum form form, int64_t default_value, int64_t spare)
{
    struct vocabulary *own = (struct vocabulary *)column->own;
    struct pil_columns *owner = column->owner;

    if (spare < 0 || spare > INT32_MAX - own->count)
        column_fail(owner, column->row, "num_oov_buckets", "num_oov_buckets is %lld; it must not be negative nor too large",
                    (long long)spare);
    else if (spare > 0 && default_value != -1)
        column_fail(owner, column->row, "default_value", "default_value and num_oov_buckets exclude each other");
    else if (default_value >= own->count || default_value < INT32_MIN)
        column_fail(owner, column->row, "default_value", "default_value is %lld; the ids of this column are below %lld",
                    (long long)default_value, (long long)own->count);
    if (!status_ok(&owner->status))
        return false;
    own->default_value = default_value;
    if (spare > 0)
        own->spare = divisor_of((uint64_t)spare);
    column->buckets = own->count + spare;
    column->use = (struct column_use){ column_copy(owner, key), form == FORM_TEXT ? FIELD_STRING : FIELD_INT64,
                                       form == FORM_TEXT       ? ACCEPT_STRING
                                       : form == FORM_INTEGERS ? ACCEPT_INT64
                                                               : ACCEPT_STRING | ACCEPT_INT64 };
    if (column->use.field)
        column_set_name(column, column->use.field);
    return status_ok(&owner->status);
}

/* The columns's options own their words. */
static bool copy_words(struct pil_columns *owner, pil_words *words)
{
    const char **copy = arena_alloc(owner->arena, words->count * sizeof *copy, &owner->status);

    for (size_t i = 0; copy && i < words->count; i++)
        copy[i] = column_copy(owner, words->items[i]);
    words->items = copy;
    return status_ok(&owner->status);
}

static pil_column *list_make_as(pil_columns *owner, const pil_categorical_column_with_vocabulary_list_options *options,
                                enum form form)
{
    struct pil_column *column = column_begin(owner, LIST, options, sizeof *options);
    pil_categorical_column_with_vocabulary_list_options *copy;
    const pil_words *list = &options->vocabulary_list;

    if (!column || !column_check_field(owner, LIST, "key", options->key) || !vocabulary_new(column, form))
        return column_error(owner);
    if (list->count == 0 || !list->items)
        return column_fail(owner, LIST, "vocabulary_list", "vocabulary_list is empty");
    for (size_t i = 0; i < list->count; i++) {
        char where[64];
        snprintf(where, sizeof where, "word number %zu", i + 1);
        if (!list->items[i])
            return column_fail(owner, LIST, "vocabulary_list", "%s is missing", where);
        if (!add_word(column, "vocabulary_list", slice_text(list->items[i]), where))
            return column_error(owner);
    }
    copy = (pil_categorical_column_with_vocabulary_list_options *)column->options;
    if (!vocabulary_finish(column, options->key, form, options->default_value, options->num_oov_buckets) ||
        !copy_words(owner, &copy->vocabulary_list))
        return column_error(owner);
    copy->key = column->use.field;
    copy->dtype = form == FORM_TEXT ? "string" : column_copy(owner, options->dtype);
    return column_end(owner, column);
}

pil_column *pil_categorical_column_with_vocabulary_list_make(pil_columns *owner,
                                                             const pil_categorical_column_with_vocabulary_list_options *options)
{
    bool is_integer;

    if (!owner || !status_ok(&owner->status) || !column_check_dtype(owner, LIST, options->dtype, &is_integer))
        return column_error(owner);
    return list_make_as(owner, options, is_integer ? FORM_INTEGERS : FORM_TEXT);
}

/* In the model file everything is text. Integers without quotes and without a dtype are integers where the field is one of
 * integers, and words where it is one of strings. */
static struct pil_column *list_make(struct pil_columns *owner, const void *options, const struct value *map)
{
    const pil_categorical_column_with_vocabulary_list_options *list = options;
    const struct value *written = map ? value_get(map, "vocabulary_list") : NULL;
    bool integers = written && written->kind == VALUE_LIST && written->count > 0 && !list->dtype;
    int64_t ignored;

    for (size_t i = 0; integers && i < written->count; i++)
        integers = !written->items[i]->quoted && canonical_integer(written->items[i]->text, &ignored);
    return integers ? list_make_as(owner, list, FORM_BOTH) : pil_categorical_column_with_vocabulary_list_make(owner, list);
}

/* ---- the file ------------------------------------------------------------------------------------------------ */

/* One entry a line; a final \r goes, spaces stay, as TensorFlow's table of lines has it. size 0: all lines. */
static bool read_lines(struct pil_column *column, const char *path, const struct file_data *file, int64_t size)
{
    const struct vocabulary *own = column->own;
    const char *at = file->data, *end = file->data + file->size;

    while (at < end && (size == 0 || own->count < size)) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        char where[320];

        snprintf(where, sizeof where, "%.255s:%lld", path, (long long)own->count + 1);
        if (length > 0 && at[length - 1] == '\r')
            length--;
        if (length == 0) {
            column_fail(column->owner, column->row, "vocabulary_file", "%s is an empty line", where);
            return false;
        }
        if (!add_word(column, "vocabulary_file", slice_of(at, length), where))
            return false;
        at = stop ? stop + 1 : end;
    }
    if (own->count == 0)
        column_fail(column->owner, column->row, "vocabulary_file", "%s is empty", path);
    else if (own->count < size)
        column_fail(column->owner, column->row, "vocabulary_size", "%s has %lld lines, vocabulary_size is %lld", path,
                    (long long)own->count, (long long)size);
    return status_ok(&column->owner->status);
}

static bool check_file(pil_columns *owner, const pil_categorical_column_with_vocabulary_file_options *options)
{
    if (!options->vocabulary_file || !*options->vocabulary_file)
        column_fail(owner, LINES, "vocabulary_file", "vocabulary_file is missing");
    else if (options->vocabulary_size < 0)
        column_fail(owner, LINES, "vocabulary_size", "vocabulary_size is %lld; it must be at least 1",
                    (long long)options->vocabulary_size);
    else if (options->file_format && strcmp(options->file_format, "text") != 0)
        column_fail(owner, LINES, "file_format", "file_format is '%s'; only 'text', one entry a line, can be read",
                    options->file_format);
    return status_ok(&owner->status);
}

pil_column *pil_categorical_column_with_vocabulary_file_make(pil_columns *owner,
                                                             const pil_categorical_column_with_vocabulary_file_options *options)
{
    struct pil_column *column = column_begin(owner, LINES, options, sizeof *options);
    pil_categorical_column_with_vocabulary_file_options *copy;
    struct file_data file;
    bool is_integer, read;

    if (!column || !column_check_field(owner, LINES, "key", options->key) || !check_file(owner, options) ||
        !column_check_dtype(owner, LINES, options->dtype, &is_integer) ||
        !vocabulary_new(column, is_integer ? FORM_INTEGERS : FORM_TEXT))
        return column_error(owner);
    if (!file_load(options->vocabulary_file, &file, &owner->status)) {
        owner->wrong_argument = "vocabulary_file";
        return column_error(owner);
    }
    read = read_lines(column, options->vocabulary_file, &file, options->vocabulary_size);
    file_unload(&file);
    if (!read || !vocabulary_finish(column, options->key, is_integer ? FORM_INTEGERS : FORM_TEXT, options->default_value,
                                    options->num_oov_buckets))
        return column_error(owner);
    copy = (pil_categorical_column_with_vocabulary_file_options *)column->options;
    copy->key = column->use.field;
    copy->vocabulary_file = column_copy(owner, options->vocabulary_file);
    copy->dtype = column_copy(owner, options->dtype);
    copy->file_format = column_copy(owner, options->file_format);
    return column_end(owner, column);
}

static struct pil_column *file_make(struct pil_columns *owner, const void *options, const struct value *map)
{
    (void)map;
    return pil_categorical_column_with_vocabulary_file_make(owner, options);
}

/* ---- both ---------------------------------------------------------------------------------------------------- */

static void vocabulary_release(struct pil_column *column)
{
    const struct vocabulary *own = column->own;

    if (!own)
        return;
    map_free(own->words);
    int_map_free(own->integers);
}

/* The words themselves, not where they came from: a moved file changes nothing, an edited one does. */
static void vocabulary_define(const struct pil_column *column, struct text *out)
{
    const struct vocabulary *own = column->own;

    text_format(out, "words %lld default %lld spare %lld %s", (long long)own->count, (long long)own->default_value,
                (long long)own->spare.divisor, own->integers ? "integers" : "text");
    for (int64_t i = 0; i < own->count; i++) {
        struct slice word = map_key(own->words, i);
        text_format(out, "\n%zu:", word.size);
        text_append(out, word.data, word.size);
    }
}

uint64_t fingerprint_integer(int64_t value)
{
    char text[24];

    return fingerprint64(text, print_integer(text, value));
}

static int64_t vocabulary_value(const struct pil_column *column, const struct cell *cell, pil_status *status)
{
    const struct vocabulary *own = column->own;
    int64_t place;

    (void)status;
    if (cell->is_integer)
        place = int_map_get(own->integers, cell->integer, -1);
    else
        place = map_find(own->words, cell->text);
    if (place >= 0)
        return place;
    if (own->spare.divisor == 0)
        return own->default_value;
    uint64_t fingerprint =
        cell->is_integer ? fingerprint_integer(cell->integer) : fingerprint64(cell->text.data, cell->text.size);
    return own->count + (int64_t)modulo(fingerprint, own->spare);
}

bool column_word(const struct pil_column *column, int64_t id, struct slice *word)
{
    const struct vocabulary *own = column->own;

    if (column->row != LIST && column->row != LINES)
        return false;
    if (id < 0 || id >= own->count)
        return false;
    *word = map_key(own->words, id);
    return true;
}

/* ---- arguments ----------------------------------------------------------------------------------------------- */

/* A list of words; the quotes are looked at when the column is made. */
static bool words_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                        pil_status *status)
{
    struct arg_texts texts = { 0 };

    if (!ARG_TEXTS.parse(arg, value, &texts, reader, status))
        return false;
    memcpy(field, &(pil_words){ texts.items, texts.count }, sizeof(pil_words));
    return true;
}

/* Integers stand without quotes: what they are follows from dtype, which a column of strings always has. */
static void words_print(const struct arg *arg, const void *field, struct text *out)
{
    const pil_words *words = field;
    int64_t ignored;

    (void)arg;
    text_format(out, "[");
    for (size_t i = 0; i < words->count; i++) {
        struct slice word = slice_text(words->items[i]);
        text_format(out, i > 0 ? ", " : "");
        if (canonical_integer(word, &ignored))
            text_append(out, word.data, word.size);
        else
            ARG_TEXT.print(NULL, &words->items[i], out);
    }
    text_format(out, "]");
}

static const struct arg_type WORDS_TYPE = {
    .name = "list of words",
    .schema = "{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]}}",
    .parse = words_parse,
    .print = words_print,
};

#define LIST_ARG(member) .offset = offsetof(pil_categorical_column_with_vocabulary_list_options, member)
static const pil_categorical_column_with_vocabulary_list_options list_defaults = {
    PIL_CATEGORICAL_COLUMN_WITH_VOCABULARY_LIST_DEFAULTS
};
static const struct arg list_args[] = {
    { .name = "key", .type = &ARG_TEXT, LIST_ARG(key), .help = "the field; by default the entry's own name" },
    { .name = "vocabulary_list",
      .type = &WORDS_TYPE,
      LIST_ARG(vocabulary_list),
      .required = true,
      .help = "the words; a word's id is its place" },
    { .name = "dtype", .type = &ARG_TEXT, LIST_ARG(dtype), .help = "string or int64; by default as the words look" },
    { .name = "default_value",
      .type = &COLUMN_ARG_COUNT,
      LIST_ARG(default_value),
      .help = "the id of other words; -1: they are dropped" },
    { .name = "num_oov_buckets",
      .type = &COLUMN_ARG_COUNT,
      LIST_ARG(num_oov_buckets),
      .help = "ids that other words share, by their hash" },
};
static const struct arg_table list_table = {
    .name = "categorical_column_with_vocabulary_list",
    .help = "words of a list",
    .args = list_args,
    .arg_count = COUNT_OF(list_args),
    .defaults = &list_defaults,
    .size = sizeof(pil_categorical_column_with_vocabulary_list_options),
};

#define LINES_ARG(member) .offset = offsetof(pil_categorical_column_with_vocabulary_file_options, member)
static const pil_categorical_column_with_vocabulary_file_options lines_defaults = {
    PIL_CATEGORICAL_COLUMN_WITH_VOCABULARY_FILE_DEFAULTS
};
static const struct arg lines_args[] = {
    { .name = "key", .type = &ARG_TEXT, LINES_ARG(key), .help = "the field; by default the entry's own name" },
    { .name = "vocabulary_file",
      .type = &COLUMN_ARG_PATH,
      LINES_ARG(vocabulary_file),
      .required = true,
      .help = "one word a line" },
    { .name = "vocabulary_size",
      .type = &COLUMN_ARG_COUNT,
      LINES_ARG(vocabulary_size),
      .help = "only the file's first lines; null: all" },
    { .name = "dtype", .type = &ARG_TEXT, LINES_ARG(dtype), .help = "string or int64" },
    { .name = "default_value",
      .type = &COLUMN_ARG_COUNT,
      LINES_ARG(default_value),
      .help = "the id of other words; -1: they are dropped" },
    { .name = "num_oov_buckets",
      .type = &COLUMN_ARG_COUNT,
      LINES_ARG(num_oov_buckets),
      .help = "ids that other words share, by their hash" },
    { .name = "file_format", .type = &ARG_TEXT, LINES_ARG(file_format), .help = "text" },
};
static const struct arg_table lines_table = {
    .name = "categorical_column_with_vocabulary_file",
    .help = "words of a file",
    .args = lines_args,
    .arg_count = COUNT_OF(lines_args),
    .defaults = &lines_defaults,
    .size = sizeof(pil_categorical_column_with_vocabulary_file_options),
};

static const struct column_row rows[2] = {
    { .name = "categorical_column_with_vocabulary_list",
      .help = "words of a list",
      .args = &list_table,
      .make = list_make,
      .value = vocabulary_value,
      .define = vocabulary_define,
      .release = vocabulary_release },
    { .name = "categorical_column_with_vocabulary_file",
      .help = "words of a file",
      .args = &lines_table,
      .make = file_make,
      .value = vocabulary_value,
      .define = vocabulary_define,
      .release = vocabulary_release },
};
COLUMN_ROWS_OF(vocabulary);
