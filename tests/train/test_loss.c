/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions of losses: each against its definition, and tf.losses' against TensorFlow's figures. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

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
    float values[ROWS * COLUMNS], weights[ROWS * COLUMNS], row_weights[ROWS], zeros[ROWS] = { 0 };
    struct random_key key = random_key(1, "loss");
    double sum = 0, row_sum = 0, plain = 0, total = 0, row_total = 0, nonzero = 0, row_nonzero = 0;
    random_fill_uniform(key, values, 0, ROWS * COLUMNS, 0, 3);
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        weights[i] = i % 4 == 0 ? 0 : random_uniform(key, 1, (uint64_t)i) * 2;
        if (i % COLUMNS == 0)
            row_weights[i / COLUMNS] = i % 5 == 0 ? 0 : random_uniform(key, 2, (uint64_t)i);
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
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double got = reduce(values, ROWS, COLUMNS, cases[i].weights, cases[i].weight_columns, cases[i].reduction);
        if (!(fabs(got - cases[i].want) <= 1e-6 * fabs(cases[i].want)))
            fail_msg("case %d: %.9g, want %.9g", (int)i, got, cases[i].want);
    }
}

/* tf.losses.mean_squared_error and absolute_difference. */
static void tf_losses(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item, list;
    int count = 0;
    static float labels[MOST], predictions[MOST], weights[MOST], squares[MOST], distances[MOST];
    assert_true(golden_open(&golden, "tests/golden/losses_metrics.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item);) {
        if (!slice_is(golden_get(&item, "kind").text, "losses"))
            continue;
        struct json_value values = golden_get(&item, "values"), l = golden_get(&item, "regression_labels"),
                          p = golden_get(&item, "regression_predictions");
        int64_t n = (int64_t)l.count, weighted = json_get(&item, "weights", &list) && list.kind == JSON_LIST;
        assert_true(n <= MOST && json_floats(&l, labels) && json_floats(&p, predictions) &&
                    (!weighted || json_floats(&list, weights)));
        for (int64_t i = 0; i < n; i++) {
            squares[i] = (predictions[i] - labels[i]) * (predictions[i] - labels[i]);
            distances[i] = fabsf(predictions[i] - labels[i]);
        }
        double square = reduce(squares, n, 1, weights, weighted, REDUCTION_NONZERO_WEIGHTS);
        double distance = reduce(distances, n, 1, weights, weighted, REDUCTION_NONZERO_WEIGHTS);
        assert_true(fabs(square - golden_get(&values, "mean_squared_error").number) < 1e-6);
        assert_true(fabs(distance - golden_get(&values, "absolute_difference").number) < 1e-6);
        count++;
    }
    golden_close(&golden);
    assert_int_equal(count, 2);
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
    const struct CMUnitTest tests[] = { cmocka_unit_test(definitions), cmocka_unit_test(tf_losses), cmocka_unit_test(words) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
