/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks: what happens around the steps of a run. Source: tf.estimator.SessionRunHook and the ready-made ones.
 *
 *     static bool tell(void *context, pil_run *run, pil_status *status)
 *     {
 *         size_t count;
 *         const float *norm = pil_run_value(run, "norm", &count);
 *         if (count == 1 && norm[0] > 100)
 *             pil_run_request_stop(run);
 *         return true;
 *     }
 *     ...
 *     spec.training_hooks[0] = (pil_hook){ .after_run = tell, .fetches = PIL_DICT(g, {"norm", norm}) };
 *     spec.training_hooks[1] = pil_logging_tensor_hook(PIL_DICT(g, {"norm", norm}), .every_n_iter = 10);
 *
 * A hook is a value, copied where it is kept; its context is borrowed and must live as long as the run. Hooks are called in the
 * order in which they were given, all on the thread that trains.
 */
#ifndef PILASTER_PUBLIC_HOOK_H
#define PILASTER_PUBLIC_HOOK_H

#include "pilaster/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A run of steps, in training, evaluation or prediction: what a hook may ask. */
typedef struct pil_run pil_run;
/* The global step; in after_run the step is counted already. */
PIL_API int64_t pil_run_step(const pil_run *run);
/* Of the step taken last; NaN before the first, and where the run has no loss. */
PIL_API double pil_run_loss(const pil_run *run);
/* Rows of the batches so far, in this run. */
PIL_API int64_t pil_run_examples(const pil_run *run);
/* In after_run: the values of a tensor of the hook's own fetches in the step just taken, row after row, as floats; *count of
 * them. They stay until the hook asks for that name after a later step, so that `end` finds what was asked for last. NULL with
 * *count 0: the hook fetches nothing of that name, or never asked before the end. */
PIL_API const float *pil_run_value(pil_run *run, const char *name, size_t *count);
/* The run ends in order behind this step, or before the first: the last checkpoint is saved. */
PIL_API void pil_run_request_stop(pil_run *run);

/* Called by the run; false with *status filled ends it with that error. */
typedef bool (*pil_hook_function)(void *context, pil_run *run, pil_status *status);
typedef enum pil_hook_kind {
    PIL_HOOK_OWN, /* the functions below */
    PIL_HOOK_STOP_AT_STEP,
    PIL_HOOK_NAN_TENSOR,
    PIL_HOOK_LOGGING_TENSOR,
    PIL_HOOK_STEP_COUNTER,
    PIL_HOOK_SUMMARY_SAVER
} pil_hook_kind;
/* What the ready-made ones are told: their functions below explain. */
typedef struct pil_hook_settings {
    int64_t steps;  /* how many, or every how many; 0: not by steps */
    double seconds; /* every how many; 0: not by seconds */
    int64_t last_step;
    bool fail, at_end;
    const char *output_dir;
} pil_hook_settings;
typedef struct pil_hook {
    pil_hook_kind kind;
    pil_hook_function begin;      /* before the first step */
    pil_hook_function before_run; /* before each step */
    pil_hook_function after_run;  /* after it; the step is counted */
    pil_hook_function end;        /* after the last, also of a run that was stopped, not after an error */
    void *context;
    pil_dict fetches; /* tensors whose values after_run wants; of the graph that runs */
    pil_hook_settings settings;
} pil_hook;

enum { PIL_MAX_HOOKS = 16 };

/* When something is due that happens every so many seconds or steps: at the first step always, then when either has passed; 0
 * stands for never. Twice at one step never. Source: tf.estimator.SecondOrStepTimer. */
typedef struct pil_second_or_step_timer {
    double every_secs;
    int64_t every_steps;
    bool triggered; /* at least once: at that step, and then by a clock that only runs forward */
    int64_t last_triggered_step;
    double last_triggered_secs;
} pil_second_or_step_timer;
PIL_API bool pil_should_trigger_for_step(const pil_second_or_step_timer *timer, int64_t step);
/* Notes that it was done; *seconds and *steps (NULL: not wanted) since the time before, below 0 at the first. */
PIL_API void pil_update_last_triggered_step(pil_second_or_step_timer *timer, int64_t step, double *seconds, int64_t *steps);

/* ---- ready-made ---------------------------------------------------------------------------------------------- */

/* Stops after `.num_steps` steps of this run, or at the global step `.last_step`: one of the two. Source:
 * tf.estimator.StopAtStepHook. */
typedef struct pil_stop_at_step_options {
    int64_t num_steps, last_step;
} pil_stop_at_step_options;
#define pil_stop_at_step_hook(...) pil_stop_at_step_hook_make(&(pil_stop_at_step_options){ __VA_ARGS__ })
PIL_API pil_stop_at_step_options pil_stop_at_step_options_default(void);
PIL_API pil_hook pil_stop_at_step_hook_make(const pil_stop_at_step_options *options);

/* A loss that is not a number, or infinite, ends the run: with the error PIL_DIVERGED, or (false) with a warning and in order.
 * Found before the step changes a variable. The Estimator adds one to every training. Source: tf.estimator.NanTensorHook. */
PIL_API pil_hook pil_nan_tensor_hook(bool fail_on_nan_loss);

/* Logs tensors: "loss = 0.25, step = 100 (0.312 sec)", the global step before the one that gave them, and the seconds since the
 * line before. At the first step, then every .every_n_iter steps or .every_n_secs seconds: one of the two, or neither and
 * .at_end, which may stand beside them. tensors: a PIL_DICT; an empty one, (pil_dict){ 0 }, stands for the loss. Of a tensor of
 * many elements the first ten are shown. Source: tf.estimator.LoggingTensorHook. */
typedef struct pil_logging_tensor_options {
    pil_dict tensors;
    int64_t every_n_iter;
    double every_n_secs;
    bool at_end;
} pil_logging_tensor_options;
#define PIL_LOGGING_TENSOR_DEFAULTS .every_n_iter = 0, .every_n_secs = 0.0, .at_end = false
#define pil_logging_tensor_hook(...)                                                                                             \
    pil_logging_tensor_hook_make(&(pil_logging_tensor_options){ PIL_LOGGING_TENSOR_DEFAULTS, .tensors = __VA_ARGS__ })
PIL_API pil_logging_tensor_options pil_logging_tensor_options_default(void);
PIL_API pil_hook pil_logging_tensor_hook_make(const pil_logging_tensor_options *options);

/* Writes "global_step/sec" to the run's events, or to an event file of its own in .output_dir (borrowed), and logs it, every
 * every_n_steps steps after the first or, where that is 0, .every_n_secs seconds. Evaluations between steps do not count. Source:
 * tf.estimator.StepCounterHook. */
typedef struct pil_step_counter_options {
    int64_t every_n_steps;
    double every_n_secs;
    const char *output_dir;
} pil_step_counter_options;
#define PIL_STEP_COUNTER_DEFAULTS .every_n_secs = 0.0, .output_dir = NULL
#define pil_step_counter_hook(...)                                                                                               \
    pil_step_counter_hook_make(&(pil_step_counter_options){ PIL_STEP_COUNTER_DEFAULTS, .every_n_steps = __VA_ARGS__ })
PIL_API pil_step_counter_options pil_step_counter_options_default(void);
PIL_API pil_hook pil_step_counter_hook_make(const pil_step_counter_options *options);

/* Writes scalars (tensors of one element, each under its name) to the run's events, or to an event file of its own in .output_dir
 * (borrowed), at the first step and then every .save_steps steps or .save_secs seconds: one of the two. An empty dict stands for
 * what the run has to say: the loss, and the summaries of its train op. Source: tf.estimator.SummarySaverHook. */
typedef struct pil_summary_saver_options {
    pil_dict summaries;
    int64_t save_steps;
    double save_secs;
    const char *output_dir;
} pil_summary_saver_options;
#define PIL_SUMMARY_SAVER_DEFAULTS .save_steps = 0, .save_secs = 0.0, .output_dir = NULL
#define pil_summary_saver_hook(...)                                                                                              \
    pil_summary_saver_hook_make(&(pil_summary_saver_options){ PIL_SUMMARY_SAVER_DEFAULTS, .summaries = __VA_ARGS__ })
PIL_API pil_summary_saver_options pil_summary_saver_options_default(void);
PIL_API pil_hook pil_summary_saver_hook_make(const pil_summary_saver_options *options);

#ifdef __cplusplus
}
#endif

#endif
