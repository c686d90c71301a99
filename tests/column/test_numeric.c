/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers: defaults, normalizers, vectors; buckets against TensorFlow's. */
#include <math.h>

#include "columns.h"

static void numbers(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *columns[] = {
        pil_numeric_column(c, "x"),
        pil_numeric_column(c, "y", .default_value = PIL_FLOATS(-2.5f), .normalizer_fn = { .subtract = 1, .divide = 4 }),
        pil_numeric_column(c, "n", .dtype = "int64"),
        pil_numeric_column(c, "v", .shape = { 2, 2 }, .default_value = PIL_FLOATS(1, 2, 3, 4)),
        pil_numeric_column(c, "w", .shape = { 2 }, .normalizer_fn = { .subtract = 10 }),
    };
    static const char *const names[] = { "x", "y", "n", "v", "w" };
    static const char *const cells[] = {
        "1.5", "",  "-7", "",        "1|2",   /* a whole row of defaults; a divide that is not given is 1 */
        "nan", "5", "3",  "9|8|7|6", "10|11", /* */
    };
    struct program *program = program_of(columns, COUNT_OF(columns), NULL);
    pil_status status = OK_STATUS;

    assert_int_equal(pil_columns_status(c).code, PIL_OK);
    state_field(program, "v", PROGRAM_ANY_TYPE, '|');
    state_field(program, "w", PROGRAM_ANY_TYPE, '|');
    struct ran ran = run_rows(program, names, COUNT_OF(names), cells, 2);
    ASSERT_OK(ran.status);
    size_t count;
    assert_int_equal(program_fields(program, &count)[2].type, FIELD_INT64);
    assert_int_equal(count, 5);
    assert_int_equal(program_number_count(program), 9);
    static const float want[2][9] = { { 1.5f, -0.875f, -7, 1, 2, 3, 4, -9, -8 }, { NAN, 1, 3, 9, 8, 7, 6, 0, 1 } };
    for (int r = 0; r < 2; r++)
        for (int i = 0; i < 9; i++) {
            float value = number_of(&ran, i, r);
            assert_true(isnan(want[r][i]) ? isnan(value) : value == want[r][i]);
        }
    assert_int_equal(program_numbers(program, columns[3], &status), 3); /* the same question, the same answer */
    ran_free(&ran);
    pil_columns_free(c);
}

static void missing_number(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *x = pil_numeric_column(c, "x");
    static const char *const names[] = { "x" };
    static const char *const cells[] = { "1", "" };
    struct ran ran = run_rows(program_of(&x, 1, NULL), names, 1, cells, 2);

    assert_int_equal(ran.status.code, PIL_BAD_DATA);
    ASSERT_TEXT(ran.status, "rows.csv:3: field 'x': the number is missing");
    ASSERT_TEXT(ran.status, "default_value");
    ran_free(&ran);
    pil_columns_free(c);
}

static void wrong_length(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *v = pil_numeric_column(c, "v", .shape = { 3 });
    static const char *const names[] = { "v" };
    static const char *const cells[] = { "1 2 3", "1 2" };
    struct program *program = program_of(&v, 1, NULL);

    state_field(program, "v", FIELD_FLOAT, ' ');
    struct ran ran = run_rows(program, names, 1, cells, 2);
    ASSERT_TEXT(ran.status, "rows.csv:3: field 'v': the cell has 2 numbers, the column's shape takes 3");
    ran_free(&ran);
    pil_columns_free(c);
}

static void numeric_errors(void **state)
{
    (void)state;
    static const float two[] = { 1, 2 };
    const struct {
        pil_numeric_column_options options;
        const char *text;
    } cases[] = {
        { { .key = NULL, .shape = { 1 } }, "numeric_column: key is missing" },
        { { .key = "x", .shape = { -1 } }, "dimension -1" },
        { { .key = "x", .shape = { 1 << 20, 1 << 20 } }, "dimension 1048576" },
        { { .key = "x", .shape = { 3 }, .default_value = { two, 2 } }, "default_value has 2 numbers" },
        { { .key = "x", .shape = { 1 }, .dtype = "string" }, "dtype is 'string'" },
        { { .key = "x", .shape = { 1 }, .dtype = "complex64" }, "dtype is 'complex64'" },
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_columns *c = pil_columns_new();
        pil_column *column = pil_numeric_column_make(c, &cases[i].options);
        assert_non_null(column);
        ASSERT_COLUMNS_FAIL(c, cases[i].text);
        assert_ptr_equal(column, pil_key(c, "anything")); /* the error column from then on */
        pil_columns_free(c);
    }
}

/* Boundaries and inputs that TensorFlow bucketed, an input on every boundary among them. */
static void buckets_golden(void **state)
{
    (void)state;
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    struct golden golden;
    struct json_value cases, item, value;
    struct json_walk walk;
    bool seen = false;

    assert_true(golden_open("tests/golden/categorical_columns.json", &golden));
    cases = golden_get(&golden.root, "cases");
    walk = json_children(&cases);
    while (json_next(&walk, NULL, &item)) {
        value = golden_get(&item, "column");
        if (!slice_is(value.text, "bucketized"))
            continue;
        float boundaries[16];
        value = golden_get(&item, "boundaries");
        assert_true(value.count <= 16 && json_floats(&value, boundaries));
        pil_columns *c = pil_columns_new();
        pil_column *column = pil_bucketized_column(c, pil_numeric_column(c, "x"), boundaries, value.count);
        const char *name = "x";
        value = golden_get(&item, "input");
        struct ran ran = run_rows(program_of(&column, 1, NULL), &name, 1, golden_cells(&value, '|', arena), value.count);
        ASSERT_OK(ran.status);
        assert_string_equal(pil_column_name(column), "x_bucketized");
        value = golden_get(&item, "ids");
        check_ids(&ran, 0, &value);
        seen = true;
        ran_free(&ran);
        pil_columns_free(c);
    }
    assert_true(seen);
    golden_close(&golden);
    arena_free(arena);
}

static void buckets_at_the_edges(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    const float b[] = { 0, 2, 4, 6 };
    pil_column *columns[] = {
        pil_bucketized_column(c, pil_numeric_column(c, "x"), b, 4),
        pil_bucketized_column(c, pil_numeric_column(c, "v", .shape = { 2 }), b, 4), /* TensorFlow's BucketizedColumnTest */
    };
    static const char *const names[] = { "x", "v" };
    static const char *const cells[] = { "nan", "-1|1", "inf", "5|6", "-inf", "0|0", "-0", "nan|-0.5" };
    struct program *program = program_of(columns, 2, NULL);

    state_field(program, "v", FIELD_FLOAT, '|');
    struct ran ran = run_rows(program, names, 2, cells, 4);
    ASSERT_OK(ran.status);
    static const int32_t single[] = { 4, 4, 0, 1 }, vector[][2] = { { 0, 6 }, { 3, 9 }, { 1, 6 }, { 4, 5 } };
    for (int r = 0; r < 4; r++) {
        int32_t ids[4] = { 0 };
        assert_int_equal(id_of(&ran, 0, r), single[r]);
        assert_int_equal(ids_of(&ran, 1, r, ids, NULL, 4), 2);
        assert_int_equal(ids[0], vector[r][0]);
        assert_int_equal(ids[1], vector[r][1]);
    }
    assert_int_equal(column_buckets(columns[1]), 10);
    assert_int_equal(column_width(columns[1]), 10);
    assert_true(column_is_dense(columns[1]) && column_is_categorical(columns[1]));
    ran_free(&ran);
    pil_columns_free(c);
}

/* TensorFlow buckets what the normalizer made, and what a default filled in. */
static void buckets_of_normalized(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    const float b[] = { 0, 1 };
    pil_column *x = pil_numeric_column(c, "x", .default_value = PIL_FLOATS(30), .normalizer_fn = { 10, 10 });
    pil_column *columns[] = { x, pil_bucketized_column(c, x, b, 2) };
    static const char *const names[] = { "x" };
    static const char *const cells[] = { "9", "10", "20", "" };
    struct ran ran = run_rows(program_of(columns, 2, NULL), names, 1, cells, 4);

    ASSERT_OK(ran.status);
    static const int32_t want[] = { 0, 1, 2, 2 };
    for (int r = 0; r < 4; r++)
        assert_int_equal(id_of(&ran, 0, r), want[r]);
    assert_true(number_of(&ran, 0, 3) == 2);
    ran_free(&ran);
    pil_columns_free(c);
}

static void many_boundaries(void **state)
{
    (void)state;
    float boundaries[37];
    char texts[200][32];
    const char *cells[200], *name = "x";

    for (int i = 0; i < 37; i++)
        boundaries[i] = (float)(i * i) / 8 - 20;
    for (int r = 0; r < 200; r++) {
        print_float(texts[r], (float)r - 30.125f);
        cells[r] = texts[r];
    }
    /* few are counted, many are halved; more rows than are counted at once */
    static const int counts[] = { 9, 32, 33, 37 };
    for (size_t k = 0; k < COUNT_OF(counts); k++) {
        pil_columns *c = pil_columns_new();
        pil_column *column = pil_bucketized_column(c, pil_numeric_column(c, name), boundaries, (size_t)counts[k]);
        struct ran ran = run_rows(program_of(&column, 1, NULL), &name, 1, cells, 200);
        ASSERT_OK(ran.status);
        for (int r = 0; r < 200; r++) {
            int want = 0;
            for (int i = 0; i < counts[k]; i++)
                want += boundaries[i] <= (float)r - 30.125f;
            assert_int_equal(id_of(&ran, 0, r), want);
        }
        ran_free(&ran);
        pil_columns_free(c);
    }
}

static void bucketized_errors(void **state)
{
    (void)state;
    static const float up[] = { 1, 2, 2 }, odd[] = { NAN };
    const struct {
        pil_floats boundaries;
        int source; /* 0 numeric, 1 matrix, 2 identity, 3 none */
        const char *text;
    } cases[] = {
        { { NULL, 0 }, 0, "boundaries are missing" }, { { up, 3 }, 0, "boundaries must ascend; number 3, 2, does not follow 2" },
        { { odd, 1 }, 0, "boundaries must ascend" },  { { up, 2 }, 1, "more than one dimension" },
        { { up, 2 }, 2, "only a numeric_column" },    { { up, 2 }, 3, "source_column is missing" },
        { { up, SIZE_MAX / 8 }, 0, "boundaries" },
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_columns *c = pil_columns_new();
        pil_column *source = cases[i].source == 0   ? pil_numeric_column(c, "x")
                             : cases[i].source == 1 ? pil_numeric_column(c, "x", .shape = { 2, 2 })
                             : cases[i].source == 2 ? pil_categorical_column_with_identity(c, "x", 3)
                                                    : NULL;
        pil_bucketized_column_make(c, &(pil_bucketized_column_options){ source, cases[i].boundaries });
        ASSERT_COLUMNS_FAIL(c, cases[i].text);
        pil_columns_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),         cmocka_unit_test(missing_number),        cmocka_unit_test(wrong_length),
        cmocka_unit_test(numeric_errors),  cmocka_unit_test(buckets_golden),        cmocka_unit_test(buckets_at_the_edges),
        cmocka_unit_test(many_boundaries), cmocka_unit_test(buckets_of_normalized), cmocka_unit_test(bucketized_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
