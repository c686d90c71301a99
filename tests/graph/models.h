/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs for the tests of plans: random ones that mix all that a plan treats differently (products with ReLU, lookups into
 * concats, slices, reshapes, chains of elementwise ops, batch norm, softmax over the batch, sums over the batch), with the data
 * they read; and the multi-layer models of the design's figures.
 */
#ifndef PILASTER_TESTS_GRAPH_MODELS_H
#define PILASTER_TESTS_GRAPH_MODELS_H

#include "harness.h"
#include "pilaster/op.h"

#include <stdlib.h>

enum { MODEL_COLUMNS = 5, MODEL_IDS = 11, MODEL_POOL = 64 };

static const pil_initializer model_zeros = { PIL_INITIALIZER_ZEROS, 0, 0 };

/* ---- random graphs ---- */

struct random_model {
    struct pil_graph *graph;
    uint64_t state;
    struct pil_tensor *pool[MODEL_POOL]; /* rows, rank 2 */
    int count, variables;
};

static inline int64_t model_pick(struct random_model *m, int64_t limit)
{
    m->state = m->state * 6364136223846793005ull + 1442695040888963407ull;
    return (int64_t)((m->state >> 33) % (uint64_t)limit);
}

static inline struct pil_tensor *model_variable(struct random_model *m, struct shape shape)
{
    char name[32];
    snprintf(name, sizeof name, "v%d", m->variables++);
    return graph_variable(m->graph, name, shape, model_zeros, true);
}

/* Any of the pool, the newer ones more often. */
static inline struct pil_tensor *model_any(struct random_model *m)
{
    int64_t back = MIN(model_pick(m, m->count), model_pick(m, m->count));
    return m->pool[m->count - 1 - back];
}

static inline int64_t model_width(const struct pil_tensor *x)
{
    return x->type.shape.dims[1];
}

static inline struct pil_tensor *model_product(struct random_model *m, struct pil_tensor *x)
{
    static const int64_t widths[] = { 1, 3, 16, 18, 7 };
    static const enum activation kinds[] = { ACTIVATION_RELU, ACTIVATION_TANH, ACTIVATION_RELU, ACTIVATION_LINEAR };
    int64_t units = widths[model_pick(m, COUNT_OF(widths))];
    struct op_matmul_args args = { .bias = model_pick(m, 2), .activation = kinds[model_pick(m, COUNT_OF(kinds))] };
    struct pil_tensor *inputs[] = { x, model_variable(m, SHAPE(model_width(x), units)),
                                    args.bias ? model_variable(m, SHAPE(units)) : NULL };
    return graph_op(m->graph, "matmul", &args, inputs, 2 + args.bias, NULL);
}

static inline struct pil_tensor *model_norm(struct random_model *m, struct pil_tensor *x)
{
    struct pil_tensor *moments[2], *sums = graph_op1(m->graph, "moments", NULL, x);
    struct shape vector = SHAPE(model_width(x));
    graph_op(m->graph, "moments_mean", &(struct op_count_args){ 1 }, &sums, 1, moments);
    struct pil_tensor *all[] = { x, moments[0], moments[1], model_variable(m, vector), model_variable(m, vector) };
    return graph_op(m->graph, "batch_norm", &(struct op_norm_args){ 0.1f, true }, all, 5, NULL);
}

static inline struct pil_tensor *model_over_batch(struct random_model *m, struct pil_tensor *x)
{
    static const pil_softmax_options first = { .axis = 0 };
    static const pil_reduce_options over_batch = { .axis = { 1, { 0 } } }, all = { .keepdims = true };
    struct pil_graph *g = m->graph;
    struct pil_tensor *sum;
    switch (model_pick(m, 5)) {
    case 0:
        return graph_op1(g, "transpose", NULL, graph_op1(g, "softmax", NULL, graph_op1(g, "transpose", NULL, x)));
    case 1:
        return graph_op1(g, "softmax", &first, x);
    case 2:
        return graph_op2(g, "sub", NULL, x, graph_op1(g, "reduce_max", &over_batch, x));
    case 3:
        sum = graph_op1(g, "reduce_mean", &all, graph_op1(g, "square", NULL, x));
        break;
    default:
        sum = graph_op1(g, "sum_all", NULL, graph_op1(g, "square", NULL, x));
        break;
    }
    sum = graph_op1(g, "add_scalar", &(struct op_scalar_args){ 1 },
                    graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, sum));
    return graph_op2(g, "div", NULL, x, graph_op1(g, "sqrt", NULL, sum));
}

/* Reductions within a row, and a choice between two rows. */
static inline struct pil_tensor *model_choice(struct random_model *m, struct pil_tensor *x)
{
    static const pil_reduce_options columns = { .axis = { 1, { -1 } }, .keepdims = true };
    static const char *const ops[] = { "reduce_sum", "reduce_mean", "reduce_max" };
    struct pil_graph *g = m->graph;
    struct pil_tensor *one = graph_op1(g, ops[model_pick(m, COUNT_OF(ops))], &columns, x);
    return graph_op3(g, "where", NULL, graph_op2(g, "greater", NULL, x, one), x, graph_op1(g, "neg", NULL, one));
}

static inline struct pil_tensor *model_lookup(struct random_model *m)
{
    bool ragged = model_pick(m, 2);
    struct pil_tensor *ids = graph_input(m->graph, ragged ? "ragged" : "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true);
    return graph_op2(m->graph, "lookup", &(struct op_lookup_args){ COMBINER_MEAN, 0, 1 }, ids,
                     model_variable(m, SHAPE(MODEL_IDS, 1 + model_pick(m, 6))));
}

/* Parts of rows taken out and put together: views and copies, all of them read or some. */
static inline struct pil_tensor *model_parts(struct random_model *m, struct pil_tensor *x)
{
    static const pil_axes swapped = { 3, { 0, 2, 1 } };
    struct pil_graph *g = m->graph;
    struct pil_tensor *parts[64], *folded, *turned;
    int64_t width = model_width(x);
    if (width < 2 || width > 64)
        return graph_op1(g, "tile", &(pil_tile_options){ { 2, { 1, 1 + model_pick(m, 2) } } }, x);
    switch (model_pick(m, 5)) {
    case 0:
        pil_split(g, x, (size_t)width, 1, parts);
        return graph_op3(g, "concat", &(struct op_axis_args){ 1 }, parts[model_pick(m, width)], parts[0],
                         graph_op1(g, "square", NULL, parts[width - 1]));
    case 1: /* the parts of a row in another order, one of them left out */
        pil_split_sizes(g, x, (int64_t[]){ 1, width - 2, 1 }, 3, 1, parts);
        return graph_op2(g, "concat", &(struct op_axis_args){ 1 }, parts[1 + model_pick(m, 2)], parts[0]);
    case 2:
        folded = graph_op1(g, "expand_dims", &(struct op_axis_args){ 1 + (int)model_pick(m, 2) }, x);
        turned = graph_op1(g, "transpose", &swapped, folded);
        return graph_op1(g, "squeeze", &(pil_axes){ 0 }, graph_op2(g, "mul", NULL, turned, turned));
    case 3: /* x's parts times one another, as matrices */
        pil_unstack(g, x, (size_t)width, 1, parts);
        folded = graph_op(g, "stack", &(struct op_axis_args){ 1 }, parts, (int)width, NULL);
        folded = graph_op1(g, "expand_dims", &(struct op_axis_args){ 2 }, folded);
        turned = graph_op2(g, "batch_matmul", &(struct op_transposes_args){ .transpose_b = true }, folded, folded);
        return graph_op1(
            g, "activation", &(struct op_activation_args){ ACTIVATION_TANH },
            graph_op1(g, "reshape", &(struct op_reshape_args){ { 2, { BATCH_DIM, -1 } } },
                      graph_op1(g, "slice_box", &(pil_slice_options){ { 3, { 0, 1, 0 } }, { 3, { -1, 1, -1 } } }, turned)));
    default:
        return graph_op1(g, "pad", &(pil_pad_options){ { 2, { 0, 1 } }, { 2, { 0, model_pick(m, 3) } }, 0.5f }, x);
    }
}

static inline struct pil_tensor *model_move(struct random_model *m, struct pil_tensor *x)
{
    struct pil_graph *g = m->graph;
    int64_t width = model_width(x), kind = model_pick(m, 5);
    if (kind > 2)
        return model_parts(m, x);
    if (kind == 0 && width > 1) {
        int64_t first = model_pick(m, width - 1);
        return graph_op1(g, "slice", &(struct op_slice_args){ 1, first, 1 + model_pick(m, width - first) }, x);
    }
    if (kind == 1 && width % 2 == 0) {
        struct pil_tensor *folded = graph_op1(g, "reshape", &(struct op_reshape_args){ { 3, { BATCH_DIM, 2, width / 2 } } }, x);
        folded = graph_op1(g, "softmax", NULL, folded);
        return graph_op1(g, "reshape", &(struct op_reshape_args){ { 2, { BATCH_DIM, width } } }, folded);
    }
    struct pil_tensor *parts[] = { x, model_lookup(m), model_any(m) };
    return graph_op(g, "concat", &(struct op_axis_args){ 1 }, parts, 1 + (int)model_pick(m, 3), NULL);
}

static inline struct pil_tensor *model_arithmetic(struct random_model *m, struct pil_tensor *x)
{
    static const char *const ops[] = { "add", "mul", "sub", "maximum" };
    static const enum activation kinds[] = { ACTIVATION_RELU, ACTIVATION_SIGMOID, ACTIVATION_SWISH };
    struct pil_graph *g = m->graph;
    const char *op = ops[model_pick(m, COUNT_OF(ops))];
    struct pil_tensor *other = model_any(m);
    switch (model_pick(m, 6)) {
    case 4:
        return model_choice(m, x);
    case 0:
        return graph_op2(g, op, NULL, x, model_variable(m, SHAPE(model_width(x))));
    case 1:
        return graph_op1(g, "activation", &(struct op_activation_args){ kinds[model_pick(m, COUNT_OF(kinds))] }, x);
    case 2:
        return graph_op1(g, "dropout", &(struct op_dropout_args){ .rate = 0.25f }, x);
    case 3:
        return graph_op1(g, "scale", &(struct op_scalar_args){ 0.5f },
                         graph_op1(g, "add_scalar", &(struct op_scalar_args){ 1 }, x));
    default:
        if (model_width(other) == model_width(x) || model_width(other) == 1)
            return graph_op2(g, op, NULL, x, other);
        return graph_op1(g, "activation", &(struct op_activation_args){ ACTIVATION_TANH }, x);
    }
}

/* About `size` ops on top of the inputs; the loss is the mean square of the last ones. Variables stay below the rig's limit. */
static inline struct pil_tensor *random_model(struct pil_graph *g, uint64_t seed, int size)
{
    struct random_model m = { .graph = g, .state = seed * 77 + 5 };
    m.pool[m.count++] = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, MODEL_COLUMNS), false);
    m.pool[m.count++] = graph_input(g, "w", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false);
    m.pool[m.count++] = model_lookup(&m);
    while (m.count < MIN(size, MODEL_POOL)) {
        struct pil_tensor *x = model_any(&m);
        int64_t kind = model_pick(&m, m.variables < MOST_VARIABLES - 4 ? 10 : 4);
        m.pool[m.count++] = kind < 4    ? graph_op1(g, "activation", &(struct op_activation_args){ ACTIVATION_TANH }, x)
                            : kind < 6  ? model_product(&m, x)
                            : kind == 6 ? model_norm(&m, x)
                            : kind == 7 ? model_over_batch(&m, x)
                            : kind == 8 ? model_move(&m, x)
                                        : model_arithmetic(&m, x);
    }
    struct pil_tensor *all = graph_op(g, "concat", &(struct op_axis_args){ 1 }, m.pool + m.count - 4, 4, NULL);
    return graph_op1(g, "divide_by_rows", &(struct op_count_args){ 1 },
                     graph_op1(g, "sum_all", NULL, graph_op1(g, "square", NULL, all)));
}

/* ---- what they read ---- */

struct model_data {
    struct tensor x, w;
    int32_t ids[4096], ragged[3 * 4096];
    int64_t offsets[4097];
};

static inline struct model_data *model_data_new(int64_t rows)
{
    struct model_data *data = calloc(1, sizeof *data);
    pil_status status = { 0 };
    uint64_t state = 31;
    assert_non_null(data);
    assert_true(tensor_new(&data->x, DTYPE_FLOAT32, SHAPE(rows, MODEL_COLUMNS), true, &status));
    assert_true(tensor_new(&data->w, DTYPE_FLOAT32, SHAPE(rows, 1), true, &status));
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < MODEL_COLUMNS; c++)
            tensor_floats(&data->x)[r * data->x.ld + c] = 2 * noise(&state);
        tensor_floats(&data->w)[r] = 1 + noise(&state);
        data->ids[r] = (int32_t)((noise(&state) + 0.5f) * (MODEL_IDS - 1));
        data->offsets[r + 1] = data->offsets[r] + (int64_t)((noise(&state) + 0.5f) * 3);
        for (int64_t e = data->offsets[r]; e < data->offsets[r + 1]; e++)
            data->ragged[e] = (int32_t)((noise(&state) + 0.5f) * (MODEL_IDS - 1));
    }
    return data;
}

static inline void model_bind(struct session *session, struct model_data *data, int64_t rows)
{
    session_input(session, "x", &(struct op_value){ .tensor = data->x });
    session_input(session, "w", &(struct op_value){ .tensor = data->w });
    session_input(session, "ids", &(struct op_value){ .sparse = { .rows = rows, .entries = rows, .ids = data->ids } });
    session_input(
        session, "ragged",
        &(struct op_value){
            .sparse = { .rows = rows, .entries = data->offsets[rows], .ids = data->ragged, .offsets = data->offsets } });
}

static inline void model_data_free(struct model_data *data)
{
    tensor_free(&data->x);
    tensor_free(&data->w);
    free(data);
}

/* A session of random_model(seed) that fetches the loss and, with `all`, every tensor that is no gradient's own reduction. */
static inline struct rig model_rig(uint64_t seed, int size, int threads, struct model_data *data, int64_t rows, bool all)
{
    struct rig rig = rig_new();
    struct pil_tensor *fetches[4096];
    size_t count = 0;
    fetches[count++] = random_model(rig.graph, seed, size);
    assert_ok(*graph_status(rig.graph));
    graph_gradients(rig.graph, fetches[0]);
    for (size_t n = 0; all && n < rig.graph->node_count; n++) {
        struct node *node = rig.graph->nodes[n];
        bool fetched = node->kind == NODE_OP && node->behaviour != BEHAVIOUR_REDUCES && !(node->row->flags & OP_RECORD);
        for (int k = 0; fetched && k < node->output_count && count < COUNT_OF(fetches); k++)
            fetches[count++] = &node->outputs[k];
    }
    rig_start(&rig, fetches, count, threads, 5);
    model_bind(rig.session, data, rows);
    return rig;
}

/* Loss, dense gradients and records of a run, one behind the other; returns how many floats. */
static inline size_t model_results(struct rig *rig, float *out, size_t limit)
{
    const struct session_record *records;
    size_t count = session_records(rig->session, &records), n = 0;
    out[n++] = (float)session_scalar(rig->session, 0);
    memcpy(out + n, rig_gradients(rig), (size_t)rig->floats * sizeof *out);
    n += (size_t)rig->floats;
    for (size_t i = 0; i < count; i++) {
        const struct tensor *gradient = &records[i].gradient;
        assert_true(n + (size_t)(gradient->rows * gradient->cols) <= limit);
        tensor_pack(gradient, out + n);
        n += (size_t)(gradient->rows * gradient->cols);
    }
    return n;
}

#endif
