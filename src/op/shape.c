/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving values without changing them: concat, slice, transpose, reshape. A slice of a concat gives a part back, zeros around a
 * slice put it where it was: which is all their gradients need.
 */
#include <string.h>

#include "op/internal.h"

/* Normalises an axis that may count from the end. */
static bool find_axis(struct op_infer *infer, int axis, int rank, int *out)
{
    *out = axis < 0 ? axis + rank : axis;
    if (*out < 0 || *out >= rank)
        return op_fail(infer, "axis %d does not exist in a tensor of rank %d", axis, rank);
    return true;
}

/* Copies `count` positions of `axis` from position `from` of one view to position `to` of another. */
static void copy_along(const struct tensor *source, int64_t from, const struct tensor *target, int64_t to, int64_t count, int axis)
{
    size_t size = dtype_size(source->dtype);
    int rank = source->shape.rank;
    bool columns = rank == 2 && axis == 1;
    if (columns && size == sizeof(float) && count <= 4) { /* a number or two a row: a call each would cost more than the copy */
        for (int64_t r = 0; r < source->rows; r++)
            for (int64_t c = 0; c < count; c++)
                memcpy((float *)target->data + r * target->ld + to + c, (const float *)source->data + r * source->ld + from + c, sizeof(float));
        return;
    }
    if (columns) {
        for (int64_t r = 0; r < source->rows; r++)
            memcpy((char *)target->data + (size_t)(r * target->ld + to) * size,
                   (const char *)source->data + (size_t)(r * source->ld + from) * size, (size_t)count * size);
        return;
    }
    struct shape box = source->shape;
    box.dims[axis] = count;
    int64_t index[SHAPE_MAX_RANK] = { 0 };
    for (int64_t n = shape_elements(box); n > 0; n--) {
        int64_t a[SHAPE_MAX_RANK], b[SHAPE_MAX_RANK];
        memcpy(a, index, sizeof a);
        memcpy(b, index, sizeof b);
        a[axis] += from;
        b[axis] += to;
        memcpy((char *)target->data + (size_t)op_offset(target, b) * size, (const char *)source->data + (size_t)op_offset(source, a) * size,
               size);
        for (int i = rank - 1; i >= 0 && ++index[i] == box.dims[i]; i--)
            index[i] = 0;
    }
}

/* ---- concat: tensors that differ in one axis only, one behind the other ---- */

static bool concat_infer(struct op_infer *infer)
{
    const struct op_axis_args *args = infer->args;
    int axis, rank = infer->inputs[0].shape.rank;
    if (!find_axis(infer, args->axis, rank, &axis))
        return false;
    struct op_type out = infer->inputs[0];
    int64_t sum = 0;
    for (int i = 0; i < infer->input_count; i++) {
        const struct op_type *in = &infer->inputs[i];
        if (in->sparse || in->dtype != out.dtype || in->shape.rank != rank)
            return op_fail(infer, "input %d has another type or rank", i + 1);
        for (int a = 0; a < rank; a++)
            if (a != axis && in->shape.dims[a] != out.shape.dims[a])
                return op_fail(infer, "input %d differs in axis %d", i + 1, a);
        if (in->shape.dims[axis] == BATCH_DIM)
            return op_fail(infer, "input %d cannot be joined along the batch axis", i + 1);
        sum += in->shape.dims[axis];
    }
    out.shape.dims[axis] = sum;
    infer->outputs[0] = out;
    op_by_rows(infer);
    return true;
}

static void concat_run(struct op_run *run)
{
    const struct op_axis_args *args = run->args;
    const struct tensor *out = &run->outputs[0].tensor;
    int axis = args->axis < 0 ? args->axis + out->shape.rank : args->axis;
    int64_t at = 0;
    for (int i = 0; i < run->input_count; i++) {
        const struct tensor *in = &run->inputs[i].tensor;
        if ((const char *)in->data != (const char *)out->data + (size_t)at * dtype_size(out->dtype)) /* else written in place */
            copy_along(in, 0, out, at, in->shape.dims[axis], axis);
        at += in->shape.dims[axis];
    }
}

static void concat_gradient(struct op_gradient *g)
{
    const struct op_axis_args *args = g->args;
    int64_t at = 0;
    for (int i = 0; i < g->input_count; i++) {
        struct shape shape = g->type(g->context, g->inputs[i]).shape;
        int axis = args->axis < 0 ? args->axis + shape.rank : args->axis;
        if (g->wanted[i])
            g->input_gradients[i] = op_emit1(g, "slice", &(struct op_slice_args){ axis, at, shape.dims[axis] }, g->output_gradients[0]);
        at += shape.dims[axis];
    }
}

/* ---- slice: positions first .. first + count of an axis ---- */

static bool slice_infer(struct op_infer *infer)
{
    const struct op_slice_args *args = infer->args;
    int axis;
    struct op_type out = infer->inputs[0];
    if (out.sparse)
        return op_fail(infer, "a sparse tensor cannot be sliced");
    if (!find_axis(infer, args->axis, out.shape.rank, &axis))
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
    copy_along(in, args->first, out, 0, args->count, args->axis < 0 ? args->axis + in->shape.rank : args->axis);
}

/* The gradient of a slice: zeros around it. */
static void slice_gradient(struct op_gradient *g)
{
    const struct op_slice_args *args = g->args;
    struct shape shape = g->type(g->context, g->inputs[0]).shape;
    int axis = args->axis < 0 ? args->axis + shape.rank : args->axis;
    g->input_gradients[0] = op_emit1(g, "pad_zeros", &(struct op_pad_args){ axis, args->first, shape.dims[axis] }, g->output_gradients[0]);
}

static bool pad_zeros_infer(struct op_infer *infer)
{
    const struct op_pad_args *args = infer->args;
    struct op_type out = infer->inputs[0];
    int axis;
    if (out.sparse)
        return op_fail(infer, "a sparse tensor cannot be padded");
    if (!find_axis(infer, args->axis, out.shape.rank, &axis))
        return false;
    if (out.shape.dims[axis] == BATCH_DIM)
        return op_fail(infer, "the batch axis cannot be padded");
    if (args->first < 0 || args->first > args->total - out.shape.dims[axis])
        return op_fail(infer, "%lld positions from %lld on do not lie in %lld", (long long)out.shape.dims[axis], (long long)args->first,
                       (long long)args->total);
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
    copy_along(in, 0, out, args->first, in->shape.dims[axis], axis);
}

static void pad_zeros_gradient(struct op_gradient *g)
{
    const struct op_pad_args *args = g->args;
    struct shape shape = g->type(g->context, g->inputs[0]).shape;
    int axis = args->axis < 0 ? args->axis + shape.rank : args->axis;
    g->input_gradients[0] = op_emit1(g, "slice", &(struct op_slice_args){ axis, args->first, shape.dims[axis] }, g->output_gradients[0]);
}

/* ---- transpose: a matrix's two axes. Rows become columns and the other way round, so it runs whole. ---- */

static bool transpose_infer(struct op_infer *infer)
{
    struct op_type out = infer->inputs[0];
    if (!op_need_float(infer))
        return false;
    if (out.shape.rank != 2)
        return op_fail(infer, "a matrix is needed");
    out.shape = SHAPE(out.shape.dims[1], out.shape.dims[0]);
    out.extent = out.shape.dims[0] == BATCH_DIM ? EXTENT_ROWS : MIN(out.extent, EXTENT_BATCH);
    infer->outputs[0] = out;
    infer->behaviour = BEHAVIOUR_WHOLE;
    return true;
}

static void transpose_run(struct op_run *run)
{
    const struct tensor *in = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    run->kernels->transpose(tensor_floats(in), in->rows, in->cols, in->ld, tensor_floats(out), out->ld);
}

static void transpose_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit1(g, "transpose", NULL, g->output_gradients[0]);
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

static const struct arg axis_arguments[] = { { "axis", &OP_ARG_INT, offsetof(struct op_axis_args, axis), "which axis" } };
static const struct arg slice_arguments[] = {
    { "axis", &OP_ARG_INT, offsetof(struct op_slice_args, axis), "which axis" },
    { "first", &ARG_INT, offsetof(struct op_slice_args, first), "the first position taken" },
    { "count", &ARG_INT, offsetof(struct op_slice_args, count), "how many are" },
};
static const struct arg pad_arguments[] = {
    { "axis", &OP_ARG_INT, offsetof(struct op_pad_args, axis), "which axis" },
    { "first", &ARG_INT, offsetof(struct op_pad_args, first), "where the input begins" },
    { "total", &ARG_INT, offsetof(struct op_pad_args, total), "positions of the result" },
};
static const struct arg shape_arguments[] = { OP_SHAPE_ARGUMENT("shape", struct op_reshape_args, shape, "the result's; -1 is the batch") };

static const struct op_row rows[] = {
    { .name = "concat", .help = "joins tensors along an axis", OP_ARGUMENTS(struct op_axis_args, axis_arguments), .min_inputs = 1, .max_inputs = -1,
      .flags = OP_TAKES_VIEWS, .infer = concat_infer, .run = concat_run, .gradient = concat_gradient },
    { .name = "slice", .help = "some positions of an axis", OP_ARGUMENTS(struct op_slice_args, slice_arguments), .min_inputs = 1, .max_inputs = 1,
      .flags = OP_VIEW | OP_TAKES_VIEWS, .infer = slice_infer, .run = slice_run, .gradient = slice_gradient },
    { .name = "pad_zeros", .help = "a slice put back among zeros", OP_ARGUMENTS(struct op_pad_args, pad_arguments), .min_inputs = 1, .max_inputs = 1,
      .flags = OP_TAKES_VIEWS, .infer = pad_zeros_infer, .run = pad_zeros_run, .gradient = pad_zeros_gradient },
    { .name = "transpose", .help = "a matrix with its axes exchanged", .min_inputs = 1, .max_inputs = 1, .flags = OP_TAKES_VIEWS,
      .infer = transpose_infer, .run = transpose_run, .gradient = transpose_gradient },
    { .name = "reshape", .help = "the same elements in another shape", OP_ARGUMENTS(struct op_reshape_args, shape_arguments), .min_inputs = 1,
      .max_inputs = 1, .flags = OP_TAKES_VIEWS, .infer = reshape_infer, .run = reshape_run, .gradient = reshape_gradient },
};
OP_ROWS_OF(shape);
