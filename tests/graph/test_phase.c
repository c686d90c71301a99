/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages: which step stands where, which tensors cross a border and so are as large as the batch. Odd stages go row by row, even
 * ones run whole. What these plans compute is checked in test_grad.c and test_run.c.
 */
#include "harness.h"

static const pil_initializer zeros = { PIL_INITIALIZER_ZEROS, 0, 0 };

static struct pil_tensor *matrix(struct pil_graph *g, const char *name, int64_t columns)
{
    return graph_input(g, name, DTYPE_FLOAT32, SHAPE(BATCH_DIM, columns), false);
}

static struct pil_tensor *to_float(struct pil_graph *g, struct pil_tensor *x)
{
    return graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, x);
}

static struct pil_tensor *sum_of(struct pil_graph *g, struct pil_tensor *x)
{
    return graph_op1(g, "sum_all", NULL, x);
}

static struct pil_tensor *mean_of(struct pil_graph *g, struct pil_tensor *x)
{
    return graph_op1(g, "divide_by_rows", &(struct op_count_args){ 1 }, sum_of(g, x));
}

static struct pil_tensor *dense(struct pil_graph *g, struct pil_tensor *x, const char *name, int64_t units,
                                enum activation activation)
{
    struct op_matmul_args args = { .activation = activation };
    return graph_op2(g, "matmul", &args, x, graph_variable(g, name, SHAPE(x->type.shape.dims[1], units), zeros, true));
}

static struct rig compile(struct rig rig, struct pil_tensor *const *fetches, size_t count)
{
    assert_ok(*graph_status(rig.graph));
    rig.plan = plan_compile(rig.graph, fetches, count, &rig.status);
    assert_ok(rig.status);
    return rig;
}

static int stage_of(const struct rig *rig, const struct pil_tensor *tensor)
{
    return rig->plan->tensors[plan_number(rig->plan, tensor)].stage;
}

static bool is_batch_sized(const struct rig *rig, const struct pil_tensor *tensor)
{
    return rig->plan->tensors[plan_number(rig->plan, tensor)].place == PLACE_BATCH;
}

/* How many rows stages hold a step. */
static int phases(const struct rig *rig)
{
    int count = 0;
    for (int s = 1; s < rig->plan->stage_count; s += 2)
        count += rig->plan->stages[s].count > 0;
    return count;
}

/* The only step of an op that the gradient added, by its output. */
static const struct pil_tensor *step_of(const struct rig *rig, const char *op, int number)
{
    for (int s = 0; s < rig->plan->step_count; s++)
        if (strcmp(rig->plan->steps[s].row->name, op) == 0 && number-- == 0)
            return rig->plan->tensors[rig->plan->steps[s].outputs[0]].tensor;
    fail_msg("there is no %s", op);
    return NULL;
}

/* Forward, backward and the loss of an ordinary model are one phase: only the number of rows is needed, not a sum. */
static void a_plain_mean_makes_no_border(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *h = dense(g, matrix(g, "x", 3), "a", 8, ACTIVATION_RELU), *logits = dense(g, h, "b", 1, ACTIVATION_LINEAR);
    struct pil_tensor *loss = mean_of(g, graph_op2(g, "sigmoid_cross_entropy", NULL, logits, matrix(g, "z", 1)));
    graph_gradients(g, loss);
    rig = compile(rig, &loss, 1);
    assert_int_equal(phases(&rig), 1);
    assert_int_equal(stage_of(&rig, h), 1);
    assert_int_equal(stage_of(&rig, loss), 2);
    assert_int_equal(stage_of(&rig, step_of(&rig, "transpose", 0)), 0); /* W for dX, before the phase */
    assert_int_equal(stage_of(&rig, step_of(&rig, "sigmoid_cross_entropy_dx", 0)), 1);
    assert_int_equal(rig.plan->batch_buffers, 0);
    rig_free(&rig);
}

/* Dividing by the weights' sum needs all rows before the first gradient. */
static void a_weighted_mean_makes_one(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *logits = dense(g, matrix(g, "x", 3), "a", 1, ACTIVATION_LINEAR), *w = matrix(g, "w", 1);
    struct pil_tensor *losses = graph_op2(g, "sigmoid_cross_entropy", NULL, logits, matrix(g, "z", 1));
    struct pil_tensor *weights = sum_of(g, w), *sum = sum_of(g, graph_op2(g, "mul", NULL, losses, w));
    struct pil_tensor *loss =
        graph_op2(g, "div", NULL, to_float(g, sum), graph_op1(g, "stop_gradient", NULL, to_float(g, weights)));
    graph_gradients(g, loss);
    rig = compile(rig, &loss, 1);
    assert_int_equal(phases(&rig), 2);
    assert_int_equal(stage_of(&rig, weights), 1);
    assert_int_equal(stage_of(&rig, losses), 1);
    assert_int_equal(stage_of(&rig, loss), 2);
    assert_int_equal(stage_of(&rig, step_of(&rig, "sigmoid_cross_entropy_dx", 0)), 3);
    assert_true(is_batch_sized(&rig, logits)); /* read again behind the border */
    assert_false(is_batch_sized(&rig, losses));
    rig_free(&rig);
}

/* A layer with batch norm: its moments end a phase forward, the sums of its gradient one backward. */
static void batch_norm(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *h = dense(g, matrix(g, "x", 3), "a", 8, ACTIVATION_RELU), *moments[2],
                      *sums = graph_op1(g, "moments", NULL, h);
    graph_op(g, "moments_mean", &(struct op_count_args){ 1 }, &sums, 1, moments);
    struct pil_tensor *all[] = { h, moments[0], moments[1], graph_variable(g, "gamma", SHAPE(8), zeros, true),
                                 graph_variable(g, "beta", SHAPE(8), zeros, true) };
    struct pil_tensor *y = graph_op(g, "batch_norm", &(struct op_norm_args){ 0.001f, true }, all, 5, NULL);
    struct pil_tensor *logits = dense(g, y, "b", 1, ACTIVATION_LINEAR);
    struct pil_tensor *loss = mean_of(g, graph_op1(g, "square", NULL, logits));
    graph_gradients(g, loss);
    rig = compile(rig, &loss, 1);
    assert_int_equal(phases(&rig), 3);
    assert_int_equal(stage_of(&rig, h), 1);
    assert_int_equal(stage_of(&rig, sums), 1);
    assert_int_equal(stage_of(&rig, moments[1]), 2);
    assert_int_equal(stage_of(&rig, y), 3);
    assert_int_equal(stage_of(&rig, step_of(&rig, "batch_norm_sums", 0)), 3);
    assert_int_equal(stage_of(&rig, step_of(&rig, "batch_norm_dx", 0)), 5);
    assert_true(is_batch_sized(&rig, h) && !is_batch_sized(&rig, y) && !is_batch_sized(&rig, logits));
    rig_free(&rig);
}

/* What mixes rows runs whole between two phases; transposed back it is rows again. */
static void softmax_over_the_batch(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = graph_op1(g, "exp", NULL, matrix(g, "x", 3)), *turned = graph_op1(g, "transpose", NULL, x);
    struct pil_tensor *p = graph_op1(g, "softmax", NULL, turned), *back = graph_op1(g, "transpose", NULL, p),
                      *y = graph_op1(g, "square", NULL, back);
    assert_true(turned->type.extent == EXTENT_BATCH && p->type.extent == EXTENT_BATCH && back->type.extent == EXTENT_ROWS);
    struct pil_tensor *loss = sum_of(g, y);
    rig = compile(rig, &loss, 1);
    assert_int_equal(stage_of(&rig, x), 1);
    assert_int_equal(stage_of(&rig, turned), 2);
    assert_int_equal(stage_of(&rig, p), 2);
    assert_int_equal(stage_of(&rig, back), 2);
    assert_int_equal(stage_of(&rig, y), 3);
    assert_true(is_batch_sized(&rig, x) && is_batch_sized(&rig, turned) && is_batch_sized(&rig, back) &&
                !is_batch_sized(&rig, y));
    rig_free(&rig);
}

/* Clipping by the global norm adds a phase; what is read on both sides of it is as large as the batch. */
static void clip_by_global_norm(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = graph_op1(g, "exp", NULL, matrix(g, "x", 3)), *square = graph_op1(g, "square", NULL, x);
    struct pil_tensor *norm = graph_op1(g, "sqrt", NULL, to_float(g, sum_of(g, square))), *y = graph_op2(g, "div", NULL, x, norm);
    struct pil_tensor *loss = sum_of(g, graph_op1(g, "exp", NULL, y));
    rig = compile(rig, &loss, 1);
    assert_int_equal(phases(&rig), 2);
    assert_int_equal(stage_of(&rig, norm), 2);
    assert_int_equal(stage_of(&rig, y), 3);
    assert_true(is_batch_sized(&rig, x) && !is_batch_sized(&rig, square) && !is_batch_sized(&rig, y));
    rig_free(&rig);
}

/* A view that is read behind a border makes what it looks at as large as the batch. */
static void a_view_across_a_border(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = graph_op1(g, "exp", NULL, matrix(g, "x", 8)),
                      *view = graph_op1(g, "slice", &(struct op_slice_args){ 1, 2, 3 }, x);
    struct pil_tensor *nested = graph_op1(g, "slice", &(struct op_slice_args){ 1, 1, 1 }, view),
                      *alone = graph_op1(g, "square", NULL, matrix(g, "z", 8));
    struct pil_tensor *within = graph_op1(g, "slice", &(struct op_slice_args){ 1, 2, 3 }, alone);
    struct pil_tensor *scale = to_float(g, sum_of(g, graph_op2(g, "add", NULL, view, within)));
    struct pil_tensor *loss = sum_of(g, graph_op2(g, "mul", NULL, nested, scale));
    rig = compile(rig, &loss, 1);
    int64_t columns;
    assert_true(is_batch_sized(&rig, x) && !is_batch_sized(&rig, alone));
    assert_int_equal(plan_root(rig.plan, plan_number(rig.plan, nested), &columns), plan_number(rig.plan, x));
    assert_int_equal(columns, 3);
    rig_free(&rig);
}

/* Records stand in a whole stage behind all others; the gradient they point to is kept for the batch. */
static void records_come_last(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *ids = graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true);
    struct pil_tensor *e =
        graph_op2(g, "lookup", &(struct op_lookup_args){ .pairs = 1 }, ids, graph_variable(g, "table", SHAPE(9, 4), zeros, true));
    struct pil_tensor *loss = mean_of(g, dense(g, e, "a", 1, ACTIVATION_LINEAR));
    graph_gradients(g, loss);
    rig = compile(rig, &loss, 1);
    const struct pil_tensor *record = step_of(&rig, "lookup_gradient", 0);
    assert_int_equal(stage_of(&rig, record), 4);
    assert_int_equal(rig.plan->stage_count, 5);
    assert_true(is_batch_sized(&rig, record->node->inputs[1]));
    assert_int_equal(phases(&rig), 1);
    rig_free(&rig);
}

/* What sees no rows runs whole: before the first phase, or after what it reads. Fetched rows are kept. */
static void whole_steps_and_fetches(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *w = graph_variable(g, "w", SHAPE(3), zeros, false), *doubled = graph_op2(g, "add", NULL, w, w);
    struct pil_tensor *y = graph_op2(g, "mul", NULL, matrix(g, "x", 3), doubled), *z = graph_op1(g, "square", NULL, y);
    struct pil_tensor *fetches[] = { y, graph_op2(g, "add", NULL, to_float(g, sum_of(g, z)),
                                                  graph_op1(g, "exp", NULL, graph_scalar(g, 1))) };
    rig = compile(rig, fetches, 2);
    assert_int_equal(stage_of(&rig, doubled), 0);
    assert_int_equal(stage_of(&rig, y), 1);
    assert_int_equal(stage_of(&rig, fetches[1]), 2);
    assert_true(is_batch_sized(&rig, y) && !is_batch_sized(&rig, z));
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_mean_makes_no_border),
        cmocka_unit_test(a_weighted_mean_makes_one),
        cmocka_unit_test(batch_norm),
        cmocka_unit_test(softmax_over_the_batch),
        cmocka_unit_test(clip_by_global_norm),
        cmocka_unit_test(a_view_across_a_border),
        cmocka_unit_test(records_come_last),
        cmocka_unit_test(whole_steps_and_fetches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
