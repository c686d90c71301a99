/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a program takes from start to end, and how much memory: many runs, one after the other, what they print thrown away.
 *
 *     command NAME RUNS PROGRAM [ARGUMENT]...
 *
 * Prints one JSON object: the median and the least wall time, the least processor time, the most memory at any time of any run.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_RUNS = 1000 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* 0, or the exit status of a run that failed. */
static int run(char **words, struct rusage *usage)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        if (nowhere >= 0)
            dup2(nowhere, STDOUT_FILENO);
        execvp(words[0], words);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, usage) != child)
        return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static double processor_seconds(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           1e-6 * (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words)
{
    static double seconds[MOST_RUNS];
    int runs = count > 3 ? atoi(words[2]) : 0;
    double processor = 1e9;
    long kilobytes = 0;
    if (runs < 1 || runs > MOST_RUNS) {
        fprintf(stderr, "command NAME RUNS PROGRAM [ARGUMENT]...: 1 to %d runs\n", (int)MOST_RUNS);
        return 2;
    }
    for (int i = 0; i < runs; i++) {
        struct rusage usage = { 0 };
        double start = now();
        int status = run(words + 3, &usage);
        seconds[i] = now() - start;
        if (status != 0) {
            fprintf(stderr, "command: %s ended with %d\n", words[3], status);
            return 1;
        }
        processor = processor_seconds(&usage) < processor ? processor_seconds(&usage) : processor;
        kilobytes = usage.ru_maxrss > kilobytes ? usage.ru_maxrss : kilobytes;
    }
    qsort(seconds, (size_t)runs, sizeof *seconds, ascending);
    printf("{\"workload\":\"%s\",\"who\":\"pilaster\",\"runs\":%d,\"median_ms\":%.2f,\"least_ms\":%.2f,\"processor_ms\":%.2f,"
           "\"max_rss_mb\":%.1f}\n",
           words[1], runs, 1e3 * seconds[runs / 2], 1e3 * seconds[0], 1e3 * processor, (double)kilobytes / 1024);
    return 0;
}
