/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a model function sees of its data: shapes and values of features by the kinds of datasets, feature columns by the
 * functions of the original, and what is refused.
 */
#include "custom.h"

/* ---- data of every shape ---- */

enum { ROWS = 6 };
static float box_values[ROWS][2][3], pair_values[ROWS][2];
static int64_t counts[ROWS];
static const char *const colours[] = { "red", "green", "blue" };
static const char *words[ROWS] = { "red", "blue", "red", "", "green", "violet" };

static void make_data(void)
{
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < 6; i++)
            box_values[r][i / 3][i % 3] = (float)(r * 10 + i);
        pair_values[r][0] = (float)r;
        pair_values[r][1] = (float)-r;
        counts[r] = r * r;
    }
}

static pil_dataset *input_shapes(void *params)
{
    (void)params;
    return pil_dataset_from_arrays(
        PIL_ARRAYS({ "box", .floats = box_values[0][0], .rows = ROWS, .shape = { 2, 3 } },
                   { "count", .ints = counts, .rows = ROWS }, { "word", .strings = words, .rows = ROWS }),
        false, .y = { .name = "pair", .floats = pair_values[0], .rows = ROWS, .shape = { 2 } }, .batch_size = 4);
}

static pil_dataset *input_file(void *params)
{
    static const char text[] = "count,word,pair\n0,red,0\n1,blue,1\n4,red,2\n9,,3\n16,green,4\n25,violet,5\n";
    (void)params;
    scratch_write(scratch_path("shapes.csv"), text, sizeof text - 1);
    return pil_csv_dataset(PIL_WORDS(scratch_path("shapes.csv")), 4, .label_name = "pair", .shuffle = false, .num_epochs = 1);
}

/* A model function under test: its params are the function that makes the predictions. */
struct maker {
    pil_dict (*make)(pil_graph *g, const pil_features *features);
    pil_shape targets; /* that are expected; rank 0: none */
};

static pil_estimator_spec made_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    const struct maker *maker = params;
    assert_ptr_equal(pil_features_graph(features), g);
    assert_true((targets != NULL) == (mode != PIL_PREDICT));
    if (targets && maker->targets.rank) {
        const pil_shape shape = pil_tensor_shape(targets);
        assert_int_equal(shape.rank, maker->targets.rank);
        assert_memory_equal(shape.dims, maker->targets.dims, (size_t)shape.rank * sizeof shape.dims[0]);
    }
    return (pil_estimator_spec){ .mode = mode,
                                 .predictions = maker->make(g, features),
                                 .loss = targets ? pil_reduce_mean(g, targets) : NULL };
}

static pil_estimator *estimator_of(const struct maker *maker)
{
    return pil_estimator_new(
        &(pil_estimator_config){ .model_fn = made_model, .model_dir = scratch_path("features"), .params = (void *)maker });
}

/* All rows of a prediction, one behind the other. */
static size_t read_rows(const struct maker *maker, pil_input_fn input, const char *name, float *out)
{
    size_t width = 0, rows = 0;
    pil_estimator *estimator = estimator_of(maker);
    pil_predictions *predictions = pil_predict(estimator, input);
    for (; pil_predictions_next(predictions); rows++) {
        const float *values = pil_predictions_get(predictions, name, &width);
        assert_non_null(values);
        memcpy(out + rows * width, values, width * sizeof *values);
    }
    expect_ok(pil_predictions_close(predictions));
    assert_int_equal(rows, ROWS);
    pil_estimator_free(estimator);
    return width;
}

static void expect_refused(pil_dict (*make)(pil_graph *g, const pil_features *features), pil_input_fn input,
                           const char *const *text)
{
    const struct maker maker = { make, PIL_SCALAR };
    pil_estimator *estimator = estimator_of(&maker);
    pil_predictions *predictions = pil_predict(estimator, input);
    assert_false(pil_predictions_next(predictions));
    expect_error(text[0], pil_predictions_close(predictions), PIL_INVALID_ARGUMENT, text);
    pil_estimator_free(estimator);
}
#define EXPECT_REFUSED(make, input, ...) expect_refused((make), (input), (const char *const[]){ __VA_ARGS__, NULL })

/* ---- features ---- */

static pil_dict shapes(pil_graph *g, const pil_features *features)
{
    pil_tensor *box = pil_feature(features, "box"), *count = pil_feature(features, "count");
    const pil_shape shape = pil_tensor_shape(box);
    assert_true(shape.rank == 3 && shape.dims[0] == -1 && shape.dims[1] == 2 && shape.dims[2] == 3);
    assert_int_equal(pil_tensor_shape(count).rank, 2);
    assert_int_equal(pil_tensor_shape(count).dims[1], 1);
    return PIL_DICT(g, { "box", box }, { "count", count }, { "again", pil_feature(features, "count") });
}

static void test_shapes(void **state)
{
    (void)state;
    float out[ROWS * 6];
    const struct maker maker = { shapes, PIL_SHAPE(-1, 2) };
    assert_int_equal(read_rows(&maker, input_shapes, "box", out), 6);
    assert_memory_equal(out, box_values, sizeof box_values);
    const char *const names[] = { "count", "again" };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(read_rows(&maker, input_shapes, names[i], out), 1);
        for (int r = 0; r < ROWS; r++)
            assert_true(out[r] == (float)counts[r]);
    }
    pil_estimator *estimator = estimator_of(&maker);
    pil_result result;
    expect_ok(pil_evaluate(estimator, &(pil_eval_spec){ .input_fn = input_shapes }, &result)); /* targets of two columns */
    pil_estimator_free(estimator);
}

static pil_dict of_file(pil_graph *g, const pil_features *features)
{
    return PIL_DICT(g, { "count", pil_feature(features, "count") });
}

/* Of a file the fields are known when it is read. */
static void test_file(void **state)
{
    (void)state;
    float out[ROWS];
    const struct maker maker = { of_file, PIL_SHAPE(-1, 1) };
    assert_int_equal(read_rows(&maker, input_file, "count", out), 1);
    assert_true(out[5] == 25);
}

static pil_dict feature_null(pil_graph *g, const pil_features *features)
{
    return PIL_DICT(g, { "x", pil_feature(features, NULL) });
}

static pil_dict feature_of_the_label(pil_graph *g, const pil_features *features)
{
    return PIL_DICT(g, { "x", pil_feature(features, "pair") });
}

static pil_dict feature_missing(pil_graph *g, const pil_features *features)
{
    return PIL_DICT(g, { "x", pil_feature(features, "cuont") });
}

static pil_dataset *input_many(void *params)
{
    pil_array arrays[12];
    static char names[12][16];
    (void)params;
    for (int i = 0; i < 12; i++) {
        snprintf(names[i], sizeof names[i], "f%d", i);
        arrays[i] = (pil_array){ names[i], .ints = counts, .rows = ROWS };
    }
    return pil_dataset_from_arrays(((pil_arrays){ arrays, 12 }), false);
}

static void test_refused_features(void **state)
{
    (void)state;
    EXPECT_REFUSED(feature_null, input_shapes, "pil_feature", "name");
    EXPECT_REFUSED(feature_of_the_label, input_shapes, "'pair'", "label", "targets");
    EXPECT_REFUSED(feature_missing, input_shapes, "no feature 'cuont'", "they have box, count, word; did you mean 'count'?");
    EXPECT_REFUSED(feature_missing, input_many, "f0, f1, f2, f3, f4, f5, f6, f7 and 4 more");
    const struct maker maker = { feature_missing, PIL_SCALAR };
    pil_estimator *estimator = estimator_of(&maker);
    pil_predictions *predictions = pil_predict(estimator, input_file);
    assert_false(pil_predictions_next(predictions));
    const pil_status status = pil_predictions_close(predictions);
    assert_int_not_equal(status.code, PIL_OK);
    assert_non_null(strstr(status.message, "shapes.csv"));
    assert_non_null(strstr(status.message, "cuont"));
    pil_estimator_free(estimator);
}

/* ---- columns ---- */

/* Names decide the order: "count" stands before "word_indicator", whatever the list says. */
static pil_dict layer(pil_graph *g, const pil_features *features)
{
    pil_columns *columns = pil_columns_new();
    pil_column *word = pil_categorical_column_with_vocabulary_list(columns, "word", colours, 3);
    pil_tensor *x =
        pil_input_layer(features, PIL_KEYS(pil_indicator_column(columns, word), pil_numeric_column(columns, "count")));
    pil_columns_free(columns); /* the graph keeps it */
    return PIL_DICT(g, { "x", x });
}

static void test_input_layer(void **state)
{
    (void)state;
    static const float expected[ROWS][4] = { { 0, 1, 0, 0 }, { 1, 0, 0, 1 },  { 4, 1, 0, 0 },
                                             { 9, 0, 0, 0 }, { 16, 0, 1, 0 }, { 25, 0, 0, 0 } };
    const pil_input_fn inputs[] = { input_shapes, input_file };
    float out[ROWS * 4];
    const struct maker maker = { layer, PIL_SCALAR };
    for (size_t i = 0; i < COUNT_OF(inputs); i++) {
        assert_int_equal(read_rows(&maker, inputs[i], "x", out), 4);
        assert_memory_equal(out, expected, sizeof expected);
    }
}

/* An embedding by hand and by a column: sums of rows of one table. */
static pil_dict embedding(pil_graph *g, const pil_features *features)
{
    pil_columns *columns = pil_columns_new();
    pil_column *word = pil_categorical_column_with_vocabulary_list(columns, "word", colours, 3);
    pil_tensor *table = pil_variable(g, "table", pil_random_normal(g, PIL_SHAPE(3, 2)));
    pil_tensor *by_hand = pil_embedding_lookup_sparse(g, table, pil_categorical_ids(features, word), .combiner = "sum");
    pil_tensor *one_hot = pil_input_layer(features, PIL_KEYS(pil_indicator_column(columns, word)));
    pil_columns_free(columns);
    return PIL_DICT(g, { "by_hand", by_hand }, { "product", pil_matmul(g, one_hot, table) });
}

static void test_categorical_ids(void **state)
{
    (void)state;
    float by_hand[ROWS * 2], product[ROWS * 2];
    const struct maker maker = { embedding, PIL_SCALAR };
    assert_int_equal(read_rows(&maker, input_shapes, "by_hand", by_hand), 2);
    assert_int_equal(read_rows(&maker, input_shapes, "product", product), 2);
    assert_memory_equal(by_hand, product, sizeof product);
    assert_true(by_hand[0] != 0 && by_hand[6] == 0); /* red, and no word */
}

/* All weights are 0 at first. */
static pil_dict linear(pil_graph *g, const pil_features *features)
{
    pil_columns *columns = pil_columns_new();
    pil_column *word = pil_categorical_column_with_vocabulary_list(columns, "word", colours, 3);
    pil_push_scope(g, "wide");
    pil_tensor *y = pil_linear_model(features, PIL_KEYS(pil_numeric_column(columns, "count"), word), .units = 2);
    pil_pop_scope(g);
    pil_columns_free(columns);
    static const char *const names[] = { "wide/linear_model/count/weights", "wide/linear_model/word/weights",
                                         "wide/linear_model/bias_weights" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        bool found = false;
        for (size_t k = 0; k < graph_variable_count(g); k++)
            found |= strcmp(graph_variable_at(g, k)->name, names[i]) == 0;
        assert_true(found);
    }
    return PIL_DICT(g, { "y", y });
}

static void test_linear_model(void **state)
{
    (void)state;
    float out[ROWS * 2];
    const struct maker maker = { linear, PIL_SCALAR };
    assert_int_equal(read_rows(&maker, input_shapes, "y", out), 2);
    for (int i = 0; i < 2 * ROWS; i++)
        assert_true(out[i] == 0);
}

static pil_dict linear_without_units(pil_graph *g, const pil_features *features)
{
    pil_columns *columns = pil_columns_new();
    pil_tensor *y = pil_linear_model(features, PIL_KEYS(pil_numeric_column(columns, "count")), .units = 0);
    pil_columns_free(columns);
    return PIL_DICT(g, { "y", y });
}

static pil_dict linear_of_a_word(pil_graph *g, const pil_features *features)
{
    pil_columns *columns = pil_columns_new();
    pil_tensor *y = pil_linear_model(features, PIL_KEYS(pil_numeric_column(columns, "count")), .sparse_combiner = "product");
    pil_columns_free(columns);
    return PIL_DICT(g, { "y", y });
}

static pil_dict column_null(pil_graph *g, const pil_features *features)
{
    return PIL_DICT(g, { "y", pil_input_layer(features, PIL_KEYS(NULL)) });
}

static pil_dict no_columns(pil_graph *g, const pil_features *features)
{
    return PIL_DICT(g, { "y", pil_input_layer(features, { NULL, 0 }) });
}

static pil_dict columns_twice(pil_graph *g, const pil_features *features)
{
    pil_columns *columns = pil_columns_new();
    pil_column *a = pil_numeric_column(columns, "count"), *b = pil_numeric_column(columns, "count");
    pil_tensor *y = pil_input_layer(features, PIL_KEYS(a, b));
    pil_columns_free(columns);
    return PIL_DICT(g, { "y", y });
}

/* Two layers have tables of their own. */
static pil_dict layers_twice(pil_graph *g, const pil_features *features)
{
    pil_columns *columns = pil_columns_new();
    pil_column *word = pil_categorical_column_with_vocabulary_list(columns, "word", colours, 3);
    pil_column *list[] = { pil_embedding_column(columns, word, 2) };
    pil_tensor *a = pil_input_layer(features, { list, 1 }), *b = pil_input_layer(features, { list, 1 });
    pil_columns_free(columns);
    assert_int_equal(graph_variable_count(g), 2);
    assert_string_equal(graph_variable_at(g, 0)->name, "input_layer/word_embedding/embedding_weights");
    assert_string_equal(graph_variable_at(g, 1)->name, "input_layer_1/word_embedding/embedding_weights");
    return PIL_DICT(g, { "a", a }, { "b", b });
}

static void test_two_layers(void **state)
{
    (void)state;
    float a[ROWS * 2], b[ROWS * 2];
    const struct maker maker = { layers_twice, PIL_SCALAR };
    read_rows(&maker, input_shapes, "a", a);
    read_rows(&maker, input_shapes, "b", b);
    assert_memory_not_equal(a, b, sizeof a);
}

/* A numeric column over words, next to a column that reads them as words. */
static pil_dict numbers_of_words(pil_graph *g, const pil_features *features)
{
    pil_columns *columns = pil_columns_new();
    pil_column *word = pil_categorical_column_with_vocabulary_list(columns, "word", colours, 3);
    pil_tensor *y = pil_input_layer(features, PIL_KEYS(pil_indicator_column(columns, word), pil_numeric_column(columns, "word")));
    pil_columns_free(columns);
    return PIL_DICT(g, { "y", y });
}

static void test_refused_columns(void **state)
{
    (void)state;
    EXPECT_REFUSED(linear_without_units, input_shapes, "linear_model", "units is 0");
    EXPECT_REFUSED(linear_of_a_word, input_shapes, "sparse_combiner", "'product'", "sqrtn");
    EXPECT_REFUSED(column_null, input_shapes, "column 1", "NULL");
    EXPECT_REFUSED(no_columns, input_shapes, "input_layer", "column");
    EXPECT_REFUSED(columns_twice, input_shapes, "two columns", "'count'");
    EXPECT_REFUSED(numbers_of_words, input_shapes, "word", "float32", "string");
}

static int set_up(void **state)
{
    make_data();
    return custom_set_up(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),           cmocka_unit_test(test_file),
        cmocka_unit_test(test_refused_features), cmocka_unit_test(test_input_layer),
        cmocka_unit_test(test_categorical_ids),  cmocka_unit_test(test_linear_model),
        cmocka_unit_test(test_two_layers),       cmocka_unit_test(test_refused_columns),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_tear_down);
}
