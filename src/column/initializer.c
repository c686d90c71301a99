/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An embedding's first values by name: Keras's or TensorFlow's words, in snake_case or as class names, each with its own few
 * numbers. {truncated_normal: {stddev: 0.1}} in the model file, { "truncated_normal", .stddev = 0.1f } in C.
 */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "column/internal.h"

/* What a name means: op's kind, and which of the public struct's numbers are its a and b, with Keras's defaults for 0. */
struct meaning {
    const char *name;
    pil_initializer_kind kind;
    const char *a, *b; /* argument names, or NULL */
    size_t a_offset, b_offset;
    float a_default, b_default;
};
#define OF(member) offsetof(pil_column_initializer, member)
static const struct meaning meanings[] = {
    { "zeros", PIL_INITIALIZER_ZEROS, NULL, NULL, 0, 0, 0, 0 },
    { "ones", PIL_INITIALIZER_ONES, NULL, NULL, 0, 0, 0, 0 },
    { "constant", PIL_INITIALIZER_CONSTANT, "value", NULL, OF(value), 0, 0, 0 },
    { "random_normal", PIL_INITIALIZER_NORMAL, "mean", "stddev", OF(mean), OF(stddev), 0, 0.05f },
    { "random_uniform", PIL_INITIALIZER_UNIFORM, "minval", "maxval", OF(minval), OF(maxval), 0, 0 },
    { "normal", PIL_INITIALIZER_NORMAL, "mean", "stddev", OF(mean), OF(stddev), 0, 0.05f },
    { "uniform", PIL_INITIALIZER_UNIFORM, "minval", "maxval", OF(minval), OF(maxval), 0, 0 },
    { "truncated_normal", PIL_INITIALIZER_TRUNCATED_NORMAL, "mean", "stddev", OF(mean), OF(stddev), 0, 0.05f },
    { "glorot_uniform", PIL_INITIALIZER_GLOROT_UNIFORM, NULL, NULL, 0, 0, 0, 0 },
    { "glorot_normal", PIL_INITIALIZER_GLOROT_NORMAL, NULL, NULL, 0, 0, 0, 0 },
    { "he_uniform", PIL_INITIALIZER_HE_UNIFORM, NULL, NULL, 0, 0, 0, 0 },
    { "he_normal", PIL_INITIALIZER_HE_NORMAL, NULL, NULL, 0, 0, 0, 0 },
    { "lecun_uniform", PIL_INITIALIZER_LECUN_UNIFORM, NULL, NULL, 0, 0, 0, 0 },
    { "lecun_normal", PIL_INITIALIZER_LECUN_NORMAL, NULL, NULL, 0, 0, 0, 0 },
    { "orthogonal", PIL_INITIALIZER_ORTHOGONAL, "gain", NULL, OF(gain), 0, 1, 0 },
    { "identity", PIL_INITIALIZER_IDENTITY, "gain", NULL, OF(gain), 0, 1, 0 },
};

/* "TruncatedNormal", "truncated_normal_initializer": "truncated_normal". */
static void canonical(const char *name, char out[64])
{
    static const char suffix[] = "_initializer";
    size_t length = 0;

    for (const char *p = name; *p && length < 60; p++) {
        if (isupper((unsigned char)*p) && p > name && islower((unsigned char)p[-1]))
            out[length++] = '_';
        out[length++] = (char)tolower((unsigned char)*p);
    }
    out[length] = '\0';
    if (length >= sizeof suffix && strcmp(out + length + 1 - sizeof suffix, suffix) == 0)
        out[length + 1 - sizeof suffix] = '\0';
}

static const struct meaning *meaning_of(const char *name)
{
    char wanted[64];

    canonical(name, wanted);
    for (size_t i = 0; i < COUNT_OF(meanings); i++)
        if (strcmp(meanings[i].name, wanted) == 0)
            return &meanings[i];
    return NULL;
}

static const char *nearest_meaning(const char *name)
{
    const char *names[COUNT_OF(meanings)];
    char wanted[64];

    canonical(name, wanted);
    for (size_t i = 0; i < COUNT_OF(meanings); i++)
        names[i] = meanings[i].name;
    return nearest_word(wanted, names, COUNT_OF(meanings));
}

static float number_at(const pil_column_initializer *given, const char *name, size_t offset, float when_zero)
{
    float value = 0;

    if (name)
        memcpy(&value, (const char *)given + offset, sizeof value);
    return value == 0 ? when_zero : value;
}

bool initializer_of(const pil_column_initializer *given, int64_t dimension, pil_initializer *out, const char **wrong)
{
    const struct meaning *meaning;

    *wrong = NULL;
    if (!given->name) {
        *out = (pil_initializer){ PIL_INITIALIZER_TRUNCATED_NORMAL, 0, 1 / sqrtf((float)dimension) };
        return true;
    }
    meaning = meaning_of(given->name);
    if (!meaning) {
        *wrong = nearest_meaning(given->name);
        return false;
    }
    *out = (pil_initializer){ meaning->kind, number_at(given, meaning->a, meaning->a_offset, meaning->a_default),
                              number_at(given, meaning->b, meaning->b_offset, meaning->b_default) };
    if (meaning->kind == PIL_INITIALIZER_UNIFORM && out->a == 0 && out->b == 0)
        *out = (pil_initializer){ PIL_INITIALIZER_UNIFORM, -0.05f, 0.05f };
    return true;
}

/* ---- in the model file --------------------------------------------------------------------------------------- */

/* The numbers of one name, given as a map. A number given as 0 stays 0 where 0 means something. */
static bool numbers_parse(const struct meaning *meaning, const struct value *map, pil_column_initializer *out, pil_status *status)
{
    const char *known[2] = { meaning->a, meaning->b };
    const size_t offsets[2] = { meaning->a_offset, meaning->b_offset };
    size_t count = meaning->a ? meaning->b ? 2 : 1 : 0;

    if (value_is_null(map))
        return true;
    if (map->kind != VALUE_MAP)
        return value_fail(map, status, "%s takes its numbers by name, such as {stddev: 0.1}", meaning->name);
    for (size_t i = 0; i < map->count; i++) {
        size_t k = 0;
        float number;
        while (k < count && !slice_is(map->keys[i]->text, known[k]))
            k++;
        if (slice_is(map->keys[i]->text, "seed") || slice_is(map->keys[i]->text, "dtype"))
            continue; /* run.tf_random_seed decides; everything is float32 */
        if (k == count)
            return value_no_key(map->keys[i], meaning->name, known, count, status);
        if (map->items[i]->kind != VALUE_SCALAR || !parse_float(map->items[i]->text, &number))
            return value_fail(map->items[i], status, "%s is no number", known[k]);
        memcpy((char *)out + offsets[k], &number, sizeof number);
    }
    return true;
}

static bool initializer_parse(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                              pil_status *status)
{
    pil_column_initializer parsed = { 0 };
    const struct value *name = value->kind == VALUE_MAP && value->count == 1 ? value->keys[0] : value;
    const struct meaning *meaning;

    (void)reader;
    if (value_is_null(value)) {
        memcpy(field, &parsed, sizeof parsed);
        return true;
    }
    if (name->kind != VALUE_SCALAR)
        return value_fail(value, status, "%s takes a name, or one with numbers: {truncated_normal: {stddev: 0.1}}", arg->name);
    meaning = meaning_of(name->text.data);
    if (!meaning) {
        const char *nearest = nearest_meaning(name->text.data);
        return nearest ? value_fail(name, status, "there is no initializer '%s'; did you mean '%s'?", name->text.data, nearest)
                       : value_fail(name, status, "there is no initializer '%s'", name->text.data);
    }
    parsed.name = meaning->name;
    if (name != value && !numbers_parse(meaning, value->items[0], &parsed, status))
        return false;
    memcpy(field, &parsed, sizeof parsed);
    return true;
}

static void initializer_print(const struct arg *arg, const void *field, struct text *out)
{
    const pil_column_initializer *given = field;
    const struct meaning *meaning = given->name ? meaning_of(given->name) : NULL;
    pil_initializer numbers;
    const char *wrong;
    char a[32], b[32];

    (void)arg;
    if (!meaning || !initializer_of(given, 1, &numbers, &wrong)) {
        text_format(out, "null");
        return;
    }
    print_float(a, numbers.a);
    print_float(b, numbers.b);
    if (meaning->b)
        text_format(out, "{%s: {%s: %s, %s: %s}}", meaning->name, meaning->a, a, meaning->b, b);
    else if (meaning->a)
        text_format(out, "{%s: {%s: %s}}", meaning->name, meaning->a, a);
    else
        text_format(out, "%s", meaning->name);
}

const struct arg_type COLUMN_ARG_INITIALIZER = {
    .name = "initializer",
    .schema = "{\"type\":[\"string\",\"object\",\"null\"]}",
    .parse = initializer_parse,
    .print = initializer_print,
};
