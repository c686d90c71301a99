/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a column makes of one row, said: the values that went in, the ids or numbers that came out. The row is run like any
 * other; the values of a cross's entry follow from its number, since combinations come with the last leaf fastest.
 */
#include <string.h>

#include "column/program.h"

/* One value of a field. */
static void say_cell(const struct field *field, int64_t entry, bool json, struct text *out)
{
    if (!field->present[entry]) {
        text_format(out, json ? "null" : "(none)");
    } else if (field->spec->type == FIELD_INT64) {
        text_format(out, "%lld", (long long)field->ints[entry]);
    } else if (field->spec->type == FIELD_FLOAT) {
        text_json_float(out, field->floats[entry]);
    } else if (json) {
        text_json_string(out, field->texts[entry]);
    } else {
        text_format(out, "'");
        text_append(out, field->texts[entry].data, field->texts[entry].size);
        text_format(out, "'");
    }
}

static const struct pil_column *lane_column(const struct program_run *run, int number)
{
    return run->program->lanes[number].column;
}

static int64_t entry_count(const struct program_run *run, int number)
{
    const struct lane_spec *spec = &run->program->lanes[number];
    const struct lane *lane = &run->lanes[number];

    if (column_is_numeric(spec->column))
        return numeric_width(spec->column);
    if (spec->ragged)
        return lane->offsets[1];
    return lane->present[0] || spec->crosses_empty ? 1 : 0;
}

/* The value behind entry `i` of a lane (of one row). */
static void say_value(const struct program_run *run, int number, int64_t i, bool json, struct text *out)
{
    const struct lane_spec *spec = &run->program->lanes[number];
    const struct pil_column *column = lane_column(run, number);
    int64_t begin, end, below = 1, i_of;

    if (column_is_crossed(column)) {
        text_format(out, json ? "[" : "");
        for (size_t k = 0; k < spec->input_count; k++)
            below *= entry_count(run, spec->inputs[k]);
        for (size_t k = 0; k < spec->input_count; k++) {
            int64_t count = entry_count(run, spec->inputs[k]);
            below /= count;
            i_of = i / below % count;
            text_format(out, k == 0 ? "" : json ? "," : " x ");
            say_value(run, spec->inputs[k], i_of, json, out);
        }
        text_format(out, json ? "]" : "");
        return;
    }
    if (column_is_numeric(column)) {
        text_json_float(out, run->lanes[number].floats[i]);
        return;
    }
    if (column && column->row->run) { /* bucketized, weighted: what their input was made of */
        say_value(run, spec->inputs[0], i, json, out);
        return;
    }
    field_entries(run->field_of[spec->field], run->first, &begin, &end);
    begin += spec->ragged ? run->lanes[number].places[i] : 0;
    say_cell(run->field_of[spec->field], begin, json, out);
}

/* The ids of the row as a JSON array each of values, ids and weights; a numeric column has values only. */
static void say_json(const struct program_run *run, int number, struct text *out)
{
    const struct lane *lane = &run->lanes[number];
    int64_t count = entry_count(run, number);
    const struct pil_column *column = lane_column(run, number);

    text_format(out, "{\"values\":[");
    for (int64_t i = 0; i < count; i++) {
        text_format(out, i > 0 ? "," : "");
        say_value(run, number, i, true, out);
    }
    text_format(out, "],\"ids\":[");
    for (int64_t i = 0; i < count && !column_is_numeric(column); i++)
        text_format(out, "%s%lld", i > 0 ? "," : "", (long long)lane->values[i]);
    text_format(out, "],\"weights\":[");
    for (int64_t i = 0; i < count && column_is_weighted(column); i++) {
        text_format(out, i > 0 ? "," : "");
        text_json_float(out, lane->floats[i]);
    }
    text_format(out, "]}");
}

static void say_entry(const struct program_run *run, int number, int64_t i, struct text *out)
{
    const struct lane *lane = &run->lanes[number];
    const struct pil_column *column = lane_column(run, number);
    int64_t id = (int64_t)lane->values[i];

    say_value(run, number, i, false, out);
    text_format(out, " -> ");
    if (id < 0) {
        text_format(out, "no id (not in the vocabulary)");
        return;
    }
    text_format(out, "id ");
    text_count(out, id);
    text_format(out, " of ");
    text_count(out, column->buckets);
    if (!column_is_weighted(column))
        return;
    text_format(out, ", weight ");
    text_json_float(out, lane->floats[i]);
}

static void say_text(const struct program_run *run, int number, struct text *out)
{
    bool numeric = column_is_numeric(lane_column(run, number));
    int64_t count = entry_count(run, number);

    if (count == 0)
        text_format(out, "no value");
    for (int64_t i = 0; i < count; i++) {
        text_format(out, i > 0 ? "; " : "");
        if (numeric)
            text_json_float(out, run->lanes[number].floats[i]);
        else
            say_entry(run, number, i, out);
    }
}

static void explain(const struct program *program, const struct pil_column *column, const struct fields *fields, int64_t row,
                    struct program_scratch *scratch, bool json, struct text *out)
{
    pil_status status = { PIL_OK, "" };
    int number = program_find_lane(program, column);
    struct program_run run;

    if (number < 0)
        status_fail(&status, PIL_INVALID_ARGUMENT, "the model does not use column '%s'", column_key(column));
    else if (program_bind(program, fields, row, 1, scratch, &status))
        program_chunk(program, fields, row, 1, scratch, &run, &status);
    if (status_ok(&status)) {
        (json ? say_json : say_text)(&run, number, out);
    } else if (json) {
        text_format(out, "{\"error\":");
        text_json_string(out, slice_text(status.message));
        text_format(out, "}");
    } else {
        text_format(out, "%s", status.message);
    }
}

void program_explain(const struct program *program, const struct pil_column *column, const struct fields *fields, int64_t row,
                     struct program_scratch *scratch, bool json, struct text *out)
{
    if (!column_is_group(column)) {
        explain(program, column, fields, row, scratch, json, out);
        return;
    }
    text_format(out, json ? "{" : "");
    for (size_t i = 0; i < column->input_count; i++) {
        const struct pil_column *member = column->inputs[i];
        text_format(out, i == 0 ? "" : json ? "," : "; ");
        if (json) {
            text_json_string(out, slice_text(member->name));
            text_format(out, ":");
        } else {
            text_format(out, "%s: ", member->name);
        }
        explain(program, member, fields, row, scratch, json, out);
    }
    text_format(out, json ? "}" : "");
}
