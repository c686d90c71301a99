/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks in their places in a run: what happens around its steps, as tf.estimator's SessionRunHooks. A hook names the tensors
 * that it wants to see; they are looked up when it asks, and copied, since the memory of a step is the next step's.
 */
#include <math.h>
#include <string.h>

#include "train/internal.h"

struct hook_value {
    float *data;
    size_t capacity, count;
    int64_t step; /* of the run, that they are of; 0: none */
};

bool hook_add(struct pil_run *run, const pil_hook *hook, pil_status *status)
{
    const struct hook_kind *kind = hook_kind(hook->kind);
    const char *wrong = "there is no such kind of hook";
    if (run->hook_count == PIL_MAX_HOOKS)
        return status_fail(status, PIL_INVALID_ARGUMENT, "a run takes at most %d hooks", PIL_MAX_HOOKS);
    if (!kind && hook->kind != PIL_HOOK_OWN)
        return status_fail(status, PIL_INVALID_ARGUMENT, "hook %d: %s", (int)hook->kind, wrong);
    if (kind && kind->check && !kind->check(hook, &wrong))
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: %s", kind->name, wrong);
    struct run_hook *place = &run->hooks[run->hook_count];
    *place = (struct run_hook){ .hook = *hook, .kind = kind, .number = run->hook_count };
    place->timer = (pil_second_or_step_timer){ .every_secs = hook->settings.seconds, .every_steps = hook->settings.steps };
    if (hook->fetches.count && !(place->values = mem_array(hook->fetches.count, sizeof *place->values, status)))
        return false;
    run->hook_count++;
    return true;
}

static pil_hook_function own_function(const pil_hook *hook, enum run_moment moment)
{
    const pil_hook_function functions[RUN_MOMENTS] = {
        [RUN_BEGIN] = hook->begin, [RUN_BEFORE] = hook->before_run, [RUN_AFTER] = hook->after_run, [RUN_END] = hook->end
    };
    return functions[moment];
}

static bool call(struct run_hook *hook, struct pil_run *run, enum run_moment moment, pil_status *status)
{
    if (hook->kind)
        return !hook->kind->at[moment] || hook->kind->at[moment](hook, run, status);
    static const char *const moments[RUN_MOMENTS] = {
        [RUN_BEGIN] = "begin", [RUN_BEFORE] = "before_run", [RUN_AFTER] = "after_run", [RUN_END] = "end"
    };
    pil_hook_function function = own_function(&hook->hook, moment);
    if (!function || function(hook->hook.context, run, status))
        return true;
    /* A hook that fails and forgets to say why must not look like success. */
    if (status_ok(status))
        status_fail(status, PIL_CANCELLED, "%s of hook %d ended the run at step %lld and did not say why", moments[moment],
                    hook->number + 1, (long long)pil_run_step(run));
    return false;
}

bool run_hooks(struct pil_run *run, enum run_moment moment, pil_status *status)
{
    bool ok = true;
    run->moment = moment;
    for (int i = 0; ok && i < run->hook_count; i++) {
        run->calling = &run->hooks[i];
        ok = call(run->calling, run, moment, status);
        if (ok && !status_ok(&run->trouble)) {
            *status = run->trouble;
            ok = false;
        }
    }
    run->calling = NULL;
    return ok;
}

bool run_free(struct pil_run *run, pil_status *status)
{
    bool ok = true;
    for (int i = 0; i < run->hook_count; i++) {
        struct run_hook *hook = &run->hooks[i];
        for (size_t k = 0; hook->values && k < hook->hook.fetches.count; k++)
            mem_free(hook->values[k].data);
        mem_free(hook->values);
        ok = event_writer_close(hook->events, status) && ok;
        *hook = (struct run_hook){ 0 };
    }
    run->hook_count = 0;
    return ok;
}

/* ---- what a hook may ask ------------------------------------------------------------------------------------- */

int64_t pil_run_step(const pil_run *run)
{
    return *run->global_step;
}

double pil_run_loss(const pil_run *run)
{
    return run->steps ? run->loss : (double)NAN;
}

int64_t pil_run_examples(const pil_run *run)
{
    return run->examples;
}

void pil_run_request_stop(pil_run *run)
{
    run->stopping = true;
}

static float number_at(const struct tensor *tensor, int64_t i)
{
    switch (tensor->dtype) {
    case DTYPE_FLOAT32:
        return ((const float *)tensor->data)[i];
    case DTYPE_FLOAT64:
        return (float)((const double *)tensor->data)[i];
    case DTYPE_INT32:
        return (float)((const int32_t *)tensor->data)[i];
    case DTYPE_INT64:
        return (float)((const int64_t *)tensor->data)[i];
    default:
        return ((const uint8_t *)tensor->data)[i] != 0;
    }
}

static bool copy_values(struct hook_value *value, const struct tensor *tensor, pil_status *status)
{
    size_t count = (size_t)tensor->rows * (size_t)tensor->cols, n = 0;
    if (!mem_grow_block(&value->data, &value->capacity, MAX(count, 1), sizeof *value->data, status))
        return false;
    for (int64_t r = 0; r < tensor->rows; r++)
        for (int64_t c = 0; c < tensor->cols; c++)
            value->data[n++] = number_at(tensor, r * tensor->ld + c);
    value->count = count;
    return true;
}

const float *pil_run_value(pil_run *run, const char *name, size_t *count)
{
    struct run_hook *hook = run->calling;
    size_t i = 0;
    *count = 0;
    if (!hook || !run->steps)
        return NULL;
    while (i < hook->hook.fetches.count && strcmp(hook->hook.fetches.items[i].name, name) != 0)
        i++;
    if (i == hook->hook.fetches.count)
        return NULL;
    struct hook_value *value = &hook->values[i];
    if (run->moment == RUN_AFTER && value->step != run->steps && run->value) {
        const struct tensor *tensor = run->value(run->value_context, hook->hook.fetches.items[i].tensor);
        value->step = tensor && copy_values(value, tensor, &run->trouble) ? run->steps : 0;
    }
    *count = value->step ? value->count : 0;
    return value->step ? value->data : NULL;
}
