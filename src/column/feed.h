/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed's insides, shared by feed.c (the pipeline), read.c (pieces of the input), origin.c (what they are made of), keep.c
 * (rows that are kept) and gather.c (batches). Private to these.
 *
 * All rows of all passes over the data stand in one line: row r of pass p has number p * rows + r, where pass 0 is the epoch
 * that the feed started in. Reading appends to the line, dealing takes from it:
 *
 *     line     0 ............ drawn ............ drawn + hold ............ absorbed ....>
 *              all dealt      |  shuffle buffer: hold of  |  in pieces that wait  |  being read
 *                             |  the rows before here     |  in the queue         |
 *
 * Without a cache the buffer's rows sit in slots and a draw moves one row from the queue into the slot it empties
 * (input.h, order_row). With a cache nothing moves: every row of the data stays where its number says, and after one pass
 * nothing is read any more.
 */
#ifndef PILASTER_COLUMN_FEED_H
#define PILASTER_COLUMN_FEED_H

#include "column/column.h"

/* ---- rows ---------------------------------------------------------------------------------------------------- */

/* What a program makes of a row, as far as moving rows needs to know it. */
struct row_shape {
    size_t words;   /* of a record */
    size_t numbers; /* the first of them */
    size_t ragged;  /* features that lie beside the records ... */
    bool *weighted; /* [ragged] ... and whether they have weights */
};

/* Where a transformed row lies: its words, and its lists either in records or packed in a tail:
 * the length of each list, then for each list its ids and, if weighted, its weights. */
struct row_ref {
    const int32_t *words;
    const struct records *records; /* NULL: the tail */
    int64_t row;                   /* of records */
    const int32_t *tail;
};
/* Fills *ref field by field: a struct that is returned and copied waits for its own stores, most of the time of planning. */
static inline void records_row(const struct records *records, const struct row_shape *shape, int64_t row, struct row_ref *ref)
{
    ref->words = shape->words > 0 ? records->words + (size_t)row * shape->words : NULL;
    ref->records = records;
    ref->row = row;
    ref->tail = NULL;
}
int64_t row_list_size(const struct row_ref *ref, size_t list);
/* The list's ids and weights (NULL where the feature has none). */
void row_list(const struct row_shape *shape, const struct row_ref *ref, size_t list, const int32_t **ids, const float **weights);

/* ---- keep.c -------------------------------------------------------------------------------------------------- */

/* All rows of the data by their number, in chunks of CACHE_ROWS. */
enum { CACHE_ROWS = 1 << 16 };
#define CACHE_BYTES ((int64_t)4 << 30) /* unless the options say otherwise */
struct cache {
    struct records **chunks;
    size_t chunk_count, chunk_capacity;
    int64_t rows, bytes;
};
bool cache_append(struct cache *cache, const struct program *program, const struct row_shape *shape, const struct records *from,
                  pil_status *status);
static inline void cache_row(const struct cache *cache, const struct row_shape *shape, int64_t row, struct row_ref *ref)
{
    records_row(cache->chunks[row / CACHE_ROWS], shape, row % CACHE_ROWS, ref);
}
void cache_free(struct cache *cache);

/* Rows by slot. Lists have a tail of a power of two of words; tails of one size are used again. */
enum { TAIL_SIZES = 40 };
struct tail {
    int32_t *data;
    int size; /* its power of two */
};
struct slots {
    int32_t *words;
    struct tail *tails;
    size_t word_capacity, tail_capacity;
    int32_t *spare[TAIL_SIZES]; /* chained through their first words */
    struct arena *arena;
};
/* Room for slots 0 .. count - 1. */
bool slots_reserve(struct slots *slots, const struct row_shape *shape, int64_t count, pil_status *status);
/* A tail for `from` in the slot. Where the slot's own does not fit, *old becomes that one, to be given back with slots_give
 * when it has been read. */
bool slots_take(struct slots *slots, const struct row_shape *shape, int64_t slot, const struct row_ref *from, struct tail *old,
                pil_status *status);
void slots_give(struct slots *slots, struct tail old);
/* Copies the row into the slot (its tail is there). Different slots may be written at once. */
void slots_write(const struct slots *slots, const struct row_shape *shape, int64_t slot, const struct row_ref *from);
struct row_ref slots_row(const struct slots *slots, const struct row_shape *shape, int64_t slot);
void slots_free(struct slots *slots);

/* ---- read.c -------------------------------------------------------------------------------------------------- */

/* A block on its way: cut, then parsed and transformed (`done`), then absorbed into the line, then used up. */
struct piece {
    struct piece *next;
    struct block block;        /* of files */
    int64_t range, range_rows; /* of arrays: its rows */
    int64_t epoch, batch;      /* of a callback: its numbers */
    struct records records;
    struct fields *fields; /* keep_fields, and of a callback: its own; else those of the worker */
    int32_t *kept;         /* keep_fields, where bad rows were dropped: the row of fields of each record */
    size_t kept_capacity;
    bool some_dropped, targets_absent;
    bool done, end_of_pass;
    double progress; /* of the source, behind this block */
    int64_t skipped;
    int64_t first; /* number in the line of its first row */
    pil_status status;
};
struct worker {
    struct fields *fields;
    struct program_scratch *scratch;
    struct lines *lines;
    void *sort;
    size_t sort_capacity;
    int32_t touched; /* read by nobody; for the reading's sake */
};

/* ---- gather.c ------------------------------------------------------------------------------------------------ */

/* A row on its way into a slot: `line` -1: none. Belongs to the draw that finds the slot's old row. */
struct load {
    int64_t line, slot;
    struct row_ref from;
    struct tail old;
};
struct feature_memory {
    int32_t *ids;
    int64_t *offsets;
    float *weights;
    char *groups;
    size_t id_capacity, offset_capacity, weight_capacity, group_capacity;
    struct groups grouped;
};
enum work_state { WORK_EMPTY, WORK_PLANNED, WORK_GATHERED, WORK_READY };
/* A batch in the making. */
struct work {
    enum work_state state;
    struct batch batch;
    bool thrown; /* rows before the cursor: only their slots matter */
    bool slots;  /* its draws empty slots */
    struct row_ref *refs;
    struct load *loads;
    int32_t *roots; /* the draw of this batch that finds the old row of a draw's slot */
    size_t ref_capacity, load_capacity, root_capacity;
    float *numbers;
    size_t number_capacity;
    struct feature_memory *memory; /* [features] */
    struct sparse *features;
    struct fields *fields;
    int64_t first_line;                /* keep_fields: of its rows */
    _Atomic int64_t gathered, grouped; /* tasks done */
};
enum { GATHER_ROWS = 64, WORKS = 3 };
/* To hand a job to another thread costs some microseconds, which smaller ones do not take (measured: 20 rows of 10 numbers are
 * gathered in 0.5, and a step with that job behind it took 5 longer). */
enum { WORTH_WORDS = 2048, WORTH_NS = 10000, GROUP_WORDS = 16 };

struct feed {
    const struct program *program;
    struct feed_options options;
    struct row_split split;
    struct threads *threads;
    struct worker *workers;
    int worker_count;
    struct row_shape shape;
    size_t feature_count;
    int *lists;               /* [features] number of the ragged feature, or -1 */
    struct field_spec *specs; /* the program's and the extra ones; NULL: the program's alone */
    const struct field_spec *read_specs;
    size_t read_count;

    /* reading */
    struct source *source; /* files */
    struct csv *csv;
    struct arrays *arrays; /* or arrays */
    int64_t array_at, array_piece;
    struct callback *callback; /* or a callback */
    int64_t next_epoch, next_batch;
    bool partial;     /* its first pass began behind the first batch */
    int64_t batch_ns; /* what a batch of it takes, about */
    bool own_fields;  /* a piece has fields of its own */
    uint64_t fingerprint;
    int64_t pass, last_pass;         /* of the source; the last that anybody needs */
    bool rewind;                     /* before the next block */
    bool cut_ended;                  /* nothing is left to cut */
    pil_status cut_status;           /* out of memory in a job */
    struct piece *queue, *queue_end; /* in order: absorbed, then parsed or not */
    struct piece *fresh, *fresh_end; /* cut by a job, not yet in the queue */
    struct piece *spare;
    struct piece *next_absorb; /* the first of the queue that is not absorbed */
    struct piece **todo;       /* pieces that a job parses */
    size_t todo_count, todo_capacity;
    int64_t absorbed, pass_rows, rows; /* rows in the line, of the current pass, of an epoch (once complete) */
    bool complete, targets_absent;
    int64_t skipped, absorbed_pieces, most_rows;

    /* dealing */
    struct order *order;
    int64_t first_epoch, drawn;
    bool ended;
    struct order_row *dealt; /* [batch_size] */
    struct cache cache;
    struct slots slots;
    int64_t slots_filled; /* rows that came in before the first draw */
    int64_t used;         /* rows of the line before this are in a batch, a slot or the cache */

    /* batches: number n is works[n % WORKS] */
    struct work works[WORKS];
    int64_t current, planned;    /* the batch handed out last (from 0), and the next to plan */
    int64_t gathering, grouping; /* what the tasks of these jobs work on */
    int64_t cut_pieces;          /* and how much a job cuts */
    int64_t worth_words;         /* a batch's jobs are handed out from this many words of records on; tests set 0 */
    bool ahead;                  /* somebody runs our jobs */
    pil_status status;           /* the first error; every later call tells it again */
};

/* origin.c */
bool origin_open(struct feed *feed, pil_status *status);
/* The piece's part of the input; *end: the pass is over. What goes wrong stands in the piece. */
bool origin_cut(struct feed *feed, struct piece *piece, bool *end);
bool origin_waits(const struct feed *feed); /* a cut might wait for somebody who types */
bool origin_parse(struct feed *feed, struct worker *worker, struct piece *piece, struct fields *fields);
void origin_place(const struct feed *feed, struct piece *piece); /* puts it before an error of one of its rows */
const char *origin_name(const struct feed *feed);
void origin_close(struct feed *feed);

/* read.c */
struct fields *piece_fields(const struct feed *feed, struct piece *piece); /* its own */
/* Reads on: cuts, parses and absorbs some pieces. *more false: there is nothing left. */
bool feed_read(struct feed *feed, int64_t rows_wanted, bool *more, pil_status *status);
/* Takes what is parsed into the line, in order, up to the first piece with which something is wrong. */
void feed_absorb(struct feed *feed);
void feed_cut(struct feed *feed, int64_t pieces);                             /* a job's work: into `fresh` */
bool feed_merge(struct feed *feed, pil_status *status);                       /* what a job has cut goes into the queue */
int64_t feed_list_todo(struct feed *feed, int64_t limit, pil_status *status); /* unparsed pieces of the queue into todo */
void feed_parse_task(void *context, int64_t index, int worker);
void feed_release(struct feed *feed, int64_t used); /* pieces whose rows all lie before that line number */
int64_t feed_rows_a_piece(const struct feed *feed); /* on average; a guess before the first */
struct piece *feed_piece(const struct feed *feed, int64_t line, struct piece *hint);
void feed_free_reading(struct feed *feed);

/* gather.c */
/* Rows of the line in all; INT64_MAX without end or while nobody knows. */
int64_t feed_line_end(const struct feed *feed);
/* Prepares `work` to move the `count` rows in `dealt`: memory, and where each row lies. */
bool feed_plan_rows(struct feed *feed, struct work *work, int64_t count, pil_status *status);
/* The same for all rows of a piece, the next in the line. */
bool feed_plan_piece(struct feed *feed, struct work *work, const struct piece *piece, pil_status *status);
int64_t work_gather_tasks(const struct work *work);
void feed_gather_task(void *context, int64_t index, int worker);
void feed_group_task(void *context, int64_t index, int worker);
void feed_finish_gather(struct feed *feed, struct work *work);
void work_free(struct work *work, size_t feature_count);

#endif
