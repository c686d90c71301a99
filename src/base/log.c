/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines. The library never prints: a line goes to the function that the program has set, or nowhere. It is formatted
 * on the stack, so that a line can be written when memory is out.
 *
 * log_set is called before threads start; log_line may then be called by any of them, and the function sees to the order.
 */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

enum { LINE_SIZE = 2048 };

static void (*line_function)(void *context, pil_log_level level, const char *text);
static void *line_context;

void log_set(void (*line)(void *context, pil_log_level level, const char *text), void *context)
{
    line_function = line;
    line_context = context;
}

void log_line(pil_log_level level, const char *format, ...)
{
    if (line_function == NULL)
        return;
    char line[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (size < 0)
        return;
    if ((size_t)size >= sizeof(line))
        memcpy(line + sizeof(line) - 4, "...", 4);
    line_function(line_context, level, line);
}

void pil_log_to(pil_log_function function, void *context)
{
    log_set(function, context);
}
