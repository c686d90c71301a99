/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs: what a model function builds. A graph is the model for one mode; its tensors are handles on values that exist once
 * a batch runs. The batch is the first axis of whatever comes from the data, and stands as -1 in shapes.
 *
 *     pil_tensor *weight = pil_variable(g, "weight", pil_random_normal(g, PIL_SHAPE(3, 1)));
 *     pil_tensor *y      = pil_add(g, pil_matmul(g, x, weight), bias);          (pilaster/op.h)
 *
 * Graphs are made by whoever calls the model function; tensors belong to their graph and live as long.
 *
 * Errors. A builder never returns NULL. After the graph's first error it returns the graph's error tensor and fills output
 * arrays with it, so that a model reads like a formula; the Estimator reports that first error, which names op, inputs and
 * shapes, when the model function returns.
 *
 * Names. Variables are called as in the checkpoint: the scopes that are open, then the name. A name used twice is an error.
 */
#ifndef PILASTER_PUBLIC_GRAPH_H
#define PILASTER_PUBLIC_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pilaster/options.h"
#include "pilaster/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pil_graph pil_graph;
typedef struct pil_tensor pil_tensor;

/* What a graph is built for. Source: tf.estimator.ModeKeys. */
typedef enum pil_mode { PIL_TRAIN, PIL_EVAL, PIL_PREDICT } pil_mode;

/* What a tensor's elements are; the numbers are TensorFlow's. */
typedef enum pil_dtype { PIL_FLOAT32 = 1, PIL_FLOAT64 = 2, PIL_INT32 = 3, PIL_INT64 = 9, PIL_BOOL = 10 } pil_dtype;

enum { PIL_MAX_RANK = 8 };
/* A shape; -1 is the batch. PIL_SHAPE(3, 1) is a matrix, PIL_SCALAR has no axes. */
typedef struct pil_shape {
    int rank;
    int64_t dims[PIL_MAX_RANK];
} pil_shape;
#define PIL_SHAPE(...) ((pil_shape){ (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), { __VA_ARGS__ } })
#define PIL_SCALAR ((pil_shape){ 0, { 0 } })

/* The graph's first error, or PIL_OK. */
PIL_API PIL_WARN_UNUSED pil_status pil_graph_status(const pil_graph *graph);
/* Makes an error of the model's own the graph's error, unless it has one; returns the error tensor. */
PIL_API pil_tensor *pil_graph_fail(pil_graph *graph, const char *message);
/* Rank 0 for the error tensor. */
PIL_API pil_shape pil_tensor_shape(const pil_tensor *tensor);
/* The name of the op, variable or input that makes it. */
PIL_API const char *pil_tensor_name(const pil_tensor *tensor);
/* Names the op that makes a tensor, scopes in front: dropout draws its numbers under this name. Source: the ops' name=. */
PIL_API pil_tensor *pil_name(pil_graph *graph, pil_tensor *tensor, const char *name);

/* Names of ops and variables made until the matching pop stand behind "name/". Source: tf.compat.v1.variable_scope. */
PIL_API void pil_push_scope(pil_graph *graph, const char *name);
PIL_API void pil_pop_scope(pil_graph *graph);

/* ---- first values -------------------------------------------------------------------------------------------- */

/* How a variable starts. The numbers follow from the run's tf_random_seed and the variable's name, not from the order in which
 * variables are made. Fans of the Glorot, He and LeCun kinds: the last two axes; leading axes multiply both. */
typedef enum pil_initializer_kind {
    PIL_INITIALIZER_ZEROS,
    PIL_INITIALIZER_ONES,
    PIL_INITIALIZER_CONSTANT,
    PIL_INITIALIZER_NORMAL,
    PIL_INITIALIZER_UNIFORM,
    PIL_INITIALIZER_TRUNCATED_NORMAL,
    PIL_INITIALIZER_GLOROT_UNIFORM,
    PIL_INITIALIZER_GLOROT_NORMAL,
    PIL_INITIALIZER_HE_UNIFORM,
    PIL_INITIALIZER_HE_NORMAL,
    PIL_INITIALIZER_LECUN_UNIFORM,
    PIL_INITIALIZER_LECUN_NORMAL,
    PIL_INITIALIZER_ORTHOGONAL,
    PIL_INITIALIZER_IDENTITY,
    PIL_INITIALIZER_RANGE_OF_ONES /* zeros, but ones from element a up to b: the forget gate's bias of an LSTM */
} pil_initializer_kind;
typedef struct pil_initializer {
    pil_initializer_kind kind;
    float a, b; /* what the functions below put there */
} pil_initializer;
PIL_API pil_initializer pil_zeros_initializer(void);
PIL_API pil_initializer pil_ones_initializer(void);
PIL_API pil_initializer pil_constant_initializer(float value);
PIL_API pil_initializer pil_random_normal_initializer(float mean, float stddev);
PIL_API pil_initializer pil_random_uniform_initializer(float minval, float maxval);
/* Values beyond two deviations are drawn again. */
PIL_API pil_initializer pil_truncated_normal_initializer(float mean, float stddev);
PIL_API pil_initializer pil_glorot_uniform_initializer(void);
PIL_API pil_initializer pil_glorot_normal_initializer(void);
PIL_API pil_initializer pil_he_uniform_initializer(void);
PIL_API pil_initializer pil_he_normal_initializer(void);
PIL_API pil_initializer pil_lecun_uniform_initializer(void);
PIL_API pil_initializer pil_lecun_normal_initializer(void);
PIL_API pil_initializer pil_orthogonal_initializer(float gain);
PIL_API pil_initializer pil_identity_initializer(float gain);

/* A first value with its shape: what tf.zeros, tf.random_normal, ... are to tf.Variable. */
typedef struct pil_initial {
    pil_shape shape;
    pil_initializer initializer;
} pil_initial;
PIL_API pil_initial pil_zeros(pil_graph *graph, pil_shape shape);
PIL_API pil_initial pil_ones(pil_graph *graph, pil_shape shape);
PIL_API pil_initial pil_fill(pil_graph *graph, pil_shape shape, float value);
typedef struct pil_random_normal_options {
    pil_shape shape;
    float mean, stddev;
} pil_random_normal_options;
#define PIL_RANDOM_NORMAL_DEFAULTS .mean = 0.0f, .stddev = 1.0f
#define pil_random_normal(graph, ...)                                                                                            \
    pil_random_normal_make((graph), &(pil_random_normal_options){ PIL_RANDOM_NORMAL_DEFAULTS, .shape = __VA_ARGS__ })
PIL_API pil_random_normal_options pil_random_normal_options_default(void);
PIL_API pil_initial pil_random_normal_make(pil_graph *graph, const pil_random_normal_options *options);
#define pil_truncated_normal(graph, ...)                                                                                         \
    pil_truncated_normal_make((graph), &(pil_random_normal_options){ PIL_RANDOM_NORMAL_DEFAULTS, .shape = __VA_ARGS__ })
PIL_API pil_initial pil_truncated_normal_make(pil_graph *graph, const pil_random_normal_options *options);
typedef struct pil_random_uniform_options {
    pil_shape shape;
    float minval, maxval;
} pil_random_uniform_options;
#define PIL_RANDOM_UNIFORM_DEFAULTS .minval = 0.0f, .maxval = 1.0f
#define pil_random_uniform(graph, ...)                                                                                           \
    pil_random_uniform_make((graph), &(pil_random_uniform_options){ PIL_RANDOM_UNIFORM_DEFAULTS, .shape = __VA_ARGS__ })
PIL_API pil_random_uniform_options pil_random_uniform_options_default(void);
PIL_API pil_initial pil_random_uniform_make(pil_graph *graph, const pil_random_uniform_options *options);

/* ---- variables ----------------------------------------------------------------------------------------------- */

typedef struct pil_variable_options {
    pil_initial initial_value;
    bool trainable; /* false: no optimizer moves it */
} pil_variable_options;
#define PIL_VARIABLE_DEFAULTS .trainable = true
/* A float32 variable named "<scopes>/<name>". Errors: a name used twice; a shape with the batch in it. Source: tf.Variable. */
#define pil_variable(graph, name, ...)                                                                                           \
    pil_variable_make((graph), (name), &(pil_variable_options){ PIL_VARIABLE_DEFAULTS, .initial_value = __VA_ARGS__ })
PIL_API pil_variable_options pil_variable_options_default(void);
PIL_API pil_tensor *pil_variable_make(pil_graph *graph, const char *name, const pil_variable_options *options);

typedef struct pil_get_variable_options {
    pil_shape shape;
    pil_initializer initializer; /* glorot_uniform */
    bool trainable;
} pil_get_variable_options;
#define PIL_GET_VARIABLE_DEFAULTS .initializer = { PIL_INITIALIZER_GLOROT_UNIFORM, 0.0f, 0.0f }, .trainable = true
/* The same with its initializer apart. Source: tf.compat.v1.get_variable. */
#define pil_get_variable(graph, name, ...)                                                                                       \
    pil_get_variable_make((graph), (name), &(pil_get_variable_options){ PIL_GET_VARIABLE_DEFAULTS, .shape = __VA_ARGS__ })
PIL_API pil_get_variable_options pil_get_variable_options_default(void);
PIL_API pil_tensor *pil_get_variable_make(pil_graph *graph, const char *name, const pil_get_variable_options *options);

/* A constant: `values` holds as many floats as the shape has elements, row by row, and is copied. Source: tf.constant. */
PIL_API pil_tensor *pil_constant(pil_graph *graph, const float *values, pil_shape shape);
/* The same of one number, without axes. */
PIL_API pil_tensor *pil_scalar(pil_graph *graph, float value);

/* ---- named tensors ------------------------------------------------------------------------------------------- */

/* Names and tensors, copied into the graph with names and words: PIL_DICT(g, {"predicted", y}, {"class_ids", ids, .integer = true}).
 * Numbers are shown as they are; as integers; or, number i, as the word words[i]. */
typedef struct pil_named_tensor {
    const char *name;
    pil_tensor *tensor;
    bool integer;
    const char *const *words; /* NULL: none */
    size_t word_count;
} pil_named_tensor;
typedef struct pil_dict {
    const pil_named_tensor *items;
    size_t count;
} pil_dict;
#define PIL_DICT(graph, ...)                                                                                                     \
    pil_dict_make((graph), (const pil_named_tensor[]){ __VA_ARGS__ },                                                            \
                  sizeof((const pil_named_tensor[]){ __VA_ARGS__ }) / sizeof(pil_named_tensor))
PIL_API pil_dict pil_dict_make(pil_graph *graph, const pil_named_tensor *items, size_t count);

#ifdef __cplusplus
}
#endif

#endif
