/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of columns share: rows given as text are run through a program, and what comes out is read back; a model
 * file's text becomes a tree of values with places; golden files are opened.
 */
#ifndef PILASTER_TESTS_COLUMNS_H
#define PILASTER_TESTS_COLUMNS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <yaml.h>

#include "base/json.h"
#include "column/column.h"

#define OK_STATUS ((pil_status){ PIL_OK, "" })
/* Fails the test with the status's own words. */
#define ASSERT_OK(status)                                                                                                        \
    do {                                                                                                                         \
        if (!status_ok(&(status)))                                                                                               \
            fail_msg("%s", (status).message);                                                                                    \
    } while (0)
#define ASSERT_TEXT(status, part)                                                                                                \
    do {                                                                                                                         \
        if (!strstr((status).message, part))                                                                                     \
            fail_msg("'%s' is not in '%s'", part, (status).message);                                                             \
    } while (0)
/* The set's first error has these words in it. */
#define ASSERT_COLUMNS_FAIL(columns, part)                                                                                       \
    do {                                                                                                                         \
        pil_status columns_status = pil_columns_status(columns);                                                                 \
        assert_int_not_equal(columns_status.code, PIL_OK);                                                                       \
        ASSERT_TEXT(columns_status, part);                                                                                       \
    } while (0)

/* ---- programs ------------------------------------------------------------------------------------------------ */

/* A program with one batch run through it. */
struct ran {
    struct program *program;
    struct program_scratch *scratch;
    struct fields *fields;
    struct records records;
    pil_status status;
};

/* Asks for every column's ids, or numbers. */
static inline struct program *program_of(pil_column *const *columns, size_t count, const struct program_options *options)
{
    pil_status status = OK_STATUS;
    struct program *program = program_new(options ? options : &(struct program_options){ 0 }, &status);

    ASSERT_OK(status);
    for (size_t i = 0; i < count; i++) {
        if (column_is_categorical(columns[i]))
            program_feature(program, columns[i], &status);
        else
            program_numbers(program, columns[i], &status);
    }
    ASSERT_OK(status);
    return program;
}

/* States a field as input.fields would. */
static inline void state_field(struct program *program, const char *name, int type, char separator)
{
    pil_status status = OK_STATUS;

    program_field(program, &(struct field_spec){ .name = name, .type = (enum field_type)type, .separator = separator }, &status);
    ASSERT_OK(status);
}

/* Finishes the program, fills a batch from `cells` (rows of `width` cells for the fields of `names`; NULL: nothing is set), and
 * runs it. The outcome is in ran.status. Line numbers start at 2, as behind a header. */
static inline struct ran run_rows(struct program *program, const char *const *names, size_t width, const char *const *cells,
                                  size_t rows)
{
    struct ran ran = { .program = program, .status = OK_STATUS };
    size_t count;
    const struct field_spec *specs;

    if (!program_finish(program, &ran.status))
        return ran;
    specs = program_fields(program, &count);
    ran.fields = fields_new(specs, count, &ran.status);
    assert_non_null(ran.fields);
    ran.fields->source = "rows.csv";
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < width; i++) {
            int64_t field = fields_find(ran.fields, names[i]);
            const char *cell = cells[r * width + i];
            if (field >= 0 && cell && !fields_set_cell(ran.fields, (size_t)field, slice_text(cell), &ran.status))
                fail_msg("cell '%s': %s", cell, ran.status.message);
        }
        assert_true(fields_end_row(ran.fields, (int64_t)r + 2, &ran.status));
    }
    ran.scratch = program_scratch_new(program, &ran.status);
    assert_non_null(ran.scratch);
    assert_true(records_init(&ran.records, program, &ran.status));
    program_run(program, ran.fields, 0, (int64_t)rows, ran.scratch, &ran.records, &ran.status);
    return ran;
}

static inline void ran_free(struct ran *ran)
{
    records_free(&ran->records);
    program_scratch_free(ran->scratch);
    fields_free(ran->fields);
    program_free(ran->program);
}

/* The ids of a feature in a row, and its weights (may be NULL). Returns how many; none for a single-valued -1. */
static inline size_t ids_of(const struct ran *ran, int feature, int64_t row, int32_t *ids, float *weights, size_t limit)
{
    size_t ragged = 0, single = 0, stride = program_record_words(ran->program);
    const int32_t *words = ran->records.words + (size_t)row * stride + program_number_count(ran->program);

    for (int i = 0; i < feature; i++)
        *(program_feature_ragged(ran->program, (size_t)i) ? &ragged : &single) += 1;
    if (!program_feature_ragged(ran->program, (size_t)feature)) {
        ids[0] = words[single];
        return ids[0] == -1 ? 0 : 1;
    }
    const struct sparse sparse = sparse_view(&ran->records.ragged[ragged], weights != NULL);
    size_t count = (size_t)(sparse.offsets[row + 1] - sparse.offsets[row]);
    for (size_t i = 0; i < MIN(count, limit); i++) {
        ids[i] = sparse.ids[sparse.offsets[row] + (int64_t)i];
        if (weights)
            weights[i] = sparse.weights[sparse.offsets[row] + (int64_t)i];
    }
    return count;
}

static inline int32_t id_of(const struct ran *ran, int feature, int64_t row)
{
    int32_t ids[64] = { 0 };

    return ids_of(ran, feature, row, ids, NULL, COUNT_OF(ids)) == 1 ? ids[0] : -1;
}

static inline float number_of(const struct ran *ran, int64_t column, int64_t row)
{
    float value;

    memcpy(&value, ran->records.words + (size_t)row * program_record_words(ran->program) + (size_t)column, sizeof value);
    return value;
}

/* ---- values of a model file ---------------------------------------------------------------------------------- */

/* YAML as libyaml's parser says it, each value with its place. */
static inline struct value *yaml_node(yaml_document_t *document, yaml_node_t *node, struct arena *arena)
{
    pil_status status = OK_STATUS;
    struct value *value = arena_alloc(arena, sizeof *value, &status);

    value->file = "model.yaml";
    value->line = (int)node->start_mark.line + 1;
    value->column = (int)node->start_mark.column + 1;
    if (node->type == YAML_SCALAR_NODE) {
        value->kind = VALUE_SCALAR;
        value->quoted = node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        value->text.size = node->data.scalar.length;
        value->text.data = arena_text(arena, (const char *)node->data.scalar.value, value->text.size, &status);
    } else if (node->type == YAML_SEQUENCE_NODE) {
        value->kind = VALUE_LIST;
        value->count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
        value->items = arena_alloc(arena, (value->count + 1) * sizeof *value->items, &status);
        for (size_t i = 0; i < value->count; i++)
            value->items[i] = yaml_node(document, yaml_document_get_node(document, node->data.sequence.items.start[i]), arena);
    } else {
        value->kind = VALUE_MAP;
        value->count = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
        value->items = arena_alloc(arena, (value->count + 1) * sizeof *value->items, &status);
        value->keys = arena_alloc(arena, (value->count + 1) * sizeof *value->keys, &status);
        for (size_t i = 0; i < value->count; i++) {
            yaml_node_pair_t *pair = &node->data.mapping.pairs.start[i];
            value->keys[i] = yaml_node(document, yaml_document_get_node(document, pair->key), arena);
            value->items[i] = yaml_node(document, yaml_document_get_node(document, pair->value), arena);
        }
    }
    return value;
}

static inline struct value *yaml_value(const char *text, struct arena *arena)
{
    yaml_parser_t parser;
    yaml_document_t document;
    struct value *value;

    assert_true(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    if (!yaml_parser_load(&parser, &document))
        fail_msg("%s in: %s", parser.problem, text);
    value = yaml_node(&document, yaml_document_get_root_node(&document), arena);
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return value;
}

/* ---- golden files -------------------------------------------------------------------------------------------- */

struct golden {
    struct json_parser *parser;
    struct file_data file;
    struct json_value root;
};

/* False when there is no such file (conformance data is not part of the tree). */
static inline bool golden_open(const char *path, struct golden *golden)
{
    pil_status status = OK_STATUS;

    if (!file_exists(path))
        return false;
    golden->parser = json_parser_new(0, &status);
    ASSERT_OK(status);
    if (!file_load(path, &golden->file, &status) ||
        !json_parse(golden->parser, slice_of(golden->file.data, golden->file.size), &golden->root, &status))
        fail_msg("%s", status.message);
    return true;
}

static inline void golden_close(struct golden *golden)
{
    file_unload(&golden->file);
    json_parser_free(golden->parser);
}

static inline struct json_value golden_get(const struct json_value *map, const char *key)
{
    struct json_value value;

    if (!json_get(map, key, &value))
        fail_msg("no '%s'", key);
    return value;
}

static inline int64_t golden_integer(const struct json_value *map, const char *key, int64_t absent)
{
    struct json_value value;

    return json_get(map, key, &value) && value.kind == JSON_NUMBER ? value.integer : absent;
}

/* A list of texts or numbers as NUL-terminated words in the arena. */
static inline const char **golden_words(const struct json_value *list, struct arena *arena)
{
    pil_status status = OK_STATUS;
    const char **words = arena_alloc(arena, (list->count + 1) * sizeof *words, &status);
    struct json_walk walk = json_children(list);
    struct json_value item;

    for (size_t i = 0; json_next(&walk, NULL, &item); i++)
        words[i] = item.kind == JSON_TEXT ? arena_text(arena, item.text.data, item.text.size, &status)
                   : item.is_integer      ? arena_format(arena, &status, "%lld", (long long)item.integer)
                                          : arena_format(arena, &status, "%.9g", item.number);
    return words;
}

/* A list of lists of values as cells, the values of one joined by `separator`. */
static inline const char **golden_cells(const struct json_value *lists, char separator, struct arena *arena)
{
    pil_status status = OK_STATUS;
    const char **cells = arena_alloc(arena, (lists->count + 1) * sizeof *cells, &status);
    struct json_walk walk = json_children(lists);
    struct json_value list;

    for (size_t r = 0; json_next(&walk, NULL, &list); r++) {
        const char **words = list.kind == JSON_LIST ? golden_words(&list, arena) : NULL;
        struct text text = { 0 };
        for (size_t i = 0; words && i < list.count; i++)
            text_format(&text, "%.*s%s", i > 0 ? 1 : 0, &separator, words[i]);
        if (list.kind != JSON_LIST)
            text_format(&text, "%.9g", list.number);
        cells[r] = arena_text(arena, text.data ? text.data : "", text.size, &status);
        text_free(&text);
    }
    return cells;
}

/* The ids of a feature in all rows are those of a list of lists. */
static inline void check_ids(const struct ran *ran, int feature, const struct json_value *want)
{
    struct json_walk rows = json_children(want);
    struct json_value row, id;

    assert_int_equal(want->count, ran->records.rows);
    for (int64_t r = 0; json_next(&rows, NULL, &row); r++) {
        struct json_walk one = json_children(&row);
        int32_t ids[64] = { 0 };
        size_t count = ids_of(ran, feature, r, ids, NULL, COUNT_OF(ids));
        assert_int_equal(count, row.count);
        for (size_t i = 0; json_next(&one, NULL, &id); i++)
            assert_int_equal(ids[i], id.integer);
    }
}

/* One case of categorical_columns.json: what a column "k" makes of a field of lists. */
static inline void golden_check_column(pil_column *column, bool is_integer, const struct json_value *item, struct arena *arena)
{
    struct program *program = program_of(&column, 1, NULL);
    const char *name = "k";

    state_field(program, "k", is_integer ? FIELD_INT64 : FIELD_STRING, '\t');
    struct json_value value = golden_get(item, "input");
    struct ran ran = run_rows(program, &name, 1, golden_cells(&value, '\t', arena), value.count);
    ASSERT_OK(ran.status);
    value = golden_get(item, "ids");
    check_ids(&ran, 0, &value);
    ran_free(&ran);
}

/* Every case of categorical_columns.json whose kind is one of two (which may be the same); how many there were. */
static inline int golden_check_kinds(const char *kind, const char *other,
                                     void (*check)(const struct json_value *item, struct arena *arena))
{
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    struct golden golden;
    int seen = 0;

    assert_true(golden_open("tests/golden/categorical_columns.json", &golden));
    struct json_value cases = golden_get(&golden.root, "cases"), item;
    struct json_walk walk = json_children(&cases);
    while (json_next(&walk, NULL, &item)) {
        struct json_value column = golden_get(&item, "column");
        if (!slice_is(column.text, kind) && !slice_is(column.text, other))
            continue;
        check(&item, arena);
        seen++;
    }
    golden_close(&golden);
    arena_free(arena);
    return seen;
}

#endif
