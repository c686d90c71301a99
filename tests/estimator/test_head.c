/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads: a custom model over feature columns that ends in a head is the canned estimator of the same model, to the bytes of its
 * checkpoint, its metrics and its predictions; and what a head predicts follows from its logits.
 */
#include "custom.h"
#include "models.h"

/* ---- the same model twice ---- */

static void write_rows(void)
{
    FILE *file = fopen(scratch_path("rows.csv"), "w");
    assert_non_null(file);
    fprintf(file, "a,b,word,weight,value,both,answer,colour\n");
    for (int r = 0; r < CUSTOM_ROWS; r++)
        fprintf(file, "%.9g,%.9g,%s,%.9g,%.9g,%.9g|%.9g,%s,%s\n", (double)custom_x[r][0], (double)custom_x[r][1], custom_word[r],
                (double)custom_weight[r], (double)custom_y[r], (double)custom_y[r], (double)-custom_x[r][2], custom_answer[r],
                custom_word[(r * 5) % CUSTOM_ROWS]);
    fclose(file);
}

struct twin {
    const char *name, *label, *params; /* of the model file */
    pil_head head;
    bool deep;
};

static pil_dataset *rows_of(const struct twin *twin, int64_t epochs)
{
    return pil_csv_dataset(PIL_WORDS(scratch_path("rows.csv")), CUSTOM_BATCH, .label_name = twin->label, .shuffle = false,
                           .num_epochs = epochs, .label_dimension = twin->head.label_dimension,
                           .fields = twin->head.label_dimension > 1 ? PIL_CSV_FIELDS({ twin->label, PIL_TYPE_FLOAT32, '|', 0 })
                                                                    : (pil_csv_fields){ 0 });
}

static pil_dataset *input_train(void *params)
{
    return rows_of(params, 0);
}

static pil_dataset *input_eval(void *params)
{
    return rows_of(params, 1);
}

static pil_estimator_spec twin_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    static const char *const colours[] = { "red", "green", "blue" };
    const struct twin *twin = params;
    pil_columns *columns = pil_columns_new();
    pil_column *a = pil_numeric_column(columns, "a"), *b = pil_numeric_column(columns, "b");
    pil_column *word = pil_categorical_column_with_vocabulary_list(columns, "word", colours, 3);
    const int64_t units = pil_head_logits_dimension(&twin->head);
    pil_tensor *logits;
    pil_optimizer optimizer;
    if (twin->deep) {
        pil_tensor *x = pil_input_layer(features, PIL_KEYS(a, b, pil_indicator_column(columns, word)),
                                        .name = "dnn/input_from_feature_columns/input_layer");
        x = pil_layers_dense(g, x, 4, .activation = PIL_ACTIVATION_RELU, .name = "dnn/hiddenlayer_0");
        logits = pil_layers_dense(g, x, units, .name = "dnn/logits");
        optimizer = pil_adagrad(0.001f, .legacy = true);
    } else {
        logits = pil_linear_model(features, PIL_KEYS(a, b, word), .units = units, .name = "linear/linear_model");
        optimizer = pil_ftrl(0.2f, .legacy = true);
    }
    pil_estimator_spec spec = pil_head_spec(&twin->head, features, mode, logits, targets, .optimizer = &optimizer);
    pil_columns_free(columns);
    return spec;
}

static const char file_text[] = "estimator: %s\n"
                                "label: %s\n"
                                "columns:\n"
                                "  a: {numeric_column: {}}\n"
                                "  b: {numeric_column: {}}\n"
                                "  word: {categorical_column_with_vocabulary_list: {vocabulary_list: [red, green, blue]}}\n"
                                "  ind: {indicator_column: {categorical_column: word}}\n"
                                "params: {%s}\n"
                                "input: {train: rows.csv, eval: rows.csv, batch_size: 4, shuffle: false%s}\n"
                                "train: {max_steps: 9}\n"
                                "eval: {steps: null}\n"
                                "run: {model_dir: %s, tf_random_seed: 7}\n";

static struct model *model_of(const struct twin *twin, const char *estimator)
{
    char text[2048];
    snprintf(text, sizeof text, file_text, estimator, twin->label, twin->params,
             twin->head.label_dimension > 1 ? ", fields: {both: {separator: '|'}}" : "", scratch_path(twin->name));
    return load_well(text);
}

/* Predictions of the canned estimator, row behind row. */
struct canned {
    pil_predictions *custom;
    int64_t rows;
};

static bool compare_batch(void *context, const pil_output *outputs, size_t count, const struct batch *raw, pil_status *status)
{
    struct canned *canned = context;
    (void)status;
    for (int64_t r = 0; r < raw->rows; r++, canned->rows++) {
        assert_true(pil_predictions_next(canned->custom));
        for (size_t i = 0; i < count; i++) {
            size_t width;
            const float *values = pil_predictions_get(canned->custom, outputs[i].name, &width);
            const int64_t row = output_row(&outputs[i], r);
            assert_non_null(values);
            assert_int_equal(width, outputs[i].width);
            assert_memory_equal(values, outputs[i].floats + row * outputs[i].width, width * sizeof *values);
            const char *word = pil_predictions_word(canned->custom, outputs[i].name);
            assert_true((word != NULL) == (outputs[i].strings != NULL));
            if (word)
                assert_string_equal(word, outputs[i].strings[row * outputs[i].width]);
        }
    }
    return true;
}

static void compare(const struct twin *twin, const char *estimator_name)
{
    char own[64];
    pil_status status = { 0 };
    pil_train_spec train;
    pil_eval_spec eval;
    pil_result theirs, ours;
    struct model *model = model_of(twin, estimator_name);
    struct pil_estimator *canned = model_estimator(model, NULL, 1);
    model_specs(model, &train, &eval);
    expect_ok(pil_train_and_evaluate(canned, &train, &eval, &theirs));

    pil_run_config config = pil_run_config_default();
    config.tf_random_seed = 7;
    snprintf(own, sizeof own, "%s-custom", twin->name);
    pil_estimator *custom = pil_estimator_new(&(pil_estimator_config){
        .model_fn = twin_model, .model_dir = scratch_path(own), .config = &config, .params = (void *)twin });
    expect_ok(pil_train_and_evaluate(custom, &(pil_train_spec){ .input_fn = input_train, .max_steps = 9 },
                                     &(pil_eval_spec){ .input_fn = input_eval, .steps = PIL_ALL }, &ours));
    assert_memory_equal(&theirs, &ours, sizeof ours);
    assert_int_equal(ours.global_step, 9);

    struct canned rows = { .custom = pil_predict(custom, input_eval) };
    if (!estimator_predict(canned, model_eval_input, NULL, 0, compare_batch, &rows, &status))
        fail_msg("%s", status.message);
    assert_int_equal(rows.rows, CUSTOM_ROWS);
    assert_false(pil_predictions_next(rows.custom));
    expect_ok(pil_predictions_close(rows.custom));
    pil_estimator_free(custom);
    pil_estimator_free(canned);
    model_free(model);
    /* Definitions of columns ride along, and the two have another set of them; the weights are all of the data file. */
    char a[96], b[96];
    snprintf(a, sizeof a, "%s/model.ckpt-9", twin->name);
    snprintf(b, sizeof b, "%s/model.ckpt-9", own);
    struct bundle *x = bundle_open(scratch_path(a), &status), *y = bundle_open(scratch_path(b), &status);
    assert_true(status_ok(&status));
    assert_int_equal(bundle_count(x), bundle_count(y));
    for (size_t i = 0; i < bundle_count(x); i++) {
        const struct bundle_entry *left = bundle_at(x, i), *right = bundle_find(y, left->name);
        if (!right)
            fail_msg("%s: the custom model has no %s", twin->name, left->name);
        char *p = calloc(1, (size_t)left->bytes + 1), *q = calloc(1, (size_t)left->bytes + 1);
        assert_int_equal(left->bytes, right->bytes);
        if (left->dtype == DTYPE_FLOAT32 || left->dtype == DTYPE_INT64) {
            assert_true(bundle_read(x, left, p, &status) && bundle_read(y, right, q, &status));
            assert_memory_equal(p, q, (size_t)left->bytes);
        }
        free(p);
        free(q);
    }
    bundle_close(x);
    bundle_close(y);
}

static void test_regression(void **state)
{
    (void)state;
    const struct twin plain = { "value", "value", "feature_columns: [a, b, word]", pil_regression_head(1), false };
    const struct twin weighted = { "weighted", "value", "feature_columns: [a, b, word], weight_column: weight",
                                   pil_regression_head(1, .weight_column = "weight"), false };
    const struct twin two = { "two", "both", "feature_columns: [a, b, word], label_dimension: 2, loss_reduction: sum",
                              pil_regression_head(2, .loss_reduction = PIL_REDUCTION_SUM), false };
    compare(&plain, "linear_regressor");
    compare(&weighted, "linear_regressor");
    compare(&two, "linear_regressor");
}

static void test_binary(void **state)
{
    (void)state;
    const pil_words words = PIL_WORDS("no", "yes");
    const struct twin wide = { "wide", "answer",
                               "feature_columns: [a, b, word], weight_column: weight, label_vocabulary: [no, yes]",
                               pil_binary_class_head("weight", .label_vocabulary = words), false };
    const struct twin deep = { "deep", "answer", "feature_columns: [a, b, ind], hidden_units: [4], label_vocabulary: [no, yes]",
                               pil_binary_class_head(NULL, .label_vocabulary = words), true };
    compare(&wide, "linear_classifier");
    compare(&deep, "dnn_classifier");
}

static void test_multi_class(void **state)
{
    (void)state;
    const pil_words words = PIL_WORDS("blue", "green", "red");
    const char *vocabulary = "n_classes: 3, label_vocabulary: [blue, green, red]";
    char wide_params[128], deep_params[128];
    snprintf(wide_params, sizeof wide_params, "feature_columns: [a, b, word], %s", vocabulary);
    snprintf(deep_params, sizeof deep_params, "feature_columns: [a, b, ind], hidden_units: [4], weight_column: weight, %s",
             vocabulary);
    const struct twin wide = { "colour", "colour", wide_params, pil_multi_class_head(3, .label_vocabulary = words), false };
    const struct twin deep = { "colours", "colour", deep_params,
                               pil_multi_class_head(3, .label_vocabulary = words, .weight_column = "weight"), true };
    compare(&wide, "linear_classifier");
    compare(&deep, "dnn_classifier");
}

/* ---- what is predicted ---- */

/* Logits are the features. */
static pil_estimator_spec bare_binary(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                      void *params)
{
    const pil_head head = pil_binary_class_head(NULL);
    const pil_optimizer sgd = pil_gradient_descent_optimizer(0.1f);
    (void)params;
    return pil_head_spec(&head, features, mode, custom_layer(g, pil_feature(features, "x")), targets, .optimizer = &sgd);
}

static pil_estimator_spec bare_multi(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    const pil_head head = pil_multi_class_head(3);
    const pil_optimizer sgd = pil_gradient_descent_optimizer(0.1f);
    (void)params;
    pil_tensor *logits = pil_layers_dense(g, pil_feature(features, "x"), 3);
    return pil_head_spec(&head, features, mode, logits, targets, .optimizer = &sgd);
}

static const float *get(pil_predictions *predictions, const char *name, size_t expected)
{
    size_t count;
    const float *values = pil_predictions_get(predictions, name, &count);
    assert_int_equal(count, expected);
    assert_non_null(values);
    return values;
}

static void test_binary_predictions(void **state)
{
    (void)state;
    pil_estimator *estimator = custom_new(bare_binary, "bare", 1);
    custom_train(estimator, input_class, 3);
    pil_predictions *predictions = pil_predict(estimator, input_unlabelled);
    for (int r = 0; r < CUSTOM_ROWS; r++) {
        assert_true(pil_predictions_next(predictions));
        double logit = (double)get(predictions, "logits", 1)[0], p = 1 / (1 + exp(-logit));
        const float *probabilities = get(predictions, "probabilities", 2), *all = get(predictions, "all_class_ids", 2);
        assert_true(fabs((double)get(predictions, "logistic", 1)[0] - p) < 1e-6);
        assert_true(fabs((double)probabilities[1] - p) < 1e-6 && fabs((double)probabilities[0] - (1 - p)) < 1e-6);
        assert_true(get(predictions, "class_ids", 1)[0] == (float)(logit > 0));
        assert_string_equal(pil_predictions_word(predictions, "classes"), logit > 0 ? "1" : "0");
        assert_true(all[0] == 0 && all[1] == 1);
        assert_string_equal(pil_predictions_word(predictions, "all_classes"), "0");
        assert_null(pil_predictions_word(predictions, "class_ids"));
    }
    assert_false(pil_predictions_next(predictions));
    expect_ok(pil_predictions_close(predictions));
    pil_estimator_free(estimator);
}

static void test_multi_class_predictions(void **state)
{
    (void)state;
    pil_estimator *estimator = custom_new(bare_multi, "bare3", 1);
    custom_train(estimator, input_class3, 3);
    pil_predictions *predictions = pil_predict(estimator, input_unlabelled);
    assert_true(pil_predictions_next(predictions));
    const float *logits = get(predictions, "logits", 3), *probabilities = get(predictions, "probabilities", 3);
    double sum = exp((double)logits[0]) + exp((double)logits[1]) + exp((double)logits[2]);
    int best = 0;
    for (int c = 0; c < 3; c++) {
        assert_true(fabs((double)probabilities[c] - exp((double)logits[c]) / sum) < 1e-6);
        best = logits[c] > logits[best] ? c : best;
    }
    assert_true(get(predictions, "class_ids", 1)[0] == (float)best);
    assert_int_equal(pil_predictions_word(predictions, "classes")[0], '0' + best);
    assert_null(pil_predictions_get(predictions, "logistic", NULL));
    get(predictions, "all_class_ids", 3);
    expect_ok(pil_predictions_close(predictions));
    pil_estimator_free(estimator);
}

static void test_dimensions(void **state)
{
    (void)state;
    const pil_head regression = pil_regression_head(3), binary = pil_binary_class_head(NULL), multi = pil_multi_class_head(7);
    assert_int_equal(pil_head_logits_dimension(&regression), 3);
    assert_int_equal(pil_head_logits_dimension(&binary), 1);
    assert_int_equal(pil_head_logits_dimension(&multi), 7);
    const pil_head plain = pil_head_default(PIL_HEAD_MULTI_CLASS);
    assert_true(plain.kind == PIL_HEAD_MULTI_CLASS && plain.loss_reduction == PIL_REDUCTION_SUM_OVER_BATCH_SIZE);
    assert_null(pil_head_spec_options_default().labels);
}

static int set_up(void **state)
{
    custom_set_up(state);
    write_rows();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regression),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_multi_class),
        cmocka_unit_test(test_binary_predictions),
        cmocka_unit_test(test_multi_class_predictions),
        cmocka_unit_test(test_dimensions),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_tear_down);
}
