/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation: one pass over a dataset. During training it uses the live values; by itself, those of a checkpoint. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "estimator/internal.h"

static bool make_metrics(struct evaluation *evaluation, pil_status *status)
{
    const pil_metrics *metrics = &evaluation->run.spec.eval_metric_ops;
    evaluation->metrics = mem_array(MAX(metrics->count, 1), sizeof *evaluation->metrics, status);
    for (size_t i = 0; evaluation->metrics && i < metrics->count; i++) {
        evaluation->metrics[i] = metric_new(&metrics->items[i].metric->options, status);
        if (!evaluation->metrics[i])
            return false;
    }
    return evaluation->metrics != NULL;
}

static void free_graph(struct evaluation *evaluation)
{
    for (size_t i = 0; evaluation->metrics && i < evaluation->run.spec.eval_metric_ops.count; i++)
        metric_free(evaluation->metrics[i]);
    mem_free(evaluation->metrics);
    evaluation->metrics = NULL;
    mode_free(&evaluation->run);
}

static bool make_graph(struct evaluation *evaluation, pil_status *status)
{
    const pil_eval_spec *spec = evaluation->spec;
    free_graph(evaluation);
    return mode_make(&evaluation->run, evaluation->estimator, PIL_EVAL, evaluation->dataset, spec->hooks, spec->hook_count,
                     status) &&
           make_metrics(evaluation, status);
}

static bool open_dataset(struct evaluation *evaluation, pil_status *status)
{
    if (!evaluation->dataset)
        evaluation->dataset = estimator_dataset(evaluation->estimator, evaluation->spec->input_fn, "eval", status);
    if (evaluation->dataset && evaluation->dataset->order.epochs == 0 && evaluation->spec->steps == PIL_ALL)
        return status_fail(status, PIL_INVALID_ARGUMENT,
                           "the evaluation would not end: its data repeat without end, and its spec has no steps");
    return evaluation->dataset != NULL;
}

bool evaluation_prepare(struct evaluation *evaluation, struct pil_estimator *estimator, const pil_eval_spec *spec,
                        pil_status *status)
{
    *evaluation = (struct evaluation){ .estimator = estimator, .spec = spec };
    return open_dataset(evaluation, status) && make_graph(evaluation, status);
}

struct sums {
    const struct evaluation *evaluation;
    double loss;
    int64_t batches;
};

static bool add_batch(void *context, const struct batch *batch, pil_status *status)
{
    struct sums *sums = context;
    const struct mode_run *run = &sums->evaluation->run;
    const pil_metrics *metrics = &run->spec.eval_metric_ops;
    (void)batch;
    for (size_t i = 0; i < metrics->count; i++)
        if (!metric_count(sums->evaluation->metrics[i], metrics->items[i].metric, metrics->items[i].name, &run->fetches,
                          run->session, status))
            return false;
    sums->loss += (double)tensor_floats(mode_value(run, run->spec.loss))[0];
    sums->batches++;
    return true;
}

static void add_result(pil_result *result, const char *name, double value)
{
    pil_metric_value *metric = &result->metrics[result->metric_count++];
    snprintf(metric->name, sizeof metric->name, "%s", name);
    metric->value = value;
}

/* The loss is the mean of the batches' losses, as the original's: a short last batch counts as one. */
static void fill_result(const struct evaluation *evaluation, const struct sums *sums, pil_result *result)
{
    const pil_metrics *metrics = &evaluation->run.spec.eval_metric_ops;
    result->global_step = estimator_step(evaluation->estimator);
    result->metric_count = 0;
    for (size_t i = 0; i < metrics->count; i++)
        add_result(result, metrics->items[i].name, metric_result(evaluation->metrics[i]));
    add_result(result, "loss", sums->batches ? sums->loss / (double)sums->batches : 0);
}

static bool evaluate(struct evaluation *evaluation, pil_result *result, pil_status *status)
{
    enum { DEFAULT_STEPS = 100 };
    const struct pil_dataset *dataset = evaluation->dataset;
    struct sums sums = { .evaluation = evaluation };
    struct feed *feed = mode_feed(&evaluation->run, evaluation->estimator, dataset, NULL, NULL, 0, status);
    struct mode_pass pass = { .estimator = evaluation->estimator,
                              .run = &evaluation->run,
                              .feed = feed,
                              .each = add_batch,
                              .context = &sums,
                              .steps = evaluation->spec->steps ? evaluation->spec->steps : DEFAULT_STEPS };
    for (size_t i = 0; i < evaluation->run.spec.eval_metric_ops.count; i++)
        metric_reset(evaluation->metrics[i]);
    bool ok = feed && mode_pass(&pass, status);
    if (ok && sums.batches == 0)
        ok = status_fail(status, PIL_BAD_DATA, "%s: there are no rows to evaluate",
                         dataset->split.share > 0 ? "eval.split"
                         : dataset->path_count    ? dataset->paths[0]
                                                  : "the eval data");
    if (ok && !evaluation->skipped_told)
        mode_tell_skipped(feed, "evaluation");
    evaluation->skipped_told = true;
    feed_close(feed);
    if (ok)
        fill_result(evaluation, &sums, result);
    return ok;
}

bool evaluation_run(struct evaluation *evaluation, pil_result *result, pil_status *status)
{
    bool ok = open_dataset(evaluation, status) &&
              (mode_fits(&evaluation->run, evaluation->dataset) || make_graph(evaluation, status)) &&
              (evaluation->run.session || mode_bind(&evaluation->run, evaluation->estimator, status)) &&
              evaluate(evaluation, result, status);
    pil_dataset_free(evaluation->dataset);
    evaluation->dataset = NULL;
    return ok;
}

void evaluation_end(struct evaluation *evaluation)
{
    free_graph(evaluation);
    pil_dataset_free(evaluation->dataset);
    *evaluation = (struct evaluation){ 0 };
}

bool evaluation_write(const struct pil_estimator *estimator, const char *name, const pil_result *result,
                      struct event_writer **events, pil_status *status)
{
    double now = (double)time(NULL);
    if (!*events) {
        struct text folder = { 0 };
        text_format(&folder, "%s/eval%s%s", estimator->config.model_dir, name ? "_" : "", name ? name : "");
        *events = text_ok(&folder, status) ? event_writer_new(folder.data, NULL, now, status) : NULL;
        text_free(&folder);
    }
    for (size_t i = 0; *events && i < result->metric_count; i++)
        if (!event_scalar(*events, now, result->global_step, result->metrics[i].name, (float)result->metrics[i].value, status))
            return false;
    return status_ok(status) && event_flush(*events, status);
}

/* Of a model that has been trained; first values are nobody's curve. */
static bool write_alone(const struct pil_estimator *estimator, const pil_eval_spec *spec, const pil_result *result,
                        pil_status *status)
{
    struct event_writer *events = NULL;
    pil_status closing = { 0 };
    if (!estimator->options.eval_events || !estimator->restored)
        return true;
    bool ok = evaluation_write(estimator, spec->name, result, &events, status);
    return event_writer_close(events, ok ? status : &closing) && ok;
}

bool evaluate_alone(struct pil_estimator *estimator, const pil_eval_spec *spec, pil_result *result, pil_status *status)
{
    struct evaluation evaluation;
    bool ok = evaluation_prepare(&evaluation, estimator, spec, status) && values_make(estimator, &evaluation.run, status) &&
              evaluation_run(&evaluation, result, status) && write_alone(estimator, spec, result, status);
    evaluation_end(&evaluation);
    return ok;
}
