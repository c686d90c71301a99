/* SPDX-License-Identifier: Apache-2.0 */
/* LSTM, GRU and SimpleRNN over the steps of a row, and two of them side by side. */
#include <stdio.h>
#include <string.h>

#include "keras/args.h"
#include "pilaster/op.h"

LAYER_MAKER(lstm, "LSTM", pil_lstm_options, lstm, PIL_LSTM_DEFAULTS)
LAYER_MAKER(gru, "GRU", pil_gru_options, gru, PIL_GRU_DEFAULTS)
LAYER_MAKER(simple_rnn, "SimpleRNN", pil_simple_rnn_options, simple_rnn, PIL_SIMPLE_RNN_DEFAULTS)

/* What the three kinds have alike, and what each has of its own. */
struct recurrent {
    enum rnn_cell cell;
    int64_t units, gates;
    const char *scope; /* "lstm_cell": of its variables */
    const char *recurrent_activation;
    bool reset_after, unit_forget_bias;
    struct {
        PIL_RECURRENT_OPTIONS;
    } all;
};
#define COPY_ALL(r, o)                                                                                                           \
    (r).all.activation = (o)->activation, (r).all.use_bias = (o)->use_bias,                                                      \
    (r).all.kernel_initializer = (o)->kernel_initializer, (r).all.recurrent_initializer = (o)->recurrent_initializer,            \
    (r).all.bias_initializer = (o)->bias_initializer, (r).all.kernel_regularizer = (o)->kernel_regularizer,                      \
    (r).all.recurrent_regularizer = (o)->recurrent_regularizer, (r).all.bias_regularizer = (o)->bias_regularizer,                \
    (r).all.kernel_constraint = (o)->kernel_constraint, (r).all.recurrent_constraint = (o)->recurrent_constraint,                \
    (r).all.bias_constraint = (o)->bias_constraint, (r).all.dropout = (o)->dropout,                                              \
    (r).all.recurrent_dropout = (o)->recurrent_dropout, (r).all.return_sequences = (o)->return_sequences,                        \
    (r).all.go_backwards = (o)->go_backwards

static struct recurrent recurrent_of(const pil_layer *value)
{
    struct recurrent r = { 0 };
    if (strcmp(value->class_name, "LSTM") == 0) {
        const pil_lstm_options *o = &value->options.lstm;
        r = (struct recurrent){ .cell = RNN_LSTM,
                                .units = o->units,
                                .gates = 4,
                                .scope = "lstm_cell",
                                .recurrent_activation = o->recurrent_activation,
                                .unit_forget_bias = o->unit_forget_bias };
        COPY_ALL(r, o);
    } else if (strcmp(value->class_name, "GRU") == 0) {
        const pil_gru_options *o = &value->options.gru;
        r = (struct recurrent){ .cell = RNN_GRU,
                                .units = o->units,
                                .gates = 3,
                                .scope = "gru_cell",
                                .recurrent_activation = o->recurrent_activation,
                                .reset_after = o->reset_after };
        COPY_ALL(r, o);
    } else {
        const pil_simple_rnn_options *o = &value->options.simple_rnn;
        r = (struct recurrent){ .cell = RNN_SIMPLE, .units = o->units, .gates = 1, .scope = "simple_rnn_cell" };
        COPY_ALL(r, o);
    }
    return r;
}

static struct pil_tensor *weight_of(struct layer_build *b, const struct recurrent *r, const char *name, struct shape shape,
                                    pil_layer_initializer initializer, pil_regularizer regularizer, pil_constraint constraint)
{
    char full[96], path[96];
    snprintf(full, sizeof full, "%s/%s", r->scope, name);
    snprintf(path, sizeof path, "cell/%s", name);
    return layer_weight(b, &(struct layer_weight){ .name = full,
                                                   .path = path,
                                                   .shape = shape,
                                                   .initializer = initializer,
                                                   .regularizer = regularizer,
                                                   .constraint = constraint });
}

/* One direction, its variables in the scope that is open. */
static struct pil_tensor *run(struct layer_build *b, const struct recurrent *r, bool bidirectional)
{
    if (!layer_takes(b, 3, 3, "[time, features]"))
        return graph_error_tensor(b->graph);
    if (r->units < 1)
        return layer_fail(b, "units is %lld: at least 1 is needed", (long long)r->units);
    for (int i = 0; i < 2; i++) {
        float rate = i ? r->all.recurrent_dropout : r->all.dropout;
        if (!(rate >= 0 && rate < 1))
            return layer_fail(b, "%sdropout is %g: it is from 0 to below 1", i ? "recurrent_" : "", (double)rate);
    }
    char name[160];
    int64_t width = r->gates * r->units;
    snprintf(name, sizeof name, "the layer %s", b->layer->name);
    struct graph_rnn_options o = {
        .layer = name,
        .cell = r->cell,
        .units = r->units,
        .activation = r->all.activation,
        .recurrent_activation = r->recurrent_activation,
        .reset_after = r->reset_after,
        .return_sequences = r->all.return_sequences,
        .go_backwards = r->all.go_backwards,
        .zero_output_for_mask = bidirectional && r->all.return_sequences,
        .dropout = b->training ? r->all.dropout : 0,
        .recurrent_dropout = b->training ? r->all.recurrent_dropout : 0,
        .mask = b->mask,
    };
    o.kernel = weight_of(b, r, "kernel", SHAPE(b->x->type.shape.dims[2], width), r->all.kernel_initializer,
                         r->all.kernel_regularizer, r->all.kernel_constraint);
    o.recurrent_kernel = weight_of(b, r, "recurrent_kernel", SHAPE(r->units, width), r->all.recurrent_initializer,
                                   r->all.recurrent_regularizer, r->all.recurrent_constraint);
    if (r->all.use_bias) {
        struct shape shape = r->cell == RNN_GRU && r->reset_after ? SHAPE(2, width) : SHAPE(width);
        b->ones_from = r->unit_forget_bias ? r->units : 0;
        b->ones_to = r->unit_forget_bias ? 2 * r->units : 0;
        o.bias = weight_of(b, r, "bias", shape, r->all.bias_initializer, r->all.bias_regularizer, r->all.bias_constraint);
        b->ones_from = b->ones_to = 0;
    }
    return status_ok(graph_status(b->graph)) ? graph_rnn(b->graph, b->x, &o) : graph_error_tensor(b->graph);
}

static struct pil_tensor *recurrent_build(struct layer_build *b)
{
    struct recurrent r = recurrent_of(&b->layer->value);
    struct pil_tensor *y = run(b, &r, false);
    if (!r.all.return_sequences)
        b->mask = NULL;
    return y;
}

/* ---- Bidirectional ---- */

static struct pil_tensor *merge(struct layer_build *b, const char *mode, struct pil_tensor *forward, struct pil_tensor *backward)
{
    struct pil_tensor *both[] = { forward, backward };
    if (strcmp(mode, "concat") == 0)
        return pil_concat(b->graph, both, 2, -1);
    if (strcmp(mode, "sum") == 0)
        return pil_add(b->graph, forward, backward);
    if (strcmp(mode, "mul") == 0)
        return pil_mul(b->graph, forward, backward);
    return pil_mul(b->graph, pil_add(b->graph, forward, backward), pil_scalar(b->graph, 0.5f));
}

/* [batch, time, units] with its steps in the other order. */
static struct pil_tensor *reversed(struct layer_build *b, struct pil_tensor *x)
{
    int64_t time = x->type.shape.dims[1];
    float *steps = status_ok(graph_status(b->graph)) ? mem_array((size_t)time, sizeof *steps, &b->model->status) : NULL;
    if (!steps)
        return layer_fail(b, "out of memory for its steps");
    for (int64_t t = 0; t < time; t++)
        steps[t] = (float)(time - 1 - t);
    struct pil_tensor *order = graph_constant(b->graph, SHAPE(time), steps);
    mem_free(steps);
    return pil_gather(b->graph, x, order, .axis = 1);
}

static struct pil_tensor *direction(struct layer_build *b, const struct recurrent *r, bool backward, const char *inner)
{
    char scope[160];
    snprintf(scope, sizeof scope, "%s_%s", backward ? "backward" : "forward", inner);
    b->path = backward ? "backward_layer/" : "forward_layer/";
    graph_push_scope(b->graph, scope);
    struct pil_tensor *y = run(b, r, true);
    graph_pop_scope(b->graph);
    return y;
}

struct pil_tensor *layer_bidirectional(struct layer_build *b)
{
    static const char *const modes[] = { "concat", "sum", "mul", "ave" };
    const pil_layer *value = &b->layer->value;
    const char *mode = value->wrapper.merge_mode, *nearest;
    size_t known = 0;
    while (mode && known < COUNT_OF(modes) && strcmp(modes[known], mode) != 0)
        known++;
    if (!b->layer->row->recurrent)
        return layer_fail(b, "Bidirectional takes an LSTM, a GRU or a SimpleRNN, not a %s", b->layer->row->table.name);
    if (!mode || known == COUNT_OF(modes)) {
        nearest = mode ? nearest_word(mode, modes, COUNT_OF(modes)) : NULL;
        return layer_fail(b, "there is no merge_mode '%s'%s%s%s", mode ? mode : "NULL", nearest ? "; did you mean '" : "",
                          nearest ? nearest : "", nearest ? "'?" : "");
    }
    struct recurrent r = recurrent_of(value);
    const char *given = *(const char *const *)(const void *)((const char *)&value->options + b->layer->row->name_offset);
    const char *inner = given ? given : b->layer->row->word;
    struct pil_tensor *forward = direction(b, &r, false, inner);
    r.all.go_backwards = !r.all.go_backwards;
    struct pil_tensor *backward = direction(b, &r, true, inner);
    if (!status_ok(graph_status(b->graph)))
        return graph_error_tensor(b->graph);
    if (r.all.return_sequences)
        backward = reversed(b, backward);
    else
        b->mask = NULL;
    return merge(b, mode, forward, backward);
}

pil_bidirectional_options pil_bidirectional_options_default(void)
{
    return (pil_bidirectional_options){ PIL_BIDIRECTIONAL_DEFAULTS };
}

pil_layer pil_bidirectional_make(const pil_bidirectional_options *options)
{
    pil_layer layer = options->layer;
    layer.wrapper = (pil_wrapper){ .kind = PIL_WRAPPER_BIDIRECTIONAL,
                                   .merge_mode = options->merge_mode,
                                   .name = options->name,
                                   .trainable = options->trainable };
    memcpy(layer.wrapper.input_shape, options->input_shape, sizeof layer.wrapper.input_shape);
    return layer;
}

/* ---- their arguments ---- */

#define RECURRENT_ARGS(options)                                                                                                  \
    { .name = "units",                                                                                                           \
      .type = &ARG_INT,                                                                                                          \
      .offset = offsetof(options, units),                                                                                        \
      .low = 1,                                                                                                                  \
      .high = 1 << 20,                                                                                                           \
      .required = true,                                                                                                          \
      .help = "numbers of the state" },                                                                                          \
        { .name = "activation",                                                                                                  \
          .type = &KERAS_ARG_ACTIVATION,                                                                                         \
          .offset = offsetof(options, activation),                                                                               \
          .help = "of the state" },                                                                                              \
        { .name = "use_bias", .type = &ARG_BOOL, .offset = offsetof(options, use_bias), .help = "adds a bias" },                 \
        WEIGHT_ARGS(options, kernel), WEIGHT_ARGS(options, recurrent), WEIGHT_ARGS(options, bias),                               \
        { .name = "dropout",                                                                                                     \
          .type = &ARG_FLOAT,                                                                                                    \
          .offset = offsetof(options, dropout),                                                                                  \
          .help = "the part of the inputs that is dropped in training" },                                                        \
        { .name = "recurrent_dropout",                                                                                           \
          .type = &ARG_FLOAT,                                                                                                    \
          .offset = offsetof(options, recurrent_dropout),                                                                        \
          .help = "the same of the state" },                                                                                     \
        { .name = "return_sequences",                                                                                            \
          .type = &ARG_BOOL,                                                                                                     \
          .offset = offsetof(options, return_sequences),                                                                         \
          .help = "the output of every step, not of the last alone" },                                                           \
        { .name = "go_backwards",                                                                                                \
          .type = &ARG_BOOL,                                                                                                     \
          .offset = offsetof(options, go_backwards),                                                                             \
          .help = "from the last step to the first" },                                                                           \
        LAYER_ARGS(options)
#define GATE_ARG(options)                                                                                                        \
    {                                                                                                                            \
        .name = "recurrent_activation", .type = &KERAS_ARG_ACTIVATION, .offset = offsetof(options, recurrent_activation),        \
        .help = "of the gates"                                                                                                   \
    }

static const pil_lstm_options lstm_defaults = { PIL_LSTM_DEFAULTS };
static const struct arg lstm_args[] = {
    RECURRENT_ARGS(pil_lstm_options),
    GATE_ARG(pil_lstm_options),
    { .name = "unit_forget_bias",
      .type = &ARG_BOOL,
      .offset = offsetof(pil_lstm_options, unit_forget_bias),
      .help = "the forget gate's bias starts at 1" },
};
static const pil_gru_options gru_defaults = { PIL_GRU_DEFAULTS };
static const struct arg gru_args[] = {
    RECURRENT_ARGS(pil_gru_options),
    GATE_ARG(pil_gru_options),
    { .name = "reset_after",
      .type = &ARG_BOOL,
      .offset = offsetof(pil_gru_options, reset_after),
      .help = "the reset gate after the product with the state" },
};
static const pil_simple_rnn_options simple_rnn_defaults = { PIL_SIMPLE_RNN_DEFAULTS };
static const struct arg simple_rnn_args[] = { RECURRENT_ARGS(pil_simple_rnn_options) };

static const struct layer_row rows[] = {
    LAYER_ROW("LSTM", "lstm", pil_lstm_options, lstm_args, lstm_defaults, "long short-term memory", .build = recurrent_build,
              .mask = MASK_OWN, .recurrent = true, LAYER_OFFSETS(pil_lstm_options)),
    LAYER_ROW("GRU", "gru", pil_gru_options, gru_args, gru_defaults, "gated recurrent unit", .build = recurrent_build,
              .mask = MASK_OWN, .recurrent = true, LAYER_OFFSETS(pil_gru_options)),
    LAYER_ROW("SimpleRNN", "simple_rnn", pil_simple_rnn_options, simple_rnn_args, simple_rnn_defaults, "a state and a product",
              .build = recurrent_build, .mask = MASK_OWN, .recurrent = true, LAYER_OFFSETS(pil_simple_rnn_options)),
};
LAYER_ROWS_OF(recurrent);
