/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feature columns: how raw fields of the data become what a model reads. The functions are TensorFlow's tf.feature_column,
 * with its names, arguments and defaults; ids equal TensorFlow's bit for bit.
 *
 *     pil_columns *c         = pil_columns_new();
 *     pil_column *dayofweek  = pil_categorical_column_with_vocabulary_list(c, "dayofweek", days, 7);
 *     pil_column *hourofday  = pil_categorical_column_with_identity(c, "hourofday", 24);
 *     pil_column *day_hr     = pil_crossed_column(c, PIL_KEYS(dayofweek, hourofday), 24 * 7);
 *     pil_column *day_hr_em  = pil_embedding_column(c, day_hr, 2, .combiner = "sum");
 *     pil_status status      = pil_columns_status(c);
 *
 * Columns belong to the pil_columns they were made with; what a maker is given (words, boundaries, paths) is copied.
 *
 * Errors. A maker never returns NULL. After the first error every maker returns the set's error column, so that code reads
 * like a list and pil_columns_status is asked once; its text names the kind of column and the argument.
 *
 * Options. Behind every maker stands a plain function, pil_X_make, that takes a pointer to the options, and
 * pil_X_options_default(); C++ and other languages use these. The macro puts the defaults first and yours after them, so
 * `.trainable = false` and `.default_value = 0` mean what they say.
 *
 * Missing values. An empty string, an empty cell and, in a field of single integers, -1 are "no value": the row has no id in
 * this column, and no cross is made of it. In a list ("a|b|c") -1 and "" are values. A missing number is an error unless
 * the column has a default_value.
 */
#ifndef PILASTER_PUBLIC_COLUMN_H
#define PILASTER_PUBLIC_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pilaster/options.h"
#include "pilaster/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pil_columns pil_columns; /* owns columns and the first error */
typedef struct pil_column pil_column;

/* An empty set, to be freed by the caller. Never NULL: without memory, a set that already holds that error. */
PIL_API pil_columns *pil_columns_new(void);
/* The first error of any maker, or PIL_OK. */
PIL_API PIL_WARN_UNUSED pil_status pil_columns_status(const pil_columns *columns);
/* Frees the set and all its columns, those that a graph was made with when that goes: a model function may make a set and free it.
 * NULL is fine. */
PIL_API void pil_columns_free(pil_columns *columns);
/* TensorFlow's name of a column, such as "dayofweek_X_hourofday_embedding"; it lives as long as the set. */
PIL_API const char *pil_column_name(const pil_column *column);

/* Lists. They are copied by whoever takes them. */
typedef struct pil_keys {
    pil_column *const *items;
    size_t count;
} pil_keys;
typedef struct pil_floats {
    const float *items;
    size_t count;
} pil_floats;
typedef struct pil_words {
    const char *const *items;
    size_t count;
} pil_words;
#define PIL_KEYS(...)                                                                                                            \
    ((pil_keys){ (pil_column *const[]){ __VA_ARGS__ }, sizeof((pil_column *const[]){ __VA_ARGS__ }) / sizeof(pil_column *) })
#define PIL_FLOATS(...) ((pil_floats){ (const float[]){ __VA_ARGS__ }, sizeof((const float[]){ __VA_ARGS__ }) / sizeof(float) })

/* A raw field as a key of a cross: a string goes in by its fingerprint, an integer as it is. */
PIL_API pil_column *pil_key(pil_columns *columns, const char *field);

/* ---- numeric_column ------------------------------------------------------------------------------------------ */

/* The function applied to every number: (x - subtract) / divide. A divide of 0 counts as 1. */
typedef struct pil_normalizer {
    float subtract, divide;
} pil_normalizer;
typedef struct pil_numeric_column_options {
    const char *key;          /* the field */
    int64_t shape[4];         /* up to the first 0: {1}, {3}, {2, 3}; the field's cell holds that many numbers */
    pil_floats default_value; /* for missing numbers: none, one for all, or one an element */
    const char *dtype;        /* "float32"; an integer's name says that the field holds integers */
    pil_normalizer normalizer_fn;
} pil_numeric_column_options;
#define PIL_NUMERIC_COLUMN_DEFAULTS .shape = { 1 }, .dtype = "float32", .normalizer_fn = { 0.0f, 1.0f }
/* Numbers as they are: [batch, product of shape], float32. A missing number is an error that names row and field, unless
 * default_value fills it. Source: tf.feature_column.numeric_column. */
#define pil_numeric_column(columns, ...)                                                                                         \
    pil_numeric_column_make((columns), &(pil_numeric_column_options){ PIL_NUMERIC_COLUMN_DEFAULTS, .key = __VA_ARGS__ })
PIL_API pil_numeric_column_options pil_numeric_column_options_default(void);
PIL_API pil_column *pil_numeric_column_make(pil_columns *columns, const pil_numeric_column_options *options);

/* ---- bucketized_column --------------------------------------------------------------------------------------- */

typedef struct pil_bucketized_column_options {
    pil_column *source_column; /* a numeric_column of at most one dimension */
    pil_floats boundaries;     /* ascending */
} pil_bucketized_column_options;
#define PIL_BUCKETIZED_COLUMN_DEFAULTS .source_column = NULL
/* The number of boundaries at or below x: n boundaries make n + 1 buckets, an x equal to a boundary belongs to its right,
 * NaN to the last. Element i of a vector counts from i * (n + 1). Categorical, and dense as one-hot. Errors: a source that
 * is not numeric, boundaries that do not ascend (as float32). Source: tf.feature_column.bucketized_column. */
#define pil_bucketized_column(columns, source, list, ...)                                                                        \
    pil_bucketized_column_make((columns),                                                                                        \
                               &(pil_bucketized_column_options){ PIL_BUCKETIZED_COLUMN_DEFAULTS, .source_column = (source),      \
                                                                 .boundaries.items = (list), .boundaries.count = __VA_ARGS__ })
PIL_API pil_bucketized_column_options pil_bucketized_column_options_default(void);
PIL_API pil_column *pil_bucketized_column_make(pil_columns *columns, const pil_bucketized_column_options *options);

/* ---- categorical columns ------------------------------------------------------------------------------------- */

typedef struct pil_categorical_column_with_identity_options {
    const char *key;
    int64_t num_buckets;
    int64_t default_value; /* -1: none */
} pil_categorical_column_with_identity_options;
#define PIL_CATEGORICAL_COLUMN_WITH_IDENTITY_DEFAULTS .default_value = -1
/* The integer itself, in [0, num_buckets). Another value takes default_value; without one it is an error that names the row.
 * Source: tf.feature_column.categorical_column_with_identity. */
#define pil_categorical_column_with_identity(columns, field, ...)                                                                \
    pil_categorical_column_with_identity_make(                                                                                   \
        (columns), &(pil_categorical_column_with_identity_options){ PIL_CATEGORICAL_COLUMN_WITH_IDENTITY_DEFAULTS,               \
                                                                    .key = (field), .num_buckets = __VA_ARGS__ })
PIL_API pil_categorical_column_with_identity_options pil_categorical_column_with_identity_options_default(void);
PIL_API pil_column *pil_categorical_column_with_identity_make(pil_columns *columns,
                                                              const pil_categorical_column_with_identity_options *options);

typedef struct pil_categorical_column_with_hash_bucket_options {
    const char *key;
    int64_t hash_bucket_size;
    const char *dtype; /* "string"; an integer's name says that the field holds integers */
} pil_categorical_column_with_hash_bucket_options;
#define PIL_CATEGORICAL_COLUMN_WITH_HASH_BUCKET_DEFAULTS .dtype = "string"
/* Fingerprint64(text) mod hash_bucket_size; an integer is hashed as its decimal text.
 * Source: tf.feature_column.categorical_column_with_hash_bucket. */
#define pil_categorical_column_with_hash_bucket(columns, field, ...)                                                             \
    pil_categorical_column_with_hash_bucket_make(                                                                                \
        (columns), &(pil_categorical_column_with_hash_bucket_options){ PIL_CATEGORICAL_COLUMN_WITH_HASH_BUCKET_DEFAULTS,         \
                                                                       .key = (field), .hash_bucket_size = __VA_ARGS__ })
PIL_API pil_categorical_column_with_hash_bucket_options pil_categorical_column_with_hash_bucket_options_default(void);
PIL_API pil_column *pil_categorical_column_with_hash_bucket_make(pil_columns *columns,
                                                                 const pil_categorical_column_with_hash_bucket_options *options);

typedef struct pil_categorical_column_with_vocabulary_list_options {
    const char *key;
    pil_words vocabulary_list;
    const char *dtype;       /* "string"; an integer's name: the words are integers. NULL is "string" */
    int64_t default_value;   /* the id of a word that is not in the list; -1: dropped (but hashed in a cross) */
    int64_t num_oov_buckets; /* more than 0: such words share this many ids behind the list's; then no default_value */
} pil_categorical_column_with_vocabulary_list_options;
#define PIL_CATEGORICAL_COLUMN_WITH_VOCABULARY_LIST_DEFAULTS .default_value = -1
/* A word's place in the list. Errors: an empty list, a word twice, default_value together with num_oov_buckets.
 * Source: tf.feature_column.categorical_column_with_vocabulary_list. */
#define pil_categorical_column_with_vocabulary_list(columns, field, list, ...)                                                   \
    pil_categorical_column_with_vocabulary_list_make(                                                                            \
        (columns), &(pil_categorical_column_with_vocabulary_list_options){ PIL_CATEGORICAL_COLUMN_WITH_VOCABULARY_LIST_DEFAULTS, \
                                                                           .key = (field), .vocabulary_list.items = (list),      \
                                                                           .vocabulary_list.count = __VA_ARGS__ })
PIL_API pil_categorical_column_with_vocabulary_list_options pil_categorical_column_with_vocabulary_list_options_default(void);
PIL_API pil_column *
pil_categorical_column_with_vocabulary_list_make(pil_columns *columns,
                                                 const pil_categorical_column_with_vocabulary_list_options *options);

typedef struct pil_categorical_column_with_vocabulary_file_options {
    const char *key;
    const char *vocabulary_file; /* a path */
    int64_t vocabulary_size;     /* the file's first lines; 0: all */
    const char *dtype;           /* "string" or an integer's name */
    int64_t default_value;       /* as with a list */
    int64_t num_oov_buckets;
    const char *file_format; /* NULL or "text" */
} pil_categorical_column_with_vocabulary_file_options;
#define PIL_CATEGORICAL_COLUMN_WITH_VOCABULARY_FILE_DEFAULTS .dtype = "string", .default_value = -1
/* The number of the line that is the word: one entry a line, a final \r goes, spaces stay. Errors: an empty line, a line
 * twice, fewer lines than vocabulary_size. The file is read when the column is made.
 * Source: tf.feature_column.categorical_column_with_vocabulary_file. */
#define pil_categorical_column_with_vocabulary_file(columns, field, ...)                                                         \
    pil_categorical_column_with_vocabulary_file_make(                                                                            \
        (columns), &(pil_categorical_column_with_vocabulary_file_options){ PIL_CATEGORICAL_COLUMN_WITH_VOCABULARY_FILE_DEFAULTS, \
                                                                           .key = (field), .vocabulary_file = __VA_ARGS__ })
PIL_API pil_categorical_column_with_vocabulary_file_options pil_categorical_column_with_vocabulary_file_options_default(void);
PIL_API pil_column *
pil_categorical_column_with_vocabulary_file_make(pil_columns *columns,
                                                 const pil_categorical_column_with_vocabulary_file_options *options);

typedef struct pil_weighted_categorical_column_options {
    pil_column *categorical_column;
    const char *weight_feature_key; /* the field of the weights; of no field where the keys bring theirs ("key:weight") */
    const char *dtype;              /* "float32"; an integer's name says that the field holds integers */
} pil_weighted_categorical_column_options;
#define PIL_WEIGHTED_CATEGORICAL_COLUMN_DEFAULTS .dtype = "float32"
/* A categorical column whose values carry weights: as many weights as keys in every row, else an error that names it. Where
 * the input's field has a weight_separator, its own weights are taken and weight_feature_key only names the column.
 * Source: tf.feature_column.weighted_categorical_column. */
#define pil_weighted_categorical_column(columns, categorical, ...)                                                               \
    pil_weighted_categorical_column_make((columns),                                                                              \
                                         &(pil_weighted_categorical_column_options){ PIL_WEIGHTED_CATEGORICAL_COLUMN_DEFAULTS,   \
                                                                                     .categorical_column = (categorical),        \
                                                                                     .weight_feature_key = __VA_ARGS__ })
PIL_API pil_weighted_categorical_column_options pil_weighted_categorical_column_options_default(void);
PIL_API pil_column *pil_weighted_categorical_column_make(pil_columns *columns,
                                                         const pil_weighted_categorical_column_options *options);

/* ---- crossed_column ------------------------------------------------------------------------------------------ */

typedef struct pil_crossed_column_options {
    pil_keys keys; /* at least two: categorical or bucketized columns, other crosses, raw fields (pil_key) */
    int64_t hash_bucket_size;
    int64_t hash_key; /* 0: TensorFlow's, 0xDECAFCAFFE */
} pil_crossed_column_options;
#define PIL_CROSSED_COLUMN_DEFAULTS .hash_key = 0
/* The hash of one value of each key, mod hash_bucket_size; several values in a row make every combination, last key fastest.
 * A cross among the keys stands for its own keys. A row in which a key has no value has no cross; a word that is in no
 * vocabulary (-1) is hashed. Errors: fewer than two keys; a numeric column (bucketize it); a hash_bucket or weighted column
 * (name the raw field). Source: tf.feature_column.crossed_column. */
#define pil_crossed_column(columns, key_list, ...)                                                                               \
    pil_crossed_column_make((columns), &(pil_crossed_column_options){ PIL_CROSSED_COLUMN_DEFAULTS, .keys = (key_list),           \
                                                                      .hash_bucket_size = __VA_ARGS__ })
PIL_API pil_crossed_column_options pil_crossed_column_options_default(void);
PIL_API pil_column *pil_crossed_column_make(pil_columns *columns, const pil_crossed_column_options *options);

/* ---- dense columns of categorical ones ----------------------------------------------------------------------- */

typedef struct pil_indicator_column_options {
    pil_column *categorical_column;
} pil_indicator_column_options;
#define PIL_INDICATOR_COLUMN_DEFAULTS .categorical_column = NULL
/* How often each id occurs in the row (with weights: their sums): [batch, number of ids].
 * Source: tf.feature_column.indicator_column. */
#define pil_indicator_column(columns, ...)                                                                                       \
    pil_indicator_column_make(                                                                                                   \
        (columns), &(pil_indicator_column_options){ PIL_INDICATOR_COLUMN_DEFAULTS, .categorical_column = __VA_ARGS__ })
PIL_API pil_indicator_column_options pil_indicator_column_options_default(void);
PIL_API pil_column *pil_indicator_column_make(pil_columns *columns, const pil_indicator_column_options *options);

/* First values by the names of Keras or TensorFlow: "zeros", "ones", "constant" (value), "random_normal" and
 * "truncated_normal" (mean, stddev), "random_uniform" (minval, maxval), "glorot_uniform", "glorot_normal", "he_uniform",
 * "he_normal", "lecun_uniform", "lecun_normal", "orthogonal" and "identity" (gain). Left at 0, stddev is 0.05, minval and
 * maxval are -0.05 and 0.05, gain is 1. */
typedef struct pil_column_initializer {
    const char *name; /* NULL: the column's default, truncated_normal with deviation 1 / sqrt(dimension) */
    float mean, stddev;
    float minval, maxval;
    float value;
    float gain;
} pil_column_initializer;

typedef struct pil_embedding_column_options {
    pil_column *categorical_column; /* weighted ones too */
    int64_t dimension;
    const char *combiner; /* "mean", "sqrtn", "sum" */
    pil_column_initializer initializer;
    const char *ckpt_to_load_from; /* a checkpoint or a folder of them; both or neither of these two */
    const char *tensor_name_in_ckpt;
    float max_norm; /* rows longer than this are scaled down before combining; 0: no limit */
    bool trainable;
    bool use_safe_embedding_lookup; /* accepted; the lookup is always the safe one */
} pil_embedding_column_options;
#define PIL_EMBEDDING_COLUMN_DEFAULTS .combiner = "mean", .trainable = true, .use_safe_embedding_lookup = true
/* A row of a trained table for each id, combined: [batch, dimension]; zeros where a row has no id. Errors: dimension below 1,
 * an unknown combiner or initializer, one of ckpt_to_load_from and tensor_name_in_ckpt without the other.
 * Source: tf.feature_column.embedding_column. */
#define pil_embedding_column(columns, categorical, ...)                                                                          \
    pil_embedding_column_make((columns),                                                                                         \
                              &(pil_embedding_column_options){ PIL_EMBEDDING_COLUMN_DEFAULTS,                                    \
                                                               .categorical_column = (categorical), .dimension = __VA_ARGS__ })
PIL_API pil_embedding_column_options pil_embedding_column_options_default(void);
PIL_API pil_column *pil_embedding_column_make(pil_columns *columns, const pil_embedding_column_options *options);

typedef struct pil_shared_embeddings_options {
    pil_keys categorical_columns; /* at least one; all of one kind and one number of ids */
    int64_t dimension;
    const char *combiner;
    pil_column_initializer initializer;
    const char *shared_embedding_collection_name; /* NULL: the sorted names, joined: "a_b_shared_embedding" */
    const char *ckpt_to_load_from, *tensor_name_in_ckpt;
    float max_norm;
    bool trainable;
    bool use_safe_embedding_lookup;
} pil_shared_embeddings_options;
#define PIL_SHARED_EMBEDDINGS_DEFAULTS .combiner = "mean", .trainable = true, .use_safe_embedding_lookup = true
/* Embeddings that read one table: fills `out` with one column for each of the list, in its order. Returns the group, which
 * stands for all of them in a list of feature columns. Source: tf.feature_column.shared_embeddings. */
#define pil_shared_embeddings(columns, list, out, ...)                                                                           \
    pil_shared_embeddings_make((columns), (out),                                                                                 \
                               &(pil_shared_embeddings_options){ PIL_SHARED_EMBEDDINGS_DEFAULTS, .categorical_columns = (list),  \
                                                                 .dimension = __VA_ARGS__ })
PIL_API pil_shared_embeddings_options pil_shared_embeddings_options_default(void);
/* `out` may be NULL where the group is enough. */
PIL_API pil_column *pil_shared_embeddings_make(pil_columns *columns, pil_column **out,
                                               const pil_shared_embeddings_options *options);

#ifdef __cplusplus
}
#endif

#endif
