/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run that hooks may watch, without a store: loss = sum of x over a batch of 3 rows that the test sets, doubled = 2 x
 * [batch, 2], and the sum itself, float64. Batch n brings x = n, n + 1, ... and its last one may be shorter.
 */
#ifndef PILASTER_TESTS_TRAIN_RUNNING_H
#define PILASTER_TESTS_TRAIN_RUNNING_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/internal.h"

enum { ROWS = 3, COLUMNS = 2 };
static double fake_seconds; /* the run's clock */

struct running {
    pil_status status;
    struct pil_graph *graph;
    struct pil_tensor *doubled, *sum, *fetches[3];
    struct plan *plan;
    struct threads *threads;
    struct pil_run run;
    struct tensor x;
    int64_t step, batches, most; /* most batches of the input */
    float bad;                   /* of the batch `bad_at`, from 1 */
    int64_t bad_at;
};

static inline double fake_clock(void)
{
    return fake_seconds;
}

static inline bool running_next(void *context, int64_t *rows, bool *end, pil_status *status)
{
    struct running *running = context;
    (void)status;
    *end = running->batches == running->most;
    if (*end)
        return true;
    running->batches++;
    fake_seconds += 1;
    *rows = running->batches == running->most ? ROWS - 1 : ROWS;
    for (int64_t i = 0; i < ROWS * COLUMNS; i++)
        tensor_floats(&running->x)[i / COLUMNS * running->x.ld + i % COLUMNS] = (float)(running->batches + i);
    if (running->batches == running->bad_at)
        tensor_floats(&running->x)[0] = running->bad;
    struct op_value value = { .tensor = running->x };
    value.tensor.rows = *rows;
    value.tensor.shape.dims[0] = *rows;
    return session_input(running->run.session, "x", &value);
}

static inline const struct tensor *running_value(void *context, const struct pil_tensor *tensor)
{
    struct running *running = context;
    for (size_t i = 0; i < COUNT_OF(running->fetches); i++)
        if (running->fetches[i] == tensor)
            return &session_fetch(running->run.session, i)->tensor;
    return NULL;
}

static inline struct running *running_new(int64_t most)
{
    struct running *r = calloc(1, sizeof *r);
    assert_non_null(r);
    fake_seconds = 1000;
    r->most = most;
    r->graph = graph_new(&r->status);
    struct pil_tensor *x = graph_input(r->graph, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, COLUMNS), false);
    r->doubled = graph_op2(r->graph, "add", NULL, x, x);
    r->sum = graph_op1(r->graph, "sum_all", NULL, x);
    r->fetches[0] = r->doubled;
    r->fetches[1] = graph_op1(r->graph, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, r->sum);
    r->fetches[2] = r->sum;
    r->plan = plan_compile(r->graph, r->fetches, COUNT_OF(r->fetches), &r->status);
    r->threads = threads_new(2, &r->status);
    r->run = (struct pil_run){ .session = session_new(r->plan, r->threads, kernel_get(), 1, &r->status),
                               .feed = { running_next, NULL, r },
                               .global_step = &r->step,
                               .loss_fetch = 1,
                               .value = running_value,
                               .value_context = r,
                               .seconds = fake_clock };
    tensor_new(&r->x, DTYPE_FLOAT32, SHAPE(ROWS, COLUMNS), true, &r->status);
    if (!status_ok(&r->status))
        fail_msg("%s", r->status.message);
    return r;
}

static inline void running_hook(struct running *r, pil_hook hook)
{
    if (!hook_add(&r->run, &hook, &r->status))
        fail_msg("%s", r->status.message);
}

static inline void running_run(struct running *r)
{
    if (!loop_run(&r->run, &r->status))
        fail_msg("%s", r->status.message);
}

static inline void running_free(struct running *r)
{
    assert_true(run_free(&r->run, &(pil_status){ 0 }));
    session_free(r->run.session);
    threads_free(r->threads);
    plan_free(r->plan);
    graph_free(r->graph);
    tensor_free(&r->x);
    free(r);
}

#endif
