/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans: what is left out, what is fused, what is a view or written in place, and that none of it changes a bit; who may lie as a
 * table; how many shards a batch has.
 */
#include "models.h"

static const pil_initializer zeros = { PIL_INITIALIZER_ZEROS, 0, 0 };

static struct pil_tensor *matrix(struct pil_graph *g, const char *name, int64_t columns)
{
    return graph_input(g, name, DTYPE_FLOAT32, SHAPE(BATCH_DIM, columns), false);
}

static struct pil_tensor *mean_of(struct pil_graph *g, struct pil_tensor *x)
{
    return graph_op1(g, "divide_by_rows", &(struct op_count_args){ 1 }, graph_op1(g, "sum_all", NULL, x));
}

static struct pil_tensor *layer(struct pil_graph *g, struct pil_tensor *x, const char *name, int64_t units,
                                enum activation activation)
{
    char kernel[64], bias[64];
    struct op_matmul_args args = { .bias = true, .activation = activation };
    snprintf(kernel, sizeof kernel, "%s/kernel", name);
    snprintf(bias, sizeof bias, "%s/bias", name);
    int64_t inputs = x->type.shape.dims[x->type.shape.rank - 1];
    return graph_op3(g, "matmul", &args, x, graph_variable(g, kernel, SHAPE(inputs, units), zeros, true),
                     graph_variable(g, bias, SHAPE(units), zeros, true));
}

static struct plan *compile(struct pil_graph *g, struct pil_tensor *const *fetches, size_t count)
{
    pil_status status = { 0 };
    assert_ok(*graph_status(g));
    struct plan *plan = plan_compile(g, fetches, count, &status);
    assert_ok(status);
    return plan;
}

static int count_steps(const struct plan *plan, const char *op)
{
    int count = 0;
    for (int s = 0; s < plan->step_count; s++)
        count += strcmp(plan->steps[s].row->name, op) == 0;
    return count;
}

static const struct plan_tensor *tensor_of(const struct plan *plan, const struct pil_tensor *tensor)
{
    assert_true(plan_number(plan, tensor) >= 0);
    return &plan->tensors[plan_number(plan, tensor)];
}

static void dead_ops_are_dropped(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = matrix(g, "x", 3), *y = matrix(g, "y", 3);
    struct pil_tensor *used = graph_op1(g, "square", NULL, x);
    struct pil_tensor *dead = graph_op1(g, "exp", NULL, graph_op2(g, "add", NULL, used, y));
    struct plan *plan = compile(g, &used, 1);
    assert_int_equal(plan->step_count, 1);
    assert_int_equal(plan->input_count, 1);
    assert_int_equal(plan_number(plan, dead), -1);
    struct threads *threads = threads_new(1, &rig.status);
    struct session *session = session_new(plan, threads, kernel_get(), 1, &rig.status);
    struct op_value value = { 0 };
    assert_true(session_input(session, "x", &value));
    assert_false(session_input(session, "y", &value)); /* not read */
    assert_false(session_input(session, "z", &value));
    session_free(session);
    threads_free(threads);
    plan_free(plan);
    /* A gradient is needed although nobody fetches it; a second plan of the graph may want other things. */
    struct pil_tensor *loss = mean_of(g, graph_op2(g, "mul", NULL, used, graph_variable(g, "w", SHAPE(3), zeros, true)));
    graph_gradients(g, loss);
    plan = compile(g, &loss, 1);
    assert_int_equal(count_steps(plan, "sum_to"), 1);
    assert_int_equal(count_steps(plan, "exp"), 0);
    plan_free(plan);
    rig_free(&rig);
}

/* ---- fused or not: the same bits ---- */

static void gates_are_fused(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *h = layer(g, matrix(g, "x", 5), "a", 7, ACTIVATION_RELU);
    h = layer(g, h, "b", 6, ACTIVATION_RELU);
    h = layer(g, h, "c", 4, ACTIVATION_TANH);
    struct pil_tensor *loss = mean_of(g, layer(g, h, "d", 1, ACTIVATION_LINEAR));
    graph_gradients(g, loss);
    struct plan *plan = compile(g, &loss, 1);
    int gated = 0;
    for (int s = 0; s < plan->step_count; s++)
        gated += strcmp(plan->steps[s].row->name, "matmul") == 0 && ((const struct op_matmul_args *)plan->steps[s].args)->gate;
    assert_int_equal(gated, 2);                                    /* the gradients of a's and b's outputs */
    assert_int_equal(count_steps(plan, "activation_gradient"), 1); /* tanh's */
    plan_free(plan);
    /* A product that is fetched, or read by others, keeps its own step. */
    struct pil_tensor *fetches[8] = { loss };
    size_t count = 1;
    for (size_t n = 0; n < g->node_count; n++)
        if (g->nodes[n]->row && strcmp(g->nodes[n]->row->name, "activation_gradient") == 0)
            fetches[count++] = g->nodes[n]->inputs[0];
    assert_int_equal(count, 4);
    plan = compile(g, fetches, count);
    assert_int_equal(count_steps(plan, "activation_gradient"), 3);
    plan_free(plan);
    rig_free(&rig);
}

static void concats_are_written_in_place(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct op_lookup_args args = { .pairs = 1 };
    struct pil_tensor *ids = graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true), *x = matrix(g, "x", 3);
    struct pil_tensor *a = graph_op2(g, "lookup", &args, ids, graph_variable(g, "a", SHAPE(9, 4), zeros, true));
    struct pil_tensor *b = graph_op1(g, "indicator", &(struct op_indicator_args){ 9 }, ids);
    struct pil_tensor *c = graph_op2(g, "lookup", &args, ids, graph_variable(g, "c", SHAPE(9, 2), zeros, true));
    struct pil_tensor *twice = graph_op2(g, "lookup", &args, ids, graph_variable(g, "twice", SHAPE(9, 2), zeros, true));
    struct pil_tensor *list[] = { a, x, b, c, twice, twice };
    struct pil_tensor *all = graph_op(g, "concat", &(struct op_axis_args){ -1 }, list, 6, NULL);
    struct pil_tensor *fetches[] = { graph_op1(g, "square", NULL, all), c };
    struct plan *plan = compile(g, fetches, 2);
    const struct plan_tensor *in = tensor_of(plan, a);
    assert_true(in->place == PLACE_COLUMNS && in->base == plan_number(plan, all) && in->offset == 0 && in->ld == 32);
    in = tensor_of(plan, b);
    assert_true(in->place == PLACE_COLUMNS && in->offset == 7 && in->ld == 32);
    assert_true(tensor_of(plan, c)->place == PLACE_BATCH);    /* fetched */
    assert_true(tensor_of(plan, twice)->place == PLACE_TILE); /* stands at two places */
    assert_true(tensor_of(plan, x)->place == PLACE_INPUT);
    plan_free(plan);
    rig_free(&rig);
}

static void slices_are_views(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct op_slice_args middle = { 1, 2, 3 }, inner = { -1, 1, 2 };
    struct pil_tensor *x = matrix(g, "x", 8), *view = graph_op1(g, "slice", &middle, x),
                      *nested = graph_op1(g, "slice", &inner, view);
    struct pil_tensor *copied = graph_op1(g, "slice", &middle, x), *fetched = graph_op1(g, "slice", &middle, x);
    struct pil_tensor *product =
        graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, copied, graph_variable(g, "w", SHAPE(3, 2), zeros, true));
    struct pil_tensor *fetches[] = { graph_op1(g, "exp", NULL, nested), product, fetched };
    struct plan *plan = compile(g, fetches, 3);
    assert_true(tensor_of(plan, view)->place == PLACE_COLUMNS && tensor_of(plan, view)->offset == 2);
    assert_true(tensor_of(plan, nested)->place == PLACE_COLUMNS && tensor_of(plan, nested)->offset == 1);
    assert_true(tensor_of(plan, copied)->place == PLACE_TILE && tensor_of(plan, fetched)->place == PLACE_BATCH);
    int64_t columns;
    assert_true(plan_root(plan, plan_number(plan, nested), &columns) == plan_number(plan, x) && columns == 3);
    plan_free(plan);
    rig_free(&rig);
}

/* What keeps all columns is laid as what it looks at, so that every op can read it; a part of a row only some can. */
static void reshapes_are_views(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = matrix(g, "x", 6),
                      *folded = graph_op1(g, "reshape", &(struct op_reshape_args){ { 3, { BATCH_DIM, 2, 3 } } }, x);
    struct pil_tensor *part = graph_op1(g, "slice", &(struct op_slice_args){ 1, 1, 1 }, folded);
    struct pil_tensor *flat = graph_op1(g, "reshape", &(struct op_reshape_args){ { 2, { BATCH_DIM, 3 } } }, part);
    struct pil_tensor *w = graph_variable(g, "w", SHAPE(3, 2), zeros, true);
    struct pil_tensor *fetches[] = { graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, folded, w),
                                     graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, flat, w) };
    struct plan *plan = compile(g, fetches, 2);
    assert_true(tensor_of(plan, folded)->place == PLACE_COLUMNS);
    assert_true(tensor_of(plan, part)->place == PLACE_COLUMNS && tensor_of(plan, part)->offset == 3);
    assert_true(tensor_of(plan, flat)->place == PLACE_TILE);
    plan_free(plan);
    rig_free(&rig);
}

static void elementwise_ops_write_over_their_input(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = graph_op1(g, "exp", NULL, matrix(g, "x", 5)), *a = graph_op1(g, "square", NULL, x);
    struct pil_tensor *b = graph_op2(g, "mul", NULL, a, graph_variable(g, "v", SHAPE(5), zeros, true)),
                      *c = graph_op2(g, "add", NULL, x, b);
    struct pil_tensor *d = graph_op1(g, "softmax", NULL, c), *loss = graph_op1(g, "sum_all", NULL, d);
    struct plan *plan = compile(g, &loss, 1);
    assert_true(tensor_of(plan, a)->offset != tensor_of(plan, x)->offset); /* x is read again */
    assert_true(tensor_of(plan, b)->offset == tensor_of(plan, a)->offset);
    assert_true(tensor_of(plan, c)->offset == tensor_of(plan, x)->offset); /* of two candidates the first */
    assert_true(tensor_of(plan, d)->offset != tensor_of(plan, c)->offset); /* softmax is not elementwise */
    assert_int_equal(plan->tile_bytes, 2 * TILE_ROWS * PAD * (int64_t)sizeof(float));
    plan_free(plan);
    rig_free(&rig);
}

/* Random graphs, fused and placed, against the same graphs with every tensor fetched: no fusion, no views, nothing shared. */
static void fused_equals_unfused(void **state)
{
    (void)state;
    enum { ROWS = 31, FLOATS = 1 << 18 };
    struct model_data *data = model_data_new(ROWS);
    float *fused = calloc(FLOATS, sizeof *fused), *plain = calloc(FLOATS, sizeof *plain);
    int gates = 0, columns = 0, in_place = 0;
    assert_true(fused && plain);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig a = model_rig(seed, 12 + (int)seed % 30, 2, data, ROWS, false),
                   b = model_rig(seed, 12 + (int)seed % 30, 2, data, ROWS, true);
        rig_run(&a, ROWS);
        rig_run(&b, ROWS);
        for (int s = 0; s < a.plan->step_count; s++)
            gates +=
                strcmp(a.plan->steps[s].row->name, "matmul") == 0 && ((const struct op_matmul_args *)a.plan->steps[s].args)->gate;
        for (int t = 0; t < a.plan->tensor_count; t++)
            columns += a.plan->tensors[t].place == PLACE_COLUMNS;
        for (int s = 0; s < a.plan->step_count; s++) {
            const struct plan_tensor *out = &a.plan->tensors[a.plan->steps[s].outputs[0]],
                                     *in = &a.plan->tensors[a.plan->steps[s].inputs[0]];
            in_place += out->place == PLACE_TILE && in->place == PLACE_TILE && out->offset == in->offset &&
                        in->last_use == out->first_use;
        }
        size_t count = model_results(&a, fused, FLOATS);
        assert_int_equal(model_results(&b, plain, FLOATS), count);
        for (size_t n = 0; n < count; n++)
            if (memcmp(&fused[n], &plain[n], sizeof *fused) != 0)
                fail_msg("graph %llu: result %zu of %zu is %.9g fused, %.9g unfused", (unsigned long long)seed, n, count,
                         (double)fused[n], (double)plain[n]);
        assert_true(isfinite(fused[0]));
        rig_free(&a);
        rig_free(&b);
    }
    if (gates < 5 || columns < 50 || in_place < 50) /* they did differ */
        fail_msg("%d gates, %d tensors in others' columns, %d in place", gates, columns, in_place);
    free(fused);
    free(plain);
    model_data_free(data);
}

/* ---- tables ---- */

static void lookup_only(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct op_lookup_args args = { .pairs = 1 };
    struct pil_tensor *ids = graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true), *x = matrix(g, "x", 9);
    static const char *const names[] = { "table", "both", "dense", "unread", "fetched" };
    struct pil_tensor *v[5], *sum = NULL;
    for (int i = 0; i < 5; i++)
        v[i] = graph_variable(g, names[i], SHAPE(9, 4), zeros, true);
    for (int i = 0; i < 5; i++) {
        struct pil_tensor *part = i == 2   ? graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, x, v[i])
                                  : i == 3 ? NULL
                                           : graph_op2(g, "lookup", &args, ids, v[i]);
        sum = !part ? sum : sum ? graph_op2(g, "add", NULL, sum, part) : part;
    }
    sum = graph_op2(g, "add", NULL, sum, graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, x, v[1]));
    struct pil_tensor *fetches[] = { mean_of(g, sum), v[4] };
    graph_gradients(g, fetches[0]);
    struct plan *plan = compile(g, fetches, 2);
    static const bool want[] = { true, false, false, false, false };
    for (size_t i = 0; i < 5; i++)
        assert_true(graph_variable_at(g, i)->lookup_only == want[i]);
    plan_free(plan);
    rig_free(&rig);
}

/* ---- shards ---- */

static int64_t shards_of(struct pil_graph *g, struct pil_tensor *last, int64_t rows)
{
    struct pil_tensor *loss = mean_of(g, last);
    graph_gradients(g, loss);
    struct plan *plan = compile(g, &loss, 1);
    int64_t shards = plan_shards(plan, rows);
    for (int64_t more = rows; more < 3 * rows; more += 7) /* a larger batch never has fewer */
        assert_true(plan_shards(plan, more) >= shards || (shards = plan_shards(plan, more)) == 0);
    shards = plan_shards(plan, rows);
    assert_int_equal(plan_shards(plan, 1), 1);
    assert_int_equal(plan_shards(plan, 20), 1);
    plan_free(plan);
    return shards;
}

static struct pil_tensor *with_tables(struct pil_graph *g, struct pil_tensor *x, int tables)
{
    struct pil_tensor *parts[32], *ids = graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true);
    for (int i = 0; i < tables; i++) {
        char name[32];
        snprintf(name, sizeof name, "table%d", i);
        parts[i] = graph_op2(g, "lookup", &(struct op_lookup_args){ .pairs = 1 }, ids,
                             graph_variable(g, name, SHAPE(100, 16), zeros, true));
    }
    parts[tables] = x;
    return graph_op(g, "concat", &(struct op_axis_args){ 1 }, parts, tables + 1, NULL);
}

/* The design's figures: a shard must be worth its partial. */
static void shards(void **state)
{
    (void)state;
    static const struct {
        int64_t sizes[5], rows, shards;
        int tables; /* embeddings of 16 beside the numbers */
    } list[] = {
        { { 12, 64, 32, 1 }, 512, 8, 0 },         /* A */
        { { 13, 256, 128, 64, 1 }, 2048, 8, 26 }, /* B */
        { { 13, 256, 128, 64, 1 }, 16384, 64, 26 },
        { { 3, 1 }, 1 << 20, 64, 0 }, /* never more than 64 */
        { { 3, 1 }, 512, 1, 0 },      /* a handful of operations a row pays no partial */
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        struct rig rig = rig_new();
        struct pil_tensor *h = with_tables(rig.graph, matrix(rig.graph, "x", list[i].sizes[0]), list[i].tables);
        for (int l = 1; l < 5 && list[i].sizes[l]; l++) {
            char name[16];
            snprintf(name, sizeof name, "l%d", l);
            h = layer(rig.graph, h, name, list[i].sizes[l], list[i].sizes[l] == 1 ? ACTIVATION_LINEAR : ACTIVATION_RELU);
        }
        int64_t got = shards_of(rig.graph, h, list[i].rows);
        if (got != list[i].shards)
            fail_msg("case %zu: %lld shards, not %lld", i, (long long)got, (long long)list[i].shards);
        rig_free(&rig);
    }
    /* 50 steps of an LSTM of 128 units do as much work a row as this product over 50 positions. */
    static const int64_t sequences[][2] = { { 64, 4 }, { 63, 2 }, { 31, 1 } }; /* and no shard has fewer than 16 rows */
    for (size_t i = 0; i < COUNT_OF(sequences); i++) {
        struct rig rig = rig_new();
        struct pil_tensor *x = graph_input(rig.graph, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 50, 129), false);
        assert_int_equal(shards_of(rig.graph, layer(rig.graph, x, "lstm", 512, ACTIVATION_TANH), sequences[i][0]),
                         sequences[i][1]);
        rig_free(&rig);
    }
}

/* The partials of all shards together stay within 256 MB. */
static void shards_have_a_ceiling(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_tensor *x = graph_input(rig.graph, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 64, 4096), false);
    struct pil_tensor *loss = mean_of(rig.graph, layer(rig.graph, x, "wide", 4096, ACTIVATION_LINEAR)); /* 64 MB of gradient */
    graph_gradients(rig.graph, loss);
    struct plan *plan = compile(rig.graph, &loss, 1);
    assert_true(plan->gradient_bytes > 64 << 20 && plan->gradient_bytes < 65 << 20);
    assert_int_equal(plan_shards(plan, 1 << 20), 2); /* four would be 256 MB and a little */
    plan_free(plan);
    rig_free(&rig);
}

static void dump(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = graph_op1(g, "slice", &(struct op_slice_args){ 1, 0, 2 }, matrix(g, "x", 3));
    struct pil_tensor *loss = mean_of(g, graph_op1(g, "square", NULL, x));
    struct plan *plan = compile(g, &loss, 1);
    struct text text = { 0 };
    plan_dump(plan, &text);
    assert_string_equal(text.data, "1 view   slice (slice) [?, 2] columns\n"
                                   "1 rows   square (square) [?, 2] tile\n"
                                   "1 reduce sum_all (sum_all) [] partial\n"
                                   "2 whole  divide_by_rows (divide_by_rows) [] static\n");
    text_free(&text);
    assert_int_equal(plan_stages(plan), 3);
    assert_true(plan_flops(plan) == 3); /* two squares, one sum */
    plan_free(plan);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_ops_are_dropped),
        cmocka_unit_test(gates_are_fused),
        cmocka_unit_test(concats_are_written_in_place),
        cmocka_unit_test(slices_are_views),
        cmocka_unit_test(reshapes_are_views),
        cmocka_unit_test(elementwise_ops_write_over_their_input),
        cmocka_unit_test(fused_equals_unfused),
        cmocka_unit_test(lookup_only),
        cmocka_unit_test(shards),
        cmocka_unit_test(shards_have_a_ceiling),
        cmocka_unit_test(dump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
