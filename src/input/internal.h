/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sources of this room share and nobody else sees.
 */
#ifndef PILASTER_INPUT_INTERNAL_H
#define PILASTER_INPUT_INTERNAL_H

#include "input/input.h"
#include "kernel/kernel.h"

/* ---- stream.c: bytes that can only be read in order ---- */
/* One stream serves one file after the other. What it reads from must outlive its use. */
struct stream;
struct stream *stream_new(pil_status *status);
bool stream_is_gzip(const char *data, size_t size); /* by the magic */
bool stream_start_memory(struct stream *stream, const char *path, const struct file_data *data, pil_status *status);
bool stream_start_file(struct stream *stream, struct file_reader *file, bool gzip, pil_status *status);
bool stream_start_descriptor(struct stream *stream, const char *path, int fd, pil_status *status);
/* Up to `size` bytes; *got 0: the end. From a descriptor: what is there, at least one byte. */
bool stream_read(struct stream *stream, char *out, size_t size, size_t *got, pil_status *status);
size_t stream_left(const struct stream *stream); /* raw bytes (of gzip: compressed ones) not used yet; not of a descriptor */
void stream_free(struct stream *stream);

/* ---- datafile.c: one file of an input ---- */
enum { DATAFILE_SCRATCH = 64 << 10 }; /* bytes of memory that some calls need; and how much of a file's ends is compared */
struct datafile_ends {
    uint64_t first, last;
    bool gzip;
};
struct datafile {
    const char *path; /* the caller's */
    enum { DATAFILE_REGULAR, DATAFILE_MEMORY, DATAFILE_DESCRIPTOR } kind;
    struct file_reader reader; /* REGULAR; may be paused */
    struct file_data data;     /* MEMORY */
    size_t size;               /* not of a descriptor */
    struct datafile_ends ends;
};
bool datafile_open(struct datafile *file, const char *path, char *scratch, pil_status *status); /* an empty one is an error */
void datafile_descriptor(struct datafile *file, const char *path);                              /* standard input */
bool datafile_start(struct datafile *file, struct stream *stream, pil_status *status);
/* Is the file what it was when it was opened? To be asked before and behind each reading. */
bool datafile_check(struct datafile *file, char *scratch, pil_status *status);
uint64_t datafile_fingerprint(const struct datafile *file, uint64_t hash); /* folded into the hash of the files before it */
void datafile_close(struct datafile *file);

/* ---- dataset.c: what the makers share ---- */
/* An empty dataset; what it returns without memory is one that already failed, which is never written to. */
struct pil_dataset *dataset_new(enum dataset_kind kind);
bool dataset_order(struct pil_dataset *dataset, int64_t batch_size, int64_t epochs, int64_t seed); /* checked and taken */
/* Adds a field with a copy of its name. Errors, begun with the maker's name: no name, a name twice. */
struct dataset_field *dataset_add(struct pil_dataset *dataset, const char *name);
/* Sets the shape of a row from dimensions up to the first 0. */
bool dataset_shape(struct pil_dataset *dataset, struct dataset_field *field, const int64_t dims[PIL_ROW_RANK]);
bool dataset_fail(struct pil_dataset *dataset, const char *format, ...) PRINTF_LIKE(2, 3); /* "MAKER: text"; the first stays */
enum field_type dataset_type(pil_feature_type type);                                       /* of one that is not PIL_TYPE_ANY */
/* An error about a name that no field has: "there is no feature 'x'", with the nearest there is. */
bool dataset_no_field(const struct pil_dataset *dataset, const char *name, pil_status *status);

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
