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

static bool parse_optional(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                           pil_status *status)
{
    *(float *)field = 0;
    return value_is_null(value) || ARG_FLOAT.parse(arg, value, field, reader, status);
}

static void print_optional(const struct arg *arg, const void *field, struct text *out)
{
    if (*(const float *)field == 0)
        text_append_text(out, "null");
    else
        ARG_FLOAT.print(arg, field, out);
}

const struct arg_type ARG_OPTIONAL_FLOAT = { .name = "float or null",
                                             .schema = "{\"type\":[\"number\",\"null\"]}",
                                             .parse = parse_optional,
                                             .print = print_optional,
                                             .json = print_optional };

/* ---- the table ----------------------------------------------------------------------------------------------- */

#define ROW(name, type, member, text, low, high, required)                                                                       \
    {                                                                                                                            \
        name, &type, offsetof(struct schedule, member), text, low, high, NULL, required                                          \
    }
#define ARG(name, type, member, text) ROW(name, type, member, text, 0, 0, false)
#define ABOVE(name, type, member, text, low) ROW(name, type, member, text, low, INFINITY, false)
#define NEEDED(name, type, member, text, low) ROW(name, type, member, text, low, INFINITY, true)
#define INITIAL NEEDED("initial_learning_rate", ARG_DOUBLE, rate, "the rate at step 0", 0)
#define STEPS NEEDED("decay_steps", ARG_DOUBLE, steps, "steps of one decay", 1)
#define RATE(text) NEEDED("decay_rate", ARG_DOUBLE, decay, text, 0)
#define STAIRCASE ARG("staircase", ARG_BOOL, staircase, "decay at whole multiples of decay_steps only")
#define NAME ARG("name", ARG_TEXT, name, "has no effect")

static const struct arg exponential_args[] = {
    INITIAL, STEPS, RATE("the rate is multiplied by it every decay_steps"), STAIRCASE, NAME,
};
static const struct schedule exponential_first = { .kind = SCHEDULE_EXPONENTIAL_DECAY };
static const struct arg inverse_time_args[] = {
    INITIAL, STEPS, RATE("rate / (1 + decay_rate * step / decay_steps)"), STAIRCASE, NAME,
};
static const struct schedule inverse_time_first = { .kind = SCHEDULE_INVERSE_TIME_DECAY };
static const struct arg piecewise_args[] = {
    ROW("boundaries", ARG_FLOATS, boundaries, "last steps of the values, ascending", 0, 0, true),
    NEEDED("values", ARG_FLOATS, values, "rates, one more than boundaries", 0),
    NAME,
};
static const struct schedule piecewise_first = { .kind = SCHEDULE_PIECEWISE_CONSTANT };
static const struct arg polynomial_args[] = {
    INITIAL,
    STEPS,
    ABOVE("end_learning_rate", ARG_DOUBLE, end, "the rate after decay_steps", 0),
    ARG("power", ARG_DOUBLE, power, "1: linear"),
    ARG("cycle", ARG_BOOL, cycle, "begin again after decay_steps"),
    NAME,
};
static const struct schedule polynomial_first = { .kind = SCHEDULE_POLYNOMIAL_DECAY, .end = 0.0001, .power = 1 };
static const struct arg cosine_args[] = {
    INITIAL,
    STEPS,
    ARG("alpha", ARG_DOUBLE, alpha, "the lowest rate as a part of the initial one"),
    NAME,
    ABOVE("warmup_target", ARG_OPTIONAL_FLOAT, warmup_target, "the rate to rise to before the decay", 0),
    ABOVE("warmup_steps", ARG_DOUBLE, warmup_steps, "steps of the rise", 0),
};
static const struct schedule cosine_first = { .kind = SCHEDULE_COSINE_DECAY };

#define TABLE(word, args, first, text)                                                                                           \
    {                                                                                                                            \
        word, text, args, COUNT_OF(args), first, sizeof(struct schedule)                                                         \
    }

/* By kind. */
static const struct schedule_row {
    struct arg_table table;
    double (*rate)(const struct schedule *schedule, double step);
} rows[] = {
    [SCHEDULE_CONSTANT] = { { .name = NULL }, constant_rate },
    [SCHEDULE_EXPONENTIAL_DECAY] = { TABLE("exponential_decay", exponential_args, &exponential_first, "falls by a factor"),
                                     exponential_rate },
    [SCHEDULE_PIECEWISE_CONSTANT] = { TABLE("piecewise_constant_decay", piecewise_args, &piecewise_first, "a list of rates"),
                                      piecewise_rate },
    [SCHEDULE_POLYNOMIAL_DECAY] = { TABLE("polynomial_decay", polynomial_args, &polynomial_first, "falls to an end"),
                                    polynomial_rate },
    [SCHEDULE_INVERSE_TIME_DECAY] = { TABLE("inverse_time_decay", inverse_time_args, &inverse_time_first, "falls as 1 / step"),
                                      inverse_time_rate },
    [SCHEDULE_COSINE_DECAY] = { TABLE("cosine_decay", cosine_args, &cosine_first, "falls along a cosine"), cosine_rate },
};
/* Other names of the same: Keras's classes, and the function of 1.x. */
static const struct {
    const char *name;
    enum schedule_kind kind;
} aliases[] = {
    { "ExponentialDecay", SCHEDULE_EXPONENTIAL_DECAY },    { "PiecewiseConstantDecay", SCHEDULE_PIECEWISE_CONSTANT },
    { "piecewise_constant", SCHEDULE_PIECEWISE_CONSTANT }, { "PolynomialDecay", SCHEDULE_POLYNOMIAL_DECAY },
    { "InverseTimeDecay", SCHEDULE_INVERSE_TIME_DECAY },   { "CosineDecay", SCHEDULE_COSINE_DECAY },
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
        return value_fail(at, status, "piecewise_constant_decay needs one value more than boundaries, not %zu and %zu",
                          values->count, boundaries->count);
    for (size_t i = 1; i < boundaries->count; i++)
        if (!(boundaries->items[i] > boundaries->items[i - 1]))
            return value_fail(at, status, "the boundaries of piecewise_constant_decay must rise; number %zu does not", i + 1);
    for (size_t i = 0; i < values->count; i++)
        if (!(values->items[i] >= 0) || !isfinite(values->items[i]))
            return value_fail(at, status, "the values of piecewise_constant_decay must be numbers from 0, not %g",
                              (double)values->items[i]);
    return true;
}

bool schedule_check(const struct schedule *schedule, const struct value *at, pil_status *status)
{
    if (schedule->kind == SCHEDULE_PIECEWISE_CONSTANT)
        return check_piecewise(schedule, at, status);
    pil_status own = { 0 };
    const struct arg_table *table = &rows[schedule->kind].table;
    return limits_check(table, schedule, &own) || value_fail(at, status, "%s: %s", table->name, own.message);
}

static bool parse_schedule(const struct value *map, struct schedule *out, struct args_reader *reader, pil_status *status)
{
    if (map->count != 1)
        return value_fail(map, status, "learning_rate takes a number or one schedule: {exponential_decay: {...}}");
    const struct arg_table *table = find_schedule(map->keys[0], status);
    if (!table || !args_parse(table, map->items[0], out, reader, status))
        return false;
    return schedule_check(out, map->items[0], status);
}

static bool parse_rate(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                       pil_status *status)
{
    struct schedule out = { .kind = SCHEDULE_CONSTANT, .rate = -1 };
    if (value->kind == VALUE_MAP) {
        if (!parse_schedule(value, &out, reader, status))
            return false;
    } else if (!value_is_null(value)) {
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
