/* SPDX-License-Identifier: Apache-2.0 */
/* Optimizers as the golden files name them: "Adam" of tf.compat.v1.train, "keras.Adam" legacy, "keras2.Adam" newer. */
#ifndef PILASTER_TESTS_TRAIN_GOLDEN_OPTIMIZERS_H
#define PILASTER_TESTS_TRAIN_GOLDEN_OPTIMIZERS_H

#include "train/harness.h"

#include "kernel/golden.h"

static inline void print_yaml(const struct json_value *value, struct text *out)
{
    struct json_value item;
    struct slice key;
    if (value->kind == JSON_MAP) {
        text_append_text(out, "{");
        for (struct json_walk walk = json_children(value); json_next(&walk, &key, &item);) {
            text_format(out, "%s%.*s: ", out->data[out->size - 1] == '{' ? "" : ", ", (int)key.size, key.data);
            print_yaml(&item, out);
        }
        text_append_text(out, "}");
    } else if (value->kind == JSON_BOOL) {
        text_append_text(out, value->flag ? "true" : "false");
    } else {
        text_json_double(out, value->number);
    }
}

static inline struct optimizer golden_optimizer(struct rig *rig, const struct json_value *item)
{
    struct slice name = golden_get(item, "optimizer").text;
    struct json_value hyper = golden_get(item, "hyperparameters");
    enum optimizer_flavour flavour = FLAVOUR_V1;
    struct text text = { 0 };
    if (name.size > 7 && memcmp(name.data, "keras2.", 7) == 0) {
        flavour = FLAVOUR_KERAS;
        name = slice_of(name.data + 7, name.size - 7);
    } else if (name.size > 6 && memcmp(name.data, "keras.", 6) == 0) {
        flavour = FLAVOUR_KERAS_LEGACY;
        name = slice_of(name.data + 6, name.size - 6);
    }
    if (slice_is(name, "GradientDescent"))
        name = slice_text("sgd");
    text_format(&text, "{%.*s: ", (int)name.size, name.data);
    print_yaml(&hyper, &text);
    text_append_text(&text, "}");
    struct optimizer optimizer = rig_optimizer(rig, text.data, flavour);
    text_free(&text);
    return optimizer;
}

#endif
