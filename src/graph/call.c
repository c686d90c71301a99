/* SPDX-License-Identifier: Apache-2.0 */
/* The public way into a graph's ops: what callers may get wrong is checked here, once for all ops. */
#include <string.h>

#include "graph/internal.h"
#include "pilaster/op.h"

static void no_op(struct pil_graph *graph, const char *op)
{
    enum { MOST_OPS = 512 };
    const char *names[MOST_OPS];
    size_t count = MIN(op_count(), (size_t)MOST_OPS);
    for (size_t i = 0; i < count; i++)
        names[i] = op_at(i)->name;
    const char *nearest = nearest_word(op, names, count);
    if (nearest)
        graph_fail(graph, "there is no op '%s'; did you mean '%s'?", op, nearest);
    else
        graph_fail(graph, "there is no op '%s'", op);
}

static bool check_call(struct pil_graph *graph, const struct op_row *row, const char *op, const void *options,
                       size_t options_size, pil_tensor *const *inputs, size_t count)
{
    if (!row)
        no_op(graph, op);
    else if ((options ? options_size : 0) != row->args_size)
        graph_fail(graph, "%s: its options have %zu bytes, not %zu: the program was compiled with another version's header", op,
                   row->args_size, options ? options_size : 0);
    for (size_t i = 0; status_ok(&graph->status) && i < count; i++)
        if (!inputs[i])
            graph_fail(graph, "%s: input %zu is NULL (targets are, in PREDICT and where the data have no label)", op, i + 1);
        else if (!graph_owns(graph, inputs[i]))
            graph_fail(graph, "%s: input %zu, %s, belongs to another graph", op, i + 1, inputs[i]->node->name);
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

/* ---- functions that choose an op by what they are given ---- */

pil_matmul_options pil_matmul_options_default(void)
{
    return (pil_matmul_options){ PIL_MATMUL_DEFAULTS };
}

static bool has_batch(const struct shape *shape)
{
    for (int i = 0; i < shape->rank; i++)
        if (shape->dims[i] == BATCH_DIM)
            return true;
    return false;
}

/* One matrix without a batch on the right is what layers are made of; two transposed matrices of rows, a gradient's sum over the
 * batch: both are matmul's. Everything else is many products. */
pil_tensor *pil_matmul_make(pil_graph *graph, pil_tensor *a, const pil_matmul_options *options)
{
    pil_tensor *factors[2] = { a, options->b };
    const struct op_row *row = op_find("matmul");
    bool transpose_a = options->transpose_a, transpose_b = options->transpose_b;
    if (!check_call(graph, row, "matmul", &(struct op_matmul_args){ 0 }, sizeof(struct op_matmul_args), factors, 2))
        return graph_error_tensor(graph);
    const struct op_type *left = &a->type, *right = &options->b->type;
    bool one = right->shape.rank == 2 && !has_batch(&right->shape) && !transpose_a;
    bool over_batch =
        left->shape.rank == 2 && right->shape.rank == 2 && OP_ROWS(*left) && OP_ROWS(*right) && transpose_a && !transpose_b;
    if (!one && !over_batch)
        return graph_op(graph, "batch_matmul", &(struct op_transposes_args){ transpose_a, transpose_b }, factors, 2, NULL);
    if (one && transpose_b)
        factors[1] = graph_op1(graph, "transpose", &(pil_axes){ 2, { 1, 0 } }, factors[1]);
    return graph_op(graph, "matmul", &(struct op_matmul_args){ .transpose_a = transpose_a }, factors, 2, NULL);
}

/* A record is a variable's, whose rows are chosen. */
static bool gives_record(const pil_tensor *params)
{
    return params->node->kind == NODE_VARIABLE && params->type.shape.rank == 2;
}

pil_tensor *pil_gather_make(pil_graph *graph, pil_tensor *params, const pil_gather_options *options)
{
    pil_tensor *inputs[2] = { params, options->indices };
    pil_gather_options args = *options;
    args.indices = NULL;
    if (!check_call(graph, op_find("gather"), "gather", &args, sizeof args, inputs, 2))
        return graph_error_tensor(graph);
    if (gives_record(params) && (args.axis == 0 || args.axis == -2) && args.batch_dims == 0 && !options->indices->type.sparse)
        return graph_op2(graph, "embedding_lookup", NULL, options->indices, params);
    return graph_op(graph, "gather", &args, inputs, 2, NULL);
}

pil_tensor *pil_embedding_lookup(pil_graph *graph, pil_tensor *params, pil_tensor *ids)
{
    pil_tensor *inputs[2] = { ids, params };
    if (!check_call(graph, op_find("embedding_lookup"), "embedding_lookup", NULL, 0, inputs, 2))
        return graph_error_tensor(graph);
    if (ids->type.sparse) {
        graph_fail(graph, "embedding_lookup: the ids %s are sparse", ids->node->name);
        status_hint(&graph->status, "look them up with pil_embedding_lookup_sparse");
        return graph_error_tensor(graph);
    }
    if (!gives_record(params) && params->type.shape.rank == 2 && !OP_ROWS(params->type))
        return graph_op2(graph, "gather", &(pil_gather_options){ 0 }, params, ids);
    return graph_op2(graph, "embedding_lookup", NULL, ids, params);
}

pil_embedding_lookup_sparse_options pil_embedding_lookup_sparse_options_default(void)
{
    return (pil_embedding_lookup_sparse_options){ PIL_EMBEDDING_LOOKUP_SPARSE_DEFAULTS };
}

pil_tensor *pil_embedding_lookup_sparse_make(pil_graph *graph, pil_tensor *params,
                                             const pil_embedding_lookup_sparse_options *options)
{
    static const char name[] = "embedding_lookup_sparse";
    pil_tensor *inputs[2] = { options->sp_ids, params };
    struct op_lookup_args args = { .max_norm = options->max_norm, .pairs = 1, .foreign = true };
    const char *wanted = options->combiner ? options->combiner : "";
    int combiner = 0;
    if (!check_call(graph, op_find("lookup"), name, &args, sizeof args, inputs, 2))
        return graph_error_tensor(graph);
    while (op_combiner_words[combiner] && strcmp(op_combiner_words[combiner], wanted) != 0)
        combiner++;
    if (!op_combiner_words[combiner])
        return graph_fail(graph, "%s: there is no combiner '%s': mean, sqrtn or sum", name, wanted);
    if (!options->sp_ids->type.sparse) {
        graph_fail(graph, "%s: the ids %s are dense", name, options->sp_ids->node->name);
        status_hint(&graph->status, "look them up with pil_embedding_lookup");
        return graph_error_tensor(graph);
    }
    args.combiner = (enum combiner)combiner;
    return graph_op(graph, "lookup", &args, inputs, 2, NULL);
}
