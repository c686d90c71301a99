/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: the first stays, prefixes keep hints, and nothing a user writes makes one longer than its place. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void first_error_stays(void **state)
{
    (void)state;
    pil_status status = { 0 };
    assert_true(status_ok(&status));
    assert_false(status_fail(&status, PIL_BAD_DATA, "'%s' is not a number", "abc"));
    assert_false(status_fail(&status, PIL_IO, "later"));
    assert_int_equal(status.code, PIL_BAD_DATA);
    assert_string_equal(status.message, "'abc' is not a number");
    assert_false(status_ok(&status));
    status_clear(&status);
    assert_true(status_ok(&status));
    assert_string_equal(status.message, "");
    assert_false(status_no_memory(&status, 77));
    assert_int_equal(status.code, PIL_NO_MEMORY);
    assert_non_null(strstr(status.message, "77"));
    assert_false(status_fail(NULL, PIL_IO, "nobody asks"));
}

static void prefix_keeps_hints(void **state)
{
    (void)state;
    pil_status status = { 0 };
    status_prefix(&status, "x: ");
    status_hint(&status, "nothing");
    assert_string_equal(status.message, "");
    status_fail(&status, PIL_BAD_DATA, "bad");
    status_hint(&status, "set %s", "default_value");
    status_prefix(&status, "%s:%d: ", "train.csv", 7);
    status_hint(&status, "or drop it");
    assert_string_equal(status.message, "train.csv:7: bad\n          set default_value\n          or drop it");
    for (int i = 0; i < 10; i++)
        status_hint(&status, "more");
    int lines = 0;
    for (const char *at = status.message; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 6);
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    char *word = malloc(100001);
    assert_non_null(word);
    memset(word, 'x', 100000);
    word[100000] = '\0';
    pil_status status = { 0 };
    status_fail(&status, PIL_BAD_DATA, "field %s", word);
    assert_in_range(strlen(status.message), 1000, 1023);
    assert_string_equal(status.message + strlen(status.message) - 3, "...");
    status_hint(&status, "the way out");
    assert_non_null(strstr(status.message, "\n          the way out"));
    status_prefix(&status, "file:%d: ", 12);
    assert_memory_equal(status.message, "file:12: field xxx", 18);
    assert_non_null(strstr(status.message, "\n          the way out"));
    for (int i = 0; i < 6; i++) {
        status_hint(&status, "%s", word);
        status_prefix(&status, "%s", word);
        assert_true(memchr(status.message, '\0', PIL_MESSAGE_SIZE) != NULL);
    }
    free(word);
}

static void one_line_whatever_the_user_wrote(void **state)
{
    (void)state;
    pil_status status = { 0 };
    status_fail(&status, PIL_BAD_DATA, "'%s'", "a\nb\x1b[31m\x7f");
    assert_string_equal(status.message, "'a b [31m '");
}

/* 3-byte characters: whatever the offset, the cut must not leave half of one. */
static void cuts_keep_utf8_whole(void **state)
{
    (void)state;
    char word[3 * 600 + 1];
    for (int i = 0; i < 600; i++)
        memcpy(word + 3 * i, "\xE2\x82\xAC", 3);
    word[sizeof(word) - 1] = '\0';
    for (int offset = 0; offset < 4; offset++) {
        pil_status status = { 0 };
        status_fail(&status, PIL_BAD_DATA, "%.*s%s", offset, "aaaa", word);
        assert_int_equal((strlen(status.message) - 3 - (size_t)offset) % 3, 0);
        status_clear(&status);
        status_fail(&status, PIL_BAD_DATA, "%.1000s", word);
        status_prefix(&status, "%.*s%.900s", offset, "aaaa", word);
        assert_int_equal((strlen(status.message) - (size_t)offset) % 3, 0);
    }
}

static void codes_have_names(void **state)
{
    (void)state;
    assert_string_equal(pil_code_name(PIL_OK), "ok");
    assert_string_equal(pil_code_name(PIL_BAD_DATA), "bad data");
    for (int code = PIL_OK; code <= PIL_INTERNAL; code++)
        assert_string_not_equal(pil_code_name((pil_code)code), "unknown");
    assert_string_equal(pil_code_name((pil_code)(PIL_INTERNAL + 1)), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_error_stays),    cmocka_unit_test(prefix_keeps_hints),
        cmocka_unit_test(long_texts_are_cut),   cmocka_unit_test(one_line_whatever_the_user_wrote),
        cmocka_unit_test(cuts_keep_utf8_whole), cmocka_unit_test(codes_have_names),
    };
    return cmocka_run_group_tests_name("base/status", tests, NULL, NULL);
}
