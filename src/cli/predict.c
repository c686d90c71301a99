/* SPDX-License-Identifier: Apache-2.0 */
/* pilaster predict: a JSON object (or a line of a table) for each row of the data, in their order. */
#include <string.h>

#include "cli/cli.h"

enum { MOST_KEPT = 256, WRITE_FROM = 1 << 20 };
struct predictions {
    const struct model *model;
    enum output_format format;
    struct field_spec keep[MOST_KEPT];
    size_t keep_count;
    struct text text, cell;
    bool headed;
};

/* Takes a field once. An object of JSON with two members of one name would lose one of them to most readers. */
static bool keep_field(struct predictions *predictions, const char *name, pil_status *status)
{
    static const char *const own[] = { "predictions", "logits", "logistic", "probabilities",
                                       "class_ids", "classes", "all_class_ids", "all_classes" };
    for (size_t i = 0; predictions->format == FORMAT_JSON && i < COUNT_OF(own); i++) {
        if (strcmp(own[i], name) != 0)
            continue;
        status_fail(status, PIL_INVALID_ARGUMENT, "--keep %s: a prediction has a member '%s' of its own", name, name);
        return status_hint(status, "rename the field in the data, or write --format csv");
    }
    for (size_t i = 0; i < predictions->keep_count; i++)
        if (strcmp(predictions->keep[i].name, name) == 0)
            return true;
    predictions->keep[predictions->keep_count++] = (struct field_spec){ .name = name, .type = FIELD_STRING, .required = true };
    return true;
}

/* --keep a,b --keep c: what the model does not read itself is read as text. */
static bool read_keep(struct predictions *predictions, const struct text_list *list, struct arena *arena, pil_status *status)
{
    for (size_t i = 0; i < list->count; i++) {
        for (const char *at = list->items[i], *end; at; at = *end ? end + 1 : NULL) {
            end = at + strcspn(at, ",");
            if (predictions->keep_count == MOST_KEPT)
                return status_fail(status, PIL_INVALID_ARGUMENT, "--keep takes at most %d fields", MOST_KEPT);
            const char *name = arena_text(arena, at, (size_t)(end - at), status);
            if (!name)
                return false;
            if (!keep_field(predictions, name, status))
                return false;
        }
    }
    return true;
}

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

/* A cell of CSV: in quotes, and quotes doubled, where it holds what ends a cell or a line (RFC 4180). */
static void csv_cell(struct text *out, struct slice cell)
{
    bool quoted = false;
    for (size_t i = 0; i < cell.size; i++)
        quoted = quoted || cell.data[i] == ',' || cell.data[i] == '"' || cell.data[i] == '\n' || cell.data[i] == '\r';
    text_append(out, "\"", quoted);
    for (size_t i = 0; i < cell.size; i++)
        text_append(out, quoted && cell.data[i] == '"' ? "\"\"" : &cell.data[i], quoted && cell.data[i] == '"' ? 2 : 1);
    text_append(out, "\"", quoted);
}

/* The kept fields of a row, each with what parts it from the next. The feed has read all of them. */
static void write_kept(struct predictions *predictions, const struct fields *fields, int64_t row)
{
    struct text *out = &predictions->text, *cell = &predictions->cell;
    for (size_t i = 0; i < predictions->keep_count; i++) {
        size_t f = (size_t)fields_find(fields, predictions->keep[i].name);
        const struct field_spec *spec = fields->fields[f].spec;
        text_clear(cell);
        field_text(fields, f, row, cell);
        struct slice value = slice_of(cell->size ? cell->data : "", cell->size);
        if (predictions->format == FORMAT_TABLE) {
            text_format(out, " %.*s ", (int)value.size, value.data);
        } else if (predictions->format == FORMAT_CSV) {
            csv_cell(out, value);
            text_append(out, ",", 1);
        } else {
            text_json_string(out, slice_text(spec->name));
            text_append(out, ":", 1);
            if (spec->type == FIELD_STRING || spec->separator)
                text_json_string(out, value);
            else
                text_format(out, "%s", value.size ? value.data : "null");
            text_append(out, ",", 1);
        }
        out->failed = out->failed || cell->failed;
    }
}

static void write_head(struct predictions *predictions)
{
    struct text *out = &predictions->text;
    predictions->headed = true;
    if (predictions->format != FORMAT_CSV)
        return;
    for (size_t i = 0; i < predictions->keep_count; i++) {
        csv_cell(out, slice_text(predictions->keep[i].name));
        text_append(out, ",", 1);
    }
    const struct head_options *head = &predictions->model->head;
    if (head->kind == HEAD_REGRESSION) {
        for (int64_t c = 0; c < head->label_dimension; c++)
            text_format(out, head->label_dimension == 1 ? "%spredictions" : "%spredictions_%lld", c ? "," : "", (long long)c);
        text_format(out, "\n");
        return;
    }
    text_format(out, "class");
    for (int64_t c = 0; c < head->classes; c++) {
        text_clear(&predictions->cell);
        text_format(&predictions->cell, "probability_");
        head_class_word(head, c, &predictions->cell);
        text_append(out, ",", 1);
        csv_cell(out, slice_of(predictions->cell.data, predictions->cell.size));
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
    text_clear(&predictions->cell);
    head_class_word(head, class_id, &predictions->cell);
    csv_cell(out, slice_of(predictions->cell.data, predictions->cell.size));
    for (int64_t c = 0; c < head->classes; c++) {
        text_append(out, ",", 1);
        text_json_float(out, probabilities[c]);
    }
    text_format(out, "\n");
}

/* Kept fields stand in front, within the same braces. */
static void write_object(struct predictions *predictions, const struct head_batch *batch, const struct fields *fields,
                         int64_t row)
{
    struct text *out = &predictions->text;
    text_append(out, "{", 1);
    write_kept(predictions, fields, row);
    size_t brace = out->size;
    head_print_json(&predictions->model->head, batch, row, out);
    text_append(out, "\n", 1);
    if (out->failed)
        return;
    memmove(out->data + brace, out->data + brace + 1, out->size - brace); /* over the object's own brace; the NUL comes along */
    out->size--;
}

static bool write_batch(void *context, const struct head_batch *batch, const struct batch *raw, pil_status *status)
{
    struct predictions *predictions = context;
    struct text *out = &predictions->text;
    text_clear(out);
    if (!predictions->headed)
        write_head(predictions);
    for (int64_t row = 0; row < raw->rows; row++) {
        if (predictions->format == FORMAT_JSON) {
            write_object(predictions, batch, raw->fields, row);
        } else {
            write_kept(predictions, raw->fields, row);
            write_cells(predictions, batch, row);
        }
        if (out->size >= WRITE_FROM || row + 1 == raw->rows) { /* a batch of many classes may be large */
            if (!output_text(out, status))
                return false;
            text_clear(out);
        }
    }
    return true;
}

static bool predict(struct model *model, const struct arguments *arguments, enum output_format format, pil_status *status)
{
    struct estimator_options options = { .threads = (int)arguments->threads, .checkpoint = arguments->checkpoint };
    struct predictions predictions = { .model = model, .format = format };
    bool ok = read_keep(&predictions, &arguments->keep, model->arena, status);
    struct estimator *estimator = ok ? estimator_new(model, &options, status) : NULL;
    ok = estimator &&
         estimator_predict(estimator, arguments->data ? arguments->data : "-", predictions.keep, predictions.keep_count,
                           write_batch, &predictions, status) &&
         output_flush(status);
    text_free(&predictions.text);
    text_free(&predictions.cell);
    estimator_free(estimator);
    return ok;
}

static int run(struct arguments *arguments)
{
    pil_status status = { 0 };
    enum output_format format;
    if (!output_format(arguments->format, true, &format))
        return EXIT_USAGE;
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
const struct command command_predict = { "predict", "MODEL_DIR", "predictions of a trained model, row by row",
                                         "pilaster predict flights_model --data rows.csv --format table", options, COUNT_OF(options), run };
