/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files behind modelfile_load share. The way of a model file:
 *
 *   yaml       text -> tree of values with places
 *   override   --set texts change the tree
 *   sections   input, train, eval, exporters, run: their argument tables, and what must hold between arguments
 *   params     an estimator's arguments: its table, the columns and optimizers that it names
 *   arguments  the types of arguments that base has not: numbers that may be null, paths, fields, ...
 *   modelfile  the whole: in which order sections are read; printing
 *   schema     the same tables as a JSON Schema
 *
 * Options structs are the model's own sections, so that what was read is printed by the rows that read it.
 */
#ifndef PILASTER_ESTIMATOR_MODELFILE_H
#define PILASTER_ESTIMATOR_MODELFILE_H

#include "estimator/estimator.h"

/* ---- yaml.c ---- */
enum { YAML_DEPTH = 64, YAML_NODES = 100000, YAML_BYTES = 1 << 20, YAML_ANCHORS = 1000, YAML_KEY_BYTES = 512 };
/* One document to values. `placed`: values know line and column. A text without a document is NULL without an error. */
struct value *yaml_read(struct slice text, const char *file, bool placed, struct arena *arena, pil_status *status);

/* ---- override.c ---- */
/* Applies "a.b.c=value" texts in order: a map that is missing is made, a number is an item of a list. Values that others share
 * (aliases) are copied on the way, not changed. */
bool overrides_apply(struct value **root, const char *const *sets, size_t count, struct arena *arena, pil_status *status);

/* ---- arguments.c: types of arguments. Their reader's context is the model. ---- */
/* value_fail with PIL_UNSUPPORTED: right, but not what this version can do. */
bool value_unsupported(const struct value *at, pil_status *status, const char *format, ...) PRINTF_LIKE(3, 4);
extern const struct arg_type FILE_ARG_RAW;       /* const struct value *: kept for later; null: NULL */
extern const struct arg_type FILE_ARG_INT;       /* int64_t; null is *extra, an int64_t */
extern const struct arg_type FILE_ARG_DOUBLE;    /* double; null is *extra, a double */
extern const struct arg_type FILE_ARG_FLOAT;     /* float; null is 0 */
extern const struct arg_type FILE_ARG_PATH;      /* const char *: relative to the file's folder; null: NULL */
extern const struct arg_type FILE_ARG_PATHS;     /* struct arg_texts: one path or glob, or a list */
extern const struct arg_type FILE_ARG_SHUFFLE;   /* int64_t: true is -1, false 0, else rows */
extern const struct arg_type FILE_ARG_CHARACTER; /* char; null: 0 */
extern const struct arg_type FILE_ARG_ON_ERROR;  /* bool: skip */
extern const struct arg_type FILE_ARG_COMPAT;    /* bool: tf_dense */
extern const struct arg_type FILE_ARG_BY;        /* const char *: "hash" is NULL */
extern const struct arg_type FILE_ARG_NAMES;     /* the names of struct csv_options */
extern const struct arg_type FILE_ARG_FIELDS;    /* the fields of struct input_section, at offset 0 */

/* ---- sections.c ---- */
extern const struct arg_table INPUT_TABLE, TRAIN_TABLE, EVAL_TABLE, RUN_TABLE; /* of the model's sections */
/* The kinds of exporters, in the order of enum exporter_kind; of struct exporter_options. */
enum { EXPORTER_KINDS = 3 };
extern const struct arg_table EXPORTER_TABLES[EXPORTER_KINDS];
bool input_read(const struct value *map, struct model *model, pil_status *status);
bool train_read(const struct value *map, struct model *model, pil_status *status);
bool eval_read(const struct value *map, struct model *model, pil_status *status); /* after input_read */
bool run_read(const struct value *map, struct model *model, pil_status *status);
bool exporters_read(const struct value *list, struct model *model, pil_status *status); /* the head is known */

/* ---- params.c ---- */
/* Every canned estimator: its name, what it is made of, the table of its arguments. */
struct estimator_row {
    const char *name;
    enum estimator_kind kind;
    bool classifier;
    const struct arg_table *params;
};
enum { ESTIMATOR_COUNT = 8 };
extern const struct estimator_row ESTIMATOR_ROWS[ESTIMATOR_COUNT];
/* Fills what params decide: head, columns, layers, optimizers. model->estimator and columns are there. */
bool params_read(const struct estimator_row *row, const struct value *map, struct model *model, pil_status *status);
/* warm_start_from: the model's, absolute. */
void params_print(const struct estimator_row *row, const struct model *model, const char *warm_start_from, struct text *yaml);

/* ---- modelfile.c ---- */
extern const struct arg_table FILE_TABLE; /* the keys of the file itself */
/* "  name: value" lines, every argument of the table. */
void section_print(const struct arg_table *table, const void *options, struct text *yaml);
struct args_reader model_reader(struct model *model); /* with the model as context */

#endif
