/* SPDX-License-Identifier: Apache-2.0 */
/* Files: what is on the disk after each call has failed once, or all from the n-th on (a cut of the power); short writes and
 * interrupted calls; names, patterns, folders, the lock. */
#include "failing.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a table of calls that fail ------------------------------------------------------------------------------ */

static struct {
    int countdown; /* calls before the failing one; below 0: none fails */
    bool lasting;  /* all that follow fail too */
    bool reached;
    bool renamed;
    bool awkward; /* writes and reads are short, every second call is interrupted */
    int calls;
} disk;

static bool fails(int error)
{
    disk.calls++;
    if (disk.awkward && disk.calls % 2 == 1) {
        errno = EINTR;
        return true;
    }
    bool failing = disk.countdown == 0 || (disk.countdown < 0 && disk.reached && disk.lasting);
    disk.reached = disk.reached || failing;
    if (disk.countdown >= 0)
        disk.countdown--;
    errno = error;
    return failing;
}

static int disk_open(const char *path, int flags, int mode)
{
    return fails(EACCES) ? -1 : open(path, flags, mode);
}

static int64_t disk_read(int fd, void *data, size_t size)
{
    return fails(EIO) ? -1 : read(fd, data, disk.awkward ? MIN(size, 7) : size);
}

static int64_t disk_pread(int fd, void *data, size_t size, int64_t offset)
{
    return fails(EIO) ? -1 : pread(fd, data, size, offset);
}

static int64_t disk_write(int fd, const void *data, size_t size)
{
    return fails(ENOSPC) ? -1 : write(fd, data, disk.awkward ? MIN(size, 10007) : size);
}

static int disk_sync(int fd)
{
    return fails(EIO) ? -1 : fsync(fd);
}

static int disk_close(int fd) /* the descriptor goes in any case, as in Linux */
{
    int result = close(fd);
    return fails(EIO) ? -1 : result;
}

static int disk_rename(const char *from, const char *to)
{
    if (fails(EIO))
        return -1;
    disk.renamed = true;
    return rename(from, to);
}

static int disk_unlink(const char *path)
{
    return fails(EROFS) ? -1 : unlink(path);
}

static int disk_mkdir(const char *path, int mode)
{
    return fails(ENOSPC) ? -1 : mkdir(path, (mode_t)mode);
}

static void disk_start(int countdown, bool lasting, bool awkward)
{
    static const struct file_calls calls = { disk_open,  disk_read,   disk_pread,  disk_write, disk_sync,
                                             disk_close, disk_rename, disk_unlink, disk_mkdir };
    memset(&disk, 0, sizeof(disk));
    disk.countdown = countdown;
    disk.lasting = lasting;
    disk.awkward = awkward;
    file_set_calls(&calls);
}

/* ---- a folder of its own for each test ----------------------------------------------------------------------- */

static char folder[256];
static struct arena *arena;

static const char *in_folder(const char *name)
{
    pil_status status = { 0 };
    return path_join(arena, folder, name, &status);
}

static int enter(void **state)
{
    (void)state;
    pil_status status = { 0 };
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%s/pilaster-file-XXXXXX", base != NULL ? base : "/tmp");
    arena = arena_new(&status);
    return mkdtemp(folder) != NULL && arena != NULL ? 0 : -1;
}

static void remove_tree(const char *path)
{
    pil_status status = { 0 };
    if (file_is_folder(path)) {
        char **names;
        size_t count;
        if (file_list(path, arena, &names, &count, &status))
            for (size_t i = 0; i < count; i++)
                remove_tree(path_join(arena, path, names[i], &status));
        rmdir(path);
    } else {
        unlink(path);
    }
}

static int leave(void **state)
{
    (void)state;
    file_set_calls(NULL);
    remove_tree(folder);
    arena_free(arena);
    return 0;
}

static void assert_content(const char *path, const char *data, size_t size)
{
    pil_status status = { 0 };
    struct file_data loaded;
    assert_true(file_load(path, &loaded, &status));
    assert_int_equal(loaded.size, size);
    assert_memory_equal(loaded.data, data, size);
    file_unload(&loaded);
}

static size_t names_in_folder(char ***names)
{
    pil_status status = { 0 };
    size_t count;
    assert_true(file_list(folder, arena, names, &count, &status));
    return count;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

enum { LARGE = 2600000 };
static char large[LARGE];

static void fill_large(void)
{
    for (int i = 0; i < LARGE; i++)
        large[i] = (char)(i * 7 + i / 251);
}

/* Pieces of all sizes: within the buffer, across its end, larger than it. */
static bool write_pieces(const char *path, pil_status *status)
{
    struct file_writer *writer = file_writer_new(path, status);
    if (writer == NULL)
        return false;
    size_t at = 0, size = 1;
    while (at < LARGE) {
        size_t piece = MIN(size, LARGE - at);
        if (!file_write(writer, large + at, piece, status))
            break;
        at += piece;
        assert_int_equal(file_writer_offset(writer), at);
        size = size < 1200000 ? size * 3 : 5;
    }
    return file_writer_finish(writer, status);
}

static void pieces_make_the_whole(void **state)
{
    (void)state;
    pil_status status = { 0 };
    fill_large();
    const char *path = in_folder("large");
    assert_true(write_pieces(path, &status));
    assert_content(path, large, LARGE);
    char **names;
    assert_int_equal(names_in_folder(&names), 1);
    assert_true(file_replace(path, "", 0, &status));
    assert_content(path, "", 0);
    assert_true(file_replace(path, "short", 5, &status));
    assert_content(path, "short", 5);
}

static void short_and_interrupted_calls(void **state)
{
    (void)state;
    pil_status status = { 0 };
    fill_large();
    const char *path = in_folder("awkward");
    disk_start(-1, false, true);
    assert_true(write_pieces(path, &status));
    file_set_calls(NULL);
    assert_content(path, large, LARGE);
    assert_true(file_replace(path, large, 1000, &status));
    disk_start(-1, false, true);
    assert_content(path, large, 1000);
    file_set_calls(NULL);
}

static void each_call_fails(bool lasting)
{
    fill_large();
    const char *path = in_folder("kept");
    int n = 0, before_rename = 0;
    for (bool reached = true; reached; n++) {
        pil_status status = { 0 };
        assert_true(file_replace(path, "old", 3, &status));
        disk_start(n, lasting, false);
        bool done = write_pieces(path, &status);
        file_set_calls(NULL);
        reached = disk.reached;
        if (!disk.renamed) {
            assert_false(done);
            assert_content(path, "old", 3);
            before_rename++;
        } else {
            assert_content(path, large, LARGE);
        }
        if (!done) {
            assert_int_equal(status.code, PIL_IO);
            assert_non_null(strstr(status.message, disk.renamed ? folder : path));
            assert_true(strstr(status.message, "No space") || strstr(status.message, "Input/output") ||
                        strstr(status.message, "Permission"));
        }
        char **names;
        size_t count = names_in_folder(&names);
        if (!lasting) {
            assert_int_equal(count, 1);
        } else { /* the temporary may lie there and is overwritten by the next writer */
            for (size_t i = 0; i < count; i++)
                assert_true(strncmp(names[i], "kept", 4) == 0);
        }
    }
    assert_true(before_rename >= 7);    /* open, four writes at least, sync, close, rename */
    assert_true(n > before_rename + 2); /* the folder's open and sync */
}

static void one_failing_call(void **state)
{
    (void)state;
    each_call_fails(false);
}

static void power_cut(void **state)
{
    (void)state;
    each_call_fails(true);
}

static void no_memory(void **state)
{
    (void)state;
    const char *path = in_folder("memory");
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        bool done = file_replace(path, "text", 4, &status);
        assert_int_equal(failing_live, 0);
        if (!failing_stop()) {
            assert_true(done);
            break;
        }
        assert_false(done);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        struct file_data data;
        failing_start(n, false);
        bool done = file_load(path, &data, &status);
        if (done)
            file_unload(&data);
        assert_int_equal(failing_live, 0);
        if (!failing_stop()) {
            assert_true(done);
            break;
        }
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

static void abandoned(void **state)
{
    (void)state;
    pil_status status = { 0 };
    const char *path = in_folder("kept");
    assert_true(file_replace(path, "old", 3, &status));
    struct file_writer *writer = file_writer_new(path, &status);
    assert_non_null(writer);
    assert_true(file_write(writer, "new", 3, &status));
    file_writer_abandon(writer);
    file_writer_abandon(NULL);
    assert_content(path, "old", 3);
    char **names;
    assert_int_equal(names_in_folder(&names), 1);
    assert_null(file_writer_new(in_folder("no/such/folder/file"), &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
}

/* ---- reading, names, folders --------------------------------------------------------------------------------- */

static void loading(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct file_data data;
    fill_large();
    assert_true(file_replace(in_folder("large"), large, LARGE, &status));
    assert_true(file_load(in_folder("large"), &data, &status));
    assert_memory_equal(data.data, large, LARGE);
    file_unload(&data);
    assert_int_equal(data.size, 0);
    assert_false(file_load(in_folder("absent"), &data, &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
    assert_non_null(strstr(status.message, "absent"));
    status_clear(&status);
    assert_false(file_load(folder, &data, &status));
    assert_int_equal(status.code, PIL_IO);
    status_clear(&status);
    disk_start(1, false, false); /* the first read */
    assert_false(file_load(in_folder("large"), &data, &status));
    file_set_calls(NULL);
    assert_int_equal(status.code, PIL_IO);
    status_clear(&status);
    /* A pipe tells no size. */
    const char *pipe_path = in_folder("pipe");
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = open(pipe_path, O_WRONLY);
        for (size_t at = 0; at < 100000;) {
            ssize_t written = write(fd, large + at, 100000 - at);
            at += written > 0 ? (size_t)written : 0;
        }
        _exit(0);
    }
    assert_content(pipe_path, large, 100000);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

static void folders(void **state)
{
    (void)state;
    pil_status status = { 0 };
    int64_t size;
    const char *deep = in_folder("a/b//c");
    assert_true(file_make_folder(deep, &status));
    assert_true(file_is_folder(deep));
    assert_true(file_make_folder(deep, &status));
    assert_true(file_make_folder(in_folder("a/d/"), &status));
    assert_true(file_is_folder(in_folder("a/d")));
    assert_true(file_replace(in_folder("a/file"), "12345", 5, &status));
    assert_true(file_exists(in_folder("a/file")));
    assert_false(file_is_folder(in_folder("a/file")));
    assert_true(file_size(in_folder("a/file"), &size, &status));
    assert_int_equal(size, 5);
    assert_false(file_make_folder(in_folder("a/file/x"), &status));
    assert_int_equal(status.code, PIL_IO);
    assert_non_null(strstr(status.message, "in the way"));
    status_clear(&status);
    assert_true(file_remove(in_folder("a/file"), &status));
    assert_false(file_exists(in_folder("a/file")));
    assert_true(file_remove(in_folder("a/file"), &status));
    assert_false(file_size(in_folder("a/file"), &size, &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
    status_clear(&status);
    assert_true(file_replace(in_folder("f"), "", 0, &status));
    disk_start(0, false, false);
    assert_false(file_remove(in_folder("f"), &status));
    disk_start(0, false, false);
    status_clear(&status);
    assert_false(file_make_folder(in_folder("full"), &status));
    file_set_calls(NULL);
    assert_int_equal(status.code, PIL_IO);
    assert_non_null(strstr(status.message, "full: cannot make the folder: No space"));
}

static void lists_and_patterns(void **state)
{
    (void)state;
    pil_status status = { 0 };
    static const char *const made[] = { "b.csv", "a.csv", "B.csv", "c.txt", "part[1].csv" };
    for (size_t i = 0; i < COUNT_OF(made); i++)
        assert_true(file_replace(in_folder(made[i]), "x", 1, &status));
    char **names;
    assert_int_equal(names_in_folder(&names), 5);
    static const char *const sorted[] = { "B.csv", "a.csv", "b.csv", "c.txt", "part[1].csv" };
    for (size_t i = 0; i < COUNT_OF(sorted); i++)
        assert_string_equal(names[i], sorted[i]);
    char **paths;
    size_t count;
    assert_true(file_glob(in_folder("?.csv"), arena, &paths, &count, &status));
    assert_int_equal(count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(path_base(paths[i]), sorted[i]);
    assert_true(file_glob(in_folder("c.txt"), arena, &paths, &count, &status));
    assert_int_equal(count, 1);
    assert_string_equal(paths[0], in_folder("c.txt"));
    assert_true(file_glob(in_folder("part[1].csv"), arena, &paths, &count, &status));
    assert_int_equal(count, 1);
    assert_false(file_glob(in_folder("*.tsv"), arena, &paths, &count, &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
    assert_non_null(strstr(status.message, "*.tsv: no file matches"));
    status_clear(&status);
    assert_false(file_glob(in_folder("absent"), arena, &paths, &count, &status));
    assert_non_null(strstr(status.message, "absent: no such file"));
    status_clear(&status);
    assert_false(file_list(in_folder("absent"), arena, &names, &count, &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
}

static void joined_paths(void **state)
{
    (void)state;
    pil_status status = { 0 };
    assert_string_equal(path_join(arena, "a", "b", &status), "a/b");
    assert_string_equal(path_join(arena, "a/", "b", &status), "a/b");
    assert_string_equal(path_join(arena, "a", "/b", &status), "/b");
    assert_string_equal(path_join(arena, "", "b", &status), "b");
    assert_string_equal(path_join(arena, "/", "b", &status), "/b");
    assert_string_equal(path_base("a/b"), "b");
    assert_string_equal(path_base("b"), "b");
    assert_string_equal(path_base("/"), "");
    /* A path without a slash: the folder to sync is the working one. */
    char before[4096];
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(folder), 0);
    bool done = file_replace("bare", "x", 1, &status);
    assert_int_equal(chdir(before), 0);
    assert_true(done);
    assert_content(in_folder("bare"), "x", 1);
}

/* ---- the lock ------------------------------------------------------------------------------------------------ */

static void locking(void **state)
{
    (void)state;
    pil_status status = { 0 };
    const char *path = in_folder("lock");
    struct file_lock *lock = file_lock_new(path, &status);
    assert_non_null(lock);
    assert_null(
        file_lock_new(path, &status)); /* flock belongs to the open file, so a second one in the process is kept out too */
    assert_int_equal(status.code, PIL_BUSY);
    char holder[40];
    snprintf(holder, sizeof(holder), "in use by process %ld", (long)getpid());
    assert_non_null(strstr(status.message, holder));
    status_clear(&status);
    file_lock_free(lock);
    file_lock_free(NULL);
    lock = file_lock_new(path, &status);
    assert_non_null(lock);
    file_lock_free(lock);
    assert_null(file_lock_new(in_folder("no/lock"), &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
}

static void lock_of_a_dead_process(void **state)
{
    (void)state;
    pil_status status = { 0 };
    const char *path = in_folder("lock");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(file_lock_new(path, &status) != NULL ? 0 : 1);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    struct file_lock *lock = file_lock_new(path, &status);
    assert_non_null(lock);
    file_lock_free(lock);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(pieces_make_the_whole),
        IN_FOLDER(short_and_interrupted_calls),
        IN_FOLDER(one_failing_call),
        IN_FOLDER(power_cut),
        IN_FOLDER(no_memory),
        IN_FOLDER(abandoned),
        IN_FOLDER(loading),
        IN_FOLDER(folders),
        IN_FOLDER(lists_and_patterns),
        IN_FOLDER(joined_paths),
        IN_FOLDER(locking),
        IN_FOLDER(lock_of_a_dead_process),
    };
    return cmocka_run_group_tests_name("base/file", tests, NULL, NULL);
}
