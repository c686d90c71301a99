/* SPDX-License-Identifier: Apache-2.0 */
/* Finding ops and checking their use: the families' rows in one list, the number of inputs, errors with shapes. */
#include <stdio.h>
#include <string.h>

#include "op/internal.h"
#include "op/op_rows.h"

#define DECLARE(word) extern const struct op_rows op_##word##_rows;
OP_FAMILIES(DECLARE)
#define LIST(word) &op_##word##_rows,
static const struct op_rows *const families[] = { OP_FAMILIES(LIST) };

size_t op_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(families); i++)
        count += families[i]->count;
    return count;
}

const struct op_row *op_at(size_t i)
{
    for (size_t f = 0; f < COUNT_OF(families); f++) {
        if (i < families[f]->count)
            return &families[f]->rows[i];
        i -= families[f]->count;
    }
    return NULL;
}

const struct op_row *op_find(const char *name)
{
    for (size_t f = 0; f < COUNT_OF(families); f++)
        for (size_t i = 0; i < families[f]->count; i++)
            if (strcmp(families[f]->rows[i].name, name) == 0)
                return &families[f]->rows[i];
    return NULL;
}

bool op_fail(struct op_infer *infer, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return status_fail(infer->status, PIL_INVALID_ARGUMENT, "%s", text);
}

/* "x [?, 16], w [16, 8]": the inputs as an error names them. */
static void describe_inputs(const struct op_infer *infer, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < infer->input_count && used + 1 < size; i++) {
        char shape[128];
        const struct op_type *type = &infer->inputs[i];
        const char *name = infer->input_names && infer->input_names[i] ? infer->input_names[i] : "input";
        int written = snprintf(out + used, size - used, "%s%s %s", i ? ", " : "", name,
                               type->sparse ? "sparse" : shape_text(type->shape, shape));
        used += written > 0 ? (size_t)written : 0;
    }
}

static bool check_input_count(const struct op_row *row, struct op_infer *infer)
{
    int least = row->min_inputs, most = row->max_inputs;
    if (infer->input_count >= least && (most < 0 || infer->input_count <= most))
        return true;
    char range[32];
    if (least == most)
        snprintf(range, sizeof range, "%d", least);
    else
        snprintf(range, sizeof range, most < 0 ? "%d or more" : "%d to %d", least, most);
    return status_fail(infer->status, PIL_INVALID_ARGUMENT, "%s takes %s input%s, got %d", row->name, range,
                       least == 1 && most == 1 ? "" : "s", infer->input_count);
}

/* Rows are laid out by their first axis: the batch stands there and nowhere else, and only in ROWS. */
static bool check_batch_axis(struct op_infer *infer)
{
    for (int i = 0; i < infer->output_count; i++) {
        const struct op_type *out = &infer->outputs[i];
        bool first = out->shape.rank > 0 && out->shape.dims[0] == BATCH_DIM, later = false;
        char shape[128];
        for (int a = 1; a < out->shape.rank; a++)
            later |= out->shape.dims[a] == BATCH_DIM;
        if (first != OP_ROWS(*out) || (later && out->extent != EXTENT_BATCH))
            return op_fail(infer, "the batch axis would not be the first, or stand there twice, in the result %s",
                           shape_text(out->shape, shape));
    }
    return true;
}

bool op_infer(const struct op_row *row, struct op_infer *infer)
{
    if (!check_input_count(row, infer))
        return false;
    infer->output_count = MAX(row->outputs, 1);
    infer->behaviour = BEHAVIOUR_WHOLE;
    memset(infer->outputs, 0, sizeof infer->outputs[0]);
    infer->args = infer->args ? infer->args : row->defaults;
    if (row->infer(infer) && check_batch_axis(infer))
        return true;
    char inputs[768];
    describe_inputs(infer, inputs, sizeof inputs);
    status_prefix(infer->status, "%s(%s): ", row->name, inputs);
    return false;
}

bool op_need_float(struct op_infer *infer)
{
    for (int i = 0; i < infer->input_count; i++) {
        if (infer->inputs[i].sparse)
            return op_fail(infer, "input %d is sparse, a dense float32 tensor is needed", i + 1);
        if (infer->inputs[i].dtype != DTYPE_FLOAT32)
            return op_fail(infer, "input %d is %s, float32 is needed", i + 1, dtype_name(infer->inputs[i].dtype));
    }
    return true;
}

enum extent op_widest(const struct op_infer *infer)
{
    enum extent widest = EXTENT_FIXED;
    for (int i = 0; i < infer->input_count; i++)
        widest = MAX(widest, infer->inputs[i].extent);
    return widest;
}

void op_by_rows(struct op_infer *infer)
{
    enum extent extent = op_widest(infer);
    for (int i = 0; i < infer->output_count; i++)
        infer->outputs[i].extent = extent;
    infer->behaviour = extent == EXTENT_ROWS ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE;
}

bool op_like(struct op_infer *infer, int i)
{
    infer->outputs[0] = infer->inputs[i];
    op_by_rows(infer);
    return true;
}

bool op_broadcast_infer(struct op_infer *infer)
{
    struct op_type out = { .dtype = DTYPE_FLOAT32, .shape = SHAPE_SCALAR };
    if (!op_need_float(infer))
        return false;
    for (int i = 0; i < infer->input_count; i++)
        if (!shape_broadcast(out.shape, infer->inputs[i].shape, &out.shape))
            return op_fail(infer, "the shapes do not fit each other");
    for (int i = 0; i < infer->input_count; i++)
        if (OP_ROWS(infer->inputs[i]) && infer->inputs[i].shape.rank < out.shape.rank)
            return op_fail(infer, "the batch axis would no longer be the first");
    infer->outputs[0] = out;
    op_by_rows(infer);
    return true;
}

void op_give_back(struct op_gradient *g, int i, struct pil_tensor *d)
{
    struct op_reshape_args target = { g->type(g->context, g->inputs[i]).shape };
    struct op_type have = g->type(g->context, d);
    g->input_gradients[i] = shape_equal(have.shape, target.shape) ? d : op_emit1(g, "sum_to", &target, d);
}

int64_t op_offset(const struct tensor *tensor, const int64_t *index)
{
    const struct shape *shape = &tensor->shape;
    if (shape->rank == 0)
        return 0;
    int64_t last = shape->dims[shape->rank - 1];
    if (tensor->cols == last || shape->rank == 1) { /* cut before the last axis */
        int64_t row = 0;
        for (int i = 0; i < shape->rank - 1; i++)
            row = row * shape->dims[i] + index[i];
        /* A rank-1 rows tensor [batch] is cut into rows of one element. */
        return shape->rank == 1 && tensor->rows == last ? index[0] * tensor->ld : row * tensor->ld + index[shape->rank - 1];
    }
    int64_t column = 0; /* cut behind the batch axis */
    for (int i = 1; i < shape->rank; i++)
        column = column * shape->dims[i] + index[i];
    return index[0] * tensor->ld + column;
}

/* The offset in `from` of out's index, `from` broadcast against it (axes aligned at the end). */
static int64_t broadcast_offset(const struct tensor *from, const struct shape *out, const int64_t *index)
{
    int64_t own[SHAPE_MAX_RANK] = { 0 };
    int skip = out->rank - from->shape.rank;
    for (int i = 0; i < from->shape.rank; i++)
        own[i] = from->shape.dims[i] == 1 ? 0 : index[i + skip];
    return op_offset(from, own);
}

/* How far `from` moves from one position of out's last axis to the next. */
static int64_t broadcast_step(const struct tensor *from, int64_t count)
{
    const struct shape *shape = &from->shape;
    if (count == 1 || shape->rank == 0 || shape->dims[MAX(shape->rank - 1, 0)] != count)
        return 0;
    return shape->rank == 1 && from->cols == 1 ? from->ld : 1; /* [batch]: a row of one element each */
}

/* Whether a value beside `out` is the same for every row, or out's own rows: then rows are lines. */
static bool is_row_wise(const struct tensor *from, const struct tensor *out)
{
    bool by_columns = out->cols == out->shape.dims[MAX(out->shape.rank - 1, 0)] || out->rows == 1;
    return op_same_cut(from, out) || (from->rows == 1 && (from->cols == 1 || (from->cols == out->cols && by_columns)));
}

static int64_t row_step(const struct tensor *from, const struct tensor *out)
{
    return op_same_cut(from, out) ? from->ld : 0;
}

/* One column is one line down the rows. */
static void row_lines(const struct tensor *out, const struct tensor *const from[3],
                      void (*along)(void *context, const struct op_line *line), void *context)
{
    int64_t down[3], across[3];
    for (int i = 0; i < 3; i++) {
        down[i] = from[i] ? row_step(from[i], out) : 0;
        across[i] = from[i] && from[i]->cols == out->cols && out->cols > 1 ? 1 : 0;
    }
    if (out->cols == 1) {
        along(context, &(struct op_line){
                           .count = out->rows, .out_step = out->ld, .a_step = down[0], .b_step = down[1], .c_step = down[2] });
        return;
    }
    for (int64_t r = 0; r < out->rows; r++)
        along(context, &(struct op_line){ .count = out->cols,
                                          .out = r * out->ld,
                                          .a = r * down[0],
                                          .b = r * down[1],
                                          .c = r * down[2],
                                          .out_step = 1,
                                          .a_step = across[0],
                                          .b_step = across[1],
                                          .c_step = across[2] });
}

void op_broadcast3(const struct tensor *out, const struct tensor *a, const struct tensor *b, const struct tensor *c,
                   void (*along)(void *context, const struct op_line *line), void *context)
{
    const struct shape *shape = &out->shape;
    if (is_row_wise(a, out) && (!b || is_row_wise(b, out)) && (!c || is_row_wise(c, out))) {
        row_lines(out, (const struct tensor *const[3]){ a, b, c }, along, context);
        return;
    }
    int64_t index[SHAPE_MAX_RANK] = { 0 }, elements = shape_elements(*shape);
    int last = shape->rank - 1;
    struct op_line line = { .count = last < 0 ? 1 : shape->dims[last] };
    line.out_step = broadcast_step(out, line.count);
    line.a_step = broadcast_step(a, line.count);
    line.b_step = b ? broadcast_step(b, line.count) : 0;
    line.c_step = c ? broadcast_step(c, line.count) : 0;
    for (int64_t n = 0; n < elements; n += line.count) {
        line.out = op_offset(out, index);
        line.a = broadcast_offset(a, shape, index);
        line.b = b ? broadcast_offset(b, shape, index) : 0;
        line.c = c ? broadcast_offset(c, shape, index) : 0;
        along(context, &line);
        for (int axis = last - 1; axis >= 0 && ++index[axis] == shape->dims[axis]; axis--)
            index[axis] = 0;
    }
}

void op_broadcast(const struct tensor *out, const struct tensor *a, const struct tensor *b,
                  void (*along)(void *context, const struct op_line *line), void *context)
{
    op_broadcast3(out, a, b, NULL, along, context);
}
