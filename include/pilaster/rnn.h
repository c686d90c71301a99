/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recurrent layers: a cell, and what carries it over time.
 *
 *     pil_tensor *x[9], *outputs[9];
 *     pil_split(g, timeseries, 9, 1, x);
 *     pil_rnn_cell *cell = pil_basic_lstm_cell(g, 3, .forget_bias = 1.0f);
 *     pil_static_rnn(g, cell, x, 9, outputs);
 *
 * A cell belongs to its graph and holds one set of weights, which are made where it is used first: "<scopes>/<scope>/<cell's
 * name>/kernel", as TensorFlow calls them. A cell used twice is an error, since it nearly always means two layers that share
 * weights by accident.
 *
 * Shapes: a step's input is [batch, features], its output [batch, size], where size is num_units (num_proj with a projection).
 * Everything is float32. Errors are the graph's (pilaster/graph.h). Source: tf.compat.v1.nn.rnn_cell, tf.compat.v1.nn.
 */
#ifndef PILASTER_PUBLIC_RNN_H
#define PILASTER_PUBLIC_RNN_H

#include "pilaster/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pil_rnn_cell pil_rnn_cell;
/* What a cell hands from step to step: h [batch, size]; an LSTM c too, [batch, num_units], which is NULL of any other cell. */
typedef struct pil_rnn_state {
    pil_tensor *c, *h;
} pil_rnn_state;

/* ---- cells ----------------------------------------------------------------------------------------------------- *
 * num_units: at least 1. activation: a name, such as "tanh" or "relu". name: the last scope of the cell's variables. */

/* c' = c sigmoid(f + forget_bias) + sigmoid(i) activation(j); h' = activation(c') sigmoid(o), with [i, j, f, o] = [x, h] kernel +
 * bias. Variables: kernel [features + num_units, 4 num_units] (glorot uniform), bias (zeros). Source: BasicLSTMCell. */
typedef struct pil_basic_lstm_cell_options {
    int64_t num_units;
    float forget_bias;
    const char *activation;
    const char *name;
} pil_basic_lstm_cell_options;
#define PIL_BASIC_LSTM_CELL_DEFAULTS .forget_bias = 1.0f, .activation = "tanh", .name = "basic_lstm_cell"
#define pil_basic_lstm_cell(graph, ...)                                                                                          \
    pil_basic_lstm_cell_make((graph), &(pil_basic_lstm_cell_options){ PIL_BASIC_LSTM_CELL_DEFAULTS, .num_units = __VA_ARGS__ })
PIL_API pil_basic_lstm_cell_options pil_basic_lstm_cell_options_default(void);
PIL_API pil_rnn_cell *pil_basic_lstm_cell_make(pil_graph *graph, const pil_basic_lstm_cell_options *options);

/* The same with, where asked for: peepholes (w_f_diag c and w_i_diag c added to f and i, w_o_diag c' to o; [num_units] each), c' cut
 * to [-cell_clip, cell_clip], and h' = (activation(c') sigmoid(o)) projection/kernel [num_units, num_proj], cut to proj_clip. 0 means
 * none. `initializer` starts all but the bias. Source: LSTMCell. */
typedef struct pil_lstm_cell_options {
    int64_t num_units;
    bool use_peepholes;
    float cell_clip;
    pil_initializer initializer;
    int64_t num_proj;
    float proj_clip;
    float forget_bias;
    const char *activation;
    const char *name;
} pil_lstm_cell_options;
#define PIL_LSTM_CELL_DEFAULTS                                                                                                   \
    .initializer = { PIL_INITIALIZER_GLOROT_UNIFORM, 0.0f, 0.0f }, .forget_bias = 1.0f, .activation = "tanh", .name = "lstm_cell"
#define pil_lstm_cell(graph, ...)                                                                                                \
    pil_lstm_cell_make((graph), &(pil_lstm_cell_options){ PIL_LSTM_CELL_DEFAULTS, .num_units = __VA_ARGS__ })
PIL_API pil_lstm_cell_options pil_lstm_cell_options_default(void);
PIL_API pil_rnn_cell *pil_lstm_cell_make(pil_graph *graph, const pil_lstm_cell_options *options);

/* [r, u] = sigmoid([x, h] gates/kernel + gates/bias); h' = u h + (1 - u) activation([x, r h] candidate/kernel + candidate/bias).
 * bias_initializer NULL: ones for the gates, zeros for the candidate. Source: GRUCell. */
typedef struct pil_gru_cell_options {
    int64_t num_units;
    const char *activation;
    pil_initializer kernel_initializer;
    const pil_initializer *bias_initializer; /* read by the call */
    const char *name;
} pil_gru_cell_options;
#define PIL_GRU_CELL_DEFAULTS                                                                                                    \
    .activation = "tanh", .kernel_initializer = { PIL_INITIALIZER_GLOROT_UNIFORM, 0.0f, 0.0f }, .name = "gru_cell"
#define pil_gru_cell(graph, ...)                                                                                                 \
    pil_gru_cell_make((graph), &(pil_gru_cell_options){ PIL_GRU_CELL_DEFAULTS, .num_units = __VA_ARGS__ })
PIL_API pil_gru_cell_options pil_gru_cell_options_default(void);
PIL_API pil_rnn_cell *pil_gru_cell_make(pil_graph *graph, const pil_gru_cell_options *options);

/* h' = activation([x, h] kernel + bias). Source: BasicRNNCell. */
typedef struct pil_basic_rnn_cell_options {
    int64_t num_units;
    const char *activation;
    const char *name;
} pil_basic_rnn_cell_options;
#define PIL_BASIC_RNN_CELL_DEFAULTS .activation = "tanh", .name = "basic_rnn_cell"
#define pil_basic_rnn_cell(graph, ...)                                                                                           \
    pil_basic_rnn_cell_make((graph), &(pil_basic_rnn_cell_options){ PIL_BASIC_RNN_CELL_DEFAULTS, .num_units = __VA_ARGS__ })
PIL_API pil_basic_rnn_cell_options pil_basic_rnn_cell_options_default(void);
PIL_API pil_rnn_cell *pil_basic_rnn_cell_make(pil_graph *graph, const pil_basic_rnn_cell_options *options);

/* ---- over time --------------------------------------------------------------------------------------------------- *
 * initial_state: {NULL, NULL} means zeros. sequence_length: [batch] or [batch, 1] numbers; from that step on a row's outputs are
 * zeros and its state stays. scope: the scope of ops and variables. Both return the state behind the last step. */

/* A cell over `count` inputs [batch, features], one a step; outputs[t], unless `outputs` is NULL, is the output of step t. Steps that
 * are all the parts of one pil_split along axis 1 are read where they lie. Source: tf.compat.v1.nn.static_rnn. */
typedef struct pil_static_rnn_options {
    pil_tensor **outputs;
    pil_rnn_state initial_state;
    pil_tensor *sequence_length;
    const char *scope;
} pil_static_rnn_options;
#define PIL_STATIC_RNN_DEFAULTS .scope = "rnn"
#define pil_static_rnn(graph, cell, inputs, count, ...)                                                                          \
    pil_static_rnn_make((graph), (cell), (inputs), (count),                                                                      \
                        &(pil_static_rnn_options){ PIL_STATIC_RNN_DEFAULTS, .outputs = __VA_ARGS__ })
PIL_API pil_static_rnn_options pil_static_rnn_options_default(void);
PIL_API pil_rnn_state pil_static_rnn_make(pil_graph *graph, pil_rnn_cell *cell, pil_tensor *const *inputs, size_t count,
                                          const pil_static_rnn_options *options);

/* A cell over inputs [batch, time, features]; outputs [batch, time, size]. With time_major both have the first two axes exchanged,
 * which costs two copies here. Source: tf.compat.v1.nn.dynamic_rnn. */
typedef struct pil_dynamic_rnn_result {
    pil_tensor *outputs;
    pil_rnn_state state;
} pil_dynamic_rnn_result;
typedef struct pil_dynamic_rnn_options {
    pil_tensor *inputs;
    pil_tensor *sequence_length;
    pil_rnn_state initial_state;
    bool time_major;
    const char *scope;
} pil_dynamic_rnn_options;
#define PIL_DYNAMIC_RNN_DEFAULTS .scope = "rnn"
#define pil_dynamic_rnn(graph, cell, ...)                                                                                        \
    pil_dynamic_rnn_make((graph), (cell), &(pil_dynamic_rnn_options){ PIL_DYNAMIC_RNN_DEFAULTS, .inputs = __VA_ARGS__ })
PIL_API pil_dynamic_rnn_options pil_dynamic_rnn_options_default(void);
PIL_API pil_dynamic_rnn_result pil_dynamic_rnn_make(pil_graph *graph, pil_rnn_cell *cell, const pil_dynamic_rnn_options *options);

#ifdef __cplusplus
}
#endif

#endif
