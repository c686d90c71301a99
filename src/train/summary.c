/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pil_optimize_loss adds to the event file: a list of tags, made once, and their values after a step. The tags are those
 * of tf.contrib.layers.optimize_loss: "OptimizeLoss/global_norm/gradient_norm", and of the variable w
 * "OptimizeLoss/gradient_norm/w_0".
 */
#include "train/internal.h"

enum kind { LEARNING_RATE, LOSS, NORM, CLIPPED_NORM, VARIABLE_NORM };
struct entry {
    enum kind kind;
    int part;
    const char *variable;
};
struct summaries {
    struct arena *arena; /* tags */
    struct entry *entries;
    struct train_summary *list;
    size_t count, entry_capacity, list_capacity;
};

static bool add(struct summaries *summaries, const struct entry *entry, const char *name, const char *what, pil_status *status)
{
    size_t count = summaries->count;
    if (!mem_grow(&summaries->entries, &summaries->entry_capacity, count + 1, sizeof *summaries->entries, status) ||
        !mem_grow(&summaries->list, &summaries->list_capacity, count + 1, sizeof *summaries->list, status))
        return false;
    const char *variable = entry->variable ? entry->variable : "", *end = entry->variable ? "_0" : "";
    const char *tag = arena_format(summaries->arena, status, "%s/%s%s%s", name, what, variable, end);
    summaries->entries[count] = *entry;
    summaries->list[count] = (struct train_summary){ .tag = tag };
    summaries->count += tag != NULL;
    return tag != NULL;
}

static bool add_variables(struct summaries *summaries, const struct updater_part *part, int number, const struct store *store,
                          pil_status *status)
{
    for (size_t i = 0; i < store_count(store); i++) {
        const struct variable *variable = store_at(store, i);
        bool moves = variable->group == part->group && variable->layout != STORE_PLAIN && variable->trainable;
        if (moves &&
            !add(summaries, &(struct entry){ VARIABLE_NORM, number, variable->name }, part->name, "gradient_norm/", status))
            return false;
    }
    return true;
}

static bool add_part(struct summaries *summaries, const struct updater_part *part, int number, const struct store *store,
                     pil_status *status)
{
    unsigned wanted = part->summaries;
    bool norms = wanted & (PIL_SUMMARIZE_GLOBAL_GRADIENT_NORM | PIL_SUMMARIZE_GRADIENT_NORM);
    bool decays = part->optimizer.options.learning_rate.kind != SCHEDULE_CONSTANT;
    struct entry entry = { .part = number };
    static const struct {
        enum kind kind;
        const char *what;
    } all[] = {
        { LEARNING_RATE, "learning_rate" },
        { LOSS, "loss" },
        { NORM, "global_norm/gradient_norm" },
        { CLIPPED_NORM, "global_norm/clipped_gradient_norm" },
    };
    const bool takes[] = { (wanted & PIL_SUMMARIZE_LEARNING_RATE) && decays, wanted & PIL_SUMMARIZE_LOSS, norms,
                           norms && part->clip_gradients > 0 };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        entry.kind = all[i].kind;
        if (takes[i] && !add(summaries, &entry, part->name, all[i].what, status))
            return false;
    }
    return !(wanted & PIL_SUMMARIZE_GRADIENT_NORM) || add_variables(summaries, part, number, store, status);
}

struct summaries *summaries_new(const struct updater_part *parts, int part_count, const struct store *store, pil_status *status)
{
    struct summaries *summaries = mem_new(sizeof *summaries, status);
    if (!summaries)
        return NULL;
    summaries->arena = arena_new(status);
    for (int i = 0; status_ok(status) && i < part_count; i++)
        if (parts[i].optimizer.row && parts[i].name && !add_part(summaries, &parts[i], i, store, status))
            break;
    if (status_ok(status))
        return summaries;
    summaries_free(summaries);
    return NULL;
}

static double value_of(const struct entry *entry, const struct summary_source *source, double loss)
{
    switch (entry->kind) {
    case LEARNING_RATE:
        return source->rate;
    case LOSS:
        return loss;
    case VARIABLE_NORM:
        return clipper_variable_norm(source->clipper, entry->variable);
    default:
        return clipper_norm(source->clipper, entry->kind == CLIPPED_NORM);
    }
}

size_t summaries_list(struct summaries *summaries, const struct summary_source *sources, double loss,
                      const struct train_summary **out)
{
    for (size_t i = 0; i < summaries->count; i++)
        summaries->list[i].value = value_of(&summaries->entries[i], &sources[summaries->entries[i].part], loss);
    *out = summaries->list;
    return summaries->count;
}

void summaries_free(struct summaries *summaries)
{
    if (!summaries)
        return;
    arena_free(summaries->arena);
    mem_free(summaries->entries);
    mem_free(summaries->list);
    mem_free(summaries);
}
