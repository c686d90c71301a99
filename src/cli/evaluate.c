/* SPDX-License-Identifier: Apache-2.0 */
/* pilaster evaluate: a trained model's metrics under TensorFlow's names. */
#include "cli/cli.h"

static bool evaluate(struct model *model, const struct arguments *arguments, enum output_format format, pil_status *status)
{
    struct estimator_options options = { .checkpoint = arguments->checkpoint };
    pil_train_spec train;
    pil_eval_spec eval;
    pil_result result;
    struct text out = { 0 };
    model->data = arguments->data;
    if (!model->data && !model_has_files(model, false, status))
        return false;
    model_specs(model, &train, &eval);
    struct pil_estimator *estimator = model_estimator(model, &options, (int)arguments->threads);
    *status = pil_evaluate(estimator, &eval, &result);
    bool ok = status_ok(status);
    if (ok)
        output_metrics(&result, format, &out);
    ok = ok && output_text(&out, status) && output_flush(status);
    text_free(&out);
    pil_estimator_free(estimator);
    return ok;
}

static int run(struct arguments *arguments)
{
    pil_status status = { 0 };
    enum output_format format;
    if (!output_format(arguments->format, false, &format))
        return EXIT_USAGE;
    struct model *model = load_trained(arguments->target, arguments->checkpoint, &status);
    if (!model)
        return say_model_error(&status);
    bool ok = evaluate(model, arguments, format, &status);
    model_free(model);
    return ok ? EXIT_DONE : say_error(&status);
}

static const struct option options[] = {
    { "data", "F", "a file or glob with labels, all of it; default: the model file's eval section", OPTION_TEXT,
      offsetof(struct arguments, data) },
    { "checkpoint", "P", "this checkpoint (MODEL_DIR/model.ckpt-1000) instead of the newest", OPTION_TEXT,
      offsetof(struct arguments, checkpoint) },
    { "format", "FORMAT", "json (one line) or table", OPTION_TEXT, offsetof(struct arguments, format) },
    { "threads", "N", "workers; 0: one a processor", OPTION_COUNT, offsetof(struct arguments, threads) },
};
const struct command command_evaluate = {
    "evaluate",        "MODEL_DIR", "metrics of a trained model", "pilaster evaluate flights_model --format table", options,
    COUNT_OF(options), run
};
