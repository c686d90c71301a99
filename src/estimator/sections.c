/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sections input, train, eval, exporters and run: their rows, and what must hold between arguments. Names and defaults are
 * those of TrainSpec, EvalSpec, RunConfig and the exporters; input's are the file's own, with the batch size of numpy_input_fn.
 */
#include <math.h>
#include <string.h>

#include "estimator/modelfile.h"

static const int64_t int_none = 0, steps_none = -1, seed_none = -1;
static const double number_none = 0;
#define AT_LEAST(number) .low = (number), .high = INFINITY

/* ---- input --------------------------------------------------------------------------------------------------- */

static const char *const formats[] = { "csv", NULL };

/* format is the only choice, and a text in the struct. */
static bool parse_format(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                         pil_status *status)
{
    struct arg choice = { .name = arg->name, .extra = formats };
    int number = 0;

    if (value->kind == VALUE_SCALAR && slice_is(value->text, "tfrecord"))
        return value_unsupported(value, status, "this version does not read tfrecord: format takes csv");
    if (!ARG_CHOICE.parse(&choice, value, &number, reader, status))
        return false;
    *(const char **)field = formats[number];
    return true;
}

static void print_format(const struct arg *arg, const void *field, struct text *out)
{
    ARG_TEXT.print(arg, field, out);
}

static void json_format(const struct arg *arg, const void *field, struct text *out)
{
    ARG_TEXT.json(arg, field, out);
}

static const struct arg_type FORMAT = {
    .name = "csv", .schema = "{\"enum\":[\"csv\"]}", .parse = parse_format, .print = print_format, .json = json_format
};

static const struct input_section input_defaults = {
    .format = "csv", .batch_size = 128, .shuffle = -1, .max_values_per_row = 10000, .csv = { .delimiter = ',', .header = true }
};
#define INPUT(member) .offset = offsetof(struct input_section, member)
static const struct arg input_args[] = {
    { "format", &FORMAT, INPUT(format), .help = "of the files" },
    { "train", &FILE_ARG_PATHS, INPUT(train), .help = "files to train on: a path, a glob or a list of them" },
    { "eval", &FILE_ARG_PATHS, INPUT(eval), .help = "files to evaluate on" },
    { "batch_size", &ARG_INT, INPUT(batch_size), .help = "rows of a step", AT_LEAST(1) },
    { "shuffle", &FILE_ARG_SHUFFLE, INPUT(shuffle),
      .help = "the buffer in rows; true: a sensible one; false: the order of the file", AT_LEAST(0) },
    { "epochs", &FILE_ARG_INT, INPUT(epochs), .help = "how often the training data are read; null: without end", AT_LEAST(1),
      .extra = &int_none },
    { "skip", &ARG_INT, INPUT(skip), .help = "batches to pass over, where no checkpoint says where to go on", AT_LEAST(0) },
    { "cache", &ARG_BOOL, INPUT(cache), .help = "keep transformed rows in memory after the first epoch" },
    { "cache_bytes", &FILE_ARG_INT, INPUT(cache_bytes), .help = "at most so many; null: 4 GiB", AT_LEAST(1), .extra = &int_none },
    { "max_values_per_row", &ARG_INT, INPUT(max_values_per_row), .help = "ids that a cross may make of one row", AT_LEAST(1) },
    { "header", &ARG_BOOL, INPUT(csv.header), .help = "names stand in the first record; false: in names" },
    { "names", &FILE_ARG_NAMES, INPUT(csv), .help = "of the columns, where there is no header" },
    { "delimiter", &FILE_ARG_CHARACTER, INPUT(csv.delimiter), .help = "between fields" },
    { "comment", &FILE_ARG_CHARACTER, INPUT(csv.comment), .help = "records that begin with it are passed over" },
    { "on_error", &FILE_ARG_ON_ERROR, INPUT(csv.skip_bad), .help = "a bad record: stop with an error, or skip and count it" },
    { "fields", &FILE_ARG_FIELDS, .offset = 0, .help = "types and separators; what is not named follows from the columns" },
};
const struct arg_table INPUT_TABLE = {
    .name = "input",
    .help = "the data",
    .args = input_args,
    .arg_count = COUNT_OF(input_args),
    .defaults = &input_defaults,
    .size = sizeof(struct input_section),
};

bool input_read(const struct value *map, struct model *model, pil_status *status)
{
    struct input_section *input = &model->input;
    struct csv_options *csv = &input->csv;
    struct args_reader reader = model_reader(model);
    const struct value *header = value_get(map, "header"), *names = value_get(map, "names");

    if (!args_parse(&INPUT_TABLE, map, input, &reader, status))
        return false;
    if (csv->name_count > 0 && csv->header && header)
        return value_fail(names, status, "names are for files without a header: write header: false, or leave the names out");
    if (csv->name_count > 0)
        csv->header = false;
    if (!csv->header && csv->name_count == 0)
        return value_fail(header, status, "files without a header need names: [...], a name for each of their columns");
    if (csv->delimiter == '\0')
        csv->delimiter = ',';
    if (csv->delimiter == csv->comment)
        return value_fail(value_get(map, "comment"), status, "comment and delimiter cannot be the same character");
    return true;
}

/* ---- train --------------------------------------------------------------------------------------------------- */

/* Refused where it is not null, by the word of its row. */
static bool parse_early_stopping(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                                 pil_status *status)
{
    (void)field, (void)reader;
    return value_is_null(value) || value_unsupported(value, status, "%s is not in this version", arg->name);
}

static void print_early_stopping(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg, (void)field;
    text_append_text(out, "null");
}

static const struct arg_type EARLY_STOPPING = { .name = "map or null",
                                                .schema = "{\"type\":[\"object\",\"null\"]}",
                                                .parse = parse_early_stopping,
                                                .print = print_early_stopping,
                                                .json = print_early_stopping };

static const struct train_section train_defaults = { 0 };
#define TRAIN(member) .offset = offsetof(struct train_section, member)
static const struct arg train_args[] = {
    { "max_steps", &FILE_ARG_INT, TRAIN(max_steps), .help = "global steps ever taken; null: to the end of the input", AT_LEAST(1),
      .extra = &int_none },
    { "steps", &FILE_ARG_INT, TRAIN(steps), .help = "steps from now on; not together with max_steps", AT_LEAST(1),
      .extra = &int_none },
    { "strict", &ARG_BOOL, TRAIN(strict), .help = "a variable that no gradient reaches is an error" },
    { "early_stopping", &EARLY_STOPPING, .offset = 0, .help = "{metric, max_steps_without_decrease}: not in this version" },
};
const struct arg_table TRAIN_TABLE = {
    .name = "train",
    .help = "how long to train",
    .args = train_args,
    .arg_count = COUNT_OF(train_args),
    .defaults = &train_defaults,
    .size = sizeof(struct train_section),
};

bool train_read(const struct value *map, struct model *model, pil_status *status)
{
    struct args_reader reader = model_reader(model);

    if (!args_parse(&TRAIN_TABLE, map, &model->train, &reader, status))
        return false;
    if (model->train.max_steps > 0 && model->train.steps > 0)
        return value_fail(value_get(map, "steps"), status,
                          "steps and max_steps cannot both be given: steps count from now, max_steps from the first step ever");
    return true;
}

/* ---- eval ---------------------------------------------------------------------------------------------------- */

static const struct eval_section eval_defaults = { .steps = 100, .throttle_secs = 600, .start_delay_secs = 120 };
#define EVAL(member) .offset = offsetof(struct eval_section, member)
static const struct arg eval_args[] = {
    { "steps", &FILE_ARG_INT, EVAL(steps), .help = "batches of an evaluation; null: to the end of the data", AT_LEAST(1),
      .extra = &steps_none },
    { "throttle_secs", &ARG_DOUBLE, EVAL(throttle_secs), .help = "at least so long between two evaluations", AT_LEAST(0) },
    { "start_delay_secs", &ARG_DOUBLE, EVAL(start_delay_secs), .help = "has no effect on one machine", AT_LEAST(0) },
    { "name", &ARG_TEXT, EVAL(name), .help = "its events go to eval_<name>; null: eval" },
    { "split", &FILE_ARG_DOUBLE, EVAL(split), .help = "this part of input.train is held out for evaluation", 0, 1,
      .extra = &number_none },
    { "by", &FILE_ARG_BY, EVAL(split_by), .help = "what deals the rows: hash (of the row), or the field that is hashed" },
};
const struct arg_table EVAL_TABLE = {
    .name = "eval",
    .help = "how to evaluate",
    .args = eval_args,
    .arg_count = COUNT_OF(eval_args),
    .defaults = &eval_defaults,
    .size = sizeof(struct eval_section),
};

/* A name that becomes a folder. */
static bool check_folder_name(const char *name, const struct value *at, const char *what, pil_status *status)
{
    if (!name || (*name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0))
        return true;
    return value_fail(at, status, "%s becomes a folder's name: it cannot be '%.64s'", what, name);
}

bool eval_read(const struct value *map, struct model *model, pil_status *status)
{
    struct eval_section *eval = &model->eval;
    struct args_reader reader = model_reader(model);
    const struct value *split = value_get(map, "split");

    if (!args_parse(&EVAL_TABLE, map, eval, &reader, status) ||
        !check_folder_name(eval->name, value_get(map, "name"), "eval.name", status))
        return false;
    if (eval->split >= 1)
        return value_fail(split, status, "split must be below 1: something must be left to train on");
    if (eval->split > 0 && model->input.eval.count > 0)
        return value_fail(split, status, "split and input.eval cannot both be given");
    if (eval->split > 0 && model->input.train.count == 0)
        return value_fail(split, status, "split takes a part of input.train, which names no file");
    if (eval->split == 0 && eval->split_by)
        return value_fail(value_get(map, "by"), status, "by is for split: give the part to hold out, as in split: 0.2");
    return true;
}

/* ---- run ----------------------------------------------------------------------------------------------------- */

/* RunConfig's defaults for how often to save: what was not said at all differs from null. */
enum { NOT_SAID = -1 };
static const struct run_options run_defaults = { .tf_random_seed = -1,
                                                 .save_summary_steps = 100,
                                                 .save_checkpoints_steps = NOT_SAID,
                                                 .save_checkpoints_secs = NOT_SAID,
                                                 .keep_checkpoint_max = 5,
                                                 .keep_checkpoint_every_n_hours = 10000,
                                                 .log_step_count_steps = 100 };
#define RUN(member) .offset = offsetof(struct run_options, member)

/* The schema tells no default of these two: each depends on the other. */
static bool parse_save_steps(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                             pil_status *status)
{
    return FILE_ARG_INT.parse(arg, value, field, reader, status);
}

static void print_save_steps(const struct arg *arg, const void *field, struct text *out)
{
    FILE_ARG_INT.print(arg, field, out);
}

static bool parse_save_secs(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                            pil_status *status)
{
    return FILE_ARG_DOUBLE.parse(arg, value, field, reader, status);
}

static void print_save_secs(const struct arg *arg, const void *field, struct text *out)
{
    FILE_ARG_DOUBLE.print(arg, field, out);
}

static const struct arg_type SAVE_STEPS = {
    .name = "integer or null", .schema = "{\"type\":[\"integer\",\"null\"]}", .parse = parse_save_steps, .print = print_save_steps
};
static const struct arg_type SAVE_SECS = {
    .name = "number or null", .schema = "{\"type\":[\"number\",\"null\"]}", .parse = parse_save_secs, .print = print_save_secs
};

static const struct arg run_args[] = {
    { "model_dir", &FILE_ARG_PATH, RUN(model_dir), .help = "the folder of checkpoints and events" },
    { "tf_random_seed", &FILE_ARG_INT, RUN(tf_random_seed), .help = "of first values, shuffle and dropout; null: 0", AT_LEAST(0),
      .extra = &seed_none },
    { "save_summary_steps", &FILE_ARG_INT, RUN(save_summary_steps), .help = "the loss goes to the events this often; null: never",
      AT_LEAST(0), .extra = &int_none },
    { "save_checkpoints_steps", &SAVE_STEPS, RUN(save_checkpoints_steps),
      .help = "steps between checkpoints; not together with save_checkpoints_secs", AT_LEAST(0), .extra = &int_none },
    { "save_checkpoints_secs", &SAVE_SECS, RUN(save_checkpoints_secs),
      .help = "seconds between checkpoints; 600 where neither is given; null for both: only at the end", AT_LEAST(0),
      .extra = &number_none },
    { "keep_checkpoint_max", &FILE_ARG_INT, RUN(keep_checkpoint_max), .help = "the newest so many stay; null or 0: all",
      AT_LEAST(0), .extra = &int_none },
    { "keep_checkpoint_every_n_hours", &ARG_DOUBLE, RUN(keep_checkpoint_every_n_hours),
      .help = "besides the newest, one in so many hours stays; 0: none", AT_LEAST(0) },
    { "log_step_count_steps", &FILE_ARG_INT, RUN(log_step_count_steps),
      .help = "the speed goes to the events this often; null: never", AT_LEAST(0), .extra = &int_none },
};
const struct arg_table RUN_TABLE = {
    .name = "run",
    .help = "RunConfig",
    .args = run_args,
    .arg_count = COUNT_OF(run_args),
    .defaults = &run_defaults,
    .size = sizeof(struct run_options),
};

bool run_read(const struct value *map, struct model *model, pil_status *status)
{
    struct run_options *run = &model->run;
    struct args_reader reader = model_reader(model);
    bool no_steps, no_secs;

    if (!args_parse(&RUN_TABLE, map, run, &reader, status))
        return false;
    if (run->save_checkpoints_steps > 0 && run->save_checkpoints_secs > 0)
        return value_fail(value_get(map, "save_checkpoints_secs"), status,
                          "save_checkpoints_steps and save_checkpoints_secs cannot both be given");
    no_steps = run->save_checkpoints_steps == NOT_SAID;
    no_secs = run->save_checkpoints_secs == NOT_SAID;
    if (no_steps)
        run->save_checkpoints_steps = 0;
    if (no_secs)
        run->save_checkpoints_secs = no_steps ? 600 : 0;
    return true;
}

/* ---- exporters ----------------------------------------------------------------------------------------------- */

/* clang-format off */
#define EXPORTER(member) .offset = offsetof(struct exporter_options, member)
#define KEEP                                                                                                                     \
    { "exports_to_keep", &FILE_ARG_INT, EXPORTER(exports_to_keep), .help = "the newest so many stay; null: all",                 \
      AT_LEAST(1), .extra = &int_none }
static const struct exporter_options latest_defaults = { .kind = EXPORTER_LATEST, .exports_to_keep = 5 };
static const struct arg latest_args[] = {
    { "name", &ARG_TEXT, EXPORTER(name), .help = "exports go to export/<name>", .required = true },
    KEEP,
};
static const struct exporter_options best_defaults = {
    .kind = EXPORTER_BEST, .name = "best_exporter", .metric = "loss", .exports_to_keep = 5
};
static const struct arg best_args[] = {
    { "name", &ARG_TEXT, EXPORTER(name), .help = "exports go to export/<name>" },
    { "metric", &ARG_TEXT, EXPORTER(metric), .help = "of the evaluation; an export is made where it is the best so far" },
    KEEP,
};
static const struct exporter_options final_defaults = { .kind = EXPORTER_FINAL };
static const struct arg final_args[] = {
    { "name", &ARG_TEXT, EXPORTER(name), .help = "the export goes to export/<name>", .required = true },
};
#define EXPORTER_TABLE(word, text)                                                                                               \
    { #word, text, word##_args, COUNT_OF(word##_args), &word##_defaults, sizeof(struct exporter_options) }
const struct arg_table EXPORTER_TABLES[EXPORTER_KINDS] = {
    [EXPORTER_LATEST] = EXPORTER_TABLE(latest, "an export after every evaluation"),
    [EXPORTER_BEST] = EXPORTER_TABLE(best, "an export whenever a metric is the best so far"),
    [EXPORTER_FINAL] = EXPORTER_TABLE(final, "an export at the end"),
};
/* clang-format on */

static bool check_metric(const struct model *model, const char *metric, const struct value *at, pil_status *status)
{
    const char *names[32];
    size_t count = head_metric_names(&model->head, names, COUNT_OF(names));
    bool found = false;

    for (size_t i = 0; i < count; i++)
        found = found || strcmp(names[i], metric) == 0;
    if (!found) {
        const char *nearest = nearest_word(metric, names, count);
        value_fail(at, status, "%s has no metric '%.64s'%s%s%s", model->estimator, metric, nearest ? "; did you mean '" : "",
                   nearest ? nearest : "", nearest ? "'?" : "");
    }
    return found;
}

static bool read_exporter(const struct value *value, struct model *model, struct exporter_options *out, pil_status *status)
{
    struct args_reader reader = model_reader(model);
    const char *names[EXPORTER_KINDS];
    const struct value *at;

    if (value->kind != VALUE_MAP || value->count != 1)
        return value_fail(value, status, "an exporter is one kind with its arguments, such as {latest: {name: exporter}}");
    for (int kind = 0; kind < EXPORTER_KINDS; kind++) {
        names[kind] = EXPORTER_TABLES[kind].name;
        if (!slice_is(value->keys[0]->text, names[kind]))
            continue;
        if (!args_parse(&EXPORTER_TABLES[kind], value->items[0], out, &reader, status))
            return false;
        at = value_get(value->items[0], "name");
        if (!out->name)
            return value_fail(at, status, "an exporter needs a name");
        if (kind == EXPORTER_BEST && !out->metric)
            out->metric = best_defaults.metric;
        return check_folder_name(out->name, at, "an exporter's name", status) &&
               (!out->metric || check_metric(model, out->metric, value_get(value->items[0], "metric"), status));
    }
    return value_no_key(value->keys[0], "exporters", names, EXPORTER_KINDS, status);
}

enum { MOST_EXPORTERS = 100 };
bool exporters_read(const struct value *list, struct model *model, pil_status *status)
{
    if (!list || (list->kind == VALUE_LIST && list->count == 0))
        return true;
    if (list->kind != VALUE_LIST)
        return value_fail(list, status, "exporters is a list, such as [{latest: {name: exporter}}]");
    if (list->count > MOST_EXPORTERS)
        return value_fail(list, status, "more than %d exporters", MOST_EXPORTERS);
    model->exporters = arena_alloc(model->arena, list->count * sizeof *model->exporters, status);
    if (!model->exporters)
        return false;
    for (size_t i = 0; i < list->count; i++) {
        if (!read_exporter(list->items[i], model, &model->exporters[i], status))
            return false;
        for (size_t k = 0; k < i; k++)
            if (strcmp(model->exporters[k].name, model->exporters[i].name) == 0)
                return value_fail(list->items[i], status, "two exporters have the name '%.64s'", model->exporters[i].name);
    }
    model->exporter_count = list->count;
    for (size_t i = 0; i < list->count; i++)
        if (model->exporters[i].kind != EXPORTER_LATEST) {
            log_line(PIL_LOG_WARNING, "%s: this version has no %s exporter: it is kept in the model file only", model->path,
                     EXPORTER_TABLES[model->exporters[i].kind].name);
            break;
        }
    return true;
}
