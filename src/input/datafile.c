/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file of an input. An input is what its files held when it was opened: what is appended later is not read. A file that
 * became shorter is an error, and so is one that was written to and has other first or last bytes than before: rows of two
 * versions would mix, and a cursor would point to a row that was another one.
 *
 * Regular files are read piece by piece. Pipes with a name, and files that the system makes up as they are read (/proc), tell
 * no size and are read but once: these are kept in memory, for the next pass.
 */
#include "input/internal.h"

/* The hashes of the first and last bytes, through `scratch`. */
static bool read_ends(struct datafile *file, struct datafile_ends *ends, char *scratch, pil_status *status)
{
    const size_t part = MIN(file->size, (size_t)DATAFILE_SCRATCH);
    if (!file_read_at(&file->reader, 0, scratch, part, status))
        return false;
    ends->gzip = stream_is_gzip(scratch, part);
    ends->first = ends->last = fingerprint64(scratch, part);
    if (file->size == part)
        return true;
    if (!file_read_at(&file->reader, (int64_t)(file->size - part), scratch, part, status))
        return false;
    ends->last = fingerprint64(scratch, part);
    return true;
}

static bool keep_in_memory(struct datafile *file, pil_status *status)
{
    if (!file_load(file->path, &file->data, status))
        return false;
    file->kind = DATAFILE_MEMORY;
    file->size = file->data.size;
    const size_t part = MIN(file->size, (size_t)DATAFILE_SCRATCH);
    file->ends = (struct datafile_ends){ .first = fingerprint64(file->data.data, part),
                                         .last = fingerprint64(file->data.data + file->size - part, part),
                                         .gzip = stream_is_gzip(file->data.data, part) };
    return true;
}

bool datafile_open(struct datafile *file, const char *path, char *scratch, pil_status *status)
{
    *file = (struct datafile){ .path = path, .kind = DATAFILE_REGULAR, .reader.fd = -1, .data.data = "" };
    if (file_is_regular(path)) {
        if (!file_reader_open(&file->reader, path, status))
            return false;
        file->size = (size_t)file->reader.size;
        if (!read_ends(file, &file->ends, scratch, status))
            return false;
    }
    if (file->size == 0 && !keep_in_memory(file, status))
        return false;
    return file->size > 0 || status_fail(status, PIL_BAD_DATA, "%s: is empty", path);
}

void datafile_descriptor(struct datafile *file, const char *path)
{
    *file = (struct datafile){ .path = path, .kind = DATAFILE_DESCRIPTOR, .reader.fd = -1, .data.data = "" };
}

bool datafile_start(struct datafile *file, struct stream *stream, pil_status *status)
{
    switch (file->kind) {
    case DATAFILE_DESCRIPTOR:
        return stream_start_descriptor(stream, file->path, 0, status);
    case DATAFILE_MEMORY:
        return stream_start_memory(stream, file->path, &file->data, status);
    default:
        return stream_start_file(stream, &file->reader, file->ends.gzip, status);
    }
}

bool datafile_check(struct datafile *file, char *scratch, pil_status *status)
{
    struct datafile_ends now;
    bool touched;
    if (file->kind != DATAFILE_REGULAR)
        return true;
    if (!file_reader_touched(&file->reader, &touched, status))
        return false;
    if (!touched)
        return true;
    if (!read_ends(file, &now, scratch, status))
        return false;
    return (now.first == file->ends.first && now.last == file->ends.last) || file_reader_changed(&file->reader, status);
}

uint64_t datafile_fingerprint(const struct datafile *file, uint64_t hash)
{
    if (file->kind == DATAFILE_DESCRIPTOR)
        return hash;
    hash = fingerprint_cat64(hash, (uint64_t)file->size);
    hash = fingerprint_cat64(hash, file->ends.first);
    return fingerprint_cat64(hash, file->ends.last);
}

void datafile_close(struct datafile *file)
{
    file_reader_pause(&file->reader);
    file_unload(&file->data);
}
