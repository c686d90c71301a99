/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transformed rows that are kept: all of them in a cache, or those of the shuffle buffer in slots.
 *
 * The cache is a list of chunks of CACHE_ROWS rows, so a row is found by a shift and a mask, memory comes in large blocks and
 * no row ever moves. Only the first chunk grows from small, for data that does not fill it.
 *
 * A slot is a place for one record, and rows have lists of any length beside it. These are packed into a tail whose size is a
 * power of two, taken from and given back to a list of its size: at most half of the memory is unused, and nothing is
 * allocated once each size has been needed as often as it ever is.
 */
#include "column/feed.h"

#include <string.h>

/* ---- rows ---------------------------------------------------------------------------------------------------- */

int64_t row_list_size(const struct row_ref *ref, size_t list)
{
    if (ref->records == NULL)
        return ref->tail[list];
    const int64_t *offsets = ref->records->ragged[list].offsets + ref->row;
    return offsets[1] - offsets[0];
}

void row_list(const struct row_shape *shape, const struct row_ref *ref, size_t list, const int32_t **ids, const float **weights)
{
    if (ref->records != NULL) {
        const struct sparse_builder *builder = &ref->records->ragged[list];
        int64_t start = builder->offsets[ref->row];
        *ids = builder->ids + start;
        *weights = shape->weighted[list] ? builder->weights + start : NULL;
        return;
    }
    const int32_t *at = ref->tail + shape->ragged;
    for (size_t i = 0; i < list; i++)
        at += (size_t)ref->tail[i] * (shape->weighted[i] ? 2 : 1);
    *ids = at;
    *weights = shape->weighted[list] ? (const float *)(at + ref->tail[list]) : NULL;
}

/* ---- the cache ----------------------------------------------------------------------------------------------- */

static struct records *add_chunk(struct cache *cache, const struct program *program, pil_status *status)
{
    if (!mem_grow(&cache->chunks, &cache->chunk_capacity, cache->chunk_count + 1, sizeof(*cache->chunks), status))
        return NULL;
    struct records *chunk = mem_new(sizeof(*chunk), status);
    if (chunk == NULL)
        return NULL;
    if (!records_init(chunk, program, status)) {
        mem_free(chunk);
        return NULL;
    }
    cache->chunks[cache->chunk_count++] = chunk;
    return chunk;
}

/* Appends rows first .. first + count of a list. */
static bool append_list(struct sparse_builder *to, const struct sparse_builder *from, int64_t first, int64_t count, bool weighted,
                        pil_status *status)
{
    int64_t start = from->offsets[first], entries = from->offsets[first + count] - start;
    size_t need = (size_t)(to->entries + entries);
    if (!mem_grow(&to->offsets, &to->offset_capacity, (size_t)(to->rows + count) + 1, sizeof(*to->offsets), status) ||
        !mem_grow(&to->ids, &to->id_capacity, need, sizeof(*to->ids), status) ||
        (weighted && !mem_grow(&to->weights, &to->weight_capacity, need, sizeof(*to->weights), status)))
        return false;
    if (entries > 0)
        memcpy(to->ids + to->entries, from->ids + start, (size_t)entries * sizeof(*to->ids));
    if (entries > 0 && weighted)
        memcpy(to->weights + to->entries, from->weights + start, (size_t)entries * sizeof(*to->weights));
    for (int64_t i = 1; i <= count; i++)
        to->offsets[to->rows + i] = to->entries + from->offsets[first + i] - start;
    to->rows += count;
    to->entries += entries;
    return true;
}

/* Appends rows that fit into the chunk. */
static bool append_rows(struct cache *cache, struct records *chunk, const struct row_shape *shape, const struct records *from,
                        int64_t first, int64_t count, pil_status *status)
{
    size_t need = (size_t)(chunk->rows + count) * shape->words;
    if (cache->chunk_count > 1)
        need = CACHE_ROWS * shape->words; /* what fills one chunk will fill the next */
    if (!mem_grow_block(&chunk->words, &chunk->capacity, need, sizeof(*chunk->words), status))
        return false;
    for (size_t list = 0; list < shape->ragged; list++) {
        struct sparse_builder *to = &chunk->ragged[list];
        int64_t before = to->entries;
        if (!append_list(to, &from->ragged[list], first, count, shape->weighted[list], status))
            return false;
        cache->bytes += count * (int64_t)sizeof(int64_t) + (to->entries - before) * (shape->weighted[list] ? 8 : 4);
    }
    if (shape->words > 0)
        memcpy(chunk->words + (size_t)chunk->rows * shape->words, from->words + (size_t)first * shape->words,
               (size_t)count * shape->words * sizeof(*chunk->words));
    cache->bytes += count * (int64_t)(shape->words * sizeof(*chunk->words));
    chunk->rows += count;
    cache->rows += count;
    return true;
}

bool cache_append(struct cache *cache, const struct program *program, const struct row_shape *shape, const struct records *from,
                  pil_status *status)
{
    for (int64_t first = 0; first < from->rows;) {
        struct records *chunk = cache->chunk_count > 0 ? cache->chunks[cache->chunk_count - 1] : NULL;
        if ((chunk == NULL || chunk->rows == CACHE_ROWS) && (chunk = add_chunk(cache, program, status)) == NULL)
            return false;
        int64_t count = MIN(from->rows - first, CACHE_ROWS - chunk->rows);
        if (!append_rows(cache, chunk, shape, from, first, count, status))
            return false;
        first += count;
    }
    return true;
}

void cache_free(struct cache *cache)
{
    for (size_t i = 0; i < cache->chunk_count; i++) {
        records_free(cache->chunks[i]);
        mem_free(cache->chunks[i]);
    }
    mem_free(cache->chunks);
    *cache = (struct cache){ 0 };
}

/* ---- slots --------------------------------------------------------------------------------------------------- */

/* The words that a row's lists fill, as a power of two; enough for a pointer at least. */
static int tail_size(const struct row_shape *shape, const struct row_ref *from)
{
    int64_t words = (int64_t)shape->ragged;
    for (size_t list = 0; list < shape->ragged; list++)
        words += row_list_size(from, list) * (shape->weighted[list] ? 2 : 1);
    int size = 2;
    while ((int64_t)1 << size < words)
        size++;
    return size;
}

bool slots_reserve(struct slots *slots, const struct row_shape *shape, int64_t count, pil_status *status)
{
    if (!mem_grow_block(&slots->words, &slots->word_capacity, (size_t)count * shape->words, sizeof(*slots->words), status))
        return false;
    return shape->ragged == 0 || mem_grow(&slots->tails, &slots->tail_capacity, (size_t)count, sizeof(*slots->tails), status);
}

bool slots_take(struct slots *slots, const struct row_shape *shape, int64_t slot, const struct row_ref *from, struct tail *old,
                pil_status *status)
{
    *old = (struct tail){ 0 };
    if (shape->ragged == 0)
        return true;
    struct tail *tail = &slots->tails[slot];
    int size = tail_size(shape, from);
    if (tail->data != NULL && tail->size == size)
        return true;
    int32_t *data = slots->spare[size];
    if (data != NULL) {
        memcpy(&slots->spare[size], (const void *)data, sizeof(slots->spare[size]));
    } else {
        if (slots->arena == NULL && (slots->arena = arena_new(status)) == NULL)
            return false;
        data = arena_alloc(slots->arena, sizeof(*data) << size, status);
        if (data == NULL)
            return false;
    }
    *old = *tail;
    *tail = (struct tail){ data, size };
    return true;
}

void slots_give(struct slots *slots, struct tail old)
{
    if (old.data == NULL)
        return;
    memcpy((void *)old.data, &slots->spare[old.size], sizeof(slots->spare[old.size]));
    slots->spare[old.size] = old.data;
}

void slots_write(const struct slots *slots, const struct row_shape *shape, int64_t slot, const struct row_ref *from)
{
    if (shape->words > 0)
        memcpy(slots->words + (size_t)slot * shape->words, from->words, shape->words * sizeof(*slots->words));
    if (shape->ragged == 0)
        return;
    int32_t *tail = slots->tails[slot].data, *at = tail + shape->ragged;
    for (size_t list = 0; list < shape->ragged; list++) {
        const int32_t *ids;
        const float *weights;
        size_t count = (size_t)row_list_size(from, list);
        tail[list] = (int32_t)count;
        if (count == 0)
            continue;
        row_list(shape, from, list, &ids, &weights);
        memcpy(at, ids, count * sizeof(*ids));
        at += count;
        if (weights == NULL)
            continue;
        memcpy(at, weights, count * sizeof(*weights));
        at += count;
    }
}

struct row_ref slots_row(const struct slots *slots, const struct row_shape *shape, int64_t slot)
{
    const int32_t *words = shape->words > 0 ? slots->words + (size_t)slot * shape->words : NULL;
    return (struct row_ref){ .words = words, .tail = shape->ragged > 0 ? slots->tails[slot].data : NULL };
}

void slots_free(struct slots *slots)
{
    mem_free(slots->words);
    mem_free(slots->tails);
    arena_free(slots->arena);
    *slots = (struct slots){ 0 };
}
