/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applies a session's gradients to the store. A step is one list of tasks in one run of the workers:
 *
 *   dense    a chunk of a part's block: the shards' partials are added in their fixed tree, then the chunk is updated while
 *            it is in cache;
 *   tables   a piece of a table (rows.c).
 *
 * Only what the batch did not bring along takes a run before: coefficients of ragged or weighted readings, groups of ids that
 * came without, gradients of lookups in a dense variable. All memory grows to the largest batch and stays, so a second pass
 * allocates nothing. The bits depend neither on the number of workers nor on who took which task.
 */
#include <string.h>

#include "train/internal.h"

enum {
    MOST_PARTS = TRAIN_MOST_PARTS + 1, /* and what nobody moves */
    CHUNK = 4096,                      /* floats of a dense task: 16 KiB a partial */
    CHUNK_BYTES = 256 * 1024,          /* of a task's partials together: half a second-level cache */
    ROWS_A_TASK = 4096,                /* of coefficients */
    FLOATS_A_PIECE = 16384,            /* of a table: some 10 us */
    FLOATS_ALONE = 16384 /* of a run by one worker: another one takes 5 us to come, and 50 where it has gone to sleep */
};

struct part {
    struct optimizer optimizer;
    const struct optimizer_shape *shape; /* NULL: no optimizer, nothing of it may have a gradient */
    int group;
    int64_t *iter;              /* its own count of steps, or NULL */
    float *rate_kept;           /* a constant rate as the store keeps it, or NULL */
    float *carried[CARRY_SIZE]; /* in the store, or NULL: in `carry` alone */
    struct rule_carry carry, next_carry;
    bool has_carry; /* `carry` is filled */
    struct store_block block;
    struct session_partials partials;
    struct update rule;
    struct clipper *clipper; /* NULL: nobody asks for clipping or norms */
    bool clips;              /* not norms alone */
    double rate;             /* of the step, as its schedule has it */
    const struct train_constraint *constraints;
    size_t constraint_count;
};
struct task {
    void (*run)(struct updater *updater, const struct task *task, int worker);
    void *unit; /* part, table or reading */
    int64_t first, count;
};
struct table {
    struct table_update update;
    struct reading **readings; /* [reading_capacity] */
    size_t reading_capacity;
    struct part *part;
    bool in_step;
};
struct updater {
    struct store *store;
    struct threads *threads;
    const struct kernels *kernels;
    struct part parts[MOST_PARTS];
    int part_count;
    struct reading **readings; /* by the number of the record; with the table each went to */
    struct table **tables_of;
    size_t reading_capacity, table_of_capacity;
    struct table **tables; /* every table met so far */
    size_t table_count, table_capacity;
    struct task *tasks;
    size_t task_count, task_capacity;
    int64_t floats;  /* that the tasks read, about */
    float **scratch; /* by worker */
    size_t scratch_floats;
    struct summaries *summaries;
    bool notes_norms;
};

/* ---- making -------------------------------------------------------------------------------------------------- */

static bool check_block(const struct part *part, pil_status *status)
{
    int slots = part->shape ? update_slots(part->shape->formula) : 0;
    if (part->block.floats && part->shape && part->block.slot_count != slots)
        return status_fail(status, PIL_INTERNAL, "group %d has %d slots, its optimizer '%s' has %d", part->group,
                           part->block.slot_count, optimizer_class(&part->optimizer), slots);
    return true;
}

/* Where the store keeps what the part carries from step to step. */
static bool find_scalars(struct updater *updater, struct part *part, const struct updater_part *from, pil_status *status)
{
    struct text name = { 0 };
    if (from->own_iter && from->names.scope) {
        text_format(&name, "%s/iter", from->names.scope);
        part->iter = name.failed ? NULL : store_int64(updater->store, name.data);
    }
    if (part->optimizer.flavour != FLAVOUR_V1 && part->optimizer.options.learning_rate.kind == SCHEDULE_CONSTANT &&
        from->names.scope) {
        text_clear(&name);
        text_format(&name, "%s/learning_rate", from->names.scope);
        part->rate_kept = name.failed ? NULL : store_float32(updater->store, name.data);
    }
    for (int i = 0; i < rule_carries(&part->optimizer) && !name.failed; i++)
        if (optimizer_carry_name(&part->optimizer, &from->names, i, &name))
            part->carried[i] = store_float32(updater->store, name.data);
    bool ok = text_ok(&name, status);
    text_free(&name);
    return ok;
}

static bool add_clipper(struct updater *updater, struct part *part, const struct updater_part *from, pil_status *status)
{
    const struct optimizer_options *o = &from->optimizer.options;
    struct clip_options options = { .value = o->clipvalue,
                                    .norm = o->clipnorm,
                                    .global_norm = o->global_clipnorm > 0 ? o->global_clipnorm : from->clip_gradients,
                                    .multipliers = from->multipliers,
                                    .multiplier_count = from->multiplier_count };
    part->clips = clip_is_needed(&options);
    if (!part->clips && !(from->summaries & (PIL_SUMMARIZE_GLOBAL_GRADIENT_NORM | PIL_SUMMARIZE_GRADIENT_NORM)))
        return true;
    part->clipper = clipper_new(&options, updater->store, from->group, updater->kernels, status);
    return part->clipper != NULL;
}

static bool add_constraints(const struct updater *updater, struct part *part, const struct updater_part *from, pil_status *status)
{
    for (size_t i = 0; i < from->constraint_count; i++) {
        const struct train_constraint *constraint = &from->constraints[i];
        if (!store_find(updater->store, constraint->variable->name))
            return status_fail(status, PIL_INTERNAL, "a constraint of %s, which is not there", constraint->variable->name);
        if (!constraint_check(&constraint->constraint, constraint->variable->shape, status))
            return status_prefix(status, "%s: ", constraint->variable->name);
    }
    part->constraints = from->constraints;
    part->constraint_count = from->constraint_count;
    return true;
}

static bool add_part(struct updater *updater, const struct updater_part *from, pil_status *status)
{
    struct part *part = &updater->parts[updater->part_count++];
    part->optimizer = from->optimizer;
    part->group = from->group;
    part->block = store_block(updater->store, from->group);
    if (!from->optimizer.row)
        return true;
    part->shape = from->optimizer.row->shape(&from->optimizer.options);
    return find_scalars(updater, part, from, status) && check_block(part, status) && add_clipper(updater, part, from, status) &&
           add_constraints(updater, part, from, status);
}

struct updater *updater_new(struct store *store, const struct updater_part *parts, int part_count, struct threads *threads,
                            const struct kernels *kernels, pil_status *status)
{
    struct updater *updater = mem_new(sizeof *updater, status);
    if (!updater)
        return NULL;
    updater->store = store;
    updater->threads = threads;
    updater->kernels = kernels;
    updater->scratch = mem_array((size_t)threads_count(threads), sizeof *updater->scratch, status);
    if (part_count > MOST_PARTS)
        status_fail(status, PIL_INTERNAL, "an updater takes at most %d optimizers", (int)MOST_PARTS);
    for (int i = 0; i < part_count && status_ok(status); i++)
        add_part(updater, &parts[i], status);
    if (status_ok(status))
        updater->summaries = summaries_new(parts, part_count, store, status);
    if (status_ok(status))
        return updater;
    updater_free(updater);
    return NULL;
}

void updater_free(struct updater *updater)
{
    if (!updater)
        return;
    for (size_t i = 0; i < updater->reading_capacity; i++)
        if (updater->readings[i])
            reading_free(updater->readings[i]);
    for (size_t i = 0; i < updater->table_count; i++) {
        mem_free(updater->tables[i]->readings);
        mem_free(updater->tables[i]);
    }
    for (int i = 0; i < updater->part_count; i++)
        clipper_free(updater->parts[i].clipper);
    for (int w = 0; updater->scratch && w < threads_count(updater->threads); w++)
        mem_free(updater->scratch[w]);
    summaries_free(updater->summaries);
    mem_free(updater->scratch);
    mem_free(updater->readings);
    mem_free(updater->tables_of);
    mem_free(updater->tables);
    mem_free(updater->tasks);
    mem_free(updater);
}

/* ---- which table a record belongs to ------------------------------------------------------------------------- */

static struct part *part_of(struct updater *updater, const struct variable *variable)
{
    for (int i = 0; i < updater->part_count; i++)
        if (updater->parts[i].group == variable->group)
            return &updater->parts[i];
    return NULL;
}

static bool check_table(const struct updater *updater, const struct variable *variable, const struct part *part,
                        pil_status *status)
{
    (void)updater;
    if (!part)
        return status_fail(status, PIL_INTERNAL, "no optimizer is meant for '%s' (group %d)", variable->name, variable->group);
    if (part->shape && variable->slot_count != update_slots(part->shape->formula))
        return status_fail(status, PIL_INTERNAL, "'%s' has %d slots, %s needs %d", variable->name, variable->slot_count,
                           optimizer_class(&part->optimizer), update_slots(part->shape->formula));
    return true;
}

static struct table *add_table(struct updater *updater, const struct variable *variable, pil_status *status)
{
    struct part *part = part_of(updater, variable);
    if (!check_table(updater, variable, part, status) ||
        !mem_grow(&updater->tables, &updater->table_capacity, updater->table_count + 1, sizeof(struct table *), status))
        return NULL;
    struct table *table = mem_new(sizeof *table, status);
    if (!table)
        return NULL;
    table->part = part;
    table->update = (struct table_update){ .variable = variable,
                                           .rule = &part->rule,
                                           .untouched = part->shape ? part->shape->untouched : UNTOUCHED_STAYS,
                                           .scratch = updater->scratch,
                                           .kernels = updater->kernels };
    updater->tables[updater->table_count++] = table;
    return table;
}

static struct table *find_table(struct updater *updater, const char *name, pil_status *status)
{
    const struct variable *variable = store_find(updater->store, name);
    if (!variable) {
        status_fail(status, PIL_INTERNAL, "the store lacks '%s'", name);
        return NULL;
    }
    for (size_t i = 0; i < updater->table_count; i++)
        if (updater->tables[i]->update.variable == variable)
            return updater->tables[i];
    return add_table(updater, variable, status);
}

/* The table of record number i: usually the one of the step before. */
static struct table *table_of(struct updater *updater, size_t i, const struct session_record *record, pil_status *status)
{
    struct table *table = updater->tables_of[i];
    if (!table || strcmp(table->update.variable->name, record->variable->name) != 0)
        table = updater->tables_of[i] = find_table(updater, record->variable->name, status);
    return table;
}

/* ---- readings ------------------------------------------------------------------------------------------------ */

static bool has_dropped(const struct sparse *ids)
{
    int64_t end = ids->offsets ? ids->offsets[ids->rows] : ids->rows;
    for (int64_t e = 0; ids->weights && e < end; e++)
        if (!(ids->weights[e] > 0))
            return true;
    return false;
}

/* What must be made before the record can be applied. */
static void read_record(struct reading *reading, const struct session_record *record, enum update_formula formula)
{
    const struct sparse *ids = record->ids;
    bool sum = record->combiner == COMBINER_SUM, cut = ids->rows != record->gradient.rows;
    reading->record = record;
    reading->ids = cut ? sparse_slice(ids, 0, record->gradient.rows) : *ids;
    reading->gradient = tensor_floats(&record->gradient);
    reading->gradient_ld = record->gradient.ld;
    reading->max_norm = record->max_norm;
    reading->by_entry = record->by_entry;
    reading->wants_coefficients = ids->weights || (ids->offsets && !sum);
    reading->drops = !sum && !rule_is_idle(formula) && has_dropped(&reading->ids);
    reading->wants_groups = reading->drops || !reading->ids.groups;
    if (!reading->wants_groups)
        reading->groups = *reading->ids.groups;
}

static bool add_reading(struct updater *updater, size_t i, const struct session_record *record, pil_status *status)
{
    struct table *table = table_of(updater, i, record, status);
    if (!table || !table->part->shape) /* nobody moves it */
        return table != NULL;
    if (!updater->readings[i] && !(updater->readings[i] = mem_new(sizeof(struct reading), status)))
        return false;
    struct reading *reading = updater->readings[i];
    read_record(reading, record, table->part->shape->formula);
    if (!reading_reserve(reading, status))
        return false;
    reading->coefficient = reading->wants_coefficients ? reading->coefficients : NULL;
    int n = table->in_step ? table->update.reading_count : 0;
    if (n == MOST_READINGS)
        return status_fail(status, PIL_UNSUPPORTED, "'%s' is looked up more than %d times in one step", record->variable->name,
                           n);
    if (!mem_grow(&table->readings, &table->reading_capacity, (size_t)n + 1, sizeof *table->readings, status))
        return false;
    table->readings[n] = reading;
    table->update.readings = table->readings;
    table->update.reading_count = n + 1;
    table->in_step = true;
    return true;
}

static bool reserve_scratch(struct updater *updater, int64_t dim, pil_status *status)
{
    size_t floats = rows_scratch(dim);
    if (floats <= updater->scratch_floats)
        return true;
    for (int w = 0; w < threads_count(updater->threads); w++) {
        mem_free(updater->scratch[w]);
        updater->scratch[w] = NULL;
    }
    updater->scratch_floats = 0;
    for (int w = 0; w < threads_count(updater->threads); w++)
        if (!(updater->scratch[w] = mem_block(floats * sizeof(float), status)))
            return false;
    updater->scratch_floats = floats;
    return true;
}

static bool read_records(struct updater *updater, const struct session *session, pil_status *status)
{
    const struct session_record *records;
    size_t count = session_records(session, &records);
    if (!mem_grow(&updater->readings, &updater->reading_capacity, count, sizeof *updater->readings, status) ||
        !mem_grow(&updater->tables_of, &updater->table_of_capacity, count, sizeof *updater->tables_of, status))
        return false;
    for (size_t i = 0; i < updater->table_count; i++)
        updater->tables[i]->in_step = false;
    for (size_t i = 0; i < count; i++)
        if (!add_reading(updater, i, &records[i], status))
            return false;
    for (size_t i = 0; i < updater->table_count; i++) {
        const struct table_update *update = &updater->tables[i]->update;
        if (updater->tables[i]->in_step && update->reading_count > 1 &&
            !reserve_scratch(updater, update->variable->value.cols, status))
            return false;
    }
    return true;
}

/* ---- tasks --------------------------------------------------------------------------------------------------- */

static bool add_task(struct updater *updater, struct task task, int64_t floats, pil_status *status)
{
    updater->floats += floats;
    if (!mem_grow(&updater->tasks, &updater->task_capacity, updater->task_count + 1, sizeof *updater->tasks, status))
        return false;
    updater->tasks[updater->task_count++] = task;
    return true;
}

static void run_task(void *context, int64_t index, int worker)
{
    struct updater *updater = context;
    const struct task *task = &updater->tasks[index];
    task->run(updater, task, worker);
}

void run_job(struct threads *threads, const struct job *job, int64_t floats)
{
    if (floats > FLOATS_ALONE) {
        threads_run(threads, job, 1);
        return;
    }
    for (int64_t index = 0; index < job->count; index++)
        job->task(job->context, index, 0);
}

static void run_tasks(struct updater *updater)
{
    run_job(updater->threads, &(struct job){ run_task, updater, (int64_t)updater->task_count }, updater->floats);
    updater->task_count = 0;
    updater->floats = 0;
}

static void run_coefficients(struct updater *updater, const struct task *task, int worker)
{
    (void)worker;
    reading_coefficients(task->unit, updater->kernels, task->first, task->count);
}

static void run_group(struct updater *updater, const struct task *task, int worker)
{
    (void)updater;
    (void)worker;
    reading_group(task->unit, task->count);
}

static void run_table(struct updater *updater, const struct task *task, int worker)
{
    const struct table *table = task->unit;
    (void)updater;
    table_update_piece(&table->update, task->first, worker);
}

/* A chunk of a block: the partials' sum, then the update. */
static void run_dense(struct updater *updater, const struct task *task, int worker)
{
    const struct part *part = task->unit;
    const struct session_partials *partials = &part->partials;
    int64_t first = task->first, n = task->count;
    (void)worker;
    partials_add(partials, first, n);
    struct update_dense call = {
        .rule = &part->rule, .w = part->block.weights + first, .g = partials->partials[0] + first, .n = n
    };
    for (int k = 0; k < part->block.slot_count; k++)
        call.slot[k] = part->block.slots[k] + first;
    updater->kernels->update_dense(&call);
}

static bool is_dense(const struct table *table)
{
    return table->update.variable->layout != STORE_TABLE;
}

/* A lookup in a variable that is read otherwise, too: its gradient joins the first partial. */
static bool add_to_partial(struct updater *updater, struct table *table, pil_status *status)
{
    const struct variable *variable = table->update.variable;
    const struct session_partials *partials = &table->part->partials;
    if (!partials->count || variable->block_offset < 0)
        return status_fail(status, PIL_INTERNAL, "'%s' has no block for its gradient", variable->name);
    table_add_dense(&table->update, partials->partials[0] + variable->block_offset, variable->value.ld);
    (void)updater;
    return true;
}

/* Only a lookup's gradient is added to what may be there; it must not be found there in the next step. */
static void clear_partial(const struct table *table)
{
    const struct variable *variable = table->update.variable;
    float *gradient = table->part->partials.partials[0] + variable->block_offset;
    memset(gradient, 0, (size_t)(variable->value.rows * variable->value.ld) * sizeof *gradient);
}

/* The run before: what the readings lack. */
static bool prepare(struct updater *updater, size_t record_count, pil_status *status)
{
    for (size_t i = 0; i < record_count; i++) {
        struct reading *reading = updater->readings[i];
        if (!updater->tables_of[i]->part->shape)
            continue;
        int64_t rows = reading->ids.rows, entries = reading->ids.offsets ? reading->ids.offsets[rows] : rows;
        int64_t table_rows = updater->tables_of[i]->update.variable->value.rows;
        for (int64_t first = 0; reading->wants_coefficients && first < rows; first += ROWS_A_TASK) {
            struct task task = { run_coefficients, reading, first, MIN(ROWS_A_TASK, rows - first) };
            if (!add_task(updater, task, 4 * task.count, status))
                return false;
        }
        if (reading->wants_groups && !add_task(updater, (struct task){ run_group, reading, 0, table_rows }, 8 * entries, status))
            return false;
    }
    run_tasks(updater);
    for (size_t i = 0; i < record_count; i++) {
        struct reading *reading = updater->readings[i];
        if (updater->tables_of[i]->part->shape)
            reading->kept = reading->groups.count ? reading->groups.starts[reading->groups.count] : 0;
    }
    for (size_t i = 0; i < updater->table_count; i++)
        if (updater->tables[i]->in_step && is_dense(updater->tables[i]) && !add_to_partial(updater, updater->tables[i], status))
            return false;
    return true;
}

/* ---- clipping ------------------------------------------------------------------------------------------------ */

static bool clip_part(struct updater *updater, struct part *part, pil_status *status)
{
    bool norms_only = !part->clips;
    if (!part->clipper || (norms_only && !updater->notes_norms))
        return true;
    if (!clipper_begin(part->clipper, &part->partials, norms_only, status))
        return false;
    for (size_t i = 0; i < updater->table_count; i++) {
        const struct table *table = updater->tables[i];
        for (int k = 0; table->in_step && table->part == part && !is_dense(table) && k < table->update.reading_count; k++)
            if (!clipper_add(part->clipper, table->update.variable, table->readings[k], status))
                return false;
    }
    clipper_run(part->clipper, updater->threads);
    part->partials.count = MIN(part->partials.count, 1); /* the sum is in the first */
    return true;
}

static bool clip_parts(struct updater *updater, pil_status *status)
{
    for (int i = 0; i < updater->part_count; i++)
        if (!clip_part(updater, &updater->parts[i], status))
            return false;
    return true;
}

/* ---- tasks of the update ------------------------------------------------------------------------------------- */

static bool add_dense_tasks(struct updater *updater, struct part *part, pil_status *status)
{
    int64_t fits = CHUNK_BYTES / (int64_t)sizeof(float) / MAX(part->partials.count, 1) / PAD * PAD;
    int64_t chunk = MAX(MIN(CHUNK, fits), 1024);
    for (int64_t first = 0; first < part->block.floats; first += chunk) {
        struct task task = { run_dense, part, first, MIN(chunk, part->block.floats - first) };
        if (!add_task(updater, task, task.count * part->partials.count, status))
            return false;
    }
    return true;
}

static bool add_table_tasks(struct updater *updater, struct table *table, pil_status *status)
{
    struct table_update *update = &table->update;
    const struct tensor *value = &update->variable->value;
    int64_t rows = 0;
    for (int i = 0; i < update->reading_count; i++)
        rows += update->readings[i]->groups.count ? update->readings[i]->groups.starts[update->readings[i]->groups.count] : 0;
    if (update->untouched != UNTOUCHED_STAYS)
        rows = value->rows;
    int64_t floats = rows * MAX(value->ld, 8), wanted = floats / FLOATS_A_PIECE + 1,
            most = 4 * (int64_t)threads_count(updater->threads);
    update->pieces = MIN(wanted, threads_count(updater->threads) == 1 ? 1 : most);
    for (int64_t piece = 0; piece < update->pieces; piece++)
        if (!add_task(updater, (struct task){ run_table, table, piece, 1 }, floats / update->pieces, status))
            return false;
    return true;
}

static bool add_update_tasks(struct updater *updater, pil_status *status)
{
    for (int i = 0; i < updater->part_count; i++)
        if (updater->parts[i].shape && !add_dense_tasks(updater, &updater->parts[i], status))
            return false;
    for (size_t i = 0; i < updater->table_count; i++)
        if (updater->tables[i]->in_step && !is_dense(updater->tables[i]) && !add_table_tasks(updater, updater->tables[i], status))
            return false;
    return true;
}

/* ---- a step -------------------------------------------------------------------------------------------------- */

static bool begin_part(struct part *part, const struct session *session, int64_t step, pil_status *status)
{
    if (!part->shape)
        return true;
    part->partials = session_partials(session, part->group);
    if (part->block.floats && (!part->partials.count || part->partials.floats != part->block.floats))
        return status_fail(status, PIL_INTERNAL, "group %d has %lld floats in the store, %lld in the session", part->group,
                           (long long)part->block.floats, (long long)part->partials.floats);
    int64_t steps = part->iter ? *part->iter : step;
    if (!part->has_carry)
        part->carry = rule_carry(&part->optimizer, steps);
    part->has_carry = true;
    for (int i = 0; i < CARRY_SIZE; i++)
        if (part->carried[i])
            part->carry.values[i] = *part->carried[i];
    part->rate = (double)(float)schedule_rate(&part->optimizer.options.learning_rate, steps);
    part->rule = rule_of(&part->optimizer, steps, part->carry, &part->next_carry);
    return true;
}

static void end_part(struct part *part, const struct store *store)
{
    for (size_t i = 0; i < part->constraint_count; i++)
        constraint_apply(&part->constraints[i].constraint, store_find(store, part->constraints[i].variable->name));
    part->carry = part->next_carry;
    for (int i = 0; i < CARRY_SIZE; i++)
        if (part->carried[i])
            *part->carried[i] = part->carry.values[i];
    if (part->iter)
        ++*part->iter;
}

bool updater_apply(struct updater *updater, const struct session *session, int64_t step, pil_status *status)
{
    const struct session_record *records;
    size_t record_count = session_records(session, &records);
    updater->task_count = 0;
    updater->floats = 0;
    for (int i = 0; i < updater->part_count; i++)
        if (!begin_part(&updater->parts[i], session, step, status))
            return false;
    if (!read_records(updater, session, status) || !prepare(updater, record_count, status) || !clip_parts(updater, status) ||
        !add_update_tasks(updater, status))
        return false;
    run_tasks(updater);
    for (size_t i = 0; i < updater->table_count; i++)
        if (updater->tables[i]->in_step && is_dense(updater->tables[i]))
            clear_partial(updater->tables[i]);
    for (int i = 0; i < updater->part_count; i++)
        end_part(&updater->parts[i], updater->store);
    return true;
}

void updater_note(struct updater *updater, bool notes)
{
    updater->notes_norms = notes;
}

size_t updater_summaries(struct updater *updater, double loss, const struct train_summary **out)
{
    struct summary_source sources[MOST_PARTS];
    for (int i = 0; i < updater->part_count; i++)
        sources[i] = (struct summary_source){ updater->parts[i].clipper, updater->parts[i].rate };
    return summaries_list(updater->summaries, sources, loss, out);
}

void updater_set_rate(struct updater *updater, double rate)
{
    for (int i = 0; i < updater->part_count; i++) {
        struct part *part = &updater->parts[i];
        if (part->optimizer.options.learning_rate.kind != SCHEDULE_CONSTANT)
            continue;
        part->optimizer.options.learning_rate.rate = rate;
        if (part->rate_kept)
            *part->rate_kept = (float)rate;
    }
}
