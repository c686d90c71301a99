/* SPDX-License-Identifier: Apache-2.0 */
/* Flow text: what printers write reads back; what is none is refused with its place. */
#include "failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct arena *arena;

static int set_up(void **state)
{
    pil_status status = { 0 };
    (void)state;
    arena = arena_new(&status);
    return arena ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

/* The value again as text, so that a whole tree is compared in a line. */
static void show(const struct value *value, struct text *out)
{
    if (value->kind == VALUE_SCALAR) {
        text_format(out, value->quoted ? "'%.*s'" : "%.*s", (int)value->text.size, value->text.data);
        return;
    }
    text_format(out, value->kind == VALUE_MAP ? "{" : "[");
    for (size_t i = 0; i < value->count; i++) {
        text_format(out, i ? " " : "");
        if (value->kind == VALUE_MAP) {
            show(value->keys[i], out);
            text_format(out, "=");
        }
        show(value->items[i], out);
    }
    text_format(out, value->kind == VALUE_MAP ? "}" : "]");
}

static struct value *read_line(const char *line, size_t size, pil_status *status)
{
    struct flow_reader reader = { .rest = slice_of(line, size), .file = "f" };
    struct slice word;
    struct value *value = NULL;
    if (!flow_next(&reader, &word, &value, arena, status))
        return NULL;
    assert_true(slice_is(word, "x"));
    return value;
}

static void test_values(void **state)
{
    static const char *const cases[][2] = {
        { "x {}\n", "{}" },
        { "x []\n", "[]" },
        { "x 7\n", "7" },
        { "x {a: 1, b: [x, \"y z\"], c: {d: null}}\n", "{a=1 b=[x 'y z'] c={d=null}}" },
        { "x { a : 1 , b : two words }\n", "{a=1 b=two words}" },
        { "x [\"\", \"a\\\"b\\\\c\\/\\b\\f\\n\\r\\t\", \"\\u0041\\u00e9\\u20AC\"]\n",
          "['' 'a\"b\\c/\b\f\n\r\t' 'A\xC3\xA9\xE2\x82\xAC']" },
        { "x {\"odd, name\": -1e-05}\n", "{'odd, name'=-1e-05}" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_status status = { 0 };
        struct text text = { 0 };
        struct value *value = read_line(cases[i][0], strlen(cases[i][0]), &status);
        if (!value)
            fail_msg("%s", status.message);
        show(value, &text);
        assert_string_equal(text.data, cases[i][1]);
        text_free(&text);
    }
}

static void test_places(void **state)
{
    pil_status status = { 0 };
    struct flow_reader reader = { .rest = slice_text("a 1\nlong {k: [1, 2]}\n"), .file = "f" };
    struct slice word;
    struct value *value;
    (void)state;
    assert_true(flow_next(&reader, &word, &value, arena, &status));
    assert_true(flow_next(&reader, &word, &value, arena, &status));
    assert_true(slice_is(word, "long"));
    assert_int_equal(value->line, 2);
    assert_int_equal(value->column, 6);
    assert_int_equal(value_get(value, "k")->items[1]->column, 14);
    assert_string_equal(value->file, "f");
    assert_false(flow_next(&reader, &word, &value, arena, &status));
    assert_true(status_ok(&status));
    flow_fail(&reader, &status, "is odd");
    assert_string_equal(status.message, "f:2: is odd");
    assert_int_equal(status.code, PIL_BAD_DATA);
}

static void test_damage(void **state)
{
    static const char *const cases[] = {
        "x 1",        "x\n",         "x \n",       "x {\n",       "x {a\n",        "x {a:\n",         "x {a: 1\n",
        "x {a: 1,\n", "x {a: 1,}\n", "x {a: 1]\n", "x [1 \n",     "x [,]\n",       "x [1,]\n",        "x [1][2]\n",
        "x 1}\n",     "x \"a\n",     "x \"a\\\n",  "x \"\\q\"\n", "x \"\\u12\"\n", "x \"\\ud800\"\n", "x {a: b: c}\n",
        "x {: 1}\n",  "x \"a\\\"\n",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_status status = { 0 };
        if (read_line(cases[i], strlen(cases[i]), &status))
            fail_msg("read: %s", cases[i]);
        assert_int_equal(status.code, PIL_BAD_DATA);
        assert_ptr_equal(strstr(status.message, "f:1"), status.message);
    }
    char deep[256];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "x ", 2);
    deep[sizeof deep - 1] = '\n';
    pil_status status = { 0 };
    assert_null(read_line(deep, sizeof deep, &status));
    assert_non_null(strstr(status.message, "too deep"));
}

/* Any single byte may be another: an error or a value, nothing else. */
static void test_flipped_bytes(void **state)
{
    static const char line[] = "x {a: 1, b: [x, \"y\\n\\u0041\"], c: {d: null}}\n";
    char copy[sizeof line];
    (void)state;
    for (size_t i = 2; i < sizeof line - 2; i++)
        for (int byte = 0; byte < 256; byte++) {
            pil_status status = { 0 };
            memcpy(copy, line, sizeof line);
            copy[i] = (char)byte;
            struct value *value = read_line(copy, sizeof line - 1, &status);
            assert_int_equal(value != NULL, status_ok(&status));
            arena_reset(arena);
        }
}

static void test_no_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        struct arena *own = arena_new(&status);
        struct flow_reader reader = { .rest = slice_text("x {a: 1, b: [x, \"y\"]}\n"), .file = "f" };
        struct slice word;
        struct value *value;
        bool worked = own && flow_next(&reader, &word, &value, own, &status);
        arena_free(own);
        assert_int_equal(atomic_load(&failing_live), 0);
        if (!failing_stop())
            break;
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),        cmocka_unit_test(test_places),    cmocka_unit_test(test_damage),
        cmocka_unit_test(test_flipped_bytes), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
