/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of all kinds of readings against TensorFlow's figures and against plain loops: single-valued, ragged, weighted, with a
 * norm, several readings of one table, small and large ones; and what TensorFlow does to rows that are used with gradient 0.
 */
#include "train/harness.h"

#include "kernel/golden.h"

/* ---- TensorFlow's figures ------------------------------------------------------------------------------------ */

enum { DIM = 3, ENTRIES = 16 };

/* Ids and weights of lists of lists; weights may be null. */
static void read_ragged(const struct json_value *item, struct sparse_builder *builder, bool *weighted)
{
    struct json_value ids = golden_get(item, "ids"), weights = golden_get(item, "weights"), row, weight_row = { 0 }, id,
                      weight = { 0 };
    pil_status status = { 0 };
    *weighted = weights.kind == JSON_LIST;
    struct json_walk weight_rows = json_children(&weights);
    for (struct json_walk walk = json_children(&ids); json_next(&walk, NULL, &row);) {
        if (*weighted)
            assert_true(json_next(&weight_rows, NULL, &weight_row));
        struct json_walk weights_walk = json_children(&weight_row);
        for (struct json_walk w = json_children(&row); json_next(&w, NULL, &id);) {
            if (*weighted)
                assert_true(json_next(&weights_walk, NULL, &weight));
            assert_true(sparse_append(builder, (int32_t)id.integer, (float)weight.number, *weighted, &status));
        }
        assert_true(sparse_end_row(builder, &status));
    }
}

/* Gradient descent of rate 1 takes away exactly the gradient. */
static void golden_lookups(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    int count = 0;
    enum { TABLE_ROWS = 9 };
    assert_true(golden_open(&golden, "tests/golden/embedding_lookup.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        struct rig rig = rig_new();
        struct slice combiner = golden_get(&item, "combiner").text;
        struct json_value table = golden_get(&item, "table"), gradient = golden_get(&item, "output_grad"),
                          want = golden_get(&item, "table_grad");
        float first[TABLE_ROWS * DIM], out[ENTRIES * DIM], expected[TABLE_ROWS * DIM], got[TABLE_ROWS * DIM];
        struct rig_lookup lookup = { .table = "table",
                                     .rows = TABLE_ROWS,
                                     .dim = DIM,
                                     .max_norm = golden_number(&item, "max_norm", 0),
                                     .combiner = slice_is(combiner, "mean")    ? COMBINER_MEAN
                                                 : slice_is(combiner, "sqrtn") ? COMBINER_SQRTN
                                                                               : COMBINER_SUM };
        rig.parts[0].optimizer = rig_optimizer(&rig, "{sgd: {learning_rate: 1}}", FLAVOUR_KERAS_LEGACY);
        rig_start(&rig, &lookup, 1, 0, 0, 1);
        const struct variable *variable = store_find(rig.store, "table");
        struct sparse_builder builder = { 0 };
        bool weighted;
        golden_rows(&table, first, DIM, NULL);
        tensor_unpack(first, &variable->value);
        read_ragged(&item, &builder, &weighted);
        struct sparse ids = sparse_view(&builder, weighted);
        rig_ids(&rig, 0, &ids);
        rig_input(&rig, "gradient0", out, golden_rows(&gradient, out, DIM, NULL), DIM);
        rig_step(&rig, 0);
        tensor_pack(&variable->value, got);
        golden_rows(&want, expected, DIM, NULL);
        for (int i = 0; i < TABLE_ROWS * DIM; i++)
            got[i] = first[i] - got[i];
        double error = golden_error(got, expected, TABLE_ROWS * DIM, 0.5);
        if (!(error < 2e-6))
            fail_msg("case %d: error %.2g", count, error);
        sparse_builder_free(&builder);
        rig_free(&rig);
    }
    golden_close(&golden);
    assert_int_equal(count, 12);
}

/* ---- plain loops --------------------------------------------------------------------------------------------- */

/* The model of a table: packed weights and slots, and what a step's readings add up to. */
struct plain {
    int64_t rows, dim;
    int slots;
    float *part[1 + UPDATE_MAX_SLOTS];
    double *gradient;
    bool *used;
};

static struct plain plain_new(struct rig *rig, const struct variable *variable, int64_t rows, int64_t dim)
{
    struct plain plain = { .rows = rows, .dim = dim, .slots = variable->slot_count };
    for (int k = 0; k <= plain.slots; k++) {
        struct tensor view = k == 0 ? variable->value : store_slot_view(variable, k - 1);
        plain.part[k] = must(arena_alloc(rig->arena, (size_t)(rows * dim) * sizeof(float), &rig->status));
        tensor_pack(&view, plain.part[k]);
    }
    plain.gradient = must(arena_alloc(rig->arena, (size_t)(rows * dim) * sizeof(double), &rig->status));
    plain.used = must(arena_alloc(rig->arena, (size_t)rows, &rig->status));
    return plain;
}

static bool is_kept(const struct sparse *ids, int64_t e, enum combiner combiner)
{
    return ids->ids[e] >= 0 && (combiner == COMBINER_SUM || !ids->weights || ids->weights[e] > 0);
}

/* d/dx of max_norm x / |x| where the row is longer, times g. */
static double through_norm(const float *x, const double *g, int64_t dim, int64_t c, float max_norm)
{
    double square = 0, along = 0;
    for (int64_t i = 0; i < dim; i++) {
        square += (double)x[i] * (double)x[i];
        along += (double)x[i] * g[i];
    }
    if (!(max_norm > 0) || sqrt(square) <= (double)max_norm)
        return g[c];
    return (double)max_norm / sqrt(square) * (g[c] - (double)x[c] * along / square);
}

static void plain_add(struct plain *plain, const struct rig_data *data, const struct rig_lookup *lookup)
{
    const struct sparse *ids = &data->ids;
    double g[64];
    for (int64_t r = 0; r < ids->rows; r++) {
        int64_t first = ids->offsets ? ids->offsets[r] : r, end = ids->offsets ? ids->offsets[r + 1] : r + 1;
        double sum = 0, squares = 0;
        bool any = false;
        for (int64_t e = first; e < end; e++)
            if (is_kept(ids, e, lookup->combiner)) {
                double w = ids->weights ? (double)ids->weights[e] : 1;
                sum += w;
                squares += w * w;
                any = true;
            }
        double by = lookup->combiner == COMBINER_SUM ? 1 : lookup->combiner == COMBINER_MEAN ? sum : sqrt(squares);
        for (int64_t e = first; e < end; e++) {
            if (!is_kept(ids, e, lookup->combiner))
                continue;
            int64_t id = ids->ids[e];
            for (int64_t c = 0; c < plain->dim; c++)
                g[c] = (double)data->gradient[r * plain->dim + c] * (ids->weights ? (double)ids->weights[e] : 1) / by;
            for (int64_t c = 0; c < plain->dim; c++)
                plain->gradient[id * plain->dim + c] +=
                    through_norm(plain->part[0] + id * plain->dim, g, plain->dim, c, lookup->max_norm);
            plain->used[id] = true;
        }
        if (!any)
            plain->used[0] = true; /* looked up and masked */
    }
}

static void plain_step(struct plain *plain, const struct optimizer *optimizer, int64_t step)
{
    struct rule_carry next;
    float g[64];
    const struct optimizer_shape *shape = optimizer->row->shape(&optimizer->options);
    for (int64_t r = 0; r < plain->rows; r++) {
        struct update rule = rule_of(optimizer, step, rule_carry(optimizer, step), &next);
        struct update_dense call = { .rule = &rule, .w = plain->part[0] + r * plain->dim, .g = g, .n = plain->dim };
        for (int64_t c = 0; c < plain->dim; c++)
            g[c] = (float)plain->gradient[r * plain->dim + c];
        for (int k = 0; k < plain->slots; k++)
            call.slot[k] = plain->part[k + 1] + r * plain->dim;
        rule.slots_only = !plain->used[r] && shape->untouched == UNTOUCHED_DECAYS;
        if (plain->used[r] || shape->untouched != UNTOUCHED_STAYS)
            kernel_get()->update_dense(&call);
    }
    memset(plain->gradient, 0, (size_t)(plain->rows * plain->dim) * sizeof *plain->gradient);
    memset(plain->used, 0, (size_t)plain->rows);
}

static void expect_plain(struct rig *rig, const struct plain *plain, const struct variable *variable, const char *what)
{
    float *got = must(mem_array((size_t)(plain->rows * plain->dim), sizeof *got, &rig->status));
    for (int k = 0; k <= plain->slots; k++) {
        struct tensor view = k == 0 ? variable->value : store_slot_view(variable, k - 1);
        tensor_pack(&view, got);
        for (int64_t i = 0; i < plain->rows * plain->dim; i++) {
            float want = plain->part[k][i];
            if (!(fabsf(got[i] - want) <= 2e-5f * fmaxf(fabsf(want), 1)))
                fail_msg("%s: part %d, row %d, column %d: %.9g, plain loops %.9g", what, k, (int)(i / plain->dim),
                         (int)(i % plain->dim), (double)got[i], (double)want);
        }
    }
    mem_free(got);
}

static const char *const optimizers[] = {
    "{adagrad: {learning_rate: 0.1}}",
    "{ftrl: {learning_rate: 0.1, l1_regularization_strength: 0.01}}",
    "{sgd: {learning_rate: 0.1}}",
    "{sgd: {learning_rate: 0.05, momentum: 0.9}}",
    "{adam: {learning_rate: 0.01}}",
    "{rmsprop: {learning_rate: 0.01}}",
    "{nadam: {learning_rate: 0.01, epsilon: 0.001}}",
    "{adamax: {learning_rate: 0.01, epsilon: 0.001}}",
};

/* Random weights to start from, so that using a row shows. */
static void fill_table(const struct variable *variable, int64_t rows, int64_t dim)
{
    pil_status status = { 0 };
    float *values = must(mem_array((size_t)(rows * dim), sizeof *values, &status));
    random_fill_normal(random_key(5, variable->name), values, 0, rows * dim, 0, 1);
    tensor_unpack(values, &variable->value);
    mem_free(values);
}

/* `count` readings of one table; bit k of `ragged` and so on: of reading k. Three steps. */
static void compare(const char *text, const struct rig_lookup *lookups, int count, unsigned ragged, unsigned weighted,
                    unsigned grouped, int64_t batch, int threads)
{
    struct rig rig = rig_new();
    struct random_key key = random_key(9, "updater");
    char what[200];
    snprintf(what, sizeof what, "%s, %d readings [%d, %d], ragged %u, weighted %u", text, count, (int)lookups->rows,
             (int)lookups->dim, ragged, weighted);
    rig.parts[0].optimizer = rig_optimizer(&rig, text, FLAVOUR_KERAS_LEGACY);
    rig_start(&rig, lookups, count, 0, 0, threads);
    const struct variable *variable = store_find(rig.store, "table");
    fill_table(variable, lookups->rows, lookups->dim);
    struct plain plain = plain_new(&rig, variable, lookups->rows, lookups->dim);
    for (int64_t step = 0; step < 3; step++) {
        for (int i = 0; i < count; i++) {
            struct rig_data *data = must(arena_alloc(rig.arena, sizeof *data, &rig.status));
            *data = rig_data(&rig, key, (uint64_t)(10 * (step * 8 + i)), batch, &lookups[i], ragged >> i & 1, weighted >> i & 1,
                             grouped >> i & 1);
            rig_put(&rig, i, data, lookups->dim);
            plain_add(&plain, data, &lookups[i]);
        }
        rig_step(&rig, step);
        plain_step(&plain, &rig.parts[0].optimizer, step);
        expect_plain(&rig, &plain, variable, what);
    }
    rig_free(&rig);
}

static void single_readings(void **state)
{
    (void)state;
    static const int64_t dims[] = { 1, 3, 8, 20 };
    for (size_t o = 0; o < COUNT_OF(optimizers); o++)
        for (size_t d = 0; d < COUNT_OF(dims); d++)
            for (unsigned form = 0; form < 4; form++) {
                struct rig_lookup lookup = {
                    .table = "table", .rows = 700, .dim = dims[d], .combiner = (enum combiner)((form + d) % 3)
                };
                compare(optimizers[o], &lookup, 1, form & 1, form >> 1, (unsigned)d & 1, 150, 2);
            }
}

/* A small table: every row used by several; a large one: blocks of unused rows. */
static void sizes(void **state)
{
    (void)state;
    for (size_t o = 0; o < COUNT_OF(optimizers); o++) {
        compare(optimizers[o], &(struct rig_lookup){ .table = "table", .rows = 5, .dim = 4 }, 1, 0, 0, 1, 100, 2);
        compare(optimizers[o], &(struct rig_lookup){ .table = "table", .rows = 1, .dim = 2 }, 1, 0, 0, 1, 40, 2);
        compare(optimizers[o], &(struct rig_lookup){ .table = "table", .rows = 9000, .dim = 2 }, 1, 0, 0, 1, 7, 2);
    }
}

static void several_readings(void **state)
{
    (void)state;
    const struct rig_lookup lookups[] = {
        { .table = "table", .rows = 900, .dim = 5, .combiner = COMBINER_MEAN },
        { .table = "table", .rows = 900, .dim = 5, .combiner = COMBINER_SQRTN, .max_norm = 1.5f },
        { .table = "table", .rows = 900, .dim = 5, .combiner = COMBINER_SUM, .max_norm = 0.7f },
    };
    for (size_t o = 0; o < COUNT_OF(optimizers); o++) {
        compare(optimizers[o], lookups, 2, 0, 0, 3, 400, 2);
        compare(optimizers[o], lookups, 3, 6, 2, 1, 300, 2);
    }
}

static void norms(void **state)
{
    (void)state;
    for (size_t o = 0; o < COUNT_OF(optimizers); o++)
        compare(optimizers[o], &(struct rig_lookup){ .table = "table", .rows = 200, .dim = 6, .max_norm = 1.2f }, 1, 1,
                (unsigned)o & 1, 0, 150, 2);
}

/* ---- rows used with gradient 0 ------------------------------------------------------------------------------- */

/* What a fresh Ftrl row of weight 0.5 becomes in one step in which row 2 is used: 0 when it was used, too. */
static void ftrl_rows(const int32_t *ids, const float *weights, enum combiner combiner, const float want[4])
{
    struct rig rig = rig_new();
    const float half[] = { 0.5f, 0.5f, 0.5f, 0.5f }, gradient[] = { 1, 1, 1 };
    struct sparse batch = { .rows = 3, .entries = 3, .ids = ids, .weights = weights };
    float got[4];
    rig.parts[0].optimizer = rig_optimizer(&rig, "{ftrl: {learning_rate: 0.1}}", FLAVOUR_KERAS_LEGACY);
    rig_start(&rig, &(struct rig_lookup){ .table = "table", .rows = 4, .dim = 1, .combiner = combiner }, 1, 0, 0, 1);
    const struct variable *variable = store_find(rig.store, "table");
    tensor_unpack(half, &variable->value);
    rig_ids(&rig, 0, &batch);
    rig_input(&rig, "gradient0", gradient, 3, 1);
    rig_step(&rig, 0);
    tensor_pack(&variable->value, got);
    for (int r = 0; r < 4; r++)
        assert_true(r == 2 ? got[r] != 0.5f : got[r] == want[r]);
    rig_free(&rig);
}

static void rows_without_gradient(void **state)
{
    (void)state;
    const float used_0[] = { 0, 0.5f, 0, 0.5f }, none[] = { 0.5f, 0.5f, 0, 0.5f }, used_3[] = { 0.5f, 0.5f, 0, 0 };
    ftrl_rows((const int32_t[]){ 2, 2, 2 }, NULL, COMBINER_MEAN, none);
    ftrl_rows((const int32_t[]){ 2, -1, 2 }, NULL, COMBINER_MEAN, used_0); /* an empty row */
    ftrl_rows((const int32_t[]){ 2, 3, 2 }, (const float[]){ 1, 0, 1 }, COMBINER_MEAN,
              used_0); /* dropped: 3 is not used, row 1 empty */
    ftrl_rows((const int32_t[]){ 2, 3, 2 }, (const float[]){ 1, 0, 1 }, COMBINER_SUM, used_3); /* kept with weight 0 */
}

/* ---- with a block ---------------------------------------------------------------------------------------------- */

/* Two parts, each with its optimizer, and a block over many chunks: the sum of all rows' gradients. */
static void blocks_of_two_parts(void **state)
{
    (void)state;
    enum { N = 130, M = 70, BATCH = 600 };
    static float x[BATCH * N], g[BATCH * M], rows[BATCH * 4], got[N * M];
    static int32_t ids[BATCH];
    struct rig rig = rig_new();
    random_fill_uniform(random_key(1, "x"), x, 0, BATCH * N, -1, 1);
    random_fill_uniform(random_key(2, "x"), g, 0, BATCH * M, -1, 1);
    random_fill_uniform(random_key(3, "x"), rows, 0, BATCH * 4, -1, 1);
    for (int r = 0; r < BATCH; r++)
        ids[r] = r % 50;
    rig.parts[0].optimizer = rig_optimizer(&rig, "{sgd: {learning_rate: 0.5}}", FLAVOUR_KERAS_LEGACY);
    rig.parts[1].optimizer = rig_optimizer(&rig, "{adagrad: {learning_rate: 0.1}}", FLAVOUR_KERAS_LEGACY);
    struct rig_lookup lookup = { .table = "table", .rows = 50, .dim = 4, .part = 1 };
    rig_start(&rig, &lookup, 1, N, M, 3);
    const struct variable *table = store_find(rig.store, "table"), *kernel = store_find(rig.store, "kernel");
    struct plain plain = plain_new(&rig, table, 50, 4);
    struct rig_data data = { .ids = { .rows = BATCH, .entries = BATCH, .ids = ids }, .gradient = rows };
    rig_put(&rig, 0, &data, 4);
    rig_input(&rig, "x", x, BATCH, N);
    rig_input(&rig, "kernel_gradient", g, BATCH, M);
    rig_step(&rig, 0);
    plain_add(&plain, &data, &lookup);
    plain_step(&plain, &rig.parts[1].optimizer, 0);
    expect_plain(&rig, &plain, table, "the table");
    tensor_pack(&kernel->value, got);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < M; j++) {
            double sum = 0;
            for (int r = 0; r < BATCH; r++)
                sum += (double)x[r * N + i] * (double)g[r * M + j];
            assert_true(fabs((double)got[i * M + j] + 0.5 * sum) < 1e-4);
        }
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_lookups),      cmocka_unit_test(single_readings), cmocka_unit_test(sizes),
        cmocka_unit_test(several_readings),    cmocka_unit_test(norms),           cmocka_unit_test(rows_without_gradient),
        cmocka_unit_test(blocks_of_two_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
