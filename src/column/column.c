/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns and their owner: what all kinds have in common. Everything of a column lies in its owner's arena, but for what its row
 * releases. The owner keeps the first error; its error column is what every maker returns from then on, so that lists of makers
 * need one check at their end.
 */
#include <stdio.h>
#include <string.h>

#include "column/column_rows.h"
#include "column/internal.h"

/* The lists at the foot of every family, as the build knows them. */
#define DECLARE(word) extern const struct column_rows column_##word##_rows;
COLUMN_FAMILIES(DECLARE)
#define LIST(word) &column_##word##_rows,
static const struct column_rows *const families[] = { COLUMN_FAMILIES(LIST) };

/* What pil_columns_new returns without memory: a set that already failed. Nobody ever writes to it, since whoever would looks at
 * the status first. */
static pil_columns no_memory = {
    .status = { PIL_NO_MEMORY, "out of memory for a set of columns" },
    .error = { .owner = &no_memory, .name = "", .scope = "" },
};

pil_columns *pil_columns_new(void)
{
    pil_status status = { PIL_OK, "" };
    struct pil_columns *columns = mem_new(sizeof *columns, &status);

    if (!columns)
        return &no_memory;
    columns->arena = arena_new(&columns->status);
    if (!columns->arena) {
        mem_free(columns);
        return &no_memory;
    }
    columns->error = (struct pil_column){ .owner = columns, .name = "", .scope = "" };
    return columns;
}

pil_status pil_columns_status(const pil_columns *columns)
{
    return columns ? columns->status : no_memory.status;
}

void pil_columns_free(pil_columns *columns)
{
    if (!columns || columns == &no_memory || atomic_fetch_sub(&columns->holders, 1) > 0)
        return;
    for (struct pil_column *column = columns->first; column; column = column->next)
        if (column->row->release)
            column->row->release(column);
    arena_free(columns->arena);
    mem_free(columns);
}

struct pil_columns *column_hold(const struct pil_column *column)
{
    if (column->owner != &no_memory)
        atomic_fetch_add(&column->owner->holders, 1);
    return column->owner;
}

const char *pil_column_name(const pil_column *column)
{
    return column_name(column);
}

/* ---- making -------------------------------------------------------------------------------------------------- */

struct pil_column *column_error(struct pil_columns *owner)
{
    return owner ? &owner->error : &no_memory.error;
}

struct pil_column *column_begin(struct pil_columns *owner, const struct column_row *row, const void *options, size_t size)
{
    if (!owner || !status_ok(&owner->status))
        return NULL;
    struct pil_column *column = arena_alloc(owner->arena, sizeof *column, &owner->status);
    void *copy = size > 0 ? arena_alloc(owner->arena, size, &owner->status) : NULL;

    if (!column || (size > 0 && !copy))
        return NULL;
    if (size > 0)
        memcpy(copy, options, size);
    *column = (struct pil_column){ .row = row, .owner = owner, .options = copy, .next = owner->first };
    owner->first = column;
    return column;
}

struct pil_column *column_end(struct pil_columns *owner, struct pil_column *column)
{
    return owner && status_ok(&owner->status) && column ? column : column_error(owner);
}

struct pil_column *column_fail(struct pil_columns *owner, const struct column_row *row, const char *argument, const char *format,
                               ...)
{
    if (!owner || !status_ok(&owner->status))
        return column_error(owner);
    char buffer[PIL_MESSAGE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    status_fail(&owner->status, PIL_INVALID_ARGUMENT, "%s: %s", row->name, buffer);
    owner->wrong_argument = argument;
    return &owner->error;
}

const char *column_copy(struct pil_columns *owner, const char *text)
{
    return text ? arena_text(owner->arena, text, strlen(text), &owner->status) : NULL;
}

/* TensorFlow's rule for scopes: what is no letter, digit, "_", ".", "\" or "-" becomes "_". */
static char *scope_of(struct pil_columns *owner, const char *name)
{
    char *scope = arena_text(owner->arena, name, strlen(name), &owner->status);

    for (char *p = scope; p && *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!letter && !strchr("_.\\-", *p))
            *p = '_';
    }
    return scope;
}

void column_set_name(struct pil_column *column, const char *name)
{
    column->name = name;
    column->scope = name ? scope_of(column->owner, name) : NULL;
}

bool column_copy_inputs(struct pil_column *column, struct pil_column *const *inputs, size_t count)
{
    struct pil_column **copy = arena_alloc(column->owner->arena, count * sizeof *copy, &column->owner->status);

    if (!copy)
        return false;
    memcpy(copy, inputs, count * sizeof *copy);
    column->inputs = copy;
    column->input_count = count;
    return true;
}

/* ---- checks -------------------------------------------------------------------------------------------------- */

bool column_is_error(const struct pil_column *column)
{
    return !column || !column->row;
}

bool column_check_field(struct pil_columns *owner, const struct column_row *row, const char *argument, const char *field)
{
    if (field && *field)
        return true;
    column_fail(owner, row, argument, "%s is missing: the name of the field to read", argument);
    return false;
}

/* Ids are 32 bits wide. */
bool column_check_count(struct pil_columns *owner, const struct column_row *row, const char *argument, int64_t count)
{
    if (count >= 1 && count <= INT32_MAX)
        return true;
    column_fail(owner, row, argument, "%s is %lld; it must lie between 1 and 2147483647", argument, (long long)count);
    return false;
}

bool column_check_input(struct pil_columns *owner, const struct column_row *row, const char *argument,
                        const struct pil_column *input, bool categorical)
{
    if (!owner || !status_ok(&owner->status))
        return false;
    if (!input)
        column_fail(owner, row, argument, "%s is missing", argument);
    else if (column_is_error(input) || input->owner != owner)
        column_fail(owner, row, argument, "%s belongs to another set of columns", argument);
    else if (categorical && column_is_key(input))
        column_fail(owner, row, argument,
                    "%s is the raw field '%s'; make a categorical column of it, such as "
                    "categorical_column_with_hash_bucket",
                    argument, input->use.field);
    else if (categorical && column_is_numeric(input))
        column_fail(owner, row, argument, "%s is the numeric_column '%s'; make ids of it with bucketized_column", argument,
                    input->name);
    else if (categorical && !column_is_categorical(input))
        column_fail(owner, row, argument, "%s is the %s '%s'; it takes a categorical column", argument, input->row->name,
                    input->name);
    return status_ok(&owner->status);
}

bool column_check_dtype(struct pil_columns *owner, const struct column_row *row, const char *dtype, bool *is_integer)
{
    static const char *const integers[] = { "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64" };

    *is_integer = false;
    if (!dtype || strcmp(dtype, "string") == 0)
        return true;
    for (size_t i = 0; i < COUNT_OF(integers); i++)
        if (strcmp(dtype, integers[i]) == 0)
            return *is_integer = true;
    column_fail(owner, row, "dtype", "dtype is '%s'; it may be 'string' or 'int64'", dtype);
    return false;
}

/* ---- what other rooms read ----------------------------------------------------------------------------------- */

const struct column_row *column_find(const char *kind)
{
    for (size_t i = 0; i < COUNT_OF(families); i++)
        for (size_t k = 0; k < families[i]->count; k++)
            if (strcmp(families[i]->rows[k].name, kind) == 0)
                return &families[i]->rows[k];
    return NULL;
}

size_t column_kind_count(void)
{
    size_t count = 0;

    for (size_t i = 0; i < COUNT_OF(families); i++)
        count += families[i]->count;
    return count;
}

const struct arg_table *column_kind_table(size_t number)
{
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        if (number < families[i]->count)
            return families[i]->rows[number].args;
        number -= families[i]->count;
    }
    return NULL;
}

const char *column_kind(const struct pil_column *column)
{
    return column_is_error(column) ? "" : column->row->name;
}

const char *column_name(const struct pil_column *column)
{
    return column && column->name ? column->name : "";
}

const pil_status *column_status(const struct pil_column *column)
{
    return &column->owner->status;
}

const char *column_key(const struct pil_column *column)
{
    return column && column->key ? column->key : column_name(column);
}

const char *column_scope(const struct pil_column *column)
{
    return column && column->scope ? column->scope : "";
}

bool column_is_categorical(const struct pil_column *column)
{
    return column && column->buckets > 0;
}

bool column_is_dense(const struct pil_column *column)
{
    return column && column->width > 0;
}

int64_t column_buckets(const struct pil_column *column)
{
    return column ? column->buckets : 0;
}

int64_t column_width(const struct pil_column *column)
{
    return column ? column->width : 0;
}
