/* SPDX-License-Identifier: Apache-2.0 */
/* Dropout: rate, scale, one mask forward and back, the same for any tiles and threads. Initializers: moments, limits and fans. */
#include "op/refusals.h"

/* ---- dropout in a graph: x from a table by row number, so that its gradient is a record ---- */

enum { COLUMNS = 7, BATCH = 1000 };

struct drop {
    pil_status status;
    struct pil_graph *graph;
    struct plan *plan;
    struct threads *threads;
    struct session *session;
    struct tensor table;
    int32_t ids[BATCH];
};

static struct drop *drop_start(float rate, const char *name, int threads, uint64_t seed, const struct kernels *kernels)
{
    struct drop *d = calloc(1, sizeof *d);
    assert_non_null(d);
    struct pil_graph *g = d->graph = graph_new(&d->status);
    struct pil_tensor *ids = graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true);
    struct pil_tensor *table = graph_variable(g, "table", SHAPE(BATCH, COLUMNS), (pil_initializer){ 0 }, true);
    struct pil_tensor *x = graph_op2(g, "lookup", &(struct op_lookup_args){ .pairs = 1 }, ids, table);
    struct pil_tensor *y = graph_op1(g, "dropout", &(struct op_dropout_args){ .rate = rate }, x);
    graph_name(g, y, name);
    graph_gradients(g, graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, graph_op1(g, "sum_all", NULL, y)));
    d->plan = plan_compile(g, &y, 1, &d->status);
    d->threads = threads_new(threads, &d->status);
    d->session = session_new(d->plan, d->threads, kernels, seed, &d->status);
    assert_ok(d->status);
    assert_true(tensor_new(&d->table, DTYPE_FLOAT32, SHAPE(BATCH, COLUMNS), false, &d->status));
    for (int64_t r = 0; r < BATCH; r++) {
        d->ids[r] = (int32_t)r;
        for (int64_t c = 0; c < COLUMNS; c++)
            tensor_floats(&d->table)[r * d->table.ld + c] = 1 + (float)(r * COLUMNS + c) / 1024;
    }
    struct session_variable where = { d->table, -1, 0 };
    assert_true(session_bind(d->session, graph_variable_at(g, 0), &where, &d->status));
    session_input(d->session, "ids", &(struct op_value){ .sparse = { .rows = BATCH, .entries = BATCH, .ids = d->ids } });
    return d;
}

/* Results and gradients of the first `rows` rows at a step, contiguous. */
static void drop_run(struct drop *d, int64_t rows, int64_t step, float *y, float *dx)
{
    const struct session_record *records;
    session_run(d->session, rows, step, NULL, 0, &d->status);
    assert_ok(d->status);
    tensor_pack(&session_fetch(d->session, 0)->tensor, y);
    assert_int_equal(session_records(d->session, &records), 1);
    tensor_pack(&records[0].gradient, dx);
}

static void drop_stop(struct drop *d)
{
    session_free(d->session);
    threads_free(d->threads);
    plan_free(d->plan);
    graph_free(d->graph);
    tensor_free(&d->table);
    free(d);
}

static void rate_and_scale(void **state)
{
    (void)state;
    static float y[BATCH * COLUMNS], dx[BATCH * COLUMNS];
    static const float rates[] = { 0, 0.1f, 0.5f, 0.9f };
    for (size_t i = 0; i < COUNT_OF(rates); i++)
        for (size_t l = 0; l < COUNT_OF(level_names); l++) {
            if (!kernel_level(level_names[l]))
                continue;
            struct drop *d = drop_start(rates[i], "dropout_under_test", 2, 5, kernel_level(level_names[l]));
            drop_run(d, BATCH, 1, y, dx);
            float scale = 1.0f / (1.0f - rates[i]);
            int64_t dropped = 0, of_column[COLUMNS] = { 0 };
            for (int64_t n = 0; n < BATCH * COLUMNS; n++) {
                float x = tensor_floats(&d->table)[n / COLUMNS * d->table.ld + n % COLUMNS];
                assert_true(y[n] == 0 || y[n] == x * scale);
                assert_true(dx[n] == (y[n] == 0 ? 0 : scale)); /* one mask for both ways */
                dropped += y[n] == 0;
                of_column[n % COLUMNS] += y[n] == 0;
            }
            double p = (double)rates[i], deviation = sqrt(p * (1 - p) / (BATCH * COLUMNS));
            assert_true(fabs((double)dropped / (BATCH * COLUMNS) - p) <= 4 * deviation);
            for (int c = 0; c < COLUMNS; c++)
                assert_true(fabs((double)of_column[c] / BATCH - p) <= 4 * deviation * sqrt(COLUMNS));
            drop_stop(d);
        }
}

static void same_mask_however_cut(void **state)
{
    (void)state;
    static float one[BATCH * COLUMNS], many[BATCH * COLUMNS], dx[BATCH * COLUMNS];
    struct drop *d = drop_start(0.3f, "drop", 1, 5, kernel_get());
    drop_run(d, BATCH, 1, one, dx);
    drop_run(d, 333, 1, many, dx); /* other tiles, other shards: the rows keep their masks */
    assert_memory_equal(one, many, 333 * COLUMNS * sizeof *one);
    drop_stop(d);
    for (int threads = 2; threads < 9; threads += 3) {
        d = drop_start(0.3f, "drop", threads, 5, kernel_get());
        drop_run(d, BATCH, 1, many, dx);
        assert_memory_equal(one, many, sizeof one);
        drop_stop(d);
    }
}

/* How many elements are dropped here and not there, or the other way round. */
static int64_t differing(const float *a, const float *b)
{
    int64_t count = 0;
    for (int64_t n = 0; n < BATCH * COLUMNS; n++)
        count += (a[n] == 0) != (b[n] == 0);
    return count;
}

/* Independent masks differ in 2 p (1 - p) of the elements. */
static void assert_independent(const float *a, const float *b)
{
    assert_true(fabs((double)differing(a, b) / (BATCH * COLUMNS) - 0.5) < 0.03);
}

static void other_masks_are_independent(void **state)
{
    (void)state;
    static float first[BATCH * COLUMNS], other[BATCH * COLUMNS], dx[BATCH * COLUMNS];
    struct drop *d = drop_start(0.5f, "drop", 2, 5, kernel_get());
    drop_run(d, BATCH, 1, first, dx);
    drop_run(d, BATCH, 2, other, dx);
    assert_independent(first, other); /* the next step */
    drop_run(d, BATCH, 1, other, dx);
    assert_int_equal(differing(first, other), 0); /* and back, as a resumed run */
    memcpy(other, first + COLUMNS, (BATCH - 1) * COLUMNS * sizeof *other);
    assert_independent(first, other); /* the next row */
    memcpy(other, first + 1, (BATCH * COLUMNS - 1) * sizeof *other);
    assert_independent(first, other); /* the next column */
    drop_stop(d);
    d = drop_start(0.5f, "drop", 2, 6, kernel_get());
    drop_run(d, BATCH, 1, other, dx);
    assert_independent(first, other); /* another seed */
    drop_stop(d);
    d = drop_start(0.5f, "drap", 2, 5, kernel_get());
    drop_run(d, BATCH, 1, other, dx);
    assert_independent(first, other); /* another layer */
    drop_stop(d);
}

/* ---- noise_shape: ones through the op alone; a tile of rows from `first` on ---- */

static void drop_ones(const struct op_dropout_args *args, struct shape shape, bool by_rows, int64_t first, uint64_t seed,
                      float *out)
{
    pil_status status = { 0 };
    struct op_value x = { 0 }, y = { 0 };
    assert_true(tensor_new(&x.tensor, DTYPE_FLOAT32, shape, by_rows, &status));
    assert_true(tensor_new(&y.tensor, DTYPE_FLOAT32, shape, by_rows, &status));
    float ones[1024];
    assert_true(shape_elements(shape) <= (int64_t)COUNT_OF(ones));
    for (size_t n = 0; n < COUNT_OF(ones); n++)
        ones[n] = 1;
    tensor_unpack(ones, &x.tensor);
    struct op_run run = { .args = args,
                          .kernels = kernel_get(),
                          .input_count = 1,
                          .output_count = 1,
                          .inputs = &x,
                          .outputs = &y,
                          .first_row = first,
                          .rows = shape.dims[0],
                          .step = 3,
                          .seed = seed,
                          .name = "drop" };
    op_find("dropout")->run(&run);
    tensor_pack(&y.tensor, out);
    tensor_free(&x.tensor);
    tensor_free(&y.tensor);
}

/* Positions that share a draw are equal, and draws are about half zeros. */
static void shared_draws(void **state)
{
    (void)state;
    enum { A = 16, B = 5, C = 6, ALL = A * B * C };
    static const struct shape noises[] = { { 3, { -1, 1, C } }, { 3, { -1, B, 1 } }, { 3, { 1, B, C } },
                                           { 3, { -1, 1, 1 } }, { 3, { 1, 1, -1 } }, { 3, { -1, -1, -1 } } };
    float y[ALL], part[ALL];
    for (size_t i = 0; i < COUNT_OF(noises); i++)
        for (int by_rows = 0; by_rows < 2; by_rows++) {
            const struct op_dropout_args args = { .rate = 0.5f, .noise_shape = noises[i] };
            const int64_t *d = noises[i].dims;
            int64_t dropped = 0, draws = (d[0] == 1 ? 1 : A) * (d[1] == 1 ? 1 : B) * (d[2] == 1 ? 1 : C);
            drop_ones(&args, SHAPE(A, B, C), by_rows, 0, 5, y);
            for (int64_t n = 0; n < ALL; n++) {
                int64_t a = d[0] == 1 ? 0 : n / (B * C), b = d[1] == 1 ? 0 : n / C % B, c = d[2] == 1 ? 0 : n % C;
                assert_true(y[n] == 0 || y[n] == 2);
                assert_true(y[n] == y[(a * B + b) * C + c]);
                dropped += y[n] == 0;
            }
            assert_true(fabs((double)dropped / ALL - 0.5) <= 2 / sqrt((double)draws));
            if (!by_rows)
                continue;
            drop_ones(&args, SHAPE(7, B, C), true, 4, 5, part); /* another tile: the rows keep their draws */
            assert_memory_equal(part, y + (d[0] == 1 ? 0 : 4) * B * C, 7 * B * C * sizeof *y);
        }
}

/* A seed of its own: whatever the run's is. */
static void own_seed(void **state)
{
    (void)state;
    float first[600], second[600];
    struct op_dropout_args args = { .rate = 0.5f, .seeded = true, .seed = 9 };
    drop_ones(&args, SHAPE(100, 6), true, 0, 1, first);
    drop_ones(&args, SHAPE(100, 6), true, 0, 2, second);
    assert_memory_equal(first, second, sizeof first);
    args.seed = 10;
    drop_ones(&args, SHAPE(100, 6), true, 0, 2, second);
    assert_memory_not_equal(first, second, sizeof first);
}

static void refusals(void **state)
{
    (void)state;
    static const struct op_dropout_args one = { .rate = 1 }, less = { .rate = -0.1f }, nan = { .rate = NAN },
                                        half = { .rate = 0.5f }, odd = { .rate = 0.5f, .noise_shape = { 2, { -1, 2 } } },
                                        flat = { .rate = 0.5f, .noise_shape = { 1, { -1 } } };
    static const struct refusal list[] = {
        { "dropout", &one, "the rate 1 is not in [0, 1)", 1, { ROWS_OF(3) } },
        { "dropout", &less, "the rate -0.1 is not in [0, 1)", 1, { ROWS_OF(3) } },
        { "dropout", &nan, "nan is not in [0, 1)", 1, { ROWS_OF(3) } },
        { "dropout", &odd, "the noise_shape [?, 2] does not fit", 1, { ROWS_OF(3) } },
        { "dropout", &flat, "the noise_shape [?] does not fit", 1, { ROWS_OF(3) } },
        { "dropout", &half, "input 1 is sparse", 1, { IDS } },
        { "dropout", &half, "input 1 is int64", 1, { INTEGERS(3) } },
    };
    check_refusals(list, COUNT_OF(list));
}

/* ---- initializers ---- */

static const struct random_key key = { { 17, 4 } };

struct moments {
    double mean, deviation, low, high;
};

static struct moments moments_of(pil_initializer initializer, struct shape shape)
{
    int64_t count = shape_elements(shape);
    float *values = calloc((size_t)count, sizeof *values);
    pil_status status = { 0 };
    assert_non_null(values);
    assert_true(initializer_fill(initializer, key, shape, 0, count, values, &status));
    struct moments m = { .low = INFINITY, .high = -INFINITY };
    for (int64_t n = 0; n < count; n++) {
        double value = (double)values[n];
        m.mean += value / (double)count;
        m.deviation += value * value / (double)count;
        m.low = fmin(m.low, value);
        m.high = fmax(m.high, value);
    }
    m.deviation = sqrt(m.deviation - m.mean * m.mean);
    free(values);
    return m;
}

/* Mean and deviation of many draws, and limits that none passes and some come near. */
static void check_moments(pil_initializer initializer, struct shape shape, double mean, double deviation, double limit)
{
    struct moments m = moments_of(initializer, shape);
    double count = (double)shape_elements(shape);
    if (fabs(m.mean - mean) > 4.5 * deviation / sqrt(count) + 1e-7 || fabs(m.deviation / deviation - 1) > 4.5 / sqrt(count))
        fail_msg("kind %d: mean %g, deviation %g, not %g and %g", initializer.kind, m.mean, m.deviation, mean, deviation);
    if (limit > 0 && (m.high > mean + limit * 1.000001 || m.low < mean - limit * 1.000001 || m.high < mean + 0.98 * limit ||
                      m.low > mean - 0.98 * limit))
        fail_msg("kind %d: from %g to %g, not %g around %g", initializer.kind, m.low, m.high, limit, mean);
}

static void draws(void **state)
{
    (void)state;
    struct shape shape = SHAPE(200, 300);
    const double cut = 0.87962566103423978; /* the deviation that a normal distribution keeps within two of its deviations */
    check_moments((pil_initializer){ PIL_INITIALIZER_NORMAL, 2, 0.5f }, shape, 2, 0.5, 0);
    check_moments((pil_initializer){ PIL_INITIALIZER_UNIFORM, -1, 3 }, shape, 1, 4 / sqrt(12), 2);
    check_moments((pil_initializer){ PIL_INITIALIZER_TRUNCATED_NORMAL, 1, 0.25f }, shape, 1, 0.25 * cut, 0.5);
    static const pil_initializer constants[] = { { PIL_INITIALIZER_ZEROS, 9, 9 },
                                                 { PIL_INITIALIZER_ONES, 9, 9 },
                                                 { PIL_INITIALIZER_CONSTANT, 2.5f, 9 } };
    static const double values[] = { 0, 1, 2.5 };
    for (size_t i = 0; i < COUNT_OF(constants); i++) {
        struct moments m = moments_of(constants[i], shape);
        assert_true(m.low == values[i] && m.high == values[i]);
    }
}

/* Keras: a matrix's fans are its sides, a convolution's times its window, a vector's its length. */
static void fans(void **state)
{
    (void)state;
    const double cut = 0.87962566103423978;
    static const struct {
        struct shape shape;
        double in, out;
    } list[] = { { { 2, { 100, 300 } }, 100, 300 }, { { 4, { 3, 3, 20, 200 } }, 180, 1800 }, { { 1, { 40000 } }, 40000, 40000 } };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        double average = (list[i].in + list[i].out) / 2;
        const double variances[] = { 1 / average, 2 / list[i].in, 1 / list[i].in };
        static const pil_initializer_kind uniforms[] = { PIL_INITIALIZER_GLOROT_UNIFORM, PIL_INITIALIZER_HE_UNIFORM,
                                                         PIL_INITIALIZER_LECUN_UNIFORM };
        static const pil_initializer_kind normals[] = { PIL_INITIALIZER_GLOROT_NORMAL, PIL_INITIALIZER_HE_NORMAL,
                                                        PIL_INITIALIZER_LECUN_NORMAL };
        for (int k = 0; k < 3; k++) {
            double deviation = sqrt(variances[k]);
            check_moments((pil_initializer){ uniforms[k], 0, 0 }, list[i].shape, 0, deviation, deviation * sqrt(3));
            check_moments((pil_initializer){ normals[k], 0, 0 }, list[i].shape, 0, deviation, 2 * deviation / cut);
        }
    }
    struct moments one = moments_of((pil_initializer){ PIL_INITIALIZER_GLOROT_UNIFORM, 0, 0 }, SHAPE_SCALAR);
    assert_true(fabs(one.high) <= sqrt(3));
}

/* Element n of a tensor does not depend on who draws which part. */
static void parts_equal_the_whole(void **state)
{
    (void)state;
    static float whole[35 * 21], parts[35 * 21];
    struct shape shape = SHAPE(35, 21);
    pil_status status = { 0 };
    for (int kind = PIL_INITIALIZER_ZEROS; kind <= PIL_INITIALIZER_IDENTITY; kind++) {
        pil_initializer initializer = { (pil_initializer_kind)kind, 0.5f, 2 };
        if (kind == PIL_INITIALIZER_ORTHOGONAL)
            continue;
        assert_true(initializer_fill(initializer, key, shape, 0, 35 * 21, whole, &status));
        for (int64_t first = 0, count = 1; first < 35 * 21; first += count, count = MIN(count + 7, 35 * 21 - first))
            assert_true(initializer_fill(initializer, key, shape, first, count, parts + first, &status));
        assert_memory_equal(whole, parts, sizeof whole);
    }
}

/* Q's shorter side is orthonormal, times the gain; its determinant is of either sign. */
static void orthogonal(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        { 2, { 20, 20 } }, { 2, { 50, 7 } }, { 2, { 7, 50 } }, { 4, { 2, 3, 4, 5 } }, { 2, { 1, 6 } }
    };
    static float q[400];
    pil_status status = { 0 };
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        int64_t cols = shapes[s].dims[shapes[s].rank - 1], rows = shape_elements(shapes[s]) / cols, wide = MIN(rows, cols);
        assert_true(initializer_fill((pil_initializer){ PIL_INITIALIZER_ORTHOGONAL, 1.5f, 0 }, key, shapes[s], 0, rows * cols, q,
                                     &status));
        for (int64_t i = 0; i < wide; i++)
            for (int64_t j = 0; j < wide; j++) {
                double dot = 0;
                for (int64_t n = 0; n < MAX(rows, cols); n++)
                    dot += rows >= cols ? (double)q[n * cols + i] * (double)q[n * cols + j]
                                        : (double)q[i * cols + n] * (double)q[j * cols + n];
                assert_true(fabs(dot - (i == j ? 2.25 : 0)) < 1e-6);
            }
    }
    assert_false(initializer_fill((pil_initializer){ PIL_INITIALIZER_ORTHOGONAL, 1, 0 }, key, SHAPE(9), 0, 9, q, &status));
    assert_non_null(strstr(status.message, "orthogonal"));
    status_clear(&status);
    assert_false(initializer_fill((pil_initializer){ PIL_INITIALIZER_ORTHOGONAL, 1, 0 }, key, SHAPE(3, 3), 3, 6, q, &status));
}

static void identity(void **state)
{
    (void)state;
    float m[12];
    pil_status status = { 0 };
    assert_true(initializer_fill((pil_initializer){ PIL_INITIALIZER_IDENTITY, 2, 0 }, key, SHAPE(3, 4), 0, 12, m, &status));
    for (int i = 0; i < 12; i++)
        assert_true(m[i] == (i / 4 == i % 4 ? 2 : 0));
    assert_false(initializer_fill((pil_initializer){ PIL_INITIALIZER_IDENTITY, 2, 0 }, key, SHAPE(12), 0, 12, m, &status));
    assert_non_null(strstr(status.message, "identity"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_and_scale),
        cmocka_unit_test(same_mask_however_cut),
        cmocka_unit_test(other_masks_are_independent),
        cmocka_unit_test(shared_draws),
        cmocka_unit_test(own_seed),
        cmocka_unit_test(refusals),
        cmocka_unit_test(draws),
        cmocka_unit_test(fans),
        cmocka_unit_test(parts_equal_the_whole),
        cmocka_unit_test(orthogonal),
        cmocka_unit_test(identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
