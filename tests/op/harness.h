/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One case of an op tells its inputs, what its shape rule must say, and the same computation in plain doubles. From that
 * try_op checks, at every level this processor has and for 1, 3, 64, 65 and 333 rows:
 *
 *   the result against the doubles; the gradient of every input against central differences of the doubles;
 *   the same with its matrices as columns of wider ones, whose neighbours are not zero;
 *   the same bits with three threads and with every buffer poisoned before; pads that stay zero.
 *
 * An input with rows is a table looked up by row number, so that its gradient comes out as a record; any other is a variable.
 * The loss is the sum of all results times fixed numbers. (What shape rules must not take: refusals.h. Other projects' cases:
 * onnx.h.)
 */
#ifndef PILASTER_TESTS_OP_HARNESS_H
#define PILASTER_TESTS_OP_HARNESS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "graph/internal.h"

enum { MOST_INPUTS = 6, MOST_OUTPUTS = 5, LEFT = 2, RIGHT = 3, MOST_ROWS = 333 };
static const char *const level_names[] = { "c", "avx2", "avx512" };

#define assert_ok(status)                                                                                                        \
    do {                                                                                                                         \
        if (!status_ok(&(status)))                                                                                               \
            fail_msg("%s", (status).message);                                                                                    \
    } while (0)

struct input {
    struct shape shape; /* BATCH_DIM first: rows */
    double low, high;   /* values are drawn from there; both 0: from -1 to 1 */
    bool data;          /* no gradient is wanted: a plain input, or a constant */
    bool whole;         /* whole numbers: classes */
};
struct trial {
    const char *op;
    const void *args;
    struct input inputs[MOST_INPUTS];
    int input_count, output_count; /* outputs 0: one */
    struct shape outputs[MOST_OUTPUTS];
    enum extent extent; /* of the first output, and what its node does */
    enum behaviour behaviour;
    void (*reference)(const struct trial *trial, int64_t rows, double *const *x, double *const *y);
    /* Several ops instead of one; `op` then names them all. */
    void (*compose)(const struct trial *trial, struct pil_graph *graph, struct pil_tensor *const *inputs,
                    struct pil_tensor **results);
    bool no_gradient; /* the op has none */
    double tolerance; /* of the result, relative to 1 + |value|; 0: 2e-6 */
};

/* ---- numbers ---- */

static uint64_t noise_state = 1;

static inline double uniform(double low, double high)
{
    noise_state = noise_state * 6364136223846793005ull + 1442695040888963407ull;
    return low + (high - low) * ((double)(noise_state >> 33) / (double)(1u << 31));
}

static inline bool has_rows(struct shape shape)
{
    return shape.rank > 0 && shape.dims[0] == BATCH_DIM;
}

static inline int64_t elements(struct shape shape, int64_t rows)
{
    return shape_elements(shape_with_batch(shape, rows));
}

/* Elements of one row. */
static inline int64_t width(struct shape shape)
{
    return elements(shape, 1);
}

static inline double *doubles(int64_t count)
{
    double *list = calloc((size_t)MAX(count, 1), sizeof *list);
    assert_non_null(list);
    return list;
}

/* ---- formulas that several families need ---- */

static inline double activated(enum activation kind, double x)
{
    switch (kind) {
    case ACTIVATION_RELU:
        return fmax(x, 0);
    case ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    case ACTIVATION_TANH:
        return tanh(x);
    case ACTIVATION_ELU:
        return x > 0 ? x : expm1(x);
    case ACTIVATION_SELU:
        return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * expm1(x));
    case ACTIVATION_SOFTPLUS:
        return log1p(exp(x));
    case ACTIVATION_SOFTSIGN:
        return x / (1 + fabs(x));
    case ACTIVATION_EXPONENTIAL:
        return exp(x);
    case ACTIVATION_GELU:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case ACTIVATION_SWISH:
        return x / (1 + exp(-x));
    case ACTIVATION_HARD_SIGMOID:
        return fmin(fmax(0.2 * x + 0.5, 0), 1);
    case ACTIVATION_LEAKY_RELU:
        return x > 0 ? x : 0.2 * x;
    case ACTIVATION_RELU6:
        return fmin(fmax(x, 0), 6);
    case ACTIVATION_MISH:
        return x * tanh(log1p(exp(x)));
    default:
        return x;
    }
}

/* ---- a case as a graph with its session ---- */

struct rig {
    const struct trial *trial;
    const struct kernels *kernels;
    int64_t rows;
    bool wide; /* matrices by rows are columns of wider ones */
    pil_status status;
    struct pil_graph *graph;
    struct plan *plan;
    struct threads *threads;
    struct session *session;
    double *x[MOST_INPUTS], *factors[MOST_OUTPUTS], *y[MOST_OUTPUTS]; /* values, what results are multiplied by, references */
    struct pil_tensor *results[MOST_OUTPUTS];
    struct tensor memory[2 * MOST_INPUTS + MOST_OUTPUTS]; /* of inputs and variables */
    int memory_count;
    int32_t ids[MOST_ROWS];
    int64_t offsets[MOST_INPUTS], floats; /* of the variables' gradients */
};

static inline bool is_wide(const struct rig *rig, const struct input *input)
{
    return rig->wide && has_rows(input->shape) && input->shape.rank == 2;
}

/* Contiguous doubles into a new tensor [rows, columns], `left` columns from its left edge; the others hold junk. */
static inline struct tensor *lay(struct rig *rig, struct shape shape, bool by_rows, const double *values, int64_t rows,
                                 int64_t columns, int64_t left)
{
    struct tensor *tensor = &rig->memory[rig->memory_count++];
    assert_true(tensor_new(tensor, DTYPE_FLOAT32, shape, by_rows, &rig->status));
    for (int64_t r = 0; r < tensor->rows; r++)
        for (int64_t c = 0; c < tensor->cols; c++)
            tensor_floats(tensor)[r * tensor->ld + c] = 7;
    int64_t n = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            tensor_floats(tensor)[r * tensor->ld + left + c] = (float)values[n++];
    return tensor;
}

static inline struct pil_tensor *add_input(struct rig *rig, int i)
{
    const struct input *input = &rig->trial->inputs[i];
    struct pil_graph *g = rig->graph;
    bool rows = has_rows(input->shape), wide = is_wide(rig, input);
    int64_t columns = width(input->shape), all = wide ? LEFT + columns + RIGHT : columns;
    struct op_slice_args middle = { 1, LEFT, columns };
    char name[32];
    snprintf(name, sizeof name, "x%d", i);
    if (!rows && input->data) {
        float *values = calloc((size_t)MAX(columns, 1), sizeof *values);
        assert_non_null(values);
        for (int64_t n = 0; n < columns; n++)
            values[n] = (float)rig->x[i][n];
        struct pil_tensor *constant = graph_constant(g, input->shape, values);
        free(values);
        return constant;
    }
    if (!rows)
        return graph_variable(g, name, input->shape, (pil_initializer){ 0 }, true);
    struct pil_tensor *x;
    if (input->data) {
        struct shape shape = input->shape;
        shape.dims[1] = wide ? all : shape.dims[1];
        x = graph_input(g, name, DTYPE_FLOAT32, shape, false);
    } else {
        struct op_lookup_args args = { COMBINER_SUM, 0, 1 };
        struct pil_tensor *ids = graph_input(g, "rows", DTYPE_INT32, SHAPE(BATCH_DIM), true);
        x = graph_op2(g, "lookup", &args, ids, graph_variable(g, name, SHAPE(rig->rows, all), (pil_initializer){ 0 }, true));
        if (input->shape.rank != 2)
            x = graph_op1(g, "reshape", &(struct op_reshape_args){ input->shape }, x);
    }
    return wide ? graph_op1(g, "slice", &middle, x) : x;
}

/* A result's share of the loss: it times its factors, summed. */
static inline struct pil_tensor *share(struct rig *rig, int k)
{
    struct pil_graph *g = rig->graph;
    struct pil_tensor *y = rig->results[k], *factors;
    struct shape shape = rig->trial->outputs[k];
    char name[32];
    snprintf(name, sizeof name, "factors%d", k);
    if (y->type.dtype != DTYPE_FLOAT32)
        y = graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, y);
    if (has_rows(shape)) {
        factors = graph_input(g, name, DTYPE_FLOAT32, shape, false);
    } else if (shape.rank == 2 && shape.dims[1] == BATCH_DIM) {
        factors = graph_op1(g, "transpose", NULL, graph_input(g, name, DTYPE_FLOAT32, SHAPE(BATCH_DIM, shape.dims[0]), false));
    } else {
        float *values = calloc((size_t)MAX(width(shape), 1), sizeof *values);
        assert_non_null(values);
        for (int64_t n = 0; n < width(shape); n++)
            values[n] = (float)rig->factors[k][n];
        factors = graph_constant(g, shape, values);
        free(values);
    }
    struct pil_tensor *sum = graph_op1(g, "sum_all", NULL, graph_op2(g, "mul", NULL, y, factors));
    return graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, sum);
}

static inline int outputs_of(const struct trial *trial)
{
    return MAX(trial->output_count, 1);
}

static inline void check_types(const struct rig *rig)
{
    const struct trial *trial = rig->trial;
    for (int k = 0; k < outputs_of(trial); k++) {
        char got[128], want[128];
        const struct op_type *type = &rig->results[k]->type;
        if (!shape_equal(type->shape, trial->outputs[k]) || (k == 0 && type->extent != trial->extent))
            fail_msg("%s: result %s of extent %d, not %s of extent %d", trial->op, shape_text(type->shape, got), type->extent,
                     shape_text(trial->outputs[k], want), trial->extent);
    }
    assert_int_equal(rig->results[0]->node->behaviour, trial->behaviour);
}

static inline void rig_build(struct rig *rig)
{
    const struct trial *trial = rig->trial;
    struct pil_tensor *inputs[MOST_INPUTS], *fetches[MOST_OUTPUTS];
    rig->graph = graph_new(&rig->status);
    assert_ok(rig->status);
    for (int i = 0; i < trial->input_count; i++)
        inputs[i] = add_input(rig, i);
    if (trial->compose)
        trial->compose(trial, rig->graph, inputs, rig->results);
    else
        graph_op(rig->graph, trial->op, trial->args, inputs, trial->input_count, rig->results);
    assert_ok(*graph_status(rig->graph));
    check_types(rig);
    struct pil_tensor *loss = NULL;
    for (int k = 0; k < outputs_of(trial); k++) {
        fetches[k] = rig->results[k];
        if (!trial->no_gradient)
            loss = loss ? graph_op2(rig->graph, "add", NULL, loss, share(rig, k)) : share(rig, k);
    }
    if (loss)
        graph_gradients(rig->graph, loss);
    assert_ok(*graph_status(rig->graph));
    rig->plan = plan_compile(rig->graph, fetches, (size_t)outputs_of(trial), &rig->status);
    assert_ok(rig->status);
}

static inline void bind_variable(struct rig *rig, int i)
{
    const struct input *input = &rig->trial->inputs[i];
    bool rows = has_rows(input->shape), wide = is_wide(rig, input);
    int64_t columns = width(input->shape), all = wide ? LEFT + columns + RIGHT : columns, matrix_rows, matrix_columns;
    tensor_cut(input->shape, false, &matrix_rows, &matrix_columns);
    struct tensor *value = rows ? lay(rig, SHAPE(rig->rows, all), false, rig->x[i], rig->rows, columns, wide ? LEFT : 0)
                                : lay(rig, input->shape, false, rig->x[i], matrix_rows, matrix_columns, 0);
    rig->offsets[i] = rig->floats;
    struct session_variable where = { *value, rows ? -1 : 0, rig->floats };
    rig->floats += rows ? 0 : (value->rows * value->ld + PAD - 1) / PAD * PAD;
    char name[32];
    snprintf(name, sizeof name, "x%d", i);
    for (size_t v = 0; v < graph_variable_count(rig->graph); v++)
        if (strcmp(graph_variable_at(rig->graph, v)->name, name) == 0)
            assert_true(session_bind(rig->session, graph_variable_at(rig->graph, v), &where, &rig->status));
}

static inline void bind_rows(struct rig *rig, const char *name, struct shape shape, const double *values, bool wide)
{
    struct shape own = shape_with_batch(shape, rig->rows);
    int64_t columns = width(shape);
    own.dims[1] = wide ? LEFT + columns + RIGHT : own.dims[1];
    session_input(rig->session, name,
                  &(struct op_value){ .tensor = *lay(rig, own, true, values, rig->rows, columns, wide ? LEFT : 0) });
}

static inline void rig_start(struct rig *rig, int threads)
{
    const struct trial *trial = rig->trial;
    char name[32];
    rig->threads = threads_new(threads, &rig->status);
    rig->session = session_new(rig->plan, rig->threads, rig->kernels, 3, &rig->status);
    assert_ok(rig->status);
    rig->floats = 0;
    for (int i = 0; i < trial->input_count; i++) {
        snprintf(name, sizeof name, "x%d", i);
        if (!trial->inputs[i].data)
            bind_variable(rig, i);
        else if (has_rows(trial->inputs[i].shape))
            bind_rows(rig, name, trial->inputs[i].shape, rig->x[i], is_wide(rig, &trial->inputs[i]));
    }
    for (int64_t r = 0; r < rig->rows; r++)
        rig->ids[r] = (int32_t)r;
    session_input(rig->session, "rows",
                  &(struct op_value){ .sparse = { .rows = rig->rows, .entries = rig->rows, .ids = rig->ids } });
    for (int k = 0; k < outputs_of(trial); k++) {
        struct shape shape = trial->outputs[k];
        snprintf(name, sizeof name, "factors%d", k);
        if (shape.rank == 2 && shape.dims[1] == BATCH_DIM) { /* transposed: they are drawn as [c, batch] */
            double *turned = doubles(rig->rows * shape.dims[0]);
            for (int64_t n = 0; n < rig->rows * shape.dims[0]; n++)
                turned[n] = rig->factors[k][n % shape.dims[0] * rig->rows + n / shape.dims[0]];
            bind_rows(rig, name, SHAPE(BATCH_DIM, shape.dims[0]), turned, false);
            free(turned);
        } else if (has_rows(shape)) {
            bind_rows(rig, name, shape, rig->factors[k], false);
        }
    }
    assert_true(session_groups(rig->session, 0, rig->floats, &rig->status));
}

static inline void rig_run(struct rig *rig)
{
    session_run(rig->session, rig->rows, 1, NULL, 0, &rig->status);
    assert_ok(rig->status);
    const char *dirty = session_dirty_pad(rig->session);
    if (dirty)
        fail_msg("%s: a pad of %s is not zero", rig->trial->op, dirty);
}

static inline void rig_stop(struct rig *rig)
{
    session_free(rig->session);
    threads_free(rig->threads);
    for (int i = 0; i < rig->memory_count; i++)
        tensor_free(&rig->memory[i]);
    rig->memory_count = 0;
}

/* ---- what is checked ---- */

static inline double result_at(const struct tensor *tensor, int64_t n)
{
    int64_t at = n / tensor->cols * tensor->ld + n % tensor->cols;
    return tensor->dtype == DTYPE_FLOAT64 ? ((const double *)tensor->data)[at] : (double)tensor_floats(tensor)[at];
}

static inline void check_results(const struct rig *rig)
{
    const struct trial *trial = rig->trial;
    double tolerance = trial->tolerance > 0 ? trial->tolerance : 2e-6;
    for (int k = 0; k < outputs_of(trial); k++) {
        const struct tensor *got = &session_fetch(rig->session, (size_t)k)->tensor;
        int64_t count = elements(trial->outputs[k], rig->rows);
        assert_int_equal(got->rows * got->cols, count);
        for (int64_t n = 0; n < count; n++) {
            double want = rig->y[k][n], value = result_at(got, n);
            if (!(fabs(value - want) <= tolerance * (1 + fabs(want))) && !(isnan(value) && isnan(want)) && value != want)
                fail_msg("%s, level %s, %lld rows%s: element %lld is %.9g, not %.9g", trial->op, rig->kernels->level,
                         (long long)rig->rows, rig->wide ? ", wide" : "", (long long)n, value, want);
        }
    }
}

/* The loss in doubles. */
static inline double loss_of(const struct rig *rig)
{
    double loss = 0;
    double *y[MOST_OUTPUTS] = { NULL };
    for (int k = 0; k < outputs_of(rig->trial); k++)
        y[k] = doubles(elements(rig->trial->outputs[k], rig->rows));
    rig->trial->reference(rig->trial, rig->rows, rig->x, y);
    for (int k = 0; k < outputs_of(rig->trial); k++) {
        for (int64_t n = 0; n < elements(rig->trial->outputs[k], rig->rows); n++)
            loss += y[k][n] * rig->factors[k][n];
        free(y[k]);
    }
    return loss;
}

/* The gradient of element n of input i, as an optimizer would find it. */
static inline double gradient_at(const struct rig *rig, const float *dense, int i, int64_t n)
{
    const struct input *input = &rig->trial->inputs[i];
    int64_t columns = width(input->shape), rows;
    const struct session_record *records;
    char name[32];
    snprintf(name, sizeof name, "x%d", i);
    if (!has_rows(input->shape)) {
        tensor_cut(input->shape, false, &rows, &columns);
        return (double)dense[rig->offsets[i] + n / columns * pad_columns(columns) + n % columns];
    }
    size_t count = session_records(rig->session, &records);
    for (size_t r = 0; r < count; r++)
        if (strcmp(records[r].variable->name, name) == 0) {
            const struct tensor *d = &records[r].gradient;
            return (double)tensor_floats(d)[n / columns * d->ld + n % columns + (is_wide(rig, input) ? LEFT : 0)];
        }
    return 0;
}

/* The fixed tree over the shards' partials. */
static inline float *sum_partials(const struct rig *rig)
{
    struct session_partials partials = session_partials(rig->session, 0);
    for (int64_t step = 1; step < partials.count; step *= 2)
        for (int64_t s = 0; s + step < partials.count; s += 2 * step)
            for (int64_t n = 0; n < partials.floats; n++)
                partials.partials[s][n] += partials.partials[s + step][n];
    return partials.floats ? partials.partials[0] : NULL;
}

static inline void check_gradients(const struct rig *rig, const float *dense)
{
    const struct trial *trial = rig->trial;
    for (int i = 0; i < trial->input_count; i++) {
        int64_t count = elements(trial->inputs[i].shape, rig->rows);
        for (int64_t n = 0; !trial->inputs[i].data && n < count; n += MAX(count / 7, 1)) {
            double *at = &rig->x[i][n], x = *at, h = 1e-6 * (1 + fabs(x));
            *at = x + h;
            double above = loss_of(rig);
            *at = x - h;
            double numeric = (above - loss_of(rig)) / (2 * h), gradient = gradient_at(rig, dense, i, n);
            *at = x;
            if (!(fabs(gradient - numeric) <= 1e-4 * (1 + fabs(numeric))))
                fail_msg("%s, level %s, %lld rows%s: gradient of input %d, element %lld, is %g, by differences %g", trial->op,
                         rig->kernels->level, (long long)rig->rows, rig->wide ? ", wide" : "", i, (long long)n, gradient,
                         numeric);
        }
    }
}

/* Results and gradients of a run as bytes, to be compared. */
static inline size_t gather(const struct rig *rig, const float *dense, char **bytes)
{
    size_t size = (size_t)rig->floats * sizeof(float), at = 0;
    for (int k = 0; k < outputs_of(rig->trial); k++)
        size += (size_t)elements(rig->trial->outputs[k], rig->rows) * sizeof(double);
    for (int i = 0; i < rig->trial->input_count; i++)
        size += (size_t)elements(rig->trial->inputs[i].shape, rig->rows) * sizeof(double);
    *bytes = calloc(size + 1, 1);
    assert_non_null(*bytes);
    for (int k = 0; k < outputs_of(rig->trial); k++)
        for (int64_t n = 0; n < elements(rig->trial->outputs[k], rig->rows); n++, at += sizeof(double)) {
            double value = result_at(&session_fetch(rig->session, (size_t)k)->tensor, n);
            memcpy(*bytes + at, &value, sizeof value);
        }
    for (int i = 0; i < rig->trial->input_count; i++)
        for (int64_t n = 0; !rig->trial->inputs[i].data && n < elements(rig->trial->inputs[i].shape, rig->rows);
             n++, at += sizeof(double)) {
            double value = rig->trial->no_gradient ? 0 : gradient_at(rig, dense, i, n);
            memcpy(*bytes + at, &value, sizeof value);
        }
    return at;
}

static inline void draw(struct rig *rig)
{
    const struct trial *trial = rig->trial;
    noise_state = (uint64_t)rig->rows + 17;
    for (int i = 0; i < trial->input_count; i++) {
        const struct input *input = &trial->inputs[i];
        bool ranged = input->low != 0 || input->high != 0;
        int64_t count = elements(input->shape, rig->rows);
        rig->x[i] = doubles(count);
        for (int64_t n = 0; n < count; n++) {
            double value = ranged ? uniform(input->low, input->high) : uniform(-1, 1);
            rig->x[i][n] = input->whole ? floor(value) : (double)(float)value;
        }
    }
    for (int k = 0; k < outputs_of(trial); k++) {
        int64_t count = elements(trial->outputs[k], rig->rows);
        rig->factors[k] = doubles(count);
        rig->y[k] = doubles(count);
        for (int64_t n = 0; n < count; n++)
            rig->factors[k][n] = (double)(float)uniform(-1, 1);
    }
    trial->reference(trial, rig->rows, rig->x, rig->y);
}

static inline void try_at(const struct trial *trial, const struct kernels *kernels, int64_t rows, bool wide)
{
    struct rig *rig = calloc(1, sizeof *rig);
    char *one, *three;
    assert_non_null(rig);
    *rig = (struct rig){ .trial = trial, .kernels = kernels, .rows = rows, .wide = wide };
    draw(rig);
    rig_build(rig);
    rig_start(rig, 1);
    rig_run(rig);
    float *dense = sum_partials(rig);
    check_results(rig);
    if (!trial->no_gradient)
        check_gradients(rig, dense);
    size_t size = gather(rig, dense, &one);
    rig_stop(rig);
    rig_start(rig, 3);
    session_poison(rig->session);
    rig_run(rig);
    rig_run(rig);
    assert_int_equal(gather(rig, sum_partials(rig), &three), size);
    if (memcmp(one, three, size) != 0)
        fail_msg("%s, level %s, %lld rows: three threads and poisoned buffers give other bits", trial->op, kernels->level,
                 (long long)rows);
    rig_stop(rig);
    free(one);
    free(three);
    for (int i = 0; i < trial->input_count; i++)
        free(rig->x[i]);
    for (int k = 0; k < outputs_of(trial); k++) {
        free(rig->factors[k]);
        free(rig->y[k]);
    }
    plan_free(rig->plan);
    graph_free(rig->graph);
    free(rig);
}

static inline void try_op(const struct trial *trial)
{
    static const int64_t sizes[] = { 1, 3, 64, 65, MOST_ROWS };
    bool rows = false, matrices = false;
    for (int i = 0; i < trial->input_count; i++) {
        rows |= has_rows(trial->inputs[i].shape);
        matrices |= has_rows(trial->inputs[i].shape) && trial->inputs[i].shape.rank == 2;
    }
    for (size_t l = 0; l < COUNT_OF(level_names); l++) {
        const struct kernels *kernels = kernel_level(level_names[l]);
        for (size_t s = 0; kernels && s < (rows ? COUNT_OF(sizes) : 1); s++) {
            try_at(trial, kernels, sizes[s], false);
            if (matrices)
                try_at(trial, kernels, sizes[s], true);
        }
    }
}

#endif
