/* SPDX-License-Identifier: Apache-2.0 */
/* Variables of a graph: what they are called, how they start, whether training moves them. The values live in a store. */
#include <string.h>

#include "graph/internal.h"

/* The same name again: the same tensor, unless it is asked to be another. */
static struct pil_tensor *same_variable(struct pil_graph *graph, const struct graph_variable *old, struct shape shape,
                                        bool trainable)
{
    char have[128], want[128];
    if (shape_equal(old->shape, shape) && old->trainable == trainable)
        return old->tensor;
    return graph_fail(graph, "the variable %s exists already: it is %s%s there, %s%s here", old->name,
                      shape_text(old->shape, have), old->trainable ? "" : " and not trainable", shape_text(shape, want),
                      trainable ? "" : " and not trainable");
}

struct pil_tensor *graph_variable(struct pil_graph *graph, const char *name, struct shape shape, pil_initializer initializer,
                                  bool trainable)
{
    if (!status_ok(&graph->status))
        return &graph->error_tensor;
    char want[128];
    int64_t number = map_find(graph->variable_names, slice_text(name));
    if (number >= 0)
        return same_variable(graph, &graph->variables[number]->variable, shape, trainable);
    if (shape_elements(shape) < 0)
        return graph_fail(graph, "the variable %s has an impossible shape %s", name, shape_text(shape, want));
    struct variable_entry *entry = arena_alloc(graph->arena, sizeof *entry, &graph->status);
    char *copy = arena_text(graph->arena, name, strlen(name), &graph->status);
    struct node *node = graph_add_node(graph, NODE_VARIABLE, copy, 1);
    if (!entry || !copy || !node ||
        !mem_grow(&graph->variables, &graph->variable_capacity, graph->variable_count + 1, sizeof *graph->variables,
                  &graph->status) ||
        map_intern(graph->variable_names, slice_text(copy), NULL, &graph->status) < 0)
        return &graph->error_tensor;
    entry->variable = (struct graph_variable){
        .name = copy, .shape = shape, .initializer = initializer, .trainable = trainable, .tensor = &node->outputs[0]
    };
    entry->number = (int)graph->variable_count;
    node->variable = &entry->variable;
    node->outputs[0].type = (struct op_type){ .dtype = DTYPE_FLOAT32, .extent = EXTENT_FIXED, .shape = shape };
    graph->variables[graph->variable_count++] = entry;
    return &node->outputs[0];
}

struct graph_variable *graph_variable_of(const struct pil_tensor *tensor)
{
    return tensor->node->variable;
}

size_t graph_variable_count(const struct pil_graph *graph)
{
    return graph->variable_count;
}

struct graph_variable *graph_variable_at(const struct pil_graph *graph, size_t i)
{
    return &graph->variables[i]->variable;
}

void graph_moving(struct pil_graph *graph, struct pil_tensor *variable, struct pil_tensor *value, float decay)
{
    if (!status_ok(&graph->status))
        return;
    if (!variable->node->variable || value->type.dtype != DTYPE_FLOAT32 ||
        !shape_equal(variable->type.shape, value->type.shape)) {
        char have[128], want[128];
        graph_fail(graph, "a moving average needs a variable and a float32 value of its shape, not %s %s and %s %s",
                   variable->node->name, shape_text(variable->type.shape, want), value->node->name,
                   shape_text(value->type.shape, have));
        return;
    }
    if (mem_grow(&graph->movings, &graph->moving_capacity, graph->moving_count + 1, sizeof *graph->movings, &graph->status))
        graph->movings[graph->moving_count++] = (struct moving){ variable, value, decay };
}

bool graph_is_moving(const struct pil_graph *graph, const struct pil_tensor *variable)
{
    for (size_t i = 0; i < graph->moving_count; i++)
        if (graph->movings[i].variable == variable)
            return true;
    return false;
}
