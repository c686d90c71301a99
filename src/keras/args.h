/* SPDX-License-Identifier: Apache-2.0 */
/* Types of arguments that layers have besides base's and column's (COLUMN_ARG_INITIALIZER). Private to the families. */
#ifndef PILASTER_KERAS_ARGS_H
#define PILASTER_KERAS_ARGS_H

#include "keras/internal.h"

extern const struct arg_type KERAS_ARG_ACTIVATION;  /* const char *; null is linear. Checked where the layer is built */
extern const struct arg_type KERAS_ARG_WORD;        /* const char *: one of extra's words, NULL-terminated */
extern const struct arg_type KERAS_ARG_REGULARIZER; /* pil_regularizer: "l2" is 0.01, {l2: 0.001}, {l1_l2: {l1: 0.1, l2: 0}} */
extern const struct arg_type KERAS_ARG_CONSTRAINT;  /* pil_constraint: "non_neg", {max_norm: {max_value: 2, axis: 0}} */
extern const struct arg_type KERAS_ARG_ROW;         /* int64_t[PIL_ROW_RANK], up to the first 0; -1 is left to the layer */
extern const struct arg_type KERAS_ARG_COLUMNS;     /* pil_keys */

/* Rows of argument tables that many classes have, each with the offsets of its own struct. */
#define LAYER_ARGS(options)                                                                                                      \
    { .name = "name", .type = &ARG_TEXT, .offset = offsetof(options, name), .help = "of the layer" },                            \
        { .name = "input_shape",                                                                                                 \
          .type = &KERAS_ARG_ROW,                                                                                                \
          .offset = offsetof(options, input_shape),                                                                              \
          .help = "of the first layer: one row's shape" },                                                                       \
    {                                                                                                                            \
        .name = "trainable", .type = &ARG_BOOL, .offset = offsetof(options, trainable), .help = "false: its weights stay"        \
    }
/* An initializer, a regularizer and a constraint of the weight `word`. */
#define WEIGHT_ARGS(options, word)                                                                                               \
    { .name = #word "_initializer",                                                                                              \
      .type = &COLUMN_ARG_INITIALIZER,                                                                                           \
      .offset = offsetof(options, word##_initializer),                                                                           \
      .help = "first values of " #word },                                                                                        \
        { .name = #word "_regularizer",                                                                                          \
          .type = &KERAS_ARG_REGULARIZER,                                                                                        \
          .offset = offsetof(options, word##_regularizer),                                                                       \
          .help = "added to the loss: l1, l2, l1_l2" },                                                                          \
    {                                                                                                                            \
        .name = #word "_constraint", .type = &KERAS_ARG_CONSTRAINT, .offset = offsetof(options, word##_constraint),              \
        .help = "kept to after each update: max_norm, non_neg, unit_norm, min_max_norm"                                          \
    }
/* A class's row: `word` of its maker, the type of its options, what stands behind. */
#define LAYER_ROW(class_, word_, options_, args_, defaults_, help_, ...)                                                         \
    {                                                                                                                            \
        .table = { .name = class_,                                                                                               \
                   .help = help_,                                                                                                \
                   .args = args_,                                                                                                \
                   .arg_count = COUNT_OF(args_),                                                                                 \
                   .defaults = &defaults_,                                                                                       \
                   .size = sizeof(options_) },                                                                                   \
        .word = word_, .name_offset = offsetof(options_, name), __VA_ARGS__                                                      \
    }
#define LAYER_OFFSETS(options_)                                                                                                  \
    .trainable_offset = offsetof(options_, trainable), .input_shape_offset = offsetof(options_, input_shape)
/* The maker behind a public macro. */
#define LAYER_MAKER(maker, class_, options_, member, ...)                                                                        \
    options_ pil_##maker##_options_default(void)                                                                                 \
    {                                                                                                                            \
        return (options_){ __VA_ARGS__ };                                                                                        \
    }                                                                                                                            \
    pil_layer pil_##maker##_make(const options_ *options)                                                                        \
    {                                                                                                                            \
        return (pil_layer){ .class_name = class_, .options.member = *options };                                                  \
    }

#endif
