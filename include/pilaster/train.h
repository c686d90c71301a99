/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training: optimizers, learning rates that follow the step, and train ops, which say what a step does with a loss.
 *
 *     spec.train_op = pil_optimize_loss(g, loss, .learning_rate = 0.01f, .optimizer = "SGD");
 *     spec.train_op = pil_minimize(g, pil_adam_optimizer(0.001f), loss);
 *     spec.train_op = pil_minimize(g, pil_sgd(0.1f, .momentum = 0.9f, .clipnorm = 1.0f, .legacy = true), loss);
 *
 * Three families of optimizers, with the formulas, defaults and checkpoint names of the original's:
 *
 *     pil_adam_optimizer(...)          tf.compat.v1.train.AdamOptimizer: epsilon 1e-8
 *                                      slots "<variable>/Adam", "<variable>/Adam_1"
 *     pil_adam(..., .legacy = true)    tf.keras.optimizers.legacy.Adam: epsilon 1e-7
 *                                      slots "training/Adam/<variable>/m", ".../v"
 *     pil_adam(...)                    tf.keras.optimizers.Adam of 2.15: epsilon 1e-7
 *                                      slots "Adam/m/<variable>", "Adam/v/<variable>"
 *
 * An optimizer is a value; what is wrong with one is said where it is used. A name in it must live until then.
 *
 * Rates. The learning rate is a number, or `.schedule = pil_exponential_decay(0.1f, 1000, 0.96f)`, which is used instead of it.
 *
 * Tables that are only looked up in get a sparse gradient: only rows of the batch are touched, unless the formula moves or
 * decays the others too (Adam; Keras's RMSprop and Nadam), as the original does. Keras's newer classes take it for a dense one.
 */
#ifndef PILASTER_PUBLIC_TRAIN_H
#define PILASTER_PUBLIC_TRAIN_H

#include "pilaster/graph.h"
#include "pilaster/options.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- learning rates ------------------------------------------------------------------------------------------ */

enum { PIL_MAX_BOUNDARIES = 32 };
typedef enum pil_schedule_kind {
    PIL_SCHEDULE_NONE,
    PIL_SCHEDULE_EXPONENTIAL_DECAY,
    PIL_SCHEDULE_PIECEWISE_CONSTANT,
    PIL_SCHEDULE_POLYNOMIAL_DECAY,
    PIL_SCHEDULE_INVERSE_TIME_DECAY,
    PIL_SCHEDULE_COSINE_DECAY
} pil_schedule_kind;
/* A learning rate by step (global_step, from 0). Computed in float64 and rounded once. */
typedef struct pil_schedule {
    pil_schedule_kind kind;
    float learning_rate; /* at step 0 */
    float decay_steps, decay_rate;
    bool staircase, cycle;
    float end_learning_rate, power, alpha;
    float warmup_target, warmup_steps;
    size_t boundary_count;
    float boundaries[PIL_MAX_BOUNDARIES], values[PIL_MAX_BOUNDARIES + 1];
} pil_schedule;

/* rate * decay_rate^(step / decay_steps). Option: .staircase, whole quotients only. Source: tf.compat.v1.train.exponential_decay.
 */
#define pil_exponential_decay(rate, steps, ...)                                                                                  \
    ((pil_schedule){                                                                                                             \
        .kind = PIL_SCHEDULE_EXPONENTIAL_DECAY, .learning_rate = (rate), .decay_steps = (steps), .decay_rate = __VA_ARGS__ })
/* rate / (1 + decay_rate * step / decay_steps). Option: .staircase. Source: tf.compat.v1.train.inverse_time_decay. */
#define pil_inverse_time_decay(rate, steps, ...)                                                                                 \
    ((pil_schedule){                                                                                                             \
        .kind = PIL_SCHEDULE_INVERSE_TIME_DECAY, .learning_rate = (rate), .decay_steps = (steps), .decay_rate = __VA_ARGS__ })
/* (rate - end) * (1 - step / steps)^power + end, up to decay_steps. Options: .end_learning_rate (0.0001), .power (1), .cycle,
 * which begins again after decay_steps. Source: tf.compat.v1.train.polynomial_decay. */
#define pil_polynomial_decay(rate, ...)                                                                                          \
    ((pil_schedule){ .kind = PIL_SCHEDULE_POLYNOMIAL_DECAY,                                                                      \
                     .end_learning_rate = 0.0001f,                                                                               \
                     .power = 1.0f,                                                                                              \
                     .learning_rate = (rate),                                                                                    \
                     .decay_steps = __VA_ARGS__ })
/* Along a cosine from the rate to alpha * rate at decay_steps. Options: .alpha (0), .warmup_target and .warmup_steps: first rises
 * to the target, then falls from there. Source: tf.compat.v1.train.cosine_decay, tf.keras.optimizers.schedules.CosineDecay. */
#define pil_cosine_decay(rate, ...)                                                                                              \
    ((pil_schedule){ .kind = PIL_SCHEDULE_COSINE_DECAY, .learning_rate = (rate), .decay_steps = __VA_ARGS__ })
/* values[i] up to and including step boundaries[i], the last of them after; values holds one more than boundaries, which rise.
 * At most PIL_MAX_BOUNDARIES. Copies both. Source: tf.compat.v1.train.piecewise_constant. */
PIL_API pil_schedule pil_piecewise_constant(const float *boundaries, size_t boundary_count, const float *values);

/* ---- optimizers ---------------------------------------------------------------------------------------------- */

typedef enum pil_optimizer_family { PIL_FAMILY_KERAS_LEGACY, PIL_FAMILY_V1, PIL_FAMILY_KERAS } pil_optimizer_family;
/* What the makers below return; a class reads those members that its options have. */
typedef struct pil_optimizer {
    const char *class_name; /* the original's: "Adam"; NULL: no optimizer */
    pil_optimizer_family family;
    const char *name; /* in checkpoints, instead of the class's; NULL: the class's */
    float learning_rate;
    pil_schedule schedule; /* instead of learning_rate, unless its kind is PIL_SCHEDULE_NONE */
    float momentum, rho, beta_1, beta_2, epsilon, decay;
    bool nesterov, amsgrad, centered;
    float initial_accumulator_value, learning_rate_power;
    float l1_regularization_strength, l2_regularization_strength, l2_shrinkage_regularization_strength, beta;
    float clipnorm, clipvalue, global_clipnorm; /* 0: none */
} pil_optimizer;

/* ---- of tf.compat.v1.train ---- */

typedef struct pil_gradient_descent_optimizer_options {
    float learning_rate;
    pil_schedule schedule;
    const char *name; /* "GradientDescent" */
} pil_gradient_descent_optimizer_options;
#define PIL_GRADIENT_DESCENT_OPTIMIZER_DEFAULTS .name = NULL
/* w -= rate g. Source: tf.compat.v1.train.GradientDescentOptimizer. */
#define pil_gradient_descent_optimizer(...)                                                                                      \
    pil_gradient_descent_optimizer_make(                                                                                         \
        &(pil_gradient_descent_optimizer_options){ PIL_GRADIENT_DESCENT_OPTIMIZER_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_gradient_descent_optimizer_options pil_gradient_descent_optimizer_options_default(void);
PIL_API pil_optimizer pil_gradient_descent_optimizer_make(const pil_gradient_descent_optimizer_options *options);

typedef struct pil_momentum_optimizer_options {
    float learning_rate;
    float momentum;
    bool use_nesterov;
    pil_schedule schedule;
    const char *name; /* "Momentum" */
} pil_momentum_optimizer_options;
#define PIL_MOMENTUM_OPTIMIZER_DEFAULTS .use_nesterov = false
/* a = momentum a + g; w -= rate a. Source: tf.compat.v1.train.MomentumOptimizer. */
#define pil_momentum_optimizer(rate, ...)                                                                                        \
    pil_momentum_optimizer_make(                                                                                                 \
        &(pil_momentum_optimizer_options){ PIL_MOMENTUM_OPTIMIZER_DEFAULTS, .learning_rate = (rate), .momentum = __VA_ARGS__ })
PIL_API pil_momentum_optimizer_options pil_momentum_optimizer_options_default(void);
PIL_API pil_optimizer pil_momentum_optimizer_make(const pil_momentum_optimizer_options *options);

typedef struct pil_adagrad_optimizer_options {
    float learning_rate;
    float initial_accumulator_value;
    pil_schedule schedule;
    const char *name; /* "Adagrad" */
} pil_adagrad_optimizer_options;
#define PIL_ADAGRAD_OPTIMIZER_DEFAULTS .initial_accumulator_value = 0.1f
/* n += g^2; w -= rate g / sqrt(n). Source: tf.compat.v1.train.AdagradOptimizer. */
#define pil_adagrad_optimizer(...)                                                                                               \
    pil_adagrad_optimizer_make(&(pil_adagrad_optimizer_options){ PIL_ADAGRAD_OPTIMIZER_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_adagrad_optimizer_options pil_adagrad_optimizer_options_default(void);
PIL_API pil_optimizer pil_adagrad_optimizer_make(const pil_adagrad_optimizer_options *options);

typedef struct pil_adam_optimizer_options {
    float learning_rate;
    float beta1, beta2, epsilon;
    pil_schedule schedule;
    const char *name; /* "Adam" */
} pil_adam_optimizer_options;
#define PIL_ADAM_OPTIMIZER_DEFAULTS .learning_rate = 0.001f, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f
/* Means of gradients and squares, corrected for the start. Source: tf.compat.v1.train.AdamOptimizer. */
#define pil_adam_optimizer(...)                                                                                                  \
    pil_adam_optimizer_make(&(pil_adam_optimizer_options){ PIL_ADAM_OPTIMIZER_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_adam_optimizer_options pil_adam_optimizer_options_default(void);
PIL_API pil_optimizer pil_adam_optimizer_make(const pil_adam_optimizer_options *options);

typedef struct pil_ftrl_optimizer_options {
    float learning_rate;
    float learning_rate_power; /* at most 0 */
    float initial_accumulator_value;
    float l1_regularization_strength, l2_regularization_strength, l2_shrinkage_regularization_strength, beta;
    pil_schedule schedule;
    const char *name; /* "Ftrl" */
} pil_ftrl_optimizer_options;
#define PIL_FTRL_OPTIMIZER_DEFAULTS .learning_rate_power = -0.5f, .initial_accumulator_value = 0.1f
/* Follow the regularized leader. Source: tf.compat.v1.train.FtrlOptimizer. */
#define pil_ftrl_optimizer(...)                                                                                                  \
    pil_ftrl_optimizer_make(&(pil_ftrl_optimizer_options){ PIL_FTRL_OPTIMIZER_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_ftrl_optimizer_options pil_ftrl_optimizer_options_default(void);
PIL_API pil_optimizer pil_ftrl_optimizer_make(const pil_ftrl_optimizer_options *options);

typedef struct pil_rmsprop_optimizer_options {
    float learning_rate;
    float decay; /* of the mean of squares */
    float momentum, epsilon;
    bool centered;
    pil_schedule schedule;
    const char *name; /* "RMSProp" */
} pil_rmsprop_optimizer_options;
#define PIL_RMSPROP_OPTIMIZER_DEFAULTS .decay = 0.9f, .epsilon = 1e-10f
/* Divides by the root of a mean square, which starts at 1. Source: tf.compat.v1.train.RMSPropOptimizer. */
#define pil_rmsprop_optimizer(...)                                                                                               \
    pil_rmsprop_optimizer_make(&(pil_rmsprop_optimizer_options){ PIL_RMSPROP_OPTIMIZER_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_rmsprop_optimizer_options pil_rmsprop_optimizer_options_default(void);
PIL_API pil_optimizer pil_rmsprop_optimizer_make(const pil_rmsprop_optimizer_options *options);

typedef struct pil_adadelta_optimizer_options {
    float learning_rate;
    float rho, epsilon;
    pil_schedule schedule;
    const char *name; /* "Adadelta" */
} pil_adadelta_optimizer_options;
#define PIL_ADADELTA_OPTIMIZER_DEFAULTS .learning_rate = 0.001f, .rho = 0.95f, .epsilon = 1e-8f
/* Source: tf.compat.v1.train.AdadeltaOptimizer. */
#define pil_adadelta_optimizer(...)                                                                                              \
    pil_adadelta_optimizer_make(                                                                                                 \
        &(pil_adadelta_optimizer_options){ PIL_ADADELTA_OPTIMIZER_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_adadelta_optimizer_options pil_adadelta_optimizer_options_default(void);
PIL_API pil_optimizer pil_adadelta_optimizer_make(const pil_adadelta_optimizer_options *options);

typedef struct pil_proximal_adagrad_optimizer_options {
    float learning_rate;
    float initial_accumulator_value;
    float l1_regularization_strength, l2_regularization_strength;
    pil_schedule schedule;
    const char *name; /* "ProximalAdagrad" */
} pil_proximal_adagrad_optimizer_options;
#define PIL_PROXIMAL_ADAGRAD_OPTIMIZER_DEFAULTS .initial_accumulator_value = 0.1f
/* Adagrad, then a step towards 0. Source: tf.compat.v1.train.ProximalAdagradOptimizer. */
#define pil_proximal_adagrad_optimizer(...)                                                                                      \
    pil_proximal_adagrad_optimizer_make(                                                                                         \
        &(pil_proximal_adagrad_optimizer_options){ PIL_PROXIMAL_ADAGRAD_OPTIMIZER_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_proximal_adagrad_optimizer_options pil_proximal_adagrad_optimizer_options_default(void);
PIL_API pil_optimizer pil_proximal_adagrad_optimizer_make(const pil_proximal_adagrad_optimizer_options *options);

/* ---- Keras's ---- */

/* What all of them have. Gradients are clipped before the update: first each value to [-clipvalue, clipvalue], then each
 * variable's gradient to the norm clipnorm, or all of them together to global_clipnorm (not both). 0: not.
 * A sparse gradient is clipped as the lookups gave it, each id's sum by itself. decay: rate / (1 + decay step), legacy only. */
#define PIL_KERAS_OPTIONS                                                                                                        \
    pil_schedule schedule;                                                                                                       \
    const char *name;                                                                                                            \
    float clipnorm, clipvalue, global_clipnorm;                                                                                  \
    float decay;                                                                                                                 \
    bool legacy

typedef struct pil_sgd_options {
    float learning_rate;
    float momentum;
    bool nesterov;
    PIL_KERAS_OPTIONS;
} pil_sgd_options;
#define PIL_SGD_DEFAULTS .learning_rate = 0.01f
/* Gradient descent: v = momentum v - rate g; w += v. Source: tf.keras.optimizers.SGD. */
#define pil_sgd(...) pil_sgd_make(&(pil_sgd_options){ PIL_SGD_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_sgd_options pil_sgd_options_default(void);
PIL_API pil_optimizer pil_sgd_make(const pil_sgd_options *options);

typedef struct pil_adagrad_options {
    float learning_rate;
    float initial_accumulator_value, epsilon;
    PIL_KERAS_OPTIONS;
} pil_adagrad_options;
#define PIL_ADAGRAD_DEFAULTS .learning_rate = 0.001f, .initial_accumulator_value = 0.1f, .epsilon = 1e-7f
/* n += g^2; w -= rate g / (sqrt(n) + epsilon). Source: tf.keras.optimizers.Adagrad. */
#define pil_adagrad(...) pil_adagrad_make(&(pil_adagrad_options){ PIL_ADAGRAD_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_adagrad_options pil_adagrad_options_default(void);
PIL_API pil_optimizer pil_adagrad_make(const pil_adagrad_options *options);

typedef struct pil_adam_options {
    float learning_rate;
    float beta_1, beta_2, epsilon;
    bool amsgrad;
    PIL_KERAS_OPTIONS;
} pil_adam_options;
#define PIL_ADAM_DEFAULTS .learning_rate = 0.001f, .beta_1 = 0.9f, .beta_2 = 0.999f, .epsilon = 1e-7f
/* Source: tf.keras.optimizers.Adam. */
#define pil_adam(...) pil_adam_make(&(pil_adam_options){ PIL_ADAM_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_adam_options pil_adam_options_default(void);
PIL_API pil_optimizer pil_adam_make(const pil_adam_options *options);

typedef struct pil_rmsprop_options {
    float learning_rate;
    float rho, momentum, epsilon;
    bool centered;
    PIL_KERAS_OPTIONS;
} pil_rmsprop_options;
#define PIL_RMSPROP_DEFAULTS .learning_rate = 0.001f, .rho = 0.9f, .epsilon = 1e-7f
/* Source: tf.keras.optimizers.RMSprop. */
#define pil_rmsprop(...) pil_rmsprop_make(&(pil_rmsprop_options){ PIL_RMSPROP_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_rmsprop_options pil_rmsprop_options_default(void);
PIL_API pil_optimizer pil_rmsprop_make(const pil_rmsprop_options *options);

typedef struct pil_adadelta_options {
    float learning_rate;
    float rho, epsilon;
    PIL_KERAS_OPTIONS;
} pil_adadelta_options;
#define PIL_ADADELTA_DEFAULTS .learning_rate = 0.001f, .rho = 0.95f, .epsilon = 1e-7f
/* Source: tf.keras.optimizers.Adadelta. */
#define pil_adadelta(...) pil_adadelta_make(&(pil_adadelta_options){ PIL_ADADELTA_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_adadelta_options pil_adadelta_options_default(void);
PIL_API pil_optimizer pil_adadelta_make(const pil_adadelta_options *options);

typedef struct pil_adamax_options {
    float learning_rate;
    float beta_1, beta_2, epsilon;
    PIL_KERAS_OPTIONS;
} pil_adamax_options;
#define PIL_ADAMAX_DEFAULTS .learning_rate = 0.001f, .beta_1 = 0.9f, .beta_2 = 0.999f, .epsilon = 1e-7f
/* Source: tf.keras.optimizers.Adamax. */
#define pil_adamax(...) pil_adamax_make(&(pil_adamax_options){ PIL_ADAMAX_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_adamax_options pil_adamax_options_default(void);
PIL_API pil_optimizer pil_adamax_make(const pil_adamax_options *options);

typedef struct pil_nadam_options {
    float learning_rate;
    float beta_1, beta_2, epsilon;
    float schedule_decay; /* of the momentum; legacy only */
    PIL_KERAS_OPTIONS;    /* of which it takes no schedule and no decay */
} pil_nadam_options;
#define PIL_NADAM_DEFAULTS .learning_rate = 0.001f, .beta_1 = 0.9f, .beta_2 = 0.999f, .epsilon = 1e-7f, .schedule_decay = 0.004f
/* Source: tf.keras.optimizers.Nadam. */
#define pil_nadam(...) pil_nadam_make(&(pil_nadam_options){ PIL_NADAM_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_nadam_options pil_nadam_options_default(void);
PIL_API pil_optimizer pil_nadam_make(const pil_nadam_options *options);

typedef struct pil_ftrl_options {
    float learning_rate;       /* 0.001 */
    float learning_rate_power; /* at most 0 */
    float initial_accumulator_value;
    float l1_regularization_strength, l2_regularization_strength, l2_shrinkage_regularization_strength, beta;
    PIL_KERAS_OPTIONS;
} pil_ftrl_options;
#define PIL_FTRL_DEFAULTS .learning_rate = 0.001f, .learning_rate_power = -0.5f, .initial_accumulator_value = 0.1f
/* Source: tf.keras.optimizers.Ftrl. */
#define pil_ftrl(...) pil_ftrl_make(&(pil_ftrl_options){ PIL_FTRL_DEFAULTS, .learning_rate = __VA_ARGS__ })
PIL_API pil_ftrl_options pil_ftrl_options_default(void);
PIL_API pil_optimizer pil_ftrl_make(const pil_ftrl_options *options);

/* ---- constraints --------------------------------------------------------------------------------------------- */

typedef enum pil_constraint_kind {
    PIL_CONSTRAINT_NONE,
    PIL_CONSTRAINT_MAX_NORM,
    PIL_CONSTRAINT_NON_NEG,
    PIL_CONSTRAINT_UNIT_NORM,
    PIL_CONSTRAINT_MIN_MAX_NORM
} pil_constraint_kind;
/* What a variable's values are made to keep to after each update. All 0: nothing. Source: tf.keras.constraints. */
typedef struct pil_constraint {
    pil_constraint_kind kind;
    float min_value, max_value, rate;
    int axis; /* along which norms are taken */
} pil_constraint;
/* Vectors along the axis that are longer are shortened to max_value (Keras's: 2, axis 0). */
PIL_API pil_constraint pil_max_norm(float max_value, int axis);
/* Values below 0 become 0. */
PIL_API pil_constraint pil_non_neg(void);
/* Vectors along the axis (0) become of length 1. */
PIL_API pil_constraint pil_unit_norm(int axis);
/* Lengths are moved by `rate` of the way into [min_value, max_value] (0, 1, rate 1, axis 0). */
PIL_API pil_constraint pil_min_max_norm(float min_value, float max_value, float rate, int axis);

/* ---- train ops ----------------------------------------------------------------------------------------------- */

/* What a step of training does. It belongs to its graph. In graphs for EVAL and PREDICT it does nothing, so that a model function
 * may make it in any mode. */
typedef struct pil_train_op pil_train_op;

/* Variables, as pil_variable returned them; the list is copied. */
typedef struct pil_variables {
    pil_tensor *const *items;
    size_t count;
} pil_variables;
#define PIL_VARIABLES(...)                                                                                                       \
    ((pil_variables){ (pil_tensor *const[]){ __VA_ARGS__ }, sizeof((pil_tensor *const[]){ __VA_ARGS__ }) / sizeof(pil_tensor *) })
/* Factors of variables' gradients: PIL_MULTIPLIERS({ bias, 2.0f }, { weight, 0.1f }); the list is copied. */
typedef struct pil_multiplier {
    pil_tensor *variable;
    float multiplier;
} pil_multiplier;
typedef struct pil_multipliers {
    const pil_multiplier *items;
    size_t count;
} pil_multipliers;
#define PIL_MULTIPLIERS(...)                                                                                                     \
    ((pil_multipliers){ (const pil_multiplier[]){ __VA_ARGS__ },                                                                 \
                        sizeof((const pil_multiplier[]){ __VA_ARGS__ }) / sizeof(pil_multiplier) })

typedef struct pil_minimize_options {
    pil_tensor *loss;
    pil_variables var_list; /* none: every trainable variable that the loss depends on */
    float clip_gradients;   /* limit of the norm of all gradients of this op together; 0: none */
} pil_minimize_options;
#define PIL_MINIMIZE_DEFAULTS .clip_gradients = 0.0f
/* Moves variables against the gradient of `loss`, a float32 scalar. Several ops may minimize one loss, each its own variables;
 * pil_group puts them together. Errors: a loss that is no scalar; a second loss in one graph (add them up instead); a variable
 * in var_list that is none, is not trainable or that the loss does not depend on; no variable at all; options out of
 * range. Source: tf.compat.v1.train.Optimizer.minimize. */
#define pil_minimize(graph, optimizer, ...)                                                                                      \
    pil_minimize_make((graph), (optimizer), &(pil_minimize_options){ PIL_MINIMIZE_DEFAULTS, .loss = __VA_ARGS__ })
PIL_API pil_minimize_options pil_minimize_options_default(void);
PIL_API pil_train_op *pil_minimize_make(pil_graph *graph, pil_optimizer optimizer, const pil_minimize_options *options);

/* Both ops in one step. Errors: a variable that both move. Of several Keras optimizers the first counts its steps in global_step,
 * the others in "training/<class>/iter"; a second one of a class is named "training/<class>_1". Source: tf.group. */
PIL_API pil_train_op *pil_group(pil_graph *graph, pil_train_op *a, pil_train_op *b);

/* What pil_optimize_loss writes to the event file, besides what the Estimator does. */
enum {
    PIL_SUMMARIZE_LOSS = 1,                 /* <name>/loss */
    PIL_SUMMARIZE_LEARNING_RATE = 2,        /* <name>/learning_rate, where it decays */
    PIL_SUMMARIZE_GLOBAL_GRADIENT_NORM = 4, /* <name>/global_norm/gradient_norm; clipped: .../clipped_gradient_norm, too */
    PIL_SUMMARIZE_GRADIENT_NORM = 8         /* those, and <name>/gradient_norm/<variable>_0 of each, after clipping */
};
typedef struct pil_optimize_loss_options {
    pil_tensor *loss;
    float learning_rate; /* needed with `optimizer`; below 0: none */
    const char
        *optimizer; /* "Adagrad", "Adam", "Ftrl", "Momentum" (0.9), "RMSProp" or "SGD": the classes of tf.compat.v1.train */
    pil_optimizer optimizer_object; /* instead of `optimizer`; has its own rate */
    pil_multipliers gradient_multipliers;
    float clip_gradients;             /* limit of the norm of all gradients together, multiplied ones; 0: none */
    pil_schedule learning_rate_decay; /* starts at `learning_rate`: pil_exponential_decay(0, 1000, 0.96f). Not of an object */
    pil_variables variables;          /* none: every trainable variable that the loss depends on */
    const char *name;                 /* scope of summaries and, of 1.x classes, slots: "OptimizeLoss/<variable>/Adam" */
    unsigned summaries;
} pil_optimize_loss_options;
#define PIL_OPTIMIZE_LOSS_DEFAULTS                                                                                               \
    .learning_rate = -1.0f, .name = "OptimizeLoss",                                                                              \
    .summaries = PIL_SUMMARIZE_LOSS | PIL_SUMMARIZE_LEARNING_RATE | PIL_SUMMARIZE_GLOBAL_GRADIENT_NORM
/* pil_minimize with everything around it. Errors: those of pil_minimize; no or an unknown optimizer (the nearest is named).
 * Source: tf.contrib.layers.optimize_loss. */
#define pil_optimize_loss(graph, ...)                                                                                            \
    pil_optimize_loss_make((graph), &(pil_optimize_loss_options){ PIL_OPTIMIZE_LOSS_DEFAULTS, .loss = __VA_ARGS__ })
PIL_API pil_optimize_loss_options pil_optimize_loss_options_default(void);
PIL_API pil_train_op *pil_optimize_loss_make(pil_graph *graph, const pil_optimize_loss_options *options);

#ifdef __cplusplus
}
#endif

#endif
