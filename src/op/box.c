/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boxes: parts of a tensor along all its axes, and repeated ones. Everything that moves values is a box copied between two sets
 * of strides (a permutation permutes them, a repetition has a stride of 0), so there is one loop for all of them.
 *
 *   slice_box     the box that begins at `begin`                pad           constants around a box: its gradient and its
 * opposite tile          the whole again and again                     tile_gradient the copies added up broadcast_to  repeated
 * to a shape
 */
#include <string.h>

#include "op/internal.h"
#include "pilaster/op.h"

/* ---- the loop ---- */

struct axis {
    int64_t size, from, to; /* strides in elements */
};
enum { MOST_AXES = 2 * SHAPE_MAX_RANK };

void op_strides(const struct tensor *tensor, int64_t *strides)
{
    const struct shape *shape = &tensor->shape;
    int last = shape->rank - 1;
    if (last < 0)
        return;
    /* A vector lies in one row, or in rows of one element. */
    strides[last] = last == 0 && tensor->rows == shape->dims[0] ? tensor->ld : 1;
    bool by_rows = tensor->cols != shape->dims[last]; /* cut behind the first axis, not before the last */
    for (int i = last - 1; i >= 0; i--)
        strides[i] = (by_rows ? i == 0 : i == last - 1) ? tensor->ld : strides[i + 1] * shape->dims[i + 1];
}

/* Axes that lie together in both are one. Returns how many are left; -1: the box is empty. */
static int fold_axes(int rank, const int64_t *size, const int64_t *from, const int64_t *to, struct axis *axes)
{
    int count = 0;
    for (int i = 0; i < rank; i++) {
        if (size[i] == 0)
            return -1;
        struct axis *before = &axes[count - (count > 0)];
        if (size[i] == 1)
            continue;
        if (count > 0 && before->from == from[i] * size[i] && before->to == to[i] * size[i])
            *before = (struct axis){ before->size * size[i], from[i], to[i] };
        else
            axes[count++] = (struct axis){ size[i], from[i], to[i] };
    }
    return count;
}

static void copy_line(size_t element, const struct axis *line, const char *from, char *to)
{
    if (line->from == 1 && line->to == 1 && line->size > 4) { /* a call for a number or two would cost more than the copy */
        memcpy(to, from, (size_t)line->size * element);
    } else if (element == sizeof(float)) {
        for (int64_t i = 0; i < line->size; i++)
            memcpy(to + (size_t)(i * line->to) * sizeof(float), from + (size_t)(i * line->from) * sizeof(float), sizeof(float));
    } else {
        for (int64_t i = 0; i < line->size; i++)
            memcpy(to + (size_t)(i * line->to) * element, from + (size_t)(i * line->from) * element, element);
    }
}

static void add_line(size_t element, const struct axis *line, const char *from, char *to)
{
    const float *a = (const float *)(const void *)from;
    float *sum = (float *)(void *)to;
    (void)element;
    for (int64_t i = 0; i < line->size; i++)
        sum[i * line->to] += a[i * line->from];
}

static void walk(size_t element, int rank, const int64_t *size, const void *from, const int64_t *from_strides, void *to,
                 const int64_t *to_strides, void (*along)(size_t element, const struct axis *line, const char *from, char *to))
{
    struct axis axes[MOST_AXES];
    int count = fold_axes(rank, size, from_strides, to_strides, axes), outer = count - 1;
    struct axis line = count > 0 ? axes[count - 1] : (struct axis){ 1, 1, 1 };
    int64_t index[MOST_AXES] = { 0 }, lines = count < 0 ? 0 : 1, a = 0, b = 0;
    for (int i = 0; i < outer; i++)
        lines *= axes[i].size;
    for (int64_t n = 0; n < lines; n++) {
        along(element, &line, (const char *)from + a * (int64_t)element, (char *)to + b * (int64_t)element);
        for (int i = outer - 1; i >= 0; i--) {
            a += axes[i].from;
            b += axes[i].to;
            if (++index[i] < axes[i].size)
                break;
            a -= axes[i].size * axes[i].from;
            b -= axes[i].size * axes[i].to;
            index[i] = 0;
        }
    }
}

void op_copy_box(size_t element, int rank, const int64_t *size, const void *from, const int64_t *from_strides, void *to,
                 const int64_t *to_strides)
{
    walk(element, rank, size, from, from_strides, to, to_strides, copy_line);
}

void op_add_box(int rank, const int64_t *size, const float *from, const int64_t *from_strides, float *to,
                const int64_t *to_strides)
{
    walk(sizeof(float), rank, size, from, from_strides, to, to_strides, add_line);
}

void op_copy_part(const struct tensor *from, int64_t first, const struct tensor *to, int64_t at, int64_t count, int axis)
{
    int64_t a[SHAPE_MAX_RANK], b[SHAPE_MAX_RANK];
    size_t element = dtype_size(from->dtype);
    struct shape box = from->shape;
    op_strides(from, a);
    op_strides(to, b);
    box.dims[axis] = count;
    op_copy_box(element, box.rank, box.dims, (const char *)from->data + first * a[axis] * (int64_t)element, a,
                (char *)to->data + at * b[axis] * (int64_t)element, b);
}

bool op_find_axis(struct op_infer *infer, int axis, int rank, int *out)
{
    *out = axis < 0 ? axis + rank : axis;
    if (*out < 0 || *out >= rank)
        return op_fail(infer, "axis %d does not exist in a tensor of rank %d", axis, rank);
    return true;
}

void op_by_shape(struct op_infer *infer, bool row_by_row)
{
    enum extent widest = op_widest(infer);
    for (int i = 0; i < infer->output_count; i++) {
        struct op_type *out = &infer->outputs[i];
        bool rows = out->shape.rank > 0 && out->shape.dims[0] == BATCH_DIM;
        out->extent = rows ? EXTENT_ROWS : MIN(widest, EXTENT_BATCH);
    }
    infer->behaviour = row_by_row ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE;
}

int64_t op_part_column(const struct shape *shape, int axis, int64_t first)
{
    int64_t inner = 1;
    for (int i = 1; i < axis; i++)
        if (shape->dims[i] != 1)
            return -1;
    for (int i = axis + 1; i < shape->rank; i++)
        inner *= shape->dims[i];
    return axis == 0 ? -1 : first * inner;
}

/* A dense input whose every axis is told about by `ranks`. */
static bool check_box(struct op_infer *infer, int rank, const char *what)
{
    if (infer->inputs[0].sparse)
        return op_fail(infer, "a dense tensor is needed");
    if (rank != infer->inputs[0].shape.rank)
        return op_fail(infer, "%s: %d numbers for %d axes", what, rank, infer->inputs[0].shape.rank);
    return true;
}

/* ---- slice_box ---- */

static bool slice_box_infer(struct op_infer *infer)
{
    const pil_slice_options *args = infer->args;
    struct op_type *out = &infer->outputs[0];
    *out = infer->inputs[0];
    if (!check_box(infer, args->begin.rank, "begin") || !check_box(infer, args->size.rank, "size"))
        return false;
    for (int i = 0; i < out->shape.rank; i++) {
        int64_t all = out->shape.dims[i], begin = args->begin.dims[i], size = args->size.dims[i];
        if (all == BATCH_DIM && (begin != 0 || size != -1))
            return op_fail(infer, "the batch axis cannot be cut: begin must be 0 and size -1");
        if (all == BATCH_DIM)
            continue;
        if (begin < 0 || begin > all || size < -1 || (size >= 0 && size > all - begin))
            return op_fail(infer, "%lld positions from %lld on do not lie in axis %d of size %lld", (long long)size,
                           (long long)begin, i, (long long)all);
        out->shape.dims[i] = size < 0 ? all - begin : size;
    }
    op_by_shape(infer, OP_ROWS(infer->inputs[0]));
    return true;
}

/* Where a part whose axes before the first cut one have one position each, and those behind it all of theirs, begins. */
static int64_t slice_box_view(const void *arguments, const struct op_type *input, int output)
{
    const pil_slice_options *args = arguments;
    int64_t column = 0, stride = 1;
    bool cut = false;
    (void)output;
    for (int i = input->shape.rank - 1; i > 0; i--) {
        int64_t all = input->shape.dims[i], size = args->size.dims[i] < 0 ? all - args->begin.dims[i] : args->size.dims[i];
        if (cut && size != 1)
            return -1;
        cut |= size != all;
        column += args->begin.dims[i] * stride;
        stride *= all;
    }
    return column;
}

static void slice_box_run(struct op_run *run)
{
    const pil_slice_options *args = run->args;
    const struct tensor *in = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    int64_t a[SHAPE_MAX_RANK], b[SHAPE_MAX_RANK], first = 0;
    op_strides(in, a);
    op_strides(out, b);
    for (int i = 0; i < in->shape.rank; i++)
        first += args->begin.dims[i] * a[i];
    op_copy_box(dtype_size(in->dtype), out->shape.rank, out->shape.dims,
                (const char *)in->data + first * (int64_t)dtype_size(in->dtype), a, out->data, b);
}

static void slice_box_gradient(struct op_gradient *g)
{
    const pil_slice_options *args = g->args;
    struct shape in = g->type(g->context, g->inputs[0]).shape, out = g->type(g->context, g->outputs[0]).shape;
    pil_pad_options around = { .before = args->begin, .after = { .rank = in.rank } };
    int cut = 0, axis = 0;
    for (int i = 0; i < in.rank; i++) {
        around.after.dims[i] = in.dims[i] == BATCH_DIM ? 0 : in.dims[i] - args->begin.dims[i] - out.dims[i];
        if (out.dims[i] != in.dims[i]) {
            axis = i;
            cut++;
        }
    }
    if (cut == 1) /* a slice, which others may be joined with */
        g->input_gradients[0] = op_emit1(g, "pad_zeros", &(struct op_pad_args){ axis, args->begin.dims[axis], in.dims[axis] },
                                         g->output_gradients[0]);
    else
        g->input_gradients[0] = op_emit1(g, "pad", &around, g->output_gradients[0]);
}

/* ---- pad ---- */

static bool pad_infer(struct op_infer *infer)
{
    const pil_pad_options *args = infer->args;
    struct op_type *out = &infer->outputs[0];
    *out = infer->inputs[0];
    if (!op_need_float(infer) || !check_box(infer, args->before.rank, "before") || !check_box(infer, args->after.rank, "after"))
        return false;
    for (int i = 0; i < out->shape.rank; i++) {
        int64_t before = args->before.dims[i], after = args->after.dims[i];
        if (out->shape.dims[i] == BATCH_DIM && (before || after))
            return op_fail(infer, "the batch axis cannot be padded");
        if (before < 0 || after < 0 || before > INT32_MAX || after > INT32_MAX)
            return op_fail(infer, "axis %d cannot be padded by %lld and %lld", i, (long long)before, (long long)after);
        out->shape.dims[i] += before + after;
    }
    op_by_shape(infer, OP_ROWS(infer->inputs[0]));
    return true;
}

static void pad_run(struct op_run *run)
{
    const pil_pad_options *args = run->args;
    const struct tensor *in = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    int64_t a[SHAPE_MAX_RANK], b[SHAPE_MAX_RANK], first = 0;
    for (int64_t r = 0; r < out->rows; r++)
        for (int64_t c = 0; c < out->cols; c++)
            tensor_floats(out)[r * out->ld + c] = args->constant_value;
    op_strides(in, a);
    op_strides(out, b);
    for (int i = 0; i < in->shape.rank; i++)
        first += args->before.dims[i] * b[i];
    op_copy_box(sizeof(float), in->shape.rank, in->shape.dims, in->data, a, tensor_floats(out) + first, b);
}

static void pad_gradient(struct op_gradient *g)
{
    const pil_pad_options *args = g->args;
    struct shape in = g->type(g->context, g->inputs[0]).shape;
    pil_slice_options part = { .begin = args->before, .size = { .rank = in.rank } };
    for (int i = 0; i < in.rank; i++)
        part.size.dims[i] = in.dims[i]; /* the batch is -1 in both */
    g->input_gradients[0] = op_emit1(g, "slice_box", &part, g->output_gradients[0]);
}

/* ---- tile ---- */

static bool tile_infer(struct op_infer *infer)
{
    const pil_tile_options *args = infer->args;
    struct op_type *out = &infer->outputs[0];
    *out = infer->inputs[0];
    if (!op_need_float(infer) || !check_box(infer, args->multiples.rank, "multiples"))
        return false;
    for (int i = 0; i < out->shape.rank; i++) {
        int64_t times = args->multiples.dims[i];
        if (out->shape.dims[i] == BATCH_DIM && times != 1)
            return op_fail(infer, "the batch axis cannot be repeated");
        if (times < 0 || times > INT32_MAX || out->shape.dims[i] > INT32_MAX)
            return op_fail(infer, "axis %d cannot be repeated %lld times", i, (long long)times);
        out->shape.dims[i] *= out->shape.dims[i] == BATCH_DIM ? 1 : times;
    }
    op_by_shape(infer, OP_ROWS(infer->inputs[0]));
    return true;
}

/* The axes of copies and of what is copied, in turn: `whole` is repeated, `part` is what it repeats. */
static int tile_axes(const struct tensor *whole, const struct tensor *part, int64_t *size, int64_t *whole_strides,
                     int64_t *part_strides)
{
    int64_t a[SHAPE_MAX_RANK], b[SHAPE_MAX_RANK];
    op_strides(whole, a);
    op_strides(part, b);
    for (int i = 0; i < part->shape.rank; i++) {
        int64_t one = part->shape.dims[i];
        size[2 * i] = one > 0 ? whole->shape.dims[i] / one : 0;
        whole_strides[2 * i] = one * a[i];
        part_strides[2 * i] = 0;
        size[2 * i + 1] = one;
        whole_strides[2 * i + 1] = a[i];
        part_strides[2 * i + 1] = b[i];
    }
    return 2 * part->shape.rank;
}

static void tile_run(struct op_run *run)
{
    const struct tensor *in = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    int64_t size[MOST_AXES], from[MOST_AXES], to[MOST_AXES];
    int rank = tile_axes(out, in, size, to, from);
    op_copy_box(sizeof(float), rank, size, in->data, from, out->data, to);
}

static void tile_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "tile_gradient", NULL, g->output_gradients[0], g->inputs[0]);
}

/* dy, x -> dx */
static bool tile_gradient_infer(struct op_infer *infer)
{
    const struct op_type *dy = &infer->inputs[0], *x = &infer->inputs[1];
    if (!op_need_float(infer))
        return false;
    for (int i = 0; i < x->shape.rank; i++) {
        int64_t one = x->shape.dims[i], all = dy->shape.rank == x->shape.rank ? dy->shape.dims[i] : -2;
        if (all != one && (one <= 0 || all < 0 || all % one != 0))
            return op_fail(infer, "the first is no repetition of the second");
    }
    infer->outputs[0] = *x;
    op_by_shape(infer, OP_ROWS(*x));
    return true;
}

static void tile_gradient_run(struct op_run *run)
{
    const struct tensor *dy = &run->inputs[0].tensor, *dx = &run->outputs[0].tensor;
    int64_t size[MOST_AXES], from[MOST_AXES], to[MOST_AXES];
    int rank = tile_axes(dy, dx, size, from, to);
    for (int64_t r = 0; r < dx->rows; r++)
        memset(tensor_floats(dx) + r * dx->ld, 0, (size_t)dx->cols * sizeof(float));
    op_add_box(rank, size, tensor_floats(dy), from, tensor_floats(dx), to);
}

/* ---- broadcast_to: where the shape has the batch and x has not, every row is x ---- */

static bool broadcast_to_infer(struct op_infer *infer)
{
    const struct op_reshape_args *args = infer->args;
    const struct op_type *x = &infer->inputs[0];
    struct shape out;
    char text[128];
    if (!op_need_float(infer))
        return false;
    if (!shape_broadcast(x->shape, args->shape, &out) || !shape_equal(out, args->shape))
        return op_fail(infer, "cannot be repeated to %s", shape_text(args->shape, text));
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32, .shape = out };
    op_by_shape(infer, out.rank > 0 && out.dims[0] == BATCH_DIM && x->extent != EXTENT_BATCH);
    return true;
}

static void broadcast_to_run(struct op_run *run)
{
    const struct tensor *in = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    int64_t own[SHAPE_MAX_RANK], from[SHAPE_MAX_RANK] = { 0 }, to[SHAPE_MAX_RANK];
    int skip = out->shape.rank - in->shape.rank;
    op_strides(in, own);
    op_strides(out, to);
    for (int i = 0; i < in->shape.rank; i++)
        from[i + skip] = in->shape.dims[i] == 1 ? 0 : own[i];
    op_copy_box(sizeof(float), out->shape.rank, out->shape.dims, in->data, from, out->data, to);
}

static void broadcast_to_gradient(struct op_gradient *g)
{
    struct op_reshape_args back = { g->type(g->context, g->inputs[0]).shape };
    g->input_gradients[0] = op_emit1(g, "sum_to", &back, g->output_gradients[0]);
}

static const struct arg slice_box_arguments[] = {
    OP_SHAPE_ARGUMENT("begin", pil_slice_options, begin, "the first position of each axis"),
    OP_SHAPE_ARGUMENT("size", pil_slice_options, size, "how many positions; -1: all that are left"),
};
static const struct arg pad_arguments[] = {
    OP_SHAPE_ARGUMENT("before", pil_pad_options, before, "positions in front of each axis"),
    OP_SHAPE_ARGUMENT("after", pil_pad_options, after, "positions behind each axis"),
    { "constant_value", &ARG_FLOAT, offsetof(pil_pad_options, constant_value), "what stands there" },
};
static const struct arg tile_arguments[] = { OP_SHAPE_ARGUMENT("multiples", pil_tile_options, multiples,
                                                               "how often along each axis") };
static const struct arg broadcast_to_arguments[] = { OP_SHAPE_ARGUMENT("shape", struct op_reshape_args, shape,
                                                                       "the result's; -1 is the batch") };

static const struct op_row rows[] = {
    { .name = "slice_box",
      .help = "a box out of a tensor",
      OP_ARGUMENTS(pil_slice_options, slice_box_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = slice_box_infer,
      .run = slice_box_run,
      .gradient = slice_box_gradient,
      .view = slice_box_view },
    { .name = "pad",
      .help = "constants around a tensor",
      OP_ARGUMENTS(pil_pad_options, pad_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = pad_infer,
      .run = pad_run,
      .gradient = pad_gradient },
    { .name = "tile",
      .help = "a tensor again and again",
      OP_ARGUMENTS(pil_tile_options, tile_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = tile_infer,
      .run = tile_run,
      .gradient = tile_gradient },
    { .name = "tile_gradient",
      .help = "the copies of a tile added up",
      .min_inputs = 2,
      .max_inputs = 2,
      .flags = OP_TAKES_VIEWS,
      .infer = tile_gradient_infer,
      .run = tile_gradient_run },
    { .name = "broadcast_to",
      .help = "a tensor repeated to a shape",
      OP_ARGUMENTS(struct op_reshape_args, broadcast_to_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = broadcast_to_infer,
      .run = broadcast_to_run,
      .gradient = broadcast_to_gradient },
};
OP_ROWS_OF(box);
