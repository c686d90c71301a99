/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train: what turns a graph with a loss into a trained model. Reductions of losses, streaming metrics, optimizers (dense and by
 * row), schedules, hooks, and the one training loop that the Estimator and Keras-style fit share.
 */
#ifndef PILASTER_TRAIN_H
#define PILASTER_TRAIN_H

#include "format/format.h"
#include "graph/graph.h"
#include "pilaster/hook.h"
#include "pilaster/metric.h"
#include "pilaster/train.h"
#include "store/store.h"

/* ---- loss.c: from losses of rows to the training loss (a float32 scalar) ---- */
enum loss_reduction {
    REDUCTION_SUM_OVER_BATCH_SIZE, /* 2.x: sum w l / (rows * label dimension) */
    REDUCTION_SUM,                 /* 1.x: sum w l */
    REDUCTION_NONZERO_WEIGHTS,     /* 1.x tf.losses: sum w l / (number of weights other than 0) */
    REDUCTION_MEAN                 /* sum w l / sum w */
};
extern const char *const loss_reductions[]; /* the words of params.loss_reduction, NULL-terminated, in this order */
/* losses [batch, d]; weights [batch, 1] or [batch, d] or NULL. */
struct pil_tensor *loss_reduce(struct pil_graph *graph, struct pil_tensor *losses, struct pil_tensor *weights,
                               enum loss_reduction reduction);

/* ---- metric.c, curve.c: streaming metrics in float64 ---- */
struct metric;
struct metric_options {
    const char *kind;            /* the name of a row of metric.c: "mean", "accuracy", "auc", ... */
    int tensorflow;              /* 2 or 1: which thresholds, sums and epsilons it takes */
    int64_t thresholds;          /* of curves; 0: 200 */
    const char *curve;           /* auc: "ROC" or NULL, "PR" */
    const char *summation;       /* auc: NULL: trapezoidal, but interpolated for "PR" of 2 */
    const float *own_thresholds; /* auc: instead of even ones; the ends are added. Read by metric_new alone. */
    size_t own_threshold_count;
    float threshold; /* of kinds at a threshold: above it a value is true */
    int64_t classes; /* of kinds of classes */
    double at;       /* the specificity or sensitivity that is given */
};
struct metric *metric_new(const struct metric_options *options, pil_status *status); /* unknown kind: names the nearest */
/* One batch. values: what is averaged or predicted [rows, d]; labels [rows, d] or [rows, 1] or NULL (mean); weights of their
 * shape, [rows, 1], a scalar or NULL. */
void metric_update(struct metric *metric, const struct tensor *labels, const struct tensor *values, const struct tensor *weights);
/* False when a batch brought what the metric cannot count: a class that is none. */
bool metric_check(const struct metric *metric, pil_status *status);
double metric_result(const struct metric *metric); /* 0 where a denominator is 0 */
void metric_reset(struct metric *metric);
void metric_free(struct metric *metric);

/* ---- metric_graph.c: metrics of a graph (pilaster/metric.h) ---- */
/* In the graph's arena. Who evaluates makes a metric of the options, fetches the tensors, and updates it with each batch. */
struct pil_metric {
    struct metric_options options;
    struct pil_tensor *labels, *values, *weights; /* labels and weights: or NULL */
};
bool metric_fetch(const struct pil_metric *metric, struct fetches *fetches, pil_status *status);
/* Adds the batch that a session has just run; `name` begins its errors. */
bool metric_count(struct metric *into, const struct pil_metric *metric, const char *name, const struct fetches *fetches,
                  const struct session *session, pil_status *status);

/* ---- schedule.c ---- */
enum schedule_kind {
    SCHEDULE_CONSTANT,
    SCHEDULE_EXPONENTIAL_DECAY,
    SCHEDULE_PIECEWISE_CONSTANT,
    SCHEDULE_POLYNOMIAL_DECAY,
    SCHEDULE_INVERSE_TIME_DECAY,
    SCHEDULE_COSINE_DECAY
};
struct schedule {
    enum schedule_kind kind;
    double rate; /* initial_learning_rate; below 0: unset */
    double steps, decay, end, power, alpha;
    bool staircase, cycle;
    float warmup_target; /* cosine_decay: rises to it first; 0: does not */
    double warmup_steps;
    struct arg_floats boundaries, values;
    const char *name; /* the original's argument: names nothing here */
};
double schedule_rate(const struct schedule *schedule, int64_t step); /* step: from 0 */
extern const struct arg_type ARG_RATE; /* struct schedule: a number, or {exponential_decay: {...}}; null: unset (rate < 0) */

/* ---- optimizer.c ---- */
/* Which TensorFlow's formulas, names and slots: Keras's legacy classes (2.x Estimators), tf.compat.v1.train. */
enum optimizer_flavour { FLAVOUR_KERAS_LEGACY, FLAVOUR_V1, FLAVOUR_KERAS };
struct optimizer_options { /* the union of all classes' arguments; a class's table names those it has */
    struct schedule learning_rate;
    float momentum, rho, beta_1, beta_2, epsilon, decay_rate;
    bool nesterov, amsgrad, centered;
    float initial_accumulator_value, l1, l2, l2_shrinkage, beta, learning_rate_power;
    float clipnorm, clipvalue, global_clipnorm; /* 0: none */
    const char *name;                           /* instead of the class's in checkpoint names; NULL: the class's */
};
struct optimizer { /* a value: copied where it is kept */
    const struct optimizer_row *row;
    enum optimizer_flavour flavour;
    struct optimizer_options options;
};
/* From the model file: a bare word takes `default_rate`, a mapping {adagrad: {learning_rate: 0.05}} the class's own defaults.
 * NULL value: `default_name` with `default_rate`. */
bool optimizer_read(const struct value *value, const char *default_name, double default_rate, enum optimizer_flavour flavour,
                    struct args_reader *reader, struct optimizer *out, pil_status *status);
bool optimizer_find(const char *name, enum optimizer_flavour flavour, struct optimizer *out,
                    pil_status *status); /* class defaults */
/* From a public value; errors begin with the class. Names and lists are copied to the arena. (constructor.c) */
bool optimizer_from(const pil_optimizer *value, struct arena *arena, struct optimizer *out, pil_status *status);
void optimizer_print(const struct optimizer *optimizer, struct text *out); /* {adagrad: {learning_rate: 0.05, ...}} */
const char *optimizer_class(const struct optimizer *optimizer);            /* "Adagrad", as in checkpoint names; "" without one */
int optimizer_slots(const struct optimizer *optimizer);
/* The i-th optimizer's arguments, for help and schema; NULL beyond the last. */
const struct arg_table *optimizer_arguments(enum optimizer_flavour flavour, size_t i);
/* How an optimizer's variables are called in checkpoints (model-dir.md). */
struct optimizer_names {
    const char *scope;  /* Keras: "training/Adagrad". 1.x: in front of slots and powers, "OptimizeLoss"; NULL: nothing */
    const char *part;   /* 1.x canned models: between a variable and its slot, "part_0" or "t_0"; NULL: nothing */
    const char *powers; /* 1.x: where Adam's powers of beta are, "dnn/head"; NULL: in `scope` */
    int number;         /* 1.x: of the optimizer, for "beta1_power_1" */
};
/* Declares, before store_allocate, a variable's slots and (once for an optimizer) its scalars: Keras's hyper-parameters, 1.x's
 * powers of beta. iter: of several Keras optimizers all but one count their steps in "<scope>/iter". */
bool optimizer_declare(const struct optimizer *optimizer, struct store *store, struct variable *variable,
                       const struct optimizer_names *names, pil_status *status);
bool optimizer_declare_scalars(const struct optimizer *optimizer, struct store *store, const struct optimizer_names *names,
                               bool iter, pil_status *status);

/* Applies gradients after a session's run. One updater for a model; parts of it may use different optimizers. A part whose
 * optimizer has no row leaves its variables alone, whatever their gradients. */
struct train_multiplier {
    const struct graph_variable *variable;
    float multiplier;
};
struct train_constraint {
    const struct graph_variable *variable;
    pil_constraint constraint;
};
struct updater_part {
    struct optimizer optimizer;
    int group;                    /* the store's group of its variables, tables too */
    struct optimizer_names names; /* of the scalars kept in the store; what is not declared there is kept here */
    bool own_iter;                /* counts steps in "<scope>/iter" instead of the global step */
    float clip_gradients;         /* limit of the norm of all its gradients; 0: none. Not beside the optimizer's own limits */
    const struct train_multiplier *multipliers; /* of gradients, before that; they live as long as the updater */
    size_t multiplier_count;
    const struct train_constraint *constraints; /* of values, after each step; the same */
    size_t constraint_count;
    const char *name;   /* of its summaries' tags, copied; NULL: it has none */
    unsigned summaries; /* PIL_SUMMARIZE_... */
};
enum { TRAIN_MOST_PARTS = 32 };
struct updater;
struct updater *updater_new(struct store *store, const struct updater_part *parts, int part_count, struct threads *threads,
                            const struct kernels *kernels, pil_status *status);
/* step: the global step before this one (0 for the first). Same bits at any number of threads. */
bool updater_apply(struct updater *updater, const struct session *session, int64_t step, pil_status *status);
/* The rate of the steps to come, instead of the one that every part has, and in the store where that keeps it; parts whose rate
 * follows a schedule keep that. */
void updater_set_rate(struct updater *updater, double rate);
/* Whether the steps to come note what summaries need (norms). It changes no bit of the model. */
void updater_note(struct updater *updater, bool notes);
/* What goes into the event file after a step that noted it; loss: the step's. */
struct train_summary {
    const char *tag; /* "OptimizeLoss/learning_rate" */
    double value;
};
size_t updater_summaries(struct updater *updater, double loss, const struct train_summary **out);
void updater_free(struct updater *updater);

/* ---- train_op.c: what pil_minimize and its like record; in the graph's arena ---- */
struct train_part { /* an optimizer with the variables that it moves */
    struct optimizer optimizer;
    struct optimizer_names names; /* of Keras's the scope follows from the class; of 1.x's the caller may set all */
    bool own_iter;
    const struct graph_variable **variables;
    size_t variable_count;
    float clip_gradients; /* 0: none */
    const struct train_multiplier *multipliers;
    size_t multiplier_count;
    const struct train_constraint *constraints;
    size_t constraint_count;
    /* of pil_optimize_loss */
    const char *name;   /* NULL: made by pil_minimize */
    float rate;         /* kept in "<name>/learning_rate"; below 0: none */
    unsigned summaries; /* PIL_SUMMARIZE_... */
};
struct pil_train_op {
    struct pil_tensor *loss;
    struct train_part *parts;
    int part_count;
};
/* pil_minimize with an optimizer of the model file: `part` says it, its 1.x names and the clipping. */
struct pil_train_op *train_op_minimize(struct pil_graph *graph, const struct train_part *part, struct pil_tensor *loss,
                                       struct pil_tensor *const *variables, size_t count);
bool train_op_moves(const struct pil_train_op *op, const char *variable); /* one of its parts does */
/* With a compiled plan, before store_allocate: declares a graph's variables, those that the op moves in the group of their part,
 * with slots and scalars, the others in group part_count. op NULL (evaluate, predict): values only, in group 0. */
bool train_op_declare(const struct pil_train_op *op, const struct pil_graph *graph, struct store *store, pil_status *status);
/* Binds a graph's variables to the allocated store, and the groups' gradients where there are any. */
bool train_op_bind(const struct pil_graph *graph, const struct store *store, struct session *session, pil_status *status);
struct updater *train_op_updater(const struct pil_train_op *op, struct store *store, struct threads *threads,
                                 const struct kernels *kernels, pil_status *status);

/* ---- hook.c, hook_kind.c: hooks around the steps of a run (pilaster/hook.h) ---- */
/* When hooks are called. RUN_CHECK: values are there, nothing has changed yet; only ready-made ones are called then. */
enum run_moment { RUN_BEGIN, RUN_BEFORE, RUN_CHECK, RUN_AFTER, RUN_END, RUN_MOMENTS };
struct hook_kind;
struct hook_value; /* of one of a hook's fetches */
/* A hook in its place in a run. */
struct run_hook {
    pil_hook hook;
    const struct hook_kind *kind; /* of a ready-made one, or NULL */
    int number;
    pil_second_or_step_timer timer;
    int64_t last_step;           /* stop_at_step: which it is */
    bool due;                    /* decided before the step */
    struct event_writer *events; /* of its own */
    struct hook_value *values;   /* [hook.fetches.count] */
};
/* Where batches come from: binds the next one to the session. */
struct loop_feed {
    bool (*next)(void *context, int64_t *rows, bool *end, pil_status *status);
    size_t (*jobs)(void *context, struct job *jobs, size_t limit); /* prepare the batch after; NULL: none */
    void *context;
};
/* A run of steps. Its fields up to `stop` are set by who runs it; an evaluation or a prediction, which takes its steps itself,
 * counts them here, leaves `updater` NULL, and calls run_hooks around them. */
struct pil_run {
    struct session *session;
    struct updater *updater;
    struct loop_feed feed;
    int64_t *global_step;        /* the store's; counted up by the loop */
    int64_t last_step;           /* stop there; 0: at the end of the input */
    size_t loss_fetch;           /* which fetch of the plan is the loss */
    struct event_writer *events; /* where hooks write that have no file of their own; NULL: nowhere */
    /* What a fetched tensor holds after a step, for the tensors that hooks name: whoever compiled the plan knows. */
    const struct tensor *(*value)(void *context, const struct pil_tensor *tensor);
    void *value_context;
    double (*seconds)(void);  /* a clock that only runs forward; NULL: the system's */
    const volatile int *stop; /* a signal's flag, or NULL */
    bool quiet;               /* hooks write no lines of how it goes; somebody else shows that */
    /* of the run so far */
    double loss; /* of the step taken last */
    int64_t steps, examples;
    double paused; /* seconds spent on something else between steps, which rates leave out */
    bool stopping, input_ended;
    bool rejected; /* a check refused the step: it is not taken, and the run ends */
    struct run_hook hooks[PIL_MAX_HOOKS];
    int hook_count;
    struct run_hook *calling;
    enum run_moment moment;
    pil_status trouble; /* met by a hook's question */
    bool profile;       /* note where the time goes, on the loop's own thread: */
    double input_seconds, run_seconds, update_seconds;
};
/* Errors: too many hooks, settings that make no sense. run_free gives back what hooks hold, after the run or instead. */
bool hook_add(struct pil_run *run, const pil_hook *hook, pil_status *status);
/* Calls the hooks in the order in which they were added; one that returns false ends it with its status. */
bool run_hooks(struct pil_run *run, enum run_moment moment, pil_status *status);
bool run_free(struct pil_run *run, pil_status *status); /* false: an event file could not be written to its end */

/* ---- loop.c: the one training loop ---- */
/* Steps until last_step, the end of the input, a stop or an error, with the hooks around them. */
bool loop_run(struct pil_run *run, pil_status *status);

#endif
