/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli: the program. One file a command, each ending in its row of options; main.c holds the table of commands. Results go to
 * stdout, everything else to stderr. There is no logic here that the library lacks.
 *
 * Exit codes: 0 done; 1 the work failed; 2 the command line or the model file is wrong; 130 interrupted, what was done is saved.
 */
#ifndef PILASTER_CLI_H
#define PILASTER_CLI_H

#include "estimator/estimator.h"
#include "export/export.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* ---- options.c: command lines by table ---- */
enum option_kind {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* const char *, not empty */
    OPTION_COUNT,    /* int64_t, at least 0 */
    OPTION_POSITIVE, /* int64_t, at least 1: where the library reads 0 as "no limit" */
    OPTION_LIST      /* struct text_list: given any number of times, not empty */
};
struct option {
    const char *name;  /* without the dashes */
    const char *value; /* what stands for the value in the help; NULL for a flag */
    const char *help;
    enum option_kind kind;
    size_t offset; /* in struct arguments */
};
enum { MOST_LISTED = 64 };
struct text_list {
    const char *items[MOST_LISTED];
    size_t count;
};
/* Everything any command takes; a command's options name the members it fills. */
struct arguments {
    const char *target; /* the first word: a model file, a model_dir */
    const char *model_dir, *checkpoint, *warm_start_from, *data, *format, *to;
    int64_t threads, max_steps, rows, seed;
    bool has_max_steps, dry_run, profile, accept_changed_data, help, quiet;
    struct text_list sets, keep;
};
struct command {
    const char *name, *operand, *help, *example;
    const struct option *options;
    size_t option_count;
    int (*run)(struct arguments *arguments);
};
extern const struct command command_train, command_evaluate, command_predict, command_export, command_columns;
/* Fills the arguments from the words behind the command's name; EXIT_DONE, or the code to leave with (said on stderr). */
int options_read(const struct command *command, int count, char **words, struct arguments *out);
void options_help(const struct command *command);

/* ---- output.c ---- */
enum output_format { FORMAT_JSON, FORMAT_TABLE, FORMAT_CSV };
/* Says an error ("pilaster: ...", its hints indented) and gives the exit code that belongs to it. */
int say_error(const pil_status *status);
/* The same where no model came about: the model file, or what the command line calls one, is wrong. */
int say_model_error(const pil_status *status);
void say(const char *format, ...) PRINTF_LIKE(1, 2); /* a line on stderr; clears a progress line first */
bool output_format(const char *word, bool csv, enum output_format *out);
/* Writes and checks: a full disk or a closed pipe is an error, not a truncated result. */
bool output_text(const struct text *text, pil_status *status);
bool output_flush(pil_status *status);
void output_metrics(const pil_result *result, enum output_format format, struct text *out);

/* ---- predictions.c ---- */
enum { MOST_KEPT = 256 };
struct predictions {
    const char *label; /* of the model, or NULL */
    enum output_format format;
    struct field_spec keep[MOST_KEPT];
    size_t keep_count;
    struct text text, cell;
    bool headed;
};
/* --keep a,b --keep c: what the model does not read itself is read as text. */
bool predictions_keep(struct predictions *predictions, const struct text_list *list, struct arena *arena, pil_status *status);
/* Writes a batch (context: struct predictions); `raw->fields` has the kept fields. */
bool predictions_write(void *context, const pil_output *outputs, size_t count, const struct batch *raw, pil_status *status);
void predictions_free(struct predictions *predictions);
/* Predictions of an export, or of the newest below a folder. False: the target is none; else *code is what to leave with. */
bool export_predict(const struct arguments *arguments, enum output_format format, int *code);

struct progress {
    const struct model *model;
    struct pil_estimator *estimator;
    bool terminal, shown;
    double last; /* when a line was shown */
};
void progress_event(void *context, const struct estimator_event *event); /* context: struct progress */
void progress_clear(struct progress *progress);
void progress_end(struct progress *progress); /* before its memory goes */

/* The model of a folder: MODEL_DIR/model.yaml, with its model_dir set. A folder without a checkpoint is refused, unless one of
 * elsewhere is named. NULL after an error. */
struct model *load_trained(const char *model_dir, const char *checkpoint, pil_status *status);

#endif
