/* SPDX-License-Identifier: Apache-2.0 */
/* What requests bring, as a serving input function says it, and the small values of the public header. */
#include <stdio.h>
#include <string.h>

#include "export/internal.h"

const char *const receiver_type_names[] = {
    [PIL_RECEIVE_FLOATS] = "float32", [PIL_RECEIVE_INTS] = "int64", [PIL_RECEIVE_STRINGS] = "string", NULL
};

enum field_type receiver_field_type(pil_receiver_type type)
{
    return type == PIL_RECEIVE_FLOATS ? FIELD_FLOAT : type == PIL_RECEIVE_INTS ? FIELD_INT64 : FIELD_STRING;
}

/* ---- receivers ----------------------------------------------------------------------------------------------- */

struct pil_receivers {
    struct arena *arena;
    struct receiver *items;
    size_t count, capacity;
    pil_status status; /* the first error */
};

struct pil_receivers *receivers_new(pil_status *status)
{
    struct pil_receivers *receivers = mem_new(sizeof *receivers, status);
    if (!receivers)
        return NULL;
    receivers->arena = arena_new(status);
    if (receivers->arena)
        return receivers;
    mem_free(receivers);
    return NULL;
}

static bool check_receiver(const struct pil_receivers *receivers, const char *name, pil_receiver_type type, int64_t width,
                           pil_status *status)
{
    if (!name || !name[0])
        return status_fail(status, PIL_INVALID_ARGUMENT, "pil_receive: a feature has no name");
    if ((int)type < 0 || type > PIL_RECEIVE_STRINGS)
        return status_fail(status, PIL_INVALID_ARGUMENT, "pil_receive: the feature '%s' has the type number %d, which is none",
                           name, (int)type);
    if (width < 0 || width > INT32_MAX)
        return status_fail(status, PIL_INVALID_ARGUMENT, "pil_receive: the feature '%s' has %lld values a row", name,
                           (long long)width);
    for (size_t i = 0; i < receivers->count; i++)
        if (strcmp(receivers->items[i].name, name) == 0)
            return status_fail(status, PIL_INVALID_ARGUMENT, "pil_receive: the feature '%s' is received twice", name);
    return true;
}

void pil_receive(pil_receivers *receivers, const char *name, pil_receiver_type type, int64_t width)
{
    pil_status *status = receivers ? &receivers->status : NULL;
    if (!receivers || !status_ok(status) || !check_receiver(receivers, name, type, width, status) ||
        !mem_grow(&receivers->items, &receivers->capacity, receivers->count + 1, sizeof *receivers->items, status))
        return;
    const char *copy = arena_text(receivers->arena, name, strlen(name), status);
    if (copy)
        receivers->items[receivers->count++] = (struct receiver){ copy, type, width };
}

void receivers_fail(struct pil_receivers *receivers, const pil_status *reason)
{
    if (status_ok(&receivers->status))
        receivers->status = *reason;
}

const pil_status *receivers_status(const struct pil_receivers *receivers)
{
    return &receivers->status;
}

size_t receivers_count(const struct pil_receivers *receivers)
{
    return receivers->count;
}

const struct receiver *receivers_at(const struct pil_receivers *receivers, size_t i)
{
    return &receivers->items[i];
}

void receivers_free(struct pil_receivers *receivers)
{
    if (!receivers)
        return;
    arena_free(receivers->arena);
    mem_free(receivers->items);
    mem_free(receivers);
}

/* May an array of the request's type stand for the field? Integers are numbers too. */
static bool fits_type(enum field_type field, enum field_type received)
{
    return field == received || (field == FIELD_FLOAT && received == FIELD_INT64);
}

bool receivers_fit(const struct program *program, const struct receiver *receivers, size_t count, pil_status *status)
{
    size_t field_count;
    const struct field_spec *fields = program_fields(program, &field_count);
    for (size_t f = 0; f < field_count; f++) {
        const struct receiver *found = NULL;
        for (size_t i = 0; i < count && !found; i++)
            if (strcmp(receivers[i].name, fields[f].name) == 0)
                found = &receivers[i];
        if (!found && !fields[f].required)
            continue;
        if (!found) {
            status_fail(status, PIL_INVALID_ARGUMENT, "the model reads the feature '%s', which requests do not bring",
                        fields[f].name);
            return status_hint(status, "receive it in the serving input function: pil_receive(receivers, \"%s\", ...)",
                               fields[f].name);
        }
        if (!fields[f].required)
            continue; /* a label: nobody reads it */
        if (!fits_type(fields[f].type, receiver_field_type(found->type)))
            return status_fail(status, PIL_INVALID_ARGUMENT, "the model reads the feature '%s' as %s, requests bring %s",
                               found->name, field_type_name(fields[f].type), receiver_type_names[found->type]);
        if (!fields[f].separator && found->width != 1)
            return status_fail(status, PIL_INVALID_ARGUMENT,
                               "the model reads one value a row of the feature '%s', requests bring %s", found->name,
                               found->width ? "several" : "any number of them");
    }
    return true;
}

/* ---- public values ------------------------------------------------------------------------------------------- */

pil_export_output pil_regression_output(pil_tensor *value)
{
    return (pil_export_output){ .kind = PIL_EXPORT_REGRESS, .value = value };
}

pil_export_output pil_classification_output(pil_tensor *scores, const char *const *words, size_t word_count)
{
    return (
        pil_export_output){ .kind = PIL_EXPORT_CLASSIFY, .value = scores, .words = words, .word_count = words ? word_count : 0 };
}

pil_export_output pil_predict_output(pil_dict outputs)
{
    return (pil_export_output){ .kind = PIL_EXPORT_PREDICT, .outputs = outputs };
}

/* The graph is not const here, only what tells of it. */
static pil_status *status_of(struct pil_graph *graph)
{
    return (pil_status *)(uintptr_t)graph_status(graph);
}

static bool copy_export(struct pil_graph *graph, const pil_named_export *from, pil_named_export *to)
{
    struct arena *arena = graph_arena(graph);
    pil_status *status = status_of(graph);
    const char **words = arena_alloc(arena, MAX(from->output.word_count, 1) * sizeof *words, status);
    *to = *from;
    to->name = arena_text(arena, from->name, strlen(from->name), status);
    for (size_t i = 0; words && i < from->output.word_count; i++) {
        if (!from->output.words[i]) {
            graph_fail(graph, "word %zu of the export output '%s' is NULL", i + 1, from->name);
            return false;
        }
        words[i] = arena_text(arena, from->output.words[i], strlen(from->output.words[i]), status);
    }
    to->output.words = from->output.words ? words : NULL;
    return status_ok(status);
}

pil_exports pil_exports_make(pil_graph *graph, const pil_named_export *items, size_t count)
{
    if (!graph || !status_ok(graph_status(graph)) || !items || count > SIZE_MAX / sizeof *items)
        return (pil_exports){ 0 };
    pil_named_export *copy = arena_alloc(graph_arena(graph), MAX(count, 1) * sizeof *copy, status_of(graph));
    for (size_t i = 0; copy && i < count; i++) {
        if (!items[i].name || !items[i].name[0]) {
            graph_fail(graph, "export output %zu has no name", i + 1);
            return (pil_exports){ 0 };
        }
        if (!copy_export(graph, &items[i], &copy[i]))
            return (pil_exports){ 0 };
    }
    return (pil_exports){ copy, copy ? count : 0 };
}

pil_latest_exporter_options pil_latest_exporter_options_default(void)
{
    return (pil_latest_exporter_options){ PIL_LATEST_EXPORTER_DEFAULTS };
}

pil_exporter pil_latest_exporter_make(const char *name, const pil_latest_exporter_options *options)
{
    return (pil_exporter){ .kind = PIL_EXPORTER_LATEST,
                           .name = name,
                           .serving_input_fn = options->serving_input_fn,
                           .exports_to_keep = options->exports_to_keep };
}
