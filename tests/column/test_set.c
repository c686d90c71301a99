/* SPDX-License-Identifier: Apache-2.0 */
/* The columns section of a model file: kinds, order, cycles, the places of errors, printing that reads back the same. */
#include "columns.h"
#include "failing.h"

static struct column_set *set_of(const char *yaml, struct arena *arena, pil_status *status)
{
    *status = OK_STATUS;
    return column_set_new(yaml_value(yaml, arena), "models/a", status);
}

static const char taxi[] = "dayofweek:\n"
                           "  categorical_column_with_vocabulary_list: {vocabulary_list: [Sun, Mon, Tues, yes, 7]}\n"
                           "day_hr_em:\n" /* before what it is made of */
                           "  embedding_column: {categorical_column: day_hr, dimension: 2, combiner: sum, max_norm: 3,\n"
                           "                     ckpt_to_load_from: old/model.ckpt-7, tensor_name_in_ckpt: table}\n"
                           "day_hr:\n"
                           "  crossed_column: {keys: [dayofweek, hourofday, zone, raw], hash_bucket_size: 168}\n"
                           "hourofday:\n"
                           "  categorical_column_with_identity: {num_buckets: 24, default_value: null}\n"
                           "zone: {categorical_column_with_hash_bucket: {hash_bucket_size: 100}}\n"
                           "zone_too: {categorical_column_with_hash_bucket: {key: zone, hash_bucket_size: 9}}\n"
                           "plat: {numeric_column: {key: pickup lat, shape: 1, default_value: 1.5,\n"
                           "       normalizer_fn: {subtract: 40, divide: 2}}}\n"
                           "v: {numeric_column: {shape: [2, 3], default_value: [1, 2, 3, 4, 5, 6], dtype: int64}}\n"
                           "plat_b: {bucketized_column: {source_column: plat, boundaries: {linspace: [38.0, 42.0, 5]}}}\n"
                           "digits: {categorical_column_with_vocabulary_list: {vocabulary_list: [1, 2, -3]}}\n"
                           "quoted: {categorical_column_with_vocabulary_list: {vocabulary_list: ['1', '2']}}\n"
                           "weights: {weighted_categorical_column: {categorical_column: digits, weight_feature_key: w}}\n"
                           "count: {indicator_column: {categorical_column: weights}}\n"
                           "both: {shared_embeddings: {categorical_columns: [zone, zone], dimension: 3,\n"
                           "       initializer: {random_normal: {stddev: 2}}}}\n"
                           "bare: numeric_column\n";

static void reads(void **state)
{
    (void)state;
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    struct column_set *set = set_of(taxi, arena, &status);
    static const struct {
        const char *key, *kind, *name;
        int64_t buckets, width;
    } want[] = {
        { "dayofweek", "categorical_column_with_vocabulary_list", "dayofweek", 5, 0 },
        { "day_hr_em", "embedding_column", "dayofweek_X_hourofday_X_raw_X_zone_embedding", 0, 2 },
        { "day_hr", "crossed_column", "dayofweek_X_hourofday_X_raw_X_zone", 168, 0 },
        { "hourofday", "categorical_column_with_identity", "hourofday", 24, 0 },
        { "zone", "categorical_column_with_hash_bucket", "zone", 100, 0 },
        { "zone_too", "categorical_column_with_hash_bucket", "zone", 9, 0 },
        { "plat", "numeric_column", "pickup lat", 0, 1 },
        { "v", "numeric_column", "v", 0, 6 },
        { "plat_b", "bucketized_column", "pickup lat_bucketized", 6, 6 },
        { "digits", "categorical_column_with_vocabulary_list", "digits", 3, 0 },
        { "quoted", "categorical_column_with_vocabulary_list", "quoted", 2, 0 },
        { "weights", "weighted_categorical_column", "digits_weighted_by_w", 3, 0 },
        { "count", "indicator_column", "digits_weighted_by_w_indicator", 0, 3 },
        { "both", "shared_embeddings", "zone_zone_shared_embedding", 0, 6 },
        { "bare", "numeric_column", "bare", 0, 1 },
    };

    ASSERT_OK(status);
    assert_int_equal(column_set_count(set), COUNT_OF(want));
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        struct pil_column *column = column_set_at(set, i);
        assert_string_equal(column_key(column), want[i].key);
        assert_string_equal(column_kind(column), want[i].kind);
        assert_string_equal(column_name(column), want[i].name);
        assert_int_equal(column_buckets(column), want[i].buckets);
        assert_int_equal(column_width(column), want[i].width);
        assert_ptr_equal(column_set_get(set, slice_text(want[i].key), NULL, &status), column);
    }
    assert_null(column_set_get(set, slice_text("dayofweak"), yaml_value("\n\n  dayofweak", arena), &status));
    ASSERT_TEXT(status, "model.yaml:3:3: there is no column 'dayofweak'; did you mean 'dayofweek'?");
    column_set_free(set);
    arena_free(arena);
}

/* What is printed reads back as the same columns, and then prints the same. */
static void prints(void **state)
{
    (void)state;
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    struct column_set *set = set_of(taxi, arena, &status), *again;
    struct text first = { 0 }, second = { 0 };

    ASSERT_OK(status);
    column_set_print(set, &first);
    assert_non_null(strstr(first.data, "hourofday:\n    categorical_column_with_identity: {key: hourofday, num_buckets: 24, "
                                       "default_value: -1}\n"));
    assert_non_null(strstr(first.data, "ckpt_to_load_from: models/a/old/model.ckpt-7"));
    again = column_set_new(value_get(yaml_value(first.data, arena), "columns"), "", &status);
    ASSERT_OK(status);
    column_set_print(again, &second);
    assert_string_equal(first.data, second.data);
    text_free(&first);
    text_free(&second);
    column_set_free(set);
    column_set_free(again);
    arena_free(arena);
}

static void no_columns(void **state)
{
    (void)state;
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    static const char *const nothing[] = { "null", "{}" };

    for (size_t i = 0; i < 2; i++) {
        struct column_set *set = set_of(nothing[i], arena, &status);
        struct text text = { 0 };
        ASSERT_OK(status);
        assert_int_equal(column_set_count(set), 0);
        column_set_print(set, &text);
        assert_string_equal(text.data, "columns: {}\n");
        text_free(&text);
        column_set_free(set);
    }
    struct column_set *set = column_set_new(NULL, NULL, &status);
    ASSERT_OK(status);
    assert_null(column_set_get(set, slice_text("x"), NULL, &status));
    column_set_free(set);
    arena_free(arena);
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *error;
    } cases[] = {
        { "[a]", "columns is a map from names to columns" },
        { "a: {crossed_column: {keys: [a1, b1], hash_buckets_size: 5}}",
          "model.yaml:1:38: crossed_column has no argument 'hash_buckets_size'; did you mean 'hash_bucket_size'?" },
        { "a: {crossed_colum: {}}",
          "model.yaml:1:5: there is no kind of column 'crossed_colum'; did you mean 'crossed_column'?" },
        { "a: {qqqqqqqqqq: {}}", "there is no kind of column 'qqqqqqqqqq'" },
        { "a: {numeric_column: {}, indicator_column: {}}", "model.yaml:1:25: column 'a' takes one kind" },
        { "a: [numeric_column]", "model.yaml:1:1: column 'a' takes one kind" },
        { "a: {indicator_column: {categorical_column: b}}\nb: {embedding_column: {categorical_column: c, dimension: 2}}\n"
          "c: {weighted_categorical_column: {categorical_column: a, weight_feature_key: w}}",
          "model.yaml:3:55: column 'a' is made of itself: a -> b -> c -> a" },
        { "a: {crossed_column: {keys: [a, b], hash_bucket_size: 5}}", "model.yaml:1:29: column 'a' is made of itself: a -> a" },
        { "a: {indicator_column: {categorical_column: bb}}\nbc: {numeric_column: {}}",
          "model.yaml:1:44: there is no column 'bb'; did you mean 'bc'?" },
        { "a: {indicator_column: {categorical_column: [b]}}", "categorical_column takes the name of a column" },
        { "a: {indicator_column: {}}", "indicator_column needs 'categorical_column'" },
        { "a: {embedding_column: {categorical_column: b, dimension: 0}}\nb: {categorical_column_with_identity: {num_buckets: 3}}",
          "model.yaml:1:58: dimension must be" },
        { "a: {embedding_column: {categorical_column: b, dimension: 2, combiner: men}}\n"
          "b: {categorical_column_with_identity: {num_buckets: 3}}",
          "model.yaml:1:71: embedding_column: there is no combiner 'men'" },
        { "a: {embedding_column: {categorical_column: b, dimension: 2}}\nb: {numeric_column: {}}",
          "model.yaml:1:44: embedding_column: categorical_column is the numeric_column 'b'" },
        { "a: {crossed_column: {keys: [b, c], hash_bucket_size: 5}}\nb: {numeric_column: {}}",
          "model.yaml:1:28: crossed_column: a key is the numeric_column 'b'" },
        { "a: {crossed_column: {keys: [b, c], hash_bucket_size: 5}}\nb: {categorical_column_with_hash_bucket: {key: zone, "
          "hash_bucket_size: 3}}",
          "name the raw field 'zone' instead" },
        { "a: {crossed_column: {keys: b, hash_bucket_size: 5}}", "keys takes a list of names" },
        { "a: {crossed_column: {keys: [b], hash_bucket_size: 5}}", "model.yaml:1:28: crossed_column: keys has 1" },
        { "a: {categorical_column_with_vocabulary_list: {vocabulary_list: [x, y, x]}}",
          "model.yaml:1:64: categorical_column_with_vocabulary_list: word number 3, 'x', is there twice" },
        { "a: {categorical_column_with_vocabulary_file: {vocabulary_file: no_such.txt}}", "models/a/no_such.txt" },
        { "a: {numeric_column: {shape: [2, x]}}", "model.yaml:1:33: shape takes" },
        { "a: {numeric_column: {shape: [1, 1, 1, 1, 1]}}", "shape takes 1 to 4 dimensions" },
        { "a: {numeric_column: {normalizer_fn: {divide: 0}}}", "model.yaml:1:46: divide is 0" },
        { "a: {numeric_column: {normalizer_fn: {substract: 0}}}",
          "normalizer_fn has no argument 'substract'; did you mean 'subtract'?" },
        { "a: {numeric_column: {default_value: x}}", "model.yaml:1:37: default_value takes a number" },
        { "a: {bucketized_column: {source_column: b, boundaries: [2, 1]}}\nb: {numeric_column: {}}",
          "model.yaml:1:55: bucketized_column: boundaries must ascend" },
    };
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_null(set_of(cases[i].yaml, arena, &status));
        ASSERT_TEXT(status, cases[i].error);
    }
    arena_free(arena);
}

/* A list of integers without quotes serves a field of either type; in quotes, of strings only. */
static void untyped_vocabulary(void **state)
{
    (void)state;
    static const char *const names[] = { "digits", "quoted" };
    static const char *const cells[] = { "2", "2", "-3", "-3", "02", "02" };
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    struct column_set *set = set_of(taxi, arena, &status);
    ASSERT_OK(status);
    pil_column *columns[] = { column_set_get(set, slice_text("digits"), NULL, &status),
                              column_set_get(set, slice_text("quoted"), NULL, &status) };
    for (int type = 0; type < 2; type++) {
        struct program *program = program_of(columns, 2, NULL);
        if (type == 1)
            state_field(program, "digits", FIELD_STRING, 0);
        struct ran ran = run_rows(program, names, 2, cells, 3);
        ASSERT_OK(ran.status);
        size_t count;
        assert_int_equal(program_fields(program, &count)[0].type, type == 1 ? FIELD_STRING : FIELD_INT64);
        static const int32_t want[2][2][3] = { { { 1, 2, 1 }, { 1, -1, -1 } }, { { 1, 2, -1 }, { 1, -1, -1 } } };
        for (int f = 0; f < 2; f++)
            for (int r = 0; r < 3; r++)
                assert_int_equal(id_of(&ran, f, r), want[type][f][r]);
        ran_free(&ran);
    }
    column_set_free(set);
    arena_free(arena);
}

/* Every kind has a table that a schema and a page can be made of. */
static void tables(void **state)
{
    (void)state;
    pil_status status = OK_STATUS;
    struct json_parser *parser = json_parser_new(0, &status);
    struct json_value root;

    assert_int_equal(column_kind_count(), 11);
    for (size_t i = 0; i < column_kind_count(); i++) {
        struct text schema = { 0 }, page = { 0 };
        args_schema(column_kind_table(i), &schema);
        args_reference(column_kind_table(i), &page);
        if (!json_parse(parser, slice_of(schema.data, schema.size), &root, &status))
            fail_msg("%s: %s", column_kind_table(i)->name, status.message);
        assert_true(page.size > 0 && column_find(column_kind_table(i)->name));
        text_free(&schema);
        text_free(&page);
    }
    assert_null(column_kind_table(11));
    assert_null(column_find("key"));
    json_parser_free(parser);
}

static void memory(void **state)
{
    (void)state;
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    struct value *value = yaml_value(taxi, arena);

    for (int64_t n = 0;; n++) {
        status = OK_STATUS;
        failing_start(n, false);
        struct column_set *set = column_set_new(value, "models", &status);
        column_set_free(set);
        bool reached = failing_stop();
        assert_int_equal(failing_live, 0);
        assert_int_equal(status.code, reached ? PIL_NO_MEMORY : PIL_OK);
        if (!reached)
            break;
    }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),  cmocka_unit_test(prints), cmocka_unit_test(no_columns), cmocka_unit_test(untyped_vocabulary),
        cmocka_unit_test(errors), cmocka_unit_test(tables), cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
