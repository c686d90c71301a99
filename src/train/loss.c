/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses. Each is built of ops as its formula reads, in the original's order of operations; then its losses are weighted and
 * reduced. The divisors are the original's: tf.estimator 2.x divides by the number of elements whatever the weights are, 1.x
 * does not divide, tf.losses counts the weights other than 0.
 *
 * Losses over classes keep an axis of 1 where the classes were, [batch, 1], so that a weight column [batch, 1] fits as it is;
 * only who asks for the losses themselves gets them in the original's shape, [batch].
 */
#include "pilaster/loss.h"
#include "pilaster/op.h"
#include "train/train.h"

const char *const loss_reductions[] = { "sum_over_batch_size", "sum", "sum_by_nonzero_weights", "mean", NULL };

/* ---- reductions ---------------------------------------------------------------------------------------------- */

static struct pil_tensor *to_float(struct pil_graph *graph, struct pil_tensor *sum)
{
    return graph_op1(graph, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, sum);
}

static struct pil_tensor *scale(struct pil_graph *graph, struct pil_tensor *x, float factor)
{
    return graph_op1(graph, "scale", &(struct op_scalar_args){ factor }, x);
}

static struct pil_tensor *plus(struct pil_graph *graph, struct pil_tensor *x, float number)
{
    return graph_op1(graph, "add_scalar", &(struct op_scalar_args){ number }, x);
}

static bool has_batch(struct shape shape)
{
    for (int i = 0; i < shape.rank; i++)
        if (shape.dims[i] == BATCH_DIM)
            return true;
    return false;
}

/* Elements for each row of the batch, or all where there is no batch. */
static int64_t elements(struct shape shape)
{
    return shape_elements(shape_with_batch(shape, 1));
}

/* 1 where x is not 0. */
static struct pil_tensor *is_set(struct pil_graph *graph, struct pil_tensor *x)
{
    return graph_op1(graph, "sign", NULL, graph_op1(graph, "abs", NULL, x));
}

/* sum / count, and 0 where nothing counts. */
static struct pil_tensor *safe_mean(struct pil_graph *graph, struct pil_tensor *sum, struct pil_tensor *count)
{
    struct pil_tensor *some = is_set(graph, count), *none = plus(graph, scale(graph, some, -1), 1);
    return graph_op2(graph, "div", NULL, graph_op2(graph, "mul", NULL, sum, some), graph_op2(graph, "add", NULL, count, none));
}

/* The sum of `counted` over the batch, each element of it standing for `repeats` losses. */
static struct pil_tensor *divisor(struct pil_graph *graph, struct pil_tensor *counted, int64_t repeats)
{
    struct pil_tensor *sum = to_float(graph, graph_op1(graph, "sum_all", NULL, counted));
    return graph_op1(graph, "stop_gradient", NULL, scale(graph, sum, (float)repeats));
}

struct pil_tensor *loss_reduce(struct pil_graph *graph, struct pil_tensor *losses, struct pil_tensor *weights,
                               enum loss_reduction reduction)
{
    struct shape shape = losses->type.shape;
    /* Weights without a batch are counted once a row. */
    if (weights && has_batch(shape) && !has_batch(weights->type.shape))
        weights = graph_op2(graph, "broadcast_like", NULL, weights, losses);
    struct pil_tensor *weighted = weights ? graph_op2(graph, "mul", NULL, losses, weights) : losses;
    struct pil_tensor *sum = graph_op1(graph, "sum_all", NULL, weighted);
    if (reduction == REDUCTION_SUM)
        return to_float(graph, sum);
    if (reduction == REDUCTION_SUM_OVER_BATCH_SIZE || !weights) {
        if (has_batch(shape))
            return graph_op1(graph, "divide_by_rows", &(struct op_count_args){ elements(shape) }, sum);
        return scale(graph, to_float(graph, sum), 1.0f / (float)MAX(elements(shape), 1));
    }
    struct pil_tensor *counted = reduction == REDUCTION_NONZERO_WEIGHTS ? is_set(graph, weights) : weights;
    int64_t repeats = elements(shape) / MAX(elements(weights->type.shape), 1);
    return safe_mean(graph, to_float(graph, sum), divisor(graph, counted, repeats));
}

/* ---- what callers may get wrong ------------------------------------------------------------------------------ */

/* A tensor as numbers of float32, or NULL with the graph's error. */
static struct pil_tensor *number(struct pil_graph *graph, const char *loss, const char *what, struct pil_tensor *tensor)
{
    if (!status_ok(graph_status(graph)))
        return NULL;
    if (!tensor) {
        graph_fail(graph, "%s%s: the %s are NULL (targets are, in PREDICT)", graph_scope(graph), loss, what);
        return NULL;
    }
    if (tensor->type.sparse) {
        graph_fail(graph, "%s%s: the %s, %s, are sparse; a dense tensor is needed", graph_scope(graph), loss, what,
                   graph_tensor_name(tensor));
        return NULL;
    }
    return tensor->type.dtype == DTYPE_FLOAT32 ? tensor : to_float(graph, tensor);
}

/* Labels and what is compared with them, which must have one shape. */
struct pair {
    struct pil_tensor *labels, *values;
};
static bool take_pair(struct pil_graph *graph, const char *loss, const char *what, struct pil_tensor *labels,
                      struct pil_tensor *values, struct pair *out)
{
    char want[128], have[128];
    out->labels = number(graph, loss, "labels", labels);
    out->values = number(graph, loss, what, values);
    if (!out->labels || !out->values)
        return false;
    if (shape_equal(labels->type.shape, values->type.shape))
        return true;
    graph_fail(graph, "%s%s: labels and %s must have one shape; the labels, %s, are %s, the %s, %s, are %s", graph_scope(graph),
               loss, what, graph_tensor_name(labels), shape_text(labels->type.shape, have), what, graph_tensor_name(values),
               shape_text(values->type.shape, want));
    return false;
}

static bool fits(struct shape weights, struct shape losses)
{
    if (weights.rank == 0)
        return true;
    for (int i = 0; i < weights.rank && weights.rank == losses.rank; i++)
        if (weights.dims[i] != 1 && weights.dims[i] != losses.dims[i])
            return false;
    return weights.rank == losses.rank;
}

/* The same elements with an axis of 1 more at the end, or one less. */
static struct pil_tensor *end_axis(struct pil_graph *graph, struct pil_tensor *tensor, int more)
{
    struct op_reshape_args args = { tensor->type.shape };
    if (more > 0 && args.shape.rank < SHAPE_MAX_RANK)
        args.shape.dims[args.shape.rank] = 1;
    args.shape.rank += more;
    return graph_op1(graph, "reshape", &args, tensor);
}

/* Weights that fit the losses, or NULL with the graph's error. by_class: the losses' last axis is where the classes were, which
 * weights may leave out. */
static struct pil_tensor *take_weights(struct pil_graph *graph, const char *loss, struct pil_tensor *weights,
                                       struct pil_tensor *losses, bool by_class)
{
    char want[128], have[128];
    struct shape shape = losses->type.shape;
    struct pil_tensor *w = number(graph, loss, "weights", weights);
    if (w && by_class && w->type.shape.rank > 0 && w->type.shape.rank == shape.rank - 1)
        w = end_axis(graph, w, 1);
    if (!w || fits(w->type.shape, shape))
        return w;
    shape.rank -= by_class;
    graph_fail(
        graph,
        "%s%s: the weights, %s, are %s and do not fit losses of %s: each axis must be as long or 1, or the weight a scalar",
        graph_scope(graph), loss, graph_tensor_name(weights), shape_text(weights->type.shape, have), shape_text(shape, want));
    return NULL;
}

static struct pil_tensor *reduced(struct pil_graph *graph, const char *loss, struct pil_tensor *losses,
                                  struct pil_tensor *weights, pil_reduction reduction, bool by_class)
{
    static const enum loss_reduction reductions[] = {
        [PIL_REDUCTION_SUM] = REDUCTION_SUM,
        [PIL_REDUCTION_SUM_OVER_BATCH_SIZE] = REDUCTION_SUM_OVER_BATCH_SIZE,
        [PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS] = REDUCTION_NONZERO_WEIGHTS,
        [PIL_REDUCTION_MEAN] = REDUCTION_MEAN,
    };
    if (!status_ok(graph_status(graph)))
        return graph_error_tensor(graph);
    if ((unsigned)reduction >= COUNT_OF(reductions))
        return graph_fail(graph, "%s%s: there is no reduction %d", graph_scope(graph), loss, (int)reduction);
    if (weights && !(weights = take_weights(graph, loss, weights, losses, by_class)))
        return graph_error_tensor(graph);
    if (reduction != PIL_REDUCTION_NONE)
        return loss_reduce(graph, losses, weights, reductions[reduction]);
    losses = weights ? graph_op2(graph, "mul", NULL, losses, weights) : losses;
    return by_class && status_ok(graph_status(graph)) ? end_axis(graph, losses, -1) : losses;
}

/* ---- of predictions ------------------------------------------------------------------------------------------ */

pil_loss_options pil_loss_options_default(void)
{
    return (pil_loss_options){ PIL_LOSS_DEFAULTS };
}

pil_tensor *pil_mean_squared_error_make(pil_graph *graph, pil_tensor *labels, const pil_loss_options *options)
{
    const char *name = "mean_squared_error";
    struct pair pair;
    if (!take_pair(graph, name, "predictions", labels, options->predictions, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *losses = graph_op2(graph, "squared_difference", NULL, pair.values, pair.labels);
    return reduced(graph, name, losses, options->weights, options->reduction, false);
}

pil_tensor *pil_absolute_difference_make(pil_graph *graph, pil_tensor *labels, const pil_loss_options *options)
{
    const char *name = "absolute_difference";
    struct pair pair;
    if (!take_pair(graph, name, "predictions", labels, options->predictions, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *losses = graph_op1(graph, "abs", NULL, graph_op2(graph, "sub", NULL, pair.values, pair.labels));
    return reduced(graph, name, losses, options->weights, options->reduction, false);
}

pil_huber_loss_options pil_huber_loss_options_default(void)
{
    return (pil_huber_loss_options){ PIL_HUBER_LOSS_DEFAULTS };
}

/* With q = min(|e|, delta), the square's part, and |e| - q, the line's. */
pil_tensor *pil_huber_loss_make(pil_graph *graph, pil_tensor *labels, const pil_huber_loss_options *options)
{
    const char *name = "huber_loss";
    struct pair pair;
    if (!take_pair(graph, name, "predictions", labels, options->predictions, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *e = graph_op1(graph, "abs", NULL, graph_op2(graph, "sub", NULL, pair.values, pair.labels));
    struct pil_tensor *q = graph_op2(graph, "minimum", NULL, e, graph_scalar(graph, options->delta));
    struct pil_tensor *line = scale(graph, graph_op2(graph, "sub", NULL, e, q), options->delta);
    struct pil_tensor *losses = graph_op2(graph, "add", NULL, scale(graph, graph_op1(graph, "square", NULL, q), 0.5f), line);
    return reduced(graph, name, losses, options->weights, options->reduction, false);
}

pil_log_loss_options pil_log_loss_options_default(void)
{
    return (pil_log_loss_options){ PIL_LOG_LOSS_DEFAULTS };
}

pil_tensor *pil_log_loss_make(pil_graph *graph, pil_tensor *labels, const pil_log_loss_options *options)
{
    const char *name = "log_loss";
    struct pair pair;
    if (!take_pair(graph, name, "predictions", labels, options->predictions, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *not_label = plus(graph, scale(graph, pair.labels, -1), 1);
    struct pil_tensor *not_value = plus(graph, scale(graph, pair.values, -1), 1);
    struct pil_tensor *yes = graph_op1(graph, "log", NULL, plus(graph, pair.values, options->epsilon));
    struct pil_tensor *no = graph_op1(graph, "log", NULL, plus(graph, not_value, options->epsilon));
    struct pil_tensor *sum = graph_op2(graph, "add", NULL, graph_op2(graph, "mul", NULL, pair.labels, yes),
                                       graph_op2(graph, "mul", NULL, not_label, no));
    return reduced(graph, name, scale(graph, sum, -1), options->weights, options->reduction, false);
}

pil_cosine_distance_options pil_cosine_distance_options_default(void)
{
    return (pil_cosine_distance_options){ PIL_COSINE_DISTANCE_DEFAULTS };
}

pil_tensor *pil_cosine_distance_make(pil_graph *graph, pil_tensor *labels, pil_tensor *predictions,
                                     const pil_cosine_distance_options *options)
{
    const char *name = "cosine_distance";
    struct pair pair;
    if (!take_pair(graph, name, "predictions", labels, predictions, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *product = graph_op2(graph, "mul", NULL, pair.values, pair.labels);
    struct pil_tensor *sum = pil_reduce_sum(graph, product, .axis = PIL_AXES(options->axis), .keepdims = true);
    return reduced(graph, name, plus(graph, scale(graph, sum, -1), 1), options->weights, options->reduction, false);
}

/* ---- of logits ----------------------------------------------------------------------------------------------- */

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
    struct pair pair;
    if (!take_pair(graph, name, "logits", labels, options->logits, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *sides = plus(graph, scale(graph, pair.labels, 2), -1); /* -1 or 1 */
    struct pil_tensor *margin = plus(graph, scale(graph, graph_op2(graph, "mul", NULL, sides, pair.values), -1), 1);
    struct pil_tensor *losses = graph_op1(graph, "activation", &(struct op_activation_args){ ACTIVATION_RELU }, margin);
    return reduced(graph, name, losses, options->weights, options->reduction, false);
}

/* Labels moved by `smoothing` of the way to `target`. */
static struct pil_tensor *smooth(struct pil_graph *graph, struct pil_tensor *labels, float smoothing, float target)
{
    return smoothing > 0 ? plus(graph, scale(graph, labels, 1 - smoothing), smoothing * target) : labels;
}

pil_tensor *pil_sigmoid_cross_entropy_make(pil_graph *graph, pil_tensor *multi_class_labels,
                                           const pil_cross_entropy_options *options)
{
    const char *name = "sigmoid_cross_entropy";
    struct pair pair;
    if (!take_pair(graph, name, "logits", multi_class_labels, options->logits, &pair))
        return graph_error_tensor(graph);
    pair.labels = smooth(graph, pair.labels, options->label_smoothing, 0.5f);
    struct pil_tensor *losses = graph_op2(graph, name, NULL, pair.values, pair.labels);
    return reduced(graph, name, losses, options->weights, options->reduction, false);
}

pil_tensor *pil_softmax_cross_entropy_make(pil_graph *graph, pil_tensor *onehot_labels, const pil_cross_entropy_options *options)
{
    const char *name = "softmax_cross_entropy";
    struct pair pair;
    if (!take_pair(graph, name, "logits", onehot_labels, options->logits, &pair))
        return graph_error_tensor(graph);
    struct shape shape = pair.values->type.shape;
    float classes = shape.rank ? (float)shape.dims[shape.rank - 1] : 1;
    pair.labels = smooth(graph, graph_op1(graph, "stop_gradient", NULL, pair.labels), options->label_smoothing, 1 / classes);
    struct pil_tensor *losses = graph_op2(graph, name, NULL, pair.values, pair.labels);
    return reduced(graph, name, losses, options->weights, options->reduction, true);
}

/* The losses [batch, ..., 1] of classes. */
static struct pil_tensor *of_classes(struct pil_graph *graph, struct pil_tensor *labels, struct pil_tensor *logits)
{
    const char *name = "sparse_softmax_cross_entropy";
    char want[128], have[128];
    struct pil_tensor *x = number(graph, name, "logits", logits), *z = number(graph, name, "labels", labels);
    if (!x || !z)
        return graph_error_tensor(graph);
    struct shape one = x->type.shape;
    one.dims[MAX(one.rank - 1, 0)] = 1;
    if (one.rank > 1 && z->type.shape.rank == one.rank - 1)
        z = end_axis(graph, z, 1);
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
    return reduced(graph, "sparse_softmax_cross_entropy", losses, options->weights, options->reduction, true);
}

/* ---- losses of one's own ------------------------------------------------------------------------------------- */

pil_weighted_loss_options pil_weighted_loss_options_default(void)
{
    return (pil_weighted_loss_options){ PIL_WEIGHTED_LOSS_DEFAULTS };
}

pil_tensor *pil_compute_weighted_loss_make(pil_graph *graph, const pil_weighted_loss_options *options)
{
    const char *name = "compute_weighted_loss";
    struct pil_tensor *losses = number(graph, name, "losses", options->losses);
    return losses ? reduced(graph, name, losses, options->weights, options->reduction, false) : graph_error_tensor(graph);
}

pil_tensor *pil_sigmoid_cross_entropy_with_logits(pil_graph *graph, pil_tensor *labels, pil_tensor *logits)
{
    struct pair pair;
    if (!take_pair(graph, "sigmoid_cross_entropy_with_logits", "logits", labels, logits, &pair))
        return graph_error_tensor(graph);
    return graph_op2(graph, "sigmoid_cross_entropy", NULL, pair.values, pair.labels);
}

/* (1 - z) x + (1 + (q - 1) z) log(1 + exp(-x)): the second factor is softplus of -x, which does not overflow. */
pil_tensor *pil_weighted_cross_entropy_with_logits(pil_graph *graph, pil_tensor *labels, pil_tensor *logits, float pos_weight)
{
    struct pair pair;
    if (!take_pair(graph, "weighted_cross_entropy_with_logits", "logits", labels, logits, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *not_label = plus(graph, scale(graph, pair.labels, -1), 1);
    struct pil_tensor *factor = plus(graph, scale(graph, pair.labels, pos_weight - 1), 1);
    struct pil_tensor *soft =
        graph_op1(graph, "activation", &(struct op_activation_args){ ACTIVATION_SOFTPLUS }, scale(graph, pair.values, -1));
    return graph_op2(graph, "add", NULL, graph_op2(graph, "mul", NULL, not_label, pair.values),
                     graph_op2(graph, "mul", NULL, factor, soft));
}

pil_tensor *pil_softmax_cross_entropy_with_logits(pil_graph *graph, pil_tensor *labels, pil_tensor *logits)
{
    struct pair pair;
    if (!take_pair(graph, "softmax_cross_entropy_with_logits", "logits", labels, logits, &pair))
        return graph_error_tensor(graph);
    struct pil_tensor *losses = graph_op2(graph, "softmax_cross_entropy", NULL, pair.values, pair.labels);
    return status_ok(graph_status(graph)) ? end_axis(graph, losses, -1) : losses;
}

pil_tensor *pil_sparse_softmax_cross_entropy_with_logits(pil_graph *graph, pil_tensor *labels, pil_tensor *logits)
{
    struct pil_tensor *losses = of_classes(graph, labels, logits);
    return status_ok(graph_status(graph)) ? end_axis(graph, losses, -1) : losses;
}

pil_tensor *pil_l2_loss(pil_graph *graph, pil_tensor *x)
{
    struct pil_tensor *values = number(graph, "l2_loss", "values", x);
    if (!values)
        return graph_error_tensor(graph);
    struct pil_tensor *sum = graph_op1(graph, "sum_all", NULL, graph_op1(graph, "square", NULL, values));
    return scale(graph, to_float(graph, sum), 0.5f);
}
