/* SPDX-License-Identifier: Apache-2.0 */
/* pilaster predict: a JSON object (or a line of a table) for each row of the data, in their order. */
#include "cli/cli.h"

static bool predict(struct model *model, const struct arguments *arguments, enum output_format format, pil_status *status)
{
    struct estimator_options options = { .checkpoint = arguments->checkpoint };
    struct predictions predictions = { .label = model->label, .format = format };
    model->data = arguments->data ? arguments->data : "-";
    bool ok = predictions_keep(&predictions, &arguments->keep, model->arena, status);
    struct pil_estimator *estimator = ok ? model_estimator(model, &options, (int)arguments->threads) : NULL;
    ok = estimator &&
         estimator_predict(estimator, model_eval_input, predictions.keep, predictions.keep_count, predictions_write, &predictions,
                           status) &&
         output_flush(status);
    predictions_free(&predictions);
    pil_estimator_free(estimator);
    return ok;
}

static int run(struct arguments *arguments)
{
    pil_status status = { 0 };
    enum output_format format;
    if (!output_format(arguments->format, true, &format))
        return EXIT_USAGE;
    int code;
    if (export_predict(arguments, format, &code))
        return code;
    struct model *model = load_trained(arguments->target, arguments->checkpoint, &status);
    if (!model)
        return say_model_error(&status);
    bool ok = predict(model, arguments, format, &status);
    model_free(model);
    return ok ? EXIT_DONE : say_error(&status);
}

static const struct option options[] = {
    { "data", "F", "CSV with a header, or JSON lines; '-' (the default) is standard input", OPTION_TEXT,
      offsetof(struct arguments, data) },
    { "checkpoint", "P", "this checkpoint instead of the newest", OPTION_TEXT, offsetof(struct arguments, checkpoint) },
    { "format", "FORMAT", "json (an object a row), csv or table", OPTION_TEXT, offsetof(struct arguments, format) },
    { "keep", "FIELDS", "copy these fields of the data (a,b,...) beside each prediction", OPTION_LIST,
      offsetof(struct arguments, keep) },
    { "threads", "N", "workers; 0: one a processor", OPTION_COUNT, offsetof(struct arguments, threads) },
};
const struct command command_predict = { "predict",
                                         "MODEL_DIR",
                                         "predictions of a trained model or an export, row by row",
                                         "pilaster predict flights_model --data rows.csv --format table",
                                         options,
                                         COUNT_OF(options),
                                         run };
