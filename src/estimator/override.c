/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `--set a.b.c=value`: a value put into the tree of a model file before anything reads it, so that it is checked as if it stood
 * in the file. The value is YAML: 32, [64, 32], {adagrad: {learning_rate: 0.1}}, null. Its place in errors is "--set".
 *
 * Nodes on the way are copied, since an alias may let two places of the file share one.
 */
#include <string.h>

#include "estimator/modelfile.h"

static const char PLACE[] = "--set";

/* The text of one --set, cut up. */
struct override {
    const char *text;    /* all of it, for errors */
    struct slice path;   /* what is left of it */
    struct value *value; /* NULL kind: none */
    struct arena *arena;
};

static bool fail_override(const struct override *override, pil_status *status, const char *what)
{
    return status_fail(status, PIL_INVALID_ARGUMENT, "%s %.200s: %s", PLACE, override->text, what);
}

static struct value *new_node(enum value_kind kind, struct slice text, struct arena *arena, pil_status *status)
{
    struct value *node = arena_alloc(arena, sizeof *node, status);
    const char *copy = node && kind == VALUE_SCALAR ? arena_text(arena, text.data, text.size, status) : "";

    if (!node || !copy)
        return NULL;
    *node = (struct value){ .kind = kind, .file = PLACE, .text = slice_of(copy, kind == VALUE_SCALAR ? text.size : 0) };
    return node;
}

/* The node itself with lists of its own, one entry longer if `more`. Nothing at all becomes an empty map. */
static struct value *copy_node(const struct value *node, bool more, struct arena *arena, pil_status *status)
{
    struct value *copy = node && !value_is_null(node) ? arena_alloc(arena, sizeof *copy, status)
                                                      : new_node(VALUE_MAP, slice_text(""), arena, status);
    size_t room;

    if (!copy)
        return NULL;
    if (node && !value_is_null(node))
        *copy = *node;
    room = copy->count + (more ? 1 : 0);
    copy->items = arena_alloc(arena, MAX(room, 1) * sizeof *copy->items, status);
    copy->keys = arena_alloc(arena, MAX(room, 1) * sizeof *copy->keys, status);
    if (!copy->items || !copy->keys)
        return NULL;
    for (size_t i = 0; i < copy->count; i++) {
        copy->items[i] = node->items[i];
        copy->keys[i] = copy->kind == VALUE_MAP ? node->keys[i] : NULL;
    }
    return copy;
}

/* Where `name` is in a list or a map; the count where a map has no such key; SIZE_MAX after an error. */
static size_t find_item(const struct override *override, const struct value *node, struct slice name, pil_status *status)
{
    int64_t number = -1;

    if (node->kind == VALUE_LIST) {
        if (parse_int64(name, &number) && number >= 0 && (uint64_t)number < node->count)
            return (size_t)number;
        status_fail(status, PIL_INVALID_ARGUMENT, "%s %.200s: '%.*s' is no item of a list of %zu, which are numbered from 0",
                    PLACE, override->text, (int)MIN(name.size, 80), name.data, node->count);
        return SIZE_MAX;
    }
    for (size_t i = 0; i < node->count; i++)
        if (slice_equal(node->keys[i]->text, name))
            return i;
    return node->count;
}

/* The first word of what is left of the path. */
static struct slice next_word(struct override *override)
{
    const char *dot = memchr(override->path.data, '.', override->path.size);
    size_t size = dot ? (size_t)(dot - override->path.data) : override->path.size;
    struct slice word = slice_of(override->path.data, size);

    size = MIN(size + 1, override->path.size);
    override->path = slice_of(override->path.data + size, override->path.size - size);
    return word;
}

/* Walks down the path, copying; *slot is where the node hangs. */
static bool put(struct override *override, struct value **slot, pil_status *status)
{
    while (override->path.size > 0) {
        struct slice name = next_word(override);
        const struct value *node = *slot;
        struct value *copy;
        size_t at;
        if (name.size == 0)
            return fail_override(override, status, "a name is missing beside a dot");
        if (node && node->kind == VALUE_SCALAR && !value_is_null(node)) {
            status_fail(status, PIL_INVALID_ARGUMENT, "%s %.200s: '%.*s' cannot stand below the value '%.80s'", PLACE,
                        override->text, (int)MIN(name.size, 80), name.data, node->text.data);
            return status_hint(status, "set the value above it as a whole: %s %.*s={...}", PLACE,
                               (int)MIN((size_t)(name.data - override->text), 200) - 1, override->text);
        }
        copy = copy_node(node, true, override->arena, status);
        at = copy ? find_item(override, copy, name, status) : SIZE_MAX;
        if (at == SIZE_MAX)
            return false;
        if (at == copy->count) {
            copy->keys[at] = new_node(VALUE_SCALAR, name, override->arena, status);
            copy->items[at] = new_node(VALUE_NULL, slice_text(""), override->arena, status);
            if (!copy->keys[at] || !copy->items[at])
                return false;
            copy->count++;
        }
        *slot = copy;
        slot = &copy->items[at];
    }
    *slot = override->value;
    return true;
}

static bool apply(struct value **root, const char *set, struct arena *arena, pil_status *status)
{
    struct override override = { .text = set, .arena = arena };
    const char *equals = strchr(set, '=');

    if (!equals || equals == set) {
        status_fail(status, PIL_INVALID_ARGUMENT, "%s takes key.path=value, not '%.200s'", PLACE, set);
        return status_hint(status, "as in %s params.dnn_hidden_units=[32]", PLACE);
    }
    override.path = slice_of(set, (size_t)(equals - set));
    if (override.path.data[override.path.size - 1] == '.')
        return fail_override(&override, status, "a name is missing beside a dot");
    override.value = yaml_read(slice_text(equals + 1), PLACE, false, arena, status);
    if (!override.value && status_ok(status))
        override.value = new_node(VALUE_NULL, slice_text(""), arena, status);
    return override.value && put(&override, root, status);
}

bool overrides_apply(struct value **root, const char *const *sets, size_t count, struct arena *arena, pil_status *status)
{
    for (size_t i = 0; i < count; i++)
        if (!apply(root, sets[i], arena, status))
            return false;
    return true;
}
