/* SPDX-License-Identifier: Apache-2.0 */
/* The public way into a graph's ops: what callers may get wrong is checked here, once for all ops. */
#include <string.h>

#include "graph/internal.h"
#include "pilaster/op.h"

static bool check_call(struct pil_graph *graph, const struct op_row *row, const char *op, const void *options, size_t options_size,
                       pil_tensor *const *inputs, size_t count)
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

pil_tensor *pil_op(pil_graph *graph, const char *op, const void *options, size_t options_size, pil_tensor *const *inputs,
                   size_t count, pil_tensor **outputs)
{
    if (count > INT32_MAX)
        return graph_fail(graph, "%s: %zu inputs are too many", op, count);
    const struct op_row *row = op_find(op);
    if (check_call(graph, row, op, options, options_size, inputs, count)) {
        pil_tensor *first = graph_op(graph, op, options, inputs, (int)count, outputs);
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
