/* SPDX-License-Identifier: Apache-2.0 */
/* Batch normalization: moments over the batch, with the gradient through them in training, and with given ones. */
#include "op/refusals.h"

#define EPSILON 0.001f

/* Sums and sums of squares a channel. */
static void moments_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    int64_t c = t->outputs[0].dims[1];
    memset(y[0], 0, (size_t)(2 * c) * sizeof(double));
    for (int64_t n = 0; n < elements(t->inputs[0].shape, rows); n++) {
        y[0][n % c] += x[0][n];
        y[0][c + n % c] += x[0][n] * x[0][n];
    }
}

static const struct shape shapes[] = {
    { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 35 } }, { 3, { BATCH_DIM, 3, 4 } }
};

static int64_t channels(struct shape shape)
{
    return shape.dims[shape.rank - 1];
}

static void moments(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        struct trial t = { .op = "moments",
                           .inputs = { { .shape = shapes[s] } },
                           .input_count = 1,
                           .outputs = { { 2, { 2, channels(shapes[s]) } } },
                           .extent = EXTENT_BATCH,
                           .behaviour = BEHAVIOUR_REDUCES,
                           .reference = moments_reference,
                           .no_gradient = true,
                           .tolerance = 1e-12 };
        try_op(&t);
    }
}

static void mean_and_variance(double *const *x, int64_t count, int64_t c, double *mean, double *variance)
{
    for (int64_t k = 0; k < c; k++)
        mean[k] = variance[k] = 0;
    for (int64_t n = 0; n < count; n++)
        mean[n % c] += x[0][n] * (double)c / (double)count;
    for (int64_t n = 0; n < count; n++)
        variance[n % c] += (x[0][n] - mean[n % c]) * (x[0][n] - mean[n % c]) * (double)c / (double)count;
}

static void means_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    mean_and_variance(x, elements(t->inputs[0].shape, rows), channels(t->inputs[0].shape), y[0], y[1]);
}

/* Mean and biased variance of the batch; a channel stands once in a row of rank 2, more often in others. */
static void add_means(struct pil_graph *graph, struct pil_tensor *x, struct pil_tensor **results)
{
    struct op_count_args positions = { x->type.shape.rank == 3 ? x->type.shape.dims[1] : 0 };
    struct pil_tensor *sums = graph_op1(graph, "moments", NULL, x);
    graph_op(graph, "moments_mean", &positions, &sums, 1, results);
}

static void compose_means(const struct trial *t, struct pil_graph *graph, struct pil_tensor *const *inputs,
                          struct pil_tensor **results)
{
    (void)t;
    add_means(graph, inputs[0], results);
}

static void moments_mean(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        struct shape vector = SHAPE(channels(shapes[s]));
        struct trial t = { .op = "moments_mean",
                           .compose = compose_means,
                           .inputs = { { .shape = shapes[s], .low = 1, .high = 3 } },
                           .input_count = 1,
                           .output_count = 2,
                           .outputs = { vector, vector },
                           .extent = EXTENT_BATCH,
                           .behaviour = BEHAVIOUR_WHOLE,
                           .reference = means_reference,
                           .no_gradient = true,
                           .tolerance = 1e-6 };
        try_op(&t);
    }
}

static void normalize(const struct trial *t, int64_t count, const double *x, const double *mean, const double *variance,
                      const double *gamma, const double *beta, double *y)
{
    int64_t c = channels(t->outputs[0]);
    for (int64_t n = 0; n < count; n++)
        y[n] = gamma[n % c] * (x[n] - mean[n % c]) / sqrt(variance[n % c] + (double)EPSILON) + beta[n % c];
}

static void given_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    normalize(t, elements(t->outputs[0], rows), x[0], x[1], x[2], x[3], x[4], y[0]);
}

static void given_moments(void **state)
{
    (void)state;
    static const struct op_norm_args args = { EPSILON, false };
    static const struct shape all[] = {
        { 2, { BATCH_DIM, 5 } }, { 2, { BATCH_DIM, 1 } }, { 2, { BATCH_DIM, 35 } }, { 3, { BATCH_DIM, 3, 4 } }, { 1, { 5 } },
        { 2, { 4, 5 } },         { 3, { 2, 3, 17 } }
    };
    for (size_t s = 0; s < COUNT_OF(all); s++) {
        struct shape vector = SHAPE(channels(all[s]));
        bool rows = has_rows(all[s]);
        struct trial t = { .op = "batch_norm",
                           .args = &args,
                           .inputs = { { .shape = all[s] },
                                       { .shape = vector, .data = true },
                                       { .shape = vector, .low = 0.1, .high = 2, .data = true },
                                       { .shape = vector, .low = 0.5, .high = 2 },
                                       { .shape = vector } },
                           .input_count = 5,
                           .outputs = { all[s] },
                           .extent = rows ? EXTENT_ROWS : EXTENT_FIXED,
                           .behaviour = rows ? BEHAVIOUR_ROW_BY_ROW : BEHAVIOUR_WHOLE,
                           .reference = given_reference };
        try_op(&t);
    }
}

static void training_reference(const struct trial *t, int64_t rows, double *const *x, double *const *y)
{
    double mean[64], variance[64];
    int64_t count = elements(t->outputs[0], rows);
    mean_and_variance(x, count, channels(t->outputs[0]), mean, variance);
    normalize(t, count, x[0], mean, variance, x[1], x[2], y[0]);
}

static void compose_training(const struct trial *t, struct pil_graph *graph, struct pil_tensor *const *inputs,
                             struct pil_tensor **results)
{
    struct pil_tensor *moments[2];
    (void)t;
    add_means(graph, inputs[0], moments);
    struct pil_tensor *all[] = { inputs[0], moments[0], moments[1], inputs[1], inputs[2] };
    results[0] = graph_op(graph, "batch_norm", &(struct op_norm_args){ EPSILON, true }, all, 5, NULL);
}

/* The batch's own moments, and the gradient through them. Of one row the variance is 0, and no gradient flows. */
static void training(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        struct shape vector = SHAPE(channels(shapes[s]));
        struct trial t = { .op = "batch_norm",
                           .compose = compose_training,
                           .inputs = { { .shape = shapes[s], .low = -1, .high = 3 },
                                       { .shape = vector, .low = 0.5, .high = 2 },
                                       { .shape = vector } },
                           .input_count = 3,
                           .outputs = { shapes[s] },
                           .extent = EXTENT_ROWS,
                           .behaviour = BEHAVIOUR_ROW_BY_ROW,
                           .reference = training_reference,
                           .tolerance = 4e-6 };
        try_op(&t);
    }
}

/* A constant channel far from zero: rounding must not give a negative variance. */
static void constant_channel(void **state)
{
    (void)state;
    float mean[2], variance[2];
    double sums[4] = { 333 * 1e4, 333 * -7.0, 333 * 1e8 * (1 - 1e-15), 333 * 49.0 };
    struct op_value in = { .tensor = { sums, DTYPE_FLOAT64, SHAPE(2, 2), 2, 2, 2 } };
    struct op_value out[2] = { { .tensor = { mean, DTYPE_FLOAT32, SHAPE(2), 1, 2, 2 } },
                               { .tensor = { variance, DTYPE_FLOAT32, SHAPE(2), 1, 2, 2 } } };
    struct op_run call = { .args = &(struct op_count_args){ 1 },
                           .input_count = 1,
                           .output_count = 2,
                           .inputs = &in,
                           .outputs = out,
                           .batch_rows = 333 };
    op_find("moments_mean")->run(&call);
    assert_true(mean[0] == 1e4f && mean[1] == -7 && variance[0] == 0 && variance[1] == 0);
}

static void refusals(void **state)
{
    (void)state;
    static const struct op_norm_args inference = { EPSILON, false }, training_args = { EPSILON, true };
    static const struct op_count_args count = { 1 };
    static const struct refusal list[] = {
        { "moments", NULL, "rows with an axis besides the batch are needed", 1, { ONE_A_ROW } },
        { "moments", NULL, "rows with an axis besides the batch are needed", 1, { DENSE(3, 4) } },
        { "moments", NULL, "input 1 is sparse", 1, { IDS } },
        { "moments_mean", &count, "the float64 sums of moments", 1, { DENSE(2, 3) } },
        { "moments_mean", &count, "the float64 sums of moments", 1, { FLOAT64(3, 3) } },
        { "moments_mean", &count, "the float64 sums of moments", 1, { IDS } },
        { "batch_norm", &inference, "takes 5 inputs, got 3", 3, { ROWS_OF(3), DENSE(3), DENSE(3) } },
        { "batch_norm",
          &inference,
          "an axis besides the batch is needed",
          5,
          { ONE_A_ROW, DENSE(1), DENSE(1), DENSE(1), DENSE(1) } },
        { "batch_norm", &inference, "input 4 must have 3 elements", 5, { ROWS_OF(3), DENSE(3), DENSE(3), DENSE(4), DENSE(3) } },
        { "batch_norm",
          &inference,
          "input 2 must have 3 elements",
          5,
          { ROWS_OF(3), DENSE(1, 3), DENSE(3), DENSE(3), DENSE(3) } },
        { "batch_norm", &inference, "input 5 is int64", 5, { ROWS_OF(3), DENSE(3), DENSE(3), DENSE(3), INTEGERS(3) } },
        { "batch_norm_sums", &inference, "must have one shape", 4, { ROWS_OF(3), ROWS_OF(4), DENSE(4), DENSE(4) } },
        { "batch_norm_sums", &training_args, "training needs rows", 4, { DENSE(2, 3), DENSE(2, 3), DENSE(3), DENSE(3) } },
        { "batch_norm",
          &inference,
          "the batch cannot be the axis of channels",
          5,
          { TURNED(3), DENSE(3), DENSE(3), DENSE(3), DENSE(3) } },
        { "batch_norm_dx",
          &training_args,
          "training needs the sums",
          5,
          { ROWS_OF(3), ROWS_OF(3), DENSE(3), DENSE(3), DENSE(3) } },
        { "batch_norm_dx", &inference, "must have one shape", 5, { IDS, ROWS_OF(3), DENSE(3), DENSE(3), DENSE(3) } },
    };
    check_refusals(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments),  cmocka_unit_test(moments_mean),     cmocka_unit_test(given_moments),
        cmocka_unit_test(training), cmocka_unit_test(constant_channel), cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
