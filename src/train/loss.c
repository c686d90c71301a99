/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all losses share: they are built of ops as their formulas read, in the original's order of operations; then they are
 * weighted and reduced. The divisors are the original's: tf.estimator 2.x divides by the number of elements whatever the weights
 * are, 1.x does not divide, tf.losses counts the weights other than 0.
 *
 * Losses over classes keep an axis of 1 where the classes were, [batch, 1], so that a weight column [batch, 1] fits as it is;
 * only who asks for the losses themselves gets them in the original's shape, [batch].
 */
#include "pilaster/loss.h"
#include "train/internal.h"

const char *const loss_reductions[] = { "sum_over_batch_size", "sum", "sum_by_nonzero_weights", "mean", NULL };

/* ---- reductions ---------------------------------------------------------------------------------------------- */

struct pil_tensor *loss_float(struct pil_graph *graph, struct pil_tensor *sum)
{
    return graph_op1(graph, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, sum);
}

struct pil_tensor *loss_scale(struct pil_graph *graph, struct pil_tensor *x, float factor)
{
    return graph_op1(graph, "scale", &(struct op_scalar_args){ factor }, x);
}

struct pil_tensor *loss_plus(struct pil_graph *graph, struct pil_tensor *x, float number)
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
struct pil_tensor *loss_is_set(struct pil_graph *graph, struct pil_tensor *x)
{
    return graph_op1(graph, "sign", NULL, graph_op1(graph, "abs", NULL, x));
}

/* sum / count, and 0 where nothing counts. */
struct pil_tensor *loss_safe_mean(struct pil_graph *graph, struct pil_tensor *sum, struct pil_tensor *count)
{
    struct pil_tensor *some = loss_is_set(graph, count), *none = loss_plus(graph, loss_scale(graph, some, -1), 1);
    return graph_op2(graph, "div", NULL, graph_op2(graph, "mul", NULL, sum, some), graph_op2(graph, "add", NULL, count, none));
}

/* The sum of `counted` over the batch, each element of it standing for `repeats` losses. */
static struct pil_tensor *divisor(struct pil_graph *graph, struct pil_tensor *counted, int64_t repeats)
{
    struct pil_tensor *sum = loss_float(graph, graph_op1(graph, "sum_all", NULL, counted));
    return graph_op1(graph, "stop_gradient", NULL, loss_scale(graph, sum, (float)repeats));
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
        return loss_float(graph, sum);
    if (reduction == REDUCTION_SUM_OVER_BATCH_SIZE || !weights) {
        if (has_batch(shape))
            return graph_op1(graph, "divide_by_rows", &(struct op_count_args){ elements(shape) }, sum);
        return loss_scale(graph, loss_float(graph, sum), 1.0f / (float)MAX(elements(shape), 1));
    }
    struct pil_tensor *counted = reduction == REDUCTION_NONZERO_WEIGHTS ? loss_is_set(graph, weights) : weights;
    int64_t repeats = elements(shape) / MAX(elements(weights->type.shape), 1);
    return loss_safe_mean(graph, loss_float(graph, sum), divisor(graph, counted, repeats));
}

/* ---- what callers may get wrong ------------------------------------------------------------------------------ */

/* A tensor as numbers of float32, or NULL with the graph's error. */
struct pil_tensor *loss_number(struct pil_graph *graph, const char *loss, const char *what, struct pil_tensor *tensor)
{
    if (!status_ok(graph_status(graph)))
        return NULL;
    if (!tensor) {
        graph_fail(graph, "%s%s: the %s are NULL (targets are, in PREDICT and where the data have no label)", graph_scope(graph),
                   loss, what);
        return NULL;
    }
    if (tensor->type.sparse) {
        graph_fail(graph, "%s%s: the %s, %s, are sparse; a dense tensor is needed", graph_scope(graph), loss, what,
                   graph_tensor_name(tensor));
        return NULL;
    }
    return tensor->type.dtype == DTYPE_FLOAT32 ? tensor : loss_float(graph, tensor);
}

bool loss_pair(struct pil_graph *graph, const char *loss, const char *what, struct pil_tensor *labels, struct pil_tensor *values,
               struct loss_pair *out)
{
    char want[128], have[128];
    out->labels = loss_number(graph, loss, "labels", labels);
    out->values = loss_number(graph, loss, what, values);
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
struct pil_tensor *loss_end_axis(struct pil_graph *graph, struct pil_tensor *tensor, int more)
{
    struct op_reshape_args args = { tensor->type.shape };
    if (more > 0 && args.shape.rank < SHAPE_MAX_RANK)
        args.shape.dims[args.shape.rank] = 1;
    args.shape.rank += more;
    return graph_op1(graph, "reshape", &args, tensor);
}

/* Weights that fit the losses, or NULL with the graph's error. by_class: the losses' last axis is where the classes were, which
 * weights may leave out. */
struct pil_tensor *loss_weights(struct pil_graph *graph, const char *loss, struct pil_tensor *weights, struct pil_tensor *losses,
                                bool by_class)
{
    char want[128], have[128];
    struct shape shape = losses->type.shape;
    struct pil_tensor *w = loss_number(graph, loss, "weights", weights);
    if (w && by_class && w->type.shape.rank > 0 && w->type.shape.rank == shape.rank - 1)
        w = loss_end_axis(graph, w, 1);
    if (!w || fits(w->type.shape, shape))
        return w;
    shape.rank -= by_class;
    graph_fail(
        graph,
        "%s%s: the weights, %s, are %s and do not fit losses of %s: each axis must be as long or 1, or the weight a scalar",
        graph_scope(graph), loss, graph_tensor_name(weights), shape_text(weights->type.shape, have), shape_text(shape, want));
    return NULL;
}

struct pil_tensor *loss_reduced(struct pil_graph *graph, const char *loss, struct pil_tensor *losses, struct pil_tensor *weights,
                                pil_reduction reduction, bool by_class)
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
    if (weights && !(weights = loss_weights(graph, loss, weights, losses, by_class)))
        return graph_error_tensor(graph);
    if (reduction != PIL_REDUCTION_NONE)
        return loss_reduce(graph, losses, weights, reductions[reduction]);
    losses = weights ? graph_op2(graph, "mul", NULL, losses, weights) : losses;
    return by_class && status_ok(graph_status(graph)) ? loss_end_axis(graph, losses, -1) : losses;
}

/* ---- losses of one's own ------------------------------------------------------------------------------------- */

pil_weighted_loss_options pil_weighted_loss_options_default(void)
{
    return (pil_weighted_loss_options){ PIL_WEIGHTED_LOSS_DEFAULTS };
}

pil_tensor *pil_compute_weighted_loss_make(pil_graph *graph, const pil_weighted_loss_options *options)
{
    const char *name = "compute_weighted_loss";
    struct pil_tensor *losses = loss_number(graph, name, "losses", options->losses);
    return losses ? loss_reduced(graph, name, losses, options->weights, options->reduction, false) : graph_error_tensor(graph);
}

pil_tensor *pil_l2_loss(pil_graph *graph, pil_tensor *x)
{
    struct pil_tensor *values = loss_number(graph, "l2_loss", "values", x);
    if (!values)
        return graph_error_tensor(graph);
    struct pil_tensor *sum = graph_op1(graph, "sum_all", NULL, graph_op1(graph, "square", NULL, values));
    return loss_scale(graph, loss_float(graph, sum), 0.5f);
}
