/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cell over time. A cell that the op `rnn` can do becomes one node over the whole sequence; its inputs are not gathered when they
 * lie side by side already, and its outputs are columns of the node's. Any other cell is unrolled: its step's small ops, once for
 * every step.
 */
#include <string.h>

#include "graph/cell.h"
#include "pilaster/op.h"

enum { MOST_STEPS = 1 << 20 };

/* One layer: what is carried over what. */
struct layer {
    struct pil_graph *graph;
    struct pil_rnn_cell *cell;
    const char *call, *scope;
    int64_t time, features;
    pil_rnn_state initial;      /* h NULL: zeros */
    struct pil_tensor *lengths; /* [batch, 1], or NULL */
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
    const bool fits = !given->type.sparse &&
                      (shape_equal(*shape, SHAPE(BATCH_DIM)) || shape_equal(*shape, SHAPE(BATCH_DIM, 1))) &&
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

/* What a step is columns of, from `*first` on, as far up as `wanted`, or one op up where that is NULL. */
static struct pil_tensor *source_of(struct pil_tensor *step, const struct pil_tensor *wanted, int64_t *first)
{
    *first = 0;
    while (step != wanted && step->node->kind == NODE_OP && step->node->row->view &&
           step->node->behaviour == BEHAVIOUR_ROW_BY_ROW) {
        int64_t offset = step->node->row->view(step->node->args, &step->node->inputs[0]->type, step->index);
        if (offset < 0)
            break;
        *first += offset;
        step = step->node->inputs[0];
        if (!wanted)
            break;
    }
    return step;
}

/* Whether the steps lie in `source` side by side, in the order of time. */
static bool lie_in(const struct layer *layer, struct pil_tensor *const *steps, const struct pil_tensor *source, int64_t *begin)
{
    int64_t first;
    for (int64_t t = 0; t < layer->time; t++) {
        if (source_of(steps[t], source, &first) != source || (t > 0 && first != *begin + t * layer->features))
            return false;
        *begin = t == 0 ? first : *begin;
    }
    return true;
}

/* The steps as one sequence [batch, time, features]: what they were cut from where they lie there, else put together. */
static struct pil_tensor *gather(const struct layer *layer, struct pil_tensor *const *steps)
{
    struct pil_graph *g = layer->graph;
    const int64_t width = layer->time * layer->features;
    int64_t begin = 0, up;
    struct pil_tensor *source = source_of(steps[0], NULL, &up);
    while (!lie_in(layer, steps, source, &begin)) {
        struct pil_tensor *next = source_of(source, NULL, &up);
        source = next == source ? NULL : next;
        if (!source)
            return reshape(g, graph_op(g, "concat", &(struct op_axis_args){ 1 }, steps, (int)layer->time, NULL),
                           SHAPE(BATCH_DIM, layer->time, layer->features));
    }
    const int64_t have = shape_elements(shape_with_batch(source->type.shape, 1));
    if (source->type.shape.rank != 2)
        source = reshape(g, source, SHAPE(BATCH_DIM, have));
    if (have != width || source->node->kind == NODE_INPUT) /* an input may still grow */
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

/* The step at hand for rows that have ended: zeros out, the state as before. */
static void end_rows(const struct layer *layer, int64_t step, pil_rnn_state before, pil_rnn_state *state,
                     struct pil_tensor **output)
{
    struct pil_graph *g = layer->graph;
    struct pil_tensor *lengths = layer->lengths;
    if (lengths->type.dtype != DTYPE_FLOAT32)
        lengths = graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, lengths);
    struct pil_tensor *alive = graph_op2(g, "greater_equal", NULL, lengths, graph_scalar(g, (float)(step + 1)));
    *output = graph_op3(g, "where", NULL, alive, state->h, graph_scalar(g, 0));
    state->h = graph_op3(g, "where", NULL, alive, state->h, before.h);
    if (state->c)
        state->c = graph_op3(g, "where", NULL, alive, state->c, before.c);
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
            graph_fail(g, "%s: input %zu, %s, is %s, input 1, %s, is %s; all steps need one shape", layer->call, t + 1,
                       x->node->name, shape_text(x->type.shape, text), inputs[0]->node->name,
                       shape_text(inputs[0]->type.shape, first));
    }
    layer->time = (int64_t)count;
    layer->features = inputs[0] ? inputs[0]->type.shape.dims[1] : 0;
    return status_ok(&g->status);
}

/* The sequence's steps. Behind the last one h is the same, unless rows end before. */
static void cut(const struct layer *layer, const pil_dynamic_rnn_result *result, struct pil_tensor **outputs)
{
    struct pil_graph *g = layer->graph;
    const int64_t size = layer->cell->size;
    if (layer->time <= OP_MAX_OUTPUTS) { /* one op, whose gradient is one too */
        graph_op(g, "unstack", &(pil_split_options){ 1, layer->time }, &result->outputs, 1, outputs);
    } else {
        struct pil_tensor *flat = reshape(g, result->outputs, SHAPE(BATCH_DIM, layer->time * size));
        for (int64_t t = 0; t < layer->time; t++)
            outputs[t] = columns(g, flat, t * size, size);
    }
    if (!layer->lengths)
        outputs[layer->time - 1] = result->state.h;
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
    struct layer layer = { .graph = graph,
                           .cell = cell,
                           .call = "pil_static_rnn",
                           .scope = options->scope,
                           .initial = options->initial_state,
                           .lengths = options->sequence_length };
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

static bool check_sequence(struct layer *layer, const struct pil_tensor *x, bool time_major)
{
    struct pil_graph *g = layer->graph;
    const int batch = time_major ? 1 : 0, time = 1 - batch;
    char text[128];
    if (!x || !graph_owns(g, x))
        graph_fail(g, "%s: the inputs %s", layer->call, x ? "belong to another graph" : "are NULL");
    else if (x->type.sparse || x->type.dtype != DTYPE_FLOAT32 || x->type.shape.rank != 3 ||
             x->type.shape.dims[batch] != BATCH_DIM || x->type.shape.dims[time] < 1 || x->type.shape.dims[time] > MOST_STEPS ||
             x->type.shape.dims[2] < 1)
        graph_fail(g, "%s: the inputs, %s, are %s %s; float32 %s is needed", layer->call, x->node->name,
                   x->type.sparse ? "sparse" : dtype_name(x->type.dtype), shape_text(x->type.shape, text),
                   time_major ? "[time, ?, features]" : "[?, time, features]");
    if (!status_ok(&g->status))
        return false;
    layer->time = x->type.shape.dims[time];
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

/* The first two axes exchanged. */
static struct pil_tensor *exchange(struct pil_graph *g, struct pil_tensor *x)
{
    return graph_op1(g, "transpose", &(pil_axes){ 3, { 1, 0, 2 } }, x);
}

pil_dynamic_rnn_options pil_dynamic_rnn_options_default(void)
{
    return (pil_dynamic_rnn_options){ PIL_DYNAMIC_RNN_DEFAULTS };
}

pil_dynamic_rnn_result pil_dynamic_rnn_make(pil_graph *graph, pil_rnn_cell *cell, const pil_dynamic_rnn_options *options)
{
    struct layer layer = { .graph = graph,
                           .cell = cell,
                           .call = "pil_dynamic_rnn",
                           .scope = options->scope,
                           .initial = options->initial_state,
                           .lengths = options->sequence_length };
    pil_dynamic_rnn_result result = { 0 };
    if (check_cell(&layer) && check_sequence(&layer, options->inputs, options->time_major) && check_layer(&layer)) {
        graph_push_scope(graph, layer.scope);
        struct pil_tensor *x = options->time_major ? exchange(graph, options->inputs) : options->inputs;
        if (!fuse(&layer, x, NULL, &result))
            unroll_sequence(&layer, x, &result);
        if (options->time_major && status_ok(&graph->status))
            result.outputs = exchange(graph, result.outputs);
        graph_pop_scope(graph);
    }
    if (status_ok(&graph->status))
        return result;
    return (pil_dynamic_rnn_result){ &graph->error_tensor, error_state(graph, NULL, 0) };
}
