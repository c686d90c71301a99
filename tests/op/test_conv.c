/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution over time in every padding, stride and dilation, with gradients by differences; what is refused. */
#include "op/refusals.h"
#include "pilaster/op.h"

/* Where the first window begins, by TensorFlow's rule in its own words: total padding max((out - 1) s + k' - in, 0). */
static int64_t begin_of(const pil_conv1d_options *o, int64_t time, int64_t size, int64_t count)
{
    int64_t reach = (size - 1) * o->dilation_rate + 1, needed = (count - 1) * o->stride + reach - time;
    return o->padding == PIL_PADDING_CAUSAL ? reach - 1 : o->padding == PIL_PADDING_SAME && needed > 0 ? needed / 2 : 0;
}

static void reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    const pil_conv1d_options *o = t->args;
    const int64_t time = t->inputs[0].shape.dims[1], channels = t->inputs[0].shape.dims[2];
    const int64_t size = t->inputs[1].shape.dims[0], filters = t->inputs[1].shape.dims[2], count = t->outputs[0].dims[1];
    const int64_t begin = begin_of(o, time, size, count);
    for (int64_t n = 0; n < rows * count * filters; n++) {
        int64_t f = n % filters, i = n / filters % count, r = n / filters / count;
        y[0][n] = 0;
        for (int64_t k = 0; k < size; k++) {
            int64_t at = i * o->stride + k * o->dilation_rate - begin;
            for (int64_t c = 0; at >= 0 && at < time && c < channels; c++)
                y[0][n] += x[0][(r * time + at) * channels + c] * x[1][(k * channels + c) * filters + f];
        }
    }
}

static void convolutions(void **state)
{
    (void)state;
    static const struct {
        int64_t time, channels, size, filters, stride, dilation, count;
        pil_padding padding;
    } list[] = {
        { 6, 3, 3, 4, 1, 1, 4, PIL_PADDING_VALID },  { 6, 3, 3, 4, 1, 1, 6, PIL_PADDING_SAME },
        { 6, 3, 4, 17, 1, 1, 6, PIL_PADDING_SAME },  { 7, 2, 3, 5, 2, 1, 4, PIL_PADDING_SAME },
        { 8, 2, 3, 5, 2, 1, 3, PIL_PADDING_VALID },  { 6, 3, 3, 4, 1, 1, 6, PIL_PADDING_CAUSAL },
        { 7, 2, 2, 3, 1, 3, 7, PIL_PADDING_CAUSAL }, { 7, 2, 3, 3, 1, 2, 3, PIL_PADDING_VALID },
        { 5, 2, 3, 3, 1, 2, 5, PIL_PADDING_SAME },   { 5, 1, 2, 1, 1, 1, 4, PIL_PADDING_VALID },
        { 3, 2, 1, 16, 1, 1, 3, PIL_PADDING_VALID }, { 7, 1, 2, 1, 3, 1, 3, PIL_PADDING_SAME },
        { 7, 2, 1, 3, 3, 1, 3, PIL_PADDING_SAME },   { 4, 1, 1, 1, 1, 1, 4, PIL_PADDING_VALID },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        const pil_conv1d_options args = { .stride = list[i].stride,
                                          .padding = list[i].padding,
                                          .dilation_rate = list[i].dilation };
        struct trial t = { .op = "conv1d",
                           .args = &args,
                           .inputs = { { .shape = SHAPE(BATCH_DIM, list[i].time, list[i].channels) },
                                       { .shape = SHAPE(list[i].size, list[i].channels, list[i].filters) } },
                           .input_count = 2,
                           .outputs = { SHAPE(BATCH_DIM, list[i].count, list[i].filters) },
                           .extent = EXTENT_ROWS,
                           .behaviour = BEHAVIOUR_ROW_BY_ROW,
                           .reference = reference };
        try_op(&t);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const pil_conv1d_options plain = { .stride = 1, .dilation_rate = 1 }, still = { .dilation_rate = 1 },
                                    odd = { .stride = 1, .padding = (pil_padding)7, .dilation_rate = 1 },
                                    wide = { .stride = 1, .dilation_rate = 3 };
    static const struct refusal list[] = {
        { "conv1d", &plain, "the kernel has 2 channels, the input 3", 2, { ROWS_OF(6, 3), DENSE(2, 2, 4) } },
        { "conv1d", &plain, "the kernel must be [size, channels, filters]", 2, { ROWS_OF(6, 3), DENSE(3, 4) } },
        { "conv1d", &plain, "rows [?, time, channels] are needed", 2, { ROWS_OF(3), DENSE(2, 3, 4) } },
        { "conv1d", &plain, "no window of 7 steps fits", 2, { ROWS_OF(6, 3), DENSE(7, 3, 4) } },
        { "conv1d", &wide, "no window of 7 steps fits", 2, { ROWS_OF(6, 3), DENSE(3, 3, 4) } },
        { "conv1d", &still, "0 apart", 2, { ROWS_OF(6, 3), DENSE(2, 3, 4) } },
        { "conv1d", &odd, "there is no padding number 7", 2, { ROWS_OF(6, 3), DENSE(2, 3, 4) } },
    };
    check_refusals(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
