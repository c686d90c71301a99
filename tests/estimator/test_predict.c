/* SPDX-License-Identifier: Apache-2.0 */
/* Predictions row by row: their order, names, words and shapes, the end of the data, and callers who do not wait for it. */
#include "custom.h"

/* Predictions of several shapes, and one that is the same for all rows. */
static pil_estimator_spec many_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    static const char *const words[] = { "below", "above" };
    (void)params;
    pil_tensor *x = pil_feature(features, "x");
    pil_tensor *y = custom_layer(g, x);
    pil_estimator_spec spec = custom_spec(g, y, targets, mode);
    pil_tensor *parts[] = { x, pil_mul(g, x, pil_scalar(g, 2)) };
    spec.predictions = PIL_DICT(g, { "predicted", y }, { "x", x }, { "box", pil_stack(g, parts, 2, 1) },
                                { "sign", pil_greater(g, x, pil_scalar(g, 0)), .words = words, .word_count = 2 },
                                { "constant", pil_constant(g, (float[]){ 3, 4, 5 }, PIL_SHAPE(3)) });
    return spec;
}

static void test_names_and_shapes(void **state)
{
    (void)state;
    size_t count;
    pil_estimator *estimator = custom_new(many_model, "many", 2);
    custom_train(estimator, input_endless, 2);
    pil_predictions *predictions = pil_predict(estimator, input_unlabelled);
    assert_null(pil_predictions_get(predictions, "x", &count)); /* no row yet */
    assert_int_equal(count, 0);
    for (int r = 0; r < CUSTOM_ROWS; r++) {
        assert_true(pil_predictions_next(predictions));
        const float *x = pil_predictions_get(predictions, "x", &count);
        assert_int_equal(count, CUSTOM_WIDTH);
        assert_memory_equal(x, custom_x[r], sizeof custom_x[r]);
        const float *box = pil_predictions_get(predictions, "box", &count);
        assert_int_equal(count, 2 * CUSTOM_WIDTH);
        for (int i = 0; i < CUSTOM_WIDTH; i++)
            assert_true(box[i] == custom_x[r][i] && box[CUSTOM_WIDTH + i] == 2 * custom_x[r][i]);
        assert_string_equal(pil_predictions_word(predictions, "sign"), custom_x[r][0] > 0 ? "above" : "below");
        const float *constant = pil_predictions_get(predictions, "constant", &count);
        assert_int_equal(count, 3);
        assert_true(constant[0] == 3 && constant[2] == 5);
        assert_null(pil_predictions_get(predictions, "y", &count));
        assert_int_equal(count, 0);
        assert_null(pil_predictions_word(predictions, "x"));
        assert_null(pil_predictions_word(predictions, "y"));
        assert_non_null(pil_predictions_get(predictions, "predicted", NULL));
    }
    assert_false(pil_predictions_next(predictions));
    assert_null(pil_predictions_get(predictions, "x", &count));
    assert_false(pil_predictions_next(predictions));
    expect_ok(pil_predictions_close(predictions));
    assert_null(pil_predictions_get(predictions = pil_predict(estimator, input_once), NULL, NULL));
    assert_true(pil_predictions_next(predictions));
    assert_null(pil_predictions_get(predictions, NULL, NULL));
    expect_ok(pil_predictions_close(predictions));
    expect_ok(pil_predictions_close(NULL));
    pil_estimator_free(estimator);
}

/* What is read of a row does not depend on the batch that it comes in, nor on the label that may stand beside it. */
static pil_dataset *input_single(void *params)
{
    (void)params;
    return pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = custom_x[0], .rows = CUSTOM_ROWS, .shape = { CUSTOM_WIDTH } }),
                                   false, .batch_size = 1);
}

static pil_dataset *input_large(void *params)
{
    (void)params;
    return pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = custom_x[0], .rows = CUSTOM_ROWS, .shape = { CUSTOM_WIDTH } }),
                                   false, .y = { .floats = custom_y, .rows = CUSTOM_ROWS }, .batch_size = 100);
}

static void read_all(pil_estimator *estimator, pil_input_fn input, float *out)
{
    pil_predictions *predictions = pil_predict(estimator, input);
    int rows = 0;
    for (; pil_predictions_next(predictions); rows++)
        out[rows] = pil_predictions_get(predictions, "predicted", NULL)[0];
    assert_int_equal(rows, CUSTOM_ROWS);
    expect_ok(pil_predictions_close(predictions));
}

static void test_batches(void **state)
{
    (void)state;
    float some[CUSTOM_ROWS], single[CUSTOM_ROWS], large[CUSTOM_ROWS];
    pil_estimator *estimator = custom_new(custom_model, "batches", 3);
    custom_train(estimator, input_endless, 3);
    read_all(estimator, input_once, some);
    read_all(estimator, input_single, single);
    read_all(estimator, input_large, large);
    assert_memory_equal(some, single, sizeof some);
    assert_memory_equal(some, large, sizeof some);
    pil_estimator_free(estimator);
}

/* ---- the end, and what comes before it ---- */

static void test_early_close(void **state)
{
    (void)state;
    float values[CUSTOM_ROWS];
    pil_estimator *estimator = custom_new(custom_model, "early", 2);
    custom_train(estimator, input_endless, 2);
    for (int rows = 0; rows < 6; rows++) {
        pil_predictions *predictions = pil_predict(estimator, input_endless);
        for (int r = 0; r < rows; r++)
            assert_true(pil_predictions_next(predictions));
        expect_ok(pil_predictions_close(predictions));
    }
    read_all(estimator, input_once, values);
    pil_predictions *predictions = pil_predict(estimator, input_endless); /* without end: three times the data */
    for (int r = 0; r < 3 * CUSTOM_ROWS - 1; r++) {
        assert_true(pil_predictions_next(predictions));
        assert_true(pil_predictions_get(predictions, "predicted", NULL)[0] == values[r % CUSTOM_ROWS]);
    }
    pil_estimator_stop(estimator);
    assert_true(pil_predictions_next(predictions)); /* the batch's other rows are there */
    while (pil_predictions_next(predictions))
        ;
    expect_error_words("stopped", pil_predictions_close(predictions), PIL_CANCELLED, "prediction");
    read_all(estimator, input_once, values);
    pil_estimator_free(estimator);
}

static pil_dataset *input_bad_cell(void *params)
{
    static const char text[] = "a\n1\n2\nthree\n4\n";
    scratch_write(scratch_path("bad.csv"), text, sizeof text - 1);
    return pil_csv_dataset(PIL_WORDS(scratch_path("bad.csv")), 2, .shuffle = false, .num_epochs = 1,
                           .ignore_errors = params != NULL);
}

static pil_estimator_spec file_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    (void)params;
    return custom_spec(g, pil_layers_dense(g, pil_feature(features, "a"), 1), targets, mode);
}

/* A bad cell ends predictions, at the latest where its batch begins; dropped, it is counted in the log. */
static void test_bad_cells(void **state)
{
    (void)state;
    int any = 0, rows = 0;
    pil_estimator *strict = custom_new(file_model, "none", 1);
    custom_log_start();
    pil_predictions *predictions = pil_predict(strict, input_bad_cell);
    while (pil_predictions_next(predictions))
        rows++;
    assert_in_range(rows, 0, 2);
    expect_error_words("a bad cell", pil_predictions_close(predictions), PIL_BAD_DATA, "bad.csv:4", "'a'", "three");
    assert_non_null(strstr(custom_log, "warning: there is no checkpoint in"));
    pil_estimator_free(strict);
    pil_estimator *lax =
        pil_estimator_new(&(pil_estimator_config){ .model_fn = file_model, .model_dir = scratch_path("none"), .params = &any });
    custom_log_start();
    predictions = pil_predict(lax, input_bad_cell);
    for (rows = 0; pil_predictions_next(predictions);)
        rows++;
    assert_int_equal(rows, 3);
    expect_ok(pil_predictions_close(predictions));
    assert_non_null(strstr(custom_log, "warning: prediction: 1 bad row was skipped"));
    log_set(NULL, NULL);
    pil_estimator_free(lax);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_shapes),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_early_close),
        cmocka_unit_test(test_bad_cells),
    };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
