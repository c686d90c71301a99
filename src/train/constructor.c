/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public makers of optimizers and rates. A maker only moves its class's options into a pil_optimizer, which has a place for
 * the arguments of every class; what is wrong with them is said when a graph uses the value, for then there is somebody to
 * tell. The limits are those of the model file's arguments: one table serves both.
 */
#include <math.h>
#include <string.h>

#include "pilaster/train.h"
#include "train/internal.h"

/* ---- rates --------------------------------------------------------------------------------------------------- */

pil_schedule pil_piecewise_constant(const float *boundaries, size_t boundary_count, const float *values)
{
    pil_schedule schedule = { .kind = PIL_SCHEDULE_PIECEWISE_CONSTANT, .boundary_count = boundary_count };
    if (boundary_count > PIL_MAX_BOUNDARIES) /* told where it is used */
        return schedule;
    if (boundary_count)
        memcpy(schedule.boundaries, boundaries, boundary_count * sizeof *boundaries);
    memcpy(schedule.values, values, (boundary_count + 1) * sizeof *values);
    return schedule;
}

/* ---- makers -------------------------------------------------------------------------------------------------- */

/* The two functions behind a maker's macro. The `...` are the members of pil_optimizer that the options `o` give. */
#define MAKER_OF(maker, MAKER, class, of_family, ...)                                                                            \
    pil_##maker##_options pil_##maker##_options_default(void)                                                                    \
    {                                                                                                                            \
        return (pil_##maker##_options){ PIL_##MAKER##_DEFAULTS };                                                                \
    }                                                                                                                            \
    pil_optimizer pil_##maker##_make(const pil_##maker##_options *o)                                                             \
    {                                                                                                                            \
        return (pil_optimizer){ .class_name = class,                                                                             \
                                .family = of_family,                                                                             \
                                .name = o->name,                                                                                 \
                                .learning_rate = o->learning_rate,                                                               \
                                .schedule = o->schedule,                                                                         \
                                __VA_ARGS__ };                                                                                   \
    }
#define V1(maker, MAKER, class, ...) MAKER_OF(maker, MAKER, class, PIL_FAMILY_V1, __VA_ARGS__)
#define KERAS(maker, MAKER, class, ...)                                                                                          \
    MAKER_OF(maker, MAKER, class, o->legacy ? PIL_FAMILY_KERAS_LEGACY : PIL_FAMILY_KERAS, .clipnorm = o->clipnorm,               \
             .clipvalue = o->clipvalue, .global_clipnorm = o->global_clipnorm, __VA_ARGS__)
#define FTRL_MEMBERS                                                                                                             \
    .learning_rate_power = o->learning_rate_power, .initial_accumulator_value = o->initial_accumulator_value,                    \
    .l1_regularization_strength = o->l1_regularization_strength, .l2_regularization_strength = o->l2_regularization_strength,    \
    .l2_shrinkage_regularization_strength = o->l2_shrinkage_regularization_strength, .beta = o->beta

V1(gradient_descent_optimizer, GRADIENT_DESCENT_OPTIMIZER, "SGD", .momentum = 0)
V1(momentum_optimizer, MOMENTUM_OPTIMIZER, "Momentum", .momentum = o->momentum, .nesterov = o->use_nesterov)
V1(adagrad_optimizer, ADAGRAD_OPTIMIZER, "Adagrad", .initial_accumulator_value = o->initial_accumulator_value)
V1(adam_optimizer, ADAM_OPTIMIZER, "Adam", .beta_1 = o->beta1, .beta_2 = o->beta2, .epsilon = o->epsilon)
V1(ftrl_optimizer, FTRL_OPTIMIZER, "Ftrl", FTRL_MEMBERS)
V1(rmsprop_optimizer, RMSPROP_OPTIMIZER, "RMSProp", .rho = o->decay, .momentum = o->momentum, .epsilon = o->epsilon,
   .centered = o->centered)
V1(adadelta_optimizer, ADADELTA_OPTIMIZER, "Adadelta", .rho = o->rho, .epsilon = o->epsilon)
V1(proximal_adagrad_optimizer, PROXIMAL_ADAGRAD_OPTIMIZER, "ProximalAdagrad",
   .initial_accumulator_value = o->initial_accumulator_value, .l1_regularization_strength = o->l1_regularization_strength,
   .l2_regularization_strength = o->l2_regularization_strength)

KERAS(sgd, SGD, "SGD", .decay = o->decay, .momentum = o->momentum, .nesterov = o->nesterov)
KERAS(adagrad, ADAGRAD, "Adagrad", .decay = o->decay, .initial_accumulator_value = o->initial_accumulator_value,
      .epsilon = o->epsilon)
KERAS(adam, ADAM, "Adam", .decay = o->decay, .beta_1 = o->beta_1, .beta_2 = o->beta_2, .epsilon = o->epsilon,
      .amsgrad = o->amsgrad)
KERAS(rmsprop, RMSPROP, "RMSprop", .decay = o->decay, .rho = o->rho, .momentum = o->momentum, .epsilon = o->epsilon,
      .centered = o->centered)
KERAS(adadelta, ADADELTA, "Adadelta", .decay = o->decay, .rho = o->rho, .epsilon = o->epsilon)
KERAS(adamax, ADAMAX, "Adamax", .decay = o->decay, .beta_1 = o->beta_1, .beta_2 = o->beta_2, .epsilon = o->epsilon)
KERAS(nadam, NADAM, "Nadam", .decay = o->schedule_decay, .beta_1 = o->beta_1, .beta_2 = o->beta_2, .epsilon = o->epsilon)
KERAS(ftrl, FTRL, "Ftrl", .decay = o->decay, FTRL_MEMBERS)

/* ---- from a value to what train works with ------------------------------------------------------------------- */

static const float *copy_floats(struct arena *arena, const float *items, size_t count, pil_status *status)
{
    float *copy = arena_alloc(arena, MAX(count, 1) * sizeof *copy, status);
    if (copy && count)
        memcpy(copy, items, count * sizeof *copy);
    return copy;
}

static bool read_piecewise(const pil_schedule *value, struct arena *arena, struct schedule *out, pil_status *status)
{
    if (value->boundary_count > PIL_MAX_BOUNDARIES)
        return status_fail(status, PIL_INVALID_ARGUMENT, "pil_piecewise_constant takes at most %d boundaries, not %zu",
                           (int)PIL_MAX_BOUNDARIES, value->boundary_count);
    const float *boundaries = copy_floats(arena, value->boundaries, value->boundary_count, status);
    const float *values = copy_floats(arena, value->values, value->boundary_count + 1, status);
    out->boundaries = (struct arg_floats){ boundaries, value->boundary_count };
    out->values = (struct arg_floats){ values, value->boundary_count + 1 };
    return boundaries && values;
}

bool schedule_from(const pil_schedule *value, float learning_rate, struct arena *arena, struct schedule *out, pil_status *status)
{
    _Static_assert((int)PIL_SCHEDULE_COSINE_DECAY == (int)SCHEDULE_COSINE_DECAY, "both lists of schedules are in one order");
    *out = (struct schedule){ .kind = SCHEDULE_CONSTANT, .rate = (double)learning_rate };
    if (value->kind == PIL_SCHEDULE_NONE)
        return (learning_rate >= 0 && isfinite(learning_rate)) ||
               status_fail(status, PIL_INVALID_ARGUMENT, "learning_rate must be a number from 0, not %g", (double)learning_rate);
    if (value->kind < PIL_SCHEDULE_NONE || value->kind > PIL_SCHEDULE_COSINE_DECAY)
        return status_fail(status, PIL_INVALID_ARGUMENT, "there is no schedule number %d", (int)value->kind);
    *out = (struct schedule){ .kind = (enum schedule_kind)value->kind,
                              .rate = (double)value->learning_rate,
                              .steps = (double)value->decay_steps,
                              .decay = (double)value->decay_rate,
                              .end = (double)value->end_learning_rate,
                              .power = (double)value->power,
                              .alpha = (double)value->alpha,
                              .staircase = value->staircase,
                              .cycle = value->cycle,
                              .warmup_target = value->warmup_target,
                              .warmup_steps = (double)value->warmup_steps };
    if (out->kind == SCHEDULE_PIECEWISE_CONSTANT && !read_piecewise(value, arena, out, status))
        return false;
    return schedule_check(out, NULL, status);
}

static bool has_argument(const struct optimizer_row *row, const char *name)
{
    for (size_t i = 0; i < row->table.arg_count; i++)
        if (strcmp(row->table.args[i].name, name) == 0)
            return true;
    return false;
}

static struct optimizer_options read_options(const pil_optimizer *value)
{
    return (struct optimizer_options){ .momentum = value->momentum,
                                       .rho = value->rho,
                                       .beta_1 = value->beta_1,
                                       .beta_2 = value->beta_2,
                                       .epsilon = value->epsilon,
                                       .decay_rate = value->decay,
                                       .nesterov = value->nesterov,
                                       .amsgrad = value->amsgrad,
                                       .centered = value->centered,
                                       .initial_accumulator_value = value->initial_accumulator_value,
                                       .l1 = value->l1_regularization_strength,
                                       .l2 = value->l2_regularization_strength,
                                       .l2_shrinkage = value->l2_shrinkage_regularization_strength,
                                       .beta = value->beta,
                                       .learning_rate_power = value->learning_rate_power,
                                       .clipnorm = value->clipnorm,
                                       .clipvalue = value->clipvalue,
                                       .global_clipnorm = value->global_clipnorm };
}

static bool read_optimizer(const pil_optimizer *value, struct arena *arena, struct optimizer *out, pil_status *status)
{
    struct optimizer_options *o = &out->options;
    *o = read_options(value);
    if (value->name && !(o->name = arena_text(arena, value->name, strlen(value->name), status)))
        return false;
    if (out->flavour == FLAVOUR_KERAS && !has_argument(out->row, "decay")) /* of no effect there */
        o->decay_rate = ((const struct optimizer_options *)out->row->table.defaults)->decay_rate;
    return schedule_from(&value->schedule, value->learning_rate, arena, &o->learning_rate, status) &&
           optimizer_complete(out, NULL, status);
}

bool optimizer_from(const pil_optimizer *value, struct arena *arena, struct optimizer *out, pil_status *status)
{
    static const enum optimizer_flavour flavours[] = {
        [PIL_FAMILY_KERAS_LEGACY] = FLAVOUR_KERAS_LEGACY, [PIL_FAMILY_V1] = FLAVOUR_V1, [PIL_FAMILY_KERAS] = FLAVOUR_KERAS
    };
    if (!value->class_name || (unsigned)value->family >= COUNT_OF(flavours))
        return status_fail(status, PIL_INVALID_ARGUMENT, "an optimizer is needed: pil_adam_optimizer(0.001f), for example");
    pil_status own = { 0 };
    if (!optimizer_find(value->class_name, flavours[value->family], out, &own) || !read_optimizer(value, arena, out, &own)) {
        status_prefix(&own, "%s: ", value->class_name);
        if (status_ok(status))
            *status = own;
        return false;
    }
    return true;
}
