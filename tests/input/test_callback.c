/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callbacks read one batch at a time: what the maker refuses, what setters copy, where the callback is and how it gets elsewhere.
 * What goes wrong in a batch is tested through the feed (column/test_origin.c).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "failing.h"
#include "input/input.h"

static void assert_text(const char *message, const char *part)
{
    if (strstr(message, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, message);
}

static void assert_refused(pil_dataset *dataset, const char *message)
{
    pil_status status = pil_dataset_status(dataset);
    assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    assert_text(status.message, message);
    pil_dataset_free(dataset);
}

/* Three batches an epoch, of `batch + 1` rows; notes where it was called. */
struct maker {
    char log[256];
    bool refuses;
};

static void note(struct maker *maker, const char *what, int64_t epoch, int64_t batch)
{
    size_t used = strlen(maker->log);
    snprintf(maker->log + used, sizeof(maker->log) - used, "%s%d.%d ", what, (int)epoch, (int)batch);
}

static bool next(void *context, int64_t epoch, int64_t batch, pil_batch *out, pil_status *status)
{
    struct maker *maker = context;
    const int64_t rows = batch + 1;
    float x[6] = { (float)epoch, (float)batch, NAN, 3, 4, 5 };
    char text[] = "word";
    const char *words[3] = { text, NULL, "" };
    int64_t ids[3] = { 7, 8, 9 }, splits[4] = { 0, 0, 2, 2 }, nothing[4] = { 0 };
    (void)status;
    note(maker, "", epoch, batch);
    if (batch == 3)
        return false;
    pil_batch_set_floats(out, "x", x, rows);
    pil_batch_set_strings(out, "word", words, rows);
    pil_batch_set_ragged_ints(out, "ids", ids, splits, rows);
    pil_batch_set_ragged_strings(out, "tags", NULL, nothing, rows);
    pil_batch_set_ints(out, "y", ids, rows);
    memset(x, 0, sizeof(x));
    memset(text, '#', 4);
    memset(ids, 0, sizeof(ids));
    return true;
}

static bool seek(void *context, int64_t epoch, int64_t batch, pil_status *status)
{
    struct maker *maker = context;
    (void)status;
    note(maker, "seek ", epoch, batch);
    return !maker->refuses;
}

static const pil_feature_spec features[] = {
    { "x", PIL_TYPE_FLOAT32, .shape = { 2 } },   { "word", PIL_TYPE_STRING }, { "ids", PIL_TYPE_INT64, .ragged = true },
    { "tags", PIL_TYPE_STRING, .ragged = true }, { "y", PIL_TYPE_INT64 },
};
static const struct field_spec specs[] = {
    { .name = "x", .type = FIELD_FLOAT, .separator = '|', .required = true },
    { .name = "word", .type = FIELD_STRING, .required = true },
    { .name = "ids", .type = FIELD_INT64, .separator = '|', .required = true },
    { .name = "tags", .type = FIELD_STRING, .separator = '|', .required = true },
    { .name = "y", .type = FIELD_FLOAT },
};

static pil_dataset *new_dataset(struct maker *maker, bool seeks)
{
    return pil_dataset_from_callback(((pil_feature_specs){ features, COUNT_OF(features) }), next, .context = maker,
                                     .seek = seeks ? seek : NULL, .label_name = "y");
}

static void refusals(void **unused)
{
    (void)unused;
    assert_refused(pil_dataset_from_callback(PIL_FEATURE_SPECS({ "x", PIL_TYPE_FLOAT32 }), NULL),
                   "pil_dataset_from_callback: next is NULL");
    assert_refused(pil_dataset_from_callback(((pil_feature_specs){ NULL, 0 }), next), "no features are declared");
    assert_refused(pil_dataset_from_callback(PIL_FEATURE_SPECS({ "x" }), next), "feature 'x' has no type");
    assert_refused(pil_dataset_from_callback(PIL_FEATURE_SPECS({ "x", (pil_feature_type)7 }), next), "feature 'x' has no type");
    assert_refused(pil_dataset_from_callback(PIL_FEATURE_SPECS({ "", PIL_TYPE_INT64 }), next), "feature number 1 has no name");
    assert_refused(pil_dataset_from_callback(PIL_FEATURE_SPECS({ "x", PIL_TYPE_INT64 }, { "x", PIL_TYPE_INT64 }), next),
                   "there are two features 'x'");
    assert_refused(pil_dataset_from_callback(PIL_FEATURE_SPECS({ "x", PIL_TYPE_INT64, .shape = { 2 }, .ragged = true }), next),
                   "feature 'x' is ragged and has a shape");
    assert_refused(pil_dataset_from_callback(PIL_FEATURE_SPECS({ "label", PIL_TYPE_INT64 }), next, .label_name = "lable"),
                   "pil_dataset_from_callback: the label: there is no feature 'lable'; did you mean 'label'?");
    assert_refused(pil_dataset_from_callback(PIL_FEATURE_SPECS({ "x", PIL_TYPE_INT64 }), next, .num_epochs = -1),
                   "num_epochs is -1");
}

static void check_batch(const struct fields *fields, int64_t epoch, int64_t batch)
{
    assert_int_equal(fields->rows, batch + 1);
    const struct field *x = &fields->fields[0], *word = &fields->fields[1], *ids = &fields->fields[2], *tags = &fields->fields[3];
    assert_int_equal(x->offsets[batch + 1], 2 * (batch + 1));
    assert_true(x->floats[0] == (float)epoch && x->floats[1] == (float)batch);
    assert_true(batch == 0 || (isnan(x->floats[2]) && x->present[2]));
    assert_true(slice_is(word->texts[0], "word"));
    assert_true(batch < 1 || !word->present[1]);
    assert_true(batch < 2 || (word->present[2] && word->texts[2].size == 0));
    assert_int_equal(ids->entries, batch == 0 ? 0 : 2);
    assert_true(batch == 0 || (ids->offsets[1] == 0 && ids->offsets[2] == 2 && ids->ints[0] == 7 && !ids->dense));
    assert_int_equal(tags->entries, 0);
    assert_int_equal(tags->offsets[batch + 1], 0);
    assert_true(fields->fields[4].floats[0] == 7);
    assert_int_equal(fields->lines[batch], batch);
}

static void read_batch(struct callback *callback, struct fields *fields, int64_t epoch, int64_t batch)
{
    pil_status status = { 0 };
    bool end;
    if (!callback_next(callback, epoch, batch, fields, &end, &status))
        fail_msg("%s", status.message);
    assert_int_equal(end, batch == 3);
    if (!end)
        check_batch(fields, epoch, batch);
}

static void batches_in_order(void **unused)
{
    (void)unused;
    struct maker maker = { "", false };
    pil_dataset *dataset = new_dataset(&maker, true);
    pil_status status = pil_dataset_status(dataset);
    struct callback *callback = callback_new(dataset, specs, COUNT_OF(specs), true, &status);
    struct fields *fields = fields_new(specs, COUNT_OF(specs), &status);
    assert_non_null(callback);
    for (int64_t epoch = 0; epoch < 2; epoch++)
        for (int64_t batch = 0; batch < 4; batch++)
            read_batch(callback, fields, epoch, batch);
    assert_string_equal(maker.log, "0.0 0.1 0.2 0.3 1.0 1.1 1.2 1.3 ");
    fields_free(fields);
    callback_free(callback);
    pil_dataset_free(dataset);
}

static void other_places(void **unused)
{
    (void)unused;
    for (int seeks = 0; seeks < 2; seeks++) {
        struct maker maker = { "", false };
        pil_dataset *dataset = new_dataset(&maker, seeks);
        pil_status status = pil_dataset_status(dataset);
        struct callback *callback = callback_new(dataset, specs, COUNT_OF(specs), true, &status);
        struct fields *fields = fields_new(specs, COUNT_OF(specs), &status);
        read_batch(callback, fields, 2, 1);
        read_batch(callback, fields, 2, 2);
        read_batch(callback, fields, 2, 0); /* back */
        read_batch(callback, fields, 4, 0);
        assert_string_equal(maker.log, seeks ? "seek 2.1 2.1 2.2 seek 2.0 2.0 seek 4.0 4.0 " : "2.0 2.1 2.2 2.0 4.0 ");
        if (seeks) {
            maker.refuses = true;
            assert_false(callback_seek(callback, 5, 1, &status));
            assert_text(status.message, "the callback cannot seek epoch 5, batch 1");
        } else {
            assert_false(callback_seek(callback, 5, 4, &status));
            assert_text(status.message, "the callback's epoch 5 has fewer than the 4 batches it had");
        }
        fields_free(fields);
        callback_free(callback);
        pil_dataset_free(dataset);
    }
}

static void assert_unbound(const pil_dataset *dataset, struct field_spec spec, bool all, const char *message)
{
    pil_status status = { 0 };
    assert_null(callback_new(dataset, &spec, 1, all, &status));
    assert_text(status.message, message);
}

static void what_does_not_fit(void **unused)
{
    (void)unused;
    struct maker maker = { "", false };
    pil_dataset *dataset = new_dataset(&maker, false);
    assert_unbound(dataset, (struct field_spec){ .name = "z", .type = FIELD_FLOAT, .required = true }, false, "no feature 'z'");
    assert_unbound(dataset, (struct field_spec){ .name = "z", .type = FIELD_FLOAT }, true, "no feature 'z'");
    assert_unbound(dataset, (struct field_spec){ .name = "x", .type = FIELD_INT64, .separator = '|' }, false,
                   "the callback's feature 'x' is declared float32, and is read as int64");
    assert_unbound(dataset, (struct field_spec){ .name = "ids", .type = FIELD_INT64 }, false,
                   "the callback's feature 'ids' has several values a row");
    pil_dataset_free(dataset);
}

static void fingerprints(void **unused)
{
    (void)unused;
    uint64_t seen[4];
    for (int i = 0; i < 4; i++) {
        const pil_feature_spec spec = { i == 1 ? "y" : "x", i == 2 ? PIL_TYPE_INT64 : PIL_TYPE_FLOAT32,
                                        .shape = { i == 3 ? 2 : 0 } };
        pil_dataset *dataset = pil_dataset_from_callback(((pil_feature_specs){ &spec, 1 }), next);
        pil_status status = pil_dataset_status(dataset);
        struct callback *callback = callback_new(dataset, NULL, 0, false, &status);
        seen[i] = callback_fingerprint(callback);
        callback_free(callback);
        pil_dataset_free(dataset);
        for (int k = 0; k < i; k++)
            assert_true(seen[k] != seen[i]);
    }
}

static void memory_runs_out(void **unused)
{
    (void)unused;
    int64_t n = 0;
    for (bool reached = true; reached; n++) {
        struct maker maker = { "", false };
        bool end;
        failing_start(n, false);
        pil_dataset *dataset = new_dataset(&maker, false);
        pil_status status = pil_dataset_status(dataset);
        struct callback *callback = status_ok(&status) ? callback_new(dataset, specs, COUNT_OF(specs), true, &status) : NULL;
        struct fields *fields = callback != NULL ? fields_new(specs, COUNT_OF(specs), &status) : NULL;
        for (int64_t batch = 0; fields != NULL && batch < 3; batch++)
            if (callback_next(callback, 0, batch, fields, &end, &status))
                check_batch(fields, 0, batch);
        fields_free(fields);
        callback_free(callback);
        pil_dataset_free(dataset);
        assert_int_equal(failing_live, 0);
        reached = failing_stop();
        assert_int_equal(status.code, reached ? PIL_NO_MEMORY : PIL_OK);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),          cmocka_unit_test(batches_in_order), cmocka_unit_test(other_places),
        cmocka_unit_test(what_does_not_fit), cmocka_unit_test(fingerprints),     cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
