/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one training loop: next batch, run, update, count, hooks. The next batch is prepared by jobs behind the first phase of the
 * step before it, so that input and training share the workers.
 */
#include <time.h>

#include "train/train.h"

enum { MOST_JOBS = 4 };

/* With a profile: adds the time since *last to *sum, and starts anew. */
static void note_time(const struct pil_run *run, double *sum, double *last)
{
    struct timespec time;
    if (!run->profile)
        return;
    clock_gettime(CLOCK_MONOTONIC, &time);
    double now = (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
    if (sum)
        *sum += now - *last;
    *last = now;
}

/* One step; *end when the input has no more. A step that a check refuses changes nothing and is not counted. */
static bool take_step(struct pil_run *run, bool *end, pil_status *status)
{
    int64_t rows = 0;
    double last = 0;
    struct job jobs[MOST_JOBS];
    note_time(run, NULL, &last);
    if (!run->feed.next(run->feed.context, &rows, end, status) || *end)
        return status_ok(status);
    size_t count = run->feed.jobs ? run->feed.jobs(run->feed.context, jobs, MOST_JOBS) : 0;
    note_time(run, &run->input_seconds, &last);
    if (!session_run(run->session, rows, *run->global_step, jobs, count, status))
        return false;
    note_time(run, &run->run_seconds, &last);
    run->loss = session_scalar(run->session, run->loss_fetch);
    if (!run_hooks(run, RUN_CHECK, status) || run->rejected)
        return status_ok(status);
    if (run->updater && !updater_apply(run->updater, run->session, *run->global_step, status))
        return false;
    note_time(run, &run->update_seconds, &last);
    ++*run->global_step;
    run->steps++;
    run->examples += rows;
    return true;
}

/* Norms are noted for the steps whose hooks ask for it. */
static bool before_step(struct pil_run *run, pil_status *status)
{
    if (run->updater)
        updater_note(run->updater, false);
    return run_hooks(run, RUN_BEFORE, status);
}

bool loop_run(struct pil_run *run, pil_status *status)
{
    if (!run_hooks(run, RUN_BEGIN, status))
        return false;
    while (!run->stopping && !(run->stop && *run->stop) && !(run->last_step && *run->global_step >= run->last_step)) {
        if (!before_step(run, status) || !take_step(run, &run->input_ended, status))
            return false;
        if (run->input_ended || run->rejected)
            break;
        if (!run_hooks(run, RUN_AFTER, status))
            return false;
    }
    return run_hooks(run, RUN_END, status);
}
