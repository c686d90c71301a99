/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recurrent layers as a model function builds them: TensorFlow's outputs, states and gradients, its own tests of cells, each layer as
 * one node and made of small ops; what such a layer becomes in a plan; what is said of mistakes.
 */
#include "layers.h"
#include "graph/cell.h"
#include "pilaster/op.h"

/* ---- one layer with the loss of the golden data ---------------------------------------------------------------- */

enum { MOST = 4096, MOST_STEPS = 16, MOST_BOUND = 12 };

struct layer_run {
    struct rig rig;
    struct pil_tensor *x, *outputs, *loss;
    pil_rnn_state state;
    int64_t batch, time, features, size;
    bool time_major;
    struct tensor bound[MOST_BOUND];
    int bound_count;
};

static void bind_values(struct layer_run *run, const char *name, enum dtype dtype, struct shape shape, const float *values)
{
    struct tensor *tensor = &run->bound[run->bound_count++];
    assert_true(tensor_new(tensor, dtype, shape_with_batch(shape, run->batch), true, &run->rig.status));
    if (dtype == DTYPE_FLOAT32)
        tensor_unpack(values, tensor);
    for (int64_t r = 0; dtype == DTYPE_INT32 && r < tensor->rows; r++)
        ((int32_t *)tensor->data)[r * tensor->ld] = (int32_t)values[r];
    session_input(run->rig.session, name, &(struct op_value){ .tensor = *tensor });
}

static struct pil_tensor *weighted(struct layer_run *run, const char *name, struct pil_tensor *x)
{
    struct pil_tensor *by = graph_input(run->rig.graph, name, DTYPE_FLOAT32, x->type.shape, false);
    return total(run->rig.graph, graph_op2(run->rig.graph, "mul", NULL, x, by));
}

/* x's steps, cut as a model cuts them. */
static void cut_steps(const struct layer_run *run, struct pil_tensor **steps)
{
    struct pil_graph *g = run->rig.graph;
    struct pil_tensor *flat = graph_op1(g, "reshape", &(struct op_reshape_args){ SHAPE(-1, run->time * run->features) }, run->x);
    for (int64_t t = 0; t < run->time; t++)
        steps[t] = graph_op1(g, "slice", &(struct op_slice_args){ 1, t * run->features, run->features }, flat);
}

/* Outputs put together again, [batch, time, size]. */
static struct pil_tensor *join_steps(const struct layer_run *run, struct pil_tensor *const *steps)
{
    struct pil_graph *g = run->rig.graph;
    struct pil_tensor *joined = graph_op(g, "concat", &(struct op_axis_args){ 1 }, steps, (int)run->time, NULL);
    return graph_op1(g, "reshape", &(struct op_reshape_args){ SHAPE(-1, run->time, run->size) }, joined);
}

static void carry(struct layer_run *run, pil_rnn_cell *cell, pil_rnn_state initial, struct pil_tensor *lengths, bool dynamic)
{
    struct pil_graph *g = run->rig.graph;
    struct pil_tensor *steps[MOST_STEPS], *outputs[MOST_STEPS];
    if (dynamic) {
        const pil_axes exchange = PIL_AXES(1, 0, 2);
        struct pil_tensor *x = run->time_major ? pil_transpose(g, run->x, exchange) : run->x;
        pil_dynamic_rnn_result result =
            pil_dynamic_rnn(g, cell, x, .initial_state = initial, .sequence_length = lengths, .time_major = run->time_major);
        run->outputs = run->time_major ? pil_transpose(g, result.outputs, exchange) : result.outputs;
        run->state = result.state;
        return;
    }
    cut_steps(run, steps);
    run->state = pil_static_rnn(g, cell, steps, (size_t)run->time, outputs, .initial_state = initial, .sequence_length = lengths);
    assert_ok(*graph_status(g));
    run->outputs = join_steps(run, outputs);
}

/* ---- golden/rnn_v1.json: cells of TensorFlow 1 ------------------------------------------------------------------- */

static const char *text_of(const struct json_value *map, const char *key, char out[64])
{
    struct json_value value;
    if (!json_get(map, key, &value))
        return NULL;
    snprintf(out, 64, "%.*s", (int)value.text.size, value.text.data);
    return out;
}

static bool flag_of(const struct json_value *map, const char *key)
{
    struct json_value value;
    return json_get(map, key, &value) && value.flag;
}

static pil_rnn_cell *golden_cell(struct pil_graph *g, const struct json_value *item)
{
    char name[64], word[64];
    struct json_value options = golden_get(item, "options"), projection;
    const int64_t units = (int64_t)golden_number(&options, "num_units", 0);
    const char *activation = text_of(&options, "activation", word);
    activation = activation ? activation : "tanh";
    text_of(item, "cell", name);
    if (strcmp(name, "basic_lstm") == 0)
        return pil_basic_lstm_cell(g, units, .activation = activation);
    if (strcmp(name, "gru") == 0)
        return pil_gru_cell(g, units, .activation = activation);
    if (strcmp(name, "basic_rnn") == 0)
        return pil_basic_rnn_cell(g, units, .activation = activation);
    assert_string_equal(name, "lstm");
    return pil_lstm_cell(g, units, .activation = activation, .use_peepholes = flag_of(&options, "use_peepholes"),
                         .cell_clip = golden_number(&options, "cell_clip", 0),
                         .proj_clip = golden_number(&options, "proj_clip", 0),
                         .forget_bias = golden_number(&options, "forget_bias", 1),
                         .num_proj = json_get(&options, "num_proj", &projection) ? (int64_t)projection.number : 0);
}

/* Names, shapes and constant first values as TensorFlow has them; then its values. */
static void set_variables(struct layer_run *run, const struct json_value *item)
{
    static float values[MOST];
    struct json_value list = golden_get(item, "variables"), entry;
    size_t v = 1; /* behind x */
    for (struct json_walk walk = json_children(&list); json_next(&walk, NULL, &entry); v++) {
        const struct graph_variable *variable = graph_variable_at(run->rig.graph, v);
        struct json_value shape = golden_get(&entry, "shape");
        float dims[4], start = golden_number(&entry, "constant_start", -1);
        char name[64];
        assert_string_equal(variable->name, text_of(&entry, "name", name));
        assert_int_equal(flatten(&shape, dims), variable->shape.rank);
        for (int i = 0; i < variable->shape.rank; i++)
            assert_true((float)variable->shape.dims[i] == dims[i]);
        assert_true(start != 0 || variable->initializer.kind == PIL_INITIALIZER_ZEROS);
        assert_true(start != 1 || variable->initializer.kind == PIL_INITIALIZER_ONES);
        assert_true(start != -1 || variable->initializer.kind == PIL_INITIALIZER_GLOROT_UNIFORM);
        numbers(&entry, "value", values);
        tensor_unpack(values, &run->rig.values[v]);
    }
    assert_int_equal(v, graph_variable_count(run->rig.graph));
}

static void check_variables(struct layer_run *run, const struct json_value *item, int number)
{
    static float want[MOST];
    struct json_value list = golden_get(item, "variables"), entry;
    float *gradients = rig_gradients(&run->rig);
    size_t v = 1;
    for (struct json_walk walk = json_children(&list); json_next(&walk, NULL, &entry); v++) {
        numbers(&entry, "gradient", want);
        check_gradient(&run->rig, gradients, v, number, want);
    }
    numbers(item, "x_gradient", want);
    check_gradient(&run->rig, gradients, 0, number, want);
}

static void begin(struct layer_run *run, const struct json_value *x)
{
    struct json_value row = item_at(x, 0), step = item_at(&row, 0);
    run->rig = rig_new();
    run->batch = (int64_t)x->count;
    run->time = (int64_t)row.count;
    run->features = (int64_t)step.count;
    run->x = trained_x(run->rig.graph, run->batch, run->time, run->features);
}

static void end(struct layer_run *run)
{
    for (int i = 0; i < run->bound_count; i++)
        tensor_free(&run->bound[i]);
    rig_free(&run->rig);
}

static void run_golden(const struct json_value *item, int number, bool unrolled)
{
    static float values[MOST];
    struct layer_run run = { .time_major = flag_of(item, "time_major") };
    struct json_value x = golden_get(item, "x"), some;
    begin(&run, &x);
    struct pil_graph *g = run.rig.graph;
    run.rig.graph->unrolls_cells = unrolled;
    run.size = (int64_t)golden_number(item, "size", 0);
    pil_rnn_cell *cell = golden_cell(g, item);
    pil_rnn_state initial = { 0 };
    const bool ends = json_get(item, "lengths", &some), has_c = json_get(item, "c", &some);
    if (json_get(item, "initial_h", &some))
        initial.h = graph_input(g, "initial_h", DTYPE_FLOAT32, SHAPE(BATCH_DIM, run.size), false);
    if (json_get(item, "initial_c", &some))
        initial.c = graph_input(g, "initial_c", DTYPE_FLOAT32, SHAPE(BATCH_DIM, cell->num_units), false);
    struct pil_tensor *lengths = ends ? graph_input(g, "lengths", DTYPE_INT32, SHAPE(BATCH_DIM), false) : NULL;
    carry(&run, cell, initial, lengths, flag_of(item, "dynamic"));
    assert_ok(*graph_status(g));
    struct pil_tensor *loss =
        graph_op2(g, "add", NULL, weighted(&run, "outputs_weight", run.outputs), weighted(&run, "h_weight", run.state.h));
    if (has_c)
        loss = graph_op2(g, "add", NULL, loss, weighted(&run, "c_weight", run.state.c));
    graph_gradients(g, loss);
    struct pil_tensor *fetches[] = { loss, run.outputs, run.state.h, run.state.c };
    rig_start(&run.rig, fetches, 3 + has_c, 1, 5);
    set_variables(&run, item);
    numbers(item, "x", values);
    tensor_unpack(values, &run.rig.values[0]);
    static const char *const inputs[] = { "initial_h", "initial_c", "outputs_weight", "h_weight", "c_weight" };
    for (size_t i = 0; i < COUNT_OF(inputs); i++)
        if (json_get(item, inputs[i], &some)) {
            numbers(item, inputs[i], values);
            struct shape shape =
                i == 2 ? SHAPE(BATCH_DIM, run.time, run.size) : SHAPE(BATCH_DIM, i % 3 == 1 ? cell->num_units : run.size);
            bind_values(&run, inputs[i], DTYPE_FLOAT32, shape, values);
        }
    if (ends) {
        numbers(item, "lengths", values);
        bind_values(&run, "lengths", DTYPE_INT32, SHAPE(BATCH_DIM), values);
    }
    run.bound[run.bound_count++] = bind_identity(run.rig.session, run.batch);
    rig_run(&run.rig, run.batch);
    static const char *const results[] = { "outputs", "h", "c" };
    for (size_t i = 0; i < 2 + (size_t)has_c; i++) {
        numbers(item, results[i], values);
        check_close(results[i], number, &session_fetch(run.rig.session, i + 1)->tensor, values);
    }
    check_variables(&run, item, number);
    end(&run);
}

static void cells_of_tensorflow_1(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    int count = 0;
    assert_true(golden_open(&golden, "tests/golden/rnn_v1.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        run_golden(&item, count, false);
        run_golden(&item, count, true);
    }
    assert_int_equal(count, 9);
    golden_close(&golden);
}

/* ---- golden/rnn.json: BasicLSTMCell ------------------------------------------------------------------------------ */

static void run_basic(const struct json_value *item, int number, bool unrolled)
{
    static float values[MOST];
    struct layer_run run = { 0 };
    struct json_value x = golden_get(item, "x"), bias = golden_get(item, "bias");
    begin(&run, &x);
    struct pil_graph *g = run.rig.graph;
    g->unrolls_cells = unrolled;
    run.size = (int64_t)bias.count / 4;
    struct pil_tensor *steps[MOST_STEPS], *outputs[MOST_STEPS];
    cut_steps(&run, steps);
    pil_rnn_cell *cell = pil_basic_lstm_cell(g, run.size, .forget_bias = golden_number(item, "forget_bias", 1));
    run.state = pil_static_rnn(g, cell, steps, (size_t)run.time, outputs);
    run.outputs = join_steps(&run, outputs);
    struct pil_tensor *loss = weighted(&run, "last_output_grad", outputs[run.time - 1]);
    graph_gradients(g, loss);
    struct pil_tensor *fetches[] = { loss, run.outputs, run.state.h, run.state.c };
    rig_start(&run.rig, fetches, 4, 1, 5);
    static const char *const given[] = { "x", "kernel", "bias" }, *const wanted[] = { "x_grad", "kernel_grad", "bias_grad" };
    for (size_t v = 0; v < 3; v++) {
        numbers(item, given[v], values);
        tensor_unpack(values, &run.rig.values[v]);
    }
    numbers(item, "last_output_grad", values);
    bind_values(&run, "last_output_grad", DTYPE_FLOAT32, SHAPE(BATCH_DIM, run.size), values);
    run.bound[run.bound_count++] = bind_identity(run.rig.session, run.batch);
    rig_run(&run.rig, run.batch);
    static const char *const results[] = { "outputs", "final_h", "final_c" };
    for (size_t i = 0; i < 3; i++) {
        numbers(item, results[i], values);
        check_close(results[i], number, &session_fetch(run.rig.session, i + 1)->tensor, values);
    }
    float *gradients = rig_gradients(&run.rig);
    for (size_t v = 0; v < 3; v++) {
        numbers(item, wanted[v], values);
        check_gradient(&run.rig, gradients, v, number, values);
    }
    end(&run);
}

static void basic_lstm_cells(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    int number = 0, count = 0;
    assert_true(golden_open(&golden, "tests/golden/rnn.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); number++) {
        struct json_value cell = golden_get(&item, "cell");
        if (!slice_is(cell.text, "BasicLSTMCell"))
            continue;
        run_basic(&item, number, false);
        run_basic(&item, number, true);
        count++;
    }
    assert_int_equal(count, 4);
    golden_close(&golden);
}

/* ---- TensorFlow's own tests of cells ----------------------------------------------------------------------------- */

static void fill(struct tensor *tensor, float value)
{
    for (int64_t r = 0; r < tensor->rows; r++)
        for (int64_t c = 0; c < tensor->cols; c++)
            tensor_floats(tensor)[r * tensor->ld + c] = value;
}

static void fill_by_name(struct rig *rig, const struct json_value *item)
{
    for (size_t v = 0; v < graph_variable_count(rig->graph); v++) {
        const char *name = graph_variable_at(rig->graph, v)->name;
        bool bias = strstr(name, "bias") != NULL;
        const char *key = !bias                       ? "kernel_constant"
                          : strstr(name, "gates")     ? "gate_bias"
                          : strstr(name, "candidate") ? "candidate_bias"
                                                      : "bias_constant";
        fill(&rig->values[v], golden_number(item, key, 0));
    }
}

static void check_gru(const struct json_value *item)
{
    float values[8];
    struct layer_run run = { .rig = rig_new(), .batch = 1, .time = 1 };
    struct pil_graph *g = run.rig.graph;
    run.features = numbers(item, "x", values);
    struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, run.features), false), *output;
    struct pil_tensor *h = graph_input(g, "h", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2), false);
    pil_static_rnn(g, pil_gru_cell(g, 2), &x, 1, &output, .initial_state = { .h = h });
    rig_start(&run.rig, &output, 1, 1, 5);
    fill_by_name(&run.rig, item);
    bind_values(&run, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, run.features), values);
    numbers(item, "h", values);
    bind_values(&run, "h", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2), values);
    rig_run(&run.rig, 1);
    numbers(item, "expected", values);
    tensor_pack(&session_fetch(run.rig.session, 0)->tensor, values + 2);
    assert_true(golden_error(values + 2, values, 2, 1.0) <= 1e-5);
    end(&run);
}

/* Two layers of one step, each with a state of its own. */
static void check_stacked(const struct json_value *item)
{
    static const char *const inputs[] = { "x", "c0", "h0", "c1", "h1" };
    float values[8];
    struct layer_run run = { .rig = rig_new(), .batch = 1, .time = 1 };
    struct pil_graph *g = run.rig.graph;
    struct pil_tensor *in[5], *first, *second;
    for (int i = 0; i < 5; i++)
        in[i] = graph_input(g, inputs[i], DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2), false);
    pil_rnn_state one = pil_static_rnn(g, pil_basic_lstm_cell(g, 2, .name = "multi_rnn_cell/cell_0/basic_lstm_cell"), &in[0], 1,
                                       &first, .initial_state = { in[1], in[2] });
    pil_rnn_state two = pil_static_rnn(g, pil_basic_lstm_cell(g, 2, .name = "multi_rnn_cell/cell_1/basic_lstm_cell"), &first, 1,
                                       &second, .initial_state = { in[3], in[4] });
    struct pil_tensor *fetches[] = { second, one.c, one.h, two.c, two.h };
    rig_start(&run.rig, fetches, 5, 1, 5);
    assert_string_equal(graph_variable_at(g, 2)->name, "rnn/multi_rnn_cell/cell_1/basic_lstm_cell/kernel");
    fill_by_name(&run.rig, item);
    for (int i = 0; i < 5; i++) {
        numbers(item, inputs[i], values);
        bind_values(&run, inputs[i], DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2), values);
    }
    rig_run(&run.rig, 1);
    static const char *const wanted[] = { "expected_output", "expected_state0_c_h", "expected_state1_c_h" };
    for (size_t i = 0, fetch = 0; i < 3; i++) {
        int64_t count = numbers(item, wanted[i], values);
        for (int64_t n = 0; n < count; n += 2, fetch++)
            check_close(wanted[i], (int)i, &session_fetch(run.rig.session, fetch)->tensor, values + n);
    }
    end(&run);
}

/* The last output of sequences of unlike length, to one unit. */
static void check_last(const struct json_value *item)
{
    float values[16], x[8] = { 0 }, lengths[4];
    struct layer_run run = { .rig = rig_new(), .batch = 2, .time = 2, .features = 1 };
    struct pil_graph *g = run.rig.graph;
    struct json_value sequences = golden_get(item, "sequences");
    for (int64_t r = 0; r < 2; r++) {
        struct json_value row = item_at(&sequences, r);
        lengths[r] = (float)flatten(&row, x + 2 * r);
    }
    run.x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2, 1), false);
    struct pil_tensor *ends = graph_input(g, "lengths", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false);
    pil_dynamic_rnn_result result = pil_dynamic_rnn(g, pil_basic_rnn_cell(g, 2), run.x, .sequence_length = ends);
    struct pil_tensor *kernel = pil_variable(g, "dense/kernel", pil_zeros(g, PIL_SHAPE(2, 1)));
    struct pil_tensor *bias = pil_variable(g, "dense/bias", pil_zeros(g, PIL_SHAPE(1)));
    struct pil_tensor *logits = graph_op3(g, "matmul", &(struct op_matmul_args){ .bias = true }, result.state.h, kernel, bias);
    rig_start(&run.rig, &logits, 1, 1, 5);
    numbers(item, "kernel", values);
    numbers(item, "recurrent", values + 2);
    tensor_unpack(values, &run.rig.values[0]);
    numbers(item, "bias", values);
    tensor_unpack(values, &run.rig.values[1]);
    numbers(item, "dense_kernel", values);
    tensor_unpack(values, &run.rig.values[2]);
    fill(&run.rig.values[3], golden_number(item, "dense_bias", 0));
    bind_values(&run, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2, 1), x);
    bind_values(&run, "lengths", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), lengths);
    rig_run(&run.rig, 2);
    numbers(item, "expected_last", values);
    tensor_pack(&session_fetch(run.rig.session, 0)->tensor, values + 2);
    if (!(golden_error(values + 2, values, 2, 1.0) <= 1e-4))
        fail_msg("%g %g, not %g %g", (double)values[2], (double)values[3], (double)values[0], (double)values[1]);
    end(&run);
}

static void tensorflows_own_tests(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item, some;
    int grus = 0, stacked = 0, lasts = 0;
    if (!golden_open(&golden, "../shared/conformance/tf_golden/rnn_cells.json")) {
        print_message("# ../shared/conformance is absent\n");
        skip();
    }
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item);) {
        struct json_value what = golden_get(&item, "fn");
        if (json_get(&item, "gate_bias", &some)) {
            check_gru(&item);
            grus++;
        } else if (json_get(&item, "expected_state0_c_h", &some)) {
            check_stacked(&item);
            stacked++;
        } else if (slice_is(what.text, "SimpleRNN+dense") && json_get(&item, "expected_last", &some)) {
            check_last(&item);
            lasts++;
        }
    }
    assert_true(grus == 2 && stacked == 1 && lasts == 1);
    golden_close(&golden);
}

/* ---- the node against small ops, at sizes of many tiles ---------------------------------------------------------- */

struct form {
    double loss;
    float gradients[16384], outputs[65536];
    int64_t floats, count;
};

static pil_rnn_cell *make_cell(struct pil_graph *g, int kind, int64_t units)
{
    return kind == 0   ? pil_basic_lstm_cell(g, units, .forget_bias = 0.5f)
           : kind == 1 ? pil_lstm_cell(g, units, .activation = "softsign")
           : kind == 2 ? pil_gru_cell(g, units)
                       : pil_basic_rnn_cell(g, units, .activation = "sigmoid");
}

static void run_form(int kind, int64_t units, bool ends, bool dynamic, bool unrolled, struct form *out)
{
    enum { ROWS = 150, TIME = 5, FEATURES = 3 };
    struct layer_run run = { .rig = rig_new(), .batch = ROWS, .time = TIME, .features = FEATURES, .size = units };
    struct pil_graph *g = run.rig.graph;
    static float lengths[ROWS];
    g->unrolls_cells = unrolled;
    run.x = trained_x(g, ROWS, TIME, FEATURES);
    struct pil_tensor *given = ends ? graph_input(g, "lengths", DTYPE_INT32, SHAPE(BATCH_DIM, 1), false) : NULL;
    carry(&run, make_cell(g, kind, units), (pil_rnn_state){ 0 }, given, dynamic);
    struct pil_tensor *loss =
        graph_op2(g, "add", NULL, weighted_squares(g, run.outputs, 0.3f), weighted_squares(g, run.state.h, 0.7f));
    if (run.state.c)
        loss = graph_op2(g, "add", NULL, loss, weighted_squares(g, run.state.c, 0.2f));
    graph_gradients(g, loss);
    struct pil_tensor *fetches[] = { loss, run.outputs };
    rig_start(&run.rig, fetches, 2, 2, 5);
    session_poison(run.rig.session);
    run.bound[run.bound_count++] = bind_identity(run.rig.session, ROWS);
    for (int r = 0; r < ROWS; r++)
        lengths[r] = (float)(r * 7 % (TIME + 1));
    if (ends)
        bind_values(&run, "lengths", DTYPE_INT32, SHAPE(BATCH_DIM, 1), lengths);
    rig_run(&run.rig, ROWS);
    out->loss = session_scalar(run.rig.session, 0);
    const struct tensor *outputs = &session_fetch(run.rig.session, 1)->tensor;
    out->count = outputs->rows * outputs->cols;
    out->floats = run.rig.floats;
    assert_true(out->floats <= (int64_t)COUNT_OF(out->gradients) && out->count <= (int64_t)COUNT_OF(out->outputs));
    tensor_pack(outputs, out->outputs);
    memcpy(out->gradients, rig_gradients(&run.rig), (size_t)out->floats * sizeof(float));
    assert_null(session_dirty_pad(run.rig.session));
    end(&run);
}

static void node_against_small_ops(void **state)
{
    (void)state;
    static const int64_t sizes[] = { 1, 3, 20 };
    static struct form forms[2];
    for (int kind = 0; kind < 4; kind++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            for (int variant = 0; variant < 4; variant++) {
                for (int k = 0; k < 2; k++)
                    run_form(kind, sizes[i], variant & 1, variant & 2, k, &forms[k]);
                double error = golden_error(forms[0].gradients, forms[1].gradients, forms[0].floats, 1.0);
                double outputs = golden_error(forms[0].outputs, forms[1].outputs, forms[0].count, 1.0);
                if (!(error <= 1e-5 && outputs <= 1e-6 && fabs(forms[0].loss - forms[1].loss) <= 1e-6 * fabs(forms[1].loss)))
                    fail_msg("cell %d of %lld units, variant %d: gradients differ by %g, outputs by %g, losses %.9g and %.9g",
                             kind, (long long)sizes[i], variant, error, outputs, forms[0].loss, forms[1].loss);
            }
}

/* ---- what a plan makes of it ------------------------------------------------------------------------------------- */

enum { SERIES = 9 };

/* The steps of a series as models cut them. */
static void cut_series(pil_graph *g, int how, pil_tensor **steps)
{
    struct pil_tensor *block = graph_input(g, "block", DTYPE_FLOAT32, SHAPE(BATCH_DIM, SERIES + 2), false);
    struct pil_tensor *series = graph_op1(g, "slice", &(struct op_slice_args){ 1, 2, SERIES }, block);
    if (how == 0)
        pil_split(g, series, SERIES, 1, steps);
    else if (how == 1)
        pil_unstack(g, pil_expand_dims(g, series, -1), SERIES, 1, steps);
    for (int t = 0; how == 2 && t < SERIES; t++) /* features of one number each, side by side */
        steps[t] = graph_op1(g, "slice", &(struct op_slice_args){ 1, 2 + t, 1 }, block);
    if (how == 3)
        pil_split(g, graph_input(g, "whole", DTYPE_FLOAT32, SHAPE(BATCH_DIM, SERIES), false), SERIES, 1, steps);
    if (how >= 4) { /* not in the order of time: these must be copied */
        pil_split(g, series, SERIES, 1, steps);
        struct pil_tensor *last = steps[SERIES - 1];
        steps[SERIES - 1] = steps[0];
        steps[0] = last;
    }
}

/* The model of a sine's next value: the last output to one unit. */
static struct pil_tensor *next_value(struct pil_graph *g, int how, bool with_loss, struct pil_tensor **outputs)
{
    struct pil_tensor *steps[SERIES];
    cut_series(g, how, steps);
    pil_static_rnn(g, pil_basic_lstm_cell(g, 3), steps, SERIES, outputs);
    struct pil_tensor *w = pil_variable(g, "w", pil_ones(g, PIL_SHAPE(3, 1)));
    struct pil_tensor *y = graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, outputs[SERIES - 1], w);
    struct pil_tensor *loss = weighted_squares(g, y, 1);
    if (with_loss)
        graph_gradients(g, loss);
    return with_loss ? loss : y;
}

static const struct step *find_step(const struct plan *plan, const char *op)
{
    for (int s = 0; s < plan->step_count; s++)
        if (strcmp(plan->steps[s].row->name, op) == 0)
            return &plan->steps[s];
    return NULL;
}

/* Nobody writes a sequence that nobody reads; what predicts saves nothing for a gradient. */
static void unread_sequences_are_not_made(void **state)
{
    (void)state;
    for (int which = 0; which < 3; which++) { /* trained, predicting, with an earlier output read */
        struct rig rig = rig_new();
        struct pil_tensor *outputs[SERIES], *fetches[2];
        fetches[0] = next_value(rig.graph, 0, which != 1, outputs);
        fetches[1] = outputs[4];
        rig_start(&rig, fetches, which == 2 ? 2 : 1, 1, 5);
        const struct step *rnn = find_step(rig.plan, "rnn");
        const struct op_rnn_args *args = rnn->args;
        assert_true((find_step(rig.plan, "unstack") != NULL) == (which == 2));
        assert_true(args->state_only == (which != 2) && args->forward_only == (which == 1));
        assert_int_equal(rnn->output_count, which == 1 ? 3 : 4);
        assert_false(((const struct op_rnn_args *)rnn->node->args)->state_only); /* the graph is as it was */
        rig_free(&rig);
    }
}

/* Steps that lie side by side are read where they lie, and all ways to cut them give the same numbers. */
static void steps_are_read_where_they_lie(void **state)
{
    (void)state;
    enum { ROWS = 40 };
    double losses[5];
    for (int how = 0; how < 5; how++) {
        struct rig rig = rig_new();
        struct pil_tensor *outputs[SERIES], *loss = next_value(rig.graph, how, true, outputs);
        rig_start(&rig, &loss, 1, 1, 5);
        for (int s = 0; s < rig.plan->step_count; s++)
            if (rig.plan->steps[s].row->view && !rig.plan->steps[s].view)
                fail_msg("way %d: %s is copied", how, rig.plan->steps[s].node->name);
        assert_true((find_step(rig.plan, "concat") != NULL) == (how == 4));
        const int64_t width = how == 3 ? SERIES : SERIES + 2;
        struct tensor x;
        assert_true(tensor_new(&x, DTYPE_FLOAT32, SHAPE(ROWS, width), true, &rig.status));
        for (int64_t r = 0; r < ROWS; r++)
            for (int64_t c = 0; c < width; c++)
                tensor_floats(&x)[r * x.ld + c] = sinf((float)(r * 3 + c + (how == 3 ? 2 : 0)));
        session_input(rig.session, how == 3 ? "whole" : "block", &(struct op_value){ .tensor = x });
        rig_run(&rig, ROWS);
        losses[how] = session_scalar(rig.session, 0);
        tensor_free(&x);
        rig_free(&rig);
    }
    for (int how = 1; how < 4; how++)
        assert_true(losses[how] == losses[0]);
    assert_true(losses[4] != losses[0]);
}

/* ---- what is said of mistakes ------------------------------------------------------------------------------------ */

static struct pil_tensor *steps_of(struct pil_graph *g, struct pil_tensor **steps, int count, int64_t features)
{
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        steps[i] = graph_input(g, name, DTYPE_FLOAT32, SHAPE(BATCH_DIM, features), false);
    }
    return steps[0];
}

static void make_mistake(int which, struct pil_graph *g, struct pil_graph *other)
{
    struct pil_tensor *x[3], *y[3], *sequence = graph_input(g, "s", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 3, 2), false);
    steps_of(g, x, 3, 2);
    pil_rnn_cell *cell = pil_basic_lstm_cell(g, 4), *gru = pil_gru_cell(g, 4), *foreign = pil_gru_cell(other, 4);
    struct pil_tensor *wide = graph_input(g, "wide", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 5), false);
    struct pil_tensor *h = graph_input(g, "h", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 4), false);
    switch (which) {
    case 0:
        pil_static_rnn(g, cell, x, 3, y);
        pil_static_rnn(g, cell, x, 3, y, .scope = "second");
        break;
    case 1:
        pil_push_scope(g, "tower");
        pil_static_rnn(g, cell, x, 3, y);
        pil_pop_scope(g);
        pil_dynamic_rnn(g, cell, sequence);
        break;
    case 2:
        pil_static_rnn(g, cell, x, 3, y);
        pil_static_rnn(g, pil_basic_lstm_cell(g, 5), x, 3, y);
        break;
    case 3:
        x[1] = wide;
        pil_static_rnn(g, cell, x, 3, y);
        break;
    case 4:
        x[2] = NULL;
        pil_static_rnn(g, cell, x, 3, y);
        break;
    case 5:
        pil_static_rnn(g, cell, x, 0, y);
        break;
    case 6:
        pil_static_rnn(g, cell, &sequence, 1, y);
        break;
    case 7:
        pil_dynamic_rnn(g, cell, wide);
        break;
    case 8:
        pil_static_rnn(g, foreign, x, 3, y);
        break;
    case 9:
        pil_static_rnn(g, NULL, x, 3, y);
        break;
    case 10:
        pil_static_rnn(g, cell, x, 3, y, .initial_state = { .h = h });
        break;
    case 11:
        pil_static_rnn(g, gru, x, 3, y, .initial_state = { h, h });
        break;
    case 12:
        pil_static_rnn(g, gru, x, 3, y, .initial_state = { .h = wide });
        break;
    case 13:
        pil_static_rnn(g, gru, x, 3, y, .sequence_length = wide);
        break;
    case 14:
        pil_static_rnn(g, gru, x, 3, y, .scope = NULL);
        break;
    case 15:
        pil_dynamic_rnn(g, gru, NULL);
        break;
    }
    for (int i = 0; which != 15 && which != 7 && which != 1 && which != 5 && which != 6 && i < 3; i++)
        assert_ptr_equal(y[i], graph_error_tensor(g));
}

static void mistakes(void **state)
{
    (void)state;
    static const char *const says[] = {
        "pil_static_rnn: the cell basic_lstm_cell has been used already, under the scope 'rnn'; now under 'second'\n",
        "pil_dynamic_rnn: the cell basic_lstm_cell has been used already, under the scope 'tower/rnn'; now under 'rnn'\n",
        "the variable rnn/basic_lstm_cell/kernel exists already: it is [6, 16] there, [7, 20] here\n",
        "pil_static_rnn: input 2, wide, is [?, 5], input 1, x0, is [?, 2]; all steps need one shape",
        "pil_static_rnn: input 3 is NULL",
        "pil_static_rnn: 0 inputs; 1 to 1048576 are possible",
        "pil_static_rnn: input 1, s, is float32 [?, 3, 2]; float32 [?, features] is needed",
        "pil_dynamic_rnn: the inputs, wide, are float32 [?, 5]; float32 [?, time, features] is needed",
        "pil_static_rnn: the cell was made for another graph",
        "pil_static_rnn: the cell is NULL",
        "pil_static_rnn: the initial_state has no c",
        "pil_static_rnn: the initial_state has a c, which the cell gru_cell has not",
        "pil_static_rnn: initial_state.h, wide, is float32 [?, 5]; float32 [?, 4] is needed",
        "pil_static_rnn: the sequence_length, wide, is float32 [?, 5]; numbers [?] or [?, 1] of this graph are needed",
        "pil_static_rnn without a name (it is NULL)",
        "pil_dynamic_rnn: the inputs are NULL",
    };
    for (size_t i = 0; i < COUNT_OF(says); i++) {
        struct rig rig = rig_new(), other = rig_new();
        make_mistake((int)i, rig.graph, other.graph);
        if (!strstr(graph_status(rig.graph)->message, says[i]))
            fail_msg("mistake %zu: '%s' does not say: %s", i, graph_status(rig.graph)->message, says[i]);
        rig_free(&rig);
        rig_free(&other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_of_tensorflow_1),
        cmocka_unit_test(basic_lstm_cells),
        cmocka_unit_test(tensorflows_own_tests),
        cmocka_unit_test(node_against_small_ops),
        cmocka_unit_test(unread_sequences_are_not_made),
        cmocka_unit_test(steps_are_read_where_they_lie),
        cmocka_unit_test(mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
