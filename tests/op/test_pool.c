/* SPDX-License-Identifier: Apache-2.0 */
/* Pools over time: the largest and the mean, with gradients by differences; the first of equals gets it; what is refused. */
#include "op/refusals.h"
#include "pilaster/op.h"

static void reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const pil_pool1d_options *o = t->args;
    const int64_t time = t->inputs[0].shape.dims[1], channels = t->inputs[0].shape.dims[2], count = t->outputs[0].dims[1];
    const int64_t stride = o->strides ? o->strides : o->ksize, needed = (count - 1) * stride + o->ksize - time;
    const int64_t begin = o->padding == PIL_PADDING_SAME && needed > 0 ? needed / 2 : 0;
    const bool largest = t->op[0] == 'm';
    for (int64_t n = 0; n < rows * count * channels; n++) {
        int64_t c = n % channels, i = n / channels % count, r = n / channels / count, real = 0;
        double sum = 0, top = -INFINITY;
        for (int64_t at = i * stride - begin; at < i * stride - begin + o->ksize; at++)
            if (at >= 0 && at < time) {
                double value = x[0][(r * time + at) * channels + c];
                sum += value;
                top = fmax(top, value);
                real++;
            }
        y[0][n] = largest ? top : sum / (double)real;
    }
}

static void pools(void **state)
{
    (void)state;
    static const struct {
        int64_t time, channels, count;
        pil_pool1d_options args;
    } list[] = {
        { 6, 3, 3, { 2, 0, PIL_PADDING_VALID } }, { 7, 3, 3, { 2, 0, PIL_PADDING_VALID } },
        { 7, 3, 4, { 2, 0, PIL_PADDING_SAME } },  { 7, 2, 7, { 3, 1, PIL_PADDING_SAME } },
        { 7, 2, 5, { 3, 1, PIL_PADDING_VALID } }, { 8, 17, 3, { 4, 3, PIL_PADDING_SAME } },
        { 5, 1, 1, { 5, 2, PIL_PADDING_VALID } }, { 7, 2, 3, { 1, 3, PIL_PADDING_SAME } },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        for (int kind = 0; kind < 2; kind++) {
            struct trial t = { .op = kind ? "max_pool1d" : "avg_pool1d",
                               .args = &list[i].args,
                               .inputs = { { .shape = SHAPE(BATCH_DIM, list[i].time, list[i].channels) } },
                               .input_count = 1,
                               .outputs = { SHAPE(BATCH_DIM, list[i].count, list[i].channels) },
                               .extent = EXTENT_ROWS,
                               .behaviour = BEHAVIOUR_ROW_BY_ROW,
                               .reference = reference };
            try_op(&t);
        }
}

/* Two windows over three equal steps: each gives its gradient to its first step. */
static void first_of_equals(void **state)
{
    (void)state;
    float x[3] = { 2, 2, 2 }, dy[2] = { 3, 5 }, dx[3];
    static const pil_pool1d_options args = { 2, 1, PIL_PADDING_VALID };
    const struct op_value in[2] = { { .tensor = { dy, DTYPE_FLOAT32, { 3, { 1, 2, 1 } }, 1, 2, 2 } },
                                    { .tensor = { x, DTYPE_FLOAT32, { 3, { 1, 3, 1 } }, 1, 3, 3 } } };
    struct op_value out = { .tensor = { dx, DTYPE_FLOAT32, { 3, { 1, 3, 1 } }, 1, 3, 3 } };
    struct op_run run = {
        .args = &args, .kernels = kernel_get(), .input_count = 2, .output_count = 1, .inputs = in, .outputs = &out, .rows = 1
    };
    op_find("max_pool1d_gradient")->run(&run);
    assert_true(dx[0] == 3 && dx[1] == 5 && dx[2] == 0);
}

static void refusals(void **state)
{
    (void)state;
    static const pil_pool1d_options none = { 0, 1, PIL_PADDING_VALID }, causal = { 2, 0, PIL_PADDING_CAUSAL },
                                    large = { 7, 0, PIL_PADDING_VALID }, back = { 2, -1, PIL_PADDING_VALID };
    static const struct refusal list[] = {
        { "max_pool1d", &none, "windows of 0 steps", 1, { ROWS_OF(6, 3) } },
        { "avg_pool1d", &causal, "not causal", 1, { ROWS_OF(6, 3) } },
        { "max_pool1d", &large, "no window of 7 steps fits", 1, { ROWS_OF(6, 3) } },
        { "avg_pool1d", &back, "-1 apart", 1, { ROWS_OF(6, 3) } },
        { "max_pool1d", &large, "rows [?, time, channels] are needed", 1, { ROWS_OF(3) } },
    };
    check_refusals(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pools),
        cmocka_unit_test(first_of_equals),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
