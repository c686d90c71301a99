/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What whole numbers choose.
 *
 *   gather           positions of params' axis, as the indices say: params [..., n, ...] -> [..., indices' axes, ...]
 *   gather_gradient  dy added up where it came from, index by index in their order
 *   one_hot          on_value at the index's position of a new axis, off_value elsewhere
 *
 * Gathering row by row: from params without a batch along their first axis by indices of each row, or along another axis of each
 * row by the same indices (batch_dims 0) or its own (batch_dims 1). Anything else needs whole tensors.
 */
#include <math.h>

#include "op/internal.h"
#include "pilaster/op.h"

static bool is_index_type(enum dtype dtype)
{
    return dtype == DTYPE_FLOAT32 || dtype == DTYPE_INT32 || dtype == DTYPE_INT64;
}

double op_index_at(const struct tensor *indices, int64_t at)
{
    if (indices->dtype == DTYPE_INT32)
        return (double)((const int32_t *)indices->data)[at];
    if (indices->dtype == DTYPE_INT64)
        return (double)((const int64_t *)indices->data)[at];
    return (double)tensor_floats(indices)[at];
}

bool op_check_indices(struct op_infer *infer, int i)
{
    const struct op_type *type = &infer->inputs[i];
    return (!type->sparse && is_index_type(type->dtype)) ||
           op_fail(infer, "input %d must be whole numbers, in float32, int32 or int64", i + 1);
}

int64_t op_index_in(struct op_run *run, const struct tensor *indices, int64_t at, int64_t number, int64_t limit, const char *what)
{
    double value = op_index_at(indices, at);
    if (value >= 0 && value < (double)limit && value == floor(value))
        return (int64_t)value;
    bool by_rows = indices->shape.rank > 0 && indices->shape.dims[0] == run->rows;
    int64_t in_row = by_rows && run->rows > 0 ? shape_elements(indices->shape) / run->rows : 1;
    int64_t row = by_rows ? run->first_row + number / MAX(in_row, 1) : number;
    status_fail(run->status, PIL_BAD_DATA, "%s: %s %.17g %s %lld%s is not one of 0 .. %lld", run->name, what, value,
                by_rows ? "of row" : "at position", (long long)row, by_rows ? " of the batch" : "", (long long)(limit - 1));
    return -1;
}

/* ---- gather ---- */

static int batch_axes(const struct shape *shape)
{
    int count = 0;
    for (int i = 0; i < shape->rank; i++)
        count += shape->dims[i] == BATCH_DIM;
    return count;
}

static bool gather_shape(struct op_infer *infer, const pil_gather_options *args, int axis, struct shape *out)
{
    const struct shape *params = &infer->inputs[0].shape, *indices = &infer->inputs[1].shape;
    int lead = args->batch_dims, rank = params->rank - 1 + indices->rank - lead, at = 0;
    if (rank > SHAPE_MAX_RANK)
        return op_fail(infer, "the result would have %d axes, %d are the most there can be", rank, SHAPE_MAX_RANK);
    *out = (struct shape){ .rank = rank };
    for (int i = 0; i < axis; i++)
        out->dims[at++] = params->dims[i];
    for (int i = lead; i < indices->rank; i++)
        out->dims[at++] = indices->dims[i];
    for (int i = axis + 1; i < params->rank; i++)
        out->dims[at++] = params->dims[i];
    return batch_axes(out) <= 1 ||
           op_fail(infer, "the batch axis would stand in the result twice (batch_dims = 1 gathers within each row)");
}

static bool gather_infer(struct op_infer *infer)
{
    const pil_gather_options *args = infer->args;
    const struct op_type *params = &infer->inputs[0], *indices = &infer->inputs[1];
    struct op_type *out = &infer->outputs[0];
    int axis;
    if (params->sparse)
        return op_fail(infer, "a dense tensor is needed to gather from");
    if (!op_check_indices(infer, 1) || !op_find_axis(infer, args->axis, params->shape.rank, &axis))
        return false;
    if (args->batch_dims != 0 && args->batch_dims != 1)
        return op_fail(infer, "batch_dims is %d: it can be 0 or 1", args->batch_dims);
    if (args->batch_dims && (axis == 0 || indices->shape.rank == 0 || params->shape.dims[0] != indices->shape.dims[0]))
        return op_fail(infer, "with batch_dims both need the same first axis, and another to gather along");
    out->dtype = params->dtype;
    if (!gather_shape(infer, args, axis, &out->shape))
        return false;
    bool rows = args->batch_dims   ? OP_ROWS(*params)
                : OP_ROWS(*params) ? axis > 0
                                   : axis == 0 && OP_ROWS(*indices) && !batch_axes(&params->shape);
    op_by_shape(infer, rows && (OP_ROWS(*params) || OP_ROWS(*indices)));
    return true;
}

/* What is copied for each index, and how far apart its parts are in params and in the result. */
struct gather_box {
    int rank;
    int64_t size[SHAPE_MAX_RANK], params[SHAPE_MAX_RANK], out[SHAPE_MAX_RANK];
    int64_t along;                                                   /* params' axis */
    int64_t index_params[SHAPE_MAX_RANK], index_out[SHAPE_MAX_RANK]; /* by the indices' axes */
};

static struct gather_box gather_box(const struct tensor *params, const struct tensor *indices, const struct tensor *out, int axis,
                                    int lead)
{
    struct gather_box box = { 0 };
    int64_t from[SHAPE_MAX_RANK], to[SHAPE_MAX_RANK];
    op_strides(params, from);
    op_strides(out, to);
    for (int i = lead; i < params->shape.rank; i++) {
        if (i == axis)
            continue;
        box.size[box.rank] = params->shape.dims[i];
        box.params[box.rank] = from[i];
        box.out[box.rank++] = to[i < axis ? i : i - 1 + indices->shape.rank - lead];
    }
    box.along = from[axis];
    for (int i = 0; i < indices->shape.rank; i++) {
        box.index_params[i] = i < lead ? from[i] : 0;
        box.index_out[i] = i < lead ? to[i] : to[axis + i - lead];
    }
    return box;
}

/* Copies, or adds back, one box for each index. */
static void each_index(struct op_run *run, const struct tensor *params, const struct tensor *indices, const struct tensor *out,
                       int axis, int lead, bool back)
{
    struct gather_box box = gather_box(params, indices, out, axis, lead);
    int64_t strides[SHAPE_MAX_RANK], index[SHAPE_MAX_RANK] = { 0 }, count = shape_elements(indices->shape),
                                     limit = params->shape.dims[axis];
    size_t element = dtype_size(params->dtype);
    op_strides(indices, strides);
    for (int64_t n = 0; n < count; n++) {
        int64_t at = 0, from = 0, to = 0;
        for (int i = 0; i < indices->shape.rank; i++) {
            at += index[i] * strides[i];
            from += index[i] * box.index_params[i];
            to += index[i] * box.index_out[i];
        }
        int64_t position = op_index_in(run, indices, at, n, limit, "index");
        if (position < 0)
            return;
        char *there = (char *)params->data + (from + position * box.along) * (int64_t)element,
             *here = (char *)out->data + to * (int64_t)element;
        if (back)
            op_add_box(box.rank, box.size, (const float *)(void *)here, box.out, (float *)(void *)there, box.params);
        else
            op_copy_box(element, box.rank, box.size, there, box.params, here, box.out);
        for (int i = indices->shape.rank - 1; i >= 0 && ++index[i] == indices->shape.dims[i]; i--)
            index[i] = 0;
    }
}

static void gather_run(struct op_run *run)
{
    const pil_gather_options *args = run->args;
    const struct tensor *params = &run->inputs[0].tensor;
    int axis = args->axis < 0 ? args->axis + params->shape.rank : args->axis;
    each_index(run, params, &run->inputs[1].tensor, &run->outputs[0].tensor, axis, args->batch_dims, false);
}

static void gather_gradient(struct op_gradient *g)
{
    const pil_gather_options *args = g->args;
    struct shape shape = g->type(g->context, g->inputs[0]).shape;
    struct op_gather_back_args back = { shape, args->axis < 0 ? args->axis + shape.rank : args->axis, args->batch_dims };
    if (g->wanted[0])
        g->input_gradients[0] = op_emit2(g, "gather_gradient", &back, g->output_gradients[0], g->inputs[1]);
}

/* dy, indices -> d params */
static bool gather_gradient_infer(struct op_infer *infer)
{
    const struct op_gather_back_args *args = infer->args;
    const struct op_type *dy = &infer->inputs[0], *indices = &infer->inputs[1];
    int lead = args->batch_dims, rank = args->shape.rank;
    if (dy->sparse || dy->dtype != DTYPE_FLOAT32)
        return op_fail(infer, "the result's gradient, a dense float32 tensor, is needed");
    if (!op_check_indices(infer, 1))
        return false;
    if (args->axis < 0 || args->axis >= rank || lead < 0 || lead > 1 || dy->shape.rank != rank - 1 + indices->shape.rank - lead)
        return op_fail(infer, "the gradient does not come from these indices");
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32, .shape = args->shape };
    bool rows = args->shape.dims[0] == BATCH_DIM && args->axis > 0,
         reduces = batch_axes(&args->shape) == 0 && OP_ROWS(*dy) && OP_ROWS(*indices);
    op_by_shape(infer, rows);
    infer->behaviour = reduces ? BEHAVIOUR_REDUCES : infer->behaviour;
    return true;
}

static void gather_gradient_run(struct op_run *run)
{
    const struct op_gather_back_args *args = run->args;
    const struct tensor *dx = &run->outputs[0].tensor;
    for (int64_t r = 0; r < dx->rows && !run->accumulate; r++)
        for (int64_t c = 0; c < dx->cols; c++)
            tensor_floats(dx)[r * dx->ld + c] = 0;
    each_index(run, dx, &run->inputs[1].tensor, &run->inputs[0].tensor, args->axis, args->batch_dims, true);
}

/* ---- one_hot ---- */

static bool one_hot_infer(struct op_infer *infer)
{
    const pil_one_hot_options *args = infer->args;
    const struct op_type *indices = &infer->inputs[0];
    struct op_type *out = &infer->outputs[0];
    int axis;
    if (!op_check_indices(infer, 0))
        return false;
    if (args->depth < 1 || args->depth > INT32_MAX)
        return op_fail(infer, "a depth of %lld: 1 at least and %d at most", (long long)args->depth, INT32_MAX);
    if (indices->shape.rank == SHAPE_MAX_RANK)
        return op_fail(infer, "%d axes are the most there can be", SHAPE_MAX_RANK);
    if (!op_find_axis(infer, args->axis, indices->shape.rank + 1, &axis))
        return false;
    *out = (struct op_type){ .dtype = DTYPE_FLOAT32, .shape = indices->shape };
    out->shape.rank++;
    for (int i = indices->shape.rank; i > axis; i--)
        out->shape.dims[i] = indices->shape.dims[i - 1];
    out->shape.dims[axis] = args->depth;
    op_by_shape(infer, OP_ROWS(*indices) && axis > 0);
    return true;
}

static void one_hot_run(struct op_run *run)
{
    const pil_one_hot_options *args = run->args;
    const struct tensor *indices = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    int rank = indices->shape.rank, axis = args->axis < 0 ? args->axis + rank + 1 : args->axis;
    int64_t from[SHAPE_MAX_RANK], to[SHAPE_MAX_RANK], index[SHAPE_MAX_RANK] = { 0 }, count = shape_elements(indices->shape);
    op_strides(indices, from);
    op_strides(out, to);
    for (int64_t r = 0; r < out->rows; r++)
        for (int64_t c = 0; c < out->cols; c++)
            tensor_floats(out)[r * out->ld + c] = args->off_value;
    for (int64_t n = 0; n < count; n++) {
        int64_t at = 0, there = 0;
        for (int i = 0; i < rank; i++) {
            at += index[i] * from[i];
            there += index[i] * to[i < axis ? i : i + 1];
        }
        double value = op_index_at(indices, at);
        if (value != floor(value))
            op_index_in(run, indices, at, n, args->depth, "index");
        else if (value >= 0 && value < (double)args->depth)
            tensor_floats(out)[there + (int64_t)value * to[axis]] = args->on_value;
        for (int i = rank - 1; i >= 0 && ++index[i] == indices->shape.dims[i]; i--)
            index[i] = 0;
    }
}

static const struct arg gather_arguments[] = {
    { "axis", &OP_ARG_INT, offsetof(pil_gather_options, axis), "along which axis of params" },
    { "batch_dims", &OP_ARG_INT, offsetof(pil_gather_options, batch_dims), "1: each row by its own indices" },
};
static const struct arg back_arguments[] = {
    OP_SHAPE_ARGUMENT("shape", struct op_gather_back_args, shape, "params'; -1 is the batch"),
    { "axis", &OP_ARG_INT, offsetof(struct op_gather_back_args, axis), "along which axis of params" },
    { "batch_dims", &OP_ARG_INT, offsetof(struct op_gather_back_args, batch_dims), "1: each row by its own indices" },
};
static const struct arg one_hot_arguments[] = {
    { "depth", &ARG_INT, offsetof(pil_one_hot_options, depth), "the new axis's size" },
    { "on_value", &ARG_FLOAT, offsetof(pil_one_hot_options, on_value), "what stands at the index" },
    { "off_value", &ARG_FLOAT, offsetof(pil_one_hot_options, off_value), "what stands elsewhere" },
    { "axis", &OP_ARG_INT, offsetof(pil_one_hot_options, axis), "where in the result the new axis stands" },
};

static const struct op_row rows[] = {
    { .name = "gather",
      .help = "positions of an axis by their numbers",
      OP_ARGUMENTS(pil_gather_options, gather_arguments),
      .min_inputs = 2,
      .max_inputs = 2,
      .flags = OP_TAKES_VIEWS,
      .infer = gather_infer,
      .run = gather_run,
      .gradient = gather_gradient },
    { .name = "gather_gradient",
      .help = "a gradient added up where it was gathered",
      OP_ARGUMENTS(struct op_gather_back_args, back_arguments),
      .min_inputs = 2,
      .max_inputs = 2,
      .flags = OP_TAKES_VIEWS,
      .infer = gather_gradient_infer,
      .run = gather_gradient_run },
    { .name = "one_hot",
      .help = "numbers as vectors with one position on",
      OP_ARGUMENTS(pil_one_hot_options, one_hot_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = one_hot_infer,
      .run = one_hot_run },
};
OP_ROWS_OF(gather);
