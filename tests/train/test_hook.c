/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: kept in order, at most so many. What they see is test_loop's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "train/train.h"

static void kept_in_order(void **state)
{
    (void)state;
    struct loop loop = { 0 };
    pil_status status = { 0 };
    int contexts[LOOP_MAX_HOOKS + 1];
    for (int i = 0; i < LOOP_MAX_HOOKS; i++)
        assert_true(hook_add(&loop, &(struct hook){ .context = &contexts[i] }, &status));
    for (int i = 0; i < LOOP_MAX_HOOKS; i++)
        assert_ptr_equal(loop.hooks[i].context, &contexts[i]);
    assert_false(hook_add(&loop, &(struct hook){ .context = &contexts[LOOP_MAX_HOOKS] }, &status));
    assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    assert_int_equal(loop.hook_count, LOOP_MAX_HOOKS);
}

static void stopping(void **state)
{
    (void)state;
    struct loop loop = { 0 };
    loop_stop(&loop);
    assert_true(loop.stopping);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(kept_in_order), cmocka_unit_test(stopping) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
