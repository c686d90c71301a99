/* SPDX-License-Identifier: Apache-2.0 */
/* Identity, hash_bucket and weighted columns. */
#include "columns.h"

static void check_case(const struct json_value *item, struct arena *arena)
{
    struct json_value kind = golden_get(item, "column"), dtype;
    bool identity = slice_is(kind.text, "identity");
    bool is_integer = identity || (json_get(item, "dtype", &dtype) && slice_is(dtype.text, "int64"));
    pil_columns *c = pil_columns_new();
    pil_column *column = identity
                             ? pil_categorical_column_with_identity(c, "k", golden_integer(item, "num_buckets", 0),
                                                                    .default_value = golden_integer(item, "default_value", -1))
                             : pil_categorical_column_with_hash_bucket(c, "k", golden_integer(item, "hash_bucket_size", 0),
                                                                       .dtype = is_integer ? "int64" : "string");
    golden_check_column(column, is_integer, item, arena);
    pil_columns_free(c);
}

static void golden_ids(void **state)
{
    (void)state;
    assert_int_equal(golden_check_kinds("hash_bucket", "identity", check_case), 7);
}

/* Strings of every length class in buckets of every size, one value a row: the path without lists. */
static void golden_hashes(void **state)
{
    (void)state;
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    struct golden golden;
    pil_columns *c = pil_columns_new();
    static const int64_t sizes[] = { 1, 2, 7, 100, 500, 1000003, 2147483647 };
    pil_column *columns[COUNT_OF(sizes)];
    const char *name = "k", *cells[256];
    int64_t rows = 0;

    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        columns[i] = pil_categorical_column_with_hash_bucket(c, "k", sizes[i]);
    assert_true(golden_open("tests/golden/fingerprint64.json", &golden));
    struct json_value cases = golden_get(&golden.root, "cases"), item, value;
    struct json_walk walk = json_children(&cases);
    while (json_next(&walk, NULL, &item)) {
        value = golden_get(&item, "string");
        cells[rows++] = arena_text(arena, value.text.data, value.text.size, &status);
    }
    struct ran ran = run_rows(program_of(columns, COUNT_OF(sizes), NULL), &name, 1, cells, (size_t)rows);
    ASSERT_OK(ran.status);
    walk = json_children(&cases);
    for (int64_t r = 0; json_next(&walk, NULL, &item); r++) {
        struct json_value buckets = golden_get(&item, "bucket");
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            char size[24];
            snprintf(size, sizeof size, "%lld", (long long)sizes[i]);
            value = golden_get(&buckets, size);
            if (cells[r][0]) /* "" is no value */
                assert_int_equal(id_of(&ran, (int)i, r), value.integer);
        }
    }
    assert_true(rows > 150);
    ran_free(&ran);
    pil_columns_free(c);
    golden_close(&golden);
    arena_free(arena);
}

static void conformance_hashes(void **state)
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
        value = golden_get(&item, "fn");
        if (!slice_is(value.text, "string_to_hash_bucket_fast"))
            continue;
        pil_columns *c = pil_columns_new();
        pil_column *column = pil_categorical_column_with_hash_bucket(c, "k", golden_integer(&item, "num_buckets", 0));
        const char *name = "k";
        value = golden_get(&item, "input");
        const char **cells = golden_words(&value, arena);
        int64_t number;
        for (int as_integer = 0; as_integer < (parse_int64(slice_text(cells[0]), &number) ? 2 : 1); as_integer++) {
            struct program *program = program_of(&column, 1, NULL);
            state_field(program, "k", as_integer ? FIELD_INT64 : FIELD_STRING, 0);
            value = golden_get(&item, "input");
            struct ran ran = run_rows(program, &name, 1, cells, value.count);
            ASSERT_OK(ran.status);
            value = golden_get(&item, "expected");
            struct json_walk wanted = json_children(&value);
            for (int64_t r = 0; json_next(&wanted, NULL, &value); r++)
                assert_int_equal(id_of(&ran, 0, r), value.integer);
            ran_free(&ran);
        }
        pil_columns_free(c);
        seen++;
    }
    assert_true(seen >= 4);
    golden_close(&golden);
    arena_free(arena);
}

static void identity_out_of_range(void **state)
{
    (void)state;
    static const char *const names[] = { "hour" };
    static const char *const cells[] = { "0", "23", "-1", "", "24" };
    pil_columns *c = pil_columns_new();
    pil_column *column = pil_categorical_column_with_identity(c, "hour", 24);
    struct ran ran = run_rows(program_of(&column, 1, NULL), names, 1, cells, 4);

    ASSERT_OK(ran.status);
    static const int32_t want[] = { 0, 23, -1, -1 }; /* -1 is no value in a field of one */
    for (int r = 0; r < 4; r++)
        assert_int_equal(id_of(&ran, 0, r), want[r]);
    ran_free(&ran);
    ran = run_rows(program_of(&column, 1, NULL), names, 1, cells, 5);
    assert_int_equal(ran.status.code, PIL_BAD_DATA);
    ASSERT_TEXT(ran.status, "rows.csv:6: field 'hour': 24 is not in [0, 24)");
    ASSERT_TEXT(ran.status, "num_buckets");
    ran_free(&ran);
    struct program *program = program_of(&column, 1, NULL); /* in a list -1 is a value, and none in range */
    state_field(program, "hour", FIELD_INT64, '|');
    ran = run_rows(program, names, 1, (const char *const[]){ "3|-1" }, 1);
    ASSERT_TEXT(ran.status, "-1 is not in [0, 24)");
    ran_free(&ran);
    pil_columns_free(c);
}

static void check_row(const struct ran *ran, int feature, int64_t row, size_t count, const int32_t *ids, const float *weights)
{
    int32_t got[16] = { 0 };
    float got_weights[16] = { 0 };

    assert_int_equal(ids_of(ran, feature, row, got, got_weights, 16), count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(got[i], ids[i]);
        assert_true(got_weights[i] == weights[i]);
    }
}

/* Weights of a field of their own: aligned by place, whatever is missing or 0. */
static void weights_beside(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *column = pil_weighted_categorical_column(c, pil_categorical_column_with_identity(c, "k", 10), "w");
    static const char *const names[] = { "k", "w" };
    static const char *const cells[] = { "1|2|3", "0.5|0|-2", "", "", "4", "7" };
    struct program *program = program_of(&column, 1, NULL);

    state_field(program, "k", PROGRAM_ANY_TYPE, '|');
    state_field(program, "w", PROGRAM_ANY_TYPE, '|');
    struct ran ran = run_rows(program, names, 2, cells, 3);
    ASSERT_OK(ran.status);
    assert_string_equal(pil_column_name(column), "k_weighted_by_w");
    assert_int_equal(column_buckets(column), 10);
    check_row(&ran, 0, 0, 3, (const int32_t[]){ 1, 2, 3 }, (const float[]){ 0.5f, 0, -2 });
    check_row(&ran, 0, 1, 0, NULL, NULL);
    check_row(&ran, 0, 2, 1, (const int32_t[]){ 4 }, (const float[]){ 7 });
    ran_free(&ran);

    static const struct {
        const char *k, *w, *error;
    } bad[] = {
        { "1|2", "1", "rows.csv:2: field 'w', column 'k_weighted_by_w': the row has 2 keys and 1 weights" },
        { "1", "", "the row has 1 keys and 0 weights" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        program = program_of(&column, 1, NULL);
        state_field(program, "k", PROGRAM_ANY_TYPE, '|');
        state_field(program, "w", PROGRAM_ANY_TYPE, '|');
        ran = run_rows(program, names, 2, (const char *const[]){ bad[i].k, bad[i].w }, 1);
        ASSERT_TEXT(ran.status, bad[i].error);
        ran_free(&ran);
    }
    pil_columns_free(c);
}

/* One key and one integer weight a row. */
static void weights_single(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *column =
        pil_weighted_categorical_column(c, pil_categorical_column_with_hash_bucket(c, "k", 100), "w", .dtype = "int64");
    static const char *const names[] = { "k", "w" };
    static const char *const cells[] = { "house", "3", "", "5", "", "" };
    struct ran ran = run_rows(program_of(&column, 1, NULL), names, 2, cells, 3);

    ASSERT_OK(ran.status);
    int32_t id = (int32_t)(fingerprint64("house", 5) % 100);
    check_row(&ran, 0, 0, 1, &id, (const float[]){ 3 });
    check_row(&ran, 0, 1, 0, NULL, NULL);
    check_row(&ran, 0, 2, 0, NULL, NULL);
    ran_free(&ran);
    ran = run_rows(program_of(&column, 1, NULL), names, 2, (const char *const[]){ "house", "" }, 1);
    ASSERT_TEXT(ran.status, "key number 1 of the row has no weight");
    ran_free(&ran);
    pil_columns_free(c);
}

/* "key:weight": the weights come with the keys, and weight_feature_key is only a name. */
static void weights_inside(void **state)
{
    (void)state;
    static const char *const words[] = { "a", "b" };
    pil_columns *c = pil_columns_new();
    pil_column *keys = pil_categorical_column_with_vocabulary_list(c, "k", words, 2);
    pil_column *columns[] = { pil_weighted_categorical_column(c, keys, "no_such_field"), keys };
    static const char *const names[] = { "k" };
    static const char *const cells[] = { "b:2|zzz:3|a", "", "a:0.25" };
    struct program *program = program_of(columns, 2, NULL);
    pil_status status = OK_STATUS;
    size_t count;

    assert_true(program_field(program, &(struct field_spec){ "k", FIELD_STRING, '|', ':', true }, &status));
    struct ran ran = run_rows(program, names, 1, cells, 3);
    ASSERT_OK(ran.status);
    program_fields(program, &count);
    assert_int_equal(count, 1);
    check_row(&ran, 0, 0, 3, (const int32_t[]){ 1, -1, 0 }, (const float[]){ 2, 3, 1 });
    check_row(&ran, 0, 1, 0, NULL, NULL);
    check_row(&ran, 0, 2, 1, (const int32_t[]){ 0 }, (const float[]){ 0.25f });
    int32_t ids[4] = { 0 };
    assert_int_equal(ids_of(&ran, 1, 0, ids, NULL, 4), 3); /* the same keys without weights */
    ran_free(&ran);
    pil_columns_free(c);
}

/* Weights of what has no cells: a bucket for each element, a combination for each pair. */
static void weights_of_made_ids(void **state)
{
    (void)state;
    const float b[] = { 0 };
    pil_columns *c = pil_columns_new();
    pil_column *columns[] = {
        pil_weighted_categorical_column(c, pil_bucketized_column(c, pil_numeric_column(c, "x", .shape = { 2 }), b, 1), "w"),
        pil_weighted_categorical_column(c, pil_crossed_column(c, PIL_KEYS(pil_key(c, "a"), pil_key(c, "b")), 50), "w"),
    };
    static const char *const names[] = { "x", "a", "b", "w" };
    static const char *const cells[] = { "-1|1", "p|q", "r", "3|4" };
    struct program *program = program_of(columns, 2, NULL);

    for (size_t i = 0; i < 4; i++)
        state_field(program, names[i], PROGRAM_ANY_TYPE, '|');
    struct ran ran = run_rows(program, names, 4, cells, 1);
    ASSERT_OK(ran.status);
    check_row(&ran, 0, 0, 2, (const int32_t[]){ 0, 3 }, (const float[]){ 3, 4 });
    int32_t ids[4] = { 0 };
    float weights[4] = { 0 };
    assert_int_equal(ids_of(&ran, 1, 0, ids, weights, 4), 2);
    assert_true(weights[0] == 3 && weights[1] == 4);
    ran_free(&ran);
    pil_columns_free(c);
}

static void errors(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "num_buckets is 0",
        "hash_bucket_size is 2147483648",
        "default_value is 5; it must lie in [0, 5)",
        "default_value is -2",
        "has weights already",
        "weight_feature_key is missing",
        "categorical_column is missing",
        "make ids of it with bucketized_column",
        "is the raw field 'x'",
        "it takes a categorical column",
        "belongs to another set",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        pil_columns *c = pil_columns_new(), *other = pil_columns_new();
        pil_column *k = pil_categorical_column_with_identity(c, "k", 3);
        switch (i) {
        case 0:
            pil_categorical_column_with_identity(c, "k", 0);
            break;
        case 1:
            pil_categorical_column_with_hash_bucket(c, "k", (int64_t)INT32_MAX + 1);
            break;
        case 2:
            pil_categorical_column_with_identity(c, "k", 5, .default_value = 5);
            break;
        case 3:
            pil_categorical_column_with_identity(c, "k", 5, .default_value = -2);
            break;
        case 4:
            pil_weighted_categorical_column(c, pil_weighted_categorical_column(c, k, "w"), "v");
            break;
        case 5:
            pil_weighted_categorical_column(c, k, NULL);
            break;
        case 6:
            pil_weighted_categorical_column(c, NULL, "w");
            break;
        case 7:
            pil_weighted_categorical_column(c, pil_numeric_column(c, "x"), "w");
            break;
        case 8:
            pil_weighted_categorical_column(c, pil_key(c, "x"), "w");
            break;
        case 9:
            pil_weighted_categorical_column(c, pil_indicator_column(c, k), "w");
            break;
        default:
            pil_weighted_categorical_column(c, pil_categorical_column_with_identity(other, "k", 3), "w");
            break;
        }
        ASSERT_COLUMNS_FAIL(c, texts[i]);
        pil_columns_free(c);
        pil_columns_free(other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_ids),
        cmocka_unit_test(golden_hashes),
        cmocka_unit_test(conformance_hashes),
        cmocka_unit_test(identity_out_of_range),
        cmocka_unit_test(weights_beside),
        cmocka_unit_test(weights_single),
        cmocka_unit_test(weights_inside),
        cmocka_unit_test(weights_of_made_ids),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
