/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimizers' formulas against TensorFlow, step by step, at every level: dense gradients as arrays and as rows of a table,
 * sparse gradients with repeated ids as rows, and what becomes of the rows without a gradient.
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
    struct update_rows call = { .rule = &rule,
                                .table = table,
                                .stride = STRIDE,
                                .slot_stride = SLOT_STRIDE,
                                .dim = DIM,
                                .groups = &groups,
                                .count = groups.count,
                                .gradient = step->gradient,
                                .gradient_ld = DIM };
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
    struct json_value initial = golden_get(item, "initial"), grads = golden_get(item, "grads"),
                      after = golden_get(item, "after_each_step"), at;
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
    struct json_value initial = golden_get(item, "initial"), grads = golden_get(item, "grads"),
                      after = golden_get(item, "after_each_step"), at;
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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(golden_optimizers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
