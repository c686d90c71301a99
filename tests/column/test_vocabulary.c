/* SPDX-License-Identifier: Apache-2.0 */
/* Vocabularies: TensorFlow's ids, spare buckets, files with odd lines, errors that name the word. */
#include "columns.h"
#include "failing.h"

/* One case of categorical_columns.json: a list column over a field of lists. */
static void check_case(const struct json_value *item, struct arena *arena)
{
    struct json_value list = golden_get(item, "vocabulary_list"), dtype = { 0 };
    bool is_integer = json_get(item, "dtype", &dtype) && slice_is(dtype.text, "int64");
    pil_columns *c = pil_columns_new();
    pil_column *column = pil_categorical_column_with_vocabulary_list(
        c, "k", golden_words(&list, arena), list.count, .dtype = is_integer ? "int64" : NULL,
        .default_value = golden_integer(item, "default_value", -1),
        .num_oov_buckets = golden_integer(item, "num_oov_buckets", 0));
    golden_check_column(column, is_integer, item, arena);
    pil_columns_free(c);
}

static void golden_ids(void **state)
{
    (void)state;
    assert_int_equal(golden_check_kinds("vocabulary_list", "vocabulary_list", check_case), 5);
}

/* TensorFlow's own unit tests, where they are at hand. */
static void conformance_ids(void **state)
{
    (void)state;
    pil_status status = OK_STATUS;
    struct golden golden;

    if (!golden_open("../shared/conformance/tf_golden/hash_and_cross.json", &golden)) {
        print_message("no conformance data: skipped\n");
        skip();
    }
    struct arena *arena = arena_new(&status);
    struct json_value cases = golden_get(&golden.root, "cases"), item, value;
    struct json_walk walk = json_children(&cases);
    int seen = 0;
    while (json_next(&walk, NULL, &item)) {
        struct json_value fn = golden_get(&item, "fn");
        if (fn.text.size < 15 || memcmp(fn.text.data, "vocabulary_list", 15) != 0)
            continue;
        value = golden_get(&item, "vocabulary");
        const char **words = golden_words(&value, arena);
        int64_t number;
        bool is_integer = parse_int64(slice_text(words[0]), &number);
        pil_columns *c = pil_columns_new();
        pil_column *column =
            pil_categorical_column_with_vocabulary_list(c, "k", words, value.count, .dtype = is_integer ? "int64" : "string",
                                                        .default_value = golden_integer(&item, "default_value", -1),
                                                        .num_oov_buckets = golden_integer(&item, "num_oov_buckets", 0));
        const char *name = "k";
        value = golden_get(&item, "input");
        struct ran ran = run_rows(program_of(&column, 1, NULL), &name, 1, golden_words(&value, arena), value.count);
        ASSERT_OK(ran.status);
        value = golden_get(&item, "expected");
        struct json_walk wanted = json_children(&value);
        for (int64_t r = 0; json_next(&wanted, NULL, &value); r++)
            assert_int_equal(id_of(&ran, 0, r), value.integer);
        ran_free(&ran);
        pil_columns_free(c);
        seen++;
    }
    assert_true(seen >= 4);
    golden_close(&golden);
    arena_free(arena);
}

/* In a field of one value "" and -1 are nothing; a word of the vocabulary that looks so does not change that. */
static void single_values(void **state)
{
    (void)state;
    static const char *const words[] = { "Mon", "", "Tue" }, *const numbers[] = { "5", "-1", "7" };
    pil_columns *c = pil_columns_new();
    pil_column *columns[] = {
        pil_categorical_column_with_vocabulary_list(c, "w", words, 3, .num_oov_buckets = 1),
        pil_categorical_column_with_vocabulary_list(c, "n", numbers, 3, .dtype = "int32", .default_value = 0),
    };
    static const char *const names[] = { "w", "n" };
    static const char *const cells[] = { "Tue", "7", "", "-1", "mon", "8", NULL, NULL };
    struct ran ran = run_rows(program_of(columns, 2, NULL), names, 2, cells, 4);
    ASSERT_OK(ran.status);
    static const int32_t want[2][4] = { { 2, -1, 3, -1 }, { 2, -1, 0, -1 } };
    for (int f = 0; f < 2; f++)
        for (int r = 0; r < 4; r++)
            assert_int_equal(id_of(&ran, f, r), want[f][r]);
    assert_int_equal(column_buckets(columns[0]), 4);
    struct slice word;
    assert_true(column_word(columns[0], 2, &word) && slice_is(word, "Tue"));
    assert_true(column_word(columns[1], 1, &word) && slice_is(word, "-1"));
    assert_false(column_word(columns[0], 3, &word));
    ran_free(&ran);
    pil_columns_free(c);
}

static void write_file(const char *path, const char *text)
{
    pil_status status = OK_STATUS;

    if (!file_replace(path, text, strlen(text), &status))
        fail_msg("%s", status.message);
}

static void files(void **state)
{
    (void)state;
    char path[] = "/tmp/pilaster-vocabulary-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    file_calls()->close(fd);
    write_file(path, "Sun\r\n two words \nTue\nSun-again\nWed"); /* spaces stay, no final newline */
    pil_columns *c = pil_columns_new();
    pil_column *columns[] = {
        pil_categorical_column_with_vocabulary_file(c, "a", path, .num_oov_buckets = 2),
        pil_categorical_column_with_vocabulary_file(c, "b", path, .vocabulary_size = 2, .default_value = 1),
    };
    static const char *const names[] = { "a", "b" };
    static const char *const cells[] = { "Sun", "Sun", " two words ", "Tue", "Wed", "Sun\r" };
    struct ran ran = run_rows(program_of(columns, 2, NULL), names, 2, cells, 3);
    ASSERT_OK(ran.status);
    static const int32_t want[2][3] = { { 0, 1, 4 }, { 0, 1, 1 } };
    for (int f = 0; f < 2; f++)
        for (int r = 0; r < 3; r++)
            assert_int_equal(id_of(&ran, f, r), want[f][r]);
    assert_int_equal(column_buckets(columns[0]), 7);
    assert_int_equal(column_buckets(columns[1]), 2);
    ran_free(&ran);
    pil_columns_free(c);

    static const struct {
        const char *text, *dtype, *error;
        int64_t size;
    } bad[] = {
        { "a\n\nb\n", "string", ":2 is an empty line", 0 },
        { "a\nb\n\n", "string", ":3 is an empty line", 0 },
        { "a\nb\na\n", "string", ":3, 'a', is there twice", 0 },
        { "a\nb\n", "string", "has 2 lines, vocabulary_size is 3", 3 },
        { "", "string", "is empty", 0 },
        { "1\ntwo\n", "int64", ":2, 'two', is no integer", 0 },
        { "1\n01\n", "int64", ":2, '1', is there twice", 0 },
        { "a\n", "float32", "dtype is 'float32'", 0 },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        write_file(path, bad[i].text);
        c = pil_columns_new();
        pil_categorical_column_with_vocabulary_file(c, "k", path, .dtype = bad[i].dtype, .vocabulary_size = bad[i].size);
        ASSERT_COLUMNS_FAIL(c, bad[i].error);
        pil_columns_free(c);
    }
    /* Beyond vocabulary_size nothing is looked at. */
    write_file(path, "a\nb\na\n\n");
    c = pil_columns_new();
    pil_categorical_column_with_vocabulary_file(c, "k", path, .vocabulary_size = 2);
    assert_int_equal(pil_columns_status(c).code, PIL_OK);
    pil_categorical_column_with_vocabulary_file(c, "k", "/no/such/file");
    ASSERT_COLUMNS_FAIL(c, "/no/such/file");
    pil_columns_free(c);
    remove(path);
}

static void errors(void **state)
{
    (void)state;
    static const char *const twice[] = { "a", "b", "a" }, *const words[] = { "a", "b" };
    static const struct {
        const char *const *words;
        size_t count;
        const char *dtype;
        int64_t default_value, spare;
        const char *error;
    } cases[] = {
        { words, 0, NULL, -1, 0, "vocabulary_list is empty" },
        { twice, 3, NULL, -1, 0, "word number 3, 'a', is there twice" },
        { words, 2, NULL, 1, 2, "exclude each other" },
        { words, 2, NULL, 2, 0, "default_value is 2; the ids of this column are below 2" },
        { words, 2, NULL, -1, -3, "num_oov_buckets is -3" },
        { words, 2, NULL, -1, INT32_MAX, "num_oov_buckets" },
        { words, 2, "int64", -1, 0, "word number 1, 'a', is no integer" },
        { words, 2, "float32", -1, 0, "dtype is 'float32'" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_columns *c = pil_columns_new();
        pil_categorical_column_with_vocabulary_list(c, "k", cases[i].words, cases[i].count, .dtype = cases[i].dtype,
                                                    .default_value = cases[i].default_value, .num_oov_buckets = cases[i].spare);
        ASSERT_COLUMNS_FAIL(c, cases[i].error);
        pil_columns_free(c);
    }
}

/* Every allocation fails once: the set says so, nothing leaks. */
static void memory(void **state)
{
    (void)state;
    static const char *const words[] = { "a", "b", "7" };
    for (int64_t n = 0;; n++) {
        failing_start(n, false);
        pil_columns *c = pil_columns_new();
        pil_categorical_column_with_vocabulary_list(c, "k", words, 2);
        pil_categorical_column_with_vocabulary_list(c, "n", words + 2, 1, .dtype = "int64");
        pil_status status = pil_columns_status(c);
        pil_columns_free(c);
        bool reached = failing_stop();
        assert_int_equal(failing_live, 0);
        assert_int_equal(status.code, reached ? PIL_NO_MEMORY : PIL_OK);
        if (!reached)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_ids), cmocka_unit_test(conformance_ids), cmocka_unit_test(single_values),
        cmocka_unit_test(files),      cmocka_unit_test(errors),          cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
