/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers of tests that write files: a folder that goes away again, whole files at once, and a disk that fails at a chosen
 * call. With `broken_start(n, lasting)` the n-th call that changes something (write, sync, rename, open for writing, mkdir)
 * fails, and with `lasting` all after it: then it is as if the power went. `broken_stop` tells whether that call was reached.
 */
#ifndef PILASTER_TESTS_SCRATCH_H
#define PILASTER_TESTS_SCRATCH_H

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_folder[256];

static inline void scratch_make(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(scratch_folder, sizeof scratch_folder, "%s/pilaster-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(scratch_folder) == NULL)
        abort();
}

static inline int scratch_remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static inline void scratch_remove(void)
{
    nftw(scratch_folder, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* For a group of tests: cmocka's set-up and tear-down. */
static inline int scratch_set_up(void **state)
{
    (void)state;
    scratch_make();
    return 0;
}

static inline int scratch_tear_down(void **state)
{
    (void)state;
    scratch_remove();
    return 0;
}

/* A path in the folder; the last 64 stay valid. */
static inline const char *scratch_path(const char *name)
{
    static char paths[64][512];
    static int next;
    char *path = paths[next++ % 64];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_folder, name);
    return path;
}

static inline void scratch_write(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
}

/* The file's bytes (free them), or NULL. */
static inline char *scratch_read(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    *size = 0;
    if (file == NULL)
        return NULL;
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*size + 1);
    if (data == NULL || fread(data, 1, *size, file) != *size)
        abort();
    data[*size] = '\0';
    fclose(file);
    return data;
}

static inline void scratch_expect_same(const char *a, const char *b)
{
    size_t a_size, b_size;
    char *x = scratch_read(a, &a_size), *y = scratch_read(b, &b_size);
    assert_non_null(x);
    assert_non_null(y);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(x, y, a_size);
    free(x);
    free(y);
}

static inline void scratch_copy(const char *from, const char *to)
{
    size_t size;
    char *data = scratch_read(from, &size);
    if (data == NULL)
        abort();
    scratch_write(to, data, size);
    free(data);
}

/* ---- the broken disk ---- */

static struct {
    int left;
    bool lasting, reached, torn;
} broken;

static inline bool broken_fails(void)
{
    bool fails = broken.left == 0 || (broken.left < 0 && broken.lasting && broken.reached);
    broken.reached = broken.reached || fails;
    broken.left--;
    errno = ENOSPC;
    return fails;
}

static inline int broken_open(const char *path, int flags, int mode)
{
    return (flags & O_ACCMODE) != O_RDONLY && broken_fails() ? -1 : open(path, flags, mode);
}

static inline int64_t broken_read(int fd, void *data, size_t size)
{
    return read(fd, data, size);
}

static inline int64_t broken_pread(int fd, void *data, size_t size, int64_t offset)
{
    return pread(fd, data, size, offset);
}

/* The failing write takes half of its bytes, as a disk does that becomes full, and the call after it fails. */
static inline int64_t broken_write(int fd, const void *data, size_t size)
{
    if (broken.torn) {
        broken.torn = false;
        errno = ENOSPC;
        return -1;
    }
    if (!broken_fails())
        return write(fd, data, size);
    broken.torn = size > 1;
    return size > 1 ? write(fd, data, size / 2) : -1;
}

static inline int broken_sync(int fd)
{
    (void)fd; /* the disk's own time is not what is tested */
    return broken_fails() ? -1 : 0;
}

static inline int broken_close(int fd)
{
    return close(fd);
}

static inline int broken_rename(const char *from, const char *to)
{
    return broken_fails() ? -1 : rename(from, to);
}

static inline int broken_unlink(const char *path)
{
    return broken.lasting && broken.reached ? -1 : unlink(path);
}

static inline int broken_mkdir(const char *path, int mode)
{
    return broken_fails() ? -1 : mkdir(path, (mode_t)mode);
}

static inline void broken_start(int n, bool lasting)
{
    broken.left = n < 0 ? 1 << 30 : n;
    broken.lasting = lasting;
    broken.reached = broken.torn = false;
    file_set_calls(&(struct file_calls){ .open = broken_open,
                                         .read = broken_read,
                                         .pread = broken_pread,
                                         .write = broken_write,
                                         .sync = broken_sync,
                                         .close = broken_close,
                                         .rename = broken_rename,
                                         .unlink = broken_unlink,
                                         .mkdir = broken_mkdir });
}

static inline bool broken_stop(void)
{
    file_set_calls(NULL);
    return broken.reached;
}

#endif
