/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of an optimizer's formula without running it. The formulas themselves are update.c's, which is compiled once
 * per level and so can hold nothing that exists once.
 */
#include "kernel/kernel.h"

int update_slots(enum update_formula formula)
{
    static const signed char slots[UPDATE_COUNT] = {
        [UPDATE_SGD] = 0,
        [UPDATE_MOMENTUM] = 1,
        [UPDATE_MOMENTUM_KERAS] = 1,
        [UPDATE_ADAGRAD] = 1,
        [UPDATE_ADAGRAD_INSIDE] = 1,
        [UPDATE_ADAM] = 2,
        [UPDATE_ADAM_AMSGRAD] = 3,
        [UPDATE_RMSPROP] = 1,
        [UPDATE_RMSPROP_ROOT] = 1,
        [UPDATE_RMSPROP_INSIDE] = 2,
        [UPDATE_RMSPROP_CENTERED] = 2,
        [UPDATE_RMSPROP_CENTERED_INSIDE] = 3,
        [UPDATE_FTRL] = 2,
        [UPDATE_ADADELTA] = 2,
        [UPDATE_ADAMAX] = 2,
        [UPDATE_NADAM] = 2,
        [UPDATE_PROXIMAL_ADAGRAD] = 1,
    };
    return slots[formula];
}
