/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions over the batch and back. Sums of losses and moments are doubles; a parameter's gradient is float32.
 *
 *   sum_all          x [batch, ...] -> [] float64: every element           reduces
 *   divide_by_rows   x / (rows of the batch * factor)                      needs only the number of rows: no border
 *   broadcast_rows   s [], like [batch, ...] -> s everywhere, shaped so    row by row
 *   sum_to           x summed to a shape it was broadcast from             reduces when the batch axis goes
 */
#include <string.h>

#include "op/internal.h"

static bool sum_all_infer(struct op_infer *infer)
{
    if (!op_need_float(infer))
        return false;
    enum extent extent = op_widest(infer);
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT64, .extent = MIN(extent, EXTENT_BATCH), .shape = SHAPE_SCALAR };
    infer->behaviour = extent == EXTENT_ROWS ? BEHAVIOUR_REDUCES : BEHAVIOUR_WHOLE;
    return true;
}

static void sum_all_run(struct op_run *run)
{
    const struct tensor *x = &run->inputs[0].tensor;
    double sum = 0;
    if (x->ld == x->cols) {
        sum = run->kernels->sum(x->rows * x->cols, tensor_floats(x));
    } else {
        for (int64_t r = 0; r < x->rows; r++)
            sum += run->kernels->sum(x->cols, tensor_floats(x) + r * x->ld);
    }
    double *out = run->outputs[0].tensor.data;
    *out = run->accumulate ? *out + sum : sum;
}

static void sum_all_gradient(struct op_gradient *g)
{
    struct pil_tensor *d = op_emit1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, g->output_gradients[0]);
    g->input_gradients[0] = op_emit2(g, "broadcast_rows", NULL, d, g->inputs[0]);
}

static bool divide_by_rows_infer(struct op_infer *infer)
{
    const struct op_type *x = &infer->inputs[0];
    if (x->sparse || OP_ROWS(*x) || (x->dtype != DTYPE_FLOAT32 && x->dtype != DTYPE_FLOAT64))
        return op_fail(infer, "a float tensor without a batch axis is needed");
    infer->outputs[0] = *x;
    infer->outputs[0].dtype = DTYPE_FLOAT32;
    infer->per_count = true;
    return true;
}

static void divide_by_rows_run(struct op_run *run)
{
    const struct op_count_args *args = run->args;
    const struct tensor *x = &run->inputs[0].tensor;
    double divisor = (double)run->batch_rows * (double)(args->factor > 0 ? args->factor : 1);
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t c = 0; c < x->cols; c++) {
            int64_t at = r * x->ld + c;
            double value = x->dtype == DTYPE_FLOAT64 ? ((const double *)x->data)[at] : tensor_floats(x)[at];
            tensor_floats(&run->outputs[0].tensor)[r * run->outputs[0].tensor.ld + c] = (float)(value / divisor);
        }
}

static void divide_by_rows_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit1(g, "divide_by_rows", g->args, g->output_gradients[0]);
    if (g->type(g->context, g->inputs[0]).dtype == DTYPE_FLOAT64)
        g->input_gradients[0] = op_emit1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT64 }, g->input_gradients[0]);
}

static bool broadcast_rows_infer(struct op_infer *infer)
{
    if (infer->inputs[0].shape.rank != 0 || infer->inputs[0].dtype != DTYPE_FLOAT32)
        return op_fail(infer, "the value must be a float32 scalar");
    return op_like(infer, 1);
}

static void fill(const struct tensor *out, float value)
{
    for (int64_t r = 0; r < out->rows; r++)
        for (int64_t c = 0; c < out->cols; c++)
            tensor_floats(out)[r * out->ld + c] = value;
}

static void broadcast_rows_run(struct op_run *run)
{
    fill(&run->outputs[0].tensor, *tensor_floats(&run->inputs[0].tensor));
}

static void broadcast_rows_gradient(struct op_gradient *g)
{
    if (g->wanted[0])
        g->input_gradients[0] = op_emit1(g, "sum_to", &(struct op_reshape_args){ SHAPE_SCALAR }, g->output_gradients[0]);
}

/* ---- sum_to ---- */

static bool sum_to_infer(struct op_infer *infer)
{
    const struct op_reshape_args *args = infer->args;
    if (!op_need_float(infer))
        return false;
    const struct op_type *x = &infer->inputs[0];
    struct shape back;
    if (args->shape.rank > x->shape.rank || !shape_broadcast(args->shape, x->shape, &back) || !shape_equal(back, x->shape))
        return op_fail(infer, "cannot be summed to that shape");
    bool rows = args->shape.rank > 0 && args->shape.rank == x->shape.rank && args->shape.dims[0] == BATCH_DIM;
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32, .shape = args->shape };
    infer->outputs[0].extent = rows ? EXTENT_ROWS : MIN(x->extent, EXTENT_BATCH);
    infer->behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : OP_ROWS(*x) ? BEHAVIOUR_REDUCES : BEHAVIOUR_WHOLE;
    return true;
}

struct sum_call {
    const float *x;
    float *out;
};

static void sum_step(void *context, int64_t x, int64_t out, int64_t unused)
{
    (void)unused;
    struct sum_call *call = context;
    call->out[out] += call->x[x];
}

static void sum_to_run(struct op_run *run)
{
    const struct tensor *x = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    if (!run->accumulate)
        fill(out, 0);
    if (out->shape.rank == 1 && x->shape.rank == 2 && out->cols == x->cols) {
        run->kernels->bias_gradient(tensor_floats(x), x->ld, x->rows, x->cols, tensor_floats(out));
        return;
    }
    struct sum_call call = { tensor_floats(x), tensor_floats(out) };
    op_broadcast(x, out, NULL, sum_step, &call); /* walks x, with out's offsets broadcast against it */
}

/* The transpose of a sum is a repetition: add to zeros of the input's shape. */
static void sum_to_gradient(struct op_gradient *g)
{
    struct pil_tensor *zeros = op_emit1(g, "scale", &(struct op_scalar_args){ 0 }, g->inputs[0]);
    g->input_gradients[0] = op_emit2(g, "add", NULL, zeros, g->output_gradients[0]);
}

static const struct op_row rows[] = {
    { .name = "sum_all", .help = "the sum of every element, in float64", .min_inputs = 1, .max_inputs = 1, .flags = OP_TAKES_VIEWS,
      .infer = sum_all_infer, .run = sum_all_run, .gradient = sum_all_gradient },
    { .name = "divide_by_rows", .help = "x divided by the rows of the batch times a factor", .args_size = sizeof(struct op_count_args),
      .min_inputs = 1, .max_inputs = 1, .infer = divide_by_rows_infer, .run = divide_by_rows_run, .gradient = divide_by_rows_gradient },
    { .name = "broadcast_rows", .help = "a scalar in the shape of another tensor", .min_inputs = 2, .max_inputs = 2,
      .flags = OP_TAKES_VIEWS, .infer = broadcast_rows_infer, .run = broadcast_rows_run, .gradient = broadcast_rows_gradient },
    { .name = "sum_to", .help = "sums to a shape that broadcasts to the input's", .args_size = sizeof(struct op_reshape_args),
      .min_inputs = 1, .max_inputs = 1, .flags = OP_TAKES_VIEWS, .infer = sum_to_infer, .run = sum_to_run, .gradient = sum_to_gradient },
};
OP_ROWS_OF(reduce);
