/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canned estimators: columns and params to logits, under TensorFlow's variable names. Linear, DNN, their sum (wide & deep)
 * and the baseline (a bias alone) are one function with parts switched on.
 *
 * DNN: hidden layers activation(x W + b), glorot uniform, then dropout (training), then batch normalization (epsilon 0.001,
 * moving = 0.999 moving + 0.001 batch); logits: one more layer without activation.
 */
#include <stdio.h>
#include <string.h>

#include "estimator/internal.h"

static bool has_linear(const struct model *model)
{
    return model->kind == ESTIMATOR_LINEAR || (model->kind == ESTIMATOR_COMBINED && model->linear_count > 0);
}

static bool has_dnn(const struct model *model)
{
    return model->kind == ESTIMATOR_DNN || (model->kind == ESTIMATOR_COMBINED && model->dnn_count > 0);
}

static struct pil_tensor *layer(struct pil_graph *graph, struct pil_tensor *x, const char *name, int64_t units,
                                enum activation activation)
{
    char kernel[128], bias[128];
    snprintf(kernel, sizeof kernel, "dnn/%s/kernel", name);
    snprintf(bias, sizeof bias, "dnn/%s/bias", name);
    struct shape shape = x->type.shape;
    struct pil_tensor *w = graph_variable(graph, kernel, SHAPE(shape.dims[MAX(shape.rank - 1, 0)], units),
                                          (pil_initializer){ PIL_INITIALIZER_GLOROT_UNIFORM, 0, 0 }, true);
    struct pil_tensor *b = graph_variable(graph, bias, SHAPE(units), (pil_initializer){ 0 }, true);
    return graph_dense(graph, x, w, b, activation);
}

static struct pil_tensor *batch_norm(struct pil_graph *graph, struct pil_tensor *x, int number, bool training)
{
    static const char *const names[] = { "gamma", "beta", "moving_mean", "moving_variance" };
    struct pil_tensor *variables[4];
    struct shape shape = x->type.shape;
    for (int i = 0; i < 4; i++) {
        char name[128];
        snprintf(name, sizeof name, "dnn/hiddenlayer_%d/batchnorm_%d/%s", number, number, names[i]);
        pil_initializer_kind kind = i % 3 == 0 ? PIL_INITIALIZER_ONES : PIL_INITIALIZER_ZEROS;
        variables[i] =
            graph_variable(graph, name, SHAPE(shape.dims[MAX(shape.rank - 1, 0)]), (pil_initializer){ kind, 0, 0 }, i < 2);
    }
    return graph_batch_norm(graph, x,
                            &(struct graph_batch_norm){ .gamma = variables[0],
                                                        .beta = variables[1],
                                                        .moving_mean = variables[2],
                                                        .moving_variance = variables[3],
                                                        .momentum = 0.999f,
                                                        .epsilon = 0.001f,
                                                        .training = training });
}

static struct pil_tensor *dnn_logits(const struct model *model, const pil_features *features, pil_mode mode)
{
    struct pil_graph *graph = pil_features_graph(features);
    struct pil_tensor *x =
        pil_input_layer(features, { model->dnn_columns, model->dnn_count }, .name = "dnn/input_from_feature_columns/input_layer");
    for (size_t i = 0; i < model->hidden_units.count; i++) {
        char name[64];
        snprintf(name, sizeof name, "hiddenlayer_%zu", i);
        x = layer(graph, x, name, model->hidden_units.items[i], model->activation);
        if (mode == PIL_TRAIN && model->dropout > 0) {
            x = graph_op1(graph, "dropout", &(struct op_dropout_args){ .rate = model->dropout }, x);
            snprintf(name, sizeof name, "dnn/hiddenlayer_%zu/dropout", i);
            graph_name(graph, x, name);
        }
        if (model->batch_norm)
            x = batch_norm(graph, x, (int)i, mode == PIL_TRAIN);
    }
    return layer(graph, x, "logits", pil_head_logits_dimension(&model->head), ACTIVATION_LINEAR);
}

/* A bias alone, repeated for the rows of the label; to predict it is the same for all. */
static struct pil_tensor *baseline_logits(const struct model *model, struct pil_graph *graph, struct pil_tensor *targets)
{
    int64_t units = pil_head_logits_dimension(&model->head);
    struct pil_tensor *bias = graph_variable(graph, "baseline/bias", SHAPE(units), pil_zeros_initializer(), true);
    if (!targets)
        return graph_op1(graph, "reshape", &(struct op_reshape_args){ SHAPE(1, units) }, bias);
    struct pil_tensor *column = graph_op1(graph, "slice", &(struct op_slice_args){ 1, 0, 1 }, targets);
    return graph_op2(graph, "add", NULL, graph_op1(graph, "scale", &(struct op_scalar_args){ 0 }, column), bias);
}

/* Checkpoint names of 1.x: slots of a linear and of a dnn model are named after the only part of their variable. Of 2.x they
 * follow from the classes. */
static struct optimizer_names names_of(const struct model *model, bool linear, bool both)
{
    if (model->tensorflow != 1)
        return (struct optimizer_names){ 0 };
    const char *alone = linear ? "part_0" : "t_0", *powers = linear ? "linear/head" : "dnn/head";
    bool whole = both || model->kind == ESTIMATOR_BASELINE || model->kind == ESTIMATOR_COMBINED;
    bool twice = both && strcmp(optimizer_class(&model->linear_optimizer), optimizer_class(&model->dnn_optimizer)) == 0;
    return (struct optimizer_names){ .part = whole ? NULL : alone, .powers = whole ? "head" : powers, .number = linear && twice };
}

/* Moves the linear part's variables (and a baseline's), or all others. */
static pil_train_op *minimize_part(struct pil_graph *graph, const struct model *model, struct pil_tensor *loss, bool linear,
                                   bool both)
{
    pil_status status = { 0 };
    size_t count = 0, all = graph_variable_count(graph);
    struct pil_tensor **list = arena_alloc(graph_arena(graph), MAX(all, 1) * sizeof *list, &status);
    for (size_t i = 0; list && i < all; i++) {
        const struct graph_variable *variable = graph_variable_at(graph, i);
        bool is_linear = strncmp(variable->name, "linear/", 7) == 0 || strncmp(variable->name, "baseline/", 9) == 0;
        if (variable->trainable && is_linear == linear)
            list[count++] = variable->tensor;
    }
    if (!list)
        graph_fail_with(graph, &status);
    struct train_part part = { .optimizer = linear ? model->linear_optimizer : model->dnn_optimizer,
                               .names = names_of(model, linear, both),
                               .clip_gradients = model->clip_gradients };
    return train_op_minimize(graph, &part, loss, list, list ? count : 0);
}

pil_estimator_spec canned_model_fn(pil_graph *graph, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                   void *params)
{
    const struct model *model = params;
    struct pil_tensor *logits = NULL;
    if (model->kind == ESTIMATOR_BASELINE)
        logits = baseline_logits(model, graph, targets);
    if (has_dnn(model))
        logits = dnn_logits(model, features, mode);
    if (has_linear(model)) {
        struct pil_tensor *linear = pil_linear_model(
            features, { model->linear_columns, model->linear_count }, .units = pil_head_logits_dimension(&model->head),
            .sparse_combiner = op_combiner_words[model->sparse_combiner], .name = "linear/linear_model");
        logits = logits ? graph_op2(graph, "add", NULL, logits, linear) : linear;
    }
    pil_estimator_spec spec = pil_head_spec(&model->head, features, mode, logits, targets);
    if (mode != PIL_TRAIN || !status_ok(graph_status(graph)))
        return spec;
    bool wide = has_linear(model) || model->kind == ESTIMATOR_BASELINE, both = wide && has_dnn(model);
    spec.train_op = minimize_part(graph, model, spec.loss, !has_dnn(model), both);
    if (both)
        spec.train_op = pil_group(graph, spec.train_op, minimize_part(graph, model, spec.loss, true, true));
    return spec;
}
