/* SPDX-License-Identifier: Apache-2.0 */
/* Losses of predictions: formulas and gradients, TensorFlow's figures, mistakes. */
#include "train/losses.h"

LOSS(squares, pil_mean_squared_error(g, l, v, .weights = w, .reduction = r))
LOSS(distances, pil_absolute_difference(g, l, v, .weights = w, .reduction = r))
LOSS(huber, pil_huber_loss(g, l, v, .weights = w, .reduction = r))
LOSS(wide_huber, pil_huber_loss(g, l, v, .weights = w, .delta = 1.5f, .reduction = r))
LOSS(logs, pil_log_loss(g, l, v, .weights = w, .reduction = r))
LOSS(cosines, pil_cosine_distance(g, l, v, -1, .weights = w, .reduction = r))
LOSS(pairs, pil_mean_pairwise_squared_error(g, l, v, .weights = w))
LOSS(half_squares, pil_mean_squared_error(g, l, v, .weights = pil_scalar(g, 0.5f), .reduction = r))
LOSS(half_huber, pil_huber_loss(g, l, v, .weights = pil_scalar(g, 0.5f), .delta = 1.5f, .reduction = r))
LOSS(half_cosines, pil_cosine_distance(g, l, v, 1, .weights = pil_scalar(g, 0.5f), .reduction = r))
LOSS(half_pairs, pil_mean_pairwise_squared_error(g, l, v, .weights = pil_scalar(g, 0.5f)))

/* ---- formulas ------------------------------------------------------------------------------------------------ */

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

static void formulas(void **state)
{
    (void)state;
    static const struct formula list[] = {
        { squares, square_of, -3, 3, false },        { distances, distance_of, -3, 3, false }, { huber, huber_of, -3, 3, false },
        { wide_huber, wide_huber_of, -3, 3, false }, { logs, log_of, 0.05, 0.95, false },
    };
    try_formulas(list, COUNT_OF(list));
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

/* Pairs whose weights are not 0, of two columns of three: each row by its definition. */
static void pairs_reference(const struct trial *trial, int64_t rows, double *const *x, double *const *y)
{
    int64_t n = width(trial->inputs[1].shape);
    y[0][0] = 0;
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = i + 1; k < n; k++)
                sum += pow(x[1][r * n + i] - x[0][r * n + i] - x[1][r * n + k] + x[0][r * n + k], 2);
        y[0][0] += x[2][r] * sum / ((double)(n * (n - 1)) / 2);
    }
}

static void pairwise(void **state)
{
    (void)state;
    static const struct shape shapes[] = { { 2, { BATCH_DIM, 4 } }, { 3, { BATCH_DIM, 2, 3 } } };
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        struct loss_case c = { .make = pairs };
        struct shape by_row = shapes[s];
        for (int i = 1; i < by_row.rank; i++)
            by_row.dims[i] = 1;
        struct trial trial = { .op = "mean_pairwise_squared_error",
                               .args = &c,
                               .inputs = { { .shape = shapes[s] },
                                           { .shape = shapes[s] },
                                           { .shape = by_row, .high = 3, .data = true, .whole = true } },
                               .input_count = 3,
                               .outputs = { scalar },
                               .extent = EXTENT_BATCH,
                               .behaviour = BEHAVIOUR_WHOLE,
                               .reference = pairs_reference,
                               .compose = compose };
        try_op(&trial);
    }
}

/* ---- TensorFlow's figures ------------------------------------------------------------------------------------ */

static void tf_losses(void **state)
{
    (void)state;
    static const struct figure list[] = {
        { "mean_squared_error", squares, "regression_labels", "regression_predictions" },
        { "absolute_difference", distances, "regression_labels", "regression_predictions" },
        { "huber_loss", huber, "regression_labels", "regression_predictions" },
        { "log_loss", logs, "labels", "probabilities" },
    };
    try_figures(list, COUNT_OF(list));
}

static void more_losses(void **state)
{
    (void)state;
    static const struct more_figure list[] = {
        { "mean_squared_error", squares, half_squares, "y", "x" },
        { "huber_loss", wide_huber, half_huber, "y", "x" },
        { "cosine_distance", cosines, half_cosines, "u", "v" },
        { "mean_pairwise_squared_error", pairs, half_pairs, "y", "x" },
    };
    try_more_figures(list, COUNT_OF(list), 16 + 16 + 12 + 4);
}

/* ---- mistakes ------------------------------------------------------------------------------------------------ */

static void refusals(void **state)
{
    (void)state;
    static const struct loss_refusal list[] = {
        { squares, FLAT, ONE, NONE, PIL_REDUCTION_SUM,
          "head/mean_squared_error: labels and predictions must have one shape; the labels, flat, are [?], the predictions, one, "
          "are [?, 1]" },
        { huber, THREE, FIVE, NONE, PIL_REDUCTION_SUM, "huber_loss: labels and predictions must have one shape" },
        { logs, NONE, ONE, NONE, PIL_REDUCTION_SUM,
          "log_loss: the labels are NULL (targets are, in PREDICT and where the data have no label)" },
        { distances, IDS, ONE, NONE, PIL_REDUCTION_SUM, "absolute_difference: the labels, ids, are sparse" },
        { squares, ONE, ONE, FLAT, PIL_REDUCTION_SUM, "the weights, flat, are [?] and do not fit losses of [?, 1]" },
        { cosines, THREE, FIVE, NONE, PIL_REDUCTION_SUM, "cosine_distance: labels and predictions" },
        { cosines, THREE, THREE, THREE, PIL_REDUCTION_SUM, "the weights, three, are [?, 3] and do not fit losses of [?, 1]" },
        { pairs, FLAT, FLAT, NONE, PIL_REDUCTION_SUM, "mean_pairwise_squared_error: a row needs elements" },
        { pairs, THREE, THREE, FIVE, PIL_REDUCTION_SUM, "the weights, five, are [?, 5] and do not fit losses of [?, 3]" },
    };
    refuse_losses(list, COUNT_OF(list));
}

static void defaults(void **state)
{
    (void)state;
    assert_true(pil_loss_options_default().reduction == PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS);
    assert_true(pil_huber_loss_options_default().delta == 1 && pil_log_loss_options_default().epsilon == 1e-7f);
    assert_true(pil_cosine_distance_options_default().reduction == PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS);
    assert_null(pil_mean_pairwise_squared_error_options_default().weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formulas),    cmocka_unit_test(cosine_distance), cmocka_unit_test(pairwise), cmocka_unit_test(tf_losses),
        cmocka_unit_test(more_losses), cmocka_unit_test(refusals),        cmocka_unit_test(defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
