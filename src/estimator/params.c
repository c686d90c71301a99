/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arguments of the canned estimators: `params`. One struct holds what all of them have; each estimator has a table of the
 * rows that are its own, under the names of its constructor.
 *
 * Optimizers depend on what they are for. A bare name takes the rate of the estimator, a mapping the class's own: linear models
 * 0.2, baselines 0.3, a combined model's halves their own, 1.x's DNN 0.05.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "estimator/modelfile.h"

/* A list of columns as listed, and its parts: shared embeddings stand for several. */
struct column_list {
    const struct value *list;
    struct arg_texts names;
    struct pil_column **parts;
    size_t part_count;
};
/* Kept until the number of columns is known. */
struct optimizer_arg {
    const struct value *value; /* NULL: not said, or null */
    bool is_null;
    struct optimizer optimizer;
};
struct params {
    struct column_list linear, dnn;
    struct arg_ints hidden_units;
    int activation;
    float dropout;
    bool batch_norm;
    float clip_gradients;
    int sparse_combiner;
    struct optimizer_arg linear_optimizer, dnn_optimizer;
    int64_t n_classes, label_dimension;
    struct arg_texts label_vocabulary;
    const char *weight_column;
    int loss_reduction; /* DEFAULT_REDUCTION: that of model->tensorflow */
    const char *model_dir;
    const char *warm_start_from;
};
enum { DEFAULT_REDUCTION = -1, MOST_UNITS = 1 << 24 };

/* ---- lists of columns ---------------------------------------------------------------------------------------- */

/* extra of a list whose columns must be dense */
static const char DENSE[] = "dense";

static bool check_dense(const struct arg *arg, const struct pil_column *column, const struct value *at, pil_status *status)
{
    if (arg->extra != DENSE || column_is_dense(column))
        return true;
    value_fail(at, status, "%s takes dense columns, and '%.120s' is a %s", arg->name, at->text.data, column_kind(column));
    return status_hint(status, "take an embedding_column or an indicator_column of it");
}

/* Fills the parts; a column of the same name twice would be two variables of one name. */
static bool gather_parts(const struct arg *arg, struct column_list *list, struct pil_column *const *columns,
                         struct args_reader *reader, pil_status *status)
{
    const struct value *value = list->list;
    struct map *seen;

    for (size_t i = 0; i < value->count; i++)
        list->part_count += column_part_count(columns[i]);
    list->parts = arena_alloc(reader->arena, MAX(list->part_count, 1) * sizeof(struct pil_column *), status);
    seen = list->parts ? map_new(status) : NULL;
    list->part_count = 0;
    for (size_t i = 0; seen && i < value->count; i++)
        for (size_t part = 0; status_ok(status) && part < column_part_count(columns[i]); part++) {
            struct pil_column *column = column_part(columns[i], part);
            bool added = true;
            map_intern(seen, slice_text(column_name(column)), &added, status);
            if (!added)
                value_fail(value->items[i], status, "%s has the column '%.120s' twice", arg->name, column_name(column));
            else if (status_ok(status) && check_dense(arg, column, value->items[i], status))
                list->parts[list->part_count++] = column;
        }
    map_free(seen);
    return status_ok(status);
}

static bool parse_columns(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                          pil_status *status)
{
    const struct model *model = reader->context;
    struct column_list *list = field;
    struct pil_column **columns;
    const char **names;

    *list = (struct column_list){ 0 };
    if (value_is_null(value))
        return true;
    if (value->kind != VALUE_LIST)
        return value_fail(value, status, "%s takes a list of columns: [name, ...]", arg->name);
    columns = arena_alloc(reader->arena, MAX(value->count, 1) * sizeof *columns, status);
    names = columns ? arena_alloc(reader->arena, MAX(value->count, 1) * sizeof *names, status) : NULL;
    if (!names)
        return false;
    for (size_t i = 0; i < value->count; i++) {
        const struct value *name = value->items[i];
        if (name->kind != VALUE_SCALAR)
            return value_fail(name, status, "%s takes the names of columns, which are described under columns", arg->name);
        columns[i] = column_set_get(model->columns, name->text, name, status);
        if (!columns[i])
            return false;
        names[i] = name->text.data;
    }
    list->list = value;
    list->names = (struct arg_texts){ names, value->count, false };
    return gather_parts(arg, list, columns, reader, status);
}

static void print_columns(const struct arg *arg, const void *field, struct text *out)
{
    ARG_TEXTS.print(arg, &((const struct column_list *)field)->names, out);
}

static void print_null(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg, (void)field;
    text_append_text(out, "null");
}

static const struct arg_type COLUMNS = {
    .name = "list of columns",
    .schema = "{\"type\":[\"array\",\"null\"],\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]}}",
    .parse = parse_columns,
    .print = print_columns,
    .json = print_null,
};

/* ---- words --------------------------------------------------------------------------------------------------- */

/* The word behind the last dot of `tf.nn.relu`, in small letters, without `weighted_`: as people copy it from old code. */
static bool parse_word(const struct arg *arg, const struct value *value, const char *const *words, int *field,
                       struct args_reader *reader, pil_status *status)
{
    struct arg choice = { .name = arg->name, .extra = words };
    struct value plain = *value;
    char word[64];
    size_t size = 0, from = value->text.size;

    if (value->kind == VALUE_SCALAR && value->text.size > 0 && value->text.size < sizeof word) {
        while (from > 0 && value->text.data[from - 1] != '.')
            from--;
        for (; from + size < value->text.size; size++)
            word[size] = (char)tolower((unsigned char)value->text.data[from + size]);
        word[size] = '\0';
        from = strncmp(word, "weighted_", 9) == 0 ? 9 : 0;
        plain.text = slice_text(strcmp(word, "silu") == 0 ? "swish" : word + from);
    }
    return ARG_CHOICE.parse(&choice, &plain, field, reader, status);
}

/* Without a function a layer is linear: so it is in TensorFlow 2.15, whose documentation says ReLU. */
static bool parse_activation(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                             pil_status *status)
{
    *(int *)field = ACTIVATION_LINEAR;
    return value_is_null(value) || parse_word(arg, value, op_activation_words, field, reader, status);
}

static void print_activation(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    text_append_text(out, op_activation_words[*(const int *)field]);
}

static void json_activation(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    text_json_string(out, slice_text(op_activation_words[*(const int *)field]));
}

static bool parse_reduction(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                            pil_status *status)
{
    *(int *)field = DEFAULT_REDUCTION;
    return value_is_null(value) || parse_word(arg, value, loss_reductions, field, reader, status);
}

static void print_reduction(const struct arg *arg, const void *field, struct text *out)
{
    int reduction = *(const int *)field;

    (void)arg;
    text_append_text(out, reduction == DEFAULT_REDUCTION ? "null" : loss_reductions[reduction]);
}

static const struct arg_type ACTIVATION = { .name = "activation function",
                                            .schema = "{\"type\":[\"string\",\"null\"]}",
                                            .parse = parse_activation,
                                            .print = print_activation,
                                            .json = json_activation };
static const struct arg_type REDUCTION = { .name = "reduction of the loss",
                                           .schema = "{\"type\":[\"string\",\"null\"]}",
                                           .parse = parse_reduction,
                                           .print = print_reduction,
                                           .json = print_reduction };
static const char *const combiners[] = { [COMBINER_SUM] = "sum", [COMBINER_MEAN] = "mean", [COMBINER_SQRTN] = "sqrtn", NULL };

/* ---- what may only be null ----------------------------------------------------------------------------------- */

static bool parse_refused(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                          pil_status *status)
{
    (void)field, (void)reader;
    return value_is_null(value) || value_unsupported(value, status, "%s %s", arg->name, (const char *)arg->extra);
}

static const struct arg_type REFUSED = {
    .name = "null", .schema = "{\"type\":\"null\"}", .parse = parse_refused, .print = print_null, .json = print_null
};

/* WarmStartSettings choose variables and map vocabularies; here whatever fits is taken over. */
static bool parse_warm_start(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                             pil_status *status)
{
    if (value->kind == VALUE_MAP)
        return value_unsupported(value, status, "%s takes a checkpoint or a folder; settings are not in this version", arg->name);
    return FILE_ARG_PATH.parse(arg, value, field, reader, status);
}

static void print_path(const struct arg *arg, const void *field, struct text *out)
{
    ARG_TEXT.print(arg, field, out);
}

static const struct arg_type WARM_START = { .name = "path",
                                            .schema = "{\"type\":[\"string\",\"null\"]}",
                                            .parse = parse_warm_start,
                                            .print = print_path,
                                            .json = print_null };

/* ---- optimizers ---------------------------------------------------------------------------------------------- */

static bool parse_optimizer(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                            pil_status *status)
{
    struct optimizer_arg *optimizer = field;

    (void)arg, (void)reader, (void)status;
    optimizer->is_null = value_is_null(value);
    optimizer->value = optimizer->is_null ? NULL : value;
    return true;
}

static void print_optimizer(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    optimizer_print(&((const struct optimizer_arg *)field)->optimizer, out);
}

static const struct arg_type OPTIMIZER = {
    .name = "optimizer",
    .schema = "{\"type\":[\"string\",\"object\",\"null\"],\"minProperties\":1,\"maxProperties\":1}",
    .parse = parse_optimizer,
    .print = print_optimizer,
};

/* A rate that TensorFlow lowers with the number of columns. */
static double rate_for(double rate, size_t columns)
{
    return columns > 0 ? fmin(rate, 1 / sqrt((double)columns)) : rate;
}

static bool is_sgd(const struct value *value)
{
    return value && value->kind == VALUE_SCALAR && (slice_is(value->text, "SGD") || slice_is(value->text, "sgd"));
}

static bool read_optimizers(const struct params *params, struct model *model, pil_status *status)
{
    const struct optimizer_arg *linear = &params->linear_optimizer, *dnn = &params->dnn_optimizer;
    enum optimizer_flavour flavour = model->tensorflow == 1 ? FLAVOUR_V1 : FLAVOUR_KERAS_LEGACY;
    struct args_reader reader = model_reader(model);
    double linear_rate = 0.2, dnn_rate = 0.001;

    if (model->kind == ESTIMATOR_LINEAR && linear->is_null)
        linear_rate = rate_for(0.2, model->linear_count);
    if (model->kind == ESTIMATOR_COMBINED)
        linear_rate = rate_for(0.005, model->linear_count);
    if (model->kind == ESTIMATOR_BASELINE)
        linear_rate = 0.3;
    if (model->kind == ESTIMATOR_DNN)
        dnn_rate = model->tensorflow == 1 ? 0.05 : is_sgd(dnn->value) ? 0.01 : 0.001;
    if (model->kind != ESTIMATOR_DNN &&
        !optimizer_read(linear->value, "Ftrl", linear_rate, flavour, &reader, &model->linear_optimizer, status))
        return false;
    return (model->kind != ESTIMATOR_DNN && model->kind != ESTIMATOR_COMBINED) ||
           optimizer_read(dnn->value, "Adagrad", dnn_rate, flavour, &reader, &model->dnn_optimizer, status);
}

/* ---- tables -------------------------------------------------------------------------------------------------- */

static const struct params params_defaults = {
    .activation = ACTIVATION_RELU, .n_classes = 2, .label_dimension = 1, .loss_reduction = DEFAULT_REDUCTION
};
/* clang-format off */
#define AT(member) .offset = offsetof(struct params, member)
#define UNITS(word, needed)                                                                                                      \
    { word, &ARG_INTS, AT(hidden_units), .help = "of the hidden layers", 1, MOST_UNITS, .required = needed }
#define DNN_ROWS(prefix)                                                                                                         \
    { prefix "activation_fn", &ACTIVATION, AT(activation), .help = "of the hidden layers: relu, tanh, ...; null: linear" },      \
    { prefix "dropout", &FILE_ARG_FLOAT, AT(dropout), .help = "this part of a hidden layer is dropped in training", 0, 1 },      \
    { "batch_norm", &ARG_BOOL, AT(batch_norm), .help = "batch normalization after every hidden layer" }
#define COMBINER(word)                                                                                                           \
    { word, &ARG_CHOICE, AT(sparse_combiner), .help = "how several ids of a row are combined", .extra = combiners }

#define ROWS_linear                                                                                                              \
    { "feature_columns", &COLUMNS, AT(linear), .help = "what the model is made of", .required = true },                          \
    { "optimizer", &OPTIMIZER, AT(linear_optimizer), .help = "Ftrl with rate 0.2" },                                             \
    COMBINER("sparse_combiner")
#define ROWS_dnn                                                                                                                 \
    UNITS("hidden_units", true),                                                                                                 \
    { "feature_columns", &COLUMNS, AT(dnn), .help = "dense columns", .extra = DENSE, .required = true },                         \
    { "optimizer", &OPTIMIZER, AT(dnn_optimizer), .help = "Adagrad with rate 0.001 (tensorflow: 1: 0.05)" },                     \
    DNN_ROWS("")
#define ROWS_dnn_linear_combined                                                                                                 \
    { "linear_feature_columns", &COLUMNS, AT(linear), .help = "of the wide half" },                                              \
    { "linear_optimizer", &OPTIMIZER, AT(linear_optimizer), .help = "Ftrl with rate min(0.005, 1/sqrt(columns))" },              \
    { "dnn_feature_columns", &COLUMNS, AT(dnn), .help = "of the deep half: dense columns", .extra = DENSE },                     \
    { "dnn_optimizer", &OPTIMIZER, AT(dnn_optimizer), .help = "Adagrad with rate 0.001" },                                       \
    UNITS("dnn_hidden_units", false),                                                                                            \
    DNN_ROWS("dnn_"),                                                                                                            \
    COMBINER("linear_sparse_combiner")
#define ROWS_baseline { "optimizer", &OPTIMIZER, AT(linear_optimizer), .help = "Ftrl with rate 0.3" }

#define HEAD_regressor                                                                                                           \
    { "label_dimension", &ARG_INT, AT(label_dimension), .help = "numbers of a label", 1, MOST_UNITS }
#define HEAD_classifier                                                                                                          \
    { "n_classes", &ARG_INT, AT(n_classes), .help = "how many classes there are", 2, MOST_UNITS },                               \
    { "label_vocabulary", &ARG_TEXTS, AT(label_vocabulary), .help = "the words of the label, where it is not 0, 1, ..." }

#define TABLE(kind, head)                                                                                                        \
    static const struct arg kind##_##head##_args[] = {                                                                           \
        ROWS_##kind,                                                                                                             \
        HEAD_##head,                                                                                                             \
        { "weight_column", &ARG_TEXT, AT(weight_column), .help = "the field of the rows' weights" },                             \
        { "loss_reduction", &REDUCTION, AT(loss_reduction), .help = "sum_over_batch_size (tensorflow: 1: sum), mean, ..." },     \
        { "model_dir", &FILE_ARG_PATH, AT(model_dir), .help = "as run.model_dir" },                                              \
        { "config", &REFUSED, .offset = 0, .help = "null: see run", .extra = "stands under run, field by field" },               \
        { "warm_start_from", &WARM_START, AT(warm_start_from), .help = "a checkpoint or a model's folder: a new model takes "    \
                                                                       "over the variables that fit" },                          \
        { "clip_gradients", &FILE_ARG_FLOAT, AT(clip_gradients), .help = "limit of the norm of an optimizer's gradients", 0,     \
          1e30 },                                                                                                                \
    };                                                                                                                           \
    static const struct arg_table kind##_##head##_table = {                                                                      \
        #kind "_" #head, "its constructor's arguments", kind##_##head##_args, COUNT_OF(kind##_##head##_args), &params_defaults,  \
        sizeof(struct params)                                                                                                    \
    }
#define ROW(kind, number, head, classifier) { #kind "_" #head, number, classifier, &kind##_##head##_table }

TABLE(linear, regressor);
TABLE(linear, classifier);
TABLE(dnn, regressor);
TABLE(dnn, classifier);
TABLE(dnn_linear_combined, regressor);
TABLE(dnn_linear_combined, classifier);
TABLE(baseline, regressor);
TABLE(baseline, classifier);

const struct estimator_row ESTIMATOR_ROWS[ESTIMATOR_COUNT] = {
    ROW(linear, ESTIMATOR_LINEAR, regressor, false),
    ROW(linear, ESTIMATOR_LINEAR, classifier, true),
    ROW(dnn, ESTIMATOR_DNN, regressor, false),
    ROW(dnn, ESTIMATOR_DNN, classifier, true),
    ROW(dnn_linear_combined, ESTIMATOR_COMBINED, regressor, false),
    ROW(dnn_linear_combined, ESTIMATOR_COMBINED, classifier, true),
    ROW(baseline, ESTIMATOR_BASELINE, regressor, false),
    ROW(baseline, ESTIMATOR_BASELINE, classifier, true),
};
/* clang-format on */

/* ---- what must hold ------------------------------------------------------------------------------------------ */

static bool has_arg(const struct arg_table *table, struct slice name)
{
    for (size_t i = 0; i < table->arg_count; i++)
        if (slice_is(name, table->args[i].name))
            return true;
    return false;
}

/* n_classes of a regressor, label_dimension of a classifier: the sibling has it. */
static bool check_sibling(const struct estimator_row *row, const struct value *map, pil_status *status)
{
    const struct estimator_row *sibling = row;

    for (size_t i = 0; i < ESTIMATOR_COUNT; i++)
        if (ESTIMATOR_ROWS[i].kind == row->kind && ESTIMATOR_ROWS[i].classifier != row->classifier)
            sibling = &ESTIMATOR_ROWS[i];
    for (size_t i = 0; map->kind == VALUE_MAP && i < map->count; i++)
        if (!has_arg(row->params, map->keys[i]->text) && has_arg(sibling->params, map->keys[i]->text))
            return value_fail(map->keys[i], status, "%s has no argument '%s'; %s has it", row->name, map->keys[i]->text.data,
                              sibling->name);
    return true;
}

static bool check_columns(const struct estimator_row *row, const struct params *params, const struct value *map,
                          pil_status *status)
{
    const struct column_list *linear = &params->linear, *dnn = &params->dnn;
    const struct value *units = value_get(map, "dnn_hidden_units");

    if (row->kind == ESTIMATOR_LINEAR && linear->part_count == 0)
        return value_fail(linear->list, status, "feature_columns is an empty list: name a column");
    if (row->kind == ESTIMATOR_DNN && dnn->part_count == 0)
        return value_fail(dnn->list, status, "feature_columns is an empty list: name a column");
    if (row->kind != ESTIMATOR_COMBINED)
        return true;
    if (linear->part_count == 0 && dnn->part_count == 0)
        return value_fail(map, status, "%s needs linear_feature_columns or dnn_feature_columns", row->name);
    if (dnn->part_count > 0 && params->hidden_units.count == 0)
        return value_fail(units ? units : map, status, "%s needs dnn_hidden_units for its dnn_feature_columns, such as [64, 32]",
                          row->name);
    return true;
}

static bool check_vocabulary(const struct params *params, const struct value *map, pil_status *status)
{
    const struct arg_texts *words = &params->label_vocabulary;
    const struct value *at = value_get(map, "label_vocabulary");
    struct map *seen;

    if (!words->items)
        return true;
    if ((int64_t)words->count != params->n_classes)
        return value_fail(at, status, "label_vocabulary has %zu words for n_classes %lld", words->count,
                          (long long)params->n_classes);
    seen = map_new(status);
    for (size_t i = 0; seen && i < words->count && status_ok(status); i++) {
        bool added = true;
        map_intern(seen, slice_text(words->items[i]), &added, status);
        if (!added)
            value_fail(at->items[i], status, "label_vocabulary has '%.80s' twice", words->items[i]);
    }
    map_free(seen);
    return status_ok(status);
}

/* By the numbers of loss_reductions. */
static const pil_reduction reductions[] = { [REDUCTION_SUM_OVER_BATCH_SIZE] = PIL_REDUCTION_SUM_OVER_BATCH_SIZE,
                                            [REDUCTION_SUM] = PIL_REDUCTION_SUM,
                                            [REDUCTION_NONZERO_WEIGHTS] = PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS,
                                            [REDUCTION_MEAN] = PIL_REDUCTION_MEAN };

static int reduction_number(pil_reduction reduction)
{
    for (size_t i = 0; i < COUNT_OF(reductions); i++)
        if (reductions[i] == reduction)
            return (int)i;
    return DEFAULT_REDUCTION;
}

static void fill_head(const struct estimator_row *row, const struct params *params, struct model *model)
{
    pil_head *head = &model->head;
    enum loss_reduction standard = model->tensorflow == 1 ? REDUCTION_SUM : REDUCTION_SUM_OVER_BATCH_SIZE;

    *head = pil_head_default(!row->classifier         ? PIL_HEAD_REGRESSION
                             : params->n_classes == 2 ? PIL_HEAD_BINARY
                                                      : PIL_HEAD_MULTI_CLASS);
    head->label_dimension = row->classifier ? 1 : params->label_dimension;
    head->n_classes = row->classifier ? params->n_classes : 0;
    head->label_vocabulary = (pil_words){ params->label_vocabulary.items, params->label_vocabulary.count };
    head->loss_reduction = reductions[params->loss_reduction == DEFAULT_REDUCTION ? (int)standard : params->loss_reduction];
    head->tensorflow = model->tensorflow;
    head->weight_column = params->weight_column;
    model->warm_start_from = params->warm_start_from;
}

static void fill_layers(const struct params *params, struct model *model)
{
    model->linear_columns = params->linear.parts;
    model->linear_count = params->linear.part_count;
    model->linear_names = params->linear.names;
    model->dnn_columns = params->dnn.parts;
    model->dnn_count = params->dnn.part_count;
    model->dnn_names = params->dnn.names;
    model->hidden_units = params->hidden_units;
    model->activation = (enum activation)params->activation;
    model->dropout = params->dropout;
    model->batch_norm = params->batch_norm;
    model->clip_gradients = params->clip_gradients;
    model->sparse_combiner = (enum combiner)params->sparse_combiner;
}

/* params.model_dir and run.model_dir are the same thing; both must agree. */
static bool merge_model_dir(const struct params *params, const struct value *map, struct model *model, pil_status *status)
{
    const char *run = model->run.model_dir;

    if (params->model_dir && run && strcmp(params->model_dir, run) != 0)
        return value_fail(value_get(map, "model_dir"), status, "model_dir is '%.200s' here and '%.200s' under run",
                          params->model_dir, run);
    if (params->model_dir)
        model->run.model_dir = params->model_dir;
    return true;
}

bool params_read(const struct estimator_row *row, const struct value *map, struct model *model, pil_status *status)
{
    struct args_reader reader = model_reader(model);
    struct params params;
    const struct value *dropout;

    if (!check_sibling(row, map, status) || !args_parse(row->params, map, &params, &reader, status))
        return false;
    dropout = value_get(map, row->kind == ESTIMATOR_COMBINED ? "dnn_dropout" : "dropout");
    if (params.dropout >= 1)
        return value_fail(dropout, status, "dropout must be below 1: something must be left");
    if (!check_columns(row, &params, map, status) || !check_vocabulary(&params, map, status) ||
        !merge_model_dir(&params, map, model, status))
        return false;
    model->kind = row->kind;
    fill_head(row, &params, model);
    fill_layers(&params, model);
    return read_optimizers(&params, model, status);
}

void params_print(const struct estimator_row *row, const struct model *model, const char *warm_start_from, struct text *yaml)
{
    const pil_head *head = &model->head;
    struct params params = {
        .linear = { .names = model->linear_names },
        .dnn = { .names = model->dnn_names },
        .hidden_units = model->hidden_units,
        .activation = (int)model->activation,
        .dropout = model->dropout,
        .batch_norm = model->batch_norm,
        .clip_gradients = model->clip_gradients,
        .sparse_combiner = (int)model->sparse_combiner,
        .linear_optimizer = { .optimizer = model->linear_optimizer },
        .dnn_optimizer = { .optimizer = model->dnn_optimizer },
        .n_classes = head->n_classes,
        .label_dimension = head->label_dimension,
        .label_vocabulary = { head->label_vocabulary.items, head->label_vocabulary.count, true },
        .weight_column = head->weight_column,
        .warm_start_from = warm_start_from,
        .loss_reduction = reduction_number(head->loss_reduction),
    };

    section_print(row->params, &params, yaml);
}
