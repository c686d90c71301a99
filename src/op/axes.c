/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions over axes that the model names (those that the batch alone makes necessary: reduce.c).
 *
 *   reduce_sum, reduce_mean   x -> x without the axes; float64 when the batch axis goes: a shard's partial     reduces
 *   reduce_max, reduce_min    the gradient is shared equally among ties, as in TensorFlow (math_grad.py)
 *   argmax                    the first position of the largest; no gradient
 *
 * An axis beside the batch is reduced row by row; the largest of the batch, and where it stands, needs the whole batch. Sums are
 * made in double.
 */
#include <math.h>
#include <string.h>

#include "op/internal.h"
#include "pilaster/op.h"

enum { LANES = 16 };

/* ---- which axes ---- */

/* Marks them; returns how many of the list could be: all, unless one is not there or was marked before. */
static int mark_axes(const pil_axes *axes, int rank, bool *gone)
{
    memset(gone, 0, SHAPE_MAX_RANK * sizeof *gone);
    for (int i = 0; i < axes->count; i++) {
        int axis = axes->items[i] < 0 ? axes->items[i] + rank : axes->items[i];
        if (axis < 0 || axis >= rank || gone[axis])
            return i;
        gone[axis] = true;
    }
    for (int i = 0; i < rank && axes->count == 0; i++)
        gone[i] = true;
    return axes->count;
}

static bool find_axes(struct op_infer *infer, const pil_axes *axes, int rank, bool *gone)
{
    if (axes->count < 0 || axes->count > PIL_MAX_RANK)
        return op_fail(infer, "%d axes given, at most %d can be", axes->count, PIL_MAX_RANK);
    int marked = mark_axes(axes, rank, gone);
    if (marked == axes->count)
        return true;
    bool is_there = axes->items[marked] >= -rank && axes->items[marked] < rank;
    return op_fail(infer, is_there ? "axis %d is named twice" : "there is no axis %d", axes->items[marked]);
}

static struct shape without(struct shape shape, const bool *gone, bool keepdims)
{
    struct shape out = { 0 };
    for (int i = 0; i < shape.rank; i++)
        if (!gone[i] || keepdims)
            out.dims[out.rank++] = gone[i] ? 1 : shape.dims[i];
    return out;
}

/* A result without the axes: by rows when the batch is left and comes first, needing the whole batch when rows are mixed. */
static void set_type(struct op_infer *infer, const bool *gone, bool keepdims)
{
    const struct op_type *x = &infer->inputs[0];
    struct op_type *out = &infer->outputs[0];
    *out = (struct op_type){ .dtype = DTYPE_FLOAT32, .shape = without(x->shape, gone, keepdims) };
    bool rows = out->shape.rank > 0 && out->shape.dims[0] == BATCH_DIM;
    out->extent = rows ? EXTENT_ROWS : MIN(x->extent, EXTENT_BATCH);
    infer->behaviour = OP_ROWS(*x) && rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE;
}

/* ---- going through ---- */

/* The tensors that are gone through together: two of x's shape, two without the axes. */
enum { FULL, FULL_OUT, LESS, LESS_TOO, TENSORS };
/* An odometer over some axes, and where it stands in each tensor. */
struct walk {
    int rank;
    int64_t dims[SHAPE_MAX_RANK], index[SHAPE_MAX_RANK];
    int64_t step[SHAPE_MAX_RANK][TENSORS], at[TENSORS];
};
/* The axes that stay and those that go. */
struct reduction {
    struct walk kept, gone;
};

static void walk_start(struct walk *walk)
{
    memset(walk->index, 0, sizeof walk->index);
    memset(walk->at, 0, sizeof walk->at);
}

/* Back at the start when it returns false. */
static bool walk_next(struct walk *walk)
{
    for (int i = walk->rank - 1; i >= 0; i--) {
        bool more = ++walk->index[i] < walk->dims[i];
        for (int t = 0; t < TENSORS; t++)
            walk->at[t] += more ? walk->step[i][t] : -(walk->dims[i] - 1) * walk->step[i][t];
        if (more)
            return true;
        walk->index[i] = 0;
    }
    return false;
}

static bool walk_empty(const struct walk *walk)
{
    for (int i = 0; i < walk->rank; i++)
        if (walk->dims[i] == 0)
            return true;
    return false;
}

/* Axes that lie behind each other become one, so that inner loops are long. */
static void walk_add(struct walk *walk, int64_t count, const int64_t step[TENSORS])
{
    int last = walk->rank - 1;
    bool joins = last >= 0;
    if (count == 1)
        return;
    for (int t = 0; t < TENSORS && joins; t++)
        joins = walk->step[last][t] == count * step[t];
    if (!joins)
        last = walk->rank++;
    walk->dims[last] = joins ? walk->dims[last] * count : count;
    memcpy(walk->step[last], step, sizeof walk->step[last]);
}

static int64_t step_of(const struct tensor *tensor, int axis)
{
    int64_t index[SHAPE_MAX_RANK] = { 0 };
    if (tensor->shape.dims[axis] <= 1)
        return 0;
    index[axis] = 1;
    return op_offset(tensor, index);
}

static struct reduction reduction_of(const struct tensor *const tensors[TENSORS], const bool *gone)
{
    const struct tensor *x = tensors[FULL], *less = tensors[LESS];
    struct reduction out = { 0 };
    for (int i = 0, own = 0; i < x->shape.rank; i++) {
        int64_t step[TENSORS] = { 0 };
        for (int t = 0; t < TENSORS; t++)
            if (tensors[t] && (t < LESS || !gone[i]))
                step[t] = step_of(tensors[t], t < LESS ? i : own);
        walk_add(gone[i] ? &out.gone : &out.kept, x->shape.dims[i], step);
        own += !gone[i] || less->shape.rank == x->shape.rank;
    }
    walk_start(&out.kept);
    walk_start(&out.gone);
    return out;
}

/* The innermost axis, taken out of a walk: without one, one position. */
struct inner {
    int64_t count, step[TENSORS];
};

static struct inner take_inner(struct walk *walk)
{
    struct inner out = { .count = 1 };
    if (walk->rank > 0) {
        walk->rank--;
        out.count = walk->dims[walk->rank];
        memcpy(out.step, walk->step[walk->rank], sizeof out.step);
    }
    return out;
}

/* ---- sums and extremes ---- */

enum reduce { REDUCE_SUM, REDUCE_MAX, REDUCE_MIN };

static void take_in(enum reduce kind, const float *x, int64_t lanes, double *all)
{
    switch (kind) {
    case REDUCE_SUM:
        for (int64_t l = 0; l < lanes; l++)
            all[l] += (double)x[l];
        break;
    case REDUCE_MAX: /* NaN goes through */
        for (int64_t l = 0; l < lanes; l++)
            all[l] = (double)x[l] > all[l] || x[l] != x[l] ? (double)x[l] : all[l];
        break;
    case REDUCE_MIN:
        for (int64_t l = 0; l < lanes; l++)
            all[l] = (double)x[l] < all[l] || x[l] != x[l] ? (double)x[l] : all[l];
        break;
    }
}

/* Everything that goes, of the `lanes` neighbours from x on. */
static void reduce_lanes(const struct op_run *run, enum reduce kind, const float *x, int64_t lanes, struct walk gone, double *all)
{
    for (int64_t l = 0; l < lanes; l++)
        all[l] = kind == REDUCE_SUM ? 0 : kind == REDUCE_MAX ? -INFINITY : INFINITY;
    if (walk_empty(&gone))
        return;
    struct inner inner = take_inner(&gone);
    do {
        const float *from = x + gone.at[FULL];
        if (kind == REDUCE_SUM && lanes == 1 && inner.step[FULL] == 1)
            all[0] += run->kernels->sum(inner.count, from);
        else
            for (int64_t i = 0; i < inner.count; i++)
                take_in(kind, from + i * inner.step[FULL], lanes, all);
    } while (walk_next(&gone));
}

/* What a lane's sum becomes: divided for a mean; a shard's partial is added to. */
static void put(const struct op_run *run, const struct tensor *out, int64_t at, double value)
{
    if (out->dtype == DTYPE_FLOAT64)
        ((double *)out->data)[at] = run->accumulate ? ((double *)out->data)[at] + value : value;
    else
        tensor_floats(out)[at] = (float)value;
}

static void reduce(struct op_run *run, enum reduce kind, bool mean)
{
    const pil_reduce_options *args = run->args;
    const struct tensor *x = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    bool gone[SHAPE_MAX_RANK];
    double divisor = 1, all[LANES];
    mark_axes(&args->axis, x->shape.rank, gone);
    struct reduction r = reduction_of((const struct tensor *const[TENSORS]){ [FULL] = x, [LESS] = out }, gone);
    for (int i = 0; i < x->shape.rank && mean; i++)
        if (gone[i]) /* of a tile, the batch counts */
            divisor *= (double)(i == 0 && out->dtype == DTYPE_FLOAT64 ? run->batch_rows : x->shape.dims[i]);
    if (walk_empty(&r.kept))
        return;
    /* Neighbours that stay go together. */
    bool beside = r.kept.rank > 0 && r.kept.step[r.kept.rank - 1][FULL] == 1;
    struct inner lanes = beside ? take_inner(&r.kept) : (struct inner){ .count = 1 };
    do {
        for (int64_t at = 0; at < lanes.count; at += LANES) {
            int64_t count = MIN(lanes.count - at, LANES);
            reduce_lanes(run, kind, tensor_floats(x) + r.kept.at[FULL] + at, count, r.gone, all);
            for (int64_t l = 0; l < count; l++)
                put(run, out, r.kept.at[LESS] + (at + l) * lanes.step[LESS], all[l] / divisor);
        }
    } while (walk_next(&r.kept));
}

static void reduce_sum_run(struct op_run *run)
{
    reduce(run, REDUCE_SUM, false);
}

static void reduce_mean_run(struct op_run *run)
{
    reduce(run, REDUCE_SUM, true);
}

static void reduce_max_run(struct op_run *run)
{
    reduce(run, REDUCE_MAX, false);
}

static void reduce_min_run(struct op_run *run)
{
    reduce(run, REDUCE_MIN, false);
}

static bool extreme_infer(struct op_infer *infer)
{
    const pil_reduce_options *args = infer->args;
    bool gone[SHAPE_MAX_RANK];
    if (!op_need_float(infer) || !find_axes(infer, &args->axis, infer->inputs[0].shape.rank, gone))
        return false;
    set_type(infer, gone, args->keepdims);
    return true;
}

static bool sum_infer(struct op_infer *infer)
{
    if (!extreme_infer(infer))
        return false;
    if (OP_ROWS(infer->inputs[0]) && !OP_ROWS(infer->outputs[0])) { /* tile by tile */
        infer->outputs[0].dtype = DTYPE_FLOAT64;
        infer->behaviour = BEHAVIOUR_REDUCES;
    }
    return true;
}

/* ---- their gradients: d goes back to every position it came from ---- */

static struct pil_tensor *as_float(struct op_gradient *g)
{
    struct pil_tensor *d = g->output_gradients[0];
    if (g->type(g->context, d).dtype == DTYPE_FLOAT32)
        return d;
    return op_emit1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, d);
}

static void reduce_sum_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "reduce_sum_gradient", g->args, as_float(g), g->inputs[0]);
}

/* Divides before it spreads; by the rows of the batch when those went. */
static void reduce_mean_gradient(struct op_gradient *g)
{
    const pil_reduce_options *args = g->args;
    struct shape shape = g->type(g->context, g->inputs[0]).shape;
    struct pil_tensor *d = as_float(g);
    bool gone[SHAPE_MAX_RANK], batch = false;
    int64_t count = 1;
    mark_axes(&args->axis, shape.rank, gone);
    for (int i = 0; i < shape.rank; i++) {
        batch |= gone[i] && shape.dims[i] == BATCH_DIM;
        count *= gone[i] && shape.dims[i] != BATCH_DIM ? shape.dims[i] : 1;
    }
    d = batch ? op_emit1(g, "divide_by_rows", &(struct op_count_args){ count }, d)
              : op_emit1(g, "scale", &(struct op_scalar_args){ (float)(1.0 / (double)count) }, d);
    g->input_gradients[0] = op_emit2(g, "reduce_sum_gradient", args, d, g->inputs[0]);
}

static void extreme_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit3(g, "reduce_extreme_gradient", g->args, as_float(g), g->inputs[0], g->outputs[0]);
}

/* d, x [, y] -> like x; d and y without the axes. */
static bool back_infer(struct op_infer *infer)
{
    const pil_reduce_options *args = infer->args;
    const struct op_type *x = &infer->inputs[1];
    bool gone[SHAPE_MAX_RANK];
    if (!op_need_float(infer) || !find_axes(infer, &args->axis, x->shape.rank, gone))
        return false;
    for (int i = 0; i < infer->input_count; i++)
        if (i != 1 && !shape_equal(infer->inputs[i].shape, without(x->shape, gone, args->keepdims)))
            return op_fail(infer, "input %d does not fit the axes", i + 1);
    infer->outputs[0] = *x;
    infer->behaviour = OP_ROWS(*x) && (infer->input_count == 2 || !gone[0]) ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE;
    return true;
}

static void fill(float *to, int64_t count, float value)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = value;
}

static void reduce_sum_gradient_run(struct op_run *run)
{
    const pil_reduce_options *args = run->args;
    const struct tensor *d = &run->inputs[0].tensor, *x = &run->inputs[1].tensor, *dx = &run->outputs[0].tensor;
    bool gone[SHAPE_MAX_RANK];
    mark_axes(&args->axis, x->shape.rank, gone);
    struct reduction r = reduction_of((const struct tensor *const[TENSORS]){ [FULL] = dx, [LESS] = d }, gone);
    if (walk_empty(&r.kept) || walk_empty(&r.gone))
        return;
    struct inner inner = take_inner(&r.gone);
    do {
        float value = tensor_floats(d)[r.kept.at[LESS]];
        do {
            float *to = tensor_floats(dx) + r.kept.at[FULL] + r.gone.at[FULL];
            if (inner.step[FULL] == 1)
                fill(to, inner.count, value);
            else
                for (int64_t i = 0; i < inner.count; i++)
                    to[i * inner.step[FULL]] = value;
        } while (walk_next(&r.gone));
    } while (walk_next(&r.kept));
}

/* dx = d / ties where x is the extreme, else 0. */
static void reduce_extreme_gradient_run(struct op_run *run)
{
    const pil_reduce_options *args = run->args;
    const struct tensor *d = &run->inputs[0].tensor, *x = &run->inputs[1].tensor, *y = &run->inputs[2].tensor;
    const struct tensor *dx = &run->outputs[0].tensor;
    bool gone[SHAPE_MAX_RANK];
    mark_axes(&args->axis, x->shape.rank, gone);
    struct reduction r = reduction_of((const struct tensor *const[TENSORS]){ x, dx, d, y }, gone);
    if (walk_empty(&r.kept) || walk_empty(&r.gone))
        return;
    struct inner inner = take_inner(&r.gone);
    do {
        const float extreme = tensor_floats(y)[r.kept.at[LESS_TOO]], *from = tensor_floats(x) + r.kept.at[FULL];
        float *to = tensor_floats(dx) + r.kept.at[FULL_OUT];
        int64_t ties = 0;
        do {
            for (int64_t i = 0; i < inner.count; i++)
                ties += from[r.gone.at[FULL] + i * inner.step[FULL]] == extreme;
        } while (walk_next(&r.gone));
        /* Nothing equals a NaN: then nobody knows, and TensorFlow's 0 / 0 says so. */
        float share = 1.0f / (float)ties * tensor_floats(d)[r.kept.at[LESS]], others = ties > 0 ? 0 : NAN;
        do {
            for (int64_t i = 0; i < inner.count; i++)
                to[r.gone.at[FULL_OUT] + i * inner.step[FULL_OUT]] =
                    from[r.gone.at[FULL] + i * inner.step[FULL]] == extreme ? share : others;
        } while (walk_next(&r.gone));
    } while (walk_next(&r.kept));
}

/* ---- argmax ---- */

static bool argmax_infer(struct op_infer *infer)
{
    const pil_argmax_options *args = infer->args;
    bool gone[SHAPE_MAX_RANK];
    const struct shape *x = &infer->inputs[0].shape;
    if (!op_need_float(infer) || !find_axes(infer, &(pil_axes){ 1, { args->axis } }, x->rank, gone))
        return false;
    for (int i = 0; i < x->rank; i++)
        if (gone[i] && x->dims[i] == 0)
            return op_fail(infer, "axis %d is empty", args->axis);
    set_type(infer, gone, args->keepdims);
    return true;
}

static void argmax_run(struct op_run *run)
{
    const pil_argmax_options *args = run->args;
    const struct tensor *x = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    bool gone[SHAPE_MAX_RANK];
    mark_axes(&(pil_axes){ 1, { args->axis } }, x->shape.rank, gone);
    struct reduction r = reduction_of((const struct tensor *const[TENSORS]){ [FULL] = x, [LESS] = out }, gone);
    if (walk_empty(&r.kept))
        return;
    struct inner inner = take_inner(&r.gone);
    do {
        const float *from = tensor_floats(x) + r.kept.at[FULL];
        int64_t best = 0;
        for (int64_t i = 1; i < inner.count; i++)
            best = from[i * inner.step[FULL]] > from[best * inner.step[FULL]] ? i : best;
        tensor_floats(out)[r.kept.at[LESS]] = (float)best;
    } while (walk_next(&r.kept));
}

static const struct arg reduce_arguments[] = {
    OP_AXES_ARGUMENT("axis", pil_reduce_options, axis, "the axes that go; none: all"),
    { "keepdims", &ARG_BOOL, offsetof(pil_reduce_options, keepdims), "they stay with a size of 1" },
};
static const struct arg argmax_arguments[] = {
    { "axis", &OP_ARG_INT, offsetof(pil_argmax_options, axis), "the axis that goes" },
    { "keepdims", &ARG_BOOL, offsetof(pil_argmax_options, keepdims), "it stays with a size of 1" },
};
static const pil_argmax_options class_of_rows = { .axis = -1, .keepdims = true };

#define REDUCE(op, text, rule, back)                                                                                             \
    {                                                                                                                            \
        .name = #op, .help = text, OP_ARGUMENTS(pil_reduce_options, reduce_arguments), .min_inputs = 1, .max_inputs = 1,         \
        .flags = OP_TAKES_VIEWS, .infer = rule, .run = op##_run, .gradient = back                                                \
    }

static const struct op_row rows[] = {
    REDUCE(reduce_sum, "the sum over axes, in float64 when the batch goes", sum_infer, reduce_sum_gradient),
    REDUCE(reduce_mean, "the mean over axes, in float64 when the batch goes", sum_infer, reduce_mean_gradient),
    REDUCE(reduce_max, "the largest over axes", extreme_infer, extreme_gradient),
    REDUCE(reduce_min, "the smallest over axes", extreme_infer, extreme_gradient),
    { .name = "reduce_sum_gradient",
      .help = "d for every element of x that was summed",
      OP_ARGUMENTS(pil_reduce_options, reduce_arguments),
      .min_inputs = 2,
      .max_inputs = 2,
      .flags = OP_TAKES_VIEWS,
      .infer = back_infer,
      .run = reduce_sum_gradient_run },
    { .name = "reduce_extreme_gradient",
      .help = "d, shared by the elements of x that are y",
      OP_ARGUMENTS(pil_reduce_options, reduce_arguments),
      .min_inputs = 3,
      .max_inputs = 3,
      .flags = OP_TAKES_VIEWS,
      .infer = back_infer,
      .run = reduce_extreme_gradient_run },
    { .name = "argmax",
      .help = "position of the largest, the lower on a tie",
      OP_ARGUMENTS(pil_argmax_options, argmax_arguments),
      .defaults = &class_of_rows,
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = argmax_infer,
      .run = argmax_run },
};
OP_ROWS_OF(axes);
