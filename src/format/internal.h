/* SPDX-License-Identifier: Apache-2.0 */
/* format, private: what bundle.c, shards.c, part.c and bundle_write.c share. */
#ifndef PILASTER_FORMAT_INTERNAL_H
#define PILASTER_FORMAT_INTERNAL_H

#include "format/format.h"

/* Numbers of BundleEntryProto's and BundleHeaderProto's fields (tensorflow/core/protobuf/tensor_bundle.proto). */
enum { HEADER_SHARDS = 1, HEADER_ENDIANNESS = 2, HEADER_VERSION = 3, VERSION_PRODUCER = 1, VERSION_MIN_CONSUMER = 2 };
enum { BUNDLE_VERSION = 1 };
enum { ENTRY_DTYPE = 1, ENTRY_SHAPE = 2, ENTRY_SHARD = 3, ENTRY_OFFSET = 4, ENTRY_SIZE = 5, ENTRY_CRC = 6, ENTRY_SLICES = 7 };
enum { SHAPE_DIM = 2, DIM_SIZE = 1 };

/* The checksum of a string tensor goes over its lengths, as uint32 where they fit and as uint64 where they do not, then
 * over the masked checksum of the lengths as it lies in the file, then over the bytes. */
uint32_t strings_crc_length(uint32_t crc, uint64_t length);

/* ---- shards.c: the data files of a bundle ---- */
struct shards;
struct shards *shards_new(const char *prefix, int count, pil_status *status);
/* Do the entry's bytes lie within its file? */
bool shards_place(struct shards *shards, const struct bundle_entry *entry, pil_status *status);
/* The entry's bytes and their checksum (not masked), which is not compared; out NULL: the checksum only. */
bool shards_fetch(struct shards *shards, const struct bundle_entry *entry, void *out, uint32_t *crc, pil_status *status);
/* With a checksum that is compared: one behind the other; into a tensor of the entry's shape and type; nowhere. */
bool shards_read(struct shards *shards, const struct bundle_entry *entry, void *out, pil_status *status);
bool shards_read_tensor(struct shards *shards, const struct bundle_entry *entry, const struct tensor *to, pil_status *status);
bool shards_check(struct shards *shards, const struct bundle_entry *entry, pil_status *status);
bool shards_damaged(const struct shards *shards, const struct bundle_entry *entry, pil_status *status); /* that error */
void shards_free(struct shards *shards);

/* ---- snappy.c ---- */
/* The uncompressed size a stream claims; false when no stream of its length could be so large. */
bool snappy_size(struct slice in, size_t *size);
/* Fills exactly `size` bytes; false on damage. */
bool snappy_uncompress(struct slice in, char *out, size_t size);

/* ---- part.c: slices of partitioned variables ---- */
/* A box within a variable: in each dimension where it starts and how long it is. */
struct part {
    struct shape shape; /* the lengths */
    int64_t start[SHAPE_MAX_RANK];
    bool whole[SHAPE_MAX_RANK]; /* stored as "all of this dimension", which makes another key than the same numbers */
};
/* From a TensorSliceProto; false when it does not fit into `whole`. */
bool part_parse(struct slice message, struct shape whole, struct part *part);
/* Appends the key under which the part's own entry stands. */
void part_key(struct text *out, const char *name, const struct part *part);
bool part_overlaps(const struct part *a, const struct part *b);
/* Copies the part's contiguous values to their place in the whole. */
void part_copy(const struct part *part, struct shape whole, size_t item, const void *from, void *to);

#endif
