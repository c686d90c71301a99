/* SPDX-License-Identifier: Apache-2.0 */
/* Writing bundles: what TensorFlow wrote comes out byte for byte, nothing shows before the end, and whatever fails leaves no
 * half behind. */
#include "failing.h"
#include "format/format.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Copies all tensors of one bundle to another prefix. */
static bool write_again(const char *from, const char *to, pil_status *status)
{
    struct arena *arena = arena_new(status);
    struct bundle *bundle = bundle_open(from, status);
    struct bundle_writer *writer = bundle_writer_new(to, status);
    bool fine = bundle != NULL && writer != NULL;
    for (size_t i = 0; fine && i < bundle_count(bundle); i++) {
        const struct bundle_entry *entry = bundle_at(bundle, i);
        struct slice *items;
        if (entry->dtype == DTYPE_STRING) {
            fine = bundle_read_strings(bundle, entry, arena, &items, status) &&
                   bundle_strings(writer, entry->name, entry->shape, items, status);
            continue;
        }
        char *values = malloc((size_t)entry->bytes + 1);
        fine =
            bundle_read(bundle, entry, values, status) && bundle_begin(writer, entry->name, entry->dtype, entry->shape, status);
        for (int64_t at = 0; fine && at < entry->bytes; at += 100) /* in pieces */
            fine = bundle_data(writer, values + at, (size_t)MIN(100, entry->bytes - at), status);
        fine = fine && bundle_end(writer, status);
        free(values);
    }
    if (fine)
        fine = bundle_writer_finish(writer, status);
    else
        bundle_writer_abandon(writer);
    bundle_close(bundle);
    arena_free(arena);
    return fine;
}

/* The checkpoints of the twins, step 0 and last: read, written again, the same bytes in both files. */
static void twins_byte_for_byte(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char **paths;
    size_t count;
    assert_true(file_glob("tests/golden/twin/*/step*/model.ckpt-*.index", arena, &paths, &count, &status));
    assert_true(count >= 9);
    for (size_t i = 0; i < count; i++) {
        char prefix[512], data[600];
        snprintf(prefix, sizeof prefix, "%.*s", (int)(strlen(paths[i]) - strlen(".index")), paths[i]);
        assert_true(write_again(prefix, scratch_path("again"), &status));
        assert_string_equal(status.message, "");
        scratch_expect_same(paths[i], scratch_path("again.index"));
        snprintf(data, sizeof data, "%s.data-00000-of-00001", prefix);
        scratch_expect_same(data, scratch_path("again.data-00000-of-00001"));
    }
    arena_free(arena);
}

/* Every type, empty tensors, scalars, strings; two blocks of index. (complex64 cannot be written.) */
static void made_bundles_byte_for_byte(void **state)
{
    (void)state;
    pil_status status = { 0 };
    const char *many = "../shared/conformance/tf_checkpoints/tf_made_bundles/many4000";
    if (!file_exists("../shared/conformance/tf_checkpoints")) {
        print_message("# ../shared/conformance is absent\n");
        skip();
    }
    assert_true(write_again(many, scratch_path("again"), &status));
    scratch_expect_same("../shared/conformance/tf_checkpoints/tf_made_bundles/many4000.index", scratch_path("again.index"));
    scratch_expect_same("../shared/conformance/tf_checkpoints/tf_made_bundles/many4000.data-00000-of-00001",
                        scratch_path("again.data-00000-of-00001"));
    assert_false(write_again("../shared/conformance/tf_checkpoints/tf_made_bundles/dtypes", scratch_path("dtypes"), &status));
    assert_non_null(strstr(status.message, "'dtype/c64' cannot be saved"));
    assert_false(file_exists(scratch_path("dtypes.index")));
}

static void there_and_back(void **state)
{
    (void)state;
    pil_status status = { 0 };
    static const uint16_t halves[4] = { 1, 2, 3, 65535 };
    char long_text[300];
    memset(long_text, 'x', sizeof long_text);
    struct slice words[4] = { slice_text("one"), slice_text(""), slice_of(long_text, sizeof long_text), slice_of("a\0b", 3) };
    struct bundle_writer *writer = bundle_writer_new(scratch_path("back"), &status);
    assert_true(bundle_begin(writer, "bf16", DTYPE_BFLOAT16, SHAPE(2, 1, 2), &status));
    assert_true(bundle_data(writer, halves, sizeof halves, &status) && bundle_end(writer, &status));
    assert_true(bundle_begin(writer, "empty", DTYPE_FLOAT32, SHAPE(0, 3), &status) && bundle_end(writer, &status));
    assert_true(bundle_strings(writer, "no_words", SHAPE(0), NULL, &status));
    assert_true(bundle_strings(writer, "words", SHAPE(2, 2), words, &status));
    assert_false(file_exists(scratch_path("back.index")));
    assert_false(file_exists(scratch_path("back.data-00000-of-00001")));
    assert_true(bundle_writer_finish(writer, &status));

    struct bundle *bundle = bundle_open(scratch_path("back"), &status);
    assert_string_equal(status.message, "");
    assert_int_equal(bundle_count(bundle), 4);
    assert_true(bundle_verify(bundle, &status));
    uint16_t read[4];
    assert_true(shape_equal(bundle_at(bundle, 0)->shape, SHAPE(2, 1, 2)));
    assert_true(bundle_read(bundle, bundle_at(bundle, 0), read, &status));
    assert_memory_equal(read, halves, sizeof halves);
    assert_true(shape_equal(bundle_at(bundle, 1)->shape, SHAPE(0, 3)));
    assert_true(bundle_read(bundle, bundle_at(bundle, 1), NULL, &status));
    struct arena *arena = arena_new(&status);
    struct slice *items;
    assert_true(bundle_read_strings(bundle, bundle_find(bundle, "no_words"), arena, &items, &status));
    assert_true(bundle_read_strings(bundle, bundle_find(bundle, "words"), arena, &items, &status));
    for (int i = 0; i < 4; i++)
        assert_true(slice_equal(items[i], words[i]));
    arena_free(arena);
    bundle_close(bundle);
}

/* The caller's mistakes. Each leaves nothing on the disk. */
static void misuse(void **state)
{
    (void)state;
    static const char *const messages[] = { "'w' has 12 bytes, 8 were written",
                                            "'b' is begun before 'w' has ended",
                                            "'a' comes after 'w'",
                                            "begun and not ended",
                                            "cannot be saved",
                                            "not begun" };
    static const float values[3] = { 1, 2, 3 };
    for (int mistake = 0; mistake < 6; mistake++) {
        pil_status status = { 0 };
        struct bundle_writer *writer = bundle_writer_new(scratch_path("misuse"), &status);
        bool fine = mistake == 5 || bundle_begin(writer, mistake == 4 ? "" : "w", DTYPE_FLOAT32, SHAPE(3), &status);
        fine = fine && (mistake == 5 || bundle_data(writer, values, mistake == 0 ? 8 : 12, &status));
        if (fine && mistake == 1)
            fine = bundle_begin(writer, "b", DTYPE_FLOAT32, SHAPE(3), &status);
        if (fine && mistake != 3)
            fine = bundle_end(writer, &status);
        if (fine && mistake == 2)
            fine = bundle_begin(writer, "a", DTYPE_FLOAT32, SHAPE(0), &status) && bundle_end(writer, &status);
        if (fine)
            fine = bundle_writer_finish(writer, &status);
        else
            bundle_writer_abandon(writer);
        assert_false(fine);
        assert_int_equal(status.code, PIL_INTERNAL);
        assert_non_null(strstr(status.message, messages[mistake]));
        assert_false(file_exists(scratch_path("misuse.index")));
    }
}

static bool write_one(const char *prefix, pil_status *status)
{
    static const float values[3] = { 1, 2, 3 };
    struct slice words[2] = { slice_text("a"), slice_text("b") };
    struct bundle_writer *writer = bundle_writer_new(prefix, status);
    if (writer != NULL && bundle_begin(writer, "w", DTYPE_FLOAT32, SHAPE(3), status) &&
        bundle_data(writer, values, sizeof values, status) && bundle_end(writer, status) &&
        bundle_strings(writer, "words", SHAPE(2), words, status))
        return bundle_writer_finish(writer, status);
    bundle_writer_abandon(writer);
    return false;
}

/* Each call of the disk fails once, and then once with all that follow. After a single failure nothing is left; after a cut
 * at most temporary files and data that no index names. */
static void broken_disk(void **state)
{
    (void)state;
    for (int lasting = 0; lasting < 2; lasting++) {
        for (int n = 0;; n++) {
            pil_status status = { 0 };
            char folder[32], prefix[300];
            snprintf(folder, sizeof folder, "broken%d-%d", lasting, n);
            snprintf(prefix, sizeof prefix, "%s/model.ckpt-1", scratch_path(folder));
            assert_true(file_make_folder(scratch_path(folder), &status));
            broken_start(n, lasting != 0);
            bool worked = write_one(prefix, &status);
            bool reached = broken_stop();
            assert_int_equal(worked, !reached);
            if (!reached)
                break;
            assert_int_equal(status.code, PIL_IO);
            struct arena *arena = arena_new(&status);
            char **names;
            size_t count;
            assert_true(file_list(scratch_path(folder), arena, &names, &count, NULL));
            if (!lasting)
                assert_int_equal(count, 0);
            struct bundle *bundle = bundle_open(prefix, NULL);
            for (size_t i = 0; i < count; i++) /* an index that is there is whole, and so are its data */
                assert_true(strcmp(names[i], "model.ckpt-1.index") != 0 || bundle != NULL);
            assert_true(bundle == NULL || bundle_verify(bundle, NULL));
            bundle_close(bundle);
            arena_free(arena);
        }
    }
}

static void out_of_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        bool worked = write_one(scratch_path("memory"), &status);
        long long live = failing_live;
        bool reached = failing_stop();
        assert_int_equal(live, 0);
        if (!reached) {
            assert_true(worked);
            break;
        }
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
        assert_false(file_exists(scratch_path("memory.index")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twins_byte_for_byte), cmocka_unit_test(made_bundles_byte_for_byte),
        cmocka_unit_test(there_and_back),      cmocka_unit_test(misuse),
        cmocka_unit_test(broken_disk),         cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("format/bundle_write", tests, scratch_set_up, scratch_tear_down);
}
