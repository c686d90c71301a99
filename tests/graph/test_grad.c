/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gradients through compositions, against central differences in doubles (op/harness.h): tensors read several times, variables
 * read in several ways, phases that need each other's sums. Then what a walk must refuse or leave out.
 */
#include "op/harness.h"
#include "pilaster/op.h"

/* ---- compositions: ops on the left, doubles on the right ---- */

#define COMPOSE(name)                                                                                                            \
    static void name##_graph(const struct trial *t, struct pil_graph *g, struct pil_tensor *const *x, struct pil_tensor **y)
#define DOUBLES(name) static void name##_doubles(const struct trial *t, int64_t rows, double *const *x, double *const *y)

static struct pil_tensor *act(struct pil_graph *g, enum activation kind, struct pil_tensor *x)
{
    return graph_op1(g, "activation", &(struct op_activation_args){ kind }, x);
}

/* y = tanh(x) x + x: three uses of one tensor. */
COMPOSE(thrice)
{
    (void)t;
    y[0] = graph_op2(g, "add", NULL, graph_op2(g, "mul", NULL, act(g, ACTIVATION_TANH, x[0]), x[0]), x[0]);
}
DOUBLES(thrice)
{
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] = tanh(x[0][n]) * x[0][n] + x[0][n];
}

/* out[m, n] += a[m, k] b[k, n] */
static void multiply(const double *a, const double *b, double *out, int64_t m, int64_t k, int64_t n)
{
    memset(out, 0, (size_t)(m * n) * sizeof *out);
    for (int64_t i = 0; i < m; i++)
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < n; j++)
                out[i * n + j] += a[i * k + p] * b[p * n + j];
}

/* y = tanh(x W) W + b b, and the sum of squares of W beside it: reductions and whole parts of one variable's gradient. */
COMPOSE(variable_in_many_ways)
{
    struct op_matmul_args layer = { .activation = ACTIVATION_TANH }, plain = { .bias = true };
    (void)t;
    struct pil_tensor *h = graph_op2(g, "matmul", &layer, x[0], x[1]);
    y[0] = graph_op2(g, "add", NULL, graph_op3(g, "matmul", &plain, h, x[1], x[2]), x[2]);
    y[1] = graph_op1(g, "square", NULL, x[1]);
}
DOUBLES(variable_in_many_ways)
{
    int64_t k = t->inputs[1].shape.dims[0], n = rows * k;
    double *h = doubles(n);
    multiply(x[0], x[1], h, rows, k, k);
    for (int64_t i = 0; i < n; i++)
        h[i] = tanh(h[i]);
    multiply(h, x[1], y[0], rows, k, k);
    for (int64_t i = 0; i < n; i++)
        y[0][i] += 2 * x[2][i % k];
    for (int64_t i = 0; i < k * k; i++)
        y[1][i] = x[1][i] * x[1][i];
    free(h);
}

/* y = x ((W + V) + (W + W)): one tensor is the gradient of two variables, and of one variable twice. */
COMPOSE(one_gradient_for_many)
{
    struct op_matmul_args plain = { 0 };
    (void)t;
    struct pil_tensor *sum =
        graph_op2(g, "add", NULL, graph_op2(g, "add", NULL, x[1], x[2]), graph_op2(g, "add", NULL, x[1], x[1]));
    y[0] = graph_op2(g, "matmul", &plain, x[0], sum);
}
DOUBLES(one_gradient_for_many)
{
    int64_t k = t->inputs[1].shape.dims[0], n = t->inputs[1].shape.dims[1];
    double *sum = doubles(k * n);
    for (int64_t i = 0; i < k * n; i++)
        sum[i] = 3 * x[1][i] + x[2][i];
    multiply(x[0], sum, y[0], rows, k, n);
    free(sum);
}

/* Parts of x that overlap, put together in another order, some of them twice. */
COMPOSE(parts)
{
    struct op_slice_args first = { 1, 0, 4 }, middle = { 1, 2, 3 }, inner = { 1, 1, 2 };
    (void)t;
    struct pil_tensor *a = graph_op1(g, "slice", &first, x[0]), *b = graph_op1(g, "slice", &middle, x[0]);
    struct pil_tensor *list[] = { b, a, graph_op1(g, "slice", &inner, a), b };
    y[0] = act(g, ACTIVATION_SIGMOID, graph_op(g, "concat", &(struct op_axis_args){ 1 }, list, 4, NULL));
}
DOUBLES(parts)
{
    static const int columns[] = { 2, 3, 4, 0, 1, 2, 3, 1, 2, 2, 3, 4 };
    int64_t width_in = t->inputs[0].shape.dims[1];
    for (int64_t n = 0; n < rows * (int64_t)COUNT_OF(columns); n++)
        y[0][n] = 1 / (1 + exp(-x[0][n / (int64_t)COUNT_OF(columns) * width_in + columns[n % (int64_t)COUNT_OF(columns)]]));
}

/* All of x by slices that lie side by side, overlap, or leave gaps, of both kinds, each squared. */
COMPOSE(slices)
{
    static const int64_t firsts[] = { 2, 0, 4, 1, 4, 3 }, counts[] = { 2, 1, 1, 1, 1, 2 };
    struct pil_tensor *list[COUNT_OF(firsts)];
    (void)t;
    for (size_t i = 0; i < COUNT_OF(firsts); i++) {
        struct op_slice_args part = { i % 2 ? -1 : 1, firsts[i], counts[i] };
        pil_slice_options box = { { 2, { 0, firsts[i] } }, { 2, { -1, counts[i] } } };
        list[i] =
            graph_op1(g, "square", NULL, i < 3 ? graph_op1(g, "slice", &part, x[0]) : graph_op1(g, "slice_box", &box, x[0]));
    }
    y[0] = graph_op(g, "concat", &(struct op_axis_args){ 1 }, list, COUNT_OF(firsts), NULL);
}
DOUBLES(slices)
{
    static const int columns[] = { 2, 3, 0, 4, 1, 4, 3, 4 };
    int64_t width_in = t->inputs[0].shape.dims[1];
    for (int64_t n = 0; n < rows * (int64_t)COUNT_OF(columns); n++) {
        double in = x[0][n / (int64_t)COUNT_OF(columns) * width_in + columns[n % (int64_t)COUNT_OF(columns)]];
        y[0][n] = in * in;
    }
}

/* Softmax over the batch, weighted by rows, and the columns' sums of that: three phases. */
COMPOSE(softmax_over_rows)
{
    (void)t;
    struct pil_tensor *p = graph_op1(g, "transpose", NULL, graph_op1(g, "softmax", NULL, graph_op1(g, "transpose", NULL, x[0])));
    y[0] = graph_op2(g, "mul", NULL, p, x[1]);
    y[1] = graph_op1(g, "sum_to", &(struct op_reshape_args){ t->outputs[1] }, graph_op1(g, "square", NULL, y[0]));
}
DOUBLES(softmax_over_rows)
{
    int64_t c = t->inputs[0].shape.dims[1];
    for (int64_t k = 0; k < c; k++) {
        double sum = 0;
        y[1][k] = 0;
        for (int64_t r = 0; r < rows; r++)
            sum += exp(x[0][r * c + k]);
        for (int64_t r = 0; r < rows; r++) {
            y[0][r * c + k] = exp(x[0][r * c + k]) / sum * x[1][r];
            y[1][k] += y[0][r * c + k] * y[0][r * c + k];
        }
    }
}

/* y = x / max(|x|, 1/2), the norm over the whole batch: what clipping by the global norm does. */
COMPOSE(clip_by_norm)
{
    (void)t;
    struct pil_tensor *sum = graph_op1(g, "sum_all", NULL, graph_op1(g, "square", NULL, x[0]));
    struct pil_tensor *norm = graph_op1(g, "sqrt", NULL, graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, sum));
    y[0] = graph_op2(g, "div", NULL, x[0], graph_op2(g, "maximum", NULL, norm, graph_scalar(g, 0.5f)));
}
DOUBLES(clip_by_norm)
{
    double sum = 0;
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        sum += x[0][n] * x[0][n];
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] = x[0][n] / fmax(sqrt(sum), 0.5);
}

/* A weighted mean, sum(w l) / sum(w), with the weights trained as well. */
COMPOSE(weighted_mean)
{
    struct op_cast_args to_float = { DTYPE_FLOAT32 };
    (void)t;
    struct pil_tensor *top = graph_op1(g, "sum_all", NULL, graph_op2(g, "mul", NULL, graph_op1(g, "square", NULL, x[0]), x[1]));
    struct pil_tensor *bottom = graph_op1(g, "sum_all", NULL, x[1]);
    y[0] = graph_op2(g, "div", NULL, graph_op1(g, "cast", &to_float, top), graph_op1(g, "cast", &to_float, bottom));
}
DOUBLES(weighted_mean)
{
    double top = 0, bottom = 0;
    (void)t;
    for (int64_t r = 0; r < rows; r++) {
        top += x[0][r] * x[0][r] * x[1][r];
        bottom += x[1][r];
    }
    y[0][0] = top / bottom;
}

/* Broadcasts of every kind in one expression: ((x a + b) c) / d - e, with rows, vectors, scalars. */
COMPOSE(broadcasts)
{
    (void)t;
    struct pil_tensor *sum = graph_op2(g, "add", NULL, graph_op2(g, "mul", NULL, x[0], x[1]), x[2]);
    sum = graph_op2(g, "div", NULL, graph_op2(g, "mul", NULL, sum, x[3]), x[4]);
    y[0] = graph_op2(g, "sub", NULL, graph_op2(g, "maximum", NULL, sum, x[5]), x[3]);
}
DOUBLES(broadcasts)
{
    int64_t c = t->outputs[0].dims[1];
    for (int64_t n = 0; n < rows * c; n++) {
        double sum = (x[0][n] * x[1][n / c] + x[2][n % c]) * x[3][0] / x[4][n % c];
        y[0][n] = fmax(sum, x[5][n / c]) - x[3][0];
    }
}

/* A chain long enough that tiles are used again and again, mostly in place. */
COMPOSE(long_chain)
{
    (void)t;
    y[0] = x[0];
    for (int i = 0; i < 6; i++) {
        struct pil_tensor *side = graph_op1(g, "add_scalar", &(struct op_scalar_args){ 1 }, graph_op1(g, "square", NULL, y[0]));
        y[0] = graph_op2(g, "div", NULL, graph_op1(g, "scale", &(struct op_scalar_args){ 1.5f }, y[0]), side);
        y[0] = act(g, i % 2 ? ACTIVATION_SWISH : ACTIVATION_TANH, y[0]);
    }
}
DOUBLES(long_chain)
{
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++) {
        double v = x[0][n];
        for (int i = 0; i < 6; i++) {
            v = 1.5 * v / (v * v + 1);
            v = i % 2 ? v / (1 + exp(-v)) : tanh(v);
        }
        y[0][n] = v;
    }
}

/* Rows of rank 3 folded into a matrix and back, with a product in each form. */
COMPOSE(reshapes)
{
    struct op_matmul_args plain = { 0 };
    (void)t;
    struct pil_tensor *h = graph_op2(g, "matmul", &plain, x[0], x[1]); /* [?, 3, 4] x [4, 2] */
    h = act(g, ACTIVATION_TANH, graph_op1(g, "reshape", &(struct op_reshape_args){ { 2, { BATCH_DIM, 6 } } }, h));
    y[0] = graph_op2(g, "matmul", &plain, h, x[2]); /* [?, 6] x [6, 5] */
}
DOUBLES(reshapes)
{
    double *h = doubles(rows * 6);
    (void)t;
    multiply(x[0], x[1], h, rows * 3, 4, 2);
    for (int64_t n = 0; n < rows * 6; n++)
        h[n] = tanh(h[n]);
    multiply(h, x[2], y[0], rows, 6, 5);
    free(h);
}

#define CASE(name, ...)                                                                                                          \
    {                                                                                                                            \
        .op = #name, .compose = name##_graph, .reference = name##_doubles, __VA_ARGS__                                           \
    }
#define ROW_MATRIX(columns)                                                                                                      \
    {                                                                                                                            \
        2,                                                                                                                       \
        {                                                                                                                        \
            BATCH_DIM, columns                                                                                                   \
        }                                                                                                                        \
    }
#define BY_ROWS .extent = EXTENT_ROWS, .behaviour = BEHAVIOUR_ROW_BY_ROW

static void compositions(void **state)
{
    (void)state;
    static const struct trial list[] = {
        CASE(thrice, BY_ROWS, .inputs = { { .shape = ROW_MATRIX(5) } }, .input_count = 1, .outputs = { ROW_MATRIX(5) }),
        CASE(variable_in_many_ways, BY_ROWS,
             .inputs = { { .shape = ROW_MATRIX(6) }, { .shape = { 2, { 6, 6 } } }, { .shape = { 1, { 6 } } } }, .input_count = 3,
             .output_count = 2, .outputs = { ROW_MATRIX(6), { 2, { 6, 6 } } }),
        CASE(one_gradient_for_many, BY_ROWS,
             .inputs = { { .shape = ROW_MATRIX(3) }, { .shape = { 2, { 3, 7 } } }, { .shape = { 2, { 3, 7 } } } },
             .input_count = 3, .outputs = { ROW_MATRIX(7) }),
        CASE(parts, BY_ROWS, .inputs = { { .shape = ROW_MATRIX(6) } }, .input_count = 1, .outputs = { ROW_MATRIX(12) }),
        CASE(slices, BY_ROWS, .inputs = { { .shape = ROW_MATRIX(6) } }, .input_count = 1, .outputs = { ROW_MATRIX(8) }),
        CASE(softmax_over_rows, BY_ROWS, .inputs = { { .shape = ROW_MATRIX(5) }, { .shape = ROW_MATRIX(1) } }, .input_count = 2,
             .output_count = 2, .outputs = { ROW_MATRIX(5), { 1, { 5 } } }),
        CASE(clip_by_norm, BY_ROWS, .inputs = { { .shape = ROW_MATRIX(5) } }, .input_count = 1, .outputs = { ROW_MATRIX(5) }),
        CASE(weighted_mean, .extent = EXTENT_BATCH, .behaviour = BEHAVIOUR_WHOLE,
             .inputs = { { .shape = ROW_MATRIX(1) }, { .shape = ROW_MATRIX(1), .low = 0.5, .high = 2 } }, .input_count = 2,
             .outputs = { { 0, { 0 } } }),
        CASE(broadcasts, BY_ROWS,
             .inputs = { { .shape = ROW_MATRIX(9) },
                         { .shape = ROW_MATRIX(1) },
                         { .shape = { 1, { 9 } } },
                         { .shape = { 0, { 0 } } },
                         { .shape = { 2, { 1, 9 } }, .low = 0.5, .high = 2 },
                         { .shape = ROW_MATRIX(1) } },
             .input_count = 6, .outputs = { ROW_MATRIX(9) }),
        CASE(long_chain, BY_ROWS, .inputs = { { .shape = ROW_MATRIX(18) } }, .input_count = 1, .outputs = { ROW_MATRIX(18) }),
        CASE(reshapes, BY_ROWS,
             .inputs = { { .shape = { 3, { BATCH_DIM, 3, 4 } } }, { .shape = { 2, { 4, 2 } } }, { .shape = { 2, { 6, 5 } } } },
             .input_count = 3, .outputs = { ROW_MATRIX(5) }),
    };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        try_op(&list[i]);
}

/* ---- what the walk finds ---- */

static const pil_initializer zeros = { PIL_INITIALIZER_ZEROS, 0, 0 };

static struct pil_graph *new_graph(void)
{
    pil_status status = { 0 };
    struct pil_graph *g = graph_new(&status);
    assert_ok(status);
    return g;
}

static struct pil_tensor *matrix(struct pil_graph *g, const char *name, int64_t columns)
{
    return graph_input(g, name, DTYPE_FLOAT32, SHAPE(BATCH_DIM, columns), false);
}

static struct pil_tensor *total(struct pil_graph *g, struct pil_tensor *x)
{
    return graph_op1(g, "divide_by_rows", &(struct op_count_args){ 1 }, graph_op1(g, "sum_all", NULL, x));
}

static const struct variable_gradient *gradient_of(const struct pil_tensor *variable)
{
    return &((const struct variable_entry *)graph_variable_of(variable))->gradient;
}

/* Through stop_gradient, comparisons and labels of classes nothing flows; what it does not reach is named. */
static void without_gradient(void **state)
{
    (void)state;
    struct pil_graph *g = new_graph();
    struct pil_tensor *used = graph_variable(g, "used", SHAPE(3), zeros, true),
                      *stopped = graph_variable(g, "stopped", SHAPE(3), zeros, true);
    struct pil_tensor *frozen = graph_variable(g, "frozen", SHAPE(3), zeros, false);
    graph_variable(g, "unread", SHAPE(3), zeros, true);
    struct pil_tensor *beside = graph_variable(g, "beside", SHAPE(3), zeros, true),
                      *compared = graph_variable(g, "compared", SHAPE(3), zeros, true);
    struct pil_tensor *x = graph_op2(g, "mul", NULL, matrix(g, "x", 3), used);
    x = graph_op2(g, "add", NULL, x, graph_op1(g, "stop_gradient", NULL, stopped));
    x = graph_op2(g, "add", NULL, x, frozen);
    x = graph_op2(g, "mul", NULL, x, graph_op2(g, "greater_equal", NULL, x, compared));
    graph_op2(g, "mul", NULL, x, beside); /* does not reach the loss */
    assert_true(graph_gradients(g, total(g, x)));
    const char **names;
    assert_int_equal(graph_without_gradient(g, &names), 4);
    assert_string_equal(names[0], "stopped");
    assert_string_equal(names[1], "unread");
    assert_string_equal(names[2], "beside");
    assert_string_equal(names[3], "compared");
    assert_int_equal(gradient_of(used)->dense_count, 1);
    assert_int_equal(gradient_of(frozen)->dense_count, 0);
    graph_free(g);
}

/* Each reading of a table is a record of its own; a reading that is not trained is none. */
static void a_table_read_twice(void **state)
{
    (void)state;
    struct pil_graph *g = new_graph();
    struct op_lookup_args one = { COMBINER_MEAN, 0, 1 }, two = { COMBINER_SUM, 0, 2 };
    struct pil_tensor *a = graph_input(g, "a", DTYPE_INT32, SHAPE(BATCH_DIM), true),
                      *b = graph_input(g, "b", DTYPE_INT32, SHAPE(BATCH_DIM), true);
    struct pil_tensor *table = graph_variable(g, "table", SHAPE(9, 2), zeros, true),
                      *frozen = graph_variable(g, "frozen", SHAPE(9, 2), zeros, false);
    struct pil_tensor *pairs[] = { a, table, b, table };
    struct pil_tensor *sum =
        graph_op2(g, "add", NULL, graph_op2(g, "lookup", &one, a, table), graph_op(g, "lookup", &two, pairs, 4, NULL));
    sum = graph_op2(g, "add", NULL, sum, graph_op2(g, "lookup", &one, b, frozen));
    assert_true(graph_gradients(g, total(g, sum)));
    assert_int_equal(gradient_of(table)->record_count, 3);
    assert_int_equal(gradient_of(table)->dense_count, 0);
    assert_int_equal(gradient_of(frozen)->record_count, 0);
    graph_free(g);
}

/* What gradients are asked of. */
static void refusals(void **state)
{
    (void)state;
    static const char *const says[] = { "gradients need a float32 scalar loss, square is [?, 3]",
                                        "gradients need a float32 scalar loss, sum_all is []",
                                        "gradients need a float32 scalar loss, w is [3]",
                                        "gradients were added to this graph already",
                                        "the table scale of a lookup is computed, so its rows cannot be trained" };
    for (int wrong = 0; wrong < (int)COUNT_OF(says); wrong++) {
        struct pil_graph *g = new_graph();
        struct pil_tensor *w = graph_variable(g, "w", SHAPE(3), zeros, true);
        struct pil_tensor *squares = graph_op1(g, "square", NULL, graph_op2(g, "mul", NULL, matrix(g, "x", 3), w)),
                          *sum = graph_op1(g, "sum_all", NULL, squares);
        struct pil_tensor *losses[] = { squares, sum, w, total(g, squares), total(g, squares) };
        if (wrong == 3)
            assert_true(graph_gradients(g, losses[0] = total(g, squares)));
        if (wrong == 4) {
            struct pil_tensor *table =
                graph_op1(g, "scale", &(struct op_scalar_args){ 2 }, graph_variable(g, "table", SHAPE(9, 2), zeros, true));
            struct pil_tensor *ids = graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true);
            losses[4] = total(g, graph_op2(g, "lookup", &(struct op_lookup_args){ .pairs = 1 }, ids, table));
        }
        assert_false(graph_gradients(g, losses[wrong]));
        if (!strstr(graph_status(g)->message, says[wrong]))
            fail_msg("'%s' does not say: %s", graph_status(g)->message, says[wrong]);
        graph_free(g);
    }
}

/* The same behind stop_gradient is a fixed table, and runs. */
static void a_computed_table_can_be_read(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct pil_graph *g = new_graph();
    struct pil_tensor *table =
        graph_op1(g, "scale", &(struct op_scalar_args){ 2 }, graph_variable(g, "table", SHAPE(9, 2), zeros, true));
    struct pil_tensor *ids = graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true),
                      *w = graph_variable(g, "w", SHAPE(2), zeros, true);
    struct pil_tensor *e =
        graph_op2(g, "lookup", &(struct op_lookup_args){ .pairs = 1 }, ids, graph_op1(g, "stop_gradient", NULL, table));
    struct pil_tensor *loss = total(g, graph_op2(g, "mul", NULL, e, w));
    assert_true(graph_gradients(g, loss));
    struct plan *plan = plan_compile(g, &loss, 1, &status);
    assert_false(graph_variable_at(g, 0)->lookup_only);
    struct threads *threads = threads_new(1, &status);
    struct session *session = session_new(plan, threads, kernel_get(), 1, &status);
    struct tensor values[2];
    assert_true(tensor_new(&values[0], DTYPE_FLOAT32, SHAPE(9, 2), false, &status) &&
                tensor_new(&values[1], DTYPE_FLOAT32, SHAPE(2), false, &status));
    for (int r = 0; r < 9; r++)
        tensor_floats(&values[0])[r * PAD] = (float)r;
    tensor_floats(&values[1])[0] = 3;
    for (size_t v = 0; v < 2; v++)
        assert_true(session_bind(session, graph_variable_at(g, v),
                                 &(struct session_variable){ values[v], 0, (int64_t)v * 16 * 9 }, &status));
    assert_true(session_groups(session, 0, 16 * 10, &status));
    int32_t list[] = { 8, 1, -1 };
    session_input(session, "ids", &(struct op_value){ .sparse = { .rows = 3, .entries = 3, .ids = list } });
    assert_true(session_run(session, 3, 0, NULL, 0, &status));
    assert_true(session_scalar(session, 0) == 2 * 3 * (8 + 1) / 3.0);
    const struct session_record *records;
    assert_int_equal(session_records(session, &records), 0);
    assert_true(session_partials(session, 0).partials[0][16 * 9] == 2 * (8 + 1) / 3.0f);
    session_free(session);
    threads_free(threads);
    plan_free(plan);
    graph_free(g);
    tensor_free(&values[0]);
    tensor_free(&values[1]);
}

/* A loss that is a variable itself: its gradient is 1. */
static void the_loss_is_a_variable(void **state)
{
    (void)state;
    struct pil_graph *g = new_graph();
    struct pil_tensor *w = graph_variable(g, "w", SHAPE_SCALAR, zeros, true);
    const char **names;
    assert_true(graph_gradients(g, w));
    assert_int_equal(gradient_of(w)->dense_count, 1);
    assert_true(*tensor_floats(&gradient_of(w)->dense[0]->node->constant) == 1);
    assert_int_equal(graph_without_gradient(g, &names), 0);
    graph_free(g);
    g = new_graph();
    assert_true(graph_gradients(g, graph_variable(g, "w", SHAPE_SCALAR, zeros, false))); /* nothing to train */
    assert_int_equal(graph_without_gradient(g, &names), 0);
    graph_free(g);
}

/* A graph that evaluates takes the same calls, and stays as it is. */
static void forward_only(void **state)
{
    (void)state;
    struct pil_graph *g = new_graph();
    struct pil_tensor *w = graph_variable(g, "w", SHAPE_SCALAR, zeros, true), *loss = graph_op1(g, "square", NULL, w);
    size_t nodes = g->node_count;
    assert_false(graph_is_forward_only(g));
    graph_forward_only(g);
    assert_true(graph_is_forward_only(g) && graph_gradients(g, loss) && graph_gradients(g, loss));
    assert_int_equal(g->node_count, nodes);
    assert_null(graph_loss(g));
    assert_false(graph_gradients(g, graph_variable(g, "v", SHAPE(3), zeros, true)));
    graph_free(g);
    g = new_graph();
    w = graph_variable(g, "w", SHAPE_SCALAR, zeros, true);
    assert_true(graph_gradients(g, w));
    assert_ptr_equal(graph_loss(g), w);
    graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compositions),
        cmocka_unit_test(without_gradient),
        cmocka_unit_test(a_table_read_twice),
        cmocka_unit_test(refusals),
        cmocka_unit_test(a_computed_table_can_be_read),
        cmocka_unit_test(the_loss_is_a_variable),
        cmocka_unit_test(forward_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
