/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets: what their makers were told, checked and copied. A dataset reads nothing; it is the note by which a feed is opened,
 * as often as somebody wants its rows.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "input/internal.h"

static const char *const makers[] = {
    [DATASET_FILES] = "pil_csv_dataset",
    [DATASET_ARRAYS] = "pil_dataset_from_arrays",
    [DATASET_CALLBACK] = "pil_dataset_from_callback",
};

/* ---- life ---------------------------------------------------------------------------------------------------- */

static struct pil_dataset no_memory = { .status = { PIL_NO_MEMORY, "out of memory for a dataset" } };

struct pil_dataset *dataset_new(enum dataset_kind kind)
{
    pil_status status = { PIL_OK, "" };
    struct pil_dataset *dataset = mem_new(sizeof(*dataset), &status);
    if (dataset == NULL)
        return &no_memory;
    dataset->kind = kind;
    dataset->seed = -1;
    dataset->arena = arena_new(&dataset->status);
    return dataset;
}

pil_status pil_dataset_status(const pil_dataset *dataset)
{
    return dataset != NULL ? dataset->status : no_memory.status;
}

void pil_dataset_free(pil_dataset *dataset)
{
    if (dataset == NULL || dataset == &no_memory)
        return;
    mem_free(dataset->fields);
    arena_free(dataset->arena);
    mem_free(dataset);
}

bool dataset_fail(struct pil_dataset *dataset, const char *format, ...)
{
    char text[PIL_MESSAGE_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    return status_fail(&dataset->status, PIL_INVALID_ARGUMENT, "%s: %s", makers[dataset->kind], text);
}

/* ---- fields -------------------------------------------------------------------------------------------------- */

const struct dataset_field *dataset_find(const struct pil_dataset *dataset, const char *name)
{
    for (size_t i = 0; i < dataset->field_count; i++)
        if (strcmp(dataset->fields[i].name, name) == 0)
            return &dataset->fields[i];
    return NULL;
}

int64_t dataset_label_width(const struct pil_dataset *dataset)
{
    const struct dataset_field *label = dataset->label ? dataset_find(dataset, dataset->label) : NULL;
    return MAX(label && label->sized ? label->width : dataset->label_width, 1);
}

bool dataset_no_field(const struct pil_dataset *dataset, const char *name, pil_status *status)
{
    const char *near[64];
    size_t count = MIN(dataset->field_count, COUNT_OF(near));
    for (size_t i = 0; i < count; i++)
        near[i] = dataset->fields[i].name;
    const char *nearest = nearest_word(name, near, count);
    return status_fail(status, PIL_INVALID_ARGUMENT,
                       nearest != NULL ? "there is no feature '%s'; did you mean '%s'?" : "there is no feature '%s'", name,
                       nearest);
}

struct dataset_field *dataset_add(struct pil_dataset *dataset, const char *name)
{
    pil_status *status = &dataset->status;
    if (!status_ok(status))
        return NULL;
    if (name == NULL || name[0] == '\0') {
        dataset_fail(dataset, "feature number %zu has no name", dataset->field_count + 1);
        return NULL;
    }
    if (dataset_find(dataset, name) != NULL) {
        dataset_fail(dataset, "there are two features '%s'", name);
        return NULL;
    }
    const char *copy = arena_text(dataset->arena, name, strlen(name), status);
    if (copy == NULL ||
        !mem_grow(&dataset->fields, &dataset->field_capacity, dataset->field_count + 1, sizeof(*dataset->fields), status))
        return NULL;
    struct dataset_field *field = &dataset->fields[dataset->field_count++];
    field->name = copy;
    return field;
}

bool dataset_shape(struct pil_dataset *dataset, struct dataset_field *field, const int64_t dims[PIL_ROW_RANK])
{
    field->sized = true;
    field->width = 1;
    for (int i = 0; i < PIL_ROW_RANK && dims[i] != 0; i++) {
        if (dims[i] < 0 || field->width > INT32_MAX / dims[i])
            return dataset_fail(dataset, "feature '%s': its shape has the dimension %lld; a row holds 1 to 2147483647 values",
                                field->name, (long long)dims[i]);
        field->shape.dims[field->shape.rank++] = dims[i];
        field->width *= dims[i];
    }
    return true;
}

enum field_type dataset_type(pil_feature_type type)
{
    return type == PIL_TYPE_STRING ? FIELD_STRING : type == PIL_TYPE_INT64 ? FIELD_INT64 : FIELD_FLOAT;
}

bool dataset_order(struct pil_dataset *dataset, int64_t batch_size, int64_t epochs, int64_t seed)
{
    if (batch_size < 1)
        return dataset_fail(dataset, "batch_size is %lld; it must be at least 1", (long long)batch_size);
    if (epochs < 0)
        return dataset_fail(dataset, "num_epochs is %lld; it must be at least 1, or 0 for no end", (long long)epochs);
    if (seed < -1)
        return dataset_fail(dataset, "shuffle_seed is %lld; it must be at least 0, or -1 for the run's", (long long)seed);
    dataset->order.batch_size = batch_size;
    dataset->order.epochs = epochs;
    dataset->seed = seed;
    return true;
}

/* ---- files --------------------------------------------------------------------------------------------------- */

pil_csv_dataset_options pil_csv_dataset_options_default(void)
{
    return (pil_csv_dataset_options){ PIL_CSV_DATASET_DEFAULTS };
}

static const char *copy_text(struct pil_dataset *dataset, const char *text)
{
    return text != NULL ? arena_text(dataset->arena, text, strlen(text), &dataset->status) : NULL;
}

static const char *const *copy_words(struct pil_dataset *dataset, pil_words words, const char *argument)
{
    if (words.items == NULL && words.count > 0)
        dataset_fail(dataset, "%s is NULL", argument);
    const char **copy = arena_alloc(dataset->arena, MAX(words.count, 1) * sizeof(*copy), &dataset->status);
    for (size_t i = 0; status_ok(&dataset->status) && i < words.count; i++) {
        if (words.items[i] == NULL || words.items[i][0] == '\0')
            dataset_fail(dataset, "%s: number %zu is %s", argument, i + 1, words.items[i] == NULL ? "NULL" : "empty");
        else
            copy[i] = copy_text(dataset, words.items[i]);
    }
    return copy;
}

static bool add_csv_field(struct pil_dataset *dataset, const pil_csv_field *given)
{
    struct dataset_field *field = dataset_add(dataset, given->name);
    if (field == NULL)
        return false;
    if ((int)given->type < PIL_TYPE_ANY || given->type > PIL_TYPE_FLOAT32)
        return dataset_fail(dataset, "field '%s' has the type %d; see pil_feature_type", given->name, (int)given->type);
    field->typed = given->type != PIL_TYPE_ANY;
    field->type = dataset_type(given->type);
    field->separator = given->separator;
    field->weight_separator = given->weight_separator;
    field->ragged = given->separator != 0;
    return true;
}

static bool csv_numbers(struct pil_dataset *dataset, const pil_csv_dataset_options *options)
{
    const int64_t *shuffle = &options->shuffle_buffer_size, *skip = &options->skip;
    if (options->shuffle && *shuffle < 1)
        return dataset_fail(dataset, "shuffle_buffer_size is %lld; it must be at least 1", (long long)*shuffle);
    if (*skip < 0)
        return dataset_fail(dataset, "skip is %lld; it must be at least 0", (long long)*skip);
    if (options->cache && options->cache_bytes < 1)
        return dataset_fail(dataset, "cache_bytes is %lld; it must be at least 1", (long long)options->cache_bytes);
    if (options->max_values_per_row < 1 || options->max_values_per_row > INT32_MAX)
        return dataset_fail(dataset, "max_values_per_row is %lld; it must be 1 to 2147483647",
                            (long long)options->max_values_per_row);
    if (!(options->split >= 0 && options->split <= 1))
        return dataset_fail(dataset, "split is %g; it must be from 0 to 1", options->split);
    dataset->order.shuffle = options->shuffle ? *shuffle : 0;
    dataset->order.skip = *skip;
    dataset->cache = options->cache;
    dataset->cache_bytes = options->cache_bytes;
    dataset->max_values_per_row = options->max_values_per_row;
    return true;
}

static void csv_make(struct pil_dataset *dataset, const pil_csv_dataset_options *options)
{
    if (options->file_pattern.count == 0 || options->file_pattern.items == NULL) {
        dataset_fail(dataset, "file_pattern names no file");
        return;
    }
    if (!dataset_order(dataset, options->batch_size, options->num_epochs, options->shuffle_seed) ||
        !csv_numbers(dataset, options))
        return;
    if (options->label_dimension < 1) {
        dataset_fail(dataset, "label_dimension is %lld, 1 or more is needed", (long long)options->label_dimension);
        return;
    }
    if (options->fields.count > 0 && options->fields.items == NULL) {
        dataset_fail(dataset, "fields is NULL");
        return;
    }
    for (size_t i = 0; i < options->fields.count; i++)
        if (!add_csv_field(dataset, &options->fields.items[i]))
            return;
    dataset->paths = copy_words(dataset, options->file_pattern, "file_pattern");
    dataset->path_count = options->file_pattern.count;
    dataset->format = copy_text(dataset, options->format);
    dataset->label = copy_text(dataset, options->label_name);
    dataset->label_width = options->label_dimension;
    dataset->csv = (struct csv_options){ .delimiter = options->field_delim,
                                         .header = options->column_names.count == 0,
                                         .names = copy_words(dataset, options->column_names, "column_names"),
                                         .name_count = options->column_names.count,
                                         .comment = options->comment,
                                         .skip_bad = options->ignore_errors };
    dataset->split = (struct row_split){ options->split, options->split_held_out, copy_text(dataset, options->split_by) };
}

pil_dataset *pil_csv_dataset_make(const pil_csv_dataset_options *options)
{
    struct pil_dataset *dataset = dataset_new(DATASET_FILES);
    if (status_ok(&dataset->status))
        csv_make(dataset, options);
    return dataset;
}
