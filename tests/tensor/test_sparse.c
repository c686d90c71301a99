/* SPDX-License-Identifier: Apache-2.0 */
/* Sparse values: built row by row, sliced, cleared without new memory. */
#include "failing.h"
#include "tensor/tensor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Row r has r % 4 entries, ids 10 r + i, weights i + 1/2. */
static bool build(struct sparse_builder *builder, int rows, bool weighted, pil_status *status)
{
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < r % 4; i++)
            if (!sparse_append(builder, 10 * r + i, (float)i + 0.5f, weighted, status))
                return false;
        if (!sparse_end_row(builder, status))
            return false;
    }
    return true;
}

static void check(const struct sparse *sparse, int first, int rows, bool weighted)
{
    assert_int_equal(sparse->rows, rows);
    assert_int_equal(sparse->weights != NULL, weighted);
    int64_t entries = 0;
    for (int r = 0; r < rows; r++) {
        int64_t start = sparse->offsets[r];
        assert_int_equal(sparse->offsets[r + 1] - start, (first + r) % 4);
        for (int i = 0; i < (first + r) % 4; i++, entries++) {
            assert_int_equal(sparse->ids[start + i], 10 * (first + r) + i);
            if (weighted)
                assert_true(sparse->weights[start + i] == (float)i + 0.5f);
        }
    }
    assert_int_equal(sparse->entries, entries);
}

static void building(void **state)
{
    (void)state;
    pil_status status = { 0 };
    for (int weighted = 0; weighted < 2; weighted++) {
        struct sparse_builder builder = { 0 };
        struct sparse empty = sparse_view(&builder, weighted);
        assert_int_equal(empty.rows, 0);
        assert_int_equal(empty.offsets[0], 0);
        assert_true(build(&builder, 50, weighted, &status));
        struct sparse view = sparse_view(&builder, weighted);
        check(&view, 0, 50, weighted);
        sparse_clear(&builder);
        uint64_t before = mem_allocations();
        assert_true(build(&builder, 50, weighted, &status));
        assert_int_equal(mem_allocations(), before);
        view = sparse_view(&builder, weighted);
        check(&view, 0, 50, weighted);
        sparse_builder_free(&builder);
        sparse_builder_free(&builder);
    }
    sparse_builder_free(NULL);
}

static void slices(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct sparse_builder builder = { 0 };
    assert_true(build(&builder, 50, true, &status));
    struct sparse whole = sparse_view(&builder, true);
    const struct groups groups = { 0 };
    whole.groups = &groups;
    static const int cases[][2] = { { 0, 50 }, { 7, 13 }, { 49, 1 }, { 50, 0 }, { 0, 0 } };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sparse part = sparse_slice(&whole, cases[i][0], cases[i][1]);
        check(&part, cases[i][0], cases[i][1], true);
        assert_null(part.groups);
        if (cases[i][1] > 5) { /* a slice of a slice */
            struct sparse inner = sparse_slice(&part, 2, 3);
            check(&inner, cases[i][0] + 2, 3, true);
        }
    }
    sparse_builder_free(&builder);
    static const int32_t ids[5] = { 3, -1, 4, 1, 5 };
    static const float weights[5] = { 1, 2, 3, 4, 5 };
    struct sparse single = { .rows = 5, .entries = 5, .ids = ids };
    struct sparse part = sparse_slice(&single, 1, 3);
    assert_null(part.offsets);
    assert_null(part.weights);
    assert_int_equal(part.rows, 3);
    assert_int_equal(part.entries, 3);
    assert_ptr_equal(part.ids, ids + 1);
    single.weights = weights;
    assert_ptr_equal(sparse_slice(&single, 2, 1).weights, weights + 2);
}

static void no_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        struct sparse_builder builder = { 0 };
        failing_start(n, false);
        bool done = build(&builder, 50, true, &status);
        if (!done) { /* nothing is half done: the next call works */
            assert_int_equal(status.code, PIL_NO_MEMORY);
            int64_t entries = builder.entries;
            status_clear(&status);
            assert_true(sparse_append(&builder, 1, 2, true, &status));
            assert_int_equal(builder.entries, entries + 1);
        }
        sparse_builder_free(&builder);
        assert_int_equal(failing_live, 0);
        if (!failing_stop()) {
            assert_true(done);
            assert_true(n > 6);
            break;
        }
        assert_false(done);
    }
}

static void too_many(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct sparse_builder builder = { .entries = INT32_MAX };
    assert_false(sparse_append(&builder, 1, 1, false, &status));
    assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(building),
        cmocka_unit_test(slices),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(too_many),
    };
    return cmocka_run_group_tests_name("tensor/sparse", tests, NULL, NULL);
}
