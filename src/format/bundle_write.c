/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a checkpoint bundle: one data file, values end to end in the order of their names, and the index. Fields are
 * written as protobuf writes them (ascending, zeros left out), so that the same content gives TensorFlow's bytes.
 *
 * Both files are written beside their names. The data file gets its name first, the index last: an index never names bytes
 * that are not there. Writing over a bundle that somebody may be reading is the caller's business (checkpoint.c takes care
 * never to do it): between the two renames an old index would stand beside new data.
 */
#include "format/internal.h"

#include <inttypes.h>
#include <string.h>

#include "kernel/kernel.h"

struct bundle_writer {
    struct arena *arena;
    const char *data_path, *index_path;
    struct file_writer *data;
    struct table_writer *index;
    /* the tensor that is being written */
    const char *name; /* NULL between tensors */
    enum dtype dtype;
    struct shape shape;
    int64_t offset, bytes;
    uint32_t crc;
};

static bool put_header(struct bundle_writer *writer, pil_status *status)
{
    struct text header = { 0 }, version = { 0 };
    wire_put_uint(&version, VERSION_PRODUCER, BUNDLE_VERSION);
    wire_put_uint(&header, HEADER_SHARDS, 1);
    wire_put_message(&header, HEADER_VERSION, &version);
    bool fine = text_ok(&header, status) && table_put(writer->index, slice_of("", 0), slice_of(header.data, header.size), status);
    text_free(&header);
    text_free(&version);
    return fine;
}

struct bundle_writer *bundle_writer_new(const char *prefix, pil_status *status)
{
    struct bundle_writer *writer = mem_new(sizeof *writer, status);
    if (writer == NULL)
        return NULL;
    writer->arena = arena_new(status);
    if (writer->arena == NULL)
        goto failed;
    writer->data_path = arena_format(writer->arena, status, "%s.data-00000-of-00001", prefix);
    writer->index_path = arena_format(writer->arena, status, "%s.index", prefix);
    writer->index = table_writer_new(status);
    if (writer->data_path == NULL || writer->index_path == NULL || writer->index == NULL || !put_header(writer, status))
        goto failed;
    writer->data = file_writer_new(writer->data_path, status);
    if (writer->data == NULL)
        goto failed;
    return writer;
failed:
    bundle_writer_abandon(writer);
    return NULL;
}

static void put_shape(struct text *out, struct shape shape)
{
    struct text message = { 0 };
    for (int d = 0; d < shape.rank; d++) {
        struct text dim = { 0 };
        if (shape.dims[d] != 0)
            wire_put_uint(&dim, DIM_SIZE, (uint64_t)shape.dims[d]);
        wire_put_message(&message, SHAPE_DIM, &dim);
        text_free(&dim);
    }
    wire_put_message(out, ENTRY_SHAPE, &message);
    text_free(&message);
}

static bool put_entry(struct bundle_writer *writer, pil_status *status)
{
    struct text entry = { 0 };
    wire_put_uint(&entry, ENTRY_DTYPE, (uint64_t)writer->dtype);
    put_shape(&entry, writer->shape);
    if (writer->offset != 0)
        wire_put_uint(&entry, ENTRY_OFFSET, (uint64_t)writer->offset);
    if (writer->bytes != 0)
        wire_put_uint(&entry, ENTRY_SIZE, (uint64_t)writer->bytes);
    wire_put_fixed32(&entry, ENTRY_CRC, crc32c_mask(writer->crc));
    bool fine =
        text_ok(&entry, status) && table_put(writer->index, slice_text(writer->name), slice_of(entry.data, entry.size), status);
    text_free(&entry);
    writer->name = NULL;
    return fine;
}

/* Starts a tensor of any type. */
static bool start(struct bundle_writer *writer, const char *name, enum dtype dtype, struct shape shape, pil_status *status)
{
    if (writer->name != NULL)
        return status_fail(status, PIL_INTERNAL, "'%s' is begun before '%s' has ended", name, writer->name);
    if (name[0] == '\0' || shape_elements(shape) < 0)
        return status_fail(status, PIL_INTERNAL, "'%s' cannot be saved: its name is empty or its shape is not known", name);
    writer->name = arena_text(writer->arena, name, strlen(name), status);
    writer->dtype = dtype;
    writer->shape = shape;
    writer->offset = file_writer_offset(writer->data);
    writer->bytes = 0;
    writer->crc = 0;
    return writer->name != NULL;
}

bool bundle_begin(struct bundle_writer *writer, const char *name, enum dtype dtype, struct shape shape, pil_status *status)
{
    if (dtype_size(dtype) == 0)
        return status_fail(status, PIL_INTERNAL, "'%s' cannot be saved as %s", name, dtype_name(dtype));
    return start(writer, name, dtype, shape, status);
}

bool bundle_data(struct bundle_writer *writer, const void *data, size_t bytes, pil_status *status)
{
    writer->crc = crc32c(writer->crc, data, bytes);
    writer->bytes += (int64_t)bytes;
    return file_write(writer->data, data, bytes, status);
}

bool bundle_end(struct bundle_writer *writer, pil_status *status)
{
    if (writer->name == NULL)
        return status_fail(status, PIL_INTERNAL, "a tensor is ended that was not begun");
    int64_t expected = shape_elements(writer->shape) * (int64_t)dtype_size(writer->dtype);
    if (writer->bytes != expected)
        return status_fail(status, PIL_INTERNAL, "'%s' has %" PRId64 " bytes, %" PRId64 " were written", writer->name, expected,
                           writer->bytes);
    return put_entry(writer, status);
}

bool bundle_strings(struct bundle_writer *writer, const char *name, struct shape shape, const struct slice *items,
                    pil_status *status)
{
    struct text head = { .limit = SIZE_MAX / 2 };
    uint32_t crc = 0;
    if (!start(writer, name, DTYPE_STRING, shape, status))
        return false;
    int64_t count = shape_elements(shape);
    for (int64_t i = 0; i < count; i++) {
        wire_put_varint(&head, items[i].size);
        crc = strings_crc_length(crc, items[i].size);
    }
    uint32_t masked = crc32c_mask(crc);
    char checksum[4] = { (char)masked, (char)(masked >> 8), (char)(masked >> 16), (char)(masked >> 24) };
    text_append(&head, checksum, sizeof checksum);
    bool fine = text_ok(&head, status) && bundle_data(writer, head.data, head.size, status);
    text_free(&head);
    writer->crc = crc32c(crc, checksum, sizeof checksum); /* of the lengths as numbers, not as they lie in the file */
    for (int64_t i = 0; fine && i < count; i++)
        fine = bundle_data(writer, items[i].data, items[i].size, status);
    return fine && put_entry(writer, status);
}

/* A replacement may fail with the new file in its place (the sync of the folder). An index of a save that failed must not
 * stay, and the one that was there before has lost its data. */
static bool finish_index(struct bundle_writer *writer, const struct text *index, pil_status *status)
{
    if (file_replace(writer->index_path, index->data, index->size, status))
        return true;
    file_remove(writer->index_path, NULL);
    return false;
}

bool bundle_writer_finish(struct bundle_writer *writer, pil_status *status)
{
    struct text index = { .limit = SIZE_MAX / 2 };
    bool fine = writer->name == NULL || status_fail(status, PIL_INTERNAL, "'%s' was begun and not ended", writer->name);
    if (fine) {
        fine = table_finish(writer->index, &index, status);
        writer->index = NULL;
    }
    if (fine) {
        fine = file_writer_finish(writer->data, status) && finish_index(writer, &index, status);
        writer->data = NULL;
        if (!fine && !file_exists(writer->index_path))
            file_remove(writer->data_path, NULL); /* nobody finds data without an index */
    }
    text_free(&index);
    bundle_writer_abandon(writer);
    return fine;
}

void bundle_writer_abandon(struct bundle_writer *writer)
{
    if (writer == NULL)
        return;
    file_writer_abandon(writer->data);
    table_writer_free(writer->index);
    arena_free(writer->arena);
    mem_free(writer);
}
