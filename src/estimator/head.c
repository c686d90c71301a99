/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads: from logits to loss, predictions and metrics, under the original's names (semantics: tf.estimator's RegressionHead,
 * BinaryClassHead, MultiClassHead).
 *
 *   regression   squared error                 predictions
 *   binary       sigmoid cross entropy         logits, logistic, probabilities, class_ids, classes, all_class_ids, all_classes
 *   multi-class  sparse softmax cross entropy  the same without logistic
 */
#include <math.h>
#include <string.h>

#include "estimator/estimator.h"

int64_t head_logits(const struct head_options *head)
{
    return head->kind == HEAD_REGRESSION ? head->label_dimension : head->kind == HEAD_BINARY ? 1 : head->classes;
}

static struct pil_tensor *losses_of(const struct head_options *head, struct pil_graph *graph, struct pil_tensor *logits,
                                    struct pil_tensor *labels)
{
    static const char *const ops[] = { [HEAD_REGRESSION] = "squared_difference", [HEAD_BINARY] = "sigmoid_cross_entropy",
                                       [HEAD_MULTI_CLASS] = "sparse_softmax_cross_entropy" };
    return graph_op2(graph, ops[head->kind], NULL, logits, labels);
}

struct head_tensors head_build(const struct head_options *head, struct pil_graph *graph, enum mode mode, struct pil_tensor *logits,
                               struct pil_tensor *labels, struct pil_tensor *weights)
{
    struct head_tensors out = { .logits = logits };
    if (mode != MODE_PREDICT) {
        struct pil_tensor *losses = losses_of(head, graph, logits, labels);
        out.loss = loss_reduce(graph, losses, weights, head->reduction);
        out.losses = losses;
    }
    if (mode == MODE_TRAIN || head->kind == HEAD_REGRESSION)
        return out;
    if (head->kind == HEAD_BINARY) {
        out.logistic = graph_op1(graph, "activation", &(struct op_activation_args){ ACTIVATION_SIGMOID }, logits);
        struct pil_tensor *zero = graph_op1(graph, "scale", &(struct op_scalar_args){ 0 }, logits);
        logits = graph_op2(graph, "concat", &(struct op_axis_args){ .axis = 1 }, zero, logits);
    }
    out.probabilities = graph_op1(graph, "softmax", NULL, logits);
    out.class_ids = graph_op1(graph, "argmax", NULL, logits);
    return out;
}

/* ---- metrics ---- */

enum judged { FROM_LOSSES, FROM_LABELS, FROM_PREDICTIONS, FROM_CLASSES };
/* A metric of a head: its name, its kind, and what it averages or judges. */
struct metric_row {
    const char *name, *kind;
    enum judged values;
    bool labelled;
};
static const struct metric_row regression_rows[] = {
    { "average_loss", "mean", FROM_LOSSES, false },
    { "label/mean", "mean", FROM_LABELS, false },
    { "prediction/mean", "mean", FROM_PREDICTIONS, false },
};
static const struct metric_row binary_rows[] = {
    { "accuracy", "accuracy", FROM_CLASSES, true },
    { "auc", "auc", FROM_PREDICTIONS, true },
    { "auc_precision_recall", "auc_precision_recall", FROM_PREDICTIONS, true },
    { "average_loss", "mean", FROM_LOSSES, false },
    { "label/mean", "mean", FROM_LABELS, false },
    { "precision", "precision", FROM_CLASSES, true },
    { "prediction/mean", "mean", FROM_PREDICTIONS, false },
    { "recall", "recall", FROM_CLASSES, true },
};
static const struct metric_row multi_class_rows[] = {
    { "accuracy", "accuracy", FROM_CLASSES, true },
    { "average_loss", "mean", FROM_LOSSES, false },
};
static const struct {
    const struct metric_row *rows;
    size_t count;
} head_rows[] = {
    [HEAD_REGRESSION] = { regression_rows, COUNT_OF(regression_rows) },
    [HEAD_BINARY] = { binary_rows, COUNT_OF(binary_rows) },
    [HEAD_MULTI_CLASS] = { multi_class_rows, COUNT_OF(multi_class_rows) },
};

enum { MOST_METRICS = 12 };
struct head_metrics {
    enum head_kind kind;
    struct metric *streaming[MOST_METRICS];
    double loss_sum;     /* of the batches' training losses: a short last batch counts as one */
    int64_t batches;
    int label_mean;      /* which row is label/mean, -1: none */
};

struct head_metrics *head_metrics_new(const struct head_options *head, pil_status *status)
{
    struct head_metrics *metrics = mem_new(sizeof *metrics, status);
    if (!metrics)
        return NULL;
    metrics->kind = head->kind;
    metrics->label_mean = -1;
    for (size_t i = 0; i < head_rows[head->kind].count; i++) {
        const struct metric_row *row = &head_rows[head->kind].rows[i];
        metrics->streaming[i] = metric_new(&(struct metric_options){ row->kind, head->tensorflow, 200 }, status);
        if (!metrics->streaming[i]) {
            head_metrics_free(metrics);
            return NULL;
        }
        if (strcmp(row->name, "label/mean") == 0)
            metrics->label_mean = (int)i;
    }
    return metrics;
}

void head_metrics_update(struct head_metrics *metrics, const struct head_batch *batch)
{
    const struct tensor *predictions = metrics->kind == HEAD_BINARY ? batch->logistic : batch->logits;
    const struct tensor *const sources[] = { [FROM_LOSSES] = batch->losses, [FROM_LABELS] = batch->labels,
                                             [FROM_PREDICTIONS] = predictions, [FROM_CLASSES] = batch->class_ids };
    for (size_t i = 0; i < head_rows[metrics->kind].count; i++) {
        const struct metric_row *row = &head_rows[metrics->kind].rows[i];
        metric_update(metrics->streaming[i], row->labelled ? batch->labels : NULL, sources[row->values], batch->weights);
    }
    metrics->loss_sum += batch->loss;
    metrics->batches++;
}

/* The table's metrics, then accuracy_baseline (binary), then loss. */
size_t head_metrics_count(const struct head_metrics *metrics)
{
    return head_rows[metrics->kind].count + (metrics->kind == HEAD_BINARY) + 1;
}

const char *head_metrics_name(const struct head_metrics *metrics, size_t i)
{
    size_t rows = head_rows[metrics->kind].count;
    if (i < rows)
        return head_rows[metrics->kind].rows[i].name;
    return metrics->kind == HEAD_BINARY && i == rows ? "accuracy_baseline" : "loss";
}

double head_metrics_value(const struct head_metrics *metrics, size_t i)
{
    size_t rows = head_rows[metrics->kind].count;
    if (i < rows)
        return metric_result(metrics->streaming[i]);
    if (metrics->kind == HEAD_BINARY && i == rows) {
        double mean = metric_result(metrics->streaming[metrics->label_mean]);
        return mean > 0.5 ? mean : 1 - mean;
    }
    return metrics->batches ? metrics->loss_sum / (double)metrics->batches : 0;
}

void head_metrics_free(struct head_metrics *metrics)
{
    if (!metrics)
        return;
    for (int i = 0; i < MOST_METRICS; i++)
        metric_free(metrics->streaming[i]);
    mem_free(metrics);
}

/* ---- predictions as text ---- */

void head_class_word(const struct head_options *head, int64_t class_id, struct text *out)
{
    if (head->vocabulary && class_id >= 0 && (size_t)class_id < head->vocabulary_count)
        text_append(out, head->vocabulary[class_id], strlen(head->vocabulary[class_id]));
    else
        text_format(out, "%lld", (long long)class_id);
}

static void json_class(const struct head_options *head, int64_t class_id, struct text *out)
{
    struct text word = { 0 };
    head_class_word(head, class_id, &word);
    text_json_string(out, slice_of(word.data ? word.data : "", word.size));
    text_free(&word);
}

static void json_row(const char *key, const struct tensor *values, int64_t row, struct text *out)
{
    text_format(out, "%s\"%s\":[", out->size && out->data[out->size - 1] != '{' ? "," : "", key);
    for (int64_t c = 0; c < values->cols; c++) {
        if (c)
            text_append(out, ",", 1);
        text_json_float(out, tensor_floats(values)[row * values->ld + c]);
    }
    text_append(out, "]", 1);
}

void head_print_json(const struct head_options *head, const struct head_batch *batch, int64_t row, struct text *out)
{
    text_append(out, "{", 1);
    if (head->kind == HEAD_REGRESSION) {
        json_row("predictions", batch->logits, row, out);
        text_append(out, "}", 1);
        return;
    }
    json_row("logits", batch->logits, row, out);
    if (batch->logistic)
        json_row("logistic", batch->logistic, row, out);
    json_row("probabilities", batch->probabilities, row, out);
    int64_t class_id = (int64_t)tensor_floats(batch->class_ids)[row * batch->class_ids->ld];
    text_format(out, ",\"class_ids\":[%lld],\"classes\":[", (long long)class_id);
    json_class(head, class_id, out);
    text_append(out, "],\"all_class_ids\":[", 19);
    for (int64_t c = 0; c < head->classes; c++)
        text_format(out, "%s%lld", c ? "," : "", (long long)c);
    text_append(out, "],\"all_classes\":[", 17);
    for (int64_t c = 0; c < head->classes; c++) {
        if (c)
            text_append(out, ",", 1);
        json_class(head, c, out);
    }
    text_append(out, "]}", 2);
}
