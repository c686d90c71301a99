/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files. Everything that can fail on a full or broken disk goes through one table of calls, which tests replace. A call that
 * a signal interrupted is repeated here, so no other place needs to think of EINTR; short writes are continued.
 *
 * The life of a writer, and what lies on the disk under "path" meanwhile:
 *
 *     new          write ...         finish: flush, sync, close | rename, sync of the folder
 *     ------------ the old file, whole --------------------------|-- the new file, whole ------
 *
 * Whatever fails before the rename removes the temporary file and leaves the old one. The rename is the moment of change; the
 * sync of the folder makes it last (if that one fails the error says so, and the new file is in place). Readers never see a
 * half. A power cut shows the old file or the new one, at worst with a temporary beside it, which the next writer of the
 * same process number overwrites.
 */
#include "base/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WRITE_BUFFER = 1 << 20,
    READ_START = 4096 /* for files that do not tell their size: pipes, /proc */
};

/* ---- the table ----------------------------------------------------------------------------------------------- */

static int system_open(const char *path, int flags, int mode)
{
    return open(path, flags | O_CLOEXEC, mode);
}

static int64_t system_read(int fd, void *data, size_t size)
{
    return read(fd, data, size);
}

static int64_t system_pread(int fd, void *data, size_t size, int64_t offset)
{
    return pread(fd, data, size, offset);
}

static int64_t system_write(int fd, const void *data, size_t size)
{
    return write(fd, data, size);
}

static int system_mkdir(const char *path, int mode)
{
    return mkdir(path, (mode_t)mode);
}

static const struct file_calls system_calls = {
    .open = system_open,
    .read = system_read,
    .pread = system_pread,
    .write = system_write,
    .sync = fsync,
    .close = close,
    .rename = rename,
    .unlink = unlink,
    .mkdir = system_mkdir,
};
static struct file_calls replaced;
static const struct file_calls *current = &system_calls;

void file_set_calls(const struct file_calls *calls)
{
    if (calls != NULL)
        replaced = *calls;
    current = calls != NULL ? &replaced : &system_calls;
}

const struct file_calls *file_calls(void)
{
    return current;
}

/* ---- calls that are repeated, errors that name the path ------------------------------------------------------ */

/* strerror itself may share its buffer between threads. */
static const char *error_text(int error, char *buffer, size_t size)
{
#if defined(__GLIBC__)
    return strerror_r(error, buffer, size);
#else
    return strerror_r(error, buffer, size) == 0 ? buffer : "unknown error";
#endif
}

bool file_fail(pil_status *status, const char *path, const char *what, int error)
{
    char buffer[128];
    pil_code code = error == ENOENT ? PIL_NOT_FOUND : PIL_IO;
    return status_fail(status, code, "%s: cannot %s: %s", path, what, error_text(error, buffer, sizeof(buffer)));
}

static int open_file(const char *path, int flags, int mode)
{
    int fd;
    do
        fd = current->open(path, flags, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int sync_file(int fd)
{
    int result;
    do
        result = current->sync(fd);
    while (result < 0 && errno == EINTR);
    return result;
}

/* After EINTR the descriptor is closed already (Linux); what was written has been synced before, so nothing is lost. */
static int close_file(int fd)
{
    int result = current->close(fd);
    return result < 0 && errno == EINTR ? 0 : result;
}

static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        int64_t written = current->write(fd, data, size);
        if (written == 0)
            errno = ENOSPC; /* no progress and no reason: never loop on it */
        if (written <= 0 && errno != EINTR)
            return false;
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
    return true;
}

/* ---- whole files --------------------------------------------------------------------------------------------- */

/* Reads to the end. `expected` is a guess: the file may grow or shrink meanwhile. One byte more is asked for than expected,
 * so that the end is seen without growing. */
static bool read_all(int fd, const char *path, size_t expected, struct file_data *out, pil_status *status)
{
    char *data = NULL;
    size_t capacity = 0, size = 0;
    for (;;) {
        size_t need = size == 0 && expected > 0 ? expected + 1 : MAX(size + 1, (size_t)READ_START);
        if (!mem_grow(&data, &capacity, need, 1, status))
            goto failed;
        int64_t got = current->read(fd, data + size, capacity - size);
        if (got == 0)
            break;
        if (got > 0)
            size += (size_t)got;
        else if (errno != EINTR) {
            file_fail(status, path, "read", errno);
            goto failed;
        }
    }
    if (size == 0) {
        mem_free(data);
        data = NULL;
    }
    *out = (struct file_data){ .data = size > 0 ? data : "", .size = size };
    return true;
failed:
    mem_free(data);
    return false;
}

bool file_load(const char *path, struct file_data *out, pil_status *status)
{
    *out = (struct file_data){ .data = "" };
    int fd = open_file(path, O_RDONLY, 0);
    if (fd < 0)
        return file_fail(status, path, "open", errno);
    struct stat info;
    bool done = false;
    if (fstat(fd, &info) != 0)
        file_fail(status, path, "read", errno);
    else if (S_ISDIR(info.st_mode))
        status_fail(status, PIL_IO, "%s: is a folder, not a file", path);
    else
        done = read_all(fd, path, S_ISREG(info.st_mode) ? (size_t)info.st_size : 0, out, status);
    current->close(fd); /* opened for reading: a failure loses nothing */
    return done;
}

void file_unload(struct file_data *data)
{
    if (data->size > 0)
        mem_free((void *)(uintptr_t)data->data);
    *data = (struct file_data){ .data = "" };
}

/* ---- questions ----------------------------------------------------------------------------------------------- */

bool file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool file_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool file_is_regular(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

double file_written(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (double)info.st_mtim.tv_sec + (double)info.st_mtim.tv_nsec * 1e-9 : 0;
}

bool file_size(const char *path, int64_t *size, pil_status *status)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return file_fail(status, path, "read", errno);
    *size = info.st_size;
    return true;
}

bool file_remove(const char *path, pil_status *status)
{
    if (current->unlink(path) == 0 || errno == ENOENT)
        return true;
    return file_fail(status, path, "remove", errno);
}

/* ---- folders ------------------------------------------------------------------------------------------------- */

/* Makes the entries of the folder that holds `path` last. Some file systems cannot sync a folder and say so with EINVAL or
 * ENOTSUP; they keep names safe in other ways. */
bool file_sync_folder_of(const char *path, pil_status *status)
{
    const char *base = path_base(path);
    size_t size = (size_t)(base - path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    char *folder = mem_array(size + 2, 1, status);
    if (folder == NULL)
        return false;
    memcpy(folder, size > 0 ? path : ".", MAX(size, 1));
    int fd = open_file(folder, O_RDONLY | O_DIRECTORY, 0);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0 && sync_file(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        error = errno;
    if (fd >= 0)
        current->close(fd);
    if (error != 0)
        file_fail(status, folder, "sync the folder", error);
    mem_free(folder);
    return error == 0;
}

static bool make_one_folder(const char *path, pil_status *status)
{
    if (file_is_folder(path))
        return true;
    if (current->mkdir(path, 0777) == 0)
        return file_sync_folder_of(path, status);
    int error = errno;
    if (error == EEXIST && file_is_folder(path)) /* somebody else was faster */
        return true;
    if (error == EEXIST || error == ENOTDIR)
        return status_fail(status, PIL_IO, "%s: cannot make the folder: a file is in the way", path);
    return file_fail(status, path, "make the folder", error);
}

bool file_make_folder(const char *path, pil_status *status)
{
    size_t size = strlen(path);
    char *part = mem_array(size + 1, 1, status);
    if (part == NULL)
        return false;
    bool done = true;
    for (size_t end = 1; end <= size && done; end++) {
        if (path[end - 1] == '/' || (path[end] != '/' && path[end] != '\0'))
            continue;
        memcpy(part, path, end);
        part[end] = '\0';
        done = make_one_folder(part, status);
    }
    mem_free(part);
    return done;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Copies a list into the arena (the texts are there already) and sorts it. */
static bool keep_sorted(char *const *list, size_t count, struct arena *arena, char ***out, pil_status *status)
{
    *out = arena_alloc(arena, MAX(count, 1) * sizeof(char *), status);
    if (*out == NULL)
        return false;
    if (count > 0) {
        memcpy(*out, list, count * sizeof(char *));
        qsort(*out, count, sizeof(char *), compare_names);
    }
    return true;
}

bool file_list(const char *folder, struct arena *arena, char ***names, size_t *count, pil_status *status)
{
    char **list = NULL;
    size_t capacity = 0, found = 0;
    bool done = false;
    DIR *stream = opendir(folder);
    if (stream == NULL)
        return file_fail(status, folder, "list", errno);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL && errno != 0) {
            file_fail(status, folder, "list", errno);
            goto done;
        }
        if (entry == NULL)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!mem_grow(&list, &capacity, found + 1, sizeof(*list), status))
            goto done;
        list[found] = arena_text(arena, entry->d_name, strlen(entry->d_name), status);
        if (list[found++] == NULL)
            goto done;
    }
    *count = found;
    done = keep_sorted(list, found, arena, names, status);
done:
    mem_free(list);
    closedir(stream);
    return done;
}

/* A path that exists is taken as it is, so names with brackets in them work too. */
bool file_glob(const char *pattern, struct arena *arena, char ***paths, size_t *count, pil_status *status)
{
    glob_t found = { 0 };
    char **list = NULL;
    bool done = false;
    char *plain[1] = { (char *)(uintptr_t)pattern };
    int result = file_exists(pattern) ? 0 : glob(pattern, GLOB_NOSORT, NULL, &found);
    size_t size = found.gl_pathc > 0 ? found.gl_pathc : 1;
    char *const *matches = found.gl_pathc > 0 ? found.gl_pathv : plain;
    if (result == GLOB_NOMATCH) {
        status_fail(status, PIL_NOT_FOUND, strpbrk(pattern, "*?[") ? "%s: no file matches" : "%s: no such file", pattern);
        goto done;
    }
    if (result != 0) {
        file_fail(status, pattern, "look for files", result == GLOB_NOSPACE ? ENOMEM : EIO);
        goto done;
    }
    list = mem_array(size, sizeof(*list), status);
    if (list == NULL)
        goto done;
    for (size_t i = 0; i < size; i++) {
        list[i] = arena_text(arena, matches[i], strlen(matches[i]), status);
        if (list[i] == NULL)
            goto done;
    }
    *count = size;
    done = keep_sorted(list, size, arena, paths, status);
done:
    mem_free(list);
    globfree(&found);
    return done;
}

char *path_join(struct arena *arena, const char *folder, const char *name, pil_status *status)
{
    size_t size = strlen(folder);
    if (name[0] == '/' || size == 0)
        return arena_text(arena, name, strlen(name), status);
    return arena_format(arena, status, folder[size - 1] == '/' ? "%s%s" : "%s/%s", folder, name);
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* ---- safe replacement ---------------------------------------------------------------------------------------- */

struct file_writer {
    int fd;
    char *path, *temporary;
    char *buffer;
    size_t buffered;
    int64_t offset;   /* bytes accepted */
    pil_status error; /* the first one; it decides finish */
};

static void writer_free(struct file_writer *writer)
{
    mem_free(writer->path);
    mem_free(writer->temporary);
    mem_free(writer->buffer);
    mem_free(writer);
}

struct file_writer *file_writer_new(const char *path, pil_status *status)
{
    struct file_writer *writer = mem_new(sizeof(*writer), status);
    if (writer == NULL)
        return NULL;
    size_t size = strlen(path) + 32;
    writer->path = mem_text(path, status);
    writer->temporary = mem_array(size, 1, status);
    writer->buffer = mem_array(WRITE_BUFFER, 1, status);
    if (writer->path == NULL || writer->temporary == NULL || writer->buffer == NULL)
        goto failed;
    snprintf(writer->temporary, size, "%s.tmp-%ld", path, (long)getpid());
    writer->fd = open_file(writer->temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (writer->fd < 0) {
        file_fail(status, path, "write", errno);
        goto failed;
    }
    return writer;
failed:
    writer_free(writer);
    return NULL;
}

/* Hands the writer's error on to the caller's status. */
static bool pass_error(const struct file_writer *writer, pil_status *status)
{
    return status_fail(status, writer->error.code, "%s", writer->error.message);
}

static bool flush(struct file_writer *writer)
{
    if (!write_all(writer->fd, writer->buffer, writer->buffered))
        return file_fail(&writer->error, writer->path, "write", errno);
    writer->buffered = 0;
    return true;
}

bool file_write(struct file_writer *writer, const void *data, size_t size, pil_status *status)
{
    if (!status_ok(&writer->error))
        return pass_error(writer, status);
    writer->offset += (int64_t)size;
    if (size > WRITE_BUFFER - writer->buffered) {
        if (!flush(writer))
            return pass_error(writer, status);
        if (size >= WRITE_BUFFER) { /* nothing to gain from a copy */
            if (!write_all(writer->fd, data, size)) {
                file_fail(&writer->error, writer->path, "write", errno);
                return pass_error(writer, status);
            }
            return true;
        }
    }
    if (size > 0)
        memcpy(writer->buffer + writer->buffered, data, size);
    writer->buffered += size;
    return true;
}

int64_t file_writer_offset(const struct file_writer *writer)
{
    return writer->offset;
}

bool file_writer_finish(struct file_writer *writer, pil_status *status)
{
    pil_status *error = &writer->error;
    if (status_ok(error))
        flush(writer);
    if (status_ok(error) && sync_file(writer->fd) != 0)
        file_fail(error, writer->path, "sync", errno);
    if (close_file(writer->fd) != 0)
        file_fail(error, writer->path, "close", errno);
    if (status_ok(error) && current->rename(writer->temporary, writer->path) != 0)
        file_fail(error, writer->path, "replace", errno);
    if (status_ok(error))
        file_sync_folder_of(writer->path, error);
    else
        current->unlink(writer->temporary);
    bool done = status_ok(error) || pass_error(writer, status);
    writer_free(writer);
    return done;
}

void file_writer_abandon(struct file_writer *writer)
{
    if (writer == NULL)
        return;
    current->close(writer->fd);
    current->unlink(writer->temporary);
    writer_free(writer);
}

bool file_replace(const char *path, const void *data, size_t size, pil_status *status)
{
    struct file_writer *writer = file_writer_new(path, status);
    if (writer == NULL)
        return false;
    file_write(writer, data, size, status); /* the writer keeps the error */
    return file_writer_finish(writer, status);
}

/* ---- the lock ------------------------------------------------------------------------------------------------ */

struct file_lock {
    int fd;
};

/* The holder's process number stands in the file, as a help for people only: the kernel's lock decides. */
static bool fail_busy(int fd, const char *path, pil_status *status)
{
    char text[24] = "";
    int64_t got = current->pread(fd, text, sizeof(text) - 1, 0);
    long holder = got > 0 ? strtol(text, NULL, 10) : 0;
    if (holder > 0)
        status_fail(status, PIL_BUSY, "%s: in use by process %ld", path, holder);
    else
        status_fail(status, PIL_BUSY, "%s: in use by another process", path);
    return status_hint(status, "wait until it ends, or stop it");
}

/* The file stays when the lock is freed: removing it would let two processes lock two files of one name. */
struct file_lock *file_lock_new(const char *path, pil_status *status)
{
    struct file_lock *lock = mem_new(sizeof(*lock), status);
    if (lock == NULL)
        return NULL;
    lock->fd = open_file(path, O_RDWR | O_CREAT, 0666);
    if (lock->fd < 0) {
        file_fail(status, path, "open", errno);
        goto failed;
    }
    int result;
    do
        result = flock(lock->fd, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    if (result != 0) {
        if (errno == EWOULDBLOCK)
            fail_busy(lock->fd, path, status);
        else
            file_fail(status, path, "lock", errno);
        current->close(lock->fd);
        goto failed;
    }
    char text[24];
    int size = snprintf(text, sizeof(text), "%-20ld\n", (long)getpid()); /* of fixed width: it overwrites an older one */
    (void)write_all(lock->fd, text, (size_t)size);
    return lock;
failed:
    mem_free(lock);
    return NULL;
}

void file_lock_free(struct file_lock *lock)
{
    if (lock == NULL)
        return;
    current->close(lock->fd);
    mem_free(lock);
}
