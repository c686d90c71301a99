/* SPDX-License-Identifier: Apache-2.0 */
/* How many windows there are and where the first begins, as TensorFlow counts (tf.nn.convolution, "Notes on padding"). */
#include "op/window.h"

const char *const window_padding_words[] = {
    [PIL_PADDING_VALID] = "valid", [PIL_PADDING_SAME] = "same", [PIL_PADDING_CAUSAL] = "causal", NULL
};

struct windows windows_of(int64_t time, int64_t size, int64_t stride, int64_t dilation, pil_padding padding)
{
    struct windows w = { .size = size, .stride = stride, .dilation = dilation, .time = time };
    const int64_t reach = (size - 1) * dilation + 1;
    if (padding == PIL_PADDING_SAME) {
        w.count = (time + stride - 1) / stride;
        w.before = MAX((w.count - 1) * stride + reach - time, 0) / 2;
    } else {
        w.before = padding == PIL_PADDING_CAUSAL ? reach - 1 : 0;
        w.count = time + w.before < reach ? 0 : (time + w.before - reach) / stride + 1;
    }
    w.total = MAX(w.before + time, (w.count - 1) * stride + reach);
    return w;
}

bool windows_check(struct op_infer *infer, const struct op_type *x, int64_t size, int64_t stride, int64_t dilation,
                   pil_padding padding)
{
    enum { MOST = 1 << 20 };
    if (x->sparse || x->shape.rank != 3 || !OP_ROWS(*x) || x->shape.dims[1] < 1 || x->shape.dims[2] < 1)
        return op_fail(infer, "rows [?, time, channels] are needed");
    if (size < 1 || size > MOST || stride < 1 || stride > MOST || dilation < 1 || dilation > MOST)
        return op_fail(infer, "windows of %lld steps, %lld apart, dilated by %lld: each must be from 1 to %d", (long long)size,
                       (long long)stride, (long long)dilation, (int)MOST);
    if ((int)padding < PIL_PADDING_VALID || (int)padding > PIL_PADDING_CAUSAL)
        return op_fail(infer, "there is no padding number %d", (int)padding);
    if (x->shape.dims[1] > (int64_t)1 << 40 || windows_of(x->shape.dims[1], size, stride, dilation, padding).count < 1)
        return op_fail(infer, "no window of %lld steps fits", (long long)((size - 1) * dilation + 1));
    return true;
}
