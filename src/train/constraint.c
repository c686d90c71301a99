/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a variable's values keep to. Constraints are applied after each update, to all of a variable's values: along an axis their
 * lengths, with 1e-7 added where it is divided by one, as tf.keras.constraints has it.
 */
#include <math.h>

#include "train/internal.h"

pil_constraint pil_max_norm(float max_value, int axis)
{
    return (pil_constraint){ .kind = PIL_CONSTRAINT_MAX_NORM, .max_value = max_value, .rate = 1, .axis = axis };
}

pil_constraint pil_non_neg(void)
{
    return (pil_constraint){ .kind = PIL_CONSTRAINT_NON_NEG };
}

pil_constraint pil_unit_norm(int axis)
{
    return (pil_constraint){ .kind = PIL_CONSTRAINT_UNIT_NORM, .axis = axis };
}

pil_constraint pil_min_max_norm(float min_value, float max_value, float rate, int axis)
{
    return (pil_constraint){ PIL_CONSTRAINT_MIN_MAX_NORM, min_value, max_value, rate, axis };
}

static const char *const names[] = { "none", "max_norm", "non_neg", "unit_norm", "min_max_norm" };

bool constraint_check(const pil_constraint *c, struct shape shape, pil_status *status)
{
    char text[128];
    bool by_axis = c->kind != PIL_CONSTRAINT_NONE && c->kind != PIL_CONSTRAINT_NON_NEG;
    if ((int)c->kind < 0 || (size_t)c->kind >= COUNT_OF(names))
        return status_fail(status, PIL_INVALID_ARGUMENT, "there is no constraint number %d", (int)c->kind);
    if (by_axis && (c->axis < -shape.rank || c->axis >= shape.rank))
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: %s has no axis %d", names[c->kind], shape_text(shape, text),
                           c->axis);
    if (!(c->max_value >= 0) || !(c->min_value >= 0) || !(c->rate >= 0 && c->rate <= 1) || !isfinite(c->max_value))
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: min_value %g and max_value %g are from 0, rate %g from 0 to 1",
                           names[c->kind], (double)c->min_value, (double)c->max_value, (double)c->rate);
    return true;
}

/* Element i of the values in order, which lie in rows. */
static float *element(const struct tensor *value, int64_t i)
{
    return tensor_floats(value) + i / value->cols * value->ld + i % value->cols;
}

/* What values of a length are multiplied with. */
static float factor_of(const pil_constraint *c, float length)
{
    const float epsilon = 1e-7f;
    float wanted = fminf(fmaxf(length, c->kind == PIL_CONSTRAINT_MIN_MAX_NORM ? c->min_value : 0), c->max_value);
    if (c->kind == PIL_CONSTRAINT_UNIT_NORM)
        return 1 / (epsilon + length);
    if (c->kind == PIL_CONSTRAINT_MIN_MAX_NORM)
        wanted = c->rate * wanted + (1 - c->rate) * length;
    return wanted / (epsilon + length);
}

/* Elements first, first + step, ...: `count` of them. */
static void limit_vector(const pil_constraint *c, const struct tensor *value, int64_t first, int64_t step, int64_t count)
{
    double sum = 0;
    for (int64_t k = 0; k < count; k++) {
        double x = (double)*element(value, first + k * step);
        sum += x * x;
    }
    float factor = factor_of(c, sqrtf((float)sum));
    for (int64_t k = 0; k < count; k++)
        *element(value, first + k * step) *= factor;
}

void constraint_apply(const pil_constraint *c, const struct variable *variable)
{
    const struct tensor *value = &variable->value;
    struct shape shape = variable->shape;
    int64_t all = shape_elements(shape), inner = 1;
    if (c->kind == PIL_CONSTRAINT_NON_NEG) {
        for (int64_t i = 0; i < all; i++)
            if (*element(value, i) < 0)
                *element(value, i) = 0;
        return;
    }
    int axis = c->axis < 0 ? c->axis + shape.rank : c->axis;
    for (int i = axis + 1; i < shape.rank; i++)
        inner *= shape.dims[i];
    int64_t count = shape.dims[axis], block = inner * count;
    for (int64_t outer = 0; outer < all; outer += block)
        for (int64_t k = 0; k < inner; k++)
            limit_vector(c, value, outer + k, inner, count);
}
