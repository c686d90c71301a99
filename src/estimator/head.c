/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads: from logits to loss, metrics, predictions and export outputs, under the original's names (semantics: tf.estimator's
 * RegressionHead, BinaryClassHead, MultiClassHead). The canned estimators end in pil_head_spec as anybody's model may.
 *
 *   regression   squared error                 predictions
 *   binary       sigmoid cross entropy         logits, logistic, probabilities, class_ids, classes, all_class_ids, all_classes
 *   multi-class  sparse softmax cross entropy  the same without logistic
 */
#include <string.h>

#include "estimator/internal.h"

pil_head pil_head_default(pil_head_kind kind)
{
    return (pil_head){ PIL_HEAD_DEFAULTS, .kind = kind };
}

int64_t pil_head_logits_dimension(const pil_head *head)
{
    return head->kind == PIL_HEAD_REGRESSION ? head->label_dimension : head->kind == PIL_HEAD_BINARY ? 1 : head->n_classes;
}

pil_head_spec_options pil_head_spec_options_default(void)
{
    return (pil_head_spec_options){ PIL_HEAD_SPEC_DEFAULTS, .labels = NULL };
}

/* A head at work on one graph. */
struct build {
    const pil_head *head;
    const pil_features *features;
    struct pil_graph *graph;
    pil_mode mode;
    int64_t classes;
    const char *const *words; /* of the classes: the vocabulary, or their numbers */
    struct pil_tensor *logits, *labels, *weights, *losses;
    struct pil_tensor *logistic, *probabilities, *class_ids;
};

/* ---- checks ---- */

static bool is_matrix(const struct pil_tensor *tensor, int64_t columns)
{
    const struct op_type *type = &tensor->type;
    return !type->sparse && type->shape.rank == 2 && type->shape.dims[1] == columns;
}

static bool check_head(const struct build *b)
{
    const pil_head *head = b->head;
    struct pil_graph *graph = b->graph;
    if (head->kind == PIL_HEAD_MULTI_CLASS && head->n_classes < 3)
        graph_fail(graph, "the head: n_classes is %lld, a multi-class head needs 3 or more (pil_binary_class_head is for 2)",
                   (long long)head->n_classes);
    else if (head->kind == PIL_HEAD_REGRESSION && head->label_dimension < 1)
        graph_fail(graph, "the head: label_dimension is %lld, 1 or more is needed", (long long)head->label_dimension);
    else if (head->loss_reduction <= PIL_REDUCTION_NONE || head->loss_reduction > PIL_REDUCTION_MEAN)
        graph_fail(graph, "the head: its loss must be reduced to one number, loss_reduction is %d", (int)head->loss_reduction);
    else if (head->label_vocabulary.count && head->kind == PIL_HEAD_REGRESSION)
        graph_fail(graph, "the head: a regression has no label_vocabulary");
    else if (head->label_vocabulary.count && (int64_t)head->label_vocabulary.count != b->classes)
        graph_fail(graph, "the head: label_vocabulary has %zu words for %lld classes", head->label_vocabulary.count,
                   (long long)b->classes);
    return status_ok(graph_status(graph));
}

static bool check_shapes(const struct build *b, int64_t label_columns)
{
    int64_t columns = pil_head_logits_dimension(b->head);
    char have[128];
    if (!b->logits)
        graph_fail(b->graph, "the head: the logits are NULL");
    else if (!is_matrix(b->logits, columns))
        graph_fail(b->graph, "the head: the logits %s are %s, [?, %lld] is needed", graph_tensor_name(b->logits),
                   shape_text(b->logits->type.shape, have), (long long)columns);
    else if (b->mode != PIL_PREDICT && !b->labels)
        graph_fail(b->graph, "the head: there are no labels: the data of training and evaluation need one");
    else if (b->labels && !is_matrix(b->labels, label_columns))
        graph_fail(b->graph, "the head: the labels %s are %s, [?, %lld] is needed beside the logits",
                   graph_tensor_name(b->labels), shape_text(b->labels->type.shape, have), (long long)label_columns);
    return status_ok(graph_status(b->graph));
}

/* Labels that are words or class numbers: the column program turns them into 0, 1, ... and checks the range. */
static bool settle_labels(const struct build *b)
{
    if (b->head->kind == PIL_HEAD_REGRESSION || !b->labels)
        return true;
    if (b->labels == b->features->targets)
        return features_label_words(b->features, b->head->label_vocabulary, b->classes);
    if (b->head->label_vocabulary.count)
        graph_fail(b->graph, "the head: label_vocabulary turns the data's own label into numbers; these labels are computed");
    return status_ok(graph_status(b->graph));
}

/* "0", "1", ...: the classes' words where no vocabulary gives better ones. */
static const char *const *number_words(struct pil_graph *graph, int64_t classes)
{
    pil_status status = { 0 };
    const char **words = arena_alloc(graph_arena(graph), (size_t)classes * sizeof *words, &status);
    for (int64_t c = 0; words && c < classes; c++)
        words[c] = arena_format(graph_arena(graph), &status, "%lld", (long long)c);
    if (!status_ok(&status))
        graph_fail_with(graph, &status);
    return words;
}

/* ---- parts ---- */

static struct pil_tensor *loss_of(struct build *b)
{
    static const enum loss_reduction reductions[] = { [PIL_REDUCTION_SUM] = REDUCTION_SUM,
                                                      [PIL_REDUCTION_SUM_OVER_BATCH_SIZE] = REDUCTION_SUM_OVER_BATCH_SIZE,
                                                      [PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS] = REDUCTION_NONZERO_WEIGHTS,
                                                      [PIL_REDUCTION_MEAN] = REDUCTION_MEAN };
    static const char *const ops[] = { [PIL_HEAD_REGRESSION] = "squared_difference",
                                       [PIL_HEAD_BINARY] = "sigmoid_cross_entropy",
                                       [PIL_HEAD_MULTI_CLASS] = "sparse_softmax_cross_entropy" };
    b->losses = graph_op2(b->graph, ops[b->head->kind], NULL, b->logits, b->labels);
    return loss_reduce(b->graph, b->losses, b->weights, reductions[b->head->loss_reduction]);
}

static void classify(struct build *b)
{
    struct pil_tensor *logits = b->logits;
    if (b->mode == PIL_TRAIN || b->head->kind == PIL_HEAD_REGRESSION)
        return;
    if (b->head->kind == PIL_HEAD_BINARY) {
        b->logistic = graph_op1(b->graph, "activation", &(struct op_activation_args){ ACTIVATION_SIGMOID }, logits);
        struct pil_tensor *zero = graph_op1(b->graph, "scale", &(struct op_scalar_args){ 0 }, logits);
        logits = graph_op2(b->graph, "concat", &(struct op_axis_args){ .axis = 1 }, zero, logits);
    }
    b->probabilities = graph_op1(b->graph, "softmax", NULL, logits);
    b->class_ids = graph_op1(b->graph, "argmax", NULL, logits);
}

/* 0, 1, ... as a constant [classes]. */
static struct pil_tensor *all_classes(const struct build *b)
{
    pil_status status = { 0 };
    float *numbers = mem_array((size_t)b->classes, sizeof *numbers, &status);
    if (!numbers) {
        graph_fail_with(b->graph, &status);
        return graph_error_tensor(b->graph);
    }
    for (int64_t c = 0; c < b->classes; c++)
        numbers[c] = (float)c;
    struct pil_tensor *constant = graph_constant(b->graph, SHAPE(b->classes), numbers);
    mem_free(numbers);
    return constant;
}

static pil_dict predictions_of(const struct build *b)
{
    if (b->head->kind == PIL_HEAD_REGRESSION)
        return PIL_DICT(b->graph, { "predictions", b->logits, false, NULL, 0 });
    struct pil_tensor *all = all_classes(b);
    size_t words = (size_t)b->classes, count = 0;
    pil_named_tensor items[7];
    items[count++] = (pil_named_tensor){ .name = "logits", .tensor = b->logits };
    if (b->logistic)
        items[count++] = (pil_named_tensor){ .name = "logistic", .tensor = b->logistic };
    items[count++] = (pil_named_tensor){ .name = "probabilities", .tensor = b->probabilities };
    items[count++] = (pil_named_tensor){ .name = "class_ids", .tensor = b->class_ids, .integer = true };
    items[count++] = (pil_named_tensor){ .name = "classes", .tensor = b->class_ids, .words = b->words, .word_count = words };
    items[count++] = (pil_named_tensor){ .name = "all_class_ids", .tensor = all, .integer = true };
    items[count++] = (pil_named_tensor){ .name = "all_classes", .tensor = all, .words = b->words, .word_count = words };
    return pil_dict_make(b->graph, items, count);
}

/* With raw receivers the original's serving_default is the predict signature. */
static pil_exports exports_of(const struct build *b, pil_dict predictions)
{
    pil_named_export items[4];
    size_t count = 0;
    items[count++] = (pil_named_export){ "serving_default", pil_predict_output(predictions) };
    items[count++] = (pil_named_export){ "predict", pil_predict_output(predictions) };
    if (b->head->kind == PIL_HEAD_REGRESSION) {
        if (b->head->label_dimension == 1)
            items[count++] = (pil_named_export){ "regression", pil_regression_output(b->logits) };
    } else {
        items[count++] =
            (pil_named_export){ "classification", pil_classification_output(b->probabilities, b->words, (size_t)b->classes) };
        if (b->logistic)
            items[count++] = (pil_named_export){ "regression", pil_regression_output(b->logistic) };
    }
    return pil_exports_make(b->graph, items, count);
}

/* ---- metrics ---- */

enum judged { FROM_LOSSES, FROM_LABELS, FROM_PREDICTIONS, FROM_CLASSES };
/* A metric of a head: its name, its kind, and what it averages or judges. */
struct metric_row {
    const char *name, *kind;
    enum judged values;
    bool labelled;
    const char *curve;
};
static const struct metric_row regression_rows[] = {
    { "average_loss", "mean", FROM_LOSSES, false },
    { "label/mean", "mean", FROM_LABELS, false },
    { "prediction/mean", "mean", FROM_PREDICTIONS, false },
};
static const struct metric_row binary_rows[] = {
    { "accuracy", "accuracy", FROM_CLASSES, true },
    { "auc", "auc", FROM_PREDICTIONS, true },
    { "auc_precision_recall", "auc", FROM_PREDICTIONS, true, "PR" },
    { "average_loss", "mean", FROM_LOSSES, false },
    { "label/mean", "mean", FROM_LABELS, false },
    { "precision", "precision", FROM_CLASSES, true },
    { "prediction/mean", "mean", FROM_PREDICTIONS, false },
    { "recall", "recall", FROM_CLASSES, true },
    { "accuracy_baseline", "accuracy_baseline", FROM_LABELS, false },
};
static const struct metric_row multi_class_rows[] = {
    { "accuracy", "accuracy", FROM_CLASSES, true },
    { "average_loss", "mean", FROM_LOSSES, false },
};
static const struct {
    const struct metric_row *rows;
    size_t count;
} head_rows[] = {
    [PIL_HEAD_REGRESSION] = { regression_rows, COUNT_OF(regression_rows) },
    [PIL_HEAD_BINARY] = { binary_rows, COUNT_OF(binary_rows) },
    [PIL_HEAD_MULTI_CLASS] = { multi_class_rows, COUNT_OF(multi_class_rows) },
};

size_t head_metric_names(const pil_head *head, const char **names, size_t limit)
{
    size_t count = MIN(head_rows[head->kind].count, limit - 1);
    for (size_t i = 0; i < count; i++)
        names[i] = head_rows[head->kind].rows[i].name;
    names[count] = "loss";
    return count + 1;
}

static pil_metrics metrics_of(const struct build *b)
{
    enum { MOST_METRICS = 12 };
    struct pil_tensor *const sources[] = { [FROM_LOSSES] = b->losses,
                                           [FROM_LABELS] = b->labels,
                                           [FROM_PREDICTIONS] = b->logistic ? b->logistic : b->logits,
                                           [FROM_CLASSES] = b->class_ids };
    pil_named_metric items[MOST_METRICS];
    size_t count = head_rows[b->head->kind].count;
    for (size_t i = 0; i < count; i++) {
        const struct metric_row *row = &head_rows[b->head->kind].rows[i];
        pil_metric_options options = pil_metric_options_default();
        options.predictions = sources[row->values];
        options.weights = b->weights;
        options.keras = b->head->tensorflow != 1;
        options.curve = row->curve ? row->curve : options.curve;
        items[i] =
            (pil_named_metric){ row->name, pil_metric_make(b->graph, row->kind, row->labelled ? b->labels : NULL, &options) };
    }
    return pil_metrics_make(b->graph, items, count);
}

/* ---- all of it ---- */

pil_estimator_spec pil_head_spec_make(const pil_head *head, const pil_features *features, pil_mode mode, pil_tensor *logits,
                                      const pil_head_spec_options *options)
{
    struct build b = { .head = head, .features = features, .graph = features->inputs.graph, .mode = mode, .logits = logits };
    pil_estimator_spec spec = { .mode = mode };
    b.classes = head->kind == PIL_HEAD_REGRESSION ? 0 : head->kind == PIL_HEAD_BINARY ? 2 : head->n_classes;
    b.labels = mode == PIL_PREDICT ? NULL : options->labels;
    if (!status_ok(graph_status(b.graph)) || !check_head(&b) ||
        !check_shapes(&b, head->kind == PIL_HEAD_REGRESSION ? head->label_dimension : 1) || !settle_labels(&b))
        return spec;
    if (mode != PIL_PREDICT && head->weight_column)
        b.weights = features_weights(features, head->weight_column);
    if (mode != PIL_PREDICT)
        spec.loss = loss_of(&b);
    classify(&b);
    if (mode == PIL_TRAIN) {
        spec.train_op = options->optimizer ? pil_minimize(b.graph, *options->optimizer, spec.loss) : NULL;
        return spec;
    }
    if (b.classes)
        b.words = head->label_vocabulary.count ? head->label_vocabulary.items : number_words(b.graph, b.classes);
    if (b.classes && !b.words)
        return spec;
    spec.predictions = predictions_of(&b);
    spec.export_outputs = exports_of(&b, spec.predictions);
    if (mode == PIL_EVAL)
        spec.eval_metric_ops = metrics_of(&b);
    return spec;
}
