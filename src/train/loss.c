/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From losses of rows to the training loss. The divisors are the original's: tf.estimator 2.x divides by the number of elements
 * whatever the weights are, 1.x does not divide, tf.losses counts the weights other than 0.
 */
#include "train/train.h"

const char *const loss_reductions[] = { "sum_over_batch_size", "sum", "sum_by_nonzero_weights", "mean", NULL };

static struct pil_tensor *to_float(struct pil_graph *graph, struct pil_tensor *sum)
{
    return graph_op1(graph, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, sum);
}

/* The sum of `counted` over the batch, of the losses' shape, or of [batch, 1] repeated over its columns. */
static struct pil_tensor *divisor(struct pil_graph *graph, struct pil_tensor *counted, int64_t repeats)
{
    struct pil_tensor *sum = to_float(graph, graph_op1(graph, "sum_all", NULL, counted));
    return graph_op1(graph, "stop_gradient", NULL, graph_op1(graph, "scale", &(struct op_scalar_args){ (float)repeats }, sum));
}

struct pil_tensor *loss_reduce(struct pil_graph *graph, struct pil_tensor *losses, struct pil_tensor *weights,
                               enum loss_reduction reduction)
{
    struct shape shape = losses->type.shape;
    int64_t columns = 1;
    for (int i = 1; i < shape.rank; i++)
        columns *= shape.dims[i];
    struct pil_tensor *weighted = weights ? graph_op2(graph, "mul", NULL, losses, weights) : losses;
    struct pil_tensor *sum = graph_op1(graph, "sum_all", NULL, weighted);
    if (reduction == REDUCTION_SUM)
        return to_float(graph, sum);
    if (reduction == REDUCTION_SUM_OVER_BATCH_SIZE || !weights)
        return graph_op1(graph, "divide_by_rows", &(struct op_count_args){ columns }, sum);
    int64_t weight_columns = 1;
    for (int i = 1; i < weights->type.shape.rank; i++)
        weight_columns *= weights->type.shape.dims[i];
    struct pil_tensor *counted = weights;
    if (reduction == REDUCTION_NONZERO_WEIGHTS) {
        struct pil_tensor *size = graph_op1(graph, "abs", NULL, weights);
        counted = graph_op1(graph, "sign", NULL, size);
    }
    struct pil_tensor *count = divisor(graph, counted, columns / weight_columns);
    /* 0 where nothing counts: the sum is 0 then, and dividing it by anything keeps it so. */
    count = graph_op2(graph, "maximum", NULL, count, graph_scalar(graph, 1e-30f));
    return graph_op2(graph, "div", NULL, to_float(graph, sum), count);
}
