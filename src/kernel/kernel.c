/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The levels: every family's fill function of every level puts its kernels into that level's table; the best table the
 * processor can run is chosen once. PILASTER_CPU forces a lower one, for tests and for comparing.
 */
#include "kernel/kernel.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kernel_levels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define DECLARE_FAMILY(family, level) void kernel_fill_##family##_##level(struct kernels *kernels);
#define DECLARE_LEVEL(level) KERNEL_FAMILIES(DECLARE_FAMILY, level)
KERNEL_LEVELS(DECLARE_LEVEL)

#define FILL_FAMILY(family, level) kernel_fill_##family##_##level(kernels);
#define DEFINE_FILL(name)                                                                                                        \
    static void fill_##name(struct kernels *kernels)                                                                             \
    {                                                                                                                            \
        kernels->level = #name;                                                                                                  \
        KERNEL_FAMILIES(FILL_FAMILY, name)                                                                                       \
    }
KERNEL_LEVELS(DEFINE_FILL)

/* What -march=x86-64-v3 and -v4 let the compiler use, whole, since it may use any of it. GCC's builtin includes the test
 * that the operating system saves the registers. Clang 14 knows neither the words x86-64-v3 nor f16c, lzcnt and movbe. */
static bool has_c(void)
{
    return true;
}

#if defined(__x86_64__)
/* unused: the build leaves a level out where the compiler cannot make it. */
__attribute__((unused)) static bool has_avx2(void)
{
    unsigned a, b, c, d;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi") ||
        !__builtin_cpu_supports("bmi2"))
        return false;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C) || !(c & bit_MOVBE))
        return false;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT);
}

__attribute__((unused)) static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

static const struct level {
    const char *name;
    bool (*available)(void);
    void (*fill)(struct kernels *kernels);
} levels[] = { /* ascending */
#define LEVEL_ROW(level) { #level, has_##level, fill_##level },
               KERNEL_LEVELS(LEVEL_ROW)
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct kernels tables[COUNT_OF(levels)];
static const struct kernels *chosen;

/* The best filled table of levels 0 .. last. Level c is always filled. */
static const struct kernels *best_below(size_t last)
{
    while (last > 0 && !tables[last].level)
        last--;
    return &tables[last];
}

/* The level PILASTER_CPU names, or the best the processor has. A wrong word must not stop a run: it warns and goes on. */
static const struct kernels *choose(const char *word)
{
    if (!word || !word[0])
        return best_below(COUNT_OF(levels) - 1);
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        if (strcmp(word, levels[i].name) != 0)
            continue;
        const struct kernels *best = best_below(i);
        if (best != &tables[i])
            log_line(PIL_LOG_WARNING, "PILASTER_CPU=%s: this processor lacks it; using %s", word, best->level);
        return best;
    }
    const struct kernels *best = best_below(COUNT_OF(levels) - 1);
    log_line(PIL_LOG_WARNING, "PILASTER_CPU=%s: no such level in this build (c, avx2, avx512); using %s", word, best->level);
    return best;
}

static void fill(void)
{
    for (size_t i = 0; i < COUNT_OF(levels); i++)
        if (levels[i].available())
            levels[i].fill(&tables[i]);
    chosen = choose(getenv("PILASTER_CPU"));
}

const struct kernels *kernel_get(void)
{
    pthread_once(&once, fill);
    return chosen;
}

const struct kernels *kernel_level(const char *name)
{
    pthread_once(&once, fill);
    for (size_t i = 0; i < COUNT_OF(levels); i++)
        if (strcmp(name, levels[i].name) == 0)
            return tables[i].level ? &tables[i] : NULL;
    return NULL;
}
