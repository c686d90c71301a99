/* SPDX-License-Identifier: Apache-2.0 */
/* What losses share: every reduction with every form of weights, losses without a batch, losses of one's own. */
#include "train/losses.h"

/* The reduced loss of values [rows, columns] with weights [rows, weight_columns], 0: none. */
static double reduce(const float *values, int64_t rows, int64_t columns, const float *weights, int64_t weight_columns,
                     enum loss_reduction reduction)
{
    pil_status status = { 0 };
    struct pil_graph *graph = graph_new(&status);
    struct pil_tensor *losses = graph_input(graph, "losses", DTYPE_FLOAT32, SHAPE(BATCH_DIM, columns), false), *w = NULL;
    if (weight_columns)
        w = graph_input(graph, "weights", DTYPE_FLOAT32, SHAPE(BATCH_DIM, weight_columns), false);
    struct pil_tensor *loss = loss_reduce(graph, losses, w, reduction);
    assert_int_equal(loss->type.dtype, DTYPE_FLOAT32);
    assert_int_equal(loss->type.shape.rank, 0);
    struct plan *plan = plan_compile(graph, &loss, 1, &status);
    struct threads *threads = threads_new(1, &status);
    struct session *session = session_new(plan, threads, kernel_get(), 1, &status);
    struct op_value value = { 0 }, weight = { 0 };
    assert_true(tensor_new(&value.tensor, DTYPE_FLOAT32, SHAPE(rows, columns), true, &status));
    tensor_unpack(values, &value.tensor);
    session_input(session, "losses", &value);
    if (weight_columns) {
        assert_true(tensor_new(&weight.tensor, DTYPE_FLOAT32, SHAPE(rows, weight_columns), true, &status));
        tensor_unpack(weights, &weight.tensor);
        session_input(session, "weights", &weight);
    }
    if (!session_run(session, rows, 0, NULL, 0, &status))
        fail_msg("%s", status.message);
    double result = session_scalar(session, 0);
    session_free(session);
    threads_free(threads);
    plan_free(plan);
    graph_free(graph);
    tensor_free(&value.tensor);
    tensor_free(&weight.tensor);
    return result;
}

static void definitions(void **state)
{
    (void)state;
    enum { ROWS = 150, COLUMNS = 3 };
    float values[ROWS * COLUMNS], weights[ROWS * COLUMNS], row_weights[ROWS], zeros[ROWS] = { 0 }, cancelling[ROWS];
    struct random_key key = random_key(1, "loss");
    double sum = 0, row_sum = 0, plain = 0, total = 0, row_total = 0, nonzero = 0, row_nonzero = 0;
    random_fill_uniform(key, values, 0, ROWS * COLUMNS, 0, 3);
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        weights[i] = i % 4 == 0 ? 0 : random_uniform(key, 1, (uint64_t)i) * 2;
        if (i % COLUMNS == 0)
            row_weights[i / COLUMNS] = i % 5 == 0 ? 0 : random_uniform(key, 2, (uint64_t)i);
        cancelling[i / COLUMNS] = i / COLUMNS % 2 ? -1 : 1;
        double row_weight = row_weights[i / COLUMNS];
        plain += values[i];
        sum += (double)values[i] * (double)weights[i];
        row_sum += (double)values[i] * row_weight;
        total += weights[i];
        row_total += row_weight;
        nonzero += weights[i] != 0;
        row_nonzero += row_weight != 0;
    }
    const struct {
        enum loss_reduction reduction;
        const float *weights;
        int64_t weight_columns;
        double want;
    } cases[] = {
        { REDUCTION_SUM_OVER_BATCH_SIZE, NULL, 0, plain / (ROWS * COLUMNS) },
        { REDUCTION_SUM_OVER_BATCH_SIZE, weights, COLUMNS, sum / (ROWS * COLUMNS) }, /* whatever the weights are */
        { REDUCTION_SUM_OVER_BATCH_SIZE, row_weights, 1, row_sum / (ROWS * COLUMNS) },
        { REDUCTION_SUM, NULL, 0, plain },
        { REDUCTION_SUM, row_weights, 1, row_sum },
        { REDUCTION_NONZERO_WEIGHTS, NULL, 0, plain / (ROWS * COLUMNS) },
        { REDUCTION_NONZERO_WEIGHTS, weights, COLUMNS, sum / nonzero },
        { REDUCTION_NONZERO_WEIGHTS, row_weights, 1, row_sum / row_nonzero },
        { REDUCTION_NONZERO_WEIGHTS, zeros, 1, 0 },
        { REDUCTION_MEAN, NULL, 0, plain / (ROWS * COLUMNS) },
        { REDUCTION_MEAN, weights, COLUMNS, sum / total },
        { REDUCTION_MEAN, row_weights, 1, row_sum / row_total },
        { REDUCTION_MEAN, zeros, 1, 0 },
        { REDUCTION_MEAN, cancelling, 1, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double got = reduce(values, ROWS, COLUMNS, cases[i].weights, cases[i].weight_columns, cases[i].reduction);
        if (!(fabs(got - cases[i].want) <= 1e-6 * fabs(cases[i].want)))
            fail_msg("case %d: %.9g, want %.9g", (int)i, got, cases[i].want);
    }
}

LOSS(squares, pil_mean_squared_error(g, l, v, .weights = w, .reduction = r))
LOSS(own, pil_compute_weighted_loss(g, graph_op2(g, "mul", NULL, l, v), .weights = w, .reduction = r))
LOSS(plain, pil_compute_weighted_loss(g, v, .weights = w, .reduction = r))
LOSS(half_squares, pil_l2_loss(g, graph_op2(g, "mul", NULL, l, v)))
LOSS(half_square, pil_l2_loss(g, v))

static double square_of(double z, double p)
{
    return (p - z) * (p - z);
}

static double product_of(double z, double p)
{
    return z * p;
}

static void formulas(void **state)
{
    (void)state;
    static const struct formula list[] = { { own, product_of, -3, 3, false } };
    try_formulas(list, COUNT_OF(list));
}

/* Every reduction with every form of weights, some of them 0. */
static void weights_and_reductions(void **state)
{
    (void)state;
    static const struct shape forms[] = {
        { 0, { 0 } }, { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 3 } }, { 2, { 1, 3 } }, { 2, { 1, 1 } }
    };
    const struct shape shape = SHAPE(BATCH_DIM, 3);
    for (int reduction = PIL_REDUCTION_NONE; reduction <= PIL_REDUCTION_MEAN; reduction++)
        for (size_t f = 0; f < COUNT_OF(forms); f++) {
            struct loss_case c = { .make = squares, .element = square_of, .reduction = (pil_reduction)reduction };
            struct input weights = { .shape = forms[f], .low = f ? -1 : 2, .high = 3, .data = true, .whole = f > 0 };
            try_loss(&c, (struct input){ .shape = shape, .data = true }, (struct input){ .shape = shape, .low = -2, .high = 2 },
                     &weights, reduction ? scalar : shape);
        }
}

static void half_square_reference(const struct trial *trial, int64_t rows, double *const *x, double *const *y)
{
    y[0][0] = 0;
    for (int64_t i = 0; i < elements(trial->inputs[0].shape, rows); i++)
        y[0][0] += x[0][i] * x[1][i] * x[0][i] * x[1][i] / 2;
}

/* Of parameters and of rows; and losses without a batch, whose mean is over their own elements. */
static void without_a_batch(void **state)
{
    (void)state;
    const struct shape shape = SHAPE(4, 3), rows = SHAPE(BATCH_DIM, 3);
    struct loss_case c = { .make = half_squares };
    struct trial trial = { .op = "l2_loss",
                           .args = &c,
                           .inputs = { { .shape = shape }, { .shape = shape } },
                           .input_count = 2,
                           .extent = EXTENT_FIXED,
                           .behaviour = BEHAVIOUR_WHOLE,
                           .reference = half_square_reference,
                           .compose = compose };
    try_op(&trial);
    trial.inputs[0].shape = trial.inputs[1].shape = rows;
    trial.extent = EXTENT_BATCH;
    try_op(&trial);
    c = (struct loss_case){ .make = squares, .element = square_of, .reduction = PIL_REDUCTION_SUM_OVER_BATCH_SIZE };
    trial = (struct trial){ .op = "a loss",
                            .args = &c,
                            .inputs = { { .shape = shape }, { .shape = shape } },
                            .input_count = 2,
                            .extent = EXTENT_FIXED,
                            .behaviour = BEHAVIOUR_WHOLE,
                            .reference = reference,
                            .compose = compose };
    try_op(&trial);
}

static void tf_l2_loss(void **state)
{
    (void)state;
    static const struct more_figure list[] = { { "l2_loss", half_square, NULL, "y", "x" } };
    try_more_figures(list, COUNT_OF(list), 1);
}

static void refusals(void **state)
{
    (void)state;
    static const struct loss_refusal list[] = {
        { plain, THREE, THREE, NONE, (pil_reduction)9, "head/compute_weighted_loss: there is no reduction 9" },
        { plain, NONE, NONE, NONE, PIL_REDUCTION_SUM, "compute_weighted_loss: the losses are NULL" },
        { plain, NONE, IDS, NONE, PIL_REDUCTION_SUM, "compute_weighted_loss: the losses, ids, are sparse" },
        { plain, NONE, ONE, FLAT, PIL_REDUCTION_SUM, "the weights, flat, are [?] and do not fit losses of [?, 1]" },
        { plain, NONE, ONE, IDS, PIL_REDUCTION_NONE, "the weights, ids, are sparse" },
        { half_square, NONE, NONE, NONE, PIL_REDUCTION_SUM, "l2_loss: the values are NULL" },
    };
    refuse_losses(list, COUNT_OF(list));
}

static void words(void **state)
{
    (void)state;
    size_t count = 0;
    while (loss_reductions[count])
        count++;
    assert_int_equal(count, REDUCTION_MEAN + 1);
    assert_string_equal(loss_reductions[REDUCTION_SUM], "sum");
    assert_string_equal(loss_reductions[REDUCTION_NONZERO_WEIGHTS], "sum_by_nonzero_weights");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definitions),     cmocka_unit_test(formulas),   cmocka_unit_test(weights_and_reductions),
        cmocka_unit_test(without_a_batch), cmocka_unit_test(tf_l2_loss), cmocka_unit_test(refusals),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
