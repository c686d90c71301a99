/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parsers of this room share: the check of a split, and how an error shows the record it is about.
 */
#include "input/internal.h"

#include <string.h>

enum { SHOWN_BYTES = 110, SHOWN_BEFORE = 60 };

bool split_check(const struct row_split *split, pil_status *status)
{
    if (split->share >= 0 && split->share <= 1)
        return true;
    return status_fail(status, PIL_INVALID_ARGUMENT, "split must be from 0 to 1, not %g", split->share);
}

static bool continues_character(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* Columns of a terminal, near enough: bytes that begin a character. */
static int width(const char *data, size_t size)
{
    int count = 0;
    for (size_t i = 0; i < size; i++)
        count += !continues_character(data[i]);
    return count;
}

bool show_cell(struct slice record, struct slice cell, const char *advice, pil_status *status)
{
    size_t start = 0, size = MIN(record.size, (size_t)SHOWN_BYTES), at = (size_t)(cell.data - record.data);
    if (record.size > SHOWN_BYTES && at > SHOWN_BEFORE) {
        start = MIN(at - SHOWN_BEFORE, record.size - SHOWN_BYTES);
        while (start < at && continues_character(record.data[start]))
            start++;
        size = MIN(record.size - start, (size_t)SHOWN_BYTES);
    }
    while (start + size < record.size && size > 0 && continues_character(record.data[start + size]))
        size--;
    const char *shown = record.data + start, *before = start > 0 ? "..." : "";
    status_hint(status, "%s%.*s%s", before, (int)size, shown, start + size < record.size ? "..." : "");

    char carets[SHOWN_BYTES + 1];
    int indent = (int)strlen(before) + width(shown, at - start);
    int count = MAX(width(cell.data, MIN(cell.size, start + size - at)), 1);
    memset(carets, '^', sizeof(carets));
    status_hint(status, "%*s%.*s", indent, "", MIN(count, SHOWN_BYTES), carets);
    return status_hint(status, "%s", advice);
}
