/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What "pilaster train MODEL.yaml" does, with a clock: from the model file to the last evaluation, by the program's own code.
 *
 *     train NAME MODEL.yaml MODEL_DIR [--threads N] [--set KEY=VALUE]...
 *
 * Prints one JSON object: "seconds" and "examples_s" of the whole training (from reading the model file until the last step is
 * done, evaluations between and the checkpoint at the start included), "training_s" as the program says it (without those),
 * "steady_examples_s" of the steps after the first 200, the processor time of all cores together, and the last evaluation.
 * NAME is the workload's.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "estimator/estimator.h"

enum { WARM_UP = 200, MOST_SETS = 32 };

struct clock {
    double start, warm, last; /* seconds */
    int64_t warm_examples, examples, steps;
    double training, loss, processor;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double processor_seconds(struct rusage *usage)
{
    getrusage(RUSAGE_SELF, usage);
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * 1e-6;
}

/* The time of a step is noted when the step is done; an evaluation behind the last one is not counted. */
static void on_event(void *context, const struct estimator_event *event)
{
    struct clock *clock = context;
    struct rusage usage;
    if (event->kind != EVENT_STEP)
        return;
    clock->last = now();
    clock->examples = event->examples;
    clock->training = event->seconds;
    clock->loss = event->loss;
    if (++clock->steps == WARM_UP) {
        clock->warm = clock->last;
        clock->warm_examples = event->examples;
    }
    clock->processor = processor_seconds(&usage);
}

static void print(const char *name, int threads, const struct clock *clock, const struct model *model, const pil_result *result)
{
    struct rusage usage;
    double seconds = clock->last - clock->start, steady = clock->last - clock->warm;
    processor_seconds(&usage);
    printf("{\"workload\":\"%s\",\"who\":\"pilaster\",\"threads\":%d,\"examples\":%lld,\"seconds\":%.3f,\"training_s\":%.3f,"
           "\"examples_s\":%.0f,"
           "\"steady_examples_s\":%.0f,\"processor_s\":%.3f,\"max_rss_mb\":%.1f,\"loss\":%.5f",
           name, threads, (long long)clock->examples, seconds, clock->training, (double)clock->examples / seconds,
           clock->warm > 0 && steady > 0 ? (double)(clock->examples - clock->warm_examples) / steady : 0.0, clock->processor,
           (double)usage.ru_maxrss / 1024, clock->loss);
    for (size_t i = 0; i < result->metric_count; i++) {
        double value = result->metrics[i].value;
        printf(",\"%s\":%.6g", result->metrics[i].name, value);
        if (model->head.kind == PIL_HEAD_REGRESSION && strcmp(result->metrics[i].name, "average_loss") == 0)
            printf(",\"rmse\":%.5f", sqrt(value));
    }
    printf("}\n");
}

int main(int count, char **words)
{
    const char *sets[MOST_SETS];
    size_t set_count = 0;
    pil_status status = { PIL_OK, "" };
    struct clock clock = { .start = now() };
    struct estimator_options options = { .event = on_event, .context = &clock };
    int threads = 0;
    for (int i = 4; i + 1 < count; i += 2) {
        if (strcmp(words[i], "--threads") == 0)
            threads = atoi(words[i + 1]);
        else if (strcmp(words[i], "--set") == 0 && set_count < MOST_SETS)
            sets[set_count++] = words[i + 1];
    }
    if (count < 4) {
        fprintf(stderr, "train NAME MODEL.yaml MODEL_DIR [--threads N] [--set KEY=VALUE]...\n");
        return 2;
    }
    struct model *model = modelfile_load(words[2], sets, set_count, &status);
    if (model) {
        pil_train_spec train;
        pil_eval_spec eval;
        pil_result result = { 0 };
        model->run.model_dir = words[3];
        model_specs(model, &train, &eval);
        struct pil_estimator *estimator = model_estimator(model, &options, threads);
        status =
            model_can_evaluate(model) ? pil_train_and_evaluate(estimator, &train, &eval, &result) : pil_train(estimator, &train);
        if (status_ok(&status))
            print(words[1], threads, &clock, model, &result);
        pil_estimator_free(estimator);
    }
    model_free(model);
    if (status_ok(&status))
        return 0;
    fprintf(stderr, "train: %s\n", status.message);
    return 1;
}
