/* SPDX-License-Identifier: Apache-2.0 */
/* Losses of a row with the gradients of logits and labels, extreme logits, labels out of range. */
#include "op/refusals.h"

static void sigmoid_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] = fmax(x[0][n], 0) - x[0][n] * x[1][n] + log1p(exp(-fabs(x[0][n])));
}

static void squared_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] = (x[0][n] - x[1][n]) * (x[0][n] - x[1][n]);
}

static double log_sum(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += exp(x[i]);
    return log(sum);
}

static int64_t classes_of(const struct trial *t)
{
    return t->inputs[0].shape.dims[t->inputs[0].shape.rank - 1];
}

static void softmax_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    int64_t n = classes_of(t);
    for (int64_t r = 0; r < elements(t->outputs[0], rows); r++) {
        double whole = log_sum(x[0] + r * n, n);
        y[0][r] = 0;
        for (int64_t c = 0; c < n; c++)
            y[0][r] += x[1][r * n + c] * (whole - x[0][r * n + c]);
    }
}

static void classes_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    int64_t n = classes_of(t);
    for (int64_t r = 0; r < elements(t->outputs[0], rows); r++)
        y[0][r] = log_sum(x[0] + r * n, n) - x[0][r * n + (int64_t)x[1][r]];
}

/* Logits and labels of one shape, a loss an element. */
static void elementwise(void **state)
{
    (void)state;
    static const struct shape shapes[] = { { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 5 } },    { 2, { BATCH_DIM, 70 } },
                                           { 1, { BATCH_DIM } },    { 3, { BATCH_DIM, 2, 9 } }, { 2, { 4, 3 } } };
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        bool rows = has_rows(shapes[s]);
        struct trial t = { .op = "sigmoid_cross_entropy",
                           .inputs = { { .shape = shapes[s], .low = -4, .high = 4 },
                                       { .shape = shapes[s], .low = 0, .high = 1 } },
                           .input_count = 2,
                           .outputs = { shapes[s] },
                           .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                           .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                           .reference = sigmoid_reference };
        try_op(&t);
        t.op = "squared_difference";
        t.reference = squared_reference;
        try_op(&t);
    }
}

static void over_classes(void **state)
{
    (void)state;
    static const int64_t classes[] = { 1, 2, 3, 17, 130 };
    for (size_t k = 0; k < COUNT_OF(classes); k++)
        for (int rows = 0; rows < 2; rows++) {
            int64_t first = rows ? BATCH_DIM : 4, n = classes[k];
            struct trial t = { .op = "softmax_cross_entropy",
                               .inputs = { { .shape = SHAPE(first, n), .low = -3, .high = 3 },
                                           { .shape = SHAPE(first, n), .low = 0, .high = 2.0 / (double)n } },
                               .input_count = 2,
                               .outputs = { { 2, { first, 1 } } },
                               .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                               .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                               .reference = softmax_reference };
            try_op(&t);
            t.op = "sparse_softmax_cross_entropy";
            t.inputs[1] = (struct input){ .shape = SHAPE(first, 1), .low = 0, .high = (double)n, .data = true, .whole = true };
            t.reference = classes_reference;
            try_op(&t);
        }
}

/* Of every step of a sequence: the axes between count as rows. */
static void over_steps(void **state)
{
    (void)state;
    const struct shape shape = SHAPE(BATCH_DIM, 3, 5), one = SHAPE(BATCH_DIM, 3, 1);
    struct trial t = { .op = "softmax_cross_entropy",
                       .inputs = { { .shape = shape, .low = -3, .high = 3 }, { .shape = shape, .low = 0, .high = 0.4 } },
                       .input_count = 2,
                       .outputs = { one },
                       .extent = EXTENT_ROWS,
                       .behaviour = BEHAVIOUR_ROW_BY_ROW,
                       .reference = softmax_reference };
    try_op(&t);
    t.op = "sparse_softmax_cross_entropy";
    t.inputs[1] = (struct input){ .shape = one, .low = 0, .high = 5, .data = true, .whole = true };
    t.reference = classes_reference;
    try_op(&t);
}

/* ---- single runs ---- */

static struct op_value matrix(float *values, int64_t rows, int64_t cols)
{
    return (struct op_value){ .tensor = { values, DTYPE_FLOAT32, SHAPE(rows, cols), rows, cols, cols } };
}

static void run_pair(const char *op, struct op_value a, struct op_value b, struct op_value out, pil_status *status)
{
    struct op_value inputs[] = { a, b };
    struct op_run call = { .kernels = kernel_get(),
                           .input_count = 2,
                           .output_count = 1,
                           .inputs = inputs,
                           .outputs = &out,
                           .first_row = 100,
                           .rows = a.tensor.rows,
                           .batch_rows = 1000,
                           .status = status };
    op_find(op)->run(&call);
}

/* Neither overflow nor cancellation: the loss of a confident, right answer is a small number, not 0. */
static void extreme_logits(void **state)
{
    (void)state;
    pil_status status = { 0 };
    float x[] = { 1000, -1000, 1000, -1000, 20, -20, NAN }, z[] = { 1, 0, 0, 1, 1, 0, 1 }, loss[7];
    run_pair("sigmoid_cross_entropy", matrix(x, 7, 1), matrix(z, 7, 1), matrix(loss, 7, 1), &status);
    assert_true(loss[0] == 0 && loss[1] == 0 && loss[2] == 1000 && loss[3] == 1000 && isnan(loss[6]));
    assert_true(fabsf(loss[4] - 2.0611537e-9f) < 1e-14f && fabsf(loss[5] - 2.0611537e-9f) < 1e-14f);
    float logits[] = { 1000, 0, -1000, 0, 1000, 0 }, labels[] = { 1, 0, 0, 0, 0, 1 }, of_rows[2];
    run_pair("softmax_cross_entropy", matrix(logits, 2, 3), matrix(labels, 2, 3), matrix(of_rows, 2, 1), &status);
    assert_true(of_rows[0] == 0 && of_rows[1] == 1000);
    assert_ok(status);
}

static void a_label_that_is_no_class(void **state)
{
    (void)state;
    float x[12] = { 0 }, loss[4];
    static const float wrong[] = { 3, -1, 1.5f, NAN, INFINITY };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        float z[] = { 0, 2, wrong[i], -5 };
        pil_status status = { 0 };
        run_pair("sparse_softmax_cross_entropy", matrix(x, 4, 3), matrix(z, 4, 1), matrix(loss, 4, 1), &status);
        assert_int_equal(status.code, PIL_BAD_DATA);
        if (!strstr(status.message, "of row 102 of the batch is not one of the 3 classes 0 .. 2"))
            fail_msg("%s", status.message);
    }
}

/* Whoever of the workers meets a bad label first, the error is that of the first bad row; the next batch is fine again. */
static void the_first_bad_row_is_told(void **state)
{
    (void)state;
    enum { BATCH = 2048 };
    for (int threads = 1; threads < 9; threads += 3) {
        pil_status status = { 0 };
        struct pil_graph *g = graph_new(&status);
        struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 4), false);
        struct pil_tensor *z = graph_input(g, "z", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false);
        struct pil_tensor *loss = graph_op1(g, "sum_all", NULL, graph_op2(g, "sparse_softmax_cross_entropy", NULL, x, z));
        struct plan *plan = plan_compile(g, &loss, 1, &status);
        struct threads *pool = threads_new(threads, &status);
        struct session *session = session_new(plan, pool, kernel_get(), 1, &status);
        struct tensor logits, labels;
        assert_true(tensor_new(&logits, DTYPE_FLOAT32, SHAPE(BATCH, 4), true, &status));
        assert_true(tensor_new(&labels, DTYPE_FLOAT32, SHAPE(BATCH, 1), true, &status));
        tensor_floats(&labels)[700] = 9;
        tensor_floats(&labels)[2000] = 8;
        session_input(session, "x", &(struct op_value){ .tensor = logits });
        session_input(session, "z", &(struct op_value){ .tensor = labels });
        for (int run = 0; run < 5; run++) {
            status_clear(&status);
            assert_false(session_run(session, BATCH, 1, NULL, 0, &status));
            if (!strstr(status.message, "label 9 of row 700"))
                fail_msg("%s", status.message);
        }
        status_clear(&status);
        assert_true(session_run(session, 600, 1, NULL, 0, &status));
        assert_true(fabs(session_scalar(session, 0) - 600 * log(4)) < 1e-3);
        session_free(session);
        threads_free(pool);
        plan_free(plan);
        graph_free(g);
        tensor_free(&logits);
        tensor_free(&labels);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct refusal list[] = {
        { "sigmoid_cross_entropy", NULL, "logits and labels must have one shape", 2, { ROWS_OF(1), ONE_A_ROW } },
        { "sigmoid_cross_entropy", NULL, "input 2 is int64", 2, { ROWS_OF(1), INTEGERS(1) } },
        { "squared_difference", NULL, "logits and labels must have one shape", 2, { ROWS_OF(2), ROWS_OF(3) } },
        { "softmax_cross_entropy", NULL, "must be [batch, classes] both", 2, { ROWS_OF(3), ROWS_OF(1) } },
        { "softmax_cross_entropy", NULL, "must be [batch, classes] both", 2, { ROWS_OF(3, 2), ROWS_OF(3, 1) } },
        { "softmax_cross_entropy", NULL, "must be [batch, classes] both", 2, { ROWS_OF(0), ROWS_OF(0) } },
        { "sparse_softmax_cross_entropy", NULL, "labels [batch, 1]", 2, { ROWS_OF(3), ROWS_OF(3) } },
        { "sparse_softmax_cross_entropy", NULL, "labels [batch, 1]", 2, { ROWS_OF(3), ONE_A_ROW } },
        { "sparse_softmax_cross_entropy", NULL, "labels [batch, 1]", 2, { DENSE(2, 3), DENSE(3, 1) } },
        { "sparse_softmax_cross_entropy", NULL, "input 2 is sparse", 2, { ROWS_OF(3), IDS } },
        { "sigmoid_cross_entropy_dx", NULL, "the shapes differ", 3, { ROWS_OF(2), ROWS_OF(3), ROWS_OF(3) } },
        { "softmax_cross_entropy_dx", NULL, "dy [batch, 1]", 3, { ROWS_OF(2), ROWS_OF(3), ROWS_OF(3) } },
    };
    check_refusals(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementwise),
        cmocka_unit_test(over_classes),
        cmocka_unit_test(over_steps),
        cmocka_unit_test(extreme_logits),
        cmocka_unit_test(a_label_that_is_no_class),
        cmocka_unit_test(the_first_bad_row_is_told),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
