/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines by table: --name value, --name=value, flags, one operand. An unknown option names the nearest known one. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct option *find(const struct command *command, struct slice name)
{
    for (size_t i = 0; i < command->option_count; i++)
        if (slice_is(name, command->options[i].name))
            return &command->options[i];
    return NULL;
}

static int unknown_option(const struct command *command, struct slice name)
{
    const char *known[32];
    size_t count = 0;
    char word[64];
    for (size_t i = 0; i < command->option_count && i < COUNT_OF(known); i++)
        known[count++] = command->options[i].name;
    snprintf(word, sizeof word, "%.*s", (int)MIN(name.size, sizeof word - 1), name.data);
    const char *nearest = nearest_word(word, known, count);
    fprintf(stderr, "pilaster: %s has no option --%s%s%s%s\n          see pilaster %s --help\n", command->name, word,
            nearest ? "; did you mean --" : "", nearest ? nearest : "", nearest ? "?" : "", command->name);
    return EXIT_USAGE;
}

static int set_value(const struct command *command, const struct option *option, const char *value, struct arguments *out)
{
    char *field = (char *)out + option->offset;
    /* An empty text is a variable of a script that was not set. As a folder it would be the root of all. */
    if (!*value) {
        fprintf(stderr, "pilaster: %s: --%s needs a value: --%s %s\n", command->name, option->name, option->name, option->value);
        return EXIT_USAGE;
    }
    if (option->kind == OPTION_TEXT) {
        *(const char **)(void *)field = value;
    } else if (option->kind == OPTION_COUNT || option->kind == OPTION_POSITIVE) {
        int64_t number, least = option->kind == OPTION_POSITIVE;
        if (!parse_int64(slice_text(value), &number) || number < least) {
            fprintf(stderr, "pilaster: %s: --%s needs a whole number from %d on, not '%s'\n", command->name, option->name,
                    (int)least, value);
            return EXIT_USAGE;
        }
        *(int64_t *)(void *)field = number;
        out->has_max_steps |= strcmp(option->name, "max-steps") == 0;
    } else {
        struct text_list *list = (struct text_list *)(void *)field;
        if (list->count == MOST_LISTED) {
            fprintf(stderr, "pilaster: %s: --%s can be given at most %d times\n", command->name, option->name, MOST_LISTED);
            return EXIT_USAGE;
        }
        list->items[list->count++] = value;
    }
    return EXIT_DONE;
}

/* One option at words[*at]; moves *at to its last word. */
static int read_option(const struct command *command, int count, char **words, int *at, struct arguments *out)
{
    const char *word = words[*at] + 2, *equals = strchr(word, '=');
    struct slice name = slice_of(word, equals ? (size_t)(equals - word) : strlen(word));
    if (slice_is(name, "help")) {
        out->help = true;
        return EXIT_DONE;
    }
    const struct option *option = find(command, name);
    if (!option)
        return unknown_option(command, name);
    if (option->kind == OPTION_FLAG) {
        if (equals) {
            fprintf(stderr, "pilaster: %s: --%s takes no value\n", command->name, option->name);
            return EXIT_USAGE;
        }
        *(bool *)(void *)((char *)out + option->offset) = true;
        return EXIT_DONE;
    }
    if (!equals && *at + 1 == count) {
        fprintf(stderr, "pilaster: %s: --%s needs a value: --%s %s\n", command->name, option->name, option->name, option->value);
        return EXIT_USAGE;
    }
    return set_value(command, option, equals ? equals + 1 : words[++*at], out);
}

int options_read(const struct command *command, int count, char **words, struct arguments *out)
{
    bool only_operands = false;
    for (int i = 0; i < count; i++) {
        if (!only_operands && strcmp(words[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && strcmp(words[i], "-h") == 0) {
            out->help = true;
        } else if (!only_operands && strncmp(words[i], "--", 2) == 0) {
            int code = read_option(command, count, words, &i, out);
            if (code != EXIT_DONE)
                return code;
        } else if (!out->target) {
            out->target = words[i];
        } else {
            fprintf(stderr, "pilaster: %s takes one %s, '%s' is too much\n", command->name, command->operand, words[i]);
            return EXIT_USAGE;
        }
    }
    if (!out->target && !out->help) {
        fprintf(stderr, "pilaster: %s needs a %s\n          %s\n", command->name, command->operand, command->example);
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

void options_help(const struct command *command)
{
    printf("pilaster %s %s [options]\n  %s\n\n", command->name, command->operand, command->help);
    for (size_t i = 0; i < command->option_count; i++) {
        const struct option *option = &command->options[i];
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", option->name, option->value ? " " : "", option->value ? option->value : "");
        printf("  %-24s %s\n", left, option->help);
    }
    printf("  %-24s %s\n\nExample\n  %s\n", "--help", "this page", command->example);
}
