/* SPDX-License-Identifier: Apache-2.0 */
/*
 * column: feature columns, compiled into a program that turns raw fields into ids, weights and numbers; the feed that reads,
 * transforms, shuffles, caches and batches; the input layer and the linear model that bring a batch into a graph.
 *
 * Strings stop here. Training, evaluation, prediction and serving run the same program.
 */
#ifndef PILASTER_COLUMN_H
#define PILASTER_COLUMN_H

#include "graph/graph.h"
#include "input/input.h"
#include "pilaster/column.h"
#include "store/store.h"
#include "tensor/tensor.h"

/* ---- columns (numeric.c, vocabulary.c, categorical.c, crossed.c, embedding.c) ----
 * pil_column and its makers are public (pilaster/column.h). What the rest of this room and the estimator read: */
struct column_row; /* a kind's row: name, argument table, functions, help; private to the room */

const struct column_row *column_find(const char *kind); /* "crossed_column" */
size_t column_kind_count(void);
const struct arg_table *column_kind_table(size_t number); /* a kind's name and arguments, for schema and reference page */
const char *column_kind(const struct pil_column *column);
const char *column_name(const struct pil_column *column);         /* TensorFlow's name: "dayofweek_X_hourofday_embedding" */
const char *column_key(const struct pil_column *column);          /* the model file's key, or the name */
const pil_status *column_status(const struct pil_column *column); /* the first error of the set it was made in */
bool column_is_categorical(const struct pil_column *column);
bool column_is_dense(const struct pil_column *column);     /* numeric, embedding, indicator; bucketized is both */
int64_t column_buckets(const struct pil_column *column);   /* categorical: number of ids */
int64_t column_width(const struct pil_column *column);     /* dense: columns of its output */
const char *column_scope(const struct pil_column *column); /* the name as part of a variable's name: odd characters are _ */
/* shared_embeddings stands for several columns in a list of feature columns; every other column for itself. */
size_t column_part_count(const struct pil_column *column);
struct pil_column *column_part(struct pil_column *column, size_t i);
/* The word of an id, where the column has a vocabulary: for the neighbours of an embedding. */
bool column_word(const struct pil_column *column, int64_t id, struct slice *word);
/* The categorical column below an embedding or an indicator; NULL for any other. */
const struct pil_column *column_lookup_source(const struct pil_column *column);

/* Builds a column from the model file: kind and arguments as a one-key map under `key`. Other columns are looked up (and built
 * when first named, cycles found) through the set. */
/* Keeps the column's set: pil_columns_free gives up one hold, and the last one frees it. */
struct pil_columns *column_hold(const struct pil_column *column);

struct column_set;
struct column_set *column_set_new(const struct value *columns, const char *folder, pil_status *status); /* the `columns` map */
struct pil_column *column_set_get(struct column_set *set, struct slice key, const struct value *at, pil_status *status);
size_t column_set_count(const struct column_set *set);
struct pil_column *column_set_at(const struct column_set *set, size_t i);
struct pil_columns *column_set_columns(struct column_set *set);         /* the public owner */
void column_set_print(const struct column_set *set, struct text *yaml); /* the `columns` section, every default written out */
void column_set_free(struct column_set *set);

/* ---- initializer.c: first values by name ---- */
/* What the public struct says, in op's terms; without a name: truncated normal of deviation 1 / sqrt(dimension). False: there is
 * no such name, and *wrong is the nearest one or NULL. */
bool initializer_of(const pil_column_initializer *given, int64_t dimension, pil_initializer *out, const char **wrong);
extern const struct arg_type COLUMN_ARG_INITIALIZER;

/* ---- program.c ---- */
/* What a graph asks of its input is registered; then the program is finished and run. Same request twice: same answer. */
struct program;
struct program_options {
    int64_t max_values_per_row; /* 10,000 */
    bool tf_dense;              /* compat: tf_dense */
};
struct program *program_new(const struct program_options *options, pil_status *status);
/* A categorical (or bucketized, weighted) column's ids as sparse feature number ... */
int program_feature(struct program *program, const struct pil_column *column, pil_status *status); /* -1 on error */
/* A numeric column's values as columns first .. first + width of the block of numbers. Returns first. */
int program_numbers(struct program *program, const struct pil_column *column, pil_status *status);
/* What a column of any kind reads: its own ids, those below an embedding or an indicator, or its numbers. */
bool program_column(struct program *program, const struct pil_column *column, pil_status *status);
/* A label or weight: columns of the block of numbers. `vocabulary` turns words into 0, 1, ... ; classes > 0 checks the range.
 * Optional ones may be absent when predicting (then `present` of the batch is false). */
struct program_target {
    const char *field;
    int64_t width;                 /* label_dimension */
    const char *const *vocabulary; /* label_vocabulary or NULL */
    size_t vocabulary_count;
    int64_t classes; /* 0: any number */
};
int program_target(struct program *program, const struct program_target *target, pil_status *status);
/* Gives the target at `first`, which was asked for without them, its vocabulary (NULL: none) and classes. Once it has them a
 * request that says neither finds it too. Errors: it has others; the program is finished. */
bool program_target_words(struct program *program, int first, const char *const *vocabulary, size_t count, int64_t classes,
                          pil_status *status);
/* A raw field as columns of the block of numbers, which every row must have `width` of. Returns the first. */
int program_dense(struct program *program, const char *field, int64_t width, pil_status *status);
/* Field types that the input section states ("hourofday" -> int64); anything else follows from the columns. With
 * PROGRAM_ANY_TYPE as its type a spec states the separators only. Before or after the requests, but before program_finish. */
enum { PROGRAM_ANY_TYPE = FIELD_FLOAT + 1 };
bool program_field(struct program *program, const struct field_spec *spec, pil_status *status);
/* States the types of a dataset's fields. */
bool program_dataset(struct program *program, const struct pil_dataset *dataset, pil_status *status);
bool program_finish(struct program *program, pil_status *status);
const struct field_spec *program_fields(const struct program *program, size_t *count); /* what a reader must supply */
size_t program_feature_count(const struct program *program);
int64_t program_feature_limit(const struct program *program, size_t feature); /* ids are below it */
bool program_feature_ragged(const struct program *program, size_t feature);
const struct pil_column *program_feature_column(const struct program *program, size_t feature);
int64_t program_number_count(const struct program *program); /* columns of the block of numbers */
/* A hash of every column's definition, (name, hash) pairs, for the checkpoint. */
size_t program_definitions(const struct program *program, const char *const **names, const uint64_t **hashes);

/* ---- save.c ---- */
/* What lies beside a saved program: the words of vocabulary files, as "assets/<name>_vocabulary.txt". */
struct program_assets {
    bool (*write)(void *context, const char *path, const void *data, size_t bytes, pil_status *status); /* program_save */
    bool (*check)(void *context, const char *path, pil_status *status); /* program_load: before a file is read */
    void *context;
};
/* Appends a finished program as records of flow text (base.h), with all that its columns are made of. Labels and weights of rows
 * are left out: the loaded program asks for no such field, and has zeros in their place. */
bool program_save(const struct program *program, const struct program_assets *assets, struct text *out, pil_status *status);
/* Reads such records up to the last of them; the program is finished. Assets lie in `folder`; NULL as assets: none is checked. */
struct program_file {
    struct program *program;
    struct column_set *columns;
    struct value map; /* of which the columns were made */
    struct arena *arena;
};
bool program_load(struct flow_reader *reader, const char *folder, const struct program_assets *assets, struct program_file *out,
                  pil_status *status);
void program_file_free(struct program_file *file);

/* ---- run.c ---- */
/* Transformed rows. A record is numbers then ids: float[numbers], int32[single features]; 4-byte units, record_words apart.
 * Ragged features lie beside, each with offsets of its own. */
struct records {
    int64_t rows;
    int32_t *words; /* [rows * record_words] */
    size_t capacity;
    struct sparse_builder *ragged; /* one per ragged feature, in order of feature number */
    size_t ragged_count;
};
size_t program_record_words(const struct program *program);
size_t program_ragged_count(const struct program *program);
bool records_init(struct records *records, const struct program *program, pil_status *status);
void records_clear(struct records *records);
void records_free(struct records *records);
/* Appends the transformed rows [first, first + count) of fields to `out`. Thread-safe on a finished program: each worker has its
 * own fields, records and `scratch` (made by program_scratch_new). Errors name file, line, field, column. */
struct program_scratch;
struct program_scratch *program_scratch_new(const struct program *program, pil_status *status);
void program_scratch_free(struct program_scratch *scratch);
bool program_run(const struct program *program, const struct fields *fields, int64_t first, int64_t count,
                 struct program_scratch *scratch, struct records *out, pil_status *status);
/* What a column makes of a row, for `pilaster columns`: {"values":[...],"ids":[...],"weights":[...]} as JSON, or text for people,
 * "'Fri' x 18 -> id 403 of 672". The column is one the program was asked for, or an embedding or indicator of one. values[i] made
 * ids[i]; of a cross it is the list of its leaves' values. Shared embeddings say it of each member, by its name. */
void program_explain(const struct program *program, const struct pil_column *column, const struct fields *fields, int64_t row,
                     struct program_scratch *scratch, bool json, struct text *out);
void program_free(struct program *program);

/* ---- feed.c ---- */
/* A batch as the graph takes it. Owned by the feed, valid until the next feed_next. */
struct batch {
    int64_t rows;
    struct tensor numbers;         /* [rows, number_count], padded */
    const struct sparse *features; /* [feature_count], with groups where the feed was asked to group */
    bool targets_absent;           /* the source has no label (predicting) */
    struct cursor cursor;          /* of the batch after this one */
    const struct fields *fields;   /* the raw fields of these rows where keep_fields was asked for, else NULL */
};
struct feed_options {
    const struct pil_dataset *dataset; /* arrays or a callback, which must outlive the feed; else files: */
    const char *const *paths;
    size_t path_count;
    const char *format; /* "csv" ("jsonl" for prediction) */
    struct csv_options csv;
    struct order_options order;
    bool group;                     /* make groups of every feature (training) */
    bool cache;                     /* keep transformed rows after the first epoch */
    int64_t cache_bytes;            /* 0: 4 GiB; beyond it an error that says the size it would need */
    bool targets_optional;          /* the source may lack labels and weights (predicting) */
    bool keep_fields;               /* in-order reading only: batch->fields (predict --keep, columns) */
    const struct field_spec *extra; /* with keep_fields: fields to read besides the program's */
    size_t extra_count;
    const struct cursor *from; /* resume; NULL: the start */
    /* eval: {split: 0.2, by: hash}: rows dealt by a hash of the row (by NULL) or of a field, the same way each time */
    double split;    /* 0: no split */
    bool split_eval; /* the held-out part, else the rest */
    const char *split_by;
};
/* What to read and in which order as the dataset says it, `seed` where it names none. The rest of the options is the caller's. */
struct feed_options feed_dataset(const struct pil_dataset *dataset, uint64_t seed);
struct feed;
/* The threads are those of the run: a feed works ahead only inside jobs that the session runs for it, never by itself. The program,
 * the threads and the texts that options point to must outlive the feed. */
struct feed *feed_open(const struct program *program, const struct feed_options *options, struct threads *threads,
                       pil_status *status);
/* The next batch; NULL with status ok at the end of the input. Works on the calling thread (and the pool) for whatever the jobs
 * have not done yet. */
const struct batch *feed_next(struct feed *feed, pil_status *status);
/* Jobs that prepare the batch after the current one: handed to session_run, appended behind its first phase. Returns how many
 * (0 .. limit). What goes wrong in them is reported by the next feed_next. */
size_t feed_jobs(struct feed *feed, struct job *jobs, size_t limit);
int64_t feed_rows(const struct feed *feed); /* rows of an epoch where known (after its end, or of arrays), else -1 */
int64_t feed_skipped(const struct feed *feed);
uint64_t feed_fingerprint(const struct feed *feed);
void feed_close(struct feed *feed);

/* ---- batch.c ---- */
/* Records as a batch, for requests, which no feed reads. Valid until the next fill; as many rows again allocate nothing. */
struct record_batch;
struct record_batch *record_batch_new(const struct program *program, pil_status *status);
const struct batch *record_batch_fill(struct record_batch *batch, const struct records *records,
                                      pil_status *status); /* or NULL */
void record_batch_free(struct record_batch *batch);

/* ---- layer.c: columns in a graph ---- */
/* One graph's view of a program: makes each graph input once. */
struct column_inputs {
    struct program *program;
    struct pil_graph *graph;
};
/* Concatenated dense columns, sorted by name: [batch, width]. Variables "<scope>/<name>_embedding/embedding_weights". */
struct pil_tensor *column_input_layer(const struct column_inputs *inputs, struct pil_column *const *columns, size_t count,
                                      const char *scope, pil_status *status);
/* Weighted sums plus bias: [batch, units]. Variables "<scope>/<name>/weights", "<scope>/bias_weights". */
struct pil_tensor *column_linear_model(const struct column_inputs *inputs, struct pil_column *const *columns, size_t count,
                                       int64_t units, enum combiner sparse_combiner, const char *scope, pil_status *status);
struct pil_tensor *column_target(const struct column_inputs *inputs, int first, int64_t width); /* label or weight columns */
/* A raw field: [batch, width]. */
struct pil_tensor *column_dense(const struct column_inputs *inputs, const char *field, int64_t width, pil_status *status);
/* Before plan_compile, when nothing more is asked of the program: gives the graph's numbers the width of the program's. */
void column_settle(const struct column_inputs *inputs);
struct pil_tensor *column_ids(const struct column_inputs *inputs, const struct pil_column *categorical,
                              pil_status *status); /* sparse */
/* Does a graph that comes from a file read what the program makes, and nothing else; are its tables large enough for the ids? */
bool column_check(const struct program *program, const struct pil_graph *graph, pil_status *status);
/* Binds a batch to a session whose graph was built with these inputs. */
void column_bind(struct session *session, const struct batch *batch, size_t feature_count);

#endif
