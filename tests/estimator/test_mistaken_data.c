/* SPDX-License-Identifier: Apache-2.0 */
/* Mistakes in how a custom model meets its labels and its data: optimizers, heads, input functions, and what batches bring. */
#include "mistakes.h"

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
    w->spec = pil_head_spec(&head, w->features, w->mode, pil_layers_dense(w->g, x_of(w), logits, .name = "logits"), labels,
                            .optimizer = &sgd);
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
    pil_tensor *logits = pil_layers_dense(w->g, x_of(w), 2);
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
    return pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = custom_x[0], .rows = CUSTOM_ROWS, .shape = { CUSTOM_WIDTH } }),
                                   false, .y = { .floats = custom_y, .rows = CUSTOM_ROWS - 1 });
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
                                                       { "tags", PIL_TYPE_FLOAT32, .ragged = true },
                                                       { "label", PIL_TYPE_FLOAT32 }),
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
    w->spec = pil_head_spec(&head, w->features, w->mode, pil_layers_dense(w->g, x_of(w), 1), w->targets, .optimizer = &sgd);
}

/* clang-format off */
static const struct mistake mistakes[] = {
    { "an unknown optimizer", unknown_optimizer, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "Adagard", "Adagrad" } },
    { "no learning rate", no_learning_rate, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "learning_rate" } },
    { "a negative rate", negative_rate, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "learning_rate", "-0.1" } },
    { "a loss without variables", loss_without_variables, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "variable" } },
    { "no op of that name", no_op_of_that_name, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "no op", "'matmull'" } },
    { "a message of the model's own", message_of_its_own, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "4 features" } },
    { "logits of the wrong width", logits_of_wrong_width, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "logits", "[?, 2]", "[?, 3]" } },
    { "labels of the wrong width", labels_of_wrong_width, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "labels", "[?, 1]", "[?, 2]" } },
    { "two classes of a multi-class head", two_classes_of_many, TRAIN, input_class, PIL_INVALID_ARGUMENT,
      { "n_classes is 2", "pil_binary_class_head" } },
    { "a vocabulary of the wrong size", vocabulary_of_wrong_size, TRAIN, input_class3, PIL_INVALID_ARGUMENT,
      { "label_vocabulary", "2 words", "3 classes" } },
    { "a label that is not in the vocabulary", word_not_in_the_vocabulary, TRAIN, input_answer, PIL_BAD_DATA,
      { "'label'", "row 0", "'no'", "label_vocabulary" } },
    { "such a label in a file", narrow_with_words, TRAIN, input_csv_answer, PIL_BAD_DATA,
      { "answers.csv:4", "answer", "'vielleicht'" } },
    { "a class out of range", class_out_of_range, TRAIN, input_class3, PIL_BAD_DATA,
      { "'label'", "row 1", "the label 2", "0 to 1" } },
    { "a class out of range in a file", class_out_of_range, TRAIN, input_csv_class, PIL_BAD_DATA,
      { "answers.csv:4", "'answer'", "the label 2", "0 to 1" } },
    { "a class out of range of a loss", class_out_of_range_of_a_loss, TRAIN, input_class3, PIL_BAD_DATA,
      { "label 2 of row 1", "classes 0 .. 1" } },
    { "labels of words without a vocabulary", words_without_vocabulary, TRAIN, input_answer, PIL_INVALID_ARGUMENT,
      { "label", "label_vocabulary" } },
    { "a missing weight column", missing_weight_column, TRAIN, input_class, PIL_INVALID_ARGUMENT,
      { "wieght", "did you mean 'weight'?" } },
    { "a head without an optimizer", head_without_optimizer, TRAIN, NULL, PIL_INVALID_ARGUMENT, { "TRAIN", "train_op" } },
    { "an input function that returns NULL", right, TRAIN, input_null, PIL_INVALID_ARGUMENT, { "train", "NULL" } },
    { "a dataset with an error", right, TRAIN, input_wrong, PIL_INVALID_ARGUMENT, { "train", "24", "23" } },
    { "such a dataset to predict", right, PREDICT, input_wrong, PIL_INVALID_ARGUMENT, { "predict", "24", "23" } },
    { "a callback that fails", right, TRAIN, input_failing, PIL_IO, { "sensor", "batch 2" } },
    { "data without end to evaluate", right, EVALUATE, input_endless, PIL_INVALID_ARGUMENT, { "not end", "steps" } },
    { "a loss that is not a number", not_a_number, TRAIN, NULL, PIL_DIVERGED, { "loss", "not a number", "step 1" } },
};
/* clang-format on */

static void test_mistakes(void **state)
{
    (void)state;
    expect_mistakes(mistakes, COUNT_OF(mistakes));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_mistakes) };
    return cmocka_run_group_tests(tests, custom_set_up, scratch_tear_down);
}
