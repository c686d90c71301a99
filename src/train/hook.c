/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: what happens around the steps of the loop, as tf.estimator's SessionRunHooks. */
#include "train/train.h"

bool hook_add(struct loop *loop, const struct hook *hook, pil_status *status)
{
    if (loop->hook_count == LOOP_MAX_HOOKS)
        return status_fail(status, PIL_INVALID_ARGUMENT, "a training loop takes at most %d hooks", LOOP_MAX_HOOKS);
    loop->hooks[loop->hook_count++] = *hook;
    return true;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}
