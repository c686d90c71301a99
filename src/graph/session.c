/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a plan: batch after batch, without allocating on a second pass over the same data.
 *
 * A phase's rows are dealt to shards (plan_shards), shards to workers, whichever is free. A worker drives its shard's tiles
 * through all steps of the phase; reductions add to the shard's partial. Then the partials are added in a fixed binary tree,
 * in place, so that every reader finds the sum in shard 0's block. Who did what never shows in the bits.
 */
#include <math.h>
#include <string.h>

#include "graph/internal.h"

/* A group's gradient blocks, one a shard. */
struct group {
    float *partials[MAX_SHARDS];
    int64_t floats;
};
struct buffer {
    char *data;
    size_t capacity;
};
struct worker {
    char *arena;
    void *scratch;
    struct op_value *values; /* every step's operands, at the step's `first` */
    pil_status status;
    int64_t bad_row;         /* where the status is from */
};
struct session {
    const struct plan *plan;
    struct threads *threads;
    const struct kernels *kernels;
    uint64_t seed;
    int worker_count;
    struct worker *workers;
    int *first;                    /* per step: its first operand */
    int operand_count;
    struct session_variable *variables; /* by the graph's number */
    bool *bound;
    struct op_value *inputs;
    struct group *groups;
    int group_count;
    struct buffer *buffers;        /* PLACE_BATCH */
    char *memory;                  /* PLACE_STATIC */
    struct buffer *partials;       /* per stage: MAX_SHARDS blocks at most */
    struct op_value *fetches;
    struct session_record *records;
    struct sparse *record_ids;
    size_t record_count;
    /* of the run in progress */
    int64_t rows, step, shards;
    int stage;
    bool poisoned;
};

/* ---- making ---- */

static bool allocate(struct session *session, pil_status *status)
{
    const struct plan *plan = session->plan;
    session->first = mem_array((size_t)plan->step_count + 1, sizeof *session->first, status);
    session->variables = mem_array(graph_variable_count(plan->graph) + 1, sizeof *session->variables, status);
    session->bound = mem_array(graph_variable_count(plan->graph) + 1, sizeof *session->bound, status);
    session->inputs = mem_array((size_t)plan->input_count + 1, sizeof *session->inputs, status);
    session->buffers = mem_array((size_t)plan->batch_buffers + 1, sizeof *session->buffers, status);
    session->partials = mem_array((size_t)plan->stage_count + 1, sizeof *session->partials, status);
    session->fetches = mem_array(plan->fetch_count + 1, sizeof *session->fetches, status);
    session->records = mem_array((size_t)plan->step_count + 1, sizeof *session->records, status);
    session->record_ids = mem_array((size_t)plan->step_count + 1, sizeof *session->record_ids, status);
    session->workers = mem_array((size_t)session->worker_count, sizeof *session->workers, status);
    session->memory = mem_block(plan->static_bytes + 64, status);
    if (!status_ok(status))
        return false;
    for (int s = 0; s < plan->step_count; s++) {
        session->first[s] = session->operand_count;
        session->operand_count += plan->steps[s].input_count + plan->steps[s].output_count;
    }
    for (int w = 0; w < session->worker_count && status_ok(status); w++) {
        session->workers[w].arena = mem_block((size_t)plan->tile_bytes + 64, status);
        session->workers[w].scratch = mem_block(plan->scratch_bytes + 64, status);
        session->workers[w].values = mem_array((size_t)session->operand_count + 1, sizeof *session->workers[w].values, status);
    }
    return status_ok(status);
}

static int root_of(const struct plan *plan, int t, int64_t *columns)
{
    for (*columns = 0; plan->tensors[t].place == PLACE_COLUMNS; t = plan->tensors[t].base)
        *columns += plan->tensors[t].offset;
    return t;
}

/* What does not change from tile to tile: type, columns, distance of rows. */
static struct op_value template_of(const struct plan *plan, int t)
{
    const struct plan_tensor *tensor = &plan->tensors[t];
    struct op_type type = tensor->tensor->type;
    struct op_value value = { .tensor = { .dtype = type.dtype, .shape = type.shape, .cols = tensor->cols, .ld = tensor->ld } };
    if (!plan_is_rows(plan, t))
        tensor_cut(type.shape, false, &value.tensor.rows, &value.tensor.cols);
    return value;
}

static void prepare_values(struct session *session)
{
    const struct plan *plan = session->plan;
    for (int w = 0; w < session->worker_count; w++)
        for (int s = 0; s < plan->step_count; s++) {
            const struct step *step = &plan->steps[s];
            struct op_value *values = session->workers[w].values + session->first[s];
            for (int i = 0; i < step->input_count; i++)
                values[i] = template_of(plan, step->inputs[i]);
            for (int i = 0; i < step->output_count; i++)
                values[step->input_count + i] = template_of(plan, step->outputs[i]);
        }
}

struct session *session_new(const struct plan *plan, struct threads *threads, const struct kernels *kernels, uint64_t seed, pil_status *status)
{
    struct session *session = mem_new(sizeof *session, status);
    if (!session)
        return NULL;
    session->plan = plan;
    session->threads = threads;
    session->kernels = kernels;
    session->seed = seed;
    session->worker_count = threads_count(threads);
    if (!allocate(session, status)) {
        session_free(session);
        return NULL;
    }
    prepare_values(session);
    return session;
}

void session_free(struct session *session)
{
    if (!session)
        return;
    for (int g = 0; g < session->group_count; g++)
        for (int s = 0; s < MAX_SHARDS; s++)
            mem_free(session->groups[g].partials[s]);
    for (int b = 0; session->buffers && b < session->plan->batch_buffers; b++)
        mem_free(session->buffers[b].data);
    for (int s = 0; session->partials && s < session->plan->stage_count; s++)
        mem_free(session->partials[s].data);
    for (int w = 0; session->workers && w < session->worker_count; w++) {
        mem_free(session->workers[w].arena);
        mem_free(session->workers[w].scratch);
        mem_free(session->workers[w].values);
    }
    void *const owned[] = { session->first, session->variables, session->bound, session->inputs, session->groups, session->buffers,
                            session->partials, session->fetches, session->records, session->record_ids, session->workers, session->memory };
    for (size_t i = 0; i < COUNT_OF(owned); i++)
        mem_free(owned[i]);
    mem_free(session);
}

/* ---- binding ---- */

bool session_bind(struct session *session, const struct graph_variable *variable, const struct session_variable *where, pil_status *status)
{
    int number = ((const struct variable_entry *)variable)->number;
    if (!shape_equal(variable->shape, where->value.shape)) {
        char have[128], want[128];
        return status_fail(status, PIL_INTERNAL, "%s is %s in the store, %s in the graph", variable->name,
                           shape_text(where->value.shape, have), shape_text(variable->shape, want));
    }
    session->variables[number] = *where;
    session->bound[number] = true;
    return true;
}

bool session_groups(struct session *session, int group, int64_t floats, pil_status *status)
{
    size_t capacity = (size_t)session->group_count;
    if (group >= session->group_count) {
        if (!mem_grow(&session->groups, &capacity, (size_t)group + 1, sizeof *session->groups, status))
            return false;
        session->group_count = (int)capacity;
    }
    session->groups[group].floats = floats;
    return true;
}

bool session_input(struct session *session, const char *name, const struct op_value *value)
{
    for (int i = 0; i < session->plan->input_count; i++)
        if (strcmp(session->plan->inputs[i]->node->name, name) == 0) {
            session->inputs[i] = *value;
            return true;
        }
    return false;
}

/* ---- where an operand is ---- */

static char *partial_block(const struct session *session, int stage, int64_t shard)
{
    return session->partials[stage].data + (size_t)shard * session->plan->stages[stage].partial_bytes;
}

/* The first byte of a tensor for the rows from `row` on. A reduction is written in its shard's block and read in shard 0's. */
static char *address(const struct session *session, const struct worker *worker, int t, int64_t row, int64_t shard, bool writes)
{
    int64_t columns;
    const struct plan_tensor *tensor = &session->plan->tensors[root_of(session->plan, t, &columns)];
    int64_t size = (int64_t)dtype_size(tensor->tensor->type.dtype), ld = tensor->ld;
    char *data = NULL;
    switch (tensor->place) {
    case PLACE_INPUT:
        ld = session->inputs[tensor->input].tensor.ld;
        data = (char *)session->inputs[tensor->input].tensor.data + row * ld * size;
        break;
    case PLACE_VARIABLE:
        data = session->variables[tensor->variable].value.data;
        break;
    case PLACE_CONSTANT:
        data = tensor->tensor->node->constant.data;
        break;
    case PLACE_STATIC:
        data = session->memory + tensor->offset;
        break;
    case PLACE_TILE:
        data = worker->arena + tensor->offset;
        break;
    case PLACE_BATCH:
        data = session->buffers[tensor->offset].data + (tensor->tensor->type.extent == EXTENT_ROWS ? row * ld * size : 0);
        break;
    case PLACE_PARTIAL:
        data = partial_block(session, tensor->stage, writes ? shard : 0) + tensor->offset;
        break;
    case PLACE_GRADIENT: {
        const struct session_variable *variable = &session->variables[tensor->variable];
        data = (char *)(session->groups[variable->group].partials[writes ? shard : 0] + variable->block_offset);
        break;
    }
    default:
        return NULL;
    }
    return data + columns * size;
}

/* Points an operand at the rows first .. first + rows of the batch. */
static void point(const struct session *session, const struct worker *worker, int t, int64_t first, int64_t rows, int64_t shard,
                  bool writes, struct op_value *value)
{
    const struct plan_tensor *tensor = &session->plan->tensors[t];
    struct tensor *view = &value->tensor;
    if (tensor->tensor->type.sparse) {
        value->sparse = sparse_slice(&session->inputs[tensor->input].sparse, first, rows);
        return;
    }
    int64_t columns;
    const struct plan_tensor *root = &session->plan->tensors[root_of(session->plan, t, &columns)];
    view->data = address(session, worker, t, first, shard, writes);
    if (root->place == PLACE_INPUT)
        view->ld = session->inputs[root->input].tensor.ld;
    if (root->place == PLACE_VARIABLE)
        view->ld = session->variables[root->variable].value.ld;
    if (tensor->tensor->type.extent == EXTENT_ROWS) {
        view->rows = rows;
        view->shape.dims[0] = rows;
    } else if (tensor->place == PLACE_BATCH) { /* a symbolic size elsewhere */
        *view = tensor_view(view->data, view->dtype, shape_with_batch(tensor->tensor->type.shape, session->rows), false);
    }
}

/* ---- running ---- */

static void run_step(const struct session *session, struct worker *worker, int s, int64_t first, int64_t rows, int64_t shard, bool accumulate)
{
    const struct step *step = &session->plan->steps[s];
    struct op_value *values = worker->values + session->first[s];
    for (int i = 0; i < step->input_count; i++)
        point(session, worker, step->inputs[i], first, rows, shard, false, &values[i]);
    for (int i = 0; i < step->output_count; i++)
        point(session, worker, step->outputs[i], first, rows, shard, true, &values[step->input_count + i]);
    struct op_run run = { .args = step->args, .kernels = session->kernels, .input_count = step->input_count,
                          .output_count = step->output_count, .inputs = values, .outputs = values + step->input_count,
                          .accumulate = accumulate || step->adds, .first_row = first, .rows = rows, .batch_rows = session->rows,
                          .step = session->step, .seed = session->seed, .name = step->node->name, .scratch = worker->scratch,
                          .status = &worker->status };
    step->row->run(&run);
}

/* A shard: rows [rows * s / P, rows * (s + 1) / P), in tiles of at most TILE_ROWS, equal within one row. */
static void run_shard(void *context, int64_t shard, int number)
{
    const struct session *session = context;
    const struct plan *plan = session->plan;
    const struct plan_stage *stage = &plan->stages[session->stage];
    struct worker *worker = &session->workers[number];
    int64_t first = session->rows * shard / session->shards, last = session->rows * (shard + 1) / session->shards;
    int64_t tiles = (last - first + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t tile = 0; tile < tiles; tile++) {
        int64_t from = first + (last - first) * tile / tiles, to = first + (last - first) * (tile + 1) / tiles;
        bool ok = status_ok(&worker->status);
        for (int o = stage->first; o < stage->first + stage->count; o++)
            if (!plan->steps[plan->order[o]].view)
                run_step(session, worker, plan->order[o], from, to - from, shard, tile > 0);
        if (ok && !status_ok(&worker->status))
            worker->bad_row = from;
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
    size_t doubles = stage->partial_doubles / sizeof(double), floats = (stage->partial_bytes - stage->partial_doubles) / sizeof(float);
    for (int64_t step = 1; step < session->shards && stage->partial_bytes; step *= 2)
        for (int64_t s = 0; s + step < session->shards; s += 2 * step) {
            char *to = partial_block(session, number, s), *from = partial_block(session, number, s + step);
            add_doubles((double *)(void *)to, (const double *)(void *)from, doubles);
            add_floats((float *)(void *)(to + stage->partial_doubles), (const float *)(void *)(from + stage->partial_doubles), floats);
        }
}

static bool run_stage(struct session *session, int number, const struct job *jobs, size_t job_count, pil_status *status)
{
    const struct plan *plan = session->plan;
    const struct plan_stage *stage = &plan->stages[number];
    enum { MOST_JOBS = 8 };
    struct job all[MOST_JOBS];
    session->stage = number;
    if (number % 2 == 0) {
        for (int o = stage->first; o < stage->first + stage->count; o++)
            if (!(plan->steps[plan->order[o]].row->flags & OP_RECORD))
                run_step(session, &session->workers[0], plan->order[o], 0, session->rows, 0, false);
    } else {
        all[0] = (struct job){ run_shard, session, session->shards };
        job_count = MIN(job_count, (size_t)MOST_JOBS - 1);
        if (job_count)
            memcpy(all + 1, jobs, job_count * sizeof *jobs);
        threads_run(session->threads, all, job_count + 1);
        add_partials(session, number);
    }
    /* Of several workers' errors the one of the first row is told, whoever met it. */
    struct worker *bad = NULL;
    for (int w = 0; w < session->worker_count; w++)
        if (!status_ok(&session->workers[w].status) && (!bad || session->workers[w].bad_row < bad->bad_row))
            bad = &session->workers[w];
    if (bad && status_ok(status))
        *status = bad->status;
    return !bad;
}

/* ---- memory of a batch ---- */

static bool reserve_batch(struct session *session, pil_status *status)
{
    const struct plan *plan = session->plan;
    for (int t = 0; t < plan->tensor_count; t++) {
        const struct plan_tensor *tensor = &plan->tensors[t];
        if (tensor->place != PLACE_BATCH)
            continue;
        struct buffer *buffer = &session->buffers[tensor->offset];
        bool rows = tensor->tensor->type.extent == EXTENT_ROWS;
        size_t bytes = rows ? (size_t)(tensor->ld * session->rows) * dtype_size(tensor->tensor->type.dtype)
                            : tensor_bytes(tensor->tensor->type.dtype, shape_with_batch(tensor->tensor->type.shape, session->rows), false);
        if (!mem_grow_block(&buffer->data, &buffer->capacity, bytes + 64, 1, status))
            return false;
        if (!rows) /* its pads move with the number of rows */
            memset(buffer->data, 0, bytes);
    }
    for (int s = 0; s < plan->stage_count; s++) {
        size_t bytes = plan->stages[s].partial_bytes * (size_t)session->shards;
        if (bytes && !mem_grow_block(&session->partials[s].data, &session->partials[s].capacity, bytes, 1, status))
            return false;
    }
    for (int g = 0; g < session->group_count; g++)
        for (int64_t s = 0; s < session->shards; s++)
            if (session->groups[g].floats && !session->groups[g].partials[s] &&
                !(session->groups[g].partials[s] = mem_block((size_t)session->groups[g].floats * sizeof(float), status)))
                return false;
    return true;
}

static bool check_bound(const struct session *session, pil_status *status)
{
    const struct plan *plan = session->plan;
    for (int t = 0; t < plan->tensor_count; t++) {
        const struct plan_tensor *tensor = &plan->tensors[t];
        const char *name = tensor->tensor->node->name;
        if ((tensor->place == PLACE_VARIABLE || tensor->place == PLACE_GRADIENT) && !session->bound[tensor->variable])
            return status_fail(status, PIL_INTERNAL, "the variable %s is not bound", name);
        if (tensor->place == PLACE_GRADIENT && (session->variables[tensor->variable].group < 0 ||
                                                session->variables[tensor->variable].group >= session->group_count))
            return status_fail(status, PIL_INTERNAL, "the gradient of %s has no block", name);
        if (tensor->place == PLACE_INPUT) {
            const struct op_value *input = &session->inputs[tensor->input];
            int64_t rows = tensor->tensor->type.sparse ? input->sparse.rows : input->tensor.rows;
            if (rows < session->rows || (!tensor->tensor->type.sparse && input->tensor.cols != tensor->cols))
                return status_fail(status, PIL_INTERNAL, "the input %s has %lld rows, the batch %lld", name, (long long)rows,
                                   (long long)session->rows);
        }
    }
    return true;
}

/* ---- after the stages ---- */

/* Dense gradients that are not a reduction's own buffer go to shard 0's block; the other shards' are zero there. */
static void copy_gradients(struct session *session)
{
    const struct pil_graph *graph = session->plan->graph;
    for (size_t v = 0; graph->has_gradients && v < graph->variable_count; v++) {
        const struct variable_gradient *gradient = &graph->variables[v]->gradient;
        int t = gradient->dense_count == 1 ? plan_number(session->plan, gradient->dense[0]) : -1;
        if (t < 0 || session->plan->tensors[t].place == PLACE_GRADIENT || session->variables[v].group < 0)
            continue;
        struct op_value value = template_of(session->plan, t);
        point(session, &session->workers[0], t, 0, session->rows, 0, false, &value);
        float *block = session->groups[session->variables[v].group].partials[0] + session->variables[v].block_offset;
        struct tensor to = tensor_view(block, DTYPE_FLOAT32, graph->variables[v]->variable.shape, false);
        tensor_copy(&value.tensor, &to);
    }
}

/* variable -= (variable - value) (1 - decay), as Keras's assign_moving_average. */
static void move_averages(struct session *session)
{
    const struct pil_graph *graph = session->plan->graph;
    for (size_t m = 0; graph->has_gradients && m < graph->moving_count; m++) {
        const struct moving *moving = &graph->movings[m];
        int from = plan_number(session->plan, moving->value);
        struct op_value value = template_of(session->plan, from);
        point(session, &session->workers[0], from, 0, session->rows, 0, false, &value);
        const struct tensor *variable = &session->variables[((struct variable_entry *)moving->variable->node->variable)->number].value;
        for (int64_t r = 0; r < variable->rows; r++)
            for (int64_t c = 0; c < variable->cols; c++) {
                float *old = tensor_floats(variable) + r * variable->ld + c;
                *old -= (*old - tensor_floats(&value.tensor)[r * value.tensor.ld + c]) * (1.0f - moving->decay);
            }
    }
}

static void collect(struct session *session)
{
    const struct plan *plan = session->plan;
    for (size_t i = 0; i < plan->fetch_count; i++) {
        int t = plan->fetches[i];
        session->fetches[i] = template_of(plan, t);
        if (plan->tensors[t].tensor->type.sparse)
            session->fetches[i].sparse = session->inputs[plan->tensors[t].input].sparse;
        else
            point(session, &session->workers[0], t, 0, session->rows, 0, false, &session->fetches[i]);
    }
    session->record_count = 0;
    for (int o = 0; o < plan->step_count; o++) {
        const struct step *step = &plan->steps[plan->order[o]];
        if (!(step->row->flags & OP_RECORD))
            continue;
        const struct op_lookup_args *args = step->args;
        struct op_value gradient = template_of(plan, step->inputs[1]);
        point(session, &session->workers[0], step->inputs[1], 0, session->rows, 0, false, &gradient);
        size_t n = session->record_count++;
        session->record_ids[n] = session->inputs[plan->tensors[step->inputs[0]].input].sparse;
        session->records[n] = (struct session_record){ .variable = graph_variable_at(plan->graph, (size_t)plan->tensors[step->inputs[2]].variable),
                                                       .ids = &session->record_ids[n], .gradient = gradient.tensor,
                                                       .combiner = args->combiner, .max_norm = args->max_norm };
    }
}

bool session_run(struct session *session, int64_t rows, int64_t step, const struct job *jobs, size_t job_count, pil_status *status)
{
    if (rows < 1)
        return status_fail(status, PIL_INVALID_ARGUMENT, "a batch needs at least one row");
    session->rows = rows;
    session->step = step;
    session->shards = plan_shards(session->plan, rows);
    if (!check_bound(session, status) || !reserve_batch(session, status))
        return false;
    if (session->poisoned)
        session_poison(session);
    for (int w = 0; w < session->worker_count; w++)
        status_clear(&session->workers[w].status);
    bool ran = false;
    for (int stage = 0; stage < session->plan->stage_count; stage++) {
        bool rows_stage = stage % 2 == 1 && session->plan->stages[stage].count > 0;
        if (!run_stage(session, stage, jobs, rows_stage && !ran ? job_count : 0, status))
            return false;
        ran |= rows_stage;
    }
    if (!ran && job_count)
        threads_run(session->threads, jobs, job_count);
    copy_gradients(session);
    move_averages(session);
    collect(session);
    return true;
}

/* ---- results ---- */

const struct op_value *session_fetch(const struct session *session, size_t i)
{
    return &session->fetches[i];
}

double session_scalar(const struct session *session, size_t fetch)
{
    const struct tensor *tensor = &session->fetches[fetch].tensor;
    return tensor->dtype == DTYPE_FLOAT64 ? *(const double *)tensor->data : (double)*tensor_floats(tensor);
}

struct session_partials session_partials(const struct session *session, int group)
{
    if (group < 0 || group >= session->group_count)
        return (struct session_partials){ 0 };
    struct group *found = &session->groups[group];
    return (struct session_partials){ found->partials, session->shards, found->floats };
}

size_t session_records(const struct session *session, const struct session_record **records)
{
    *records = session->records;
    return session->record_count;
}

size_t session_bytes(const struct session *session)
{
    size_t bytes = session->plan->static_bytes + (size_t)session->worker_count * (size_t)session->plan->tile_bytes;
    for (int b = 0; b < session->plan->batch_buffers; b++)
        bytes += session->buffers[b].capacity;
    for (int s = 0; s < session->plan->stage_count; s++)
        bytes += session->partials[s].capacity;
    for (int g = 0; g < session->group_count; g++)
        for (int s = 0; s < MAX_SHARDS; s++)
            bytes += session->groups[g].partials[s] ? (size_t)session->groups[g].floats * sizeof(float) : 0;
    return bytes;
}

/* Every column that is no pad, of everything a run must write before it reads. */
void session_poison(struct session *session)
{
    const struct plan *plan = session->plan;
    session->poisoned = true;
    for (int t = 0; t < plan->tensor_count; t++) {
        const struct plan_tensor *tensor = &plan->tensors[t];
        bool rows = tensor->tensor->type.extent == EXTENT_ROWS;
        if ((tensor->place != PLACE_TILE && tensor->place != PLACE_BATCH) || !rows || tensor->tensor->type.dtype != DTYPE_FLOAT32)
            continue;
        for (int w = 0; w < (tensor->place == PLACE_TILE ? session->worker_count : 1); w++) {
            float *data = tensor->place == PLACE_TILE ? (float *)(void *)(session->workers[w].arena + tensor->offset)
                                                      : (float *)(void *)session->buffers[tensor->offset].data;
            int64_t count = tensor->place == PLACE_TILE ? TILE_ROWS : session->rows;
            for (int64_t r = 0; data && r < count; r++)
                for (int64_t c = 0; c < tensor->cols; c++)
                    data[r * tensor->ld + c] = NAN;
        }
    }
}
