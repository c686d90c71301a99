/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lookups of ids per row (struct sparse) in tables, as tf.nn.safe_embedding_lookup_sparse: ids below 0 are dropped, an empty row
 * gives zeros. Several pairs of ids and table in one node are added: a linear model's sum.
 *
 * A dense tensor of ids is looked up number by number (embedding_lookup): [batch, n] gives [batch, n, dimension].
 *
 * The gradient is a record, not a tensor of the table's size: ids, the output's gradient and the combiner, which the optimizer
 * groups by id so that each row is touched once.
 */
#include <string.h>

#include "op/internal.h"

static bool lookup_infer(struct op_infer *infer)
{
    const struct op_lookup_args *args = infer->args;
    if (infer->input_count != 2 * args->pairs)
        return op_fail(infer, "%d pairs of ids and table need %d inputs, got %d", args->pairs, 2 * args->pairs,
                       infer->input_count);
    int64_t dim = 0;
    if (args->combiner < COMBINER_SUM || args->combiner > COMBINER_SQRTN || !(args->max_norm >= 0))
        return op_fail(infer, "unknown combiner, or a max_norm below 0");
    for (int i = 0; i < args->pairs; i++) {
        const struct op_type *ids = &infer->inputs[2 * i], *table = &infer->inputs[2 * i + 1];
        if (!ids->sparse)
            return op_fail(infer, "input %d must be ids per row", 2 * i + 1);
        if (table->sparse || table->shape.rank != 2 || OP_ROWS(*table) || table->dtype != DTYPE_FLOAT32)
            return op_fail(infer, "input %d must be a float32 table [rows, dimension]", 2 * i + 2);
        if (i > 0 && table->shape.dims[1] != dim)
            return op_fail(infer, "the tables' dimensions %lld and %lld differ", (long long)dim, (long long)table->shape.dims[1]);
        dim = table->shape.dims[1];
    }
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32, .shape = SHAPE(BATCH_DIM, dim) };
    op_by_rows(infer);
    return true;
}

/* Ids that nobody has compared with the table they are looked up in. */
static bool check_ids(struct op_run *run, const struct sparse *ids, int64_t table_rows)
{
    for (int64_t r = 0; r < ids->rows; r++) {
        int64_t first = ids->offsets ? ids->offsets[r] : r, last = ids->offsets ? ids->offsets[r + 1] : r + 1;
        for (int64_t e = first; e < last; e++)
            if (ids->ids[e] >= table_rows)
                return status_fail(run->status, PIL_BAD_DATA,
                                   "%s: id %d of row %lld of the batch is not below the table's %lld rows", run->name,
                                   (int)ids->ids[e], (long long)(run->first_row + r), (long long)table_rows);
    }
    return true;
}

static void lookup_run(struct op_run *run)
{
    const struct op_lookup_args *args = run->args;
    const struct tensor *out = &run->outputs[0].tensor;
    for (int i = 0; args->foreign && i < args->pairs; i++)
        if (!check_ids(run, &run->inputs[2 * i].sparse, run->inputs[2 * i + 1].tensor.rows))
            return;
    for (int i = 0; i < args->pairs; i++) {
        const struct tensor *table = &run->inputs[2 * i + 1].tensor;
        run->kernels->lookup(&(struct lookup){ .table = tensor_floats(table),
                                               .stride = table->ld,
                                               .dim = table->cols,
                                               .table_rows = table->rows,
                                               .ids = &run->inputs[2 * i].sparse,
                                               .combiner = args->combiner,
                                               .max_norm = args->max_norm,
                                               .accumulate = i > 0,
                                               .out = tensor_floats(out),
                                               .ld = out->ld });
    }
}

static void lookup_gradient(struct op_gradient *g)
{
    const struct op_lookup_args *args = g->args;
    for (int i = 0; i < args->pairs; i++)
        if (g->wanted[2 * i + 1])
            g->input_gradients[2 * i + 1] =
                op_emit3(g, "lookup_gradient", args, g->inputs[2 * i], g->output_gradients[0], g->inputs[2 * i + 1]);
}

static double lookup_work(const void *arguments, const struct op_type *inputs, const struct op_type *outputs)
{
    const struct op_lookup_args *args = arguments;
    (void)inputs;
    return (double)args->pairs * (double)outputs[0].shape.dims[1];
}

/* The record: ids, dy, table. Its type is the table's. */
static bool record_infer(struct op_infer *infer)
{
    const struct op_type *ids = &infer->inputs[0], *dy = &infer->inputs[1], *table = &infer->inputs[2];
    if (!ids->sparse || dy->sparse || !OP_ROWS(*dy) || table->sparse || OP_ROWS(*table))
        return op_fail(infer, "ids, the output's gradient and the table are needed");
    infer->outputs[0] = *table;
    infer->outputs[0].extent = EXTENT_BATCH;
    return true;
}

/* ---- embedding_lookup: dense ids, each by itself ---- */

static bool embedding_lookup_infer(struct op_infer *infer)
{
    const struct op_type *ids = &infer->inputs[0], *table = &infer->inputs[1];
    struct op_type *out = &infer->outputs[0];
    if (!op_check_indices(infer, 0))
        return false;
    if (table->sparse || table->shape.rank != 2 || OP_ROWS(*table) || table->dtype != DTYPE_FLOAT32 ||
        table->shape.dims[1] == BATCH_DIM)
        return op_fail(infer, "input 2 must be a float32 table [rows, dimension]");
    if (ids->shape.rank == SHAPE_MAX_RANK)
        return op_fail(infer, "%d axes are the most there can be", SHAPE_MAX_RANK);
    *out = (struct op_type){ .dtype = DTYPE_FLOAT32, .shape = ids->shape };
    out->shape.dims[out->shape.rank++] = table->shape.dims[1];
    op_by_shape(infer, OP_ROWS(*ids));
    return true;
}

static void embedding_lookup_run(struct op_run *run)
{
    const struct tensor *ids = &run->inputs[0].tensor, *table = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    int64_t dim = table->cols, in_row = dim > 0 ? out->cols / dim : 0, number = 0;
    for (int64_t r = 0; r < ids->rows; r++)
        for (int64_t c = 0; c < ids->cols; c++, number++) {
            float *to = tensor_floats(out) + (in_row > 1 ? number / in_row * out->ld + number % in_row * dim : number * out->ld);
            int64_t id = op_index_in(run, ids, r * ids->ld + c, number, table->rows, "id");
            if (id < 0)
                return;
            memcpy(to, tensor_floats(table) + id * table->ld, (size_t)dim * sizeof *to);
        }
}

static void embedding_lookup_gradient(struct op_gradient *g)
{
    if (g->wanted[1])
        g->input_gradients[1] =
            op_emit3(g, "embedding_lookup_gradient", NULL, g->inputs[0], g->output_gradients[0], g->inputs[1]);
}

/* The record: dense ids, dy, table. Its type is the table's. */
static bool dense_record_infer(struct op_infer *infer)
{
    const struct op_type *ids = &infer->inputs[0], *dy = &infer->inputs[1], *table = &infer->inputs[2];
    if (!op_check_indices(infer, 0))
        return false;
    if (dy->sparse || table->sparse || OP_ROWS(*table) || dy->shape.rank != ids->shape.rank + 1)
        return op_fail(infer, "ids, the output's gradient and the table are needed");
    infer->outputs[0] = *table;
    infer->outputs[0].extent = EXTENT_BATCH;
    return true;
}

/* ---- indicator: how often each id stands in a row (with weights: their sum) ---- */

static bool indicator_infer(struct op_infer *infer)
{
    const struct op_indicator_args *args = infer->args;
    if (!infer->inputs[0].sparse || args->depth < 1)
        return op_fail(infer, "needs ids per row and a depth of at least 1");
    infer->outputs[0] = (struct op_type){ .dtype = DTYPE_FLOAT32, .shape = SHAPE(BATCH_DIM, args->depth) };
    op_by_rows(infer);
    return true;
}

static void indicator_run(struct op_run *run)
{
    const struct op_indicator_args *args = run->args;
    const struct sparse *ids = &run->inputs[0].sparse;
    const struct tensor *out = &run->outputs[0].tensor;
    for (int64_t r = 0; r < out->rows; r++) {
        float *row = tensor_floats(out) + r * out->ld;
        memset(row, 0, (size_t)args->depth * sizeof *row);
        int64_t first = ids->offsets ? ids->offsets[r] : r, last = ids->offsets ? ids->offsets[r + 1] : r + 1;
        for (int64_t e = first; e < last; e++)
            if (ids->ids[e] >= 0 && ids->ids[e] < args->depth)
                row[ids->ids[e]] += ids->weights ? ids->weights[e] : 1.0f;
    }
}

static const struct arg lookup_arguments[] = {
    { "combiner", &ARG_CHOICE, offsetof(struct op_lookup_args, combiner), "how a row's ids are put together",
      .extra = op_combiner_words },
    { "max_norm", &ARG_FLOAT, offsetof(struct op_lookup_args, max_norm),
      "longer rows of the table are scaled down; 0: no limit" },
    { "pairs", &OP_ARG_INT, offsetof(struct op_lookup_args, pairs), "of ids and a table" },
    { "foreign", &ARG_BOOL, offsetof(struct op_lookup_args, foreign),
      "the ids were not made for these tables: they are checked" },
};
static const struct arg indicator_arguments[] = {
    { "depth", &ARG_INT, offsetof(struct op_indicator_args, depth), "number of ids" },
};

static const struct op_row rows[] = {
    { .name = "lookup",
      .help = "rows of tables by id, combined per row, pairs added",
      OP_ARGUMENTS(struct op_lookup_args, lookup_arguments),
      .min_inputs = 2,
      .max_inputs = -1,
      .flags = OP_WRITES_STRIDED | OP_READS_TABLES,
      .infer = lookup_infer,
      .run = lookup_run,
      .gradient = lookup_gradient,
      .work = lookup_work },
    { .name = "lookup_gradient",
      .help = "a table's gradient as a record",
      OP_ARGUMENTS(struct op_lookup_args, lookup_arguments),
      .min_inputs = 3,
      .max_inputs = 3,
      .flags = OP_RECORD | OP_TAKES_VIEWS | OP_READS_TABLES,
      .infer = record_infer },
    { .name = "embedding_lookup",
      .help = "rows of a table by dense ids",
      .min_inputs = 2,
      .max_inputs = 2,
      .flags = OP_READS_TABLES | OP_TAKES_VIEWS,
      .infer = embedding_lookup_infer,
      .run = embedding_lookup_run,
      .gradient = embedding_lookup_gradient },
    { .name = "embedding_lookup_gradient",
      .help = "its table's gradient as a record",
      .min_inputs = 3,
      .max_inputs = 3,
      .flags = OP_RECORD | OP_TAKES_VIEWS | OP_READS_TABLES,
      .infer = dense_record_infer },
    { .name = "indicator",
      .help = "counts of ids per row",
      OP_ARGUMENTS(struct op_indicator_args, indicator_arguments),
      .min_inputs = 1,
      .max_inputs = 1,
      .flags = OP_WRITES_STRIDED,
      .infer = indicator_infer,
      .run = indicator_run },
};
OP_ROWS_OF(embed);
