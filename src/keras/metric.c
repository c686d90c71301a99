/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of tf.keras.metrics 2.15 by the words of its get(). The graph computes what is to be averaged, where it is an average; a
 * streaming metric of train does the rest, with Keras's formula.
 */
#include <ctype.h>
#include <string.h>

#include "keras/loss.h"
#include "pilaster/metric.h"
#include "pilaster/op.h"

/* What "accuracy" and "crossentropy" stand for. */
enum kind_of_labels { BINARY, CATEGORICAL, SPARSE };

struct request {
    struct pil_graph *graph;
    const pil_keras_metric *metric;
    struct pil_tensor *z, *p, *weights; /* labels as they are */
};
struct metric_row_of {
    const char *names[4]; /* the word, others, the class */
    struct pil_metric *(*make)(const struct request *r);
    const char *kind; /* what make is told, by the row */
};

static const struct metric_row_of *find(const char *name);

/* ---- shapes ---- */

static int64_t last(const struct pil_tensor *x)
{
    return x->type.shape.rank > 1 ? x->type.shape.dims[x->type.shape.rank - 1] : 1;
}

static struct pil_tensor *shaped(const struct request *r, struct pil_tensor *x, struct shape shape)
{
    return shape_equal(x->type.shape, shape) ? x : graph_op1(r->graph, "reshape", &(struct op_reshape_args){ shape }, x);
}

/* Labels of the predictions' shape; NULL with the graph's error where they have not as many elements. */
static struct pil_tensor *labels_like(const struct request *r)
{
    char want[128], have[128];
    if (keras_row_elements(r->z) == keras_row_elements(r->p))
        return shaped(r, r->z, r->p->type.shape);
    graph_fail(r->graph, "the metric %s: the model gives %s, the labels are %s", r->metric->metric,
               shape_text(r->p->type.shape, want), shape_text(r->z->type.shape, have));
    return NULL;
}

/* Weights of rows for values that have an axis more. */
static struct pil_tensor *weights_for(const struct request *r, const struct pil_tensor *values)
{
    if (!r->weights || r->weights->type.shape.rank == values->type.shape.rank)
        return r->weights;
    return pil_expand_dims(r->graph, r->weights, -1);
}

/* ---- kinds ---- */

static struct pil_metric *mean_of(const struct request *r, struct pil_tensor *values)
{
    return pil_metric_mean(r->graph, values, .weights = r->weights);
}

/* A streaming metric of labels and predictions. */
static struct pil_metric *streaming(const struct request *r)
{
    const struct metric_row_of *row = find(r->metric->metric);
    struct pil_tensor *z = labels_like(r);
    pil_metric_options options = { PIL_METRIC_DEFAULTS, .keras = true, .predictions = r->p };
    if (!z)
        z = graph_error_tensor(r->graph);
    options.weights = weights_for(r, r->p);
    if (r->metric->threshold != 0)
        options.threshold = r->metric->threshold;
    if (r->metric->num_thresholds != 0)
        options.num_thresholds = r->metric->num_thresholds;
    if (r->metric->curve)
        options.curve = r->metric->curve;
    return pil_metric_make(r->graph, row->kind, z, &options);
}

/* The mean of a loss of rows. */
static struct pil_metric *loss_mean(const struct request *r)
{
    const struct metric_row_of *row = find(r->metric->metric);
    pil_keras_loss loss = pil_keras_loss_named(row->kind);
    return mean_of(r, keras_losses(r->graph, &loss, r->z, r->p));
}

static struct pil_metric *cosine_mean(const struct request *r)
{
    pil_keras_loss loss = pil_keras_loss_named("cosine_similarity");
    struct pil_tensor *losses = keras_losses(r->graph, &loss, r->z, r->p);
    return mean_of(r, pil_mul(r->graph, losses, pil_scalar(r->graph, -1)));
}

/* Where the largest of each row stand. */
static struct pil_tensor *same_class(const struct request *r, struct pil_tensor *classes)
{
    struct pil_tensor *found = pil_cast(r->graph, pil_argmax(r->graph, r->p, .axis = -1), PIL_FLOAT32);
    if (!status_ok(graph_status(r->graph)))
        return found;
    return pil_cast(r->graph, pil_equal(r->graph, found, shaped(r, classes, found->type.shape)), PIL_FLOAT32);
}

static struct pil_metric *categorical_accuracy(const struct request *r)
{
    struct pil_tensor *z = labels_like(r);
    if (!z)
        return mean_of(r, graph_error_tensor(r->graph));
    struct pil_tensor *classes = pil_cast(r->graph, pil_argmax(r->graph, z, .axis = -1), PIL_FLOAT32);
    return mean_of(r, same_class(r, classes));
}

static struct pil_metric *sparse_accuracy(const struct request *r)
{
    char want[128], have[128];
    if (keras_row_elements(r->z) * last(r->p) == keras_row_elements(r->p))
        return mean_of(r, same_class(r, r->z));
    return mean_of(r, graph_fail(r->graph, "the metric %s: the model gives %s, the labels are %s", r->metric->metric,
                                 shape_text(r->p->type.shape, want), shape_text(r->z->type.shape, have)));
}

/* ---- the list ---- */

#define STREAMING(kind_) .make = streaming, .kind = kind_
#define LOSS(kind_) .make = loss_mean, .kind = kind_
static const struct metric_row_of rows[] = {
    { { "binary_accuracy", "BinaryAccuracy" }, STREAMING("binary_accuracy") },
    { { "categorical_accuracy", "CategoricalAccuracy" }, .make = categorical_accuracy },
    { { "sparse_categorical_accuracy", "SparseCategoricalAccuracy" }, .make = sparse_accuracy },
    { { "auc", "AUC" }, STREAMING("auc") },
    { { "precision", "Precision" }, STREAMING("precision_at_threshold") },
    { { "recall", "Recall" }, STREAMING("recall_at_threshold") },
    { { "true_positives", "TruePositives" }, STREAMING("true_positives_at_threshold") },
    { { "true_negatives", "TrueNegatives" }, STREAMING("true_negatives_at_threshold") },
    { { "false_positives", "FalsePositives" }, STREAMING("false_positives_at_threshold") },
    { { "false_negatives", "FalseNegatives" }, STREAMING("false_negatives_at_threshold") },
    { { "root_mean_squared_error", "RootMeanSquaredError" }, STREAMING("root_mean_squared_error") },
    { { "mean_squared_error", "mse", "MSE", "MeanSquaredError" }, LOSS("mse") },
    { { "mean_absolute_error", "mae", "MAE", "MeanAbsoluteError" }, LOSS("mae") },
    { { "mean_absolute_percentage_error", "mape", "MAPE", "MeanAbsolutePercentageError" }, LOSS("mape") },
    { { "mean_squared_logarithmic_error", "msle", "MSLE", "MeanSquaredLogarithmicError" }, LOSS("msle") },
    { { "binary_crossentropy", "bce", "BCE", "BinaryCrossentropy" }, LOSS("binary_crossentropy") },
    { { "categorical_crossentropy", "CategoricalCrossentropy" }, LOSS("categorical_crossentropy") },
    { { "sparse_categorical_crossentropy", "SparseCategoricalCrossentropy" }, LOSS("sparse_categorical_crossentropy") },
    { { "hinge", "Hinge" }, LOSS("hinge") },
    { { "squared_hinge", "SquaredHinge" }, LOSS("squared_hinge") },
    { { "categorical_hinge", "CategoricalHinge" }, LOSS("categorical_hinge") },
    { { "logcosh", "log_cosh", "LogCoshError" }, LOSS("log_cosh") },
    { { "poisson", "Poisson" }, LOSS("poisson") },
    { { "kullback_leibler_divergence", "kld", "KLD", "KLDivergence" }, LOSS("kld") },
    { { "cosine_similarity", "CosineSimilarity" }, .make = cosine_mean },
};
static const char *const chosen[] = { "accuracy", "acc", "crossentropy", "ce" };

static const struct metric_row_of *find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (int k = 0; k < 4 && rows[i].names[k]; k++)
            if (strcmp(rows[i].names[k], name) == 0)
                return &rows[i];
    return NULL;
}

static bool is_chosen(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(chosen); i++)
        if (strcmp(chosen[i], name) == 0)
            return true;
    return false;
}

bool keras_metric_check(const pil_keras_metric *metric, pil_status *status)
{
    const char *names[COUNT_OF(rows) * 4 + COUNT_OF(chosen)], *nearest;
    size_t count = 0;
    if (!metric->metric)
        return status_fail(status, PIL_INVALID_ARGUMENT, "a metric has no name");
    if (find(metric->metric) || is_chosen(metric->metric))
        return true;
    for (size_t i = 0; i < COUNT_OF(chosen); i++)
        names[count++] = chosen[i];
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (int k = 0; k < 4 && rows[i].names[k]; k++)
            names[count++] = rows[i].names[k];
    nearest = nearest_word(metric->metric, names, count);
    return nearest
               ? status_fail(status, PIL_INVALID_ARGUMENT, "there is no metric '%s'; did you mean '%s'?", metric->metric, nearest)
               : status_fail(status, PIL_INVALID_ARGUMENT, "there is no metric '%s'", metric->metric);
}

/* What Keras goes by: one output is binary; labels with less axes, or one at their end, are numbers of classes. */
static enum kind_of_labels kind_of(const struct request *r)
{
    if (last(r->p) == 1)
        return BINARY;
    return keras_row_elements(r->z) < keras_row_elements(r->p) ? SPARSE : CATEGORICAL;
}

/* "TruePositives" is shown as "true_positives", "AUC" as "auc"; a word as it was written. */
static const char *shown_name(const struct request *r, const struct metric_row_of *row)
{
    const char *given = r->metric->name ? r->metric->name : r->metric->metric;
    if (!r->metric->name && row && isupper((unsigned char)given[0]) && islower((unsigned char)given[1]))
        given = row->names[0];
    if (!r->metric->name && strcmp(given, "AUC") == 0)
        given = "auc";
    pil_status status = { 0 };
    const char *kept = arena_text(graph_arena(r->graph), given, strlen(given), &status);
    if (!kept)
        graph_fail_with(r->graph, &status);
    return kept;
}

struct pil_metric *keras_metric_build(struct pil_graph *graph, const pil_keras_metric *metric, struct pil_tensor *labels,
                                      struct pil_tensor *predictions, struct pil_tensor *weights, const char **name)
{
    static const char *const accuracies[] = { "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy" };
    static const char *const entropies[] = { "binary_crossentropy", "categorical_crossentropy",
                                             "sparse_categorical_crossentropy" };
    pil_status status = { 0 };
    struct request r = { graph, metric, labels, predictions, weights };
    pil_keras_metric meant = *metric;
    if (status_ok(graph_status(graph)) && !keras_metric_check(metric, &status))
        graph_fail_with(graph, &status);
    if (!status_ok(graph_status(graph)))
        return pil_metric_mean(graph, graph_error_tensor(graph));
    *name = shown_name(&r, find(metric->metric));
    if (is_chosen(metric->metric)) {
        meant.metric = (metric->metric[0] == 'a' ? accuracies : entropies)[kind_of(&r)];
        r.metric = &meant;
    }
    return find(r.metric->metric)->make(&r);
}
