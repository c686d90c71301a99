/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From files to blocks of whole records. Nothing is parsed here but where records end, so that one thread can cut blocks
 * for many that parse them.
 *
 * All files are opened at the start: a missing or empty one is told before an hour of training, not after it. Everything is
 * read into buffers, never mapped: a file may be cut off while it is read.
 *
 *     buffer   [ blocks given out | begin .. end: read, not yet cut | free ]
 *
 * Blocks are slices of a buffer. When its end is reached, what is left behind the last block moves to the front, or to the
 * front of another buffer while a block of this one is still in use; block_release brings it back when none is.
 *
 * Where a record ends is a question of quotes. A quote opens only behind a delimiter or a newline; anywhere else it is a
 * character (5'10" and 37.8"N are common). A block ends behind the first record end at or after block_bytes. Files without
 * a quote cost one memchr a block.
 */
#include "input/internal.h"
#include "kernel/kernel.h"

#include <string.h>

enum {
    BLOCK_BYTES = 256 << 10,
    SLACK = 16 << 10,        /* looked at beyond a block's size before anything grows: ordinary records end in it */
    RECORD_LIMIT = 64 << 20, /* of a record; more is a quote left open, or no text at all */
    INTERACTIVE = 64 << 10,  /* fewer waiting bytes of a descriptor than this: every byte more is looked at */
    KEEP_OPEN = 64           /* files; others are opened again when their turn comes, for descriptors are few */
};
#define NONE SIZE_MAX

static const char STANDARD_INPUT[] = "standard input";

struct buffer {
    struct source *source;
    struct buffer *next, *next_spare;
    char *bytes;
    size_t capacity;
    size_t users; /* blocks that lie in it */
};

struct source {
    struct source_options options;
    struct arena *arena;
    struct datafile *files;
    char *scratch; /* of datafile_open and datafile_check */
    size_t count;
    struct slice header;
    bool has_header, lines, rewindable;

    size_t file; /* the current one */
    bool started;
    int64_t line;
    double passed_bytes, total_bytes; /* of the files before the current one; of all */
    struct stream *stream;
    struct buffer *buffer;
    size_t begin, end;
    bool ended;  /* the stream has no byte behind `end` */
    size_t room; /* of a buffer: what the longest record has needed */
    struct buffer *all, *spare;
};

/* ---- buffers ------------------------------------------------------------------------------------------------- */

static void buffer_give(struct buffer *buffer)
{
    buffer->next_spare = buffer->source->spare;
    buffer->source->spare = buffer;
}

/* One that nobody uses, with source->room bytes. */
static struct buffer *buffer_take(struct source *source, pil_status *status)
{
    struct buffer *buffer = source->spare;
    if (buffer != NULL) {
        source->spare = buffer->next_spare;
    } else {
        buffer = mem_new(sizeof(*buffer), status);
        if (buffer == NULL)
            return NULL;
        *buffer = (struct buffer){ .source = source, .next = source->all };
        source->all = buffer;
    }
    if (mem_grow(&buffer->bytes, &buffer->capacity, source->room, 1, status))
        return buffer;
    buffer_give(buffer);
    return NULL;
}

void block_release(struct block *block)
{
    struct buffer *buffer = block->memory;
    block->memory = NULL;
    if (buffer != NULL && --buffer->users == 0 && buffer != buffer->source->buffer)
        buffer_give(buffer);
}

/* Makes room to read on until `want` bytes can be seen. */
static bool make_room(struct source *source, size_t want, pil_status *status)
{
    struct buffer *buffer = source->buffer;
    const size_t have = source->end - source->begin;
    if (buffer != NULL && source->begin + want <= buffer->capacity && source->end + SLACK <= buffer->capacity)
        return true;
    source->room = MAX(source->room, MAX(want, have + SLACK));
    if (buffer == NULL || buffer->users > 0) {
        struct buffer *fresh = buffer_take(source, status);
        if (fresh == NULL)
            return false;
        if (have > 0)
            memcpy(fresh->bytes, buffer->bytes + source->begin, have);
        source->buffer = fresh;
    } else {
        memmove(buffer->bytes, buffer->bytes + source->begin, have);
        if (!mem_grow(&buffer->bytes, &buffer->capacity, source->room, 1, status)) {
            source->begin = 0;
            source->end = have;
            return false;
        }
    }
    source->begin = 0;
    source->end = have;
    return true;
}

/* ---- what lies ahead ----------------------------------------------------------------------------------------- */

struct view {
    const char *data;
    size_t size;
    bool all; /* nothing follows */
};

/* At least `want` bytes from here, or all there are. The view lasts until the next look. */
static bool look(struct source *source, size_t want, struct view *view, pil_status *status)
{
    while (source->end - source->begin < want && !source->ended) {
        if (!make_room(source, want, status))
            return false;
        struct buffer *buffer = source->buffer;
        size_t got;
        if (!stream_read(source->stream, buffer->bytes + source->end, buffer->capacity - source->end, &got, status))
            return false;
        source->end += got;
        source->ended = got == 0;
    }
    *view = (struct view){ source->begin < source->end ? source->buffer->bytes + source->begin : "", source->end - source->begin,
                           source->ended };
    return true;
}

static int64_t count_lines(const char *data, size_t size)
{
    return (int64_t)scan_count(data, size, '\n');
}

/* Goes `size` bytes on, which the last look has shown. */
static void pass(struct source *source, const struct view *view, size_t size)
{
    source->line += count_lines(view->data, size);
    source->begin += size;
}

/* ---- where records end --------------------------------------------------------------------------------------- */

/* Is the byte at `i`, outside quotes as everything since `from`, in a record that starts with the comment's character? */
static bool in_comment(const struct source *source, const char *data, size_t from, size_t i, size_t *record)
{
    const char *newline = memrchr(data + from, '\n', i - from);
    if (newline != NULL)
        *record = (size_t)(newline - data) + 1;
    return data[*record] == source->options.comment;
}

/* The next quote that opens, or `size`. *record: the start of the record that `from` lies in. */
static size_t opening_quote(const struct source *source, const char *data, size_t from, size_t size, size_t *record)
{
    const char *found;
    for (size_t at = from; at < size && (found = memchr(data + at, '"', size - at)) != NULL;) {
        size_t i = (size_t)(found - data);
        if (source->options.comment != 0 && in_comment(source, data, from, i, record)) {
            const char *newline = memchr(found, '\n', size - i);
            if (newline == NULL)
                return size;
            at = (size_t)(newline - data) + 1;
            continue;
        }
        if (i == 0 || data[i - 1] == source->options.delimiter || data[i - 1] == '\n')
            return i;
        at = i + 1;
    }
    return size;
}

/* The quote that closes the one at `open`, or `size`; doubled ones do not. */
static size_t closing_quote(const char *data, size_t open, size_t size)
{
    const char *found;
    for (size_t at = open + 1; at < size && (found = memchr(data + at, '"', size - at)) != NULL;) {
        size_t i = (size_t)(found - data);
        if (i + 1 == size || data[i + 1] != '"')
            return i;
        at = i + 2;
    }
    return size;
}

/* Behind the first record end at or after `target` (from 1), 0 when the bytes hold none. data: the start of a record.
 * *open: the quote that is still open at the end, or NONE. */
static size_t record_end(const struct source *source, const char *data, size_t size, size_t target, size_t *open)
{
    size_t at = 0, record = 0;
    *open = NONE;
    for (;;) {
        size_t quote = source->options.quotes ? opening_quote(source, data, at, size, &record) : size;
        if (quote >= target) {
            size_t from = MAX(at, target - 1);
            const char *newline = memchr(data + from, '\n', quote - from);
            if (newline != NULL)
                return (size_t)(newline - data) + 1;
        }
        if (quote == size)
            return 0;
        at = closing_quote(data, quote, size) + 1;
        if (at > size) {
            *open = quote;
            return 0;
        }
    }
}

static bool open_quote_fail(const struct source *source, const struct view *view, size_t open, pil_status *status)
{
    status_fail(status, PIL_BAD_DATA, "%s:%lld: the quote that opens here is not closed until the end of the file",
                source->files[source->file].path, (long long)(source->line + count_lines(view->data, open)));
    const char *newline = memchr(view->data + open, '\n', view->size - open);
    size_t shown = MIN(newline != NULL ? (size_t)(newline - view->data) - open : view->size - open, (size_t)100);
    return status_hint(status, "%.*s", (int)shown, view->data + open);
}

static bool long_record_fail(const struct source *source, const struct view *view, size_t seen, size_t open, pil_status *status)
{
    const char *newline = memrchr(view->data, '\n', seen);
    size_t start = open != NONE ? open : newline != NULL ? (size_t)(newline - view->data) + 1 : 0;
    status_fail(status, PIL_BAD_DATA, "%s:%lld: a record is longer than 64 MB", source->files[source->file].path,
                (long long)(source->line + count_lines(view->data, start)));
    return open != NONE && status_hint(status, "is the quote that opens in this line closed?");
}

/* How long the next run of whole records is: the first that has `target` bytes, or what is left. 0: the end of the file. */
static bool cut(struct source *source, size_t target, struct view *view, size_t *size, pil_status *status)
{
    const bool descriptor = source->files[source->file].kind == DATAFILE_DESCRIPTOR;
    size_t want = descriptor ? 1 : target + SLACK, window = target + SLACK;
    for (;;) {
        if (!look(source, want, view, status))
            return false;
        size_t seen = MIN(view->size, window), open;
        *size = seen == 0 ? 0 : record_end(source, view->data, seen, MIN(seen, target), &open);
        if (seen == 0 || *size > 0)
            return true;
        if (seen == view->size && view->all) {
            *size = seen;
            return open == NONE || open_quote_fail(source, view, open, status);
        }
        if (seen >= RECORD_LIMIT)
            return long_record_fail(source, view, seen, open, status);
        /* Whoever types into a descriptor waits for an answer to each line; all others wait for speed. */
        if (seen < view->size)
            window *= 2;
        else
            want = view->size + (descriptor && view->size < INTERACTIVE ? 1 : MAX(view->size / 4, (size_t)1));
        window = MAX(window, want);
    }
}

/* ---- the start of a file ------------------------------------------------------------------------------------- */

static struct slice without_newline(const char *data, size_t size)
{
    if (size > 0 && data[size - 1] == '\n')
        size--;
    if (size > 0 && data[size - 1] == '\r')
        size--;
    return slice_of(data, size);
}

static bool other_header(const struct source *source, struct slice header, pil_status *status)
{
    status_fail(status, PIL_BAD_DATA, "%s: its header is not that of %s", source->files[source->file].path,
                source->files[0].path);
    status_hint(status, "%.*s", (int)MIN(header.size, (size_t)160), header.data);
    status_hint(status, "%.*s", (int)MIN(source->header.size, (size_t)160), source->header.data);
    return status_hint(status, "all files of one input have the same columns in the same order");
}

/* The first record that is neither blank nor a comment. */
static bool read_header(struct source *source, pil_status *status)
{
    struct view view;
    size_t size;
    for (;;) {
        if (!cut(source, 1, &view, &size, status))
            return false;
        if (size == 0)
            return status_fail(status, PIL_BAD_DATA, "%s: is empty", source->files[source->file].path);
        struct slice header = without_newline(view.data, size);
        bool comment = source->options.comment != 0 && view.data[0] == source->options.comment;
        if (header.size == 0 || comment) {
            pass(source, &view, size);
            continue;
        }
        if (!source->has_header) {
            char *copy = arena_text(source->arena, header.data, header.size, status);
            if (copy == NULL)
                return false;
            source->header = slice_of(copy, header.size);
            source->has_header = true;
        } else if (!slice_equal(header, source->header)) {
            return other_header(source, header, status);
        }
        pass(source, &view, size);
        return true;
    }
}

/* JSON lines are known by their first character that is no space. */
static bool detect_lines(struct source *source, pil_status *status)
{
    struct view view;
    size_t at = 0;
    do {
        if (!look(source, at + 1, &view, status))
            return false;
        while (at < view.size && memchr(" \t\r\n", view.data[at], 4) != NULL)
            at++;
    } while (at == view.size && !view.all);
    source->lines = at < view.size && view.data[at] == '{';
    if (source->lines) {
        source->options.quotes = source->options.header = false;
        source->options.comment = 0;
    }
    return true;
}

static bool start_file(struct source *source, pil_status *status)
{
    struct datafile *file = &source->files[source->file];
    source->started = true;
    source->line = 1;
    source->begin = source->end; /* what lies before belongs to blocks */
    source->ended = false;
    if (source->stream == NULL && (source->stream = stream_new(status)) == NULL)
        return false;
    if (!datafile_check(file, source->scratch, status) || !datafile_start(file, source->stream, status))
        return false;
    struct view view;
    if (!look(source, 3, &view, status))
        return false;
    if (view.size >= 3 && memcmp(view.data, "\xEF\xBB\xBF", 3) == 0)
        pass(source, &view, 3);
    if (!look(source, 1, &view, status))
        return false;
    if (view.size == 0)
        return status_fail(status, PIL_BAD_DATA, "%s: is empty", file->path);
    if (source->options.detect_lines && source->file == 0 && !detect_lines(source, status))
        return false;
    return !source->options.header || read_header(source, status);
}

/* ---- the list ------------------------------------------------------------------------------------------------ */

static bool add_file(struct source *source, size_t *capacity, const char *path, pil_status *status)
{
    if (!mem_grow(&source->files, capacity, source->count + 1, sizeof(*source->files), status))
        return false;
    struct datafile *file = &source->files[source->count++];
    if (path == STANDARD_INPUT) {
        datafile_descriptor(file, path);
        source->rewindable = false;
        return true;
    }
    if (!datafile_open(file, path, source->scratch, status))
        return false;
    if (source->count > KEEP_OPEN)
        file_reader_pause(&file->reader);
    source->total_bytes += (double)file->size;
    return true;
}

static bool add_paths(struct source *source, const struct source_options *options, pil_status *status)
{
    size_t capacity = 0;
    for (size_t i = 0; i < options->path_count; i++) {
        char *one[1] = { (char *)(uintptr_t)STANDARD_INPUT }, **paths = one;
        size_t count = 1;
        bool standard = strcmp(options->paths[i], "-") == 0;
        if (!standard && !file_glob(options->paths[i], source->arena, &paths, &count, status))
            return false;
        for (size_t p = 0; p < count; p++) {
            if (!add_file(source, &capacity, paths[p], status))
                return false;
        }
    }
    return source->count > 0 || status_fail(status, PIL_INVALID_ARGUMENT, "the input names no file");
}

struct source *source_open(const struct source_options *options, pil_status *status)
{
    struct source *source = mem_new(sizeof(*source), status);
    if (source == NULL)
        return NULL;
    source->options = *options;
    source->options.block_bytes = options->block_bytes > 0 ? MIN(options->block_bytes, (size_t)RECORD_LIMIT) : BLOCK_BYTES;
    source->options.delimiter = options->delimiter != 0 ? options->delimiter : ',';
    source->rewindable = true;
    source->room = MAX(source->options.block_bytes, (size_t)BLOCK_BYTES) + 2 * SLACK;
    source->arena = arena_new(status);
    source->scratch = mem_array(DATAFILE_SCRATCH, 1, status);
    if (source->arena != NULL && source->scratch != NULL && add_paths(source, options, status) && start_file(source, status))
        return source;
    source_close(source);
    return NULL;
}

bool source_is_lines(const struct source *source)
{
    return source->lines;
}

struct slice source_header(const struct source *source)
{
    return source->header;
}

size_t source_file_count(const struct source *source)
{
    return source->count;
}

const char *source_file(const struct source *source, size_t i)
{
    return source->files[i].path;
}

void source_close(struct source *source)
{
    if (source == NULL)
        return;
    for (size_t i = 0; i < source->count; i++)
        datafile_close(&source->files[i]);
    while (source->all != NULL) {
        struct buffer *buffer = source->all;
        source->all = buffer->next;
        mem_free(buffer->bytes);
        mem_free(buffer);
    }
    stream_free(source->stream);
    mem_free(source->files);
    mem_free(source->scratch);
    arena_free(source->arena);
    mem_free(source);
}

/* ---- blocks -------------------------------------------------------------------------------------------------- */

/* Behind a file's last record. */
static bool end_file(struct source *source, pil_status *status)
{
    struct datafile *file = &source->files[source->file];
    if (!datafile_check(file, source->scratch, status))
        return false;
    if (source->file >= KEEP_OPEN)
        file_reader_pause(&file->reader);
    source->passed_bytes += (double)file->size;
    source->file++;
    source->started = false;
    return true;
}

bool source_next(struct source *source, struct block *block, bool *end, pil_status *status)
{
    *block = (struct block){ 0 };
    *end = false;
    while (source->file < source->count) {
        struct view view;
        size_t size;
        if (!source->started && !start_file(source, status))
            return false;
        if (!cut(source, source->options.block_bytes, &view, &size, status))
            return false;
        if (size == 0) {
            if (!end_file(source, status))
                return false;
            continue;
        }
        *block = (struct block){ .data = view.data,
                                 .size = size,
                                 .path = source->files[source->file].path,
                                 .first_line = source->line,
                                 .memory = source->buffer };
        source->buffer->users++;
        pass(source, &view, size);
        return true;
    }
    *end = true;
    return true;
}

bool source_rewind(struct source *source, pil_status *status)
{
    if (!source->rewindable) {
        status_fail(status, PIL_UNSUPPORTED, "standard input can be read only once");
        return status_hint(status, "write it to a file first, or keep its rows with input.cache: true");
    }
    source->file = 0;
    source->started = false;
    source->passed_bytes = 0;
    return true;
}

/* ---- what is known of all ------------------------------------------------------------------------------------ */

uint64_t source_fingerprint(const struct source *source)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < source->count; i++)
        hash = datafile_fingerprint(&source->files[i], hash);
    return hash;
}

double source_progress(const struct source *source)
{
    if (!source->rewindable)
        return -1;
    if (source->file == source->count)
        return 1;
    if (!source->started)
        return source->passed_bytes / source->total_bytes;
    const struct datafile *file = &source->files[source->file];
    size_t left = stream_left(source->stream) + (file->ends.gzip ? 0 : source->end - source->begin);
    return (source->passed_bytes + (double)(file->size - left)) / source->total_bytes;
}
