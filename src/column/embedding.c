/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dense columns of categorical ones: a learned row for each id (embedding, shared embeddings), a count for each id (indicator).
 * A program knows only the ids; the table is the input layer's, which asks here what to make.
 *
 * Shared embeddings are a group: one column that stands for its members, and a member for each categorical column.
 */
#include <string.h>

#include "column/internal.h"

static const struct column_row rows[3];
#define INDICATOR (&rows[0])
#define EMBEDDING (&rows[1])
#define SHARED (&rows[2])

/* ---- indicator ----------------------------------------------------------------------------------------------- */

pil_indicator_column_options pil_indicator_column_options_default(void)
{
    return (pil_indicator_column_options){ PIL_INDICATOR_COLUMN_DEFAULTS };
}

const struct pil_column *column_indicator(const struct pil_column *column)
{
    return column && column->row == INDICATOR ? column->inputs[0] : NULL;
}

pil_column *pil_indicator_column_make(pil_columns *owner, const pil_indicator_column_options *options)
{
    struct pil_column *column = column_begin(owner, INDICATOR, options, sizeof *options);

    if (!column || !column_check_input(owner, INDICATOR, "categorical_column", options->categorical_column, true) ||
        !column_copy_inputs(column, &options->categorical_column, 1))
        return column_error(owner);
    column->width = options->categorical_column->buckets;
    column_set_name(column, arena_format(owner->arena, &owner->status, "%s_indicator", options->categorical_column->name));
    return column_end(owner, column);
}

static struct pil_column *indicator_make(struct pil_columns *owner, const void *options, const struct value *map)
{
    (void)map;
    return pil_indicator_column_make(owner, options);
}

/* ---- what embeddings have in common -------------------------------------------------------------------------- */

/* The table's options, of whichever maker. */
struct table {
    int64_t dimension;
    const char *combiner;
    pil_column_initializer initializer;
    const char *checkpoint, *tensor;
    float max_norm;
    bool trainable;
};

static bool check_combiner(struct pil_columns *owner, const struct column_row *row, const char *word, enum combiner *combiner)
{
    static const char *const words[] = { [COMBINER_SUM] = "sum", [COMBINER_MEAN] = "mean", [COMBINER_SQRTN] = "sqrtn" };
    const char *nearest;

    for (size_t i = 0; word && i < COUNT_OF(words); i++)
        if (strcmp(word, words[i]) == 0) {
            *combiner = (enum combiner)i;
            return true;
        }
    nearest = word ? nearest_word(word, words, COUNT_OF(words)) : NULL;
    if (nearest)
        column_fail(owner, row, "combiner", "there is no combiner '%s'; did you mean '%s'?", word, nearest);
    else
        column_fail(owner, row, "combiner", "combiner is '%s'; it may be 'mean', 'sqrtn' or 'sum'", word ? word : "");
    return false;
}

static bool check_checkpoint(struct pil_columns *owner, const struct column_row *row, const struct table *table)
{
    size_t length = table->tensor ? strlen(table->tensor) : 0;

    if (!table->checkpoint != !table->tensor)
        column_fail(owner, row, table->checkpoint ? "ckpt_to_load_from" : "tensor_name_in_ckpt",
                    "ckpt_to_load_from and tensor_name_in_ckpt belong together; only %s is given",
                    table->checkpoint ? "ckpt_to_load_from" : "tensor_name_in_ckpt");
    else if (length > 2 && strcmp(table->tensor + length - 2, ":0") == 0)
        column_fail(owner, row, "tensor_name_in_ckpt", "tensor_name_in_ckpt is '%s'; names in a checkpoint have no ':0'",
                    table->tensor);
    return status_ok(&owner->status);
}

/* Fills what all members of a table share. */
static bool embedding_fill(struct pil_columns *owner, const struct column_row *row, const struct table *table,
                           struct column_embedding *out)
{
    const char *nearest;

    if (table->dimension < 1 || table->dimension > INT32_MAX) {
        column_fail(owner, row, "dimension", "dimension is %lld; it must be at least 1", (long long)table->dimension);
        return false;
    }
    if (!check_combiner(owner, row, table->combiner, &out->combiner) || !check_checkpoint(owner, row, table))
        return false;
    if (!(table->max_norm >= 0)) {
        column_fail(owner, row, "max_norm", "max_norm is %g; it must be above 0", (double)table->max_norm);
        return false;
    }
    if (!initializer_of(&table->initializer, table->dimension, &out->initializer, &nearest)) {
        column_fail(owner, row, "initializer", "there is no initializer '%s'%s%s%s", table->initializer.name,
                    nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
        return false;
    }
    out->dimension = table->dimension;
    out->max_norm = table->max_norm;
    out->trainable = table->trainable;
    out->checkpoint = column_copy(owner, table->checkpoint);
    out->checkpoint_tensor = column_copy(owner, table->tensor);
    return status_ok(&owner->status);
}

const struct column_embedding *column_embedding(const struct pil_column *column)
{
    return column && (column->row == EMBEDDING || column->row == SHARED) ? column->own : NULL;
}

/* ---- embedding_column ---------------------------------------------------------------------------------------- */

pil_embedding_column_options pil_embedding_column_options_default(void)
{
    return (pil_embedding_column_options){ PIL_EMBEDDING_COLUMN_DEFAULTS };
}

pil_column *pil_embedding_column_make(pil_columns *owner, const pil_embedding_column_options *options)
{
    struct pil_column *column = column_begin(owner, EMBEDDING, options, sizeof *options);
    struct column_embedding *own;
    pil_embedding_column_options *copy;

    if (!column || !column_check_input(owner, EMBEDDING, "categorical_column", options->categorical_column, true) ||
        !column_copy_inputs(column, &options->categorical_column, 1))
        return column_error(owner);
    own = arena_alloc(owner->arena, sizeof *own, &owner->status);
    struct table table = { options->dimension,           options->combiner, options->initializer, options->ckpt_to_load_from,
                           options->tensor_name_in_ckpt, options->max_norm, options->trainable };
    if (!own || !embedding_fill(owner, EMBEDDING, &table, own))
        return column_error(owner);
    own->categorical = options->categorical_column;
    column->own = own;
    column->width = own->dimension;
    column_set_name(column, arena_format(owner->arena, &owner->status, "%s_embedding", options->categorical_column->name));
    own->variable = column->scope ? arena_format(owner->arena, &owner->status, "%s/embedding_weights", column->scope) : NULL;
    copy = (pil_embedding_column_options *)column->options;
    copy->combiner = column_copy(owner, options->combiner);
    copy->initializer.name = column_copy(owner, options->initializer.name);
    copy->ckpt_to_load_from = own->checkpoint;
    copy->tensor_name_in_ckpt = own->checkpoint_tensor;
    return column_end(owner, column);
}

static struct pil_column *embedding_make(struct pil_columns *owner, const void *options, const struct value *map)
{
    (void)map;
    return pil_embedding_column_make(owner, options);
}

/* ---- shared_embeddings --------------------------------------------------------------------------------------- */

pil_shared_embeddings_options pil_shared_embeddings_options_default(void)
{
    return (pil_shared_embeddings_options){ PIL_SHARED_EMBEDDINGS_DEFAULTS };
}

/* One table for all, so one kind and one number of ids; weights do not matter. */
static bool check_members(struct pil_columns *owner, const pil_keys *members)
{
    const struct pil_column *first = NULL;

    if (members->count == 0 || !members->items)
        column_fail(owner, SHARED, "categorical_columns", "categorical_columns is empty");
    for (size_t i = 0; i < members->count && status_ok(&owner->status); i++) {
        const struct pil_column *member = members->items[i];
        if (!column_check_input(owner, SHARED, "categorical_columns", member, true))
            return false;
        if (column_is_weighted(member))
            member = member->inputs[0];
        first = first ? first : member;
        if (member->row != first->row)
            column_fail(owner, SHARED, "categorical_columns",
                        "columns that share a table must be of one kind; '%s' is a %s, '%s' a %s", first->name, first->row->name,
                        member->name, member->row->name);
        else if (member->buckets != first->buckets)
            column_fail(owner, SHARED, "categorical_columns",
                        "columns that share a table must have equally many ids; '%s' has %lld, '%s' %lld", first->name,
                        (long long)first->buckets, member->name, (long long)member->buckets);
    }
    return status_ok(&owner->status);
}

/* A member has the group's row and options, and an embedding of its own. */
static struct pil_column *member_new(struct pil_columns *owner, const struct pil_column *group,
                                     const struct column_embedding *shared, struct pil_column *categorical)
{
    struct pil_column *member = column_begin(owner, SHARED, group->options, sizeof(pil_shared_embeddings_options));
    struct column_embedding *own = arena_alloc(owner->arena, sizeof *own, &owner->status);

    if (!member || !own || !column_copy_inputs(member, &categorical, 1))
        return NULL;
    *own = *shared;
    own->categorical = categorical;
    member->own = own;
    member->width = own->dimension;
    column_set_name(member, arena_format(owner->arena, &owner->status, "%s_shared_embedding", categorical->name));
    return member;
}

static const char *collection_name(struct pil_column *group, const pil_shared_embeddings_options *options)
{
    const char *name = NULL;

    if (options->shared_embedding_collection_name)
        return column_copy(group->owner, options->shared_embedding_collection_name);
    column_join_names(group, options->categorical_columns.items, options->categorical_columns.count, "_", "_shared_embedding",
                      &name);
    return name;
}

static void copy_shared_options(struct pil_column *group, const struct column_embedding *shared)
{
    pil_shared_embeddings_options *copy = (pil_shared_embeddings_options *)group->options;
    struct pil_columns *owner = group->owner;
    size_t bytes = copy->categorical_columns.count * sizeof(struct pil_column *);
    struct pil_column **members = arena_alloc(owner->arena, bytes, &owner->status);

    if (members)
        memcpy(members, copy->categorical_columns.items, bytes);
    copy->categorical_columns.items = members;
    copy->combiner = column_copy(owner, copy->combiner);
    copy->initializer.name = column_copy(owner, copy->initializer.name);
    copy->shared_embedding_collection_name = column_copy(owner, copy->shared_embedding_collection_name);
    copy->ckpt_to_load_from = shared->checkpoint;
    copy->tensor_name_in_ckpt = shared->checkpoint_tensor;
}

pil_column *pil_shared_embeddings_make(pil_columns *owner, pil_column **out, const pil_shared_embeddings_options *options)
{
    struct pil_column *group = column_begin(owner, SHARED, options, sizeof *options);
    const pil_keys *keys = &options->categorical_columns;
    struct column_embedding shared = { .shared = true };
    struct table table = { options->dimension,           options->combiner, options->initializer, options->ckpt_to_load_from,
                           options->tensor_name_in_ckpt, options->max_norm, options->trainable };
    struct pil_column **members;

    for (size_t i = 0; out && i < keys->count; i++)
        out[i] = column_error(owner);
    if (!group || !check_members(owner, keys) || !embedding_fill(owner, SHARED, &table, &shared))
        return column_error(owner);
    shared.variable = collection_name(group, options);
    copy_shared_options(group, &shared);
    members = arena_alloc(owner->arena, keys->count * sizeof(struct pil_column *), &owner->status);
    if (!members || !shared.variable)
        return column_error(owner);
    for (size_t i = 0; i < keys->count; i++) {
        members[i] = member_new(owner, group, &shared, keys->items[i]);
        if (!members[i])
            return column_error(owner);
        group->width += members[i]->width;
    }
    column_set_name(group, shared.variable);
    if (!column_copy_inputs(group, members, keys->count))
        return column_error(owner);
    for (size_t i = 0; out && i < keys->count; i++)
        out[i] = members[i];
    return column_end(owner, group);
}

static struct pil_column *shared_make(struct pil_columns *owner, const void *options, const struct value *map)
{
    (void)map;
    return pil_shared_embeddings_make(owner, NULL, options);
}

bool column_is_group(const struct pil_column *column)
{
    return column && column->row == SHARED && !column->own;
}

size_t column_part_count(const struct pil_column *column)
{
    return column_is_group(column) ? column->input_count : 1;
}

struct pil_column *column_part(struct pil_column *column, size_t i)
{
    return column_is_group(column) ? column->inputs[i] : column;
}

/* ---- arguments ----------------------------------------------------------------------------------------------- */

#define INDICATOR_ARG(member) .offset = offsetof(pil_indicator_column_options, member)
static const pil_indicator_column_options indicator_defaults = { PIL_INDICATOR_COLUMN_DEFAULTS };
static const struct arg indicator_args[] = {
    { .name = "categorical_column",
      .type = &COLUMN_ARG_COLUMN,
      INDICATOR_ARG(categorical_column),
      .required = true,
      .help = "whose ids" },
};
static const struct arg_table indicator_table = {
    .name = "indicator_column",
    .help = "a count for each id",
    .args = indicator_args,
    .arg_count = COUNT_OF(indicator_args),
    .defaults = &indicator_defaults,
    .size = sizeof(pil_indicator_column_options),
};

/* What both kinds of embedding say alike, each with the offsets of its own struct. */
#define TABLE_ARGS(options)                                                                                                      \
    { .name = "dimension",                                                                                                       \
      .type = &ARG_INT,                                                                                                          \
      .offset = offsetof(options, dimension),                                                                                    \
      .required = true,                                                                                                          \
      .low = 1,                                                                                                                  \
      .high = INT32_MAX,                                                                                                         \
      .help = "numbers of a row" },                                                                                              \
        { .name = "combiner",                                                                                                    \
          .type = &ARG_TEXT,                                                                                                     \
          .offset = offsetof(options, combiner),                                                                                 \
          .help = "mean, sqrtn or sum of a row's ids" },                                                                         \
        { .name = "initializer",                                                                                                 \
          .type = &COLUMN_ARG_INITIALIZER,                                                                                       \
          .offset = offsetof(options, initializer),                                                                              \
          .help = "first values; null: truncated_normal of deviation 1 / sqrt(dimension)" },                                     \
        { .name = "ckpt_to_load_from",                                                                                           \
          .type = &COLUMN_ARG_PATH,                                                                                              \
          .offset = offsetof(options, ckpt_to_load_from),                                                                        \
          .help = "a checkpoint that has the first values" },                                                                    \
        { .name = "tensor_name_in_ckpt",                                                                                         \
          .type = &ARG_TEXT,                                                                                                     \
          .offset = offsetof(options, tensor_name_in_ckpt),                                                                      \
          .help = "their name there" },                                                                                          \
        { .name = "max_norm",                                                                                                    \
          .type = &COLUMN_ARG_LIMIT,                                                                                             \
          .offset = offsetof(options, max_norm),                                                                                 \
          .help = "longer rows are scaled down before combining; null: no limit" },                                              \
        { .name = "trainable",                                                                                                   \
          .type = &ARG_BOOL,                                                                                                     \
          .offset = offsetof(options, trainable),                                                                                \
          .help = "false: the rows stay as they are" },                                                                          \
    {                                                                                                                            \
        .name = "use_safe_embedding_lookup", .type = &ARG_BOOL, .offset = offsetof(options, use_safe_embedding_lookup),          \
        .help = "accepted; lookups are always safe"                                                                              \
    }

static const pil_embedding_column_options embedding_defaults = { PIL_EMBEDDING_COLUMN_DEFAULTS };
static const struct arg embedding_args[] = {
    { .name = "categorical_column",
      .type = &COLUMN_ARG_COLUMN,
      .offset = offsetof(pil_embedding_column_options, categorical_column),
      .required = true,
      .help = "whose ids" },
    TABLE_ARGS(pil_embedding_column_options),
};
static const struct arg_table embedding_table = {
    .name = "embedding_column",
    .help = "a learned row for each id",
    .args = embedding_args,
    .arg_count = COUNT_OF(embedding_args),
    .defaults = &embedding_defaults,
    .size = sizeof(pil_embedding_column_options),
};

static const pil_shared_embeddings_options shared_defaults = { PIL_SHARED_EMBEDDINGS_DEFAULTS };
static const struct arg shared_args[] = {
    { .name = "categorical_columns",
      .type = &COLUMN_ARG_COLUMNS,
      .offset = offsetof(pil_shared_embeddings_options, categorical_columns),
      .required = true,
      .help = "whose ids" },
    { .name = "shared_embedding_collection_name",
      .type = &ARG_TEXT,
      .offset = offsetof(pil_shared_embeddings_options, shared_embedding_collection_name),
      .help = "the table's name; null: the sorted names of the columns, joined" },
    TABLE_ARGS(pil_shared_embeddings_options),
};
static const struct arg_table shared_table = {
    .name = "shared_embeddings",
    .help = "a learned row for each id, one table for several columns",
    .args = shared_args,
    .arg_count = COUNT_OF(shared_args),
    .defaults = &shared_defaults,
    .size = sizeof(pil_shared_embeddings_options),
};

static const struct column_row rows[3] = {
    { .name = "indicator_column", .help = "a count for each id", .args = &indicator_table, .make = indicator_make },
    { .name = "embedding_column", .help = "a learned row for each id", .args = &embedding_table, .make = embedding_make },
    { .name = "shared_embeddings",
      .help = "a learned row for each id, one table for several columns",
      .args = &shared_table,
      .make = shared_make },
};
COLUMN_ROWS_OF(embedding);
