/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer: its class, found by name; its copy in a model; what all classes use to add themselves to a graph. A wrapper lies flat in
 * its layer's value and changes what a build does with it.
 */
#include <stdio.h>
#include <string.h>

#include "keras/args.h"
#include "keras/keras_rows.h"
#include "pilaster/op.h"

/* The lists at the foot of every family, as the build knows them. */
#define DECLARE(word) extern const struct layer_rows keras_##word##_rows;
KERAS_FAMILIES(DECLARE)
#define LIST(word) &keras_##word##_rows,
static const struct layer_rows *const families[] = { KERAS_FAMILIES(LIST) };

/* ---- classes ---- */

static const struct layer_row *row_at(size_t i)
{
    for (size_t f = 0; f < COUNT_OF(families); f++) {
        if (i < families[f]->count)
            return &families[f]->rows[i];
        i -= families[f]->count;
    }
    return NULL;
}

const struct layer_row *layer_find(const char *class_name)
{
    const struct layer_row *row;
    for (size_t i = 0; class_name && (row = row_at(i)) != NULL; i++)
        if (strcmp(row->table.name, class_name) == 0)
            return row;
    return NULL;
}

const struct arg_table *layer_arguments(size_t i)
{
    const struct layer_row *row = row_at(i);
    return row ? &row->table : NULL;
}

/* ---- values ---- */

static bool is_wrapped(const struct layer *layer)
{
    return layer->value.wrapper.kind != PIL_WRAPPER_NONE;
}

const char *layer_class(const struct layer *layer)
{
    static const char *const classes[] = { NULL, "Bidirectional", "TimeDistributed" };
    return is_wrapped(layer) ? classes[layer->value.wrapper.kind] : layer->row->table.name;
}

const char *layer_word(const struct layer *layer)
{
    static const char *const words[] = { NULL, "bidirectional", "time_distributed" };
    return is_wrapped(layer) ? words[layer->value.wrapper.kind] : layer->row->word;
}

static const void *field_at(const struct layer *layer, size_t offset)
{
    return (const char *)&layer->value.options + offset;
}

const char *layer_given_name(const struct layer *layer)
{
    return is_wrapped(layer) ? layer->value.wrapper.name : *(const char *const *)field_at(layer, layer->row->name_offset);
}

const int64_t *layer_input_shape(const struct layer *layer)
{
    if (is_wrapped(layer) && layer->value.wrapper.input_shape[0] != 0)
        return layer->value.wrapper.input_shape;
    return layer->row->input_shape_offset ? field_at(layer, layer->row->input_shape_offset) : NULL;
}

bool layer_trainable(const struct layer *layer)
{
    size_t offset = layer->row->trainable_offset;
    return (!is_wrapped(layer) || layer->value.wrapper.trainable) && (!offset || *(const bool *)field_at(layer, offset));
}

static bool copy_text(const char **text, struct arena *arena, pil_status *status)
{
    if (*text)
        *text = arena_text(arena, *text, strlen(*text), status);
    return status_ok(status);
}

/* Texts of the options and the list of columns; whatever else there is holds no pointer but borrowed ones. */
static bool copy_field(const struct arg *arg, void *field, struct arena *arena, pil_status *status)
{
    if (arg->type == &ARG_TEXT || arg->type == &KERAS_ARG_WORD || arg->type == &KERAS_ARG_ACTIVATION)
        return copy_text(field, arena, status);
    if (arg->type == &COLUMN_ARG_INITIALIZER)
        return copy_text(&((pil_layer_initializer *)field)->name, arena, status);
    if (arg->type != &KERAS_ARG_COLUMNS)
        return true;
    pil_keys *keys = field;
    pil_column **items = arena_alloc(arena, MAX(keys->count, 1) * sizeof *items, status);
    if (items && keys->count)
        memcpy(items, keys->items, keys->count * sizeof *items);
    keys->items = items;
    return items != NULL;
}

bool layer_copy(const pil_layer *value, struct arena *arena, pil_layer *out, pil_status *status)
{
    const struct layer_row *row = layer_find(value->class_name);
    *out = *value;
    out->class_name = row->table.name;
    for (size_t i = 0; i < row->table.arg_count && status_ok(status); i++)
        copy_field(&row->table.args[i], (char *)&out->options + row->table.args[i].offset, arena, status);
    return copy_text(&out->wrapper.merge_mode, arena, status) && copy_text(&out->wrapper.name, arena, status);
}

/* ---- adding to a graph ---- */

struct pil_tensor *layer_fail(struct layer_build *b, const char *format, ...)
{
    char text[PIL_MESSAGE_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return graph_fail(b->graph, "the layer %s: %s", b->layer->name, text);
}

bool layer_takes(struct layer_build *b, int low, int high, const char *takes)
{
    char text[128];
    int rank = b->x->type.shape.rank;
    if (!status_ok(graph_status(b->graph)))
        return false;
    if (rank >= low && rank <= high)
        return true;
    layer_fail(b, "%s takes rows %s, it is given %s", b->layer->row->table.name, takes, keras_row_text(b->x, text));
    return false;
}

bool layer_checks_activation(struct layer_build *b, const char *word)
{
    char call[160];
    snprintf(call, sizeof call, "the layer %s", b->layer->name);
    return graph_check_activation(b->graph, call, word);
}

struct pil_tensor *layer_activate(struct layer_build *b, const char *word, struct pil_tensor *x)
{
    char call[160];
    snprintf(call, sizeof call, "the layer %s", b->layer->name);
    return graph_activate(b->graph, call, word, x);
}

/* l1 sum |w| + l2 sum w^2, behind what there is. */
static void add_penalty(struct layer_build *b, struct pil_tensor *weight, pil_regularizer regularizer)
{
    struct pil_graph *graph = b->graph;
    struct pil_tensor *terms[2] = { NULL, NULL };
    if (regularizer.l1 != 0)
        terms[0] = pil_mul(graph, pil_reduce_sum(graph, pil_abs(graph, weight)), pil_scalar(graph, regularizer.l1));
    if (regularizer.l2 != 0)
        terms[1] = pil_mul(graph, pil_reduce_sum(graph, pil_square(graph, weight)), pil_scalar(graph, regularizer.l2));
    for (int i = 0; i < 2; i++)
        if (terms[i])
            *b->penalties = *b->penalties ? graph_op2(graph, "add", NULL, *b->penalties, terms[i]) : terms[i];
}

/* Notes a weight in its layer, once. */
static bool note_weight(struct layer_build *b, const struct sequential_weight *weight)
{
    struct layer *layer = b->layer;
    pil_status *status = &b->model->status;
    for (size_t i = 0; i < layer->weight_count; i++)
        if (strcmp(layer->weights[i].variable, weight->variable) == 0)
            return true;
    struct sequential_weight copy = *weight;
    copy.variable = arena_text(b->model->arena, weight->variable, strlen(weight->variable), status);
    copy.path = arena_format(b->model->arena, status, "%s%s", b->path ? b->path : "", weight->path);
    if (copy.variable && copy.path &&
        mem_grow(&layer->weights, &layer->weight_capacity, layer->weight_count + 1, sizeof *layer->weights, status)) {
        layer->weights[layer->weight_count++] = copy;
        return true;
    }
    graph_fail_with(b->graph, status);
    return false;
}

bool layer_note_variable(struct layer_build *b, const struct graph_variable *variable)
{
    const char *slash = strchr(variable->name, '/');
    return note_weight(b, &(struct sequential_weight){ .variable = variable->name,
                                                       .path = slash ? slash + 1 : variable->name,
                                                       .shape = variable->shape,
                                                       .trainable = variable->trainable });
}

/* A word as what a variable starts with; a range of ones among zeros, where the layer asks for it. */
static bool find_initializer(struct layer_build *b, const struct layer_weight *weight, pil_initializer *out)
{
    const char *nearest = NULL;
    if (!weight->initializer.name || !initializer_of(&weight->initializer, 1, out, &nearest)) {
        layer_fail(b, "there is no initializer '%s'%s%s%s", weight->initializer.name ? weight->initializer.name : "NULL",
                   nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
        return false;
    }
    if (b->ones_to == 0)
        return true;
    if (out->kind != PIL_INITIALIZER_ZEROS) {
        layer_fail(b, "unit_forget_bias goes with a bias_initializer of zeros, not with %s", weight->initializer.name);
        return false;
    }
    *out = (pil_initializer){ PIL_INITIALIZER_RANGE_OF_ONES, (float)b->ones_from, (float)b->ones_to };
    return true;
}

struct pil_tensor *layer_weight(struct layer_build *b, const struct layer_weight *weight)
{
    struct pil_graph *graph = b->graph;
    bool trainable = layer_trainable(b->layer) && !weight->not_trainable;
    pil_shape shape = { .rank = weight->shape.rank };
    pil_initializer initializer;
    memcpy(shape.dims, weight->shape.dims, sizeof shape.dims);
    if (!status_ok(graph_status(graph)) || !find_initializer(b, weight, &initializer))
        return graph_error_tensor(graph);
    struct pil_tensor *variable = graph_new_variable(graph, weight->name, shape, initializer, trainable);
    if (!status_ok(graph_status(graph)))
        return variable;
    struct sequential_weight noted = { .variable = graph_variable_of(variable)->name,
                                       .path = weight->path ? weight->path : weight->name,
                                       .shape = weight->shape,
                                       .trainable = trainable };
    if (trainable)
        noted.constraint = weight->constraint;
    if (!note_weight(b, &noted))
        return graph_error_tensor(graph);
    if (trainable)
        add_penalty(b, variable, weight->regularizer);
    return variable;
}

/* What works on the last axis, or on each number, does so at every step as it stands. */
static struct pil_tensor *time_distributed(struct layer_build *b)
{
    if (!layer_takes(b, 3, PIL_MAX_RANK, "[time, ...]"))
        return graph_error_tensor(b->graph);
    if (!b->layer->row->time_distributed)
        return layer_fail(b, "TimeDistributed cannot take a %s yet: it takes Dense, Activation, Dropout and normalizations",
                          b->layer->row->table.name);
    b->path = "layer/";
    return b->layer->row->build(b);
}

pil_time_distributed_options pil_time_distributed_options_default(void)
{
    return (pil_time_distributed_options){ PIL_TIME_DISTRIBUTED_DEFAULTS };
}

pil_layer pil_time_distributed_make(const pil_time_distributed_options *options)
{
    pil_layer layer = options->layer;
    layer.wrapper = (pil_wrapper){ .kind = PIL_WRAPPER_TIME_DISTRIBUTED, .name = options->name, .trainable = options->trainable };
    memcpy(layer.wrapper.input_shape, options->input_shape, sizeof layer.wrapper.input_shape);
    return layer;
}

struct pil_tensor *layer_add(struct layer_build *b)
{
    b->options = &b->layer->value.options;
    b->path = NULL;
    switch (b->layer->value.wrapper.kind) {
    case PIL_WRAPPER_BIDIRECTIONAL:
        return layer_bidirectional(b);
    case PIL_WRAPPER_TIME_DISTRIBUTED:
        return time_distributed(b);
    case PIL_WRAPPER_NONE:
        break;
    }
    return b->layer->row->build(b);
}
