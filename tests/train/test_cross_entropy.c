/* SPDX-License-Identifier: Apache-2.0 */
/* Losses of logits: formulas and gradients over the last of any number of axes, TensorFlow's figures, mistakes. */
#include "train/losses.h"

LOSS(hinge, pil_hinge_loss(g, l, v, .weights = w, .reduction = r))
LOSS(sigmoids, pil_sigmoid_cross_entropy(g, l, v, .weights = w, .reduction = r))
LOSS(smooth_sigmoids, pil_sigmoid_cross_entropy(g, l, v, .weights = w, .label_smoothing = 0.25f, .reduction = r))
LOSS(softmaxes, pil_softmax_cross_entropy(g, l, v, .weights = w, .reduction = r))
LOSS(smooth_softmaxes, pil_softmax_cross_entropy(g, l, v, .weights = w, .label_smoothing = 0.25f, .reduction = r))
LOSS(classes, pil_sparse_softmax_cross_entropy(g, l, v, .weights = w, .reduction = r))
LOSS(nn_sigmoids, pil_sigmoid_cross_entropy_with_logits(g, l, v))
LOSS(nn_weighted, pil_weighted_cross_entropy_with_logits(g, l, v, 3))
LOSS(nn_softmaxes, pil_softmax_cross_entropy_with_logits(g, l, v))
LOSS(nn_classes, pil_sparse_softmax_cross_entropy_with_logits(g, l, v))
/* As losses_more.json has them. */
LOSS(tenth_sigmoids, pil_sigmoid_cross_entropy(g, l, v, .weights = w, .label_smoothing = 0.1f, .reduction = r))
LOSS(half_sigmoids, pil_sigmoid_cross_entropy(g, l, v, .weights = pil_scalar(g, 0.5f), .label_smoothing = 0.1f, .reduction = r))
LOSS(tenth_softmaxes, pil_softmax_cross_entropy(g, l, v, .weights = w, .label_smoothing = 0.1f, .reduction = r))
LOSS(half_softmaxes, pil_softmax_cross_entropy(g, l, v, .weights = pil_scalar(g, 0.5f), .label_smoothing = 0.1f, .reduction = r))
LOSS(half_classes, pil_sparse_softmax_cross_entropy(g, l, v, .weights = pil_scalar(g, 0.5f), .reduction = r))
LOSS(sum_weighted, pil_compute_weighted_loss(g, pil_weighted_cross_entropy_with_logits(g, l, v, 3), .reduction = r))

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

static void formulas(void **state)
{
    (void)state;
    static const struct formula list[] = {
        { hinge, hinge_of, -3, 3, false },
        { sigmoids, sigmoid_of, -3, 3, false },
        { smooth_sigmoids, smooth_sigmoid_of, -3, 3, false },
        { nn_sigmoids, sigmoid_of, -3, 3, true },
        { nn_weighted, weighted_of, -3, 3, true },
    };
    try_formulas(list, COUNT_OF(list));
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

/* ---- TensorFlow's figures ------------------------------------------------------------------------------------ */

static void tf_losses(void **state)
{
    (void)state;
    static const struct figure list[] = { { "sigmoid_cross_entropy", sigmoids, "labels", "logits" },
                                          { "hinge_loss", hinge, "labels", "logits" } };
    try_figures(list, COUNT_OF(list));
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
        assert_true(fabs(run_loss(classes, (struct numbers){ ids, 1 }, (struct numbers){ logits, CLASSES },
                                  (struct numbers){ NULL, 0 }, rows, PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS) -
                         want) < 2e-6);
        assert_true(fabs(run_loss(classes, (struct numbers){ ids, 0 }, (struct numbers){ logits, CLASSES },
                                  (struct numbers){ NULL, 0 }, rows, PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS) -
                         want) < 2e-6);
        assert_true(fabs(run_loss(softmaxes, (struct numbers){ one_hot, CLASSES }, (struct numbers){ logits, CLASSES },
                                  (struct numbers){ NULL, 0 }, rows, PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS) -
                         want) < 2e-6);
        found = true;
    }
    golden_close(&golden);
    assert_true(found);
}

static void more_losses(void **state)
{
    (void)state;
    static const struct more_figure list[] = {
        { "sigmoid_cross_entropy", tenth_sigmoids, half_sigmoids, "bits", "x" },
        { "softmax_cross_entropy", tenth_softmaxes, half_softmaxes, "one_hot", "x" },
        { "sparse_softmax_cross_entropy", classes, half_classes, "ids", "x" },
        { "weighted_cross_entropy_with_logits", sum_weighted, NULL, "bits", "x" },
    };
    try_more_figures(list, COUNT_OF(list), 16 + 12 + 12 + 1);
}

/* ---- mistakes ------------------------------------------------------------------------------------------------ */

static void refusals(void **state)
{
    (void)state;
    static const struct loss_refusal list[] = {
        { hinge, ONE, NONE, NONE, PIL_REDUCTION_SUM, "hinge_loss: the logits are NULL" },
        { sigmoids, THREE, THREE, FIVE, PIL_REDUCTION_SUM,
          "head/sigmoid_cross_entropy: the weights, five, are [?, 5] and do not fit losses of [?, 3]" },
        { softmaxes, THREE, THREE, THREE, PIL_REDUCTION_SUM, "the weights, three, are [?, 3] and do not fit losses of [?]" },
        { softmaxes, FLAT, FLAT, NONE, PIL_REDUCTION_SUM, "must be [batch, classes] both" },
        { classes, THREE, THREE, NONE, PIL_REDUCTION_SUM, "the labels, three, are [?, 3], the logits, three, are [?, 3]" },
        { classes, FLAT, FLAT, NONE, PIL_REDUCTION_SUM, "logits must be [batch, classes]" },
        { nn_softmaxes, THREE, FIVE, NONE, PIL_REDUCTION_SUM, "softmax_cross_entropy_with_logits: labels and logits" },
        { nn_weighted, THREE, FIVE, NONE, PIL_REDUCTION_SUM, "weighted_cross_entropy_with_logits: labels and logits" },
        { nn_sigmoids, THREE, NONE, NONE, PIL_REDUCTION_SUM, "sigmoid_cross_entropy_with_logits: the logits are NULL" },
        { nn_classes, NONE, THREE, NONE, PIL_REDUCTION_SUM, "the labels are NULL" },
    };
    refuse_losses(list, COUNT_OF(list));
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
    assert_true(pil_logits_loss_options_default().reduction == PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS);
    assert_true(pil_cross_entropy_options_default().label_smoothing == 0);
    assert_true(pil_weighted_loss_options_default().reduction == PIL_REDUCTION_SUM_BY_NONZERO_WEIGHTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formulas),    cmocka_unit_test(of_classes), cmocka_unit_test(tf_losses),    cmocka_unit_test(tf_classes),
        cmocka_unit_test(more_losses), cmocka_unit_test(refusals),   cmocka_unit_test(whole_labels), cmocka_unit_test(defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
