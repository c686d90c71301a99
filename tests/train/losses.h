/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of losses share. A loss is made by a function of one type, so that tables can list them: of labels, values and
 * weights (NULL: none). It is tried against its formula in doubles, gradients and all levels included; run on columns of
 * numbers against TensorFlow's figures; and given what it must refuse.
 */
#ifndef PILASTER_TESTS_TRAIN_LOSSES_H
#define PILASTER_TESTS_TRAIN_LOSSES_H

#include "op/harness.h"

#include "pilaster/loss.h"
#include "train/train.h"

#include "kernel/golden.h"

enum { MOST = 512 };
typedef struct pil_tensor *build(struct pil_graph *graph, struct pil_tensor *labels, struct pil_tensor *values,
                                 struct pil_tensor *weights, pil_reduction reduction);
/* A loss by an expression of g, labels l, values v, weights w and reduction r. */
#define LOSS(name, expression)                                                                                                   \
    static struct pil_tensor *name(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,        \
                                   pil_reduction r)                                                                              \
    {                                                                                                                            \
        (void)l;                                                                                                                 \
        (void)v;                                                                                                                 \
        (void)w;                                                                                                                 \
        (void)r;                                                                                                                 \
        return expression;                                                                                                       \
    }

/* ---- against formulas ---------------------------------------------------------------------------------------- */

/* What is tried: labels are input 0, values 1, weights 2. */
struct loss_case {
    build *make;
    double (*element)(double label, double value); /* NULL: over classes */
    pil_reduction reduction;
    double smoothing; /* of softmax */
    bool sparse;
};

static inline void compose(const struct trial *trial, struct pil_graph *graph, struct pil_tensor *const *inputs,
                           struct pil_tensor **results)
{
    const struct loss_case *c = trial->args;
    results[0] = c->make(graph, inputs[0], inputs[1], trial->input_count > 2 ? inputs[2] : NULL, c->reduction);
}

static inline double over_classes(const struct loss_case *c, int64_t loss, const double *labels, const double *logits, int64_t n)
{
    double sum = 0, out = 0;
    for (int64_t k = 0; k < n; k++)
        sum += exp(logits[loss * n + k]);
    if (c->sparse)
        return log(sum) - logits[loss * n + (int64_t)labels[loss]];
    for (int64_t k = 0; k < n; k++)
        out += (labels[loss * n + k] * (1 - c->smoothing) + c->smoothing / (double)n) * (log(sum) - logits[loss * n + k]);
    return out;
}

/* The weight of a loss: axes are aligned, those of 1 stand for all. */
static inline double weight_of(const struct trial *trial, int64_t rows, int64_t loss, int64_t losses, const double *weights)
{
    if (trial->input_count < 3)
        return 1;
    struct shape shape = trial->inputs[2].shape;
    int64_t columns = losses / rows, own_columns = width(shape);
    int64_t row = has_rows(shape) ? loss / columns : 0;
    return weights[row * own_columns + (own_columns > 1 ? loss % columns : 0)];
}

static inline void reference(const struct trial *trial, int64_t rows, double *const *x, double *const *y)
{
    const struct loss_case *c = trial->args;
    struct shape shape = trial->inputs[1].shape;
    int64_t n = c->element ? 1 : shape.dims[shape.rank - 1], losses = elements(shape, rows) / n;
    double sum = 0, total = 0, nonzero = 0;
    for (int64_t i = 0; i < losses; i++) {
        double loss = c->element ? c->element(x[0][i], x[1][i]) : over_classes(c, i, x[0], x[1], n);
        double weight = weight_of(trial, rows, i, losses, x[2]);
        if (c->reduction == PIL_REDUCTION_NONE)
            y[0][i] = weight * loss;
        sum += weight * loss;
        total += weight;
        nonzero += weight != 0;
    }
    double divisors[] = { 0, 1, (double)losses, nonzero, total };
    if (c->reduction != PIL_REDUCTION_NONE)
        y[0][0] = divisors[c->reduction] != 0 ? sum / divisors[c->reduction] : 0;
}

static inline void try_loss(const struct loss_case *c, struct input labels, struct input values, const struct input *weights,
                            struct shape out)
{
    bool rows = out.rank > 0;
    struct trial trial = { .op = "a loss",
                           .args = c,
                           .inputs = { labels, values },
                           .input_count = weights ? 3 : 2,
                           .outputs = { out },
                           .extent = rows ? EXTENT_ROWS : EXTENT_BATCH,
                           .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                           .reference = reference,
                           .compose = compose,
                           .tolerance = 4e-6 };
    if (weights)
        trial.inputs[2] = *weights;
    try_op(&trial);
}

static const struct shape scalar = { 0, { 0 } };

/* Each of a list by its formula: each loss for itself, then, where it is reduced, averaged. */
struct formula {
    build *make;
    double (*element)(double label, double value);
    double low, high; /* of values */
    bool only_losses;
};
static inline void try_formulas(const struct formula *list, size_t count)
{
    static const struct shape shapes[] = { { 2, { BATCH_DIM, 3 } }, { 1, { BATCH_DIM } }, { 3, { BATCH_DIM, 2, 2 } } };
    for (size_t i = 0; i < count; i++)
        for (size_t s = 0; s < COUNT_OF(shapes); s++) {
            struct loss_case c = { .make = list[i].make, .element = list[i].element };
            struct input labels = { .shape = shapes[s], .low = 0, .high = 1 };
            struct input values = { .shape = shapes[s], .low = list[i].low, .high = list[i].high };
            try_loss(&c, labels, values, NULL, shapes[s]);
            c.reduction = PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS;
            if (!list[i].only_losses)
                try_loss(&c, labels, values, NULL, scalar);
        }
}

/* ---- against TensorFlow -------------------------------------------------------------------------------------- */

/* Rows of numbers; columns 0: of shape [batch]. NULL values: there is none. */
struct numbers {
    const float *values;
    int64_t columns;
};

static inline double run_loss(build *make, struct numbers labels, struct numbers values, struct numbers weights, int64_t rows,
                              pil_reduction reduction)
{
    pil_status status = { 0 };
    struct pil_graph *graph = graph_new(&status);
    const struct numbers in[] = { labels, values, weights };
    static const char *const names[] = { "labels", "values", "weights" };
    struct op_value bound[3] = { 0 };
    struct pil_tensor *inputs[3] = { NULL };
    for (int i = 0; i < 3; i++) {
        struct shape shape = in[i].columns ? SHAPE(BATCH_DIM, in[i].columns) : SHAPE(BATCH_DIM);
        if (!in[i].values)
            continue;
        inputs[i] = graph_input(graph, names[i], DTYPE_FLOAT32, shape, false);
        assert_true(tensor_new(&bound[i].tensor, DTYPE_FLOAT32, shape_with_batch(shape, rows), true, &status));
        tensor_unpack(in[i].values, &bound[i].tensor);
    }
    struct pil_tensor *loss = make(graph, inputs[0], inputs[1], inputs[2], reduction);
    assert_ok(*graph_status(graph));
    struct plan *plan = plan_compile(graph, &loss, 1, &status);
    struct threads *threads = threads_new(2, &status);
    struct session *session = session_new(plan, threads, kernel_get(), 1, &status);
    assert_ok(status);
    for (int i = 0; i < 3; i++)
        if (in[i].values)
            session_input(session, names[i], &bound[i]);
    session_run(session, rows, 0, NULL, 0, &status);
    assert_ok(status);
    double result = session_scalar(session, 0);
    session_free(session);
    threads_free(threads);
    plan_free(plan);
    graph_free(graph);
    for (int i = 0; i < 3; i++)
        tensor_free(&bound[i].tensor);
    return result;
}

static inline void near(const char *name, double got, double want)
{
    if (!(fabs(got - want) <= 2e-6 * fmax(fabs(want), 0.1)))
        fail_msg("%s: got %.9g, TensorFlow says %.9g", name, got, want);
}

static inline int64_t golden_floats(const struct json_value *map, const char *key, float *out)
{
    struct json_value list = golden_get(map, key);
    assert_true(list.count <= MOST && json_floats(&list, out));
    return (int64_t)list.count;
}

/* Losses of losses_metrics.json, which are of columns of numbers, as [batch, 1] and as [batch]. */
struct figure {
    const char *name;
    build *make;
    const char *labels, *values; /* in the file */
};
static inline void try_figures(const struct figure *figures, size_t figure_count)
{
    struct golden golden;
    struct json_value item, list;
    int count = 0;
    static float labels[MOST], values[MOST], weights[MOST];
    assert_true(golden_open(&golden, "tests/golden/losses_metrics.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item);) {
        if (!slice_is(golden_get(&item, "kind").text, "losses"))
            continue;
        bool weighted = json_get(&item, "weights", &list) && list.kind == JSON_LIST && json_floats(&list, weights);
        for (size_t i = 0; i < figure_count; i++, count++) {
            struct json_value wants = golden_get(&item, "values");
            int64_t n = golden_floats(&item, figures[i].labels, labels);
            assert_int_equal(golden_floats(&item, figures[i].values, values), n);
            for (int columns = 0; columns < 2; columns++)
                near(figures[i].name,
                     run_loss(figures[i].make, (struct numbers){ labels, columns }, (struct numbers){ values, columns },
                              (struct numbers){ weighted ? weights : NULL, columns }, n, PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS),
                     golden_get(&wants, figures[i].name).number);
        }
    }
    golden_close(&golden);
    assert_int_equal(count, 2 * figure_count);
}

/* Losses of losses_more.json, whose keys are "name/reduction/weights": every one that it has of that name. `half` weighs by a
 * scalar of 0.5. */
struct more_figure {
    const char *name;
    build *make, *half;
    const char *labels, *values;
};
static inline void try_more_figures(const struct more_figure *figures, size_t figure_count, int expected)
{
    static const char *const reductions[] = { [PIL_REDUCTION_SUM] = "sum",
                                              [PIL_REDUCTION_SUM_OVER_BATCH_SIZE] = "sum_over_batch_size",
                                              [PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS] = "sum_by_nonzero_weights",
                                              [PIL_REDUCTION_MEAN] = "mean" };
    static float labels[MOST], values[MOST], by_row[MOST], each[MOST];
    struct golden golden;
    struct json_value want;
    int count = 0;
    assert_true(golden_open(&golden, "tests/golden/losses_more.json"));
    struct json_value lists = golden_get(&golden.root, "weights"), wants = golden_get(&golden.root, "values");
    int64_t rows = golden_floats(&lists, "rows", by_row), columns = golden_floats(&lists, "each", each) / rows;
    for (size_t i = 0; i < figure_count; i++) {
        int64_t n = golden_floats(&golden.root, figures[i].labels, labels);
        assert_int_equal(golden_floats(&golden.root, figures[i].values, values), rows * columns);
        for (size_t r = PIL_REDUCTION_SUM; r < COUNT_OF(reductions); r++) {
            const struct {
                const char *name;
                build *make;
                struct numbers weights;
            } forms[] = { { "none", figures[i].make, { NULL, 0 } },
                          { "scalar", figures[i].half, { NULL, 0 } },
                          { "rows", figures[i].make, { by_row, 1 } },
                          { "each", figures[i].make, { each, columns } } };
            for (size_t f = 0; f < COUNT_OF(forms); f++) {
                char key[128];
                snprintf(key, sizeof key, "%s/%s/%s", figures[i].name, reductions[r], forms[f].name);
                if (!forms[f].make || !json_get(&wants, key, &want))
                    continue;
                near(key,
                     run_loss(forms[f].make, (struct numbers){ labels, n == rows ? 0 : columns },
                              (struct numbers){ values, columns }, forms[f].weights, rows, (pil_reduction)r),
                     want.number);
                count++;
            }
        }
    }
    golden_close(&golden);
    assert_int_equal(count, expected);
}

/* ---- mistakes ------------------------------------------------------------------------------------------------ */

enum given { NONE, FLAT, ONE, THREE, FIVE, IDS };
struct loss_refusal {
    build *make;
    enum given labels, values, weights;
    pil_reduction reduction;
    const char *say;
};
/* Within a scope "head"; the first error stays, and builders go on. */
static inline void refuse_losses(const struct loss_refusal *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pil_status status = { 0 };
        struct pil_graph *g = graph_new(&status);
        struct pil_tensor *inputs[] = { [NONE] = NULL,
                                        [FLAT] = graph_input(g, "flat", DTYPE_FLOAT32, SHAPE(BATCH_DIM), false),
                                        [ONE] = graph_input(g, "one", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false),
                                        [THREE] = graph_input(g, "three", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3), false),
                                        [FIVE] = graph_input(g, "five", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 5), false),
                                        [IDS] = graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true) };
        graph_push_scope(g, "head");
        struct pil_tensor *loss =
            list[i].make(g, inputs[list[i].labels], inputs[list[i].values], inputs[list[i].weights], list[i].reduction);
        assert_ptr_equal(loss, graph_error_tensor(g));
        if (!strstr(graph_status(g)->message, list[i].say))
            fail_msg("case %d: %s", (int)i, graph_status(g)->message);
        pil_status first = *graph_status(g);
        assert_ptr_equal(list[i].make(g, loss, inputs[ONE], NULL, PIL_REDUCTION_SUM), loss);
        assert_ptr_equal(list[i].make(g, NULL, NULL, loss, PIL_REDUCTION_NONE), loss);
        assert_string_equal(graph_status(g)->message, first.message);
        graph_free(g);
    }
}

#endif
