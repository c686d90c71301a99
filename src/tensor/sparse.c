/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sparse values: the ids of each row, in one list with offsets. A view owns nothing; a builder owns its arrays, grows them to
 * the largest batch seen and keeps them when it is cleared, so a second pass over the same data allocates nothing.
 */
#include "tensor/tensor.h"

struct sparse sparse_slice(const struct sparse *whole, int64_t first, int64_t count)
{
    struct sparse part = *whole;
    part.rows = count;
    part.groups = NULL; /* they speak of the whole's entries */
    if (whole->offsets == NULL) {
        part.entries = count;
        part.ids = whole->ids != NULL ? whole->ids + first : NULL;
        part.weights = whole->weights != NULL ? whole->weights + first : NULL;
    } else {
        part.offsets = whole->offsets + first;
        part.entries = part.offsets[count] - part.offsets[0];
    }
    return part;
}

bool sparse_append(struct sparse_builder *builder, int32_t id, float weight, bool weighted, pil_status *status)
{
    size_t need = (size_t)builder->entries + 1;
    if (need > INT32_MAX)
        return status_fail(status, PIL_INVALID_ARGUMENT, "a batch has more than %d ids in one feature", INT32_MAX);
    if (!mem_grow(&builder->ids, &builder->id_capacity, need, sizeof(*builder->ids), status))
        return false;
    if (weighted && !mem_grow(&builder->weights, &builder->weight_capacity, need, sizeof(*builder->weights), status))
        return false;
    builder->ids[builder->entries] = id;
    if (weighted)
        builder->weights[builder->entries] = weight;
    builder->entries++;
    return true;
}

bool sparse_end_row(struct sparse_builder *builder, pil_status *status)
{
    if (!mem_grow(&builder->offsets, &builder->offset_capacity, (size_t)builder->rows + 2, sizeof(*builder->offsets), status))
        return false;
    builder->rows++;
    builder->offsets[builder->rows] = builder->entries; /* offsets[0] came as zero */
    return true;
}

struct sparse sparse_view(const struct sparse_builder *builder, bool weighted)
{
    static const int64_t none[1] = { 0 }; /* a value without rows is ragged too: it has one offset */
    return (struct sparse){ .rows = builder->rows,
                            .entries = builder->entries,
                            .offsets = builder->rows > 0 ? builder->offsets : none,
                            .ids = builder->ids,
                            .weights = weighted ? builder->weights : NULL };
}

void sparse_clear(struct sparse_builder *builder)
{
    builder->rows = builder->entries = 0;
}

void sparse_builder_free(struct sparse_builder *builder)
{
    if (builder == NULL)
        return;
    mem_free(builder->offsets);
    mem_free(builder->ids);
    mem_free(builder->weights);
    *builder = (struct sparse_builder){ 0 };
}
