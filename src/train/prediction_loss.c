/* SPDX-License-Identifier: Apache-2.0 */
/* Losses of predictions: how far they are from their labels, each by its own measure. */
#include "pilaster/loss.h"
#include "pilaster/op.h"
#include "train/internal.h"

pil_loss_options pil_loss_options_default(void)
{
    return (pil_loss_options){ PIL_LOSS_DEFAULTS };
}

pil_tensor *pil_mean_squared_error_make(pil_graph *graph, pil_tensor *labels, const pil_loss_options *options)
{
    const char *name = "mean_squared_error";
    struct loss_pair pair;
    if (!loss_pair(graph, name, "predictions", labels, options->predictions, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *losses = graph_op2(graph, "squared_difference", NULL, pair.values, pair.labels);
    return loss_reduced(graph, name, losses, options->weights, options->reduction, false);
}

pil_tensor *pil_absolute_difference_make(pil_graph *graph, pil_tensor *labels, const pil_loss_options *options)
{
    const char *name = "absolute_difference";
    struct loss_pair pair;
    if (!loss_pair(graph, name, "predictions", labels, options->predictions, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *losses = graph_op1(graph, "abs", NULL, graph_op2(graph, "sub", NULL, pair.values, pair.labels));
    return loss_reduced(graph, name, losses, options->weights, options->reduction, false);
}

pil_huber_loss_options pil_huber_loss_options_default(void)
{
    return (pil_huber_loss_options){ PIL_HUBER_LOSS_DEFAULTS };
}

/* With q = min(|e|, delta), the square's part, and |e| - q, the line's. */
pil_tensor *pil_huber_loss_make(pil_graph *graph, pil_tensor *labels, const pil_huber_loss_options *options)
{
    const char *name = "huber_loss";
    struct loss_pair pair;
    if (!loss_pair(graph, name, "predictions", labels, options->predictions, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *e = graph_op1(graph, "abs", NULL, graph_op2(graph, "sub", NULL, pair.values, pair.labels));
    struct pil_tensor *q = graph_op2(graph, "minimum", NULL, e, graph_scalar(graph, options->delta));
    struct pil_tensor *line = loss_scale(graph, graph_op2(graph, "sub", NULL, e, q), options->delta);
    struct pil_tensor *losses = graph_op2(graph, "add", NULL, loss_scale(graph, graph_op1(graph, "square", NULL, q), 0.5f), line);
    return loss_reduced(graph, name, losses, options->weights, options->reduction, false);
}

pil_log_loss_options pil_log_loss_options_default(void)
{
    return (pil_log_loss_options){ PIL_LOG_LOSS_DEFAULTS };
}

pil_tensor *pil_log_loss_make(pil_graph *graph, pil_tensor *labels, const pil_log_loss_options *options)
{
    const char *name = "log_loss";
    struct loss_pair pair;
    if (!loss_pair(graph, name, "predictions", labels, options->predictions, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *not_label = loss_plus(graph, loss_scale(graph, pair.labels, -1), 1);
    struct pil_tensor *not_value = loss_plus(graph, loss_scale(graph, pair.values, -1), 1);
    struct pil_tensor *yes = graph_op1(graph, "log", NULL, loss_plus(graph, pair.values, options->epsilon));
    struct pil_tensor *no = graph_op1(graph, "log", NULL, loss_plus(graph, not_value, options->epsilon));
    struct pil_tensor *sum = graph_op2(graph, "add", NULL, graph_op2(graph, "mul", NULL, pair.labels, yes),
                                       graph_op2(graph, "mul", NULL, not_label, no));
    return loss_reduced(graph, name, loss_scale(graph, sum, -1), options->weights, options->reduction, false);
}

pil_cosine_distance_options pil_cosine_distance_options_default(void)
{
    return (pil_cosine_distance_options){ PIL_COSINE_DISTANCE_DEFAULTS };
}

pil_tensor *pil_cosine_distance_make(pil_graph *graph, pil_tensor *labels, pil_tensor *predictions,
                                     const pil_cosine_distance_options *options)
{
    const char *name = "cosine_distance";
    struct loss_pair pair;
    if (!loss_pair(graph, name, "predictions", labels, predictions, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *product = graph_op2(graph, "mul", NULL, pair.values, pair.labels);
    struct pil_tensor *sum = pil_reduce_sum(graph, product, .axis = PIL_AXES(options->axis), .keepdims = true);
    return loss_reduced(graph, name, loss_plus(graph, loss_scale(graph, sum, -1), 1), options->weights, options->reduction,
                        false);
}

pil_mean_pairwise_squared_error_options pil_mean_pairwise_squared_error_options_default(void)
{
    return (pil_mean_pairwise_squared_error_options){ NULL, NULL };
}

/* With d = prediction - label and n elements of a row: the sum over pairs of (d_i - d_j)^2 is n sum d^2 - (sum d)^2. */
pil_tensor *pil_mean_pairwise_squared_error_make(pil_graph *graph, pil_tensor *labels,
                                                 const pil_mean_pairwise_squared_error_options *options)
{
    const char *name = "mean_pairwise_squared_error";
    struct loss_pair pair;
    if (!loss_pair(graph, name, "predictions", labels, options->predictions, &pair))
        return graph_error_tensor(graph);
    pil_axes axes = { 0, { 0 } };
    for (int i = 1; i < pair.values->type.shape.rank; i++)
        axes.items[axes.count++] = i;
    if (axes.count == 0)
        return graph_fail(graph, "%s%s: a row needs elements to make pairs of; [batch, n] is needed", graph_scope(graph), name);
    struct pil_tensor *w = options->weights ? options->weights : graph_scalar(graph, 1);
    if (!(w = loss_weights(graph, name, w, pair.values, false)))
        return graph_error_tensor(graph);
    struct pil_tensor *d = pil_sub(graph, pair.values, pair.labels), *each = loss_is_set(graph, w);
    struct pil_tensor *squares = pil_reduce_sum(graph, pil_square(graph, d), .axis = axes, .keepdims = true);
    struct pil_tensor *sum = pil_reduce_sum(graph, d, .axis = axes, .keepdims = true);
    each = graph_op2(graph, "broadcast_like", NULL, each, d);
    struct pil_tensor *n = pil_reduce_sum(graph, each, .axis = axes, .keepdims = true), *zero = graph_scalar(graph, 0);
    struct pil_tensor *fewer = pil_maximum(graph, loss_plus(graph, n, -1), zero);
    struct pil_tensor *own = loss_safe_mean(graph, squares, fewer);
    struct pil_tensor *mixed = loss_safe_mean(graph, pil_square(graph, sum), pil_mul(graph, n, fewer));
    struct pil_tensor *losses = pil_mul(graph, loss_scale(graph, pil_sub(graph, own, mixed), 2), w);
    return loss_reduced(graph, name, losses, NULL, PIL_REDUCTION_SUM, false);
}
