/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocator for tests that fails at a chosen call. A test of all failure paths is a loop:
 *
 *     for (int64_t n = 0;; n++) {
 *         failing_start(n, false);
 *         bool worked = do_it(&status);
 *         bool reached = failing_stop();
 *         if (!reached)
 *             break;              // fewer than n allocations: every one has failed once
 *         assert_false(worked);
 *         assert_int_equal(status.code, PIL_NO_MEMORY);
 *     }
 *
 * Memory comes filled with 0xA5, so that a forgotten clearing shows. failing_live counts what is not yet released.
 */
#ifndef PILASTER_TESTS_FAILING_H
#define PILASTER_TESTS_FAILING_H

#include "base/base.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_llong failing_countdown, failing_live;
static atomic_bool failing_reached;
static bool failing_lasting;

static inline void *failing_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    long long left = atomic_fetch_sub(&failing_countdown, 1);
    if (left == 0 || (left < 0 && failing_lasting)) {
        atomic_store(&failing_reached, true);
        return NULL;
    }
    void *memory = NULL;
    if (posix_memalign(&memory, alignment, bytes) != 0)
        return NULL;
    memset(memory, 0xA5, bytes);
    atomic_fetch_add(&failing_live, 1);
    return memory;
}

static inline void failing_release(void *context, void *pointer)
{
    (void)context;
    atomic_fetch_sub(&failing_live, 1);
    free(pointer);
}

/* From now on the n-th allocation (from 0) fails, and with `lasting` all after it. n < 0: none. */
static inline void failing_start(int64_t n, bool lasting)
{
    atomic_store(&failing_countdown, n < 0 ? INT64_MAX : n);
    atomic_store(&failing_live, 0);
    atomic_store(&failing_reached, false);
    failing_lasting = lasting;
    mem_set_allocator(&(struct allocator){ .allocate = failing_allocate, .release = failing_release });
}

/* Back to the system's allocator. True when an allocation has failed since the start. */
static inline bool failing_stop(void)
{
    mem_set_allocator(NULL);
    return atomic_load(&failing_reached);
}

#endif
