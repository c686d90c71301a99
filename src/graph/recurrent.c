/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keras's recurrent layers. What the op `rnn` can do is one node; an activation whose derivative needs its input, or that looks at a
 * whole row, and dropout of the state are made of small ops, a step after the other.
 *
 * Dropout as Keras 2.15 has it, which depends on what else a layer asks for. A layer that a GPU's own kernels could do (tanh and
 * sigmoid, a bias, reset_after, no recurrent_dropout) drops elements of the whole x, another draw at each step. Any other draws one
 * mask for all steps; with recurrent_dropout an LSTM and a GRU (their implementation 1) draw one for each gate, for x as for h.
 */
#include <string.h>

#include "graph/internal.h"
#include "pilaster/op.h"

enum { MOST_GATES = 4, MOST_UNITS = 1 << 20, MOST_STEPS = 1 << 20 };

struct recurrent {
    struct pil_graph *graph;
    const struct graph_rnn_options *options;
    const char *layer;
    int64_t time, features, units;
    int gates;
    struct pil_tensor *x_masks[MOST_GATES], *h_masks[MOST_GATES]; /* [batch, 1, features], [batch, units]; NULL: none */
};
struct cell_state {
    struct pil_tensor *h, *c;
};

/* ---- small ops ---- */

static struct pil_tensor *add(const struct recurrent *r, struct pil_tensor *a, struct pil_tensor *b)
{
    return graph_op2(r->graph, "add", NULL, a, b);
}

static struct pil_tensor *mul(const struct recurrent *r, struct pil_tensor *a, struct pil_tensor *b)
{
    return graph_op2(r->graph, "mul", NULL, a, b);
}

static struct pil_tensor *columns(const struct recurrent *r, struct pil_tensor *x, int64_t first, int64_t count)
{
    return graph_op1(r->graph, "slice", &(struct op_slice_args){ -1, first, count }, x);
}

static struct pil_tensor *gate(const struct recurrent *r, struct pil_tensor *x, int64_t number)
{
    return columns(r, x, number * r->units, r->units);
}

static struct pil_tensor *reshape(const struct recurrent *r, struct pil_tensor *x, struct shape shape)
{
    return graph_op1(r->graph, "reshape", &(struct op_reshape_args){ shape }, x);
}

static struct pil_tensor *product(const struct recurrent *r, struct pil_tensor *x, struct pil_tensor *kernel,
                                  struct pil_tensor *bias)
{
    const struct op_matmul_args args = { .bias = bias != NULL };
    return graph_op(r->graph, "matmul", &args, (struct pil_tensor *[]){ x, kernel, bias }, bias ? 3 : 2, NULL);
}

static struct pil_tensor *act(const struct recurrent *r, struct pil_tensor *x)
{
    return graph_activate(r->graph, r->layer, r->options->activation, x);
}

static struct pil_tensor *recurrent_act(const struct recurrent *r, struct pil_tensor *x)
{
    return graph_activate(r->graph, r->layer, r->options->recurrent_activation, x);
}

/* ---- checks ---- */

static bool check_tensor(const struct recurrent *r, const char *what, const struct pil_tensor *tensor, struct shape shape)
{
    char have[128], want[128];
    struct pil_graph *g = r->graph;
    if (!tensor)
        graph_fail(g, "%s has no %s", r->layer, what);
    else if (!graph_owns(g, tensor))
        graph_fail(g, "%s: the %s belongs to another graph", r->layer, what);
    else if (tensor->type.sparse || tensor->type.dtype != DTYPE_FLOAT32 || !shape_equal(tensor->type.shape, shape))
        graph_fail(g, "%s: the %s, %s, is %s %s; float32 %s is needed", r->layer, what, tensor->node->name,
                   tensor->type.sparse ? "sparse" : dtype_name(tensor->type.dtype), shape_text(tensor->type.shape, have),
                   shape_text(shape, want));
    return status_ok(&g->status);
}

static bool check_mask(struct recurrent *r)
{
    char have[128];
    struct pil_graph *g = r->graph;
    const struct pil_tensor *mask = r->options->mask;
    if (!mask)
        return true;
    const enum dtype dtype = mask->type.dtype;
    const bool number = dtype == DTYPE_FLOAT32 || dtype == DTYPE_INT32 || dtype == DTYPE_INT64 || dtype == DTYPE_BOOL;
    if (!graph_owns(g, mask) || mask->type.sparse || !number || !shape_equal(mask->type.shape, SHAPE(BATCH_DIM, r->time)))
        graph_fail(g, "%s: the mask, %s, is %s %s; numbers [?, %lld] of this graph are needed", r->layer, mask->node->name,
                   mask->type.sparse ? "sparse" : dtype_name(dtype), shape_text(mask->type.shape, have), (long long)r->time);
    return status_ok(&g->status);
}

static bool check_input(struct recurrent *r, const struct pil_tensor *x)
{
    char text[128];
    struct pil_graph *g = r->graph;
    if (!x || !graph_owns(g, x))
        graph_fail(g, "%s: its input %s", r->layer, x ? "belongs to another graph" : "is NULL");
    else if (x->type.sparse || x->type.dtype != DTYPE_FLOAT32 || x->type.shape.rank != 3 || !OP_ROWS(x->type) ||
             x->type.shape.dims[1] < 1 || x->type.shape.dims[1] > MOST_STEPS || x->type.shape.dims[2] < 1)
        graph_fail(g, "%s: its input, %s, is %s %s; float32 [?, time, features] is needed", r->layer, x->node->name,
                   x->type.sparse ? "sparse" : dtype_name(x->type.dtype), shape_text(x->type.shape, text));
    if (!status_ok(&g->status))
        return false;
    r->time = x->type.shape.dims[1];
    r->features = x->type.shape.dims[2];
    return true;
}

static bool check_rate(const struct recurrent *r, const char *what, float rate)
{
    if (!(rate >= 0 && rate < 1))
        graph_fail(r->graph, "%s: its %s is %g; a part from 0 to below 1 is needed", r->layer, what, (double)rate);
    return status_ok(&r->graph->status);
}

static bool check_layer(struct recurrent *r, const struct pil_tensor *x)
{
    const struct graph_rnn_options *o = r->options;
    const bool simple = o->cell == RNN_SIMPLE, two = o->cell == RNN_GRU && o->reset_after;
    if (!status_ok(&r->graph->status) || !check_input(r, x))
        return false;
    if (o->units < 1 || o->units > MOST_UNITS) {
        graph_fail(r->graph, "%s: it has %lld units; 1 to %d are possible", r->layer, (long long)o->units, (int)MOST_UNITS);
        return false;
    }
    r->units = o->units;
    const int64_t all = r->gates * r->units;
    return graph_check_activation(r->graph, r->layer, o->activation) &&
           (simple || graph_check_activation(r->graph, r->layer, o->recurrent_activation)) &&
           check_tensor(r, "kernel", o->kernel, SHAPE(r->features, all)) &&
           check_tensor(r, "recurrent kernel", o->recurrent_kernel, SHAPE(r->units, all)) &&
           (!o->bias || check_tensor(r, "bias", o->bias, two ? SHAPE(2, all) : SHAPE(all))) && check_mask(r) &&
           check_rate(r, "dropout", o->dropout) && check_rate(r, "recurrent_dropout", o->recurrent_dropout);
}

/* ---- dropout ---- */

static struct pil_tensor *drop(const struct recurrent *r, struct pil_tensor *x, float rate, struct shape noise)
{
    struct op_dropout_args args = { .rate = rate, .noise_shape = noise };
    args.seeded = r->options->seed != NULL;
    args.seed = args.seeded ? *r->options->seed : 0;
    return graph_op1(r->graph, "dropout", &args, x);
}

/* What drops columns of x or h at every step alike: 0, or 1 / (1 - rate). */
static struct pil_tensor *draw_mask(const struct recurrent *r, struct pil_tensor *x, int64_t width, float rate)
{
    struct pil_tensor *ones = graph_op1(r->graph, "zero_state", &(struct op_count_args){ width }, x);
    ones = graph_op1(r->graph, "add_scalar", &(struct op_scalar_args){ 1 }, ones);
    return drop(r, ones, rate, (struct shape){ 0 });
}

/* A layer for which Keras has a GPU's kernel in mind. */
static bool is_standard(const struct graph_rnn_options *o)
{
    enum activation activation, recurrent;
    return o->cell != RNN_SIMPLE && o->bias && (o->cell == RNN_LSTM || o->reset_after) &&
           graph_find_activation(o->activation, &activation) && activation == ACTIVATION_TANH &&
           graph_find_activation(o->recurrent_activation, &recurrent) && recurrent == ACTIVATION_SIGMOID;
}

/* x as it enters the products; masks that differ from gate to gate, or belong to h, stay apart. */
static struct pil_tensor *drop_inputs(struct recurrent *r, struct pil_tensor *x)
{
    const struct graph_rnn_options *o = r->options;
    const bool by_gate = o->recurrent_dropout > 0 && o->cell != RNN_SIMPLE;
    if (o->dropout > 0 && !by_gate)
        x = drop(r, x, o->dropout,
                 o->recurrent_dropout == 0 && is_standard(o) ? (struct shape){ 0 } : SHAPE(BATCH_DIM, 1, r->features));
    for (int g = 0; g < r->gates && o->dropout > 0 && by_gate; g++)
        r->x_masks[g] = reshape(r, draw_mask(r, x, r->features, o->dropout), SHAPE(BATCH_DIM, 1, r->features));
    for (int g = 0; g < r->gates && o->recurrent_dropout > 0; g++)
        r->h_masks[g] = draw_mask(r, x, r->units, o->recurrent_dropout);
    return x;
}

/* ---- one node ---- */

static bool can_fuse(const struct recurrent *r, struct op_rnn_args *args)
{
    const struct graph_rnn_options *o = r->options;
    *args = (struct op_rnn_args){ .cell = o->cell,
                                  .hidden = r->units,
                                  .keras_order = true,
                                  .reset_after = o->cell == RNN_GRU && o->reset_after,
                                  .bias = o->bias != NULL,
                                  .ends = o->mask ? RNN_ENDS_MASK : RNN_ENDS_NEVER,
                                  .zero_output = o->zero_output_for_mask,
                                  .sequence = o->return_sequences,
                                  .backwards = o->go_backwards,
                                  .recurrent = ACTIVATION_SIGMOID };
    if (r->graph->unrolls_cells || r->h_masks[0] || !graph_find_activation(o->activation, &args->activation) ||
        (o->cell != RNN_SIMPLE && !graph_find_activation(o->recurrent_activation, &args->recurrent)))
        return false;
    return !op_activation_takes_input(args->activation) && !op_activation_takes_input(args->recurrent);
}

static struct pil_tensor *fuse(const struct recurrent *r, const struct op_rnn_args *args, struct pil_tensor *x)
{
    const struct graph_rnn_options *o = r->options;
    struct pil_tensor *inputs[8] = { x, o->kernel, o->recurrent_kernel };
    int count = 3;
    if (o->bias)
        inputs[count++] = o->bias;
    if (o->mask)
        inputs[count++] = o->mask;
    return graph_op(r->graph, "rnn", args, inputs, count, NULL);
}

/* ---- step by step ---- */

/* h R for some gates, each with its own mask where there are any; the bias is a GRU's second. */
static struct pil_tensor *from_state(const struct recurrent *r, struct pil_tensor *h, int first, int count,
                                     struct pil_tensor *bias)
{
    struct pil_tensor *parts[MOST_GATES], *all = r->options->recurrent_kernel;
    if (!r->h_masks[0] || r->gates == 1) {
        h = r->h_masks[0] ? mul(r, h, r->h_masks[0]) : h;
        return product(r, h, count == r->gates ? all : columns(r, all, first * r->units, count * r->units), bias);
    }
    for (int g = 0; g < count; g++)
        parts[g] = product(r, mul(r, h, r->h_masks[first + g]), gate(r, all, first + g), NULL);
    struct pil_tensor *joined = graph_op(r->graph, "concat", &(struct op_axis_args){ 1 }, parts, count, NULL);
    return bias ? add(r, joined, bias) : joined;
}

/* A row of a GRU's two biases. */
static struct pil_tensor *bias_row(const struct recurrent *r, int row)
{
    const struct graph_rnn_options *o = r->options;
    if (!o->bias || o->cell != RNN_GRU || !o->reset_after)
        return row == 0 ? o->bias : NULL;
    struct pil_tensor *cut = graph_op1(r->graph, "slice", &(struct op_slice_args){ 0, row, 1 }, o->bias);
    return reshape(r, cut, SHAPE(r->gates * r->units));
}

/* x K + b of all steps, [batch, time G units]. */
static struct pil_tensor *from_inputs(const struct recurrent *r, struct pil_tensor *x)
{
    struct pil_tensor *parts[MOST_GATES], *kernel = r->options->kernel, *bias = bias_row(r, 0), *sums;
    if (r->x_masks[0]) {
        for (int g = 0; g < r->gates; g++)
            parts[g] = product(r, mul(r, x, r->x_masks[g]), gate(r, kernel, g), NULL);
        sums = graph_op(r->graph, "concat", &(struct op_axis_args){ 2 }, parts, r->gates, NULL);
        sums = bias ? add(r, sums, bias) : sums;
    } else {
        sums = product(r, x, kernel, bias);
    }
    return reshape(r, sums, SHAPE(BATCH_DIM, r->time * r->gates * r->units));
}

static struct cell_state lstm_step(const struct recurrent *r, struct pil_tensor *x, struct cell_state before)
{
    struct pil_tensor *z = add(r, x, from_state(r, before.h, 0, 4, NULL));
    struct pil_tensor *i = recurrent_act(r, gate(r, z, 0)), *f = recurrent_act(r, gate(r, z, 1));
    struct pil_tensor *c = add(r, mul(r, f, before.c), mul(r, i, act(r, gate(r, z, 2))));
    return (struct cell_state){ mul(r, recurrent_act(r, gate(r, z, 3)), act(r, c)), c };
}

static struct cell_state gru_step(const struct recurrent *r, struct pil_tensor *x, struct cell_state before,
                                  struct pil_tensor *bias)
{
    const bool after = r->options->reset_after;
    struct pil_tensor *inner = from_state(r, before.h, 0, after ? 3 : 2, bias), *candidate;
    struct pil_tensor *z = recurrent_act(r, add(r, gate(r, x, 0), gate(r, inner, 0)));
    struct pil_tensor *reset = recurrent_act(r, add(r, gate(r, x, 1), gate(r, inner, 1)));
    if (after)
        candidate = mul(r, reset, gate(r, inner, 2));
    else
        candidate = from_state(r, mul(r, reset, before.h), 2, 1, NULL);
    candidate = act(r, add(r, gate(r, x, 2), candidate));
    struct pil_tensor *rest = graph_op2(r->graph, "sub", NULL, graph_scalar(r->graph, 1), z);
    return (struct cell_state){ .h = add(r, mul(r, z, before.h), mul(r, rest, candidate)) };
}

/* Where the mask is 0 the state stays, and the output is the one before. */
static void leave_out(const struct recurrent *r, struct pil_tensor *mask, int64_t at, struct cell_state before,
                      struct cell_state *state, struct pil_tensor *last, struct pil_tensor **output)
{
    struct pil_graph *g = r->graph;
    struct pil_tensor *alive = columns(r, mask, at, 1);
    *output = graph_op3(g, "where", NULL, alive, state->h, r->options->zero_output_for_mask ? graph_scalar(g, 0) : last);
    state->h = graph_op3(g, "where", NULL, alive, state->h, before.h);
    if (state->c)
        state->c = graph_op3(g, "where", NULL, alive, state->c, before.c);
}

static struct pil_tensor *unroll(const struct recurrent *r, struct pil_tensor *x)
{
    struct pil_graph *g = r->graph;
    const struct graph_rnn_options *o = r->options;
    const int64_t width = r->gates * r->units;
    struct pil_tensor **outputs = arena_alloc(g->arena, (size_t)r->time * sizeof *outputs, &g->status);
    struct pil_tensor *zeros = graph_op1(g, "zero_state", &(struct op_count_args){ r->units }, x), *last = zeros, *mask = o->mask;
    struct cell_state state = { zeros, o->cell == RNN_LSTM ? zeros : NULL };
    struct pil_tensor *sums = from_inputs(r, x), *bias = bias_row(r, 1);
    if (mask && mask->type.dtype != DTYPE_FLOAT32)
        mask = graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, mask);
    for (int64_t t = 0; t < r->time && status_ok(&g->status); t++) {
        const int64_t at = o->go_backwards ? r->time - 1 - t : t;
        struct pil_tensor *step = columns(r, sums, at * width, width);
        const struct cell_state before = state;
        if (o->cell == RNN_LSTM)
            state = lstm_step(r, step, before);
        else if (o->cell == RNN_GRU)
            state = gru_step(r, step, before, bias);
        else
            state.h = act(r, add(r, step, from_state(r, before.h, 0, 1, NULL)));
        outputs[t] = state.h;
        if (mask)
            leave_out(r, mask, at, before, &state, last, &outputs[t]);
        last = outputs[t];
    }
    if (!o->return_sequences || !status_ok(&g->status))
        return status_ok(&g->status) ? last : &g->error_tensor;
    struct pil_tensor *joined = graph_op(g, "concat", &(struct op_axis_args){ 1 }, outputs, (int)r->time, NULL);
    return reshape(r, joined, SHAPE(BATCH_DIM, r->time, r->units));
}

struct pil_tensor *graph_rnn(struct pil_graph *graph, struct pil_tensor *x, const struct graph_rnn_options *options)
{
    static const char *const names[] = { [RNN_LSTM] = "LSTM", [RNN_GRU] = "GRU", [RNN_SIMPLE] = "SimpleRNN" };
    static const int gates[] = { [RNN_LSTM] = 4, [RNN_GRU] = 3, [RNN_SIMPLE] = 1 };
    struct recurrent r = { .graph = graph, .options = options, .gates = gates[options->cell] };
    struct op_rnn_args args;
    r.layer = options->layer ? options->layer : names[options->cell];
    if (!check_layer(&r, x))
        return &graph->error_tensor;
    x = drop_inputs(&r, x);
    return can_fuse(&r, &args) ? fuse(&r, &args, x) : unroll(&r, x);
}
