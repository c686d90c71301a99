/* SPDX-License-Identifier: Apache-2.0 */
/* A store with every kind of variable, and stores made after a checkpoint, for the tests of this room. */
#ifndef PILASTER_TESTS_STORE_MODEL_H
#define PILASTER_TESTS_STORE_MODEL_H

#include "format/format.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* NULL when memory is out (then *status says so). */
static inline struct variable *model_add(struct store *store, const char *name, enum dtype dtype, struct shape shape,
                                         enum store_layout layout, int slots, pil_status *status)
{
    struct variable *variable = store_declare(store, name, dtype, shape, layout, status);
    for (int k = 0; variable != NULL && k < slots; k++) {
        char slot[200];
        snprintf(slot, sizeof slot, "training/Ftrl/%s/%s", name, k == 0 ? "accumulator" : "linear");
        variable->trainable = true;
        if (!store_add_slot(store, variable, slot, k == 0 ? 0.1f : 0, status))
            return NULL;
    }
    return variable;
}

/* Rows and columns with pads, a table, averages that no optimizer changes, a rate, a step. */
static inline struct store *model_new(int64_t inputs, pil_status *status)
{
    struct store *store = store_new(status);
    struct variable *rate;
    if (store == NULL)
        return NULL;
    if (model_add(store, "dnn/hiddenlayer_0/kernel", DTYPE_FLOAT32, SHAPE(inputs, 20), STORE_DENSE, 2, status) == NULL ||
        model_add(store, "dnn/hiddenlayer_0/bias", DTYPE_FLOAT32, SHAPE(20), STORE_DENSE, 2, status) == NULL ||
        model_add(store, "dnn/average", DTYPE_FLOAT32, SHAPE(7), STORE_DENSE, 0, status) == NULL ||
        model_add(store, "linear/table", DTYPE_FLOAT32, SHAPE(33, 5), STORE_TABLE, 2, status) == NULL ||
        model_add(store, "global_step", DTYPE_INT64, SHAPE_SCALAR, STORE_PLAIN, 0, status) == NULL ||
        model_add(store, "training/Ftrl/iter", DTYPE_INT64, SHAPE_SCALAR, STORE_PLAIN, 0, status) == NULL ||
        (rate = model_add(store, "training/Ftrl/learning_rate", DTYPE_FLOAT32, SHAPE_SCALAR, STORE_PLAIN, 0, status)) == NULL)
        goto failed;
    rate->hyper = true;
    if (!store_allocate(store, status))
        goto failed;
    *store_float32(store, "training/Ftrl/learning_rate") = 0.05f;
    return store;
failed:
    store_free(store);
    return NULL;
}

/* Fills every float with numbers that depend on `from`; the step too. */
static inline void model_fill(struct store *store, int64_t from)
{
    for (size_t i = 0; i < store_count(store); i++) {
        const struct variable *variable = store_at(store, i);
        for (int k = -1; k < variable->slot_count && variable->layout != STORE_PLAIN; k++) {
            struct tensor values = k < 0 ? variable->value : store_slot_view(variable, k);
            for (int64_t row = 0; row < values.rows; row++) {
                for (int64_t column = 0; column < values.cols; column++)
                    tensor_floats(&values)[row * values.ld + column] =
                        (float)(from + k * 1000 + row * values.cols + column + (int64_t)i);
            }
        }
    }
    *store_int64(store, "global_step") = from;
    *store_int64(store, "training/Ftrl/iter") = from + 1;
}

/* Whether both stores hold the same, pads included; hyper-parameters aside. */
static inline bool model_same(const struct store *a, const struct store *b, bool slots)
{
    bool same = store_count(a) == store_count(b);
    for (size_t i = 0; same && i < store_count(a); i++) {
        const struct variable *x = store_at(a, i), *y = store_at(b, i);
        same = strcmp(x->name, y->name) == 0 && x->value.ld == y->value.ld;
        if (x->hyper || !same)
            continue;
        for (int k = -1; same && k < (slots ? x->slot_count : 0); k++) {
            struct tensor p = k < 0 ? x->value : store_slot_view(x, k), q = k < 0 ? y->value : store_slot_view(y, k);
            int64_t width = x->layout == STORE_DENSE ? p.ld : p.cols;
            for (int64_t row = 0; same && row < p.rows; row++)
                same =
                    memcmp((char *)p.data + (size_t)(row * p.ld) * dtype_size(p.dtype),
                           (char *)q.data + (size_t)(row * q.ld) * dtype_size(q.dtype), (size_t)width * dtype_size(p.dtype)) == 0;
        }
    }
    return same;
}

/* A store for a checkpoint of TensorFlow's 2.x Estimator: slots from "training/<Optimizer>/<variable>/<slot>", scalars plain,
 * tables where `is_table` says so (NULL: none). */
static inline struct store *model_after(const char *prefix, bool (*is_table)(const char *name))
{
    pil_status status = { 0 };
    struct bundle *bundle = bundle_open(prefix, &status);
    struct store *store = store_new(&status);
    assert_string_equal(status.message, "");
    for (size_t i = 0; i < bundle_count(bundle); i++) {
        const struct bundle_entry *entry = bundle_at(bundle, i);
        if (entry->shape.rank == 0 || strncmp(entry->name, "training/", 9) != 0) {
            bool table = is_table != NULL && is_table(entry->name);
            enum store_layout layout = entry->shape.rank == 0 ? STORE_PLAIN : table ? STORE_TABLE : STORE_DENSE;
            struct variable *variable = store_declare(store, entry->name, entry->dtype, entry->shape, layout, &status);
            assert_non_null(variable);
            variable->hyper = entry->shape.rank == 0 && entry->dtype == DTYPE_FLOAT32;
            variable->trainable = layout != STORE_PLAIN && strstr(entry->name, "moving_") == NULL;
        }
    }
    for (size_t i = 0; i < bundle_count(bundle); i++) {
        const struct bundle_entry *entry = bundle_at(bundle, i);
        char name[512];
        if (entry->shape.rank == 0 || strncmp(entry->name, "training/", 9) != 0)
            continue;
        snprintf(name, sizeof name, "%s", strchr(entry->name + 9, '/') + 1);
        *strrchr(name, '/') = '\0';
        assert_true(store_add_slot(store, store_find(store, name), entry->name, 0, &status));
    }
    assert_true(store_allocate(store, &status));
    bundle_close(bundle);
    return store;
}

#endif
