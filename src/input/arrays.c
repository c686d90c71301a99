/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrays in memory as fields: a run of rows of each array becomes entries of its field at once, without a call for each value.
 */
#include <string.h>

#include "input/internal.h"

/* ---- the maker ----------------------------------------------------------------------------------------------- */

pil_dataset_from_arrays_options pil_dataset_from_arrays_options_default(void)
{
    return (pil_dataset_from_arrays_options){ PIL_DATASET_FROM_ARRAYS_DEFAULTS };
}

static bool has_values(const pil_array *array)
{
    return array->floats != NULL || array->ints != NULL || array->strings != NULL;
}

static bool add_array(struct pil_dataset *dataset, const pil_array *array, const char *name)
{
    const int kinds = (array->floats != NULL) + (array->ints != NULL) + (array->strings != NULL);
    struct dataset_field *field = dataset_add(dataset, name);
    if (field == NULL)
        return false;
    if (kinds == 0 && array->rows != 0)
        return dataset_fail(dataset, "feature '%s' has no values: floats, ints and strings are NULL", name);
    if (kinds > 1)
        return dataset_fail(dataset, "feature '%s' has values of two types: give one of floats, ints and strings", name);
    if (array->rows < 1)
        return dataset_fail(dataset, "feature '%s' has %lld rows", name, (long long)array->rows);
    field->typed = true;
    field->type = array->ints != NULL ? FIELD_INT64 : array->strings != NULL ? FIELD_STRING : FIELD_FLOAT;
    field->values = array->ints != NULL      ? (const void *)array->ints
                    : array->strings != NULL ? (const void *)array->strings
                                             : (const void *)array->floats;
    if (!dataset_shape(dataset, field, array->shape))
        return false;
    if (array->rows > INT64_MAX / 16 / field->width)
        return dataset_fail(dataset, "feature '%s' has %lld rows, more than memory can hold", name, (long long)array->rows);
    if (dataset->field_count == 1)
        dataset->rows = array->rows;
    if (dataset->rows == array->rows)
        return true;
    return dataset_fail(dataset, "'%s' has %lld rows, '%s' %lld: all arrays must have the same number of rows",
                        dataset->fields[0].name, (long long)dataset->rows, name, (long long)array->rows);
}

static void arrays_make(struct pil_dataset *dataset, const pil_dataset_from_arrays_options *options)
{
    const pil_array *label = &options->y;
    if (options->x.count == 0 || options->x.items == NULL) {
        dataset_fail(dataset, "x has no features");
        return;
    }
    if (!dataset_order(dataset, options->batch_size, options->num_epochs, options->shuffle_seed))
        return;
    for (size_t i = 0; i < options->x.count; i++)
        if (!add_array(dataset, &options->x.items[i], options->x.items[i].name))
            return;
    if (has_values(label) || label->rows != 0 || label->name != NULL) {
        if (!add_array(dataset, label, label->name != NULL ? label->name : "label"))
            return;
        dataset->label = dataset->fields[dataset->field_count - 1].name;
    }
    dataset->order.shuffle = options->shuffle ? dataset->rows : 0;
}

pil_dataset *pil_dataset_from_arrays_make(const pil_dataset_from_arrays_options *options)
{
    struct pil_dataset *dataset = dataset_new(DATASET_ARRAYS);
    if (status_ok(&dataset->status))
        arrays_make(dataset, options);
    return dataset;
}

/* ---- the reader ---------------------------------------------------------------------------------------------- */

struct arrays {
    const struct pil_dataset *dataset;
    size_t count;
    const struct dataset_field **sources; /* [count] of the wanted fields; NULL: absent */
};

static bool bind(struct arrays *arrays, size_t i, const struct field_spec *spec, bool required, pil_status *status)
{
    const struct dataset_field *source = dataset_find(arrays->dataset, spec->name);
    arrays->sources[i] = source;
    if (source == NULL)
        return !required || dataset_no_field(arrays->dataset, spec->name, status);
    if (source->type != spec->type && !(spec->type == FIELD_FLOAT && source->type == FIELD_INT64))
        return status_fail(status, PIL_INVALID_ARGUMENT, "the array '%s' holds %s, and is read as %s", spec->name,
                           field_type_name(source->type), field_type_name(spec->type));
    if (source->width != 1 && spec->separator == 0)
        return status_fail(status, PIL_INVALID_ARGUMENT,
                           "the array '%s' has %lld values a row, and is read as one of single values", spec->name,
                           (long long)source->width);
    return true;
}

struct arrays *arrays_new(const struct pil_dataset *dataset, const struct field_spec *specs, size_t count, bool all_required,
                          pil_status *status)
{
    struct arrays *arrays = mem_new(sizeof(*arrays), status);
    if (arrays == NULL)
        return NULL;
    arrays->dataset = dataset;
    arrays->count = count;
    arrays->sources = mem_array(MAX(count, 1), sizeof(*arrays->sources), status);
    for (size_t i = 0; arrays->sources != NULL && i < count; i++)
        if (!bind(arrays, i, &specs[i], all_required || specs[i].required, status))
            break;
    if (status_ok(status))
        return arrays;
    arrays_free(arrays);
    return NULL;
}

void arrays_free(struct arrays *arrays)
{
    if (arrays == NULL)
        return;
    mem_free(arrays->sources);
    mem_free(arrays);
}

static const void *values_at(const struct dataset_field *field, int64_t row)
{
    const size_t at = (size_t)(row * field->width);
    switch (field->type) {
    case FIELD_FLOAT:
        return (const float *)field->values + at;
    case FIELD_INT64:
        return (const int64_t *)field->values + at;
    case FIELD_STRING:
        break;
    }
    return (const char *const *)field->values + at;
}

bool arrays_read(const struct arrays *arrays, int64_t first, int64_t count, struct fields *fields, pil_status *status)
{
    for (size_t i = 0; i < arrays->count; i++) {
        const struct dataset_field *source = arrays->sources[i];
        fields->fields[i].absent = source == NULL;
        if (source == NULL)
            continue;
        const struct field_values values = { source->type, values_at(source, first), count, source->width, NULL };
        if (!fields_put(fields, i, &values, status))
            return false;
    }
    return fields_end_rows(fields, count, first, status);
}

/* ---- the fingerprint ----------------------------------------------------------------------------------------- */

enum { ENDS = 4096 }; /* values at either end of an array that are compared */

static uint64_t hash_values(const struct dataset_field *field, int64_t first, int64_t count, uint64_t hash)
{
    const size_t item = field->type == FIELD_FLOAT ? sizeof(float) : sizeof(int64_t);
    if (field->type != FIELD_STRING)
        return fingerprint_cat64(hash, fingerprint64((const char *)field->values + (size_t)first * item, (size_t)count * item));
    const char *const *strings = (const char *const *)field->values + first;
    for (int64_t i = 0; i < count; i++)
        hash = fingerprint_cat64(hash, strings[i] != NULL ? fingerprint64(strings[i], strlen(strings[i])) : 0);
    return hash;
}

uint64_t arrays_fingerprint(const struct arrays *arrays)
{
    const struct pil_dataset *dataset = arrays->dataset;
    uint64_t hash = (uint64_t)dataset->rows;
    for (size_t i = 0; i < dataset->field_count; i++) {
        const struct dataset_field *field = &dataset->fields[i];
        const int64_t values = dataset->rows * field->width, ends = MIN(values, (int64_t)ENDS);
        hash = fingerprint_cat64(hash, fingerprint64(field->name, strlen(field->name)));
        hash = fingerprint_cat64(hash, (uint64_t)field->width * 4 + (uint64_t)field->type);
        hash = hash_values(field, 0, ends, hash);
        hash = hash_values(field, values - ends, ends, hash);
    }
    return hash;
}
