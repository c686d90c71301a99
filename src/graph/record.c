/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an optimizer is told of tables after a run: for each lookup its ids and the gradient of what it gave, row by row. Ids that
 * were dense become one a row here; then a gradient of several rows of the table side by side is laid one below the other.
 */
#include <string.h>

#include "graph/internal.h"

static int32_t id_of(const struct tensor *ids, int64_t at)
{
    if (ids->dtype == DTYPE_INT32)
        return ((const int32_t *)ids->data)[at];
    if (ids->dtype == DTYPE_INT64)
        return (int32_t)((const int64_t *)ids->data)[at];
    return (int32_t)tensor_floats(ids)[at];
}

/* The lookup has checked them all. */
static bool take_ids(const struct tensor *ids, struct record_memory *memory, struct sparse *out, pil_status *status)
{
    int64_t count = ids->rows * ids->cols, n = 0;
    if (!mem_grow_block(&memory->ids, &memory->id_capacity, (size_t)count, sizeof *memory->ids, status))
        return false;
    for (int64_t r = 0; r < ids->rows; r++)
        for (int64_t c = 0; c < ids->cols; c++)
            memory->ids[n++] = id_of(ids, r * ids->ld + c);
    *out = (struct sparse){ .rows = count, .entries = count, .ids = memory->ids };
    return true;
}

/* [batch, n, dim] as [batch n, dim]. */
static bool take_gradient(const struct tensor *dy, int64_t rows, int64_t dim, struct record_memory *memory, struct tensor *out,
                          pil_status *status)
{
    *out = (struct tensor){
        .data = dy->data, .dtype = DTYPE_FLOAT32, .shape = SHAPE(rows, dim), .rows = rows, .cols = dim, .ld = dy->ld
    };
    if (dy->cols == dim)
        return true;
    out->ld = dim;
    if (dy->ld == dy->cols)
        return true;
    if (!mem_grow_block(&memory->gradient, &memory->gradient_capacity, (size_t)(rows * dim), sizeof *memory->gradient, status))
        return false;
    out->data = memory->gradient;
    tensor_copy(dy, out);
    return true;
}

bool record_collect(struct session *session, pil_status *status)
{
    const struct plan *plan = session->plan;
    session->record_count = 0;
    for (int o = 0; o < plan->step_count; o++) {
        const struct step *step = &plan->steps[plan->order[o]];
        if (!(step->row->flags & OP_RECORD))
            continue;
        size_t n = session->record_count++;
        struct session_record *record = &session->records[n];
        const struct plan_tensor *ids = &plan->tensors[step->inputs[0]];
        const struct graph_variable *variable = graph_variable_at(plan->graph, (size_t)plan->tensors[step->inputs[2]].variable);
        struct tensor dy = session_whole(session, step->inputs[1]).tensor;
        *record = (struct session_record){ .variable = variable,
                                           .ids = &session->record_ids[n],
                                           .gradient = dy,
                                           .combiner = COMBINER_SUM,
                                           .by_entry = !ids->tensor->type.sparse };
        if (ids->tensor->type.sparse) {
            const struct op_lookup_args *args = step->args;
            session->record_ids[n] = session->inputs[ids->input].sparse;
            record->combiner = args->combiner;
            record->max_norm = args->max_norm;
            continue;
        }
        struct tensor list = session_whole(session, step->inputs[0]).tensor;
        if (!take_ids(&list, &session->record_memory[n], &session->record_ids[n], status) ||
            !take_gradient(&dy, session->record_ids[n].rows, variable->shape.dims[1], &session->record_memory[n],
                           &record->gradient, status))
            return false;
    }
    return true;
}

void record_free(struct session *session)
{
    for (int s = 0; session->record_memory && s < session->plan->step_count; s++) {
        mem_free(session->record_memory[s].ids);
        mem_free(session->record_memory[s].gradient);
    }
    mem_free(session->record_memory);
}
