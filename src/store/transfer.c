/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notes: "this variable's first values are that tensor of that checkpoint" (an embedding column's ckpt_to_load_from). They are
 * followed once, when a new model gets its first values; a checkpoint in the model's own folder wins over them, as in
 * TensorFlow's Estimator. The values may come from any model, so only shape and type must fit. A warm start is a note on every
 * trainable variable, but for those that do not fit.
 */
#include "store/store.h"

#include <string.h>

#include "format/format.h"

/* The checkpoint opened last: notes mostly name the same one. */
struct source {
    const char *checkpoint; /* as in the note */
    char *prefix;           /* what it stands for */
    struct bundle *bundle;
};

static bool open_source(struct source *source, const char *checkpoint, struct arena *arena, pil_status *status)
{
    if (source->bundle != NULL && strcmp(source->checkpoint, checkpoint) == 0)
        return true;
    bundle_close(source->bundle);
    *source = (struct source){ .checkpoint = checkpoint };
    if (file_is_folder(checkpoint)) {
        source->prefix = checkpoint_latest(checkpoint, arena, status);
        if (source->prefix == NULL)
            return status_fail(status, PIL_NOT_FOUND, "%s: there is no checkpoint in this folder", checkpoint);
    } else {
        source->prefix = arena_text(arena, checkpoint, strlen(checkpoint), status);
    }
    source->bundle = source->prefix != NULL ? bundle_open(source->prefix, status) : NULL;
    return source->bundle != NULL;
}

enum { NEAREST = 3 };

/* Names the tensors that were perhaps meant. */
static void hint_nearest(const struct bundle *bundle, const char *tensor, pil_status *status)
{
    size_t count = bundle_count(bundle);
    const char **names = mem_array(count, sizeof *names, NULL);
    struct text list = { 0 };
    for (size_t i = 0; names != NULL && i < count; i++)
        names[i] = bundle_at(bundle, i)->name;
    for (int n = 0; names != NULL && n < NEAREST; n++) {
        const char *nearest = nearest_word(tensor, names, count);
        size_t kept = 0;
        if (nearest == NULL)
            break;
        text_format(&list, "%s'%s'", n > 0 ? ", " : "", nearest);
        for (size_t i = 0; i < count; i++) {
            if (names[i] != nearest)
                names[kept++] = names[i];
        }
        count = kept;
    }
    if (list.size > 0 && !list.failed)
        status_hint(status, "did you mean %s?", list.data);
    else
        status_hint(status, "pilaster inspect lists the names");
    text_free(&list);
    mem_free(names);
}

/* The tensor a note names; TensorFlow's ":0" is refused as TensorFlow refuses it, with the right name. */
static const struct bundle_entry *find_tensor(const struct source *source, const char *tensor, pil_status *status)
{
    const struct bundle_entry *entry = bundle_find(source->bundle, tensor);
    size_t size = strlen(tensor);
    if (entry != NULL)
        return entry;
    if (size > 2 && strcmp(tensor + size - 2, ":0") == 0) {
        status_fail(status, PIL_INVALID_ARGUMENT, "%s holds no tensor '%s': names in a checkpoint have no ':0'; write '%.*s'",
                    source->prefix, tensor, (int)(size - 2), tensor);
        return NULL;
    }
    status_fail(status, PIL_NOT_FOUND, "%s holds no tensor '%s'", source->prefix, tensor);
    hint_nearest(source->bundle, tensor, status);
    return NULL;
}

static bool follow(const struct variable *variable, struct source *source, struct arena *arena, pil_status *status)
{
    const char *tensor = variable->note.tensor != NULL ? variable->note.tensor : variable->name;
    char there[128], here[128];
    if (!open_source(source, variable->note.checkpoint, arena, status))
        return false;
    const struct bundle_entry *entry = find_tensor(source, tensor, status);
    if (entry == NULL)
        return false;
    if (entry->dtype != variable->dtype)
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: '%s' is %s, but '%s' is %s", source->prefix, tensor,
                           dtype_name(entry->dtype), variable->name, dtype_name(variable->dtype));
    if (!shape_equal(entry->shape, variable->shape))
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: '%s' has the shape %s, but '%s' has %s", source->prefix, tensor,
                           shape_text(entry->shape, there), variable->name, shape_text(variable->shape, here));
    return bundle_read_tensor(source->bundle, entry, &variable->value, status);
}

bool transfer_apply(struct store *store, pil_status *status)
{
    struct source source = { 0 };
    struct arena *arena = arena_new(status);
    bool fine = arena != NULL;
    for (size_t i = 0; fine && i < store_count(store); i++) {
        const struct variable *variable = store_at(store, i);
        if (variable->note.checkpoint == NULL)
            continue;
        fine = follow(variable, &source, arena, status);
        if (!fine)
            status_prefix(status, "variable '%s': ", variable->name);
    }
    bundle_close(source.bundle);
    arena_free(arena);
    return fine;
}

/* Takes one variable over if it fits; says so if not. */
static bool take_over(const struct source *source, const struct variable *variable, int *taken, pil_status *status)
{
    char there[128], here[128];
    const struct bundle_entry *entry = bundle_find(source->bundle, variable->name);
    shape_text(variable->shape, here);
    if (entry != NULL && entry->dtype == variable->dtype && shape_equal(entry->shape, variable->shape)) {
        ++*taken;
        return bundle_read_tensor(source->bundle, entry, &variable->value, status);
    }
    if (entry != NULL)
        log_line(PIL_LOG_WARNING, "%s: %s is %s %s there, %s %s here, and starts anew", source->prefix, variable->name,
                 dtype_name(entry->dtype), shape_text(entry->shape, there), dtype_name(variable->dtype), here);
    else
        log_line(PIL_LOG_WARNING, "%s: %s is not there, %s here, and starts anew", source->prefix, variable->name, here);
    return true;
}

bool transfer_warm_start(struct store *store, const char *checkpoint, pil_status *status)
{
    struct source source = { 0 };
    int taken = 0;
    struct arena *arena = arena_new(status);
    bool fine = arena != NULL && open_source(&source, checkpoint, arena, status);
    for (size_t i = 0; fine && i < store_count(store); i++) {
        const struct variable *variable = store_at(store, i);
        if (variable->trainable)
            fine = take_over(&source, variable, &taken, status);
    }
    if (fine && taken == 0)
        fine = status_fail(status, PIL_INVALID_ARGUMENT, "%s: none of its variables fits this model; nothing to start from",
                           source.prefix);
    bundle_close(source.bundle);
    arena_free(arena);
    return fine;
}
