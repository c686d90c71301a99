/* SPDX-License-Identifier: Apache-2.0 */
/* What people and scripts see: errors, progress, metrics as JSON or as a table. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

static struct progress *current; /* so that a line said meanwhile does not mix with the progress line */

int say_error(const pil_status *status)
{
    if (current)
        progress_clear(current);
    fprintf(stderr, "pilaster: %s\n", status->message);
    switch (status->code) {
    case PIL_OK:
        return EXIT_DONE;
    case PIL_INVALID_ARGUMENT:
    case PIL_UNSUPPORTED:
        return EXIT_USAGE;
    case PIL_CANCELLED:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_FAILED;
    }
}

int say_model_error(const pil_status *status)
{
    int code = say_error(status);
    return status->code == PIL_NO_MEMORY || status->code == PIL_BAD_DATA ? code : EXIT_USAGE;
}

void say(const char *format, ...)
{
    va_list list;
    if (current)
        progress_clear(current);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

bool output_format(const char *word, bool csv, enum output_format *out)
{
    static const char *const words[] = { "json", "table", "csv" };
    for (size_t i = 0; i < COUNT_OF(words) - !csv; i++)
        if (!word || strcmp(word, words[i]) == 0) {
            *out = (enum output_format)i;
            return true;
        }
    fprintf(stderr, "pilaster: --format is json%s, not '%s'\n", csv ? ", csv or table" : " or table", word);
    return false;
}

bool output_text(const struct text *text, pil_status *status)
{
    if (!text_ok(text, status))
        return false;
    if (text->size && fwrite(text->data, 1, text->size, stdout) != text->size)
        return status_fail(status, PIL_IO, "standard output: cannot write the results: %s", strerror(errno));
    return true;
}

bool output_flush(pil_status *status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    return status_fail(status, PIL_IO, "standard output: cannot write the results: %s", strerror(errno));
}

void output_metrics(const pil_result *result, enum output_format format, struct text *out)
{
    if (format == FORMAT_JSON) {
        text_format(out, "{\"global_step\":%lld", (long long)result->global_step);
        for (size_t i = 0; i < result->metric_count; i++) {
            text_format(out, ",\"%s\":", result->metrics[i].name);
            text_json_float(out, (float)result->metrics[i].value);
        }
        text_format(out, "}\n");
        return;
    }
    text_format(out, "  %-24s ", "global_step");
    text_count(out, result->global_step);
    text_format(out, "\n");
    for (size_t i = 0; i < result->metric_count; i++)
        text_format(out, "  %-24s %.6g\n", result->metrics[i].name, result->metrics[i].value);
}

/* ---- progress ---- */

static double now_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void progress_clear(struct progress *progress)
{
    if (progress->shown)
        fprintf(stderr, "\r\033[K");
    progress->shown = false;
}

static int terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

/* " 1,684 of 2,570  66 %  loss 0.4802  812,000 examples/s  0:01 left" */
static void step_line(const struct estimator_event *event, struct text *line)
{
    double rate = event->seconds > 0 ? (double)event->examples / event->seconds : 0;
    text_format(line, " ");
    text_count(line, event->step);
    if (event->last_step) {
        int64_t done = event->step - event->start_step, all = event->last_step - event->start_step;
        double left = done > 0 ? event->seconds / (double)done * (double)(all - done) : 0;
        text_format(line, " of ");
        text_count(line, event->last_step);
        text_format(line, "  %d %%  loss %.4g  ", (int)(100 * event->step / event->last_step), event->loss);
        text_count(line, (int64_t)rate);
        text_format(line, " examples/s  %d:%02d left", (int)left / 60, (int)left % 60);
    } else {
        text_format(line, " steps  loss %.4g  ", event->loss);
        text_count(line, (int64_t)rate);
        text_format(line, " examples/s");
    }
}

static void show_step(struct progress *progress, const struct estimator_event *event)
{
    double now = now_seconds();
    if (now - progress->last < (progress->terminal ? 0.1 : 10.0))
        return;
    progress->last = now;
    struct text line = { 0 };
    step_line(event, &line);
    if (line.data && progress->terminal)
        fprintf(stderr, "\r\033[K%.*s", terminal_width() - 1, line.data);
    else if (line.data)
        fprintf(stderr, "%s\n", line.data);
    progress->shown = progress->terminal;
    fflush(stderr);
    text_free(&line);
}

/* The first few metrics, those people look at first. */
static void show_evaluation(struct progress *progress, const struct estimator_event *event)
{
    static const char *const first[] = { "auc", "average_loss", "accuracy", "prediction/mean", "label/mean" };
    struct text line = { 0 };
    int shown = 0;
    text_format(&line, " step ");
    text_count(&line, event->step);
    text_format(&line, "  eval");
    for (size_t f = 0; f < COUNT_OF(first) && shown < 3; f++)
        for (size_t i = 0; i < event->result->metric_count; i++)
            if (strcmp(event->result->metrics[i].name, first[f]) == 0) {
                text_format(&line, "  %s %.4f", first[f], event->result->metrics[i].value);
                shown++;
            }
    for (size_t i = 0; i < event->result->export_count; i++)
        text_format(&line, "  %s", event->result->exports[i]);
    progress_clear(progress);
    fprintf(stderr, "%s\n", line.data ? line.data : "");
    text_free(&line);
}

static void show_end(struct progress *progress, const struct estimator_event *event)
{
    struct text line = { 0 };
    int64_t steps = event->step - event->start_step;
    text_format(&line, " trained ");
    text_count(&line, steps);
    text_format(&line, " step%s in %.2f s, ", steps == 1 ? "" : "s", event->seconds);
    text_count(&line, event->seconds > 0 ? (int64_t)((double)event->examples / event->seconds) : 0);
    text_format(&line, " examples/s    loss %.4g", event->loss);
    progress_clear(progress);
    fprintf(stderr, "%s\n", line.data ? line.data : "");
    text_free(&line);
}

static void show_headline(const struct progress *progress)
{
    struct text head = { 0 };
    model_headline(progress->model, progress->estimator, &head);
    fprintf(stderr, "%s", head.data ? head.data : "");
    text_free(&head);
}

void progress_event(void *context, const struct estimator_event *event)
{
    struct progress *progress = context;
    current = progress;
    switch (event->kind) {
    case EVENT_START:
        show_headline(progress);
        progress->last = now_seconds();
        break;
    case EVENT_STEP:
        show_step(progress, event);
        break;
    case EVENT_EVALUATED:
        show_evaluation(progress, event);
        break;
    case EVENT_END:
        show_end(progress, event);
        break;
    case EVENT_SAVED:
        break;
    }
}

void progress_end(struct progress *progress)
{
    progress_clear(progress);
    current = NULL;
}

/* Says why a folder is not that of a model file: it may be something else of ours. */
static bool check_model(const char *model_dir, struct arena *arena, pil_status *status)
{
    const char *own = path_join(arena, model_dir, "assets.extra/pilaster", status);
    if (!own)
        return false;
    if (file_is_folder(own)) {
        status_fail(status, PIL_BAD_DATA, "%s is an export that is not complete: it has no assets.extra/pilaster/MANIFEST",
                    model_dir);
        return status_hint(status, "copy it again, or export the model again");
    }
    if (checkpoint_latest(model_dir, arena, status)) {
        status_fail(status, PIL_NOT_FOUND, "%s is the folder of a model without a model.yaml: a C program made it", model_dir);
        return status_hint(status,
                           "that program evaluates it and predicts; its exports (pil_export) are run by pilaster predict EXPORT");
    }
    if (!status_ok(status))
        return false;
    status_fail(status, PIL_NOT_FOUND,
                file_exists(model_dir) ? "%s is not the folder of a model: it has no model.yaml" : "%s: no such folder",
                model_dir);
    return status_hint(status, "train one first: pilaster train MODEL.yaml --model-dir %s", model_dir);
}

/* Says why a folder is not that of a trained model. */
static bool check_trained(const char *model_dir, const char *path, struct arena *arena, bool has_checkpoint, pil_status *status)
{
    if (!file_exists(path))
        return check_model(model_dir, arena, status);
    if (!has_checkpoint && !checkpoint_latest(model_dir, arena, status) && status_ok(status)) {
        status_fail(status, PIL_NOT_FOUND, "%s is not the folder of a trained model: it has no checkpoint", model_dir);
        status_hint(status, "train one first: pilaster train MODEL.yaml --model-dir %s", model_dir);
    }
    return status_ok(status);
}

struct model *load_trained(const char *model_dir, const char *checkpoint, pil_status *status)
{
    struct arena *arena = arena_new(status);
    char *path = arena ? path_join(arena, model_dir, "model.yaml", status) : NULL;
    struct model *model = NULL;
    if (path && check_trained(model_dir, path, arena, checkpoint != NULL, status))
        model = modelfile_load(path, NULL, 0, status);
    if (model) /* the folder may have moved since it was trained */
        model->run.model_dir = model_dir;
    arena_free(arena);
    return model;
}
