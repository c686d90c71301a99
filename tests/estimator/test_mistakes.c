/* SPDX-License-Identifier: Apache-2.0 */
/* Mistakes in what a custom model is built of: shapes, variables, features, and the members of its spec. */
#include "mistakes.h"

/* ---- shapes ---- */

static void matmul_of_other_width(struct work *w)
{
    around(w, pil_matmul(w->g, x_of(w), pil_variable(w->g, "w", pil_zeros(w->g, PIL_SHAPE(4, 1)))));
}

static void add_of_other_width(struct work *w)
{
    around(w, pil_add(w->g, x_of(w), pil_variable(w->g, "b", pil_zeros(w->g, PIL_SHAPE(2)))));
}

static void concat_of_other_rank(struct work *w)
{
    pil_tensor *parts[] = { x_of(w), pil_reshape(w->g, x_of(w), PIL_SHAPE(-1, 3, 1)) };
    around(w, pil_concat(w->g, parts, 2, 1));
}

static void loss_of_other_width(struct work *w)
{
    around(w, pil_matmul(w->g, x_of(w), pil_variable(w->g, "w", pil_zeros(w->g, PIL_SHAPE(3, 2)))));
}

static void loss_without_axis(struct work *w)
{
    around(w, pil_squeeze(w->g, predictions_of(w), PIL_AXES(1)));
}

static void loss_no_scalar(struct work *w)
{
    right(w);
    if (w->mode != PIL_PREDICT)
        w->spec.loss =
            pil_mean_squared_error(w->g, w->targets, w->spec.predictions.items[0].tensor, .reduction = PIL_REDUCTION_NONE);
}

/* ---- variables and scopes ---- */

static void name_used_twice(struct work *w)
{
    pil_push_scope(w->g, "deep");
    pil_variable(w->g, "b", pil_zeros(w->g, PIL_SHAPE(1)));
    pil_variable(w->g, "b", pil_zeros(w->g, PIL_SHAPE(1)));
    pil_pop_scope(w->g);
    right(w);
}

static void shared_cell(struct work *w)
{
    pil_tensor *x[CUSTOM_WIDTH], *first[CUSTOM_WIDTH], *second[CUSTOM_WIDTH];
    pil_split(w->g, x_of(w), CUSTOM_WIDTH, 1, x);
    pil_rnn_cell *cell = pil_basic_lstm_cell(w->g, 2);
    pil_static_rnn(w->g, cell, x, CUSTOM_WIDTH, first, .scope = "a");
    pil_static_rnn(w->g, cell, first, CUSTOM_WIDTH, second, .scope = "b");
    around(w, pil_layers_dense(w->g, second[CUSTOM_WIDTH - 1], 1));
}

static void scope_left_open(struct work *w)
{
    pil_push_scope(w->g, "tower");
    right(w);
}

static void scope_closed_twice(struct work *w)
{
    pil_pop_scope(w->g);
    right(w);
}

static void variable_of_eval_alone(struct work *w)
{
    right(w);
    if (w->mode == PIL_EVAL)
        pil_variable(w->g, "calibration", pil_ones(w->g, PIL_SHAPE(1)));
}

static void variable_of_other_shape_in_eval(struct work *w)
{
    pil_variable(w->g, "offset", pil_zeros(w->g, PIL_SHAPE(w->mode == PIL_EVAL ? 5 : 2)), .trainable = false);
    right(w);
}

static void batch_in_a_variable(struct work *w)
{
    pil_variable(w->g, "state", pil_zeros(w->g, PIL_SHAPE(-1, 2)));
    right(w);
}

/* ---- features ---- */

static void missing_feature(struct work *w)
{
    around(w, custom_layer(w->g, pil_feature(w->features, "wieght")));
}

static void feature_of_words(struct work *w)
{
    around(w, pil_feature(w->features, "word"));
}

static void ragged_feature(struct work *w)
{
    around(w, pil_feature(w->features, "tags"));
}

static void categorical_in_input_layer(struct work *w)
{
    pil_columns *columns = pil_columns_new();
    static const char *const colours[] = { "red", "green", "blue" };
    pil_column *word = pil_categorical_column_with_vocabulary_list(columns, "word", colours, 3);
    around(w, pil_layers_dense(w->g, pil_input_layer(w->features, PIL_KEYS(word)), 1));
    pil_columns_free(columns);
}

static void erroneous_columns(struct work *w)
{
    pil_columns *columns = pil_columns_new();
    pil_column *word = pil_categorical_column_with_hash_bucket(columns, "word", -7);
    around(w, pil_layers_dense(w->g, pil_input_layer(w->features, PIL_KEYS(pil_indicator_column(columns, word))), 1));
    pil_columns_free(columns);
}

static void column_of_a_missing_feature(struct work *w)
{
    pil_columns *columns = pil_columns_new();
    around(w, pil_layers_dense(w->g, pil_input_layer(w->features, PIL_KEYS(pil_numeric_column(columns, "weihgt"))), 1));
    pil_columns_free(columns);
}

static void ids_of_a_number(struct work *w)
{
    pil_columns *columns = pil_columns_new();
    pil_categorical_ids(w->features, pil_numeric_column(columns, "weight"));
    right(w);
    pil_columns_free(columns);
}

static void targets_in_predict(struct work *w)
{
    around(w, pil_sub(w->g, predictions_of(w), w->targets));
}

/* ---- members of the spec ---- */

static void no_loss(struct work *w)
{
    right(w);
    w->spec.loss = NULL;
}

static void no_train_op(struct work *w)
{
    right(w);
    w->spec.train_op = NULL;
}

static void no_predictions(struct work *w)
{
    right(w);
    w->spec.predictions = (pil_dict){ 0 };
}

static void mode_not_passed(struct work *w)
{
    right(w);
    w->spec.mode = PIL_TRAIN;
}

static void loss_is_the_targets(struct work *w)
{
    right(w);
    w->spec.loss = w->targets;
}

static pil_graph *other_graph;

static void tensor_of_another_graph(struct work *w)
{
    around(w, pil_add(w->g, predictions_of(w), pil_scalar(other_graph, 1)));
}

static void prediction_of_another_graph(struct work *w)
{
    right(w);
    w->spec.predictions = PIL_DICT(w->g, { "predicted", pil_constant(other_graph, (float[]){ 1, 2 }, PIL_SHAPE(2)) });
}

static void loss_of_another_graph(struct work *w)
{
    right(w);
    w->spec.loss = pil_scalar(other_graph, 1);
}

static void metric_of_another_graph(struct work *w)
{
    right(w);
    w->spec.eval_metric_ops = PIL_METRICS(w->g, { "mean", pil_metric_mean(other_graph, pil_scalar(other_graph, 1)) });
}

static void hook_of_another_graph(struct work *w)
{
    right(w);
    w->spec.training_hooks[0] = (pil_hook){ .fetches = PIL_DICT(w->g, { "far", pil_scalar(other_graph, 1) }) };
    w->spec.training_hook_count = 1;
}

static void hook_of_null(struct work *w)
{
    right(w);
    w->spec.training_hooks[0] = (pil_hook){ .fetches = PIL_DICT(w->g, { "nothing", NULL }) };
    w->spec.training_hook_count = 1;
}

static void too_many_hooks(struct work *w)
{
    right(w);
    w->spec.training_hook_count = PIL_SPEC_HOOKS + 1;
}

static void null_tensor(struct work *w)
{
    around(w, pil_add(w->g, predictions_of(w), NULL));
}

static void null_prediction(struct work *w)
{
    right(w);
    w->spec.predictions = PIL_DICT(w->g, { "predicted", NULL });
}

static void scalar_prediction(struct work *w)
{
    pil_tensor *predictions = predictions_of(w);
    around(w, predictions);
    w->spec.predictions = PIL_DICT(w->g, { "predicted", predictions }, { "average", pil_reduce_mean(w->g, predictions) });
}

static void duplicate_predictions(struct work *w)
{
    pil_tensor *y = predictions_of(w);
    around(w, y);
    w->spec.predictions = PIL_DICT(w->g, { "predicted", y }, { "predicted", y });
}

static void reserved_metric(struct work *w)
{
    right(w);
    if (w->mode == PIL_EVAL)
        w->spec.eval_metric_ops = PIL_METRICS(w->g, { "loss", pil_metric_mean(w->g, w->targets) });
}

static void duplicate_metric(struct work *w)
{
    right(w);
    if (w->mode == PIL_EVAL)
        w->spec.eval_metric_ops =
            PIL_METRICS(w->g, { "mae", pil_metric_mean(w->g, w->targets) }, { "mae", pil_metric_mean(w->g, w->targets) });
}

static void metric_of_other_shape(struct work *w)
{
    right(w);
    if (w->mode == PIL_EVAL)
        w->spec.eval_metric_ops = PIL_METRICS(w->g, { "rmse", pil_root_mean_squared_error(w->g, w->targets, x_of(w)) });
}

/* ---- export outputs ---- */

static void regression_output_too_wide(struct work *w)
{
    right(w);
    w->spec.export_outputs =
        PIL_EXPORTS(w->g, { "value", pil_regression_output(pil_slice(w->g, x_of(w), PIL_SHAPE(0, 0), PIL_SHAPE(-1, 2))) });
}

static void words_for_other_classes(struct work *w)
{
    static const char *const words[] = { "low", "high" };
    right(w);
    w->spec.export_outputs = PIL_EXPORTS(w->g, { "class", pil_classification_output(x_of(w), words, 2) });
}

static void classification_without_classes(struct work *w)
{
    right(w);
    w->spec.export_outputs = PIL_EXPORTS(
        w->g,
        { "class", pil_classification_output(pil_squeeze(w->g, w->spec.predictions.items[0].tensor, PIL_AXES(1)), NULL, 0) });
}

static void empty_predict_output(struct work *w)
{
    right(w);
    w->spec.export_outputs = PIL_EXPORTS(w->g, { "all", pil_predict_output((pil_dict){ 0 }) });
}

static void no_serving_default(struct work *w)
{
    right(w);
    pil_tensor *y = w->spec.predictions.items[0].tensor;
    w->spec.export_outputs = PIL_EXPORTS(w->g, { "a", pil_regression_output(y) }, { "b", pil_regression_output(y) });
}

static void duplicate_exports(struct work *w)
{
    right(w);
    pil_tensor *y = w->spec.predictions.items[0].tensor;
    w->spec.export_outputs =
        PIL_EXPORTS(w->g, { "serving_default", pil_regression_output(y) }, { "serving_default", pil_regression_output(y) });
}

static void duplicate_names_in_predict_output(struct work *w)
{
    right(w);
    pil_tensor *y = w->spec.predictions.items[0].tensor;
    w->spec.export_outputs = PIL_EXPORTS(w->g, { "serving_default", pil_predict_output(PIL_DICT(w->g, { "y", y }, { "y", y })) });
}

static void export_of_another_graph(struct work *w)
{
    right(w);
    w->spec.export_outputs =
        PIL_EXPORTS(w->g, { "value", pil_regression_output(pil_constant(other_graph, (float[]){ 1 }, PIL_SHAPE(1))) });
}

/* clang-format off */
static const struct mistake mistakes[] = {
    { "matmul of another width", matmul_of_other_width, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "matmul", "x [?, 3]", "w [4, 1]" } },
    { "add of another width", add_of_other_width, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "add", "x [?, 3]", "b [2]" } },
    { "concat of another rank", concat_of_other_rank, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "concat", "[?, 3]", "[?, 3, 1]" } },
    { "predictions wider than targets", loss_of_other_width, TRAIN, NULL, PIL_INVALID_ARGUMENT,
      { "mean_squared_error", "the labels, label, are [?, 1]", "[?, 2]" } },
    { "predictions without an axis", loss_without_axis, TRAIN, NULL, PIL_INVALID_ARGUMENT,
      { "mean_squared_error", "[?, 1]", "[?]" } },
    { "a loss that is no scalar", loss_no_scalar, TRAIN, NULL, PIL_INVALID_ARGUMENT,
      { "TRAIN", "loss", "[?, 1]", "scalar", "pil_reduce_mean" } },
    { "a name used twice", name_used_twice, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "deep/b", "exists already", "pil_push_scope" } },
    { "a cell shared by accident", shared_cell, TRAIN, NULL, PIL_INVALID_ARGUMENT,
      { "basic_lstm_cell", "'a'", "'b'", "another" } },
    { "a scope left open", scope_left_open, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "tower", "pil_pop_scope" } },
    { "a scope closed twice", scope_closed_twice, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "scope" } },
    { "a variable of EVAL alone", variable_of_eval_alone, BOTH, NULL, PIL_INVALID_ARGUMENT, { "calibration", "EVAL" } },
    { "a variable of another shape in EVAL", variable_of_other_shape_in_eval, BOTH, NULL, PIL_INVALID_ARGUMENT,
      { "offset", "EVAL", "[5]", "[2]" } },
    { "the batch in a variable", batch_in_a_variable, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "state", "[?, 2]" } },
    { "a missing feature", missing_feature, TRAIN, NULL, PIL_INVALID_ARGUMENT,
      { "wieght", "x, word, weight", "did you mean 'weight'?" } },
    { "a feature of words", feature_of_words, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "word", "pil_categorical_ids" } },
    { "a ragged feature", ragged_feature, TRAIN, input_ragged, PIL_INVALID_ARGUMENT,
      { "tags", "any number of values", "pil_input_layer" } },
    { "a categorical column in an input layer", categorical_in_input_layer, TRAIN, NULL, PIL_INVALID_ARGUMENT,
      { "word", "embedding", "indicator" } },
    { "columns with an error", erroneous_columns, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "hash_bucket", "-7" } },
    { "a column of a missing feature", column_of_a_missing_feature, TRAIN, NULL, PIL_INVALID_ARGUMENT,
      { "weihgt", "did you mean 'weight'?" } },
    { "ids of a number", ids_of_a_number, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "weight", "numeric_column", "categorical" } },
    { "targets used in PREDICT", targets_in_predict, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "NULL", "sub" } },
    { "evaluation without a label", right, EVALUATE, input_unlabelled, PIL_INVALID_ARGUMENT, { "labels are NULL", "no label" } },
    { "training without a label", right, TRAIN, input_unlabelled, PIL_INVALID_ARGUMENT, { "labels are NULL", "no label" } },
    { "TRAIN without a loss", no_loss, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "TRAIN", "no loss" } },
    { "EVAL without a loss", no_loss, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "EVAL", "no loss" } },
    { "TRAIN without a train_op", no_train_op, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "TRAIN", "train_op", "pil_optimize_loss" } },
    { "PREDICT without predictions", no_predictions, PREDICT, NULL, PIL_INVALID_ARGUMENT,
      { "PREDICT", "no predictions", "PIL_DICT" } },
    { "a mode that is not passed through", mode_not_passed, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "EVAL", "TRAIN", "mode" } },
    { "the targets for a loss", loss_is_the_targets, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "loss", "[?, 1]" } },
    { "a tensor of another graph", tensor_of_another_graph, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "add", "another graph" } },
    { "a prediction of another graph", prediction_of_another_graph, PREDICT, NULL, PIL_INVALID_ARGUMENT,
      { "'predicted'", "another graph" } },
    { "a loss of another graph", loss_of_another_graph, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "loss", "another graph" } },
    { "a metric of another graph", metric_of_another_graph, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "'mean'", "another graph" } },
    { "a hook of another graph", hook_of_another_graph, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "'far'", "another graph" } },
    { "a hook that fetches NULL", hook_of_null, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "'nothing'", "NULL" } },
    { "too many hooks", too_many_hooks, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "training_hooks", "5", "4" } },
    { "a NULL tensor", null_tensor, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "add", "NULL" } },
    { "a NULL prediction", null_prediction, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "'predicted'", "NULL" } },
    { "a scalar prediction", scalar_prediction, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "'average'", "[]", "[?, ...]" } },
    { "two predictions of one name", duplicate_predictions, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "twice", "'predicted'" } },
    { "a reserved metric", reserved_metric, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "metric", "'loss'" } },
    { "two metrics of one name", duplicate_metric, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "'mae'" } },
    { "a metric of other shapes", metric_of_other_shape, EVALUATE, NULL, PIL_INVALID_ARGUMENT,
      { "root_mean_squared_error", "[?, 1]", "[?, 3]" } },
    { "a regression output of two numbers", regression_output_too_wide, PREDICT, NULL, PIL_INVALID_ARGUMENT,
      { "'value'", "[?, 2]", "[?, 1]" } },
    { "words for other classes", words_for_other_classes, PREDICT, NULL, PIL_INVALID_ARGUMENT,
      { "'class'", "2 words", "[?, 3]" } },
    { "a classification of one axis", classification_without_classes, PREDICT, NULL, PIL_INVALID_ARGUMENT,
      { "'class'", "[?]", "[?, classes]" } },
    { "an empty predict output", empty_predict_output, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "'all'", "empty" } },
    { "no serving_default", no_serving_default, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "serving_default" } },
    { "two export outputs of one name", duplicate_exports, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "serving_default", "two" } },
    { "two values of one name in an export", duplicate_names_in_predict_output, PREDICT, NULL, PIL_INVALID_ARGUMENT,
      { "twice", "'y'" } },
    { "an export output of another graph", export_of_another_graph, PREDICT, NULL, PIL_INVALID_ARGUMENT,
      { "'value'", "another graph" } },
};
/* clang-format on */

static void test_mistakes(void **state)
{
    (void)state;
    pil_status status = { 0 };
    other_graph = graph_new(&status);
    expect_mistakes(mistakes, COUNT_OF(mistakes));
    graph_free(other_graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_mistakes) };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
