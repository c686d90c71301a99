/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reverse-mode gradients as nodes of the same graph. The walk visits nodes from the loss backwards; every op adds what its
 * row's gradient says. What reaches a variable stays a list: dense parts (reductions that can share one buffer) and records of
 * lookups, which never become a tensor of the table's size.
 */
#include <string.h>

#include "graph/internal.h"

struct walk {
    struct pil_graph *graph;
    size_t node_count;            /* before gradients were added */
    struct pil_tensor ***parts;   /* [node][output]: what has flowed back so far */
    bool *needed;                 /* node: some trainable variable lies below */
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
    struct pil_tensor **slot = &walk->parts[tensor->node->number][tensor->index];
    *slot = *slot ? graph_op2(walk->graph, "add", NULL, *slot, part) : part;
    return status_ok(&walk->graph->status);
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
    struct pil_tensor **parts = walk->parts[node->number];
    bool reached = false;
    for (int i = 0; i < node->output_count; i++)
        reached |= parts[i] != NULL;
    if (!reached || !walk->needed[node->number] || !node->row->gradient)
        return true;
    struct pil_tensor **inputs = arena_alloc(graph->arena, (size_t)node->input_count * sizeof *inputs, &graph->status);
    struct pil_tensor **outputs = arena_alloc(graph->arena, (size_t)node->output_count * sizeof *outputs, &graph->status);
    bool *wanted = arena_alloc(graph->arena, (size_t)node->input_count * sizeof *wanted, &graph->status);
    if (!inputs || !outputs || !wanted)
        return false;
    for (int i = 0; i < node->output_count; i++)
        outputs[i] = &node->outputs[i];
    for (int i = 0; i < node->input_count; i++)
        wanted[i] = walk->needed[node->inputs[i]->node->number];
    struct op_gradient gradient = { .args = node->args, .name = node->name, .input_count = node->input_count,
                                    .output_count = node->output_count, .inputs = node->inputs, .outputs = outputs,
                                    .output_gradients = parts, .input_gradients = inputs, .wanted = wanted, .emit = emit,
                                    .type = type_of, .context = graph };
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
    walk.parts = arena_alloc(graph->arena, walk.node_count * sizeof *walk.parts, &graph->status);
    walk.needed = arena_alloc(graph->arena, walk.node_count * sizeof *walk.needed, &graph->status);
    for (size_t i = 0; i < walk.node_count && status_ok(&graph->status); i++)
        walk.parts[i] = arena_alloc(graph->arena, (size_t)MAX(graph->nodes[i]->output_count, 1) * sizeof **walk.parts, &graph->status);
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
