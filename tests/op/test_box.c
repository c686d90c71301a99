/* SPDX-License-Identifier: Apache-2.0 */
/* Boxes: slice_box, pad, tile, broadcast_to, of every rank, rows and not, forward and back, against plain loops. */
#include "op/boxes.h"

#include "pilaster/op.h"

/* Where element n of `out` comes from in `in`, position by position; -1: from nowhere. */
typedef int64_t (*origin)(const void *args, int axis, int64_t position, int64_t size);

static void move_reference(const struct trial *t, int64_t rows, const double *x, double *y, double otherwise, origin from)
{
    struct shape in = shape_with_batch(t->inputs[0].shape, rows), out = shape_with_batch(t->outputs[0], rows);
    int64_t index[SHAPE_MAX_RANK] = { 0 }, source[SHAPE_MAX_RANK];
    int skip = out.rank - in.rank;
    for (int64_t n = 0; n < shape_elements(out); n++) {
        bool inside = true;
        for (int i = 0; i < in.rank; i++) {
            source[i] = from(t->args, i, index[i + skip], in.dims[i]);
            inside &= source[i] >= 0 && source[i] < in.dims[i];
        }
        y[n] = inside ? x[flat(in, source)] : otherwise;
        for (int i = out.rank - 1; i >= 0 && ++index[i] == out.dims[i]; i--)
            index[i] = 0;
    }
}

static int64_t slice_origin(const void *args, int axis, int64_t position, int64_t size)
{
    (void)size;
    return position + ((const pil_slice_options *)args)->begin.dims[axis];
}

static int64_t pad_origin(const void *args, int axis, int64_t position, int64_t size)
{
    (void)size;
    return position - ((const pil_pad_options *)args)->before.dims[axis];
}

static int64_t tile_origin(const void *args, int axis, int64_t position, int64_t size)
{
    (void)args;
    (void)axis;
    return position % size;
}

static int64_t broadcast_origin(const void *args, int axis, int64_t position, int64_t size)
{
    (void)args;
    (void)axis;
    return size == 1 ? 0 : position;
}

static void slice_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    move_reference(t, rows, x[0], y[0], 0, slice_origin);
}

static void pad_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    move_reference(t, rows, x[0], y[0], (double)((const pil_pad_options *)t->args)->constant_value, pad_origin);
}

static void tile_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    move_reference(t, rows, x[0], y[0], 0, tile_origin);
}

static void broadcast_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    move_reference(t, rows, x[0], y[0], 0, broadcast_origin);
}

static const struct {
    struct shape in;
    pil_shape begin, size;
    struct shape out;
} slices[] = {
    { { 2, { BATCH_DIM, 5 } }, { 2, { 0, 2 } }, { 2, { -1, 2 } }, { 2, { BATCH_DIM, 2 } } },
    { { 2, { BATCH_DIM, 21 } }, { 2, { 0, 4 } }, { 2, { -1, -1 } }, { 2, { BATCH_DIM, 17 } } },
    { { 2, { BATCH_DIM, 5 } }, { 2, { 0, 0 } }, { 2, { -1, -1 } }, { 2, { BATCH_DIM, 5 } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 3, { 0, 1, 0 } }, { 3, { -1, 2, 4 } }, { 3, { BATCH_DIM, 2, 4 } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 3, { 0, 2, 1 } }, { 3, { -1, 1, 2 } }, { 3, { BATCH_DIM, 1, 2 } } },
    { { 3, { BATCH_DIM, 3, 4 } }, { 3, { 0, 1, 1 } }, { 3, { -1, 2, 2 } }, { 3, { BATCH_DIM, 2, 2 } } },
    { { 4, { BATCH_DIM, 2, 3, 2 } }, { 4, { 0, 1, 1, 0 } }, { 4, { -1, 1, 2, -1 } }, { 4, { BATCH_DIM, 1, 2, 2 } } },
    { { 1, { BATCH_DIM } }, { 1, { 0 } }, { 1, { -1 } }, { 1, { BATCH_DIM } } },
    { { 1, { 6 } }, { 1, { 2 } }, { 1, { 3 } }, { 1, { 3 } } },
    { { 1, { 6 } }, { 1, { 6 } }, { 1, { -1 } }, { 1, { 0 } } },
    { { 2, { 4, 5 } }, { 2, { 1, 3 } }, { 2, { 2, -1 } }, { 2, { 2, 2 } } },
    { { 3, { 2, 3, 4 } }, { 3, { 1, 0, 2 } }, { 3, { 1, 2, 2 } }, { 3, { 1, 2, 2 } } },
    { { 0, { 0 } }, { 0, { 0 } }, { 0, { 0 } }, { 0, { 0 } } },
};

/* Of a view that reads a box: its square, so that nothing keeps it from being one. */
static void squared_slice(const struct trial *t, struct pil_graph *g, struct pil_tensor *const *x, struct pil_tensor **results)
{
    results[0] = graph_op1(g, "square", NULL, graph_op1(g, "slice_box", t->args, x[0]));
}

static void squared_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    slice_reference(t, rows, x, y);
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] *= y[0][n];
}

static void slice_box(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(slices); i++) {
        pil_slice_options args = { slices[i].begin, slices[i].size };
        bool rows = has_rows(slices[i].in);
        try_move("slice_box", &args, slices[i].in, slices[i].out, slice_reference);
        struct trial t = { .op = "slice_box",
                           .args = &args,
                           .inputs = { { .shape = slices[i].in } },
                           .input_count = 1,
                           .outputs = { slices[i].out },
                           .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                           .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                           .reference = squared_reference,
                           .compose = squared_slice };
        try_op(&t);
    }
}

static void pad(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(slices); i++)
        for (int k = 0; k < 3; k++) {
            struct shape in = slices[i].out, out = in;
            pil_pad_options args = { .before = { .rank = in.rank },
                                     .after = { .rank = in.rank },
                                     .constant_value = k == 2 ? -1.5f : 0 };
            for (int a = 0; a < in.rank; a++) {
                args.before.dims[a] = in.dims[a] == BATCH_DIM ? 0 : (k + a) % 3;
                args.after.dims[a] = in.dims[a] == BATCH_DIM ? 0 : k * a % 4;
                out.dims[a] += args.before.dims[a] + args.after.dims[a];
            }
            try_move("pad", &args, in, out, pad_reference);
        }
}

static void tile(void **state)
{
    (void)state;
    static const int64_t times[] = { 1, 3, 2, 1, 2 };
    for (size_t i = 0; i < COUNT_OF(slices); i++)
        for (size_t k = 0; k < COUNT_OF(times); k++) {
            struct shape in = slices[i].in, out = in;
            pil_tile_options args = { { .rank = in.rank } };
            for (int a = 0; a < in.rank; a++) {
                args.multiples.dims[a] = in.dims[a] == BATCH_DIM ? 1 : times[(k + (size_t)a) % COUNT_OF(times)];
                out.dims[a] *= args.multiples.dims[a];
            }
            try_move("tile", &args, in, out, tile_reference);
        }
    try_move("tile", &(pil_tile_options){ { 1, { 0 } } }, SHAPE(3), SHAPE(0), tile_reference);
}

static void broadcast_to(void **state)
{
    (void)state;
    static const struct {
        struct shape in, out;
    } list[] = {
        { { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 5 } } },
        { { 3, { BATCH_DIM, 1, 4 } }, { 3, { BATCH_DIM, 3, 4 } } },
        { { 3, { BATCH_DIM, 3, 1 } }, { 3, { BATCH_DIM, 3, 17 } } },
        { { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 5 } } },
        { { 1, { 1 } }, { 1, { 6 } } },
        { { 0, { 0 } }, { 2, { 2, 3 } } },
        { { 2, { 3, 1 } }, { 3, { 2, 3, 4 } } },
        { { 1, { 4 } }, { 2, { 3, 4 } } },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        try_move("broadcast_to", &(struct op_reshape_args){ list[i].out }, list[i].in, list[i].out, broadcast_reference);
}

/* A variable as the rows of a batch, beside which another input tells how many there are. */
static void as_rows(const struct trial *t, struct pil_graph *g, struct pil_tensor *const *x, struct pil_tensor **results)
{
    struct pil_tensor *rows = graph_op1(g, "broadcast_to", t->args, x[0]);
    assert_true(OP_ROWS(rows->type) && rows->node->behaviour == BEHAVIOUR_ROW_BY_ROW);
    results[0] = graph_op2(g, "mul", NULL, rows, x[1]);
}

static void as_rows_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    int64_t columns = width(t->outputs[0]), all = width(t->inputs[0].shape);
    for (int64_t n = 0; n < rows * columns; n++)
        y[0][n] = x[0][n % all] * x[1][n];
}

static void a_variable_as_rows(void **state)
{
    (void)state;
    static const struct {
        struct shape in, out;
    } list[] = {
        { { 1, { 5 } }, { 2, { BATCH_DIM, 5 } } },
        { { 2, { 1, 5 } }, { 2, { BATCH_DIM, 5 } } },
        { { 0, { 0 } }, { 2, { BATCH_DIM, 3 } } },
        { { 2, { 3, 4 } }, { 3, { BATCH_DIM, 3, 4 } } },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        struct op_reshape_args args = { list[i].out };
        struct trial t = { .op = "broadcast_to",
                           .args = &args,
                           .inputs = { { .shape = list[i].in }, { .shape = list[i].out } },
                           .input_count = 2,
                           .outputs = { list[i].out },
                           .extent = EXTENT_ROWS,
                           .behaviour = BEHAVIOUR_ROW_BY_ROW,
                           .reference = as_rows_reference,
                           .compose = as_rows };
        try_op(&t);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const pil_slice_options batch = { { 2, { 1, 0 } }, { 2, { -1, -1 } } }, few = { { 2, { 0, 0 } }, { 2, { 5, -1 } } },
                                   over = { { 2, { 0, 2 } }, { 2, { -1, 2 } } }, before = { { 2, { 0, -1 } }, { 2, { -1, 1 } } },
                                   behind = { { 2, { 0, 4 } }, { 2, { -1, -1 } } },
                                   wrap = { { 2, { 0, 1 } }, { 2, { -1, INT64_MAX } } },
                                   less = { { 2, { 0, 1 } }, { 2, { -1, -2 } } }, ranks = { { 2, { 0, 1 } }, { 1, { -1 } } };
    static const pil_pad_options rows = { { 2, { 1, 0 } }, { 2, { 0, 0 } }, 0 }, below = { { 2, { 0, -1 } }, { 2, { 0, 0 } }, 0 },
                                 huge = { { 2, { 0, 0 } }, { 2, { 0, INT64_MAX } }, 0 },
                                 short_after = { { 2, { 0, 0 } }, { 1, { 0 } }, 0 };
    static const pil_tile_options twice = { { 2, { 2, 1 } } }, negative = { { 2, { 1, -1 } } },
                                  vast = { { 2, { 1, INT64_MAX } } }, one = { { 1, { 1 } } };
    static const struct op_reshape_args four = { { 2, { BATCH_DIM, 4 } } }, fixed = { { 2, { 5, 3 } } };
    static const struct refusal list[] = {
        { "slice_box", &batch, "the batch axis cannot be cut", 1, { ROWS_OF(3) } },
        { "slice_box", &few, "the batch axis cannot be cut", 1, { ROWS_OF(3) } },
        { "slice_box", &over, "2 positions from 2 on do not lie in axis 1 of size 3", 1, { ROWS_OF(3) } },
        { "slice_box", &before, "do not lie in axis 1", 1, { ROWS_OF(3) } },
        { "slice_box", &behind, "do not lie in axis 1", 1, { ROWS_OF(3) } },
        { "slice_box", &wrap, "do not lie in axis 1", 1, { ROWS_OF(3) } },
        { "slice_box", &less, "do not lie in axis 1", 1, { ROWS_OF(3) } },
        { "slice_box", &ranks, "size: 1 numbers for 2 axes", 1, { ROWS_OF(3) } },
        { "slice_box", &over, "begin: 2 numbers for 3 axes", 1, { ROWS_OF(3, 4) } },
        { "slice_box", &over, "a dense tensor is needed", 1, { IDS } },
        { "pad", &rows, "the batch axis cannot be padded", 1, { ROWS_OF(3) } },
        { "pad", &below, "axis 1 cannot be padded by -1 and 0", 1, { ROWS_OF(3) } },
        { "pad", &huge, "axis 1 cannot be padded", 1, { ROWS_OF(3) } },
        { "pad", &short_after, "after: 1 numbers for 2 axes", 1, { ROWS_OF(3) } },
        { "pad", &rows, "input 1 is sparse", 1, { IDS } },
        { "pad", &rows, "input 1 is int64", 1, { INTEGERS(3) } },
        { "tile", &twice, "the batch axis cannot be repeated", 1, { ROWS_OF(3) } },
        { "tile", &negative, "axis 1 cannot be repeated -1 times", 1, { ROWS_OF(3) } },
        { "tile", &vast, "axis 1 cannot be repeated", 1, { ROWS_OF(3) } },
        { "tile", &one, "multiples: 1 numbers for 2 axes", 1, { ROWS_OF(3) } },
        { "tile_gradient", NULL, "the first is no repetition of the second", 2, { ROWS_OF(5), ROWS_OF(3) } },
        { "tile_gradient", NULL, "the first is no repetition of the second", 2, { DENSE(6), DENSE(1, 3) } },
        { "broadcast_to", &four, "cannot be repeated to [?, 4]", 1, { ROWS_OF(3) } },
        { "broadcast_to", &fixed, "cannot be repeated to [5, 3]", 1, { ROWS_OF(3) } },
        { "broadcast_to", &four, "input 1 is sparse", 1, { IDS } },
    };
    check_refusals(list, COUNT_OF(list));
}

static void onnx(void **state)
{
    (void)state;
    static const pil_slice_options plain = { { 3, { 0, 0, 0 } }, { 3, { 3, 10, 5 } } },
                                   default_axes = { { 3, { 0, 0, 3 } }, { 3, { 20, 10, 1 } } },
                                   negative = { { 3, { 0, 0, 0 } }, { 3, { 20, 9, 5 } } };
    static const struct op_reshape_args changed = { { 3, { 2, 3, 6 } } }, unchanged = { { 2, { 3, 4 } } };
    static const struct onnx_case list[] = {
        { "Slice/slice", "slice_box", &plain, 1, false },
        { "Slice/slice_default_axes", "slice_box", &default_axes, 1, false },
        { "Slice/slice_default_steps", "slice_box", &default_axes, 1, false },
        { "Slice/slice_negative_axes", "slice_box", &default_axes, 1, false },
        { "Slice/slice_neg", "slice_box", &negative, 1, false },
        { "Expand/expand_dim_changed", "broadcast_to", &changed, 1, false },
        { "Expand/expand_dim_unchanged", "broadcast_to", &unchanged, 1, false },
    };
    onnx_try(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice_box),          cmocka_unit_test(pad),      cmocka_unit_test(tile), cmocka_unit_test(broadcast_to),
        cmocka_unit_test(a_variable_as_rows), cmocka_unit_test(refusals), cmocka_unit_test(onnx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
