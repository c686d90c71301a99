/* SPDX-License-Identifier: Apache-2.0 */
/* Programs: what is asked twice, where things stand in a record, definitions that change with every argument. */
#include "columns.h"
#include "failing.h"

static void requests(void **state)
{
    (void)state;
    static const char *const words[] = { "no", "yes" }, *const others[] = { "yes", "no" };
    const float b[] = { 1 };
    pil_columns *c = pil_columns_new();
    pil_column *x = pil_numeric_column(c, "x", .shape = { 2 }), *y = pil_numeric_column(c, "y");
    pil_column *k = pil_categorical_column_with_identity(c, "k", 7), *h = pil_categorical_column_with_hash_bucket(c, "h", 9);
    pil_column *xb = pil_bucketized_column(c, x, b, 1);
    pil_status status = OK_STATUS;
    struct program *program = program_new(&(struct program_options){ 0 }, &status);

    assert_int_equal(program_numbers(program, x, &status), 0);
    assert_int_equal(program_numbers(program, y, &status), 2);
    assert_int_equal(program_feature(program, k, &status), 0);
    assert_int_equal(program_feature(program, xb, &status), 1);
    assert_int_equal(program_feature(program, h, &status), 2);
    assert_int_equal(program_feature(program, k, &status), 0);
    assert_int_equal(program_numbers(program, x, &status), 0);
    struct program_target late = { .field = "late", .width = 1, .classes = 2 },
                          word = { .field = "word", .width = 1, .vocabulary = words, .vocabulary_count = 2, .classes = 2 };
    assert_int_equal(program_target(program, &late, &status), 3);
    assert_int_equal(program_target(program, &word, &status), 4);
    assert_int_equal(program_target(program, &late, &status), 3);
    assert_int_equal(program_target(program, &word, &status), 4);
    word.vocabulary = others;
    assert_int_equal(program_target(program, &word, &status), 5);
    late.classes = 0; /* says nothing: what there is */
    assert_int_equal(program_target(program, &late, &status), 3);
    late.classes = 3;
    assert_int_equal(program_target(program, &late, &status), 6);
    assert_int_equal(program_feature_count(program), 3);
    assert_int_equal(program_number_count(program), 7);
    assert_int_equal(program_feature_limit(program, 1), 4);
    assert_ptr_equal(program_feature_column(program, 2), h);
    assert_true(program_finish(program, &status));
    assert_true(program_finish(program, &status));
    assert_false(program_feature_ragged(program, 0));
    assert_true(program_feature_ragged(program, 1));
    assert_int_equal(program_ragged_count(program), 1);
    assert_int_equal(program_record_words(program), 9);
    /* A finished program answers what it was asked before, and nothing else. */
    assert_int_equal(program_feature(program, k, &status), 0);
    assert_int_equal(program_feature(program, pil_categorical_column_with_identity(c, "z", 7), &status), -1);
    assert_int_equal(status.code, PIL_INTERNAL);
    program_free(program);
    pil_columns_free(c);
}

static void wrong_requests(void **state)
{
    (void)state;
    static const char *const twice[] = { "a", "a" };
    pil_columns *c = pil_columns_new();
    pil_column *x = pil_numeric_column(c, "x"), *k = pil_categorical_column_with_identity(c, "k", 7);
    pil_status status = OK_STATUS;
    struct program *program = program_new(&(struct program_options){ 0 }, &status);

    assert_int_equal(program_feature(program, x, &status), -1);
    ASSERT_TEXT(status, "column 'x' is not categorical");
    status = OK_STATUS;
    assert_int_equal(program_numbers(program, k, &status), -1);
    ASSERT_TEXT(status, "column 'k' is no numeric_column");
    status = OK_STATUS;
    assert_int_equal(program_target(program, &(struct program_target){ .field = "y" }, &status), -1);
    status = OK_STATUS;
    assert_int_equal(
        program_target(program, &(struct program_target){ .field = "y", .width = 1, .vocabulary = twice, .vocabulary_count = 2 },
                       &status),
        -1);
    ASSERT_TEXT(status, "the vocabulary of 'y' has 'a' twice");
    status = OK_STATUS;
    assert_int_equal(program_target(program, &(struct program_target){ .field = "y", .width = (int64_t)1 << 40 }, &status), -1);
    assert_int_equal(status.code, PIL_UNSUPPORTED);
    status = OK_STATUS;
    assert_null(program_scratch_new(program, &status));
    program_free(program);
    status = OK_STATUS;
    assert_null(program_new(&(struct program_options){ .max_values_per_row = -1 }, &status));
    ASSERT_TEXT(status, "max_values_per_row is -1");
    pil_columns_free(c);
}

static uint64_t definition_of(pil_column *column, bool tf_dense, int type)
{
    struct program *program = program_of(&column, 1, &(struct program_options){ .tf_dense = tf_dense });
    pil_status status = OK_STATUS;
    const char *const *names;
    const uint64_t *hashes;

    if (type >= 0)
        state_field(program, "k", type, 0);
    assert_true(program_finish(program, &status));
    assert_int_equal(program_definitions(program, &names, &hashes), 1);
    assert_string_equal(names[0], pil_column_name(column));
    uint64_t hash = hashes[0];
    program_free(program);
    return hash;
}

/* Each of these differs from all others in something that changes ids or numbers. */
static void definitions_differ(void **state)
{
    (void)state;
    static const char *const ab[] = { "a", "b" }, *const ba[] = { "b", "a" }, *const one[] = { "ab" },
                             *const digits[] = { "1", "2" };
    const float b[] = { 1, 2 };
    pil_columns *c = pil_columns_new();
    pil_column *k = pil_categorical_column_with_identity(c, "k", 7), *raw = pil_key(c, "k"), *z = pil_key(c, "z");
    pil_column *columns[] = {
        pil_numeric_column(c, "k"),
        pil_numeric_column(c, "z"),
        pil_numeric_column(c, "k", .shape = { 2 }),
        pil_numeric_column(c, "k", .default_value = PIL_FLOATS(0)),
        pil_numeric_column(c, "k", .default_value = PIL_FLOATS(1)),
        pil_numeric_column(c, "k", .normalizer_fn = { 1, 1 }),
        pil_numeric_column(c, "k", .normalizer_fn = { 0, 2 }),
        pil_bucketized_column(c, pil_numeric_column(c, "k"), b, 1),
        pil_bucketized_column(c, pil_numeric_column(c, "k"), b, 2),
        pil_bucketized_column(c, pil_numeric_column(c, "k", .normalizer_fn = { 1, 1 }), b, 2),
        k,
        pil_categorical_column_with_identity(c, "k", 8),
        pil_categorical_column_with_identity(c, "k", 8, .default_value = 0),
        pil_categorical_column_with_hash_bucket(c, "k", 7),
        pil_categorical_column_with_hash_bucket(c, "k", 8),
        pil_categorical_column_with_vocabulary_list(c, "k", ab, 2),
        pil_categorical_column_with_vocabulary_list(c, "k", ba, 2),
        pil_categorical_column_with_vocabulary_list(c, "k", one, 1),
        pil_categorical_column_with_vocabulary_list(c, "k", ab, 2, .default_value = 0),
        pil_categorical_column_with_vocabulary_list(c, "k", ab, 2, .num_oov_buckets = 1),
        pil_categorical_column_with_vocabulary_list(c, "k", digits, 2),
        pil_categorical_column_with_vocabulary_list(c, "k", digits, 2, .dtype = "int64"),
        pil_weighted_categorical_column(c, k, "w"),
        pil_weighted_categorical_column(c, k, "v"),
        pil_crossed_column(c, PIL_KEYS(k, z), 9),
        pil_crossed_column(c, PIL_KEYS(raw, z), 9),
        pil_crossed_column(c, PIL_KEYS(z, raw), 9),
        pil_crossed_column(c, PIL_KEYS(raw, z), 10),
        pil_crossed_column(c, PIL_KEYS(raw, z), 9, .hash_key = 1),
    };
    enum { COUNT = COUNT_OF(columns) };
    uint64_t hashes[COUNT + 3];

    for (size_t i = 0; i < COUNT; i++)
        hashes[i] = definition_of(columns[i], false, -1);
    hashes[COUNT] = definition_of(columns[COUNT - 1], true, -1);
    hashes[COUNT + 1] = definition_of(columns[COUNT - 1], false, FIELD_INT64);
    hashes[COUNT + 2] = definition_of(pil_categorical_column_with_hash_bucket(c, "k", 7), false, FIELD_INT64);
    for (size_t i = 0; i < COUNT_OF(hashes); i++)
        for (size_t j = 0; j < i; j++)
            if (hashes[i] == hashes[j])
                fail_msg("definitions %zu and %zu have one hash", j, i);
    /* The same definition has the same hash; the default hash_key, written out, is the same definition. */
    pil_columns *again = pil_columns_new();
    assert_true(hashes[19] ==
                definition_of(pil_categorical_column_with_vocabulary_list(again, "k", ab, 2, .num_oov_buckets = 1), false, -1));
    assert_true(hashes[25] == definition_of(pil_crossed_column(again, PIL_KEYS(pil_key(again, "k"), pil_key(again, "z")), 9,
                                                               .hash_key = 0xDECAFCAFFE),
                                            false, -1));
    /* It is for checkpoints: it must stay what it is from version to version. */
    static const char text[] = "categorical_column_with_hash_bucket{field k string 0 0 buckets 8}";
    assert_true(hashes[14] == fingerprint64(text, sizeof text - 1));
    pil_columns_free(again);
    pil_columns_free(c);
}

/* A label's vocabulary is part of the model too. */
static void definition_of_label(void **state)
{
    (void)state;
    static const char *const words[] = { "no", "yes" }, *const others[] = { "yes", "no" };
    uint64_t hash[2];

    for (int i = 0; i < 2; i++) {
        pil_status status = OK_STATUS;
        struct program *program = program_new(&(struct program_options){ 0 }, &status);
        const char *const *names;
        const uint64_t *hashes;
        program_target(program, &(struct program_target){ "late", 1, i == 0 ? words : others, 2, 2 }, &status);
        assert_true(program_finish(program, &status));
        assert_int_equal(program_definitions(program, &names, &hashes), 1);
        assert_string_equal(names[0], "late");
        hash[i] = hashes[0];
        program_free(program);
    }
    assert_true(hash[0] != hash[1]);
}

/* A label that is asked for before the head that knows its classes; a raw field beside it. */
static void words_come_later(void **state)
{
    (void)state;
    static const char *const words[] = { "no", "yes" }, *const others[] = { "no", "maybe" }, *const twice[] = { "a", "a" };
    pil_status status = { 0 };
    struct program *program = program_new(&(struct program_options){ 0 }, &status);
    const struct program_target late = { .field = "late", .width = 1 }, known = { "late", 1, words, 2, 2 };
    assert_int_equal(program_target(program, &late, &status), 0);
    assert_int_equal(program_dense(program, "raw", 9, &status), 1);
    assert_int_equal(program_dense(program, "late", 1, &status), 10); /* not the label: every row must have it */
    assert_int_equal(program_dense(program, "raw", 9, &status), 1);
    assert_false(program_target_words(program, 0, twice, 2, 2, &status));
    ASSERT_TEXT(status, "the vocabulary of 'late' has 'a' twice");
    status = OK_STATUS;
    assert_false(program_target_words(program, 1, words, 2, 2, &status));
    assert_int_equal(status.code, PIL_INTERNAL);
    status = OK_STATUS;
    assert_true(program_target_words(program, 0, words, 2, 2, &status));
    assert_true(program_target_words(program, 0, words, 2, 2, &status));
    assert_false(program_target_words(program, 0, others, 2, 2, &status));
    ASSERT_TEXT(status, "the label 'late' has 2 classes and a vocabulary, and is asked for with 2 and another vocabulary");
    status = OK_STATUS;
    assert_false(program_target_words(program, 0, NULL, 0, 3, &status));
    ASSERT_TEXT(status, "the label 'late' has 2 classes and a vocabulary, and is asked for with 3");
    status = OK_STATUS;
    assert_int_equal(program_target(program, &late, &status), 0);
    assert_int_equal(program_target(program, &known, &status), 0);
    assert_int_equal(program_number_count(program), 11);

    /* As words the label's field is text, and so no number for a model function. */
    assert_false(program_finish(program, &status));
    ASSERT_TEXT(status, "field 'late' is read as string by 'late' and as float32 by 'late'");
    program_free(program);
    status = OK_STATUS;

    program = program_new(&(struct program_options){ 0 }, &status);
    assert_int_equal(program_target(program, &late, &status), 0);
    assert_true(program_finish(program, &status));
    assert_true(program_target_words(program, 0, NULL, 0, 0, &status));
    assert_false(program_target_words(program, 0, NULL, 0, 2, &status));
    assert_int_equal(status.code, PIL_INTERNAL);
    program_free(program);
}

/* What a dataset says of its fields. */
static void datasets_state_fields(void **state)
{
    (void)state;
    static const float numbers[18] = { 0 };
    static const int64_t ids[2] = { 1, 2 };
    pil_dataset *dataset = pil_dataset_from_arrays(
        PIL_ARRAYS({ "raw", .floats = numbers, .rows = 2, .shape = { 9 } }, { "id", .ints = ids, .rows = 2 }), false);
    pil_status status = pil_dataset_status(dataset);
    struct program *program = program_new(&(struct program_options){ 0 }, &status);
    size_t count;
    assert_int_equal(program_dense(program, "raw", 9, &status), 0);
    assert_int_equal(program_dense(program, "id", 1, &status), 9);
    assert_true(program_dataset(program, dataset, &status));
    assert_true(program_finish(program, &status));
    const struct field_spec *fields = program_fields(program, &count);
    assert_int_equal(count, 2);
    assert_int_equal(fields[0].type, FIELD_FLOAT);
    assert_true(fields[0].separator != 0 && fields[0].required);
    assert_int_equal(fields[1].type, FIELD_INT64);
    assert_int_equal(fields[1].separator, 0);
    program_free(program);

    pil_dataset *files = pil_csv_dataset(PIL_WORDS("a.csv"), 10, .fields = PIL_CSV_FIELDS({ "raw", .separator = ';' }));
    status = pil_dataset_status(files);
    program = program_new(&(struct program_options){ 0 }, &status);
    assert_int_equal(program_dense(program, "raw", 9, &status), 0);
    assert_true(program_dataset(program, files, &status));
    assert_true(program_finish(program, &status));
    fields = program_fields(program, &count);
    assert_int_equal(fields[0].type, FIELD_FLOAT);
    assert_int_equal(fields[0].separator, ';');
    program_free(program);
    pil_dataset_free(files);
    pil_dataset_free(dataset);
}

static void memory(void **state)
{
    (void)state;
    static const char *const words[] = { "a", "b" };
    const float b[] = { 1 };
    pil_columns *c = pil_columns_new();
    pil_column *k = pil_categorical_column_with_vocabulary_list(c, "k", words, 2), *x = pil_numeric_column(c, "x");
    pil_column *cross = pil_crossed_column(c, PIL_KEYS(k, pil_key(c, "tags"), pil_bucketized_column(c, x, b, 1)), 9);
    pil_column *columns[] = { k, x, cross,
                              pil_weighted_categorical_column(c, pil_categorical_column_with_hash_bucket(c, "tags", 5), "w") };

    for (int64_t n = 0;; n++) {
        pil_status status = OK_STATUS;
        failing_start(n, false);
        struct program *program = program_new(&(struct program_options){ 0 }, &status);
        if (program) {
            for (size_t i = 0; i < COUNT_OF(columns); i++)
                if (column_is_categorical(columns[i]))
                    program_feature(program, columns[i], &status);
                else
                    program_numbers(program, columns[i], &status);
            program_target(program, &(struct program_target){ "y", 1, words, 2, 2 }, &status);
            program_field(program, &(struct field_spec){ "tags", FIELD_STRING, '|', ':', true }, &status);
            if (program_finish(program, &status))
                program_scratch_free(program_scratch_new(program, &status));
        }
        program_free(program);
        bool reached = failing_stop();
        assert_int_equal(failing_live, 0);
        assert_int_equal(status.code, reached ? PIL_NO_MEMORY : PIL_OK);
        if (!reached)
            break;
    }
    pil_columns_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(wrong_requests),
        cmocka_unit_test(memory),
        cmocka_unit_test(definitions_differ),
        cmocka_unit_test(words_come_later),
        cmocka_unit_test(datasets_state_fields),
        cmocka_unit_test(definition_of_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
