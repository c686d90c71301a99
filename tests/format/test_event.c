/* SPDX-License-Identifier: Apache-2.0 */
/* Event files: every field of every record, the file's name, a disk that is full for a while. */
#include "failing.h"
#include "format/format.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The one file in the folder; its bytes (free them). */
static char *only_file(const char *folder, char name[256], size_t *size)
{
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char **names;
    size_t count;
    assert_true(file_list(folder, arena, &names, &count, &status));
    assert_int_equal(count, 1);
    snprintf(name, 256, "%s", names[0]);
    char *data = scratch_read(path_join(arena, folder, names[0], &status), size);
    arena_free(arena);
    return data;
}

/* The field of that number in a message; fails the test when there is none. */
static struct wire_field find(struct slice message, uint32_t number)
{
    struct wire_field field;
    bool damaged;
    while (wire_next(&message, &field, &damaged)) {
        if (field.number == number)
            return field;
    }
    fail_msg("no field %u", (unsigned)number);
    return (struct wire_field){ 0 };
}

static double as_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void records(void **state)
{
    (void)state;
    pil_status status = { 0 };
    const char *folder = scratch_path("model/eval");
    struct event_writer *writer = event_writer_new(folder, NULL, 1700000000.5, &status);
    assert_non_null(writer);
    assert_true(event_session_start(writer, 1700000001, 0, &status));
    assert_true(event_scalar(writer, 1700000002, 100, "loss", 0.25f, &status));
    assert_true(event_text(writer, 1700000003, 100, "checkpoint_path", "model/model.ckpt-100", &status));
    assert_true(event_writer_close(writer, &status));
    assert_string_equal(status.message, "");

    char name[256];
    size_t size, offset = 0;
    char *data = only_file(folder, name, &size);
    assert_memory_equal(name, "events.out.tfevents.1700000000.", 31);
    struct slice file = slice_of(data, size), record, value;
    assert_true(record_next(file, &offset, &record, name, &status));
    assert_true(slice_is(find(record, 3).bytes, "brain.Event:2"));
    assert_true(as_double(find(record, 1).value) == 1700000000.5);

    assert_true(record_next(file, &offset, &record, name, &status));
    assert_int_equal(find(find(record, 7).bytes, 1).value, 1); /* START */

    assert_true(record_next(file, &offset, &record, name, &status));
    assert_int_equal(find(record, 2).value, 100);
    value = find(find(record, 5).bytes, 1).bytes;
    assert_true(slice_is(find(value, 1).bytes, "loss"));
    assert_int_equal(find(value, 2).value, 0x3E800000);

    assert_true(record_next(file, &offset, &record, name, &status));
    value = find(find(record, 5).bytes, 1).bytes;
    assert_true(slice_is(find(value, 1).bytes, "checkpoint_path"));
    assert_int_equal(find(find(value, 8).bytes, 1).value, DTYPE_STRING);
    assert_true(slice_is(find(find(value, 8).bytes, 8).bytes, "model/model.ckpt-100"));
    assert_true(slice_is(find(find(find(value, 9).bytes, 1).bytes, 1).bytes, "text"));

    assert_false(record_next(file, &offset, &record, name, &status));
    assert_string_equal(status.message, "");
    free(data);
}

/* Two writers in the same second have files of their own; a suffix stands at the end. */
static void names(void **state)
{
    (void)state;
    pil_status status = { 0 };
    const char *folder = scratch_path("names");
    struct event_writer *a = event_writer_new(folder, NULL, 5, &status), *b = event_writer_new(folder, "v2", 5, &status);
    assert_non_null(a);
    assert_non_null(b);
    assert_true(event_writer_close(a, &status) && event_writer_close(b, &status) && event_writer_close(NULL, &status));
    struct arena *arena = arena_new(&status);
    char **list;
    size_t count;
    assert_true(file_list(folder, arena, &list, &count, &status));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_memory_equal(list[i], "events.out.tfevents.0000000005.", 31);
    assert_true((strstr(list[0], ".v2") != NULL) != (strstr(list[1], ".v2") != NULL));
    arena_free(arena);
}

/* Each write fails once, after half of its bytes: the file then holds every record, none torn. */
static void full_disk(void **state)
{
    (void)state;
    char folder[32];
    int reached = 0;
    for (int n = 2; n < 7; n++) { /* 0: the file, 1: its version record */
        pil_status status = { 0 };
        snprintf(folder, sizeof folder, "full%d", n);
        assert_true(file_make_folder(scratch_path(folder), &status));
        broken_start(n, false);
        struct event_writer *writer = event_writer_new(scratch_path(folder), NULL, 1, &status);
        assert_non_null(writer);
        for (int64_t step = 1; step <= 3; step++) {
            event_scalar(writer, 1, step, "loss", 1.0f, &status);
            if (!event_flush(writer, &status)) {
                assert_int_equal(status.code, PIL_IO);
                assert_non_null(strstr(status.message, "events.out.tfevents."));
            }
        }
        status_clear(&status);
        if (!event_flush(writer, &status))
            assert_true(event_flush(writer, NULL));
        status_clear(&status);
        assert_true(event_writer_close(writer, &status));
        reached += broken_stop();

        char name[256];
        size_t size, offset = 0;
        char *data = only_file(scratch_path(folder), name, &size);
        struct slice record;
        int count = 0;
        while (record_next(slice_of(data, size), &offset, &record, name, &status))
            count++;
        assert_string_equal(status.message, "");
        assert_int_equal(count, 4);
        free(data);
    }
    assert_int_equal(reached, 3);
    for (int n = 0; n < 4; n++) { /* and the making of the folder */
        pil_status status = { 0 };
        snprintf(folder, sizeof folder, "none%d", n);
        broken_start(n, false);
        assert_null(event_writer_new(scratch_path(folder), NULL, 1, &status));
        assert_true(broken_stop());
        assert_int_equal(status.code, PIL_IO);
    }
}

static void out_of_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        struct event_writer *writer = event_writer_new(scratch_path("memory"), NULL, 1, &status);
        bool worked = writer != NULL && event_scalar(writer, 1, 1, "loss", 1, &status) &&
                      event_text(writer, 1, 1, "a", "b", &status) && event_session_start(writer, 1, 1, &status);
        event_writer_close(writer, NULL);
        long long live = failing_live;
        bool reached = failing_stop();
        assert_int_equal(live, 0);
        if (!reached) {
            assert_true(worked);
            break;
        }
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records),
        cmocka_unit_test(names),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("format/event", tests, scratch_set_up, scratch_tear_down);
}
