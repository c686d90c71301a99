/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: what an input function returns. A dataset says where rows come from and in which order they are dealt; nothing is read
 * before training, evaluation or prediction asks for the first batch.
 *
 *     pil_dataset *get_train(void *context)
 *     {
 *         return pil_dataset_from_arrays(PIL_ARRAYS({ "rawdata", .floats = x, .rows = n, .shape = { 9 } }), true,
 *                                        .y = { .floats = y, .rows = n }, .batch_size = 20, .num_epochs = 0);
 *     }
 *
 * The order is a function of the seed, the epoch and the batch's number alone: the same for any number of threads, and for a
 * run that was stopped and goes on from a checkpoint.
 *
 * Errors. A maker never returns NULL. What is wrong with its arguments stays in the dataset, where pil_dataset_status tells it;
 * whoever is given a dataset with an error (the Estimator) reports that error.
 */
#ifndef PILASTER_PUBLIC_INPUT_H
#define PILASTER_PUBLIC_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pilaster/column.h"
#include "pilaster/options.h"
#include "pilaster/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Made by an input function, freed by whoever called it: the Estimator. */
typedef struct pil_dataset pil_dataset;

/* The first error of the maker, or PIL_OK. */
PIL_API PIL_WARN_UNUSED pil_status pil_dataset_status(const pil_dataset *dataset);
/* NULL is fine. */
PIL_API void pil_dataset_free(pil_dataset *dataset);

/* Axes of one row's shape, as many as a tensor has beside the batch. */
enum { PIL_ROW_RANK = 7 };

/* ---- arrays in memory ---------------------------------------------------------------------------------------- */

/* A feature of every row: exactly one of floats, ints and strings, row after row without gaps. A string that is NULL or "" is
 * "no value"; NaN is a number like others. The arrays are borrowed: values and strings must stay as they are until the dataset
 * is freed. Names are copied. */
typedef struct pil_array {
    const char *name;
    const float *floats;
    const int64_t *ints;
    const char *const *strings;
    int64_t rows;
    int64_t shape[PIL_ROW_RANK]; /* of one row, up to the first 0: { 9 } for [rows, 9]; nothing: one value a row */
} pil_array;
typedef struct pil_arrays {
    const pil_array *items;
    size_t count;
} pil_arrays;
#define PIL_ARRAYS(...)                                                                                                          \
    ((pil_arrays){ (const pil_array[]){ __VA_ARGS__ }, sizeof((const pil_array[]){ __VA_ARGS__ }) / sizeof(pil_array) })

typedef struct pil_dataset_from_arrays_options {
    pil_arrays x; /* features */
    pil_array y;  /* the label; without values: there is none. Without a name it is called "label" */
    int64_t batch_size;
    int64_t num_epochs; /* 0: without end (the original's None) */
    bool shuffle;
    int64_t shuffle_seed; /* -1: the run's tf_random_seed */
} pil_dataset_from_arrays_options;
#define PIL_DATASET_FROM_ARRAYS_DEFAULTS .batch_size = 128, .num_epochs = 1, .shuffle_seed = -1
/* Rows of arrays. `shuffle` (true or false, to be said each time as in the original) deals all rows in a new order each epoch.
 * Errors: no feature; arrays of different numbers of rows, both named; a name twice; an array without values, or with values of
 * two types; no rows; batch_size below 1. Source: tf.compat.v1.estimator.inputs.numpy_input_fn. */
#define pil_dataset_from_arrays(features, ...)                                                                                   \
    pil_dataset_from_arrays_make(                                                                                                \
        &(pil_dataset_from_arrays_options){ PIL_DATASET_FROM_ARRAYS_DEFAULTS, .x = (features), .shuffle = __VA_ARGS__ })
PIL_API pil_dataset_from_arrays_options pil_dataset_from_arrays_options_default(void);
PIL_API pil_dataset *pil_dataset_from_arrays_make(const pil_dataset_from_arrays_options *options);

/* ---- files --------------------------------------------------------------------------------------------------- */

/* PIL_TYPE_ANY: whatever the columns that read it ask for. */
typedef enum pil_feature_type { PIL_TYPE_ANY, PIL_TYPE_STRING, PIL_TYPE_INT64, PIL_TYPE_FLOAT32 } pil_feature_type;

/* What a field of a file is known to be, where that does not follow from the columns. */
typedef struct pil_csv_field {
    const char *name;
    pil_feature_type type;
    char separator;        /* several values in a cell ("a|b|c"); 0: one */
    char weight_separator; /* "key:weight"; 0: none */
} pil_csv_field;
typedef struct pil_csv_fields {
    const pil_csv_field *items;
    size_t count;
} pil_csv_fields;
#define PIL_CSV_FIELDS(...)                                                                                                      \
    ((pil_csv_fields){ (const pil_csv_field[]){ __VA_ARGS__ },                                                                   \
                       sizeof((const pil_csv_field[]){ __VA_ARGS__ }) / sizeof(pil_csv_field) })
/* Texts: PIL_WORDS("train-*.csv", "more.csv.gz"). */
#define PIL_WORDS(...)                                                                                                           \
    ((pil_words){ (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *) })

typedef struct pil_csv_dataset_options {
    pil_words file_pattern; /* paths and globs, read in this order; gzip is known by its content; "-": standard input */
    int64_t batch_size;
    pil_words column_names;  /* given: the files have no header, and their columns are called so */
    const char *label_name;  /* NULL: there is no label */
    int64_t label_dimension; /* numbers in a label's cell */
    pil_csv_fields fields;
    char field_delim;
    char comment;       /* a record that starts with it is passed over; 0: none */
    int64_t num_epochs; /* 0: without end (the original's None) */
    bool shuffle;
    int64_t shuffle_buffer_size;
    int64_t shuffle_seed; /* -1: the run's tf_random_seed */
    int64_t skip;         /* batches to pass over at the start */
    bool ignore_errors;   /* bad records are dropped and counted; else they are errors */
    const char *format;   /* NULL: "csv", or "jsonl" where the first file starts with '{' */
    bool cache;           /* keep the rows, as the columns have made them, after the first epoch */
    int64_t cache_bytes;  /* beyond this the cache is an error that says the size it would need */
    int64_t max_values_per_row;
    double split;         /* 0: no split; else this share of the rows is the held-out part ... */
    bool split_held_out;  /* ... which this dataset reads, or the rest */
    const char *split_by; /* rows are dealt to the parts by a hash of this field; NULL: of the whole record */
} pil_csv_dataset_options;
#define PIL_CSV_DATASET_DEFAULTS                                                                                                 \
    .label_dimension = 1, .field_delim = ',', .shuffle = true, .shuffle_buffer_size = 10000, .shuffle_seed = -1,                 \
    .cache_bytes = (int64_t)4 << 30, .max_values_per_row = 10000
/* Rows of CSV files (or of JSON lines), quoted as in RFC 4180. Texts of the options are copied. The original's column_defaults
 * are the columns' default_value here, its select_columns follow from the columns. Errors at once: no file, batch_size below 1, a
 * field twice; later, from whoever reads: files that are missing, cells that are no numbers, each with file, line and column.
 * Source: tf.data.experimental.make_csv_dataset. */
#define pil_csv_dataset(files, ...)                                                                                              \
    pil_csv_dataset_make(                                                                                                        \
        &(pil_csv_dataset_options){ PIL_CSV_DATASET_DEFAULTS, .file_pattern = (files), .batch_size = __VA_ARGS__ })
PIL_API pil_csv_dataset_options pil_csv_dataset_options_default(void);
PIL_API pil_dataset *pil_csv_dataset_make(const pil_csv_dataset_options *options);

/* ---- a callback ---------------------------------------------------------------------------------------------- */

/* What a callback's batches hold. */
typedef struct pil_feature_spec {
    const char *name;
    pil_feature_type type;
    int64_t shape[PIL_ROW_RANK]; /* of one row, up to the first 0; nothing: one value a row */
    bool ragged;                 /* any number of values a row; then without shape */
} pil_feature_spec;
typedef struct pil_feature_specs {
    const pil_feature_spec *items;
    size_t count;
} pil_feature_specs;
#define PIL_FEATURE_SPECS(...)                                                                                                   \
    ((pil_feature_specs){ (const pil_feature_spec[]){ __VA_ARGS__ },                                                             \
                          sizeof((const pil_feature_spec[]){ __VA_ARGS__ }) / sizeof(pil_feature_spec) })

/* A batch that a callback fills, valid during its call. */
typedef struct pil_batch pil_batch;
/* Gives the feature `name` of `rows` rows: rows times the product of its shape values, row after row. They are copied. All
 * features of a batch have the same rows, and each that was declared is given once; only the label may be left out, and only to
 * predict. What is wrong (another type than declared, other rows than the feature before it, NULL) becomes the batch's error. */
PIL_API void pil_batch_set_floats(pil_batch *batch, const char *name, const float *values, int64_t rows);
PIL_API void pil_batch_set_ints(pil_batch *batch, const char *name, const int64_t *values, int64_t rows);
PIL_API void pil_batch_set_strings(pil_batch *batch, const char *name, const char *const *values, int64_t rows);
/* A ragged feature: row r has the values row_splits[r] .. row_splits[r + 1] - 1. row_splits has rows + 1 numbers that begin with
 * 0 and do not descend, as tf.RaggedTensor's. `values` may be NULL where no row has any. */
PIL_API void pil_batch_set_ragged_floats(pil_batch *batch, const char *name, const float *values, const int64_t *row_splits,
                                         int64_t rows);
PIL_API void pil_batch_set_ragged_ints(pil_batch *batch, const char *name, const int64_t *values, const int64_t *row_splits,
                                       int64_t rows);
PIL_API void pil_batch_set_ragged_strings(pil_batch *batch, const char *name, const char *const *values,
                                          const int64_t *row_splits, int64_t rows);

/* Fills batch number `batch` (from 0) of epoch `epoch` (from 0). True: it is filled. False: the epoch has no such batch, it is
 * over; or, where *status was filled, an error, which ends the run. Batches are asked for in order, a few of them before they are
 * needed, on one thread at a time but not always the same one. What a batch holds must follow from its two numbers (and whatever
 * the context had at the start), or the run cannot be repeated. */
typedef bool (*pil_next_batch)(void *context, int64_t epoch, int64_t batch, pil_batch *out, pil_status *status);
/* Called before a batch that does not follow on the one before it: at the start of a run that goes on from a checkpoint. False:
 * *status says why it cannot be. */
typedef bool (*pil_seek_batch)(void *context, int64_t epoch, int64_t batch, pil_status *status);

typedef struct pil_dataset_from_callback_options {
    pil_feature_specs features; /* the label among them */
    pil_next_batch next;
    pil_seek_batch seek;    /* NULL: the batches before are drawn from the epoch's first on, and thrown away */
    void *context;          /* borrowed: must outlive the dataset */
    const char *label_name; /* NULL: there is no label */
    int64_t num_epochs;     /* 0: without end */
} pil_dataset_from_callback_options;
#define PIL_DATASET_FROM_CALLBACK_DEFAULTS .num_epochs = 1
/* Batches that a function makes: each of its batches is one batch of the model, whatever its size. Errors at once: no next, no
 * features, a feature without a type, a label that is none of them; later: an epoch without any batch, and what a callback says
 * or does wrong, with the numbers of the batch. Source: tf.data.Dataset.from_generator, with batches for elements. */
#define pil_dataset_from_callback(specs, ...)                                                                                    \
    pil_dataset_from_callback_make(                                                                                              \
        &(pil_dataset_from_callback_options){ PIL_DATASET_FROM_CALLBACK_DEFAULTS, .features = (specs), .next = __VA_ARGS__ })
PIL_API pil_dataset_from_callback_options pil_dataset_from_callback_options_default(void);
PIL_API pil_dataset *pil_dataset_from_callback_make(const pil_dataset_from_callback_options *options);

#ifdef __cplusplus
}
#endif

#endif
