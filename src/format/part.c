/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partitioned variables. TensorFlow 1.x stores a variable that lives in parts (on parameter servers) under its one name:
 * the entry says the whole's shape and lists the boxes, and each box is an entry of its own whose key is
 *
 *     0, name, rank, then for each dimension start and length        in ordered code,
 *
 * an encoding whose bytes sort as the values do (tensorflow/core/lib/strings/ordered_code.cc; the key is made in
 * util/saved_tensor_slice_util.cc). A dimension taken whole is start 0, length -1.
 */
#include "format/internal.h"

#include <string.h>

/* ---- ordered code -------------------------------------------------------------------------------------------- */

/* How many bytes follow, then the number's bytes, the highest first, without leading zeros. */
static void put_number(struct text *out, uint64_t value)
{
    char bytes[9];
    size_t count = 0;
    for (uint64_t left = value; left > 0; left >>= 8)
        count++;
    bytes[0] = (char)count;
    for (size_t i = 0; i < count; i++)
        bytes[count - i] = (char)(value >> (8 * i));
    text_append(out, bytes, count + 1);
}

/* 0x00 becomes 00 ff and 0xff becomes ff 00; 00 01 ends it, so that a name sorts before all that it begins. */
static void put_string(struct text *out, const char *string)
{
    for (const char *at = string; *at != '\0'; at++)
        text_append(out, (unsigned char)*at == 0xFF ? "\xFF\0" : at, (unsigned char)*at == 0xFF ? 2 : 1);
    text_append(out, "\0\1", 2);
}

/* n bytes hold 7 n - 1 bits of magnitude; the first byte's leading bits count n in unary (like UTF-8), inverted for
 * negative numbers, whose other bits are their two's complement. */
static void put_signed_number(struct text *out, int64_t value)
{
    uint64_t bits = (uint64_t)value, magnitude = value < 0 ? ~bits : bits;
    size_t count = 1;
    while (count < 10 && magnitude >> MIN(7 * count - 1, 63) != 0)
        count++;
    unsigned char bytes[10];
    memset(bytes, value < 0 ? 0xFF : 0, 2);
    for (size_t i = 0; i < 8; i++)
        bytes[9 - i] = (unsigned char)(bits >> (8 * i));
    unsigned char *first = bytes + 10 - count;
    uint32_t header = (0xFFFF0000u >> count) & 0xFFFF; /* `count` ones, then zeros */
    first[0] ^= (unsigned char)(header >> 8);
    if (count > 1)
        first[1] ^= (unsigned char)header;
    text_append(out, (const char *)first, count);
}

void part_key(struct text *out, const char *name, const struct part *part)
{
    put_number(out, 0);
    put_string(out, name);
    put_number(out, (uint64_t)part->shape.rank);
    for (int d = 0; d < part->shape.rank; d++) {
        put_signed_number(out, part->whole[d] ? 0 : part->start[d]);
        put_signed_number(out, part->whole[d] ? -1 : part->shape.dims[d]);
    }
}

/* ---- boxes --------------------------------------------------------------------------------------------------- */

enum { SLICE_EXTENT = 1, EXTENT_START = 1, EXTENT_LENGTH = 2 };

static bool extent_parse(struct slice message, int64_t size, struct part *part, int d)
{
    struct wire_field field;
    bool damaged;
    part->start[d] = 0;
    part->shape.dims[d] = size;
    part->whole[d] = true;
    while (wire_next(&message, &field, &damaged)) {
        if (field.type != WIRE_VARINT)
            continue;
        if (field.number == EXTENT_START)
            part->start[d] = (int64_t)field.value;
        if (field.number == EXTENT_LENGTH) {
            part->shape.dims[d] = (int64_t)field.value;
            part->whole[d] = false;
        }
    }
    return !damaged && part->start[d] >= 0 && part->shape.dims[d] >= 0 && part->shape.dims[d] <= size &&
           part->start[d] <= size - part->shape.dims[d];
}

bool part_parse(struct slice message, struct shape whole, struct part *part)
{
    struct wire_field field;
    bool damaged;
    *part = (struct part){ 0 };
    while (wire_next(&message, &field, &damaged)) {
        if (field.number != SLICE_EXTENT || field.type != WIRE_BYTES)
            continue;
        int d = part->shape.rank;
        if (d == whole.rank || !extent_parse(field.bytes, whole.dims[d], part, d))
            return false;
        part->shape.rank++;
    }
    return !damaged && part->shape.rank == whole.rank;
}

bool part_overlaps(const struct part *a, const struct part *b)
{
    for (int d = 0; d < a->shape.rank; d++) {
        if (a->start[d] >= b->start[d] + b->shape.dims[d] || b->start[d] >= a->start[d] + a->shape.dims[d])
            return false;
    }
    return true;
}

/* Runs along the last dimension are contiguous on both sides; an odometer counts the others. */
void part_copy(const struct part *part, struct shape whole, size_t item, const void *from, void *to)
{
    int last = whole.rank - 1;
    int64_t at[SHAPE_MAX_RANK] = { 0 };
    const char *source = from;
    size_t run = (last < 0 ? 1 : (size_t)part->shape.dims[last]) * item;
    if (shape_elements(part->shape) == 0)
        return;
    for (;;) {
        size_t place = 0;
        for (int d = 0; d <= last; d++)
            place = place * (size_t)whole.dims[d] + (size_t)(part->start[d] + at[d]);
        memcpy((char *)to + place * item, source, run);
        source += run;
        int d = last - 1;
        while (d >= 0 && ++at[d] == part->shape.dims[d])
            at[d--] = 0;
        if (d < 0)
            return;
    }
}
