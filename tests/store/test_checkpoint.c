/* SPDX-License-Identifier: Apache-2.0 */
/* Saving: what is on the disk is the store; how many are kept; and whatever fails or is cut off, the newest named checkpoint is
 * whole and is the old one or the new one. */
#include "failing.h"
#include "model.h"
#include "scratch.h"
#include "store/internal.h"

#include <sys/wait.h>

static const struct checkpoint_restore_options all = { .slots = true };

static struct store *filled(int64_t from)
{
    pil_status status = { 0 };
    struct store *store = model_new(6, &status);
    assert_non_null(store);
    model_fill(store, from);
    return store;
}

/* The value of model_fill in the newest checkpoint, which must be whole and restore; -1 without any. */
static int64_t newest(const char *folder)
{
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    int64_t from = -1;
    const char *prefix = checkpoint_latest(folder, arena, &status);
    assert_string_equal(status.message, "");
    if (prefix != NULL) {
        struct store *store = model_new(6, &status);
        assert_true(checkpoint_restore(store, prefix, &all, &status));
        from = *store_int64(store, "global_step");
        struct store *expected = filled(from);
        assert_true(model_same(store, expected, true));
        store_free(expected);
        store_free(store);
    }
    arena_free(arena);
    return from;
}

/* Names of the files, joined by spaces. */
static const char *listing(const char *folder)
{
    static char joined[2048];
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char **names;
    size_t count;
    joined[0] = '\0';
    assert_true(file_list(folder, arena, &names, &count, &status));
    for (size_t i = 0; i < count; i++) {
        strcat(joined, i > 0 ? " " : "");
        strcat(joined, names[i]);
    }
    arena_free(arena);
    return joined;
}

static void there_and_back(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *store = filled(30), *back = model_new(6, &status);
    const char *folder = scratch_path("new/model");
    struct checkpoint_extra extras[] = { { "pilaster/cursor", "epoch\0one", 9 }, { "pilaster/another", "", 0 } };
    assert_true(checkpoint_save(store, folder, 30, &(struct checkpoint_keep){ .newest = 5 }, extras, 2, &status));
    assert_string_equal(listing(folder), "checkpoint model.ckpt-30.data-00000-of-00001 model.ckpt-30.index");
    char prefix[600];
    snprintf(prefix, sizeof prefix, "%s/model.ckpt-30", folder);
    assert_true(checkpoint_restore(back, prefix, &all, &status));
    assert_true(model_same(store, back, true));

    struct bundle *bundle = bundle_open(prefix, &status);
    assert_int_equal(bundle_count(bundle), 7 + 3 * 2 + 2);
    assert_true(bundle_verify(bundle, &status));
    const struct bundle_entry *entry = bundle_find(bundle, "training/Ftrl/linear/table/linear");
    assert_non_null(entry);
    assert_true(shape_equal(entry->shape, SHAPE(33, 5)));
    bundle_close(bundle);

    struct arena *arena = arena_new(&status);
    struct slice extra = { 0 };
    assert_true(checkpoint_extra(prefix, "pilaster/cursor", arena, &extra, &status));
    assert_int_equal(extra.size, 9);
    assert_memory_equal(extra.data, "epoch\0one", 9);
    assert_true(checkpoint_extra(prefix, "pilaster/another", arena, &extra, &status));
    assert_int_equal(extra.size, 0);
    assert_false(checkpoint_extra(prefix, "pilaster/none", arena, &extra, &status));
    assert_true(status_ok(&status));
    assert_false(checkpoint_extra(prefix, "dnn/average", arena, &extra, &status));
    assert_int_equal(status.code, PIL_BAD_DATA);
    arena_free(arena);
    store_free(store);
    store_free(back);
}

/* Saves without waiting for the disk. */
static bool save(const struct store *store, const char *folder, int64_t step, int64_t keep, pil_status *status)
{
    broken_start(-1, false);
    bool fine = checkpoint_save(store, folder, step, &(struct checkpoint_keep){ .newest = keep }, NULL, 0, status);
    broken_stop();
    return fine;
}

/* Besides the newest two, one in so many hours stays: with hours of no length all do, with long ones none. */
static void some_stay_for_good(void **state)
{
    (void)state;
    static const struct {
        double hours;
        int there;
    } cases[] = { { 1e-9, 5 }, { 10000, 2 }, { 0, 2 } };
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        pil_status status = { 0 };
        struct store *store = filled(1);
        struct checkpoint_keep keep = { .newest = 2, .every_n_hours = cases[c].hours, .next = cases[c].hours > 1 ? 4e9 : 0 };
        char folder[32];
        snprintf(folder, sizeof folder, "kept-%zu", c);
        for (int64_t step = 0; step < 5; step++)
            assert_true(checkpoint_save(store, scratch_path(folder), step, &keep, NULL, 0, &status));
        int there = 0;
        for (int step = 0; step < 5; step++) {
            char name[64];
            snprintf(name, sizeof name, "%s/model.ckpt-%d.index", folder, step);
            there += file_exists(scratch_path(name));
        }
        assert_int_equal(there, cases[c].there);
        struct arena *arena = arena_new(&status);
        char **prefixes;
        size_t count;
        assert_true(checkpoint_list(scratch_path(folder), arena, &prefixes, &count, &status));
        assert_int_equal(count, 2); /* those that stay for good are named no longer */
        arena_free(arena);
        store_free(store);
    }
}

/* Tensors of more than one piece: rows narrower and wider than a block, packed ones. */
static void large_tensors(void **state)
{
    (void)state;
    pil_status status = { 0 };
    static const struct {
        struct shape shape;
        enum store_layout layout;
    } cases[] = { { SHAPE(90000, 17), STORE_DENSE },
                  { SHAPE(2, 1100001), STORE_DENSE },
                  { SHAPE(1500000), STORE_DENSE },
                  { SHAPE(400000, 3), STORE_TABLE } };
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        struct store *stores[2];
        for (int i = 0; i < 2; i++) {
            stores[i] = store_new(&status);
            struct variable *variable = store_declare(stores[i], "w", DTYPE_FLOAT32, cases[c].shape, cases[c].layout, &status);
            variable->initializer = (pil_initializer){ PIL_INITIALIZER_UNIFORM, -1, 1 };
            assert_true(store_allocate(stores[i], &status));
        }
        assert_true(store_initialize(stores[0], 1, NULL, &status));
        assert_true(save(stores[0], scratch_path("large"), (int64_t)c, 1, &status));
        char name[64];
        snprintf(name, sizeof name, "large/model.ckpt-%zu", c);
        assert_true(checkpoint_restore(stores[1], scratch_path(name), &(struct checkpoint_restore_options){ 0 }, &status));
        assert_true(model_same(stores[0], stores[1], true));
        store_free(stores[0]);
        store_free(stores[1]);
    }
}

static void kept(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *store = filled(1);
    const char *folder = scratch_path("kept");
    for (int64_t step = 1; step <= 5; step++)
        assert_true(save(store, folder, step, step < 4 ? 0 : 2, &status));
    assert_string_equal(listing(folder), "checkpoint model.ckpt-4.data-00000-of-00001 model.ckpt-4.index "
                                         "model.ckpt-5.data-00000-of-00001 model.ckpt-5.index");
    size_t size;
    char *content = scratch_read(scratch_path("kept/checkpoint"), &size);
    assert_string_equal(content, "model_checkpoint_path: \"model.ckpt-5\"\nall_model_checkpoint_paths: \"model.ckpt-4\"\n"
                                 "all_model_checkpoint_paths: \"model.ckpt-5\"\n");
    free(content);
    /* A step that is named already: it becomes the newest. What a killed run left goes away; other files stay. */
    scratch_write(scratch_path("kept/model.ckpt-9.index.tmp-1"), "", 0);
    scratch_write(scratch_path("kept/checkpoint.tmp-1"), "", 0);
    scratch_write(scratch_path("kept/notes.tmp-1"), "", 0);
    assert_true(save(store, folder, 4, 2, &status));
    assert_string_equal(listing(folder), "checkpoint model.ckpt-4.data-00000-of-00001 model.ckpt-4.index "
                                         "model.ckpt-5.data-00000-of-00001 model.ckpt-5.index notes.tmp-1");
    content = scratch_read(scratch_path("kept/checkpoint"), &size);
    assert_memory_equal(content, "model_checkpoint_path: \"model.ckpt-4\"\n", 38);
    free(content);
    assert_int_equal(newest(folder), 1);
    /* Names from elsewhere stay named and are not removed; names of what is gone go. */
    assert_true(save(store, scratch_path("else"), 7, 2, &status));
    char text[1200];
    snprintf(text, sizeof text,
             "all_model_checkpoint_paths: \"gone\" all_model_checkpoint_paths: \"%s\" all_model_checkpoint_paths: \"%s\"",
             scratch_path("else/model.ckpt-7"), scratch_path("kept/model.ckpt-5"));
    scratch_write(scratch_path("kept/checkpoint"), text, strlen(text));
    assert_true(save(store, folder, 6, 2, &status));
    content = scratch_read(scratch_path("kept/checkpoint"), &size);
    assert_string_equal(content, "model_checkpoint_path: \"model.ckpt-6\"\nall_model_checkpoint_paths: \"model.ckpt-5\"\n"
                                 "all_model_checkpoint_paths: \"model.ckpt-6\"\n");
    free(content);
    assert_true(file_exists(scratch_path("else/model.ckpt-7.index")));
    store_free(store);
}

/* Each call of the disk fails once, then once with all that follow (the power goes). Saved over: an older step, and the very
 * step that is the newest. */
static void broken_disk(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *old = filled(10), *fresh = filled(20);
    for (int lasting = 0; lasting < 2; lasting++) {
        for (int same = 0; same < 2; same++) {
            int64_t step = same ? 10 : 20;
            for (int n = 0;; n++) {
                char name[64];
                snprintf(name, sizeof name, "broken%d%d-%d", lasting, same, n);
                const char *folder = scratch_path(name);
                assert_true(save(old, folder, 5, 2, &status) && save(old, folder, 10, 2, &status));
                pil_status error = { 0 };
                broken_start(n, lasting != 0);
                bool worked = checkpoint_save(fresh, folder, step, &(struct checkpoint_keep){ .newest = 2 }, NULL, 0, &error);
                bool reached = broken_stop();
                int64_t now = newest(folder);
                if (!reached) {
                    assert_true(worked && now == 20);
                    break;
                }
                assert_true(worked ? now == 20 : now == 10 || now == 20);
                if (!worked)
                    assert_int_equal(error.code, PIL_IO);
                /* The next save puts everything in order. */
                assert_true(save(fresh, folder, step, 2, &status));
                assert_int_equal(newest(folder), 20);
                assert_null(strstr(listing(folder), ".tmp-"));
                assert_null(strstr(listing(folder), ".again"));
            }
        }
    }
    store_free(old);
    store_free(fresh);
}

static void out_of_memory(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *old = filled(10), *fresh = filled(20);
    assert_true(checkpoint_save(old, scratch_path("memory"), 10, &(struct checkpoint_keep){ .newest = 2 }, NULL, 0, &status));
    for (int64_t n = 0;; n++) {
        pil_status error = { 0 };
        failing_start(n, false);
        bool worked =
            checkpoint_save(fresh, scratch_path("memory"), 10, &(struct checkpoint_keep){ .newest = 2 }, NULL, 0, &error);
        long long live = failing_live;
        bool reached = failing_stop();
        assert_int_equal(live, 0);
        int64_t now = newest(scratch_path("memory"));
        if (!reached) {
            assert_true(worked && now == 20);
            break;
        }
        assert_true(worked ? now == 20 : error.code == PIL_NO_MEMORY && (now == 10 || now == 20));
    }
    store_free(old);
    store_free(fresh);
}

static void names_may_not_repeat(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *store = filled(1);
    struct checkpoint_extra extra = { "dnn/average", "", 0 };
    assert_false(checkpoint_save(store, scratch_path("twice"), 1, &(struct checkpoint_keep){ .newest = 2 }, &extra, 1, &status));
    assert_int_equal(status.code, PIL_INTERNAL);
    assert_int_equal(newest(scratch_path("twice")), -1);
    store_free(store);
}

static void lock(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct file_lock *first = checkpoint_lock(scratch_path("locked"), &status);
    assert_non_null(first);
    pid_t child = fork();
    if (child == 0) {
        struct file_lock *second = checkpoint_lock(scratch_path("locked"), &status);
        bool right = second == NULL && status.code == PIL_BUSY &&
                     strstr(status.message, "another training runs in this folder") != NULL &&
                     strstr(status.message, scratch_path("locked")) != NULL;
        _exit(right ? 0 : 1);
    }
    int result = -1;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    file_lock_free(first);
    first = checkpoint_lock(scratch_path("locked"), &status);
    assert_non_null(first);
    file_lock_free(first);
    scratch_write(scratch_path("file"), "", 0);
    assert_null(checkpoint_lock(scratch_path("file"), &status));
    assert_int_equal(status.code, PIL_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),       cmocka_unit_test(some_stay_for_good),
        cmocka_unit_test(large_tensors),        cmocka_unit_test(kept),
        cmocka_unit_test(broken_disk),          cmocka_unit_test(out_of_memory),
        cmocka_unit_test(names_may_not_repeat), cmocka_unit_test(lock),
    };
    return cmocka_run_group_tests_name("store/checkpoint", tests, scratch_set_up, scratch_tear_down);
}
