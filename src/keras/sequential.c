/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model: layers in a row, with their names. Built into a graph for each mode by sequential_outputs; the first build also says
 * what its weights are and which shapes go from layer to layer.
 */
#include <stdio.h>
#include <string.h>

#include "keras/internal.h"

/* ---- life ---- */

/* What pil_sequential_new returns without memory; whoever would write to it looks at its status first. */
static struct pil_sequential no_memory = { .status = { PIL_NO_MEMORY, "out of memory for a model" } };

pil_sequential *pil_sequential_new(void)
{
    pil_status status = { 0 };
    struct pil_sequential *model = mem_new(sizeof *model, &status);
    if (!model)
        return &no_memory;
    model->arena = arena_new(&model->status);
    return model;
}

void pil_sequential_free(pil_sequential *model)
{
    if (!model || model == &no_memory)
        return;
    for (size_t i = 0; i < model->layer_count; i++)
        mem_free(model->layers[i].weights);
    mem_free(model->layers);
    history_free(model->history);
    store_free(model->store);
    threads_free(model->threads);
    arena_free(model->arena);
    mem_free(model);
}

pil_status pil_sequential_status(const pil_sequential *model)
{
    return model ? model->status : (pil_status){ PIL_INVALID_ARGUMENT, "the model is NULL" };
}

const pil_status *sequential_status(const pil_sequential *model)
{
    return &model->status;
}

bool sequential_fails(pil_sequential *model, pil_status *status)
{
    if (!model)
        return !status_fail(status, PIL_INVALID_ARGUMENT, "the model is NULL");
    if (status_ok(&model->status) && model->layer_count == 0)
        return !status_fail(status, PIL_INVALID_ARGUMENT, "the model has no layers: pil_add_layer appends one");
    if (status_ok(&model->status))
        return false;
    if (status_ok(status))
        *status = model->status;
    return true;
}

void pil_sequential_seed(pil_sequential *model, uint64_t seed)
{
    if (status_ok(&model->status) && !model->store)
        model->seed = seed;
    else
        status_fail(&model->status, PIL_INVALID_ARGUMENT, "the seed is given before the model has weights");
}

void pil_sequential_threads(pil_sequential *model, int threads)
{
    if (status_ok(&model->status) && !model->threads && threads >= 0)
        model->thread_count = threads;
    else
        status_fail(&model->status, PIL_INVALID_ARGUMENT,
                    "the number of threads, %d, is from 0, and is given before the model runs", threads);
}

/* ---- adding ---- */

static bool name_is_taken(const pil_sequential *model, const char *name)
{
    for (size_t i = 0; i < model->layer_count; i++)
        if (strcmp(model->layers[i].name, name) == 0)
            return true;
    return false;
}

/* The name given, or the class's word, "_1", "_2", ... behind it: the first that is free. An Input's counts from 1. */
static const char *find_name(pil_sequential *model, const struct layer *layer)
{
    pil_status *status = &model->status;
    const char *given = layer_given_name(layer), *word = layer_word(layer);
    if (given) {
        if (!graph_good_name(given))
            status_fail(status, PIL_INVALID_ARGUMENT, "'%s' is no name of a layer: letters, digits, '_', '.', '-' and '/' are",
                        given);
        else if (name_is_taken(model, given))
            status_fail(status, PIL_INVALID_ARGUMENT, "the model has two layers '%s': names are unique", given);
        return given;
    }
    bool input = strcmp(layer->row->table.name, "Input") == 0;
    const char *name = arena_format(model->arena, status, input ? "%s_1" : "%s", word);
    for (int n = input ? 2 : 1; name && name_is_taken(model, name); n++)
        name = arena_format(model->arena, status, "%s_%d", word, n);
    return name;
}

/* What the first layer says of the model's input: its name, and a row's shape where it is known. */
static void note_input(pil_sequential *model, const struct layer *layer)
{
    const pil_layer *value = &layer->value;
    bool input = strcmp(value->class_name, "Input") == 0;
    if (strcmp(value->class_name, "DenseFeatures") == 0)
        return;
    model->input_name = input ? layer->name : arena_format(model->arena, &model->status, "%s_input", layer->name);
    if (input)
        model->input_shape = value->options.input.shape;
    else if (layer_input_shape(layer))
        memcpy(model->input_shape.dims, layer_input_shape(layer), sizeof model->input_shape.dims);
    if (strcmp(value->class_name, "Embedding") == 0 && model->input_shape.dims[0] == 0)
        model->input_shape.dims[0] = MAX(value->options.embedding.input_length, 0);
}

void pil_add_layer(pil_sequential *model, pil_layer value)
{
    pil_status *status = &model->status;
    if (!status_ok(status))
        return;
    const struct layer_row *row = layer_find(value.class_name);
    size_t count = model->layer_count;
    if (model->built)
        status_fail(status, PIL_INVALID_ARGUMENT, "a layer is added before the model is built");
    else if (!row)
        status_fail(status, PIL_INVALID_ARGUMENT, "layer %zu is of no class: layers come from pil_dense(...) and its like",
                    count + 1);
    else if (row->first_only && count > 0)
        status_fail(status, PIL_INVALID_ARGUMENT, "%s stands first in a model; here it would be layer %zu", value.class_name,
                    count + 1);
    if (!status_ok(status) || !mem_grow(&model->layers, &model->layer_capacity, count + 1, sizeof *model->layers, status))
        return;
    struct layer *layer = &model->layers[count];
    *layer = (struct layer){ .row = row };
    if (!layer_copy(&value, model->arena, &layer->value, status))
        return;
    layer->name = find_name(model, layer);
    if (!status_ok(status))
        return;
    model->layer_count++;
    if (count == 0)
        note_input(model, layer);
}

/* ---- what it is made of ---- */

const char *sequential_input_name(const pil_sequential *model)
{
    return model->input_name;
}

const char *sequential_output_name(const pil_sequential *model)
{
    return model->layer_count ? model->layers[model->layer_count - 1].name : NULL;
}

size_t sequential_layer_count(const pil_sequential *model)
{
    return model->layer_count;
}

const char *sequential_layer_name(const pil_sequential *model, size_t layer)
{
    return model->layers[layer].name;
}

const struct sequential_weight *sequential_layer_weights(const pil_sequential *model, size_t layer, size_t *count)
{
    *count = model->layers[layer].weight_count;
    return model->layers[layer].weights;
}

const struct store *sequential_values(const pil_sequential *model)
{
    return model->store;
}

const struct sequential_weight *sequential_weight_at(const pil_sequential *model, size_t i)
{
    for (size_t k = 0; k < model->layer_count; k++) {
        if (i < model->layers[k].weight_count)
            return &model->layers[k].weights[i];
        i -= model->layers[k].weight_count;
    }
    return NULL;
}

/* A row's shape of a rows tensor. */
static pil_shape row_shape(const struct pil_tensor *tensor)
{
    pil_shape shape = { 0 };
    for (int i = 1; i < tensor->type.shape.rank; i++)
        shape.dims[shape.rank++] = tensor->type.shape.dims[i];
    return shape;
}

pil_shape pil_sequential_output_shape(const pil_sequential *model)
{
    return model->built ? model->layers[model->layer_count - 1].output : (pil_shape){ 0 };
}

/* ---- building ---- */

/* A layer on its own input; what stands in its graph is named behind the layer. */
static struct pil_tensor *build_layer(struct layer_build *b, size_t number)
{
    struct layer *layer = &b->model->layers[number];
    struct pil_graph *graph = b->graph;
    struct pil_tensor *mask = b->mask;
    b->layer = layer;
    if (number == 0 && !layer->row->first_only)
        b->x = layer_input(b);
    if (!status_ok(graph_status(graph)))
        return graph_error_tensor(graph);
    graph_push_scope(graph, layer->name);
    struct pil_tensor *y = layer_add(b);
    graph_pop_scope(graph);
    if (layer->row->mask != MASK_OWN)
        b->mask = layer->row->mask == MASK_PASSES ? mask : NULL;
    if (!status_ok(graph_status(graph)))
        return y;
    pil_shape shape = row_shape(y);
    if (layer->built && memcmp(&layer->output, &shape, sizeof shape) != 0)
        return layer_fail(b, "the rows have another shape than those that the model was built for");
    layer->output = shape;
    layer->built = true;
    return y;
}

/* All layers; *mask: of the last one's steps, or NULL; *penalty: of all weights, or NULL. */
static struct pil_tensor *build_layers(pil_sequential *model, struct pil_graph *graph, const struct sequential_data *data,
                                       bool training, struct pil_tensor **mask, struct pil_tensor **penalty)
{
    struct layer_build b = { .model = model, .graph = graph, .data = data, .training = training, .penalties = penalty };
    for (size_t i = 0; i < model->layer_count && status_ok(graph_status(graph)); i++)
        b.x = build_layer(&b, i);
    *mask = b.mask;
    model->built |= status_ok(graph_status(graph));
    return status_ok(graph_status(graph)) ? b.x : graph_error_tensor(graph);
}

bool sequential_outputs(pil_sequential *model, struct pil_graph *graph, const struct sequential_data *data, pil_mode mode,
                        struct sequential_outputs *out)
{
    pil_status status = { 0 };
    struct pil_tensor *mask = NULL, *penalty = NULL;
    *out = (struct sequential_outputs){ 0 };
    if (sequential_fails(model, &status)) {
        graph_fail_with(graph, &status);
        return false;
    }
    out->predictions = build_layers(model, graph, data, mode == PIL_TRAIN, &mask, &penalty);
    if (mode != PIL_PREDICT && status_ok(graph_status(graph)))
        compile_outputs(model, graph, data, mask, penalty, mode, out);
    return status_ok(graph_status(graph));
}

/* ---- summary ---- */

static void print_shape_column(const struct layer *layer, char out[64])
{
    size_t used = (size_t)snprintf(out, 64, "(None");
    for (int i = 0; i < layer->output.rank && used < 48; i++)
        used += (size_t)snprintf(out + used, 64 - used, ", %lld", (long long)layer->output.dims[i]);
    snprintf(out + used, 64 - used, ")");
}

static int64_t count_parameters(const struct layer *layer, bool trainable)
{
    int64_t sum = 0;
    for (size_t i = 0; i < layer->weight_count; i++)
        if (layer->weights[i].trainable == trainable)
            sum += shape_elements(layer->weights[i].shape);
    return sum;
}

static void print_count(FILE *out, const char *what, int64_t count)
{
    struct text text = { 0 };
    text_count(&text, count);
    fprintf(out, "%s: %s\n", what, text.data ? text.data : "?");
    text_free(&text);
}

pil_status pil_sequential_summary(pil_sequential *model, FILE *out)
{
    static const char line[] = "_________________________________________________________________";
    static const char bar[] = "=================================================================";
    pil_status status = { 0 };
    int64_t counts[2] = { 0 };
    if (sequential_fails(model, &status))
        return status;
    if (!model->built) {
        status_fail(&status, PIL_INVALID_ARGUMENT, "the model is not built: its first layer does not say what rows it takes");
        status_hint(&status, "begin with pil_input(PIL_ROW(...)), call pil_sequential_build, or fit it first");
        return status;
    }
    fprintf(out, "Model: \"sequential\"\n%s\n %-27s %-25s %s\n%s\n", line, "Layer (type)", "Output Shape", "Param #", bar);
    for (size_t i = 0; i < model->layer_count; i++) {
        const struct layer *layer = &model->layers[i];
        char name[96], shape[64];
        int64_t own[2] = { count_parameters(layer, false), count_parameters(layer, true) };
        snprintf(name, sizeof name, "%s (%s)", layer->name, layer_class(layer));
        print_shape_column(layer, shape);
        fprintf(out, " %-27s %-25s %lld\n", name, shape, (long long)(own[0] + own[1]));
        for (int k = 0; k < 2; k++)
            counts[k] += own[k];
    }
    fprintf(out, "%s\n", bar);
    print_count(out, "Total params", counts[0] + counts[1]);
    print_count(out, "Trainable params", counts[1]);
    print_count(out, "Non-trainable params", counts[0]);
    if (fprintf(out, "%s\n", line) < 0)
        status_fail(&status, PIL_IO, "the summary cannot be written");
    return status;
}
