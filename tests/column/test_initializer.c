/* SPDX-License-Identifier: Apache-2.0 */
/* Initializers by name, in C and in the model file. */
#include <math.h>

#include "column/column.h"
#include "columns.h"

static void by_name(void **state)
{
    (void)state;
    static const struct {
        pil_column_initializer given;
        pil_initializer want;
    } cases[] = {
        { { .name = NULL }, { PIL_INITIALIZER_TRUNCATED_NORMAL, 0, 0.25f } },
        { { .name = "zeros" }, { PIL_INITIALIZER_ZEROS, 0, 0 } },
        { { .name = "Ones" }, { PIL_INITIALIZER_ONES, 0, 0 } },
        { { .name = "constant", .value = 3 }, { PIL_INITIALIZER_CONSTANT, 3, 0 } },
        { { .name = "truncated_normal" }, { PIL_INITIALIZER_TRUNCATED_NORMAL, 0, 0.05f } },
        { { .name = "TruncatedNormal", .mean = 1, .stddev = 2 }, { PIL_INITIALIZER_TRUNCATED_NORMAL, 1, 2 } },
        { { .name = "random_normal_initializer", .stddev = 0.5f }, { PIL_INITIALIZER_NORMAL, 0, 0.5f } },
        { { .name = "RandomUniform" }, { PIL_INITIALIZER_UNIFORM, -0.05f, 0.05f } },
        { { .name = "random_uniform", .maxval = 1 }, { PIL_INITIALIZER_UNIFORM, 0, 1 } },
        { { .name = "GlorotUniform" }, { PIL_INITIALIZER_GLOROT_UNIFORM, 0, 0 } },
        { { .name = "he_normal" }, { PIL_INITIALIZER_HE_NORMAL, 0, 0 } },
        { { .name = "orthogonal" }, { PIL_INITIALIZER_ORTHOGONAL, 1, 0 } },
        { { .name = "identity", .gain = 2 }, { PIL_INITIALIZER_IDENTITY, 2, 0 } },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_initializer got;
        const char *wrong;
        assert_true(initializer_of(&cases[i].given, 16, &got, &wrong));
        assert_int_equal(got.kind, cases[i].want.kind);
        assert_true(got.a == cases[i].want.a && got.b == cases[i].want.b);
    }
    const char *wrong;
    pil_initializer got;
    assert_false(initializer_of(&(pil_column_initializer){ .name = "truncated_norm" }, 1, &got, &wrong));
    assert_string_equal(wrong, "truncated_normal");
}

/* What a model file says, and what is printed for it. */
static void in_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *print, *error;
    } cases[] = {
        { "null", "null", NULL },
        { "zeros", "zeros", NULL },
        { "GlorotNormal", "glorot_normal", NULL },
        { "{truncated_normal: {stddev: 0.5}}", "{truncated_normal: {mean: 0, stddev: 0.5}}", NULL },
        { "{random_uniform: {minval: -1, maxval: 2}}", "{random_uniform: {minval: -1, maxval: 2}}", NULL },
        { "{constant: {value: 7, dtype: float32}}", "{constant: {value: 7}}", NULL },
        { "{random_normal: null}", "{random_normal: {mean: 0, stddev: 0.05}}", NULL },
        { "glorot", NULL, "model.yaml:1:1: there is no initializer 'glorot'" },
        { "{zeros: {stddev: 1}}", NULL, "model.yaml:1:10: zeros has no argument 'stddev'" },
        { "{random_normal: {stdev: 1}}", NULL, "model.yaml:1:18: random_normal has no argument 'stdev'; did you mean 'stddev'?" },
        { "{random_normal: {stddev: big}}", NULL, "model.yaml:1:26: stddev is no number" },
        { "{random_normal: 3}", NULL, "takes its numbers by name" },
        { "[zeros]", NULL, "takes a name" },
    };
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    const struct arg arg = { .name = "initializer", .type = &COLUMN_ARG_INITIALIZER };
    struct args_reader reader = { .arena = arena };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_column_initializer field = { 0 };
        struct text text = { 0 };
        status = OK_STATUS;
        bool parsed = arg.type->parse(&arg, yaml_value(cases[i].yaml, arena), &field, &reader, &status);
        assert_int_equal(parsed, cases[i].error == NULL);
        if (cases[i].error) {
            ASSERT_TEXT(status, cases[i].error);
            continue;
        }
        arg.type->print(&arg, &field, &text);
        assert_string_equal(text.data, cases[i].print);
        text_free(&text);
    }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(by_name), cmocka_unit_test(in_the_file) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
