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
    graph->input_names = map_new(status);
    graph->variable_names = map_new(status);
    if (!status_ok(status)) {
        graph_free(graph);
        return NULL;
    }
    graph->error_node =
        (struct node){ .kind = NODE_CONSTANT, .name = "error", .outputs = &graph->error_tensor, .output_count = 1 };
    graph->error_tensor =
        (struct pil_tensor){ .type = { .dtype = DTYPE_FLOAT32, .extent = EXTENT_FIXED }, .node = &graph->error_node };
    return graph;
}

void graph_free(struct pil_graph *graph)
{
    if (!graph)
        return;
    map_free(graph->names);
    map_free(graph->input_names);
    map_free(graph->variable_names);
    mem_free(graph->name_counts);
    mem_free(graph->inputs);
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

void graph_fail_with(struct pil_graph *graph, const pil_status *reason)
{
    if (status_ok(&graph->status))
        graph->status = *reason;
}

void graph_push_scope(struct pil_graph *graph, const char *scope)
{
    size_t used = strlen(graph->scope);
    if (used + strlen(scope) + 2 > sizeof graph->scope || graph->scope_depth == MAX_SCOPES) {
        graph_fail(graph, "the scope %s%s is too long", graph->scope, scope);
        return;
    }
    graph->scope_starts[graph->scope_depth++] = (int)used;
    snprintf(graph->scope + used, sizeof graph->scope - used, "%s/", scope);
}

void graph_pop_scope(struct pil_graph *graph)
{
    if (graph->scope_depth > 0)
        graph->scope[graph->scope_starts[--graph->scope_depth]] = '\0';
}

const char *graph_scope(const struct pil_graph *graph)
{
    return graph->scope;
}

/* "dnn/matmul", "dnn/matmul_1", ... as TensorFlow makes names unique. Each name remembers how far its numbers are taken, so that
 * a thousand nodes of one op cost a thousand steps. */
static const char *unique_name(struct pil_graph *graph, const char *name)
{
    pil_status *status = &graph->status;
    char *full = arena_format(graph->arena, status, "%s%s", graph->scope, name);
    bool added = false;
    int64_t number = full ? map_intern(graph->names, slice_text(full), &added, status) : -1;
    if (number < 0 ||
        !mem_grow(&graph->name_counts, &graph->name_count_capacity, (size_t)number + 1, sizeof *graph->name_counts, status))
        return NULL;
    while (!added) {
        char *candidate = arena_format(graph->arena, status, "%s_%d", full, ++graph->name_counts[number]);
        if (!candidate || map_intern(graph->names, slice_text(candidate), &added, status) < 0)
            return NULL;
        if (added)
            return candidate;
    }
    return full;
}

struct node *graph_add_node(struct pil_graph *graph, enum node_kind kind, const char *name, int output_count)
{
    pil_status *status = &graph->status;
    struct node *node = arena_alloc(graph->arena, sizeof *node, status);
    struct pil_tensor *outputs = arena_alloc(graph->arena, (size_t)MAX(output_count, 1) * sizeof *outputs, status);
    if (!node || !outputs || !mem_grow(&graph->nodes, &graph->node_capacity, graph->node_count + 1, sizeof *graph->nodes, status))
        return NULL;
    *node = (struct node){
        .kind = kind, .number = (int)graph->node_count, .name = name, .outputs = outputs, .output_count = output_count
    };
    for (int i = 0; i < output_count; i++)
        outputs[i] = (struct pil_tensor){ .node = node, .index = i };
    graph->nodes[graph->node_count++] = node;
    return node;
}

/* The same name again: the same tensor, unless it is asked to be another. */
static struct pil_tensor *same_input(struct pil_graph *graph, struct pil_tensor *old, struct op_type type)
{
    char have[128], want[128];
    if (old->type.sparse == type.sparse && old->type.dtype == type.dtype && shape_equal(old->type.shape, type.shape))
        return old;
    return graph_fail(graph, "the input %s exists already: it is %s %s there, %s %s here", old->node->name,
                      old->type.sparse ? "sparse" : dtype_name(old->type.dtype), shape_text(old->type.shape, have),
                      type.sparse ? "sparse" : dtype_name(type.dtype), shape_text(type.shape, want));
}

struct pil_tensor *graph_input(struct pil_graph *graph, const char *name, enum dtype dtype, struct shape shape, bool sparse)
{
    pil_status *status = &graph->status;
    if (!status_ok(status))
        return &graph->error_tensor;
    struct op_type type = {
        .dtype = sparse ? DTYPE_INT32 : dtype, .extent = EXTENT_ROWS, .sparse = sparse, .shape = sparse ? SHAPE(BATCH_DIM) : shape
    };
    int64_t number = map_find(graph->input_names, slice_text(name));
    if (number >= 0)
        return same_input(graph, graph->inputs[number], type);
    bool fits = type.shape.rank >= 1 && type.shape.dims[0] == BATCH_DIM && shape_elements(shape_with_batch(type.shape, 1)) >= 0;
    for (int i = 1; i < type.shape.rank; i++)
        fits &= type.shape.dims[i] >= 0;
    if (!fits || dtype_size(type.dtype) == 0) {
        char text[128];
        return graph_fail(graph, "input %s: %s %s is no batch of values; the first axis must be the batch, the others known",
                          name, dtype_name(type.dtype), shape_text(type.shape, text));
    }
    char *copy = arena_text(graph->arena, name, strlen(name), status);
    struct node *node = graph_add_node(graph, NODE_INPUT, copy, 1);
    number = node && copy ? map_intern(graph->input_names, slice_text(copy), NULL, status) : -1;
    if (number < 0 || !mem_grow(&graph->inputs, &graph->input_capacity, (size_t)number + 1, sizeof *graph->inputs, status))
        return &graph->error_tensor;
    node->outputs[0].type = type;
    return graph->inputs[number] = &node->outputs[0];
}

/* Who reads the whole of it knows how wide it is; a slice of some columns does not. */
static bool only_slices(const struct pil_graph *graph, const struct pil_tensor *tensor)
{
    for (size_t n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n]->input_count; i++)
            if (graph->nodes[n]->inputs[i] == tensor && strcmp(graph->nodes[n]->row->name, "slice") != 0)
                return false;
    return true;
}

struct pil_tensor *graph_grow_input(struct pil_graph *graph, const char *name, int64_t columns)
{
    int64_t number = map_find(graph->input_names, slice_text(name));
    struct pil_tensor *old = number >= 0 && status_ok(&graph->status) ? graph->inputs[number] : NULL;
    if (!old || old->type.sparse || old->type.dtype != DTYPE_FLOAT32 || old->type.shape.rank != 2)
        return graph_input(graph, name, DTYPE_FLOAT32, SHAPE(BATCH_DIM, columns), false);
    if (columns <= old->type.shape.dims[1])
        return old;
    if (!only_slices(graph, old))
        return graph_fail(graph, "the input %s cannot become %lld columns wide: not only columns of it are read", name,
                          (long long)columns);
    old->type.shape.dims[1] = columns;
    return old;
}

struct pil_tensor *graph_constant(struct pil_graph *graph, struct shape shape, const float *contiguous)
{
    enum { ALIGNMENT = 64 }; /* the arena aligns to 16, kernels like 64 */
    char text[128];
    if (!status_ok(&graph->status))
        return &graph->error_tensor;
    size_t bytes = tensor_bytes(DTYPE_FLOAT32, shape, false);
    if (shape_elements(shape) < 0 || bytes > SIZE_MAX - ALIGNMENT)
        return graph_fail(graph, "a constant has an impossible shape %s", shape_text(shape, text));
    struct node *node = graph_add_node(graph, NODE_CONSTANT, "constant", 1);
    char *memory = arena_alloc(graph->arena, bytes + ALIGNMENT, &graph->status);
    if (!node || !memory)
        return &graph->error_tensor;
    memory += (ALIGNMENT - (uintptr_t)memory % ALIGNMENT) % ALIGNMENT;
    node->constant = tensor_view(memory, DTYPE_FLOAT32, shape, false);
    tensor_unpack(contiguous, &node->constant);
    node->outputs[0].type = (struct op_type){ .dtype = DTYPE_FLOAT32, .extent = EXTENT_FIXED, .shape = shape };
    return &node->outputs[0];
}

struct pil_tensor *graph_scalar(struct pil_graph *graph, float value)
{
    return graph_constant(graph, SHAPE_SCALAR, &value);
}

bool graph_owns(const struct pil_graph *graph, const struct pil_tensor *tensor)
{
    const struct node *node = tensor->node;
    return (size_t)node->number < graph->node_count && graph->nodes[node->number] == node;
}

/* Runs the shape rule, with the inputs' names for its errors. */
static bool infer(struct pil_graph *graph, const struct op_row *row, const void *args, struct pil_tensor *const *inputs,
                  int input_count, struct op_infer *rule)
{
    struct op_type *types = arena_alloc(graph->arena, (size_t)MAX(input_count, 1) * sizeof *types, &graph->status);
    const char **names = arena_alloc(graph->arena, (size_t)MAX(input_count, 1) * sizeof *names, &graph->status);
    if (!types || !names)
        return false;
    for (int i = 0; i < input_count; i++) {
        types[i] = inputs[i]->type;
        names[i] = inputs[i]->node->name;
        if (!graph_owns(graph, inputs[i])) {
            graph_fail(graph, "%s belongs to another graph", names[i]);
            return false;
        }
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

/* The node of an op whose shape rule has spoken; NULL when memory is out. */
static struct node *add_op(struct pil_graph *graph, const struct op_row *row, void *args, struct pil_tensor *const *inputs,
                           int input_count, const struct op_infer *rule)
{
    const char *name = unique_name(graph, row->name);
    struct node *node = name ? graph_add_node(graph, NODE_OP, name, rule->output_count) : NULL;
    struct pil_tensor **own = arena_alloc(graph->arena, (size_t)MAX(input_count, 1) * sizeof *own, &graph->status);
    if (!node || !own)
        return NULL;
    memcpy(own, inputs, (size_t)input_count * sizeof *own);
    node->row = row;
    node->args = args;
    node->inputs = own;
    node->input_count = input_count;
    node->behaviour = rule->behaviour;
    for (int i = 0; i < rule->output_count; i++)
        node->outputs[i].type = rule->outputs[i];
    return node;
}

struct pil_tensor *graph_op(struct pil_graph *graph, const char *op, const void *args, struct pil_tensor *const *inputs,
                            int input_count, struct pil_tensor **outputs)
{
    const struct op_row *row = op_find(op);
    struct op_infer rule = { .output_count = row ? MAX(row->outputs, 1) : 1 };
    struct node *node = NULL;
    void *copy = NULL;
    if (!row)
        graph_fail(graph, "there is no op '%s'", op);
    else if (status_ok(&graph->status) && row->args_size)
        copy = arena_alloc(graph->arena, row->args_size, &graph->status);
    if (copy && (args || row->defaults))
        memcpy(copy, args ? args : row->defaults, row->args_size);
    if (status_ok(&graph->status) && infer(graph, row, copy, inputs, input_count, &rule))
        node = add_op(graph, row, copy, inputs, input_count, &rule);
    for (int i = 0; outputs && i < rule.output_count; i++)
        outputs[i] = node ? &node->outputs[i] : &graph->error_tensor;
    return node ? &node->outputs[0] : &graph->error_tensor;
}

struct pil_tensor *graph_op1(struct pil_graph *graph, const char *op, const void *args, struct pil_tensor *a)
{
    return graph_op(graph, op, args, (struct pil_tensor *[]){ a }, 1, NULL);
}

struct pil_tensor *graph_op2(struct pil_graph *graph, const char *op, const void *args, struct pil_tensor *a,
                             struct pil_tensor *b)
{
    return graph_op(graph, op, args, (struct pil_tensor *[]){ a, b }, 2, NULL);
}

struct pil_tensor *graph_op3(struct pil_graph *graph, const char *op, const void *args, struct pil_tensor *a,
                             struct pil_tensor *b, struct pil_tensor *c)
{
    return graph_op(graph, op, args, (struct pil_tensor *[]){ a, b, c }, 3, NULL);
}

void graph_name(struct pil_graph *graph, struct pil_tensor *tensor, const char *name)
{
    if (!status_ok(&graph->status))
        return;
    if (tensor->node->kind != NODE_OP || graph->has_gradients) { /* a dropout's gradient draws under the name it found */
        graph_fail(graph, "%s cannot be named %s: only ops can, and before the gradients are added", tensor->node->name, name);
        return;
    }
    const char *unique = unique_name(graph, name);
    if (unique)
        tensor->node->name = unique;
}

void graph_suggest_name(struct pil_graph *graph, struct pil_tensor *tensor, const char *name)
{
    if (status_ok(&graph->status) && tensor->node->kind == NODE_OP && !graph->has_gradients && graph_good_name(name))
        graph_name(graph, tensor, name);
}

const char *graph_tensor_name(const struct pil_tensor *tensor)
{
    return tensor->node->name;
}
