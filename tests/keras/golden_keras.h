/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of this room share: golden numbers of any nesting, a model's weights in their order, statuses that must be good. */
#ifndef PILASTER_TESTS_KERAS_GOLDEN_H
#define PILASTER_TESTS_KERAS_GOLDEN_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "pilaster/keras.h"

#include "../kernel/golden.h"

#define ok(call)                                                                                                                 \
    do {                                                                                                                         \
        pil_status own_status = (call);                                                                                          \
        if (own_status.code != PIL_OK)                                                                                           \
            fail_msg("%s", own_status.message);                                                                                  \
    } while (0)

static inline void near(double a, double b, double relative, const char *what)
{
    if (!(fabs(a - b) <= relative * fmax(1e-3, fabs(b))))
        fail_msg("%s is %.9g, Keras's %.9g", what, a, b);
}

/* Numbers in order; returns how many. */
static inline size_t flatten(const struct json_value *value, float *out)
{
    size_t count = 0;
    if (value->kind == JSON_NUMBER) {
        out[0] = (float)value->number;
        return 1;
    }
    struct json_value item;
    for (struct json_walk walk = json_children(value); json_next(&walk, NULL, &item);)
        count += flatten(&item, out + count);
    return count;
}

enum { MOST = 1 << 14 };

/* Sets the model's weights in their order, or compares them: to `tolerance` of the larger of 1 and their size. */
static inline void each_weight(pil_sequential *model, const struct json_value *list, bool set, double tolerance)
{
    static float values[MOST], have[MOST];
    const char *name;
    size_t i = 0;
    struct json_value item;
    for (struct json_walk walk = json_children(list); json_next(&walk, NULL, &item); i++) {
        size_t count = flatten(&item, values);
        assert_true(pil_sequential_weight(model, i, &name, NULL));
        if (set) {
            ok(pil_sequential_set_weight(model, name, values, count));
            continue;
        }
        ok(pil_sequential_get_weight(model, name, have, count));
        for (size_t k = 0; k < count; k++)
            if (!(fabs((double)have[k] - (double)values[k]) <= tolerance * fmax(1, fabs((double)values[k]))))
                fail_msg("%s, number %zu: %.9g, Keras's %.9g", name, k, (double)have[k], (double)values[k]);
    }
    assert_false(pil_sequential_weight(model, i, &name, NULL));
}

#endif
