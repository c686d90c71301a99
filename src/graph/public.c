/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public face of graphs: what a model function may get wrong is said here, in its words, with the way out. Unlike this
 * room's own graph_variable, which finds a variable again, a public name is taken once: a model that makes "weight" twice means
 * two variables.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/internal.h"

_Static_assert((int)PIL_MAX_RANK == (int)SHAPE_MAX_RANK && sizeof(pil_shape) == sizeof(struct shape),
               "a public shape is a shape");

struct shape graph_shape(pil_shape shape)
{
    struct shape own = { .rank = shape.rank };
    memcpy(own.dims, shape.dims, sizeof own.dims);
    return own;
}

/* The graph's first error with its way out. */
static pil_tensor *refuse(struct pil_graph *graph, const char *hint, const char *format, ...) PRINTF_LIKE(3, 4);
static pil_tensor *refuse(struct pil_graph *graph, const char *hint, const char *format, ...)
{
    char text[PIL_MESSAGE_SIZE];
    va_list list;
    if (!status_ok(&graph->status))
        return &graph->error_tensor;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    graph_fail(graph, "%s", text);
    if (hint)
        status_hint(&graph->status, "%s", hint);
    return &graph->error_tensor;
}

pil_status pil_graph_status(const pil_graph *graph)
{
    return graph->status;
}

pil_tensor *pil_graph_fail(pil_graph *graph, const char *message)
{
    return graph_fail(graph, "%s", message ? message : "the model function failed without a message");
}

pil_shape pil_tensor_shape(const pil_tensor *tensor)
{
    pil_shape shape = { .rank = tensor->type.shape.rank };
    memcpy(shape.dims, tensor->type.shape.dims, sizeof shape.dims);
    return shape;
}

const char *pil_tensor_name(const pil_tensor *tensor)
{
    return tensor->node->name;
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

/* Names go into checkpoints that TensorFlow reads: its alphabet, parts between slashes, none of them empty. */
bool graph_good_name(const char *name)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-/";
    size_t length = strlen(name);
    return length > 0 && strspn(name, alphabet) == length && name[0] != '/' && name[length - 1] != '/' && !strstr(name, "//");
}

bool graph_check_name(struct pil_graph *graph, const char *what, const char *name)
{
    static const char hint[] = "names are made of letters, digits, '_', '.', '-' and, between parts, '/'";
    if (!name)
        refuse(graph, NULL, "%s%s without a name (it is NULL)", graph->scope, what);
    else if (!name[0])
        refuse(graph, NULL, "%s%s without a name (it is empty)", graph->scope, what);
    else if (!graph_good_name(name))
        refuse(graph, hint, "'%s%s' is no name for %s", graph->scope, name, what);
    else if (!graph->scope[0] && strchr("_-", name[0]))
        refuse(graph, "TensorFlow's names begin with a letter, a digit or '.'", "'%s' is no name for %s", name, what);
    return status_ok(&graph->status);
}

pil_tensor *pil_name(pil_graph *graph, pil_tensor *tensor, const char *name)
{
    if (!graph_check_name(graph, "an op", name))
        return &graph->error_tensor;
    if (!tensor)
        return graph_fail(
            graph, "there is nothing to name '%s': the tensor is NULL (targets are, in PREDICT and where the data have no label)",
            name);
    if (!graph_owns(graph, tensor))
        return graph_fail(graph, "%s belongs to another graph and cannot be named '%s' here", tensor->node->name, name);
    graph_name(graph, tensor, name);
    return status_ok(&graph->status) ? tensor : &graph->error_tensor;
}

void pil_push_scope(pil_graph *graph, const char *name)
{
    if (graph_check_name(graph, "a scope", name))
        graph_push_scope(graph, name);
}

void pil_pop_scope(pil_graph *graph)
{
    if (status_ok(&graph->status) && graph->scope_depth == 0)
        refuse(graph, "each pil_pop_scope closes the scope of one pil_push_scope",
               "no scope is open that pil_pop_scope could close");
    else
        graph_pop_scope(graph);
}

const char *graph_open_scope(struct pil_graph *graph)
{
    size_t length = strlen(graph->scope);
    return length > 0 ? arena_text(graph->arena, graph->scope, length - 1, &graph->status) : NULL;
}

/* ---- first values ---------------------------------------------------------------------------------------------- */

#define PLAIN_INITIALIZER(word, kind)                                                                                            \
    pil_initializer pil_##word##_initializer(void)                                                                               \
    {                                                                                                                            \
        return (pil_initializer){ kind, 0.0f, 0.0f };                                                                            \
    }
PLAIN_INITIALIZER(zeros, PIL_INITIALIZER_ZEROS)
PLAIN_INITIALIZER(ones, PIL_INITIALIZER_ONES)
PLAIN_INITIALIZER(glorot_uniform, PIL_INITIALIZER_GLOROT_UNIFORM)
PLAIN_INITIALIZER(glorot_normal, PIL_INITIALIZER_GLOROT_NORMAL)
PLAIN_INITIALIZER(he_uniform, PIL_INITIALIZER_HE_UNIFORM)
PLAIN_INITIALIZER(he_normal, PIL_INITIALIZER_HE_NORMAL)
PLAIN_INITIALIZER(lecun_uniform, PIL_INITIALIZER_LECUN_UNIFORM)
PLAIN_INITIALIZER(lecun_normal, PIL_INITIALIZER_LECUN_NORMAL)

pil_initializer pil_constant_initializer(float value)
{
    return (pil_initializer){ PIL_INITIALIZER_CONSTANT, value, 0.0f };
}

pil_initializer pil_random_normal_initializer(float mean, float stddev)
{
    return (pil_initializer){ PIL_INITIALIZER_NORMAL, mean, stddev };
}

pil_initializer pil_random_uniform_initializer(float minval, float maxval)
{
    return (pil_initializer){ PIL_INITIALIZER_UNIFORM, minval, maxval };
}

pil_initializer pil_truncated_normal_initializer(float mean, float stddev)
{
    return (pil_initializer){ PIL_INITIALIZER_TRUNCATED_NORMAL, mean, stddev };
}

pil_initializer pil_orthogonal_initializer(float gain)
{
    return (pil_initializer){ PIL_INITIALIZER_ORTHOGONAL, gain, 0.0f };
}

pil_initializer pil_identity_initializer(float gain)
{
    return (pil_initializer){ PIL_INITIALIZER_IDENTITY, gain, 0.0f };
}

/* These belong to a graph in name only: nothing is made until a variable is. */
pil_initial pil_zeros(pil_graph *graph, pil_shape shape)
{
    (void)graph;
    return (pil_initial){ shape, pil_zeros_initializer() };
}

pil_initial pil_ones(pil_graph *graph, pil_shape shape)
{
    (void)graph;
    return (pil_initial){ shape, pil_ones_initializer() };
}

pil_initial pil_fill(pil_graph *graph, pil_shape shape, float value)
{
    (void)graph;
    return (pil_initial){ shape, pil_constant_initializer(value) };
}

pil_random_normal_options pil_random_normal_options_default(void)
{
    return (pil_random_normal_options){ PIL_RANDOM_NORMAL_DEFAULTS };
}

pil_initial pil_random_normal_make(pil_graph *graph, const pil_random_normal_options *options)
{
    (void)graph;
    return (pil_initial){ options->shape, pil_random_normal_initializer(options->mean, options->stddev) };
}

pil_initial pil_truncated_normal_make(pil_graph *graph, const pil_random_normal_options *options)
{
    (void)graph;
    return (pil_initial){ options->shape, pil_truncated_normal_initializer(options->mean, options->stddev) };
}

pil_random_uniform_options pil_random_uniform_options_default(void)
{
    return (pil_random_uniform_options){ PIL_RANDOM_UNIFORM_DEFAULTS };
}

pil_initial pil_random_uniform_make(pil_graph *graph, const pil_random_uniform_options *options)
{
    (void)graph;
    return (pil_initial){ options->shape, pil_random_uniform_initializer(options->minval, options->maxval) };
}

/* ---- variables --------------------------------------------------------------------------------------------------- */

/* A shape that is known before any data comes. */
static bool check_fixed_shape(struct pil_graph *graph, const char *what, const char *name, pil_shape given)
{
    char text[128];
    if (given.rank < 0 || given.rank > PIL_MAX_RANK) {
        refuse(graph, NULL, "%s %s%s has %d axes; 0 to %d are possible", what, graph->scope, name, given.rank, PIL_MAX_RANK);
        return false;
    }
    struct shape shape = graph_shape(given);
    for (int i = 0; i < shape.rank; i++)
        if (shape.dims[i] == BATCH_DIM) {
            refuse(graph, "the batch (-1) is known only when data comes; give its shape without it",
                   "%s %s%s has the batch in its shape %s", what, graph->scope, name, shape_text(shape, text));
            return false;
        } else if (shape.dims[i] < 0) {
            refuse(graph, NULL, "%s %s%s has the axis %" PRId64 ", below 0, in its shape %s", what, graph->scope, name,
                   shape.dims[i], shape_text(shape, text));
            return false;
        }
    if (shape_elements(shape) < 0)
        refuse(graph, NULL, "%s %s%s is too large to count: its shape is %s", what, graph->scope, name, shape_text(shape, text));
    return status_ok(&graph->status);
}

/* What store would find out only when it draws the numbers. */
static bool check_initializer(struct pil_graph *graph, const char *name, struct shape shape, pil_initializer initializer)
{
    char text[128];
    double a = (double)initializer.a, b = (double)initializer.b;
    const char *scope = graph->scope;
    bool is_normal = initializer.kind == PIL_INITIALIZER_NORMAL || initializer.kind == PIL_INITIALIZER_TRUNCATED_NORMAL;
    if ((int)initializer.kind < 0 || initializer.kind > PIL_INITIALIZER_RANGE_OF_ONES)
        refuse(graph, NULL, "the variable %s%s: there is no initializer number %d", scope, name, (int)initializer.kind);
    else if (is_normal && !(b >= 0 && isfinite(b) && isfinite(a)))
        refuse(graph, NULL, "the variable %s%s: no numbers can be drawn with mean %g and stddev %g", scope, name, a, b);
    else if (initializer.kind == PIL_INITIALIZER_UNIFORM && !(a <= b && isfinite(b - a)))
        refuse(graph, NULL, "the variable %s%s: no numbers can be drawn from %g to %g", scope, name, a, b);
    else if (initializer.kind == PIL_INITIALIZER_ORTHOGONAL && shape.rank < 2)
        refuse(graph, NULL, "the variable %s%s: the orthogonal initializer needs two axes at least, its shape is %s", scope, name,
               shape_text(shape, text));
    else if (initializer.kind == PIL_INITIALIZER_IDENTITY && shape.rank != 2)
        refuse(graph, NULL, "the variable %s%s: the identity initializer needs a matrix, its shape is %s", scope, name,
               shape_text(shape, text));
    return status_ok(&graph->status);
}

pil_tensor *graph_new_variable(struct pil_graph *graph, const char *name, pil_shape given, pil_initializer initializer,
                               bool trainable)
{
    char have[128], want[128];
    if (!graph_check_name(graph, "a variable", name) || !check_fixed_shape(graph, "the variable", name, given))
        return &graph->error_tensor;
    struct shape shape = graph_shape(given);
    char *full = arena_format(graph->arena, &graph->status, "%s%s", graph->scope, name);
    if (!full || !check_initializer(graph, name, shape, initializer))
        return &graph->error_tensor;
    int64_t number = map_find(graph->variable_names, slice_text(full));
    if (number >= 0)
        return refuse(graph, "give it another name, or open a scope with pil_push_scope around each of the two",
                      "the variable %s exists already: it is %s there, %s here", full,
                      shape_text(graph->variables[number]->variable.shape, have), shape_text(shape, want));
    return graph_variable(graph, full, shape, initializer, trainable);
}

pil_variable_options pil_variable_options_default(void)
{
    return (pil_variable_options){ PIL_VARIABLE_DEFAULTS };
}

pil_tensor *pil_variable_make(pil_graph *graph, const char *name, const pil_variable_options *options)
{
    return graph_new_variable(graph, name, options->initial_value.shape, options->initial_value.initializer, options->trainable);
}

pil_get_variable_options pil_get_variable_options_default(void)
{
    return (pil_get_variable_options){ PIL_GET_VARIABLE_DEFAULTS };
}

pil_tensor *pil_get_variable_make(pil_graph *graph, const char *name, const pil_get_variable_options *options)
{
    return graph_new_variable(graph, name, options->shape, options->initializer, options->trainable);
}

pil_tensor *pil_constant(pil_graph *graph, const float *values, pil_shape shape)
{
    if (!status_ok(&graph->status) || !check_fixed_shape(graph, "a", "constant", shape))
        return &graph->error_tensor;
    if (!values && shape_elements(graph_shape(shape)) > 0)
        return graph_fail(graph, "%sconstant: its values are NULL", graph->scope);
    return graph_constant(graph, graph_shape(shape), values);
}

pil_tensor *pil_scalar(pil_graph *graph, float value)
{
    return graph_scalar(graph, value);
}

/* ---- named tensors ----------------------------------------------------------------------------------------------- */

static const char *const *copy_words(struct pil_graph *graph, const pil_named_tensor *item)
{
    const char **words = arena_alloc(graph->arena, MAX(item->word_count, 1) * sizeof *words, &graph->status);
    for (size_t i = 0; words && i < item->word_count; i++) {
        if (!item->words[i])
            graph_fail(graph, "word %zu of '%s' is NULL", i, item->name);
        else
            words[i] = arena_text(graph->arena, item->words[i], strlen(item->words[i]), &graph->status);
    }
    return words;
}

static bool check_item(struct pil_graph *graph, const pil_named_tensor *items, size_t i)
{
    if (!items[i].name || !items[i].name[0])
        graph_fail(graph, "item %zu of a dict has no name", i + 1);
    else if (!items[i].tensor)
        graph_fail(graph, "'%s' of a dict is NULL (targets are, in PREDICT and where the data have no label)", items[i].name);
    else if (status_ok(&graph->status) && !graph_owns(graph, items[i].tensor))
        graph_fail(graph, "'%s' of a dict, %s, belongs to another graph", items[i].name, items[i].tensor->node->name);
    for (size_t other = 0; status_ok(&graph->status) && other < i; other++)
        if (strcmp(items[other].name, items[i].name) == 0)
            graph_fail(graph, "'%s' stands in a dict twice: as %s and as %s", items[i].name, items[other].tensor->node->name,
                       items[i].tensor->node->name);
    return status_ok(&graph->status);
}

pil_dict pil_dict_make(pil_graph *graph, const pil_named_tensor *items, size_t count)
{
    pil_status *status = &graph->status;
    if (!status_ok(status) || count > SIZE_MAX / sizeof *items || (count > 0 && !items))
        return (pil_dict){ 0 };
    pil_named_tensor *copy = arena_alloc(graph->arena, MAX(count, 1) * sizeof *copy, status);
    for (size_t i = 0; copy && i < count && check_item(graph, items, i); i++) {
        copy[i] = items[i];
        copy[i].name = arena_text(graph->arena, items[i].name, strlen(items[i].name), status);
        copy[i].words = items[i].words ? copy_words(graph, &items[i]) : NULL;
    }
    return status_ok(status) ? (pil_dict){ copy, count } : (pil_dict){ 0 };
}
