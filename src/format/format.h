/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format: files as others write them. Protobuf's wire, TFRecord frames, LevelDB's sorted string table, TensorFlow's
 * checkpoint bundle, event files. Readers trust nothing: every size is checked against the file before it is used.
 */
#ifndef PILASTER_FORMAT_H
#define PILASTER_FORMAT_H

#include "tensor/tensor.h"

/* ---- wire.c: protobuf's wire format ---- */
enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;     /* VARINT, FIXED64, FIXED32 */
    struct slice bytes; /* BYTES: a string, a message, packed numbers */
};
/* Takes the next field off `message`. False at its end and on damage: `*damaged` tells which. */
bool wire_next(struct slice *message, struct wire_field *field, bool *damaged);
bool wire_varint(struct slice *bytes, uint64_t *value);
int64_t wire_zigzag(uint64_t value);
/* Writers append to a text (bytes, not characters). */
void wire_put_varint(struct text *out, uint64_t value);
void wire_put_uint(struct text *out, uint32_t number, uint64_t value);
void wire_put_fixed32(struct text *out, uint32_t number, uint32_t value);
void wire_put_double(struct text *out, uint32_t number, double value);
void wire_put_float(struct text *out, uint32_t number, float value);
void wire_put_bytes(struct text *out, uint32_t number, const void *data, size_t size);
void wire_put_text(struct text *out, uint32_t number, const char *text);
void wire_put_message(struct text *out, uint32_t number, const struct text *message);

/* ---- record.c: TFRecord frames (length, masked crc32c, data, masked crc32c) ---- */
uint32_t crc32c_mask(uint32_t crc);
uint32_t crc32c_unmask(uint32_t masked);
/* The record at *offset of `file`; moves *offset behind it. False at the end (status ok) or on damage (status filled,
 * naming `path` and the offset). */
bool record_next(struct slice file, size_t *offset, struct slice *record, const char *path, pil_status *status);
void record_put(struct text *out, const void *data, size_t size);

/* ---- table.c: LevelDB's sorted string table, as TensorFlow writes an .index (uncompressed, 16 entries a restart) ---- */
struct table;
struct table *table_open(struct slice file, const char *path, pil_status *status); /* checks magic and every checksum */
size_t table_count(const struct table *table);
struct slice table_key(const struct table *table, size_t i);
struct slice table_value(const struct table *table, size_t i);
void table_close(struct table *table);
struct table_writer *table_writer_new(pil_status *status);
bool table_put(struct table_writer *writer, struct slice key, struct slice value, pil_status *status); /* keys ascend strictly */
bool table_finish(struct table_writer *writer, struct text *out, pil_status *status);                  /* frees the writer */
void table_writer_free(struct table_writer *writer);

/* ---- bundle.c: TensorFlow's checkpoint bundle (prefix.index, prefix.data-NNNNN-of-NNNNN) ---- */
struct bundle_entry {
    const char *name;
    enum dtype dtype;
    struct shape shape;
    int64_t bytes;    /* of its data; a partitioned variable: of the whole */
    bool partitioned; /* stored in slices; bundle_read puts them together */
    int shard;
    int64_t offset;
    uint32_t crc; /* as stored (masked) */
};
struct bundle;
/* Opens and checks the index; data files are opened when first needed and read in pieces. `prefix` as TensorFlow names it: folder/model.ckpt-20. */
struct bundle *bundle_open(const char *prefix, pil_status *status);
size_t bundle_count(const struct bundle *bundle);
const struct bundle_entry *bundle_at(const struct bundle *bundle, size_t i); /* ascending by name */
const struct bundle_entry *bundle_find(const struct bundle *bundle, const char *name);
/* Copies a tensor's values, contiguous, checksum verified, into out (entry->bytes of it). Numbers only. */
bool bundle_read(struct bundle *bundle, const struct bundle_entry *entry, void *out, pil_status *status);
/* The parts of a partitioned tensor that are stored; the rest of out is left alone. `elements`: how many were copied. (In 1.x
 * the slot of one part of a variable has the whole's shape and only that part's values.) */
bool bundle_read_parts(struct bundle *bundle, const struct bundle_entry *entry, void *out, int64_t *elements, pil_status *status);
/* A string tensor's elements in the arena. */
bool bundle_read_strings(struct bundle *bundle, const struct bundle_entry *entry, struct arena *arena, struct slice **out,
                         pil_status *status);
/* The same values into a tensor of the entry's type and shape, whatever its strides: no memory is needed but for a piece (of a
 * partitioned entry: for the whole). Where the checksum is wrong, values have been written all the same. */
bool bundle_read_tensor(struct bundle *bundle, const struct bundle_entry *entry, const struct tensor *out, pil_status *status);
bool bundle_check(struct bundle *bundle, const struct bundle_entry *entry,
                  pil_status *status);                         /* of one (but not of a partitioned one) */
bool bundle_verify(struct bundle *bundle, pil_status *status); /* of every tensor */
void bundle_close(struct bundle *bundle);

/* Writing: names ascend by bytes. Data are given in pieces, so a table of any size needs one block of memory. Nothing is
 * seen under the final names before finish: data first, the index last, each synced and renamed. */
struct bundle_writer;
struct bundle_writer *bundle_writer_new(const char *prefix, pil_status *status);
bool bundle_begin(struct bundle_writer *writer, const char *name, enum dtype dtype, struct shape shape, pil_status *status);
bool bundle_data(struct bundle_writer *writer, const void *data, size_t bytes, pil_status *status);
bool bundle_end(struct bundle_writer *writer, pil_status *status); /* an error when the pieces do not sum to the shape */
bool bundle_strings(struct bundle_writer *writer, const char *name, struct shape shape, const struct slice *items,
                    pil_status *status);
bool bundle_writer_finish(struct bundle_writer *writer, pil_status *status); /* frees the writer, also on failure */
void bundle_writer_abandon(struct bundle_writer *writer);

/* ---- event.c: TensorBoard's event files ---- */
struct event_writer;
/* Makes `<folder>/events.out.tfevents.<seconds>.<host>[.<suffix>]` (folder included) with its version record. */
struct event_writer *event_writer_new(const char *folder, const char *suffix, double now, pil_status *status);
bool event_scalar(struct event_writer *writer, double now, int64_t step, const char *tag, float value, pil_status *status);
bool event_text(struct event_writer *writer, double now, int64_t step, const char *tag, const char *text, pil_status *status);
bool event_session_start(struct event_writer *writer, double now, int64_t step, pil_status *status);
bool event_flush(struct event_writer *writer, pil_status *status);
bool event_writer_close(struct event_writer *writer, pil_status *status); /* frees it, also on failure; NULL is fine */

#endif
