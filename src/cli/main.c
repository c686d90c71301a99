/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct command *const commands[] = { &command_train, &command_evaluate, &command_predict, &command_columns };

static void log_to_stderr(void *context, enum log_level level, const char *text)
{
    (void)context;
    if (level == LOG_WARNING)
        say("pilaster: warning: %s", text);
    else if (level <= LOG_INFO)
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
    fprintf(stderr, "pilaster: there is no command '%s'%s%s%s\n", word, nearest ? "; did you mean '" : "", nearest ? nearest : "",
            nearest ? "'?" : "");
    print_usage(stderr);
    return EXIT_USAGE;
}

int main(int count, char **words)
{
    log_set(log_to_stderr, NULL);
    if (count < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0 || strcmp(words[1], "help") == 0) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    if (strcmp(words[1], "--version") == 0) {
        printf("pilaster %s\n", PILASTER_VERSION);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (strcmp(words[1], commands[i]->name) != 0)
            continue;
        struct arguments arguments = { 0 };
        int code = options_read(commands[i], count - 2, words + 2, &arguments);
        if (code == EXIT_DONE && arguments.help)
            options_help(commands[i]);
        else if (code == EXIT_DONE)
            code = commands[i]->run(&arguments);
        return code;
    }
    return unknown_command(words[1]);
}
