/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learning rates that follow the step: the formulas of tf.keras.optimizers.schedules, and how a model file says them:
 *
 *     learning_rate: 0.05
 *     learning_rate: {exponential_decay: {initial_learning_rate: 0.1, decay_steps: 1000, decay_rate: 0.96}}
 *
 * TensorFlow computes them in float32, here they are doubles: the rate is rounded once, at the end.
 */
#include <math.h>
#include <string.h>

#include "train/internal.h"

/* ---- formulas ------------------------------------------------------------------------------------------------ */

static double in_stairs(const struct schedule *s, double step)
{
    double p = step / s->steps;
    return s->staircase ? floor(p) : p;
}

static double exponential_rate(const struct schedule *s, double step)
{
    return s->rate * pow(s->decay, in_stairs(s, step));
}

static double inverse_time_rate(const struct schedule *s, double step)
{
    return s->rate / (1 + s->decay * in_stairs(s, step));
}

/* The value of the first boundary that is not below the step. */
static double piecewise_rate(const struct schedule *s, double step)
{
    size_t i = 0;
    while (i < s->boundaries.count && step > (double)s->boundaries.items[i])
        i++;
    return (double)s->values.items[i];
}

static double polynomial_rate(const struct schedule *s, double step)
{
    double steps = s->steps;
    if (s->cycle)
        steps *= step == 0 ? 1 : ceil(step / steps);
    else
        step = fmin(step, steps);
    return (s->rate - s->end) * pow(1 - step / steps, s->power) + s->end;
}

static double cosine_rate(const struct schedule *s, double step)
{
    const double pi = 3.14159265358979323846;
    double from = s->rate;
    if (s->warmup_target > 0) {
        from = (double)s->warmup_target;
        if (step < s->warmup_steps)
            return (from - s->rate) * (step / s->warmup_steps) + s->rate;
        step -= s->warmup_steps;
    }
    double down = 0.5 * (1 + cos(pi * fmin(step, s->steps) / s->steps));
    return from * ((1 - s->alpha) * down + s->alpha);
}

static double constant_rate(const struct schedule *s, double step)
{
    (void)step;
    return s->rate;
}

/* ---- optional numbers ---------------------------------------------------------------------------------------- */

bool is_null(const struct value *value)
{
    return value->kind == VALUE_NULL ||
           (value->kind == VALUE_SCALAR && !value->quoted &&
            (value->text.size == 0 || slice_is(value->text, "null") || slice_is(value->text, "~")));
}

static bool parse_optional(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader, pil_status *status)
{
    *(float *)field = 0;
    return is_null(value) || ARG_FLOAT.parse(arg, value, field, reader, status);
}

static void print_optional(const struct arg *arg, const void *field, struct text *out)
{
    if (*(const float *)field == 0)
        text_append_text(out, "null");
    else
        ARG_FLOAT.print(arg, field, out);
}

const struct arg_type ARG_OPTIONAL_FLOAT = { .name = "float or null", .schema = "{\"type\":[\"number\",\"null\"]}",
                                             .parse = parse_optional, .print = print_optional, .json = print_optional };

/* ---- the table ----------------------------------------------------------------------------------------------- */

#define FIELD(member) offsetof(struct schedule, member)
#define INITIAL { "initial_learning_rate", &ARG_DOUBLE, FIELD(rate), "the rate at step 0", 0, INFINITY, .required = true }
#define STEPS { "decay_steps", &ARG_DOUBLE, FIELD(steps), "steps of one decay", 1, INFINITY, .required = true }
#define RATE(text) { "decay_rate", &ARG_DOUBLE, FIELD(decay), text, 0, INFINITY, .required = true }
#define STAIRCASE { "staircase", &ARG_BOOL, FIELD(staircase), "decay at whole multiples of decay_steps only" }
#define NAME { "name", &ARG_TEXT, FIELD(name), "has no effect" }
#define TABLE(word, rows, first, text) { word, text, rows, COUNT_OF(rows), first, sizeof(struct schedule) }

static const struct arg exponential_args[] = { INITIAL, STEPS, RATE("the rate is multiplied by it every decay_steps"), STAIRCASE, NAME };
static const struct schedule exponential_first = { .kind = SCHEDULE_EXPONENTIAL_DECAY };
static const struct arg inverse_time_args[] = { INITIAL, STEPS, RATE("rate / (1 + decay_rate * step / decay_steps)"), STAIRCASE, NAME };
static const struct schedule inverse_time_first = { .kind = SCHEDULE_INVERSE_TIME_DECAY };
static const struct arg piecewise_args[] = {
    { "boundaries", &ARG_FLOATS, FIELD(boundaries), "last steps of the values, ascending", .required = true },
    { "values", &ARG_FLOATS, FIELD(values), "rates, one more than boundaries", 0, INFINITY, .required = true },
    NAME,
};
static const struct schedule piecewise_first = { .kind = SCHEDULE_PIECEWISE_CONSTANT };
static const struct arg polynomial_args[] = {
    INITIAL, STEPS,
    { "end_learning_rate", &ARG_DOUBLE, FIELD(end), "the rate after decay_steps", 0, INFINITY },
    { "power", &ARG_DOUBLE, FIELD(power), "1: linear" },
    { "cycle", &ARG_BOOL, FIELD(cycle), "begin again after decay_steps" },
    NAME,
};
static const struct schedule polynomial_first = { .kind = SCHEDULE_POLYNOMIAL_DECAY, .end = 0.0001, .power = 1 };
static const struct arg cosine_args[] = {
    INITIAL, STEPS,
    { "alpha", &ARG_DOUBLE, FIELD(alpha), "the lowest rate as a part of the initial one" },
    NAME,
    { "warmup_target", &ARG_OPTIONAL_FLOAT, FIELD(warmup_target), "the rate to rise to before the decay", 0, INFINITY },
    { "warmup_steps", &ARG_DOUBLE, FIELD(warmup_steps), "steps of the rise", 0, INFINITY },
};
static const struct schedule cosine_first = { .kind = SCHEDULE_COSINE_DECAY };

/* By kind. */
static const struct schedule_row {
    struct arg_table table;
    double (*rate)(const struct schedule *schedule, double step);
} rows[] = {
    [SCHEDULE_CONSTANT] = { { .name = NULL }, constant_rate },
    [SCHEDULE_EXPONENTIAL_DECAY] = { TABLE("exponential_decay", exponential_args, &exponential_first, "falls by a factor"), exponential_rate },
    [SCHEDULE_PIECEWISE_CONSTANT] = { TABLE("piecewise_constant_decay", piecewise_args, &piecewise_first, "a list of rates"), piecewise_rate },
    [SCHEDULE_POLYNOMIAL_DECAY] = { TABLE("polynomial_decay", polynomial_args, &polynomial_first, "falls to an end"), polynomial_rate },
    [SCHEDULE_INVERSE_TIME_DECAY] = { TABLE("inverse_time_decay", inverse_time_args, &inverse_time_first, "falls as 1 / step"), inverse_time_rate },
    [SCHEDULE_COSINE_DECAY] = { TABLE("cosine_decay", cosine_args, &cosine_first, "falls along a cosine"), cosine_rate },
};
/* Other names of the same: Keras's classes, and the function of 1.x. */
static const struct {
    const char *name;
    enum schedule_kind kind;
} aliases[] = {
    { "ExponentialDecay", SCHEDULE_EXPONENTIAL_DECAY },
    { "PiecewiseConstantDecay", SCHEDULE_PIECEWISE_CONSTANT },
    { "piecewise_constant", SCHEDULE_PIECEWISE_CONSTANT },
    { "PolynomialDecay", SCHEDULE_POLYNOMIAL_DECAY },
    { "InverseTimeDecay", SCHEDULE_INVERSE_TIME_DECAY },
    { "CosineDecay", SCHEDULE_COSINE_DECAY },
};

double schedule_rate(const struct schedule *schedule, int64_t step)
{
    return rows[schedule->kind].rate(schedule, (double)step);
}

/* ---- as an argument ------------------------------------------------------------------------------------------ */

static const struct arg_table *find_schedule(const struct value *key, pil_status *status)
{
    const char *names[COUNT_OF(rows)];
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(aliases); i++)
        if (slice_is(key->text, aliases[i].name))
            return &rows[aliases[i].kind].table;
    for (size_t i = SCHEDULE_CONSTANT + 1; i < COUNT_OF(rows); i++) {
        if (slice_is(key->text, rows[i].table.name))
            return &rows[i].table;
        names[count++] = rows[i].table.name;
    }
    value_no_key(key, "learning_rate", names, count, status);
    return NULL;
}

static bool check_piecewise(const struct schedule *schedule, const struct value *at, pil_status *status)
{
    const struct arg_floats *boundaries = &schedule->boundaries, *values = &schedule->values;
    if (values->count != boundaries->count + 1)
        return value_fail(at, status, "piecewise_constant_decay needs one value more than boundaries, not %zu and %zu", values->count,
                          boundaries->count);
    for (size_t i = 1; i < boundaries->count; i++)
        if (!(boundaries->items[i] > boundaries->items[i - 1]))
            return value_fail(at, status, "the boundaries of piecewise_constant_decay must rise; number %zu does not", i + 1);
    return true;
}

static bool parse_schedule(const struct value *map, struct schedule *out, struct args_reader *reader, pil_status *status)
{
    if (map->count != 1)
        return value_fail(map, status, "learning_rate takes a number or one schedule: {exponential_decay: {...}}");
    const struct arg_table *table = find_schedule(map->keys[0], status);
    if (!table || !args_parse(table, map->items[0], out, reader, status))
        return false;
    return out->kind != SCHEDULE_PIECEWISE_CONSTANT || check_piecewise(out, map->items[0], status);
}

static bool parse_rate(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader, pil_status *status)
{
    struct schedule out = { .kind = SCHEDULE_CONSTANT, .rate = -1 };
    if (value->kind == VALUE_MAP) {
        if (!parse_schedule(value, &out, reader, status))
            return false;
    } else if (!is_null(value)) {
        struct arg number = { .name = arg->name, .low = 0, .high = INFINITY };
        if (!ARG_DOUBLE.parse(&number, value, &out.rate, reader, status))
            return false;
        if (!isfinite(out.rate))
            return value_fail(value, status, "%s must be a finite number", arg->name);
    }
    *(struct schedule *)field = out;
    return true;
}

static void print_rate(const struct arg *arg, const void *field, struct text *out)
{
    const struct schedule *schedule = field;
    if (schedule->kind != SCHEDULE_CONSTANT) {
        text_format(out, "{%s: ", rows[schedule->kind].table.name);
        args_print(&rows[schedule->kind].table, schedule, out);
        text_append_text(out, "}");
    } else if (schedule->rate < 0) {
        text_append_text(out, "null");
    } else {
        ARG_DOUBLE.print(arg, &schedule->rate, out);
    }
}

/* Only constants are defaults. */
static void json_rate(const struct arg *arg, const void *field, struct text *out)
{
    const struct schedule *schedule = field;
    if (schedule->kind == SCHEDULE_CONSTANT && schedule->rate >= 0)
        ARG_DOUBLE.json(arg, &schedule->rate, out);
    else
        text_append_text(out, "null");
}

const struct arg_type ARG_RATE = { .name = "float or schedule",
                                   .schema = "{\"anyOf\":[{\"type\":[\"number\",\"null\"],\"minimum\":0},"
                                             "{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":1}]}",
                                   .parse = parse_rate,
                                   .print = print_rate,
                                   .json = json_rate };
