/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every optimizer's formula, once, as a step on a vector of weights, slots and gradients; the loops around it are shared.
 *
 *   dense    contiguous arrays: a parameter's block in one pass.
 *   rows     a table's rows of at least a vector: the row's gradient is summed, then the row is stepped in place. The last
 *            vector of a row overlaps its neighbour: it is computed before anything is stored, so that each float is stepped
 *            once and nothing outside the row is touched.
 *   staged   shorter rows: the floats of many rows are brought together, stepped as dense arrays and put back. A wide part's
 *            columns (one weight an id) run at the vector's width this way.
 *
 * The table's rows lie anywhere in memory; each is asked for AHEAD groups before its turn.
 */
#include "kernel/groups.h"

#include <math.h>

/* ---- the formulas (kernel.h says what each computes) --------------------------------------------------------- */

/* One step's numbers in every lane. */
struct hyper {
    vf rate, over_rate, epsilon, momentum, rho, one_less_rho, beta_1, one_less_beta_1, beta_2, one_less_beta_2;
    vf l1, l2, twice_shrinkage, divisor; /* divisor: Ftrl's 2 l2 + beta / rate */
    vf extra[COUNT_OF(((struct update *)0)->extra)];
    float minus_power;
    bool nesterov, slots_only;
};

static struct hyper broadcast(const struct update *rule)
{
    struct hyper h = {
        .rate = vset(rule->rate),
        .over_rate = vset(1 / rule->rate),
        .epsilon = vset(rule->epsilon),
        .momentum = vset(rule->momentum),
        .rho = vset(rule->rho),
        .one_less_rho = vset(1 - rule->rho),
        .beta_1 = vset(rule->beta_1),
        .one_less_beta_1 = vset(1 - rule->beta_1),
        .beta_2 = vset(rule->beta_2),
        .one_less_beta_2 = vset(1 - rule->beta_2),
        .l1 = vset(rule->l1),
        .l2 = vset(rule->l2),
        .twice_shrinkage = vset(2 * rule->shrinkage),
        .divisor = vset(2 * rule->l2 + rule->beta / rule->rate),
        .minus_power = -rule->power,
        .nesterov = rule->nesterov,
        .slots_only = rule->slots_only,
    };
    for (size_t i = 0; i < COUNT_OF(h.extra); i++)
        h.extra[i] = vset(rule->extra[i]);
    return h;
}

/* Returns the new weights; s: the slots, in place. */
typedef vf step_function(const struct hyper *h, vf w, vf *s, vf g);

/* decay * mean + (1 - decay) * x */
INLINE vf moving(vf mean, vf decay, vf one_less_decay, vf x)
{
    return vfma(decay, mean, one_less_decay * x);
}

/* Where an accumulator is still 0 there was no gradient: the weight stays, though the formula says 0 / 0. Pads need it. */
INLINE vf unless_zero(vf accumulator, vf w, vf stepped)
{
    return vselect(accumulator == 0, w, stepped);
}

INLINE vf step_sgd(const struct hyper *h, vf w, vf *s, vf g)
{
    (void)s;
    return vfma(-h->rate, g, w);
}

INLINE vf step_momentum(const struct hyper *h, vf w, vf *s, vf g)
{
    s[0] = vfma(h->momentum, s[0], g);
    return vfma(-h->rate, h->nesterov ? vfma(h->momentum, s[0], g) : s[0], w);
}

INLINE vf step_momentum_keras(const struct hyper *h, vf w, vf *s, vf g)
{
    vf down = -(h->rate * g);
    s[0] = vfma(h->momentum, s[0], down);
    return w + (h->nesterov ? vfma(h->momentum, s[0], down) : s[0]);
}

INLINE vf step_adagrad(const struct hyper *h, vf w, vf *s, vf g)
{
    s[0] = vfma(g, g, s[0]);
    return unless_zero(s[0], w, w - h->rate * g / (vsqrt(s[0]) + h->epsilon));
}

INLINE vf step_adagrad_inside(const struct hyper *h, vf w, vf *s, vf g)
{
    s[0] = vfma(g, g, s[0]);
    return unless_zero(s[0], w, w - h->rate * g / vsqrt(s[0] + h->epsilon));
}

INLINE void step_moments(const struct hyper *h, vf *s, vf g)
{
    s[0] = moving(s[0], h->beta_1, h->one_less_beta_1, g);
    s[1] = moving(s[1], h->beta_2, h->one_less_beta_2, g * g);
}

INLINE vf step_adam(const struct hyper *h, vf w, vf *s, vf g)
{
    step_moments(h, s, g);
    return w - h->rate * s[0] / (vsqrt(s[1]) + h->epsilon);
}

INLINE vf step_adam_amsgrad(const struct hyper *h, vf w, vf *s, vf g)
{
    step_moments(h, s, g);
    s[2] = vmax(s[2], s[1]);
    return w - h->rate * s[0] / (vsqrt(s[2]) + h->epsilon);
}

INLINE vf step_rmsprop(const struct hyper *h, vf w, vf *s, vf g)
{
    s[0] = moving(s[0], h->rho, h->one_less_rho, g * g);
    return w - h->rate * g / (vsqrt(s[0]) + h->epsilon);
}

INLINE vf step_rmsprop_root(const struct hyper *h, vf w, vf *s, vf g)
{
    s[0] = moving(s[0], h->rho, h->one_less_rho, g * g);
    return w - h->rate * g / vsqrt(s[0] + h->epsilon);
}

INLINE vf step_rmsprop_inside(const struct hyper *h, vf w, vf *s, vf g)
{
    s[0] = moving(s[0], h->rho, h->one_less_rho, g * g);
    s[1] = vfma(h->momentum, s[1], h->rate * g / vsqrt(s[0] + h->epsilon));
    return w - s[1];
}

/* s - q^2 is a variance: rounding may not make it negative, or a constant gradient ends in NaN. */
INLINE vf step_variance(const struct hyper *h, vf *s, vf g)
{
    s[0] = moving(s[0], h->rho, h->one_less_rho, g * g);
    s[1] = moving(s[1], h->rho, h->one_less_rho, g);
    return vmax(vfma(-s[1], s[1], s[0]), vset(0));
}

INLINE vf step_rmsprop_centered(const struct hyper *h, vf w, vf *s, vf g)
{
    return w - h->rate * g / (vsqrt(step_variance(h, s, g)) + h->epsilon);
}

INLINE vf step_rmsprop_centered_inside(const struct hyper *h, vf w, vf *s, vf g)
{
    s[2] = vfma(h->momentum, s[2], h->rate * g / vsqrt(step_variance(h, s, g) + h->epsilon));
    return w - s[2];
}

/* McMahan et al. 2013, with TensorFlow's shrinkage and beta; before and after are n^-power. */
INLINE vf ftrl(const struct hyper *h, vf w, vf *z, vf g, vf before, vf after)
{
    vf pull = (after - before) * h->over_rate;
    *z = vfma(-pull, w, *z + vfma(h->twice_shrinkage, w, g));
    vf magnitude = vabs(*z);
    vf toward = (vf)((vi)(magnitude - h->l1) ^ (~(vi)*z & vset_int(INT32_MIN))); /* -sign(z) (|z| - l1) */
    return vselect(magnitude <= h->l1, vset(0), toward / vfma(after, h->over_rate, h->divisor));
}

INLINE vf step_ftrl(const struct hyper *h, vf w, vf *s, vf g)
{
    vf after = vfma(g, g, s[0]);
    w = ftrl(h, w, s + 1, g, vsqrt(s[0]), vsqrt(after));
    s[0] = after;
    return w;
}

INLINE vf power(vf x, float exponent)
{
    for (int i = 0; i < VL; i++)
        x[i] = powf(x[i], exponent);
    return x;
}

INLINE vf step_ftrl_power(const struct hyper *h, vf w, vf *s, vf g)
{
    vf after = vfma(g, g, s[0]);
    w = ftrl(h, w, s + 1, g, power(s[0], h->minus_power), power(after, h->minus_power));
    s[0] = after;
    return w;
}

INLINE vf step_adadelta(const struct hyper *h, vf w, vf *s, vf g)
{
    s[0] = moving(s[0], h->rho, h->one_less_rho, g * g);
    vf x = g * vsqrt(s[1] + h->epsilon) / vsqrt(s[0] + h->epsilon);
    s[1] = moving(s[1], h->rho, h->one_less_rho, x * x);
    return vfma(-h->rate, x, w);
}

INLINE vf step_adamax(const struct hyper *h, vf w, vf *s, vf g)
{
    s[0] = moving(s[0], h->beta_1, h->one_less_beta_1, g);
    s[1] = vmax(h->beta_2 * s[1], vabs(g));
    return w - h->rate * s[0] / (s[1] + h->epsilon);
}

INLINE vf step_nadam(const struct hyper *h, vf w, vf *s, vf g)
{
    step_moments(h, s, g);
    vf step = vfma(h->extra[1], s[0], h->extra[0] * g);
    return w - h->rate * step / (vsqrt(s[1] / h->extra[2]) + h->epsilon);
}

INLINE vf step_proximal_adagrad(const struct hyper *h, vf w, vf *s, vf g)
{
    s[0] = vfma(g, g, s[0]);
    vf e = h->rate / vsqrt(s[0]), x = vfma(-e, g, w);
    vf magnitude = vmax(vfma(-e, h->l1, vabs(x)), vset(0));
    vf signed_back = (vf)((vi)magnitude | ((vi)x & vset_int(INT32_MIN)));
    return unless_zero(s[0], w, signed_back / vfma(e, h->l2, vset(1)));
}

/* ---- dense --------------------------------------------------------------------------------------------------- */

INLINE void step_vector(const struct hyper *h, float *w, float *const *slot, int slots, const float *g, step_function *step)
{
    vf s[UPDATE_MAX_SLOTS + 1];
    for (int k = 0; k < slots; k++)
        s[k] = vload(slot[k]);
    vf stepped = step(h, vload(w), s, vload(g));
    for (int k = 0; k < slots; k++)
        vstore(slot[k], s[k]);
    if (!h->slots_only)
        vstore(w, stepped);
}

INLINE void step_arrays(const struct hyper *h, float *w, float *const *slot, int slots, const float *g, int64_t n,
                        step_function *step)
{
    int64_t c = 0;
    float *at[UPDATE_MAX_SLOTS + 1];
    for (; c + VL <= n; c += VL) {
        for (int k = 0; k < slots; k++)
            at[k] = slot[k] + c;
        step_vector(h, w + c, at, slots, g + c, step);
    }
    if (c == n)
        return;
    float part[UPDATE_MAX_SLOTS + 2][VL] = { { 0 } }; /* the last few floats as a vector: gradient, weights, slots */
    size_t bytes = (size_t)(n - c) * sizeof(float);
    memcpy(part[0], g + c, bytes);
    memcpy(part[1], w + c, bytes);
    for (int k = 0; k < slots; k++)
        memcpy(at[k] = part[k + 2], slot[k] + c, bytes);
    step_vector(h, part[1], at, slots, part[0], step);
    memcpy(w + c, part[1], bytes);
    for (int k = 0; k < slots; k++)
        memcpy(slot[k] + c, part[k + 2], bytes);
}

/* ---- sums alone ---------------------------------------------------------------------------------------------- */

static void sum_groups(const struct update_rows *call, float *out, int64_t out_stride)
{
    float g[BLOCK + VL];
    struct through_norm norm;
    for (int64_t j = call->first; call->groups && j < call->first + call->count; j++) {
        float *to = out + row_of_group(call, j) * out_stride;
        for (int64_t c = 0, n; c < call->dim; c += n) {
            n = block_columns(call->dim - c);
            find_gradient_block(call, j, c, n, &norm, g);
            for (int64_t i = 0; i < n; i++)
                to[c + i] += g[i];
        }
    }
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

/* A piece: at most BLOCK columns of a row and where their gradient lies. Up to AHEAD pieces are found at a time, then stepped
 * while the rows of the next ones are asked for, one after the other. The loop that steps has so few values that nearly all
 * stay in registers: a load from elsewhere can take the store of a row for its own (only the low 12 bits of addresses are
 * compared at first) and then waits until that row has come from memory. One loop that found and stepped took twice as long,
 * asking for many rows at once 1.3 times. */
struct piece {
    float *w;
    const float *g;
    int64_t n; /* >= VL */
};
enum { POOL = 4 * (BLOCK + VL) };
struct batch {
    int count;
    struct piece pieces[AHEAD];
    float pool[POOL]; /* gradients that are sums */
};
struct finder {
    const struct update_rows *call;
    int64_t group, column;    /* what comes next */
    struct through_norm norm; /* of the row that column stands in */
};

/* The next groups as whole rows; returns how many. Their gradients are used where they lie, when every group has one entry
 * and nothing changes it. */
static int find_rows(struct finder *f, struct batch *batch)
{
    const struct update_rows *call = f->call;
    const struct groups *groups = call->groups;
    int64_t dim = call->dim, j = f->group, count = MIN(MIN(AHEAD, POOL / dim), call->first + call->count - j);
    bool as_it_came = !call->coefficient && !(call->max_norm > 0);
    for (int64_t i = 0; groups && i < count; i++)
        as_it_came &= groups->starts[j + i + 1] - groups->starts[j + i] == 1;
    if (groups && !as_it_came)
        find_gradients(call, j, count, batch->pool);
    for (int64_t i = 0; i < count; i++) {
        const float *g = !groups      ? no_gradient
                         : as_it_came ? call->gradient + groups->rows[groups->starts[j + i]] * call->gradient_ld
                                      : batch->pool + i * dim;
        batch->pieces[i] = (struct piece){ call->table + row_of_group(call, j + i) * call->stride, g, dim };
    }
    f->group += count;
    return (int)count;
}

/* The next block of a wide row. */
static int find_block(struct finder *f, struct batch *batch)
{
    const struct update_rows *call = f->call;
    if (f->group == call->first + call->count)
        return 0;
    int64_t n = block_columns(call->dim - f->column);
    if (call->groups)
        find_gradient_block(call, f->group, f->column, n, &f->norm, batch->pool);
    float *w = call->table + row_of_group(call, f->group) * call->stride + f->column;
    batch->pieces[0] = (struct piece){ w, call->groups ? batch->pool : no_gradient, n };
    f->column += n;
    if (f->column == call->dim) {
        f->column = 0;
        f->group++;
    }
    return 1;
}

/* The next pieces; none at the end. Those past the last one have addresses too, so that asking for them needs no test. */
static void find_pieces(struct finder *f, struct batch *batch)
{
    batch->count = f->call->dim <= BLOCK ? find_rows(f, batch) : find_block(f, batch);
    for (int i = batch->count; i < AHEAD; i++)
        batch->pieces[i] = (struct piece){ f->call->table, no_gradient, VL };
}

INLINE void step_piece(const struct hyper *h, float *w, int64_t slot_stride, int slots, int64_t n, const float *g,
                       step_function *step)
{
    int64_t whole = n & -VL, last = n - VL;
    float *at[UPDATE_MAX_SLOTS + 1];
    vf last_w = { 0 }, last_s[UPDATE_MAX_SLOTS + 1] = { { 0 } };
    if (whole < n) {
        for (int k = 0; k < slots; k++)
            last_s[k] = vload(w + (k + 1) * slot_stride + last);
        last_w = step(h, vload(w + last), last_s, vload(g + last));
    }
    for (int64_t c = 0; c < whole; c += VL) {
        for (int k = 0; k < slots; k++)
            at[k] = w + (k + 1) * slot_stride + c;
        step_vector(h, w + c, at, slots, g + c, step);
    }
    if (whole < n) {
        for (int k = 0; k < slots; k++)
            vstore(w + (k + 1) * slot_stride + last, last_s[k]);
        if (!h->slots_only)
            vstore(w + last, last_w);
    }
}

/* span: the floats from a piece's first weight to its last slot's end. */
INLINE void step_batch(const struct hyper *hyper, const struct batch *batch, const struct batch *next, int64_t slot_stride,
                       int64_t span, int slots, step_function *step)
{
    const struct hyper h = *hyper; /* a copy whose address nobody has stays in registers */
    const int count = batch->count;
    for (int i = 0; i < count; i++) {
        const struct piece *piece = &batch->pieces[i];
        prefetch_row(next->pieces[i].w, span);
        prefetch_row(next->pieces[i].g, VL);
        step_piece(&h, piece->w, slot_stride, slots, piece->n, piece->g, step);
    }
}

/* ---- the table of formulas ----------------------------------------------------------------------------------- */

struct formula {
    void (*arrays)(const struct hyper *h, float *w, float *const *slot, const float *g, int64_t n);
    void (*batch)(const struct hyper *h, const struct batch *batch, const struct batch *next, int64_t slot_stride, int64_t span);
};

#define FORMULA(name, slots)                                                                                                     \
    static void arrays_##name(const struct hyper *h, float *w, float *const *slot, const float *g, int64_t n)                    \
    {                                                                                                                            \
        step_arrays(h, w, slot, slots, g, n, step_##name);                                                                       \
    }                                                                                                                            \
    static void batch_##name(const struct hyper *h, const struct batch *batch, const struct batch *next, int64_t slot_stride,    \
                             int64_t span)                                                                                       \
    {                                                                                                                            \
        step_batch(h, batch, next, slot_stride, span, slots, step_##name);                                                       \
    }
FORMULA(sgd, 0)
FORMULA(momentum, 1)
FORMULA(momentum_keras, 1)
FORMULA(adagrad, 1)
FORMULA(adagrad_inside, 1)
FORMULA(adam, 2)
FORMULA(adam_amsgrad, 3)
FORMULA(rmsprop, 1)
FORMULA(rmsprop_root, 1)
FORMULA(rmsprop_inside, 2)
FORMULA(rmsprop_centered, 2)
FORMULA(rmsprop_centered_inside, 3)
FORMULA(ftrl, 2)
FORMULA(ftrl_power, 2)
FORMULA(adadelta, 2)
FORMULA(adamax, 2)
FORMULA(nadam, 2)
FORMULA(proximal_adagrad, 1)

/* clang-format off */
static const struct formula formulas[] = {
#define ROW(NAME, name) [UPDATE_##NAME] = { arrays_##name, batch_##name }
    ROW(SGD, sgd), ROW(MOMENTUM, momentum), ROW(MOMENTUM_KERAS, momentum_keras), ROW(ADAGRAD, adagrad),
    ROW(ADAGRAD_INSIDE, adagrad_inside), ROW(ADAM, adam), ROW(ADAM_AMSGRAD, adam_amsgrad), ROW(RMSPROP, rmsprop),
    ROW(RMSPROP_ROOT, rmsprop_root), ROW(RMSPROP_INSIDE, rmsprop_inside), ROW(RMSPROP_CENTERED, rmsprop_centered),
    ROW(RMSPROP_CENTERED_INSIDE, rmsprop_centered_inside), ROW(FTRL, ftrl), ROW(ADADELTA, adadelta), ROW(ADAMAX, adamax),
    ROW(NADAM, nadam), ROW(PROXIMAL_ADAGRAD, proximal_adagrad),
};
/* clang-format on */
static const struct formula ftrl_with_power = { arrays_ftrl_power, batch_ftrl_power };

static const struct formula *find_formula(const struct update *rule)
{
    return rule->formula == UPDATE_FTRL && rule->power != -0.5f ? &ftrl_with_power : &formulas[rule->formula];
}

/* ---- staged: rows shorter than a vector ---------------------------------------------------------------------- */

enum { STAGE = 256 };
struct stage {
    float g[STAGE], part[UPDATE_MAX_SLOTS + 1][STAGE]; /* part 0: weights, then the slots */
};

/* Copies the parts first .. parts of rows of groups j .. j + count into the stage, or back. Inlined with constants: these few
 * moves are most of the work on a cached row. */
INLINE void stage_parts(const struct update_rows *call, int64_t j, int64_t count, int64_t dim, int first, int parts,
                        struct stage *stage, bool back)
{
    const struct update_rows own = *call;
    const int32_t *ids = own.groups ? own.groups->ids : NULL;
    const int64_t end = own.first + own.count;
    for (int64_t i = 0; i < count; i++) {
        float *row = own.table + (ids ? ids[j + i] : j + i) * own.stride;
        if (!back && ids && j + i + AHEAD < end)
            prefetch_row(own.table + ids[j + i + AHEAD] * own.stride, (parts - 1) * own.slot_stride + dim);
#pragma GCC unroll 4
        for (int k = first; k < parts; k++) {
            float *in_row = row + k * own.slot_stride, *in_stage = stage->part[k] + i * dim;
            copy_floats(back ? in_row : in_stage, back ? in_stage : in_row, dim);
        }
    }
}

INLINE void stage_rows_of(const struct update_rows *call, int64_t j, int64_t count, int64_t dim, int parts, struct stage *stage,
                          bool back)
{
    if (back && call->rule->slots_only)
        stage_parts(call, j, count, dim, 1, parts, stage, true);
    else
        switch (parts) {
        case 1:
            stage_parts(call, j, count, dim, 0, 1, stage, back);
            break;
        case 2:
            stage_parts(call, j, count, dim, 0, 2, stage, back);
            break;
        case 3:
            stage_parts(call, j, count, dim, 0, 3, stage, back);
            break;
        default:
            stage_parts(call, j, count, dim, 0, UPDATE_MAX_SLOTS + 1, stage, back);
            break;
        }
}

INLINE void stage_rows(const struct update_rows *call, int64_t j, int64_t count, int parts, struct stage *stage, bool back)
{
    switch (call->dim) {
    case 1:
        stage_rows_of(call, j, count, 1, parts, stage, back);
        break;
    case 4:
        stage_rows_of(call, j, count, 4, parts, stage, back);
        break;
    default:
        stage_parts(call, j, count, call->dim, back && call->rule->slots_only, parts, stage, back);
        break;
    }
}

static void step_staged(const struct hyper *h, const struct update_rows *call, const struct formula *formula)
{
    struct stage stage;
    float *slot[UPDATE_MAX_SLOTS] = { stage.part[1], stage.part[2], stage.part[3] };
    int parts = 1 + update_slots(call->rule->formula);
    int64_t end = call->first + call->count, most = STAGE / call->dim;
    for (int64_t j = call->first; j < end; j += most) {
        int64_t count = MIN(most, end - j), used = count * call->dim;
        stage_rows(call, j, count, parts, &stage, false);
        if (call->groups)
            find_gradients(call, j, count, stage.g);
        else
            memset(stage.g, 0, (size_t)used * sizeof(float));
        formula->arrays(h, stage.part[0], slot, stage.g, used);
        stage_rows(call, j, count, parts, &stage, true);
    }
}

/* ---- the entries --------------------------------------------------------------------------------------------- */

static void step_in_place(const struct hyper *h, const struct update_rows *call, const struct formula *formula)
{
    struct batch batches[2]; /* not initialised as a whole: they are large */
    struct finder finder = { .call = call, .group = call->first };
    /* A wide row's pieces are long enough for the processor to see what comes. */
    int64_t span = call->dim <= BLOCK ? update_slots(call->rule->formula) * call->slot_stride + call->dim : VL;
    find_pieces(&finder, &batches[0]);
    for (int i = 0; i < batches[0].count; i++)
        prefetch_row(batches[0].pieces[i].w, span);
    for (int now = 0; batches[now].count > 0; now = !now) {
        find_pieces(&finder, &batches[!now]);
        formula->batch(h, &batches[now], &batches[!now], call->slot_stride, span);
    }
}

static void update_rows(const struct update_rows *call)
{
    const struct formula *formula = find_formula(call->rule);
    struct hyper h = broadcast(call->rule);
    if (call->dim < VL)
        step_staged(&h, call, formula);
    else
        step_in_place(&h, call, formula);
}

static void update_dense(const struct update_dense *call)
{
    struct hyper h = broadcast(call->rule);
    find_formula(call->rule)->arrays(&h, call->w, call->slot, call->g, call->n);
}

KERNEL_FILL(update)
{
    kernels->update_dense = update_dense;
    kernels->update_rows = update_rows;
    kernels->sum_groups = sum_groups;
}
