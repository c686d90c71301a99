/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic and sums of every level. Whatever the header says about order is computed here step by step and must agree as
 * bits: sums over 16 lanes and their fold, rows in order. Only what has a fused multiply-add is left out where there is none.
 */
#include "levels.h"

static float apply(enum binary kind, float a, float b)
{
    switch (kind) {
    case BINARY_ADD:
        return a + b;
    case BINARY_SUB:
        return a - b;
    case BINARY_MUL:
        return a * b;
    case BINARY_DIV:
        return a / b;
    case BINARY_MAX:
        return isnan(a) || isnan(b) ? NAN : a > b ? a : b;
    default:
        return isnan(a) || isnan(b) ? NAN : a < b ? a : b;
    }
}

static void test_binary(void **state)
{
    (void)state;
    for (int round = 0; round < 600; round++) {
        enum binary kind = (enum binary)(round % BINARY_COUNT);
        int64_t rows = 1 + random_to(40), cols = round % 5 == 0 ? 1 : 1 + random_to(70);
        int64_t lda = round % 7 == 1 ? 0 : cols + random_to(3), ldb = round % 7 == 2 ? 0 : cols + random_to(3);
        int64_t ldo = cols + random_to(3);
        if (round % 11 == 0)
            lda = ldb = ldo = cols;
        float *a = matrix_new(lda ? rows : 1, cols, MAX(lda, cols), false, NAN);
        float *b = matrix_new(ldb ? rows : 1, cols, MAX(ldb, cols), false, NAN);
        a[0] = round % 13 == 0 ? NAN : a[0];
        b[cols - 1] = round % 13 == 1 ? NAN : round % 13 == 2 ? 0.0f : b[cols - 1];
        for (int l = 0; l < LEVELS; l++) {
            const struct kernels *kernels = kernel_level(level_names[l]);
            if (!kernels)
                continue;
            float *out = matrix_new(rows, cols, ldo, false, 77);
            kernels->binary(kind, a, lda, b, ldb, out, ldo, rows, cols);
            for (int64_t i = 0; i < (rows - 1) * ldo + cols; i++) {
                int64_t r = i / ldo, c = i % ldo;
                float expected = c < cols ? apply(kind, a[r * lda + c], b[r * ldb + c]) : 77;
                if (!same_float(out[i], expected))
                    fail_msg("%s: op %d of [%d, %d] at %d, %d: %.9g, expected %.9g", kernels->level, kind, (int)rows, (int)cols,
                             (int)r, (int)c, out[i], expected);
            }
            free(out);
        }
        free(a);
        free(b);
    }
}

/* out may be one of the operands. */
static void test_binary_in_place(void **state)
{
    (void)state;
    for (int l = 0; l < LEVELS; l++) {
        const struct kernels *kernels = kernel_level(level_names[l]);
        for (int64_t cols = 1; kernels && cols < 40; cols++) {
            float *a = matrix_new(3, cols, cols, false, 0), *b = matrix_new(1, cols, cols, false, 0);
            float *expected = matrix_new(3, cols, cols, false, 0);
            kernels->binary(BINARY_SUB, a, cols, b, 0, expected, cols, 3, cols);
            kernels->binary(BINARY_SUB, a, cols, b, 0, a, cols, 3, cols);
            assert_memory_equal(a, expected, (size_t)(3 * cols) * sizeof(float));
            free(a);
            free(b);
            free(expected);
        }
    }
}

static float lanes_dot(int64_t n, const float *x, const float *y)
{
    float lane[16] = { 0 };
    for (int64_t i = 0; i < n; i++)
        lane[i % 16] = fmaf(x[i], y[i], lane[i % 16]);
    for (int half = 8; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

static double lanes_sum(int64_t n, const float *x)
{
    double lane[16] = { 0 };
    for (int64_t i = 0; i < n; i++)
        lane[i % 16] += x[i];
    for (int half = 8; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

/* Magnitudes so far apart that doubles round, and the order of additions shows. */
static void spread(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = ldexpf(x[i], (int)random_to(80) - 40);
}

static void check_vectors(const struct kernels *kernels, int64_t n)
{
    float *x = matrix_new(1, n, n, false, 0), *y = matrix_new(1, n, n, false, 0);
    assert_true(kernels->sum(n, x) == lanes_sum(n, x));
    double exact = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        exact += (double)x[i] * y[i];
        size += fabs((double)x[i] * y[i]);
    }
    float dot = kernels->dot(n, x, y);
    assert_true(fabs(dot - exact) <= 1e-6 * size);
    if (level_fuses(kernels))
        assert_true(same_float(dot, lanes_dot(n, x, y)));
    float *z = malloc((size_t)n * sizeof(float));
    assert_non_null(z);
    memcpy(z, y, (size_t)n * sizeof(float));
    kernels->axpy(n, -1.3f, x, z);
    for (int64_t i = 0; i < n; i++) {
        assert_true(fabs(z[i] - ((double)-1.3f * x[i] + y[i])) <= 3e-7);
        if (level_fuses(kernels))
            assert_true(same_float(z[i], fmaf(-1.3f, x[i], y[i])));
    }
    spread(x, n);
    assert_true(kernels->sum(n, x) == lanes_sum(n, x));
    free(x);
    free(y);
    free(z);
}

static void test_vectors(void **state)
{
    (void)state;
    for (int l = 0; l < LEVELS; l++) {
        const struct kernels *kernels = kernel_level(level_names[l]);
        if (!kernels)
            continue;
        for (int64_t n = 1; n <= 130; n++)
            check_vectors(kernels, n);
        check_vectors(kernels, 10007);
        assert_true(kernels->sum(0, NULL) == 0 && kernels->dot(0, NULL, NULL) == 0);
    }
}

/* A sum that floats would lose: doubles keep it. */
static void test_sum_is_double(void **state)
{
    (void)state;
    float x[33];
    for (int i = 0; i < 33; i++)
        x[i] = i == 0 ? 1e9f : 1.0f;
    for (int l = 0; l < LEVELS; l++)
        if (kernel_level(level_names[l]))
            assert_true(kernel_level(level_names[l])->sum(33, x) == 1e9 + 32);
}

static void check_columns(const struct kernels *kernels, int64_t rows, int64_t cols)
{
    const int64_t ld = cols + random_to(4);
    float *x = matrix_new(rows, cols, ld, false, NAN);
    spread(x, (rows - 1) * ld + cols);
    double *total = malloc((size_t)cols * sizeof(double)), *square = malloc((size_t)cols * sizeof(double));
    float *bias = malloc((size_t)cols * sizeof(float));
    assert_true(total && square && bias);
    for (int64_t c = 0; c < cols; c++) {
        total[c] = (double)c / 3;
        square[c] = 1;
        bias[c] = 0.1f * (float)c;
    }
    kernels->column_sums(x, ld, rows, cols, total, square);
    kernels->bias_gradient(x, ld, rows, cols, bias);
    for (int64_t c = 0; c < cols; c++) {
        double sum = (double)c / 3, squares = 1;
        float floats = 0.1f * (float)c;
        for (int64_t r = 0; r < rows; r++) {
            sum += x[r * ld + c];
            squares += (double)x[r * ld + c] * x[r * ld + c];
            floats += x[r * ld + c];
        }
        assert_true(total[c] == sum);
        assert_true(square[c] == squares);
        assert_true(same_float(bias[c], floats));
        total[c] = 0;
    }
    kernels->column_sums(x, ld, rows, cols, total, NULL);
    for (int64_t c = 0; c < cols; c++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++)
            sum += x[r * ld + c];
        assert_true(total[c] == sum);
    }
    free(x);
    free(total);
    free(square);
    free(bias);
}

static void test_columns(void **state)
{
    (void)state;
    for (int l = 0; l < LEVELS; l++) {
        const struct kernels *kernels = kernel_level(level_names[l]);
        for (int64_t cols = 1; kernels && cols <= 150; cols++)
            check_columns(kernels, 1 + random_to(30), cols);
    }
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_binary),        cmocka_unit_test(test_binary_in_place), cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_sum_is_double), cmocka_unit_test(test_columns),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
