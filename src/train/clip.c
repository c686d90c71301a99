/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gradients changed between the run and the update: multiplied, clipped by value, by each variable's norm or by the norm of all
 * of an optimizer's gradients together; and their norms for the event file. Two passes at most:
 *
 *   1  a block's partials are added in their fixed tree; a table's reading becomes a list of distinct ids with their sums. Each
 *      task multiplies and clips its piece, and adds up its squares
 *   2  where a norm is above its limit, everything that it is of is scaled
 *
 * TensorFlow clips an IndexedSlices by its values as they are (clip_ops.py): a lookup of sparse ids makes one value for each
 * distinct id of its own, a lookup of dense ids one for each id, and of several lookups in one table the values stand side by
 * side. So that is what a limit sees, not the sum that the row gets in the end.
 *
 * Tasks are listed in one order and their sums added in it, so the bits do not depend on the number of workers. After a pass over
 * norms alone the readings are left as they came.
 */
#include <math.h>
#include <string.h>

#include "train/internal.h"

enum { FLOATS_A_TASK = 4096, LANES = 16 };

/* A variable's block, or one reading of a table. */
struct unit {
    const struct variable *variable;
    struct reading *reading; /* NULL: dense */
    float *values;           /* pass 1 leaves the gradient there */
    int64_t floats;
    float multiplier;
    size_t first_task, task_count;
    double squares;
    float scale;
};
struct task {
    size_t unit;
    int64_t first, count; /* floats; of a reading: values */
    double squares;
};
struct clipper {
    struct clip_options options;
    struct unit *units; /* the dense ones first: they are the same in every step */
    size_t unit_count, unit_capacity, dense_count;
    struct task *tasks;
    size_t task_count, task_capacity;
    int32_t *numbers; /* 0, 1, 2, ... */
    size_t number_count, number_capacity;
    struct session_partials partials;
    const struct kernels *kernels;
    double norm, scaled_norm; /* of all units */
    bool norms_only;
};

/* ---- making -------------------------------------------------------------------------------------------------- */

static float multiplier_of(const struct clip_options *options, const struct variable *variable)
{
    float product = 1;
    for (size_t i = 0; i < options->multiplier_count; i++)
        if (strcmp(options->multipliers[i].variable->name, variable->name) == 0)
            product *= options->multipliers[i].multiplier;
    return product;
}

static struct unit *add_unit(struct clipper *clipper, const struct variable *variable, pil_status *status)
{
    if (!mem_grow(&clipper->units, &clipper->unit_capacity, clipper->unit_count + 1, sizeof *clipper->units, status))
        return NULL;
    struct unit *unit = &clipper->units[clipper->unit_count++];
    *unit = (struct unit){ .variable = variable, .multiplier = multiplier_of(&clipper->options, variable), .scale = 1 };
    return unit;
}

/* The variables of a block with the pads between them, which hold zeros. */
static bool add_dense(struct clipper *clipper, const struct store *store, int group, pil_status *status)
{
    for (size_t i = 0; i < store_count(store); i++) {
        const struct variable *variable = store_at(store, i);
        if (variable->group != group || variable->block_offset < 0)
            continue;
        struct unit *unit = add_unit(clipper, variable, status);
        if (!unit)
            return false;
        unit->floats = (variable->value.rows * variable->value.ld + PAD - 1) / PAD * PAD;
    }
    clipper->dense_count = clipper->unit_count;
    return true;
}

bool clip_is_needed(const struct clip_options *options)
{
    return options->value > 0 || options->norm > 0 || options->global_norm > 0 || options->multiplier_count > 0;
}

struct clipper *clipper_new(const struct clip_options *options, const struct store *store, int group,
                            const struct kernels *kernels, pil_status *status)
{
    struct clipper *clipper = mem_new(sizeof *clipper, status);
    if (!clipper)
        return NULL;
    clipper->options = *options;
    clipper->kernels = kernels;
    if (add_dense(clipper, store, group, status))
        return clipper;
    clipper_free(clipper);
    return NULL;
}

void clipper_free(struct clipper *clipper)
{
    if (!clipper)
        return;
    mem_free(clipper->units);
    mem_free(clipper->tasks);
    mem_free(clipper->numbers);
    mem_free(clipper);
}

/* ---- what a step brings -------------------------------------------------------------------------------------- */

static bool add_tasks(struct clipper *clipper, size_t u, int64_t count, int64_t a_task, pil_status *status)
{
    struct unit *unit = &clipper->units[u];
    unit->first_task = clipper->task_count;
    for (int64_t first = 0; first < count; first += a_task) {
        if (!mem_grow(&clipper->tasks, &clipper->task_capacity, clipper->task_count + 1, sizeof *clipper->tasks, status))
            return false;
        clipper->tasks[clipper->task_count++] = (struct task){ .unit = u, .first = first, .count = MIN(a_task, count - first) };
    }
    unit->task_count = clipper->task_count - unit->first_task;
    return true;
}

bool clipper_begin(struct clipper *clipper, const struct session_partials *partials, bool norms_only, pil_status *status)
{
    clipper->partials = *partials;
    clipper->norms_only = norms_only;
    clipper->unit_count = clipper->dense_count;
    clipper->task_count = 0;
    for (size_t u = 0; u < clipper->dense_count; u++) {
        struct unit *unit = &clipper->units[u];
        unit->values = partials->partials[0] + unit->variable->block_offset;
        if (!add_tasks(clipper, u, unit->floats, FLOATS_A_TASK, status))
            return false;
    }
    return true;
}

bool clipper_add(struct clipper *clipper, const struct variable *variable, struct reading *reading, pil_status *status)
{
    int64_t dim = variable->value.cols, count = reading->by_entry ? reading->ids.rows : reading->groups.count;
    struct unit *unit = add_unit(clipper, variable, status);
    if (!unit || !mem_grow_block(&reading->sums, &reading->sums_capacity, (size_t)MAX(count * dim, 1), sizeof(float), status) ||
        !mem_grow(&clipper->numbers, &clipper->number_capacity, (size_t)count + 1, sizeof *clipper->numbers, status))
        return false;
    for (; clipper->number_count <= (size_t)count; clipper->number_count++)
        clipper->numbers[clipper->number_count] = (int32_t)clipper->number_count;
    unit->reading = reading;
    unit->values = reading->sums;
    unit->floats = count * dim;
    return add_tasks(clipper, clipper->unit_count - 1, count, MAX(FLOATS_A_TASK / dim, 1), status);
}

/* ---- the first pass ------------------------------------------------------------------------------------------ */

static void add_floats(float *restrict to, const float *restrict from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] += from[i];
}

void partials_add(const struct session_partials *partials, int64_t first, int64_t n)
{
    for (int64_t step = 1; step < partials->count; step *= 2)
        for (int64_t i = 0; i + step < partials->count; i += 2 * step)
            add_floats(partials->partials[i] + first, partials->partials[i + step] + first, n);
}

/* A row of the gradient an entry. */
static void copy_reading(const struct unit *unit, const struct task *task)
{
    int64_t dim = unit->variable->value.cols;
    for (int64_t row = task->first; row < task->first + task->count; row++)
        memcpy(unit->values + row * dim, unit->reading->gradient + row * unit->reading->gradient_ld, (size_t)dim * sizeof(float));
}

/* Each group's sum, as the update would make it. A row that is alone in its group is copied, so that the next rows' loads need
 * not wait for it: large tables have few others. */
static void sum_reading(const struct clipper *clipper, const struct unit *unit, const struct task *task)
{
    const struct reading *reading = unit->reading;
    const struct groups *groups = &reading->groups;
    int64_t dim = unit->variable->value.cols;
    struct update_rows call = reading_rows(unit->variable, reading);
    bool as_it_came = !call.coefficient && !(call.max_norm > 0);
    call.count = 1;
    for (call.first = task->first; call.first < task->first + task->count; call.first++) {
        float *out = unit->values + call.first * dim;
        int32_t start = groups->starts[call.first];
        if (as_it_came && groups->starts[call.first + 1] - start == 1) {
            memcpy(out, reading->gradient + groups->rows[start] * reading->gradient_ld, (size_t)dim * sizeof *out);
            continue;
        }
        memset(out, 0, (size_t)dim * sizeof *out);
        clipper->kernels->sum_groups(&call, out, 0);
    }
}

static void multiply(float *values, int64_t n, float factor)
{
    for (int64_t i = 0; i < n; i++)
        values[i] *= factor;
}

/* What is not a number stays so. */
static void clip_values(float *values, int64_t n, float limit)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = values[i] > limit ? limit : values[i] < -limit ? -limit : values[i];
}

/* The same for every level of the kernels. */
static double sum_squares(const float *values, int64_t n)
{
    double squares[LANES] = { 0 }, total = 0;
    int64_t whole = n / LANES * LANES;
    for (int64_t i = 0; i < whole; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            squares[lane] += (double)values[i + lane] * (double)values[i + lane];
    for (int64_t i = whole; i < n; i++)
        squares[i - whole] += (double)values[i] * (double)values[i];
    for (int lane = 0; lane < LANES; lane++)
        total += squares[lane];
    return total;
}

static void first_pass(void *context, int64_t index, int worker)
{
    struct clipper *clipper = context;
    struct task *task = &clipper->tasks[index];
    const struct unit *unit = &clipper->units[task->unit];
    int64_t width = unit->reading ? unit->variable->value.cols : 1, n = task->count * width;
    float *values = unit->values + task->first * width;
    (void)worker;
    if (unit->reading && unit->reading->by_entry)
        copy_reading(unit, task);
    else if (unit->reading)
        sum_reading(clipper, unit, task);
    else
        partials_add(&clipper->partials, unit->variable->block_offset + task->first, n);
    if (unit->multiplier != 1)
        multiply(values, n, unit->multiplier);
    if (clipper->options.value > 0)
        clip_values(values, n, clipper->options.value);
    task->squares = sum_squares(values, n);
}

/* ---- norms --------------------------------------------------------------------------------------------------- */

/* TensorFlow's clip_by_norm: x limit / max(norm, limit). */
static float scale_by_norm(double norm, float limit)
{
    return (float)((double)limit / (norm > (double)limit || isnan(norm) ? norm : (double)limit));
}

/* And its clip_by_global_norm: a norm that is no number makes all gradients so. */
static float scale_by_global_norm(double norm, float limit)
{
    return isfinite(norm) ? scale_by_norm(norm, limit) : NAN;
}

/* Where the units of units[u]'s variable end. */
static size_t variable_end(const struct clipper *clipper, size_t u)
{
    size_t end = u + 1;
    while (end < clipper->unit_count && clipper->units[end].variable == clipper->units[u].variable)
        end++;
    return end;
}

static double squares_between(const struct clipper *clipper, size_t u, size_t end)
{
    double squares = 0;
    for (; u < end; u++)
        squares += clipper->units[u].squares;
    return squares;
}

static void set_scales(struct clipper *clipper, size_t u, size_t end, float scale)
{
    for (; u < end; u++)
        clipper->units[u].scale = scale;
}

static void find_scales(struct clipper *clipper)
{
    const struct clip_options *options = &clipper->options;
    double scaled = 0;
    for (size_t u = 0; u < clipper->unit_count; u++) {
        struct unit *unit = &clipper->units[u];
        unit->squares = 0;
        for (size_t t = 0; t < unit->task_count; t++)
            unit->squares += clipper->tasks[unit->first_task + t].squares;
        unit->scale = 1;
    }
    clipper->norm = sqrt(squares_between(clipper, 0, clipper->unit_count));
    for (size_t u = 0, end; options->norm > 0 && u < clipper->unit_count; u = end) {
        end = variable_end(clipper, u);
        set_scales(clipper, u, end, scale_by_norm(sqrt(squares_between(clipper, u, end)), options->norm));
    }
    if (options->global_norm > 0)
        set_scales(clipper, 0, clipper->unit_count, scale_by_global_norm(clipper->norm, options->global_norm));
    for (size_t u = 0; u < clipper->unit_count; u++)
        scaled += clipper->units[u].squares * (double)clipper->units[u].scale * (double)clipper->units[u].scale;
    clipper->scaled_norm = sqrt(scaled);
}

/* ---- the second pass ----------------------------------------------------------------------------------------- */

static void second_pass(void *context, int64_t index, int worker)
{
    const struct clipper *clipper = context;
    const struct task *task = &clipper->tasks[index];
    const struct unit *unit = &clipper->units[task->unit];
    int64_t width = unit->reading ? unit->variable->value.cols : 1;
    (void)worker;
    if (unit->scale != 1)
        multiply(unit->values + task->first * width, task->count * width, unit->scale);
}

static bool any_scale(const struct clipper *clipper)
{
    for (size_t u = 0; u < clipper->unit_count; u++)
        if (clipper->units[u].scale != 1)
            return true;
    return false;
}

/* The reading is its list of ids and sums from now on: an entry an id, each in a row of its own. One by entries keeps its groups.
 */
static void replace_reading(const struct clipper *clipper, const struct unit *unit)
{
    struct reading *reading = unit->reading;
    reading->gradient = unit->values;
    reading->gradient_ld = unit->variable->value.cols;
    if (reading->by_entry)
        return;
    reading->groups.starts = reading->groups.entries = reading->groups.rows = clipper->numbers;
    reading->coefficient = NULL;
    reading->max_norm = 0; /* the sums went through it */
}

void clipper_run(struct clipper *clipper, struct threads *threads)
{
    struct job job = { first_pass, clipper, (int64_t)clipper->task_count };
    int64_t floats = 0;
    for (size_t u = 0; u < clipper->unit_count; u++)
        floats += clipper->units[u].floats * (clipper->units[u].reading ? 2 : MAX(clipper->partials.count, 1));
    run_job(threads, &job, floats);
    find_scales(clipper);
    if (any_scale(clipper) && !clipper->norms_only) {
        job.task = second_pass;
        run_job(threads, &job, floats);
    }
    for (size_t u = clipper->dense_count; !clipper->norms_only && u < clipper->unit_count; u++)
        replace_reading(clipper, &clipper->units[u]);
}

double clipper_norm(const struct clipper *clipper, bool clipped)
{
    return clipped ? clipper->scaled_norm : clipper->norm;
}

double clipper_variable_norm(const struct clipper *clipper, const char *name)
{
    double squares = 0;
    for (size_t u = 0; u < clipper->unit_count; u++) {
        const struct unit *unit = &clipper->units[u];
        if (strcmp(unit->variable->name, name) == 0)
            squares += unit->squares * (double)unit->scale * (double)unit->scale;
    }
    return sqrt(squares);
}
