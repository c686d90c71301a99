/* SPDX-License-Identifier: Apache-2.0 */
/* pilaster columns: what each column of a model file makes of each row of data. Nothing is trained. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

/* Asks the program for every column of the file, used by the model or not; for the members of shared embeddings. */
static bool ask_for_all(const struct model *model, struct program *program, pil_status *status)
{
    for (size_t i = 0; i < model->input.field_count; i++)
        if (!program_field(program, &model->input.fields[i], status))
            return false;
    for (size_t i = 0; i < column_set_count(model->columns); i++) {
        struct pil_column *column = column_set_at(model->columns, i);
        for (size_t k = 0; k < column_part_count(column); k++)
            if (!program_column(program, column_part(column, k), status))
                return false;
    }
    return program_finish(program, status);
}

static void explain_row(const struct model *model, const struct program *program, const struct fields *fields, int64_t row,
                        struct program_scratch *scratch, bool json, struct text *out)
{
    if (json)
        text_append(out, "{", 1);
    for (size_t i = 0; i < column_set_count(model->columns); i++) {
        const struct pil_column *column = column_set_at(model->columns, i);
        const char *key = column_key(column);
        if (json) {
            text_append(out, ",", i > 0);
            text_json_string(out, slice_text(key));
            text_append(out, ":", 1);
        } else {
            text_format(out, " %-24s ", key);
        }
        program_explain(program, column, fields, row, scratch, json, out);
        if (!json)
            text_append(out, "\n", 1);
    }
    text_append(out, json ? "}\n" : "\n", json ? 2 : 1);
}

static bool explain(const struct model *model, const struct arguments *arguments, bool json, pil_status *status)
{
    struct program_options program_options = { model->input.max_values_per_row, model->tf_dense };
    struct program *program = program_new(&program_options, status);
    struct threads *threads = threads_new(1, status);
    const char *data[] = { arguments->data };
    const struct arg_texts *train = &model->input.train;
    struct feed_options options = { .paths = arguments->data ? data : train->items,
                                    .path_count = arguments->data ? 1 : train->count,
                                    .format = model->input.format,
                                    .csv = model->input.csv,
                                    .keep_fields = true,
                                    .targets_optional = true,
                                    .order = { .batch_size = 64, .epochs = 1 } };
    struct feed *feed = NULL;
    struct program_scratch *scratch = NULL;
    struct text out = { 0 };
    bool ok = program && threads && ask_for_all(model, program, status);
    ok = ok && (scratch = program_scratch_new(program, status)) && (feed = feed_open(program, &options, threads, status));
    for (int64_t left = arguments->rows ? arguments->rows : INT64_MAX; ok && left > 0;) {
        const struct batch *batch = feed_next(feed, status);
        if (!batch)
            break;
        text_clear(&out);
        for (int64_t row = 0; row < batch->rows && left > 0; row++, left--)
            explain_row(model, program, batch->fields, row, scratch, json, &out);
        ok = output_text(&out, status);
    }
    text_free(&out);
    feed_close(feed);
    program_scratch_free(scratch);
    threads_free(threads);
    program_free(program);
    return ok && status_ok(status) && output_flush(status);
}

static int run(struct arguments *arguments)
{
    pil_status status = { 0 };
    enum output_format format;
    if (!output_format(arguments->format, false, &format))
        return EXIT_USAGE;
    struct model *model = modelfile_load(arguments->target, arguments->sets.items, arguments->sets.count, &status);
    if (!model)
        return say_model_error(&status);
    bool ok = explain(model, arguments, format == FORMAT_JSON, &status);
    model_free(model);
    return ok ? EXIT_DONE : say_error(&status);
}

static const struct option options[] = {
    { "data", "F", "the rows to look at; '-' is standard input; default: the training files", OPTION_TEXT,
      offsetof(struct arguments, data) },
    { "rows", "N", "only the first N rows", OPTION_POSITIVE, offsetof(struct arguments, rows) },
    { "format", "FORMAT", "json (an object a row) or table", OPTION_TEXT, offsetof(struct arguments, format) },
    { "set", "KEY=VALUE", "override a value of the model file", OPTION_LIST, offsetof(struct arguments, sets) },
};
const struct command command_columns = { "columns",
                                         "MODEL.yaml",
                                         "what each column makes of each row: values, ids, weights",
                                         "pilaster columns examples/flights/model.yaml --rows 1 --format table",
                                         options,
                                         COUNT_OF(options),
                                         run };
