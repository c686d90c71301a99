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
#include "kernel/rows.h"

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

/* ---- a group's gradient -------------------------------------------------------------------------------------- */

/* Columns that are summed at a time: what is wider is cut, and a last piece below a vector joins the one before. */
enum { BLOCK = 512 };
INLINE int64_t block_columns(int64_t rest)
{
    return rest <= BLOCK + VL ? rest : BLOCK;
}
static const float no_gradient[BLOCK + VL];

INLINE int64_t row_of_group(const struct update_rows *call, int64_t j)
{
    return call->groups ? call->groups->ids[j] : j;
}

INLINE void sum_vectors(const struct update_rows *call, int64_t j, int64_t column, int count, float *to)
{
    const struct groups *groups = call->groups;
    vf sum[4] = { 0 };
    for (int32_t e = groups->starts[j]; e < groups->starts[j + 1]; e++) {
        const float *row = call->gradient + groups->rows[e] * call->gradient_ld + column;
        vf factor = vset(call->coefficient ? call->coefficient[groups->entries[e]] : 1);
        for (int i = 0; i < count; i++)
            sum[i] = vfma(factor, vload(row + i * VL), sum[i]);
    }
    for (int i = 0; i < count; i++)
        vstore(to + i * VL, sum[i]);
}

INLINE void sum_four(const struct update_rows *call, int64_t j, int64_t column, float *to)
{
    const struct groups *groups = call->groups;
    v4 sum = { 0 };
    for (int32_t e = groups->starts[j]; e < groups->starts[j + 1]; e++) {
        float factor = call->coefficient ? call->coefficient[groups->entries[e]] : 1;
        sum = v4fma(v4set(factor), v4load(call->gradient + groups->rows[e] * call->gradient_ld + column), sum);
    }
    v4store(to, sum);
}

INLINE float sum_one(const struct update_rows *call, int64_t j, int64_t column)
{
    const struct groups *groups = call->groups;
    float sum = 0;
    for (int32_t e = groups->starts[j]; e < groups->starts[j + 1]; e++) {
        float factor = call->coefficient ? call->coefficient[groups->entries[e]] : 1;
        sum = fma1(factor, call->gradient[groups->rows[e] * call->gradient_ld + column], sum);
    }
    return sum;
}

/* n columns from `column` on; to[n]. */
static void sum_group(const struct update_rows *call, int64_t j, int64_t column, int64_t n, float *to)
{
    int64_t c = 0;
    if (n >= VL) {
        for (; c + 4 * VL <= n; c += 4 * VL)
            sum_vectors(call, j, column + c, 4, to + c);
        for (; c + 2 * VL <= n; c += 2 * VL)
            sum_vectors(call, j, column + c, 2, to + c);
        for (; c < n; c += VL) {
            int64_t at = MIN(c, n - VL); /* the last one overlaps */
            sum_vectors(call, j, column + at, 1, to + at);
        }
    } else if (n >= 4) {
        for (; c < n; c += 4) {
            int64_t at = MIN(c, n - 4);
            sum_four(call, j, column + at, to + at);
        }
    } else {
        for (; c < n; c++)
            to[c] = sum_one(call, j, column + c);
    }
}

/* The gradient of max_norm / |x| x, where |x| is larger: max_norm / |x| (g - x (x g) / |x|^2). Linear in g, so it can follow
 * the sum over entries. */
static void through_norm(const struct update_rows *call, int64_t j, int64_t column, int64_t n, float *g)
{
    const float *x = call->table + row_of_group(call, j) * call->stride;
    float square = norm_squared(x, call->dim), norm = __builtin_sqrtf(square);
    if (!(norm > call->max_norm))
        return;
    float part[BLOCK];
    vf products[SUM_VECTORS] = { 0 };
    for (int64_t c = 0; c < call->dim; c += BLOCK) {
        int64_t width = MIN(call->dim - c, BLOCK);
        sum_group(call, j, c, width, part);
        add_products(products, x + c, part, width);
    }
    float along = fold(products) / square, scale = call->max_norm / norm;
    for (int64_t c = 0; c < n; c++)
        g[c] = scale * fma1(-along, x[column + c], g[c]);
}

static void group_gradient(const struct update_rows *call, int64_t j, int64_t column, int64_t n, float *to)
{
    sum_group(call, j, column, n, to);
    if (call->max_norm > 0)
        through_norm(call, j, column, n, to);
}

/* Where the gradient lies: as it came, when the group has one entry and nothing changes it. */
INLINE const float *find_gradient(const struct update_rows *call, int64_t j, int64_t column, int64_t n, float *buffer)
{
    const struct groups *groups = call->groups;
    if (!groups)
        return no_gradient;
    if (groups->starts[j + 1] - groups->starts[j] == 1 && !call->coefficient && !(call->max_norm > 0))
        return call->gradient + groups->rows[groups->starts[j]] * call->gradient_ld + column;
    group_gradient(call, j, column, n, buffer);
    return buffer;
}

static void sum_groups(const struct update_rows *call, float *out, int64_t out_stride)
{
    float g[BLOCK + VL];
    for (int64_t j = call->first; call->groups && j < call->first + call->count; j++) {
        float *to = out + row_of_group(call, j) * out_stride;
        for (int64_t c = 0, n; c < call->dim; c += n) {
            n = block_columns(call->dim - c);
            group_gradient(call, j, c, n, g);
            for (int64_t i = 0; i < n; i++)
                to[c + i] += g[i];
        }
    }
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

INLINE void prefetch_group(const struct update_rows *call, int64_t j, int slots)
{
    if (call->groups && j < call->first + call->count)
        prefetch_row(call->table + call->groups->ids[j] * call->stride, slots * call->slot_stride + call->dim);
}

/* n >= VL floats of a row from w on. */
INLINE void step_row(const struct hyper *h, float *w, int64_t slot_stride, int slots, int64_t n, const float *g,
                     step_function *step)
{
    int64_t whole = n / VL * VL, last = n - VL;
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

INLINE void step_rows(const struct hyper *h, const struct update_rows *call, int slots, step_function *step)
{
    float buffer[BLOCK + VL];
    for (int64_t j = call->first; j < call->first + call->count; j++) {
        prefetch_group(call, j + AHEAD, slots);
        float *row = call->table + row_of_group(call, j) * call->stride;
        for (int64_t c = 0, n; c < call->dim; c += n) {
            n = block_columns(call->dim - c);
            step_row(h, row + c, call->slot_stride, slots, n, find_gradient(call, j, c, n, buffer), step);
        }
    }
}

/* ---- the table of formulas ----------------------------------------------------------------------------------- */

struct formula {
    void (*arrays)(const struct hyper *h, float *w, float *const *slot, const float *g, int64_t n);
    void (*rows)(const struct hyper *h, const struct update_rows *call);
};

#define FORMULA(name, slots)                                                                                                     \
    static void arrays_##name(const struct hyper *h, float *w, float *const *slot, const float *g, int64_t n)                    \
    {                                                                                                                            \
        step_arrays(h, w, slot, slots, g, n, step_##name);                                                                       \
    }                                                                                                                            \
    static void rows_##name(const struct hyper *h, const struct update_rows *call)                                               \
    {                                                                                                                            \
        step_rows(h, call, slots, step_##name);                                                                                  \
    }
FORMULA(sgd, 0)
FORMULA(momentum, 1)
FORMULA(momentum_keras, 1)
FORMULA(adagrad, 1)
FORMULA(adagrad_inside, 1)
FORMULA(adam, 2)
FORMULA(adam_amsgrad, 3)
FORMULA(rmsprop, 1)
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
#define ROW(NAME, name) [UPDATE_##NAME] = { arrays_##name, rows_##name }
    ROW(SGD, sgd), ROW(MOMENTUM, momentum), ROW(MOMENTUM_KERAS, momentum_keras), ROW(ADAGRAD, adagrad),
    ROW(ADAGRAD_INSIDE, adagrad_inside), ROW(ADAM, adam), ROW(ADAM_AMSGRAD, adam_amsgrad), ROW(RMSPROP, rmsprop),
    ROW(RMSPROP_INSIDE, rmsprop_inside), ROW(RMSPROP_CENTERED, rmsprop_centered),
    ROW(RMSPROP_CENTERED_INSIDE, rmsprop_centered_inside), ROW(FTRL, ftrl), ROW(ADADELTA, adadelta), ROW(ADAMAX, adamax),
    ROW(NADAM, nadam), ROW(PROXIMAL_ADAGRAD, proximal_adagrad),
};
/* clang-format on */
static const struct formula ftrl_with_power = { arrays_ftrl_power, rows_ftrl_power };

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
    for (int64_t i = 0; i < count; i++) {
        float *row = call->table + row_of_group(call, j + i) * call->stride;
        if (!back)
            prefetch_group(call, j + i + AHEAD, parts - 1);
#pragma GCC unroll 4
        for (int k = first; k < parts; k++) {
            float *in_row = row + k * call->slot_stride, *in_stage = stage->part[k] + i * dim;
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
        case 1: stage_parts(call, j, count, dim, 0, 1, stage, back); break;
        case 2: stage_parts(call, j, count, dim, 0, 2, stage, back); break;
        case 3: stage_parts(call, j, count, dim, 0, 3, stage, back); break;
        default: stage_parts(call, j, count, dim, 0, UPDATE_MAX_SLOTS + 1, stage, back); break;
        }
}

INLINE void stage_rows(const struct update_rows *call, int64_t j, int64_t count, int parts, struct stage *stage, bool back)
{
    switch (call->dim) {
    case 1: stage_rows_of(call, j, count, 1, parts, stage, back); break;
    case 4: stage_rows_of(call, j, count, 4, parts, stage, back); break;
    default: stage_parts(call, j, count, call->dim, back && call->rule->slots_only, parts, stage, back); break;
    }
}

static void stage_gradients(const struct update_rows *call, int64_t j, int64_t count, float *g)
{
    int64_t dim = call->dim;
    if (!call->groups)
        memset(g, 0, (size_t)(count * dim) * sizeof *g);
    else if (call->max_norm > 0 || (dim != 1 && dim != 4))
        for (int64_t i = 0; i < count; i++)
            group_gradient(call, j + i, 0, dim, g + i * dim);
    else if (dim == 1)
        for (int64_t i = 0; i < count; i++)
            g[i] = sum_one(call, j + i, 0);
    else
        for (int64_t i = 0; i < count; i++)
            sum_four(call, j + i, 0, g + 4 * i);
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
        stage_gradients(call, j, count, stage.g);
        formula->arrays(h, stage.part[0], slot, stage.g, used);
        stage_rows(call, j, count, parts, &stage, true);
    }
}

/* ---- the entries --------------------------------------------------------------------------------------------- */

static void update_rows(const struct update_rows *call)
{
    const struct formula *formula = find_formula(call->rule);
    struct hyper h = broadcast(call->rule);
    if (call->dim < VL)
        step_staged(&h, call, formula);
    else
        formula->rows(&h, call);
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
