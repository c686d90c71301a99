/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution and pools over time as models call them, against TensorFlow's outputs and gradients. */
#include "graph/layers.h"
#include "pilaster/op.h"

enum { MOST = 256 };

static bool is_word(const struct json_value *item, const char *key, const char *word)
{
    struct json_value value = golden_get(item, key);
    return slice_is(value.text, word);
}

static struct pil_tensor *call(struct pil_graph *g, const struct json_value *item, struct pil_tensor *x,
                               struct pil_tensor *kernel)
{
    const pil_padding padding = is_word(item, "padding", "same")     ? PIL_PADDING_SAME
                                : is_word(item, "padding", "causal") ? PIL_PADDING_CAUSAL
                                                                     : PIL_PADDING_VALID;
    if (kernel)
        return pil_conv1d(g, x, kernel, .padding = padding, .stride = (int64_t)golden_number(item, "stride", 1),
                          .dilation_rate = (int64_t)golden_number(item, "dilation_rate", 1));
    const int64_t size = (int64_t)golden_number(item, "ksize", 0), strides = (int64_t)golden_number(item, "strides", 0);
    return is_word(item, "op", "max_pool1d") ? pil_max_pool1d(g, x, size, .strides = strides, .padding = padding)
                                             : pil_avg_pool1d(g, x, size, .strides = strides, .padding = padding);
}

static void run_case(const struct json_value *item, int number)
{
    float values[MOST];
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct json_value x = golden_get(item, "x"), row = item_at(&x, 0), step = item_at(&row, 0), some;
    const int64_t batch = (int64_t)x.count, channels = (int64_t)step.count;
    struct pil_tensor *in = trained_x(g, batch, (int64_t)row.count, channels), *kernel = NULL;
    if (json_get(item, "kernel", &some)) {
        struct json_value first = item_at(&some, 0), second = item_at(&first, 0);
        kernel = graph_variable(g, "kernel", SHAPE((int64_t)some.count, channels, (int64_t)second.count), noise_init, true);
    }
    struct pil_tensor *y = call(g, item, in, kernel);
    assert_ok(*graph_status(g));
    const struct shape shape = shape_with_batch(y->type.shape, batch);
    struct pil_tensor *by = graph_input(g, "by", DTYPE_FLOAT32, y->type.shape, false);
    struct pil_tensor *fetches[] = { total(g, graph_op2(g, "mul", NULL, y, by)), y };
    graph_gradients(g, fetches[0]);
    rig_start(&rig, fetches, 2, 1, 5);
    struct tensor weight, identity = bind_identity(rig.session, batch);
    assert_true(tensor_new(&weight, DTYPE_FLOAT32, shape, true, &rig.status));
    assert_int_equal(numbers(item, "output_weight", values), shape_elements(shape));
    tensor_unpack(values, &weight);
    session_input(rig.session, "by", &(struct op_value){ .tensor = weight });
    numbers(item, "x", values);
    tensor_unpack(values, &rig.values[0]);
    if (kernel) {
        numbers(item, "kernel", values);
        tensor_unpack(values, &rig.values[1]);
    }
    rig_run(&rig, batch);
    numbers(item, "output", values);
    check_close("output", number, &session_fetch(rig.session, 1)->tensor, values);
    float *gradients = rig_gradients(&rig);
    numbers(item, "x_gradient", values);
    check_gradient(&rig, gradients, 0, number, values);
    if (kernel) {
        numbers(item, "kernel_gradient", values);
        check_gradient(&rig, gradients, 1, number, values);
    }
    tensor_free(&weight);
    tensor_free(&identity);
    rig_free(&rig);
}

static void tensorflows_windows(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    int count = 0;
    assert_true(golden_open(&golden, "tests/golden/windows.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++)
        run_case(&item, count);
    assert_int_equal(count, 18);
    golden_close(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensorflows_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
