/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Categorical columns without a vocabulary: the integer itself, a hash of the text, and ids that carry weights.
 */
#include <string.h>

#include "column/internal.h"

static const struct column_row rows[3];
#define IDENTITY (&rows[0])
#define HASHED (&rows[1])
#define WEIGHTED (&rows[2])

/* ---- identity ------------------------------------------------------------------------------------------------ */

pil_categorical_column_with_identity_options pil_categorical_column_with_identity_options_default(void)
{
    return (pil_categorical_column_with_identity_options){ PIL_CATEGORICAL_COLUMN_WITH_IDENTITY_DEFAULTS };
}

pil_column *pil_categorical_column_with_identity_make(pil_columns *owner,
                                                      const pil_categorical_column_with_identity_options *options)
{
    struct pil_column *column = column_begin(owner, IDENTITY, options, sizeof *options);
    pil_categorical_column_with_identity_options *copy;

    if (!column || !column_check_field(owner, IDENTITY, "key", options->key) ||
        !column_check_count(owner, IDENTITY, "num_buckets", options->num_buckets))
        return column_error(owner);
    if (options->default_value < -1 || options->default_value >= options->num_buckets)
        return column_fail(owner, IDENTITY, "default_value", "default_value is %lld; it must lie in [0, %lld)",
                           (long long)options->default_value, (long long)options->num_buckets);
    column->buckets = options->num_buckets;
    column->use = (struct column_use){ column_copy(owner, options->key), FIELD_INT64, ACCEPT_INT64 };
    if (!column->use.field)
        return column_error(owner);
    column_set_name(column, column->use.field);
    copy = (pil_categorical_column_with_identity_options *)column->options;
    copy->key = column->use.field;
    return column_end(owner, column);
}

static struct pil_column *identity_make(struct pil_columns *owner, const void *options, const struct value *map)
{
    (void)map;
    return pil_categorical_column_with_identity_make(owner, options);
}

static int64_t identity_value(const struct pil_column *column, const struct cell *cell, pil_status *status)
{
    const pil_categorical_column_with_identity_options *options = column->options;

    if (cell->integer >= 0 && cell->integer < options->num_buckets)
        return cell->integer;
    if (options->default_value >= 0)
        return options->default_value;
    status_fail(status, PIL_BAD_DATA, "%lld is not in [0, %lld)", (long long)cell->integer, (long long)options->num_buckets);
    status_hint(status, "make num_buckets larger, or give default_value for such values");
    return COLUMN_BAD;
}

static void identity_define(const struct pil_column *column, struct text *out)
{
    const pil_categorical_column_with_identity_options *options = column->options;

    text_format(out, "buckets %lld default %lld", (long long)options->num_buckets, (long long)options->default_value);
}

/* ---- hash_bucket --------------------------------------------------------------------------------------------- */

pil_categorical_column_with_hash_bucket_options pil_categorical_column_with_hash_bucket_options_default(void)
{
    return (pil_categorical_column_with_hash_bucket_options){ PIL_CATEGORICAL_COLUMN_WITH_HASH_BUCKET_DEFAULTS };
}

bool column_is_hashed(const struct pil_column *column)
{
    return column && column->row == HASHED;
}

pil_column *pil_categorical_column_with_hash_bucket_make(pil_columns *owner,
                                                         const pil_categorical_column_with_hash_bucket_options *options)
{
    struct pil_column *column = column_begin(owner, HASHED, options, sizeof *options);
    pil_categorical_column_with_hash_bucket_options *copy;
    struct divisor *own;
    bool is_integer;

    if (!column || !column_check_field(owner, HASHED, "key", options->key) ||
        !column_check_count(owner, HASHED, "hash_bucket_size", options->hash_bucket_size) ||
        !column_check_dtype(owner, HASHED, options->dtype, &is_integer))
        return column_error(owner);
    own = arena_alloc(owner->arena, sizeof *own, &owner->status);
    /* An integer is hashed as its decimal text, so a field of integers serves a column of strings too. */
    column->use = (struct column_use){ column_copy(owner, options->key), is_integer ? FIELD_INT64 : FIELD_STRING,
                                       is_integer ? ACCEPT_INT64 : ACCEPT_STRING | ACCEPT_INT64 };
    if (!own || !column->use.field)
        return column_error(owner);
    *own = divisor_of((uint64_t)options->hash_bucket_size);
    column->own = own;
    column->buckets = options->hash_bucket_size;
    column_set_name(column, column->use.field);
    copy = (pil_categorical_column_with_hash_bucket_options *)column->options;
    copy->key = column->use.field;
    copy->dtype = column_copy(owner, options->dtype);
    return column_end(owner, column);
}

static struct pil_column *hashed_make(struct pil_columns *owner, const void *options, const struct value *map)
{
    (void)map;
    return pil_categorical_column_with_hash_bucket_make(owner, options);
}

static int64_t hashed_value(const struct pil_column *column, uint64_t fingerprint)
{
    return (int64_t)modulo(fingerprint, *(const struct divisor *)column->own);
}

static void hashed_define(const struct pil_column *column, struct text *out)
{
    text_format(out, "buckets %lld", (long long)column->buckets);
}

/* ---- weighted ------------------------------------------------------------------------------------------------ */

pil_weighted_categorical_column_options pil_weighted_categorical_column_options_default(void)
{
    return (pil_weighted_categorical_column_options){ PIL_WEIGHTED_CATEGORICAL_COLUMN_DEFAULTS };
}

bool column_is_weighted(const struct pil_column *column)
{
    return column && column->row == WEIGHTED;
}

pil_column *pil_weighted_categorical_column_make(pil_columns *owner, const pil_weighted_categorical_column_options *options)
{
    struct pil_column *column = column_begin(owner, WEIGHTED, options, sizeof *options);
    pil_weighted_categorical_column_options *copy;

    if (!column || !column_check_input(owner, WEIGHTED, "categorical_column", options->categorical_column, true) ||
        !column_check_field(owner, WEIGHTED, "weight_feature_key", options->weight_feature_key))
        return column_error(owner);
    if (column_is_weighted(options->categorical_column))
        return column_fail(owner, WEIGHTED, "categorical_column", "categorical_column '%s' has weights already",
                           options->categorical_column->name);
    if (!column_number_use(owner, WEIGHTED, options->weight_feature_key, options->dtype, &column->use) ||
        !column_copy_inputs(column, &options->categorical_column, 1))
        return column_error(owner);
    column->buckets = options->categorical_column->buckets;
    column_set_name(column, arena_format(owner->arena, &owner->status, "%s_weighted_by_%s", options->categorical_column->name,
                                         column->use.field));
    copy = (pil_weighted_categorical_column_options *)column->options;
    copy->weight_feature_key = column->use.field;
    copy->dtype = column_copy(owner, options->dtype);
    return column_end(owner, column);
}

static struct pil_column *weighted_make(struct pil_columns *owner, const void *options, const struct value *map)
{
    (void)map;
    return pil_weighted_categorical_column_make(owner, options);
}

static bool always_ragged(const struct pil_column *column, bool inputs_ragged)
{
    (void)column, (void)inputs_ragged;
    return true;
}

/* The weights of a chunk: a field of numbers, or what the keys' own field brought along. */
struct weights {
    const struct field *keys; /* the categorical column's field; NULL: it has several (a cross) or makes entries of numbers */
    const struct field *weights;
    bool own;
};

static bool weight_of(const struct weights *from, int64_t entry, float *weight)
{
    if (!from->own)
        return field_number(from->weights, entry, weight);
    *weight = from->weights->weights[entry];
    return from->weights->present[entry] != 0;
}

/* Entry by entry beside its ids: a weight belongs to the key of the same place in the cell, so that a missing key takes its
 * weight along and the others stay aligned. */
static bool weighted_row(const struct lane_spec *lane, const struct program_run *run, const struct weights *from, int64_t row,
                         int64_t key_count, const int32_t *places, int64_t ids, float *out)
{
    int64_t begin, end;

    if (ids == 0)
        return true;
    field_entries(from->weights, run->first + row, &begin, &end);
    if (end - begin != key_count) {
        status_fail(run->status, PIL_BAD_DATA, "the row has %lld keys and %lld weights", (long long)key_count,
                    (long long)(end - begin));
        return run_fail_at(run, row, from->weights, lane->column);
    }
    for (int64_t i = 0; i < ids; i++)
        if (!weight_of(from, begin + places[i], &out[i])) {
            status_fail(run->status, PIL_BAD_DATA, "key number %d of the row has no weight", (int)places[i] + 1);
            return run_fail_at(run, row, from->weights, lane->column);
        }
    return true;
}

static bool weighted_run(const struct lane_spec *lane, struct program_run *run)
{
    const struct lane_spec *input = run_input_spec(lane, run, 0);
    const struct lane *ids = run_input(lane, run, 0);
    struct lane *out = &run->lanes[lane->number];
    const struct field *keys = input->field >= 0 ? run->field_of[input->field] : NULL;
    struct weights from = { keys, lane->field >= 0 ? run->field_of[lane->field] : keys, lane->field < 0 };
    int64_t entries = 0;

    for (int64_t r = 0; r < run->rows; r++) {
        int64_t begin = input->ragged ? ids->offsets[r] : r, key_begin = 0, key_end;
        int64_t count = input->ragged ? ids->offsets[r + 1] - begin : ids->present[r];

        out->offsets[r] = entries;
        key_end = count;
        if (keys)
            field_entries(keys, run->first + r, &key_begin, &key_end);
        if (!lane_reserve(out, entries + count, true, run->status))
            return false;
        for (int64_t i = 0; i < count; i++) {
            out->values[entries + i] = ids->values[begin + i];
            out->places[entries + i] = input->ragged ? ids->places[begin + i] : 0;
        }
        if (!weighted_row(lane, run, &from, r, key_end - key_begin, out->places + entries, count, out->floats + entries))
            return false;
        entries += count;
    }
    out->offsets[run->rows] = entries;
    return true;
}

static void weighted_define(const struct pil_column *column, struct text *out)
{
    (void)column;
    text_format(out, "weights");
}

/* ---- arguments ----------------------------------------------------------------------------------------------- */

#define IDENTITY_ARG(member) .offset = offsetof(pil_categorical_column_with_identity_options, member)
static const pil_categorical_column_with_identity_options identity_defaults = { PIL_CATEGORICAL_COLUMN_WITH_IDENTITY_DEFAULTS };
static const struct arg identity_args[] = {
    { .name = "key", .type = &ARG_TEXT, IDENTITY_ARG(key), .help = "the field; by default the entry's own name" },
    { .name = "num_buckets",
      .type = &ARG_INT,
      IDENTITY_ARG(num_buckets),
      .required = true,
      .low = 1,
      .high = INT32_MAX,
      .help = "ids are below it" },
    { .name = "default_value",
      .type = &COLUMN_ARG_COUNT,
      IDENTITY_ARG(default_value),
      .help = "for values out of range; null: an error" },
};
static const struct arg_table identity_table = {
    .name = "categorical_column_with_identity",
    .help = "integers that are ids",
    .args = identity_args,
    .arg_count = COUNT_OF(identity_args),
    .defaults = &identity_defaults,
    .size = sizeof(pil_categorical_column_with_identity_options),
};

#define HASHED_ARG(member) .offset = offsetof(pil_categorical_column_with_hash_bucket_options, member)
static const pil_categorical_column_with_hash_bucket_options hashed_defaults = {
    PIL_CATEGORICAL_COLUMN_WITH_HASH_BUCKET_DEFAULTS
};
static const struct arg hashed_args[] = {
    { .name = "key", .type = &ARG_TEXT, HASHED_ARG(key), .help = "the field; by default the entry's own name" },
    { .name = "hash_bucket_size",
      .type = &ARG_INT,
      HASHED_ARG(hash_bucket_size),
      .required = true,
      .low = 1,
      .high = INT32_MAX,
      .help = "ids are below it" },
    { .name = "dtype", .type = &ARG_TEXT, HASHED_ARG(dtype), .help = "string or int64" },
};
static const struct arg_table hashed_table = {
    .name = "categorical_column_with_hash_bucket",
    .help = "words by their hash",
    .args = hashed_args,
    .arg_count = COUNT_OF(hashed_args),
    .defaults = &hashed_defaults,
    .size = sizeof(pil_categorical_column_with_hash_bucket_options),
};

#define WEIGHTED_ARG(member) .offset = offsetof(pil_weighted_categorical_column_options, member)
static const pil_weighted_categorical_column_options weighted_defaults = { PIL_WEIGHTED_CATEGORICAL_COLUMN_DEFAULTS };
static const struct arg weighted_args[] = {
    { .name = "categorical_column",
      .type = &COLUMN_ARG_COLUMN,
      WEIGHTED_ARG(categorical_column),
      .required = true,
      .help = "whose ids" },
    { .name = "weight_feature_key",
      .type = &ARG_TEXT,
      WEIGHTED_ARG(weight_feature_key),
      .required = true,
      .help = "the field of the weights; only a name where the keys' field has a weight_separator" },
    { .name = "dtype", .type = &ARG_TEXT, WEIGHTED_ARG(dtype), .help = "float32, or int64 for a field of integers" },
};
static const struct arg_table weighted_table = {
    .name = "weighted_categorical_column",
    .help = "ids with weights",
    .args = weighted_args,
    .arg_count = COUNT_OF(weighted_args),
    .defaults = &weighted_defaults,
    .size = sizeof(pil_weighted_categorical_column_options),
};

static const struct column_row rows[3] = {
    { .name = "categorical_column_with_identity",
      .help = "integers that are ids",
      .args = &identity_table,
      .make = identity_make,
      .value = identity_value,
      .define = identity_define },
    { .name = "categorical_column_with_hash_bucket",
      .help = "words by their hash",
      .args = &hashed_table,
      .make = hashed_make,
      .hashed = hashed_value,
      .define = hashed_define },
    { .name = "weighted_categorical_column",
      .help = "ids with weights",
      .args = &weighted_table,
      .make = weighted_make,
      .run = weighted_run,
      .ragged = always_ragged,
      .define = weighted_define },
};
COLUMN_ROWS_OF(categorical);
