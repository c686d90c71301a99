/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM layers with a row in each lane, at every level: step by step the bits of gemm and lstm_step, forward and back, for any number
 * of rows; the kernels' gradients against sums in doubles, equal bits where multiply-add is fused.
 */
#include "levels.h"

enum {
    MOST_ROWS = 70,
    MOST_TIME = 5,
    MOST_FEATURES = 6,
    UNITS = LANES_MOST_HIDDEN,
    COLUMNS = 4 * UNITS,
    LD = (COLUMNS + PAD - 1) / PAD * PAD
};

/* What both ways start from, a row after the other: [rows][...] of the most. */
struct start {
    float kernel[(MOST_FEATURES + UNITS) * LD], bias[LD], transposed[LD * PAD];
    float x[MOST_TIME][MOST_ROWS][MOST_FEATURES], h[MOST_ROWS][UNITS], c[MOST_ROWS][UNITS];
    float dout[MOST_TIME][MOST_ROWS][UNITS], dh[MOST_ROWS][PAD], dc[MOST_ROWS][UNITS];
};
/* What a layer gives, by rows. */
struct result {
    float h[MOST_TIME + 1][MOST_ROWS][UNITS], c[MOST_TIME + 1][MOST_ROWS][UNITS], dgates[MOST_TIME][MOST_ROWS][LD];
    float dh[MOST_ROWS][UNITS], dc[MOST_ROWS][UNITS], dx[MOST_TIME][MOST_ROWS][MOST_FEATURES];
    float sums[(MOST_FEATURES + UNITS + 1) * LD];
};

static void randomize(float *values, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        values[i] = random_float(-1, 1);
}

static void make_start(struct start *start, const struct lstm_lanes *s)
{
    randomize((float *)start, sizeof *start);
    for (int64_t k = 0; k < MOST_FEATURES + UNITS; k++) /* pads */
        for (int64_t n = 4 * s->hidden; n < LD; n++)
            start->kernel[k * LD + n] = 0;
    for (int64_t n = 4 * s->hidden; n < LD; n++)
        start->bias[n] = 0;
}

/* ---- step by step, as rnn.c does it ---- */

static void by_steps(const struct kernels *kernels, const struct lstm_lanes *s, struct start *start, struct result *out)
{
    static float gates[MOST_TIME][MOST_ROWS][LD], shown[MOST_TIME][MOST_ROWS][UNITS], joined[MOST_ROWS][MOST_FEATURES + UNITS];
    static float dh[MOST_ROWS][PAD];
    const int64_t f = s->features, n = s->hidden, wide = MOST_FEATURES + UNITS;
    struct lstm_step steps[MOST_TIME];
    memcpy(out->h[0], start->h, sizeof start->h);
    memcpy(out->c[0], start->c, sizeof start->c);
    for (int64_t t = 0; t < s->time; t++) {
        for (int64_t r = 0; r < s->rows; r++) {
            memcpy(joined[r], start->x[s->backwards ? s->time - 1 - t : t][r], (size_t)f * sizeof(float));
            memcpy(joined[r] + f, out->h[t][r], (size_t)n * sizeof(float));
        }
        kernels->gemm(&(struct gemm){ .m = s->rows,
                                      .n = 4 * n,
                                      .k = f + n,
                                      .a = joined[0],
                                      .a_row = wide,
                                      .a_column = 1,
                                      .b = start->kernel,
                                      .ldb = LD,
                                      .c = gates[t][0],
                                      .ldc = LD,
                                      .bias = s->bias ? start->bias : NULL });
        steps[t] = (struct lstm_step){ .rows = s->rows,
                                       .hidden = n,
                                       .activation = ACTIVATION_TANH,
                                       .recurrent = ACTIVATION_SIGMOID,
                                       .keras_order = s->keras_order,
                                       .forget_bias = s->forget_bias,
                                       .sums = gates[t][0],
                                       .sums_ld = LD,
                                       .gates = gates[t][0],
                                       .gates_ld = LD,
                                       .c_before = out->c[t][0],
                                       .c_before_ld = UNITS,
                                       .h_before = out->h[t][0],
                                       .h_before_ld = UNITS,
                                       .c = out->c[t + 1][0],
                                       .c_ld = UNITS,
                                       .c_activated = shown[t][0],
                                       .c_activated_ld = UNITS,
                                       .h = out->h[t + 1][0],
                                       .h_ld = UNITS };
        kernels->lstm_step(&steps[t]);
    }
    memcpy(dh, start->dh, sizeof dh);
    memcpy(out->dc, start->dc, sizeof out->dc);
    kernels->transpose(start->kernel + f * LD, n, 4 * n, LD, start->transposed, PAD);
    for (int64_t t = s->time - 1; t >= 0; t--) {
        for (int64_t r = 0; r < s->rows; r++)
            for (int64_t u = 0; u < n; u++)
                dh[r][u] += start->dout[t][r][u];
        kernels->lstm_step_gradient(
            &(struct lstm_step_gradient){ &steps[t], dh[0], PAD, out->dc[0], UNITS, out->dgates[t][0], LD });
        kernels->gemm(&(struct gemm){ .m = s->rows,
                                      .n = n,
                                      .k = 4 * n,
                                      .a = out->dgates[t][0],
                                      .a_row = LD,
                                      .a_column = 1,
                                      .b = start->transposed,
                                      .ldb = PAD,
                                      .c = dh[0],
                                      .ldc = PAD });
    }
    for (int64_t r = 0; r < s->rows; r++)
        memcpy(out->dh[r], dh[r], (size_t)n * sizeof(float));
}

/* ---- in lanes ---- */

/* An array of exactly that size, so that the address sanitizer sees a step too far. */
static float *lanes_new(int64_t floats)
{
    float *data = malloc((size_t)(floats + LANES_SLACK) * sizeof(float));
    assert_non_null(data);
    for (int64_t i = 0; i < floats + LANES_SLACK; i++)
        data[i] = NAN;
    return data;
}

static void spread(const float *from, int64_t ld, int64_t rows, int64_t count, float *to)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < count; i++)
            to[i * rows + r] = from[r * ld + i];
}

static void gather(const float *from, int64_t rows, int64_t count, float *to, int64_t ld)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < count; i++)
            to[r * ld + i] = from[i * rows + r];
}

static void in_lanes(const struct kernels *kernels, struct lstm_lanes s, const struct start *start, struct result *out)
{
    const int64_t rows = s.rows, f = s.features, n = s.hidden, order[4] = { 0, s.keras_order ? 2 : 1, s.keras_order ? 1 : 2, 3 };
    float *x = lanes_new(s.time * f * rows), *dout = lanes_new(s.time * n * rows);
    struct lstm_lanes_gradient back = { .layer = &s,
                                        .dout = dout,
                                        .dh = lanes_new(n * rows),
                                        .dc = lanes_new(n * rows),
                                        .dgates = lanes_new(s.time * 4 * n * rows),
                                        .dx = lanes_new(s.time * f * rows) };
    s.h = lanes_new((s.time + 1) * n * rows);
    s.c = lanes_new((s.time + 1) * n * rows);
    s.gates = lanes_new(s.time * 4 * n * rows);
    s.shown = lanes_new(s.time * n * rows);
    s.x = x;
    spread(start->h[0], UNITS, rows, n, s.h);
    spread(start->c[0], UNITS, rows, n, s.c);
    spread(start->dh[0], PAD, rows, n, back.dh);
    spread(start->dc[0], UNITS, rows, n, back.dc);
    for (int64_t t = 0; t < s.time; t++) {
        spread(start->x[t][0], MOST_FEATURES, rows, f, x + t * f * rows);
        spread(start->dout[t][0], UNITS, rows, n, dout + t * n * rows);
    }
    s.keep = true;
    kernels->lstm_lanes(&s);
    kernels->lstm_lanes_gradient(&back);
    for (int64_t t = 0; t <= s.time; t++) {
        gather(s.h + t * n * rows, rows, n, out->h[t][0], UNITS);
        gather(s.c + t * n * rows, rows, n, out->c[t][0], UNITS);
    }
    for (int64_t t = 0; t < s.time; t++) {
        gather(back.dx + t * f * rows, rows, f, out->dx[t][0], MOST_FEATURES);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t u = 0; u < 4 * n; u++)
                out->dgates[t][r][order[u % 4] * n + u / 4] = back.dgates[((s.time - 1 - t) * 4 * n + u) * rows + r];
    }
    gather(back.dh, rows, n, out->dh[0], UNITS);
    gather(back.dc, rows, n, out->dc[0], UNITS);
    for (int pass = 0; pass < 2; pass++) /* written, then added to */
        kernels->lstm_lanes_sums(&(struct lstm_lanes_sums){ &s, back.dgates, 0, f + n + 1, out->sums, LD, pass });
    float *kept = lanes_new((s.time + 1) * n * rows); /* keeping nothing: the same states */
    memcpy(kept, s.h, (size_t)((s.time + 1) * n * rows) * sizeof(float));
    s.keep = false;
    kernels->lstm_lanes(&s);
    assert_memory_equal(kept, s.h, (size_t)((s.time + 1) * n * rows) * sizeof(float));
    float *const all[] = { x, dout, back.dh, back.dc, back.dgates, back.dx, s.h, s.c, s.gates, s.shown, kept };
    for (size_t i = 0; i < COUNT_OF(all); i++)
        free(all[i]);
}

/* ---- comparing ---- */

static void close_to(const char *what, float got, double want)
{
    if (!(fabs((double)got - want) <= 2e-5 * fmax(1, fabs(want))))
        fail_msg("%s is %.9g, not %.9g", what, (double)got, want);
}

static void check_states(const struct lstm_lanes *s, const struct result *got, const struct result *want, bool bits)
{
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t u = 0; u < s->hidden; u++) {
            for (int64_t t = 0; t <= s->time; t++) {
                close_to("h", got->h[t][r][u], (double)want->h[t][r][u]);
                close_to("c", got->c[t][r][u], (double)want->c[t][r][u]);
                assert_true(!bits || same_float(got->h[t][r][u], want->h[t][r][u]));
            }
            for (int64_t t = 0; t < s->time; t++)
                for (int g = 0; g < 4; g++) {
                    close_to("dgates", got->dgates[t][r][g * s->hidden + u], (double)want->dgates[t][r][g * s->hidden + u]);
                    assert_true(!bits || same_float(got->dgates[t][r][g * s->hidden + u], want->dgates[t][r][g * s->hidden + u]));
                }
            close_to("dh", got->dh[r][u], (double)want->dh[r][u]);
            close_to("dc", got->dc[r][u], (double)want->dc[r][u]);
        }
}

/* dx, and the kernels' gradients, in doubles from the result's own dgates and states. */
static void check_products(const struct lstm_lanes *s, const struct start *start, const struct result *got)
{
    const int64_t f = s->features, n = s->hidden;
    for (int64_t column = 0; column < 4 * n; column++)
        for (int64_t k = 0; k <= f + n; k++) {
            double sum = 0;
            for (int64_t t = 0; t < s->time; t++)
                for (int64_t r = 0; r < s->rows; r++) {
                    double a = k == f + n ? 1
                               : k < f    ? (double)start->x[s->backwards ? s->time - 1 - t : t][r][k]
                                          : (double)got->h[t][r][k - f];
                    sum += a * (double)got->dgates[t][r][column];
                }
            close_to("a kernel's gradient", got->sums[k * LD + column], 2 * sum);
        }
    for (int64_t t = 0; t < s->time; t++)
        for (int64_t r = 0; r < s->rows; r++)
            for (int64_t k = 0; k < f; k++) {
                double sum = 0;
                for (int64_t column = 0; column < 4 * n; column++)
                    sum += (double)got->dgates[t][r][column] * (double)start->kernel[k * LD + column];
                close_to("dx", got->dx[s->backwards ? s->time - 1 - t : t][r][k], sum);
            }
}

static void layers(void **state)
{
    (void)state;
    static struct start start;
    static struct result steps, got, first;
    static const int64_t rows[] = { 1, 2, 7, 8, 9, 15, 16, 17, 20, 24, 25, 31, 32, 33, 47, 64, MOST_ROWS };
    for (int round = 0; round < 8 * (int)COUNT_OF(rows); round++) {
        struct lstm_lanes s = { .rows = rows[round % (int)COUNT_OF(rows)],
                                .time = 1 + random_to(MOST_TIME),
                                .features = 1 + random_to(MOST_FEATURES),
                                .hidden = 1 + random_to(UNITS),
                                .keras_order = round & 1,
                                .backwards = round % 3 == 0,
                                .forget_bias = round % 4 ? 1 : 0,
                                .kernel = start.kernel,
                                .kernel_ld = LD,
                                .recurrent_ld = LD,
                                .bias = round % 5 ? start.bias : NULL };
        s.recurrent = start.kernel + s.features * LD;
        make_start(&start, &s);
        bool have = false;
        for (int l = 0; l < LEVELS; l++) {
            const struct kernels *kernels = kernel_level(level_names[l]);
            if (!kernels)
                continue;
            memset(&got, 0, sizeof got);
            by_steps(kernels, &s, &start, &steps);
            in_lanes(kernels, s, &start, &got);
            check_states(&s, &got, &steps, level_fuses(kernels));
            check_products(&s, &start, &got);
            if (!level_fuses(kernels))
                continue;
            if (have)
                assert_memory_equal(&first, &got, sizeof got);
            first = got;
            have = true;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(layers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
