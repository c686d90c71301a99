/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients against finite differences, one tile against many, the same bits at any number of threads, no allocation. */
#include "harness.h"

enum { ROWS = 333, IDS = 11, DIM = 4, NUMBERS = 3 };

struct data {
    struct tensor numbers, labels, weights;
    int32_t ids[4096];
    int32_t ragged_ids[3 * 4096];
    int64_t offsets[4097];
};

static struct data *make_data(int64_t rows)
{
    static struct data data;
    pil_status status = { 0 };
    uint64_t state = 99;
    assert_true(tensor_new(&data.numbers, DTYPE_FLOAT32, SHAPE(rows, NUMBERS), true, &status));
    assert_true(tensor_new(&data.labels, DTYPE_FLOAT32, SHAPE(rows, 1), true, &status));
    assert_true(tensor_new(&data.weights, DTYPE_FLOAT32, SHAPE(rows, 1), true, &status));
    data.offsets[0] = 0;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < NUMBERS; c++)
            tensor_floats(&data.numbers)[r * data.numbers.ld + c] = noise(&state) * 2;
        tensor_floats(&data.labels)[r] = noise(&state) > 0 ? 1.0f : 0.0f;
        tensor_floats(&data.weights)[r] = 0.5f + noise(&state);
        data.ids[r] = (int32_t)(fabsf(noise(&state)) * 2 * (IDS + 1)) - 1;
        data.ids[r] = MIN(data.ids[r], IDS - 1);
        int64_t count = (int64_t)(fabsf(noise(&state)) * 6); /* 0 .. 2 */
        for (int64_t e = data.offsets[r]; e < data.offsets[r] + count; e++)
            data.ragged_ids[e] = MIN((int32_t)(fabsf(noise(&state)) * 2 * IDS), IDS - 1);
        data.offsets[r + 1] = data.offsets[r] + count;
    }
    return &data;
}

static void free_data(struct data *data)
{
    tensor_free(&data->numbers);
    tensor_free(&data->labels);
    tensor_free(&data->weights);
}

/* Embeddings and numbers into two tanh layers with batch norm between, plus a linear part; weighted cross entropy. */
static struct pil_tensor *model(struct pil_graph *g, bool norm, bool weighted, enum activation activation)
{
    pil_initializer noise_init = { PIL_INITIALIZER_ZEROS, 0, 0 }, ones = { PIL_INITIALIZER_ONES, 0, 0 };
    struct pil_tensor *ids = graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true);
    struct pil_tensor *ragged = graph_input(g, "ragged", DTYPE_INT32, SHAPE(BATCH_DIM), true);
    struct pil_tensor *numbers = graph_input(g, "numbers", DTYPE_FLOAT32, SHAPE(BATCH_DIM, NUMBERS), false);
    struct pil_tensor *labels = graph_input(g, "labels", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false);
    struct pil_tensor *weights = graph_input(g, "weights", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false);
    struct op_lookup_args mean = { COMBINER_MEAN, 0, 1 }, sum = { COMBINER_SUM, 0, 2 };
    struct pil_tensor *e1 = graph_op2(g, "lookup", &mean, ids, graph_variable(g, "e1", SHAPE(IDS, DIM), noise_init, true));
    struct pil_tensor *e2 = graph_op2(g, "lookup", &mean, ragged, graph_variable(g, "e2", SHAPE(IDS, DIM + 1), noise_init, true));
    struct pil_tensor *x = graph_op3(g, "concat", &(struct op_axis_args){ .axis = 1 }, e1, e2, numbers);
    struct op_matmul_args dense = { .bias = true, .activation = activation }, last = { .bias = true };
    int64_t width = DIM + DIM + 1 + NUMBERS;
    struct pil_tensor *h = graph_op3(g, "matmul", &dense, x, graph_variable(g, "w1", SHAPE(width, 18), noise_init, true),
                                     graph_variable(g, "b1", SHAPE(18), noise_init, true));
    if (norm) {
        struct pil_tensor *moments[2];
        struct pil_tensor *sums = graph_op1(g, "moments", NULL, h);
        graph_op(g, "moments_mean", &(struct op_count_args){ 1 }, &sums, 1, moments);
        struct pil_tensor *in[] = { h, moments[0], moments[1], graph_variable(g, "gamma", SHAPE(18), ones, true),
                                    graph_variable(g, "beta", SHAPE(18), noise_init, true) };
        h = graph_op(g, "batch_norm", &(struct op_norm_args){ 0.001f, true }, in, 5, NULL);
    }
    h = graph_op3(g, "matmul", &dense, h, graph_variable(g, "w2", SHAPE(18, 7), noise_init, true),
                  graph_variable(g, "b2", SHAPE(7), noise_init, true));
    struct pil_tensor *logits = graph_op3(g, "matmul", &last, h, graph_variable(g, "w3", SHAPE(7, 1), noise_init, true),
                                          graph_variable(g, "b3", SHAPE(1), noise_init, true));
    struct pil_tensor *wide[] = { ids, graph_variable(g, "l1", SHAPE(IDS, 1), noise_init, true), ragged,
                                  graph_variable(g, "l2", SHAPE(IDS, 1), noise_init, true) };
    logits = graph_op2(g, "add", NULL, logits, graph_op(g, "lookup", &sum, wide, 4, NULL));
    struct pil_tensor *loss = graph_op2(g, "sigmoid_cross_entropy", NULL, logits, labels);
    if (weighted)
        loss = graph_op2(g, "mul", NULL, loss, weights);
    return graph_op1(g, "divide_by_rows", &(struct op_count_args){ 1 }, graph_op1(g, "sum_all", NULL, loss));
}

static void bind_inputs(struct session *session, struct data *data, int64_t rows)
{
    struct op_value value = { .sparse = { .rows = rows, .entries = rows, .ids = data->ids } };
    session_input(session, "ids", &value);
    value.sparse =
        (struct sparse){ .rows = rows, .entries = data->offsets[rows], .ids = data->ragged_ids, .offsets = data->offsets };
    session_input(session, "ragged", &value);
    session_input(session, "numbers", &(struct op_value){ .tensor = data->numbers });
    session_input(session, "labels", &(struct op_value){ .tensor = data->labels });
    session_input(session, "weights", &(struct op_value){ .tensor = data->weights });
}

static struct rig start(struct data *data, int64_t rows, bool norm, bool weighted, enum activation activation, int threads)
{
    struct rig rig = rig_new();
    struct pil_tensor *loss = model(rig.graph, norm, weighted, activation);
    graph_gradients(rig.graph, loss);
    rig_start(&rig, &loss, 1, threads, 5);
    bind_inputs(rig.session, data, rows);
    return rig;
}

/* The gradient of element (r, c) of variable v as the optimizer would see it. */
static double analytic(struct rig *rig, float *dense, size_t v, int64_t r, int64_t c)
{
    const struct session_record *records;
    size_t count = session_records(rig->session, &records);
    const struct tensor *value = &rig->values[v];
    float *table = NULL;
    for (size_t i = 0; i < count; i++) {
        if (records[i].variable != graph_variable_at(rig->graph, v))
            continue;
        static float scratch[IDS * 64];
        if (!table)
            memset(scratch, 0, sizeof scratch);
        table = scratch;
        rig_scatter(&records[i], table, value->cols);
    }
    return table ? (double)table[r * value->cols + c] : (double)dense[rig->offsets[v] + r * value->ld + c];
}

static void check_numeric(bool norm, bool weighted)
{
    struct data *data = make_data(ROWS);
    struct rig rig = start(data, ROWS, norm, weighted, ACTIVATION_TANH, 2);
    for (size_t v = 0; v < graph_variable_count(rig.graph); v++) {
        struct tensor *value = &rig.values[v];
        for (int64_t r = 0; r < value->rows; r += MAX(value->rows / 3, 1))
            for (int64_t c = 0; c < value->cols; c += MAX(value->cols / 3, 1)) {
                float *at = tensor_floats(value) + r * value->ld + c, old = *at, h = 4e-3f;
                rig_run(&rig, ROWS);
                double gradient = analytic(&rig, rig_gradients(&rig), v, r, c), side[2];
                for (int k = 0; k < 2; k++) {
                    *at = old + (k ? -h : h);
                    rig_run(&rig, ROWS);
                    side[k] = session_scalar(rig.session, 0);
                }
                *at = old;
                double numeric = (side[0] - side[1]) / (2 * (double)h);
                if (fabs(numeric - gradient) > 1e-4 + 2e-3 * fabs(numeric))
                    fail_msg("%s[%lld, %lld]: gradient %g, by differences %g", graph_variable_at(rig.graph, v)->name,
                             (long long)r, (long long)c, gradient, numeric);
            }
    }
    rig_free(&rig);
    free_data(data);
}

static void test_numeric_gradients(void **state)
{
    (void)state;
    check_numeric(false, false);
    check_numeric(false, true);
    check_numeric(true, true);
}

/* Losses and gradients of a run, copied out. */
static double run_once(struct data *data, int64_t rows, bool norm, int threads, float *gradients, int64_t *floats, bool poison)
{
    struct rig rig = start(data, rows, norm, true, ACTIVATION_RELU, threads);
    rig_run(&rig, rows);
    if (poison) {
        session_poison(rig.session);
        rig_run(&rig, rows);
    }
    double loss = session_scalar(rig.session, 0);
    memcpy(gradients, rig_gradients(&rig), (size_t)rig.floats * sizeof *gradients);
    *floats = rig.floats;
    const struct session_record *records;
    size_t count = session_records(rig.session, &records);
    for (size_t i = 0; i < count; i++) {
        int64_t dim = records[i].gradient.cols;
        memset(gradients + *floats, 0, (size_t)(IDS * dim) * sizeof *gradients);
        rig_scatter(&records[i], gradients + *floats, dim);
        *floats += IDS * dim;
    }
    rig_free(&rig);
    return loss;
}

static void test_same_bits_at_any_number_of_threads(void **state)
{
    (void)state;
    static float one[8192], many[8192];
    static const int64_t sizes[] = { 1, 3, 20, 333, 512, 4096 };
    for (size_t s = 0; s < COUNT_OF(sizes); s++)
        for (int norm = 0; norm < 2; norm++) {
            struct data *data = make_data(sizes[s]);
            int64_t floats, again;
            double loss = run_once(data, sizes[s], norm, 1, one, &floats, false);
            assert_true(isfinite(loss));
            static const int counts[] = { 2, 3, 8 };
            for (size_t t = 0; t < COUNT_OF(counts); t++) {
                double other = run_once(data, sizes[s], norm, counts[t], many, &again, t == 0);
                assert_int_equal(floats, again);
                assert_memory_equal(&loss, &other, sizeof loss);
                assert_memory_equal(one, many, (size_t)floats * sizeof *one);
            }
            free_data(data);
        }
}

/* The whole batch against its rows in batches of 37, whose gradients are added by hand: what tiles and shards must not change. */
static void test_many_tiles_equal_one(void **state)
{
    (void)state;
    enum { TOTAL = 2048, PART = 64 };
    static float whole[8192], part[8192];
    static double sum[8192];
    struct data *data = make_data(TOTAL);
    int64_t floats;
    double loss = run_once(data, TOTAL, false, 2, whole, &floats, false), parts = 0;
    memset(sum, 0, sizeof sum);
    struct data whole_data = *data;
    for (int64_t first = 0; first < TOTAL; first += PART) {
        struct data *slice = &(struct data){ 0 };
        *slice = whole_data;
        slice->numbers.data = tensor_floats(&whole_data.numbers) + first * whole_data.numbers.ld;
        slice->labels.data = tensor_floats(&whole_data.labels) + first;
        slice->weights.data = tensor_floats(&whole_data.weights) + first;
        slice->numbers.rows = slice->labels.rows = slice->weights.rows = PART;
        memcpy(slice->ids, whole_data.ids + first, PART * sizeof *slice->ids);
        memcpy(slice->ragged_ids, whole_data.ragged_ids + whole_data.offsets[first],
               (size_t)(whole_data.offsets[first + PART] - whole_data.offsets[first]) * sizeof *slice->ragged_ids);
        for (int64_t r = 0; r <= PART; r++)
            slice->offsets[r] = whole_data.offsets[first + r] - whole_data.offsets[first];
        parts += run_once(slice, PART, false, 1, part, &floats, false) * PART / TOTAL;
        for (int64_t i = 0; i < floats; i++)
            sum[i] += (double)part[i] * PART / TOTAL;
    }
    assert_true(fabs(parts - loss) <= 1e-6 * fabs(loss));
    for (int64_t i = 0; i < floats; i++)
        if (fabs(sum[i] - (double)whole[i]) > 1e-6 + 1e-5 * fabs(sum[i]))
            fail_msg("gradient %lld: %g in parts, %g as a whole", (long long)i, sum[i], (double)whole[i]);
    free_data(data);
}

static void test_second_pass_allocates_nothing(void **state)
{
    (void)state;
    struct data *data = make_data(512);
    struct rig rig = start(data, 512, true, true, ACTIVATION_RELU, 2);
    rig_run(&rig, 512);
    rig_run(&rig, 100);
    uint64_t before = mem_allocations();
    rig_run(&rig, 512);
    rig_run(&rig, 100);
    assert_int_equal(before, mem_allocations());
    rig_free(&rig);
    free_data(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numeric_gradients),
        cmocka_unit_test(test_same_bits_at_any_number_of_threads),
        cmocka_unit_test(test_many_tiles_equal_one),
        cmocka_unit_test(test_second_pass_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
