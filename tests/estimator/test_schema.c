/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON Schema is JSON, and says of an argument what its table says. */
#include "models.h"

#include "base/json.h"

static struct json_value root;
static struct json_parser *parser;

static int setup(void **state)
{
    pil_status status = { 0 };
    struct text json = { 0 };

    (void)state;
    modelfile_schema(&json);
    parser = json_parser_new(0, &status);
    if (json.failed || !parser || !json_parse(parser, slice_of(json.data, json.size), &root, &status)) {
        print_error("%s\n", status.message);
        return -1;
    }
    text_free(&json);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_parser_free(parser);
    return 0;
}

/* What is found below `from` by names; a number is an item of a list. */
static struct json_value at(struct json_value from, const char *const *path)
{
    for (; *path; path++) {
        struct json_value next;
        if (from.kind == JSON_LIST) {
            struct json_walk walk = json_children(&from);
            for (int i = atoi(*path); i >= 0; i--)
                assert_true(json_next(&walk, NULL, &next));
        } else if (!json_get(&from, *path, &next)) {
            fail_msg("the schema has no '%s'", *path);
        }
        from = next;
    }
    return from;
}
#define AT(from, ...) at(from, (const char *const[]){ __VA_ARGS__, NULL })

static void test_keys(void **state)
{
    struct json_value properties = AT(root, "properties"), flag = AT(root, "additionalProperties");

    (void)state;
    assert_int_equal(flag.kind, JSON_BOOL);
    assert_false(flag.flag);
    for (size_t i = 0; i < FILE_TABLE.arg_count; i++)
        AT(properties, FILE_TABLE.args[i].name, "allOf", "0");
    assert_true(slice_is(AT(root, "required", "0").text, "estimator"));
    assert_true(slice_is(AT(root, "required", "1").text, "label"));
    assert_int_equal(AT(properties, "estimator", "allOf", "0", "enum").count, ESTIMATOR_COUNT);
}

static void test_sections(void **state)
{
    struct json_value input = AT(root, "properties", "input", "allOf", "0", "anyOf", "0", "properties");
    struct json_value run = AT(root, "properties", "run", "allOf", "0", "anyOf", "0", "properties");

    (void)state;
    assert_int_equal(input.count, INPUT_TABLE.arg_count);
    assert_int_equal(AT(input, "batch_size", "default").integer, 128);
    assert_int_equal(AT(input, "batch_size", "minimum").integer, 1);
    assert_true(AT(input, "shuffle", "default").flag);
    assert_true(slice_is(AT(input, "on_error", "default").text, "stop"));
    assert_true(slice_is(AT(input, "delimiter", "default").text, ","));
    assert_int_equal(AT(run, "tf_random_seed", "default").kind, JSON_NULL);
    assert_int_equal(AT(run, "keep_checkpoint_max", "default").integer, 5);
}

static void test_columns(void **state)
{
    struct json_value kinds = AT(root, "properties", "columns", "allOf", "0", "anyOf", "0", "additionalProperties", "anyOf");

    (void)state;
    assert_int_equal(kinds.count, column_kind_count() + 1); /* and a kind's bare name */
    assert_true(slice_is(AT(kinds, "0", "enum", "0").text, "numeric_column"));
    for (size_t i = 0; i < column_kind_count(); i++) {
        char number[24];
        const struct arg_table *table = column_kind_table(i);
        snprintf(number, sizeof number, "%zu", i + 1);
        struct json_value arguments = AT(kinds, number, "properties", table->name, "anyOf", "0", "properties");
        assert_int_equal(arguments.count, table->arg_count);
    }
}

static void test_params(void **state)
{
    struct json_value all = AT(root, "allOf");

    (void)state;
    assert_int_equal(all.count, ESTIMATOR_COUNT);
    for (size_t i = 0; i < ESTIMATOR_COUNT; i++) {
        char number[24];
        const struct estimator_row *row = &ESTIMATOR_ROWS[i];
        snprintf(number, sizeof number, "%zu", i);
        struct json_value one = AT(all, number);
        assert_true(slice_is(AT(one, "if", "properties", "estimator", "const").text, row->name));
        struct json_value params = AT(one, "then", "properties", "params");
        if (row->kind == ESTIMATOR_LINEAR || row->kind == ESTIMATOR_DNN) {
            assert_int_equal(AT(params, "properties").count, row->params->arg_count);
            assert_true(slice_is(AT(one, "then", "required", "0").text, "params"));
        } else {
            assert_int_equal(AT(params, "anyOf", "0", "properties").count, row->params->arg_count);
        }
    }
    assert_true(slice_is(AT(all, "2", "then", "properties", "params", "properties", "activation_fn", "default").text, "relu"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_params),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
