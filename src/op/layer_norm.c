/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layer normalization (Ba, Kiros and Hinton 2016): each row by its own mean and variance over the axes from `axis` on,
 * y = gamma (x - mean) / sqrt(variance + epsilon) + beta, gamma and beta of those axes' shape.
 *
 * Backward, with xhat = (x - mean) / sqrt(variance + epsilon) and d = dy gamma:
 *   dx = (d - mean d - xhat mean (d xhat)) / sqrt(variance + epsilon)      row by row
 *   dgamma = sum dy xhat, dbeta = sum dy (layer_norm_sums)                 reduces
 */
#include <math.h>

#include "op/internal.h"

/* ---- what is normalized together ---- */

/* A tensor's elements in runs of its last axis, which lie together however the tensor is cut. */
static float *run_of(const struct tensor *tensor, int64_t length, int64_t number)
{
    int64_t in_row = tensor->cols / length;
    return tensor_floats(tensor) + number / in_row * tensor->ld + number % in_row * length;
}

/* Groups of `runs` runs of `length` elements. */
struct groups_of_runs {
    int64_t count, runs, length;
};

static struct groups_of_runs find_groups(const struct tensor *x, int axis)
{
    const struct shape *shape = &x->shape;
    struct groups_of_runs groups = { 1, 1, shape->dims[shape->rank - 1] };
    axis = axis < 0 ? axis + shape->rank : axis;
    for (int i = 0; i < shape->rank - 1; i++)
        *(i < axis ? &groups.count : &groups.runs) *= shape->dims[i];
    groups.count = groups.length > 0 && groups.runs > 0 ? groups.count : 0;
    return groups;
}

struct moments {
    double mean, inverse; /* 1 / sqrt(variance + epsilon) */
};

static struct moments moments_of(const struct tensor *x, const struct groups_of_runs *groups, int64_t group, float epsilon)
{
    double sum = 0, squares = 0, n = (double)(groups->runs * groups->length);
    for (int64_t k = 0; k < groups->runs; k++) {
        const float *in = run_of(x, groups->length, group * groups->runs + k);
        for (int64_t i = 0; i < groups->length; i++)
            sum += (double)in[i];
    }
    double mean = sum / n;
    for (int64_t k = 0; k < groups->runs; k++) {
        const float *in = run_of(x, groups->length, group * groups->runs + k);
        for (int64_t i = 0; i < groups->length; i++)
            squares += ((double)in[i] - mean) * ((double)in[i] - mean);
    }
    return (struct moments){ mean, 1 / sqrt(squares / n + (double)epsilon) };
}

/* ---- shape rules ---- */

static bool check_axis(struct op_infer *infer, const struct op_type *x, int wanted, int *axis)
{
    if (!op_need_float(infer) || !op_find_axis(infer, wanted, x->shape.rank, axis))
        return false;
    for (int i = *axis; i < x->shape.rank; i++)
        if (x->shape.dims[i] == BATCH_DIM)
            return op_fail(infer, "rows are normalized each by itself: not over the batch axis");
    return true;
}

static bool check_parameter(struct op_infer *infer, const struct shape *x, int axis, int i)
{
    struct shape want = { .rank = x->rank - axis };
    char text[128];
    for (int k = 0; k < want.rank; k++)
        want.dims[k] = x->dims[axis + k];
    return shape_equal(infer->inputs[i].shape, want) || op_fail(infer, "input %d must be %s", i + 1, shape_text(want, text));
}

static bool layer_norm_infer(struct op_infer *infer)
{
    const struct op_layer_norm_args *args = infer->args;
    const struct shape *x = &infer->inputs[0].shape;
    int axis;
    return check_axis(infer, &infer->inputs[0], args->axis, &axis) && check_parameter(infer, x, axis, 1) &&
           check_parameter(infer, x, axis, 2) && op_like(infer, 0);
}

/* dy, x, gamma -> dx */
static bool layer_norm_dx_infer(struct op_infer *infer)
{
    const struct op_layer_norm_args *args = infer->args;
    const struct op_type *x = &infer->inputs[1];
    int axis;
    if (!check_axis(infer, x, args->axis, &axis) || !check_parameter(infer, &x->shape, axis, 2))
        return false;
    return shape_equal(infer->inputs[0].shape, x->shape) ? op_like(infer, 1)
                                                         : op_fail(infer, "the first two must have one shape");
}

/* dy, x -> [2, elements of gamma] float64: dbeta, dgamma */
static bool layer_norm_sums_infer(struct op_infer *infer)
{
    const struct op_layer_norm_args *args = infer->args;
    const struct op_type *x = &infer->inputs[1];
    int64_t elements = 1;
    int axis;
    if (!check_axis(infer, x, args->axis, &axis))
        return false;
    if (!shape_equal(infer->inputs[0].shape, x->shape))
        return op_fail(infer, "the first two must have one shape");
    for (int i = axis; i < x->shape.rank; i++)
        elements *= x->shape.dims[i];
    infer->outputs[0] =
        (struct op_type){ .dtype = DTYPE_FLOAT64, .extent = MIN(op_widest(infer), EXTENT_BATCH), .shape = SHAPE(2, elements) };
    infer->behaviour = op_widest(infer) == EXTENT_ROWS ? BEHAVIOUR_REDUCES : BEHAVIOUR_WHOLE;
    return true;
}

/* ---- forward and back ---- */

static void layer_norm_run(struct op_run *run)
{
    const struct op_layer_norm_args *args = run->args;
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    struct groups_of_runs groups = find_groups(x, args->axis);
    for (int64_t g = 0; g < groups.count; g++) {
        struct moments moments = moments_of(x, &groups, g, args->epsilon);
        for (int64_t k = 0; k < groups.runs; k++) {
            const float *in = run_of(x, groups.length, g * groups.runs + k);
            const float *gamma = run_of(&run->inputs[1].tensor, groups.length, k),
                        *beta = run_of(&run->inputs[2].tensor, groups.length, k);
            float *out = run_of(y, groups.length, g * groups.runs + k);
            for (int64_t i = 0; i < groups.length; i++)
                out[i] = (float)(((double)in[i] - moments.mean) * moments.inverse * (double)gamma[i] + (double)beta[i]);
        }
    }
}

static void layer_norm_dx_run(struct op_run *run)
{
    const struct op_layer_norm_args *args = run->args;
    const struct tensor *dy = &run->inputs[0].tensor, *x = &run->inputs[1].tensor, *dx = &run->outputs[0].tensor;
    struct groups_of_runs groups = find_groups(x, args->axis);
    double n = (double)(groups.runs * groups.length);
    for (int64_t g = 0; g < groups.count; g++) {
        struct moments moments = moments_of(x, &groups, g, args->epsilon);
        double sum = 0, along = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t k = 0; k < groups.runs; k++) {
                int64_t number = g * groups.runs + k;
                const float *in = run_of(x, groups.length, number), *d = run_of(dy, groups.length, number);
                const float *gamma = run_of(&run->inputs[2].tensor, groups.length, k);
                float *out = run_of(dx, groups.length, number);
                for (int64_t i = 0; i < groups.length; i++) {
                    double xhat = ((double)in[i] - moments.mean) * moments.inverse, scaled = (double)d[i] * (double)gamma[i];
                    if (pass == 1) {
                        out[i] = (float)(moments.inverse * (scaled - sum / n - xhat * along / n));
                        continue;
                    }
                    sum += scaled;
                    along += scaled * xhat;
                }
            }
    }
}

static void layer_norm_sums_run(struct op_run *run)
{
    const struct op_layer_norm_args *args = run->args;
    const struct tensor *dy = &run->inputs[0].tensor, *x = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    struct groups_of_runs groups = find_groups(x, args->axis);
    for (int64_t r = 0; r < 2 && !run->accumulate; r++)
        for (int64_t c = 0; c < out->cols; c++)
            ((double *)out->data)[r * out->ld + c] = 0;
    for (int64_t g = 0; g < groups.count; g++) {
        struct moments moments = moments_of(x, &groups, g, args->epsilon);
        for (int64_t k = 0; k < groups.runs; k++) {
            const float *in = run_of(x, groups.length, g * groups.runs + k), *d = run_of(dy, groups.length, g * groups.runs + k);
            double *dbeta = (double *)out->data + k * groups.length, *dgamma = dbeta + out->ld;
            for (int64_t i = 0; i < groups.length; i++) {
                dbeta[i] += (double)d[i];
                dgamma[i] += (double)d[i] * (((double)in[i] - moments.mean) * moments.inverse);
            }
        }
    }
}

/* Row `row` of the sums in the shape of input i. */
static struct pil_tensor *one_sum(struct op_gradient *g, struct pil_tensor *sums, int64_t row, int i)
{
    struct op_reshape_args shape = { g->type(g->context, g->inputs[i]).shape };
    struct pil_tensor *one = op_emit1(g, "slice", &(struct op_slice_args){ 0, row, 1 }, sums);
    return op_emit1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, op_emit1(g, "reshape", &shape, one));
}

static void layer_norm_gradient(struct op_gradient *g)
{
    struct pil_tensor *dy = g->output_gradients[0], *x = g->inputs[0];
    if (g->wanted[0])
        g->input_gradients[0] = op_emit3(g, "layer_norm_dx", g->args, dy, x, g->inputs[1]);
    struct pil_tensor *sums = g->wanted[1] || g->wanted[2] ? op_emit2(g, "layer_norm_sums", g->args, dy, x) : NULL;
    for (int i = 1; i < 3; i++)
        if (g->wanted[i])
            g->input_gradients[i] = one_sum(g, sums, i == 1, i);
}

static const struct arg layer_norm_arguments[] = {
    { "axis", &OP_ARG_INT, offsetof(struct op_layer_norm_args, axis), "the first of the axes that are normalized together" },
    { "epsilon", &ARG_FLOAT, offsetof(struct op_layer_norm_args, epsilon), "added to the variance" },
};

static const struct op_row rows[] = {
    { .name = "layer_norm",
      .help = "rows by their own mean and variance, times gamma plus beta",
      OP_ARGUMENTS(struct op_layer_norm_args, layer_norm_arguments),
      .min_inputs = 3,
      .max_inputs = 3,
      .flags = OP_TAKES_VIEWS,
      .infer = layer_norm_infer,
      .run = layer_norm_run,
      .gradient = layer_norm_gradient },
    { .name = "layer_norm_dx",
      .help = "layer_norm's gradient for x",
      OP_ARGUMENTS(struct op_layer_norm_args, layer_norm_arguments),
      .min_inputs = 3,
      .max_inputs = 3,
      .flags = OP_TAKES_VIEWS,
      .infer = layer_norm_dx_infer,
      .run = layer_norm_dx_run },
    { .name = "layer_norm_sums",
      .help = "sum dy and sum dy xhat",
      OP_ARGUMENTS(struct op_layer_norm_args, layer_norm_arguments),
      .min_inputs = 2,
      .max_inputs = 2,
      .flags = OP_TAKES_VIEWS,
      .infer = layer_norm_sums_infer,
      .run = layer_norm_sums_run },
};
OP_ROWS_OF(layer_norm);
