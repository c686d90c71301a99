/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses of tf.keras.losses 2.15, by the words of its get(). Each is a function of a row; what all do alike (labels brought to the
 * predictions' shape, weights, the division) is done around it.
 */
#include <stdio.h>
#include <string.h>

#include "keras/loss.h"
#include "pilaster/loss.h"
#include "pilaster/op.h"

/* What a loss is made of: labels z and predictions p of one shape, or classes [.., 1] of a loss of classes. */
struct terms {
    struct pil_graph *graph;
    const pil_keras_loss *loss;
    struct pil_tensor *z, *p;
};

/* ---- small ops ---- */

#define EPSILON 1e-7f

static struct pil_tensor *number(struct terms *t, float value)
{
    return pil_scalar(t->graph, value);
}

static struct pil_tensor *times(struct terms *t, struct pil_tensor *x, float factor)
{
    return pil_mul(t->graph, x, number(t, factor));
}

static struct pil_tensor *plus(struct terms *t, struct pil_tensor *x, float value)
{
    return pil_add(t->graph, x, number(t, value));
}

static struct pil_tensor *mean(struct terms *t, struct pil_tensor *x)
{
    return pil_reduce_mean(t->graph, x, .axis = PIL_AXES(-1));
}

static struct pil_tensor *sum(struct terms *t, struct pil_tensor *x)
{
    return pil_reduce_sum(t->graph, x, .axis = PIL_AXES(-1));
}

static struct pil_tensor *at_least(struct terms *t, struct pil_tensor *x, float value)
{
    return pil_maximum(t->graph, x, number(t, value));
}

/* A probability kept away from 0 and 1. */
static struct pil_tensor *inside(struct terms *t, struct pil_tensor *p)
{
    return pil_clip_by_value(t->graph, p, EPSILON, 1 - EPSILON);
}

static struct pil_tensor *error_of(struct terms *t)
{
    return pil_sub(t->graph, t->z, t->p);
}

/* ---- losses of a row ---- */

static struct pil_tensor *squared(struct terms *t)
{
    return mean(t, pil_square(t->graph, error_of(t)));
}

static struct pil_tensor *absolute(struct terms *t)
{
    return mean(t, pil_abs(t->graph, error_of(t)));
}

static struct pil_tensor *percentage(struct terms *t)
{
    struct pil_tensor *by = at_least(t, pil_abs(t->graph, t->z), EPSILON);
    return times(t, mean(t, pil_abs(t->graph, pil_div(t->graph, error_of(t), by))), 100);
}

static struct pil_tensor *logarithmic(struct terms *t)
{
    struct pil_tensor *a = pil_log(t->graph, plus(t, at_least(t, t->p, EPSILON), 1));
    struct pil_tensor *b = pil_log(t->graph, plus(t, at_least(t, t->z, EPSILON), 1));
    return mean(t, pil_square(t->graph, pil_sub(t->graph, a, b)));
}

/* Labels moved by label_smoothing of the way to `target`. */
static struct pil_tensor *smooth(struct terms *t, float target)
{
    float smoothing = t->loss->label_smoothing;
    return smoothing > 0 ? plus(t, times(t, t->z, 1 - smoothing), smoothing * target) : t->z;
}

static struct pil_tensor *binary(struct terms *t)
{
    struct pil_tensor *logits = t->loss->from_logits ? t->p : graph_logits(t->p, "sigmoid"), *z = smooth(t, 0.5f);
    if (logits)
        return mean(t, graph_op2(t->graph, "sigmoid_cross_entropy", NULL, logits, z));
    struct pil_tensor *p = inside(t, t->p), *rest = plus(t, times(t, p, -1), 1), *other = plus(t, times(t, z, -1), 1);
    struct pil_tensor *yes = pil_mul(t->graph, z, pil_log(t->graph, plus(t, p, EPSILON)));
    struct pil_tensor *no = pil_mul(t->graph, other, pil_log(t->graph, plus(t, rest, EPSILON)));
    return times(t, mean(t, pil_add(t->graph, yes, no)), -1);
}

static struct pil_tensor *categorical(struct terms *t)
{
    int64_t classes = t->p->type.shape.dims[t->p->type.shape.rank - 1];
    struct pil_tensor *logits = t->loss->from_logits ? t->p : graph_logits(t->p, "softmax"), *z = smooth(t, 1 / (float)classes);
    if (logits)
        return pil_softmax_cross_entropy_with_logits(t->graph, z, logits);
    struct pil_tensor *total = pil_reduce_sum(t->graph, t->p, .axis = PIL_AXES(-1), .keepdims = true);
    struct pil_tensor *p = inside(t, pil_div(t->graph, t->p, total));
    return times(t, sum(t, pil_mul(t->graph, z, pil_log(t->graph, p))), -1);
}

static struct pil_tensor *sparse_categorical(struct terms *t)
{
    struct pil_tensor *logits = t->loss->from_logits ? t->p : graph_logits(t->p, "softmax");
    if (!logits)
        logits = pil_log(t->graph, inside(t, t->p));
    return pil_sparse_softmax_cross_entropy_with_logits(t->graph, t->z, logits);
}

/* Labels 0 and 1 as -1 and 1. Keras looks whether all labels are 0 or 1; here 0 counts as -1 and others as they are, which is the
 * same for either. */
static struct pil_tensor *sides(struct terms *t)
{
    return pil_sub(t->graph, t->z, pil_equal(t->graph, t->z, number(t, 0)));
}

static struct pil_tensor *margin(struct terms *t)
{
    return at_least(t, plus(t, times(t, pil_mul(t->graph, sides(t), t->p), -1), 1), 0);
}

static struct pil_tensor *hinge(struct terms *t)
{
    return mean(t, margin(t));
}

static struct pil_tensor *squared_hinge(struct terms *t)
{
    return mean(t, pil_square(t->graph, margin(t)));
}

static struct pil_tensor *categorical_hinge(struct terms *t)
{
    struct pil_tensor *own = sum(t, pil_mul(t->graph, t->z, t->p)), *rest = plus(t, times(t, t->z, -1), 1);
    struct pil_tensor *best = pil_reduce_max(t->graph, pil_mul(t->graph, rest, t->p), .axis = PIL_AXES(-1));
    return at_least(t, plus(t, pil_sub(t->graph, best, own), 1), 0);
}

static struct pil_tensor *huber(struct terms *t)
{
    float delta = t->loss->delta;
    struct pil_tensor *e = pil_abs(t->graph, error_of(t)), *q = pil_minimum(t->graph, e, number(t, delta));
    struct pil_tensor *line = times(t, pil_sub(t->graph, e, q), delta);
    return mean(t, pil_add(t->graph, times(t, pil_square(t->graph, q), 0.5f), line));
}

/* log cosh x = x + softplus(-2 x) - log 2. */
static struct pil_tensor *log_cosh(struct terms *t)
{
    struct pil_tensor *x = pil_sub(t->graph, t->p, t->z), *soft = pil_softplus(t->graph, times(t, x, -2));
    return mean(t, plus(t, pil_add(t->graph, x, soft), -0.693147181f));
}

static struct pil_tensor *poisson(struct terms *t)
{
    struct pil_tensor *logs = pil_log(t->graph, plus(t, t->p, EPSILON));
    return mean(t, pil_sub(t->graph, t->p, pil_mul(t->graph, t->z, logs)));
}

static struct pil_tensor *divergence(struct terms *t)
{
    struct pil_tensor *z = pil_clip_by_value(t->graph, t->z, EPSILON, 1), *p = pil_clip_by_value(t->graph, t->p, EPSILON, 1);
    return sum(t, pil_mul(t->graph, z, pil_log(t->graph, pil_div(t->graph, z, p))));
}

/* x over its length along the last axis, as tf.nn.l2_normalize. */
static struct pil_tensor *normalized(struct terms *t, struct pil_tensor *x)
{
    struct pil_tensor *squares = pil_reduce_sum(t->graph, pil_square(t->graph, x), .axis = PIL_AXES(-1), .keepdims = true);
    return pil_div(t->graph, x, pil_sqrt(t->graph, at_least(t, squares, 1e-12f)));
}

static struct pil_tensor *cosine(struct terms *t)
{
    return times(t, sum(t, pil_mul(t->graph, normalized(t, t->z), normalized(t, t->p))), -1);
}

/* ---- the list ---- */

struct loss_row {
    const char *names[6]; /* the function's, others, the class's */
    struct pil_tensor *(*of_rows)(struct terms *t);
    bool entropy; /* has from_logits and label_smoothing */
    bool classes; /* labels are numbers of classes */
    bool delta;
};
static const struct loss_row rows[] = {
    { { "mean_squared_error", "mse", "MSE", "MeanSquaredError" }, .of_rows = squared },
    { { "mean_absolute_error", "mae", "MAE", "MeanAbsoluteError" }, .of_rows = absolute },
    { { "mean_absolute_percentage_error", "mape", "MAPE", "MeanAbsolutePercentageError" }, .of_rows = percentage },
    { { "mean_squared_logarithmic_error", "msle", "MSLE", "MeanSquaredLogarithmicError" }, .of_rows = logarithmic },
    { { "binary_crossentropy", "bce", "BCE", "BinaryCrossentropy" }, .of_rows = binary, .entropy = true },
    { { "categorical_crossentropy", "CategoricalCrossentropy" }, .of_rows = categorical, .entropy = true },
    { { "sparse_categorical_crossentropy", "SparseCategoricalCrossentropy" },
      .of_rows = sparse_categorical,
      .entropy = true,
      .classes = true },
    { { "hinge", "Hinge" }, .of_rows = hinge },
    { { "squared_hinge", "SquaredHinge" }, .of_rows = squared_hinge },
    { { "categorical_hinge", "CategoricalHinge" }, .of_rows = categorical_hinge },
    { { "huber", "huber_loss", "Huber" }, .of_rows = huber, .delta = true },
    { { "log_cosh", "logcosh", "LogCosh" }, .of_rows = log_cosh },
    { { "poisson", "Poisson" }, .of_rows = poisson },
    { { "kl_divergence", "kld", "KLD", "kullback_leibler_divergence", "KLDivergence" }, .of_rows = divergence },
    { { "cosine_similarity", "cosine_proximity", "CosineSimilarity" }, .of_rows = cosine },
};

static const struct loss_row *find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (int k = 0; k < 6 && rows[i].names[k]; k++)
            if (strcmp(rows[i].names[k], name) == 0)
                return &rows[i];
    return NULL;
}

pil_keras_loss pil_keras_loss_named(const char *name)
{
    return (pil_keras_loss){ PIL_KERAS_LOSS_DEFAULTS, .name = name };
}

bool keras_loss_check(const pil_keras_loss *loss, pil_status *status)
{
    const struct loss_row *row = find(loss->name);
    const char *names[COUNT_OF(rows) * 6];
    if (!row) {
        size_t count = 0;
        for (size_t i = 0; i < COUNT_OF(rows); i++)
            for (int k = 0; k < 6 && rows[i].names[k]; k++)
                names[count++] = rows[i].names[k];
        const char *nearest = nearest_word(loss->name, names, count);
        return nearest
                   ? status_fail(status, PIL_INVALID_ARGUMENT, "there is no loss '%s'; did you mean '%s'?", loss->name, nearest)
                   : status_fail(status, PIL_INVALID_ARGUMENT, "there is no loss '%s'", loss->name);
    }
    if ((loss->from_logits || loss->label_smoothing != 0) && !row->entropy)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the loss %s has no %s", loss->name,
                           loss->from_logits ? "from_logits" : "label_smoothing");
    if (loss->label_smoothing != 0 && row->classes)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the loss %s has no label_smoothing", loss->name);
    if (!(loss->label_smoothing >= 0 && loss->label_smoothing <= 1))
        return status_fail(status, PIL_INVALID_ARGUMENT, "label_smoothing is %g: it is from 0 to 1",
                           (double)loss->label_smoothing);
    if (row->delta && !(loss->delta > 0))
        return status_fail(status, PIL_INVALID_ARGUMENT, "the loss %s: delta is %g, it is above 0", loss->name,
                           (double)loss->delta);
    return true;
}

/* ---- around it ---- */

const char *keras_row_text(const struct pil_tensor *x, char out[128])
{
    struct shape shape = { .rank = MAX(x->type.shape.rank - 1, 0) };
    memcpy(shape.dims, x->type.shape.dims + 1, (size_t)shape.rank * sizeof shape.dims[0]);
    return shape_text(shape, out);
}

int64_t keras_row_elements(const struct pil_tensor *x)
{
    int64_t count = 1;
    for (int i = 1; i < x->type.shape.rank; i++)
        count *= x->type.shape.dims[i];
    return count;
}

static bool does_not_fit(struct terms *t, const struct loss_row *row)
{
    char want[128], have[128];
    int64_t labels = keras_row_elements(t->z), outputs = keras_row_elements(t->p);
    const char *other = "";
    if (row->entropy && labels == 1 && outputs > 1)
        other = ": sparse_categorical_crossentropy takes a number of a class";
    else if (row->classes && labels == outputs)
        other = outputs == 1 ? ": binary_crossentropy takes one probability" : ": categorical_crossentropy takes one-hot labels";
    graph_fail(t->graph, "the loss %s: the model gives rows of %s, the labels are rows of %s%s", t->loss->name,
               keras_row_text(t->p, want), keras_row_text(t->z, have), other);
    return false;
}

/* Labels in the shape that the loss takes: the predictions', or with an axis of 1 at its end. */
static bool fit_labels(struct terms *t, const struct loss_row *row)
{
    struct shape shape = t->p->type.shape;
    int64_t wanted = keras_row_elements(t->p);
    if (shape.rank < 2)
        return does_not_fit(t, row);
    if (row->classes) {
        wanted /= MAX(shape.dims[shape.rank - 1], 1);
        shape.dims[shape.rank - 1] = 1;
    }
    if (keras_row_elements(t->z) != wanted || (row->classes && t->p->type.shape.dims[shape.rank - 1] == 1))
        return does_not_fit(t, row);
    if (!shape_equal(t->z->type.shape, shape))
        t->z = graph_op1(t->graph, "reshape", &(struct op_reshape_args){ shape }, t->z);
    return status_ok(graph_status(t->graph));
}

struct pil_tensor *keras_losses(struct pil_graph *graph, const pil_keras_loss *loss, struct pil_tensor *labels,
                                struct pil_tensor *predictions)
{
    pil_status status = { 0 };
    struct terms terms = { graph, loss, labels, predictions };
    if (!status_ok(graph_status(graph)))
        return graph_error_tensor(graph);
    if (!keras_loss_check(loss, &status)) {
        graph_fail_with(graph, &status);
        return graph_error_tensor(graph);
    }
    const struct loss_row *row = find(loss->name);
    return fit_labels(&terms, row) ? row->of_rows(&terms) : graph_error_tensor(graph);
}

struct pil_tensor *keras_weights(struct pil_graph *graph, struct pil_tensor *predictions, struct pil_tensor *weights,
                                 struct pil_tensor *mask)
{
    int axes = predictions->type.shape.rank - 1; /* of the losses */
    if (weights && weights->type.shape.rank != axes) {
        struct op_reshape_args shape = { { .rank = axes, .dims = { BATCH_DIM } } };
        for (int i = 1; i < axes; i++)
            shape.shape.dims[i] = 1;
        weights = graph_op1(graph, "reshape", &shape, weights);
    }
    if (!mask || axes != 2)
        return weights;
    mask = pil_cast(graph, mask, PIL_FLOAT32);
    return weights ? pil_mul(graph, weights, mask) : mask;
}

struct pil_tensor *keras_loss_build(struct pil_graph *graph, const pil_keras_loss *loss, struct pil_tensor *labels,
                                    struct pil_tensor *predictions, struct pil_tensor *weights)
{
    struct pil_tensor *losses = keras_losses(graph, loss, labels, predictions);
    if (!status_ok(graph_status(graph)))
        return losses;
    return pil_compute_weighted_loss(graph, losses, .weights = weights, .reduction = PIL_REDUCTION_SUM_OVER_BATCH_SIZE);
}
