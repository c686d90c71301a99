/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays as a model is given them: rows of one feature and of the label, put together under the names that the model knows. */
#include <string.h>

#include "keras/fit.h"

static int64_t array_width(const pil_array *array)
{
    int64_t count = 1;
    for (int i = 0; i < PIL_ROW_RANK && array->shape[i] != 0; i++)
        count *= array->shape[i];
    return count;
}

static bool has_values(const pil_array *array)
{
    return array->floats || array->ints || array->strings;
}

pil_array array_rows(const pil_array *array, int64_t first, int64_t count)
{
    pil_array part = *array;
    int64_t skip = first * array_width(array);
    part.rows = count;
    part.floats = array->floats ? array->floats + skip : NULL;
    part.ints = array->ints ? array->ints + skip : NULL;
    part.strings = array->strings ? array->strings + skip : NULL;
    return part;
}

pil_dataset *array_dataset(const pil_sequential *model, const struct array_data *data, const char *call, pil_status *status)
{
    const char *input = sequential_input_name(model), *output = sequential_output_name(model);
    if (!input) {
        status_fail(status, PIL_INVALID_ARGUMENT,
                    "%s: the model's first layer takes feature columns, which read fields by their names", call);
        status_hint(status, "make a dataset of the fields (pil_dataset_from_arrays) for %s_dataset", call);
        return NULL;
    }
    if (!has_values(&data->x)) {
        status_fail(status, PIL_INVALID_ARGUMENT, "%s: x has no values", call);
        return NULL;
    }
    if (has_values(&data->y) && data->y.rows != data->x.rows) {
        status_fail(status, PIL_INVALID_ARGUMENT, "%s: x has %lld rows, y has %lld", call, (long long)data->x.rows,
                    (long long)data->y.rows);
        return NULL;
    }
    pil_array features[2] = { data->x, { .name = SAMPLE_WEIGHT_FIELD, .floats = data->weights, .rows = data->x.rows } };
    features[0].name = input;
    pil_dataset_from_arrays_options options = pil_dataset_from_arrays_options_default();
    options.x = (pil_arrays){ features, data->weights ? 2 : 1 };
    if (has_values(&data->y)) {
        options.y = data->y;
        options.y.name = strcmp(output, input) == 0 ? "label" : output;
    }
    options.batch_size = data->batch_size;
    options.shuffle = data->shuffle;
    pil_dataset *dataset = pil_dataset_from_arrays_make(&options);
    if (status_ok(&dataset->status))
        return dataset;
    *status = dataset->status;
    pil_dataset_free(dataset);
    return NULL;
}
