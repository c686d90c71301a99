/* SPDX-License-Identifier: Apache-2.0 */
/* Layers against Keras's: names of weights, predictions, and two epochs of training; and what is wrong with a model. */
#include "golden_keras.h"

enum { ROWS = 6, MOST_LAYERS = 4 };

/* Keras's names to layers, as tests/golden/keras_layers.json has them. */
static void add_layers(pil_sequential *m, const char *name)
{
    const struct {
        const char *name;
        pil_layer layers[MOST_LAYERS];
    } cases[] = {
        { "dense_max_norm", { pil_dense(3, .kernel_constraint = pil_max_norm(0.5f, 0), .bias_constraint = pil_non_neg()) } },
        { "dense_unit_norm", { pil_dense(3, .kernel_constraint = pil_unit_norm(1)) } },
        { "dense_min_max_norm", { pil_dense(3, .kernel_constraint = pil_min_max_norm(0.4f, 0.6f, 0.7f, 0)) } },
        { "embedding_non_neg",
          { pil_embedding(7, .output_dim = 3, .embeddings_constraint = pil_non_neg()), pil_flatten(), pil_dense(2) } },
        { "embedding_max_norm",
          { pil_embedding(7, .output_dim = 3, .embeddings_constraint = pil_max_norm(0.3f, 1)), pil_flatten(),
            pil_dense(2, .kernel_constraint = pil_max_norm(2, 0)) } },
        { "dense", { pil_dense(3, .activation = "tanh"), pil_dense(2) } },
        { "dense_sequence", { pil_dense(2, .activation = "relu") } },
        { "dense_no_bias", { pil_dense(3, .activation = "selu", .use_bias = false) } },
        { "dense_regularized",
          { pil_dense(3, .kernel_regularizer = pil_l1_l2(0.01f, 0.02f), .bias_regularizer = pil_l2(0.01f)) } },
        { "activations", { pil_dense(4), pil_activation_layer("swish"), pil_dense(4), pil_activation_layer("softmax") } },
        { "embedding", { pil_embedding(7, .output_dim = 3), pil_flatten(), pil_dense(2) } },
        { "embedding_average", { pil_embedding(7, .output_dim = 3), pil_global_average_pooling1d(), pil_dense(1) } },
        { "embedding_average_mask",
          { pil_embedding(7, .output_dim = 3, .mask_zero = true), pil_global_average_pooling1d(), pil_dense(1) } },
        { "embedding_max", { pil_embedding(7, .output_dim = 3), pil_global_max_pooling1d() } },
        { "reshape", { pil_reshape_layer(PIL_ROW(2, -1)), pil_dense(3), pil_flatten() } },
        { "masking_lstm", { pil_masking(), pil_lstm(3) } },
        { "lstm", { pil_lstm(3, .return_sequences = true), pil_lstm(2) } },
        { "lstm_backwards", { pil_lstm(3, .return_sequences = true, .go_backwards = true) } },
        { "lstm_activations", { pil_lstm(3, .activation = "relu", .recurrent_activation = "hard_sigmoid") } },
        { "lstm_no_bias", { pil_lstm(3, .use_bias = false) } },
        { "gru", { pil_gru(3) } },
        { "gru_before", { pil_gru(3, .reset_after = false, .return_sequences = true) } },
        { "gru_mask", { pil_embedding(7, .output_dim = 3, .mask_zero = true), pil_gru(2) } },
        { "gru_mask_sequence",
          { pil_embedding(7, .output_dim = 3, .mask_zero = true), pil_gru(3, .return_sequences = true), pil_gru(2) } },
        { "simple", { pil_simple_rnn(3) } },
        { "simple_mask",
          { pil_embedding(7, .output_dim = 3, .mask_zero = true),
            pil_simple_rnn(3, .return_sequences = true, .go_backwards = true), pil_global_average_pooling1d() } },
        { "bidirectional", { pil_bidirectional(pil_lstm(2)) } },
        { "bidirectional_sequence", { pil_bidirectional(pil_gru(2, .return_sequences = true), .merge_mode = "sum") } },
        { "bidirectional_mask",
          { pil_embedding(7, .output_dim = 3, .mask_zero = true),
            pil_bidirectional(pil_lstm(2, .return_sequences = true), .merge_mode = "mul"), pil_global_average_pooling1d() } },
        { "bidirectional_ave_mask",
          { pil_embedding(7, .output_dim = 3, .mask_zero = true), pil_bidirectional(pil_simple_rnn(2), .merge_mode = "ave") } },
        { "batch_normalization", { pil_dense(3), pil_batch_normalization(.momentum = 0.9f), pil_dense(1) } },
        { "batch_normalization_sequence", { pil_batch_normalization(.scale = false) } },
        { "layer_normalization", { pil_layer_normalization(), pil_dense(2) } },
        { "conv1d", { pil_conv1d_layer(2, 3, .activation = "relu"), pil_flatten(), pil_dense(1) } },
        { "conv1d_same", { pil_conv1d_layer(2, 2, .strides = 2, .padding = "same") } },
        { "conv1d_causal", { pil_conv1d_layer(2, 2, .dilation_rate = 2, .padding = "causal", .use_bias = false) } },
        { "max_pooling1d", { pil_dense(2), pil_max_pooling1d(.pool_size = 2) } },
        { "max_pooling1d_same", { pil_dense(2), pil_max_pooling1d(.pool_size = 3, .strides = 2, .padding = "same") } },
        { "average_pooling1d", { pil_dense(2), pil_average_pooling1d(.padding = "same") } },
        { "time_distributed", { pil_time_distributed(pil_dense(2, .activation = "tanh")), pil_lstm(2) } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (strcmp(cases[i].name, name) == 0) {
            for (int k = 0; k < MOST_LAYERS && cases[i].layers[k].class_name; k++)
                pil_add_layer(m, cases[i].layers[k]);
            return;
        }
    fail_msg("no layers for '%s'", name);
}

static void check_names(pil_sequential *model, const struct json_value *names)
{
    const char *name;
    size_t i = 0;
    struct json_value item;
    for (struct json_walk walk = json_children(names); json_next(&walk, NULL, &item); i++) {
        assert_true(pil_sequential_weight(model, i, &name, NULL));
        if (!slice_is(item.text, name))
            fail_msg("weight %zu is %s, Keras's %.*s", i, name, (int)item.text.size, item.text.data);
    }
}

static void check_case(const struct json_value *c, int threads)
{
    static float x[MOST], y[MOST], out[MOST], wanted[MOST];
    char name[64];
    struct json_value label = golden_get(c, "name"), xs = golden_get(c, "x"), ys = golden_get(c, "y");
    struct json_value names = golden_get(c, "names"), initial = golden_get(c, "initial"), final = golden_get(c, "final");
    struct json_value predicted = golden_get(c, "predict"), losses = golden_get(c, "loss");
    snprintf(name, sizeof name, "%.*s", (int)label.text.size, label.text.data);
    int64_t width = (int64_t)flatten(&xs, x) / ROWS, outputs = (int64_t)flatten(&ys, y) / ROWS;
    pil_sequential *model = pil_sequential_new();
    pil_sequential_threads(model, threads);
    if (width == 15)
        pil_add_layer(model, pil_input(PIL_ROW(5, 3), .name = "x"));
    else
        pil_add_layer(model, pil_input(PIL_ROW(width), .name = "x"));
    add_layers(model, name);
    pil_compile(model, .loss = "mse", .optimizer_object = pil_sgd(0.05f, .legacy = true));
    ok(pil_sequential_build(model, (pil_row){ { 0 } }));
    check_names(model, &names);
    each_weight(model, &initial, true, 0);
    pil_array data = { .floats = x, .rows = ROWS, .shape = { width == 15 ? 5 : width, width == 15 ? 3 : 0 } };
    ok(pil_sequential_predict(model, data, 4, out, (size_t)(ROWS * outputs)));
    assert_int_equal(flatten(&predicted, wanted), ROWS * outputs);
    for (int64_t i = 0; i < ROWS * outputs; i++)
        if (!(fabs((double)out[i] - (double)wanted[i]) <= 1e-5 * fmax(1, fabs((double)wanted[i]))))
            fail_msg("%s: output %d is %.9g, Keras's %.9g", name, (int)i, (double)out[i], (double)wanted[i]);
    ok(pil_fit(model, data, { .floats = y, .rows = ROWS, .shape = { outputs } }, .batch_size = 4, .epochs = 2, .shuffle = false));
    size_t count;
    const double *have = pil_history_get(pil_sequential_history(model), "loss", &count);
    assert_int_equal(flatten(&losses, wanted), count);
    for (size_t i = 0; i < count; i++)
        near(have[i], (double)wanted[i], 2e-5, name);
    each_weight(model, &final, false, 2e-5);
    pil_sequential_free(model);
}

static void test_layers(void **state)
{
    struct golden golden;
    (void)state;
    assert_true(golden_open(&golden, "tests/golden/keras_layers.json"));
    struct json_value cases = golden_get(&golden.root, "cases"), item;
    int count = 0;
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++)
        check_case(&item, 1 + count % 3);
    assert_int_equal(count, 40);
    golden_close(&golden);
}

/* ---- mistakes ---- */

enum { MISTAKES = 20 };

/* What is wrong, told by the model, or by a fit to rows [4] with labels [1]. */
static void make_mistake(pil_sequential *m, int number)
{
    switch (number) {
    case 0:
        pil_add_layer(m, pil_dense(0));
        break;
    case 1:
        pil_add_layer(m, pil_dense(1, .activation = "relv"));
        break;
    case 2:
        pil_add_layer(m, pil_lstm(3));
        break;
    case 3:
        pil_add_layer(m, pil_dense(2, .name = "a")), pil_add_layer(m, pil_dense(1, .name = "a"));
        break;
    case 4:
        pil_add_layer(m, pil_dense(1, .kernel_initializer = { "he_norml" }));
        break;
    case 5:
        pil_add_layer(m, pil_embedding(3, .output_dim = 2)), pil_add_layer(m, pil_flatten()), pil_add_layer(m, pil_dense(1));
        break;
    case 6:
        pil_add_layer(m, pil_dense(1)), pil_add_layer(m, pil_dropout(1));
        break;
    case 7:
        pil_add_layer(m, pil_dense(1)), pil_add_layer(m, pil_input(PIL_ROW(4)));
        break;
    case 8:
        pil_add_layer(m, pil_reshape_layer(PIL_ROW(3, -1)));
        break;
    case 9:
        pil_add_layer(m, pil_dense(1, .input_shape = { 5 }));
        break;
    case 10:
        pil_add_layer(m, (pil_layer){ 0 });
        break;
    case 11:
        pil_add_layer(m, pil_bidirectional(pil_dense(2)));
        break;
    case 12:
        pil_add_layer(m, pil_dense(3));
        break;
    case 13:
        pil_add_layer(m, pil_dense(3, .activation = "softmax"));
        break;
    case 14:
        break;
    case 15:
        pil_add_layer(m, pil_time_distributed(pil_dense(2)));
        break;
    case 16:
        pil_add_layer(m, pil_reshape_layer(PIL_ROW(2, 2))), pil_add_layer(m, pil_conv1d_layer(1, 3));
        break;
    case 17:
        pil_add_layer(m, pil_reshape_layer(PIL_ROW(2, 2))),
            pil_add_layer(m, pil_bidirectional(pil_gru(2), .merge_mode = "concta"));
        break;
    case 18:
        pil_add_layer(m, pil_dense(1));
        break;
    case 19:
        pil_add_layer(m, pil_dense(1));
        break;
    default:
        fail();
    }
}

static void test_mistakes(void **state)
{
    static const char *const messages[MISTAKES] = {
        "the layer dense: units is 0: at least 1 is needed",
        "the layer dense: there is no activation 'relv'; did you mean 'relu'?",
        "the layer lstm: LSTM takes rows [time, features], it is given [4]",
        "the model has two layers 'a': names are unique",
        "the layer dense: there is no initializer 'he_norml'; did you mean 'he_normal'?",
        "embedding",
        "the layer dropout: rate is 1: it is from 0 to below 1",
        "Input stands first in a model; here it would be layer 2",
        "the layer reshape: rows of [4] have 4 elements and cannot become [3, ?]",
        "the layer dense: the model takes rows of [5], the data have [4] in 'dense_input'",
        "layer 1 is of no class: layers come from pil_dense(...) and its like",
        "the layer bidirectional: Bidirectional takes an LSTM, a GRU or a SimpleRNN, not a Dense",
        "the loss binary_crossentropy: the model gives rows of [3], the labels are rows of [1]: "
        "sparse_categorical_crossentropy takes a number of a class",
        "the loss binary_crossentropy: the model gives rows of [3], the labels are rows of [1]",
        "the model has no layers: pil_add_layer appends one",
        "the layer time_distributed: Dense takes rows [time, ...], it is given [4]",
        "the layer conv1d: rows of [2, 2] are too short for windows of 3 steps",
        "the layer bidirectional: there is no merge_mode 'concta'; did you mean 'concat'?",
        "pil_fit: validation_split is 1: it is from 0 to below 1",
        "pil_fit: x has 6 rows, y has 5",
    };
    static const float x[ROWS * 4] = { 1, 2, 7, 2, 1, 0, 1, 2, 1, 1, 1, 1 }, y[ROWS] = { 0, 1, 1, 0, 1, 0 };
    (void)state;
    for (int i = 0; i < MISTAKES; i++) {
        pil_sequential *model = pil_sequential_new();
        make_mistake(model, i);
        pil_compile(model, .loss = "binary_crossentropy", .optimizer = "adam");
        pil_status status = pil_fit(model, ((pil_array){ .floats = x, .rows = ROWS, .shape = { 4 } }),
                                    { .floats = y, .rows = i == 19 ? 5 : ROWS }, .validation_split = i == 18 ? 1 : 0);
        if (status.code == PIL_OK || !strstr(status.message, messages[i]) || strchr(status.message, '\n'))
            fail_msg("mistake %d: %s", i, status.message);
        pil_sequential_free(model);
    }
}

static void test_compile_mistakes(void **state)
{
    static const struct {
        pil_compile_options options;
        const char *message;
    } cases[] = {
        { { .optimizer = "adam" }, "pil_compile: a loss is needed" },
        { { .optimizer = "adam", .loss = "mes" }, "pil_compile: there is no loss 'mes'; did you mean 'mse'?" },
        { { .optimizer = "adm", .loss = "mse" }, "pil_compile: no optimizer is called 'adm'; did you mean 'adam'?" },
        { { .optimizer = "adam", .loss_object = { .name = "mse", .from_logits = true } },
          "pil_compile: the loss mse has no from_logits" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pil_sequential *model = pil_sequential_new();
        pil_add_layer(model, pil_dense(1));
        pil_compile_make(model, &cases[i].options);
        pil_status status = pil_sequential_status(model);
        if (status.code == PIL_OK || !strstr(status.message, cases[i].message))
            fail_msg("%s, not %s", status.message, cases[i].message);
        pil_sequential_free(model);
    }
    pil_sequential_free(NULL);
}

/* Every optimizer word, newer and legacy, trains a small model to less loss. */
static void test_optimizers(void **state)
{
    static const char *const words[] = { "SGD",   "rmsprop", "Adam",        "adadelta",   "adagrad",     "Adamax",
                                         "nadam", "Ftrl",    "legacy/adam", "legacy/SGD", "legacy/ftrl", "legacy/nadam" };
    static const float x[8] = { 0, 1, 0, 1, 1, 0, 1, 0 }, y[8] = { 0, 1, 0, 1, 1, 0, 1, 0 };
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t count;
        pil_sequential *model = pil_sequential_new();
        pil_add_layer(model, pil_embedding(2, .output_dim = 3, .input_length = 1));
        pil_add_layer(model, pil_flatten());
        pil_add_layer(model, pil_dense(1));
        pil_compile(model, .loss = "mse", .optimizer = words[i]);
        ok(pil_sequential_status(model));
        ok(pil_fit(model, ((pil_array){ .floats = x, .rows = 8 }), { .floats = y, .rows = 8 }, .batch_size = 3, .epochs = 30));
        const double *loss = pil_history_get(pil_sequential_history(model), "loss", &count);
        assert_int_equal(count, 30);
        if (!(loss[29] < loss[0]))
            fail_msg("%s: %g, then %g", words[i], loss[0], loss[29]);
        pil_sequential_free(model);
    }
}

/* What a layer was given may go as soon as it was added. */
static void test_copies(void **state)
{
    char name[] = "first", activation[] = "relu", initializer[] = "ones";
    float kernel[2];
    (void)state;
    pil_sequential *model = pil_sequential_new();
    pil_add_layer(
        model, pil_dense(1, .activation = activation, .name = name, .kernel_initializer = { initializer }, .input_shape = { 2 }));
    memset(name, 'x', sizeof name - 1);
    memset(activation, 'x', sizeof activation - 1);
    memset(initializer, 'x', sizeof initializer - 1);
    ok(pil_sequential_build(model, (pil_row){ { 0 } }));
    ok(pil_sequential_get_weight(model, "first/kernel", kernel, 2));
    assert_true(kernel[0] == 1 && kernel[1] == 1);
    pil_sequential_free(model);
}

/* Feature columns as the first layer: of words and numbers of a dataset. */
static void test_dense_features(void **state)
{
    static const char *const words[] = { "a", "b", "c", "b", "a", "c" }, *const known[] = { "a", "b" };
    static const float numbers[] = { 1, 2, 3, 4, 5, 6 }, y[] = { 0, 1, 1, 1, 0, 1 };
    const char *name;
    size_t count;
    (void)state;
    pil_columns *columns = pil_columns_new();
    pil_column *word = pil_categorical_column_with_vocabulary_list(columns, "word", known, 2, .num_oov_buckets = 1);
    pil_column *list[] = { pil_numeric_column(columns, "number"), pil_embedding_column(columns, word, 2) };
    ok(pil_columns_status(columns));
    pil_sequential *model = pil_sequential_new();
    pil_add_layer(model, pil_dense_features({ list, 2 }));
    pil_add_layer(model, pil_dense(1, .activation = "sigmoid"));
    pil_compile(model, .loss = "binary_crossentropy", .optimizer_object = pil_adam(0.1f));
    pil_dataset *dataset = pil_dataset_from_arrays(
        PIL_ARRAYS({ "word", .strings = words, .rows = ROWS }, { "number", .floats = numbers, .rows = ROWS }), true,
        .y = { .floats = y, .rows = ROWS }, .batch_size = 4);
    pil_fit_options options = pil_fit_options_default();
    options.epochs = 40;
    ok(pil_fit_dataset(model, dataset, &options));
    const double *loss = pil_history_get(pil_sequential_history(model), "loss", &count);
    assert_true(count == 40 && loss[39] < 0.5 * loss[0]);
    assert_true(pil_sequential_weight(model, 0, &name, NULL));
    assert_string_equal(name, "dense_features/word_embedding/embedding_weights");
    pil_status status = pil_fit(model, ((pil_array){ .floats = numbers, .rows = ROWS }), { .floats = y, .rows = ROWS });
    assert_non_null(strstr(status.message, "the model's first layer takes feature columns"));
    pil_dataset_free(dataset);
    pil_sequential_free(model);
    pil_columns_free(columns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),     cmocka_unit_test(test_mistakes), cmocka_unit_test(test_compile_mistakes),
        cmocka_unit_test(test_optimizers), cmocka_unit_test(test_copies),   cmocka_unit_test(test_dense_features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
