/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cell over time. A cell that the op `rnn` can do becomes one node over the whole sequence; its inputs are not gathered when they
 * lie side by side already, and its outputs are columns of the node's. Any other cell is unrolled: its step's small ops, once for
 * every step.
 */
#include <string.h>

#include "graph/cell.h"

enum { MOST_STEPS = 1 << 20 };

/* One layer: what is carried over what. */
struct layer {
    struct pil_graph *graph;
    struct pil_rnn_cell *cell;
    const char *call, *scope;
    int64_t time, features;
    pil_rnn_state initial;       /* h NULL: zeros */
    struct pil_tensor *lengths;  /* [batch, 1], or NULL */
};

/* ---- checks ------------------------------------------------------------------------------------------------------ */

/* A float32 tensor of this shape, of this graph. */
static bool check_tensor(const struct layer *layer, const char *what, const struct pil_tensor *tensor, struct shape shape)
{
    struct pil_graph *g = layer->graph;
    char have[128], want[128];
    if (!graph_owns(g, tensor))
        graph_fail(g, "%s: %s, %s, belongs to another graph", layer->call, what, tensor->node->name);
    else if (tensor->type.sparse || tensor->type.dtype != DTYPE_FLOAT32 || !shape_equal(tensor->type.shape, shape))
        graph_fail(g, "%s: %s, %s, is %s %s; float32 %s is needed", layer->call, what, tensor->node->name,
                   tensor->type.sparse ? "sparse" : dtype_name(tensor->type.dtype), shape_text(tensor->type.shape, have),
                   shape_text(shape, want));
    return status_ok(&g->status);
}

static bool check_cell(const struct layer *layer)
{
    struct pil_graph *g = layer->graph;
    if (!status_ok(&g->status))
        return false;
    if (!layer->cell)
        graph_fail(g, "%s: the cell is NULL", layer->call);
    else if (layer->cell->graph != g)
        graph_fail(g, "%s: the cell was made for another graph", layer->call);
    return status_ok(&g->status) && graph_check_name(g, layer->call, layer->scope);
}

static bool check_state(const struct layer *layer)
{
    struct pil_graph *g = layer->graph;
    const struct pil_rnn_cell *cell = layer->cell;
    const bool has_c = cell->kind->has_c;
    if (!layer->initial.h && !layer->initial.c)
        return true;
    if (!layer->initial.h || (has_c && !layer->initial.c)) {
        graph_fail(g, "%s: the initial_state has no %s", layer->call, layer->initial.h ? "c" : "h");
        return false;
    }
    if (!has_c && layer->initial.c) {
        graph_fail(g, "%s: the initial_state has a c, which the cell %s has not", layer->call, cell->name);
        return false;
    }
    return check_tensor(layer, "initial_state.h", layer->initial.h, SHAPE(BATCH_DIM, cell->size)) &&
           (!has_c || check_tensor(layer, "initial_state.c", layer->initial.c, SHAPE(BATCH_DIM, cell->num_units)));
}

/* Lengths as a column of numbers. */
static bool take_lengths(struct layer *layer)
{
    struct pil_graph *g = layer->graph;
    const struct pil_tensor *given = layer->lengths;
    char have[128];
    if (!given)
        return true;
    const enum dtype dtype = given->type.dtype;
    const struct shape *shape = &given->type.shape;
    const bool fits = !given->type.sparse && (shape_equal(*shape, SHAPE(BATCH_DIM)) || shape_equal(*shape, SHAPE(BATCH_DIM, 1))) &&
                      (dtype == DTYPE_FLOAT32 || dtype == DTYPE_INT32 || dtype == DTYPE_INT64);
    if (!graph_owns(g, given) || !fits)
        graph_fail(g, "%s: the sequence_length, %s, is %s %s; numbers [?] or [?, 1] of this graph are needed", layer->call,
                   given->node->name, given->type.sparse ? "sparse" : dtype_name(dtype), shape_text(*shape, have));
    else if (shape->rank == 1)
        layer->lengths = graph_op1(g, "reshape", &(struct op_reshape_args){ SHAPE(BATCH_DIM, 1) }, layer->lengths);
    return status_ok(&g->status);
}

static bool check_layer(struct layer *layer)
{
    return check_state(layer) && take_lengths(layer) && cell_use(layer->cell, layer->call, layer->scope, layer->features);
}

/* ---- one node ---------------------------------------------------------------------------------------------------- */

static struct pil_tensor *reshape(struct pil_graph *g, struct pil_tensor *x, struct shape shape)
{
    return graph_op1(g, "reshape", &(struct op_reshape_args){ shape }, x);
}

static struct pil_tensor *columns(struct pil_graph *g, struct pil_tensor *x, int64_t first, int64_t count)
{
    return graph_op1(g, "slice", &(struct op_slice_args){ 1, first, count }, x);
}

/* Whether a step is columns [first, first + features) of one matrix; which one. */
static struct pil_tensor *source_of(const struct pil_tensor *step, int64_t features, int64_t *first)
{
    const struct node *node = step->node;
    if (node->kind != NODE_OP || strcmp(node->row->name, "slice") != 0 || node->inputs[0]->type.shape.rank != 2)
        return NULL;
    const struct op_slice_args *args = node->args;
    *first = args->first;
    return (args->axis == 1 || args->axis == -1) && args->count == features ? node->inputs[0] : NULL;
}

/* The steps as one sequence [batch, time, features]: what they were cut from when they lie there side by side in the order of
 * time, else put together. */
static struct pil_tensor *gather(const struct layer *layer, struct pil_tensor *const *inputs)
{
    struct pil_graph *g = layer->graph;
    struct pil_tensor *source = NULL;
    int64_t first, begin = 0;
    for (int64_t t = 0; t < layer->time; t++) {
        struct pil_tensor *from = source_of(inputs[t], layer->features, &first);
        if (t == 0) {
            source = from;
            begin = first;
        }
        if (!from || from != source || first != begin + t * layer->features) {
            source = NULL;
            break;
        }
    }
    const int64_t width = layer->time * layer->features;
    if (!source)
        source = graph_op(g, "concat", &(struct op_axis_args){ 1 }, inputs, (int)layer->time, NULL);
    else if (source->type.shape.dims[1] != width)
        source = columns(g, source, begin, width);
    return reshape(g, source, SHAPE(BATCH_DIM, layer->time, layer->features));
}

/* The whole layer as the op `rnn`, over x, or over the steps where x is NULL; false where it
 * cannot do this cell. */
static bool fuse(const struct layer *layer, struct pil_tensor *x, struct pil_tensor *const *steps, pil_dynamic_rnn_result *out)
{
    const struct pil_rnn_cell *cell = layer->cell;
    struct op_rnn_args args;
    struct pil_tensor *inputs[8], *outputs[OP_MAX_OUTPUTS];
    if (layer->graph->unrolls_cells)
        return false;
    const int weights = cell->kind->fuse(cell, &args, inputs + 1);
    if (!weights)
        return false;
    int count = 1 + weights;
    inputs[0] = x ? x : gather(layer, steps);
    args.initial_state = layer->initial.h != NULL;
    args.ends = layer->lengths ? RNN_ENDS_LENGTHS : RNN_ENDS_NEVER;
    if (layer->initial.h)
        inputs[count++] = layer->initial.h;
    if (layer->initial.c)
        inputs[count++] = layer->initial.c;
    if (layer->lengths)
        inputs[count++] = layer->lengths;
    out->outputs = graph_op(layer->graph, "rnn", &args, inputs, count, outputs);
    out->state = (pil_rnn_state){ 0 };
    if (status_ok(&layer->graph->status))
        out->state = (pil_rnn_state){ .h = outputs[1], .c = cell->kind->has_c ? outputs[2] : NULL };
    return true;
}

/* ---- step by step ------------------------------------------------------------------------------------------------ */

/* a where alive is 1, b where it is 0. */
static struct pil_tensor *choose(struct pil_graph *g, struct pil_tensor *alive, struct pil_tensor *ended, struct pil_tensor *a,
                                 struct pil_tensor *b)
{
    return graph_op2(g, "add", NULL, graph_op2(g, "mul", NULL, a, alive), graph_op2(g, "mul", NULL, b, ended));
}

/* The step at hand for rows that have ended: zeros out, the state as before. */
static void end_rows(const struct layer *layer, int64_t step, pil_rnn_state before, pil_rnn_state *state, struct pil_tensor **output)
{
    struct pil_graph *g = layer->graph;
    struct pil_tensor *lengths = layer->lengths;
    if (lengths->type.dtype != DTYPE_FLOAT32)
        lengths = graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, lengths);
    struct pil_tensor *alive = graph_op2(g, "greater_equal", NULL, lengths, graph_scalar(g, (float)(step + 1)));
    struct pil_tensor *ended = graph_op2(g, "sub", NULL, graph_scalar(g, 1), alive);
    *output = graph_op2(g, "mul", NULL, state->h, alive);
    state->h = choose(g, alive, ended, state->h, before.h);
    if (state->c)
        state->c = choose(g, alive, ended, state->c, before.c);
}

static pil_rnn_state unroll(const struct layer *layer, struct pil_tensor *const *inputs, struct pil_tensor **outputs)
{
    struct pil_graph *g = layer->graph;
    const struct pil_rnn_cell *cell = layer->cell;
    pil_rnn_state state = layer->initial;
    if (!state.h)
        state.h = graph_op1(g, "zero_state", &(struct op_count_args){ cell->size }, inputs[0]);
    if (!state.c && cell->kind->has_c)
        state.c = graph_op1(g, "zero_state", &(struct op_count_args){ cell->num_units }, inputs[0]);
    for (int64_t t = 0; t < layer->time && status_ok(&g->status); t++) {
        const pil_rnn_state before = state;
        state = cell->kind->step(cell, inputs[t], before);
        outputs[t] = state.h;
        if (layer->lengths)
            end_rows(layer, t, before, &state, &outputs[t]);
    }
    return state;
}

/* ---- static_rnn -------------------------------------------------------------------------------------------------- */

static bool check_steps(struct layer *layer, struct pil_tensor *const *inputs, size_t count)
{
    struct pil_graph *g = layer->graph;
    char text[128], first[128];
    if (!inputs || count < 1 || count > MOST_STEPS) {
        graph_fail(g, "%s: %zu inputs; 1 to %d are possible", layer->call, inputs ? count : 0, (int)MOST_STEPS);
        return false;
    }
    for (size_t t = 0; t < count && status_ok(&g->status); t++) {
        const struct pil_tensor *x = inputs[t];
        if (!x || !graph_owns(g, x))
            graph_fail(g, "%s: input %zu %s", layer->call, t + 1, x ? "belongs to another graph" : "is NULL");
        else if (x->type.sparse || x->type.dtype != DTYPE_FLOAT32 || x->type.shape.rank != 2 || !OP_ROWS(x->type) ||
                 x->type.shape.dims[1] < 1)
            graph_fail(g, "%s: input %zu, %s, is %s %s; float32 [?, features] is needed", layer->call, t + 1, x->node->name,
                       x->type.sparse ? "sparse" : dtype_name(x->type.dtype), shape_text(x->type.shape, text));
        else if (!shape_equal(x->type.shape, inputs[0]->type.shape))
            graph_fail(g, "%s: input %zu, %s, is %s, input 1, %s, is %s; all steps need one shape", layer->call, t + 1, x->node->name,
                       shape_text(x->type.shape, text), inputs[0]->node->name, shape_text(inputs[0]->type.shape, first));
    }
    layer->time = (int64_t)count;
    layer->features = inputs[0] ? inputs[0]->type.shape.dims[1] : 0;
    return status_ok(&g->status);
}

/* The sequence's steps. Behind the last one h is the same, unless rows end before. */
static void cut(const struct layer *layer, const pil_dynamic_rnn_result *result, struct pil_tensor **outputs)
{
    const int64_t size = layer->cell->size;
    struct pil_tensor *flat = reshape(layer->graph, result->outputs, SHAPE(BATCH_DIM, layer->time * size));
    for (int64_t t = 0; t < layer->time; t++)
        outputs[t] = t + 1 == layer->time && !layer->lengths ? result->state.h : columns(layer->graph, flat, t * size, size);
}

static pil_rnn_state error_state(struct pil_graph *graph, struct pil_tensor **outputs, size_t count)
{
    for (size_t t = 0; outputs && t < count; t++)
        outputs[t] = &graph->error_tensor;
    return (pil_rnn_state){ &graph->error_tensor, &graph->error_tensor };
}

pil_static_rnn_options pil_static_rnn_options_default(void)
{
    return (pil_static_rnn_options){ PIL_STATIC_RNN_DEFAULTS };
}

pil_rnn_state pil_static_rnn_make(pil_graph *graph, pil_rnn_cell *cell, pil_tensor *const *inputs, size_t count,
                                  const pil_static_rnn_options *options)
{
    struct layer layer = { .graph = graph, .cell = cell, .call = "pil_static_rnn", .scope = options->scope,
                           .initial = options->initial_state, .lengths = options->sequence_length };
    pil_dynamic_rnn_result result = { 0 };
    if (!check_cell(&layer) || !check_steps(&layer, inputs, count) || !check_layer(&layer))
        return error_state(graph, options->outputs, count);
    struct pil_tensor **outputs = arena_alloc(graph->arena, count * sizeof *outputs, &graph->status);
    graph_push_scope(graph, layer.scope);
    if (outputs && fuse(&layer, NULL, inputs, &result))
        cut(&layer, &result, outputs);
    else if (outputs)
        result.state = unroll(&layer, inputs, outputs);
    graph_pop_scope(graph);
    if (!status_ok(&graph->status))
        return error_state(graph, options->outputs, count);
    if (options->outputs)
        memcpy(options->outputs, outputs, count * sizeof *outputs);
    return result.state;
}

/* ---- dynamic_rnn ------------------------------------------------------------------------------------------------- */

static bool check_sequence(struct layer *layer, const struct pil_tensor *x)
{
    struct pil_graph *g = layer->graph;
    char text[128];
    if (!x || !graph_owns(g, x))
        graph_fail(g, "%s: the inputs %s", layer->call, x ? "belong to another graph" : "are NULL");
    else if (x->type.sparse || x->type.dtype != DTYPE_FLOAT32 || x->type.shape.rank != 3 || !OP_ROWS(x->type) ||
             x->type.shape.dims[1] < 1 || x->type.shape.dims[1] > MOST_STEPS || x->type.shape.dims[2] < 1)
        graph_fail(g, "%s: the inputs, %s, are %s %s; float32 [?, time, features] is needed", layer->call, x->node->name,
                   x->type.sparse ? "sparse" : dtype_name(x->type.dtype), shape_text(x->type.shape, text));
    if (!status_ok(&g->status))
        return false;
    layer->time = x->type.shape.dims[1];
    layer->features = x->type.shape.dims[2];
    return true;
}

/* Steps cut from the sequence, carried through, put together again. */
static void unroll_sequence(const struct layer *layer, struct pil_tensor *x, pil_dynamic_rnn_result *out)
{
    struct pil_graph *g = layer->graph;
    const size_t count = (size_t)layer->time;
    struct pil_tensor **steps = arena_alloc(g->arena, count * sizeof *steps, &g->status);
    struct pil_tensor **outputs = arena_alloc(g->arena, count * sizeof *outputs, &g->status);
    if (!steps || !outputs)
        return;
    struct pil_tensor *flat = reshape(g, x, SHAPE(BATCH_DIM, layer->time * layer->features));
    for (int64_t t = 0; t < layer->time; t++)
        steps[t] = columns(g, flat, t * layer->features, layer->features);
    out->state = unroll(layer, steps, outputs);
    if (!status_ok(&g->status))
        return;
    out->outputs = graph_op(g, "concat", &(struct op_axis_args){ 1 }, outputs, (int)layer->time, NULL);
    out->outputs = reshape(g, out->outputs, SHAPE(BATCH_DIM, layer->time, layer->cell->size));
}

pil_dynamic_rnn_options pil_dynamic_rnn_options_default(void)
{
    return (pil_dynamic_rnn_options){ PIL_DYNAMIC_RNN_DEFAULTS };
}

pil_dynamic_rnn_result pil_dynamic_rnn_make(pil_graph *graph, pil_rnn_cell *cell, const pil_dynamic_rnn_options *options)
{
    struct layer layer = { .graph = graph, .cell = cell, .call = "pil_dynamic_rnn", .scope = options->scope,
                           .initial = options->initial_state, .lengths = options->sequence_length };
    pil_dynamic_rnn_result result = { 0 };
    if (check_cell(&layer) && check_sequence(&layer, options->inputs) && check_layer(&layer)) {
        graph_push_scope(graph, layer.scope);
        if (!fuse(&layer, options->inputs, NULL, &result))
            unroll_sequence(&layer, options->inputs, &result);
        graph_pop_scope(graph);
    }
    if (status_ok(&graph->status))
        return result;
    return (pil_dynamic_rnn_result){ &graph->error_tensor, error_state(graph, NULL, 0) };
}
