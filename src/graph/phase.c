/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting a plan into stages. Odd stages are phases (rows, tile by tile), even ones run whole tensors once. A step stands in the
 * earliest stage that its inputs allow:
 *
 *   input made by          a rows step reads it in      a whole step in
 *   a source               1 or later                   0 or later
 *   whole, stage e         e + 1                        e
 *   rows, stage o          o (same tile)                o + 1
 *   a reduction, stage o   o + 2 (after the tree)       o + 1
 */
#include "graph/internal.h"

static int earliest(const struct plan *plan, const struct step *step)
{
    bool rows = step->behaviour != BEHAVIOUR_WHOLE;
    int stage = rows ? 1 : 0;
    for (int i = 0; i < step->input_count; i++) {
        const struct plan_tensor *in = &plan->tensors[step->inputs[i]];
        if (in->maker < 0)
            continue;
        const struct step *maker = &plan->steps[in->maker];
        int need;
        if (maker->behaviour == BEHAVIOUR_WHOLE)
            need = rows ? maker->stage + 1 : maker->stage;
        else if (maker->behaviour == BEHAVIOUR_REDUCES)
            need = rows ? maker->stage + 2 : maker->stage + 1;
        else
            need = rows ? maker->stage : maker->stage + 1;
        stage = MAX(stage, need);
    }
    return stage;
}

/* A rows tensor is batch-sized when it is read in another stage than its own, fetched, or made whole. */
static void find_borders(struct plan *plan)
{
    for (int t = 0; t < plan->tensor_count; t++) {
        struct plan_tensor *tensor = &plan->tensors[t];
        if (tensor->maker < 0 || !plan_is_rows(plan, t))
            continue;
        const struct step *maker = &plan->steps[tensor->maker];
        tensor->batch_sized = tensor->fetched || maker->behaviour == BEHAVIOUR_WHOLE;
    }
    for (int s = plan->step_count; s-- > 0;) { /* backwards, so that a view hands the need on to what it looks at */
        const struct step *step = &plan->steps[s];
        bool seen_later = false;
        for (int i = 0; i < step->output_count; i++)
            seen_later |= plan->tensors[step->outputs[i]].view && plan->tensors[step->outputs[i]].batch_sized;
        for (int i = 0; i < step->input_count; i++) {
            struct plan_tensor *in = &plan->tensors[step->inputs[i]];
            if (in->maker >= 0 && plan_is_rows(plan, step->inputs[i]) && (in->stage != step->stage || seen_later))
                in->batch_sized = true;
        }
    }
}

static bool order_by_stage(struct plan *plan, pil_status *status)
{
    plan->order = arena_alloc(plan->arena, (size_t)MAX(plan->step_count, 1) * sizeof *plan->order, status);
    plan->stages = arena_alloc(plan->arena, (size_t)plan->stage_count * sizeof *plan->stages, status);
    if (!plan->order || !plan->stages)
        return false;
    int at = 0;
    for (int stage = 0; stage < plan->stage_count; stage++) {
        plan->stages[stage].first = at;
        for (int s = 0; s < plan->step_count; s++)
            if (plan->steps[s].stage == stage)
                plan->order[at++] = s;
        plan->stages[stage].count = at - plan->stages[stage].first;
    }
    return true;
}

bool phase_cut(struct plan *plan, pil_status *status)
{
    plan->stage_count = 1;
    for (int s = 0; s < plan->step_count; s++) {
        struct step *step = &plan->steps[s];
        step->stage = earliest(plan, step);
        if (!(step->row->flags & OP_RECORD))
            plan->stage_count = MAX(plan->stage_count, step->stage + 1);
    }
    /* Records are read when all is done: a whole stage of their own behind the last, in which nothing runs. */
    int last = plan->stage_count + plan->stage_count % 2;
    for (int s = 0; s < plan->step_count; s++) {
        struct step *step = &plan->steps[s];
        if (step->row->flags & OP_RECORD) {
            step->stage = last;
            plan->stage_count = last + 1;
        }
        for (int i = 0; i < step->output_count; i++)
            plan->tensors[step->outputs[i]].stage = step->stage;
    }
    find_borders(plan);
    return order_by_stage(plan, status);
}
