/* SPDX-License-Identifier: Apache-2.0 */
/* The training loop: where it ends, what hooks see and in which order, what a loss that is no number leaves behind. */
#include "train/harness.h"

#include "train/events.h"

enum { N = 2, M = 1, BATCH = 3 };

/* A run with a log: 'b' begin, '<' before a step, '>' after it, 'e' end, and what a feed handed out. */
struct run {
    struct rig rig;
    struct pil_run loop;
    int64_t step, batches, most; /* most batches of the input */
    char log[64];
    const char *fails_at; /* the hook that returns false: one of "b<>e" */
    int64_t stops_after;  /* pil_run_request_stop after so many steps */
    volatile int signal;
    float gradient[BATCH * M];
    int64_t jobs_run;
};

static void count_job(void *context, int64_t index, int worker)
{
    struct run *run = context;
    (void)index;
    (void)worker;
    run->jobs_run++;
}

static bool next(void *context, int64_t *rows, bool *end, pil_status *status)
{
    struct run *run = context;
    static const float x[BATCH * N] = { 1, 0, 0, 1, 1, 1 };
    (void)status;
    *end = run->batches == run->most;
    if (*end)
        return true;
    run->batches++;
    rig_input(&run->rig, "x", x, BATCH, N);
    rig_input(&run->rig, "kernel_gradient", run->gradient, BATCH, M);
    *rows = BATCH;
    return true;
}

static size_t jobs(void *context, struct job *list, size_t limit)
{
    assert_true(limit >= 1);
    list[0] = (struct job){ count_job, context, 1 };
    return 1;
}

static bool note(struct run *run, char mark, pil_status *status)
{
    size_t length = strlen(run->log);
    if (length + 1 < sizeof run->log)
        run->log[length] = mark;
    if (run->fails_at && *run->fails_at == mark)
        return status_fail(status, PIL_IO, "the hook failed");
    return true;
}

static bool begin(void *context, pil_run *loop, pil_status *status)
{
    (void)loop;
    return note(context, 'b', status);
}

static bool before_run(void *context, pil_run *loop, pil_status *status)
{
    (void)loop;
    return note(context, '<', status);
}

static bool after_run(void *context, pil_run *loop, pil_status *status)
{
    struct run *run = context;
    assert_int_equal(*loop->global_step, run->step);
    assert_int_equal(loop->examples, loop->steps * BATCH);
    if (loop->steps == run->stops_after)
        pil_run_request_stop(loop);
    return note(run, '>', status);
}

static bool end(void *context, pil_run *loop, pil_status *status)
{
    (void)loop;
    return note(context, 'e', status);
}

static struct run *start(int64_t most)
{
    struct run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    run->rig = rig_new();
    run->rig.parts[0].optimizer = rig_optimizer(&run->rig, "{sgd: {learning_rate: 1}}", FLAVOUR_KERAS_LEGACY);
    run->rig.parts[0].name = "OptimizeLoss";
    run->rig.parts[0].summaries = PIL_SUMMARIZE_LOSS | PIL_SUMMARIZE_GLOBAL_GRADIENT_NORM;
    rig_start(&run->rig, NULL, 0, N, M, 2);
    run->most = most;
    for (int i = 0; i < BATCH * M; i++)
        run->gradient[i] = 1;
    run->loop = (struct pil_run){ .session = run->rig.session,
                                  .updater = run->rig.updater,
                                  .feed = { next, jobs, run },
                                  .global_step = &run->step,
                                  .stop = &run->signal };
    const pil_hook check = pil_nan_tensor_hook(true);
    const pil_hook hook = { .begin = begin, .before_run = before_run, .after_run = after_run, .end = end, .context = run };
    assert_true(hook_add(&run->loop, &(pil_hook){ .context = NULL }, &run->rig.status)); /* one that wants nothing */
    assert_true(hook_add(&run->loop, &hook, &run->rig.status) && hook_add(&run->loop, &check, &run->rig.status));
    return run;
}

static void finish(struct run *run)
{
    assert_true(run_free(&run->loop, &run->rig.status));
    rig_free(&run->rig);
    free(run);
}

static void to_the_end_of_the_input(void **state)
{
    (void)state;
    struct run *run = start(3);
    assert_true(loop_run(&run->loop, &run->rig.status));
    assert_string_equal(run->log, "b<><><><e");
    assert_true(run->loop.input_ended);
    assert_int_equal(run->step, 3);
    assert_int_equal(run->loop.steps, 3);
    assert_int_equal(run->jobs_run, 3);
    float kernel[N];
    tensor_pack(&store_find(run->rig.store, "kernel")->value, kernel);
    assert_true(kernel[0] == -6 && kernel[1] == -6); /* two rows of three have each input, three steps */
    assert_true(run->loop.loss == -4 * 4);           /* of the step taken last, before its update */
    finish(run);
}

static void to_the_last_step(void **state)
{
    (void)state;
    struct run *run = start(100);
    run->step = 10;
    run->loop.last_step = 12;
    assert_true(loop_run(&run->loop, &run->rig.status));
    assert_string_equal(run->log, "b<><>e");
    assert_int_equal(run->step, 12);
    assert_int_equal(run->batches, 2);
    assert_false(run->loop.input_ended);
    finish(run);
}

static void stopped(void **state)
{
    (void)state;
    struct run *run = start(100);
    run->stops_after = 2;
    assert_true(loop_run(&run->loop, &run->rig.status));
    assert_string_equal(run->log, "b<><>e");
    finish(run);
    run = start(100);
    run->signal = 1;
    assert_true(loop_run(&run->loop, &run->rig.status));
    assert_string_equal(run->log, "be");
    finish(run);
}

static void failing_hooks(void **state)
{
    (void)state;
    static const struct {
        const char *at, *log;
    } cases[] = { { "b", "b" }, { "<", "b<" }, { ">", "b<>" }, { "e", "b<><e" } };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct run *run = start(1);
        run->fails_at = cases[i].at;
        assert_false(loop_run(&run->loop, &run->rig.status));
        assert_int_equal(run->rig.status.code, PIL_IO);
        assert_string_equal(run->log, cases[i].log);
        finish(run);
    }
}

/* Found before anything changes. */
static void loss_is_no_number(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct run *run = start(100);
        const float ones[N] = { 1, 1 };
        const struct variable *kernel = store_find(run->rig.store, "kernel");
        float got[N];
        tensor_unpack(ones, &kernel->value);
        run->gradient[0] = bad[i];
        assert_false(loop_run(&run->loop, &run->rig.status));
        assert_int_equal(run->rig.status.code, PIL_DIVERGED);
        assert_non_null(strstr(run->rig.status.message, i == 0 ? "step 1 is not a number" : "step 1 is infinite"));
        assert_string_equal(run->log, "b<");
        assert_int_equal(run->step, 0);
        tensor_pack(&kernel->value, got);
        assert_memory_equal(got, ones, sizeof ones);
        finish(run);
    }
}

/* The summaries of the train op, with norms of the steps that are saved. */
static void summaries(void **state)
{
    (void)state;
    char events[1024];
    const char *folder = scratch_path("summaries");
    struct run *run = start(4);
    const pil_hook saver = pil_summary_saver_hook((pil_dict){ 0 }, .save_steps = 3);
    run->loop.events = event_writer_new(folder, NULL, 5, &run->rig.status);
    assert_true(hook_add(&run->loop, &saver, &run->rig.status));
    assert_true(loop_run(&run->loop, &run->rig.status));
    assert_true(event_writer_close(run->loop.events, &run->rig.status));
    read_events(folder, events, sizeof events);
    assert_string_equal(events, "1 loss 0\n1 OptimizeLoss/loss 0\n1 OptimizeLoss/global_norm/gradient_norm 2.82843\n"
                                "4 loss -24\n4 OptimizeLoss/loss -24\n4 OptimizeLoss/global_norm/gradient_norm 2.82843\n");
    finish(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_the_end_of_the_input), cmocka_unit_test(to_the_last_step),  cmocka_unit_test(stopped),
        cmocka_unit_test(failing_hooks),           cmocka_unit_test(loss_is_no_number), cmocka_unit_test(summaries),
    };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
