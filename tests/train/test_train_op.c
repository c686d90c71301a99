/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Train ops: which variables they move and how, what stands in the checkpoint, what they refuse; and a step of each kind from the
 * model function to the moved weights.
 */
#include "train/harness.h"

/* loss = sum((x a + table[ids]) b) + the lonely variable's nothing. */
struct model {
    pil_status status;
    struct pil_graph *graph;
    pil_tensor *a, *b, *table, *lonely, *fixed, *x, *loss, *other_loss;
};

static struct model new_model(bool forward_only)
{
    struct model m = { .graph = NULL };
    m.graph = graph_new(&m.status);
    assert_non_null(m.graph);
    if (forward_only)
        graph_forward_only(m.graph);
    struct pil_graph *g = m.graph;
    m.a = pil_variable(g, "a", pil_ones(g, PIL_SHAPE(2, 2)));
    m.table = pil_variable(g, "table", pil_ones(g, PIL_SHAPE(4, 2)));
    m.b = pil_variable(g, "scope_b", pil_ones(g, PIL_SHAPE(2)));
    m.lonely = pil_variable(g, "lonely", pil_ones(g, PIL_SHAPE(3)));
    m.fixed = pil_variable(g, "fixed", pil_ones(g, PIL_SHAPE(2)), .trainable = false);
    m.x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2), false);
    struct pil_tensor *ids = graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true);
    struct pil_tensor *found = graph_op2(g, "lookup", &(struct op_lookup_args){ COMBINER_SUM, 0, 1 }, ids, m.table);
    struct pil_tensor *y = graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, m.x, m.a);
    y = graph_op2(g, "mul", NULL, graph_op2(g, "add", NULL, graph_op2(g, "add", NULL, y, found), m.fixed), m.b);
    m.loss = graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, graph_op1(g, "sum_all", NULL, y));
    m.other_loss = graph_op1(g, "square", NULL, m.loss);
    m.status = *graph_status(g);
    if (!status_ok(&m.status))
        fail_msg("%s", m.status.message);
    return m;
}

/* "a table |b" of two parts. */
static void expect_variables(const struct pil_train_op *op, const char *want)
{
    struct text text = { 0 };
    for (int i = 0; i < op->part_count; i++) {
        text_append_text(&text, i ? "| " : "");
        for (size_t v = 0; v < op->parts[i].variable_count; v++)
            text_format(&text, "%s ", op->parts[i].variables[v]->name);
    }
    assert_string_equal(text.data, want);
    text_free(&text);
}

static void which_variables(void **state)
{
    (void)state;
    struct model m = new_model(false);
    struct pil_train_op *all = pil_minimize(m.graph, pil_gradient_descent_optimizer(0.5f), m.loss);
    expect_variables(all, "a table scope_b ");
    assert_ptr_equal(graph_loss(m.graph), m.loss);
    assert_true(all->parts[0].optimizer.options.learning_rate.rate == 0.5);
    struct pil_train_op *some = pil_minimize(m.graph, pil_adam_optimizer(0.5f), m.loss, .var_list = PIL_VARIABLES(m.b, m.a, m.b));
    expect_variables(some, "scope_b a ");
    struct pil_train_op *rest = pil_minimize(m.graph, pil_adam_optimizer(0.5f), m.loss, .var_list = PIL_VARIABLES(m.table));
    expect_variables(pil_group(m.graph, some, rest), "scope_b a | table ");
    assert_true(status_ok(graph_status(m.graph)));
    graph_free(m.graph);
    m = new_model(true); /* in a graph that evaluates nothing is added */
    size_t count = graph_variable_count(m.graph);
    all = pil_optimize_loss(m.graph, m.loss, .learning_rate = 0.5f, .optimizer = "Adam");
    assert_non_null(all);
    assert_null(graph_loss(m.graph));
    assert_int_equal(graph_variable_count(m.graph), count);
    assert_true(status_ok(graph_status(m.graph)));
    graph_free(m.graph);
}

static void options(void **state)
{
    (void)state;
    struct model m = new_model(false);
    struct pil_train_op *op =
        pil_optimize_loss(m.graph, m.loss, .learning_rate = 0.25f, .optimizer = "Momentum", .clip_gradients = 3,
                          .gradient_multipliers = PIL_MULTIPLIERS({ m.b, 2.0f }, { m.table, 0.5f }),
                          .learning_rate_decay = pil_exponential_decay(7, 10, 0.5f), .summaries = PIL_SUMMARIZE_GRADIENT_NORM);
    const struct train_part *part = &op->parts[0];
    assert_true(status_ok(graph_status(m.graph)));
    assert_string_equal(optimizer_class(&part->optimizer), "Momentum");
    assert_true(part->optimizer.options.momentum == 0.9f && part->clip_gradients == 3 && part->rate == 0.25f);
    assert_true(schedule_rate(&part->optimizer.options.learning_rate, 10) == 0.125);
    assert_int_equal(part->multiplier_count, 2);
    assert_true(part->multipliers[0].variable == graph_variable_of(m.b) && part->multipliers[1].multiplier == 0.5f);
    assert_int_equal(part->summaries, PIL_SUMMARIZE_GRADIENT_NORM);
    assert_string_equal(part->name, "OptimizeLoss");
    struct pil_train_op *object = pil_optimize_loss(m.graph, m.loss, .optimizer_object = pil_ftrl_optimizer(0.5f, .beta = 2),
                                                    .variables = PIL_VARIABLES(m.a));
    assert_true(object->parts[0].optimizer.options.beta == 2 && object->parts[0].rate < 0);
    expect_variables(object, "a ");
    static const struct {
        const char *word, *class_name;
    } words[] = { { "Adagrad", "Adagrad" }, { "Adam", "Adam" }, { "Ftrl", "Ftrl" }, { "RMSProp", "RMSProp" }, { "SGD", "SGD" } };
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        op = pil_optimize_loss(m.graph, m.loss, .learning_rate = 0.5f, .optimizer = words[i].word);
        assert_string_equal(optimizer_class(&op->parts[0].optimizer), words[i].class_name);
        assert_int_equal(op->parts[0].optimizer.flavour, FLAVOUR_V1);
    }
    assert_true(pil_minimize_options_default().clip_gradients == 0);
    assert_true(pil_optimize_loss_options_default().learning_rate < 0);
    graph_free(m.graph);
}

/* ---- names --------------------------------------------------------------------------------------------------- */

/* Names in the store other than the variables' own. */
static void expect_names(struct model *m, const struct pil_train_op *op, const char *want)
{
    struct text text = { 0 };
    struct plan *plan = plan_compile(m->graph, &m->loss, 1, &m->status);
    struct store *store = store_new(&m->status);
    if (!train_op_declare(op, m->graph, store, &m->status))
        fail_msg("%s", m->status.message);
    text_append_text(&text, "");
    for (size_t i = 0; i < store_count(store); i++) {
        const struct variable *variable = store_at(store, i);
        if (variable->layout == STORE_PLAIN)
            text_format(&text, "%s ", variable->name);
        for (int k = 0; k < variable->slot_count; k++)
            text_format(&text, "%s ", variable->slots[k].name);
    }
    assert_string_equal(text.data, want);
    text_free(&text);
    store_free(store);
    plan_free(plan);
    graph_free(m->graph);
}

#define A .var_list = PIL_VARIABLES(m.a)
#define B .var_list = PIL_VARIABLES(m.b)
#define T .var_list = PIL_VARIABLES(m.table)

static void names(void **state)
{
    (void)state;
    struct model m = new_model(false);
    expect_names(&m, pil_minimize(m.graph, pil_adam_optimizer(0.5f), m.loss, A), "a/Adam a/Adam_1 beta1_power beta2_power ");
    m = new_model(false);
    pil_push_scope(m.graph, "outer");
    struct pil_train_op *op = pil_minimize(m.graph, pil_adam_optimizer(0.5f), m.loss, A);
    pil_pop_scope(m.graph);
    expect_names(&m, op, "outer/a/Adam outer/a/Adam_1 outer/beta1_power outer/beta2_power ");
    m = new_model(false);
    expect_names(&m,
                 pil_optimize_loss(m.graph, m.loss, .learning_rate = 0.5f, .optimizer = "Adam", .variables = PIL_VARIABLES(m.a)),
                 "OptimizeLoss/beta1_power OptimizeLoss/beta2_power OptimizeLoss/learning_rate OptimizeLoss/a/Adam "
                 "OptimizeLoss/a/Adam_1 ");
    m = new_model(false);
    expect_names(&m, pil_minimize(m.graph, pil_adam(0.5f, .legacy = true), m.loss, A),
                 "training/Adam/a/m training/Adam/a/v training/Adam/beta_1 training/Adam/beta_2 training/Adam/decay "
                 "training/Adam/learning_rate ");
    m = new_model(false);
    expect_names(&m, pil_minimize(m.graph, pil_adam(0.5f), m.loss, A), "Adam/learning_rate Adam/m/a Adam/v/a ");
    m = new_model(false); /* values only */
    expect_names(&m, NULL, "");
}

static void names_of_groups(void **state)
{
    (void)state;
    struct model m = new_model(false);
    struct pil_graph *g = m.graph;
    struct pil_train_op *a = pil_minimize(g, pil_sgd(0.5f, .momentum = 0.5f, .legacy = true), m.loss, A);
    struct pil_train_op *b = pil_minimize(g, pil_adagrad(0.5f, .legacy = true), m.loss, B);
    expect_names(&m, pil_group(g, a, b),
                 "training/SGD/a/momentum training/Adagrad/scope_b/accumulator training/Adagrad/decay training/Adagrad/iter "
                 "training/Adagrad/learning_rate training/SGD/decay training/SGD/learning_rate training/SGD/momentum ");
    m = new_model(false);
    g = m.graph;
    a = pil_minimize(g, pil_adagrad(0.5f, .legacy = true), m.loss, A);
    b = pil_minimize(g, pil_adagrad(0.25f, .legacy = true), m.loss, B);
    expect_names(
        &m, pil_group(g, a, b),
        "training/Adagrad/a/accumulator training/Adagrad_1/scope_b/accumulator training/Adagrad/decay "
        "training/Adagrad/learning_rate training/Adagrad_1/decay training/Adagrad_1/iter training/Adagrad_1/learning_rate ");
    m = new_model(false);
    g = m.graph;
    a = pil_minimize(g, pil_adam_optimizer(0.5f), m.loss, A);
    b = pil_minimize(g, pil_adam_optimizer(0.25f), m.loss, B);
    struct pil_train_op *t = pil_minimize(g, pil_ftrl_optimizer(0.25f), m.loss, T);
    expect_names(&m, pil_group(g, pil_group(g, a, t), b),
                 "a/Adam a/Adam_1 beta1_power beta1_power_1 beta2_power beta2_power_1 scope_b/Adam scope_b/Adam_1 table/Ftrl "
                 "table/Ftrl_1 ");
    m = new_model(false);
    g = m.graph;
    a = pil_optimize_loss(g, m.loss, .learning_rate = 0.5f, .optimizer = "Adam", .variables = PIL_VARIABLES(m.a));
    b = pil_optimize_loss(g, m.loss, .learning_rate = 0.5f, .optimizer = "Adam", .variables = PIL_VARIABLES(m.b));
    expect_names(&m, pil_group(g, a, b),
                 "OptimizeLoss/beta1_power OptimizeLoss/beta2_power OptimizeLoss/learning_rate OptimizeLoss_1/beta1_power "
                 "OptimizeLoss_1/beta2_power OptimizeLoss_1/learning_rate OptimizeLoss/a/Adam OptimizeLoss/a/Adam_1 "
                 "OptimizeLoss_1/scope_b/Adam OptimizeLoss_1/scope_b/Adam_1 ");
}

/* ---- mistakes ------------------------------------------------------------------------------------------------ */

static void mistake(int number, struct model *m)
{
    struct pil_graph *g = m->graph;
    pil_optimizer sgd = pil_gradient_descent_optimizer(0.5f);
    struct pil_train_op *op = number < 30 ? pil_minimize(g, sgd, m->loss, .var_list = PIL_VARIABLES(m->a)) : NULL;
    switch (number) {
    case 0:
        pil_minimize(g, sgd, NULL);
        break;
    case 1:
        pil_minimize(g, sgd, m->other_loss);
        break;
    case 2:
        pil_minimize(g, sgd, m->loss, .var_list = PIL_VARIABLES(m->a, m->lonely));
        break;
    case 3:
        pil_minimize(g, sgd, m->loss, .var_list = PIL_VARIABLES(m->fixed));
        break;
    case 4:
        pil_minimize(g, sgd, m->loss, .var_list = PIL_VARIABLES(m->a, m->x));
        break;
    case 5:
        pil_minimize(g, sgd, m->loss, .var_list = PIL_VARIABLES(m->a, NULL));
        break;
    case 6:
        pil_minimize(g, sgd, m->loss, .clip_gradients = -1);
        break;
    case 7:
        pil_minimize(g, pil_adam_optimizer(0.5f, .beta1 = 2), m->loss);
        break;
    case 9:
        pil_minimize(g, (pil_optimizer){ 0 }, m->loss);
        break;
    case 10:
        pil_group(g, op, op);
        break;
    case 11:
        pil_group(g, op, NULL);
        break;
    case 12:
        pil_optimize_loss(g, m->loss, .learning_rate = 0.5f, .optimizer = "Adgrad");
        break;
    case 13:
        pil_optimize_loss(g, m->loss, .learning_rate = 0.5f);
        break;
    case 14:
        pil_optimize_loss(g, m->loss, .optimizer = "SGD");
        break;
    case 15:
        pil_optimize_loss(g, m->loss, .optimizer = "SGD", .optimizer_object = sgd);
        break;
    case 16:
        pil_optimize_loss(g, m->loss, .optimizer_object = sgd, .gradient_multipliers = PIL_MULTIPLIERS({ m->lonely, 2 }));
        break;
    case 17:
        pil_optimize_loss(g, m->loss, .optimizer_object = sgd, .gradient_multipliers = PIL_MULTIPLIERS({ m->a, NAN }));
        break;
    case 18:
        pil_optimize_loss(g, m->loss, .optimizer_object = sgd, .name = "");
        break;
    case 19:
        pil_minimize(g, pil_sgd(0.5f, .clipvalue = 1, .legacy = true), m->loss, .clip_gradients = 1);
        break;
    case 30:
        pil_minimize(g, sgd, m->x);
        break;
    case 31:
        pil_minimize(g, sgd, graph_op1(g, "stop_gradient", NULL, m->loss));
        break;
    default:
        fail_msg("no mistake %d", number);
    }
}

static void mistakes(void **state)
{
    (void)state;
    static const struct {
        int number;
        pil_code code;
        const char *message;
    } cases[] = {
        { 0, PIL_INVALID_ARGUMENT, "pil_minimize: the loss is NULL" },
        { 1, PIL_UNSUPPORTED, "pil_minimize: a graph minimizes one loss: cast is minimized already, square cannot be, too" },
        { 2, PIL_INVALID_ARGUMENT, "pil_minimize: var_list: no gradient reaches lonely: the loss cast does not depend on it" },
        { 3, PIL_INVALID_ARGUMENT, "pil_minimize: var_list: the variable fixed is not trainable" },
        { 4, PIL_INVALID_ARGUMENT, "pil_minimize: var_list: x is no variable" },
        { 5, PIL_INVALID_ARGUMENT, "pil_minimize: var_list: number 2 is NULL" },
        { 6, PIL_INVALID_ARGUMENT, "pil_minimize: clip_gradients must be a number from 0 (none), not -1" },
        { 7, PIL_INVALID_ARGUMENT, "pil_minimize: Adam: beta1 must be from 0 to" },
        { 9, PIL_INVALID_ARGUMENT, "pil_minimize: an optimizer is needed" },
        { 10, PIL_INVALID_ARGUMENT, "pil_group: both ops move the variable a" },
        { 11, PIL_INVALID_ARGUMENT, "pil_group: the second op is NULL" },
        { 12, PIL_INVALID_ARGUMENT, "pil_optimize_loss: no optimizer is called 'Adgrad'; did you mean 'Adagrad'?" },
        { 13, PIL_INVALID_ARGUMENT, "pil_optimize_loss: an optimizer is needed" },
        { 14, PIL_INVALID_ARGUMENT, "pil_optimize_loss: the optimizer 'SGD' needs a learning rate" },
        { 15, PIL_INVALID_ARGUMENT, "pil_optimize_loss: takes .optimizer or .optimizer_object, not both" },
        { 16, PIL_INVALID_ARGUMENT, "pil_optimize_loss: gradient_multipliers: lonely is not moved by this op" },
        { 17, PIL_INVALID_ARGUMENT, "pil_optimize_loss: gradient_multipliers: a must have a number, not nan" },
        { 18, PIL_INVALID_ARGUMENT, "pil_optimize_loss: its name is empty" },
        { 19, PIL_INVALID_ARGUMENT, "pil_minimize: takes clip_gradients or the clipping of SGD, not both" },
        { 30, PIL_INVALID_ARGUMENT, "gradients need a float32 scalar loss, x is [?, 2]" },
        { 31, PIL_INVALID_ARGUMENT,
          "pil_minimize: no gradient for any variable: the loss stop_gradient depends on no trainable one" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct model m = new_model(false);
        mistake(cases[i].number, &m);
        const pil_status *status = graph_status(m.graph);
        if (status->code != cases[i].code || !strstr(status->message, cases[i].message))
            fail_msg("mistake %d: %d %s", cases[i].number, status->code, status->message);
        /* After it everything returns, and the first error stays. */
        struct pil_train_op *op = pil_minimize(m.graph, pil_adam_optimizer(0.5f), m.loss);
        assert_non_null(pil_group(m.graph, op, op));
        assert_non_null(pil_optimize_loss(m.graph, NULL));
        assert_true(strstr(graph_status(m.graph)->message, cases[i].message) != NULL);
        graph_free(m.graph);
    }
}

/* ---- steps --------------------------------------------------------------------------------------------------- */

struct run {
    struct plan *plan;
    struct threads *threads;
    struct store *store;
    struct session *session;
    struct updater *updater;
};

static struct run start(struct model *m, const struct pil_train_op *op)
{
    struct run run = { .plan = plan_compile(m->graph, &m->loss, 1, &m->status) };
    run.threads = threads_new(1, &m->status);
    run.store = store_new(&m->status);
    if (!run.plan || !train_op_declare(op, m->graph, run.store, &m->status) || !store_allocate(run.store, &m->status) ||
        !store_initialize(run.store, 1, NULL, &m->status))
        fail_msg("%s", m->status.message);
    run.session = session_new(run.plan, run.threads, kernel_get(), 1, &m->status);
    if (!run.session || !train_op_bind(m->graph, run.store, run.session, &m->status) ||
        !(run.updater = train_op_updater(op, run.store, run.threads, kernel_get(), &m->status)))
        fail_msg("%s", m->status.message);
    return run;
}

static void step(struct model *m, struct run *run, int64_t number)
{
    static _Alignas(64) float x_memory[2 * 64];
    static const int32_t ids[] = { 3, 3 };
    struct tensor x = tensor_view(x_memory, DTYPE_FLOAT32, SHAPE(2, 2), true);
    tensor_unpack((const float[]){ 1, 2, 3, 4 }, &x);
    session_input(run->session, "x", &(struct op_value){ .tensor = x });
    session_input(run->session, "ids", &(struct op_value){ .sparse = { .rows = 2, .entries = 2, .ids = ids } });
    if (!session_run(run->session, 2, number, NULL, 0, &m->status) ||
        !updater_apply(run->updater, run->session, number, &m->status))
        fail_msg("%s", m->status.message);
}

static void stop(struct model *m, struct run *run)
{
    updater_free(run->updater);
    session_free(run->session);
    store_free(run->store);
    threads_free(run->threads);
    plan_free(run->plan);
    graph_free(m->graph);
}

static float value_of(const struct run *run, const char *name, int64_t row, int64_t column)
{
    const struct tensor *value = &store_find(run->store, name)->value;
    return tensor_floats(value)[row * value->ld + column];
}

/* Two optimizers for one loss, and what no op moves stays although it has a gradient. */
static void a_step(void **state)
{
    (void)state;
    struct model m = new_model(false);
    struct pil_graph *g = m.graph;
    struct pil_train_op *a = pil_minimize(g, pil_gradient_descent_optimizer(0.5f), m.loss, A);
    struct pil_train_op *t = pil_minimize(g, pil_gradient_descent_optimizer(0.25f), m.loss, T);
    struct run run = start(&m, pil_group(g, a, t));
    step(&m, &run, 0);
    assert_true(value_of(&run, "a", 0, 0) == 1 - 0.5f * (1 + 3) && value_of(&run, "a", 1, 1) == 1 - 0.5f * (2 + 4));
    assert_true(value_of(&run, "table", 3, 1) == 1 - 0.25f * 2 && value_of(&run, "table", 2, 0) == 1);
    assert_true(value_of(&run, "scope_b", 0, 0) == 1 && value_of(&run, "lonely", 0, 0) == 1 &&
                value_of(&run, "fixed", 0, 0) == 1);
    stop(&m, &run);
    m = new_model(false); /* a table that is looked up in, but not moved */
    run = start(&m, pil_minimize(m.graph, pil_adam(0.5f, .legacy = true), m.loss, B));
    step(&m, &run, 0);
    assert_true(value_of(&run, "table", 3, 1) == 1 && value_of(&run, "a", 0, 0) == 1);
    assert_true(fabsf(value_of(&run, "scope_b", 0, 0) - 0.5f) < 1e-6f);
    stop(&m, &run);
}

/* 1.x Adam goes on from the powers in the store. */
static void powers_in_the_store(void **state)
{
    (void)state;
    struct model m = new_model(false);
    struct run run = start(&m, pil_minimize(m.graph, pil_adam_optimizer(0.5f), m.loss, B));
    assert_true(*store_float32(run.store, "beta1_power") == 0.9f && *store_float32(run.store, "beta2_power") == 0.999f);
    step(&m, &run, 0);
    assert_true(*store_float32(run.store, "beta1_power") == 0.9f * 0.9f);
    assert_true(*store_float32(run.store, "beta2_power") == 0.999f * 0.999f);
    *store_float32(run.store, "beta1_power") = 0; /* as after very many steps */
    *store_float32(run.store, "beta2_power") = 0;
    float before = value_of(&run, "scope_b", 0, 0);
    step(&m, &run, 1);
    /* g is 12, then 12: m = 0.19 g, v = 0.001999 g^2 */
    assert_true(fabsf(before - value_of(&run, "scope_b", 0, 0) - 0.5f * 0.19f / sqrtf(0.001999f)) < 1e-4f);
    stop(&m, &run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_variables),     cmocka_unit_test(options),  cmocka_unit_test(names),
        cmocka_unit_test(names_of_groups),     cmocka_unit_test(mistakes), cmocka_unit_test(a_step),
        cmocka_unit_test(powers_in_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
