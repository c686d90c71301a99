/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TensorBoard's event files: TFRecord frames that hold Event messages (tensorflow/core/util/event.proto), the first of them
 * the version. TensorBoard reads a file while it grows, so records are appended and never rewritten.
 *
 * What a failed write left undone stays in the buffer and goes first in the next flush. So a disk that was full for a while
 * leaves no torn record in the middle.
 */
#include "format/format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION_LOG = 7 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2, VALUE_TENSOR = 8, VALUE_METADATA = 9 };
enum { TENSOR_DTYPE = 1, TENSOR_SHAPE = 2, TENSOR_STRING = 8 };
enum { METADATA_PLUGIN = 1, PLUGIN_NAME = 1 };
enum { SESSION_STATUS = 1, SESSION_START = 1 };
enum { BUFFER_SIZE = 64 << 10, HOST_SIZE = 256 };

struct event_writer {
    int fd;
    char *path;
    struct text buffer; /* whole records, but for the first when a write stopped within it */
};

/* Two writers of one process may start in the same second. */
static atomic_uint writers_made;

static char *event_path(const char *folder, const char *suffix, double now, pil_status *status)
{
    char host[HOST_SIZE] = "";
    struct text path = { 0 };
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
        snprintf(host, sizeof host, "localhost");
    unsigned number = atomic_fetch_add(&writers_made, 1);
    bool suffixed = suffix != NULL && suffix[0] != '\0';
    text_format(&path, "%s/events.out.tfevents.%010" PRId64 ".%s.%ld.%u%s%s", folder, (int64_t)now, host, (long)getpid(), number,
                suffixed ? "." : "", suffixed ? suffix : "");
    char *copy = text_ok(&path, status) ? mem_text(path.data, status) : NULL;
    text_free(&path);
    return copy;
}

static bool put_event(struct event_writer *writer, const struct text *event, pil_status *status)
{
    if (!text_ok(event, status))
        return false;
    record_put(&writer->buffer, event->data, event->size);
    if (!text_ok(&writer->buffer, status))
        return false;
    return writer->buffer.size < BUFFER_SIZE || event_flush(writer, status);
}

/* Starts an event; the caller adds what it is about. */
static struct text event_begin(double now, int64_t step)
{
    struct text event = { 0 };
    wire_put_double(&event, EVENT_WALL_TIME, now);
    if (step != 0)
        wire_put_uint(&event, EVENT_STEP, (uint64_t)step);
    return event;
}

struct event_writer *event_writer_new(const char *folder, const char *suffix, double now, pil_status *status)
{
    if (!file_make_folder(folder, status))
        return NULL;
    struct event_writer *writer = mem_new(sizeof *writer, status);
    if (writer == NULL)
        return NULL;
    writer->path = event_path(folder, suffix, now, status);
    writer->fd = writer->path == NULL ? -1 : file_calls()->open(writer->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0666);
    if (writer->fd < 0) {
        if (writer->path != NULL)
            status_fail(status, PIL_IO, "%s: cannot make the event file: %s", writer->path, strerror(errno));
        goto failed;
    }
    struct text event = event_begin(now, 0);
    wire_put_text(&event, EVENT_VERSION, "brain.Event:2");
    bool fine = put_event(writer, &event, status) && event_flush(writer, status);
    text_free(&event);
    if (fine)
        return writer;
    file_calls()->close(writer->fd);
    file_remove(writer->path, NULL);
failed:
    text_free(&writer->buffer);
    mem_free(writer->path);
    mem_free(writer);
    return NULL;
}

/* Ends an event about one value of a summary. */
static bool put_value(struct event_writer *writer, double now, int64_t step, const struct text *value, pil_status *status)
{
    struct text summary = { 0 }, event = event_begin(now, step);
    wire_put_message(&summary, SUMMARY_VALUE, value);
    wire_put_message(&event, EVENT_SUMMARY, &summary);
    bool fine = put_event(writer, &event, status);
    text_free(&summary);
    text_free(&event);
    return fine;
}

bool event_scalar(struct event_writer *writer, double now, int64_t step, const char *tag, float value, pil_status *status)
{
    struct text message = { 0 };
    wire_put_text(&message, VALUE_TAG, tag);
    wire_put_float(&message, VALUE_SIMPLE, value);
    bool fine = put_value(writer, now, step, &message, status);
    text_free(&message);
    return fine;
}

/* A string tensor of shape [] that names the text plugin, as the Estimator writes an evaluation's checkpoint_path. */
bool event_text(struct event_writer *writer, double now, int64_t step, const char *tag, const char *text, pil_status *status)
{
    struct text message = { 0 }, tensor = { 0 }, plugin = { 0 }, metadata = { 0 };
    wire_put_uint(&tensor, TENSOR_DTYPE, DTYPE_STRING);
    wire_put_bytes(&tensor, TENSOR_SHAPE, "", 0);
    wire_put_text(&tensor, TENSOR_STRING, text);
    wire_put_text(&plugin, PLUGIN_NAME, "text");
    wire_put_message(&metadata, METADATA_PLUGIN, &plugin);
    wire_put_text(&message, VALUE_TAG, tag);
    wire_put_message(&message, VALUE_TENSOR, &tensor);
    wire_put_message(&message, VALUE_METADATA, &metadata);
    bool fine = put_value(writer, now, step, &message, status);
    text_free(&metadata);
    text_free(&plugin);
    text_free(&tensor);
    text_free(&message);
    return fine;
}

bool event_session_start(struct event_writer *writer, double now, int64_t step, pil_status *status)
{
    struct text log = { 0 }, event = event_begin(now, step);
    wire_put_uint(&log, SESSION_STATUS, SESSION_START);
    wire_put_message(&event, EVENT_SESSION_LOG, &log);
    bool fine = put_event(writer, &event, status);
    text_free(&log);
    text_free(&event);
    return fine;
}

bool event_flush(struct event_writer *writer, pil_status *status)
{
    struct text *buffer = &writer->buffer;
    size_t written = 0;
    int error = 0;
    while (error == 0 && written < buffer->size) {
        int64_t count = file_calls()->write(writer->fd, buffer->data + written, buffer->size - written);
        if (count > 0)
            written += (size_t)count;
        else if (count == 0 || errno != EINTR)
            error = count == 0 ? ENOSPC : errno;
    }
    if (written > 0) {
        memmove(buffer->data, buffer->data + written, buffer->size - written);
        buffer->size -= written;
    }
    return error == 0 || status_fail(status, PIL_IO, "%s: cannot write: %s", writer->path, strerror(error));
}

bool event_writer_close(struct event_writer *writer, pil_status *status)
{
    if (writer == NULL)
        return true;
    bool fine = event_flush(writer, status);
    if (file_calls()->close(writer->fd) != 0 && fine)
        fine = status_fail(status, PIL_IO, "%s: cannot close: %s", writer->path, strerror(errno));
    text_free(&writer->buffer);
    mem_free(writer->path);
    mem_free(writer);
    return fine;
}
