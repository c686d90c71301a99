/* SPDX-License-Identifier: Apache-2.0 */
/* Whole folders: given their name when all in them is on the disk, and taken away with what is in them. */
#include <errno.h>
#include <unistd.h>

#include "base/internal.h"

bool file_rename(const char *from, const char *to, pil_status *status)
{
    if (file_calls()->rename(from, to) != 0)
        return file_fail(status, to, "take the name", errno);
    return file_sync_folder_of(to, status);
}

static bool remove_all(const char *path, int depth, struct arena *arena, pil_status *status)
{
    enum { MOST_NESTED = 32 };
    char **names;
    size_t count;

    /* A link is removed, never followed: unlink refuses folders, and only those are looked into. */
    if (file_calls()->unlink(path) == 0 || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return file_fail(status, path, "remove", errno);
    if (depth == MOST_NESTED)
        return status_fail(status, PIL_IO, "%s: cannot remove: folders are nested too deep", path);
    if (!file_list(path, arena, &names, &count, status))
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *inner = path_join(arena, path, names[i], status);
        if (!inner || !remove_all(inner, depth + 1, arena, status))
            return false;
    }
    return rmdir(path) == 0 || file_fail(status, path, "remove", errno);
}

bool file_remove_folder(const char *path, pil_status *status)
{
    struct arena *arena = arena_new(status);
    bool done = arena && remove_all(path, 0, arena, status);

    arena_free(arena);
    return done;
}
