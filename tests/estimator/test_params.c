/* SPDX-License-Identifier: Apache-2.0 */
/* The estimators' arguments: defaults of optimizers as TensorFlow has them, words as people copy them, and what is refused. */
#include "models.h"

#include <math.h>

#define COLUMNS                                                                                                                  \
    "columns:\n"                                                                                                                 \
    "  x: {numeric_column: {}}\n"                                                                                                \
    "  h: {categorical_column_with_hash_bucket: {hash_bucket_size: 10}}\n"                                                       \
    "  e: {embedding_column: {categorical_column: h, dimension: 2}}\n"

/* ---- optimizers ---------------------------------------------------------------------------------------------- */

/* Of an estimator: what its linear and its deep part get. Columns: h and x, or as many as `columns` says. */
struct optimizer_case {
    const char *estimator, *params;
    int tensorflow, columns;
    const char *linear, *dnn; /* classes, or NULL */
    double linear_rate, dnn_rate;
};
static const struct optimizer_case optimizer_cases[] = {
    { "linear_regressor", "", 2, 1, "Ftrl", NULL, 0.2, 0 },
    { "linear_regressor", "optimizer: null, ", 2, 1, "Ftrl", NULL, 0.2, 0 },
    { "linear_regressor", "optimizer: null, ", 2, 100, "Ftrl", NULL, 0.1, 0 },
    { "linear_regressor", "", 2, 100, "Ftrl", NULL, 0.2, 0 },
    { "linear_classifier", "optimizer: Adam, ", 2, 100, "Adam", NULL, 0.2, 0 },
    { "linear_classifier", "optimizer: {adam: {}}, ", 2, 1, "Adam", NULL, 0.001, 0 },
    { "linear_classifier", "", 1, 1, "Ftrl", NULL, 0.2, 0 },
    { "dnn_regressor", "", 2, 1, NULL, "Adagrad", 0, 0.001 },
    { "dnn_regressor", "optimizer: SGD, ", 2, 1, NULL, "SGD", 0, 0.01 },
    { "dnn_regressor", "optimizer: RMSProp, ", 2, 1, NULL, "RMSprop", 0, 0.001 },
    { "dnn_classifier", "optimizer: {adagrad: {learning_rate: 0.3}}, ", 2, 1, NULL, "Adagrad", 0, 0.3 },
    { "dnn_classifier", "", 1, 1, NULL, "Adagrad", 0, 0.05 },
    { "dnn_classifier", "optimizer: SGD, ", 1, 1, NULL, "SGD", 0, 0.05 },
    { "dnn_linear_combined_regressor", "", 2, 1, "Ftrl", "Adagrad", 0.005, 0.001 },
    { "dnn_linear_combined_regressor", "", 2, 40000, "Ftrl", "Adagrad", 0.005, 0.001 },
    { "dnn_linear_combined_regressor", "linear_optimizer: SGD, dnn_optimizer: SGD, ", 2, 1, "SGD", "SGD", 0.005, 0.001 },
    { "dnn_linear_combined_classifier", "linear_optimizer: null, dnn_optimizer: null, ", 2, 1, "Ftrl", "Adagrad", 0.005, 0.001 },
    { "dnn_linear_combined_classifier", "", 1, 1, "Ftrl", "Adagrad", 0.005, 0.001 },
    { "baseline_classifier", "", 2, 0, "Ftrl", NULL, 0.3, 0 },
    { "baseline_regressor", "optimizer: Adam, ", 2, 0, "Adam", NULL, 0.3, 0 },
};

static void print_columns(struct text *text, const char *name, int columns, bool dense)
{
    text_format(text, "%s: [", name);
    for (int i = 0; i < columns; i++)
        text_format(text, "%s%d, ", dense ? "d" : "c", i);
    text_format(text, "], ");
}

static void optimizer_model(const struct optimizer_case *c, struct text *text)
{
    int columns = MIN(c->columns, 100);

    text_format(text, "tensorflow: %d\nestimator: %s\nlabel: y\ncolumns:\n", c->tensorflow, c->estimator);
    for (int i = 0; i < columns; i++)
        text_format(text, "  c%d: {categorical_column_with_identity: {num_buckets: 3}}\n  d%d: {numeric_column: {}}\n", i, i);
    text_format(text, "params: {%s", c->params);
    if (strncmp(c->estimator, "linear", 6) == 0)
        print_columns(text, "feature_columns", columns, false);
    else if (strncmp(c->estimator, "dnn_linear", 10) == 0) {
        print_columns(text, "linear_feature_columns", columns, false);
        print_columns(text, "dnn_feature_columns", columns, true);
        text_format(text, "dnn_hidden_units: [2]");
    } else if (strncmp(c->estimator, "dnn", 3) == 0) {
        print_columns(text, "feature_columns", columns, true);
        text_format(text, "hidden_units: [2]");
    }
    text_format(text, "}\n");
}

static void assert_optimizer(const struct optimizer *optimizer, const char *name, double rate, int tensorflow)
{
    if (!name) {
        assert_null(optimizer->row);
        return;
    }
    assert_string_equal(optimizer_class(optimizer), name);
    assert_true(fabs(optimizer->options.learning_rate.rate - rate) < 1e-12);
    assert_int_equal(optimizer->flavour, tensorflow == 1 ? FLAVOUR_V1 : FLAVOUR_KERAS_LEGACY);
}

static void test_optimizers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(optimizer_cases); i++) {
        const struct optimizer_case *c = &optimizer_cases[i];
        struct text text = { 0 };
        optimizer_model(c, &text);
        struct model *model = load_well(text.data);
        assert_optimizer(&model->linear_optimizer, c->linear, c->linear_rate, c->tensorflow);
        assert_optimizer(&model->dnn_optimizer, c->dnn, c->dnn_rate, c->tensorflow);
        model_free(model);
        text_free(&text);
    }
}

/* ---- words --------------------------------------------------------------------------------------------------- */

static struct model *load_params(const char *estimator, const char *params)
{
    struct text text = { 0 };

    text_format(&text, "estimator: %s\nlabel: y\n" COLUMNS "params: {%s}\n", estimator, params);
    struct model *model = load_well(text.data);
    text_free(&text);
    return model;
}

static void test_activations(void **state)
{
    static const struct {
        const char *word;
        enum activation activation;
    } cases[] = {
        { "relu", ACTIVATION_RELU },     { "tf.nn.relu", ACTIVATION_RELU },
        { "ReLU", ACTIVATION_RELU },     { "tf.keras.activations.swish", ACTIVATION_SWISH },
        { "silu", ACTIVATION_SWISH },    { "null", ACTIVATION_LINEAR },
        { "linear", ACTIVATION_LINEAR }, { "tf.nn.relu6", ACTIVATION_RELU6 },
        { "gelu", ACTIVATION_GELU },     { "tf.nn.leaky_relu", ACTIVATION_LEAKY_RELU },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char params[200];
        snprintf(params, sizeof params, "feature_columns: [x], hidden_units: [2], activation_fn: %s", cases[i].word);
        struct model *model = load_params("dnn_regressor", params);
        assert_int_equal(model->activation, cases[i].activation);
        model_free(model);
    }
    struct model *model = load_params("dnn_regressor", "feature_columns: [x], hidden_units: []");
    assert_int_equal(model->activation, ACTIVATION_RELU); /* the default, and no hidden layer is allowed */
    assert_int_equal(model->hidden_units.count, 0);
    model_free(model);
}

static void test_heads(void **state)
{
    static const struct {
        const char *estimator, *params;
        pil_head_kind kind;
        int64_t classes, dimension;
        pil_reduction reduction;
    } cases[] = {
        { "baseline_regressor", "label_dimension: 3", PIL_HEAD_REGRESSION, 0, 3, PIL_REDUCTION_SUM_OVER_BATCH_SIZE },
        { "baseline_classifier", "", PIL_HEAD_BINARY, 2, 1, PIL_REDUCTION_SUM_OVER_BATCH_SIZE },
        { "baseline_classifier", "n_classes: 5", PIL_HEAD_MULTI_CLASS, 5, 1, PIL_REDUCTION_SUM_OVER_BATCH_SIZE },
        { "baseline_classifier", "loss_reduction: SUM", PIL_HEAD_BINARY, 2, 1, PIL_REDUCTION_SUM },
        { "baseline_classifier", "loss_reduction: tf.losses.Reduction.MEAN", PIL_HEAD_BINARY, 2, 1, PIL_REDUCTION_MEAN },
        { "baseline_classifier", "loss_reduction: weighted_sum", PIL_HEAD_BINARY, 2, 1, PIL_REDUCTION_SUM },
        { "baseline_classifier", "loss_reduction: null", PIL_HEAD_BINARY, 2, 1, PIL_REDUCTION_SUM_OVER_BATCH_SIZE },
        { "baseline_classifier", "label_vocabulary: [no, yes]", PIL_HEAD_BINARY, 2, 1, PIL_REDUCTION_SUM_OVER_BATCH_SIZE },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct model *model = load_params(cases[i].estimator, cases[i].params);
        assert_int_equal(model->head.kind, cases[i].kind);
        assert_int_equal(model->head.n_classes, cases[i].classes);
        assert_int_equal(model->head.label_dimension, cases[i].dimension);
        assert_int_equal(model->head.loss_reduction, cases[i].reduction);
        assert_int_equal(model->head.tensorflow, 2);
        model_free(model);
    }
}

static void test_model_dir(void **state)
{
    struct model *model = load_params("baseline_regressor", "model_dir: here");

    (void)state;
    assert_string_equal(path_base(model->run.model_dir), "here");
    model_free(model);
}

static void test_warm_start(void **state)
{
    struct model *model = load_params("baseline_regressor", "warm_start_from: other/model.ckpt-3");
    char expected[600], *yaml, *folder = realpath(scratch_folder, NULL);

    (void)state;
    snprintf(expected, sizeof expected, "%s/other/model.ckpt-3", scratch_folder);
    assert_string_equal(model->warm_start_from, expected);
    yaml = printed(model);
    snprintf(expected, sizeof expected, "  warm_start_from: %s/other/model.ckpt-3\n", folder);
    assert_non_null(strstr(yaml, expected));
    free(yaml);
    free(folder);
    model_free(model);
}

static void test_one_half(void **state)
{
    struct model *model = load_params("dnn_linear_combined_regressor", "linear_feature_columns: [h], dnn_feature_columns: []");

    (void)state;
    assert_int_equal(model->linear_count, 1);
    assert_int_equal(model->dnn_count, 0);
    model_free(model);
    model = load_params("dnn_linear_combined_regressor", "dnn_feature_columns: [x, e], dnn_hidden_units: [3]");
    assert_int_equal(model->linear_count, 0);
    assert_int_equal(model->dnn_count, 2);
    model_free(model);
}

/* ---- what is refused ----------------------------------------------------------------------------------------- */

/* params stand in line 7, their values begin in column 9. */
static const struct {
    const char *estimator, *params, *error;
    pil_code code;
} wrong[] = {
    { "linear_regressor", "{}", "7:9: linear_regressor needs 'feature_columns' (list of columns)", PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: null}", "7:27: linear_regressor needs 'feature_columns': it cannot be null",
      PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: []}", "7:27: feature_columns is an empty list: name a column",
      PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: x}", "7:27: feature_columns takes a list of columns: [name, ...]",
      PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x, [h]]}",
      "7:31: feature_columns takes the names of columns, which are described under columns", PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x, hx]}", "7:31: there is no column 'hx'; did you mean 'x'?",
      PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x, weekday]}", "7:31: there is no column 'weekday'", PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x, h, x]}", "7:34: feature_columns has the column 'x' twice",
      PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x], n_classes: 3}",
      "7:32: linear_regressor has no argument 'n_classes'; linear_classifier has it", PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x], label_vocabulary: [a]}",
      "7:32: linear_regressor has no argument 'label_vocabulary'; linear_classifier has it", PIL_INVALID_ARGUMENT },
    { "linear_classifier", "{feature_columns: [x], label_dimension: 3}",
      "7:32: linear_classifier has no argument 'label_dimension'; linear_regressor has it", PIL_INVALID_ARGUMENT },
    { "linear_classifier", "{feature_columns: [x], n_classes: 1}", "7:43: n_classes must be from 2 to 16777216, not 1",
      PIL_INVALID_ARGUMENT },
    { "linear_classifier", "{feature_columns: [x], n_classes: two}", "7:43: n_classes takes an integer, not 'two'",
      PIL_INVALID_ARGUMENT },
    { "linear_classifier", "{feature_columns: [x], n_classes: 3, label_vocabulary: [a, b]}",
      "7:64: label_vocabulary has 2 words for n_classes 3", PIL_INVALID_ARGUMENT },
    { "linear_classifier", "{feature_columns: [x], label_vocabulary: [a, a]}", "7:54: label_vocabulary has 'a' twice",
      PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x], label_dimension: 0}", "7:49: label_dimension must be from 1 to 16777216, not 0",
      PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x], hidden_units: [3]}", "7:32: linear_regressor has no argument 'hidden_units'",
      PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x], sparse_combiner: avg}",
      "7:49: sparse_combiner takes sum, mean or sqrtn, not 'avg'", PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x], loss_reduction: summ}",
      "7:48: loss_reduction takes sum_over_batch_size, sum, sum_by_nonzero_weights or mean, not 'summ'; did you mean 'sum'?",
      PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x], optimizer: Ftrll}",
      "7:43: no optimizer is called 'Ftrll'; did you mean 'ftrl'?", PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x], optimizer: {ftrl: {learning_rat: 1}}}",
      "7:51: ftrl has no argument 'learning_rat'; did you mean 'learning_rate'?", PIL_INVALID_ARGUMENT },
    { "linear_regressor", "{feature_columns: [x], config: {tf_random_seed: 1}}", "7:40: config stands under run, field by field",
      PIL_UNSUPPORTED },
    { "linear_regressor", "{feature_columns: [x], warm_start_from: {ckpt_to_initialize_from: x}}",
      "7:49: warm_start_from takes a checkpoint or a folder; settings are not in this version", PIL_UNSUPPORTED },
    { "linear_regressor", "{feature_columns: [x], clip_gradients: -5}", "7:48: clip_gradients must be at least 0, not -5",
      PIL_INVALID_ARGUMENT },
    { "linear_regressor", "[x]", "7:9: linear_regressor takes its arguments as a map: {name: value, ...}", PIL_INVALID_ARGUMENT },
    { "dnn_regressor", "{feature_columns: [x]}", "7:9: dnn_regressor needs 'hidden_units' (list of integers)",
      PIL_INVALID_ARGUMENT },
    { "dnn_regressor", "{hidden_units: [3]}", "7:9: dnn_regressor needs 'feature_columns' (list of columns)",
      PIL_INVALID_ARGUMENT },
    { "dnn_regressor", "{hidden_units: [3], feature_columns: [x, h]}",
      "7:50: feature_columns takes dense columns, and 'h' is a categorical_column_with_hash_bucket", PIL_INVALID_ARGUMENT },
    { "dnn_regressor", "{hidden_units: 3, feature_columns: [x]}",
      "7:24: hidden_units takes a list of integers, not the single value '3'", PIL_INVALID_ARGUMENT },
    { "dnn_regressor", "{hidden_units: [3, 0], feature_columns: [x]}",
      "7:28: item 2 of hidden_units must be from 1 to 16777216, not 0", PIL_INVALID_ARGUMENT },
    { "dnn_regressor", "{hidden_units: [3], feature_columns: [x], dropout: 1}",
      "7:60: dropout must be below 1: something must be left", PIL_INVALID_ARGUMENT },
    { "dnn_regressor", "{hidden_units: [3], feature_columns: [x], dropout: -0.1}", "7:60: dropout must be from 0 to 1, not -0.1",
      PIL_INVALID_ARGUMENT },
    { "dnn_regressor", "{hidden_units: [3], feature_columns: [x], batch_norm: 2}",
      "7:63: batch_norm takes true or false, not '2'", PIL_INVALID_ARGUMENT },
    { "dnn_regressor", "{hidden_units: [3], feature_columns: [x], activation_fn: rely}",
      "7:66: activation_fn takes linear, relu, sigmoid, tanh, elu, selu, softplus, softsign, exponential, gelu, swish, "
      "hard_sigmoid, leaky_relu, relu6 or mish, not 'rely'; did you mean 'relu'?",
      PIL_INVALID_ARGUMENT },
    { "dnn_regressor", "{hidden_units: [3], feature_columns: [x], optimizer: [adam]}",
      "7:62: an optimizer is a name or one of them with arguments: {adagrad: {learning_rate: 0.05}}", PIL_INVALID_ARGUMENT },
    { "dnn_linear_combined_regressor", "{}",
      "7:9: dnn_linear_combined_regressor needs linear_feature_columns or dnn_feature_columns", PIL_INVALID_ARGUMENT },
    { "dnn_linear_combined_regressor", "{dnn_feature_columns: [x]}",
      "7:9: dnn_linear_combined_regressor needs dnn_hidden_units for its dnn_feature_columns, such as [64, 32]",
      PIL_INVALID_ARGUMENT },
    { "dnn_linear_combined_regressor", "{dnn_feature_columns: [x], dnn_hidden_units: []}",
      "7:54: dnn_linear_combined_regressor needs dnn_hidden_units for its dnn_feature_columns, such as [64, 32]",
      PIL_INVALID_ARGUMENT },
    { "dnn_linear_combined_regressor", "{dnn_feature_columns: [h], dnn_hidden_units: [2]}",
      "7:32: dnn_feature_columns takes dense columns, and 'h' is a categorical_column_with_hash_bucket", PIL_INVALID_ARGUMENT },
    { "dnn_linear_combined_regressor", "{feature_columns: [x]}",
      "7:10: dnn_linear_combined_regressor has no argument 'feature_columns'; did you mean 'dnn_feature_columns'?",
      PIL_INVALID_ARGUMENT },
    { "baseline_regressor", "{feature_columns: [x]}", "7:10: baseline_regressor has no argument 'feature_columns'",
      PIL_INVALID_ARGUMENT },
    { "baseline_classifier", "{model_dir: /a/b}", "7:21: model_dir is '/a/b' here and '/m' under run", PIL_INVALID_ARGUMENT },
};

static void test_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        pil_status status = { 0 };
        struct text text = { 0 }, expected = { 0 };
        text_format(&text, "estimator: %s\nlabel: y\n" COLUMNS "params: %s\nrun: {model_dir: %s}\n", wrong[i].estimator,
                    wrong[i].params, strstr(wrong[i].params, "{model_dir: /a") ? "/m" : "null");
        assert_null(load_with(text.data, NULL, 0, &status));
        text_format(&expected, "m.yaml:%s", wrong[i].error);
        assert_string_equal(first_line(&status), expected.data);
        assert_int_equal(status.code, wrong[i].code);
        text_free(&text);
        text_free(&expected);
    }
}

/* Params that are not there at all: the place is the file's. The remedy stands in a line of its own. */
static void test_places(void **state)
{
    pil_status status = { 0 };

    (void)state;
    assert_null(load_with("# one\nestimator: linear_regressor\nlabel: y\n", NULL, 0, &status));
    assert_string_equal(first_line(&status), "m.yaml:2:1: linear_regressor needs 'feature_columns' (list of columns)");
    status_clear(&status);
    assert_null(load_with("estimator: dnn_regressor\nlabel: y\n" COLUMNS "params: {hidden_units: [2], feature_columns: [h]}\n",
                          NULL, 0, &status));
    assert_non_null(strstr(status.message, "\n          take an embedding_column or an indicator_column of it"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_optimizers), cmocka_unit_test(test_activations), cmocka_unit_test(test_heads),
        cmocka_unit_test(test_model_dir),  cmocka_unit_test(test_warm_start),  cmocka_unit_test(test_one_half),
        cmocka_unit_test(test_wrong),      cmocka_unit_test(test_places),
    };

    return cmocka_run_group_tests(tests, models_setup, models_teardown);
}
