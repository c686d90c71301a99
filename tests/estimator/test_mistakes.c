/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mistakes in custom models: each is told by the call that meets it, with what is wrong and where, and nothing else happens: no
 * checkpoint is written of a model with a mistake. The words of a row are what a stranger needs to find the place.
 */
#include "custom.h"

#include <inttypes.h>

enum call { TRAIN, EVALUATE, PREDICT, EXPORT, EXPORTER };

/* A model function at work. */
struct work {
    pil_graph *g;
    const pil_features *features;
    pil_tensor *targets;
    pil_mode mode;
    pil_estimator_spec spec;
};

struct mistake {
    const char *name;
    void (*build)(struct work *work); /* the model function */
    enum call call;
    pil_input_fn input;               /* NULL: the right one */
    pil_code code;
    const char *words[6];
};

static pil_tensor *x_of(const struct work *w)
{
    return pil_feature(w->features, "x");
}

static pil_tensor *predictions_of(const struct work *w)
{
    return custom_layer(w->g, x_of(w));
}

static void right(struct work *w)
{
    w->spec = custom_spec(w->g, predictions_of(w), w->targets, w->mode);
}

/* The rest of a model around predictions that hold a mistake. */
static void around(struct work *w, pil_tensor *predictions)
{
    w->spec = custom_spec(w->g, predictions, w->targets, w->mode);
}

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
        w->spec.loss = pil_mean_squared_error(w->g, w->targets, w->spec.predictions.items[0].tensor, .reduction = PIL_REDUCTION_NONE);
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
    around(w, pil_dense(w->g, second[CUSTOM_WIDTH - 1], 1));
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
    around(w, pil_dense(w->g, pil_input_layer(w->features, PIL_KEYS(word)), 1));
    pil_columns_free(columns);
}

static void erroneous_columns(struct work *w)
{
    pil_columns *columns = pil_columns_new();
    pil_column *word = pil_categorical_column_with_hash_bucket(columns, "word", -7);
    around(w, pil_dense(w->g, pil_input_layer(w->features, PIL_KEYS(pil_indicator_column(columns, word))), 1));
    pil_columns_free(columns);
}

static void column_of_a_missing_feature(struct work *w)
{
    pil_columns *columns = pil_columns_new();
    around(w, pil_dense(w->g, pil_input_layer(w->features, PIL_KEYS(pil_numeric_column(columns, "weihgt"))), 1));
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
        w->spec.eval_metric_ops = PIL_METRICS(w->g, { "mae", pil_metric_mean(w->g, w->targets) }, { "mae", pil_metric_mean(w->g, w->targets) });
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
    w->spec.export_outputs = PIL_EXPORTS(w->g, { "value", pil_regression_output(pil_slice(w->g, x_of(w), PIL_SHAPE(0, 0), PIL_SHAPE(-1, 2))) });
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
    w->spec.export_outputs = PIL_EXPORTS(w->g, { "class", pil_classification_output(pil_squeeze(w->g, w->spec.predictions.items[0].tensor, PIL_AXES(1)), NULL, 0) });
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
    w->spec.export_outputs = PIL_EXPORTS(w->g, { "serving_default", pil_regression_output(y) }, { "serving_default", pil_regression_output(y) });
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
    w->spec.export_outputs = PIL_EXPORTS(w->g, { "value", pil_regression_output(pil_constant(other_graph, (float[]){ 1 }, PIL_SHAPE(1))) });
}

/* ---- optimizers ---- */

static void unknown_optimizer(struct work *w)
{
    right(w);
    if (w->mode == PIL_TRAIN)
        w->spec.train_op = pil_optimize_loss(w->g, w->spec.loss, .learning_rate = 0.1f, .optimizer = "Adagard");
}

static void no_learning_rate(struct work *w)
{
    right(w);
    if (w->mode == PIL_TRAIN)
        w->spec.train_op = pil_optimize_loss(w->g, w->spec.loss, .optimizer = "SGD");
}

static void negative_rate(struct work *w)
{
    right(w);
    if (w->mode == PIL_TRAIN)
        w->spec.train_op = pil_minimize(w->g, pil_adam_optimizer(-0.1f), w->spec.loss);
}

static void loss_without_variables(struct work *w)
{
    pil_tensor *y = pil_slice(w->g, x_of(w), PIL_SHAPE(0, 0), PIL_SHAPE(-1, 1));
    w->spec = custom_spec(w->g, y, w->targets, w->mode);
}

static void no_op_of_that_name(struct work *w)
{
    pil_tensor *x = x_of(w);
    pil_op(w->g, "matmull", NULL, 0, &x, 1, NULL);
    right(w);
}

static void message_of_its_own(struct work *w)
{
    pil_graph_fail(w->g, "this model takes 4 features, the data have 3");
    right(w);
}

/* ---- heads ---- */

static void with_head(struct work *w, pil_head head, int64_t logits, pil_tensor *labels)
{
    const pil_optimizer sgd = pil_gradient_descent_optimizer(0.1f);
    w->spec = pil_head_spec(&head, w->features, w->mode, pil_dense(w->g, x_of(w), logits, .name = "logits"), labels, .optimizer = &sgd);
}

static void logits_of_wrong_width(struct work *w)
{
    with_head(w, pil_multi_class_head(3), 2, w->targets);
}

static void labels_of_wrong_width(struct work *w)
{
    with_head(w, pil_regression_head(2), 2, w->targets);
}

static void two_classes_of_many(struct work *w)
{
    with_head(w, pil_multi_class_head(2), 2, w->targets);
}

static void vocabulary_of_wrong_size(struct work *w)
{
    with_head(w, pil_multi_class_head(3, .label_vocabulary = PIL_WORDS("yes", "no")), 3, w->targets);
}

static void word_not_in_the_vocabulary(struct work *w)
{
    with_head(w, pil_binary_class_head(NULL, .label_vocabulary = PIL_WORDS("ja", "nein")), 1, w->targets);
}

static void class_out_of_range(struct work *w)
{
    with_head(w, pil_binary_class_head(NULL), 1, w->targets);
}

static void class_out_of_range_of_a_loss(struct work *w)
{
    pil_tensor *logits = pil_dense(w->g, x_of(w), 2);
    w->spec.predictions = PIL_DICT(w->g, { "logits", logits });
    w->spec.loss = pil_sparse_softmax_cross_entropy(w->g, w->targets, logits);
    w->spec.train_op = pil_optimize_loss(w->g, w->spec.loss, .learning_rate = 0.1f, .optimizer = "SGD");
}

static void words_without_vocabulary(struct work *w)
{
    with_head(w, pil_binary_class_head(NULL), 1, w->targets);
}

static void missing_weight_column(struct work *w)
{
    with_head(w, pil_binary_class_head("wieght"), 1, w->targets);
}

static void head_without_optimizer(struct work *w)
{
    const pil_head head = pil_regression_head(1);
    w->spec = pil_head_spec(&head, w->features, w->mode, predictions_of(w), w->targets);
}

/* ---- while it runs ---- */

static void not_a_number(struct work *w)
{
    around(w, pil_log(w->g, pil_sub(w->g, predictions_of(w), pil_scalar(w->g, 1000))));
}

/* ---- data ---- */

static pil_dataset *input_null(void *params)
{
    (void)params;
    return NULL;
}

static pil_dataset *input_wrong(void *params)
{
    (void)params;
    return pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = custom_x[0], .rows = CUSTOM_ROWS, .shape = { CUSTOM_WIDTH } }), false,
                                   .y = { .floats = custom_y, .rows = CUSTOM_ROWS - 1 });
}

static bool next_ragged(void *context, int64_t epoch, int64_t batch, pil_batch *out, pil_status *status)
{
    static const int64_t splits[] = { 0, 1, 3 };
    (void)context;
    (void)epoch;
    (void)status;
    if (batch > 3)
        return false;
    pil_batch_set_floats(out, "x", custom_x[0], 2);
    pil_batch_set_ragged_floats(out, "tags", custom_x[0], splits, 2);
    pil_batch_set_floats(out, "label", custom_y, 2);
    return true;
}

static pil_dataset *input_ragged(void *params)
{
    (void)params;
    return pil_dataset_from_callback(PIL_FEATURE_SPECS({ "x", PIL_TYPE_FLOAT32, .shape = { CUSTOM_WIDTH } },
                                                       { "tags", PIL_TYPE_FLOAT32, .ragged = true }, { "label", PIL_TYPE_FLOAT32 }),
                                     next_ragged, .label_name = "label", .num_epochs = 0);
}

static bool next_failing(void *context, int64_t epoch, int64_t batch, pil_batch *out, pil_status *status)
{
    if (batch == 2) {
        status->code = PIL_IO;
        snprintf(status->message, sizeof status->message, "the sensor does not answer");
        return false;
    }
    return next_ragged(context, epoch, batch, out, status);
}

static pil_dataset *input_failing(void *params)
{
    (void)params;
    return pil_dataset_from_callback(PIL_FEATURE_SPECS({ "x", PIL_TYPE_FLOAT32, .shape = { CUSTOM_WIDTH } },
                                                       { "tags", PIL_TYPE_FLOAT32, .ragged = true }, { "label", PIL_TYPE_FLOAT32 }),
                                     next_failing, .label_name = "label", .num_epochs = 0);
}

static pil_dataset *csv(const char *text)
{
    const char *path = scratch_path("answers.csv");
    scratch_write(path, text, strlen(text));
    return pil_csv_dataset(PIL_WORDS(path), 2, .label_name = "answer", .shuffle = false, .num_epochs = 1);
}

static pil_dataset *input_csv_answer(void *params)
{
    (void)params;
    return csv("x,answer\n1,ja\n2,nein\n3,vielleicht\n4,ja\n");
}

static pil_dataset *input_csv_class(void *params)
{
    (void)params;
    return csv("x,answer\n1,0\n2,1\n3,2\n4,1\n");
}

static void narrow_with_words(struct work *w)
{
    const pil_head head = pil_binary_class_head(NULL, .label_vocabulary = PIL_WORDS("ja", "nein"));
    const pil_optimizer sgd = pil_gradient_descent_optimizer(0.1f);
    w->spec = pil_head_spec(&head, w->features, w->mode, pil_dense(w->g, x_of(w), 1), w->targets, .optimizer = &sgd);
}

/* ---- the table ---- */

static const struct mistake mistakes[] = {
    { "matmul of another width", matmul_of_other_width, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "matmul", "x [?, 3]", "w [4, 1]" } },
    { "add of another width", add_of_other_width, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "add", "x [?, 3]", "b [2]" } },
    { "concat of another rank", concat_of_other_rank, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "concat", "[?, 3]", "[?, 3, 1]" } },
    { "predictions wider than targets", loss_of_other_width, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "mean_squared_error", "the labels, label, are [?, 1]", "[?, 2]" } },
    { "predictions without an axis", loss_without_axis, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "mean_squared_error", "[?, 1]", "[?]" } },
    { "a loss that is no scalar", loss_no_scalar, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "TRAIN", "loss", "[?, 1]", "scalar", "pil_reduce_mean" } },
    { "a name used twice", name_used_twice, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "deep/b", "exists already", "pil_push_scope" } },
    { "a cell shared by accident", shared_cell, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "basic_lstm_cell", "'a'", "'b'", "another" } },
    { "a scope left open", scope_left_open, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "tower", "pil_pop_scope" } },
    { "a scope closed twice", scope_closed_twice, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "scope" } },
    { "a variable of EVAL alone", variable_of_eval_alone, EXPORTER, NULL, PIL_INVALID_ARGUMENT, { "calibration", "EVAL" } },
    { "a variable of another shape in EVAL", variable_of_other_shape_in_eval, EXPORTER, NULL, PIL_INVALID_ARGUMENT, { "offset", "EVAL", "[5]", "[2]" } },
    { "the batch in a variable", batch_in_a_variable, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "state", "[?, 2]" } },
    { "a missing feature", missing_feature, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "wieght", "x, word, weight", "did you mean 'weight'?" } },
    { "a feature of words", feature_of_words, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "word", "pil_categorical_ids" } },
    { "a ragged feature", ragged_feature, TRAIN, input_ragged, PIL_INVALID_ARGUMENT, { "tags", "any number of values", "pil_input_layer" } },
    { "a categorical column in an input layer", categorical_in_input_layer, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "word", "embedding", "indicator" } },
    { "columns with an error", erroneous_columns, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "hash_bucket", "-7" } },
    { "a column of a missing feature", column_of_a_missing_feature, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "weihgt", "did you mean 'weight'?" } },
    { "ids of a number", ids_of_a_number, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "weight", "numeric_column", "categorical" } },
    { "targets used in PREDICT", targets_in_predict, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "NULL", "sub" } },
    { "evaluation without a label", right, EVALUATE, input_unlabelled, PIL_INVALID_ARGUMENT, { "labels are NULL", "no label" } },
    { "training without a label", right, TRAIN, input_unlabelled, PIL_INVALID_ARGUMENT, { "labels are NULL", "no label" } },
    { "TRAIN without a loss", no_loss, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "TRAIN", "no loss" } },
    { "EVAL without a loss", no_loss, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "EVAL", "no loss" } },
    { "TRAIN without a train_op", no_train_op, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "TRAIN", "train_op", "pil_optimize_loss" } },
    { "PREDICT without predictions", no_predictions, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "PREDICT", "no predictions", "PIL_DICT" } },
    { "a mode that is not passed through", mode_not_passed, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "EVAL", "TRAIN", "mode" } },
    { "the targets for a loss", loss_is_the_targets, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "loss", "[?, 1]" } },
    { "a tensor of another graph", tensor_of_another_graph, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "add", "another graph" } },
    { "a prediction of another graph", prediction_of_another_graph, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "'predicted'", "another graph" } },
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
    { "a metric of other shapes", metric_of_other_shape, EVALUATE, NULL, PIL_INVALID_ARGUMENT, { "root_mean_squared_error", "[?, 1]", "[?, 3]" } },
    { "a regression output of two numbers", regression_output_too_wide, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "'value'", "[?, 2]", "[?, 1]" } },
    { "words for other classes", words_for_other_classes, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "'class'", "2 words", "[?, 3]" } },
    { "a classification of one axis", classification_without_classes, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "'class'", "[?]", "[?, classes]" } },
    { "an empty predict output", empty_predict_output, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "'all'", "empty" } },
    { "no serving_default", no_serving_default, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "serving_default" } },
    { "two export outputs of one name", duplicate_exports, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "serving_default", "two" } },
    { "two values of one name in an export", duplicate_names_in_predict_output, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "twice", "'y'" } },
    { "an export output of another graph", export_of_another_graph, PREDICT, NULL, PIL_INVALID_ARGUMENT, { "'value'", "another graph" } },
    { "an unknown optimizer", unknown_optimizer, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "Adagard", "Adagrad" } },
    { "no learning rate", no_learning_rate, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "learning_rate" } },
    { "a negative rate", negative_rate, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "learning_rate", "-0.1" } },
    { "a loss without variables", loss_without_variables, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "variable" } },
    { "no op of that name", no_op_of_that_name, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "no op", "'matmull'" } },
    { "a message of the model's own", message_of_its_own, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "4 features" } },
    { "logits of the wrong width", logits_of_wrong_width, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "logits", "[?, 2]", "[?, 3]" } },
    { "labels of the wrong width", labels_of_wrong_width, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "labels", "[?, 1]", "[?, 2]" } },
    { "two classes of a multi-class head", two_classes_of_many, TRAIN, input_class, PIL_INVALID_ARGUMENT, { "n_classes is 2", "pil_binary_class_head" } },
    { "a vocabulary of the wrong size", vocabulary_of_wrong_size, TRAIN, input_class3, PIL_INVALID_ARGUMENT, { "label_vocabulary", "2 words", "3 classes" } },
    { "a label that is not in the vocabulary", word_not_in_the_vocabulary, TRAIN, input_answer, PIL_BAD_DATA, { "'label'", "row 0", "'no'", "label_vocabulary" } },
    { "such a label in a file", narrow_with_words, TRAIN, input_csv_answer, PIL_BAD_DATA, { "answers.csv:4", "answer", "'vielleicht'" } },
    { "a class out of range", class_out_of_range, TRAIN, input_class3, PIL_BAD_DATA, { "'label'", "row 1", "the label 2", "0 to 1" } },
    { "a class out of range in a file", class_out_of_range, TRAIN, input_csv_class, PIL_BAD_DATA, { "answers.csv:4", "'answer'", "the label 2", "0 to 1" } },
    { "a class out of range of a loss", class_out_of_range_of_a_loss, TRAIN, input_class3, PIL_BAD_DATA, { "label 2 of row 1", "classes 0 .. 1" } },
    { "labels of words without a vocabulary", words_without_vocabulary, TRAIN, input_answer, PIL_INVALID_ARGUMENT, { "label", "label_vocabulary" } },
    { "a missing weight column", missing_weight_column, TRAIN, input_class, PIL_INVALID_ARGUMENT, { "wieght", "did you mean 'weight'?" } },
    { "a head without an optimizer", head_without_optimizer, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "TRAIN", "train_op" } },
    { "an input function that returns NULL", right, TRAIN, input_null, PIL_INVALID_ARGUMENT, { "train", "NULL" } },
    { "a dataset with an error", right, TRAIN, input_wrong, PIL_INVALID_ARGUMENT, { "train", "24", "23" } },
    { "such a dataset to predict", right, PREDICT, input_wrong, PIL_INVALID_ARGUMENT, { "predict", "24", "23" } },
    { "a callback that fails", right, TRAIN, input_failing, PIL_IO, { "sensor", "batch 2" } },
    { "data without end to evaluate", right, EVALUATE, input_endless, PIL_INVALID_ARGUMENT, { "not end", "steps" } },
    { "a loss that is not a number", not_a_number, TRAIN, NULL, PIL_DIVERGED, { "loss", "not a number", "step 1" } },
};

static pil_estimator_spec mistaken_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    const struct mistake *mistake = params;
    struct work work = { g, features, targets, mode, { .mode = mode } };
    mistake->build(&work);
    return work.spec;
}

static pil_status call(const struct mistake *mistake, pil_estimator *estimator)
{
    char path[PIL_PATH];
    pil_input_fn input = mistake->input ? mistake->input : mistake->call == TRAIN || mistake->call == EXPORTER ? input_endless : input_once;
    pil_train_spec train = { .input_fn = input, .max_steps = 6 };
    pil_eval_spec eval = { .input_fn = mistake->call == EXPORTER ? input_once : input, .steps = PIL_ALL };
    switch (mistake->call) {
    case TRAIN:
        return pil_train(estimator, &train);
    case EVALUATE:
        return pil_evaluate(estimator, &eval, NULL);
    case EXPORT:
        return pil_export(estimator, scratch_path("export"), custom_serving, path);
    case EXPORTER:
        return pil_train_and_evaluate(estimator, &train, &eval, NULL);
    default:;
    }
    pil_predictions *predictions = pil_predict(estimator, input);
    assert_false(pil_predictions_next(predictions));
    return pil_predictions_close(predictions);
}

/* Nothing that could be taken for a model; steps before a mistake in the data may have been saved. */
static void expect_no_checkpoint(const struct mistake *mistake, const char *folder)
{
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char *latest = checkpoint_latest(folder, arena, &status);
    if (latest && !strstr(latest, "model.ckpt-0"))
        fail_msg("%s: %s was written", mistake->name, latest);
    if (latest && mistake->code == PIL_INVALID_ARGUMENT)
        fail_msg("%s: %s was written", mistake->name, latest);
    arena_free(arena);
}

static void test_mistakes(void **state)
{
    (void)state;
    pil_status status = { 0 };
    other_graph = graph_new(&status);
    for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
        char folder[32];
        snprintf(folder, sizeof folder, "mistake%zu", i);
        pil_run_config config = pil_run_config_default();
        config.threads = 1;
        pil_estimator *estimator = pil_estimator_new(&(pil_estimator_config){ .model_fn = mistaken_model, .model_dir = scratch_path(folder),
                                                                              .config = &config, .params = (void *)&mistakes[i] });
        status = call(&mistakes[i], estimator);
        if (getenv("PILASTER_TEST_SHOW"))
            fprintf(stderr, "# %-40s %s: %s\n", mistakes[i].name, pil_code_name(status.code), status.message);
        else
        expect_error(mistakes[i].name, status, mistakes[i].code, mistakes[i].words);
        if (!getenv("PILASTER_TEST_SHOW"))
            expect_no_checkpoint(&mistakes[i], scratch_path(folder));
        pil_estimator_free(estimator);
    }
    graph_free(other_graph);
}

/* ---- mistakes in calls ---- */

static pil_estimator *with(pil_estimator_config config)
{
    config.model_fn = config.model_fn ? config.model_fn : custom_model;
    return pil_estimator_new(&config);
}

static pil_status train_once(pil_estimator *estimator, pil_train_spec spec)
{
    pil_status status = pil_train(estimator, &spec);
    pil_estimator_free(estimator);
    return status;
}

static pil_status evaluate_once(pil_eval_spec spec)
{
    pil_train_spec train = { .input_fn = input_once, .max_steps = 2 };
    pil_estimator *estimator = with((pil_estimator_config){ .model_dir = scratch_path("evaluated") });
    pil_status status = pil_train_and_evaluate(estimator, &train, &spec, NULL);
    pil_estimator_free(estimator);
    return status;
}

static pil_status with_run(pil_run_config run)
{
    return train_once(with((pil_estimator_config){ .model_dir = scratch_path("config"), .config = &run }),
                      (pil_train_spec){ .input_fn = input_once });
}

static void test_train_calls(void **state)
{
    (void)state;
    const char *folder = scratch_path("calls");
    const pil_train_spec good = { .input_fn = input_once };
    pil_estimator *estimator = pil_estimator_new(&(pil_estimator_config){ .model_dir = folder });
    expect_error_words("no model_fn", train_once(estimator, good), PIL_INVALID_ARGUMENT, "model_fn");
    expect_error_words("no config", train_once(pil_estimator_new(NULL), good), PIL_INVALID_ARGUMENT, "model_fn");
    expect_error_words("no folder", train_once(with((pil_estimator_config){ 0 }), good), PIL_INVALID_ARGUMENT, "model_dir");
    estimator = with((pil_estimator_config){ .model_dir = folder });
    expect_error_words("no train spec", pil_train(estimator, NULL), PIL_INVALID_ARGUMENT, "train spec", "NULL");
    expect_error_words("no eval spec", pil_evaluate(estimator, NULL, NULL), PIL_INVALID_ARGUMENT, "eval spec", "NULL");
    expect_error_words("steps and max_steps", pil_train(estimator, &(pil_train_spec){ .input_fn = input_once, .steps = 1, .max_steps = 2 }),
                       PIL_INVALID_ARGUMENT, "steps", "max_steps", "exclude");
    expect_error_words("steps below 0", pil_train(estimator, &(pil_train_spec){ .input_fn = input_once, .steps = -1 }),
                       PIL_INVALID_ARGUMENT, "steps -1");
    expect_error_words("no input_fn", pil_train(estimator, &(pil_train_spec){ .max_steps = 2 }), PIL_INVALID_ARGUMENT, "train", "input_fn");
    const pil_hook hooks[PIL_MAX_HOOKS] = { { 0 } };
    expect_error_words("too many hooks", train_once(estimator, (pil_train_spec){ .input_fn = input_once, .hooks = hooks, .hook_count = 11 }),
                       PIL_INVALID_ARGUMENT, "11 hooks", "10");
    expect_error_words("no estimator", pil_train(NULL, &good), PIL_INVALID_ARGUMENT, "estimator", "NULL");
    assert_false(file_exists(folder));
}

static void test_configs(void **state)
{
    (void)state;
    pil_run_config run = pil_run_config_default();
    run.model_dir = "elsewhere";
    expect_error_words("two folders", with_run(run), PIL_INVALID_ARGUMENT, "elsewhere", scratch_path("config"));
    run = pil_run_config_default();
    run.save_checkpoints_steps = 10;
    run.save_checkpoints_secs = 10;
    expect_error_words("two periods", with_run(run), PIL_INVALID_ARGUMENT, "save_checkpoints_steps", "save_checkpoints_secs");
    run = pil_run_config_default();
    run.keep_checkpoint_max = -2;
    expect_error_words("a negative number", with_run(run), PIL_INVALID_ARGUMENT, "keep_checkpoint_max", "-2");
    run = pil_run_config_default();
    run.save_checkpoints_secs = NAN;
    expect_error_words("no number", with_run(run), PIL_INVALID_ARGUMENT, "save_checkpoints_secs");
    assert_false(file_exists(scratch_path("config")));
}

static void wrong_serving(pil_receivers *receivers, void *params)
{
    (void)params;
    pil_receive(receivers, "y", PIL_RECEIVE_FLOATS, 3);
}

static void narrow_serving(pil_receivers *receivers, void *params)
{
    (void)params;
    pil_receive(receivers, "x", PIL_RECEIVE_FLOATS, 2);
}

static void double_serving(pil_receivers *receivers, void *params)
{
    custom_serving(receivers, params);
    custom_serving(receivers, params);
}

static void empty_serving(pil_receivers *receivers, void *params)
{
    (void)receivers;
    (void)params;
}

static void test_eval_specs(void **state)
{
    (void)state;
    expect_error_words("no input", evaluate_once((pil_eval_spec){ 0 }), PIL_INVALID_ARGUMENT, "eval", "input_fn");
    expect_error_words("steps", evaluate_once((pil_eval_spec){ .input_fn = input_once, .steps = -7 }), PIL_INVALID_ARGUMENT, "-7", "PIL_ALL");
    expect_error_words("a folder in the name", evaluate_once((pil_eval_spec){ .input_fn = input_once, .name = "../x" }), PIL_INVALID_ARGUMENT,
                       "name", "../x");
    expect_error_words("no serving", evaluate_once((pil_eval_spec){ .input_fn = input_once, .exporters = { pil_latest_exporter("e", NULL) } }),
                       PIL_INVALID_ARGUMENT, "'e'", "serving_input_fn");
    expect_error_words("no name",
                       evaluate_once((pil_eval_spec){ .input_fn = input_once, .exporters = { pil_latest_exporter("", custom_serving) } }),
                       PIL_INVALID_ARGUMENT, "exporter 1", "name");
    expect_error_words("two of a name",
                       evaluate_once((pil_eval_spec){ .input_fn = input_once, .exporters = { pil_latest_exporter("e", custom_serving),
                                                                                              pil_latest_exporter("e", custom_serving) } }),
                       PIL_INVALID_ARGUMENT, "two exporters", "'e'");
    assert_false(file_exists(scratch_path("evaluated")));
}

static pil_status export_with(pil_estimator *estimator, pil_serving_input_fn serving)
{
    char path[PIL_PATH] = "untouched";
    pil_status status = pil_export(estimator, scratch_path("export"), serving, path);
    assert_string_equal(path, "untouched");
    return status;
}

static void test_exports(void **state)
{
    (void)state;
    char path[PIL_PATH];
    pil_estimator *estimator = with((pil_estimator_config){ .model_dir = scratch_path("exported") });
    expect_error_words("no checkpoint", export_with(estimator, custom_serving), PIL_NOT_FOUND, "no checkpoint", "exported");
    expect_error_words("no variable", pil_variable_value(estimator, "w", NULL, NULL, 0), PIL_NOT_FOUND, "no checkpoint", "exported");
    expect_ok(pil_train(estimator, &(pil_train_spec){ .input_fn = input_once, .max_steps = 2 }));
    expect_error_words("another feature", export_with(estimator, wrong_serving), PIL_INVALID_ARGUMENT, "'x'", "y", "serving");
    expect_error_words("another width", export_with(estimator, narrow_serving), PIL_INVALID_ARGUMENT, "matmul", "[?, 2]", "[3, 1]");
    expect_error_words("a name twice", export_with(estimator, double_serving), PIL_INVALID_ARGUMENT, "'x'", "twice");
    expect_error_words("no receivers", export_with(estimator, empty_serving), PIL_INVALID_ARGUMENT, "serving_input_fn", "pil_receive");
    expect_error_words("no serving", export_with(estimator, NULL), PIL_INVALID_ARGUMENT, "serving");
    expect_error_words("no base", pil_export(estimator, NULL, custom_serving, path), PIL_INVALID_ARGUMENT, "folder");
    float values[2];
    expect_error_words("another variable", pil_variable_value(estimator, "weight", NULL, NULL, 0), PIL_NOT_FOUND, "'weight'", "w");
    expect_error_words("little room", pil_variable_value(estimator, "w", NULL, values, 2), PIL_INVALID_ARGUMENT, "w", "3", "2");
    expect_error_words("an integer", pil_variable_value(estimator, "global_step", NULL, values, 1), PIL_INVALID_ARGUMENT, "global_step", "int64");
    pil_estimator_free(estimator);
}

/* A loss that is no number ends the run, and nothing is saved of the step that gave it. */
static pil_estimator_spec diverging_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
{
    (void)params;
    pil_estimator_spec spec = custom_spec(g, custom_layer(g, pil_feature(features, "x")), targets, mode);
    if (mode == PIL_TRAIN)
        spec.train_op = pil_minimize(g, pil_gradient_descent_optimizer(1e20f), spec.loss);
    return spec;
}

static void test_divergence(void **state)
{
    (void)state;
    pil_run_config run = pil_run_config_default();
    run.save_checkpoints_steps = 1;
    pil_estimator *estimator = with((pil_estimator_config){ .model_fn = diverging_model, .model_dir = scratch_path("diverged"), .config = &run });
    pil_status status = pil_train(estimator, &(pil_train_spec){ .input_fn = input_endless, .max_steps = 50 });
    expect_error_words("divergence", status, PIL_DIVERGED, "loss", "step");
    int64_t step = 0;
    assert_int_equal(sscanf(strstr(status.message, "step "), "step %" SCNd64, &step), 1);
    assert_in_range(step, 2, 10);
    pil_status ok = { 0 };
    struct arena *arena = arena_new(&ok);
    char expected[64], *latest = checkpoint_latest(scratch_path("diverged"), arena, &ok);
    snprintf(expected, sizeof expected, "model.ckpt-%" PRId64, step - 1);
    assert_non_null(latest);
    assert_string_equal(strrchr(latest, '/') + 1, expected);
    arena_free(arena);
    pil_estimator_free(estimator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_train_calls),
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_eval_specs),
        cmocka_unit_test(test_exports),
        cmocka_unit_test(test_divergence),
    };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
