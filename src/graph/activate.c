/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations by name. Most are numbers of the op `activation`, some have two names, and two are ops of their own, since they look at
 * a whole row.
 */
#include <string.h>

#include "graph/internal.h"
#include "pilaster/op.h"

/* Second names, as tf.keras.activations has them. */
static const struct {
    const char *name;
    enum activation activation;
} aliases[] = { { "silu", ACTIVATION_SWISH } };
static const char *const ops[] = { "softmax", "log_softmax" };

bool graph_find_activation(const char *name, enum activation *out)
{
    *out = ACTIVATION_LINEAR;
    if (!name)
        return true;
    for (size_t i = 0; op_activation_words[i]; i++)
        if (strcmp(op_activation_words[i], name) == 0) {
            *out = (enum activation)i;
            return true;
        }
    for (size_t i = 0; i < COUNT_OF(aliases); i++)
        if (strcmp(aliases[i].name, name) == 0) {
            *out = aliases[i].activation;
            return true;
        }
    return false;
}

static const char *find_op(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(ops); i++)
        if (name && strcmp(ops[i], name) == 0)
            return ops[i];
    return NULL;
}

bool graph_check_activation(struct pil_graph *graph, const char *call, const char *name)
{
    enum { MOST_WORDS = ACTIVATION_COUNT + (int)COUNT_OF(aliases) + (int)COUNT_OF(ops) };
    enum activation activation;
    const char *words[MOST_WORDS];
    size_t count = 0;
    if (!status_ok(&graph->status))
        return false;
    if (graph_find_activation(name, &activation) || find_op(name))
        return true;
    for (; op_activation_words[count]; count++)
        words[count] = op_activation_words[count];
    for (size_t i = 0; i < COUNT_OF(aliases); i++)
        words[count++] = aliases[i].name;
    for (size_t i = 0; i < COUNT_OF(ops); i++)
        words[count++] = ops[i];
    const char *nearest = nearest_word(name, words, count);
    graph_fail(graph, "%s: there is no activation '%s'%s%s%s", call, name, nearest ? "; did you mean '" : "",
               nearest ? nearest : "", nearest ? "'?" : "");
    return false;
}

struct pil_tensor *graph_activate(struct pil_graph *graph, const char *call, const char *name, struct pil_tensor *x)
{
    enum activation activation;
    const char *op = find_op(name);
    if (!graph_check_activation(graph, call, name))
        return &graph->error_tensor;
    if (op)
        return graph_op1(graph, op, NULL, x);
    graph_find_activation(name, &activation);
    return activation == ACTIVATION_LINEAR ? x : graph_op1(graph, "activation", &(struct op_activation_args){ activation }, x);
}

struct pil_tensor *graph_logits(const struct pil_tensor *tensor, const char *activation)
{
    const struct node *node = tensor->node;
    enum activation wanted;
    if (node->kind != NODE_OP)
        return NULL;
    if (!graph_find_activation(activation, &wanted)) {
        const pil_softmax_options *options = node->args;
        bool last = options && (options->axis == -1 || options->axis == tensor->type.shape.rank - 1);
        return strcmp(node->row->name, activation) == 0 && last ? node->inputs[0] : NULL;
    }
    bool is = strcmp(node->row->name, "activation") == 0 && ((const struct op_activation_args *)node->args)->activation == wanted;
    return is ? node->inputs[0] : NULL;
}
