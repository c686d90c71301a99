/* SPDX-License-Identifier: Apache-2.0 */
/* What the families of this room share: rules for extents and shapes, and how a family offers its rows. */
#ifndef PILASTER_OP_INTERNAL_H
#define PILASTER_OP_INTERNAL_H

#include "op/op.h"

struct op_rows {
    const struct op_row *rows;
    size_t count;
};
/* At the foot of a family: OP_ROWS_OF(math) over its static array `rows`. */
#define OP_ROWS_OF(word)                                      \
    extern const struct op_rows op_##word##_rows;             \
    const struct op_rows op_##word##_rows = { rows, COUNT_OF(rows) }

/* Shape rules return op_fail(...): fills the status with the reason; op_infer adds the op's name and its inputs. */
bool op_fail(struct op_infer *infer, const char *format, ...) PRINTF_LIKE(2, 3);
bool op_need_float(struct op_infer *infer); /* every input float32 and dense */
/* The widest extent of the inputs, and the behaviour that follows when rows are not mixed. */
enum extent op_widest(const struct op_infer *infer);
void op_by_rows(struct op_infer *infer);
/* Output 0 like input i. */
bool op_like(struct op_infer *infer, int i);

/* Offset in elements of a multi-index in a view (see struct tensor's two cuts). */
int64_t op_offset(const struct tensor *tensor, const int64_t *index);
/* Goes through out's shape along its last axis, a line at a time, a and b (which may be NULL) broadcast: where each of the three
 * begins, in elements, and how far it moves from one of the `count` positions to the next. */
struct op_line {
    int64_t count, out, a, b, out_step, a_step, b_step;
};
void op_broadcast(const struct tensor *out, const struct tensor *a, const struct tensor *b,
                  void (*along)(void *context, const struct op_line *line), void *context);
static inline bool op_same_cut(const struct tensor *a, const struct tensor *b)
{
    return a->rows == b->rows && a->cols == b->cols && shape_equal(a->shape, b->shape);
}

#endif
