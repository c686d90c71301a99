/* SPDX-License-Identifier: Apache-2.0 */
/* Restoring: TensorFlow's checkpoints of the twins there and back, what another model is told, what is damaged, parts of 1.x. */
#include "failing.h"
#include "model.h"
#include "scratch.h"

static const struct checkpoint_restore_options everything = { .slots = true }, values_only = { .slots = false };

/* ---- TensorFlow's checkpoints -------------------------------------------------------------------------------- */

static bool is_table(const char *name)
{
    return strstr(name, "embedding_weights") != NULL ||
           (strstr(name, "linear_model") != NULL && strstr(name, "/weights") != NULL);
}

/* The twins' checkpoints pass through the store, whose layouts are quite other, and come out byte for byte. */
static void twins_there_and_back(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char **paths;
    size_t count;
    assert_true(file_glob("tests/golden/twin/*/step*/model.ckpt-*.index", arena, &paths, &count, &status));
    assert_true(count >= 9);
    for (size_t i = 0; i < count; i++) {
        char prefix[512], data[600], back[64];
        snprintf(prefix, sizeof prefix, "%.*s", (int)(strlen(paths[i]) - strlen(".index")), paths[i]);
        struct store *store = model_after(prefix, i % 2 == 0 ? is_table : NULL);
        assert_true(checkpoint_restore(store, prefix, &everything, &status));
        assert_string_equal(status.message, "");
        struct bundle *bundle = bundle_open(prefix, &status); /* the model's rates are kept, so give it these */
        for (size_t k = 0; k < bundle_count(bundle); k++) {
            float *value = store_float32(store, bundle_at(bundle, k)->name);
            assert_true(value == NULL || bundle_read(bundle, bundle_at(bundle, k), value, &status));
        }
        bundle_close(bundle);
        int64_t step = *store_int64(store, "global_step");
        broken_start(-1, false);
        assert_true(
            checkpoint_save(store, scratch_path("twin"), step, &(struct checkpoint_keep){ .newest = 1 }, NULL, 0, &status));
        broken_stop();
        snprintf(back, sizeof back, "twin/model.ckpt-%d.index", (int)step);
        scratch_expect_same(paths[i], scratch_path(back));
        snprintf(data, sizeof data, "%s.data-00000-of-00001", prefix);
        snprintf(back, sizeof back, "twin/model.ckpt-%d.data-00000-of-00001", (int)step);
        scratch_expect_same(data, scratch_path(back));
        snprintf(data, sizeof data, "%.*s/checkpoint", (int)(strrchr(prefix, '/') - prefix), prefix);
        scratch_expect_same(data, scratch_path("twin/checkpoint"));
        store_free(store);
    }
    arena_free(arena);
}

/* "lin linear/.../weights/part_0/Ftrl 17 0x1.8p+0": bundle, name, index, value. */
static void parts_of_1x(void **state)
{
    (void)state;
    static const struct {
        const char *bundle, *variable, *slots[2];
        int64_t dim;
    } cases[] = {
        { "lin", "linear/linear_model/a/weights", { "part_0/Ftrl", "part_0/Ftrl_1" }, 1 },
        { "dnn", "dnn/input_from_feature_columns/input_layer/a_embedding/embedding_weights", { "t_0/Adagrad" }, 3 },
    };
    size_t size, checked = 0;
    char *expected = scratch_read("tests/golden/partitioned_1x/expected.txt", &size);
    assert_non_null(expected);
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        pil_status status = { 0 };
        struct store *store = store_new(&status);
        struct variable *table =
            store_declare(store, cases[c].variable, DTYPE_FLOAT32, SHAPE(31, cases[c].dim), STORE_TABLE, &status);
        char slots[2][256], prefix[64];
        for (int k = 0; k < 2 && cases[c].slots[k] != NULL; k++) {
            snprintf(slots[k], sizeof slots[k], "%s/%s", cases[c].variable, cases[c].slots[k]);
            assert_true(store_add_slot(store, table, slots[k], 0, &status));
        }
        assert_true(store_allocate(store, &status));
        snprintf(prefix, sizeof prefix, "tests/golden/partitioned_1x/%s", cases[c].bundle);
        /* Only this table is declared, so the checkpoint has more than the model. */
        assert_false(checkpoint_restore(store, prefix, &everything, &status));
        assert_non_null(strstr(status.message, c == 0 ? "linear/linear_model/bias_weights is [1] there, but not here"
                                                      : "dnn/hiddenlayer_0/bias is [2] there, but not here"));
        status_clear(&status);
        static const char *const rest[][4] = { { "linear/linear_model/bias_weights" },
                                               { "dnn/hiddenlayer_0/bias", "dnn/hiddenlayer_0/kernel", "dnn/logits/bias",
                                                 "dnn/logits/kernel" } };
        struct bundle *bundle = bundle_open(prefix, &status);
        struct store *whole = store_new(&status);
        table = store_declare(whole, cases[c].variable, DTYPE_FLOAT32, SHAPE(31, cases[c].dim), STORE_TABLE, &status);
        for (int k = 0; k < 2 && cases[c].slots[k] != NULL; k++)
            assert_true(store_add_slot(whole, table, slots[k], 0, &status));
        for (int k = 0; k < 4 && rest[c][k] != NULL; k++)
            assert_non_null(
                store_declare(whole, rest[c][k], DTYPE_FLOAT32, bundle_find(bundle, rest[c][k])->shape, STORE_DENSE, &status));
        bundle_close(bundle);
        assert_true(store_allocate(whole, &status));
        assert_true(checkpoint_restore(whole, prefix, &everything, &status));
        assert_string_equal(status.message, "");
        for (char *line = expected; *line != '\0'; line = strchr(line, '\n') + 1) {
            char name[256];
            int index, used;
            if (strncmp(line, cases[c].bundle, 3) != 0 || sscanf(line + 4, "%255s %d %n", name, &index, &used) != 2)
                continue;
            struct tensor values = table->value;
            for (int k = 0; k < table->slot_count; k++) {
                if (strcmp(name, table->slots[k].name) == 0)
                    values = store_slot_view(table, k);
            }
            float got = tensor_floats(&values)[index / values.cols * values.ld + index % values.cols];
            assert_true(got == strtof(line + 4 + used, NULL));
            checked++;
        }
        store_free(store);
        store_free(whole);
    }
    assert_int_equal(checked, 31 * 3 + 31 * 3 * 2);
    free(expected);
}

/* ---- another model ------------------------------------------------------------------------------------------- */

static void save(const struct store *store, const char *folder, int64_t step)
{
    pil_status status = { 0 };
    broken_start(-1, false);
    assert_true(checkpoint_save(store, folder, step, NULL, NULL, 0, &status));
    broken_stop();
}

static void expect_refusal(struct store *store, const char *prefix, const struct checkpoint_restore_options *options,
                           const char *text)
{
    pil_status status = { 0 };
    assert_false(checkpoint_restore(store, prefix, options, &status));
    assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    if (strstr(status.message, text) == NULL)
        assert_string_equal(status.message, text);
}

static void another_model(void **state)
{
    (void)state;
    pil_status status = { 0 };
    const char *folder = scratch_path("another"), *prefix = scratch_path("another/model.ckpt-7");
    struct checkpoint_restore_options options = { .slots = true, .model_dir = folder };
    struct store *saved = model_new(42, &status), *store = model_new(38, &status), *before = model_new(38, &status);
    char expected[1600];
    model_fill(saved, 7);
    save(saved, folder, 7);
    model_fill(store, 1);
    model_fill(before, 1);
    snprintf(expected, sizeof expected,
             "%s is of another model: dnn/hiddenlayer_0/kernel is [42, 20] there, [38, 20] here\n"
             "          start in an empty folder, or take over what fits with --warm-start-from %s",
             prefix, folder);
    expect_refusal(store, prefix, &options, expected);
    expect_refusal(store, prefix, &values_only, "dnn/hiddenlayer_0/kernel is [42, 20] there, [38, 20] here");
    assert_true(model_same(store, before, true)); /* nothing was changed */
    store_free(store);
    store_free(before);

    store = store_new(&status); /* a variable more than there */
    assert_non_null(model_add(store, "dnn/average", DTYPE_FLOAT32, SHAPE(7), STORE_DENSE, 0, &status));
    assert_non_null(model_add(store, "dnn/zero", DTYPE_FLOAT32, SHAPE(8), STORE_DENSE, 0, &status));
    assert_true(store_allocate(store, &status));
    expect_refusal(store, prefix, &values_only, "is of another model: dnn/zero is not there, [8] here");
    store_free(store);

    store = store_new(&status); /* fewer than there */
    assert_non_null(model_add(store, "dnn/average", DTYPE_FLOAT32, SHAPE(7), STORE_DENSE, 0, &status));
    assert_true(store_allocate(store, &status));
    expect_refusal(store, prefix, &everything, "is of another model: dnn/hiddenlayer_0/bias is [20] there, but not here");
    assert_true(checkpoint_restore(store, prefix, &values_only, &status)); /* who evaluates may read what it needs */
    store_free(store);

    store = store_new(&status); /* another type, another optimizer */
    assert_non_null(store_declare(store, "dnn/average", DTYPE_INT32, SHAPE(7), STORE_PLAIN, &status));
    assert_true(store_allocate(store, &status));
    expect_refusal(store, prefix, &everything, "dnn/average is float32 [7] there, int32 [7] here");
    store_free(store);
    store = model_new(42, &status);
    store_free(saved);
    saved = store_new(&status);
    for (size_t i = 0; i < store_count(store); i++) /* the same variables without slots */
        assert_non_null(store_declare(saved, store_at(store, i)->name, store_at(store, i)->dtype, store_at(store, i)->shape,
                                      store_at(store, i)->layout, &status));
    assert_true(store_allocate(saved, &status));
    save(saved, folder, 8);
    expect_refusal(store, scratch_path("another/model.ckpt-8"), &options,
                   "was trained with another optimizer: training/Ftrl/dnn/hiddenlayer_0/bias/accumulator is not there");
    assert_true(checkpoint_restore(store, scratch_path("another/model.ckpt-8"), &values_only, &status));
    store_free(store);
    store_free(saved);
}

/* ---- scalars ------------------------------------------------------------------------------------------------- */

static char told[1024];

static void take_line(void *context, pil_log_level level, const char *text)
{
    (void)context;
    (void)level;
    strncat(told, text, sizeof told - strlen(told) - 1);
}

static void hyper_parameters(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *saved = model_new(3, &status), *store = model_new(3, &status);
    char expected[1200];
    *store_float32(saved, "training/Ftrl/learning_rate") = 0.2f;
    model_fill(saved, 5);
    save(saved, scratch_path("hyper"), 5);
    const char *prefix = scratch_path("hyper/model.ckpt-5");
    told[0] = '\0';
    log_set(take_line, NULL);
    assert_true(checkpoint_restore(store, prefix, &everything, &status));
    snprintf(expected, sizeof expected, "%s: training/Ftrl/learning_rate is 0.2 there and 0.05 in the model, which is used",
             prefix);
    assert_string_equal(told, expected);
    assert_true(*store_float32(store, "training/Ftrl/learning_rate") == 0.05f);
    assert_int_equal(*store_int64(store, "training/Ftrl/iter"), 6);
    told[0] = '\0';
    assert_true(checkpoint_restore(store, prefix, &values_only, &status)); /* evaluating: no matter */
    *store_float32(store, "training/Ftrl/learning_rate") = 0.2f;
    assert_true(checkpoint_restore(store, prefix, &everything, &status)); /* no difference */
    assert_string_equal(told, "");
    log_set(NULL, NULL);
    store_free(saved);
    store_free(store);
}

/* An optimizer's scalars may be missing; the step may not, when training goes on. */
static void missing_scalars(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *saved = store_new(&status), *store = store_new(&status);
    for (int i = 0; i < 2; i++)
        assert_non_null(model_add(i == 0 ? saved : store, "w", DTYPE_FLOAT32, SHAPE(2), STORE_DENSE, 0, &status));
    assert_non_null(model_add(store, "global_step", DTYPE_INT64, SHAPE_SCALAR, STORE_PLAIN, 0, &status));
    assert_non_null(model_add(store, "training/Ftrl/iter", DTYPE_INT64, SHAPE_SCALAR, STORE_PLAIN, 0, &status));
    model_add(store, "training/Ftrl/learning_rate", DTYPE_FLOAT32, SHAPE_SCALAR, STORE_PLAIN, 0, &status)->hyper = true;
    assert_true(store_allocate(saved, &status) && store_allocate(store, &status));
    save(saved, scratch_path("scalars"), 1);
    *store_int64(store, "training/Ftrl/iter") = 77;
    assert_true(checkpoint_restore(store, scratch_path("scalars/model.ckpt-1"), &values_only, &status));
    expect_refusal(store, scratch_path("scalars/model.ckpt-1"), &everything, "global_step is not there, [] here");
    assert_int_equal(*store_int64(store, "training/Ftrl/iter"), 77);
    store_free(saved);
    store_free(store);
}

/* What another optimizer left, in a scope of its own, is no variable of the model; what belongs to no variable is. */
static void optimizer_in_a_scope(void **state)
{
    (void)state;
    static const char *const lost[] = { "OptimizeLoss/learning_rate", "OptimizeLoss/beta1_power", "other/w" };
    pil_status status = { 0 };
    struct store *saved = store_new(&status), *store = store_new(&status);
    struct variable *w = model_add(saved, "a/w", DTYPE_FLOAT32, SHAPE(2), STORE_DENSE, 0, &status);
    assert_true(store_add_slot(saved, w, "OptimizeLoss/a/w/Adam", 0, &status));
    for (int i = 0; i < 2; i++) {
        assert_non_null(model_add(saved, lost[i], DTYPE_FLOAT32, SHAPE_SCALAR, STORE_PLAIN, 0, &status));
        assert_non_null(model_add(i == 0 ? saved : store, "global_step", DTYPE_INT64, SHAPE_SCALAR, STORE_PLAIN, 0, &status));
    }
    assert_non_null(model_add(store, "a/w", DTYPE_FLOAT32, SHAPE(2), STORE_DENSE, 0, &status));
    assert_true(store_allocate(saved, &status) && store_allocate(store, &status));
    save(saved, scratch_path("scoped"), 1);
    assert_true(checkpoint_restore(store, scratch_path("scoped/model.ckpt-1"), &everything, &status));
    store_free(saved);
    saved = store_new(&status);
    assert_non_null(model_add(saved, "a/w", DTYPE_FLOAT32, SHAPE(2), STORE_DENSE, 0, &status));
    assert_non_null(model_add(saved, "global_step", DTYPE_INT64, SHAPE_SCALAR, STORE_PLAIN, 0, &status));
    assert_non_null(model_add(saved, lost[2], DTYPE_FLOAT32, SHAPE(2), STORE_DENSE, 0, &status));
    assert_true(store_allocate(saved, &status));
    save(saved, scratch_path("scoped"), 2);
    expect_refusal(store, scratch_path("scoped/model.ckpt-2"), &everything, "other/w is [2] there, but not here");
    store_free(saved);
    store_free(store);
}

/* ---- damage -------------------------------------------------------------------------------------------------- */

static void flip(const char *path, size_t from_end)
{
    size_t size;
    char *data = scratch_read(path, &size);
    assert_non_null(data);
    data[size - from_end] ^= 4;
    scratch_write(path, data, size);
    free(data);
}

static void damaged(void **state)
{
    (void)state;
    pil_status status = { 0 };
    const char *folder = scratch_path("damaged"), *prefix = scratch_path("damaged/model.ckpt-3");
    struct checkpoint_restore_options options = { .slots = true, .model_dir = folder };
    struct store *store = model_new(3, &status);
    char expected[1200];
    for (int64_t step = 1; step <= 3; step++)
        save(store, folder, step);
    flip(scratch_path("damaged/model.ckpt-3.data-00000-of-00001"), 1);
    snprintf(expected, sizeof expected, "the newest good checkpoint is %s\n", scratch_path("damaged/model.ckpt-2"));
    assert_false(checkpoint_restore(store, prefix, &options, &status));
    assert_int_equal(status.code, PIL_BAD_DATA);
    assert_non_null(strstr(status.message, "the values of 'training/Ftrl/linear/table/linear' are damaged"));
    assert_non_null(strstr(status.message, expected));
    assert_null(strstr(status.message, "model.ckpt-1"));

    status_clear(&status); /* the second newest too, by its index */
    flip(scratch_path("damaged/model.ckpt-2.index"), 200);
    snprintf(expected, sizeof expected, "the newest good checkpoint is %s\n", scratch_path("damaged/model.ckpt-1"));
    assert_false(checkpoint_restore(store, prefix, &options, &status));
    assert_non_null(strstr(status.message, expected));

    status_clear(&status); /* nothing is good; files are missing */
    unlink(scratch_path("damaged/model.ckpt-1.data-00000-of-00001"));
    unlink(scratch_path("damaged/model.ckpt-3.index"));
    assert_false(checkpoint_restore(store, prefix, &options, &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
    assert_non_null(strstr(status.message, "has no other good checkpoint"));

    status_clear(&status); /* nobody asks for a way out */
    assert_false(checkpoint_restore(store, prefix, &everything, &status));
    assert_null(strstr(status.message, "good checkpoint"));
    store_free(store);
}

/* Every flipped byte of a small checkpoint: an error, or the same values. */
static void every_byte(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *saved = model_new(1, &status), *store = model_new(1, &status);
    static const char *const names[] = { "flipped/model.ckpt-1.index", "flipped/model.ckpt-1.data-00000-of-00001" };
    model_fill(saved, 1);
    save(saved, scratch_path("flipped"), 1);
    for (size_t f = 0; f < COUNT_OF(names); f++) {
        size_t size;
        char path[600];
        snprintf(path, sizeof path, "%s", scratch_path(names[f]));
        char *data = scratch_read(path, &size);
        for (size_t i = 0; i < size; i += f == 0 ? 1 : 7) {
            status_clear(&status);
            data[i] ^= 0x20;
            scratch_write(path, data, size);
            data[i] ^= 0x20;
            model_fill(store, 2);
            if (checkpoint_restore(store, scratch_path("flipped/model.ckpt-1"), &everything, &status))
                assert_true(model_same(saved, store, true));
            else
                assert_int_equal(status.code, PIL_BAD_DATA);
        }
        scratch_write(path, data, size);
        free(data);
    }
    store_free(saved);
    store_free(store);
}

static void out_of_memory(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *saved = model_new(3, &status), *store = model_new(3, &status);
    model_fill(saved, 1);
    save(saved, scratch_path("memory"), 1);
    const char *prefix = scratch_path("memory/model.ckpt-1");
    struct checkpoint_restore_options options = { .slots = true, .model_dir = scratch_path("memory") };
    for (int64_t n = 0;; n++) {
        status_clear(&status);
        failing_start(n, false);
        bool worked = checkpoint_restore(store, prefix, &options, &status);
        long long live = failing_live;
        bool reached = failing_stop();
        assert_int_equal(live, 0);
        assert_int_equal(worked, !reached);
        if (!reached)
            break;
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
    assert_true(model_same(saved, store, true));
    for (int64_t n = 0;; n++) { /* and with parts to put together */
        status_clear(&status);
        failing_start(n, false);
        struct store *parted = store_new(&status);
        struct variable *table = parted != NULL ? store_declare(parted, "linear/linear_model/a/weights", DTYPE_FLOAT32,
                                                                SHAPE(31, 1), STORE_TABLE, &status)
                                                : NULL;
        bool worked =
            table != NULL && store_add_slot(parted, table, "linear/linear_model/a/weights/part_0/Ftrl", 0, &status) &&
            store_declare(parted, "linear/linear_model/bias_weights", DTYPE_FLOAT32, SHAPE(1), STORE_DENSE, &status) != NULL &&
            store_allocate(parted, &status) &&
            checkpoint_restore(parted, "tests/golden/partitioned_1x/lin", &everything, &status);
        store_free(parted);
        long long live = failing_live;
        bool reached = failing_stop();
        assert_int_equal(live, 0);
        assert_int_equal(worked, !reached);
        if (!reached)
            break;
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
    store_free(saved);
    store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twins_there_and_back),
        cmocka_unit_test(parts_of_1x),
        cmocka_unit_test(another_model),
        cmocka_unit_test(hyper_parameters),
        cmocka_unit_test(missing_scalars),
        cmocka_unit_test(optimizer_in_a_scope),
        cmocka_unit_test(damaged),
        cmocka_unit_test(every_byte),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("store/restore", tests, scratch_set_up, scratch_tear_down);
}
