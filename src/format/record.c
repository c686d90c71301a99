/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TFRecord frames, the outer form of data files and event files:
 *
 *     uint64  length
 *     uint32  masked crc32c of the eight bytes above
 *     bytes   data[length]
 *     uint32  masked crc32c of the data
 *
 * all little endian. The length has a checksum of its own, so a damaged one is found before anything is taken by it. The
 * mask keeps a checksum from being computed over bytes that themselves hold checksums.
 */
#include "format/format.h"

#include <inttypes.h>

#include "kernel/kernel.h"

enum { HEAD = 12, FOOT = 4 };
static const uint32_t MASK_DELTA = 0xA282EAD8u; /* tensorflow/core/lib/hash/crc32c.h */

uint32_t crc32c_mask(uint32_t crc)
{
    return ((crc >> 15) | (crc << 17)) + MASK_DELTA;
}

uint32_t crc32c_unmask(uint32_t masked)
{
    uint32_t rotated = masked - MASK_DELTA;
    return (rotated >> 17) | (rotated << 15);
}

static uint64_t little_endian(const char *bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++)
        value |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    return value;
}

static bool checksum_fits(const char *data, size_t size)
{
    return (uint32_t)little_endian(data + size, 4) == crc32c_mask(crc32c(0, data, size));
}

bool record_next(struct slice file, size_t *offset, struct slice *record, const char *path, pil_status *status)
{
    size_t at = *offset;
    if (at >= file.size)
        return false;
    size_t left = file.size - at;
    if (left < HEAD)
        return status_fail(status, PIL_BAD_DATA, "%s: the record at byte %zu is cut off: %zu bytes of its head are left", path,
                           at, left);
    const char *head = file.data + at;
    if (!checksum_fits(head, 8))
        return status_fail(status, PIL_BAD_DATA, "%s: the length of the record at byte %zu is damaged (checksum)", path, at);
    uint64_t size = little_endian(head, 8);
    if (size > left - HEAD || left - HEAD - size < FOOT)
        return status_fail(status, PIL_BAD_DATA,
                           "%s: the record at byte %zu is cut off: it has %" PRIu64 " bytes, the file ends at %zu", path, at,
                           size, file.size);
    if (!checksum_fits(head + HEAD, (size_t)size))
        return status_fail(status, PIL_BAD_DATA, "%s: the record at byte %zu is damaged (checksum)", path, at);
    *record = slice_of(head + HEAD, (size_t)size);
    *offset = at + HEAD + (size_t)size + FOOT;
    return true;
}

static void store_little_endian(char *out, uint64_t value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (char)(value >> (8 * i));
}

void record_put(struct text *out, const void *data, size_t size)
{
    char head[HEAD], foot[FOOT];
    store_little_endian(head, size, 8);
    store_little_endian(head + 8, crc32c_mask(crc32c(0, head, 8)), 4);
    store_little_endian(foot, crc32c_mask(crc32c(0, data, size)), 4);
    text_append(out, head, HEAD);
    text_append(out, data, size);
    text_append(out, foot, FOOT);
}
