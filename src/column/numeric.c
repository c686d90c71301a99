/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns of numbers: numeric, and bucketized on top of one. A numeric lane holds width floats a row, defaults filled in and
 * normalized, for the block of numbers and for buckets alike: TensorFlow buckets what the normalizer made.
 */
#include <math.h>
#include <string.h>

#include "column/internal.h"

/* ---- numeric_column ------------------------------------------------------------------------------------------ */

static const struct column_row rows[2];
#define NUMERIC (&rows[0])
#define BUCKETIZED (&rows[1])
enum { MAX_RANK = COUNT_OF(((pil_numeric_column_options *)NULL)->shape) };

struct numeric {
    int64_t width;
    int rank;
    const float *defaults; /* [width] or NULL: a missing number is an error */
    float subtract, divide;
    bool normalizes;
};

pil_numeric_column_options pil_numeric_column_options_default(void)
{
    return (pil_numeric_column_options){ PIL_NUMERIC_COLUMN_DEFAULTS };
}

bool column_is_numeric(const struct pil_column *column)
{
    return column && column->row == NUMERIC;
}

int64_t numeric_width(const struct pil_column *column)
{
    return ((const struct numeric *)column->own)->width;
}

static bool numeric_shape(struct pil_columns *owner, const int64_t *shape, struct numeric *own)
{
    own->width = 1;
    for (own->rank = 0; own->rank < MAX_RANK && shape[own->rank] != 0; own->rank++) {
        int64_t dim = shape[own->rank];
        if (dim < 0 || own->width > INT32_MAX / dim) {
            column_fail(owner, NUMERIC, "shape",
                        "shape has the dimension %lld; the numbers of a cell must be between 1 and 2147483647", (long long)dim);
            return false;
        }
        own->width *= dim;
    }
    return true;
}

/* One default for all elements, or one for each. */
static bool numeric_defaults(struct pil_columns *owner, pil_floats given, struct numeric *own)
{
    float *defaults;

    if (given.count == 0)
        return true;
    if (given.count != 1 && given.count != (size_t)own->width) {
        column_fail(owner, NUMERIC, "default_value",
                    "default_value has %zu numbers; it takes one, or one for each of the %lld of a cell", given.count,
                    (long long)own->width);
        return false;
    }
    own->defaults = defaults = arena_alloc(owner->arena, (size_t)own->width * sizeof *defaults, &owner->status);
    for (int64_t i = 0; defaults && i < own->width; i++)
        defaults[i] = given.items[given.count == 1 ? 0 : i];
    return defaults != NULL;
}

/* Numbers of any width arrive as float32. *is_integer: the field is to be read as integers. */
static bool numeric_dtype(struct pil_columns *owner, const struct column_row *row, const char *dtype, bool *is_integer)
{
    static const char *const floats[] = { "float16", "bfloat16", "float32", "float64" };

    *is_integer = false;
    for (size_t i = 0; i < COUNT_OF(floats); i++)
        if (!dtype || strcmp(dtype, floats[i]) == 0)
            return true;
    if (strcmp(dtype, "string") != 0)
        return column_check_dtype(owner, row, dtype, is_integer);
    column_fail(owner, row, "dtype", "dtype is 'string'; a number's is 'float32' or 'int64'");
    return false;
}

bool column_number_use(struct pil_columns *owner, const struct column_row *row, const char *field, const char *dtype,
                       struct column_use *use)
{
    bool is_integer;

    if (!numeric_dtype(owner, row, dtype, &is_integer))
        return false;
    *use = (struct column_use){ column_copy(owner, field), is_integer ? FIELD_INT64 : FIELD_FLOAT, ACCEPT_FLOAT | ACCEPT_INT64 };
    return use->field != NULL;
}

pil_column *pil_numeric_column_make(pil_columns *owner, const pil_numeric_column_options *options)
{
    struct pil_column *column = column_begin(owner, NUMERIC, options, sizeof *options);
    struct numeric *own;
    pil_numeric_column_options *copy;

    if (!column || !column_check_field(owner, NUMERIC, "key", options->key))
        return column_error(owner);
    own = arena_alloc(owner->arena, sizeof *own, &owner->status);
    if (!own || !numeric_shape(owner, options->shape, own) || !numeric_defaults(owner, options->default_value, own) ||
        !column_number_use(owner, NUMERIC, options->key, options->dtype, &column->use))
        return column_error(owner);
    own->subtract = options->normalizer_fn.subtract;
    own->divide = options->normalizer_fn.divide == 0 ? 1 : options->normalizer_fn.divide;
    own->normalizes = own->subtract != 0 || own->divide != 1;
    column->own = own;
    column->width = own->width;
    column_set_name(column, column->use.field);

    copy = (pil_numeric_column_options *)column->options;
    copy->key = column->use.field;
    copy->dtype = column_copy(owner, options->dtype);
    copy->default_value.items = own->defaults;
    copy->default_value.count = own->defaults ? (size_t)own->width : 0;
    copy->normalizer_fn.divide = own->divide;
    return column_end(owner, column);
}

static struct pil_column *numeric_make(struct pil_columns *owner, const void *options, const struct value *map)
{
    (void)map;
    return pil_numeric_column_make(owner, options);
}

static void numeric_define(const struct pil_column *column, struct text *out)
{
    const struct numeric *own = column->own;

    text_format(out, "width %lld subtract %a divide %a default", (long long)own->width, (double)own->subtract,
                (double)own->divide);
    for (int64_t i = 0; own->defaults && i < own->width; i++)
        text_format(out, " %a", (double)own->defaults[i]);
}

static bool numeric_missing(const struct lane_spec *lane, const struct program_run *run, int64_t row, const struct field *field)
{
    status_fail(run->status, PIL_BAD_DATA, "the number is missing");
    status_hint(run->status, "set default_value to fill such fields, "
                             "or input.on_error: skip (in C: .ignore_errors) to drop such rows");
    return run_fail_at(run, row, field, lane->column);
}

/* One number a row. */
static bool numeric_single(const struct lane_spec *lane, struct program_run *run, const struct field *field, float *out)
{
    const struct numeric *own = lane->column->own;
    const uint8_t *present = field->present + run->first;

    if (field->spec->type == FIELD_FLOAT)
        memcpy(out, field->floats + run->first, (size_t)run->rows * sizeof *out);
    else
        for (int64_t r = 0; r < run->rows; r++)
            out[r] = (float)field->ints[run->first + r];
    for (int64_t r = 0; r < run->rows; r++)
        if (!present[r]) {
            if (!own->defaults)
                return numeric_missing(lane, run, r, field);
            out[r] = own->defaults[0];
        }
    return true;
}

/* width numbers a row, in the order they stand in the cell; an empty cell is all defaults. */
static bool numeric_vector(const struct lane_spec *lane, struct program_run *run, const struct field *field, float *out)
{
    const struct numeric *own = lane->column->own;

    for (int64_t r = 0; r < run->rows; r++, out += own->width) {
        int64_t begin, end;
        field_entries(field, run->first + r, &begin, &end);
        bool empty = end == begin || (end == begin + 1 && !field->present[begin]);
        if (!empty && end - begin != own->width) {
            status_fail(run->status, PIL_BAD_DATA, "the cell has %lld numbers, the column's shape takes %lld",
                        (long long)(end - begin), (long long)own->width);
            return run_fail_at(run, r, field, lane->column);
        }
        for (int64_t i = 0; i < own->width; i++) {
            if (!empty && field_number(field, begin + i, &out[i]))
                continue;
            if (!own->defaults)
                return numeric_missing(lane, run, r, field);
            out[i] = own->defaults[i];
        }
    }
    return true;
}

static bool numeric_run(const struct lane_spec *lane, struct program_run *run)
{
    const struct numeric *own = lane->column->own;
    const struct field *field = run->field_of[lane->field];
    float *out = run->lanes[lane->number].floats;
    bool done = own->width == 1 && !field->spec->separator ? numeric_single(lane, run, field, out)
                                                           : numeric_vector(lane, run, field, out);

    if (done && own->normalizes)
        for (int64_t i = 0; i < run->rows * own->width; i++)
            out[i] = (out[i] - own->subtract) / own->divide;
    return done;
}

static bool never_ragged(const struct pil_column *column, bool inputs_ragged)
{
    (void)column, (void)inputs_ragged;
    return false;
}

/* ---- bucketized_column --------------------------------------------------------------------------------------- */

struct bucketized {
    const float *boundaries;
    size_t count;
};

pil_bucketized_column_options pil_bucketized_column_options_default(void)
{
    return (pil_bucketized_column_options){ PIL_BUCKETIZED_COLUMN_DEFAULTS };
}

static bool check_boundaries(struct pil_columns *owner, pil_floats boundaries)
{
    char before[32], here[32];

    if (boundaries.count == 0 || !boundaries.items)
        column_fail(owner, BUCKETIZED, "boundaries", "boundaries are missing");
    for (size_t i = 0; i < boundaries.count && status_ok(&owner->status); i++) {
        if (i == 0 ? !isnan(boundaries.items[0]) : boundaries.items[i - 1] < boundaries.items[i])
            continue;
        print_float(before, boundaries.items[i > 0 ? i - 1 : 0]);
        print_float(here, boundaries.items[i]);
        column_fail(owner, BUCKETIZED, "boundaries", "boundaries must ascend; number %zu, %s, does not follow %s", i + 1, here,
                    before);
    }
    return status_ok(&owner->status);
}

/* Buckets of a row: the source's width times those of one number. */
static bool check_source(struct pil_columns *owner, const struct pil_column *source, size_t boundaries)
{
    if (!column_check_input(owner, BUCKETIZED, "source_column", source, false))
        return false;
    if (!column_is_numeric(source))
        column_fail(owner, BUCKETIZED, "source_column",
                    "source_column is the %s '%s'; only a numeric_column has numbers to put into buckets", source->row->name,
                    source->name);
    else if (((const struct numeric *)source->own)->rank > 1)
        column_fail(owner, BUCKETIZED, "source_column", "the shape of '%s' has more than one dimension", source->name);
    else
        column_check_count(owner, BUCKETIZED, "boundaries",
                           boundaries < INT32_MAX ? (int64_t)(boundaries + 1) * numeric_width(source) : -1);
    return status_ok(&owner->status);
}

pil_column *pil_bucketized_column_make(pil_columns *owner, const pil_bucketized_column_options *options)
{
    struct pil_column *column = column_begin(owner, BUCKETIZED, options, sizeof *options);
    struct bucketized *own;
    float *copy;

    if (!column || !check_source(owner, options->source_column, options->boundaries.count) ||
        !check_boundaries(owner, options->boundaries) || !column_copy_inputs(column, &options->source_column, 1))
        return column_error(owner);
    own = arena_alloc(owner->arena, sizeof *own, &owner->status);
    copy = arena_alloc(owner->arena, options->boundaries.count * sizeof *copy, &owner->status);
    if (!own || !copy)
        return column_error(owner);
    memcpy(copy, options->boundaries.items, options->boundaries.count * sizeof *copy);
    *own = (struct bucketized){ copy, options->boundaries.count };
    ((pil_bucketized_column_options *)column->options)->boundaries.items = copy;
    column->own = own;
    column->buckets = column->width = (int64_t)(own->count + 1) * numeric_width(options->source_column);
    column_set_name(column, arena_format(owner->arena, &owner->status, "%s_bucketized", options->source_column->name));
    return column_end(owner, column);
}

static struct pil_column *bucketized_make(struct pil_columns *owner, const void *options, const struct value *map)
{
    (void)map;
    return pil_bucketized_column_make(owner, options);
}

static void bucketized_define(const struct pil_column *column, struct text *out)
{
    const struct bucketized *own = column->own;

    for (size_t i = 0; i < own->count; i++)
        text_format(out, " %a", (double)own->boundaries[i]);
}

/* The number of boundaries at or below x. "Not x < b" holds for all of them when x is NaN: the last bucket, as in TensorFlow.
 * The step is a product and not a choice, since nobody could predict the branch. */
static uint64_t bucket_of(const struct bucketized *own, float x)
{
    const float *from = own->boundaries;

    for (size_t left = own->count; left > 0;) {
        size_t half = (left + 1) / 2;
        from += half * (size_t) !(x < from[half - 1]);
        left -= half;
    }
    return (uint64_t)(from - own->boundaries);
}

/* The same for many numbers; few boundaries are counted one by one, for several numbers at once. */
static void buckets_of(const struct bucketized *own, const float *numbers, int64_t count, uint64_t *out)
{
    enum { FEW = 32, BLOCK = 64 };

    for (int64_t first = 0; first < count; first += BLOCK) {
        int64_t size = MIN((int64_t)BLOCK, count - first);
        const float *x = numbers + first;
        uint32_t below[BLOCK] = { 0 };
        for (size_t b = 0; b < own->count && own->count <= FEW; b++)
            for (int64_t r = 0; r < size; r++)
                below[r] += !(x[r] < own->boundaries[b]);
        for (int64_t r = 0; r < size; r++)
            out[first + r] = own->count <= FEW ? below[r] : bucket_of(own, x[r]);
    }
}

static bool bucketized_run(const struct lane_spec *lane, struct program_run *run)
{
    const struct bucketized *own = lane->column->own;
    const float *numbers = run_input(lane, run, 0)->floats;
    struct lane *out = &run->lanes[lane->number];
    int64_t width = numeric_width(lane->column->inputs[0]), count = run->rows * width;

    if (!lane->ragged) {
        buckets_of(own, numbers, run->rows, out->values);
        memset(out->present, 1, (size_t)run->rows);
        return true;
    }
    if (!lane_reserve(out, count, false, run->status))
        return false;
    for (int64_t r = 0; r <= run->rows; r++)
        out->offsets[r] = r * width;
    for (int64_t i = 0; i < count; i++) {
        int64_t element = i % width;
        out->values[i] = bucket_of(own, numbers[i]) + (uint64_t)element * (own->count + 1);
        out->places[i] = (int32_t)element;
    }
    return true;
}

static bool bucketized_ragged(const struct pil_column *column, bool inputs_ragged)
{
    (void)inputs_ragged;
    return numeric_width(column->inputs[0]) > 1;
}

/* ---- arguments ----------------------------------------------------------------------------------------------- */

static bool shape_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                        pil_status *status)
{
    int64_t shape[MAX_RANK] = { 0 };
    const struct value *const *items = value->kind == VALUE_LIST ? (const struct value *const *)value->items : &value;
    size_t count = value->kind == VALUE_LIST ? value->count : 1;

    (void)reader;
    if (count == 0 || count > MAX_RANK)
        return value_fail(value, status, "%s takes 1 to %d dimensions", arg->name, (int)MAX_RANK);
    for (size_t i = 0; i < count; i++)
        if (items[i]->kind != VALUE_SCALAR || !parse_int64(items[i]->text, &shape[i]) || shape[i] < 1)
            return value_fail(items[i], status, "%s takes a dimension, or a list of them, each at least 1", arg->name);
    memcpy(field, shape, sizeof shape);
    return true;
}

static void shape_print(const struct arg *arg, const void *field, struct text *out)
{
    const int64_t *shape = field;

    (void)arg;
    for (int i = 0; i < MAX_RANK && shape[i] != 0; i++)
        text_format(out, "%s%lld", i == 0 ? "[" : ", ", (long long)shape[i]);
    text_format(out, "]");
}

static const struct arg_type SHAPE_TYPE = {
    .name = "integer or list of integers",
    .schema = "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}]}",
    .parse = shape_parse,
    .print = shape_print,
};

static const pil_normalizer normalizer_defaults = { 0.0f, 1.0f };
static const struct arg normalizer_args[] = {
    { .name = "subtract", .type = &ARG_FLOAT, .offset = offsetof(pil_normalizer, subtract), .help = "x - subtract, then" },
    { .name = "divide", .type = &ARG_FLOAT, .offset = offsetof(pil_normalizer, divide), .help = "divided by this" },
};
static const struct arg_table normalizer_table = {
    .name = "normalizer_fn",
    .help = "(x - subtract) / divide",
    .args = normalizer_args,
    .arg_count = COUNT_OF(normalizer_args),
    .defaults = &normalizer_defaults,
    .size = sizeof(pil_normalizer),
};

static bool normalizer_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                             pil_status *status)
{
    pil_normalizer normalizer;

    (void)arg;
    if (!args_parse(&normalizer_table, value, &normalizer, reader, status))
        return false;
    if (normalizer.divide == 0)
        return value_fail(value_get(value, "divide"), status, "divide is 0");
    memcpy(field, &normalizer, sizeof normalizer);
    return true;
}

static void normalizer_print(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    args_print(&normalizer_table, field, out);
}

static const struct arg_type NORMALIZER_TYPE = {
    .name = "{subtract: a, divide: b}",
    .schema = "{\"type\":\"object\",\"properties\":{\"subtract\":{\"type\":\"number\"},\"divide\":{\"type\":\"number\"}},"
              "\"additionalProperties\":false}",
    .parse = normalizer_parse,
    .print = normalizer_print,
};

#define NUMERIC_ARG(member) .offset = offsetof(pil_numeric_column_options, member)
static const pil_numeric_column_options numeric_defaults_of_args = { PIL_NUMERIC_COLUMN_DEFAULTS };
static const struct arg numeric_args[] = {
    { .name = "key", .type = &ARG_TEXT, NUMERIC_ARG(key), .help = "the field; by default the entry's own name" },
    { .name = "shape", .type = &SHAPE_TYPE, NUMERIC_ARG(shape), .help = "how many numbers a cell holds" },
    { .name = "default_value",
      .type = &COLUMN_ARG_NUMBERS,
      NUMERIC_ARG(default_value),
      .help = "for missing numbers; null: an error" },
    { .name = "dtype", .type = &ARG_TEXT, NUMERIC_ARG(dtype), .help = "float32, or int64 for a field of integers" },
    { .name = "normalizer_fn", .type = &NORMALIZER_TYPE, NUMERIC_ARG(normalizer_fn), .help = "applied to every number" },
};
static const struct arg_table numeric_table = {
    .name = "numeric_column",
    .help = "numbers as they are",
    .args = numeric_args,
    .arg_count = COUNT_OF(numeric_args),
    .defaults = &numeric_defaults_of_args,
    .size = sizeof(pil_numeric_column_options),
};

#define BUCKETIZED_ARG(member) .offset = offsetof(pil_bucketized_column_options, member)
static const pil_bucketized_column_options bucketized_defaults = { PIL_BUCKETIZED_COLUMN_DEFAULTS };
static const struct arg bucketized_args[] = {
    { .name = "source_column",
      .type = &COLUMN_ARG_COLUMN,
      BUCKETIZED_ARG(source_column),
      .help = "a numeric column",
      .required = true },
    { .name = "boundaries",
      .type = &COLUMN_ARG_NUMBERS,
      BUCKETIZED_ARG(boundaries),
      .required = true,
      .help = "ascending numbers, or {linspace: [from, to, count]}" },
};
static const struct arg_table bucketized_table = {
    .name = "bucketized_column",
    .help = "which bucket a number falls into",
    .args = bucketized_args,
    .arg_count = COUNT_OF(bucketized_args),
    .defaults = &bucketized_defaults,
    .size = sizeof(pil_bucketized_column_options),
};

static const struct column_row rows[2] = {
    { .name = "numeric_column",
      .help = "numbers as they are",
      .args = &numeric_table,
      .make = numeric_make,
      .run = numeric_run,
      .ragged = never_ragged,
      .define = numeric_define },
    { .name = "bucketized_column",
      .help = "which bucket a number falls into",
      .args = &bucketized_table,
      .make = bucketized_make,
      .run = bucketized_run,
      .ragged = bucketized_ragged,
      .define = bucketized_define },
};
COLUMN_ROWS_OF(numeric);
