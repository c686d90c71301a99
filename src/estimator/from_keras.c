/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Keras-style model as an Estimator: its model function is the model itself, built for each mode. It takes the feature of its
 * input's name, is trained by the legacy class of its optimizer, as TensorFlow trains it, and starts from the weights that the model
 * has when the estimator is made.
 */
#include <string.h>

#include "estimator/internal.h"

/* The metrics of compile, by the names they are shown by. */
static pil_metrics metrics_of(struct pil_graph *graph, const struct sequential_outputs *outputs)
{
    pil_named_metric items[SEQUENTIAL_METRICS];
    for (size_t i = 0; i < outputs->metric_count; i++)
        items[i] = (pil_named_metric){ outputs->metrics[i].name, outputs->metrics[i].metric };
    return pil_metrics_make(graph, items, outputs->metric_count);
}

pil_estimator_spec from_keras_model_fn(pil_graph *graph, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                       void *model)
{
    struct sequential_data data = { .inputs = &features->inputs, .dataset = features->dataset, .labels = targets };
    struct sequential_outputs outputs;
    pil_estimator_spec spec = { .mode = mode };
    if (!sequential_outputs(model, graph, &data, mode, &outputs))
        return spec;
    spec.predictions = PIL_DICT(graph, { sequential_output_name(model), outputs.predictions });
    if (mode == PIL_PREDICT)
        return spec;
    spec.loss = outputs.loss;
    spec.eval_metric_ops = metrics_of(graph, &outputs);
    if (mode == PIL_TRAIN)
        spec.train_op = sequential_minimize(model, graph, outputs.loss, true);
    return spec;
}

pil_model_to_estimator_options pil_model_to_estimator_options_default(void)
{
    return (pil_model_to_estimator_options){ PIL_MODEL_TO_ESTIMATOR_DEFAULTS };
}

/* The weights as they are now, in a store of the estimator's own; a model without weights has none to give. */
static bool keep_weights(struct pil_estimator *estimator, const struct store *values, pil_status *status)
{
    struct store *kept = values ? store_new(status) : NULL;
    estimator->first_values = kept;
    for (size_t i = 0; kept && i < store_count(values); i++) {
        const struct variable *variable = store_at(values, i);
        if (variable->layout != STORE_PLAIN &&
            !store_declare(kept, variable->name, variable->dtype, variable->shape, STORE_DENSE, status))
            return false;
    }
    if (kept && store_allocate(kept, status))
        store_copy_values(values, kept);
    return status_ok(status);
}

pil_estimator *pil_model_to_estimator_make(pil_sequential *model, const pil_model_to_estimator_options *options)
{
    pil_status status = { 0 };
    struct pil_estimator *estimator = pil_estimator_new(&(pil_estimator_config){
        .model_fn = from_keras_model_fn, .model_dir = options->model_dir, .config = options->config, .params = options->params });
    if (!status_ok(&estimator->status))
        return estimator;
    estimator->model_params = model;
    if (!model)
        status_fail(&status, PIL_INVALID_ARGUMENT, "pil_model_to_estimator: the model is NULL");
    else if (!status_ok(sequential_status(model)))
        status = *sequential_status(model);
    else if (!sequential_is_compiled(model))
        status_fail(&status, PIL_INVALID_ARGUMENT,
                    "pil_model_to_estimator: the model is not compiled: pil_compile says what it is to learn by");
    else
        keep_weights(estimator, sequential_values(model), &status);
    estimator->status = status;
    return estimator;
}
