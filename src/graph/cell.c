/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recurrent cells, each a row of a table: its variables under TensorFlow's names, what the op `rnn` takes where that one can do the
 * whole layer, and one step made of small ops where it cannot (or where a test wants both).
 *
 * Formulas: Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000, peepholes and projection of Sak et al. 2014, GRU
 * of Cho et al. 2014, each as TensorFlow's cells have them.
 */
#include <math.h>
#include <string.h>

#include "graph/cell.h"

/* ---- small ops --------------------------------------------------------------------------------------------------- */

static struct pil_tensor *columns(struct pil_graph *g, struct pil_tensor *x, int64_t first, int64_t count)
{
    return graph_op1(g, "slice", &(struct op_slice_args){ 1, first, count }, x);
}

static struct pil_tensor *act(struct pil_graph *g, enum activation activation, struct pil_tensor *x)
{
    return graph_op1(g, "activation", &(struct op_activation_args){ activation }, x);
}

static struct pil_tensor *sigmoid(struct pil_graph *g, struct pil_tensor *x)
{
    return act(g, ACTIVATION_SIGMOID, x);
}

static struct pil_tensor *add(struct pil_graph *g, struct pil_tensor *a, struct pil_tensor *b)
{
    return graph_op2(g, "add", NULL, a, b);
}

static struct pil_tensor *mul(struct pil_graph *g, struct pil_tensor *a, struct pil_tensor *b)
{
    return graph_op2(g, "mul", NULL, a, b);
}

/* [x, h] kernel + bias */
static struct pil_tensor *joined_product(struct pil_graph *g, struct pil_tensor *x, struct pil_tensor *h,
                                         struct pil_tensor *kernel, struct pil_tensor *bias)
{
    struct pil_tensor *joined = graph_op2(g, "concat", &(struct op_axis_args){ 1 }, x, h);
    return graph_op3(g, "matmul", &(struct op_matmul_args){ .bias = true }, joined, kernel, bias);
}

static struct pil_tensor *clip(struct pil_graph *g, struct pil_tensor *x, float limit)
{
    if (limit == 0)
        return x;
    x = graph_op2(g, "minimum", NULL, x, graph_scalar(g, limit));
    return graph_op2(g, "maximum", NULL, x, graph_scalar(g, -limit));
}

/* ---- LSTM -------------------------------------------------------------------------------------------------------- */

static struct pil_tensor *new_variable(struct pil_rnn_cell *cell, const char *name, pil_shape shape, pil_initializer initializer)
{
    return graph_new_variable(cell->graph, name, shape, initializer, true);
}

static void lstm_variables(struct pil_rnn_cell *cell, int64_t features)
{
    static const char *const names[] = { "w_f_diag", "w_i_diag", "w_o_diag" };
    const int64_t n = cell->num_units;
    cell->variables[CELL_KERNEL] =
        new_variable(cell, "kernel", PIL_SHAPE(features + cell->size, 4 * n), cell->kernel_initializer);
    cell->variables[CELL_BIAS] = new_variable(cell, "bias", PIL_SHAPE(4 * n), pil_zeros_initializer());
    for (int i = 0; cell->use_peepholes && i < 3; i++)
        cell->variables[CELL_W_F + i] = new_variable(cell, names[i], PIL_SHAPE(n), cell->kernel_initializer);
    if (cell->projects)
        cell->variables[CELL_PROJECTION] =
            new_variable(cell, "projection/kernel", PIL_SHAPE(n, cell->size), cell->kernel_initializer);
}

static bool fits_node(const struct pil_rnn_cell *cell, enum rnn_cell kind, struct op_rnn_args *args)
{
    *args = (struct op_rnn_args){ .cell = kind,
                                  .hidden = cell->num_units,
                                  .activation = cell->activation,
                                  .recurrent = ACTIVATION_SIGMOID,
                                  .forget_bias = cell->forget_bias,
                                  .joined = true,
                                  .bias = true,
                                  .zero_output = true,
                                  .sequence = true };
    return !op_activation_takes_input(cell->activation);
}

static int lstm_fuse(const struct pil_rnn_cell *cell, struct op_rnn_args *args, struct pil_tensor **inputs)
{
    if (!fits_node(cell, RNN_LSTM, args) || cell->use_peepholes || cell->variables[CELL_PROJECTION] || cell->cell_clip != 0)
        return 0;
    inputs[0] = cell->variables[CELL_KERNEL];
    inputs[1] = cell->variables[CELL_BIAS];
    return 2;
}

/* A gate's sum with its peephole, if it has one. */
static struct pil_tensor *peep(const struct pil_rnn_cell *cell, struct pil_tensor *sum, enum cell_variable weight,
                               struct pil_tensor *c)
{
    return cell->use_peepholes ? add(cell->graph, sum, mul(cell->graph, c, cell->variables[weight])) : sum;
}

static pil_rnn_state lstm_step(const struct pil_rnn_cell *cell, struct pil_tensor *x, pil_rnn_state before)
{
    struct pil_graph *g = cell->graph;
    const int64_t n = cell->num_units;
    struct pil_tensor *sums = joined_product(g, x, before.h, cell->variables[CELL_KERNEL], cell->variables[CELL_BIAS]);
    struct pil_tensor *i = columns(g, sums, 0, n), *j = columns(g, sums, n, n), *f = columns(g, sums, 2 * n, n);
    struct pil_tensor *o = columns(g, sums, 3 * n, n);
    f = graph_op1(g, "add_scalar", &(struct op_scalar_args){ cell->forget_bias }, f);
    f = sigmoid(g, peep(cell, f, CELL_W_F, before.c));
    i = sigmoid(g, peep(cell, i, CELL_W_I, before.c));
    struct pil_tensor *c = add(g, mul(g, f, before.c), mul(g, i, act(g, cell->activation, j)));
    c = clip(g, c, cell->cell_clip);
    struct pil_tensor *h = mul(g, sigmoid(g, peep(cell, o, CELL_W_O, c)), act(g, cell->activation, c));
    if (cell->variables[CELL_PROJECTION])
        h = clip(g, graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, h, cell->variables[CELL_PROJECTION]), cell->proj_clip);
    return (pil_rnn_state){ .c = c, .h = h };
}

/* ---- GRU --------------------------------------------------------------------------------------------------------- */

static void gru_variables(struct pil_rnn_cell *cell, int64_t features)
{
    const int64_t n = cell->num_units;
    cell->variables[CELL_KERNEL] = new_variable(cell, "gates/kernel", PIL_SHAPE(features + n, 2 * n), cell->kernel_initializer);
    cell->variables[CELL_BIAS] = new_variable(cell, "gates/bias", PIL_SHAPE(2 * n), cell->bias_initializers[0]);
    cell->variables[CELL_CANDIDATE_KERNEL] =
        new_variable(cell, "candidate/kernel", PIL_SHAPE(features + n, n), cell->kernel_initializer);
    cell->variables[CELL_CANDIDATE_BIAS] = new_variable(cell, "candidate/bias", PIL_SHAPE(n), cell->bias_initializers[1]);
}

/* The node has the gates r, u and the candidate side by side; a step's small copies are nothing beside its products. */
static int gru_fuse(const struct pil_rnn_cell *cell, struct op_rnn_args *args, struct pil_tensor **inputs)
{
    if (!fits_node(cell, RNN_GRU, args))
        return 0;
    inputs[0] = graph_op2(cell->graph, "concat", &(struct op_axis_args){ 1 }, cell->variables[CELL_KERNEL],
                          cell->variables[CELL_CANDIDATE_KERNEL]);
    inputs[1] = graph_op2(cell->graph, "concat", &(struct op_axis_args){ 0 }, cell->variables[CELL_BIAS],
                          cell->variables[CELL_CANDIDATE_BIAS]);
    return 2;
}

static pil_rnn_state gru_step(const struct pil_rnn_cell *cell, struct pil_tensor *x, pil_rnn_state before)
{
    struct pil_graph *g = cell->graph;
    const int64_t n = cell->num_units;
    struct pil_tensor *gates =
        sigmoid(g, joined_product(g, x, before.h, cell->variables[CELL_KERNEL], cell->variables[CELL_BIAS]));
    struct pil_tensor *r = columns(g, gates, 0, n), *u = columns(g, gates, n, n);
    struct pil_tensor *candidate =
        joined_product(g, x, mul(g, r, before.h), cell->variables[CELL_CANDIDATE_KERNEL], cell->variables[CELL_CANDIDATE_BIAS]);
    struct pil_tensor *rest = graph_op2(g, "sub", NULL, graph_scalar(g, 1), u);
    return (pil_rnn_state){ .h = add(g, mul(g, u, before.h), mul(g, rest, act(g, cell->activation, candidate))) };
}

/* ---- simple ------------------------------------------------------------------------------------------------------ */

static void simple_variables(struct pil_rnn_cell *cell, int64_t features)
{
    const int64_t n = cell->num_units;
    cell->variables[CELL_KERNEL] = new_variable(cell, "kernel", PIL_SHAPE(features + n, n), cell->kernel_initializer);
    cell->variables[CELL_BIAS] = new_variable(cell, "bias", PIL_SHAPE(n), pil_zeros_initializer());
}

static int simple_fuse(const struct pil_rnn_cell *cell, struct op_rnn_args *args, struct pil_tensor **inputs)
{
    inputs[0] = cell->variables[CELL_KERNEL];
    inputs[1] = cell->variables[CELL_BIAS];
    return fits_node(cell, RNN_SIMPLE, args) ? 2 : 0;
}

static pil_rnn_state simple_step(const struct pil_rnn_cell *cell, struct pil_tensor *x, pil_rnn_state before)
{
    struct pil_tensor *sums = joined_product(cell->graph, x, before.h, cell->variables[CELL_KERNEL], cell->variables[CELL_BIAS]);
    return (pil_rnn_state){ .h = act(cell->graph, cell->activation, sums) };
}

/* ---- making cells ------------------------------------------------------------------------------------------------ */

static const struct cell_kind basic_lstm = { "pil_basic_lstm_cell", true, lstm_variables, lstm_fuse, lstm_step };
static const struct cell_kind lstm = { "pil_lstm_cell", true, lstm_variables, lstm_fuse, lstm_step };
static const struct cell_kind gru = { "pil_gru_cell", false, gru_variables, gru_fuse, gru_step };
static const struct cell_kind basic_rnn = { "pil_basic_rnn_cell", false, simple_variables, simple_fuse, simple_step };

/* Of single elements: the op `rnn` and the unrolled step apply it by its number. */
static bool find_activation(struct pil_graph *graph, const char *call, const char *word, enum activation *out)
{
    if (!graph_check_activation(graph, call, word))
        return false;
    if (!graph_find_activation(word, out))
        graph_fail(graph, "%s: the activation '%s' looks at a whole row, which no cell can use", call, word);
    return status_ok(&graph->status);
}

/* What every cell has, checked; the rest stands in `like`. */
static pil_rnn_cell *new_cell(struct pil_graph *graph, const struct pil_rnn_cell *like, const char *activation, const char *name)
{
    enum { MOST_UNITS = 1 << 20 };
    static struct pil_rnn_cell none; /* after an error: never used, never written */
    const char *call = like->kind->call;
    enum activation kind;
    if (!status_ok(&graph->status) || !graph_check_name(graph, call, name) || !find_activation(graph, call, activation, &kind))
        return &none;
    if (like->num_units < 1 || like->num_units > MOST_UNITS || like->size < 1 || like->size > MOST_UNITS)
        graph_fail(graph, "%s: %lld units with an output of %lld; each must be from 1 to %d", call, (long long)like->num_units,
                   (long long)like->size, (int)MOST_UNITS);
    if (!(like->cell_clip >= 0 && like->proj_clip >= 0))
        graph_fail(graph, "%s: cell_clip %g and proj_clip %g; neither may be below 0, which means none", call,
                   (double)like->cell_clip, (double)like->proj_clip);
    if (!isfinite(like->forget_bias))
        graph_fail(graph, "%s: the forget_bias %g is no number", call, (double)like->forget_bias);
    struct pil_rnn_cell *cell = arena_alloc(graph->arena, sizeof *cell, &graph->status);
    char *copy = arena_text(graph->arena, name, strlen(name), &graph->status);
    if (!cell || !copy || !status_ok(&graph->status))
        return &none;
    *cell = *like;
    cell->graph = graph;
    cell->name = copy;
    cell->activation = kind;
    return cell;
}

bool cell_use(struct pil_rnn_cell *cell, const char *call, const char *scope, int64_t features)
{
    struct pil_graph *graph = cell->graph;
    char *here = arena_format(graph->arena, &graph->status, "%s%s", graph->scope, scope);
    if (!here)
        return false;
    if (cell->used) {
        graph_fail(graph, "%s: the cell %s has been used already, under the scope '%s'; now under '%s'", call, cell->name,
                   cell->used, here);
        status_hint(&graph->status, "a cell holds one set of weights: make another with %s for the second layer",
                    cell->kind->call);
        return false;
    }
    cell->used = here;
    graph_push_scope(graph, scope);
    graph_push_scope(graph, cell->name);
    cell->kind->make_variables(cell, features);
    if (!status_ok(&graph->status))
        status_hint(&graph->status, "a second layer needs %s's .scope, or a cell with another .name", call);
    graph_pop_scope(graph);
    graph_pop_scope(graph);
    return status_ok(&graph->status);
}

pil_basic_lstm_cell_options pil_basic_lstm_cell_options_default(void)
{
    return (pil_basic_lstm_cell_options){ PIL_BASIC_LSTM_CELL_DEFAULTS };
}

pil_rnn_cell *pil_basic_lstm_cell_make(pil_graph *graph, const pil_basic_lstm_cell_options *options)
{
    const struct pil_rnn_cell like = { .kind = &basic_lstm,
                                       .num_units = options->num_units,
                                       .size = options->num_units,
                                       .forget_bias = options->forget_bias,
                                       .kernel_initializer = pil_glorot_uniform_initializer() };
    return new_cell(graph, &like, options->activation, options->name);
}

pil_lstm_cell_options pil_lstm_cell_options_default(void)
{
    return (pil_lstm_cell_options){ PIL_LSTM_CELL_DEFAULTS };
}

pil_rnn_cell *pil_lstm_cell_make(pil_graph *graph, const pil_lstm_cell_options *options)
{
    const struct pil_rnn_cell like = { .kind = &lstm,
                                       .num_units = options->num_units,
                                       .size = options->num_proj ? options->num_proj : options->num_units,
                                       .projects = options->num_proj != 0,
                                       .use_peepholes = options->use_peepholes,
                                       .cell_clip = options->cell_clip,
                                       .proj_clip = options->proj_clip,
                                       .forget_bias = options->forget_bias,
                                       .kernel_initializer = options->initializer };
    return new_cell(graph, &like, options->activation, options->name);
}

pil_gru_cell_options pil_gru_cell_options_default(void)
{
    return (pil_gru_cell_options){ PIL_GRU_CELL_DEFAULTS };
}

pil_rnn_cell *pil_gru_cell_make(pil_graph *graph, const pil_gru_cell_options *options)
{
    const pil_initializer *bias = options->bias_initializer;
    const struct pil_rnn_cell like = { .kind = &gru,
                                       .num_units = options->num_units,
                                       .size = options->num_units,
                                       .kernel_initializer = options->kernel_initializer,
                                       .bias_initializers = { bias ? *bias : pil_ones_initializer(),
                                                              bias ? *bias : pil_zeros_initializer() } };
    return new_cell(graph, &like, options->activation, options->name);
}

pil_basic_rnn_cell_options pil_basic_rnn_cell_options_default(void)
{
    return (pil_basic_rnn_cell_options){ PIL_BASIC_RNN_CELL_DEFAULTS };
}

pil_rnn_cell *pil_basic_rnn_cell_make(pil_graph *graph, const pil_basic_rnn_cell_options *options)
{
    const struct pil_rnn_cell like = { .kind = &basic_rnn,
                                       .num_units = options->num_units,
                                       .size = options->num_units,
                                       .kernel_initializer = pil_glorot_uniform_initializer() };
    return new_cell(graph, &like, options->activation, options->name);
}
