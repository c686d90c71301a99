/* SPDX-License-Identifier: Apache-2.0 */
/* Callbacks of a fit: copied when it begins, called in order, ready-made ones through their kind. */
#include <string.h>

#include "keras/fit.h"

struct callbacks {
    struct arena *arena;
    struct callback_state *items;
    size_t count;
    pil_sequential *model;
};

static const char *kept(struct arena *arena, const char *text, pil_status *status)
{
    return text ? arena_text(arena, text, strlen(text), status) : NULL;
}

static bool copy(struct callbacks *callbacks, const pil_callback *callback, struct callback_state *out, pil_status *status)
{
    struct arena *arena = callbacks->arena;
    *out = (struct callback_state){
        .callback = *callback, .kind = callback_kind(callback->kind), .model = callbacks->model, .arena = arena
    };
    pil_callback_settings *s = &out->callback.settings;
    s->path = kept(arena, s->path, status);
    s->monitor = kept(arena, s->monitor, status);
    s->mode = kept(arena, s->mode, status);
    if (!status_ok(status))
        return false;
    if (callback->kind != PIL_CALLBACK_OWN && !out->kind)
        return status_fail(status, PIL_INVALID_ARGUMENT, "there is no kind of callback number %d", (int)callback->kind);
    return !out->kind || !out->kind->check || out->kind->check(&out->callback, status);
}

struct callbacks *callbacks_new(pil_sequential *model, pil_callbacks list, pil_status *status)
{
    struct callbacks *callbacks = mem_new(sizeof *callbacks, status);
    if (!callbacks)
        return NULL;
    callbacks->model = model;
    callbacks->arena = arena_new(status);
    callbacks->items = callbacks->arena ? mem_array(MAX(list.count, 1), sizeof *callbacks->items, status) : NULL;
    while (callbacks->items && callbacks->count < list.count &&
           copy(callbacks, &list.items[callbacks->count], &callbacks->items[callbacks->count], status))
        callbacks->count++;
    if (status_ok(status))
        return callbacks;
    callbacks_free(callbacks);
    return NULL;
}

static pil_callback_function own_function(const pil_callback *callback, enum moment moment)
{
    const pil_callback_function functions[MOMENTS] = {
        [TRAIN_BEGIN] = callback->on_train_begin,       [TRAIN_END] = callback->on_train_end,
        [EPOCH_BEGIN] = callback->on_epoch_begin,       [EPOCH_END] = callback->on_epoch_end,
        [BATCH_BEGIN] = callback->on_train_batch_begin, [BATCH_END] = callback->on_train_batch_end,
        [TEST_BEGIN] = callback->on_test_begin,         [TEST_END] = callback->on_test_end,
    };
    return functions[moment];
}

bool callbacks_at(struct callbacks *callbacks, enum moment moment, const pil_fit_position *position, pil_logs *logs,
                  pil_status *status)
{
    for (size_t i = 0; i < callbacks->count; i++) {
        struct callback_state *state = &callbacks->items[i];
        bool ok = true;
        if (state->kind) {
            ok = !state->kind->at[moment] || state->kind->at[moment](state, position, logs, status);
        } else {
            pil_callback_function function = own_function(&state->callback, moment);
            ok = !function || function(state->callback.context, state->model, position, logs, status);
        }
        if (!ok || !status_ok(status)) {
            status_fail(status, PIL_CANCELLED, "callback %zu ended the fit", i + 1);
            return false;
        }
    }
    return true;
}

bool callbacks_want_batches(const struct callbacks *callbacks)
{
    for (size_t i = 0; i < callbacks->count; i++) {
        const struct callback_state *state = &callbacks->items[i];
        if (state->kind ? state->kind->at[BATCH_END] != NULL : state->callback.on_train_batch_end != NULL)
            return true;
    }
    return false;
}

void callbacks_free(struct callbacks *callbacks)
{
    for (size_t i = 0; callbacks && i < callbacks->count; i++)
        if (callbacks->items[i].file)
            fclose(callbacks->items[i].file);
    if (callbacks) {
        arena_free(callbacks->arena);
        mem_free(callbacks->items);
    }
    mem_free(callbacks);
}
