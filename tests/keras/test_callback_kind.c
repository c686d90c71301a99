/* SPDX-License-Identifier: Apache-2.0 */
/* Ready-made callbacks against Keras's: when they stop, which weights stay, which rates epochs had; what they write. */
#include <unistd.h>

#include "golden_keras.h"

#include "scratch.h"

enum { ALL = 40, WIDTH = 3 };
static float x[ALL * WIDTH], y[ALL], initial[WIDTH + 1];

static double half_from_2(void *context, int64_t epoch, double rate)
{
    (void)context;
    return epoch < 2 ? rate : rate * 0.5;
}

static pil_sequential *new_model(float rate, float momentum)
{
    pil_sequential *model = pil_sequential_new();
    pil_add_layer(model, pil_dense(1, .input_shape = { WIDTH }));
    pil_compile(model, .loss = "mse", .optimizer_object = pil_sgd(rate, .momentum = momentum, .legacy = true),
                .metrics = PIL_WORDS("mae"));
    ok(pil_sequential_build(model, (pil_row){ { 0 } }));
    ok(pil_sequential_set_weight(model, "dense/kernel", initial, WIDTH));
    ok(pil_sequential_set_weight(model, "dense/bias", initial + WIDTH, 1));
    return model;
}

static pil_status fit(pil_sequential *model, pil_callbacks callbacks, int64_t epochs, int64_t frequency)
{
    return pil_fit(model, ((pil_array){ .floats = x, .rows = ALL, .shape = { WIDTH } }), { .floats = y, .rows = ALL },
                   .batch_size = 8, .epochs = epochs, .shuffle = false, .validation_split = 0.25, .validation_freq = frequency,
                   .callbacks = callbacks);
}

static void check_history(const pil_sequential *model, const struct json_value *c)
{
    static const char *const names[] = { "loss", "mae", "val_loss", "val_mae", "lr" };
    struct json_value history = golden_get(c, "history"), list;
    float wanted[64];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t count;
        const double *have = pil_history_get(pil_sequential_history(model), names[i], &count);
        if (!json_get(&history, names[i], &list)) {
            assert_int_equal(count, 0);
            continue;
        }
        assert_int_equal(count, flatten(&list, wanted));
        for (size_t k = 0; k < count; k++)
            near(have[k], (double)wanted[k], 1e-4, names[i]);
    }
}

static void test_golden(void **state)
{
    const struct {
        const char *name;
        pil_callback callback;
        int64_t epochs, frequency;
        float rate, momentum;
    } cases[] = {
        { "early_stopping", pil_early_stopping("val_loss", .patience = 2), 40, 1, 0.25f, 0.9f },
        { "early_stopping_restore", pil_early_stopping("val_loss", .patience = 3, .restore_best_weights = true), 40, 1, 0.25f,
          0.9f },
        { "early_stopping_min_delta", pil_early_stopping("val_mae", .min_delta = 0.05, .patience = 1), 40, 1, 0.02f, 0 },
        { "early_stopping_baseline", pil_early_stopping("val_loss", .has_baseline = true, .baseline = 0.01, .patience = 2), 40, 1,
          0.02f, 0 },
        { "early_stopping_start", pil_early_stopping("loss", .mode = "max", .patience = 0, .start_from_epoch = 3), 40, 1, 0.02f,
          0 },
        { "plateau", pil_reduce_lr_on_plateau("val_loss", .factor = 0.5, .patience = 1, .cooldown = 1, .min_lr = 0.01), 14, 1,
          0.25f, 0.9f },
        { "plateau_delta", pil_reduce_lr_on_plateau("loss", .factor = 0.1, .patience = 2, .min_delta = 0.02), 14, 1, 0.05f, 0 },
        { "scheduler", pil_learning_rate_scheduler(half_from_2, NULL), 6, 1, 0.1f, 0 },
        { "validation_freq", pil_terminate_on_nan(), 5, 2, 0.05f, 0 },
    };
    struct golden golden;
    (void)state;
    assert_true(golden_open(&golden, "tests/golden/keras_callbacks.json"));
    struct json_value all = golden_get(&golden.root, "cases");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float have[WIDTH + 1], wanted[WIDTH + 1];
        struct json_value c = golden_get(&all, cases[i].name), final = golden_get(&c, "final");
        pil_sequential *model = new_model(cases[i].rate, cases[i].momentum);
        ok(fit(model, PIL_CALLBACKS(cases[i].callback), cases[i].epochs, cases[i].frequency));
        if (pil_history_epochs(pil_sequential_history(model)) != (size_t)golden_number(&c, "epochs", 0))
            fail_msg("%s: %zu epochs, Keras's %g", cases[i].name, pil_history_epochs(pil_sequential_history(model)),
                     (double)golden_number(&c, "epochs", 0));
        check_history(model, &c);
        ok(pil_sequential_get_weight(model, "dense/kernel", have, WIDTH));
        ok(pil_sequential_get_weight(model, "dense/bias", have + WIDTH, 1));
        assert_int_equal(flatten(&final, wanted), WIDTH + 1);
        for (int k = 0; k <= WIDTH; k++)
            near((double)have[k], (double)wanted[k], 1e-3, cases[i].name);
        pil_sequential_free(model);
    }
    golden_close(&golden);
}

/* ---- what they write ---- */

static void test_csv(void **state)
{
    (void)state;
    char *text;
    size_t size;
    const char *path = scratch_path("log.csv");
    pil_sequential *model = new_model(0.05f, 0);
    ok(fit(model, PIL_CALLBACKS(pil_csv_logger(path)), 2, 2));
    ok(fit(model, PIL_CALLBACKS(pil_csv_logger(path, .append = true)), 1, 1));
    text = scratch_read(path, &size);
    assert_non_null(strstr(text, "epoch,loss,mae\n0,"));
    assert_null(strstr(text + 1, "epoch,")); /* one header */
    int lines = 0;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 4);
    free(text);
    pil_status status = fit(model, PIL_CALLBACKS(pil_csv_logger(scratch_path("none/log.csv"))), 1, 1);
    assert_int_equal(status.code, PIL_IO);
    pil_sequential_free(model);
}

static void test_bar(void **state)
{
    (void)state;
    const char *path = scratch_path("bar");
    FILE *out = fopen(path, "w");
    pil_sequential *model = new_model(0.05f, 0);
    ok(fit(model, PIL_CALLBACKS(pil_progress_bar(out)), 2, 1));
    fclose(out);
    size_t size;
    char *text = scratch_read(path, &size);
    assert_non_null(strstr(text, "Epoch 1/2\n4/4 [==============================] - 0s "));
    assert_non_null(strstr(text, "us/step - loss: "));
    assert_non_null(strstr(text, " - mae: "));
    assert_non_null(strstr(text, " - val_loss: "));
    assert_non_null(strstr(text, "Epoch 2/2\n"));
    assert_null(strchr(text, '\r'));
    free(text);
    pil_sequential_free(model);
}

/* ---- a user's own ---- */

struct seen {
    int counts[8];
    int64_t stop_after;
    bool fails;
};

static bool note(void *context, int moment)
{
    struct seen *seen = context;
    seen->counts[moment]++;
    return true;
}

#define OWN(name, moment)                                                                                                        \
    static bool name(void *context, pil_sequential *model, const pil_fit_position *position, pil_logs *logs, pil_status *status) \
    {                                                                                                                            \
        (void)model, (void)position, (void)logs, (void)status;                                                                   \
        return note(context, moment);                                                                                            \
    }
OWN(train_begin, 0)
OWN(train_end, 1)
OWN(epoch_begin, 2)
OWN(batch_begin, 4)
OWN(test_begin, 6)
OWN(test_end, 7)

static bool epoch_end(void *context, pil_sequential *model, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    struct seen *seen = context;
    (void)status;
    assert_true(pil_logs_get(logs, "val_loss") > 0);
    assert_true(pil_logs_set(logs, "mine", (double)position->epoch));
    if (position->epoch == seen->stop_after)
        pil_stop_training(model);
    seen->counts[3]++;
    return !seen->fails;
}

static bool batch_end(void *context, pil_sequential *model, const pil_fit_position *position, pil_logs *logs, pil_status *status)
{
    pil_logs other;
    (void)status;
    assert_true(pil_logs_get(logs, "loss") > 0 && position->batch < 4);
    pil_status busy = pil_sequential_evaluate(model, ((pil_array){ .floats = x, .rows = ALL, .shape = { WIDTH } }),
                                              ((pil_array){ .floats = y, .rows = ALL }), &other, .batch_size = 8);
    assert_int_equal(busy.code, PIL_BUSY);
    return note(context, 5);
}

static void test_own(void **state)
{
    struct seen seen = { .stop_after = 1 };
    const pil_callback own = { .on_train_begin = train_begin,
                               .on_train_end = train_end,
                               .on_epoch_begin = epoch_begin,
                               .on_epoch_end = epoch_end,
                               .on_train_batch_begin = batch_begin,
                               .on_train_batch_end = batch_end,
                               .on_test_begin = test_begin,
                               .on_test_end = test_end,
                               .context = &seen };
    static const int wanted[8] = { 1, 1, 2, 2, 8, 8, 2, 2 };
    size_t count;
    (void)state;
    pil_sequential *model = new_model(0.05f, 0);
    ok(fit(model, PIL_CALLBACKS(own), 9, 1));
    assert_memory_equal(seen.counts, wanted, sizeof wanted);
    const double *mine = pil_history_get(pil_sequential_history(model), "mine", &count);
    assert_true(count == 2 && mine[1] == 1);
    seen = (struct seen){ .fails = true, .stop_after = 9 };
    pil_status status = fit(model, PIL_CALLBACKS(own), 9, 1);
    assert_int_equal(status.code, PIL_CANCELLED);
    assert_int_equal(seen.counts[3], 1);
    pil_sequential_free(model);
}

static void test_mistakes(void **state)
{
    const struct {
        pil_callback callback;
        const char *message;
    } cases[] = {
        { pil_early_stopping("loss", .mode = "mni"), "EarlyStopping: the mode is \"auto\", \"min\" or \"max\", not \"mni\"" },
        { pil_reduce_lr_on_plateau("loss", .factor = 1), "ReduceLROnPlateau: factor is 1" },
        { pil_learning_rate_scheduler(NULL, NULL), "LearningRateScheduler: schedule is NULL" },
        { pil_csv_logger(""), "CSVLogger: there is no file name" },
        { pil_progress_bar(NULL), "pil_progress_bar: out is NULL" },
        { { .kind = (pil_callback_kind)77 }, "there is no kind of callback number 77" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pil_sequential *model = new_model(0.05f, 0);
        pil_status status = fit(model, PIL_CALLBACKS(cases[i].callback), 1, 1);
        if (!strstr(status.message, cases[i].message))
            fail_msg("%s, not %s", status.message, cases[i].message);
        pil_sequential_free(model);
    }
}

static int set_up(void **state)
{
    struct golden golden;
    assert_true(golden_open(&golden, "tests/golden/keras_callbacks.json"));
    struct json_value xs = golden_get(&golden.root, "x"), ys = golden_get(&golden.root, "y"),
                      first = golden_get(&golden.root, "initial");
    assert_int_equal(flatten(&xs, x), ALL * WIDTH);
    assert_int_equal(flatten(&ys, y), ALL);
    assert_int_equal(flatten(&first, initial), WIDTH + 1);
    golden_close(&golden);
    return scratch_set_up(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden), cmocka_unit_test(test_csv),      cmocka_unit_test(test_bar),
        cmocka_unit_test(test_own),    cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_tear_down);
}
