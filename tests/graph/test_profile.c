/* SPDX-License-Identifier: Apache-2.0 */
/* A profiled session names every op that ran, and computes the same bits. */
#include "harness.h"

static void test_names_every_op(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    float numbers[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    struct pil_tensor *x = graph_input(rig.graph, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false);
    struct pil_tensor *sum = graph_op1(rig.graph, "sum_all", NULL, graph_op1(rig.graph, "square", NULL, x));
    rig_start(&rig, &sum, 1, 2, 1);
    struct op_value value = { .tensor = tensor_view(numbers, DTYPE_FLOAT32, SHAPE(8, 1), true) };
    assert_true(session_input(rig.session, "x", &value));
    struct text text = { 0 };
    assert_true(session_profile_text(rig.session, &text) == 0); /* not asked for */
    assert_null(text.data);
    assert_true(session_profile(rig.session, &rig.status));
    rig_run(&rig, 8);
    assert_true(session_scalar(rig.session, 0) == 204);
    assert_true(session_profile_text(rig.session, &text) > 0);
    assert_non_null(strstr(text.data, "sum_all"));
    assert_non_null(strstr(text.data, "square"));
    text_free(&text);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_names_every_op) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
