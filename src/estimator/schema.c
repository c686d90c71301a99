/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model file as a JSON Schema (draft 2020-12), for editors. Every argument comes from the table that the parser reads; what
 * stands here is only how tables are nested: columns by their kinds, params by the estimator, exporters by theirs.
 */
#include <string.h>

#include "estimator/modelfile.h"

static void null_or(void (*print)(const void *context, struct text *out), const void *context, struct text *json)
{
    text_append_text(json, "{\"anyOf\":[");
    print(context, json);
    text_append_text(json, ",{\"type\":\"null\"}]}");
}

static void print_table(const void *table, struct text *json)
{
    args_schema(table, json);
}

/* {kind: arguments}, with one of the kinds. */
static void one_of(const struct arg_table *table, struct text *json)
{
    text_append_text(json, "{\"type\":\"object\",\"required\":[");
    text_json_string(json, slice_text(table->name));
    text_append_text(json, "],\"additionalProperties\":false,\"properties\":{");
    text_json_string(json, slice_text(table->name));
    text_append_text(json, ":");
    null_or(print_table, table, json);
    text_append_text(json, "}}");
}

static bool needs_arguments(const struct arg_table *table)
{
    for (size_t i = 0; i < table->arg_count; i++)
        if (table->args[i].required)
            return true;
    return false;
}

/* A kind that needs no arguments may stand alone: `pickuplat: numeric_column`. */
static void print_columns(const void *context, struct text *json)
{
    (void)context;
    text_append_text(json, "{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[{\"enum\":[");
    for (size_t i = 0, any = 0; i < column_kind_count(); i++) {
        if (needs_arguments(column_kind_table(i)))
            continue;
        text_append_text(json, any++ > 0 ? "," : "");
        text_json_string(json, slice_text(column_kind_table(i)->name));
    }
    text_append_text(json, "]}");
    for (size_t i = 0; i < column_kind_count(); i++) {
        text_append_text(json, ",");
        one_of(column_kind_table(i), json);
    }
    text_append_text(json, "]}}");
}

static void print_exporters(const void *context, struct text *json)
{
    (void)context;
    text_append_text(json, "{\"type\":\"array\",\"items\":{\"anyOf\":[");
    for (size_t i = 0; i < EXPORTER_KINDS; i++) {
        text_append_text(json, i > 0 ? "," : "");
        one_of(&EXPORTER_TABLES[i], json);
    }
    text_append_text(json, "]}}");
}

static void print_estimators(struct text *json)
{
    text_append_text(json, "{\"enum\":[");
    for (size_t i = 0; i < ESTIMATOR_COUNT; i++) {
        text_append_text(json, i > 0 ? "," : "");
        text_json_string(json, slice_text(ESTIMATOR_ROWS[i].name));
    }
    text_append_text(json, "]}");
}

/* Where the value of a key of the file has a shape of its own. */
static void print_key(const struct arg *arg, struct text *json)
{
    static const struct {
        const char *name;
        void (*print)(const void *context, struct text *out);
        const struct arg_table *table;
    } sections[] = {
        { "columns", print_columns, NULL },     { "exporters", print_exporters, NULL }, { "input", print_table, &INPUT_TABLE },
        { "train", print_table, &TRAIN_TABLE }, { "eval", print_table, &EVAL_TABLE },   { "run", print_table, &RUN_TABLE },
    };

    for (size_t i = 0; i < COUNT_OF(sections); i++)
        if (strcmp(sections[i].name, arg->name) == 0) {
            null_or(sections[i].print, sections[i].table, json);
            return;
        }
    if (strcmp(arg->name, "estimator") == 0)
        print_estimators(json);
    else if (strcmp(arg->name, "params") == 0)
        text_append_text(json, "{\"type\":[\"object\",\"null\"]}"); /* by the estimator, below */
    else
        text_append_text(json, arg->type->schema);
}

static void print_keys(struct text *json)
{
    for (size_t i = 0; i < FILE_TABLE.arg_count; i++) {
        const struct arg *arg = &FILE_TABLE.args[i];
        text_append_text(json, i > 0 ? "," : "");
        text_json_string(json, slice_text(arg->name));
        text_append_text(json, ":{\"description\":");
        text_json_string(json, slice_text(arg->help));
        text_append_text(json, ",\"allOf\":[");
        print_key(arg, json);
        text_append_text(json, "]}");
    }
}

/* Which params an estimator takes; those that have required ones must be there. */
static void print_estimator_params(const struct estimator_row *row, struct text *json)
{
    bool required = needs_arguments(row->params);

    text_append_text(json, "{\"if\":{\"required\":[\"estimator\"],\"properties\":{\"estimator\":{\"const\":");
    text_json_string(json, slice_text(row->name));
    text_append_text(json, "}}},\"then\":{\"properties\":{\"params\":");
    if (required)
        args_schema(row->params, json);
    else
        null_or(print_table, row->params, json);
    text_append_text(json, required ? "},\"required\":[\"params\"]}}" : "}}}");
}

void modelfile_schema(struct text *json)
{
    text_append_text(json, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"Pilaster model file\","
                           "\"description\":");
    text_json_string(json, slice_text(FILE_TABLE.help));
    text_append_text(json, ",\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
    print_keys(json);
    text_append_text(json, "},\"required\":[");
    for (size_t i = 0, any = 0; i < FILE_TABLE.arg_count; i++)
        if (FILE_TABLE.args[i].required) {
            text_append_text(json, any++ > 0 ? "," : "");
            text_json_string(json, slice_text(FILE_TABLE.args[i].name));
        }
    text_append_text(json, "],\"allOf\":[");
    for (size_t i = 0; i < ESTIMATOR_COUNT; i++) {
        text_append_text(json, i > 0 ? "," : "");
        print_estimator_params(&ESTIMATOR_ROWS[i], json);
    }
    text_append_text(json, "]}\n");
}
