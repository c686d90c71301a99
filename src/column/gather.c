/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches out of rows. Planning, on the calling thread, settles for each row of a batch where it lies and what happens to its
 * slot; then any thread can gather any run of rows, because no two of them write to the same place:
 *
 *     dealt     row 17 (slot 3)   row 40 (slot 9)   row 102 (slot 3)        102 took slot 3 after 17 left it
 *     read      slot 3            slot 9            its piece               it never needs to enter the slot
 *     write     slot 3: the row that is there behind the batch              by the first draw of the slot, which has read it
 *
 * A record is numbers, then ids. The batch has the numbers row by row (padded) and the ids feature by feature.
 */
#include <stdatomic.h>
#include <string.h>

#include "column/feed.h"

/* ---- planning ------------------------------------------------------------------------------------------------ */

int64_t feed_line_end(const struct feed *feed)
{
    if (!feed->complete || feed->last_pass == INT64_MAX || feed->options.cache)
        return INT64_MAX;
    return feed->rows * (feed->last_pass + 1);
}

static int64_t line_of(const struct feed *feed, const struct order_row *row)
{
    return (row->epoch - feed->first_epoch) * feed->rows + row->row;
}

static void piece_row(const struct feed *feed, int64_t line, struct piece **hint, struct row_ref *ref)
{
    *hint = feed_piece(feed, line, *hint);
    records_row(&(*hint)->records, &feed->shape, line - (*hint)->first, ref);
}

/* Without a cache: rows from slots or pieces, and what the slots hold afterwards. */
static void find_rows(const struct feed *feed, struct work *work, int64_t count)
{
    const int64_t hold = order_hold(feed->order, feed->rows, feed->complete), first = feed->drawn, end = feed_line_end(feed);
    struct piece *at = NULL, *next = NULL;
    for (int64_t i = 0; i < count; i++) {
        int64_t line = line_of(feed, &feed->dealt[i]), slot = feed->dealt[i].slot, replaced = first + i + hold;
        if (line >= first + hold) {
            piece_row(feed, line, &at, &work->refs[i]);
            work->roots[i] = hold > 0 ? work->roots[line - first - hold] : (int32_t)i;
        } else {
            work->refs[i] = slots_row(&feed->slots, &feed->shape, slot);
            work->roots[i] = (int32_t)i;
        }
        if (hold == 0)
            continue;
        work->loads[i].line = -1;
        work->loads[work->roots[i]].slot = slot;
        work->loads[work->roots[i]].line = replaced < end ? replaced : -1;
    }
    for (int64_t i = 0; hold > 0 && i < count; i++)
        if (work->loads[i].line >= 0)
            piece_row(feed, work->loads[i].line, &next, &work->loads[i].from);
}

/* Tails for the rows that enter slots. The rows that leave are in refs already, with the tails of now. */
static bool take_slots(struct feed *feed, struct work *work, int64_t count, pil_status *status)
{
    for (int64_t i = 0; i < count; i++) {
        struct load *load = &work->loads[i];
        load->old = (struct tail){ 0 };
        if (load->line >= 0 && !slots_take(&feed->slots, &feed->shape, load->slot, &load->from, &load->old, status))
            return false;
    }
    return true;
}

/* Offsets of the lists, and room for them. */
static bool plan_lists(struct feed *feed, struct work *work, int64_t count, pil_status *status)
{
    for (size_t f = 0; f < feed->feature_count; f++) {
        struct feature_memory *memory = &work->memory[f];
        const size_t list = feed->lists[f] >= 0 ? (size_t)feed->lists[f] : 0;
        int64_t entries = count;
        if (feed->lists[f] >= 0) {
            if (!mem_grow(&memory->offsets, &memory->offset_capacity, (size_t)count + 1, sizeof(int64_t), status))
                return false;
            entries = 0;
            for (int64_t i = 0; i < count; i++) {
                memory->offsets[i] = entries;
                entries += row_list_size(&work->refs[i], list);
            }
            memory->offsets[count] = entries;
            if (entries > INT32_MAX)
                return status_fail(status, PIL_UNSUPPORTED, "a batch has %lld ids in one feature, more than 2147483647",
                                   (long long)entries);
        }
        bool weighted = feed->lists[f] >= 0 && feed->shape.weighted[list];
        if (!mem_grow_block(&memory->ids, &memory->id_capacity, (size_t)entries, sizeof(int32_t), status) ||
            (weighted && !mem_grow_block(&memory->weights, &memory->weight_capacity, (size_t)entries, sizeof(float), status)))
            return false;
        work->features[f] = (struct sparse){ .rows = count,
                                             .entries = entries,
                                             .offsets = feed->lists[f] >= 0 ? memory->offsets : NULL,
                                             .ids = memory->ids,
                                             .weights = weighted ? memory->weights : NULL };
    }
    return true;
}

/* Scratch and results of the sorts. */
static bool plan_groups(struct feed *feed, struct work *work, pil_status *status)
{
    int64_t most = 0;
    for (size_t f = 0; f < feed->feature_count; f++) {
        struct feature_memory *memory = &work->memory[f];
        int64_t entries = work->features[f].entries;
        most = MAX(most, entries);
        if (!mem_grow_block(&memory->groups, &memory->group_capacity, sort_memory(entries), 1, status))
            return false;
    }
    for (int i = 0; i < feed->worker_count; i++) {
        struct worker *worker = &feed->workers[i];
        if (!mem_grow_block(&worker->sort, &worker->sort_capacity, sort_scratch(most), 1, status))
            return false;
    }
    return true;
}

/* One raw row of a piece, appended to the batch's. */
static bool copy_row(const struct fields *from, int64_t row, struct fields *to, pil_status *status)
{
    for (size_t f = 0; f < from->count; f++) {
        const struct field *field = &from->fields[f];
        const int64_t begin = field->offsets != NULL ? field->offsets[row] : row;
        const int64_t end = field->offsets != NULL ? field->offsets[row + 1] : row + 1;
        to->fields[f].absent = field->absent;
        for (int64_t e = begin; e < end; e++) {
            bool done = true;
            if (!field->present[e])
                continue;
            if (field->spec->type == FIELD_STRING)
                done = fields_set_text(to, f, field->texts[e], status);
            else if (field->spec->type == FIELD_INT64)
                done = fields_set_int(to, f, field->ints[e], status);
            else
                done = fields_set_float(to, f, field->floats[e], status);
            if (!done || (field->weights != NULL && !fields_set_weight(to, f, field->weights[e], status)))
                return false;
        }
    }
    to->source = from->sources[row];
    return fields_end_row(to, from->lines[row], status);
}

static bool copy_fields(struct feed *feed, struct work *work, int64_t count, pil_status *status)
{
    struct piece *piece = NULL;
    if (work->fields == NULL && (work->fields = fields_new(feed->read_specs, feed->read_count, status)) == NULL)
        return false;
    fields_clear(work->fields);
    work->first_line = feed->drawn;
    for (int64_t line = feed->drawn; line < feed->drawn + count; line++) {
        piece = feed_piece(feed, line, piece);
        int64_t row = line - piece->first;
        if (!copy_row(piece->fields, piece->some_dropped ? piece->kept[row] : row, work->fields, status))
            return false;
    }
    return true;
}

static bool reserve(struct feed *feed, struct work *work, int64_t count, pil_status *status)
{
    const size_t rows = (size_t)count, ld = (size_t)pad_columns((int64_t)feed->shape.numbers);
    if (!mem_grow(&work->refs, &work->ref_capacity, rows, sizeof(*work->refs), status) ||
        !mem_grow(&work->roots, &work->root_capacity, rows, sizeof(*work->roots), status) ||
        !mem_grow_block(&work->numbers, &work->number_capacity, rows * ld, sizeof(float), status))
        return false;
    return feed->options.cache || order_hold(feed->order, 0, false) == 0 ||
           mem_grow(&work->loads, &work->load_capacity, rows, sizeof(*work->loads), status);
}

/* The batch's rows are found (refs): the rest of its plan. */
static bool plan_found(struct feed *feed, struct work *work, int64_t count, struct cursor cursor, pil_status *status)
{
    struct batch *batch = &work->batch;
    if (!work->thrown && (!plan_lists(feed, work, count, status) || (feed->options.group && !plan_groups(feed, work, status))))
        return false;
    bool slots = !feed->options.cache && order_hold(feed->order, feed->rows, feed->complete) > 0;
    if ((slots && !take_slots(feed, work, count, status)) ||
        (feed->options.keep_fields && !work->thrown && !copy_fields(feed, work, count, status)))
        return false;
    *batch =
        (struct batch){ .rows = count,
                        .numbers = tensor_view(work->numbers, DTYPE_FLOAT32, SHAPE(count, (int64_t)feed->shape.numbers), true),
                        .features = work->features,
                        .targets_absent = feed->targets_absent,
                        .cursor = cursor,
                        .fields = work->fields };
    batch->cursor.data = feed->fingerprint;
    work->slots = slots;
    work->gathered = work->grouped = 0;
    work->state = WORK_PLANNED;
    feed->drawn += count;
    return true;
}

bool feed_plan_rows(struct feed *feed, struct work *work, int64_t count, pil_status *status)
{
    if (!reserve(feed, work, count, status))
        return false;
    if (feed->options.cache) {
        for (int64_t i = 0; i < count; i++)
            cache_row(&feed->cache, &feed->shape, feed->dealt[i].row, &work->refs[i]);
    } else {
        find_rows(feed, work, count);
    }
    return plan_found(feed, work, count, order_cursor(feed->order), status);
}

bool feed_plan_piece(struct feed *feed, struct work *work, const struct piece *piece, pil_status *status)
{
    const int64_t count = piece->records.rows;
    if (!reserve(feed, work, count, status))
        return false;
    for (int64_t i = 0; i < count; i++)
        records_row(&piece->records, &feed->shape, i, &work->refs[i]);
    return plan_found(feed, work, count, (struct cursor){ .epoch = piece->epoch, .emitted = piece->batch + 1 }, status);
}

/* ---- gathering ----------------------------------------------------------------------------------------------- */

int64_t work_gather_tasks(const struct work *work)
{
    return (work->batch.rows + GATHER_ROWS - 1) / GATHER_ROWS;
}

static void gather_list(const struct feed *feed, struct work *work, size_t feature, int64_t first, int64_t end)
{
    struct feature_memory *memory = &work->memory[feature];
    const size_t list = (size_t)feed->lists[feature];
    for (int64_t i = first; i < end; i++) {
        const int64_t at = memory->offsets[i];
        const size_t count = (size_t)(memory->offsets[i + 1] - at);
        const int32_t *ids;
        const float *weights;
        if (count == 0)
            continue;
        row_list(&feed->shape, &work->refs[i], list, &ids, &weights);
        memcpy(memory->ids + at, ids, count * sizeof(*ids));
        if (weights != NULL)
            memcpy(memory->weights + at, weights, count * sizeof(*weights));
    }
}

/* Reads a word of every cache line of the records, one independent of the other, so that the processor fetches many at once:
 * shuffled rows of a large cache are in none of its own. */
static int32_t touch_records(const struct feed *feed, const struct work *work, int64_t first, int64_t end)
{
    enum { LINE_WORDS = 16 };
    uint32_t sum = 0;
    for (int64_t i = first; i < end; i++)
        for (size_t word = 0; word < feed->shape.words; word += LINE_WORDS)
            sum += (uint32_t)work->refs[i].words[word];
    return (int32_t)sum;
}

/* Numbers and ids of single-valued features. The records are read once from afar and then stay in the nearest cache. */
static void gather_records(const struct feed *feed, struct work *work, int64_t first, int64_t end)
{
    const size_t numbers = feed->shape.numbers, ld = (size_t)work->batch.numbers.ld;
    for (int64_t i = first; numbers > 0 && i < end; i++)
        memcpy(work->numbers + (size_t)i * ld, work->refs[i].words, numbers * sizeof(float));
    size_t word = numbers;
    for (size_t f = 0; f < feed->feature_count; f++) {
        if (feed->lists[f] >= 0)
            continue;
        int32_t *ids = work->memory[f].ids;
        for (int64_t i = first; i < end; i++)
            ids[i] = work->refs[i].words[word];
        word++;
    }
}

void feed_gather_task(void *context, int64_t index, int worker)
{
    struct feed *feed = context;
    struct work *work = &feed->works[feed->gathering % WORKS];
    const int64_t first = index * GATHER_ROWS, end = MIN(first + GATHER_ROWS, work->batch.rows);
    if (!work->thrown) {
        feed->workers[worker].touched = touch_records(feed, work, first, end);
        gather_records(feed, work, first, end);
        for (size_t f = 0; f < feed->feature_count; f++)
            if (feed->lists[f] >= 0)
                gather_list(feed, work, f, first, end);
    }
    for (int64_t i = first; work->slots && i < end; i++)
        if (work->loads[i].line >= 0)
            slots_write(&feed->slots, &feed->shape, work->loads[i].slot, &work->loads[i].from);
    atomic_fetch_add(&work->gathered, 1);
}

void feed_finish_gather(struct feed *feed, struct work *work)
{
    for (int64_t i = 0; work->slots && i < work->batch.rows; i++)
        slots_give(&feed->slots, work->loads[i].old);
    if (!feed->options.cache)
        feed->used = feed->drawn + order_hold(feed->order, feed->rows, feed->complete);
    work->state = work->thrown ? WORK_EMPTY : feed->options.group && feed->feature_count > 0 ? WORK_GATHERED : WORK_READY;
}

void feed_group_task(void *context, int64_t index, int worker)
{
    struct feed *feed = context;
    struct work *work = &feed->works[feed->grouping % WORKS];
    struct feature_memory *memory = &work->memory[index];
    sort_groups(&work->features[index], program_feature_limit(feed->program, (size_t)index), feed->workers[worker].sort,
                memory->groups, &memory->grouped);
    work->features[index].groups = &memory->grouped;
    atomic_fetch_add(&work->grouped, 1);
}

void work_free(struct work *work, size_t feature_count)
{
    for (size_t f = 0; work->memory != NULL && f < feature_count; f++) {
        struct feature_memory *memory = &work->memory[f];
        mem_free(memory->ids);
        mem_free(memory->offsets);
        mem_free(memory->weights);
        mem_free(memory->groups);
    }
    mem_free(work->memory);
    mem_free(work->features);
    mem_free(work->refs);
    mem_free(work->loads);
    mem_free(work->roots);
    mem_free(work->numbers);
    fields_free(work->fields);
}
