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
#define OP_ROWS_OF(word)                                                                                                         \
    extern const struct op_rows op_##word##_rows;                                                                                \
    const struct op_rows op_##word##_rows = { rows, COUNT_OF(rows) }

/* ---- arguments ----
 *
 *     static const struct arg axis_arguments[] = { { "axis", &OP_ARG_INT, offsetof(struct op_axis_args, axis), "which axis" } };
 *     { .name = "concat", OP_ARGUMENTS(struct op_axis_args, axis_arguments), ...
 *
 * The base's ARG_BOOL, ARG_INT (of int64_t), ARG_FLOAT, ARG_TEXT and ARG_CHOICE (of an enum, by its words) serve as well. */
#define OP_ARGUMENTS(type, table) .args_size = sizeof(type), .arguments = (table), .argument_count = COUNT_OF(table)
extern const struct arg_type OP_ARG_INT;   /* int */
extern const struct arg_type OP_ARG_DTYPE; /* enum dtype */
extern const struct arg_type OP_ARG_LIST;  /* an array in the struct, with its count */
struct op_list {
    ptrdiff_t count; /* from the array to its count, an int */
    int most;
    bool wide; /* of int64_t, else of int */
};
/* A row of a table. Lists: of a field that is a struct shape, and of one that is a pil_axes. */
/* clang-format off */
#define OP_LIST_ARGUMENT(name, type, items, count, of_wide, help)                                                                \
    { (name), &OP_ARG_LIST, offsetof(type, items), (help),                                                                       \
      .extra = &(const struct op_list){ (ptrdiff_t)offsetof(type, count) - (ptrdiff_t)offsetof(type, items),                     \
                                        (int)(sizeof(((type *)NULL)->items) / ((of_wide) ? sizeof(int64_t) : sizeof(int))), (of_wide) } }
/* clang-format on */
#define OP_SHAPE_ARGUMENT(name, type, field, help) OP_LIST_ARGUMENT(name, type, field.dims, field.rank, true, help)
#define OP_AXES_ARGUMENT(name, type, field, help) OP_LIST_ARGUMENT(name, type, field.items, field.count, false, help)

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
/* The rule of operands that broadcast: they fit each other, and the batch axis of rows stays the first. */
bool op_broadcast_infer(struct op_infer *infer);
/* A gradient's d, summed to input i's shape. */
void op_give_back(struct op_gradient *g, int i, struct pil_tensor *d);
/* Goes through out a line at a time, the operands (of which all but a may be NULL) broadcast: where each begins, in elements, and
 * how far it moves from one of the `count` positions to the next. */
struct op_line {
    int64_t count, out, a, b, c, out_step, a_step, b_step, c_step;
};
void op_broadcast3(const struct tensor *out, const struct tensor *a, const struct tensor *b, const struct tensor *c,
                   void (*along)(void *context, const struct op_line *line), void *context);
void op_broadcast(const struct tensor *out, const struct tensor *a, const struct tensor *b,
                  void (*along)(void *context, const struct op_line *line), void *context);
static inline bool op_same_cut(const struct tensor *a, const struct tensor *b)
{
    return a->rows == b->rows && a->cols == b->cols && shape_equal(a->shape, b->shape);
}

/* ---- box.c: parts of tensors ---- */
/* How far a view's elements are apart along each axis, in elements. */
void op_strides(const struct tensor *tensor, int64_t *strides);
/* Copies a box, `size` elements of `element` bytes along each of at most 2 SHAPE_MAX_RANK axes, between two sets of strides. */
void op_copy_box(size_t element, int rank, const int64_t *size, const void *from, const int64_t *from_strides, void *to,
                 const int64_t *to_strides);
/* Adds a box of floats: to += from. */
void op_add_box(int rank, const int64_t *size, const float *from, const int64_t *from_strides, float *to,
                const int64_t *to_strides);
/* Copies `count` positions of an axis from position `first` of one tensor to position `at` of another. */
void op_copy_part(const struct tensor *from, int64_t first, const struct tensor *to, int64_t at, int64_t count, int axis);
/* An axis that may count from the end, as one of 0 .. rank - 1. */
bool op_find_axis(struct op_infer *infer, int axis, int rank, int *out);
/* The outputs' extents, from where the batch stands in their shapes. */
void op_by_shape(struct op_infer *infer, bool row_by_row);
/* Where within a row position `first` of an axis begins; -1 where a part of the axis is no run of columns. */
int64_t op_part_column(const struct shape *shape, int axis, int64_t first);

/* ---- gather.c: whole numbers that choose, in float32, int32 or int64 ---- */
bool op_check_indices(struct op_infer *infer, int i);
double op_index_at(const struct tensor *indices, int64_t at);
/* Index number `number` of the indices, which stands `at` elements into them, within [0, limit); else -1 and an error. */
int64_t op_index_in(struct op_run *run, const struct tensor *indices, int64_t at, int64_t number, int64_t limit,
                    const char *what);

#endif
