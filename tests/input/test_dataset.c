/* SPDX-License-Identifier: Apache-2.0 */
/* Datasets of files: what their maker takes, refuses and copies; what all makers say about features. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "failing.h"
#include "input/input.h"

static void assert_refused(pil_dataset *dataset, const char *message)
{
    assert_non_null(dataset);
    pil_status status = pil_dataset_status(dataset);
    if (status.code != PIL_INVALID_ARGUMENT || strstr(status.message, message) == NULL)
        fail_msg("'%s' is not in '%s'", message, status.message);
    pil_dataset_free(dataset);
}

static void defaults(void **unused)
{
    (void)unused;
    pil_dataset *dataset = pil_csv_dataset(PIL_WORDS("a.csv", "b-*.csv"), 20);
    pil_status status = pil_dataset_status(dataset);
    assert_int_equal(status.code, PIL_OK);
    assert_int_equal(dataset->kind, DATASET_FILES);
    assert_int_equal(dataset->path_count, 2);
    assert_string_equal(dataset->paths[1], "b-*.csv");
    assert_true(dataset->csv.header && dataset->csv.delimiter == ',' && !dataset->csv.skip_bad);
    assert_int_equal(dataset->order.batch_size, 20);
    assert_int_equal(dataset->order.shuffle, 10000); /* make_csv_dataset's own */
    assert_int_equal(dataset->order.epochs, 0);
    assert_int_equal(dataset->seed, -1);
    assert_null(dataset->label);
    assert_false(dataset->cache);
    pil_dataset_free(dataset);
    pil_dataset_free(NULL);
}

/* Every argument arrives, as a copy. */
static void arguments(void **unused)
{
    (void)unused;
    char names[2][8] = { "a", "b" }, label[] = "b", path[] = "x.csv", format[] = "csv", by[] = "a";
    const char *columns[] = { names[0], names[1] }, *paths[] = { path };
    pil_csv_field field = { names[0], PIL_TYPE_INT64, '|', ':' };
    pil_dataset *dataset =
        pil_csv_dataset(((pil_words){ paths, 1 }), 7, .column_names = { columns, 2 }, .label_name = label,
                        .fields = { &field, 1 }, .field_delim = ';', .comment = '#', .num_epochs = 3, .shuffle = false,
                        .shuffle_seed = 11, .skip = 5, .ignore_errors = true, .format = format, .cache = true,
                        .cache_bytes = 1000, .max_values_per_row = 50, .split = 0.25, .split_held_out = true, .split_by = by);
    memset(names, '-', sizeof(names));
    memset(label, '-', sizeof(label) - 1);
    memset(path, '-', sizeof(path) - 1);
    memset(format, '-', sizeof(format) - 1);
    memset(by, '-', sizeof(by) - 1);
    pil_status status = pil_dataset_status(dataset);
    assert_int_equal(status.code, PIL_OK);
    assert_string_equal(dataset->paths[0], "x.csv");
    assert_int_equal(dataset->csv.name_count, 2);
    assert_string_equal(dataset->csv.names[1], "b");
    assert_true(!dataset->csv.header && dataset->csv.delimiter == ';' && dataset->csv.comment == '#' && dataset->csv.skip_bad);
    assert_string_equal(dataset->label, "b");
    assert_string_equal(dataset->format, "csv");
    assert_int_equal(dataset->order.batch_size, 7);
    assert_int_equal(dataset->order.epochs, 3);
    assert_int_equal(dataset->order.shuffle, 0);
    assert_int_equal(dataset->order.skip, 5);
    assert_int_equal(dataset->seed, 11);
    assert_true(dataset->cache && dataset->cache_bytes == 1000 && dataset->max_values_per_row == 50);
    assert_true(dataset->split.share == 0.25 && dataset->split.held_out);
    assert_string_equal(dataset->split.by, "a");
    const struct dataset_field *known = dataset_find(dataset, "a");
    assert_non_null(known);
    assert_true(known->typed && known->type == FIELD_INT64 && known->separator == '|' && known->weight_separator == ':');
    assert_true(known->ragged && !known->sized);
    assert_null(dataset_find(dataset, "b"));
    pil_dataset_free(dataset);
}

static void refusals(void **unused)
{
    (void)unused;
    const char *nothing[] = { NULL };
    assert_refused(pil_csv_dataset(((pil_words){ NULL, 0 }), 20), "pil_csv_dataset: file_pattern names no file");
    assert_refused(pil_csv_dataset(((pil_words){ nothing, 1 }), 20), "file_pattern: number 1 is NULL");
    assert_refused(pil_csv_dataset(PIL_WORDS("a", ""), 20), "file_pattern: number 2 is empty");
    assert_refused(pil_csv_dataset(PIL_WORDS("a"), 0), "batch_size is 0");
    assert_refused(pil_csv_dataset(PIL_WORDS("a"), 1, .num_epochs = -1), "num_epochs is -1");
    assert_refused(pil_csv_dataset(PIL_WORDS("a"), 1, .shuffle_seed = -2), "shuffle_seed is -2");
    assert_refused(pil_csv_dataset(PIL_WORDS("a"), 1, .shuffle_buffer_size = 0), "shuffle_buffer_size is 0");
    assert_refused(pil_csv_dataset(PIL_WORDS("a"), 1, .skip = -1), "skip is -1");
    assert_refused(pil_csv_dataset(PIL_WORDS("a"), 1, .cache = true, .cache_bytes = 0), "cache_bytes is 0");
    assert_refused(pil_csv_dataset(PIL_WORDS("a"), 1, .max_values_per_row = 0), "max_values_per_row is 0");
    assert_refused(pil_csv_dataset(PIL_WORDS("a"), 1, .split = 1.5), "split is 1.5");
    assert_refused(pil_csv_dataset(PIL_WORDS("a"), 1, .fields = { NULL, 1 }), "fields is NULL");
    assert_refused(pil_csv_dataset(PIL_WORDS("a"), 1, .fields = PIL_CSV_FIELDS({ "x", .separator = '|' }, { "x" })),
                   "there are two features 'x'");
    assert_refused(pil_csv_dataset(PIL_WORDS("a"), 1, .fields = PIL_CSV_FIELDS({ NULL })), "feature number 1 has no name");
    assert_refused(pil_csv_dataset(PIL_WORDS("a"), 1, .fields = PIL_CSV_FIELDS({ "x", (pil_feature_type)9 })), "has the type 9");
    /* A size that does not matter is not looked at. */
    pil_dataset *dataset = pil_csv_dataset(PIL_WORDS("a"), 1, .shuffle = false, .shuffle_buffer_size = 0);
    pil_status status = pil_dataset_status(dataset);
    assert_int_equal(status.code, PIL_OK);
    pil_dataset_free(dataset);
}

static void memory_runs_out(void **unused)
{
    (void)unused;
    int64_t n = 0;
    for (bool reached = true; reached; n++) {
        failing_start(n, false);
        pil_dataset *dataset = pil_csv_dataset(PIL_WORDS("a", "b"), 1, .column_names = PIL_WORDS("x", "y"), .label_name = "y",
                                               .fields = PIL_CSV_FIELDS({ "x", PIL_TYPE_FLOAT32 }));
        assert_non_null(dataset);
        pil_status status = pil_dataset_status(dataset);
        pil_dataset_free(dataset);
        assert_int_equal(failing_live, 0);
        reached = failing_stop();
        assert_int_equal(status.code, reached ? PIL_NO_MEMORY : PIL_OK);
    }
    assert_true(n > 3);
    assert_int_equal(pil_dataset_status(NULL).code, PIL_NO_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(arguments),
        cmocka_unit_test(refusals),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
