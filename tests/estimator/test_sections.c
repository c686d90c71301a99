/* SPDX-License-Identifier: Apache-2.0 */
/* The sections of a model file: what each refuses, to the letter of the error's first line, and what it says in the log. */
#include "models.h"

#define START "estimator: baseline_regressor\nlabel: y\n"

/* The text behind START begins in line 3. */
static const struct {
    const char *text, *error;
    pil_code code;
} wrong[] = {
    /* the file's own keys */
    { "labels: x\n", "3:1: the model file has no argument 'labels'; did you mean 'label'?", PIL_INVALID_ARGUMENT },
    { "trian: {}\n", "3:1: the model file has no argument 'trian'; did you mean 'train'?", PIL_INVALID_ARGUMENT },
    { "tensorflow: 3\n", "3:13: tensorflow must be from 1 to 2, not 3", PIL_INVALID_ARGUMENT },
    { "tensorflow: two\n", "3:13: tensorflow takes an integer, not 'two'", PIL_INVALID_ARGUMENT },
    { "compat: tf_dens\n", "3:9: compat takes null or tf_dense, not 'tf_dens'; did you mean 'tf_dense'?", PIL_INVALID_ARGUMENT },
    { "layers: [LSTM]\n", "3:9: layers belongs to estimator: sequential", PIL_INVALID_ARGUMENT },
    { "derived: {d: a + b}\n", "3:10: derived fields are not in this version; compute them before, into the data",
      PIL_UNSUPPORTED },
    { "columns: [x]\n", "3:10: columns is a map from names to columns", PIL_INVALID_ARGUMENT },
    { "columns: {x: {numeric_colum: {}}}\n", "3:15: there is no kind of column 'numeric_colum'; did you mean 'numeric_column'?",
      PIL_INVALID_ARGUMENT },
    { "columns: {x: {crossed_column: {keys: [a, b], hash_buckets_size: 3}}}\n",
      "3:46: crossed_column has no argument 'hash_buckets_size'; did you mean 'hash_bucket_size'?", PIL_INVALID_ARGUMENT },
    { "columns: {a: {embedding_column: {categorical_column: b, dimension: 1}}, b: {embedding_column: {categorical_column: a, "
      "dimension: 1}}}\n",
      "3:116: column 'a' is made of itself: a -> b -> a", PIL_INVALID_ARGUMENT },
    { "columns: {a: {embedding_column: {categorical_column: z, dimension: 1}}}\n", "3:54: there is no column 'z'",
      PIL_INVALID_ARGUMENT },
    /* input */
    { "input: train.csv\n", "3:8: input takes its arguments as a map: {name: value, ...}", PIL_INVALID_ARGUMENT },
    { "input: {format: tfrecord}\n", "3:17: this version does not read tfrecord: format takes csv", PIL_UNSUPPORTED },
    { "input: {format: tsv}\n", "3:17: format takes csv, not 'tsv'; did you mean 'csv'?", PIL_INVALID_ARGUMENT },
    { "input: {train: {a: b}}\n", "3:16: train takes a path, a glob or a list of them, not a map", PIL_INVALID_ARGUMENT },
    { "input: {train: []}\n", "3:16: train is an empty list: name a file", PIL_INVALID_ARGUMENT },
    { "input: {train: ''}\n", "3:16: train takes the path of a file, not an empty text", PIL_INVALID_ARGUMENT },
    { "input: {train: [a, [b]]}\n", "3:20: train takes a text, not a list", PIL_INVALID_ARGUMENT },
    { "input: {batch_sise: 3}\n", "3:9: input has no argument 'batch_sise'; did you mean 'batch_size'?", PIL_INVALID_ARGUMENT },
    { "input: {batch_size: 1.5}\n", "3:21: batch_size takes an integer, not '1.5'", PIL_INVALID_ARGUMENT },
    { "input: {batch_size: '3'}\n", "3:21: batch_size takes an integer, not the text \"3\": leave out the quotes",
      PIL_INVALID_ARGUMENT },
    { "input: {shuffle: yes}\n", "3:18: shuffle takes true, false or a number of rows, not 'yes'", PIL_INVALID_ARGUMENT },
    { "input: {shuffle: -1}\n", "3:18: shuffle must be at least 0, not -1", PIL_INVALID_ARGUMENT },
    { "input: {epochs: 0}\n", "3:17: epochs must be at least 1, not 0", PIL_INVALID_ARGUMENT },
    { "input: {skip: -3}\n", "3:15: skip must be at least 0, not -3", PIL_INVALID_ARGUMENT },
    { "input: {cache_bytes: 4 GB}\n", "3:22: cache_bytes takes an integer, not '4 GB'", PIL_INVALID_ARGUMENT },
    { "input: {header: false}\n", "3:17: files without a header need names: [...], a name for each of their columns",
      PIL_INVALID_ARGUMENT },
    { "input: {header: true, names: [a]}\n",
      "3:30: names are for files without a header: write header: false, or leave the names out", PIL_INVALID_ARGUMENT },
    { "input: {names: [a, b, a]}\n", "3:23: names has 'a' twice", PIL_INVALID_ARGUMENT },
    { "input: {names: []}\n", "3:16: names is an empty list: name the columns of the file", PIL_INVALID_ARGUMENT },
    { "input: {delimiter: ', '}\n", "3:20: delimiter takes one ASCII character, not ', '", PIL_INVALID_ARGUMENT },
    { "input: {delimiter: ''}\n", "3:20: delimiter takes one ASCII character, not ''", PIL_INVALID_ARGUMENT },
    { "input: {delimiter: '\"'}\n", "3:20: delimiter cannot be a quote or the end of a line", PIL_INVALID_ARGUMENT },
    { "input: {delimiter: '#', comment: '#'}\n", "3:34: comment and delimiter cannot be the same character",
      PIL_INVALID_ARGUMENT },
    { "input: {on_error: ignore}\n", "3:19: on_error takes stop or skip, not 'ignore'", PIL_INVALID_ARGUMENT },
    { "input: {fields: [a]}\n", "3:17: fields is a map from names to types: {hourofday: int64}", PIL_INVALID_ARGUMENT },
    { "input: {fields: {a: int46}}\n", "3:21: there is no type 'int46' of a field; did you mean 'int64'?", PIL_INVALID_ARGUMENT },
    { "input: {fields: {a: bytes}}\n", "3:21: there is no type 'bytes' of a field: take string, int64 or float32",
      PIL_INVALID_ARGUMENT },
    { "input: {fields: {a: {separater: '|'}}}\n", "3:22: a field has no argument 'separater'; did you mean 'separator'?",
      PIL_INVALID_ARGUMENT },
    { "input: {fields: {a: {separator: ':', weight_separator: ':'}}}\n",
      "3:21: separator and weight_separator cannot be the same character", PIL_INVALID_ARGUMENT },
    { "input: {fields: {a: [int64]}}\n", "3:21: a field takes its arguments as a map: {name: value, ...}", PIL_INVALID_ARGUMENT },
    /* train */
    { "train: {max_steps: 3, steps: 3}\n",
      "3:30: steps and max_steps cannot both be given: steps count from now, max_steps from the first step ever",
      PIL_INVALID_ARGUMENT },
    { "train: {max_steps: 0}\n", "3:20: max_steps must be at least 1, not 0", PIL_INVALID_ARGUMENT },
    { "train: {hooks: []}\n", "3:9: train has no argument 'hooks'", PIL_INVALID_ARGUMENT },
    { "train: {early_stopping: {metric: loss}}\n", "3:25: early_stopping is not in this version", PIL_UNSUPPORTED },
    /* eval */
    { "eval: {steps: -1}\n", "3:15: steps must be at least 1, not -1", PIL_INVALID_ARGUMENT },
    { "eval: {throttle_secs: null}\n", "3:23: throttle_secs takes a number and cannot be null", PIL_INVALID_ARGUMENT },
    { "eval: {name: a/b}\n", "3:14: eval.name becomes a folder's name: it cannot be 'a/b'", PIL_INVALID_ARGUMENT },
    { "eval: {split: 1.5}\n", "3:15: split must be from 0 to 1, not 1.5", PIL_INVALID_ARGUMENT },
    { "input: {train: a}\neval: {split: 1}\n", "4:15: split must be below 1: something must be left to train on",
      PIL_INVALID_ARGUMENT },
    { "eval: {split: 0.2}\n", "3:15: split takes a part of input.train, which names no file", PIL_INVALID_ARGUMENT },
    { "input: {train: a, eval: b}\neval: {split: 0.2}\n", "4:15: split and input.eval cannot both be given",
      PIL_INVALID_ARGUMENT },
    { "eval: {by: day}\n", "3:12: by is for split: give the part to hold out, as in split: 0.2", PIL_INVALID_ARGUMENT },
    /* exporters */
    { "exporters: {latest: {name: x}}\n", "3:12: exporters is a list, such as [{latest: {name: exporter}}]",
      PIL_INVALID_ARGUMENT },
    { "exporters: [latest]\n", "3:13: an exporter is one kind with its arguments, such as {latest: {name: exporter}}",
      PIL_INVALID_ARGUMENT },
    { "exporters: [{last: {name: x}}]\n", "3:14: exporters has no argument 'last'; did you mean 'latest'?",
      PIL_INVALID_ARGUMENT },
    { "exporters: [{latest: {}}]\n", "3:22: latest needs 'name' (text)", PIL_INVALID_ARGUMENT },
    { "exporters: [{best: {name: null}}]\n", "3:27: an exporter needs a name", PIL_INVALID_ARGUMENT },
    { "exporters: [{final: {name: ..}}]\n", "3:28: an exporter's name becomes a folder's name: it cannot be '..'",
      PIL_INVALID_ARGUMENT },
    { "exporters: [{best: {metric: average_los}}]\n",
      "3:29: baseline_regressor has no metric 'average_los'; did you mean 'average_loss'?", PIL_INVALID_ARGUMENT },
    { "exporters: [{best: {metric: auc}}]\n", "3:29: baseline_regressor has no metric 'auc'", PIL_INVALID_ARGUMENT },
    { "exporters: [{latest: {name: a}}, {final: {name: a}}]\n", "3:34: two exporters have the name 'a'", PIL_INVALID_ARGUMENT },
    /* run */
    { "run: {save_checkpoints_steps: 3, save_checkpoints_secs: 3}\n",
      "3:57: save_checkpoints_steps and save_checkpoints_secs cannot both be given", PIL_INVALID_ARGUMENT },
    { "run: {session_config: {}}\n", "3:7: run has no argument 'session_config'", PIL_INVALID_ARGUMENT },
    { "run: {keep_checkpoints_max: 3}\n", "3:7: run has no argument 'keep_checkpoints_max'; did you mean 'keep_checkpoint_max'?",
      PIL_INVALID_ARGUMENT },
    { "run: {keep_checkpoint_every_n_hours: -1}\n", "3:38: keep_checkpoint_every_n_hours must be at least 0, not -1",
      PIL_INVALID_ARGUMENT },
    { "run: {tf_random_seed: -1}\n", "3:23: tf_random_seed must be at least 0, not -1", PIL_INVALID_ARGUMENT },
    { "run: {model_dir: [a]}\n", "3:18: model_dir takes a text, not a list", PIL_INVALID_ARGUMENT },
};

static void assert_wrong(const char *text, const char *error, pil_code code)
{
    pil_status status = { 0 };
    char expected[600];

    assert_null(load_with(text, NULL, 0, &status));
    snprintf(expected, sizeof expected, "m.yaml:%s", error);
    assert_string_equal(first_line(&status), expected);
    assert_int_equal(status.code, code);
}

static void test_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char text[600];
        snprintf(text, sizeof text, START "%s", wrong[i].text);
        assert_wrong(text, wrong[i].error, wrong[i].code);
    }
}

static void test_wrong_keys(void **state)
{
    (void)state;
    assert_wrong("estimator: baseline_regressor\n", "1:1: the model file needs 'label' (text)", PIL_INVALID_ARGUMENT);
    assert_wrong("estimator: baseline_regressor\nlabel:\n", "2:7: the model file needs 'label': it cannot be null",
                 PIL_INVALID_ARGUMENT);
    assert_wrong("estimator: baseline_regressor\nlabel: ''\n", "2:8: label is empty: name the field that is to be predicted",
                 PIL_INVALID_ARGUMENT);
    assert_wrong("label: y\n", "1:1: the model file needs 'estimator' (estimator)", PIL_INVALID_ARGUMENT);
    assert_wrong("estimator: sequential\nlayers: []\n", "1:12: estimator: sequential is not in this version", PIL_UNSUPPORTED);
    assert_wrong(
        "estimator: [a]\nlabel: y\n",
        "1:12: estimator takes linear_regressor, linear_classifier, dnn_regressor, dnn_classifier, "
        "dnn_linear_combined_regressor, dnn_linear_combined_classifier, baseline_regressor or baseline_classifier, not a list",
        PIL_INVALID_ARGUMENT);
}

/* Names and a header that agree, and characters that are easily mistaken. */
static void test_csv(void **state)
{
    struct model *model = load_well(START "input: {names: [a, b], delimiter: \\t, comment: null}\n");

    (void)state;
    assert_false(model->input.csv.header);
    assert_int_equal(model->input.csv.delimiter, '\t');
    assert_int_equal(model->input.csv.comment, 0);
    model_free(model);
    model = load_well(START "input: {header: false, names: [a, b], delimiter: null, shuffle: 0}\n");
    assert_int_equal(model->input.csv.delimiter, ',');
    assert_int_equal(model->input.shuffle, 0);
    model_free(model);
}

static int warnings;
static char warning[300];

static void take_line(void *context, pil_log_level level, const char *text)
{
    (void)context;
    if (level == PIL_LOG_WARNING)
        warnings++;
    snprintf(warning, sizeof warning, "%s", text);
}

/* What is read but has no effect yet is said, once. */
static void test_exporters_warn(void **state)
{
    (void)state;
    log_set(take_line, NULL);
    model_free(load_well(START "exporters: []\n"));
    assert_int_equal(warnings, 0);
    model_free(load_well(START "exporters: [{latest: {name: a}}, {best: {}}]\n"));
    log_set(NULL, NULL);
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(warning, "has no best exporter"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_wrong_keys),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_exporters_warn),
    };

    return cmocka_run_group_tests(tests, models_setup, models_teardown);
}
