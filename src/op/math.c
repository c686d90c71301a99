/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic, element by element, with NumPy's broadcasting (axes aligned at the end; a batch axis stands only against a batch
 * axis or 1). The gradient of a broadcast operand is summed back to its shape by sum_to (reduce.c).
 */
#include <math.h>

#include "op/internal.h"

/* ---- two operands ---- */

struct broadcast_call {
    enum binary kind;
    const float *a, *b;
    float *out;
};

static float combine(enum binary kind, float a, float b)
{
    switch (kind) {
    case BINARY_ADD:
        return a + b;
    case BINARY_SUB:
        return a - b;
    case BINARY_MUL:
        return a * b;
    case BINARY_DIV:
        return a / b;
    case BINARY_MAX:
        return a > b || a != a ? a : b;
    default:
        return a < b || a != a ? a : b;
    }
}

static void combine_line(void *context, const struct op_line *line)
{
    const struct broadcast_call *call = context;
    const float *a = call->a + line->a, *b = call->b + line->b;
    float *out = call->out + line->out;
    for (int64_t i = 0; i < line->count; i++)
        out[i * line->out_step] = combine(call->kind, a[i * line->a_step], b[i * line->b_step]);
}

/* One row repeated for all: a vector or a scalar beside a matrix of as many columns. */
static bool is_one_row(const struct tensor *tensor, const struct tensor *out)
{
    return tensor->rows == 1 && tensor->cols == out->cols &&
           (out->cols == out->shape.dims[MAX(out->shape.rank - 1, 0)] || out->rows == 1);
}

static void binary(struct op_run *run, enum binary kind)
{
    const struct tensor *a = &run->inputs[0].tensor, *b = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    bool whole_a = op_same_cut(a, out), whole_b = op_same_cut(b, out);
    if ((whole_a || is_one_row(a, out)) && (whole_b || is_one_row(b, out))) {
        run->kernels->binary(kind, tensor_floats(a), whole_a ? a->ld : 0, tensor_floats(b), whole_b ? b->ld : 0,
                             tensor_floats(out), out->ld, out->rows, out->cols);
        return;
    }
    struct broadcast_call call = { kind, tensor_floats(a), tensor_floats(b), tensor_floats(out) };
    op_broadcast(out, a, b, combine_line, &call);
}

#define BINARY_RUN(name, kind)                                                                                                   \
    static void name##_run(struct op_run *run)                                                                                   \
    {                                                                                                                            \
        binary(run, kind);                                                                                                       \
    }
BINARY_RUN(add, BINARY_ADD)
BINARY_RUN(sub, BINARY_SUB)
BINARY_RUN(mul, BINARY_MUL)
BINARY_RUN(div, BINARY_DIV)
BINARY_RUN(maximum, BINARY_MAX)
BINARY_RUN(minimum, BINARY_MIN)

static struct pil_tensor *scaled(struct op_gradient *g, struct pil_tensor *x, float factor)
{
    return op_emit1(g, "scale", &(struct op_scalar_args){ factor }, x);
}

static void add_gradient(struct op_gradient *g)
{
    for (int i = 0; i < 2; i++)
        if (g->wanted[i])
            op_give_back(g, i, g->output_gradients[0]);
}

static void sub_gradient(struct op_gradient *g)
{
    if (g->wanted[0])
        op_give_back(g, 0, g->output_gradients[0]);
    if (g->wanted[1])
        op_give_back(g, 1, scaled(g, g->output_gradients[0], -1));
}

static void mul_gradient(struct op_gradient *g)
{
    for (int i = 0; i < 2; i++)
        if (g->wanted[i])
            op_give_back(g, i, op_emit2(g, "mul", NULL, g->output_gradients[0], g->inputs[1 - i]));
}

static void div_gradient(struct op_gradient *g)
{
    struct pil_tensor *da = op_emit2(g, "div", NULL, g->output_gradients[0], g->inputs[1]);
    if (g->wanted[0])
        op_give_back(g, 0, da);
    if (g->wanted[1])
        op_give_back(g, 1, scaled(g, op_emit2(g, "mul", NULL, da, g->outputs[0]), -1));
}

/* dy flows to the operand that was taken, to the first on a tie. */
static void extreme_gradient(struct op_gradient *g, const char *compare)
{
    struct pil_tensor *first = op_emit2(g, compare, NULL, g->inputs[0], g->inputs[1]);
    struct pil_tensor *da = op_emit2(g, "mul", NULL, g->output_gradients[0], first);
    if (g->wanted[0])
        op_give_back(g, 0, da);
    if (g->wanted[1])
        op_give_back(g, 1, op_emit2(g, "sub", NULL, g->output_gradients[0], da));
}

static void maximum_gradient(struct op_gradient *g)
{
    extreme_gradient(g, "greater_equal");
}

static void minimum_gradient(struct op_gradient *g)
{
    extreme_gradient(g, "less_equal");
}

/* ---- pow: in doubles, so that the nearest float32 comes out, whatever the C library ---- */

/* Models square, cube and take roots: 5 ns an element forward and back instead of 73. */
static double power(double a, double b)
{
    if (b == 1)
        return a;
    if (b == 2)
        return a * a;
    if (b == 3)
        return a * a * a;
    return b == 0.5 && a > 0 ? sqrt(a) : pow(a, b);
}

static void pow_line(void *context, const struct op_line *line)
{
    const struct broadcast_call *call = context;
    for (int64_t i = 0; i < line->count; i++)
        call->out[line->out + i * line->out_step] =
            (float)power((double)call->a[line->a + i * line->a_step], (double)call->b[line->b + i * line->b_step]);
}

static void pow_run(struct op_run *run)
{
    const struct tensor *a = &run->inputs[0].tensor, *b = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    struct broadcast_call call = { .a = tensor_floats(a), .b = tensor_floats(b), .out = tensor_floats(out) };
    op_broadcast(out, a, b, pow_line, &call);
}

/* What flows back, from dy and two more operands, element by element. */
struct pow_call {
    const float *dy, *a, *b;
    float *out;
};

/* da = dy b a^(b - 1), of a and b. */
static void pow_da_line(void *context, const struct op_line *line)
{
    const struct pow_call *call = context;
    for (int64_t i = 0; i < line->count; i++) {
        double a = (double)call->a[line->b + i * line->b_step], b = (double)call->b[line->c + i * line->c_step];
        call->out[line->out + i * line->out_step] = (float)((double)call->dy[line->a + i * line->a_step] * b * power(a, b - 1));
    }
}

/* db = dy y log(a), of a and y; 0 where a has no logarithm, as in TensorFlow (math_grad.py). */
static void pow_db_line(void *context, const struct op_line *line)
{
    const struct pow_call *call = context;
    for (int64_t i = 0; i < line->count; i++) {
        double a = (double)call->a[line->b + i * line->b_step], y = (double)call->b[line->c + i * line->c_step];
        call->out[line->out + i * line->out_step] =
            (float)((double)call->dy[line->a + i * line->a_step] * y * (a > 0 ? log(a) : 0));
    }
}

static void pow_back(struct op_run *run, void (*line)(void *context, const struct op_line *line))
{
    const struct tensor *dy = &run->inputs[0].tensor, *a = &run->inputs[1].tensor, *b = &run->inputs[2].tensor;
    const struct tensor *out = &run->outputs[0].tensor;
    op_broadcast3(out, dy, a, b, line,
                  &(struct pow_call){ tensor_floats(dy), tensor_floats(a), tensor_floats(b), tensor_floats(out) });
}

static void pow_da_run(struct op_run *run)
{
    pow_back(run, pow_da_line);
}

static void pow_db_run(struct op_run *run)
{
    pow_back(run, pow_db_line);
}

static void pow_gradient(struct op_gradient *g)
{
    if (g->wanted[0])
        op_give_back(g, 0, op_emit3(g, "pow_da", NULL, g->output_gradients[0], g->inputs[0], g->inputs[1]));
    if (g->wanted[1])
        op_give_back(g, 1, op_emit3(g, "pow_db", NULL, g->output_gradients[0], g->inputs[0], g->outputs[0]));
}

/* ---- one operand ---- */

static bool unary_infer(struct op_infer *infer)
{
    return op_need_float(infer) && op_like(infer, 0);
}

/* Applies `f` to every element; pads stay as they are. */
static void each(struct op_run *run, float (*f)(float x, float parameter), float parameter)
{
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    for (int64_t r = 0; r < x->rows; r++) {
        const float *in = tensor_floats(x) + r * x->ld;
        float *out = tensor_floats(y) + r * y->ld;
        for (int64_t c = 0; c < x->cols; c++)
            out[c] = f(in[c], parameter);
    }
}

static float times(float x, float factor)
{
    return x * factor;
}

static float plus(float x, float term)
{
    return x + term;
}

static float squared(float x, float unused)
{
    (void)unused;
    return x * x;
}

static float root(float x, float unused)
{
    (void)unused;
    return sqrtf(x);
}

static float magnitude(float x, float unused)
{
    (void)unused;
    return fabsf(x);
}

static float sign_of(float x, float unused)
{
    (void)unused;
    return x != x ? x : (float)((x > 0) - (x < 0));
}

static float below(float x, float unused)
{
    (void)unused;
    return floorf(x);
}

static float above(float x, float unused)
{
    (void)unused;
    return ceilf(x);
}

static float nearest(float x, float unused)
{
    (void)unused;
    return rintf(x); /* of two the even one */
}

static void scale_run(struct op_run *run)
{
    each(run, times, ((const struct op_scalar_args *)run->args)->value);
}

static void scale_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = scaled(g, g->output_gradients[0], ((const struct op_scalar_args *)g->args)->value);
}

static void add_scalar_run(struct op_run *run)
{
    each(run, plus, ((const struct op_scalar_args *)run->args)->value);
}

static void pass_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = g->output_gradients[0];
}

static void square_run(struct op_run *run)
{
    each(run, squared, 0);
}

static void square_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = scaled(g, op_emit2(g, "mul", NULL, g->output_gradients[0], g->inputs[0]), 2);
}

static void neg_run(struct op_run *run)
{
    each(run, times, -1);
}

static void neg_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit1(g, "neg", NULL, g->output_gradients[0]);
}

static void floor_run(struct op_run *run)
{
    each(run, below, 0);
}

static void ceil_run(struct op_run *run)
{
    each(run, above, 0);
}

static void round_run(struct op_run *run)
{
    each(run, nearest, 0);
}

static void sqrt_run(struct op_run *run)
{
    each(run, root, 0);
}

static void sqrt_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = scaled(g, op_emit2(g, "div", NULL, g->output_gradients[0], g->outputs[0]), 0.5f);
}

static void abs_run(struct op_run *run)
{
    each(run, magnitude, 0);
}

static void abs_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "mul", NULL, g->output_gradients[0], op_emit1(g, "sign", NULL, g->inputs[0]));
}

static void sign_run(struct op_run *run)
{
    each(run, sign_of, 0);
}

/* exp and log by the level's kernels, whole rows at a time. */
static void by_kernel(struct op_run *run, void (*kernel)(const float *x, float *y, int64_t n))
{
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    for (int64_t r = 0; r < x->rows; r++)
        kernel(tensor_floats(x) + r * x->ld, tensor_floats(y) + r * y->ld, x->cols);
}

static void exp_run(struct op_run *run)
{
    by_kernel(run, run->kernels->exp);
}

static void exp_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "mul", NULL, g->output_gradients[0], g->outputs[0]);
}

static void log_run(struct op_run *run)
{
    by_kernel(run, run->kernels->log);
}

static void log_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "div", NULL, g->output_gradients[0], g->inputs[0]);
}

/* ---- cast ---- */

/* The types that load and store know. */
static bool is_castable(enum dtype dtype)
{
    return dtype == DTYPE_FLOAT32 || dtype == DTYPE_FLOAT64 || dtype == DTYPE_INT32 || dtype == DTYPE_INT64 ||
           dtype == DTYPE_BOOL;
}

static bool cast_infer(struct op_infer *infer)
{
    const struct op_cast_args *args = infer->args;
    const struct op_type *x = &infer->inputs[0];
    if (x->sparse || !is_castable(x->dtype) || !is_castable(args->dtype))
        return op_fail(infer, "%s cannot become %s", x->sparse ? "a sparse tensor" : dtype_name(x->dtype),
                       dtype_name(args->dtype));
    op_like(infer, 0);
    infer->outputs[0].dtype = args->dtype;
    return true;
}

static double load(const struct tensor *tensor, int64_t at)
{
    switch (tensor->dtype) {
    case DTYPE_FLOAT32:
        return ((const float *)tensor->data)[at];
    case DTYPE_FLOAT64:
        return ((const double *)tensor->data)[at];
    case DTYPE_INT32:
        return ((const int32_t *)tensor->data)[at];
    case DTYPE_INT64:
        return (double)((const int64_t *)tensor->data)[at];
    case DTYPE_BOOL:
        return ((const uint8_t *)tensor->data)[at] != 0;
    default:
        return 0;
    }
}

/* Towards zero; what the type cannot hold becomes its nearest number, NaN 0. */
static int64_t whole(double value, double low, double high)
{
    if (value != value)
        return 0;
    return value <= low ? (int64_t)low : value >= high ? (high >= 0x1p63 ? INT64_MAX : (int64_t)high) : (int64_t)value;
}

static void store(const struct tensor *tensor, int64_t at, double value)
{
    switch (tensor->dtype) {
    case DTYPE_FLOAT32:
        ((float *)tensor->data)[at] = (float)value;
        break;
    case DTYPE_FLOAT64:
        ((double *)tensor->data)[at] = value;
        break;
    case DTYPE_INT32:
        ((int32_t *)tensor->data)[at] = (int32_t)whole(value, INT32_MIN, INT32_MAX);
        break;
    case DTYPE_INT64:
        ((int64_t *)tensor->data)[at] = whole(value, -0x1p63, 0x1p63);
        break;
    case DTYPE_BOOL:
        ((uint8_t *)tensor->data)[at] = value != 0;
        break;
    default:
        break;
    }
}

static void cast_run(struct op_run *run)
{
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    if (x->dtype == y->dtype) { /* a double would not hold every int64 */
        tensor_copy(x, y);
        return;
    }
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t c = 0; c < x->cols; c++)
            store(y, r * y->ld + c, load(x, r * x->ld + c));
}

static void cast_gradient(struct op_gradient *g)
{
    struct op_cast_args back = { g->type(g->context, g->inputs[0]).dtype };
    if (back.dtype == DTYPE_FLOAT32 || back.dtype == DTYPE_FLOAT64)
        g->input_gradients[0] = op_emit1(g, "cast", &back, g->output_gradients[0]);
}

/* Of stop_gradient. */
static void copy_run(struct op_run *run)
{
    tensor_copy(&run->inputs[0].tensor, &run->outputs[0].tensor);
}

static const struct arg scalar_arguments[] = { { "value", &ARG_FLOAT, offsetof(struct op_scalar_args, value), "the number" } };
static const struct arg cast_arguments[] = { { "dtype", &OP_ARG_DTYPE, offsetof(struct op_cast_args, dtype),
                                               "the type it becomes" } };

#define BINARY(op, text)                                                                                                         \
    {                                                                                                                            \
        .name = #op, .help = text, .min_inputs = 2, .max_inputs = 2, .flags = OP_TAKES_VIEWS | OP_IN_PLACE,                      \
        .infer = op_broadcast_infer, .run = op##_run, .gradient = op##_gradient                                                  \
    }
#define UNARY(op, text)                                                                                                          \
    {                                                                                                                            \
        .name = #op, .help = text, .min_inputs = 1, .max_inputs = 1, .flags = OP_TAKES_VIEWS | OP_IN_PLACE,                      \
        .infer = unary_infer, .run = op##_run, .gradient = op##_gradient                                                         \
    }

/* Without a gradient. */
#define FLAT(op, text)                                                                                                           \
    {                                                                                                                            \
        .name = #op, .help = text, .min_inputs = 1, .max_inputs = 1, .flags = OP_TAKES_VIEWS | OP_IN_PLACE,                      \
        .infer = unary_infer, .run = op##_run                                                                                    \
    }

static const struct op_row rows[] = {
    BINARY(add, "a + b"),
    BINARY(sub, "a - b"),
    BINARY(mul, "a b"),
    BINARY(div, "a / b"),
    BINARY(pow, "a to the power of b"),
    { .name = "pow_da",
      .help = "dy b a^(b - 1)",
      .min_inputs = 3,
      .max_inputs = 3,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = op_broadcast_infer,
      .run = pow_da_run },
    { .name = "pow_db",
      .help = "dy y log(a) where a is above 0",
      .min_inputs = 3,
      .max_inputs = 3,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = op_broadcast_infer,
      .run = pow_db_run },
    BINARY(maximum, "the larger of a and b"),
    BINARY(minimum, "the smaller of a and b"),
    { .name = "scale",
      .help = "x times a number",
      OP_ARGUMENTS(struct op_scalar_args, scalar_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = unary_infer,
      .run = scale_run,
      .gradient = scale_gradient },
    { .name = "add_scalar",
      .help = "x plus a number",
      OP_ARGUMENTS(struct op_scalar_args, scalar_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = unary_infer,
      .run = add_scalar_run,
      .gradient = pass_gradient },
    UNARY(neg, "-x"),
    UNARY(square, "x^2"),
    UNARY(sqrt, "the square root of x"),
    UNARY(abs, "|x|"),
    UNARY(exp, "e^x"),
    UNARY(log, "the natural logarithm of x"),
    FLAT(sign, "-1, 0 or 1"),
    FLAT(floor, "the nearest whole number not above x"),
    FLAT(ceil, "the nearest whole number not below x"),
    FLAT(round, "the nearest whole number, of two the even one"),
    { .name = "stop_gradient",
      .help = "x, through which no gradient flows",
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = unary_infer,
      .run = copy_run },
    { .name = "cast",
      .help = "the same numbers in another type",
      OP_ARGUMENTS(struct op_cast_args, cast_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = cast_infer,
      .run = cast_run,
      .gradient = cast_gradient },
};
OP_ROWS_OF(math);
