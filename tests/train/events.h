/* SPDX-License-Identifier: Apache-2.0 */
/* What a run has written to an event file, as text. */
#ifndef PILASTER_TESTS_TRAIN_EVENTS_H
#define PILASTER_TESTS_TRAIN_EVENTS_H

#include "format/format.h"
#include "scratch.h"

static inline bool find(struct slice message, uint32_t number, struct wire_field *field)
{
    bool damaged;
    while (wire_next(&message, field, &damaged))
        if (field->number == number)
            return true;
    return false;
}

/* The scalars of the one event file in a folder: "step tag value" lines. */
static inline void read_events(const char *folder, char *out, size_t size)
{
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char **names, *data;
    size_t count, bytes, offset = 0, used = 0;
    assert_true(file_list(folder, arena, &names, &count, &status));
    assert_int_equal(count, 1);
    data = scratch_read(path_join(arena, folder, names[0], &status), &bytes);
    out[0] = '\0';
    for (struct slice record; record_next(slice_of(data, bytes), &offset, &record, names[0], &status);) {
        struct wire_field summary, value, tag, number, step = { 0 };
        if (!find(record, 5, &summary))
            continue;
        assert_true(find(summary.bytes, 1, &value) && find(value.bytes, 1, &tag) && find(value.bytes, 2, &number));
        find(record, 2, &step);
        uint32_t bits = (uint32_t)number.value;
        float scalar;
        memcpy(&scalar, &bits, sizeof scalar);
        used += (size_t)snprintf(out + used, size - used, "%d %.*s %g\n", (int)step.value, (int)tag.bytes.size, tag.bytes.data,
                                 (double)scalar);
        assert_true(used < size);
    }
    free(data);
    arena_free(arena);
}

#endif
