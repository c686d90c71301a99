/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: walking, exact numbers, errors with their place, and the verdicts of JSONTestSuite. */
#include "base/json.h"
#include "failing.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct json_parser *parser;

static int make_parser(void **state)
{
    pil_status status = { 0 };
    (void)state;
    parser = json_parser_new(0, &status);
    return parser != NULL ? 0 : 1;
}

static int free_parser(void **state)
{
    (void)state;
    json_parser_free(parser);
    json_parser_free(NULL);
    return 0;
}

static struct json_value parse(const char *text)
{
    pil_status status = { 0 };
    struct json_value root = { 0 };
    if (!json_parse(parser, slice_text(text), &root, &status))
        fail_msg("%s: %s", text, status.message);
    return root;
}

static void walking(void **state)
{
    (void)state;
    struct json_value root =
        parse(" {\"a\": [1, -2.5, \"x\\u0000\\u00e9\\n\", true, null, {}, []], \"b\": {\"c\": false}, \"a\": 2 } ");
    struct json_value item, inner;
    struct slice key;
    assert_int_equal(root.kind, JSON_MAP);
    assert_int_equal(root.count, 3);
    struct json_walk walk = json_children(&root);
    assert_true(json_next(&walk, &key, &item) && slice_is(key, "a"));
    assert_int_equal(item.kind, JSON_LIST);
    assert_int_equal(item.count, 7);

    struct json_walk list = json_children(&item);
    assert_true(json_next(&list, &key, &inner) && key.size == 0);
    assert_true(inner.kind == JSON_NUMBER && inner.is_integer && inner.integer == 1 && inner.number == 1);
    assert_true(json_next(&list, NULL, &inner));
    assert_true(inner.kind == JSON_NUMBER && !inner.is_integer && inner.number == -2.5);
    assert_true(json_next(&list, NULL, &inner) && inner.kind == JSON_TEXT);
    assert_true(slice_equal(inner.text, slice_of("x\0\xC3\xA9\n", 5)));
    assert_true(json_next(&list, NULL, &inner) && inner.kind == JSON_BOOL && inner.flag);
    assert_true(json_next(&list, NULL, &inner) && inner.kind == JSON_NULL);
    assert_true(json_next(&list, NULL, &inner) && inner.kind == JSON_MAP && inner.count == 0);
    struct json_walk empty = json_children(&inner);
    assert_false(json_next(&empty, &key, &inner));
    assert_true(json_next(&list, NULL, &inner) && inner.kind == JSON_LIST && inner.count == 0);
    assert_false(json_next(&list, NULL, &inner));

    assert_true(json_next(&walk, &key, &item) && slice_is(key, "b"));
    assert_true(json_get(&item, "c", &inner) && inner.kind == JSON_BOOL && !inner.flag);
    assert_true(json_next(&walk, &key, &item) && slice_is(key, "a") && item.integer == 2);
    assert_false(json_next(&walk, &key, &item));
    assert_true(json_get(&root, "a", &item) && item.kind == JSON_LIST); /* the first of that name */
    assert_false(json_get(&root, "c", &item));
    assert_false(json_get(&inner, "c", &item));
    root = parse("7");
    walk = json_children(&root);
    assert_false(json_next(&walk, &key, &item));
    assert_int_equal(parse("\"\\ud83d\\ude00\"").text.size, 4);
}

static void numbers(void **state)
{
    (void)state;
    struct json_value v = parse("9223372036854775807");
    assert_true(v.is_integer && v.integer == INT64_MAX);
    v = parse("-9223372036854775808");
    assert_true(v.is_integer && v.integer == INT64_MIN);
    v = parse("18446744073709551615");
    assert_true(!v.is_integer && v.number == 18446744073709551616.0);
    v = parse("1.0");
    assert_true(!v.is_integer && v.number == 1);
    v = parse("1e2");
    assert_true(!v.is_integer && v.number == 100);
    v = parse("-0");
    assert_true(v.number == 0);
    assert_true(parse("0.1").number == 0.1);
    assert_true(parse("2.2250738585072014e-308").number == 2.2250738585072014e-308);

    float floats[4] = { 0 };
    struct json_value list = parse("[1, 2.5, -3e-2, 16777217]");
    assert_true(json_floats(&list, floats));
    static const float expected[] = { 1, 2.5f, -0.03f, 16777216 };
    assert_memory_equal(floats, expected, sizeof(expected));
    list = parse("[1, \"2\"]");
    assert_false(json_floats(&list, floats));
    list = parse("{\"a\": 1}");
    assert_false(json_floats(&list, floats));
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
        const char *problem;
    } cases[] = {
        { "", 0, "the text ends too early" },
        { "  ", 2, "the text ends too early" },
        { "{\"a\": 1", 7, "a comma or } is missing" },
        { "[1 2]", 3, "a comma or ] is missing" },
        { "[1}", 2, "a comma or ] is missing" },
        { "[1,]", 3, "no value" },
        { "{\"a\" 1}", 5, "a colon is missing after a name" },
        { "{a: 1}", 1, "a name in quotes is missing" },
        { "{\"a\": 1,}", 8, "a name in quotes is missing" },
        { "[1] 2", 4, "something follows the value" },
        { "[\"abc]", 1, "the string has no end" },
        { "[\"a\tb\"]", 3, "a control character in a string must be escaped" },
        { "[\"a\\x\"]", 3, "no such escape in a string" },
        { "[\"\\u12g4\"]", 2, "\\u needs four hexadecimal digits" },
        { "[\"\\ud800\"]", 2, "half of a surrogate pair" },
        { "[\"ab\xC3\"]", 4, "no valid UTF-8" },
        { "[01]", 1, "a number with leading zeros" },
        { "[1.]", 3, "no digit after the point" },
        { "[1e]", 3, "no digit in the exponent" },
        { "[-]", 1, "no value" },
        { "[1, 1e999]", 4, "a number beyond a double" },
        { "[123456789012345678901234]", 1, "an integer of more than 64 bits" },
        { "[NaN]", 1, "no value" },
        { "[tru]", 1, "no value" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_status status = { 0 };
        struct json_value root;
        char message[200];
        assert_false(json_parse(parser, slice_text(cases[i].text), &root, &status));
        snprintf(message, sizeof(message), "JSON is wrong at offset %zu: %s", cases[i].offset, cases[i].problem);
        assert_string_equal(status.message, message);
        assert_int_equal(status.code, PIL_BAD_DATA);
        assert_int_equal(json_error_offset(parser), cases[i].offset);
        assert_string_equal(json_error_text(parser), cases[i].problem);
    }
    parse("{}"); /* the parser is as good as new */
    assert_true(json_error_offset(parser) == SIZE_MAX);
}

static void nesting(void **state)
{
    (void)state;
    char text[4 * JSON_DEPTH];
    for (int depth = JSON_DEPTH - 1; depth <= JSON_DEPTH + 1; depth++) {
        pil_status status = { 0 };
        struct json_value root;
        memset(text, '[', (size_t)depth);
        text[depth] = '1';
        memset(text + depth + 1, ']', (size_t)depth);
        assert_int_equal(json_parse(parser, slice_of(text, 2 * (size_t)depth + 1), &root, &status), depth <= JSON_DEPTH);
        if (depth > JSON_DEPTH)
            assert_string_equal(status.message, "JSON is wrong at offset 64: nested too deep");
    }
}

static void nan_words(void **state)
{
    (void)state;
    const char *text = "{\"a\": [NaN, Infinity ,-Infinity, \"NaN\", 1.5], \"NaN\": NaN}";
    pil_status status = { 0 };
    struct json_value root, item;
    assert_false(json_parse(parser, slice_text(text), &root, &status));
    json_allow_nan(parser, true);
    root = parse(text);
    assert_int_equal(root.count, 2);
    assert_true(json_get(&root, "NaN", &item) && item.kind == JSON_NUMBER && isnan(item.number) && !item.is_integer);
    assert_true(json_get(&root, "a", &item) && item.count == 5);
    struct json_walk walk = json_children(&item);
    assert_true(json_next(&walk, NULL, &item) && isnan(item.number));
    assert_true(json_next(&walk, NULL, &item) && isinf(item.number) && item.number > 0);
    assert_true(json_next(&walk, NULL, &item) && isinf(item.number) && item.number < 0);
    assert_true(json_next(&walk, NULL, &item) && item.kind == JSON_TEXT && slice_is(item.text, "NaN"));
    assert_true(json_next(&walk, NULL, &item) && item.number == 1.5);
    root = parse("\"\\u0000NaN\""); /* a string is a string where nothing was replaced */
    assert_int_equal(root.kind, JSON_TEXT);
    status_clear(&status);
    assert_false(json_parse(parser, slice_text("[NaN, nan]"), &root, &status));
    assert_int_equal(json_error_offset(parser), 6);
    assert_int_equal(parse("NaN").kind, JSON_NUMBER);
    json_allow_nan(parser, false);
}

static void limits_and_memory(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct json_value root;
    struct json_parser *small = json_parser_new(20, &status);
    assert_true(json_parse(small, slice_text("[1, 2, 3, 4, 5, 6]  "), &root, &status));
    assert_false(json_parse(small, slice_text("[1, 2, 3, 4, 5, 6]   "), &root, &status));
    assert_int_equal(status.code, PIL_BAD_DATA);
    assert_non_null(strstr(status.message, "21 bytes"));
    json_parser_free(small);

    /* A text of 30,000 numbers, twice: the second time nothing is allocated. */
    struct text text = { 0 };
    for (int i = 0; i < 30000; i++)
        text_format(&text, "%c%d.5", i == 0 ? '[' : ',', i);
    text_append(&text, "]", 1);
    root = parse(text.data);
    assert_int_equal(root.count, 30000);
    uint64_t before = mem_allocations();
    root = parse(text.data);
    assert_int_equal(mem_allocations(), before);
    float *floats = malloc(30000 * sizeof(float));
    assert_non_null(floats);
    assert_true(json_floats(&root, floats));
    assert_float_equal(floats[29999], 29999.5f, 0);
    free(floats);

    /* In place: the text may change afterwards, strings are copies. */
    char padded[JSON_PADDING + 16] = "[\"abcdef\"]";
    status_clear(&status);
    assert_true(json_parse_padded(parser, slice_of(padded, 10), &root, &status));
    memset(padded, 'x', sizeof(padded));
    struct json_walk walk = json_children(&root);
    assert_true(json_next(&walk, NULL, &root) && slice_is(root.text, "abcdef"));
    text_free(&text);
}

static void out_of_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        struct json_value root;
        failing_start(n, false);
        struct json_parser *mine = json_parser_new(0, &status);
        bool worked = mine != NULL;
        if (worked) {
            json_allow_nan(mine, true);
            worked = json_parse(mine, slice_text("[1, NaN]"), &root, &status);
        }
        if (worked)
            assert_int_equal(root.count, 2);
        json_parser_free(mine);
        assert_int_equal(failing_live, 0);
        if (!failing_stop()) {
            assert_true(worked && n >= 3);
            break;
        }
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

/* Reads all values, so that a wrong tape shows. Returns how many there are. */
static size_t visit(const struct json_value *value)
{
    struct json_walk walk = json_children(value);
    struct json_value item;
    struct slice key;
    size_t count = 1, items = 0;
    while (json_next(&walk, &key, &item)) {
        assert_true(utf8_valid(key));
        if (item.kind == JSON_TEXT)
            assert_true(utf8_valid(item.text));
        count += visit(&item);
        items++;
    }
    if (value->kind == JSON_LIST || value->kind == JSON_MAP)
        assert_int_equal(items, value->count);
    return count;
}

static void check_suite_file(const char *folder, const char *name)
{
    char path[600], *data;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    data = malloc(size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, size, file), size);
    fclose(file);

    pil_status status = { 0 };
    struct json_value root;
    bool accepted = json_parse(parser, slice_of(data, size), &root, &status);
    if ((name[0] == 'y' && !accepted) || (name[0] == 'n' && accepted))
        fail_msg("%s: %s", name, accepted ? "accepted" : status.message);
    if (accepted)
        assert_true(visit(&root) > 0);
    else if (json_error_offset(parser) == SIZE_MAX && name[0] == 'n')
        fail_msg("%s: refused without a place", name);
    free(data);
}

/* y_ must be accepted, n_ refused, i_ may be either. */
static void suite(void **state)
{
    (void)state;
    static const char folder[] = "../shared/conformance/JSONTestSuite/test_parsing";
    DIR *list = opendir(folder);
    if (list == NULL) {
        print_message("# skipped: %s is not here\n", folder);
        skip();
    }
    int count = 0;
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        if (entry->d_name[0] == '.')
            continue;
        check_suite_file(folder, entry->d_name);
        count++;
    }
    closedir(list);
    assert_int_equal(count, 318);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walking),       cmocka_unit_test(numbers),   cmocka_unit_test(errors),
        cmocka_unit_test(nesting),       cmocka_unit_test(nan_words), cmocka_unit_test(limits_and_memory),
        cmocka_unit_test(out_of_memory), cmocka_unit_test(suite),
    };
    return cmocka_run_group_tests_name("base/json", tests, make_parser, free_parser);
}
