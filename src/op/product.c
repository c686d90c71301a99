/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of many matrices: batch_matmul, a [..., m, k] times b [..., k, n], the axes in front broadcast, each matrix transposed
 * first where asked. What one matrix without rows is multiplied by is matmul's (matmul.c), which fuses more and reduces over the
 * batch; here stand rows with rows and everything of higher rank.
 *
 * Gradients, by what is transposed:      neither     a           b           both
 *   da                                   dy b^T      b dy^T      dy b        b^T dy^T
 *   db                                   a^T dy      a dy        dy^T a      dy^T a^T
 * each summed over the axes it was broadcast along.
 */
#include <math.h>
#include <string.h>

#include "op/internal.h"
#include "pilaster/op.h"

/* Of each product. */
struct sizes {
    int64_t m, n, k;
};

static int64_t axis_from_end(const struct shape *shape, int back)
{
    return shape->dims[shape->rank - back];
}

static struct sizes sizes_of(const struct op_transposes_args *args, const struct shape *a, const struct shape *b)
{
    return (struct sizes){ .m = axis_from_end(a, args->transpose_a ? 1 : 2),
                           .k = axis_from_end(a, args->transpose_a ? 2 : 1),
                           .n = axis_from_end(b, args->transpose_b ? 2 : 1) };
}

/* The axes in front of the matrices. */
static struct shape lead_of(struct shape shape)
{
    shape.rank -= 2;
    shape.dims[shape.rank] = shape.dims[shape.rank + 1] = 0;
    return shape;
}

static int batch_axes(const struct shape *shape)
{
    int count = 0;
    for (int i = 0; i < shape->rank; i++)
        count += shape->dims[i] == BATCH_DIM;
    return count;
}

static bool batch_matmul_infer(struct op_infer *infer)
{
    const struct op_transposes_args *args = infer->args;
    const struct op_type *a = &infer->inputs[0], *b = &infer->inputs[1];
    struct op_type *out = &infer->outputs[0];
    if (!op_need_float(infer))
        return false;
    if (a->shape.rank < 2 || b->shape.rank < 2)
        return op_fail(infer, "both factors need two axes or more");
    struct sizes sizes = sizes_of(args, &a->shape, &b->shape);
    int64_t inner = axis_from_end(&b->shape, args->transpose_b ? 1 : 2);
    if (sizes.k != inner)
        return op_fail(infer, "the inner sizes %lld and %lld differ", (long long)sizes.k, (long long)inner);
    if (args->transpose_b && (sizes.k == BATCH_DIM || sizes.n == BATCH_DIM))
        return op_fail(infer, "the right factor's matrices have the batch axis: it must be transposed before");
    *out = (struct op_type){ .dtype = DTYPE_FLOAT32 };
    if (!shape_broadcast(lead_of(a->shape), lead_of(b->shape), &out->shape))
        return op_fail(infer, "the axes in front of the matrices do not fit each other");
    out->shape.dims[out->shape.rank++] = sizes.m;
    out->shape.dims[out->shape.rank++] = sizes.n;
    if (batch_axes(&out->shape) > 1)
        return op_fail(infer, "the batch axis would stand in the result twice");
    bool by_rows = out->shape.dims[0] == BATCH_DIM;
    for (int i = 0; i < 2; i++) {
        const struct op_type *in = &infer->inputs[i];
        by_rows &= OP_ROWS(*in) ? in->shape.rank == out->shape.rank : batch_axes(&in->shape) == 0;
    }
    op_by_shape(infer, by_rows && (OP_ROWS(*a) || OP_ROWS(*b)));
    return true;
}

/* Room for one matrix b [k, n] with pads. Where the batch is one of its axes it lies with pads already, and none is needed. */
static size_t batch_matmul_scratch(const void *args, const struct op_type *inputs, const struct op_type *outputs,
                                   int64_t tile_rows)
{
    struct sizes sizes = sizes_of(args, &inputs[0].shape, &inputs[1].shape);
    (void)outputs;
    (void)tile_rows;
    return sizes.k < 0 || sizes.n < 0 ? 0 : (size_t)(sizes.k * pad_columns(sizes.n)) * sizeof(float);
}

/* A matrix where it lies, and how far its rows and columns are apart. */
struct matrix {
    float *data;
    int64_t row, column;
};

/* b as gemm takes it: rows `pad_columns(n)` apart, zeros behind them. */
static void pack(const struct kernels *kernels, const struct matrix *b, const struct sizes *sizes, float *to)
{
    int64_t ld = pad_columns(sizes->n);
    if (b->column != 1) {
        kernels->transpose(b->data, sizes->n, sizes->k, b->column, to, ld);
        return;
    }
    for (int64_t p = 0; p < sizes->k; p++) {
        memcpy(to + p * ld, b->data + p * b->row, (size_t)sizes->n * sizeof(float));
        memset(to + p * ld + sizes->n, 0, (size_t)(ld - sizes->n) * sizeof(float));
    }
}

/* The strides of a factor's matrices and of its axes in front, along the result's. */
static struct matrix factor(const struct tensor *tensor, bool transposed, const struct shape *out, int64_t *lead)
{
    int64_t strides[SHAPE_MAX_RANK];
    int rank = tensor->shape.rank, skip = out->rank - rank;
    op_strides(tensor, strides);
    for (int i = 0; i < out->rank - 2; i++)
        lead[i] = i < skip || tensor->shape.dims[i - skip] == 1 ? 0 : strides[i - skip];
    int64_t row = strides[rank - 2], column = strides[rank - 1];
    return (struct matrix){ tensor_floats(tensor), transposed ? column : row, transposed ? row : column };
}

static void batch_matmul_run(struct op_run *run)
{
    const struct op_transposes_args *args = run->args;
    const struct tensor *a = &run->inputs[0].tensor, *b = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    const struct shape *shape = &out->shape;
    struct sizes sizes = sizes_of(args, &a->shape, &b->shape);
    int64_t leads[3][SHAPE_MAX_RANK] = { { 0 } }, index[SHAPE_MAX_RANK] = { 0 }, count = sizes.m > 0 && sizes.n > 0;
    struct matrix all[3] = { factor(a, args->transpose_a, shape, leads[0]), factor(b, args->transpose_b, shape, leads[1]),
                             factor(out, false, shape, leads[2]) };
    bool padded = !args->transpose_b && b->cols == sizes.n && b->ld == pad_columns(sizes.n); /* as gemm takes it */
    const float *packed = NULL;
    for (int i = 0; i < shape->rank - 2; i++)
        count *= shape->dims[i];
    for (int64_t n = 0; n < count; n++) {
        struct matrix now[3];
        for (int k = 0; k < 3; k++) {
            now[k] = all[k];
            for (int i = 0; i < shape->rank - 2; i++)
                now[k].data += index[i] * leads[k][i];
        }
        if (!padded && packed != now[1].data) /* one b for several a: broadcast */
            pack(run->kernels, &now[1], &sizes, run->scratch);
        packed = now[1].data;
        run->kernels->gemm(&(struct gemm){ .m = sizes.m,
                                           .n = sizes.n,
                                           .k = sizes.k,
                                           .a = now[0].data,
                                           .a_row = now[0].row,
                                           .a_column = now[0].column,
                                           .b = padded ? now[1].data : run->scratch,
                                           .ldb = pad_columns(sizes.n),
                                           .c = now[2].data,
                                           .ldc = now[2].row });
        for (int i = shape->rank - 3; i >= 0 && ++index[i] == shape->dims[i]; i--)
            index[i] = 0;
    }
}

static double batch_matmul_work(const void *args, const struct op_type *inputs, const struct op_type *outputs)
{
    const struct shape *out = &outputs[0].shape;
    double work = 2.0 * fabs((double)sizes_of(args, &inputs[0].shape, &inputs[1].shape).k);
    for (int i = 0; i < out->rank; i++)
        work *= out->dims[i] == BATCH_DIM ? 1 : (double)out->dims[i];
    return work;
}

/* A product of a gradient, summed to the shape of input i. */
static void give_product(struct op_gradient *g, int i, struct pil_tensor *a, bool transpose_a, struct pil_tensor *b,
                         bool transpose_b)
{
    struct shape shape = g->type(g->context, b).shape;
    if (transpose_b && (axis_from_end(&shape, 1) == BATCH_DIM || axis_from_end(&shape, 2) == BATCH_DIM)) {
        pil_axes perm = { .count = shape.rank };
        for (int k = 0; k < shape.rank; k++)
            perm.items[k] = k < shape.rank - 2 ? k : 2 * shape.rank - 3 - k;
        b = op_emit1(g, "transpose", &perm, b);
        transpose_b = false;
    }
    op_give_back(g, i, op_emit2(g, "batch_matmul", &(struct op_transposes_args){ transpose_a, transpose_b }, a, b));
}

static void batch_matmul_gradient(struct op_gradient *g)
{
    const struct op_transposes_args *args = g->args;
    struct pil_tensor *a = g->inputs[0], *b = g->inputs[1], *dy = g->output_gradients[0];
    if (g->wanted[0] && args->transpose_a)
        give_product(g, 0, b, args->transpose_b, dy, true);
    else if (g->wanted[0])
        give_product(g, 0, dy, false, b, !args->transpose_b);
    if (g->wanted[1] && args->transpose_b)
        give_product(g, 1, dy, true, a, args->transpose_a);
    else if (g->wanted[1])
        give_product(g, 1, a, !args->transpose_a, dy, false);
}

static const struct arg transposes_arguments[] = {
    { "transpose_a", &ARG_BOOL, offsetof(struct op_transposes_args, transpose_a),
      "the left factor's matrices are transposed first" },
    { "transpose_b", &ARG_BOOL, offsetof(struct op_transposes_args, transpose_b), "the right factor's" },
};

static const struct op_row rows[] = {
    { .name = "batch_matmul",
      .help = "products of many matrices",
      OP_ARGUMENTS(struct op_transposes_args, transposes_arguments),
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = batch_matmul_infer,
      .run = batch_matmul_run,
      .gradient = batch_matmul_gradient,
      .scratch = batch_matmul_scratch,
      .work = batch_matmul_work },
};
OP_ROWS_OF(product);
