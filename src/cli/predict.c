/* SPDX-License-Identifier: Apache-2.0 */
/* pilaster predict: a JSON object (or a line of a table) for each row of the data, in their order. */
#include <string.h>

#include "cli/cli.h"

struct predictions {
    const struct model *model;
    enum output_format format;
    const struct text_list *keep;
    struct text text;
    bool headed;
};

/* A raw field of a row as text: several values joined by its separator. */
static void field_text(const struct fields *fields, size_t f, int64_t row, struct text *out)
{
    const struct field *field = &fields->fields[f];
    int64_t first = field->offsets ? field->offsets[row] : row, last = field->offsets ? field->offsets[row + 1] : row + 1;
    for (int64_t e = first; !field->absent && e < last; e++) {
        if (e > first)
            text_append(out, &field->spec->separator, 1);
        if (!field->present[e])
            continue;
        if (field->spec->type == FIELD_STRING)
            text_append(out, field->texts[e].data, field->texts[e].size);
        else if (field->spec->type == FIELD_INT64)
            text_format(out, "%lld", (long long)field->ints[e]);
        else
            text_json_float(out, field->floats[e]);
    }
}

static bool keep_fields(struct predictions *predictions, const struct batch *raw, int64_t row, pil_status *status)
{
    for (size_t i = 0; i < predictions->keep->count; i++) {
        const char *name = predictions->keep->items[i];
        int64_t f = raw->fields ? fields_find(raw->fields, name) : -1;
        if (f < 0)
            return status_fail(status, PIL_INVALID_ARGUMENT, "--keep: the model reads no field '%s'", name);
        struct text value = { 0 };
        field_text(raw->fields, (size_t)f, row, &value);
        struct slice slice = slice_of(value.data ? value.data : "", value.size);
        struct text *out = &predictions->text;
        if (predictions->format == FORMAT_JSON) {
            text_json_string(out, slice_text(name));
            text_append(out, ":", 1);
            if (raw->fields->fields[f].spec->type == FIELD_STRING || raw->fields->fields[f].offsets || !slice.size)
                text_json_string(out, slice);
            else
                text_append(out, slice.data, slice.size);
            text_append(out, ",", 1);
        } else {
            text_append(out, slice.data, slice.size);
            text_append(out, predictions->format == FORMAT_CSV ? "," : "  ", predictions->format == FORMAT_CSV ? 1 : 2);
        }
        text_free(&value);
    }
    return true;
}

static void write_head(struct predictions *predictions)
{
    struct text *out = &predictions->text;
    predictions->headed = true;
    if (predictions->format != FORMAT_CSV)
        return;
    for (size_t i = 0; i < predictions->keep->count; i++)
        text_format(out, "%s,", predictions->keep->items[i]);
    const struct head_options *head = &predictions->model->head;
    if (head->kind == HEAD_REGRESSION) {
        for (int64_t c = 0; c < head->label_dimension; c++)
            text_format(out, head->label_dimension == 1 ? "%spredictions" : "%spredictions_%lld", c ? "," : "", (long long)c);
        text_format(out, "\n");
        return;
    }
    text_format(out, "class");
    for (int64_t c = 0; c < head->classes; c++) {
        text_format(out, ",probability_");
        head_class_word(head, c, out);
    }
    text_format(out, "\n");
}

/* The row as cells: predictions; or the class and its probabilities. */
static void write_cells(struct predictions *predictions, const struct head_batch *batch, int64_t row)
{
    struct text *out = &predictions->text;
    const struct head_options *head = &predictions->model->head;
    bool csv = predictions->format == FORMAT_CSV;
    if (head->kind == HEAD_REGRESSION) {
        for (int64_t c = 0; c < batch->logits->cols; c++) {
            text_format(out, "%s", c ? (csv ? "," : "  ") : csv ? "" : " ");
            if (csv)
                text_json_float(out, tensor_floats(batch->logits)[row * batch->logits->ld + c]);
            else
                text_format(out, "%s  %.6g", predictions->model->label, (double)tensor_floats(batch->logits)[row * batch->logits->ld + c]);
        }
        text_format(out, "\n");
        return;
    }
    int64_t class_id = (int64_t)tensor_floats(batch->class_ids)[row * batch->class_ids->ld];
    const float *probabilities = tensor_floats(batch->probabilities) + row * batch->probabilities->ld;
    if (!csv) {
        /* Of two classes people ask for the second one's probability, of more for the winner's. */
        text_format(out, " %s  probability  %.3f   class ", predictions->model->label,
                    (double)probabilities[head->kind == HEAD_BINARY ? 1 : class_id]);
        head_class_word(head, class_id, out);
        text_format(out, "\n");
        return;
    }
    head_class_word(head, class_id, out);
    for (int64_t c = 0; c < head->classes; c++) {
        text_append(out, ",", 1);
        text_json_float(out, probabilities[c]);
    }
    text_format(out, "\n");
}

static bool write_batch(void *context, const struct head_batch *batch, const struct batch *raw, pil_status *status)
{
    struct predictions *predictions = context;
    struct text *out = &predictions->text;
    text_clear(out);
    if (!predictions->headed)
        write_head(predictions);
    for (int64_t row = 0; row < raw->rows; row++) {
        size_t start = out->size;
        if (predictions->format != FORMAT_JSON) {
            if (!keep_fields(predictions, raw, row, status))
                return false;
            write_cells(predictions, batch, row);
            continue;
        }
        head_print_json(&predictions->model->head, batch, row, out);
        text_append(out, "\n", 1);
        if (!predictions->keep->count || out->failed)
            continue;
        /* Kept fields stand in front: the object is written again behind them. */
        struct text object = { 0 };
        text_append(&object, out->data + start + 1, out->size - start - 1);
        out->size = start;
        text_append(out, "{", 1);
        bool ok = keep_fields(predictions, raw, row, status);
        text_append(out, object.data, object.size);
        text_free(&object);
        if (!ok)
            return false;
    }
    return output_text(out, status);
}

static bool predict(struct model *model, const struct arguments *arguments, enum output_format format, pil_status *status)
{
    struct estimator_options options = { .threads = (int)arguments->threads, .checkpoint = arguments->checkpoint };
    struct predictions predictions = { .model = model, .format = format, .keep = &arguments->keep };
    struct estimator *estimator = estimator_new(model, &options, status);
    bool ok = estimator && estimator_predict(estimator, arguments->data ? arguments->data : "-", arguments->keep.count > 0, write_batch,
                                             &predictions, status) &&
              output_flush(status);
    text_free(&predictions.text);
    estimator_free(estimator);
    return ok;
}

static int run(struct arguments *arguments)
{
    pil_status status = { 0 };
    enum output_format format;
    if (!output_format(arguments->format, true, &format))
        return EXIT_USAGE;
    struct model *model = load_trained(arguments->target, &status);
    bool ok = model && predict(model, arguments, format, &status);
    model_free(model);
    return ok ? EXIT_DONE : say_error(&status);
}

static const struct option options[] = {
    { "data", "F", "CSV with a header, or JSON lines; '-' (the default) is standard input", OPTION_TEXT, offsetof(struct arguments, data) },
    { "checkpoint", "P", "this checkpoint instead of the newest", OPTION_TEXT, offsetof(struct arguments, checkpoint) },
    { "format", "FORMAT", "json (an object a row), csv or table", OPTION_TEXT, offsetof(struct arguments, format) },
    { "keep", "FIELD", "copy this input field beside each prediction; may be repeated", OPTION_LIST, offsetof(struct arguments, keep) },
    { "threads", "N", "workers; 0: one a processor", OPTION_COUNT, offsetof(struct arguments, threads) },
};
const struct command command_predict = { "predict", "MODEL_DIR", "predictions of a trained model, row by row",
                                         "pilaster predict flights_model --data rows.csv --format table", options, COUNT_OF(options), run };
