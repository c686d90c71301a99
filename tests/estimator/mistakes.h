/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How mistakes in custom models are tested: a row says how the model function is wrong, which call meets it, and what a stranger
 * needs to read to find the place. No checkpoint is written of a model with a mistake.
 */
#ifndef PILASTER_TESTS_MISTAKES_H
#define PILASTER_TESTS_MISTAKES_H

#include "custom.h"

enum call { TRAIN, EVALUATE, PREDICT, BOTH };

/* A model function at work. */
struct work {
    pil_graph *g;
    const pil_features *features;
    pil_tensor *targets;
    pil_mode mode;
    pil_estimator_spec spec;
};

struct mistake {
    const char *name;
    void (*build)(struct work *work); /* the model function */
    enum call call;
    pil_input_fn input; /* NULL: the right one */
    pil_code code;
    const char *words[6];
};

static inline pil_tensor *x_of(const struct work *w)
{
    return pil_feature(w->features, "x");
}

static inline pil_tensor *predictions_of(const struct work *w)
{
    return custom_layer(w->g, x_of(w));
}

static inline void right(struct work *w)
{
    w->spec = custom_spec(w->g, predictions_of(w), w->targets, w->mode);
}

/* The rest of a model around predictions that hold a mistake. */
static inline void around(struct work *w, pil_tensor *predictions)
{
    w->spec = custom_spec(w->g, predictions, w->targets, w->mode);
}

/* A callback dataset with a feature of any number of values. */
static inline bool next_ragged(void *context, int64_t epoch, int64_t batch, pil_batch *out, pil_status *status)
{
    static const int64_t splits[] = { 0, 1, 3 };
    (void)context;
    (void)epoch;
    (void)status;
    if (batch > 3)
        return false;
    pil_batch_set_floats(out, "x", custom_x[0], 2);
    pil_batch_set_ragged_floats(out, "tags", custom_x[0], splits, 2);
    pil_batch_set_floats(out, "label", custom_y, 2);
    return true;
}

static inline pil_dataset *input_ragged(void *params)
{
    (void)params;
    return pil_dataset_from_callback(PIL_FEATURE_SPECS({ "x", PIL_TYPE_FLOAT32, .shape = { CUSTOM_WIDTH } },
                                                       { "tags", PIL_TYPE_FLOAT32, .ragged = true },
                                                       { "label", PIL_TYPE_FLOAT32 }),
                                     next_ragged, .label_name = "label", .num_epochs = 0);
}

static inline pil_estimator_spec mistaken_model(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                                void *params)
{
    const struct mistake *mistake = params;
    struct work work = { g, features, targets, mode, { .mode = mode } };
    mistake->build(&work);
    return work.spec;
}

static inline pil_status call(const struct mistake *mistake, pil_estimator *estimator)
{
    pil_input_fn usual = mistake->call == TRAIN || mistake->call == BOTH ? input_endless : input_once;
    pil_input_fn input = mistake->input ? mistake->input : usual;
    pil_train_spec train = { .input_fn = input, .max_steps = 6 };
    pil_eval_spec eval = { .input_fn = mistake->call == BOTH ? input_once : input, .steps = PIL_ALL };
    switch (mistake->call) {
    case TRAIN:
        return pil_train(estimator, &train);
    case EVALUATE:
        return pil_evaluate(estimator, &eval, NULL);
    case BOTH:
        return pil_train_and_evaluate(estimator, &train, &eval, NULL);
    default:;
    }
    pil_predictions *predictions = pil_predict(estimator, input);
    assert_false(pil_predictions_next(predictions));
    return pil_predictions_close(predictions);
}

/* Nothing that could be taken for a model; steps before a mistake in the data may have been saved. */
static inline void expect_no_checkpoint(const struct mistake *mistake, const char *folder)
{
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char *latest = checkpoint_latest(folder, arena, &status);
    if (latest && !strstr(latest, "model.ckpt-0"))
        fail_msg("%s: %s was written", mistake->name, latest);
    if (latest && mistake->code == PIL_INVALID_ARGUMENT)
        fail_msg("%s: %s was written", mistake->name, latest);
    arena_free(arena);
}

static inline void expect_mistakes(const struct mistake *mistakes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char folder[32];
        snprintf(folder, sizeof folder, "mistake%zu", i);
        pil_run_config config = pil_run_config_default();
        config.threads = 1;
        pil_estimator *estimator = pil_estimator_new(&(pil_estimator_config){
            .model_fn = mistaken_model, .model_dir = scratch_path(folder), .config = &config, .params = (void *)&mistakes[i] });
        expect_error(mistakes[i].name, call(&mistakes[i], estimator), mistakes[i].code, mistakes[i].words);
        expect_no_checkpoint(&mistakes[i], scratch_path(folder));
        pil_estimator_free(estimator);
    }
}

#endif
