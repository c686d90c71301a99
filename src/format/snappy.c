/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snappy's block format (google/snappy, format_description.txt), reading only: older TensorFlow merged sharded checkpoints
 * into an index with compressed blocks. A stream is the uncompressed length as a varint, then elements whose first byte's
 * low two bits say the kind:
 *
 *     00  literal  length - 1 in the upper six bits; 60 .. 63: it follows in 1 .. 4 bytes
 *     01  copy     length - 4 in three bits, offset of 11 bits: three upper bits and a byte
 *     10  copy     length - 1 in six bits, offset of two bytes
 *     11  copy     length - 1 in six bits, offset of four bytes
 *
 * A copy may overlap what it makes (offset < length): then it repeats.
 */
#include "format/internal.h"

#include <string.h>

/* The densest element makes 64 bytes of three. So a length beyond that is damage, and memory is bound to the input's size. */
enum { MAX_EXPANSION = 22 };

/* `count` bytes, little endian. */
static bool take(struct slice *in, size_t count, size_t *value)
{
    if (in->size < count)
        return false;
    *value = 0;
    for (size_t i = 0; i < count; i++)
        *value |= (size_t)(unsigned char)in->data[i] << (8 * i);
    *in = slice_of(in->data + count, in->size - count);
    return true;
}

static bool literal(struct slice *in, size_t tag, char *out, size_t *size, size_t limit)
{
    size_t length = tag >> 2;
    if (length >= 60 && !take(in, length - 59, &length))
        return false;
    length++;
    if (length > in->size || length > limit - *size)
        return false;
    memcpy(out + *size, in->data, length);
    *in = slice_of(in->data + length, in->size - length);
    *size += length;
    return true;
}

static bool copy(struct slice *in, size_t tag, char *out, size_t *size, size_t limit)
{
    size_t kind = tag & 3, offset;
    size_t length = kind == 1 ? (tag >> 2 & 7) + 4 : (tag >> 2) + 1;
    if (!take(in, kind == 1 ? 1 : kind == 2 ? 2 : 4, &offset))
        return false;
    if (kind == 1)
        offset |= tag >> 5 << 8;
    if (offset == 0 || offset > *size || length > limit - *size)
        return false;
    for (size_t i = 0; i < length; i++)
        out[*size + i] = out[*size + i - offset];
    *size += length;
    return true;
}

bool snappy_size(struct slice in, size_t *size)
{
    uint64_t value;
    size_t whole = in.size;
    if (!wire_varint(&in, &value) || value / MAX_EXPANSION > whole)
        return false;
    *size = (size_t)value;
    return true;
}

bool snappy_uncompress(struct slice in, char *out, size_t limit)
{
    uint64_t unused;
    size_t size = 0, tag;
    bool fine = wire_varint(&in, &unused);
    while (fine && take(&in, 1, &tag))
        fine = (tag & 3) == 0 ? literal(&in, tag, out, &size, limit) : copy(&in, tag, out, &size, limit);
    return fine && size == limit;
}
