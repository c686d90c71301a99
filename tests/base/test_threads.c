/* SPDX-License-Identifier: Apache-2.0 */
/* The pool: each task once, in order, with a worker number of its own; runs back to back, more threads than processors. */
#include "failing.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* clang's thread sanitizer must see the creation of threads itself. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CANNOT_REFUSE
#endif
#endif
#if defined(__linux__) && defined(__GLIBC__) && !defined(CANNOT_REFUSE)
#define CAN_REFUSE
#include <dlfcn.h>
#endif

#include <cmocka.h>

/* ---- a system that refuses threads --------------------------------------------------------------------------- */

static int threads_made;

#if defined(CAN_REFUSE)
static int threads_allowed = -1; /* -1: no limit */

/* Stands before the system's function of that name and passes on to it. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument)
{
    typedef int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    create next;
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&next, &symbol, sizeof(next));
    if (threads_allowed == 0)
        return EAGAIN;
    if (threads_allowed > 0)
        threads_allowed--;
    threads_made++;
    return next(thread, attributes, function, argument);
}
#endif

/* ---- helpers ------------------------------------------------------------------------------------------------- */

enum { MOST = 8 };

struct record {
    int workers;
    atomic_int_least64_t next; /* claims so far */
    atomic_int *runs;          /* of each task */
    atomic_int inside[MOST];   /* tasks that run under this worker number at this moment */
    atomic_int wrong;          /* bad worker numbers, two tasks at once under one number */
};

static void count_task(void *context, int64_t index, int worker)
{
    struct record *record = context;
    if (worker < 0 || worker >= record->workers || atomic_fetch_add(&record->inside[worker], 1) != 0)
        atomic_fetch_add(&record->wrong, 1);
    atomic_fetch_add(&record->runs[index], 1);
    if (worker >= 0 && worker < record->workers)
        atomic_fetch_sub(&record->inside[worker], 1);
}

static struct threads *pool(int count)
{
    pil_status status = { 0 };
    struct threads *threads = threads_new(count, &status);
    assert_non_null(threads);
    assert_int_equal(threads_count(threads), count);
    return threads;
}

/* ---- tests --------------------------------------------------------------------------------------------------- */

/* Short runs of changing size, one after the other: where late workers and lost wake-ups would show. */
static void each_task_once(void **state)
{
    (void)state;
    static const int counts[] = { 1, 2, 3, 8 };
    enum { ROUNDS = 400, LARGEST = 70 };
    for (size_t c = 0; c < COUNT_OF(counts); c++) {
        struct threads *threads = pool(counts[c]);
        for (int round = 0; round < ROUNDS; round++) {
            atomic_int runs[3][LARGEST];
            memset(runs, 0, sizeof(runs));
            struct record records[3] = { { counts[c], .runs = runs[0] },
                                         { counts[c], .runs = runs[1] },
                                         { counts[c], .runs = runs[2] } };
            const int64_t sizes[3] = { round % 5, round % 3 == 0 ? 0 : round % LARGEST, round % 7 == 0 ? -1 : 2 };
            struct job jobs[3];
            for (int j = 0; j < 3; j++)
                jobs[j] = (struct job){ count_task, &records[j], sizes[j] };
            threads_run(threads, jobs, (size_t)(round % 4));
            for (int j = 0; j < 3; j++) {
                assert_int_equal(atomic_load(&records[j].wrong), 0);
                for (int64_t i = 0; i < LARGEST; i++)
                    assert_int_equal(atomic_load(&runs[j][i]), j < round % 4 && i < sizes[j]);
            }
        }
        threads_free(threads);
    }
}

/* Plain memory written by tasks and read after the run: the run's end makes it visible (the thread sanitizer looks on). */
static void write_plain(void *context, int64_t index, int worker)
{
    (void)worker;
    ((int64_t *)context)[index] += index;
}

static void results_are_visible(void **state)
{
    (void)state;
    struct threads *threads = pool(MOST);
    int64_t values[33] = { 0 };
    for (int round = 1; round <= 300; round++) {
        threads_run(threads, &(struct job){ write_plain, values, COUNT_OF(values) }, 1);
        for (int64_t i = 0; i < (int64_t)COUNT_OF(values); i++)
            assert_int_equal(values[i], i * round);
    }
    threads_free(threads);
}

struct order {
    atomic_int_least64_t started; /* tasks so far */
    atomic_int wrong;
    int workers;
};

/* Tasks are claimed in order, so when one starts, all but those in other workers' hands have started before. */
static void check_order(void *context, int64_t index, int worker)
{
    struct order *order = context;
    (void)worker;
    int64_t before = atomic_fetch_add(&order->started, 1);
    if (before < index - order->workers + 1)
        atomic_fetch_add(&order->wrong, 1);
}

static void claimed_in_order(void **state)
{
    (void)state;
    struct threads *threads = pool(3);
    for (int round = 0; round < 50; round++) {
        struct order order = { .workers = 3 };
        threads_run(threads, &(struct job){ check_order, &order, 2000 }, 1);
        assert_int_equal(atomic_load(&order.wrong), 0);
        assert_int_equal(atomic_load(&order.started), 2000);
    }
    threads_free(threads);
}

/* Two tasks that wait for each other end only when two workers run at once, and the helper sleeps before each odd round. */
static void meet(void *context, int64_t index, int worker)
{
    (void)index;
    (void)worker;
    atomic_int *arrived = context;
    atomic_fetch_add(arrived, 1);
    while (atomic_load(arrived) < 2)
        sched_yield();
}

static void busy_task(void *context, int64_t index, int worker)
{
    (void)index;
    (void)worker;
    volatile int *work = context;
    for (int i = 0; i < 300000; i++)
        (*work)++;
}

static void sleeping_helpers_are_woken(void **state)
{
    (void)state;
    struct threads *threads = pool(2);
    int work = 0;
    for (int round = 0; round < 60; round++) {
        atomic_int arrived = 0;
        threads_run(threads, &(struct job){ meet, &arrived, 2 }, 1);
        assert_int_equal(atomic_load(&arrived), 2);
        if (round % 2 == 0)
            busy_task(&work, 0, 0); /* longer than a helper spins */
    }
    threads_free(threads);
}

/* As many tasks as workers, each waits for all: then every worker has one, under a number of its own. */
struct meeting {
    atomic_int arrived;
    atomic_int of_worker[MOST];
};

static void meet_all(void *context, int64_t index, int worker)
{
    struct meeting *meeting = context;
    (void)index;
    atomic_fetch_add(&meeting->of_worker[worker], 1);
    atomic_fetch_add(&meeting->arrived, 1);
    while (atomic_load(&meeting->arrived) < MOST)
        sched_yield();
}

static void workers_have_numbers(void **state)
{
    (void)state;
    struct threads *threads = pool(MOST);
    for (int round = 0; round < 10; round++) {
        struct meeting meeting = { 0 };
        threads_run(threads, &(struct job){ meet_all, &meeting, MOST }, 1);
        for (int worker = 0; worker < MOST; worker++)
            assert_int_equal(atomic_load(&meeting.of_worker[worker]), 1);
    }
    threads_free(threads);
}

/* The caller has nothing left and sleeps while a helper works on. */
static void long_last_task(void *context, int64_t index, int worker)
{
    if (index == 1)
        for (int i = 0; i < 5; i++)
            busy_task(context, index, worker);
}

static void caller_sleeps_until_the_end(void **state)
{
    (void)state;
    struct threads *threads = pool(2);
    for (int round = 0; round < 20; round++) {
        int work = 0;
        threads_run(threads, &(struct job){ long_last_task, &work, 2 }, 1);
        assert_int_equal(work, 1500000);
    }
    threads_free(threads);
}

static void remember_thread(void *context, int64_t index, int worker)
{
    ((pthread_t *)context)[index] = pthread_self();
    assert_int_equal(worker, 0);
}

static void one_thread_is_a_plain_loop(void **state)
{
    (void)state;
    threads_made = 0;
    struct threads *threads = pool(1);
    pthread_t who[5] = { 0 };
    threads_run(threads, &(struct job){ remember_thread, who, 5 }, 1);
    for (int i = 0; i < 5; i++)
        assert_true(pthread_equal(who[i], pthread_self()));
    assert_int_equal(threads_made, 0);
    threads_free(threads);
}

static void count_of_processors(void **state)
{
    (void)state;
    pil_status status = { 0 };
    assert_true(threads_processors() >= 1);
    struct threads *threads = threads_new(0, &status);
    assert_non_null(threads);
    assert_int_equal(threads_count(threads), threads_processors());
    threads_free(threads);
    assert_null(threads_new(-1, &status));
    assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    status_clear(&status);
    assert_null(threads_new(1000000, &status));
    assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    threads_free(NULL);
}

static void refused_threads(void **state)
{
    (void)state;
#if defined(CAN_REFUSE)
    for (int allowed = 0; allowed < 3; allowed++) {
        pil_status status = { 0 };
        failing_start(-1, false);
        threads_allowed = allowed;
        assert_null(threads_new(4, &status));
        threads_allowed = -1;
        assert_int_equal(status.code, PIL_NO_MEMORY);
        assert_non_null(strstr(status.message, "of 4"));
        assert_int_equal(failing_live, 0);
        failing_stop();
    }
#else
    skip();
#endif
}

static void no_memory(void **state)
{
    (void)state;
    pil_status status = { 0 };
    failing_start(0, false);
    assert_null(threads_new(2, &status));
    assert_true(failing_stop());
    assert_int_equal(status.code, PIL_NO_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_task_once),
        cmocka_unit_test(results_are_visible),
        cmocka_unit_test(claimed_in_order),
        cmocka_unit_test(sleeping_helpers_are_woken),
        cmocka_unit_test(workers_have_numbers),
        cmocka_unit_test(caller_sleeps_until_the_end),
        cmocka_unit_test(one_thread_is_a_plain_loop),
        cmocka_unit_test(count_of_processors),
        cmocka_unit_test(refused_threads),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("base/threads", tests, NULL, NULL);
}
