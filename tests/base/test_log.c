/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines go where they are sent, and nowhere before. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    int lines;
    pil_log_level level;
    char text[4096];
};

static void take(void *context, pil_log_level level, const char *text)
{
    struct seen *seen = context;
    seen->lines++;
    seen->level = level;
    assert_true(strlen(text) < sizeof(seen->text));
    strcpy(seen->text, text);
}

static void lines(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    log_line(PIL_LOG_ERROR, "nobody %s", "listens");
    log_set(take, &seen);
    log_line(PIL_LOG_WARNING, "%d of %s", 3, "train.csv");
    assert_int_equal(seen.lines, 1);
    assert_int_equal(seen.level, PIL_LOG_WARNING);
    assert_string_equal(seen.text, "3 of train.csv");
    log_line(PIL_LOG_DEBUG, "%05000d", 7);
    assert_int_equal(strlen(seen.text), 2047);
    assert_string_equal(seen.text + 2044, "...");
    log_set(NULL, NULL);
    log_line(PIL_LOG_INFO, "again nobody");
    assert_int_equal(seen.lines, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(lines) };
    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
