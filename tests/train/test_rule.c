/* SPDX-License-Identifier: Apache-2.0 */
/* An optimizer's numbers of one step: what schedules, decay and corrections come to, each computed here by its definition. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "train/internal.h"

static struct optimizer make(const char *name, enum optimizer_flavour flavour, double rate)
{
    pil_status status = { 0 };
    struct optimizer optimizer;
    assert_true(optimizer_find(name, flavour, &optimizer, &status));
    optimizer.options.learning_rate = (struct schedule){ .rate = rate };
    return optimizer;
}

static struct update rule(const struct optimizer *optimizer, int64_t steps)
{
    struct rule_carry next;
    return rule_of(optimizer, steps, rule_carry(optimizer, steps), &next);
}

static bool near(float got, double want)
{
    return fabs((double)got - want) <= 6e-8 * fabs(want);
}

static void corrections(void **state)
{
    (void)state;
    struct optimizer adam = make("adam", FLAVOUR_KERAS_LEGACY, 0.01), adamax = make("adamax", FLAVOUR_KERAS_LEGACY, 0.01);
    struct optimizer v1 = make("adam", FLAVOUR_V1, 0.01), sgd = make("sgd", FLAVOUR_KERAS_LEGACY, 0.01);
    static const int64_t steps[] = { 0, 1, 9, 1000, 1000000 };
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        double t = (double)steps[i] + 1, b1 = 0.9f, b2 = 0.999f, r = 0.01f;
        assert_true(near(rule(&adam, steps[i]).rate, r * sqrt(1 - pow(b2, t)) / (1 - pow(b1, t))));
        /* TensorFlow 1's powers are products of floats. */
        assert_true(fabs(rule(&v1, steps[i]).rate / (r * sqrt(1 - pow(b2, t)) / (1 - pow(b1, t))) - 1) < 3e-5);
        assert_true(near(rule(&adamax, steps[i]).rate, r / (1 - pow(b1, t))));
        assert_true(rule(&sgd, steps[i]).rate == 0.01f);
    }
    assert_int_equal(rule(&adam, 0).formula, UPDATE_ADAM);
    assert_true(rule(&adam, 0).epsilon == 1e-7f && rule(&v1, 0).epsilon == 1e-8f);
}

static void schedules_and_decay(void **state)
{
    (void)state;
    struct optimizer sgd = make("sgd", FLAVOUR_KERAS_LEGACY, 0.1);
    sgd.options.decay_rate = 0.5f;
    assert_true(near(rule(&sgd, 0).rate, (double)0.1f));
    assert_true(near(rule(&sgd, 3).rate, (double)0.1f / 2.5));
    sgd.options.learning_rate = (struct schedule){ .kind = SCHEDULE_EXPONENTIAL_DECAY, .rate = 1, .steps = 2, .decay = 0.25 };
    assert_true(near(rule(&sgd, 0).rate, 1));
    assert_true(near(rule(&sgd, 2).rate, 0.25 / 2));
}

/* c(t) and P(t) of kernel.h, by their definitions; legacy: 0.96^(0.004 t), newer: 0.96^t. */
static void nadam(void **state)
{
    (void)state;
    for (int newer = 0; newer < 2; newer++) {
        struct optimizer optimizer = make("nadam", newer ? FLAVOUR_KERAS : FLAVOUR_KERAS_LEGACY, 0.01);
        double scale = newer ? 1 : 0.004, b1 = 0.9f, b2 = 0.999f, product = 1;
        struct rule_carry carry = { { 1, 0 } }, next;
        for (int64_t t = 1; t <= 50; t++) {
            double c = b1 * (1 - 0.5 * pow(0.96, scale * (double)t)), c1 = b1 * (1 - 0.5 * pow(0.96, scale * (double)(t + 1)));
            product *= c;
            struct update got = rule_of(&optimizer, t - 1, carry, &next);
            assert_true(fabs((double)got.extra[0] / ((1 - c) / (1 - product)) - 1) < 1e-6);
            assert_true(fabs((double)got.extra[1] / (c1 / (1 - product * c1)) - 1) < 1e-6);
            assert_true(fabs((double)got.extra[2] / (1 - pow(b2, (double)t)) - 1) < 1e-6);
            assert_true(got.rate == 0.01f); /* its decay is the momentum's */
            carry = next;
            assert_true(carry.values[0] == rule_carry(&optimizer, t).values[0]);
        }
    }
    struct optimizer sgd = make("sgd", FLAVOUR_KERAS_LEGACY, 0.1);
    struct rule_carry next;
    rule_of(&sgd, 5, (struct rule_carry){ { 0.75f, 0.5f } }, &next);
    assert_true(next.values[0] == 0.75f && next.values[1] == 0.5f);
    assert_int_equal(rule_carries(&sgd), 0);
}

/* Float products, the first of them for the first step: 0.9f, 0.9f * 0.9f, ... */
static void powers_of_beta(void **state)
{
    (void)state;
    struct optimizer adam = make("adam", FLAVOUR_V1, 0.01), keras = make("adam", FLAVOUR_KERAS_LEGACY, 0.01);
    struct rule_carry carry = rule_carry(&adam, 0), next;
    float power_1 = 0.9f, power_2 = 0.999f;
    assert_int_equal(rule_carries(&adam), 2);
    assert_int_equal(rule_carries(&keras), 0);
    for (int64_t t = 1; t < 50; t++) {
        assert_true(carry.values[0] == power_1 && carry.values[1] == power_2);
        float rate = (float)(0.01f * sqrt(1 - (double)power_2) / (1 - (double)power_1));
        assert_true(rule_of(&adam, 1000, carry, &next).rate == rate); /* they rule, not the step */
        power_1 *= 0.9f;
        power_2 *= 0.999f;
        carry = next;
        assert_true(memcmp(&carry, &(struct rule_carry){ { power_1, power_2 } }, sizeof carry) == 0);
        next = rule_carry(&adam, t);
        assert_true(memcmp(&carry, &next, sizeof carry) == 0);
    }
}

/* Idle formulas are those that the kernel leaves a row alone with, or moves every row with. */
static void idle_formulas(void **state)
{
    (void)state;
    for (int formula = 0; formula < UPDATE_COUNT; formula++) {
        struct update update = { .formula = (enum update_formula)formula,
                                 .rate = 0.1f,
                                 .epsilon = 1e-3f,
                                 .momentum = 0.9f,
                                 .rho = 0.9f,
                                 .beta_1 = 0.9f,
                                 .beta_2 = 0.99f,
                                 .l1 = 0.01f,
                                 .l2 = 0.1f,
                                 .power = -0.5f,
                                 .extra = { 0.4f, 0.5f, 0.2f } };
        float w[16], slots[3][16], zero[16] = { 0 };
        for (int i = 0; i < 16; i++) {
            w[i] = 1;
            slots[0][i] = 2;
            slots[1][i] = slots[2][i] = 0.5f;
        }
        struct update_dense call = { .rule = &update, .w = w, .g = zero, .n = 16 };
        for (int k = 0; k < update_slots(update.formula); k++)
            call.slot[k] = slots[k];
        kernel_get()->update_dense(&call);
        bool all_rows = formula == UPDATE_ADAM || formula == UPDATE_ADAM_AMSGRAD;
        bool decays = formula == UPDATE_RMSPROP || formula == UPDATE_RMSPROP_ROOT || formula == UPDATE_RMSPROP_CENTERED;
        bool stays = w[0] == 1 && slots[0][0] == 2 && slots[1][0] == 0.5f && slots[2][0] == 0.5f;
        assert_int_equal(rule_is_idle(update.formula), all_rows || (decays && w[0] == 1) || stays);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(corrections),    cmocka_unit_test(schedules_and_decay), cmocka_unit_test(nadam),
        cmocka_unit_test(powers_of_beta), cmocka_unit_test(idle_formulas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
