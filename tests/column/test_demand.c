/* SPDX-License-Identifier: Apache-2.0 */
/* What fields are read as: from the columns that use them, from what input.fields states, and when they disagree. */
#include "columns.h"

static const struct field_spec *field_named(const struct program *program, const char *name)
{
    size_t count;
    const struct field_spec *specs = program_fields(program, &count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(specs[i].name, name) == 0)
            return &specs[i];
    fail_msg("no field '%s'", name);
    return NULL;
}

static void from_the_columns(void **state)
{
    (void)state;
    static const char *const words[] = { "a" }, *const integers[] = { "1" };
    pil_columns *c = pil_columns_new();
    pil_column *columns[] = {
        pil_numeric_column(c, "number"),
        pil_numeric_column(c, "integer", .dtype = "int64"),
        pil_numeric_column(c, "hour"), /* a number, and an id: integers serve both */
        pil_categorical_column_with_identity(c, "hour", 24),
        pil_categorical_column_with_hash_bucket(c, "hash", 5),
        pil_categorical_column_with_hash_bucket(c, "hash64", 5, .dtype = "int64"),
        pil_categorical_column_with_vocabulary_list(c, "word", words, 1),
        pil_categorical_column_with_vocabulary_list(c, "word64", integers, 1, .dtype = "int64"),
        pil_crossed_column(c, PIL_KEYS(pil_key(c, "raw"), pil_key(c, "hour")), 5),
        pil_weighted_categorical_column(c, pil_categorical_column_with_identity(c, "id", 3), "weight"),
    };
    static const struct {
        const char *name;
        enum field_type type;
    } want[] = {
        { "number", FIELD_FLOAT }, { "integer", FIELD_INT64 }, { "hour", FIELD_INT64 },   { "hash", FIELD_STRING },
        { "hash64", FIELD_INT64 }, { "word", FIELD_STRING },   { "word64", FIELD_INT64 }, { "raw", FIELD_STRING },
        { "id", FIELD_INT64 },     { "weight", FIELD_FLOAT },  { "late", FIELD_FLOAT },   { "class", FIELD_STRING },
        { "sales", FIELD_FLOAT },
    };
    pil_status status = pil_columns_status(c);
    ASSERT_OK(status);
    struct program *program = program_of(columns, COUNT_OF(columns), NULL);
    program_target(program, &(struct program_target){ .field = "late", .width = 1, .classes = 2 }, &status);
    program_target(program, &(struct program_target){ .field = "class", .width = 1, .vocabulary = words, .vocabulary_count = 1 },
                   &status);
    program_target(program, &(struct program_target){ .field = "number", .width = 1 }, &status);
    program_target(program, &(struct program_target){ .field = "sales", .width = 1 }, &status);
    assert_true(program_finish(program, &status));
    size_t count;
    program_fields(program, &count);
    assert_int_equal(count, COUNT_OF(want));
    for (size_t i = 0; i < COUNT_OF(want); i++)
        assert_int_equal(field_named(program, want[i].name)->type, want[i].type);
    assert_true(field_named(program, "number")->required); /* a column reads it, though it is a target as well */
    assert_false(field_named(program, "late")->required || field_named(program, "class")->required);
    program_free(program);
    pil_columns_free(c);
}

static void stated(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *columns[] = { pil_categorical_column_with_hash_bucket(c, "flight", 5), pil_numeric_column(c, "x"),
                              pil_categorical_column_with_identity(c, "tokens", 9) };
    struct program *program = program_of(columns, 3, NULL);
    pil_status status = OK_STATUS;

    state_field(program, "flight", FIELD_INT64, 0);
    state_field(program, "x", FIELD_STRING, 0); /* said twice: the last counts */
    state_field(program, "x", FIELD_INT64, 0);
    state_field(program, "tokens", PROGRAM_ANY_TYPE, ' ');
    state_field(program, "nobody", FIELD_INT64, 0);
    assert_true(program_finish(program, &status));
    assert_int_equal(field_named(program, "flight")->type, FIELD_INT64);
    assert_int_equal(field_named(program, "x")->type, FIELD_INT64);
    assert_int_equal(field_named(program, "tokens")->type, FIELD_INT64);
    assert_int_equal(field_named(program, "tokens")->separator, ' ');
    size_t count;
    program_fields(program, &count);
    assert_int_equal(count, 3);
    program_free(program);
    pil_columns_free(c);
}

/* A number and a hash would both do with integers, but nobody wants them, until a third one does. */
static void settled_by_a_third(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *columns[] = { pil_numeric_column(c, "f"), pil_categorical_column_with_hash_bucket(c, "f", 3),
                              pil_categorical_column_with_identity(c, "f", 3) };
    struct program *program = program_of(columns, 3, NULL);
    pil_status status = OK_STATUS;

    assert_true(program_finish(program, &status));
    assert_int_equal(field_named(program, "f")->type, FIELD_INT64);
    program_free(program);
    program = program_of(columns, 2, NULL);
    assert_false(program_finish(program, &status));
    ASSERT_TEXT(status, "field 'f' is read as string by 'f' and as float32 by 'f'");
    program_free(program);
    pil_columns_free(c);
}

static void disagreements(void **state)
{
    (void)state;
    static const char *const words[] = { "a" };
    static const char *const texts[] = {
        "field 'f' is read as string by 'f' and as float32 by 'f'",
        "field 'f' is read as string by 'f' and as int64 by 'f'",
        "'f' reads field 'f' as int64, but input.fields says string",
        "'f' reads field 'f' as float32, but input.fields says string",
        "'f' reads field 'f' as string, but input.fields says int64",
        "is read as string by 'f' and as float32 by 'f'",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        pil_columns *c = pil_columns_new();
        pil_column *number = pil_numeric_column(c, "f"), *identity = pil_categorical_column_with_identity(c, "f", 3);
        pil_column *word = pil_categorical_column_with_vocabulary_list(c, "f", words, 1);
        pil_column *cross = pil_crossed_column(c, PIL_KEYS(pil_key(c, "f"), pil_key(c, "g")), 3);
        pil_column *pairs[][2] = { { number, word },   { identity, word }, { identity, identity },
                                   { number, number }, { word, word },     { number, cross } };
        struct program *program = program_of(pairs[i], 2, NULL);
        pil_status status = OK_STATUS;
        if (i == 2 || i == 3)
            state_field(program, "f", FIELD_STRING, 0);
        if (i == 4)
            state_field(program, "f", FIELD_INT64, 0);
        assert_false(program_finish(program, &status));
        assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
        ASSERT_TEXT(status, texts[i]);
        program_free(program);
        pil_columns_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(from_the_columns), cmocka_unit_test(stated),
                                        cmocka_unit_test(disagreements), cmocka_unit_test(settled_by_a_third) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
