/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: the memory of a plan that is run, what is bound to it, and what is found after a run. Running is run.c's.
 */
#include <math.h>
#include <string.h>

#include "graph/internal.h"

/* ---- making ---- */

static int count_operands(const struct plan *plan)
{
    int count = 0;
    for (int s = 0; s < plan->step_count; s++)
        count += plan->steps[s].input_count + plan->steps[s].output_count;
    return count;
}

static void allocate_worker(const struct session *session, struct worker *worker, pil_status *status)
{
    const struct plan *plan = session->plan;
    worker->arena = mem_block((size_t)plan->tile_bytes + 64, status);
    worker->scratch = mem_block(plan->scratch_bytes + 64, status);
    worker->values = mem_array((size_t)session->operand_count + 1, sizeof *worker->values, status);
    worker->runs = mem_array((size_t)plan->step_count + 1, sizeof *worker->runs, status);
}

static bool allocate(struct session *session, pil_status *status)
{
    const struct plan *plan = session->plan;
    size_t operands = (size_t)session->operand_count + 1, stages = (size_t)plan->stage_count + 1,
           steps = (size_t)plan->step_count + 1;
    size_t variables = graph_variable_count(plan->graph) + 1;
    session->operands = mem_array(operands, sizeof *session->operands, status);
    session->moving.first = mem_array(stages, sizeof(int), status);
    session->moving.numbers = mem_array(operands, sizeof(int), status);
    session->sharded.first = mem_array(stages, sizeof(int), status);
    session->sharded.numbers = mem_array(operands, sizeof(int), status);
    session->input_operands = mem_array(operands, sizeof(int), status);
    session->variables = mem_array(variables, sizeof *session->variables, status);
    session->bound = mem_array(variables, sizeof *session->bound, status);
    session->inputs = mem_array((size_t)plan->input_count + 1, sizeof *session->inputs, status);
    session->input_names = map_new(status);
    session->buffers = mem_array((size_t)plan->batch_buffers + 1, sizeof *session->buffers, status);
    session->partials = mem_array(stages, sizeof *session->partials, status);
    session->fetches = mem_array(plan->fetch_count + 1, sizeof *session->fetches, status);
    session->records = mem_array(steps, sizeof *session->records, status);
    session->record_ids = mem_array(steps, sizeof *session->record_ids, status);
    session->record_memory = mem_array(steps, sizeof *session->record_memory, status);
    session->workers = mem_array((size_t)session->worker_count, sizeof *session->workers, status);
    session->memory = mem_block(plan->static_bytes + 64, status);
    for (int w = 0; w < session->worker_count && status_ok(status); w++)
        allocate_worker(session, &session->workers[w], status);
    for (int i = 0; i < plan->input_count && status_ok(status); i++)
        map_intern(session->input_names, slice_text(plan->inputs[i]->node->name), NULL, status);
    return status_ok(status);
}

int plan_root(const struct plan *plan, int t, int64_t *columns)
{
    for (*columns = 0; plan->tensors[t].place == PLACE_COLUMNS; t = plan->tensors[t].base)
        *columns += plan->tensors[t].offset;
    return t;
}

struct op_value session_template(const struct plan *plan, int t)
{
    const struct plan_tensor *tensor = &plan->tensors[t];
    struct op_type type = tensor->tensor->type;
    struct op_value value = { .tensor = { .dtype = type.dtype, .shape = type.shape, .cols = tensor->cols, .ld = tensor->ld } };
    if (!plan_is_rows(plan, t))
        tensor_cut(type.shape, false, &value.tensor.rows, &value.tensor.cols);
    return value;
}

/* One operand of a step of `stage`: what it is, and which lists it stands in. */
static void prepare_operand(struct session *session, int number, int t, bool writes, int stage)
{
    const struct plan *plan = session->plan;
    const struct plan_tensor *tensor = &plan->tensors[t];
    struct operand *operand = &session->operands[number];
    operand->tensor = t;
    operand->root = plan_root(plan, t, &operand->columns);
    operand->columns *= (int64_t)dtype_size(tensor->tensor->type.dtype);
    if (plan_is_rows(plan, t))
        session->moving.numbers[session->moving.first[stage + 1]++] = number;
    else if (writes && (tensor->place == PLACE_PARTIAL || tensor->place == PLACE_GRADIENT))
        session->sharded.numbers[session->sharded.first[stage + 1]++] = number;
    if (plan->tensors[operand->root].place == PLACE_INPUT && !tensor->tensor->type.sparse)
        session->input_operands[session->input_operand_count++] = number;
    for (int w = 0; w < session->worker_count; w++)
        session->workers[w].values[number] = session_template(plan, t);
}

static void prepare_run(struct session *session, int s, int first)
{
    const struct step *step = &session->plan->steps[s];
    for (int w = 0; w < session->worker_count; w++) {
        struct worker *worker = &session->workers[w];
        worker->runs[s] = (struct op_run){ .args = step->args,
                                           .kernels = session->kernels,
                                           .input_count = step->input_count,
                                           .output_count = step->output_count,
                                           .inputs = worker->values + first,
                                           .outputs = worker->values + first + step->input_count,
                                           .seed = session->seed,
                                           .name = step->node->name,
                                           .scratch = worker->scratch,
                                           .status = &worker->status };
    }
}

/* In the order in which steps run, so that each list has a stage's operands together. Of a view and a record nothing is run. */
static void prepare(struct session *session)
{
    const struct plan *plan = session->plan;
    int number = 0;
    for (int stage = 0; stage < plan->stage_count; stage++) {
        session->moving.first[stage + 1] = session->moving.first[stage];
        session->sharded.first[stage + 1] = session->sharded.first[stage];
        for (int o = plan->stages[stage].first; o < plan->stages[stage].first + plan->stages[stage].count; o++) {
            const struct step *step = &plan->steps[plan->order[o]];
            if (step->view || (step->row->flags & OP_RECORD))
                continue;
            prepare_run(session, plan->order[o], number);
            for (int i = 0; i < step->input_count; i++)
                prepare_operand(session, number++, step->inputs[i], false, stage);
            for (int i = 0; i < step->output_count; i++)
                prepare_operand(session, number++, step->outputs[i], true, stage);
        }
    }
    session->operand_count = number;
}

struct session *session_new(const struct plan *plan, struct threads *threads, const struct kernels *kernels, uint64_t seed,
                            pil_status *status)
{
    struct session *session = mem_new(sizeof *session, status);
    if (!session)
        return NULL;
    session->plan = plan;
    session->threads = threads;
    session->kernels = kernels;
    session->seed = seed;
    session->worker_count = threads_count(threads);
    session->operand_count = count_operands(plan);
    if (!allocate(session, status)) {
        session_free(session);
        return NULL;
    }
    prepare(session);
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
        mem_free(session->workers[w].seconds);
        mem_free(session->workers[w].runs);
    }
    map_free(session->input_names);
    record_free(session);
    void *const owned[] = { session->operands,        session->moving.first,   session->moving.numbers, session->sharded.first,
                            session->sharded.numbers, session->input_operands, session->variables,      session->bound,
                            session->inputs,          session->groups,         session->buffers,        session->partials,
                            session->fetches,         session->records,        session->record_ids,     session->workers,
                            session->memory };
    for (size_t i = 0; i < COUNT_OF(owned); i++)
        mem_free(owned[i]);
    mem_free(session);
}

/* ---- binding ---- */

bool session_bind(struct session *session, const struct graph_variable *variable, const struct session_variable *where,
                  pil_status *status)
{
    int number = ((const struct variable_entry *)variable)->number;
    char have[128], want[128];
    if (!shape_equal(variable->shape, where->value.shape))
        return status_fail(status, PIL_INTERNAL, "%s is %s in the store, %s in the graph", variable->name,
                           shape_text(where->value.shape, have), shape_text(variable->shape, want));
    session->variables[number] = *where;
    session->bound[number] = true;
    session->settled = false;
    return true;
}

bool session_groups(struct session *session, int group, int64_t floats, pil_status *status)
{
    if (group < 0 || floats < 0)
        return status_fail(status, PIL_INTERNAL, "group %d cannot have %lld floats", group, (long long)floats);
    if (!mem_grow(&session->groups, &session->group_capacity, (size_t)group + 1, sizeof *session->groups, status))
        return false;
    session->group_count = MAX(session->group_count, group + 1);
    session->groups[group].floats = floats;
    return true;
}

bool session_input(struct session *session, const char *name, const struct op_value *value)
{
    int64_t number = map_find(session->input_names, slice_text(name));
    if (number >= 0)
        session->inputs[number] = *value;
    return number >= 0;
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

bool fetches_add(struct fetches *fetches, struct pil_tensor *tensor, pil_status *status)
{
    for (size_t i = 0; i < fetches->count; i++)
        if (fetches->items[i] == tensor)
            return true;
    if (!tensor)
        return true;
    if (!mem_grow(&fetches->items, &fetches->capacity, fetches->count + 1, sizeof *fetches->items, status))
        return false;
    fetches->items[fetches->count++] = tensor;
    return true;
}

const struct tensor *fetches_value(const struct fetches *fetches, const struct session *session, const struct pil_tensor *tensor)
{
    for (size_t i = 0; tensor && i < fetches->count; i++)
        if (fetches->items[i] == tensor)
            return &session_fetch(session, i)->tensor;
    return NULL;
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

/* ---- for tests ---- */

/* Calls `look` for every row of what the session lays out itself, in every worker's tile and every shard's block. */
static void each_row(const struct session *session, void (*look)(void *context, const struct plan_tensor *tensor, char *row),
                     void *context)
{
    const struct plan *plan = session->plan;
    for (int t = 0; session->rows && t < plan->tensor_count; t++) {
        const struct plan_tensor *tensor = &plan->tensors[t];
        bool tile = tensor->place == PLACE_TILE, partial = tensor->place == PLACE_PARTIAL || tensor->place == PLACE_GRADIENT;
        bool batch = tensor->place == PLACE_BATCH && plan_is_rows(plan, t);
        int64_t rows = tile ? TILE_ROWS : session->rows, cols,
                row_bytes = tensor->ld * (int64_t)dtype_size(tensor->tensor->type.dtype);
        if (!tile && !partial && !batch && tensor->place != PLACE_STATIC)
            continue;
        if (!plan_is_rows(plan, t))
            tensor_cut(tensor->tensor->type.shape, false, &rows, &cols);
        int64_t copies = tile ? session->worker_count : partial ? session->shards : 1;
        for (int64_t copy = 0; copy < copies; copy++) {
            char *data = session_address(session, &session->workers[tile ? copy : 0], tensor, partial ? copy : 0);
            for (int64_t r = 0; r < rows; r++)
                look(context, tensor, data + r * row_bytes);
        }
    }
}

static void poison_row(void *context, const struct plan_tensor *tensor, char *row)
{
    (void)context;
    for (int64_t c = 0; c < tensor->cols; c++)
        if (tensor->tensor->type.dtype == DTYPE_FLOAT32)
            ((float *)(void *)row)[c] = NAN;
        else if (tensor->tensor->type.dtype == DTYPE_FLOAT64)
            ((double *)(void *)row)[c] = NAN;
}

void session_poison(struct session *session)
{
    session->poisoned = true;
    each_row(session, poison_row, NULL);
}

static void look_at_pads(void *context, const struct plan_tensor *tensor, char *row)
{
    const char **name = context;
    size_t size = dtype_size(tensor->tensor->type.dtype);
    for (size_t b = (size_t)tensor->cols * size; b < (size_t)tensor->ld * size; b++)
        if (row[b] && !*name)
            *name = tensor->tensor->node->name;
}

const char *session_dirty_pad(const struct session *session)
{
    const char *name = NULL;
    each_row(session, look_at_pads, &name);
    return name;
}
