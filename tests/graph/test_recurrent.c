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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keras_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
