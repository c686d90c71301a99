/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gradients applied: every optimizer against TensorFlow's figures, through a session; tables of all kinds of readings against
 * plain loops; what TensorFlow does to rows that are used with gradient 0; the same bits for any number of threads; no
 * allocation on a second pass, and every allocation failing once.
 */
#include "train/harness.h"

#include "failing.h"
#include "kernel/golden.h"

/* ---- TensorFlow's figures ------------------------------------------------------------------------------------ */

enum { ROWS = 6, DIM = 3, ENTRIES = 16 };

static void print_yaml(const struct json_value *value, struct text *out)
{
    struct json_value item;
    struct slice key;
    if (value->kind == JSON_MAP) {
        text_append_text(out, "{");
        for (struct json_walk walk = json_children(value); json_next(&walk, &key, &item);) {
            text_format(out, "%s%.*s: ", out->data[out->size - 1] == '{' ? "" : ", ", (int)key.size, key.data);
            print_yaml(&item, out);
        }
        text_append_text(out, "}");
    } else if (value->kind == JSON_BOOL) {
        text_append_text(out, value->flag ? "true" : "false");
    } else {
        text_json_double(out, value->number);
    }
}

static struct optimizer golden_optimizer(struct rig *rig, const struct json_value *item)
{
    struct slice name = golden_get(item, "optimizer").text;
    struct json_value hyper = golden_get(item, "hyperparameters");
    enum optimizer_flavour flavour = FLAVOUR_V1;
    struct text text = { 0 };
    if (name.size > 7 && memcmp(name.data, "keras2.", 7) == 0) {
        flavour = FLAVOUR_KERAS;
        name = slice_of(name.data + 7, name.size - 7);
    } else if (name.size > 6 && memcmp(name.data, "keras.", 6) == 0) {
        flavour = FLAVOUR_KERAS_LEGACY;
        name = slice_of(name.data + 6, name.size - 6);
    }
    if (slice_is(name, "GradientDescent"))
        name = slice_text("sgd");
    text_format(&text, "{%.*s: ", (int)name.size, name.data);
    print_yaml(&hyper, &text);
    text_append_text(&text, "}");
    struct optimizer optimizer = rig_optimizer(rig, text.data, flavour);
    text_free(&text);
    return optimizer;
}

/* A dense gradient comes to a kernel, a sparse one to a table. Returns the largest error. */
static double run_golden(const struct json_value *item, bool sparse)
{
    struct rig rig = rig_new();
    struct json_value initial = golden_get(item, "initial"), grads = golden_get(item, "grads"), after = golden_get(item, "after_each_step"), at, ids;
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
            fail_msg("%s, case %d, %.*s%s: error %.2g", path, count, (int)name.size, name.data, is_sparse ? " sparse" : "", error);
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

/* Ids and weights of lists of lists; weights may be null. */
static void read_ragged(const struct json_value *item, struct sparse_builder *builder, bool *weighted)
{
    struct json_value ids = golden_get(item, "ids"), weights = golden_get(item, "weights"), row, weight_row = { 0 }, id, weight = { 0 };
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
        struct json_value table = golden_get(&item, "table"), gradient = golden_get(&item, "output_grad"), want = golden_get(&item, "table_grad");
        float first[TABLE_ROWS * DIM], out[ENTRIES * DIM], expected[TABLE_ROWS * DIM], got[TABLE_ROWS * DIM];
        struct rig_lookup lookup = { .table = "table", .rows = TABLE_ROWS, .dim = DIM, .max_norm = golden_number(&item, "max_norm", 0),
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

/* A batch for one lookup: ids (some -1), weights (some not above 0), gradients. */
struct reading_data {
    struct sparse ids;
    float *gradient;
    void *groups_memory;
    struct groups groups;
};

static void *must(void *pointer)
{
    assert_non_null(pointer);
    return pointer;
}

static struct reading_data make_data(struct rig *rig, struct random_key key, uint64_t stream, int64_t rows, const struct rig_lookup *lookup,
                                     bool ragged, bool weighted, bool grouped)
{
    struct reading_data data = { 0 };
    int64_t *offsets = must(arena_alloc(rig->arena, (size_t)(rows + 1) * sizeof *offsets, &rig->status)), entries = rows;
    if (ragged) {
        for (int64_t r = 0; r < rows; r++)
            offsets[r + 1] = offsets[r] + (int64_t)random_below(key, stream, (uint64_t)r, 5);
        entries = offsets[rows];
    }
    int32_t *ids = must(arena_alloc(rig->arena, (size_t)entries * sizeof *ids + 1, &rig->status));
    float *weights = must(arena_alloc(rig->arena, (size_t)entries * sizeof *weights + 1, &rig->status));
    for (int64_t e = 0; e < entries; e++) { /* half of them within the first tenth, so that ids repeat */
        int64_t limit = random_uniform(key, stream + 1, (uint64_t)e) < 0.5f ? MAX(lookup->rows / 10, 1) : lookup->rows;
        ids[e] = (int32_t)random_below(key, stream + 2, (uint64_t)e, (uint64_t)limit + 1) - 1;
        weights[e] = random_uniform(key, stream + 3, (uint64_t)e) * 2.4f - 0.4f;
    }
    data.gradient = must(arena_alloc(rig->arena, (size_t)(rows * lookup->dim) * sizeof(float), &rig->status));
    random_fill_normal(random_key(stream, "gradient"), data.gradient, 0, rows * lookup->dim, 0, 1);
    data.ids = (struct sparse){ .rows = rows, .entries = entries, .offsets = ragged ? offsets : NULL, .ids = ids,
                                .weights = weighted ? weights : NULL };
    if (grouped) {
        void *scratch = mem_new(sort_scratch(entries), &rig->status);
        data.groups_memory = must(arena_alloc(rig->arena, sort_memory(entries), &rig->status));
        sort_groups(&data.ids, lookup->rows, scratch, data.groups_memory, &data.groups);
        mem_free(scratch);
    }
    return data;
}

static void put_data(struct rig *rig, int lookup, struct reading_data *data, int64_t dim)
{
    char name[20];
    snprintf(name, sizeof name, "gradient%d", lookup);
    if (data->groups_memory)
        data->ids.groups = &data->groups;
    rig_ids(rig, lookup, &data->ids);
    rig_input(rig, name, data->gradient, data->ids.rows, dim);
}

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

static void plain_add(struct plain *plain, const struct reading_data *data, const struct rig_lookup *lookup)
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
                plain->gradient[id * plain->dim + c] += through_norm(plain->part[0] + id * plain->dim, g, plain->dim, c, lookup->max_norm);
            plain->used[id] = true;
        }
        if (!any)
            plain->used[0] = true; /* looked up and masked */
    }
}

static void plain_step(struct plain *plain, const struct optimizer *optimizer, int64_t step)
{
    float next_cache, g[64];
    const struct optimizer_shape *shape = optimizer->row->shape(&optimizer->options);
    for (int64_t r = 0; r < plain->rows; r++) {
        struct update rule = rule_of(optimizer, step, rule_cache(optimizer, step), &next_cache);
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
                fail_msg("%s: part %d, row %d, column %d: %.9g, plain loops %.9g", what, k, (int)(i / plain->dim), (int)(i % plain->dim),
                         (double)got[i], (double)want);
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
static void compare(const char *text, const struct rig_lookup *lookups, int count, unsigned ragged, unsigned weighted, unsigned grouped,
                    int64_t batch, int threads)
{
    struct rig rig = rig_new();
    struct random_key key = random_key(9, "updater");
    char what[200];
    snprintf(what, sizeof what, "%s, %d readings [%d, %d], ragged %u, weighted %u", text, count, (int)lookups->rows, (int)lookups->dim,
             ragged, weighted);
    rig.parts[0].optimizer = rig_optimizer(&rig, text, FLAVOUR_KERAS_LEGACY);
    rig_start(&rig, lookups, count, 0, 0, threads);
    const struct variable *variable = store_find(rig.store, "table");
    fill_table(variable, lookups->rows, lookups->dim);
    struct plain plain = plain_new(&rig, variable, lookups->rows, lookups->dim);
    for (int64_t step = 0; step < 3; step++) {
        for (int i = 0; i < count; i++) {
            struct reading_data *data = must(arena_alloc(rig.arena, sizeof *data, &rig.status));
            *data = make_data(&rig, key, (uint64_t)(10 * (step * 8 + i)), batch, &lookups[i], ragged >> i & 1, weighted >> i & 1,
                              grouped >> i & 1);
            put_data(&rig, i, data, lookups->dim);
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
                struct rig_lookup lookup = { .table = "table", .rows = 700, .dim = dims[d], .combiner = (enum combiner)((form + d) % 3) };
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
        compare(optimizers[o], &(struct rig_lookup){ .table = "table", .rows = 200, .dim = 6, .max_norm = 1.2f }, 1, 1, (unsigned)o & 1, 0, 150, 2);
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
    ftrl_rows((const int32_t[]){ 2, -1, 2 }, NULL, COMBINER_MEAN, used_0);                                /* an empty row */
    ftrl_rows((const int32_t[]){ 2, 3, 2 }, (const float[]){ 1, 0, 1 }, COMBINER_MEAN, used_0);           /* dropped: 3 is not used, row 1 empty */
    ftrl_rows((const int32_t[]){ 2, 3, 2 }, (const float[]){ 1, 0, 1 }, COMBINER_SUM, used_3);            /* kept with weight 0 */
}

/* ---- dense variables ----------------------------------------------------------------------------------------- */

/* A table that a product reads as well: both gradients, and nothing left over in the next step, also where only the lookup's
 * flows back. */
static void table_in_a_product(void **state)
{
    (void)state;
    enum { N = 3, WIDTH = 2 };
    const float identity[N * N] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 }, dense[N * WIDTH] = { 1, 2, 3, 4, 5, 6 }, lookup[N * WIDTH] = { 10, 20, 30, 40, 50, 60 };
    const int32_t ids[N] = { 2, -1, 2 };
    float got[N * WIDTH];
    for (int stopped = 0; stopped < 2; stopped++) {
        struct rig rig = rig_new();
        rig.parts[1].optimizer = rig_optimizer(&rig, "{sgd: {learning_rate: 1}}", FLAVOUR_KERAS_LEGACY);
        rig_start(&rig, &(struct rig_lookup){ .table = "table", .rows = N, .dim = WIDTH, .part = 1, .dense = true, .stopped = stopped }, 1, 0, 0, 2);
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
    struct reading_data data = { .ids = { .rows = BATCH, .entries = BATCH, .ids = ids }, .gradient = rows };
    put_data(&rig, 0, &data, 4);
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
        rig.parts[0].scope = way < 2 ? "training/Nadam" : NULL;
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
            assert_true(*store_float32(rig.store, "training/Nadam/momentum_cache") == rule_cache(&rig.parts[0].optimizer, STEPS));
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
            struct reading_data *data = must(arena_alloc(rig.arena, sizeof *data, &rig.status));
            *data = make_data(&rig, key, (uint64_t)(100 * step) + (uint64_t)i * 10, batches[step], &big[i], i == 1 || i == 3, i == 1, i != 2);
            put_data(&rig, i, data, big[i].dim);
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
    static const char *const some[] = { "{adagrad: {learning_rate: 0.1}}", "{adam: {learning_rate: 0.01}}", "{nadam: {learning_rate: 0.01}}" };
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
static void start_mixed(struct rig *rig, struct reading_data data[4])
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
        data[i] = make_data(rig, random_key(1, "mixed"), (uint64_t)i * 10, 40, &lookups[i], i & 1, i == 3, i == 0);
        put_data(rig, i, &data[i], lookups[i].dim);
    }
    rig_input(rig, "x", x, 40, 5);
    rig_input(rig, "kernel_gradient", g, 40, 6);
}

static void second_pass_allocates_nothing(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct reading_data data[4];
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
    struct reading_data data[4];
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
    parts[0].optimizer.options.clipnorm = 1;
    assert_null(updater_new(rig.store, parts, 1, rig.threads, kernel_get(), &rig.status));
    assert_int_equal(rig.status.code, PIL_UNSUPPORTED);
    status_clear(&rig.status);
    parts[0].optimizer = rig_optimizer(&rig, "{adam: {}}", FLAVOUR_KERAS_LEGACY); /* the store has no slots for it */
    assert_null(updater_new(rig.store, parts, 1, rig.threads, kernel_get(), &rig.status));
    assert_int_equal(rig.status.code, PIL_INTERNAL);
    status_clear(&rig.status);
    parts[0].optimizer.row = NULL; /* a block that nobody moves */
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
        cmocka_unit_test(golden_lookups),
        cmocka_unit_test(single_readings),
        cmocka_unit_test(sizes),
        cmocka_unit_test(several_readings),
        cmocka_unit_test(norms),
        cmocka_unit_test(rows_without_gradient),
        cmocka_unit_test(table_in_a_product),
        cmocka_unit_test(blocks_of_two_parts),
        cmocka_unit_test(resumed),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(second_pass_allocates_nothing),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
