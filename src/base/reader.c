/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file read at any place while others may write to it. A map would be shorter to write, but a file that becomes shorter
 * under a map ends the process (SIGBUS), and one that is written over changes values that were checked already. Here all that
 * is read is a copy, and an end that comes too early is an error like any other.
 *
 * The descriptor can be given back between reads (file_reader_pause), so that ten thousand files need not all be open. What
 * file_reader_touched compares is what the system keeps of a file: which one it is, its size, and when it was written last.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/base.h"

static bool stamp(struct file_reader *reader, struct file_stamp *out, pil_status *status)
{
    struct stat info;
    if (fstat(reader->fd, &info) != 0)
        return file_fail(status, reader->path, "read", errno);
    if (!S_ISREG(info.st_mode))
        return status_fail(status, PIL_IO, "%s: is %s", reader->path,
                           S_ISDIR(info.st_mode) ? "a folder, not a file" : "not a file that can be read at any place");
    *out = (struct file_stamp){ (uint64_t)info.st_dev, (uint64_t)info.st_ino, info.st_size, info.st_mtim.tv_sec,
                                info.st_mtim.tv_nsec };
    return true;
}

static bool resume(struct file_reader *reader, pil_status *status)
{
    while (reader->fd < 0) {
        reader->fd = file_calls()->open(reader->path, O_RDONLY, 0);
        if (reader->fd < 0 && errno != EINTR)
            return file_fail(status, reader->path, "open", errno);
    }
    return true;
}

bool file_reader_open(struct file_reader *reader, const char *path, pil_status *status)
{
    *reader = (struct file_reader){ .path = path, .fd = -1 };
    if (!resume(reader, status))
        return false;
    if (stamp(reader, &reader->stamp, status)) {
        reader->size = reader->stamp.size;
        return true;
    }
    file_reader_pause(reader);
    return false;
}

bool file_reader_changed(const struct file_reader *reader, pil_status *status)
{
    status_fail(status, PIL_BAD_DATA, "%s: changed while it was read", reader->path);
    return status_hint(status, "leave files alone while they are in use; write new ones beside them and rename those");
}

bool file_read_at(struct file_reader *reader, int64_t offset, void *data, size_t size, pil_status *status)
{
    char *out = data;
    if (!resume(reader, status))
        return false;
    while (size > 0) {
        int64_t got = file_calls()->pread(reader->fd, out, size, offset);
        if (got == 0)
            return file_reader_changed(reader, status);
        if (got < 0 && errno != EINTR)
            return file_fail(status, reader->path, "read", errno);
        if (got > 0) {
            out += got;
            offset += got;
            size -= (size_t)got;
        }
    }
    return true;
}

bool file_reader_touched(struct file_reader *reader, bool *touched, pil_status *status)
{
    struct file_stamp now;
    if (!resume(reader, status) || !stamp(reader, &now, status))
        return false;
    if (now.size < reader->size)
        return file_reader_changed(reader, status);
    const struct file_stamp *then = &reader->stamp;
    *touched = now.device != then->device || now.inode != then->inode || now.size != then->size || now.seconds != then->seconds ||
               now.nanoseconds != then->nanoseconds;
    reader->stamp = now;
    return true;
}

void file_reader_pause(struct file_reader *reader)
{
    if (reader->fd >= 0)
        file_calls()->close(reader->fd); /* opened for reading: a failure loses nothing */
    reader->fd = -1;
}
