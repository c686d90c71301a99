/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch of raw fields, column by column. Readers call fields_set_* for what a record holds and fields_end_row once a record;
 * the row that is being filled is the one after the last ended row:
 *
 *     one value a row:   entries is rows before the field is set and rows + 1 after; end_row adds a missing one where needed
 *     several:           the row's entries are those behind offsets[rows]; end_row writes offsets[rows + 1]
 *
 * so taking a half-filled row back is setting `entries`. fields_set_cell runs once for every cell of a CSV file (measured:
 * 14 to 21 ns a cell, parsing and row ends included); its common case is two tests, one parse and two stores. All arrays of
 * a field grow together and are kept by fields_clear.
 */
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

const char *field_type_name(enum field_type type)
{
    static const char *const names[] = { [FIELD_STRING] = "string", [FIELD_INT64] = "int64", [FIELD_FLOAT] = "float32" };
    return names[type];
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

/* One of several arrays that share a capacity: *least becomes the smallest of what they have. */
static bool grow_one(void *array_pointer, size_t capacity, size_t *least, size_t need, size_t item, pil_status *status)
{
    bool done = mem_grow(array_pointer, &capacity, need, item, status);
    *least = MIN(*least, capacity);
    return done;
}

static bool grow_entries(struct field *field, size_t need, pil_status *status)
{
    const size_t had = field->entry_capacity;
    size_t least = SIZE_MAX;
    if (need <= had)
        return true;
    if (!grow_one(&field->present, had, &least, need, sizeof(*field->present), status))
        return false;
    bool done = true;
    switch (field->spec->type) {
    case FIELD_STRING:
        done = grow_one(&field->texts, had, &least, need, sizeof(*field->texts), status);
        break;
    case FIELD_INT64:
        done = grow_one(&field->ints, had, &least, need, sizeof(*field->ints), status);
        break;
    case FIELD_FLOAT:
        done = grow_one(&field->floats, had, &least, need, sizeof(*field->floats), status);
        break;
    }
    bool weighted = field->weights != NULL || field->spec->weight_separator != 0;
    if (done && weighted)
        done = mem_grow(&field->weights, &field->weight_capacity, least, sizeof(*field->weights), status);
    if (done)
        field->entry_capacity = least;
    return done;
}

static bool grow_rows(struct fields *fields, size_t need, pil_status *status)
{
    const size_t had = fields->row_capacity;
    size_t least = SIZE_MAX;
    if (need <= had)
        return true;
    if (!grow_one(&fields->lines, had, &least, need, sizeof(*fields->lines), status) ||
        !grow_one(&fields->sources, had, &least, need, sizeof(*fields->sources), status))
        return false;
    fields->row_capacity = least;
    return true;
}

static bool grow_offsets(struct field *field, size_t rows, pil_status *status)
{
    return mem_grow(&field->offsets, &field->offset_capacity, rows + 1, sizeof(*field->offsets), status);
}

struct fields *fields_new(const struct field_spec *specs, size_t count, pil_status *status)
{
    struct fields *fields = mem_new(sizeof(*fields), status);
    if (fields == NULL)
        return NULL;
    fields->fields = mem_array(MAX(count, 1), sizeof(*fields->fields), status);
    bool done = fields->fields != NULL;
    fields->count = done ? count : 0;
    for (size_t i = 0; i < count && done; i++) {
        fields->fields[i].spec = &specs[i];
        if (specs[i].separator != 0)
            done = grow_offsets(&fields->fields[i], 0, status);
    }
    if (done)
        return fields;
    fields_free(fields);
    return NULL;
}

void fields_clear(struct fields *fields)
{
    fields->rows = 0;
    for (size_t i = 0; i < fields->count; i++)
        fields->fields[i].entries = 0;
    if (fields->own != NULL)
        arena_reset(fields->own);
}

bool fields_reserve(struct fields *fields, int64_t rows, pil_status *status)
{
    if (rows <= 0)
        return true;
    bool done = grow_rows(fields, (size_t)(fields->rows + rows), status);
    for (size_t i = 0; i < fields->count && done; i++) {
        struct field *field = &fields->fields[i];
        done = grow_entries(field, (size_t)(field->entries + rows), status);
        if (done && field->offsets != NULL)
            done = grow_offsets(field, (size_t)(fields->rows + rows), status);
    }
    return done;
}

char *fields_own_text(struct fields *fields, size_t size, pil_status *status)
{
    if (fields->own == NULL)
        fields->own = arena_new(status);
    return fields->own != NULL ? arena_alloc(fields->own, size, status) : NULL;
}

void fields_free(struct fields *fields)
{
    if (fields == NULL)
        return;
    for (size_t i = 0; i < fields->count; i++) {
        struct field *field = &fields->fields[i];
        mem_free(field->offsets);
        mem_free(field->present);
        mem_free(field->texts);
        mem_free(field->ints);
        mem_free(field->floats);
        mem_free(field->weights);
    }
    mem_free(fields->fields);
    mem_free(fields->lines);
    mem_free(fields->sources);
    arena_free(fields->own);
    mem_free(fields);
}

int64_t fields_find(const struct fields *fields, const char *name)
{
    for (size_t i = 0; i < fields->count; i++)
        if (strcmp(fields->fields[i].spec->name, name) == 0)
            return (int64_t)i;
    return -1;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

/* Where the current row's entries of a field begin. */
static inline int64_t row_start(const struct fields *fields, const struct field *field)
{
    return field->offsets != NULL ? field->offsets[fields->rows] : fields->rows;
}

/* Room for one more value in the current row. */
static inline bool make_room(const struct fields *fields, struct field *field, pil_status *status)
{
    if (field->offsets == NULL && field->entries > fields->rows)
        return status_fail(status, PIL_BAD_DATA, "field '%s' has one value a row, and a second one is given", field->spec->name);
    if ((size_t)field->entries < field->entry_capacity)
        return true;
    return grow_entries(field, (size_t)field->entries + 1, status);
}

/* The value stands in its array: count it. */
static inline bool added(struct field *field, bool present)
{
    field->present[field->entries] = present;
    if (field->weights != NULL)
        field->weights[field->entries] = 1;
    field->entries++;
    return true;
}

static bool wrong_type(const struct field *field, enum field_type given, pil_status *status)
{
    return status_fail(status, PIL_BAD_DATA, "field '%s' is declared %s, and the data has %s", field->spec->name,
                       field_type_name(field->spec->type), field_type_name(given));
}

static bool add_text(const struct fields *fields, struct field *field, struct slice text, pil_status *status)
{
    if (!make_room(fields, field, status))
        return false;
    field->texts[field->entries] = text;
    return added(field, true);
}

static bool add_int(const struct fields *fields, struct field *field, int64_t value, pil_status *status)
{
    if (!make_room(fields, field, status))
        return false;
    field->ints[field->entries] = value;
    return added(field, true);
}

static bool add_float(const struct fields *fields, struct field *field, float value, pil_status *status)
{
    if (!make_room(fields, field, status))
        return false;
    field->floats[field->entries] = value;
    return added(field, true);
}

bool fields_set_text(struct fields *fields, size_t index, struct slice text, pil_status *status)
{
    struct field *field = &fields->fields[index];
    if (field->spec->type != FIELD_STRING)
        return wrong_type(field, FIELD_STRING, status);
    return add_text(fields, field, text, status);
}

/* An integer is a number: a float field takes it (JSON and tf.Example write 3 for 3.0). */
bool fields_set_int(struct fields *fields, size_t index, int64_t value, pil_status *status)
{
    struct field *field = &fields->fields[index];
    if (field->spec->type == FIELD_FLOAT)
        return add_float(fields, field, (float)value, status);
    if (field->spec->type != FIELD_INT64)
        return wrong_type(field, FIELD_INT64, status);
    return add_int(fields, field, value, status);
}

bool fields_set_float(struct fields *fields, size_t index, float value, pil_status *status)
{
    struct field *field = &fields->fields[index];
    if (field->spec->type != FIELD_FLOAT)
        return wrong_type(field, FIELD_FLOAT, status);
    return add_float(fields, field, value, status);
}

/* The first weight of a field without a weight_separator makes its array; the values before it weigh 1. */
bool fields_set_weight(struct fields *fields, size_t index, float weight, pil_status *status)
{
    struct field *field = &fields->fields[index];
    if (field->entries <= row_start(fields, field))
        return status_fail(status, PIL_BAD_DATA, "field '%s' has a weight before any value", field->spec->name);
    if (field->weights == NULL) {
        if (!mem_grow(&field->weights, &field->weight_capacity, field->entry_capacity, sizeof(*field->weights), status))
            return false;
        for (int64_t i = 0; i < field->entries; i++)
            field->weights[i] = 1;
    }
    field->weights[field->entries - 1] = weight;
    return true;
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

static bool add_missing(const struct fields *fields, struct field *field, pil_status *status)
{
    if (!make_room(fields, field, status))
        return false;
    switch (field->spec->type) {
    case FIELD_STRING:
        field->texts[field->entries] = slice_of("", 0);
        break;
    case FIELD_INT64:
        field->ints[field->entries] = 0;
        break;
    case FIELD_FLOAT:
        field->floats[field->entries] = 0;
        break;
    }
    return added(field, false);
}

/* Can be called again after it failed for want of memory. */
bool fields_end_row(struct fields *fields, int64_t line, pil_status *status)
{
    const size_t rows = (size_t)fields->rows + 1;
    if (rows > fields->row_capacity && !grow_rows(fields, rows, status))
        return false;
    for (size_t i = 0; i < fields->count; i++) {
        struct field *field = &fields->fields[i];
        if (field->offsets == NULL) {
            if (field->entries == fields->rows && !add_missing(fields, field, status))
                return false;
        } else {
            if (rows >= field->offset_capacity && !grow_offsets(field, rows, status))
                return false;
            field->offsets[rows] = field->entries;
        }
    }
    fields->lines[fields->rows] = line;
    fields->sources[fields->rows] = fields->source;
    fields->rows++;
    return true;
}

void fields_undo_row(struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++)
        fields->fields[i].entries = row_start(fields, &fields->fields[i]);
}

/* ---- whole columns ------------------------------------------------------------------------------------------- */

static void put_strings(struct field *field, const char *const *strings, int64_t count)
{
    struct slice *texts = field->texts + field->entries;
    uint8_t *present = field->present + field->entries;
    for (int64_t i = 0; i < count; i++) {
        present[i] = strings[i] != NULL;
        texts[i] = strings[i] != NULL ? slice_text(strings[i]) : slice_of("", 0);
    }
}

/* `count` values from number `first` on; there is room. */
static void put_values(struct field *field, const struct field_values *from, int64_t first, int64_t count)
{
    const size_t size = (size_t)count;
    if (field->spec->type == FIELD_STRING) {
        put_strings(field, (const char *const *)from->values + first, count);
        return;
    }
    memset(field->present + field->entries, 1, size);
    if (field->spec->type == FIELD_INT64) {
        memcpy(field->ints + field->entries, (const int64_t *)from->values + first, size * sizeof(*field->ints));
    } else if (from->type == FIELD_FLOAT) {
        memcpy(field->floats + field->entries, (const float *)from->values + first, size * sizeof(*field->floats));
    } else {
        const int64_t *ints = (const int64_t *)from->values + first;
        for (int64_t i = 0; i < count; i++)
            field->floats[field->entries + i] = (float)ints[i];
    }
}

bool fields_put(struct fields *fields, size_t index, const struct field_values *from, pil_status *status)
{
    struct field *field = &fields->fields[index];
    const int64_t rows = from->rows, first = from->splits != NULL ? from->splits[0] : 0;
    const int64_t count = from->splits != NULL ? from->splits[rows] - first : rows * from->width;
    if (field->spec->type != from->type && !(field->spec->type == FIELD_FLOAT && from->type == FIELD_INT64))
        return wrong_type(field, from->type, status);
    if (field->offsets == NULL && (from->splits != NULL || from->width != 1))
        return status_fail(status, PIL_BAD_DATA, "field '%s' has one value a row, and several are given", field->spec->name);
    if (!grow_entries(field, (size_t)(field->entries + count), status) ||
        (field->offsets != NULL && !grow_offsets(field, (size_t)(fields->rows + rows), status)))
        return false;
    field->dense = from->splits == NULL;
    if (count > 0)
        put_values(field, from, first, count);
    for (int64_t i = 0; field->weights != NULL && i < count; i++)
        field->weights[field->entries + i] = 1;
    for (int64_t r = 1; field->offsets != NULL && r <= rows; r++)
        field->offsets[fields->rows + r] = field->entries + (from->splits != NULL ? from->splits[r] - first : r * from->width);
    field->entries += count;
    return true;
}

/* A field that got nothing: a missing value a row, or none. */
static bool end_missing(const struct fields *fields, struct field *field, int64_t rows, pil_status *status)
{
    const size_t count = (size_t)rows;
    if (field->offsets != NULL) {
        if (!grow_offsets(field, (size_t)(fields->rows + rows), status))
            return false;
        for (int64_t r = 1; r <= rows; r++)
            field->offsets[fields->rows + r] = field->entries;
        return true;
    }
    if (!grow_entries(field, (size_t)field->entries + count, status))
        return false;
    for (int64_t e = field->entries; e < field->entries + rows; e++) {
        field->present[e] = 0;
        if (field->weights != NULL)
            field->weights[e] = 1;
        if (field->spec->type == FIELD_STRING)
            field->texts[e] = slice_of("", 0);
        else if (field->spec->type == FIELD_INT64)
            field->ints[e] = 0;
        else
            field->floats[e] = 0;
    }
    field->entries += rows;
    return true;
}

bool fields_end_rows(struct fields *fields, int64_t rows, int64_t line, pil_status *status)
{
    if (!grow_rows(fields, (size_t)(fields->rows + rows), status))
        return false;
    for (size_t i = 0; i < fields->count; i++) {
        struct field *field = &fields->fields[i];
        /* What was put ends where the rows do. A field of lists may have got only empty ones: ended again, alike. */
        bool put = field->entries > row_start(fields, field);
        if (!put && !end_missing(fields, field, rows, status))
            return false;
    }
    for (int64_t r = 0; r < rows; r++) {
        fields->lines[fields->rows + r] = line + r;
        fields->sources[fields->rows + r] = fields->source;
    }
    fields->rows += rows;
    return true;
}

/* ---- cells --------------------------------------------------------------------------------------------------- */

/* A cell as an error shows it: at most 40 bytes and whole characters, nothing that moves a terminal's cursor. */
static const char *shown(struct slice text, char out[48])
{
    size_t size = MIN(text.size, (size_t)40);
    while (size < text.size && size > 0 && ((unsigned char)text.data[size] & 0xC0) == 0x80)
        size--;
    for (size_t i = 0; i < size; i++)
        out[i] = (unsigned char)text.data[i] < ' ' || text.data[i] == 0x7F ? '?' : text.data[i];
    memcpy(out + size, size < text.size ? "..." : "", size < text.size ? 4 : 1);
    return out;
}

/* Numbers with spaces around them are numbers, as in TensorFlow's decode_csv. Only those that fail come here. */
static bool parse_padded(enum field_type type, struct slice text, void *value, pil_status *status)
{
    char out[48];
    const struct slice bare = slice_trim(text);
    if (type == FIELD_FLOAT ? parse_float(bare, value) : parse_int64(bare, value))
        return true;
    return status_fail(status, PIL_BAD_DATA, type == FIELD_FLOAT ? "'%s' is not a number" : "'%s' is not a 64-bit integer",
                       shown(text, out));
}

static inline bool add_parsed(const struct fields *fields, struct field *field, struct slice text, pil_status *status)
{
    int64_t integer;
    float number;
    switch (field->spec->type) {
    case FIELD_FLOAT:
        return (parse_float(text, &number) || parse_padded(FIELD_FLOAT, text, &number, status)) &&
               add_float(fields, field, number, status);
    case FIELD_INT64:
        return (parse_int64(text, &integer) || parse_padded(FIELD_INT64, text, &integer, status)) &&
               add_int(fields, field, integer, status);
    case FIELD_STRING:
        break;
    }
    return add_text(fields, field, text, status);
}

/* "key:weight"; the last separator counts, so that keys may hold it. */
static bool add_weighted(const struct fields *fields, struct field *field, struct slice part, pil_status *status)
{
    char out[48], whole[48];
    float weight = 1;
    size_t key = part.size;
    while (key > 0 && part.data[key - 1] != field->spec->weight_separator)
        key--;
    if (key == 0) /* no separator */
        return add_parsed(fields, field, part, status);
    const struct slice text = slice_of(part.data + key, part.size - key);
    if (key == 1)
        return status_fail(status, PIL_BAD_DATA, "'%s' has a weight but no value", shown(part, whole));
    if (!parse_float(slice_trim(text), &weight))
        return status_fail(status, PIL_BAD_DATA, "weight '%s' in '%s' is not a number", shown(text, out), shown(part, whole));
    if (!add_parsed(fields, field, slice_of(part.data, key - 1), status))
        return false;
    field->weights[field->entries - 1] = weight;
    return true;
}

static bool add_part(const struct fields *fields, struct field *field, struct slice part, pil_status *status)
{
    return field->spec->weight_separator != 0 ? add_weighted(fields, field, part, status)
                                              : add_parsed(fields, field, part, status);
}

/* "a|b||c": empty parts are missing values and leave nothing. */
static bool add_parts(const struct fields *fields, struct field *field, struct slice cell, pil_status *status)
{
    const int64_t before = field->entries;
    const char *at = cell.data, *end = cell.data + cell.size;
    while (at < end) {
        const char *next = memchr(at, field->spec->separator, (size_t)(end - at));
        if (next == NULL)
            next = end;
        if (next > at && !add_part(fields, field, slice_of(at, (size_t)(next - at)), status)) {
            field->entries = before;
            return false;
        }
        at = next + 1;
    }
    return true;
}

bool fields_set_cell(struct fields *fields, size_t index, struct slice cell, pil_status *status)
{
    struct field *field = &fields->fields[index];
    if (cell.size == 0)
        return true;
    if (field->spec->separator != 0)
        return add_parts(fields, field, cell, status);
    return add_part(fields, field, cell, status);
}
