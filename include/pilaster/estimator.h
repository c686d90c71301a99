/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Estimators: a model function, a folder, and the loops around them. The functions are TensorFlow's tf.estimator, with its names,
 * arguments and defaults.
 *
 *     static pil_estimator_spec myfunc(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *params)
 *     {
 *         pil_tensor *predictions = model_from_research_paper(g, pil_feature(features, "rawdata"));
 *         pil_estimator_spec spec = { .mode = mode, .predictions = PIL_DICT(g, { "predicted", predictions }) };
 *         if (mode != PIL_PREDICT) {
 *             spec.loss = pil_mean_squared_error(g, targets, predictions);
 *             spec.train_op = pil_optimize_loss(g, spec.loss, .learning_rate = 0.01f, .optimizer = "SGD");
 *         }
 *         return spec;
 *     }
 *
 *     pil_estimator *estimator = pil_estimator_new(&(pil_estimator_config){ .model_fn = myfunc, .model_dir = "model" });
 *     pil_train_spec train_spec = { .input_fn = get_train, .max_steps = 1000 };
 *     pil_eval_spec eval_spec = { .input_fn = get_valid, .steps = PIL_ALL };
 *     pil_status status = pil_train_and_evaluate(estimator, &train_spec, &eval_spec, &result);
 *     pil_estimator_free(estimator);
 *
 * model_dir is TensorFlow's: checkpoints and event files lie there under its names, and either program goes on where the other
 * stopped. A run that is killed at any moment goes on from its last checkpoint to the same bits.
 *
 * Errors. What goes wrong is the status that a call returns, and nothing else: no call prints, aborts or leaves a half-written
 * file. One thread at a time uses an estimator; its own workers are its business. A call from within another (a hook that trains, an
 * evaluation while predictions are open) is PIL_BUSY.
 */
#ifndef PILASTER_PUBLIC_ESTIMATOR_H
#define PILASTER_PUBLIC_ESTIMATOR_H

#include "pilaster/column.h"
#include "pilaster/export.h"
#include "pilaster/graph.h"
#include "pilaster/hook.h"
#include "pilaster/input.h"
#include "pilaster/keras.h"
#include "pilaster/loss.h"
#include "pilaster/metric.h"
#include "pilaster/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- features ------------------------------------------------------------------------------------------------ */

/* What a batch of the data brings, as a model function sees it; it lives as long as the graph. */
typedef struct pil_features pil_features;

/* A feature of numbers, [batch, width] float32: width values a row, as the dataset has it. Errors: the dataset has no such
 * feature (the nearest is named), it holds words, or any number of values a row. */
PIL_API pil_tensor *pil_feature(const pil_features *features, const char *name);
/* The ids of a categorical column, sparse, for pil_embedding_lookup_sparse. */
PIL_API pil_tensor *pil_categorical_ids(const pil_features *features, const pil_column *column);
/* The graph that they belong to: the model function's. */
PIL_API pil_graph *pil_features_graph(const pil_features *features);

typedef struct pil_input_layer_options {
    pil_keys feature_columns;
    const char *name; /* of its variables' scope */
} pil_input_layer_options;
#define PIL_INPUT_LAYER_DEFAULTS .name = "input_layer"
/* Dense columns side by side, [batch, width], in the order of their names. Variables "<name>/<column>/embedding_weights"; a
 * second layer of a name is "<name>_1". Errors: a categorical column (wrap it in an embedding or an indicator), two columns of one
 * name. Source: tf.compat.v1.feature_column.input_layer. */
#define pil_input_layer(features, ...)                                                                                           \
    pil_input_layer_make((features), &(pil_input_layer_options){ PIL_INPUT_LAYER_DEFAULTS, .feature_columns = __VA_ARGS__ })
PIL_API pil_input_layer_options pil_input_layer_options_default(void);
PIL_API pil_tensor *pil_input_layer_make(const pil_features *features, const pil_input_layer_options *options);

typedef struct pil_linear_model_options {
    pil_keys feature_columns;
    int64_t units;
    const char *sparse_combiner; /* "sum", "mean" or "sqrtn": of the weights of a column of several values */
    const char *name;
} pil_linear_model_options;
#define PIL_LINEAR_MODEL_DEFAULTS .units = 1, .sparse_combiner = "sum", .name = "linear_model"
/* A weighted sum of all columns and a bias, [batch, units]. Variables "<name>/<column>/weights", "<name>/bias_weights", all 0 at
 * first. Source: tf.compat.v1.feature_column.linear_model. */
#define pil_linear_model(features, ...)                                                                                          \
    pil_linear_model_make((features), &(pil_linear_model_options){ PIL_LINEAR_MODEL_DEFAULTS, .feature_columns = __VA_ARGS__ })
PIL_API pil_linear_model_options pil_linear_model_options_default(void);
PIL_API pil_tensor *pil_linear_model_make(const pil_features *features, const pil_linear_model_options *options);

/* ---- the spec ------------------------------------------------------------------------------------------------ */

enum { PIL_SPEC_HOOKS = 4 };
/* What a model function returns. Required: TRAIN loss and train_op, EVAL loss, PREDICT predictions. The spec is checked when it is
 * returned; it may be returned by value, since what it points to lies in the graph. Source: tf.estimator.EstimatorSpec. */
typedef struct pil_estimator_spec {
    pil_mode mode;               /* as it was given */
    pil_dict predictions;        /* what predict gives, each [batch, ...] */
    pil_tensor *loss;            /* a float32 scalar */
    pil_train_op *train_op;      /* from pil_minimize or pil_optimize_loss */
    pil_metrics eval_metric_ops; /* what evaluate tells besides loss and global_step */
    pil_exports export_outputs;  /* the signatures of exports; none: all predictions as one */
    pil_hook training_hooks[PIL_SPEC_HOOKS], evaluation_hooks[PIL_SPEC_HOOKS], prediction_hooks[PIL_SPEC_HOOKS];
    size_t training_hook_count, evaluation_hook_count, prediction_hook_count;
} pil_estimator_spec;

/* Builds the model for a mode. targets: the label, [batch, width] float32; NULL in PREDICT and where the data have none. Called
 * once for each graph, on the caller's thread; params are the config's. */
typedef pil_estimator_spec (*pil_model_fn)(pil_graph *graph, const pil_features *features, pil_tensor *targets, pil_mode mode,
                                           void *params);

/* ---- heads --------------------------------------------------------------------------------------------------- */

typedef enum pil_head_kind { PIL_HEAD_REGRESSION, PIL_HEAD_BINARY, PIL_HEAD_MULTI_CLASS } pil_head_kind;
/* A value: what stands between logits and loss, metrics, predictions and exports. */
typedef struct pil_head {
    pil_head_kind kind;
    int64_t label_dimension;      /* regression: columns of the label */
    int64_t n_classes;            /* multi-class: at least 3 */
    const char *weight_column;    /* a field of numbers, one a row; NULL: all rows weigh 1 */
    pil_words label_vocabulary;   /* classes by word; none: the labels are numbers 0, 1, ... Borrowed until the spec is made */
    pil_reduction loss_reduction; /* PIL_REDUCTION_SUM_OVER_BATCH_SIZE */
    int tensorflow;               /* 2, or 1: the form of AUC */
} pil_head;
#define PIL_HEAD_DEFAULTS                                                                                                        \
    .label_dimension = 1, .n_classes = 2, .loss_reduction = PIL_REDUCTION_SUM_OVER_BATCH_SIZE, .tensorflow = 2
/* Squared error; predictions "predictions". Source: tf.estimator.RegressionHead. */
#define pil_regression_head(...) ((pil_head){ PIL_HEAD_DEFAULTS, .kind = PIL_HEAD_REGRESSION, .label_dimension = __VA_ARGS__ })
/* Sigmoid cross entropy of one logit; predictions "logits", "logistic", "probabilities", "class_ids", "classes", "all_class_ids",
 * "all_classes"; metrics accuracy, auc, ... The argument is weight_column (NULL: none). Source: tf.estimator.BinaryClassHead. */
#define pil_binary_class_head(...) ((pil_head){ PIL_HEAD_DEFAULTS, .kind = PIL_HEAD_BINARY, .weight_column = __VA_ARGS__ })
/* Softmax cross entropy of n_classes logits; predictions as with two classes, without "logistic". Source: tf.estimator.MultiClassHead. */
#define pil_multi_class_head(...) ((pil_head){ PIL_HEAD_DEFAULTS, .kind = PIL_HEAD_MULTI_CLASS, .n_classes = __VA_ARGS__ })
/* A head with the defaults of its kind. */
PIL_API pil_head pil_head_default(pil_head_kind kind);
/* Columns of logits that the head takes. */
PIL_API int64_t pil_head_logits_dimension(const pil_head *head);

typedef struct pil_head_spec_options {
    pil_tensor *labels;             /* the model function's targets */
    const pil_optimizer *optimizer; /* TRAIN: minimizes the loss; NULL: the caller sets spec.train_op */
} pil_head_spec_options;
#define PIL_HEAD_SPEC_DEFAULTS .optimizer = NULL
/* Loss, metrics, predictions and export outputs from logits [batch, n]. Errors: logits or labels of another width (both shapes
 * named). Source: Head.create_estimator_spec. */
#define pil_head_spec(head, features, mode, logits, ...)                                                                         \
    pil_head_spec_make((head), (features), (mode), (logits),                                                                     \
                       &(pil_head_spec_options){ PIL_HEAD_SPEC_DEFAULTS, .labels = __VA_ARGS__ })
PIL_API pil_head_spec_options pil_head_spec_options_default(void);
PIL_API pil_estimator_spec pil_head_spec_make(const pil_head *head, const pil_features *features, pil_mode mode,
                                              pil_tensor *logits, const pil_head_spec_options *options);

/* ---- the estimator ------------------------------------------------------------------------------------------- */

/* How a run is kept. pil_run_config_default() has the original's values; change what differs. Source: tf.estimator.RunConfig. */
typedef struct pil_run_config {
    const char *model_dir;                /* where checkpoints, events and exports go */
    int64_t tf_random_seed;               /* of first values, shuffles and dropout; -1: none given (0 is used) */
    int64_t save_summary_steps;           /* 100; 0: no summaries */
    int64_t save_checkpoints_steps;       /* 0: by time. Given with save_checkpoints_secs: an error */
    double save_checkpoints_secs;         /* -1: 600 where no steps are given; 0 with steps 0: only at the start and the end */
    int64_t keep_checkpoint_max;          /* 5; 0: all */
    double keep_checkpoint_every_n_hours; /* 10000: besides the newest, one in so many hours stays; 0: none */
    int64_t log_step_count_steps;         /* 100; 0: no log lines and no global_step/sec */
    int threads;                          /* 0: one for each processor. The result has the same bits for any number */
    bool strict;                          /* what the gradient audit finds is an error, not a warning */
} pil_run_config;
PIL_API pil_run_config pil_run_config_default(void);

typedef struct pil_estimator pil_estimator;
typedef struct pil_estimator_config {
    pil_model_fn model_fn;
    const char *model_dir;        /* or config->model_dir; if both are given they must agree */
    const pil_run_config *config; /* NULL: the defaults; copied */
    void *params;                 /* for model_fn and the input functions; borrowed */
    const char *warm_start_from;  /* a checkpoint or a model's folder that a new model takes over from; NULL: none */
} pil_estimator_config;
/* Never NULL; what is wrong with the config is told by the first call that trains, evaluates or predicts. */
PIL_API pil_estimator *pil_estimator_new(const pil_estimator_config *config);
/* NULL is fine. What the estimator borrowed may go after it. */
PIL_API void pil_estimator_free(pil_estimator *estimator);

/* Makes the data of a run. Whoever called it frees the dataset; one that is called for several runs makes a new one each time. */
typedef pil_dataset *(*pil_input_fn)(void *params);

/* ---- Keras-style models -------------------------------------------------------------------------------------- */

typedef struct pil_model_to_estimator_options {
    const char *model_dir;
    const pil_run_config *config; /* NULL: the defaults; copied */
    void *params;                 /* for the input functions; borrowed */
} pil_model_to_estimator_options;
#define PIL_MODEL_TO_ESTIMATOR_DEFAULTS .config = NULL, .params = NULL
/* An estimator of a compiled Keras-style model, which is borrowed and must outlive it: pil_model_to_estimator(model, "folder"). The
 * data need the feature of the model's input, "XYZ_input" of a first layer "XYZ", and the label. A new model starts from the
 * model's weights of now, where it has any; what is trained here stays in the folder. Trained by the legacy class of the compiled
 * optimizer, as in the original; evaluations tell the compiled metrics; the prediction is called as the last layer. Errors: a
 * model that is not compiled; later, a feature of another name (both sets are named, and the likely one). Source:
 * tf.keras.estimator.model_to_estimator. */
#define pil_model_to_estimator(model, ...)                                                                                       \
    pil_model_to_estimator_make((model),                                                                                         \
                                &(pil_model_to_estimator_options){ PIL_MODEL_TO_ESTIMATOR_DEFAULTS, .model_dir = __VA_ARGS__ })
PIL_API pil_model_to_estimator_options pil_model_to_estimator_options_default(void);
PIL_API pil_estimator *pil_model_to_estimator_make(pil_sequential *model, const pil_model_to_estimator_options *options);

/* ---- results ------------------------------------------------------------------------------------------------- */

enum { PIL_ALL = -1, PIL_MAX_METRICS = 64, PIL_MAX_EXPORTERS = 8, PIL_METRIC_NAME = 96, PIL_PATH = 1024 };
typedef struct pil_metric_value {
    char name[PIL_METRIC_NAME];
    double value;
} pil_metric_value;
/* A plain struct: nothing to free. */
typedef struct pil_result {
    int64_t global_step;                       /* of the model that was evaluated */
    size_t metric_count;                       /* 0: nothing was evaluated */
    pil_metric_value metrics[PIL_MAX_METRICS]; /* in the order of the spec, then "loss" */
    size_t export_count;
    char exports[PIL_MAX_EXPORTERS][PIL_PATH]; /* the folders written last, one an exporter */
} pil_result;
/* A metric by its name ("global_step" too); NaN where there is none. */
PIL_API double pil_metrics_get(const pil_result *result, const char *name);

/* ---- train, evaluate, predict -------------------------------------------------------------------------------- */

/* Source: tf.estimator.TrainSpec. */
typedef struct pil_train_spec {
    pil_input_fn input_fn;
    int64_t max_steps; /* of the model in all; 0: to the end of the input */
    int64_t steps;     /* instead: of this call; data that end behind the checkpoint begin again */
    const pil_hook *hooks;
    size_t hook_count;
} pil_train_spec;
/* Source: tf.estimator.EvalSpec. */
typedef struct pil_eval_spec {
    pil_input_fn input_fn;
    int64_t steps;    /* batches; 0: 100; PIL_ALL: to the end of the input */
    const char *name; /* of the folder eval_<name>; NULL: eval */
    const pil_hook *hooks;
    size_t hook_count;
    pil_exporter exporters[PIL_MAX_EXPORTERS];
    double throttle_secs; /* at least so long between evaluations; 0: 600; below 0: evaluate after every checkpoint */
} pil_eval_spec;

/* Trains, saves a checkpoint now and then and at the end, evaluates after checkpoints, exports after evaluations. result (may be
 * NULL) is the last evaluation; where the model has been trained as far already, nothing is done and it is empty. Goes on from the
 * newest checkpoint of model_dir, with the batch behind the last one that was trained on; other data than those of the checkpoint are
 * read from their beginning, with a warning in the log. Errors, besides what the parts say:
 * PIL_DIVERGED, a loss that is not a number; PIL_BUSY, another program trains in the folder; PIL_CANCELLED after pil_estimator_stop.
 * Source: tf.estimator.train_and_evaluate. */
PIL_API PIL_WARN_UNUSED pil_status pil_train_and_evaluate(pil_estimator *estimator, const pil_train_spec *train_spec,
                                                          const pil_eval_spec *eval_spec, pil_result *result);
/* Trains only. Source: Estimator.train. */
PIL_API PIL_WARN_UNUSED pil_status pil_train(pil_estimator *estimator, const pil_train_spec *train_spec);
/* Evaluates the newest checkpoint (without one: the first values), and writes the result to the event files of eval or eval_<name>.
 * eval_spec->steps 0 is PIL_ALL here, as in the original; its exporters are for training.
 * Source: Estimator.evaluate. */
PIL_API PIL_WARN_UNUSED pil_status pil_evaluate(pil_estimator *estimator, const pil_eval_spec *eval_spec, pil_result *result);
/* From a signal handler or another thread: the run that is going on saves and stops. */
PIL_API void pil_estimator_stop(pil_estimator *estimator);

/* Predictions, row by row, in the order of the data. */
typedef struct pil_predictions pil_predictions;
/* Never NULL: what goes wrong, then or later, is told by pil_predictions_close. The estimator outlives it and does nothing else
 * meanwhile. Source: Estimator.predict. */
PIL_API pil_predictions *pil_predict(pil_estimator *estimator, pil_input_fn input_fn);
/* Moves to the next row; false at the end of the data, after an error, or where a hook asked to stop. */
PIL_API bool pil_predictions_next(pil_predictions *predictions);
/* The row's values under a name of spec.predictions; *count of them. NULL: there is no such name. Valid until the next row. */
PIL_API const float *pil_predictions_get(const pil_predictions *predictions, const char *name, size_t *count);
/* The word of a prediction that has words ("classes"); NULL: it has none. */
PIL_API const char *pil_predictions_word(const pil_predictions *predictions, const char *name);
/* Frees them, at any row; returns the first error, or PIL_OK. */
PIL_API PIL_WARN_UNUSED pil_status pil_predictions_close(pil_predictions *predictions);

/* Writes an export of the newest checkpoint to base/<seconds>/; its path goes to `path`. Source: Estimator.export_saved_model. */
PIL_API PIL_WARN_UNUSED pil_status pil_export(pil_estimator *estimator, const char *base, pil_serving_input_fn serving_input_fn,
                                              char path[PIL_PATH]);
/* A variable's values in the newest checkpoint: `count` floats are copied to `values` (NULL: only counts), row by row; *shape may be
 * NULL. Source: Estimator.get_variable_value. */
PIL_API PIL_WARN_UNUSED pil_status pil_variable_value(pil_estimator *estimator, const char *name, pil_shape *shape, float *values,
                                                      size_t count);

#ifdef __cplusplus
}
#endif

#endif
