/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving. What lies in the folder while a checkpoint of step 30 is written and the `checkpoint` file names 10 and 20:
 *
 *     files written beside their names | data, index get their names | `checkpoint` names 30 | those beyond `keep` removed
 *     ------------------------ 20 is the newest ----------------------|------------- 30 is the newest --------------------
 *
 * A checkpoint that is named is never written over: its two files could not change at one moment. Where the step is named
 * already (a run that went on from it and saves it again), it is first written under another name and that one named instead,
 * then written under its own. So at every moment the newest named checkpoint is whole.
 *
 * Variables are streamed in order of their names; a strided one passes through one buffer, so a save needs no memory that
 * grows with the model.
 */
#include "store/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4 << 20 }; /* bytes written at a time */

/* ---- one bundle ---------------------------------------------------------------------------------------------- */

/* A tensor of the checkpoint: a variable's values (slot -1), one of its slots, or an extra (variable NULL). */
struct item {
    const char *name;
    const struct variable *variable;
    int slot;
    const struct checkpoint_extra *extra;
};

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

static struct item *list_items(const struct store *store, const struct checkpoint_extra *extras, size_t extra_count,
                               size_t *count, pil_status *status)
{
    struct item *items = mem_array(store_count(store) * (1 + STORE_MAX_SLOTS) + extra_count, sizeof *items, status);
    *count = 0;
    if (items == NULL)
        return NULL;
    for (size_t i = 0; i < store_count(store); i++) {
        const struct variable *variable = store_at(store, i);
        items[(*count)++] = (struct item){ .name = variable->name, .variable = variable, .slot = -1 };
        for (int k = 0; k < variable->slot_count; k++)
            items[(*count)++] = (struct item){ .name = variable->slots[k].name, .variable = variable, .slot = k };
    }
    for (size_t i = 0; i < extra_count; i++)
        items[(*count)++] = (struct item){ .name = extras[i].name, .extra = &extras[i] };
    qsort(items, *count, sizeof *items, compare_items);
    return items;
}

static bool write_bytes(struct bundle_writer *writer, const void *data, size_t bytes, pil_status *status)
{
    for (size_t at = 0; at < bytes; at += BLOCK) {
        if (!bundle_data(writer, (const char *)data + at, MIN(bytes - at, (size_t)BLOCK), status))
            return false;
    }
    return true;
}

/* Rows without their pads. `buffer` holds BLOCK bytes. */
static bool write_rows(struct bundle_writer *writer, struct tensor values, void *buffer, pil_status *status)
{
    size_t item = dtype_size(values.dtype), row = (size_t)values.cols * item;
    int64_t rows = values.rows;
    if (values.ld == values.cols || rows == 1)
        return write_bytes(writer, values.data, (size_t)rows * row, status);
    int64_t group = row < BLOCK ? BLOCK / (int64_t)MAX(row, 1) : 1;
    for (int64_t first = 0; first < rows; first += group) {
        struct tensor part = values;
        part.data = (char *)values.data + (size_t)(first * values.ld) * item;
        part.rows = MIN(group, rows - first);
        const void *data = part.data; /* a row wider than the buffer goes as it lies */
        if (row < BLOCK) {
            tensor_pack(&part, buffer);
            data = buffer;
        }
        if (!write_bytes(writer, data, (size_t)part.rows * row, status))
            return false;
    }
    return true;
}

static bool write_item(struct bundle_writer *writer, const struct item *item, void *buffer, pil_status *status)
{
    if (item->extra != NULL)
        return bundle_begin(writer, item->name, DTYPE_UINT8, SHAPE((int64_t)item->extra->bytes), status) &&
               write_bytes(writer, item->extra->data, item->extra->bytes, status) && bundle_end(writer, status);
    const struct variable *variable = item->variable;
    struct tensor values = item->slot < 0 ? variable->value : store_slot_view(variable, item->slot);
    return bundle_begin(writer, item->name, variable->dtype, variable->shape, status) &&
           write_rows(writer, values, buffer, status) && bundle_end(writer, status);
}

static bool write_bundle(const char *prefix, const struct item *items, size_t count, pil_status *status)
{
    void *buffer = mem_array(BLOCK, 1, status);
    struct bundle_writer *writer = buffer != NULL ? bundle_writer_new(prefix, status) : NULL;
    bool fine = writer != NULL;
    for (size_t i = 0; fine && i < count; i++)
        fine = write_item(writer, &items[i], buffer, status);
    mem_free(buffer);
    if (fine)
        return bundle_writer_finish(writer, status);
    bundle_writer_abandon(writer);
    return false;
}

bool checkpoint_export(const struct store *store, const char *prefix, const char *const *names, size_t count, pil_status *status)
{
    struct item *items = mem_array(MAX(count, 1), sizeof *items, status);
    bool fine = items != NULL;
    for (size_t i = 0; fine && i < count; i++) {
        const struct variable *variable = store_find(store, names[i]);
        fine = variable != NULL || status_fail(status, PIL_INTERNAL, "the store has no variable '%s'", names[i]);
        if (fine)
            items[i] = (struct item){ .name = variable->name, .variable = variable, .slot = -1 };
    }
    if (fine)
        qsort(items, count, sizeof *items, compare_items);
    fine = fine && write_bundle(prefix, items, count, status);
    mem_free(items);
    return fine;
}

/* ---- the folder ---------------------------------------------------------------------------------------------- */

struct save {
    const char *model_dir;
    struct arena *arena;
    struct item *items;
    size_t count;
    struct checkpoint_keep *keep;
    struct state named;   /* what the `checkpoint` file names, oldest first; has room for one more */
    struct state removed; /* what goes away at the end */
};

/* What is named and still exists. A checkpoint in the folder itself is called by its last part, however it was named. */
static bool read_named(struct save *save, pil_status *status)
{
    struct state all;
    struct arena *arena = save->arena;
    if (!state_read(save->model_dir, arena, &all, status))
        return false;
    save->named.names = arena_alloc(arena, (all.count + 1) * sizeof(char *), status);
    save->removed.names = arena_alloc(arena, (all.count + 2) * sizeof(char *), status);
    for (size_t i = 0; status_ok(status) && i < all.count; i++) {
        const char *base = path_base(all.names[i]);
        const char *here = path_join(arena, save->model_dir, base, status);
        const char *prefix = state_prefix(save->model_dir, all.names[i], arena, status);
        if (here != NULL && prefix != NULL && state_exists(prefix))
            save->named.names[save->named.count++] = state_exists(here) ? all.names[i] + (base - all.names[i]) : all.names[i];
    }
    return status_ok(status);
}

static bool drop_name(struct state *state, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < state->count; i++) {
        if (strcmp(state->names[i], name) != 0)
            state->names[kept++] = state->names[i];
    }
    bool dropped = kept < state->count;
    state->count = kept;
    return dropped;
}

/* One that is not among the newest any more: does it stay for good? */
static bool stays(struct save *save, const char *name, pil_status *status)
{
    struct checkpoint_keep *keep = save->keep;
    char *prefix = keep->every_n_hours > 0 ? state_prefix(save->model_dir, name, save->arena, status) : NULL;
    char *index = prefix ? arena_format(save->arena, status, "%s.index", prefix) : NULL;
    if (index == NULL || file_written(index) <= keep->next)
        return false;
    keep->next += keep->every_n_hours * 3600;
    return true;
}

/* Writes a bundle and names it, the newest now, in place of `instead`. */
static bool write_named(struct save *save, char *name, const char *instead, pil_status *status)
{
    struct state *named = &save->named;
    const char *prefix = path_join(save->arena, save->model_dir, name, status);
    if (prefix == NULL || !write_bundle(prefix, save->items, save->count, status))
        return false;
    drop_name(named, instead);
    named->names[named->count++] = name;
    while (save->keep != NULL && save->keep->newest > 0 && named->count > (size_t)save->keep->newest) {
        if (!stays(save, named->names[0], status))
            save->removed.names[save->removed.count++] = named->names[0];
        memmove(named->names, named->names + 1, --named->count * sizeof(char *));
    }
    return state_write(save->model_dir, named, status);
}

/* Removes what is too much, and what a run that was killed left. The new checkpoint is safe by now, so that a failure is told
 * and does not fail the save. */
static void clean_up(struct save *save)
{
    pil_status status = { 0 };
    char **names;
    size_t count = 0;
    for (size_t i = 0; i < save->removed.count; i++) {
        if (strchr(save->removed.names[i], '/') == NULL) /* others' folders are theirs */
            state_remove(save->model_dir, save->removed.names[i], &status);
    }
    if (!file_list(save->model_dir, save->arena, &names, &count, &status))
        count = 0;
    for (size_t i = 0; i < count; i++) {
        bool ours = strncmp(names[i], "model.ckpt-", 11) == 0 || strncmp(names[i], "checkpoint.", 11) == 0 ||
                    strncmp(names[i], "model.yaml.", 11) == 0;
        const char *path =
            ours && strstr(names[i], ".tmp-") != NULL ? path_join(save->arena, save->model_dir, names[i], &status) : NULL;
        if (path != NULL)
            file_remove(path, &status);
    }
    if (!status_ok(&status))
        log_line(PIL_LOG_WARNING, "%s: could not clean up after saving: %s", save->model_dir, status.message);
}

bool checkpoint_save(const struct store *store, const char *model_dir, int64_t step, struct checkpoint_keep *keep,
                     const struct checkpoint_extra *extras, size_t extra_count, pil_status *status)
{
    bool fine = false;
    struct save save = { .model_dir = model_dir, .keep = keep, .arena = arena_new(status) };
    save.items = list_items(store, extras, extra_count, &save.count, status);
    if (save.arena == NULL || save.items == NULL || !file_make_folder(model_dir, status) || !read_named(&save, status))
        goto done;
    char *name = arena_format(save.arena, status, "model.ckpt-%" PRId64, step);
    char *again = arena_format(save.arena, status, "model.ckpt-%" PRId64 ".again", step);
    if (name == NULL || again == NULL)
        goto done;
    bool is_named = drop_name(&save.named, name);
    if (is_named && !write_named(&save, again, name, status))
        goto done;
    fine = write_named(&save, name, again, status);
    if (fine) {
        save.removed.names[save.removed.count++] = again;
        clean_up(&save);
    }
done:
    mem_free(save.items);
    arena_free(save.arena);
    return fine;
}

struct file_lock *checkpoint_lock(const char *model_dir, pil_status *status)
{
    struct text path = { 0 };
    struct file_lock *lock = NULL;
    pil_status reason = { 0 };
    text_format(&path, "%s/pilaster.lock", model_dir);
    if (!text_ok(&path, status) || !file_make_folder(model_dir, status))
        goto done;
    lock = file_lock_new(path.data, &reason);
    if (lock == NULL && reason.code == PIL_BUSY) {
        status_fail(status, PIL_BUSY, "%s: another training runs in this folder", model_dir);
        status_hint(status, "%.*s", (int)strcspn(reason.message, "\n"), reason.message); /* which process */
    } else if (lock == NULL) {
        status_fail(status, reason.code, "%s", reason.message);
    }
done:
    text_free(&path);
    return lock;
}
