/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches that a function of the program makes. What it gives is checked and copied while it is called, so that its own memory is
 * its own again when it returns.
 */
#include <string.h>

#include "input/internal.h"

/* ---- the maker ----------------------------------------------------------------------------------------------- */

pil_dataset_from_callback_options pil_dataset_from_callback_options_default(void)
{
    return (pil_dataset_from_callback_options){ PIL_DATASET_FROM_CALLBACK_DEFAULTS };
}

static bool add_spec(struct pil_dataset *dataset, const pil_feature_spec *spec)
{
    struct dataset_field *field = dataset_add(dataset, spec->name);
    if (field == NULL)
        return false;
    if ((int)spec->type <= PIL_TYPE_ANY || spec->type > PIL_TYPE_FLOAT32)
        return dataset_fail(dataset, "feature '%s' has no type: string, int64 or float32", spec->name);
    if (spec->ragged && spec->shape[0] != 0)
        return dataset_fail(dataset, "feature '%s' is ragged and has a shape: a ragged row has any number of values", spec->name);
    field->typed = true;
    field->type = dataset_type(spec->type);
    if (!dataset_shape(dataset, field, spec->shape))
        return false;
    field->ragged = spec->ragged;
    if (field->ragged)
        field->width = 0;
    return true;
}

static void callback_make(struct pil_dataset *dataset, const pil_dataset_from_callback_options *options)
{
    if (options->next == NULL) {
        dataset_fail(dataset, "next is NULL");
        return;
    }
    if (options->features.count == 0 || options->features.items == NULL) {
        dataset_fail(dataset, "no features are declared");
        return;
    }
    if (!dataset_order(dataset, 1, options->num_epochs, -1))
        return;
    for (size_t i = 0; i < options->features.count; i++)
        if (!add_spec(dataset, &options->features.items[i]))
            return;
    dataset->next = options->next;
    dataset->seek = options->seek;
    dataset->context = options->context;
    if (options->label_name == NULL)
        return;
    const struct dataset_field *label = dataset_find(dataset, options->label_name);
    if (label != NULL) {
        dataset->label = label->name;
        return;
    }
    dataset_no_field(dataset, options->label_name, &dataset->status);
    status_prefix(&dataset->status, "pil_dataset_from_callback: the label: ");
}

pil_dataset *pil_dataset_from_callback_make(const pil_dataset_from_callback_options *options)
{
    struct pil_dataset *dataset = dataset_new(DATASET_CALLBACK);
    if (status_ok(&dataset->status))
        callback_make(dataset, options);
    return dataset;
}

/* ---- the reader ---------------------------------------------------------------------------------------------- */

struct callback {
    const struct pil_dataset *dataset;
    const struct field_spec *specs;
    size_t count;
    bool all_required;
    int *wanted;          /* [features of the dataset] number of the wanted field, or -1 */
    bool *given;          /* [features of the dataset] in the batch at hand */
    int64_t epoch, batch; /* the next one */
    bool moved;           /* a seek failed, or an error came: where the callback is nobody knows */
    pil_status said;      /* what the callback says */
};
struct pil_batch {
    struct callback *callback;
    struct fields *fields; /* NULL: the batch is thrown away */
    int64_t rows;          /* -1: nothing is set */
    const char *first;     /* the feature that has said how many */
    pil_status *status;
};

static bool bind(struct callback *callback, pil_status *status)
{
    const struct pil_dataset *dataset = callback->dataset;
    for (size_t i = 0; i < dataset->field_count; i++)
        callback->wanted[i] = -1;
    for (size_t i = 0; i < callback->count; i++) {
        const struct field_spec *spec = &callback->specs[i];
        const struct dataset_field *source = dataset_find(dataset, spec->name);
        if (source == NULL && !spec->required && !callback->all_required)
            continue;
        if (source == NULL)
            return dataset_no_field(dataset, spec->name, status);
        if (source->type != spec->type && !(spec->type == FIELD_FLOAT && source->type == FIELD_INT64))
            return status_fail(status, PIL_INVALID_ARGUMENT, "the callback's feature '%s' is declared %s, and is read as %s",
                               spec->name, field_type_name(source->type), field_type_name(spec->type));
        if (source->width != 1 && spec->separator == 0)
            return status_fail(status, PIL_INVALID_ARGUMENT,
                               "the callback's feature '%s' has several values a row, and is read as one of single values",
                               spec->name);
        callback->wanted[source - dataset->fields] = (int)i;
    }
    return true;
}

struct callback *callback_new(const struct pil_dataset *dataset, const struct field_spec *specs, size_t count, bool all_required,
                              pil_status *status)
{
    struct callback *callback = mem_new(sizeof(*callback), status);
    if (callback == NULL)
        return NULL;
    callback->dataset = dataset;
    callback->specs = specs;
    callback->count = count;
    callback->all_required = all_required;
    callback->wanted = mem_array(dataset->field_count, sizeof(*callback->wanted), status);
    callback->given = mem_array(dataset->field_count, sizeof(*callback->given), status);
    if (callback->wanted != NULL && callback->given != NULL && bind(callback, status))
        return callback;
    callback_free(callback);
    return NULL;
}

void callback_free(struct callback *callback)
{
    if (callback == NULL)
        return;
    mem_free(callback->wanted);
    mem_free(callback->given);
    mem_free(callback);
}

uint64_t callback_fingerprint(const struct callback *callback)
{
    const struct pil_dataset *dataset = callback->dataset;
    uint64_t hash = dataset->field_count;
    for (size_t i = 0; i < dataset->field_count; i++) {
        const struct dataset_field *field = &dataset->fields[i];
        hash = fingerprint_cat64(hash, fingerprint64(field->name, strlen(field->name)));
        hash = fingerprint_cat64(hash, (uint64_t)field->width * 4 + (uint64_t)field->type);
    }
    return hash;
}

/* ---- what the callback sets ---------------------------------------------------------------------------------- */

/* The declared feature that is set now; NULL after an error. */
static const struct dataset_field *begin_set(struct pil_batch *batch, const char *name, enum field_type type, bool ragged,
                                             int64_t rows)
{
    const struct pil_dataset *dataset = batch->callback->dataset;
    const struct dataset_field *field = name != NULL ? dataset_find(dataset, name) : NULL;
    pil_status *status = batch->status;
    if (!status_ok(status))
        return NULL;
    if (field == NULL)
        dataset_no_field(dataset, name != NULL ? name : "NULL", status);
    else if (batch->callback->given[field - dataset->fields])
        status_fail(status, PIL_BAD_DATA, "feature '%s' is given twice", name);
    else if (field->type != type)
        status_fail(status, PIL_BAD_DATA, "feature '%s' is declared %s, and %s is given", name, field_type_name(field->type),
                    field_type_name(type));
    else if (field->ragged != ragged)
        status_fail(status, PIL_BAD_DATA, "feature '%s' is declared %s, and is given as %s", name,
                    field->ragged ? "ragged" : "with a shape", ragged ? "ragged" : "rows of one shape");
    else if (rows < 0 || rows > INT32_MAX || (!ragged && rows > INT64_MAX / 16 / field->width))
        status_fail(status, PIL_BAD_DATA, "feature '%s' is given %lld rows; a batch has at most 2147483647", name,
                    (long long)rows);
    else if (batch->rows >= 0 && rows != batch->rows)
        status_fail(status, PIL_BAD_DATA, "feature '%s' has %lld rows, '%s' %lld: all of a batch have the same", name,
                    (long long)rows, batch->first, (long long)batch->rows);
    if (!status_ok(status))
        return NULL;
    batch->rows = rows;
    batch->first = field->name;
    batch->callback->given[field - dataset->fields] = true;
    return field;
}

static bool check_splits(const char *name, const int64_t *splits, int64_t rows, pil_status *status)
{
    if (splits == NULL)
        return status_fail(status, PIL_BAD_DATA, "feature '%s': row_splits is NULL", name);
    if (splits[0] != 0)
        return status_fail(status, PIL_BAD_DATA, "feature '%s': row_splits begins with %lld, not with 0", name,
                           (long long)splits[0]);
    for (int64_t r = 0; r < rows; r++)
        if (splits[r + 1] < splits[r] || splits[r + 1] > INT32_MAX)
            return status_fail(status, PIL_BAD_DATA,
                               "feature '%s': row_splits goes from %lld to %lld behind row %lld; it ascends up to 2147483647",
                               name, (long long)splits[r], (long long)splits[r + 1], (long long)r);
    return true;
}

/* The callback's texts are its own again when it returns. */
static bool own_texts(struct fields *fields, struct field *field, int64_t first, pil_status *status)
{
    size_t size = 0;
    for (int64_t e = first; e < field->entries; e++)
        size += field->texts[e].size;
    char *copy = size > 0 ? fields_own_text(fields, size, status) : NULL;
    if (size > 0 && copy == NULL)
        return false;
    for (int64_t e = first; e < field->entries; e++) {
        struct slice *text = &field->texts[e];
        if (text->size > 0)
            memcpy(copy, text->data, text->size);
        text->data = text->size > 0 ? copy : "";
        copy = text->size > 0 ? copy + text->size : copy;
    }
    return true;
}

static void set(struct pil_batch *batch, const char *name, struct field_values values, bool ragged)
{
    const struct dataset_field *field = begin_set(batch, name, values.type, ragged, values.rows);
    if (field == NULL || (ragged && !check_splits(name, values.splits, values.rows, batch->status)))
        return;
    values.width = field->width;
    if (values.values == NULL && (ragged ? values.splits[values.rows] : values.rows) > 0) {
        status_fail(batch->status, PIL_BAD_DATA, "feature '%s' is given NULL for values", name);
        return;
    }
    const int wanted = batch->callback->wanted[field - batch->callback->dataset->fields];
    if (wanted < 0 || batch->fields == NULL)
        return;
    struct field *to = &batch->fields->fields[wanted];
    const int64_t first = to->entries;
    if (fields_put(batch->fields, (size_t)wanted, &values, batch->status) && to->spec->type == FIELD_STRING)
        own_texts(batch->fields, to, first, batch->status);
}

void pil_batch_set_floats(pil_batch *batch, const char *name, const float *values, int64_t rows)
{
    set(batch, name, (struct field_values){ FIELD_FLOAT, values, rows, 0, NULL }, false);
}

void pil_batch_set_ints(pil_batch *batch, const char *name, const int64_t *values, int64_t rows)
{
    set(batch, name, (struct field_values){ FIELD_INT64, values, rows, 0, NULL }, false);
}

void pil_batch_set_strings(pil_batch *batch, const char *name, const char *const *values, int64_t rows)
{
    set(batch, name, (struct field_values){ FIELD_STRING, values, rows, 0, NULL }, false);
}

void pil_batch_set_ragged_floats(pil_batch *batch, const char *name, const float *values, const int64_t *row_splits, int64_t rows)
{
    set(batch, name, (struct field_values){ FIELD_FLOAT, values, rows, 0, row_splits }, true);
}

void pil_batch_set_ragged_ints(pil_batch *batch, const char *name, const int64_t *values, const int64_t *row_splits, int64_t rows)
{
    set(batch, name, (struct field_values){ FIELD_INT64, values, rows, 0, row_splits }, true);
}

void pil_batch_set_ragged_strings(pil_batch *batch, const char *name, const char *const *values, const int64_t *row_splits,
                                  int64_t rows)
{
    set(batch, name, (struct field_values){ FIELD_STRING, values, rows, 0, row_splits }, true);
}

/* ---- batches ------------------------------------------------------------------------------------------------- */

static bool all_given(const struct pil_batch *batch, pil_status *status)
{
    const struct callback *callback = batch->callback;
    const struct pil_dataset *dataset = callback->dataset;
    if (batch->rows == 0)
        return status_fail(status, PIL_BAD_DATA, "feature '%s' has no rows; a callback returns false at the end of an epoch",
                           batch->first);
    if (batch->rows < 0)
        return status_fail(status, PIL_BAD_DATA, "no feature was given; a callback returns false at the end of an epoch");
    for (size_t i = 0; i < dataset->field_count; i++) {
        const char *name = dataset->fields[i].name;
        const int wanted = callback->wanted[i];
        bool may_lack = !callback->all_required && dataset->label != NULL && strcmp(dataset->label, name) == 0 &&
                        (wanted < 0 || !callback->specs[wanted].required);
        if (!callback->given[i] && !may_lack)
            return status_fail(status, PIL_BAD_DATA, "feature '%s' was not given", name);
        if (wanted >= 0 && batch->fields != NULL)
            batch->fields->fields[wanted].absent = !callback->given[i];
    }
    return true;
}

static bool fill(struct callback *callback, int64_t epoch, int64_t number, struct fields *fields, bool *end, pil_status *status)
{
    const struct pil_dataset *dataset = callback->dataset;
    struct pil_batch batch = { .callback = callback, .fields = fields, .rows = -1, .status = status };
    memset(callback->given, 0, dataset->field_count * sizeof(*callback->given));
    for (size_t i = 0; fields != NULL && i < callback->count; i++)
        fields->fields[i].absent = true; /* until it is given */
    status_clear(&callback->said);
    bool filled = dataset->next(dataset->context, epoch, number, &batch, &callback->said);
    callback->said.message[PIL_MESSAGE_SIZE - 1] = '\0';
    if (!status_ok(&callback->said))
        return status_fail(status, callback->said.code, "%s", callback->said.message);
    if (!status_ok(status))
        return false;
    *end = !filled;
    if (*end)
        return batch.rows < 0 || status_fail(status, PIL_BAD_DATA,
                                             "it sets '%s' and returns false; true says that the batch is filled", batch.first);
    return all_given(&batch, status) && (fields == NULL || fields_end_rows(fields, batch.rows, 0, status));
}

bool callback_next(struct callback *callback, int64_t epoch, int64_t batch, struct fields *fields, bool *end, pil_status *status)
{
    if (fields != NULL)
        fields_clear(fields);
    if (!callback_seek(callback, epoch, batch, status))
        return false;
    if (!fill(callback, epoch, batch, fields, end, status)) {
        status_prefix(status, "the callback, epoch %lld, batch %lld: ", (long long)epoch, (long long)batch);
        callback->moved = true;
        return false;
    }
    callback->epoch = *end ? epoch + 1 : epoch;
    callback->batch = *end ? 0 : batch + 1;
    return true;
}

bool callback_seek(struct callback *callback, int64_t epoch, int64_t batch, pil_status *status)
{
    const struct pil_dataset *dataset = callback->dataset;
    bool end = false;
    if (epoch == callback->epoch && batch == callback->batch && !callback->moved)
        return true;
    callback->moved = true;
    if (dataset->seek != NULL) {
        status_clear(&callback->said);
        bool found = dataset->seek(dataset->context, epoch, batch, &callback->said);
        callback->said.message[PIL_MESSAGE_SIZE - 1] = '\0';
        if (!found || !status_ok(&callback->said)) {
            pil_code code = status_ok(&callback->said) ? PIL_BAD_DATA : callback->said.code;
            return status_fail(status, code, "the callback cannot seek epoch %lld, batch %lld%s%s", (long long)epoch,
                               (long long)batch, callback->said.message[0] != '\0' ? ": " : "", callback->said.message);
        }
    } else {
        callback->moved = false;
        callback->epoch = epoch;
        callback->batch = 0;
        for (int64_t n = 0; n < batch && !end; n++)
            if (!callback_next(callback, epoch, n, NULL, &end, status))
                return false;
        if (end)
            return status_fail(status, PIL_BAD_DATA, "the callback's epoch %lld has fewer than the %lld batches it had",
                               (long long)epoch, (long long)batch);
    }
    callback->moved = false;
    callback->epoch = epoch;
    callback->batch = batch;
    return true;
}
