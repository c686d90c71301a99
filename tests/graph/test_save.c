/* SPDX-License-Identifier: Apache-2.0 */
/* A graph that was written and read again gives the same bits; a file that is no graph is told with its line. */
#include "failing.h"
#include "models.h"

/* What the tensors need, as text; the caller frees it. */
static struct text saved(const struct pil_graph *graph, struct pil_tensor *const *wanted, size_t count)
{
    pil_status status = { 0 };
    struct text text = { 0 };
    graph_save(graph, wanted, count, &text, &status);
    assert_ok(status);
    return text;
}

static struct pil_graph *loaded(struct slice text, struct pil_tensor ***wanted, size_t *count, pil_status *status)
{
    struct flow_reader reader = { .rest = text, .file = "predict.graph" };
    return graph_load(&reader, wanted, count, status);
}

/* Variables are taken by name: the loaded graph has those it needs, in its own order. */
static void bind_by_name(struct rig *from, struct rig *to)
{
    for (size_t v = 0; v < graph_variable_count(to->graph); v++) {
        const struct graph_variable *variable = graph_variable_at(to->graph, v);
        size_t at = 0;
        while (strcmp(graph_variable_at(from->graph, at)->name, variable->name) != 0)
            at++;
        assert_true(session_bind(to->session, variable, &(struct session_variable){ from->values[at], -1, -1 }, &to->status));
    }
}

static void check_same_bits(uint64_t seed)
{
    enum { ROWS = 150 };
    struct model_data *data = model_data_new(ROWS);
    struct rig rig = model_rig(seed, 30, 2, data, ROWS, true), again = { 0 };
    struct pil_tensor *wanted[64], **found;
    size_t count = 0, found_count, fetch[64];
    for (size_t f = 1; f < rig.plan->fetch_count && count < COUNT_OF(wanted); f += 3) {
        struct pil_tensor *tensor = rig.plan->tensors[rig.plan->fetches[f]].tensor;
        if (tensor->type.extent != EXTENT_ROWS || strstr(tensor->node->name, "gradient") || tensor->type.dtype != DTYPE_FLOAT32)
            continue;
        fetch[count] = f;
        wanted[count++] = tensor;
    }
    struct text text = saved(rig.graph, wanted, count);
    again.graph = loaded(slice_of(text.data, text.size), &found, &found_count, &again.status);
    if (!again.graph)
        fail_msg("%s in\n%s", again.status.message, text.data);
    assert_int_equal(found_count, count);
    struct text twice = saved(again.graph, found, found_count);
    assert_string_equal(twice.data, text.data);
    rig_start(&again, found, found_count, 1, 5);
    bind_by_name(&rig, &again);
    model_bind(again.session, data, ROWS);
    rig_run(&rig, ROWS);
    rig_run(&again, ROWS);
    for (size_t i = 0; i < count; i++) {
        const struct tensor *a = &session_fetch(rig.session, fetch[i])->tensor, *b = &session_fetch(again.session, i)->tensor;
        assert_true(shape_equal(a->shape, b->shape));
        for (int64_t r = 0; r < a->rows; r++)
            assert_memory_equal(tensor_floats(a) + r * a->ld, tensor_floats(b) + r * b->ld, (size_t)a->cols * sizeof(float));
    }
    text_free(&text);
    text_free(&twice);
    rig_free(&rig);
    rig_free(&again);
    model_data_free(data);
}

static void test_same_bits(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        check_same_bits(seed);
}

static struct pil_tensor *small(struct pil_graph *g)
{
    struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2), false), *y;
    struct pil_tensor *w = graph_variable(g, "odd, name/w", SHAPE(2, 3), (pil_initializer){ 0 }, true);
    graph_variable(g, "unused", SHAPE(7), (pil_initializer){ 0 }, true);
    float values[3] = { 0.1f, -1e-30f, 16777217.0f };
    y = graph_op2(g, "matmul", &(struct op_matmul_args){ .activation = ACTIVATION_TANH }, x, w);
    graph_name(g, y, "hidden");
    return graph_op2(g, "add", NULL, y, graph_constant(g, SHAPE(3), values));
}

static const char small_text[] =
    "graph {version: 1}\n"
    "input {name: x, dtype: float32, shape: [-1, 2], sparse: false}\n"
    "variable {name: \"odd, name/w\", shape: [2, 3]}\n"
    "op {op: matmul, name: hidden, inputs: [0, 1], args: {transpose_a: false, gate: false, bias: false, "
    "activation: tanh}}\n"
    "constant {shape: [3], values: [0.1, -1e-30, 16777216]}\n"
    "op {op: add, name: add, inputs: [2, 3], args: {}}\n"
    "wanted {tensors: [4]}\n";

static void test_text(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_tensor *y = small(rig.graph), **found;
    size_t count;
    struct text text = saved(rig.graph, &y, 1);
    assert_string_equal(text.data, small_text);
    struct pil_graph *again = loaded(slice_of(text.data, text.size), &found, &count, &rig.status);
    assert_ok(rig.status);
    assert_int_equal(count, 1);
    assert_string_equal(graph_tensor_name(found[0]->node->inputs[0]), "hidden");
    assert_int_equal(graph_variable_count(again), 1);
    graph_free(again);
    text_free(&text);
    rig_free(&rig);
}

/* Each case is the small graph with one part replaced. */
static const struct damage {
    const char *from, *to, *says;
    pil_code code;
} damages[] = {
    { "version: 1", "version: 2", "version 2; this library reads version 1", PIL_UNSUPPORTED },
    { "graph {version: 1}\n", "", "a graph should begin here", PIL_BAD_DATA },
    { "wanted {tensors: [4]}\n", "", "no end", PIL_BAD_DATA },
    { "[-1, 2], sparse", "[2, 2], sparse", "no batch of values", PIL_BAD_DATA },
    { "[-1, 2], sparse", "[-1, -1], sparse", "no batch of values", PIL_BAD_DATA },
    { "[-1, 2], sparse", "[-1, 9223372036854775807, 8], sparse", "no batch of values", PIL_BAD_DATA },
    { "[-1, 2], sparse", "[1,1,1,1,1,1,1,1,1], sparse", "too many axes", PIL_BAD_DATA },
    { "dtype: float32", "dtype: string", "unknown type", PIL_BAD_DATA },
    { "name: x", "name: null", "cannot be null", PIL_BAD_DATA },
    { "shape: [2, 3]", "shape: [2, -7]", "negative axis", PIL_BAD_DATA },
    { "shape: [2, 3]", "shape: [4611686018427387904, 4]", "impossible shape", PIL_BAD_DATA },
    { "shape: [2, 3]", "shape: [5, 3]", "[5, 3]", PIL_BAD_DATA },
    { "shape: [2, 3]", "shape: [2, 4611686018427387903]", "larger than any machine's memory", PIL_BAD_DATA },
    { "[-1, 2], sparse", "[-1, 99999999999], sparse", "larger than any machine's memory", PIL_BAD_DATA },
    { "op: matmul", "op: matmull", "there is no op 'matmull'", PIL_UNSUPPORTED },
    { "inputs: [0, 1]", "inputs: [0, 7]", "no such tensor", PIL_BAD_DATA },
    { "inputs: [0, 1]", "inputs: [0, -1]", "no such tensor", PIL_BAD_DATA },
    { "inputs: [0, 1]", "inputs: [0.1, 1]", "no such tensor", PIL_BAD_DATA },
    { "inputs: [0, 1]", "inputs: [0, 1.x]", "no such tensor", PIL_BAD_DATA },
    { "inputs: [0, 1]", "inputs: [0]", "2 to 4 inputs", PIL_BAD_DATA },
    { "inputs: [0, 1]", "inputs: [0, 4]", "no such tensor", PIL_BAD_DATA },
    { "activation: tanh", "activation: tanhh", "did you mean 'tanh'", PIL_BAD_DATA },
    { "gate: false", "gatte: false", "did you mean 'gate'", PIL_BAD_DATA },
    { "shape: [3], values", "shape: [4], values", "more or fewer values", PIL_BAD_DATA },
    { "constant {", "constand {", "no graph has such a record", PIL_BAD_DATA },
    { "args: {}", "args: 7", "arguments as a map", PIL_BAD_DATA },
    { "op {op: add, name: add, inputs: [2, 3], args: {}}", "op 7", "a map should stand here", PIL_BAD_DATA },
    { "tensors: [4]", "tensors: [5]", "no such tensor", PIL_BAD_DATA },
    { "constant {shape: [3], values: [0.1, -1e-30, 16777216]}", "input {name: x, dtype: float32, shape: [-1, 2], sparse: false}",
      "twice", PIL_BAD_DATA },
};

static void test_damage(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        const struct damage *damage = &damages[i];
        pil_status status = { 0 };
        struct text text = { 0 };
        struct pil_tensor **found;
        size_t count;
        const char *at = strstr(small_text, damage->from);
        assert_non_null(at);
        text_append(&text, small_text, (size_t)(at - small_text));
        text_append_text(&text, damage->to);
        text_append_text(&text, at + strlen(damage->from));
        assert_null(loaded(slice_of(text.data, text.size), &found, &count, &status));
        if (!strstr(status.message, damage->says) || status.code != damage->code ||
            strncmp(status.message, "predict.graph:", 14) != 0)
            fail_msg("case %zu: '%s' (%d) says nothing of '%s'", i, status.message, (int)status.code, damage->says);
        text_free(&text);
    }
}

/* Whatever a byte becomes: a graph that compiles or does not, or an error. */
static void test_flipped_bytes(void **state)
{
    static const char bytes[] = "0919-.,:[]{}\"\\x \n\t\x80";
    (void)state;
    char *copy = malloc(sizeof small_text);
    for (size_t i = 0; i < sizeof small_text - 1; i++)
        for (size_t b = 0; b < sizeof bytes; b++) {
            pil_status status = { 0 };
            struct pil_tensor **found;
            size_t count;
            memcpy(copy, small_text, sizeof small_text);
            copy[i] = bytes[b];
            struct pil_graph *graph = loaded(slice_of(copy, sizeof small_text - 1), &found, &count, &status);
            assert_int_equal(graph != NULL, status_ok(&status));
            struct plan *plan = graph ? plan_compile(graph, found, count, &status) : NULL;
            plan_free(plan);
            graph_free(graph);
        }
    free(copy);
}

/* Any number of a graph of many ops becomes one that no shape rule expects. */
static void test_extreme_numbers(void **state)
{
    static const char *const numbers[] = {
        "-1", "0", "3", "65", "2147483648", "4611686018427387904", "-9223372036854775808", "9223372036854775807", "nan", "1e38"
    };
    uint64_t random = 1;
    int compiled = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rig rig = rig_new();
        struct pil_tensor *y = random_model(rig.graph, seed, 40), **found;
        struct text text = saved(rig.graph, &y, 1);
        for (int m = 0; m < 300; m++) {
            random = random * 6364136223846793005ull + 1442695040888963407ull;
            const char *at = text.data + (random >> 20) % text.size, *digits = "0123456789";
            at += strcspn(at, digits);
            struct text other = { 0 };
            pil_status status = { 0 };
            size_t count;
            text_append(&other, text.data, (size_t)(at - text.data));
            text_append_text(&other, *at ? numbers[(random >> 50) % COUNT_OF(numbers)] : "");
            text_append_text(&other, at + strspn(at, digits));
            struct pil_graph *graph = loaded(slice_of(other.data, other.size), &found, &count, &status);
            struct plan *plan = graph ? plan_compile(graph, found, count, &status) : NULL;
            assert_int_equal(plan != NULL, status_ok(&status));
            compiled += plan != NULL;
            plan_free(plan);
            graph_free(graph);
            text_free(&other);
        }
        text_free(&text);
        rig_free(&rig);
    }
    assert_true(compiled > 100 && compiled < 1100);
}

static void test_cut_off(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof small_text - 1; size++) {
        pil_status status = { 0 };
        struct pil_tensor **found;
        size_t count;
        assert_null(loaded(slice_of(small_text, size), &found, &count, &status));
        assert_int_equal(status.code, PIL_BAD_DATA);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        struct pil_tensor **found;
        size_t count;
        failing_start(n, false);
        struct pil_graph *graph = loaded(slice_text(small_text), &found, &count, &status);
        struct text text = { 0 };
        bool worked = graph && graph_save(graph, found, count, &text, &status);
        text_free(&text);
        graph_free(graph);
        assert_int_equal(atomic_load(&failing_live), 0);
        if (!failing_stop())
            break;
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),          cmocka_unit_test(test_same_bits), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_flipped_bytes), cmocka_unit_test(test_cut_off),   cmocka_unit_test(test_extreme_numbers),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
