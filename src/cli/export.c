/* SPDX-License-Identifier: Apache-2.0 */
/* pilaster export: a trained model as a folder of its own. */
#include "cli/cli.h"

static bool export_model(struct model *model, const struct arguments *arguments, pil_status *status)
{
    struct text yaml = { 0 }, line = { 0 };
    char path[PIL_PATH];
    modelfile_print(model, &yaml);
    struct estimator_options options = { .checkpoint = arguments->checkpoint, .model_file = yaml.data };
    struct pil_estimator *estimator = text_ok(&yaml, status) ? model_estimator(model, &options, (int)arguments->threads) : NULL;
    if (estimator)
        *status = pil_export(estimator, arguments->to, model_receives, path);
    bool ok = estimator && status_ok(status);
    if (ok) {
        text_append_text(&line, "{\"export\":");
        text_json_string(&line, slice_text(path));
        text_append_text(&line, "}\n");
    }
    ok = ok && output_text(&line, status) && output_flush(status);
    text_free(&yaml);
    text_free(&line);
    pil_estimator_free(estimator);
    return ok;
}

static int run(struct arguments *arguments)
{
    pil_status status = { 0 };
    if (!arguments->to) {
        say("pilaster: export needs --to DIR, the folder that gets the version");
        return EXIT_USAGE;
    }
    struct model *model = load_trained(arguments->target, arguments->checkpoint, &status);
    if (!model)
        return say_model_error(&status);
    bool ok = export_model(model, arguments, &status);
    model_free(model);
    return ok ? EXIT_DONE : say_error(&status);
}

static const struct option options[] = {
    { "to", "DIR", "the export becomes DIR/<seconds>", OPTION_TEXT, offsetof(struct arguments, to) },
    { "checkpoint", "P", "this checkpoint instead of the newest", OPTION_TEXT, offsetof(struct arguments, checkpoint) },
    { "threads", "N", "workers; 0: one a processor", OPTION_COUNT, offsetof(struct arguments, threads) },
};
const struct command command_export = { "export",
                                        "MODEL_DIR",
                                        "a trained model as a folder that runs by itself",
                                        "pilaster export flights_model --to exports",
                                        options,
                                        COUNT_OF(options),
                                        run };
