/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays in memory: what the maker refuses, and every type, width and missing value as fields. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "failing.h"
#include "input/input.h"

enum { ROWS = 5 };
static const float floats[ROWS * 6] = { 0.5f, 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                        13,   14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25 };
static const int64_t ints[ROWS * 2] = { 10, -1, 12, 13, INT64_MAX, 15, 16, 17, 18, 19 };
static const char *const strings[ROWS] = { "a", "", NULL, "b c", "d" };

static void assert_refused(pil_dataset *dataset, const char *message)
{
    pil_status status = pil_dataset_status(dataset);
    if (status.code != PIL_INVALID_ARGUMENT || strstr(status.message, message) == NULL)
        fail_msg("'%s' is not in '%s'", message, status.message);
    pil_dataset_free(dataset);
}

static void refusals(void **unused)
{
    (void)unused;
    const pil_array x = { "x", .floats = floats, .rows = ROWS };
    assert_refused(pil_dataset_from_arrays(((pil_arrays){ NULL, 0 }), true), "pil_dataset_from_arrays: x has no features");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS(x, { "y", .ints = ints, .rows = 4 }), true),
                   "'x' has 5 rows, 'y' 4: all arrays must have the same number of rows");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS(x), true, .y = { .floats = floats, .rows = 3 }),
                   "'x' has 5 rows, 'label' 3");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS(x, x), true), "there are two features 'x'");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS(x), true, .y = x), "there are two features 'x'");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS({ .floats = floats, .rows = 1 }), true), "feature number 1 has no name");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS({ "x", .rows = 1 }), true), "'x' has no values");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS(x), true, .y = { "y", .rows = ROWS }), "'y' has no values");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = floats, .ints = ints, .rows = 1 }), true),
                   "'x' has values of two types");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = floats }), true), "'x' has 0 rows");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = floats, .rows = -3 }), true), "'x' has -3 rows");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = floats, .rows = 1, .shape = { 2, -1 } }), true),
                   "its shape has the dimension -1");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = floats, .rows = 1, .shape = { 1 << 20, 1 << 20 } }), true),
                   "its shape has the dimension 1048576");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = floats, .rows = INT64_MAX, .shape = { 9 } }), true),
                   "more than memory can hold");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS(x), true, .batch_size = 0), "batch_size is 0");
    assert_refused(pil_dataset_from_arrays(PIL_ARRAYS(x), true, .num_epochs = -1), "num_epochs is -1");
}

static void defaults(void **unused)
{
    (void)unused;
    char name[] = "x";
    pil_dataset *dataset = pil_dataset_from_arrays(PIL_ARRAYS({ name, .floats = floats, .rows = ROWS, .shape = { 2, 3 } }), true,
                                                   .y = { .ints = ints, .rows = ROWS });
    name[0] = '-';
    pil_status status = pil_dataset_status(dataset);
    assert_int_equal(status.code, PIL_OK);
    assert_int_equal(dataset->rows, ROWS);
    assert_int_equal(dataset->order.batch_size, 128);
    assert_int_equal(dataset->order.epochs, 1);
    assert_int_equal(dataset->order.shuffle, ROWS);
    assert_string_equal(dataset->label, "label");
    const struct dataset_field *x = dataset_find(dataset, "x");
    assert_true(x->typed && x->sized && !x->ragged && x->type == FIELD_FLOAT && x->width == 6);
    assert_true(shape_equal(x->shape, SHAPE(2, 3)));
    assert_int_equal(dataset_find(dataset, "label")->shape.rank, 0);
    pil_dataset_free(dataset);
}

static pil_dataset *all_types(void)
{
    return pil_dataset_from_arrays(PIL_ARRAYS({ "f", .floats = floats, .rows = ROWS, .shape = { 6 } },
                                              { "i", .ints = ints, .rows = ROWS, .shape = { 2 } },
                                              { "s", .strings = strings, .rows = ROWS }),
                                   false, .y = { "y", .ints = ints, .rows = ROWS });
}

static const struct field_spec specs[] = {
    { .name = "y", .type = FIELD_FLOAT },
    { .name = "s", .type = FIELD_STRING, .required = true },
    { .name = "f", .type = FIELD_FLOAT, .separator = '|', .required = true },
    { .name = "i", .type = FIELD_INT64, .separator = '|', .required = true },
    { .name = "absent", .type = FIELD_FLOAT },
};

static void check_rows(const struct fields *fields, int64_t at, int64_t first, int64_t count)
{
    for (int64_t r = 0; r < count; r++) {
        const int64_t row = at + r, n = first + r;
        assert_true(fields->fields[0].floats[row] == (float)ints[n]);
        assert_int_equal(fields->fields[1].present[row], strings[n] != NULL);
        assert_true(slice_is(fields->fields[1].texts[row], strings[n] != NULL ? strings[n] : ""));
        const struct field *f = &fields->fields[2], *i = &fields->fields[3];
        assert_true(f->dense && i->dense);
        assert_int_equal(f->offsets[row + 1] - f->offsets[row], 6);
        assert_memory_equal(f->floats + f->offsets[row], floats + 6 * n, 6 * sizeof(float));
        assert_int_equal(i->offsets[row + 1] - i->offsets[row], 2);
        assert_memory_equal(i->ints + i->offsets[row], ints + 2 * n, 2 * sizeof(int64_t));
        assert_int_equal(fields->fields[4].present[row], 0);
        assert_int_equal(fields->lines[row], n);
    }
}

static void every_type(void **unused)
{
    (void)unused;
    pil_dataset *dataset = all_types();
    pil_status status = pil_dataset_status(dataset);
    struct arrays *arrays = arrays_new(dataset, specs, COUNT_OF(specs), false, &status);
    struct fields *fields = fields_new(specs, COUNT_OF(specs), &status);
    assert_non_null(arrays);
    assert_true(arrays_read(arrays, 1, 3, fields, &status));
    assert_true(arrays_read(arrays, 0, ROWS, fields, &status));
    assert_int_equal(fields->rows, 8);
    check_rows(fields, 0, 1, 3);
    check_rows(fields, 3, 0, ROWS);
    assert_false(fields->fields[0].absent);
    assert_true(fields->fields[4].absent);
    fields_clear(fields);
    assert_true(arrays_read(arrays, 4, 1, fields, &status));
    check_rows(fields, 0, 4, 1);
    fields_free(fields);
    arrays_free(arrays);
    pil_dataset_free(dataset);
}

static void assert_unbound(const pil_dataset *dataset, struct field_spec spec, bool all, const char *message)
{
    pil_status status = { 0 };
    assert_null(arrays_new(dataset, &spec, 1, all, &status));
    if (strstr(status.message, message) == NULL)
        fail_msg("'%s' is not in '%s'", message, status.message);
}

static void what_does_not_fit(void **unused)
{
    (void)unused;
    pil_dataset *dataset = all_types();
    assert_unbound(dataset, (struct field_spec){ .name = "ff", .type = FIELD_FLOAT, .required = true }, false,
                   "there is no feature 'ff'; did you mean 'f'?");
    assert_unbound(dataset, (struct field_spec){ .name = "label", .type = FIELD_FLOAT }, true, "there is no feature 'label'");
    assert_unbound(dataset, (struct field_spec){ .name = "s", .type = FIELD_FLOAT }, false,
                   "the array 's' holds string, and is read as float32");
    assert_unbound(dataset, (struct field_spec){ .name = "f", .type = FIELD_INT64, .separator = '|' }, false,
                   "the array 'f' holds float32, and is read as int64");
    assert_unbound(dataset, (struct field_spec){ .name = "f", .type = FIELD_FLOAT }, false,
                   "the array 'f' has 6 values a row, and is read as one of single values");
    pil_dataset_free(dataset);
}

/* Other values at either end, other strings, names and widths: other fingerprints; the same again: the same. */
static void fingerprints(void **unused)
{
    (void)unused;
    static float values[3 * 6000];
    static const char *words[6000];
    uint64_t seen[8];
    for (int i = 0; i < 8; i++) {
        for (int k = 0; k < 6000; k++)
            words[k] = "w";
        memset(values, 0, sizeof(values));
        if (i == 2)
            values[0] = 1;
        if (i == 3)
            values[3 * 6000 - 1] = 1;
        if (i == 4)
            words[5999] = "v";
        if (i == 5)
            words[5999] = NULL;
        pil_dataset *dataset = pil_dataset_from_arrays(
            PIL_ARRAYS({ i == 6 ? "y" : "x", .floats = values, .rows = 6000, .shape = { i == 7 ? 2 : 3 } },
                       { "w", .strings = words, .rows = 6000 }),
            false);
        pil_status status = pil_dataset_status(dataset);
        struct arrays *arrays = arrays_new(dataset, NULL, 0, false, &status);
        assert_non_null(arrays);
        seen[i] = arrays_fingerprint(arrays);
        arrays_free(arrays);
        pil_dataset_free(dataset);
        for (int k = 0; k < i; k++)
            assert_int_equal(seen[k] == seen[i], k == 0 && i == 1);
    }
}

static void memory_runs_out(void **unused)
{
    (void)unused;
    int64_t n = 0;
    for (bool reached = true; reached; n++) {
        failing_start(n, false);
        pil_dataset *dataset = all_types();
        pil_status status = pil_dataset_status(dataset);
        struct fields *fields = status_ok(&status) ? fields_new(specs, COUNT_OF(specs), &status) : NULL;
        struct arrays *arrays = fields != NULL ? arrays_new(dataset, specs, COUNT_OF(specs), false, &status) : NULL;
        if (arrays != NULL && arrays_read(arrays, 0, ROWS, fields, &status))
            check_rows(fields, 0, 0, ROWS);
        arrays_free(arrays);
        fields_free(fields);
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
        cmocka_unit_test(refusals),          cmocka_unit_test(defaults),     cmocka_unit_test(every_type),
        cmocka_unit_test(what_does_not_fit), cmocka_unit_test(fingerprints), cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
