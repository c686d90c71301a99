/* SPDX-License-Identifier: Apache-2.0 */
/* pilaster predict: a JSON object (or a line of a table) for each row of the data, in their order. */
#include <string.h>

#include "cli/cli.h"

enum { MOST_KEPT = 256, WRITE_FROM = 1 << 20 };
struct predictions {
    const char *label; /* of the model, or NULL */
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

static const pil_output *find_output(const pil_output *outputs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(outputs[i].name, name) == 0)
            return &outputs[i];
    return NULL;
}

/* A classifier's outputs are told in two: the class, and the probability of each. */
struct classes {
    const pil_output *chosen, *probabilities, *all;
};
static bool find_classes(const pil_output *outputs, size_t count, struct classes *out)
{
    *out = (struct classes){ find_output(outputs, count, "classes"), find_output(outputs, count, "probabilities"),
                             find_output(outputs, count, "all_classes") };
    return out->chosen && out->chosen->strings && out->probabilities && out->all && out->all->strings &&
           out->all->width == out->probabilities->width;
}

static void write_head(struct predictions *predictions, const pil_output *outputs, size_t count)
{
    struct text *out = &predictions->text;
    struct classes classes;
    predictions->headed = true;
    if (predictions->format != FORMAT_CSV)
        return;
    for (size_t i = 0; i < predictions->keep_count; i++) {
        csv_cell(out, slice_text(predictions->keep[i].name));
        text_append(out, ",", 1);
    }
    if (find_classes(outputs, count, &classes)) {
        text_format(out, "class");
        for (int64_t c = 0; c < classes.all->width; c++) {
            text_clear(&predictions->cell);
            text_format(&predictions->cell, "probability_%s", classes.all->strings[c]);
            text_append(out, ",", 1);
            csv_cell(out, slice_of(predictions->cell.data, predictions->cell.size));
        }
        text_format(out, "\n");
        return;
    }
    for (size_t i = 0; i < count; i++)
        for (int64_t c = 0; c < outputs[i].width; c++) {
            text_clear(&predictions->cell);
            text_format(&predictions->cell, outputs[i].width == 1 ? "%s" : "%s_%lld", outputs[i].name, (long long)c);
            text_append(out, ",", i > 0 || c > 0);
            csv_cell(out, slice_of(predictions->cell.data, predictions->cell.size));
        }
    text_format(out, "\n");
}

static void write_value(const pil_output *output, int64_t k, bool csv, struct text *out)
{
    if (output->strings && csv)
        csv_cell(out, slice_text(output->strings[k]));
    else if (output->strings)
        text_append_text(out, output->strings[k]);
    else if (output->ints)
        text_format(out, "%lld", (long long)output->ints[k]);
    else if (csv)
        text_json_float(out, output->floats[k]);
    else
        text_format(out, "%.6g", (double)output->floats[k]);
}

static void write_class(const struct predictions *predictions, const struct classes *classes, int64_t row, struct text *out)
{
    const char *word = classes->chosen->strings[output_row(classes->chosen, row) * classes->chosen->width];
    const float *probabilities = classes->probabilities->floats + output_row(classes->probabilities, row) * classes->probabilities->width;
    int64_t many = classes->probabilities->width;
    if (predictions->format == FORMAT_CSV) {
        csv_cell(out, slice_text(word));
        for (int64_t c = 0; c < many; c++) {
            text_append(out, ",", 1);
            text_json_float(out, probabilities[c]);
        }
        return;
    }
    /* Of two classes people ask for the second one's probability, of more for the winner's. */
    int64_t told = 1;
    for (int64_t c = 0; many > 2 && c < many; c++)
        told = c == 0 || probabilities[c] > probabilities[told] ? c : told;
    text_format(out, " %s  probability  %.3f   class %s", predictions->label, (double)probabilities[told], word);
}

/* The row as cells: a class and its probabilities; or all outputs. */
static void write_cells(struct predictions *predictions, const pil_output *outputs, size_t count, int64_t row)
{
    struct text *out = &predictions->text;
    struct classes classes;
    bool csv = predictions->format == FORMAT_CSV, first = true;
    if (find_classes(outputs, count, &classes)) {
        write_class(predictions, &classes, row, out);
        text_format(out, "\n");
        return;
    }
    for (size_t i = 0; i < count; i++)
        for (int64_t c = 0; c < outputs[i].width; c++, first = false) {
            bool own = strcmp(outputs[i].name, "predictions") == 0 && predictions->label;
            text_format(out, "%s", first ? (csv ? "" : " ") : csv ? "," : "  ");
            if (!csv)
                text_format(out, "%s  ", own ? predictions->label : outputs[i].name);
            write_value(&outputs[i], output_row(&outputs[i], row) * outputs[i].width + c, csv, out);
        }
    text_format(out, "\n");
}

/* Kept fields stand in front, within the same braces. */
static void write_object(struct predictions *predictions, const pil_output *outputs, size_t count, const struct fields *fields,
                         int64_t row)
{
    struct text *out = &predictions->text;
    text_append(out, "{", 1);
    write_kept(predictions, fields, row);
    size_t brace = out->size;
    output_json(outputs, count, row, out);
    text_append(out, "\n", 1);
    if (out->failed)
        return;
    memmove(out->data + brace, out->data + brace + 1, out->size - brace); /* over the object's own brace; the NUL comes along */
    out->size--;
}

static bool write_batch(void *context, const pil_output *outputs, size_t count, const struct batch *raw, pil_status *status)
{
    struct predictions *predictions = context;
    struct text *out = &predictions->text;
    text_clear(out);
    if (!predictions->headed)
        write_head(predictions, outputs, count);
    for (int64_t row = 0; row < raw->rows; row++) {
        if (predictions->format == FORMAT_JSON) {
            write_object(predictions, outputs, count, raw->fields, row);
        } else {
            write_kept(predictions, raw->fields, row);
            write_cells(predictions, outputs, count, row);
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
    struct estimator_options options = { .checkpoint = arguments->checkpoint };
    struct predictions predictions = { .label = model->label, .format = format };
    model->data = arguments->data ? arguments->data : "-";
    bool ok = read_keep(&predictions, &arguments->keep, model->arena, status);
    struct pil_estimator *estimator = ok ? model_estimator(model, &options, (int)arguments->threads) : NULL;
    ok = estimator &&
         estimator_predict(estimator, model_eval_input, predictions.keep, predictions.keep_count, write_batch, &predictions, status) &&
         output_flush(status);
    text_free(&predictions.text);
    text_free(&predictions.cell);
    pil_estimator_free(estimator);
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
