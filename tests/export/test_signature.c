/* SPDX-License-Identifier: Apache-2.0 */
/* Export outputs become signatures by the original's rules; what cannot be served is refused before anything is written. */
#include "exports.h"

/* What a model function builds, and one way of exporting it. */
struct scene {
    struct pil_graph *g;
    struct pil_tensor *y, *pair, *scalar, *sparse; /* [?, 1], [?, 2], a sum over the batch */
};

static pil_exports none(struct scene *s)
{
    (void)s;
    return (pil_exports){ 0 };
}
static pil_exports one(struct scene *s)
{
    return PIL_EXPORTS(s->g, { "regression_export_outputs", pil_regression_output(s->y) });
}
static pil_exports one_default(struct scene *s)
{
    return PIL_EXPORTS(s->g, { "serving_default", pil_regression_output(s->y) });
}
static pil_exports own_predict(struct scene *s)
{
    return PIL_EXPORTS(s->g, { "predict", pil_predict_output(PIL_DICT(s->g, { "mine", s->pair })) });
}
static pil_exports several(struct scene *s)
{
    return PIL_EXPORTS(s->g, { "a", pil_regression_output(s->y) },
                       { "serving_default", pil_classification_output(s->pair, NULL, 0) },
                       { "b", pil_predict_output(PIL_DICT(s->g, { "y", s->y }, { "p", s->pair })) });
}
static pil_exports no_default(struct scene *s)
{
    return PIL_EXPORTS(s->g, { "a", pil_regression_output(s->y) }, { "b", pil_regression_output(s->y) });
}
static pil_exports twice(struct scene *s)
{
    return PIL_EXPORTS(s->g, { "serving_default", pil_regression_output(s->y) }, { "b", pil_regression_output(s->y) },
                       { "b", pil_regression_output(s->y) });
}
static pil_exports wide_regression(struct scene *s)
{
    return PIL_EXPORTS(s->g, { "r", pil_regression_output(s->pair) });
}
static pil_exports wrong_words(struct scene *s)
{
    static const char *const words[] = { "a", "b", "c" };
    return PIL_EXPORTS(s->g, { "c", pil_classification_output(s->pair, words, 3) });
}
static pil_exports bad_words(struct scene *s)
{
    static const char *const words[] = { "a", "b\xFF" };
    return PIL_EXPORTS(s->g, { "c", pil_classification_output(s->pair, words, 2) });
}
static pil_exports no_tensor(struct scene *s)
{
    return PIL_EXPORTS(s->g, { "r", pil_regression_output(NULL) });
}
static pil_exports whole_batch(struct scene *s)
{
    return PIL_EXPORTS(s->g, { "p", pil_predict_output(PIL_DICT(s->g, { "sum", s->scalar })) });
}
static pil_exports no_outputs(struct scene *s)
{
    (void)s;
    return PIL_EXPORTS(s->g, { "p", pil_predict_output((pil_dict){ 0 }) });
}
static pil_exports sparse_output(struct scene *s)
{
    return PIL_EXPORTS(s->g, { "p", pil_predict_output(PIL_DICT(s->g, { "ids", s->sparse })) });
}

static const struct scene_case {
    pil_exports (*exports)(struct scene *s);
    const char *want; /* "name=kind(outputs)", or "! words of the error" */
} cases[] = {
    { none, "serving_default=0(predicted)" },
    { one, "serving_default=1(outputs) regression_export_outputs=1(outputs) predict=0(predicted)" },
    { one_default, "serving_default=1(outputs) predict=0(predicted)" },
    { own_predict, "serving_default=0(mine) predict=0(mine)" },
    { several, "serving_default=2(classes,scores) a=1(outputs) b=0(y,p) predict=0(predicted)" },
    { no_default, "! there are 2 export outputs and none is named 'serving_default'" },
    { twice, "! there are two export outputs 'b'" },
    { wide_regression, "! the regression output 'serving_default' (concat) is float32 [?, 2]; it takes float32 [?] or [?, 1]" },
    { wrong_words, "! has 2 scores and 3 words" },
    { bad_words, "! word number 2 of the output 'classes' is not UTF-8" },
    { no_tensor, "! has no tensor" },
    { whole_batch, "! has no row for each row of the request" },
    { no_outputs, "! has no outputs" },
    { sparse_output, "! is of no type that can be exported: sparse" },
};

static void describe(const struct signatures *signatures, char *out, size_t size)
{
    size_t used = 0;
    for (size_t s = 0; s < signatures->count; s++) {
        const struct signature *signature = &signatures->items[s];
        used += (size_t)snprintf(out + used, size - used, "%s%s=%d(", s ? " " : "", signature->name, (int)signature->kind);
        for (size_t o = 0; o < signature->output_count; o++)
            used += (size_t)snprintf(out + used, size - used, "%s%s", o ? "," : "", signature->outputs[o].name);
        used += (size_t)snprintf(out + used, size - used, ")");
    }
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_status status = { 0 };
        char text[512] = "";
        struct scene s = { .g = graph_new(&status) };
        struct arena *arena = arena_new(&status);
        struct signatures signatures;
        s.y = graph_input(s.g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false);
        s.pair = graph_op2(s.g, "concat", &(struct op_axis_args){ 1 }, s.y, s.y);
        s.scalar = graph_op1(s.g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, graph_op1(s.g, "sum_all", NULL, s.y));
        s.sparse = graph_input(s.g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true);
        struct export_request request = { .graph = s.g,
                                          .predictions = PIL_DICT(s.g, { "predicted", s.y }),
                                          .outputs = cases[i].exports(&s) };
        assert_ok(*graph_status(s.g));
        bool made = signatures_make(&request, arena, &signatures, &status);
        if (made)
            describe(&signatures, text, sizeof text);
        if (made != (cases[i].want[0] != '!') ||
            (made ? strcmp(text, cases[i].want) != 0 : !strstr(status.message, cases[i].want + 2)))
            fail_msg("case %zu: '%s' and '%s' instead of '%s'", i, text, status.message, cases[i].want);
        arena_free(arena);
        graph_free(s.g);
    }
}

/* Tensors are fetched once, however many outputs they have. */
static void test_fetched_once(void **state)
{
    pil_status status = { 0 };
    struct scene s = { .g = graph_new(&status) };
    struct arena *arena = arena_new(&status);
    struct signatures signatures;
    (void)state;
    s.y = graph_input(s.g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false);
    struct export_request request = { .graph = s.g,
                                      .predictions = PIL_DICT(s.g, { "predicted", s.y }, { "again", s.y }),
                                      .outputs = one(&s) };
    assert_true(signatures_make(&request, arena, &signatures, &status));
    assert_int_equal(signatures.tensor_count, 1);
    arena_free(arena);
    graph_free(s.g);
}

/* ---- receivers ----------------------------------------------------------------------------------------------- */

static const struct receive_case {
    const char *name;
    pil_receiver_type type;
    int64_t width;
    const char *says;
} receive_cases[] = {
    { "hour", PIL_RECEIVE_INTS, 1, "received twice" },    { NULL, PIL_RECEIVE_INTS, 1, "has no name" },
    { "", PIL_RECEIVE_INTS, 1, "has no name" },           { "x", (pil_receiver_type)7, 1, "type number 7" },
    { "x", PIL_RECEIVE_INTS, -1, "has -1 values a row" },
};

static void test_receivers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(receive_cases); i++) {
        pil_status status = { 0 };
        struct pil_receivers *receivers = receivers_new(&status);
        pil_receive(receivers, "hour", PIL_RECEIVE_INTS, 1);
        assert_ok(*receivers_status(receivers));
        pil_receive(receivers, receive_cases[i].name, receive_cases[i].type, receive_cases[i].width);
        assert_says(*receivers_status(receivers), receive_cases[i].says);
        pil_receive(receivers, "later", PIL_RECEIVE_INTS, 1);
        assert_says(*receivers_status(receivers), receive_cases[i].says); /* the first error stays */
        assert_int_equal(receivers_count(receivers), 1);
        receivers_free(receivers);
    }
    pil_receive(NULL, "x", PIL_RECEIVE_INTS, 1);
}

static void test_receivers_fit(void **state)
{
    static const struct {
        struct receiver receivers[2];
        size_t count;
        const char *says;
    } list[] = {
        { { { "hour", PIL_RECEIVE_INTS, 1 } }, 1, "the model reads the feature 'delay', which requests do not bring" },
        { { { "hour", PIL_RECEIVE_STRINGS, 1 }, { "delay", PIL_RECEIVE_FLOATS, 1 } },
          2,
          "'hour' as int64, requests bring string" },
        { { { "hour", PIL_RECEIVE_INTS, 1 }, { "delay", PIL_RECEIVE_FLOATS, 3 } }, 2, "'delay', requests bring several" },
        { { { "hour", PIL_RECEIVE_INTS, 0 }, { "delay", PIL_RECEIVE_FLOATS, 1 } },
          2,
          "'hour', requests bring any number of them" },
        { { { "hour", PIL_RECEIVE_INTS, 1 }, { "delay", PIL_RECEIVE_INTS, 1 } }, 2, NULL },
    };
    struct hand hand = hand_new();
    (void)state;
    program_feature(hand.program, pil_categorical_column_with_identity(hand.columns, "hour", 24), &hand.status);
    program_numbers(hand.program, pil_numeric_column(hand.columns, "delay"), &hand.status);
    assert_true(program_finish(hand.program, &hand.status));
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        pil_status status = { 0 };
        assert_int_equal(receivers_fit(hand.program, list[i].receivers, list[i].count, &status), list[i].says == NULL);
        if (list[i].says)
            assert_says(status, list[i].says);
    }
    hand_free(&hand);
}

/* ---- public values ------------------------------------------------------------------------------------------- */

static void test_exports_are_copies(void **state)
{
    pil_status status = { 0 };
    struct pil_graph *g = graph_new(&status);
    struct pil_tensor *y = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2), false);
    char name[] = "classes", word[] = "yes";
    const char *words[] = { word, "no" };
    (void)state;
    pil_exports exports = PIL_EXPORTS(g, { name, pil_classification_output(y, words, 2) });
    name[0] = word[0] = '?';
    words[1] = NULL;
    assert_string_equal(exports.items[0].name, "classes");
    assert_string_equal(exports.items[0].output.words[0], "yes");
    assert_string_equal(exports.items[0].output.words[1], "no");
    assert_int_equal(PIL_EXPORTS(g, { "x", pil_classification_output(y, words, 2) }).count, 0);
    assert_says(*graph_status(g), "word 2 of the export output 'x' is NULL");
    graph_free(g);
    pil_exporter exporter = pil_latest_exporter("exporter", NULL, .exports_to_keep = 2);
    assert_int_equal(exporter.exports_to_keep, 2);
    assert_int_equal(pil_latest_exporter("exporter", NULL).exports_to_keep, 5);
    assert_int_equal(exporter.kind, PIL_EXPORTER_LATEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),         cmocka_unit_test(test_fetched_once),       cmocka_unit_test(test_receivers),
        cmocka_unit_test(test_receivers_fit), cmocka_unit_test(test_exports_are_copies),
    };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
