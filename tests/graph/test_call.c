/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops as a model function calls them: every function of pilaster/op.h gives a tensor of the right shape, sums over the batch come
 * back as float32, a product plus a vector is one layer, and mistakes are told.
 */
#include "harness.h"

#include "pilaster/op.h"

static void assert_type(const pil_tensor *tensor, struct shape shape, enum dtype dtype)
{
    char have[128], want[128];
    if (!shape_equal(tensor->type.shape, shape) || tensor->type.dtype != dtype)
        fail_msg("%s is %s %s, not %s %s", tensor->node->name, dtype_name(tensor->type.dtype),
                 shape_text(tensor->type.shape, have), dtype_name(dtype), shape_text(shape, want));
}

static pil_tensor *matrix(pil_graph *g, const char *name, int64_t columns)
{
    return graph_input(g, name, DTYPE_FLOAT32, SHAPE(BATCH_DIM, columns), false);
}

static pil_tensor *variable(pil_graph *g, const char *name, struct shape shape)
{
    return graph_variable(g, name, shape, (pil_initializer){ 0 }, true);
}

static void elementwise(void **state)
{
    (void)state;
    static pil_tensor *(*const ones[])(pil_graph *, pil_tensor *) = {
        pil_neg,  pil_square, pil_sqrt,          pil_abs,         pil_exp,  pil_log,   pil_sign,         pil_floor,
        pil_ceil, pil_round,  pil_stop_gradient, pil_logical_not, pil_relu, pil_relu6, pil_sigmoid,      pil_tanh,
        pil_elu,  pil_selu,   pil_softplus,      pil_softsign,    pil_gelu, pil_swish, pil_hard_sigmoid,
    };
    static pil_tensor *(*const pairs[])(pil_graph *, pil_tensor *, pil_tensor *) = {
        pil_add,       pil_sub,  pil_mul,        pil_div,     pil_pow,           pil_maximum,     pil_minimum,    pil_equal,
        pil_not_equal, pil_less, pil_less_equal, pil_greater, pil_greater_equal, pil_logical_and, pil_logical_or,
    };
    struct rig rig = rig_new();
    pil_graph *g = rig.graph;
    pil_tensor *x = matrix(g, "x", 5), *column = matrix(g, "column", 1), *number = pil_scalar(g, 2);
    for (size_t i = 0; i < COUNT_OF(ones); i++)
        assert_type(ones[i](g, x), SHAPE(BATCH_DIM, 5), DTYPE_FLOAT32);
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        assert_type(pairs[i](g, x, column), SHAPE(BATCH_DIM, 5), DTYPE_FLOAT32);
        assert_type(pairs[i](g, number, column), SHAPE(BATCH_DIM, 1), DTYPE_FLOAT32);
    }
    assert_type(pil_where(g, column, x, number), SHAPE(BATCH_DIM, 5), DTYPE_FLOAT32);
    assert_type(pil_clip_by_value(g, x, -1, 1), SHAPE(BATCH_DIM, 5), DTYPE_FLOAT32);
    assert_type(pil_leaky_relu(g, x), SHAPE(BATCH_DIM, 5), DTYPE_FLOAT32);
    assert_type(pil_cast(g, x, PIL_INT64), SHAPE(BATCH_DIM, 5), DTYPE_INT64);
    assert_type(pil_cast(g, x, PIL_FLOAT64), SHAPE(BATCH_DIM, 5), DTYPE_FLOAT64); /* asked for, so it stays */
    assert_ok(*graph_status(g));
    rig_free(&rig);
}

static void reductions(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pil_graph *g = rig.graph;
    pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3, 4), false), *all = NULL;
    assert_type(pil_reduce_mean(g, x), SHAPE_SCALAR, DTYPE_FLOAT32);
    assert_type(pil_reduce_sum(g, x, .axis = PIL_AXES(0)), SHAPE(3, 4), DTYPE_FLOAT32);
    assert_type(pil_reduce_sum(g, x, .axis = PIL_AXES(-1, 1), .keepdims = true), SHAPE(BATCH_DIM, 1, 1), DTYPE_FLOAT32);
    assert_type(pil_reduce_max(g, x, .axis = PIL_AXES(2)), SHAPE(BATCH_DIM, 3), DTYPE_FLOAT32);
    assert_type(pil_reduce_min(g, x, .keepdims = true), SHAPE(1, 1, 1), DTYPE_FLOAT32);
    assert_type(pil_argmax(g, x), SHAPE(3, 4), DTYPE_FLOAT32);
    assert_type(pil_argmax(g, x, .axis = -1, .keepdims = true), SHAPE(BATCH_DIM, 3, 1), DTYPE_FLOAT32);
    assert_type(pil_softmax(g, x), SHAPE(BATCH_DIM, 3, 4), DTYPE_FLOAT32);
    assert_type(pil_log_softmax(g, x, .axis = 0), SHAPE(BATCH_DIM, 3, 4), DTYPE_FLOAT32);
    /* The same through the plain functions and their defaults. */
    pil_reduce_options options = pil_reduce_options_default();
    options.x = x;
    assert_type(pil_reduce_sum_make(g, &options), SHAPE_SCALAR, DTYPE_FLOAT32);
    pil_argmax_options position = pil_argmax_options_default();
    position.x = x;
    assert_type(pil_argmax_make(g, &position), SHAPE(3, 4), DTYPE_FLOAT32);
    pil_softmax_options soft = pil_softmax_options_default();
    assert_int_equal(soft.axis, -1);
    /* All outputs of an op are float32 too, and no node holds the tensor of its options. */
    pil_tensor *first = pil_op(g, "sum_all", NULL, 0, &x, 1, &all);
    assert_ptr_equal(first, all);
    assert_type(all, SHAPE_SCALAR, DTYPE_FLOAT32);
    for (size_t n = 0; n < g->node_count; n++)
        if (g->nodes[n]->row && strcmp(g->nodes[n]->row->name, "softmax") == 0)
            assert_null(((const pil_softmax_options *)g->nodes[n]->args)->x);
    assert_ok(*graph_status(g));
    rig_free(&rig);
}

/* Each output has one shape, and there are `count`. */
static void assert_parts(pil_tensor *const *parts, size_t count, struct shape shape)
{
    for (size_t i = 0; i < count; i++)
        assert_type(parts[i], shape, DTYPE_FLOAT32);
    assert_int_equal(parts[0]->node->output_count, count);
}

static void parts_and_shapes(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pil_graph *g = rig.graph;
    pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 4, 6), false), *row = matrix(g, "row", 6), *parts[6];
    pil_tensor *first = pil_split(g, row, 3, 1, parts);
    assert_ptr_equal(first, parts[0]);
    assert_parts(parts, 3, SHAPE(BATCH_DIM, 2));
    assert_type(pil_concat(g, parts, 3, -1), SHAPE(BATCH_DIM, 6), DTYPE_FLOAT32);
    assert_type(pil_stack(g, parts, 3, 1), SHAPE(BATCH_DIM, 3, 2), DTYPE_FLOAT32);
    assert_type(pil_stack(g, parts, 3, 0), SHAPE(3, BATCH_DIM, 2), DTYPE_FLOAT32);
    pil_unstack(g, x, 4, 1, parts);
    assert_parts(parts, 4, SHAPE(BATCH_DIM, 6));
    pil_split_sizes(g, row, (int64_t[]){ 1, 5 }, 2, 1, parts);
    assert_type(parts[1], SHAPE(BATCH_DIM, 5), DTYPE_FLOAT32);
    assert_type(pil_slice(g, x, PIL_SHAPE(0, 1, 2), PIL_SHAPE(-1, 2, -1)), SHAPE(BATCH_DIM, 2, 4), DTYPE_FLOAT32);
    assert_type(pil_pad(g, row, PIL_SHAPE(0, 1), PIL_SHAPE(0, 2), 0), SHAPE(BATCH_DIM, 9), DTYPE_FLOAT32);
    assert_type(pil_tile(g, row, PIL_SHAPE(1, 3)), SHAPE(BATCH_DIM, 18), DTYPE_FLOAT32);
    assert_type(pil_broadcast_to(g, pil_scalar(g, 1), PIL_SHAPE(-1, 3)), SHAPE(BATCH_DIM, 3), DTYPE_FLOAT32);
    assert_type(pil_reshape(g, x, PIL_SHAPE(-1, 3, -1)), SHAPE(BATCH_DIM, 3, 8), DTYPE_FLOAT32);
    assert_type(pil_transpose(g, x, PIL_AXES(0, 2, 1)), SHAPE(BATCH_DIM, 6, 4), DTYPE_FLOAT32);
    assert_type(pil_transpose(g, row, PIL_AXES_ALL), SHAPE(6, BATCH_DIM), DTYPE_FLOAT32);
    assert_type(pil_squeeze(g, pil_expand_dims(g, row, 1), PIL_AXES(1)), SHAPE(BATCH_DIM, 6), DTYPE_FLOAT32);
    assert_type(pil_squeeze(g, pil_expand_dims(g, row, -1), PIL_AXES_ALL), SHAPE(BATCH_DIM, 6), DTYPE_FLOAT32);
    assert_type(pil_zeros_like(g, x), SHAPE(BATCH_DIM, 4, 6), DTYPE_FLOAT32);
    assert_ok(*graph_status(g));
    rig_free(&rig);
}

static void chosen_by_numbers(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pil_graph *g = rig.graph;
    pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 4, 6), false), *ids = matrix(g, "ids", 2),
               *table = variable(g, "table", SHAPE(9, 3));
    pil_tensor *sparse = graph_input(g, "sparse", DTYPE_INT32, SHAPE(BATCH_DIM), true);
    assert_type(pil_gather(g, table, ids), SHAPE(BATCH_DIM, 2, 3), DTYPE_FLOAT32);
    assert_type(pil_gather(g, x, ids, .axis = 1, .batch_dims = 1), SHAPE(BATCH_DIM, 2, 6), DTYPE_FLOAT32);
    assert_type(pil_one_hot(g, ids, 5, .axis = 1), SHAPE(BATCH_DIM, 5, 2), DTYPE_FLOAT32);
    assert_type(pil_embedding_lookup(g, table, ids), SHAPE(BATCH_DIM, 2, 3), DTYPE_FLOAT32);
    assert_type(pil_embedding_lookup_sparse(g, table, sparse, .combiner = "sum"), SHAPE(BATCH_DIM, 3), DTYPE_FLOAT32);
    assert_type(pil_matmul(g, x, pil_transpose(g, x, PIL_AXES(0, 2, 1))), SHAPE(BATCH_DIM, 4, 4), DTYPE_FLOAT32);
    assert_type(pil_matmul(g, x, x, .transpose_b = true), SHAPE(BATCH_DIM, 4, 4), DTYPE_FLOAT32);
    assert_type(pil_matmul(g, ids, ids, .transpose_a = true), SHAPE(2, 2), DTYPE_FLOAT32);
    pil_gather_options gather = pil_gather_options_default();
    gather.indices = ids;
    assert_type(pil_gather_make(g, table, &gather), SHAPE(BATCH_DIM, 2, 3), DTYPE_FLOAT32);
    pil_one_hot_options one_hot = pil_one_hot_options_default();
    one_hot.depth = 7;
    assert_type(pil_one_hot_make(g, ids, &one_hot), SHAPE(BATCH_DIM, 2, 7), DTYPE_FLOAT32);
    assert_ok(*graph_status(g));
    rig_free(&rig);
}

static void dropout_is_for_training(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pil_graph *g = rig.graph;
    pil_tensor *x = matrix(g, "x", 5);
    assert_ptr_equal(pil_nn_dropout(g, x, .rate = 0.3f), x);
    pil_tensor *y = pil_nn_dropout(g, x, .rate = 0.3f, .training = true);
    const struct op_dropout_args *args = y->node->args;
    assert_string_equal(y->node->row->name, "dropout");
    assert_true(args->rate == 0.3f && args->stream == NULL);
    pil_nn_dropout(g, x, .rate = 1, .training = true);
    assert_non_null(strstr(graph_status(g)->message, "the rate 1 is not in [0, 1)"));
    rig_free(&rig);
}

/* ---- matmul, add and an activation are what a layer is ---- */

static pil_tensor *product(pil_graph *g, pil_tensor *x, const char *name, int64_t units)
{
    return pil_matmul(g, x, variable(g, name, SHAPE(x->type.shape.dims[x->type.shape.rank - 1], units)));
}

/* What a plan does, in order, without names. */
static void steps_of(pil_graph *g, pil_tensor *fetch, char *out, size_t size)
{
    pil_status status = { 0 };
    pil_tensor *fetches[] = { fetch };
    struct plan *plan = plan_compile(g, fetches, 1, &status);
    size_t used = 0;
    assert_ok(status);
    for (int s = 0; s < plan->step_count; s++) {
        const struct step *step = &plan->steps[s];
        const struct op_matmul_args *args = step->args;
        bool is_product = strcmp(step->row->name, "matmul") == 0;
        used += (size_t)snprintf(out + used, size - used, "%s", step->row->name);
        if (is_product)
            used +=
                (size_t)snprintf(out + used, size - used, " bias %d act %d gate %d", args->bias, args->activation, args->gate);
        used += (size_t)snprintf(out + used, size - used, "; ");
        assert_true(used < size);
    }
    plan_free(plan);
}

static pil_tensor *mean_square(pil_graph *g, pil_tensor *x)
{
    return pil_reduce_mean(g, pil_square(g, x));
}

/* Two layers with a loss, trained: by ops, and as the estimators make them. The same steps, one a layer in each direction. */
static void a_layer_is_one_step(void **state)
{
    (void)state;
    char by_ops[4096], as_layers[4096];
    struct rig rig = rig_new(), other = rig_new();
    pil_graph *g = rig.graph;
    pil_tensor *h = pil_relu(g, pil_add(g, product(g, matrix(g, "x", 5), "w", 7), variable(g, "b", SHAPE(7))));
    h = pil_tanh(g, pil_add(g, variable(g, "c", SHAPE(1)), product(g, h, "v", 1)));
    pil_tensor *loss = mean_square(g, h);
    assert_true(graph_gradients(g, loss));
    steps_of(g, loss, by_ops, sizeof by_ops);
    g = other.graph;
    h = graph_op3(g, "matmul", &(struct op_matmul_args){ .bias = true, .activation = ACTIVATION_RELU }, matrix(g, "x", 5),
                  variable(g, "w", SHAPE(5, 7)), variable(g, "b", SHAPE(7)));
    h = graph_op3(g, "matmul", &(struct op_matmul_args){ .bias = true, .activation = ACTIVATION_TANH }, h,
                  variable(g, "v", SHAPE(7, 1)), variable(g, "c", SHAPE(1)));
    loss = mean_square(g, h);
    assert_true(graph_gradients(g, loss));
    steps_of(g, loss, as_layers, sizeof as_layers);
    assert_string_equal(by_ops, as_layers);
    assert_non_null(strstr(by_ops, "matmul bias 1 act 1 gate 0; matmul bias 1 act 3 gate 0; "));
    rig_free(&rig);
    rig_free(&other);
}

/* What others read, or what is no vector of the product's columns, stays what it is. */
static void other_sums_are_sums(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pil_graph *g = rig.graph;
    pil_tensor *x = matrix(g, "x", 5), *p = product(g, x, "w", 3);
    pil_tensor *sum = pil_add(g, p, variable(g, "one", SHAPE(1)));
    assert_string_equal(sum->node->row->name, "add");
    assert_string_equal(pil_add(g, p, p)->node->row->name, "add");
    assert_string_equal(pil_add(g, x, variable(g, "five", SHAPE(5)))->node->row->name, "add");
    assert_string_equal(pil_sub(g, p, variable(g, "three", SHAPE(3)))->node->row->name, "sub");
    pil_tensor *layer = pil_add(g, p, variable(g, "b", SHAPE(3)));
    assert_string_equal(layer->node->row->name, "matmul");
    assert_string_equal(pil_add(g, layer, variable(g, "c", SHAPE(3)))->node->row->name, "add"); /* it has its bias */
    /* An activation leaves a product alone that something else reads. */
    char steps[1024];
    pil_tensor *logits = pil_add(g, p, variable(g, "d", SHAPE(3))), *both = pil_add(g, pil_sigmoid(g, logits), logits);
    steps_of(g, both, steps, sizeof steps);
    assert_string_equal(steps, "matmul bias 1 act 0 gate 0; activation; add; ");
    assert_ok(*graph_status(g));
    rig_free(&rig);
}

static void mistakes(void **state)
{
    (void)state;
    static const char *const says[] = { "softmax: input 1 is NULL",        "there is no op 'sofmax'; did you mean 'softmax'?",
                                        "its options have 8 bytes, not 0", "there is no axis 2",
                                        "add(x [?, 5], y [?, 4])",         "its options have 8 bytes, not 3" };
    for (size_t i = 0; i < COUNT_OF(says); i++) {
        struct rig rig = rig_new();
        pil_graph *g = rig.graph;
        pil_tensor *x = matrix(g, "x", 5), *y = matrix(g, "y", 4), *out[2] = { NULL, NULL }, *made = NULL;
        switch (i) {
        case 0:
            made = pil_softmax(g, NULL);
            break;
        case 1:
            made = pil_op(g, "sofmax", NULL, 0, &x, 1, NULL);
            break;
        case 2:
            made = pil_op(g, "clip_by_value", NULL, 0, &x, 1, NULL);
            break;
        case 3:
            made = pil_reduce_max(g, x, .axis = PIL_AXES(2));
            break;
        case 4:
            made = pil_add(g, x, y);
            break;
        case 5:
            made = pil_op(g, "clip_by_value", "ab", 3, &x, 1, out);
            assert_ptr_equal(out[0], made);
            break;
        }
        assert_ptr_equal(made, graph_error_tensor(g));
        if (!strstr(graph_status(g)->message, says[i]))
            fail_msg("%s", graph_status(g)->message);
        assert_ptr_equal(pil_exp(g, x), made); /* and so on to the end of the model */
        rig_free(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementwise),
        cmocka_unit_test(reductions),
        cmocka_unit_test(parts_and_shapes),
        cmocka_unit_test(chosen_by_numbers),
        cmocka_unit_test(dropout_is_for_training),
        cmocka_unit_test(a_layer_is_one_step),
        cmocka_unit_test(other_sums_are_sums),
        cmocka_unit_test(mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
