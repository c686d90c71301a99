/* SPDX-License-Identifier: Apache-2.0 */
/* Moving values: concat, slice, pad_zeros, transpose, reshape, along every axis of every rank, forward and back. */
#include "op/onnx.h"
#include "op/refusals.h"

/* The flat position of `index` in a contiguous tensor. */
static int64_t flat(struct shape shape, const int64_t *index)
{
    int64_t at = 0;
    for (int axis = 0; axis < shape.rank; axis++)
        at = at * shape.dims[axis] + index[axis];
    return at;
}

/* Copies all of `from` into `to`, `shift` positions further on along `axis`; where the shift is negative, what falls out is left. */
static void copy_shifted(const double *from, struct shape a, double *to, struct shape b, int axis, int64_t shift)
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

static int axis_of(int axis, struct shape shape)
{
    return axis < 0 ? axis + shape.rank : axis;
}

static void concat_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    struct shape out = shape_with_batch(t->outputs[0], rows);
    int axis = axis_of(((const struct op_axis_args *)t->args)->axis, out);
    int64_t at = 0;
    for (int i = 0; i < t->input_count; i++) {
        struct shape in = shape_with_batch(t->inputs[i].shape, rows);
        copy_shifted(x[i], in, y[0], out, axis, at);
        at += in.dims[axis];
    }
}

static void slice_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const struct op_slice_args *args = t->args;
    struct shape in = shape_with_batch(t->inputs[0].shape, rows), out = shape_with_batch(t->outputs[0], rows);
    copy_shifted(x[0], in, y[0], out, axis_of(args->axis, in), -args->first);
}

static void pad_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const struct op_pad_args *args = t->args;
    struct shape in = shape_with_batch(t->inputs[0].shape, rows), out = shape_with_batch(t->outputs[0], rows);
    memset(y[0], 0, (size_t)shape_elements(out) * sizeof(double));
    copy_shifted(x[0], in, y[0], out, axis_of(args->axis, in), args->first);
}

static void same_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    memcpy(y[0], x[0], (size_t)elements(t->outputs[0], rows) * sizeof(double));
}

static void transpose_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    struct shape in = shape_with_batch(t->inputs[0].shape, rows);
    for (int64_t r = 0; r < in.dims[0]; r++)
        for (int64_t c = 0; c < in.dims[1]; c++)
            y[0][c * in.dims[0] + r] = x[0][r * in.dims[1] + c];
}

/* One input, row by row where it has rows. */
static void try_move(const char *op, const void *args, struct shape in, struct shape out,
                     void (*reference)(const struct trial *, int64_t, double *const *, double *const *))
{
    bool rows = has_rows(in);
    struct trial t = { .op = op, .args = args, .inputs = { { .shape = in } }, .input_count = 1, .outputs = { out },
                       .extent = rows ? EXTENT_ROWS : EXTENT_FIXED, .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                       .reference = reference };
    try_op(&t);
}

/* Shapes and the first axis that may be cut in them. */
static const struct {
    struct shape shape;
    int first_axis;
} boxes[] = {
    { { 2, { BATCH_DIM, 5 } }, 1 }, { { 2, { BATCH_DIM, 21 } }, 1 },   { { 3, { BATCH_DIM, 3, 4 } }, 1 }, { { 4, { BATCH_DIM, 2, 3, 2 } }, 1 },
    { { 1, { 6 } }, 0 },            { { 2, { 4, 5 } }, 0 },            { { 3, { 2, 3, 4 } }, 0 },
};

static void concat(void **state)
{
    (void)state;
    for (size_t b = 0; b < COUNT_OF(boxes); b++)
        for (int axis = boxes[b].first_axis; axis < boxes[b].shape.rank; axis++)
            for (int back = 0; back < 2; back++) {
                struct op_axis_args args = { back ? axis - boxes[b].shape.rank : axis };
                bool rows = has_rows(boxes[b].shape);
                struct trial t = { .op = "concat", .args = &args, .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                                   .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE, .reference = concat_reference,
                                   .outputs = { boxes[b].shape } };
                t.outputs[0].dims[axis] = 0;
                for (int i = 0; i < 4; i++) { /* of sizes 1, 2, 3, ... and the box's own */
                    t.inputs[i].shape = boxes[b].shape;
                    t.inputs[i].shape.dims[axis] = i < 3 ? i + 1 : boxes[b].shape.dims[axis];
                    t.outputs[0].dims[axis] += t.inputs[i].shape.dims[axis];
                    t.input_count = i + 1;
                    try_op(&t);
                }
            }
}

static void slice(void **state)
{
    (void)state;
    for (size_t b = 0; b < COUNT_OF(boxes); b++)
        for (int axis = boxes[b].first_axis; axis < boxes[b].shape.rank; axis++) {
            int64_t size = boxes[b].shape.dims[axis];
            for (int64_t first = 0; first < size; first += MAX(size / 3, 1)) {
                struct op_slice_args args = { axis - (first % 2 ? boxes[b].shape.rank : 0), first, MIN(2, size - first) };
                struct shape out = boxes[b].shape;
                out.dims[axis] = args.count;
                try_move("slice", &args, boxes[b].shape, out, slice_reference);
                struct op_pad_args pad = { args.axis, first, size };
                try_move("pad_zeros", &pad, out, boxes[b].shape, pad_reference);
            }
        }
}

static void transpose(void **state)
{
    (void)state;
    static const struct shape shapes[] = { { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 20 } }, { 2, { 3, 18 } }, { 2, { 1, 4 } } };
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        bool rows = has_rows(shapes[i]);
        struct trial t = { .op = "transpose", .inputs = { { .shape = shapes[i] } }, .input_count = 1,
                           .outputs = { { 2, { shapes[i].dims[1], shapes[i].dims[0] } } }, .extent = rows ? EXTENT_BATCH : EXTENT_FIXED,
                           .behaviour = BEHAVIOUR_WHOLE, .reference = transpose_reference };
        try_op(&t);
    }
}

static void reshape(void **state)
{
    (void)state;
    static const struct {
        struct shape in, args, out;
    } list[] = {
        { { 2, { BATCH_DIM, 6 } }, { 3, { BATCH_DIM, 2, 3 } }, { 3, { BATCH_DIM, 2, 3 } } },
        { { 3, { BATCH_DIM, 4, 5 } }, { 2, { BATCH_DIM, -1 } }, { 2, { BATCH_DIM, 20 } } },
        { { 2, { BATCH_DIM, 1 } }, { 1, { BATCH_DIM } }, { 1, { BATCH_DIM } } },
        { { 1, { BATCH_DIM } }, { 3, { BATCH_DIM, 1, -1 } }, { 3, { BATCH_DIM, 1, 1 } } },
        { { 4, { BATCH_DIM, 2, 3, 4 } }, { 3, { BATCH_DIM, -1, 8 } }, { 3, { BATCH_DIM, 3, 8 } } },
        { { 2, { 4, 5 } }, { 1, { -1 } }, { 1, { 20 } } },
        { { 1, { 24 } }, { 3, { 2, -1, 4 } }, { 3, { 2, 3, 4 } } },
        { { 3, { 2, 3, 4 } }, { 2, { 6, 4 } }, { 2, { 6, 4 } } },
        { { 2, { 1, 1 } }, { 0, { 0 } }, { 0, { 0 } } },
        { { 0, { 0 } }, { 1, { -1 } }, { 1, { 1 } } },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        try_move("reshape", &(struct op_reshape_args){ list[i].args }, list[i].in, list[i].out, same_reference);
}

static void refusals(void **state)
{
    (void)state;
    static const struct op_axis_args zero = { 0 }, one = { 1 }, three = { 3 }, far_back = { -3 };
    static const struct op_slice_args batch = { 0, 0, 1 }, late = { 1, 2, 2 }, early = { 1, -1, 2 }, negative = { 1, 1, -1 },
                                      huge = { 1, 1, INT64_MAX }, absent = { 2, 0, 1 };
    static const struct op_pad_args narrow = { 1, 1, 3 }, before = { 1, -1, 9 }, wrap = { 1, INT64_MAX, 9 }, rows = { 0, 0, 9 }, nowhere = { 4, 0, 9 };
    static const struct op_reshape_args seven = { { 2, { BATCH_DIM, 7 } } }, lost = { { 1, { 3 } } }, open = { { 3, { BATCH_DIM, -1, -1 } } },
                                        odd = { { 2, { BATCH_DIM, 4 } } }, uneven = { { 2, { -1, 4 } } },
                                        vast = { { 3, { BATCH_DIM, INT64_MAX, INT64_MAX } } };
    static const struct refusal list[] = {
        { "concat", &one, "takes 1 or more inputs, got 0", 0, { { 0 } } },
        { "concat", &three, "axis 3 does not exist in a tensor of rank 2", 2, { ROWS_OF(3), ROWS_OF(3) } },
        { "concat", &far_back, "axis -3 does not exist", 1, { ROWS_OF(3) } },
        { "concat", &zero, "cannot be joined along the batch axis", 2, { ROWS_OF(3), ROWS_OF(3) } },
        { "concat", &one, "cannot be joined along the batch axis", 2, { TURNED(3), TURNED(3) } },
        { "concat", &one, "input 2 differs in axis 0", 2, { ROWS_OF(3), DENSE(2, 3) } },
        { "concat", &one, "input 2 has another type or rank", 2, { ROWS_OF(3), ONE_A_ROW } },
        { "concat", &one, "input 2 has another type or rank", 2, { ROWS_OF(3), INTEGERS(3) } },
        { "concat", &zero, "input 1 has another type or rank", 1, { IDS } },
        { "slice", &batch, "the batch axis cannot be sliced", 1, { ROWS_OF(3) } },
        { "slice", &late, "2 positions from 2 on do not lie in axis 1 of size 3", 1, { ROWS_OF(3) } },
        { "slice", &early, "do not lie", 1, { ROWS_OF(3) } },
        { "slice", &negative, "do not lie", 1, { ROWS_OF(3) } },
        { "slice", &huge, "do not lie", 1, { ROWS_OF(3) } },
        { "slice", &late, "do not lie in axis 1 of size -1", 1, { TURNED(3) } },
        { "slice", &absent, "axis 2 does not exist", 1, { ROWS_OF(3) } },
        { "slice", &batch, "a sparse tensor cannot be sliced", 1, { IDS } },
        { "pad_zeros", &narrow, "3 positions from 1 on do not lie in 3", 1, { ROWS_OF(3) } },
        { "pad_zeros", &before, "do not lie in 9", 1, { ROWS_OF(3) } },
        { "pad_zeros", &wrap, "do not lie in 9", 1, { ROWS_OF(3) } },
        { "pad_zeros", &rows, "the batch axis cannot be padded", 1, { ROWS_OF(3) } },
        { "pad_zeros", &nowhere, "axis 4 does not exist", 1, { ROWS_OF(3) } },
        { "pad_zeros", &rows, "a sparse tensor cannot be padded", 1, { IDS } },
        { "transpose", NULL, "a matrix is needed", 1, { ROWS_OF(3, 4) } },
        { "transpose", NULL, "a matrix is needed", 1, { DENSE(3) } },
        { "transpose", NULL, "input 1 is sparse", 1, { IDS } },
        { "transpose", NULL, "input 1 is float64", 1, { FLOAT64(2, 3) } },
        { "reshape", &seven, "cannot become [?, 7]", 1, { ROWS_OF(3) } },
        { "reshape", &lost, "the batch axis must stay the first", 1, { ROWS_OF(3) } },
        { "reshape", &open, "only one axis can be left open", 1, { ROWS_OF(6) } },
        { "reshape", &odd, "cannot become [?, 4]", 1, { ROWS_OF(2, 3) } },
        { "reshape", &uneven, "cannot become [?, 4]", 1, { DENSE(2, 3) } },
        { "reshape", &vast, "cannot become", 1, { ROWS_OF(6) } },
        { "reshape", &lost, "a sparse tensor cannot be reshaped", 1, { IDS } },
        { "reshape", &lost, "cannot become [3]", 1, { TURNED(3) } },
    };
    check_refusals(list, COUNT_OF(list));
}

static void onnx(void **state)
{
    (void)state;
    static const struct op_axis_args zero = { 0 }, one = { 1 }, two = { 2 }, last = { -1 }, before = { -2 }, third = { -3 };
    static const struct op_slice_args tail = { 1, 1, 9 }, none = { 1, 0, 0 };
    static const struct op_reshape_args extended = { { 4, { 2, 3, 2, 2 } } }, negative = { { 3, { 2, -1, 2 } } }, flat_one = { { 1, { 24 } } },
                                        reduced = { { 2, { 2, 12 } } }, reordered = { { 3, { 4, 2, 3 } } }, zero_dim = { { 4, { 2, 3, 4, 1 } } },
                                        squeezed = { { 3, { 3, 4, 5 } } }, unsqueezed = { { 5, { 3, 1, 4, 5, 1 } } }, flattened = { { 2, { 6, -1 } } };
    static const struct onnx_case list[] = {
        { "Concat/concat_1d_axis_0", "concat", &zero, 2, false },
        { "Concat/concat_1d_axis_negative_1", "concat", &last, 2, false },
        { "Concat/concat_2d_axis_0", "concat", &zero, 2, false },
        { "Concat/concat_2d_axis_1", "concat", &one, 2, true },
        { "Concat/concat_2d_axis_negative_1", "concat", &last, 2, true },
        { "Concat/concat_2d_axis_negative_2", "concat", &before, 2, false },
        { "Concat/concat_3d_axis_0", "concat", &zero, 2, false },
        { "Concat/concat_3d_axis_1", "concat", &one, 2, true },
        { "Concat/concat_3d_axis_2", "concat", &two, 2, true },
        { "Concat/concat_3d_axis_negative_1", "concat", &last, 2, true },
        { "Concat/concat_3d_axis_negative_2", "concat", &before, 2, true },
        { "Concat/concat_3d_axis_negative_3", "concat", &third, 2, false },
        { "Slice/slice_end_out_of_bounds", "slice", &tail, 1, true }, /* the end is cut off before */
        { "Slice/slice_start_out_of_bounds", "slice", &none, 1, true },
        { "Reshape/reshape_extended_dims", "reshape", &extended, 1, false },
        { "Reshape/reshape_negative_dim", "reshape", &negative, 1, false },
        { "Reshape/reshape_one_dim", "reshape", &flat_one, 1, false },
        { "Reshape/reshape_reduced_dims", "reshape", &reduced, 1, false },
        { "Reshape/reshape_reordered_all_dims", "reshape", &reordered, 1, false },
        { "Reshape/reshape_zero_dim", "reshape", &zero_dim, 1, false },
        { "Squeeze/squeeze", "reshape", &squeezed, 1, false },
        { "Unsqueeze/unsqueeze_two_axes", "reshape", &unsqueezed, 1, false },
        { "Flatten/flatten_axis2", "reshape", &flattened, 1, false },
    };
    onnx_try(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(concat), cmocka_unit_test(slice), cmocka_unit_test(transpose),
                                        cmocka_unit_test(reshape), cmocka_unit_test(refusals), cmocka_unit_test(onnx) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
