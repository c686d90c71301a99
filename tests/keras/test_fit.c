/* SPDX-License-Identifier: Apache-2.0 */
/* Fits against Keras's own: the losses and metrics of each epoch, the weights at the end, evaluation and predictions. */
#include "golden_keras.h"

static void check_history(const pil_sequential *model, const struct json_value *history, const char *name)
{
    size_t count, want;
    float wanted[64];
    const double *have = pil_history_get(pil_sequential_history(model), name, &count);
    struct json_value list = golden_get(history, name);
    want = flatten(&list, wanted);
    assert_int_equal(count, want);
    for (size_t i = 0; i < count; i++)
        near(have[i], (double)wanted[i], 1e-4, name);
}

static void test_dense(void **state)
{
    static float x[MOST], y[MOST];
    float weights[3];
    struct golden golden;
    (void)state;
    assert_true(golden_open(&golden, "tests/golden/custom/keras_dense.json"));
    struct json_value xs = golden_get(&golden.root, "x"), ys = golden_get(&golden.root, "y");
    struct json_value ws = golden_get(&golden.root, "class_weight"), initial = golden_get(&golden.root, "initial");
    struct json_value final = golden_get(&golden.root, "final"), history = golden_get(&golden.root, "history");
    size_t rows = flatten(&xs, x) / 4;
    assert_int_equal(flatten(&ys, y), rows);
    assert_int_equal(flatten(&ws, weights), 3);
    pil_sequential *model = pil_sequential_new();
    pil_add_layer(model, pil_dense(8, .activation = "relu", .name = "XYZ", .input_shape = { 4 }));
    pil_add_layer(model, pil_dense(3, .activation = "softmax", .name = "out"));
    pil_compile(model, .loss = "sparse_categorical_crossentropy", .optimizer_object = pil_adam(0.01f, .legacy = true),
                .metrics = PIL_WORDS("accuracy"));
    ok(pil_sequential_status(model));
    ok(pil_sequential_build(model, (pil_row){ 0 }));
    each_weight(model, &initial, true, 0);
    ok(pil_fit(model, ((pil_array){ .floats = x, .rows = (int64_t)rows, .shape = { 4 } }), { .floats = y, .rows = (int64_t)rows },
               .batch_size = 16, .epochs = 4, .shuffle = false, .validation_split = 0.25, .class_weight = { weights, 3 }));
    check_history(model, &history, "loss");
    check_history(model, &history, "accuracy");
    check_history(model, &history, "val_loss");
    check_history(model, &history, "val_accuracy");
    each_weight(model, &final, false, 1e-4);
    pil_sequential_free(model);
    golden_close(&golden);
}

/* Embedding, LSTM, Dropout, Dense, with and without a mask. */
static void check_text(const char *path, bool mask, pil_optimizer optimizer, int threads)
{
    static float x[MOST], y[MOST], out[64], wanted[64];
    enum { TIME = 12, TRAINED = 128 };
    struct golden golden;
    pil_logs logs;
    assert_true(golden_open(&golden, path));
    struct json_value xs = golden_get(&golden.root, "x"), ys = golden_get(&golden.root, "y");
    struct json_value initial = golden_get(&golden.root, "initial"), final = golden_get(&golden.root, "final");
    struct json_value epochs = golden_get(&golden.root, "epoch_logs"), evaluated = golden_get(&golden.root, "evaluate");
    struct json_value predicted = golden_get(&golden.root, "predict");
    int64_t rows = (int64_t)flatten(&xs, x) / TIME;
    flatten(&ys, y);
    pil_sequential *model = pil_sequential_new();
    pil_sequential_threads(model, threads);
    pil_add_layer(model, pil_embedding(50, .output_dim = 16, .mask_zero = mask, .input_length = TIME));
    pil_add_layer(model, pil_lstm(8));
    pil_add_layer(model, pil_dropout(0));
    pil_add_layer(model, pil_dense(1, .activation = "sigmoid"));
    pil_compile(model, .loss = "binary_crossentropy", .optimizer_object = optimizer, .metrics = PIL_WORDS("accuracy"));
    ok(pil_sequential_status(model));
    ok(pil_sequential_build(model, (pil_row){ 0 }));
    each_weight(model, &initial, true, 0);
    ok(pil_fit(model, ((pil_array){ .floats = x, .rows = TRAINED, .shape = { TIME } }), { .floats = y, .rows = TRAINED },
               .batch_size = 16, .epochs = 5, .shuffle = false));
    size_t i = 0, count;
    struct json_value epoch;
    for (struct json_walk walk = json_children(&epochs); json_next(&walk, NULL, &epoch); i++) {
        near(pil_history_get(pil_sequential_history(model), "loss", &count)[i], (double)golden_number(&epoch, "loss", 0), 1e-4,
             "loss");
        near(pil_history_get(pil_sequential_history(model), "accuracy", &count)[i], (double)golden_number(&epoch, "accuracy", 0),
             1e-4, "accuracy");
    }
    assert_int_equal(i, 5);
    each_weight(model, &final, false, 1e-4);
    pil_array rest = { .floats = x + TRAINED * TIME, .rows = rows - TRAINED, .shape = { TIME } };
    ok(pil_sequential_evaluate(model, rest, ((pil_array){ .floats = y + TRAINED, .rows = rows - TRAINED }), &logs,
                               .batch_size = 16));
    near(pil_logs_get(&logs, "loss"), (double)golden_number(&evaluated, "loss", 0), 1e-4, "evaluated loss");
    near(pil_logs_get(&logs, "accuracy"), (double)golden_number(&evaluated, "accuracy", 0), 1e-4, "evaluated accuracy");
    ok(pil_sequential_predict(model, rest, 32, out, (size_t)(rows - TRAINED)));
    assert_int_equal(flatten(&predicted, wanted), rows - TRAINED);
    for (int64_t k = 0; k < rows - TRAINED; k++)
        near((double)out[k], (double)wanted[k], 1e-3, "prediction");
    pil_sequential_free(model);
    golden_close(&golden);
}

static void test_text(void **state)
{
    (void)state;
    check_text("tests/golden/custom/keras_text.json", false, pil_rmsprop(0.01f, .legacy = true), 1);
    check_text("tests/golden/custom/keras_text.json", false, pil_rmsprop(0.01f, .legacy = true), 3);
}

static void test_text_mask(void **state)
{
    (void)state;
    check_text("tests/golden/custom/keras_text_mask.json", true, pil_adam(0.01f, .legacy = true), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
