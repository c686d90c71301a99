/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sources of this room share and nobody else sees.
 */
#ifndef PILASTER_INPUT_INTERNAL_H
#define PILASTER_INPUT_INTERNAL_H

#include "input/input.h"

/* ---- stream.c: bytes that can only be read in order ---- */
/* A gzip file in memory, or a descriptor with gzip or plain bytes. One stream serves one file after the other. */
struct stream;
struct stream *stream_new(pil_status *status);
bool stream_is_gzip(const char *data, size_t size); /* by the magic */
void stream_start(struct stream *stream, const char *path, const char *data, size_t size); /* of a gzip file */
bool stream_start_descriptor(struct stream *stream, const char *path, int fd, pil_status *status);
/* Up to `size` bytes; *got 0: the end. From a descriptor: what is there, at least one byte. */
bool stream_read(struct stream *stream, char *out, size_t size, size_t *got, pil_status *status);
size_t stream_left(const struct stream *stream); /* compressed bytes of a file in memory not yet read */
void stream_free(struct stream *stream);

#endif
