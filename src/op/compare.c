/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparisons and truths (a float32 of 0 or 1; whatever is not 0 is true), and what chooses by them. All broadcast as arithmetic
 * does (math.c).
 *
 *   equal ... greater_equal, logical_and, logical_or, logical_not   no gradient
 *   where          c, a, b -> a where c is not 0, else b            da = dy where c holds, else 0; db the other way round
 *   where_part     c, x -> x where c holds (`otherwise`: where it does not), else 0
 *   clip_by_value  x within two numbers                             dx = dy where nothing was cut off
 */
#include "op/internal.h"
#include "pilaster/op.h"

struct choice {
    const float *a, *b, *c;
    float *out;
};

/* A loop for each comparison, so that the choice is made once a line. */
#define EACH_PAIR(name, expression)                                                                                              \
    static void name##_line(void *context, const struct op_line *line)                                                           \
    {                                                                                                                            \
        const struct choice *on = context;                                                                                       \
        for (int64_t i = 0; i < line->count; i++) {                                                                              \
            float x = on->a[line->a + i * line->a_step];                                                                         \
            float y = on->b[line->b + i * line->b_step];                                                                         \
            on->out[line->out + i * line->out_step] = (expression) ? 1.0f : 0.0f;                                                \
        }                                                                                                                        \
    }                                                                                                                            \
    static void name##_run(struct op_run *run)                                                                                   \
    {                                                                                                                            \
        pairs(run, name##_line);                                                                                                 \
    }

static void pairs(struct op_run *run, void (*line)(void *context, const struct op_line *line))
{
    const struct tensor *a = &run->inputs[0].tensor, *b = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    op_broadcast(out, a, b, line, &(struct choice){ .a = tensor_floats(a), .b = tensor_floats(b), .out = tensor_floats(out) });
}

EACH_PAIR(equal, x == y)
EACH_PAIR(not_equal, x != y)
EACH_PAIR(less, x < y)
EACH_PAIR(less_equal, x <= y)
EACH_PAIR(greater, x > y)
EACH_PAIR(greater_equal, x >= y)
EACH_PAIR(logical_and, x != 0 && y != 0)
EACH_PAIR(logical_or, x != 0 || y != 0)

static bool one_infer(struct op_infer *infer)
{
    return op_need_float(infer) && op_like(infer, 0);
}

static void logical_not_run(struct op_run *run)
{
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t c = 0; c < x->cols; c++)
            tensor_floats(y)[r * y->ld + c] = tensor_floats(x)[r * x->ld + c] != 0 ? 0.0f : 1.0f;
}

/* ---- where ---- */

static void where_line(void *context, const struct op_line *line)
{
    const struct choice *on = context;
    for (int64_t i = 0; i < line->count; i++) {
        bool holds = on->a[line->a + i * line->a_step] != 0;
        on->out[line->out + i * line->out_step] = holds ? on->b[line->b + i * line->b_step] : on->c[line->c + i * line->c_step];
    }
}

static void where_run(struct op_run *run)
{
    const struct tensor *c = &run->inputs[0].tensor, *a = &run->inputs[1].tensor, *b = &run->inputs[2].tensor;
    const struct tensor *out = &run->outputs[0].tensor;
    op_broadcast3(out, c, a, b, where_line,
                  &(struct choice){ tensor_floats(c), tensor_floats(a), tensor_floats(b), tensor_floats(out) });
}

/* Nothing is multiplied by 0, which would make NaN of an infinite gradient that nobody wants. */
struct part_args {
    bool otherwise;
};

static void part_line(void *context, const struct op_line *line)
{
    const struct choice *on = context;
    for (int64_t i = 0; i < line->count; i++)
        on->out[line->out + i * line->out_step] = on->a[line->a + i * line->a_step] != 0 ? on->b[line->b + i * line->b_step] : 0;
}

static void other_part_line(void *context, const struct op_line *line)
{
    const struct choice *on = context;
    for (int64_t i = 0; i < line->count; i++)
        on->out[line->out + i * line->out_step] = on->a[line->a + i * line->a_step] != 0 ? 0 : on->b[line->b + i * line->b_step];
}

static void where_part_run(struct op_run *run)
{
    pairs(run, ((const struct part_args *)run->args)->otherwise ? other_part_line : part_line);
}

static void where_part_gradient(struct op_gradient *g)
{
    if (g->wanted[1])
        op_give_back(g, 1, op_emit2(g, "where_part", g->args, g->inputs[0], g->output_gradients[0]));
}

static void where_gradient(struct op_gradient *g)
{
    for (int i = 1; i < 3; i++)
        if (g->wanted[i])
            op_give_back(g, i, op_emit2(g, "where_part", &(struct part_args){ i == 2 }, g->inputs[0], g->output_gradients[0]));
}

/* ---- clip_by_value ---- */

static bool clip_infer(struct op_infer *infer)
{
    const pil_clip_options *args = infer->args;
    if (!(args->clip_value_min <= args->clip_value_max))
        return op_fail(infer, "%g is above %g", (double)args->clip_value_min, (double)args->clip_value_max);
    for (int i = 1; i < infer->input_count; i++)
        if (!shape_equal(infer->inputs[0].shape, infer->inputs[i].shape))
            return op_fail(infer, "the shapes differ");
    return one_infer(infer);
}

static void clip_run(struct op_run *run)
{
    const pil_clip_options *args = run->args;
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    float low = args->clip_value_min, high = args->clip_value_max;
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t c = 0; c < x->cols; c++) {
            float value = tensor_floats(x)[r * x->ld + c];
            tensor_floats(y)[r * y->ld + c] = value < low ? low : value > high ? high : value;
        }
}

static void clip_gradient(struct op_gradient *g)
{
    g->input_gradients[0] = op_emit2(g, "clip_by_value_gradient", g->args, g->output_gradients[0], g->inputs[0]);
}

/* dy, x -> dy where x is within the limits or at one; NaN is not (so TensorFlow: two of its comparisons with NaN fail). */
static void clip_gradient_run(struct op_run *run)
{
    const pil_clip_options *args = run->args;
    const struct tensor *dy = &run->inputs[0].tensor, *x = &run->inputs[1].tensor, *dx = &run->outputs[0].tensor;
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t c = 0; c < x->cols; c++) {
            float value = tensor_floats(x)[r * x->ld + c];
            bool inside = value >= args->clip_value_min && value <= args->clip_value_max;
            tensor_floats(dx)[r * dx->ld + c] = inside ? tensor_floats(dy)[r * dy->ld + c] : 0;
        }
}

static const struct arg clip_arguments[] = {
    { "clip_value_min", &ARG_FLOAT, offsetof(pil_clip_options, clip_value_min), "nothing is below it" },
    { "clip_value_max", &ARG_FLOAT, offsetof(pil_clip_options, clip_value_max), "nothing is above it" },
};
static const struct arg part_arguments[] = { { "otherwise", &ARG_BOOL, offsetof(struct part_args, otherwise),
                                               "where the condition fails" } };

#define PAIR(op, text)                                                                                                           \
    {                                                                                                                            \
        .name = #op, .help = text, .min_inputs = 2, .max_inputs = 2, .flags = OP_TAKES_VIEWS | OP_IN_PLACE,                      \
        .infer = op_broadcast_infer, .run = op##_run                                                                             \
    }

static const struct op_row rows[] = {
    PAIR(equal, "1 where a = b, else 0"),
    PAIR(not_equal, "0 where a = b, else 1"),
    PAIR(less, "1 where a < b, else 0"),
    PAIR(less_equal, "1 where a <= b, else 0"),
    PAIR(greater, "1 where a > b, else 0"),
    PAIR(greater_equal, "1 where a >= b, else 0"),
    PAIR(logical_and, "1 where neither a nor b is 0, else 0"),
    PAIR(logical_or, "0 where a and b are 0, else 1"),
    { .name = "logical_not",
      .help = "1 where x is 0, else 0",
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = one_infer,
      .run = logical_not_run },
    { .name = "where",
      .help = "a where a condition is not 0, else b",
      .min_inputs = 3,
      .max_inputs = 3,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = op_broadcast_infer,
      .run = where_run,
      .gradient = where_gradient },
    { .name = "where_part",
      .help = "x where a condition holds, or fails, else 0",
      OP_ARGUMENTS(struct part_args, part_arguments),
      .min_inputs = 2,
      .max_inputs = 2,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = op_broadcast_infer,
      .run = where_part_run,
      .gradient = where_part_gradient },
    { .name = "clip_by_value",
      .help = "x within two numbers",
      OP_ARGUMENTS(pil_clip_options, clip_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = clip_infer,
      .run = clip_run,
      .gradient = clip_gradient },
    { .name = "clip_by_value_gradient",
      .help = "dy where nothing was cut off",
      OP_ARGUMENTS(pil_clip_options, clip_arguments),
      .min_inputs = 2,
      .max_inputs = 2,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = clip_infer,
      .run = clip_gradient_run },
};
OP_ROWS_OF(compare);
