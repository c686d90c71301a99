/* SPDX-License-Identifier: Apache-2.0 */
/* pilaster train: train_and_evaluate a model file; the last line on stdout is the last evaluation. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"

static struct pil_estimator *training; /* the one that a signal stops */

static void on_signal(int number)
{
    (void)number;
    pil_estimator_stop(training);
}

/* The first signal saves and stops; the second one kills, as people expect. */
static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* The command line's say over the model file's. */
static void override(struct model *model, const struct arguments *arguments)
{
    if (arguments->model_dir)
        model->run.model_dir = arguments->model_dir;
    if (arguments->has_max_steps) {
        model->train.max_steps = arguments->max_steps;
        model->train.steps = 0;
    }
}

static bool train_and_evaluate(const struct model *model, struct pil_estimator *estimator, struct text *profile,
                               pil_status *status)
{
    struct text out = { 0 };
    pil_train_spec train;
    pil_eval_spec eval;
    pil_result result = { 0 };
    model_specs(model, &train, &eval);
    training = estimator;
    catch_signals();
    *status =
        model_can_evaluate(model) ? pil_train_and_evaluate(estimator, &train, &eval, &result) : pil_train(estimator, &train);
    if (profile->data)
        fprintf(stderr, "%s", profile->data);
    bool ok = status_ok(status);
    if (ok && result.metric_count) {
        output_metrics(&result, FORMAT_JSON, &out);
        ok = output_text(&out, status);
    }
    text_free(&out);
    return ok;
}

static bool describe(const struct model *model, struct pil_estimator *estimator, pil_status *status)
{
    struct text out = { 0 };
    modelfile_print(model, &out);
    bool ok = model_describe(model, estimator, &out, status) && output_text(&out, status);
    text_free(&out);
    return ok;
}

static bool train(struct model *model, const struct arguments *arguments, pil_status *status)
{
    if (!model_has_files(model, true, status))
        return false;
    struct text profile = { 0 }, yaml = { 0 };
    struct progress progress = { .model = model, .terminal = isatty(STDERR_FILENO) && !getenv("NO_PROGRESS") };
    modelfile_print(model, &yaml); /* as written: what a warm start took over is of no use to the next start */
    struct estimator_options options = { .profile = arguments->profile ? &profile : NULL,
                                         .accept_changed_data = arguments->accept_changed_data,
                                         .model_file = yaml.data,
                                         .event = progress_event,
                                         .context = &progress };
    if (arguments->warm_start_from)
        model->warm_start_from = arguments->warm_start_from;
    struct pil_estimator *estimator = text_ok(&yaml, status) ? model_estimator(model, &options, (int)arguments->threads) : NULL;
    progress.estimator = estimator;
    bool ok = estimator &&
              (arguments->dry_run ? describe(model, estimator, status) : train_and_evaluate(model, estimator, &profile, status));
    training = NULL;
    progress_end(&progress);
    text_free(&profile);
    text_free(&yaml);
    pil_estimator_free(estimator);
    return ok && output_flush(status);
}

static int run(struct arguments *arguments)
{
    pil_status status = { 0 };
    struct model *model = modelfile_load(arguments->target, arguments->sets.items, arguments->sets.count, &status);
    if (!model)
        return say_model_error(&status);
    override(model, arguments);
    bool ok = train(model, arguments, &status);
    model_free(model);
    return ok ? EXIT_DONE : say_error(&status);
}

static const struct option options[] = {
    { "model-dir", "D", "where checkpoints, events and model.yaml go; a second train goes on there", OPTION_TEXT,
      offsetof(struct arguments, model_dir) },
    { "max-steps", "N", "stop when the model has been trained N steps in all", OPTION_POSITIVE,
      offsetof(struct arguments, max_steps) },
    { "threads", "N", "workers; 0: one a processor. The result has the same bits for any N", OPTION_COUNT,
      offsetof(struct arguments, threads) },
    { "warm-start-from", "CKPT", "a new model takes over the variables that fit from a checkpoint or a model's folder",
      OPTION_TEXT, offsetof(struct arguments, warm_start_from) },
    { "set", "KEY=VALUE", "override a value of the model file: --set params.dnn_hidden_units=[32]", OPTION_LIST,
      offsetof(struct arguments, sets) },
    { "accept-changed-data", NULL, "resume although data or columns have changed; the input starts anew", OPTION_FLAG,
      offsetof(struct arguments, accept_changed_data) },
    { "profile", NULL, "afterwards, a table of where the time went (on stderr)", OPTION_FLAG,
      offsetof(struct arguments, profile) },
    { "dry-run", NULL, "print the model with every default, its parameters and the schedule; train nothing", OPTION_FLAG,
      offsetof(struct arguments, dry_run) },
};
const struct command command_train = { "train",
                                       "MODEL.yaml",
                                       "trains the model, evaluates it, leaves checkpoints; resumes where it stopped",
                                       "pilaster train examples/flights/model.yaml --model-dir flights_model",
                                       options,
                                       COUNT_OF(options),
                                       run };
