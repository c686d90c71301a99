/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of every level against plain doubles, and bit by bit against fmaf in the promised order, on ragged shapes, with
 * poisoned pads.
 */
#include "levels.h"

struct shape_case {
    int64_t m, n, k;
};
/* Shapes that each found, or could find, an error of their own; random ones follow. */
static const struct shape_case shapes[] = {
    { 1, 1, 1 },      { 1, 2, 1 },       { 2, 1, 1 },      { 1, 1, 2 },      { 3, 3, 3 },     { 12, 12, 12 },
    { 64, 64, 12 },   { 64, 32, 64 },    { 64, 1, 32 },    { 64, 32, 1 },    { 1, 64, 33 },   { 1, 130, 40 },
    { 2, 129, 17 },   { 64, 256, 429 },  { 64, 429, 256 }, { 429, 256, 64 }, { 33, 17, 600 }, { 130, 40, 700 },
    { 40, 512, 520 }, { 129, 48, 1030 }, { 7, 15, 5 },     { 6, 16, 5 },     { 14, 32, 5 },   { 15, 33, 5 },
    { 8, 1, 16 },     { 9, 1, 15 },      { 71, 1, 100 },   { 1, 1, 1000 },   { 5, 5, 0 },     { 5, 1, 0 },
};
enum { RANDOM_SHAPES = 320 };

/* One call with all that it touches; c and gate have `ldc` of their own. */
struct product {
    struct gemm call;
    float *a, *b, *c, *bias, *gate, *before;
    int64_t c_size;
    bool ragged, transposed;
};

static void product_new(struct product *p, struct shape_case shape, int variant)
{
    const float poison = NAN;
    int64_t m = shape.m, n = shape.n, k = shape.k;
    memset(p, 0, sizeof(*p));
    p->transposed = variant & 1;
    p->ragged = (variant >> 1) & 1;
    struct gemm *g = &p->call;
    g->m = m, g->n = n, g->k = k;
    int64_t a_rows = p->transposed ? k : m, a_cols = p->transposed ? m : k;
    int64_t a_ld = MAX(1, p->ragged ? a_cols : pad_columns(a_cols));
    p->a = matrix_new(MAX(a_rows, 1), a_cols, a_ld, !p->ragged, poison);
    g->a = p->a;
    g->a_row = p->transposed ? 1 : a_ld;
    g->a_column = p->transposed ? a_ld : 1;
    g->ldb = n > 1 ? pad_columns(n) : 1;
    p->b = matrix_new(MAX(k, 1), n, g->ldb, true, 0);
    g->b = p->b;
    g->ldc = n > 1 ? p->ragged ? n + random_to(3) : pad_columns(n) : 1;
    if (g->ldc >= pad_columns(n))
        g->ldc = pad_columns(n);
    p->c_size = (m - 1) * g->ldc + (g->ldc < pad_columns(n) ? n : g->ldc);
    p->c = matrix_new(m, n, g->ldc, g->ldc >= pad_columns(n), poison);
    p->before = malloc((size_t)p->c_size * sizeof(float));
    assert_non_null(p->before);
    g->c = p->c;
    int start = variant >> 2 & 3;
    if (start == 1) {
        p->bias = matrix_new(1, n, pad_columns(n), true, 0);
        g->bias = p->bias;
    }
    g->accumulate = start == 2;
    if (g->accumulate) /* a C that is added to has the zeros its maker wrote */
        for (int64_t i = 0; i < p->c_size; i++)
            if (i % g->ldc >= n && g->ldc >= pad_columns(n))
                p->c[i] = 0;
    memcpy(p->before, p->c, (size_t)p->c_size * sizeof(float));
    int end = variant >> 4 & 3;
    if (end == 1)
        g->activation = ACTIVATION_RELU;
    if (end == 2) {
        g->gate_ld = g->ldc;
        p->gate = matrix_new(m, n, g->gate_ld, g->ldc >= pad_columns(n), 0);
        g->gate = p->gate;
    }
}

static void product_free(struct product *p)
{
    float *all[] = { p->a, p->b, p->c, p->bias, p->gate, p->before };
    for (size_t i = 0; i < COUNT_OF(all); i++)
        free(all[i]);
}

static float a_at(const struct gemm *g, int64_t i, int64_t p)
{
    return g->a[i * g->a_row + p * g->a_column];
}

static float start_of(const struct product *p, int64_t i, int64_t j)
{
    const struct gemm *g = &p->call;
    return g->accumulate ? p->before[i * g->ldc + j] : g->bias ? g->bias[j] : 0.0f;
}

static void check_near(const struct product *p, const char *level)
{
    const struct gemm *g = &p->call;
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) {
            double sum = start_of(p, i, j), size = fabs(sum);
            for (int64_t q = 0; q < g->k; q++) {
                double product = (double)a_at(g, i, q) * (double)g->b[q * g->ldb + j];
                sum += product;
                size += fabs(product);
            }
            if (g->activation == ACTIVATION_RELU && sum < 0)
                sum = 0;
            if (g->gate && !(g->gate[i * g->gate_ld + j] > 0))
                sum = 0;
            double got = g->c[i * g->ldc + j];
            if (!(fabs(got - sum) <= 4e-6 * size + 1e-30))
                fail_msg("%s: [%d, %d] x [%d, %d], transposed %d, c[%d, %d] is %.9g, expected %.9g", level, (int)g->m, (int)g->k,
                         (int)g->k, (int)g->n, p->transposed, (int)i, (int)j, got, sum);
        }
}

/* With pads, zeros in them; without, nothing written between the rows. */
static void check_pads(const struct product *p)
{
    const struct gemm *g = &p->call;
    for (int64_t i = 0; i < p->c_size; i++)
        if (i % g->ldc >= g->n) {
            if (g->ldc >= pad_columns(g->n) && i % g->ldc < pad_columns(g->n))
                assert_true(p->c[i] == 0.0f);
            else
                assert_true(same_float(p->c[i], p->before[i]));
        }
}

/* A row of A, as it lies, times a column: 16 lanes, folded; then the bias or c. */
static float by_lanes(const struct product *p, int64_t i)
{
    const struct gemm *g = &p->call;
    float lane[16] = { 0 };
    for (int64_t q = 0; q < g->k; q++)
        lane[q % 16] = fmaf(a_at(g, i, q), g->b[q], lane[q % 16]);
    for (int half = 8; half >= 1; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0] + start_of(p, i, 0);
}

static float by_chain(const struct product *p, int64_t i, int64_t j)
{
    const struct gemm *g = &p->call;
    float sum = start_of(p, i, j);
    for (int64_t q = 0; q < g->k; q++)
        sum = fmaf(a_at(g, i, q), g->b[q * g->ldb + j], sum);
    return sum;
}

/* The bits that the header promises, for a sample of the outputs. */
static void check_bits(const struct product *p)
{
    const struct gemm *g = &p->call;
    for (int64_t s = 0; s < 40; s++) {
        int64_t i = random_to(g->m), j = random_to(g->n);
        float sum = g->n == 1 && g->a_column == 1 ? by_lanes(p, i) : by_chain(p, i, j);
        if (g->activation == ACTIVATION_RELU && sum <= 0)
            sum = 0;
        if (g->gate && !(g->gate[i * g->gate_ld + j] > 0))
            sum = 0;
        assert_true(same_float(g->c[i * g->ldc + j], sum));
    }
}

static struct shape_case shape_of(int number)
{
    if (number < (int)COUNT_OF(shapes))
        return shapes[number];
    int64_t limit = number % 8 == 0 ? 150 : 40;
    return (struct shape_case){ 1 + random_to(limit), 1 + random_to(limit), 1 + random_to(limit) };
}

static void test_ragged_shapes(void **state)
{
    (void)state;
    for (int number = 0; number < (int)COUNT_OF(shapes) + RANDOM_SHAPES; number++) {
        struct shape_case shape = shape_of(number);
        for (int round = 0; round < (number < (int)COUNT_OF(shapes) ? 8 : 2); round++) {
            struct product p;
            product_new(&p, shape, (int)(random_word() & 63));
            float *first = NULL; /* what the first fusing level wrote */
            for (int l = 0; l < LEVELS; l++) {
                const struct kernels *kernels = kernel_level(level_names[l]);
                if (!kernels)
                    continue;
                memcpy(p.c, p.before, (size_t)p.c_size * sizeof(float));
                kernels->gemm(&p.call);
                if (!first) /* later levels have its bits */
                    check_near(&p, level_names[l]);
                check_pads(&p);
                if (!level_fuses(kernels))
                    continue;
                check_bits(&p);
                if (!first) {
                    first = malloc((size_t)p.c_size * sizeof(float));
                    assert_non_null(first);
                    memcpy(first, p.c, (size_t)p.c_size * sizeof(float));
                }
                for (int64_t i = 0; i < p.c_size; i++)
                    assert_true(same_float(first[i], p.c[i]));
            }
            free(first);
            product_free(&p);
        }
    }
}

/* The epilogue is the activation of the plain product, then the gate: the same bits as one after the other. */
static void test_epilogues(void **state)
{
    (void)state;
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++)
        for (int round = 0; round < 12; round++) {
            struct shape_case shape = { 1 + random_to(20), 1 + random_to(round % 3 == 0 ? 1 : 40),
                                        1 + random_to(round % 4 == 0 ? 1 : 30) };
            struct product p;
            product_new(&p, shape, (int)(random_word() & 15) | (round % 2 ? 32 : 0));
            p.call.activation = (enum activation)kind;
            float *expected = malloc((size_t)p.c_size * sizeof(float));
            assert_non_null(expected);
            for (int l = 0; l < LEVELS; l++) {
                const struct kernels *kernels = kernel_level(level_names[l]);
                if (!kernels)
                    continue;
                struct gemm plain = p.call;
                plain.activation = ACTIVATION_LINEAR;
                plain.gate = NULL;
                plain.c = expected;
                memcpy(expected, p.before, (size_t)p.c_size * sizeof(float));
                kernels->gemm(&plain);
                kernels->activate(p.call.activation, expected, plain.ldc, expected, plain.ldc, plain.m, plain.n);
                memcpy(p.c, p.before, (size_t)p.c_size * sizeof(float));
                kernels->gemm(&p.call);
                for (int64_t i = 0; i < plain.m; i++)
                    for (int64_t j = 0; j < plain.n; j++) {
                        float *x = &expected[i * plain.ldc + j];
                        if (p.gate && !(p.gate[i * p.call.gate_ld + j] > 0))
                            *x = 0;
                        if (!same_float(*x, p.c[i * plain.ldc + j]))
                            fail_msg("%s: kind %d of [%d, %d, %d] at %d, %d: %.9g, expected %.9g", kernels->level, kind,
                                     (int)plain.m, (int)plain.n, (int)plain.k, (int)i, (int)j, p.c[i * plain.ldc + j], *x);
                    }
                check_pads(&p);
            }
            free(expected);
            product_free(&p);
        }
}

/* A row's bits do not depend on which rows stand beside it: tiles of any size give one result. */
static void test_rows_alone(void **state)
{
    (void)state;
    static const struct shape_case some[] = { { 64, 48, 30 }, { 13, 130, 600 }, { 29, 1, 77 }, { 64, 512, 520 }, { 9, 20, 1 } };
    for (size_t s = 0; s < COUNT_OF(some); s++)
        for (int l = 0; l < LEVELS; l++) {
            const struct kernels *kernels = kernel_level(level_names[l]);
            if (!kernels)
                continue;
            struct product p;
            product_new(&p, some[s], 4);
            kernels->gemm(&p.call);
            float row[512 + PAD];
            for (int64_t i = 0; i < some[s].m; i++) {
                struct gemm one = p.call;
                one.m = 1;
                one.a += i * one.a_row;
                one.c = row;
                kernels->gemm(&one);
                assert_memory_equal(row, p.c + i * p.call.ldc, (size_t)p.call.n * sizeof(float));
            }
            product_free(&p);
        }
}

/* An infinity in A gives no NaN in the pads (infinity times B's zero), and NaN passes ReLU as in TensorFlow. */
static void test_infinities(void **state)
{
    (void)state;
    for (int l = 0; l < LEVELS; l++) {
        const struct kernels *kernels = kernel_level(level_names[l]);
        if (!kernels)
            continue;
        for (int64_t k = 1; k <= 3; k++) {
            float a[2 * 3] = { INFINITY, 1, 2, NAN, 1, 2 }, b[3 * 32] = { 0 }, c[2 * 32];
            for (int64_t p = 0; p < k; p++)
                for (int j = 0; j < 19; j++)
                    b[p * 32 + j] = 1;
            for (int i = 0; i < 64; i++)
                c[i] = 7;
            struct gemm call = { .m = 2,
                                 .n = 19,
                                 .k = k,
                                 .a = a,
                                 .a_row = 3,
                                 .a_column = 1,
                                 .b = b,
                                 .ldb = 32,
                                 .c = c,
                                 .ldc = 32,
                                 .activation = ACTIVATION_RELU };
            kernels->gemm(&call);
            for (int j = 0; j < 32; j++) {
                assert_true(c[j] == (j < 19 ? INFINITY : 0.0f));
                assert_true(j < 19 ? isnan(c[32 + j]) : c[32 + j] == 0.0f);
            }
        }
    }
}

static void test_transpose(void **state)
{
    (void)state;
    for (int number = 0; number < 200; number++) {
        int64_t rows = 1 + random_to(50), cols = 1 + random_to(50), ld = cols + random_to(20);
        int64_t out_ld = number % 3 == 0 ? rows : pad_columns(rows) + (number % 3 == 1 ? 0 : 16);
        bool pads = out_ld >= pad_columns(rows);
        float *in = matrix_new(rows, cols, ld, false, NAN);
        for (int l = 0; l < LEVELS; l++) {
            const struct kernels *kernels = kernel_level(level_names[l]);
            if (!kernels)
                continue;
            float *out = matrix_new(cols, rows, out_ld, pads, NAN);
            kernels->transpose(in, rows, cols, ld, out, out_ld);
            for (int64_t j = 0; j < cols; j++) {
                for (int64_t i = 0; i < rows; i++)
                    assert_true(out[j * out_ld + i] == in[i * ld + j]);
                for (int64_t i = rows; pads && i < pad_columns(rows); i++)
                    assert_true(out[j * out_ld + i] == 0.0f);
            }
            free(out);
        }
        free(in);
    }
}

static void test_levels_here(void **state)
{
    (void)state;
    for (int l = 0; l < LEVELS; l++)
        if (!kernel_level(level_names[l]))
            print_message("# level %s is not here: not tested\n", level_names[l]);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_levels_here), cmocka_unit_test(test_ragged_shapes), cmocka_unit_test(test_rows_alone),
        cmocka_unit_test(test_epilogues),   cmocka_unit_test(test_infinities),    cmocka_unit_test(test_transpose),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
