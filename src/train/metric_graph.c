/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of a graph: which tensors they are made of, checked when a model function names them. What can be computed row by row
 * is left to ops; what is gathered over batches is metric.c's. The tensors are brought to one cut here, so that metric_update
 * meets nothing but equal rows and columns, or one that stands for all.
 */
#include <stdio.h>
#include <string.h>

#include "pilaster/op.h"
#include "train/internal.h"

/* What a builder returns after an error. Nobody writes to it. */
static struct pil_metric error_metric = { .options = { .kind = "mean", .tensorflow = 1 } };

static struct pil_metric *refused(struct pil_graph *graph, const char *name, const char *what)
{
    graph_fail(graph, "%s%s: %s", graph_scope(graph), name, what);
    return &error_metric;
}

/* ---- tensors ------------------------------------------------------------------------------------------------- */

static bool usable(struct pil_graph *graph, const char *name, const char *what, const struct pil_tensor *tensor)
{
    if (!status_ok(graph_status(graph)))
        return false;
    if (!tensor)
        graph_fail(graph, "%s%s: the %s are NULL (targets are, in PREDICT and where the data have no label)", graph_scope(graph),
                   name, what);
    else if (!graph_owns(graph, tensor))
        graph_fail(graph, "%s%s: the %s, %s, belong to another graph", graph_scope(graph), name, what, graph_tensor_name(tensor));
    else if (tensor->type.sparse)
        graph_fail(graph, "%s%s: the %s, %s, are sparse; a dense tensor is needed", graph_scope(graph), name, what,
                   graph_tensor_name(tensor));
    return status_ok(graph_status(graph));
}

/* Do the shapes differ by an axis of 1 at the end alone, or not at all? */
static bool nearly_equal(struct shape a, struct shape b)
{
    struct shape *longer = a.rank > b.rank ? &a : &b;
    if (a.rank != b.rank && longer->dims[longer->rank - 1] == 1)
        longer->rank--;
    return shape_equal(a, b);
}

static struct pil_tensor *reshaped(struct pil_graph *graph, struct pil_tensor *tensor, struct shape shape)
{
    return shape_equal(tensor->type.shape, shape) ? tensor
                                                  : graph_op1(graph, "reshape", &(struct op_reshape_args){ shape }, tensor);
}

/* A tensor of the values' shape; NULL with the graph's error. */
static struct pil_tensor *like(struct pil_graph *graph, const char *name, const char *what, struct pil_tensor *tensor,
                               const struct pil_tensor *values)
{
    char have[128], want[128];
    if (!usable(graph, name, what, tensor))
        return NULL;
    if (nearly_equal(tensor->type.shape, values->type.shape))
        return reshaped(graph, tensor, values->type.shape);
    graph_fail(graph, "%s%s: %s and predictions must have one shape; the %s, %s, are %s, the predictions, %s, are %s",
               graph_scope(graph), name, what, what, graph_tensor_name(tensor), shape_text(tensor->type.shape, have),
               graph_tensor_name(values), shape_text(values->type.shape, want));
    return NULL;
}

static struct pil_tensor *to_float(struct pil_graph *graph, struct pil_tensor *tensor)
{
    if (tensor->type.dtype == DTYPE_FLOAT32)
        return tensor;
    return graph_op1(graph, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, tensor);
}

static bool fits(struct shape weights, struct shape values)
{
    bool each = weights.rank == values.rank;
    for (int i = 0; each && i < weights.rank; i++)
        each = weights.dims[i] == 1 || weights.dims[i] == values.dims[i];
    return each || weights.rank == 0;
}

/* Weights that metric_update understands: a scalar, one a row, or one an element. */
static struct pil_tensor *take_weights(struct pil_graph *graph, const char *name, struct pil_tensor *weights,
                                       struct pil_tensor *values)
{
    char have[128], want[128];
    struct shape shape = values->type.shape, own;
    if (!usable(graph, name, "weights", weights))
        return NULL;
    own = weights->type.shape;
    if (nearly_equal(own, shape))
        return reshaped(graph, weights, shape);
    if (!fits(own, shape)) {
        graph_fail(graph,
                   "%s%s: the weights, %s, are %s and do not fit predictions of %s: each axis must be as long or 1, or the "
                   "weight a scalar",
                   graph_scope(graph), name, graph_tensor_name(weights), shape_text(own, have), shape_text(shape, want));
        return NULL;
    }
    bool one_a_row = OP_ROWS(weights->type) && OP_ROWS(values->type) && shape_elements(shape_with_batch(own, 1)) == 1;
    if (own.rank == 0 || one_a_row)
        return weights;
    return graph_op2(graph, "broadcast_like", NULL, to_float(graph, weights), to_float(graph, values));
}

/* ---- options ------------------------------------------------------------------------------------------------- */

pil_metric_options pil_metric_options_default(void)
{
    return (pil_metric_options){ PIL_METRIC_DEFAULTS };
}

/* The name of an option that differs from its default though the metric has no use for it, or NULL. */
static const char *useless_option(const struct metric_row *row, const pil_metric_options *options)
{
    const pil_metric_options usual = pil_metric_options_default();
    const struct {
        unsigned option;
        bool given;
        const char *name;
    } list[] = {
        { METRIC_KERAS, options->keras, "keras" },
        { METRIC_THRESHOLDS, options->num_thresholds != usual.num_thresholds, "num_thresholds" },
        { METRIC_CURVE, options->thresholds != NULL, "thresholds" },
        { METRIC_CURVE, options->curve && strcmp(options->curve, usual.curve) != 0, "curve" },
        { METRIC_CURVE, options->summation_method != NULL, "summation_method" },
        { METRIC_THRESHOLD, options->threshold != usual.threshold, "threshold" },
        { METRIC_CLASSES, options->num_classes != 0, "num_classes" },
        { METRIC_AT, options->at != 0, "at" },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        if (list[i].given && !(row->options & list[i].option))
            return list[i].name;
    return NULL;
}

static const char *kept_text(struct pil_graph *graph, const char *text, pil_status *status)
{
    return text ? arena_text(graph_arena(graph), text, strlen(text), status) : NULL;
}

/* The options as the streaming metric takes them, whatever they point to copied. */
static struct metric_options kept_options(struct pil_graph *graph, const struct metric_row *row,
                                          const pil_metric_options *options, pil_status *status)
{
    bool keras = options->keras || strcmp(row->name, "binary_accuracy") == 0;
    struct metric_options kept = {
        .kind = row->name,
        .tensorflow = keras ? 2 : 1,
        .thresholds = options->num_thresholds,
        .curve = kept_text(graph, options->curve, status),
        .summation = kept_text(graph, options->summation_method, status),
        .threshold = options->threshold,
        .classes = options->num_classes,
        .at = (double)options->at,
    };
    if (options->thresholds && options->threshold_count <= SIZE_MAX / sizeof(float) - 1) {
        float *list = arena_alloc(graph_arena(graph), (options->threshold_count + 1) * sizeof *list, status);
        if (list)
            memcpy(list, options->thresholds, options->threshold_count * sizeof *list);
        kept.own_thresholds = list;
        kept.own_threshold_count = options->threshold_count;
    }
    return kept;
}

/* The metric in the graph's arena. Its options are tried once, so that what is wrong with them is told here. */
static struct pil_metric *keep(struct pil_graph *graph, const struct metric_row *row, const pil_metric_options *options,
                               struct pil_metric metric)
{
    pil_status status = { 0 };
    metric.options = kept_options(graph, row, options, &status);
    struct metric *trial = status_ok(&status) ? metric_new(&metric.options, &status) : NULL;
    metric_free(trial);
    struct pil_metric *kept = trial ? arena_alloc(graph_arena(graph), sizeof *kept, &status) : NULL;
    if (!kept) {
        if (status.code != PIL_NO_MEMORY)
            status_prefix(&status, "%s", graph_scope(graph));
        graph_fail_with(graph, &status);
        return &error_metric;
    }
    *kept = metric;
    return kept;
}

/* ---- metrics ------------------------------------------------------------------------------------------------- */

pil_metric *pil_metric_make(pil_graph *graph, const char *name, pil_tensor *labels, const pil_metric_options *options)
{
    pil_status status = { 0 };
    struct pil_metric metric = { .values = options->predictions };
    const struct metric_row *row = metric_find(name, &status);
    if (!row)
        return refused(graph, "a metric", status.message);
    const char *useless = useless_option(row, options);
    char text[128];
    if (useless) {
        snprintf(text, sizeof text, "it has no option .%s", useless);
        return refused(graph, name, text);
    }
    if (labels && !(row->options & METRIC_LABELS))
        return refused(graph, name, "it has no labels");
    if (!usable(graph, name, "predictions", metric.values) ||
        ((row->options & METRIC_LABELS) && !(metric.labels = like(graph, name, "labels", labels, metric.values))) ||
        (options->weights && !(metric.weights = take_weights(graph, name, options->weights, metric.values))))
        return &error_metric;
    return status_ok(graph_status(graph)) ? keep(graph, row, options, metric) : &error_metric;
}

pil_mean_relative_error_options pil_mean_relative_error_options_default(void)
{
    return (pil_mean_relative_error_options){ NULL, NULL };
}

pil_metric *pil_metric_mean_relative_error_make(pil_graph *graph, pil_tensor *labels, pil_tensor *predictions,
                                                const pil_mean_relative_error_options *options)
{
    const char *name = "mean_relative_error";
    struct pil_tensor *by = options->normalizer;
    if (!usable(graph, name, "predictions", predictions) || !(labels = like(graph, name, "labels", labels, predictions)) ||
        !(by = like(graph, name, "normalizer", by, predictions)))
        return &error_metric;
    struct pil_tensor *zero = graph_scalar(graph, 0), *one = graph_scalar(graph, 1);
    by = to_float(graph, by);
    struct pil_tensor *error = pil_abs(graph, pil_sub(graph, to_float(graph, labels), to_float(graph, predictions)));
    struct pil_tensor *is_zero = pil_equal(graph, by, zero);
    error = pil_where(graph, is_zero, zero, pil_div(graph, error, pil_where(graph, is_zero, one, by)));
    return pil_metric_mean(graph, error, .weights = options->weights);
}

pil_mean_cosine_distance_options pil_mean_cosine_distance_options_default(void)
{
    return (pil_mean_cosine_distance_options){ 0, NULL };
}

pil_metric *pil_metric_mean_cosine_distance_make(pil_graph *graph, pil_tensor *labels, pil_tensor *predictions,
                                                 const pil_mean_cosine_distance_options *options)
{
    const char *name = "mean_cosine_distance";
    if (!usable(graph, name, "predictions", predictions) || !(labels = like(graph, name, "labels", labels, predictions)))
        return &error_metric;
    struct pil_tensor *product = pil_mul(graph, to_float(graph, predictions), to_float(graph, labels));
    struct pil_tensor *sums = pil_reduce_sum(graph, product, .axis = PIL_AXES(options->dim), .keepdims = true);
    return PIL_METRIC(graph, name, NULL, .predictions = sums, .weights = options->weights);
}

/* ---- named metrics ------------------------------------------------------------------------------------------- */

static bool check_name(struct pil_graph *graph, const pil_named_metric *items, size_t i)
{
    const char *name = items[i].name;
    if (!name || !name[0])
        graph_fail(graph, "metric %zu has no name", i + 1);
    else if (!items[i].metric)
        graph_fail(graph, "the metric '%s' is NULL", name);
    else if (strcmp(name, "loss") == 0 || strcmp(name, "global_step") == 0)
        graph_fail(graph, "a metric may not be named '%s': every evaluation adds one of that name", name);
    for (size_t k = 0; status_ok(graph_status(graph)) && k < i; k++)
        if (strcmp(items[k].name, name) == 0)
            graph_fail(graph, "two metrics are named '%s'", name);
    return status_ok(graph_status(graph));
}

pil_metrics pil_metrics_make(pil_graph *graph, const pil_named_metric *items, size_t count)
{
    pil_status status = { 0 };
    if (count > SIZE_MAX / sizeof(pil_named_metric) - 1 || !status_ok(graph_status(graph)))
        return (pil_metrics){ NULL, 0 };
    pil_named_metric *copy = arena_alloc(graph_arena(graph), (count + 1) * sizeof *copy, &status);
    for (size_t i = 0; copy && i < count; i++) {
        if (!check_name(graph, items, i))
            return (pil_metrics){ NULL, 0 };
        copy[i] = (pil_named_metric){ kept_text(graph, items[i].name, &status), items[i].metric };
    }
    if (status_ok(&status))
        return (pil_metrics){ copy, count };
    graph_fail_with(graph, &status);
    return (pil_metrics){ NULL, 0 };
}

/* ---- for whoever evaluates ----------------------------------------------------------------------------------- */

bool metric_fetch(const struct pil_metric *metric, struct fetches *fetches, pil_status *status)
{
    return fetches_add(fetches, metric->labels, status) && fetches_add(fetches, metric->values, status) &&
           fetches_add(fetches, metric->weights, status);
}

bool metric_count(struct metric *into, const struct pil_metric *metric, const char *name, const struct fetches *fetches,
                  const struct session *session, pil_status *status)
{
    metric_update(into, fetches_value(fetches, session, metric->labels), fetches_value(fetches, session, metric->values),
                  fetches_value(fetches, session, metric->weights));
    return metric_check(into, status) || status_prefix(status, "the metric '%s': ", name);
}
