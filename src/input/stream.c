/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one file after the other, in order: of regular files, of descriptors, of what is in memory already. Each may be
 * compressed by gzip; zlib inflates it.
 *
 * A gzip file is a list of members, each with a checksum and a length of its own; `cat a.gz b.gz` makes two. Zero bytes
 * behind a member are padding (tapes and some copiers leave them). A member that ends early, or whose checksum is wrong, is
 * an error: what was read until then is no data set.
 */
#include "input/internal.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <zlib.h>

enum { CHUNK = 64 << 10, GZIP_WINDOW = 15 + 16 }; /* the window's bits; 16 more: a gzip header */

struct stream {
    const char *path;
    struct file_reader *file;   /* raw bytes come from here, */
    int64_t at;                 /* the next of them from this place; */
    int fd;                     /* or from here; neither (NULL, -1): all are in `input` */
    const unsigned char *input; /* raw bytes not used yet */
    size_t left;
    bool input_ended; /* no raw byte follows `input` */
    bool gzip, in_member;
    unsigned char *chunk; /* [CHUNK] of raw bytes on their way to zlib */
    z_stream z;
    bool z_made;
};

/* zlib's memory is counted with all other. */
static void *z_allocate(void *context, uInt count, uInt size)
{
    (void)context;
    return mem_array(count, size, NULL);
}

static void z_release(void *context, void *memory)
{
    (void)context;
    mem_free(memory);
}

struct stream *stream_new(pil_status *status)
{
    struct stream *stream = mem_new(sizeof(*stream), status);
    if (stream == NULL)
        return NULL;
    stream->z.zalloc = z_allocate;
    stream->z.zfree = z_release;
    stream->z.next_in = (Bytef *)"";
    if (inflateInit2(&stream->z, GZIP_WINDOW) != Z_OK) {
        status_no_memory(status, sizeof(*stream));
        mem_free(stream);
        return NULL;
    }
    stream->z_made = true;
    return stream;
}

bool stream_is_gzip(const char *data, size_t size)
{
    return size >= 2 && memcmp(data, "\x1f\x8b", 2) == 0;
}

static bool start(struct stream *stream, const char *path, bool needs_chunk, pil_status *status)
{
    if (needs_chunk && stream->chunk == NULL && (stream->chunk = mem_new(CHUNK, status)) == NULL)
        return false;
    stream->path = path;
    stream->file = NULL;
    stream->fd = -1;
    stream->input = (const unsigned char *)"";
    stream->left = 0;
    stream->input_ended = stream->gzip = stream->in_member = false;
    return true;
}

bool stream_start_memory(struct stream *stream, const char *path, const struct file_data *data, pil_status *status)
{
    if (!start(stream, path, false, status))
        return false;
    stream->input = (const unsigned char *)data->data;
    stream->left = data->size;
    stream->input_ended = true;
    stream->gzip = stream_is_gzip(data->data, data->size);
    return true;
}

bool stream_start_file(struct stream *stream, struct file_reader *file, bool gzip, pil_status *status)
{
    if (!start(stream, file->path, gzip, status))
        return false;
    stream->file = file;
    stream->at = 0;
    stream->gzip = gzip;
    return true;
}

/* Some raw bytes; *got 0: there are no more. */
static bool read_raw(struct stream *stream, unsigned char *out, size_t size, size_t *got, pil_status *status)
{
    int64_t result;
    *got = 0;
    if (stream->file != NULL) {
        size = MIN(size, (size_t)(stream->file->size - stream->at));
        if (!file_read_at(stream->file, stream->at, out, size, status))
            return false;
        *got = size;
        stream->at += (int64_t)size;
        stream->input_ended = stream->at == stream->file->size;
        return true;
    }
    do
        result = file_calls()->read(stream->fd, out, size);
    while (result < 0 && errno == EINTR);
    if (result < 0)
        return file_fail(status, stream->path, "read", errno);
    *got = (size_t)result;
    stream->input_ended = result == 0;
    return true;
}

/* The magic has two bytes, and a pipe may bring them one by one. */
bool stream_start_descriptor(struct stream *stream, const char *path, int fd, pil_status *status)
{
    if (!start(stream, path, true, status))
        return false;
    stream->fd = fd;
    stream->input = stream->chunk;
    while (stream->left < 2 && !stream->input_ended) {
        size_t got = 0;
        if (!read_raw(stream, stream->chunk + stream->left, CHUNK - stream->left, &got, status))
            return false;
        stream->left += got;
    }
    stream->gzip = stream_is_gzip((const char *)stream->chunk, stream->left);
    return true;
}

static bool refill(struct stream *stream, pil_status *status)
{
    stream->input = stream->chunk;
    return read_raw(stream, stream->chunk, CHUNK, &stream->left, status);
}

static bool read_plain(struct stream *stream, char *out, size_t size, size_t *got, pil_status *status)
{
    if (stream->left == 0)
        return stream->input_ended ? (*got = 0, true) : read_raw(stream, (unsigned char *)out, size, got, status);
    *got = MIN(size, stream->left);
    memcpy(out, stream->input, *got);
    stream->input += *got;
    stream->left -= *got;
    return true;
}

/* Inflates from what is in memory; Z_OK, Z_STREAM_END, Z_BUF_ERROR or an error. */
static int inflate_some(struct stream *stream, char *out, size_t size, size_t *got)
{
    z_stream *z = &stream->z;
    uInt in = (uInt)MIN(stream->left, (size_t)UINT_MAX), room = (uInt)MIN(size, (size_t)UINT_MAX);
    z->next_in = (Bytef *)stream->input; /* zlib reads only, its type is older than const */
    z->avail_in = in;
    z->next_out = (Bytef *)out;
    z->avail_out = room;
    int result = inflate(z, Z_NO_FLUSH);
    stream->input += in - z->avail_in;
    stream->left -= in - z->avail_in;
    *got = room - z->avail_out;
    return result;
}

static bool damaged(struct stream *stream, int result, pil_status *status)
{
    if (result == Z_MEM_ERROR)
        return status_no_memory(status, 1 << 15);
    return status_fail(status, PIL_BAD_DATA, "%s: the compressed data is damaged: %s", stream->path,
                       stream->z.msg != NULL ? stream->z.msg : "zlib gives no reason");
}

/* The start of the next member, or the end: padding is passed over. */
static bool next_member(struct stream *stream, bool *end, pil_status *status)
{
    for (;;) {
        while (stream->left > 0 && *stream->input == 0) {
            stream->input++;
            stream->left--;
        }
        if (stream->left > 0) {
            *end = false;
            stream->in_member = true;
            int result = inflateReset(&stream->z);
            return result == Z_OK || damaged(stream, result, status);
        }
        *end = stream->input_ended;
        if (*end)
            return true;
        if (!refill(stream, status))
            return false;
    }
}

bool stream_read(struct stream *stream, char *out, size_t size, size_t *got, pil_status *status)
{
    if (!stream->gzip)
        return read_plain(stream, out, size, got, status);
    *got = 0;
    while (*got == 0) {
        bool end = false;
        if (!stream->in_member && !next_member(stream, &end, status))
            return false;
        if (end)
            return true;
        if (stream->left == 0 && !stream->input_ended && !refill(stream, status))
            return false;
        int result = inflate_some(stream, out, size, got);
        if (result == Z_STREAM_END)
            stream->in_member = false;
        else if (result != Z_OK && result != Z_BUF_ERROR)
            return damaged(stream, result, status);
        else if (*got == 0 && stream->left == 0 && stream->input_ended)
            return status_fail(status, PIL_BAD_DATA, "%s: the compressed data ends too early (a truncated file?)", stream->path);
    }
    return true;
}

size_t stream_left(const struct stream *stream)
{
    return stream->left + (stream->file != NULL ? (size_t)(stream->file->size - stream->at) : 0);
}

void stream_free(struct stream *stream)
{
    if (stream == NULL)
        return;
    if (stream->z_made)
        inflateEnd(&stream->z);
    mem_free(stream->chunk);
    mem_free(stream);
}
