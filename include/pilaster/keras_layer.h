/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keras-style layers: what a Sequential model (pilaster/keras.h) is made of.
 *
 *     pil_add_layer(model, pil_embedding(20000, .output_dim = 256, .mask_zero = true));
 *     pil_add_layer(model, pil_bidirectional(pil_lstm(128, .dropout = 0.2f)));
 *     pil_add_layer(model, pil_dense(1, .activation = "sigmoid"));
 *
 * A layer is a value: its class and its options, which have the names and defaults of tf.keras.layers of 2.15. It is copied when it
 * is added, its texts too; nothing is checked before. A word that is none ("relv") is an error of the model that names the layer
 * and the nearest word.
 *
 * Shapes leave out the batch, as in Keras: a layer that says "[time, features]" takes and gives [batch, time, features]. They are
 * known once the model is built: at the first Input, input_shape or input_length, or when the first data come.
 *
 * Masks. Embedding (mask_zero) and Masking say which steps of a sequence count. Recurrent layers pass over the others;
 * GlobalAveragePooling1D leaves them out; Dropout, Activation, normalizations, TimeDistributed and recurrent layers with
 * return_sequences hand the mask on; any other layer ends it, as in Keras.
 *
 * What all layers have: name (NULL: the class's in small letters, "dense", then "dense_1", counted in the model), input_shape (of
 * the first layer: one row's, up to the first 0, instead of an Input), trainable (false: no optimizer moves its weights).
 */
#ifndef PILASTER_PUBLIC_KERAS_LAYER_H
#define PILASTER_PUBLIC_KERAS_LAYER_H

#include "pilaster/column.h"
#include "pilaster/graph.h"
#include "pilaster/input.h"
#include "pilaster/options.h"
#include "pilaster/train.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pil_layer pil_layer; /* a value: its class and options */

/* ---- what options are made of -------------------------------------------------------------------------------- *
 *
 * Activations are Keras's words: "linear" (or NULL), "relu", "sigmoid", "hard_sigmoid", "tanh", "softmax", "log_softmax",
 * "softplus", "softsign", "elu", "selu", "gelu", "swish", "exponential", "mish", "leaky_relu".
 * Initializers are Keras's words with their numbers, as those of columns (pilaster/column.h): { "he_normal" },
 * { "random_normal", .stddev = 0.1f }. */
typedef pil_column_initializer pil_layer_initializer;

/* l1 sum |w| + l2 sum w^2, added to the loss. All 0: none. Source: tf.keras.regularizers. */
typedef struct pil_regularizer {
    float l1, l2;
} pil_regularizer;
PIL_API pil_regularizer pil_l1(float l1);
PIL_API pil_regularizer pil_l2(float l2);
PIL_API pil_regularizer pil_l1_l2(float l1, float l2);

/* Of every layer; last in its options. */
#define PIL_LAYER_OPTIONS                                                                                                        \
    const char *name;                                                                                                            \
    int64_t input_shape[PIL_ROW_RANK];                                                                                           \
    bool trainable
#define PIL_LAYER_DEFAULTS .name = NULL, .trainable = true
/* clang-format off */
#define PIL_GLOROT_UNIFORM { .name = "glorot_uniform" }
#define PIL_ORTHOGONAL { .name = "orthogonal" }
#define PIL_ZEROS { .name = "zeros" }
#define PIL_ONES { .name = "ones" }
/* clang-format on */

/* ---- Input, DenseFeatures ------------------------------------------------------------------------------------ */

/* One row's shape, PIL_ROW(80) or PIL_ROW(80, 16), up to the first 0. */
typedef struct pil_row {
    int64_t dims[PIL_ROW_RANK];
} pil_row;
#define PIL_ROW(...) ((pil_row){ { __VA_ARGS__ } })
typedef struct pil_input_options {
    pil_row shape;
    const char *name; /* the feature; NULL: "input_1" */
} pil_input_options;
#define PIL_INPUT_DEFAULTS .name = NULL
/* What the data are to look like: only as the first layer. Source: tf.keras.Input, tf.keras.layers.InputLayer. */
#define pil_input(...) pil_input_make(&(pil_input_options){ PIL_INPUT_DEFAULTS, .shape = __VA_ARGS__ })
PIL_API pil_input_options pil_input_options_default(void);
PIL_API pil_layer pil_input_make(const pil_input_options *options);

typedef struct pil_dense_features_options {
    pil_keys feature_columns; /* borrowed: their set must outlive the model */
    const char *name;
    bool trainable;
} pil_dense_features_options;
#define PIL_DENSE_FEATURES_DEFAULTS .name = NULL, .trainable = true
/* Feature columns as the first layer: [width], columns in the order of their names. Weights "<column>/embedding_weights". Errors:
 * categorical columns (wrap them in an embedding or an indicator), a place other than the first. Source:
 * tf.keras.layers.DenseFeatures. */
#define pil_dense_features(...)                                                                                                  \
    pil_dense_features_make(&(pil_dense_features_options){ PIL_DENSE_FEATURES_DEFAULTS, .feature_columns = __VA_ARGS__ })
PIL_API pil_dense_features_options pil_dense_features_options_default(void);
PIL_API pil_layer pil_dense_features_make(const pil_dense_features_options *options);

/* ---- Dense, Embedding ---------------------------------------------------------------------------------------- */

typedef struct pil_dense_options {
    int64_t units;
    const char *activation;
    bool use_bias;
    pil_layer_initializer kernel_initializer, bias_initializer;
    pil_regularizer kernel_regularizer, bias_regularizer;
    pil_constraint kernel_constraint, bias_constraint;
    PIL_LAYER_OPTIONS;
} pil_dense_options;
#define PIL_DENSE_DEFAULTS                                                                                                       \
    .use_bias = true, .kernel_initializer = PIL_GLOROT_UNIFORM, .bias_initializer = PIL_ZEROS, PIL_LAYER_DEFAULTS
/* activation(x kernel + bias) over the last axis: [..., k] to [..., units]. Weights kernel [k, units], bias [units]. Source:
 * tf.keras.layers.Dense. */
#define pil_dense(...) pil_dense_make(&(pil_dense_options){ PIL_DENSE_DEFAULTS, .units = __VA_ARGS__ })
PIL_API pil_dense_options pil_dense_options_default(void);
PIL_API pil_layer pil_dense_make(const pil_dense_options *options);

typedef struct pil_embedding_options {
    int64_t input_dim;
    int64_t output_dim;
    pil_layer_initializer embeddings_initializer;
    pil_regularizer embeddings_regularizer;
    pil_constraint embeddings_constraint;
    bool mask_zero;
    int64_t input_length;            /* of a row, where neither an Input nor input_shape says it; 0: not said */
    const char *ckpt_to_load_from;   /* a checkpoint that has the first values ... */
    const char *tensor_name_in_ckpt; /* ... under this name: as embedding_column's */
    PIL_LAYER_OPTIONS;
} pil_embedding_options;
#define PIL_EMBEDDING_DEFAULTS                                                                                                   \
    .output_dim = 0, .embeddings_initializer = { .name = "random_uniform" }, .mask_zero = false, .input_length = 0,              \
    PIL_LAYER_DEFAULTS
/* A learned row for each id: whole numbers [...] to [..., output_dim]. Weight embeddings [input_dim, output_dim], of which only
 * rows looked up have a gradient. mask_zero: id 0 is no step. Errors, when a batch brings one: an id below 0 or from input_dim
 * on. Source: tf.keras.layers.Embedding. */
#define pil_embedding(...) pil_embedding_make(&(pil_embedding_options){ PIL_EMBEDDING_DEFAULTS, .input_dim = __VA_ARGS__ })
PIL_API pil_embedding_options pil_embedding_options_default(void);
PIL_API pil_layer pil_embedding_make(const pil_embedding_options *options);

/* ---- recurrent layers ---------------------------------------------------------------------------------------- *
 *
 * [time, features] to [units], the last step's output, or [time, units] with return_sequences. go_backwards: from the last step to
 * the first; outputs in that order. dropout: of the inputs, recurrent_dropout: of the state, one mask for all steps of a row, in
 * training alone. Weights kernel [features, gates units], recurrent_kernel [units, gates units], bias. */
#define PIL_RECURRENT_OPTIONS                                                                                                    \
    const char *activation;                                                                                                      \
    bool use_bias;                                                                                                               \
    pil_layer_initializer kernel_initializer, recurrent_initializer, bias_initializer;                                           \
    pil_regularizer kernel_regularizer, recurrent_regularizer, bias_regularizer;                                                 \
    pil_constraint kernel_constraint, recurrent_constraint, bias_constraint;                                                     \
    float dropout, recurrent_dropout;                                                                                            \
    bool return_sequences, go_backwards;                                                                                         \
    PIL_LAYER_OPTIONS
#define PIL_RECURRENT_DEFAULTS                                                                                                   \
    .activation = "tanh", .use_bias = true, .kernel_initializer = PIL_GLOROT_UNIFORM, .recurrent_initializer = PIL_ORTHOGONAL,   \
    .bias_initializer = PIL_ZEROS, .dropout = 0.0f, .recurrent_dropout = 0.0f, .return_sequences = false, .go_backwards = false, \
    PIL_LAYER_DEFAULTS

typedef struct pil_lstm_options {
    int64_t units;
    const char *recurrent_activation;
    bool unit_forget_bias; /* the forget gate's bias starts at 1 */
    PIL_RECURRENT_OPTIONS;
} pil_lstm_options;
#define PIL_LSTM_DEFAULTS .recurrent_activation = "sigmoid", .unit_forget_bias = true, PIL_RECURRENT_DEFAULTS
/* Gates in the order i, f, c, o: c' = c sigmoid(f) + sigmoid(i) tanh(g); h' = tanh(c') sigmoid(o). Bias [4 units]. Source:
 * tf.keras.layers.LSTM. */
#define pil_lstm(...) pil_lstm_make(&(pil_lstm_options){ PIL_LSTM_DEFAULTS, .units = __VA_ARGS__ })
PIL_API pil_lstm_options pil_lstm_options_default(void);
PIL_API pil_layer pil_lstm_make(const pil_lstm_options *options);

typedef struct pil_gru_options {
    int64_t units;
    const char *recurrent_activation;
    bool reset_after; /* the reset gate after the product with the state; then the bias is [2, 3 units] */
    PIL_RECURRENT_OPTIONS;
} pil_gru_options;
#define PIL_GRU_DEFAULTS .recurrent_activation = "sigmoid", .reset_after = true, PIL_RECURRENT_DEFAULTS
/* Gates in the order z, r, h: h' = z h + (1 - z) tanh(...). Source: tf.keras.layers.GRU. */
#define pil_gru(...) pil_gru_make(&(pil_gru_options){ PIL_GRU_DEFAULTS, .units = __VA_ARGS__ })
PIL_API pil_gru_options pil_gru_options_default(void);
PIL_API pil_layer pil_gru_make(const pil_gru_options *options);

typedef struct pil_simple_rnn_options {
    int64_t units;
    PIL_RECURRENT_OPTIONS;
} pil_simple_rnn_options;
#define PIL_SIMPLE_RNN_DEFAULTS PIL_RECURRENT_DEFAULTS
/* h' = activation(x kernel + h recurrent_kernel + bias). Source: tf.keras.layers.SimpleRNN. */
#define pil_simple_rnn(...) pil_simple_rnn_make(&(pil_simple_rnn_options){ PIL_SIMPLE_RNN_DEFAULTS, .units = __VA_ARGS__ })
PIL_API pil_simple_rnn_options pil_simple_rnn_options_default(void);
PIL_API pil_layer pil_simple_rnn_make(const pil_simple_rnn_options *options);

/* ---- Dropout, SpatialDropout1D ------------------------------------------------------------------------------- */

typedef struct pil_dropout_options {
    float rate;   /* the part of the elements that is dropped, in [0, 1) */
    int64_t seed; /* of the layer's own stream; -1: the model's */
    PIL_LAYER_OPTIONS;
} pil_dropout_options;
#define PIL_DROPOUT_DEFAULTS .seed = -1, PIL_LAYER_DEFAULTS
/* In training: elements set to 0 at random, the others divided by 1 - rate. Source: tf.keras.layers.Dropout. */
#define pil_dropout(...) pil_dropout_make(&(pil_dropout_options){ PIL_DROPOUT_DEFAULTS, .rate = __VA_ARGS__ })
PIL_API pil_dropout_options pil_dropout_options_default(void);
PIL_API pil_layer pil_dropout_make(const pil_dropout_options *options);
/* [time, features]: whole features are dropped, all steps of them. Source: tf.keras.layers.SpatialDropout1D. */
#define pil_spatial_dropout1d(...) pil_spatial_dropout1d_make(&(pil_dropout_options){ PIL_DROPOUT_DEFAULTS, .rate = __VA_ARGS__ })
PIL_API pil_dropout_options pil_spatial_dropout1d_options_default(void);
PIL_API pil_layer pil_spatial_dropout1d_make(const pil_dropout_options *options);

/* ---- shapes and activations ---------------------------------------------------------------------------------- */

typedef struct pil_flatten_options {
    PIL_LAYER_OPTIONS;
} pil_flatten_options;
#define PIL_FLATTEN_DEFAULTS PIL_LAYER_DEFAULTS
/* [a, b, ...] to [a b ...]. Source: tf.keras.layers.Flatten. */
#define pil_flatten(...) pil_flatten_make(&(pil_flatten_options){ PIL_FLATTEN_DEFAULTS, __VA_ARGS__ })
PIL_API pil_flatten_options pil_flatten_options_default(void);
PIL_API pil_layer pil_flatten_make(const pil_flatten_options *options);

typedef struct pil_reshape_layer_options {
    pil_row target_shape; /* one of its sizes may be -1: what is left */
    PIL_LAYER_OPTIONS;
} pil_reshape_layer_options;
#define PIL_RESHAPE_LAYER_DEFAULTS PIL_LAYER_DEFAULTS
/* As many elements in another shape. Source: tf.keras.layers.Reshape. */
#define pil_reshape_layer(...)                                                                                                   \
    pil_reshape_layer_make(&(pil_reshape_layer_options){ PIL_RESHAPE_LAYER_DEFAULTS, .target_shape = __VA_ARGS__ })
PIL_API pil_reshape_layer_options pil_reshape_layer_options_default(void);
PIL_API pil_layer pil_reshape_layer_make(const pil_reshape_layer_options *options);

typedef struct pil_activation_layer_options {
    const char *activation;
    PIL_LAYER_OPTIONS;
} pil_activation_layer_options;
#define PIL_ACTIVATION_LAYER_DEFAULTS PIL_LAYER_DEFAULTS
/* Source: tf.keras.layers.Activation. */
#define pil_activation_layer(...)                                                                                                \
    pil_activation_layer_make(&(pil_activation_layer_options){ PIL_ACTIVATION_LAYER_DEFAULTS, .activation = __VA_ARGS__ })
PIL_API pil_activation_layer_options pil_activation_layer_options_default(void);
PIL_API pil_layer pil_activation_layer_make(const pil_activation_layer_options *options);

typedef struct pil_masking_options {
    float mask_value;
    PIL_LAYER_OPTIONS;
} pil_masking_options;
#define PIL_MASKING_DEFAULTS .mask_value = 0.0f, PIL_LAYER_DEFAULTS
/* [time, features]: a step whose features all are mask_value does not count, and becomes zeros. Source: tf.keras.layers.Masking. */
#define pil_masking(...) pil_masking_make(&(pil_masking_options){ PIL_MASKING_DEFAULTS, __VA_ARGS__ })
PIL_API pil_masking_options pil_masking_options_default(void);
PIL_API pil_layer pil_masking_make(const pil_masking_options *options);

/* ---- normalizations ------------------------------------------------------------------------------------------ */

typedef struct pil_batch_normalization_options {
    int axis; /* -1: the only one there is */
    float momentum, epsilon;
    bool center, scale;
    pil_layer_initializer beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer;
    pil_regularizer beta_regularizer, gamma_regularizer;
    pil_constraint beta_constraint, gamma_constraint;
    PIL_LAYER_OPTIONS;
} pil_batch_normalization_options;
#define PIL_BATCH_NORMALIZATION_DEFAULTS                                                                                         \
    .axis = -1, .momentum = 0.99f, .epsilon = 0.001f, .center = true, .scale = true, .beta_initializer = PIL_ZEROS,              \
    .gamma_initializer = PIL_ONES, .moving_mean_initializer = PIL_ZEROS, .moving_variance_initializer = PIL_ONES,                \
    PIL_LAYER_DEFAULTS
/* Each channel (position of the last axis) to mean 0 and variance 1 over the batch, in training, or by averages kept since; times
 * gamma plus beta. A layer that is not trainable uses its averages in training too. Source: tf.keras.layers.BatchNormalization. */
#define pil_batch_normalization(...)                                                                                             \
    pil_batch_normalization_make(&(pil_batch_normalization_options){ PIL_BATCH_NORMALIZATION_DEFAULTS, __VA_ARGS__ })
PIL_API pil_batch_normalization_options pil_batch_normalization_options_default(void);
PIL_API pil_layer pil_batch_normalization_make(const pil_batch_normalization_options *options);

typedef struct pil_layer_normalization_options {
    int axis; /* the first of the axes that are normalized together */
    float epsilon;
    bool center, scale;
    pil_layer_initializer beta_initializer, gamma_initializer;
    pil_regularizer beta_regularizer, gamma_regularizer;
    pil_constraint beta_constraint, gamma_constraint;
    PIL_LAYER_OPTIONS;
} pil_layer_normalization_options;
#define PIL_LAYER_NORMALIZATION_DEFAULTS                                                                                         \
    .axis = -1, .epsilon = 0.001f, .center = true, .scale = true, .beta_initializer = PIL_ZEROS, .gamma_initializer = PIL_ONES,  \
    PIL_LAYER_DEFAULTS
/* Each row to mean 0 and variance 1 over its axes from `axis` on, times gamma plus beta. Source:
 * tf.keras.layers.LayerNormalization. */
#define pil_layer_normalization(...)                                                                                             \
    pil_layer_normalization_make(&(pil_layer_normalization_options){ PIL_LAYER_NORMALIZATION_DEFAULTS, __VA_ARGS__ })
PIL_API pil_layer_normalization_options pil_layer_normalization_options_default(void);
PIL_API pil_layer pil_layer_normalization_make(const pil_layer_normalization_options *options);

/* ---- convolution and pooling over time ----------------------------------------------------------------------- */

typedef struct pil_conv1d_layer_options {
    int64_t filters;
    int64_t kernel_size;
    int64_t strides, dilation_rate, groups;
    const char *padding; /* "valid", "same", "causal" */
    const char *activation;
    bool use_bias;
    pil_layer_initializer kernel_initializer, bias_initializer;
    pil_regularizer kernel_regularizer, bias_regularizer;
    pil_constraint kernel_constraint, bias_constraint;
    PIL_LAYER_OPTIONS;
} pil_conv1d_layer_options;
#define PIL_CONV1D_LAYER_DEFAULTS                                                                                                \
    .strides = 1, .dilation_rate = 1, .groups = 1, .padding = "valid", .use_bias = true,                                         \
    .kernel_initializer = PIL_GLOROT_UNIFORM, .bias_initializer = PIL_ZEROS, PIL_LAYER_DEFAULTS
/* [time, channels] to [time', filters]. Weights kernel [kernel_size, channels, filters], bias [filters]. Source:
 * tf.keras.layers.Conv1D. */
#define pil_conv1d_layer(filters_, ...)                                                                                          \
    pil_conv1d_layer_make(                                                                                                       \
        &(pil_conv1d_layer_options){ PIL_CONV1D_LAYER_DEFAULTS, .filters = (filters_), .kernel_size = __VA_ARGS__ })
PIL_API pil_conv1d_layer_options pil_conv1d_layer_options_default(void);
PIL_API pil_layer pil_conv1d_layer_make(const pil_conv1d_layer_options *options);

typedef struct pil_pooling1d_options {
    int64_t pool_size;
    int64_t strides;     /* 0: the pool's size */
    const char *padding; /* "valid", "same" */
    PIL_LAYER_OPTIONS;
} pil_pooling1d_options;
#define PIL_POOLING1D_DEFAULTS .pool_size = 2, .strides = 0, .padding = "valid", PIL_LAYER_DEFAULTS
/* The largest of each pool of steps: [time, features] to [time', features]. Source: tf.keras.layers.MaxPooling1D. */
#define pil_max_pooling1d(...) pil_max_pooling1d_make(&(pil_pooling1d_options){ PIL_POOLING1D_DEFAULTS, __VA_ARGS__ })
PIL_API pil_pooling1d_options pil_max_pooling1d_options_default(void);
PIL_API pil_layer pil_max_pooling1d_make(const pil_pooling1d_options *options);
/* Their mean. Source: tf.keras.layers.AveragePooling1D. */
#define pil_average_pooling1d(...) pil_average_pooling1d_make(&(pil_pooling1d_options){ PIL_POOLING1D_DEFAULTS, __VA_ARGS__ })
PIL_API pil_pooling1d_options pil_average_pooling1d_options_default(void);
PIL_API pil_layer pil_average_pooling1d_make(const pil_pooling1d_options *options);

typedef struct pil_global_pooling1d_options {
    bool keepdims;
    PIL_LAYER_OPTIONS;
} pil_global_pooling1d_options;
#define PIL_GLOBAL_POOLING1D_DEFAULTS .keepdims = false, PIL_LAYER_DEFAULTS
/* The mean over the steps that count: [time, features] to [features]. Source: tf.keras.layers.GlobalAveragePooling1D. */
#define pil_global_average_pooling1d(...)                                                                                        \
    pil_global_average_pooling1d_make(&(pil_global_pooling1d_options){ PIL_GLOBAL_POOLING1D_DEFAULTS, __VA_ARGS__ })
PIL_API pil_global_pooling1d_options pil_global_average_pooling1d_options_default(void);
PIL_API pil_layer pil_global_average_pooling1d_make(const pil_global_pooling1d_options *options);
/* The largest over all steps, masked ones too, as in Keras. Source: tf.keras.layers.GlobalMaxPooling1D. */
#define pil_global_max_pooling1d(...)                                                                                            \
    pil_global_max_pooling1d_make(&(pil_global_pooling1d_options){ PIL_GLOBAL_POOLING1D_DEFAULTS, __VA_ARGS__ })
PIL_API pil_global_pooling1d_options pil_global_max_pooling1d_options_default(void);
PIL_API pil_layer pil_global_max_pooling1d_make(const pil_global_pooling1d_options *options);

/* ---- layers and wrappers ------------------------------------------------------------------------------------- */

/* Around a layer, flat in its value, so that values stay values: one wrapper a layer. */
typedef enum pil_wrapper_kind { PIL_WRAPPER_NONE, PIL_WRAPPER_BIDIRECTIONAL, PIL_WRAPPER_TIME_DISTRIBUTED } pil_wrapper_kind;
typedef struct pil_wrapper {
    pil_wrapper_kind kind;
    const char *merge_mode;
    PIL_LAYER_OPTIONS;
} pil_wrapper;

/* A layer as a value: from the functions below. */
typedef struct pil_layer {
    const char *class_name; /* Keras's: "LSTM" */
    union {
        pil_input_options input;
        pil_dense_features_options dense_features;
        pil_dense_options dense;
        pil_embedding_options embedding;
        pil_lstm_options lstm;
        pil_gru_options gru;
        pil_simple_rnn_options simple_rnn;
        pil_dropout_options dropout;
        pil_flatten_options flatten;
        pil_reshape_layer_options reshape;
        pil_activation_layer_options activation;
        pil_masking_options masking;
        pil_batch_normalization_options batch_normalization;
        pil_layer_normalization_options layer_normalization;
        pil_conv1d_layer_options conv1d;
        pil_pooling1d_options pooling1d;
        pil_global_pooling1d_options global_pooling1d;
    } options;
    pil_wrapper wrapper;
} pil_layer;

typedef struct pil_bidirectional_options {
    pil_layer layer;
    const char *merge_mode; /* "concat", "sum", "mul", "ave" */
    PIL_LAYER_OPTIONS;
} pil_bidirectional_options;
#define PIL_BIDIRECTIONAL_DEFAULTS .merge_mode = "concat", PIL_LAYER_DEFAULTS
/* A recurrent layer and its like that goes backwards, side by side or merged. Weights "forward_<name>/...", "backward_<name>/...".
 * Source: tf.keras.layers.Bidirectional; its merge_mode None and backward_layer are not here. */
#define pil_bidirectional(...)                                                                                                   \
    pil_bidirectional_make(&(pil_bidirectional_options){ PIL_BIDIRECTIONAL_DEFAULTS, .layer = __VA_ARGS__ })
PIL_API pil_bidirectional_options pil_bidirectional_options_default(void);
PIL_API pil_layer pil_bidirectional_make(const pil_bidirectional_options *options);

typedef struct pil_time_distributed_options {
    pil_layer layer;
    PIL_LAYER_OPTIONS;
} pil_time_distributed_options;
#define PIL_TIME_DISTRIBUTED_DEFAULTS PIL_LAYER_DEFAULTS
/* A layer at every step: [time, ...] to [time, ...]. Source: tf.keras.layers.TimeDistributed. */
#define pil_time_distributed(...)                                                                                                \
    pil_time_distributed_make(&(pil_time_distributed_options){ PIL_TIME_DISTRIBUTED_DEFAULTS, .layer = __VA_ARGS__ })
PIL_API pil_time_distributed_options pil_time_distributed_options_default(void);
PIL_API pil_layer pil_time_distributed_make(const pil_time_distributed_options *options);

#ifdef __cplusplus
}
#endif

#endif
