/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading TensorFlow's checkpoint bundle (tensorflow/core/util/tensor_bundle): prefix.index, a table that says of every
 * tensor what it is and where it lies, and prefix.data-0000K-of-0000N, the values end to end.
 *
 *     keys of the table, ascending:   ""              how many data files (shards), byte order, version
 *                                     00 ...          parts of partitioned variables (part.c)
 *                                     name            everything else
 *
 * So the tensors are the table's tail, and entry i stands in row first + i. The whole index is checked when it is opened;
 * a tensor's checksum is verified whenever its values are taken from the data files (shards.c).
 */
#include "format/internal.h"

#include <inttypes.h>
#include <string.h>

#include "kernel/kernel.h"

struct bundle {
    struct arena *arena; /* prefix, paths */
    const char *prefix;
    const char *path; /* of the index */
    struct file_data index;
    struct table *table;
    struct bundle_entry *entries;
    size_t count, first; /* first: the table's row of entry 0 */
    struct shards *shards;
    int shard_count;
};

enum { MAX_SHARDS = 99999, MAX_PARTS = 16384 };

/* Bytes of an element, also of types that are in checkpoints but not in Pilaster; 0: not known. Numbers: types.proto. */
static size_t element_bytes(enum dtype dtype)
{
    switch ((int)dtype) {
    case 8: /* complex64 */
        return 8;
    case 18: /* complex128 */
        return 16;
    case 13: /* qint32 */
        return 4;
    case 15: /* qint16 */
    case 16: /* quint16 */
        return 2;
    case 11: /* qint8 */
    case 12: /* quint8 */
    case 24: /* float8_e5m2 */
    case 25: /* float8_e4m3fn */
        return 1;
    default:
        return dtype_size(dtype);
    }
}

/* ---- the index ----------------------------------------------------------------------------------------------- */

static bool damaged_entry(const struct bundle *bundle, const char *name, const char *what, pil_status *status)
{
    return status_fail(status, PIL_BAD_DATA, "%s: the entry of '%s' is damaged (%s)", bundle->path,
                       name[0] != '\0' ? name : "a part of a partitioned variable", what);
}

static bool parse_dim(struct slice message, int64_t *size)
{
    struct wire_field field;
    bool damaged;
    *size = 0;
    while (wire_next(&message, &field, &damaged)) {
        if (field.number == DIM_SIZE && field.type == WIRE_VARINT)
            *size = (int64_t)field.value;
    }
    return !damaged && *size >= 0;
}

static bool parse_shape(const struct bundle *bundle, const char *name, struct slice message, struct shape *shape,
                        pil_status *status)
{
    struct wire_field field;
    bool damaged;
    while (wire_next(&message, &field, &damaged)) {
        if (field.number != SHAPE_DIM || field.type != WIRE_BYTES)
            continue;
        if (shape->rank == SHAPE_MAX_RANK)
            return status_fail(status, PIL_UNSUPPORTED, "%s: '%s' has more than %d dimensions", bundle->path, name,
                               SHAPE_MAX_RANK);
        if (!parse_dim(field.bytes, &shape->dims[shape->rank]))
            return damaged_entry(bundle, name, "a dimension", status);
        shape->rank++;
    }
    return !damaged || damaged_entry(bundle, name, "its shape", status);
}

/* What an entry says must agree with itself before anybody uses it. */
static bool check_entry(const struct bundle *bundle, struct bundle_entry *entry, pil_status *status)
{
    int64_t elements = shape_elements(entry->shape);
    int64_t item = (int64_t)element_bytes(entry->dtype);
    if (elements < 0 || (item > 0 && elements > INT64_MAX / item))
        return damaged_entry(bundle, entry->name, "its shape is too large", status);
    if (entry->shard < 0 || entry->shard >= bundle->shard_count)
        return damaged_entry(bundle, entry->name, "its data file is not one of the checkpoint's", status);
    if (entry->offset < 0 || entry->bytes < 0 || entry->offset > INT64_MAX - entry->bytes)
        return damaged_entry(bundle, entry->name, "its place", status);
    if (entry->partitioned)
        entry->bytes = elements * item;
    else if (item > 0 && entry->bytes != elements * item)
        return damaged_entry(bundle, entry->name, "its size does not fit its shape", status);
    return true;
}

static bool parse_entry(const struct bundle *bundle, size_t row, struct bundle_entry *entry, pil_status *status)
{
    struct slice key = table_key(bundle->table, row), message = table_value(bundle->table, row);
    struct wire_field field;
    bool damaged;
    uint64_t shard = 0;
    *entry = (struct bundle_entry){ .name = key.data };
    while (wire_next(&message, &field, &damaged)) {
        if (field.number == ENTRY_DTYPE && field.type == WIRE_VARINT)
            entry->dtype = (enum dtype)(field.value <= UINT16_MAX ? field.value : 0);
        else if (field.number == ENTRY_SHAPE && field.type == WIRE_BYTES) {
            if (!parse_shape(bundle, entry->name, field.bytes, &entry->shape, status))
                return false;
        } else if (field.number == ENTRY_SHARD && field.type == WIRE_VARINT)
            shard = field.value;
        else if (field.number == ENTRY_OFFSET && field.type == WIRE_VARINT)
            entry->offset = (int64_t)field.value;
        else if (field.number == ENTRY_SIZE && field.type == WIRE_VARINT)
            entry->bytes = (int64_t)field.value;
        else if (field.number == ENTRY_CRC && field.type == WIRE_FIXED32)
            entry->crc = (uint32_t)field.value;
        else if (field.number == ENTRY_SLICES && field.type == WIRE_BYTES)
            entry->partitioned = true;
    }
    if (damaged)
        return damaged_entry(bundle, entry->name, "cut off", status);
    entry->shard = shard < MAX_SHARDS ? (int)shard : -1;
    return check_entry(bundle, entry, status);
}

static bool parse_version(struct slice message, uint64_t *min_consumer)
{
    struct wire_field field;
    bool damaged;
    while (wire_next(&message, &field, &damaged)) {
        if (field.number == VERSION_MIN_CONSUMER && field.type == WIRE_VARINT)
            *min_consumer = field.value;
    }
    return !damaged;
}

static bool parse_header(struct bundle *bundle, pil_status *status)
{
    struct wire_field field;
    bool damaged = false;
    uint64_t shards = 0, endianness = 0, min_consumer = 0;
    if (table_count(bundle->table) == 0 || table_key(bundle->table, 0).size != 0)
        return status_fail(status, PIL_BAD_DATA, "%s: the header is missing; not a checkpoint's index", bundle->path);
    struct slice message = table_value(bundle->table, 0);
    while (wire_next(&message, &field, &damaged)) {
        if (field.number == HEADER_SHARDS && field.type == WIRE_VARINT)
            shards = field.value;
        else if (field.number == HEADER_ENDIANNESS && field.type == WIRE_VARINT)
            endianness = field.value;
        else if (field.number == HEADER_VERSION && field.type == WIRE_BYTES && !parse_version(field.bytes, &min_consumer))
            damaged = true;
        if (damaged)
            break;
    }
    if (damaged || shards == 0 || shards > MAX_SHARDS)
        return status_fail(status, PIL_BAD_DATA, "%s: the header is damaged", bundle->path);
    if (endianness != 0)
        return status_fail(status, PIL_UNSUPPORTED, "%s: the values are big-endian, which is not read", bundle->path);
    if (min_consumer > BUNDLE_VERSION)
        return status_fail(status, PIL_UNSUPPORTED, "%s: written in version %" PRIu64 " of the format; version %d is read",
                           bundle->path, min_consumer, BUNDLE_VERSION);
    bundle->shard_count = (int)shards;
    bundle->shards = shards_new(bundle->prefix, (int)shards, status);
    return bundle->shards != NULL;
}

static bool is_part(struct slice key)
{
    return key.size > 0 && key.data[0] == '\0';
}

static bool parse_entries(struct bundle *bundle, pil_status *status)
{
    size_t rows = table_count(bundle->table);
    bundle->first = 1;
    while (bundle->first < rows && is_part(table_key(bundle->table, bundle->first))) {
        struct bundle_entry part;
        if (!parse_entry(bundle, bundle->first++, &part, status))
            return false;
    }
    bundle->count = rows - bundle->first;
    bundle->entries = mem_array(bundle->count, sizeof *bundle->entries, status);
    if (bundle->entries == NULL)
        return false;
    for (size_t i = 0; i < bundle->count; i++) {
        struct slice key = table_key(bundle->table, bundle->first + i);
        if (memchr(key.data, '\0', key.size) != NULL)
            return damaged_entry(bundle, key.data, "its name", status);
        if (!parse_entry(bundle, bundle->first + i, &bundle->entries[i], status))
            return false;
    }
    return true;
}

/* Where the ending of "model.ckpt-7.index" or "model.ckpt-7.data-00000-of-00001" begins: names that shells complete. */
static const char *part_of_checkpoint(const char *path)
{
    size_t size = strlen(path);
    if (size > 6 && strcmp(path + size - 6, ".index") == 0)
        return path + size - 6;
    const char *slash = strrchr(path, '/');
    return strstr(slash ? slash : path, ".data-");
}

/* The index file; what is missing is said in words of checkpoints. */
static bool load_index(struct bundle *bundle, pil_status *status)
{
    if (file_exists(bundle->path))
        return file_load(bundle->path, &bundle->index, status);
    if (file_exists(bundle->prefix) && !file_is_folder(bundle->prefix)) {
        const char *part = part_of_checkpoint(bundle->prefix);
        if (part) {
            status_fail(status, PIL_NOT_FOUND, "%s: one file of a checkpoint, not its name", bundle->prefix);
            return status_hint(status, "leave out '%s': %.*s", part, (int)(part - bundle->prefix), bundle->prefix);
        }
        status_fail(status, PIL_UNSUPPORTED, "%s: a checkpoint of TensorFlow's first format (one file), which is not read",
                    bundle->prefix);
        return status_hint(status, "save it with tf.compat.v1.train.Saver, which writes the second format");
    }
    return status_fail(status, PIL_NOT_FOUND, "%s: no such checkpoint (there is no %s)", bundle->prefix, bundle->path);
}

struct bundle *bundle_open(const char *prefix, pil_status *status)
{
    struct bundle *bundle = mem_new(sizeof *bundle, status);
    if (bundle == NULL)
        return NULL;
    bundle->arena = arena_new(status);
    if (bundle->arena == NULL)
        goto failed;
    bundle->prefix = arena_text(bundle->arena, prefix, strlen(prefix), status);
    bundle->path = arena_format(bundle->arena, status, "%s.index", prefix);
    if (bundle->prefix == NULL || bundle->path == NULL || !load_index(bundle, status))
        goto failed;
    bundle->table = table_open(slice_of(bundle->index.data, bundle->index.size), bundle->path, status);
    if (bundle->table == NULL || !parse_header(bundle, status) || !parse_entries(bundle, status))
        goto failed;
    return bundle;
failed:
    bundle_close(bundle);
    return NULL;
}

void bundle_close(struct bundle *bundle)
{
    if (bundle == NULL)
        return;
    shards_free(bundle->shards);
    mem_free(bundle->entries);
    table_close(bundle->table);
    file_unload(&bundle->index);
    arena_free(bundle->arena);
    mem_free(bundle);
}

size_t bundle_count(const struct bundle *bundle)
{
    return bundle->count;
}

const struct bundle_entry *bundle_at(const struct bundle *bundle, size_t i)
{
    return &bundle->entries[i];
}

/* The row of a key, or the number of rows. */
static size_t find_row(const struct table *table, struct slice key)
{
    size_t low = 0, high = table_count(table);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(table_key(table, middle), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < table_count(table) && slice_equal(table_key(table, low), key) ? low : table_count(table);
}

const struct bundle_entry *bundle_find(const struct bundle *bundle, const char *name)
{
    size_t row = find_row(bundle->table, slice_text(name));
    return row >= bundle->first && row < table_count(bundle->table) ? &bundle->entries[row - bundle->first] : NULL;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static bool is_number(const struct bundle *bundle, const struct bundle_entry *entry, pil_status *status)
{
    if (element_bytes(entry->dtype) > 0)
        return true;
    if (entry->dtype == DTYPE_STRING)
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: '%s' holds strings, not numbers", bundle->prefix, entry->name);
    return status_fail(status, PIL_UNSUPPORTED, "%s: '%s' is of TensorFlow's type %d, which is not read", bundle->prefix,
                       entry->name, (int)entry->dtype);
}

/* The list of an entry's parts, which must lie within the whole and not overlap. */
static struct part *list_parts(const struct bundle *bundle, const struct bundle_entry *entry, size_t *count, pil_status *status)
{
    struct slice message = table_value(bundle->table, bundle->first + (size_t)(entry - bundle->entries));
    struct part *parts = NULL;
    size_t capacity = 0;
    struct wire_field field;
    bool damaged;
    *count = 0;
    while (wire_next(&message, &field, &damaged)) {
        if (field.number != ENTRY_SLICES || field.type != WIRE_BYTES)
            continue;
        if (!mem_grow(&parts, &capacity, *count + 1, sizeof *parts, status))
            goto failed;
        if (*count == MAX_PARTS || !part_parse(field.bytes, entry->shape, &parts[*count])) {
            damaged_entry(bundle, entry->name, "its parts", status);
            goto failed;
        }
        for (size_t i = 0; i < *count; i++) {
            if (part_overlaps(&parts[i], &parts[*count])) {
                damaged_entry(bundle, entry->name, "its parts overlap", status);
                goto failed;
            }
        }
        ++*count;
    }
    return parts;
failed:
    mem_free(parts);
    return NULL;
}

static bool read_part(struct bundle *bundle, const struct bundle_entry *whole, const struct part *part, void *out,
                      pil_status *status)
{
    struct text key = { 0 };
    struct bundle_entry entry;
    void *values = NULL;
    part_key(&key, whole->name, part);
    bool fine = text_ok(&key, status);
    size_t row = fine ? find_row(bundle->table, slice_of(key.data, key.size)) : 0;
    if (fine && row == table_count(bundle->table))
        fine = status_fail(status, PIL_BAD_DATA, "%s: a part of '%s' is missing", bundle->path, whole->name);
    fine = fine && parse_entry(bundle, row, &entry, status);
    if (fine && (entry.dtype != whole->dtype || entry.partitioned || !shape_equal(entry.shape, part->shape)))
        fine = damaged_entry(bundle, whole->name, "a part is of another shape", status);
    if (fine) {
        entry.name = whole->name;
        fine = shards_place(bundle->shards, &entry, status) && (values = mem_block((size_t)entry.bytes, status)) != NULL &&
               shards_read(bundle->shards, &entry, values, status);
    }
    if (fine)
        part_copy(part, whole->shape, element_bytes(whole->dtype), values, out);
    mem_free(values);
    text_free(&key);
    return fine;
}

bool bundle_read_parts(struct bundle *bundle, const struct bundle_entry *entry, void *out, int64_t *elements, pil_status *status)
{
    size_t count;
    *elements = 0;
    if (!is_number(bundle, entry, status))
        return false;
    if (!entry->partitioned) {
        *elements = shape_elements(entry->shape);
        return bundle_read(bundle, entry, out, status);
    }
    struct part *parts = list_parts(bundle, entry, &count, status);
    bool fine = parts != NULL;
    for (size_t i = 0; fine && i < count; i++) {
        fine = read_part(bundle, entry, &parts[i], out, status);
        *elements += shape_elements(parts[i].shape);
    }
    mem_free(parts);
    return fine;
}

bool bundle_read(struct bundle *bundle, const struct bundle_entry *entry, void *out, pil_status *status)
{
    if (!is_number(bundle, entry, status))
        return false;
    if (!entry->partitioned)
        return shards_read(bundle->shards, entry, out, status);
    int64_t elements, all = shape_elements(entry->shape);
    if (!bundle_read_parts(bundle, entry, out, &elements, status))
        return false;
    return elements == all ||
           status_fail(status, PIL_BAD_DATA, "%s: the parts of '%s' cover %" PRId64 " of its %" PRId64 " values", bundle->path,
                       entry->name, elements, all);
}

bool bundle_read_tensor(struct bundle *bundle, const struct bundle_entry *entry, const struct tensor *out, pil_status *status)
{
    if (!is_number(bundle, entry, status))
        return false;
    if (entry->dtype != out->dtype || !shape_equal(entry->shape, out->shape))
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: '%s' is of another type or shape than asked for", bundle->prefix,
                           entry->name);
    if (!entry->partitioned)
        return shards_read_tensor(bundle->shards, entry, out, status);
    void *whole = mem_block((size_t)entry->bytes, status);
    bool fine = whole != NULL && bundle_read(bundle, entry, whole, status);
    if (fine)
        tensor_unpack(whole, out);
    mem_free(whole);
    return fine;
}

/* ---- strings ------------------------------------------------------------------------------------------------- */

uint32_t strings_crc_length(uint32_t crc, uint64_t length)
{
    unsigned char bytes[8];
    size_t size = length <= UINT32_MAX ? 4 : 8;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(length >> (8 * i));
    return crc32c(crc, bytes, size);
}

static bool is_string(const struct bundle *bundle, const struct bundle_entry *entry, pil_status *status)
{
    if (entry->dtype != DTYPE_STRING)
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: '%s' holds numbers, not strings", bundle->prefix, entry->name);
    return !entry->partitioned || status_fail(status, PIL_UNSUPPORTED, "%s: '%s' holds strings in parts, which are not read",
                                              bundle->prefix, entry->name);
}

/* Checks a string tensor's bytes: the lengths, their checksum, the strings. `strings` is what remains: the strings. */
static bool parse_strings(const struct bundle *bundle, const struct bundle_entry *entry, struct slice bytes,
                          struct slice *strings, pil_status *status)
{
    uint32_t crc = 0;
    uint64_t total = 0;
    for (int64_t i = 0; i < shape_elements(entry->shape); i++) {
        uint64_t length;
        if (!wire_varint(&bytes, &length) || length > (uint64_t)entry->bytes || total + length > (uint64_t)entry->bytes)
            return shards_damaged(bundle->shards, entry, status);
        crc = strings_crc_length(crc, length);
        total += length;
    }
    if (bytes.size < 4 || bytes.size - 4 != total)
        return shards_damaged(bundle->shards, entry, status);
    uint32_t masked = crc32c_mask(crc);
    for (int i = 0; i < 4; i++) {
        if ((unsigned char)bytes.data[i] != (unsigned char)(masked >> (8 * i)))
            return shards_damaged(bundle->shards, entry, status);
    }
    crc = crc32c(crc, bytes.data, bytes.size);
    *strings = slice_of(bytes.data + 4, bytes.size - 4);
    return crc32c_mask(crc) == entry->crc || shards_damaged(bundle->shards, entry, status);
}

/* A string tensor's bytes, checked, to be freed with mem_free: the lengths, and behind them `strings`. NULL: it failed. */
static char *load_strings(struct bundle *bundle, const struct bundle_entry *entry, struct slice *strings, pil_status *status)
{
    uint32_t crc; /* of other bytes than the file's */
    if (!is_string(bundle, entry, status) || !shards_place(bundle->shards, entry, status))
        return NULL;
    char *bytes = mem_array((size_t)entry->bytes + 1, 1, status); /* at most the file's size */
    if (bytes != NULL && shards_fetch(bundle->shards, entry, bytes, &crc, status) &&
        parse_strings(bundle, entry, slice_of(bytes, (size_t)entry->bytes), strings, status))
        return bytes;
    mem_free(bytes);
    return NULL;
}

bool bundle_read_strings(struct bundle *bundle, const struct bundle_entry *entry, struct arena *arena, struct slice **out,
                         pil_status *status)
{
    struct slice strings;
    char *bytes = load_strings(bundle, entry, &strings, status);
    if (bytes == NULL)
        return false;
    struct slice lengths = slice_of(bytes, (size_t)entry->bytes);
    size_t count = (size_t)shape_elements(entry->shape); /* at most a length's byte each: within the file's size */
    *out = arena_alloc(arena, count * sizeof **out, status);
    bool fine = *out != NULL;
    for (size_t i = 0; fine && i < count; i++) {
        uint64_t length = 0;
        wire_varint(&lengths, &length);
        char *copy = arena_text(arena, strings.data, (size_t)length, status);
        fine = copy != NULL;
        (*out)[i] = slice_of(copy, (size_t)length);
        strings = slice_of(strings.data + length, strings.size - (size_t)length);
    }
    mem_free(bytes);
    return fine;
}

bool bundle_check(struct bundle *bundle, const struct bundle_entry *entry, pil_status *status)
{
    if (entry->partitioned)
        return true; /* its parts have rows of their own */
    if (entry->dtype == DTYPE_STRING) {
        struct slice strings;
        char *bytes = load_strings(bundle, entry, &strings, status);
        mem_free(bytes);
        return bytes != NULL;
    }
    /* What a type that is not known sums up is not known either. */
    return element_bytes(entry->dtype) > 0 ? shards_check(bundle->shards, entry, status)
                                           : shards_place(bundle->shards, entry, status);
}

bool bundle_verify(struct bundle *bundle, pil_status *status)
{
    for (size_t row = 1; row < table_count(bundle->table); row++) {
        struct bundle_entry entry;
        if (!parse_entry(bundle, row, &entry, status) || !bundle_check(bundle, &entry, status))
            return false;
    }
    return true;
}
