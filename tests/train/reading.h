/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of argument types of this room: an arena and a reader, as cmocka's set-up and tear-down of a test. */
#ifndef PILASTER_TESTS_TRAIN_READING_H
#define PILASTER_TESTS_TRAIN_READING_H

#include "train/internal.h"

struct fixture {
    pil_status status;
    struct arena *arena;
    struct args_reader reader;
};

static inline int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){ 0 };
    fixture.arena = arena_new(&fixture.status);
    fixture.reader.arena = fixture.arena;
    *state = &fixture;
    return fixture.arena ? 0 : -1;
}

static inline int tear_down(void **state)
{
    arena_free(((struct fixture *)*state)->arena);
    return 0;
}

#endif
