/* SPDX-License-Identifier: Apache-2.0 */
/* What a model's first layer is given: the feature of the input's name, of the shape that a layer says or that the data have. */
#include <string.h>

#include "input/input.h"
#include "keras/internal.h"

static int row_rank(const pil_row *row)
{
    int rank = 0;
    while (rank < PIL_ROW_RANK && row->dims[rank] != 0)
        rank++;
    return rank;
}

static int64_t row_width(const pil_row *row)
{
    int64_t width = 1;
    for (int i = 0; i < row_rank(row) && width <= INT32_MAX; i++)
        width *= row->dims[i];
    return width;
}

static const char *sizes_text(const pil_row *row, char out[128])
{
    struct shape shape = { .rank = row_rank(row) };
    memcpy(shape.dims, row->dims, (size_t)shape.rank * sizeof shape.dims[0]);
    return shape_text(shape, out);
}

/* Both sets of names, and the likely one. */
static bool no_feature(struct layer_build *b)
{
    const struct pil_dataset *dataset = b->data->dataset;
    const char *wanted = b->model->input_name, *names[64], *near;
    struct text list = { .limit = 600 };
    size_t count = 0;
    for (size_t i = 0; i < dataset->field_count && count < COUNT_OF(names); i++) {
        if (dataset->label && strcmp(dataset->label, dataset->fields[i].name) == 0)
            continue;
        names[count++] = dataset->fields[i].name;
        text_format(&list, "%s'%s'", count > 1 ? ", " : "", names[count - 1]);
    }
    near = count == 1 ? names[0] : nearest_word(wanted, names, count);
    layer_fail(b, "the model takes the feature '%s'; the data have %s%s%s%s", wanted, count ? list.data : "none",
               near ? ": call '" : "", near ? near : "", near ? "' so" : "");
    text_free(&list);
    return false;
}

/* The shape of a row: what a layer said, else what the data have; both must agree where the data say it. */
static bool settle_shape(struct layer_build *b, const struct dataset_field *field)
{
    pil_row *shape = &b->model->input_shape, have = { 0 };
    char want[128], given[128];
    for (int i = 0; i < PIL_ROW_RANK && shape->dims[i] != 0; i++)
        if (shape->dims[i] < 0 || row_width(shape) > INT32_MAX)
            return layer_fail(b, "its input has the size %lld", (long long)shape->dims[i]) == NULL;
    if (!field || !field->sized || field->ragged) {
        if (shape->dims[0] == 0 && field && field->ragged)
            return layer_fail(b, "the feature '%s' has any number of values a row: the first layer must say its input's shape",
                              b->model->input_name) == NULL;
        if (shape->dims[0] == 0)
            shape->dims[0] = 1;
        return true;
    }
    if (field->shape.rank == 0)
        have.dims[0] = 1;
    memcpy(have.dims, field->shape.rank ? field->shape.dims : have.dims, (size_t)MAX(field->shape.rank, 1) * sizeof have.dims[0]);
    if (shape->dims[0] == 0)
        *shape = have;
    if (row_width(shape) == row_width(&have) && (row_rank(shape) == row_rank(&have) || row_width(shape) == 1))
        return true;
    layer_fail(b, "the model takes rows of %s, the data have %s in '%s'", sizes_text(shape, want), sizes_text(&have, given),
               b->model->input_name);
    return false;
}

/* The values themselves: a row's width of numbers, from one field. */
static struct pil_tensor *read_feature(struct layer_build *b, const struct dataset_field *field)
{
    pil_status status = { 0 };
    const struct column_inputs *inputs = b->data->inputs;
    if (field && field->typed && field->type == FIELD_STRING)
        return layer_fail(b,
                          "the feature '%s' holds words: a column of an Input, or a DenseFeatures layer, makes numbers of them",
                          b->model->input_name);
    struct pil_tensor *values = column_dense(inputs, b->model->input_name, row_width(&b->model->input_shape), &status);
    if (!status_ok(&status))
        graph_fail_with(b->graph, &status);
    graph_suggest_name(b->graph, values, b->model->input_name);
    return values;
}

struct pil_tensor *layer_input(struct layer_build *b)
{
    const struct pil_dataset *dataset = b->data->dataset;
    const struct dataset_field *field = dataset ? dataset_find(dataset, b->model->input_name) : NULL;
    if (dataset && !field && dataset->kind != DATASET_FILES && !no_feature(b))
        return graph_error_tensor(b->graph);
    if (!settle_shape(b, field))
        return graph_error_tensor(b->graph);
    struct pil_tensor *values = read_feature(b, field);
    const pil_row *shape = &b->model->input_shape;
    if (row_rank(shape) < 2 || !status_ok(graph_status(b->graph)))
        return values;
    struct op_reshape_args reshape = { { .rank = row_rank(shape) + 1, .dims = { BATCH_DIM } } };
    memcpy(&reshape.shape.dims[1], shape->dims, (size_t)row_rank(shape) * sizeof shape->dims[0]);
    return graph_op1(b->graph, "reshape", &reshape, values);
}
