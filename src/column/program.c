/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns compiled. Graphs ask for features and numbers; program_finish then settles what each field is read as, lays out the
 * record, and cuts the work into lanes, each made once and used by every column that needs it:
 *
 *     carrier (raw) ----+-> carrier: hash_bucket ----------------> feature
 *                       +-> carrier_X_sched_hour: crossed -------> feature
 *     sched_hour: identity -^ ------------------------------------> feature
 *
 * Lanes stand in the order in which they are made, inputs first; run.c walks them chunk by chunk.
 */
#include <stdlib.h>
#include <string.h>

#include "column/program.h"

struct program *program_new(const struct program_options *options, pil_status *status)
{
    struct program *program;

    if (options->max_values_per_row < 0 || options->max_values_per_row > INT32_MAX) {
        status_fail(status, PIL_INVALID_ARGUMENT, "max_values_per_row is %lld; it must lie between 1 and 2147483647",
                    (long long)options->max_values_per_row);
        return NULL;
    }
    program = mem_new(sizeof *program, status);
    if (!program)
        return NULL;
    program->options = *options;
    if (program->options.max_values_per_row == 0)
        program->options.max_values_per_row = 10000;
    program->arena = arena_new(status);
    if (program->arena)
        return program;
    mem_free(program);
    return NULL;
}

void program_free(struct program *program)
{
    if (!program)
        return;
    for (size_t i = 0; i < program->target_count; i++)
        map_free(program->targets[i].words);
    mem_free(program->stated);
    mem_free(program->features);
    mem_free(program->numbers);
    mem_free(program->targets);
    mem_free(program->lanes);
    arena_free(program->arena);
    mem_free(program);
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

static bool still_open(const struct program *program, const char *name, pil_status *status)
{
    if (!program->finished)
        return true;
    return status_fail(status, PIL_INTERNAL, "'%s' is asked of a column program that is finished", name);
}

int program_feature(struct program *program, const struct pil_column *column, pil_status *status)
{
    for (size_t i = 0; i < program->feature_count; i++)
        if (program->features[i].column == column)
            return (int)i;
    if (column_is_error(column) || !column_is_categorical(column)) {
        status_fail(status, PIL_INVALID_ARGUMENT, "column '%s' is not categorical: it has no ids", column_name(column));
        return -1;
    }
    if (!still_open(program, column->name, status) ||
        !mem_grow(&program->features, &program->feature_capacity, program->feature_count + 1, sizeof *program->features, status))
        return -1;
    program->features[program->feature_count] = (struct feature){ .column = column, .lane = -1 };
    return (int)program->feature_count++;
}

/* The next columns of the block of numbers. -1: too many. */
static int64_t take_columns(struct program *program, int64_t width, const char *name, pil_status *status)
{
    int64_t first = program->number_width;

    if (width > INT32_MAX - first) {
        status_fail(status, PIL_UNSUPPORTED, "'%s' makes the block of numbers wider than 2147483647 columns", name);
        return -1;
    }
    program->number_width += width;
    return first;
}

int program_numbers(struct program *program, const struct pil_column *column, pil_status *status)
{
    struct number *number;

    for (size_t i = 0; i < program->number_count; i++)
        if (program->numbers[i].column == column)
            return (int)program->numbers[i].first;
    if (!column_is_numeric(column)) {
        status_fail(status, PIL_INVALID_ARGUMENT, "column '%s' is no numeric_column", column_name(column));
        return -1;
    }
    if (!still_open(program, column->name, status) ||
        !mem_grow(&program->numbers, &program->number_capacity, program->number_count + 1, sizeof *program->numbers, status))
        return -1;
    number = &program->numbers[program->number_count];
    *number = (struct number){ .column = column,
                               .lane = -1,
                               .first = take_columns(program, numeric_width(column), column->name, status) };
    if (number->first < 0)
        return -1;
    program->number_count++;
    return (int)number->first;
}

static bool same_words(const struct target *target, const struct program_target *asked)
{
    if (target->classes != asked->classes)
        return false;
    if (!target->words || !asked->vocabulary)
        return !target->words && !asked->vocabulary;
    for (size_t i = 0; i < asked->vocabulary_count; i++)
        if (map_find(target->words, slice_text(asked->vocabulary[i])) != (int64_t)i)
            return false;
    return map_count(target->words) == (int64_t)asked->vocabulary_count;
}

/* A label is asked for before the head that gives it a vocabulary: who says neither words nor classes takes what there is. */
static bool same_target(const struct target *target, const struct program_target *asked)
{
    if (target->required || strcmp(target->name, asked->field) != 0 || target->width != asked->width)
        return false;
    return (!asked->vocabulary && asked->classes == 0) || same_words(target, asked);
}

static bool target_words(struct target *target, const struct program_target *asked, pil_status *status)
{
    bool added;

    if (!asked->vocabulary)
        return true;
    target->words = map_new(status);
    for (size_t i = 0; target->words && i < asked->vocabulary_count; i++) {
        if (map_intern(target->words, slice_text(asked->vocabulary[i]), &added, status) < 0)
            return false;
        if (!added)
            return status_fail(status, PIL_INVALID_ARGUMENT, "the vocabulary of '%s' has '%s' twice", asked->field,
                               asked->vocabulary[i]);
    }
    return target->words != NULL;
}

static int add_target(struct program *program, const struct program_target *asked, bool required, pil_status *status)
{
    struct target *target;

    if (asked->width < 1) {
        status_fail(status, PIL_INVALID_ARGUMENT, "'%s' is asked for with %lld numbers", asked->field, (long long)asked->width);
        return -1;
    }
    if (!still_open(program, asked->field, status) ||
        !mem_grow(&program->targets, &program->target_capacity, program->target_count + 1, sizeof *program->targets, status))
        return -1;
    target = &program->targets[program->target_count];
    *target = (struct target){ .width = asked->width, .classes = asked->classes, .required = required, .field = -1 };
    target->name = arena_text(program->arena, asked->field, strlen(asked->field), status);
    if (!target->name || !target_words(target, asked, status) ||
        (target->first = take_columns(program, asked->width, asked->field, status)) < 0) {
        map_free(target->words);
        return -1;
    }
    program->target_count++;
    return (int)target->first;
}

bool program_column(struct program *program, const struct pil_column *column, pil_status *status)
{
    const struct pil_column *source = column_lookup_source(column);
    if (source || column_is_categorical(column))
        return program_feature(program, source ? source : column, status) >= 0;
    return program_numbers(program, column, status) >= 0;
}

int program_target(struct program *program, const struct program_target *asked, pil_status *status)
{
    for (size_t i = 0; i < program->target_count; i++)
        if (same_target(&program->targets[i], asked))
            return (int)program->targets[i].first;
    return add_target(program, asked, false, status);
}

int program_dense(struct program *program, const char *field, int64_t width, pil_status *status)
{
    for (size_t i = 0; i < program->target_count; i++) {
        const struct target *target = &program->targets[i];
        if (target->required && target->width == width && strcmp(target->name, field) == 0)
            return (int)target->first;
    }
    return add_target(program, &(struct program_target){ .field = field, .width = width }, true, status);
}

bool program_target_words(struct program *program, int first, const char *const *vocabulary, size_t count, int64_t classes,
                          pil_status *status)
{
    struct target *target = NULL;
    struct program_target asked = { .vocabulary = vocabulary, .vocabulary_count = count, .classes = classes };

    for (size_t i = 0; i < program->target_count; i++)
        if (program->targets[i].first == first && !program->targets[i].required)
            target = &program->targets[i];
    if (!target)
        return status_fail(status, PIL_INTERNAL, "column %d of the numbers is no label", first);
    if (same_words(target, &asked))
        return true;
    if (target->words || target->classes != 0) {
        status_fail(status, PIL_INVALID_ARGUMENT, "the label '%s' has %lld classes%s, and is asked for with %lld%s", target->name,
                    (long long)target->classes, target->words ? " and a vocabulary" : "", (long long)classes,
                    !vocabulary     ? ""
                    : target->words ? " and another vocabulary"
                                    : " and a vocabulary");
        return status_hint(status, "heads that read one label agree on its classes; another label has another name");
    }
    asked.field = target->name;
    if (!still_open(program, target->name, status))
        return false;
    if (!target_words(target, &asked, status)) {
        map_free(target->words);
        target->words = NULL;
        return false;
    }
    target->classes = classes;
    return true;
}

bool program_field(struct program *program, const struct field_spec *spec, pil_status *status)
{
    struct field_spec *stated = program_stated(program, spec->name);
    const char *name;

    if (!still_open(program, spec->name, status))
        return false;
    if (!stated) {
        if (!mem_grow(&program->stated, &program->stated_capacity, program->stated_count + 1, sizeof *program->stated, status))
            return false;
        name = arena_text(program->arena, spec->name, strlen(spec->name), status);
        if (!name)
            return false;
        stated = &program->stated[program->stated_count++];
        stated->name = name;
    }
    name = stated->name;
    *stated = *spec;
    stated->name = name;
    return true;
}

bool program_dataset(struct program *program, const struct pil_dataset *dataset, pil_status *status)
{
    for (size_t i = 0; i < dataset->field_count; i++) {
        const struct dataset_field *field = &dataset->fields[i];
        struct field_spec spec = { .name = field->name,
                                   .type = field->typed ? field->type : (enum field_type)PROGRAM_ANY_TYPE,
                                   .separator = field->separator,
                                   .weight_separator = field->weight_separator };
        if (field->sized && field->width != 1)
            spec.separator = '|'; /* nothing is separated by it: it says that rows have several values */
        if (!program_field(program, &spec, status))
            return false;
    }
    return true;
}

/* ---- lanes --------------------------------------------------------------------------------------------------- */

static int lane_add(struct program *program, struct lane_spec spec, pil_status *status)
{
    if (!mem_grow(&program->lanes, &program->lane_capacity, program->lane_count + 1, sizeof *program->lanes, status))
        return -1;
    spec.number = (int)program->lane_count;
    program->lanes[program->lane_count] = spec;
    return (int)program->lane_count++;
}

/* A field's raw values. Those of strings are fingerprints in either form. */
static int raw_lane(struct program *program, const char *name, bool as_text, pil_status *status)
{
    int field = program_find_field(program, name);
    const struct field_spec *spec = &program->fields[field];
    bool ragged = spec->separator != 0;

    as_text = as_text && spec->type == FIELD_INT64;
    for (size_t i = 0; i < program->lane_count; i++)
        if (!program->lanes[i].column && program->lanes[i].field == field && program->lanes[i].as_text == as_text)
            return (int)i;
    return lane_add(program,
                    (struct lane_spec){ .run = run_raw,
                                        .field = field,
                                        .ragged = ragged,
                                        .as_text = as_text,
                                        .crosses_empty = program->options.tf_dense && !ragged && !as_text },
                    status);
}

static int column_lane(struct program *program, const struct pil_column *column, pil_status *status);

/* A cross's leaves in TensorFlow's order: under compat tf_dense raw fields of one value come last. */
static void order_leaves(const struct program *program, const struct pil_column *column, int *lanes)
{
    size_t count = column->input_count, at = 0;

    if (!program->options.tf_dense || !column_is_crossed(column))
        return;
    for (size_t i = 0; i < count; i++)
        if (!program->lanes[lanes[i]].crosses_empty) {
            int lane = lanes[i];
            memmove(lanes + at + 1, lanes + at, (i - at) * sizeof *lanes);
            lanes[at++] = lane;
        }
}

/* A kind that is made of lanes: its inputs' and, if it reads one itself, its field. */
static int made_lane(struct program *program, const struct pil_column *column, pil_status *status)
{
    struct lane_spec spec = { .run = column->row->run, .column = column, .field = -1, .input_count = column->input_count };
    int *inputs = arena_alloc(program->arena, MAX(column->input_count, 1) * sizeof *inputs, status);

    for (size_t i = 0; inputs && i < column->input_count; i++) {
        inputs[i] = column_lane(program, column->inputs[i], status);
        if (inputs[i] < 0)
            return -1;
        spec.ragged = spec.ragged || program->lanes[inputs[i]].ragged;
    }
    if (!inputs)
        return -1;
    order_leaves(program, column, inputs);
    spec.inputs = inputs;
    if (column->row->ragged)
        spec.ragged = column->row->ragged(column, spec.ragged);
    if (column->use.field && !program_brings_weights(program, column))
        spec.field = program_find_field(program, column->use.field);
    return lane_add(program, spec, status);
}

static int column_lane(struct program *program, const struct pil_column *column, pil_status *status)
{
    struct lane_spec spec = { .column = column };
    int *input;

    for (size_t i = 0; i < program->lane_count; i++)
        if (program->lanes[i].column == column)
            return (int)i;
    if (column_is_key(column))
        return raw_lane(program, column->use.field, false, status);
    if (column->row->run)
        return made_lane(program, column, status);
    spec.field = program_find_field(program, column->use.field);
    spec.ragged = program->fields[spec.field].separator != 0;
    spec.run = run_cells;
    if (column->row->hashed) {
        input = arena_alloc(program->arena, sizeof *input, status);
        if (!input || (*input = raw_lane(program, column->use.field, true, status)) < 0)
            return -1;
        spec.run = run_hashed;
        spec.inputs = input;
        spec.input_count = 1;
    }
    return lane_add(program, spec, status);
}

static bool make_lanes(struct program *program, pil_status *status)
{
    for (size_t i = 0; i < program->number_count; i++) {
        program->numbers[i].lane = column_lane(program, program->numbers[i].column, status);
        if (program->numbers[i].lane < 0)
            return false;
    }
    for (size_t i = 0; i < program->feature_count; i++) {
        struct feature *feature = &program->features[i];
        feature->lane = column_lane(program, feature->column, status);
        if (feature->lane < 0)
            return false;
        if (program->lanes[feature->lane].ragged)
            feature->slot = (int64_t)program->ragged_count++;
        else
            feature->slot = program->number_width + (int64_t)program->single_count++;
    }
    return true;
}

/* ---- definitions --------------------------------------------------------------------------------------------- */

/* What decides a column's ids: kind, arguments, the fields' types, and all of that of the columns it reads. */
static void define(const struct program *program, const struct pil_column *column, struct text *out)
{
    int field = column->use.field ? program_find_field(program, column->use.field) : -1;

    text_format(out, "%s{", column->row->name);
    if (field >= 0) {
        const struct field_spec *spec = &program->fields[field];
        text_format(out, "field %s %s %d %d ", spec->name, field_type_name(spec->type), spec->separator, spec->weight_separator);
    }
    if (column->row->define)
        column->row->define(column, out);
    if (column_is_crossed(column) && program->options.tf_dense)
        text_format(out, " tf_dense");
    for (size_t i = 0; i < column->input_count; i++)
        define(program, column->inputs[i], out);
    text_format(out, "}");
}

static bool add_definition(struct program *program, const char *name, const struct text *text, pil_status *status)
{
    if (!text_ok(text, status))
        return false;
    program->definition_names[program->definition_count] = name;
    program->definition_hashes[program->definition_count++] = fingerprint64(text->data, text->size);
    return true;
}

static bool define_target(struct program *program, const struct target *target, struct text *text, pil_status *status)
{
    text_clear(text);
    text_format(text, "label %lld", (long long)target->classes);
    for (int64_t i = 0; i < map_count(target->words); i++) {
        struct slice word = map_key(target->words, i);
        text_format(text, "\n%zu:", word.size);
        text_append(text, word.data, word.size);
    }
    return add_definition(program, target->name, text, status);
}

static bool make_definitions(struct program *program, pil_status *status)
{
    size_t limit = program->feature_count + program->number_count + program->target_count;
    struct text text = { .limit = (size_t)1 << 40 };
    bool done = false;

    program->definition_names = arena_alloc(program->arena, MAX(limit, 1) * sizeof *program->definition_names, status);
    program->definition_hashes = arena_alloc(program->arena, MAX(limit, 1) * sizeof *program->definition_hashes, status);
    if (!program->definition_names || !program->definition_hashes)
        return false;
    for (size_t i = 0; i < program->feature_count + program->number_count; i++) {
        const struct pil_column *column =
            i < program->feature_count ? program->features[i].column : program->numbers[i - program->feature_count].column;
        text_clear(&text);
        define(program, column, &text);
        if (!add_definition(program, column->name, &text, status))
            goto done;
    }
    for (size_t i = 0; i < program->target_count; i++)
        if (program->targets[i].words && !define_target(program, &program->targets[i], &text, status))
            goto done;
    done = true;
done:
    text_free(&text);
    return done;
}

/* ---- finished ------------------------------------------------------------------------------------------------ */

bool program_finish(struct program *program, pil_status *status)
{
    if (program->finished)
        return true;
    program->lane_count = program->single_count = program->ragged_count = program->definition_count = 0;
    if (!program_make_fields(program, status) || !make_lanes(program, status) || !make_definitions(program, status))
        return false;
    return program->finished = true;
}

int program_find_lane(const struct program *program, const struct pil_column *column)
{
    const struct column_embedding *embedding = column_embedding(column);

    column = embedding ? embedding->categorical : column_indicator(column) ? column_indicator(column) : column;
    for (size_t i = 0; i < program->lane_count; i++)
        if (program->lanes[i].column == column && column)
            return (int)i;
    return -1;
}

const struct field_spec *program_fields(const struct program *program, size_t *count)
{
    *count = program->field_count;
    return program->fields;
}

size_t program_feature_count(const struct program *program)
{
    return program->feature_count;
}

int64_t program_feature_limit(const struct program *program, size_t feature)
{
    return program->features[feature].column->buckets;
}

bool program_feature_ragged(const struct program *program, size_t feature)
{
    int lane = program->features[feature].lane;

    return lane >= 0 && program->lanes[lane].ragged;
}

const struct pil_column *program_feature_column(const struct program *program, size_t feature)
{
    return program->features[feature].column;
}

int64_t program_number_count(const struct program *program)
{
    return program->number_width;
}

size_t program_definitions(const struct program *program, const char *const **names, const uint64_t **hashes)
{
    *names = program->definition_names;
    *hashes = program->definition_hashes;
    return program->definition_count;
}

size_t program_record_words(const struct program *program)
{
    return (size_t)program->number_width + program->single_count;
}

size_t program_ragged_count(const struct program *program)
{
    return program->ragged_count;
}
