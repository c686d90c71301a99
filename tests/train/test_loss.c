/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses: each against its formula in doubles, with gradients, at every level; every reduction with every form of weights;
 * TensorFlow's figures; mistakes. A loss is made by a function of one type, so that tables can list them.
 */
#include "op/harness.h"

#include "pilaster/loss.h"
#include "train/train.h"

#include "kernel/golden.h"

enum { MOST = 512 };

/* The reduced loss of values [rows, columns] with weights [rows, weight_columns], 0: none. */
static double reduce(const float *values, int64_t rows, int64_t columns, const float *weights, int64_t weight_columns,
                     enum loss_reduction reduction)
{
    pil_status status = { 0 };
    struct pil_graph *graph = graph_new(&status);
    struct pil_tensor *losses = graph_input(graph, "losses", DTYPE_FLOAT32, SHAPE(BATCH_DIM, columns), false), *w = NULL;
    if (weight_columns)
        w = graph_input(graph, "weights", DTYPE_FLOAT32, SHAPE(BATCH_DIM, weight_columns), false);
    struct pil_tensor *loss = loss_reduce(graph, losses, w, reduction);
    assert_int_equal(loss->type.dtype, DTYPE_FLOAT32);
    assert_int_equal(loss->type.shape.rank, 0);
    struct plan *plan = plan_compile(graph, &loss, 1, &status);
    struct threads *threads = threads_new(1, &status);
    struct session *session = session_new(plan, threads, kernel_get(), 1, &status);
    struct op_value value = { 0 }, weight = { 0 };
    assert_true(tensor_new(&value.tensor, DTYPE_FLOAT32, SHAPE(rows, columns), true, &status));
    tensor_unpack(values, &value.tensor);
    session_input(session, "losses", &value);
    if (weight_columns) {
        assert_true(tensor_new(&weight.tensor, DTYPE_FLOAT32, SHAPE(rows, weight_columns), true, &status));
        tensor_unpack(weights, &weight.tensor);
        session_input(session, "weights", &weight);
    }
    if (!session_run(session, rows, 0, NULL, 0, &status))
        fail_msg("%s", status.message);
    double result = session_scalar(session, 0);
    session_free(session);
    threads_free(threads);
    plan_free(plan);
    graph_free(graph);
    tensor_free(&value.tensor);
    tensor_free(&weight.tensor);
    return result;
}

static void definitions(void **state)
{
    (void)state;
    enum { ROWS = 150, COLUMNS = 3 };
    float values[ROWS * COLUMNS], weights[ROWS * COLUMNS], row_weights[ROWS], zeros[ROWS] = { 0 }, cancelling[ROWS];
    struct random_key key = random_key(1, "loss");
    double sum = 0, row_sum = 0, plain = 0, total = 0, row_total = 0, nonzero = 0, row_nonzero = 0;
    random_fill_uniform(key, values, 0, ROWS * COLUMNS, 0, 3);
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        weights[i] = i % 4 == 0 ? 0 : random_uniform(key, 1, (uint64_t)i) * 2;
        if (i % COLUMNS == 0)
            row_weights[i / COLUMNS] = i % 5 == 0 ? 0 : random_uniform(key, 2, (uint64_t)i);
        cancelling[i / COLUMNS] = i / COLUMNS % 2 ? -1 : 1;
        double row_weight = row_weights[i / COLUMNS];
        plain += values[i];
        sum += (double)values[i] * (double)weights[i];
        row_sum += (double)values[i] * row_weight;
        total += weights[i];
        row_total += row_weight;
        nonzero += weights[i] != 0;
        row_nonzero += row_weight != 0;
    }
    const struct {
        enum loss_reduction reduction;
        const float *weights;
        int64_t weight_columns;
        double want;
    } cases[] = {
        { REDUCTION_SUM_OVER_BATCH_SIZE, NULL, 0, plain / (ROWS * COLUMNS) },
        { REDUCTION_SUM_OVER_BATCH_SIZE, weights, COLUMNS, sum / (ROWS * COLUMNS) }, /* whatever the weights are */
        { REDUCTION_SUM_OVER_BATCH_SIZE, row_weights, 1, row_sum / (ROWS * COLUMNS) },
        { REDUCTION_SUM, NULL, 0, plain },
        { REDUCTION_SUM, row_weights, 1, row_sum },
        { REDUCTION_NONZERO_WEIGHTS, NULL, 0, plain / (ROWS * COLUMNS) },
        { REDUCTION_NONZERO_WEIGHTS, weights, COLUMNS, sum / nonzero },
        { REDUCTION_NONZERO_WEIGHTS, row_weights, 1, row_sum / row_nonzero },
        { REDUCTION_NONZERO_WEIGHTS, zeros, 1, 0 },
        { REDUCTION_MEAN, NULL, 0, plain / (ROWS * COLUMNS) },
        { REDUCTION_MEAN, weights, COLUMNS, sum / total },
        { REDUCTION_MEAN, row_weights, 1, row_sum / row_total },
        { REDUCTION_MEAN, zeros, 1, 0 },
        { REDUCTION_MEAN, cancelling, 1, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double got = reduce(values, ROWS, COLUMNS, cases[i].weights, cases[i].weight_columns, cases[i].reduction);
        if (!(fabs(got - cases[i].want) <= 1e-6 * fabs(cases[i].want)))
            fail_msg("case %d: %.9g, want %.9g", (int)i, got, cases[i].want);
    }
}

/* ---- the public losses, with gradients at every level -------------------------------------------------------- */

typedef struct pil_tensor *build(struct pil_graph *graph, struct pil_tensor *labels, struct pil_tensor *values,
                                 struct pil_tensor *weights, pil_reduction reduction);

static struct pil_tensor *squares(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                  pil_reduction r)
{
    return pil_mean_squared_error(g, l, v, .weights = w, .reduction = r);
}
static struct pil_tensor *distances(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                    pil_reduction r)
{
    return pil_absolute_difference(g, l, v, .weights = w, .reduction = r);
}
static struct pil_tensor *huber(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                pil_reduction r)
{
    return pil_huber_loss(g, l, v, .weights = w, .reduction = r);
}
static struct pil_tensor *wide_huber(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                     pil_reduction r)
{
    return pil_huber_loss(g, l, v, .weights = w, .delta = 1.5f, .reduction = r);
}
static struct pil_tensor *logs(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                               pil_reduction r)
{
    return pil_log_loss(g, l, v, .weights = w, .reduction = r);
}
static struct pil_tensor *hinge(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                pil_reduction r)
{
    return pil_hinge_loss(g, l, v, .weights = w, .reduction = r);
}
static struct pil_tensor *sigmoids(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                   pil_reduction r)
{
    return pil_sigmoid_cross_entropy(g, l, v, .weights = w, .reduction = r);
}
static struct pil_tensor *smooth_sigmoids(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                          pil_reduction r)
{
    return pil_sigmoid_cross_entropy(g, l, v, .weights = w, .label_smoothing = 0.25f, .reduction = r);
}
static struct pil_tensor *softmaxes(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                    pil_reduction r)
{
    return pil_softmax_cross_entropy(g, l, v, .weights = w, .reduction = r);
}
static struct pil_tensor *smooth_softmaxes(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                           pil_reduction r)
{
    return pil_softmax_cross_entropy(g, l, v, .weights = w, .label_smoothing = 0.25f, .reduction = r);
}
static struct pil_tensor *classes(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                  pil_reduction r)
{
    return pil_sparse_softmax_cross_entropy(g, l, v, .weights = w, .reduction = r);
}
static struct pil_tensor *own(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                              pil_reduction r)
{
    return pil_compute_weighted_loss(g, graph_op2(g, "mul", NULL, l, v), .weights = w, .reduction = r);
}
static struct pil_tensor *nn_sigmoids(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                      pil_reduction r)
{
    (void)w;
    (void)r;
    return pil_sigmoid_cross_entropy_with_logits(g, l, v);
}
static struct pil_tensor *nn_weighted(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                      pil_reduction r)
{
    (void)w;
    (void)r;
    return pil_weighted_cross_entropy_with_logits(g, l, v, 3);
}
static struct pil_tensor *nn_softmaxes(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                       pil_reduction r)
{
    (void)w;
    (void)r;
    return pil_softmax_cross_entropy_with_logits(g, l, v);
}
static struct pil_tensor *nn_classes(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                     pil_reduction r)
{
    (void)w;
    (void)r;
    return pil_sparse_softmax_cross_entropy_with_logits(g, l, v);
}
static struct pil_tensor *half_squares(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                       pil_reduction r)
{
    (void)w;
    (void)r;
    return pil_l2_loss(g, graph_op2(g, "mul", NULL, l, v));
}

static struct pil_tensor *cosines(struct pil_graph *g, struct pil_tensor *l, struct pil_tensor *v, struct pil_tensor *w,
                                  pil_reduction r)
{
    return pil_cosine_distance(g, l, v, -1, .weights = w, .reduction = r);
}

static double square_of(double z, double p)
{
    return (p - z) * (p - z);
}
static double distance_of(double z, double p)
{
    return fabs(p - z);
}
static double huber_of(double z, double p)
{
    double e = fabs(p - z);
    return e <= 1 ? e * e / 2 : e - 0.5;
}
static double wide_huber_of(double z, double p)
{
    double e = fabs(p - z);
    return e <= 1.5 ? e * e / 2 : 1.5 * e - 1.125;
}
static double log_of(double z, double p)
{
    return -z * log(p + 1e-7) - (1 - z) * log(1 - p + 1e-7);
}
static double hinge_of(double z, double x)
{
    return fmax(0, 1 - (2 * z - 1) * x);
}
static double sigmoid_of(double z, double x)
{
    return log1p(exp(-fabs(x))) + fmax(x, 0) - x * z;
}
static double smooth_sigmoid_of(double z, double x)
{
    return sigmoid_of(z * 0.75 + 0.125, x);
}
static double weighted_of(double z, double x)
{
    return -3 * z * log(1 / (1 + exp(-x))) - (1 - z) * log(1 - 1 / (1 + exp(-x)));
}
static double product_of(double z, double p)
{
    return z * p;
}

/* What is tried: labels are input 0, values 1, weights 2. */
struct loss_case {
    build *make;
    double (*element)(double label, double value); /* NULL: over classes */
    pil_reduction reduction;
    double smoothing; /* of softmax */
    bool sparse;
};

static void compose(const struct trial *trial, struct pil_graph *graph, struct pil_tensor *const *inputs,
                    struct pil_tensor **results)
{
    const struct loss_case *c = trial->args;
    results[0] = c->make(graph, inputs[0], inputs[1], trial->input_count > 2 ? inputs[2] : NULL, c->reduction);
}

static double over_classes(const struct loss_case *c, int64_t loss, const double *labels, const double *logits, int64_t n)
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
static double weight_of(const struct trial *trial, int64_t rows, int64_t loss, int64_t losses, const double *weights)
{
    if (trial->input_count < 3)
        return 1;
    struct shape shape = trial->inputs[2].shape;
    int64_t columns = losses / rows, own_columns = width(shape);
    int64_t row = has_rows(shape) ? loss / columns : 0;
    return weights[row * own_columns + (own_columns > 1 ? loss % columns : 0)];
}

static void reference(const struct trial *trial, int64_t rows, double *const *x, double *const *y)
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

static void try_loss(const struct loss_case *c, struct input labels, struct input values, const struct input *weights,
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

/* Each by its formula, averaged; then each loss for itself. */
static void formulas(void **state)
{
    (void)state;
    static const struct {
        build *make;
        double (*element)(double label, double value);
        double low, high; /* of values */
        bool only_losses;
    } list[] = {
        { squares, square_of, -3, 3, false },      { distances, distance_of, -3, 3, false },
        { huber, huber_of, -3, 3, false },         { wide_huber, wide_huber_of, -3, 3, false },
        { logs, log_of, 0.05, 0.95, false },       { hinge, hinge_of, -3, 3, false },
        { sigmoids, sigmoid_of, -3, 3, false },    { smooth_sigmoids, smooth_sigmoid_of, -3, 3, false },
        { own, product_of, -3, 3, false },         { nn_sigmoids, sigmoid_of, -3, 3, true },
        { nn_weighted, weighted_of, -3, 3, true },
    };
    static const struct shape shapes[] = { { 2, { BATCH_DIM, 3 } }, { 1, { BATCH_DIM } }, { 3, { BATCH_DIM, 2, 2 } } };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        for (size_t s = 0; s < COUNT_OF(shapes); s++) {
            struct loss_case c = { .make = list[i].make, .element = list[i].element };
            struct input labels = { .shape = shapes[s], .low = 0, .high = 1 },
                         values = { .shape = shapes[s], .low = list[i].low, .high = list[i].high };
            try_loss(&c, labels, values, NULL, shapes[s]);
            c.reduction = PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS;
            if (!list[i].only_losses)
                try_loss(&c, labels, values, NULL, scalar);
        }
}

static void of_classes(void **state)
{
    (void)state;
    static const struct {
        struct shape logits, losses, one, weights;
    } shapes[] = {
        { { 2, { BATCH_DIM, 5 } }, { 1, { BATCH_DIM } }, { 2, { BATCH_DIM, 1 } }, { 1, { BATCH_DIM } } },
        { { 2, { BATCH_DIM, 5 } }, { 1, { BATCH_DIM } }, { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 1 } } },
        { { 3, { BATCH_DIM, 2, 3 } }, { 2, { BATCH_DIM, 2 } }, { 3, { BATCH_DIM, 2, 1 } }, { 2, { BATCH_DIM, 1 } } },
    };
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        struct input logits = { .shape = shapes[s].logits, .low = -3, .high = 3 };
        struct input labels = { .shape = shapes[s].logits, .low = 0, .high = 0.4, .data = true };
        struct input ids = { .shape = shapes[s].losses, .low = 0, .high = 3, .data = true, .whole = true };
        struct input weights = { .shape = shapes[s].weights, .low = 0, .high = 3, .data = true, .whole = true };
        struct loss_case c = { .make = softmaxes };
        try_loss(&c, labels, logits, &weights, shapes[s].losses);
        c.reduction = PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS;
        try_loss(&c, labels, logits, &weights, scalar);
        c.make = smooth_softmaxes;
        c.smoothing = 0.25;
        try_loss(&c, labels, logits, NULL, scalar);
        c = (struct loss_case){ .make = nn_softmaxes };
        labels.data = false;
        try_loss(&c, labels, logits, NULL, shapes[s].losses);
        c = (struct loss_case){ .make = classes, .sparse = true };
        try_loss(&c, ids, logits, &weights, shapes[s].losses);
        c.make = nn_classes;
        try_loss(&c, ids, logits, NULL, shapes[s].losses);
        c.make = classes;
        c.reduction = PIL_REDUCTION_MEAN;
        ids.shape = shapes[s].one;
        try_loss(&c, ids, logits, &weights, scalar);
    }
}

/* Every reduction with every form of weights, some of them 0. */
static void weights_and_reductions(void **state)
{
    (void)state;
    static const struct shape forms[] = {
        { 0, { 0 } }, { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 3 } }, { 2, { 1, 3 } }, { 2, { 1, 1 } }
    };
    const struct shape shape = SHAPE(BATCH_DIM, 3);
    for (int reduction = PIL_REDUCTION_NONE; reduction <= PIL_REDUCTION_MEAN; reduction++)
        for (size_t f = 0; f < COUNT_OF(forms); f++) {
            struct loss_case c = { .make = squares, .element = square_of, .reduction = (pil_reduction)reduction };
            struct input weights = { .shape = forms[f], .low = f ? -1 : 2, .high = 3, .data = true, .whole = f > 0 };
            try_loss(&c, (struct input){ .shape = shape, .data = true }, (struct input){ .shape = shape, .low = -2, .high = 2 },
                     &weights, reduction ? scalar : shape);
        }
}

static void cosine_reference(const struct trial *trial, int64_t rows, double *const *x, double *const *y)
{
    const struct loss_case *c = trial->args;
    int64_t n = width(trial->inputs[1].shape);
    double sum = 0, total = 0;
    for (int64_t r = 0; r < rows; r++) {
        double loss = 1;
        for (int64_t i = r * n; i < (r + 1) * n; i++)
            loss -= x[0][i] * x[1][i];
        sum += x[2][r] * loss;
        total += x[2][r] != 0;
        if (c->reduction == PIL_REDUCTION_NONE)
            y[0][r] = x[2][r] * loss;
    }
    if (c->reduction != PIL_REDUCTION_NONE)
        y[0][0] = total > 0 ? sum / total : 0;
}

static void cosine_distance(void **state)
{
    (void)state;
    const struct shape shape = SHAPE(BATCH_DIM, 3), one = SHAPE(BATCH_DIM, 1);
    for (int losses = 0; losses < 2; losses++) {
        struct loss_case c = { .make = cosines, .reduction = losses ? PIL_REDUCTION_NONE : PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS };
        struct trial trial = {
            .op = "cosine_distance",
            .args = &c,
            .inputs = { { .shape = shape }, { .shape = shape }, { .shape = one, .high = 3, .data = true, .whole = true } },
            .input_count = 3,
            .outputs = { losses ? one : scalar },
            .extent = losses ? EXTENT_ROWS : EXTENT_BATCH,
            .behaviour = losses ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
            .reference = cosine_reference,
            .compose = compose
        };
        try_op(&trial);
    }
}

static void half_square_reference(const struct trial *trial, int64_t rows, double *const *x, double *const *y)
{
    y[0][0] = 0;
    for (int64_t i = 0; i < elements(trial->inputs[0].shape, rows); i++)
        y[0][0] += x[0][i] * x[1][i] * x[0][i] * x[1][i] / 2;
}

/* Of parameters and of rows; and losses without a batch, whose mean is over their own elements. */
static void without_a_batch(void **state)
{
    (void)state;
    const struct shape shape = SHAPE(4, 3), rows = SHAPE(BATCH_DIM, 3);
    struct loss_case c = { .make = half_squares };
    struct trial trial = { .op = "l2_loss",
                           .args = &c,
                           .inputs = { { .shape = shape }, { .shape = shape } },
                           .input_count = 2,
                           .extent = EXTENT_FIXED,
                           .behaviour = BEHAVIOUR_WHOLE,
                           .reference = half_square_reference,
                           .compose = compose };
    try_op(&trial);
    trial.inputs[0].shape = trial.inputs[1].shape = rows;
    trial.extent = EXTENT_BATCH;
    try_op(&trial);
    c = (struct loss_case){ .make = squares, .element = square_of, .reduction = PIL_REDUCTION_SUM_OVER_BATCH_SIZE };
    trial = (struct trial){ .op = "a loss",
                            .args = &c,
                            .inputs = { { .shape = shape }, { .shape = shape } },
                            .input_count = 2,
                            .extent = EXTENT_FIXED,
                            .behaviour = BEHAVIOUR_WHOLE,
                            .reference = reference,
                            .compose = compose };
    try_op(&trial);
}

/* ---- TensorFlow's figures ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    build *make;
    const char *labels, *values; /* of the golden data */
} golden_losses[] = {
    { "mean_squared_error", squares, "regression_labels", "regression_predictions" },
    { "absolute_difference", distances, "regression_labels", "regression_predictions" },
    { "huber_loss", huber, "regression_labels", "regression_predictions" },
    { "log_loss", logs, "labels", "probabilities" },
    { "sigmoid_cross_entropy", sigmoids, "labels", "logits" },
    { "hinge_loss", hinge, "labels", "logits" },
};

/* Labels and values [rows, columns], of one column also [rows]; weights as well. */
static double run_loss(build *make, const float *labels, int64_t label_columns, const float *values, int64_t columns,
                       const float *weights, int64_t rows, bool flat)
{
    pil_status status = { 0 };
    struct pil_graph *graph = graph_new(&status);
    const struct {
        const char *name;
        const float *data;
        struct shape shape;
    } in[] = { { "labels", labels, flat ? SHAPE(BATCH_DIM) : SHAPE(BATCH_DIM, label_columns) },
               { "values", values, flat && columns == 1 ? SHAPE(BATCH_DIM) : SHAPE(BATCH_DIM, columns) },
               { "weights", weights, flat ? SHAPE(BATCH_DIM) : SHAPE(BATCH_DIM, 1) } };
    struct op_value bound[3] = { 0 };
    struct pil_tensor *inputs[3] = { NULL };
    for (int i = 0; i < 3; i++) {
        if (!in[i].data)
            continue;
        inputs[i] = graph_input(graph, in[i].name, DTYPE_FLOAT32, in[i].shape, false);
        assert_true(tensor_new(&bound[i].tensor, DTYPE_FLOAT32, shape_with_batch(in[i].shape, rows), true, &status));
        tensor_unpack(in[i].data, &bound[i].tensor);
    }
    struct pil_tensor *loss = make(graph, inputs[0], inputs[1], inputs[2], PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS);
    assert_ok(*graph_status(graph));
    struct plan *plan = plan_compile(graph, &loss, 1, &status);
    struct threads *threads = threads_new(2, &status);
    struct session *session = session_new(plan, threads, kernel_get(), 1, &status);
    assert_ok(status);
    for (int i = 0; i < 3; i++)
        if (in[i].data)
            session_input(session, in[i].name, &bound[i]);
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

static void tf_losses(void **state)
{
    (void)state;
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
        for (size_t i = 0; i < COUNT_OF(golden_losses); i++, count++) {
            struct json_value l = golden_get(&item, golden_losses[i].labels), v = golden_get(&item, golden_losses[i].values);
            struct json_value wants = golden_get(&item, "values");
            double want = golden_get(&wants, golden_losses[i].name).number;
            assert_true(l.count <= MOST && json_floats(&l, labels) && json_floats(&v, values));
            for (int flat = 0; flat < 2; flat++) {
                double got =
                    run_loss(golden_losses[i].make, labels, 1, values, 1, weighted ? weights : NULL, (int64_t)l.count, flat);
                if (!(fabs(got - want) <= 1e-6 * fabs(want)))
                    fail_msg("%s: got %.9g, TensorFlow says %.9g", golden_losses[i].name, got, want);
            }
        }
    }
    golden_close(&golden);
    assert_int_equal(count, 2 * COUNT_OF(golden_losses));
}

/* Keras's case of five classes: without weights both count alike. */
static void tf_classes(void **state)
{
    (void)state;
    enum { CLASSES = 5 };
    struct golden golden;
    struct json_value item;
    static float ids[MOST], one_hot[MOST * CLASSES], logits[MOST * CLASSES];
    bool found = false;
    assert_true(golden_open(&golden, "tests/golden/losses_metrics.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item);) {
        if (!slice_is(golden_get(&item, "kind").text, "keras_multiclass"))
            continue;
        struct json_value l = golden_get(&item, "labels"), x = golden_get(&item, "logits"), wants = golden_get(&item, "values");
        int64_t rows = (int64_t)l.count;
        double want = golden_get(&wants, "sparse_categorical_crossentropy_from_logits").number;
        assert_true(rows <= MOST && json_floats(&l, ids) && golden_rows(&x, logits, CLASSES, NULL) == rows);
        for (int64_t r = 0; r < rows; r++)
            one_hot[r * CLASSES + (int64_t)ids[r]] = 1;
        assert_true(fabs(run_loss(classes, ids, 1, logits, CLASSES, NULL, rows, false) - want) < 2e-6);
        assert_true(fabs(run_loss(classes, ids, 1, logits, CLASSES, NULL, rows, true) - want) < 2e-6);
        assert_true(fabs(run_loss(softmaxes, one_hot, CLASSES, logits, CLASSES, NULL, rows, false) - want) < 2e-6);
        found = true;
    }
    golden_close(&golden);
    assert_true(found);
}

/* ---- mistakes ------------------------------------------------------------------------------------------------ */

static void refusals(void **state)
{
    (void)state;
    enum { NONE, FLAT, ONE, THREE, FIVE, IDS };
    static const struct {
        build *make;
        int labels, values, weights;
        pil_reduction reduction;
        const char *say;
    } list[] = {
        { squares, FLAT, ONE, NONE, PIL_REDUCTION_SUM,
          "head/mean_squared_error: labels and predictions must have one shape; the labels, flat, are [?], the predictions, one, "
          "are [?, 1]" },
        { huber, THREE, FIVE, NONE, PIL_REDUCTION_SUM, "huber_loss: labels and predictions must have one shape" },
        { logs, NONE, ONE, NONE, PIL_REDUCTION_SUM, "log_loss: the labels are NULL (targets are, in PREDICT)" },
        { hinge, ONE, NONE, NONE, PIL_REDUCTION_SUM, "hinge_loss: the logits are NULL" },
        { distances, IDS, ONE, NONE, PIL_REDUCTION_SUM, "absolute_difference: the labels, ids, are sparse" },
        { sigmoids, THREE, THREE, FIVE, PIL_REDUCTION_SUM,
          "sigmoid_cross_entropy: the weights, five, are [?, 5] and do not fit losses of [?, 3]" },
        { squares, ONE, ONE, FLAT, PIL_REDUCTION_SUM, "the weights, flat, are [?] and do not fit losses of [?, 1]" },
        { softmaxes, THREE, THREE, THREE, PIL_REDUCTION_SUM, "the weights, three, are [?, 3] and do not fit losses of [?]" },
        { softmaxes, FLAT, FLAT, NONE, PIL_REDUCTION_SUM, "must be [batch, classes] both" },
        { classes, THREE, THREE, NONE, PIL_REDUCTION_SUM, "the labels, three, are [?, 3], the logits, three, are [?, 3]" },
        { classes, FLAT, FLAT, NONE, PIL_REDUCTION_SUM, "logits must be [batch, classes]" },
        { own, THREE, THREE, NONE, (pil_reduction)9, "compute_weighted_loss: there is no reduction 9" },
        { nn_softmaxes, THREE, FIVE, NONE, PIL_REDUCTION_SUM, "softmax_cross_entropy_with_logits: labels and logits" },
        { nn_weighted, THREE, FIVE, NONE, PIL_REDUCTION_SUM, "weighted_cross_entropy_with_logits: labels and logits" },
        { nn_sigmoids, THREE, NONE, NONE, PIL_REDUCTION_SUM, "sigmoid_cross_entropy_with_logits: the logits are NULL" },
        { nn_classes, NONE, THREE, NONE, PIL_REDUCTION_SUM, "the labels are NULL" },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
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
        pil_status first = *graph_status(g); /* stays, and builders go on */
        assert_ptr_equal(squares(g, loss, inputs[ONE], NULL, PIL_REDUCTION_SUM), loss);
        assert_ptr_equal(classes(g, loss, inputs[THREE], loss, PIL_REDUCTION_NONE), loss);
        assert_ptr_equal(pil_l2_loss(g, NULL), loss);
        assert_string_equal(graph_status(g)->message, first.message);
        graph_free(g);
    }
}

/* Labels of another type are numbers too. */
static void whole_labels(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct pil_graph *g = graph_new(&status);
    struct pil_tensor *labels = graph_input(g, "labels", DTYPE_INT64, SHAPE(BATCH_DIM, 1), false);
    struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false);
    struct pil_tensor *logits = graph_input(g, "logits", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3), false);
    pil_mean_squared_error(g, labels, x, .weights = labels);
    pil_sparse_softmax_cross_entropy(g, labels, logits);
    assert_ok(*graph_status(g));
    graph_free(g);
}

static void defaults(void **state)
{
    (void)state;
    assert_true(pil_loss_options_default().reduction == PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS);
    assert_true(pil_logits_loss_options_default().reduction == PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS);
    assert_true(pil_weighted_loss_options_default().reduction == PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS);
    assert_true(pil_huber_loss_options_default().delta == 1 && pil_log_loss_options_default().epsilon == 1e-7f);
    assert_true(pil_cross_entropy_options_default().label_smoothing == 0);
}

static void words(void **state)
{
    (void)state;
    size_t count = 0;
    while (loss_reductions[count])
        count++;
    assert_int_equal(count, REDUCTION_MEAN + 1);
    assert_string_equal(loss_reductions[REDUCTION_SUM], "sum");
    assert_string_equal(loss_reductions[REDUCTION_NONZERO_WEIGHTS], "sum_by_nonzero_weights");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definitions),
        cmocka_unit_test(formulas),
        cmocka_unit_test(of_classes),
        cmocka_unit_test(cosine_distance),
        cmocka_unit_test(weights_and_reductions),
        cmocka_unit_test(without_a_batch),
        cmocka_unit_test(tf_losses),
        cmocka_unit_test(tf_classes),
        cmocka_unit_test(refusals),
        cmocka_unit_test(whole_labels),
        cmocka_unit_test(defaults),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
