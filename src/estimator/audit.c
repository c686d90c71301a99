/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gradient audit: a model that trains, and yet not all of it, is the mistake that nobody sees. Trainable variables that no
 * gradient reaches are known from the graph, before the first step; behind it the bits tell which variables stood still although
 * a gradient reaches them, and whether one moved that must not.
 */
#include <string.h>

#include "estimator/internal.h"

static uint64_t hash_of(const struct variable *variable)
{
    const struct tensor *value = &variable->value;
    uint64_t hash = 0;
    for (int64_t r = 0; r < value->rows; r++)
        hash = fingerprint_cat64(
            hash, fingerprint64((const char *)(tensor_floats(value) + r * value->ld), (size_t)value->cols * sizeof(float)));
    return hash;
}

/* Batch norm's averages move without being trained. */
static bool may_move(const struct pil_graph *graph, const char *name)
{
    for (size_t i = 0; i < graph_variable_count(graph); i++) {
        const struct graph_variable *variable = graph_variable_at(graph, i);
        if (strcmp(variable->name, name) == 0)
            return variable->trainable || graph_is_moving(graph, variable->tensor);
    }
    return false;
}

static void add_name(struct text *list, size_t *count, const char *name)
{
    enum { MOST_NAMES = 5 };
    if (*count < MOST_NAMES)
        text_format(list, "%s%s", *count ? ", " : "", name);
    else if (*count == MOST_NAMES)
        text_append_text(list, ", ...");
    ++*count;
}

/* A finding: an error where the config is strict, else a line in the log. */
static bool found(const struct pil_estimator *estimator, const struct text *list, size_t count, const char *one, const char *many,
                  pil_status *status)
{
    if (count == 0)
        return true;
    const char *what = count == 1 ? one : many;
    if (!estimator->config.strict) {
        log_line(PIL_LOG_WARNING, "gradient audit: %s: %s", what, list->data ? list->data : "");
        return true;
    }
    status_fail(status, PIL_INVALID_ARGUMENT, "gradient audit: %s: %s", what, list->data ? list->data : "");
    return status_hint(status, "training is strict: without `strict` this is a warning");
}

bool audit_graph(const struct pil_estimator *estimator, const struct mode_run *run, pil_status *status)
{
    const char **names;
    struct text list = { 0 };
    size_t listed = 0, count = graph_without_gradient(run->graph, &names);
    for (size_t i = 0; i < count; i++)
        add_name(&list, &listed, names[i]);
    bool ok = found(estimator, &list, listed, "no gradient reaches a trainable variable",
                    "no gradient reaches trainable variables", status);
    text_free(&list);
    return ok;
}

bool audit_begin(struct audit *audit, const struct store *store, pil_status *status)
{
    audit->count = store_count(store);
    audit->hashes = mem_array(MAX(audit->count, 1), sizeof *audit->hashes, status);
    for (size_t i = 0; audit->hashes && i < audit->count; i++)
        if (store_at(store, i)->layout != STORE_PLAIN)
            audit->hashes[i] = hash_of(store_at(store, i));
    return audit->hashes != NULL;
}

bool audit_step(struct audit *audit, const struct pil_estimator *estimator, const struct mode_run *run, pil_status *status)
{
    struct text moved = { 0 }, still = { 0 };
    size_t moved_count = 0, still_count = 0, trained = 0;
    for (size_t i = 0; audit->hashes && i < audit->count; i++) {
        const struct variable *variable = store_at(estimator->store, i);
        if (variable->layout == STORE_PLAIN)
            continue;
        bool same = hash_of(variable) == audit->hashes[i];
        if (!same && !may_move(run->graph, variable->name))
            add_name(&moved, &moved_count, variable->name);
        if (same && variable->trainable && train_op_moves(run->spec.train_op, variable->name))
            add_name(&still, &still_count, variable->name);
        trained += variable->trainable && !same;
    }
    mem_free(audit->hashes);
    audit->hashes = NULL;
    log_line(PIL_LOG_DEBUG, "gradient audit: %zu trainable variables moved in the first step", trained);
    if (still_count)
        log_line(PIL_LOG_INFO, "gradient audit: the first step left %s as %s: %s", still_count == 1 ? "a variable" : "variables",
                 still_count == 1 ? "it was" : "they were", still.data ? still.data : "");
    bool ok = found(estimator, &moved, moved_count, "a variable moved that is not trainable",
                    "variables moved that are not trainable", status);
    text_free(&moved);
    text_free(&still);
    return ok;
}

void audit_free(struct audit *audit)
{
    mem_free(audit->hashes);
    audit->hashes = NULL;
}
