/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input: from files, arrays and callbacks to raw fields, and the order in which rows are dealt. Input is a pure function:
 * (seed, epoch, n) decides which rows batch n holds; the shuffle deals in row numbers and draws from counter-based numbers only; a
 * batch carries the cursor of the batch after it. Reading ahead, shuffle buffers and caches hold no state worth saving.
 *
 *   source   files, globs, gzip -> blocks of whole records (nothing is parsed but record ends)
 *   csv      one block -> fields (thread-safe: blocks are parsed in parallel)
 *   stages   the order: shuffle, repeat, batch; the cursor
 *   dataset  what an input function returns (pilaster/input.h)
 *   arrays, callback    the two that read no file -> fields
 */
#ifndef PILASTER_INPUT_H
#define PILASTER_INPUT_H

#include "pilaster/input.h"
#include "tensor/tensor.h"

/* ---- source.c ---- */
/* A run of whole records of one file, a slice of a buffer that block_release gives back. A block may outlive the next
 * source_next, not the source. source_next, source_rewind and block_release of one source belong to one thread at a time.
 * gzip is known by its magic. A file that is written over or cut off while it is read is an error of source_next. */
struct block {
    const char *data;
    size_t size;
    const char *path;   /* of the file; lives as long as the source */
    int64_t first_line; /* of the file, from 1 */
    void *memory;       /* its buffer, for block_release */
};
struct source_options {
    const char *const *paths; /* paths or globs, read in the order given, a glob in the order of its names; "-": standard input */
    size_t path_count;
    size_t block_bytes; /* 0: a sensible size (256 KB) */
    bool quotes;        /* a newline between quotes does not end a record (CSV) */
    bool header;        /* each file starts with a header record: handed out by source_header, in no block */
    char delimiter;     /* with quotes: a quote opens behind this (or a newline), anywhere else it is a character; 0: ',' */
    char comment;       /* 0: none; records that start with it may hold any quotes, and may stand before the header */
    bool detect_lines;  /* a first file that starts with '{' holds JSON lines: no quotes, no header, no comments */
};
struct source;
/* Opens all files and reads the first one's header. No file, or an empty one, is an error. */
struct source *source_open(const struct source_options *options, pil_status *status);
bool source_is_lines(const struct source *source);       /* what detect_lines found */
struct slice source_header(const struct source *source); /* of the first file; other files' headers must be equal */
bool source_next(struct source *source, struct block *block, bool *end, pil_status *status);
bool source_rewind(struct source *source, pil_status *status); /* standard input cannot: an error */
void block_release(struct block *block);
/* What the cursor keeps of each file: its size and a hash of its first and last 64 KB, folded together over all files. */
uint64_t source_fingerprint(const struct source *source);
double source_progress(const struct source *source); /* 0 .. 1: of the files' bytes in this pass; -1: unknown */
size_t source_file_count(const struct source *source);
const char *source_file(const struct source *source, size_t i);
void source_close(struct source *source);

/* ---- csv.c, lines.c: one block -> fields ---- */
/* Rows dealt to two parts by a hash of the record's bytes, or of one field, the same way each time. Rows of the other part are
 * dropped as if they were not in the file. */
struct row_split {
    double share;   /* of the held-out part: 0 .. 1 */
    bool held_out;  /* keep that part, else the rest */
    const char *by; /* NULL: the whole record, else the field's name */
};

/* ---- csv.c ---- */
struct csv_options {
    char delimiter;           /* 0: ',' */
    bool header;              /* true: names stand in the first record */
    const char *const *names; /* without a header */
    size_t name_count;
    char comment;      /* 0: none; a record that starts with it is skipped */
    bool skip_bad;     /* on_error: skip (counted), else an error */
    bool all_required; /* optional fields must be there too (labels, when training) */
};
struct csv;
/* Binds the wanted fields to the columns of the header (or names). A required field that is not there: an error that names
 * the file, the field and the nearest column. specs must outlive the csv. split may be NULL. */
struct csv *csv_new(const struct csv_options *options, const struct row_split *split, struct slice header, const char *path,
                    const struct field_spec *specs, size_t count, pil_status *status);
/* Parses a whole block behind what `fields` holds already. Quotes ("" inside), CRLF, blank lines (skipped). Unquoted cells are
 * slices of the block; cells with doubled quotes are unescaped into the fields' own memory. A quote inside a field that does
 * not begin with one is a character. Errors carry file:line, field, column number, the record and a caret. With skip_bad bad
 * records are dropped and *skipped (may be NULL) grows by their number. A finished csv may parse on many threads at once. */
bool csv_parse(const struct csv *csv, const struct block *block, struct fields *fields, int64_t *skipped, pil_status *status);
void csv_free(struct csv *csv);

/* ---- lines.c ---- */
/* JSON lines: an object a line. Numbers and texts are values, a list several of them, null and what is not named are missing;
 * names that nobody wants are passed over. */
struct lines;
/* specs must outlive it; split may be NULL. Where `first` (the first block of the input) is given, optional fields that its
 * first object lacks are absent from the whole input; else nothing is absent. One thread at a time uses a lines. */
struct lines *lines_new(const struct field_spec *specs, size_t count, const struct row_split *split, bool skip_bad,
                        const struct block *first, pil_status *status);
/* As csv_parse. Texts are copied into the fields' own memory. */
bool lines_parse(struct lines *lines, const struct block *block, struct fields *fields, int64_t *skipped, pil_status *status);
void lines_free(struct lines *lines);

/* ---- stages.c ---- */
struct order_options {
    uint64_t seed;
    int64_t shuffle; /* buffer in rows; 0 or 1: none */
    int64_t batch_size;
    int64_t epochs; /* 0: without end; a batch then runs on across the end of the data (TensorFlow's repeat, then batch) */
    int64_t skip;   /* batches to pass over at the start (only without a cursor) */
};
/* Where the next batch begins. 24 bytes little endian in a checkpoint. */
struct cursor {
    int64_t epoch;   /* from 0 */
    int64_t emitted; /* rows (of a callback: batches) of this epoch already dealt; all of them at its end (the next epoch begins
                        * with its first row) */
    uint64_t data;   /* source_fingerprint, ...; the order itself leaves it 0 */
};
struct order;
struct order *order_new(const struct order_options *options, const struct cursor *from, pil_status *status);
/* One row of a batch. `epoch` differs within a batch that runs across the end. `slot` is the place of the shuffle buffer the
 * row sat in, 0 .. order_hold - 1, for feeds that keep rows there. Slots follow one rule: of all rows of all epochs in a line,
 * from the first of the epoch the order started in, row g < hold sits in slot g, and row g + hold takes the slot that draw g
 * leaves. */
struct order_row {
    int64_t epoch, row, slot;
};
/* The rows of the next batch. The order must know how many rows an epoch has: `known` rows exist for certain, and `complete`
 * says that these are all. What is dealt depends on `known` only through min(buffer, rows left), and the order waits until
 * that is certain: ORDER_NEED_ROWS says that nothing was dealt and that `*need` rows must be known (or all of them).
 * ORDER_END: the input ends here. ORDER_FAILED: out of memory. */
enum order_result { ORDER_BATCH, ORDER_NEED_ROWS, ORDER_END, ORDER_FAILED };
enum order_result order_next(struct order *order, int64_t known, bool complete, struct order_row *rows, int64_t *count,
                             int64_t *need, pil_status *status);
/* Rows to throw away before the first batch: those dealt before the cursor, or passed over by `skip`. */
int64_t order_behind(const struct order *order);
/* Deals up to `limit` of them, as order_next deals a batch (ORDER_BATCH), for feeds that keep rows in slots and must know
 * which were left. A feed that does not may leave it to order_next (rows NULL: nothing is written). */
enum order_result order_replay(struct order *order, int64_t known, bool complete, int64_t limit, struct order_row *rows,
                               int64_t *count, int64_t *need, pil_status *status);
/* Slots in use once a row has been dealt: min(buffer, rows of an epoch); 0 without a shuffle. */
int64_t order_hold(const struct order *order, int64_t known, bool complete);
struct cursor order_cursor(const struct order *order); /* behind the batch dealt last */
void order_free(struct order *order);

/* ---- dataset.c ---- */
/* A feature (or the label) that a dataset offers. Of files only what was said about their fields is known: any other name may be
 * a field of theirs too. */
struct dataset_field {
    const char *name;
    bool typed; /* false: it is read as whoever asks for it says (files) */
    enum field_type type;
    bool sized;                       /* false: how many values a row has is not known (files) */
    bool ragged;                      /* any number of values a row; then width is 0 */
    struct shape shape;               /* of a row */
    int64_t width;                    /* its elements */
    char separator, weight_separator; /* files: of the cells */
    const void *values;               /* arrays: floats, ints or strings by the type; borrowed */
};
enum dataset_kind { DATASET_FILES, DATASET_ARRAYS, DATASET_CALLBACK };
/* Everything a dataset was told; whoever opens a feed on it (column.h, feed_dataset) reads it there. */
struct pil_dataset {
    pil_status status; /* of the maker; after an error the rest means nothing */
    enum dataset_kind kind;
    struct arena *arena;
    struct dataset_field *fields;
    size_t field_count, field_capacity;
    const char *label;          /* the name of the label's field, or NULL */
    int64_t label_width;        /* files: numbers in its cell */
    int64_t seed;               /* of the shuffle; -1: the run's */
    struct order_options order; /* all but the seed. Of a callback: the epochs only */
    /* files */
    const char *const *paths;
    size_t path_count;
    const char *format;
    struct csv_options csv;
    bool cache;
    int64_t cache_bytes, max_values_per_row;
    struct row_split split; /* share 0: none */
    /* arrays */
    int64_t rows;
    /* a callback */
    pil_next_batch next;
    pil_seek_batch seek;
    void *context;
};
const struct dataset_field *dataset_find(const struct pil_dataset *dataset, const char *name); /* NULL */
int64_t dataset_label_width(const struct pil_dataset *dataset);                                /* numbers of its label */

/* ---- arrays.c ---- */
/* Arrays read as the fields that somebody wants. */
struct arrays;
/* A wanted field without an array, of another type or with several values where one is wanted: an error that names it. A field
 * that is not required may be absent, unless all_required. dataset and specs must outlive it. */
struct arrays *arrays_new(const struct pil_dataset *dataset, const struct field_spec *specs, size_t count, bool all_required,
                          pil_status *status);
/* Appends rows first .. first + count. Thread-safe. Their lines are the rows' numbers, from 0. */
bool arrays_read(const struct arrays *arrays, int64_t first, int64_t count, struct fields *fields, pil_status *status);
uint64_t arrays_fingerprint(const struct arrays *arrays); /* of names, rows and both ends of each array */
void arrays_free(struct arrays *arrays);

/* ---- callback.c ---- */
/* A callback's batches as the fields that somebody wants. One thread at a time. */
struct callback;
struct callback *callback_new(const struct pil_dataset *dataset, const struct field_spec *specs, size_t count, bool all_required,
                              pil_status *status);
/* Appends the rows of a batch; *end: the epoch has no such batch. fields NULL: the batch is drawn and thrown away. Errors begin
 * with the batch's numbers. */
bool callback_next(struct callback *callback, int64_t epoch, int64_t batch, struct fields *fields, bool *end, pil_status *status);
/* Goes to a batch that is not the next one: by the seek, or from the epoch's first batch on. An epoch that ends before is an
 * error. */
bool callback_seek(struct callback *callback, int64_t epoch, int64_t batch, pil_status *status);
uint64_t callback_fingerprint(const struct callback *callback); /* of what was declared; the batches are the callback's own */
void callback_free(struct callback *callback);

#endif
