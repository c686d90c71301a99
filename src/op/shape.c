/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving values without changing them, one tensor to one: slice, transpose, reshape, squeeze, expand_dims. A slice of a concat
 * gives a part back, zeros around a slice put it where it was: which is all their gradients need. (Several tensors: split.c.)
 */
#include <string.h>

#include "op/internal.h"
#include "pilaster/op.h"

/* ---- slice: positions first .. first + count of an axis ---- */

static bool slice_infer(struct op_infer *infer)
{
    const struct op_slice_args *args = infer->args;
    int axis;
    struct op_type out = infer->inputs[0];
    if (out.sparse)
        return op_fail(infer, "a sparse tensor cannot be sliced");
    if (!op_find_axis(infer, args->axis, out.shape.rank, &axis))
        return false;
    if (OP_ROWS(out) && axis == 0)
        return op_fail(infer, "the batch axis cannot be sliced");
    if (args->first < 0 || args->count < 0 || args->count > out.shape.dims[axis] - args->first)
        return op_fail(infer, "%lld positions from %lld on do not lie in axis %d of size %lld", (long long)args->count,
                       (long long)args->first, axis, (long long)out.shape.dims[axis]);
    out.shape.dims[axis] = args->count;
    infer->outputs[0] = out;
    op_by_rows(infer);
    return true;
}

static void slice_run(struct op_run *run)
{
    const struct op_slice_args *args = run->args;
    const struct tensor *in = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    op_copy_part(in, args->first, out, 0, args->count, args->axis < 0 ? args->axis + in->shape.rank : args->axis);
}

static int64_t slice_view(const void *arguments, const struct op_type *input, int output)
{
    const struct op_slice_args *args = arguments;
    (void)output;
    return op_part_column(&input->shape, args->axis < 0 ? args->axis + input->shape.rank : args->axis, args->first);
}

/* The gradient of a slice: zeros around it. */
static void slice_gradient(struct op_gradient *g)
{
    const struct op_slice_args *args = g->args;
    struct shape shape = g->type(g->context, g->inputs[0]).shape;
    int axis = args->axis < 0 ? args->axis + shape.rank : args->axis;
    g->input_gradients[0] =
        op_emit1(g, "pad_zeros", &(struct op_pad_args){ axis, args->first, shape.dims[axis] }, g->output_gradients[0]);
}

static bool pad_zeros_infer(struct op_infer *infer)
{
    const struct op_pad_args *args = infer->args;
    struct op_type out = infer->inputs[0];
    int axis;
    if (out.sparse)
        return op_fail(infer, "a sparse tensor cannot be padded");
    if (!op_find_axis(infer, args->axis, out.shape.rank, &axis))
        return false;
    if (out.shape.dims[axis] == BATCH_DIM)
        return op_fail(infer, "the batch axis cannot be padded");
    if (args->first < 0 || args->first > args->total - out.shape.dims[axis])
        return op_fail(infer, "%lld positions from %lld on do not lie in %lld", (long long)out.shape.dims[axis],
                       (long long)args->first, (long long)args->total);
    out.shape.dims[axis] = args->total;
    infer->outputs[0] = out;
    op_by_rows(infer);
    return true;
}

static void clear(const struct tensor *tensor)
{
    size_t size = dtype_size(tensor->dtype);
    for (int64_t r = 0; r < tensor->rows; r++)
        memset((char *)tensor->data + (size_t)(r * tensor->ld) * size, 0, (size_t)tensor->cols * size);
}

static void pad_zeros_run(struct op_run *run)
{
    const struct op_pad_args *args = run->args;
    const struct tensor *in = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    int axis = args->axis < 0 ? args->axis + in->shape.rank : args->axis;
    clear(out);
    op_copy_part(in, 0, out, args->first, in->shape.dims[axis], axis);
}

static void pad_zeros_gradient(struct op_gradient *g)
{
    const struct op_pad_args *args = g->args;
    struct shape shape = g->type(g->context, g->inputs[0]).shape;
    int axis = args->axis < 0 ? args->axis + shape.rank : args->axis;
    g->input_gradients[0] =
        op_emit1(g, "slice", &(struct op_slice_args){ axis, args->first, shape.dims[axis] }, g->output_gradients[0]);
}

/* Zeros of the input's type: what a gradient has where nothing flows back. */
static bool zeros_like_infer(struct op_infer *infer)
{
    if (infer->inputs[0].sparse)
        return op_fail(infer, "a dense tensor is needed");
    return op_like(infer, 0);
}

static void zeros_like_run(struct op_run *run)
{
    clear(&run->outputs[0].tensor);
}

/* ---- transpose: axes in another order. Where the batch does not stay the first, rows are mixed and it runs whole. ---- */

/* The order of the axes, all of them reversed where none is given; false: it is none. */
static bool find_order(const pil_axes *perm, int rank, int *order)
{
    int seen = 0;
    for (int i = 0; i < rank; i++) {
        int axis = perm->count ? perm->items[i] : rank - 1 - i;
        order[i] = axis < 0 ? axis + rank : axis;
        if (order[i] < 0 || order[i] >= rank || (seen & 1 << order[i]))
            return false;
        seen |= 1 << order[i];
    }
    return true;
}

static bool transpose_infer(struct op_infer *infer)
{
    const pil_axes *perm = infer->args;
    struct op_type x = infer->inputs[0], *out = &infer->outputs[0];
    int order[SHAPE_MAX_RANK];
    if (x.sparse)
        return op_fail(infer, "a sparse tensor cannot be transposed");
    if (perm->count && perm->count != x.shape.rank)
        return op_fail(infer, "perm has %d numbers for %d axes", perm->count, x.shape.rank);
    if (!find_order(perm, x.shape.rank, order))
        return op_fail(infer, "perm must name every axis once");
    *out = x;
    for (int i = 0; i < x.shape.rank; i++)
        out->shape.dims[i] = x.shape.dims[order[i]];
    op_by_shape(infer, OP_ROWS(x) && order[0] == 0);
    return true;
}

/* Of floats the last two axes alone: matrices. */
static bool swaps_matrices(const struct tensor *in, const int *order)
{
    int rank = in->shape.rank;
    for (int i = 0; i < rank - 2; i++)
        if (order[i] != i)
            return false;
    return in->dtype == DTYPE_FLOAT32 && rank >= 2 && order[rank - 1] == rank - 2;
}

static void swap_matrices(const struct op_run *run, const int64_t *a, const int64_t *b)
{
    const struct tensor *in = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    const struct shape *shape = &in->shape;
    int lead = shape->rank - 2;
    int64_t index[SHAPE_MAX_RANK] = { 0 }, count = 1;
    for (int i = 0; i < lead; i++)
        count *= shape->dims[i];
    for (int64_t n = 0; n < count; n++) {
        int64_t from = 0, to = 0;
        for (int i = 0; i < lead; i++) {
            from += index[i] * a[i];
            to += index[i] * b[i];
        }
        run->kernels->transpose(tensor_floats(in) + from, shape->dims[lead], shape->dims[lead + 1], a[lead],
                                tensor_floats(out) + to, b[lead]);
        for (int i = lead - 1; i >= 0 && ++index[i] == shape->dims[i]; i--)
            index[i] = 0;
    }
}

static void transpose_run(struct op_run *run)
{
    const struct tensor *in = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    int64_t a[SHAPE_MAX_RANK], b[SHAPE_MAX_RANK], from[SHAPE_MAX_RANK];
    int order[SHAPE_MAX_RANK], rank = in->shape.rank;
    find_order(run->args, rank, order);
    op_strides(in, a);
    op_strides(out, b);
    if (swaps_matrices(in, order)) {
        swap_matrices(run, a, b);
        return;
    }
    for (int i = 0; i < rank; i++)
        from[i] = a[order[i]];
    op_copy_box(dtype_size(in->dtype), rank, out->shape.dims, in->data, from, out->data, b);
}

static void transpose_gradient(struct op_gradient *g)
{
    pil_axes back = { .count = g->type(g->context, g->inputs[0]).shape.rank };
    int order[SHAPE_MAX_RANK];
    find_order(g->args, back.count, order);
    for (int i = 0; i < back.count; i++)
        back.items[order[i]] = i;
    g->input_gradients[0] = op_emit1(g, "transpose", &back, g->output_gradients[0]);
}

/* ---- reshape: the same elements in row-major order, the batch axis stays the first ---- */

static bool reshape_infer(struct op_infer *infer)
{
    const struct op_reshape_args *args = infer->args;
    struct op_type out = infer->inputs[0];
    if (out.sparse)
        return op_fail(infer, "a sparse tensor cannot be reshaped");
    bool rows = OP_ROWS(out);
    struct shape from = out.shape, to = args->shape;
    if (rows) { /* row by row: compare what a row holds */
        if (to.rank < 1 || to.dims[0] != BATCH_DIM)
            return op_fail(infer, "the batch axis must stay the first");
        from.dims[0] = to.dims[0] = 1;
    }
    int64_t have = shape_elements(from);
    int free_axis = -1;
    for (int i = 0; i < to.rank; i++) {
        if (to.dims[i] < 0 && free_axis >= 0)
            return op_fail(infer, "only one axis can be left open");
        free_axis = to.dims[i] < 0 ? i : free_axis;
    }
    if (free_axis >= 0) {
        to.dims[free_axis] = 1;
        int64_t known = shape_elements(to);
        to.dims[free_axis] = known > 0 ? have / known : 0;
    }
    if (have < 0 || shape_elements(to) != have) {
        char text[128];
        return op_fail(infer, "cannot become %s", shape_text(args->shape, text));
    }
    if (rows)
        to.dims[0] = BATCH_DIM;
    out.shape = to;
    infer->outputs[0] = out;
    op_by_rows(infer);
    return true;
}

static void reshape_run(struct op_run *run)
{
    tensor_copy(&run->inputs[0].tensor, &run->outputs[0].tensor);
}

static void reshape_gradient(struct op_gradient *g)
{
    struct op_reshape_args args = { g->type(g->context, g->inputs[0]).shape };
    g->input_gradients[0] = op_emit1(g, "reshape", &args, g->output_gradients[0]);
}

/* Rows stay as they lie. */
static int64_t whole_view(const void *args, const struct op_type *input, int output)
{
    (void)args;
    (void)input;
    (void)output;
    return 0;
}

/* ---- expand_dims and squeeze: axes of size 1 more or less. In front of the batch they make it another axis, so they run whole.
 * ---- */

static bool expand_dims_infer(struct op_infer *infer)
{
    const struct op_axis_args *args = infer->args;
    struct op_type x = infer->inputs[0], *out = &infer->outputs[0];
    int axis;
    if (x.sparse)
        return op_fail(infer, "a dense tensor is needed");
    if (x.shape.rank == SHAPE_MAX_RANK)
        return op_fail(infer, "%d axes are the most there can be", SHAPE_MAX_RANK);
    if (!op_find_axis(infer, args->axis, x.shape.rank + 1, &axis))
        return false;
    *out = x;
    out->shape.rank++;
    for (int i = x.shape.rank; i > axis; i--)
        out->shape.dims[i] = x.shape.dims[i - 1];
    out->shape.dims[axis] = 1;
    op_by_shape(infer, OP_ROWS(x) && axis > 0);
    return true;
}

static void expand_dims_gradient(struct op_gradient *g)
{
    const struct op_axis_args *args = g->args;
    int rank = g->type(g->context, g->outputs[0]).shape.rank;
    g->input_gradients[0] =
        op_emit1(g, "squeeze", &(pil_axes){ 1, { args->axis < 0 ? args->axis + rank : args->axis } }, g->output_gradients[0]);
}

/* Which axes go, as bits: those named, or all of size 1. */
static bool find_squeezed(struct op_infer *infer, const pil_axes *axes, const struct shape *shape, int *gone)
{
    *gone = 0;
    for (int i = 0; i < (axes->count ? axes->count : shape->rank); i++) {
        int axis = i;
        if (axes->count && !op_find_axis(infer, axes->items[i], shape->rank, &axis))
            return false;
        if (axes->count && shape->dims[axis] != 1) {
            char text[128];
            return op_fail(infer, "axis %d of %s is not of size 1", axis, shape_text(*shape, text));
        }
        *gone |= (shape->dims[axis] == 1) << axis;
    }
    return true;
}

static bool squeeze_infer(struct op_infer *infer)
{
    struct op_type x = infer->inputs[0], *out = &infer->outputs[0];
    int gone, kept = 0;
    if (x.sparse)
        return op_fail(infer, "a dense tensor is needed");
    if (!find_squeezed(infer, infer->args, &x.shape, &gone))
        return false;
    *out = (struct op_type){ .dtype = x.dtype };
    for (int i = 0; i < x.shape.rank; i++)
        if (!(gone & 1 << i))
            out->shape.dims[kept++] = x.shape.dims[i];
    out->shape.rank = kept;
    op_by_shape(infer, OP_ROWS(x));
    return true;
}

static void squeeze_gradient(struct op_gradient *g)
{
    const pil_axes *axes = g->args;
    struct shape shape = g->type(g->context, g->inputs[0]).shape;
    int gone = 0;
    for (int i = 0; i < (axes->count ? axes->count : shape.rank); i++) {
        int axis = axes->count ? axes->items[i] : i;
        axis = axis < 0 ? axis + shape.rank : axis;
        gone |= (shape.dims[axis] == 1) << axis;
    }
    g->input_gradients[0] = g->output_gradients[0];
    for (int i = 0; i < shape.rank; i++)
        if (gone & 1 << i)
            g->input_gradients[0] = op_emit1(g, "expand_dims", &(struct op_axis_args){ i }, g->input_gradients[0]);
}

static const struct arg slice_arguments[] = {
    { "axis", &OP_ARG_INT, offsetof(struct op_slice_args, axis), "which axis; from the end where below 0" },
    { "first", &ARG_INT, offsetof(struct op_slice_args, first), "the first position" },
    { "count", &ARG_INT, offsetof(struct op_slice_args, count), "how many positions" },
};
static const struct arg pad_zeros_arguments[] = {
    { "axis", &OP_ARG_INT, offsetof(struct op_pad_args, axis), "which axis; from the end where below 0" },
    { "first", &ARG_INT, offsetof(struct op_pad_args, first), "where the input begins" },
    { "total", &ARG_INT, offsetof(struct op_pad_args, total), "how many positions there are" },
};
static const struct arg transpose_arguments[] = {
    OP_LIST_ARGUMENT("perm", pil_axes, items, count, false, "the input's axes in their new order; none: reversed"),
};
static const struct arg reshape_arguments[] = {
    OP_SHAPE_ARGUMENT("shape", struct op_reshape_args, shape, "the result's; -1: what is left, and the batch"),
};
static const struct arg expand_dims_arguments[] = {
    { "axis", &OP_ARG_INT, offsetof(struct op_axis_args, axis), "where in the result the new axis stands" },
};
static const struct arg squeeze_arguments[] = {
    OP_LIST_ARGUMENT("axis", pil_axes, items, count, false, "which axes go; none: all of size 1 but the batch"),
};

static const struct op_row rows[] = {
    { .name = "slice",
      .help = "some positions of an axis",
      OP_ARGUMENTS(struct op_slice_args, slice_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = slice_infer,
      .run = slice_run,
      .gradient = slice_gradient,
      .view = slice_view },
    { .name = "pad_zeros",
      .help = "a slice put back among zeros",
      OP_ARGUMENTS(struct op_pad_args, pad_zeros_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = pad_zeros_infer,
      .run = pad_zeros_run,
      .gradient = pad_zeros_gradient },
    { .name = "zeros_like",
      .help = "zeros of a tensor's type",
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = zeros_like_infer,
      .run = zeros_like_run },
    { .name = "transpose",
      .help = "axes in another order",
      OP_ARGUMENTS(pil_axes, transpose_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = transpose_infer,
      .run = transpose_run,
      .gradient = transpose_gradient },
    { .name = "reshape",
      .help = "the same elements in another shape",
      OP_ARGUMENTS(struct op_reshape_args, reshape_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = reshape_infer,
      .run = reshape_run,
      .gradient = reshape_gradient,
      .view = whole_view },
    { .name = "expand_dims",
      .help = "an axis of size 1 more",
      OP_ARGUMENTS(struct op_axis_args, expand_dims_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = expand_dims_infer,
      .run = reshape_run,
      .gradient = expand_dims_gradient,
      .view = whole_view },
    { .name = "squeeze",
      .help = "axes of size 1 less",
      OP_ARGUMENTS(pil_axes, squeeze_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = squeeze_infer,
      .run = reshape_run,
      .gradient = squeeze_gradient,
      .view = whole_view },
};
OP_ROWS_OF(shape);
