/* SPDX-License-Identifier: Apache-2.0 */
/* Notes: values come from where they say, and what does not fit is told with the right names. */
#include "failing.h"
#include "model.h"
#include "scratch.h"

/* A checkpoint of step 3, and one of step 4 that the folder names as the newest. */
static void make_source(const char *folder)
{
    pil_status status = { 0 };
    struct store *store = model_new(6, &status);
    broken_start(-1, false);
    for (int64_t step = 3; step <= 4; step++) {
        model_fill(store, step);
        assert_true(checkpoint_save(store, folder, step, NULL, NULL, 0, &status));
    }
    broken_stop();
    store_free(store);
}

static struct store *noted(const char *checkpoint, const char *tensor, struct shape shape, enum store_layout layout)
{
    pil_status status = { 0 };
    struct store *store = store_new(&status);
    assert_non_null(store_declare(store, "before", DTYPE_FLOAT32, SHAPE(2), STORE_DENSE, &status)); /* without a note */
    struct variable *variable = store_declare(store, "here/embedding_weights", DTYPE_FLOAT32, shape, layout, &status);
    assert_true(store_add_slot(store, variable, "here/slot", 0.1f, &status));
    variable->note = (struct store_note){ checkpoint, tensor };
    assert_true(store_allocate(store, &status));
    return store;
}

static void values_arrive(void **state)
{
    (void)state;
    const char *folder = scratch_path("source");
    make_source(folder);
    static const enum store_layout layouts[] = { STORE_TABLE, STORE_DENSE };
    for (int i = 0; i < 4; i++) {
        pil_status status = { 0 };
        bool by_folder = i < 2;
        struct store *store =
            noted(by_folder ? folder : scratch_path("source/model.ckpt-3"), "linear/table", SHAPE(33, 5), layouts[i % 2]);
        assert_true(transfer_apply(store, &status));
        assert_string_equal(status.message, "");
        struct bundle *bundle = bundle_open(scratch_path(by_folder ? "source/model.ckpt-4" : "source/model.ckpt-3"), &status);
        float expected[33 * 5], got[33 * 5];
        assert_true(bundle_read(bundle, bundle_find(bundle, "linear/table"), expected, &status));
        const struct variable *variable = store_find(store, "here/embedding_weights");
        tensor_pack(&variable->value, got);
        assert_memory_equal(got, expected, sizeof got);
        struct tensor slot = store_slot_view(variable, 0);
        assert_true(tensor_floats(&slot)[32 * slot.ld + 4] == 0.1f);
        bundle_close(bundle);
        store_free(store);
    }
    pil_status status = { 0 }; /* a variable in parts */
    struct store *store =
        noted("tests/golden/partitioned_1x/dnn", "dnn/input_from_feature_columns/input_layer/a_embedding/embedding_weights",
              SHAPE(31, 3), STORE_TABLE);
    assert_true(transfer_apply(store, &status));
    assert_true(tensor_floats(&store_find(store, "here/embedding_weights")->value)[0] != 0);
    store_free(store);
}

static void expect_error(const char *checkpoint, const char *tensor, struct shape shape, pil_code code, const char *text)
{
    pil_status status = { 0 };
    struct store *store = noted(checkpoint, tensor, shape, STORE_TABLE);
    assert_false(transfer_apply(store, &status));
    assert_int_equal(status.code, code);
    if (strstr(status.message, text) == NULL)
        assert_string_equal(status.message, text);
    assert_memory_equal(status.message, "variable 'here/embedding_weights': ", 35);
    store_free(store);
}

static void what_does_not_fit(void **state)
{
    (void)state;
    make_source(scratch_path("source"));
    const char *prefix = scratch_path("source/model.ckpt-3");
    assert_non_null(strstr(prefix, "model.ckpt-3"));
    expect_error(prefix, "linear/table:0", SHAPE(33, 5), PIL_INVALID_ARGUMENT,
                 "holds no tensor 'linear/table:0': names in a checkpoint have no ':0'; write 'linear/table'");
    expect_error(prefix, "linear/tabel", SHAPE(33, 5), PIL_NOT_FOUND,
                 "holds no tensor 'linear/tabel'\n          did you mean 'linear/table'");
    expect_error(prefix, "dnn/hiddenlayer_1/bias", SHAPE(33, 5), PIL_NOT_FOUND, "did you mean 'dnn/hiddenlayer_0/bias'");
    expect_error(prefix, "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", SHAPE(33, 5), PIL_NOT_FOUND,
                 "lists the names");
    expect_error(prefix, "linear/table", SHAPE(33, 4), PIL_INVALID_ARGUMENT,
                 "'linear/table' has the shape [33, 5], but 'here/embedding_weights' has [33, 4]");
    expect_error(prefix, "global_step", SHAPE(33, 4), PIL_INVALID_ARGUMENT,
                 "'global_step' is int64, but 'here/embedding_weights' is float32");
    expect_error(prefix, NULL, SHAPE(33, 4), PIL_NOT_FOUND, "holds no tensor 'here/embedding_weights'"); /* its own name */
    expect_error(scratch_path("source/none"), "a", SHAPE(33, 4), PIL_NOT_FOUND, "no such checkpoint");
    expect_error(scratch_folder, "a", SHAPE(33, 4), PIL_NOT_FOUND, "there is no checkpoint in this folder");
}

static char told[2048];

static void take_line(void *context, pil_log_level level, const char *text)
{
    (void)context;
    (void)level;
    strncat(told, text, sizeof told - strlen(told) - 1);
    strncat(told, "\n", sizeof told - strlen(told) - 1);
}

static void warm_start(void **state)
{
    (void)state;
    pil_status status = { 0 };
    make_source(scratch_path("source"));
    struct store *store = model_new(8, &status), *expected = model_new(8, &status); /* two inputs more than there */
    model_fill(expected, 4);
    told[0] = '\0';
    log_set(take_line, NULL);
    assert_true(transfer_warm_start(store, scratch_path("source"), &status));
    log_set(NULL, NULL);
    assert_non_null(strstr(told, "dnn/hiddenlayer_0/kernel is float32 [6, 20] there, float32 [8, 20] here, and starts anew\n"));
    assert_ptr_equal(strchr(told, '\n'), told + strlen(told) - 1);
    for (size_t i = 0; i < store_count(store); i++) {
        const struct variable *got = store_at(store, i), *want = store_find(expected, got->name);
        bool takes = got->trainable && strcmp(got->name, "dnn/hiddenlayer_0/kernel") != 0;
        size_t bytes = (size_t)shape_elements(got->shape) * dtype_size(got->dtype);
        char *a = malloc(bytes), *b = malloc(bytes);
        tensor_pack(&got->value, a);
        tensor_pack(&want->value, b);
        if (!got->hyper)
            assert_int_equal(memcmp(a, b, bytes) == 0, takes);
        free(a);
        free(b);
    }
    struct tensor slot = store_slot_view(store_find(store, "linear/table"), 0);
    assert_true(tensor_floats(&slot)[0] == 0.1f);
    assert_false(transfer_warm_start(store, "tests/golden/partitioned_1x/lin", &status));
    assert_string_equal(status.message,
                        "tests/golden/partitioned_1x/lin: none of its variables fits this model; nothing to start from");
    store_free(store);
    store_free(expected);
}

static void out_of_memory(void **state)
{
    (void)state;
    make_source(scratch_path("source"));
    for (int parted = 0; parted < 2; parted++) {
        struct store *store =
            parted ? noted("tests/golden/partitioned_1x/lin", "linear/linear_model/a/weights", SHAPE(31, 1), STORE_TABLE)
                   : noted(scratch_path("source"), "linear/table", SHAPE(33, 5), STORE_TABLE);
        for (int64_t n = 0;; n++) {
            pil_status status = { 0 };
            failing_start(n, false);
            bool worked = transfer_apply(store, &status);
            long long live = failing_live;
            bool reached = failing_stop();
            assert_int_equal(live, 0);
            assert_int_equal(worked, !reached);
            if (!reached)
                break;
            assert_int_equal(status.code, PIL_NO_MEMORY);
        }
        store_free(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_arrive),
        cmocka_unit_test(what_does_not_fit),
        cmocka_unit_test(warm_start),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("store/transfer", tests, scratch_set_up, scratch_tear_down);
}
