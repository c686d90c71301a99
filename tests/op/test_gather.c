/* SPDX-License-Identifier: Apache-2.0 */
/* gather by indices of every kind from params of every kind, forward and back, against plain loops; one_hot; indices out of
 * range. */
#include "op/boxes.h"

#include "pilaster/op.h"

static void gather_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const pil_gather_options *args = t->args;
    struct shape params = shape_with_batch(t->inputs[0].shape, rows), indices = shape_with_batch(t->inputs[1].shape, rows);
    struct shape out = shape_with_batch(t->outputs[0], rows);
    int axis = axis_of(args->axis, params), lead = args->batch_dims;
    int64_t index[SHAPE_MAX_RANK] = { 0 }, from[SHAPE_MAX_RANK], number[SHAPE_MAX_RANK];
    for (int64_t n = 0; n < shape_elements(out); n++) {
        for (int i = 0; i < indices.rank; i++)
            number[i] = i < lead ? index[i] : index[axis + i - lead];
        for (int i = 0; i < params.rank; i++)
            from[i] = i == axis ? (int64_t)x[1][flat(indices, number)] : index[i < axis ? i : i - 1 + indices.rank - lead];
        y[0][n] = x[0][flat(params, from)];
        for (int i = out.rank - 1; i >= 0 && ++index[i] == out.dims[i]; i--)
            index[i] = 0;
    }
}

/* The same with indices of other types. */
static void as_int32(const struct trial *t, struct pil_graph *g, struct pil_tensor *const *x, struct pil_tensor **results)
{
    results[0] = graph_op2(g, "gather", t->args, x[0], graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_INT32 }, x[1]));
}

static void as_int64(const struct trial *t, struct pil_graph *g, struct pil_tensor *const *x, struct pil_tensor **results)
{
    results[0] = graph_op2(g, "gather", t->args, x[0], graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_INT64 }, x[1]));
}

static void gather_any(void **state)
{
    (void)state;
    static const struct {
        struct shape params, indices;
        int axis, batch_dims;
        struct shape out;
        enum extent extent;
        enum behaviour behaviour;
    } list[] = {
        /* a table by what each row says */
        { { 2, { 7, 3 } }, { 1, { BATCH_DIM } }, 0, 0, { 2, { BATCH_DIM, 3 } }, EXTENT_ROWS, BEHAVIOUR_ROW_BY_ROW },
        { { 2, { 7, 3 } }, { 2, { BATCH_DIM, 4 } }, -2, 0, { 3, { BATCH_DIM, 4, 3 } }, EXTENT_ROWS, BEHAVIOUR_ROW_BY_ROW },
        { { 1, { 7 } }, { 2, { BATCH_DIM, 2 } }, 0, 0, { 2, { BATCH_DIM, 2 } }, EXTENT_ROWS, BEHAVIOUR_ROW_BY_ROW },
        { { 3, { 5, 2, 3 } }, { 2, { BATCH_DIM, 1 } }, 0, 0, { 4, { BATCH_DIM, 1, 2, 3 } }, EXTENT_ROWS, BEHAVIOUR_ROW_BY_ROW },
        { { 2, { 1, 20 } }, { 1, { BATCH_DIM } }, 0, 0, { 2, { BATCH_DIM, 20 } }, EXTENT_ROWS, BEHAVIOUR_ROW_BY_ROW },
        /* each row by the same indices */
        { { 3, { BATCH_DIM, 6, 3 } }, { 1, { 4 } }, 1, 0, { 3, { BATCH_DIM, 4, 3 } }, EXTENT_ROWS, BEHAVIOUR_ROW_BY_ROW },
        { { 3, { BATCH_DIM, 6, 3 } }, { 0, { 0 } }, 1, 0, { 2, { BATCH_DIM, 3 } }, EXTENT_ROWS, BEHAVIOUR_ROW_BY_ROW },
        { { 3, { BATCH_DIM, 3, 6 } }, { 2, { 2, 2 } }, -1, 0, { 4, { BATCH_DIM, 3, 2, 2 } }, EXTENT_ROWS, BEHAVIOUR_ROW_BY_ROW },
        { { 2, { BATCH_DIM, 6 } }, { 1, { 3 } }, 1, 0, { 2, { BATCH_DIM, 3 } }, EXTENT_ROWS, BEHAVIOUR_ROW_BY_ROW },
        /* each row by its own */
        { { 3, { BATCH_DIM, 6, 3 } },
          { 2, { BATCH_DIM, 2 } },
          1,
          1,
          { 3, { BATCH_DIM, 2, 3 } },
          EXTENT_ROWS,
          BEHAVIOUR_ROW_BY_ROW },
        { { 3, { BATCH_DIM, 6, 3 } }, { 1, { BATCH_DIM } }, 1, 1, { 2, { BATCH_DIM, 3 } }, EXTENT_ROWS, BEHAVIOUR_ROW_BY_ROW },
        { { 2, { BATCH_DIM, 6 } }, { 2, { BATCH_DIM, 4 } }, 1, 1, { 2, { BATCH_DIM, 4 } }, EXTENT_ROWS, BEHAVIOUR_ROW_BY_ROW },
        { { 3, { BATCH_DIM, 2, 6 } },
          { 2, { BATCH_DIM, 3 } },
          2,
          1,
          { 3, { BATCH_DIM, 2, 3 } },
          EXTENT_ROWS,
          BEHAVIOUR_ROW_BY_ROW },
        /* rows of the batch: the first */
        { { 2, { BATCH_DIM, 3 } }, { 1, { 4 } }, 0, 0, { 2, { 4, 3 } }, EXTENT_BATCH, BEHAVIOUR_WHOLE },
        { { 2, { BATCH_DIM, 3 } }, { 1, { BATCH_DIM } }, 0, 0, { 2, { BATCH_DIM, 3 } }, EXTENT_ROWS, BEHAVIOUR_WHOLE },
        /* the batch elsewhere */
        { { 2, { 2, 5 } }, { 1, { BATCH_DIM } }, 1, 0, { 2, { 2, BATCH_DIM } }, EXTENT_BATCH, BEHAVIOUR_WHOLE },
        /* no batch */
        { { 3, { 4, 2, 3 } }, { 1, { 5 } }, 0, 0, { 3, { 5, 2, 3 } }, EXTENT_FIXED, BEHAVIOUR_WHOLE },
        { { 3, { 2, 4, 3 } }, { 2, { 1, 5 } }, 1, 0, { 4, { 2, 1, 5, 3 } }, EXTENT_FIXED, BEHAVIOUR_WHOLE },
        { { 3, { 2, 3, 4 } }, { 1, { 5 } }, 2, 0, { 3, { 2, 3, 5 } }, EXTENT_FIXED, BEHAVIOUR_WHOLE },
        { { 3, { 3, 6, 2 } }, { 2, { 3, 2 } }, 1, 1, { 3, { 3, 2, 2 } }, EXTENT_FIXED, BEHAVIOUR_WHOLE },
        { { 1, { 4 } }, { 0, { 0 } }, 0, 0, { 0, { 0 } }, EXTENT_FIXED, BEHAVIOUR_WHOLE },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        pil_gather_options args = { NULL, list[i].axis, list[i].batch_dims };
        int64_t size = list[i].params.dims[axis_of(list[i].axis, list[i].params)];
        struct trial t = { .op = "gather",
                           .args = &args,
                           .input_count = 2,
                           .outputs = { list[i].out },
                           .extent = list[i].extent,
                           .behaviour = list[i].behaviour,
                           .reference = gather_reference };
        t.inputs[0].shape = list[i].params;
        t.inputs[1] = (struct input){
            .shape = list[i].indices, .low = 0, .high = size < 0 ? 1 : (double)size, .data = true, .whole = true
        };
        void (*const ways[])(const struct trial *, struct pil_graph *, struct pil_tensor *const *,
                             struct pil_tensor **) = { NULL, as_int32, as_int64 };
        for (size_t k = 0; k < COUNT_OF(ways); k++) {
            t.compose = ways[k];
            try_op(&t);
        }
    }
}

static void one_hot_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const pil_one_hot_options *args = t->args;
    struct shape in = shape_with_batch(t->inputs[0].shape, rows), out = shape_with_batch(t->outputs[0], rows);
    int axis = axis_of(args->axis, out);
    int64_t index[SHAPE_MAX_RANK] = { 0 }, from[SHAPE_MAX_RANK];
    for (int64_t n = 0; n < shape_elements(out); n++) {
        for (int i = 0; i < in.rank; i++)
            from[i] = index[i < axis ? i : i + 1];
        y[0][n] = x[0][flat(in, from)] == (double)index[axis] ? (double)args->on_value : (double)args->off_value;
        for (int i = out.rank - 1; i >= 0 && ++index[i] == out.dims[i]; i--)
            index[i] = 0;
    }
}

static void one_hot(void **state)
{
    (void)state;
    static const struct {
        struct shape in;
        int axis;
        struct shape out;
    } list[] = {
        { { 1, { BATCH_DIM } }, -1, { 2, { BATCH_DIM, 5 } } },
        { { 2, { BATCH_DIM, 3 } }, -1, { 3, { BATCH_DIM, 3, 5 } } },
        { { 2, { BATCH_DIM, 3 } }, 1, { 3, { BATCH_DIM, 5, 3 } } },
        { { 1, { BATCH_DIM } }, 0, { 2, { 5, BATCH_DIM } } },
        { { 0, { 0 } }, 0, { 1, { 5 } } },
        { { 2, { 2, 3 } }, 0, { 3, { 5, 2, 3 } } },
        { { 2, { 2, 3 } }, -2, { 3, { 2, 5, 3 } } },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        for (int k = 0; k < 2; k++) {
            pil_one_hot_options args = { 5, k ? 2.5f : 1, k ? -1 : 0, list[i].axis };
            bool in_rows = has_rows(list[i].in), rows = has_rows(list[i].out);
            struct trial t = { .op = "one_hot",
                               .args = &args,
                               .input_count = 1,
                               .outputs = { list[i].out },
                               .no_gradient = true,
                               .inputs = { { .shape = list[i].in, .low = -2, .high = 8, .data = true, .whole = true } },
                               .extent = rows      ? EXTENT_ROWS
                                         : in_rows ? EXTENT_BATCH
                                                   : EXTENT_FIXED,
                               .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                               .reference = one_hot_reference };
            try_op(&t);
        }
}

/* ---- what data can do ---- */

/* Indices [?, 2] with one bad among good ones, whichever worker meets it. */
static void a_bad_index(void **state)
{
    (void)state;
    enum { ROWS = 300, BAD = 270 };
    static const struct {
        const char *op;
        double bad;
        const char *says;
    } list[] = {
        { "gather", 7, "gather: index 7 of row 270 of the batch is not one of 0 .. 6" },
        { "gather", -1, "gather: index -1 of row 270 of the batch is not one of 0 .. 6" },
        { "gather", 2.5, "gather: index 2.5 of row 270 of the batch is not one of 0 .. 6" },
        { "gather", NAN, "of row 270 of the batch is not one of 0 .. 6" },
        { "gather", 1e30, "of row 270 of the batch is not one of 0 .. 6" },
        { "one_hot", 2.5, "one_hot: index 2.5 of row 270 of the batch" },
        { "embedding_lookup", 7, "embedding_lookup: id 7 of row 270 of the batch is not one of 0 .. 6" },
        { "embedding_lookup", -3, "embedding_lookup: id -3 of row 270 of the batch is not one of 0 .. 6" },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        for (int threads = 1; threads < 4; threads += 2) {
            pil_status status = { 0 };
            struct pil_graph *g = graph_new(&status);
            struct pil_tensor *indices = graph_input(g, "indices", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2), false), *y;
            struct pil_tensor *table = graph_variable(g, "table", SHAPE(7, 3), (pil_initializer){ 0 }, true);
            if (strcmp(list[i].op, "one_hot") == 0)
                y = pil_one_hot(g, indices, 7);
            else
                y = strcmp(list[i].op, "gather") == 0 ? graph_op2(g, "gather", &(pil_gather_options){ 0 }, table, indices)
                                                      : pil_gather(g, table, indices);
            struct plan *plan = plan_compile(g, &y, 1, &status);
            struct threads *workers = threads_new(threads, &status);
            struct session *session = session_new(plan, workers, kernel_get(), 1, &status);
            struct tensor values, weights;
            assert_true(tensor_new(&values, DTYPE_FLOAT32, SHAPE(ROWS, 2), true, &status));
            assert_true(tensor_new(&weights, DTYPE_FLOAT32, SHAPE(7, 3), false, &status));
            tensor_floats(&values)[BAD * values.ld + 1] = (float)list[i].bad;
            for (size_t v = 0; v < graph_variable_count(g); v++)
                session_bind(session, graph_variable_at(g, v), &(struct session_variable){ weights, -1, 0 }, &status);
            session_input(session, "indices", &(struct op_value){ .tensor = values });
            assert_ok(status);
            assert_false(session_run(session, ROWS, 1, NULL, 0, &status));
            assert_int_equal(status.code, PIL_BAD_DATA);
            if (!strstr(status.message, list[i].says))
                fail_msg("%s says: %s", list[i].op, status.message);
            session_free(session);
            threads_free(workers);
            plan_free(plan);
            graph_free(g);
            tensor_free(&values);
            tensor_free(&weights);
        }
}

static void refusals(void **state)
{
    (void)state;
    static const pil_gather_options plain = { NULL, 0, 0 }, second = { NULL, 1, 0 }, own = { NULL, 1, 1 },
                                    own_first = { NULL, 0, 1 }, two = { NULL, 1, 2 }, absent = { NULL, 2, 0 };
    static const pil_one_hot_options five = { 5, 1, 0, -1 }, none = { 0, 1, 0, -1 }, vast = { INT64_MAX, 1, 0, -1 },
                                     far = { 5, 1, 0, 3 };
    static const struct op_gather_back_args back = { { 2, { 4, 3 } }, 0, 0 }, lost = { { 2, { 4, 3 } }, 2, 0 };
    static const struct refusal list[] = {
        { "gather", &absent, "axis 2 does not exist", 2, { DENSE(3, 4), ONE_A_ROW } },
        { "gather", &plain, "input 2 must be whole numbers", 2, { DENSE(3, 4), FLOAT64(2) } },
        { "gather", &plain, "input 2 must be whole numbers", 2, { DENSE(3, 4), IDS } },
        { "gather", &plain, "a dense tensor is needed to gather from", 2, { IDS, ONE_A_ROW } },
        { "gather", &second, "the batch axis would stand in the result twice", 2, { ROWS_OF(3), ONE_A_ROW } },
        { "gather", &two, "batch_dims is 2: it can be 0 or 1", 2, { ROWS_OF(3), ONE_A_ROW } },
        { "gather", &own, "both need the same first axis", 2, { ROWS_OF(3), DENSE(2) } },
        { "gather", &own, "both need the same first axis", 2, { ROWS_OF(3), SCALAR } },
        { "gather", &own_first, "both need the same first axis", 2, { ROWS_OF(3), ONE_A_ROW } },
        { "gather", &plain, "the result would have 9 axes", 2, { DENSE(1, 1, 1, 1, 1, 1, 1, 1), DENSE(1, 1) } },
        { "gather_gradient", &back, "does not come from these indices", 2, { ROWS_OF(3, 3), ONE_A_ROW } },
        { "gather_gradient", &lost, "does not come from these indices", 2, { ROWS_OF(3), ONE_A_ROW } },
        { "gather_gradient", &back, "a dense float32 tensor, is needed", 2, { INTEGERS(3), ONE_A_ROW } },
        { "one_hot", &none, "a depth of 0", 1, { ONE_A_ROW } },
        { "one_hot", &vast, "a depth of 9223372036854775807", 1, { ONE_A_ROW } },
        { "one_hot", &far, "axis 3 does not exist", 1, { ONE_A_ROW } },
        { "one_hot", &five, "input 1 must be whole numbers", 1, { IDS } },
        { "one_hot", &five, "8 axes are the most", 1, { DENSE(1, 1, 1, 1, 1, 1, 1, 1) } },
        { "embedding_lookup", NULL, "input 1 must be whole numbers", 2, { IDS, DENSE(3, 4) } },
        { "embedding_lookup", NULL, "input 2 must be a float32 table", 2, { ONE_A_ROW, DENSE(3) } },
        { "embedding_lookup", NULL, "input 2 must be a float32 table", 2, { ONE_A_ROW, ROWS_OF(3) } },
        { "embedding_lookup", NULL, "input 2 must be a float32 table", 2, { ONE_A_ROW, FLOAT64(3, 4) } },
        { "embedding_lookup", NULL, "8 axes are the most", 2, { DENSE(1, 1, 1, 1, 1, 1, 1, 1), DENSE(3, 4) } },
        { "embedding_lookup_gradient",
          NULL,
          "ids, the output's gradient and the table are needed",
          3,
          { ONE_A_ROW, ONE_A_ROW, DENSE(3, 4) } },
    };
    check_refusals(list, COUNT_OF(list));
}

static void onnx(void **state)
{
    (void)state;
    static const pil_gather_options first = { NULL, 0, 0 }, second = { NULL, 1, 0 };
    static const struct onnx_case list[] = {
        { "Gather/gather_0", "gather", &first, 2, false },
        { "Gather/gather_1", "gather", &second, 2, false },
        { "Gather/gather_2d_indices", "gather", &second, 2, false },
    };
    static const pil_one_hot_options twelve = { 12, 5, 2, -1 }, ten = { 10, 3, 1, 1 }, ten_back = { 10, 3, 1, -2 };
    static const struct onnx_case ones[] = {
        { "OneHot/onehot_without_axis", "one_hot", &twelve, 1, true },
        { "OneHot/onehot_with_axis", "one_hot", &ten, 1, true },
        { "OneHot/onehot_with_negative_axis", "one_hot", &ten_back, 1, true },
    };
    onnx_try(list, COUNT_OF(list));
    onnx_try(ones, COUNT_OF(ones));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gather_any), cmocka_unit_test(one_hot), cmocka_unit_test(a_bad_index),
        cmocka_unit_test(refusals),   cmocka_unit_test(onnx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
