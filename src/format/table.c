/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LevelDB's sorted string table (its doc/table_format.md), as TensorFlow writes a checkpoint's .index:
 *
 *     data block ... data block | metaindex block (empty) | index block | footer (48 bytes)
 *
 *     block   entries, restart offsets (uint32 each), their count (uint32), then outside of the block's size:
 *             one byte of compression type, uint32 masked crc32c of block and type
 *     entry   varints shared, unshared, value size; the key's last `unshared` bytes; the value. The first `shared` bytes
 *             are those of the key before. At a restart (every 16th entry) shared is 0.
 *     index   an entry a data block: a key >= its last key and < the next block's first; value: varints offset, size
 *     footer  handles of metaindex and index, zeros up to 40 bytes, magic number
 *
 * All entries are read at once: an .index is small, and once it is read nothing of it can fail. Values stay where they are
 * in the file (or in the uncompressed block); keys are put together in an arena, NUL-terminated.
 */
#include "format/internal.h"

#include <string.h>

#include "kernel/kernel.h"

static const uint64_t MAGIC = 0xDB4775248B80FB57u;
enum { COMPRESSION_NONE = 0, COMPRESSION_SNAPPY = 1 };
enum { FOOTER = 48, TRAILER = 5, RESTART_INTERVAL = 16 };
enum { BLOCK_SIZE = 256 << 10 };                   /* tensorflow/core/lib/io/table_options.h; BundleWriter keeps it */
enum { EXPANSION = 64, EXPANSION_FREE = 1 << 20 }; /* keys put together may have so many times the file's bytes, and 1 MiB */
enum { FILE_LIMIT = 1 << 30 };

struct handle {
    uint64_t offset, size;
};

/* ---- reading ------------------------------------------------------------------------------------------------- */

struct entry {
    struct slice key, value;
};
struct table {
    struct slice file;
    const char *path;    /* for errors; the caller's, while opening only */
    struct arena *arena; /* keys, uncompressed blocks */
    struct entry *entries;
    size_t count, capacity;
    size_t key_bytes; /* of all keys */
};
/* A walk through a block. `key` is put together from the keys before it. */
struct cursor {
    struct slice rest;
    char *key;
    size_t key_size, key_capacity;
};

static uint32_t fixed32(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static bool take_handle(struct slice *bytes, struct handle *handle)
{
    return wire_varint(bytes, &handle->offset) && wire_varint(bytes, &handle->size);
}

/* What a compressed block holds, in the arena. Only data blocks were ever compressed, but any may be. */
static bool uncompress(struct table *table, size_t offset, char kind, struct slice *block, pil_status *status)
{
    size_t size;
    if (kind != COMPRESSION_SNAPPY) {
        status_fail(status, PIL_UNSUPPORTED, "%s: the block at byte %zu is compressed in a way (%d) that is not read",
                    table->path, offset, kind);
        return status_hint(status, "restore the checkpoint in TensorFlow and save it again");
    }
    char *out = snappy_size(*block, &size) ? arena_alloc(table->arena, size + 1, status) : NULL;
    if (!status_ok(status))
        return false;
    if (out == NULL || !snappy_uncompress(*block, out, size))
        return status_fail(status, PIL_BAD_DATA, "%s: the block at byte %zu cannot be uncompressed", table->path, offset);
    *block = slice_of(out, size);
    return true;
}

/* The entries of the block at `handle`, checked: within the file, checksum, compression, restarts. */
static bool block_read(struct table *table, struct handle handle, struct slice *entries, pil_status *status)
{
    const char *path = table->path;
    size_t end = table->file.size - FOOTER;
    if (handle.offset > end || handle.size > end - handle.offset || end - handle.offset - handle.size < TRAILER)
        return status_fail(status, PIL_BAD_DATA, "%s: a block is said to lie outside the file", path);
    size_t offset = (size_t)handle.offset;
    struct slice block = slice_of(table->file.data + offset, (size_t)handle.size);
    char kind = block.data[block.size];
    if (fixed32(block.data + block.size + 1) != crc32c_mask(crc32c(0, block.data, block.size + 1)))
        return status_fail(status, PIL_BAD_DATA, "%s: the block at byte %zu is damaged (checksum)", path, offset);
    if (kind != COMPRESSION_NONE && !uncompress(table, offset, kind, &block, status))
        return false;
    uint32_t restarts = block.size >= 4 ? fixed32(block.data + block.size - 4) : 0;
    if (block.size < 4 || restarts > (block.size - 4) / 4)
        return status_fail(status, PIL_BAD_DATA, "%s: the block at byte %zu is damaged (restarts)", path, offset);
    *entries = slice_of(block.data, block.size - 4 - 4 * (size_t)restarts);
    return true;
}

/* Takes the next entry off a block; its key is then in the cursor. */
static bool cursor_next(const struct table *table, struct cursor *cursor, struct slice *value, pil_status *status)
{
    uint64_t shared, unshared, value_size;
    struct slice *rest = &cursor->rest;
    if (!wire_varint(rest, &shared) || !wire_varint(rest, &unshared) || !wire_varint(rest, &value_size) ||
        shared > cursor->key_size || unshared > rest->size || value_size > rest->size - unshared)
        return status_fail(status, PIL_BAD_DATA, "%s: an entry is longer than its block", table->path);
    cursor->key_size = (size_t)(shared + unshared);
    if (!mem_grow(&cursor->key, &cursor->key_capacity, cursor->key_size + 1, 1, status))
        return false;
    memcpy(cursor->key + shared, rest->data, (size_t)unshared);
    *value = slice_of(rest->data + unshared, (size_t)value_size);
    *rest = slice_of(value->data + value->size, rest->size - (size_t)unshared - value->size);
    return true;
}

/* A few bytes can stand for a long key, so a hostile file of a megabyte could ask for many gigabytes: what all keys may
 * take is bound to the file's size. */
static bool keep_entry(struct table *table, struct slice key, struct slice value, pil_status *status)
{
    if (table->count > 0 && slice_compare(table->entries[table->count - 1].key, key) >= 0)
        return status_fail(status, PIL_BAD_DATA, "%s: keys do not ascend", table->path);
    table->key_bytes += key.size;
    if (table->key_bytes > EXPANSION_FREE && (table->key_bytes - EXPANSION_FREE) / EXPANSION > table->file.size)
        return status_fail(status, PIL_BAD_DATA, "%s: its keys take more than %d times the file's size", table->path, EXPANSION);
    if (!mem_grow(&table->entries, &table->capacity, table->count + 1, sizeof *table->entries, status))
        return false;
    const char *copy = arena_text(table->arena, key.data, key.size, status);
    if (copy == NULL)
        return false;
    table->entries[table->count++] = (struct entry){ slice_of(copy, key.size), value };
    return true;
}

static bool read_data_block(struct table *table, struct handle handle, struct cursor *cursor, pil_status *status)
{
    struct slice value;
    cursor->key_size = 0;
    if (!block_read(table, handle, &cursor->rest, status))
        return false;
    while (cursor->rest.size > 0) {
        if (!cursor_next(table, cursor, &value, status) ||
            !keep_entry(table, slice_of(cursor->key, cursor->key_size), value, status))
            return false;
    }
    return true;
}

/* The index block's keys only serve to find a block quickly, so only its values are used: they lead to the data blocks. */
static bool read_blocks(struct table *table, struct handle index_handle, pil_status *status)
{
    struct cursor index = { 0 }, data = { 0 };
    bool fine = block_read(table, index_handle, &index.rest, status);
    while (fine && index.rest.size > 0) {
        struct slice value;
        struct handle handle;
        fine = cursor_next(table, &index, &value, status);
        if (fine && !take_handle(&value, &handle))
            fine = status_fail(status, PIL_BAD_DATA, "%s: the index block is damaged", table->path);
        fine = fine && read_data_block(table, handle, &data, status);
    }
    mem_free(index.key);
    mem_free(data.key);
    return fine;
}

static bool read_footer(const struct table *table, struct handle *metaindex, struct handle *index, pil_status *status)
{
    struct slice file = table->file;
    if (file.size < FOOTER)
        return status_fail(status, PIL_BAD_DATA, "%s: %zu bytes are too few for a checkpoint's index", table->path, file.size);
    const char *footer = file.data + file.size - FOOTER;
    struct slice handles = slice_of(footer, FOOTER - 8);
    uint64_t magic = (uint64_t)fixed32(footer + FOOTER - 4) << 32 | fixed32(footer + FOOTER - 8);
    if (magic != MAGIC)
        return status_fail(status, PIL_BAD_DATA, "%s: not a checkpoint's index, or cut off (magic number)", table->path);
    if (!take_handle(&handles, metaindex) || !take_handle(&handles, index))
        return status_fail(status, PIL_BAD_DATA, "%s: the footer is damaged", table->path);
    return true;
}

struct table *table_open(struct slice file, const char *path, pil_status *status)
{
    struct handle metaindex, index;
    struct slice unused;
    struct table *table = mem_new(sizeof *table, status);
    if (table == NULL)
        return NULL;
    *table = (struct table){ .file = file, .path = path, .arena = arena_new(status) };
    if (table->arena == NULL || !read_footer(table, &metaindex, &index, status) ||
        !block_read(table, metaindex, &unused, status) || !read_blocks(table, index, status)) {
        table_close(table);
        return NULL;
    }
    table->path = NULL;
    return table;
}

size_t table_count(const struct table *table)
{
    return table->count;
}

struct slice table_key(const struct table *table, size_t i)
{
    return table->entries[i].key;
}

struct slice table_value(const struct table *table, size_t i)
{
    return table->entries[i].value;
}

void table_close(struct table *table)
{
    if (table == NULL)
        return;
    arena_free(table->arena);
    mem_free(table->entries);
    mem_free(table);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* A block being built. */
struct block {
    struct text bytes, restarts, last_key;
    int interval, since_restart;
};
struct table_writer {
    struct block data, index;
    struct text file;
    struct handle pending; /* the block written last: its index entry waits for the next block's first key */
    bool has_pending;
    size_t count;
};

static void put_fixed32(struct text *out, uint32_t value)
{
    char bytes[4] = { (char)value, (char)(value >> 8), (char)(value >> 16), (char)(value >> 24) };
    text_append(out, bytes, 4);
}

static void block_put(struct block *block, struct slice key, struct slice value)
{
    size_t shared = 0;
    if (block->bytes.size == 0 || block->since_restart == block->interval) {
        put_fixed32(&block->restarts, (uint32_t)block->bytes.size);
        block->since_restart = 0;
    } else {
        while (shared < MIN(key.size, block->last_key.size) && key.data[shared] == block->last_key.data[shared])
            shared++;
    }
    block->since_restart++;
    wire_put_varint(&block->bytes, shared);
    wire_put_varint(&block->bytes, key.size - shared);
    wire_put_varint(&block->bytes, value.size);
    text_append(&block->bytes, key.data + shared, key.size - shared);
    text_append(&block->bytes, value.data, value.size);
    text_clear(&block->last_key);
    text_append(&block->last_key, key.data, key.size);
}

/* Its size as it will lie in the file, as LevelDB estimates it. An empty block has one restart too. */
static size_t block_size(const struct block *block)
{
    return block->bytes.size + MAX(block->restarts.size, 4) + 4;
}

/* Ends the block and moves it to the file. */
static struct handle block_write(struct block *block, struct text *file)
{
    struct handle handle = { file->size, block_size(block) };
    if (block->restarts.size == 0)
        put_fixed32(&block->restarts, 0);
    text_append(file, block->bytes.data, block->bytes.size);
    text_append(file, block->restarts.data, block->restarts.size);
    put_fixed32(file, (uint32_t)(block->restarts.size / 4));
    text_append(file, "", 1); /* compression: none */
    if (block->bytes.failed || block->restarts.failed || block->last_key.failed)
        file->failed = true;
    if (!file->failed)
        put_fixed32(file, crc32c_mask(crc32c(0, file->data + handle.offset, (size_t)handle.size + 1)));
    text_clear(&block->bytes);
    text_clear(&block->restarts);
    return handle; /* last_key stays: the index entry is made from it */
}

static void block_free(struct block *block)
{
    text_free(&block->bytes);
    text_free(&block->restarts);
    text_free(&block->last_key);
}

/* The shortest key k with last <= k < next that LevelDB would choose (next NULL: any k >= last): `last` is cut behind the
 * first byte that can be raised by one. Readers need no more than the inequality; the same choice gives the same file. */
static void shorten(struct text *last, const struct slice *next)
{
    size_t at = 0;
    if (next == NULL) {
        while (at < last->size && (unsigned char)last->data[at] == 0xFF)
            at++;
        if (at == last->size)
            return;
    } else {
        size_t common = MIN(last->size, next->size);
        while (at < common && last->data[at] == next->data[at])
            at++;
        if (at == common)
            return; /* one is the other's beginning */
        unsigned char low = (unsigned char)last->data[at], high = (unsigned char)next->data[at];
        if (low == 0xFF || low + 1 >= high)
            return;
    }
    last->data[at]++;
    last->size = at + 1;
}

/* Writes the index entry of the data block that was ended last. */
static void put_pending(struct table_writer *writer, const struct slice *next)
{
    struct text handle = { 0 }, *last = &writer->data.last_key;
    wire_put_varint(&handle, writer->pending.offset);
    wire_put_varint(&handle, writer->pending.size);
    if (last->failed || handle.failed) {
        writer->file.failed = true;
    } else {
        shorten(last, next);
        block_put(&writer->index, slice_of(last->data, last->size), slice_of(handle.data, handle.size));
    }
    text_free(&handle);
    writer->has_pending = false;
}

struct table_writer *table_writer_new(pil_status *status)
{
    struct table_writer *writer = mem_new(sizeof *writer, status);
    if (writer == NULL)
        return NULL;
    writer->data.interval = RESTART_INTERVAL;
    writer->index.interval = 1;
    writer->file.limit = writer->index.bytes.limit = FILE_LIMIT;
    return writer;
}

bool table_put(struct table_writer *writer, struct slice key, struct slice value, pil_status *status)
{
    struct text *last = &writer->data.last_key;
    if (writer->count > 0 && slice_compare(slice_of(last->data, last->size), key) >= 0)
        return status_fail(status, PIL_INTERNAL, "keys of a table must ascend: '%.*s' comes after '%.*s'",
                           (int)MIN(key.size, 200), key.data, (int)MIN(last->size, 200), last->data);
    if (writer->has_pending)
        put_pending(writer, &key);
    block_put(&writer->data, key, value);
    writer->count++;
    if (block_size(&writer->data) >= BLOCK_SIZE) {
        writer->pending = block_write(&writer->data, &writer->file);
        writer->has_pending = true;
    }
    return text_ok(&writer->file, status) && text_ok(&writer->data.bytes, status) && text_ok(&writer->data.restarts, status) &&
           text_ok(last, status);
}

bool table_finish(struct table_writer *writer, struct text *out, pil_status *status)
{
    if (writer->data.bytes.size > 0) {
        writer->pending = block_write(&writer->data, &writer->file);
        writer->has_pending = true;
    }
    if (writer->has_pending)
        put_pending(writer, NULL);
    struct block metaindex = { .interval = 1 };
    struct handle handles[2] = { block_write(&metaindex, &writer->file) };
    handles[1] = block_write(&writer->index, &writer->file);
    block_free(&metaindex);

    struct text footer = { 0 };
    for (int i = 0; i < 2; i++) {
        wire_put_varint(&footer, handles[i].offset);
        wire_put_varint(&footer, handles[i].size);
    }
    static const char zeros[FOOTER] = { 0 };
    text_append(&footer, zeros, FOOTER - 8 - footer.size);
    put_fixed32(&footer, (uint32_t)MAGIC);
    put_fixed32(&footer, (uint32_t)(MAGIC >> 32));
    bool fine = text_ok(&footer, status) && text_ok(&writer->file, status);
    if (fine) {
        text_append(out, writer->file.data, writer->file.size);
        text_append(out, footer.data, footer.size);
        fine = text_ok(out, status);
    }
    text_free(&footer);
    table_writer_free(writer);
    return fine;
}

void table_writer_free(struct table_writer *writer)
{
    if (writer == NULL)
        return;
    block_free(&writer->data);
    block_free(&writer->index);
    text_free(&writer->file);
    mem_free(writer);
}
