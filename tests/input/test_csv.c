/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV into fields: the cases of csv-spectrum and of TensorFlow's decode_csv, the errors word by word, and the two readers
 * of csv.c against each other. A record without its newline is read byte by byte, with it through the index, so cutting a
 * text into blocks of one record without newlines gives the other reader's answer.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "failing.h"
#include "input/input.h"

/* ---- tools --------------------------------------------------------------------------------------------------- */

static struct csv *new_csv(const struct csv_options *options, const char *header, const struct field_spec *specs, size_t count)
{
    pil_status status = { 0 };
    struct csv *csv = csv_new(options, NULL, slice_text(header), "x.csv", specs, count, &status);
    if (csv == NULL)
        fail_msg("%s", status.message);
    return csv;
}

static struct fields *new_fields(const struct field_spec *specs, size_t count)
{
    pil_status status = { 0 };
    struct fields *fields = fields_new(specs, count, &status);
    assert_non_null(fields);
    return fields;
}

static struct block block_of(const char *text, size_t size, int64_t line)
{
    return (struct block){ .data = text, .size = size, .path = "x.csv", .first_line = line };
}

static void parse_text(const struct csv *csv, struct fields *fields, const char *text)
{
    struct block block = block_of(text, strlen(text), 2);
    pil_status status = { 0 };
    if (!csv_parse(csv, &block, fields, NULL, &status))
        fail_msg("%s", status.message);
}

static void parse_fails(const struct csv *csv, const struct field_spec *specs, size_t count, const char *text,
                        const char *message)
{
    struct fields *fields = new_fields(specs, count);
    struct block block = block_of(text, strlen(text), 2);
    pil_status status = { 0 };
    assert_false(csv_parse(csv, &block, fields, NULL, &status));
    assert_int_equal(status.code, PIL_BAD_DATA);
    if (strncmp(status.message, message, strlen(message)) != 0)
        fail_msg("\n%s\ninstead of\n%s", status.message, message);
    fields_free(fields);
}

static void texts_are(const struct fields *fields, size_t field, const char *const *expected, int64_t count)
{
    assert_int_equal(fields->rows, count);
    for (int64_t i = 0; i < count; i++) {
        struct slice text = fields->fields[field].texts[i];
        if (!slice_is(text, expected[i]) || fields->fields[field].present[i] != (expected[i][0] != '\0'))
            fail_msg("row %d: '%.*s' instead of '%s'", (int)i, (int)text.size, text.data, expected[i]);
    }
}

static const struct field_spec abc[] = {
    { .name = "a", .type = FIELD_INT64, .required = true },
    { .name = "b", .type = FIELD_STRING, .required = true },
    { .name = "c", .type = FIELD_FLOAT, .required = true },
};
static const struct csv_options with_header = { .header = true };

/* ---- values -------------------------------------------------------------------------------------------------- */

static void values(void **unused)
{
    (void)unused;
    struct csv *csv = new_csv(&with_header, "c,x,\"b\",a", abc, 3);
    struct fields *fields = new_fields(abc, 3);
    parse_text(csv, fields,
               "1.5,,one,1\r\n"
               "\r\n"
               "\"-2.5\",\"x\ny\",\"t\"\"w\"\"o\",\"2\"\n"
               "\n"
               " 3.5 ,z, \"three\" , 3 \n"
               ",,,\n"
               "5.5,\"\",5'10\" tall,5.0\n"
               "6,5\",\"6,\n6\",6");
    const char *const texts[] = { "one", "t\"w\"o", " \"three\" ", "", "5'10\" tall", "6,\n6" };
    texts_are(fields, 1, texts, 6);
    const float floats[] = { 1.5f, -2.5f, 3.5f, 0, 5.5f, 6 };
    const int64_t ints[] = { 1, 2, 3, 0, 5, 6 }, lines[] = { 2, 4, 7, 8, 9, 10 };
    for (int i = 0; i < 6; i++) {
        assert_true(fields->fields[2].floats[i] == floats[i]);
        assert_int_equal(fields->fields[0].ints[i], ints[i]);
        assert_int_equal(fields->fields[2].present[i], i != 3);
        assert_int_equal(fields->lines[i], lines[i]);
        assert_string_equal(fields->sources[i], "x.csv");
    }
    /* Behind what is there. */
    parse_text(csv, fields, "7,,seven,7\n");
    assert_int_equal(fields->rows, 7);
    assert_int_equal(fields->fields[0].ints[6], 7);
    fields_free(fields);
    csv_free(csv);
}

static void many_values_and_weights(void **unused)
{
    (void)unused;
    static const struct field_spec specs[] = {
        { .name = "ids", .type = FIELD_INT64, .separator = ' ', .required = true },
        { .name = "words", .type = FIELD_STRING, .separator = '|', .weight_separator = ':', .required = true },
        { .name = "one", .type = FIELD_STRING, .weight_separator = ':', .required = true },
    };
    struct csv *csv = new_csv(&with_header, "ids,words,one", specs, 3);
    struct fields *fields = new_fields(specs, 3);
    parse_text(csv, fields, "1 2 3,a:0.5|b,x:2\n,,\n4,\"c:1|\"\"d\"\":3\",y\n");
    const int64_t offsets[] = { 0, 3, 3, 4 }, words[] = { 0, 2, 2, 4 };
    const float weights[] = { 0.5f, 1, 1, 3 };
    for (int i = 0; i < 4; i++) {
        assert_int_equal(fields->fields[0].offsets[i], offsets[i]);
        assert_int_equal(fields->fields[1].offsets[i], words[i]);
        assert_true(fields->fields[1].weights[i] == weights[i]);
    }
    assert_true(slice_is(fields->fields[1].texts[3], "\"d\""));
    assert_int_equal(fields->fields[0].ints[3], 4);
    assert_true(fields->fields[2].weights[0] == 2 && fields->fields[2].weights[2] == 1);
    assert_int_equal(fields->fields[2].present[1], 0);
    fields_free(fields);
    parse_fails(csv, specs, 3, "1 2,a:b:c:1,x\n1 q 2,a,x\n",
                "x.csv:3: field 'ids' (column 1): 'q' is not a 64-bit integer\n"
                "          1 q 2,a,x\n"
                "          ^^^^^\n");
    csv_free(csv);
}

static void names_instead_of_a_header(void **unused)
{
    (void)unused;
    const char *const names[] = { "a", "b", "c" };
    const struct csv_options options = { .names = names, .name_count = 3, .delimiter = '\t', .comment = '#' };
    struct csv *csv = new_csv(&options, "", abc, 3);
    struct fields *fields = new_fields(abc, 3);
    parse_text(csv, fields, "#1\t\"2\n1\tx, y\t2\n#\n2\t#\t\"4\"\n# the \"end");
    const char *const texts[] = { "x, y", "#" };
    texts_are(fields, 1, texts, 2);
    assert_int_equal(fields->lines[0], 3);
    assert_int_equal(fields->lines[1], 5);
    fields_free(fields);
    csv_free(csv);
}

/* One column: a blank line is no record, "" is an empty one. */
static void one_column(void **unused)
{
    (void)unused;
    static const struct field_spec spec = { .name = "b", .type = FIELD_STRING, .required = true };
    struct csv *csv = new_csv(&with_header, "b", &spec, 1);
    struct fields *fields = new_fields(&spec, 1);
    parse_text(csv, fields, "x\n\n\r\ny\r\n\"\"\n\"\n\"\nz");
    const char *const texts[] = { "x", "y", "", "\n", "z" };
    texts_are(fields, 0, texts, 5);
    assert_int_equal(fields->lines[4], 9);
    fields_free(fields);
    csv_free(csv);
}

/* More columns than the index holds. */
static void thousands_of_columns(void **unused)
{
    (void)unused;
    static const struct field_spec spec = { .name = "c4999", .type = FIELD_INT64, .required = true };
    for (int columns = 4000; columns <= 5000; columns += 1000) {
        struct text header = { 0 }, rows = { 0 };
        for (int i = 5000 - columns; i < 5000; i++)
            text_format(&header, "%sc%d", header.size > 0 ? "," : "", i);
        for (int row = 0; row < 3; row++)
            for (int i = 0; i < columns; i++)
                text_format(&rows, "%d%s", row * columns + i, i + 1 < columns ? "," : "\n");
        struct csv *csv = new_csv(&with_header, header.data, &spec, 1);
        struct fields *fields = new_fields(&spec, 1);
        parse_text(csv, fields, rows.data);
        assert_int_equal(fields->rows, 3);
        for (int row = 0; row < 3; row++)
            assert_int_equal(fields->fields[0].ints[row], row * columns + columns - 1);
        fields_free(fields);
        csv_free(csv);
        text_free(&header);
        text_free(&rows);
    }
}

static void optional_fields(void **unused)
{
    (void)unused;
    static const struct field_spec specs[] = {
        { .name = "label", .type = FIELD_FLOAT },
        { .name = "a", .type = FIELD_INT64, .required = true },
    };
    struct csv *csv = new_csv(&with_header, "a", specs, 2);
    struct fields *fields = new_fields(specs, 2);
    parse_text(csv, fields, "1\n2\n");
    assert_true(fields->fields[0].absent);
    assert_false(fields->fields[1].absent);
    assert_int_equal(fields->rows, 2);
    assert_int_equal(fields->fields[0].present[1], 0);
    fields_free(fields);
    csv_free(csv);
}

/* ---- errors -------------------------------------------------------------------------------------------------- */

static void errors_word_by_word(void **unused)
{
    (void)unused;
    static const struct field_spec specs[] = { { .name = "distance", .type = FIELD_FLOAT, .required = true },
                                               { .name = "day", .type = FIELD_INT64, .required = true } };
    struct csv *csv = new_csv(&with_header, "carrier,flight,tail,from,to,distance,day", specs, 2);
    parse_fails(
        csv, specs, 2, "UA,1545,N14228,EWR,IAH,1,2\r\nUA,1545,N14228,EWR,IAH,abc,2\r\n",
        "x.csv:3: field 'distance' (column 6): 'abc' is not a number\n"
        "          UA,1545,N14228,EWR,IAH,abc,2\n"
        "                                 ^^^\n"
        "          set default_value to fill such fields, or input.on_error: skip (in C: .ignore_errors) to drop such rows");
    parse_fails(csv, specs, 2, "UA,\xC3\xA9t\xC3\xA9,N14228,EWR,IAH,\"abc\",2",
                "x.csv:2: field 'distance' (column 6): 'abc' is not a number\n"
                "          UA,\xC3\xA9t\xC3\xA9,N14228,EWR,IAH,\"abc\",2\n"
                "                                ^^^^^\n");
    parse_fails(csv, specs, 2, "UA,1,N,EWR,IAH,1,1.5\n", "x.csv:2: field 'day' (column 7): '1.5' is not a 64-bit integer\n");
    parse_fails(csv, specs, 2, "UA,\"\n\",N,EWR,IAH,1,1\nUA,1\n\n",
                "x.csv:4: 2 fields in this record, 7 expected\n"
                "          UA,1\n"
                "          input.on_error: skip (in C: .ignore_errors) drops such rows");
    parse_fails(csv, specs, 2, "1,2,3,4,5,6,7,8\n", "x.csv:2: 8 fields in this record, 7 expected\n");
    parse_fails(csv, specs, 2, "1\n", "x.csv:2: 1 field in this record, 7 expected\n");
    parse_fails(
        csv, specs, 2, "UA,\"ab\"cd,N,EWR,IAH,1,\"1\"1\n",
        "x.csv:2: field 'day' (column 7): something follows its closing quote\n"
        "          UA,\"ab\"cd,N,EWR,IAH,1,\"1\"1\n"
        "                                ^^^^\n"
        "          quotes inside a quoted field are doubled; input.on_error: skip (in C: .ignore_errors) drops such rows");
    parse_fails(csv, specs, 2, "UA,\"ab,N,EWR,IAH,1,1\n", "x.csv:2: field 'flight' (column 2): its quote is not closed\n");
    csv_free(csv);
}

/* A long record is shown around the cell. */
static void long_records_are_cut(void **unused)
{
    (void)unused;
    char text[600];
    memset(text, 'x', sizeof(text));
    memcpy(text + 400, ",bad,1,", 7);
    text[598] = '\n';
    text[599] = '\0';
    static const struct field_spec spec = { .name = "b", .type = FIELD_FLOAT, .required = true };
    struct csv *csv = new_csv(&with_header, "a,b,c,d", &spec, 1);
    struct fields *fields = new_fields(&spec, 1);
    struct block block = block_of(text, strlen(text), 2);
    pil_status status = { 0 };
    assert_false(csv_parse(csv, &block, fields, NULL, &status));
    const char *shown = strstr(status.message, "\n          ..."), *caret = strstr(status.message, "^^^\n");
    assert_non_null(shown);
    assert_non_null(caret);
    const char *line = caret;
    while (line[-1] != '\n')
        line--;
    assert_memory_equal(shown + 1 + (caret - line), "bad", 3);
    assert_true(strlen(status.message) < 500);
    fields_free(fields);
    csv_free(csv);
}

static void binding_fails(const struct csv_options *options, const char *header, const char *message)
{
    pil_status status = { 0 };
    assert_null(csv_new(options, NULL, slice_text(header), "x.csv", abc, 3, &status));
    if (strncmp(status.message, message, strlen(message)) != 0)
        fail_msg("'%s' instead of '%s'", status.message, message);
}

static void columns_that_are_not_there(void **unused)
{
    (void)unused;
    static const struct field_spec spec = { .name = "distanse", .type = FIELD_FLOAT, .required = true };
    pil_status status = { 0 };
    assert_null(csv_new(&with_header, NULL, slice_text("day,distance"), "train.csv", &spec, 1, &status));
    assert_string_equal(status.message, "train.csv: has no column 'distanse'; did you mean 'distance'?");
    assert_int_equal(status.code, PIL_BAD_DATA);
    binding_fails(&with_header, "a,b,something", "x.csv: has no column 'c'\n          its columns are a, b, something");
    binding_fails(&with_header, "a,c,b,c", "x.csv: columns 2 and 4 are both named 'c'");
    binding_fails(&with_header, "a,\"b", "x.csv: the header, column 2: its quote is not closed");
    binding_fails(&(struct csv_options){ 0 }, "", "x.csv: without a header, input.names must name the columns");
    binding_fails(&(struct csv_options){ .header = true, .delimiter = '"' }, "a", "a quote or a newline cannot be the delimiter");
}

static void bad_records_are_skipped(void **unused)
{
    (void)unused;
    const struct csv_options options = { .header = true, .skip_bad = true };
    struct csv *csv = new_csv(&options, "a,b,c", abc, 3);
    struct fields *fields = new_fields(abc, 3);
    const char *text = "1,x,1\nq,x,1\n2,\"x\"y,2\n3,x\n4,x,4,4\n5,y,bad\n6,z,6\n\n7,\"op\"en,7\n8,w,8\n\"9\",\"v\",\"9\"\n";
    struct block block = block_of(text, strlen(text), 2);
    pil_status status = { 0 };
    int64_t skipped = 10;
    assert_true(csv_parse(csv, &block, fields, &skipped, &status));
    assert_true(status_ok(&status));
    assert_int_equal(skipped, 16);
    const int64_t kept[] = { 1, 6, 8, 9 }, lines[] = { 2, 8, 11, 12 };
    assert_int_equal(fields->rows, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(fields->fields[0].ints[i], kept[i]);
        assert_int_equal(fields->lines[i], lines[i]);
    }
    fields_free(fields);
    csv_free(csv);
}

/* ---- the two parts of a split -------------------------------------------------------------------------------- */

static int64_t part(const char *text, const char *by, double share, bool held_out, bool *in)
{
    static const struct field_spec specs[] = { { .name = "a", .type = FIELD_INT64, .required = true } };
    const struct row_split split = { .share = share, .held_out = held_out, .by = by };
    pil_status status = { 0 };
    struct csv *csv = csv_new(&with_header, &split, slice_text("a,b"), "x.csv", specs, 1, &status);
    assert_non_null(csv);
    struct fields *fields = new_fields(specs, 1);
    parse_text(csv, fields, text);
    int64_t rows = fields->rows;
    for (int64_t i = 0; i < rows; i++) {
        assert_false(in[fields->fields[0].ints[i]]);
        in[fields->fields[0].ints[i]] = true;
    }
    fields_free(fields);
    csv_free(csv);
    return rows;
}

static void split_deals_each_row_once(void **unused)
{
    (void)unused;
    enum { ROWS = 4000 };
    struct text plain = { 0 }, crlf = { 0 };
    for (int i = 0; i < ROWS; i++) {
        text_format(&plain, i % 7 == 0 ? "%d,\"k%d\"\n" : "%d,k%d\n", i, i / 4);
        text_format(&crlf, i % 7 == 0 ? "%d,\"k%d\"\r\n%s" : "%d,k%d\r\n%s", i, i / 4, i % 50 == 0 ? "\n" : "");
    }
    static bool in[ROWS], again[ROWS];
    for (int by = 0; by < 2; by++) {
        memset(in, 0, sizeof(in));
        memset(again, 0, sizeof(again));
        int64_t held = part(plain.data, by ? "b" : NULL, 0.2, true, in);
        assert_in_range(held, 650, 950); /* 800; standard deviation 25, by groups of four 50 */
        part(crlf.data, by ? "b" : NULL, 0.2, true, again);
        assert_memory_equal(in, again, sizeof(in));
        for (int i = 0; by && i < ROWS; i++)
            assert_int_equal(in[i], in[i / 4 * 4]);
        assert_int_equal(held + part(plain.data, by ? "b" : NULL, 0.2, false, in), ROWS);
    }
    memset(in, 0, sizeof(in));
    assert_int_equal(part(plain.data, NULL, 0, true, in), 0);
    assert_int_equal(part(plain.data, NULL, 1, true, in), ROWS);
    pil_status status = { 0 };
    const struct row_split bad = { .share = 1.5 }, missing = { .share = 0.5, .by = "bb" };
    assert_null(csv_new(&with_header, &bad, slice_text("a,b,c"), "x.csv", abc, 3, &status));
    assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    status_clear(&status);
    assert_null(csv_new(&with_header, &missing, slice_text("a,b,c"), "x.csv", abc, 3, &status));
    assert_non_null(strstr(status.message, "'bb'"));
    text_free(&plain);
    text_free(&crlf);
}

/* ---- the two readers ----------------------------------------------------------------------------------------- */

static uint64_t state = 7;

static uint32_t next_random(uint32_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % limit;
}

/* A record of three fields; sometimes something is wrong with it. */
static void random_record(struct text *out)
{
    uint32_t columns = next_random(30) == 0 ? 1 + next_random(5) : 3;
    text_clear(out);
    for (uint32_t c = 0; c < columns; c++) {
        bool quoted = next_random(3) == 0, odd = next_random(20) == 0;
        text_append_text(out, c > 0 ? "," : "");
        text_append_text(out, quoted ? "\"" : odd ? "x" : ""); /* an odd quote at the start would open */
        if (c == 1 || odd) {
            for (uint32_t i = next_random(5); i > 0; i--)
                text_append_text(out, quoted ? (const char *const[]){ "x", ",", "\n", "\"\"" }[next_random(4)]
                                             : (const char *const[]){ "x", "y", "z", "\"" }[next_random(odd ? 4 : 3)]);
        } else if (next_random(5) > 0) {
            text_format(out, "%d", (int)next_random(100000) - 50000);
        }
        text_append_text(out, quoted ? "\"" : "");
    }
}

static void same_fields(const struct fields *a, const struct fields *b)
{
    assert_int_equal(a->rows, b->rows);
    for (int64_t i = 0; i < a->rows; i++) {
        assert_int_equal(a->lines[i], b->lines[i]);
        for (int f = 0; f < 3; f++)
            assert_int_equal(a->fields[f].present[i], b->fields[f].present[i]);
        assert_int_equal(a->fields[0].ints[i], b->fields[0].ints[i]);
        assert_true(slice_equal(a->fields[1].texts[i], b->fields[1].texts[i]));
        assert_true(a->fields[2].floats[i] == b->fields[2].floats[i]);
    }
}

static void both_readers_agree(void **unused)
{
    (void)unused;
    const struct csv_options options = { .header = true, .skip_bad = true };
    struct csv *csv = new_csv(&options, "a,b,c", abc, 3);
    struct fields *whole = new_fields(abc, 3), *single = new_fields(abc, 3);
    struct text text = { 0 }, record = { 0 };
    int64_t all_skipped = 0;
    for (int round = 0; round < 200; round++) {
        fields_clear(whole);
        fields_clear(single);
        text_clear(&text);
        size_t starts[201];
        uint32_t count = 1 + next_random(200);
        for (uint32_t i = 0; i < count; i++) {
            starts[i] = text.size;
            random_record(&record);
            text_append(&text, record.data != NULL ? record.data : "", record.size);
            text_append_text(&text, "\n");
        }
        starts[count] = text.size;
        pil_status status = { 0 };
        int64_t skipped = 0, skipped_single = 0, line = 1;
        struct block block = block_of(text.data, text.size, 1);
        assert_true(csv_parse(csv, &block, whole, &skipped, &status));
        for (uint32_t i = 0; i < count; i++) {
            block = block_of(text.data + starts[i], starts[i + 1] - starts[i] - 1, line);
            assert_true(csv_parse(csv, &block, single, &skipped_single, &status));
            for (size_t at = starts[i]; at < starts[i + 1]; at++)
                line += text.data[at] == '\n';
        }
        same_fields(whole, single);
        assert_int_equal(skipped, skipped_single);
        all_skipped += skipped;
    }
    assert_in_range(all_skipped, 500, 10000);
    text_free(&text);
    text_free(&record);
    fields_free(whole);
    fields_free(single);
    csv_free(csv);
}

/* ---- other projects' cases ----------------------------------------------------------------------------------- */

static struct file_data load(const char *path)
{
    struct file_data data;
    pil_status status = { 0 };
    if (!file_load(path, &data, &status))
        fail_msg("%s", status.message);
    return data;
}

/* A file of csv-spectrum through source and csv, against the list of objects it means. */
static void check_spectrum(const char *csv_path, const char *json_path, struct json_parser *parser)
{
    struct file_data meaning = load(json_path);
    struct json_value root, object, value;
    struct slice key;
    pil_status status = { 0 };
    assert_true(json_parse(parser, slice_of(meaning.data, meaning.size), &root, &status));
    const struct source_options options = { .paths = &csv_path, .path_count = 1, .quotes = true, .header = true };
    struct source *source = source_open(&options, &status);
    assert_non_null(source);

    struct field_spec specs[16];
    char names[16][64];
    size_t count = 0;
    struct json_walk rows = json_children(&root);
    bool one = root.kind == JSON_MAP; /* one file has a row for its list, and another telephone number than its CSV */
    object = root;
    assert_true(one || json_next(&rows, NULL, &object));
    for (struct json_walk walk = json_children(&object); json_next(&walk, &key, &value); count++) {
        snprintf(names[count], sizeof(names[count]), "%.*s", (int)key.size, key.data);
        specs[count] = (struct field_spec){ .name = names[count], .type = FIELD_STRING, .required = true };
    }
    struct csv *csv = csv_new(&with_header, NULL, source_header(source), csv_path, specs, count, &status);
    if (csv == NULL)
        fail_msg("%s", status.message);
    struct fields *fields = new_fields(specs, count);
    struct block block;
    bool end;
    assert_true(source_next(source, &block, &end, &status) && !end);
    if (!csv_parse(csv, &block, fields, NULL, &status))
        fail_msg("%s", status.message);
    assert_int_equal(fields->rows, one ? 1 : root.count);
    rows = json_children(&root);
    for (int64_t row = 0; row < fields->rows; row++) {
        size_t field = 0;
        assert_true(one || json_next(&rows, NULL, &object));
        for (struct json_walk walk = json_children(&object); json_next(&walk, &key, &value); field++)
            assert_true(slice_equal(fields->fields[field].texts[row], value.text) || slice_is(key, "Contact Phone Number"));
    }
    block_release(&block);
    fields_free(fields);
    csv_free(csv);
    source_close(source);
    file_unload(&meaning);
}

/* Some copies of the collection have lost the CR of the files named for it. */
static const char *with_crlf(const char *path)
{
    static char copy[64];
    struct file_data data = load(path);
    struct text text = { 0 };
    pil_status status = { 0 };
    for (size_t i = 0; i < data.size; i++) {
        if (data.data[i] == '\n' && (i == 0 || data.data[i - 1] != '\r'))
            text_append_text(&text, "\r");
        text_append(&text, data.data + i, 1);
    }
    snprintf(copy, sizeof(copy), "/tmp/pilaster-crlf-%d.csv", (int)getpid());
    assert_true(file_replace(copy, text.data, text.size, &status));
    text_free(&text);
    file_unload(&data);
    return copy;
}

static void csv_spectrum(void **unused)
{
    (void)unused;
    const char *folder = "../shared/conformance/csv-spectrum/csvs";
    if (!file_is_folder(folder)) {
        print_message("no %s here\n", folder);
        skip();
        return;
    }
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    struct json_parser *parser = json_parser_new(0, &status);
    char **names, csv[200], json[200];
    size_t count = 0;
    assert_true(arena != NULL && parser != NULL && file_list(folder, arena, &names, &count, &status));
    assert_int_equal(count, 12);
    for (size_t i = 0; i < count; i++) {
        snprintf(csv, sizeof(csv), "%s/%s", folder, names[i]);
        snprintf(json, sizeof(json), "%s/../json/%.*s.json", folder, (int)strlen(names[i]) - 4, names[i]);
        bool crlf = strstr(names[i], "_crlf") != NULL;
        const char *path = crlf ? with_crlf(csv) : csv;
        check_spectrum(path, json, parser);
        assert_true(!crlf || file_remove(path, &status));
    }
    json_parser_free(parser);
    arena_free(arena);
}

/* A case of TensorFlow's decode_csv_op_test. Left out is what has no counterpart here: quotes switched off, other words for
 * NA, float64, choosing columns by number; and a quote inside an unquoted field, which TensorFlow refuses and we take. */
static bool decode_case(const struct json_value *test)
{
    struct json_value name, records, types, expected, error, delimiter, item;
    static const char *const left_out[] = { "no_quote_delim", "defaults_noquote", "na", "double", "bad_string",
                                            "wrong_defaults", "required_missing" };
    assert_true(json_get(test, "name", &name) && json_get(test, "records", &records) && json_get(test, "types", &types));
    assert_true(json_get(test, "expected", &expected) && json_get(test, "error_contains", &error));
    for (size_t i = 0; i < COUNT_OF(left_out); i++)
        if (slice_is(name.text, left_out[i]))
            return false;
    if (json_get(test, "select_cols", &item))
        return false;

    static const char *const names[] = { "0", "1", "2", "3" };
    struct field_spec specs[4];
    struct csv_options options = { .names = names, .name_count = types.count };
    if (json_get(test, "field_delim", &delimiter))
        options.delimiter = delimiter.text.data[0];
    size_t count = 0;
    for (struct json_walk walk = json_children(&types); json_next(&walk, NULL, &item); count++) {
        enum field_type type = slice_is(item.text, "string")  ? FIELD_STRING
                               : slice_is(item.text, "float") ? FIELD_FLOAT
                                                              : FIELD_INT64;
        specs[count] = (struct field_spec){ .name = names[count], .type = type, .required = true };
    }
    struct csv *csv = new_csv(&options, "", specs, count);
    struct fields *fields = new_fields(specs, count);
    pil_status status = { 0 };
    bool parsed = true;
    for (struct json_walk walk = json_children(&records); parsed && json_next(&walk, NULL, &item);) {
        struct block block = block_of(item.text.data, item.text.size, 1);
        parsed = csv_parse(csv, &block, fields, NULL, &status);
    }
    assert_int_equal(parsed, error.kind == JSON_NULL);
    size_t field = 0;
    for (struct json_walk columns = json_children(&expected); parsed && json_next(&columns, NULL, &records); field++) {
        int64_t row = 0;
        const struct field *column = &fields->fields[field];
        for (struct json_walk walk = json_children(&records); json_next(&walk, NULL, &item); row++) {
            if (!column->present[row])
                continue; /* there the default stands */
            if (specs[field].type == FIELD_STRING)
                assert_true(slice_equal(column->texts[row], item.text));
            else
                assert_true((specs[field].type == FIELD_FLOAT ? column->floats[row] : (float)column->ints[row]) ==
                            (float)item.number);
        }
        assert_int_equal(row, fields->rows);
    }
    fields_free(fields);
    csv_free(csv);
    return true;
}

static void decode_csv(void **unused)
{
    (void)unused;
    const char *path = "../shared/conformance/tf_golden/decode_csv.json";
    if (!file_exists(path)) {
        print_message("no %s here\n", path);
        skip();
        return;
    }
    struct file_data data = load(path);
    pil_status status = { 0 };
    struct json_parser *parser = json_parser_new(0, &status);
    struct json_value root, cases, test;
    assert_true(parser != NULL && json_parse(parser, slice_of(data.data, data.size), &root, &status));
    assert_true(json_get(&root, "cases", &cases));
    int checked = 0;
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &test);)
        checked += decode_case(&test);
    assert_int_equal(checked, 12);
    json_parser_free(parser);
    file_unload(&data);
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

static void memory(void **unused)
{
    (void)unused;
    const char *text = "1,\"x\"\"y\",2\n\n3,z,4\n5,\"\"\"\",6";
    int64_t n = 0;
    for (;; n++) {
        pil_status status = { 0 };
        struct block block = block_of(text, strlen(text), 2);
        failing_start(n, false);
        struct csv *csv = csv_new(&with_header, NULL, slice_text("a,b,\"c\""), "x.csv", abc, 3, &status);
        struct fields *fields = csv != NULL ? fields_new(abc, 3, &status) : NULL;
        bool parsed = fields != NULL && csv_parse(csv, &block, fields, NULL, &status);
        fields_free(fields);
        csv_free(csv);
        assert_int_equal(failing_live, 0);
        if (!failing_stop())
            break;
        assert_false(parsed);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
    assert_true(n > 12);

    struct csv *csv = new_csv(&with_header, "a,b,c", abc, 3);
    struct fields *fields = new_fields(abc, 3);
    parse_text(csv, fields, text);
    uint64_t before = mem_allocations();
    fields_clear(fields);
    parse_text(csv, fields, text);
    assert_int_equal(mem_allocations(), before);
    fields_free(fields);
    csv_free(csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(many_values_and_weights),
        cmocka_unit_test(names_instead_of_a_header),
        cmocka_unit_test(one_column),
        cmocka_unit_test(thousands_of_columns),
        cmocka_unit_test(optional_fields),
        cmocka_unit_test(errors_word_by_word),
        cmocka_unit_test(long_records_are_cut),
        cmocka_unit_test(columns_that_are_not_there),
        cmocka_unit_test(bad_records_are_skipped),
        cmocka_unit_test(split_deals_each_row_once),
        cmocka_unit_test(both_readers_agree),
        cmocka_unit_test(csv_spectrum),
        cmocka_unit_test(decode_csv),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
