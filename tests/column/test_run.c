/* SPDX-License-Identifier: Apache-2.0 */
/* Rows through a program: chunks, records that grow, labels, other fields in between, threads' scratch, no second allocation. */
#include <math.h>

#include "columns.h"
#include "failing.h"

static const char *const names[] = { "day", "hour", "tags", "x", "late" };

/* Columns of every path: single, ragged, numbers, a cross of both; and a label. */
static struct program *everything(pil_columns *c, pil_column *columns[6])
{
    static const char *const days[] = { "Mon", "Tue", "Wed" };
    static const float b[] = { 10, 20, 30 };
    pil_status status = OK_STATUS;

    columns[0] = pil_categorical_column_with_vocabulary_list(c, "day", days, 3);
    columns[1] = pil_crossed_column(c, PIL_KEYS(columns[0], pil_categorical_column_with_identity(c, "hour", 24)), 168);
    columns[2] = pil_categorical_column_with_hash_bucket(c, "tags", 50);
    columns[3] = pil_numeric_column(c, "x", .default_value = PIL_FLOATS(7));
    columns[4] = pil_bucketized_column(c, columns[3], b, 3);
    columns[5] = pil_crossed_column(c, PIL_KEYS(pil_key(c, "tags"), columns[4], columns[0]), 1000);
    struct program *program = program_of(columns, 6, NULL);
    program_target(program, &(struct program_target){ .field = "late", .width = 1, .classes = 2 }, &status);
    ASSERT_OK(status);
    state_field(program, "tags", PROGRAM_ANY_TYPE, '|');
    return program;
}

/* Row r as text; every fifth has no day, every third no tags. */
static void row_cells(int r, char out[5][40], const char *cells[5])
{
    static const char *const days[] = { "Mon", "Tue", "Wed", "Sun" };
    snprintf(out[0], 40, "%s", r % 5 == 4 ? "" : days[r % 4]);
    snprintf(out[1], 40, "%d", r % 24);
    snprintf(out[2], 40, r % 3 == 1 ? "t%d" : "t%d|common|u%d", r % 11, r % 7);
    snprintf(out[3], 40, "%g", (double)(r % 40) + 0.5);
    if (r % 3 == 2)
        out[2][0] = '\0';
    if (r % 13 == 0)
        out[3][0] = '\0';
    snprintf(out[4], 40, "%d", r % 2);
    for (int i = 0; i < 5; i++)
        cells[i] = out[i];
}

/* The same, one value at a time, from the formulas. */
static void check_row(const struct ran *ran, int64_t row, int r)
{
    char text[5][40];
    const char *cells[5];
    row_cells(r, text, cells);
    int64_t day = r % 5 == 4 ? -2 : r % 4 == 3 ? -1 : r % 4; /* -2: missing */
    float x = r % 13 == 0 ? 7 : (float)(r % 40) + 0.5f;
    int64_t bucket = x < 10 ? 0 : x < 20 ? 1 : x < 30 ? 2 : 3;
    int32_t ids[8] = { 0 };

    assert_int_equal(id_of(ran, 0, row), MAX(day, -1));
    uint64_t hash = fingerprint_cat64(fingerprint_cat64(UINT64_C(0xDECAFCAFFE), (uint64_t)day), (uint64_t)(r % 24));
    assert_int_equal(id_of(ran, 1, row), day == -2 ? -1 : (int64_t)(hash % 168));
    assert_true(number_of(ran, 0, row) == x);
    assert_int_equal(id_of(ran, 3, row), bucket);
    assert_true(number_of(ran, 1, row) == (float)(r % 2));

    size_t tags = r % 3 == 2 ? 0 : r % 3 == 1 ? 1 : 3;
    assert_int_equal(ids_of(ran, 2, row, ids, NULL, 8), tags);
    char *at = text[2];
    uint64_t prints[3];
    for (size_t i = 0; i < tags; i++) {
        size_t length = strcspn(at, "|");
        prints[i] = fingerprint64(at, length);
        assert_int_equal(ids[i], prints[i] % 50);
        at += length + 1;
    }
    assert_int_equal(ids_of(ran, 4, row, ids, NULL, 8), day == -2 ? 0 : tags);
    for (size_t i = 0; i < tags && day != -2; i++) {
        hash = fingerprint_cat64(UINT64_C(0xDECAFCAFFE), prints[i]);
        hash = fingerprint_cat64(fingerprint_cat64(hash, (uint64_t)bucket), (uint64_t)day);
        assert_int_equal(ids[i], hash % 1000);
    }
}

static const char **many_cells(int rows, struct arena *arena)
{
    pil_status status = OK_STATUS;
    const char **cells = arena_alloc(arena, (size_t)rows * 5 * sizeof *cells, &status);

    for (int r = 0; r < rows; r++) {
        char(*text)[40] = arena_alloc(arena, 5 * sizeof *text, &status);
        row_cells(r, text, cells + 5 * r);
    }
    return cells;
}

/* One more and one fewer than whole chunks, and a batch of one. */
static void all_paths(void **state)
{
    (void)state;
    static const int sizes[] = { 1, 2, 255, 256, 257, 1000 };
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);

    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        pil_columns *c = pil_columns_new();
        pil_column *columns[6];
        struct ran ran = run_rows(everything(c, columns), names, 5, many_cells(sizes[s], arena), (size_t)sizes[s]);
        ASSERT_OK(ran.status);
        assert_int_equal(ran.records.rows, sizes[s]);
        for (int r = 0; r < sizes[s]; r++)
            check_row(&ran, r, r);
        ran_free(&ran);
        pil_columns_free(c);
    }
    arena_free(arena);
}

/* Rows of the middle of a batch are appended to what is there. */
static void appended(void **state)
{
    (void)state;
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    pil_columns *c = pil_columns_new();
    pil_column *columns[6];
    struct ran ran = run_rows(everything(c, columns), names, 5, many_cells(700, arena), 700);

    records_clear(&ran.records);
    assert_true(program_run(ran.program, ran.fields, 650, 50, ran.scratch, &ran.records, &ran.status));
    assert_true(program_run(ran.program, ran.fields, 3, 300, ran.scratch, &ran.records, &ran.status));
    assert_true(program_run(ran.program, ran.fields, 9, 0, ran.scratch, &ran.records, &ran.status));
    assert_int_equal(ran.records.rows, 350);
    for (int r = 0; r < 350; r++)
        check_row(&ran, r, r < 50 ? 650 + r : r - 47);
    assert_false(program_run(ran.program, ran.fields, 650, 51, ran.scratch, &ran.records, &ran.status));
    assert_int_equal(ran.status.code, PIL_INTERNAL);
    ran_free(&ran);
    pil_columns_free(c);
    arena_free(arena);
}

/* The second pass over the same rows asks for no memory. */
static void no_second_allocation(void **state)
{
    (void)state;
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    pil_columns *c = pil_columns_new();
    pil_column *columns[6];
    struct ran ran = run_rows(everything(c, columns), names, 5, many_cells(600, arena), 600);

    uint64_t before = mem_allocations();
    for (int pass = 0; pass < 3; pass++) {
        records_clear(&ran.records);
        assert_true(program_run(ran.program, ran.fields, 0, 600, ran.scratch, &ran.records, &ran.status));
    }
    assert_true(mem_allocations() == before);
    check_row(&ran, 599, 599);
    ran_free(&ran);
    pil_columns_free(c);
    arena_free(arena);
}

/* A batch may hold other fields too, in any order; one that lacks a field is refused. */
static void other_fields(void **state)
{
    (void)state;
    static const struct field_spec wide[] = { { "more", FIELD_STRING, 0, 0, false },
                                              { "b", FIELD_INT64, 0, 0, true },
                                              { "a", FIELD_INT64, 0, 0, true } };
    static const struct field_spec narrow[] = { { "a", FIELD_INT64, 0, 0, true } };
    static const struct field_spec other[] = { { "a", FIELD_STRING, 0, 0, true }, { "b", FIELD_INT64, 0, 0, true } };
    pil_columns *c = pil_columns_new();
    pil_column *columns[] = { pil_categorical_column_with_identity(c, "a", 9), pil_categorical_column_with_identity(c, "b", 9) };
    struct program *program = program_of(columns, 2, NULL);
    struct records records;
    pil_status status = OK_STATUS;

    assert_true(program_finish(program, &status));
    struct program_scratch *scratch = program_scratch_new(program, &status);
    assert_true(records_init(&records, program, &status));
    struct fields *fields = fields_new(wide, 3, &status);
    assert_true(fields_set_int(fields, 1, 4, &status) && fields_set_int(fields, 2, 3, &status) &&
                fields_end_row(fields, 1, &status));
    assert_true(program_run(program, fields, 0, 1, scratch, &records, &status));
    assert_int_equal(records.words[0], 3);
    assert_int_equal(records.words[1], 4);
    fields_free(fields);
    fields = fields_new(narrow, 1, &status);
    assert_false(program_run(program, fields, 0, 0, scratch, &records, &status));
    ASSERT_TEXT(status, "the input has no field 'b'");
    fields_free(fields);
    status = OK_STATUS;
    fields = fields_new(other, 2, &status);
    assert_false(program_run(program, fields, 0, 0, scratch, &records, &status));
    ASSERT_TEXT(status, "field 'a' was read in another form");
    fields_free(fields);
    records_free(&records);
    program_scratch_free(scratch);
    program_free(program);
    pil_columns_free(c);
}

/* A program of targets only, one row. */
static struct ran run_target(const struct program_target *target, int type, char separator, const char *cell)
{
    pil_status status = OK_STATUS;
    struct program *program = program_new(&(struct program_options){ 0 }, &status);

    assert_int_equal(program_target(program, target, &status), 0);
    state_field(program, target->field, type, separator);
    return run_rows(program, &target->field, 1, &cell, 1);
}

static void targets(void **state)
{
    (void)state;
    static const char *const words[] = { "no", "yes" };
    static const struct {
        struct program_target target;
        int type;
        char separator;
        const char *cell;
        float want;
        const char *error;
    } cases[] = {
        { { .field = "y", .width = 1 }, PROGRAM_ANY_TYPE, 0, "-2.5", -2.5f, NULL },
        { { .field = "y", .width = 1 }, FIELD_INT64, 0, "-1", -1, NULL },
        { { .field = "y", .width = 1 }, PROGRAM_ANY_TYPE, 0, "", 0, "rows.csv:2: field 'y': the value is missing" },
        { { .field = "y", .width = 1, .classes = 2 }, PROGRAM_ANY_TYPE, 0, "0.25", 0.25f, NULL },
        { { .field = "y", .width = 1, .classes = 2 },
          PROGRAM_ANY_TYPE,
          0,
          "2",
          0,
          "the label 2 is no class: classes are 0 to 1" },
        { { .field = "y", .width = 1, .classes = 2 }, PROGRAM_ANY_TYPE, 0, "nan", 0, "the label nan is no class" },
        { { .field = "y", .width = 1, .classes = 5 }, PROGRAM_ANY_TYPE, 0, "4", 4, NULL },
        { { .field = "y", .width = 1, .classes = 5 }, PROGRAM_ANY_TYPE, 0, "1.5", 0, "the label 1.5 is no class" },
        { { .field = "y", .width = 1, .classes = 5 }, FIELD_INT64, 0, "-1", 0, "the label -1 is no class" },
        { { "y", 1, words, 2, 2 }, PROGRAM_ANY_TYPE, 0, "yes", 1, NULL },
        { { "y", 1, words, 2, 2 }, PROGRAM_ANY_TYPE, 0, "maybe", 0, "field 'y': 'maybe' is not in label_vocabulary" },
        { { "y", 1, words, 2, 2 }, PROGRAM_ANY_TYPE, 0, "", 0, "the value is missing" },
        { { .field = "y", .width = 2 }, PROGRAM_ANY_TYPE, '|', "3|4", 3, NULL },
        { { .field = "y", .width = 2 }, PROGRAM_ANY_TYPE, '|', "3", 0, "the cell has 1 numbers, the model takes 2" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ran ran = run_target(&cases[i].target, cases[i].type, cases[i].separator, cases[i].cell);
        if (cases[i].error) {
            assert_int_equal(ran.status.code, PIL_BAD_DATA);
            ASSERT_TEXT(ran.status, cases[i].error);
        } else {
            ASSERT_OK(ran.status);
            assert_true(number_of(&ran, 0, 0) == cases[i].want);
            assert_true(cases[i].target.width == 1 || number_of(&ran, 1, 0) == 4);
        }
        ran_free(&ran);
    }
}

/* Predicting: the source has no label at all, and zeros stand in its place. */
static void absent_target(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *x = pil_numeric_column(c, "x");
    struct program *program = program_of(&x, 1, NULL);
    struct records records;
    pil_status status = OK_STATUS;
    size_t count;

    program_target(program, &(struct program_target){ .field = "y", .width = 2, .classes = 3 }, &status);
    assert_true(program_finish(program, &status));
    const struct field_spec *specs = program_fields(program, &count);
    struct fields *fields = fields_new(specs, count, &status);
    struct program_scratch *scratch = program_scratch_new(program, &status);
    assert_true(records_init(&records, program, &status));
    fields->fields[fields_find(fields, "y")].absent = true;
    assert_true(fields_set_float(fields, (size_t)fields_find(fields, "x"), 5, &status) && fields_end_row(fields, 1, &status));
    assert_true(program_run(program, fields, 0, 1, scratch, &records, &status));
    float values[3];
    memcpy(values, records.words, sizeof values);
    assert_true(values[0] == 5 && values[1] == 0 && values[2] == 0);
    fields->fields[fields_find(fields, "x")].absent = true; /* a column's field may not be */
    assert_false(program_run(program, fields, 0, 1, scratch, &records, &status));
    ASSERT_TEXT(status, "the input has no field 'x'");
    records_free(&records);
    fields_free(fields);
    program_scratch_free(scratch);
    program_free(program);
    pil_columns_free(c);
}

/* Every allocation of a run fails once; the records can be cleared and filled again. */
static void memory(void **state)
{
    (void)state;
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    pil_columns *c = pil_columns_new();
    pil_column *columns[6];
    struct ran ran = run_rows(everything(c, columns), names, 5, many_cells(300, arena), 300);
    ASSERT_OK(ran.status);

    for (int64_t n = 0;; n++) {
        struct records records = { 0 };
        struct program_scratch *scratch = NULL;
        status = OK_STATUS;
        failing_start(n, false);
        bool ready =
            records_init(&records, ran.program, &status) && (scratch = program_scratch_new(ran.program, &status)) != NULL;
        bool worked = ready && program_run(ran.program, ran.fields, 0, 300, scratch, &records, &status);
        records_free(&records);
        program_scratch_free(scratch);
        bool reached = failing_stop();
        assert_int_equal(failing_live, 0);
        assert_int_equal(worked, !reached);
        assert_int_equal(status.code, reached ? PIL_NO_MEMORY : PIL_OK);
        if (!reached)
            break;
    }
    ran_free(&ran);
    pil_columns_free(c);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_paths),    cmocka_unit_test(appended), cmocka_unit_test(no_second_allocation),
        cmocka_unit_test(other_fields), cmocka_unit_test(targets),  cmocka_unit_test(absent_target),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
