/* SPDX-License-Identifier: Apache-2.0 */
/* Ready-made hooks: what they do at which step, in the log and in event files, by a clock that the test sets. */
#include "train/running.h"

#include "train/events.h"

/* ---- the log ------------------------------------------------------------------------------------------------- */

static char log_text[4096];

static void keep_line(void *context, pil_log_level level, const char *text)
{
    size_t used = strlen(log_text);
    (void)context;
    snprintf(log_text + used, sizeof log_text - used, "%s%s\n", level == PIL_LOG_WARNING ? "warning: " : "", text);
}

static int log_set_up(void **state)
{
    (void)state;
    log_text[0] = '\0';
    log_set(keep_line, NULL);
    return 0;
}

static int log_tear_down(void **state)
{
    (void)state;
    log_set(NULL, NULL);
    return 0;
}

/* ---- when ---------------------------------------------------------------------------------------------------- */

static void timer(void **state)
{
    (void)state;
    pil_second_or_step_timer t = { .every_steps = 10 };
    double seconds;
    int64_t steps;
    assert_true(timer_due(&t, 7, 100)); /* the first time always */
    timer_trigger(&t, 7, 100, &seconds, &steps);
    assert_true(seconds < 0 && steps < 0);
    assert_false(timer_due(&t, 7, 100));
    assert_false(timer_due(&t, 16, 1e9));
    assert_true(timer_due(&t, 17, 100));
    timer_trigger(&t, 20, 103.5, &seconds, &steps);
    assert_true(seconds == 3.5 && steps == 13);
    t = (pil_second_or_step_timer){ .every_secs = 5 };
    timer_trigger(&t, 1, 100, NULL, NULL);
    assert_false(timer_due(&t, 1000, 104.9));
    assert_true(timer_due(&t, 2, 105));
    assert_false(timer_due(&t, 1, 200)); /* never twice at one step */
    t = (pil_second_or_step_timer){ .every_steps = 2 };
    assert_true(pil_should_trigger_for_step(&t, 1));
    pil_update_last_triggered_step(&t, 1, &seconds, NULL);
    assert_false(pil_should_trigger_for_step(&t, 2));
    assert_true(pil_should_trigger_for_step(&t, 3));
    pil_update_last_triggered_step(&t, 3, &seconds, &steps);
    assert_true(seconds >= 0 && steps == 2);
}

/* ---- stop_at_step -------------------------------------------------------------------------------------------- */

static void stops(void **state)
{
    (void)state;
    static const struct {
        pil_stop_at_step_options options;
        int64_t start, end;
    } list[] = { { { .num_steps = 3 }, 5, 8 },
                 { { .last_step = 7 }, 5, 7 },
                 { { .last_step = 5 }, 5, 5 },
                 { { .last_step = 4 }, 5, 5 },
                 { { .num_steps = INT64_MAX }, 5, 25 } };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        struct running *r = running_new(20);
        r->step = list[i].start;
        running_hook(r, pil_stop_at_step_hook_make(&list[i].options));
        running_run(r);
        assert_int_equal(r->step, list[i].end);
        running_free(r);
    }
    assert_int_equal(pil_stop_at_step_hook(.last_step = 9).settings.last_step, 9);
    assert_int_equal(pil_stop_at_step_options_default().num_steps, 0);
}

/* ---- nan_tensor ---------------------------------------------------------------------------------------------- */

static void not_a_number(void **state)
{
    (void)state;
    static const struct {
        float bad;
        const char *fails, *warns;
    } list[] = {
        { NAN, "the loss of step 3 is not a number\n", "warning: the loss of step 3 is not a number: the run ends before it\n" },
        { INFINITY, "the loss of step 3 is infinite\n", "warning: the loss of step 3 is infinite: the run ends before it\n" }
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        struct running *r = running_new(9);
        r->bad = list[i].bad;
        r->bad_at = 3;
        running_hook(r, pil_nan_tensor_hook(true));
        assert_false(loop_run(&r->run, &r->status));
        assert_int_equal(r->status.code, PIL_DIVERGED);
        assert_memory_equal(r->status.message, list[i].fails, strlen(list[i].fails));
        assert_non_null(strstr(r->status.message, "a smaller learning rate"));
        assert_int_equal(r->step, 2);
        running_free(r);

        log_text[0] = '\0';
        r = running_new(9);
        r->bad = list[i].bad;
        r->bad_at = 3;
        running_hook(r, pil_nan_tensor_hook(false));
        running_run(r);
        assert_string_equal(log_text, list[i].warns);
        assert_int_equal(r->step, 2); /* the bad one is not counted, nor are those after */
        assert_int_equal(r->batches, 3);
        running_free(r);
    }
    struct running *r = running_new(9); /* nobody looks */
    r->bad = NAN;
    r->bad_at = 3;
    running_run(r);
    assert_int_equal(r->step, 9);
    running_free(r);
}

/* ---- logging_tensor ------------------------------------------------------------------------------------------ */

static void logs(void **state)
{
    (void)state;
    struct running *r = running_new(5);
    r->step = 100;
    running_hook(r, pil_logging_tensor_hook((pil_dict){ 0 }, .every_n_iter = 2));
    running_run(r);
    assert_string_equal(log_text,
                        "loss = 21, step = 100\nloss = 33, step = 102 (2.000 sec)\nloss = 26, step = 104 (2.000 sec)\n");
    running_free(r);

    log_text[0] = '\0';
    r = running_new(8);
    running_hook(r, pil_logging_tensor_hook(PIL_DICT(r->graph, { "twice", r->doubled }, { "all", r->sum }), .every_n_secs = 4.0,
                                            .at_end = true));
    running_run(r);
    assert_string_equal(log_text, "twice = [2 4 6 8 10 12], all = 21, step = 0\n"
                                  "twice = [10 12 14 16 18 20], all = 45, step = 4 (4.000 sec)\n"
                                  "twice = [16 18 20 22], all = 38, step = 7 (3.000 sec)\n");
    running_free(r);

    log_text[0] = '\0';
    r = running_new(3);
    running_hook(r, pil_logging_tensor_hook(PIL_DICT(r->graph, { "all", r->sum }), .at_end = true));
    running_run(r);
    assert_string_equal(log_text, "all = 18, step = 2\n");
    running_free(r);
    assert_int_equal(pil_logging_tensor_options_default().every_n_iter, 0);
}

/* ---- step_counter -------------------------------------------------------------------------------------------- */

/* Half a second a step went to something else. */
static bool pause_run(void *context, pil_run *run, pil_status *status)
{
    (void)context;
    (void)status;
    run->paused += 0.5;
    return true;
}

static void counts_steps(void **state)
{
    (void)state;
    char events[1024];
    const char *folder = scratch_path("steps");
    struct running *r = running_new(8);
    r->step = 40;
    running_hook(r, (pil_hook){ .after_run = pause_run });
    running_hook(r, pil_step_counter_hook(3, .output_dir = folder));
    running_run(r);
    running_free(r);
    read_events(folder, events, sizeof events);
    assert_string_equal(events, "44 global_step/sec 2\n47 global_step/sec 2\n");
    assert_string_equal(log_text, "global_step/sec: 2\nglobal_step/sec: 2\n");

    folder = scratch_path("seconds"); /* into the run's own events */
    r = running_new(8);
    r->run.events = event_writer_new(folder, NULL, 5, &r->status);
    running_hook(r, pil_step_counter_hook(0, .every_n_secs = 4));
    running_run(r);
    assert_true(event_writer_close(r->run.events, &r->status));
    running_free(r);
    read_events(folder, events, sizeof events);
    assert_string_equal(events, "5 global_step/sec 1\n");
    assert_int_equal(pil_step_counter_options_default().every_n_steps, 100);
}

/* ---- summary_saver ------------------------------------------------------------------------------------------- */

/* By seconds it is decided before the step, whose norms must be noted. */
static void saves_summaries(void **state)
{
    (void)state;
    char events[1024];
    const char *folder = scratch_path("loss");
    struct running *r = running_new(7);
    running_hook(r, pil_summary_saver_hook((pil_dict){ 0 }, .save_steps = 3, .output_dir = folder));
    running_run(r);
    running_free(r);
    read_events(folder, events, sizeof events);
    assert_string_equal(events, "1 loss 21\n4 loss 39\n7 loss 34\n");

    folder = scratch_path("tensors");
    r = running_new(6);
    r->run.events = event_writer_new(folder, NULL, 5, &r->status);
    running_hook(r, pil_summary_saver_hook(PIL_DICT(r->graph, { "all", r->sum }, { "again", r->fetches[1] }), .save_secs = 4));
    running_run(r);
    assert_true(event_writer_close(r->run.events, &r->status));
    running_free(r);
    read_events(folder, events, sizeof events);
    assert_string_equal(events, "1 all 21\n1 again 21\n6 all 30\n6 again 30\n");

    r = running_new(6); /* nowhere to write, and no scalar */
    running_hook(r, pil_summary_saver_hook((pil_dict){ 0 }, .save_steps = 1));
    running_hook(r, pil_summary_saver_hook(PIL_DICT(r->graph, { "twice", r->doubled }), .save_steps = 1));
    assert_false(loop_run(&r->run, &r->status));
    assert_non_null(strstr(r->status.message, "summary_saver_hook: twice has 6 elements; a summary is one number"));
    running_free(r);
    assert_int_equal(pil_summary_saver_options_default().save_steps, 0);
}

static void no_folder(void **state)
{
    (void)state;
    struct running *r = running_new(6);
    const char *file = scratch_path("file");
    assert_true(file_replace(file, "x", 1, &r->status));
    running_hook(r, pil_step_counter_hook(3, .output_dir = file));
    assert_false(loop_run(&r->run, &r->status));
    assert_int_equal(r->status.code, PIL_IO);
    assert_int_equal(r->batches, 0);
    running_free(r);
}

/* ---- settings ------------------------------------------------------------------------------------------------ */

static void wrong_settings(void **state)
{
    (void)state;
    const struct {
        pil_hook hook;
        const char *say;
    } list[] = {
        { pil_stop_at_step_hook(.num_steps = 0), "stop_at_step_hook: it takes either num_steps or last_step" },
        { pil_stop_at_step_hook(.num_steps = 1, .last_step = 2), "stop_at_step_hook" },
        { pil_stop_at_step_hook(.num_steps = -1), "stop_at_step_hook" },
        { pil_logging_tensor_hook((pil_dict){ 0 }),
          "logging_tensor_hook: it takes either every_n_iter or every_n_secs, above 0, or at_end alone" },
        { pil_logging_tensor_hook((pil_dict){ 0 }, .every_n_iter = 1, .every_n_secs = 1), "logging_tensor_hook" },
        { pil_logging_tensor_hook((pil_dict){ 0 }, .every_n_iter = -1, .at_end = true), "logging_tensor_hook" },
        { pil_step_counter_hook(0), "step_counter_hook: it happens every so many steps or seconds" },
        { pil_step_counter_hook(1, .every_n_secs = NAN), "step_counter_hook" },
        { pil_summary_saver_hook((pil_dict){ 0 }), "summary_saver_hook" },
    };
    struct running *r = running_new(1);
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        status_clear(&r->status);
        assert_false(hook_add(&r->run, &list[i].hook, &r->status));
        assert_int_equal(r->status.code, PIL_INVALID_ARGUMENT);
        if (!strstr(r->status.message, list[i].say))
            fail_msg("%d: %s", (int)i, r->status.message);
    }
    assert_int_equal(r->run.hook_count, 0);
    running_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timer),
        cmocka_unit_test(stops),
        cmocka_unit_test_setup_teardown(not_a_number, log_set_up, log_tear_down),
        cmocka_unit_test_setup_teardown(logs, log_set_up, log_tear_down),
        cmocka_unit_test_setup_teardown(counts_steps, log_set_up, log_tear_down),
        cmocka_unit_test(saves_summaries),
        cmocka_unit_test(no_folder),
        cmocka_unit_test(wrong_settings),
    };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
