/* SPDX-License-Identifier: Apache-2.0 */
/* JSON lines into fields: every kind of value in every type of field, and what is wrong with a line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "input/input.h"

static const struct field_spec specs[] = {
    { .name = "n", .type = FIELD_INT64, .required = true },
    { .name = "x", .type = FIELD_FLOAT, .required = true },
    { .name = "word", .type = FIELD_STRING, .required = true },
    { .name = "tags", .type = FIELD_STRING, .separator = '|', .required = true },
    { .name = "pairs", .type = FIELD_INT64, .separator = ' ', .weight_separator = ':', .required = true },
    { .name = "label", .type = FIELD_FLOAT },
};
enum { N, X, WORD, TAGS, PAIRS, LABEL, COUNT };

static struct block block_of(const char *text)
{
    return (struct block){ .data = text, .size = strlen(text), .path = "x.json", .first_line = 1 };
}

static struct lines *new_lines(bool skip_bad, const struct block *first)
{
    pil_status status = { 0 };
    struct lines *lines = lines_new(specs, COUNT, NULL, skip_bad, first, &status);
    if (lines == NULL)
        fail_msg("%s", status.message);
    return lines;
}

static struct fields *new_fields(void)
{
    pil_status status = { 0 };
    struct fields *fields = fields_new(specs, COUNT, &status);
    assert_non_null(fields);
    return fields;
}

static void values(void **unused)
{
    (void)unused;
    struct lines *lines = new_lines(false, NULL);
    struct fields *fields = new_fields();
    struct block block = block_of(
        "{\"n\": 1, \"x\": 1.5, \"word\": \"a\\n\\u00e9\", \"tags\": [\"p|q\", null, \"r\"], \"pairs\": [\"5:0.5\", 7]}\n"
        "\r\n"
        "  {\"n\": 2.0, \"x\": 3, \"word\": 12, \"tags\": \"a||b\", \"pairs\": \"1:2 3\", \"other\": [[]]} \r\n"
        "{}\n"
        "{\"n\": \"4\", \"x\": \" 2.5 \", \"word\": true, \"tags\": 1.5, \"pairs\": 3, \"label\": [1]}\n"
        "{\"n\": true, \"x\": NaN, \"word\": \"\", \"tags\": [], \"pairs\": null, \"label\": false}");
    pil_status status = { 0 };
    if (!lines_parse(lines, &block, fields, NULL, &status))
        fail_msg("%s", status.message);
    assert_int_equal(fields->rows, 5);
    const struct field *f = fields->fields;
    const int64_t n[] = { 1, 2, 0, 4, 1 }, at[] = { 1, 3, 4, 5, 6 }, tags[] = { 0, 2, 4, 4, 5, 5 },
                  pairs[] = { 0, 2, 4, 4, 5, 5 };
    const char *const words[] = { "a\n\xC3\xA9", "12", "", "true", "" }, *const all_tags[] = { "p|q", "r", "a", "b", "1.5" };
    const float x[] = { 1.5f, 3, 0, 2.5f };
    for (int i = 0; i < 5; i++) {
        assert_int_equal(f[N].ints[i], n[i]);
        assert_int_equal(f[N].present[i], i != 2);
        assert_int_equal(fields->lines[i], at[i]);
        assert_int_equal(f[TAGS].offsets[i + 1], tags[i + 1]);
        assert_int_equal(f[PAIRS].offsets[i + 1], pairs[i + 1]);
        assert_true(slice_is(f[WORD].texts[i], words[i]));
        assert_int_equal(f[WORD].present[i], words[i][0] != '\0');
        assert_true(slice_is(f[TAGS].texts[i], all_tags[i]));
        assert_true(i == 4 ? f[X].floats[i] != f[X].floats[i] : f[X].floats[i] == x[i]);
        assert_int_equal(f[LABEL].present[i], i >= 3);
    }
    const int64_t ids[] = { 5, 7, 1, 3, 3 };
    const float weights[] = { 0.5f, 1, 2, 1, 1 };
    for (int i = 0; i < 5; i++) {
        assert_int_equal(f[PAIRS].ints[i], ids[i]);
        assert_true(f[PAIRS].weights[i] == weights[i]);
    }
    assert_true(f[LABEL].floats[3] == 1 && f[LABEL].floats[4] == 0 && !f[LABEL].absent);
    fields_free(fields);
    lines_free(lines);
}

/* What the first object lacks is not there at all. */
static void optional_fields(void **unused)
{
    (void)unused;
    struct block block = block_of("\n{\"n\": 1}\n{\"n\": 2, \"label\": 3}\n");
    struct lines *lines = new_lines(false, &block);
    struct fields *fields = new_fields();
    pil_status status = { 0 };
    assert_true(lines_parse(lines, &block, fields, NULL, &status));
    assert_true(fields->fields[LABEL].absent && !fields->fields[X].absent);
    assert_int_equal(fields->fields[LABEL].present[1], 0);
    fields_free(fields);
    lines_free(lines);
}

static void errors(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "{\"n\": 1}\n{\"n\": }\n", "x.json:2: JSON is wrong at offset 6" },
        { "[1]", "x.json:1: a line of JSON lines must be an object" },
        { "{\"n\": 1.5}", "x.json:1: field 'n': '1.5' is not a 64-bit integer\n          {\"n\": 1.5}\n" },
        { "{\"x\": \"abc\"}", "x.json:1: field 'x': 'abc' is not a number" },
        { "{\"x\": [1, 2]}", "x.json:1: field 'x': a list of 2 values, and the field has one value a row" },
        { "{\"x\": {}}", "x.json:1: field 'x': a list or an object is no value here" },
        { "{\"tags\": [[]]}", "x.json:1: field 'tags': a list or an object is no value here" },
        { "{\"n\": 1, \"n\": 2}", "x.json:1: field 'n': is given twice" },
        { "{\"pairs\": [\"1:x\"]}", "x.json:1: field 'pairs': '1:x' is not a value with its weight" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct lines *lines = new_lines(false, NULL), *skipping = new_lines(true, NULL);
        struct fields *fields = new_fields();
        struct block block = block_of(cases[i].text);
        pil_status status = { 0 };
        assert_false(lines_parse(lines, &block, fields, NULL, &status));
        assert_int_equal(status.code, PIL_BAD_DATA);
        if (strncmp(status.message, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("'%s' instead of '%s'", status.message, cases[i].message);
        assert_non_null(strstr(status.message, "input.on_error: skip"));

        int64_t skipped = 0, rows = i == 0;
        status_clear(&status);
        fields_clear(fields);
        assert_true(lines_parse(skipping, &block, fields, &skipped, &status));
        assert_int_equal(skipped, 1);
        assert_int_equal(fields->rows, rows);
        for (int f = 0; f < COUNT; f++)
            assert_int_equal(fields->fields[f].entries, specs[f].separator != 0 ? 0 : rows);
        fields_free(fields);
        lines_free(lines);
        lines_free(skipping);
    }
}

static void split_by_a_field(void **unused)
{
    (void)unused;
    static const struct field_spec spec = { .name = "n", .type = FIELD_INT64, .required = true };
    struct text text = { 0 };
    for (int i = 0; i < 1000; i++)
        text_format(&text, "{\"n\": %d, \"key\": %d}\n", i, i / 5);
    bool in[1000] = { 0 };
    int64_t rows[2];
    for (int held = 0; held < 2; held++) {
        const struct row_split split = { .share = 0.3, .held_out = held, .by = "key" };
        pil_status status = { 0 };
        struct lines *lines = lines_new(&spec, 1, &split, false, NULL, &status);
        struct fields *fields = fields_new(&spec, 1, &status);
        assert_true(lines != NULL && fields != NULL);
        struct block block = block_of(text.data);
        assert_true(lines_parse(lines, &block, fields, NULL, &status));
        rows[held] = fields->rows;
        for (int64_t i = 0; i < fields->rows; i++) {
            assert_false(in[fields->fields[0].ints[i]]);
            in[fields->fields[0].ints[i]] = true;
            assert_true(i % 5 == 0 || fields->fields[0].ints[i] / 5 == fields->fields[0].ints[i - 1] / 5);
        }
        fields_free(fields);
        lines_free(lines);
    }
    assert_int_equal(rows[0] + rows[1], 1000);
    assert_in_range(rows[1], 150, 450);
    text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(optional_fields),
        cmocka_unit_test(errors),
        cmocka_unit_test(split_by_a_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
