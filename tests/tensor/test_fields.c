/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of raw fields: cells of all kinds, missing values, lists, weights, bad cells, rows taken back, memory. */
#include "failing.h"
#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { WORD, COUNT, NUMBER, WORDS, COUNTS, BAG, PAIR };
static const struct field_spec specs[] = {
    [WORD] = { "word", FIELD_STRING, 0, 0, true },      [COUNT] = { "count", FIELD_INT64, 0, 0, true },
    [NUMBER] = { "number", FIELD_FLOAT, 0, 0, true },   [WORDS] = { "words", FIELD_STRING, '|', 0, true },
    [COUNTS] = { "counts", FIELD_INT64, '|', 0, true }, [BAG] = { "bag", FIELD_STRING, '|', ':', true },
    [PAIR] = { "pair", FIELD_STRING, 0, ':', true },
};

static struct fields *new_fields(void)
{
    pil_status status = { 0 };
    struct fields *fields = fields_new(specs, COUNT_OF(specs), &status);
    assert_non_null(fields);
    return fields;
}

static bool cell(struct fields *fields, size_t field, const char *text, pil_status *status)
{
    return fields_set_cell(fields, field, slice_text(text), status);
}

static void assert_text(struct slice slice, const char *text)
{
    assert_true(slice_is(slice, text));
}

static void cells(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct fields *fields = new_fields();
    static const char *const rows[][COUNT_OF(specs)] = {
        { "Mon", "7", "1.5", "a|b||c", "1|-2", "x:0.5|y|http://z:2", "k:3" },
        { "", "", "", "", "", "", "" },
        { " sp ", "-9223372036854775808", " 2e3 ", "|", "|5|", "y:-1", "plain" },
    };
    for (size_t r = 0; r < COUNT_OF(rows); r++) {
        fields->source = r < 2 ? "one.csv" : "two.csv";
        for (size_t f = 0; f < COUNT_OF(specs); f++)
            assert_true(cell(fields, f, rows[r][f], &status));
        assert_true(fields_end_row(fields, (int64_t)r + 2, &status));
    }
    const struct field *f = fields->fields;
    assert_int_equal(fields->rows, 3);
    assert_int_equal(f[WORD].entries, 3);
    assert_text(f[WORD].texts[0], "Mon");
    assert_ptr_equal(f[WORD].texts[0].data, rows[0][WORD]); /* the caller's bytes */
    assert_text(f[WORD].texts[2], " sp ");
    for (int single = WORD; single <= NUMBER; single++) {
        assert_null(f[single].offsets);
        assert_int_equal(f[single].present[0], 1);
        assert_int_equal(f[single].present[1], 0);
        assert_int_equal(f[single].present[2], 1);
    }
    assert_int_equal(f[COUNT].ints[0], 7);
    assert_true(f[COUNT].ints[2] == INT64_MIN);
    assert_true(f[NUMBER].floats[0] == 1.5f && f[NUMBER].floats[2] == 2000);
    static const int64_t word_offsets[] = { 0, 3, 3, 3 }, count_offsets[] = { 0, 2, 2, 3 }, bag_offsets[] = { 0, 3, 3, 4 };
    assert_memory_equal(f[WORDS].offsets, word_offsets, sizeof(word_offsets));
    assert_memory_equal(f[COUNTS].offsets, count_offsets, sizeof(count_offsets));
    assert_memory_equal(f[BAG].offsets, bag_offsets, sizeof(bag_offsets));
    assert_text(f[WORDS].texts[0], "a");
    assert_text(f[WORDS].texts[2], "c");
    assert_true(f[COUNTS].ints[1] == -2 && f[COUNTS].ints[2] == 5);
    assert_text(f[BAG].texts[2], "http://z");
    assert_true(f[BAG].weights[0] == 0.5f && f[BAG].weights[1] == 1 && f[BAG].weights[2] == 2 && f[BAG].weights[3] == -1);
    assert_text(f[PAIR].texts[0], "k");
    assert_true(f[PAIR].weights[0] == 3 && f[PAIR].weights[1] == 1 && f[PAIR].weights[2] == 1);
    assert_text(f[PAIR].texts[2], "plain");
    assert_null(f[WORDS].weights);
    assert_true(fields->lines[0] == 2 && fields->lines[2] == 4);
    assert_string_equal(fields->sources[1], "one.csv");
    assert_string_equal(fields->sources[2], "two.csv");
    assert_int_equal(fields_find(fields, "bag"), BAG);
    assert_int_equal(fields_find(fields, "bags"), -1);
    fields_free(fields);
    fields_free(NULL);
}

static void bad_cells(void **state)
{
    (void)state;
    static const struct {
        size_t field;
        const char *cell, *message;
    } cases[] = {
        { NUMBER, "abc", "'abc' is not a number" },
        { NUMBER, " ", "' ' is not a number" },
        { NUMBER, "1.5.2", "'1.5.2' is not a number" },
        { COUNT, "1.5", "'1.5' is not a 64-bit integer" },
        { COUNT, "9223372036854775808", "'9223372036854775808' is not a 64-bit integer" },
        { COUNTS, "1|2|x", "'x' is not a 64-bit integer" },
        { BAG, "a:1|b:heavy", "weight 'heavy' in 'b:heavy' is not a number" },
        { BAG, "a:1|b:", "weight '' in 'b:' is not a number" },
        { BAG, "a:1|:2", "':2' has a weight but no value" },
        { PAIR, "k:x", "weight 'x' in 'k:x' is not a number" },
        { NUMBER, "line\nbreak\x1b[2J", "'line?break?[2J' is not a number" },
        { NUMBER, "0123456789012345678901234567890123456789x", "'0123456789012345678901234567890123456789...' is not a number" },
        { NUMBER, "012345678901234567890123456789012345678\xc3\xa9",
          "'012345678901234567890123456789012345678...' is not a number" },
    };
    struct fields *fields = new_fields();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_status status = { 0 };
        assert_false(cell(fields, cases[i].field, cases[i].cell, &status));
        assert_int_equal(status.code, PIL_BAD_DATA);
        assert_string_equal(status.message, cases[i].message);
        assert_int_equal(fields->fields[cases[i].field].entries, 0); /* the parts before the bad one are gone too */
    }
    fields_free(fields);
}

static void typed_values(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct fields *fields = new_fields();
    assert_true(fields_set_text(fields, WORD, slice_text(""), &status)); /* a value that is empty, not a missing one */
    assert_true(fields_set_int(fields, COUNT, -5, &status));
    assert_true(fields_set_int(fields, NUMBER, 3, &status));
    assert_true(fields_set_text(fields, WORDS, slice_text("a"), &status));
    assert_true(fields_set_text(fields, WORDS, slice_text("b"), &status));
    assert_true(fields_set_weight(fields, WORDS, 0.25f, &status)); /* a weight where none was announced */
    assert_true(fields_end_row(fields, 1, &status));
    assert_true(fields_set_float(fields, NUMBER, NAN, &status)); /* a value, not a missing one */
    assert_true(fields_set_text(fields, WORDS, slice_text("c"), &status));
    assert_true(fields_end_row(fields, 2, &status));
    const struct field *f = fields->fields;
    assert_int_equal(f[WORD].present[0], 1);
    assert_int_equal(f[COUNT].ints[0], -5);
    assert_true(f[NUMBER].floats[0] == 3 && isnan(f[NUMBER].floats[1]) && f[NUMBER].present[1]);
    assert_true(f[WORDS].weights[0] == 1 && f[WORDS].weights[1] == 0.25f && f[WORDS].weights[2] == 1);
    fields_free(fields);
}

static void wrong_values(void **state)
{
    (void)state;
    static const struct {
        int kind;
        size_t field;
        const char *message;
    } cases[] = {
        { 0, COUNT, "field 'count' is declared int64, and the data has string" },
        { 0, NUMBER, "field 'number' is declared float32, and the data has string" },
        { 1, WORD, "field 'word' is declared string, and the data has int64" },
        { 2, COUNT, "field 'count' is declared int64, and the data has float32" },
        { 3, COUNT, "field 'count' has a weight before any value" },
        { 3, BAG, "field 'bag' has a weight before any value" },
    };
    struct fields *fields = new_fields();
    pil_status status = { 0 };
    assert_true(fields_end_row(fields, 1, &status)); /* a weight must not reach the row before */
    assert_true(cell(fields, BAG, "a", &status) && fields_end_row(fields, 2, &status));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        status_clear(&status);
        bool done = cases[i].kind == 0   ? fields_set_text(fields, cases[i].field, slice_text("x"), &status)
                    : cases[i].kind == 1 ? fields_set_int(fields, cases[i].field, 1, &status)
                    : cases[i].kind == 2 ? fields_set_float(fields, cases[i].field, 1, &status)
                                         : fields_set_weight(fields, cases[i].field, 1, &status);
        assert_false(done);
        assert_int_equal(status.code, PIL_BAD_DATA);
        assert_string_equal(status.message, cases[i].message);
    }
    status_clear(&status);
    assert_true(fields_set_int(fields, COUNT, 1, &status));
    assert_false(fields_set_int(fields, COUNT, 2, &status));
    assert_non_null(strstr(status.message, "'count' has one value a row"));
    fields_free(fields);
}

static void rows_taken_back(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct fields *fields = new_fields();
    for (int row = 0; row < 20; row++) {
        assert_true(cell(fields, WORD, "bad", &status));
        assert_true(cell(fields, WORDS, "bad|worse", &status));
        assert_true(cell(fields, PAIR, "bad:9", &status));
        fields_undo_row(fields);
        assert_true(cell(fields, WORD, "good", &status));
        assert_true(cell(fields, WORDS, "good", &status));
        assert_true(fields_end_row(fields, row, &status));
    }
    const struct field *f = fields->fields;
    for (int row = 0; row < 20; row++) {
        assert_text(f[WORD].texts[row], "good");
        assert_int_equal(f[WORDS].offsets[row + 1], row + 1);
        assert_text(f[WORDS].texts[row], "good");
        assert_int_equal(f[PAIR].present[row], 0);
        assert_true(f[PAIR].weights[row] == 1);
        assert_int_equal(f[PAIR].texts[row].size, 0);
    }
    fields_free(fields);
}

static bool fill(struct fields *fields, int rows, pil_status *status)
{
    static const char *const texts[COUNT_OF(specs)] = { "w", "1", "2.5", "a|b", "1|2|3", "x:2|y", "k:4" };
    for (int r = 0; r < rows; r++) {
        for (size_t f = 0; f < COUNT_OF(specs); f++)
            if (!cell(fields, f, texts[f], status))
                return false;
        char *own = fields_own_text(fields, 5, status);
        if (own == NULL)
            return false;
        memcpy(own, "hello", 5);
        if (!fields_set_text(fields, WORDS, slice_of(own, 5), status) || !fields_set_weight(fields, WORDS, 7, status) ||
            !fields_end_row(fields, fields->rows, status))
            return false;
    }
    return true;
}

static void check_filled(const struct fields *fields, int rows)
{
    assert_int_equal(fields->rows, rows);
    const struct field *f = fields->fields;
    for (int r = 0; r < rows; r++) {
        assert_text(f[WORD].texts[r], "w");
        assert_true(f[COUNT].ints[r] == 1 && f[NUMBER].floats[r] == 2.5f);
        assert_text(f[WORDS].texts[3 * r + 2], "hello");
        assert_true(f[WORDS].weights[3 * r] == 1 && f[WORDS].weights[3 * r + 2] == 7);
        assert_true(f[COUNTS].ints[3 * r + 2] == 3);
        assert_true(f[BAG].weights[2 * r] == 2 && f[BAG].weights[2 * r + 1] == 1);
        assert_true(f[PAIR].weights[r] == 4 && f[PAIR].present[r]);
        assert_int_equal(fields->lines[r], r);
    }
}

static void a_second_pass_allocates_nothing(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct fields *fields = new_fields();
    assert_true(fill(fields, 100, &status));
    check_filled(fields, 100);
    fields_clear(fields);
    uint64_t before = mem_allocations();
    assert_true(fill(fields, 100, &status));
    assert_int_equal(mem_allocations(), before);
    check_filled(fields, 100);
    fields_free(fields);
    /* Reserved: one value a field and row needs nothing more. */
    fields = new_fields();
    assert_true(fields_reserve(fields, 300, &status));
    assert_true(fields_reserve(fields, 0, &status));
    before = mem_allocations();
    for (int r = 0; r < 300; r++) {
        for (size_t f = 0; f < COUNT_OF(specs); f++)
            assert_true(cell(fields, f, f == PAIR ? "1:2" : "1", &status));
        assert_true(fields_end_row(fields, r, &status));
    }
    assert_int_equal(mem_allocations(), before);
    assert_int_equal(fields->fields[COUNTS].offsets[300], 300);
    fields_free(fields);
}

/* Columns put whole, behind rows that came one by one; fields that got nothing are missing. */
static void whole_columns(void **state)
{
    (void)state;
    static const char *const words[] = { "a", NULL, "", "d" };
    static const int64_t ints[] = { 4, 5, 6, 7 }, splits[] = { 1, 1, 4 }, none[] = { 2, 2, 2 };
    pil_status status = { 0 };
    struct fields *fields = new_fields();
    assert_true(cell(fields, WORD, "first", &status) && cell(fields, WORDS, "x|y", &status) &&
                fields_end_row(fields, 9, &status));
    fields->source = "here";
    assert_true(fields_put(fields, WORD, &(struct field_values){ FIELD_STRING, words, 2, 1, NULL }, &status));
    assert_true(fields_put(fields, NUMBER, &(struct field_values){ FIELD_INT64, ints, 2, 1, NULL }, &status));
    assert_true(fields_put(fields, COUNTS, &(struct field_values){ FIELD_INT64, ints, 2, 2, NULL }, &status));
    assert_true(fields_put(fields, BAG, &(struct field_values){ FIELD_STRING, words, 2, 0, splits }, &status));
    assert_true(fields_put(fields, WORDS, &(struct field_values){ FIELD_STRING, words, 2, 0, none }, &status));
    assert_true(fields_end_rows(fields, 2, 20, &status));
    assert_int_equal(fields->rows, 3);
    assert_int_equal(fields->lines[2], 21);
    assert_string_equal(fields->sources[1], "here");
    const struct field *field = fields->fields;
    assert_text(field[WORD].texts[1], "a");
    assert_true(field[WORD].present[1] && !field[WORD].present[2]);
    assert_true(field[NUMBER].floats[1] == 4 && field[NUMBER].floats[2] == 5);
    assert_true(!field[NUMBER].present[0] && field[NUMBER].present[2]);
    assert_true(!field[COUNT].present[1] && !field[COUNT].present[2] && field[COUNT].entries == 3);
    assert_int_equal(field[COUNTS].offsets[2], 2);
    assert_int_equal(field[COUNTS].offsets[3], 4);
    assert_int_equal(field[COUNTS].ints[3], 7);
    assert_true(field[COUNTS].dense && !field[BAG].dense);
    assert_int_equal(field[BAG].offsets[2], 0);
    assert_int_equal(field[BAG].offsets[3], 3);
    assert_true(!field[BAG].present[0] && field[BAG].present[1] && field[BAG].texts[1].size == 0);
    assert_text(field[BAG].texts[2], "d");
    assert_true(field[BAG].weights[2] == 1);
    assert_int_equal(field[WORDS].offsets[1], 2);
    assert_int_equal(field[WORDS].offsets[3], 2);
    assert_true(field[PAIR].entries == 3 && field[PAIR].weights[2] == 1);

    assert_false(fields_put(fields, WORD, &(struct field_values){ FIELD_INT64, ints, 2, 1, NULL }, &status));
    assert_string_equal(status.message, "field 'word' is declared string, and the data has int64");
    status_clear(&status);
    assert_false(fields_put(fields, COUNT, &(struct field_values){ FIELD_INT64, ints, 2, 2, NULL }, &status));
    assert_string_equal(status.message, "field 'count' has one value a row, and several are given");
    fields_free(fields);
}

/* Each allocation fails once; the row is taken back and filled again. */
static void no_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        struct fields *fields = fields_new(specs, COUNT_OF(specs), &status);
        bool failed = fields == NULL;
        if (!failed && !fill(fields, 30, &status)) {
            failed = true;
            pil_status again = { 0 };
            fields_undo_row(fields);
            assert_true(fill(fields, 30 - (int)fields->rows, &again));
            check_filled(fields, 30);
        }
        fields_free(fields);
        assert_int_equal(failing_live, 0);
        if (!failing_stop()) {
            assert_false(failed);
            assert_true(n > 20);
            break;
        }
        assert_true(failed);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells),         cmocka_unit_test(bad_cells),       cmocka_unit_test(typed_values),
        cmocka_unit_test(wrong_values),  cmocka_unit_test(rows_taken_back), cmocka_unit_test(a_second_pass_allocates_nothing),
        cmocka_unit_test(whole_columns), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("tensor/fields", tests, NULL, NULL);
}
