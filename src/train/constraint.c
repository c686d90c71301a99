/* SPDX-License-Identifier: Apache-2.0 */
/* What a variable's values keep to, as values (pilaster/train.h). */
#include "train/train.h"

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
