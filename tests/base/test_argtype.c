/* SPDX-License-Identifier: Apache-2.0 */
/* Types of arguments: what each takes, what it refuses and with which words, and that its print reads back. */
#include "values.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const COMBINERS[] = { "sum", "mean", "sqrtn", NULL };

struct options {
    bool flag;
    int64_t count;
    float rate;
    double exact;
    const char *name;
    int combiner;
    struct arg_texts words;
    struct arg_ints units;
    struct arg_floats bounds;
};

#define ROW(field_, type_, ...)                                                                                                  \
    {                                                                                                                            \
        .name = #field_, .type = &type_, .offset = offsetof(struct options, field_), __VA_ARGS__                                 \
    }
static const struct arg ROWS[] = {
    ROW(flag, ARG_BOOL),
    ROW(count, ARG_INT, .low = 1, .high = INFINITY),
    ROW(rate, ARG_FLOAT, .low = 0, .high = 1),
    ROW(exact, ARG_DOUBLE),
    ROW(name, ARG_TEXT),
    ROW(combiner, ARG_CHOICE, .extra = COMBINERS),
    ROW(words, ARG_TEXTS),
    ROW(units, ARG_INTS, .low = 1, .high = 100),
    ROW(bounds, ARG_FLOATS),
};
static const struct options DEFAULTS = { .count = 1, .rate = 0.5f };
static const struct arg_table TABLE = {
    .name = "thing", .args = ROWS, .arg_count = COUNT_OF(ROWS), .defaults = &DEFAULTS, .size = sizeof(struct options)
};

static struct arena *arena;

static int make_arena(void **state)
{
    pil_status status = { 0 };
    (void)state;
    arena = arena_new(&status);
    return arena != NULL ? 0 : 1;
}

static int free_arena(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static bool parse(const char *yaml, struct options *options, pil_status *status)
{
    struct args_reader reader = { .arena = arena };
    const struct value *map = values_parse(arena, yaml);
    assert_non_null(map);
    *status = (pil_status){ 0 };
    return args_parse(&TABLE, map, options, &reader, status);
}

static void accepted(void **state)
{
    (void)state;
    struct options o;
    pil_status status;
    assert_true(parse("{flag: TRUE, count: 12.0, rate: 1e-3, exact: 0.1, name: 007, combiner: sqrtn}", &o, &status));
    assert_true(o.flag);
    assert_int_equal(o.count, 12);
    assert_float_equal(o.rate, 0.001f, 0);
    assert_true(o.exact == 0.1);
    assert_string_equal(o.name, "007");
    assert_int_equal(o.combiner, 2);
    assert_true(parse("{name: ~}", &o, &status) && o.name == NULL);
    assert_true(parse("{name: null}", &o, &status) && o.name == NULL);
    assert_true(parse("{name: }", &o, &status) && o.name == NULL);
    assert_true(parse("{name: 'null'}", &o, &status));
    assert_string_equal(o.name, "null");
    assert_true(parse("{name: ''}", &o, &status));
    assert_string_equal(o.name, "");
    assert_true(parse("{exact: -.inf}", &o, &status) && isinf(o.exact) && o.exact < 0);
    assert_true(parse("{exact: .NaN}", &o, &status) && isnan(o.exact));
    assert_true(parse("{exact: -.5}", &o, &status));
    assert_true(o.exact == -0.5);
}

static void lists(void **state)
{
    (void)state;
    struct options o;
    pil_status status;
    assert_true(parse("{words: [yes, no, '1', Sun], units: [64, 32.0], bounds: [1, 2.5, -inf]}", &o, &status));
    assert_int_equal(o.words.count, 4);
    assert_string_equal(o.words.items[0], "yes");
    assert_string_equal(o.words.items[2], "1");
    assert_false(o.words.quoted_first);
    assert_int_equal(o.units.count, 2);
    assert_int_equal(o.units.items[1], 32);
    assert_int_equal(o.bounds.count, 3);
    assert_float_equal(o.bounds.items[1], 2.5f, 0);
    assert_true(parse("{words: ['1', 2]}", &o, &status) && o.words.quoted_first);
    assert_true(parse("{words: [], bounds: null}", &o, &status));
    assert_true(o.words.items != NULL && o.words.count == 0);
    assert_true(o.bounds.items == NULL && o.bounds.count == 0);
}

/* The expected values are numpy's: np.linspace(38.0, 42.0, 16).astype(np.float32), np.linspace(-0.1, 0.7, 4). */
static void linspace(void **state)
{
    (void)state;
    static const float numpy[] = { 38.0f,      38.266666f, 38.533333f, 38.8f,      39.066666f, 39.333332f, 39.6f,      39.866665f,
                                   40.133335f, 40.4f,      40.666668f, 40.933334f, 41.2f,      41.466667f, 41.733334f, 42.0f };
    static const float small[] = { -0.1f, 0.16666667f, 0.43333334f, 0.7f };
    struct options o;
    pil_status status;
    assert_true(parse("{bounds: {linspace: [38.0, 42.0, 16]}}", &o, &status));
    assert_int_equal(o.bounds.count, 16);
    assert_memory_equal(o.bounds.items, numpy, sizeof(numpy));
    assert_true(parse("{bounds: {linspace: [-0.1, 0.7, 4]}}", &o, &status));
    assert_memory_equal(o.bounds.items, small, sizeof(small));
    assert_true(parse("{bounds: {linspace: [3, 9, 1]}}", &o, &status));
    assert_int_equal(o.bounds.count, 1);
    assert_float_equal(o.bounds.items[0], 3, 0);
    assert_true(parse("{bounds: {linspace: [3, 3, 3]}}", &o, &status));
    assert_float_equal(o.bounds.items[1], 3, 0);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *message;
    } cases[] = {
        { "{flag: 1}", "model.yaml:1:8: flag takes true or false, not '1'" },
        { "{flag: null}", "model.yaml:1:8: flag takes true or false and cannot be null" },
        { "{count: abc}", "model.yaml:1:9: count takes an integer, not 'abc'" },
        { "{count: 1.5}", "model.yaml:1:9: count takes an integer, not '1.5'" },
        { "{count: '8'}", "model.yaml:1:9: count takes an integer, not the text \"8\": leave out the quotes" },
        { "{count: 0}", "model.yaml:1:9: count must be at least 1, not 0" },
        { "{count: [1]}", "model.yaml:1:9: count takes an integer, not a list" },
        { "{count: {a: 1}}", "model.yaml:1:9: count takes an integer, not a map" },
        { "{count: ~}", "model.yaml:1:9: count takes an integer and cannot be null" },
        { "{rate: 1.01}", "model.yaml:1:8: rate must be from 0 to 1, not 1.01" },
        { "{rate: .nan}", "model.yaml:1:8: rate must be from 0 to 1, not .nan" },
        { "{rate: }", "model.yaml:1:8: rate takes a number and cannot be null" },
        { "{rate: fast}", "model.yaml:1:8: rate takes a number, not 'fast'" },
        { "{exact: 1e999}", "model.yaml:1:9: exact: 1e999 is too large for a double" },
        { "{exact: .e5}", "model.yaml:1:9: exact takes a number, not '.e5'" },
        { "{bounds: [1, 1e39]}", "model.yaml:1:14: item 2 of bounds: 1e39 is too large for a float32" },
        { "{name: [a]}", "model.yaml:1:8: name takes a text, not a list" },
        { "{name: \"a\\0b\"}", "model.yaml:1:8: name contains a zero byte" },
        { "{combiner: maen}", "model.yaml:1:12: combiner takes sum, mean or sqrtn, not 'maen'; did you mean 'mean'?" },
        { "{combiner: average}", "model.yaml:1:12: combiner takes sum, mean or sqrtn, not 'average'" },
        { "{combiner: }", "model.yaml:1:12: combiner takes sum, mean or sqrtn and cannot be null" },
        { "{words: Sun}", "model.yaml:1:9: words takes a list of texts, not the single value 'Sun'\n"
                          "          write it as a list: words: [Sun]" },
        { "{words: {a: b}}", "model.yaml:1:9: words takes a list of texts, not a map" },
        { "{words: [a, [b]]}", "model.yaml:1:13: item 2 of words takes a text, not a list" },
        { "{words: [a, null]}", "model.yaml:1:13: item 2 of words takes a text and cannot be null" },
        { "{units: [64, x]}", "model.yaml:1:14: item 2 of units takes an integer, not 'x'" },
        { "{units: [64, 101]}", "model.yaml:1:14: item 2 of units must be from 1 to 100, not 101" },
        { "{units: 64}", "model.yaml:1:9: units takes a list of integers, not the single value '64'\n"
                         "          write it as a list: units: [64]" },
        { "{bounds: {linspace: [1, 2]}}", "model.yaml:1:10: bounds takes a list of numbers or {linspace: [from, to, count]}" },
        { "{bounds: {linspice: [1, 2, 3]}}", "model.yaml:1:10: bounds takes a list of numbers or {linspace: [from, to, count]}" },
        { "{bounds: {linspace: [1, 2, 0]}}", "model.yaml:1:28: linspace's count must be from 1 to 1000000, not 0" },
        { "{bounds: {linspace: [1, inf, 3]}}", "model.yaml:1:21: linspace takes finite numbers" },
        { "{bounds: {linspace: [x, 2, 3]}}", "model.yaml:1:22: linspace's first item takes a number, not 'x'" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct options o;
        pil_status status;
        assert_false(parse(cases[i].yaml, &o, &status));
        assert_string_equal(status.message, cases[i].message);
        assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    }
}

/* A long value is shown by its start, without half a character. */
static void long_values(void **state)
{
    (void)state;
    char yaml[4000] = "{count: ";
    for (int i = 0; i < 1000; i++)
        strcat(yaml, "\xE2\x82\xAC");
    strcat(yaml, "}");
    struct options o;
    pil_status status;
    assert_false(parse(yaml, &o, &status));
    assert_true(strlen(status.message) < 150);
    assert_true(utf8_valid(slice_text(status.message)));
    assert_non_null(strstr(status.message, "\xE2\x82\xAC...'"));
}

/* What args_print writes parses to the same options, for everything that needs care. */
static void prints_read_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "{flag: true, count: 9223372036854775807, rate: 0.1, exact: -1e-300, name: null, combiner: mean}",
        "{name: ''}",
        "{name: 'null'}",
        "{name: \"a: b, [c] {d} # 'e' \\\"f\\\" \\\\ \\n \\t \\x01 \\x7f \\u0085 \\uFFFE end\"}",
        "{name: ' lead'}",
        "{name: '- x'}",
        "{name: '*a'}",
        "{name: caf\xC3\xA9}",
        "{words: [1, 2.5, -3, 'no', x.csv, 'a b', '']}",
        "{words: ['1', 2, x]}",
        "{words: []}",
        "{units: [1, 100], bounds: [0.1, 1e-30, -inf, 16777216]}",
        "{units: [], exact: inf}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct options first, second;
        pil_status status;
        struct text once = { 0 }, twice = { 0 };
        assert_true(parse(texts[i], &first, &status));
        args_print(&TABLE, &first, &once);
        assert_true(parse(once.data, &second, &status));
        args_print(&TABLE, &second, &twice);
        assert_string_equal(once.data, twice.data);
        assert_true((first.name == NULL) == (second.name == NULL));
        if (first.name != NULL)
            assert_string_equal(first.name, second.name);
        assert_int_equal(first.words.count, second.words.count);
        assert_true((first.words.items == NULL) == (second.words.items == NULL));
        assert_int_equal(first.words.quoted_first, second.words.quoted_first);
        for (size_t w = 0; w < first.words.count; w++)
            assert_string_equal(first.words.items[w], second.words.items[w]);
        assert_memory_equal(&first.exact, &second.exact, sizeof(first.exact));
        assert_int_equal(first.bounds.count, second.bounds.count);
        if (first.bounds.count > 0)
            assert_memory_equal(first.bounds.items, second.bounds.items, first.bounds.count * sizeof(float));
        text_free(&once);
        text_free(&twice);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted), cmocka_unit_test(lists),       cmocka_unit_test(linspace),
        cmocka_unit_test(refused),  cmocka_unit_test(long_values), cmocka_unit_test(prints_read_back),
    };
    return cmocka_run_group_tests_name("base/argtype", tests, make_arena, free_arena);
}
