/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static const struct command *const commands[] = { &command_train, &command_evaluate, &command_predict, &command_export,
                                                  &command_columns };

static void log_to_stderr(void *context, pil_log_level level, const char *text)
{
    (void)context;
    if (level == PIL_LOG_WARNING)
        say("pilaster: warning: %s", text);
    else if (level <= PIL_LOG_INFO)
        say("%s", text);
}

static void print_usage(FILE *out)
{
    fprintf(out, "pilaster COMMAND ...   models of feature columns and embeddings, in C\n\n");
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->help);
    fprintf(out, "\npilaster COMMAND --help says more; pilaster --version names the version\n");
}

static int unknown_command(const char *word)
{
    const char *known[COUNT_OF(commands)];
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        known[i] = commands[i]->name;
    const char *nearest = nearest_word(word, known, COUNT_OF(commands));
    fprintf(stderr, "pilaster: there is no command '%s'%s%s%s\n          see pilaster --help\n", word,
            nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return EXIT_USAGE;
}

/* Whoever starts the program with a standard descriptor closed would have the next file that is opened in its place, and
 * messages written into a checkpoint. What takes the place here refuses to be written to. */
static void occupy_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) == -1)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* A page of help or a version that could not be written is an error too. */
static int printed(void)
{
    pil_status status = { 0 };
    return output_flush(&status) ? EXIT_DONE : say_error(&status);
}

int main(int count, char **words)
{
    occupy_descriptors();
    signal(SIGXFSZ, SIG_IGN); /* a file beyond ulimit -f is an error of that write, and what was begun is cleaned up */
    log_set(log_to_stderr, NULL);
    if (count < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0 || strcmp(words[1], "help") == 0) {
        print_usage(stdout);
        return printed();
    }
    if (strcmp(words[1], "--version") == 0) {
        printf("pilaster %s\n", PILASTER_VERSION);
        return printed();
    }
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (strcmp(words[1], commands[i]->name) != 0)
            continue;
        struct arguments arguments = { 0 };
        int code = options_read(commands[i], count - 2, words + 2, &arguments);
        if (code != EXIT_DONE)
            return code;
        if (!arguments.help)
            return commands[i]->run(&arguments);
        options_help(commands[i]);
        return printed();
    }
    return unknown_command(words[1]);
}
