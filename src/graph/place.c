/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placing a plan's tensors. What lives within one phase shares a worker's tile arena, sized for TILE_ROWS rows; what crosses a
 * border is batch-sized; reductions lie in a shard's partial block (doubles in front), a variable's gradient in the block
 * of its group; whole tensors lie side by side in static memory.
 *
 * Pads must stay zero, and ops may leave them alone. So two tensors share tile memory only where their pads lie at the same
 * places (equal columns), or where neither has any.
 */
#include <string.h>

#include "graph/internal.h"

static int root_of(const struct plan *plan, int tensor)
{
    while (plan->tensors[tensor].place == PLACE_COLUMNS)
        tensor = plan->tensors[tensor].base;
    return tensor;
}

/* A concat's inputs are written straight into its buffer where their makers can. */
static void place_concat(struct plan *plan, const struct step *step)
{
    const struct op_axis_args *args = step->args;
    struct plan_tensor *out = &plan->tensors[step->outputs[0]];
    if (strcmp(step->row->name, "concat") != 0 || step->behaviour != BEHAVIOUR_ROW_BY_ROW || out->tensor->type.shape.rank != 2 ||
        (args->axis != 1 && args->axis != -1))
        return;
    int64_t at = 0;
    for (int i = 0; i < step->input_count; i++) {
        struct plan_tensor *in = &plan->tensors[step->inputs[i]];
        const struct step *maker = in->maker < 0 ? NULL : &plan->steps[in->maker];
        if (maker && (maker->row->flags & OP_WRITES_STRIDED) && maker->stage == step->stage && in->uses == 1 && !in->fetched &&
            in->place == PLACE_NONE) {
            in->place = PLACE_COLUMNS;
            in->base = step->outputs[0];
            in->offset = at;
            in->ld = out->ld;
        }
        at += in->cols;
    }
}

static void place_views(struct plan *plan, const struct step *step)
{
    const struct plan_tensor *in = &plan->tensors[step->inputs[0]];
    for (int i = 0; i < step->output_count; i++) {
        struct plan_tensor *out = &plan->tensors[step->outputs[i]];
        if (!out->view)
            continue;
        out->place = PLACE_COLUMNS;
        out->base = step->inputs[0];
        out->ld = in->ld;
    }
}

/* ---- partials ---- */

/* Reductions that write a variable's gradient into its block: all its dense parts are reductions that nobody else reads and that
 * no other variable has as its own. Any other gradient is put together after the stages (run.c). */
static bool find_gradients(struct plan *plan, pil_status *status)
{
    const struct pil_graph *graph = plan->graph;
    int *claims = mem_array((size_t)plan->tensor_count + 1, sizeof *claims, status);
    for (size_t v = 0; claims && graph->has_gradients && v < graph->variable_count; v++)
        for (int k = 0; k < graph->variables[v]->gradient.dense_count; k++)
            claims[plan_number(plan, graph->variables[v]->gradient.dense[k])]++;
    for (size_t v = 0; claims && graph->has_gradients && v < graph->variable_count; v++) {
        const struct variable_gradient *gradient = &graph->variables[v]->gradient;
        bool own = true;
        for (int k = 0; k < gradient->dense_count; k++) {
            int t = plan_number(plan, gradient->dense[k]);
            const struct plan_tensor *part = &plan->tensors[t];
            own &= claims[t] == 1 && part->maker >= 0 && plan->steps[part->maker].behaviour == BEHAVIOUR_REDUCES && !part->uses &&
                   !part->fetched;
        }
        for (int k = 0; own && k < gradient->dense_count; k++)
            plan->tensors[plan_number(plan, gradient->dense[k])].variable = (int)v;
    }
    mem_free(claims);
    return claims != NULL;
}

static void place_reduction(struct plan *plan, struct step *step)
{
    for (int i = 0; i < step->output_count; i++) {
        struct plan_tensor *out = &plan->tensors[step->outputs[i]];
        int64_t rows, cols;
        tensor_cut(out->tensor->type.shape, false, &rows, &cols);
        if (out->variable >= 0) {
            out->place = PLACE_GRADIENT;
            plan->gradient_bytes += rows * out->ld * (int64_t)sizeof(float);
            for (int t = 0; t < plan->tensor_count; t++) /* a second part adds to the first's buffer */
                if (t != step->outputs[i] && plan->tensors[t].place == PLACE_GRADIENT &&
                    plan->tensors[t].variable == out->variable)
                    step->adds = true;
            continue;
        }
        struct plan_stage *stage = &plan->stages[step->stage];
        size_t bytes = (size_t)(rows * out->ld) * dtype_size(out->tensor->type.dtype);
        bytes = (bytes + 63) / 64 * 64;
        out->place = PLACE_PARTIAL;
        out->offset = (int64_t)stage->partial_bytes;
        stage->partial_bytes += bytes;
        if (out->tensor->type.dtype == DTYPE_FLOAT64)
            stage->partial_doubles += bytes;
        plan->gradient_bytes += (int64_t)bytes;
    }
}

/* Doubles first: two passes over the reductions in order of evaluation. */
static void place_reductions(struct plan *plan)
{
    for (int pass = 0; pass < 2; pass++)
        for (int o = 0; o < plan->step_count; o++) {
            struct step *step = &plan->steps[plan->order[o]];
            bool doubles = plan->tensors[step->outputs[0]].tensor->type.dtype == DTYPE_FLOAT64;
            if (step->behaviour == BEHAVIOUR_REDUCES && doubles == (pass == 0))
                place_reduction(plan, step);
        }
}

/* ---- tile arena ---- */

struct slot {
    int64_t pads;  /* bytes of a row where pads begin; 0: none */
    int64_t bytes; /* of TILE_ROWS rows */
    int64_t offset;
    int free_after; /* position in `order` */
};

/* Where in `order` a tensor's memory is first written and last read, views and columns counted for what they lie in. */
static void find_lifetimes(struct plan *plan)
{
    for (int o = 0; o < plan->step_count; o++) {
        const struct step *step = &plan->steps[plan->order[o]];
        for (int i = 0; i < step->input_count + step->output_count; i++) {
            int t = i < step->input_count ? step->inputs[i] : step->outputs[i - step->input_count];
            struct plan_tensor *tensor = &plan->tensors[root_of(plan, t)];
            tensor->first_use = tensor->first_use < 0 ? o : tensor->first_use;
            tensor->last_use = o;
        }
    }
}

/* Whether a step reads other parts of an input's memory besides. */
static bool is_read_twice(const struct plan *plan, const struct step *step, int tensor)
{
    for (int i = 0; i < step->input_count; i++)
        if (step->inputs[i] != tensor && root_of(plan, step->inputs[i]) == tensor)
            return true;
    return false;
}

/* The memory of an input that has the output's shape and is not read afterwards. */
static bool place_over_input(struct plan *plan, const struct step *step, struct plan_tensor *out, struct slot *slots)
{
    for (int i = 0; (step->row->flags & OP_IN_PLACE) && i < step->input_count; i++) {
        const struct plan_tensor *in = &plan->tensors[step->inputs[i]];
        if (in->place != PLACE_TILE || in->last_use != out->first_use || in->tensor->type.dtype != out->tensor->type.dtype ||
            !shape_equal(in->tensor->type.shape, out->tensor->type.shape) || is_read_twice(plan, step, step->inputs[i]))
            continue;
        out->place = PLACE_TILE;
        out->offset = in->offset;
        out->slot = in->slot;
        slots[out->slot].free_after = out->last_use;
        return true;
    }
    return false;
}

static void place_tile(struct plan *plan, struct plan_tensor *tensor, struct slot *slots, int *slot_count)
{
    int64_t size = (int64_t)dtype_size(tensor->tensor->type.dtype);
    int64_t pads = tensor->ld == tensor->cols ? 0 : tensor->cols * size, bytes = (tensor->ld * size * TILE_ROWS + 63) / 64 * 64;
    struct slot *best = NULL;
    for (int i = 0; i < *slot_count; i++)
        if (slots[i].pads == pads && slots[i].free_after < tensor->first_use && slots[i].bytes >= bytes &&
            (pads == 0 || slots[i].bytes == bytes) && (!best || slots[i].bytes < best->bytes))
            best = &slots[i];
    if (!best) {
        best = &slots[(*slot_count)++];
        *best = (struct slot){ .pads = pads, .bytes = bytes, .offset = plan->tile_bytes };
        plan->tile_bytes += bytes;
    }
    best->free_after = tensor->last_use;
    tensor->place = PLACE_TILE;
    tensor->offset = best->offset;
    tensor->slot = (int)(best - slots);
}

static bool place_tiles(struct plan *plan, pil_status *status)
{
    struct slot *slots = mem_array((size_t)plan->tensor_count + 1, sizeof *slots, status);
    if (!slots)
        return false;
    int slot_count = 0;
    for (int o = 0; o < plan->step_count; o++) {
        const struct step *step = &plan->steps[plan->order[o]];
        for (int i = 0; i < step->output_count; i++) {
            struct plan_tensor *root = &plan->tensors[root_of(plan, step->outputs[i])];
            if (root->place != PLACE_NONE || root->first_use != o || root->maker < 0 || root->batch_sized ||
                !OP_ROWS(root->tensor->type))
                continue;
            bool own = root == &plan->tensors[step->outputs[i]] && i == 0;
            if (!own || !place_over_input(plan, step, root, slots))
                place_tile(plan, root, slots, &slot_count);
        }
    }
    mem_free(slots);
    return true;
}

/* ---- the rest ---- */

static void place_rest(struct plan *plan)
{
    for (int s = 0; s < plan->step_count; s++) {
        const struct step *step = &plan->steps[s];
        for (int i = 0; i < step->output_count && !(step->row->flags & OP_RECORD); i++) {
            struct plan_tensor *out = &plan->tensors[step->outputs[i]];
            if (out->place != PLACE_NONE)
                continue;
            struct shape shape = out->tensor->type.shape;
            bool symbolic = shape_elements(shape) < 0;
            if (symbolic) {
                out->place = PLACE_BATCH;
                out->offset = plan->batch_buffers++;
                continue;
            }
            size_t bytes = (tensor_bytes(out->tensor->type.dtype, shape, false) + 63) / 64 * 64;
            out->place = PLACE_STATIC;
            out->offset = (int64_t)plan->static_bytes;
            plan->static_bytes += bytes;
        }
    }
}

bool place_all(struct plan *plan, pil_status *status)
{
    for (int o = 0; o < plan->step_count; o++) {
        const struct step *step = &plan->steps[plan->order[o]];
        if (step->row->view)
            place_views(plan, step);
        else
            place_concat(plan, step);
    }
    if (!find_gradients(plan, status))
        return false;
    place_reductions(plan);
    find_lifetimes(plan);
    if (!place_tiles(plan, status))
        return false;
    place_rest(plan);
    return true;
}
