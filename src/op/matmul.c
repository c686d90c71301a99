/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products, with bias and activation fused: y = act(x W + b).
 *
 *   forward            x [..., k]  W [k, n]  b [n]   row by row when x has rows
 *   transposed, rows   x [batch, ..., k]  y [batch, ..., n] -> [k, n], summed over the batch: reduces
 *
 * Gradients (with p = x W + b, dp = act'(p) dy): dx = dp W^T, dW = x^T dp, db = column sums of dp.
 */
#include "op/internal.h"

static bool matmul_infer(struct op_infer *infer)
{
    const struct op_matmul_args *args = infer->args;
    if (!op_need_float(infer))
        return false;
    const struct op_type *a = &infer->inputs[0], *b = &infer->inputs[1];
    if (infer->input_count != 2 + args->bias + args->gate)
        return op_fail(infer, "%d inputs given, %d needed", infer->input_count, 2 + args->bias + args->gate);
    if (a->shape.rank < 2 || b->shape.rank < 2)
        return op_fail(infer, "both factors need two axes or more");
    if (op_activation_takes_input(args->activation))
        return op_fail(infer, "this activation cannot be fused, since its gradient needs its input");
    int64_t inner_a = args->transpose_a ? a->shape.dims[a->shape.rank - 2] : a->shape.dims[a->shape.rank - 1];
    int64_t k = a->shape.dims[a->shape.rank - 1], n = b->shape.dims[b->shape.rank - 1];
    struct op_type *out = &infer->outputs[0];
    *out = (struct op_type){ .dtype = DTYPE_FLOAT32 };
    if (args->transpose_a && OP_ROWS(*a)) {
        if (!OP_ROWS(*b) || a->shape.rank != b->shape.rank)
            return op_fail(infer, "a product over the batch needs rows on both sides");
        for (int i = 0; i < a->shape.rank - 1; i++)
            if (a->shape.dims[i] != b->shape.dims[i])
                return op_fail(infer, "the factors differ in axis %d", i);
        out->shape = SHAPE(k, n);
        out->extent = EXTENT_BATCH;
        infer->behaviour = BEHAVIOUR_REDUCES;
        return true;
    }
    if (OP_ROWS(*b) || b->shape.rank != 2)
        return op_fail(infer, "the right factor must be a matrix without a batch axis");
    if (args->transpose_a && a->shape.rank != 2)
        return op_fail(infer, "only a matrix can be transposed");
    if (inner_a != b->shape.dims[0])
        return op_fail(infer, "the inner sizes %lld and %lld differ", (long long)inner_a, (long long)b->shape.dims[0]);
    if (args->bias && (infer->inputs[2].shape.rank != 1 || infer->inputs[2].shape.dims[0] != n))
        return op_fail(infer, "the bias must have %lld elements", (long long)n);
    out->shape = a->shape;
    if (args->transpose_a)
        out->shape.dims[0] = k;
    out->shape.dims[out->shape.rank - 1] = n;
    if (args->gate && !shape_equal(infer->inputs[2 + args->bias].shape, out->shape))
        return op_fail(infer, "the gate must have the product's shape");
    op_by_rows(infer);
    return true;
}

/* A tensor as a matrix whose columns are its last axis: [batch, time, k] is batch * time rows. */
static struct tensor last_axis(const struct tensor *tensor)
{
    struct tensor matrix = *tensor;
    int64_t last = tensor->shape.dims[tensor->shape.rank - 1];
    if (tensor->cols != last) {
        matrix.rows = tensor->rows * (last > 0 ? tensor->cols / last : 0);
        matrix.cols = matrix.ld = last;
    }
    return matrix;
}

/* True when a [batch, time, k] view is not a plain matrix because rows of the batch are padded. */
static bool is_folded(const struct tensor *tensor)
{
    return tensor->cols != tensor->shape.dims[tensor->shape.rank - 1] && tensor->ld != tensor->cols;
}

static void product(const struct op_run *run, const struct tensor *a, const struct tensor *b, const struct tensor *out)
{
    const struct op_matmul_args *args = run->args;
    const struct tensor *gate = args->gate ? &run->inputs[2 + args->bias].tensor : NULL;
    bool reduces = args->transpose_a && a->rows == b->rows && out->rows == a->cols;
    struct gemm call = {
        .m = args->transpose_a ? a->cols : a->rows,
        .n = b->cols,
        .k = args->transpose_a ? a->rows : a->cols,
        .a = tensor_floats(a),
        .a_row = args->transpose_a ? 1 : a->ld,
        .a_column = args->transpose_a ? a->ld : 1,
        .b = tensor_floats(b),
        .ldb = b->ld,
        .c = tensor_floats(out),
        .ldc = out->ld,
        .bias = args->bias ? tensor_floats(&run->inputs[2].tensor) : NULL,
        .accumulate = reduces && run->accumulate,
        .activation = args->activation,
        .gate = gate ? tensor_floats(gate) : NULL,
        .gate_ld = gate ? gate->ld : 0,
    };
    run->kernels->gemm(&call);
}

static void matmul_run(struct op_run *run)
{
    const struct tensor *a = &run->inputs[0].tensor, *b = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    if (!is_folded(a) && !(run->outputs[0].tensor.shape.rank > 2 && is_folded(out)) && !(b->shape.rank > 2 && is_folded(b))) {
        struct tensor fa = last_axis(a), fb = last_axis(b), fo = last_axis(out);
        product(run, &fa, &fb, &fo);
        return;
    }
    /* Padded rows of the batch: one product a row. */
    struct op_run one = *run;
    for (int64_t r = 0; r < a->rows; r++) {
        struct tensor ra = *a, rb = *b, ro = *out;
        ra.rows = 1;
        ra.data = tensor_floats(a) + r * a->ld;
        if (rb.shape.rank > 2 && rb.rows == a->rows) {
            rb.rows = 1;
            rb.data = tensor_floats(b) + r * b->ld;
        }
        if (ro.shape.rank > 2) {
            ro.rows = 1;
            ro.data = tensor_floats(out) + r * out->ld;
        }
        struct tensor fa = last_axis(&ra), fb = last_axis(&rb), fo = last_axis(&ro);
        product(&one, &fa, &fb, &fo);
        one.accumulate = true;
    }
}

static double matmul_work(const void *args, const struct op_type *inputs, const struct op_type *outputs)
{
    (void)args;
    const struct shape *a = &inputs[0].shape, *b = &inputs[1].shape;
    (void)outputs;
    double lead = 1;
    for (int i = 1; i < a->rank - 1; i++)
        lead *= (double)a->dims[i];
    return 2.0 * lead * (double)a->dims[a->rank - 1] * (double)b->dims[b->rank - 1];
}

static struct pil_tensor *as_matrix(struct op_gradient *g, struct pil_tensor *x)
{
    struct shape shape = g->type(g->context, x).shape;
    return op_emit1(g, "reshape", &(struct op_reshape_args){ SHAPE(-1, shape.dims[shape.rank - 1]) }, x);
}

static void matmul_gradient(struct op_gradient *g)
{
    const struct op_matmul_args *args = g->args, plain = { 0 }, other = { .transpose_a = !args->transpose_a };
    struct pil_tensor *x = g->inputs[0], *w = g->inputs[1], *dp = g->output_gradients[0];
    struct op_type type = g->type(g->context, x);
    if (args->gate)
        dp = op_emit2(g, "activation_gradient", &(struct op_activation_args){ ACTIVATION_RELU }, dp, g->inputs[2 + args->bias]);
    if (args->activation != ACTIVATION_LINEAR)
        dp = op_emit2(g, "activation_gradient", &(struct op_activation_args){ args->activation }, dp, g->outputs[0]);
    if (g->wanted[0] && args->transpose_a)
        g->input_gradients[0] = op_emit2(g, "matmul", &plain, w, op_emit1(g, "transpose", NULL, dp));
    else if (g->wanted[0])
        g->input_gradients[0] = op_emit2(g, "matmul", &plain, dp, op_emit1(g, "transpose", NULL, w));
    if (g->wanted[1] && !OP_ROWS(type) && type.shape.rank > 2) /* only a matrix without a batch axis is transposed */
        g->input_gradients[1] = op_emit2(g, "matmul", &other, as_matrix(g, x), as_matrix(g, dp));
    else if (g->wanted[1])
        g->input_gradients[1] = op_emit2(g, "matmul", &other, x, dp);
    if (args->bias && g->wanted[2])
        g->input_gradients[2] = op_emit1(g, "bias_gradient", NULL, dp);
}

/* db [n]: the column sums of dp [batch, ..., n]. */
static bool bias_gradient_infer(struct op_infer *infer)
{
    if (!op_need_float(infer))
        return false;
    const struct op_type *dp = &infer->inputs[0];
    if (dp->shape.rank < 2)
        return op_fail(infer, "two axes or more are needed");
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32,
                                          .extent = MIN(dp->extent, EXTENT_BATCH),
                                          .shape = SHAPE(dp->shape.dims[dp->shape.rank - 1]) };
    infer->behaviour = OP_ROWS(*dp) ? BEHAVIOUR_REDUCES : BEHAVIOUR_WHOLE;
    return true;
}

static void bias_gradient_run(struct op_run *run)
{
    const struct tensor *dp = &run->inputs[0].tensor;
    float *out = tensor_floats(&run->outputs[0].tensor);
    int64_t last = dp->shape.dims[dp->shape.rank - 1];
    if (!run->accumulate)
        for (int64_t i = 0; i < pad_columns(last); i++)
            out[i] = 0;
    if (dp->cols == last) {
        run->kernels->bias_gradient(tensor_floats(dp), dp->ld, dp->rows, dp->cols, out);
        return;
    }
    for (int64_t r = 0; r < dp->rows; r++)
        run->kernels->bias_gradient(tensor_floats(dp) + r * dp->ld, last, dp->cols / last, last, out);
}

static const struct arg matmul_arguments[] = {
    { "transpose_a", &ARG_BOOL, offsetof(struct op_matmul_args, transpose_a), "the first input's axes are exchanged" },
    { "gate", &ARG_BOOL, offsetof(struct op_matmul_args, gate), "the last input gates the product" },
    { "bias", &ARG_BOOL, offsetof(struct op_matmul_args, bias), "the third input is added" },
    { "activation", &ARG_CHOICE, offsetof(struct op_matmul_args, activation), "what the sum goes through",
      .extra = op_activation_words },
};

static const struct op_row rows[] = {
    { .name = "matmul",
      .help = "act(x W + b), the bias and the activation fused",
      OP_ARGUMENTS(struct op_matmul_args, matmul_arguments),
      .min_inputs = 2,
      .max_inputs = 4,
      .infer = matmul_infer,
      .run = matmul_run,
      .gradient = matmul_gradient,
      .work = matmul_work },
    { .name = "bias_gradient",
      .help = "column sums over the batch",
      .min_inputs = 1,
      .max_inputs = 1,
      .infer = bias_gradient_infer,
      .run = bias_gradient_run },
};
OP_ROWS_OF(matmul);
