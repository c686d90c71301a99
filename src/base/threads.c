/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pool of workers. The idea is that a run belongs to its tasks and not to its workers.
 *
 * `left` is the one word that tasks are claimed from: how many tasks of the current run nobody has taken yet. A claim takes
 * it from n to n - 1 and owns task number total - n, so tasks go out in order. Three rules make everything else follow:
 *
 *   1. The description of a run (jobs, total) is written while left is 0 and is read only after a successful claim. Whoever
 *      holds a claim keeps the run alive, because rule 2 waits for it. So a worker that comes late, or that was descheduled
 *      between looking and claiming, finds left at 0 and touches nothing, or it finds the next run and works on that one:
 *      a claim is valid for whichever run it succeeded in.
 *   2. Each worker adds what it has finished to `done` when it finds nothing more to claim. The run is over when done is
 *      total; a worker that had no share is not waited for.
 *   3. Who waits spins for a bounded time and then sleeps on a word of its own: helpers on `bell`, the caller on `waiting`.
 *      Each pair "I announce myself, then look once more" and "I publish, then look for sleepers" is sequentially
 *      consistent, so one of the two always sees the other.
 *
 * One run at a time: threads_run must not be called from a task, nor by two threads at once on the same pool.
 */
#include "base/base.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#endif

enum {
    MAX_THREADS = 4096,
    SPIN_NS = 40000,        /* about a futex wake-up's price on a virtual machine: waiting costs at most twice the best */
    CROWDED_SPIN_NS = 1000, /* more threads than processors: a spinning one keeps a working one from running */
    PAUSES_PER_LOOK = 32    /* pauses between two looks at the clock */
};

struct helper {
    struct threads *threads;
    pthread_t thread;
    int worker;
};

/* What different threads write lies on lines of its own. */
struct threads {
    _Alignas(64) atomic_int_least64_t left; /* tasks of the run that nobody has claimed */
    _Alignas(64) atomic_int_least64_t done; /* tasks of the run that are finished and counted */
    _Alignas(64) atomic_uint bell;          /* changes when sleeping helpers should look again */
    atomic_uint sleepers;                   /* helpers that sleep or are about to */
    atomic_uint waiting;                    /* 1: the caller sleeps or is about to */
    atomic_bool stop;
    _Alignas(64) const struct job *jobs; /* the run, see rule 1 */
    int64_t total;
    int count;   /* workers, the caller among them */
    int started; /* helpers that run */
    int64_t spin_ns;
#if !defined(__linux__)
    pthread_mutex_t mutex;
    pthread_cond_t changed;
#endif
    struct helper helpers[];
};

/* ---- sleeping on a word -------------------------------------------------------------------------------------- */

#if defined(__linux__)

/* Sleeps while *word is value; may return early for no reason. */
static void sleep_on(struct threads *threads, atomic_uint *word, unsigned value)
{
    (void)threads;
    syscall(SYS_futex, (void *)word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

/* Wakes up to `sleepers` threads that sleep on word; the caller has changed *word before. */
static void wake(struct threads *threads, atomic_uint *word, int sleepers)
{
    (void)threads;
    syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, sleepers, NULL, NULL, 0);
}

static bool sleep_new(struct threads *threads)
{
    (void)threads;
    return true;
}

static void sleep_free(struct threads *threads)
{
    (void)threads;
}

#else

static void sleep_on(struct threads *threads, atomic_uint *word, unsigned value)
{
    pthread_mutex_lock(&threads->mutex);
    while (atomic_load(word) == value)
        pthread_cond_wait(&threads->changed, &threads->mutex);
    pthread_mutex_unlock(&threads->mutex);
}

/* The lock orders this after a sleeper's look at the word, so the broadcast is not lost. */
static void wake(struct threads *threads, atomic_uint *word, int sleepers)
{
    (void)word;
    (void)sleepers;
    pthread_mutex_lock(&threads->mutex);
    pthread_cond_broadcast(&threads->changed);
    pthread_mutex_unlock(&threads->mutex);
}

static bool sleep_new(struct threads *threads)
{
    if (pthread_mutex_init(&threads->mutex, NULL) != 0)
        return false;
    if (pthread_cond_init(&threads->changed, NULL) == 0)
        return true;
    pthread_mutex_destroy(&threads->mutex);
    return false;
}

static void sleep_free(struct threads *threads)
{
    pthread_cond_destroy(&threads->changed);
    pthread_mutex_destroy(&threads->mutex);
}

#endif

/* ---- spinning ------------------------------------------------------------------------------------------------ */

/* Tells the core that this is a waiting loop: 36 against 100 ns for a hand-over between two cores. */
static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Spins until *word is value (or, with `unless`, anything else); false when the time is up. */
static bool spin_until(atomic_int_least64_t *word, int64_t value, bool unless, int64_t spin_ns)
{
    int64_t end = 0;
    for (;;) {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if ((atomic_load_explicit(word, memory_order_acquire) == value) != unless)
                return true;
            relax();
        }
        int64_t now = now_ns();
        if (end == 0)
            end = now + spin_ns;
        else if (now >= end)
            return false;
    }
}

/* ---- tasks --------------------------------------------------------------------------------------------------- */

static void run_task(const struct job *jobs, int64_t number, int worker)
{
    while (jobs->count <= 0 || number >= jobs->count) {
        number -= MAX(jobs->count, 0);
        jobs++;
    }
    jobs->task(jobs->context, number, worker);
}

/* Claims tasks and runs them until none is left, then counts them; true when that ended the run. */
static bool work(struct threads *threads, int worker)
{
    int64_t finished = 0, total = 0;
    int64_t left = atomic_load_explicit(&threads->left, memory_order_relaxed);
    while (left > 0) {
        /* Acquire: the claim makes the run's description visible (every claim continues the publishing store). */
        if (!atomic_compare_exchange_weak_explicit(&threads->left, &left, left - 1, memory_order_acquire, memory_order_relaxed)) {
            relax();
            continue;
        }
        total = threads->total;
        run_task(threads->jobs, total - left, worker);
        finished++;
        left = atomic_load_explicit(&threads->left, memory_order_relaxed);
    }
    /* From this addition on the run may be over and its description somebody else's: only locals are used. */
    return finished > 0 && atomic_fetch_add(&threads->done, finished) + finished == total;
}

static void *helper_main(void *argument)
{
    struct helper *helper = argument;
    struct threads *threads = helper->threads;
    for (;;) {
        if (work(threads, helper->worker) && atomic_exchange(&threads->waiting, 0) == 1)
            wake(threads, &threads->waiting, 1);
        if (spin_until(&threads->left, 0, true, threads->spin_ns))
            continue;
        unsigned ticket = atomic_load(&threads->bell);
        atomic_fetch_add(&threads->sleepers, 1);
        bool stop = atomic_load(&threads->stop);
        if (!stop && atomic_load(&threads->left) == 0)
            sleep_on(threads, &threads->bell, ticket);
        atomic_fetch_sub(&threads->sleepers, 1);
        if (stop)
            return NULL;
    }
}

static void ring(struct threads *threads, int64_t useful)
{
    unsigned sleepers = atomic_load(&threads->sleepers);
    if (sleepers == 0)
        return;
    atomic_fetch_add(&threads->bell, 1);
    wake(threads, &threads->bell, (int)MIN((int64_t)sleepers, useful));
}

static void wait_for_end(struct threads *threads)
{
    int64_t total = threads->total;
    if (spin_until(&threads->done, total, false, threads->spin_ns))
        return;
    while (atomic_load(&threads->done) != total) {
        atomic_store(&threads->waiting, 1);
        if (atomic_load(&threads->done) != total)
            sleep_on(threads, &threads->waiting, 1);
    }
    atomic_store(&threads->waiting, 0);
}

void threads_run(struct threads *threads, const struct job *jobs, size_t job_count)
{
    int64_t total = 0;
    for (size_t i = 0; i < job_count; i++)
        total += MAX(jobs[i].count, 0);
    if (threads->started == 0 || total <= 1) { /* nothing to share: no word is written */
        for (size_t i = 0; i < job_count; i++)
            for (int64_t index = 0; index < jobs[i].count; index++)
                jobs[i].task(jobs[i].context, index, 0);
        return;
    }
    threads->jobs = jobs;
    threads->total = total;
    atomic_store_explicit(&threads->done, 0, memory_order_relaxed);
    atomic_store(&threads->left, total);
    ring(threads, total - 1);
    if (!work(threads, 0))
        wait_for_end(threads);
}

/* ---- the pool ------------------------------------------------------------------------------------------------ */

int threads_processors(void)
{
#if defined(__linux__)
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
        return MAX(CPU_COUNT(&allowed), 1);
#endif
    return (int)MIN(MAX(sysconf(_SC_NPROCESSORS_ONLN), 1), (long)MAX_THREADS);
}

/* Signals are the program's: helpers inherit a mask that blocks all of them. */
static bool start_helpers(struct threads *threads, pil_status *status)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    for (int i = 0; i + 1 < threads->count && error == 0; i++) {
        struct helper *helper = &threads->helpers[i];
        *helper = (struct helper){ .threads = threads, .worker = i + 1 };
        error = pthread_create(&helper->thread, NULL, helper_main, helper);
        if (error == 0)
            threads->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        return true;
    status_fail(status, PIL_NO_MEMORY, "cannot start thread %d of %d: %s", threads->started + 2, threads->count,
                error == EAGAIN ? "the system has no room for more threads" : "the system refused");
    return status_hint(status, "ask for fewer threads (1 needs none)");
}

struct threads *threads_new(int count, pil_status *status)
{
    int processors = threads_processors();
    if (count == 0)
        count = MIN(processors, (int)MAX_THREADS);
    if (count < 0 || count > MAX_THREADS) {
        status_fail(status, PIL_INVALID_ARGUMENT, "%d threads: the number must be from 0 (one per processor) to %d", count,
                    (int)MAX_THREADS);
        return NULL;
    }
    struct threads *threads = mem_block(sizeof(*threads) + (size_t)(count - 1) * sizeof(struct helper), status);
    if (threads == NULL)
        return NULL;
    threads->count = count;
    threads->spin_ns = count <= processors ? SPIN_NS : CROWDED_SPIN_NS;
    if (!sleep_new(threads)) {
        mem_free(threads);
        status_no_memory(status, sizeof(*threads));
        return NULL;
    }
    if (start_helpers(threads, status))
        return threads;
    threads_free(threads);
    return NULL;
}

int threads_count(const struct threads *threads)
{
    return threads->count;
}

void threads_free(struct threads *threads)
{
    if (threads == NULL)
        return;
    atomic_store(&threads->stop, true);
    atomic_fetch_add(&threads->bell, 1);
    wake(threads, &threads->bell, threads->started);
    for (int i = 0; i < threads->started; i++)
        pthread_join(threads->helpers[i].thread, NULL);
    sleep_free(threads);
    mem_free(threads);
}
