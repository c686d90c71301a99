/* SPDX-License-Identifier: Apache-2.0 */
/* Cells: their defaults are the originals', and what a caller may get wrong is told when the cell is made. */
#include "harness.h"
#include "graph/cell.h"

static void defaults(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pil_graph *g = rig.graph;
    const pil_initializer small = pil_constant_initializer(0.5f);
    pil_rnn_cell *basic = pil_basic_lstm_cell(g, 3), *lstm = pil_lstm_cell(g, 3), *gru = pil_gru_cell(g, 3),
                 *simple = pil_basic_rnn_cell(g, 3);
    assert_true(basic->forget_bias == 1 && basic->activation == ACTIVATION_TANH && basic->size == 3);
    assert_true(lstm->forget_bias == 1 && !lstm->use_peepholes && !lstm->projects && lstm->cell_clip == 0);
    assert_true(gru->bias_initializers[0].kind == PIL_INITIALIZER_ONES &&
                gru->bias_initializers[1].kind == PIL_INITIALIZER_ZEROS);
    assert_string_equal(basic->name, "basic_lstm_cell");
    assert_string_equal(lstm->name, "lstm_cell");
    assert_string_equal(gru->name, "gru_cell");
    assert_string_equal(simple->name, "basic_rnn_cell");
    gru = pil_gru_cell(g, 3, .bias_initializer = &small, .activation = NULL, .name = "mine/own");
    assert_true(gru->bias_initializers[0].a == 0.5f && gru->bias_initializers[1].a == 0.5f &&
                gru->activation == ACTIVATION_LINEAR);
    lstm = pil_lstm_cell(g, 3, .num_proj = 3, .activation = "relu", .forget_bias = 0, .initializer = pil_ones_initializer());
    assert_true(lstm->projects && lstm->size == 3 && lstm->forget_bias == 0 &&
                lstm->kernel_initializer.kind == PIL_INITIALIZER_ONES);
    assert_ok(*graph_status(g));
    assert_true(pil_basic_lstm_cell_options_default().forget_bias == 1 && pil_lstm_cell_options_default().forget_bias == 1);
    assert_string_equal(pil_gru_cell_options_default().activation, "tanh");
    assert_string_equal(pil_basic_rnn_cell_options_default().name, "basic_rnn_cell");
    rig_free(&rig);
}

static void mistakes(void **state)
{
    (void)state;
    static const char *const says[] = {
        "pil_basic_lstm_cell: 0 units",
        "pil_gru_cell: -1 units",
        "there is no activation 'tahn'; did you mean 'tanh'?",
        "pil_lstm_cell: 4 units with an output of -2",
        "cell_clip -1 and proj_clip 0; neither may be below 0",
        "the forget_bias nan is no number",
        "'a b' is no name for pil_basic_lstm_cell",
        "pil_basic_rnn_cell without a name",
    };
    for (size_t i = 0; i < COUNT_OF(says); i++) {
        struct rig rig = rig_new();
        pil_graph *g = rig.graph;
        pil_rnn_cell *cells[] = {
            i == 0 ? pil_basic_lstm_cell(g, 0) : NULL,
            i == 1 ? pil_gru_cell(g, -1) : NULL,
            i == 2 ? pil_basic_rnn_cell(g, 4, .activation = "tahn") : NULL,
            i == 3 ? pil_lstm_cell(g, 4, .num_proj = -2) : NULL,
            i == 4 ? pil_lstm_cell(g, 4, .cell_clip = -1) : NULL,
            i == 5 ? pil_basic_lstm_cell(g, 4, .forget_bias = NAN) : NULL,
            i == 6 ? pil_basic_lstm_cell(g, 4, .name = "a b") : NULL,
            i == 7 ? pil_basic_rnn_cell(g, 4, .name = "") : NULL,
        };
        assert_non_null(cells[i]);
        if (!strstr(graph_status(g)->message, says[i]))
            fail_msg("'%s' does not say: %s", graph_status(g)->message, says[i]);
        /* what is made of it is an error, not a crash */
        struct pil_tensor *x = graph_error_tensor(g), *y = NULL;
        pil_rnn_state last = pil_static_rnn(g, cells[i], &x, 1, &y);
        assert_true(y == x && last.h == x && pil_dynamic_rnn(g, cells[i], x).outputs == x);
        rig_free(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(defaults), cmocka_unit_test(mistakes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
