/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of values from a YAML text, for tests of argument tables. Less than the model file's reader: no limits, no
 * anchors, no check for keys given twice.
 */
#ifndef PILASTER_TESTS_VALUES_H
#define PILASTER_TESTS_VALUES_H

#include "base/base.h"

#include <string.h>
#include <yaml.h>

static inline struct value *values_node(struct arena *arena, yaml_document_t *document, int id)
{
    pil_status status = { 0 };
    yaml_node_t *node = yaml_document_get_node(document, id);
    struct value *value = arena_alloc(arena, sizeof(*value), &status);
    if (node == NULL || value == NULL)
        return NULL;
    value->file = "model.yaml";
    value->line = (int)node->start_mark.line + 1;
    value->column = (int)node->start_mark.column + 1;
    if (node->type == YAML_SCALAR_NODE) {
        value->kind = VALUE_SCALAR;
        value->quoted = node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        value->text.size = node->data.scalar.length;
        value->text.data = arena_text(arena, (const char *)node->data.scalar.value, value->text.size, &status);
        return value->text.data != NULL ? value : NULL;
    }
    bool list = node->type == YAML_SEQUENCE_NODE;
    value->kind = list ? VALUE_LIST : VALUE_MAP;
    value->count = list ? (size_t)(node->data.sequence.items.top - node->data.sequence.items.start)
                        : (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    value->items = arena_alloc(arena, value->count * sizeof(*value->items), &status);
    value->keys = arena_alloc(arena, value->count * sizeof(*value->keys), &status);
    for (size_t i = 0; value->items != NULL && value->keys != NULL && i < value->count; i++) {
        const yaml_node_pair_t *pair = &node->data.mapping.pairs.start[list ? 0 : i];
        value->items[i] = values_node(arena, document, list ? node->data.sequence.items.start[i] : pair->value);
        value->keys[i] = list ? NULL : values_node(arena, document, pair->key);
    }
    return value;
}

/* NULL when the text is no YAML. The tree lives in the arena. */
static inline struct value *values_parse(struct arena *arena, const char *text)
{
    yaml_parser_t parser;
    yaml_document_t document;
    struct value *value = NULL;
    if (!yaml_parser_initialize(&parser))
        return NULL;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    if (yaml_parser_load(&parser, &document)) {
        value = values_node(arena, &document, 1);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return value;
}

#endif
