/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses and metrics by Keras's words against its numbers. The model is a table with a row for each row of predictions, so that a step
 * of descent with the rate 1 leaves predictions less the loss's gradient.
 */
#include "golden_keras.h"

enum { ROWS = 12 };

struct data {
    float labels[64], predictions[64], ids[ROWS], weights[ROWS];
    int64_t label_width, width;
};

static void read_data(const struct json_value *root, const struct json_value *c, struct data *d)
{
    char name[64];
    struct json_value all = golden_get(root, "data"), which = golden_get(c, "data"), weights = golden_get(root, "weights");
    snprintf(name, sizeof name, "%.*s", (int)which.text.size, which.text.data);
    struct json_value set = golden_get(&all, name), labels = golden_get(&set, "labels"), values = golden_get(&set, "predictions");
    d->label_width = (int64_t)flatten(&labels, d->labels) / ROWS;
    d->width = (int64_t)flatten(&values, d->predictions) / ROWS;
    assert_int_equal(flatten(&weights, d->weights), ROWS);
    for (int i = 0; i < ROWS; i++)
        d->ids[i] = (float)i;
}

static pil_sequential *new_model(const struct data *d)
{
    pil_sequential *model = pil_sequential_new();
    pil_add_layer(model, pil_embedding(ROWS, .output_dim = d->width, .input_length = 1, .name = "table"));
    pil_add_layer(model, pil_flatten());
    ok(pil_sequential_build(model, (pil_row){ { 0 } }));
    ok(pil_sequential_set_weight(model, "table/embeddings", d->predictions, (size_t)(ROWS * d->width)));
    return model;
}

static pil_array labels_of(const struct data *d)
{
    return (pil_array){ .floats = d->labels, .rows = ROWS, .shape = { d->label_width } };
}

static void text_of(const struct json_value *map, const char *key, char out[64])
{
    struct json_value value = golden_get(map, key);
    snprintf(out, 64, "%.*s", (int)value.text.size, value.text.data);
}

static void check_loss(const struct json_value *root, const struct json_value *c)
{
    static float moved[64], gradient[64];
    char name[64];
    struct data d;
    pil_logs logs;
    struct json_value options = golden_get(c, "options"), from_logits, wanted = golden_get(c, "gradient");
    read_data(root, c, &d);
    text_of(c, "loss", name);
    pil_keras_loss loss = pil_keras_loss_named(name);
    loss.from_logits = json_get(&options, "from_logits", &from_logits);
    loss.label_smoothing = golden_number(&options, "label_smoothing", 0);
    loss.delta = golden_number(&options, "delta", 1);
    pil_sequential *model = new_model(&d);
    pil_compile(model, .loss_object = loss, .optimizer_object = pil_sgd(1.0f, .legacy = true));
    ok(pil_sequential_status(model));
    pil_array ids = { .floats = d.ids, .rows = ROWS };
    ok(pil_sequential_evaluate(model, ids, labels_of(&d), &logs, .batch_size = ROWS));
    near(pil_logs_get(&logs, "loss"), (double)golden_number(c, "plain", 0), 1e-5, name);
    ok(pil_sequential_evaluate(model, ids, labels_of(&d), &logs, .batch_size = ROWS, .sample_weight = d.weights));
    near(pil_logs_get(&logs, "loss"), (double)golden_number(c, "weighted", 0), 1e-5, name);
    ok(pil_fit(model, ids, labels_of(&d), .batch_size = ROWS, .epochs = 1, .shuffle = false, .sample_weight = d.weights));
    ok(pil_sequential_get_weight(model, "table/embeddings", moved, (size_t)(ROWS * d.width)));
    flatten(&wanted, gradient);
    for (int64_t i = 0; i < ROWS * d.width; i++) {
        double have = (double)d.predictions[i] - (double)moved[i];
        if (!(fabs(have - (double)gradient[i]) <= 1e-6 + 2e-5 * fabs((double)gradient[i])))
            fail_msg("%s: gradient %d is %.9g, Keras's %.9g", name, (int)i, have, (double)gradient[i]);
    }
    pil_sequential_free(model);
}

static void test_losses(void **state)
{
    struct golden golden;
    int count = 0;
    (void)state;
    assert_true(golden_open(&golden, "tests/golden/keras_losses.json"));
    struct json_value cases = golden_get(&golden.root, "losses"), item;
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++)
        check_loss(&golden.root, &item);
    assert_int_equal(count, 21);
    golden_close(&golden);
}

static void check_metric(const struct json_value *root, const struct json_value *c)
{
    char name[64], curve[64] = "";
    struct data d;
    pil_logs logs;
    struct json_value options = golden_get(c, "options"), value;
    read_data(root, c, &d);
    text_of(c, "metric", name);
    if (json_get(&options, "curve", &value))
        text_of(&options, "curve", curve);
    pil_keras_metric metric = { .metric = name, .name = "plain", .curve = curve[0] ? curve : NULL };
    metric.threshold = golden_number(&options, "thresholds", 0);
    bool has_options = metric.curve || metric.threshold != 0;
    pil_sequential *model = new_model(&d);
    const char *const words[] = { name };
    const char *loss = d.width > 1 && d.label_width == 1 ? "sparse_categorical_crossentropy" : "mse";
    pil_compile(model, .loss = loss, .optimizer = "sgd", .metric_objects = PIL_KERAS_METRICS(metric),
                .weighted_metrics = { words, has_options ? 0 : 1 });
    ok(pil_sequential_status(model));
    pil_array ids = { .floats = d.ids, .rows = ROWS };
    ok(pil_sequential_evaluate(model, ids, labels_of(&d), &logs, .batch_size = 5, .sample_weight = d.weights));
    near(pil_logs_get(&logs, "plain"), (double)golden_number(c, "plain", 0), 1e-5, name);
    if (!has_options)
        near(logs.values[logs.count - 1].value, (double)golden_number(c, "weighted", 0), 1e-5, name);
    pil_sequential_free(model);
}

static void test_metrics(void **state)
{
    struct golden golden;
    int count = 0;
    (void)state;
    assert_true(golden_open(&golden, "tests/golden/keras_losses.json"));
    struct json_value cases = golden_get(&golden.root, "metrics"), item;
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++)
        check_metric(&golden.root, &item);
    assert_int_equal(count, 21);
    golden_close(&golden);
}

/* "accuracy" is the one that fits, and names that would be equal are numbered. */
static void test_names(void **state)
{
    static const float x[4] = { 0, 1, 2, 3 }, y[4] = { 0, 1, 1, 0 };
    pil_logs logs;
    (void)state;
    pil_sequential *model = pil_sequential_new();
    pil_add_layer(model, pil_dense(1, .activation = "sigmoid"));
    pil_compile(model, .loss = "bce", .metrics = PIL_WORDS("acc", "AUC", "TruePositives", "mse"),
                .metric_objects = PIL_KERAS_METRICS({ .metric = "AUC", .curve = "PR" }));
    ok(pil_sequential_evaluate(model, ((pil_array){ .floats = x, .rows = 4 }), ((pil_array){ .floats = y, .rows = 4 }), &logs,
                               .batch_size = 3));
    static const char *const names[] = { "loss", "acc", "auc", "true_positives", "mse", "auc_1" };
    assert_int_equal(logs.count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(logs.values[i].name, names[i]);
    pil_sequential_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
