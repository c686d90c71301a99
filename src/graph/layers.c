/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers: ops with variables of their own. A layer is a scope: its variables and ops stand behind its name, which is found when
 * none was given.
 */
#include <stdio.h>

#include "graph/internal.h"
#include "pilaster/layers.h"

enum { MOST_LAYERS = 1 << 20 };

/* ---- what all layers have ---- */

/* Whether the scope has a layer of this name, going by its variables. */
static bool is_taken(const struct pil_graph *graph, const char *name, const char *const *variables)
{
    char full[1024];
    for (int i = 0; variables[i]; i++) {
        snprintf(full, sizeof full, "%s%s/%s", graph->scope, name, variables[i]);
        if (map_find(graph->variable_names, slice_text(full)) >= 0)
            return true;
    }
    return false;
}

/* Opens the layer's scope: the name given, or its kind's first that is free. */
static bool open_layer(struct pil_graph *graph, const char *kind, const char *given, const char *const *variables,
                       const struct pil_tensor *x)
{
    char name[128];
    if (!status_ok(&graph->status))
        return false;
    if (!x || !graph_owns(graph, x)) {
        graph_fail(graph, "%s: its input %s", given ? given : kind,
                   x ? "belongs to another graph" : "is NULL (targets are, in PREDICT and where the data have no label)");
        return false;
    }
    snprintf(name, sizeof name, "%s", kind);
    for (int n = 1; !given && is_taken(graph, name, variables) && n < MOST_LAYERS; n++)
        snprintf(name, sizeof name, "%s_%d", kind, n);
    if (given && !graph_check_name(graph, "a layer", given))
        return false;
    graph_push_scope(graph, given ? given : name);
    return status_ok(&graph->status);
}

static pil_tensor *close_layer(struct pil_graph *graph, pil_tensor *result)
{
    graph_pop_scope(graph);
    return result;
}

/* x's axes from `axis` on, which a layer's variables have; false and an error where one of them is the batch, or there is none.
 */
static bool find_shape(struct pil_graph *graph, const struct pil_tensor *x, int axis, pil_shape *out)
{
    char text[128];
    const struct shape *shape = &x->type.shape;
    int first = axis < 0 ? axis + shape->rank : axis;
    *out = (pil_shape){ 0 };
    bool fits = !x->type.sparse && first >= 0 && first < shape->rank;
    for (int i = first; fits && i < shape->rank; i++) {
        out->dims[out->rank++] = shape->dims[i];
        fits = shape->dims[i] >= 0;
    }
    if (!fits)
        graph_fail(graph, "%s%s %s has no axes from %d on besides the batch", graph->scope, x->node->name,
                   x->type.sparse ? "sparse" : shape_text(*shape, text), axis);
    return fits;
}

/* A variable of one number over and over, or, where it is left out, that constant. */
static pil_tensor *parameter(struct pil_graph *graph, bool exists, const char *name, pil_shape shape, float value, bool trainable)
{
    pil_initializer initializer = { value != 0 ? PIL_INITIALIZER_ONES : PIL_INITIALIZER_ZEROS, 0, 0 };
    if (exists)
        return graph_new_variable(graph, name, shape, initializer, trainable);
    return graph_op1(graph, "broadcast_to", &(struct op_reshape_args){ graph_shape(shape) }, graph_scalar(graph, value));
}

/* ---- dense ---- */

pil_layers_dense_options pil_layers_dense_options_default(void)
{
    return (pil_layers_dense_options){ PIL_LAYERS_DENSE_DEFAULTS };
}

struct pil_tensor *graph_dense(struct pil_graph *graph, struct pil_tensor *x, struct pil_tensor *kernel, struct pil_tensor *bias,
                               enum activation activation)
{
    /* What needs its input for the gradient cannot be fused into the product. */
    bool fused = !op_activation_takes_input(activation);
    struct op_matmul_args args = { .bias = bias != NULL, .activation = fused ? activation : ACTIVATION_LINEAR };
    struct pil_tensor *y = graph_op(graph, "matmul", &args, (struct pil_tensor *[]){ x, kernel, bias }, bias ? 3 : 2, NULL);
    return fused ? y : graph_op1(graph, "activation", &(struct op_activation_args){ activation }, y);
}

static pil_tensor *dense(struct pil_graph *graph, pil_tensor *x, const pil_layers_dense_options *options)
{
    pil_shape columns;
    if (options->units < 1)
        return graph_fail(graph, "%sunits is %lld: at least 1 is needed", graph->scope, (long long)options->units);
    if ((int)options->activation < 0 || (int)options->activation >= ACTIVATION_COUNT)
        return graph_fail(graph, "%sthere is no activation number %d", graph->scope, (int)options->activation);
    if (!find_shape(graph, x, -1, &columns))
        return &graph->error_tensor;
    pil_tensor *bias = NULL, *kernel = graph_new_variable(graph, "kernel", (pil_shape){ 2, { columns.dims[0], options->units } },
                                                          options->kernel_initializer, options->trainable);
    if (options->use_bias)
        bias = graph_new_variable(graph, "bias", (pil_shape){ 1, { options->units } }, options->bias_initializer,
                                  options->trainable);
    return graph_dense(graph, x, kernel, bias, (enum activation)options->activation);
}

pil_tensor *pil_layers_dense_make(pil_graph *graph, pil_tensor *x, const pil_layers_dense_options *options)
{
    static const char *const variables[] = { "kernel", NULL };
    if (!open_layer(graph, "dense", options->name, variables, x))
        return &graph->error_tensor;
    return close_layer(graph, dense(graph, x, options));
}

/* ---- batch normalization ---- */

pil_layers_batch_normalization_options pil_layers_batch_normalization_options_default(void)
{
    return (pil_layers_batch_normalization_options){ PIL_LAYERS_BATCH_NORMALIZATION_DEFAULTS };
}

/* How often each channel stands in a row. */
static int64_t positions_of(const struct shape *shape)
{
    int64_t positions = 1;
    for (int i = 1; i < shape->rank - 1; i++)
        positions *= shape->dims[i];
    return positions;
}

struct pil_tensor *graph_batch_norm(struct pil_graph *graph, struct pil_tensor *x, const struct graph_batch_norm *norm)
{
    struct pil_tensor *moments[2] = { norm->moving_mean, norm->moving_variance };
    if (norm->training && status_ok(&graph->status)) {
        struct pil_tensor *sums = graph_op1(graph, "moments", NULL, x);
        graph_op(graph, "moments_mean", &(struct op_count_args){ positions_of(&x->type.shape) }, &sums, 1, moments);
        graph_moving(graph, norm->moving_mean, moments[0], norm->momentum);
        graph_moving(graph, norm->moving_variance, moments[1], norm->momentum);
    }
    struct pil_tensor *inputs[] = { x, moments[0], moments[1], norm->gamma, norm->beta };
    return graph_op(graph, "batch_norm", &(struct op_norm_args){ norm->epsilon, norm->training }, inputs, 5, NULL);
}

static pil_tensor *batch_normalization(struct pil_graph *graph, const pil_layers_batch_normalization_options *options)
{
    pil_tensor *x = options->x;
    pil_shape channels;
    if (!(options->epsilon >= 0) || !(options->momentum >= 0 && options->momentum <= 1))
        return graph_fail(graph, "%sepsilon %g must be 0 at least, momentum %g within 0 and 1", graph->scope,
                          (double)options->epsilon, (double)options->momentum);
    if (!find_shape(graph, x, -1, &channels))
        return &graph->error_tensor;
    pil_tensor *gamma = parameter(graph, options->scale, "gamma", channels, 1, options->trainable);
    pil_tensor *beta = parameter(graph, options->center, "beta", channels, 0, options->trainable);
    pil_tensor *averages[2] = { parameter(graph, true, "moving_mean", channels, 0, false),
                                parameter(graph, true, "moving_variance", channels, 1, false) };
    return graph_batch_norm(graph, x,
                            &(struct graph_batch_norm){ .gamma = gamma,
                                                        .beta = beta,
                                                        .moving_mean = averages[0],
                                                        .moving_variance = averages[1],
                                                        .momentum = options->momentum,
                                                        .epsilon = options->epsilon,
                                                        .training = options->training });
}

pil_tensor *pil_layers_batch_normalization_make(pil_graph *graph, const pil_layers_batch_normalization_options *options)
{
    static const char *const variables[] = { "moving_mean", NULL };
    if (!open_layer(graph, "batch_normalization", options->name, variables, options->x))
        return &graph->error_tensor;
    return close_layer(graph, batch_normalization(graph, options));
}

/* ---- layer normalization ---- */

pil_layers_layer_normalization_options pil_layers_layer_normalization_options_default(void)
{
    return (pil_layers_layer_normalization_options){ PIL_LAYERS_LAYER_NORMALIZATION_DEFAULTS };
}

static pil_tensor *layer_normalization(struct pil_graph *graph, const pil_layers_layer_normalization_options *options)
{
    pil_shape shape;
    if (!(options->epsilon >= 0))
        return graph_fail(graph, "%sepsilon %g must be 0 at least", graph->scope, (double)options->epsilon);
    if (!find_shape(graph, options->x, options->axis, &shape))
        return &graph->error_tensor;
    pil_tensor *gamma = parameter(graph, options->scale, "gamma", shape, 1, options->trainable);
    pil_tensor *beta = parameter(graph, options->center, "beta", shape, 0, options->trainable);
    return graph_op3(graph, "layer_norm", &(struct op_layer_norm_args){ options->axis, options->epsilon }, options->x, gamma,
                     beta);
}

pil_tensor *pil_layers_layer_normalization_make(pil_graph *graph, const pil_layers_layer_normalization_options *options)
{
    static const char *const variables[] = { "gamma", "beta", NULL };
    if (!open_layer(graph, "layer_normalization", options->name, variables, options->x))
        return &graph->error_tensor;
    return close_layer(graph, layer_normalization(graph, options));
}
