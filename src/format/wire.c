/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf's wire format (protobuf.dev/programming-guides/encoding), as much of it as TensorFlow's files need. A message is
 * a run of fields, each a key (number and wire type in a varint) and its value; nothing says where a message ends but the
 * slice it lies in. So a reader is a loop over wire_next, and a message within a message is again a slice.
 *
 * The deprecated groups (wire types 3 and 4) have no length and are taken for damage: no file of TensorFlow's has them.
 */
#include "format/format.h"

#include <string.h>

bool wire_varint(struct slice *bytes, uint64_t *value)
{
    uint64_t result = 0;
    for (size_t i = 0; i < 10 && i < bytes->size; i++) {
        uint64_t byte = (unsigned char)bytes->data[i];
        if (i == 9 && byte > 1)
            return false; /* more than 64 bits */
        result |= (byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            *value = result;
            *bytes = slice_of(bytes->data + i + 1, bytes->size - i - 1);
            return true;
        }
    }
    return false;
}

/* `count` bytes, little endian. */
static bool take_fixed(struct slice *bytes, size_t count, uint64_t *value)
{
    if (bytes->size < count)
        return false;
    *value = 0;
    for (size_t i = 0; i < count; i++)
        *value |= (uint64_t)(unsigned char)bytes->data[i] << (8 * i);
    *bytes = slice_of(bytes->data + count, bytes->size - count);
    return true;
}

static bool take_bytes(struct slice *bytes, struct slice *out)
{
    uint64_t size;
    if (!wire_varint(bytes, &size) || size > bytes->size)
        return false;
    *out = slice_of(bytes->data, (size_t)size);
    *bytes = slice_of(bytes->data + size, bytes->size - (size_t)size);
    return true;
}

bool wire_next(struct slice *message, struct wire_field *field, bool *damaged)
{
    *damaged = false;
    if (message->size == 0)
        return false;
    uint64_t key;
    bool fine = wire_varint(message, &key) && key <= UINT32_MAX && key >> 3 != 0;
    *field = (struct wire_field){ .number = fine ? (uint32_t)(key >> 3) : 0, .type = (enum wire_type)(fine ? key & 7 : 0) };
    if (fine) {
        switch (field->type) {
        case WIRE_VARINT:
            fine = wire_varint(message, &field->value);
            break;
        case WIRE_FIXED64:
            fine = take_fixed(message, 8, &field->value);
            break;
        case WIRE_BYTES:
            fine = take_bytes(message, &field->bytes);
            break;
        case WIRE_FIXED32:
            fine = take_fixed(message, 4, &field->value);
            break;
        default:
            fine = false;
        }
    }
    *damaged = !fine;
    return fine;
}

int64_t wire_zigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

void wire_put_varint(struct text *out, uint64_t value)
{
    char bytes[10];
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[size++] = (char)(value | 0x80);
    bytes[size++] = (char)value;
    text_append(out, bytes, size);
}

static void put_key(struct text *out, uint32_t number, enum wire_type type)
{
    wire_put_varint(out, (uint64_t)number << 3 | (uint64_t)type);
}

static void put_little_endian(struct text *out, uint64_t value, size_t count)
{
    char bytes[8];
    for (size_t i = 0; i < count; i++)
        bytes[i] = (char)(value >> (8 * i));
    text_append(out, bytes, count);
}

void wire_put_uint(struct text *out, uint32_t number, uint64_t value)
{
    put_key(out, number, WIRE_VARINT);
    wire_put_varint(out, value);
}

void wire_put_fixed32(struct text *out, uint32_t number, uint32_t value)
{
    put_key(out, number, WIRE_FIXED32);
    put_little_endian(out, value, 4);
}

void wire_put_double(struct text *out, uint32_t number, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(out, number, WIRE_FIXED64);
    put_little_endian(out, bits, 8);
}

void wire_put_float(struct text *out, uint32_t number, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    wire_put_fixed32(out, number, bits);
}

void wire_put_bytes(struct text *out, uint32_t number, const void *data, size_t size)
{
    put_key(out, number, WIRE_BYTES);
    wire_put_varint(out, size);
    text_append(out, data, size);
}

void wire_put_text(struct text *out, uint32_t number, const char *text)
{
    wire_put_bytes(out, number, text, strlen(text));
}

void wire_put_message(struct text *out, uint32_t number, const struct text *message)
{
    if (message->failed)
        out->failed = true;
    wire_put_bytes(out, number, message->data, message->size);
}
