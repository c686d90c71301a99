/* SPDX-License-Identifier: Apache-2.0 */
/* Where a session's time goes, by op: what `train --profile` prints. Off, a step costs one test of a pointer more. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "graph/internal.h"

double profile_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

bool session_profile(struct session *session, pil_status *status)
{
    for (int w = 0; w < session->worker_count; w++)
        if (!session->workers[w].seconds &&
            !(session->workers[w].seconds = mem_array((size_t)session->plan->step_count + 1, sizeof(double), status)))
            return false;
    return true;
}

struct line {
    const char *op;
    double seconds;
    int steps;
};

static int longest_first(const void *a, const void *b)
{
    double x = ((const struct line *)a)->seconds, y = ((const struct line *)b)->seconds;
    return (x < y) - (x > y);
}

/* The seconds of every op, all its nodes and workers together. */
static int add_up(const struct session *session, struct line *lines)
{
    int count = 0;
    for (int s = 0; s < session->plan->step_count; s++) {
        const struct step *step = &session->plan->steps[s];
        int at = 0;
        while (at < count && strcmp(lines[at].op, step->row->name) != 0)
            at++;
        if (at == count)
            lines[count++] = (struct line){ .op = step->row->name };
        lines[at].steps++;
        for (int w = 0; w < session->worker_count; w++)
            lines[at].seconds += session->workers[w].seconds[s];
    }
    return count;
}

double session_profile_text(const struct session *session, struct text *out)
{
    pil_status status = { 0 };
    struct line *lines = mem_array((size_t)session->plan->step_count + 1, sizeof *lines, &status);
    double total = 0;
    if (!lines || !session->workers[0].seconds) {
        mem_free(lines);
        return 0;
    }
    int count = add_up(session, lines);
    for (int i = 0; i < count; i++)
        total += lines[i].seconds;
    qsort(lines, (size_t)count, sizeof *lines, longest_first);
    for (int i = 0; i < count; i++)
        if (lines[i].seconds > 0)
            text_format(out, "  %-28s %9.3f s  %5.1f %%   %d node%s\n", lines[i].op, lines[i].seconds,
                        100 * lines[i].seconds / total, lines[i].steps, lines[i].steps == 1 ? "" : "s");
    mem_free(lines);
    return total;
}
