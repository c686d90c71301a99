/* SPDX-License-Identifier: Apache-2.0 */
/* The public way into a graph's ops: what callers may get wrong is checked here, once for all ops. */
#include <string.h>

#include "graph/internal.h"
#include "pilaster/op.h"

static bool check_call(struct pil_graph *graph, const struct op_row *row, const char *op, const void *options,
                       size_t options_size, pil_tensor *const *inputs, size_t count)
{
    if (!row)
        graph_fail(graph, "there is no op '%s'", op);
    else if ((options ? options_size : 0) != row->args_size)
        graph_fail(graph, "%s: its options have %zu bytes, not %zu: the program was compiled with another version's header", op,
                   row->args_size, options ? options_size : 0);
    for (size_t i = 0; status_ok(&graph->status) && i < count; i++)
        if (!inputs[i])
            graph_fail(graph, "%s: input %zu is NULL (targets are, in PREDICT)", op, i + 1);
    return status_ok(&graph->status);
}

/* Sums over the batch are float64 inside, so that partials lose nothing; outside a number is a float32. */
static pil_tensor *as_float32(struct pil_graph *graph, pil_tensor *tensor)
{
    if (tensor->type.dtype != DTYPE_FLOAT64 || strcmp(tensor->node->row->name, "cast") == 0)
        return tensor;
    return graph_op1(graph, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, tensor);
}

/* A product plus a vector is a product with a bias, as layers make it: the sum begins with it. Decided here and not by the plan,
 * since it changes the last bit: so it is the same for every plan of the graph. A product that others read too is made twice. */
static pil_tensor *add_bias(struct pil_graph *graph, const struct pil_tensor *product, pil_tensor *bias)
{
    const struct node *node = product->node;
    if (node->kind != NODE_OP || strcmp(node->row->name, "matmul") != 0 || node->behaviour == BEHAVIOUR_REDUCES)
        return NULL;
    struct op_matmul_args args = *(const struct op_matmul_args *)node->args;
    const struct shape *shape = &product->type.shape, *weights = &node->inputs[1]->type.shape;
    if (args.bias || args.gate || args.activation != ACTIVATION_LINEAR || weights->rank != 2 || bias->type.sparse ||
        bias->type.dtype != DTYPE_FLOAT32 || !shape_equal(bias->type.shape, SHAPE(shape->dims[shape->rank - 1])))
        return NULL;
    args.bias = true;
    return graph_op3(graph, "matmul", &args, node->inputs[0], node->inputs[1], bias);
}

pil_tensor *pil_op(pil_graph *graph, const char *op, const void *options, size_t options_size, pil_tensor *const *inputs,
                   size_t count, pil_tensor **outputs)
{
    if (count > INT32_MAX)
        return graph_fail(graph, "%s: %zu inputs are too many", op, count);
    const struct op_row *row = op_find(op);
    if (check_call(graph, row, op, options, options_size, inputs, count)) {
        pil_tensor *first = NULL;
        for (int i = 0; i < 2 && !first && count == 2 && strcmp(op, "add") == 0; i++)
            first = add_bias(graph, inputs[i], inputs[1 - i]);
        if (first && outputs)
            outputs[0] = first;
        else if (!first)
            first = graph_op(graph, op, options, inputs, (int)count, outputs);
        if (!status_ok(&graph->status))
            return first;
        int made = first->node->output_count;
        for (int i = 0; outputs && i < made; i++)
            outputs[i] = as_float32(graph, outputs[i]);
        return outputs ? outputs[0] : as_float32(graph, first);
    }
    for (int i = 0; row && outputs && i < MAX(row->outputs, 1); i++)
        outputs[i] = graph_error_tensor(graph);
    return graph_error_tensor(graph);
}
