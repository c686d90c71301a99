/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The twins: canned estimators that TensorFlow 2.15 trained from a first checkpoint in a fixed order (tests/golden/README.md). Ours go on from
 * the same checkpoint: every loss, the variables and slots at the end, metrics and the first predictions must agree. All optimizers,
 * the input's order across the end of the data and the checkpoint's names are in it.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "estimator/internal.h"
#include "scratch.h"

struct twin {
    const char *name;
    int steps;
    bool norm; /* a bias before batch norm gets rounding noise for a gradient: metrics and predictions to 1e-3 */
};

enum { MOST_STEPS = 64 };
struct losses {
    double at[MOST_STEPS + 1];
};

static void note_loss(void *context, const struct estimator_event *event)
{
    if (event->kind == EVENT_STEP && event->step <= MOST_STEPS)
        ((struct losses *)context)->at[event->step] = event->loss;
}

static void assert_ok(const pil_status *status)
{
    if (!status_ok(status))
        fail_msg("%s", status->message);
}

static void assert_near(const char *what, double got, double want, double relative, double absolute)
{
    if (!(fabs(got - want) <= relative * fabs(want) + absolute))
        fail_msg("%s: %.9g, TensorFlow has %.9g", what, got, want);
}

/* A model_dir with the twin's first checkpoint. */
static void start_folder(const struct twin *twin)
{
    static const char *const names[] = { "checkpoint", "model.ckpt-0.index", "model.ckpt-0.data-00000-of-00001" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[512];
        snprintf(path, sizeof path, "tests/golden/twin/%s/step0/%s", twin->name, names[i]);
        scratch_copy(path, scratch_path(names[i]));
    }
}

static void check_losses(const struct twin *twin, const struct losses *losses, const struct json_value *expected)
{
    struct json_value table, value;
    assert_true(json_get(expected, "loss_by_step", &table));
    for (int step = 1; step <= twin->steps; step++) {
        char key[16], what[128];
        snprintf(key, sizeof key, "%d", step);
        snprintf(what, sizeof what, "%s: loss of step %d", twin->name, step);
        assert_true(json_get(&table, key, &value));
        assert_near(what, losses->at[step], value.number, 1e-4, 1e-7);
    }
}

static void check_metrics(const struct twin *twin, const pil_result *result, const struct json_value *expected)
{
    struct json_value table, value;
    struct slice key;
    assert_true(json_get(expected, "eval", &table));
    struct json_walk walk = json_children(&table);
    size_t found = 0;
    while (json_next(&walk, &key, &value)) {
        for (size_t i = 0; i < result->metric_count; i++) {
            const char *name = result->metrics[i].name;
            if (!slice_is(key, name))
                continue;
            double tolerance = strncmp(name, "auc", 3) == 0 ? 1e-3 : twin->norm ? 1e-3 : 1e-4;
            char what[128];
            snprintf(what, sizeof what, "%s: %s", twin->name, name);
            assert_near(what, result->metrics[i].value, value.number, tolerance, 1e-6);
            found++;
        }
    }
    assert_int_equal(found, result->metric_count); /* none of ours is unknown to TensorFlow */
    assert_int_equal(found + 1, table.count);      /* and none of its is missing, but global_step */
}

/* Every tensor of TensorFlow's last checkpoint, slots and hyper-parameters too. */
static void check_variables(const struct twin *twin)
{
    pil_status status = { 0 };
    char prefix[512];
    snprintf(prefix, sizeof prefix, "tests/golden/twin/%s/step%d/model.ckpt-%d", twin->name, twin->steps, twin->steps);
    struct bundle *theirs = bundle_open(prefix, &status);
    assert_ok(&status);
    char latest[512];
    snprintf(latest, sizeof latest, "%s/model.ckpt-%d", scratch_folder, twin->steps);
    struct bundle *ours = bundle_open(latest, &status);
    assert_ok(&status);
    for (size_t i = 0; i < bundle_count(theirs); i++) {
        const struct bundle_entry *want = bundle_at(theirs, i), *have = bundle_find(ours, want->name);
        if (!have)
            fail_msg("%s: the checkpoint lacks %s", twin->name, want->name);
        assert_int_equal(want->dtype, have->dtype);
        assert_int_equal(want->bytes, have->bytes);
        char *a = malloc((size_t)want->bytes), *b = malloc((size_t)want->bytes);
        assert_true(a != NULL && b != NULL);
        assert_true(bundle_read(theirs, want, a, &status) && bundle_read(ours, have, b, &status));
        for (int64_t k = 0; want->dtype == DTYPE_FLOAT32 && k < want->bytes / 4; k++) {
            char what[512];
            float theirs_k, ours_k;
            memcpy(&theirs_k, a + 4 * k, 4);
            memcpy(&ours_k, b + 4 * k, 4);
            snprintf(what, sizeof what, "%s: %s, element %lld", twin->name, want->name, (long long)k);
            assert_near(what, (double)ours_k, (double)theirs_k, 1e-3, twin->norm ? 2e-3 : 1e-4);
        }
        if (want->dtype == DTYPE_INT64)
            assert_memory_equal(a, b, (size_t)want->bytes);
        free(a);
        free(b);
    }
    bundle_close(theirs);
    bundle_close(ours);
}

struct check {
    const struct twin *twin;
    struct json_value list;
    int64_t row;
};

/* Compares a list of numbers under the output's name of an expected prediction with a row. */
static void check_row(const struct check *check, const struct json_value *expected, const pil_output *output, int64_t row)
{
    struct json_value list;
    float numbers[16];
    if (output->strings || !json_get(expected, output->name, &list))
        return;
    assert_int_equal(list.count, output->width);
    assert_true(list.count <= COUNT_OF(numbers) && json_floats(&list, numbers));
    for (size_t c = 0; c < list.count; c++) {
        char what[128];
        snprintf(what, sizeof what, "%s: %s of row %lld", check->twin->name, output->name, (long long)check->row);
        assert_near(what, (double)output->floats[output_row(output, row) * output->width + (int64_t)c], (double)numbers[c],
                    check->twin->norm ? 1e-3 : 1e-4, 2e-5);
    }
}

static bool check_predictions(void *context, const pil_output *outputs, size_t count, const struct batch *raw, pil_status *status)
{
    struct check *check = context;
    (void)status;
    for (int64_t r = 0; r < raw->rows && check->row < (int64_t)check->list.count; r++, check->row++) {
        struct json_walk walk = json_children(&check->list);
        struct json_value expected;
        for (int64_t skip = 0; skip <= check->row; skip++)
            assert_true(json_next(&walk, NULL, &expected));
        for (size_t i = 0; i < count; i++)
            check_row(check, &expected, &outputs[i], r);
    }
    return true;
}

static void run_twin(const struct twin *twin)
{
    pil_status status = { 0 };
    char path[512];
    scratch_make();
    start_folder(twin);
    snprintf(path, sizeof path, "tests/golden/twin/%s/model.yaml", twin->name);
    struct model *model = modelfile_load(path, NULL, 0, &status);
    assert_ok(&status);
    model->run.model_dir = scratch_folder;
    struct losses losses = { { 0 } };
    struct estimator_options options = { .event = note_loss, .context = &losses };
    struct pil_estimator *estimator = model_estimator(model, &options, 2);
    pil_train_spec train;
    pil_eval_spec eval;
    pil_result result;
    model_specs(model, &train, &eval);
    status = pil_train_and_evaluate(estimator, &train, &eval, &result);
    assert_ok(&status);
    assert_int_equal(estimator_step(estimator), twin->steps);

    struct file_data text;
    struct json_value expected;
    snprintf(path, sizeof path, "tests/golden/twin/%s/expected.json", twin->name);
    assert_true(file_load(path, &text, &status));
    struct json_parser *parser = json_parser_new(0, &status);
    assert_true(json_parse(parser, slice_of(text.data, text.size), &expected, &status));
    check_losses(twin, &losses, &expected);
    check_variables(twin);
    check_metrics(twin, &result, &expected);
    struct check check = { .twin = twin };
    assert_true(json_get(&expected, "predictions", &check.list));
    snprintf(path, sizeof path, "tests/golden/twin/%s/eval.csv", twin->name);
    model->data = path;
    estimator_predict(estimator, model_eval_input, NULL, 0, check_predictions, &check, &status);
    assert_ok(&status);
    assert_int_equal(check.row, check.list.count);

    json_parser_free(parser);
    file_unload(&text);
    pil_estimator_free(estimator);
    model_free(model);
    scratch_remove();
}

#define TWIN(name, steps, norm)                                                                                                  \
    static void test_##name(void **state)                                                                                        \
    {                                                                                                                            \
        (void)state;                                                                                                             \
        run_twin(&(struct twin){ #name, steps, norm });                                                                          \
    }
TWIN(wide_deep_classifier, 60, false)
TWIN(wide_deep_regressor, 60, false)
TWIN(dnn_classifier_5, 60, false)
TWIN(dnn_regressor_batchnorm, 60, true)
TWIN(wide_deep_ragged, 40, false)
TWIN(dnn_regressor_ragged_batchnorm, 40, true)
TWIN(linear_classifier_5, 60, false)
TWIN(linear_classifier_ftrl, 60, false)
TWIN(linear_regressor_weighted, 60, false)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wide_deep_classifier),      cmocka_unit_test(test_wide_deep_regressor),
        cmocka_unit_test(test_dnn_classifier_5),          cmocka_unit_test(test_dnn_regressor_batchnorm),
        cmocka_unit_test(test_wide_deep_ragged),          cmocka_unit_test(test_dnn_regressor_ragged_batchnorm),
        cmocka_unit_test(test_linear_classifier_5),       cmocka_unit_test(test_linear_classifier_ftrl),
        cmocka_unit_test(test_linear_regressor_weighted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
