/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base: what every other room stands on. Errors, memory, text, names, threads, random numbers, files, argument
 * tables, log. It knows nothing about models.
 *
 * Conventions of the whole code base, stated once:
 *   - A function that can fail takes a `pil_status *status` last and returns false (or NULL) after it has filled it.
 *     The first error stays: filling a status that already holds one does nothing.
 *   - Every object has one owner; X_free(NULL) is fine. Objects made by X_new belong to the caller.
 *   - Sizes are size_t; counts of rows and ids are int64_t.
 */
#ifndef PILASTER_BASE_H
#define PILASTER_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pilaster/log.h"
#include "pilaster/status.h"

#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- status.c ------------------------------------------------------------------------------------------------ */

/* Fills *status unless it already holds an error. Always returns false, so that `return status_fail(...)` reads well. */
bool status_fail(pil_status *status, pil_code code, const char *format, ...) PRINTF_LIKE(3, 4);
/* Appends an indented line ("\n          text") to an error: the way out. At most six are kept. */
bool status_hint(pil_status *status, const char *format, ...) PRINTF_LIKE(2, 3);
/* Puts text in front of an error's first line: "train.csv:7: " + "'abc' is not a number". Nothing on PIL_OK. */
bool status_prefix(pil_status *status, const char *format, ...) PRINTF_LIKE(2, 3);
bool status_no_memory(pil_status *status, size_t bytes);
static inline bool status_ok(const pil_status *status)
{
    return status->code == PIL_OK;
}
static inline void status_clear(pil_status *status)
{
    status->code = PIL_OK;
    status->message[0] = '\0';
}

/* ---- alloc.c ------------------------------------------------------------------------------------------------- */

/* All memory of the library comes through these. The allocator behind them can be replaced (tests make every
 * allocation fail once), and every call is counted (tests prove that a second pass allocates nothing). */
struct allocator {
    void *(*allocate)(void *context, size_t bytes, size_t alignment); /* NULL when out of memory; need not be zeroed */
    void (*release)(void *context, void *pointer);
    void *context;
};
void mem_set_allocator(const struct allocator *allocator); /* NULL: the system's */
uint64_t mem_allocations(void);                            /* calls of mem_* that asked for memory, ever */

void *mem_new(size_t bytes, pil_status *status);                /* zeroed, 16-byte aligned */
void *mem_array(size_t count, size_t item, pil_status *status); /* zeroed; overflow is an error */
void *mem_block(size_t bytes, pil_status *status);              /* zeroed, 64-byte aligned, huge pages if large */
/* Grows a mem_array in place of *array to at least `need` items, geometrically; keeps content, zeroes the rest. */
bool mem_grow(void *array_pointer, size_t *capacity, size_t need, size_t item, pil_status *status);
/* The same for a 64-byte aligned mem_block. */
bool mem_grow_block(void *block_pointer, size_t *capacity, size_t need, size_t item, pil_status *status);
char *mem_text(const char *text, pil_status *status); /* a copy */
void mem_free(void *pointer);                         /* for all of the above */

/* Many small objects with one lifetime. Zeroed, 16-byte aligned. */
struct arena *arena_new(pil_status *status);
void *arena_alloc(struct arena *arena, size_t bytes, pil_status *status);
char *arena_text(struct arena *arena, const char *text, size_t size, pil_status *status); /* copy, NUL-terminated */
char *arena_format(struct arena *arena, pil_status *status, const char *format, ...) PRINTF_LIKE(3, 4);
size_t arena_bytes(const struct arena *arena); /* what it holds from the allocator, used or not */
void arena_reset(struct arena *arena);         /* forgets all objects, keeps the memory */
void arena_free(struct arena *arena);

/* ---- text.c -------------------------------------------------------------------------------------------------- */

/* Bytes somewhere else; not NUL-terminated. */
struct slice {
    const char *data;
    size_t size;
};
static inline struct slice slice_of(const char *data, size_t size)
{
    return (struct slice){ data, size };
}
struct slice slice_text(const char *text); /* of a NUL-terminated string */
bool slice_equal(struct slice a, struct slice b);
bool slice_is(struct slice a, const char *text);
int slice_compare(struct slice a, struct slice b); /* by bytes, as memcmp; the shorter first */
struct slice slice_trim(struct slice a);           /* without spaces and tabs at both ends */

/* A growing text with a ceiling; append fails (and stays failed) beyond it. Zero-initialise with a limit. */
struct text {
    char *data;                   /* NUL-terminated, or NULL when empty */
    size_t size, capacity, limit; /* limit 0: 64 MiB */
    bool failed, too_long;        /* out of memory; beyond the limit (then both) */
};
void text_append(struct text *text, const char *bytes, size_t size);
void text_append_text(struct text *text, const char *bytes); /* NUL-terminated */
void text_format(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);
void text_json_string(struct text *text, struct slice value); /* quoted, escaped; invalid UTF-8 becomes U+FFFD */
void text_json_float(struct text *text, float value);         /* shortest that reads back; NaN, Infinity as JSON5 words */
void text_json_double(struct text *text, double value);
void text_count(struct text *text, int64_t value); /* with separators: 263,149 */
bool text_ok(const struct text *text, pil_status *status);
void text_clear(struct text *text); /* keeps the memory */
void text_free(struct text *text);

bool utf8_valid(struct slice text);
/* The candidate nearest to word by edit distance, or NULL when none is near. */
const char *nearest_word(const char *word, const char *const *candidates, size_t count);

/* ---- number.c ------------------------------------------------------------------------------------------------ */

/* Exact numbers, no locale. The whole slice must be the number (no spaces). */
bool parse_float(struct slice text, float *value); /* the nearest float32; inf, nan, hex refused except "inf","nan" words */
bool parse_double(struct slice text, double *value);
bool parse_int64(struct slice text, int64_t *value); /* decimal, optional sign; also "1.0" but not "1.5" */
bool parse_bool(struct slice text, bool *value);     /* YAML's true/false, in any case */
size_t print_float(char out[32], float value);       /* fewest digits that read back: 0.0001, 100000, 1e+10, nan; the length */
size_t print_double(char out[40], double value);
int print_shape(char *out, size_t size, const int64_t *dims, int rank); /* "[?, 16]" with ? for -1 */

/* ---- map.c --------------------------------------------------------------------------------------------------- */

/* Strings to numbers 0, 1, 2, ... in order of arrival; keeps copies of the bytes. */
struct map *map_new(pil_status *status);
/* The number of key, added if new. `added` may be NULL. -1 on failure. */
int64_t map_intern(struct map *map, struct slice key, bool *added, pil_status *status);
int64_t map_find(const struct map *map, struct slice key); /* -1 when absent */
struct slice map_key(const struct map *map, int64_t number);
int64_t map_count(const struct map *map);
void map_free(struct map *map);

/* Integers to integers, open addressing. */
struct int_map *int_map_new(pil_status *status);
bool int_map_put(struct int_map *map, int64_t key, int64_t value, bool *added, pil_status *status); /* first value stays */
int64_t int_map_get(const struct int_map *map, int64_t key, int64_t absent);
void int_map_free(struct int_map *map);

/* ---- threads.c ----------------------------------------------------------------------------------------------- */

/* One pool of workers does everything. A run is a list of jobs; a job is `count` tasks. Tasks are claimed in order
 * (job 0 first) by whichever worker is free, the caller among them; the run ends when all tasks are done, not when
 * every worker has passed by. Waiting spins for a bounded time, then sleeps. One run at a time: not from a task, and not
 * by two threads at once on one pool. What tasks wrote is visible after the run. */
struct job {
    void (*task)(void *context, int64_t index, int worker); /* worker: 0 .. threads_count - 1, for scratch memory */
    void *context;
    int64_t count;
};
struct threads *threads_new(int count, pil_status *status); /* count 0: one per processor this process may use */
int threads_count(const struct threads *threads);
void threads_run(struct threads *threads, const struct job *jobs, size_t job_count);
void threads_free(struct threads *threads);
int threads_processors(void);

/* ---- random.c ------------------------------------------------------------------------------------------------ */

/* Counter-based numbers (Philox 4x32-10, Salmon et al. 2011): a pure function of (key, counter), so any thread can
 * draw any number and a resumed run draws the same ones. */
struct random_key {
    uint32_t word[2];
};
struct random_key random_key(uint64_t seed, const char *name); /* name: what the stream is for, e.g. an op's name */
void random_bits(struct random_key key, uint64_t counter_high, uint64_t counter_low, uint32_t out[4]);
uint64_t random_below(struct random_key key, uint64_t counter_high, uint64_t counter_low, uint64_t limit);
/* Element i of the sequence that belongs to `key` and `counter_high`. */
float random_uniform(struct random_key key, uint64_t counter_high, uint64_t index); /* [0, 1) */
/* Fill count values, elements first .. first + count of the sequence of `key` (counter_high 0; first >= 0). */
void random_fill_uniform(struct random_key key, float *out, int64_t first, int64_t count, float low, float high);
void random_fill_normal(struct random_key key, float *out, int64_t first, int64_t count, float mean, float deviation);
/* The distribution of TensorFlow's truncated_normal, which redraws beyond two deviations. */
void random_fill_truncated(struct random_key key, float *out, int64_t first, int64_t count, float mean, float deviation);

/* ---- file.c -------------------------------------------------------------------------------------------------- */

/* All file I/O goes through one table of calls, so that tests simulate full disks, short writes and cut power. */
struct file_calls {
    int (*open)(const char *path, int flags, int mode);
    int64_t (*read)(int fd, void *data, size_t size);
    int64_t (*pread)(int fd, void *data, size_t size, int64_t offset);
    int64_t (*write)(int fd, const void *data, size_t size);
    int (*sync)(int fd);
    int (*close)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, int mode);
};
void file_set_calls(const struct file_calls *calls); /* NULL: the system's */
const struct file_calls *file_calls(void);

/* "model/checkpoint: cannot write: No space left on device"; PIL_NOT_FOUND for ENOENT, else PIL_IO. */
bool file_fail(pil_status *status, const char *path, const char *what, int error);

/* A whole file in memory, read-only. Never a map: others may write to the file. */
struct file_data {
    const char *data;
    size_t size;
};
bool file_load(const char *path, struct file_data *out, pil_status *status);
void file_unload(struct file_data *data);
bool file_exists(const char *path);
bool file_is_folder(const char *path);
bool file_is_regular(const char *path); /* neither a folder nor a pipe or the like */
bool file_size(const char *path, int64_t *size, pil_status *status);
double file_written(const char *path);                       /* when last, in seconds since 1970; 0: there is no such file */
bool file_remove(const char *path, pil_status *status);      /* absent is fine */
bool file_make_folder(const char *path, pil_status *status); /* with its parents; existing is fine */
/* folder.c: gives a file or folder another name, which stays when this returns; an empty folder of that name is replaced. */
bool file_rename(const char *from, const char *to, pil_status *status);
bool file_remove_folder(const char *path,
                        pil_status *status); /* with all that is in it; links are not followed; absent is fine */
/* Names in a folder (without . and ..), sorted by bytes, NUL-terminated, in the arena. */
bool file_list(const char *folder, struct arena *arena, char ***names, size_t *count, pil_status *status);
/* Paths that match a pattern (glob), sorted by bytes; a plain path gives itself. None is an error that names the pattern. */
bool file_glob(const char *pattern, struct arena *arena, char ***paths, size_t *count, pil_status *status);
char *path_join(struct arena *arena, const char *folder, const char *name, pil_status *status); /* absolute names stay */
const char *path_base(const char *path);                                                        /* after the last slash */

/* Safe replacement: write beside ("<path>.tmp-<pid>"), sync, rename, sync the folder. Until finish nothing under
 * `path` changes; abandon removes what was written. Buffered. */
struct file_writer *file_writer_new(const char *path, pil_status *status);
bool file_write(struct file_writer *writer, const void *data, size_t size, pil_status *status);
int64_t file_writer_offset(const struct file_writer *writer);
bool file_writer_finish(struct file_writer *writer, pil_status *status); /* frees the writer, also on failure */
void file_writer_abandon(struct file_writer *writer);
bool file_replace(const char *path, const void *data, size_t size, pil_status *status); /* all of it in one call */

/* An exclusive lock that the kernel frees when the process dies. NULL with PIL_BUSY when somebody holds it. */
struct file_lock *file_lock_new(const char *path, pil_status *status);
void file_lock_free(struct file_lock *lock);

/* ---- reader.c ------------------------------------------------------------------------------------------------ */

/* A regular file that is read at any place while others may write to it: what was there when it was opened, `size` bytes of
 * it. A file that has become shorter is an error, never a signal. One thread at a time. */
struct file_stamp {
    uint64_t device, inode;
    int64_t size, seconds, nanoseconds;
};
struct file_reader {
    const char *path; /* the caller's; must outlive the reader */
    int fd;           /* -1: paused */
    int64_t size;
    struct file_stamp stamp;
};
bool file_reader_open(struct file_reader *reader, const char *path, pil_status *status);
bool file_read_at(struct file_reader *reader, int64_t offset, void *data, size_t size, pil_status *status); /* all of it */
/* Has anybody written to the file, or put another in its place, since it was opened or this was asked last? That it has become
 * shorter is an error at once. */
bool file_reader_touched(struct file_reader *reader, bool *touched, pil_status *status);
bool file_reader_changed(const struct file_reader *reader, pil_status *status); /* that error, for those who find it out */
/* Gives the descriptor back; the next read opens the path again. A reader that is not used any more ends with it. */
void file_reader_pause(struct file_reader *reader);

/* ---- args.c -------------------------------------------------------------------------------------------------- */

/* A tree of values with their places, filled by YAML, --set and the tests. Every scalar is text until the place it
 * stands in converts it. Lives in an arena. */
enum value_kind { VALUE_NULL, VALUE_SCALAR, VALUE_LIST, VALUE_MAP };
struct value {
    enum value_kind kind;
    const char *file;     /* what to name in errors: a path, or "--set" */
    int line, column;     /* from 1; 0: unknown */
    bool quoted;          /* a scalar in quotes: never null, never a number by itself */
    struct slice text;    /* VALUE_SCALAR; NUL-terminated besides */
    size_t count;         /* VALUE_LIST, VALUE_MAP */
    struct value **items; /* the list's items, the map's values */
    struct value **keys;  /* the map's keys: scalars with places of their own */
};
struct value *value_get(const struct value *map, const char *key); /* NULL when absent or not a map */
bool value_is_null(const struct value *value);                     /* null, ~ or nothing at all, without quotes */
bool value_fail(const struct value *at, pil_status *status, const char *format, ...)
    PRINTF_LIKE(3, 4); /* INVALID_ARGUMENT with place */
/* "WHAT has no argument 'x'; did you mean 'y'?", or a hint with all known ones when none is near. */
bool value_no_key(const struct value *key, const char *what, const char *const *known, size_t count, pil_status *status);

/* An argument table: one row an argument, with its offset in an options struct. The defaults are one instance of that
 * struct, made by its public macro, so that each is written once. From these rows come the YAML parser, --help, the JSON
 * Schema and the reference page. */
struct arg;
struct args_reader {     /* what a parse function may need */
    struct arena *arena; /* owns what the options point to */
    void *context;       /* the higher room's own: columns by name, the folder of the file, ... */
};
/* An argument type is a value with a parse function; higher rooms add theirs. */
struct arg_type {
    const char *name;   /* as --help says it: "float", "list of strings" */
    const char *schema; /* a JSON Schema fragment: {"type":"number"} */
    bool (*parse)(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader, pil_status *status);
    void (*print)(const struct arg *arg, const void *field, struct text *out); /* YAML flow text that parses to the same */
    void (*json)(const struct arg *arg, const void *field, struct text *out);  /* for the schema's default; NULL: not told */
};
struct arg {
    const char *name; /* as users write it */
    const struct arg_type *type;
    size_t offset;
    const char *help;
    double low, high;  /* limits of a number, inclusive; both 0: none */
    const void *extra; /* the type's own: e.g. the words of an enum (const char *const *, NULL-terminated) */
    bool required;
};
struct arg_table {
    const char *name; /* "embedding_column" */
    const char *help;
    const struct arg *args;
    size_t arg_count;
    const void *defaults;
    size_t size; /* of the options struct */
};
extern const struct arg_type ARG_BOOL;   /* bool */
extern const struct arg_type ARG_INT;    /* int64_t */
extern const struct arg_type ARG_FLOAT;  /* float */
extern const struct arg_type ARG_DOUBLE; /* double */
extern const struct arg_type ARG_TEXT;   /* const char * ; null: NULL */
extern const struct arg_type ARG_CHOICE; /* int: index into extra's words */
extern const struct arg_type ARG_TEXTS;  /* struct arg_texts */
extern const struct arg_type ARG_INTS;   /* struct arg_ints */
extern const struct arg_type ARG_FLOATS; /* struct arg_floats; also {linspace: [from, to, count]} */
struct arg_texts {
    const char *const *items;
    size_t count;
    bool quoted_first; /* the first item stood in quotes (a vocabulary of digits may be strings) */
};
struct arg_ints {
    const int64_t *items;
    size_t count;
};
struct arg_floats {
    const float *items;
    size_t count;
};
/* Fills `options` (a struct of table->size bytes): the defaults, then what the map says. Unknown keys are errors that
 * name the nearest known word; missing required ones name themselves. `map` may be NULL or null: all defaults. */
bool args_parse(const struct arg_table *table, const struct value *map, void *options, struct args_reader *reader,
                pil_status *status);
void args_print(const struct arg_table *table, const void *options,
                struct text *out);                                    /* YAML flow map, every default written out */
void args_schema(const struct arg_table *table, struct text *out);    /* JSON Schema object */
void args_reference(const struct arg_table *table, struct text *out); /* a Markdown table */

/* ---- flow.c -------------------------------------------------------------------------------------------------- */

/* A file of records, one a line: a word and a value as args_print writes it, "variable {name: w, shape: [3]}". */
struct flow_reader {
    struct slice rest; /* at first the whole text */
    const char *file;  /* its name in errors */
    int line;          /* of the record read last, from 1 */
};
/* The next record; the value and all below it lie in the arena. False at the end (status ok) and on damage. */
bool flow_next(struct flow_reader *reader, struct slice *word, struct value **value, struct arena *arena, pil_status *status);
/* An argument that is read later, when it is known for what: const struct value *. Cannot be printed. */
extern const struct arg_type ARG_VALUE;
/* PIL_BAD_DATA with the place of the record read last. Returns false. */
bool flow_fail(const struct flow_reader *reader, pil_status *status, const char *what);

/* ---- log.c --------------------------------------------------------------------------------------------------- */

/* Lines go to the function set here; without one, nowhere (the library never prints). */
void log_set(void (*line)(void *context, pil_log_level level, const char *text), void *context);
void log_line(pil_log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
