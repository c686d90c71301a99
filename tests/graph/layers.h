/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of recurrent layers share: nested lists of golden data; a sequence that is a variable, so that it gets a gradient;
 * comparison of variables and their gradients.
 */
#ifndef PILASTER_TESTS_GRAPH_LAYERS_H
#define PILASTER_TESTS_GRAPH_LAYERS_H

#include "graph/harness.h"
#include "kernel/golden.h"

static const pil_initializer noise_init = { PIL_INITIALIZER_ZEROS, 0, 0 };

/* A nested list's numbers, in order. */
static inline int64_t flatten(const struct json_value *list, float *out)
{
    struct json_value item;
    int64_t count = 0;
    if (list->kind == JSON_NUMBER) {
        *out = (float)list->number;
        return 1;
    }
    for (struct json_walk walk = json_children(list); json_next(&walk, NULL, &item);)
        count += flatten(&item, out + count);
    return count;
}

static inline int64_t numbers(const struct json_value *map, const char *key, float *out)
{
    struct json_value value = golden_get(map, key);
    return flatten(&value, out);
}

/* Item i of a list, nested as it is. */
static inline struct json_value item_at(const struct json_value *list, int64_t i)
{
    struct json_value item;
    struct json_walk walk = json_children(list);
    for (int64_t n = 0; json_next(&walk, NULL, &item); n++)
        if (n == i)
            return item;
    fail_msg("golden data without item %lld", (long long)i);
    return item;
}

/* x as a variable of `batch` rows, so that it gets a gradient: rows of the identity times it. */
static inline struct pil_tensor *trained_x(struct pil_graph *g, int64_t batch, int64_t time, int64_t features)
{
    struct pil_tensor *rows = graph_input(g, "identity", DTYPE_FLOAT32, SHAPE(BATCH_DIM, batch), false);
    struct pil_tensor *x = graph_variable(g, "x", SHAPE(batch, time * features), noise_init, true);
    x = graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, rows, x);
    return graph_op1(g, "reshape", &(struct op_reshape_args){ SHAPE(-1, time, features) }, x);
}

static inline struct tensor bind_identity(struct session *session, int64_t batch)
{
    struct tensor rows;
    pil_status status = { 0 };
    assert_true(tensor_new(&rows, DTYPE_FLOAT32, SHAPE(batch, batch), true, &status));
    for (int64_t i = 0; i < batch; i++)
        tensor_floats(&rows)[i * rows.ld + i] = 1;
    session_input(session, "identity", &(struct op_value){ .tensor = rows });
    return rows;
}

static inline void check_close(const char *what, int number, const struct tensor *got, const float *want)
{
    float packed[4096];
    assert_true(got->rows * got->cols <= (int64_t)COUNT_OF(packed));
    tensor_pack(got, packed);
    double error = golden_error(packed, want, got->rows * got->cols, 1.0);
    if (!(error <= 3e-6))
        fail_msg("case %d: %s differs by %g", number, what, error);
}

/* Gradients as TensorFlow gives them: variables in their order, each a list of numbers. */
static inline void check_gradient(struct rig *rig, float *gradients, size_t v, int number, const float *want)
{
    struct tensor gradient = rig->values[v];
    gradient.data = gradients + rig->offsets[v];
    check_close(graph_variable_at(rig->graph, v)->name, number, &gradient, want);
}

/* Sums are float64, losses float32. */
static inline struct pil_tensor *total(struct pil_graph *g, struct pil_tensor *x)
{
    return graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, graph_op1(g, "sum_all", NULL, x));
}

/* The loss: a fixed weighted sum of squares. */
static inline struct pil_tensor *weighted_squares(struct pil_graph *g, struct pil_tensor *x, float weight)
{
    struct pil_tensor *squares = graph_op2(g, "mul", NULL, x, x);
    return total(g, graph_op2(g, "mul", NULL, graph_op2(g, "add", NULL, squares, x), graph_scalar(g, weight)));
}

#endif
