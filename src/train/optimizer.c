/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimizers: a row each, with its arguments, their defaults, and what its options come to (formula, slots). The
 * formulas are kernel/update.c's. Three families of rows: Keras's legacy classes, which a 2.x Estimator uses; those of
 * tf.compat.v1.train; and Keras's newer classes, which put epsilon elsewhere and treat a sparse gradient as a dense one.
 *
 *     dnn_optimizer: Adagrad                          the class's defaults, with the estimator's rate where it has one
 *     dnn_optimizer: {adagrad: {learning_rate: 0.05}}
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/internal.h"

/* ---- what options come to ------------------------------------------------------------------------------------ */

#define SHAPE_OF(name, formula, untouched, ...) static const struct optimizer_shape name = { formula, untouched, __VA_ARGS__ }

SHAPE_OF(sgd, UPDATE_SGD, UNTOUCHED_STAYS, { NULL }, { START_ZERO });
SHAPE_OF(sgd_momentum, UPDATE_MOMENTUM_KERAS, UNTOUCHED_STAYS, { "momentum" }, { START_ZERO });
SHAPE_OF(adagrad, UPDATE_ADAGRAD, UNTOUCHED_STAYS, { "accumulator" }, { START_ACCUMULATOR });
SHAPE_OF(adam, UPDATE_ADAM, UNTOUCHED_MOVES, { "m", "v" }, { START_ZERO });
SHAPE_OF(adam_amsgrad, UPDATE_ADAM_AMSGRAD, UNTOUCHED_MOVES, { "m", "v", "vhat" }, { START_ZERO });
SHAPE_OF(rmsprop, UPDATE_RMSPROP, UNTOUCHED_DECAYS, { "rms" }, { START_ZERO });
SHAPE_OF(rmsprop_momentum, UPDATE_RMSPROP_INSIDE, UNTOUCHED_STAYS, { "rms", "momentum" }, { START_ZERO });
SHAPE_OF(rmsprop_centered, UPDATE_RMSPROP_CENTERED, UNTOUCHED_DECAYS, { "rms", "mg" }, { START_ZERO });
SHAPE_OF(rmsprop_both, UPDATE_RMSPROP_CENTERED_INSIDE, UNTOUCHED_STAYS, { "rms", "mg", "momentum" }, { START_ZERO });
SHAPE_OF(ftrl, UPDATE_FTRL, UNTOUCHED_STAYS, { "accumulator", "linear" }, { START_ACCUMULATOR, START_ZERO });
SHAPE_OF(adadelta, UPDATE_ADADELTA, UNTOUCHED_STAYS, { "accum_grad", "accum_var" }, { START_ZERO });
SHAPE_OF(adamax, UPDATE_ADAMAX, UNTOUCHED_STAYS, { "m", "v" }, { START_ZERO });
SHAPE_OF(nadam, UPDATE_NADAM, UNTOUCHED_DECAYS, { "m", "v" }, { START_ZERO });

SHAPE_OF(v1_momentum, UPDATE_MOMENTUM, UNTOUCHED_STAYS, { "Momentum" }, { START_ZERO });
SHAPE_OF(v1_adagrad, UPDATE_ADAGRAD, UNTOUCHED_STAYS, { "Adagrad" }, { START_ACCUMULATOR });
SHAPE_OF(v1_adam, UPDATE_ADAM, UNTOUCHED_MOVES, { "Adam", "Adam_1" }, { START_ZERO });
SHAPE_OF(v1_rmsprop, UPDATE_RMSPROP_INSIDE, UNTOUCHED_STAYS, { "RMSProp", "RMSProp_1" }, { START_ONE, START_ZERO });
SHAPE_OF(v1_rmsprop_centered, UPDATE_RMSPROP_CENTERED_INSIDE, UNTOUCHED_STAYS, { "RMSProp", "RMSProp_1", "RMSProp_2" },
         { START_ONE, START_ZERO, START_ZERO });
SHAPE_OF(v1_ftrl, UPDATE_FTRL, UNTOUCHED_STAYS, { "Ftrl", "Ftrl_1" }, { START_ACCUMULATOR, START_ZERO });
SHAPE_OF(v1_adadelta, UPDATE_ADADELTA, UNTOUCHED_STAYS, { "Adadelta", "Adadelta_1" }, { START_ZERO });
SHAPE_OF(v1_proximal_adagrad, UPDATE_PROXIMAL_ADAGRAD, UNTOUCHED_STAYS, { "ProximalAdagrad" }, { START_ACCUMULATOR });

/* Newer classes: a row that is not in the batch has the gradient 0 and takes part. */
SHAPE_OF(new_sgd_momentum, UPDATE_MOMENTUM_KERAS, UNTOUCHED_MOVES, { "momentum" }, { START_ZERO });
SHAPE_OF(new_adagrad, UPDATE_ADAGRAD_INSIDE, UNTOUCHED_STAYS, { "accumulator" }, { START_ACCUMULATOR }); /* 0 changes nothing */
SHAPE_OF(new_rmsprop, UPDATE_RMSPROP_ROOT, UNTOUCHED_DECAYS, { "rms" }, { START_ZERO });
SHAPE_OF(new_rmsprop_momentum, UPDATE_RMSPROP_INSIDE, UNTOUCHED_MOVES, { "rms", "momentum" }, { START_ZERO });
SHAPE_OF(new_rmsprop_centered, UPDATE_RMSPROP_CENTERED_INSIDE, UNTOUCHED_MOVES, { "rms", "mg", "momentum" }, { START_ZERO });
SHAPE_OF(new_ftrl, UPDATE_FTRL, UNTOUCHED_MOVES, { "accumulator", "linear" }, { START_ACCUMULATOR, START_ZERO });
SHAPE_OF(new_adadelta, UPDATE_ADADELTA, UNTOUCHED_MOVES, { "accum_grad", "accum_var" }, { START_ZERO });
SHAPE_OF(new_adamax, UPDATE_ADAMAX, UNTOUCHED_MOVES, { "m", "v" }, { START_ZERO });
SHAPE_OF(new_nadam, UPDATE_NADAM, UNTOUCHED_MOVES, { "m", "v" }, { START_ZERO });

#define ALWAYS(name)                                                                                                             \
    static const struct optimizer_shape *always_##name(const struct optimizer_options *o)                                        \
    {                                                                                                                            \
        (void)o;                                                                                                                 \
        return &name;                                                                                                            \
    }
ALWAYS(sgd)
ALWAYS(adagrad)
ALWAYS(ftrl)
ALWAYS(adadelta)
ALWAYS(adamax)
ALWAYS(nadam)
ALWAYS(v1_momentum)
ALWAYS(v1_adagrad)
ALWAYS(v1_adam)
ALWAYS(v1_ftrl)
ALWAYS(v1_adadelta)
ALWAYS(v1_proximal_adagrad)
ALWAYS(new_adagrad)
ALWAYS(new_ftrl)
ALWAYS(new_adadelta)
ALWAYS(new_adamax)
ALWAYS(new_nadam)

static const struct optimizer_shape *shape_sgd(const struct optimizer_options *o)
{
    return o->momentum > 0 ? &sgd_momentum : &sgd;
}

static const struct optimizer_shape *shape_new_sgd(const struct optimizer_options *o)
{
    return o->momentum > 0 ? &new_sgd_momentum : &sgd;
}

static const struct optimizer_shape *shape_adam(const struct optimizer_options *o)
{
    return o->amsgrad ? &adam_amsgrad : &adam;
}

static const struct optimizer_shape *shape_rmsprop(const struct optimizer_options *o)
{
    if (o->momentum > 0)
        return o->centered ? &rmsprop_both : &rmsprop_momentum;
    return o->centered ? &rmsprop_centered : &rmsprop;
}

static const struct optimizer_shape *shape_new_rmsprop(const struct optimizer_options *o)
{
    if (o->centered)
        return &new_rmsprop_centered;
    return o->momentum > 0 ? &new_rmsprop_momentum : &new_rmsprop;
}

static const struct optimizer_shape *shape_v1_rmsprop(const struct optimizer_options *o)
{
    return o->centered ? &v1_rmsprop_centered : &v1_rmsprop;
}

/* ---- arguments ----------------------------------------------------------------------------------------------- */

#define LIMITED(name, type, member, text, low, high)                                                                             \
    {                                                                                                                            \
        name, &type, offsetof(struct optimizer_options, member), text, low, high                                                 \
    }
#define ARG(name, type, member, text) LIMITED(name, type, member, text, 0, 0)
#define LEARNING_RATE ARG("learning_rate", ARG_RATE, learning_rate, "a number or a schedule")
#define MOMENTUM LIMITED("momentum", ARG_FLOAT, momentum, "0: none", 0, 1)
#define NESTEROV(name) ARG(name, ARG_BOOL, nesterov, "Nesterov's momentum")
#define CENTERED ARG("centered", ARG_BOOL, centered, "divide by the gradient's deviation")
#define RHO(name) LIMITED(name, ARG_FLOAT, rho, "decay of the mean of squares", 0, 1)
#define BETA_1(name) LIMITED(name, ARG_FLOAT, beta_1, "decay of the mean", 0, 0.9999999)
#define BETA_2(name) LIMITED(name, ARG_FLOAT, beta_2, "decay of the mean of squares", 0, 0.9999999)
#define EPSILON LIMITED("epsilon", ARG_OPTIONAL_FLOAT, epsilon, "keeps the divisor above 0", 0, INFINITY)
#define ACCUMULATOR                                                                                                              \
    LIMITED("initial_accumulator_value", ARG_FLOAT, initial_accumulator_value, "where sums of squares start", 0, INFINITY)
#define L1 LIMITED("l1_regularization_strength", ARG_FLOAT, l1, "pull to exactly 0", 0, INFINITY)
#define L2 LIMITED("l2_regularization_strength", ARG_FLOAT, l2, "pull towards 0", 0, INFINITY)
#define SHRINKAGE LIMITED("l2_shrinkage_regularization_strength", ARG_FLOAT, l2_shrinkage, "l2 in the gradient", 0, INFINITY)
#define BETA LIMITED("beta", ARG_FLOAT, beta, "added to the accumulator's root", 0, INFINITY)
#define POWER                                                                                                                    \
    LIMITED("learning_rate_power", ARG_FLOAT, learning_rate_power, "how the rate falls with the accumulator", -INFINITY, 0)
#define NAME ARG("name", ARG_TEXT, name, "in checkpoints, instead of the class's")
#define CLIPPING                                                                                                                 \
    LIMITED("clipnorm", ARG_OPTIONAL_FLOAT, clipnorm, "limit of each gradient's norm", 0, INFINITY),                             \
        LIMITED("clipvalue", ARG_OPTIONAL_FLOAT, clipvalue, "limit of each gradient's values", 0, INFINITY),                     \
        LIMITED("global_clipnorm", ARG_OPTIONAL_FLOAT, global_clipnorm, "limit of the norm of all gradients", 0, INFINITY)
/* The last one, so that the newer classes, which lack it, take the list without it. */
#define DECAY(name, text) LIMITED(name, ARG_FLOAT, decay_rate, text, 0, INFINITY)
#define TIME_DECAY DECAY("decay", "rate / (1 + decay * steps)")

static const struct arg sgd_args[] = { LEARNING_RATE, MOMENTUM, NESTEROV("nesterov"), NAME, CLIPPING, TIME_DECAY };
static const struct arg adagrad_args[] = { LEARNING_RATE, ACCUMULATOR, EPSILON, NAME, CLIPPING, TIME_DECAY };
static const struct arg adam_args[] = { LEARNING_RATE,
                                        BETA_1("beta_1"),
                                        BETA_2("beta_2"),
                                        EPSILON,
                                        ARG("amsgrad", ARG_BOOL, amsgrad, "divide by the largest mean so far"),
                                        NAME,
                                        CLIPPING,
                                        TIME_DECAY };
static const struct arg rmsprop_args[] = { LEARNING_RATE, RHO("rho"), MOMENTUM, EPSILON, CENTERED, NAME, CLIPPING, TIME_DECAY };
static const struct arg ftrl_args[] = { LEARNING_RATE, POWER, ACCUMULATOR, L1, L2, NAME, SHRINKAGE, BETA, CLIPPING, TIME_DECAY };
static const struct arg adadelta_args[] = { LEARNING_RATE, RHO("rho"), EPSILON, NAME, CLIPPING, TIME_DECAY };
static const struct arg adamax_args[] = {
    LEARNING_RATE, BETA_1("beta_1"), BETA_2("beta_2"), EPSILON, NAME, CLIPPING, TIME_DECAY
};
static const struct arg nadam_args[] = { LEARNING_RATE,
                                         BETA_1("beta_1"),
                                         BETA_2("beta_2"),
                                         EPSILON,
                                         NAME,
                                         CLIPPING,
                                         DECAY("schedule_decay", "decay of the momentum's schedule") };

static const struct arg v1_sgd_args[] = { LEARNING_RATE, NAME };
static const struct arg v1_momentum_args[] = { LEARNING_RATE, MOMENTUM, NESTEROV("use_nesterov"), NAME };
static const struct arg v1_adagrad_args[] = { LEARNING_RATE, ACCUMULATOR, NAME };
static const struct arg v1_adam_args[] = { LEARNING_RATE, BETA_1("beta1"), BETA_2("beta2"), EPSILON, NAME };
static const struct arg v1_rmsprop_args[] = { LEARNING_RATE, RHO("decay"), MOMENTUM, EPSILON, CENTERED, NAME };
static const struct arg v1_ftrl_args[] = { LEARNING_RATE, POWER, ACCUMULATOR, L1, L2, NAME, SHRINKAGE, BETA };
static const struct arg v1_adadelta_args[] = { LEARNING_RATE, RHO("rho"), EPSILON, NAME };
static const struct arg v1_proximal_adagrad_args[] = { LEARNING_RATE, ACCUMULATOR, L1, L2, NAME };

/* Defaults; a rate below 0 must be given. */
#define DEFAULTS(name, number, ...)                                                                                              \
    static const struct optimizer_options name##_defaults = { .learning_rate = { .rate = number }, __VA_ARGS__ }
DEFAULTS(sgd, 0.01, .momentum = 0);
DEFAULTS(adagrad, 0.001, .initial_accumulator_value = 0.1f, .epsilon = 1e-7f);
DEFAULTS(adam, 0.001, .beta_1 = 0.9f, .beta_2 = 0.999f, .epsilon = 1e-7f);
DEFAULTS(rmsprop, 0.001, .rho = 0.9f, .epsilon = 1e-7f);
DEFAULTS(ftrl, 0.001, .learning_rate_power = -0.5f, .initial_accumulator_value = 0.1f);
DEFAULTS(adadelta, 0.001, .rho = 0.95f, .epsilon = 1e-7f);
DEFAULTS(nadam, 0.001, .beta_1 = 0.9f, .beta_2 = 0.999f, .epsilon = 1e-7f, .decay_rate = 0.004f);
DEFAULTS(new_nadam, 0.001, .beta_1 = 0.9f, .beta_2 = 0.999f, .epsilon = 1e-7f, .decay_rate = 1);
DEFAULTS(v1_sgd, -1, .momentum = 0);
DEFAULTS(v1_momentum, -1, .momentum = 0.9f);
DEFAULTS(v1_adagrad, -1, .initial_accumulator_value = 0.1f);
DEFAULTS(v1_adam, 0.001, .beta_1 = 0.9f, .beta_2 = 0.999f, .epsilon = 1e-8f);
DEFAULTS(v1_rmsprop, -1, .rho = 0.9f, .epsilon = 1e-10f);
DEFAULTS(v1_ftrl, -1, .learning_rate_power = -0.5f, .initial_accumulator_value = 0.1f);
DEFAULTS(v1_adadelta, 0.001, .rho = 0.95f, .epsilon = 1e-8f);

/* ---- the table ----------------------------------------------------------------------------------------------- */

/* `last`: 1 for the newer classes, which lack the last argument. At the end the hyper-parameters that checkpoints hold. */
#define ROW(flavour, name, class_name, shape, args, defaults, last, help, ...)                                                   \
    {                                                                                                                            \
        { name, help, args, COUNT_OF(args) - (last), &defaults##_defaults, sizeof(struct optimizer_options) }, class_name,       \
            FLAVOUR_##flavour, shape,                                                                                            \
        {                                                                                                                        \
            __VA_ARGS__                                                                                                          \
        }                                                                                                                        \
    }
#define KERAS(...) ROW(KERAS_LEGACY, __VA_ARGS__)
#define V1(...) ROW(V1, __VA_ARGS__)
#define NEWER(...) ROW(KERAS, __VA_ARGS__)
#define FTRL_HYPERS "learning_rate_power", "l1_regularization_strength", "l2_regularization_strength", "beta"
#define SUM "rates fall with the sum of squares"
#define MEANS "means of gradients and squares"
#define LEADER "follow the regularized leader"
#define ROOT "divides by the root of a mean square"
#define DESCENT "gradient descent, with momentum if asked"
#define LARGEST "Adam with the largest gradient"
#define NESTEROV_ADAM "Adam with Nesterov's momentum"
#define NO_RATE "rates from means of squares alone"

static const struct optimizer_row rows[] = {
    KERAS("adagrad", "Adagrad", always_adagrad, adagrad_args, adagrad, 0, SUM, NULL),
    KERAS("adam", "Adam", shape_adam, adam_args, adam, 0, MEANS, "beta_1", "beta_2"),
    KERAS("ftrl", "Ftrl", always_ftrl, ftrl_args, ftrl, 0, LEADER, FTRL_HYPERS),
    KERAS("rmsprop", "RMSprop", shape_rmsprop, rmsprop_args, rmsprop, 0, ROOT, "rho", "momentum"),
    KERAS("sgd", "SGD", shape_sgd, sgd_args, sgd, 0, DESCENT, "momentum"),
    KERAS("adamax", "Adamax", always_adamax, adamax_args, adam, 0, LARGEST, "beta_1", "beta_2"),
    KERAS("nadam", "Nadam", always_nadam, nadam_args, nadam, 0, NESTEROV_ADAM, "beta_1", "beta_2"),
    KERAS("adadelta", "Adadelta", always_adadelta, adadelta_args, adadelta, 0, NO_RATE, "rho"),

    V1("adagrad", "Adagrad", always_v1_adagrad, v1_adagrad_args, v1_adagrad, 0, SUM, NULL),
    V1("adam", "Adam", always_v1_adam, v1_adam_args, v1_adam, 0, MEANS, NULL),
    V1("ftrl", "Ftrl", always_v1_ftrl, v1_ftrl_args, v1_ftrl, 0, LEADER, NULL),
    V1("rmsprop", "RMSProp", shape_v1_rmsprop, v1_rmsprop_args, v1_rmsprop, 0, ROOT, NULL),
    V1("sgd", "SGD", always_sgd, v1_sgd_args, v1_sgd, 0, "gradient descent", NULL),
    V1("momentum", "Momentum", always_v1_momentum, v1_momentum_args, v1_momentum, 0, "gradient descent with momentum", NULL),
    V1("adadelta", "Adadelta", always_v1_adadelta, v1_adadelta_args, v1_adadelta, 0, NO_RATE, NULL),
    V1("proximal_adagrad", "ProximalAdagrad", always_v1_proximal_adagrad, v1_proximal_adagrad_args, v1_adagrad, 0,
       "Adagrad with l1 and l2", NULL),

    NEWER("adagrad", "Adagrad", always_new_adagrad, adagrad_args, adagrad, 1, SUM, NULL),
    NEWER("adam", "Adam", shape_adam, adam_args, adam, 1, MEANS, "beta_1", "beta_2"),
    NEWER("ftrl", "Ftrl", always_new_ftrl, ftrl_args, ftrl, 1, LEADER, FTRL_HYPERS),
    NEWER("rmsprop", "RMSprop", shape_new_rmsprop, rmsprop_args, rmsprop, 1, ROOT, "rho", "momentum"),
    NEWER("sgd", "SGD", shape_new_sgd, sgd_args, sgd, 1, DESCENT, "momentum"),
    NEWER("adamax", "Adamax", always_new_adamax, adamax_args, adam, 1, LARGEST, "beta_1", "beta_2"),
    NEWER("nadam", "Nadam", always_new_nadam, nadam_args, new_nadam, 1, NESTEROV_ADAM, "beta_1", "beta_2"),
    NEWER("adadelta", "Adadelta", always_new_adadelta, adadelta_args, adadelta, 1, NO_RATE, "rho"),
};

/* TensorFlow's string is RMSProp, Keras's class RMSprop: either is taken. */
static bool is_name(const struct optimizer_row *row, struct slice name)
{
    return slice_is(name, row->table.name) || slice_is(name, row->class_name) ||
           (strcmp(row->table.name, "rmsprop") == 0 && (slice_is(name, "RMSProp") || slice_is(name, "RMSprop")));
}

static const struct optimizer_row *find_row(struct slice name, enum optimizer_flavour flavour)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].flavour == flavour && is_name(&rows[i], name))
            return &rows[i];
    return NULL;
}

const struct arg_table *optimizer_arguments(enum optimizer_flavour flavour, size_t i)
{
    for (size_t k = 0; k < COUNT_OF(rows); k++)
        if (rows[k].flavour == flavour && i-- == 0)
            return &rows[k].table;
    return NULL;
}

/* The names of a flavour, for messages. */
static size_t list_names(enum optimizer_flavour flavour, const char *names[COUNT_OF(rows)])
{
    size_t count = 0;
    for (const struct arg_table *table; (table = optimizer_arguments(flavour, count)) != NULL; count++)
        names[count] = table->name;
    return count;
}

static const char *of_flavour(enum optimizer_flavour flavour)
{
    return flavour == FLAVOUR_V1 ? " of TensorFlow 1" : "";
}

static bool no_such_optimizer(const struct value *at, const char *name, enum optimizer_flavour flavour, pil_status *status)
{
    const char *names[COUNT_OF(rows)];
    size_t count = list_names(flavour, names), used = 0;
    const char *nearest = nearest_word(name, names, count);
    char list[200] = "";
    for (size_t i = 0; i < count && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    if (nearest)
        value_fail(at, status, "no optimizer%s is called '%s'; did you mean '%s'?", of_flavour(flavour), name, nearest);
    else
        value_fail(at, status, "no optimizer%s is called '%s'", of_flavour(flavour), name);
    return status_hint(status, "there are %s", list);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

bool limits_check(const struct arg_table *table, const void *fields, pil_status *status)
{
    for (size_t i = 0; i < table->arg_count; i++) {
        const struct arg *arg = &table->args[i];
        const void *field = (const char *)fields + arg->offset;
        double number;
        if (arg->type == &ARG_FLOAT || arg->type == &ARG_OPTIONAL_FLOAT)
            number = (double)*(const float *)field;
        else if (arg->type == &ARG_DOUBLE)
            number = *(const double *)field;
        else
            continue;
        bool limited = arg->low != 0 || arg->high != 0;
        if (!isfinite(number))
            return status_fail(status, PIL_INVALID_ARGUMENT, "%s must be a finite number, not %g", arg->name, number);
        if (limited && !(number >= arg->low && number <= arg->high))
            return isinf(arg->high)
                       ? status_fail(status, PIL_INVALID_ARGUMENT, "%s must be at least %g, not %g", arg->name, arg->low, number)
                       : status_fail(status, PIL_INVALID_ARGUMENT, "%s must be from %g to %g, not %g", arg->name, arg->low,
                                     arg->high, number);
    }
    return true;
}

bool optimizer_check(const struct optimizer *optimizer, pil_status *status)
{
    const struct optimizer_options *o = &optimizer->options;
    if (o->clipnorm > 0 && o->global_clipnorm > 0)
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s takes clipnorm or global_clipnorm, not both",
                           optimizer_class(optimizer));
    if (optimizer->row->shape(o)->formula == UPDATE_NADAM && o->learning_rate.kind != SCHEDULE_CONSTANT)
        return status_fail(status, PIL_INVALID_ARGUMENT, "Nadam takes no schedule for its learning_rate");
    return limits_check(&optimizer->row->table, o, status);
}

bool optimizer_complete(struct optimizer *optimizer, const struct value *at, pil_status *status)
{
    struct optimizer_options *o = &optimizer->options;
    const struct optimizer_options *defaults = optimizer->row->table.defaults;
    if (o->learning_rate.kind == SCHEDULE_CONSTANT && o->learning_rate.rate < 0)
        o->learning_rate = defaults->learning_rate;
    if (o->learning_rate.kind == SCHEDULE_CONSTANT && o->learning_rate.rate < 0)
        return value_fail(at, status, "%s%s needs a learning_rate", optimizer->row->table.name, of_flavour(optimizer->flavour));
    if (optimizer->flavour != FLAVOUR_V1 && o->epsilon == 0)
        o->epsilon = defaults->epsilon;
    pil_status own = { 0 };
    if (optimizer_check(optimizer, &own))
        return true;
    if (at && at->file)
        status_prefix(&own, at->line > 0 ? "%s:%d: " : "%s: ", at->file, at->line);
    if (status_ok(status))
        *status = own;
    return false;
}

bool optimizer_find(const char *name, enum optimizer_flavour flavour, struct optimizer *out, pil_status *status)
{
    const struct optimizer_row *row = find_row(slice_text(name), flavour);
    if (!row)
        return no_such_optimizer(NULL, name, flavour, status);
    *out = (struct optimizer){ row, flavour, *(const struct optimizer_options *)row->table.defaults };
    return true;
}

static bool find_by_word(const struct value *at, const char *name, double rate, enum optimizer_flavour flavour,
                         struct optimizer *out, pil_status *status)
{
    if (!find_row(slice_text(name), flavour))
        return no_such_optimizer(at, name, flavour, status);
    if (!optimizer_find(name, flavour, out, status))
        return false;
    if (rate > 0)
        out->options.learning_rate = (struct schedule){ .kind = SCHEDULE_CONSTANT, .rate = rate };
    return optimizer_complete(out, at, status);
}

bool optimizer_read(const struct value *value, const char *default_name, double default_rate, enum optimizer_flavour flavour,
                    struct args_reader *reader, struct optimizer *out, pil_status *status)
{
    if (!value || value_is_null(value))
        return find_by_word(value, default_name, default_rate, flavour, out, status);
    if (value->kind == VALUE_SCALAR)
        return find_by_word(value, value->text.data, default_rate, flavour, out, status);
    if (value->kind != VALUE_MAP || value->count != 1)
        return value_fail(value, status,
                          "an optimizer is a name or one of them with arguments: {adagrad: {learning_rate: 0.05}}");
    const struct value *key = value->keys[0];
    const struct optimizer_row *row = find_row(key->text, flavour);
    if (!row)
        return no_such_optimizer(key, key->text.data, flavour, status);
    *out = (struct optimizer){ .row = row, .flavour = flavour };
    return args_parse(&row->table, value->items[0], &out->options, reader, status) && optimizer_complete(out, key, status);
}

void optimizer_print(const struct optimizer *optimizer, struct text *out)
{
    text_format(out, "{%s: ", optimizer->row->table.name);
    args_print(&optimizer->row->table, &optimizer->options, out);
    text_append_text(out, "}");
}

const char *optimizer_class(const struct optimizer *optimizer)
{
    if (!optimizer->row)
        return "";
    return optimizer->options.name ? optimizer->options.name : optimizer->row->class_name;
}

int optimizer_slots(const struct optimizer *optimizer)
{
    return update_slots(optimizer->row->shape(&optimizer->options)->formula);
}

/* ---- declaring ----------------------------------------------------------------------------------------------- */

static float slot_start(const struct optimizer *optimizer, enum slot_start start)
{
    return start == START_ACCUMULATOR ? optimizer->options.initial_accumulator_value : start == START_ONE ? 1.0f : 0.0f;
}

static void put_scope(struct text *out, const char *scope)
{
    text_clear(out);
    if (scope && scope[0])
        text_format(out, "%s/", scope);
}

/* "<variable>/Ftrl_1": 1.x's slots begin with the optimizer's name, so another name changes them. */
static void name_v1_slot(const struct optimizer *optimizer, const struct optimizer_names *names, const char *variable,
                         const char *slot, struct text *out)
{
    put_scope(out, names->scope);
    text_format(out, "%s/", variable);
    if (names->part)
        text_format(out, "%s/", names->part);
    text_format(out, "%s%s", optimizer_class(optimizer), slot + strlen(optimizer->row->class_name));
}

bool optimizer_declare(const struct optimizer *optimizer, struct store *store, struct variable *variable,
                       const struct optimizer_names *names, pil_status *status)
{
    const struct optimizer_shape *shape = optimizer->row->shape(&optimizer->options);
    struct text name = { 0 };
    for (int k = 0; k < update_slots(shape->formula) && status_ok(status); k++) {
        if (optimizer->flavour == FLAVOUR_V1) {
            name_v1_slot(optimizer, names, variable->name, shape->slots[k], &name);
        } else {
            text_clear(&name);
            if (optimizer->flavour == FLAVOUR_KERAS)
                text_format(&name, "%s/%s/%s", names->scope, shape->slots[k], variable->name);
            else
                text_format(&name, "%s/%s/%s", names->scope, variable->name, shape->slots[k]);
        }
        if (text_ok(&name, status))
            store_add_slot(store, variable, name.data, slot_start(optimizer, shape->starts[k]), status);
    }
    text_free(&name);
    return status_ok(status);
}

/* Of a list of one optimizer's scalars; `name` is changed. */
struct scalars {
    struct store *store;
    const char *scope;
    struct text name;
    pil_status *status;
};

static struct variable *declare_scalar(struct scalars *scalars, const char *name, enum dtype dtype)
{
    put_scope(&scalars->name, scalars->scope);
    text_append_text(&scalars->name, name);
    if (!text_ok(&scalars->name, scalars->status))
        return NULL;
    return store_declare(scalars->store, scalars->name.data, dtype, SHAPE_SCALAR, STORE_PLAIN, scalars->status);
}

static bool declare_float(struct scalars *scalars, const char *name, double value, bool hyper)
{
    struct variable *variable = declare_scalar(scalars, name, DTYPE_FLOAT32);
    if (!variable)
        return false;
    variable->hyper = hyper;
    variable->initializer = (struct pil_initializer){ .kind = PIL_INITIALIZER_CONSTANT, .a = (float)value };
    return true;
}

static double float_argument(const struct optimizer *optimizer, const char *name)
{
    const struct arg_table *table = &optimizer->row->table;
    for (size_t i = 0; i < table->arg_count; i++)
        if (strcmp(table->args[i].name, name) == 0)
            return (double)*(const float *)(const void *)((const char *)&optimizer->options + table->args[i].offset);
    return 0;
}

static bool declare_hypers(const struct optimizer *optimizer, struct scalars *scalars)
{
    const struct optimizer_options *o = &optimizer->options;
    /* A schedule is no number: TensorFlow stores none either. */
    if (o->learning_rate.kind == SCHEDULE_CONSTANT && !declare_float(scalars, "learning_rate", o->learning_rate.rate, true))
        return false;
    if (optimizer->flavour == FLAVOUR_KERAS) /* a newer class keeps no other */
        return true;
    if (!declare_float(scalars, "decay", (double)o->decay_rate, true))
        return false;
    for (size_t i = 0; i < COUNT_OF(optimizer->row->hypers) && optimizer->row->hypers[i]; i++) {
        const char *name = optimizer->row->hypers[i];
        if (!declare_float(scalars, name, float_argument(optimizer, name), true))
            return false;
    }
    return true;
}

bool optimizer_carry_name(const struct optimizer *optimizer, const struct optimizer_names *names, int i, struct text *out)
{
    bool v1 = optimizer->flavour == FLAVOUR_V1;
    put_scope(out, v1 && names->powers ? names->powers : names->scope);
    if (v1)
        text_format(out, "beta%d_power", i + 1);
    else
        text_append_text(out, "momentum_cache");
    if (v1 && names->number > 0)
        text_format(out, "_%d", names->number);
    return !out->failed;
}

static bool declare_carried(const struct optimizer *optimizer, struct scalars *scalars, const struct optimizer_names *names)
{
    struct rule_carry first = rule_carry(optimizer, 0);
    struct text name = { 0 };
    scalars->scope = NULL;
    for (int i = 0; i < rule_carries(optimizer) && status_ok(scalars->status); i++) {
        optimizer_carry_name(optimizer, names, i, &name);
        if (text_ok(&name, scalars->status))
            declare_float(scalars, name.data, (double)first.values[i], false);
    }
    text_free(&name);
    return status_ok(scalars->status);
}

bool optimizer_declare_scalars(const struct optimizer *optimizer, struct store *store, const struct optimizer_names *names,
                               bool iter, pil_status *status)
{
    struct scalars scalars = { .store = store, .scope = names->scope, .status = status };
    bool ok = optimizer->flavour == FLAVOUR_V1 ||
              (declare_hypers(optimizer, &scalars) && (!iter || declare_scalar(&scalars, "iter", DTYPE_INT64)));
    ok = ok && declare_carried(optimizer, &scalars, names);
    text_free(&scalars.name);
    return ok;
}
