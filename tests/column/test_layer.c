/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns in a graph, bound to batches of a feed: raw fields asked for one after the other while the graph is built, a numeric
 * column among them, and a graph that is built before another asks the program for more.
 */
#include "feeds.h"

enum { ROWS = 70 };

struct set_up {
    struct program *program;
    pil_columns *columns;
    struct pil_graph *graph;
    struct column_inputs inputs;
    pil_dataset *dataset;
    float raw[ROWS * 9], x[ROWS];
    int64_t y[ROWS];
};

static void start(struct set_up *set)
{
    pil_status status = { 0 };
    set->program = program_new(&(struct program_options){ 0 }, &status);
    set->columns = pil_columns_new();
    set->graph = graph_new(&status);
    set->inputs = (struct column_inputs){ set->program, set->graph };
    for (int n = 0; n < ROWS; n++) {
        for (int k = 0; k < 9; k++)
            set->raw[n * 9 + k] = (float)(n * 10 + k);
        set->x[n] = (float)-n;
        set->y[n] = n % 3;
    }
    set->dataset = pil_dataset_from_arrays(
        PIL_ARRAYS({ "raw", .floats = set->raw, .rows = ROWS, .shape = { 9 } }, { "x", .floats = set->x, .rows = ROWS }), false,
        .y = { "y", .ints = set->y, .rows = ROWS }, .batch_size = 64);
    status = pil_dataset_status(set->dataset);
    assert_true(status_ok(&status) && program_dataset(set->program, set->dataset, &status));
}

static void finish(struct set_up *set)
{
    pil_dataset_free(set->dataset);
    graph_free(set->graph);
    program_free(set->program);
    pil_columns_free(set->columns);
}

/* Runs the graph over all batches; `check` sees each row's fetched values. */
static void run(struct set_up *set, struct pil_graph *graph, struct pil_tensor **fetches, size_t count,
                void (*check)(const struct set_up *set, int64_t n, const float *const *values))
{
    pil_status status = *graph_status(graph);
    struct plan *plan = plan_compile(graph, fetches, count, &status);
    struct threads *threads = threads_new(1, &status);
    if (!status_ok(&status))
        fail_msg("%s", status.message);
    struct session *session = session_new(plan, threads, kernel_get(), 0, &status);
    struct feed_options options = feed_dataset(set->dataset, 0);
    struct feed *feed = feed_open(set->program, &options, threads, &status);
    assert_non_null(feed);
    int64_t n = 0;
    for (const struct batch *batch; (batch = feed_next(feed, &status)) != NULL;) {
        column_bind(session, batch, program_feature_count(set->program));
        if (!session_run(session, batch->rows, 0, NULL, 0, &status))
            fail_msg("%s", status.message);
        for (int64_t row = 0; row < batch->rows; row++, n++) {
            const float *values[8];
            for (size_t i = 0; i < count; i++) {
                const struct tensor *value = &session_fetch(session, i)->tensor;
                values[i] = tensor_floats(value) + row * value->ld;
            }
            check(set, n, values);
        }
    }
    if (!status_ok(&status))
        fail_msg("%s", status.message);
    assert_int_equal(n, ROWS);
    feed_close(feed);
    session_free(session);
    plan_free(plan);
    threads_free(threads);
}

static void check_all(const struct set_up *set, int64_t n, const float *const *values)
{
    assert_memory_equal(values[0], set->raw + n * 9, 9 * sizeof(float));
    assert_true(values[1][0] == (float)set->y[n]);
    assert_true(values[2][0] == set->x[n] / 2);
    assert_true(values[3][0] == set->x[n]);
    assert_true(values[4][0] == set->x[n] + (float)set->y[n]);
}

static void raw_fields(void **unused)
{
    (void)unused;
    struct set_up set;
    start(&set);
    pil_status status = { 0 };
    struct pil_tensor *fetches[5];
    fetches[0] = column_dense(&set.inputs, "raw", 9, &status);
    int label = program_target(set.program, &(struct program_target){ .field = "y", .width = 1 }, &status);
    fetches[1] = column_target(&set.inputs, label, 1);
    pil_column *halves = pil_numeric_column(set.columns, "x", .normalizer_fn = { 0, 2 });
    fetches[2] = column_input_layer(&set.inputs, &halves, 1, "layer", &status);
    fetches[3] = column_dense(&set.inputs, "x", 1, &status);
    fetches[4] = graph_op2(set.graph, "add", NULL, fetches[1], column_dense(&set.inputs, "x", 1, &status));
    assert_true(status_ok(&status));
    column_settle(&set.inputs);
    assert_true(program_finish(set.program, &status));
    run(&set, set.graph, fetches, COUNT_OF(fetches), check_all);
    finish(&set);
}

static void check_one(const struct set_up *set, int64_t n, const float *const *values)
{
    assert_true(values[0][0] == set->x[n]);
}

/* The first graph reads one field; another, of another mode, makes the block of numbers wider. */
static void graphs_settle(void **unused)
{
    (void)unused;
    struct set_up set;
    start(&set);
    pil_status status = { 0 };
    struct pil_graph *other = graph_new(&status);
    const struct column_inputs others = { set.program, other };
    struct pil_tensor *first = column_dense(&set.inputs, "x", 1, &status);
    struct pil_tensor *second[] = { column_dense(&others, "x", 1, &status), column_dense(&others, "raw", 9, &status) };
    column_settle(&set.inputs);
    column_settle(&others);
    assert_true(program_finish(set.program, &status));
    run(&set, set.graph, &first, 1, check_one);
    run(&set, other, second, 2, check_one);
    graph_free(other);
    finish(&set);
}

static void what_is_wrong(void **unused)
{
    (void)unused;
    struct set_up set;
    start(&set);
    pil_status status = { 0 };
    assert_ptr_equal(column_dense(&set.inputs, "raw", 0, &status), graph_error_tensor(set.graph));
    assert_message(&status, "'raw' is asked for with 0 numbers");
    status_clear(&status);
    column_dense(&set.inputs, "raw", 8, &status);
    assert_true(program_finish(set.program, &status));
    assert_ptr_equal(column_dense(&set.inputs, "x", 1, &status), graph_error_tensor(set.graph));
    assert_message(&status, "'x' is asked of a column program that is finished");
    status_clear(&status);
    struct threads *threads = threads_new(1, &status);
    struct feed_options options = feed_dataset(set.dataset, 0);
    struct feed *feed = feed_open(set.program, &options, threads, &status);
    assert_null(feed_next(feed, &status));
    assert_string_equal(status.message, "row 0: field 'raw': the cell has 9 numbers, the model takes 8");
    feed_close(feed);
    threads_free(threads);
    finish(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_fields),
        cmocka_unit_test(graphs_settle),
        cmocka_unit_test(what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
