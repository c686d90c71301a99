/* SPDX-License-Identifier: Apache-2.0 */
/* A program that was written and read again makes the same records; a file that is no program is told with its line. */
#include "columns.h"
#include "failing.h"
#include "scratch.h"

#include <math.h>

static bool write_asset(void *context, const char *path, const void *data, size_t bytes, pil_status *status)
{
    int *count = context;
    (void)status;
    scratch_write(scratch_path(path), data, bytes);
    *count += 1;
    return true;
}

static bool refuse(void *context, const char *path, pil_status *status)
{
    (void)context;
    return status_fail(status, PIL_BAD_DATA, "%s is not wanted", path);
}

static bool accept(void *context, const char *path, pil_status *status)
{
    (void)context, (void)path, (void)status;
    return true;
}

static struct text saved(const struct program *program, int *assets)
{
    pil_status status = OK_STATUS;
    struct text text = { 0 };
    *assets = 0;
    program_save(program, &(struct program_assets){ .write = write_asset, .context = assets }, &text, &status);
    ASSERT_OK(status);
    return text;
}

static bool load(struct slice text, const struct program_assets *assets, struct program_file *file, pil_status *status)
{
    struct flow_reader reader = { .rest = text, .file = "predict.graph" };
    return program_load(&reader, scratch_folder, assets, file, status);
}

/* As when predicting: the source has neither labels nor weights. */
static struct ran run_without_label(struct program *program, const char *const *names, size_t width, const char *const *cells,
                                    size_t rows)
{
    struct ran ran = run_rows(program, names, width, cells, rows);
    for (size_t f = 0; f < ran.fields->count; f++)
        ran.fields->fields[f].absent = !ran.fields->fields[f].spec->required;
    ran.status = OK_STATUS;
    records_clear(&ran.records);
    program_run(program, ran.fields, 0, (int64_t)rows, ran.scratch, &ran.records, &ran.status);
    return ran;
}

/* Both programs run over the rows: same words, same lists, same definitions. */
static void check_same(struct program *first, const struct program *again, const char *const *names, size_t width,
                       const char *const *cells, size_t rows)
{
    struct ran a = run_without_label(first, names, width, cells, rows);
    struct ran b = run_rows((struct program *)again, names, width, cells, rows);
    ASSERT_OK(a.status);
    ASSERT_OK(b.status);
    size_t words = program_record_words(first);
    assert_int_equal(program_record_words(again), words);
    assert_memory_equal(a.records.words, b.records.words, words * rows * sizeof(int32_t));
    assert_int_equal(a.records.ragged_count, b.records.ragged_count);
    for (size_t i = 0; i < a.records.ragged_count; i++) {
        const struct sparse_builder *x = &a.records.ragged[i], *y = &b.records.ragged[i];
        assert_int_equal(x->entries, y->entries);
        assert_memory_equal(x->offsets, y->offsets, (rows + 1) * sizeof(int64_t));
        if (x->entries)
            assert_memory_equal(x->ids, y->ids, (size_t)x->entries * sizeof(int32_t));
        assert_int_equal(x->weights != NULL, y->weights != NULL);
        if (x->weights)
            assert_memory_equal(x->weights, y->weights, (size_t)x->entries * sizeof(float));
    }
    const char *const *a_names, *const *b_names;
    const uint64_t *a_hashes, *b_hashes;
    size_t count = program_definitions(first, &a_names, &a_hashes);
    assert_int_equal(program_definitions(again, &b_names, &b_hashes), count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(a_names[i], b_names[i]);
        assert_int_equal(a_hashes[i], b_hashes[i]);
    }
    a.program = b.program = NULL;
    ran_free(&a);
    ran_free(&b);
}

/* Every kind, as made in C: names that are taken twice, crosses of crosses and of raw fields, words that need quotes. */
static struct program *every_kind(pil_columns *c)
{
    static const char words[] = "one\ntwo\xFF\nthree, with a comma\r\nfour\r\r\n";
    pil_status status = OK_STATUS;
    const char *days[] = { "Mon", "a, \"b\"", "null", "", "\xC3\xA9t\xC3\xA9\n" }, *codes[] = { "7", "-5", "12" };
    float edges[] = { -1e30f, 0.1f, 2.5f, INFINITY }, defaults[] = { 0.5f, -0.25f };
    mkdir(scratch_path("assets"), 0777);
    scratch_write(scratch_path("words.txt"), words, sizeof words - 1);

    pil_column *x = pil_numeric_column(c, "x", .normalizer_fn = { .subtract = 0.1f, .divide = 3 });
    pil_column *pair = pil_numeric_column(c, "pair", .shape = { 2 }, .default_value.items = defaults, .default_value.count = 2);
    pil_column *bucket = pil_bucketized_column(c, x, edges, 4);
    pil_column *hour = pil_categorical_column_with_identity(c, "hour", 24, .default_value = 3);
    pil_column *carrier = pil_categorical_column_with_hash_bucket(c, "carrier", 50);
    pil_column *day = pil_categorical_column_with_vocabulary_list(c, "day", days, 5, .num_oov_buckets = 2);
    pil_column *other_day = pil_categorical_column_with_vocabulary_list(c, "day", days, 2, .default_value = 1);
    pil_column *code = pil_categorical_column_with_vocabulary_list(c, "code", codes, 3, .dtype = "int64");
    pil_column *file = pil_categorical_column_with_vocabulary_file(c, "word/s", scratch_path("words.txt"), .vocabulary_size = 4);
    pil_column *inner = pil_crossed_column(c, ((pil_keys){ (pil_column *[]){ hour, pil_key(c, "carrier") }, 2 }), 100);
    pil_column *outer =
        pil_crossed_column(c, ((pil_keys){ (pil_column *[]){ inner, pil_key(c, "day"), bucket, day }, 4 }), 1000, .hash_key = -5);
    pil_column *weighted = pil_weighted_categorical_column(c, carrier, "weight");
    pil_column *all[] = { outer, day, other_day, x, file, weighted, code, pair, inner, bucket };
    pil_status made = pil_columns_status(c);
    ASSERT_OK(made);
    struct program *program = program_new(&(struct program_options){ .max_values_per_row = 77 }, &status);
    program_target(program, &(struct program_target){ .field = "label", .width = 3 }, &status);
    program_dense(program, "raw", 2, &status);
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (column_is_categorical(all[i]))
            program_feature(program, all[i], &status);
        else
            program_numbers(program, all[i], &status);
        if (i == 4)
            program_target(program, &(struct program_target){ .field = "row_weight", .width = 1 }, &status);
    }
    state_field(program, "pair", FIELD_FLOAT, '|');
    state_field(program, "raw", FIELD_FLOAT, ' ');
    state_field(program, "word/s", FIELD_STRING, '"');
    ASSERT_OK(status);
    assert_true(program_finish(program, &status));
    return program;
}

static const char *const names[] = { "x", "pair", "hour", "carrier", "day", "code", "word/s", "weight", "raw" };
static const char *const cells[] = {
    "0.5",
    "1|2",
    "7",
    "AA",
    "Mon",
    "7",
    "one\"nine\"two\xFF",
    "0.5",
    "1 2",
    "-7",
    NULL,
    "99",
    "",
    "a, \"b\"",
    "-5",
    "three, with a comma",
    "2",
    "3 4",
    "1e20",
    "3|-4",
    NULL,
    "BB",
    "other",
    "13",
    "four\r",
    "1",
    "5 6",
    "nan",
    "0|0",
    "0",
    "CC",
    "\xC3\xA9t\xC3\xA9\n",
    NULL,
    NULL,
    "0",
    "-1e-30 1e30",
};

static void test_every_kind(void **state)
{
    pil_columns *c = pil_columns_new();
    struct program *program = every_kind(c);
    struct program_file file;
    pil_status status = OK_STATUS;
    int assets;
    size_t count;

    (void)state;
    struct text text = saved(program, &assets);
    assert_int_equal(assets, 1);
    if (!load(slice_of(text.data, text.size), NULL, &file, &status))
        fail_msg("%s in\n%s", status.message, text.data);
    check_same(program, file.program, names, COUNT_OF(names), cells, COUNT_OF(cells) / COUNT_OF(names));
    assert_int_equal(program_number_count(file.program), program_number_count(program));
    program_fields(file.program, &count);
    assert_int_equal(count, COUNT_OF(names)); /* neither label nor row_weight */

    struct text twice = saved(file.program, &assets);
    assert_string_equal(twice.data, text.data);
    text_free(&twice);
    text_free(&text);
    program_file_free(&file);
    program_free(program);
    pil_columns_free(c);
}

static void test_model_file(void **state)
{
    static const char yaml[] = "dow: {categorical_column_with_vocabulary_list: {key: day, vocabulary_list: [1, 2, 3]}}\n"
                               "age: {numeric_column: {default_value: 7}}\n"
                               "ages: {bucketized_column: {source_column: age, boundaries: {linspace: [0, 1, 7]}}}\n"
                               "both: {crossed_column: {keys: [dow, ages, day], hash_bucket_size: 30}}\n";
    static const char *const fields[] = { "day", "age" }, *const rows[] = { "1", "0.3", "9", NULL, "2", "1" };
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    struct column_set *set = column_set_new(yaml_value(yaml, arena), "", &status);
    pil_column *all[3];
    struct program_file file;
    int assets;

    (void)state;
    ASSERT_OK(status);
    all[0] = column_set_get(set, slice_text("both"), NULL, &status);
    all[1] = column_set_get(set, slice_text("dow"), NULL, &status);
    all[2] = column_set_get(set, slice_text("age"), NULL, &status);
    struct program *program = program_of(all, 3, NULL);
    assert_true(program_finish(program, &status));
    struct text text = saved(program, &assets);
    assert_non_null(strstr(text.data, "column {name: dow,"));
    if (!load(slice_of(text.data, text.size), NULL, &file, &status))
        fail_msg("%s in\n%s", status.message, text.data);
    check_same(program, file.program, fields, 2, rows, 3);
    program_file_free(&file);
    program_free(program);
    text_free(&text);
    column_set_free(set);
    arena_free(arena);
}

static void test_no_utf8(void **state)
{
    const char *words[] = { "good", "b\xE9"
                                    "d" };
    pil_status status = OK_STATUS;
    pil_columns *c = pil_columns_new();
    pil_column *word = pil_categorical_column_with_vocabulary_list(c, "w", words, 2);
    struct program *program = program_of(&word, 1, NULL);
    struct text text = { 0 };

    (void)state;
    assert_true(program_finish(program, &status));
    assert_false(program_save(program, &(struct program_assets){ 0 }, &text, &status));
    assert_int_equal(status.code, PIL_UNSUPPORTED);
    ASSERT_TEXT(status, "is not UTF-8");
    text_free(&text);
    program_free(program);
    pil_columns_free(c);
}

/* ---- damage -------------------------------------------------------------------------------------------------- */

static const char small_text[] =
    "columns {version: 1, max_values_per_row: 10, tf_dense: false}\n"
    "field {name: h, type: int64, separator: \"\", weight_separator: \"\"}\n"
    "column {name: h, kind: categorical_column_with_identity, args: {key: h, num_buckets: 24, default_value: -1}}\n"
    "column {name: w, kind: categorical_column_with_vocabulary_file, args: {key: w, vocabulary_file: assets/w_vocabulary.txt}}\n"
    "column {name: x, kind: numeric_column, args: {key: x}}\n"
    "column {name: c, kind: crossed_column, args: {keys: [h, f], hash_bucket_size: 9}}\n"
    "feature {column: h}\n"
    "feature {column: w}\n"
    "feature {column: c}\n"
    "numbers {column: x, first: 2}\n"
    "dense {field: r, width: 2, first: 3}\n"
    "end {width: 7}\n";

static const struct damage {
    const char *from, *to, *says;
    pil_code code;
} damages[] = {
    { "version: 1", "version: 3", "version 3; this library reads version 1", PIL_UNSUPPORTED },
    { "columns {version: 1, max_values_per_row: 10, tf_dense: false}\n", "", "columns should begin here", PIL_BAD_DATA },
    { "end {width: 7}\n", "", "no end", PIL_BAD_DATA },
    { "end {width: 7}", "end {width: 4}", "each other's place", PIL_BAD_DATA },
    { "end {width: 7}", "end {width: 4294967296}", "each other's place", PIL_BAD_DATA },
    { "first: 3}", "first: 2}", "each other's place", PIL_BAD_DATA },
    { "first: 2}", "first: -1}", "each other's place", PIL_BAD_DATA },
    { "width: 2,", "width: 9223372036854775807,", "wider than", PIL_UNSUPPORTED },
    { "width: 2,", "width: 0,", "with 0 numbers", PIL_BAD_DATA },
    { "max_values_per_row: 10", "max_values_per_row: -1", "from 1 to", PIL_BAD_DATA },
    { "type: int64", "type: int63", "did you mean", PIL_BAD_DATA },
    { "separator: \"\"", "separator: \"ab\"", "one character", PIL_BAD_DATA },
    { "kind: numeric_column", "kind: numeric_colum", "did you mean 'numeric_column'", PIL_BAD_DATA },
    { "column {name: x", "column {name: h", "is there already", PIL_BAD_DATA },
    { "feature {column: c}", "feature {column: d}", "there is no column 'd'", PIL_BAD_DATA },
    { "feature {column: c}", "feature {column: x}", "is not categorical", PIL_BAD_DATA },
    { "feature {column: c}", "feature {column: [c]}", "a column is missing", PIL_BAD_DATA },
    { "numbers {column: x", "numbers {column: h", "is no numeric_column", PIL_BAD_DATA },
    { "keys: [h, f]", "keys: [h, c]", "made of itself", PIL_BAD_DATA },
    { "keys: [h, f]", "keys: [h]", "at least two", PIL_BAD_DATA },
    { "num_buckets: 24", "num_buckets: 99999999999", "from 1 to", PIL_BAD_DATA },
    { "assets/w_voc", "/etc/w_voc", "no file of the folder assets", PIL_BAD_DATA },
    { "assets/w_voc", "assets/../w_voc", "no file of the folder assets", PIL_BAD_DATA },
    { "assets/w_voc", "assets/.w_voc", "no file of the folder assets", PIL_BAD_DATA },
    { "assets/w_voc", "assets/v_voc", "v_vocabulary.txt", PIL_NOT_FOUND },
    { "args: {key: x}", "args: 5", "map of arguments", PIL_BAD_DATA },
    { "dense {", "dence {", "does not stand here", PIL_BAD_DATA },
};

static void test_damage(void **state)
{
    struct program_file file;

    (void)state;
    mkdir(scratch_path("assets"), 0777);
    scratch_write(scratch_path("assets/w_vocabulary.txt"), "a\nb\n", 4);
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        const struct damage *damage = &damages[i];
        pil_status status = OK_STATUS;
        struct text text = { 0 };
        const char *at = strstr(small_text, damage->from);
        assert_non_null(at);
        text_append(&text, small_text, (size_t)(at - small_text));
        text_append_text(&text, damage->to);
        text_append_text(&text, at + strlen(damage->from));
        assert_false(load(slice_of(text.data, text.size), NULL, &file, &status));
        if (!strstr(status.message, damage->says) || status.code != damage->code)
            fail_msg("case %zu: '%s' (%d) says nothing of '%s'", i, status.message, (int)status.code, damage->says);
        text_free(&text);
    }
    pil_status status = OK_STATUS;
    assert_false(load(slice_text(small_text), &(struct program_assets){ .check = refuse }, &file, &status));
    assert_string_equal(status.message, "assets/w_vocabulary.txt is not wanted");
    status = OK_STATUS;
    assert_true(load(slice_text(small_text), &(struct program_assets){ .check = accept }, &file, &status));
    assert_int_equal(program_number_count(file.program), 7);
    program_file_free(&file);
}

static void test_flipped_bytes(void **state)
{
    static const char bytes[] = "09-.,:[]{}\"\\x \n\t\x80";
    char *copy = malloc(sizeof small_text);

    (void)state;
    for (size_t size = 0; size < sizeof small_text - 1; size++) {
        pil_status status = OK_STATUS;
        struct program_file file;
        assert_false(load(slice_of(small_text, size), NULL, &file, &status));
        assert_false(status_ok(&status));
    }
    for (size_t i = 0; i < sizeof small_text - 1; i++)
        for (size_t b = 0; b < sizeof bytes; b++) {
            pil_status status = OK_STATUS;
            struct program_file file;
            memcpy(copy, small_text, sizeof small_text);
            copy[i] = bytes[b];
            bool worked = load(slice_of(copy, sizeof small_text - 1), NULL, &file, &status);
            assert_int_equal(worked, status_ok(&status));
            if (worked)
                program_file_free(&file);
        }
    free(copy);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = OK_STATUS;
        struct program_file file;
        struct text text = { 0 };
        int assets = 0;
        failing_start(n, false);
        bool worked = load(slice_text(small_text), NULL, &file, &status);
        if (worked) {
            worked =
                program_save(file.program, &(struct program_assets){ .write = write_asset, .context = &assets }, &text, &status);
            program_file_free(&file);
        }
        text_free(&text);
        assert_int_equal(atomic_load(&failing_live), 0);
        if (!failing_stop())
            break;
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind), cmocka_unit_test(test_model_file),    cmocka_unit_test(test_no_utf8),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_flipped_bytes), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
