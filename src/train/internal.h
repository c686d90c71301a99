/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share: how an argument may be null, what an optimizer's row says, what a metric gathers. */
#ifndef PILASTER_TRAIN_INTERNAL_H
#define PILASTER_TRAIN_INTERNAL_H

#include "pilaster/loss.h"
#include "train/train.h"

/* ---- loss.c: what losses are made with ---- */
struct pil_tensor *loss_float(struct pil_graph *graph, struct pil_tensor *x); /* cast to float32 */
struct pil_tensor *loss_scale(struct pil_graph *graph, struct pil_tensor *x, float factor);
struct pil_tensor *loss_plus(struct pil_graph *graph, struct pil_tensor *x, float number);
struct pil_tensor *loss_is_set(struct pil_graph *graph, struct pil_tensor *x); /* 1 where x is not 0 */
struct pil_tensor *loss_safe_mean(struct pil_graph *graph, struct pil_tensor *sum,
                                  struct pil_tensor *count); /* 0 where count is */
/* The same elements with an axis of 1 more at the end, or one less. */
struct pil_tensor *loss_end_axis(struct pil_graph *graph, struct pil_tensor *tensor, int more);
/* What callers give a loss, as numbers of float32; NULL or false with the graph's error, which begins with `loss`. A pair must
 * have one shape. Weights must fit the losses; by_class: the losses' last axis is where the classes were, which weights may
 * leave out. */
struct loss_pair {
    struct pil_tensor *labels, *values;
};
struct pil_tensor *loss_number(struct pil_graph *graph, const char *loss, const char *what, struct pil_tensor *tensor);
bool loss_pair(struct pil_graph *graph, const char *loss, const char *what, struct pil_tensor *labels, struct pil_tensor *values,
               struct loss_pair *out);
struct pil_tensor *loss_weights(struct pil_graph *graph, const char *loss, struct pil_tensor *weights, struct pil_tensor *losses,
                                bool by_class);
/* Checks the weights, weighs and reduces. */
struct pil_tensor *loss_reduced(struct pil_graph *graph, const char *loss, struct pil_tensor *losses, struct pil_tensor *weights,
                                pil_reduction reduction, bool by_class);

/* ---- metric.c ---- */
/* Which options a kind of metric has. */
enum metric_option {
    METRIC_LABELS = 1,        /* compares with labels */
    METRIC_KERAS = 2,         /* Keras has it too */
    METRIC_THRESHOLD = 4,     /* one threshold */
    METRIC_THRESHOLDS = 8,    /* many of them: keeps the curve's histogram */
    METRIC_CURVE = 16,        /* which curve, and how it is summed */
    METRIC_CLASSES = 32,      /* labels and values are classes below a number of them */
    METRIC_AT = 64,           /* something from 0 to 1 is given */
    METRIC_ENDS_BELOW_1 = 128 /* the last threshold is 1 - 1e-7, as TensorFlow's */
};
struct metric_row {
    const char *name;
    void (*add)(struct metric *metric, double label, double value, double weight);
    double (*result)(const struct metric *metric);
    unsigned options;
};
const struct metric_row *metric_find(const char *kind, pil_status *status);
enum curve { CURVE_ROC, CURVE_PR };
enum summation { SUM_TRAPEZOIDS, SUM_INTERPOLATED, SUM_MINORING, SUM_MAJORING };
struct metric {
    const struct metric_row *row;
    bool first_tensorflow; /* tf.metrics, not Keras */
    double sum, divisor;   /* a mean, and whatever is two sums */
    double threshold, at;
    int64_t classes;
    double *labelled, *predicted, *both; /* [classes]: weight of a class among the labels, the values, where they agree */
    double wrong_class;                  /* the first that is none */
    bool failed;
    /* curve.c */
    int64_t thresholds;
    float *threshold_list; /* [thresholds] ascending */
    bool even;             /* ... in even steps from 0 to 1 */
    double *positive;      /* [thresholds + 1]: weight of label 1 that is above just so many thresholds */
    double *negative;      /* the same of label 0 */
    enum curve curve;
    enum summation summation;
};

/* ---- curve.c ---- */
bool curve_new(struct metric *metric, const struct metric_options *options, pil_status *status);
void curve_add(struct metric *metric, double label, double value, double weight);
double curve_area(const struct metric *metric, enum curve curve, enum summation summation);
double curve_sensitivity(const struct metric *metric); /* where the specificity is next to `at` */
double curve_specificity(const struct metric *metric);
void curve_reset(struct metric *metric);

/* ---- hook_kind.c ---- */
/* What a ready-made hook does at each moment; NULL: nothing. */
struct hook_kind {
    const char *name;
    bool (*check)(const pil_hook *hook, const char **wrong); /* its settings; NULL: any will do */
    bool (*at[RUN_MOMENTS])(struct run_hook *hook, struct pil_run *run, pil_status *status);
};
const struct hook_kind *hook_kind(pil_hook_kind kind); /* NULL: there is none, or the hook's own functions */
double run_seconds(const struct pil_run *run);         /* the clock, without what was paused */
/* Of a moment that is told. */
bool timer_due(const pil_second_or_step_timer *timer, int64_t step, double seconds);
void timer_trigger(pil_second_or_step_timer *timer, int64_t step, double now, double *seconds, int64_t *steps);

/* ---- schedule.c ---- */
extern const struct arg_type ARG_OPTIONAL_FLOAT; /* float above 0; null: 0 */
/* Numbers out of range, boundaries that do not rise. at: where it is said, or NULL. */
bool schedule_check(const struct schedule *schedule, const struct value *at, pil_status *status);

/* ---- constructor.c ---- */
/* A public rate: the schedule, or the number where its kind says that there is none. Lists are copied to the arena. */
bool schedule_from(const pil_schedule *value, float learning_rate, struct arena *arena, struct schedule *out, pil_status *status);

/* ---- optimizer.c ---- */
/* What an optimizer's options come to: a formula, its slots in the kernel's order, and their first values. */
enum slot_start { START_ZERO, START_ONE, START_ACCUMULATOR };
struct optimizer_shape {
    enum update_formula formula;
    enum untouched untouched;
    const char *slots[UPDATE_MAX_SLOTS];
    enum slot_start starts[UPDATE_MAX_SLOTS];
};
struct optimizer_row {
    struct arg_table table; /* its name is the model file's */
    const char *class_name; /* as TensorFlow's checkpoints and its strings say it */
    enum optimizer_flavour flavour;
    const struct optimizer_shape *(*shape)(const struct optimizer_options *options);
    const char *hypers[5]; /* arguments that checkpoints hold besides the rate and its decay */
};
/* Fields of type float or double that are outside of what their table allows, or no number. */
bool limits_check(const struct arg_table *table, const void *fields, pil_status *status);
/* The name of a scalar that an optimizer carries (rule.c's order), or an empty text. */
bool optimizer_carry_name(const struct optimizer *optimizer, const struct optimizer_names *names, int i, struct text *out);
/* Refuses what cannot be: arguments out of range or at odds with each other. */
bool optimizer_check(const struct optimizer *optimizer, pil_status *status);
/* What is null or 0 where the class takes its own instead; then optimizer_check. at: where it is said, or NULL. */
bool optimizer_complete(struct optimizer *optimizer, const struct value *at, pil_status *status);

/* ---- rule.c ---- */
/* What an optimizer carries from step to step besides its slots: Nadam's product of momenta so far; of 1.x Adam the powers of
 * beta_1 and beta_2 for the next step, products of floats as TensorFlow keeps them. */
enum { CARRY_SIZE = 2 };
struct rule_carry {
    float values[CARRY_SIZE];
};
struct rule_carry rule_carry(const struct optimizer *optimizer, int64_t steps); /* after so many steps */
int rule_carries(const struct optimizer *optimizer);                            /* how many values there are */
/* What an optimizer does in one step: the kernel's numbers, corrected for the step. steps: taken before this one. `next` gets
 * what it carries after the step. */
struct update rule_of(const struct optimizer *optimizer, int64_t steps, struct rule_carry carry, struct rule_carry *next);
/* A used row whose gradient is 0 is as if it were not used. */
bool rule_is_idle(enum update_formula formula);

/* ---- constraint.c ---- */
bool constraint_check(const pil_constraint *constraint, struct shape shape, pil_status *status); /* numbers and axis */
void constraint_apply(const pil_constraint *constraint, const struct variable *variable);

/* ---- updater.c ---- */
/* A run of the workers; by the caller alone where there is so little to do that waking the others costs more. floats: how many
 * are read, about. */
void run_job(struct threads *threads, const struct job *job, int64_t floats);

/* ---- rows.c: the tables' part of a step ---- */
enum { MOST_READINGS = 64 }; /* of one table in a step */
/* One reading of a table in the batch. */
struct reading {
    const struct session_record *record;
    struct sparse ids;     /* the record's, cut to the batch's rows; a dropped entry's id may be made -1 */
    struct groups groups;  /* of these ids */
    int64_t kept;          /* entries in groups, as the lookup had them */
    const float *gradient; /* [rows, dim] */
    int64_t gradient_ld;
    const float *coefficient; /* [entries] or NULL: all 1 */
    float max_norm;
    bool by_entry; /* the record's */
    /* to be made before the tables are updated, and the memory for it, which stays */
    bool wants_coefficients, wants_groups, drops;
    float *coefficients;
    int32_t *kept_ids;
    char *sort_scratch, *sort_memory;
    float *sums; /* by group, where gradients are clipped */
    size_t coefficient_capacity, kept_capacity, scratch_capacity, memory_capacity, sums_capacity;
};
/* A table with all its readings, to be updated by `pieces` tasks that share nothing. */
struct table_update {
    const struct variable *variable;
    const struct update *rule;
    enum untouched untouched;
    struct reading *const *readings;
    int reading_count;
    int64_t pieces;
    float *const *scratch; /* by worker: rows_scratch(dim) floats where reading_count > 1 */
    const struct kernels *kernels;
};
size_t rows_scratch(int64_t dim);
/* Memory for what a reading wants; then rows first .. first + count of its coefficients; then, with all coefficients, groups. */
bool reading_reserve(struct reading *reading, pil_status *status);
void reading_coefficients(struct reading *reading, const struct kernels *kernels, int64_t first, int64_t count);
void reading_group(struct reading *reading, int64_t table_rows);
void reading_free(struct reading *reading);
/* A kernel's call for all groups of a reading but for rule, first and count. */
struct update_rows reading_rows(const struct variable *variable, const struct reading *reading);
void table_update_piece(const struct table_update *update, int64_t piece, int worker);
/* The readings' gradients added to a dense one, `ld` apart. */
void table_add_dense(const struct table_update *update, float *gradient, int64_t ld);

/* ---- clip.c: gradients changed between the run and the update ---- */
struct clip_options {
    float value, norm, global_norm;             /* limits of values, of a variable's norm, of the norm of all; 0: none */
    const struct train_multiplier *multipliers; /* borrowed */
    size_t multiplier_count;
};
bool clip_is_needed(const struct clip_options *options);
/* For one optimizer's gradients: the variables of a group of the store. Steps of the same sizes allocate nothing after the first. */
struct clipper;
struct clipper *clipper_new(const struct clip_options *options, const struct store *store, int group,
                            const struct kernels *kernels, pil_status *status);
/* A step: the block's partials; each table's readings, one table after the other, grouped and with coefficients; run. Then partial 0
 * holds the block's gradient, and the readings are replaced by their sums; with norms_only neither is changed but for the order in
 * which the partials' sum is made: it is in partial 0. */
bool clipper_begin(struct clipper *clipper, const struct session_partials *partials, bool norms_only, pil_status *status);
bool clipper_add(struct clipper *clipper, const struct variable *variable, struct reading *reading, pil_status *status);
void clipper_run(struct clipper *clipper, struct threads *threads);
/* Norms of the step: of all gradients before scaling or after it, of one variable's after it (0: it had none). */
double clipper_norm(const struct clipper *clipper, bool clipped);
double clipper_variable_norm(const struct clipper *clipper, const char *name);
void clipper_free(struct clipper *clipper);
/* Adds floats first .. first + n of the partials to partial 0, in their fixed tree. */
void partials_add(const struct session_partials *partials, int64_t first, int64_t n);

/* ---- summary.c: tags of the event file and their values ---- */
struct summary_source { /* of a part, after a step */
    const struct clipper *clipper;
    double rate;
};
struct summaries *summaries_new(const struct updater_part *parts, int part_count, const struct store *store, pil_status *status);
size_t summaries_list(struct summaries *summaries, const struct summary_source *sources, double loss,
                      const struct train_summary **out);
void summaries_free(struct summaries *summaries);

#endif
