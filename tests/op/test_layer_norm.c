/* SPDX-License-Identifier: Apache-2.0 */
/* Layer normalization over the last axis and over several, rows and not, forward and back, against plain loops. */
#include "op/boxes.h"

static void norm_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const struct op_layer_norm_args *args = t->args;
    struct shape shape = shape_with_batch(t->inputs[0].shape, rows);
    int64_t size = 1, count = shape_elements(shape);
    for (int i = axis_of(args->axis, shape); i < shape.rank; i++)
        size *= shape.dims[i];
    for (int64_t first = 0; first < count; first += size) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < size; i++)
            mean += x[0][first + i] / (double)size;
        for (int64_t i = 0; i < size; i++)
            variance += (x[0][first + i] - mean) * (x[0][first + i] - mean) / (double)size;
        for (int64_t i = 0; i < size; i++)
            y[0][first + i] = (x[0][first + i] - mean) / sqrt(variance + (double)args->epsilon) * x[1][i] + x[2][i];
    }
}

static void normalized(void **state)
{
    (void)state;
    static const struct {
        struct shape x;
        int axis;
    } list[] = {
        { { 2, { BATCH_DIM, 5 } }, -1 },
        { { 2, { BATCH_DIM, 1 } }, 1 },
        { { 2, { BATCH_DIM, 33 } }, 1 },
        { { 3, { BATCH_DIM, 3, 4 } }, 2 },
        { { 3, { BATCH_DIM, 3, 4 } }, 1 },
        { { 4, { BATCH_DIM, 2, 3, 4 } }, -2 },
        { { 4, { BATCH_DIM, 2, 3, 16 } }, -3 },
        { { 1, { 6 } }, 0 },
        { { 2, { 4, 5 } }, 1 },
        { { 2, { 4, 5 } }, 0 },
        { { 3, { 2, 3, 4 } }, 1 },
        { { 3, { 2, 3, 17 } }, -1 },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        for (int k = 0; k < 2; k++) {
            struct op_layer_norm_args args = { list[i].axis, k ? 0.001f : 0.5f };
            bool rows = has_rows(list[i].x);
            struct shape parameter = { 0 };
            for (int a = axis_of(list[i].axis, list[i].x); a < list[i].x.rank; a++)
                parameter.dims[parameter.rank++] = list[i].x.dims[a];
            struct trial t = {
                .op = "layer_norm",
                .args = &args,
                .inputs = { { .shape = list[i].x, .low = -2, .high = 2 }, { .shape = parameter }, { .shape = parameter } },
                .input_count = 3,
                .outputs = { list[i].x },
                .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                .reference = norm_reference,
                .tolerance = 1e-5
            };
            try_op(&t);
        }
}

static void refusals(void **state)
{
    (void)state;
    static const struct op_layer_norm_args last = { -1, 0.1f }, first = { 0, 0.1f }, absent = { 2, 0.1f };
    static const struct refusal list[] = {
        { "layer_norm", &first, "not over the batch axis", 3, { ROWS_OF(3), DENSE(3), DENSE(3) } },
        { "layer_norm", &last, "not over the batch axis", 3, { ONE_A_ROW, DENSE(3), DENSE(3) } },
        { "layer_norm", &last, "not over the batch axis", 3, { TURNED(3), DENSE(3), DENSE(3) } },
        { "layer_norm", &absent, "axis 2 does not exist", 3, { ROWS_OF(3), DENSE(3), DENSE(3) } },
        { "layer_norm", &last, "axis -1 does not exist", 3, { SCALAR, DENSE(3), DENSE(3) } },
        { "layer_norm", &last, "input 2 must be [3]", 3, { ROWS_OF(3), DENSE(4), DENSE(3) } },
        { "layer_norm", &last, "input 3 must be [3]", 3, { ROWS_OF(3), DENSE(3), DENSE(1, 3) } },
        { "layer_norm", &last, "input 1 is sparse", 3, { IDS, DENSE(3), DENSE(3) } },
        { "layer_norm_dx", &last, "the first two must have one shape", 3, { ROWS_OF(4), ROWS_OF(3), DENSE(3) } },
        { "layer_norm_sums", &last, "the first two must have one shape", 2, { ROWS_OF(4), ROWS_OF(3) } },
    };
    check_refusals(list, COUNT_OF(list));
}

static void onnx(void **state)
{
    (void)state;
    static const struct op_layer_norm_args axes[] = { { 0, 1e-5f },  { 1, 1e-5f },  { 2, 1e-5f },  { 3, 1e-5f },
                                                      { -1, 1e-5f }, { -2, 1e-5f }, { -3, 1e-5f }, { -4, 1e-5f } },
                                           loose[] = { { 0, 0.1f },  { 1, 0.1f },  { 2, 0.1f },
                                                       { -1, 0.1f }, { -2, 0.1f }, { -3, 0.1f } };
    static const struct onnx_case list[] = {
        { "LayerNormalization/layer_normalization_2d_axis0", "layer_norm", &axes[0], 3, false },
        { "LayerNormalization/layer_normalization_2d_axis1", "layer_norm", &axes[1], 3, true },
        { "LayerNormalization/layer_normalization_2d_axis_negative_1", "layer_norm", &axes[4], 3, true },
        { "LayerNormalization/layer_normalization_2d_axis_negative_2", "layer_norm", &axes[5], 3, false },
        { "LayerNormalization/layer_normalization_3d_axis0_epsilon", "layer_norm", &loose[0], 3, false },
        { "LayerNormalization/layer_normalization_3d_axis1_epsilon", "layer_norm", &loose[1], 3, true },
        { "LayerNormalization/layer_normalization_3d_axis2_epsilon", "layer_norm", &loose[2], 3, true },
        { "LayerNormalization/layer_normalization_3d_axis_negative_1_epsilon", "layer_norm", &loose[3], 3, true },
        { "LayerNormalization/layer_normalization_3d_axis_negative_2_epsilon", "layer_norm", &loose[4], 3, true },
        { "LayerNormalization/layer_normalization_3d_axis_negative_3_epsilon", "layer_norm", &loose[5], 3, false },
        { "LayerNormalization/layer_normalization_4d_axis0", "layer_norm", &axes[0], 3, false },
        { "LayerNormalization/layer_normalization_4d_axis1", "layer_norm", &axes[1], 3, true },
        { "LayerNormalization/layer_normalization_4d_axis2", "layer_norm", &axes[2], 3, true },
        { "LayerNormalization/layer_normalization_4d_axis3", "layer_norm", &axes[3], 3, true },
        { "LayerNormalization/layer_normalization_4d_axis_negative_1", "layer_norm", &axes[4], 3, true },
        { "LayerNormalization/layer_normalization_4d_axis_negative_2", "layer_norm", &axes[5], 3, true },
        { "LayerNormalization/layer_normalization_4d_axis_negative_3", "layer_norm", &axes[6], 3, true },
        { "LayerNormalization/layer_normalization_4d_axis_negative_4", "layer_norm", &axes[7], 3, false },
        { "LayerNormalization/layer_normalization_default_axis", "layer_norm", &axes[4], 3, true },
    };
    onnx_try(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(normalized), cmocka_unit_test(refusals), cmocka_unit_test(onnx) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
