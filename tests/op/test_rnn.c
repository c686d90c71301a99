/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recurrent layers in a graph: TensorFlow's outputs, states and gradients; its own tests of cells; gradients against finite
 * differences with lengths and masks; the node against the same layer made of small ops; tiles and threads.
 */
#include "graph/layers.h"

#define BASIC                                                                                                                    \
    .cell = RNN_LSTM, .activation = ACTIVATION_TANH, .recurrent = ACTIVATION_SIGMOID, .joined = true, .bias = true,              \
    .forget_bias = 1
#define KERAS(kind)                                                                                                              \
    .cell = kind, .activation = ACTIVATION_TANH, .recurrent = ACTIVATION_SIGMOID, .bias = true, .keras_order = true,             \
    .reset_after = true

/* ---- golden/rnn.json ---- */

static void set(struct tensor *tensor, const float *values)
{
    tensor_unpack(values, tensor);
}

static int64_t gates_of(const struct op_rnn_args *args)
{
    return (args->cell == RNN_LSTM ? 4 : args->cell == RNN_GRU ? 3 : 1) * args->hidden;
}

/* The layer's variables behind x: kernels, bias. Returns the inputs' number. */
static int add_weights(struct pil_graph *g, const struct op_rnn_args *args, int64_t features, struct pil_tensor **in)
{
    int count = 1;
    const int64_t columns = gates_of(args);
    in[count++] = graph_variable(g, "kernel", SHAPE(features + (args->joined ? args->hidden : 0), columns), noise_init, true);
    if (!args->joined)
        in[count++] = graph_variable(g, "recurrent", SHAPE(args->hidden, columns), noise_init, true);
    if (args->bias)
        in[count++] = graph_variable(g, "bias", args->cell == RNN_GRU && args->reset_after ? SHAPE(2, columns) : SHAPE(columns),
                                     noise_init, true);
    return count;
}

struct golden_case {
    int number;
    struct op_rnn_args args;
    int64_t batch, time, features;
    float x[512], weights[3][2048], output[512], loss[512], dx[512], dweights[3][2048], h[128], c[128];
    int weight_count;
    bool basic;
};

static void read_case(const struct json_value *item, struct golden_case *out)
{
    struct json_value cell = golden_get(item, "cell"), x = golden_get(item, "x"), row = item_at(&x, 0), step = item_at(&row, 0),
                      list;
    out->batch = (int64_t)x.count;
    out->time = (int64_t)row.count;
    out->features = (int64_t)step.count;
    numbers(item, "x", out->x);
    numbers(item, "x_grad", out->dx);
    out->basic = slice_is(cell.text, "BasicLSTMCell");
    if (out->basic) {
        out->args = (struct op_rnn_args){ BASIC, .hidden = numbers(item, "bias", out->weights[1]) / 4, .sequence = true };
        out->args.forget_bias = golden_number(item, "forget_bias", 1);
        numbers(item, "kernel", out->weights[0]);
        numbers(item, "kernel_grad", out->dweights[0]);
        numbers(item, "bias_grad", out->dweights[1]);
        numbers(item, "outputs", out->output);
        numbers(item, "last_output_grad", out->loss);
        numbers(item, "final_h", out->h);
        numbers(item, "final_c", out->c);
        out->weight_count = 2;
        return;
    }
    enum rnn_cell kind = slice_is(cell.text, "keras.LSTM") ? RNN_LSTM : slice_is(cell.text, "keras.GRU") ? RNN_GRU : RNN_SIMPLE;
    list = golden_get(item, "weights");
    struct json_value recurrent = item_at(&list, 1);
    out->args = (struct op_rnn_args){ KERAS(kind), .hidden = (int64_t)recurrent.count };
    struct json_value sequence = golden_get(item, "return_sequences");
    out->args.sequence = sequence.flag;
    for (int i = 0; i < 3; i++) {
        struct json_value lists[2] = { golden_get(item, "weights"), golden_get(item, "weight_grads") };
        struct json_value weight = item_at(&lists[0], i), gradient = item_at(&lists[1], i);
        flatten(&weight, out->weights[i]);
        flatten(&gradient, out->dweights[i]);
    }
    numbers(item, "output", out->output);
    numbers(item, "output_grad", out->loss);
    out->weight_count = 3;
}

static void run_case(struct golden_case *c)
{
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *in[8], *out[8], *fetches[4];
    in[0] = trained_x(g, c->batch, c->time, c->features);
    int count = add_weights(g, &c->args, c->features, in), fetch_count = 0;
    graph_op(g, "rnn", &c->args, in, count, out);
    /* The loss weighs the last output (basic) or the output. */
    struct pil_tensor *shown = c->basic ? out[1] : out[0];
    struct pil_tensor *by = graph_input(g, "by", DTYPE_FLOAT32, shown->type.shape, false);
    struct pil_tensor *loss = total(g, graph_op2(g, "mul", NULL, shown, by));
    graph_gradients(g, loss);
    fetches[fetch_count++] = loss;
    fetches[fetch_count++] = out[0];
    fetches[fetch_count++] = out[1];
    if (c->basic)
        fetches[fetch_count++] = out[2];
    rig_start(&rig, fetches, (size_t)fetch_count, 1, 5);
    set(&rig.values[0], c->x);
    for (int i = 0; i < c->weight_count; i++)
        set(&rig.values[i + 1], c->weights[i]);
    struct tensor identity = bind_identity(rig.session, c->batch), weights;
    assert_true(tensor_new(&weights, DTYPE_FLOAT32, shape_with_batch(shown->type.shape, c->batch), true, &rig.status));
    set(&weights, c->loss);
    session_input(rig.session, "by", &(struct op_value){ .tensor = weights });
    rig_run(&rig, c->batch);
    check_close("output", c->number, &session_fetch(rig.session, 1)->tensor, c->output);
    if (c->basic) {
        check_close("final h", c->number, &session_fetch(rig.session, 2)->tensor, c->h);
        check_close("final c", c->number, &session_fetch(rig.session, 3)->tensor, c->c);
    }
    float *gradients = rig_gradients(&rig);
    check_gradient(&rig, gradients, 0, c->number, c->dx);
    for (int i = 0; i < c->weight_count; i++)
        check_gradient(&rig, gradients, (size_t)i + 1, c->number, c->dweights[i]);
    tensor_free(&identity);
    tensor_free(&weights);
    rig_free(&rig);
}

static void test_golden(void **state)
{
    (void)state;
    static struct golden_case c;
    struct golden golden;
    struct json_value item;
    assert_true(golden_open(&golden, "tests/golden/rnn.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    int count = 0;
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        c = (struct golden_case){ .number = count };
        read_case(&item, &c);
        run_case(&c);
    }
    assert_int_equal(count, 10);
    golden_close(&golden);
}

/* ---- TensorFlow's own tests of cells ---- */

/* A layer over given numbers, forward: h (and c) of every row into `h`, `c`. initial: NULL or h, c [batch, hidden]. */
static void run_forward(struct op_rnn_args args, const float *x, int64_t batch, int64_t time, int64_t features,
                        float *const *weights, float *const *initial, const int32_t *lengths, float *h, float *c)
{
    struct rig rig = rig_new();
    struct pil_tensor *in[8], *out[4];
    struct tensor bound[4];
    const char *names[4] = { "x", "h", "c", "lengths" };
    args.forward_only = true;
    args.initial_state = initial != NULL;
    args.ends = lengths ? RNN_ENDS_LENGTHS : RNN_ENDS_NEVER;
    in[0] = graph_input(rig.graph, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, time, features), false);
    int count = add_weights(rig.graph, &args, features, in);
    for (int i = 0; initial && i < (args.cell == RNN_LSTM ? 2 : 1); i++)
        in[count++] = graph_input(rig.graph, names[i + 1], DTYPE_FLOAT32, SHAPE(BATCH_DIM, args.hidden), false);
    if (lengths)
        in[count++] = graph_input(rig.graph, "lengths", DTYPE_INT32, SHAPE(BATCH_DIM, 1), false);
    graph_op(rig.graph, "rnn", &args, in, count, out);
    rig_start(&rig, out + 1, args.cell == RNN_LSTM ? 2 : 1, 1, 5);
    for (size_t v = 0; v < graph_variable_count(rig.graph); v++)
        set(&rig.values[v], weights[v]);
    const void *values[4] = { x, initial ? initial[0] : NULL, initial ? initial[1] : NULL, lengths };
    const struct shape shapes[4] = { SHAPE(batch, time, features), SHAPE(batch, args.hidden), SHAPE(batch, args.hidden),
                                     SHAPE(batch, 1) };
    for (int i = 0; i < 4; i++) {
        assert_true(tensor_new(&bound[i], i == 3 ? DTYPE_INT32 : DTYPE_FLOAT32, shapes[i], true, &rig.status));
        if (values[i]) {
            tensor_unpack(values[i], &bound[i]);
            session_input(rig.session, names[i], &(struct op_value){ .tensor = bound[i] });
        }
    }
    rig_run(&rig, batch);
    tensor_pack(&session_fetch(rig.session, 0)->tensor, h);
    if (args.cell == RNN_LSTM)
        tensor_pack(&session_fetch(rig.session, 1)->tensor, c);
    for (int i = 0; i < 4; i++)
        tensor_free(&bound[i]);
    rig_free(&rig);
}

/* SimpleRNN and a dense layer on its last output. Features of a step: the indicator of on_sale, the number, the context. */
static void check_simple(const struct json_value *item)
{
    float kernel[16], recurrent[4], bias[2], dense[8], dense_bias[4], number[2][4], sale[2][4], context[2], wanted[2], x[32],
        h[4];
    int64_t length[2];
    struct json_value list = golden_get(item, "dense_bias"), other;
    int64_t logits = flatten(&list, dense_bias), features = numbers(item, "kernel", kernel) / 2, at = 0;
    bool has_sale = json_get(item, "on_sale", &other), has_context = json_get(item, "context", &other);
    numbers(item, "recurrent", recurrent);
    numbers(item, "bias", bias);
    numbers(item, "dense_kernel", dense);
    list = golden_get(item, has_sale ? "price" : "sequences");
    golden_rows(&list, number[0], 4, length);
    if (has_sale) {
        list = golden_get(item, "on_sale");
        golden_rows(&list, sale[0], 4, NULL);
    }
    if (has_context)
        numbers(item, "context", context);
    for (int r = 0; r < 2; r++)
        for (int t = 0; t < 2; t++) {
            bool here = t < length[r];
            for (int k = 0; has_sale && k < 2; k++)
                x[at++] = here && (int)sale[r][t] == k ? 1.0f : 0.0f;
            x[at++] = here ? number[r][t] : 0.0f;
            if (has_context)
                x[at++] = context[r];
        }
    assert_int_equal(at, 4 * features);
    const struct op_rnn_args args = { KERAS(RNN_SIMPLE), .hidden = 2 };
    run_forward(args, x, 2, 2, features, (float *[]){ kernel, recurrent, bias }, NULL,
                (int32_t[]){ (int32_t)length[0], (int32_t)length[1] }, h, NULL);
    if (json_get(item, "expected_last", &list)) {
        flatten(&list, wanted);
        for (int r = 0; r < 2; r++)
            assert_true(fabsf(h[2 * r] * dense[0] + h[2 * r + 1] * dense[1] + dense_bias[0] - wanted[r]) <= 1e-4f);
        return;
    }
    list = golden_get(item, "expected_seq_logits");
    for (int r = 0; r < 2; r++) {
        float sequence[16];
        struct json_value row = item_at(&list, r);
        flatten(&row, sequence);
        for (int64_t k = 0; k < logits; k++) /* the second step's */
            assert_true(fabsf(h[2 * r] * dense[k] + h[2 * r + 1] * dense[logits + k] + dense_bias[k] - sequence[logits + k]) <=
                        1e-4f);
    }
}

static void fill(float *values, int64_t count, float value)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = value;
}

static void check_gru_cell(const struct json_value *item)
{
    float x[4], h[2], wanted[2], kernel[30], bias[6] = { 1, 1, 1, 1, 0, 0 }, got[2];
    int64_t features = numbers(item, "x", x);
    numbers(item, "h", h);
    numbers(item, "expected", wanted);
    fill(kernel, 30, 0.5f);
    const struct op_rnn_args args = {
        .cell = RNN_GRU, .hidden = 2, .activation = ACTIVATION_TANH, .recurrent = ACTIVATION_SIGMOID, .joined = true, .bias = true
    };
    run_forward(args, x, 1, 1, features, (float *[]){ kernel, bias }, (float *[]){ h, NULL }, NULL, got, NULL);
    assert_true(golden_error(got, wanted, 2, 1) <= 1e-5);
}

static void check_lstm_cells(const struct json_value *item)
{
    float x[2], state[2][2], kernel[32], bias[8] = { 0 }, wanted[4], h[2], c[2];
    const char *const keys[2][3] = { { "h0", "c0", "expected_state0_c_h" }, { "h1", "c1", "expected_state1_c_h" } };
    fill(kernel, 32, 0.5f);
    numbers(item, "x", x);
    for (int layer = 0; layer < 2; layer++) {
        numbers(item, keys[layer][0], state[0]);
        numbers(item, keys[layer][1], state[1]);
        numbers(item, keys[layer][2], wanted);
        run_forward((struct op_rnn_args){ BASIC, .hidden = 2 }, x, 1, 1, 2, (float *[]){ kernel, bias },
                    (float *[]){ state[0], state[1] }, NULL, h, c);
        assert_true(golden_error(c, wanted, 2, 1) <= 1e-6 && golden_error(h, wanted + 2, 2, 1) <= 1e-6);
        memcpy(x, h, sizeof x);
    }
}

static void test_cells(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    if (!golden_open(&golden, "../shared/conformance/tf_golden/rnn_cells.json")) {
        print_message("no conformance data beside the repository\n");
        skip();
    }
    struct json_value cases = golden_get(&golden.root, "cases");
    int seen = 0;
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); seen++) {
        struct slice name = golden_get(&item, "fn").text;
        if (name.size >= 9 && memcmp(name.data, "SimpleRNN", 9) == 0)
            check_simple(&item);
        else if (name.size >= 7 && memcmp(name.data, "GRUCell", 7) == 0)
            check_gru_cell(&item);
        else
            check_lstm_cells(&item);
    }
    assert_int_equal(seen, 7);
    golden_close(&golden);
}

/* ---- finite differences ---- */

enum { BATCH = 21, TIME = 5, FEATURES = 3 };

struct layer_case {
    const char *name;
    struct op_rnn_args args;
};
static const struct layer_case layers[] = {
    { "basic", { BASIC, .hidden = 3, .sequence = true } },
    { "basic, 19 units, last", { BASIC, .hidden = 19 } },
    { "basic, state and lengths, zeros",
      { BASIC, .hidden = 4, .initial_state = true, .ends = RNN_ENDS_LENGTHS, .zero_output = true, .sequence = true } },
    { "keras lstm of few units, backwards",
      { KERAS(RNN_LSTM), .hidden = 5, .initial_state = true, .backwards = true, .sequence = true } },
    { "basic of few units, last", { BASIC, .hidden = 7, .initial_state = true } },
    { "keras lstm of one unit", { KERAS(RNN_LSTM), .hidden = 1, .sequence = true } },
    { "keras lstm, mask", { KERAS(RNN_LSTM), .hidden = 5, .initial_state = true, .ends = RNN_ENDS_MASK, .sequence = true } },
    { "keras lstm, mask, last, backwards", { KERAS(RNN_LSTM), .hidden = 16, .ends = RNN_ENDS_MASK, .backwards = true } },
    { "gru", { KERAS(RNN_GRU), .hidden = 6, .initial_state = true, .sequence = true } },
    { "gru, mask", { KERAS(RNN_GRU), .hidden = 17, .ends = RNN_ENDS_MASK, .sequence = true, .backwards = true } },
    { "gru, reset before",
      { .cell = RNN_GRU,
        .hidden = 5,
        .activation = ACTIVATION_TANH,
        .recurrent = ACTIVATION_SIGMOID,
        .bias = true,
        .keras_order = true,
        .ends = RNN_ENDS_LENGTHS,
        .initial_state = true,
        .sequence = true } },
    { "GRUCell",
      { .cell = RNN_GRU,
        .hidden = 3,
        .activation = ACTIVATION_TANH,
        .recurrent = ACTIVATION_SIGMOID,
        .bias = true,
        .joined = true,
        .sequence = true } },
    { "GRUCell of one unit",
      { .cell = RNN_GRU, .hidden = 1, .activation = ACTIVATION_TANH, .recurrent = ACTIVATION_SIGMOID, .joined = true } },
    { "simple", { KERAS(RNN_SIMPLE), .hidden = 4, .sequence = true, .initial_state = true } },
    { "simple of one unit, lengths", { KERAS(RNN_SIMPLE), .hidden = 1, .ends = RNN_ENDS_LENGTHS, .sequence = true } },
    { "simple, joined, mask",
      { .cell = RNN_SIMPLE, .hidden = 7, .activation = ACTIVATION_SOFTSIGN, .joined = true, .ends = RNN_ENDS_MASK } },
    { "lstm of other activations",
      { .cell = RNN_LSTM,
        .hidden = 2,
        .joined = true,
        .bias = true,
        .activation = ACTIVATION_SOFTSIGN,
        .recurrent = ACTIVATION_TANH } },
};

static struct rig start_layer(const struct op_rnn_args *args, int64_t batch, int threads, struct tensor *bound)
{
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *in[8], *out[8], *fetches[4];
    const bool lstm = args->cell == RNN_LSTM;
    in[0] = trained_x(g, batch, TIME, FEATURES);
    int count = add_weights(g, args, FEATURES, in);
    struct pil_tensor *rows = graph_input(g, "identity", DTYPE_FLOAT32, SHAPE(BATCH_DIM, batch), false);
    if (args->initial_state)
        for (int i = 0; i < 1 + lstm; i++)
            in[count++] = graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, rows,
                                    graph_variable(g, i ? "c" : "h", SHAPE(batch, args->hidden), noise_init, true));
    const int64_t columns = args->ends == RNN_ENDS_MASK ? TIME : 1;
    if (args->ends != RNN_ENDS_NEVER)
        in[count++] = graph_input(g, "ends", DTYPE_INT32, SHAPE(BATCH_DIM, columns), false);
    graph_op(g, "rnn", args, in, count, out);
    struct pil_tensor *loss = graph_op2(g, "add", NULL, weighted_squares(g, out[0], 0.7f), weighted_squares(g, out[1], 0.4f));
    if (lstm)
        loss = graph_op2(g, "add", NULL, loss, weighted_squares(g, out[2], 0.3f));
    graph_gradients(g, loss);
    fetches[0] = loss;
    fetches[1] = out[0];
    fetches[2] = out[1];
    rig_start(&rig, fetches, 3, threads, 5);
    bound[0] = bind_identity(rig.session, batch);
    assert_true(tensor_new(&bound[1], DTYPE_INT32, SHAPE(batch, columns), true, &rig.status));
    for (int64_t r = 0; r < batch; r++)
        for (int64_t c = 0; c < columns; c++) /* lengths 0 .. TIME; masks with holes at the beginning, inside and at the end */
            ((int32_t *)bound[1].data)[r * bound[1].ld + c] =
                columns == 1 ? (int32_t)(r * 7 % (TIME + 1)) : ((r * 11 + c * 5) >> (c % 3)) & 1;
    if (args->ends != RNN_ENDS_NEVER)
        session_input(rig.session, "ends", &(struct op_value){ .tensor = bound[1] });
    return rig;
}

static void end_layer(struct rig *rig, struct tensor *bound)
{
    tensor_free(&bound[0]);
    tensor_free(&bound[1]);
    rig_free(rig);
}

static void check_numeric(const struct layer_case *layer)
{
    struct tensor bound[2];
    struct rig rig = start_layer(&layer->args, BATCH, 1, bound);
    rig_run(&rig, BATCH);
    static float gradients[8192];
    assert_true(rig.floats <= (int64_t)COUNT_OF(gradients));
    memcpy(gradients, rig_gradients(&rig), (size_t)rig.floats * sizeof(float));
    for (size_t v = 0; v < graph_variable_count(rig.graph); v++) {
        struct tensor *value = &rig.values[v];
        for (int64_t i = 0; i < value->rows * value->cols; i += MAX(value->rows * value->cols / 23, 1)) {
            const int64_t place = i / value->cols * value->ld + i % value->cols;
            float *at = tensor_floats(value) + place, old = *at, h = 4e-3f;
            double side[2], gradient = (double)gradients[rig.offsets[v] + place];
            for (int k = 0; k < 2; k++) {
                *at = old + (k ? -h : h);
                rig_run(&rig, BATCH);
                side[k] = session_scalar(rig.session, 0);
            }
            *at = old;
            double numeric = (side[0] - side[1]) / (2 * (double)h);
            if (!(fabs(numeric - gradient) <= 2e-3 + 3e-3 * fabs(numeric)))
                fail_msg("%s: %s[%lld]: gradient %g, by differences %g", layer->name, graph_variable_at(rig.graph, v)->name,
                         (long long)i, gradient, numeric);
        }
    }
    end_layer(&rig, bound);
}

static void test_numeric_gradients(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(layers); i++)
        check_numeric(&layers[i]);
}

/* ---- tiles and threads ---- */

/* Rows of the output do not know their tile; gradients are the same bits at any number of threads. */
static void test_tiles_and_threads(void **state)
{
    (void)state;
    enum { MANY = 333 };
    for (size_t i = 0; i < COUNT_OF(layers); i++) {
        struct tensor bound[3][2];
        struct rig rigs[3];
        const int threads[3] = { 1, 3, 8 };
        float *gradients[3];
        for (int k = 0; k < 3; k++) {
            rigs[k] = start_layer(&layers[i].args, MANY, threads[k], bound[k]);
            rig_run(&rigs[k], MANY);
            rig_run(&rigs[k], MANY); /* over what the first left in memory */
            gradients[k] = rig_gradients(&rigs[k]);
            assert_memory_equal(gradients[0], gradients[k], (size_t)rigs[0].floats * sizeof(float));
            double loss[2] = { session_scalar(rigs[0].session, 0), session_scalar(rigs[k].session, 0) };
            assert_memory_equal(&loss[0], &loss[1], sizeof loss[0]);
        }
        /* One row alone, with the mask of its own, gives what it gave among many. */
        struct tensor all = session_fetch(rigs[0].session, 1)->tensor, one;
        float wanted[512], got[512];
        const int64_t row = 200;
        assert_true(all.cols <= (int64_t)COUNT_OF(wanted));
        memcpy(wanted, tensor_floats(&all) + row * all.ld, (size_t)all.cols * sizeof(float));
        struct tensor identity = bound[0][0], ends = bound[0][1];
        identity.shape.dims[0] = ends.shape.dims[0] = identity.rows = ends.rows = 1;
        identity.data = tensor_floats(&identity) + row * identity.ld;
        ends.data = (int32_t *)ends.data + row * ends.ld;
        session_input(rigs[0].session, "identity", &(struct op_value){ .tensor = identity });
        if (layers[i].args.ends != RNN_ENDS_NEVER)
            session_input(rigs[0].session, "ends", &(struct op_value){ .tensor = ends });
        rig_run(&rigs[0], 1);
        one = session_fetch(rigs[0].session, 1)->tensor;
        memcpy(got, one.data, (size_t)one.cols * sizeof(float));
        if (memcmp(wanted, got, (size_t)all.cols * sizeof(float)) != 0)
            fail_msg("%s: a row alone differs", layers[i].name);
        for (int k = 0; k < 3; k++)
            end_layer(&rigs[k], bound[k]);
    }
}

/* ---- unrolled ---- */

static struct pil_tensor *columns(struct pil_graph *g, struct pil_tensor *x, int64_t first, int64_t count)
{
    return graph_op1(g, "slice", &(struct op_slice_args){ 1, first, count }, x);
}

static struct pil_tensor *act(struct pil_graph *g, struct pil_tensor *x, enum activation kind)
{
    return graph_op1(g, "activation", &(struct op_activation_args){ kind }, x);
}

/* BasicLSTMCell of small ops, step by step; the state begins as zeros. Gives the last h. */
static struct pil_tensor *unrolled(struct pil_graph *g, struct pil_tensor *x, struct pil_tensor *kernel, struct pil_tensor *bias,
                                   const struct op_rnn_args *args)
{
    const int64_t n = args->hidden;
    struct pil_tensor *flat = graph_op1(g, "reshape", &(struct op_reshape_args){ SHAPE(-1, TIME * FEATURES) }, x);
    struct pil_tensor *zero = graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, columns(g, flat, 0, 1),
                                        graph_constant(g, SHAPE(1, n), (const float[96]){ 0 }));
    struct pil_tensor *h = zero, *c = zero;
    for (int64_t t = 0; t < TIME; t++) {
        struct pil_tensor *joined =
            graph_op2(g, "concat", &(struct op_axis_args){ .axis = 1 }, columns(g, flat, t * FEATURES, FEATURES), h);
        struct pil_tensor *gates = graph_op3(g, "matmul", &(struct op_matmul_args){ .bias = true }, joined, kernel, bias);
        struct pil_tensor *i = act(g, columns(g, gates, 0, n), ACTIVATION_SIGMOID),
                          *j = act(g, columns(g, gates, n, n), ACTIVATION_TANH);
        struct pil_tensor *f = graph_op2(g, "add", NULL, columns(g, gates, 2 * n, n), graph_scalar(g, args->forget_bias));
        struct pil_tensor *o = act(g, columns(g, gates, 3 * n, n), ACTIVATION_SIGMOID);
        c = graph_op2(g, "add", NULL, graph_op2(g, "mul", NULL, c, act(g, f, ACTIVATION_SIGMOID)),
                      graph_op2(g, "mul", NULL, i, j));
        h = graph_op2(g, "mul", NULL, o, act(g, c, ACTIVATION_TANH));
    }
    return h;
}

/* The node and the unrolled layer give one loss and one gradient. */
static void test_node_against_unrolled(void **state)
{
    (void)state;
    static const int64_t hidden[] = { 1, 3, 20, 32, 70 };
    enum { ROWS = 70, MOST = 65536 };
    static float gradients[2][MOST];
    for (size_t i = 0; i < COUNT_OF(hidden); i++) {
        const struct op_rnn_args args = { BASIC, .hidden = hidden[i] };
        double losses[2];
        int64_t floats = 0;
        for (int k = 0; k < 2; k++) {
            struct rig rig = rig_new();
            struct pil_tensor *in[8], *out[8], *loss;
            in[0] = trained_x(rig.graph, ROWS, TIME, FEATURES);
            int count = add_weights(rig.graph, &args, FEATURES, in);
            struct pil_tensor *h =
                k ? unrolled(rig.graph, in[0], in[1], in[2], &args) : graph_op(rig.graph, "rnn", &args, in, count, out);
            loss = weighted_squares(rig.graph, h, 0.5f);
            graph_gradients(rig.graph, loss);
            rig_start(&rig, &loss, 1, 1, 5);
            struct tensor identity = bind_identity(rig.session, ROWS);
            rig_run(&rig, ROWS);
            losses[k] = session_scalar(rig.session, 0);
            floats = rig.floats;
            assert_true(floats <= MOST);
            memcpy(gradients[k], rig_gradients(&rig), (size_t)floats * sizeof(float));
            tensor_free(&identity);
            rig_free(&rig);
        }
        assert_true(fabs(losses[0] - losses[1]) <= 1e-6 * fabs(losses[1]));
        double error = golden_error(gradients[0], gradients[1], floats, 1.0);
        if (!(error <= 5e-6))
            fail_msg("%lld units: gradients differ by %g", (long long)hidden[i], error);
    }
}

/* Without saving, the same outputs. */
static void test_forward_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(layers); i++) {
        float outputs[2][4096];
        int64_t floats = 0;
        for (int k = 0; k < 2; k++) {
            struct op_rnn_args args = layers[i].args;
            struct tensor bound[2];
            args.forward_only = k;
            struct rig rig = start_layer(&args, BATCH, 1, bound);
            rig_run(&rig, BATCH);
            struct tensor out = session_fetch(rig.session, 1)->tensor, h = session_fetch(rig.session, 2)->tensor;
            floats = out.rows * out.cols + h.rows * h.cols;
            assert_true(floats <= (int64_t)COUNT_OF(outputs[0]));
            tensor_pack(&out, outputs[k]);
            tensor_pack(&h, outputs[k] + out.rows * out.cols);
            end_layer(&rig, bound);
        }
        if (memcmp(outputs[0], outputs[1], (size_t)floats * sizeof(float)) != 0)
            fail_msg("%s: outputs differ", layers[i].name);
    }
}

/* What does not fit is refused with the role and the shape that is needed. */
static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        struct op_rnn_args args;
        struct shape kernel, bias;
        const char *says;
    } cases[] = {
        { { BASIC, .hidden = 4 }, { 2, { 7, 15 } }, { 1, { 16 } }, "the kernel (input 2) must be float32 [7, 16]" },
        { { BASIC, .hidden = 4 }, { 2, { 7, 16 } }, { 1, { 4 } }, "the bias (input 3) must be float32 [16]" },
        { { BASIC, .hidden = 0 }, { 2, { 7, 16 } }, { 1, { 4 } }, "0 hidden units" },
        { { BASIC, .hidden = 4, .initial_state = true }, { 2, { 7, 16 } }, { 1, { 16 } }, "3 inputs given, 5 needed" },
        { { .cell = RNN_LSTM, .hidden = 4, .activation = ACTIVATION_GELU, .joined = true, .bias = true },
          { 2, { 7, 16 } },
          { 1, { 16 } },
          "this activation cannot be fused" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rig rig = rig_new();
        struct pil_tensor *x = graph_input(rig.graph, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, TIME, 3), false);
        graph_op3(rig.graph, "rnn", &cases[i].args, x, graph_variable(rig.graph, "k", cases[i].kernel, noise_init, true),
                  graph_variable(rig.graph, "b", cases[i].bias, noise_init, true));
        if (!strstr(graph_status(rig.graph)->message, cases[i].says))
            fail_msg("case %zu says: %s", i, graph_status(rig.graph)->message);
        graph_free(rig.graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_cells),
        cmocka_unit_test(test_numeric_gradients),
        cmocka_unit_test(test_tiles_and_threads),
        cmocka_unit_test(test_node_against_unrolled),
        cmocka_unit_test(test_forward_only),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
