/* SPDX-License-Identifier: Apache-2.0 */
/* Windows over time, for convolution and pooling. Private to them. */
#ifndef PILASTER_OP_WINDOW_H
#define PILASTER_OP_WINDOW_H

#include "op/internal.h"
#include "pilaster/op.h"

/* Window i covers steps i stride - before + k dilation, k = 0 .. size - 1, of which those within x exist. */
struct windows {
    int64_t size, stride, dilation;
    int64_t time, count, before;
    int64_t total; /* steps with those added on both sides, at least to the end of the last window */
};

struct windows windows_of(int64_t time, int64_t size, int64_t stride, int64_t dilation, pil_padding padding);
/* What a shape rule says of them: numbers in their ranges, x [?, time, channels], one window at least. */
bool windows_check(struct op_infer *infer, const struct op_type *x, int64_t size, int64_t stride, int64_t dilation,
                   pil_padding padding);

extern const char *const window_padding_words[];

#endif
