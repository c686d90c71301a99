/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of LSTM and GRU at every level: against the formulas in doubles, equal bits where multiply-add is fused, ended rows. */
#include "levels.h"

enum { MOST_ROWS = 5, MOST_HIDDEN = 37, WIDTH = 4 * MOST_HIDDEN, SIZE = MOST_ROWS * WIDTH };

/* The memory of one case; `out` is what a step and its gradient write. */
struct memory {
    float gates[SIZE], inner[SIZE], c_before[SIZE], h_before[SIZE], dh[SIZE], dc[SIZE], dreset[SIZE];
    struct {
        float c[SIZE], shown[SIZE], h[SIZE], reset[SIZE], dgates[SIZE], dinner[SIZE], dh[SIZE], dc[SIZE], gates[SIZE];
    } out;
    bool ended[MOST_ROWS];
};

static void randomize(struct memory *m)
{
    float *lists[] = { m->gates, m->inner, m->c_before, m->h_before, m->dh, m->dc, m->dreset };
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        for (int k = 0; k < SIZE; k++)
            lists[i][k] = random_float(-3, 3);
    for (int r = 0; r < MOST_ROWS; r++)
        m->ended[r] = random_to(4) == 0;
    memset(&m->out, 0, sizeof m->out);
}

static double f(enum activation kind, double x)
{
    return kind == ACTIVATION_TANH      ? tanh(x)
           : kind == ACTIVATION_SIGMOID ? 1 / (1 + exp(-x))
           : kind == ACTIVATION_RELU    ? fmax(x, 0)
                                        : x;
}

static double slope(enum activation kind, double y)
{
    return kind == ACTIVATION_TANH ? 1 - y * y : kind == ACTIVATION_SIGMOID ? y * (1 - y) : kind == ACTIVATION_RELU ? y > 0 : 1;
}

static void check(const char *what, float got, double want)
{
    if (!(fabs((double)got - want) <= 4e-6 * fmax(1, fabs(want))))
        fail_msg("%s is %.9g, not %.9g", what, (double)got, want);
}

static void run_lstm(const struct kernels *kernels, struct memory *m, struct lstm_step *s)
{
    memcpy(m->out.gates, m->gates, sizeof m->gates);
    memcpy(m->out.dc, m->dc, sizeof m->dc);
    s->sums = m->out.gates, s->sums_ld = WIDTH, s->gates = m->out.gates, s->gates_ld = WIDTH, s->c_before = m->c_before,
    s->c_before_ld = WIDTH, s->h_before = m->h_before;
    s->h_before_ld = WIDTH, s->c = m->out.c, s->c_ld = WIDTH, s->c_activated = m->out.shown, s->c_activated_ld = WIDTH;
    s->h = m->out.h, s->h_ld = WIDTH;
    kernels->lstm_step(s);
    kernels->lstm_step_gradient(&(struct lstm_step_gradient){ s, m->dh, WIDTH, m->out.dc, WIDTH, m->out.dgates, WIDTH });
}

static void check_lstm(const struct memory *m, const struct lstm_step *s)
{
    const int64_t n = s->hidden, fc = s->keras_order ? n : 2 * n, jc = s->keras_order ? 2 * n : n;
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t u = 0; u < n; u++) {
            const float *in = m->gates + r * WIDTH + u, *d = m->out.dgates + r * WIDTH + u;
            const int64_t at = r * WIDTH + u;
            if (s->ended && s->ended[r]) {
                assert_true(m->out.c[at] == m->c_before[at] && m->out.h[at] == m->h_before[at] && m->out.dc[at] == m->dc[at]);
                assert_true(d[0] == 0 && d[n] == 0 && d[2 * n] == 0 && d[3 * n] == 0);
                continue;
            }
            double i = f(s->recurrent, (double)in[0]), j = f(s->activation, (double)in[jc]);
            double forget = f(s->recurrent, (double)in[fc] + (double)s->forget_bias), o = f(s->recurrent, (double)in[3 * n]);
            double before = (double)m->c_before[at], c = forget * before + i * j, shown = f(s->activation, c),
                   loss = (double)m->dh[at];
            double dc = (double)m->dc[at] + loss * o * slope(s->activation, shown);
            check("c", m->out.c[at], c);
            check("h", m->out.h[at], o * shown);
            check("di", d[0], dc * j * slope(s->recurrent, i));
            check("dj", d[jc], dc * i * slope(s->activation, j));
            check("df", d[fc], dc * before * slope(s->recurrent, forget));
            check("do", d[3 * n], loss * shown * slope(s->recurrent, o));
            check("dc", m->out.dc[at], dc * forget);
        }
}

static void test_lstm(void **state)
{
    (void)state;
    static struct memory m;
    static const enum activation pairs[][2] = { { ACTIVATION_TANH, ACTIVATION_SIGMOID },
                                                { ACTIVATION_RELU, ACTIVATION_SIGMOID },
                                                { ACTIVATION_LINEAR, ACTIVATION_TANH } };
    for (int round = 0; round < 120; round++) {
        struct lstm_step step = { .rows = 1 + random_to(MOST_ROWS),
                                  .hidden = 1 + random_to(MOST_HIDDEN),
                                  .keras_order = round & 1,
                                  .forget_bias = (float)random_to(3) * 0.5f,
                                  .activation = pairs[round % 3][0],
                                  .recurrent = pairs[round % 3][1],
                                  .ended = round & 2 ? m.ended : NULL };
        randomize(&m);
        static float reference[sizeof m.out / sizeof(float)];
        bool have = false;
        for (int l = 0; l < LEVELS; l++) {
            const struct kernels *kernels = kernel_level(level_names[l]);
            if (!kernels)
                continue;
            memset(&m.out, 0, sizeof m.out);
            run_lstm(kernels, &m, &step);
            check_lstm(&m, &step);
            if (!level_fuses(kernels))
                continue;
            if (have)
                assert_memory_equal(reference, &m.out, sizeof m.out);
            memcpy(reference, &m.out, sizeof m.out);
            have = true;
        }
    }
}

static void run_gru(const struct kernels *kernels, struct memory *m, struct gru_step *s)
{
    memcpy(m->out.gates, m->gates, sizeof m->gates);
    memcpy(m->out.dh, m->dh, sizeof m->dh);
    s->gates = m->out.gates, s->gates_ld = WIDTH, s->inner = m->inner, s->inner_ld = WIDTH, s->reset = m->out.reset,
    s->reset_ld = WIDTH;
    s->h_before = m->h_before, s->h_before_ld = WIDTH, s->h = m->out.h, s->h_ld = WIDTH;
    struct gru_step_gradient g = { s, m->out.dh, WIDTH, m->out.dgates, WIDTH, m->out.dinner, WIDTH, m->dreset, WIDTH };
    s->first_half = !s->reset_after;
    kernels->gru_step(s);
    s->first_half = false;
    if (!s->reset_after)
        kernels->gru_step(s);
    s->first_half = !s->reset_after;
    kernels->gru_step_gradient(&g);
    s->first_half = false;
    if (!s->reset_after)
        kernels->gru_step_gradient(&g);
}

static void check_gru(const struct memory *m, const struct gru_step *s)
{
    const int64_t n = s->hidden, zc = s->reset_first ? n : 0, rc = s->reset_first ? 0 : n, gc = 2 * n;
    for (int64_t row = 0; row < s->rows; row++)
        for (int64_t u = 0; u < n; u++) {
            const int64_t at = row * WIDTH + u;
            const float *in = m->gates + at, *inner = m->inner + at, *d = m->out.dgates + at, *e = m->out.dinner + at;
            double before = (double)m->h_before[at], loss = (double)m->dh[at], dreset = (double)m->dreset[at];
            if (s->ended && s->ended[row]) {
                assert_true(m->out.h[at] == m->h_before[at] && m->out.dh[at] == m->dh[at] && d[0] == 0 && d[n] == 0 &&
                            d[gc] == 0);
                continue;
            }
            double z = f(s->recurrent, (double)in[zc] + (double)inner[zc]),
                   r = f(s->recurrent, (double)in[rc] + (double)inner[rc]);
            double g = f(s->activation, (double)in[gc] + (s->reset_after ? r : 1) * (double)inner[gc]);
            double dg = loss * (1 - z) * slope(s->activation, g);
            double dr = (s->reset_after ? dg * (double)inner[gc] : dreset * before) * slope(s->recurrent, r);
            double dz = loss * (before - g) * slope(s->recurrent, z);
            check("h", m->out.h[at], z * before + (1 - z) * g);
            check("dz", d[zc], dz);
            check("dr", d[rc], dr);
            check("dg", d[gc], dg);
            check("dh", m->out.dh[at], loss * z + (s->reset_after ? 0 : dreset * r));
            if (!s->reset_after) {
                check("reset", m->out.reset[at], r * before);
                continue;
            }
            check("inner dz", e[zc], dz);
            check("inner dr", e[rc], dr);
            check("inner dg", e[gc], dg * r);
        }
}

static void test_gru(void **state)
{
    (void)state;
    static struct memory m;
    for (int round = 0; round < 120; round++) {
        struct gru_step step = { .rows = 1 + random_to(MOST_ROWS),
                                 .hidden = 1 + random_to(MOST_HIDDEN),
                                 .reset_first = round & 1,
                                 .reset_after = round & 2,
                                 .activation = round % 3 ? ACTIVATION_TANH : ACTIVATION_RELU,
                                 .recurrent = ACTIVATION_SIGMOID,
                                 .ended = round & 4 ? m.ended : NULL };
        randomize(&m);
        static float reference[sizeof m.out / sizeof(float)];
        bool have = false;
        for (int l = 0; l < LEVELS; l++) {
            const struct kernels *kernels = kernel_level(level_names[l]);
            if (!kernels)
                continue;
            memset(&m.out, 0, sizeof m.out);
            run_gru(kernels, &m, &step);
            check_gru(&m, &step);
            if (!level_fuses(kernels))
                continue;
            if (have)
                assert_memory_equal(reference, &m.out, sizeof m.out);
            memcpy(reference, &m.out, sizeof m.out);
            have = true;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_lstm), cmocka_unit_test(test_gru) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
