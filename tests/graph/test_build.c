/* SPDX-License-Identifier: Apache-2.0 */
/* Building: names and scopes, the first error that stays, inputs and constants, errors that name op, inputs and shapes. */
#include "harness.h"

static const struct op_scalar_args two = { 2 };

static struct pil_tensor *scaled(struct pil_graph *g, struct pil_tensor *x)
{
    return graph_op1(g, "scale", &two, x);
}

static struct pil_tensor *rows_input(struct pil_graph *g, const char *name, int64_t columns)
{
    return graph_input(g, name, DTYPE_FLOAT32, SHAPE(BATCH_DIM, columns), false);
}

static void assert_error(const struct pil_graph *g, const char *text)
{
    if (graph_status(g)->code != PIL_INVALID_ARGUMENT || !strstr(graph_status(g)->message, text))
        fail_msg("'%s' does not say: %s", graph_status(g)->message, text);
}

static void names(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = rows_input(g, "x", 3);
    assert_string_equal(graph_tensor_name(x), "x");
    assert_string_equal(graph_tensor_name(scaled(g, x)), "scale");
    assert_string_equal(graph_tensor_name(scaled(g, x)), "scale_1");
    graph_push_scope(g, "dnn");
    assert_string_equal(graph_tensor_name(scaled(g, x)), "dnn/scale");
    graph_push_scope(g, "hidden/0"); /* a scope may have a slash of its own */
    struct pil_tensor *named = scaled(g, x);
    assert_string_equal(graph_tensor_name(named), "dnn/hidden/0/scale");
    graph_name(g, named, "out");
    assert_string_equal(graph_tensor_name(named), "dnn/hidden/0/out");
    named = scaled(g, x);
    graph_name(g, named, "out");
    assert_string_equal(graph_tensor_name(named), "dnn/hidden/0/out_1");
    graph_pop_scope(g);
    assert_string_equal(graph_tensor_name(scaled(g, x)), "dnn/scale_1");
    graph_pop_scope(g);
    named = scaled(g, x);
    assert_string_equal(graph_tensor_name(named), "scale_2");
    graph_name(g, named, "scale_3"); /* a name that numbering would come to is left out */
    assert_string_equal(graph_tensor_name(scaled(g, x)), "scale_4");
    graph_pop_scope(g); /* one too many is nothing */
    assert_string_equal(graph_tensor_name(scaled(g, x)), "scale_5");
    assert_ok(*graph_status(g));
    rig_free(&rig);
}

/* Ten thousand nodes of one op: quadratic naming would take minutes under the sanitizers. */
static void many_names(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_tensor *x = rows_input(rig.graph, "x", 3);
    for (int i = 0; i < 10000; i++)
        x = scaled(rig.graph, x);
    assert_ok(*graph_status(rig.graph));
    assert_string_equal(graph_tensor_name(x), "scale_9999");
    rig_free(&rig);
}

static void scopes_have_a_limit(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    char longest[600];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    graph_push_scope(rig.graph, "short");
    graph_push_scope(rig.graph, longest);
    assert_error(rig.graph, "is too long");
    rig_free(&rig);
    rig = rig_new();
    for (int i = 0; i < MAX_SCOPES + 1; i++)
        graph_push_scope(rig.graph, "s");
    assert_error(rig.graph, "is too long");
    rig_free(&rig);
}

static void inputs(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = rows_input(g, "x", 3), *ids = graph_input(g, "ids", DTYPE_FLOAT32, SHAPE_SCALAR, true);
    assert_ptr_equal(rows_input(g, "x", 3), x);
    assert_ptr_equal(graph_input(g, "ids", DTYPE_INT64, SHAPE(4), true), ids); /* of a sparse one both are ignored */
    assert_true(x->type.extent == EXTENT_ROWS && !x->type.sparse && ids->type.sparse && ids->type.extent == EXTENT_ROWS);
    rows_input(g, "x", 4);
    assert_error(g, "the input x exists already: it is float32 [?, 3] there, float32 [?, 4] here");
    rig_free(&rig);
    static const struct {
        struct shape shape;
        enum dtype dtype;
        const char *says;
    } bad[] = {
        { { 2, { 3, 4 } }, DTYPE_FLOAT32, "input bad: float32 [3, 4] is no batch of values" },
        { { 0, { 0 } }, DTYPE_FLOAT32, "is no batch of values" },
        { { 2, { BATCH_DIM, BATCH_DIM } }, DTYPE_FLOAT32, "[?, ?] is no batch of values" },
        { { 2, { BATCH_DIM, 3 } }, DTYPE_STRING, "string [?, 3] is no batch of values" },
        { { 3, { BATCH_DIM, INT64_MAX, 4 } }, DTYPE_FLOAT32, "is no batch of values" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        rig = rig_new();
        assert_ptr_equal(graph_input(rig.graph, "bad", bad[i].dtype, bad[i].shape, false), graph_error_tensor(rig.graph));
        assert_error(rig.graph, bad[i].says);
        rig_free(&rig);
    }
    rig = rig_new();
    graph_input(rig.graph, "x", DTYPE_INT32, SHAPE(BATCH_DIM), true);
    graph_input(rig.graph, "x", DTYPE_INT32, SHAPE(BATCH_DIM), false);
    assert_error(rig.graph, "it is sparse [?] there, int32 [?] here");
    rig_free(&rig);
}

static void constants(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    static const float values[] = { 1, 2, 3, 4, 5, 6 };
    struct pil_tensor *c = graph_constant(rig.graph, SHAPE(2, 3), values), *s = graph_scalar(rig.graph, 7);
    float back[6];
    tensor_pack(&c->node->constant, back);
    assert_memory_equal(back, values, sizeof values);
    assert_true((uintptr_t)c->node->constant.data % 64 == 0 && c->node->constant.ld == PAD && c->type.extent == EXTENT_FIXED);
    assert_true(*tensor_floats(&s->node->constant) == 7 && s->type.shape.rank == 0);
    graph_constant(rig.graph, SHAPE(BATCH_DIM, 3), values);
    assert_error(rig.graph, "a constant has an impossible shape [?, 3]");
    rig_free(&rig);
    rig = rig_new();
    graph_constant(rig.graph, SHAPE(INT64_MAX / 4, 2), values);
    assert_error(rig.graph, "a constant has an impossible shape");
    rig_free(&rig);
}

/* The first error stays; all that follows gives the error tensor and does nothing. */
static void the_first_error_stays(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *error = graph_error_tensor(g), *x = rows_input(g, "x", 3), *pair[2] = { NULL };
    size_t nodes = g->node_count;
    graph_push_scope(g, "dnn");
    struct pil_tensor *wrong = graph_op2(g, "add", NULL, x, graph_variable(g, "w", SHAPE(4), (pil_initializer){ 0 }, true));
    assert_ptr_equal(wrong, error);
    assert_string_equal(graph_status(g)->message, "dnn/add(x [?, 3], w [4]): the shapes do not fit each other");
    assert_ptr_equal(graph_op2(g, "no such op", NULL, x, wrong), error);
    assert_ptr_equal(rows_input(g, "y", 3), error);
    assert_ptr_equal(graph_constant(g, SHAPE(1), &(float){ 1 }), error);
    assert_ptr_equal(graph_variable(g, "v", SHAPE(4), (pil_initializer){ 0 }, true), error);
    graph_op(g, "moments_mean", &(struct op_count_args){ 1 }, &wrong, 1, pair);
    assert_true(pair[0] == error && pair[1] == error); /* as many as the op has */
    graph_moving(g, wrong, wrong, 0.9f);
    graph_name(g, x, "other");
    assert_false(graph_gradients(g, wrong));
    assert_string_equal(graph_tensor_name(x), "x");
    assert_int_equal(g->node_count, nodes + 1); /* the variable w */
    assert_int_equal(g->moving_count, 0);
    pil_status status = { 0 };
    assert_null(plan_compile(g, &x, 1, &status));
    assert_string_equal(status.message, graph_status(g)->message);
    rig_free(&rig);
}

static void errors_say_what(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    graph_op1(rig.graph, "matmull", NULL, rows_input(rig.graph, "x", 3));
    assert_error(rig.graph, "there is no op 'matmull'");
    rig_free(&rig);
    rig = rig_new();
    struct op_matmul_args biased = { .bias = true };
    graph_op2(rig.graph, "matmul", &biased, rows_input(rig.graph, "x", 3),
              graph_variable(rig.graph, "kernel", SHAPE(4, 2), (pil_initializer){ 0 }, true));
    assert_error(rig.graph, "matmul(x [?, 3], kernel [4, 2]): 2 inputs given, 3 needed");
    rig_free(&rig);
    rig = rig_new();
    graph_name(rig.graph, rows_input(rig.graph, "x", 3), "y");
    assert_error(rig.graph, "x cannot be named y");
    rig_free(&rig);
    rig = rig_new();
    struct pil_graph *other = graph_new(&rig.status);
    graph_op2(rig.graph, "add", NULL, rows_input(rig.graph, "x", 3), rows_input(other, "y", 3));
    assert_error(rig.graph, "y belongs to another graph");
    graph_free(other);
    rig_free(&rig);
}

/* An input of which only columns are read may become wider. */
static void input_grows(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = graph_grow_input(g, "x", 2);
    struct pil_tensor *first = graph_op1(g, "slice", &(struct op_slice_args){ 1, 0, 2 }, x);
    assert_ptr_equal(graph_grow_input(g, "x", 20), x);
    assert_ptr_equal(graph_grow_input(g, "x", 5), x);
    assert_int_equal(x->type.shape.dims[1], 20);
    struct pil_tensor *last = graph_op1(g, "slice", &(struct op_slice_args){ 1, 18, 2 }, x);
    struct pil_tensor *sum = graph_op2(g, "add", NULL, first, last);
    assert_ok(*graph_status(g));
    rig_start(&rig, &sum, 1, 1, 0);
    struct tensor values;
    assert_true(tensor_new(&values, DTYPE_FLOAT32, SHAPE(3, 20), true, &rig.status));
    for (int i = 0; i < 60; i++)
        tensor_floats(&values)[i / 20 * values.ld + i % 20] = (float)i;
    assert_true(session_input(rig.session, "x", &(struct op_value){ .tensor = values }));
    rig_run(&rig, 3);
    const struct tensor *out = &session_fetch(rig.session, 0)->tensor;
    for (int row = 0; row < 3; row++)
        for (int c = 0; c < 2; c++)
            assert_true(tensor_floats(out)[row * out->ld + c] == (float)(40 * row + 2 * c + 18));
    tensor_free(&values);
    rig_free(&rig);

    rig = rig_new();
    x = graph_grow_input(rig.graph, "x", 2);
    scaled(rig.graph, x);
    assert_ptr_equal(graph_grow_input(rig.graph, "x", 2), x);
    assert_ptr_equal(graph_grow_input(rig.graph, "x", 3), graph_error_tensor(rig.graph));
    assert_error(rig.graph, "the input x cannot become 3 columns wide");
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(input_grows),
        cmocka_unit_test(many_names),
        cmocka_unit_test(scopes_have_a_limit),
        cmocka_unit_test(inputs),
        cmocka_unit_test(constants),
        cmocka_unit_test(the_first_error_stays),
        cmocka_unit_test(errors_say_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
