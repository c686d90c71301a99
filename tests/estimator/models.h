/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of model files share: a text becomes a file in a scratch folder and is loaded. */
#ifndef PILASTER_TESTS_MODELS_H
#define PILASTER_TESTS_MODELS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "estimator/modelfile.h"
#include "scratch.h"

static inline int models_setup(void **state)
{
    (void)state;
    scratch_make();
    return 0;
}

static inline int models_teardown(void **state)
{
    (void)state;
    scratch_remove();
    return 0;
}

/* Loads a text as m.yaml of the scratch folder. */
static inline struct model *load_with(const char *text, const char *const *sets, size_t count, pil_status *status)
{
    const char *path = scratch_path("m.yaml");

    scratch_write(path, text, strlen(text));
    return modelfile_load(path, sets, count, status);
}

static inline struct model *load_well(const char *text)
{
    pil_status status = { 0 };
    struct model *model = load_with(text, NULL, 0, &status);

    if (!model)
        fail_msg("%s", status.message);
    return model;
}

/* The first line of an error, without the scratch folder's name. */
static inline const char *first_line(pil_status *status)
{
    size_t size = strlen(scratch_folder);
    char *end = strchr(status->message, '\n');

    if (end)
        *end = '\0';
    return strncmp(status->message, scratch_folder, size) == 0 ? status->message + size + 1 : status->message;
}

/* What a model prints; free it. */
static inline char *printed(const struct model *model)
{
    struct text text = { 0 };
    char *copy;

    modelfile_print(model, &text);
    assert_false(text.failed);
    copy = strdup(text.data);
    text_free(&text);
    return copy;
}

#endif
