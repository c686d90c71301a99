/* SPDX-License-Identifier: Apache-2.0 */
/* Layers: the variables they make, under which names, what they compute with them, how averages move; what they refuse. */
#include "graph/harness.h"
#include "pilaster/layers.h"

static struct pil_tensor *matrix(struct pil_graph *g, const char *name, int64_t columns)
{
    return graph_input(g, name, DTYPE_FLOAT32, SHAPE(BATCH_DIM, columns), false);
}

static void assert_variable(const struct pil_graph *g, size_t i, const char *name, struct shape shape, pil_initializer_kind kind,
                            bool trainable)
{
    assert_true(i < graph_variable_count(g));
    const struct graph_variable *variable = graph_variable_at(g, i);
    assert_string_equal(variable->name, name);
    assert_true(shape_equal(variable->shape, shape));
    assert_int_equal(variable->initializer.kind, kind);
    assert_int_equal(variable->trainable, trainable);
}

static void dense_variables(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = matrix(g, "x", 3), *h = pil_layers_dense(g, x, 4, .activation = PIL_ACTIVATION_RELU);
    const struct op_matmul_args *args = h->node->args;
    assert_string_equal(h->node->row->name, "matmul");
    assert_string_equal(h->node->name, "dense/matmul");
    assert_true(args->bias && args->activation == ACTIVATION_RELU && shape_equal(h->type.shape, SHAPE(BATCH_DIM, 4)));
    assert_string_equal(pil_layers_dense(g, h, 5, .activation = PIL_ACTIVATION_GELU)->node->row->name,
                        "activation"); /* not fused: it needs its input */
    pil_push_scope(g, "tower");
    args = pil_layers_dense(g, h, 2, .use_bias = false)->node->args;
    assert_false(args->bias);
    pil_pop_scope(g);
    pil_layers_dense(g, graph_input(g, "sequence", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 7, 3), false), 6, .name = "own",
                     .trainable = false, .kernel_initializer = pil_he_normal_initializer(),
                     .bias_initializer = pil_ones_initializer());
    assert_ok(*graph_status(g));
    assert_int_equal(graph_variable_count(g), 7);
    assert_variable(g, 0, "dense/kernel", SHAPE(3, 4), PIL_INITIALIZER_GLOROT_UNIFORM, true);
    assert_variable(g, 1, "dense/bias", SHAPE(4), PIL_INITIALIZER_ZEROS, true);
    assert_variable(g, 2, "dense_1/kernel", SHAPE(4, 5), PIL_INITIALIZER_GLOROT_UNIFORM, true);
    assert_variable(g, 3, "dense_1/bias", SHAPE(5), PIL_INITIALIZER_ZEROS, true);
    assert_variable(g, 4, "tower/dense/kernel", SHAPE(4, 2), PIL_INITIALIZER_GLOROT_UNIFORM, true);
    assert_variable(g, 5, "own/kernel", SHAPE(3, 6), PIL_INITIALIZER_HE_NORMAL, false);
    assert_variable(g, 6, "own/bias", SHAPE(6), PIL_INITIALIZER_ONES, false);
    assert_string_equal(graph_scope(g), "");
    rig_free(&rig);
}

static void normalization_variables(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2, 3), false);
    pil_layers_batch_normalization(g, x);
    pil_layers_batch_normalization(g, x, .training = true, .momentum = 0.9f, .epsilon = 0.5f, .center = false, .scale = false);
    pil_layers_layer_normalization(g, x);
    pil_layers_layer_normalization(g, x, .axis = 1, .center = false, .trainable = false);
    assert_ok(*graph_status(g));
    assert_int_equal(graph_variable_count(g), 9);
    assert_variable(g, 0, "batch_normalization/gamma", SHAPE(3), PIL_INITIALIZER_ONES, true);
    assert_variable(g, 1, "batch_normalization/beta", SHAPE(3), PIL_INITIALIZER_ZEROS, true);
    assert_variable(g, 2, "batch_normalization/moving_mean", SHAPE(3), PIL_INITIALIZER_ZEROS, false);
    assert_variable(g, 3, "batch_normalization/moving_variance", SHAPE(3), PIL_INITIALIZER_ONES, false);
    assert_variable(g, 4, "batch_normalization_1/moving_mean", SHAPE(3), PIL_INITIALIZER_ZEROS, false);
    assert_variable(g, 6, "layer_normalization/gamma", SHAPE(3), PIL_INITIALIZER_ONES, true);
    assert_variable(g, 7, "layer_normalization/beta", SHAPE(3), PIL_INITIALIZER_ZEROS, true);
    assert_variable(g, 8, "layer_normalization_1/gamma", SHAPE(2, 3), PIL_INITIALIZER_ONES, false);
    assert_int_equal(g->moving_count, 2); /* the training layer's alone */
    assert_true(g->movings[0].decay == 0.9f && g->movings[0].variable == graph_variable_at(g, 4)->tensor);
    rig_free(&rig);
}

/* One batch through batch normalization as TensorFlow would, by formulas in doubles. */
static void batch_normalization(void **state)
{
    (void)state;
    enum { ROWS = 100, POSITIONS = 2, CHANNELS = 3, WIDTH = POSITIONS * CHANNELS };
    for (int training = 0; training < 2; training++) {
        struct rig rig = rig_new();
        struct pil_graph *g = rig.graph;
        struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, POSITIONS, CHANNELS), false);
        struct pil_tensor *y = pil_layers_batch_normalization(g, x, .training = training, .momentum = 0.75f, .epsilon = 0.01f);
        struct pil_tensor *loss = graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, graph_op1(g, "sum_all", NULL, y));
        graph_gradients(g, loss);
        struct tensor values;
        double mean[CHANNELS] = { 0 }, variance[CHANNELS] = { 0 }, old[4][CHANNELS];
        uint64_t seed = 5;
        assert_true(tensor_new(&values, DTYPE_FLOAT32, SHAPE(ROWS, POSITIONS, CHANNELS), true, &rig.status));
        for (int64_t n = 0; n < ROWS * WIDTH; n++)
            tensor_floats(&values)[n / WIDTH * values.ld + n % WIDTH] = noise(&seed) + (float)(n % CHANNELS);
        rig_start(&rig, (struct pil_tensor *[]){ y }, 1, 2, 9);
        for (int v = 0; v < 4; v++)
            for (int c = 0; c < CHANNELS; c++)
                old[v][c] = (double)tensor_floats(&rig.values[v])[c];
        session_input(rig.session, "x", &(struct op_value){ .tensor = values });
        rig_run(&rig, ROWS);
        for (int64_t n = 0; n < ROWS * WIDTH; n++)
            mean[n % CHANNELS] += (double)tensor_floats(&values)[n / WIDTH * values.ld + n % WIDTH] / (ROWS * POSITIONS);
        for (int64_t n = 0; n < ROWS * WIDTH; n++)
            variance[n % CHANNELS] +=
                pow((double)tensor_floats(&values)[n / WIDTH * values.ld + n % WIDTH] - mean[n % CHANNELS], 2) /
                (ROWS * POSITIONS);
        for (int64_t n = 0; n < ROWS * WIDTH; n++) {
            int c = (int)(n % CHANNELS);
            double m = training ? mean[c] : old[2][c], v = training ? variance[c] : old[3][c];
            double in = (double)tensor_floats(&values)[n / WIDTH * values.ld + n % WIDTH],
                   want = (in - m) / sqrt(v + 0.01) * old[0][c] + old[1][c];
            const struct tensor *got = &session_fetch(rig.session, 0)->tensor;
            assert_true(fabs((double)tensor_floats(got)[n / WIDTH * got->ld + n % WIDTH] - want) < 1e-5 * (1 + fabs(want)));
        }
        for (int c = 0; c < CHANNELS; c++) {
            double m = training ? 0.75 * old[2][c] + 0.25 * mean[c] : old[2][c],
                   v = training ? 0.75 * old[3][c] + 0.25 * variance[c] : old[3][c];
            assert_true(fabs((double)tensor_floats(&rig.values[2])[c] - m) < 1e-6);
            assert_true(fabs((double)tensor_floats(&rig.values[3])[c] - v) < 1e-6);
        }
        tensor_free(&values);
        rig_free(&rig);
    }
}

/* Without gamma and beta a row comes out with mean 0 and variance 1. */
static void layer_normalization(void **state)
{
    (void)state;
    enum { ROWS = 70, COLUMNS = 20 };
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *y =
        pil_layers_layer_normalization(g, matrix(g, "x", COLUMNS), .center = false, .scale = false, .epsilon = 0);
    struct tensor values;
    uint64_t seed = 3;
    assert_int_equal(graph_variable_count(g), 0);
    assert_true(tensor_new(&values, DTYPE_FLOAT32, SHAPE(ROWS, COLUMNS), true, &rig.status));
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < COLUMNS; c++)
            tensor_floats(&values)[r * values.ld + c] = noise(&seed) * 3 + 1;
    rig_start(&rig, (struct pil_tensor *[]){ y }, 1, 1, 1);
    session_input(rig.session, "x", &(struct op_value){ .tensor = values });
    rig_run(&rig, ROWS);
    for (int64_t r = 0; r < ROWS; r++) {
        const struct tensor *got = &session_fetch(rig.session, 0)->tensor;
        double sum = 0, squares = 0;
        for (int64_t c = 0; c < COLUMNS; c++) {
            double value = (double)tensor_floats(got)[r * got->ld + c];
            sum += value;
            squares += value * value;
        }
        assert_true(fabs(sum) < 1e-4 && fabs(squares / COLUMNS - 1) < 1e-5);
    }
    tensor_free(&values);
    rig_free(&rig);
}

static void refusals(void **state)
{
    (void)state;
    static const char *const says[] = {
        "dense: its input is NULL (targets are, in PREDICT and where the data have no label)",
        "dense/units is 0: at least 1 is needed",
        "dense/there is no activation number 99",
        "dense/x [?] has no axes from -1 on besides the batch",
        "dense/ids sparse has no axes from -1 on besides the batch",
        "the variable own/kernel exists already",
        "batch_normalization/epsilon -1 must be 0 at least",
        "batch_normalization/epsilon 0.001 must be 0 at least, momentum 2",
        "layer_normalization/x [?, 3] has no axes from 0 on besides the batch",
        "layer_normalization/x [?, 3] has no axes from 2 on besides the batch",
        "dense: its input belongs to another graph",
    };
    struct rig other = rig_new();
    for (size_t i = 0; i < COUNT_OF(says); i++) {
        struct rig rig = rig_new();
        struct pil_graph *g = rig.graph;
        struct pil_tensor *x = i == 3 ? graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM), false) : matrix(g, "x", 3),
                          *y = NULL;
        if (i == 0)
            y = pil_layers_dense(g, NULL, 3);
        else if (i == 1)
            y = pil_layers_dense(g, x, 0);
        else if (i == 2)
            y = pil_layers_dense(g, x, 3, .activation = (pil_activation)99);
        else if (i == 3)
            y = pil_layers_dense(g, x, 3);
        else if (i == 4)
            y = pil_layers_dense(g, graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true), 3);
        else if (i == 5)
            y = pil_layers_dense(g, pil_layers_dense(g, x, 3, .name = "own"), 3, .name = "own");
        else if (i == 6)
            y = pil_layers_batch_normalization(g, x, .epsilon = -1);
        else if (i == 7)
            y = pil_layers_batch_normalization(g, x, .momentum = 2);
        else if (i == 8)
            y = pil_layers_layer_normalization(g, x, .axis = 0);
        else if (i == 9)
            y = pil_layers_layer_normalization(g, x, .axis = 2);
        else
            y = pil_layers_dense(g, matrix(other.graph, "x", 3), 3);
        assert_ptr_equal(y, graph_error_tensor(g));
        if (!strstr(graph_status(g)->message, says[i]))
            fail_msg("%zu says: %s", i, graph_status(g)->message);
        assert_string_equal(graph_scope(g), "");
        rig_free(&rig);
    }
    rig_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_variables),
        cmocka_unit_test(normalization_variables),
        cmocka_unit_test(batch_normalization),
        cmocka_unit_test(layer_normalization),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
