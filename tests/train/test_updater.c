/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gradients applied: every optimizer against TensorFlow's figures, through a session; what lives in the store from step to
 * step; the same bits for any number of threads; no allocation on a second pass, and every allocation failing once.
 */
#include "train/harness.h"

#include "failing.h"
#include "train/golden_optimizers.h"

/* ---- TensorFlow's figures ------------------------------------------------------------------------------------ */

enum { ROWS = 6, DIM = 3, ENTRIES = 16 };

/* A dense gradient comes to a kernel, a sparse one to a table. Returns the largest error. */
static double run_golden(const struct json_value *item, bool sparse)
{
    struct rig rig = rig_new();
    struct json_value initial = golden_get(item, "initial"), grads = golden_get(item, "grads"),
                      after = golden_get(item, "after_each_step"), at, ids;
    float first[ROWS * DIM], gradient[ENTRIES * DIM], want[ROWS * DIM], got[ROWS * DIM], identity[ROWS * ROWS] = { 0 };
    rig.parts[0].optimizer = golden_optimizer(&rig, item);
    rig_start(&rig, &(struct rig_lookup){ .table = "table", .rows = ROWS, .dim = DIM }, sparse, ROWS, sparse ? 0 : DIM, 2);
    const struct variable *variable = store_find(rig.store, sparse ? "table" : "kernel");
    golden_rows(&initial, first, DIM, NULL);
    tensor_unpack(first, &variable->value);
    for (int i = 0; i < ROWS; i++)
        identity[i * ROWS + i] = 1;
    double worst = 0;
    int64_t step = 0;
    struct json_walk results = json_children(&after);
    for (struct json_walk walk = json_children(&grads); json_next(&walk, NULL, &at); step++) {
        struct json_value values = golden_get(&at, "values"), id;
        int64_t rows = golden_rows(&values, gradient, DIM, NULL), entries = 0;
        int32_t list[ENTRIES];
        if (sparse) {
            for (struct json_walk w = json_children(json_get(&at, "ids", &ids) ? &ids : &at); json_next(&w, NULL, &id);)
                list[entries++] = (int32_t)id.integer;
            rig_ids(&rig, 0, &(struct sparse){ .rows = rows, .entries = rows, .ids = list });
            rig_input(&rig, "gradient0", gradient, rows, DIM);
        } else {
            rig_input(&rig, "x", identity, ROWS, ROWS);
            rig_input(&rig, "kernel_gradient", gradient, ROWS, DIM);
        }
        rig_step(&rig, step);
        assert_true(json_next(&results, NULL, &at));
        golden_rows(&at, want, DIM, NULL);
        tensor_pack(&variable->value, got);
        worst = fmax(worst, golden_error(got, want, ROWS * DIM, 0.5));
    }
    assert_int_equal(step, 8);
    rig_free(&rig);
    return worst;
}

static int check_golden(const char *path)
{
    struct golden golden;
    struct json_value item, sparse;
    int count = 0;
    assert_true(golden_open(&golden, path));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        struct slice name = golden_get(&item, "optimizer").text;
        bool is_sparse = json_get(&item, "sparse", &sparse) && sparse.flag;
        double error = run_golden(&item, is_sparse);
        if (!(error < 1.5e-6))
            fail_msg("%s, case %d, %.*s%s: error %.2g", path, count, (int)name.size, name.data, is_sparse ? " sparse" : "",
                     error);
    }
    golden_close(&golden);
    return count;
}

static void golden_optimizers(void **state)
{
    (void)state;
    assert_int_equal(check_golden("tests/golden/optimizers.json"), 42);
    assert_int_equal(check_golden("tests/golden/optimizers_more.json"), 16);
    assert_int_equal(check_golden("tests/golden/optimizers_newer.json"), 30);
}

/* ---- dense variables ----------------------------------------------------------------------------------------- */

/* A table that a product reads as well: both gradients, and nothing left over in the next step, also where only the lookup's
 * flows back. */
static void table_in_a_product(void **state)
{
    (void)state;
    enum { N = 3, WIDTH = 2 };
    const float identity[N * N] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 }, dense[N * WIDTH] = { 1, 2, 3, 4, 5, 6 },
                             lookup[N * WIDTH] = { 10, 20, 30, 40, 50, 60 };
    const int32_t ids[N] = { 2, -1, 2 };
    float got[N * WIDTH];
    for (int stopped = 0; stopped < 2; stopped++) {
        struct rig rig = rig_new();
        rig.parts[1].optimizer = rig_optimizer(&rig, "{sgd: {learning_rate: 1}}", FLAVOUR_KERAS_LEGACY);
        rig_start(&rig,
                  &(struct rig_lookup){ .table = "table", .rows = N, .dim = WIDTH, .part = 1, .dense = true, .stopped = stopped },
                  1, 0, 0, 2);
        const struct variable *variable = store_find(rig.store, "table");
        assert_int_equal(variable->layout, STORE_DENSE);
        for (int step = 1; step <= 3; step++) {
            rig_ids(&rig, 0, &(struct sparse){ .rows = N, .entries = N, .ids = ids });
            rig_input(&rig, "gradient0", lookup, N, WIDTH);
            rig_input(&rig, "x", identity, N, N);
            rig_input(&rig, "kernel_gradient", dense, N, WIDTH);
            rig_step(&rig, step - 1);
            tensor_pack(&variable->value, got);
            for (int r = 0; r < N; r++)
                for (int c = 0; c < WIDTH; c++) {
                    float sum = (stopped ? 0 : dense[r * WIDTH + c]) + (r == 2 ? lookup[c] + lookup[2 * WIDTH + c] : 0);
                    assert_true(got[r * WIDTH + c] == -(float)step * sum);
                }
        }
        rig_free(&rig);
    }
}

/* ---- steps --------------------------------------------------------------------------------------------------- */

/* Nadam's product and a part's own count live in the store, so an updater made anew goes on to the same bits; without a scope
 * the product is computed from the step. */
static void resumed(void **state)
{
    (void)state;
    enum { STEPS = 5 };
    float results[3][12];
    for (int way = 0; way < 3; way++) {
        struct rig rig = rig_new();
        rig.parts[0].optimizer = rig_optimizer(&rig, "{nadam: {learning_rate: 0.01}}", FLAVOUR_KERAS_LEGACY);
        rig.parts[0].names.scope = way < 2 ? "training/Nadam" : NULL;
        rig.parts[0].own_iter = way < 2;
        rig_start(&rig, &(struct rig_lookup){ .table = "table", .rows = 4, .dim = 3 }, 1, 0, 0, 1);
        const int32_t ids[] = { 0, 3 };
        const float gradient[] = { 1, -2, 3, 0.5f, 0.25f, -4 };
        for (int64_t step = 0; step < STEPS; step++) {
            if (way > 0 && step == 2) {
                updater_free(rig.updater);
                rig.updater = updater_new(rig.store, rig.parts, 2, rig.threads, kernel_get(), &rig.status);
                rig_ok(&rig);
            }
            rig_ids(&rig, 0, &(struct sparse){ .rows = 2, .entries = 2, .ids = ids });
            rig_input(&rig, "gradient0", gradient, 2, 3);
            rig_step(&rig, way < 2 ? 1000 : step); /* its own count rules */
        }
        if (way < 2) {
            assert_int_equal(*store_int64(rig.store, "training/Nadam/iter"), STEPS);
            assert_true(*store_float32(rig.store, "training/Nadam/momentum_cache") ==
                        rule_carry(&rig.parts[0].optimizer, STEPS).values[0]);
            assert_true(*store_float32(rig.store, "training/Nadam/learning_rate") == 0.01f);
        }
        tensor_pack(&store_find(rig.store, "table")->value, results[way]);
        rig_free(&rig);
    }
    assert_memory_equal(results[0], results[1], sizeof results[0]);
    assert_memory_equal(results[0], results[2], sizeof results[0]);
}

/* ---- the same bits ------------------------------------------------------------------------------------------- */

static uint64_t hash_store(const struct store *store, struct rig *rig)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < store_count(store); i++) {
        const struct variable *variable = store_at(store, i);
        for (int k = 0; k <= variable->slot_count; k++) {
            struct tensor view = k == 0 ? variable->value : store_slot_view(variable, k - 1);
            size_t bytes = (size_t)shape_elements(variable->shape) * sizeof(float);
            char *packed = must(mem_new(bytes, &rig->status));
            tensor_pack(&view, packed);
            hash = fingerprint_cat64(hash, fingerprint64(packed, bytes));
            mem_free(packed);
        }
    }
    return hash;
}

static const struct rig_lookup big[] = {
    { .table = "a", .rows = 20000, .dim = 16, .combiner = COMBINER_MEAN },
    { .table = "b", .rows = 300, .dim = 9, .combiner = COMBINER_SQRTN },
    { .table = "b", .rows = 300, .dim = 9, .combiner = COMBINER_SUM },
    { .table = "c", .rows = 5000, .dim = 1, .combiner = COMBINER_SUM, .part = 1 },
};

/* Three steps of different sizes. */
static uint64_t run_big(const char *optimizer, int threads)
{
    enum { N = 100, M = 90, BATCH = 1500 };
    static float x[BATCH * N], g[BATCH * M];
    static const int64_t batches[] = { BATCH, 333, BATCH };
    struct rig rig = rig_new();
    struct random_key key = random_key(3, "bits");
    rig.parts[0].optimizer = rig_optimizer(&rig, optimizer, FLAVOUR_KERAS_LEGACY);
    rig.parts[1].optimizer = rig_optimizer(&rig, "{ftrl: {learning_rate: 0.1}}", FLAVOUR_KERAS_LEGACY);
    rig_start(&rig, big, COUNT_OF(big), N, M, threads);
    random_fill_uniform(random_key(1, "x"), x, 0, BATCH * N, -1, 1);
    random_fill_uniform(random_key(2, "x"), g, 0, BATCH * M, -1, 1);
    for (size_t step = 0; step < COUNT_OF(batches); step++) {
        for (int i = 0; i < (int)COUNT_OF(big); i++) {
            struct rig_data *data = must(arena_alloc(rig.arena, sizeof *data, &rig.status));
            *data = rig_data(&rig, key, (uint64_t)(100 * step) + (uint64_t)i * 10, batches[step], &big[i], i == 1 || i == 3,
                             i == 1, i != 2);
            rig_put(&rig, i, data, big[i].dim);
        }
        rig_input(&rig, "x", x, batches[step], N);
        rig_input(&rig, "kernel_gradient", g, batches[step], M);
        rig_step(&rig, (int64_t)step);
    }
    uint64_t hash = hash_store(rig.store, &rig);
    rig_free(&rig);
    return hash;
}

static void same_bits(void **state)
{
    (void)state;
    static const char *const some[] = { "{adagrad: {learning_rate: 0.1}}", "{adam: {learning_rate: 0.01}}",
                                        "{nadam: {learning_rate: 0.01}}" };
    static const int threads[] = { 2, 3, 8 };
    for (size_t o = 0; o < COUNT_OF(some); o++) {
        uint64_t one = run_big(some[o], 1);
        for (size_t t = 0; t < COUNT_OF(threads); t++)
            if (run_big(some[o], threads[t]) != one)
                fail_msg("%s: %d threads give other bits than one", some[o], threads[t]);
    }
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

/* Every kind of work in one step; the data stay where they are, so a second pass has nothing to allocate. */
static void start_mixed(struct rig *rig, struct rig_data data[4])
{
    static const struct rig_lookup lookups[] = {
        { .table = "a", .rows = 50, .dim = 4, .combiner = COMBINER_MEAN },
        { .table = "b", .rows = 60, .dim = 3, .combiner = COMBINER_MEAN },
        { .table = "b", .rows = 60, .dim = 3, .combiner = COMBINER_SUM },
        { .table = "c", .rows = 70, .dim = 1, .combiner = COMBINER_SQRTN, .part = 1 },
    };
    static float x[40 * 5], g[40 * 6];
    rig->parts[0].optimizer = rig_optimizer(rig, "{adam: {learning_rate: 0.01}}", FLAVOUR_KERAS_LEGACY);
    rig->parts[1].optimizer = rig_optimizer(rig, "{ftrl: {learning_rate: 0.1}}", FLAVOUR_KERAS_LEGACY);
    rig_start(rig, lookups, COUNT_OF(lookups), 5, 6, 2);
    for (int i = 0; i < 4; i++) {
        data[i] = rig_data(rig, random_key(1, "mixed"), (uint64_t)i * 10, 40, &lookups[i], i & 1, i == 3, i == 0);
        rig_put(rig, i, &data[i], lookups[i].dim);
    }
    rig_input(rig, "x", x, 40, 5);
    rig_input(rig, "kernel_gradient", g, 40, 6);
}

static void second_pass_allocates_nothing(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct rig_data data[4];
    start_mixed(&rig, data);
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
    struct rig_data data[4];
    start_mixed(&rig, data);
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

/* ---- mistakes ------------------------------------------------------------------------------------------------ */

static void refusals(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    rig.parts[0].optimizer = rig_optimizer(&rig, "{sgd: {learning_rate: 1}}", FLAVOUR_KERAS_LEGACY);
    rig_start(&rig, &(struct rig_lookup){ .table = "table", .rows = 3, .dim = 2 }, 1, 2, 2, 1);
    struct updater_part parts[2] = { rig.parts[0] };
    parts[0].optimizer = rig_optimizer(&rig, "{adam: {}}", FLAVOUR_KERAS_LEGACY); /* the store has no slots for it */
    assert_null(updater_new(rig.store, parts, 1, rig.threads, kernel_get(), &rig.status));
    assert_int_equal(rig.status.code, PIL_INTERNAL);
    status_clear(&rig.status);
    updater_free(NULL);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_optimizers),
        cmocka_unit_test(table_in_a_product),
        cmocka_unit_test(resumed),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(second_pass_allocates_nothing),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
