/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimizers' formulas against TensorFlow, step by step, at every level: dense gradients as arrays and as rows of a table,
 * sparse gradients with repeated ids as rows. Then what golden data of three columns cannot see: rows of all widths against
 * the same step on packed arrays (to the bit), what lies between them, zero pads, the gradient through max_norm, AVX2 against
 * AVX-512.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/kernel.h"

#include "kernel/golden.h"

static const char *const level_names[] = { "c", "avx2", "avx512" };
enum { LEVELS = COUNT_OF(level_names) };

/* ---- golden: the optimizers as TensorFlow names them --------------------------------------------------------- */

struct optimizer {
    struct update rule; /* of step 1, rate uncorrected */
    float start[UPDATE_MAX_SLOTS];
    enum untouched untouched;
};

static bool flag(const struct json_value *map, const char *key)
{
    struct json_value value;
    return json_get(map, key, &value) && value.kind == JSON_BOOL && value.flag;
}

static void read_rmsprop(const struct json_value *hyper, bool keras, struct optimizer *o)
{
    bool centered = flag(hyper, "centered"), inside = !keras || o->rule.momentum != 0;
    o->rule.rho = golden_number(hyper, keras ? "rho" : "decay", 0.9f);
    o->rule.epsilon = golden_number(hyper, "epsilon", keras ? 1e-7f : 1e-10f);
    o->start[0] = keras ? 0 : 1;
    o->untouched = inside ? UNTOUCHED_STAYS : UNTOUCHED_DECAYS;
    o->rule.formula = inside ? (centered ? UPDATE_RMSPROP_CENTERED_INSIDE : UPDATE_RMSPROP_INSIDE)
                             : (centered ? UPDATE_RMSPROP_CENTERED : UPDATE_RMSPROP);
}

static void read_ftrl(const struct json_value *hyper, struct optimizer *o)
{
    o->rule.formula = UPDATE_FTRL;
    o->rule.power = golden_number(hyper, "learning_rate_power", -0.5f);
    o->rule.shrinkage = golden_number(hyper, "l2_shrinkage_regularization_strength", 0);
    o->rule.beta = golden_number(hyper, "beta", 0);
    o->start[0] = golden_number(hyper, "initial_accumulator_value", 0.1f);
}

static void read_adam(const struct json_value *hyper, bool keras, struct optimizer *o)
{
    o->rule.formula = flag(hyper, "amsgrad") ? UPDATE_ADAM_AMSGRAD : UPDATE_ADAM;
    o->rule.epsilon = golden_number(hyper, "epsilon", keras ? 1e-7f : 1e-8f);
    o->untouched = UNTOUCHED_MOVES;
}

static void read_optimizer(struct slice name, const struct json_value *hyper, struct optimizer *o)
{
    bool keras = name.size > 6 && memcmp(name.data, "keras", 5) == 0;
    bool newer = slice_is(name, "keras2.Adagrad") || slice_is(name, "keras2.RMSprop");
    struct slice word = keras ? slice_of(name.data + (newer ? 7 : 6), name.size - (newer ? 7 : 6)) : name;
    *o = (struct optimizer){ .untouched = UNTOUCHED_STAYS };
    o->rule = (struct update){ .rate = golden_number(hyper, "learning_rate", 0),
                               .momentum = golden_number(hyper, "momentum", 0),
                               .nesterov = flag(hyper, "nesterov") || flag(hyper, "use_nesterov"),
                               .rho = golden_number(hyper, "rho", 0),
                               .epsilon = golden_number(hyper, "epsilon", 0),
                               .beta_1 = golden_number(hyper, "beta_1", 0.9f),
                               .beta_2 = golden_number(hyper, "beta_2", 0.999f),
                               .l1 = golden_number(hyper, "l1_regularization_strength", 0),
                               .l2 = golden_number(hyper, "l2_regularization_strength", 0) };
    o->start[0] = golden_number(hyper, "initial_accumulator_value", 0);
    if (slice_is(word, "GradientDescent"))
        o->rule.formula = UPDATE_SGD;
    else if (slice_is(word, "Momentum"))
        o->rule.formula = UPDATE_MOMENTUM;
    else if (slice_is(word, "SGD"))
        o->rule.formula = UPDATE_MOMENTUM_KERAS;
    else if (slice_is(word, "Adagrad"))
        o->rule.formula = newer ? UPDATE_ADAGRAD_INSIDE : UPDATE_ADAGRAD;
    else if (slice_is(word, "ProximalAdagrad")) {
        o->rule.formula = UPDATE_PROXIMAL_ADAGRAD;
        o->start[0] = 0.1f;
    } else if (slice_is(word, "Ftrl"))
        read_ftrl(hyper, o);
    else if (slice_is(word, "Adam"))
        read_adam(hyper, keras, o);
    else if (slice_is(word, "RMSProp") || slice_is(word, "RMSprop"))
        read_rmsprop(hyper, keras, o);
    else if (slice_is(word, "Adadelta"))
        o->rule.formula = UPDATE_ADADELTA;
    else if (slice_is(word, "Adamax"))
        o->rule.formula = UPDATE_ADAMAX;
    else if (slice_is(word, "Nadam")) {
        o->rule.formula = UPDATE_NADAM;
        o->untouched = UNTOUCHED_DECAYS;
    } else
        fail_msg("an optimizer that the test does not know: %.*s", (int)name.size, name.data);
}

/* The corrections that kernel.h asks of the caller. */
static struct update rule_of_step(const struct optimizer *o, int t)
{
    struct update rule = o->rule;
    double beta_1 = rule.beta_1, beta_2 = rule.beta_2, product = 1, next = 0;
    double power_1 = 1 - pow(beta_1, t), power_2 = 1 - pow(beta_2, t);
    if (rule.formula == UPDATE_ADAM || rule.formula == UPDATE_ADAM_AMSGRAD)
        rule.rate = (float)(rule.rate * sqrt(power_2) / power_1);
    if (rule.formula == UPDATE_ADAMAX)
        rule.rate = (float)(rule.rate / power_1);
    if (rule.formula == UPDATE_NADAM) {
        double now = 0;
        for (int i = 1; i <= t + 1; i++) {
            now = next;
            next = beta_1 * (1 - 0.5 * pow(0.96, 0.004 * i));
            product *= i <= t ? next : 1;
        }
        rule.extra[0] = (float)((1 - now) / (1 - product));
        rule.extra[1] = (float)(next / (1 - product * next));
        rule.extra[2] = (float)power_2;
    }
    return rule;
}

/* ---- golden: running a case ---------------------------------------------------------------------------------- */

enum { ROWS = 6, DIM = 3, SLOT_STRIDE = 4, STRIDE = SLOT_STRIDE * (UPDATE_MAX_SLOTS + 1), ENTRIES = 16 };
struct step {
    struct update rule;
    int32_t ids[ENTRIES]; /* a dense gradient: 0, 1, ... 5 */
    int64_t entries;
    float gradient[ENTRIES * DIM];
};

static void read_step(const struct json_value *grads, struct step *step)
{
    struct json_value values = golden_get(grads, "values"), ids, id;
    step->entries = golden_rows(&values, step->gradient, DIM, NULL);
    for (int64_t e = 0; e < step->entries; e++)
        step->ids[e] = (int32_t)e;
    if (json_get(grads, "ids", &ids)) {
        int64_t e = 0;
        for (struct json_walk walk = json_children(&ids); json_next(&walk, NULL, &id);)
            step->ids[e++] = (int32_t)id.integer;
    }
}

static void step_rows(const struct kernels *kernels, const struct step *step, enum untouched untouched, float *table)
{
    uint64_t scratch[8192], memory[64];
    struct groups groups;
    struct sparse ids = { .rows = step->entries, .entries = step->entries, .ids = step->ids };
    assert_true(sort_scratch(ENTRIES) <= sizeof scratch && sort_memory(ENTRIES) <= sizeof memory);
    sort_groups(&ids, ROWS, scratch, memory, &groups);
    struct update rule = step->rule;
    struct update_rows call = { .rule = &rule, .table = table, .stride = STRIDE, .slot_stride = SLOT_STRIDE, .dim = DIM,
                                .groups = &groups, .count = groups.count, .gradient = step->gradient, .gradient_ld = DIM };
    kernels->update_rows(&call);
    if (untouched == UNTOUCHED_STAYS)
        return;
    rule.slots_only = untouched == UNTOUCHED_DECAYS;
    call.groups = NULL;
    int64_t row = 0;
    for (int64_t j = 0; j <= groups.count; j++) { /* the rows between two used ones */
        call.first = row;
        call.count = (j < groups.count ? groups.ids[j] : ROWS) - row;
        if (call.count > 0)
            kernels->update_rows(&call);
        row = j < groups.count ? groups.ids[j] + 1 : ROWS;
    }
}

static double run_rows(const struct kernels *kernels, const struct json_value *item, const struct optimizer *o)
{
    struct json_value initial = golden_get(item, "initial"), grads = golden_get(item, "grads"), after = golden_get(item, "after_each_step"), at;
    float table[ROWS * STRIDE] = { 0 }, want[ROWS * DIM];
    struct step step;
    double worst = 0;
    int t = 0;
    golden_rows(&initial, table, STRIDE, NULL);
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < update_slots(o->rule.formula); k++)
            for (int c = 0; c < DIM; c++)
                table[r * STRIDE + (k + 1) * SLOT_STRIDE + c] = o->start[k];
    struct json_walk results = json_children(&after);
    for (struct json_walk walk = json_children(&grads); json_next(&walk, NULL, &at);) {
        read_step(&at, &step);
        step.rule = rule_of_step(o, ++t);
        step_rows(kernels, &step, o->untouched, table);
        assert_true(json_next(&results, NULL, &at));
        golden_rows(&at, want, DIM, NULL);
        for (int r = 0; r < ROWS; r++)
            worst = fmax(worst, golden_error(table + r * STRIDE, want + r * DIM, DIM, 0.5));
    }
    assert_int_equal(t, 8);
    return worst;
}

static double run_dense(const struct kernels *kernels, const struct json_value *item, const struct optimizer *o)
{
    struct json_value initial = golden_get(item, "initial"), grads = golden_get(item, "grads"), after = golden_get(item, "after_each_step"), at;
    float w[ROWS * DIM], slots[UPDATE_MAX_SLOTS][ROWS * DIM], want[ROWS * DIM];
    struct step step;
    double worst = 0;
    int t = 0;
    golden_rows(&initial, w, DIM, NULL);
    for (int k = 0; k < UPDATE_MAX_SLOTS; k++)
        for (int i = 0; i < ROWS * DIM; i++)
            slots[k][i] = o->start[k];
    struct json_walk results = json_children(&after);
    for (struct json_walk walk = json_children(&grads); json_next(&walk, NULL, &at);) {
        read_step(&at, &step);
        step.rule = rule_of_step(o, ++t);
        struct update_dense call = { .rule = &step.rule, .w = w, .g = step.gradient, .n = ROWS * DIM };
        for (int k = 0; k < update_slots(o->rule.formula); k++)
            call.slot[k] = slots[k];
        kernels->update_dense(&call);
        assert_true(json_next(&results, NULL, &at));
        golden_rows(&at, want, DIM, NULL);
        worst = fmax(worst, golden_error(w, want, ROWS * DIM, 0.5));
    }
    return worst;
}

static int check_file(const char *path)
{
    struct golden golden;
    struct json_value item;
    int count = 0;
    assert_true(golden_open(&golden, path));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        struct optimizer o;
        struct slice name = golden_get(&item, "optimizer").text;
        struct json_value hyper = golden_get(&item, "hyperparameters");
        read_optimizer(name, &hyper, &o);
        bool sparse = flag(&item, "sparse");
        for (int level = 0; level < LEVELS; level++) {
            const struct kernels *kernels = kernel_level(level_names[level]);
            if (!kernels)
                continue;
            double rows = run_rows(kernels, &item, &o), dense = sparse ? 0 : run_dense(kernels, &item, &o);
            if (!(rows < 1e-6 && dense < 1e-6))
                fail_msg("case %d, %.*s%s, %s: rows %.2g, dense %.2g", count, (int)name.size, name.data, sparse ? " sparse" : "",
                         level_names[level], rows, dense);
        }
    }
    golden_close(&golden);
    return count;
}

static void golden_optimizers(void **state)
{
    (void)state;
    assert_int_equal(check_file("tests/golden/optimizers.json"), 42);
    assert_int_equal(check_file("tests/golden/optimizers_more.json"), 16);
}

/* ---- rows of every width against packed arrays --------------------------------------------------------------- */

/* Every formula, and the variants that take other paths. */
static struct update variant(int number)
{
    struct update rule = { .rate = 0.05f, .epsilon = 1e-3f, .momentum = 0.9f, .rho = 0.9f, .beta_1 = 0.9f, .beta_2 = 0.99f, .l1 = 0.01f,
                           .l2 = 0.02f, .shrinkage = 0.01f, .beta = 0.1f, .power = -0.5f, .extra = { 0.4f, 0.5f, 0.2f } };
    rule.formula = (enum update_formula)(number % UPDATE_COUNT);
    if (number >= UPDATE_COUNT) { /* the second round */
        rule.nesterov = true;
        rule.power = -0.7f;
        rule.slots_only = rule.formula == UPDATE_NADAM || rule.formula == UPDATE_RMSPROP;
    }
    return rule;
}
enum { VARIANTS = 2 * UPDATE_COUNT, TABLE_ROWS = 70, MOST_ENTRIES = 400, BATCH = 30 };

/* A table between sentinels, groups of 0 to 9 entries, gradients and coefficients of few bits, so that their sums are exact. */
struct trial {
    struct update rule;
    int64_t dim, slot_stride, stride, gradient_ld;
    int slots;
    float *before, *gradient, *coefficient;
    int32_t ids[TABLE_ROWS], starts[TABLE_ROWS + 1], entries[MOST_ENTRIES], rows[MOST_ENTRIES];
    struct groups groups;
};
static const float sentinel = 3.5f;

static void make_groups(struct trial *t, struct random_key key)
{
    int32_t entry = 0;
    t->groups = (struct groups){ .ids = t->ids, .starts = t->starts, .entries = t->entries, .rows = t->rows };
    for (int32_t id = 0; id < TABLE_ROWS; id++) {
        int32_t n = (int32_t)random_below(key, 0, (uint64_t)id, 14) - 4; /* below 0: an unused row */
        if (n < 0)
            continue;
        t->ids[t->groups.count] = id;
        t->starts[t->groups.count++] = entry;
        for (int32_t i = 0; i < n; i++, entry++) {
            t->entries[entry] = MOST_ENTRIES - 1 - entry; /* not what the row says, so that a mix-up shows */
            t->rows[entry] = (int32_t)random_below(key, 1, (uint64_t)entry, BATCH);
        }
    }
    t->starts[t->groups.count] = entry;
}

static void trial_new(struct trial *t, int64_t dim, struct update rule, bool weighted)
{
    struct random_key key = random_key((uint64_t)dim, "update");
    *t = (struct trial){ .rule = rule, .dim = dim, .slots = update_slots(rule.formula), .gradient_ld = dim + 1 };
    t->slot_stride = dim == 1 ? 1 : (dim + 3) / 4 * 4;
    t->stride = t->slot_stride * (1 + t->slots) + (dim > 1 ? 4 : 0);
    size_t floats = (size_t)(TABLE_ROWS * t->stride), entries = MOST_ENTRIES, gradients = (size_t)(BATCH * t->gradient_ld - 1);
    t->before = malloc(floats * sizeof(float));
    t->gradient = malloc(gradients * sizeof(float)); /* ends with the last column of the last row */
    t->coefficient = malloc(entries * sizeof(float));
    assert_true(t->before && t->gradient && t->coefficient);
    for (size_t i = 0; i < floats; i++)
        t->before[i] = sentinel;
    for (int64_t r = 0; r < TABLE_ROWS; r++)
        for (int k = 0; k <= t->slots; k++) { /* weights of both signs, slots above 0, the first above the second's square */
            float low = k == 0 ? -1 : k == 1 ? 1.2f : 0.01f;
            random_fill_uniform(key, t->before + r * t->stride + k * t->slot_stride, (r * 4 + k) * dim, dim, low, k == 1 ? 2 : 1);
        }
    for (size_t i = 0; i < gradients; i++)
        t->gradient[i] = (float)((int)random_below(key, 2, i, 64) - 32) / 64;
    for (size_t e = 0; e < entries; e++)
        t->coefficient[e] = (float)(1 << random_below(key, 3, e, 3)) / 2;
    make_groups(t, key);
    if (!weighted) {
        free(t->coefficient);
        t->coefficient = NULL;
    }
}

static void trial_free(struct trial *t)
{
    free(t->before);
    free(t->gradient);
    free(t->coefficient);
}

static struct update_rows call_of(const struct trial *t, float *table)
{
    return (struct update_rows){ .rule = &t->rule, .table = table, .stride = t->stride, .slot_stride = t->slot_stride, .dim = t->dim,
                                 .groups = &t->groups, .count = t->groups.count, .gradient = t->gradient,
                                 .gradient_ld = t->gradient_ld, .coefficient = t->coefficient };
}

/* A row stepped as packed arrays; everything else as it was. */
static void step_packed(const struct kernels *kernels, const struct trial *t, float *row, const float *g)
{
    float *packed[UPDATE_MAX_SLOTS + 1] = { NULL };
    struct update_dense call = { .rule = &t->rule, .g = g, .n = t->dim };
    for (int k = 0; k <= t->slots; k++) {
        packed[k] = malloc((size_t)t->dim * sizeof(float));
        assert_non_null(packed[k]);
        memcpy(packed[k], row + k * t->slot_stride, (size_t)t->dim * sizeof(float));
        if (k > 0)
            call.slot[k - 1] = packed[k];
    }
    call.w = packed[0];
    kernels->update_dense(&call);
    for (int k = 0; k <= t->slots; k++) {
        memcpy(row + k * t->slot_stride, packed[k], (size_t)t->dim * sizeof(float));
        free(packed[k]);
    }
}

static float *expected(const struct kernels *kernels, const struct trial *t)
{
    size_t bytes = (size_t)(TABLE_ROWS * t->stride) * sizeof(float);
    float *table = malloc(bytes), *g = malloc((size_t)t->dim * sizeof(float));
    assert_true(table && g);
    memcpy(table, t->before, bytes);
    for (int64_t j = 0; j < t->groups.count; j++) {
        for (int64_t c = 0; c < t->dim; c++) {
            g[c] = 0;
            for (int32_t e = t->starts[j]; e < t->starts[j + 1]; e++)
                g[c] += (t->coefficient ? t->coefficient[t->entries[e]] : 1) * t->gradient[t->rows[e] * t->gradient_ld + c];
        }
        step_packed(kernels, t, table + t->ids[j] * t->stride, g);
    }
    free(g);
    return table;
}

static float *run_trial(const struct kernels *kernels, const struct trial *t)
{
    size_t bytes = (size_t)(TABLE_ROWS * t->stride) * sizeof(float);
    float *table = malloc(bytes), *want = expected(kernels, t);
    assert_non_null(table);
    memcpy(table, t->before, bytes);
    struct update_rows call = call_of(t, table);
    call.count = t->groups.count / 3; /* two workers' shares */
    kernels->update_rows(&call);
    call.first = call.count;
    call.count = t->groups.count - call.first;
    kernels->update_rows(&call);
    assert_memory_equal(table, want, bytes);
    free(want);
    return table;
}

static void try_trial(const struct trial *t)
{
    float *tables[LEVELS] = { NULL };
    size_t floats = (size_t)(TABLE_ROWS * t->stride);
    for (int level = 0; level < LEVELS; level++) {
        const struct kernels *kernels = kernel_level(level_names[level]);
        if (kernels)
            tables[level] = run_trial(kernels, t);
    }
    if (tables[1])
        assert_true(golden_error(tables[1], tables[0], (int64_t)floats, 0.5) < 1e-5); /* without fma other roundings */
    if (tables[2])
        assert_memory_equal(tables[1], tables[2], floats * sizeof(float));
    for (int level = 0; level < LEVELS; level++)
        free(tables[level]);
}

static void rows_of_every_width(void **state)
{
    (void)state;
    static const int64_t dims[] = { 1, 2, 3, 4, 5, 7, 8, 10, 12, 15, 16, 17, 31, 32, 100, 512, 515, 527, 528, 1100 };
    for (size_t d = 0; d < COUNT_OF(dims); d++)
        for (int number = 0; number < VARIANTS; number++) {
            struct trial t;
            if (dims[d] > 100 && number % 5 != (int)d % 5) /* the widest rows with every fifth variant */
                continue;
            trial_new(&t, dims[d], variant(number), number % 2);
            try_trial(&t);
            trial_free(&t);
        }
}

/* Rows without a gradient: groups NULL is the same as a group without entries for each row. */
static void rows_without_gradient(void **state)
{
    (void)state;
    static const int64_t dims[] = { 1, 3, 4, 16, 20, 700 };
    for (int level = 0; level < LEVELS; level++)
        for (size_t d = 0; d < COUNT_OF(dims); d++)
            for (int number = 0; number < VARIANTS; number++) {
                const struct kernels *kernels = kernel_level(level_names[level]);
                struct trial t;
                if (!kernels)
                    continue;
                trial_new(&t, dims[d], variant(number), false);
                t.groups.count = 5;
                for (int j = 0; j < 5; j++) {
                    t.ids[j] = 20 + j;
                    t.starts[j] = t.starts[j + 1] = 0;
                }
                size_t bytes = (size_t)(TABLE_ROWS * t.stride) * sizeof(float);
                float *table = malloc(bytes), *want = expected(kernels, &t);
                assert_non_null(table);
                memcpy(table, t.before, bytes);
                struct update_rows call = call_of(&t, table);
                call.groups = NULL;
                call.first = 20;
                kernels->update_rows(&call);
                assert_memory_equal(table, want, bytes);
                free(table);
                free(want);
                trial_free(&t);
            }
}

/* ---- dense arrays -------------------------------------------------------------------------------------------- */

/* Any length, in one piece and in two, between sentinels; and zeros stay zeros. */
static void dense_arrays(void **state)
{
    (void)state;
    enum { N = 67 };
    for (int number = 0; number < VARIANTS * LEVELS; number++) {
        const struct kernels *kernels = kernel_level(level_names[number / VARIANTS]);
        struct update rule = variant(number % VARIANTS);
        if (!kernels)
            continue;
        if (rule.formula == UPDATE_ADAGRAD)
            rule.epsilon = 0;
        float whole[UPDATE_MAX_SLOTS + 1][N + 2], cut[UPDATE_MAX_SLOTS + 1][N + 2], zero[UPDATE_MAX_SLOTS + 1][N] = { { 0 } }, g[N];
        for (int k = 0; k <= UPDATE_MAX_SLOTS; k++) {
            random_fill_uniform(random_key(1, "dense"), whole[k], k * 100, N + 2, 0.1f, 1);
            whole[k][0] = whole[k][N + 1] = sentinel;
            memcpy(cut[k], whole[k], sizeof whole[k]);
        }
        random_fill_normal(random_key(2, "dense"), g, 0, N, 0, 1);
        struct update_dense call = { &rule, whole[0] + 1, { whole[1] + 1, whole[2] + 1, whole[3] + 1 }, g, N };
        kernels->update_dense(&call);
        for (int first = 0, n; first < N; first += n) {
            n = first ? N - first : 21;
            call = (struct update_dense){ &rule, cut[0] + 1 + first, { cut[1] + 1 + first, cut[2] + 1 + first, cut[3] + 1 + first },
                                          g + first, n };
            kernels->update_dense(&call);
        }
        assert_memory_equal(whole, cut, sizeof whole);
        for (int k = 0; k <= UPDATE_MAX_SLOTS; k++)
            assert_true(whole[k][0] == sentinel && whole[k][N + 1] == sentinel);
        memset(g, 0, sizeof g);
        call = (struct update_dense){ &rule, zero[0], { zero[1], zero[2], zero[3] }, g, N };
        for (int step = 0; step < 3; step++)
            kernels->update_dense(&call);
        for (int k = 0; k <= UPDATE_MAX_SLOTS; k++)
            for (int i = 0; i < N; i++)
                assert_true(zero[k][i] == 0);
    }
}

/* ---- the gradient of a table, through max_norm --------------------------------------------------------------- */

static void sums_through_norm(void **state)
{
    (void)state;
    static const int64_t dims[] = { 1, 2, 6, 16, 37, 512, 530, 1200 };
    for (int level = 0; level < LEVELS; level++)
        for (size_t d = 0; d < COUNT_OF(dims); d++)
            for (int norm = 0; norm < 2; norm++) {
                const struct kernels *kernels = kernel_level(level_names[level]);
                struct trial t;
                int64_t dim = dims[d];
                if (!kernels)
                    continue;
                trial_new(&t, dim, variant(UPDATE_SGD), true);
                float *out = calloc((size_t)(TABLE_ROWS * dim), sizeof(float));
                assert_non_null(out);
                struct update_rows call = call_of(&t, t.before);
                call.max_norm = norm ? 0.5f * sqrtf((float)dim) : 0; /* about half of the rows are longer */
                kernels->sum_groups(&call, out, dim);
                for (int64_t j = 0; j < t.groups.count; j++) {
                    const float *x = t.before + t.ids[j] * t.stride;
                    double g[1200] = { 0 }, square = 0, along = 0;
                    for (int64_t c = 0; c < dim; c++) {
                        for (int32_t e = t.starts[j]; e < t.starts[j + 1]; e++)
                            g[c] += (double)t.coefficient[t.entries[e]] * t.gradient[t.rows[e] * t.gradient_ld + c];
                        square += (double)x[c] * x[c];
                        along += g[c] * x[c];
                    }
                    double scale = norm && sqrt(square) > call.max_norm ? call.max_norm / sqrt(square) : 1;
                    for (int64_t c = 0; c < dim; c++) {
                        double want = scale < 1 ? scale * (g[c] - x[c] * along / square) : g[c];
                        assert_true(fabs(out[t.ids[j] * dim + c] - want) < 2e-6 * (1 + fabs(g[c])));
                    }
                }
                free(out);
                trial_free(&t);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_optimizers), cmocka_unit_test(rows_of_every_width), cmocka_unit_test(rows_without_gradient),
        cmocka_unit_test(dense_arrays),      cmocka_unit_test(sums_through_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
