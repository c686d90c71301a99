/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML to a tree of values, by libyaml's events: so every value has its line and column, and a hostile text is stopped where it
 * becomes one. Depth, size, keys and the number of values are bounded; aliases count with all that they stand for.
 *
 * A scalar stays text. What libyaml knows about it beyond that is only whether it stood in quotes (or in a block), or had the tag
 * !!str, which comes to the same: then it is never null and never a number.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "estimator/modelfile.h"

/* A list or a map that is not yet closed. A map's items are its keys and values by turns. */
struct frame {
    struct value *value;
    struct value **items;
    size_t count, capacity;
    const char *anchor; /* of the value, or NULL */
    size_t before;      /* values counted when it began */
};
struct anchor {
    const char *name;
    struct value *value; /* NULL: not yet closed */
    size_t nodes;        /* values it stands for */
};
struct builder {
    struct slice text;
    const char *file;
    bool placed;
    struct arena *arena;
    pil_status *status;
    yaml_parser_t parser;
    struct frame frames[YAML_DEPTH];
    size_t depth;
    struct anchor *anchors;
    size_t anchor_count, anchor_capacity;
    size_t nodes;
    size_t documents;
    struct value *root;
};

/* ---- errors -------------------------------------------------------------------------------------------------- */

static int place_of(size_t mark)
{
    return (int)MIN(mark, (size_t)INT_MAX - 1) + 1;
}

/* A value that is only a place. */
static struct value at_mark(const struct builder *builder, yaml_mark_t mark)
{
    struct value at = { .kind = VALUE_NULL, .file = builder->file };

    if (builder->placed) {
        at.line = place_of(mark.line);
        at.column = place_of(mark.column);
    }
    return at;
}

#define FAIL_AT(builder, mark, ...)                                                                                              \
    do {                                                                                                                         \
        struct value fail_at = at_mark(builder, mark);                                                                           \
        value_fail(&fail_at, (builder)->status, __VA_ARGS__);                                                                    \
    } while (0)

/* What stands at a mark, whose column counts characters; 0 behind the end. */
static unsigned char byte_at(struct slice text, yaml_mark_t mark)
{
    const char *at = text.data, *end = at ? at + text.size : at;

    for (size_t line = 0; at && at < end && line < mark.line; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline ? newline + 1 : end;
    }
    for (size_t column = 0; at && at < end && column < mark.column; column++)
        for (at++; at < end && ((unsigned char)*at & 0xC0) == 0x80;)
            at++;
    return at && at < end ? (unsigned char)*at : 0;
}

/* The reader tells bytes, not lines. */
static yaml_mark_t mark_of_byte(struct slice text, size_t offset)
{
    yaml_mark_t mark = { 0, 0, 0 };

    for (size_t i = 0; i < MIN(offset, text.size); i++) {
        if (text.data[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (((unsigned char)text.data[i] & 0xC0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

static bool fail_byte(struct builder *builder)
{
    const yaml_parser_t *parser = &builder->parser;
    yaml_mark_t mark = mark_of_byte(builder->text, parser->problem_offset);

    if (strncmp(parser->problem, "control", 7) == 0)
        FAIL_AT(builder, mark, "the character U+%04X has no place in a model file", (unsigned)parser->problem_value);
    else
        FAIL_AT(builder, mark, "this is not UTF-8 text (%s)", parser->problem);
    return false;
}

/* libyaml's own words, and what helps with the mistakes that are made often. */
static bool fail_syntax(struct builder *builder)
{
    const yaml_parser_t *parser = &builder->parser;
    unsigned char byte;

    if (parser->error == YAML_MEMORY_ERROR)
        return status_no_memory(builder->status, builder->text.size);
    if (parser->error == YAML_READER_ERROR)
        return fail_byte(builder);
    byte = byte_at(builder->text, parser->problem_mark);
    if (byte == '\t') {
        FAIL_AT(builder, parser->problem_mark, "a tab cannot indent here: use spaces");
        return false;
    }
    if (parser->context && parser->context_mark.line != parser->problem_mark.line && builder->placed)
        FAIL_AT(builder, parser->problem_mark, "%s, %s that begins in line %d", parser->problem, parser->context,
                place_of(parser->context_mark.line));
    else
        FAIL_AT(builder, parser->problem_mark, "%s%s%s", parser->problem, parser->context ? ", " : "",
                parser->context ? parser->context : "");
    if (parser->context && strstr(parser->context, "alias"))
        return status_hint(builder->status, "a text that begins with * stands in quotes: \"*.csv\"");
    if (byte == '@' || byte == '`' || byte == '%' || byte == '|' || byte == '>')
        return status_hint(builder->status, "a text that begins with %c stands in quotes", byte);
    return false;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static struct value *new_value(struct builder *builder, enum value_kind kind, yaml_mark_t mark)
{
    struct value *value = arena_alloc(builder->arena, sizeof *value, builder->status);

    if (!value)
        return NULL;
    *value = at_mark(builder, mark);
    value->kind = kind;
    return value;
}

static bool count_nodes(struct builder *builder, size_t nodes, yaml_mark_t mark)
{
    builder->nodes += nodes;
    if (builder->nodes <= YAML_NODES)
        return true;
    FAIL_AT(builder, mark, "more than %d values (an alias counts with all that it stands for)", YAML_NODES);
    return false;
}

static bool check_key(struct builder *builder, const struct value *key, yaml_mark_t mark)
{
    if (key->kind != VALUE_SCALAR)
        FAIL_AT(builder, mark, "a key is a text, not a %s", key->kind == VALUE_LIST ? "list" : "map");
    else if (key->text.size == 0)
        FAIL_AT(builder, mark, "a key is missing in front of the colon");
    else if (key->text.size > YAML_KEY_BYTES)
        FAIL_AT(builder, mark, "a key has more than %d bytes", YAML_KEY_BYTES);
    else if (!key->quoted && slice_is(key->text, "<<"))
        FAIL_AT(builder, mark, "merge keys (<<) are not read: write the keys out");
    return status_ok(builder->status);
}

/* Puts a finished value into the list or map that is open, or makes it the root. */
static bool add(struct builder *builder, struct value *value, yaml_mark_t mark)
{
    struct frame *frame;

    if (builder->depth == 0) {
        builder->root = value;
        return true;
    }
    frame = &builder->frames[builder->depth - 1];
    if (frame->value->kind == VALUE_MAP && frame->count % 2 == 0 && !check_key(builder, value, mark))
        return false;
    if (!mem_grow(&frame->items, &frame->capacity, frame->count + 1, sizeof(struct value *), builder->status))
        return false;
    frame->items[frame->count++] = value;
    return true;
}

/* ---- anchors ------------------------------------------------------------------------------------------------- */

static struct anchor *find_anchor(struct builder *builder, const char *name)
{
    for (size_t i = builder->anchor_count; i > 0; i--)
        if (strcmp(builder->anchors[i - 1].name, name) == 0)
            return &builder->anchors[i - 1];
    return NULL;
}

/* A later anchor of the same name hides the earlier one. */
static const char *open_anchor(struct builder *builder, const yaml_char_t *name, yaml_mark_t mark)
{
    struct anchor *anchor;

    if (builder->anchor_count >= YAML_ANCHORS) {
        FAIL_AT(builder, mark, "more than %d anchors", YAML_ANCHORS);
        return NULL;
    }
    if (!mem_grow(&builder->anchors, &builder->anchor_capacity, builder->anchor_count + 1, sizeof *anchor, builder->status))
        return NULL;
    anchor = &builder->anchors[builder->anchor_count];
    anchor->name = arena_text(builder->arena, (const char *)name, strlen((const char *)name), builder->status);
    anchor->value = NULL;
    builder->anchor_count += anchor->name != NULL;
    return anchor->name;
}

static void close_anchor(struct builder *builder, const char *name, struct value *value, size_t nodes)
{
    struct anchor *anchor = name ? find_anchor(builder, name) : NULL;

    if (!anchor)
        return;
    anchor->value = value;
    anchor->nodes = nodes;
}

static bool take_alias(struct builder *builder, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    const struct anchor *anchor = find_anchor(builder, name);

    if (!anchor) {
        FAIL_AT(builder, event->start_mark, "there is no anchor &%.80s for this alias", name);
        return status_hint(builder->status, "a text that begins with * stands in quotes: \"*.csv\"");
    }
    if (!anchor->value) {
        FAIL_AT(builder, event->start_mark, "the alias *%.80s stands inside of what it names", name);
        return false;
    }
    return count_nodes(builder, anchor->nodes, event->start_mark) && add(builder, anchor->value, event->start_mark);
}

/* ---- events -------------------------------------------------------------------------------------------------- */

/* !!str makes text; YAML's other tags say what the place of the value says anyway. Tags of programs are refused. */
static bool read_tag(struct builder *builder, const yaml_char_t *name, yaml_mark_t mark, bool *is_text)
{
    static const char *const known[] = { YAML_NULL_TAG, YAML_BOOL_TAG, YAML_INT_TAG, YAML_FLOAT_TAG, YAML_SEQ_TAG, YAML_MAP_TAG };
    const char *tag = (const char *)name;

    if (!tag)
        return true;
    *is_text = strcmp(tag, "!") == 0 || strcmp(tag, YAML_STR_TAG) == 0;
    for (size_t i = 0; i < COUNT_OF(known) && !*is_text; i++)
        if (strcmp(tag, known[i]) == 0)
            return true;
    if (!*is_text)
        FAIL_AT(builder, mark, "the tag '%.80s' means nothing in a model file", tag);
    return *is_text;
}

static bool take_scalar(struct builder *builder, const yaml_event_t *event)
{
    struct slice text = slice_of((const char *)event->data.scalar.value, event->data.scalar.length);
    struct value *value = new_value(builder, VALUE_SCALAR, event->start_mark);
    const char *anchor = NULL;

    if (!value || !count_nodes(builder, 1, event->start_mark))
        return false;
    value->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (!read_tag(builder, event->data.scalar.tag, event->start_mark, &value->quoted))
        return false;
    if (memchr(text.data, '\0', text.size)) {
        FAIL_AT(builder, event->start_mark, "a text in a model file cannot hold a zero byte");
        return false;
    }
    value->text = slice_of(arena_text(builder->arena, text.data, text.size, builder->status), text.size);
    if (!value->text.data)
        return false;
    if (event->data.scalar.anchor && !(anchor = open_anchor(builder, event->data.scalar.anchor, event->start_mark)))
        return false;
    close_anchor(builder, anchor, value, 1);
    return add(builder, value, event->start_mark);
}

static bool open_frame(struct builder *builder, enum value_kind kind, const yaml_char_t *anchor, const yaml_char_t *tag,
                       yaml_mark_t mark)
{
    struct frame *frame = &builder->frames[MIN(builder->depth, (size_t)YAML_DEPTH - 1)];
    bool is_text = false;

    if (builder->depth >= YAML_DEPTH) {
        FAIL_AT(builder, mark, "lists and maps are nested deeper than %d", YAML_DEPTH);
        return false;
    }
    if (!read_tag(builder, tag, mark, &is_text) || !count_nodes(builder, 1, mark))
        return false;
    frame->value = new_value(builder, kind, mark);
    frame->count = 0;
    frame->before = builder->nodes - 1;
    frame->anchor = NULL;
    if (!frame->value || (anchor && !(frame->anchor = open_anchor(builder, anchor, mark))))
        return false;
    builder->depth++;
    return true;
}

static int by_text(const void *a, const void *b)
{
    const struct value *left = *(const struct value *const *)a, *right = *(const struct value *const *)b;
    int order = slice_compare(left->text, right->text);

    if (order == 0)
        order = (left->line > right->line) - (left->line < right->line);
    return order ? order : (left->column > right->column) - (left->column < right->column);
}

/* The first key of the file that was there before. Sorting keeps a map of very many keys cheap. */
static bool check_repeated(struct builder *builder, const struct value *map)
{
    struct value **sorted = map->count > 1 ? mem_array(map->count, sizeof *sorted, builder->status) : NULL;
    const struct value *first = NULL, *again = NULL;

    if (!sorted)
        return status_ok(builder->status);
    memcpy(sorted, map->keys, map->count * sizeof *sorted);
    qsort(sorted, map->count, sizeof *sorted, by_text);
    for (size_t i = 1; i < map->count; i++) {
        const struct value *here = sorted[i];
        bool earlier = !again || here->line < again->line || (here->line == again->line && here->column < again->column);
        if (slice_equal(here->text, sorted[i - 1]->text) && earlier) {
            first = sorted[i - 1];
            again = here;
        }
    }
    mem_free(sorted);
    if (!again)
        return true;
    if (first->line > 0)
        return value_fail(again, builder->status, "the key '%.200s' stands twice in one map; first in line %d, column %d",
                          again->text.data, first->line, first->column);
    return value_fail(again, builder->status, "the key '%.200s' stands twice in one map", again->text.data);
}

static bool close_frame(struct builder *builder)
{
    struct frame *frame = &builder->frames[--builder->depth];
    struct value *value = frame->value;
    bool is_map = value->kind == VALUE_MAP;
    yaml_mark_t mark = { 0, (size_t)MAX(value->line, 1) - 1, (size_t)MAX(value->column, 1) - 1 };

    value->count = is_map ? frame->count / 2 : frame->count;
    value->items = arena_alloc(builder->arena, MAX(value->count, 1) * sizeof *value->items, builder->status);
    value->keys = is_map ? arena_alloc(builder->arena, MAX(value->count, 1) * sizeof *value->keys, builder->status) : NULL;
    if (!value->items || (is_map && !value->keys))
        return false;
    for (size_t i = 0; i < value->count; i++) {
        value->items[i] = frame->items[is_map ? 2 * i + 1 : i];
        if (is_map)
            value->keys[i] = frame->items[2 * i];
    }
    close_anchor(builder, frame->anchor, value, builder->nodes - frame->before);
    return (!is_map || check_repeated(builder, value)) && add(builder, value, mark);
}

static bool take_document(struct builder *builder, const yaml_event_t *event)
{
    if (builder->documents++ == 0)
        return true;
    FAIL_AT(builder, event->start_mark, "a second document begins here; a model file is one");
    return false;
}

static bool take(struct builder *builder, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return take_document(builder, event);
    case YAML_ALIAS_EVENT:
        return take_alias(builder, event);
    case YAML_SCALAR_EVENT:
        return take_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_frame(builder, VALUE_LIST, event->data.sequence_start.anchor, event->data.sequence_start.tag,
                          event->start_mark);
    case YAML_MAPPING_START_EVENT:
        return open_frame(builder, VALUE_MAP, event->data.mapping_start.anchor, event->data.mapping_start.tag, event->start_mark);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_frame(builder);
    default: /* the stream's and the document's ends */
        return true;
    }
}

static bool build(struct builder *builder)
{
    for (bool ended = false; !ended;) {
        yaml_event_t event;
        bool ok;
        if (!yaml_parser_parse(&builder->parser, &event))
            return fail_syntax(builder);
        ended = event.type == YAML_STREAM_END_EVENT;
        ok = take(builder, &event);
        yaml_event_delete(&event);
        if (!ok)
            return false;
    }
    return true;
}

struct value *yaml_read(struct slice text, const char *file, bool placed, struct arena *arena, pil_status *status)
{
    struct builder *builder = NULL;
    struct value *root = NULL;
    bool started = false;

    if (text.size > YAML_BYTES) {
        status_fail(status, PIL_INVALID_ARGUMENT, "%s: %zu bytes; a model file has at most %d", file, text.size, YAML_BYTES);
        return NULL;
    }
    builder = mem_new(sizeof *builder, status); /* its frames are too much for a stack */
    file = builder ? arena_text(arena, file, strlen(file), status) : NULL;
    if (!file)
        goto done;
    builder->text = text;
    builder->file = file;
    builder->placed = placed;
    builder->arena = arena;
    builder->status = status;
    started = yaml_parser_initialize(&builder->parser);
    if (!started) {
        status_no_memory(status, sizeof builder->parser);
        goto done;
    }
    yaml_parser_set_encoding(&builder->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&builder->parser, (const unsigned char *)(text.size ? text.data : ""), text.size);
    if (build(builder))
        root = builder->root;
done:
    if (started)
        yaml_parser_delete(&builder->parser);
    for (size_t i = 0; builder && i < YAML_DEPTH; i++)
        mem_free(builder->frames[i].items);
    mem_free(builder ? builder->anchors : NULL);
    mem_free(builder);
    return root;
}

struct value *modelfile_parse(struct slice yaml, const char *file, struct arena *arena, pil_status *status)
{
    struct value *root = yaml_read(yaml, file, true, arena, status);

    if (!root)
        status_fail(status, PIL_INVALID_ARGUMENT, "%s: the file is empty", file);
    return root;
}
