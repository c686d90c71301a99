/* SPDX-License-Identifier: Apache-2.0 */
/* Folders get their names and go away; what a link points to stays. */
#include "failing.h"
#include "scratch.h"

static void make_tree(void)
{
    mkdir(scratch_path("a"), 0777);
    mkdir(scratch_path("a/b"), 0777);
    scratch_write(scratch_path("a/b/file"), "x", 1);
    scratch_write(scratch_path("a/file"), "x", 1);
    scratch_write(scratch_path("kept"), "x", 1);
    mkdir(scratch_path("elsewhere"), 0777);
    scratch_write(scratch_path("elsewhere/file"), "x", 1);
    assert_int_equal(symlink(scratch_path("elsewhere"), scratch_path("a/link")), 0);
}

static void test_remove(void **state)
{
    pil_status status = { 0 };
    (void)state;
    make_tree();
    assert_true(file_remove_folder(scratch_path("a"), &status));
    assert_false(file_exists(scratch_path("a")));
    assert_true(file_exists(scratch_path("elsewhere/file")));
    assert_true(file_exists(scratch_path("kept")));
    assert_true(file_remove_folder(scratch_path("a"), &status)); /* absent is fine */
    assert_true(file_remove_folder(scratch_path("kept"), &status));
    assert_false(file_exists(scratch_path("kept")));
    assert_true(file_remove_folder(scratch_path("elsewhere"), &status));
}

static void test_rename(void **state)
{
    pil_status status = { 0 };
    (void)state;
    make_tree();
    assert_true(file_rename(scratch_path("a"), scratch_path("c"), &status));
    assert_true(file_exists(scratch_path("c/b/file")));
    assert_false(file_rename(scratch_path("c"), scratch_path("elsewhere"), &status)); /* not empty */
    assert_int_equal(status.code, PIL_IO);
    status = (pil_status){ 0 };
    assert_false(file_rename(scratch_path("none"), scratch_path("d"), &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
    status = (pil_status){ 0 };
    broken_start(1, false); /* the rename is done, its sync fails */
    assert_false(file_rename(scratch_path("c"), scratch_path("d"), &status));
    assert_true(broken_stop());
    assert_int_equal(status.code, PIL_IO);
    status = (pil_status){ 0 };
    assert_true(file_remove_folder(scratch_path("d"), &status));
    assert_true(file_remove_folder(scratch_path("elsewhere"), &status));
}

static void test_no_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        make_tree();
        failing_start(n, false);
        bool worked = file_remove_folder(scratch_path("a"), &status);
        assert_int_equal(atomic_load(&failing_live), 0);
        bool reached = failing_stop();
        status = (pil_status){ 0 };
        assert_true(file_remove_folder(scratch_path("a"), &status));
        assert_true(file_remove_folder(scratch_path("elsewhere"), &status));
        if (!reached)
            break;
        assert_false(worked);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_remove), cmocka_unit_test(test_rename),
                                        cmocka_unit_test(test_no_memory) };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
