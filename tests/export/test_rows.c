/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of files through an export: CSV and JSON lines give what requests give; errors name file, line and field. */
#include "exports.h"

struct seen {
    struct text text;
    int64_t rows;
    bool kept;
};

static bool take(void *context, const pil_output *outputs, size_t count, const struct batch *raw, pil_status *status)
{
    struct seen *seen = context;
    (void)status;
    for (int64_t row = 0; row < raw->rows; row++) {
        output_json(outputs, count, row, &seen->text);
        text_append_text(&seen->text, "\n");
    }
    seen->kept = seen->kept || raw->fields;
    seen->rows += raw->rows;
    return true;
}

/* The window model's answers to a file of that text. */
static bool predict(pil_predictor *predictor, const char *data, const struct field_spec *keep, struct seen *seen,
                    pil_status *status)
{
    const char *path = scratch_path("rows");
    *seen = (struct seen){ 0 };
    scratch_write(path, data, strlen(data));
    return predictor_predict(
        predictor,
        &(struct predict_rows){
            .data = path, .threads = 2, .keep = keep, .keep_count = keep ? 1 : 0, .batch = take, .context = seen },
        status);
}

static void test_files(void **state)
{
    static const float window[18] = { 0.5f, 1, 2, 3, 4, 5, 6, 7, 8, -1, 0, 1, 0, 1, 0, 1, 0, 0.25f };
    struct hand hand = hand_window(NULL);
    struct text want = { 0 };
    struct seen csv, lines;
    pil_status status;
    size_t count;
    (void)state;
    pil_predictor *predictor = pil_predictor_open(hand_export(&hand, "files"), &status);
    assert_ok(status);
    pil_prediction result = { 0 };
    assert_true(
        pil_predictor_run(predictor, &(pil_request){ PIL_INPUTS({ "rawdata", .floats = window }), .rows = 2 }, &result, &status));
    const pil_output *outputs = pil_predictor_outputs(&result, NULL, &count);
    for (int64_t row = 0; row < 2; row++) {
        output_json(outputs, count, row, &want);
        text_append_text(&want, "\n");
    }
    assert_true(predict(predictor, "id,rawdata\na,0.5|1|2|3|4|5|6|7|8\nb,-1|0|1|0|1|0|1|0|0.25\n", NULL, &csv, &status));
    assert_ok(status);
    assert_string_equal(csv.text.data, want.data);
    assert_false(csv.kept);
    struct field_spec id = { .name = "id", .type = FIELD_STRING, .required = true };
    assert_true(predict(predictor,
                        "{\"id\":\"a\",\"rawdata\":[0.5,1,2,3,4,5,6,7,8]}\n{\"id\":\"b\",\"rawdata\":[-1,0,1,0,1,0,1,0,0.25]}\n",
                        &id, &lines, &status));
    assert_string_equal(lines.text.data, want.data);
    assert_true(lines.kept);
    assert_non_null(pil_predictor_outputs(&result, "predicted", NULL)); /* other places are left alone */
    text_free(&want);
    text_free(&csv.text);
    text_free(&lines.text);
    pil_predictor_close(predictor);
    hand_free(&hand);
}

static void test_errors(void **state)
{
    static const struct {
        const char *data, *says;
    } list[] = {
        { "other\n1\n", "rawdata" },
        { "{}\n", ":1: field 'rawdata': the value is missing, the model takes 9 numbers" },
        { "rawdata\n1|2|3\n", ":2: field 'rawdata': the cell has 3 numbers, the model takes 9" },
        { "rawdata\n1|2|3|4|5|6|7|8|x\n", "'x' is not a number" },
    };
    struct hand hand = hand_window(NULL);
    pil_status status;
    (void)state;
    pil_predictor *predictor = pil_predictor_open(hand_export(&hand, "errors"), &status);
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        struct seen seen;
        status = (pil_status){ 0 };
        assert_false(predict(predictor, list[i].data, NULL, &seen, &status));
        assert_says(status, list[i].says);
        text_free(&seen.text);
    }
    struct seen none;
    status = (pil_status){ 0 };
    assert_true(predict(predictor, "rawdata\n", NULL, &none, &status));
    assert_int_equal(none.rows, 0);
    pil_predictor_close(predictor);
    hand_free(&hand);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_files), cmocka_unit_test(test_errors) };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
