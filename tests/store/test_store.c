/* SPDX-License-Identifier: Apache-2.0 */
/* The store: layouts, pads that stay zero under every update, first values that depend on nothing but seed, name, place. */
#include "failing.h"
#include "store/store.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct variable *declare(struct store *store, const char *name, struct shape shape, enum store_layout layout, int slots,
                                float initial)
{
    pil_status status = { 0 };
    struct variable *variable = store_declare(store, name, DTYPE_FLOAT32, shape, layout, &status);
    assert_string_equal(status.message, "");
    variable->trainable = layout != STORE_PLAIN;
    for (int k = 0; k < slots; k++) {
        char slot[128];
        snprintf(slot, sizeof slot, "training/Opt/%s/slot%d", name, k);
        assert_true(store_add_slot(store, variable, slot, initial * (float)(k + 1), &status));
    }
    return variable;
}

static void declaring(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *store = store_new(&status);
    struct variable *b = declare(store, "b", SHAPE(3), STORE_DENSE, 0, 0),
                    *a = declare(store, "a", SHAPE(2, 3), STORE_TABLE, 0, 0);
    assert_ptr_equal(store_find(store, "b"), b);
    assert_null(store_find(store, "c"));
    assert_int_equal(store_count(store), 2);
    assert_ptr_equal(store_at(store, 0), a);
    assert_ptr_equal(store_declare(store, "b", DTYPE_FLOAT32, SHAPE(3), STORE_DENSE, &status), b);
    assert_null(store_declare(store, "b", DTYPE_FLOAT32, SHAPE(4), STORE_DENSE, &status));
    assert_string_equal(status.message, "variable 'b' is declared twice: as dense float32 [3] and as dense float32 [4]");
    status_clear(&status);
    assert_null(store_declare(store, "b", DTYPE_FLOAT32, SHAPE(3), STORE_PLAIN, &status));
    status_clear(&status);
    assert_null(store_declare(store, "", DTYPE_FLOAT32, SHAPE(3), STORE_DENSE, &status));
    status_clear(&status);
    assert_null(store_declare(store, "t", DTYPE_FLOAT32, SHAPE(3), STORE_TABLE, &status));
    status_clear(&status);
    assert_null(store_declare(store, "i", DTYPE_INT64, SHAPE(3), STORE_DENSE, &status));
    status_clear(&status);
    assert_null(store_declare(store, "huge", DTYPE_FLOAT32, SHAPE(INT64_MAX / 4, 2), STORE_DENSE, &status));
    assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
    status_clear(&status);
    for (int k = 0; k < 3; k++) {
        char name[8] = { 's', (char)('0' + k), 0 };
        assert_true(store_add_slot(store, b, name, 0, &status));
        assert_true(store_add_slot(store, b, name, 0, &status)); /* again: nothing happens */
    }
    assert_int_equal(b->slot_count, 3);
    assert_false(store_add_slot(store, b, "s3", 0, &status));
    status_clear(&status);
    assert_true(store_allocate(store, &status));
    assert_false(store_allocate(store, &status));
    status_clear(&status);
    assert_ptr_equal(store_declare(store, "b", DTYPE_FLOAT32, SHAPE(3), STORE_DENSE, &status), b);
    assert_null(store_declare(store, "late", DTYPE_FLOAT32, SHAPE(3), STORE_DENSE, &status));
    assert_int_equal(status.code, PIL_INTERNAL);
    store_free(store);
    store_free(NULL);
}

static void dense_layout(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *store = store_new(&status);
    struct variable *kernel = declare(store, "kernel", SHAPE(3, 20), STORE_DENSE, 2, 0.1f);
    struct variable *other = declare(store, "other", SHAPE(5), STORE_DENSE, 1, 0.5f);
    struct variable *column = declare(store, "column", SHAPE(7, 1), STORE_DENSE, 2, 0.1f);
    struct variable *average = declare(store, "average", SHAPE(7), STORE_DENSE, 0, 0);
    struct variable *bias = declare(store, "bias", SHAPE(17), STORE_DENSE, 2, 0.1f);
    other->group = 1;
    average->trainable = false;
    assert_true(store_allocate(store, &status));
    assert_int_equal(store_groups(store), 2);
    struct store_block block = store_block(store, 0);
    assert_int_equal(block.slot_count, 2);
    assert_int_equal(block.floats, 3 * 32 + 16 + 32);
    assert_int_equal(kernel->block_offset, 0);
    assert_int_equal(column->block_offset, 96);
    assert_int_equal(bias->block_offset, 112);
    assert_int_equal(average->block_offset, -1);
    assert_int_equal(store_block(store, 1).floats, 16);
    assert_null(store_block(store, 2).weights);
    assert_ptr_equal(bias->value.data, block.weights + 112);
    assert_int_equal((uintptr_t)block.weights % 64, 0);
    assert_int_equal(kernel->value.rows, 3);
    assert_int_equal(kernel->value.cols, 20);
    assert_int_equal(kernel->value.ld, 32);
    assert_int_equal(column->value.ld, 1);
    struct tensor slot = store_slot_view(bias, 1);
    assert_ptr_equal(slot.data, block.slots[1] + 112);
    assert_int_equal(slot.ld, bias->value.ld);
    for (int64_t i = 0; i < block.floats; i++) { /* pads too */
        assert_true(block.weights[i] == 0);
        assert_true(block.slots[0][i] == 0.1f);
        assert_true(block.slots[1][i] == 0.2f);
    }
    assert_int_equal(store_parameters(store), 60 + 5 + 7 + 17);
    assert_true(store_bytes(store) >= (int64_t)sizeof(float) * (3 * 144 + 2 * 16 + 16));
    store_free(store);
}

static void table_layout(void **state)
{
    (void)state;
    static const struct {
        int64_t dim;
        int slots;
        int64_t slot_stride, stride;
    } cases[] = {
        { 1, 0, 1, 1 },    { 1, 1, 1, 2 },   { 1, 2, 1, 4 },  { 1, 3, 1, 4 },    { 2, 1, 4, 8 },
        { 4, 0, 4, 4 },    { 4, 2, 4, 16 },  { 5, 2, 8, 24 }, { 8, 1, 8, 16 },   { 10, 0, 12, 16 },
        { 16, 2, 16, 48 }, { 9, 1, 12, 24 }, { 7, 0, 8, 8 },  { 25, 0, 28, 32 }, { 3, 3, 4, 16 },
    };
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        pil_status status = { 0 };
        struct store *store = store_new(&status);
        struct variable *table = declare(store, "table", SHAPE(11, cases[c].dim), STORE_TABLE, cases[c].slots, 0.1f);
        assert_true(store_allocate(store, &status));
        assert_int_equal(table->slot_stride, cases[c].slot_stride);
        assert_int_equal(table->value.ld, cases[c].stride);
        assert_int_equal(table->value.rows, 11);
        assert_int_equal(table->value.cols, cases[c].dim);
        assert_int_equal((uintptr_t)table->value.data % 64, 0);
        assert_int_equal(store_groups(store), 0);
        for (int k = 0; k < cases[c].slots; k++) {
            struct tensor slot = store_slot_view(table, k);
            assert_ptr_equal(slot.data, tensor_floats(&table->value) + (k + 1) * table->slot_stride);
            for (int64_t row = 0; row < 11; row++) {
                for (int64_t i = 0; i < table->slot_stride; i++)
                    assert_true(tensor_floats(&slot)[row * slot.ld + i] == 0.1f * (float)(k + 1));
            }
        }
        for (int64_t row = 0; row < 11; row++)
            assert_true(tensor_floats(&table->value)[row * table->value.ld] == 0);
        store_free(store);
    }
}

/* A gradient of zeros leaves the pads of weights at zero, whatever the formula: slots as the optimizers start them. */
static void pads_stay_zero(void **state)
{
    (void)state;
    const struct kernels *kernels = kernel_get();
    for (int formula = 0; formula < UPDATE_COUNT; formula++) {
        bool adagrad = formula == UPDATE_ADAGRAD || formula == UPDATE_ADAGRAD_INSIDE || formula == UPDATE_FTRL ||
                       formula == UPDATE_PROXIMAL_ADAGRAD;
        pil_status status = { 0 };
        struct store *store = store_new(&status);
        struct variable *kernel = declare(store, "kernel", SHAPE(3, 5), STORE_DENSE, 0, 0);
        for (int k = 0; k < update_slots((enum update_formula)formula); k++) {
            char name[16];
            snprintf(name, sizeof name, "slot%d", k);
            assert_true(store_add_slot(store, kernel, name, adagrad && k == 0 ? 0.1f : 0, &status));
        }
        assert_true(store_allocate(store, &status));
        struct store_block block = store_block(store, 0);
        struct update rule = { .formula = (enum update_formula)formula,
                               .rate = 0.1f,
                               .momentum = 0.9f,
                               .rho = 0.9f,
                               .beta_1 = 0.9f,
                               .beta_2 = 0.999f,
                               .power = -0.5f,
                               .l1 = 0.01f,
                               .l2 = 0.01f };
        rule.epsilon = adagrad ? 0 : 1e-7f;
        for (size_t i = 0; i < COUNT_OF(rule.extra); i++)
            rule.extra[i] = 0.5f;
        float gradient[48] = { 0 };
        for (int row = 0; row < 3; row++) {
            for (int i = 0; i < 5; i++)
                gradient[row * 16 + i] = 1.0f;
        }
        struct update_dense call = { .rule = &rule, .w = block.weights, .g = gradient, .n = block.floats };
        for (int k = 0; k < block.slot_count; k++)
            call.slot[k] = block.slots[k];
        for (int step = 0; step < 20; step++)
            kernels->update_dense(&call);
        for (int i = 0; i < 48; i++)
            assert_true((block.weights[i] == 0) == (i % 16 >= 5));
        store_free(store);
    }
}

/* A model with every kind of variable; large ones cross pieces of work. */
static struct store *model(uint64_t seed, int threads)
{
    pil_status status = { 0 };
    struct store *store = store_new(&status);
    struct threads *pool = threads > 0 ? threads_new(threads, &status) : NULL;
    declare(store, "dense", SHAPE(300, 70), STORE_DENSE, 1, 0.1f)->initializer =
        (pil_initializer){ PIL_INITIALIZER_GLOROT_UNIFORM, 0, 0 };
    declare(store, "square", SHAPE(20, 20), STORE_DENSE, 0, 0)->initializer =
        (pil_initializer){ PIL_INITIALIZER_ORTHOGONAL, 1, 0 };
    declare(store, "wide", SHAPE(2, 40000), STORE_DENSE, 0, 0)->initializer = (pil_initializer){ PIL_INITIALIZER_NORMAL, 0, 1 };
    declare(store, "table", SHAPE(9000, 5), STORE_TABLE, 2, 0.1f)->initializer =
        (pil_initializer){ PIL_INITIALIZER_TRUNCATED_NORMAL, 0, 0.5f };
    declare(store, "ones", SHAPE(6), STORE_DENSE, 0, 0)->initializer = (pil_initializer){ PIL_INITIALIZER_ONES, 0, 0 };
    declare(store, "rate", SHAPE_SCALAR, STORE_PLAIN, 0, 0)->hyper = true;
    assert_true(store_allocate(store, &status));
    *store_float32(store, "rate") = 0.25f;
    assert_true(store_initialize(store, seed, pool, &status));
    assert_string_equal(status.message, "");
    threads_free(pool);
    return store;
}

static bool same_values(const struct store *a, const struct store *b, const char *name)
{
    const struct variable *x = store_find(a, name), *y = store_find(b, name);
    size_t bytes = (size_t)shape_elements(x->shape) * sizeof(float);
    char *p = malloc(bytes), *q = malloc(bytes);
    tensor_pack(&x->value, p);
    tensor_pack(&y->value, q);
    bool same = memcmp(p, q, bytes) == 0;
    free(p);
    free(q);
    return same;
}

static void first_values(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *one = model(42, 0), *many = model(42, 3), *other = model(43, 2);
    static const char *const names[] = { "dense", "square", "wide", "table", "ones" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_true(same_values(one, many, names[i]));
        assert_int_equal(same_values(one, other, names[i]), i == 4);
    }
    assert_true(*store_float32(many, "rate") == 0.25f);
    /* Element i is what the initializer gives at i, wherever it lies. */
    const struct variable *table = store_find(one, "table");
    float expected[5];
    assert_true(initializer_fill(table->initializer, random_key(42, "table"), table->shape, 8999 * 5, 5, expected, &status));
    assert_memory_equal(tensor_floats(&table->value) + 8999 * table->value.ld, expected, sizeof expected);
    struct tensor slot = store_slot_view(table, 1);
    assert_true(tensor_floats(&slot)[8999 * slot.ld] == 0.2f);
    const struct variable *dense = store_find(one, "dense");
    for (int row = 0; row < 300; row++) {
        for (int i = 70; i < 80; i++)
            assert_true(tensor_floats(&dense->value)[row * 80 + i] == 0);
    }
    store_free(one);
    store_free(many);
    store_free(other);
}

static void scalars(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct store *store = store_new(&status);
    assert_non_null(store_declare(store, "global_step", DTYPE_INT64, SHAPE_SCALAR, STORE_PLAIN, &status));
    assert_non_null(store_declare(store, "rate", DTYPE_FLOAT32, SHAPE_SCALAR, STORE_PLAIN, &status));
    assert_non_null(store_declare(store, "vector", DTYPE_INT64, SHAPE(3), STORE_PLAIN, &status));
    assert_true(store_allocate(store, &status));
    *store_int64(store, "global_step") = INT64_MAX;
    assert_true(*store_int64(store, "global_step") == INT64_MAX);
    assert_null(store_int64(store, "rate"));
    assert_null(store_int64(store, "vector"));
    assert_null(store_int64(store, "none"));
    assert_true(*store_float32(store, "rate") == 0);
    assert_null(store_float32(store, "global_step"));
    assert_int_equal(store_parameters(store), 0);
    store_free(store);
}

static void out_of_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        struct store *store = store_new(&status);
        struct variable *variables[3] = { NULL };
        static const char *const names[] = { "dense", "table", "square" };
        static const enum store_layout layouts[] = { STORE_DENSE, STORE_TABLE, STORE_DENSE };
        bool worked = store != NULL;
        for (int i = 0; worked && i < 3; i++) {
            variables[i] = store_declare(store, names[i], DTYPE_FLOAT32, SHAPE(5, 5), layouts[i], &status);
            worked = variables[i] != NULL;
            if (worked)
                variables[i]->trainable = true;
            worked = worked && store_add_slot(store, variables[i], i == 0 ? "a" : "b", 0.1f, &status);
        }
        if (worked)
            variables[2]->initializer = (pil_initializer){ PIL_INITIALIZER_ORTHOGONAL, 1, 0 };
        worked = worked && store_allocate(store, &status) && store_initialize(store, 1, NULL, &status);
        store_free(store);
        long long live = failing_live;
        bool reached = failing_stop();
        assert_int_equal(live, 0);
        if (!reached) {
            assert_true(worked);
            break;
        }
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(declaring),      cmocka_unit_test(dense_layout), cmocka_unit_test(table_layout),
        cmocka_unit_test(pads_stay_zero), cmocka_unit_test(first_values), cmocka_unit_test(scalars),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("store/store", tests, NULL, NULL);
}
