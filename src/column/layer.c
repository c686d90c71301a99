/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feature columns in a graph: the input layer (dense columns side by side) and the linear model (weighted sums). A graph's inputs
 * are the batch's block of numbers and one sparse input a feature of the program; variables have TensorFlow's names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "column/internal.h"

/* As wide as what has been asked of the program so far; only columns of it are ever read. */
static struct pil_tensor *numbers_input(const struct column_inputs *inputs)
{
    return graph_grow_input(inputs->graph, "numbers", program_number_count(inputs->program));
}

void column_settle(const struct column_inputs *inputs)
{
    numbers_input(inputs);
}

static void feature_name(int feature, char out[32])
{
    snprintf(out, 32, "feature_%d", feature);
}

/* What the program refuses is the graph's error at once: ops behind it must not find another. */
static struct pil_tensor *refused(const struct column_inputs *inputs, const pil_status *status)
{
    graph_fail_with(inputs->graph, status);
    return graph_error_tensor(inputs->graph);
}

struct pil_tensor *column_ids(const struct column_inputs *inputs, const struct pil_column *categorical, pil_status *status)
{
    int feature = program_feature(inputs->program, categorical, status);
    char name[32];
    feature_name(MAX(feature, 0), name);
    return feature < 0 ? refused(inputs, status) : graph_input(inputs->graph, name, DTYPE_INT32, SHAPE(BATCH_DIM), true);
}

struct pil_tensor *column_target(const struct column_inputs *inputs, int first, int64_t width)
{
    return graph_op1(inputs->graph, "slice", &(struct op_slice_args){ 1, first, width }, numbers_input(inputs));
}

struct pil_tensor *column_dense(const struct column_inputs *inputs, const char *field, int64_t width, pil_status *status)
{
    int first = program_dense(inputs->program, field, width, status);
    return first < 0 ? refused(inputs, status) : column_target(inputs, first, width);
}

const struct pil_column *column_lookup_source(const struct pil_column *column)
{
    const struct column_embedding *embedding = column_embedding(column);
    return embedding ? embedding->categorical : column_indicator(column);
}

static struct pil_tensor *variable_of(const struct column_inputs *inputs, const char *scope, const char *name, struct shape shape,
                                      pil_initializer initializer, bool trainable)
{
    char full[1024];
    if (snprintf(full, sizeof full, "%s%s%s", scope, scope[0] ? "/" : "", name) >= (int)sizeof full)
        return graph_fail(inputs->graph, "the variable name %s/%s is too long", scope, name);
    return graph_variable(inputs->graph, full, shape, initializer, trainable);
}

static struct pil_tensor *embedding_output(const struct column_inputs *inputs, const struct column_embedding *embedding,
                                           const char *scope, pil_status *status)
{
    struct pil_tensor *ids = column_ids(inputs, embedding->categorical, status);
    struct shape shape = SHAPE(column_buckets(embedding->categorical), embedding->dimension);
    struct pil_tensor *table = variable_of(inputs, embedding->shared ? "" : scope, embedding->variable, shape,
                                           embedding->initializer, embedding->trainable);
    struct graph_variable *variable = graph_variable_of(table);
    if (variable) {
        variable->checkpoint = embedding->checkpoint;
        variable->checkpoint_tensor = embedding->checkpoint_tensor;
    }
    return graph_op2(inputs->graph, "lookup", &(struct op_lookup_args){ embedding->combiner, embedding->max_norm, 1 }, ids,
                     table);
}

/* A dense column's output [batch, width]. */
static struct pil_tensor *dense_output(const struct column_inputs *inputs, const struct pil_column *column, const char *scope,
                                       pil_status *status)
{
    const struct column_embedding *embedding = column_embedding(column);
    if (embedding)
        return embedding_output(inputs, embedding, scope, status);
    if (column_is_numeric(column)) {
        int first = program_numbers(inputs->program, column, status);
        return first < 0 ? refused(inputs, status) : column_target(inputs, first, column_width(column));
    }
    const struct pil_column *categorical = column_indicator(column) ? column_indicator(column) : column; /* bucketized: one hot */
    return graph_op1(inputs->graph, "indicator", &(struct op_indicator_args){ column_buckets(categorical) },
                     column_ids(inputs, categorical, status));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(column_name(*(struct pil_column *const *)a), column_name(*(struct pil_column *const *)b));
}

/* A copy sorted by name, shared embeddings taken apart, *count columns long; two columns of one name are an error. */
static struct pil_column **sorted(const struct column_inputs *inputs, struct pil_column *const *columns, size_t *count,
                                  pil_status *status)
{
    size_t given = *count, n = 0;
    for (size_t i = 0; i < given; i++)
        n += column_part_count(columns[i]);
    struct pil_column **list = arena_alloc(graph_arena(inputs->graph), MAX(n, 1) * sizeof(struct pil_column *), status);
    if (!list)
        return NULL;
    *count = 0;
    for (size_t i = 0; i < given; i++)
        for (size_t k = 0; k < column_part_count(columns[i]); k++)
            list[(*count)++] = column_part(columns[i], k);
    qsort(list, n, sizeof(struct pil_column *), by_name);
    for (size_t i = 1; i < n; i++)
        if (by_name(&list[i - 1], &list[i]) == 0) {
            status_fail(status, PIL_INVALID_ARGUMENT, "two columns of one list are named '%s'", column_name(list[i]));
            return NULL;
        }
    return list;
}

struct pil_tensor *column_input_layer(const struct column_inputs *inputs, struct pil_column *const *columns, size_t count,
                                      const char *scope, pil_status *status)
{
    struct pil_column **list = sorted(inputs, columns, &count, status);
    struct pil_tensor **parts = list ? arena_alloc(graph_arena(inputs->graph), MAX(count, 1) * sizeof *parts, status) : NULL;
    if (!parts)
        return graph_error_tensor(inputs->graph);
    for (size_t i = 0; i < count; i++) {
        if (!column_is_dense(list[i])) {
            status_fail(status, PIL_INVALID_ARGUMENT,
                        "the column '%s' (%s) is categorical: wrap it in an embedding_column or an indicator_column before a "
                        "layer takes it",
                        column_name(list[i]), column_kind(list[i]));
            return graph_error_tensor(inputs->graph);
        }
        parts[i] = dense_output(inputs, list[i], scope, status);
    }
    return graph_op(inputs->graph, "concat", &(struct op_axis_args){ .axis = 1 }, parts, (int)count, NULL);
}

/* x W for a dense column of a linear model. */
static struct pil_tensor *dense_term(const struct column_inputs *inputs, const struct pil_column *column, const char *scope,
                                     int64_t units, pil_status *status)
{
    char name[768];
    snprintf(name, sizeof name, "%s/weights", column_scope(column));
    struct pil_tensor *weights =
        variable_of(inputs, scope, name, SHAPE(column_width(column), units), (pil_initializer){ 0 }, true);
    return graph_op2(inputs->graph, "matmul", &(struct op_matmul_args){ 0 }, dense_output(inputs, column, scope, status),
                     weights);
}

struct pil_tensor *column_linear_model(const struct column_inputs *inputs, struct pil_column *const *columns, size_t count,
                                       int64_t units, enum combiner sparse_combiner, const char *scope, pil_status *status)
{
    struct pil_graph *graph = inputs->graph;
    struct pil_column **list = sorted(inputs, columns, &count, status);
    struct pil_tensor **pairs = list ? arena_alloc(graph_arena(graph), MAX(2 * count, 1) * sizeof *pairs, status) : NULL;
    if (!pairs)
        return graph_error_tensor(graph);
    struct pil_tensor *sum = NULL;
    int pair_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!column_is_categorical(list[i])) {
            struct pil_tensor *term = dense_term(inputs, list[i], scope, units, status);
            sum = sum ? graph_op2(graph, "add", NULL, sum, term) : term;
            continue;
        }
        char name[768];
        snprintf(name, sizeof name, "%s/weights", column_scope(list[i]));
        pairs[2 * pair_count] = column_ids(inputs, list[i], status);
        pairs[2 * pair_count + 1] =
            variable_of(inputs, scope, name, SHAPE(column_buckets(list[i]), units), (pil_initializer){ 0 }, true);
        pair_count++;
    }
    if (pair_count) {
        struct op_lookup_args args = { sparse_combiner, 0, pair_count };
        struct pil_tensor *lookups = graph_op(graph, "lookup", &args, pairs, 2 * pair_count, NULL);
        sum = sum ? graph_op2(graph, "add", NULL, lookups, sum) : lookups;
    }
    struct pil_tensor *bias = variable_of(inputs, scope, "bias_weights", SHAPE(units), (pil_initializer){ 0 }, true);
    if (!sum)
        return graph_fail(graph, "a linear model needs at least one column");
    return graph_op2(graph, "add", NULL, sum, bias);
}

/* The feature's number, or -1: the input is none of the program's. */
static int64_t feature_of(const struct program *program, const char *name)
{
    char own[32];
    for (size_t f = 0; f < program_feature_count(program); f++) {
        feature_name((int)f, own);
        if (strcmp(own, name) == 0)
            return (int64_t)f;
    }
    return -1;
}

bool column_check(const struct program *program, const struct pil_graph *graph, pil_status *status)
{
    for (size_t i = 0; i < graph_input_count(graph); i++) {
        const struct pil_tensor *input = graph_input_at(graph, i);
        const char *name = graph_tensor_name(input);
        int64_t feature = input->type.sparse ? feature_of(program, name) : -1;
        bool numbers = !input->type.sparse && strcmp(name, "numbers") == 0 && input->type.dtype == DTYPE_FLOAT32 &&
                       shape_equal(input->type.shape, SHAPE(BATCH_DIM, program_number_count(program)));
        if (feature < 0 && !numbers)
            return status_fail(status, PIL_BAD_DATA, "the graph reads the input '%s', which the columns do not make", name);
        if (feature >= 0 && graph_fewest_rows(graph, input) < program_feature_limit(program, (size_t)feature))
            return status_fail(status, PIL_BAD_DATA, "the graph has a table of %lld rows for the %lld ids of '%s'",
                               (long long)graph_fewest_rows(graph, input),
                               (long long)program_feature_limit(program, (size_t)feature), name);
    }
    return true;
}

void column_bind(struct session *session, const struct batch *batch, size_t feature_count)
{
    char name[32];
    session_input(session, "numbers", &(struct op_value){ .tensor = batch->numbers });
    for (size_t i = 0; i < feature_count; i++) {
        feature_name((int)i, name);
        session_input(session, name, &(struct op_value){ .sparse = batch->features[i] });
    }
}
