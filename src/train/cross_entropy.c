/* SPDX-License-Identifier: Apache-2.0 */
/* Losses of logits, which are numbers of any size: the ops of op/loss.c neither overflow nor cancel. */
#include "pilaster/loss.h"
#include "train/internal.h"

pil_logits_loss_options pil_logits_loss_options_default(void)
{
    return (pil_logits_loss_options){ PIL_LOGITS_LOSS_DEFAULTS };
}

pil_cross_entropy_options pil_cross_entropy_options_default(void)
{
    return (pil_cross_entropy_options){ PIL_CROSS_ENTROPY_DEFAULTS };
}

pil_tensor *pil_hinge_loss_make(pil_graph *graph, pil_tensor *labels, const pil_logits_loss_options *options)
{
    const char *name = "hinge_loss";
    struct loss_pair pair;
    if (!loss_pair(graph, name, "logits", labels, options->logits, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *sides = loss_plus(graph, loss_scale(graph, pair.labels, 2), -1); /* -1 or 1 */
    struct pil_tensor *margin = loss_plus(graph, loss_scale(graph, graph_op2(graph, "mul", NULL, sides, pair.values), -1), 1);
    struct pil_tensor *losses = graph_op1(graph, "activation", &(struct op_activation_args){ ACTIVATION_RELU }, margin);
    return loss_reduced(graph, name, losses, options->weights, options->reduction, false);
}

/* Labels moved by `smoothing` of the way to `target`. */
static struct pil_tensor *smooth(struct pil_graph *graph, struct pil_tensor *labels, float smoothing, float target)
{
    return smoothing > 0 ? loss_plus(graph, loss_scale(graph, labels, 1 - smoothing), smoothing * target) : labels;
}

pil_tensor *pil_sigmoid_cross_entropy_make(pil_graph *graph, pil_tensor *multi_class_labels,
                                           const pil_cross_entropy_options *options)
{
    const char *name = "sigmoid_cross_entropy";
    struct loss_pair pair;
    if (!loss_pair(graph, name, "logits", multi_class_labels, options->logits, &pair))
        return graph_error_tensor(graph);
    pair.labels = smooth(graph, pair.labels, options->label_smoothing, 0.5f);
    struct pil_tensor *losses = graph_op2(graph, name, NULL, pair.values, pair.labels);
    return loss_reduced(graph, name, losses, options->weights, options->reduction, false);
}

pil_tensor *pil_softmax_cross_entropy_make(pil_graph *graph, pil_tensor *onehot_labels, const pil_cross_entropy_options *options)
{
    const char *name = "softmax_cross_entropy";
    struct loss_pair pair;
    if (!loss_pair(graph, name, "logits", onehot_labels, options->logits, &pair))
        return graph_error_tensor(graph);
    struct shape shape = pair.values->type.shape;
    float classes = shape.rank ? (float)shape.dims[shape.rank - 1] : 1;
    pair.labels = smooth(graph, graph_op1(graph, "stop_gradient", NULL, pair.labels), options->label_smoothing, 1 / classes);
    struct pil_tensor *losses = graph_op2(graph, name, NULL, pair.values, pair.labels);
    return loss_reduced(graph, name, losses, options->weights, options->reduction, true);
}

/* The losses [batch, ..., 1] of classes. */
static struct pil_tensor *of_classes(struct pil_graph *graph, struct pil_tensor *labels, struct pil_tensor *logits)
{
    const char *name = "sparse_softmax_cross_entropy";
    char want[128], have[128];
    struct pil_tensor *x = loss_number(graph, name, "logits", logits), *z = loss_number(graph, name, "labels", labels);
    if (!x || !z)
        return graph_error_tensor(graph);
    struct shape one = x->type.shape;
    one.dims[MAX(one.rank - 1, 0)] = 1;
    if (one.rank > 1 && z->type.shape.rank == one.rank - 1)
        z = loss_end_axis(graph, z, 1);
    if (one.rank < 2 || !shape_equal(z->type.shape, one))
        return graph_fail(graph,
                          "%s%s: logits must be [batch, classes], labels [batch] or [batch, 1]; the labels, %s, are %s, the "
                          "logits, %s, are %s",
                          graph_scope(graph), name, graph_tensor_name(labels), shape_text(labels->type.shape, have),
                          graph_tensor_name(logits), shape_text(logits->type.shape, want));
    return graph_op2(graph, name, NULL, x, z);
}

pil_tensor *pil_sparse_softmax_cross_entropy_make(pil_graph *graph, pil_tensor *labels, const pil_logits_loss_options *options)
{
    struct pil_tensor *losses = of_classes(graph, labels, options->logits);
    return loss_reduced(graph, "sparse_softmax_cross_entropy", losses, options->weights, options->reduction, true);
}

/* ---- losses to go on with ------------------------------------------------------------------------------------ */

pil_tensor *pil_sigmoid_cross_entropy_with_logits(pil_graph *graph, pil_tensor *labels, pil_tensor *logits)
{
    struct loss_pair pair;
    if (!loss_pair(graph, "sigmoid_cross_entropy_with_logits", "logits", labels, logits, &pair))
        return graph_error_tensor(graph);
    return graph_op2(graph, "sigmoid_cross_entropy", NULL, pair.values, pair.labels);
}

/* (1 - z) x + (1 + (q - 1) z) log(1 + exp(-x)): the second factor is softplus of -x, which does not overflow. */
pil_tensor *pil_weighted_cross_entropy_with_logits(pil_graph *graph, pil_tensor *labels, pil_tensor *logits, float pos_weight)
{
    struct loss_pair pair;
    if (!loss_pair(graph, "weighted_cross_entropy_with_logits", "logits", labels, logits, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *not_label = loss_plus(graph, loss_scale(graph, pair.labels, -1), 1);
    struct pil_tensor *factor = loss_plus(graph, loss_scale(graph, pair.labels, pos_weight - 1), 1);
    struct pil_tensor *soft =
        graph_op1(graph, "activation", &(struct op_activation_args){ ACTIVATION_SOFTPLUS }, loss_scale(graph, pair.values, -1));
    return graph_op2(graph, "add", NULL, graph_op2(graph, "mul", NULL, not_label, pair.values),
                     graph_op2(graph, "mul", NULL, factor, soft));
}

pil_tensor *pil_softmax_cross_entropy_with_logits(pil_graph *graph, pil_tensor *labels, pil_tensor *logits)
{
    struct loss_pair pair;
    if (!loss_pair(graph, "softmax_cross_entropy_with_logits", "logits", labels, logits, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *losses = graph_op2(graph, "softmax_cross_entropy", NULL, pair.values, pair.labels);
    return status_ok(graph_status(graph)) ? loss_end_axis(graph, losses, -1) : losses;
}

pil_tensor *pil_sparse_softmax_cross_entropy_with_logits(pil_graph *graph, pil_tensor *labels, pil_tensor *logits)
{
    struct pil_tensor *losses = of_classes(graph, labels, logits);
    return status_ok(graph_status(graph)) ? loss_end_axis(graph, losses, -1) : losses;
}
