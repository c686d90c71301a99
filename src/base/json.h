/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON: parse a text, walk what is in it. Printing is text.c's (text_json_string, text_json_float).
 *
 * A parser is made once and used for many texts, one after the other and by one thread at a time; it keeps its memory, so
 * that a text no longer than an earlier one allocates nothing. Values are small structs that point into the parser: they
 * are good until its next text.
 *
 *     struct json_value root, item;
 *     struct slice key;
 *     if (!json_parse(parser, line, &root, status))
 *         return false;                                   // status names the offset and what is wrong there
 *     struct json_walk walk = json_children(&root);
 *     while (json_next(&walk, &key, &item)) {
 *         if (item.kind == JSON_NUMBER) ...               // item.number
 *     }
 *
 * The language is RFC 8259's: UTF-8, strict. Refused besides: nesting deeper than JSON_DEPTH, integers of more than 64
 * bits, numbers beyond a double. A name given twice in an object is there twice.
 *
 * The tables behind a parsed text (13 bytes a byte of text) come from the C++ library, not from mem_*.
 */
#ifndef PILASTER_BASE_JSON_H
#define PILASTER_BASE_JSON_H

#include "base/base.h"

enum {
    JSON_PADDING = 64, /* bytes that must be readable behind a text for json_parse_padded; their content is of no matter */
    JSON_DEPTH = 64    /* lists and objects within each other */
};

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_LIST, JSON_MAP };

struct json_value {
    enum json_kind kind;
    bool flag;       /* JSON_BOOL: the value */
    bool is_integer; /* JSON_NUMBER: written without point and exponent, and `integer` holds it exactly */
    union {
        struct {           /* JSON_NUMBER */
            double number; /* always; rounded when an integer has more than 53 bits */
            int64_t integer;
        };
        struct slice text; /* JSON_TEXT: unescaped; may hold zero bytes */
        struct {           /* JSON_LIST, JSON_MAP */
            size_t count;  /* of the items */
            const void *document;
            size_t place;
        };
    };
};

/* limit: the longest text in bytes; 0: 64 MiB. */
struct json_parser *json_parser_new(size_t limit, pil_status *status);
void json_parser_free(struct json_parser *parser);
/* Off at first. On: the words NaN, Infinity and -Infinity are numbers, as TensorFlow Serving takes them. */
void json_allow_nan(struct json_parser *parser, bool allow);

/* Parses a text. False with PIL_BAD_DATA: "JSON is wrong at offset 34: ...". */
bool json_parse(struct json_parser *parser, struct slice text, struct json_value *root, pil_status *status);
/* The same without a copy, for a text in a buffer that goes on for JSON_PADDING bytes. The text may change afterwards. */
bool json_parse_padded(struct json_parser *parser, struct slice text, struct json_value *root, pil_status *status);
/* Where the last text was wrong, from 0 in bytes; SIZE_MAX when it was not or nobody knows. And what was wrong. */
size_t json_error_offset(const struct json_parser *parser);
const char *json_error_text(const struct json_parser *parser);

/* The items of a list or an object, in order. A scalar has none. */
struct json_walk {
    const void *document;
    size_t place, end;
    bool is_map;
};
struct json_walk json_children(const struct json_value *value);
/* False at the end. `key` may be NULL; in a list it becomes empty. */
bool json_next(struct json_walk *walk, struct slice *key, struct json_value *value);
/* The first item of that name. False when there is none or `map` is no object. */
bool json_get(const struct json_value *map, const char *key, struct json_value *value);
/* All numbers of a list, rounded to float32, into out[list->count]. False when one is no number or `list` is no list. */
bool json_floats(const struct json_value *list, float *out);

#endif
