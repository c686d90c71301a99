/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One tensor into several along an axis, and several into one.
 *
 *   split        equal parts       split_sizes  parts by their sizes
 *   unstack      parts of one position, without the axis
 *   concat       one behind the other, along an axis they have      stack  along a new one
 *
 * A split is one node however many parts it has. Where parts are columns of its rows they are views, nothing is copied; its
 * gradient is one concat of the parts' gradients, so that n steps of a sequence cost n parts, not n times the whole.
 */
#include <string.h>

#include "op/internal.h"
#include "pilaster/op.h"

/* A part that is a view of the whole, or the whole's place for a part, is written already. */
static bool is_there(const struct tensor *part, const struct tensor *whole, int64_t first, int axis)
{
    int64_t strides[SHAPE_MAX_RANK];
    op_strides(whole, strides);
    return (const char *)part->data == (const char *)whole->data + first * strides[axis] * (int64_t)dtype_size(whole->dtype);
}

/* ---- concat ---- */

static bool concat_infer(struct op_infer *infer)
{
    const struct op_axis_args *args = infer->args;
    int axis, rank = infer->inputs[0].shape.rank;
    if (!op_find_axis(infer, args->axis, rank, &axis))
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
        if (!is_there(in, out, at, axis))
            op_copy_part(in, 0, out, at, in->shape.dims[axis], axis);
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
            g->input_gradients[i] =
                op_emit1(g, "slice", &(struct op_slice_args){ axis, at, shape.dims[axis] }, g->output_gradients[0]);
        at += shape.dims[axis];
    }
}

/* ---- split, split_sizes ---- */

/* The dense input's axis, which is not the batch. */
static bool find_cut(struct op_infer *infer, int wanted, int *axis)
{
    const struct op_type *x = &infer->inputs[0];
    if (x->sparse)
        return op_fail(infer, "a sparse tensor cannot be split");
    if (!op_find_axis(infer, wanted, x->shape.rank, axis))
        return false;
    if (x->shape.dims[*axis] == BATCH_DIM)
        return op_fail(infer, "the batch axis cannot be split: how long it is, only a batch tells");
    return true;
}

static bool check_parts(struct op_infer *infer, int64_t count)
{
    if (count < 1 || count > OP_MAX_OUTPUTS)
        return op_fail(infer, "%lld parts: there can be 1 to %d", (long long)count, OP_MAX_OUTPUTS);
    infer->output_count = (int)count;
    return true;
}

static bool split_infer(struct op_infer *infer)
{
    const pil_split_options *args = infer->args;
    struct op_type x = infer->inputs[0];
    int axis;
    if (!find_cut(infer, args->axis, &axis) || !check_parts(infer, args->num))
        return false;
    if (x.shape.dims[axis] % args->num != 0)
        return op_fail(infer, "axis %d of size %lld does not fall into %lld equal parts", axis, (long long)x.shape.dims[axis],
                       (long long)args->num);
    x.shape.dims[axis] /= args->num;
    for (int i = 0; i < infer->output_count; i++)
        infer->outputs[i] = x;
    op_by_shape(infer, OP_ROWS(x));
    return true;
}

static bool split_sizes_infer(struct op_infer *infer)
{
    const pil_split_sizes_options *args = infer->args;
    struct op_type x = infer->inputs[0];
    int axis;
    if (!find_cut(infer, args->axis, &axis) || !check_parts(infer, args->count))
        return false;
    int64_t all = x.shape.dims[axis], sum = 0;
    if (args->count > PIL_MAX_SPLIT_SIZES)
        return op_fail(infer, "%d sizes: there can be %d", args->count, PIL_MAX_SPLIT_SIZES);
    for (int i = 0; i < args->count; i++) {
        if (args->sizes[i] < 0 || args->sizes[i] > all - sum)
            return op_fail(infer, "%lld positions from %lld on do not lie in axis %d of size %lld", (long long)args->sizes[i],
                           (long long)sum, axis, (long long)all);
        sum += args->sizes[i];
        infer->outputs[i] = x;
        infer->outputs[i].shape.dims[axis] = args->sizes[i];
    }
    if (sum != all)
        return op_fail(infer, "the sizes add up to %lld, axis %d has %lld", (long long)sum, axis, (long long)all);
    op_by_shape(infer, OP_ROWS(x));
    return true;
}

static int64_t split_view(const void *arguments, const struct op_type *input, int output)
{
    const pil_split_options *args = arguments;
    int axis = args->axis < 0 ? args->axis + input->shape.rank : args->axis;
    return op_part_column(&input->shape, axis, input->shape.dims[axis] / args->num * output);
}

static int64_t split_sizes_view(const void *arguments, const struct op_type *input, int output)
{
    const pil_split_sizes_options *args = arguments;
    int axis = args->axis < 0 ? args->axis + input->shape.rank : args->axis;
    int64_t first = 0;
    for (int i = 0; i < output; i++)
        first += args->sizes[i];
    return op_part_column(&input->shape, axis, first);
}

static void copy_parts(struct op_run *run, int axis)
{
    const struct tensor *in = &run->inputs[0].tensor;
    axis = axis < 0 ? axis + in->shape.rank : axis;
    int64_t first = 0;
    for (int i = 0; i < run->output_count; i++) {
        const struct tensor *out = &run->outputs[i].tensor;
        if (!is_there(out, in, first, axis))
            op_copy_part(in, first, out, 0, out->shape.dims[axis], axis);
        first += out->shape.dims[axis];
    }
}

static void split_run(struct op_run *run)
{
    copy_parts(run, ((const pil_split_options *)run->args)->axis);
}

static void split_sizes_run(struct op_run *run)
{
    copy_parts(run, ((const pil_split_sizes_options *)run->args)->axis);
}

/* The outputs' gradients, zeros where none flows back; parts of one shape share theirs. */
static void all_gradients(struct op_gradient *g, struct pil_tensor **list)
{
    struct pil_tensor *zeros = NULL;
    for (int i = 0; i < g->output_count; i++) {
        list[i] = g->output_gradients[i];
        if (list[i])
            continue;
        if (!zeros || !shape_equal(g->type(g->context, zeros).shape, g->type(g->context, g->outputs[i]).shape))
            zeros = op_emit1(g, "zeros_like", NULL, g->outputs[i]);
        list[i] = zeros;
    }
}

/* One part alone stands among zeros; several are joined. */
static void parts_gradient(struct op_gradient *g, int axis)
{
    struct pil_tensor *list[OP_MAX_OUTPUTS];
    struct shape whole = g->type(g->context, g->inputs[0]).shape;
    int64_t first = 0, at = 0;
    int alone = -1, flowing = 0;
    axis = axis < 0 ? axis + whole.rank : axis;
    for (int i = 0; i < g->output_count; i++) {
        if (g->output_gradients[i]) {
            alone = i;
            at = first;
            flowing++;
        }
        first += g->type(g->context, g->outputs[i]).shape.dims[axis];
    }
    if (flowing == 1 && g->output_count > 1) {
        g->input_gradients[0] =
            op_emit1(g, "pad_zeros", &(struct op_pad_args){ axis, at, whole.dims[axis] }, g->output_gradients[alone]);
        return;
    }
    all_gradients(g, list);
    g->input_gradients[0] = g->emit(g->context, "concat", &(struct op_axis_args){ axis }, list, g->output_count, NULL);
}

static void split_gradient(struct op_gradient *g)
{
    parts_gradient(g, ((const pil_split_options *)g->args)->axis);
}

static void split_sizes_gradient(struct op_gradient *g)
{
    parts_gradient(g, ((const pil_split_sizes_options *)g->args)->axis);
}

/* ---- stack, unstack ---- */

/* Without an axis, or with one more. */
static struct shape without_axis(struct shape shape, int axis)
{
    shape.rank--;
    for (int i = axis; i < shape.rank; i++)
        shape.dims[i] = shape.dims[i + 1];
    shape.dims[shape.rank] = 0;
    return shape;
}

static struct shape with_axis(struct shape shape, int axis, int64_t size)
{
    for (int i = shape.rank; i > axis; i--)
        shape.dims[i] = shape.dims[i - 1];
    shape.dims[axis] = size;
    shape.rank++;
    return shape;
}

static bool stack_infer(struct op_infer *infer)
{
    const struct op_axis_args *args = infer->args;
    struct op_type out = infer->inputs[0];
    int axis;
    if (out.shape.rank == SHAPE_MAX_RANK)
        return op_fail(infer, "%d axes are the most there can be", SHAPE_MAX_RANK);
    if (!op_find_axis(infer, args->axis, out.shape.rank + 1, &axis))
        return false;
    for (int i = 0; i < infer->input_count; i++)
        if (infer->inputs[i].sparse || infer->inputs[i].dtype != out.dtype || !shape_equal(infer->inputs[i].shape, out.shape))
            return op_fail(infer, "input %d has another type or shape than the first", i + 1);
    bool rows = OP_ROWS(out) && axis > 0;
    out.shape = with_axis(out.shape, axis, infer->input_count);
    infer->outputs[0] = out;
    op_by_shape(infer, rows);
    return true;
}

/* A part beside the whole it is a position of, both with the part's axes. */
static void copy_position(const struct tensor *part, const struct tensor *whole, int axis, int64_t at, bool to_whole)
{
    int64_t own[SHAPE_MAX_RANK], strides[SHAPE_MAX_RANK];
    size_t element = dtype_size(whole->dtype);
    op_strides(part, own);
    op_strides(whole, strides);
    char *place = (char *)whole->data + at * strides[axis] * (int64_t)element;
    for (int i = axis; i < whole->shape.rank - 1; i++)
        strides[i] = strides[i + 1];
    if (to_whole)
        op_copy_box(element, part->shape.rank, part->shape.dims, part->data, own, place, strides);
    else if (place != (const char *)part->data)
        op_copy_box(element, part->shape.rank, part->shape.dims, place, strides, part->data, own);
}

static void stack_run(struct op_run *run)
{
    const struct op_axis_args *args = run->args;
    const struct tensor *out = &run->outputs[0].tensor;
    int axis = args->axis < 0 ? args->axis + out->shape.rank : args->axis;
    for (int i = 0; i < run->input_count; i++)
        copy_position(&run->inputs[i].tensor, out, axis, i, true);
}

static void stack_gradient(struct op_gradient *g)
{
    const struct op_axis_args *args = g->args;
    if (g->input_count <= OP_MAX_OUTPUTS) {
        pil_split_options parts = { args->axis, g->input_count };
        g->emit(g->context, "unstack", &parts, &g->output_gradients[0], 1, g->input_gradients);
        return;
    }
    int rank = g->type(g->context, g->outputs[0]).shape.rank, axis = args->axis < 0 ? args->axis + rank : args->axis;
    for (int i = 0; i < g->input_count; i++)
        if (g->wanted[i])
            g->input_gradients[i] = op_emit1(g, "squeeze", &(pil_axes){ 1, { axis } },
                                             op_emit1(g, "slice", &(struct op_slice_args){ axis, i, 1 }, g->output_gradients[0]));
}

static bool unstack_infer(struct op_infer *infer)
{
    const pil_split_options *args = infer->args;
    struct op_type x = infer->inputs[0];
    int axis;
    if (!find_cut(infer, args->axis, &axis) || !check_parts(infer, args->num))
        return false;
    if (x.shape.dims[axis] != args->num)
        return op_fail(infer, "axis %d of size %lld does not fall into %lld parts of one", axis, (long long)x.shape.dims[axis],
                       (long long)args->num);
    bool rows = OP_ROWS(x);
    x.shape = without_axis(x.shape, axis);
    for (int i = 0; i < infer->output_count; i++)
        infer->outputs[i] = x;
    op_by_shape(infer, rows);
    return true;
}

static void unstack_run(struct op_run *run)
{
    const pil_split_options *args = run->args;
    const struct tensor *in = &run->inputs[0].tensor;
    int axis = args->axis < 0 ? args->axis + in->shape.rank : args->axis;
    for (int i = 0; i < run->output_count; i++)
        copy_position(&run->outputs[i].tensor, in, axis, i, false);
}

static void unstack_gradient(struct op_gradient *g)
{
    const pil_split_options *args = g->args;
    struct pil_tensor *list[OP_MAX_OUTPUTS];
    all_gradients(g, list);
    g->input_gradients[0] = g->emit(g->context, "stack", &(struct op_axis_args){ args->axis }, list, g->output_count, NULL);
}

static const struct arg axis_arguments[] = {
    { "axis", &OP_ARG_INT, offsetof(struct op_axis_args, axis), "which axis; from the end where below 0" },
};
static const struct arg split_arguments[] = {
    { "axis", &OP_ARG_INT, offsetof(pil_split_options, axis), "which axis; from the end where below 0" },
    { "num", &ARG_INT, offsetof(pil_split_options, num), "how many parts" },
};
static const struct arg split_sizes_arguments[] = {
    { "axis", &OP_ARG_INT, offsetof(pil_split_sizes_options, axis), "which axis; from the end where below 0" },
    OP_LIST_ARGUMENT("sizes", pil_split_sizes_options, sizes, count, true, "how many positions each part has"),
};

static const struct op_row rows[] = {
    { .name = "concat",
      .help = "joins tensors along an axis",
      OP_ARGUMENTS(struct op_axis_args, axis_arguments),
      .min_inputs = 1,
      .max_inputs = -1,
      .flags = OP_TAKES_VIEWS,
      .infer = concat_infer,
      .run = concat_run,
      .gradient = concat_gradient },
    { .name = "split",
      .help = "equal parts along an axis",
      OP_ARGUMENTS(pil_split_options, split_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = split_infer,
      .run = split_run,
      .gradient = split_gradient,
      .view = split_view },
    { .name = "split_sizes",
      .help = "parts of given sizes along an axis",
      OP_ARGUMENTS(pil_split_sizes_options, split_sizes_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = split_sizes_infer,
      .run = split_sizes_run,
      .gradient = split_sizes_gradient,
      .view = split_sizes_view },
    { .name = "stack",
      .help = "joins tensors along a new axis",
      OP_ARGUMENTS(struct op_axis_args, axis_arguments),
      .min_inputs = 1,
      .max_inputs = -1,
      .flags = OP_TAKES_VIEWS,
      .infer = stack_infer,
      .run = stack_run,
      .gradient = stack_gradient },
    { .name = "unstack",
      .help = "the positions of an axis, each by itself",
      OP_ARGUMENTS(pil_split_options, split_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = unstack_infer,
      .run = unstack_run,
      .gradient = unstack_gradient,
      .view = split_view },
};
OP_ROWS_OF(split);
