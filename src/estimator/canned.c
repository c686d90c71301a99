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

#include "estimator/estimator.h"

static bool has_linear(const struct model *model)
{
    return model->kind == ESTIMATOR_LINEAR || (model->kind == ESTIMATOR_COMBINED && model->linear_count > 0);
}

static bool has_dnn(const struct model *model)
{
    return model->kind == ESTIMATOR_DNN || (model->kind == ESTIMATOR_COMBINED && model->dnn_count > 0);
}

/* ---- what the model reads ---- */

static bool register_column(struct program *program, const struct pil_column *column, pil_status *status)
{
    if (column_is_categorical(column))
        return program_feature(program, column, status) >= 0;
    const struct pil_column *categorical = column_lookup_source(column);
    return categorical ? program_feature(program, categorical, status) >= 0 : program_numbers(program, column, status) >= 0;
}

bool canned_register(const struct model *model, struct program *program, struct canned_inputs *inputs, pil_status *status)
{
    for (size_t i = 0; i < model->input.field_count; i++)
        if (!program_field(program, &model->input.fields[i], status))
            return false;
    for (size_t i = 0; i < model->linear_count; i++)
        if (!register_column(program, model->linear_columns[i], status))
            return false;
    for (size_t i = 0; i < model->dnn_count; i++)
        if (!register_column(program, model->dnn_columns[i], status))
            return false;
    const struct head_options *head = &model->head;
    struct program_target label = { .field = model->label, .width = head->kind == HEAD_REGRESSION ? head->label_dimension : 1,
                                    .vocabulary = head->vocabulary, .vocabulary_count = head->vocabulary_count,
                                    .classes = head->kind == HEAD_REGRESSION ? 0 : head->classes };
    inputs->label = program_target(program, &label, status);
    inputs->weight = -1;
    if (inputs->label < 0)
        return false;
    if (model->weight_column) {
        struct program_target weight = { .field = model->weight_column, .width = 1 };
        inputs->weight = program_target(program, &weight, status);
        return inputs->weight >= 0;
    }
    return true;
}

/* ---- the graph ---- */

static struct pil_tensor *layer(struct pil_graph *graph, struct pil_tensor *x, const char *name, int64_t units, enum activation activation)
{
    char kernel[128], bias[128];
    snprintf(kernel, sizeof kernel, "dnn/%s/kernel", name);
    snprintf(bias, sizeof bias, "dnn/%s/bias", name);
    struct shape shape = x->type.shape;
    struct pil_tensor *w = graph_variable(graph, kernel, SHAPE(shape.dims[MAX(shape.rank - 1, 0)], units),
                                          (pil_initializer){ PIL_INITIALIZER_GLOROT_UNIFORM, 0, 0 }, true);
    struct pil_tensor *b = graph_variable(graph, bias, SHAPE(units), (pil_initializer){ 0 }, true);
    /* Softplus, GELU and swish need their input for the gradient, so they cannot be fused into the product. */
    bool fused = activation != ACTIVATION_SOFTPLUS && activation != ACTIVATION_GELU && activation != ACTIVATION_SWISH;
    struct op_matmul_args args = { .bias = true, .activation = fused ? activation : ACTIVATION_LINEAR };
    x = graph_op3(graph, "matmul", &args, x, w, b);
    return fused ? x : graph_op1(graph, "activation", &(struct op_activation_args){ activation }, x);
}

static struct pil_tensor *batch_norm(struct pil_graph *graph, struct pil_tensor *x, int number, bool training)
{
    static const char *const names[] = { "gamma", "beta", "moving_mean", "moving_variance" };
    struct pil_tensor *variables[4], *moments[2];
    struct shape shape = x->type.shape;
    for (int i = 0; i < 4; i++) {
        char name[128];
        snprintf(name, sizeof name, "dnn/hiddenlayer_%d/batchnorm_%d/%s", number, number, names[i]);
        pil_initializer_kind kind = i % 3 == 0 ? PIL_INITIALIZER_ONES : PIL_INITIALIZER_ZEROS;
        variables[i] = graph_variable(graph, name, SHAPE(shape.dims[MAX(shape.rank - 1, 0)]), (pil_initializer){ kind, 0, 0 }, i < 2);
    }
    moments[0] = variables[2];
    moments[1] = variables[3];
    if (training) {
        struct pil_tensor *sums = graph_op1(graph, "moments", NULL, x);
        graph_op(graph, "moments_mean", &(struct op_count_args){ 1 }, &sums, 1, moments);
        graph_moving(graph, variables[2], moments[0], 0.999f);
        graph_moving(graph, variables[3], moments[1], 0.999f);
    }
    struct pil_tensor *inputs[] = { x, moments[0], moments[1], variables[0], variables[1] };
    return graph_op(graph, "batch_norm", &(struct op_norm_args){ 0.001f, training }, inputs, 5, NULL);
}

static struct pil_tensor *dnn_logits(const struct model *model, const struct column_inputs *inputs, enum mode mode, pil_status *status)
{
    struct pil_graph *graph = inputs->graph;
    struct pil_tensor *x = column_input_layer(inputs, model->dnn_columns, model->dnn_count, "dnn/input_from_feature_columns/input_layer", status);
    for (size_t i = 0; i < model->hidden_units.count; i++) {
        char name[64];
        snprintf(name, sizeof name, "hiddenlayer_%zu", i);
        x = layer(graph, x, name, model->hidden_units.items[i], model->activation);
        if (mode == MODE_TRAIN && model->dropout > 0) {
            x = graph_op1(graph, "dropout", &(struct op_dropout_args){ .rate = model->dropout }, x);
            snprintf(name, sizeof name, "dnn/hiddenlayer_%zu/dropout", i);
            graph_name(graph, x, name);
        }
        if (model->batch_norm)
            x = batch_norm(graph, x, (int)i, mode == MODE_TRAIN);
    }
    return layer(graph, x, "logits", head_logits(&model->head), ACTIVATION_LINEAR);
}

static struct pil_tensor *baseline_logits(const struct model *model, const struct column_inputs *inputs)
{
    int64_t units = head_logits(&model->head);
    struct pil_tensor *bias = graph_variable(inputs->graph, "baseline/bias", SHAPE(units), (pil_initializer){ 0 }, true);
    /* Rows come from the numbers, of which the label is one. */
    struct pil_tensor *rows = graph_op1(inputs->graph, "scale", &(struct op_scalar_args){ 0 }, column_target(inputs, 0, 1));
    return graph_op2(inputs->graph, "add", NULL, rows, bias);
}

bool canned_build(const struct model *model, struct program *program, const struct canned_inputs *inputs, enum mode mode,
                  struct canned_graph *out, pil_status *status)
{
    struct pil_graph *graph = graph_new(status);
    if (!graph)
        return false;
    struct column_inputs columns = { program, graph };
    struct pil_tensor *logits = NULL;
    if (model->kind == ESTIMATOR_BASELINE)
        logits = baseline_logits(model, &columns);
    if (has_dnn(model))
        logits = dnn_logits(model, &columns, mode, status);
    if (has_linear(model)) {
        struct pil_tensor *linear = column_linear_model(&columns, model->linear_columns, model->linear_count, head_logits(&model->head),
                                                        model->sparse_combiner, "linear/linear_model", status);
        logits = logits ? graph_op2(graph, "add", NULL, logits, linear) : linear;
    }
    *out = (struct canned_graph){ .graph = graph };
    if (status_ok(status) && logits) {
        bool labelled = mode != MODE_PREDICT;
        int64_t width = model->head.kind == HEAD_REGRESSION ? model->head.label_dimension : 1;
        out->labels = labelled ? column_target(&columns, inputs->label, width) : NULL;
        out->weights = labelled && inputs->weight >= 0 ? column_target(&columns, inputs->weight, 1) : NULL;
        out->head = head_build(&model->head, graph, mode, logits, out->labels, out->weights);
        if (mode == MODE_TRAIN)
            graph_gradients(graph, out->head.loss);
    }
    if (status_ok(status) && !status_ok(graph_status(graph)))
        *status = *graph_status(graph);
    if (status_ok(status))
        return true;
    graph_free(graph);
    *out = (struct canned_graph){ 0 };
    return false;
}

int canned_part(const struct model *model, const char *variable)
{
    if (model->kind == ESTIMATOR_COMBINED)
        return strncmp(variable, "linear/", 7) == 0 ? 0 : 1;
    return model->kind == ESTIMATOR_DNN ? 1 : 0;
}
