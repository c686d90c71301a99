/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sources of this room share and nobody else sees.
 */
#ifndef PILASTER_INPUT_INTERNAL_H
#define PILASTER_INPUT_INTERNAL_H

#include "input/input.h"
#include "kernel/kernel.h"

/* ---- stream.c: bytes that can only be read in order ---- */
/* A gzip file in memory, or a descriptor with gzip or plain bytes. One stream serves one file after the other. */
struct stream;
struct stream *stream_new(pil_status *status);
bool stream_is_gzip(const char *data, size_t size);                                        /* by the magic */
void stream_start(struct stream *stream, const char *path, const char *data, size_t size); /* of a gzip file */
bool stream_start_descriptor(struct stream *stream, const char *path, int fd, pil_status *status);
/* Up to `size` bytes; *got 0: the end. From a descriptor: what is there, at least one byte. */
bool stream_read(struct stream *stream, char *out, size_t size, size_t *got, pil_status *status);
size_t stream_left(const struct stream *stream); /* compressed bytes of a file in memory not yet read */
void stream_free(struct stream *stream);

/* ---- rows.c: what the parsers share ---- */
bool split_check(const struct row_split *split, pil_status *status); /* share within 0 .. 1 */
/* The part that a record belongs to, by the bytes that decide. */
static inline bool split_keeps(const struct row_split *split, struct slice text)
{
    double place = (double)(fingerprint64(text.data, text.size) >> 11) * 0x1p-53;
    return (place < split->share) == split->held_out;
}
/* Adds to an error about `cell` of `record` the record (a piece of it around the cell), a caret line and what can be done. */
bool show_cell(struct slice record, struct slice cell, const char *advice, pil_status *status);

#endif
