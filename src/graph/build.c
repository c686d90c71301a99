/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a graph. Nodes are made in an order of evaluation, live in the graph's arena and never go away. The first error
 * stays: every later call does nothing and returns the error tensor, so that model code reads like mathematics and is
 * checked once.
 */
#include <stdio.h>
#include <string.h>

#include "graph/internal.h"

struct pil_graph *graph_new(pil_status *status)
{
    struct pil_graph *graph = mem_new(sizeof *graph, status);
    if (!graph)
        return NULL;
    graph->arena = arena_new(status);
    graph->names = map_new(status);
    if (!graph->arena || !graph->names) {
        graph_free(graph);
        return NULL;
    }
    graph->error_node = (struct node){ .kind = NODE_CONSTANT, .name = "error", .outputs = &graph->error_tensor, .output_count = 1 };
    graph->error_tensor = (struct pil_tensor){ .type = { .dtype = DTYPE_FLOAT32, .extent = EXTENT_FIXED }, .node = &graph->error_node };
    return graph;
}

void graph_free(struct pil_graph *graph)
{
    if (!graph)
        return;
    map_free(graph->names);
    arena_free(graph->arena);
    mem_free(graph->nodes);
    mem_free(graph->variables);
    mem_free(graph->movings);
    mem_free(graph);
}

const pil_status *graph_status(const struct pil_graph *graph)
{
    return &graph->status;
}

struct arena *graph_arena(struct pil_graph *graph)
{
    return graph->arena;
}

struct pil_tensor *graph_error_tensor(struct pil_graph *graph)
{
    return &graph->error_tensor;
}

struct pil_tensor *graph_fail(struct pil_graph *graph, const char *format, ...)
{
    char text[PIL_MESSAGE_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    status_fail(&graph->status, PIL_INVALID_ARGUMENT, "%s", text);
    return &graph->error_tensor;
}

void graph_push_scope(struct pil_graph *graph, const char *scope)
{
    size_t used = strlen(graph->scope);
    if (used + strlen(scope) + 2 > sizeof graph->scope)
        graph_fail(graph, "the scope %s%s is too long", graph->scope, scope);
    else
        snprintf(graph->scope + used, sizeof graph->scope - used, "%s/", scope);
}

void graph_pop_scope(struct pil_graph *graph)
{
    size_t used = strlen(graph->scope);
    if (used > 0)
        graph->scope[used - 1] = '\0';
    char *slash = strrchr(graph->scope, '/');
    if (slash)
        slash[1] = '\0';
    else
        graph->scope[0] = '\0';
}

/* "matmul", "matmul_1", ... as TensorFlow makes names unique. */
const char *graph_unique_name(struct pil_graph *graph, const char *name)
{
    for (int n = 0; status_ok(&graph->status); n++) {
        bool added = false;
        char *candidate = n == 0 ? arena_format(graph->arena, &graph->status, "%s", name)
                                 : arena_format(graph->arena, &graph->status, "%s_%d", name, n);
        if (candidate && map_intern(graph->names, slice_text(candidate), &added, &graph->status) >= 0 && added)
            return candidate;
    }
    return "error";
}

struct node *graph_add_node(struct pil_graph *graph, enum node_kind kind, const char *name, int output_count)
{
    pil_status *status = &graph->status;
    struct node *node = arena_alloc(graph->arena, sizeof *node, status);
    struct pil_tensor *outputs = arena_alloc(graph->arena, (size_t)MAX(output_count, 1) * sizeof *outputs, status);
    if (!node || !outputs || !mem_grow(&graph->nodes, &graph->node_capacity, graph->node_count + 1, sizeof *graph->nodes, status))
        return NULL;
    *node = (struct node){ .kind = kind, .number = (int)graph->node_count, .name = name, .outputs = outputs, .output_count = output_count };
    for (int i = 0; i < output_count; i++)
        outputs[i] = (struct pil_tensor){ .node = node, .index = i };
    graph->nodes[graph->node_count++] = node;
    return node;
}

struct pil_tensor *graph_input(struct pil_graph *graph, const char *name, enum dtype dtype, struct shape shape, bool sparse)
{
    if (!status_ok(&graph->status))
        return &graph->error_tensor;
    for (size_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i]->kind == NODE_INPUT && strcmp(graph->nodes[i]->name, name) == 0)
            return &graph->nodes[i]->outputs[0];
    if (!sparse && (shape.rank < 1 || shape.dims[0] != BATCH_DIM))
        return graph_fail(graph, "input %s: the first axis must be the batch", name);
    char *copy = arena_text(graph->arena, name, strlen(name), &graph->status);
    struct node *node = graph_add_node(graph, NODE_INPUT, copy, 1);
    if (!node || !copy)
        return &graph->error_tensor;
    node->outputs[0].type = (struct op_type){ .dtype = sparse ? DTYPE_INT32 : dtype, .extent = EXTENT_ROWS, .sparse = sparse,
                                              .shape = sparse ? SHAPE(BATCH_DIM) : shape };
    return &node->outputs[0];
}

struct pil_tensor *graph_constant(struct pil_graph *graph, struct shape shape, const float *contiguous)
{
    if (!status_ok(&graph->status))
        return &graph->error_tensor;
    struct node *node = graph_add_node(graph, NODE_CONSTANT, "constant", 1);
    /* 64 bytes of slack: the arena aligns to 16, kernels like 64. */
    char *memory = arena_alloc(graph->arena, tensor_bytes(DTYPE_FLOAT32, shape, false) + 64, &graph->status);
    if (!node || !memory)
        return &graph->error_tensor;
    memory += (64 - (uintptr_t)memory % 64) % 64;
    node->constant = tensor_view(memory, DTYPE_FLOAT32, shape, false);
    tensor_unpack(contiguous, &node->constant);
    node->outputs[0].type = (struct op_type){ .dtype = DTYPE_FLOAT32, .extent = EXTENT_FIXED, .shape = shape };
    return &node->outputs[0];
}

struct pil_tensor *graph_scalar(struct pil_graph *graph, float value)
{
    return graph_constant(graph, SHAPE_SCALAR, &value);
}

/* Runs the shape rule, with the inputs' names for its errors. */
static bool infer(struct pil_graph *graph, const struct op_row *row, const void *args, struct pil_tensor *const *inputs, int input_count,
                  struct op_infer *rule)
{
    struct op_type *types = arena_alloc(graph->arena, (size_t)MAX(input_count, 1) * sizeof *types, &graph->status);
    const char **names = arena_alloc(graph->arena, (size_t)MAX(input_count, 1) * sizeof *names, &graph->status);
    if (!types || !names)
        return false;
    for (int i = 0; i < input_count; i++) {
        types[i] = inputs[i]->type;
        names[i] = inputs[i]->node->name;
    }
    rule->args = args;
    rule->input_count = input_count;
    rule->inputs = types;
    rule->input_names = names;
    rule->status = &graph->status;
    if (op_infer(row, rule))
        return true;
    if (graph->scope[0])
        status_prefix(&graph->status, "%s", graph->scope);
    return false;
}

struct pil_tensor *graph_op(struct pil_graph *graph, const char *op, const void *args, struct pil_tensor *const *inputs, int input_count,
                            struct pil_tensor **outputs)
{
    const struct op_row *row = op_find(op);
    if (!row && status_ok(&graph->status))
        graph_fail(graph, "there is no op '%s'", op);
    struct op_infer rule = { 0 };
    void *copy = NULL;
    if (status_ok(&graph->status) && row->args_size) {
        copy = arena_alloc(graph->arena, row->args_size, &graph->status);
        if (copy && args)
            memcpy(copy, args, row->args_size);
    }
    if (!status_ok(&graph->status) || !infer(graph, row, copy, inputs, input_count, &rule))
        goto failed;
    char scoped[640];
    snprintf(scoped, sizeof scoped, "%s%s", graph->scope, op);
    struct node *node = graph_add_node(graph, NODE_OP, graph_unique_name(graph, scoped), rule.output_count);
    struct pil_tensor **own = arena_alloc(graph->arena, (size_t)MAX(input_count, 1) * sizeof *own, &graph->status);
    if (!node || !own)
        goto failed;
    memcpy(own, inputs, (size_t)input_count * sizeof *own);
    node->row = row;
    node->args = copy;
    node->inputs = own;
    node->input_count = input_count;
    node->behaviour = rule.behaviour;
    for (int i = 0; i < rule.output_count; i++) {
        node->outputs[i].type = rule.outputs[i];
        if (outputs)
            outputs[i] = &node->outputs[i];
    }
    return &node->outputs[0];
failed:
    if (outputs)
        for (int i = 0; i < MAX(rule.output_count, 1); i++)
            outputs[i] = &graph->error_tensor;
    return &graph->error_tensor;
}

struct pil_tensor *graph_op1(struct pil_graph *graph, const char *op, const void *args, struct pil_tensor *a)
{
    return graph_op(graph, op, args, (struct pil_tensor *[]){ a }, 1, NULL);
}

struct pil_tensor *graph_op2(struct pil_graph *graph, const char *op, const void *args, struct pil_tensor *a, struct pil_tensor *b)
{
    return graph_op(graph, op, args, (struct pil_tensor *[]){ a, b }, 2, NULL);
}

struct pil_tensor *graph_op3(struct pil_graph *graph, const char *op, const void *args, struct pil_tensor *a, struct pil_tensor *b,
                             struct pil_tensor *c)
{
    return graph_op(graph, op, args, (struct pil_tensor *[]){ a, b, c }, 3, NULL);
}

void graph_name(struct pil_graph *graph, struct pil_tensor *tensor, const char *name)
{
    if (tensor->node == &graph->error_node)
        return;
    char scoped[640];
    snprintf(scoped, sizeof scoped, "%s%s", graph->scope, name);
    tensor->node->name = graph_unique_name(graph, scoped);
}

const char *graph_tensor_name(const struct pil_tensor *tensor)
{
    return tensor->node->name;
}
