/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one training loop: next batch, run, update, count, hooks. The next batch is prepared by jobs behind the first phase of the
 * step before it, so that input and training share the workers.
 */
#include <math.h>
#include <time.h>

#include "train/train.h"

enum { MOST_JOBS = 4 };

/* With a profile: adds the time since *last to *sum, and starts anew. */
static void note_time(const struct loop *loop, double *sum, double *last)
{
    struct timespec time;
    if (!loop->profile)
        return;
    clock_gettime(CLOCK_MONOTONIC, &time);
    double now = (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
    if (sum)
        *sum += now - *last;
    *last = now;
}

/* One step; *end when the input has no more. */
static bool take_step(struct loop *loop, bool *end, pil_status *status)
{
    int64_t rows = 0;
    double last = 0;
    struct job jobs[MOST_JOBS];
    note_time(loop, NULL, &last);
    if (!loop->feed.next(loop->feed.context, &rows, end, status) || *end)
        return status_ok(status);
    size_t count = loop->feed.jobs ? loop->feed.jobs(loop->feed.context, jobs, MOST_JOBS) : 0;
    note_time(loop, &loop->input_seconds, &last);
    if (!session_run(loop->session, rows, *loop->global_step, jobs, count, status))
        return false;
    note_time(loop, &loop->run_seconds, &last);
    loop->loss = session_scalar(loop->session, loop->loss_fetch);
    if (!isfinite(loop->loss)) {
        status_fail(status, PIL_DIVERGED, "the loss of step %lld is %s", (long long)*loop->global_step + 1,
                    isnan(loop->loss) ? "not a number" : "infinite");
        /* Before anything was learned the numbers of the data are the likelier reason. */
        status_hint(status, *loop->global_step == 0
                                ? "the data may hold nan, or numbers beyond a float: pilaster columns MODEL.yaml shows what is read"
                                : "a smaller learning rate, clipped gradients or scaled inputs may help; the last checkpoint is kept");
        return false;
    }
    if (loop->updater && !updater_apply(loop->updater, loop->session, *loop->global_step, status))
        return false;
    note_time(loop, &loop->update_seconds, &last);
    ++*loop->global_step;
    loop->steps++;
    loop->examples += rows;
    return true;
}

#define CALL_HOOKS(loop, member, status)                                                                                         \
    do {                                                                                                                         \
        for (int i = 0; i < (loop)->hook_count; i++)                                                                             \
            if ((loop)->hooks[i].member && !(loop)->hooks[i].member((loop)->hooks[i].context, loop, status))                     \
                return false;                                                                                                    \
    } while (0)

bool loop_run(struct loop *loop, pil_status *status)
{
    CALL_HOOKS(loop, begin, status);
    while (!loop->stopping && !(loop->stop && *loop->stop) && !(loop->last_step && *loop->global_step >= loop->last_step)) {
        CALL_HOOKS(loop, before_run, status);
        if (!take_step(loop, &loop->input_ended, status))
            return false;
        if (loop->input_ended)
            break;
        CALL_HOOKS(loop, after_run, status);
    }
    CALL_HOOKS(loop, end, status);
    return true;
}
