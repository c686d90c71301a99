/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables' part of a step: each row that the batch used is updated once with the sum of its gradients. A table's work is
 * cut into pieces that share no row, so they can go to any worker and give the same bits.
 *
 *   one reading, other rows stay    the groups themselves, cut where the entries are halved, quartered, ...
 *   several readings                the readings' groups are merged by id; each id's gradients are summed reading by reading
 *   other rows decay or move        (Keras's Adam, Nadam, RMSprop) the whole table in blocks: the used rows of a block, then
 *                                   the others with gradient 0
 *
 * TensorFlow looks up id 0 for a row without a kept id and masks the result (safe_embedding_lookup_sparse), so row 0 is used
 * with gradient 0. Only formulas that do something then (Ftrl, momentum) see it.
 */
#include <string.h>

#include "train/internal.h"

enum {
    BLOCK = 256,               /* rows merged or walked at a time */
    SCRATCH_FLOATS = 16 * 1024 /* of merged gradients: stays in the second-level cache */
};

/* ---- readings: what must be known before --------------------------------------------------------------------- */

static int64_t entries_end(const struct sparse *ids)
{
    return ids->offsets ? ids->offsets[ids->rows] : ids->rows;
}

bool reading_reserve(struct reading *r, pil_status *status)
{
    int64_t entries = entries_end(&r->ids);
    if (r->wants_coefficients &&
        !mem_grow_block(&r->coefficients, &r->coefficient_capacity, (size_t)entries, sizeof *r->coefficients, status))
        return false;
    if (r->drops && !mem_grow_block(&r->kept_ids, &r->kept_capacity, (size_t)entries, sizeof *r->kept_ids, status))
        return false;
    return !r->wants_groups || (mem_grow_block(&r->sort_scratch, &r->scratch_capacity, sort_scratch(entries), 1, status) &&
                                mem_grow_block(&r->sort_memory, &r->memory_capacity, sort_memory(entries), 1, status));
}

void reading_coefficients(struct reading *r, const struct kernels *kernels, int64_t first, int64_t count)
{
    struct sparse part = sparse_slice(r->record->ids, first, count); /* not r->ids: they are being grouped meanwhile */
    float *out = r->coefficients + (part.offsets ? part.offsets[0] : first);
    kernels->coefficients(&(struct coefficients){ .ids = &part, .combiner = r->record->combiner, .out = out });
}

/* An entry that the lookup dropped does not use its row: it goes before the ids are grouped. */
static void drop_entries(struct reading *r)
{
    int64_t end = entries_end(&r->ids);
    for (int64_t e = 0; e < end; e++)
        r->kept_ids[e] = r->ids.weights[e] > 0 ? r->ids.ids[e] : -1;
    r->ids.ids = r->kept_ids;
}

void reading_group(struct reading *r, int64_t table_rows)
{
    if (r->drops)
        drop_entries(r);
    sort_groups(&r->ids, table_rows, r->sort_scratch, r->sort_memory, &r->groups);
}

void reading_free(struct reading *r)
{
    mem_free(r->coefficients);
    mem_free(r->kept_ids);
    mem_free(r->sort_scratch);
    mem_free(r->sort_memory);
    mem_free(r->sums);
    mem_free(r);
}

/* ---- row 0 --------------------------------------------------------------------------------------------------- */

static bool has_entry(const struct sparse *ids, int64_t row)
{
    for (int64_t e = ids->offsets[row]; e < ids->offsets[row + 1]; e++)
        if (ids->ids[e] >= 0)
            return true;
    return false;
}

/* Has any row of the batch no kept entry? */
static bool has_empty_row(const struct reading *r)
{
    if (!r->ids.offsets || r->kept < r->ids.rows)
        return r->kept < r->ids.rows;
    for (int64_t row = 0; row < r->ids.rows; row++)
        if (!has_entry(&r->ids, row))
            return true;
    return false;
}

/* Is row 0 used with gradient 0 and by nothing else? */
static bool uses_row_0(const struct table_update *update)
{
    bool empty = false;
    if (rule_is_idle(update->rule->formula) || update->untouched == UNTOUCHED_MOVES)
        return false;
    for (int i = 0; i < update->reading_count; i++) {
        const struct reading *r = update->readings[i];
        if (r->groups.count && r->groups.ids[0] == 0)
            return false;
        empty = empty || has_empty_row(r);
    }
    return empty;
}

/* ---- calls of the kernel ------------------------------------------------------------------------------------- */

struct update_rows reading_rows(const struct variable *variable, const struct reading *r)
{
    struct update_rows call = { .table = tensor_floats(&variable->value),
                                .stride = variable->value.ld,
                                .slot_stride = variable->slot_stride,
                                .dim = variable->value.cols };
    if (r) {
        call.groups = &r->groups;
        call.gradient = r->gradient;
        call.gradient_ld = r->gradient_ld;
        call.coefficient = r->coefficient;
        call.max_norm = r->max_norm;
    }
    return call;
}

static struct update_rows call_for(const struct table_update *update, const struct reading *r)
{
    struct update_rows call = reading_rows(update->variable, r);
    call.rule = update->rule;
    return call;
}

/* Rows first .. first + count with gradient 0. */
static void step_unused(const struct table_update *update, const struct update *rule, int64_t first, int64_t count)
{
    struct update_rows call = call_for(update, NULL);
    call.rule = rule;
    call.first = first;
    call.count = count;
    update->kernels->update_rows(&call);
}

/* ---- used rows of a range, merged from all readings ---------------------------------------------------------- */

/* The first of items [low, high) that is not below key; high when there is none. */
static int64_t first_not_below(const int32_t *items, int64_t low, int64_t high, int64_t key)
{
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (items[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct walk {
    const struct table_update *update;
    float *scratch;
    int64_t at[MOST_READINGS]; /* the next group of each reading */
    int64_t rows;              /* that fit the scratch */
};

static struct walk walk_from(const struct table_update *update, int64_t first, int worker)
{
    struct walk walk = { .update = update };
    for (int i = 0; i < update->reading_count; i++) {
        const struct groups *groups = &update->readings[i]->groups;
        walk.at[i] = first_not_below(groups->ids, 0, groups->count, first);
    }
    walk.rows = BLOCK;
    if (update->reading_count > 1) {
        walk.scratch = update->scratch[worker];
        walk.rows = MIN(BLOCK, MAX(1, SCRATCH_FLOATS / update->variable->value.cols));
    }
    return walk;
}

static int32_t next_id(const struct walk *walk)
{
    int32_t id = INT32_MAX;
    for (int i = 0; i < walk->update->reading_count; i++) {
        const struct groups *groups = &walk->update->readings[i]->groups;
        if (walk->at[i] < groups->count && groups->ids[walk->at[i]] < id)
            id = groups->ids[walk->at[i]];
    }
    return id;
}

/* The gradient of one id, reading by reading. */
static void sum_id(struct walk *walk, int32_t id, float *out)
{
    memset(out, 0, (size_t)walk->update->variable->value.cols * sizeof *out);
    for (int i = 0; i < walk->update->reading_count; i++) {
        const struct reading *r = walk->update->readings[i];
        if (walk->at[i] >= r->groups.count || r->groups.ids[walk->at[i]] != id)
            continue;
        struct update_rows call = call_for(walk->update, r);
        call.first = walk->at[i]++;
        call.count = 1;
        walk->update->kernels->sum_groups(&call, out, 0);
    }
}

/* Updates used rows below `limit`, at most one scratch full; their ids in ids[BLOCK]. Returns how many. */
static int64_t step_merged(struct walk *walk, int64_t limit, int32_t *ids)
{
    int32_t numbers[BLOCK + 1]; /* 0, 1, 2, ...: entry i is row i of the scratch, alone in its group */
    int64_t dim = walk->update->variable->value.cols, count = 0;
    for (int32_t id; count < walk->rows && (id = next_id(walk)) < limit; count++) {
        sum_id(walk, id, walk->scratch + count * dim);
        ids[count] = id;
        numbers[count] = (int32_t)count;
    }
    numbers[count] = (int32_t)count;
    struct groups groups = { .count = count, .ids = ids, .starts = numbers, .entries = numbers, .rows = numbers };
    struct update_rows call = call_for(walk->update, NULL);
    call.groups = &groups;
    call.count = count;
    call.gradient = walk->scratch;
    call.gradient_ld = dim;
    if (count)
        walk->update->kernels->update_rows(&call);
    return count;
}

/* The same from the only reading: nothing is copied but ids. */
static int64_t step_single(struct walk *walk, int64_t limit, int32_t *ids)
{
    const struct reading *r = walk->update->readings[0];
    struct update_rows call = call_for(walk->update, r);
    call.first = walk->at[0];
    call.count = first_not_below(r->groups.ids, call.first, MIN(r->groups.count, call.first + walk->rows), limit) - call.first;
    walk->at[0] += call.count;
    if (!call.count)
        return 0;
    memcpy(ids, r->groups.ids + call.first, (size_t)call.count * sizeof *ids);
    walk->update->kernels->update_rows(&call);
    return call.count;
}

static int64_t step_used(struct walk *walk, int64_t limit, int32_t *ids)
{
    return walk->update->reading_count > 1 ? step_merged(walk, limit, ids) : step_single(walk, limit, ids);
}

/* ---- whole tables -------------------------------------------------------------------------------------------- */

/* The rows of [first, first + count), at most BLOCK, that are not marked, with gradient 0. */
static void step_others(const struct table_update *update, const struct update *rule, int64_t first, int64_t count,
                        const bool *used)
{
    static const int32_t nothing[BLOCK + 1];
    int32_t ids[BLOCK];
    struct groups groups = { .ids = ids, .starts = nothing, .entries = nothing, .rows = nothing };
    for (int64_t i = 0; i < count; i++)
        if (!used[i])
            ids[groups.count++] = (int32_t)(first + i);
    struct update_rows call = call_for(update, NULL);
    call.rule = rule;
    call.groups = &groups;
    call.count = groups.count;
    if (groups.count)
        update->kernels->update_rows(&call);
}

static void step_whole(const struct table_update *update, int64_t first, int64_t limit, bool row_0, int worker)
{
    struct update others = *update->rule;
    others.slots_only = update->untouched == UNTOUCHED_DECAYS;
    struct walk walk = walk_from(update, first, worker);
    int32_t ids[BLOCK];
    while (first < limit) {
        /* Far from any used row the table is walked without looking. */
        int64_t until = MIN((int64_t)next_id(&walk), limit), gap = (until - first) / BLOCK * BLOCK;
        if (row_0 && first == 0) {
            step_unused(update, update->rule, 0, 1);
            gap = MIN(gap, 0);
        }
        if (gap > 0) {
            step_unused(update, &others, first, gap);
            first += gap;
            continue;
        }
        bool used[BLOCK] = { row_0 && first == 0 };
        int64_t end = MIN(first + BLOCK, limit);
        for (int64_t count; (count = step_used(&walk, end, ids)) > 0;)
            for (int64_t i = 0; i < count; i++)
                used[ids[i] - first] = true;
        step_others(update, &others, first, end - first, used);
        first = end;
    }
}

/* ---- pieces -------------------------------------------------------------------------------------------------- */

size_t rows_scratch(int64_t dim)
{
    return (size_t)MAX(dim, SCRATCH_FLOATS);
}

/* The groups whose first entry lies in the piece's share of the entries. */
static void step_share(const struct table_update *update, int64_t piece)
{
    const struct reading *r = update->readings[0];
    struct update_rows call = call_for(update, r);
    int64_t entries = r->groups.count ? r->groups.starts[r->groups.count] : 0;
    call.first = first_not_below(r->groups.starts, 0, r->groups.count, entries * piece / update->pieces);
    call.count =
        first_not_below(r->groups.starts, call.first, r->groups.count, entries * (piece + 1) / update->pieces) - call.first;
    if (call.count)
        update->kernels->update_rows(&call);
}

/* Where a piece of a merged table begins: the first reading's groups are dealt evenly. */
static int64_t merged_begin(const struct table_update *update, int64_t piece)
{
    const struct groups *groups = &update->readings[0]->groups;
    if (piece == 0 || !groups->count)
        return piece == 0 ? 0 : INT32_MAX;
    return piece == update->pieces ? INT32_MAX : groups->ids[groups->count * piece / update->pieces];
}

void table_update_piece(const struct table_update *update, int64_t piece, int worker)
{
    bool row_0 = piece == 0 && uses_row_0(update);
    if (update->untouched != UNTOUCHED_STAYS) {
        int64_t rows = update->variable->value.rows;
        step_whole(update, rows * piece / update->pieces, rows * (piece + 1) / update->pieces, row_0, worker);
        return;
    }
    if (row_0)
        step_unused(update, update->rule, 0, 1);
    if (update->reading_count == 1) {
        step_share(update, piece);
        return;
    }
    int32_t ids[BLOCK];
    int64_t limit = merged_begin(update, piece + 1);
    struct walk walk = walk_from(update, merged_begin(update, piece), worker);
    while (step_merged(&walk, limit, ids) > 0)
        ;
}

void table_add_dense(const struct table_update *update, float *gradient, int64_t ld)
{
    for (int i = 0; i < update->reading_count; i++) {
        struct update_rows call = call_for(update, update->readings[i]);
        call.count = update->readings[i]->groups.count;
        update->kernels->sum_groups(&call, gradient, ld);
    }
}
