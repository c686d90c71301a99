/* SPDX-License-Identifier: Apache-2.0 */
/* Hash tables: numbers in order of arrival, all sizes and bytes of keys, failures that change nothing. */
#include "failing.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void order_of_arrival(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct map *map = map_new(&status);
    bool added = false;
    assert_int_equal(map_count(map), 0);
    assert_int_equal(map_find(map, slice_text("")), -1);
    assert_int_equal(map_intern(map, slice_text("Fri"), &added, &status), 0);
    assert_true(added);
    assert_int_equal(map_intern(map, slice_of(NULL, 0), &added, &status), 1);
    assert_true(added);
    assert_int_equal(map_intern(map, slice_of("Fri..", 3), &added, &status), 0);
    assert_false(added);
    assert_int_equal(map_intern(map, slice_text(""), NULL, &status), 1);
    assert_int_equal(map_find(map, slice_text("Fri")), 0);
    assert_int_equal(map_find(map, slice_text("Fr")), -1);
    assert_int_equal(map_find(map, slice_of("Fri\0", 4)), -1);
    assert_int_equal(map_count(map), 2);
    assert_true(slice_is(map_key(map, 0), "Fri"));
    assert_string_equal(map_key(map, 0).data, "Fri"); /* NUL-terminated besides */
    assert_int_equal(map_key(map, 1).size, 0);
    assert_int_equal(map_key(map, 2).size, 0);
    assert_int_equal(map_key(map, -1).size, 0);
    map_free(map);
    map_free(NULL);
}

/* Keys that differ in one byte only, at every place, for every size around the borders of the slot's forms. The bytes end
 * where their memory ends, so that a read beyond them is seen. */
static void keys_of_all_sizes(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct map *map = map_new(&status);
    int64_t number = 0;
    for (int pass = 0; pass < 2; pass++) {
        number = 0;
        for (size_t size = 1; size <= 70; size++) {
            for (size_t place = 0; place < size; place++) {
                char *key = malloc(size);
                assert_non_null(key);
                memset(key, 'a', size);
                key[place] = '\0';
                assert_int_equal(map_find(map, slice_of(key, size)), pass == 0 ? -1 : number);
                assert_int_equal(map_intern(map, slice_of(key, size), NULL, &status), number);
                assert_true(slice_equal(map_key(map, number), slice_of(key, size)));
                free(key);
                number++;
            }
        }
    }
    assert_int_equal(map_count(map), number);
    map_free(map);
}

/* Runs of one byte: from 8 to 16 bytes only the size tells them apart. */
static void runs_of_one_byte(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct map *map = map_new(&status);
    char key[20];
    for (int pass = 0; pass < 2; pass++) {
        int64_t number = 0;
        for (int byte = 0; byte < 256; byte++) {
            memset(key, byte, sizeof(key));
            for (size_t size = 1; size <= 20; size++)
                assert_int_equal(map_intern(map, slice_of(key, size), NULL, &status), number++);
        }
    }
    map_free(map);
}

static void many_words(void **state)
{
    (void)state;
    enum { WORDS = 50000 };
    pil_status status = { 0 };
    struct map *map = map_new(&status);
    char word[64];
    for (int i = 0; i < WORDS; i++) {
        int size = snprintf(word, sizeof(word), i % 3 == 0 ? "%d" : i % 3 == 1 ? "N%05dUA" : "a longer word, number %d", i);
        assert_int_equal(map_intern(map, slice_of(word, (size_t)size), NULL, &status), i);
    }
    uint64_t before = mem_allocations();
    for (int i = 0; i < WORDS; i++) {
        int size = snprintf(word, sizeof(word), i % 3 == 0 ? "%d" : i % 3 == 1 ? "N%05dUA" : "a longer word, number %d", i);
        assert_int_equal(map_find(map, slice_of(word, (size_t)size)), i);
        assert_int_equal(map_intern(map, slice_of(word, (size_t)size), NULL, &status), i);
    }
    assert_int_equal(mem_allocations(), before);
    assert_int_equal(map_find(map, slice_text("1")), -1);
    map_free(map);
}

static void failures_change_nothing(void **state)
{
    (void)state;
    char word[32];
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        struct map *map = map_new(&status);
        int failed_at = -1;
        for (int i = 0; map != NULL && i < 300; i++) {
            int size = snprintf(word, sizeof(word), "a word of number %d", i);
            int64_t number = map_intern(map, slice_of(word, (size_t)size), NULL, &status);
            if (number < 0) {
                assert_int_equal(failed_at, -1);
                failed_at = i;
                assert_int_equal(map_count(map), i);
                assert_int_equal(map_find(map, slice_of(word, (size_t)size)), -1);
                status_clear(&status);
                number = map_intern(map, slice_of(word, (size_t)size), NULL, &status); /* now there is memory */
                status_no_memory(&status, 1);
            }
            assert_int_equal(number, i);
        }
        for (int i = 0; map != NULL && i < 300; i++) {
            int size = snprintf(word, sizeof(word), "a word of number %d", i);
            assert_int_equal(map_find(map, slice_of(word, (size_t)size)), i);
        }
        bool whole = map != NULL && failed_at < 0;
        map_free(map);
        assert_int_equal(failing_live, 0);
        if (!failing_stop()) {
            assert_true(whole && n > 10);
            break;
        }
        assert_false(whole);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

static void integers(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct int_map *map = int_map_new(&status);
    bool added = false;
    static const int64_t special[] = { 0, -1, INT64_MIN, INT64_MAX, 1 };
    for (size_t i = 0; i < COUNT_OF(special); i++) {
        assert_int_equal(int_map_get(map, special[i], -7), -7);
        assert_true(int_map_put(map, special[i], (int64_t)i * 10, &added, &status) && added);
        assert_true(int_map_put(map, special[i], 99, &added, &status) && !added);
    }
    for (int64_t i = 2; i < 20000; i++)
        assert_true(int_map_put(map, i << 20, -i, NULL, &status));
    for (size_t i = 0; i < COUNT_OF(special); i++)
        assert_int_equal(int_map_get(map, special[i], -7), i * 10);
    for (int64_t i = 2; i < 20000; i++)
        assert_int_equal(int_map_get(map, i << 20, 0), -i);
    assert_int_equal(int_map_get(map, 12345, -7), -7);
    int_map_free(map);
    int_map_free(NULL);
}

static void integer_failures(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        struct int_map *map = int_map_new(&status);
        int64_t put = 0;
        while (map != NULL && put < 300 && int_map_put(map, put, put, NULL, &status))
            put++;
        for (int64_t i = 0; map != NULL && i < 300; i++)
            assert_int_equal(int_map_get(map, i, -1), i < put ? i : -1);
        int_map_free(map);
        assert_int_equal(failing_live, 0);
        if (!failing_stop()) {
            assert_true(put == 300 && n > 4);
            break;
        }
        assert_true(put < 300);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_arrival), cmocka_unit_test(keys_of_all_sizes),       cmocka_unit_test(runs_of_one_byte),
        cmocka_unit_test(many_words),       cmocka_unit_test(failures_change_nothing), cmocka_unit_test(integers),
        cmocka_unit_test(integer_failures),
    };
    return cmocka_run_group_tests_name("base/map", tests, NULL, NULL);
}
