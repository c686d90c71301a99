/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON lines into typed fields: an object a line, as programs write them for prediction. A value is what the field's type
 * makes of it: a number may be asked for as text (an id that happens to be all digits), a text as a number ("3.5"), a
 * boolean as 1 and 0 or as its word. Everything that a CSV cell may say goes here too, so that one model reads both.
 */
#include "input/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

static const char ADVICE[] = "input.on_error: skip (in C: .ignore_errors) drops such rows";

struct lines {
    const struct field_spec *specs;
    size_t count;
    bool skip_bad, splits;
    struct row_split split;
    struct map *names;
    bool *absent, *seen;
    struct json_parser *parser;
};

struct reading {
    struct lines *lines;
    const struct block *block;
    struct fields *fields;
    struct slice text; /* the line */
    int64_t line;
    pil_status *status;
};

/* ---- one value ----------------------------------------------------------------------------------------------- */

static bool own_text(struct reading *reading, size_t field, struct slice text)
{
    char *copy = fields_own_text(reading->fields, MAX(text.size, 1), reading->status);
    if (copy == NULL)
        return false;
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    const struct field_spec *spec = &reading->lines->specs[field];
    struct slice kept = slice_of(copy, text.size);
    return spec->type == FIELD_STRING && text.size > 0 ? fields_set_text(reading->fields, field, kept, reading->status)
                                                       : fields_set_cell(reading->fields, field, kept, reading->status);
}

/* A number as the text that a CSV would hold. */
static struct slice number_text(const struct json_value *value, char out[40])
{
    if (value->is_integer)
        return slice_of(out, (size_t)snprintf(out, 40, "%lld", (long long)value->integer));
    return slice_of(out, print_double(out, value->number));
}

static bool set_number(struct reading *reading, size_t field, const struct json_value *value)
{
    char text[40];
    switch (reading->lines->specs[field].type) {
    case FIELD_FLOAT:
        return fields_set_float(reading->fields, field, (float)value->number, reading->status);
    case FIELD_INT64:
        if (value->is_integer)
            return fields_set_int(reading->fields, field, value->integer, reading->status);
        return fields_set_cell(reading->fields, field, number_text(value, text), reading->status); /* 1.0, but not 1.5 */
    case FIELD_STRING:
        break;
    }
    return own_text(reading, field, number_text(value, text));
}

/* "key:weight", where the field has weights. */
static bool set_weighted(struct reading *reading, size_t field, struct slice text)
{
    float weight;
    size_t key = text.size;
    while (key > 0 && text.data[key - 1] != reading->lines->specs[field].weight_separator)
        key--;
    if (key == 0)
        return own_text(reading, field, text);
    if (key == 1 || !parse_float(slice_of(text.data + key, text.size - key), &weight))
        return status_fail(reading->status, PIL_BAD_DATA, "'%.*s' is not a value with its weight",
                           (int)MIN(text.size, (size_t)40), text.data);
    return own_text(reading, field, slice_of(text.data, key - 1)) &&
           fields_set_weight(reading->fields, field, weight, reading->status);
}

static bool set_scalar(struct reading *reading, size_t field, const struct json_value *value)
{
    const struct field_spec *spec = &reading->lines->specs[field];
    switch (value->kind) {
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        if (spec->type == FIELD_STRING)
            return own_text(reading, field, slice_text(value->flag ? "true" : "false"));
        return fields_set_int(reading->fields, field, value->flag, reading->status);
    case JSON_NUMBER:
        return set_number(reading, field, value);
    case JSON_TEXT:
        return spec->weight_separator != 0 ? set_weighted(reading, field, value->text) : own_text(reading, field, value->text);
    case JSON_LIST:
    case JSON_MAP:
        break;
    }
    return status_fail(reading->status, PIL_BAD_DATA, "a list or an object is no value here");
}

static bool set_value(struct reading *reading, size_t field, const struct json_value *value)
{
    const struct field_spec *spec = &reading->lines->specs[field];
    /* A text in a field of several values is a cell as in a CSV; within a list it is one of them, separators and all. */
    if (value->kind == JSON_TEXT && spec->separator != 0) {
        char *copy = fields_own_text(reading->fields, MAX(value->text.size, 1), reading->status);
        if (copy == NULL)
            return false;
        if (value->text.size > 0)
            memcpy(copy, value->text.data, value->text.size);
        return fields_set_cell(reading->fields, field, slice_of(copy, value->text.size), reading->status);
    }
    if (value->kind != JSON_LIST)
        return set_scalar(reading, field, value);
    if (spec->separator == 0 && value->count != 1)
        return status_fail(reading->status, PIL_BAD_DATA, "a list of %zu values, and the field has one value a row",
                           value->count);
    struct json_value item;
    for (struct json_walk walk = json_children(value); json_next(&walk, NULL, &item);) {
        if (!set_scalar(reading, field, &item))
            return false;
    }
    return true;
}

/* ---- one line ------------------------------------------------------------------------------------------------ */

static bool parse_object(struct reading *reading, struct json_value *root)
{
    struct json_parser *parser = reading->lines->parser;
    const struct block *block = reading->block;
    pil_status *status = reading->status;
    size_t behind = (size_t)(block->data + block->size - (reading->text.data + reading->text.size));
    bool parsed = behind >= JSON_PADDING ? json_parse_padded(parser, reading->text, root, status)
                                         : json_parse(parser, reading->text, root, status);
    if (parsed && root->kind == JSON_MAP)
        return true;
    if (parsed)
        status_fail(status, PIL_BAD_DATA, "a line of JSON lines must be an object: {\"name\": value, ...}");
    if (status->code == PIL_BAD_DATA) {
        size_t at = parsed ? 0 : json_error_offset(parser);
        status_prefix(status, "%s:%lld: ", block->path, (long long)reading->line);
        show_cell(reading->text, slice_of(reading->text.data + MIN(at, reading->text.size), 1), ADVICE, status);
    }
    return false;
}

static bool bad_field(struct reading *reading, const char *name)
{
    pil_status *status = reading->status;
    if (status->code != PIL_BAD_DATA)
        return false;
    status_prefix(status, "%s:%lld: field '%s': ", reading->block->path, (long long)reading->line, name);
    status_hint(status, "%.*s%s", (int)MIN(reading->text.size, (size_t)110), reading->text.data,
                reading->text.size > 110 ? "..." : "");
    return status_hint(status, "%s", ADVICE);
}

static bool set_fields(struct reading *reading, const struct json_value *root)
{
    struct lines *lines = reading->lines;
    struct slice key;
    struct json_value value;
    if (lines->count > 0)
        memset(lines->seen, 0, lines->count * sizeof(*lines->seen));
    for (struct json_walk walk = json_children(root); json_next(&walk, &key, &value);) {
        int64_t field = map_find(lines->names, key);
        if (field < 0 || lines->absent[field])
            continue;
        bool twice = lines->seen[field];
        lines->seen[field] = true;
        if (twice)
            status_fail(reading->status, PIL_BAD_DATA, "is given twice");
        if (twice || !set_value(reading, (size_t)field, &value))
            return bad_field(reading, lines->specs[field].name);
    }
    return true;
}

/* The bytes that decide: of the line, or of the field as a CSV would hold it. */
static bool is_kept(const struct reading *reading, const struct json_value *root)
{
    const struct row_split *split = &reading->lines->split;
    struct json_value value;
    char number[40];
    struct slice text = slice_of("", 0);
    if (!reading->lines->splits)
        return true;
    if (split->by == NULL)
        return split_keeps(split, reading->text);
    if (json_get(root, split->by, &value)) {
        if (value.kind == JSON_TEXT)
            text = value.text;
        else if (value.kind == JSON_NUMBER)
            text = number_text(&value, number);
    }
    return split_keeps(split, text);
}

static bool read_line(struct reading *reading, int64_t *skipped)
{
    struct json_value root;
    bool parsed = parse_object(reading, &root);
    if (parsed && !is_kept(reading, &root))
        return true;
    if (parsed && set_fields(reading, &root))
        return fields_end_row(reading->fields, reading->line, reading->status);
    fields_undo_row(reading->fields);
    if (!reading->lines->skip_bad || reading->status->code != PIL_BAD_DATA)
        return false;
    status_clear(reading->status);
    *skipped += 1;
    return true;
}

/* Spaces of any kind at both ends. */
static struct slice trim_line(const char *at, const char *end)
{
    while (at < end && memchr(" \t\r", *at, 3) != NULL)
        at++;
    while (end > at && memchr(" \t\r", end[-1], 3) != NULL)
        end--;
    return slice_of(at, (size_t)(end - at));
}

/* The next line that is not blank; false at the end of the block. */
static bool next_line(struct reading *reading, const char **at)
{
    const char *end = reading->block->data + reading->block->size;
    while (*at < end) {
        const char *newline = memchr(*at, '\n', (size_t)(end - *at));
        const char *stop = newline != NULL ? newline : end;
        reading->text = trim_line(*at, stop);
        reading->line++;
        *at = newline != NULL ? newline + 1 : end;
        if (reading->text.size > 0)
            return true;
    }
    return false;
}

bool lines_parse(struct lines *lines, const struct block *block, struct fields *fields, int64_t *skipped, pil_status *status)
{
    struct reading reading = {
        .lines = lines, .block = block, .fields = fields, .line = block->first_line - 1, .status = status
    };
    int64_t dropped = 0;
    bool done = true;
    const char *at = block->data;
    fields->source = block->path;
    for (size_t i = 0; i < lines->count; i++)
        fields->fields[i].absent = lines->absent[i];
    while (done && next_line(&reading, &at))
        done = read_line(&reading, &dropped);
    if (skipped != NULL)
        *skipped += dropped;
    return done;
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

/* Optional fields that the first object lacks. A line that is no object says nothing; parsing will tell what is wrong. */
static void find_absent(struct lines *lines, const struct block *first)
{
    pil_status status = { 0 };
    struct reading reading = { .lines = lines, .block = first, .status = &status };
    struct json_value root, value;
    const char *at = first->data;
    if (first->size == 0 || !next_line(&reading, &at) || !parse_object(&reading, &root))
        return;
    for (size_t i = 0; i < lines->count; i++)
        lines->absent[i] = !lines->specs[i].required && !json_get(&root, lines->specs[i].name, &value);
}

struct lines *lines_new(const struct field_spec *specs, size_t count, const struct row_split *split, bool skip_bad,
                        const struct block *first, pil_status *status)
{
    struct lines *lines = mem_new(sizeof(*lines), status);
    if (lines == NULL)
        return NULL;
    *lines = (struct lines){ .specs = specs, .count = count, .skip_bad = skip_bad, .splits = split != NULL };
    if (split != NULL)
        lines->split = *split;
    lines->absent = mem_array(count, sizeof(*lines->absent), status);
    lines->seen = mem_array(count, sizeof(*lines->seen), status);
    lines->names = map_new(status);
    lines->parser = json_parser_new(0, status);
    if (!status_ok(status) || (split != NULL && !split_check(split, status)))
        goto failed;
    for (size_t i = 0; i < count; i++) {
        if (map_intern(lines->names, slice_text(specs[i].name), NULL, status) < 0)
            goto failed;
    }
    json_allow_nan(lines->parser, true);
    if (first != NULL)
        find_absent(lines, first);
    return lines;
failed:
    lines_free(lines);
    return NULL;
}

void lines_free(struct lines *lines)
{
    if (lines == NULL)
        return;
    mem_free(lines->absent);
    mem_free(lines->seen);
    map_free(lines->names);
    json_parser_free(lines->parser);
    mem_free(lines);
}
