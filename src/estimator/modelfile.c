/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One YAML file to a model in which every default is filled in, and back. The file's own keys are a table like any other; its
 * sections are kept as values and read in the order input, columns, params, then the rest, since each may ask for what stands
 * before it.
 *
 * Paths stay as they were given, joined to the file's folder as it was given, so that errors name files as the user does; the
 * printed file has them absolute.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "estimator/modelfile.h"

/* ---- the file's own keys ------------------------------------------------------------------------------------- */

struct file_keys {
    int estimator;
    const char *label;
    int64_t tensorflow;
    bool tf_dense;
    const struct value *columns, *params, *derived, *input, *train, *eval, *exporters, *run;
    const struct value *layers, *compile, *fit; /* of estimator: sequential */
};

static bool parse_estimator(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                            pil_status *status)
{
    const char *names[ESTIMATOR_COUNT + 1] = { NULL };
    struct arg choice = { .name = arg->name, .extra = names };

    for (size_t i = 0; i < ESTIMATOR_COUNT; i++)
        names[i] = ESTIMATOR_ROWS[i].name;
    if (value->kind == VALUE_SCALAR && slice_is(value->text, "sequential"))
        return value_unsupported(value, status, "estimator: sequential is not in this version");
    return ARG_CHOICE.parse(&choice, value, field, reader, status);
}

static void print_estimator(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    text_append_text(out, ESTIMATOR_ROWS[*(const int *)field].name);
}

static bool parse_derived(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                          pil_status *status)
{
    if (!FILE_ARG_RAW.parse(arg, value, field, reader, status))
        return false;
    if (value_is_null(value) || (value->kind == VALUE_MAP && value->count == 0))
        return true;
    return value_unsupported(value, status, "derived fields are not in this version; compute them before, into the data");
}

static bool parse_sequential(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                             pil_status *status)
{
    (void)field, (void)reader;
    return value_is_null(value) || value_fail(value, status, "%s belongs to estimator: sequential", arg->name);
}

static void print_null(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg, (void)field;
    text_append_text(out, "null");
}

static const struct arg_type ESTIMATOR = {
    .name = "estimator", .schema = "{\"type\":\"string\"}", .parse = parse_estimator, .print = print_estimator
};
static const struct arg_type DERIVED = {
    .name = "map", .schema = "{\"type\":[\"object\",\"null\"],\"maxProperties\":0}", .parse = parse_derived, .print = print_null
};
static const struct arg_type SEQUENTIAL = {
    .name = "null", .schema = "{\"type\":\"null\"}", .parse = parse_sequential, .print = print_null
};

static const struct file_keys file_defaults = { .tensorflow = 2 };
#define KEY(member) .offset = offsetof(struct file_keys, member)
static const struct arg file_args[] = {
    { "tensorflow", &ARG_INT, KEY(tensorflow), .help = "2 or 1: whose defaults, loss reduction and optimizers", 1, 2 },
    { "estimator", &ESTIMATOR, KEY(estimator), .help = "which canned estimator", .required = true },
    { "label", &ARG_TEXT, KEY(label), .help = "the field that is to be predicted", .required = true },
    { "compat", &FILE_ARG_COMPAT, KEY(tf_dense),
      .help = "tf_dense: crosses of raw fields as TensorFlow computes them from dense tensors" },
    { "columns", &FILE_ARG_RAW, KEY(columns), .help = "feature columns: {name: {kind: {arguments}}}" },
    { "derived", &DERIVED, KEY(derived), .help = "numbers computed from fields: not in this version" },
    { "params", &FILE_ARG_RAW, KEY(params), .help = "the estimator's arguments" },
    { "input", &FILE_ARG_RAW, KEY(input), .help = "the data" },
    { "train", &FILE_ARG_RAW, KEY(train), .help = "how long to train" },
    { "eval", &FILE_ARG_RAW, KEY(eval), .help = "how to evaluate" },
    { "exporters", &FILE_ARG_RAW, KEY(exporters), .help = "what is exported while training" },
    { "run", &FILE_ARG_RAW, KEY(run), .help = "RunConfig" },
    { "layers", &SEQUENTIAL, KEY(layers), .help = "of estimator: sequential" },
    { "compile", &SEQUENTIAL, KEY(compile), .help = "of estimator: sequential" },
    { "fit", &SEQUENTIAL, KEY(fit), .help = "of estimator: sequential" },
};
const struct arg_table FILE_TABLE = {
    .name = "the model file",
    .help = "a model and how it is trained",
    .args = file_args,
    .arg_count = COUNT_OF(file_args),
    .defaults = &file_defaults,
    .size = sizeof(struct file_keys),
};

struct args_reader model_reader(struct model *model)
{
    return (struct args_reader){ .arena = model->arena, .context = model };
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* The folder as given ("" for the current one) and absolute. */
static bool find_folder(struct model *model, const char *path, pil_status *status)
{
    char absolute[PATH_MAX], current[PATH_MAX];
    size_t size = (size_t)(path_base(path) - path);

    while (size > 1 && path[size - 1] == '/')
        size--;
    model->path = arena_text(model->arena, path, strlen(path), status);
    model->folder = arena_text(model->arena, path, size, status);
    if (!model->path || !model->folder)
        return false;
    if (!realpath(size > 0 ? model->folder : ".", absolute))
        return status_fail(status, PIL_NOT_FOUND, "%s: there is no folder '%s'", path, model->folder);
    if (!getcwd(current, sizeof current))
        return status_fail(status, PIL_IO, "%s: the current folder has no path any more", path);
    model->base = arena_text(model->arena, absolute, strlen(absolute), status);
    model->current = arena_text(model->arena, current, strlen(current), status);
    return status_ok(status);
}

static struct value *read_tree(struct model *model, const char *const *sets, size_t set_count, pil_status *status)
{
    struct file_data data;
    struct value *root;

    if (!file_load(model->path, &data, status))
        return NULL;
    root = modelfile_parse(slice_of(data.data, data.size), model->path, model->arena, status);
    file_unload(&data);
    if (root && root->kind != VALUE_MAP) {
        value_fail(root, status, "a model file is a map: estimator: ..., label: ..., columns: ...");
        return NULL;
    }
    return root && overrides_apply(&root, sets, set_count, model->arena, status) ? root : NULL;
}

static bool read_sections(struct model *model, const struct value *root, pil_status *status)
{
    struct args_reader reader = model_reader(model);
    struct file_keys keys;
    const struct estimator_row *row;
    struct value nothing = *root; /* stands for params that are not there */

    if (!args_parse(&FILE_TABLE, root, &keys, &reader, status))
        return false;
    row = &ESTIMATOR_ROWS[keys.estimator];
    model->estimator = row->name;
    model->tensorflow = (int)keys.tensorflow;
    model->tf_dense = keys.tf_dense;
    model->label = keys.label;
    if (!*keys.label)
        return value_fail(value_get(root, "label"), status, "label is empty: name the field that is to be predicted");
    if (!input_read(keys.input, model, status))
        return false;
    model->columns = column_set_new(keys.columns, model->base, status);
    if (!model->columns || !run_read(keys.run, model, status))
        return false;
    nothing.count = 0;
    return params_read(row, keys.params ? keys.params : &nothing, model, status) && train_read(keys.train, model, status) &&
           eval_read(keys.eval, model, status) && exporters_read(keys.exporters, model, status);
}

struct model *modelfile_load(const char *path, const char *const *sets, size_t set_count, pil_status *status)
{
    struct model *model = mem_new(sizeof *model, status);
    const struct value *root;

    if (!model)
        return NULL;
    model->arena = arena_new(status);
    if (model->arena && find_folder(model, path, status)) {
        root = read_tree(model, sets, set_count, status);
        if (root && read_sections(model, root, status))
            return model;
    }
    model_free(model);
    return NULL;
}

void model_free(struct model *model)
{
    if (!model)
        return;
    column_set_free(model->columns);
    arena_free(model->arena);
    mem_free(model);
}

/* ---- printing ------------------------------------------------------------------------------------------------ */

/* A path as anybody finds it: those of the file start with its folder, one set by the program at what was current then. */
static const char *absolute_path(const struct model *model, const char *path, struct arena *arena, pil_status *status)
{
    size_t size = strlen(model->folder);

    if (!path || path[0] == '/' || strcmp(path, "-") == 0)
        return path;
    if (size == 0)
        return path_join(arena, model->base, path, status);
    if (strncmp(path, model->folder, size) == 0 && path[size] == '/')
        return path_join(arena, model->base, path + size + 1, status);
    return path_join(arena, model->current, path, status);
}

static struct arg_texts absolute_paths(const struct model *model, struct arg_texts paths, struct arena *arena, pil_status *status)
{
    const char **items = paths.count > 0 ? arena_alloc(arena, paths.count * sizeof *items, status) : NULL;

    if (!items)
        return (struct arg_texts){ 0 };
    for (size_t i = 0; i < paths.count; i++)
        items[i] = absolute_path(model, paths.items[i], arena, status);
    return (struct arg_texts){ items, paths.count, false };
}

void section_print(const struct arg_table *table, const void *options, struct text *yaml)
{
    for (size_t i = 0; i < table->arg_count; i++) {
        const struct arg *arg = &table->args[i];
        text_format(yaml, "  %s: ", arg->name);
        arg->type->print(arg, (const char *)options + arg->offset, yaml);
        text_append_text(yaml, "\n");
    }
}

static void print_section(const char *name, const struct arg_table *table, const void *options, struct text *yaml)
{
    text_format(yaml, "%s:\n", name);
    section_print(table, options, yaml);
}

static void print_exporters(const struct model *model, struct text *yaml)
{
    text_append_text(yaml, model->exporter_count > 0 ? "exporters:\n" : "exporters: []\n");
    for (size_t i = 0; i < model->exporter_count; i++) {
        const struct exporter_options *exporter = &model->exporters[i];
        const struct arg_table *table = &EXPORTER_TABLES[exporter->kind];
        text_format(yaml, "  - %s: ", table->name);
        args_print(table, exporter, yaml);
        text_append_text(yaml, "\n");
    }
}

static const struct estimator_row *find_row(const struct model *model)
{
    for (size_t i = 0; i < ESTIMATOR_COUNT; i++)
        if (strcmp(ESTIMATOR_ROWS[i].name, model->estimator) == 0)
            return &ESTIMATOR_ROWS[i];
    return &ESTIMATOR_ROWS[0];
}

static void print_model(const struct model *model, struct arena *arena, struct text *yaml, pil_status *status)
{
    struct input_section input = model->input;
    struct run_options run = model->run;
    const char *warm_start;

    input.train = absolute_paths(model, input.train, arena, status);
    input.eval = absolute_paths(model, input.eval, arena, status);
    run.model_dir = absolute_path(model, run.model_dir, arena, status);
    warm_start = absolute_path(model, model->warm_start_from, arena, status);
    if (!status_ok(status))
        return;
    text_format(yaml, "tensorflow: %d\nestimator: %s\nlabel: ", model->tensorflow, model->estimator);
    ARG_TEXT.print(NULL, &model->label, yaml);
    text_format(yaml, "\ncompat: %s\n", model->tf_dense ? "tf_dense" : "null");
    column_set_print(model->columns, yaml);
    text_append_text(yaml, "params:\n");
    params_print(find_row(model), model, warm_start, yaml);
    print_section("input", &INPUT_TABLE, &input, yaml);
    print_section("train", &TRAIN_TABLE, &model->train, yaml);
    print_section("eval", &EVAL_TABLE, &model->eval, yaml);
    print_exporters(model, yaml);
    print_section("run", &RUN_TABLE, &run, yaml);
}

/* JSON's quotes are YAML's, but for U+2028 and U+2029, which end a line there; they stand nowhere but in quotes. */
static void append_escaped(struct text *out, const struct text *plain)
{
    size_t start = 0;

    for (size_t i = 0; i + 2 < plain->size; i++) {
        const unsigned char *at = (const unsigned char *)plain->data + i;
        if (at[0] != 0xE2 || at[1] != 0x80 || (at[2] & 0xFE) != 0xA8)
            continue;
        text_append(out, plain->data + start, i - start);
        text_append_text(out, at[2] == 0xA8 ? "\\u2028" : "\\u2029");
        start = i + 3;
        i += 2;
    }
    if (plain->size > start)
        text_append(out, plain->data + start, plain->size - start);
    out->failed = out->failed || plain->failed;
    out->too_long = out->too_long || plain->too_long;
}

void modelfile_print(const struct model *model, struct text *yaml)
{
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    struct text plain = { 0 };

    if (arena)
        print_model(model, arena, &plain, &status);
    append_escaped(yaml, &plain);
    yaml->failed = yaml->failed || !status_ok(&status);
    text_free(&plain);
    arena_free(arena);
}
