/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tensor: values in memory. Types, shapes with a symbolic batch, dense strided values, sparse values (ids per row) and
 * a batch of raw fields. These are views and small containers; who owns the memory is said at each maker.
 */
#ifndef PILASTER_TENSOR_H
#define PILASTER_TENSOR_H

#include "base/base.h"

/* The numbers are TensorFlow's DataType (types.proto), so that checkpoints need no second table. */
enum dtype {
    DTYPE_NONE = 0,
    DTYPE_FLOAT32 = 1,
    DTYPE_FLOAT64 = 2,
    DTYPE_INT32 = 3,
    DTYPE_UINT8 = 4,
    DTYPE_INT16 = 5,
    DTYPE_INT8 = 6,
    DTYPE_STRING = 7,
    DTYPE_INT64 = 9,
    DTYPE_BOOL = 10,
    DTYPE_BFLOAT16 = 14,
    DTYPE_UINT16 = 17,
    DTYPE_FLOAT16 = 19,
    DTYPE_UINT32 = 22,
    DTYPE_UINT64 = 23
};
size_t dtype_size(enum dtype dtype);      /* bytes of an element; 0 for strings and unknown */
const char *dtype_name(enum dtype dtype); /* "float32", ...; "unknown type" */
enum dtype dtype_find(struct slice name); /* by that name; DTYPE_NONE */

/* ---- shape.c ------------------------------------------------------------------------------------------------- */

enum { SHAPE_MAX_RANK = 8 };
/* The batch dimension of a shape that is not known until a batch comes. */
#define BATCH_DIM ((int64_t)-1)

struct shape {
    int rank;
    int64_t dims[SHAPE_MAX_RANK];
};
#define SHAPE(...) ((struct shape){ (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), { __VA_ARGS__ } })
#define SHAPE_SCALAR ((struct shape){ 0, { 0 } })
bool shape_equal(struct shape a, struct shape b);
int64_t shape_elements(struct shape shape);                      /* -1 with a symbolic dimension or on overflow */
struct shape shape_with_batch(struct shape shape, int64_t rows); /* every BATCH_DIM replaced */
/* NumPy's broadcasting; BATCH_DIM equals only itself or 1. */
bool shape_broadcast(struct shape a, struct shape b, struct shape *out);
const char *shape_text(struct shape shape, char out[128]); /* "[?, 16]" */

/* ---- dense.c ------------------------------------------------------------------------------------------------- */

/* Pads: the last axis of a matrix is padded with zeros to a multiple of PAD floats, so that kernels need no masks.
 * One column alone is not padded. The number does not depend on the processor: layouts and bits are the same everywhere. */
enum { PAD = 16 };
static inline int64_t pad_columns(int64_t columns)
{
    return columns <= 1 ? columns : (columns + PAD - 1) / PAD * PAD;
}

/* A strided view of values. As kernels see it: `rows` rows of `cols` contiguous elements, `ld` elements apart.
 *   a rows tensor (first axis: the batch): rows = tile or batch, cols = product of the other axes;
 *   any other: rows = product of all axes but the last, cols = the last. Scalars: 1 x 1.
 * Elements cols .. pad_columns(cols) of a row exist and are zero where ld >= pad_columns(cols). */
struct tensor {
    void *data;
    enum dtype dtype;
    struct shape shape; /* no symbolic dimension in a value */
    int64_t rows, cols, ld;
};
static inline float *tensor_floats(const struct tensor *tensor)
{
    return (float *)tensor->data;
}
/* How a shape is cut into rows and columns. */
void tensor_cut(struct shape shape, bool is_rows, int64_t *rows, int64_t *cols);
/* A view over data that lies as tensor_new would lay it. */
struct tensor tensor_view(void *data, enum dtype dtype, struct shape shape, bool is_rows);
size_t tensor_bytes(enum dtype dtype, struct shape shape, bool is_rows); /* with pads */
/* Owned memory, zeroed, 64-byte aligned; free with tensor_free. */
bool tensor_new(struct tensor *out, enum dtype dtype, struct shape shape, bool is_rows, pil_status *status);
void tensor_free(struct tensor *tensor);
/* Copies values between any two strides (same shape and dtype); pads of `to` are left alone. */
void tensor_copy(const struct tensor *from, const struct tensor *to);
/* To and from contiguous values as checkpoints hold them. */
void tensor_pack(const struct tensor *from, void *contiguous);
void tensor_unpack(const void *contiguous, const struct tensor *to);

/* ---- sparse.c ------------------------------------------------------------------------------------------------ */

/* Ids per row. The ragged form has offsets (rows + 1 of them; entries of row r: offsets[r] .. offsets[r + 1]).
 * The single-valued fast case has offsets NULL: entry r is row r's, id -1 says "no entry".
 * An id below 0 is dropped by every lookup. Weights may be NULL (all 1). */
struct sparse {
    int64_t rows, entries;
    const int64_t *offsets;
    const int32_t *ids;
    const float *weights;
    const struct groups *groups; /* equal ids brought together, made with the batch; NULL where nobody needs them */
};
/* Entries grouped by id: ids ascending, and within an id in order of entries (so sums are in row order).
 * Entries with an id below 0 are in no group. */
struct groups {
    int64_t count;          /* distinct ids */
    const int32_t *ids;     /* [count] ascending */
    const int32_t *starts;  /* [count + 1] into entries */
    const int32_t *entries; /* entry numbers */
    const int32_t *rows;    /* the row of each of `entries`, parallel to it */
};
/* The entries of rows first .. first + count; offsets keep counting from the whole's zero. */
struct sparse sparse_slice(const struct sparse *whole, int64_t first, int64_t count);

/* A growing sparse value with memory of its own. */
struct sparse_builder {
    int64_t *offsets;
    int32_t *ids;
    float *weights;
    size_t offset_capacity, id_capacity, weight_capacity;
    int64_t rows, entries;
};
/* `weighted` must be the same for all entries from one clear to the next. */
bool sparse_append(struct sparse_builder *builder, int32_t id, float weight, bool weighted, pil_status *status);
bool sparse_end_row(struct sparse_builder *builder, pil_status *status);
struct sparse sparse_view(const struct sparse_builder *builder, bool weighted);
void sparse_clear(struct sparse_builder *builder);
void sparse_builder_free(struct sparse_builder *builder);

/* ---- fields.c ------------------------------------------------------------------------------------------------ */

/* A batch of raw fields: what a reader (or the server) fills and the column program reads. Column-wise. A string is a
 * slice of the reader's block and lives as long as that block. A field is single-valued, or has offsets (several
 * values in a cell). "No value" is a bit of its own, never a special number. */
enum field_type { FIELD_STRING, FIELD_INT64, FIELD_FLOAT };
const char *field_type_name(enum field_type type); /* "string", "int64", "float32" */
struct field_spec {
    const char *name;
    enum field_type type;
    char separator;        /* several values in a cell; 0: one */
    char weight_separator; /* "key:weight"; 0: none */
    bool required;         /* false: the source may lack it (a label when predicting only) */
};
struct field {
    const struct field_spec *spec;
    bool absent; /* the source has no such field at all */
    bool dense;  /* every row has the same number of values: as where there is one, "" and -1 are then no value */
    int64_t entries;
    int64_t *offsets;    /* [rows + 1], only with a separator */
    uint8_t *present;    /* [entries]: 0 where the value is missing */
    struct slice *texts; /* FIELD_STRING */
    int64_t *ints;       /* FIELD_INT64 */
    float *floats;       /* FIELD_FLOAT */
    float *weights;      /* with a weight_separator, or once a weight was set; else NULL */
    size_t entry_capacity, offset_capacity, weight_capacity;
};
struct fields {
    int64_t rows;
    size_t count;
    struct field *fields; /* in the order of the specs */
    const char *source;   /* file name for errors: of the rows that end while it is set; not copied */
    int64_t *lines;       /* [rows] line (or record) number in the source, from 1 */
    const char **sources; /* [rows] what `source` was when the row ended */
    size_t row_capacity;
    struct arena *own; /* texts that are in no block of the reader's; NULL until needed */
};
struct fields *fields_new(const struct field_spec *specs, size_t count, pil_status *status); /* specs must outlive it */
void fields_clear(struct fields *fields);
bool fields_reserve(struct fields *fields, int64_t rows, pil_status *status); /* rows more, one entry each */
/* Append one value to the field's current row; a row is ended for all fields together. */
bool fields_set_text(struct fields *fields, size_t field, struct slice text, pil_status *status);
bool fields_set_int(struct fields *fields, size_t field, int64_t value, pil_status *status);
bool fields_set_float(struct fields *fields, size_t field, float value, pil_status *status);
bool fields_set_weight(struct fields *fields, size_t field, float weight, pil_status *status); /* of the value just set */
bool fields_end_row(struct fields *fields, int64_t line, pil_status *status); /* fields not set in this row are missing */
/* Takes back what the current row has so far (a bad record that is to be skipped). */
void fields_undo_row(struct fields *fields);
/* Room for a text that is in no block (an unescaped cell, a number made text); lives until fields_clear. */
char *fields_own_text(struct fields *fields, size_t size, pil_status *status);
/* Parses one cell by the field's spec (number, separator, weights) and sets it; errors say what is wrong with the cell,
 * the caller adds file, line and column, and the cell leaves nothing behind. An empty cell is missing, an empty part
 * ("a||b") too; a value without a weight weighs 1. Spaces around numbers are allowed. */
bool fields_set_cell(struct fields *fields, size_t field, struct slice cell, pil_status *status);
/* Whole columns at once, for readers that have them so: `rows` rows of `width` values each, or cut by splits [rows + 1]. */
struct field_values {
    enum field_type type;
    const void *values; /* float, int64_t or const char *, by the type; a NULL string is missing. Strings are not copied */
    int64_t rows, width;
    const int64_t *splits; /* from any number on, which is the first value's; or NULL */
};
/* Puts them behind the rows there are, into a field that has nothing of these rows yet; integers go into a float field too. */
bool fields_put(struct fields *fields, size_t field, const struct field_values *values, pil_status *status);
/* Ends as many rows as all fields that were put have; the others' values are missing. Lines count on from `line`. */
bool fields_end_rows(struct fields *fields, int64_t rows, int64_t line, pil_status *status);
int64_t fields_find(const struct fields *fields, const char *name); /* -1 */
void fields_free(struct fields *fields);

#endif
