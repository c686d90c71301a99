/* SPDX-License-Identifier: Apache-2.0 */
/* Learning rates that follow the step, against tf.keras.optimizers.schedules of TensorFlow 2.15; and as arguments, both ways. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "train/internal.h"

#include "reading.h"
#include "values.h"

static const struct arg rate_arg = { .name = "learning_rate", .type = &ARG_RATE };

static bool parse(struct fixture *f, const char *text, struct schedule *out)
{
    struct value *value = values_parse(f->arena, text);
    assert_non_null(value);
    status_clear(&f->status);
    return ARG_RATE.parse(&rate_arg, value, out, &f->reader, &f->status);
}

static const struct {
    const char *text;
    float rates[10]; /* at these steps: */
} golden[] = {
    { "{exponential_decay: {initial_learning_rate: 0.1, decay_steps: 30, decay_rate: 0.9}}",
      { 0.1f, 0.099649414f, 0.096548937f, 0.09621045f, 0.093216978f, 0.092890166f, 0.087199755f, 0.086894043f, 0.086589403f,
        0.070384167f } },
    { "{ExponentialDecay: {initial_learning_rate: 0.1, decay_steps: 30, decay_rate: 0.9, staircase: true}}",
      { 0.1f, 0.1f, 0.1f, 0.1f, 0.1f, 0.1f, 0.089999996f, 0.089999996f, 0.089999996f, 0.07289999f } },
    { "{piecewise_constant_decay: {boundaries: [10, 20], values: [1.0, 0.5, 0.25]}}",
      { 1, 1, 1, 0.5f, 0.5f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f } },
    { "{polynomial_decay: {initial_learning_rate: 0.1, decay_steps: 50}}",
      { 0.1f, 0.098002002f, 0.080020003f, 0.078021996f, 0.060040005f, 0.058042005f, 0.022078002f, 0.020079998f, 0.018082f,
        9.9999997e-05f } },
    { "{polynomial_decay: {initial_learning_rate: 0.1, decay_steps: 20, end_learning_rate: 0.01, power: 0.5, cycle: true}}",
      { 0.1f, 0.097721152f, 0.073639609f, 0.070373833f, 0.0099999998f, 0.07202822f, 0.024230242f, 0.0099999998f, 0.060645834f,
        0.0099999998f } },
    { "{inverse_time_decay: {initial_learning_rate: 0.1, decay_steps: 7, decay_rate: 0.5}}",
      { 0.1f, 0.093333341f, 0.058333334f, 0.056000002f, 0.041176472f, 0.039999999f, 0.026415095f, 0.025925925f, 0.025454545f,
        0.012280703f } },
    { "{inverse_time_decay: {initial_learning_rate: 0.1, decay_steps: 7, decay_rate: 0.5, staircase: true}}",
      { 0.1f, 0.1f, 0.06666667f, 0.06666667f, 0.050000001f, 0.039999999f, 0.028571429f, 0.028571429f, 0.028571429f, 0.0125f } },
    { "{cosine_decay: {initial_learning_rate: 0.1, decay_steps: 40, alpha: 0.1}}",
      { 0.1f, 0.099861279f, 0.086819813f, 0.084225163f, 0.054999996f, 0.051469345f, 0.010138719f, 0.010000001f, 0.010000001f,
        0.010000001f } },
    { "{cosine_decay: {initial_learning_rate: 0.01, decay_steps: 40, warmup_target: 0.1, warmup_steps: 12}}",
      { 0.0099999998f, 0.0175f, 0.085000001f, 0.092500001f, 0.090450846f, 0.088020302f, 0.023875067f, 0.02061074f, 0.01752759f,
        0 } },
};
static const int64_t steps[] = { 0, 1, 10, 11, 20, 21, 39, 40, 41, 100 };

static void formulas(void **state)
{
    struct fixture *f = *state;
    for (size_t k = 0; k < COUNT_OF(golden); k++) {
        struct schedule schedule;
        if (!parse(f, golden[k].text, &schedule))
            fail_msg("%s", f->status.message);
        for (size_t i = 0; i < COUNT_OF(steps); i++) {
            double got = schedule_rate(&schedule, steps[i]), want = (double)golden[k].rates[i];
            if (!(fabs(got - want) <= 2e-6 * want + 1e-8))
                fail_msg("%s, step %d: %.9g, TensorFlow %.9g", golden[k].text, (int)steps[i], got, want);
        }
    }
}

/* What is printed reads back as the same schedule. */
static void printed_and_read(void **state)
{
    struct fixture *f = *state;
    for (size_t k = 0; k < COUNT_OF(golden); k++) {
        struct schedule schedule, again;
        struct text text = { 0 };
        assert_true(parse(f, golden[k].text, &schedule));
        ARG_RATE.print(&rate_arg, &schedule, &text);
        if (!parse(f, text.data, &again))
            fail_msg("%s: %s", text.data, f->status.message);
        assert_int_equal(again.kind, schedule.kind);
        for (size_t i = 0; i < COUNT_OF(steps); i++)
            assert_true(schedule_rate(&schedule, steps[i]) == schedule_rate(&again, steps[i]));
        text_free(&text);
    }
}

static void numbers_and_null(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *printed, *json;
        double rate;
    } cases[] = { { "0.05", "0.05", "0.05", 0.05 },
                  { "null", "null", "null", -1 },
                  { "~", "null", "null", -1 },
                  { "0", "0", "0", 0 },
                  { "1e-4", "0.0001", "0.0001", 1e-4 } };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct schedule schedule;
        struct text text = { 0 }, json = { 0 };
        assert_true(parse(f, cases[i].text, &schedule));
        assert_int_equal(schedule.kind, SCHEDULE_CONSTANT);
        assert_true(schedule.rate == cases[i].rate && schedule_rate(&schedule, 1000) == cases[i].rate);
        ARG_RATE.print(&rate_arg, &schedule, &text);
        ARG_RATE.json(&rate_arg, &schedule, &json);
        assert_string_equal(text.data, cases[i].printed);
        assert_string_equal(json.data, cases[i].json);
        text_free(&text);
        text_free(&json);
    }
}

static void wrong_arguments(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "-0.1", "at least 0" },
        { "fast", "learning_rate takes a number, not 'fast'" },
        { ".inf", "finite" },
        { "[1, 2]", "a number, not a list" },
        { "{}", "one schedule" },
        { "{exponential_decay: {}, cosine_decay: {}}", "one schedule" },
        { "{exponentail_decay: {}}", "did you mean 'exponential_decay'?" },
        { "{exponential_decay: {initial_learning_rate: 0.1, decay_rate: 0.9}}", "exponential_decay needs 'decay_steps'" },
        { "{exponential_decay: {initial_learning_rate: 0.1, decay_steps: 0, decay_rate: 0.9}}",
          "decay_steps must be at least 1" },
        { "{exponential_decay: {initial_learning_rate: 0.1, decay_step: 5, decay_rate: 0.9}}", "did you mean 'decay_steps'?" },
        { "{piecewise_constant_decay: {boundaries: [1, 2], values: [1.0, 0.5]}}", "one value more than boundaries, not 2 and 2" },
        { "{piecewise_constant_decay: {boundaries: [2, 2], values: [1.0, 0.5, 0.1]}}", "must rise; number 2 does not" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct schedule schedule = { .rate = 7 };
        if (parse(f, cases[i].text, &schedule))
            fail_msg("%s is taken", cases[i].text);
        assert_int_equal(f->status.code, PIL_INVALID_ARGUMENT);
        if (!strstr(f->status.message, cases[i].message))
            fail_msg("%s: %s", cases[i].text, f->status.message);
        assert_true(schedule.rate == 7); /* untouched */
    }
}

static void optional_floats(void **state)
{
    struct fixture *f = *state;
    const struct arg arg = { .name = "clipnorm", .type = &ARG_OPTIONAL_FLOAT };
    float value = 5;
    struct text text = { 0 };
    assert_true(ARG_OPTIONAL_FLOAT.parse(&arg, values_parse(f->arena, "null"), &value, &f->reader, &f->status));
    ARG_OPTIONAL_FLOAT.print(&arg, &value, &text);
    assert_true(value == 0);
    assert_string_equal(text.data, "null");
    assert_true(ARG_OPTIONAL_FLOAT.parse(&arg, values_parse(f->arena, "1.5"), &value, &f->reader, &f->status));
    text_clear(&text);
    ARG_OPTIONAL_FLOAT.print(&arg, &value, &text);
    assert_string_equal(text.data, "1.5");
    text_free(&text);
    assert_false(ARG_OPTIONAL_FLOAT.parse(&arg, values_parse(f->arena, "'null'"), &value, &f->reader, &f->status));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(formulas, set_up, tear_down),
        cmocka_unit_test_setup_teardown(printed_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_and_null, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_arguments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(optional_floats, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
