/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiling a graph into a plan: what the fetches, gradients and moving averages need becomes steps in order of evaluation,
 * neighbours are fused, then stages are cut (phase.c) and buffers placed (place.c). The graph itself is not changed.
 */
#include <string.h>

#include "graph/internal.h"

int plan_number(const struct plan *plan, const struct pil_tensor *tensor)
{
    int base = plan->index_of[tensor->node->number];
    return base < 0 ? -1 : base + tensor->index;
}

bool plan_is_rows(const struct plan *plan, int tensor)
{
    return plan->tensors[tensor].tensor->type.extent == EXTENT_ROWS;
}

static void *plan_alloc(struct plan *plan, size_t count, size_t size, pil_status *status)
{
    return arena_alloc(plan->arena, MAX(count, 1) * size, status);
}

/* Marks what the plan must compute; nodes come in order of evaluation, so one walk backwards is enough. */
static void mark(const struct pil_graph *graph, bool *needed)
{
    for (size_t i = graph->node_count; i-- > 0;)
        for (int k = 0; needed[i] && k < graph->nodes[i]->input_count; k++)
            needed[graph->nodes[i]->inputs[k]->node->number] = true;
}

static bool *find_needed(struct plan *plan, struct pil_tensor *const *fetches, size_t fetch_count, pil_status *status)
{
    const struct pil_graph *graph = plan->graph;
    bool *needed = plan_alloc(plan, graph->node_count, sizeof *needed, status);
    if (!needed)
        return NULL;
    for (size_t i = 0; i < fetch_count; i++)
        needed[fetches[i]->node->number] = true;
    for (size_t i = 0; graph->has_gradients && i < graph->variable_count; i++) {
        const struct variable_gradient *gradient = &graph->variables[i]->gradient;
        for (int k = 0; k < gradient->dense_count; k++)
            needed[gradient->dense[k]->node->number] = true;
        for (int k = 0; k < gradient->record_count; k++)
            needed[gradient->records[k]->number] = true;
    }
    for (size_t i = 0; graph->has_gradients && i < graph->moving_count; i++) {
        needed[graph->movings[i].value->node->number] = true;
        needed[graph->movings[i].variable->node->number] = true;
    }
    mark(graph, needed);
    return needed;
}

static bool number_tensors(struct plan *plan, const bool *needed, pil_status *status)
{
    const struct pil_graph *graph = plan->graph;
    plan->index_of = plan_alloc(plan, graph->node_count, sizeof *plan->index_of, status);
    if (!plan->index_of)
        return false;
    for (size_t i = 0; i < graph->node_count; i++) {
        plan->index_of[i] = needed[i] ? plan->tensor_count : -1;
        plan->tensor_count += needed[i] ? graph->nodes[i]->output_count : 0;
        plan->step_count += needed[i] && graph->nodes[i]->kind == NODE_OP;
        plan->input_count += needed[i] && graph->nodes[i]->kind == NODE_INPUT;
    }
    plan->tensors = plan_alloc(plan, (size_t)plan->tensor_count, sizeof *plan->tensors, status);
    plan->steps = plan_alloc(plan, (size_t)plan->step_count, sizeof *plan->steps, status);
    plan->inputs = plan_alloc(plan, (size_t)plan->input_count, sizeof *plan->inputs, status);
    return plan->tensors && plan->steps && plan->inputs;
}

static bool add_step(struct plan *plan, struct node *node, int number, pil_status *status)
{
    struct step *step = &plan->steps[number];
    *step = (struct step){ .node = node,
                           .row = node->row,
                           .args = node->args,
                           .behaviour = node->behaviour,
                           .input_count = node->input_count,
                           .output_count = node->output_count };
    step->inputs = plan_alloc(plan, (size_t)node->input_count, sizeof *step->inputs, status);
    step->outputs = plan_alloc(plan, (size_t)node->output_count, sizeof *step->outputs, status);
    if (!step->inputs || !step->outputs)
        return false;
    for (int i = 0; i < node->input_count; i++)
        step->inputs[i] = plan_number(plan, node->inputs[i]);
    for (int i = 0; i < node->output_count; i++)
        step->outputs[i] = plan_number(plan, &node->outputs[i]);
    return true;
}

/* One plan tensor for every output of a needed node, one step for every needed op. */
static bool make_steps(struct plan *plan, const bool *needed, pil_status *status)
{
    const struct pil_graph *graph = plan->graph;
    int step = 0, input = 0;
    for (size_t i = 0; i < graph->node_count; i++) {
        struct node *node = graph->nodes[i];
        for (int k = 0; needed[i] && k < node->output_count; k++) {
            struct plan_tensor *tensor = &plan->tensors[plan->index_of[i] + k];
            int64_t rows;
            *tensor = (struct plan_tensor){ .tensor = &node->outputs[k],
                                            .maker = node->kind == NODE_OP ? step : -1,
                                            .base = -1,
                                            .first_use = -1,
                                            .last_use = -1,
                                            .variable = -1,
                                            .input = -1 };
            tensor_cut(node->outputs[k].type.shape, node->outputs[k].type.extent == EXTENT_ROWS, &rows, &tensor->cols);
            tensor->ld = pad_columns(tensor->cols);
            tensor->place = node->kind == NODE_INPUT      ? PLACE_INPUT
                            : node->kind == NODE_VARIABLE ? PLACE_VARIABLE
                            : node->kind == NODE_CONSTANT ? PLACE_CONSTANT
                                                          : PLACE_NONE;
            if (node->kind == NODE_INPUT) {
                tensor->input = input;
                plan->inputs[input++] = &node->outputs[0];
            }
            if (node->kind == NODE_VARIABLE)
                tensor->variable = ((struct variable_entry *)node->variable)->number;
        }
        if (needed[i] && node->kind == NODE_OP && !add_step(plan, node, step++, status))
            return false;
    }
    return true;
}

static void count_uses(struct plan *plan)
{
    for (int t = 0; t < plan->tensor_count; t++)
        plan->tensors[t].uses = 0;
    for (int s = 0; s < plan->step_count; s++)
        for (int i = 0; !plan->steps[s].dropped && i < plan->steps[s].input_count; i++)
            plan->tensors[plan->steps[s].inputs[i]].uses++;
}

/* dX = dY W^T followed by a ReLU's gradient becomes one product whose epilogue gates. */
static bool fuse_gate(struct plan *plan, int number, pil_status *status)
{
    struct step *gate = &plan->steps[number];
    const struct op_activation_args *activation = gate->args;
    if (strcmp(gate->row->name, "activation_gradient") != 0 || activation->activation != ACTIVATION_RELU)
        return true;
    struct plan_tensor *dx = &plan->tensors[gate->inputs[0]];
    struct step *product = dx->maker < 0 ? NULL : &plan->steps[dx->maker];
    if (!product || strcmp(product->row->name, "matmul") != 0 || product->behaviour != BEHAVIOUR_ROW_BY_ROW || dx->uses != 1 ||
        dx->fetched || dx->tensor->type.shape.rank != 2)
        return true;
    const struct op_matmul_args *old = product->args;
    if (old->bias || old->gate || old->transpose_a || old->activation != ACTIVATION_LINEAR)
        return true;
    struct op_matmul_args *args = plan_alloc(plan, 1, sizeof *args, status);
    int *inputs = plan_alloc(plan, 3, sizeof *inputs, status);
    if (!args || !inputs)
        return false;
    args->gate = true;
    inputs[0] = product->inputs[0];
    inputs[1] = product->inputs[1];
    inputs[2] = gate->inputs[1];
    gate->row = product->row;
    gate->args = args;
    gate->inputs = inputs;
    gate->input_count = 3;
    product->dropped = true;
    dx->place = PLACE_NONE;
    return true;
}

/* A product of which an activation is the only reader applies it itself. */
static bool fuse_activation(struct plan *plan, int number, pil_status *status)
{
    struct step *step = &plan->steps[number];
    const struct op_activation_args *activation = step->args;
    if (strcmp(step->row->name, "activation") != 0 || op_activation_takes_input(activation->activation))
        return true;
    struct plan_tensor *x = &plan->tensors[step->inputs[0]];
    struct step *product = x->maker < 0 ? NULL : &plan->steps[x->maker];
    if (!product || strcmp(product->row->name, "matmul") != 0 || product->behaviour != step->behaviour || x->uses != 1 ||
        x->fetched)
        return true;
    const struct op_matmul_args *old = product->args;
    if (old->gate || old->activation != ACTIVATION_LINEAR)
        return true;
    struct op_matmul_args *args = plan_alloc(plan, 1, sizeof *args, status);
    if (!args)
        return false;
    *args = *old;
    args->activation = activation->activation;
    step->row = product->row;
    step->args = args;
    step->inputs = product->inputs;
    step->input_count = product->input_count;
    product->dropped = true;
    x->place = PLACE_NONE;
    return true;
}

static void take_out_dropped(struct plan *plan)
{
    int kept = 0;
    for (int s = 0; s < plan->step_count; s++) {
        if (plan->steps[s].dropped)
            continue;
        if (kept != s)
            plan->steps[kept] = plan->steps[s];
        for (int i = 0; i < plan->steps[kept].output_count; i++)
            plan->tensors[plan->steps[kept].outputs[i]].maker = kept;
        kept++;
    }
    plan->step_count = kept;
}

/* Whether a tensor's rows are a part of wider ones. A view of all columns is laid like any other tensor. */
static bool is_narrow(const struct plan *plan, int t)
{
    while (plan->tensors[t].view) {
        int in = plan->steps[plan->tensors[t].maker].inputs[0];
        if (plan->tensors[in].cols != plan->tensors[t].cols)
            return true;
        t = in;
    }
    return false;
}

static bool readers_take_views(const struct plan *plan, int t)
{
    for (int s = 0; s < plan->step_count; s++)
        for (int i = 0; i < plan->steps[s].input_count; i++)
            if (plan->steps[s].inputs[i] == t && !(plan->steps[s].row->flags & OP_TAKES_VIEWS))
                return false;
    return true;
}

/* Columns of an op that moves nothing else are views where every reader can take one. In order of evaluation, so that a view of a
 * view knows what it looks at. */
static void find_views(struct plan *plan)
{
    for (int s = 0; s < plan->step_count; s++) {
        struct step *step = &plan->steps[s];
        if (!step->row->view || step->behaviour != BEHAVIOUR_ROW_BY_ROW)
            continue;
        step->view = true;
        for (int i = 0; i < step->output_count; i++) {
            struct plan_tensor *out = &plan->tensors[step->outputs[i]];
            out->offset = step->row->view(step->args, &plan->tensors[step->inputs[0]].tensor->type, i);
            out->view = !out->fetched && out->offset >= 0;
            out->view = out->view && (!is_narrow(plan, step->outputs[i]) || readers_take_views(plan, step->outputs[i]));
            step->view &= out->view;
        }
    }
}

/* Outputs that nobody reads are not made where the op can do without. */
static bool narrow(struct plan *plan, pil_status *status)
{
    for (int s = 0; s < plan->step_count; s++) {
        struct step *step = &plan->steps[s];
        bool read[OP_MAX_OUTPUTS];
        if (!step->row->narrow)
            continue;
        void *args = plan_alloc(plan, 1, step->row->args_size, status);
        if (!args)
            return false;
        memcpy(args, step->args, step->row->args_size);
        for (int i = 0; i < step->output_count; i++)
            read[i] = plan->tensors[step->outputs[i]].uses || plan->tensors[step->outputs[i]].fetched;
        step->output_count = step->row->narrow(args, read, step->output_count);
        step->args = args;
    }
    return true;
}

static void find_lookup_only(struct plan *plan)
{
    for (int t = 0; t < plan->tensor_count; t++) {
        if (plan->tensors[t].place != PLACE_VARIABLE)
            continue;
        struct graph_variable *variable = graph_variable_at(plan->graph, (size_t)plan->tensors[t].variable);
        bool only = plan->tensors[t].uses > 0 && !plan->tensors[t].fetched && variable->shape.rank == 2;
        for (int s = 0; s < plan->step_count; s++)
            for (int i = 0; only && i < plan->steps[s].input_count; i++)
                only = plan->steps[s].inputs[i] != t || (plan->steps[s].row->flags & OP_READS_TABLES);
        variable->lookup_only = plan->tensors[t].lookup_only = only;
    }
}

static double default_work(const struct step *step)
{
    double elements = 0;
    for (int i = 0; i < step->node->output_count; i++) {
        struct shape shape = shape_with_batch(step->node->outputs[i].type.shape, 1);
        elements += (double)shape_elements(shape);
    }
    return elements;
}

static void count_work(struct plan *plan, pil_status *status)
{
    for (int s = 0; s < plan->step_count; s++) {
        struct step *step = &plan->steps[s];
        struct op_type *types = plan_alloc(plan, (size_t)step->input_count + (size_t)step->output_count, sizeof *types, status);
        if (!types)
            return;
        for (int i = 0; i < step->input_count; i++)
            types[i] = plan->tensors[step->inputs[i]].tensor->type;
        for (int i = 0; i < step->output_count; i++)
            types[step->input_count + i] = plan->tensors[step->outputs[i]].tensor->type;
        const struct op_type *outputs = types + step->input_count;
        if (step->behaviour != BEHAVIOUR_WHOLE && !step->view)
            plan->flops += step->row->work ? step->row->work(step->args, types, outputs) : default_work(step);
        if (step->row->scratch) {
            step->scratch = step->row->scratch(step->args, types, outputs, TILE_ROWS);
            plan->scratch_bytes = MAX(plan->scratch_bytes, step->scratch);
        }
        plan->max_operands = MAX(plan->max_operands, step->input_count + step->output_count);
    }
}

static bool compile(struct plan *plan, struct pil_tensor *const *fetches, size_t fetch_count, pil_status *status)
{
    bool *needed = find_needed(plan, fetches, fetch_count, status);
    if (!needed || !number_tensors(plan, needed, status) || !make_steps(plan, needed, status))
        return false;
    plan->fetches = plan_alloc(plan, fetch_count, sizeof *plan->fetches, status);
    if (!plan->fetches)
        return false;
    plan->fetch_count = fetch_count;
    for (size_t i = 0; i < fetch_count; i++) {
        plan->fetches[i] = plan_number(plan, fetches[i]);
        plan->tensors[plan->fetches[i]].fetched = true;
    }
    count_uses(plan);
    for (int s = 0; s < plan->step_count; s++)
        if (!fuse_gate(plan, s, status) || !fuse_activation(plan, s, status))
            return false;
    take_out_dropped(plan);
    count_uses(plan);
    if (!narrow(plan, status))
        return false;
    find_views(plan);
    find_lookup_only(plan);
    count_work(plan, status);
    return status_ok(status) && phase_cut(plan, status) && place_all(plan, status);
}

struct plan *plan_compile(struct pil_graph *graph, struct pil_tensor *const *fetches, size_t fetch_count, pil_status *status)
{
    if (!status_ok(&graph->status)) {
        if (status_ok(status))
            *status = graph->status;
        return NULL;
    }
    struct plan *plan = mem_new(sizeof *plan, status);
    if (!plan)
        return NULL;
    plan->graph = graph;
    plan->arena = arena_new(status);
    if (plan->arena && compile(plan, fetches, fetch_count, status))
        return plan;
    plan_free(plan);
    return NULL;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    arena_free(plan->arena);
    mem_free(plan);
}

int plan_stages(const struct plan *plan)
{
    return plan->stage_count;
}

double plan_flops(const struct plan *plan)
{
    return plan->flops;
}

/* execution.md: a shard must be worth its partial. g bytes of dense gradient, f flops a row: at least max(16, 60 g / f) rows, 300
 * instead of 60 above 256 KB, where the sum costs memory traffic. The bits depend on this function. */
int64_t plan_shards(const struct plan *plan, int64_t rows)
{
    double g = (double)plan->gradient_bytes, f = MAX(plan->flops, 1.0);
    double least = (g > 256.0 * 1024 ? 300.0 : 60.0) * g / f;
    least = MAX(least, 16.0);
    int64_t shards = 1;
    while (shards * 2 <= MAX_SHARDS && (double)rows / (double)(shards * 2) >= least &&
           (double)(shards * 2) * g <= 256.0 * 1024 * 1024)
        shards *= 2;
    return shards;
}

void plan_dump(const struct plan *plan, struct text *out)
{
    static const char *const places[] = { "none", "input", "variable", "constant", "static",
                                          "tile", "batch", "partial",  "gradient", "columns" };
    static const char *const behaviours[] = { "rows", "reduce", "whole" };
    for (int o = 0; o < plan->step_count; o++) {
        const struct step *step = &plan->steps[plan->order[o]];
        text_format(out, "%d %-6s %s (%s)", step->stage, step->view ? "view" : behaviours[step->behaviour], step->row->name,
                    step->node->name);
        for (int i = 0; i < step->output_count; i++) {
            char shape[128];
            const struct plan_tensor *tensor = &plan->tensors[step->outputs[i]];
            text_format(out, " %s %s", shape_text(tensor->tensor->type.shape, shape), places[tensor->place]);
        }
        text_format(out, "\n");
    }
}
