/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this room share: how a kind of column is described (its row), what a column is, and the lanes a program
 * is made of. Nothing here is for other rooms.
 *
 * A kind's row says how its column is made, and one of three ways to its values:
 *   value    one cell of the column's field to an id: a driver cuts the cells, skips the missing, tells row and field of errors;
 *   hashed   the fingerprint of a cell's text to an id: the same, where columns of one field share the fingerprints;
 *   run      a whole lane from other lanes: bucketized, weighted, crossed columns.
 */
#ifndef PILASTER_COLUMN_INTERNAL_H
#define PILASTER_COLUMN_INTERNAL_H

#include <stdatomic.h>

#include "column/column.h"

/* ---- columns ------------------------------------------------------------------------------------------------- */

struct lane_spec;
struct program_run;

/* A value of a field as a categorical column sees it: text or an integer. */
struct cell {
    bool is_integer;
    struct slice text;
    int64_t integer;
};
#define COLUMN_BAD INT64_MIN /* what value returns after it has filled the status */

/* The field a column reads itself (not through other columns). */
enum { ACCEPT_STRING = 1 << FIELD_STRING, ACCEPT_INT64 = 1 << FIELD_INT64, ACCEPT_FLOAT = 1 << FIELD_FLOAT };
struct column_use {
    const char *field; /* NULL: none */
    enum field_type wants;
    unsigned accepts;
};

struct column_row {
    const char *name; /* as users write it: "crossed_column" */
    const char *help;
    const struct arg_table *args;
    /* Makes a column of parsed arguments; the C API's makers end in the same function. `map` is the arguments as written. */
    struct pil_column *(*make)(struct pil_columns *owner, const void *options, const struct value *map);
    int64_t (*value)(const struct pil_column *column, const struct cell *cell, pil_status *status);
    int64_t (*hashed)(const struct pil_column *column, uint64_t fingerprint);
    bool (*run)(const struct lane_spec *lane, struct program_run *run);
    /* Do rows of this column hold any number of ids, given that those of its inputs do? NULL: as its inputs. */
    bool (*ragged)(const struct pil_column *column, bool inputs_ragged);
    /* Everything that decides ids and numbers beside name, field and inputs, which are known: for the definition's hash. */
    void (*define)(const struct pil_column *column, struct text *out);
    void (*release)(struct pil_column *column); /* memory outside the owner's arena */
};

struct pil_column {
    const struct column_row *row;
    struct pil_columns *owner;
    const char *name;    /* TensorFlow's */
    const char *scope;   /* the name as part of a variable's name: [^A-Za-z0-9_.\-] becomes _ */
    const char *key;     /* the model file's, or NULL */
    const void *options; /* the row's options, copied */
    const void *own;     /* what the kind made of them; its file knows the type */
    int64_t buckets;     /* categorical: number of ids; else 0 */
    int64_t width;       /* dense: columns of its output; else 0 */
    struct column_use use;
    struct pil_column *const *inputs; /* columns it reads */
    size_t input_count;
    struct pil_column *next; /* of the owner */
};

struct pil_columns {
    struct arena *arena;
    atomic_int holders;         /* besides whoever made it */
    pil_status status;          /* the first error */
    const char *wrong_argument; /* of the maker that failed, or NULL */
    struct pil_column *first;
    struct pil_column error; /* what makers return after an error */
};

/* Starts a column: `options` (size bytes) are copied flat. NULL after an error. */
struct pil_column *column_begin(struct pil_columns *owner, const struct column_row *row, const void *options, size_t size);
/* Ends a maker: the column, or the error column when anything failed. */
struct pil_column *column_end(struct pil_columns *owner, struct pil_column *column);
/* Fills the owner's error, "KIND: text", and remembers which argument was wrong. Returns the error column. */
struct pil_column *column_fail(struct pil_columns *owner, const struct column_row *row, const char *argument, const char *format,
                               ...) PRINTF_LIKE(4, 5);
struct pil_column *column_error(struct pil_columns *owner);
/* Checks that a maker shares. Each fills the owner's error and returns false. */
bool column_is_error(const struct pil_column *column);
bool column_check_field(struct pil_columns *owner, const struct column_row *row, const char *argument, const char *field);
bool column_check_count(struct pil_columns *owner, const struct column_row *row, const char *argument, int64_t count);
bool column_check_input(struct pil_columns *owner, const struct column_row *row, const char *argument,
                        const struct pil_column *input, bool categorical);
/* "string" or an integer's name; NULL is the default. */
bool column_check_dtype(struct pil_columns *owner, const struct column_row *row, const char *dtype, bool *is_integer);
/* Sets name and scope. The name is in the owner's arena; NULL: there was no memory for it. */
void column_set_name(struct pil_column *column, const char *name);
/* Copies into the owner's arena. */
const char *column_copy(struct pil_columns *owner, const char *text);
bool column_copy_inputs(struct pil_column *column, struct pil_column *const *inputs, size_t count);
/* The columns' names, sorted by bytes and joined, with something after them. */
bool column_join_names(struct pil_column *column, struct pil_column *const *parts, size_t count, const char *between,
                       const char *after, const char **joined);
/* The use of a field of numbers, whose dtype is float32 or an integer's. */
bool column_number_use(struct pil_columns *owner, const struct column_row *row, const char *field, const char *dtype,
                       struct column_use *use);

/* The rows of a family, at the foot of its file: column_WORD_rows. */
struct column_rows {
    const struct column_row *rows;
    size_t count;
};
#define COLUMN_ROWS_OF(word)                                                                                                     \
    extern const struct column_rows column_##word##_rows;                                                                        \
    const struct column_rows column_##word##_rows = { rows, COUNT_OF(rows) }
extern const struct column_row COLUMN_KEY; /* a raw field in a cross; no kind that users name */

/* ---- kinds that others ask about ---- */

/* The crossed column's leaves are its inputs. */
bool column_is_key(const struct pil_column *column);
bool column_is_numeric(const struct pil_column *column);
bool column_is_hashed(const struct pil_column *column); /* hash_bucket: may not be crossed */
bool column_is_weighted(const struct pil_column *column);
bool column_is_crossed(const struct pil_column *column);
bool column_is_group(const struct pil_column *column); /* shared embeddings: its members are its inputs */
/* The numeric column's number of values in a cell. */
int64_t numeric_width(const struct pil_column *column);

/* Embeddings, for the input layer. */
struct column_embedding {
    const struct pil_column *categorical;
    int64_t dimension;
    enum combiner combiner;
    float max_norm; /* 0: none */
    pil_initializer initializer;
    bool trainable;
    const char *checkpoint, *checkpoint_tensor; /* or NULL */
    const char *variable; /* below the layer's scope: "NAME/embedding_weights", or the shared collection's name */
    bool shared;
};
const struct column_embedding *column_embedding(const struct pil_column *column); /* NULL: is none */
const struct pil_column *column_indicator(const struct pil_column *column);       /* its categorical column, or NULL */

/* ---- argument types of this room (set.c) ---- */
extern const struct arg_type COLUMN_ARG_COLUMN;  /* pil_column *: an entry of the file */
extern const struct arg_type COLUMN_ARG_COLUMNS; /* pil_keys: entries of the file */
extern const struct arg_type COLUMN_ARG_KEYS;    /* pil_keys: entries or raw fields */
extern const struct arg_type COLUMN_ARG_PATH;    /* const char *: relative to the file's folder */
extern const struct arg_type COLUMN_ARG_COUNT;   /* int64_t: null leaves the default */
extern const struct arg_type COLUMN_ARG_LIMIT;   /* float: null leaves the default */
extern const struct arg_type COLUMN_ARG_NUMBERS; /* pil_floats: null, one number or a list */

/* ---- a program's lanes (program.c, run.c) -------------------------------------------------------------------- */

/* A lane holds one thing of every row of a chunk: a field's fingerprints, a column's ids, a numeric column's numbers. A column
 * that many use is one lane. A single-valued lane has entry r for row r; a ragged one has offsets and only entries that are
 * there. */
enum { CHUNK_ROWS = 256 };
struct lane {
    uint64_t *values; /* ids (two's complement) or fingerprints; [CHUNK_ROWS], ragged: [value_capacity] */
    uint8_t *present; /* [CHUNK_ROWS] 1 where the row has a value; single-valued only */
    int64_t *offsets; /* [CHUNK_ROWS + 1], from 0; ragged only */
    int32_t *places;  /* ragged: the entry's number within its cell, which its weight has too */
    float *floats;    /* numbers [rows * width]; ragged: weights */
    size_t value_capacity, place_capacity, float_capacity;
};
struct lane_spec {
    bool (*run)(const struct lane_spec *lane, struct program_run *run);
    const struct pil_column *column; /* NULL: raw values of a field */
    int number;                      /* its own, in the scratch */
    int field;                       /* the program's field it reads itself, or -1 */
    const int *inputs;               /* lanes made before it */
    size_t input_count;
    bool ragged;
    bool as_text;       /* raw field: integers as their decimal text, not as they are */
    bool crosses_empty; /* raw field under compat tf_dense: in a cross its missing values count, as "" and -1 */
};

/* One chunk on its way. */
struct program_run {
    const struct program *program;
    const struct fields *fields;
    const struct field *const *field_of; /* the program's fields in `fields` */
    struct lane *lanes;
    int64_t first, rows; /* of `fields` */
    pil_status *status;
};
static inline const struct lane *run_input(const struct lane_spec *lane, const struct program_run *run, size_t i)
{
    return &run->lanes[lane->inputs[i]];
}
const struct lane_spec *run_input_spec(const struct lane_spec *lane, const struct program_run *run, size_t i);
int64_t run_max_values(const struct program_run *run); /* max_values_per_row */
/* Room for the ragged lane's entries; the floats only where asked for. */
bool lane_reserve(struct lane *lane, int64_t entries, bool with_floats, pil_status *status);
/* The text of an integer, hashed. */
uint64_t fingerprint_integer(int64_t value);
/* Puts "FILE:LINE: field 'F', column 'C': " before an error. Returns false. */
bool run_fail_at(const struct program_run *run, int64_t row, const struct field *field, const struct pil_column *column);
/* The cell's entries: [*begin, *end) in the field. */
void field_entries(const struct field *field, int64_t row, int64_t *begin, int64_t *end);
/* Entry `entry` as a number, of a float or an integer field. False: it is missing. */
bool field_number(const struct field *field, int64_t entry, float *value);

/* x mod d by the reciprocal floor((2^64 - 1) / d): the quotient's estimate is right or one too small, so one correction makes it
 * exact. The high half of the product is put together from 32-bit halves, which every C compiler has. */
struct divisor {
    uint64_t divisor, reciprocal;
};
static inline struct divisor divisor_of(uint64_t d)
{
    return (struct divisor){ d, UINT64_MAX / d };
}
static inline uint64_t multiply_high(uint64_t a, uint64_t b)
{
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (uint32_t)middle;

    return a1 * b1 + (middle >> 32) + (other >> 32);
}
static inline uint64_t modulo(uint64_t x, struct divisor by)
{
    uint64_t rest = x - multiply_high(x, by.reciprocal) * by.divisor;

    return rest >= by.divisor ? rest - by.divisor : rest;
}

#endif
