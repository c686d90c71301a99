/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM layers of few units (kernel/lanes.c): the same four ops as rnn.c's and rnn_gradient.c's, with rows side by side in what is
 * saved. Which layers these are follows from the arguments alone, so that all four agree.
 */
#include <string.h>

#include "op/rnn.h"

enum { ARRAYS = 5 }; /* in `saved`: x, h, c, gates, shown */

/* Measured (AVX2, trained): at 3 units 2.8 times as fast from 8 rows on, at one row 0.85 times; at 8 units, where vectors along a row are
 * full, 1.1 times at 64 rows and a quarter at one; at 16 and more slower. */
bool rnn_in_lanes(const struct op_rnn_args *args)
{
    return args->cell == RNN_LSTM && args->hidden <= LANES_MOST_HIDDEN && args->activation == ACTIVATION_TANH &&
           args->recurrent == ACTIVATION_SIGMOID && args->ends == RNN_ENDS_NEVER;
}

int64_t rnn_lanes_floats(const struct rnn_sizes *s, bool keep)
{
    const int64_t slots = keep ? s->time : 1;
    return s->time * s->features + 2 * (s->time + 1) * s->hidden + slots * 5 * s->hidden + ARRAYS * LANES_SLACK;
}

int64_t rnn_lanes_gates(const struct rnn_sizes *s)
{
    return s->time * s->columns + LANES_SLACK;
}

static float *take(float **at, int64_t floats)
{
    float *here = *at;
    *at += floats + LANES_SLACK;
    return here;
}

static struct lstm_lanes layer_of(const struct op_rnn_args *args, const struct rnn_sizes *s, int64_t rows, float *data, bool keep)
{
    const int64_t slots = keep ? s->time : 1, state = (s->time + 1) * s->hidden * rows;
    struct lstm_lanes layer = { .rows = rows,
                                .time = s->time,
                                .features = s->features,
                                .hidden = s->hidden,
                                .keras_order = args->keras_order,
                                .backwards = args->backwards,
                                .keep = keep,
                                .forget_bias = args->forget_bias };
    if (!data)
        return layer; /* a bias's gradient needs none of it */
    layer.x = take(&data, s->time * s->features * rows);
    layer.h = take(&data, state);
    layer.c = take(&data, state);
    layer.gates = take(&data, slots * s->columns * rows);
    layer.shown = take(&data, slots * s->hidden * rows);
    return layer;
}

static void find_kernels(struct lstm_lanes *layer, const struct tensor *kernel, const struct tensor *recurrent)
{
    layer->kernel = tensor_floats(kernel);
    layer->kernel_ld = kernel->ld;
    layer->recurrent = recurrent ? tensor_floats(recurrent) : layer->kernel + layer->features * kernel->ld;
    layer->recurrent_ld = recurrent ? recurrent->ld : kernel->ld;
}

/* Rows of `count` numbers, side by side; `from` NULL: zeros. */
static void spread(const struct kernels *kernels, const struct tensor *from, int64_t rows, int64_t count, float *to)
{
    if (from)
        kernels->transpose(tensor_floats(from), rows, count, from->ld, to, rows);
    else
        memset(to, 0, (size_t)(count * rows) * sizeof(float));
}

static void gather(const struct kernels *kernels, const float *from, int64_t rows, int64_t count, const struct tensor *to)
{
    kernels->transpose(from, count, rows, rows, tensor_floats(to), to->ld);
}

void rnn_lanes_run(struct op_run *run)
{
    const struct op_rnn_args *args = run->args;
    const struct rnn_roles roles = rnn_roles_of(args);
    const struct kernels *kernels = run->kernels;
    const struct tensor *x = &run->inputs[0].tensor, *bias = roles.bias < 0 ? NULL : &run->inputs[roles.bias].tensor;
    const struct rnn_sizes s = rnn_sizes_of(args, x->shape.dims[1], x->shape.dims[2]);
    const int64_t rows = x->rows, hidden = s.hidden, last = s.time * hidden * rows;
    const bool keep = !args->forward_only;
    float *data =
        keep ? tensor_floats(&run->outputs[run->output_count - 1].tensor) : (float *)(void *)rnn_scratch_begin(run->scratch);
    struct lstm_lanes layer = layer_of(args, &s, rows, data, keep);
    find_kernels(&layer, &run->inputs[1].tensor, roles.recurrent < 0 ? NULL : &run->inputs[roles.recurrent].tensor);
    layer.bias = bias ? tensor_floats(bias) : NULL;
    spread(kernels, x, rows, s.time * s.features, data);
    spread(kernels, roles.h < 0 ? NULL : &run->inputs[roles.h].tensor, rows, hidden, layer.h);
    spread(kernels, roles.c < 0 ? NULL : &run->inputs[roles.c].tensor, rows, hidden, layer.c);
    kernels->lstm_lanes(&layer);
    if (!args->state_only && args->sequence)
        gather(kernels, layer.h + hidden * rows, rows, s.time * hidden, &run->outputs[0].tensor);
    else if (!args->state_only)
        gather(kernels, layer.h + last, rows, hidden, &run->outputs[0].tensor);
    gather(kernels, layer.h + last, rows, hidden, &run->outputs[1].tensor);
    gather(kernels, layer.c + last, rows, hidden, &run->outputs[2].tensor);
}

size_t rnn_lanes_gradient_scratch(const struct rnn_sizes *s, int64_t tile_rows)
{
    const int64_t floats = (2 + s->time) * s->hidden + s->time * s->features;
    return (size_t)(tile_rows * floats + 4 * LANES_SLACK) * sizeof(float) + 64;
}

void rnn_lanes_gradient_run(struct op_run *run, const struct op_rnn_args *args, const struct rnn_lanes_losses *losses)
{
    const struct kernels *kernels = run->kernels;
    const struct tensor *saved = &run->inputs[0].tensor;
    const struct rnn_sizes *s = &losses->s;
    const int64_t rows = saved->rows, hidden = s->hidden;
    struct lstm_lanes layer = layer_of(args, s, rows, tensor_floats(saved), true);
    find_kernels(&layer, &run->inputs[1].tensor, args->joined ? NULL : &run->inputs[2].tensor);
    float *scratch = (float *)(void *)rnn_scratch_begin(run->scratch);
    struct lstm_lanes_gradient call = { .layer = &layer, .dgates = tensor_floats(&run->outputs[0].tensor) };
    call.dh = take(&scratch, hidden * rows);
    call.dc = take(&scratch, hidden * rows);
    float *dout = take(&scratch, s->time * hidden * rows);
    spread(kernels, losses->by_h, rows, hidden, call.dh);
    spread(kernels, losses->by_c, rows, hidden, call.dc);
    if (losses->by_output) {
        spread(kernels, losses->by_output, rows, (args->sequence ? s->time : 1) * hidden, dout);
        call.dout = args->sequence ? dout : NULL;
        for (int64_t i = 0; !args->sequence && i < hidden * rows; i++)
            call.dh[i] += dout[i];
    }
    call.dx = losses->dx ? take(&scratch, s->time * s->features * rows) : NULL;
    kernels->lstm_lanes_gradient(&call);
    if (losses->dx)
        gather(kernels, call.dx, rows, s->time * s->features, losses->dx);
    if (losses->dh)
        gather(kernels, call.dh, rows, hidden, losses->dh);
    if (losses->dc)
        gather(kernels, call.dc, rows, hidden, losses->dc);
}

/* Rows first .. first + count of [x, h, 1] with dgates. */
void rnn_lanes_sums_run(const struct op_run *run, const struct op_rnn_args *args, const struct rnn_sizes *s,
                        const struct tensor *saved, const struct tensor *dgates, int64_t first, int64_t count)
{
    const struct tensor *out = &run->outputs[0].tensor;
    const struct lstm_lanes layer = layer_of(args, s, dgates->rows, saved ? tensor_floats(saved) : NULL, true);
    const struct lstm_lanes_sums call = { .layer = &layer,
                                          .dgates = tensor_floats(dgates),
                                          .first = first,
                                          .count = count,
                                          .out = tensor_floats(out),
                                          .ld = out->ld,
                                          .accumulate = run->accumulate };
    run->kernels->lstm_lanes_sums(&call);
}
