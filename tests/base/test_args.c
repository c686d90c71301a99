/* SPDX-License-Identifier: Apache-2.0 */
/* Argument tables: places and near words in errors, defaults, what is required, schema and reference from the rows. */
#include "failing.h"
#include "values.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const COMBINERS[] = { "sum", "mean", NULL };

struct crossed {
    struct arg_texts keys;
    int64_t hash_bucket_size;
    const char *hash_key;
    float rate;
    int combiner;
};

static bool parse_pair(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                       pil_status *status)
{
    (void)arg;
    if (value->kind != VALUE_LIST || value->count != 2)
        return value_fail(value, status, "a pair is [a, b]");
    *(const char **)field = *(const char *const *)reader->context;
    return true;
}

static void print_pair(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    text_format(out, "[%s]", *(const char *const *)field == NULL ? "" : *(const char *const *)field);
}

static const struct arg_type ARG_PAIR = { .name = "pair", .schema = "{}", .parse = parse_pair, .print = print_pair };

static const struct arg ROWS[] = {
    { .name = "keys", .type = &ARG_TEXTS, .offset = offsetof(struct crossed, keys), .help = "names | columns", .required = true },
    { .name = "hash_bucket_size",
      .type = &ARG_INT,
      .offset = offsetof(struct crossed, hash_bucket_size),
      .help = "number of buckets",
      .low = 2,
      .high = INFINITY,
      .required = true },
    { .name = "hash_key", .type = &ARG_TEXT, .offset = offsetof(struct crossed, hash_key), .help = "another \"hash\"" },
    { .name = "rate", .type = &ARG_FLOAT, .offset = offsetof(struct crossed, rate), .low = 0, .high = 1 },
    { .name = "combiner", .type = &ARG_CHOICE, .offset = offsetof(struct crossed, combiner), .extra = COMBINERS, .help = "how" },
};
static const struct crossed DEFAULTS = { .rate = 0.25f, .combiner = 1 };
static const struct arg_table TABLE = { .name = "crossed_column",
                                        .help = "pairs of words",
                                        .args = ROWS,
                                        .arg_count = COUNT_OF(ROWS),
                                        .defaults = &DEFAULTS,
                                        .size = sizeof(DEFAULTS) };

static const struct arg PAIR_ROWS[] = { { .name = "pair", .type = &ARG_PAIR, .offset = 0, .help = "two" } };
static const struct arg_table PAIR_TABLE = {
    .name = "pair_column", .args = PAIR_ROWS, .arg_count = 1, .size = sizeof(const char *)
};
static const struct arg_table EMPTY_TABLE = { .name = "flatten" };

static void places(void **state)
{
    (void)state;
    struct value value = { .file = "model.yaml", .line = 14, .column = 27 };
    pil_status status = { 0 };
    assert_false(value_fail(&value, &status, "%d is wrong", 7));
    assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    assert_string_equal(status.message, "model.yaml:14:27: 7 is wrong");
    assert_false(value_fail(&value, &status, "later"));
    assert_string_equal(status.message, "model.yaml:14:27: 7 is wrong");
    status_clear(&status);
    value.column = 0;
    value_fail(&value, &status, "x");
    assert_string_equal(status.message, "model.yaml:14: x");
    status_clear(&status);
    value = (struct value){ .file = "--set" };
    value_fail(&value, &status, "x");
    assert_string_equal(status.message, "--set: x");
    status_clear(&status);
    value_fail(NULL, &status, "x");
    assert_string_equal(status.message, "x");
}

static void check(const struct arg_table *table, const char *yaml, const char *message)
{
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    struct args_reader reader = { .arena = arena };
    struct crossed options;
    bool worked = args_parse(table, yaml != NULL ? values_parse(arena, yaml) : NULL, &options, &reader, &status);
    assert_string_equal(status.message, message);
    assert_int_equal(worked, message[0] == '\0');
    arena_free(arena);
}

static void errors(void **state)
{
    (void)state;
    check(&TABLE, "{keys: [a, b], hash_bucket_size: 10}", "");
    check(&TABLE, "{keys: [a, b],\n hash_buckets_size: 10}",
          "model.yaml:2:2: crossed_column has no argument 'hash_buckets_size'; did you mean 'hash_bucket_size'?");
    check(&TABLE, "{other: 1}",
          "model.yaml:1:2: crossed_column has no argument 'other'\n"
          "          it takes keys, hash_bucket_size, hash_key, rate, combiner");
    check(&TABLE, "{keys: [a]}",
          "model.yaml:1:1: crossed_column needs 'hash_bucket_size' (integer)\n"
          "          hash_bucket_size: number of buckets");
    check(&TABLE, "{keys: null}", "model.yaml:1:8: crossed_column needs 'keys': it cannot be null");
    check(&TABLE, NULL, "crossed_column needs 'keys' (list of texts)\n          keys: names | columns");
    check(&TABLE, "null", "model.yaml:1:1: crossed_column needs 'keys' (list of texts)\n          keys: names | columns");
    check(&TABLE, "[1]", "model.yaml:1:1: crossed_column takes its arguments as a map: {name: value, ...}");
    check(&TABLE, "day_hr", "model.yaml:1:1: crossed_column takes its arguments as a map: {name: value, ...}");
    check(&TABLE, "{rate: 0, rate: 1}", "model.yaml:1:11: crossed_column has 'rate' twice");
    check(&EMPTY_TABLE, "{}", "");
    check(&EMPTY_TABLE, "{x: 1}", "model.yaml:1:2: flatten has no argument 'x'\n          it takes none");
}

static void defaults_and_values(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    const char *context = "from above";
    struct args_reader reader = { .arena = arena, .context = &context };
    struct crossed options;
    memset(&options, 0xFF, sizeof(options));
    struct value *map = values_parse(arena, "{keys: [a, b], hash_bucket_size: 10, hash_key: ''}");
    assert_true(args_parse(&TABLE, map, &options, &reader, &status));
    assert_float_equal(options.rate, 0.25f, 0);
    assert_int_equal(options.combiner, 1);
    assert_string_equal(options.hash_key, "");
    assert_ptr_equal(value_get(map, "hash_bucket_size"), map->items[1]);
    assert_null(value_get(map, "hash"));
    assert_null(value_get(map->items[0], "a"));
    assert_null(value_get(NULL, "a"));
    struct text text = { 0 };
    args_print(&TABLE, &options, &text);
    assert_string_equal(text.data, "{keys: [a, b], hash_bucket_size: 10, hash_key: \"\", rate: 0.25, combiner: mean}");
    text_clear(&text);
    args_print(&EMPTY_TABLE, NULL, &text);
    assert_string_equal(text.data, "{}");
    text_free(&text);

    const char *pair = "?";
    assert_true(args_parse(&PAIR_TABLE, NULL, &pair, &reader, &status));
    assert_null(pair);
    assert_true(args_parse(&PAIR_TABLE, values_parse(arena, "{pair: [a, b]}"), &pair, &reader, &status));
    assert_string_equal(pair, "from above");
    arena_free(arena);
}

static void schema(void **state)
{
    (void)state;
    struct text text = { 0 };
    args_schema(&TABLE, &text);
    assert_string_equal(
        text.data,
        "{\"type\":\"object\",\"description\":\"pairs of words\",\"additionalProperties\":false,\"properties\":{"
        "\"keys\":{\"description\":\"names | columns\",\"type\":[\"array\",\"null\"],\"items\":{\"type\":[\"string\",\"number\","
        "\"boolean\"]}},"
        "\"hash_bucket_size\":{\"description\":\"number of buckets\",\"type\":\"integer\",\"minimum\":2},"
        "\"hash_key\":{\"description\":\"another \\\"hash\\\"\",\"type\":[\"string\",\"number\",\"boolean\",\"null\"],"
        "\"default\":null},"
        "\"rate\":{\"description\":\"\",\"type\":\"number\",\"minimum\":0,\"maximum\":1,\"default\":0.25},"
        "\"combiner\":{\"description\":\"how\",\"type\":\"string\",\"enum\":[\"sum\",\"mean\"],\"default\":\"mean\"}},"
        "\"required\":[\"keys\",\"hash_bucket_size\"]}");
    text_clear(&text);
    args_schema(&PAIR_TABLE, &text);
    assert_string_equal(text.data,
                        "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"pair\":{\"description\":"
                        "\"two\"}}}");
    text_free(&text);
}

static void reference(void **state)
{
    (void)state;
    struct text text = { 0 };
    args_reference(&TABLE, &text);
    assert_string_equal(text.data, "| argument | type | default | meaning |\n"
                                   "| --- | --- | --- | --- |\n"
                                   "| `keys` | list of texts | required | names \\| columns |\n"
                                   "| `hash_bucket_size` | integer, at least 2 | required | number of buckets |\n"
                                   "| `hash_key` | text | `null` | another \"hash\" |\n"
                                   "| `rate` | float, from 0 to 1 | `0.25` |  |\n"
                                   "| `combiner` | `sum`, `mean` | `mean` | how |\n");
    text_free(&text);
}

/* Each allocation of parsing and of the three printers fails once. */
static void out_of_memory(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct arena *tree = arena_new(&status);
    char yaml[8192] = "{keys: [";
    for (int i = 0; i < 400; i++)
        strcat(yaml, "\"a longer word\", ");
    strcat(yaml, "b], hash_bucket_size: 10, hash_key: x}");
    struct value *map = values_parse(tree, yaml);
    for (int64_t n = 0;; n++) {
        struct crossed options;
        struct text text = { 0 };
        status_clear(&status);
        failing_start(n, false);
        struct arena *arena = arena_new(&status);
        struct args_reader reader = { .arena = arena };
        bool worked = arena != NULL && args_parse(&TABLE, map, &options, &reader, &status);
        if (worked) {
            args_print(&TABLE, &options, &text);
            args_schema(&TABLE, &text);
            args_reference(&TABLE, &text);
            worked = text_ok(&text, &status);
        }
        text_free(&text);
        arena_free(arena);
        assert_int_equal(failing_live, 0);
        if (!failing_stop()) {
            assert_true(worked && n > 6);
            break;
        }
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
    arena_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places), cmocka_unit_test(errors),    cmocka_unit_test(defaults_and_values),
        cmocka_unit_test(schema), cmocka_unit_test(reference), cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("base/args", tests, NULL, NULL);
}
