/* SPDX-License-Identifier: Apache-2.0 */
/* YAML to values: what a tree holds, where each value stands, and every way in which a text is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "estimator/modelfile.h"
#include "failing.h"

static struct arena *arena;

static int setup(void **state)
{
    pil_status status = { 0 };

    (void)state;
    arena = arena_new(&status);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static struct value *parse(const char *text, pil_status *status)
{
    return modelfile_parse(slice_text(text), "m.yaml", arena, status);
}

static struct value *parse_well(const char *text)
{
    pil_status status = { 0 };
    struct value *root = parse(text, &status);

    if (!root)
        fail_msg("%s", status.message);
    return root;
}

static void assert_scalar(const struct value *value, const char *text, bool quoted, int line, int column)
{
    assert_non_null(value);
    assert_int_equal(value->kind, VALUE_SCALAR);
    assert_string_equal(value->text.data, text);
    assert_int_equal(value->text.size, strlen(text));
    assert_int_equal(value->quoted, quoted);
    assert_string_equal(value->file, "m.yaml");
    assert_int_equal(value->line, line);
    assert_int_equal(value->column, column);
}

static void test_places(void **state)
{
    const struct value *root = parse_well("# a comment\n"
                                          "label: fare\n"
                                          "days: [Sun, 'Mon', \"T\\u0075e\"]\n"
                                          "f\xC3\xBCr: {\xC3\xA4: 007}\n"
                                          "empty:\n"
                                          "block: |\n"
                                          "  two\n"
                                          "  lines\n");

    (void)state;
    assert_int_equal(root->kind, VALUE_MAP);
    assert_int_equal(root->count, 5);
    assert_int_equal(root->line, 2);
    assert_scalar(root->keys[0], "label", false, 2, 1);
    assert_scalar(root->items[0], "fare", false, 2, 8);
    const struct value *days = value_get(root, "days");
    assert_int_equal(days->kind, VALUE_LIST);
    assert_int_equal(days->count, 3);
    assert_int_equal(days->column, 7);
    assert_scalar(days->items[0], "Sun", false, 3, 8);
    assert_scalar(days->items[1], "Mon", true, 3, 13);
    assert_scalar(days->items[2], "Tue", true, 3, 20);
    const struct value *map = value_get(root, "f\xC3\xBCr"); /* columns count characters, not bytes */
    assert_int_equal(map->column, 6);
    assert_scalar(map->keys[0], "\xC3\xA4", false, 4, 7);
    assert_scalar(map->items[0], "007", false, 4, 10);
    assert_true(value_is_null(value_get(root, "empty")));
    assert_scalar(value_get(root, "block"), "two\nlines\n", true, 6, 8);
}

static void test_nothing(void **state)
{
    const struct value *root = parse_well("[null, ~, '', \"null\", !!str null, !!int 5, ! 6]");
    static const bool none[] = { true, true, false, false, false, false, false };

    (void)state;
    assert_int_equal(root->count, COUNT_OF(none));
    for (size_t i = 0; i < COUNT_OF(none); i++)
        assert_int_equal(value_is_null(root->items[i]), none[i]);
    assert_true(root->items[4]->quoted);
    assert_false(root->items[5]->quoted);
    assert_true(root->items[6]->quoted);
}

static void test_aliases(void **state)
{
    const struct value *root = parse_well("a: &x [1, &y 2]\nb: *x\nc: *y\nd: &x 3\ne: *x\n*y : key\n");

    (void)state;
    assert_ptr_equal(value_get(root, "a"), value_get(root, "b"));
    assert_scalar(value_get(root, "c"), "2", false, 1, 11);
    assert_scalar(value_get(root, "e"), "3", false, 4, 4); /* a later anchor hides the earlier one */
    assert_string_equal(value_get(root, "2")->text.data, "key");
}

static void test_marks_at_the_start(void **state)
{
    (void)state;
    assert_string_equal(value_get(parse_well("\xEF\xBB\xBFlabel: x\n"), "label")->text.data, "x");
    assert_string_equal(value_get(parse_well("%YAML 1.1\n---\nlabel: x\n...\n"), "label")->text.data, "x");
    assert_string_equal(value_get(parse_well("---\r\nlabel: x\r\nb: y\r\n"), "b")->text.data, "y");
}

/* A text and its error, the file's name and a colon aside. */
static const struct {
    const char *text, *error;
} wrong[] = {
    { "", " the file is empty" },
    { "# nothing\n", " the file is empty" },
    { "...\n", "1:1: did not find expected node content, while parsing a block node" },
    { "a: 1\nb: 2\na: 3\n", "3:1: the key 'a' stands twice in one map; first in line 1, column 1" },
    { "x: {a: 1, b: 2, 'b': 3, a: 4}\n", "1:17: the key 'b' stands twice in one map; first in line 1, column 11" },
    { "a: 1\n---\nb: 2\n", "2:1: a second document begins here; a model file is one" },
    { "a:\n\tb: 1\n", "2:1: a tab cannot indent here: use spaces" },
    { "a:\n  b: 1\n\tc: 1\n", "3:1: a tab cannot indent here: use spaces" },
    { "a: [1, 2\n", "2:1: did not find expected ',' or ']', while parsing a flow sequence that begins in line 1" },
    { "a: {b: 1\nc: [2}\n", "2:2: did not find expected ',' or '}', while parsing a flow mapping that begins in line 1" },
    { "a: 'x\n", "2:1: found unexpected end of stream, while scanning a quoted scalar that begins in line 1" },
    { "a: b: c\n", "1:5: mapping values are not allowed in this context" },
    { "a: 1\n b: 2\n", "2:3: mapping values are not allowed in this context" },
    { "a:\n  b: 1\n c: 2\n", "3:2: did not find expected key, while parsing a block mapping that begins in line 1" },
    { "a: *.csv\n", "1:5: did not find expected alphabetic or numeric character, while scanning an alias" },
    { "a: *b\n", "1:4: there is no anchor &b for this alias" },
    { "a: &b [*b]\n", "1:8: the alias *b stands inside of what it names" },
    { "a: @x\n", "1:4: found character that cannot start any token, while scanning for the next token" },
    { "a: !!python/object:os.system x\n",
      "1:4: the tag 'tag:yaml.org,2002:python/object:os.system' means nothing in a model file" },
    { "a: !mine {b: 1}\n", "1:4: the tag '!mine' means nothing in a model file" },
    { "a: \"x\\0y\"\n", "1:4: a text in a model file cannot hold a zero byte" },
    { "[a]: 1\n", "1:1: a key is a text, not a list" },
    { "{a: 1}: 1\n", "1:1: a key is a text, not a map" },
    { "{\"\": 1}\n", "1:2: a key is missing in front of the colon" },
    { "a: &m {b: 1}\nc: {<<: *m}\n", "2:5: merge keys (<<) are not read: write the keys out" },
    { "a: 1\nb: \xFF\n", "2:4: this is not UTF-8 text (invalid leading UTF-8 octet)" },
    { "\xC3\xA4\xC3\xA4: \xC3(\n", "1:6: this is not UTF-8 text (invalid trailing UTF-8 octet)" },
    { "a: \x01\n", "1:4: the character U+0001 has no place in a model file" },
    { "a: \x7F\n", "1:4: the character U+007F has no place in a model file" },
    { "a: \"\\q\"\n", "1:5: found unknown escape character, while parsing a quoted scalar" },
};

static void test_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        pil_status status = { 0 };
        char expected[300];
        assert_null(parse(wrong[i].text, &status));
        snprintf(expected, sizeof expected, "m.yaml:%s", wrong[i].error);
        char *end = strchr(status.message, '\n');
        if (end)
            *end = '\0';
        assert_string_equal(status.message, expected);
        assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    }
}

static void test_hints(void **state)
{
    pil_status status = { 0 };

    (void)state;
    assert_null(parse("a: *.csv\n", &status));
    assert_non_null(strstr(status.message, "\n          a text that begins with * stands in quotes: \"*.csv\""));
    status_clear(&status);
    assert_null(parse("a: @x\n", &status));
    assert_non_null(strstr(status.message, "\n          a text that begins with @ stands in quotes"));
}

/* ---- limits -------------------------------------------------------------------------------------------------- */

static char *repeated(const char *text, size_t times, const char *before, const char *after)
{
    size_t size = strlen(text), head = strlen(before), tail = strlen(after);
    char *out = malloc(head + size * times + tail + 1);

    assert_non_null(out);
    memcpy(out, before, head);
    for (size_t i = 0; i < times; i++)
        memcpy(out + head + i * size, text, size);
    memcpy(out + head + times * size, after, tail + 1);
    return out;
}

static void test_depth(void **state)
{
    char *open = repeated("[", 64, "", ""), *deep = repeated("]", 64, open, "");
    char *hostile = repeated("[", 200000, "a: ", ""), *maps = repeated("{a: ", 200000, "", "");
    pil_status status = { 0 };

    (void)state;
    assert_non_null(parse_well(deep));
    assert_null(parse(hostile, &status));
    assert_string_equal(status.message, "m.yaml:1:67: lists and maps are nested deeper than 64");
    status_clear(&status);
    assert_null(parse(maps, &status));
    assert_string_equal(status.message, "m.yaml:1:257: lists and maps are nested deeper than 64");
    free(open);
    free(deep);
    free(hostile);
    free(maps);
}

static void test_sizes(void **state)
{
    char *many = repeated("x,", 100000, "[", "]"), *fits = repeated("x,", 99999, "[", "]");
    char *large = repeated("#", YAML_BYTES, "", "\n"), *anchors = repeated("&a 1,", 1001, "[", "]");
    char *key = repeated("k", YAML_KEY_BYTES + 1, "", ": 1\n");
    pil_status status = { 0 };

    (void)state;
    assert_int_equal(parse_well(fits)->count, 99999);
    assert_null(parse(many, &status));
    assert_non_null(strstr(status.message, ": more than 100000 values"));
    status_clear(&status);
    assert_null(parse(large, &status));
    assert_string_equal(status.message, "m.yaml: 1048577 bytes; a model file has at most 1048576");
    status_clear(&status);
    assert_null(parse(anchors, &status));
    assert_non_null(strstr(status.message, ": more than 1000 anchors"));
    status_clear(&status);
    assert_null(parse(key, &status));
    assert_string_equal(status.message, "m.yaml:1:1: a key has more than 512 bytes");
    free(many);
    free(fits);
    free(large);
    free(anchors);
    free(key);
}

/* Ten lists of ten aliases each: ten billion values in 300 bytes. */
static void test_bomb(void **state)
{
    struct text bomb = { 0 };
    pil_status status = { 0 };

    (void)state;
    text_append_text(&bomb, "a0: &a0 x\n");
    for (int i = 1; i <= 10; i++) {
        text_format(&bomb, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            text_format(&bomb, "*a%d, ", i - 1);
        text_append_text(&bomb, "]\n");
    }
    assert_null(parse(bomb.data, &status));
    assert_string_equal(status.message, "m.yaml:6:45: more than 100000 values (an alias counts with all that it stands for)");
    text_free(&bomb);
}

static void test_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        struct arena *own = arena_new(&status);
        struct value *root =
            own ? modelfile_parse(slice_text("a: &b [1, 2, {c: d, e: f}]\ng: *b\n"), "m.yaml", own, &status) : NULL;
        bool worked = root != NULL;
        arena_free(own);
        assert_int_equal(failing_live, 0);
        if (!failing_stop()) {
            assert_true(worked);
            assert_true(n > 5);
            break;
        }
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),  cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_aliases), cmocka_unit_test(test_marks_at_the_start),
        cmocka_unit_test(test_wrong),   cmocka_unit_test(test_hints),
        cmocka_unit_test(test_depth),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bomb),    cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
