/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batch normalization (Ioffe and Szegedy 2015) as Keras has it: y = gamma (x - mean) / sqrt(variance + epsilon) + beta over the
 * last axis of x [batch, ..., c]. Training takes mean and biased variance of the batch:
 *
 *   moments       x -> [2, c] float64: sum, sum of squares                              reduces
 *   moments_mean  [2, c] -> mean [c], variance [c]                                      whole
 *   batch_norm    x, mean, variance, gamma, beta -> y                                   row by row
 *
 * Backward, with xhat = (x - mean) / sqrt(variance + epsilon), n rows, s1 = sum dy, s2 = sum dy xhat (batch_norm_sums):
 *   dbeta = s1, dgamma = s2, training: dx = gamma / sqrt(...) (dy - s1 / n - xhat s2 / n), else dx = gamma / sqrt(...) dy.
 * Mean and variance are functions of x in training, so dx is complete and they get no gradient of their own: a model that reads
 * the moments otherwise gets none through them.
 */
#include <math.h>

#include "op/internal.h"

static int64_t channels(const struct tensor *x)
{
    return x->shape.dims[x->shape.rank - 1];
}

/* The type of two sums over all but the channels, [2, channels of x]. */
static void sums_of(struct op_infer *infer, const struct op_type *x)
{
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT64,
                                          .extent = MIN(op_widest(infer), EXTENT_BATCH),
                                          .shape = SHAPE(2, x->shape.dims[x->shape.rank - 1]) };
    infer->behaviour = OP_ROWS(*x) ? BEHAVIOUR_REDUCES : BEHAVIOUR_WHOLE;
}

static bool moments_infer(struct op_infer *infer)
{
    if (!op_need_float(infer))
        return false;
    const struct op_type *x = &infer->inputs[0];
    if (!OP_ROWS(*x) || x->shape.rank < 2)
        return op_fail(infer, "rows with an axis besides the batch are needed");
    sums_of(infer, x);
    return true;
}

static void clear_sums(struct op_run *run)
{
    const struct tensor *out = &run->outputs[0].tensor;
    if (!run->accumulate)
        for (int64_t r = 0; r < out->rows; r++)
            for (int64_t c = 0; c < out->cols; c++)
                ((double *)out->data)[r * out->ld + c] = 0;
}

static void moments_run(struct op_run *run)
{
    const struct tensor *x = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    double *sum = out->data, *square = sum + out->ld;
    int64_t c = channels(x);
    clear_sums(run);
    if (x->cols == c) {
        run->kernels->column_sums(tensor_floats(x), x->ld, x->rows, c, sum, square);
        return;
    }
    for (int64_t r = 0; r < x->rows; r++)
        run->kernels->column_sums(tensor_floats(x) + r * x->ld, c, x->cols / c, c, sum, square);
}

/* args: struct op_count_args, factor = positions of each channel in a row. */
static bool moments_mean_infer(struct op_infer *infer)
{
    const struct op_type *m = &infer->inputs[0];
    if (m->sparse || m->dtype != DTYPE_FLOAT64 || m->shape.rank != 2 || m->shape.dims[0] != 2)
        return op_fail(infer, "the float64 sums of moments [2, channels] are needed");
    for (int i = 0; i < 2; i++)
        infer->outputs[i] = (struct op_type){ .dtype = DTYPE_FLOAT32, .extent = m->extent, .shape = SHAPE(m->shape.dims[1]) };
    return true;
}

static void moments_mean_run(struct op_run *run)
{
    const struct op_count_args *args = run->args;
    const struct tensor *m = &run->inputs[0].tensor;
    const double *sum = m->data, *square = sum + m->ld;
    double n = (double)run->batch_rows * (double)MAX(args->factor, 1);
    for (int64_t c = 0; c < m->cols; c++) {
        double mean = sum[c] / n, variance = square[c] / n - mean * mean;
        tensor_floats(&run->outputs[0].tensor)[c] = (float)mean;
        tensor_floats(&run->outputs[1].tensor)[c] = (float)(variance > 0 ? variance : 0);
    }
}

/* Inputs first, first + 1, ... are vectors of x's channels. */
static bool check_vectors(struct op_infer *infer, int x, int first, int count)
{
    int64_t c = infer->inputs[x].shape.dims[infer->inputs[x].shape.rank - 1];
    for (int i = first; i < first + count; i++)
        if (infer->inputs[i].shape.rank != 1 || infer->inputs[i].shape.dims[0] != c)
            return op_fail(infer, "input %d must have %lld elements", i + 1, (long long)c);
    return true;
}

static bool batch_norm_infer(struct op_infer *infer)
{
    if (!op_need_float(infer))
        return false;
    if (infer->inputs[0].shape.rank < (OP_ROWS(infer->inputs[0]) ? 2 : 1))
        return op_fail(infer, "an axis besides the batch is needed");
    if (infer->inputs[0].shape.dims[infer->inputs[0].shape.rank - 1] == BATCH_DIM)
        return op_fail(infer, "the batch cannot be the axis of channels");
    return check_vectors(infer, 0, 1, 4) && op_like(infer, 0);
}

static void batch_norm_run(struct op_run *run)
{
    const struct op_norm_args *args = run->args;
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    const float *mean = tensor_floats(&run->inputs[1].tensor), *variance = tensor_floats(&run->inputs[2].tensor);
    const float *gamma = tensor_floats(&run->inputs[3].tensor), *beta = tensor_floats(&run->inputs[4].tensor);
    int64_t n = channels(x);
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t at = 0; at < x->cols; at += n) {
            const float *in = tensor_floats(x) + r * x->ld + at;
            float *out = tensor_floats(y) + r * y->ld + at;
            for (int64_t c = 0; c < n; c++)
                out[c] = (in[c] - mean[c]) * (gamma[c] / sqrtf(variance[c] + args->epsilon)) + beta[c];
        }
}

/* dy and x: of one shape, rows where the batch's own moments come in. */
static bool check_pair(struct op_infer *infer)
{
    const struct op_norm_args *args = infer->args;
    const struct op_type *dy = &infer->inputs[0], *x = &infer->inputs[1];
    if (dy->sparse || x->sparse || dy->shape.rank < (OP_ROWS(*x) ? 2 : 1) || !shape_equal(dy->shape, x->shape))
        return op_fail(infer, "the first two must have one shape, with an axis besides the batch");
    return OP_ROWS(*x) || !args->training || op_fail(infer, "training needs rows");
}

/* s1, s2 from dy, x, mean, variance. */
static bool batch_norm_sums_infer(struct op_infer *infer)
{
    if (!check_pair(infer) || !check_vectors(infer, 1, 2, 2))
        return false;
    sums_of(infer, &infer->inputs[0]);
    return true;
}

static void batch_norm_sums_run(struct op_run *run)
{
    const struct op_norm_args *args = run->args;
    const struct tensor *dy = &run->inputs[0].tensor, *x = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    const float *mean = tensor_floats(&run->inputs[2].tensor), *variance = tensor_floats(&run->inputs[3].tensor);
    double *s1 = out->data, *s2 = s1 + out->ld;
    int64_t n = channels(x);
    clear_sums(run);
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t at = 0; at < x->cols; at += n) {
            const float *d = tensor_floats(dy) + r * dy->ld + at, *in = tensor_floats(x) + r * x->ld + at;
            for (int64_t c = 0; c < n; c++) {
                s1[c] += (double)d[c];
                s2[c] += (double)d[c] * (((double)in[c] - (double)mean[c]) / sqrt((double)variance[c] + (double)args->epsilon));
            }
        }
}

/* dx from dy, x, mean, variance, gamma [, sums]. */
static bool batch_norm_dx_infer(struct op_infer *infer)
{
    const struct op_norm_args *args = infer->args;
    if (args->training && infer->input_count < 6)
        return op_fail(infer, "training needs the sums");
    return check_pair(infer) && check_vectors(infer, 1, 2, 3) && op_like(infer, 0);
}

static void batch_norm_dx_run(struct op_run *run)
{
    const struct op_norm_args *args = run->args;
    const struct tensor *dy = &run->inputs[0].tensor, *x = &run->inputs[1].tensor, *dx = &run->outputs[0].tensor;
    const float *mean = tensor_floats(&run->inputs[2].tensor), *variance = tensor_floats(&run->inputs[3].tensor);
    const float *gamma = tensor_floats(&run->inputs[4].tensor);
    const double *s1 = args->training ? run->inputs[5].tensor.data : NULL, *s2 = s1 ? s1 + run->inputs[5].tensor.ld : NULL;
    int64_t n = channels(x);
    double count = (double)run->batch_rows * (double)(x->cols / n);
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t at = 0; at < x->cols; at += n) {
            const float *d = tensor_floats(dy) + r * dy->ld + at, *in = tensor_floats(x) + r * x->ld + at;
            float *out = tensor_floats(dx) + r * dx->ld + at;
            for (int64_t c = 0; c < n; c++) {
                float inverse = 1.0f / sqrtf(variance[c] + args->epsilon);
                float centred = s1 ? d[c] - (float)(s1[c] / count) - (in[c] - mean[c]) * inverse * (float)(s2[c] / count) : d[c];
                out[c] = gamma[c] * inverse * centred;
            }
        }
}

static struct pil_tensor *sums_row(struct op_gradient *g, struct pil_tensor *sums, int64_t row, int64_t n)
{
    struct pil_tensor *one = op_emit1(g, "slice", &(struct op_slice_args){ 0, row, 1 }, sums);
    one = op_emit1(g, "reshape", &(struct op_reshape_args){ SHAPE(n) }, one);
    return op_emit1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, one);
}

static void batch_norm_gradient(struct op_gradient *g)
{
    const struct op_norm_args *args = g->args;
    struct pil_tensor *dy = g->output_gradients[0], *x = g->inputs[0], *mean = g->inputs[1], *variance = g->inputs[2];
    struct shape shape = g->type(g->context, x).shape;
    struct pil_tensor *sums =
        g->emit(g->context, "batch_norm_sums", args, (struct pil_tensor *[]){ dy, x, mean, variance }, 4, NULL);
    if (g->wanted[0])
        g->input_gradients[0] =
            g->emit(g->context, "batch_norm_dx", args, (struct pil_tensor *[]){ dy, x, mean, variance, g->inputs[3], sums },
                    args->training ? 6 : 5, NULL);
    if (g->wanted[3])
        g->input_gradients[3] = sums_row(g, sums, 1, shape.dims[shape.rank - 1]);
    if (g->wanted[4])
        g->input_gradients[4] = sums_row(g, sums, 0, shape.dims[shape.rank - 1]);
}

static const struct arg count_arguments[] = {
    { "factor", &ARG_INT, offsetof(struct op_count_args, factor), "positions of a channel in a row" },
};
static const struct arg norm_arguments[] = {
    { "epsilon", &ARG_FLOAT, offsetof(struct op_norm_args, epsilon), "added to the variance" },
    { "training", &ARG_BOOL, offsetof(struct op_norm_args, training), "mean and variance are the batch's own" },
};

static const struct op_row rows[] = {
    { .name = "moments",
      .help = "sums and sums of squares over the batch",
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = moments_infer,
      .run = moments_run },
    { .name = "moments_mean",
      .help = "mean and biased variance from the sums",
      OP_ARGUMENTS(struct op_count_args, count_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .outputs = 2,
      .infer = moments_mean_infer,
      .run = moments_mean_run },
    { .name = "batch_norm",
      .help = "gamma (x - mean) / sqrt(variance + epsilon) + beta",
      OP_ARGUMENTS(struct op_norm_args, norm_arguments),
      .min_inputs = 5,
      .max_inputs = 5,
      .flags = OP_TAKES_VIEWS,
      .infer = batch_norm_infer,
      .run = batch_norm_run,
      .gradient = batch_norm_gradient },
    { .name = "batch_norm_sums",
      .help = "sum dy and sum dy xhat",
      OP_ARGUMENTS(struct op_norm_args, norm_arguments),
      .min_inputs = 4,
      .max_inputs = 4,
      .flags = OP_TAKES_VIEWS,
      .infer = batch_norm_sums_infer,
      .run = batch_norm_sums_run },
    { .name = "batch_norm_dx",
      .help = "batch_norm's gradient for x",
      OP_ARGUMENTS(struct op_norm_args, norm_arguments),
      .min_inputs = 5,
      .max_inputs = 6,
      .flags = OP_TAKES_VIEWS,
      .infer = batch_norm_dx_infer,
      .run = batch_norm_dx_run },
};
OP_ROWS_OF(norm);
