/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a model function sees of its data: each feature or column that it asks for becomes a request of the mode's own column
 * program, and a tensor of its graph. The program is finished when the function has returned, so a graph reads what it asked for and
 * nothing else.
 */
#include <string.h>

#include "estimator/internal.h"

/* The requests of the rooms below fill a status; the graph's error is what a builder reports. */
static struct pil_tensor *fail_with(const struct pil_features *features, const pil_status *status)
{
    graph_fail_with(features->inputs.graph, status);
    return graph_error_tensor(features->inputs.graph);
}

bool features_begin(struct pil_features *features, struct pil_graph *graph, struct program *program,
                    const struct pil_dataset *dataset, bool labelled, pil_status *status)
{
    *features = (struct pil_features){ .inputs = { program, graph }, .dataset = dataset, .label = -1 };
    if (!program_dataset(program, dataset, status))
        return false;
    if (!labelled || !dataset->label)
        return true;
    struct program_target target = { .field = dataset->label, .width = dataset_label_width(dataset) };
    features->label = program_target(program, &target, status);
    if (features->label < 0)
        return false;
    features->targets = column_target(&features->inputs, features->label, target.width);
    graph_suggest_name(graph, features->targets, dataset->label);
    return true;
}

pil_graph *pil_features_graph(const pil_features *features)
{
    return features->inputs.graph;
}

static bool is_label(const struct pil_features *features, const char *name)
{
    return features->dataset->label && strcmp(features->dataset->label, name) == 0;
}

/* "the data have no feature 'c': they have a, b and 12 more; did you mean 'a'?" */
static struct pil_tensor *no_feature(const struct pil_features *features, const char *name)
{
    enum { MOST_NAMES = 8 };
    const struct pil_dataset *dataset = features->dataset;
    const char *names[256];
    struct text list = { 0 };
    size_t count = 0;
    for (size_t i = 0; i < dataset->field_count && count < COUNT_OF(names); i++) {
        if (is_label(features, dataset->fields[i].name))
            continue;
        names[count++] = dataset->fields[i].name;
        if (count <= MOST_NAMES)
            text_format(&list, "%s%s", count > 1 ? ", " : "", names[count - 1]);
    }
    if (count > MOST_NAMES)
        text_format(&list, " and %zu more", count - MOST_NAMES);
    const char *near = nearest_word(name, names, count);
    struct pil_tensor *error =
        graph_fail(features->inputs.graph, "the data have no feature '%s': they have %s%s%s%s", name,
                   list.data ? list.data : "none", near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    text_free(&list);
    return error;
}

/* Of files other fields than those spoken of may exist: their reader tells, with the file's name. */
static bool is_offered(const struct pil_features *features, const char *name)
{
    return features->dataset->kind == DATASET_FILES || dataset_find(features->dataset, name);
}

pil_tensor *pil_feature(const pil_features *features, const char *name)
{
    pil_status status = { 0 };
    struct pil_graph *graph = features->inputs.graph;
    if (!name)
        return graph_fail(graph, "pil_feature needs a name");
    if (!is_offered(features, name))
        return no_feature(features, name);
    if (is_label(features, name))
        return graph_fail(graph, "'%s' is the label of the data, which the model function is given as targets", name);
    const struct dataset_field *field = dataset_find(features->dataset, name);
    const char *remedy = "put a categorical column over it (pil_categorical_ids, pil_input_layer)";
    if (field && field->typed && field->type == FIELD_STRING)
        return graph_fail(graph, "the feature '%s' holds words, a graph takes numbers: %s", name, remedy);
    if (field && field->sized && field->ragged)
        return graph_fail(graph, "the feature '%s' has any number of values a row: %s", name, remedy);
    int64_t width = field && field->sized ? field->width : 1;
    struct pil_tensor *values = column_dense(&features->inputs, name, width, &status);
    if (!status_ok(&status))
        return fail_with(features, &status);
    graph_suggest_name(graph, values, name);
    if (!field || field->shape.rank < 2)
        return values;
    struct op_reshape_args reshape = { { .rank = field->shape.rank + 1, .dims = { BATCH_DIM } } };
    memcpy(&reshape.shape.dims[1], field->shape.dims, (size_t)field->shape.rank * sizeof field->shape.dims[0]);
    return graph_op1(graph, "reshape", &reshape, values);
}

/* What a model function may not change, the room's own functions may. */
static struct pil_features *own(const struct pil_features *features)
{
    return (struct pil_features *)features;
}

/* The set of a column lives as long as the program: a model function may free it. */
static bool hold(struct pil_features *features, const struct pil_column *column)
{
    pil_status status = { 0 };
    struct pil_columns *set = column_hold(column);
    bool held = false;
    for (size_t i = 0; i < features->held_count; i++)
        held |= features->held[i] == set;
    if (!held && mem_grow(&features->held, &features->held_capacity, features->held_count + 1, sizeof *features->held, &status)) {
        features->held[features->held_count++] = set;
        return true;
    }
    pil_columns_free(set);
    if (!status_ok(&status))
        fail_with(features, &status);
    return held;
}

void features_free(struct pil_features *features)
{
    for (size_t i = 0; i < features->held_count; i++)
        pil_columns_free(features->held[i]);
    mem_free(features->held);
    mem_free(features->layers);
    features->layers = NULL;
    features->layer_count = 0;
    features->held = NULL;
    features->held_count = 0;
}

/* The set that a column belongs to may hold an error of its own: the column is the set's error column then. */
static bool columns_are_good(const struct pil_features *features, const char *who, pil_keys columns)
{
    struct pil_graph *graph = features->inputs.graph;
    if (columns.count == 0) {
        graph_fail(graph, "%s needs at least one column", who);
        return false;
    }
    for (size_t i = 0; i < columns.count; i++) {
        if (!columns.items[i]) {
            graph_fail(graph, "%s: column %zu is NULL", who, i + 1);
            return false;
        }
        const pil_status *status = column_status(columns.items[i]);
        if (!status_ok(status)) {
            graph_fail_with(graph, status);
            return false;
        }
        if (!hold(own(features), columns.items[i]))
            return false;
    }
    return true;
}

pil_tensor *pil_categorical_ids(const pil_features *features, const pil_column *column)
{
    pil_status status = { 0 };
    struct pil_column *one[] = { (struct pil_column *)column };
    if (!columns_are_good(features, "pil_categorical_ids", (pil_keys){ one, 1 }))
        return graph_error_tensor(features->inputs.graph);
    if (!column_is_categorical(column))
        return graph_fail(features->inputs.graph, "the column '%s' (%s) has no ids: it is not categorical", column_name(column),
                          column_kind(column));
    struct pil_tensor *ids = column_ids(&features->inputs, column, &status);
    return status_ok(&status) ? ids : fail_with(features, &status);
}

/* Whether a layer of columns has that scope; a new name is noted. */
static bool is_taken(struct pil_features *features, const char *scope, pil_status *status)
{
    for (size_t i = 0; i < features->layer_count; i++)
        if (strcmp(features->layers[i], scope) == 0)
            return true;
    if (mem_grow(&features->layers, &features->layer_capacity, features->layer_count + 1, sizeof *features->layers, status))
        features->layers[features->layer_count++] = scope;
    return false;
}

/* "scopes/name", in the graph's arena, and "scopes/name_1" of the second layer of that name, as the original's scopes; NULL when it
 * fails. */
static const char *scoped(const struct pil_features *features, const char *name)
{
    pil_status status = { 0 };
    struct arena *arena = graph_arena(features->inputs.graph);
    const char *scope = graph_scope(features->inputs.graph);
    const char *full = arena_format(arena, &status, "%s%s", scope, name ? name : "");
    for (int number = 1; full && is_taken(own(features), full, &status); number++)
        full = arena_format(arena, &status, "%s%s_%d", scope, name ? name : "", number);
    if (!status_ok(&status))
        fail_with(features, &status);
    return status_ok(&status) ? full : NULL;
}

pil_input_layer_options pil_input_layer_options_default(void)
{
    return (pil_input_layer_options){ PIL_INPUT_LAYER_DEFAULTS };
}

pil_tensor *pil_input_layer_make(const pil_features *features, const pil_input_layer_options *options)
{
    pil_status status = { 0 };
    if (!columns_are_good(features, "input_layer", options->feature_columns))
        return graph_error_tensor(features->inputs.graph);
    const char *scope = scoped(features, options->name);
    if (!scope)
        return graph_error_tensor(features->inputs.graph);
    struct pil_tensor *layer =
        column_input_layer(&features->inputs, options->feature_columns.items, options->feature_columns.count, scope, &status);
    return status_ok(&status) ? layer : fail_with(features, &status);
}

static bool find_combiner(const char *word, enum combiner *combiner)
{
    for (size_t i = 0; word && op_combiner_words[i]; i++)
        if (strcmp(op_combiner_words[i], word) == 0) {
            *combiner = (enum combiner)i;
            return true;
        }
    return false;
}

pil_linear_model_options pil_linear_model_options_default(void)
{
    return (pil_linear_model_options){ PIL_LINEAR_MODEL_DEFAULTS };
}

pil_tensor *pil_linear_model_make(const pil_features *features, const pil_linear_model_options *options)
{
    pil_status status = { 0 };
    struct pil_graph *graph = features->inputs.graph;
    enum combiner combiner;
    if (!find_combiner(options->sparse_combiner, &combiner))
        return graph_fail(graph, "linear_model: there is no sparse_combiner '%s': sum, mean and sqrtn are known",
                          options->sparse_combiner ? options->sparse_combiner : "NULL");
    if (options->units < 1)
        return graph_fail(graph, "linear_model: units is %lld, 1 or more is needed", (long long)options->units);
    if (!columns_are_good(features, "linear_model", options->feature_columns))
        return graph_error_tensor(graph);
    const char *scope = scoped(features, options->name);
    if (!scope)
        return graph_error_tensor(graph);
    struct pil_tensor *sums = column_linear_model(&features->inputs, options->feature_columns.items,
                                                  options->feature_columns.count, options->units, combiner, scope, &status);
    return status_ok(&status) ? sums : fail_with(features, &status);
}

pil_tensor *features_weights(const struct pil_features *features, const char *field)
{
    pil_status status = { 0 };
    if (!is_offered(features, field))
        return no_feature(features, field);
    struct program_target target = { .field = field, .width = 1 };
    int first = program_target(features->inputs.program, &target, &status);
    return first < 0 ? fail_with(features, &status) : column_target(&features->inputs, first, 1);
}

static bool label_is_words(const struct pil_dataset *dataset)
{
    const struct dataset_field *label = dataset->label ? dataset_find(dataset, dataset->label) : NULL;
    return label && label->typed && label->type == FIELD_STRING;
}

bool features_label_words(const struct pil_features *features, pil_words words, int64_t classes)
{
    pil_status status = { 0 };
    if (features->label < 0)
        return true;
    if (label_is_words(features->dataset) && words.count == 0) {
        graph_fail(features->inputs.graph,
                   "the label '%s' holds words: the head needs a label_vocabulary that turns them into classes",
                   features->dataset->label);
        return false;
    }
    if (!program_target_words(features->inputs.program, features->label, words.items, words.count, classes, &status)) {
        fail_with(features, &status);
        return false;
    }
    own(features)->label_settled = true;
    return true;
}

bool features_end(struct pil_features *features, pil_status *status)
{
    struct program *program = features->inputs.program;
    size_t count;
    if (features->label >= 0 && !features->label_settled && label_is_words(features->dataset))
        return status_fail(status, PIL_INVALID_ARGUMENT,
                           "the label '%s' holds words, targets are numbers: a head's label_vocabulary turns "
                           "words into classes",
                           features->dataset->label);
    if (!program_finish(program, status))
        return false;
    column_settle(&features->inputs);
    const struct field_spec *fields = program_fields(program, &count);
    for (size_t i = 0; i < count; i++)
        if (fields[i].required && !is_offered(features, fields[i].name)) {
            no_feature(features, fields[i].name);
            *status = *graph_status(features->inputs.graph);
            return false;
        }
    return true;
}
