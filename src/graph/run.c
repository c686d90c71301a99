/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a plan: batch after batch, without allocating on a second pass over the same data.
 *
 * A phase's rows are dealt to shards (plan_shards), shards to workers, whichever is free. A worker drives its shard's tiles
 * through all steps of the phase; reductions add to the shard's partial. Then the partials are added in a fixed binary tree,
 * in place, so that every reader finds the sum in shard 0's block. Who did what never shows in the bits.
 */
#include <string.h>

#include "graph/internal.h"

/* ---- where an operand is ---- */

static char *partial_block(const struct session *session, int stage, int64_t shard)
{
    return session->partials[stage].data + (size_t)shard * session->plan->stages[stage].partial_bytes;
}

char *session_address(const struct session *session, const struct worker *worker, const struct plan_tensor *tensor, int64_t shard)
{
    switch (tensor->place) {
    case PLACE_INPUT:
        return session->inputs[tensor->input].tensor.data;
    case PLACE_VARIABLE:
        return session->variables[tensor->variable].value.data;
    case PLACE_CONSTANT:
        return tensor->tensor->node->constant.data;
    case PLACE_STATIC:
        return session->memory + tensor->offset;
    case PLACE_TILE:
        return worker->arena + tensor->offset;
    case PLACE_BATCH:
        return session->buffers[tensor->offset].data;
    case PLACE_PARTIAL:
        return partial_block(session, tensor->stage, shard) + tensor->offset;
    case PLACE_GRADIENT: {
        const struct session_variable *variable = &session->variables[tensor->variable];
        return (char *)(session->groups[variable->group].partials[shard] + variable->block_offset);
    }
    default:
        return NULL;
    }
}

/* Points a value at the beginning of its tensor, as shard 0 has it, with the distance of rows that the root has today. */
static void point(const struct session *session, const struct worker *worker, int t, struct op_value *value)
{
    const struct plan_tensor *tensor = &session->plan->tensors[t];
    struct tensor *view = &value->tensor;
    int64_t columns;
    const struct plan_tensor *root = &session->plan->tensors[plan_root(session->plan, t, &columns)];
    if (tensor->tensor->type.sparse)
        return;
    view->data = session_address(session, worker, root, 0) + columns * (int64_t)dtype_size(view->dtype);
    if (root->place == PLACE_INPUT)
        view->ld = session->inputs[root->input].tensor.ld;
    if (root->place == PLACE_VARIABLE)
        view->ld = session->variables[root->variable].value.ld;
    if (!OP_ROWS(tensor->tensor->type) && tensor->place == PLACE_BATCH) /* the number of rows is the size of another axis */
        *view = tensor_view(view->data, view->dtype, shape_with_batch(tensor->tensor->type.shape, session->rows), false);
}

struct op_value session_whole(const struct session *session, int t)
{
    const struct plan_tensor *tensor = &session->plan->tensors[t];
    struct op_value value = session_template(session->plan, t);
    if (tensor->tensor->type.sparse)
        value.sparse = sparse_slice(&session->inputs[tensor->input].sparse, 0, session->rows);
    else
        point(session, &session->workers[0], t, &value);
    if (OP_ROWS(tensor->tensor->type))
        value.tensor.rows = value.tensor.shape.dims[0] = session->rows;
    return value;
}

static void settle_operand(struct session *session, int number)
{
    struct operand *operand = &session->operands[number];
    const struct plan_tensor *root = &session->plan->tensors[operand->root];
    for (int w = 0; w < session->worker_count; w++) {
        struct op_value *value = &session->workers[w].values[number];
        point(session, &session->workers[w], operand->tensor, value);
        operand->base = value->tensor.data;
        operand->row_bytes = root->place == PLACE_TILE ? 0 : value->tensor.ld * (int64_t)dtype_size(value->tensor.dtype);
    }
}

/* Inputs lie elsewhere with every batch; all else where it was, unless a buffer grew or the number of rows is another. */
static void settle(struct session *session)
{
    for (int i = 0; i < session->input_operand_count; i++) {
        struct operand *operand = &session->operands[session->input_operands[i]];
        const struct tensor *input = &session->inputs[session->plan->tensors[operand->root].input].tensor;
        operand->base = (char *)input->data + operand->columns;
        session->settled &= operand->row_bytes == input->ld * (int64_t)dtype_size(input->dtype);
    }
    for (int k = 0; !session->settled && k < session->operand_count; k++)
        settle_operand(session, k);
    session->settled = true;
}

/* ---- a phase ---- */

/* Points the operands that move at rows first .. first + rows of the batch. */
static void aim(const struct session *session, struct worker *worker, int stage, int64_t first, int64_t rows)
{
    for (int m = session->moving.first[stage]; m < session->moving.first[stage + 1]; m++) {
        const struct operand *operand = &session->operands[session->moving.numbers[m]];
        struct op_value *value = &worker->values[session->moving.numbers[m]];
        const struct plan_tensor *tensor = &session->plan->tensors[operand->tensor];
        if (tensor->tensor->type.sparse) {
            value->sparse = sparse_slice(&session->inputs[tensor->input].sparse, first, rows);
            continue;
        }
        value->tensor.rows = value->tensor.shape.dims[0] = rows;
        if (operand->row_bytes)
            value->tensor.data = operand->base + first * operand->row_bytes;
    }
}

static void aim_at_shard(const struct session *session, struct worker *worker, int stage, int64_t shard)
{
    for (int m = session->sharded.first[stage]; m < session->sharded.first[stage + 1]; m++) {
        int number = session->sharded.numbers[m];
        worker->values[number].tensor.data =
            session_address(session, worker, &session->plan->tensors[session->operands[number].tensor], shard);
    }
}

static void run_step(const struct session *session, struct worker *worker, int s, int64_t first, int64_t rows, bool later_tile)
{
    const struct step *step = &session->plan->steps[s];
    struct op_run *run = &worker->runs[s];
    run->accumulate = step->behaviour == BEHAVIOUR_REDUCES && (later_tile || step->adds);
    run->first_row = first;
    run->rows = rows;
    run->batch_rows = session->rows;
    run->step = session->step;
    if (!worker->seconds) {
        step->row->run(run);
        return;
    }
    double start = profile_now();
    step->row->run(run);
    worker->seconds[s] += profile_now() - start;
}

static void run_tile(const struct session *session, struct worker *worker, int stage, int64_t first, int64_t rows,
                     bool later_tile)
{
    const struct plan *plan = session->plan;
    const struct plan_stage *steps = &plan->stages[stage];
    bool ok = status_ok(&worker->status);
    aim(session, worker, stage, first, rows);
    for (int o = steps->first; o < steps->first + steps->count; o++)
        if (!plan->steps[plan->order[o]].view && !(plan->steps[plan->order[o]].row->flags & OP_RECORD))
            run_step(session, worker, plan->order[o], first, rows, later_tile);
    if (ok && !status_ok(&worker->status))
        worker->bad_row = first;
}

/* A shard: rows [rows * s / P, rows * (s + 1) / P), in tiles of at most TILE_ROWS, equal within one row. */
static void run_shard(void *context, int64_t shard, int number)
{
    const struct session *session = context;
    struct worker *worker = &session->workers[number];
    int64_t first = session->rows * shard / session->shards, count = session->rows * (shard + 1) / session->shards - first;
    int64_t tiles = (count + TILE_ROWS - 1) / TILE_ROWS;
    aim_at_shard(session, worker, session->stage, shard);
    for (int64_t tile = 0; tile < tiles; tile++) {
        int64_t from = first + count * tile / tiles, to = first + count * (tile + 1) / tiles;
        run_tile(session, worker, session->stage, from, to - from, tile > 0);
    }
}

static void add_doubles(double *to, const double *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

static void add_floats(float *to, const float *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

/* The fixed tree over a stage's partials: 0 + 1, 2 + 3, ..., then pairs of pairs. */
static void add_partials(const struct session *session, int number)
{
    const struct plan_stage *stage = &session->plan->stages[number];
    size_t doubles = stage->partial_doubles / sizeof(double),
           floats = (stage->partial_bytes - stage->partial_doubles) / sizeof(float);
    for (int64_t step = 1; step < session->shards && stage->partial_bytes; step *= 2)
        for (int64_t s = 0; s + step < session->shards; s += 2 * step) {
            char *to = partial_block(session, number, s), *from = partial_block(session, number, s + step);
            add_doubles((double *)(void *)to, (const double *)(void *)from, doubles);
            add_floats((float *)(void *)(to + stage->partial_doubles), (const float *)(void *)(from + stage->partial_doubles),
                       floats);
        }
}

/* Of several workers' errors the one of the first row is told, whoever met it. */
static bool told_error(const struct session *session, pil_status *status)
{
    const struct worker *bad = NULL;
    for (int w = 0; w < session->worker_count; w++)
        if (!status_ok(&session->workers[w].status) && (!bad || session->workers[w].bad_row < bad->bad_row))
            bad = &session->workers[w];
    if (bad && status_ok(status))
        *status = bad->status;
    return bad != NULL;
}

static bool run_stage(struct session *session, int number, const struct job *jobs, size_t job_count, pil_status *status)
{
    session->stage = number;
    if (number % 2 == 0) {
        run_tile(session, &session->workers[0], number, 0, session->rows, false);
    } else {
        struct job all[MAX_JOBS] = { { run_shard, session, session->shards } };
        if (job_count)
            memcpy(all + 1, jobs, job_count * sizeof *jobs);
        threads_run(session->threads, all, job_count + 1);
        add_partials(session, number);
    }
    return !told_error(session, status);
}

/* ---- memory of a batch ---- */

static bool grow(struct session *session, struct buffer *buffer, size_t bytes, pil_status *status)
{
    const char *before = buffer->data;
    if (bytes > SIZE_MAX - 64)
        return status_no_memory(status, bytes);
    if (!mem_grow_block(&buffer->data, &buffer->capacity, bytes + 64, 1, status))
        return false;
    session->settled &= buffer->data == before;
    return true;
}

static bool reserve_tensors(struct session *session, pil_status *status)
{
    const struct plan *plan = session->plan;
    for (int t = 0; t < plan->tensor_count; t++) {
        const struct plan_tensor *tensor = &plan->tensors[t];
        if (tensor->place != PLACE_BATCH)
            continue;
        struct buffer *buffer = &session->buffers[tensor->offset];
        bool rows = plan_is_rows(plan, t);
        size_t bytes =
            tensor_bytes(tensor->tensor->type.dtype, shape_with_batch(tensor->tensor->type.shape, session->rows), rows);
        if (!grow(session, buffer, bytes, status))
            return false;
        if (!rows) /* its pads move with the number of rows */
            memset(buffer->data, 0, bytes);
    }
    return true;
}

static bool reserve_batch(struct session *session, pil_status *status)
{
    const struct plan *plan = session->plan;
    if (!reserve_tensors(session, status))
        return false;
    for (int s = 0; s < plan->stage_count; s++) {
        size_t bytes = plan->stages[s].partial_bytes * (size_t)session->shards;
        if (bytes && !grow(session, &session->partials[s], bytes, status))
            return false;
    }
    for (int g = 0; g < session->group_count; g++)
        for (int64_t s = 0; s < session->shards; s++) {
            float **block = &session->groups[g].partials[s];
            if (!session->groups[g].floats || *block)
                continue;
            *block = mem_block((size_t)session->groups[g].floats * sizeof(float), status);
            session->settled = false;
            if (!*block)
                return false;
        }
    return true;
}

/* ---- what must be there ---- */

/* Whether a variable's gradient lies within its group's block. */
static bool has_block(const struct session *session, const struct session_variable *where)
{
    int64_t floats = where->value.rows * pad_columns(where->value.cols);
    return where->group >= 0 && where->group < session->group_count && where->block_offset >= 0 &&
           where->block_offset + floats <= session->groups[where->group].floats;
}

static bool check_variable(const struct session *session, const struct plan_tensor *tensor, pil_status *status)
{
    const char *name = graph_variable_at(session->plan->graph, (size_t)tensor->variable)->name;
    if (!session->bound[tensor->variable])
        return status_fail(status, PIL_INTERNAL, "the variable %s is not bound", name);
    const struct session_variable *where = &session->variables[tensor->variable];
    const struct tensor *value = &where->value;
    /* A table's slots stand beside its rows, where other readers expect zeros. */
    if (tensor->place == PLACE_VARIABLE && !tensor->lookup_only && value->rows > 1 && value->ld != pad_columns(value->cols))
        return status_fail(status, PIL_INTERNAL,
                           "the variable %s lies as a table, which only lookups can read, and is read otherwise", name);
    return tensor->place != PLACE_GRADIENT || has_block(session, where) ||
           status_fail(status, PIL_INTERNAL, "the gradient of %s has no block", name);
}

static bool check_input(const struct session *session, const struct plan_tensor *tensor, pil_status *status)
{
    const struct op_value *input = &session->inputs[tensor->input];
    const char *name = tensor->tensor->node->name;
    bool sparse = tensor->tensor->type.sparse;
    int64_t rows = sparse ? input->sparse.rows : input->tensor.rows;
    if (rows < session->rows)
        return status_fail(status, PIL_INTERNAL, "the input %s has %lld rows, the batch %lld", name, (long long)rows,
                           (long long)session->rows);
    if (!sparse && (input->tensor.dtype != tensor->tensor->type.dtype || input->tensor.cols != tensor->cols))
        return status_fail(status, PIL_INTERNAL, "the input %s has rows of %lld %s values, the graph reads %lld of %s", name,
                           (long long)input->tensor.cols, dtype_name(input->tensor.dtype), (long long)tensor->cols,
                           dtype_name(tensor->tensor->type.dtype));
    if (!sparse && input->tensor.ld < pad_columns(tensor->cols))
        return status_fail(status, PIL_INTERNAL, "the input %s has rows without pads: %lld values apart, %lld are needed", name,
                           (long long)input->tensor.ld, (long long)pad_columns(tensor->cols));
    return true;
}

static bool check_bound(const struct session *session, pil_status *status)
{
    const struct plan *plan = session->plan;
    for (int t = 0; t < plan->tensor_count; t++) {
        const struct plan_tensor *tensor = &plan->tensors[t];
        if ((tensor->place == PLACE_VARIABLE || tensor->place == PLACE_GRADIENT) && !check_variable(session, tensor, status))
            return false;
        if (tensor->place == PLACE_INPUT && !check_input(session, tensor, status))
            return false;
    }
    return true;
}

/* ---- after the stages ---- */

/* A variable's gradient that no reduction writes into its block itself is put together in shard 0's; the others are zero there. */
static bool copy_gradients(struct session *session, pil_status *status)
{
    const struct pil_graph *graph = session->plan->graph;
    for (size_t v = 0; graph->has_gradients && v < graph->variable_count; v++) {
        const struct variable_gradient *gradient = &graph->variables[v]->gradient;
        const struct session_variable *where = &session->variables[v];
        if (!gradient->dense_count ||
            session->plan->tensors[plan_number(session->plan, gradient->dense[0])].place == PLACE_GRADIENT)
            continue;
        if (!session->bound[v] || !has_block(session, where))
            return status_fail(status, PIL_INTERNAL, "the gradient of %s has no block", graph->variables[v]->variable.name);
        float *block = session->groups[where->group].partials[0] + where->block_offset;
        struct tensor to = tensor_view(block, DTYPE_FLOAT32, graph->variables[v]->variable.shape, false);
        for (int k = 0; k < gradient->dense_count; k++) {
            struct op_value value = session_whole(session, plan_number(session->plan, gradient->dense[k]));
            if (k == 0)
                tensor_copy(&value.tensor, &to);
            else
                session->kernels->binary(BINARY_ADD, block, to.ld, tensor_floats(&value.tensor), value.tensor.ld, block, to.ld,
                                         to.rows, to.cols);
        }
    }
    return true;
}

/* variable -= (variable - value) (1 - decay), as Keras's assign_moving_average. */
static void move_averages(struct session *session)
{
    const struct pil_graph *graph = session->plan->graph;
    for (size_t m = 0; graph->has_gradients && m < graph->moving_count; m++) {
        const struct moving *moving = &graph->movings[m];
        struct op_value value = session_whole(session, plan_number(session->plan, moving->value));
        const struct tensor *variable =
            &session->variables[((struct variable_entry *)moving->variable->node->variable)->number].value;
        for (int64_t r = 0; r < variable->rows; r++)
            for (int64_t c = 0; c < variable->cols; c++) {
                float *old = tensor_floats(variable) + r * variable->ld + c;
                *old -= (*old - tensor_floats(&value.tensor)[r * value.tensor.ld + c]) * (1.0f - moving->decay);
            }
    }
}

bool session_run(struct session *session, int64_t rows, int64_t step, const struct job *jobs, size_t job_count,
                 pil_status *status)
{
    if (rows < 1)
        return status_fail(status, PIL_INVALID_ARGUMENT, "a batch needs at least one row");
    if (job_count >= MAX_JOBS)
        return status_fail(status, PIL_INTERNAL, "at most %d jobs can run beside a batch", MAX_JOBS - 1);
    session->settled &= session->rows == rows;
    session->rows = rows;
    session->step = step;
    session->shards = plan_shards(session->plan, rows);
    if (!check_bound(session, status) || !reserve_batch(session, status))
        return false;
    settle(session);
    if (session->poisoned)
        session_poison(session);
    for (int w = 0; w < session->worker_count; w++)
        status_clear(&session->workers[w].status);
    bool ran = false;
    for (int stage = 0; stage < session->plan->stage_count; stage++) {
        bool rows_stage = stage % 2 == 1;
        if (session->plan->stages[stage].count == 0)
            continue; /* waking workers for nothing costs a small step a twentieth */
        if (!run_stage(session, stage, jobs, rows_stage && !ran ? job_count : 0, status))
            return false;
        ran |= rows_stage;
    }
    if (!ran && job_count)
        threads_run(session->threads, jobs, job_count);
    if (!copy_gradients(session, status))
        return false;
    move_averages(session);
    for (size_t i = 0; i < session->plan->fetch_count; i++)
        session->fetches[i] = session_whole(session, session->plan->fetches[i]);
    return record_collect(session, status);
}
