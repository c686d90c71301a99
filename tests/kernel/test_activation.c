/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activation functions of every level: within so many ulp of the C library's doubles, on all magnitudes; equal bits at every
 * level that fuses; limits and NaN; ragged rows.
 */
#include "levels.h"

static const char *const kind_name[ACTIVATION_COUNT] = { "linear", "relu",         "sigmoid",    "tanh",        "elu",
                                                         "selu",   "softplus",     "softsign",   "exponential", "gelu",
                                                         "swish",  "hard_sigmoid", "leaky_relu", "relu6",       "mish" };

static double normal_below(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double value(enum activation kind, double x)
{
    const double scale = 1.0507009873554805, alpha = 1.6732632423543772;
    switch (kind) {
    case ACTIVATION_RELU:
        return x > 0 ? x : 0;
    case ACTIVATION_SIGMOID:
        return sigmoid(x);
    case ACTIVATION_TANH:
        return tanh(x);
    case ACTIVATION_ELU:
        return x > 0 ? x : expm1(x);
    case ACTIVATION_SELU:
        return scale * (x > 0 ? x : alpha * expm1(x));
    case ACTIVATION_SOFTPLUS:
        return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    case ACTIVATION_SOFTSIGN:
        return x / (1 + fabs(x));
    case ACTIVATION_EXPONENTIAL:
        return exp(x);
    case ACTIVATION_GELU:
        return x * normal_below(x);
    case ACTIVATION_SWISH:
        return x * sigmoid(x);
    case ACTIVATION_HARD_SIGMOID:
        return fmin(1, fmax(0, 0.2 * x + 0.5));
    case ACTIVATION_LEAKY_RELU:
        return x > 0 ? x : 0.2f * x;
    case ACTIVATION_RELU6:
        return fmin(6, fmax(0, x));
    case ACTIVATION_MISH:
        return x * tanh(x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)));
    default:
        return x;
    }
}

static double derivative(enum activation kind, double x)
{
    const double scale = 1.0507009873554805, alpha = 1.6732632423543772;
    double s = sigmoid(x), t = tanh(x);
    switch (kind) {
    case ACTIVATION_RELU:
        return x > 0;
    case ACTIVATION_SIGMOID:
        return s * (1 - s);
    case ACTIVATION_TANH:
        return 1 - t * t;
    case ACTIVATION_ELU:
        return x < 0 ? exp(x) : 1;
    case ACTIVATION_SELU:
        return x < 0 ? scale * alpha * exp(x) : scale;
    case ACTIVATION_SOFTPLUS:
        return s;
    case ACTIVATION_SOFTSIGN:
        return 1 / ((1 + fabs(x)) * (1 + fabs(x)));
    case ACTIVATION_EXPONENTIAL:
        return exp(x);
    case ACTIVATION_GELU:
        return normal_below(x) + x * exp(-0.5 * x * x) / sqrt(2 * M_PI);
    case ACTIVATION_SWISH:
        return s * (1 + x * (1 - s));
    case ACTIVATION_HARD_SIGMOID:
        return x > -2.5 && x < 2.5 ? 0.2 : 0;
    case ACTIVATION_LEAKY_RELU:
        return x > 0 ? 1 : 0.2;
    case ACTIVATION_RELU6:
        return x > 0 && x < 6;
    case ACTIVATION_MISH:
        t = tanh(x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)));
        return t + x * s * (1 - t) * (1 + t);
    default:
        return 1;
    }
}

/* Units in the last place of a float near x, at least those of the smallest normal one. */
static double ulp(double x)
{
    int exponent;
    frexp(x, &exponent);
    return ldexp(1, MAX(exponent, -125) - 24);
}

/* Largest errors allowed, in ulp; measured ones are in functions.h, a level without fma has a little more. Where a tail is
 * a product with a number below the normal range, only its digits count: see `floor_of`. */
static double allowed(enum activation kind, bool fuses)
{
    switch (kind) {
    case ACTIVATION_EXPONENTIAL:
        return 0.85;
    case ACTIVATION_TANH:
        return 1.5;
    case ACTIVATION_SIGMOID:
        return 2.5;
    case ACTIVATION_GELU:
        return fuses ? 8 : 80;
    case ACTIVATION_ELU:
    case ACTIVATION_SELU:
    case ACTIVATION_SOFTPLUS:
        return 2.2;
    case ACTIVATION_SWISH:
    case ACTIVATION_MISH:
        return 4;
    case ACTIVATION_SOFTSIGN:
        return 1.5;
    case ACTIVATION_HARD_SIGMOID: /* rounded twice, before and after 0.5 is added */
        return 40;
    default:
        return 1;
    }
}

static double floor_of(enum activation kind)
{
    return kind == ACTIVATION_GELU || kind == ACTIVATION_SWISH || kind == ACTIVATION_MISH ? 1e-35
           : kind == ACTIVATION_HARD_SIGMOID                                              ? 6e-8
                                                                                          : 0;
}

/* Both signs, all magnitudes, denser where functions bend. */
enum { SAMPLES = 60000 };
static float samples[SAMPLES];

static int make_samples(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        uint32_t bits = random_word();
        float x;
        memcpy(&x, &bits, sizeof(x));
        if (i % 4 == 1)
            x = random_float(-110, 110);
        if (i % 4 == 2)
            x = random_float(-2, 2);
        if (i % 4 == 3)
            x = random_float(-16, 16);
        samples[i] = isnan(x) ? 0.0f : x;
    }
    return 0;
}

static void check_value(const struct kernels *kernels, enum activation kind, float x, float y)
{
    double expected = value(kind, x);
    if (isinf((float)expected) || isinf(x)) {
        if (fabs(expected) < 3.4e38 || isinf(expected))
            assert_true(y == (float)expected || isnan(expected) || (isinf(x) && isnan(y)));
        return;
    }
    double tolerance = allowed(kind, level_fuses(kernels)) * ulp(expected) + floor_of(kind);
    if (!(fabs(y - expected) <= tolerance))
        fail_msg("%s: %s(%.9g) is %.9g, expected %.9g: %.2f ulp", kernels->level, kind_name[kind], x, y, expected,
                 fabs(y - expected) / ulp(expected));
}

static void test_values(void **state)
{
    (void)state;
    static float first[SAMPLES], y[SAMPLES];
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++) {
        bool have_first = false;
        for (int l = 0; l < LEVELS; l++) {
            const struct kernels *kernels = kernel_level(level_names[l]);
            if (!kernels)
                continue;
            kernels->activate((enum activation)kind, samples, SAMPLES, y, SAMPLES, 1, SAMPLES);
            for (int i = 0; i < SAMPLES; i++)
                check_value(kernels, (enum activation)kind, samples[i], y[i]);
            if (!level_fuses(kernels))
                continue;
            for (int i = 0; have_first && i < SAMPLES; i++)
                assert_true(same_float(first[i], y[i]));
            memcpy(first, y, sizeof(first));
            have_first = true;
        }
    }
}

static void test_gradients(void **state)
{
    (void)state;
    static float first[SAMPLES], y[SAMPLES], dx[SAMPLES], dy[SAMPLES], x[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        dy[i] = random_float(-3, 3);
        x[i] = fabsf(samples[i]) < 80 ? samples[i] : 1;
        if (fabsf(fabsf(x[i]) - 2.5f) < 1e-5f || fabsf(x[i] - 6) < 1e-5f) /* at a kink, y cannot tell the side */
            x[i] = 1;
    }
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++) {
        bool have_first = false;
        for (int l = 0; l < LEVELS; l++) {
            const struct kernels *kernels = kernel_level(level_names[l]);
            if (!kernels)
                continue;
            kernels->activate((enum activation)kind, x, SAMPLES, y, SAMPLES, 1, SAMPLES);
            memcpy(dx, dy, sizeof(dx)); /* in place */
            kernels->activate_gradient((enum activation)kind, dx, SAMPLES, y, SAMPLES, x, SAMPLES, dx, SAMPLES, 1, SAMPLES);
            for (int i = 0; i < SAMPLES; i++) {
                double slope = derivative((enum activation)kind, x[i]), expected = dy[i] * slope;
                if (!(fabs(dx[i] - expected) <= 5e-7 * (1 + fabs(slope)) * fabs(dy[i]) + 1e-37))
                    fail_msg("%s: the gradient of %s at %.9g is %.9g, expected %.9g", kernels->level, kind_name[kind], x[i],
                             dx[i], expected);
            }
            if (!level_fuses(kernels))
                continue;
            for (int i = 0; have_first && i < SAMPLES; i++)
                assert_true(same_float(first[i], dx[i]));
            memcpy(first, dx, sizeof(first));
            have_first = true;
        }
    }
}

/* NaN in, NaN out, for every function and at every place of a vector. The gradient of a ReLU at NaN is 0 as in TensorFlow. */
static void test_nan(void **state)
{
    (void)state;
    for (int l = 0; l < LEVELS; l++) {
        const struct kernels *kernels = kernel_level(level_names[l]);
        if (!kernels)
            continue;
        for (int kind = 0; kind < ACTIVATION_COUNT; kind++)
            for (int n = 1; n <= 33; n += 4) {
                float x[33], y[33];
                for (int i = 0; i < n; i++)
                    x[i] = i == n - 1 ? NAN : 0.5f;
                kernels->activate((enum activation)kind, x, n, y, n, 1, n);
                for (int i = 0; i < n; i++)
                    assert_true(isnan(y[i]) == (i == n - 1));
            }
        float one = 1, nothing = NAN, got = 7;
        kernels->activate_gradient(ACTIVATION_RELU, &one, 1, &nothing, 1, NULL, 0, &got, 1, 1, 1);
        assert_true(got == 0);
        float from[5] = { NAN, -1, 0, INFINITY, 1 }, to[5];
        kernels->log(from, to, 5);
        assert_true(isnan(to[0]) && isnan(to[1]) && to[2] == -INFINITY && to[3] == INFINITY && to[4] == 0);
        kernels->exp(from, to, 5);
        assert_true(isnan(to[0]) && to[3] == INFINITY && to[2] == 1);
    }
}

static void test_limits(void **state)
{
    (void)state;
    static const struct {
        enum activation kind;
        float x, y;
    } limits[] = {
        { ACTIVATION_SIGMOID, INFINITY, 1 },
        { ACTIVATION_SIGMOID, -INFINITY, 0 },
        { ACTIVATION_SIGMOID, 0, 0.5f },
        { ACTIVATION_TANH, INFINITY, 1 },
        { ACTIVATION_TANH, -INFINITY, -1 },
        { ACTIVATION_TANH, 0, 0 },
        { ACTIVATION_TANH, 1e-30f, 1e-30f },
        { ACTIVATION_ELU, -INFINITY, -1 },
        { ACTIVATION_SOFTPLUS, INFINITY, INFINITY },
        { ACTIVATION_SOFTPLUS, -INFINITY, 0 },
        { ACTIVATION_GELU, INFINITY, INFINITY },
        { ACTIVATION_GELU, 0, 0 },
        { ACTIVATION_EXPONENTIAL, 0, 1 },
        { ACTIVATION_EXPONENTIAL, -200, 0 },
        { ACTIVATION_EXPONENTIAL, 200, INFINITY },
        { ACTIVATION_RELU6, INFINITY, 6 },
        { ACTIVATION_HARD_SIGMOID, 0, 0.5f },
        { ACTIVATION_HARD_SIGMOID, -INFINITY, 0 },
    };
    for (int l = 0; l < LEVELS; l++) {
        const struct kernels *kernels = kernel_level(level_names[l]);
        for (size_t i = 0; kernels && i < COUNT_OF(limits); i++) {
            float y;
            kernels->activate(limits[i].kind, &limits[i].x, 1, &y, 1, 1, 1);
            if (y != limits[i].y)
                fail_msg("%s: %s(%g) is %.9g", kernels->level, kind_name[limits[i].kind], limits[i].x, y);
        }
    }
}

/* Rows with gaps: each cell as if alone, nothing written between rows; in place the same. */
static void test_ragged(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        int64_t rows = 1 + random_to(9), cols = 1 + random_to(50), ldx = cols + random_to(4), ldy = cols + random_to(4);
        enum activation kind = (enum activation)random_to(ACTIVATION_COUNT);
        for (int l = 0; l < LEVELS; l++) {
            const struct kernels *kernels = kernel_level(level_names[l]);
            if (!kernels)
                continue;
            float *x = matrix_new(rows, cols, ldx, false, NAN), *y = matrix_new(rows, cols, ldy, false, 77);
            kernels->activate(kind, x, ldx, y, ldy, rows, cols);
            kernels->activate(kind, x, ldx, x, ldx, rows, cols);
            for (int64_t i = 0; i < (rows - 1) * ldy + cols; i++)
                if (i % ldy >= cols)
                    assert_true(y[i] == 77);
                else
                    assert_true(same_float(y[i], x[i / ldy * ldx + i % ldy]));
            free(x);
            free(y);
        }
    }
}

/* exp and log over contiguous values, against the C library. */
static void test_exp_log(void **state)
{
    (void)state;
    static float x[SAMPLES], y[SAMPLES], first[SAMPLES];
    for (int i = 0; i < SAMPLES; i++)
        x[i] = isinf(samples[i]) ? 1 : fabsf(samples[i]);
    bool have_first = false;
    for (int l = 0; l < LEVELS; l++) {
        const struct kernels *kernels = kernel_level(level_names[l]);
        if (!kernels)
            continue;
        kernels->log(x, y, SAMPLES - 3);
        for (int i = 0; i < SAMPLES - 3; i++) {
            double expected = log(x[i]);
            if (!(fabs(y[i] - expected) <= ulp(expected) || x[i] == 0))
                fail_msg("%s: log(%.9g) is %.9g, expected %.9g", kernels->level, x[i], y[i], expected);
        }
        for (int i = 0; have_first && level_fuses(kernels) && i < SAMPLES - 3; i++)
            assert_true(same_float(first[i], y[i]));
        if (level_fuses(kernels)) {
            memcpy(first, y, sizeof(y));
            have_first = true;
        }
        float one = -1.5f, e;
        kernels->exp(&one, &e, 1);
        assert_true(fabs(e - exp(-1.5)) < 1e-7);
    }
}

static void check_softmax_row(const struct kernels *kernels, const float *x, const float *y, int64_t cols, bool logarithm)
{
    float most = -INFINITY; /* the differences are floats, as in TensorFlow */
    double sum = 0;
    for (int64_t c = 0; c < cols; c++)
        most = fmaxf(most, x[c]);
    for (int64_t c = 0; c < cols; c++)
        sum += exp(x[c] - most);
    for (int64_t c = 0; c < cols; c++) {
        double expected = logarithm ? x[c] - most - log(sum) : exp(x[c] - most) / sum;
        if (!(fabs(y[c] - expected) <= 6e-7 * fabs(expected) + 2e-7 * (logarithm ? 1 : 0) + 1e-38))
            fail_msg("%s: softmax of %d columns: %.9g, expected %.9g", kernels->level, (int)cols, y[c], expected);
    }
}

static void test_softmax(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        int64_t rows = 1 + random_to(5), cols = round % 10 == 0 ? 1 + random_to(400) : 1 + random_to(40);
        int64_t ldx = cols + random_to(4), ldy = cols + random_to(4);
        bool logarithm = round % 2;
        float *x = matrix_new(rows, cols, ldx, false, NAN), *first = NULL;
        for (int64_t i = 0; i < (rows - 1) * ldx + cols; i++)
            x[i] *= 20;
        for (int l = 0; l < LEVELS; l++) {
            const struct kernels *kernels = kernel_level(level_names[l]);
            if (!kernels)
                continue;
            float *y = matrix_new(rows, cols, ldy, false, 77);
            kernels->softmax(x, ldx, y, ldy, rows, cols, logarithm);
            for (int64_t r = 0; r < rows; r++)
                check_softmax_row(kernels, x + r * ldx, y + r * ldy, cols, logarithm);
            for (int64_t i = 0; i < (rows - 1) * ldy + cols; i++) {
                assert_true(i % ldy < cols || y[i] == 77);
                if (first && level_fuses(kernels))
                    assert_true(same_float(first[i], y[i]));
            }
            if (level_fuses(kernels) && !first)
                first = y;
            else
                free(y);
        }
        free(first);
        free(x);
    }
}

static void test_softmax_infinities(void **state)
{
    (void)state;
    for (int l = 0; l < LEVELS; l++) {
        const struct kernels *kernels = kernel_level(level_names[l]);
        if (!kernels)
            continue;
        float x[3] = { 1, -INFINITY, 1 }, y[3], bad[3] = { 1, NAN, 2 };
        kernels->softmax(x, 3, y, 3, 1, 3, false);
        assert_true(y[0] == 0.5f && y[1] == 0 && y[2] == 0.5f);
        kernels->softmax(bad, 3, y, 3, 1, 3, false);
        assert_true(isnan(y[0]) && isnan(y[1]) && isnan(y[2]));
    }
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_values),  cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_nan),     cmocka_unit_test(test_limits),
        cmocka_unit_test(test_ragged),  cmocka_unit_test(test_exp_log),
        cmocka_unit_test(test_softmax), cmocka_unit_test(test_softmax_infinities),
    };
    return cmocka_run_group_tests(all, make_samples, NULL);
}
