/* SPDX-License-Identifier: Apache-2.0 */
/* Files that others write to while they are read: cut off, appended to, replaced. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "scratch.h"

enum { SIZE = 100000 };
static char bytes[SIZE];
static const char *path;

static int enter(void **unused)
{
    (void)unused;
    scratch_make();
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 7 + i / 256);
    path = scratch_path("data");
    scratch_write(path, bytes, SIZE);
    return 0;
}

static int leave(void **unused)
{
    (void)unused;
    file_set_calls(NULL);
    scratch_remove();
    return 0;
}

static struct file_reader open_reader(void)
{
    struct file_reader reader;
    pil_status status = { 0 };
    assert_true(file_reader_open(&reader, path, &status));
    assert_int_equal(reader.size, SIZE);
    return reader;
}

static void check_read(struct file_reader *reader, int64_t offset, size_t size)
{
    static char out[SIZE];
    pil_status status = { 0 };
    memset(out, 0x55, size);
    assert_true(file_read_at(reader, offset, out, size, &status));
    assert_memory_equal(out, bytes + offset, size);
}

static bool touched(struct file_reader *reader)
{
    pil_status status = { 0 };
    bool is = false;
    assert_true(file_reader_touched(reader, &is, &status));
    return is;
}

static void expect_changed(const pil_status *status)
{
    assert_int_equal(status->code, PIL_BAD_DATA);
    assert_non_null(strstr(status->message, path));
    assert_non_null(strstr(status->message, "changed while it was read"));
}

/* The clock of a file system may stand still between two writes; here it does not. */
static void set_time(const char *of, int64_t seconds)
{
    const struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };
    assert_int_equal(utimensat(AT_FDCWD, of, times, 0), 0);
}

static void any_place(void **unused)
{
    (void)unused;
    struct file_reader reader = open_reader();
    check_read(&reader, 0, SIZE);
    check_read(&reader, SIZE - 1, 1);
    check_read(&reader, 12345, 50000);
    check_read(&reader, SIZE, 0);
    file_reader_pause(&reader);
    assert_int_equal(reader.fd, -1);
    check_read(&reader, 3, 5); /* opens it again */
    assert_true(reader.fd >= 0);
    assert_false(touched(&reader));
    file_reader_pause(&reader);
    file_reader_pause(&reader);
}

static int calls;
static int64_t awkward_pread(int fd, void *data, size_t size, int64_t offset)
{
    errno = EINTR;
    return calls++ % 2 == 0 ? -1 : pread(fd, data, MIN(size, 997), offset);
}

static int64_t failing_pread(int fd, void *data, size_t size, int64_t offset)
{
    (void)fd, (void)data, (void)size, (void)offset;
    errno = EIO;
    return -1;
}

static int awkward_open(const char *name, int flags, int mode)
{
    errno = EINTR;
    return calls++ % 2 == 0 ? -1 : open(name, flags, mode);
}

static void interrupted_and_failing(void **unused)
{
    (void)unused;
    struct file_calls awkward = *file_calls();
    awkward.pread = awkward_pread;
    awkward.open = awkward_open;
    file_set_calls(&awkward);
    calls = 0;
    struct file_reader reader = open_reader();
    check_read(&reader, 100, SIZE - 100);
    assert_true(calls > 100);
    awkward.pread = failing_pread;
    file_set_calls(&awkward);
    pil_status status = { 0 };
    char out[4];
    assert_false(file_read_at(&reader, 0, out, sizeof out, &status));
    assert_int_equal(status.code, PIL_IO);
    assert_non_null(strstr(status.message, "cannot read: "));
    assert_non_null(strstr(status.message, path));
    file_reader_pause(&reader);
}

static void cut_off(void **unused)
{
    (void)unused;
    struct file_reader reader = open_reader();
    static char out[SIZE];
    assert_int_equal(truncate(path, 70000), 0);
    check_read(&reader, 0, 70000);
    pil_status status = { 0 };
    assert_false(file_read_at(&reader, 0, out, SIZE, &status));
    expect_changed(&status);
    status_clear(&status);
    assert_false(file_read_at(&reader, 80000, out, 1, &status));
    expect_changed(&status);
    status_clear(&status);
    bool is;
    assert_false(file_reader_touched(&reader, &is, &status));
    expect_changed(&status);
    file_reader_pause(&reader);
}

/* What is appended is not seen; that something was appended is, once. */
static void appended(void **unused)
{
    (void)unused;
    struct file_reader reader = open_reader();
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    assert_int_equal(fwrite("more", 1, 4, file), 4);
    fclose(file);
    assert_int_equal(reader.size, SIZE);
    assert_true(touched(&reader));
    assert_false(touched(&reader));
    check_read(&reader, 0, SIZE);
    file_reader_pause(&reader);
}

static void written_over(void **unused)
{
    (void)unused;
    set_time(path, 1000);
    struct file_reader reader = open_reader();
    scratch_write(path, bytes, SIZE);
    set_time(path, 1001);
    assert_true(touched(&reader));
    file_reader_pause(&reader);
}

/* An open reader keeps the file that was renamed away; a paused one comes to the new one. */
static void replaced(void **unused)
{
    (void)unused;
    set_time(path, 1000);
    struct file_reader reader = open_reader();
    char *other = calloc(SIZE, 1);
    assert_non_null(other);
    scratch_write(scratch_path("new"), other, SIZE);
    set_time(scratch_path("new"), 1000);
    assert_int_equal(rename(scratch_path("new"), path), 0);
    assert_false(touched(&reader));
    check_read(&reader, 0, SIZE);
    file_reader_pause(&reader);
    assert_true(touched(&reader));
    file_reader_pause(&reader);
    assert_true(file_remove(path, NULL));
    pil_status status = { 0 };
    assert_false(file_read_at(&reader, 0, other, 1, &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
    free(other);
}

static void no_such_files(void **unused)
{
    (void)unused;
    struct file_reader reader;
    pil_status status = { 0 };
    assert_false(file_reader_open(&reader, scratch_path("absent"), &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
    assert_int_equal(reader.fd, -1);
    status_clear(&status);
    assert_false(file_reader_open(&reader, scratch_folder, &status));
    assert_non_null(strstr(status.message, "is a folder"));
    assert_int_equal(reader.fd, -1);
    status_clear(&status);
    assert_false(file_reader_open(&reader, "/dev/null", &status));
    assert_non_null(strstr(status.message, "not a file that can be read at any place"));
    assert_int_equal(reader.fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_place, enter, leave),
        cmocka_unit_test_setup_teardown(interrupted_and_failing, enter, leave),
        cmocka_unit_test_setup_teardown(cut_off, enter, leave),
        cmocka_unit_test_setup_teardown(appended, enter, leave),
        cmocka_unit_test_setup_teardown(written_over, enter, leave),
        cmocka_unit_test_setup_teardown(replaced, enter, leave),
        cmocka_unit_test_setup_teardown(no_such_files, enter, leave),
    };
    return cmocka_run_group_tests_name("base/reader", tests, NULL, NULL);
}
