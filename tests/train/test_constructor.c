/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public makers: each gives what the model file gives with the same arguments, its defaults too; schedules give the rates of
 * the model file's; values that cannot be are refused by name.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/internal.h"

#include "reading.h"
#include "values.h"

/* The optimizer of a model file, printed with every default. */
static struct text printed(struct fixture *f, const char *yaml, enum optimizer_flavour flavour)
{
    struct optimizer optimizer;
    struct text text = { 0 };
    status_clear(&f->status);
    if (!optimizer_read(values_parse(f->arena, yaml), "sgd", 1, flavour, &f->reader, &optimizer, &f->status))
        fail_msg("%s: %s", yaml, f->status.message);
    optimizer_print(&optimizer, &text);
    return text;
}

static void same_as_in_a_model_file(void **state)
{
    struct fixture *f = *state;
    const struct {
        pil_optimizer value;
        const char *yaml;
        enum optimizer_flavour flavour;
    } cases[] = {
        { pil_gradient_descent_optimizer(0.25f), "{sgd: {learning_rate: 0.25}}", FLAVOUR_V1 },
        { pil_momentum_optimizer(0.25f, 0.5f), "{momentum: {learning_rate: 0.25, momentum: 0.5}}", FLAVOUR_V1 },
        { pil_momentum_optimizer(0.25f, 0.5f, .use_nesterov = true, .name = "M"),
          "{momentum: {learning_rate: 0.25, momentum: 0.5, use_nesterov: true, name: M}}", FLAVOUR_V1 },
        { pil_adagrad_optimizer(0.25f), "{adagrad: {learning_rate: 0.25}}", FLAVOUR_V1 },
        { pil_adagrad_optimizer(0.25f, .initial_accumulator_value = 0.5f),
          "{adagrad: {learning_rate: 0.25, initial_accumulator_value: 0.5}}", FLAVOUR_V1 },
        { pil_adam_optimizer(0.25f), "{adam: {learning_rate: 0.25}}", FLAVOUR_V1 },
        { pil_adam_optimizer(0.25f, .beta1 = 0.5f, .beta2 = 0.75f, .epsilon = 0.125f),
          "{adam: {learning_rate: 0.25, beta1: 0.5, beta2: 0.75, epsilon: 0.125}}", FLAVOUR_V1 },
        { pil_ftrl_optimizer(0.25f), "{ftrl: {learning_rate: 0.25}}", FLAVOUR_V1 },
        { pil_ftrl_optimizer(0.25f, .learning_rate_power = -0.25f, .initial_accumulator_value = 0.5f,
                             .l1_regularization_strength = 1, .l2_regularization_strength = 2,
                             .l2_shrinkage_regularization_strength = 3, .beta = 4),
          "{ftrl: {learning_rate: 0.25, learning_rate_power: -0.25, initial_accumulator_value: 0.5, l1_regularization_strength: "
          "1, "
          "l2_regularization_strength: 2, l2_shrinkage_regularization_strength: 3, beta: 4}}",
          FLAVOUR_V1 },
        { pil_rmsprop_optimizer(0.25f), "{rmsprop: {learning_rate: 0.25}}", FLAVOUR_V1 },
        { pil_rmsprop_optimizer(0.25f, .decay = 0.5f, .momentum = 0.75f, .epsilon = 0.125f, .centered = true),
          "{rmsprop: {learning_rate: 0.25, decay: 0.5, momentum: 0.75, epsilon: 0.125, centered: true}}", FLAVOUR_V1 },
        { pil_adadelta_optimizer(0.25f), "{adadelta: {learning_rate: 0.25}}", FLAVOUR_V1 },
        { pil_adadelta_optimizer(0.25f, .rho = 0.5f, .epsilon = 0.125f),
          "{adadelta: {learning_rate: 0.25, rho: 0.5, epsilon: 0.125}}", FLAVOUR_V1 },
        { pil_proximal_adagrad_optimizer(0.25f), "{proximal_adagrad: {learning_rate: 0.25}}", FLAVOUR_V1 },
        { pil_proximal_adagrad_optimizer(0.25f, .initial_accumulator_value = 0.5f, .l1_regularization_strength = 1,
                                         .l2_regularization_strength = 2),
          "{proximal_adagrad: {learning_rate: 0.25, initial_accumulator_value: 0.5, l1_regularization_strength: 1, "
          "l2_regularization_strength: 2}}",
          FLAVOUR_V1 },

        { pil_sgd(0.25f, .legacy = true), "{sgd: {learning_rate: 0.25}}", FLAVOUR_KERAS_LEGACY },
        { pil_sgd(0.25f, .momentum = 0.5f, .nesterov = true, .decay = 0.125f, .clipnorm = 2, .clipvalue = 3, .legacy = true),
          "{sgd: {learning_rate: 0.25, momentum: 0.5, nesterov: true, decay: 0.125, clipnorm: 2, clipvalue: 3}}",
          FLAVOUR_KERAS_LEGACY },
        { pil_adagrad(0.25f, .legacy = true), "{adagrad: {learning_rate: 0.25}}", FLAVOUR_KERAS_LEGACY },
        { pil_adagrad(0.25f, .initial_accumulator_value = 0.5f, .epsilon = 0.125f, .global_clipnorm = 4, .legacy = true),
          "{adagrad: {learning_rate: 0.25, initial_accumulator_value: 0.5, epsilon: 0.125, global_clipnorm: 4}}",
          FLAVOUR_KERAS_LEGACY },
        { pil_adam(0.25f, .legacy = true), "{adam: {learning_rate: 0.25}}", FLAVOUR_KERAS_LEGACY },
        { pil_adam(0.25f, .beta_1 = 0.5f, .beta_2 = 0.75f, .epsilon = 0.125f, .amsgrad = true, .name = "A", .legacy = true),
          "{adam: {learning_rate: 0.25, beta_1: 0.5, beta_2: 0.75, epsilon: 0.125, amsgrad: true, name: A}}",
          FLAVOUR_KERAS_LEGACY },
        { pil_rmsprop(0.25f, .legacy = true), "{rmsprop: {learning_rate: 0.25}}", FLAVOUR_KERAS_LEGACY },
        { pil_rmsprop(0.25f, .rho = 0.5f, .momentum = 0.75f, .epsilon = 0.125f, .centered = true, .legacy = true),
          "{rmsprop: {learning_rate: 0.25, rho: 0.5, momentum: 0.75, epsilon: 0.125, centered: true}}", FLAVOUR_KERAS_LEGACY },
        { pil_adadelta(0.25f, .legacy = true), "{adadelta: {learning_rate: 0.25}}", FLAVOUR_KERAS_LEGACY },
        { pil_adadelta(0.25f, .rho = 0.5f, .epsilon = 0.125f, .legacy = true),
          "{adadelta: {learning_rate: 0.25, rho: 0.5, epsilon: 0.125}}", FLAVOUR_KERAS_LEGACY },
        { pil_adamax(0.25f, .legacy = true), "{adamax: {learning_rate: 0.25}}", FLAVOUR_KERAS_LEGACY },
        { pil_adamax(0.25f, .beta_1 = 0.5f, .beta_2 = 0.75f, .epsilon = 0.125f, .legacy = true),
          "{adamax: {learning_rate: 0.25, beta_1: 0.5, beta_2: 0.75, epsilon: 0.125}}", FLAVOUR_KERAS_LEGACY },
        { pil_nadam(0.25f, .legacy = true), "{nadam: {learning_rate: 0.25}}", FLAVOUR_KERAS_LEGACY },
        { pil_nadam(0.25f, .beta_1 = 0.5f, .beta_2 = 0.75f, .epsilon = 0.125f, .schedule_decay = 0.5f, .legacy = true),
          "{nadam: {learning_rate: 0.25, beta_1: 0.5, beta_2: 0.75, epsilon: 0.125, schedule_decay: 0.5}}",
          FLAVOUR_KERAS_LEGACY },
        { pil_ftrl(0.25f, .legacy = true), "{ftrl: {learning_rate: 0.25}}", FLAVOUR_KERAS_LEGACY },
        { pil_ftrl(0.25f, .learning_rate_power = -0.25f, .initial_accumulator_value = 0.5f, .l1_regularization_strength = 1,
                   .l2_regularization_strength = 2, .l2_shrinkage_regularization_strength = 3, .beta = 4, .legacy = true),
          "{ftrl: {learning_rate: 0.25, learning_rate_power: -0.25, initial_accumulator_value: 0.5, l1_regularization_strength: "
          "1, "
          "l2_regularization_strength: 2, l2_shrinkage_regularization_strength: 3, beta: 4}}",
          FLAVOUR_KERAS_LEGACY },
        { pil_nadam(0.25f), "{nadam: {learning_rate: 0.25}}", FLAVOUR_KERAS },
        { pil_adam(0.25f, .epsilon = 0), "{adam: {learning_rate: 0.25}}", FLAVOUR_KERAS },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct text want = printed(f, cases[i].yaml, cases[i].flavour), got = { 0 };
        struct optimizer optimizer;
        if (!optimizer_from(&cases[i].value, f->arena, &optimizer, &f->status))
            fail_msg("%s: %s", cases[i].yaml, f->status.message);
        optimizer_print(&optimizer, &got);
        assert_string_equal(got.data, want.data);
        assert_int_equal(optimizer.flavour, cases[i].flavour);
        text_free(&want);
        text_free(&got);
    }
}

/* Those of the originals that need no rate. */
static void default_options(void **state)
{
    (void)state;
    assert_true(pil_sgd_options_default().learning_rate == 0.01f);
    assert_true(pil_adam_options_default().learning_rate == 0.001f && pil_adam_options_default().epsilon == 1e-7f);
    assert_true(pil_adagrad_options_default().learning_rate == 0.001f && pil_ftrl_options_default().learning_rate == 0.001f);
    assert_true(pil_rmsprop_options_default().learning_rate == 0.001f && pil_adadelta_options_default().learning_rate == 0.001f);
    assert_true(pil_adamax_options_default().learning_rate == 0.001f && pil_nadam_options_default().learning_rate == 0.001f);
    assert_true(pil_adam_optimizer_options_default().learning_rate == 0.001f);
    assert_true(pil_adam_optimizer_options_default().epsilon == 1e-8f && pil_adadelta_optimizer_options_default().rho == 0.95f);
    assert_true(pil_rmsprop_optimizer_options_default().epsilon == 1e-10f);
    assert_true(pil_adagrad_optimizer_options_default().initial_accumulator_value == 0.1f);
    assert_true(pil_proximal_adagrad_optimizer_options_default().initial_accumulator_value == 0.1f);
    assert_true(pil_ftrl_optimizer_options_default().learning_rate_power == -0.5f);
    assert_null(pil_gradient_descent_optimizer_options_default().name);
    assert_false(pil_momentum_optimizer_options_default().use_nesterov || pil_sgd_options_default().legacy);
}

static void schedules(void **state)
{
    struct fixture *f = *state;
    const float boundaries[] = { 10, 20 }, values[] = { 1, 0.5f, 0.25f };
    const struct {
        pil_schedule value;
        const char *yaml;
    } cases[] = {
        { pil_exponential_decay(0.5f, 10, 0.25f),
          "{exponential_decay: {initial_learning_rate: 0.5, decay_steps: 10, decay_rate: 0.25}}" },
        { pil_exponential_decay(0.5f, 10, 0.25f, .staircase = true),
          "{exponential_decay: {initial_learning_rate: 0.5, decay_steps: 10, decay_rate: 0.25, staircase: true}}" },
        { pil_inverse_time_decay(0.5f, 10, 0.25f, .staircase = true),
          "{inverse_time_decay: {initial_learning_rate: 0.5, decay_steps: 10, decay_rate: 0.25, staircase: true}}" },
        { pil_polynomial_decay(0.5f, 10), "{polynomial_decay: {initial_learning_rate: 0.5, decay_steps: 10}}" },
        { pil_polynomial_decay(0.5f, 10, .end_learning_rate = 0.25f, .power = 2, .cycle = true),
          "{polynomial_decay: {initial_learning_rate: 0.5, decay_steps: 10, end_learning_rate: 0.25, power: 2, cycle: true}}" },
        { pil_cosine_decay(0.5f, 10, .alpha = 0.25f, .warmup_target = 1, .warmup_steps = 5),
          "{cosine_decay: {initial_learning_rate: 0.5, decay_steps: 10, alpha: 0.25, warmup_target: 1, warmup_steps: 5}}" },
        { pil_piecewise_constant(boundaries, 2, values), "{piecewise_constant: {boundaries: [10, 20], values: [1, 0.5, 0.25]}}" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct schedule want = { 0 }, got;
        const struct arg arg = { .name = "learning_rate", .type = &ARG_RATE };
        status_clear(&f->status);
        assert_true(ARG_RATE.parse(&arg, values_parse(f->arena, cases[i].yaml), &want, &f->reader, &f->status));
        if (!schedule_from(&cases[i].value, 7, f->arena, &got, &f->status))
            fail_msg("%s: %s", cases[i].yaml, f->status.message);
        for (int64_t step = 0; step < 40; step += 5)
            if (!(fabs(schedule_rate(&got, step) - schedule_rate(&want, step)) < 1e-7)) /* an end of 0.0001f is not 0.0001 */
                fail_msg("%s: step %lld", cases[i].yaml, (long long)step);
    }
}

static void what_cannot_be(void **state)
{
    struct fixture *f = *state;
    static const float many[PIL_MAX_BOUNDARIES + 2] = { 0 };
    const float falling[] = { 20, 10 }, values[] = { 1, 0.5f, 0.25f }, negative[] = { 1, -1 };
    const struct {
        pil_optimizer value;
        const char *message;
    } cases[] = {
        { { 0 }, "an optimizer is needed" },
        { { .class_name = "Adagard", .family = PIL_FAMILY_V1 },
          "no optimizer of TensorFlow 1 is called 'Adagard'; did you mean 'adagrad'?" },
        { { .class_name = "Adam", .family = (pil_optimizer_family)9 }, "an optimizer is needed" },
        { pil_adam_optimizer(-1), "Adam: learning_rate must be a number from 0, not -1" },
        { pil_sgd(1.0f / 0.0f), "SGD: learning_rate must be a number from 0, not inf" },
        { pil_adam_optimizer(0.1f, .beta1 = 1), "Adam: beta1 must be from 0 to" },
        { pil_adam(0.1f, .beta_2 = -1), "Adam: beta_2 must be from 0 to" },
        { pil_ftrl(0.1f, .learning_rate_power = 1), "Ftrl: learning_rate_power must be" },
        { pil_adagrad_optimizer(0.1f, .initial_accumulator_value = -1), "initial_accumulator_value must be at least 0, not -1" },
        { pil_sgd(0.1f, .clipnorm = -1), "SGD: clipnorm must be at least 0, not -1" },
        { pil_sgd(0.1f, .clipnorm = 1, .global_clipnorm = 1), "SGD takes clipnorm or global_clipnorm, not both" },
        { pil_nadam(0, .schedule = pil_cosine_decay(1, 9), .legacy = true), "Nadam takes no schedule" },
        { pil_sgd(0, .schedule = pil_exponential_decay(1, 0, 0.5f)),
          "SGD: exponential_decay: decay_steps must be at least 1, not 0" },
        { pil_sgd(0, .schedule = pil_piecewise_constant(falling, 2, values)),
          "boundaries of piecewise_constant_decay must rise" },
        { pil_sgd(0, .schedule = pil_piecewise_constant(values, 1, negative)), "must be numbers from 0, not -1" },
        { pil_sgd(0, .schedule = pil_piecewise_constant(many, PIL_MAX_BOUNDARIES + 1, many)),
          "takes at most 32 boundaries, not 33" },
        { pil_sgd(0, .schedule = { .kind = (pil_schedule_kind)77 }), "no schedule number 77" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct optimizer optimizer;
        status_clear(&f->status);
        if (optimizer_from(&cases[i].value, f->arena, &optimizer, &f->status))
            fail_msg("case %zu is taken", i);
        assert_int_equal(f->status.code, PIL_INVALID_ARGUMENT);
        if (!strstr(f->status.message, cases[i].message))
            fail_msg("case %zu: %s", i, f->status.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(same_as_in_a_model_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(default_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(schedules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
