/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crosses: the hash of one value of each leaf. Leaves are what remains after crosses among the keys are taken apart: categorical
 * columns, whose id goes in as a number, and raw fields, whose text goes in by its fingerprint and whose integer goes in as it
 * is. The order of the leaves decides the ids, their sorted names make the column's name.
 *
 * TensorFlow moves raw fields that arrive as dense tensors behind all other leaves, and crosses their empty values; a program
 * with compat tf_dense does the same (program.c orders the lanes).
 */
#include <stdlib.h>
#include <string.h>

#include "column/internal.h"

static const struct column_row rows[1];
#define CROSSED (&rows[0])
#define DEFAULT_HASH_KEY UINT64_C(0xDECAFCAFFE) /* of tensorflow/python/ops/sparse_ops.py */

struct crossed {
    uint64_t hash_key;
    struct divisor buckets;
};

/* ---- a raw field --------------------------------------------------------------------------------------------- */

const struct column_row COLUMN_KEY = { .name = "key", .help = "a raw field in a cross" };

bool column_is_key(const struct pil_column *column)
{
    return column && column->row == &COLUMN_KEY;
}

pil_column *pil_key(pil_columns *owner, const char *field)
{
    struct pil_column *column = column_begin(owner, &COLUMN_KEY, NULL, 0);

    if (!column || !column_check_field(owner, &COLUMN_KEY, "field", field))
        return column_error(owner);
    column->use = (struct column_use){ column_copy(owner, field), FIELD_STRING, ACCEPT_STRING | ACCEPT_INT64 };
    if (!column->use.field)
        return column_error(owner);
    column_set_name(column, column->use.field);
    return column_end(owner, column);
}

/* ---- making -------------------------------------------------------------------------------------------------- */

pil_crossed_column_options pil_crossed_column_options_default(void)
{
    return (pil_crossed_column_options){ PIL_CROSSED_COLUMN_DEFAULTS };
}

bool column_is_crossed(const struct pil_column *column)
{
    return column && column->row == CROSSED;
}

static bool check_key(struct pil_columns *owner, const struct pil_column *key)
{
    if (!column_check_input(owner, CROSSED, "keys", key, false))
        return false;
    if (column_is_key(key))
        return true;
    if (column_is_numeric(key))
        column_fail(owner, CROSSED, "keys",
                    "a key is the numeric_column '%s'; make buckets of it with bucketized_column and name those", key->name);
    else if (column_is_hashed(key))
        column_fail(owner, CROSSED, "keys",
                    "a key is the hash_bucket column '%s'; hashing twice only adds collisions: name the raw field '%s' instead",
                    column_key(key), key->use.field);
    else if (column_is_weighted(key))
        column_fail(owner, CROSSED, "keys",
                    "a key is the weighted column '%s'; name the column without its weights, or the raw field", column_key(key));
    else if (!column_is_categorical(key))
        column_fail(owner, CROSSED, "keys", "a key is the %s '%s'; keys are categorical columns and raw fields", key->row->name,
                    column_key(key));
    return status_ok(&owner->status);
}

/* Crosses stand for their own leaves, which are flat already. */
static bool flatten(struct pil_column *column, const pil_keys *keys)
{
    struct pil_columns *owner = column->owner;
    struct pil_column **leaves;
    size_t count = 0;

    for (size_t i = 0; i < keys->count; i++) {
        if (!check_key(owner, keys->items[i]))
            return false;
        count += column_is_crossed(keys->items[i]) ? keys->items[i]->input_count : 1;
    }
    leaves = arena_alloc(owner->arena, count * sizeof(struct pil_column *), &owner->status);
    if (!leaves)
        return false;
    column->inputs = leaves;
    column->input_count = count;
    for (size_t i = 0; i < keys->count; i++) {
        const struct pil_column *key = keys->items[i];
        if (!column_is_crossed(key))
            *leaves++ = keys->items[i];
        for (size_t k = 0; column_is_crossed(key) && k < key->input_count; k++)
            *leaves++ = key->inputs[k];
    }
    return true;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The sorted names of the columns, joined, and what follows them. */
bool column_join_names(struct pil_column *column, struct pil_column *const *parts, size_t count, const char *between,
                       const char *after, const char **joined)
{
    struct pil_columns *owner = column->owner;
    const char **names = mem_array(count, sizeof *names, &owner->status);
    struct text text = { 0 };

    if (!names)
        return false;
    for (size_t i = 0; i < count; i++)
        names[i] = parts[i]->name;
    qsort(names, count, sizeof *names, by_bytes);
    for (size_t i = 0; i < count; i++)
        text_format(&text, "%s%s", i == 0 ? "" : between, names[i]);
    text_format(&text, "%s", after);
    if (text_ok(&text, &owner->status))
        *joined = column_copy(owner, text.data);
    text_free(&text);
    mem_free(names);
    return status_ok(&owner->status);
}

pil_column *pil_crossed_column_make(pil_columns *owner, const pil_crossed_column_options *options)
{
    struct pil_column *column = column_begin(owner, CROSSED, options, sizeof *options);
    struct crossed *own;
    struct pil_column **keys;
    const char *name = "";

    if (!column || !column_check_count(owner, CROSSED, "hash_bucket_size", options->hash_bucket_size))
        return column_error(owner);
    if (options->keys.count < 2 || !options->keys.items)
        return column_fail(owner, CROSSED, "keys", "keys has %zu; a cross needs at least two", options->keys.count);
    own = arena_alloc(owner->arena, sizeof *own, &owner->status);
    keys = arena_alloc(owner->arena, options->keys.count * sizeof(struct pil_column *), &owner->status);
    if (!own || !keys || !flatten(column, &options->keys) ||
        !column_join_names(column, column->inputs, column->input_count, "_X_", "", &name))
        return column_error(owner);
    memcpy(keys, options->keys.items, options->keys.count * sizeof(struct pil_column *));
    ((pil_crossed_column_options *)column->options)->keys.items = keys;
    own->hash_key = options->hash_key == 0 ? DEFAULT_HASH_KEY : (uint64_t)options->hash_key;
    own->buckets = divisor_of((uint64_t)options->hash_bucket_size);
    column->own = own;
    column->buckets = options->hash_bucket_size;
    column_set_name(column, name);
    return column_end(owner, column);
}

static struct pil_column *crossed_make(struct pil_columns *owner, const void *options, const struct value *map)
{
    (void)map;
    return pil_crossed_column_make(owner, options);
}

static void crossed_define(const struct pil_column *column, struct text *out)
{
    const struct crossed *own = column->own;

    text_format(out, "buckets %lld hash_key %llu", (long long)column->buckets, (unsigned long long)own->hash_key);
}

/* ---- running ------------------------------------------------------------------------------------------------- */

/* One value of each leaf: a leaf at a time through the chunk, so that the chains of multiplications of many rows overlap. */
static void cross_single(const struct lane_spec *lane, struct program_run *run)
{
    const struct crossed *own = lane->column->own;
    struct lane *out = &run->lanes[lane->number];
    uint64_t *hash = out->values;

    for (int64_t r = 0; r < run->rows; r++)
        hash[r] = own->hash_key;
    memset(out->present, 1, (size_t)run->rows);
    for (size_t i = 0; i < lane->input_count; i++) {
        const struct lane *leaf = run_input(lane, run, i);
        for (int64_t r = 0; r < run->rows; r++)
            hash[r] = fingerprint_cat64(hash[r], leaf->values[r]);
        if (!run_input_spec(lane, run, i)->crosses_empty)
            for (int64_t r = 0; r < run->rows; r++)
                out->present[r] &= leaf->present[r];
    }
    for (int64_t r = 0; r < run->rows; r++)
        hash[r] = modulo(hash[r], own->buckets);
}

/* The values of a leaf in one row. */
static int64_t leaf_values(const struct lane_spec *lane, const struct program_run *run, size_t i, int64_t row,
                           const uint64_t **values)
{
    const struct lane *leaf = run_input(lane, run, i);
    const struct lane_spec *spec = run_input_spec(lane, run, i);

    if (!spec->ragged) {
        *values = leaf->values + row;
        return spec->crosses_empty || leaf->present[row] ? 1 : 0;
    }
    *values = leaf->values + leaf->offsets[row];
    return leaf->offsets[row + 1] - leaf->offsets[row];
}

/* How many combinations a row has; -1: too many, told in the status. */
static int64_t count_product(const struct lane_spec *lane, const struct program_run *run, int64_t row)
{
    const uint64_t *values;
    int64_t count = 1, limit = run_max_values(run);
    double product = 1;

    for (size_t i = 0; i < lane->input_count; i++)
        product *= (double)leaf_values(lane, run, i, row, &values);
    if (product > (double)limit) {
        status_fail(run->status, PIL_BAD_DATA, "the row makes %.0f combinations, more than max_values_per_row (%lld)", product,
                    (long long)limit);
        status_hint(run->status, "raise max_values_per_row, or cross fields with fewer values");
        run_fail_at(run, row, NULL, lane->column);
        return -1;
    }
    for (size_t i = 0; i < lane->input_count; i++)
        count *= leaf_values(lane, run, i, row, &values);
    return count;
}

/* All combinations of a row, last leaf fastest: n hashes become n m with every leaf of m values, in place, from the back. */
static int64_t cross_row(const struct lane_spec *lane, const struct program_run *run, int64_t row, uint64_t hash_key,
                         uint64_t *out)
{
    int64_t count = 1;

    out[0] = hash_key;
    for (size_t i = 0; i < lane->input_count; i++) {
        const uint64_t *values;
        int64_t more = leaf_values(lane, run, i, row, &values);
        for (int64_t k = count - 1; k >= 0; k--) {
            uint64_t hash = out[k];
            for (int64_t j = more - 1; j >= 0; j--)
                out[k * more + j] = fingerprint_cat64(hash, values[j]);
        }
        count *= more;
    }
    return count;
}

static bool cross_ragged(const struct lane_spec *lane, struct program_run *run)
{
    const struct crossed *own = lane->column->own;
    struct lane *out = &run->lanes[lane->number];
    int64_t entries = 0;

    for (int64_t r = 0; r < run->rows; r++) {
        int64_t count = count_product(lane, run, r);
        out->offsets[r] = entries;
        if (count < 0)
            return false;
        if (count == 0)
            continue;
        if (!lane_reserve(out, entries + count, false, run->status))
            return false;
        cross_row(lane, run, r, own->hash_key, out->values + entries);
        for (int64_t i = 0; i < count; i++) {
            out->values[entries + i] = modulo(out->values[entries + i], own->buckets);
            out->places[entries + i] = (int32_t)i;
        }
        entries += count;
    }
    out->offsets[run->rows] = entries;
    return true;
}

static bool crossed_run(const struct lane_spec *lane, struct program_run *run)
{
    if (lane->ragged)
        return cross_ragged(lane, run);
    cross_single(lane, run);
    return true;
}

/* ---- arguments ----------------------------------------------------------------------------------------------- */

#define ARG(member) .offset = offsetof(pil_crossed_column_options, member)
static const pil_crossed_column_options defaults = { PIL_CROSSED_COLUMN_DEFAULTS };
static const struct arg args[] = {
    { .name = "keys", .type = &COLUMN_ARG_KEYS, ARG(keys), .required = true, .help = "columns of this file, and raw fields" },
    { .name = "hash_bucket_size",
      .type = &ARG_INT,
      ARG(hash_bucket_size),
      .required = true,
      .low = 1,
      .high = INT32_MAX,
      .help = "ids are below it" },
    { .name = "hash_key",
      .type = &COLUMN_ARG_COUNT,
      ARG(hash_key),
      .help = "where the hash starts; null: TensorFlow's 956888297470" },
};
static const struct arg_table table = {
    .name = "crossed_column",
    .help = "combinations of values, by their hash",
    .args = args,
    .arg_count = COUNT_OF(args),
    .defaults = &defaults,
    .size = sizeof(pil_crossed_column_options),
};

static const struct column_row rows[1] = {
    { .name = "crossed_column",
      .help = "combinations of values, by their hash",
      .args = &table,
      .make = crossed_make,
      .run = crossed_run,
      .define = crossed_define },
};
COLUMN_ROWS_OF(crossed);
