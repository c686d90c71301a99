/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The variables of an estimator: declared from its first graph, with slots and hyper-parameters where it trains, then filled from
 * the checkpoint asked for, the newest one, or from initializers and notes. Every mode is bound to them, so an evaluation during
 * training reads the live values and restores nothing. A later run goes on with the same store, unless another program has
 * written a newer checkpoint meanwhile.
 */
#include <string.h>

#include "estimator/internal.h"

/* ---- filling ---- */

static bool restore(struct pil_estimator *estimator, const char *prefix, pil_status *status)
{
    struct checkpoint_restore_options options = { .slots = estimator->trains,
                                                  .model_dir =
                                                      estimator->options.checkpoint ? NULL : estimator->config.model_dir };
    estimator->restored = prefix;
    if (estimator->warm_start_from)
        log_line(PIL_LOG_INFO, "%s goes on from its own checkpoint: nothing is taken from %s", estimator->config.model_dir,
                 estimator->warm_start_from);
    return checkpoint_restore(estimator->store, prefix, &options, status);
}

static bool initialize(struct pil_estimator *estimator, pil_status *status)
{
    const char *warm_start = estimator->warm_start_from;
    if (!estimator->trains)
        log_line(PIL_LOG_WARNING, "there is no checkpoint in %s: %s%s",
                 estimator->config.model_dir ? estimator->config.model_dir : "-",
                 warm_start ? "used are the weights of " : "the initial weights are used", warm_start ? warm_start : "");
    estimator->restored = NULL;
    bool ok =
        store_initialize(estimator->store, (uint64_t)MAX(estimator->config.tf_random_seed, 0), estimator->threads, status) &&
        transfer_apply(estimator->store, status);
    if (ok && estimator->first_values)
        store_copy_values(estimator->first_values, estimator->store);
    return ok && (!warm_start || transfer_warm_start(estimator->store, warm_start, status));
}

/* The newest checkpoint, or NULL with status ok. A program may ask for predictions a million times: the name is kept once. */
static const char *newest_checkpoint(struct pil_estimator *estimator, pil_status *status)
{
    if (!estimator->config.model_dir)
        return NULL;
    struct arena *scratch = arena_new(status);
    const char *newest = scratch ? checkpoint_latest(estimator->config.model_dir, scratch, status) : NULL;
    if (newest && estimator->holds && strcmp(newest, estimator->holds) == 0)
        newest = estimator->holds;
    else if (newest)
        newest = arena_text(estimator->arena, newest, strlen(newest), status);
    arena_free(scratch);
    return newest;
}

/* The checkpoint asked for, else the newest, else NULL with status ok. */
static const char *find_checkpoint(struct pil_estimator *estimator, pil_status *status)
{
    if (estimator->options.checkpoint && !estimator->trains)
        return estimator->options.checkpoint;
    return newest_checkpoint(estimator, status);
}

/* The store has what this run needs, which may be more than the mode before it had, and nobody has trained the model further. */
static bool is_current(const struct pil_estimator *estimator, const struct mode_run *run, const char *newest)
{
    bool trains = run->mode == PIL_TRAIN;
    if (!estimator->store || (trains && !estimator->trains) || !mode_check(run, estimator->store, &(pil_status){ 0 }))
        return false;
    return newest ? estimator->holds && strcmp(newest, estimator->holds) == 0 : !estimator->holds && !trains;
}

bool values_make(struct pil_estimator *estimator, const struct mode_run *run, pil_status *status)
{
    bool trains = run->mode == PIL_TRAIN, had = estimator->trains;
    estimator->trains = trains;
    const char *prefix = find_checkpoint(estimator, status);
    if (!status_ok(status))
        return false;
    estimator->trains = had;
    if (is_current(estimator, run, prefix)) {
        estimator->restored = prefix; /* as if they were read from it: the input goes on where it says */
        return true;
    }
    store_free(estimator->store);
    estimator->trains = trains;
    estimator->holds = NULL;
    estimator->store = store_new(status);
    bool ok =
        estimator->store && store_declare(estimator->store, "global_step", DTYPE_INT64, SHAPE_SCALAR, STORE_PLAIN, status) &&
        train_op_declare(trains ? run->spec.train_op : NULL, run->graph, estimator->store, status) &&
        store_allocate(estimator->store, status) && (prefix ? restore(estimator, prefix, status) : initialize(estimator, status));
    if (ok)
        estimator->holds = prefix;
    else
        values_free(estimator);
    return ok;
}

bool values_missing(const struct pil_estimator *estimator, pil_status *status)
{
    return status_fail(status, PIL_NOT_FOUND, "there is no checkpoint in %s: the model has not been trained",
                       estimator->config.model_dir ? estimator->config.model_dir : "-");
}

bool values_saved(struct pil_estimator *estimator, pil_status *status)
{
    estimator->holds = newest_checkpoint(estimator, status);
    return status_ok(status);
}

void values_free(struct pil_estimator *estimator)
{
    store_free(estimator->store);
    estimator->store = NULL;
    estimator->holds = NULL;
}
