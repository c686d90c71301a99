/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back through a recurrent layer (rnn.c): through time for the gates' sums, the inputs and the initial state, then what
 * the kernels and the bias get, as reductions over steps and rows.
 */
#include <string.h>

#include "op/rnn.h"

struct gradient_args {
    struct op_rnn_args rnn;
    int64_t time, features;
    bool by_output, by_h, by_c; /* which losses are given */
    bool wants_x, wants_state;
    int64_t first, count; /* rnn_kernel_gradient: rows of [K; R] */
};

/* dgates' blocks: one by the sums with x, and of a GRU with reset_after one by those with h. */
static int64_t gradient_blocks(const struct op_rnn_args *args)
{
    return args->cell == RNN_GRU && args->reset_after ? 2 : 1;
}

void rnn_gradient(struct op_gradient *g)
{
    const struct op_rnn_args *rnn = g->args;
    if (rnn->forward_only)
        return;
    const bool lstm = rnn->cell == RNN_LSTM;
    const struct rnn_roles roles = rnn_roles_of(rnn);
    const struct shape x = g->type(g->context, g->inputs[0]).shape;
    struct gradient_args args = { .rnn = *rnn, .time = x.dims[1], .features = x.dims[2] };
    struct pil_tensor *inputs[8], *outputs[OP_MAX_OUTPUTS], *saved = g->outputs[lstm ? 3 : 2];
    int count = 0, output = 1;
    args.by_output = g->output_gradients[0] != NULL;
    args.by_h = g->output_gradients[1] != NULL;
    args.by_c = lstm && g->output_gradients[2] != NULL;
    args.wants_x = g->wanted[0];
    args.wants_state = roles.h >= 0 && (g->wanted[roles.h] || (lstm && g->wanted[roles.c]));
    inputs[count++] = saved;
    inputs[count++] = g->inputs[roles.kernel];
    if (roles.recurrent >= 0)
        inputs[count++] = g->inputs[roles.recurrent];
    if (roles.ends >= 0)
        inputs[count++] = g->inputs[roles.ends];
    for (int i = 0; i < 2 + lstm; i++)
        if (g->output_gradients[i])
            inputs[count++] = g->output_gradients[i];
    struct pil_tensor *dgates = g->emit(g->context, "rnn_gradient", &args, inputs, count, outputs);
    if (args.wants_x)
        g->input_gradients[0] = outputs[output++];
    if (args.wants_state) {
        g->input_gradients[roles.h] = outputs[output++];
        if (lstm)
            g->input_gradients[roles.c] = outputs[output++];
    }
    args.count = args.features + (rnn->joined ? rnn->hidden : 0);
    if (g->wanted[roles.kernel])
        g->input_gradients[roles.kernel] = op_emit2(g, "rnn_kernel_gradient", &args, saved, dgates);
    args.first = args.features;
    args.count = rnn->hidden;
    if (roles.recurrent >= 0 && g->wanted[roles.recurrent])
        g->input_gradients[roles.recurrent] = op_emit2(g, "rnn_kernel_gradient", &args, saved, dgates);
    if (roles.bias >= 0 && g->wanted[roles.bias])
        g->input_gradients[roles.bias] = op_emit1(g, "rnn_bias_gradient", &args, dgates);
}

static bool rnn_gradient_infer(struct op_infer *infer)
{
    const struct gradient_args *args = infer->args;
    const struct op_rnn_args *rnn = &args->rnn;
    const struct rnn_sizes s = rnn_sizes_of(rnn, args->time, args->features);
    const struct op_type state = { .dtype = DTYPE_FLOAT32, .extent = EXTENT_ROWS, .shape = SHAPE(BATCH_DIM, rnn->hidden) };
    int count = 0;
    infer->outputs[count++] = rnn_private_rows(rnn_in_lanes(rnn) ? rnn_lanes_gates(&s) : gradient_blocks(rnn) * s.time * s.width);
    if (args->wants_x) {
        infer->outputs[count] = state;
        infer->outputs[count++].shape = SHAPE(BATCH_DIM, s.time, s.features);
    }
    if (args->wants_state)
        infer->outputs[count++] = state;
    if (args->wants_state && rnn->cell == RNN_LSTM)
        infer->outputs[count++] = state;
    infer->output_count = count;
    infer->behaviour = BEHAVIOUR_ROW_BY_ROW;
    return true;
}

/* The way back through a layer: the loss by h and c as it goes from step to step, the kernels transposed. */
struct back {
    struct rnn_layer layer;
    float *dgates, *dinner; /* [time][rows][width] */
    float *dh, *dc, *dreset, *dx;
    float *kernel, *recurrent; /* [columns, features], [columns, hidden] */
    int64_t h_ld, x_ld;        /* of dh, dreset, recurrent; of dx, kernel */
};

static size_t rnn_gradient_scratch(const void *options, const struct op_type *inputs, const struct op_type *outputs,
                                   int64_t tile_rows)
{
    const struct gradient_args *args = options;
    const struct rnn_sizes s = rnn_sizes_of(&args->rnn, args->time, args->features);
    (void)inputs;
    (void)outputs;
    if (rnn_in_lanes(&args->rnn))
        return rnn_lanes_gradient_scratch(&s, tile_rows);
    int64_t floats = tile_rows * (2 * pad_columns(s.hidden) + s.hidden) + rnn_strips_floats(s.columns, s.hidden);
    if (args->wants_x)
        floats += rnn_strips_floats(s.columns, s.features) + tile_rows * pad_columns(s.features);
    return rnn_ends_scratch(tile_rows) + (size_t)floats * sizeof(float) + 64 * 8;
}

static struct back back_begin(const struct op_run *run, const struct tensor *ends, char *scratch)
{
    const struct gradient_args *args = run->args;
    const struct op_rnn_args *rnn = &args->rnn;
    const struct tensor *saved = &run->inputs[0].tensor;
    const int64_t rows = saved->rows, floats = (int64_t)sizeof(float);
    struct back back = {
        .layer = { .args = rnn, .kernels = run->kernels, .rows = rows, .s = rnn_sizes_of(rnn, args->time, args->features) }
    };
    const struct rnn_sizes *s = &back.layer.s;
    rnn_find_kernels(&back.layer, &run->inputs[1].tensor, rnn->joined ? NULL : &run->inputs[2].tensor);
    rnn_find_blocks(rnn, s, true, rows, tensor_floats(saved), &back.layer.blocks);
    back.layer.ends = rnn_ends_begin(rnn, ends, rows, s->time, &scratch);
    back.dgates = tensor_floats(&run->outputs[0].tensor);
    back.dinner = back.dgates + s->time * rows * s->width;
    back.h_ld = pad_columns(s->hidden);
    back.x_ld = pad_columns(s->features);
    back.dh = rnn_piece(&scratch, rows * back.h_ld * floats);
    back.dreset = rnn_piece(&scratch, rows * back.h_ld * floats);
    back.dc = rnn_piece(&scratch, rows * s->hidden * floats);
    back.recurrent = rnn_piece(&scratch, rnn_strips_floats(s->columns, s->hidden) * floats);
    if (rnn->cell != RNN_GRU && rnn_wants_strips(s, rows))
        back.layer.recurrent_back = rnn_strips_transpose(run->kernels, back.layer.recurrent, back.layer.recurrent_ld, s->hidden,
                                                         s->columns, back.recurrent);
    else
        run->kernels->transpose(back.layer.recurrent, s->hidden, s->columns, back.layer.recurrent_ld, back.recurrent, back.h_ld);
    if (args->wants_x) {
        back.kernel = rnn_piece(&scratch, rnn_strips_floats(s->columns, s->features) * floats);
        back.dx = rnn_piece(&scratch, rows * back.x_ld * floats);
        if (s->features % PAD == 0 && rnn_wants_strips(s, rows))
            back.layer.kernel_back =
                rnn_strips_transpose(run->kernels, back.layer.kernel, back.layer.kernel_ld, s->features, s->columns, back.kernel);
        else
            run->kernels->transpose(back.layer.kernel, s->features, s->columns, back.layer.kernel_ld, back.kernel, back.x_ld);
    }
    return back;
}

/* dh = the product, except where a row has ended: there its gates' gradients are zeros and it keeps what it has. */
static void through_sums(const struct back *back, const float *dgates)
{
    const struct rnn_layer *layer = &back->layer;
    const struct rnn_sizes *s = &layer->s;
    for (int64_t r = 0; layer->ends.ended && r < layer->rows; r++)
        if (!layer->ends.ended[r])
            memset(back->dh + r * back->h_ld, 0, (size_t)s->hidden * sizeof(float));
    if (layer->recurrent_back.data)
        rnn_strips_product(layer, dgates, s->width, &layer->recurrent_back, NULL, layer->ends.ended != NULL, back->dh,
                           back->h_ld);
    else
        rnn_product(layer, dgates, s->width, s->columns, back->recurrent, back->h_ld, NULL, layer->ends.ended != NULL, back->dh,
                    back->h_ld, s->hidden);
}

static void lstm_back(const struct back *back, int64_t step, float *dgates)
{
    const struct lstm_step call = rnn_lstm_call(&back->layer, step);
    const struct lstm_step_gradient gradient = { .step = &call,
                                                 .dh = back->dh,
                                                 .dh_ld = back->h_ld,
                                                 .dc = back->dc,
                                                 .dc_ld = back->layer.s.hidden,
                                                 .dgates = dgates,
                                                 .dgates_ld = back->layer.s.width };
    back->layer.kernels->lstm_step_gradient(&gradient);
    through_sums(back, dgates);
}

static void gru_back(const struct back *back, int64_t step, float *dgates, float *dinner)
{
    const struct rnn_layer *layer = &back->layer;
    const struct rnn_sizes *s = &layer->s;
    struct gru_step call = rnn_gru_call(layer, step);
    const struct gru_step_gradient gradient = { .step = &call,
                                                .dh = back->dh,
                                                .dh_ld = back->h_ld,
                                                .dgates = dgates,
                                                .dgates_ld = s->width,
                                                .dinner = dinner,
                                                .dinner_ld = s->width,
                                                .dreset = back->dreset,
                                                .dreset_ld = back->h_ld };
    call.first_half = !call.reset_after;
    layer->kernels->gru_step_gradient(&gradient);
    if (call.reset_after) {
        rnn_product(layer, dinner, s->width, s->columns, back->recurrent, back->h_ld, NULL, true, back->dh, back->h_ld,
                    s->hidden);
        return;
    }
    const int64_t two = 2 * s->hidden; /* the candidate's columns come last in either order */
    rnn_product(layer, dgates + two, s->width, s->hidden, back->recurrent + two * back->h_ld, back->h_ld, NULL, false,
                back->dreset, back->h_ld, s->hidden);
    call.first_half = false;
    layer->kernels->gru_step_gradient(&gradient);
    rnn_product(layer, dgates, s->width, two, back->recurrent, back->h_ld, NULL, true, back->dh, back->h_ld, s->hidden);
}

static void simple_back(const struct back *back, int64_t step, float *dgates)
{
    const struct rnn_layer *layer = &back->layer;
    const struct rnn_sizes *s = &layer->s;
    const float *h = rnn_block_at(&layer->blocks, BLOCK_JOINED, step + 1) + s->features;
    layer->kernels->activate_gradient(layer->args->activation, back->dh, back->h_ld, h, s->features + s->hidden, NULL, 0, dgates,
                                      s->width, layer->rows, s->hidden);
    for (int64_t r = 0; layer->ends.ended && r < layer->rows; r++)
        if (layer->ends.ended[r])
            memset(dgates + r * s->width, 0, (size_t)s->hidden * sizeof(float));
    through_sums(back, dgates);
}

/* Adds the loss by a step's output to that by its state, where the output is the state. */
static void add_output(const struct back *back, const struct tensor *loss, int64_t step)
{
    const struct rnn_layer *layer = &back->layer;
    const int64_t hidden = layer->s.hidden;
    for (int64_t r = 0; r < layer->rows; r++) {
        const float *from = tensor_floats(loss) + r * loss->ld + (layer->args->sequence ? step * hidden : 0);
        float *to = back->dh + r * back->h_ld;
        for (int64_t u = 0; !rnn_gives_zeros(layer->args, &layer->ends, r, step) && u < hidden; u++)
            to[u] += from[u];
    }
}

static void write_dx(const struct back *back, const float *dgates, const struct tensor *dx, int64_t at)
{
    const struct rnn_layer *layer = &back->layer;
    const struct rnn_sizes *s = &layer->s;
    float *to = tensor_floats(dx) + at * s->features;
    if (layer->kernel_back.data) {
        rnn_strips_product(layer, dgates, s->width, &layer->kernel_back, NULL, false, to, dx->ld);
        return;
    }
    if (s->features % PAD == 0) {
        rnn_product(layer, dgates, s->width, s->columns, back->kernel, back->x_ld, NULL, false, to, dx->ld, s->features);
        return;
    }
    /* The product would write pads over the step behind. */
    rnn_product(layer, dgates, s->width, s->columns, back->kernel, back->x_ld, NULL, false, back->dx, back->x_ld, s->features);
    rnn_copy_rows(back->dx, back->x_ld, to, dx->ld, layer->rows, s->features);
}

/* Kernels' gradients take dgates as their right factor, whose pads must be zero. */
static void clear_pads(float *blocks, int64_t rows, const struct rnn_sizes *s)
{
    const size_t pads = (size_t)(s->width - s->columns) * sizeof(float);
    for (int64_t r = 0; pads && r < rows; r++)
        memset(blocks + r * s->width + s->columns, 0, pads);
}

static void rnn_gradient_run(struct op_run *run)
{
    const struct gradient_args *args = run->args;
    const struct op_rnn_args *rnn = &args->rnn;
    int next = rnn->joined ? 2 : 3, output = 1;
    const struct tensor *ends = rnn->ends != RNN_ENDS_NEVER ? &run->inputs[next++].tensor : NULL;
    const struct tensor *by_output = args->by_output ? &run->inputs[next++].tensor : NULL;
    const struct tensor *by_h = args->by_h ? &run->inputs[next++].tensor : NULL,
                        *by_c = args->by_c ? &run->inputs[next++].tensor : NULL;
    const struct tensor *dx = args->wants_x ? &run->outputs[output++].tensor : NULL;
    if (rnn_in_lanes(rnn)) {
        struct rnn_lanes_losses losses = { rnn_sizes_of(rnn, args->time, args->features), by_output, by_h, by_c, dx, NULL, NULL };
        losses.dh = args->wants_state ? &run->outputs[output].tensor : NULL;
        losses.dc = args->wants_state ? &run->outputs[output + 1].tensor : NULL;
        rnn_lanes_gradient_run(run, rnn, &losses);
        return;
    }
    struct back back = back_begin(run, ends, rnn_scratch_begin(run->scratch));
    const struct rnn_sizes *s = &back.layer.s;
    const int64_t rows = back.layer.rows;

    clear_pads(back.dgates, gradient_blocks(rnn) * s->time * rows, s);
    rnn_copy_rows(by_h ? tensor_floats(by_h) : NULL, by_h ? by_h->ld : 0, back.dh, back.h_ld, rows, s->hidden);
    if (rnn->cell == RNN_LSTM)
        rnn_copy_rows(by_c ? tensor_floats(by_c) : NULL, by_c ? by_c->ld : 0, back.dc, s->hidden, rows, s->hidden);
    for (int64_t step = s->time - 1; step >= 0; step--) {
        float *dgates = back.dgates + step * rows * s->width, *dinner = back.dinner + step * rows * s->width;
        rnn_ends_step(rnn, ends, &back.layer.ends, rows, step, s->time);
        if (by_output && (rnn->sequence || step == s->time - 1))
            add_output(&back, by_output, step);
        if (rnn->cell == RNN_LSTM)
            lstm_back(&back, step, dgates);
        else if (rnn->cell == RNN_GRU)
            gru_back(&back, step, dgates, dinner);
        else
            simple_back(&back, step, dgates);
        if (dx)
            write_dx(&back, dgates, dx, rnn->backwards ? s->time - 1 - step : step);
    }
    if (args->wants_state)
        rnn_copy_rows(back.dh, back.h_ld, tensor_floats(&run->outputs[output].tensor), run->outputs[output].tensor.ld, rows,
                      s->hidden);
    if (args->wants_state && rnn->cell == RNN_LSTM)
        rnn_copy_rows(back.dc, s->hidden, tensor_floats(&run->outputs[output + 1].tensor), run->outputs[output + 1].tensor.ld,
                      rows, s->hidden);
}

static double rnn_gradient_work(const void *options, const struct op_type *inputs, const struct op_type *outputs)
{
    const struct gradient_args *args = options;
    (void)inputs;
    (void)outputs;
    return rnn_products_work(&args->rnn, args->time, args->features);
}

/* ---- what the kernels get ---- */

static bool rnn_kernel_gradient_infer(struct op_infer *infer)
{
    const struct gradient_args *args = infer->args;
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32,
                                          .extent = EXTENT_BATCH,
                                          .shape = SHAPE(args->count, rnn_gate_count(args->rnn.cell) * args->rnn.hidden) };
    infer->behaviour = BEHAVIOUR_REDUCES;
    return true;
}

static size_t rnn_kernel_gradient_scratch(const void *options, const struct op_type *inputs, const struct op_type *outputs,
                                          int64_t tile_rows)
{
    const struct gradient_args *args = options;
    (void)inputs;
    (void)outputs;
    (void)tile_rows;
    return (size_t)(args->rnn.hidden * pad_columns(rnn_gate_count(args->rnn.cell) * args->rnn.hidden)) * sizeof(float) + 64;
}

/* out [count, columns] = a^T dgates over all steps and rows; a: `count` columns of rows of width a_ld. */
static void over_time(const struct op_run *run, const struct rnn_sizes *s, int64_t rows, const float *a, int64_t a_ld,
                      int64_t count, const float *dgates, float *out, int64_t ld, bool accumulate)
{
    struct gemm call = { .m = count,
                         .n = s->columns,
                         .k = s->time * rows,
                         .a = a,
                         .a_row = 1,
                         .a_column = a_ld,
                         .b = dgates,
                         .ldb = s->width,
                         .c = out,
                         .ldc = ld,
                         .accumulate = accumulate };
    run->kernels->gemm(&call);
}

/* A GRU without reset_after: z and r come from h, the candidate from r h. Both products are made for all columns, since the
 * candidate's do not begin where a vector may. */
static void reset_gradient(const struct op_run *run, const struct rnn_sizes *s, const struct rnn_blocks *blocks,
                           const float *dgates, float *out, int64_t ld)
{
    float *whole = (float *)(void *)rnn_scratch_begin(run->scratch);
    for (int part = 0; part < 2; part++) {
        const float *a = part ? blocks->data[BLOCK_RESET] : blocks->data[BLOCK_JOINED] + s->features;
        const int64_t first = part ? 2 * s->hidden : 0, end = part ? s->columns : 2 * s->hidden;
        over_time(run, s, blocks->rows, a, part ? s->hidden : s->features + s->hidden, s->hidden, dgates, whole, s->width, false);
        for (int64_t r = 0; r < s->hidden; r++)
            for (int64_t c = first; c < end; c++)
                out[r * ld + c] = whole[r * s->width + c] + (run->accumulate ? out[r * ld + c] : 0.0f);
    }
}

static void rnn_kernel_gradient_run(struct op_run *run)
{
    const struct gradient_args *args = run->args;
    const struct tensor *saved = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    const struct rnn_sizes s = rnn_sizes_of(&args->rnn, args->time, args->features);
    const float *dgates = tensor_floats(&run->inputs[1].tensor);
    const int64_t rows = saved->rows, joined = s.features + s.hidden, ld = out->ld;
    struct rnn_blocks blocks;
    float *to = tensor_floats(out);
    if (rnn_in_lanes(&args->rnn)) {
        rnn_lanes_sums_run(run, &args->rnn, &s, saved, &run->inputs[1].tensor, args->first, args->count);
        return;
    }
    rnn_find_blocks(&args->rnn, &s, true, rows, tensor_floats(saved), &blocks);
    const float *from = blocks.data[BLOCK_JOINED];
    if (args->rnn.cell != RNN_GRU) {
        over_time(run, &s, rows, from + args->first, joined, args->count, dgates, to, ld, run->accumulate);
        return;
    }
    if (args->first == 0)
        over_time(run, &s, rows, from, joined, s.features, dgates, to, ld, run->accumulate);
    if (args->first + args->count <= s.features)
        return;
    to += (s.features - args->first) * ld;
    if (args->rnn.reset_after)
        over_time(run, &s, rows, from + s.features, joined, s.hidden, dgates + s.time * rows * s.width, to, ld, run->accumulate);
    else
        reset_gradient(run, &s, &blocks, dgates, to, ld);
}

static double rnn_kernel_gradient_work(const void *options, const struct op_type *inputs, const struct op_type *outputs)
{
    const struct gradient_args *args = options;
    (void)inputs;
    return 2.0 * (double)args->time * (double)args->count * (double)outputs[0].shape.dims[1];
}

static bool rnn_bias_gradient_infer(struct op_infer *infer)
{
    const struct gradient_args *args = infer->args;
    const int64_t columns = rnn_gate_count(args->rnn.cell) * args->rnn.hidden;
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32,
                                          .extent = EXTENT_BATCH,
                                          .shape = gradient_blocks(&args->rnn) == 2 ? SHAPE(2, columns) : SHAPE(columns) };
    infer->behaviour = BEHAVIOUR_REDUCES;
    return true;
}

static void rnn_bias_gradient_run(struct op_run *run)
{
    const struct gradient_args *args = run->args;
    const struct rnn_sizes s = rnn_sizes_of(&args->rnn, args->time, args->features);
    const struct tensor *dgates = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    const int64_t count = s.time * dgates->rows;
    if (rnn_in_lanes(&args->rnn)) {
        rnn_lanes_sums_run(run, &args->rnn, &s, NULL, dgates, s.features + s.hidden, 1);
        return;
    }
    for (int64_t b = 0; b < gradient_blocks(&args->rnn); b++) {
        float *to = tensor_floats(out) + b * out->ld;
        if (!run->accumulate)
            memset(to, 0, (size_t)s.width * sizeof(float));
        run->kernels->bias_gradient(tensor_floats(dgates) + b * count * s.width, s.width, count, s.columns, to);
    }
}

#define AT(field) offsetof(struct gradient_args, rnn.field)
#define OF(field) offsetof(struct gradient_args, field)
static const struct arg gradient_arguments[] = {
    RNN_ARGUMENT_ROWS(AT),
    { "time", &ARG_INT, OF(time), "steps" },
    { "features", &ARG_INT, OF(features), "columns of a step's input" },
    { "by_output", &ARG_BOOL, OF(by_output), "whether the output has a gradient" },
    { "by_h", &ARG_BOOL, OF(by_h), "whether the final h has one" },
    { "by_c", &ARG_BOOL, OF(by_c), "whether the final c has one" },
    { "wants_x", &ARG_BOOL, OF(wants_x), "whether the input's is wanted" },
    { "wants_state", &ARG_BOOL, OF(wants_state), "whether the initial state's is wanted" },
    { "first", &ARG_INT, OF(first), "first row of the joined kernel" },
    { "count", &ARG_INT, OF(count), "how many of them" },
};

static const struct op_row rows[] = {
    { .name = "rnn_gradient",
      .help = "a recurrent layer's way back through time",
      OP_ARGUMENTS(struct gradient_args, gradient_arguments),
      .min_inputs = 3,
      .max_inputs = 7,
      .flags = OP_TAKES_VIEWS,
      .infer = rnn_gradient_infer,
      .run = rnn_gradient_run,
      .scratch = rnn_gradient_scratch,
      .work = rnn_gradient_work },
    { .name = "rnn_kernel_gradient",
      .help = "what a recurrent layer's kernel gets",
      OP_ARGUMENTS(struct gradient_args, gradient_arguments),
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = rnn_kernel_gradient_infer,
      .run = rnn_kernel_gradient_run,
      .scratch = rnn_kernel_gradient_scratch,
      .work = rnn_kernel_gradient_work },
    { .name = "rnn_bias_gradient",
      .help = "what a recurrent layer's bias gets",
      OP_ARGUMENTS(struct gradient_args, gradient_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .infer = rnn_bias_gradient_infer,
      .run = rnn_bias_gradient_run },
};
OP_ROWS_OF(rnn_gradient);
