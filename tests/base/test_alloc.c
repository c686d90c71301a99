/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: zeroed, aligned, counted, replaceable; an arena that takes nothing new after a reset. */
#include "failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool all_zero(const void *memory, size_t bytes)
{
    const char *at = memory;
    for (size_t i = 0; i < bytes; i++) {
        if (at[i] != 0)
            return false;
    }
    return true;
}

static void check_kinds(void)
{
    pil_status status = { 0 };
    static const size_t sizes[] = { 0, 1, 17, 4096, (2 << 20) - 1, (4 << 20) + 5 };
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *small = mem_new(sizes[i], &status), *array = mem_array(sizes[i], 3, &status), *block = mem_block(sizes[i], &status);
        assert_non_null(small);
        assert_non_null(array);
        assert_non_null(block);
        assert_int_equal((uintptr_t)small % 16, 0);
        assert_int_equal((uintptr_t)array % 16, 0);
        assert_int_equal((uintptr_t)block % 64, 0);
        assert_true(all_zero(small, sizes[i]) && all_zero(array, 3 * sizes[i]) && all_zero(block, sizes[i]));
        memset(small, 1, sizes[i]);
        memset(array, 1, 3 * sizes[i]);
        memset(block, 1, sizes[i]);
        mem_free(small);
        mem_free(array);
        mem_free(block);
    }
    char *text = mem_text("hello", &status);
    assert_string_equal(text, "hello");
    mem_free(text);
    mem_free(NULL);
    assert_true(status_ok(&status));
}

static void kinds_of_memory(void **state)
{
    (void)state;
    uint64_t before = mem_allocations();
    check_kinds();
    assert_int_equal(mem_allocations() - before, 19);
    failing_start(-1, false);
    check_kinds();
    assert_int_equal(failing_live, 0);
    assert_false(failing_stop());
}

static void impossible_sizes(void **state)
{
    (void)state;
    pil_status status = { 0 };
    assert_null(mem_array(SIZE_MAX / 2, 3, &status));
    assert_int_equal(status.code, PIL_NO_MEMORY);
    status_clear(&status);
    assert_null(mem_new(SIZE_MAX, &status));
    assert_int_equal(status.code, PIL_NO_MEMORY);
    status_clear(&status);
    int *array = NULL;
    size_t capacity = 0;
    assert_false(mem_grow(&array, &capacity, SIZE_MAX / 2, sizeof(int), &status));
    assert_int_equal(status.code, PIL_NO_MEMORY);
    assert_null(array);
    status_clear(&status);
    struct arena *arena = arena_new(&status);
    assert_non_null(arena);
    assert_null(arena_alloc(arena, SIZE_MAX - 3, &status));
    assert_int_equal(status.code, PIL_NO_MEMORY);
    arena_free(arena);
}

static void grow_keeps_and_zeroes(void **state)
{
    (void)state;
    pil_status status = { 0 };
    int *array = NULL, *block = NULL;
    size_t capacity = 0, block_capacity = 0;
    uint64_t before = mem_allocations();
    for (size_t i = 0; i < 5000; i++) {
        assert_true(mem_grow(&array, &capacity, i + 1, sizeof(int), &status));
        assert_true(mem_grow_block(&block, &block_capacity, i + 1, sizeof(int), &status));
        assert_int_equal((uintptr_t)block % 64, 0);
        assert_int_equal(array[i], 0);
        assert_int_equal(block[i], 0);
        array[i] = block[i] = (int)i + 1;
    }
    assert_true(mem_allocations() - before < 30); /* geometric */
    for (size_t i = 0; i < 5000; i++)
        assert_true(array[i] == (int)i + 1 && block[i] == (int)i + 1);
    assert_true(all_zero(array + 5000, (capacity - 5000) * sizeof(int)));
    mem_free(array);
    mem_free(block);
}

static void failures_are_results(void **state)
{
    (void)state;
    pil_status status = { 0 };
    int *array = NULL;
    size_t capacity = 0;
    assert_true(mem_grow(&array, &capacity, 4, sizeof(int), &status));
    array[3] = 9;
    size_t held = capacity;
    failing_start(0, true);
    assert_null(mem_new(8, &status));
    assert_int_equal(status.code, PIL_NO_MEMORY);
    assert_false(mem_grow(&array, &capacity, 1000, sizeof(int), &status));
    assert_null(mem_block(8, &status));
    assert_null(mem_text("a", &status));
    assert_null(arena_new(&status));
    assert_true(failing_stop());
    assert_int_equal(capacity, held);
    assert_int_equal(array[3], 9);
    mem_free(array);
}

static void arena_objects(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    assert_non_null(arena);
    for (int pass = 0; pass < 3; pass++) {
        uint64_t before = mem_allocations();
        size_t bytes = arena_bytes(arena);
        for (size_t i = 0; i < 3000; i++) {
            size_t size = i % 500 == 499 ? 20000 + i : i % 77;
            char *object = arena_alloc(arena, size, &status);
            assert_non_null(object);
            assert_int_equal((uintptr_t)object % 16, 0);
            assert_true(all_zero(object, size));
            memset(object, 0xFF, size);
        }
        assert_string_equal(arena_text(arena, "word and rest", 4, &status), "word");
        assert_string_equal(arena_text(arena, NULL, 0, &status), "");
        assert_string_equal(arena_format(arena, &status, "%s/%d", "kernel", 7), "kernel/7");
        if (pass > 0) {
            assert_int_equal(mem_allocations(), before);
            assert_int_equal(arena_bytes(arena), bytes);
        }
        arena_reset(arena);
    }
    assert_true(arena_bytes(arena) > 140000);
    arena_free(arena);
    arena_free(NULL);
    assert_true(status_ok(&status));
}

/* Each of an arena's allocations fails once; what was there stays usable. */
static void arena_out_of_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        struct arena *arena = arena_new(&status);
        bool worked = arena != NULL;
        char *texts[20];
        int kept = 0;
        for (int i = 0; worked && i < 20; i++) {
            texts[i] = arena_format(arena, &status, "%01000d", i);
            worked = texts[i] != NULL;
            kept += worked;
        }
        if (arena != NULL && !worked) { /* only that one failed: the next works */
            pil_status again = { 0 };
            assert_string_equal(arena_text(arena, "after", 5, &again), "after");
        }
        for (int i = 0; i < kept; i++)
            assert_int_equal(strtol(texts[i], NULL, 10), i);
        arena_free(arena);
        assert_int_equal(failing_live, 0);
        if (!failing_stop()) {
            assert_true(worked);
            assert_true(n >= 3);
            break;
        }
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_of_memory),      cmocka_unit_test(impossible_sizes), cmocka_unit_test(grow_keeps_and_zeroes),
        cmocka_unit_test(failures_are_results), cmocka_unit_test(arena_objects),    cmocka_unit_test(arena_out_of_memory),
    };
    return cmocka_run_group_tests_name("base/alloc", tests, NULL, NULL);
}
