/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reverse-mode gradients as nodes of the same graph. The walk visits nodes from the loss backwards; every op adds what its
 * row's gradient says. What reaches a variable stays a list: dense parts (reductions that can share one buffer) and records of
 * lookups, which never become a tensor of the table's size.
 */
#include <stdlib.h>
#include <string.h>

#include "graph/internal.h"

/* What has flowed back to a tensor so far: a sum, and parts of its axes, which may turn out to lie side by side. */
struct flow {
    struct pil_tensor *sum;
    struct pil_tensor **parts; /* made by pad_zeros */
    int count, capacity;
};
struct walk {
    struct pil_graph *graph;
    size_t node_count;   /* before gradients were added */
    struct flow **flows; /* [node][output] */
    bool *needed;        /* node: some trainable variable lies below */
};

static struct pil_tensor *emit(void *context, const char *op, const void *args, struct pil_tensor *const *inputs, int input_count,
                               struct pil_tensor **outputs)
{
    return graph_op(context, op, args, inputs, input_count, outputs);
}

static struct op_type type_of(void *context, const struct pil_tensor *tensor)
{
    (void)context;
    return tensor->type;
}

static bool append(struct pil_graph *graph, void *list_pointer, int *count, void *item)
{
    void ***list = list_pointer;
    void **grown = arena_alloc(graph->arena, (size_t)(*count + 1) * sizeof *grown, &graph->status);
    if (!grown)
        return false;
    if (*count)
        memcpy(grown, *list, (size_t)*count * sizeof *grown);
    grown[(*count)++] = item;
    *list = grown;
    return true;
}

static bool is_record(const struct pil_tensor *part)
{
    return part->node->row && (part->node->row->flags & OP_RECORD);
}

/* A variable's part: a record, or a dense gradient. */
static bool add_to_variable(struct pil_graph *graph, struct pil_tensor *variable, struct pil_tensor *part)
{
    struct variable_entry *entry = (struct variable_entry *)variable->node->variable;
    struct node *node = part->node;
    if (is_record(part))
        return append(graph, &entry->gradient.records, &entry->gradient.record_count, node);
    return append(graph, &entry->gradient.dense, &entry->gradient.dense_count, part);
}

static bool add_slice(struct pil_graph *graph, struct flow *flow, struct pil_tensor *part)
{
    if (flow->count == flow->capacity) {
        int capacity = MAX(2 * flow->capacity, 4);
        struct pil_tensor **parts = arena_alloc(graph->arena, (size_t)capacity * sizeof *parts, &graph->status);
        if (!parts)
            return false;
        if (flow->count)
            memcpy(parts, flow->parts, (size_t)flow->count * sizeof *parts);
        flow->parts = parts;
        flow->capacity = capacity;
    }
    flow->parts[flow->count++] = part;
    return true;
}

static bool add_part(struct walk *walk, struct pil_tensor *tensor, struct pil_tensor *part)
{
    if (tensor->node->kind == NODE_VARIABLE)
        return add_to_variable(walk->graph, tensor, part);
    if (tensor->node->kind != NODE_OP)
        return true;
    if (is_record(part)) {
        graph_fail(walk->graph, "the table %s of a lookup is computed, so its rows cannot be trained", tensor->node->name);
        status_hint(&walk->graph->status, "look up in a variable, or put stop_gradient before the lookup");
        return false;
    }
    struct flow *flow = &walk->flows[tensor->node->number][tensor->index];
    if (part->node->row && strcmp(part->node->row->name, "pad_zeros") == 0)
        return add_slice(walk->graph, flow, part);
    flow->sum = flow->sum ? graph_op2(walk->graph, "add", NULL, flow->sum, part) : part;
    return status_ok(&walk->graph->status);
}

/* ---- slices ---- */

static const struct op_pad_args *place_of(const struct pil_tensor *part)
{
    return part->node->args;
}

static int64_t size_of(const struct pil_tensor *part)
{
    return part->node->inputs[0]->type.shape.dims[place_of(part)->axis];
}

static int by_place(const void *left, const void *right)
{
    struct pil_tensor *const *a = left, *const *b = right;
    const struct op_pad_args *x = place_of(*a), *y = place_of(*b);
    if (x->axis != y->axis)
        return x->axis < y->axis ? -1 : 1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return (*a)->node->number < (*b)->node->number ? -1 : (*a)->node->number > (*b)->node->number;
}

/* `count` parts, each of which begins where the one before ends: joined, and zeros around all of them at once. */
static struct pil_tensor *join(struct walk *walk, struct pil_tensor *const *parts, int count)
{
    struct pil_graph *graph = walk->graph;
    if (count == 1)
        return parts[0];
    struct op_pad_args place = *place_of(parts[0]);
    struct pil_tensor **inputs = arena_alloc(graph->arena, (size_t)count * sizeof *inputs, &graph->status);
    int64_t size = 0;
    if (!inputs)
        return &graph->error_tensor;
    for (int i = 0; i < count; i++) {
        inputs[i] = parts[i]->node->inputs[0];
        size += size_of(parts[i]);
    }
    struct pil_tensor *joined = graph_op(graph, "concat", &(struct op_axis_args){ place.axis }, inputs, count, NULL);
    return size == place.total ? joined : graph_op1(graph, "pad_zeros", &place, joined);
}

/* The gradient of a tensor that all its readers have been asked for. Slices of it that lie side by side, as the steps of a
 * sequence do, are joined: n of them cost the whole's width once, and not n times. Of overlapping ones each goes to the first run
 * that ends where it begins. */
static struct pil_tensor *settle(struct walk *walk, struct flow *flow)
{
    struct pil_tensor **run = arena_alloc(walk->graph->arena, (size_t)flow->count * sizeof *run + 1, &walk->graph->status);
    if (!run)
        return &walk->graph->error_tensor;
    if (flow->count > 1)
        qsort(flow->parts, (size_t)flow->count, sizeof *flow->parts, by_place);
    for (int i = 0; i < flow->count; i++) {
        int count = 0;
        int64_t end = 0;
        for (int k = i; k < flow->count && flow->parts[i]; k++) {
            struct pil_tensor *part = flow->parts[k];
            if (k > i && (!part || place_of(part)->axis != place_of(run[0])->axis || place_of(part)->first != end))
                continue;
            end = place_of(part)->first + size_of(part);
            run[count++] = part;
            if (k > i)
                flow->parts[k] = NULL;
        }
        struct pil_tensor *joined = count ? join(walk, run, count) : NULL;
        if (joined)
            flow->sum = flow->sum ? graph_op2(walk->graph, "add", NULL, flow->sum, joined) : joined;
    }
    flow->count = 0;
    return flow->sum;
}

/* Which nodes lie between the trainable variables and the rest. */
static void mark_needed(struct walk *walk)
{
    for (size_t i = 0; i < walk->node_count; i++) {
        const struct node *node = walk->graph->nodes[i];
        if (node->kind == NODE_VARIABLE)
            walk->needed[i] = node->variable->trainable;
        for (int k = 0; node->kind == NODE_OP && node->row->gradient && k < node->input_count; k++)
            walk->needed[i] |= walk->needed[node->inputs[k]->node->number];
    }
}

static bool visit(struct walk *walk, struct node *node)
{
    struct pil_graph *graph = walk->graph;
    struct flow *flows = walk->flows[node->number];
    bool reached = false;
    for (int i = 0; i < node->output_count; i++)
        reached |= flows[i].sum || flows[i].count;
    if (!reached || !walk->needed[node->number] || !node->row->gradient)
        return true;
    struct pil_tensor **gradients = arena_alloc(graph->arena, (size_t)node->output_count * sizeof *gradients, &graph->status);
    struct pil_tensor **inputs = arena_alloc(graph->arena, (size_t)node->input_count * sizeof *inputs, &graph->status);
    struct pil_tensor **outputs = arena_alloc(graph->arena, (size_t)node->output_count * sizeof *outputs, &graph->status);
    bool *wanted = arena_alloc(graph->arena, (size_t)node->input_count * sizeof *wanted, &graph->status);
    if (!gradients || !inputs || !outputs || !wanted)
        return false;
    for (int i = 0; i < node->output_count; i++) {
        outputs[i] = &node->outputs[i];
        gradients[i] = settle(walk, &flows[i]);
    }
    for (int i = 0; i < node->input_count; i++)
        wanted[i] = walk->needed[node->inputs[i]->node->number];
    struct op_gradient gradient = { .args = node->args,
                                    .name = node->name,
                                    .input_count = node->input_count,
                                    .output_count = node->output_count,
                                    .inputs = node->inputs,
                                    .outputs = outputs,
                                    .output_gradients = gradients,
                                    .input_gradients = inputs,
                                    .wanted = wanted,
                                    .emit = emit,
                                    .type = type_of,
                                    .context = graph };
    node->row->gradient(&gradient);
    for (int i = 0; i < node->input_count && status_ok(&graph->status); i++)
        if (inputs[i] && wanted[i] && !add_part(walk, node->inputs[i], inputs[i]))
            return false;
    return status_ok(&graph->status);
}

/* Dense parts that are all reductions share one buffer; any others are added up by ops. */
static void combine_dense(struct pil_graph *graph, struct variable_gradient *gradient)
{
    bool reductions = true;
    for (int i = 0; i < gradient->dense_count; i++)
        reductions &= gradient->dense[i]->node->kind == NODE_OP && gradient->dense[i]->node->behaviour == BEHAVIOUR_REDUCES;
    if (reductions || gradient->dense_count < 2)
        return;
    for (int i = 1; i < gradient->dense_count; i++)
        gradient->dense[0] = graph_op2(graph, "add", NULL, gradient->dense[0], gradient->dense[i]);
    gradient->dense_count = 1;
}

bool graph_gradients(struct pil_graph *graph, struct pil_tensor *loss)
{
    if (!status_ok(&graph->status))
        return false;
    if (loss->type.extent == EXTENT_ROWS || loss->type.shape.rank != 0 || loss->type.dtype != DTYPE_FLOAT32) {
        char text[128];
        graph_fail(graph, "gradients need a float32 scalar loss, %s is %s", loss->node->name, shape_text(loss->type.shape, text));
        return false;
    }
    if (graph->has_gradients) {
        graph_fail(graph, "gradients were added to this graph already");
        return false;
    }
    if (graph->forward_only)
        return true;
    struct walk walk = { .graph = graph, .node_count = graph->node_count };
    walk.flows = arena_alloc(graph->arena, walk.node_count * sizeof *walk.flows, &graph->status);
    walk.needed = arena_alloc(graph->arena, walk.node_count * sizeof *walk.needed, &graph->status);
    for (size_t i = 0; i < walk.node_count && status_ok(&graph->status); i++)
        walk.flows[i] =
            arena_alloc(graph->arena, (size_t)MAX(graph->nodes[i]->output_count, 1) * sizeof **walk.flows, &graph->status);
    if (!status_ok(&graph->status))
        return false;
    mark_needed(&walk);
    graph_push_scope(graph, "gradients");
    bool ok = !walk.needed[loss->node->number] || add_part(&walk, loss, graph_scalar(graph, 1));
    for (size_t i = walk.node_count; ok && i-- > 0;)
        if (graph->nodes[i]->kind == NODE_OP)
            ok = visit(&walk, graph->nodes[i]);
    for (size_t i = 0; ok && i < graph->variable_count; i++)
        combine_dense(graph, &graph->variables[i]->gradient);
    graph_pop_scope(graph);
    graph->has_gradients = ok;
    graph->loss = loss;
    return ok && status_ok(&graph->status);
}

void graph_forward_only(struct pil_graph *graph)
{
    graph->forward_only = true;
}

bool graph_is_forward_only(const struct pil_graph *graph)
{
    return graph->forward_only;
}

struct pil_tensor *graph_loss(const struct pil_graph *graph)
{
    return graph->loss;
}

size_t graph_without_gradient(const struct pil_graph *graph, const char ***names)
{
    size_t count = 0;
    pil_status status = { 0 };
    const char **list = arena_alloc(graph->arena, MAX(graph->variable_count, 1) * sizeof *list, &status);
    for (size_t i = 0; list && i < graph->variable_count; i++) {
        const struct variable_entry *entry = graph->variables[i];
        if (entry->variable.trainable && !entry->gradient.dense_count && !entry->gradient.record_count)
            list[count++] = entry->variable.name;
    }
    *names = list;
    return count;
}
