/* SPDX-License-Identifier: Apache-2.0 */
/* Golden data in JSON, for the tests of this room: a file's text and parser, lists of numbers, comparison within a tolerance. */
#ifndef PILASTER_TESTS_KERNEL_GOLDEN_H
#define PILASTER_TESTS_KERNEL_GOLDEN_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

struct golden {
    struct file_data file;
    struct json_parser *parser;
    struct json_value root;
};

/* False when the file does not exist; anything else wrong with it fails the test. The path counts from the repository. */
static inline bool golden_open(struct golden *golden, const char *path)
{
    static pil_status status;
    const char *top = getenv("PILASTER_TEST_ROOT");
    char full[1024];
    snprintf(full, sizeof full, "%s/%s", top ? top : ".", path);
    status_clear(&status);
    *golden = (struct golden){ 0 };
    if (!file_exists(full))
        return false;
    if (!file_load(full, &golden->file, &status) || !(golden->parser = json_parser_new(0, &status)) ||
        !json_parse(golden->parser, slice_of(golden->file.data, golden->file.size), &golden->root, &status))
        fail_msg("%s: %s", path, status.message);
    return true;
}

static inline void golden_close(struct golden *golden)
{
    json_parser_free(golden->parser);
    file_unload(&golden->file);
}

static inline struct json_value golden_get(const struct json_value *map, const char *key)
{
    struct json_value value;
    if (!json_get(map, key, &value))
        fail_msg("golden data without \"%s\"", key);
    return value;
}

/* A number, or `absent` where the map has none or null. */
static inline float golden_number(const struct json_value *map, const char *key, float absent)
{
    struct json_value value;
    return json_get(map, key, &value) && value.kind == JSON_NUMBER ? (float)value.number : absent;
}

/* A list of lists of numbers, row after row, each `ld` floats apart; rows may differ in length. Returns the number of rows;
 * lengths (may be NULL) takes each row's. */
static inline int64_t golden_rows(const struct json_value *list, float *out, int64_t ld, int64_t *lengths)
{
    struct json_value row;
    int64_t rows = 0;
    assert_int_equal(list->kind, JSON_LIST);
    for (struct json_walk walk = json_children(list); json_next(&walk, NULL, &row); rows++) {
        assert_true(row.kind == JSON_LIST && (int64_t)row.count <= ld);
        assert_true(json_floats(&row, out + rows * ld));
        if (lengths)
            lengths[rows] = (int64_t)row.count;
    }
    return rows;
}

/* The largest |got - want| / max(|want|, floor). */
static inline double golden_error(const float *got, const float *want, int64_t n, double floor)
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double scale = fabs((double)want[i]) > floor ? fabs((double)want[i]) : floor;
        double error = fabs((double)got[i] - (double)want[i]) / scale;
        if (!(error <= worst))
            worst = isnan(error) ? INFINITY : error;
    }
    return worst;
}

#endif
