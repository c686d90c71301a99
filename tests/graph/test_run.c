/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running random graphs: the same bits for any number of threads, with poisoned buffers, for batches of all sizes one after the
 * other; a table that is read densely as well; what must be bound; jobs; every allocation failing once.
 */
#include "models.h"

#include "failing.h"

enum { FLOATS = 1 << 19 };

static void any_threads_and_poison(void **state)
{
    (void)state;
    static const int64_t sizes[] = { 1, 3, 20, 65, 333, 2048 };
    float *one = calloc(FLOATS, sizeof *one), *many = calloc(FLOATS, sizeof *many);
    assert_true(one && many);
    for (uint64_t seed = 100; seed < 130; seed++) {
        int64_t rows = sizes[seed % COUNT_OF(sizes)];
        struct model_data *data = model_data_new(rows);
        struct rig a = model_rig(seed, 12 + (int)seed % 40, 1, data, rows, false);
        rig_run(&a, rows);
        size_t count = model_results(&a, one, FLOATS);
        assert_true(isfinite(one[0]));
        assert_null(session_dirty_pad(a.session));
        rig_free(&a);
        for (int threads = 2; threads < 9; threads += 3) {
            struct rig b = model_rig(seed, 12 + (int)seed % 40, threads, data, rows, false);
            session_poison(b.session);
            rig_run(&b, rows);
            rig_run(&b, rows); /* poisoned by what the first run left, too */
            assert_int_equal(model_results(&b, many, FLOATS), count);
            if (memcmp(one, many, count * sizeof *one) != 0)
                fail_msg("graph %llu: %d threads give other bits than one", (unsigned long long)seed, threads);
            assert_null(session_dirty_pad(b.session));
            rig_free(&b);
        }
        model_data_free(data);
    }
    free(one);
    free(many);
}

/* Batches of other sizes in between change nothing, and after the largest nothing is allocated. */
static void batches_of_all_sizes(void **state)
{
    (void)state;
    static const int64_t sizes[] = { 65, 333, 1, 64, 2048, 20, 333 };
    float *first = calloc(FLOATS, sizeof *first), *again = calloc(FLOATS, sizeof *again);
    struct model_data *data = model_data_new(2048);
    assert_true(first && again);
    for (uint64_t seed = 200; seed < 212; seed++) {
        struct rig rig = model_rig(seed, 40, 2, data, 2048, false);
        rig_run(&rig, 333);
        size_t count = model_results(&rig, first, FLOATS);
        for (int pass = 0; pass < 2; pass++) {
            uint64_t before = mem_allocations();
            for (size_t s = 0; s < COUNT_OF(sizes); s++)
                rig_run(&rig, sizes[s]);
            assert_int_equal(model_results(&rig, again, FLOATS), count);
            assert_memory_equal(first, again, count * sizeof *first);
            if (pass == 1)
                assert_int_equal(mem_allocations(), before);
        }
        assert_true(session_bytes(rig.session) > 0);
        rig_free(&rig);
    }
    model_data_free(data);
    free(first);
    free(again);
}

/* Inputs may lie elsewhere with every batch, and further apart. */
static void inputs_move(void **state)
{
    (void)state;
    enum { ROWS = 100 };
    float *first = calloc(FLOATS, sizeof *first), *again = calloc(FLOATS, sizeof *again);
    struct model_data *data = model_data_new(ROWS);
    struct rig rig = model_rig(7, 40, 2, data, ROWS, false);
    struct tensor wide;
    assert_true(first && again && tensor_new(&wide, DTYPE_FLOAT32, SHAPE(ROWS, 50), true, &rig.status));
    rig_run(&rig, ROWS);
    size_t count = model_results(&rig, first, FLOATS);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < MODEL_COLUMNS; c++)
            tensor_floats(&wide)[r * wide.ld + 16 + c] = tensor_floats(&data->x)[r * data->x.ld + c];
    for (int pass = 0; pass < 3; pass++) {
        struct tensor part = {
            tensor_floats(&wide) + 16, DTYPE_FLOAT32, SHAPE(ROWS, MODEL_COLUMNS), ROWS, MODEL_COLUMNS, wide.ld
        };
        session_input(rig.session, "x", &(struct op_value){ .tensor = pass == 1 ? data->x : part });
        rig_run(&rig, ROWS);
        assert_int_equal(model_results(&rig, again, FLOATS), count);
        assert_memory_equal(first, again, count * sizeof *first);
    }
    tensor_free(&wide);
    rig_free(&rig);
    model_data_free(data);
    free(first);
    free(again);
}

/* A table that products and lookups read: dense parts and records, whose sum is the gradient. */
static void a_table_read_densely(void **state)
{
    (void)state;
    enum { ROWS = 333, COLUMNS = 3 };
    struct model_data *data = model_data_new(ROWS);
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *ragged = graph_input(g, "ragged", DTYPE_INT32, SHAPE(BATCH_DIM), true),
                      *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, MODEL_COLUMNS), false);
    struct pil_tensor *table = graph_variable(g, "table", SHAPE(MODEL_IDS, COLUMNS), model_zeros, true);
    struct pil_tensor *e = graph_op2(g, "lookup", &(struct op_lookup_args){ COMBINER_MEAN, 0, 1 }, ragged, table);
    struct pil_tensor *part =
        graph_op1(g, "slice", &(struct op_slice_args){ 0, 2, MODEL_COLUMNS }, table); /* rows 2 .. 6 of it */
    struct pil_tensor *y =
        graph_op2(g, "add", NULL, e, graph_op2(g, "matmul", &(struct op_matmul_args){ .activation = ACTIVATION_TANH }, x, part));
    struct pil_tensor *loss = graph_op1(g, "divide_by_rows", &(struct op_count_args){ 1 },
                                        graph_op1(g, "sum_all", NULL, graph_op1(g, "square", NULL, y)));
    graph_gradients(g, loss);
    rig_start(&rig, &loss, 1, 2, 5);
    assert_false(graph_variable_at(g, 0)->lookup_only);
    model_bind(rig.session, data, ROWS);
    rig_run(&rig, ROWS);
    const struct session_record *records;
    float dense[MODEL_IDS * COLUMNS], scattered[MODEL_IDS * COLUMNS] = { 0 };
    struct tensor gradient = tensor_view(rig_gradients(&rig), DTYPE_FLOAT32, SHAPE(MODEL_IDS, COLUMNS), false);
    tensor_pack(&gradient, dense);
    assert_int_equal(session_records(rig.session, &records), 1);
    rig_scatter(&records[0], scattered, COLUMNS);
    for (int n = 0; n < MODEL_IDS * COLUMNS; n++) {
        float *at = tensor_floats(&rig.values[0]) + n / COLUMNS * PAD + n % COLUMNS, old = *at;
        double side[2];
        for (int k = 0; k < 2; k++) {
            *at = old + (k ? -4e-3f : 4e-3f);
            rig_run(&rig, ROWS);
            side[k] = session_scalar(rig.session, 0);
        }
        *at = old;
        double numeric = (side[0] - side[1]) / 8e-3, got = (double)dense[n] + (double)scattered[n];
        if (fabs(numeric - got) > 1e-4 + 2e-3 * fabs(numeric))
            fail_msg("element %d: gradient %g, by differences %g", n, got, numeric);
    }
    rig_free(&rig);
    model_data_free(data);
}

/* ---- what must be bound, and how ---- */

static void assert_says(struct rig *rig, int64_t rows, const char *text)
{
    status_clear(&rig->status);
    if (session_run(rig->session, rows, 1, NULL, 0, &rig->status) || !strstr(rig->status.message, text))
        fail_msg("'%s' does not say: %s", rig->status.message, text);
    status_clear(&rig->status);
}

static void what_must_be_bound(void **state)
{
    (void)state;
    enum { ROWS = 100 };
    struct model_data *data = model_data_new(ROWS);
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *ids = graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true),
                      *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, MODEL_COLUMNS), false);
    struct pil_tensor *w = graph_variable(g, "w", SHAPE(MODEL_COLUMNS, 2), model_zeros, true),
                      *table = graph_variable(g, "table", SHAPE(MODEL_IDS, 2), model_zeros, true);
    struct pil_tensor *y = graph_op2(g, "add", NULL, graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, x, w),
                                     graph_op2(g, "lookup", &(struct op_lookup_args){ .pairs = 1 }, ids, table));
    struct pil_tensor *loss = graph_op1(g, "divide_by_rows", &(struct op_count_args){ 1 }, graph_op1(g, "sum_all", NULL, y));
    graph_gradients(g, loss);
    rig.plan = plan_compile(g, &loss, 1, &rig.status);
    rig.threads = threads_new(2, &rig.status);
    rig.session = session_new(rig.plan, rig.threads, kernel_get(), 7, &rig.status);
    assert_ok(rig.status);
    struct sparse list = { .rows = ROWS, .entries = ROWS, .ids = data->ids };
    struct tensor value, narrow = data->x, other = data->x, packed = data->x;
    assert_says(&rig, 0, "a batch needs at least one row");
    session_input(rig.session, "ids", &(struct op_value){ .sparse = list });
    assert_says(&rig, ROWS, "the input x has 0 rows, the batch 100");
    narrow.cols = 4;
    session_input(rig.session, "x", &(struct op_value){ .tensor = narrow });
    assert_says(&rig, ROWS, "the input x has rows of 4 float32 values, the graph reads 5 of float32");
    other.dtype = DTYPE_INT32;
    session_input(rig.session, "x", &(struct op_value){ .tensor = other });
    assert_says(&rig, ROWS, "the input x has rows of 5 int32 values, the graph reads 5 of float32");
    packed.ld = 5;
    session_input(rig.session, "x", &(struct op_value){ .tensor = packed });
    assert_says(&rig, ROWS, "the input x has rows without pads: 5 values apart, 16 are needed");
    session_input(rig.session, "x", &(struct op_value){ .tensor = data->x });
    list.rows = 99;
    session_input(rig.session, "ids", &(struct op_value){ .sparse = list });
    assert_says(&rig, ROWS, "the input ids has 99 rows, the batch 100");
    list.rows = ROWS;
    session_input(rig.session, "ids", &(struct op_value){ .sparse = list });
    assert_says(&rig, ROWS, "the variable w is not bound");
    assert_true(tensor_new(&value, DTYPE_FLOAT32, SHAPE(MODEL_IDS, 2), false, &rig.status));
    assert_false(session_bind(rig.session, graph_variable_at(g, 0), &(struct session_variable){ value, 0, 0 }, &rig.status));
    assert_string_equal(rig.status.message, "w is [11, 2] in the store, [5, 2] in the graph");
    status_clear(&rig.status);
    assert_true(session_bind(rig.session, graph_variable_at(g, 1), &(struct session_variable){ value, -1, 0 }, &rig.status));
    assert_true(tensor_new(&rig.values[0], DTYPE_FLOAT32, SHAPE(MODEL_COLUMNS, 2), false, &rig.status));
    struct tensor as_table = rig.values[0];
    as_table.ld = 8;
    assert_true(session_bind(rig.session, graph_variable_at(g, 0), &(struct session_variable){ as_table, -1, 0 }, &rig.status));
    assert_says(&rig, ROWS, "the variable w lies as a table, which only lookups can read");
    assert_true(
        session_bind(rig.session, graph_variable_at(g, 0), &(struct session_variable){ rig.values[0], -1, 0 }, &rig.status));
    assert_says(&rig, ROWS, "the gradient of w has no block");
    assert_true(
        session_bind(rig.session, graph_variable_at(g, 0), &(struct session_variable){ rig.values[0], 1, 0 }, &rig.status));
    assert_says(&rig, ROWS, "the gradient of w has no block");
    assert_true(session_groups(rig.session, 1, 79, &rig.status));
    assert_says(&rig, ROWS, "the gradient of w has no block");
    assert_true(session_groups(rig.session, 1, 80, &rig.status));
    rig_run(&rig, ROWS);
    assert_int_equal(session_partials(rig.session, 1).floats, 80);
    assert_int_equal(session_partials(rig.session, 0).floats, 0);
    assert_int_equal(session_partials(rig.session, 5).count, 0);
    tensor_free(&value);
    rig_free(&rig);
    model_data_free(data);
}

/* ---- jobs ---- */

struct work {
    int64_t done[64];
    int calls;
};

static void do_work(void *context, int64_t index, int worker)
{
    struct work *work = context;
    (void)worker;
    work->done[index]++;
}

/* The next batch's input runs behind the first phase, or by itself when there is none; each task once. */
static void jobs_are_done(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct rig rig = rig_new();
        struct pil_graph *g = rig.graph;
        struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, MODEL_COLUMNS), false);
        struct pil_tensor *y = kind ? graph_op1(g, "sum_all", NULL, x) : graph_op1(g, "exp", NULL, graph_scalar(g, 0));
        struct model_data *data = model_data_new(300);
        rig_start(&rig, &y, 1, 3, 5);
        model_bind(rig.session, data, 300);
        struct work work[MAX_JOBS] = { { { 0 }, 0 } };
        struct job jobs[MAX_JOBS];
        for (int j = 0; j < MAX_JOBS; j++)
            jobs[j] = (struct job){ do_work, &work[j], 64 };
        for (size_t count = 0; count < MAX_JOBS; count++)
            assert_true(session_run(rig.session, 300, 1, jobs, count, &rig.status));
        for (int j = 0; j < MAX_JOBS; j++)
            for (int i = 0; i < 64; i++)
                assert_int_equal(work[j].done[i], MAX_JOBS - 1 - j);
        assert_false(session_run(rig.session, 300, 1, jobs, MAX_JOBS, &rig.status));
        assert_string_equal(rig.status.message, "at most 7 jobs can run beside a batch");
        rig_free(&rig);
        model_data_free(data);
    }
}

/* ---- out of memory ---- */

/* A graph from its first node to its first batch; false, with the status filled, when memory was out somewhere. */
static bool build_and_run(struct model_data *data, struct threads *threads, struct tensor *block, pil_status *status)
{
    struct plan *plan = NULL;
    struct session *session = NULL;
    struct pil_graph *graph = graph_new(status);
    if (!graph)
        return false;
    graph_push_scope(graph, "model");
    struct pil_tensor *loss = random_model(graph, 42, 30);
    graph_name(graph, loss, "loss");
    graph_pop_scope(graph);
    graph_moving(graph, graph_variable(graph, "average", SHAPE_SCALAR, model_zeros, false), loss, 0.9f);
    graph_gradients(graph, loss);
    plan = plan_compile(graph, &loss, 1, status);
    session = plan ? session_new(plan, threads, kernel_get(), 1, status) : NULL;
    int64_t floats = 0;
    for (size_t v = 0; session && v < graph_variable_count(graph); v++) {
        const struct graph_variable *variable = graph_variable_at(graph, v);
        struct tensor value = tensor_view(tensor_floats(block) + floats, DTYPE_FLOAT32, variable->shape, false);
        struct session_variable where = { value, 0, floats };
        floats += (value.rows * value.ld + PAD - 1) / PAD * PAD;
        session_bind(session, variable, &where, status);
    }
    assert_true(floats <= block->cols);
    if (session && session_groups(session, 0, floats, status)) {
        model_bind(session, data, 333);
        session_run(session, 100, 1, NULL, 0, status);
        session_run(session, 333, 2, NULL, 0, status);
    }
    session_free(session);
    plan_free(plan);
    graph_free(graph);
    return status_ok(status);
}

static void each_allocation_fails_once(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct model_data *data = model_data_new(333);
    struct threads *threads = threads_new(2, &status);
    struct tensor block;
    assert_true(tensor_new(&block, DTYPE_FLOAT32, SHAPE(1 << 18), false, &status));
    for (int lasting = 0; lasting < 2; lasting++)
        for (int64_t n = 0;; n++) {
            status_clear(&status);
            failing_start(n, lasting);
            bool worked = build_and_run(data, threads, &block, &status);
            long long live = atomic_load(&failing_live);
            bool reached = failing_stop();
            assert_int_equal(live, 0);
            if (!reached) {
                assert_ok(status);
                assert_true(n > 60);
                break;
            }
            assert_false(worked);
            if (status.code != PIL_NO_MEMORY)
                fail_msg("allocation %lld: %s", (long long)n, status.message);
        }
    threads_free(threads);
    tensor_free(&block);
    model_data_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_threads_and_poison),     cmocka_unit_test(batches_of_all_sizes), cmocka_unit_test(inputs_move),
        cmocka_unit_test(a_table_read_densely),       cmocka_unit_test(what_must_be_bound),   cmocka_unit_test(jobs_are_done),
        cmocka_unit_test(each_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
