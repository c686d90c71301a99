/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recurrent layers over time as one node: LSTM (BasicLSTMCell, Keras), GRU (Keras with reset_after or without, GRUCell), simple.
 *
 *   rnn                  x, kernels, ... -> outputs, final state, saved       row by row
 *   rnn_gradient         saved, kernels, losses by the outputs -> dgates, dx, by the initial state    row by row
 *   rnn_kernel_gradient  saved, dgates -> one kernel's gradient               reduces
 *   rnn_bias_gradient    dgates -> the bias's                                 reduces
 *
 * A step is one product of [x, h] with the kernels and one call of an element-wise kernel (kernel.h: lstm_step, gru_step). An LSTM's
 * sums stay in one small buffer: what is saved is out of the caches by the time it is written again, and a product waits for it. What
 * the gradient needs lies in `saved` and `dgates`, by blocks of its own: for all rows of the tile, step after step,
 * [step][row][width]. So a step's matrices are contiguous, and the gradient of a kernel is one product over time and rows. Both
 * are private to these four ops, which see the same tiles: nobody else can read them row by row.
 *
 * Steps are counted in the order they are done; `backwards` says which x belongs to one.
 */
#include <string.h>

#include "op/rnn.h"

/* ---- sizes ---- */

int64_t rnn_gate_count(enum rnn_cell cell)
{
    return cell == RNN_LSTM ? 4 : cell == RNN_GRU ? 3 : 1;
}

struct rnn_sizes rnn_sizes_of(const struct op_rnn_args *args, int64_t time, int64_t features)
{
    const int64_t columns = rnn_gate_count(args->cell) * args->hidden;
    return (struct rnn_sizes){ time, features, args->hidden, columns, pad_columns(columns) };
}

int64_t rnn_find_blocks(const struct op_rnn_args *args, const struct rnn_sizes *s, bool keep, int64_t rows, float *data,
                        struct rnn_blocks *out)
{
    const bool lstm = args->cell == RNN_LSTM, gru = args->cell == RNN_GRU;
    const int64_t width[BLOCKS] = {
        [BLOCK_JOINED] = s->features + s->hidden, [BLOCK_GATES] = s->width,
        [BLOCK_CELL] = lstm ? s->hidden : 0,      [BLOCK_SHOWN] = lstm ? s->hidden : 0,
        [BLOCK_INNER] = gru ? s->width : 0,       [BLOCK_RESET] = gru && !args->reset_after ? s->hidden : 0,
    };
    int64_t floats = 0;
    out->rows = rows;
    for (int b = 0; b < BLOCKS; b++) {
        const bool after = b == BLOCK_JOINED || b == BLOCK_CELL;
        bool kept = keep && !(b == BLOCK_GATES && args->cell == RNN_SIMPLE) && !(b == BLOCK_INNER && !args->reset_after);
        out->width[b] = width[b];
        out->steps[b] = kept ? s->time + after : 1;
        out->data[b] = data ? data + floats * rows : NULL;
        floats += out->width[b] * out->steps[b];
    }
    return floats;
}

float *rnn_block_at(const struct rnn_blocks *blocks, enum rnn_block b, int64_t step)
{
    return blocks->data[b] + (blocks->steps[b] > 1 ? step : 0) * blocks->rows * blocks->width[b];
}

struct op_type rnn_private_rows(int64_t floats)
{
    return (
        struct op_type){ .dtype = DTYPE_FLOAT32, .extent = EXTENT_ROWS, .shape = SHAPE(BATCH_DIM, pad_columns(MAX(floats, 2))) };
}

void *rnn_piece(char **scratch, int64_t bytes)
{
    char *at = *scratch;
    *scratch += (bytes + 63) / 64 * 64;
    return at;
}

char *rnn_scratch_begin(void *scratch)
{
    return (char *)scratch + (64 - (uintptr_t)scratch % 64) % 64;
}

/* ---- which steps are left out ---- */

size_t rnn_ends_scratch(int64_t rows)
{
    return (size_t)(rows + 64 + rows * (int64_t)sizeof(int64_t) + 64);
}

static double number_at(const struct tensor *tensor, int64_t row, int64_t column)
{
    const int64_t at = row * tensor->ld + column;
    switch (tensor->dtype) {
    case DTYPE_INT32:
        return ((const int32_t *)tensor->data)[at];
    case DTYPE_INT64:
        return (double)((const int64_t *)tensor->data)[at];
    case DTYPE_BOOL:
        return ((const bool *)tensor->data)[at];
    default:
        return (double)tensor_floats(tensor)[at];
    }
}

static bool is_left_out(const struct op_rnn_args *args, const struct tensor *ends, int64_t row, int64_t step, int64_t time)
{
    const int64_t at = args->backwards ? time - 1 - step : step;
    return args->ends == RNN_ENDS_MASK ? number_at(ends, row, at) == 0 : !((double)at < number_at(ends, row, 0));
}

struct rnn_ended rnn_ends_begin(const struct op_rnn_args *args, const struct tensor *ends, int64_t rows, int64_t time,
                                char **scratch)
{
    if (!ends)
        return (struct rnn_ended){ 0 };
    struct rnn_ended out = { .first = rnn_piece(scratch, rows * (int64_t)sizeof(int64_t)), .ended = rnn_piece(scratch, rows) };
    for (int64_t r = 0; r < rows; r++)
        for (out.first[r] = 0; out.first[r] < time && is_left_out(args, ends, r, out.first[r], time);)
            out.first[r]++;
    return out;
}

void rnn_ends_step(const struct op_rnn_args *args, const struct tensor *tensor, const struct rnn_ended *ends, int64_t rows,
                   int64_t step, int64_t time)
{
    for (int64_t r = 0; ends->ended && r < rows; r++)
        ends->ended[r] = is_left_out(args, tensor, r, step, time);
}

bool rnn_gives_zeros(const struct op_rnn_args *args, const struct rnn_ended *ends, int64_t row, int64_t step)
{
    return ends->ended && ends->ended[row] && (args->zero_output || step < ends->first[row]);
}

/* ---- rnn ---- */

struct rnn_roles rnn_roles_of(const struct op_rnn_args *args)
{
    struct rnn_roles roles = { 1, -1, -1, -1, -1, -1, 2 };
    if (!args->joined)
        roles.recurrent = roles.count++;
    if (args->bias)
        roles.bias = roles.count++;
    if (args->initial_state)
        roles.h = roles.count++;
    if (args->initial_state && args->cell == RNN_LSTM)
        roles.c = roles.count++;
    if (args->ends != RNN_ENDS_NEVER)
        roles.ends = roles.count++;
    return roles;
}

static bool is_shape(const struct op_type *type, struct shape shape)
{
    return !type->sparse && type->dtype == DTYPE_FLOAT32 && shape_equal(type->shape, shape);
}

static bool need(struct op_infer *infer, int input, const char *role, struct shape shape)
{
    char text[128];
    if (input < 0 || is_shape(&infer->inputs[input], shape))
        return true;
    return op_fail(infer, "the %s (input %d) must be float32 %s", role, input + 1, shape_text(shape, text));
}

static bool check_ends(struct op_infer *infer, const struct op_rnn_args *args, int input, int64_t time)
{
    if (input < 0)
        return true;
    const struct op_type *type = &infer->inputs[input];
    const bool mask = args->ends == RNN_ENDS_MASK;
    const bool number =
        type->dtype == DTYPE_FLOAT32 || type->dtype == DTYPE_INT32 || type->dtype == DTYPE_INT64 || type->dtype == DTYPE_BOOL;
    if (!type->sparse && number && shape_equal(type->shape, SHAPE(BATCH_DIM, mask ? time : 1)))
        return true;
    return op_fail(infer, "the %s (input %d) must be numbers [?, %lld]", mask ? "mask" : "lengths", input + 1,
                   (long long)(mask ? time : 1));
}

static bool rnn_infer(struct op_infer *infer)
{
    const struct op_rnn_args *args = infer->args;
    const struct rnn_roles roles = rnn_roles_of(args);
    const struct op_type *x = &infer->inputs[0];
    const int64_t hidden = args->hidden;
    if (infer->input_count != roles.count)
        return op_fail(infer, "%d inputs given, %d needed", infer->input_count, roles.count);
    if (hidden < 1 || hidden > 1 << 20)
        return op_fail(infer, "%lld hidden units", (long long)hidden);
    if (op_activation_takes_input(args->activation) || op_activation_takes_input(args->recurrent))
        return op_fail(infer, "this activation cannot be fused, since its gradient needs its input");
    if (x->sparse || x->dtype != DTYPE_FLOAT32 || x->shape.rank != 3 || !OP_ROWS(*x) || x->shape.dims[1] < 1 ||
        x->shape.dims[2] < 1)
        return op_fail(infer, "rows [?, time, features] of float32 are needed");
    const struct rnn_sizes s = rnn_sizes_of(args, x->shape.dims[1], x->shape.dims[2]);
    const bool two = args->cell == RNN_GRU && args->reset_after;
    if (!need(infer, roles.kernel, "kernel", SHAPE(s.features + (args->joined ? hidden : 0), s.columns)) ||
        !need(infer, roles.recurrent, "recurrent kernel", SHAPE(hidden, s.columns)) ||
        !need(infer, roles.bias, "bias", two ? SHAPE(2, s.columns) : SHAPE(s.columns)) ||
        !need(infer, roles.h, "initial state", SHAPE(BATCH_DIM, hidden)) ||
        !need(infer, roles.c, "initial cell", SHAPE(BATCH_DIM, hidden)) || !check_ends(infer, args, roles.ends, s.time))
        return false;
    struct rnn_blocks blocks;
    const struct op_type state = { .dtype = DTYPE_FLOAT32, .extent = EXTENT_ROWS, .shape = SHAPE(BATCH_DIM, hidden) };
    int count = 0;
    infer->outputs[count++] = state;
    if (args->sequence)
        infer->outputs[0].shape = SHAPE(BATCH_DIM, s.time, hidden);
    infer->outputs[count++] = state;
    if (args->cell == RNN_LSTM)
        infer->outputs[count++] = state;
    if (!args->forward_only)
        infer->outputs[count++] =
            rnn_private_rows(rnn_in_lanes(args) ? rnn_lanes_floats(&s, true) : rnn_find_blocks(args, &s, true, 1, NULL, &blocks));
    infer->output_count = count;
    infer->behaviour = BEHAVIOUR_ROW_BY_ROW;
    return true;
}

static bool takes_strips(const struct op_rnn_args *args, const struct rnn_sizes *s, int64_t rows)
{
    return args->cell != RNN_GRU && rnn_wants_strips(s, rows);
}

static size_t rnn_scratch(const void *options, const struct op_type *inputs, const struct op_type *outputs, int64_t tile_rows)
{
    const struct op_rnn_args *args = options;
    const struct rnn_sizes s = rnn_sizes_of(args, inputs[0].shape.dims[1], inputs[0].shape.dims[2]);
    struct rnn_blocks blocks;
    (void)outputs;
    size_t floats = args->forward_only ? (size_t)(rnn_find_blocks(args, &s, false, 1, NULL, &blocks) * tile_rows) : 0;
    if (args->forward_only && rnn_in_lanes(args))
        floats = (size_t)(rnn_lanes_floats(&s, false) * tile_rows);
    if (args->cell == RNN_LSTM)
        floats += (size_t)(tile_rows * s.width);
    if (takes_strips(args, &s, tile_rows))
        floats += (size_t)(rnn_strips_floats(s.features, s.columns) + rnn_strips_floats(s.hidden, s.columns));
    return rnn_ends_scratch(tile_rows) + 4 * 64 + floats * sizeof(float);
}

/* The kernels in strips, where the layer's sums are products with all of their columns. */
static void find_strips(struct rnn_layer *layer, char **scratch)
{
    const struct rnn_sizes *s = &layer->s;
    const int64_t first = rnn_strips_floats(s->features, s->columns), both = first + rnn_strips_floats(s->hidden, s->columns);
    if (!takes_strips(layer->args, s, layer->rows))
        return;
    float *data = rnn_piece(scratch, both * (int64_t)sizeof(float));
    layer->joined_strips = rnn_strips_pack(layer, data);
}

void rnn_find_kernels(struct rnn_layer *layer, const struct tensor *kernel, const struct tensor *recurrent)
{
    layer->kernel = tensor_floats(kernel);
    layer->kernel_ld = kernel->ld;
    layer->recurrent = recurrent ? tensor_floats(recurrent) : layer->kernel + layer->s.features * kernel->ld;
    layer->recurrent_ld = recurrent ? recurrent->ld : kernel->ld;
}

void rnn_copy_rows(const float *from, int64_t from_ld, float *to, int64_t to_ld, int64_t rows, int64_t count)
{
    for (int64_t r = 0; r < rows; r++, to += to_ld) {
        if (!from)
            memset(to, 0, (size_t)count * sizeof(float));
        else if (count == 1)
            *to = from[r * from_ld];
        else
            memcpy(to, from + r * from_ld, (size_t)count * sizeof(float));
    }
}

void rnn_product(const struct rnn_layer *layer, const float *a, int64_t a_ld, int64_t k, const float *b, int64_t ldb,
                 const float *bias, bool accumulate, float *c, int64_t ldc, int64_t n)
{
    struct gemm call = { .m = layer->rows,
                         .n = n,
                         .k = k,
                         .a = a,
                         .a_row = a_ld,
                         .a_column = 1,
                         .b = b,
                         .ldb = ldb,
                         .c = c,
                         .ldc = ldc,
                         .bias = accumulate ? NULL : bias,
                         .accumulate = accumulate };
    layer->kernels->gemm(&call);
}

/* gates = [x, h] [K; R] + b: one chain of additions, also where the kernels lie apart. */
static void sums(const struct rnn_layer *layer, int64_t step)
{
    const struct rnn_sizes *s = &layer->s;
    const int64_t joined_ld = s->features + s->hidden;
    const float *joined = rnn_block_at(&layer->blocks, BLOCK_JOINED, step);
    float *gates = layer->sums ? layer->sums : rnn_block_at(&layer->blocks, BLOCK_GATES, step);
    if (layer->joined_strips.data) {
        rnn_strips_product(layer, joined, joined_ld, &layer->joined_strips, layer->bias, false, gates, s->width);
        return;
    }
    if (layer->args->joined) {
        rnn_product(layer, joined, joined_ld, joined_ld, layer->kernel, layer->kernel_ld, layer->bias, false, gates, s->width,
                    s->columns);
        return;
    }
    rnn_product(layer, joined, joined_ld, s->features, layer->kernel, layer->kernel_ld, layer->bias, false, gates, s->width,
                s->columns);
    rnn_product(layer, joined + s->features, joined_ld, s->hidden, layer->recurrent, layer->recurrent_ld, NULL, true, gates,
                s->width, s->columns);
}

struct lstm_step rnn_lstm_call(const struct rnn_layer *layer, int64_t step)
{
    const struct op_rnn_args *args = layer->args;
    const int64_t hidden = layer->s.hidden, features = layer->s.features, joined = features + hidden;
    const struct rnn_blocks *b = &layer->blocks;
    return (struct lstm_step){
        .rows = layer->rows,
        .hidden = hidden,
        .activation = args->activation,
        .recurrent = args->recurrent,
        .keras_order = args->keras_order,
        .forget_bias = args->forget_bias,
        .ended = layer->ends.ended,
        .sums = layer->sums,
        .sums_ld = layer->s.width,
        .gates = rnn_block_at(b, BLOCK_GATES, step),
        .gates_ld = layer->s.width,
        .c_before = rnn_block_at(b, BLOCK_CELL, step),
        .c_before_ld = hidden,
        .c = rnn_block_at(b, BLOCK_CELL, step + 1),
        .c_ld = hidden,
        .c_activated = rnn_block_at(b, BLOCK_SHOWN, step),
        .c_activated_ld = hidden,
        .h_before = rnn_block_at(b, BLOCK_JOINED, step) + features,
        .h_before_ld = joined,
        .h = rnn_block_at(b, BLOCK_JOINED, step + 1) + features,
        .h_ld = joined,
    };
}

struct gru_step rnn_gru_call(const struct rnn_layer *layer, int64_t step)
{
    const struct op_rnn_args *args = layer->args;
    const int64_t hidden = layer->s.hidden, features = layer->s.features, joined = features + hidden;
    const struct rnn_blocks *b = &layer->blocks;
    return (struct gru_step){
        .rows = layer->rows,
        .hidden = hidden,
        .activation = args->activation,
        .recurrent = args->recurrent,
        .reset_first = !args->keras_order,
        .reset_after = args->reset_after,
        .ended = layer->ends.ended,
        .gates = rnn_block_at(b, BLOCK_GATES, step),
        .gates_ld = layer->s.width,
        .inner = rnn_block_at(b, BLOCK_INNER, step),
        .inner_ld = layer->s.width,
        .reset = rnn_block_at(b, BLOCK_RESET, step),
        .reset_ld = hidden,
        .h_before = rnn_block_at(b, BLOCK_JOINED, step) + features,
        .h_before_ld = joined,
        .h = rnn_block_at(b, BLOCK_JOINED, step + 1) + features,
        .h_ld = joined,
    };
}

static void gru_forward(const struct rnn_layer *layer, int64_t step)
{
    const struct rnn_sizes *s = &layer->s;
    const int64_t joined_ld = s->features + s->hidden;
    const float *joined = rnn_block_at(&layer->blocks, BLOCK_JOINED, step);
    float *inner = rnn_block_at(&layer->blocks, BLOCK_INNER, step);
    struct gru_step call = rnn_gru_call(layer, step);
    rnn_product(layer, joined, joined_ld, s->features, layer->kernel, layer->kernel_ld, layer->bias, false, call.gates, s->width,
                s->columns);
    rnn_product(layer, joined + s->features, joined_ld, s->hidden, layer->recurrent, layer->recurrent_ld, layer->recurrent_bias,
                false, inner, s->width, s->columns);
    call.first_half = !call.reset_after;
    layer->kernels->gru_step(&call);
    if (!call.first_half)
        return;
    /* Only the candidate's columns are wanted; they do not begin where a vector may. */
    rnn_product(layer, call.reset, call.reset_ld, s->hidden, layer->recurrent, layer->recurrent_ld, NULL, false, inner, s->width,
                s->columns);
    call.first_half = false;
    layer->kernels->gru_step(&call);
}

static void simple_forward(const struct rnn_layer *layer, int64_t step)
{
    const struct rnn_sizes *s = &layer->s;
    const int64_t joined = s->features + s->hidden;
    const float *gates = rnn_block_at(&layer->blocks, BLOCK_GATES, step),
                *before = rnn_block_at(&layer->blocks, BLOCK_JOINED, step) + s->features;
    float *h = rnn_block_at(&layer->blocks, BLOCK_JOINED, step + 1) + s->features;
    sums(layer, step);
    if (!layer->ends.ended) {
        layer->kernels->activate(layer->args->activation, gates, s->width, h, joined, layer->rows, s->hidden);
        return;
    }
    for (int64_t r = 0; r < layer->rows; r++) {
        if (!layer->ends.ended[r])
            layer->kernels->activate(layer->args->activation, gates + r * s->width, s->width, h + r * joined, joined, 1,
                                     s->hidden);
        else if (h != before)
            memcpy(h + r * joined, before + r * joined, (size_t)s->hidden * sizeof(float));
    }
}

static void forward_step(const struct rnn_layer *layer, int64_t step)
{
    if (layer->args->cell == RNN_LSTM) {
        const struct lstm_step call = rnn_lstm_call(layer, step);
        sums(layer, step);
        layer->kernels->lstm_step(&call);
    } else if (layer->args->cell == RNN_GRU) {
        gru_forward(layer, step);
    } else {
        simple_forward(layer, step);
    }
}

static void write_output(const struct rnn_layer *layer, int64_t step, const struct tensor *out)
{
    const int64_t hidden = layer->s.hidden, joined = layer->s.features + hidden;
    const float *h = rnn_block_at(&layer->blocks, BLOCK_JOINED, step + 1) + layer->s.features;
    float *to = tensor_floats(out) + (layer->args->sequence ? step * hidden : 0);
    rnn_copy_rows(h, joined, to, out->ld, layer->rows, hidden);
    for (int64_t r = 0; layer->ends.ended && r < layer->rows; r++)
        if (rnn_gives_zeros(layer->args, &layer->ends, r, step))
            memset(to + r * out->ld, 0, (size_t)hidden * sizeof(float));
}

static struct rnn_layer rnn_begin(const struct op_run *run, const struct rnn_roles *roles, char **scratch)
{
    const struct op_rnn_args *args = run->args;
    const struct tensor *x = &run->inputs[0].tensor;
    struct rnn_layer layer = {
        .args = args, .kernels = run->kernels, .rows = x->rows, .s = rnn_sizes_of(args, x->shape.dims[1], x->shape.dims[2])
    };
    rnn_find_kernels(&layer, &run->inputs[1].tensor, roles->recurrent < 0 ? NULL : &run->inputs[roles->recurrent].tensor);
    if (roles->bias >= 0) {
        const struct tensor *bias = &run->inputs[roles->bias].tensor;
        layer.bias = tensor_floats(bias);
        layer.recurrent_bias = args->cell == RNN_GRU && args->reset_after ? layer.bias + bias->ld : NULL;
    }
    layer.ends = rnn_ends_begin(args, roles->ends < 0 ? NULL : &run->inputs[roles->ends].tensor, x->rows, layer.s.time, scratch);
    find_strips(&layer, scratch);
    if (args->cell == RNN_LSTM)
        layer.sums = rnn_piece(scratch, layer.rows * layer.s.width * (int64_t)sizeof(float));
    const bool keep = !args->forward_only;
    rnn_find_blocks(args, &layer.s, keep, x->rows,
                    keep ? tensor_floats(&run->outputs[run->output_count - 1].tensor) : (float *)(void *)*scratch, &layer.blocks);
    return layer;
}

static void rnn_run(struct op_run *run)
{
    const struct op_rnn_args *args = run->args;
    if (rnn_in_lanes(args)) {
        rnn_lanes_run(run);
        return;
    }
    const struct rnn_roles roles = rnn_roles_of(args);
    const struct tensor *x = &run->inputs[0].tensor, *ends = roles.ends < 0 ? NULL : &run->inputs[roles.ends].tensor;
    const struct tensor *final = &run->outputs[1].tensor;
    char *scratch = rnn_scratch_begin(run->scratch);
    struct rnn_layer layer = rnn_begin(run, &roles, &scratch);
    const int64_t time = layer.s.time, features = layer.s.features, hidden = layer.s.hidden, joined = features + hidden;
    const struct tensor *h = roles.h < 0 ? NULL : &run->inputs[roles.h].tensor,
                        *c = roles.c < 0 ? NULL : &run->inputs[roles.c].tensor;

    rnn_copy_rows(h ? tensor_floats(h) : NULL, h ? h->ld : 0, rnn_block_at(&layer.blocks, BLOCK_JOINED, 0) + features, joined,
                  x->rows, hidden);
    if (args->cell == RNN_LSTM)
        rnn_copy_rows(c ? tensor_floats(c) : NULL, c ? c->ld : 0, rnn_block_at(&layer.blocks, BLOCK_CELL, 0), hidden, x->rows,
                      hidden);
    for (int64_t step = 0; step < time; step++) {
        const int64_t at = args->backwards ? time - 1 - step : step;
        rnn_copy_rows(tensor_floats(x) + at * features, x->ld, rnn_block_at(&layer.blocks, BLOCK_JOINED, step), joined, x->rows,
                      features);
        rnn_ends_step(args, ends, &layer.ends, x->rows, step, time);
        forward_step(&layer, step);
        if (!args->state_only && (args->sequence || step == time - 1))
            write_output(&layer, step, &run->outputs[0].tensor);
    }
    rnn_copy_rows(rnn_block_at(&layer.blocks, BLOCK_JOINED, time) + features, joined, tensor_floats(final), final->ld, x->rows,
                  hidden);
    if (args->cell == RNN_LSTM)
        rnn_copy_rows(rnn_block_at(&layer.blocks, BLOCK_CELL, time), hidden, tensor_floats(&run->outputs[2].tensor),
                      run->outputs[2].tensor.ld, x->rows, hidden);
}

const char *const rnn_cell_words[] = { [RNN_LSTM] = "lstm", [RNN_GRU] = "gru", [RNN_SIMPLE] = "simple", NULL };
const char *const rnn_ends_words[] = {
    [RNN_ENDS_NEVER] = "never", [RNN_ENDS_LENGTHS] = "lengths", [RNN_ENDS_MASK] = "mask", NULL
};
#define AT(field) offsetof(struct op_rnn_args, field)
static const struct arg rnn_arguments[] = { RNN_ARGUMENT_ROWS(AT) };

/* A model that takes the last state alone must not pay for the sequence, and one that predicts not for what a gradient needs. */
static int rnn_narrow(void *options, const bool *read, int output_count)
{
    struct op_rnn_args *args = options;
    args->state_only = !read[0];
    if (args->forward_only || read[output_count - 1])
        return output_count;
    args->forward_only = true;
    return output_count - 1;
}

double rnn_products_work(const struct op_rnn_args *args, int64_t time, int64_t features)
{
    return 2.0 * (double)time * (double)(features + args->hidden) * (double)(rnn_gate_count(args->cell) * args->hidden);
}

static double rnn_work(const void *args, const struct op_type *inputs, const struct op_type *outputs)
{
    (void)outputs;
    return rnn_products_work(args, inputs[0].shape.dims[1], inputs[0].shape.dims[2]);
}

/* ---- zero_state: [batch, factor] zeros, as many rows as x has; no gradient flows ---- */

static bool zero_state_infer(struct op_infer *infer)
{
    const struct op_count_args *args = infer->args;
    if (!OP_ROWS(infer->inputs[0]) || args->factor < 1)
        return op_fail(infer, "rows are needed, and a width of 1 at least");
    infer->outputs[0] =
        (struct op_type){ .dtype = DTYPE_FLOAT32, .extent = EXTENT_ROWS, .shape = SHAPE(BATCH_DIM, args->factor) };
    infer->behaviour = BEHAVIOUR_ROW_BY_ROW;
    return true;
}

static void zero_state_run(struct op_run *run)
{
    const struct tensor *out = &run->outputs[0].tensor;
    rnn_copy_rows(NULL, 0, tensor_floats(out), out->ld, out->rows, out->cols);
}

static const struct arg zero_state_arguments[] = {
    { "factor", &ARG_INT, offsetof(struct op_count_args, factor), "how many zeros a row has" },
};

static const struct op_row rows[] = {
    { .name = "zero_state",
      .help = "zeros, as many rows as the input has",
      OP_ARGUMENTS(struct op_count_args, zero_state_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_TAKES_VIEWS,
      .infer = zero_state_infer,
      .run = zero_state_run },
    { .name = "rnn",
      .help = "a recurrent layer over time: LSTM, GRU, simple",
      OP_ARGUMENTS(struct op_rnn_args, rnn_arguments),
      .min_inputs = 2,
      .max_inputs = 7,
      .flags = OP_TAKES_VIEWS,
      .infer = rnn_infer,
      .run = rnn_run,
      .gradient = rnn_gradient,
      .scratch = rnn_scratch,
      .work = rnn_work,
      .narrow = rnn_narrow },
};
OP_ROWS_OF(rnn);
