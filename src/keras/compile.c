/* SPDX-License-Identifier: Apache-2.0 */
/* Compile: loss, optimizer and metrics, checked when they are given; and what they make of a model's predictions in a graph. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "keras/internal.h"
#include "pilaster/op.h"

/* ---- compile ---- */

pil_compile_options pil_compile_options_default(void)
{
    return (pil_compile_options){ PIL_COMPILE_DEFAULTS };
}

static const char *kept(pil_sequential *model, const char *text)
{
    return text ? arena_text(model->arena, text, strlen(text), &model->status) : NULL;
}

/* A word as Keras's get() takes it: "adam" and "Adam" are 2.15's class, "legacy/adam" the older one. */
static bool find_optimizer(const char *word, struct optimizer *out, pil_status *status)
{
    char lower[64];
    bool legacy = strncmp(word, "legacy/", 7) == 0;
    size_t n = 0;
    for (const char *p = word + (legacy ? 7 : 0); *p && n < sizeof lower - 1; p++)
        lower[n++] = (char)tolower((unsigned char)*p);
    lower[n] = '\0';
    return optimizer_find(lower, legacy ? FLAVOUR_KERAS_LEGACY : FLAVOUR_KERAS, out, status);
}

static bool take_optimizer(pil_sequential *model, const pil_compile_options *options, struct compiled *c, pil_status *status)
{
    if (options->optimizer_object.class_name)
        return optimizer_from(&options->optimizer_object, model->arena, &c->optimizer, status);
    if (!options->optimizer)
        return status_fail(status, PIL_INVALID_ARGUMENT, "an optimizer is needed");
    return find_optimizer(options->optimizer, &c->optimizer, status);
}

static bool take_loss(pil_sequential *model, const pil_compile_options *options, struct compiled *c, pil_status *status)
{
    if (!options->loss && !options->loss_object.name)
        return status_fail(status, PIL_INVALID_ARGUMENT, "a loss is needed: .loss = \"mse\", or another of Keras's words");
    if (options->loss && options->loss_object.name)
        return status_fail(status, PIL_INVALID_ARGUMENT, "both loss '%s' and loss_object '%s' are given", options->loss,
                           options->loss_object.name);
    c->loss = options->loss ? pil_keras_loss_named(options->loss) : options->loss_object;
    c->loss.name = kept(model, c->loss.name);
    return c->loss.name && keras_loss_check(&c->loss, status);
}

static bool add_metric(pil_sequential *model, struct compiled *c, const pil_keras_metric *metric, pil_status *status)
{
    if (!keras_metric_check(metric, status))
        return false;
    pil_keras_metric *own = &c->metrics[c->metric_count++];
    *own = *metric;
    own->metric = kept(model, metric->metric);
    own->name = kept(model, metric->name);
    own->curve = kept(model, metric->curve);
    return true;
}

static bool add_words(pil_sequential *model, struct compiled *c, pil_words words, pil_status *status)
{
    for (size_t i = 0; i < words.count; i++)
        if (!add_metric(model, c, &(pil_keras_metric){ .metric = words.items[i] }, status))
            return false;
    return true;
}

static bool take_metrics(pil_sequential *model, const pil_compile_options *options, struct compiled *c, pil_status *status)
{
    size_t count = options->metrics.count + options->metric_objects.count + options->weighted_metrics.count;
    if (count > SEQUENTIAL_METRICS)
        return status_fail(status, PIL_INVALID_ARGUMENT, "%zu metrics, at most %d are possible", count, SEQUENTIAL_METRICS);
    c->metrics = arena_alloc(model->arena, MAX(count, 1) * sizeof *c->metrics, status);
    if (!c->metrics || !add_words(model, c, options->metrics, status))
        return false;
    for (size_t i = 0; i < options->metric_objects.count; i++)
        if (!add_metric(model, c, &options->metric_objects.items[i], status))
            return false;
    c->weighted_from = c->metric_count;
    return add_words(model, c, options->weighted_metrics, status);
}

void pil_compile_make(pil_sequential *model, const pil_compile_options *options)
{
    struct compiled c = { 0 };
    pil_status status = { 0 };
    if (!status_ok(&model->status))
        return;
    if (take_optimizer(model, options, &c, &status) && take_loss(model, options, &c, &status) &&
        take_metrics(model, options, &c, &status) && status_ok(&model->status)) {
        model->compiled = c;
        model->is_compiled = true;
        model->trains = false;
        return;
    }
    if (status_ok(&model->status))
        model->status = status;
    status_prefix(&model->status, "pil_compile: ");
}

bool sequential_is_compiled(const pil_sequential *model)
{
    return model->is_compiled;
}

/* ---- in a graph ---- */

/* The weight of each row by its class: one-hot labels by the largest. */
static struct pil_tensor *class_weights(pil_sequential *model, struct pil_graph *graph, const struct sequential_data *data)
{
    pil_floats list = model->class_weight;
    struct pil_tensor *labels = data->labels;
    if (labels->type.shape.rank == 2 && labels->type.shape.dims[1] > 1)
        labels = pil_expand_dims(graph, pil_cast(graph, pil_argmax(graph, labels, .axis = -1), PIL_FLOAT32), -1);
    struct pil_tensor *table = graph_constant(graph, SHAPE((int64_t)list.count, 1), list.items);
    struct pil_tensor *weights = pil_gather(graph, table, labels);
    graph_suggest_name(graph, weights, "class_weight");
    return graph_op1(graph, "reshape", &(struct op_reshape_args){ SHAPE(BATCH_DIM, 1) }, weights);
}

static struct pil_tensor *row_weights(pil_sequential *model, struct pil_graph *graph, const struct sequential_data *data,
                                      pil_mode mode)
{
    struct pil_tensor *weights = data->weights;
    if (mode != PIL_TRAIN || model->class_weight.count == 0)
        return weights;
    struct pil_tensor *own = class_weights(model, graph, data);
    return weights ? pil_mul(graph, own, weights) : own;
}

/* Keras numbers metrics that would be shown by one name: "auc", "auc_1". */
static const char *unique_name(struct pil_graph *graph, const struct sequential_outputs *out, const char *name)
{
    pil_status status = { 0 };
    const char *unique = name;
    for (int n = 1, again = 1; again && unique; n++) {
        again = 0;
        for (size_t i = 0; i < out->metric_count; i++)
            again |= strcmp(out->metrics[i].name, unique) == 0;
        if (again)
            unique = arena_format(graph_arena(graph), &status, "%s_%d", name, n);
    }
    return unique ? unique : name;
}

void compile_outputs(pil_sequential *model, struct pil_graph *graph, const struct sequential_data *data, struct pil_tensor *mask,
                     struct pil_tensor *penalty, pil_mode mode, struct sequential_outputs *out)
{
    const struct compiled *c = &model->compiled;
    if (!model->is_compiled) {
        graph_fail(graph, "the model is not compiled: pil_compile says what it is to learn by");
        return;
    }
    if (!data->labels) {
        graph_fail(graph, "the data have no labels, which the loss %s compares with", c->loss.name);
        return;
    }
    struct pil_tensor *rows = row_weights(model, graph, data, mode);
    struct pil_tensor *weights = keras_weights(graph, out->predictions, rows, mask);
    struct pil_tensor *plain = keras_weights(graph, out->predictions, NULL, mask);
    out->loss = keras_loss_build(graph, &c->loss, data->labels, out->predictions, weights);
    if (penalty)
        out->loss = pil_add(graph, out->loss, penalty);
    for (size_t i = 0; i < c->metric_count && status_ok(graph_status(graph)); i++) {
        const char *name = NULL;
        struct pil_metric *metric = keras_metric_build(graph, &c->metrics[i], data->labels, out->predictions,
                                                       i >= c->weighted_from ? weights : plain, &name);
        if (!status_ok(graph_status(graph)))
            return;
        name = unique_name(graph, out, name);
        out->metrics[out->metric_count++] = (struct sequential_metric){ name, metric };
    }
}

/* ---- training ---- */

/* What the layers' weights keep to, in the graph's arena. */
static bool find_constraints(const pil_sequential *model, struct pil_graph *graph, struct train_part *part, pil_status *status)
{
    const struct sequential_weight *weight;
    struct train_constraint *list = arena_alloc(graph_arena(graph), MAX(graph_variable_count(graph), 1) * sizeof *list, status);
    size_t count = 0;
    for (size_t i = 0; list && (weight = sequential_weight_at(model, i)) != NULL; i++)
        for (size_t k = 0; weight->constraint.kind != PIL_CONSTRAINT_NONE && k < graph_variable_count(graph); k++)
            if (strcmp(graph_variable_at(graph, k)->name, weight->variable) == 0)
                list[count++] = (struct train_constraint){ graph_variable_at(graph, k), weight->constraint };
    part->constraints = list;
    part->constraint_count = count;
    return list != NULL;
}

/* The legacy class of the same name with the same arguments; decay is one that only legacy classes have. */
static bool make_legacy(struct optimizer *optimizer, pil_status *status)
{
    struct optimizer older = { 0 };
    const char *name = optimizer->options.name;
    optimizer->options.name = NULL;
    if (!optimizer_find(optimizer_class(optimizer), FLAVOUR_KERAS_LEGACY, &older, status))
        return false;
    float decay = older.options.decay_rate;
    older.options = optimizer->options;
    older.options.name = name;
    older.options.decay_rate = decay;
    *optimizer = older;
    return true;
}

struct pil_train_op *sequential_minimize(pil_sequential *model, struct pil_graph *graph, struct pil_tensor *loss, bool legacy)
{
    pil_status status = { 0 };
    struct train_part part = { .optimizer = model->compiled.optimizer };
    if (legacy && part.optimizer.flavour == FLAVOUR_KERAS && !make_legacy(&part.optimizer, &status))
        graph_fail_with(graph, &status);
    if (!find_constraints(model, graph, &part, &status))
        graph_fail_with(graph, &status);
    return train_op_minimize(graph, &part, loss, NULL, 0);
}
