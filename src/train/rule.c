/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An optimizer's numbers for one step: schedule, decay, Adam's and Nadam's corrections. In double from the float32 values
 * that TensorFlow keeps, and rounded once (kernel.h lists what each formula wants).
 */
#include <math.h>

#include "train/internal.h"

static double rate_of(const struct optimizer *optimizer, enum update_formula formula, int64_t steps)
{
    const struct optimizer_options *o = &optimizer->options;
    double rate = (double)(float)schedule_rate(&o->learning_rate, steps);
    /* Nadam's decay_rate is that of its momentum. */
    if (o->decay_rate > 0 && formula != UPDATE_NADAM)
        rate /= 1 + (double)o->decay_rate * (double)steps;
    return rate;
}

/* Nadam's momentum in step t: c(t) in the kernel's words. */
static double nadam_momentum(const struct optimizer_options *o, int64_t t)
{
    return (double)o->beta_1 * (1 - 0.5 * pow((double)0.96f, (double)o->decay_rate * (double)t));
}

static bool keeps_powers(const struct optimizer *optimizer, enum update_formula formula)
{
    return optimizer->flavour == FLAVOUR_V1 && formula == UPDATE_ADAM;
}

int rule_carries(const struct optimizer *optimizer)
{
    enum update_formula formula = optimizer->row->shape(&optimizer->options)->formula;
    return formula == UPDATE_NADAM ? 1 : keeps_powers(optimizer, formula) ? 2 : 0;
}

struct rule_carry rule_carry(const struct optimizer *optimizer, int64_t steps)
{
    const struct optimizer_options *o = &optimizer->options;
    int count = rule_carries(optimizer);
    struct rule_carry carry = { { 0 } };
    if (count == 1) {
        carry.values[0] = 1;
        for (int64_t t = 1; t <= steps && carry.values[0] > 0; t++)
            carry.values[0] = (float)((double)carry.values[0] * nadam_momentum(o, t));
    } else if (count == 2) {
        carry = (struct rule_carry){ { o->beta_1, o->beta_2 } };
        for (int64_t t = 1; t <= steps && (carry.values[0] > 0 || carry.values[1] > 0); t++) {
            carry.values[0] *= o->beta_1;
            carry.values[1] *= o->beta_2;
        }
    }
    return carry;
}

static void correct_nadam(const struct optimizer_options *o, int64_t t, const struct rule_carry *carry, struct rule_carry *next,
                          float extra[3])
{
    double now = nadam_momentum(o, t), then = nadam_momentum(o, t + 1);
    next->values[0] = (float)((double)carry->values[0] * now);
    double product = (double)next->values[0];
    extra[0] = (float)((1 - now) / (1 - product));
    extra[1] = (float)(then / (1 - product * then));
    extra[2] = (float)(1 - pow((double)o->beta_2, (double)t));
}

/* sqrt(1 - beta_2^t) / (1 - beta_1^t). */
static double correct_adam(const struct optimizer *optimizer, double t, const struct rule_carry *carry, struct rule_carry *next)
{
    const struct optimizer_options *o = &optimizer->options;
    if (optimizer->flavour != FLAVOUR_V1)
        return sqrt(1 - pow((double)o->beta_2, t)) / (1 - pow((double)o->beta_1, t));
    next->values[0] = carry->values[0] * o->beta_1;
    next->values[1] = carry->values[1] * o->beta_2;
    return sqrt(1 - (double)carry->values[1]) / (1 - (double)carry->values[0]);
}

struct update rule_of(const struct optimizer *optimizer, int64_t steps, struct rule_carry carry, struct rule_carry *next)
{
    const struct optimizer_options *o = &optimizer->options;
    struct update rule = {
        .formula = optimizer->row->shape(o)->formula,
        .nesterov = o->nesterov,
        .epsilon = o->epsilon,
        .momentum = o->momentum,
        .rho = o->rho,
        .beta_1 = o->beta_1,
        .beta_2 = o->beta_2,
        .l1 = o->l1,
        .l2 = o->l2,
        .shrinkage = o->l2_shrinkage,
        .beta = o->beta,
        .power = o->learning_rate_power,
    };
    double rate = rate_of(optimizer, rule.formula, steps), t = (double)steps + 1;
    *next = carry;
    if (rule.formula == UPDATE_ADAM || rule.formula == UPDATE_ADAM_AMSGRAD)
        rate *= correct_adam(optimizer, t, &carry, next);
    if (rule.formula == UPDATE_ADAMAX)
        rate /= 1 - pow((double)o->beta_1, t);
    rule.rate = (float)rate;
    if (rule.formula == UPDATE_NADAM)
        correct_nadam(o, steps + 1, &carry, next, rule.extra);
    return rule;
}

/* Formulas in which gradient 0 leaves weights and slots, or does to them what it does to every row. */
bool rule_is_idle(enum update_formula formula)
{
    switch (formula) {
    case UPDATE_SGD:
    case UPDATE_ADAGRAD:
    case UPDATE_ADAGRAD_INSIDE:
    case UPDATE_ADAM:
    case UPDATE_ADAM_AMSGRAD:
    case UPDATE_RMSPROP:
    case UPDATE_RMSPROP_ROOT:
    case UPDATE_RMSPROP_CENTERED:
        return true;
    default:
        return false;
    }
}
