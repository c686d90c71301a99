/* SPDX-License-Identifier: Apache-2.0 */
/* store, private: what state.c, checkpoint.c and restore.c share. */
#ifndef PILASTER_STORE_INTERNAL_H
#define PILASTER_STORE_INTERNAL_H

#include "format/format.h"
#include "store/store.h"

/* ---- state.c: the `checkpoint` file ---- */
/* Names as they stand in the file, oldest first; the last is the newest. In the arena. */
struct state {
    char **names;
    size_t count;
};
/* An absent file: no names. */
bool state_read(const char *model_dir, struct arena *arena, struct state *state, pil_status *status);
bool state_write(const char *model_dir, const struct state *state, pil_status *status);
/* The prefix a name stands for: relative ones are relative to model_dir; an absolute one that is not there but has moved with
 * its folder is found in model_dir. */
char *state_prefix(const char *model_dir, const char *name, struct arena *arena, pil_status *status);
bool state_exists(const char *prefix);
/* Removes a checkpoint's files; the index first, so that a half-removed one is none. */
bool state_remove(const char *model_dir, const char *name, pil_status *status);

#endif
