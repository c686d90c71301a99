/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What draws random numbers: dropout and the initializers. Both are pure functions of (seed, name, place), so threads, tiles
 * and resumed runs draw the same ones.
 */
#include <math.h>

#include "op/internal.h"

/* ---- dropout: y = x / (1 - rate) where kept, else 0; an element is kept with probability 1 - rate ---- */

static bool dropout_infer(struct op_infer *infer)
{
    const struct op_dropout_args *args = infer->args;
    if (!(args->rate >= 0 && args->rate < 1))
        return op_fail(infer, "the rate %g is not in [0, 1)", (double)args->rate);
    return op_need_float(infer) && op_like(infer, 0);
}

static void dropout_run(struct op_run *run)
{
    const struct op_dropout_args *args = run->args;
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    struct random_key key = random_key(run->seed, args->stream ? args->stream : run->name);
    uint64_t step = (uint64_t)run->step, blocks = (uint64_t)((x->cols + 3) / 4);
    uint32_t limit = (uint32_t)fmin((double)args->rate * 4294967296.0, 4294967295.0); /* dropped below it */
    float scale = 1.0f / (1.0f - args->rate);
    for (int64_t r = 0; r < x->rows; r++) {
        const float *in = tensor_floats(x) + r * x->ld;
        float *out = tensor_floats(y) + r * y->ld;
        for (int64_t c = 0; c < x->cols; c += 4) {
            uint32_t bits[4];
            random_bits(key, step, (uint64_t)(run->first_row + r) * blocks + (uint64_t)(c / 4), bits);
            for (int64_t i = c; i < MIN(c + 4, x->cols); i++)
                out[i] = bits[i - c] < limit ? 0 : in[i] * scale;
        }
    }
}

static void dropout_gradient(struct op_gradient *g)
{
    struct op_dropout_args args = *(const struct op_dropout_args *)g->args;
    args.stream = args.stream ? args.stream : g->name;
    g->input_gradients[0] = op_emit1(g, "dropout", &args, g->output_gradients[0]);
}

/* ---- initializers ---- */

/* Keras's fans: a matrix [in, out]; a convolution [..., in, out] counts its window; a vector is its own. */
static void fans(struct shape shape, double *fan_in, double *fan_out)
{
    double window = 1;
    for (int i = 0; i < shape.rank - 2; i++)
        window *= (double)shape.dims[i];
    *fan_in = shape.rank > 1 ? window * (double)shape.dims[shape.rank - 2] : shape.rank == 1 ? (double)shape.dims[0] : 1;
    *fan_out = shape.rank > 1 ? window * (double)shape.dims[shape.rank - 1] : *fan_in;
}

/* VarianceScaling: uniform in +-sqrt(3 s / n), or truncated normal whose deviation makes up for what was cut off. */
static void variance_scaling(double scale, double fan, bool normal, struct random_key key, int64_t first, int64_t count,
                             float *out)
{
    double n = fan > 1 ? fan : 1;
    if (normal) {
        random_fill_truncated(key, out, first, count, 0, (float)(sqrt(scale / n) / 0.87962566103423978));
    } else {
        float limit = (float)sqrt(3 * scale / n);
        random_fill_uniform(key, out, first, count, -limit, limit);
    }
}

/* Gram-Schmidt, twice for accuracy, on the longer side's vectors: Q of the QR of a normal matrix with R's diagonal positive. */
static bool orthogonal(struct shape shape, float gain, struct random_key key, float *out, pil_status *status)
{
    int64_t cols = shape.dims[shape.rank - 1], rows = cols > 0 ? shape_elements(shape) / cols : 0;
    int64_t tall = MAX(rows, cols), wide = MIN(rows, cols);
    double *q = mem_array((size_t)(tall * wide), sizeof *q, status); /* wide vectors of tall elements */
    float *draw = mem_array((size_t)tall, sizeof *draw, status);
    for (int64_t v = 0; q && draw && v < wide; v++) {
        double *vector = q + v * tall, norm = 0;
        random_fill_normal(key, draw, v * tall, tall, 0, 1);
        for (int64_t i = 0; i < tall; i++)
            vector[i] = (double)draw[i];
        for (int pass = 0; pass < 2; pass++)
            for (int64_t u = 0; u < v; u++) {
                double dot = 0;
                for (int64_t i = 0; i < tall; i++)
                    dot += q[u * tall + i] * vector[i];
                for (int64_t i = 0; i < tall; i++)
                    vector[i] -= dot * q[u * tall + i];
            }
        for (int64_t i = 0; i < tall; i++)
            norm += vector[i] * vector[i];
        norm = sqrt(norm);
        for (int64_t i = 0; i < tall; i++)
            vector[i] /= norm > 0 ? norm : 1;
        for (int64_t i = 0; i < tall; i++)
            out[rows >= cols ? i * cols + v : v * cols + i] = (float)(vector[i] * (double)gain);
    }
    mem_free(q);
    mem_free(draw);
    return status_ok(status);
}

bool initializer_fill(pil_initializer initializer, struct random_key key, struct shape shape, int64_t first, int64_t count,
                      float *out, pil_status *status)
{
    double fan_in, fan_out;
    fans(shape, &fan_in, &fan_out);
    float constant = initializer.kind == PIL_INITIALIZER_ONES       ? 1.0f
                     : initializer.kind == PIL_INITIALIZER_CONSTANT ? initializer.a
                                                                    : 0.0f;
    switch (initializer.kind) {
    case PIL_INITIALIZER_ZEROS:
    case PIL_INITIALIZER_ONES:
    case PIL_INITIALIZER_CONSTANT:
        for (int64_t i = 0; i < count; i++)
            out[i] = constant;
        break;
    case PIL_INITIALIZER_NORMAL:
        random_fill_normal(key, out, first, count, initializer.a, initializer.b);
        break;
    case PIL_INITIALIZER_UNIFORM:
        random_fill_uniform(key, out, first, count, initializer.a, initializer.b);
        break;
    case PIL_INITIALIZER_TRUNCATED_NORMAL:
        random_fill_truncated(key, out, first, count, initializer.a, initializer.b);
        break;
    case PIL_INITIALIZER_GLOROT_UNIFORM:
    case PIL_INITIALIZER_GLOROT_NORMAL:
        variance_scaling(1, (fan_in + fan_out) / 2, initializer.kind == PIL_INITIALIZER_GLOROT_NORMAL, key, first, count, out);
        break;
    case PIL_INITIALIZER_HE_UNIFORM:
    case PIL_INITIALIZER_HE_NORMAL:
        variance_scaling(2, fan_in, initializer.kind == PIL_INITIALIZER_HE_NORMAL, key, first, count, out);
        break;
    case PIL_INITIALIZER_LECUN_UNIFORM:
    case PIL_INITIALIZER_LECUN_NORMAL:
        variance_scaling(1, fan_in, initializer.kind == PIL_INITIALIZER_LECUN_NORMAL, key, first, count, out);
        break;
    case PIL_INITIALIZER_ORTHOGONAL:
        if (shape.rank < 2 || first != 0 || count != shape_elements(shape))
            return status_fail(status, PIL_INVALID_ARGUMENT, "the orthogonal initializer needs a whole matrix");
        return orthogonal(shape, initializer.a, key, out, status);
    case PIL_INITIALIZER_IDENTITY:
        if (shape.rank != 2)
            return status_fail(status, PIL_INVALID_ARGUMENT, "the identity initializer needs a matrix");
        for (int64_t i = 0; i < count; i++)
            out[i] = (first + i) / shape.dims[1] == (first + i) % shape.dims[1] ? initializer.a : 0.0f;
        break;
    }
    return true;
}

static const struct arg dropout_arguments[] = {
    { "rate", &ARG_FLOAT, offsetof(struct op_dropout_args, rate), "the part that is dropped" },
    { "stream", &ARG_TEXT, offsetof(struct op_dropout_args, stream), "whose random numbers; null: the node's own" },
};

static const struct op_row rows[] = {
    { .name = "dropout",
      .help = "drops elements at random, scales the others up",
      OP_ARGUMENTS(struct op_dropout_args, dropout_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS | OP_IN_PLACE,
      .infer = dropout_infer,
      .run = dropout_run,
      .gradient = dropout_gradient },
};
OP_ROWS_OF(random);
