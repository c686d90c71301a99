/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Argument tables: one row an argument, and from the rows the parser, the text of a set of options, the JSON Schema and
 * the reference page. Nothing else lists the arguments. Their types are argtype.c's and the higher rooms'.
 */
#include "base/base.h"
#include "base/internal.h"

#include <stdio.h>
#include <string.h>

/* ---- values and their places --------------------------------------------------------------------------------- */

struct value *value_get(const struct value *map, const char *key)
{
    if (map == NULL || map->kind != VALUE_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i++) {
        if (slice_is(map->keys[i]->text, key))
            return map->items[i];
    }
    return NULL;
}

bool value_fail(const struct value *at, pil_status *status, const char *format, ...)
{
    if (status == NULL || !status_ok(status))
        return false;
    char text[PIL_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    status_fail(status, PIL_INVALID_ARGUMENT, "%s", text);
    if (at == NULL || at->file == NULL)
        return false;
    if (at->line > 0 && at->column > 0)
        return status_prefix(status, "%s:%d:%d: ", at->file, at->line, at->column);
    if (at->line > 0)
        return status_prefix(status, "%s:%d: ", at->file, at->line);
    return status_prefix(status, "%s: ", at->file);
}

struct value_shown value_shown(struct slice text)
{
    struct value_shown out;
    size_t size = MIN(text.size, 64);
    while (size > 0 && size < text.size && ((unsigned char)text.data[size] & 0xC0) == 0x80)
        size--;
    snprintf(out.text, sizeof(out.text), "%.*s%s", (int)size, size > 0 ? text.data : "", size < text.size ? "..." : "");
    return out;
}

bool value_no_key(const struct value *key, const char *what, const char *const *known, size_t count, pil_status *status)
{
    if (status == NULL || !status_ok(status))
        return false;
    struct value_shown word = value_shown(key->text);
    const char *nearest = nearest_word(word.text, known, count);
    if (nearest != NULL)
        return value_fail(key, status, "%s has no argument '%s'; did you mean '%s'?", what, word.text, nearest);
    value_fail(key, status, "%s has no argument '%s'", what, word.text);
    char list[400] = "";
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "", known[i]);
    if (count == 0)
        return status_hint(status, "it takes none");
    return used < sizeof(list) ? status_hint(status, "it takes %s", list) : false;
}

bool value_is_null(const struct value *value)
{
    if (value->kind == VALUE_NULL)
        return true;
    return value->kind == VALUE_SCALAR && !value->quoted &&
           (value->text.size == 0 || slice_is(value->text, "null") || slice_is(value->text, "~"));
}

/* ---- tables -------------------------------------------------------------------------------------------------- */

enum { NAMES_LIMIT = 128 }; /* of a table, for the nearest word; more are parsed, but not proposed */

static const struct arg *find_arg(const struct arg_table *table, struct slice name)
{
    for (size_t i = 0; i < table->arg_count; i++) {
        if (slice_is(name, table->args[i].name))
            return &table->args[i];
    }
    return NULL;
}

static bool no_such_argument(const struct arg_table *table, const struct value *key, pil_status *status)
{
    const char *names[NAMES_LIMIT];
    size_t count = MIN(table->arg_count, (size_t)NAMES_LIMIT);
    for (size_t i = 0; i < count; i++)
        names[i] = table->args[i].name;
    return value_no_key(key, table->name, names, count, status);
}

static bool is_repeated(const struct value *map, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (slice_equal(map->keys[i]->text, map->keys[index]->text))
            return true;
    }
    return false;
}

bool args_parse(const struct arg_table *table, const struct value *map, void *options, struct args_reader *reader,
                pil_status *status)
{
    if (table->defaults != NULL)
        memcpy(options, table->defaults, table->size);
    else
        memset(options, 0, table->size);
    bool given = map != NULL && !value_is_null(map);
    if (given && map->kind != VALUE_MAP)
        return value_fail(map, status, "%s takes its arguments as a map: {name: value, ...}", table->name);
    for (size_t i = 0; given && i < map->count; i++) {
        const struct value *key = map->keys[i];
        const struct arg *arg = find_arg(table, key->text);
        if (arg == NULL)
            return no_such_argument(table, key, status);
        if (is_repeated(map, i))
            return value_fail(key, status, "%s has '%s' twice", table->name, arg->name);
        if (arg->required && value_is_null(map->items[i]))
            return value_fail(map->items[i], status, "%s needs '%s': it cannot be null", table->name, arg->name);
        if (!arg->type->parse(arg, map->items[i], (char *)options + arg->offset, reader, status))
            return false;
    }
    for (size_t i = 0; i < table->arg_count; i++) {
        const struct arg *arg = &table->args[i];
        if (arg->required && (!given || value_get(map, arg->name) == NULL)) {
            value_fail(map, status, "%s needs '%s' (%s)", table->name, arg->name, arg->type->name);
            return arg->help != NULL ? status_hint(status, "%s: %s", arg->name, arg->help) : false;
        }
    }
    return true;
}

void args_print(const struct arg_table *table, const void *options, struct text *out)
{
    for (size_t i = 0; i < table->arg_count; i++) {
        const struct arg *arg = &table->args[i];
        text_format(out, "%s%s: ", i == 0 ? "{" : ", ", arg->name);
        arg->type->print(arg, (const char *)options + arg->offset, out);
    }
    text_append_text(out, table->arg_count == 0 ? "{}" : "}");
}

/* ---- JSON Schema --------------------------------------------------------------------------------------------- */

static void schema_text(struct text *out, const char *name, const char *value)
{
    text_format(out, ",\"%s\":", name);
    text_json_string(out, slice_text(value));
}

static bool is_number(const struct arg *arg)
{
    return arg->type == &ARG_INT || arg->type == &ARG_FLOAT || arg->type == &ARG_DOUBLE;
}

static void schema_argument(const struct arg_table *table, const struct arg *arg, struct text *out)
{
    struct slice fragment = slice_text(arg->type->schema); /* {...}: its inside joins what the row says */
    text_append_text(out, "{\"description\":");
    text_json_string(out, slice_text(arg->help != NULL ? arg->help : ""));
    if (fragment.size > 2) {
        text_append_text(out, ",");
        text_append(out, fragment.data + 1, fragment.size - 2);
    }
    if (arg->type == &ARG_CHOICE) {
        text_append_text(out, ",\"enum\":[");
        for (const char *const *word = arg->extra; *word != NULL; word++) {
            text_append_text(out, word == arg->extra ? "" : ",");
            text_json_string(out, slice_text(*word));
        }
        text_append_text(out, "]");
    }
    if (is_number(arg) && arg_has_limits(arg)) {
        if (arg->low > -ARG_NO_LIMIT) {
            text_append_text(out, ",\"minimum\":");
            text_json_double(out, arg->low);
        }
        if (arg->high < ARG_NO_LIMIT) {
            text_append_text(out, ",\"maximum\":");
            text_json_double(out, arg->high);
        }
    }
    if (!arg->required && arg->type->json != NULL && table->defaults != NULL) {
        text_append_text(out, ",\"default\":");
        arg->type->json(arg, (const char *)table->defaults + arg->offset, out);
    }
    text_append_text(out, "}");
}

void args_schema(const struct arg_table *table, struct text *out)
{
    text_append_text(out, "{\"type\":\"object\"");
    if (table->help != NULL)
        schema_text(out, "description", table->help);
    text_append_text(out, ",\"additionalProperties\":false,\"properties\":{");
    for (size_t i = 0; i < table->arg_count; i++) {
        text_append_text(out, i == 0 ? "" : ",");
        text_json_string(out, slice_text(table->args[i].name));
        text_append_text(out, ":");
        schema_argument(table, &table->args[i], out);
    }
    text_append_text(out, "}");
    bool any = false;
    for (size_t i = 0; i < table->arg_count; i++) {
        if (table->args[i].required) {
            text_append_text(out, any ? "," : ",\"required\":[");
            text_json_string(out, slice_text(table->args[i].name));
            any = true;
        }
    }
    text_append_text(out, any ? "]}" : "}");
}

/* ---- the reference page -------------------------------------------------------------------------------------- */

/* A bar would end the cell, a line's end the table. */
static void cell(struct text *out, struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '|')
            text_append(out, "\\|", 2);
        else
            text_append(out, text.data[i] == '\n' ? " " : &text.data[i], 1);
    }
}

static void reference_row(const struct arg_table *table, const struct arg *arg, struct text *out)
{
    text_format(out, "| `%s` | ", arg->name);
    if (arg->type == &ARG_CHOICE) {
        for (const char *const *word = arg->extra; *word != NULL; word++)
            text_format(out, "%s`%s`", word == arg->extra ? "" : ", ", *word);
    } else {
        cell(out, slice_text(arg->type->name));
    }
    if (arg_has_limits(arg)) {
        char limits[112];
        arg_print_limits(limits, arg);
        text_format(out, ", %s", limits);
    }
    if (arg->required || table->defaults == NULL) {
        text_append_text(out, arg->required ? " | required | " : " | | ");
    } else {
        struct text value = { .limit = 4096 };
        arg->type->print(arg, (const char *)table->defaults + arg->offset, &value);
        text_append_text(out, " | `");
        cell(out, slice_of(value.data, value.size));
        text_append_text(out, "` | ");
        out->failed = out->failed || value.failed;
        text_free(&value);
    }
    cell(out, slice_text(arg->help != NULL ? arg->help : ""));
    text_append_text(out, " |\n");
}

void args_reference(const struct arg_table *table, struct text *out)
{
    text_append_text(out, "| argument | type | default | meaning |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < table->arg_count; i++)
        reference_row(table, &table->args[i], out);
}
