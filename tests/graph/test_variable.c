/* SPDX-License-Identifier: Apache-2.0 */
/* Variables: one a name, what they may not be, moving averages. */
#include "harness.h"

static const pil_initializer zeros = { PIL_INITIALIZER_ZEROS, 0, 0 };

static void assert_error(const struct pil_graph *g, const char *text)
{
    if (graph_status(g)->code != PIL_INVALID_ARGUMENT || !strstr(graph_status(g)->message, text))
        fail_msg("'%s' does not say: %s", graph_status(g)->message, text);
}

static void one_a_name(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    graph_push_scope(g, "scope"); /* names are full: no scope is added */
    struct pil_tensor *w = graph_variable(g, "dnn/kernel", SHAPE(3, 4), zeros, true);
    struct pil_tensor *frozen =
        graph_variable(g, "dnn/frozen", SHAPE(2), (pil_initializer){ PIL_INITIALIZER_CONSTANT, 2, 0 }, false);
    assert_ptr_equal(graph_variable(g, "dnn/kernel", SHAPE(3, 4), zeros, true), w);
    assert_int_equal(graph_variable_count(g), 2);
    assert_string_equal(graph_variable_at(g, 0)->name, "dnn/kernel");
    assert_true(graph_variable_of(w) == graph_variable_at(g, 0) && graph_variable_of(w)->tensor == w &&
                graph_variable_of(w)->trainable);
    assert_true(graph_variable_of(frozen)->initializer.kind == PIL_INITIALIZER_CONSTANT && !graph_variable_of(frozen)->trainable);
    assert_null(graph_variable_of(graph_scalar(g, 1)));
    assert_true(w->type.extent == EXTENT_FIXED && shape_equal(w->type.shape, SHAPE(3, 4)));
    for (int i = 0; i < 3000; i++) { /* found by hash */
        char name[32];
        snprintf(name, sizeof name, "v%d", i % 1500);
        graph_variable(g, name, SHAPE(2), zeros, true);
    }
    assert_int_equal(graph_variable_count(g), 1502);
    assert_ok(*graph_status(g));
    graph_variable(g, "dnn/kernel", SHAPE(4, 3), zeros, false);
    assert_error(g, "the variable dnn/kernel exists already: it is [3, 4] there, [4, 3] and not trainable here");
    rig_free(&rig);
}

static void impossible_shapes(void **state)
{
    (void)state;
    static const struct shape shapes[] = { { 2, { BATCH_DIM, 3 } }, { 1, { -7 } }, { 3, { INT64_MAX / 2, 2, 2 } } };
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct rig rig = rig_new();
        graph_variable(rig.graph, "w", shapes[i], zeros, true);
        assert_error(rig.graph, "the variable w has an impossible shape");
        rig_free(&rig);
    }
}

static void moving_needs_its_shape(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 4; wrong++) {
        struct rig rig = rig_new();
        struct pil_graph *g = rig.graph;
        struct pil_tensor *v = graph_variable(g, "moving_mean", SHAPE(3), zeros, false),
                          *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3), false);
        struct pil_tensor *sums = graph_op1(g, "moments", NULL, x), *mean[2];
        graph_op(g, "moments_mean", &(struct op_count_args){ 1 }, &sums, 1, mean);
        struct pil_tensor *values[] = { x, sums, graph_scalar(g, 1), mean[0] };
        graph_moving(g, wrong == 3 ? mean[1] : v, values[wrong], 0.9f);
        assert_error(g, "a moving average needs a variable and a float32 value of its shape");
        rig_free(&rig);
    }
}

/* variable -= (variable - value) (1 - decay), after the last phase, with and without other trainable variables. */
static void averages_move(void **state)
{
    (void)state;
    enum { ROWS = 100 };
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3), false), *moments[2];
    struct pil_tensor *w = graph_variable(g, "w", SHAPE(3), zeros, true),
                      *average = graph_variable(g, "average", SHAPE(3), zeros, false);
    struct pil_tensor *sums = graph_op1(g, "moments", NULL, x);
    graph_op(g, "moments_mean", &(struct op_count_args){ 1 }, &sums, 1, moments);
    graph_moving(g, average, moments[0], 0.75f);
    struct pil_tensor *loss = graph_op1(g, "divide_by_rows", &(struct op_count_args){ 3 },
                                        graph_op1(g, "sum_all", NULL, graph_op2(g, "mul", NULL, x, w)));
    graph_gradients(g, loss);
    rig_start(&rig, &loss, 1, 2, 3);
    struct tensor values;
    assert_true(tensor_new(&values, DTYPE_FLOAT32, SHAPE(ROWS, 3), true, &rig.status));
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < 3; c++)
            tensor_floats(&values)[r * values.ld + c] = (float)(r % 2 * 2 + c); /* mean 1 + c */
    session_input(rig.session, "x", &(struct op_value){ .tensor = values });
    float want[3];
    memcpy(want, rig.values[1].data, sizeof want);
    for (int step = 0; step < 3; step++) {
        rig_run(&rig, ROWS);
        for (int c = 0; c < 3; c++) {
            want[c] -= (want[c] - (float)(1 + c)) * 0.25f;
            assert_true(fabsf(tensor_floats(&rig.values[1])[c] - want[c]) < 1e-6f);
        }
    }
    rig_free(&rig);
    tensor_free(&values);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(one_a_name), cmocka_unit_test(impossible_shapes),
                                        cmocka_unit_test(moving_needs_its_shape), cmocka_unit_test(averages_move) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
