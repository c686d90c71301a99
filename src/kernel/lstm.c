/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step of recurrent cells, the part that is element by element; gemm makes the sums before it.
 *
 * A cell's units lie side by side in a row, gate behind gate, so a vector takes some units of one row through the whole
 * formula: every gate is loaded once and nothing but the results is stored. Each element sees the same operations at every
 * width, hence the same bits. The usual pair of activations (tanh, sigmoid) has loops of its own; any other pair goes through
 * a call for each vector.
 */
#include "kernel/functions.h"
#include "kernel/internal.h"

static __attribute__((noinline)) vf any_activation(enum activation kind, vf x)
{
    switch (kind) {
#define KIND(word)                                                                                                               \
    case ACTIVATION_##word:                                                                                                      \
        return vactivation(ACTIVATION_##word, x)
        KIND(RELU);
        KIND(SIGMOID);
        KIND(TANH);
        KIND(ELU);
        KIND(SELU);
        KIND(SOFTSIGN);
        KIND(EXPONENTIAL);
        KIND(HARD_SIGMOID);
        KIND(LEAKY_RELU);
        KIND(RELU6);
#undef KIND
    default:
        return x;
    }
}

/* Which activations a loop is made for. */
struct pair {
    enum activation activation, recurrent;
    bool known;
};

INLINE vf apply(const bool known, const enum activation kind, vf x)
{
    return known ? vactivation(kind, x) : any_activation(kind, x);
}

/* `lanes` units from p on: a whole vector, or the row's rest. */
INLINE vf take(const float *p, const int64_t lanes)
{
    return lanes == VL ? vload(p) : vload_part(p, lanes, 0);
}

INLINE void put(float *p, vf v, const int64_t lanes)
{
    if (lanes == VL)
        vstore(p, v);
    else
        vstore_part(p, v, lanes);
}

/* body(u, lanes) for every vector of a row's units, the whole ones with a constant number of lanes. */
#define EACH_UNIT(hidden, body)                                                                                                  \
    do {                                                                                                                         \
        int64_t u = 0;                                                                                                           \
        for (; u + VL <= (hidden); u += VL)                                                                                      \
            body(u, VL);                                                                                                         \
        if (u < (hidden))                                                                                                        \
            body(u, (hidden)-u);                                                                                                 \
    } while (0)

static void copy_row(const float *from, float *to, int64_t count)
{
    if (from != to)
        memcpy(to, from, (size_t)count * sizeof(float));
}

/* ---- LSTM ---- */

/* Where the gates i, j (Keras: c), f, o stand in a row. */
struct lstm_columns {
    int64_t i, j, f, o;
};

static struct lstm_columns lstm_columns(const struct lstm_step *s)
{
    const int64_t n = s->hidden;
    return s->keras_order ? (struct lstm_columns){ 0, 2 * n, n, 3 * n } : (struct lstm_columns){ 0, n, 2 * n, 3 * n };
}

/* In two goes: what shows c waits for it, and a processor looks ahead no further than one vector's gates. */
INLINE void lstm_rows(const struct lstm_step *s, const struct pair pair)
{
    const struct lstm_columns at = lstm_columns(s);
    for (int64_t r = 0; r < s->rows; r++) {
        float *gates = s->gates + r * s->gates_ld, *c = s->c + r * s->c_ld, *h = s->h + r * s->h_ld;
        const float *sums = s->sums + r * s->sums_ld;
        float *c_activated = s->c_activated + r * s->c_activated_ld;
        const float *c_before = s->c_before + r * s->c_before_ld;
        if (s->ended && s->ended[r]) {
            copy_row(c_before, c, s->hidden);
            copy_row(s->h_before + r * s->h_before_ld, h, s->hidden);
            continue;
        }
#define GATES(u, lanes)                                                                                                          \
    do {                                                                                                                         \
        vf i = apply(pair.known, pair.recurrent, take(sums + at.i + (u), lanes));                                                \
        vf j = apply(pair.known, pair.activation, take(sums + at.j + (u), lanes));                                               \
        vf f = take(sums + at.f + (u), lanes) + vset(s->forget_bias);                                                            \
        vf o = apply(pair.known, pair.recurrent, take(sums + at.o + (u), lanes));                                                \
        f = apply(pair.known, pair.recurrent, f);                                                                                \
        put(gates + at.i + (u), i, lanes);                                                                                       \
        put(gates + at.j + (u), j, lanes);                                                                                       \
        put(gates + at.f + (u), f, lanes);                                                                                       \
        put(gates + at.o + (u), o, lanes);                                                                                       \
        put(c + (u), vfma(i, j, f * take(c_before + (u), lanes)), lanes);                                                        \
    } while (0)
#define SHOWN(u, lanes)                                                                                                          \
    do {                                                                                                                         \
        vf shown = apply(pair.known, pair.activation, take(c + (u), lanes));                                                     \
        put(c_activated + (u), shown, lanes);                                                                                    \
        put(h + (u), take(gates + at.o + (u), lanes) * shown, lanes);                                                            \
    } while (0)
        EACH_UNIT(s->hidden, GATES);
        EACH_UNIT(s->hidden, SHOWN);
#undef GATES
#undef SHOWN
    }
}

/* A switch over kinds inside the loop costs little beside the formula: derivatives are a few operations. */
INLINE void lstm_gradient_rows(const struct lstm_step_gradient *g, const struct pair pair)
{
    const struct lstm_step *s = g->step;
    const struct lstm_columns at = lstm_columns(s);
    for (int64_t r = 0; r < s->rows; r++) {
        const float *gates = s->gates + r * s->gates_ld, *c_before = s->c_before + r * s->c_before_ld;
        const float *c_activated = s->c_activated + r * s->c_activated_ld, *dh = g->dh + r * g->dh_ld;
        float *dc = g->dc + r * g->dc_ld, *dgates = g->dgates + r * g->dgates_ld;
        if (s->ended && s->ended[r]) {
            memset(dgates, 0, (size_t)(4 * s->hidden) * sizeof(float));
            continue;
        }
#define UNITS(u, lanes)                                                                                                          \
    do {                                                                                                                         \
        const vf i = take(gates + at.i + (u), lanes), j = take(gates + at.j + (u), lanes);                                       \
        const vf f = take(gates + at.f + (u), lanes), o = take(gates + at.o + (u), lanes);                                       \
        const vf shown = take(c_activated + (u), lanes), loss = take(dh + (u), lanes);                                           \
        const vf d = take(dc + (u), lanes) + vactivation_gradient(pair.activation, loss * o, shown);                             \
        put(dgates + at.i + (u), vactivation_gradient(pair.recurrent, d * j, i), lanes);                                         \
        put(dgates + at.j + (u), vactivation_gradient(pair.activation, d * i, j), lanes);                                        \
        put(dgates + at.f + (u), vactivation_gradient(pair.recurrent, d * take(c_before + (u), lanes), f), lanes);               \
        put(dgates + at.o + (u), vactivation_gradient(pair.recurrent, loss * shown, o), lanes);                                  \
        put(dc + (u), d * f, lanes);                                                                                             \
    } while (0)
        EACH_UNIT(s->hidden, UNITS);
#undef UNITS
    }
}

static bool is_usual(enum activation activation, enum activation recurrent)
{
    return activation == ACTIVATION_TANH && recurrent == ACTIVATION_SIGMOID;
}
#define USUAL ((struct pair){ ACTIVATION_TANH, ACTIVATION_SIGMOID, true })
#define OTHER(s) ((struct pair){ (s)->activation, (s)->recurrent, false })

static void lstm_step(const struct lstm_step *s)
{
    if (is_usual(s->activation, s->recurrent))
        lstm_rows(s, USUAL);
    else
        lstm_rows(s, OTHER(s));
}

static void lstm_step_gradient(const struct lstm_step_gradient *g)
{
    if (is_usual(g->step->activation, g->step->recurrent))
        lstm_gradient_rows(g, USUAL);
    else
        lstm_gradient_rows(g, OTHER(g->step));
}

/* ---- GRU ---- */

struct gru_columns {
    int64_t z, r, g;
};

static struct gru_columns gru_columns(const struct gru_step *s)
{
    const int64_t n = s->hidden;
    return s->reset_first ? (struct gru_columns){ n, 0, 2 * n } : (struct gru_columns){ 0, n, 2 * n };
}

/* z, r and reset = r h; the sums are gates + inner. */
INLINE void gru_gates(const struct gru_step *s, const struct pair pair)
{
    const struct gru_columns at = gru_columns(s);
    for (int64_t row = 0; row < s->rows; row++) {
        float *gates = s->gates + row * s->gates_ld, *reset = s->reset + row * s->reset_ld;
        const float *h = s->h_before + row * s->h_before_ld, *inner = s->inner + row * s->inner_ld;
#define UNITS(u, lanes)                                                                                                          \
    do {                                                                                                                         \
        vf z = take(gates + at.z + (u), lanes) + take(inner + at.z + (u), lanes);                                                \
        vf r = take(gates + at.r + (u), lanes) + take(inner + at.r + (u), lanes);                                                \
        r = apply(pair.known, pair.recurrent, r);                                                                                \
        put(gates + at.z + (u), apply(pair.known, pair.recurrent, z), lanes);                                                    \
        put(gates + at.r + (u), r, lanes);                                                                                       \
        put(reset + (u), r * take(h + (u), lanes), lanes);                                                                       \
    } while (0)
        EACH_UNIT(s->hidden, UNITS);
#undef UNITS
    }
}

/* g and h'; with reset_after z and r too. */
INLINE void gru_rows(const struct gru_step *s, const struct pair pair, const bool reset_after)
{
    const struct gru_columns at = gru_columns(s);
    for (int64_t row = 0; row < s->rows; row++) {
        float *gates = s->gates + row * s->gates_ld, *h = s->h + row * s->h_ld;
        const float *h_before = s->h_before + row * s->h_before_ld, *inner = s->inner + row * s->inner_ld;
        if (s->ended && s->ended[row]) {
            copy_row(h_before, h, s->hidden);
            continue;
        }
#define UNITS(u, lanes)                                                                                                          \
    do {                                                                                                                         \
        vf z = take(gates + at.z + (u), lanes), g = take(gates + at.g + (u), lanes);                                             \
        if (reset_after) {                                                                                                       \
            vf r = take(gates + at.r + (u), lanes) + take(inner + at.r + (u), lanes);                                            \
            r = apply(pair.known, pair.recurrent, r);                                                                            \
            z = apply(pair.known, pair.recurrent, z + take(inner + at.z + (u), lanes));                                          \
            g = vfma(r, take(inner + at.g + (u), lanes), g);                                                                     \
            put(gates + at.z + (u), z, lanes);                                                                                   \
            put(gates + at.r + (u), r, lanes);                                                                                   \
        } else {                                                                                                                 \
            g += take(inner + at.g + (u), lanes);                                                                                \
        }                                                                                                                        \
        g = apply(pair.known, pair.activation, g);                                                                               \
        put(gates + at.g + (u), g, lanes);                                                                                       \
        put(h + (u), vfma(z, take(h_before + (u), lanes), (vset(1.0f) - z) * g), lanes);                                         \
    } while (0)
        EACH_UNIT(s->hidden, UNITS);
#undef UNITS
    }
}

INLINE void gru_any(const struct gru_step *s, const struct pair pair)
{
    if (s->reset_after)
        gru_rows(s, pair, true);
    else if (s->first_half)
        gru_gates(s, pair);
    else
        gru_rows(s, pair, false);
}

static void gru_step(const struct gru_step *s)
{
    if (is_usual(s->activation, s->recurrent))
        gru_any(s, USUAL);
    else
        gru_any(s, OTHER(s));
}

/* dz, dg and dh's direct part; with reset_after all of it. */
INLINE void gru_gradient_rows(const struct gru_step_gradient *c, const struct pair pair, const bool reset_after)
{
    const struct gru_step *s = c->step;
    const struct gru_columns at = gru_columns(s);
    const size_t row_bytes = (size_t)(3 * s->hidden) * sizeof(float);
    for (int64_t row = 0; row < s->rows; row++) {
        const float *gates = s->gates + row * s->gates_ld, *h_before = s->h_before + row * s->h_before_ld;
        const float *inner = reset_after ? s->inner + row * s->inner_ld : gates;
        float *dh = c->dh + row * c->dh_ld, *dgates = c->dgates + row * c->dgates_ld;
        float *dinner = reset_after ? c->dinner + row * c->dinner_ld : dgates;
        if (s->ended && s->ended[row]) {
            memset(dgates, 0, row_bytes);
            if (reset_after)
                memset(dinner, 0, row_bytes);
            continue;
        }
#define UNITS(u, lanes)                                                                                                          \
    do {                                                                                                                         \
        const vf z = take(gates + at.z + (u), lanes), r = take(gates + at.r + (u), lanes);                                       \
        const vf g = take(gates + at.g + (u), lanes), loss = take(dh + (u), lanes);                                              \
        const vf dz = vactivation_gradient(pair.recurrent, loss * (take(h_before + (u), lanes) - g), z);                         \
        const vf dg = vactivation_gradient(pair.activation, loss * (vset(1.0f) - z), g);                                         \
        put(dgates + at.z + (u), dz, lanes);                                                                                     \
        put(dgates + at.g + (u), dg, lanes);                                                                                     \
        put(dh + (u), loss * z, lanes);                                                                                          \
        if (reset_after) {                                                                                                       \
            const vf dr = vactivation_gradient(pair.recurrent, dg * take(inner + at.g + (u), lanes), r);                         \
            put(dgates + at.r + (u), dr, lanes);                                                                                 \
            put(dinner + at.z + (u), dz, lanes);                                                                                 \
            put(dinner + at.r + (u), dr, lanes);                                                                                 \
            put(dinner + at.g + (u), dg * r, lanes);                                                                             \
        }                                                                                                                        \
    } while (0)
        EACH_UNIT(s->hidden, UNITS);
#undef UNITS
    }
}

/* dr, and what reaches h through r h. */
INLINE void gru_reset_rows(const struct gru_step_gradient *c, const struct pair pair)
{
    const struct gru_step *s = c->step;
    const struct gru_columns at = gru_columns(s);
    for (int64_t row = 0; row < s->rows; row++) {
        const float *gates = s->gates + row * s->gates_ld, *h_before = s->h_before + row * s->h_before_ld;
        const float *dreset = c->dreset + row * c->dreset_ld;
        float *dh = c->dh + row * c->dh_ld, *dgates = c->dgates + row * c->dgates_ld;
        if (s->ended && s->ended[row])
            continue; /* the first half wrote zeros */
#define UNITS(u, lanes)                                                                                                          \
    do {                                                                                                                         \
        const vf r = take(gates + at.r + (u), lanes), d = take(dreset + (u), lanes);                                             \
        put(dgates + at.r + (u), vactivation_gradient(pair.recurrent, d * take(h_before + (u), lanes), r), lanes);               \
        put(dh + (u), vfma(d, r, take(dh + (u), lanes)), lanes);                                                                 \
    } while (0)
        EACH_UNIT(s->hidden, UNITS);
#undef UNITS
    }
}

INLINE void gru_gradient_any(const struct gru_step_gradient *c, const struct pair pair)
{
    if (c->step->reset_after)
        gru_gradient_rows(c, pair, true);
    else if (c->step->first_half)
        gru_gradient_rows(c, pair, false);
    else
        gru_reset_rows(c, pair);
}

static void gru_step_gradient(const struct gru_step_gradient *c)
{
    if (is_usual(c->step->activation, c->step->recurrent))
        gru_gradient_any(c, USUAL);
    else
        gru_gradient_any(c, OTHER(c->step));
}

KERNEL_FILL(lstm)
{
    kernels->lstm_step = lstm_step;
    kernels->lstm_step_gradient = lstm_step_gradient;
    kernels->gru_step = gru_step;
    kernels->gru_step_gradient = gru_step_gradient;
}
