/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dense values: rows of contiguous elements, `ld` elements apart, with zeros behind each row up to a multiple of PAD.
 *
 *     shape [3, 20]:   |<- cols: 20 ->|<- 12 zeros ->|
 *                      |              |              |     ld = 32
 *                      |              |              |
 *
 * A kernel may read and write whole groups of PAD elements; nothing else may depend on what the pads hold but that they are
 * zero to begin with. Copies know the elements only.
 */
#include "tensor/tensor.h"

#include <string.h>

enum { BLOCK = 64 }; /* an owned tensor's bytes are rounded up to it: one column alone has no pads, vectors may still load it */

/* a * b, or INT64_MAX where that is more (negative factors: symbolic dimensions, which no value has; 0 then). */
static int64_t product(int64_t a, int64_t b)
{
    if (a <= 0 || b <= 0)
        return 0;
    return a > INT64_MAX / b ? INT64_MAX : a * b;
}

void tensor_cut(struct shape shape, bool is_rows, int64_t *rows, int64_t *cols)
{
    int border = is_rows ? MIN(1, shape.rank) : MAX(shape.rank - 1, 0); /* axes before it make the rows */
    *rows = *cols = 1;
    for (int i = 0; i < shape.rank; i++)
        if (i < border)
            *rows = product(*rows, shape.dims[i]);
        else
            *cols = product(*cols, shape.dims[i]);
}

struct tensor tensor_view(void *data, enum dtype dtype, struct shape shape, bool is_rows)
{
    struct tensor view = { .data = data, .dtype = dtype, .shape = shape };
    tensor_cut(shape, is_rows, &view.rows, &view.cols);
    view.ld = pad_columns(view.cols);
    return view;
}

size_t tensor_bytes(enum dtype dtype, struct shape shape, bool is_rows)
{
    int64_t rows, cols;
    tensor_cut(shape, is_rows, &rows, &cols);
    if (cols > INT64_MAX - PAD)
        return SIZE_MAX;
    int64_t bytes = product(product(rows, pad_columns(cols)), (int64_t)dtype_size(dtype));
    return bytes == INT64_MAX || (uint64_t)bytes > SIZE_MAX ? SIZE_MAX : (size_t)bytes;
}

bool tensor_new(struct tensor *out, enum dtype dtype, struct shape shape, bool is_rows, pil_status *status)
{
    char text[128];
    *out = (struct tensor){ 0 };
    if (dtype_size(dtype) == 0)
        return status_fail(status, PIL_INVALID_ARGUMENT, "a tensor cannot hold values of type %s", dtype_name(dtype));
    for (int i = 0; i < shape.rank; i++)
        if (shape.dims[i] < 0)
            return status_fail(status, PIL_INVALID_ARGUMENT, "a tensor needs all its dimensions, not %s",
                               shape_text(shape, text));
    size_t bytes = tensor_bytes(dtype, shape, is_rows);
    if (bytes > SIZE_MAX - BLOCK)
        return status_fail(status, PIL_NO_MEMORY, "a tensor of shape %s is larger than any memory", shape_text(shape, text));
    void *data = mem_block(MAX((bytes + BLOCK - 1) / BLOCK * BLOCK, (size_t)BLOCK), status);
    if (data == NULL)
        return false;
    *out = tensor_view(data, dtype, shape, is_rows);
    return true;
}

void tensor_free(struct tensor *tensor)
{
    if (tensor == NULL)
        return;
    mem_free(tensor->data);
    *tensor = (struct tensor){ 0 };
}

/* Both sides are walked in the order of elements, in runs that end where a row of either side ends. So it does not matter how
 * each side is cut into rows: [4, 3, 2] may be 4 x 6 here and 12 x 2 there. */
void tensor_copy(const struct tensor *from, const struct tensor *to)
{
    const size_t size = dtype_size(from->dtype);
    const char *source = from->data;
    char *target = to->data;
    int64_t left = MIN(from->rows * from->cols, to->rows * to->cols);
    bool packed = (from->ld == from->cols || from->rows == 1) && (to->ld == to->cols || to->rows == 1);
    if (packed && left > 0) {
        memcpy(target, source, (size_t)left * size);
        return;
    }
    for (int64_t i = 0, j = 0, run; left > 0; left -= run) { /* columns within the current rows */
        run = MIN(from->cols - i, to->cols - j);
        memcpy(target + (size_t)j * size, source + (size_t)i * size, (size_t)run * size);
        i += run;
        j += run;
        if (i == from->cols) {
            source += (size_t)from->ld * size;
            i = 0;
        }
        if (j == to->cols) {
            target += (size_t)to->ld * size;
            j = 0;
        }
    }
}

/* The same values as one row without pads. */
static struct tensor one_row(const struct tensor *like, void *data)
{
    struct tensor row = *like;
    row.data = data;
    row.cols = row.ld = like->rows * like->cols;
    row.rows = 1;
    return row;
}

void tensor_pack(const struct tensor *from, void *contiguous)
{
    struct tensor to = one_row(from, contiguous);
    tensor_copy(from, &to);
}

void tensor_unpack(const void *contiguous, const struct tensor *to)
{
    struct tensor from = one_row(to, (void *)(uintptr_t)contiguous);
    tensor_copy(&from, to);
}
