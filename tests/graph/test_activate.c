/* SPDX-License-Identifier: Apache-2.0 */
/* Activations by Keras's names: each is the op that it should be; none is linear; what is said of a word that is none. */
#include "graph/harness.h"
#include "graph/internal.h"
#include "pilaster/op.h"

static void names(void **state)
{
    (void)state;
    static const char *const words[] = { "linear",      "relu",        "sigmoid", "hard_sigmoid", "tanh", "softmax",
                                         "log_softmax", "softplus",    "elu",     "selu",         "gelu", "softsign",
                                         "swish",       "exponential", "mish",    "relu6",        "silu", "leaky_relu" };
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3), false);
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        struct pil_tensor *y = graph_activate(g, "the layer a", words[i], x);
        enum activation activation;
        assert_ok(*graph_status(g));
        if (strstr(words[i], "softmax")) {
            assert_string_equal(y->node->row->name, words[i]);
            assert_false(graph_find_activation(words[i], &activation));
            continue;
        }
        assert_true(graph_find_activation(words[i], &activation));
        assert_string_equal(op_activation_words[activation], strcmp(words[i], "silu") == 0 ? "swish" : words[i]);
        if (activation == ACTIVATION_LINEAR)
            assert_ptr_equal(y, x);
        else
            assert_int_equal(((const struct op_activation_args *)y->node->args)->activation, activation);
    }
    assert_ptr_equal(graph_activate(g, "the layer a", NULL, x), x);
    rig_free(&rig);
}

static void unknown(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_tensor *x = graph_input(rig.graph, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3), false);
    assert_ptr_equal(graph_activate(rig.graph, "the layer a", "softmx", x), graph_error_tensor(rig.graph));
    assert_string_equal(graph_status(rig.graph)->message,
                        "the layer a: there is no activation 'softmx'; did you mean 'softmax'?");
    rig_free(&rig);
    rig = rig_new();
    assert_false(graph_check_activation(rig.graph, "b", "zzzzzzzzz"));
    assert_string_equal(graph_status(rig.graph)->message, "b: there is no activation 'zzzzzzzzz'");
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
