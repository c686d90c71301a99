/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolution over time. The steps of a window lie side by side already, so without dilation a row's windows are a matrix whose rows
 * overlap, and the whole is one product; with it, a product for each of the kernel's steps. Only steps that padding adds cost a copy.
 */
#include <string.h>

#include "op/window.h"

struct gradient_args {
    pil_conv1d_options conv;
    int64_t time, size;
};

static struct windows conv_windows(const pil_conv1d_options *args, int64_t time, int64_t size)
{
    return windows_of(time, size, args->stride, args->dilation_rate, args->padding);
}

static float *aligned(void *scratch)
{
    return (float *)(void *)((char *)scratch + (64 - (uintptr_t)scratch % 64) % 64);
}

/* A row with the steps that padding adds. */
static const float *padded(const struct windows *w, const float *row, int64_t channels, float *scratch)
{
    if (w->total == w->time)
        return row;
    memset(scratch, 0, (size_t)(w->total * channels) * sizeof *scratch);
    memcpy(scratch + w->before * channels, row, (size_t)(w->time * channels) * sizeof *scratch);
    return scratch;
}

/* Products to make, and the kernel's rows in each. */
static int64_t products(const struct windows *w)
{
    return w->dilation == 1 ? 1 : w->size;
}

static bool conv1d_infer(struct op_infer *infer)
{
    const pil_conv1d_options *args = infer->args;
    const struct op_type *x = &infer->inputs[0], *kernel = &infer->inputs[1];
    if (!op_need_float(infer))
        return false;
    if (OP_ROWS(*kernel) || kernel->shape.rank != 3 || kernel->shape.dims[0] < 1 || kernel->shape.dims[1] < 1 ||
        kernel->shape.dims[2] < 1)
        return op_fail(infer, "the kernel must be [size, channels, filters]");
    if (!windows_check(infer, x, kernel->shape.dims[0], args->stride, args->dilation_rate, args->padding))
        return false;
    if (kernel->shape.dims[1] != x->shape.dims[2])
        return op_fail(infer, "the kernel has %lld channels, the input %lld", (long long)kernel->shape.dims[1],
                       (long long)x->shape.dims[2]);
    const struct windows w = conv_windows(args, x->shape.dims[1], kernel->shape.dims[0]);
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32,
                                          .extent = EXTENT_ROWS,
                                          .shape = SHAPE(BATCH_DIM, w.count, kernel->shape.dims[2]) };
    infer->behaviour = BEHAVIOUR_ROW_BY_ROW;
    return true;
}

static size_t conv1d_scratch(const void *args, const struct op_type *inputs, const struct op_type *outputs, int64_t tile_rows)
{
    (void)outputs;
    (void)tile_rows;
    const struct windows w = conv_windows(args, inputs[0].shape.dims[1], inputs[1].shape.dims[0]);
    return (size_t)(w.total * inputs[0].shape.dims[2]) * sizeof(float) + 64;
}

static void conv1d_run(struct op_run *run)
{
    const struct tensor *x = &run->inputs[0].tensor, *kernel = &run->inputs[1].tensor, *y = &run->outputs[0].tensor;
    const int64_t channels = x->shape.dims[2], filters = kernel->shape.dims[2];
    const struct windows w = conv_windows(run->args, x->shape.dims[1], kernel->shape.dims[0]);
    const int64_t rows_each = kernel->rows / products(&w);
    for (int64_t r = 0; r < x->rows; r++) {
        const float *steps = padded(&w, tensor_floats(x) + r * x->ld, channels, aligned(run->scratch));
        for (int64_t k = 0; k < products(&w); k++) {
            const struct gemm call = { .m = w.count,
                                       .n = filters,
                                       .k = rows_each,
                                       .a = steps + k * w.dilation * channels,
                                       .a_row = w.stride * channels,
                                       .a_column = 1,
                                       .b = tensor_floats(kernel) + k * rows_each * kernel->ld,
                                       .ldb = kernel->ld,
                                       .c = tensor_floats(y) + r * y->ld,
                                       .ldc = filters,
                                       .accumulate = k > 0 };
            run->kernels->gemm(&call);
        }
    }
}

static double conv1d_work(const void *args, const struct op_type *inputs, const struct op_type *outputs)
{
    (void)args;
    const struct shape *kernel = &inputs[1].shape;
    return 2.0 * (double)outputs[0].shape.dims[1] * (double)kernel->dims[0] * (double)kernel->dims[1] * (double)kernel->dims[2];
}

static void conv1d_backward(struct op_gradient *g)
{
    const struct shape x = g->type(g->context, g->inputs[0]).shape, kernel = g->type(g->context, g->inputs[1]).shape;
    const struct gradient_args args = { *(const pil_conv1d_options *)g->args, x.dims[1], kernel.dims[0] };
    if (g->wanted[0])
        g->input_gradients[0] = op_emit2(g, "conv1d_input_gradient", &args, g->output_gradients[0], g->inputs[1]);
    if (g->wanted[1])
        g->input_gradients[1] = op_emit2(g, "conv1d_kernel_gradient", &args, g->inputs[0], g->output_gradients[0]);
}

/* ---- by x: dy, kernel ---- */

static bool input_gradient_infer(struct op_infer *infer)
{
    const struct gradient_args *args = infer->args;
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32,
                                          .extent = EXTENT_ROWS,
                                          .shape = SHAPE(BATCH_DIM, args->time, infer->inputs[1].shape.dims[1]) };
    infer->behaviour = BEHAVIOUR_ROW_BY_ROW;
    return true;
}

/* The kernel transposed [filters, size channels], and what each window gives its steps [windows, size channels]. */
static size_t input_gradient_scratch(const void *options, const struct op_type *inputs, const struct op_type *outputs,
                                     int64_t tile_rows)
{
    (void)outputs;
    (void)tile_rows;
    const struct shape *kernel = &inputs[1].shape;
    const int64_t wide = pad_columns(kernel->dims[0] * kernel->dims[1]), windows = inputs[0].shape.dims[1];
    (void)options;
    return (size_t)(wide * (kernel->dims[2] + windows)) * sizeof(float) + 64;
}

static void spread_windows(const struct windows *w, const float *parts, int64_t wide, int64_t channels, float *dx)
{
    for (int64_t i = 0; i < w->count; i++)
        for (int64_t k = 0; k < w->size; k++) {
            const int64_t at = i * w->stride - w->before + k * w->dilation;
            const float *from = parts + i * wide + k * channels;
            for (int64_t c = 0; at >= 0 && at < w->time && c < channels; c++)
                dx[at * channels + c] += from[c];
        }
}

static void input_gradient_run(struct op_run *run)
{
    const struct gradient_args *args = run->args;
    const struct tensor *dy = &run->inputs[0].tensor, *kernel = &run->inputs[1].tensor, *dx = &run->outputs[0].tensor;
    const int64_t channels = kernel->shape.dims[1], filters = kernel->shape.dims[2], all = kernel->rows, wide = pad_columns(all);
    const struct windows w = conv_windows(&args->conv, args->time, args->size);
    float *turned = aligned(run->scratch), *parts = turned + filters * wide;
    memset(turned, 0, (size_t)(filters * wide) * sizeof *turned);
    run->kernels->transpose(tensor_floats(kernel), all, filters, kernel->ld, turned, wide);
    for (int64_t r = 0; r < dy->rows; r++) {
        const struct gemm call = { .m = w.count,
                                   .n = all,
                                   .k = filters,
                                   .a = tensor_floats(dy) + r * dy->ld,
                                   .a_row = filters,
                                   .a_column = 1,
                                   .b = turned,
                                   .ldb = wide,
                                   .c = parts,
                                   .ldc = wide };
        float *to = tensor_floats(dx) + r * dx->ld;
        run->kernels->gemm(&call);
        memset(to, 0, (size_t)dx->cols * sizeof *to);
        spread_windows(&w, parts, wide, channels, to);
    }
}

/* ---- by the kernel: x, dy ---- */

static bool kernel_gradient_infer(struct op_infer *infer)
{
    const struct gradient_args *args = infer->args;
    infer->outputs[0] =
        (struct op_type){ .dtype = DTYPE_FLOAT32,
                          .extent = EXTENT_BATCH,
                          .shape = SHAPE(args->size, infer->inputs[0].shape.dims[2], infer->inputs[1].shape.dims[2]) };
    infer->behaviour = BEHAVIOUR_REDUCES;
    return true;
}

static size_t kernel_gradient_scratch(const void *options, const struct op_type *inputs, const struct op_type *outputs,
                                      int64_t tile_rows)
{
    (void)outputs;
    (void)tile_rows;
    const struct gradient_args *args = options;
    const struct windows w = conv_windows(&args->conv, args->time, args->size);
    return (size_t)(w.total * inputs[0].shape.dims[2] + w.count * pad_columns(inputs[1].shape.dims[2])) * sizeof(float) + 128;
}

static void kernel_gradient_run(struct op_run *run)
{
    const struct gradient_args *args = run->args;
    const struct tensor *x = &run->inputs[0].tensor, *dy = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    const int64_t channels = x->shape.dims[2], filters = dy->shape.dims[2], wide = pad_columns(filters);
    const struct windows w = conv_windows(&args->conv, args->time, args->size);
    const int64_t rows_each = out->rows / products(&w);
    float *right = aligned(run->scratch), *room = right + (w.count * wide + 15) / 16 * 16;
    memset(right, 0, (size_t)(w.count * wide) * sizeof *right);
    for (int64_t r = 0; r < x->rows; r++) {
        const float *steps = padded(&w, tensor_floats(x) + r * x->ld, channels, room);
        for (int64_t i = 0; i < w.count; i++)
            memcpy(right + i * wide, tensor_floats(dy) + r * dy->ld + i * filters, (size_t)filters * sizeof *right);
        for (int64_t k = 0; k < products(&w); k++) {
            const struct gemm call = { .m = rows_each,
                                       .n = filters,
                                       .k = w.count,
                                       .a = steps + k * w.dilation * channels,
                                       .a_row = 1,
                                       .a_column = w.stride * channels,
                                       .b = right,
                                       .ldb = wide,
                                       .c = tensor_floats(out) + k * rows_each * out->ld,
                                       .ldc = out->ld,
                                       .accumulate = run->accumulate || r > 0 };
            run->kernels->gemm(&call);
        }
    }
}

/* clang-format off */
#define CONV_ARGUMENTS(AT)                                                                                                       \
    { "stride", &ARG_INT, AT(stride), "steps from one window to the next" },                                                     \
    { "padding", &ARG_CHOICE, AT(padding), "what is added in front and behind", .extra = window_padding_words },                 \
    { "dilation_rate", &ARG_INT, AT(dilation_rate), "steps from one of a window's to the next" }
/* clang-format on */
#define AT(field) offsetof(pil_conv1d_options, field)
#define OF(field) offsetof(struct gradient_args, conv.field)
static const struct arg conv1d_arguments[] = { CONV_ARGUMENTS(AT) };
static const struct arg gradient_arguments[] = {
    CONV_ARGUMENTS(OF),
    { "time", &ARG_INT, offsetof(struct gradient_args, time), "steps of the input" },
    { "size", &ARG_INT, offsetof(struct gradient_args, size), "steps of the kernel" },
};
static const pil_conv1d_options plain = { .stride = 1, .dilation_rate = 1 };

static const struct op_row rows[] = {
    { .name = "conv1d",
      .help = "windows over time by a kernel",
      OP_ARGUMENTS(pil_conv1d_options, conv1d_arguments),
      .defaults = &plain,
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = conv1d_infer,
      .run = conv1d_run,
      .gradient = conv1d_backward,
      .scratch = conv1d_scratch,
      .work = conv1d_work },
    { .name = "conv1d_input_gradient",
      .help = "what a convolution's input gets",
      OP_ARGUMENTS(struct gradient_args, gradient_arguments),
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = input_gradient_infer,
      .run = input_gradient_run,
      .scratch = input_gradient_scratch },
    { .name = "conv1d_kernel_gradient",
      .help = "what a convolution's kernel gets",
      OP_ARGUMENTS(struct gradient_args, gradient_arguments),
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = kernel_gradient_infer,
      .run = kernel_gradient_run,
      .scratch = kernel_gradient_scratch },
};
OP_ROWS_OF(conv);
