/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recurrent layers over time as one node: LSTM (BasicLSTMCell, Keras), GRU (Keras with reset_after or without, GRUCell), simple.
 *
 *   rnn                  x, kernels, ... -> outputs, final state, saved       row by row
 *   rnn_gradient         saved, kernels, losses by the outputs -> dgates, dx, by the initial state    row by row
 *   rnn_kernel_gradient  saved, dgates -> one kernel's gradient               reduces
 *   rnn_bias_gradient    dgates -> the bias's                                 reduces
 *
 * A step is one product of [x, h] with the kernels and one call of an element-wise kernel (kernel.h: lstm_step, gru_step). What
 * the gradient needs lies in `saved` and `dgates`, by blocks of its own: for all rows of the tile, step after step,
 * [step][row][width]. So a step's matrices are contiguous, and the gradient of a kernel is one product over time and rows. Both
 * are private to these four ops, which see the same tiles: nobody else can read them row by row.
 *
 * Steps are counted in the order they are done; `backwards` says which x belongs to one.
 */
#include <string.h>

#include "op/internal.h"

/* ---- sizes ---- */

struct sizes {
    int64_t time, features, hidden;
    int64_t columns; /* of all gates */
    int64_t width;   /* padded */
};

static int64_t gate_count(enum rnn_cell cell)
{
    return cell == RNN_LSTM ? 4 : cell == RNN_GRU ? 3 : 1;
}

static struct sizes sizes_of(const struct op_rnn_args *args, int64_t time, int64_t features)
{
    const int64_t columns = gate_count(args->cell) * args->hidden;
    return (struct sizes){ time, features, args->hidden, columns, pad_columns(columns) };
}

/* What a step leaves behind. */
enum block {
    BLOCK_JOINED, /* [x, h before] of step t; h of the last step follows as step `time` */
    BLOCK_GATES,
    BLOCK_CELL,  /* LSTM: c before step t; the last c follows */
    BLOCK_SHOWN, /* LSTM: activation(c) */
    BLOCK_INNER, /* GRU: h R + b */
    BLOCK_RESET, /* GRU without reset_after: r h */
    BLOCKS
};
struct blocks {
    int64_t rows;
    int64_t width[BLOCKS], steps[BLOCKS]; /* a block of one step serves all of them in turn */
    float *data[BLOCKS];
};

/* Returns the floats a row needs. */
static int64_t find_blocks(const struct op_rnn_args *args, const struct sizes *s, bool keep, int64_t rows, float *data, struct blocks *out)
{
    const bool lstm = args->cell == RNN_LSTM, gru = args->cell == RNN_GRU;
    const int64_t width[BLOCKS] = {
        [BLOCK_JOINED] = s->features + s->hidden,
        [BLOCK_GATES] = s->width,
        [BLOCK_CELL] = lstm ? s->hidden : 0,
        [BLOCK_SHOWN] = lstm ? s->hidden : 0,
        [BLOCK_INNER] = gru ? s->width : 0,
        [BLOCK_RESET] = gru && !args->reset_after ? s->hidden : 0,
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

static float *block_at(const struct blocks *blocks, enum block b, int64_t step)
{
    return blocks->data[b] + (blocks->steps[b] > 1 ? step : 0) * blocks->rows * blocks->width[b];
}

/* Rows without pads, whatever they hold. */
static struct op_type private_rows(int64_t floats)
{
    return (struct op_type){ .dtype = DTYPE_FLOAT32, .extent = EXTENT_ROWS, .shape = SHAPE(BATCH_DIM, pad_columns(MAX(floats, 2))) };
}

/* A piece of scratch memory, on a cache line. */
static void *piece(char **scratch, int64_t bytes)
{
    char *at = *scratch;
    *scratch += (bytes + 63) / 64 * 64;
    return at;
}

static char *scratch_begin(void *scratch)
{
    return (char *)scratch + (64 - (uintptr_t)scratch % 64) % 64;
}

/* ---- which steps are left out ---- */

struct ends {
    bool *ended;    /* of the step at hand; NULL: none ever */
    int64_t *first; /* the first step that is not left out, `time` when there is none */
};

static size_t ends_scratch(int64_t rows)
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

static struct ends ends_begin(const struct op_rnn_args *args, const struct tensor *ends, int64_t rows, int64_t time, char **scratch)
{
    if (!ends)
        return (struct ends){ 0 };
    struct ends out = { .first = piece(scratch, rows * (int64_t)sizeof(int64_t)), .ended = piece(scratch, rows) };
    for (int64_t r = 0; r < rows; r++)
        for (out.first[r] = 0; out.first[r] < time && is_left_out(args, ends, r, out.first[r], time);)
            out.first[r]++;
    return out;
}

static void ends_step(const struct op_rnn_args *args, const struct tensor *tensor, const struct ends *ends, int64_t rows, int64_t step,
                      int64_t time)
{
    for (int64_t r = 0; ends->ended && r < rows; r++)
        ends->ended[r] = is_left_out(args, tensor, r, step, time);
}

/* Whether a row's output at this step is not its state but zeros. */
static bool gives_zeros(const struct op_rnn_args *args, const struct ends *ends, int64_t row, int64_t step)
{
    return ends->ended && ends->ended[row] && (args->zero_output || step < ends->first[row]);
}

/* ---- rnn ---- */

/* The inputs by their role; -1 or NULL where there is none. */
struct roles {
    int kernel, recurrent, bias, h, c, ends, count;
};

static struct roles roles_of(const struct op_rnn_args *args)
{
    struct roles roles = { 1, -1, -1, -1, -1, -1, 2 };
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
    const bool number = type->dtype == DTYPE_FLOAT32 || type->dtype == DTYPE_INT32 || type->dtype == DTYPE_INT64 || type->dtype == DTYPE_BOOL;
    if (!type->sparse && number && shape_equal(type->shape, SHAPE(BATCH_DIM, mask ? time : 1)))
        return true;
    return op_fail(infer, "the %s (input %d) must be numbers [?, %lld]", mask ? "mask" : "lengths", input + 1, (long long)(mask ? time : 1));
}

static bool rnn_infer(struct op_infer *infer)
{
    const struct op_rnn_args *args = infer->args;
    const struct roles roles = roles_of(args);
    const struct op_type *x = &infer->inputs[0];
    const int64_t hidden = args->hidden;
    if (infer->input_count != roles.count)
        return op_fail(infer, "%d inputs given, %d needed", infer->input_count, roles.count);
    if (hidden < 1 || hidden > 1 << 20)
        return op_fail(infer, "%lld hidden units", (long long)hidden);
    if (op_activation_takes_input(args->activation) || op_activation_takes_input(args->recurrent))
        return op_fail(infer, "this activation cannot be fused, since its gradient needs its input");
    if (x->sparse || x->dtype != DTYPE_FLOAT32 || x->shape.rank != 3 || !OP_ROWS(*x) || x->shape.dims[1] < 1 || x->shape.dims[2] < 1)
        return op_fail(infer, "rows [?, time, features] of float32 are needed");
    const struct sizes s = sizes_of(args, x->shape.dims[1], x->shape.dims[2]);
    const bool two = args->cell == RNN_GRU && args->reset_after;
    if (!need(infer, roles.kernel, "kernel", SHAPE(s.features + (args->joined ? hidden : 0), s.columns)) ||
        !need(infer, roles.recurrent, "recurrent kernel", SHAPE(hidden, s.columns)) ||
        !need(infer, roles.bias, "bias", two ? SHAPE(2, s.columns) : SHAPE(s.columns)) ||
        !need(infer, roles.h, "initial state", SHAPE(BATCH_DIM, hidden)) || !need(infer, roles.c, "initial cell", SHAPE(BATCH_DIM, hidden)) ||
        !check_ends(infer, args, roles.ends, s.time))
        return false;
    struct blocks blocks;
    const struct op_type state = { .dtype = DTYPE_FLOAT32, .extent = EXTENT_ROWS, .shape = SHAPE(BATCH_DIM, hidden) };
    int count = 0;
    infer->outputs[count++] = state;
    if (args->sequence)
        infer->outputs[0].shape = SHAPE(BATCH_DIM, s.time, hidden);
    infer->outputs[count++] = state;
    if (args->cell == RNN_LSTM)
        infer->outputs[count++] = state;
    if (!args->forward_only)
        infer->outputs[count++] = private_rows(find_blocks(args, &s, true, 1, NULL, &blocks));
    infer->output_count = count;
    infer->behaviour = BEHAVIOUR_ROW_BY_ROW;
    return true;
}

static size_t rnn_scratch(const void *options, const struct op_type *inputs, const struct op_type *outputs, int64_t tile_rows)
{
    const struct op_rnn_args *args = options;
    const struct sizes s = sizes_of(args, inputs[0].shape.dims[1], inputs[0].shape.dims[2]);
    struct blocks blocks;
    (void)outputs;
    size_t floats = args->forward_only ? (size_t)(find_blocks(args, &s, false, 1, NULL, &blocks) * tile_rows) : 0;
    return ends_scratch(tile_rows) + 128 + floats * sizeof(float);
}

/* One run of a layer over a tile. */
struct layer {
    const struct op_rnn_args *args;
    const struct kernels *kernels;
    struct sizes s;
    struct blocks blocks;
    struct ends ends;
    const float *kernel, *recurrent; /* the rows for x, and for h */
    int64_t kernel_ld, recurrent_ld;
    const float *bias, *recurrent_bias;
    int64_t rows;
};

static void find_kernels(struct layer *layer, const struct tensor *kernel, const struct tensor *recurrent)
{
    layer->kernel = tensor_floats(kernel);
    layer->kernel_ld = kernel->ld;
    layer->recurrent = recurrent ? tensor_floats(recurrent) : layer->kernel + layer->s.features * kernel->ld;
    layer->recurrent_ld = recurrent ? recurrent->ld : kernel->ld;
}

/* Rows of a matrix, each `count` floats, from one stride to another; `from` NULL: zeros. */
static void copy_rows(const float *from, int64_t from_ld, float *to, int64_t to_ld, int64_t rows, int64_t count)
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

static void product(const struct layer *layer, const float *a, int64_t a_ld, int64_t k, const float *b, int64_t ldb, const float *bias,
                    bool accumulate, float *c, int64_t ldc, int64_t n)
{
    struct gemm call = { .m = layer->rows, .n = n, .k = k, .a = a, .a_row = a_ld, .a_column = 1, .b = b, .ldb = ldb, .c = c, .ldc = ldc,
                         .bias = accumulate ? NULL : bias, .accumulate = accumulate };
    layer->kernels->gemm(&call);
}

/* gates = [x, h] [K; R] + b: one chain of additions, also where the kernels lie apart. */
static void sums(const struct layer *layer, int64_t step)
{
    const struct sizes *s = &layer->s;
    const int64_t joined_ld = s->features + s->hidden;
    const float *joined = block_at(&layer->blocks, BLOCK_JOINED, step);
    float *gates = block_at(&layer->blocks, BLOCK_GATES, step);
    if (layer->args->joined) {
        product(layer, joined, joined_ld, joined_ld, layer->kernel, layer->kernel_ld, layer->bias, false, gates, s->width, s->columns);
        return;
    }
    product(layer, joined, joined_ld, s->features, layer->kernel, layer->kernel_ld, layer->bias, false, gates, s->width, s->columns);
    product(layer, joined + s->features, joined_ld, s->hidden, layer->recurrent, layer->recurrent_ld, NULL, true, gates, s->width, s->columns);
}

static struct lstm_step lstm_call(const struct layer *layer, int64_t step)
{
    const struct op_rnn_args *args = layer->args;
    const int64_t hidden = layer->s.hidden, features = layer->s.features, joined = features + hidden;
    const struct blocks *b = &layer->blocks;
    return (struct lstm_step){
        .rows = layer->rows, .hidden = hidden, .activation = args->activation, .recurrent = args->recurrent,
        .keras_order = args->keras_order, .forget_bias = args->forget_bias, .ended = layer->ends.ended,
        .gates = block_at(b, BLOCK_GATES, step), .gates_ld = layer->s.width,
        .c_before = block_at(b, BLOCK_CELL, step), .c_before_ld = hidden, .c = block_at(b, BLOCK_CELL, step + 1), .c_ld = hidden,
        .c_activated = block_at(b, BLOCK_SHOWN, step), .c_activated_ld = hidden,
        .h_before = block_at(b, BLOCK_JOINED, step) + features, .h_before_ld = joined,
        .h = block_at(b, BLOCK_JOINED, step + 1) + features, .h_ld = joined,
    };
}

static struct gru_step gru_call(const struct layer *layer, int64_t step)
{
    const struct op_rnn_args *args = layer->args;
    const int64_t hidden = layer->s.hidden, features = layer->s.features, joined = features + hidden;
    const struct blocks *b = &layer->blocks;
    return (struct gru_step){
        .rows = layer->rows, .hidden = hidden, .activation = args->activation, .recurrent = args->recurrent,
        .reset_first = !args->keras_order, .reset_after = args->reset_after, .ended = layer->ends.ended,
        .gates = block_at(b, BLOCK_GATES, step), .gates_ld = layer->s.width, .inner = block_at(b, BLOCK_INNER, step),
        .inner_ld = layer->s.width, .reset = block_at(b, BLOCK_RESET, step), .reset_ld = hidden,
        .h_before = block_at(b, BLOCK_JOINED, step) + features, .h_before_ld = joined,
        .h = block_at(b, BLOCK_JOINED, step + 1) + features, .h_ld = joined,
    };
}

static void gru_forward(const struct layer *layer, int64_t step)
{
    const struct sizes *s = &layer->s;
    const int64_t joined_ld = s->features + s->hidden;
    const float *joined = block_at(&layer->blocks, BLOCK_JOINED, step);
    float *inner = block_at(&layer->blocks, BLOCK_INNER, step);
    struct gru_step call = gru_call(layer, step);
    product(layer, joined, joined_ld, s->features, layer->kernel, layer->kernel_ld, layer->bias, false, call.gates, s->width, s->columns);
    product(layer, joined + s->features, joined_ld, s->hidden, layer->recurrent, layer->recurrent_ld, layer->recurrent_bias, false, inner,
            s->width, s->columns);
    call.first_half = !call.reset_after;
    layer->kernels->gru_step(&call);
    if (!call.first_half)
        return;
    /* Only the candidate's columns are wanted; they do not begin where a vector may. */
    product(layer, call.reset, call.reset_ld, s->hidden, layer->recurrent, layer->recurrent_ld, NULL, false, inner, s->width, s->columns);
    call.first_half = false;
    layer->kernels->gru_step(&call);
}

static void simple_forward(const struct layer *layer, int64_t step)
{
    const struct sizes *s = &layer->s;
    const int64_t joined = s->features + s->hidden;
    const float *gates = block_at(&layer->blocks, BLOCK_GATES, step), *before = block_at(&layer->blocks, BLOCK_JOINED, step) + s->features;
    float *h = block_at(&layer->blocks, BLOCK_JOINED, step + 1) + s->features;
    sums(layer, step);
    if (!layer->ends.ended) {
        layer->kernels->activate(layer->args->activation, gates, s->width, h, joined, layer->rows, s->hidden);
        return;
    }
    for (int64_t r = 0; r < layer->rows; r++) {
        if (!layer->ends.ended[r])
            layer->kernels->activate(layer->args->activation, gates + r * s->width, s->width, h + r * joined, joined, 1, s->hidden);
        else if (h != before)
            memcpy(h + r * joined, before + r * joined, (size_t)s->hidden * sizeof(float));
    }
}

static void forward_step(const struct layer *layer, int64_t step)
{
    if (layer->args->cell == RNN_LSTM) {
        const struct lstm_step call = lstm_call(layer, step);
        sums(layer, step);
        layer->kernels->lstm_step(&call);
    } else if (layer->args->cell == RNN_GRU) {
        gru_forward(layer, step);
    } else {
        simple_forward(layer, step);
    }
}

static void write_output(const struct layer *layer, int64_t step, const struct tensor *out)
{
    const int64_t hidden = layer->s.hidden, joined = layer->s.features + hidden;
    const float *h = block_at(&layer->blocks, BLOCK_JOINED, step + 1) + layer->s.features;
    float *to = tensor_floats(out) + (layer->args->sequence ? step * hidden : 0);
    copy_rows(h, joined, to, out->ld, layer->rows, hidden);
    for (int64_t r = 0; layer->ends.ended && r < layer->rows; r++)
        if (gives_zeros(layer->args, &layer->ends, r, step))
            memset(to + r * out->ld, 0, (size_t)hidden * sizeof(float));
}

static struct layer rnn_begin(const struct op_run *run, const struct roles *roles, char **scratch)
{
    const struct op_rnn_args *args = run->args;
    const struct tensor *x = &run->inputs[0].tensor;
    struct layer layer = { .args = args, .kernels = run->kernels, .rows = x->rows, .s = sizes_of(args, x->shape.dims[1], x->shape.dims[2]) };
    find_kernels(&layer, &run->inputs[1].tensor, roles->recurrent < 0 ? NULL : &run->inputs[roles->recurrent].tensor);
    if (roles->bias >= 0) {
        const struct tensor *bias = &run->inputs[roles->bias].tensor;
        layer.bias = tensor_floats(bias);
        layer.recurrent_bias = args->cell == RNN_GRU && args->reset_after ? layer.bias + bias->ld : NULL;
    }
    layer.ends = ends_begin(args, roles->ends < 0 ? NULL : &run->inputs[roles->ends].tensor, x->rows, layer.s.time, scratch);
    const bool keep = !args->forward_only;
    find_blocks(args, &layer.s, keep, x->rows,
                keep ? tensor_floats(&run->outputs[run->output_count - 1].tensor) : (float *)(void *)*scratch, &layer.blocks);
    return layer;
}

static void rnn_run(struct op_run *run)
{
    const struct op_rnn_args *args = run->args;
    const struct roles roles = roles_of(args);
    const struct tensor *x = &run->inputs[0].tensor, *ends = roles.ends < 0 ? NULL : &run->inputs[roles.ends].tensor;
    const struct tensor *final = &run->outputs[1].tensor;
    char *scratch = scratch_begin(run->scratch);
    struct layer layer = rnn_begin(run, &roles, &scratch);
    const int64_t time = layer.s.time, features = layer.s.features, hidden = layer.s.hidden, joined = features + hidden;
    const struct tensor *h = roles.h < 0 ? NULL : &run->inputs[roles.h].tensor, *c = roles.c < 0 ? NULL : &run->inputs[roles.c].tensor;

    copy_rows(h ? tensor_floats(h) : NULL, h ? h->ld : 0, block_at(&layer.blocks, BLOCK_JOINED, 0) + features, joined, x->rows, hidden);
    if (args->cell == RNN_LSTM)
        copy_rows(c ? tensor_floats(c) : NULL, c ? c->ld : 0, block_at(&layer.blocks, BLOCK_CELL, 0), hidden, x->rows, hidden);
    for (int64_t step = 0; step < time; step++) {
        const int64_t at = args->backwards ? time - 1 - step : step;
        copy_rows(tensor_floats(x) + at * features, x->ld, block_at(&layer.blocks, BLOCK_JOINED, step), joined, x->rows, features);
        ends_step(args, ends, &layer.ends, x->rows, step, time);
        forward_step(&layer, step);
        if (args->sequence || step == time - 1)
            write_output(&layer, step, &run->outputs[0].tensor);
    }
    copy_rows(block_at(&layer.blocks, BLOCK_JOINED, time) + features, joined, tensor_floats(final), final->ld, x->rows, hidden);
    if (args->cell == RNN_LSTM)
        copy_rows(block_at(&layer.blocks, BLOCK_CELL, time), hidden, tensor_floats(&run->outputs[2].tensor), run->outputs[2].tensor.ld,
                  x->rows, hidden);
}

static double products_work(const struct op_rnn_args *args, int64_t time, int64_t features)
{
    return 2.0 * (double)time * (double)(features + args->hidden) * (double)(gate_count(args->cell) * args->hidden);
}

static double rnn_work(const void *args, const struct op_type *inputs, const struct op_type *outputs)
{
    (void)outputs;
    return products_work(args, inputs[0].shape.dims[1], inputs[0].shape.dims[2]);
}

/* ---- gradients ---- */

struct gradient_args {
    struct op_rnn_args rnn;
    int64_t time, features;
    bool by_output, by_h, by_c;          /* which losses are given */
    bool wants_x, wants_state;
    int64_t first, count;                /* rnn_kernel_gradient: rows of [K; R] */
};

/* dgates' blocks: one by the sums with x, and of a GRU with reset_after one by those with h. */
static int64_t gradient_blocks(const struct op_rnn_args *args)
{
    return args->cell == RNN_GRU && args->reset_after ? 2 : 1;
}

static void rnn_gradient(struct op_gradient *g)
{
    const struct op_rnn_args *rnn = g->args;
    if (rnn->forward_only)
        return;
    const bool lstm = rnn->cell == RNN_LSTM;
    const struct roles roles = roles_of(rnn);
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
    const struct sizes s = sizes_of(rnn, args->time, args->features);
    const struct op_type state = { .dtype = DTYPE_FLOAT32, .extent = EXTENT_ROWS, .shape = SHAPE(BATCH_DIM, rnn->hidden) };
    int count = 0;
    infer->outputs[count++] = private_rows(gradient_blocks(rnn) * s.time * s.width);
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
    struct layer layer;
    float *dgates, *dinner; /* [time][rows][width] */
    float *dh, *dc, *dreset, *dx;
    float *kernel, *recurrent; /* [columns, features], [columns, hidden] */
    int64_t h_ld, x_ld;        /* of dh, dreset, recurrent; of dx, kernel */
};

static size_t rnn_gradient_scratch(const void *options, const struct op_type *inputs, const struct op_type *outputs, int64_t tile_rows)
{
    const struct gradient_args *args = options;
    const struct sizes s = sizes_of(&args->rnn, args->time, args->features);
    (void)inputs;
    (void)outputs;
    int64_t floats = tile_rows * (2 * pad_columns(s.hidden) + s.hidden) + s.columns * pad_columns(s.hidden);
    if (args->wants_x)
        floats += (s.columns + tile_rows) * pad_columns(s.features);
    return ends_scratch(tile_rows) + (size_t)floats * sizeof(float) + 64 * 8;
}

static struct back back_begin(const struct op_run *run, const struct tensor *ends, char *scratch)
{
    const struct gradient_args *args = run->args;
    const struct op_rnn_args *rnn = &args->rnn;
    const struct tensor *saved = &run->inputs[0].tensor;
    const int64_t rows = saved->rows, floats = (int64_t)sizeof(float);
    struct back back = { .layer = { .args = rnn, .kernels = run->kernels, .rows = rows, .s = sizes_of(rnn, args->time, args->features) } };
    const struct sizes *s = &back.layer.s;
    find_kernels(&back.layer, &run->inputs[1].tensor, rnn->joined ? NULL : &run->inputs[2].tensor);
    find_blocks(rnn, s, true, rows, tensor_floats(saved), &back.layer.blocks);
    back.layer.ends = ends_begin(rnn, ends, rows, s->time, &scratch);
    back.dgates = tensor_floats(&run->outputs[0].tensor);
    back.dinner = back.dgates + s->time * rows * s->width;
    back.h_ld = pad_columns(s->hidden);
    back.x_ld = pad_columns(s->features);
    back.dh = piece(&scratch, rows * back.h_ld * floats);
    back.dreset = piece(&scratch, rows * back.h_ld * floats);
    back.dc = piece(&scratch, rows * s->hidden * floats);
    back.recurrent = piece(&scratch, s->columns * back.h_ld * floats);
    run->kernels->transpose(back.layer.recurrent, s->hidden, s->columns, back.layer.recurrent_ld, back.recurrent, back.h_ld);
    if (args->wants_x) {
        back.kernel = piece(&scratch, s->columns * back.x_ld * floats);
        back.dx = piece(&scratch, rows * back.x_ld * floats);
        run->kernels->transpose(back.layer.kernel, s->features, s->columns, back.layer.kernel_ld, back.kernel, back.x_ld);
    }
    return back;
}

/* dh = the product, except where a row has ended: there its gates' gradients are zeros and it keeps what it has. */
static void through_sums(const struct back *back, const float *dgates)
{
    const struct layer *layer = &back->layer;
    const struct sizes *s = &layer->s;
    for (int64_t r = 0; layer->ends.ended && r < layer->rows; r++)
        if (!layer->ends.ended[r])
            memset(back->dh + r * back->h_ld, 0, (size_t)s->hidden * sizeof(float));
    product(layer, dgates, s->width, s->columns, back->recurrent, back->h_ld, NULL, layer->ends.ended != NULL, back->dh, back->h_ld, s->hidden);
}

static void lstm_back(const struct back *back, int64_t step, float *dgates)
{
    const struct lstm_step call = lstm_call(&back->layer, step);
    const struct lstm_step_gradient gradient = { .step = &call, .dh = back->dh, .dh_ld = back->h_ld, .dc = back->dc,
                                                 .dc_ld = back->layer.s.hidden, .dgates = dgates, .dgates_ld = back->layer.s.width };
    back->layer.kernels->lstm_step_gradient(&gradient);
    through_sums(back, dgates);
}

static void gru_back(const struct back *back, int64_t step, float *dgates, float *dinner)
{
    const struct layer *layer = &back->layer;
    const struct sizes *s = &layer->s;
    struct gru_step call = gru_call(layer, step);
    const struct gru_step_gradient gradient = { .step = &call, .dh = back->dh, .dh_ld = back->h_ld, .dgates = dgates, .dgates_ld = s->width,
                                                .dinner = dinner, .dinner_ld = s->width, .dreset = back->dreset, .dreset_ld = back->h_ld };
    call.first_half = !call.reset_after;
    layer->kernels->gru_step_gradient(&gradient);
    if (call.reset_after) {
        product(layer, dinner, s->width, s->columns, back->recurrent, back->h_ld, NULL, true, back->dh, back->h_ld, s->hidden);
        return;
    }
    const int64_t two = 2 * s->hidden; /* the candidate's columns come last in either order */
    product(layer, dgates + two, s->width, s->hidden, back->recurrent + two * back->h_ld, back->h_ld, NULL, false, back->dreset, back->h_ld,
            s->hidden);
    call.first_half = false;
    layer->kernels->gru_step_gradient(&gradient);
    product(layer, dgates, s->width, two, back->recurrent, back->h_ld, NULL, true, back->dh, back->h_ld, s->hidden);
}

static void simple_back(const struct back *back, int64_t step, float *dgates)
{
    const struct layer *layer = &back->layer;
    const struct sizes *s = &layer->s;
    const float *h = block_at(&layer->blocks, BLOCK_JOINED, step + 1) + s->features;
    layer->kernels->activate_gradient(layer->args->activation, back->dh, back->h_ld, h, s->features + s->hidden, NULL, 0, dgates, s->width,
                                      layer->rows, s->hidden);
    for (int64_t r = 0; layer->ends.ended && r < layer->rows; r++)
        if (layer->ends.ended[r])
            memset(dgates + r * s->width, 0, (size_t)s->hidden * sizeof(float));
    through_sums(back, dgates);
}

/* Adds the loss by a step's output to that by its state, where the output is the state. */
static void add_output(const struct back *back, const struct tensor *loss, int64_t step)
{
    const struct layer *layer = &back->layer;
    const int64_t hidden = layer->s.hidden;
    for (int64_t r = 0; r < layer->rows; r++) {
        const float *from = tensor_floats(loss) + r * loss->ld + (layer->args->sequence ? step * hidden : 0);
        float *to = back->dh + r * back->h_ld;
        for (int64_t u = 0; !gives_zeros(layer->args, &layer->ends, r, step) && u < hidden; u++)
            to[u] += from[u];
    }
}

static void write_dx(const struct back *back, const float *dgates, const struct tensor *dx, int64_t at)
{
    const struct layer *layer = &back->layer;
    const struct sizes *s = &layer->s;
    float *to = tensor_floats(dx) + at * s->features;
    if (s->features % PAD == 0) {
        product(layer, dgates, s->width, s->columns, back->kernel, back->x_ld, NULL, false, to, dx->ld, s->features);
        return;
    }
    /* The product would write pads over the step behind. */
    product(layer, dgates, s->width, s->columns, back->kernel, back->x_ld, NULL, false, back->dx, back->x_ld, s->features);
    copy_rows(back->dx, back->x_ld, to, dx->ld, layer->rows, s->features);
}

/* Kernels' gradients take dgates as their right factor, whose pads must be zero. */
static void clear_pads(float *blocks, int64_t rows, const struct sizes *s)
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
    const struct tensor *by_h = args->by_h ? &run->inputs[next++].tensor : NULL, *by_c = args->by_c ? &run->inputs[next++].tensor : NULL;
    const struct tensor *dx = args->wants_x ? &run->outputs[output++].tensor : NULL;
    struct back back = back_begin(run, ends, scratch_begin(run->scratch));
    const struct sizes *s = &back.layer.s;
    const int64_t rows = back.layer.rows;

    clear_pads(back.dgates, gradient_blocks(rnn) * s->time * rows, s);
    copy_rows(by_h ? tensor_floats(by_h) : NULL, by_h ? by_h->ld : 0, back.dh, back.h_ld, rows, s->hidden);
    if (rnn->cell == RNN_LSTM)
        copy_rows(by_c ? tensor_floats(by_c) : NULL, by_c ? by_c->ld : 0, back.dc, s->hidden, rows, s->hidden);
    for (int64_t step = s->time - 1; step >= 0; step--) {
        float *dgates = back.dgates + step * rows * s->width, *dinner = back.dinner + step * rows * s->width;
        ends_step(rnn, ends, &back.layer.ends, rows, step, s->time);
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
        copy_rows(back.dh, back.h_ld, tensor_floats(&run->outputs[output].tensor), run->outputs[output].tensor.ld, rows, s->hidden);
    if (args->wants_state && rnn->cell == RNN_LSTM)
        copy_rows(back.dc, s->hidden, tensor_floats(&run->outputs[output + 1].tensor), run->outputs[output + 1].tensor.ld, rows, s->hidden);
}

static double rnn_gradient_work(const void *options, const struct op_type *inputs, const struct op_type *outputs)
{
    const struct gradient_args *args = options;
    (void)inputs;
    (void)outputs;
    return products_work(&args->rnn, args->time, args->features);
}

/* ---- what the kernels get ---- */

static bool rnn_kernel_gradient_infer(struct op_infer *infer)
{
    const struct gradient_args *args = infer->args;
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32, .extent = EXTENT_BATCH,
                                          .shape = SHAPE(args->count, gate_count(args->rnn.cell) * args->rnn.hidden) };
    infer->behaviour = BEHAVIOUR_REDUCES;
    return true;
}

static size_t rnn_kernel_gradient_scratch(const void *options, const struct op_type *inputs, const struct op_type *outputs, int64_t tile_rows)
{
    const struct gradient_args *args = options;
    (void)inputs;
    (void)outputs;
    (void)tile_rows;
    return (size_t)(args->rnn.hidden * pad_columns(gate_count(args->rnn.cell) * args->rnn.hidden)) * sizeof(float) + 64;
}

/* out [count, columns] = a^T dgates over all steps and rows; a: `count` columns of rows of width a_ld. */
static void over_time(const struct op_run *run, const struct sizes *s, int64_t rows, const float *a, int64_t a_ld, int64_t count,
                      const float *dgates, float *out, int64_t ld, bool accumulate)
{
    struct gemm call = { .m = count, .n = s->columns, .k = s->time * rows, .a = a, .a_row = 1, .a_column = a_ld, .b = dgates,
                         .ldb = s->width, .c = out, .ldc = ld, .accumulate = accumulate };
    run->kernels->gemm(&call);
}

/* A GRU without reset_after: z and r come from h, the candidate from r h. Both products are made for all columns, since the
 * candidate's do not begin where a vector may. */
static void reset_gradient(const struct op_run *run, const struct sizes *s, const struct blocks *blocks, const float *dgates, float *out, int64_t ld)
{
    float *whole = (float *)(void *)scratch_begin(run->scratch);
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
    const struct sizes s = sizes_of(&args->rnn, args->time, args->features);
    const float *dgates = tensor_floats(&run->inputs[1].tensor);
    const int64_t rows = saved->rows, joined = s.features + s.hidden, ld = out->ld;
    struct blocks blocks;
    float *to = tensor_floats(out);
    find_blocks(&args->rnn, &s, true, rows, tensor_floats(saved), &blocks);
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
    const int64_t columns = gate_count(args->rnn.cell) * args->rnn.hidden;
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32, .extent = EXTENT_BATCH,
                                          .shape = gradient_blocks(&args->rnn) == 2 ? SHAPE(2, columns) : SHAPE(columns) };
    infer->behaviour = BEHAVIOUR_REDUCES;
    return true;
}

static void rnn_bias_gradient_run(struct op_run *run)
{
    const struct gradient_args *args = run->args;
    const struct sizes s = sizes_of(&args->rnn, args->time, args->features);
    const struct tensor *dgates = &run->inputs[0].tensor, *out = &run->outputs[0].tensor;
    const int64_t count = s.time * dgates->rows;
    for (int64_t b = 0; b < gradient_blocks(&args->rnn); b++) {
        float *to = tensor_floats(out) + b * out->ld;
        if (!run->accumulate)
            memset(to, 0, (size_t)s.width * sizeof(float));
        run->kernels->bias_gradient(tensor_floats(dgates) + b * count * s.width, s.width, count, s.columns, to);
    }
}

static const struct op_row rows[] = {
    { .name = "rnn", .help = "a recurrent layer over time: LSTM, GRU, simple", .args_size = sizeof(struct op_rnn_args), .min_inputs = 2,
      .max_inputs = 7, .infer = rnn_infer, .run = rnn_run, .gradient = rnn_gradient, .scratch = rnn_scratch, .work = rnn_work },
    { .name = "rnn_gradient", .help = "a recurrent layer's way back through time", .args_size = sizeof(struct gradient_args), .min_inputs = 3,
      .max_inputs = 7, .infer = rnn_gradient_infer, .run = rnn_gradient_run, .scratch = rnn_gradient_scratch, .work = rnn_gradient_work },
    { .name = "rnn_kernel_gradient", .help = "what a recurrent layer's kernel gets", .args_size = sizeof(struct gradient_args), .min_inputs = 2,
      .max_inputs = 2, .infer = rnn_kernel_gradient_infer, .run = rnn_kernel_gradient_run, .scratch = rnn_kernel_gradient_scratch,
      .work = rnn_kernel_gradient_work },
    { .name = "rnn_bias_gradient", .help = "what a recurrent layer's bias gets", .args_size = sizeof(struct gradient_args), .min_inputs = 1,
      .max_inputs = 1, .infer = rnn_bias_gradient_infer, .run = rnn_bias_gradient_run },
};
OP_ROWS_OF(rnn);
