/* SPDX-License-Identifier: Apache-2.0 */
/* A model's weights in and out by name; a model that has none yet is built first. */
#include <string.h>

#include "keras/fit.h"

bool pil_sequential_weight(const pil_sequential *model, size_t i, const char **name, pil_shape *shape)
{
    const struct sequential_weight *weight = sequential_weight_at(model, i);
    if (!weight)
        return false;
    *name = weight->variable;
    if (shape) {
        *shape = (pil_shape){ .rank = weight->shape.rank };
        memcpy(shape->dims, weight->shape.dims, sizeof shape->dims);
    }
    return true;
}

/* Gives a model whose first layer says its input's shape its first values. */
static bool make_values(pil_sequential *model, pil_status *status)
{
    struct keras_run run;
    if (sequential_fails(model, status))
        return false;
    if (model->store)
        return true;
    if (model->input_name && model->input_shape.dims[0] == 0) {
        status_fail(status, PIL_INVALID_ARGUMENT, "the model is not built: its first layer does not say what rows it takes");
        return status_hint(status, "begin with pil_input(PIL_ROW(...)), or call pil_sequential_build");
    }
    pil_csv_dataset_options options = pil_csv_dataset_options_default();
    const char *const files[] = { "-" };
    options.file_pattern = (pil_words){ files, 1 };
    options.batch_size = 1;
    pil_dataset *dataset = pil_csv_dataset_make(&options); /* of files only names are known, which a model asks for */
    bool ok = keras_run_make(&run, model, PIL_PREDICT, dataset, NULL, status);
    if (ok)
        keras_run_free(&run);
    pil_dataset_free(dataset);
    return ok;
}

pil_status pil_sequential_build(pil_sequential *model, pil_row input_shape)
{
    pil_status status = { 0 };
    if (sequential_fails(model, &status))
        return status;
    if (!model->built && input_shape.dims[0] != 0)
        model->input_shape = input_shape;
    make_values(model, &status);
    return status;
}

static struct variable *find(pil_sequential *model, const char *name, size_t count, const char *call, pil_status *status)
{
    const char *names[256];
    size_t known = 0;
    if (!make_values(model, status))
        return NULL;
    for (const struct sequential_weight *weight; known < COUNT_OF(names) && (weight = sequential_weight_at(model, known)) != NULL;
         known++) {
        names[known] = weight->variable;
        if (!name || strcmp(weight->variable, name) != 0)
            continue;
        int64_t elements = shape_elements(weight->shape);
        if ((int64_t)count == elements)
            return store_find(model->store, name);
        status_fail(status, PIL_INVALID_ARGUMENT, "%s: %s has %lld elements, %zu are given", call, name, (long long)elements,
                    count);
        return NULL;
    }
    const char *nearest = name ? nearest_word(name, names, known) : NULL;
    status_fail(status, PIL_INVALID_ARGUMENT, "%s: the model has no weight '%s'%s%s%s", call, name ? name : "NULL",
                nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return NULL;
}

pil_status pil_sequential_get_weight(pil_sequential *model, const char *name, float *values, size_t count)
{
    pil_status status = { 0 };
    const struct variable *variable = find(model, name, count, "pil_sequential_get_weight", &status);
    if (variable)
        tensor_pack(&variable->value, values);
    return status;
}

pil_status pil_sequential_set_weight(pil_sequential *model, const char *name, const float *values, size_t count)
{
    pil_status status = { 0 };
    struct variable *variable = NULL;
    if (!sequential_is_busy(model, "pil_sequential_set_weight", &status))
        variable = find(model, name, count, "pil_sequential_set_weight", &status);
    if (variable)
        tensor_unpack(values, &variable->value);
    return status;
}
