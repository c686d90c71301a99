/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs carried out: CHUNK_ROWS rows at a time, every lane of the chunk is made while its inputs are in the nearest cache,
 * then the rows' records are written. Here are also the drivers, which cut a field's cells for the kinds of column, skip those
 * that are missing and say where an error happened, so that a kind is a function from one value to an id.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "column/program.h"

/* ---- scratch and records ------------------------------------------------------------------------------------- */

static bool lane_new(struct lane *lane, const struct lane_spec *spec, pil_status *status)
{
    if (column_is_numeric(spec->column)) {
        size_t need = (size_t)(CHUNK_ROWS * numeric_width(spec->column));
        return mem_grow(&lane->floats, &lane->float_capacity, need, sizeof *lane->floats, status);
    }
    if (!mem_grow(&lane->values, &lane->value_capacity, CHUNK_ROWS, sizeof *lane->values, status))
        return false;
    if (!spec->ragged)
        return (lane->present = mem_array(CHUNK_ROWS, sizeof *lane->present, status)) != NULL;
    return (lane->offsets = mem_array(CHUNK_ROWS + 1, sizeof *lane->offsets, status)) != NULL;
}

struct program_scratch *program_scratch_new(const struct program *program, pil_status *status)
{
    struct program_scratch *scratch;

    if (!program->finished) {
        status_fail(status, PIL_INTERNAL, "a column program is run before it is finished");
        return NULL;
    }
    scratch = mem_new(sizeof *scratch, status);
    if (!scratch)
        return NULL;
    scratch->program = program;
    scratch->lanes = mem_array(MAX(program->lane_count, 1), sizeof *scratch->lanes, status);
    scratch->fields = mem_array(MAX(program->field_count, 1), sizeof *scratch->fields, status);
    for (size_t i = 0; scratch->lanes && scratch->fields && i < program->lane_count; i++)
        if (!lane_new(&scratch->lanes[i], &program->lanes[i], status))
            break;
    if (status_ok(status))
        return scratch;
    program_scratch_free(scratch);
    return NULL;
}

void program_scratch_free(struct program_scratch *scratch)
{
    if (!scratch)
        return;
    for (size_t i = 0; scratch->lanes && i < scratch->program->lane_count; i++) {
        struct lane *lane = &scratch->lanes[i];
        mem_free(lane->values);
        mem_free(lane->present);
        mem_free(lane->offsets);
        mem_free(lane->places);
        mem_free(lane->floats);
    }
    mem_free(scratch->lanes);
    mem_free(scratch->fields);
    mem_free(scratch);
}

bool lane_reserve(struct lane *lane, int64_t entries, bool with_floats, pil_status *status)
{
    size_t need = (size_t)entries;

    if (!mem_grow(&lane->values, &lane->value_capacity, need, sizeof *lane->values, status) ||
        !mem_grow(&lane->places, &lane->place_capacity, need, sizeof *lane->places, status))
        return false;
    return !with_floats || mem_grow(&lane->floats, &lane->float_capacity, need, sizeof *lane->floats, status);
}

bool records_init(struct records *records, const struct program *program, pil_status *status)
{
    *records = (struct records){ 0 };
    if (program->ragged_count == 0)
        return true;
    records->ragged = mem_array(program->ragged_count, sizeof *records->ragged, status);
    records->ragged_count = records->ragged ? program->ragged_count : 0;
    return records->ragged != NULL;
}

void records_clear(struct records *records)
{
    records->rows = 0;
    for (size_t i = 0; i < records->ragged_count; i++)
        sparse_clear(&records->ragged[i]);
}

void records_free(struct records *records)
{
    for (size_t i = 0; i < records->ragged_count; i++)
        sparse_builder_free(&records->ragged[i]);
    mem_free(records->ragged);
    mem_free(records->words);
    *records = (struct records){ 0 };
}

/* ---- what kinds use ------------------------------------------------------------------------------------------ */

const struct lane_spec *run_input_spec(const struct lane_spec *lane, const struct program_run *run, size_t i)
{
    return &run->program->lanes[lane->inputs[i]];
}

int64_t run_max_values(const struct program_run *run)
{
    return run->program->options.max_values_per_row;
}

bool run_fail_at(const struct program_run *run, int64_t row, const struct field *field, const struct pil_column *column)
{
    const struct fields *fields = run->fields;
    const char *source = fields->sources ? fields->sources[run->first + row] : fields->source;
    long long line = fields->lines ? (long long)fields->lines[run->first + row] : (long long)(run->first + row + 1);
    char what[512] = "";
    size_t size = sizeof what;

    if (field && (!column || strcmp(column_key(column), field->spec->name) == 0))
        snprintf(what, size, "field '%.200s': ", field->spec->name);
    else if (field)
        snprintf(what, size, "field '%.200s', column '%.200s': ", field->spec->name, column_key(column));
    else if (column)
        snprintf(what, size, "column '%.200s': ", column_key(column));
    if (source)
        status_prefix(run->status, "%s:%lld: %s", source, line, what);
    else
        status_prefix(run->status, "row %lld: %s", line, what);
    return false;
}

void field_entries(const struct field *field, int64_t row, int64_t *begin, int64_t *end)
{
    *begin = field->spec->separator ? field->offsets[row] : row;
    *end = field->spec->separator ? field->offsets[row + 1] : row + 1;
}

bool field_number(const struct field *field, int64_t entry, float *value)
{
    if (!field->present[entry])
        return false;
    *value = field->spec->type == FIELD_FLOAT ? field->floats[entry] : (float)field->ints[entry];
    return true;
}

/* ---- drivers ------------------------------------------------------------------------------------------------- */

/* Is there something in the cell, as categorical columns see it? In a field of one value "" and -1 are nothing (a dense tensor's
 * rule in TensorFlow); in a list they are values, unless all rows' lists are of one size (a dense tensor too). */
static bool has_value(const struct field *field, int64_t entry)
{
    if (!field->present[entry])
        return false;
    if (field->spec->separator && !field->dense)
        return true;
    return field->spec->type == FIELD_STRING ? field->texts[entry].size > 0 : field->ints[entry] != -1;
}

static uint64_t raw_value(const struct lane_spec *lane, const struct field *field, int64_t entry)
{
    if (field->spec->type == FIELD_STRING) {
        struct slice text = field->present[entry] ? field->texts[entry] : slice_of("", 0);
        return fingerprint64(text.data, text.size);
    }
    int64_t value = field->present[entry] ? field->ints[entry] : -1;
    return lane->as_text ? fingerprint_integer(value) : (uint64_t)value;
}

/* The lists of a chunk, values that are there only, each with its place in the cell. */
static bool run_lists(const struct lane_spec *lane, struct program_run *run,
                      bool (*value)(const struct lane_spec *lane, struct program_run *run, int64_t row, int64_t entry,
                                    uint64_t *out))
{
    const struct field *field = run->field_of[lane->field];
    const int64_t *offsets = field->offsets + run->first;
    struct lane *out = &run->lanes[lane->number];
    int64_t entries = 0;

    if (!lane_reserve(out, offsets[run->rows] - offsets[0], false, run->status))
        return false;
    for (int64_t r = 0; r < run->rows; r++) {
        out->offsets[r] = entries;
        for (int64_t entry = offsets[r]; entry < offsets[r + 1]; entry++) {
            if (!has_value(field, entry))
                continue;
            if (!value(lane, run, r, entry, &out->values[entries]))
                return false;
            out->places[entries++] = (int32_t)(entry - offsets[r]);
        }
    }
    out->offsets[run->rows] = entries;
    return true;
}

static bool raw_in_list(const struct lane_spec *lane, struct program_run *run, int64_t row, int64_t entry, uint64_t *out)
{
    (void)row;
    *out = raw_value(lane, run->field_of[lane->field], entry);
    return true;
}

bool run_raw(const struct lane_spec *lane, struct program_run *run)
{
    const struct field *field = run->field_of[lane->field];
    struct lane *out = &run->lanes[lane->number];

    if (lane->ragged)
        return run_lists(lane, run, raw_in_list);
    for (int64_t r = 0; r < run->rows; r++) {
        out->values[r] = raw_value(lane, field, run->first + r);
        out->present[r] = has_value(field, run->first + r);
    }
    return true;
}

static bool cell_in_list(const struct lane_spec *lane, struct program_run *run, int64_t row, int64_t entry, uint64_t *out)
{
    const struct field *field = run->field_of[lane->field];
    bool is_integer = field->spec->type == FIELD_INT64;
    struct cell cell = { .is_integer = is_integer };

    if (is_integer)
        cell.integer = field->ints[entry];
    else
        cell.text = field->texts[entry];
    int64_t id = lane->column->row->value(lane->column, &cell, run->status);
    *out = (uint64_t)id;
    return id != COLUMN_BAD || run_fail_at(run, row, field, lane->column);
}

bool run_cells(const struct lane_spec *lane, struct program_run *run)
{
    const struct field *field = run->field_of[lane->field];
    struct lane *out = &run->lanes[lane->number];

    if (lane->ragged)
        return run_lists(lane, run, cell_in_list);
    for (int64_t r = 0; r < run->rows; r++) {
        out->present[r] = has_value(field, run->first + r);
        out->values[r] = (uint64_t)-1;
        if (out->present[r] && !cell_in_list(lane, run, r, run->first + r, &out->values[r]))
            return false;
    }
    return true;
}

bool run_hashed(const struct lane_spec *lane, struct program_run *run)
{
    int64_t (*hashed)(const struct pil_column *column, uint64_t fingerprint) = lane->column->row->hashed;
    const struct lane *in = run_input(lane, run, 0);
    struct lane *out = &run->lanes[lane->number];
    int64_t count = lane->ragged ? in->offsets[run->rows] : run->rows;

    if (!lane->ragged) {
        memcpy(out->present, in->present, (size_t)count);
    } else {
        if (!lane_reserve(out, count, false, run->status))
            return false;
        memcpy(out->offsets, in->offsets, (size_t)(run->rows + 1) * sizeof *out->offsets);
        if (count > 0)
            memcpy(out->places, in->places, (size_t)count * sizeof *out->places);
    }
    for (int64_t i = 0; i < count; i++)
        out->values[i] = (uint64_t)hashed(lane->column, in->values[i]);
    return true;
}

/* ---- records ------------------------------------------------------------------------------------------------- */

static void put_float(int32_t *word, float value)
{
    memcpy(word, &value, sizeof value);
}

static void write_numbers(const struct program *program, const struct program_run *run, int32_t *words)
{
    size_t stride = program_record_words(program);

    for (size_t i = 0; i < program->number_count; i++) {
        const struct number *number = &program->numbers[i];
        const float *floats = run->lanes[number->lane].floats;
        size_t width = (size_t)numeric_width(number->column);
        int32_t *out = words + number->first;
        for (int64_t r = 0; r < run->rows; r++, out += stride, floats += width)
            memcpy(out, floats, width * sizeof *floats);
    }
}

/* "No value" and an id of -1 differ inside a cross; looked up by themselves both are dropped, so one word does for both. */
static void write_ids(const struct program *program, const struct program_run *run, int32_t *words)
{
    size_t stride = program_record_words(program);

    for (size_t i = 0; i < program->feature_count; i++) {
        const struct feature *feature = &program->features[i];
        const struct lane *lane = &run->lanes[feature->lane];
        int32_t *out = words + feature->slot;
        if (program->lanes[feature->lane].ragged)
            continue;
        for (int64_t r = 0; r < run->rows; r++, out += stride)
            *out = lane->present[r] ? (int32_t)lane->values[r] : -1;
    }
}

static bool write_lists(const struct program *program, const struct program_run *run, struct records *out)
{
    for (size_t i = 0; i < program->feature_count; i++) {
        const struct feature *feature = &program->features[i];
        const struct lane *lane = &run->lanes[feature->lane];
        struct sparse_builder *builder = out->ragged ? &out->ragged[feature->slot] : NULL;
        if (!program->lanes[feature->lane].ragged)
            continue;
        bool weighted = column_is_weighted(feature->column);
        for (int64_t r = 0; r < run->rows; r++) {
            for (int64_t e = lane->offsets[r]; e < lane->offsets[r + 1]; e++)
                if (!sparse_append(builder, (int32_t)lane->values[e], weighted ? lane->floats[e] : 1, weighted, run->status))
                    return false;
            if (!sparse_end_row(builder, run->status))
                return false;
        }
    }
    return true;
}

/* One number of a label or weight. */
static bool target_number(const struct target *target, const struct program_run *run, const struct field *field, int64_t row,
                          int64_t entry, float *value)
{
    if (!target->words && field_number(field, entry, value)) {
        bool whole = target->classes <= 2 || *value == floorf(*value);
        if (target->classes == 0 || (*value >= 0 && *value <= (float)(target->classes - 1) && whole))
            return true;
        char number[32];
        print_float(number, *value);
        status_fail(run->status, PIL_BAD_DATA, "the label %s is no class: classes are 0 to %lld", number,
                    (long long)target->classes - 1);
        status_hint(run->status, "n_classes says how many there are; "
                                 "input.on_error: skip (in C: .ignore_errors) drops such rows");
    } else if (!field->present[entry] || (target->words && field->texts[entry].size == 0)) {
        status_fail(run->status, PIL_BAD_DATA, "the value is missing");
        if (target->required)
            status_hint(run->status, "a numeric_column has a default_value for such rows, a raw feature has none");
        else
            status_hint(run->status, "every row needs one to train or evaluate; "
                                     "input.on_error: skip (in C: .ignore_errors) drops rows that have none");
    } else {
        int64_t id = map_find(target->words, field->texts[entry]);
        *value = (float)id;
        if (id >= 0)
            return true;
        struct slice word = field->texts[entry];
        status_fail(run->status, PIL_BAD_DATA, "'%.*s' is not in label_vocabulary", (int)MIN(word.size, 200), word.data);
        status_hint(run->status, "add it there; input.on_error: skip (in C: .ignore_errors) drops such rows");
    }
    return run_fail_at(run, row, field, NULL);
}

/* All of a row's numbers at once, where nothing is to be checked of them. */
static bool plain_numbers(const struct target *target, const struct field *field, int64_t begin, int32_t *out)
{
    size_t width = (size_t)target->width;

    if (field->spec->type != FIELD_FLOAT || target->classes > 0 || memchr(field->present + begin, 0, width))
        return false;
    memcpy(out, field->floats + begin, width * sizeof *out);
    return true;
}

/* Labels, weights and raw fields; zeros where the source has none (predicting). */
static bool write_targets(const struct program *program, const struct program_run *run, int32_t *words)
{
    size_t stride = program_record_words(program);

    for (size_t i = 0; i < program->target_count; i++) {
        const struct target *target = &program->targets[i];
        const struct field *field = run->field_of[target->field];
        int32_t *out = words + target->first;
        for (int64_t r = 0; r < run->rows; r++, out += stride) {
            int64_t begin = 0, end = 0;
            if (!field->absent)
                field_entries(field, run->first + r, &begin, &end);
            if (!field->absent && end - begin != target->width) {
                if (begin == end)
                    status_fail(run->status, PIL_BAD_DATA, "the value is missing, the model takes %lld number%s",
                                (long long)target->width, target->width == 1 ? "" : "s");
                else
                    status_fail(run->status, PIL_BAD_DATA, "the cell has %lld numbers, the model takes %lld",
                                (long long)(end - begin), (long long)target->width);
                return run_fail_at(run, r, field, NULL);
            }
            if (!field->absent && plain_numbers(target, field, begin, out))
                continue;
            for (int64_t k = 0; k < target->width; k++) {
                float value = 0;
                if (!field->absent && !target_number(target, run, field, r, begin + k, &value))
                    return false;
                put_float(out + k, value);
            }
        }
    }
    return true;
}

/* ---- running ------------------------------------------------------------------------------------------------- */

/* The batch's fields in the program's order; a batch may hold others besides, in any order. */
static bool bind_fields(const struct program *program, const struct fields *fields, struct program_scratch *scratch,
                        pil_status *status)
{
    for (size_t i = 0; i < program->field_count; i++) {
        const struct field_spec *spec = &program->fields[i];
        int64_t at = i < fields->count && fields->fields[i].spec == spec ? (int64_t)i : fields_find(fields, spec->name);
        const struct field *field = at >= 0 ? &fields->fields[at] : NULL;
        if (!field || (field->absent && spec->required))
            return status_fail(status, PIL_INVALID_ARGUMENT, "the input has no field '%s'", spec->name);
        if (!field->absent && (field->spec->type != spec->type || !field->spec->separator != !spec->separator))
            return status_fail(status, PIL_INTERNAL, "field '%s' was read in another form than the columns asked for",
                               spec->name);
        scratch->fields[i] = field;
    }
    return true;
}

bool program_chunk(const struct program *program, const struct fields *fields, int64_t first, int64_t rows,
                   struct program_scratch *scratch, struct program_run *run, pil_status *status)
{
    *run = (struct program_run){ .program = program,
                                 .fields = fields,
                                 .field_of = scratch->fields,
                                 .lanes = scratch->lanes,
                                 .first = first,
                                 .rows = rows,
                                 .status = status };
    for (size_t i = 0; i < program->lane_count; i++)
        if (!program->lanes[i].run(&program->lanes[i], run))
            return false;
    return true;
}

bool program_bind(const struct program *program, const struct fields *fields, int64_t first, int64_t count,
                  struct program_scratch *scratch, pil_status *status)
{
    if (first < 0 || count < 0 || first > fields->rows - count)
        return status_fail(status, PIL_INTERNAL, "rows %lld to %lld are asked of a batch of %lld", (long long)first,
                           (long long)(first + count), (long long)fields->rows);
    return bind_fields(program, fields, scratch, status);
}

bool program_run(const struct program *program, const struct fields *fields, int64_t first, int64_t count,
                 struct program_scratch *scratch, struct records *out, pil_status *status)
{
    size_t stride = program_record_words(program);
    struct program_run run;

    if (!program_bind(program, fields, first, count, scratch, status))
        return false;
    if (!mem_grow(&out->words, &out->capacity, (size_t)(out->rows + count) * stride, sizeof *out->words, status))
        return false;
    for (int64_t done = 0; done < count; done += run.rows) {
        int32_t *words = stride > 0 ? out->words + (size_t)out->rows * stride : NULL;
        if (!program_chunk(program, fields, first + done, MIN(count - done, (int64_t)CHUNK_ROWS), scratch, &run, status))
            return false;
        write_numbers(program, &run, words);
        write_ids(program, &run, words);
        if (!write_targets(program, &run, words) || !write_lists(program, &run, out))
            return false;
        out->rows += run.rows;
    }
    return true;
}
