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
    const struct shape *noise = &args->noise_shape, *x = &infer->inputs[0].shape;
    char text[128];
    if (!(args->rate >= 0 && args->rate < 1))
        return op_fail(infer, "the rate %g is not in [0, 1)", (double)args->rate);
    bool fits = noise->rank == 0 || noise->rank == x->rank;
    for (int i = 0; i < noise->rank && fits; i++)
        fits = noise->dims[i] == 1 || noise->dims[i] == -1 || noise->dims[i] == x->dims[i];
    if (!fits)
        return op_fail(infer, "the noise_shape %s does not fit: a size must be 1, or the input's (-1 stands for it)",
                       shape_text(*noise, text));
    return op_need_float(infer) && op_like(infer, 0);
}

/* A number for each draw of a row, four to a block. */
struct draws {
    struct random_key key;
    uint64_t step, first; /* of a row: its first block */
    int64_t block;        /* the one at hand, -1: none */
    uint32_t bits[4], limit;
    float scale;
};

static inline void draw_block(struct draws *draws, int64_t block)
{
    if (block != draws->block)
        random_bits(draws->key, draws->step, draws->first + (uint64_t)block, draws->bits);
    draws->block = block;
}

/* `count` neighbours, draw `number` and those behind it, or all by that one where `apart` is 0. */
static void drop_run(struct draws *draws, int64_t number, int64_t apart, const float *in, float *out, int64_t count)
{
    if (apart == 0) {
        draw_block(draws, number / 4);
        for (int64_t i = 0; i < count; i++)
            out[i] = draws->bits[number % 4] < draws->limit ? 0 : in[i] * draws->scale;
        return;
    }
    for (int64_t i = 0; i < count;) {
        const int64_t lane = (number + i) % 4, end = MIN(i + 4 - lane, count);
        draw_block(draws, (number + i) / 4);
        for (int64_t j = lane; i < end; i++, j++)
            out[i] = draws->bits[j] < draws->limit ? 0 : in[i] * draws->scale;
    }
}

/* How draws are numbered: `steps` from one position of an axis to the next, 0 where they share one; the first `lead` axes number rows
 * of `blocks` blocks. */
struct noise {
    struct shape shape;
    int lead;
    int64_t steps[SHAPE_MAX_RANK], blocks;
};

static struct noise noise_of(const struct shape *given, const struct tensor *x)
{
    struct noise noise = { .shape = x->shape };
    const int rank = x->shape.rank;
    noise.lead = rank && x->shape.dims[0] == x->rows ? 1 : MAX(rank - 1, 0);
    int64_t count = 1;
    for (int i = rank - 1; i >= 0; i--) {
        const bool shared = given->rank && given->dims[i] == 1;
        if (i == noise.lead - 1) {
            noise.blocks = (count + 3) / 4;
            count = 1;
        }
        noise.steps[i] = shared ? 0 : count;
        count *= shared ? 1 : x->shape.dims[i];
    }
    noise.blocks = MAX(noise.blocks, 1);
    return noise;
}

static uint64_t noise_row(const struct noise *noise, int64_t row)
{
    int64_t number = 0;
    for (int i = noise->lead - 1; i > 0; i--) {
        number += row % noise->shape.dims[i] * noise->steps[i];
        row /= noise->shape.dims[i];
    }
    return (uint64_t)(number + (noise->lead ? row * noise->steps[0] : 0));
}

/* A row by an odometer over its axes. */
static void drop_row(struct draws *draws, const struct noise *noise, const float *in, float *out, int64_t count)
{
    int64_t index[SHAPE_MAX_RANK] = { 0 }, number = 0;
    const int last = noise->shape.rank - 1;
    const bool inside = noise->lead <= last;
    const int64_t run = inside ? noise->shape.dims[last] : 1, apart = inside ? noise->steps[last] : 0;
    for (int64_t c = 0; c < count; c += run) {
        drop_run(draws, number, apart, in + c, out + c, run);
        for (int i = last - 1; i >= noise->lead; i--) {
            number += noise->steps[i];
            if (++index[i] < noise->shape.dims[i])
                break;
            number -= noise->steps[i] * noise->shape.dims[i];
            index[i] = 0;
        }
    }
}

static void dropout_run(struct op_run *run)
{
    const struct op_dropout_args *args = run->args;
    const struct tensor *x = &run->inputs[0].tensor, *y = &run->outputs[0].tensor;
    const struct noise noise = noise_of(&args->noise_shape, x);
    const uint64_t seed = args->seeded ? (uint64_t)args->seed : run->seed;
    struct draws draws = { .key = random_key(seed, args->stream ? args->stream : run->name),
                           .step = (uint64_t)run->step,
                           .limit = (uint32_t)fmin((double)args->rate * 4294967296.0, 4294967295.0), /* dropped below it */
                           .scale = 1.0f / (1.0f - args->rate) };
    for (int64_t r = 0; r < x->rows; r++) {
        draws.first = noise_row(&noise, run->first_row + r) * (uint64_t)noise.blocks;
        draws.block = -1;
        drop_row(&draws, &noise, tensor_floats(x) + r * x->ld, tensor_floats(y) + r * y->ld, x->cols);
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
    case PIL_INITIALIZER_RANGE_OF_ONES:
        for (int64_t i = 0; i < count; i++)
            out[i] = first + i >= (int64_t)initializer.a && first + i < (int64_t)initializer.b ? 1.0f : 0.0f;
        break;
    }
    return true;
}

static const struct arg dropout_arguments[] = {
    { "rate", &ARG_FLOAT, offsetof(struct op_dropout_args, rate), "the part that is dropped" },
    { "stream", &ARG_TEXT, offsetof(struct op_dropout_args, stream), "whose random numbers; null: the node's own" },
    OP_SHAPE_ARGUMENT("noise_shape", struct op_dropout_args, noise_shape, "axes of 1 share a draw; none: no axis does"),
    { "seeded", &ARG_BOOL, offsetof(struct op_dropout_args, seeded), "by a seed of its own" },
    { "seed", &ARG_INT, offsetof(struct op_dropout_args, seed), "that one" },
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
