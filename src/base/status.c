/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An error is a first line and up to six lines below it that say what to do. Both live in the status itself, so that
 * reporting "out of memory" needs no memory.
 *
 * Much of an error's text comes from files and users. So the first line is cut to FIRST_LINE_SIZE (a field of a megabyte
 * must not push out the hints), cuts keep UTF-8 whole, and control characters become spaces: an error stays one line and
 * cannot send escape sequences to the terminal.
 */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

enum { FIRST_LINE_SIZE = 1024, HINTS_LIMIT = 6 };

static const char HINT_INDENT[] = "\n          ";

const char *pil_code_name(pil_code code)
{
    static const char *const names[] = {
        [PIL_OK] = "ok",
        [PIL_INVALID_ARGUMENT] = "invalid argument",
        [PIL_BAD_DATA] = "bad data",
        [PIL_IO] = "input or output failed",
        [PIL_NO_MEMORY] = "out of memory",
        [PIL_NOT_FOUND] = "not found",
        [PIL_CANCELLED] = "cancelled",
        [PIL_BUSY] = "busy",
        [PIL_DIVERGED] = "diverged",
        [PIL_UNSUPPORTED] = "unsupported",
        [PIL_INTERNAL] = "internal error",
    };
    if ((int)code < 0 || (size_t)code >= COUNT_OF(names))
        return "unknown";
    return names[code];
}

/* The largest length <= size at which the text can be cut without splitting a UTF-8 sequence. */
static size_t whole_characters(const char *text, size_t size)
{
    size_t start = size;
    while (start > 0 && size - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return size;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t wanted = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    return wanted > size - start + 1 ? start - 1 : size;
}

/* Prints one line into out (size bytes), at its end "..." when it was cut. Returns its length. */
static size_t print_line(char *out, size_t size, const char *format, va_list arguments)
{
    int wanted = vsnprintf(out, size, format, arguments);
    if (wanted < 0)
        wanted = snprintf(out, size, "%s", format);
    size_t length = (size_t)wanted;
    if (length >= size) {
        length = whole_characters(out, size - 4);
        memcpy(out + length, "...", 4);
        length += 3;
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7F)
            out[i] = ' ';
    }
    return length;
}

bool status_fail(pil_status *status, pil_code code, const char *format, ...)
{
    if (status == NULL || status->code != PIL_OK)
        return false;
    va_list arguments;
    va_start(arguments, format);
    print_line(status->message, FIRST_LINE_SIZE, format, arguments);
    va_end(arguments);
    status->code = code;
    return false;
}

bool status_hint(pil_status *status, const char *format, ...)
{
    if (status == NULL || status->code == PIL_OK)
        return false;
    int hints = 0;
    for (const char *at = status->message; (at = strchr(at, '\n')) != NULL; at++)
        hints++;
    size_t size = strlen(status->message), indent = sizeof(HINT_INDENT) - 1;
    /* A hint of which fewer than 16 bytes would fit helps nobody. */
    if (hints >= HINTS_LIMIT || size + indent + 16 > PIL_MESSAGE_SIZE)
        return false;
    memcpy(status->message + size, HINT_INDENT, indent);
    va_list arguments;
    va_start(arguments, format);
    print_line(status->message + size + indent, PIL_MESSAGE_SIZE - size - indent, format, arguments);
    va_end(arguments);
    return false;
}

bool status_prefix(pil_status *status, const char *format, ...)
{
    if (status == NULL || status->code == PIL_OK)
        return false;
    char old[PIL_MESSAGE_SIZE], line[FIRST_LINE_SIZE];
    memcpy(old, status->message, sizeof(old));
    old[sizeof(old) - 1] = '\0';
    const char *hints = strchr(old, '\n');
    size_t first = hints != NULL ? (size_t)(hints - old) : strlen(old);

    va_list arguments;
    va_start(arguments, format);
    size_t prefix = print_line(line, sizeof(line), format, arguments);
    va_end(arguments);
    /* The prefix is whole; what no longer fits of the old first line gives way, then hints from the last. */
    size_t kept = MIN(first, sizeof(line) - 1 - prefix);
    if (kept < first)
        kept = whole_characters(old, kept);
    size_t size = prefix + kept;
    memcpy(status->message, line, prefix);
    memcpy(status->message + prefix, old, kept);
    while (hints != NULL && *hints == '\n') {
        const char *end = strchr(hints + 1, '\n');
        size_t length = end != NULL ? (size_t)(end - hints) : strlen(hints);
        if (size + length >= PIL_MESSAGE_SIZE)
            break;
        memcpy(status->message + size, hints, length);
        size += length;
        hints = end;
    }
    status->message[size] = '\0';
    return false;
}

bool status_no_memory(pil_status *status, size_t bytes)
{
    return status_fail(status, PIL_NO_MEMORY, "out of memory: %zu bytes could not be allocated", bytes);
}
