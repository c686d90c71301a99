/* SPDX-License-Identifier: Apache-2.0 */
/* Boxes in plain loops: what the tests of ops that move values compare with. */
#ifndef PILASTER_TESTS_OP_BOXES_H
#define PILASTER_TESTS_OP_BOXES_H

#include "op/onnx.h"
#include "op/refusals.h"

/* The flat position of `index` in a contiguous tensor. */
static inline int64_t flat(struct shape shape, const int64_t *index)
{
    int64_t at = 0;
    for (int axis = 0; axis < shape.rank; axis++)
        at = at * shape.dims[axis] + index[axis];
    return at;
}

/* Copies all of `from` into `to`, `shift` positions further on along `axis`; where the shift is negative, what falls out is left.
 */
static inline void copy_shifted(const double *from, struct shape a, double *to, struct shape b, int axis, int64_t shift)
{
    int64_t index[SHAPE_MAX_RANK] = { 0 };
    for (int64_t n = 0; n < shape_elements(a); n++) {
        index[axis] += shift;
        if (index[axis] >= 0 && index[axis] < b.dims[axis])
            to[flat(b, index)] = from[n];
        index[axis] -= shift;
        for (int i = a.rank - 1; i >= 0 && ++index[i] == a.dims[i]; i--)
            index[i] = 0;
    }
}

static inline int axis_of(int axis, struct shape shape)
{
    return axis < 0 ? axis + shape.rank : axis;
}

/* One input, row by row where it has rows. */
static inline void try_move(const char *op, const void *args, struct shape in, struct shape out,
                            void (*reference)(const struct trial *, int64_t, double *const *, double *const *))
{
    bool rows = has_rows(in);
    struct trial t = { .op = op,
                       .args = args,
                       .inputs = { { .shape = in } },
                       .input_count = 1,
                       .outputs = { out },
                       .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                       .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                       .reference = reference };
    try_op(&t);
}

/* Shapes and the first axis that may be cut in them. */
static const struct {
    struct shape shape;
    int first_axis;
} boxes[] = {
    { { 2, { BATCH_DIM, 5 } }, 1 },
    { { 2, { BATCH_DIM, 21 } }, 1 },
    { { 3, { BATCH_DIM, 3, 4 } }, 1 },
    { { 4, { BATCH_DIM, 2, 3, 2 } }, 1 },
    { { 1, { 6 } }, 0 },
    { { 2, { 4, 5 } }, 0 },
    { { 3, { 2, 3, 4 } }, 0 },
};

#endif
