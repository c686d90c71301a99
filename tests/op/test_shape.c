/* SPDX-License-Identifier: Apache-2.0 */
/* Moving values: slice, pad_zeros, transpose, reshape, squeeze, expand_dims, along every axis of every rank, forward and back. */
#include "op/boxes.h"

#include "pilaster/op.h"

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

/* perm as the op has it, or the axes reversed. */
static void transpose_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const pil_axes *perm = t->args;
    struct shape in = shape_with_batch(t->inputs[0].shape, rows), out = shape_with_batch(t->outputs[0], rows);
    int64_t index[SHAPE_MAX_RANK] = { 0 }, from[SHAPE_MAX_RANK];
    for (int64_t n = 0; n < shape_elements(out); n++) {
        for (int i = 0; i < in.rank; i++)
            from[perm->count ? axis_of(perm->items[i], in) : in.rank - 1 - i] = index[i];
        y[0][n] = x[0][flat(in, from)];
        for (int i = out.rank - 1; i >= 0 && ++index[i] == out.dims[i]; i--)
            index[i] = 0;
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
    static const struct {
        struct shape shape;
        pil_axes perm;
    } list[] = {
        { { 2, { 3, 18 } }, { 0, { 0 } } },
        { { 2, { 1, 4 } }, { 2, { 1, 0 } } },
        { { 2, { 3, 18 } }, { 2, { 0, 1 } } },
        { { 3, { 2, 3, 4 } }, { 0, { 0 } } },
        { { 3, { 2, 3, 4 } }, { 3, { 0, 2, 1 } } },
        { { 3, { 2, 3, 4 } }, { 3, { 1, 0, 2 } } },
        { { 3, { 2, 3, 4 } }, { 3, { 1, 2, 0 } } },
        { { 3, { 2, 17, 33 } }, { 3, { 0, -1, 1 } } },
        { { 4, { 2, 3, 4, 5 } }, { 4, { 3, 1, 0, 2 } } },
        { { 1, { 5 } }, { 1, { 0 } } },
        { { 0, { 0 } }, { 0, { 0 } } },
        { { 4, { 2, 3, 4, 5 } }, { 4, { 0, 1, 3, 2 } } },
        { { 3, { BATCH_DIM, 3, 4 } }, { 3, { 0, 2, 1 } } },
        { { 3, { BATCH_DIM, 16, 5 } }, { 3, { 0, -1, 1 } } },
        { { 2, { BATCH_DIM, 5 } }, { 2, { 0, 1 } } },
        { { 4, { BATCH_DIM, 2, 3, 5 } }, { 4, { 0, 3, 1, 2 } } },
        { { 4, { BATCH_DIM, 2, 3, 5 } }, { 4, { 0, 2, 1, 3 } } },
        { { 4, { BATCH_DIM, 2, 3, 5 } }, { 4, { 0, 1, 3, 2 } } },
        { { 1, { BATCH_DIM } }, { 0, { 0 } } },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        struct shape out = list[i].shape;
        for (int a = 0; a < out.rank; a++)
            out.dims[a] = list[i].shape.dims[list[i].perm.count ? axis_of(list[i].perm.items[a], out) : out.rank - 1 - a];
        try_move("transpose", &list[i].perm, list[i].shape, out, transpose_reference);
    }
}

/* The batch becomes the second axis: everything runs whole. */
static void transpose_away(void **state)
{
    (void)state;
    static const pil_axes reversed = { 0, { 0 } };
    static const int64_t widths[] = { 5, 1, 20 };
    for (size_t i = 0; i < COUNT_OF(widths); i++) {
        struct trial t = { .op = "transpose",
                           .args = &reversed,
                           .inputs = { { .shape = { 2, { BATCH_DIM, widths[i] } } } },
                           .input_count = 1,
                           .outputs = { { 2, { widths[i], BATCH_DIM } } },
                           .extent = EXTENT_BATCH,
                           .behaviour = BEHAVIOUR_WHOLE,
                           .reference = transpose_reference };
        try_op(&t);
    }
}

/* [?, 2, 3] with its axes turned and back again: the batch last, in the middle, first. */
static void turn_around(const struct trial *t, struct pil_graph *g, struct pil_tensor *const *x, struct pil_tensor **results)
{
    struct pil_tensor *middle = graph_op1(g, "transpose", &(pil_axes){ 3, { 1, 0, 2 } }, x[0]);
    struct pil_tensor *last = graph_op1(g, "transpose", &(pil_axes){ 3, { 0, 2, 1 } }, middle);
    (void)t;
    assert_true(middle->type.extent == EXTENT_BATCH && last->type.shape.dims[2] == BATCH_DIM);
    results[0] = graph_op1(g, "transpose", &(pil_axes){ 3, { 2, 0, 1 } }, last);
}

static void axes_around_the_batch(const struct trial *t, struct pil_graph *g, struct pil_tensor *const *x,
                                  struct pil_tensor **results)
{
    struct pil_tensor *front = graph_op1(g, "expand_dims", &(struct op_axis_args){ 0 }, x[0]);
    (void)t;
    assert_true(front->type.extent == EXTENT_BATCH && front->type.shape.rank == 4);
    results[0] = graph_op1(g, "squeeze", &(pil_axes){ 1, { 0 } }, front);
}

static void through_other_axes(void **state)
{
    (void)state;
    struct shape shape = { 3, { BATCH_DIM, 2, 3 } };
    struct trial t = { .op = "transpose",
                       .inputs = { { .shape = shape } },
                       .input_count = 1,
                       .outputs = { shape },
                       .extent = EXTENT_ROWS,
                       .behaviour = BEHAVIOUR_WHOLE,
                       .reference = same_reference,
                       .compose = turn_around };
    try_op(&t);
    t.compose = axes_around_the_batch;
    try_op(&t);
}

static void squeeze_and_expand(void **state)
{
    (void)state;
    static const struct {
        struct shape narrow, wide;
        int axis;
    } list[] = {
        { { 2, { BATCH_DIM, 5 } }, { 3, { BATCH_DIM, 1, 5 } }, 1 },
        { { 2, { BATCH_DIM, 5 } }, { 3, { BATCH_DIM, 5, 1 } }, 2 },
        { { 1, { BATCH_DIM } }, { 2, { BATCH_DIM, 1 } }, 1 },
        { { 3, { BATCH_DIM, 2, 3 } }, { 4, { BATCH_DIM, 2, 1, 3 } }, 2 },
        { { 0, { 0 } }, { 1, { 1 } }, 0 },
        { { 1, { 4 } }, { 2, { 1, 4 } }, 0 },
        { { 2, { 3, 4 } }, { 3, { 3, 4, 1 } }, 2 },
        { { 2, { 3, 4 } }, { 3, { 3, 1, 4 } }, 1 },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        for (int back = 0; back < 2; back++) {
            int axis = list[i].axis - (back ? list[i].wide.rank : 0);
            try_move("expand_dims", &(struct op_axis_args){ axis }, list[i].narrow, list[i].wide, same_reference);
            try_move("squeeze", &(pil_axes){ 1, { axis } }, list[i].wide, list[i].narrow, same_reference);
            try_move("squeeze", &(pil_axes){ 0, { 0 } }, list[i].wide, list[i].narrow, same_reference);
        }
    try_move("squeeze", &(pil_axes){ 2, { -1, 1 } }, SHAPE(BATCH_DIM, 1, 3, 1), SHAPE(BATCH_DIM, 3), same_reference);
    try_move("squeeze", &(pil_axes){ 0, { 0 } }, SHAPE(1, 1, 3, 1), SHAPE(3), same_reference);
}

static void zeros_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    (void)x;
    memset(y[0], 0, (size_t)elements(t->outputs[0], rows) * sizeof(double));
}

static void zeros_like(void **state)
{
    (void)state;
    for (size_t b = 0; b < COUNT_OF(boxes); b++) {
        bool rows = has_rows(boxes[b].shape);
        struct trial t = { .op = "zeros_like",
                           .inputs = { { .shape = boxes[b].shape, .data = true } },
                           .input_count = 1,
                           .no_gradient = true,
                           .outputs = { boxes[b].shape },
                           .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                           .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                           .reference = zeros_reference };
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
    static const pil_axes pair = { 2, { 1, 0 } }, same = { 2, { 1, -1 } }, beyond = { 2, { 0, 2 } }, first = { 1, { 0 } };
    static const struct op_axis_args far = { 3 };
    static const struct op_slice_args batch = { 0, 0, 1 }, late = { 1, 2, 2 }, early = { 1, -1, 2 }, negative = { 1, 1, -1 },
                                      huge = { 1, 1, INT64_MAX }, absent = { 2, 0, 1 };
    static const struct op_pad_args narrow = { 1, 1, 3 }, before = { 1, -1, 9 }, wrap = { 1, INT64_MAX, 9 }, rows = { 0, 0, 9 },
                                    nowhere = { 4, 0, 9 };
    static const struct op_reshape_args seven = { { 2, { BATCH_DIM, 7 } } }, lost = { { 1, { 3 } } },
                                        open = { { 3, { BATCH_DIM, -1, -1 } } }, odd = { { 2, { BATCH_DIM, 4 } } },
                                        uneven = { { 2, { -1, 4 } } }, vast = { { 3, { BATCH_DIM, INT64_MAX, INT64_MAX } } };
    static const struct refusal list[] = {
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
        { "transpose", &pair, "perm has 2 numbers for 3 axes", 1, { ROWS_OF(3, 4) } },
        { "transpose", &same, "perm must name every axis once", 1, { ROWS_OF(3) } },
        { "transpose", &beyond, "perm must name every axis once", 1, { DENSE(3, 4) } },
        { "transpose", &pair, "a sparse tensor cannot be transposed", 1, { IDS } },
        { "expand_dims", &far, "axis 3 does not exist in a tensor of rank 3", 1, { ROWS_OF(3) } },
        { "expand_dims", &far, "8 axes are the most", 1, { DENSE(1, 1, 1, 1, 1, 1, 1, 1) } },
        { "expand_dims", &far, "a dense tensor is needed", 1, { IDS } },
        { "squeeze", &pair, "axis 1 of [?, 3] is not of size 1", 1, { ROWS_OF(3) } },
        { "squeeze", &first, "axis 0 of [?, 1] is not of size 1", 1, { ROWS_OF(1) } },
        { "squeeze", &beyond, "axis 2 does not exist", 1, { DENSE(1, 1) } },
        { "squeeze", &pair, "a dense tensor is needed", 1, { IDS } },
        { "zeros_like", NULL, "a dense tensor is needed", 1, { IDS } },
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
    static const pil_axes orders[] = { { 3, { 0, 1, 2 } }, { 3, { 0, 2, 1 } }, { 3, { 1, 0, 2 } },
                                       { 3, { 1, 2, 0 } }, { 3, { 2, 0, 1 } }, { 3, { 2, 1, 0 } },
                                       { 0, { 0 } },       { 1, { 0 } },       { 1, { -2 } } };
    static const struct op_axis_args zero = { 0 }, one = { 1 }, two = { 2 }, back = { -2 };
    static const struct op_slice_args tail = { 1, 1, 9 }, none = { 1, 0, 0 };
    static const struct op_reshape_args extended = { { 4, { 2, 3, 2, 2 } } }, negative = { { 3, { 2, -1, 2 } } },
                                        flat_one = { { 1, { 24 } } }, reduced = { { 2, { 2, 12 } } },
                                        reordered = { { 3, { 4, 2, 3 } } }, zero_dim = { { 4, { 2, 3, 4, 1 } } },
                                        squeezed = { { 3, { 3, 4, 5 } } }, unsqueezed = { { 5, { 3, 1, 4, 5, 1 } } },
                                        flattened = { { 2, { 6, -1 } } };
    static const struct onnx_case list[] = {
        { "Slice/slice_end_out_of_bounds", "slice", &tail, 1, true }, /* the end is cut off before */
        { "Slice/slice_start_out_of_bounds", "slice", &none, 1, true },
        { "Reshape/reshape_extended_dims", "reshape", &extended, 1, false },
        { "Reshape/reshape_negative_dim", "reshape", &negative, 1, false },
        { "Reshape/reshape_one_dim", "reshape", &flat_one, 1, false },
        { "Reshape/reshape_reduced_dims", "reshape", &reduced, 1, false },
        { "Reshape/reshape_reordered_all_dims", "reshape", &reordered, 1, false },
        { "Reshape/reshape_zero_dim", "reshape", &zero_dim, 1, false },
        { "Squeeze/squeeze", "reshape", &squeezed, 1, false },
        { "Transpose/transpose_all_permutations_0", "transpose", &orders[0], 1, true },
        { "Transpose/transpose_all_permutations_1", "transpose", &orders[1], 1, true },
        { "Transpose/transpose_all_permutations_2", "transpose", &orders[2], 1, true },
        { "Transpose/transpose_all_permutations_3", "transpose", &orders[3], 1, true },
        { "Transpose/transpose_all_permutations_4", "transpose", &orders[4], 1, true },
        { "Transpose/transpose_all_permutations_5", "transpose", &orders[5], 1, true },
        { "Transpose/transpose_default", "transpose", &orders[6], 1, true },
        { "Squeeze/squeeze", "squeeze", &orders[7], 1, false },
        { "Squeeze/squeeze_negative_axes", "squeeze", &orders[8], 1, false },
        { "Unsqueeze/unsqueeze_axis_0", "expand_dims", &zero, 1, true },
        { "Unsqueeze/unsqueeze_axis_1", "expand_dims", &one, 1, true },
        { "Unsqueeze/unsqueeze_axis_2", "expand_dims", &two, 1, true },
        { "Unsqueeze/unsqueeze_negative_axes", "expand_dims", &back, 1, true },
        { "Unsqueeze/unsqueeze_two_axes", "reshape", &unsqueezed, 1, false },
        { "Flatten/flatten_axis2", "reshape", &flattened, 1, false },
    };
    onnx_try(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice),
        cmocka_unit_test(transpose),
        cmocka_unit_test(transpose_away),
        cmocka_unit_test(through_other_axes),
        cmocka_unit_test(squeeze_and_expand),
        cmocka_unit_test(zeros_like),
        cmocka_unit_test(reshape),
        cmocka_unit_test(refusals),
        cmocka_unit_test(onnx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
