/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One tensor into several and back: concat, stack, split, split_sizes, unstack along every axis of every rank, forward and back;
 * parts as views and copied, all of them read or some.
 */
#include "op/boxes.h"

#include "pilaster/op.h"

static void concat_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    struct shape out = shape_with_batch(t->outputs[0], rows);
    int axis = axis_of(((const struct op_axis_args *)t->args)->axis, out);
    int64_t at = 0;
    for (int i = 0; i < t->input_count; i++) {
        struct shape in = shape_with_batch(t->inputs[i].shape, rows);
        copy_shifted(x[i], in, y[0], out, axis, at);
        at += in.dims[axis];
    }
}

static void concat(void **state)
{
    (void)state;
    for (size_t b = 0; b < COUNT_OF(boxes); b++)
        for (int axis = boxes[b].first_axis; axis < boxes[b].shape.rank; axis++)
            for (int back = 0; back < 2; back++) {
                struct op_axis_args args = { back ? axis - boxes[b].shape.rank : axis };
                bool rows = has_rows(boxes[b].shape);
                struct trial t = { .op = "concat",
                                   .args = &args,
                                   .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                                   .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                                   .reference = concat_reference,
                                   .outputs = { boxes[b].shape } };
                t.outputs[0].dims[axis] = 0;
                for (int i = 0; i < 4; i++) { /* of sizes 1, 2, 3, ... and the box's own */
                    t.inputs[i].shape = boxes[b].shape;
                    t.inputs[i].shape.dims[axis] = i < 3 ? i + 1 : boxes[b].shape.dims[axis];
                    t.outputs[0].dims[axis] += t.inputs[i].shape.dims[axis];
                    t.input_count = i + 1;
                    try_op(&t);
                }
            }
}

static void stack_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    struct shape out = shape_with_batch(t->outputs[0], rows);
    int axis = axis_of(((const struct op_axis_args *)t->args)->axis, out);
    struct shape part = out;
    part.dims[axis] = 1;
    for (int i = 0; i < t->input_count; i++)
        copy_shifted(x[i], part, y[0], out, axis, i);
}

static struct shape inserted(struct shape shape, int axis, int64_t size)
{
    struct shape out = { .rank = shape.rank + 1 };
    for (int i = 0; i < out.rank; i++)
        out.dims[i] = i < axis ? shape.dims[i] : i == axis ? size : shape.dims[i - 1];
    return out;
}

static void stack(void **state)
{
    (void)state;
    for (size_t b = 0; b < COUNT_OF(boxes); b++)
        for (int axis = boxes[b].first_axis; axis <= boxes[b].shape.rank; axis++)
            for (int count = 1; count < 4; count++) {
                bool rows = has_rows(boxes[b].shape);
                struct op_axis_args args = { count == 2 ? axis - boxes[b].shape.rank - 1 : axis };
                struct trial t = { .op = "stack",
                                   .args = &args,
                                   .input_count = count,
                                   .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                                   .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                                   .reference = stack_reference,
                                   .outputs = { inserted(boxes[b].shape, axis, count) } };
                for (int i = 0; i < count; i++)
                    t.inputs[i].shape = boxes[b].shape;
                try_op(&t);
            }
}

/* In front of the batch: [3, ?], of which a transpose makes rows again. */
static void stack_first(const struct trial *t, struct pil_graph *g, struct pil_tensor *const *x, struct pil_tensor **results)
{
    struct pil_tensor *parts[3];
    struct pil_tensor *all = graph_op(g, "stack", &(struct op_axis_args){ 0 }, x, t->input_count, NULL);
    assert_true(all->type.extent == EXTENT_BATCH && all->node->behaviour == BEHAVIOUR_WHOLE);
    graph_op(g, "unstack", &(pil_split_options){ 0, 3 }, &all, 1, parts);
    assert_true(OP_ROWS(parts[1]->type));
    results[0] = graph_op2(g, "mul", NULL, parts[0], graph_op2(g, "mul", NULL, parts[1], parts[2]));
}

static void product_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    for (int64_t n = 0; n < elements(t->outputs[0], rows); n++)
        y[0][n] = x[0][n] * x[1][n] * x[2][n];
}

static void in_front_of_the_batch(void **state)
{
    (void)state;
    struct shape shape = { 2, { BATCH_DIM, 4 } };
    struct trial t = { .op = "stack",
                       .inputs = { { .shape = shape }, { .shape = shape }, { .shape = shape } },
                       .input_count = 3,
                       .outputs = { shape },
                       .extent = EXTENT_ROWS,
                       .behaviour = BEHAVIOUR_ROW_BY_ROW,
                       .reference = product_reference,
                       .compose = stack_first };
    try_op(&t);
}

/* ---- parts: of each the square, so that a part may be a view; with one part missing its gradient is zeros ---- */

struct cut {
    const char *op;
    const void *args;
    int count, axis;
    int64_t sizes[MOST_OUTPUTS];
    bool squared;
    int left_out; /* the part whose square is not read, or -1 */
};
static const struct cut *cut; /* of the trial that runs */

static struct shape part_shape(const struct cut *c, struct shape in, int i)
{
    in.dims[c->axis] = c->sizes[i];
    return in;
}

static void cut_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    struct shape in = shape_with_batch(t->inputs[0].shape, rows);
    int64_t first = 0;
    for (int i = 0, k = 0; i < cut->count; first += cut->sizes[i++]) {
        if (i == cut->left_out)
            continue;
        struct shape part = part_shape(cut, in, i);
        copy_shifted(x[0], in, y[k], part, cut->axis, -first);
        for (int64_t n = 0; cut->squared && n < shape_elements(part); n++)
            y[k][n] *= y[k][n];
        k++;
    }
}

static void cut_compose(const struct trial *t, struct pil_graph *g, struct pil_tensor *const *x, struct pil_tensor **results)
{
    struct pil_tensor *parts[MOST_OUTPUTS + 1];
    (void)t;
    graph_op(g, cut->op, cut->args, x, 1, parts);
    assert_ok(*graph_status(g));
    assert_int_equal(parts[0]->node->output_count, cut->count);
    for (int i = 0, k = 0; i < cut->count; i++)
        if (i != cut->left_out)
            results[k++] = cut->squared ? graph_op1(g, "square", NULL, parts[i]) : parts[i];
}

static void try_cut(struct cut *c, struct shape in)
{
    bool rows = has_rows(in), unstacked = strcmp(c->op, "unstack") == 0;
    for (int form = 0; form < 2; form++)
        for (int left_out = -1; left_out < c->count; left_out++) {
            if (left_out >= 0 && c->count == 1)
                continue;
            struct trial t = { .op = c->op,
                               .inputs = { { .shape = in } },
                               .input_count = 1,
                               .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                               .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                               .reference = cut_reference,
                               .compose = cut_compose };
            for (int i = 0; i < c->count; i++) {
                struct shape out = part_shape(c, in, i);
                for (int a = c->axis; unstacked && a < in.rank; a++)
                    out.dims[a] = a + 1 < in.rank ? in.dims[a + 1] : 0;
                out.rank -= unstacked;
                if (i != left_out)
                    t.outputs[t.output_count++] = out;
            }
            c->squared = form;
            c->left_out = left_out;
            cut = c;
            try_op(&t);
        }
}

static void split(void **state)
{
    (void)state;
    for (size_t b = 0; b < COUNT_OF(boxes); b++)
        for (int axis = boxes[b].first_axis; axis < boxes[b].shape.rank; axis++)
            for (int num = 1; num <= MOST_OUTPUTS; num++) {
                int64_t size = boxes[b].shape.dims[axis];
                pil_split_options args = { num % 2 ? axis : axis - boxes[b].shape.rank, num };
                struct cut c = { .op = "split", .args = &args, .count = num, .axis = axis };
                for (int i = 0; i < num; i++)
                    c.sizes[i] = size / num;
                if (size % num == 0)
                    try_cut(&c, boxes[b].shape);
                if (size != num)
                    continue;
                c.op = "unstack";
                try_cut(&c, boxes[b].shape);
            }
}

static void split_sizes(void **state)
{
    (void)state;
    for (size_t b = 0; b < COUNT_OF(boxes); b++)
        for (int axis = boxes[b].first_axis; axis < boxes[b].shape.rank; axis++) {
            int64_t size = boxes[b].shape.dims[axis];
            pil_split_sizes_options args = { axis, 4, { 1, 0, size - 2, 1 } };
            struct cut c = { .op = "split_sizes", .args = &args, .count = 4, .axis = axis, .sizes = { 1, 0, size - 2, 1 } };
            try_cut(&c, boxes[b].shape);
        }
}

/* An op that could write over its input must not while it reads a part of it. */
static void beside_itself(const struct trial *t, struct pil_graph *g, struct pil_tensor *const *x, struct pil_tensor **results)
{
    struct pil_tensor *parts[2], *whole = graph_op1(g, "square", NULL, x[0]);
    (void)t;
    graph_op(g, "split_sizes", &(pil_split_sizes_options){ 1, 2, { 1, 4 } }, &whole, 1, parts);
    results[0] = graph_op2(g, "mul", NULL, whole, parts[0]);
}

static void beside_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    (void)t;
    for (int64_t n = 0; n < rows * 5; n++)
        y[0][n] = x[0][n] * x[0][n] * x[0][n / 5 * 5] * x[0][n / 5 * 5];
}

static void a_part_beside_the_whole(void **state)
{
    (void)state;
    struct shape shape = { 2, { BATCH_DIM, 5 } };
    struct trial t = { .op = "split_sizes",
                       .inputs = { { .shape = shape } },
                       .input_count = 1,
                       .outputs = { shape },
                       .extent = EXTENT_ROWS,
                       .behaviour = BEHAVIOUR_ROW_BY_ROW,
                       .reference = beside_reference,
                       .compose = beside_itself };
    try_op(&t);
}

/* Nothing is copied where parts are columns: not of matrices, not of sequences; a reader that takes no views gets its own part.
 */
static void parts_are_views(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct pil_graph *g = graph_new(&status);
    struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3, 4), false), *parts[3], *columns[4], *fetches[4];
    graph_op(g, "unstack", &(pil_split_options){ 1, 3 }, &x, 1, parts);
    graph_op(g, "split", &(pil_split_options){ 2, 4 }, &x, 1, columns);
    struct pil_tensor *w = graph_variable(g, "w", SHAPE(4, 2), (pil_initializer){ 0 }, true);
    fetches[0] = graph_op1(g, "square", NULL, parts[0]);
    fetches[1] = graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, parts[1], w);
    fetches[2] = parts[2];
    fetches[3] = graph_op1(g, "square", NULL, columns[1]);
    struct plan *plan = plan_compile(g, fetches, 4, &status);
    assert_ok(status);
    const struct plan_tensor *first = &plan->tensors[plan_number(plan, parts[0])];
    assert_true(first->place == PLACE_COLUMNS && first->offset == 0);
    assert_int_equal(plan->tensors[plan_number(plan, parts[1])].place, PLACE_TILE);
    assert_int_equal(plan->tensors[plan_number(plan, parts[2])].place, PLACE_BATCH);
    assert_int_equal(plan->tensors[plan_number(plan, columns[1])].place, PLACE_TILE); /* its positions do not lie together */
    plan_free(plan);
    graph_free(g);
}

/* The gradient of many parts is one concat: it does not grow with the square of their number. */
static void one_gradient(void **state)
{
    (void)state;
    enum { PARTS = 200 };
    pil_status status = { 0 };
    struct pil_graph *g = graph_new(&status);
    struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, PARTS), false), *parts[PARTS];
    struct pil_tensor *w = graph_variable(g, "w", SHAPE(PARTS), (pil_initializer){ 0 }, true);
    struct pil_tensor *sum = NULL, *product = graph_op2(g, "mul", NULL, x, w);
    struct pil_tensor *first = pil_split(g, product, PARTS, 1, parts);
    assert_ptr_equal(first, parts[0]);
    for (int i = 0; i < PARTS - 1; i++)
        sum = sum ? graph_op2(g, "add", NULL, sum, parts[i]) : parts[i];
    struct pil_tensor *loss = graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, graph_op1(g, "sum_all", NULL, sum));
    assert_true(graph_gradients(g, loss));
    int joins = 0, zeros = 0, pads = 0;
    for (size_t n = 0; n < g->node_count; n++) {
        const char *op = g->nodes[n]->row ? g->nodes[n]->row->name : "";
        joins += strcmp(op, "concat") == 0;
        zeros += strcmp(op, "zeros_like") == 0;
        pads += strcmp(op, "pad_zeros") == 0;
    }
    assert_true(joins == 1 && zeros == 1 && pads == 0);
    graph_free(g);
}

/* Slices that the model makes one by one are joined too, where they lie side by side. */
static void joined_slices(void **state)
{
    (void)state;
    enum { PARTS = 20, WIDTH = 2 * PARTS + 3 };
    for (int form = 0; form < 3; form++) {
        pil_status status = { 0 };
        struct pil_graph *g = graph_new(&status);
        struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, WIDTH), false), *sum = NULL;
        struct pil_tensor *product =
            graph_op2(g, "mul", NULL, x, graph_variable(g, "w", SHAPE(WIDTH), (pil_initializer){ 0 }, true));
        for (int i = 0; i < PARTS * (form == 2 ? 2 : 1); i++) {
            int64_t first = 1 + 2 * ((i * 7) % PARTS); /* in any order; form 2: each twice */
            struct pil_tensor *part = form == 1 ? pil_slice(g, product, PIL_SHAPE(0, first), PIL_SHAPE(-1, 2))
                                                : graph_op1(g, "slice", &(struct op_slice_args){ 1, first, 2 }, product);
            part = graph_op1(g, "square", NULL, part);
            sum = sum ? graph_op2(g, "add", NULL, sum, part) : part;
        }
        graph_gradients(g, graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, graph_op1(g, "sum_all", NULL, sum)));
        assert_ok(*graph_status(g));
        struct pil_tensor *dense = g->variables[0]->gradient.dense[0];
        struct plan *plan = plan_compile(g, &dense, 1, &status);
        assert_ok(status);
        int joins = 0, pads = 0;
        for (int s = 0; s < plan->step_count; s++) {
            joins += strcmp(plan->steps[s].row->name, "concat") == 0;
            pads += strcmp(plan->steps[s].row->name, "pad_zeros") == 0;
        }
        assert_true(joins == (form == 2 ? 2 : 1) && pads == joins);
        plan_free(plan);
        graph_free(g);
    }
}

/* After an error every output is the error tensor, also where the number of parts is what is wrong. */
static void outputs_after_an_error(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 3; wrong++) {
        pil_status status = { 0 };
        struct pil_graph *g = graph_new(&status);
        static struct pil_tensor *parts[300];
        struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 300), false);
        size_t count = wrong == 0 ? 7 : wrong == 1 ? 300 : 0;
        parts[0] = x;
        struct pil_tensor *first = pil_split(g, x, count, 1, parts);
        assert_ptr_equal(first, graph_error_tensor(g));
        for (size_t i = 0; i < count; i++)
            assert_ptr_equal(parts[i], first);
        assert_true(count > 0 || parts[0] == x);
        assert_ptr_equal(pil_split_sizes(g, x, (int64_t[]){ 1, 299 }, 2, 1, parts), first);
        assert_ptr_equal(parts[1], first);
        graph_free(g);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct op_axis_args zero = { 0 }, one = { 1 }, three = { 3 }, far_back = { -3 };
    static const pil_split_options batch = { 0, 2 }, uneven = { 1, 2 }, none = { 1, 0 }, many = { 1, 257 }, absent = { 2, 2 },
                                   negative = { 1, -3 }, thirds = { 1, 3 };
    static const pil_split_sizes_options few = { 1, 2, { 1, 1 } }, over = { 1, 2, { 1, 3 } }, below = { 1, 2, { -1, 4 } },
                                         list = { 1, 65, { 3 } }, wrap = { 1, 3, { 1, INT64_MAX, 1 } };
    static const struct refusal refused[] = {
        { "concat", &one, "takes 1 or more inputs, got 0", 0, { { 0 } } },
        { "concat", &three, "axis 3 does not exist in a tensor of rank 2", 2, { ROWS_OF(3), ROWS_OF(3) } },
        { "concat", &far_back, "axis -3 does not exist", 1, { ROWS_OF(3) } },
        { "concat", &zero, "cannot be joined along the batch axis", 2, { ROWS_OF(3), ROWS_OF(3) } },
        { "concat", &one, "cannot be joined along the batch axis", 2, { TURNED(3), TURNED(3) } },
        { "concat", &one, "input 2 differs in axis 0", 2, { ROWS_OF(3), DENSE(2, 3) } },
        { "concat", &one, "input 2 has another type or rank", 2, { ROWS_OF(3), ONE_A_ROW } },
        { "concat", &one, "input 2 has another type or rank", 2, { ROWS_OF(3), INTEGERS(3) } },
        { "concat", &zero, "input 1 has another type or rank", 1, { IDS } },
        { "stack", &one, "takes 1 or more inputs, got 0", 0, { { 0 } } },
        { "stack", &three, "axis 3 does not exist in a tensor of rank 3", 2, { ROWS_OF(3), ROWS_OF(3) } },
        { "stack", &one, "input 2 has another type or shape", 2, { ROWS_OF(3), ROWS_OF(4) } },
        { "stack", &one, "input 2 has another type or shape", 2, { ROWS_OF(3), INTEGERS(3) } },
        { "stack", &zero, "input 1 has another type or shape", 1, { IDS } },
        { "stack", &zero, "8 axes are the most", 1, { DENSE(1, 1, 1, 1, 1, 1, 1, 1) } },
        { "split", &batch, "the batch axis cannot be split", 1, { ROWS_OF(3) } },
        { "split", &batch, "the batch axis cannot be split", 1, { ONE_A_ROW } },
        { "split", &uneven, "axis 1 of size 3 does not fall into 2 equal parts", 1, { ROWS_OF(3) } },
        { "split", &uneven, "the batch axis cannot be split", 1, { TURNED(3) } },
        { "split", &none, "0 parts: there can be 1 to 256", 1, { ROWS_OF(3) } },
        { "split", &many, "257 parts: there can be 1 to 256", 1, { ROWS_OF(257) } },
        { "split", &negative, "-3 parts", 1, { ROWS_OF(3) } },
        { "split", &absent, "axis 2 does not exist", 1, { ROWS_OF(3) } },
        { "split", &uneven, "a sparse tensor cannot be split", 1, { IDS } },
        { "split_sizes", &few, "the sizes add up to 2, axis 1 has 3", 1, { ROWS_OF(3) } },
        { "split_sizes", &over, "3 positions from 1 on do not lie in axis 1 of size 3", 1, { ROWS_OF(3) } },
        { "split_sizes", &below, "-1 positions from 0 on do not lie", 1, { ROWS_OF(3) } },
        { "split_sizes", &wrap, "do not lie in axis 1", 1, { ROWS_OF(3) } },
        { "split_sizes", &list, "65 sizes: there can be 64", 1, { ROWS_OF(3) } },
        { "unstack", &batch, "the batch axis cannot be split", 1, { ROWS_OF(3) } },
        { "unstack", &uneven, "axis 1 of size 3 does not fall into 2 parts of one", 1, { ROWS_OF(3) } },
        { "unstack", &absent, "axis 2 does not exist", 1, { ROWS_OF(3) } },
        { "unstack", &thirds, "a sparse tensor cannot be split", 1, { IDS } },
    };
    check_refusals(refused, COUNT_OF(refused));
}

static void onnx(void **state)
{
    (void)state;
    static const struct op_axis_args zero = { 0 }, one = { 1 }, two = { 2 }, last = { -1 }, before = { -2 }, third = { -3 };
    static const pil_split_options rows3 = { 0, 3 }, columns2 = { 1, 2 };
    static const pil_split_sizes_options uneven4 = { 0, 4, { 2, 2, 2, 1 } }, uneven3 = { 1, 3, { 3, 3, 2 } },
                                         two_four = { 0, 2, { 2, 4 } }, two_four_columns = { 1, 2, { 2, 4 } },
                                         nothing = { 0, 3, { 0, 0, 0 } };
    static const struct onnx_case list[] = {
        { "Concat/concat_1d_axis_0", "concat", &zero, 2, false },
        { "Concat/concat_1d_axis_negative_1", "concat", &last, 2, false },
        { "Concat/concat_2d_axis_0", "concat", &zero, 2, false },
        { "Concat/concat_2d_axis_1", "concat", &one, 2, true },
        { "Concat/concat_2d_axis_negative_1", "concat", &last, 2, true },
        { "Concat/concat_2d_axis_negative_2", "concat", &before, 2, false },
        { "Concat/concat_3d_axis_0", "concat", &zero, 2, false },
        { "Concat/concat_3d_axis_1", "concat", &one, 2, true },
        { "Concat/concat_3d_axis_2", "concat", &two, 2, true },
        { "Concat/concat_3d_axis_negative_1", "concat", &last, 2, true },
        { "Concat/concat_3d_axis_negative_2", "concat", &before, 2, true },
        { "Concat/concat_3d_axis_negative_3", "concat", &third, 2, false },
        { "Split/split_equal_parts_1d_opset13", "split", &rows3, 1, false, 3 },
        { "Split/split_equal_parts_1d_opset18", "split", &rows3, 1, false, 3 },
        { "Split/split_equal_parts_default_axis_opset13", "split", &rows3, 1, false, 3 },
        { "Split/split_equal_parts_default_axis_opset18", "split", &rows3, 1, false, 3 },
        { "Split/split_equal_parts_2d", "split", &columns2, 1, true, 2 },
        { "Split/split_equal_parts_2d_opset13", "split", &columns2, 1, true, 2 },
        { "Split/split_1d_uneven_split_opset18", "split_sizes", &uneven4, 1, false, 4 },
        { "Split/split_2d_uneven_split_opset18", "split_sizes", &uneven3, 1, true, 3 },
        { "Split/split_variable_parts_1d_opset13", "split_sizes", &two_four, 1, false, 2 },
        { "Split/split_variable_parts_1d_opset18", "split_sizes", &two_four, 1, false, 2 },
        { "Split/split_variable_parts_default_axis_opset13", "split_sizes", &two_four, 1, false, 2 },
        { "Split/split_variable_parts_default_axis_opset18", "split_sizes", &two_four, 1, false, 2 },
        { "Split/split_variable_parts_2d_opset13", "split_sizes", &two_four_columns, 1, true, 2 },
        { "Split/split_variable_parts_2d_opset18", "split_sizes", &two_four_columns, 1, true, 2 },
        { "Split/split_zero_size_splits_opset13", "split_sizes", &nothing, 1, false, 3 },
        { "Split/split_zero_size_splits_opset18", "split_sizes", &nothing, 1, false, 3 },
    };
    onnx_try(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(concat),
        cmocka_unit_test(stack),
        cmocka_unit_test(in_front_of_the_batch),
        cmocka_unit_test(split),
        cmocka_unit_test(split_sizes),
        cmocka_unit_test(a_part_beside_the_whole),
        cmocka_unit_test(parts_are_views),
        cmocka_unit_test(one_gradient),
        cmocka_unit_test(joined_slices),
        cmocka_unit_test(outputs_after_an_error),
        cmocka_unit_test(refusals),
        cmocka_unit_test(onnx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
