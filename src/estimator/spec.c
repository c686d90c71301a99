/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a model function must return, checked when it returns: a mistake in a model is told before anything is trained, with the
 * name of the member and the shapes.
 */
#include <stdio.h>
#include <string.h>

#include "estimator/internal.h"

static const char *const mode_names[] = { [PIL_TRAIN] = "TRAIN", [PIL_EVAL] = "EVAL", [PIL_PREDICT] = "PREDICT" };

const char *mode_name(pil_mode mode)
{
    return mode_names[mode];
}

/* One spec under inspection. */
struct inspection {
    const struct pil_graph *graph;
    pil_mode mode;
    pil_status *status;
};

static bool wrong(const struct inspection *inspection, const char *format, ...) PRINTF_LIKE(2, 3);
static bool wrong(const struct inspection *inspection, const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return status_fail(inspection->status, PIL_INVALID_ARGUMENT, "the model function's spec for %s: %s",
                       mode_names[inspection->mode], text);
}

/* A tensor of this graph. */
static bool check_own(const struct inspection *inspection, const char *member, const char *name, const pil_tensor *tensor)
{
    char what[256];
    snprintf(what, sizeof what, "%s%s%s%s", member, name ? " '" : "", name ? name : "", name ? "'" : "");
    if (!tensor)
        return wrong(inspection, "%s is NULL", what);
    if (!graph_owns(inspection->graph, tensor))
        return wrong(inspection, "%s is a tensor of another graph: build everything from the graph that the function is given",
                     what);
    return true;
}

static bool is_scalar(const pil_tensor *tensor)
{
    return !tensor->type.sparse && tensor->type.dtype == DTYPE_FLOAT32 && tensor->type.shape.rank == 0;
}

static bool check_loss(const struct inspection *inspection, const pil_estimator_spec *spec)
{
    char shape[128];
    if (inspection->mode == PIL_PREDICT)
        return true;
    if (!spec->loss)
        return wrong(inspection, "there is no loss: training and evaluation need one, such as pil_mean_squared_error");
    if (!check_own(inspection, "the loss", NULL, spec->loss))
        return false;
    if (!is_scalar(spec->loss))
        return wrong(inspection, "the loss %s is %s %s, a float32 scalar is needed: reduce it, with pil_reduce_mean for instance",
                     graph_tensor_name(spec->loss), spec->loss->type.sparse ? "sparse" : dtype_name(spec->loss->type.dtype),
                     shape_text(spec->loss->type.shape, shape));
    return true;
}

static bool check_train_op(const struct inspection *inspection, const pil_estimator_spec *spec)
{
    if (inspection->mode != PIL_TRAIN)
        return true;
    if (!spec->train_op)
        return wrong(inspection, "there is no train_op: pil_optimize_loss or pil_minimize makes one from the loss");
    if (!spec->train_op->loss || !graph_owns(inspection->graph, spec->train_op->loss))
        return wrong(inspection, "the train_op belongs to another graph");
    return true;
}

static bool check_predictions(const struct inspection *inspection, const pil_estimator_spec *spec)
{
    const pil_dict *dict = &spec->predictions;
    char shape[128];
    if (inspection->mode == PIL_PREDICT && dict->count == 0)
        return wrong(inspection, "there are no predictions: PIL_DICT(g, {\"name\", tensor}) makes some");
    for (size_t i = 0; i < dict->count; i++) {
        const pil_named_tensor *item = &dict->items[i];
        if (!item->name || !item->name[0])
            return wrong(inspection, "prediction %zu has no name", i + 1);
        if (!check_own(inspection, "the prediction", item->name, item->tensor))
            return false;
        const struct op_type *type = &item->tensor->type;
        if (type->sparse || type->dtype != DTYPE_FLOAT32 || type->extent == EXTENT_BATCH)
            return wrong(inspection, "the prediction '%s' is %s %s: float32 [?, ...], a row for each row of the batch, is needed",
                         item->name, type->sparse ? "sparse" : dtype_name(type->dtype), shape_text(type->shape, shape));
        for (size_t k = 0; k < i; k++)
            if (strcmp(dict->items[k].name, item->name) == 0)
                return wrong(inspection, "two predictions are named '%s'", item->name);
    }
    return true;
}

/* A metric of no graph but this one. */
static bool check_metric(const struct inspection *inspection, const char *name, const struct pil_metric *metric)
{
    const pil_tensor *const tensors[] = { metric->labels, metric->values, metric->weights };
    for (size_t i = 0; i < COUNT_OF(tensors); i++)
        if (tensors[i] && !check_own(inspection, "what is measured by the metric", name, tensors[i]))
            return false;
    return true;
}

static bool check_metrics(const struct inspection *inspection, const pil_estimator_spec *spec)
{
    const pil_metrics *metrics = &spec->eval_metric_ops;
    if (metrics->count > PIL_MAX_METRICS - 1)
        return wrong(inspection, "eval_metric_ops has %zu metrics, %d are possible", metrics->count, PIL_MAX_METRICS - 1);
    for (size_t i = 0; i < metrics->count; i++) {
        const char *name = metrics->items[i].name;
        if (!name || !name[0] || strlen(name) >= PIL_METRIC_NAME)
            return wrong(inspection, "metric %zu has no name, or one of %d characters or more", i + 1, PIL_METRIC_NAME);
        if (!metrics->items[i].metric)
            return wrong(inspection, "the metric '%s' is NULL", name);
        if (!check_metric(inspection, name, metrics->items[i].metric))
            return false;
        if (strcmp(name, "loss") == 0 || strcmp(name, "global_step") == 0)
            return wrong(inspection, "a metric may not be named '%s': the Estimator adds one of that name", name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(metrics->items[k].name, name) == 0)
                return wrong(inspection, "two metrics are named '%s'", name);
    }
    return true;
}

/* ---- export outputs ---- */

/* [batch] or [batch, n]; n 0: any. */
static bool is_column(const struct op_type *type, int64_t n)
{
    bool rows = type->extent != EXTENT_BATCH && !type->sparse && type->dtype == DTYPE_FLOAT32;
    return rows && ((type->shape.rank == 1 && n <= 1) || (type->shape.rank == 2 && (n == 0 || type->shape.dims[1] == n)));
}

static bool check_predict_output(const struct inspection *inspection, const char *name, const pil_dict *dict)
{
    if (dict->count == 0)
        return wrong(inspection, "the export output '%s' is empty", name);
    for (size_t i = 0; i < dict->count; i++) {
        const pil_named_tensor *item = &dict->items[i];
        if (!item->name || !item->name[0])
            return wrong(inspection, "value %zu of the export output '%s' has no name", i + 1, name);
        if (!check_own(inspection, "the export output", name, item->tensor))
            return false;
        if (item->tensor->type.sparse)
            return wrong(inspection, "the export output '%s': the value '%s' is sparse, a dense tensor is needed", name,
                         item->name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(dict->items[k].name, item->name) == 0)
                return wrong(inspection, "the export output '%s': two values are named '%s'", name, item->name);
    }
    return true;
}

static bool check_export(const struct inspection *inspection, const char *name, const pil_export_output *output)
{
    char shape[128];
    if (output->kind > PIL_EXPORT_CLASSIFY)
        return wrong(inspection, "the export output '%s' is of kind %d, which there is not", name, (int)output->kind);
    if (output->kind == PIL_EXPORT_PREDICT)
        return check_predict_output(inspection, name, &output->outputs);
    if (!check_own(inspection, "the export output", name, output->value))
        return false;
    const struct op_type *type = &output->value->type;
    if (output->kind == PIL_EXPORT_REGRESS && !is_column(type, 1))
        return wrong(inspection, "the export output '%s' is %s: a regression output is one number a row, [?] or [?, 1]", name,
                     shape_text(type->shape, shape));
    if (output->kind == PIL_EXPORT_CLASSIFY && (!is_column(type, 0) || type->shape.rank != 2))
        return wrong(inspection, "the export output '%s' is %s: a classification output is a score for each class, [?, classes]",
                     name, shape_text(type->shape, shape));
    if (output->kind == PIL_EXPORT_CLASSIFY && output->words && (int64_t)output->word_count != type->shape.dims[1])
        return wrong(inspection, "the export output '%s' has %zu words for the scores %s", name, output->word_count,
                     shape_text(type->shape, shape));
    return true;
}

static bool check_exports(const struct inspection *inspection, const pil_estimator_spec *spec)
{
    const pil_exports *exports = &spec->export_outputs;
    bool has_default = exports->count <= 1;
    for (size_t i = 0; i < exports->count; i++) {
        const char *name = exports->items[i].name;
        if (!name || !name[0])
            return wrong(inspection, "export output %zu has no name", i + 1);
        if (!check_export(inspection, name, &exports->items[i].output))
            return false;
        has_default |= strcmp(name, "serving_default") == 0;
        for (size_t k = 0; k < i; k++)
            if (strcmp(exports->items[k].name, name) == 0)
                return wrong(inspection, "two export outputs are named '%s'", name);
    }
    if (!has_default)
        return wrong(inspection,
                     "of several export outputs one must be named serving_default: what a request gets that names none");
    return true;
}

bool spec_check_fetches(const pil_hook *hook, const struct pil_graph *graph, const char *what, pil_status *status)
{
    for (size_t i = 0; i < hook->fetches.count; i++) {
        const pil_named_tensor *item = &hook->fetches.items[i];
        if (!item->name || !item->tensor || !graph_owns(graph, item->tensor))
            return status_fail(status, PIL_INVALID_ARGUMENT,
                               "%s: what a hook fetches as '%s' is %s: a hook of the spec fetches from its graph", what,
                               item->name ? item->name : "NULL", item->tensor ? "a tensor of another graph" : "NULL");
    }
    return true;
}

static bool check_hooks(const struct inspection *inspection, const pil_estimator_spec *spec)
{
    const size_t counts[] = { spec->training_hook_count, spec->evaluation_hook_count, spec->prediction_hook_count };
    const pil_hook *const lists[] = { spec->training_hooks, spec->evaluation_hooks, spec->prediction_hooks };
    static const char *const names[] = { "training_hooks", "evaluation_hooks", "prediction_hooks" };
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        if (counts[i] > PIL_SPEC_HOOKS)
            return wrong(inspection, "%s has %zu hooks, %d are possible", names[i], counts[i], PIL_SPEC_HOOKS);
        for (size_t k = 0; k < counts[i]; k++)
            if (!spec_check_fetches(&lists[i][k], inspection->graph, names[i], inspection->status))
                return false;
    }
    return true;
}

bool spec_check(const pil_estimator_spec *spec, struct pil_graph *graph, pil_mode mode, pil_status *status)
{
    const struct inspection inspection = { graph, mode, status };
    const char *scope = graph_open_scope(graph);
    if (!status_ok(graph_status(graph))) {
        *status = *graph_status(graph);
        return false;
    }
    if (scope)
        return wrong(&inspection, "the scope %s is still open: a pil_pop_scope is missing", scope);
    if (spec->mode != mode)
        return wrong(&inspection, "its mode is %s: pass the mode through that the function is given",
                     spec->mode >= PIL_TRAIN && spec->mode <= PIL_PREDICT ? mode_names[spec->mode] : "not one of the three");
    return check_predictions(&inspection, spec) && check_loss(&inspection, spec) && check_train_op(&inspection, spec) &&
           check_metrics(&inspection, spec) && check_exports(&inspection, spec) && check_hooks(&inspection, spec);
}
