/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions over the batch and back. Sums of losses and moments are doubles; a parameter's gradient is float32.
 *
 *   sum_all          x [batch, ...] -> [] float64: every element           reduces
 *   divide_by_rows   x / (rows of the batch * factor)                      needs only the number of rows: no border
 *   broadcast_like   x, like -> x repeated to the shape of `like`          row by row when that has rows
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
    g->input_gradients[0] = op_emit2(g, "broadcast_like", NULL, d, g->inputs[0]);
}

static bool divide_by_rows_infer(struct op_infer *infer)
{
    const struct op_type *x = &infer->inputs[0];
    if (x->sparse || OP_ROWS(*x) || (x->dtype != DTYPE_FLOAT32 && x->dtype != DTYPE_FLOAT64))
        return op_fail(infer, "a float tensor without a batch axis is needed");
    infer->outputs[0] = *x;
    infer->outputs[0].dtype = DTYPE_FLOAT32;
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

static bool broadcast_like_infer(struct op_infer *infer)
{
    struct shape out;
    if (!op_need_float(infer))
        return false;
    if (!shape_broadcast(infer->inputs[0].shape, infer->inputs[1].shape, &out) || !shape_equal(out, infer->inputs[1].shape))
        return op_fail(infer, "the first shape cannot be repeated to the second");
    return op_like(infer, 1);
}

static void fill(const struct tensor *out, float value)
{
    for (int64_t r = 0; r < out->rows; r++)
        for (int64_t c = 0; c < out->cols; c++)
            tensor_floats(out)[r * out->ld + c] = value;
}

struct line_call {
    const float *from;
    float *to;
};

static void repeat_line(void *context, const struct op_line *line)
{
    const struct line_call *call = context;
    for (int64_t i = 0; i < line->count; i++)
        call->to[line->out + i * line->out_step] = call->from[line->a + i * line->a_step];
}

static void broadcast_like_run(struct op_run *run)
{
    const struct tensor *value = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    if (value->shape.rank == 0)
        fill(out, *tensor_floats(value));
    else
        op_broadcast(out, value, NULL, repeat_line, &(struct line_call){ tensor_floats(value), tensor_floats(out) });
}

static void broadcast_like_gradient(struct op_gradient *g)
{
    struct op_reshape_args back = { g->type(g->context, g->inputs[0]).shape };
    if (g->wanted[0])
        g->input_gradients[0] = op_emit1(g, "sum_to", &back, g->output_gradients[0]);
}

/* ---- sum_to ---- */

static bool sum_to_infer(struct op_infer *infer)
{
    const struct op_reshape_args *args = infer->args;
    if (!op_need_float(infer))
        return false;
    const struct op_type *x = &infer->inputs[0];
    struct shape back;
    char text[128];
    if (args->shape.rank > x->shape.rank || !shape_broadcast(args->shape, x->shape, &back) || !shape_equal(back, x->shape))
        return op_fail(infer, "cannot be summed to %s", shape_text(args->shape, text));
    bool rows = args->shape.rank > 0 && args->shape.dims[0] == BATCH_DIM;
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32, .shape = args->shape };
    infer->outputs[0].extent = rows ? EXTENT_ROWS : MIN(x->extent, EXTENT_BATCH);
    infer->behaviour = !OP_ROWS(*x) ? BEHAVIOUR_WHOLE : rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_REDUCES;
    return true;
}

static void add_line(void *context, const struct op_line *line)
{
    const struct line_call *call = context; /* "out" is what is summed, "a" the sum */
    for (int64_t i = 0; i < line->count; i++)
        call->to[line->a + i * line->a_step] += call->from[line->out + i * line->out_step];
}

/* A double for the sum of all, since so many are added to one. */
static float sum_of(const struct op_run *run, const struct tensor *x)
{
    double sum = 0;
    if (x->ld == x->cols)
        return (float)run->kernels->sum(x->rows * x->cols, tensor_floats(x));
    for (int64_t r = 0; r < x->rows; r++)
        sum += run->kernels->sum(x->cols, tensor_floats(x) + r * x->ld);
    return (float)sum;
}

static void sum_to_run(struct op_run *run)
{
    const struct tensor *x = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    bool one = out->rows == 1 && out->cols == 1, by_columns = x->cols == x->shape.dims[MAX(x->shape.rank - 1, 0)];
    if (!run->accumulate)
        fill(out, 0);
    if (one)
        *tensor_floats(out) += sum_of(run, x);
    else if (out->rows == 1 && out->cols == x->cols && by_columns)
        run->kernels->bias_gradient(tensor_floats(x), x->ld, x->rows, x->cols, tensor_floats(out));
    else
        op_broadcast(x, out, NULL, add_line, &(struct line_call){ tensor_floats(x), tensor_floats(out) });
}

static void sum_to_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "broadcast_like", NULL, g->output_gradients[0], g->inputs[0]);
}

static const struct arg count_arguments[] = {
    { "factor", &ARG_INT, offsetof(struct op_count_args, factor), "what the number of rows is multiplied by" },
};
static const struct arg shape_arguments[] = { OP_SHAPE_ARGUMENT("shape", struct op_reshape_args, shape,
                                                                "the sum's; -1 is the batch") };

static const struct op_row rows[] = {
    { .name = "sum_all",
      .help = "the sum of every element, in float64",
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = sum_all_infer,
      .run = sum_all_run,
      .gradient = sum_all_gradient },
    { .name = "divide_by_rows",
      .help = "x divided by the rows of the batch times a factor",
      OP_ARGUMENTS(struct op_count_args, count_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .infer = divide_by_rows_infer,
      .run = divide_by_rows_run,
      .gradient = divide_by_rows_gradient },
    { .name = "broadcast_like",
      .help = "x repeated to the shape of another tensor",
      .min_inputs = 2,
      .max_inputs = 2,
      .flags = OP_TAKES_VIEWS,
      .infer = broadcast_like_infer,
      .run = broadcast_like_run,
      .gradient = broadcast_like_gradient },
    { .name = "sum_to",
      .help = "sums to a shape that broadcasts to the input's",
      OP_ARGUMENTS(struct op_reshape_args, shape_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = sum_to_infer,
      .run = sum_to_run,
      .gradient = sum_to_gradient },
};
OP_ROWS_OF(reduce);
