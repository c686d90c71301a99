/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice of a level. It is made once a process, so each case is a child of its own; the parent must not ask before.
 */
#include "levels.h"

#include <sys/wait.h>
#include <unistd.h>

static char heard[400]; /* the last log line */

static void hear(void *context, pil_log_level level, const char *text)
{
    (void)context;
    (void)level;
    snprintf(heard, sizeof(heard), "%s", text);
}

struct answer {
    char level[16];
    char heard[sizeof(heard)];
    bool has[LEVELS];
    bool same; /* asked again, the same pointer */
};

/* What a process with PILASTER_CPU=word (NULL: unset) chooses. */
static struct answer ask(const char *word)
{
    struct answer answer = { .level = "" };
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (word)
            setenv("PILASTER_CPU", word, 1);
        else
            unsetenv("PILASTER_CPU");
        log_set(hear, NULL);
        const struct kernels *chosen = kernel_get();
        snprintf(answer.level, sizeof(answer.level), "%s", chosen->level);
        snprintf(answer.heard, sizeof(answer.heard), "%s", heard);
        for (int l = 0; l < LEVELS; l++)
            answer.has[l] = kernel_level(level_names[l]) != NULL;
        answer.same = kernel_get() == chosen && kernel_level(chosen->level) == chosen;
        bool sent = write(ends[1], &answer, sizeof(answer)) == (ssize_t)sizeof(answer);
        _exit(sent ? 0 : 1);
    }
    int state = 0;
    close(ends[1]); /* a child that dies must not leave the read waiting */
    assert_int_equal(read(ends[0], &answer, sizeof(answer)), sizeof(answer));
    assert_int_equal(waitpid(child, &state, 0), child);
    assert_true(WIFEXITED(state) && WEXITSTATUS(state) == 0);
    close(ends[0]);
    return answer;
}

static const char *best_up_to(const struct answer *answer, int level)
{
    while (level > 0 && !answer->has[level])
        level--;
    return level_names[level];
}

static void test_chosen_by_processor(void **state)
{
    (void)state;
    struct answer answer = ask(NULL);
    assert_true(answer.has[0]); /* plain C is always there */
    assert_string_equal(answer.level, best_up_to(&answer, LEVELS - 1));
    assert_string_equal(answer.heard, "");
    assert_true(answer.same);
    answer = ask("");
    assert_string_equal(answer.level, best_up_to(&answer, LEVELS - 1));
    assert_string_equal(answer.heard, "");
}

static void test_forced(void **state)
{
    (void)state;
    for (int l = 0; l < LEVELS; l++) {
        struct answer answer = ask(level_names[l]);
        assert_string_equal(answer.level, best_up_to(&answer, l));
        assert_true(answer.same);
        if (answer.has[l]) {
            assert_string_equal(answer.heard, "");
        } else { /* says what was asked for and what it took */
            assert_non_null(strstr(answer.heard, level_names[l]));
            assert_non_null(strstr(answer.heard, answer.level));
        }
    }
}

static void test_unknown_word(void **state)
{
    (void)state;
    struct answer answer = ask("avx1024");
    assert_string_equal(answer.level, best_up_to(&answer, LEVELS - 1));
    assert_non_null(strstr(answer.heard, "PILASTER_CPU=avx1024"));
    assert_non_null(strstr(answer.heard, answer.level));
}

/* Every level fills every entry. From here on the parent asks, too. */
static void test_tables_are_full(void **state)
{
    (void)state;
    assert_null(kernel_level("avx1024"));
    for (int l = 0; l < LEVELS; l++) {
        const struct kernels *kernels = kernel_level(level_names[l]);
        if (!kernels) {
            print_message("# level %s is not here: not tested\n", level_names[l]);
            continue;
        }
        assert_string_equal(kernels->level, level_names[l]);
        assert_true(kernels->lanes == 4 || kernels->lanes == 8 || kernels->lanes == 16);
        static void (*const nothing)(void) = NULL;
        for (size_t at = offsetof(struct kernels, gemm); at < sizeof(*kernels); at += sizeof(nothing))
            assert_memory_not_equal((const char *)kernels + at, &nothing, sizeof(nothing));
    }
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_chosen_by_processor),
        cmocka_unit_test(test_forced),
        cmocka_unit_test(test_unknown_word),
        cmocka_unit_test(test_tables_are_full),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
