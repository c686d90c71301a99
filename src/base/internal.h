/* SPDX-License-Identifier: Apache-2.0 */
/* What files of this room share, and nobody else sees. */
#ifndef PILASTER_BASE_INTERNAL_H
#define PILASTER_BASE_INTERNAL_H

#include "base/base.h"

/* ---- json.cc: what number.c borrows from the C++ standard library ---- */

/* The nearest number to the decimal text [first, last), which must be well-formed and without a plus sign. False when it
 * is too large or too small for the type; *value is then unchanged. */
bool number_from_text(const char *first, const char *last, float *value);
bool number_from_text_double(const char *first, const char *last, double *value);
/* The shortest digits that read back, as 0.001 where `fixed`, else as 1e-03. Returns the length; 0 when out is too small. */
size_t number_to_text(char *out, size_t size, float value, bool fixed);
size_t number_to_text_double(char *out, size_t size, double value, bool fixed);

/* ---- json.cc: what json.c builds on ---- */

struct json_dom; /* simdjson's parser and its tables */
struct json_value;
enum json_dom_result { JSON_DOM_PARSED, JSON_DOM_REFUSED, JSON_DOM_NO_MEMORY };
struct json_dom *json_dom_new(void);
void json_dom_free(struct json_dom *dom);
/* `data` is readable for JSON_PADDING bytes beyond size; capacity >= size is what to make room for. `patched`: strings that
 * start with a zero byte and go on as NaN, Infinity or -Infinity are those numbers. */
enum json_dom_result json_dom_parse(struct json_dom *dom, const char *data, size_t size, size_t capacity, bool patched,
                                    struct json_value *root);

/* ---- file.c ---- */

/* Makes the entries of the folder that holds `path` last. */
bool file_sync_folder_of(const char *path, pil_status *status);

/* ---- args.c and argtype.c ---- */

/* A limit beyond this stands for none: {low = 1, high = INFINITY} is "at least 1". */
#define ARG_NO_LIMIT 1e15

/* A value's text as an error shows it: its start, with whole characters. */
struct value_shown {
    char text[72];
};
struct value_shown value_shown(struct slice text);
/* Nothing, or an unquoted null, ~ or empty text. */
bool arg_has_limits(const struct arg *arg);
void arg_print_limits(char out[112], const struct arg *arg); /* "from 0 to 1", "at least 1" */

#endif
