/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as one batch, without a feed: what a request brings is run through the program and bound to a session. A record is
 * numbers, then ids; the batch has the numbers row by row, padded, and the ids feature by feature.
 */
#include <string.h>

#include "column/program.h"

struct record_batch {
    const struct program *program;
    struct batch batch;
    float *numbers;
    struct sparse *features; /* [features] */
    int32_t **ids;           /* [features] of the single-valued ones */
    size_t *id_capacities;
    size_t number_capacity;
};

struct record_batch *record_batch_new(const struct program *program, pil_status *status)
{
    struct record_batch *own = mem_new(sizeof *own, status);
    size_t count = MAX(program->feature_count, 1);

    if (!own)
        return NULL;
    own->program = program;
    own->features = mem_array(count, sizeof *own->features, status);
    own->ids = mem_array(count, sizeof *own->ids, status);
    own->id_capacities = mem_array(count, sizeof *own->id_capacities, status);
    if (status_ok(status))
        return own;
    record_batch_free(own);
    return NULL;
}

void record_batch_free(struct record_batch *own)
{
    if (!own)
        return;
    for (size_t f = 0; own->ids && f < own->program->feature_count; f++)
        mem_free(own->ids[f]);
    mem_free(own->ids);
    mem_free(own->id_capacities);
    mem_free(own->features);
    mem_free(own->numbers);
    mem_free(own);
}

/* Pads are zero from the start, and nobody writes them. */
static bool fill_numbers(struct record_batch *own, const struct records *records, pil_status *status)
{
    const size_t width = (size_t)own->program->number_width, ld = (size_t)pad_columns((int64_t)width),
                 rows = (size_t)records->rows;
    const size_t stride = program_record_words(own->program);

    if (ld > 0 && rows > SIZE_MAX / sizeof(float) / ld)
        return status_no_memory(status, SIZE_MAX);
    if (!mem_grow_block(&own->numbers, &own->number_capacity, MAX(rows * ld, 1), sizeof *own->numbers, status))
        return false;
    for (size_t r = 0; width > 0 && r < rows; r++)
        memcpy(own->numbers + r * ld, records->words + r * stride, width * sizeof *own->numbers);
    own->batch.numbers = tensor_view(own->numbers, DTYPE_FLOAT32, SHAPE(records->rows, (int64_t)width), true);
    return true;
}

static bool fill_ids(struct record_batch *own, size_t feature, const struct records *records, pil_status *status)
{
    const struct program *program = own->program;
    const size_t stride = program_record_words(program), rows = (size_t)records->rows;
    const int32_t *words = records->words + program->features[feature].slot;

    if (!mem_grow_block(&own->ids[feature], &own->id_capacities[feature], MAX(rows, 1), sizeof(int32_t), status))
        return false;
    for (size_t r = 0; r < rows; r++)
        own->ids[feature][r] = words[r * stride];
    own->features[feature] = (struct sparse){ .rows = records->rows, .entries = records->rows, .ids = own->ids[feature] };
    return true;
}

const struct batch *record_batch_fill(struct record_batch *own, const struct records *records, pil_status *status)
{
    const struct program *program = own->program;

    own->batch = (struct batch){ .rows = records->rows, .features = own->features, .targets_absent = true };
    if (!fill_numbers(own, records, status))
        return NULL;
    for (size_t f = 0; f < program->feature_count; f++) {
        bool weighted = column_is_weighted(program->features[f].column);
        if (program_feature_ragged(program, f))
            own->features[f] = sparse_view(&records->ragged[program->features[f].slot], weighted);
        else if (!fill_ids(own, f, records, status))
            return NULL;
    }
    return &own->batch;
}
