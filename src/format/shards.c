/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data files (shards) of a checkpoint bundle. Values are read in pieces, each summed up while it is in the processor's
 * cache, to the place where they will be used: a table of any size needs no more memory than itself and a piece. Nothing is
 * mapped, for a file that is cut off under a map ends the process.
 *
 * The checksum is known at the end only. What was read before is in place by then, so a caller to whom that matters asks
 * shards_check first.
 *
 * A bundle may have a thousand shards; one is open at a time.
 */
#include <inttypes.h>
#include <string.h>

#include "format/internal.h"
#include "kernel/kernel.h"

enum { PIECE = 256 << 10 }; /* a multiple of every element's size */

struct shard {
    char *path;
    struct file_reader reader;
};
struct shards {
    struct arena *arena;
    const char *prefix;
    struct shard *list;
    int count;
    int open;    /* the one with a descriptor; -1: none */
    char *piece; /* [PIECE], once one was needed */
};

struct shards *shards_new(const char *prefix, int count, pil_status *status)
{
    struct shards *shards = mem_new(sizeof(*shards), status);
    if (shards == NULL)
        return NULL;
    shards->count = count;
    shards->open = -1;
    shards->arena = arena_new(status);
    shards->prefix = shards->arena != NULL ? arena_text(shards->arena, prefix, strlen(prefix), status) : NULL;
    shards->list = shards->prefix != NULL ? mem_array((size_t)count, sizeof(*shards->list), status) : NULL;
    if (shards->list != NULL)
        return shards;
    shards_free(shards);
    return NULL;
}

void shards_free(struct shards *shards)
{
    if (shards == NULL)
        return;
    if (shards->open >= 0)
        file_reader_pause(&shards->list[shards->open].reader);
    mem_free(shards->list);
    mem_free(shards->piece);
    arena_free(shards->arena);
    mem_free(shards);
}

static struct shard *open_shard(struct shards *shards, int number, pil_status *status)
{
    struct shard *shard = &shards->list[number];
    if (shards->open == number)
        return shard;
    if (shards->open >= 0)
        file_reader_pause(&shards->list[shards->open].reader);
    shards->open = -1;
    if (shard->path == NULL) {
        char *path = arena_format(shards->arena, status, "%s.data-%05d-of-%05d", shards->prefix, number, shards->count);
        if (path == NULL || !file_reader_open(&shard->reader, path, status))
            return NULL;
        shard->path = path;
    }
    shards->open = number; /* one that was opened before opens again when it is read */
    return shard;
}

bool shards_place(struct shards *shards, const struct bundle_entry *entry, pil_status *status)
{
    if (entry->bytes == 0)
        return true;
    struct shard *shard = open_shard(shards, entry->shard, status);
    if (shard == NULL)
        return false;
    return entry->offset + entry->bytes <= shard->reader.size ||
           status_fail(status, PIL_BAD_DATA, "%s: cut off: '%s' ends at byte %" PRId64 ", the file at %" PRId64, shard->path,
                       entry->name, entry->offset + entry->bytes, shard->reader.size);
}

bool shards_damaged(const struct shards *shards, const struct bundle_entry *entry, pil_status *status)
{
    const char *path = shards->list[entry->shard].path;
    return status_fail(status, PIL_BAD_DATA, "%s: the values of '%s' are damaged (checksum)",
                       path != NULL ? path : shards->prefix, entry->name);
}

/* Elements `at` .. `at + count` of a tensor, from where they lie one behind the other. */
static void put_elements(const struct tensor *to, int64_t at, int64_t count, const char *from)
{
    const size_t item = dtype_size(to->dtype);
    int64_t row = at / to->cols, col = at % to->cols;
    while (count > 0) {
        int64_t run = MIN(count, to->cols - col);
        memcpy((char *)to->data + (size_t)(row * to->ld + col) * item, from, (size_t)run * item);
        from += (size_t)run * item;
        count -= run;
        col = 0;
        row++;
    }
}

/* All bytes of an entry: one behind the other to `out`; or to a tensor; or, with neither, nowhere. */
static bool fetch(struct shards *shards, const struct bundle_entry *entry, char *out, const struct tensor *to, uint32_t *crc,
                  pil_status *status)
{
    *crc = 0;
    if (!shards_place(shards, entry, status))
        return false;
    if (out == NULL && entry->bytes > 0 && shards->piece == NULL && (shards->piece = mem_array(PIECE, 1, status)) == NULL)
        return false;
    for (int64_t at = 0; at < entry->bytes; at += PIECE) {
        size_t size = (size_t)MIN(entry->bytes - at, (int64_t)PIECE);
        char *piece = out != NULL ? out + at : shards->piece;
        if (!file_read_at(&shards->list[entry->shard].reader, entry->offset + at, piece, size, status))
            return false;
        *crc = crc32c(*crc, piece, size);
        if (to != NULL) {
            const int64_t item = (int64_t)dtype_size(to->dtype);
            put_elements(to, at / item, (int64_t)size / item, piece);
        }
    }
    return true;
}

bool shards_fetch(struct shards *shards, const struct bundle_entry *entry, void *out, uint32_t *crc, pil_status *status)
{
    return fetch(shards, entry, out, NULL, crc, status);
}

static bool is_right(const struct shards *shards, const struct bundle_entry *entry, uint32_t crc, pil_status *status)
{
    return crc32c_mask(crc) == entry->crc || shards_damaged(shards, entry, status);
}

bool shards_read(struct shards *shards, const struct bundle_entry *entry, void *out, pil_status *status)
{
    uint32_t crc;
    return fetch(shards, entry, out, NULL, &crc, status) && is_right(shards, entry, crc, status);
}

bool shards_read_tensor(struct shards *shards, const struct bundle_entry *entry, const struct tensor *to, pil_status *status)
{
    uint32_t crc;
    bool packed = to->ld == to->cols || to->rows <= 1;
    return fetch(shards, entry, packed ? to->data : NULL, packed ? NULL : to, &crc, status) &&
           is_right(shards, entry, crc, status);
}

bool shards_check(struct shards *shards, const struct bundle_entry *entry, pil_status *status)
{
    return shards_read(shards, entry, NULL, status);
}
