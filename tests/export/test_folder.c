/* SPDX-License-Identifier: Apache-2.0 */
/* A version has its name when all of it is there; failing disks and dead writers leave nothing that looks like one. */
#include "failing.h"
#include "exports.h"

#include <ctype.h>

static size_t list_of(const char *folder, char names[][64], size_t limit)
{
    struct arena *arena = arena_new(&(pil_status){ 0 });
    char **found;
    size_t count = 0, kept = 0;
    assert_true(file_list(folder, arena, &found, &count, &(pil_status){ 0 }));
    for (size_t i = 0; i < count; i++)
        if (found[i][0] != '.' && kept < limit)
            snprintf(names[kept++], 64, "%s", found[i]);
    arena_free(arena);
    return kept;
}

static void test_what_lies_where(void **state)
{
    struct hand hand = hand_wide_deep();
    pil_status status = { 0 };
    (void)state;
    hand.request.model_yaml = "estimator: mine\n";
    const char *path = hand_export(&hand, "layout");
    char file[600];
    static const char *const files[] = { "variables/variables.index",        "variables/variables.data-00000-of-00001",
                                         "assets/tags_vocabulary.txt",       "assets.extra/pilaster/predict.graph",
                                         "assets.extra/pilaster/model.yaml", "assets.extra/pilaster/MANIFEST" };
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        snprintf(file, sizeof file, "%s/%s", path, files[i]);
        if (!file_is_regular(file))
            fail_msg("there is no %s", file);
    }
    const char *base = path_base(path);
    assert_int_equal(strlen(base), 10);
    for (size_t i = 0; i < 10; i++)
        assert_true(isdigit((unsigned char)base[i]));
    char names[8][64];
    assert_int_equal(list_of(scratch_path("layout"), names, 8), 1); /* no temporary folder is left */

    /* The bundle holds what the graph reads, without slots, each value as in the store. */
    snprintf(file, sizeof file, "%s/variables/variables", path);
    struct bundle *bundle = bundle_open(file, &status);
    assert_ok(status);
    assert_true(bundle_verify(bundle, &status));
    assert_null(bundle_find(bundle, "unused"));
    assert_null(bundle_find(bundle, "dnn/logits/kernel/Adagrad"));
    const struct bundle_entry *entry =
        bundle_find(bundle, "dnn/input_from_feature_columns/input_layer/carrier_embedding/embedding_weights");
    assert_non_null(entry);
    float values[40 * 5];
    assert_true(bundle_read(bundle, entry, values, &status));
    const struct tensor *own = &store_find(hand.store, entry->name)->value;
    for (int64_t r = 0; r < 40; r++)
        assert_memory_equal(values + 5 * r, tensor_floats(own) + r * own->ld, 5 * sizeof(float));
    bundle_close(bundle);
    hand_free(&hand);
}

static void test_next_second(void **state)
{
    struct hand hand = hand_window(NULL);
    char names[16][64];
    (void)state;
    for (int i = 0; i < 4; i++)
        hand_export(&hand, "seconds");
    assert_int_equal(list_of(scratch_path("seconds"), names, 16), 4);
    for (int i = 1; i < 4; i++)
        assert_true(strcmp(names[i - 1], names[i]) < 0);

    /* A name that is free again is not taken in front of newer ones. */
    char gap[96];
    snprintf(gap, sizeof gap, "seconds/%s", names[0]);
    assert_true(file_remove_folder(scratch_path(gap), &hand.status));
    char last[64];
    snprintf(last, sizeof last, "%s", names[3]);
    hand_export(&hand, "seconds");
    assert_int_equal(list_of(scratch_path("seconds"), names, 16), 4);
    assert_true(strcmp(last, names[3]) < 0);

    /* An hour ahead of the clock is enough. */
    struct text text = { 0 };
    for (int i = 3590; i < 3630; i++) {
        char name[64];
        snprintf(name, sizeof name, "full/%lld", (long long)time(NULL) + i);
        file_make_folder(scratch_path(name), &hand.status);
    }
    assert_false(export_write(&hand.request, scratch_path("full"), &text, &hand.status));
    assert_int_equal(hand.status.code, PIL_BUSY);
    assert_says(hand.status, "have exports already");
    text_free(&text);
    hand_free(&hand);
}

static void test_keep(void **state)
{
    struct hand hand = hand_window(NULL);
    pil_status status = { 0 };
    char names[16][64], first[64];
    (void)state;
    for (int i = 0; i < 4; i++)
        hand_export(&hand, "keep");
    list_of(scratch_path("keep"), names, 16);
    snprintf(first, sizeof first, "%s", names[1]);
    file_make_folder(scratch_path("keep/0000000001"), &status); /* no export of ours */
    file_make_folder(scratch_path("keep/123"), &status);        /* nor of anybody */
    file_make_folder(scratch_path("keep/temp-5"), &status);     /* a dead writer's */
    file_make_folder(scratch_path("keep/temp-7/assets.extra/pilaster"), &status);
    file_make_folder(scratch_path("keep/temp-6/assets.extra"), &status); /* died between the two */
    file_make_folder(scratch_path("keep/temp-8/other"), &status);        /* somebody else's */
    file_make_folder(scratch_path("keep/temp-80/assets.extra/other"), &status);
    file_make_folder(scratch_path("keep/temp-81/variables"), &status); /* TensorFlow, at work */
    scratch_write(scratch_path("keep/temp-9"), "x", 1);
    assert_true(export_keep(scratch_path("keep"), 3, &status));
    assert_int_equal(list_of(scratch_path("keep"), names, 16), 9);
    assert_string_equal(names[0], "0000000001");
    assert_string_equal(names[1], "123");
    assert_string_equal(names[2], first);
    assert_string_equal(names[5], "temp-8");
    assert_string_equal(names[6], "temp-80");
    assert_string_equal(names[7], "temp-81");
    assert_true(export_keep(scratch_path("keep"), 0, &status)); /* all stay */
    assert_int_equal(list_of(scratch_path("keep"), names, 16), 9);
    assert_true(export_keep(scratch_path("keep"), 1, &status));
    assert_int_equal(list_of(scratch_path("keep"), names, 16), 7);
    assert_true(export_keep(scratch_path("nowhere"), 1, &status));
    assert_ok(status);
    hand_free(&hand);
}

static void test_one_writer_at_a_time(void **state)
{
    struct hand hand = hand_window(NULL);
    struct text text = { 0 };
    pil_status status = { 0 };
    (void)state;
    file_make_folder(scratch_path("busy/temp-1/assets.extra/pilaster"), &status);
    struct file_lock *lock = file_lock_new(scratch_path("busy/.pilaster.lock"), &status);
    assert_non_null(lock);
    assert_false(export_write(&hand.request, scratch_path("busy"), &text, &status));
    assert_int_equal(status.code, PIL_BUSY);
    status = (pil_status){ 0 };
    assert_false(export_keep(scratch_path("busy"), 1, &status));
    assert_int_equal(status.code, PIL_BUSY);
    assert_true(file_is_folder(scratch_path("busy/temp-1"))); /* it is the other's */
    file_lock_free(lock);
    hand_export(&hand, "busy");
    assert_false(file_is_folder(scratch_path("busy/temp-1")));
    text_free(&text);
    hand_free(&hand);
}

/* Whatever call of the disk fails, once or for good: no version appears that is not whole, and the next export works. */
static void test_broken_disk(void **state)
{
    struct hand hand = hand_window(NULL);
    (void)state;
    for (int lasting = 0; lasting < 2; lasting++)
        for (int n = 0;; n++) {
            struct text text = { 0 };
            pil_status status = { 0 };
            struct arena *arena = arena_new(&status);
            broken_start(n, lasting);
            bool worked = export_write(&hand.request, scratch_path("broken"), &text, &status);
            bool reached = broken_stop();
            assert_int_equal(worked, status_ok(&status));
            char *found = export_find(scratch_path("broken"), arena, &(pil_status){ 0 });
            if (found) { /* the last sync may have failed behind the rename */
                pil_status opened;
                pil_predictor *predictor = pil_predictor_open(found, &opened);
                assert_ok(opened);
                pil_predictor_close(predictor);
            } else {
                assert_false(worked);
            }
            status = (pil_status){ 0 };
            assert_true(file_remove_folder(scratch_path("broken"), &status));
            text_free(&text);
            arena_free(arena);
            if (!reached)
                break;
            assert_true(n < 1000);
        }
    hand_free(&hand);
}

static void test_no_memory(void **state)
{
    struct hand hand = hand_wide_deep();
    (void)state;
    for (int64_t n = 0;; n++) {
        struct text text = { 0 };
        pil_status status = { 0 };
        failing_start(n, false);
        bool worked = export_write(&hand.request, scratch_path("little"), &text, &status) &&
                      export_keep(scratch_path("little"), 1, &status);
        text_free(&text);
        long long live = atomic_load(&failing_live);
        bool reached = failing_stop();
        assert_int_equal(live, 0);
        if (!reached)
            break;
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
        status = (pil_status){ 0 };
        assert_true(file_remove_folder(scratch_path("little"), &status));
    }
    hand_free(&hand);
}

static void test_folders_that_refuse(void **state)
{
    struct hand hand = hand_window(NULL);
    struct text text = { 0 };
    (void)state;
    scratch_write(scratch_path("file"), "x", 1);
    assert_false(export_write(&hand.request, scratch_path("file"), &text, &hand.status));
    assert_int_equal(hand.status.code, PIL_IO);
    assert_says(hand.status, "a file is in the way");
    hand.status = (pil_status){ 0 };
    if (getuid() != 0) {
        mkdir(scratch_path("closed"), 0500);
        assert_false(export_write(&hand.request, scratch_path("closed"), &text, &hand.status));
        assert_int_equal(hand.status.code, PIL_IO);
        assert_says(hand.status, "Permission denied");
        rmdir(scratch_path("closed"));
    }
    text_free(&text);
    hand_free(&hand);
}

static void test_models_that_cannot_be_exported(void **state)
{
    struct hand hand = hand_window(NULL);
    struct text text = { 0 };
    pil_status status = { 0 };
    char names[4][64];
    (void)state;
    struct export_request request = hand.request;
    struct pil_receivers *receivers = receivers_new(&status);
    request.receivers = receivers;
    assert_false(export_write(&request, scratch_path("refused"), &text, &status));
    assert_says(status, "the model reads the feature 'rawdata', which requests do not bring");
    status = (pil_status){ 0 };
    pil_receive(receivers, "rawdata", PIL_RECEIVE_FLOATS, 9);
    pil_receive(receivers, "rawdata", PIL_RECEIVE_FLOATS, 9);
    assert_false(export_write(&request, scratch_path("refused"), &text, &status));
    assert_says(status, "received twice");
    status = (pil_status){ 0 };
    request = hand.request;
    struct store *empty = store_new(&status);
    assert_true(store_allocate(empty, &status));
    request.store = empty;
    assert_false(export_write(&request, scratch_path("refused"), &text, &status));
    assert_says(status, "is not in the store");
    assert_int_equal(list_of(scratch_path("refused"), names, 4), 0);
    store_free(empty);
    receivers_free(receivers);
    text_free(&text);
    hand_free(&hand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_lies_where),
        cmocka_unit_test(test_next_second),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_one_writer_at_a_time),
        cmocka_unit_test(test_broken_disk),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_folders_that_refuse),
        cmocka_unit_test(test_models_that_cannot_be_exported),
    };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
