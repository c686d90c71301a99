/* SPDX-License-Identifier: Apache-2.0 */
/* The public face of graphs: names and scopes, variables, constants and dicts, and what is said of mistakes. */
#include "harness.h"

static void assert_error(pil_graph *g, const char *text)
{
    pil_status status = pil_graph_status(g);
    if (status.code != PIL_INVALID_ARGUMENT || !strstr(status.message, text))
        fail_msg("'%s' does not say: %s", status.message, text);
}

static void assert_shape(const pil_tensor *tensor, pil_shape want)
{
    pil_shape have = pil_tensor_shape(tensor);
    assert_int_equal(have.rank, want.rank);
    for (int i = 0; i < want.rank; i++)
        assert_int_equal(have.dims[i], want.dims[i]);
}

static void variables_are_called_by_their_scopes(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pil_graph *g = rig.graph;
    pil_tensor *w = pil_variable(g, "weight", pil_random_normal(g, PIL_SHAPE(3, 1), .stddev = 0.5f));
    pil_push_scope(g, "tower");
    pil_push_scope(g, "deep/er");
    pil_tensor *inner = pil_get_variable(g, "weight", PIL_SHAPE(4), .trainable = false);
    assert_string_equal(graph_open_scope(g), "tower/deep/er");
    pil_pop_scope(g);
    pil_tensor *middle = pil_variable(g, "_b", pil_zeros(g, PIL_SCALAR), .trainable = true);
    pil_pop_scope(g);
    assert_null(graph_open_scope(g));
    pil_tensor *after = pil_get_variable(g, "b", PIL_SHAPE(2), .initializer = pil_constant_initializer(3));
    assert_ok(*graph_status(g));
    assert_int_equal(pil_graph_status(g).code, PIL_OK);
    assert_string_equal(pil_tensor_name(w), "weight");
    assert_string_equal(pil_tensor_name(inner), "tower/deep/er/weight");
    assert_string_equal(pil_tensor_name(middle), "tower/_b");
    assert_string_equal(pil_tensor_name(after), "b");
    assert_shape(w, PIL_SHAPE(3, 1));
    assert_shape(middle, PIL_SCALAR);
    const struct graph_variable *variable = graph_variable_of(inner);
    assert_true(!variable->trainable && variable->initializer.kind == PIL_INITIALIZER_GLOROT_UNIFORM);
    variable = graph_variable_of(w);
    assert_true(variable->trainable && variable->initializer.kind == PIL_INITIALIZER_NORMAL);
    assert_true(variable->initializer.a == 0 && variable->initializer.b == 0.5f);
    assert_true(graph_variable_of(after)->initializer.a == 3);
    rig_free(&rig);
}

/* Every builder's kind and numbers: compared with the struct that they must give. */
static void initializers(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pil_graph *g = rig.graph;
    struct {
        pil_initializer have, want;
    } list[] = {
        { pil_zeros_initializer(), { PIL_INITIALIZER_ZEROS, 0, 0 } },
        { pil_ones_initializer(), { PIL_INITIALIZER_ONES, 0, 0 } },
        { pil_constant_initializer(2), { PIL_INITIALIZER_CONSTANT, 2, 0 } },
        { pil_random_normal_initializer(1, 2), { PIL_INITIALIZER_NORMAL, 1, 2 } },
        { pil_random_uniform_initializer(-1, 2), { PIL_INITIALIZER_UNIFORM, -1, 2 } },
        { pil_truncated_normal_initializer(1, 2), { PIL_INITIALIZER_TRUNCATED_NORMAL, 1, 2 } },
        { pil_glorot_uniform_initializer(), { PIL_INITIALIZER_GLOROT_UNIFORM, 0, 0 } },
        { pil_glorot_normal_initializer(), { PIL_INITIALIZER_GLOROT_NORMAL, 0, 0 } },
        { pil_he_uniform_initializer(), { PIL_INITIALIZER_HE_UNIFORM, 0, 0 } },
        { pil_he_normal_initializer(), { PIL_INITIALIZER_HE_NORMAL, 0, 0 } },
        { pil_lecun_uniform_initializer(), { PIL_INITIALIZER_LECUN_UNIFORM, 0, 0 } },
        { pil_lecun_normal_initializer(), { PIL_INITIALIZER_LECUN_NORMAL, 0, 0 } },
        { pil_orthogonal_initializer(2), { PIL_INITIALIZER_ORTHOGONAL, 2, 0 } },
        { pil_identity_initializer(3), { PIL_INITIALIZER_IDENTITY, 3, 0 } },
        { pil_get_variable_options_default().initializer, { PIL_INITIALIZER_GLOROT_UNIFORM, 0, 0 } },
        { pil_zeros(g, PIL_SHAPE(2)).initializer, { PIL_INITIALIZER_ZEROS, 0, 0 } },
        { pil_ones(g, PIL_SHAPE(2)).initializer, { PIL_INITIALIZER_ONES, 0, 0 } },
        { pil_fill(g, PIL_SHAPE(2), 7).initializer, { PIL_INITIALIZER_CONSTANT, 7, 0 } },
        { pil_random_normal(g, PIL_SHAPE(2)).initializer, { PIL_INITIALIZER_NORMAL, 0, 1 } },
        { pil_truncated_normal(g, PIL_SHAPE(2), .mean = 3).initializer, { PIL_INITIALIZER_TRUNCATED_NORMAL, 3, 1 } },
        { pil_random_uniform(g, PIL_SHAPE(2)).initializer, { PIL_INITIALIZER_UNIFORM, 0, 1 } },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        if (list[i].have.kind != list[i].want.kind || list[i].have.a != list[i].want.a || list[i].have.b != list[i].want.b)
            fail_msg("initializer %zu: kind %d, %g, %g", i, (int)list[i].have.kind, (double)list[i].have.a,
                     (double)list[i].have.b);
    assert_true(pil_variable_options_default().trainable && pil_get_variable_options_default().trainable);
    assert_true(pil_random_normal_options_default().stddev == 1 && pil_random_uniform_options_default().maxval == 1);
    rig_free(&rig);
}

static void make(pil_graph *g, const char *name, pil_shape shape, pil_initializer initializer)
{
    pil_tensor *made = pil_get_variable(g, name, shape, .initializer = initializer);
    assert_ptr_equal(made, graph_error_tensor(g));
}

static void mistakes_with_variables(void **state)
{
    (void)state;
    const pil_initializer zeros = pil_zeros_initializer();
    const struct {
        const char *scope, *name;
        pil_shape shape;
        pil_initializer initializer;
        const char *says;
    } list[] = {
        { NULL, NULL, PIL_SHAPE(2), zeros, "a variable without a name (it is NULL)" },
        { NULL, "", PIL_SHAPE(2), zeros, "a variable without a name (it is empty)" },
        { NULL, "a b", PIL_SHAPE(2), zeros, "'a b' is no name for a variable\n" },
        { NULL, "a\nb", PIL_SHAPE(2), zeros, "is no name for a variable\n" },
        { "s", "weight:0", PIL_SHAPE(2), zeros, "'s/weight:0' is no name for a variable\n" },
        { NULL, "/a", PIL_SHAPE(2), zeros, "is no name for a variable" },
        { NULL, "a/", PIL_SHAPE(2), zeros, "is no name for a variable" },
        { NULL, "a//b", PIL_SHAPE(2), zeros, "is no name for a variable" },
        { NULL, "_a", PIL_SHAPE(2), zeros, "TensorFlow's names begin with" },
        { NULL, "w", PIL_SHAPE(-1, 3), zeros, "the variable w has the batch in its shape [?, 3]\n" },
        { "s", "w", PIL_SHAPE(4, -1), zeros, "the variable s/w has the batch in its shape [4, ?]" },
        { NULL, "w", PIL_SHAPE(4, -2), zeros, "the variable w has the axis -2, below 0" },
        { NULL, "w", { 9, { 1 } }, zeros, "the variable w has 9 axes; 0 to 8 are possible" },
        { NULL, "w", { -1, { 1 } }, zeros, "the variable w has -1 axes" },
        { NULL, "w", PIL_SHAPE(INT64_MAX / 2, 3), zeros, "the variable w is too large" },
        { NULL, "w", PIL_SHAPE(3), { (pil_initializer_kind)99, 0, 0 }, "no initializer number 99" },
        { NULL, "w", PIL_SHAPE(3), pil_random_normal_initializer(0, -1), "mean 0 and stddev -1" },
        { NULL, "w", PIL_SHAPE(3), pil_truncated_normal_initializer(NAN, 1), "mean nan and stddev 1" },
        { NULL, "w", PIL_SHAPE(3), pil_random_uniform_initializer(2, 1), "from 2 to 1" },
        { NULL, "w", PIL_SHAPE(3), pil_orthogonal_initializer(1), "needs two axes at least, its shape is [3]" },
        { NULL, "w", PIL_SHAPE(3, 3, 3), pil_identity_initializer(1), "needs a matrix, its shape is [3, 3, 3]" },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        struct rig rig = rig_new();
        if (list[i].scope)
            pil_push_scope(rig.graph, list[i].scope);
        make(rig.graph, list[i].name, list[i].shape, list[i].initializer);
        assert_error(rig.graph, list[i].says);
        rig_free(&rig);
    }
}

static void a_name_is_taken_once(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pil_graph *g = rig.graph;
    pil_push_scope(g, "s");
    pil_variable(g, "w", pil_zeros(g, PIL_SHAPE(3, 1)));
    pil_pop_scope(g);
    pil_variable(g, "w", pil_zeros(g, PIL_SHAPE(3, 1)));
    assert_ok(*graph_status(g));
    assert_ptr_equal(pil_variable(g, "s/w", pil_zeros(g, PIL_SHAPE(2))), graph_error_tensor(g));
    assert_error(g, "the variable s/w exists already: it is [3, 1] there, [2] here\n");
    assert_error(g, "give it another name, or open a scope");
    /* the first error stays, and everything after it is the error tensor */
    assert_ptr_equal(pil_graph_fail(g, "another"), graph_error_tensor(g));
    assert_ptr_equal(pil_scalar(g, 1), graph_error_tensor(g));
    assert_ptr_equal(pil_constant(g, (float[]){ 1 }, PIL_SHAPE(1)), graph_error_tensor(g));
    assert_ptr_equal(pil_name(g, pil_scalar(g, 1), "x"), graph_error_tensor(g));
    assert_int_equal(PIL_DICT(g, { "a", pil_scalar(g, 1) }).count, 0);
    assert_shape(pil_scalar(g, 1), PIL_SCALAR);
    assert_error(g, "the variable s/w exists already");
    rig_free(&rig);
}

static void mistakes_with_scopes_and_names(void **state)
{
    (void)state;
    struct rig rig = rig_new(), other = rig_new();
    pil_pop_scope(rig.graph);
    assert_error(rig.graph, "no scope is open that pil_pop_scope could close");
    rig_free(&rig);
    static const struct {
        const char *scope, *says;
    } scopes[] = { { NULL, "a scope without a name (it is NULL)" },
                   { "", "(it is empty)" },
                   { "a/", "'a/' is no name for a scope" } };
    for (size_t i = 0; i < COUNT_OF(scopes); i++) {
        rig = rig_new();
        pil_push_scope(rig.graph, scopes[i].scope);
        assert_error(rig.graph, scopes[i].says);
        rig_free(&rig);
    }
    for (int wrong = 0; wrong < 4; wrong++) {
        static const char *const says[] = { "an op without a name", "nothing to name 'y'", "error belongs to another graph",
                                            "cannot be named y" };
        rig = rig_new();
        pil_tensor *v = pil_variable(rig.graph, "v", pil_ones(rig.graph, PIL_SHAPE(2)));
        pil_tensor *given[] = { v, NULL, graph_error_tensor(other.graph), v };
        pil_name(rig.graph, given[wrong], wrong ? "y" : NULL);
        assert_error(rig.graph, says[wrong]);
        rig_free(&rig);
    }
    rig = rig_new();
    pil_graph_fail(rig.graph, NULL);
    assert_error(rig.graph, "without a message");
    rig_free(&rig);
    rig_free(&other);
}

static void names_of_ops(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pil_graph *g = rig.graph;
    pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3), false);
    pil_push_scope(g, "s");
    pil_tensor *y = pil_name(g, graph_op1(g, "square", NULL, x), "squashed");
    assert_string_equal(pil_tensor_name(y), "s/squashed");
    assert_shape(y, PIL_SHAPE(-1, 3));
    assert_ok(*graph_status(g));
    rig_free(&rig);
}

static void constants(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pil_graph *g = rig.graph;
    float values[6] = { 1, 2, 3, 4, 5, 6 };
    pil_tensor *c = pil_constant(g, values, PIL_SHAPE(2, 3));
    memset(values, 0, sizeof values); /* copied */
    const struct tensor *held = &c->node->constant;
    assert_true(tensor_floats(held)[0] == 1 && tensor_floats(held)[held->ld + 2] == 6);
    assert_true(tensor_floats(&pil_scalar(g, 2.5f)->node->constant)[0] == 2.5f);
    assert_ok(*graph_status(g));
    pil_constant(g, NULL, PIL_SHAPE(2));
    assert_error(g, "its values are NULL");
    rig_free(&rig);
    rig = rig_new();
    pil_constant(rig.graph, values, PIL_SHAPE(-1, 3));
    assert_error(rig.graph, "a constant has the batch in its shape [?, 3]");
    rig_free(&rig);
}

static pil_dict returned_by_value(pil_graph *g, pil_tensor *y)
{
    char name[] = "classes", word[] = "cat";
    const char *words[] = { word, "dog" };
    pil_dict dict = PIL_DICT(g, { "predicted", y }, { name, y, .words = words, .word_count = 2 });
    name[0] = word[0] = '?';
    return dict;
}

static void dicts(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pil_tensor *y = pil_scalar(rig.graph, 1);
    pil_dict dict = returned_by_value(rig.graph, y);
    assert_ok(*graph_status(rig.graph));
    assert_int_equal(dict.count, 2);
    assert_string_equal(dict.items[0].name, "predicted");
    assert_true(dict.items[0].tensor == y && !dict.items[0].words && !dict.items[0].integer);
    assert_string_equal(dict.items[1].name, "classes");
    assert_string_equal(dict.items[1].words[0], "cat");
    assert_string_equal(dict.items[1].words[1], "dog");
    assert_int_equal(pil_dict_make(rig.graph, NULL, 0).count, 0);
    rig_free(&rig);
    for (int wrong = 0; wrong < 5; wrong++) {
        static const char *const says[] = { "item 2 of a dict has no name", "'a' of a dict is NULL", "'p' stands in a dict twice",
                                            "'a' of a dict, error, belongs to another graph", "word 1 of 'a' is NULL" };
        struct rig other = rig_new();
        rig = rig_new();
        y = pil_scalar(rig.graph, 1);
        pil_named_tensor second[] = { { NULL, y, false, NULL, 0 },
                                      { "a", NULL, false, NULL, 0 },
                                      { "p", y, false, NULL, 0 },
                                      { "a", graph_error_tensor(other.graph), false, NULL, 0 },
                                      { "a", y, false, (const char *const[]){ "w", NULL }, 2 } };
        dict = PIL_DICT(rig.graph, { "p", y }, second[wrong]);
        assert_int_equal(dict.count, 0);
        assert_error(rig.graph, says[wrong]);
        rig_free(&rig);
        rig_free(&other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_called_by_their_scopes),
        cmocka_unit_test(initializers),
        cmocka_unit_test(mistakes_with_variables),
        cmocka_unit_test(a_name_is_taken_once),
        cmocka_unit_test(mistakes_with_scopes_and_names),
        cmocka_unit_test(names_of_ops),
        cmocka_unit_test(constants),
        cmocka_unit_test(dicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
