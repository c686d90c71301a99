/* SPDX-License-Identifier: Apache-2.0 */
/* What program.c and demand.c compile, run.c and explain.c carry out. Private to these. */
#ifndef PILASTER_COLUMN_PROGRAM_H
#define PILASTER_COLUMN_PROGRAM_H

#include "column/internal.h"

enum { PROGRAM_VERSION = 1 }; /* of what is saved */

/* Requests. A lane number is -1 until the program is finished. */
struct feature {
    const struct pil_column *column;
    int lane;
    int64_t slot; /* single-valued: the word of a record; ragged: which builder */
};
struct number {
    const struct pil_column *column;
    int64_t first; /* column of the block of numbers, and word of a record */
    int lane;
};
/* A label, a weight, or a raw field (`required`). */
struct target {
    const char *name;
    int64_t first, width, classes;
    bool required;
    int field;
    struct map *words; /* label_vocabulary, or NULL */
};

struct program {
    struct arena *arena;
    struct program_options options;
    bool finished;
    struct field_spec *stated;
    struct feature *features;
    struct number *numbers;
    struct target *targets;
    size_t stated_count, feature_count, number_count, target_count;
    size_t stated_capacity, feature_capacity, number_capacity, target_capacity;
    int64_t number_width; /* columns of the block of numbers */
    /* made by program_finish */
    struct field_spec *fields;
    size_t field_count;
    struct lane_spec *lanes;
    size_t lane_count, lane_capacity;
    size_t single_count, ragged_count;
    const char **definition_names;
    uint64_t *definition_hashes;
    size_t definition_count;
};

struct program_scratch {
    const struct program *program;
    struct lane *lanes;          /* [lane_count] */
    const struct field **fields; /* [field_count] the program's fields in the batch at hand */
};

/* What input.fields says of a field; NULL. */
struct field_spec *program_stated(const struct program *program, const char *name);
/* Does the weighted column's key field bring the weights along? Then its own weight field is none. */
bool program_brings_weights(const struct program *program, const struct pil_column *column);
/* Settles the fields of all requests (demand.c). */
bool program_make_fields(struct program *program, pil_status *status);
int program_find_field(const struct program *program, const char *name); /* -1 */
/* The lane of a column the program was asked for, or of what an embedding or indicator reads; -1. */
int program_find_lane(const struct program *program, const struct pil_column *column);
/* Finds the program's fields in a batch, for program_chunk, after checking that it has the rows. */
bool program_bind(const struct program *program, const struct fields *fields, int64_t first, int64_t count,
                  struct program_scratch *scratch, pil_status *status);
/* Makes every lane of `rows` rows from `first` on. */
bool program_chunk(const struct program *program, const struct fields *fields, int64_t first, int64_t rows,
                   struct program_scratch *scratch, struct program_run *run, pil_status *status);

/* The drivers of lanes that have no kind of their own (run.c). */
bool run_raw(const struct lane_spec *lane, struct program_run *run);    /* a field's fingerprints and integers */
bool run_cells(const struct lane_spec *lane, struct program_run *run);  /* a column's value of every cell */
bool run_hashed(const struct lane_spec *lane, struct program_run *run); /* a column's value of every fingerprint */

#endif
