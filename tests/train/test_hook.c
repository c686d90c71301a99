/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks in their places: kept in order, what they see at each moment, and the values that they fetch. */
#include "train/running.h"

#include "failing.h"

static void kept_in_order(void **state)
{
    (void)state;
    struct pil_run *run = calloc(1, sizeof *run);
    pil_status status = { 0 };
    int contexts[PIL_MAX_HOOKS + 1];
    assert_non_null(run);
    for (int i = 0; i < PIL_MAX_HOOKS; i++)
        assert_true(hook_add(run, &(pil_hook){ .context = &contexts[i] }, &status));
    for (int i = 0; i < PIL_MAX_HOOKS; i++)
        assert_ptr_equal(run->hooks[i].hook.context, &contexts[i]);
    assert_false(hook_add(run, &(pil_hook){ .context = &contexts[PIL_MAX_HOOKS] }, &status));
    assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    assert_int_equal(run->hook_count, PIL_MAX_HOOKS);
    status_clear(&status);
    assert_true(run_free(run, &status));
    assert_int_equal(run->hook_count, 0);
    assert_false(hook_add(run, &(pil_hook){ .kind = (pil_hook_kind)77 }, &status));
    assert_non_null(strstr(status.message, "no such kind"));
    free(run);
}

/* ---- what a run says of itself ------------------------------------------------------------------------------- */

static bool see_begin(void *context, pil_run *run, pil_status *status)
{
    (void)context;
    (void)status;
    assert_true(isnan(pil_run_loss(run)));
    assert_int_equal(pil_run_step(run), 40);
    assert_int_equal(pil_run_examples(run), 0);
    return true;
}

static bool see_after(void *context, pil_run *run, pil_status *status)
{
    int *seen = context;
    int64_t n = ++*seen, rows = n == 4 ? ROWS - 1 : ROWS; /* the last batch is short */
    (void)status;
    assert_int_equal(pil_run_step(run), 40 + n);
    assert_int_equal(pil_run_examples(run), n == 4 ? 11 : 3 * n);
    int64_t count = rows * COLUMNS;
    assert_true(pil_run_loss(run) == (double)(count * n + count * (count - 1) / 2));
    return true;
}

static void what_a_run_says(void **state)
{
    (void)state;
    int seen = 0;
    struct running *r = running_new(4);
    r->step = 40;
    running_hook(r, (pil_hook){ .begin = see_begin, .after_run = see_after, .context = &seen });
    running_run(r);
    assert_int_equal(seen, 4);
    running_free(r);
}

/* ---- values -------------------------------------------------------------------------------------------------- */

struct watch {
    int64_t steps;
    const float *last;
    bool other; /* has a fetch of the same name that is another tensor */
};

static bool no_values_yet(void *context, pil_run *run, pil_status *status)
{
    size_t count = 9;
    (void)status;
    if (((struct watch *)context)->steps == 0)
        assert_true(pil_run_value(run, "value", &count) == NULL && count == 0);
    return true;
}

static bool watch_values(void *context, pil_run *run, pil_status *status)
{
    struct watch *watch = context;
    int64_t n = ++watch->steps, rows = n == 3 ? ROWS - 1 : ROWS;
    size_t count = 9;
    (void)status;
    assert_null(pil_run_value(run, "doubled", &count)); /* the tensor's name is not the fetch's */
    assert_int_equal(count, 0);
    watch->last = pil_run_value(run, "value", &count);
    assert_non_null(watch->last);
    if (watch->other) {
        assert_int_equal(count, 1);
        assert_true((double)watch->last[0] == pil_run_loss(run));
        return true;
    }
    assert_int_equal(count, rows * COLUMNS);
    for (int64_t i = 0; i < rows * COLUMNS; i++)
        assert_true(watch->last[i] == (float)(2 * (n + i)));
    return true;
}

/* What was asked for last is still there. */
static bool values_at_end(void *context, pil_run *run, pil_status *status)
{
    struct watch *watch = context;
    size_t count;
    (void)status;
    assert_ptr_equal(pil_run_value(run, "value", &count), watch->last);
    assert_int_equal(count, watch->other ? 1 : 4);
    assert_null(pil_run_value(run, "unasked", &count));
    return true;
}

static void values(void **state)
{
    (void)state;
    struct running *r = running_new(3);
    struct watch watches[2] = { { .other = false }, { .other = true } };
    for (int i = 0; i < 2; i++)
        running_hook(r, (pil_hook){ .begin = no_values_yet,
                                    .before_run = no_values_yet,
                                    .after_run = watch_values,
                                    .end = values_at_end,
                                    .context = &watches[i],
                                    .fetches = PIL_DICT(r->graph, { "value", i ? r->sum : r->doubled }, { "unasked", r->sum }) });
    running_run(r);
    assert_int_equal(watches[0].steps, 3);
    assert_int_equal(watches[1].steps, 3);
    size_t count;
    assert_null(pil_run_value(&r->run, "value", &count)); /* nobody's question */
    running_free(r);
}

static bool ask(void *context, pil_run *run, pil_status *status)
{
    size_t count;
    (void)context;
    (void)status;
    return pil_run_value(run, "value", &count) || count == 0;
}

static void out_of_memory(void **state)
{
    (void)state;
    int64_t n = 0;
    for (;; n++) {
        struct running *r = running_new(1);
        const pil_hook hook = { .after_run = ask, .fetches = PIL_DICT(r->graph, { "value", r->doubled }) };
        pil_status status = { 0 };
        failing_start(n, false);
        bool worked = hook_add(&r->run, &hook, &status) && loop_run(&r->run, &status);
        bool failed = failing_stop();
        running_free(r);
        if (!failed) {
            assert_true(worked);
            break;
        }
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
    assert_true(n >= 2);
}

/* After the first steps a hook's questions cost no memory. */
static bool count_memory(void *context, pil_run *run, pil_status *status)
{
    uint64_t *before = context;
    ask(NULL, run, status);
    if (pil_run_step(run) > 1)
        assert_int_equal(mem_allocations(), *before);
    *before = mem_allocations();
    return true;
}

static void second_step_allocates_nothing(void **state)
{
    (void)state;
    struct running *r = running_new(6);
    uint64_t before = 0;
    running_hook(
        r, (pil_hook){ .after_run = count_memory, .context = &before, .fetches = PIL_DICT(r->graph, { "value", r->doubled }) });
    running_run(r);
    running_free(r);
}

/* ---- ends ---------------------------------------------------------------------------------------------------- */

static bool refuse(void *context, pil_run *run, pil_status *status)
{
    (void)context;
    (void)run;
    (void)status;
    return false;
}

static bool stop(void *context, pil_run *run, pil_status *status)
{
    (void)context;
    (void)status;
    pil_run_request_stop(run);
    return true;
}

static void ends(void **state)
{
    (void)state;
    struct running *r = running_new(9);
    running_hook(r, (pil_hook){ .after_run = refuse }); /* without a word */
    assert_false(loop_run(&r->run, &r->status));
    assert_int_equal(r->status.code, PIL_CANCELLED);
    assert_non_null(strstr(r->status.message, "after_run of hook 1 ended the run at step 1"));
    running_free(r);
    r = running_new(9);
    running_hook(r, (pil_hook){ .begin = stop });
    running_run(r);
    assert_int_equal(r->batches, 0);
    running_free(r);
    r = running_new(9);
    running_hook(r, (pil_hook){ .before_run = stop }); /* that step is still taken */
    running_run(r);
    assert_int_equal(r->step, 1);
    running_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_in_order),
        cmocka_unit_test(what_a_run_says),
        cmocka_unit_test(values),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(second_step_allocates_nothing),
        cmocka_unit_test(ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
