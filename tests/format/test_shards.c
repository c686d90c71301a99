/* SPDX-License-Identifier: Apache-2.0 */
/* Values out of a checkpoint's data files: in pieces, into any strides, and while somebody cuts the files off. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing.h"
#include "format/internal.h"
#include "kernel/kernel.h"
#include "scratch.h"

/* Rows of three floats: a piece of 256 KB ends in the middle of a row. */
enum { ROWS = 70001, SHARDS = 3, VALUES = 3 * ROWS };
static float values[VALUES];
static const char *prefix;

static int enter(void **unused)
{
    (void)unused;
    scratch_make();
    prefix = scratch_path("model.ckpt-1");
    for (int i = 0; i < VALUES; i++)
        values[i] = (float)i;
    return 0;
}

static int leave(void **unused)
{
    (void)unused;
    scratch_remove();
    return 0;
}

/* Shard k: 100 * k bytes of something else, then the values times k + 1. */
static const char *write_shard(int number)
{
    char name[64];
    snprintf(name, sizeof name, "model.ckpt-1.data-%05d-of-%05d", number, SHARDS);
    const char *path = scratch_path(name);
    size_t before = 100 * (size_t)number;
    char *bytes = calloc(before + sizeof values, 1);
    assert_non_null(bytes);
    for (int i = 0; i < VALUES; i++) {
        float value = values[i] * (float)(number + 1);
        memcpy(bytes + before + sizeof value * (size_t)i, &value, sizeof value);
    }
    scratch_write(path, bytes, before + sizeof values);
    free(bytes);
    return path;
}

static struct bundle_entry entry_of(int number)
{
    struct bundle_entry entry = { .name = "table",
                                  .dtype = DTYPE_FLOAT32,
                                  .shape = SHAPE(ROWS, 3),
                                  .bytes = sizeof values,
                                  .shard = number,
                                  .offset = 100 * number };
    uint32_t crc = 0;
    for (int i = 0; i < VALUES; i++) {
        float value = values[i] * (float)(number + 1);
        crc = crc32c(crc, &value, sizeof value);
    }
    entry.crc = crc32c_mask(crc);
    return entry;
}

static struct shards *new_shards(void)
{
    pil_status status = { 0 };
    struct shards *shards = shards_new(prefix, SHARDS, &status);
    assert_non_null(shards);
    return shards;
}

static void check_tensor(const struct tensor *tensor, int number)
{
    for (int64_t i = 0; i < VALUES; i++)
        assert_true(tensor_floats(tensor)[i / 3 * tensor->ld + i % 3] == values[i] * (float)(number + 1));
}

/* Every shard, in an order in which each is opened twice; into rows with pads and without. */
static void into_any_strides(void **unused)
{
    (void)unused;
    static const int order[] = { 0, 2, 1, 0, 2, 1 };
    pil_status status = { 0 };
    struct tensor padded, packed;
    assert_true(tensor_new(&padded, DTYPE_FLOAT32, SHAPE(ROWS, 3), false, &status));
    assert_int_equal(padded.ld, 16);
    for (int number = 0; number < SHARDS; number++)
        write_shard(number);
    struct shards *shards = new_shards();
    packed = padded;
    packed.ld = packed.cols;
    packed.data = malloc(sizeof values);
    assert_non_null(packed.data);
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        const struct bundle_entry entry = entry_of(order[i]);
        memset(packed.data, 0, sizeof values);
        assert_true(shards_read_tensor(shards, &entry, &padded, &status));
        check_tensor(&padded, order[i]);
        assert_true(shards_read_tensor(shards, &entry, &packed, &status));
        check_tensor(&packed, order[i]);
        memset(packed.data, 0, sizeof values);
        assert_true(shards_read(shards, &entry, packed.data, &status));
        check_tensor(&packed, order[i]);
        assert_true(shards_check(shards, &entry, &status));
        for (int k = 3; k < 16; k++) /* pads stay what they are */
            assert_true(tensor_floats(&padded)[padded.ld * (ROWS - 1) + k] == 0);
    }
    free(packed.data);
    tensor_free(&padded);
    shards_free(shards);
}

/* A million bytes need a piece of memory, and the second million nothing more. */
static void memory_is_bounded(void **unused)
{
    (void)unused;
    pil_status status = { 0 };
    struct tensor padded;
    assert_true(tensor_new(&padded, DTYPE_FLOAT32, SHAPE(ROWS, 3), false, &status));
    write_shard(1);
    struct bundle_entry entry = entry_of(1);
    struct shards *shards = new_shards();
    uint64_t before = mem_allocations();
    assert_true(shards_read_tensor(shards, &entry, &padded, &status));
    uint64_t first = mem_allocations() - before;
    assert_in_range(first, 1, 3); /* the piece, and the path's text */
    assert_true(shards_check(shards, &entry, &status));
    assert_true(shards_read_tensor(shards, &entry, &padded, &status));
    assert_int_equal(mem_allocations() - before, first);
    tensor_free(&padded);
    shards_free(shards);
}

static void expect_error(bool worked, pil_code code, const char *text, pil_status *status)
{
    assert_false(worked);
    assert_int_equal(status->code, code);
    if (strstr(status->message, text) == NULL || strstr(status->message, "model.ckpt-1.data-00000-of-00003") == NULL)
        fail_msg("'%s' does not say '%s'", status->message, text);
    status_clear(status);
}

/* Before the file is opened, and between that and the reading: in the first piece and in a later one. */
static void cut_off(void **unused)
{
    (void)unused;
    static float out[VALUES];
    struct bundle_entry entry = entry_of(0);
    pil_status status = { 0 };
    const char *path = write_shard(0);
    assert_int_equal(truncate(path, sizeof values - 1), 0);
    struct shards *shards = new_shards();
    expect_error(shards_read(shards, &entry, out, &status), PIL_BAD_DATA, "cut off: 'table' ends at byte 840012", &status);
    shards_free(shards);
    static const off_t sizes[] = { 0, 1000, sizeof values - 1 };
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        write_shard(0);
        shards = new_shards();
        assert_true(shards_place(shards, &entry, &status)); /* opens it */
        assert_int_equal(truncate(path, sizes[i]), 0);
        expect_error(shards_read(shards, &entry, out, &status), PIL_BAD_DATA, "changed while it was read", &status);
        expect_error(shards_check(shards, &entry, &status), PIL_BAD_DATA, "changed while it was read", &status);
        shards_free(shards);
    }
}

static void damaged_or_absent(void **unused)
{
    (void)unused;
    static float out[VALUES];
    struct bundle_entry entry = entry_of(0);
    pil_status status = { 0 };
    struct shards *shards = new_shards();
    expect_error(shards_read(shards, &entry, out, &status), PIL_NOT_FOUND, "cannot open", &status);
    const char *path = write_shard(0);
    assert_true(shards_check(shards, &entry, &status)); /* there now */
    for (int i = 0; i < 3; i++) {
        write_shard(0);
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        fseek(file, i * (long)(sizeof values - 1) / 2, SEEK_SET);
        fputc('x', file);
        fclose(file);
        expect_error(shards_check(shards, &entry, &status), PIL_BAD_DATA, "damaged (checksum)", &status);
        expect_error(shards_read(shards, &entry, out, &status), PIL_BAD_DATA, "damaged (checksum)", &status);
    }
    shards_free(shards);
}

static void memory_runs_out(void **unused)
{
    (void)unused;
    write_shard(1);
    struct bundle_entry entry = entry_of(1);
    struct tensor padded;
    assert_true(tensor_new(&padded, DTYPE_FLOAT32, SHAPE(ROWS, 3), false, NULL));
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        struct shards *shards = shards_new(prefix, SHARDS, &status);
        bool worked = shards != NULL && shards_read_tensor(shards, &entry, &padded, &status);
        shards_free(shards);
        long long live = failing_live;
        bool reached = failing_stop();
        assert_int_equal(live, 0);
        if (!reached) {
            assert_true(worked && n > 4);
            break;
        }
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
    tensor_free(&padded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(into_any_strides, enter, leave),
        cmocka_unit_test_setup_teardown(memory_is_bounded, enter, leave),
        cmocka_unit_test_setup_teardown(cut_off, enter, leave),
        cmocka_unit_test_setup_teardown(damaged_or_absent, enter, leave),
        cmocka_unit_test_setup_teardown(memory_runs_out, enter, leave),
    };
    return cmocka_run_group_tests_name("format/shards", tests, NULL, NULL);
}
