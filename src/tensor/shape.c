/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types and shapes. A shape is a small value that is passed and returned whole; unused dimensions are zero, so that equal
 * shapes are equal bytes. The symbolic batch is one number (BATCH_DIM) that equals only itself.
 */
#include "tensor/tensor.h"

#include <string.h>

/* ---- types --------------------------------------------------------------------------------------------------- */

static const struct {
    enum dtype dtype;
    size_t size;
    const char *name; /* TensorFlow's */
} dtypes[] = {
    { DTYPE_FLOAT32, 4, "float32" },   { DTYPE_FLOAT64, 8, "float64" }, { DTYPE_INT32, 4, "int32" },
    { DTYPE_UINT8, 1, "uint8" },       { DTYPE_INT16, 2, "int16" },     { DTYPE_INT8, 1, "int8" },
    { DTYPE_STRING, 0, "string" },     { DTYPE_INT64, 8, "int64" },     { DTYPE_BOOL, 1, "bool" },
    { DTYPE_BFLOAT16, 2, "bfloat16" }, { DTYPE_UINT16, 2, "uint16" },   { DTYPE_FLOAT16, 2, "float16" },
    { DTYPE_UINT32, 4, "uint32" },     { DTYPE_UINT64, 8, "uint64" },
};

size_t dtype_size(enum dtype dtype)
{
    for (size_t i = 0; i < COUNT_OF(dtypes); i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].size;
    return 0;
}

const char *dtype_name(enum dtype dtype)
{
    for (size_t i = 0; i < COUNT_OF(dtypes); i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].name;
    return "unknown type";
}

enum dtype dtype_find(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(dtypes); i++)
        if (slice_is(name, dtypes[i].name))
            return dtypes[i].dtype;
    return DTYPE_NONE;
}

/* ---- shapes -------------------------------------------------------------------------------------------------- */

bool shape_equal(struct shape a, struct shape b)
{
    return a.rank == b.rank && memcmp(a.dims, b.dims, (size_t)a.rank * sizeof(a.dims[0])) == 0;
}

int64_t shape_elements(struct shape shape)
{
    int64_t elements = 1;
    bool overflow = false, empty = false;
    for (int i = 0; i < shape.rank; i++) {
        if (shape.dims[i] < 0)
            return -1;
        empty = empty || shape.dims[i] == 0;
        if (!empty && shape.dims[i] > INT64_MAX / elements)
            overflow = true;
        elements *= overflow || empty ? 1 : shape.dims[i];
    }
    return empty ? 0 : overflow ? -1 : elements;
}

struct shape shape_with_batch(struct shape shape, int64_t rows)
{
    for (int i = 0; i < shape.rank; i++)
        if (shape.dims[i] == BATCH_DIM)
            shape.dims[i] = rows;
    return shape;
}

/* Dimensions are matched from the last one on; a missing one counts as 1. */
bool shape_broadcast(struct shape a, struct shape b, struct shape *out)
{
    struct shape result = { .rank = MAX(a.rank, b.rank) };
    for (int i = 1; i <= result.rank; i++) {
        int64_t of_a = i <= a.rank ? a.dims[a.rank - i] : 1;
        int64_t of_b = i <= b.rank ? b.dims[b.rank - i] : 1;
        if (of_a != of_b && of_a != 1 && of_b != 1)
            return false;
        result.dims[result.rank - i] = of_a == 1 ? of_b : of_a;
    }
    *out = result;
    return true;
}

const char *shape_text(struct shape shape, char out[128])
{
    print_shape(out, 128, shape.dims, shape.rank);
    return out;
}
