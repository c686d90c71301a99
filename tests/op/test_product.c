/* SPDX-License-Identifier: Apache-2.0 */
/* Products of many matrices: every transposition, ranks broadcast against each other, rows on either side, against plain loops.
 */
#include "op/boxes.h"

#include "pilaster/op.h"

static struct shape lead_of(struct shape shape)
{
    shape.rank -= 2;
    return shape;
}

/* The flat position in `shape` of index `at` of a wider or equal shape, broadcast. */
static int64_t lead_position(struct shape shape, const int64_t *index, int rank)
{
    int64_t at = 0;
    for (int i = 0; i < shape.rank; i++)
        at = at * shape.dims[i] + (shape.dims[i] == 1 ? 0 : index[rank - shape.rank + i]);
    return at;
}

static void product_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const struct op_transposes_args *args = t->args;
    struct shape a = shape_with_batch(t->inputs[0].shape, rows), b = shape_with_batch(t->inputs[1].shape, rows), lead;
    assert_true(shape_broadcast(lead_of(a), lead_of(b), &lead));
    int64_t m = a.dims[a.rank - (args->transpose_a ? 1 : 2)], k = a.dims[a.rank - (args->transpose_a ? 2 : 1)];
    int64_t n = b.dims[b.rank - (args->transpose_b ? 2 : 1)], index[SHAPE_MAX_RANK] = { 0 };
    for (int64_t p = 0; p < shape_elements(lead); p++) {
        const double *left = x[0] + lead_position(lead_of(a), index, lead.rank) * m * k;
        const double *right = x[1] + lead_position(lead_of(b), index, lead.rank) * k * n;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t q = 0; q < k; q++)
                    sum += left[args->transpose_a ? q * m + i : i * k + q] * right[args->transpose_b ? j * k + q : q * n + j];
                y[0][(p * m + i) * n + j] = sum;
            }
        for (int i = lead.rank - 1; i >= 0 && ++index[i] == lead.dims[i]; i--)
            index[i] = 0;
    }
}

static struct shape turned(struct shape shape, bool turn)
{
    int64_t last = shape.dims[shape.rank - 1];
    if (turn) {
        shape.dims[shape.rank - 1] = shape.dims[shape.rank - 2];
        shape.dims[shape.rank - 2] = last;
    }
    return shape;
}

static void try_product(struct shape a, struct shape b, bool transpose_a, bool transpose_b)
{
    struct op_transposes_args args = { transpose_a, transpose_b };
    bool rows = has_rows(a) || has_rows(b);
    struct trial t = { .op = "batch_matmul",
                       .args = &args,
                       .inputs = { { .shape = turned(a, transpose_a) }, { .shape = turned(b, transpose_b) } },
                       .input_count = 2,
                       .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                       .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                       .reference = product_reference,
                       .tolerance = 5e-6 };
    assert_true(shape_broadcast(lead_of(a), lead_of(b), &t.outputs[0]));
    t.outputs[0].dims[t.outputs[0].rank++] = a.dims[a.rank - 2];
    t.outputs[0].dims[t.outputs[0].rank++] = b.dims[b.rank - 1];
    try_op(&t);
}

static void every_kind(void **state)
{
    (void)state;
    static const struct {
        struct shape a, b;
    } list[] = {
        { { 3, { BATCH_DIM, 3, 5 } }, { 3, { BATCH_DIM, 5, 4 } } },
        { { 3, { BATCH_DIM, 1, 5 } }, { 3, { BATCH_DIM, 5, 1 } } },
        { { 3, { BATCH_DIM, 3, 1 } }, { 3, { BATCH_DIM, 1, 4 } } },
        { { 3, { BATCH_DIM, 17, 3 } }, { 3, { BATCH_DIM, 3, 16 } } },
        { { 3, { BATCH_DIM, 2, 16 } }, { 3, { BATCH_DIM, 16, 19 } } },
        { { 4, { BATCH_DIM, 2, 3, 5 } }, { 4, { BATCH_DIM, 2, 5, 4 } } },
        { { 4, { BATCH_DIM, 2, 3, 5 } }, { 4, { BATCH_DIM, 1, 5, 4 } } },
        { { 4, { BATCH_DIM, 1, 3, 5 } }, { 4, { BATCH_DIM, 2, 5, 4 } } },
        { { 4, { BATCH_DIM, 2, 3, 5 } }, { 3, { 2, 5, 4 } } },
        { { 4, { BATCH_DIM, 2, 3, 5 } }, { 3, { 1, 5, 4 } } },
        { { 3, { BATCH_DIM, 3, 5 } }, { 2, { 5, 4 } } },
        { { 2, { 3, 5 } }, { 3, { BATCH_DIM, 5, 4 } } },
        { { 3, { 2, 3, 5 } }, { 4, { BATCH_DIM, 2, 5, 4 } } },
        { { 2, { 3, 5 } }, { 2, { 5, 4 } } },
        { { 3, { 2, 3, 5 } }, { 3, { 2, 5, 17 } } },
        { { 2, { 3, 5 } }, { 3, { 2, 5, 1 } } },
        { { 4, { 2, 1, 3, 5 } }, { 3, { 3, 5, 4 } } },
        { { 3, { 1, 3, 5 } }, { 2, { 5, 4 } } },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        for (int k = 0; k < 4; k++)
            try_product(list[i].a, list[i].b, k & 1, k & 2);
}

/* x [?, 5] times two matrices: [2, ?, 4], whose batch a transpose brings to the front. */
static void many_for_all_rows(const struct trial *t, struct pil_graph *g, struct pil_tensor *const *x,
                              struct pil_tensor **results)
{
    struct pil_tensor *y = graph_op2(g, "batch_matmul", t->args, x[0], x[1]);
    assert_ok(*graph_status(g));
    assert_true(y->type.extent == EXTENT_BATCH && y->node->behaviour == BEHAVIOUR_WHOLE);
    results[0] = graph_op1(g, "transpose", &(pil_axes){ 3, { 1, 0, 2 } }, y);
}

static void many_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    (void)t;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t p = 0; p < 2; p++)
            for (int64_t j = 0; j < 4; j++) {
                double *to = &y[0][(r * 2 + p) * 4 + j];
                *to = 0;
                for (int64_t q = 0; q < 5; q++)
                    *to += x[0][r * 5 + q] * x[1][(p * 5 + q) * 4 + j];
            }
}

/* Of all rows at once: a sum over the batch, and a product in which the batch is an axis of the matrices. */
static void rows_as_matrices(void **state)
{
    (void)state;
    static const struct op_transposes_args plain = { 0 }, left = { .transpose_a = true };
    struct trial t = { .op = "batch_matmul",
                       .args = &plain,
                       .inputs = { { .shape = { 2, { BATCH_DIM, 5 } } }, { .shape = { 3, { 2, 5, 4 } } } },
                       .input_count = 2,
                       .outputs = { { 3, { BATCH_DIM, 2, 4 } } },
                       .extent = EXTENT_ROWS,
                       .behaviour = BEHAVIOUR_WHOLE,
                       .reference = many_reference,
                       .compose = many_for_all_rows,
                       .tolerance = 5e-6 };
    try_op(&t);
    struct trial sum = { .op = "batch_matmul",
                         .args = &left,
                         .inputs = { { .shape = { 2, { BATCH_DIM, 3 } } }, { .shape = { 2, { BATCH_DIM, 4 } } } },
                         .input_count = 2,
                         .outputs = { { 2, { 3, 4 } } },
                         .extent = EXTENT_BATCH,
                         .behaviour = BEHAVIOUR_WHOLE,
                         .reference = product_reference,
                         .tolerance = 2e-5 };
    try_op(&sum);
}

/* The public function takes the fast op where there is one. */
static void what_is_chosen(void **state)
{
    (void)state;
    static const struct {
        struct shape a, b;
        bool transpose_a, transpose_b;
        const char *op;
        struct shape out;
    } list[] = {
        { { 2, { BATCH_DIM, 3 } }, { 2, { 3, 4 } }, false, false, "matmul", { 2, { BATCH_DIM, 4 } } },
        { { 2, { BATCH_DIM, 3 } }, { 2, { 4, 3 } }, false, true, "matmul", { 2, { BATCH_DIM, 4 } } },
        { { 3, { BATCH_DIM, 2, 3 } }, { 2, { 3, 4 } }, false, false, "matmul", { 3, { BATCH_DIM, 2, 4 } } },
        { { 2, { BATCH_DIM, 3 } }, { 2, { BATCH_DIM, 4 } }, true, false, "matmul", { 2, { 3, 4 } } },
        { { 3, { BATCH_DIM, 2, 3 } }, { 3, { BATCH_DIM, 2, 4 } }, true, false, "batch_matmul", { 3, { BATCH_DIM, 3, 4 } } },
        { { 3, { BATCH_DIM, 2, 3 } }, { 3, { BATCH_DIM, 4, 3 } }, false, true, "batch_matmul", { 3, { BATCH_DIM, 2, 4 } } },
        { { 3, { BATCH_DIM, 3, 2 } }, { 2, { 3, 4 } }, true, false, "batch_matmul", { 3, { BATCH_DIM, 2, 4 } } },
    };
    pil_status status = { 0 };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        struct pil_graph *g = graph_new(&status);
        struct pil_tensor *factors[2];
        for (int k = 0; k < 2; k++) {
            struct shape shape = k ? list[i].b : list[i].a;
            factors[k] = has_rows(shape) ? graph_input(g, k ? "b" : "a", DTYPE_FLOAT32, shape, false)
                                         : graph_variable(g, "w", shape, (pil_initializer){ 0 }, true);
        }
        struct pil_tensor *y =
            pil_matmul(g, factors[0], factors[1], .transpose_a = list[i].transpose_a, .transpose_b = list[i].transpose_b);
        assert_ok(*graph_status(g));
        assert_string_equal(y->node->row->name, list[i].op);
        assert_true(shape_equal(y->type.shape, list[i].out));
        assert_ptr_equal(pil_matmul(g, factors[0], NULL), graph_error_tensor(g));
        assert_non_null(strstr(graph_status(g)->message, "matmul: input 2 is NULL"));
        graph_free(g);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct op_transposes_args plain = { 0 }, left = { .transpose_a = true }, right = { .transpose_b = true };
    static const struct refusal list[] = {
        { "batch_matmul", &plain, "both factors need two axes or more", 2, { ONE_A_ROW, DENSE(3, 4) } },
        { "batch_matmul", &plain, "the inner sizes 3 and 4 differ", 2, { ROWS_OF(2, 3), ROWS_OF(4, 3) } },
        { "batch_matmul", &left, "the inner sizes 2 and 4 differ", 2, { ROWS_OF(2, 3), ROWS_OF(4, 3) } },
        { "batch_matmul", &right, "the inner sizes 3 and 5 differ", 2, { ROWS_OF(2, 3), ROWS_OF(3, 5) } },
        { "batch_matmul", &plain, "the axes in front of the matrices do not fit", 2, { ROWS_OF(2, 2, 3), ROWS_OF(3, 3, 4) } },
        { "batch_matmul", &plain, "the axes in front of the matrices do not fit", 2, { ROWS_OF(2, 3), DENSE(7, 3, 4) } },
        { "batch_matmul", &plain, "the batch axis would stand in the result twice", 2, { ROWS_OF(3), ROWS_OF(3, 4) } },
        { "batch_matmul", &right, "it must be transposed before", 2, { ROWS_OF(3), ROWS_OF(3) } },
        { "batch_matmul", &plain, "input 1 is sparse", 2, { IDS, DENSE(3, 4) } },
        { "batch_matmul", &plain, "input 2 is float64", 2, { ROWS_OF(2, 3), FLOAT64(3, 4) } },
        { "batch_matmul", &plain, "takes 2 inputs, got 3", 3, { ROWS_OF(2, 3), DENSE(3, 4), DENSE(4) } },
    };
    check_refusals(list, COUNT_OF(list));
}

static void onnx(void **state)
{
    (void)state;
    static const struct op_transposes_args plain = { 0 };
    static const struct onnx_case list[] = {
        { "MatMul/matmul_2d", "batch_matmul", &plain, 2, false },
        { "MatMul/matmul_3d", "batch_matmul", &plain, 2, true },
        { "MatMul/matmul_4d", "batch_matmul", &plain, 2, true },
    };
    onnx_try(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind),     cmocka_unit_test(rows_as_matrices),
        cmocka_unit_test(what_is_chosen), cmocka_unit_test(refusals),
        cmocka_unit_test(onnx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
