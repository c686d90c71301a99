/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of custom estimators share: a little data, a model function that is right, input functions, and the checks.
 * The data: x [?, 3], a word, and a label y = x0 - 2 x1 + 0.5 x2; a class by its sign as number and as word.
 */
#ifndef PILASTER_TESTS_CUSTOM_H
#define PILASTER_TESTS_CUSTOM_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "estimator/internal.h"
#include "pilaster/layers.h"
#include "pilaster/op.h"
#include "pilaster/rnn.h"
#include "scratch.h"

enum { CUSTOM_ROWS = 24, CUSTOM_BATCH = 4, CUSTOM_WIDTH = 3 };
static float custom_x[CUSTOM_ROWS][CUSTOM_WIDTH], custom_y[CUSTOM_ROWS], custom_weight[CUSTOM_ROWS];
static int64_t custom_class[CUSTOM_ROWS], custom_class3[CUSTOM_ROWS];
static const char *custom_word[CUSTOM_ROWS], *custom_answer[CUSTOM_ROWS];

static inline void custom_make_data(void)
{
    static const char *const words[] = { "red", "green", "blue" };
    for (int r = 0; r < CUSTOM_ROWS; r++) {
        for (int c = 0; c < CUSTOM_WIDTH; c++)
            custom_x[r][c] = (float)((r * 7 + c * 5) % 11) / 11.0f - 0.4f;
        custom_y[r] = custom_x[r][0] - 2 * custom_x[r][1] + 0.5f * custom_x[r][2];
        custom_class[r] = custom_y[r] > 0;
        custom_class3[r] = (r * 5) % 3;
        custom_weight[r] = 1 + (float)(r % 3);
        custom_word[r] = words[r % 3];
        custom_answer[r] = custom_class[r] ? "yes" : "no";
    }
}

static inline int custom_set_up(void **state)
{
    custom_make_data();
    return scratch_set_up(state);
}

/* ---- input functions; params are not looked at ---- */

static inline pil_dataset *custom_arrays(bool shuffle, int64_t epochs, pil_array label)
{
    return pil_dataset_from_arrays(PIL_ARRAYS({ "x", .floats = custom_x[0], .rows = CUSTOM_ROWS, .shape = { CUSTOM_WIDTH } },
                                              { "word", .strings = custom_word, .rows = CUSTOM_ROWS },
                                              { "weight", .floats = custom_weight, .rows = CUSTOM_ROWS }),
                                   shuffle, .y = label, .batch_size = CUSTOM_BATCH, .num_epochs = epochs);
}

static inline pil_dataset *input_endless(void *params)
{
    (void)params;
    return custom_arrays(false, 0, (pil_array){ .floats = custom_y, .rows = CUSTOM_ROWS });
}

static inline pil_dataset *input_shuffled(void *params)
{
    (void)params;
    return custom_arrays(true, 0, (pil_array){ .floats = custom_y, .rows = CUSTOM_ROWS });
}

static inline pil_dataset *input_once(void *params)
{
    (void)params;
    return custom_arrays(false, 1, (pil_array){ .floats = custom_y, .rows = CUSTOM_ROWS });
}

static inline pil_dataset *input_unlabelled(void *params)
{
    (void)params;
    return custom_arrays(false, 1, (pil_array){ 0 });
}

static inline pil_dataset *input_class(void *params)
{
    (void)params;
    return custom_arrays(false, 0, (pil_array){ .ints = custom_class, .rows = CUSTOM_ROWS });
}

static inline pil_dataset *input_class3(void *params)
{
    (void)params;
    return custom_arrays(false, 0, (pil_array){ .ints = custom_class3, .rows = CUSTOM_ROWS });
}

static inline pil_dataset *input_answer(void *params)
{
    (void)params;
    return custom_arrays(false, 0, (pil_array){ .strings = custom_answer, .rows = CUSTOM_ROWS });
}

/* ---- a model function that is right ---- */

static inline pil_tensor *custom_layer(pil_graph *g, pil_tensor *x)
{
    pil_tensor *w = pil_get_variable(g, "w", PIL_SHAPE(CUSTOM_WIDTH, 1));
    pil_tensor *b = pil_variable(g, "b", pil_zeros(g, PIL_SHAPE(1)));
    return pil_add(g, pil_matmul(g, x, w), b);
}

static inline pil_estimator_spec custom_spec(pil_graph *g, pil_tensor *predictions, pil_tensor *targets, pil_mode mode)
{
    pil_estimator_spec spec = { .mode = mode, .predictions = PIL_DICT(g, { "predicted", predictions }) };
    if (mode != PIL_PREDICT) {
        spec.loss = pil_mean_squared_error(g, targets, predictions);
        spec.train_op = pil_optimize_loss(g, spec.loss, .learning_rate = 0.1f, .optimizer = "SGD");
        spec.eval_metric_ops = PIL_METRICS(g, { "rmse", pil_root_mean_squared_error(g, targets, predictions) });
    }
    return spec;
}

static inline pil_estimator_spec custom_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                              void *params)
{
    (void)params;
    return custom_spec(g, custom_layer(g, pil_feature(features, "x")), targets, mode);
}

static inline void custom_serving(pil_receivers *receivers, void *params)
{
    (void)params;
    pil_receive(receivers, "x", PIL_RECEIVE_FLOATS, CUSTOM_WIDTH);
}

/* ---- checks ---- */

static inline void expect_ok(pil_status status)
{
    if (status.code != PIL_OK)
        fail_msg("%s: %s", pil_code_name(status.code), status.message);
}

/* `words` end with NULL; each must stand in the message. */
static inline void expect_error(const char *what, pil_status status, pil_code code, const char *const *words)
{
    if (status.code != code)
        fail_msg("%s: %s was expected, it is %s: %s", what, pil_code_name(code), pil_code_name(status.code), status.message);
    for (; *words; words++)
        if (!strstr(status.message, *words))
            fail_msg("%s: '%s' is missing in: %s", what, *words, status.message);
}
#define expect_error_words(what, status, code, ...)                                                                              \
    expect_error((what), (status), (code), (const char *const[]){ __VA_ARGS__, NULL })

/* ---- estimators and their folders ---- */

/* In a folder of the scratch folder; checkpoints at the start and at the end alone. */
static inline pil_estimator *custom_new(pil_model_fn model_fn, const char *folder, int threads)
{
    pil_run_config config = pil_run_config_default();
    config.tf_random_seed = 7;
    config.save_checkpoints_secs = 0;
    config.threads = threads;
    return pil_estimator_new(
        &(pil_estimator_config){ .model_fn = model_fn, .model_dir = scratch_path(folder), .config = &config });
}

static inline void custom_train(pil_estimator *estimator, pil_input_fn input, int64_t max_steps)
{
    expect_ok(pil_train(estimator, &(pil_train_spec){ .input_fn = input, .max_steps = max_steps }));
}

/* One training in a folder by an estimator of its own. */
static inline void custom_train_in(const char *folder, pil_model_fn model_fn, pil_input_fn input, int threads, int64_t max_steps)
{
    pil_estimator *estimator = custom_new(model_fn, folder, threads);
    custom_train(estimator, input, max_steps);
    pil_estimator_free(estimator);
}

static inline int64_t custom_step(const char *folder)
{
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    const char *latest = checkpoint_latest(scratch_path(folder), arena, &status);
    int64_t step = latest ? atoll(strrchr(latest, '-') + 1) : -1;
    arena_free(arena);
    expect_ok(status);
    return step;
}

static inline void expect_same_checkpoints(const char *a, const char *b, int64_t step)
{
    static const char *const parts[] = { "index", "data-00000-of-00001" };
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        char x[128], y[128];
        snprintf(x, sizeof x, "%s/model.ckpt-%lld.%s", a, (long long)step, parts[i]);
        snprintf(y, sizeof y, "%s/model.ckpt-%lld.%s", b, (long long)step, parts[i]);
        scratch_expect_same(scratch_path(x), scratch_path(y));
    }
}

/* ---- the log ---- */

static char custom_log[8192];

static inline void custom_note(void *context, pil_log_level level, const char *text)
{
    size_t used = strlen(custom_log);
    (void)context;
    if (level <= PIL_LOG_INFO && used + strlen(text) + 16 < sizeof custom_log)
        snprintf(custom_log + used, sizeof custom_log - used, "%s%s\n", level == PIL_LOG_WARNING ? "warning: " : "", text);
}

static inline void custom_log_start(void)
{
    custom_log[0] = '\0';
    log_set(custom_note, NULL);
}

#endif
