/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clipped and multiplied gradients: TensorFlow's figures for a kernel and a table that two lookups read, limits of every kind;
 * norms; the same bits for any number of threads; no allocation on a second pass, and every allocation failing once.
 */
#include "train/golden_optimizers.h"

#include "failing.h"

enum { ROWS = 6, DIM = 3, MOST_ENTRIES = 32, STEPS = 4 };

/* ---- TensorFlow's figures ------------------------------------------------------------------------------------ */

struct lists {
    int32_t ids[MOST_ENTRIES];
    int64_t offsets[ROWS + 1];
};

/* Ids a row, or lists of them. */
static struct sparse read_ids(const struct json_value *value, struct lists *lists)
{
    struct json_value row, id;
    int64_t entries = 0, rows = 0;
    bool ragged = false;
    for (struct json_walk walk = json_children(value); json_next(&walk, NULL, &row); rows++) {
        ragged = row.kind == JSON_LIST;
        for (struct json_walk w = json_children(&row); ragged && json_next(&w, NULL, &id);)
            lists->ids[entries++] = (int32_t)id.integer;
        if (!ragged)
            lists->ids[entries++] = (int32_t)row.integer;
        lists->offsets[rows + 1] = entries;
    }
    return (struct sparse){ .rows = rows, .entries = entries, .ids = lists->ids, .offsets = ragged ? lists->offsets : NULL };
}

static void put_step(struct rig *rig, const struct json_value *step, bool by_entry, struct lists lists[2])
{
    static const char *const names[] = { "gradient0", "gradient1", "kernel_gradient" };
    static const char *const id_names[] = { "ids0", "ids1" };
    float values[ROWS * DIM], identity[ROWS * ROWS] = { 0 };
    for (int i = 0; i < 2; i++) {
        struct json_value ids = golden_get(step, id_names[i]);
        struct sparse sparse = read_ids(&ids, &lists[i]);
        if (by_entry && i == 0)
            session_input(rig->session, "ids0",
                          &(struct op_value){ .tensor = { lists[0].ids, DTYPE_INT32, SHAPE(ROWS), ROWS, 1, 1 } });
        else
            rig_ids(rig, i, &sparse);
    }
    for (int i = 0; i < 3; i++) {
        struct json_value item = golden_get(step, names[i]);
        rig_input(rig, names[i], values, golden_rows(&item, values, DIM, NULL), DIM);
    }
    for (int i = 0; i < ROWS; i++)
        identity[i * ROWS + i] = 1;
    rig_input(rig, "x", identity, ROWS, ROWS);
}

static double error_of(struct rig *rig, const struct json_value *after, const char *name)
{
    float want[ROWS * DIM], got[ROWS * DIM];
    struct json_value item = golden_get(after, name);
    golden_rows(&item, want, DIM, NULL);
    tensor_pack(&store_find(rig->store, name)->value, got);
    return golden_error(got, want, ROWS * DIM, 0.5);
}

static const struct rig_lookup two_lookups[] = {
    { .table = "table", .rows = ROWS, .dim = DIM, .combiner = COMBINER_SUM },
    { .table = "table", .rows = ROWS, .dim = DIM, .combiner = COMBINER_MEAN },
};

static const struct rig_lookup first_by_entry[] = {
    { .table = "table", .rows = ROWS, .dim = DIM, .by_entry = true },
    { .table = "table", .rows = ROWS, .dim = DIM, .combiner = COMBINER_MEAN },
};

static void set_first(struct rig *rig, const struct json_value *initial)
{
    static const char *const names[] = { "table", "kernel" };
    float first[ROWS * DIM];
    for (int i = 0; i < 2; i++) {
        struct json_value item = golden_get(initial, names[i]);
        golden_rows(&item, first, DIM, NULL);
        tensor_unpack(first, &store_find(rig->store, names[i])->value);
    }
}

/* Multipliers name variables: those of a graph that is made with the same names. */
static size_t read_multipliers(const struct json_value *item, struct graph_variable variables[2], struct train_multiplier out[2])
{
    struct json_value list = golden_get(item, "multipliers"), value;
    struct slice key;
    size_t count = 0;
    for (struct json_walk walk = json_children(&list); json_next(&walk, &key, &value); count++) {
        variables[count] = (struct graph_variable){ .name = slice_is(key, "table") ? "table" : "kernel" };
        out[count] = (struct train_multiplier){ &variables[count], (float)value.number };
    }
    return count;
}

static double run_golden(const struct json_value *root, const struct json_value *item, int threads)
{
    struct rig rig = rig_new();
    struct graph_variable variables[2];
    struct train_multiplier multipliers[2];
    struct lists lists[2] = { { { 0 }, { 0 } } };
    struct json_value initial = golden_get(root, "initial"), steps = golden_get(root, "steps"), step,
                      results = golden_get(item, "after_each_step"), norms = golden_get(item, "global_norms"), result, norm;
    rig.parts[0].optimizer = golden_optimizer(&rig, item);
    rig.parts[0].clip_gradients = golden_number(item, "clip_gradients", 0);
    rig.parts[0].multipliers = multipliers;
    rig.parts[0].multiplier_count = read_multipliers(item, variables, multipliers);
    rig.parts[0].name = "O";
    rig.parts[0].summaries = PIL_SUMMARIZE_GLOBAL_GRADIENT_NORM;
    struct json_value flag;
    bool by_entry = json_get(item, "dense_ids", &flag) && flag.flag;
    rig_start(&rig, by_entry ? first_by_entry : two_lookups, 2, ROWS, DIM, threads);
    set_first(&rig, &initial);
    updater_note(rig.updater, true);
    bool by_value = rig.parts[0].optimizer.options.clipvalue > 0; /* then the norm is of the clipped values */
    double worst = 0;
    int64_t number = 0;
    struct json_walk after = json_children(&results), all_norms = json_children(&norms);
    for (struct json_walk walk = json_children(&steps); json_next(&walk, NULL, &step); number++) {
        put_step(&rig, &step, by_entry, lists);
        rig_step(&rig, number);
        assert_true(json_next(&after, NULL, &result) && json_next(&all_norms, NULL, &norm));
        worst = fmax(worst, fmax(error_of(&rig, &result, "table"), error_of(&rig, &result, "kernel")));
        const struct train_summary *list;
        assert_true(updater_summaries(rig.updater, 0, &list) >= 1);
        assert_string_equal(list[0].tag, "O/global_norm/gradient_norm");
        if (!by_value)
            worst = fmax(worst, fabs(list[0].value / norm.number - 1));
    }
    assert_int_equal(number, STEPS);
    rig_free(&rig);
    return worst;
}

static void golden_clipping(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    int count = 0;
    assert_true(golden_open(&golden, "tests/golden/clipping.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        struct slice name = golden_get(&item, "optimizer").text;
        double error = run_golden(&golden.root, &item, 1 + count % 2);
        if (!(error < 2e-6))
            fail_msg("case %d, %.*s: error %.2g", count, (int)name.size, name.data, error);
    }
    golden_close(&golden);
    assert_int_equal(count, 27);
}

/* ---- summaries ----------------------------------------------------------------------------------------------- */

/* A step over two lookups and a kernel, of the golden file's kind. */
static void put_simple(struct rig *rig)
{
    static const int32_t ids[2][3] = { { 0, 0, 3 }, { 0, 1, 1 } };
    static const float ones[3 * DIM] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, x[3 * ROWS] = { 1 };
    for (int i = 0; i < 2; i++)
        rig_ids(rig, i, &(struct sparse){ .rows = 3, .entries = 3, .ids = ids[i] });
    rig_input(rig, "gradient0", ones, 3, DIM);
    rig_input(rig, "gradient1", ones, 3, DIM);
    rig_input(rig, "x", x, 3, ROWS);
    rig_input(rig, "kernel_gradient", ones, 3, DIM);
}

static double summary(struct rig *rig, const char *tag)
{
    const struct train_summary *list;
    size_t count = updater_summaries(rig->updater, 0.75, &list);
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].tag, tag) == 0)
            return list[i].value;
    fail_msg("there is no %s", tag);
    return 0;
}

/* Sums of ids: 2, 1 in the first lookup; 1, 2 in the second; each thrice. The kernel's first row has the gradient 1. */
static void summaries(void **state)
{
    (void)state;
    static const double table = 3 * (4 + 1 + 1 + 4), kernel = 3;
    for (int clipped = 0; clipped < 2; clipped++) {
        struct rig rig = rig_new();
        const struct train_summary *list;
        rig.parts[0].optimizer = rig_optimizer(
            &rig, "{sgd: {learning_rate: {exponential_decay: {initial_learning_rate: 1, decay_steps: 1, decay_rate: 0.5}}}}",
            FLAVOUR_KERAS_LEGACY);
        rig.parts[0].name = "OptimizeLoss";
        rig.parts[0].summaries = PIL_SUMMARIZE_LOSS | PIL_SUMMARIZE_LEARNING_RATE | PIL_SUMMARIZE_GRADIENT_NORM;
        rig.parts[0].clip_gradients = clipped ? 2 : 0;
        rig_start(&rig, two_lookups, 2, ROWS, DIM, 2);
        assert_int_equal(updater_summaries(rig.updater, 0, &list), 5 + clipped);
        put_simple(&rig);
        updater_note(rig.updater, true);
        rig_step(&rig, 0);
        rig_step(&rig, 1);
        double norm = sqrt(table + kernel), scale = clipped ? 2 / norm : 1;
        assert_true(summary(&rig, "OptimizeLoss/loss") == 0.75);
        assert_true(summary(&rig, "OptimizeLoss/learning_rate") == 0.5);
        assert_true(fabs(summary(&rig, "OptimizeLoss/global_norm/gradient_norm") - norm) < 1e-6);
        assert_true(fabs(summary(&rig, "OptimizeLoss/gradient_norm/table_0") - scale * sqrt(table)) < 1e-6);
        assert_true(fabs(summary(&rig, "OptimizeLoss/gradient_norm/kernel_0") - scale * sqrt(kernel)) < 1e-6);
        if (clipped)
            assert_true(fabs(summary(&rig, "OptimizeLoss/global_norm/clipped_gradient_norm") - 2) < 1e-6);
        rig_free(&rig);
    }
}

/* ---- the same bits ------------------------------------------------------------------------------------------- */

static const struct rig_lookup big[] = {
    { .table = "a", .rows = 20000, .dim = 16, .combiner = COMBINER_MEAN },
    { .table = "b", .rows = 300, .dim = 9, .combiner = COMBINER_SQRTN, .max_norm = 0.5f },
    { .table = "b", .rows = 300, .dim = 9, .combiner = COMBINER_SUM },
    { .table = "c", .rows = 5000, .dim = 1, .combiner = COMBINER_SUM, .part = 1 },
};
enum { N = 100, M = 90, BATCH = 1500 };

static void put_big(struct rig *rig, size_t step, int64_t rows)
{
    static float x[BATCH * N], g[BATCH * M];
    random_fill_uniform(random_key(1, "x"), x, 0, BATCH * N, -1, 1);
    random_fill_uniform(random_key(2, "x"), g, 0, BATCH * M, -1, 1);
    for (int i = 0; i < (int)COUNT_OF(big); i++) {
        struct rig_data *data = must(arena_alloc(rig->arena, sizeof *data, &rig->status));
        *data = rig_data(rig, random_key(3, "bits"), (uint64_t)(100 * step) + (uint64_t)i * 10, rows, &big[i], i == 1 || i == 3,
                         i == 1, i != 2);
        rig_put(rig, i, data, big[i].dim);
    }
    rig_input(rig, "x", x, rows, N);
    rig_input(rig, "kernel_gradient", g, rows, M);
}

static uint64_t hash_store(struct rig *rig)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < store_count(rig->store); i++) {
        const struct variable *variable = store_at(rig->store, i);
        size_t bytes = (size_t)shape_elements(variable->shape) * sizeof(float);
        char *packed = must(mem_new(bytes, &rig->status));
        tensor_pack(&variable->value, packed);
        hash = fingerprint_cat64(hash, fingerprint64(packed, bytes));
        mem_free(packed);
    }
    return hash;
}

static uint64_t run_big(const char *optimizer, float clip_gradients, int threads, bool notes)
{
    static const int64_t batches[] = { BATCH, 333, BATCH };
    struct rig rig = rig_new();
    rig.parts[0].optimizer = rig_optimizer(&rig, optimizer, FLAVOUR_KERAS_LEGACY);
    rig.parts[0].clip_gradients = clip_gradients;
    rig.parts[1].optimizer = rig_optimizer(&rig, "{ftrl: {learning_rate: 0.1}}", FLAVOUR_KERAS_LEGACY);
    for (int part = 0; part < 2; part++) {
        rig.parts[part].name = "O";
        rig.parts[part].summaries = PIL_SUMMARIZE_GRADIENT_NORM;
    }
    rig_start(&rig, big, COUNT_OF(big), N, M, threads);
    updater_note(rig.updater, notes);
    for (size_t step = 0; step < COUNT_OF(batches); step++) {
        put_big(&rig, step, batches[step]);
        rig_step(&rig, (int64_t)step);
    }
    uint64_t hash = hash_store(&rig);
    rig_free(&rig);
    return hash;
}

static void same_bits(void **state)
{
    (void)state;
    static const struct {
        const char *optimizer;
        float clip_gradients;
    } cases[] = { { "{adagrad: {learning_rate: 0.1}}", 5 },
                  { "{adam: {learning_rate: 0.01, clipnorm: 2}}", 0 },
                  { "{sgd: {learning_rate: 0.01, clipvalue: 0.01, global_clipnorm: 3}}", 0 },
                  { "{nadam: {learning_rate: 0.01}}", 0 } };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t one = run_big(cases[i].optimizer, cases[i].clip_gradients, 1, false);
        for (int threads = 1; threads < 9; threads = 2 * threads + 1)
            for (int notes = 0; notes < 2; notes++)
                if (run_big(cases[i].optimizer, cases[i].clip_gradients, threads, notes) != one)
                    fail_msg("%s: %d threads%s give other bits than one", cases[i].optimizer, threads,
                             notes ? " with norms" : "");
    }
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

static void start_clipped(struct rig *rig)
{
    rig->parts[0].optimizer = rig_optimizer(rig, "{adam: {learning_rate: 0.01, clipnorm: 0.5}}", FLAVOUR_KERAS_LEGACY);
    rig->parts[0].name = "O";
    rig->parts[0].summaries = PIL_SUMMARIZE_GRADIENT_NORM;
    rig_start(rig, two_lookups, 2, ROWS, DIM, 2);
    put_simple(rig);
}

static void second_pass_allocates_nothing(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    start_clipped(&rig);
    rig_step(&rig, 0);
    uint64_t before = mem_allocations();
    for (int64_t step = 1; step < 4; step++)
        rig_step(&rig, step);
    assert_int_equal(mem_allocations() - before, 0);
    rig_free(&rig);
}

static bool update_once(struct rig *rig, pil_status *status)
{
    struct updater *updater = updater_new(rig->store, rig->parts, 2, rig->threads, kernel_get(), status);
    bool ok = updater && updater_apply(updater, rig->session, 0, status);
    updater_free(updater);
    return ok;
}

static void out_of_memory(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    start_clipped(&rig);
    rig_step(&rig, 0);
    int64_t n = 0;
    for (;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        bool worked = update_once(&rig, &status);
        long long live = atomic_load(&failing_live);
        if (!failing_stop()) {
            assert_true(worked);
            break;
        }
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
        assert_int_equal(live, 0);
    }
    assert_true(n > 10);
    rig_free(&rig);
}

/* ---- strange norms ------------------------------------------------------------------------------------------- */

/* As TensorFlow: an endless norm makes all gradients of a global limit no numbers; a small one changes nothing. */
static void endless(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    static const float endless[3 * DIM] = { INFINITY };
    rig.parts[0].optimizer = rig_optimizer(&rig, "{sgd: {learning_rate: 1}}", FLAVOUR_V1);
    rig.parts[0].clip_gradients = 1000;
    rig_start(&rig, two_lookups, 2, ROWS, DIM, 1);
    put_simple(&rig);
    rig_step(&rig, 0);
    assert_true(tensor_floats(&store_find(rig.store, "kernel")->value)[0] == -1);
    rig_input(&rig, "gradient0", endless, 3, DIM);
    rig_step(&rig, 1);
    assert_true(isnan(tensor_floats(&store_find(rig.store, "kernel")->value)[0]));
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_clipping), cmocka_unit_test(summaries),
        cmocka_unit_test(same_bits),       cmocka_unit_test(second_pass_allocates_nothing),
        cmocka_unit_test(out_of_memory),   cmocka_unit_test(endless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
