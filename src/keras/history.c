/* SPDX-License-Identifier: Apache-2.0 */
/* The history of a fit: a list of numbers by name. And the logs that they come from. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "keras/fit.h"

const pil_log_value *logs_find(const pil_logs *logs, const char *name)
{
    for (size_t i = 0; logs && name && i < logs->count; i++)
        if (strcmp(logs->values[i].name, name) == 0)
            return &logs->values[i];
    return NULL;
}

double pil_logs_get(const pil_logs *logs, const char *name)
{
    const pil_log_value *value = logs_find(logs, name);
    return value ? value->value : NAN;
}

bool pil_logs_set(pil_logs *logs, const char *name, double value)
{
    const pil_log_value *there = logs_find(logs, name);
    size_t i = there ? (size_t)(there - logs->values) : logs->count;
    if (i == PIL_MAX_LOGS || strlen(name) >= PIL_LOG_NAME)
        return false;
    if (!there)
        snprintf(logs->values[logs->count++].name, PIL_LOG_NAME, "%s", name);
    logs->values[i].value = value;
    return true;
}

struct series {
    double *values;
    size_t count, capacity;
};
struct pil_history {
    size_t epochs, name_count;
    const char *names[PIL_MAX_LOGS];
    char texts[PIL_MAX_LOGS][PIL_LOG_NAME];
    struct series series[PIL_MAX_LOGS];
};

struct pil_history *history_new(pil_status *status)
{
    return mem_new(sizeof(struct pil_history), status);
}

static struct series *find_series(struct pil_history *history, const char *name)
{
    for (size_t i = 0; i < history->name_count; i++)
        if (strcmp(history->names[i], name) == 0)
            return &history->series[i];
    if (history->name_count == PIL_MAX_LOGS)
        return NULL;
    size_t i = history->name_count++;
    snprintf(history->texts[i], PIL_LOG_NAME, "%s", name);
    history->names[i] = history->texts[i];
    return &history->series[i];
}

bool history_add(struct pil_history *history, const pil_logs *logs, pil_status *status)
{
    history->epochs++;
    for (size_t i = 0; i < logs->count; i++) {
        struct series *series = find_series(history, logs->values[i].name);
        if (!series)
            return status_fail(status, PIL_INVALID_ARGUMENT, "a history has at most %d names", PIL_MAX_LOGS);
        if (!mem_grow(&series->values, &series->capacity, series->count + 1, sizeof *series->values, status))
            return false;
        series->values[series->count++] = logs->values[i].value;
    }
    return true;
}

size_t pil_history_epochs(const pil_history *history)
{
    return history ? history->epochs : 0;
}

const double *pil_history_get(const pil_history *history, const char *name, size_t *count)
{
    *count = 0;
    for (size_t i = 0; history && name && i < history->name_count; i++)
        if (strcmp(history->names[i], name) == 0) {
            *count = history->series[i].count;
            return history->series[i].values;
        }
    return NULL;
}

size_t pil_history_names(const pil_history *history, const char *const **names)
{
    *names = history ? history->names : NULL;
    return history ? history->name_count : 0;
}

void history_free(struct pil_history *history)
{
    for (size_t i = 0; history && i < history->name_count; i++)
        mem_free(history->series[i].values);
    mem_free(history);
}
