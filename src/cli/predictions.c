/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Predictions as people and programs read them, whoever made them: a JSON object a row under the outputs' names, CSV, or a line
 * for people; kept fields of the data stand in front. A classifier's outputs are told in CSV and tables as the class and the
 * probability of each.
 */
#include <string.h>

#include "cli/cli.h"

enum { WRITE_FROM = 1 << 20 };

/* Takes a field once. */
static void keep_field(struct predictions *predictions, const char *name)
{
    for (size_t i = 0; i < predictions->keep_count; i++)
        if (strcmp(predictions->keep[i].name, name) == 0)
            return;
    predictions->keep[predictions->keep_count++] = (struct field_spec){ .name = name, .type = FIELD_STRING, .required = true };
}

/* --keep a,b --keep c: what the model does not read itself is read as text. */
bool predictions_keep(struct predictions *predictions, const struct text_list *list, struct arena *arena, pil_status *status)
{
    for (size_t i = 0; i < list->count; i++) {
        for (const char *at = list->items[i], *end; at; at = *end ? end + 1 : NULL) {
            end = at + strcspn(at, ",");
            if (predictions->keep_count == MOST_KEPT)
                return status_fail(status, PIL_INVALID_ARGUMENT, "--keep takes at most %d fields", MOST_KEPT);
            const char *name = arena_text(arena, at, (size_t)(end - at), status);
            if (!name)
                return false;
            keep_field(predictions, name);
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

/* An object of JSON with two members of one name would lose one of them to most readers. */
static bool check_names(const struct predictions *predictions, const pil_output *outputs, size_t count, pil_status *status)
{
    for (size_t i = 0; predictions->format == FORMAT_JSON && i < predictions->keep_count; i++) {
        const char *name = predictions->keep[i].name;
        if (!find_output(outputs, count, name))
            continue;
        status_fail(status, PIL_INVALID_ARGUMENT, "--keep %s: a prediction has a member '%s' of its own", name, name);
        return status_hint(status, "rename the field in the data, or write --format csv");
    }
    return true;
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
    const float *probabilities =
        classes->probabilities->floats + output_row(classes->probabilities, row) * classes->probabilities->width;
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
    text_format(out, " %s%sprobability  %.3f   class %s", predictions->label ? predictions->label : "",
                predictions->label ? "  " : "", (double)probabilities[told], word);
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

bool predictions_write(void *context, const pil_output *outputs, size_t count, const struct batch *raw, pil_status *status)
{
    struct predictions *predictions = context;
    struct text *out = &predictions->text;
    text_clear(out);
    if (!predictions->headed && !check_names(predictions, outputs, count, status))
        return false;
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

void predictions_free(struct predictions *predictions)
{
    text_free(&predictions->text);
    text_free(&predictions->cell);
}

/* ---- of an export -------------------------------------------------------------------------------------------- */

static bool predict_export(const char *folder, const struct arguments *arguments, enum output_format format, struct arena *arena,
                           pil_status *status)
{
    struct predictions predictions = { .format = format };
    bool fine = arguments->checkpoint == NULL ||
                status_fail(status, PIL_INVALID_ARGUMENT,
                            "%s: an export has one version of its weights; --checkpoint is for a model_dir", folder);
    pil_predictor *predictor =
        fine && predictions_keep(&predictions, &arguments->keep, arena, status) ? pil_predictor_open(folder, status) : NULL;
    const struct predict_rows rows = { .data = arguments->data ? arguments->data : "-",
                                       .threads = (int)arguments->threads,
                                       .keep = predictions.keep,
                                       .keep_count = predictions.keep_count,
                                       .batch = predictions_write,
                                       .context = &predictions };
    fine = predictor && predictor_predict(predictor, &rows, status) && output_flush(status);
    pil_predictor_close(predictor);
    predictions_free(&predictions);
    return fine;
}

bool export_predict(const struct arguments *arguments, enum output_format format, int *code)
{
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char *folder = arena ? export_find(arguments->target, arena, &status) : NULL;
    bool is_export = folder != NULL;
    if (is_export)
        *code = predict_export(folder, arguments, format, arena, &status) ? EXIT_DONE : say_error(&status);
    arena_free(arena);
    return is_export;
}
