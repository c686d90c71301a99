/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keras's recurrent layers: TensorFlow's outputs and gradients with masks and without, each as one node and made of small ops; dropout
 * of inputs and states; what is said of mistakes.
 */
#include "layers.h"
#include "graph/internal.h"
#include "pilaster/op.h"

enum { MOST = 4096 };

static const char *text_of(const struct json_value *map, const char *key, const char *otherwise, char out[64])
{
    struct json_value value;
    if (!json_get(map, key, &value))
        return otherwise;
    snprintf(out, 64, "%.*s", (int)value.text.size, value.text.data);
    return out;
}

static bool flag_of(const struct json_value *map, const char *key, bool otherwise)
{
    struct json_value value;
    return json_get(map, key, &value) ? value.flag : otherwise;
}

static enum rnn_cell cell_of(const struct json_value *item)
{
    char word[64];
    text_of(item, "cell", NULL, word);
    return strcmp(word, "lstm") == 0 ? RNN_LSTM : strcmp(word, "gru") == 0 ? RNN_GRU : RNN_SIMPLE;
}

/* ---- golden/rnn_keras.json --------------------------------------------------------------------------------------- */

struct golden_layer {
    struct rig rig;
    struct graph_rnn_options options;
    int64_t batch, time, features;
    char activation[64], recurrent[64];
    struct pil_tensor *output, *loss;
};

static void read_options(struct golden_layer *layer, const struct json_value *item)
{
    const struct json_value options = golden_get(item, "options"), weights = golden_get(item, "weights");
    const struct json_value recurrent = item_at(&weights, 1);
    layer->options = (struct graph_rnn_options){
        .cell = cell_of(item),
        .units = (int64_t)recurrent.count,
        .activation = text_of(&options, "activation", "tanh", layer->activation),
        .recurrent_activation = text_of(&options, "recurrent_activation", "sigmoid", layer->recurrent),
        .reset_after = flag_of(&options, "reset_after", true),
        .return_sequences = flag_of(&options, "return_sequences", false),
        .go_backwards = flag_of(&options, "go_backwards", false),
        .zero_output_for_mask = flag_of(&options, "zero_output_for_mask", false),
    };
}

static void build(struct golden_layer *layer, const struct json_value *item, enum dtype mask_dtype)
{
    struct pil_graph *g = layer->rig.graph;
    struct graph_rnn_options *o = &layer->options;
    const struct json_value options = golden_get(item, "options"), mask = golden_get(item, "mask");
    const int64_t all = o->units * (o->cell == RNN_LSTM ? 4 : o->cell == RNN_GRU ? 3 : 1);
    struct pil_tensor *x = trained_x(g, layer->batch, layer->time, layer->features);
    o->kernel = graph_variable(g, "kernel", SHAPE(layer->features, all), noise_init, true);
    o->recurrent_kernel = graph_variable(g, "recurrent_kernel", SHAPE(o->units, all), noise_init, true);
    if (flag_of(&options, "use_bias", true))
        o->bias = graph_variable(g, "bias", o->cell == RNN_GRU && o->reset_after ? SHAPE(2, all) : SHAPE(all), noise_init, true);
    if (mask.kind != JSON_NULL)
        o->mask = graph_input(g, "mask", mask_dtype, SHAPE(BATCH_DIM, layer->time), false);
    layer->output = graph_rnn(g, x, o);
    assert_ok(*graph_status(g));
    struct pil_tensor *by = graph_input(g, "output_weight", DTYPE_FLOAT32, layer->output->type.shape, false);
    layer->loss = total(g, graph_op2(g, "mul", NULL, layer->output, by));
    graph_gradients(g, layer->loss);
}

static void bind(struct golden_layer *layer, struct tensor *tensor, const char *name, enum dtype dtype, struct shape shape,
                 const float *values)
{
    assert_true(tensor_new(tensor, dtype, shape_with_batch(shape, layer->batch), true, &layer->rig.status));
    if (dtype == DTYPE_FLOAT32)
        tensor_unpack(values, tensor);
    for (int64_t n = 0; dtype == DTYPE_BOOL && n < tensor->rows * tensor->cols; n++)
        ((bool *)tensor->data)[n / tensor->cols * tensor->ld + n % tensor->cols] = values[n] != 0;
    session_input(layer->rig.session, name, &(struct op_value){ .tensor = *tensor });
}

static void run_golden(const struct json_value *item, int number, bool unrolled, enum dtype mask_dtype)
{
    static float values[MOST];
    struct json_value x = golden_get(item, "x"), row = item_at(&x, 0), step = item_at(&row, 0);
    struct golden_layer layer = {
        .rig = rig_new(), .batch = (int64_t)x.count, .time = (int64_t)row.count, .features = (int64_t)step.count
    };
    struct tensor by, mask = { 0 };
    layer.rig.graph->unrolls_cells = unrolled;
    read_options(&layer, item);
    build(&layer, item, mask_dtype);
    struct pil_tensor *fetches[] = { layer.loss, layer.output };
    rig_start(&layer.rig, fetches, 2, 1, 5);
    numbers(item, "x", values);
    tensor_unpack(values, &layer.rig.values[0]);
    struct json_value weights = golden_get(item, "weights"), gradients = golden_get(item, "gradients");
    assert_int_equal(weights.count, layer.options.bias ? 3 : 2);
    for (size_t v = 0; v < weights.count; v++) {
        struct json_value weight = item_at(&weights, (int64_t)v);
        flatten(&weight, values);
        tensor_unpack(values, &layer.rig.values[v + 1]);
    }
    numbers(item, "output_weight", values);
    bind(&layer, &by, "output_weight", DTYPE_FLOAT32, layer.output->type.shape, values);
    if (layer.options.mask) {
        numbers(item, "mask", values);
        bind(&layer, &mask, "mask", mask_dtype, SHAPE(BATCH_DIM, layer.time), values);
    }
    struct tensor identity = bind_identity(layer.rig.session, layer.batch);
    rig_run(&layer.rig, layer.batch);
    numbers(item, "output", values);
    check_close("output", number, &session_fetch(layer.rig.session, 1)->tensor, values);
    float *sums = rig_gradients(&layer.rig);
    numbers(item, "x_gradient", values);
    check_gradient(&layer.rig, sums, 0, number, values);
    for (size_t v = 0; v < weights.count; v++) {
        struct json_value gradient = item_at(&gradients, (int64_t)v);
        flatten(&gradient, values);
        check_gradient(&layer.rig, sums, v + 1, number, values);
    }
    tensor_free(&identity);
    tensor_free(&by);
    tensor_free(&mask);
    rig_free(&layer.rig);
}

static void keras_layers(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    int count = 0;
    assert_true(golden_open(&golden, "tests/golden/rnn_keras.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        run_golden(&item, count, false, DTYPE_FLOAT32);
        run_golden(&item, count, true, count % 2 ? DTYPE_BOOL : DTYPE_FLOAT32);
    }
    assert_int_equal(count, 53);
    golden_close(&golden);
}

/* ---- dropout: which draws a layer makes, and how they are shared ------------------------------------------------- */

enum { TIME = 3, FEATURES = 2, UNITS = 4 };

static struct pil_tensor *dropping(struct rig *rig, struct graph_rnn_options o)
{
    struct pil_graph *g = rig->graph;
    const int64_t all = UNITS * (o.cell == RNN_LSTM ? 4 : o.cell == RNN_GRU ? 3 : 1);
    o.units = UNITS;
    o.activation = o.activation ? o.activation : "tanh";
    o.recurrent_activation = "sigmoid";
    o.kernel = graph_variable(g, "kernel", SHAPE(FEATURES, all), noise_init, true);
    o.recurrent_kernel = graph_variable(g, "recurrent_kernel", SHAPE(UNITS, all), noise_init, true);
    o.bias = graph_variable(g, "bias", o.cell == RNN_GRU && o.reset_after ? SHAPE(2, all) : SHAPE(all), noise_init, true);
    return graph_rnn(g, graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, TIME, FEATURES), false), &o);
}

static int drops(const struct rig *rig, bool shared)
{
    int count = 0;
    for (size_t n = 0; n < rig->graph->node_count; n++) {
        const struct node *node = rig->graph->nodes[n];
        if (node->kind == NODE_OP && strcmp(node->row->name, "dropout") == 0)
            count += !shared || ((const struct op_dropout_args *)node->args)->noise_shape.rank == 3;
    }
    return count;
}

/* As Keras's: the whole x where a GPU could, else one mask for all steps, with recurrent_dropout one a gate. */
static void draws_by_layer(void **state)
{
    (void)state;
    static const struct {
        struct graph_rnn_options options;
        int all, shared;
        const char *op; /* of the result */
    } list[] = {
        { { .cell = RNN_LSTM, .dropout = 0.5f }, 1, 0, "rnn" },
        { { .cell = RNN_LSTM, .dropout = 0.5f, .activation = "relu" }, 1, 1, "rnn" },
        { { .cell = RNN_LSTM, .recurrent_dropout = 0.5f }, 4, 0, NULL },
        { { .cell = RNN_LSTM, .dropout = 0.5f, .recurrent_dropout = 0.5f }, 8, 0, NULL },
        { { .cell = RNN_GRU, .dropout = 0.5f, .reset_after = true }, 1, 0, "rnn" },
        { { .cell = RNN_GRU, .dropout = 0.5f }, 1, 1, "rnn" },
        { { .cell = RNN_GRU, .dropout = 0.5f, .recurrent_dropout = 0.5f }, 6, 0, NULL },
        { { .cell = RNN_SIMPLE, .dropout = 0.5f, .recurrent_dropout = 0.5f }, 2, 1, NULL },
        { { .cell = RNN_SIMPLE }, 0, 0, "rnn" },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        struct rig rig = rig_new();
        struct pil_tensor *y = dropping(&rig, list[i].options);
        assert_ok(*graph_status(rig.graph));
        assert_int_equal(drops(&rig, false), list[i].all);
        assert_int_equal(drops(&rig, true), list[i].shared);
        if (list[i].op)
            assert_string_equal(y->node->row->name, list[i].op);
        rig_free(&rig);
    }
}

/* h of a linear layer with recurrent weights of the identity and a bias of 1 counts the steps in each unit, but a unit whose state is
 * dropped stays at 1, step after step: h(t) = 1 + h(t - 1) / (1 - rate), or 1. */
static void one_mask_for_all_steps(void **state)
{
    (void)state;
    enum { ROWS = 40 };
    struct rig rig = rig_new();
    struct tensor x;
    struct pil_tensor *y =
        dropping(&rig, (struct graph_rnn_options){
                           .cell = RNN_SIMPLE, .activation = "linear", .recurrent_dropout = 0.5f, .return_sequences = true });
    rig_start(&rig, &y, 1, 1, 5);
    for (size_t v = 0; v < 3; v++)
        for (int64_t r = 0; r < rig.values[v].rows; r++)
            for (int64_t c = 0; c < rig.values[v].cols; c++)
                tensor_floats(&rig.values[v])[r * rig.values[v].ld + c] = v == 2 || (v == 1 && r == c) ? 1 : 0;
    assert_true(tensor_new(&x, DTYPE_FLOAT32, SHAPE(ROWS, TIME, FEATURES), true, &rig.status));
    session_input(rig.session, "x", &(struct op_value){ .tensor = x });
    rig_run(&rig, ROWS);
    float got[ROWS * TIME * UNITS];
    tensor_pack(&session_fetch(rig.session, 0)->tensor, got);
    int dropped = 0;
    for (int n = 0; n < ROWS * UNITS; n++) {
        const float *h = got + n / UNITS * TIME * UNITS + n % UNITS;
        const bool kept = h[UNITS] == 3;
        assert_true(h[0] == 1 && h[UNITS] == (kept ? 3 : 1) && h[2 * UNITS] == (kept ? 7 : 1));
        dropped += !kept;
    }
    assert_in_range(dropped, ROWS * UNITS / 3, ROWS * UNITS * 2 / 3);
    tensor_free(&x);
    rig_free(&rig);
}

/* ---- mistakes ---------------------------------------------------------------------------------------------------- */

static void mistakes(void **state)
{
    (void)state;
    static const struct {
        struct graph_rnn_options options;
        const char *says;
    } list[] = {
        { { .cell = RNN_LSTM, .activation = "tahn" }, "LSTM: there is no activation 'tahn'; did you mean 'tanh'?" },
        { { .cell = RNN_GRU, .dropout = 1 }, "GRU: its dropout is 1; a part from 0 to below 1 is needed" },
        { { .layer = "the layer r", .cell = RNN_SIMPLE, .recurrent_dropout = -1 }, "the layer r: its recurrent_dropout is -1;" },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        struct rig rig = rig_new();
        dropping(&rig, list[i].options);
        if (!strstr(graph_status(rig.graph)->message, list[i].says))
            fail_msg("%s, not %s", graph_status(rig.graph)->message, list[i].says);
        rig_free(&rig);
    }
    struct rig rig = rig_new();
    struct pil_tensor *x = graph_input(rig.graph, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3), false);
    graph_rnn(rig.graph, x, &(struct graph_rnn_options){ .cell = RNN_LSTM, .units = 2 });
    assert_non_null(
        strstr(graph_status(rig.graph)->message, "LSTM: its input, x, is float32 [?, 3]; float32 [?, time, features]"));
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keras_layers),
        cmocka_unit_test(draws_by_layer),
        cmocka_unit_test(one_mask_for_all_steps),
        cmocka_unit_test(mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
