/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model files: what is read and filled in, and that the printed file reads back to the same. What is refused stands in
 * test_params.c and test_sections.c.
 */
#include "failing.h"
#include "models.h"

#define COLUMNS                                                                                                                  \
    "columns:\n"                                                                                                                 \
    "  x: {numeric_column: {}}\n"                                                                                                \
    "  h: {categorical_column_with_hash_bucket: {hash_bucket_size: 10}}\n"                                                       \
    "  e: {embedding_column: {categorical_column: h, dimension: 2}}\n"
#define LINEAR "estimator: linear_regressor\nlabel: y\n" COLUMNS "params: {feature_columns: [x, h]}\n"

/* ---- there and back ------------------------------------------------------------------------------------------ */

static void assert_reads_back(const char *path)
{
    pil_status status = { 0 };
    struct model *first = modelfile_load(path, NULL, 0, &status), *second;
    char *once, *twice;

    if (!first)
        fail_msg("%s", status.message);
    once = printed(first);
    scratch_write(scratch_path("again.yaml"), once, strlen(once));
    second = modelfile_load(scratch_path("again.yaml"), NULL, 0, &status);
    if (!second)
        fail_msg("%s", status.message);
    twice = printed(second);
    assert_string_equal(once, twice);
    assert_int_equal(first->linear_count, second->linear_count);
    assert_int_equal(first->dnn_count, second->dnn_count);
    free(once);
    free(twice);
    model_free(first);
    model_free(second);
}

static void test_twins(void **state)
{
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char **names, path[300];
    size_t count;

    (void)state;
    assert_true(file_list("tests/golden/twin", arena, &names, &count, &status));
    assert_true(count >= 9);
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "tests/golden/twin/%s/model.yaml", names[i]);
        if (file_exists(path))
            assert_reads_back(path);
    }
    assert_reads_back("examples/flights/model.yaml");
    arena_free(arena);
}

/* Every argument with another value than its default, and texts that YAML could take for something else. */
static const char odd[] =
    "tensorflow: 1\n"
    "estimator: dnn_linear_combined_classifier\n"
    "label: 'null'\n"
    "compat: tf_dense\n"
    "columns:\n"
    "  'yes': {categorical_column_with_vocabulary_list: {key: 'on', vocabulary_list: ['1', \"\\u2028\\x7f\", 'a: b']}}\n"
    "  \"k\\u2029\": {categorical_column_with_vocabulary_list: {vocabulary_list: [7, 8], dtype: int64}}\n"
    "  s: {shared_embeddings: {categorical_columns: ['yes', h], dimension: 3}}\n"
    "  h: {categorical_column_with_vocabulary_list: {vocabulary_list: [p, q, r]}}\n"
    "  x: {numeric_column: {shape: [2], normalizer_fn: {subtract: 0.1, divide: 3}}}\n"
    "  b: {bucketized_column: {source_column: x, boundaries: {linspace: [0, 1, 4]}}}\n"
    "params:\n"
    "  linear_feature_columns: ['yes', \"k\\u2029\", b]\n"
    "  dnn_feature_columns: [s, x, b]\n"
    "  dnn_hidden_units: [3]\n"
    "  dnn_activation_fn: tf.nn.tanh\n"
    "  dnn_dropout: 0.25\n"
    "  batch_norm: true\n"
    "  linear_sparse_combiner: sqrtn\n"
    "  n_classes: 3\n"
    "  label_vocabulary: ['1', 'no', \"\\u00fc\"]\n"
    "  weight_column: w\n"
    "  loss_reduction: mean\n"
    "  linear_optimizer: {ftrl: {learning_rate: {exponential_decay: {initial_learning_rate: 0.1, decay_steps: 10, decay_rate: "
    "0.9}}}}\n"
    "  dnn_optimizer: RMSProp\n"
    "input:\n"
    "  train: [a.csv, /b/c.csv, 'd*.csv']\n"
    "  batch_size: 7\n"
    "  shuffle: 11\n"
    "  epochs: 3\n"
    "  skip: 2\n"
    "  cache: true\n"
    "  cache_bytes: 1000000\n"
    "  max_values_per_row: 9\n"
    "  names: [a, 'on', '3']\n"
    "  delimiter: \"\\t\"\n"
    "  comment: '#'\n"
    "  on_error: skip\n"
    "  fields: {h: {separator: '|', weight_separator: ':'}, x: {type: float32, separator: ' '}, 'on': string}\n"
    "train: {steps: 5, strict: true}\n"
    "eval: {steps: null, throttle_secs: 1.5, name: other, split: 0.25, by: 'on'}\n"
    "exporters: [{latest: {name: l, exports_to_keep: null}}, {best: {metric: accuracy}}, {final: {name: f}}]\n"
    "run: {model_dir: out, tf_random_seed: 3, save_summary_steps: 0, save_checkpoints_secs: 2.5, keep_checkpoint_max: 0}\n";

static void test_odd_values(void **state)
{
    struct model *model = load_well(odd);

    (void)state;
    assert_string_equal(model->label, "null");
    assert_true(model->tf_dense);
    assert_int_equal(model->tensorflow, 1);
    assert_int_equal(model->kind, ESTIMATOR_COMBINED);
    assert_int_equal(model->head.kind, PIL_HEAD_MULTI_CLASS);
    assert_int_equal(model->head.loss_reduction, PIL_REDUCTION_MEAN);
    assert_string_equal(model->head.label_vocabulary.items[2], "\xC3\xBC");
    assert_int_equal(model->linear_count, 3);
    assert_int_equal(model->dnn_count, 4); /* the shared embeddings are two */
    assert_int_equal(model->activation, ACTIVATION_TANH);
    assert_int_equal(model->sparse_combiner, COMBINER_SQRTN);
    assert_true(model->input.csv.delimiter == '\t' && model->input.csv.comment == '#');
    assert_false(model->input.csv.header);
    assert_int_equal(model->input.csv.name_count, 3);
    assert_int_equal(model->input.field_count, 3);
    assert_int_equal(model->input.fields[0].type, PROGRAM_ANY_TYPE);
    assert_true(model->input.fields[0].separator == '|' && model->input.fields[0].weight_separator == ':');
    assert_int_equal(model->input.fields[1].type, FIELD_FLOAT);
    assert_int_equal(model->input.fields[2].type, FIELD_STRING);
    assert_int_equal(model->train.steps, 5);
    assert_string_equal(model->eval.split_by, "on");
    assert_int_equal(model->exporter_count, 3);
    assert_string_equal(model->exporters[1].name, "best_exporter");
    assert_string_equal(model->exporters[1].metric, "accuracy");
    assert_int_equal(model->exporters[0].exports_to_keep, 0);
    model_free(model);
    assert_reads_back(scratch_path("m.yaml"));
}

/* ---- what is filled in --------------------------------------------------------------------------------------- */

static void test_defaults(void **state)
{
    struct model *model = load_well(LINEAR);
    const struct input_section *input = &model->input;

    (void)state;
    assert_int_equal(model->tensorflow, 2);
    assert_int_equal(model->head.kind, PIL_HEAD_REGRESSION);
    assert_int_equal(model->head.label_dimension, 1);
    assert_int_equal(model->head.loss_reduction, PIL_REDUCTION_SUM_OVER_BATCH_SIZE);
    assert_null(model->head.weight_column);
    assert_int_equal(model->sparse_combiner, COMBINER_SUM);
    assert_string_equal(input->format, "csv");
    assert_int_equal(input->train.count, 0);
    assert_int_equal(input->batch_size, 128);
    assert_int_equal(input->shuffle, -1);
    assert_int_equal(input->epochs, 0);
    assert_int_equal(input->max_values_per_row, 10000);
    assert_true(input->csv.header && input->csv.delimiter == ',' && !input->csv.comment && !input->csv.skip_bad);
    assert_int_equal(model->train.max_steps, 0);
    assert_int_equal(model->eval.steps, 100);
    assert_true(model->eval.throttle_secs == 600);
    assert_null(model->run.model_dir);
    assert_int_equal(model->run.tf_random_seed, -1);
    assert_int_equal(model->run.save_summary_steps, 100);
    assert_int_equal(model->run.keep_checkpoint_max, 5);
    assert_int_equal(model->run.log_step_count_steps, 100);
    model_free(model);
}

/* RunConfig: steps and secs exclude each other; neither said: 600 seconds; said to be null: never. */
static void test_saving(void **state)
{
    static const struct {
        const char *run;
        int64_t steps;
        double secs;
    } cases[] = {
        { "{}", 0, 600 },
        { "{save_checkpoints_steps: 7}", 7, 0 },
        { "{save_checkpoints_secs: 7}", 0, 7 },
        { "{save_checkpoints_steps: null}", 0, 0 },
        { "{save_checkpoints_secs: null}", 0, 0 },
        { "{save_checkpoints_steps: 7, save_checkpoints_secs: null}", 7, 0 },
        { "{save_checkpoints_steps: null, save_checkpoints_secs: 7}", 0, 7 },
        { "{save_checkpoints_steps: null, save_checkpoints_secs: null}", 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[600];
        snprintf(text, sizeof text, LINEAR "run: %s\n", cases[i].run);
        struct model *model = load_well(text);
        assert_int_equal(model->run.save_checkpoints_steps, cases[i].steps);
        assert_true(model->run.save_checkpoints_secs == cases[i].secs);
        model_free(model);
        assert_reads_back(scratch_path("m.yaml"));
    }
}

static void test_paths(void **state)
{
    struct model *model = load_well(LINEAR "input: {train: 't*.csv', eval: [/e.csv, -]}\nrun: {model_dir: out}\n");
    char expected[600], *text;

    (void)state;
    snprintf(expected, sizeof expected, "%s/t*.csv", scratch_folder);
    assert_string_equal(model->input.train.items[0], expected);
    assert_string_equal(model->input.eval.items[0], "/e.csv");
    assert_string_equal(model->input.eval.items[1], "-");
    snprintf(expected, sizeof expected, "%s/out", scratch_folder);
    assert_string_equal(model->run.model_dir, expected);
    model->run.model_dir = "mine"; /* as the program's --model-dir */
    text = printed(model);
    char here[400];
    assert_non_null(getcwd(here, sizeof here));
    snprintf(expected, sizeof expected, "  model_dir: %s/mine\n", here);
    assert_non_null(strstr(text, expected));
    free(text);
    model_free(model);
}

/* In the current folder and below it, errors name files as the user does; the printed file has them absolute. */
static void test_short_paths(void **state)
{
    char here[400], expected[600];
    pil_status status = { 0 };
    const char text[] = LINEAR "input: {train: t.csv}\n";

    (void)state;
    assert_non_null(getcwd(here, sizeof here));
    scratch_write(scratch_path("m.yaml"), text, strlen(text));
    assert_int_equal(chdir(scratch_folder), 0);
    struct model *model = modelfile_load("m.yaml", NULL, 0, &status);
    assert_int_equal(chdir(here), 0);
    assert_non_null(model);
    assert_string_equal(model->input.train.items[0], "t.csv");
    char *yaml = printed(model);
    char *real = realpath(scratch_folder, NULL);
    snprintf(expected, sizeof expected, "  train: [%s/t.csv]\n", real);
    assert_non_null(strstr(yaml, expected));
    free(real);
    free(yaml);
    model_free(model);
}

/* ---- --set --------------------------------------------------------------------------------------------------- */

static void test_sets(void **state)
{
    static const char text[] = "estimator: dnn_regressor\nlabel: y\n" COLUMNS
                               "params: {feature_columns: [x, e], hidden_units: [4], optimizer: {adam: {}}}\n"
                               "exporters: [{final: {name: f}}]\n";
    static const char *const sets[] = {
        "params.hidden_units=[32, 16]",
        "run.model_dir=out",
        "params.optimizer.adam.learning_rate=0.5",
        "columns.e.embedding_column.dimension=5",
        "columns.z={numeric_column: {key: x2}}",
        "params.feature_columns.1=z",
        "exporters.0.final.name=g",
        "input.train=",
        "input.fields.x.type=int64",
        "label=q=r",
    };
    pil_status status = { 0 };
    struct model *model = load_with(text, sets, COUNT_OF(sets), &status);

    (void)state;
    if (!model)
        fail_msg("%s", status.message);
    assert_int_equal(model->hidden_units.count, 2);
    assert_int_equal(model->hidden_units.items[1], 16);
    assert_true(model->dnn_optimizer.options.learning_rate.rate == 0.5);
    assert_string_equal(column_name(model->dnn_columns[1]), "x2");
    assert_string_equal(model->exporters[0].name, "g");
    assert_int_equal(model->input.train.count, 0);
    assert_int_equal(model->input.fields[0].type, FIELD_INT64);
    assert_string_equal(model->label, "q=r");
    assert_string_equal(path_base(model->run.model_dir), "out");
    model_free(model);
}

/* A value that two places share changes in one of them only. */
static void test_sets_and_aliases(void **state)
{
    static const char text[] = "estimator: dnn_linear_combined_regressor\nlabel: y\n" COLUMNS "params:\n"
                               "  linear_feature_columns: &c [x]\n"
                               "  dnn_feature_columns: *c\n"
                               "  dnn_hidden_units: [2]\n"
                               "  linear_optimizer: &o {adam: {learning_rate: 0.1}}\n"
                               "  dnn_optimizer: *o\n";
    static const char *const sets[] = { "params.dnn_optimizer.adam.learning_rate=0.7", "params.linear_feature_columns.0=h" };
    pil_status status = { 0 };
    struct model *model = load_with(text, sets, COUNT_OF(sets), &status);

    (void)state;
    if (!model)
        fail_msg("%s", status.message);
    assert_true(model->linear_optimizer.options.learning_rate.rate == 0.1);
    assert_true(model->dnn_optimizer.options.learning_rate.rate == 0.7);
    assert_string_equal(column_name(model->linear_columns[0]), "h");
    assert_string_equal(column_name(model->dnn_columns[0]), "x");
    model_free(model);
}

static void test_wrong_sets(void **state)
{
    static const struct {
        const char *set, *error;
    } cases[] = {
        { "label", "--set takes key.path=value, not 'label'" },
        { "=3", "--set takes key.path=value, not '=3'" },
        { "params..x=3", "--set params..x=3: a name is missing beside a dot" },
        { "params.=3", "--set params.=3: a name is missing beside a dot" },
        { "label.x=3", "--set label.x=3: 'x' cannot stand below the value 'y'" },
        { "params.feature_columns.2=x",
          "--set params.feature_columns.2=x: '2' is no item of a list of 2, which are numbered from 0" },
        { "params.feature_columns.-1=x",
          "--set params.feature_columns.-1=x: '-1' is no item of a list of 2, which are numbered from 0" },
        { "params.feature_columns.one=x",
          "--set params.feature_columns.one=x: 'one' is no item of a list of 2, which are numbered from 0" },
        { "params.feature_column=[x]",
          "--set: linear_regressor has no argument 'feature_column'; did you mean 'feature_columns'?" },
        { "params.feature_columns=[x, hh]", "--set: there is no column 'hh'; did you mean 'h'?" },
        { "input.batch_size=0", "--set: batch_size must be at least 1, not 0" },
        { "input.batch_size=[1", "--set: did not find expected ',' or ']', while parsing a flow sequence" },
        { "input.train=*.csv", "--set: did not find expected alphabetic or numeric character, while scanning an alias" },
        { "estimator=linear_classifer",
          "--set: estimator takes linear_regressor, linear_classifier, dnn_regressor, dnn_classifier, "
          "dnn_linear_combined_regressor, dnn_linear_combined_classifier, baseline_regressor or "
          "baseline_classifier, not 'linear_classifer'; did you mean 'linear_classifier'?" },
        { "inputs.train=a", "--set: the model file has no argument 'inputs'; did you mean 'input'?" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_status status = { 0 };
        assert_null(load_with(LINEAR, &cases[i].set, 1, &status));
        assert_string_equal(first_line(&status), cases[i].error);
        assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    }
}

/* ---- what may go wrong ---------------------------------------------------------------------------------------- */

static void test_no_file(void **state)
{
    pil_status status = { 0 };

    (void)state;
    assert_null(modelfile_load(scratch_path("absent.yaml"), NULL, 0, &status));
    assert_non_null(strstr(status.message, "absent.yaml"));
    status_clear(&status);
    assert_null(modelfile_load(scratch_path("no-folder/absent.yaml"), NULL, 0, &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
    status_clear(&status);
    assert_null(load_with("- a\n- b\n", NULL, 0, &status));
    assert_string_equal(first_line(&status), "m.yaml:1:1: a model file is a map: estimator: ..., label: ..., columns: ...");
}

/* Every allocation fails once: an error, and nothing is lost. */
static void test_memory(void **state)
{
    static const char *const sets[] = { "params.dnn_optimizer={adam: {}}" };
    bool done = false;

    (void)state;
    scratch_write(scratch_path("m.yaml"), odd, strlen(odd));
    for (int64_t n = 0; !done; n++) {
        pil_status status = { 0 };
        struct text yaml = { 0 };
        failing_start(n, false);
        struct model *model = modelfile_load(scratch_path("m.yaml"), sets, 1, &status);
        if (model)
            modelfile_print(model, &yaml);
        bool worked = model && !yaml.failed;
        text_free(&yaml);
        model_free(model);
        assert_int_equal(failing_live, 0);
        done = !failing_stop();
        assert_int_equal(worked, done);
        if (!model)
            assert_int_equal(status.code, PIL_NO_MEMORY);
        assert_true(!done || n > 50);
    }
}

/* ---- hostile files -------------------------------------------------------------------------------------------- */

/* An error that names the file, or a model. */
static void load_anything(const char *data, size_t size)
{
    pil_status status = { 0 };
    struct text yaml = { 0 };
    const char *path = scratch_path("m.yaml");

    scratch_write(path, data, size);
    struct model *model = modelfile_load(path, NULL, 0, &status);
    if (model)
        modelfile_print(model, &yaml);
    else
        assert_true(status.code != PIL_OK && status.message[0]);
    text_free(&yaml);
    model_free(model);
}

static void test_truncated(void **state)
{
    size_t size;
    char *text = scratch_read("tests/golden/twin/wide_deep_ragged/model.yaml", &size);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < size; i++)
        load_anything(text, i);
    for (size_t i = 0; i < strlen(odd); i++)
        load_anything(odd, i);
    free(text);
}

static void test_flipped(void **state)
{
    static const char *const files[] = { "tests/golden/twin/wide_deep_ragged/model.yaml", "examples/flights/model.yaml" };
    struct random_key key = random_key(1, "flips");

    (void)state;
    for (size_t f = 0; f < COUNT_OF(files); f++) {
        size_t size;
        char *text = scratch_read(files[f], &size);
        assert_non_null(text);
        for (uint64_t i = 0; i < 1500; i++) {
            uint64_t at = random_below(key, f, 2 * i, size);
            char before = text[at];
            text[at] = (char)(text[at] ^ (1 << random_below(key, f, 2 * i + 1, 8)));
            load_anything(text, size);
            text[at] = before;
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twins),      cmocka_unit_test(test_odd_values),
        cmocka_unit_test(test_defaults),   cmocka_unit_test(test_saving),
        cmocka_unit_test(test_paths),      cmocka_unit_test(test_short_paths),
        cmocka_unit_test(test_sets),       cmocka_unit_test(test_sets_and_aliases),
        cmocka_unit_test(test_wrong_sets), cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_memory),     cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped),
    };

    return cmocka_run_group_tests(tests, models_setup, models_teardown);
}
