/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of optimizers: what the model file may say and what it prints, defaults of the three families, names and first
 * values of slots and hyper-parameters against checkpoints that TensorFlow wrote at step 0.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"
#include "train/internal.h"

#include "reading.h"
#include "values.h"

static bool read_as(struct fixture *f, const char *text, const char *name, double rate, enum optimizer_flavour flavour,
                    struct optimizer *out)
{
    struct value *value = text ? values_parse(f->arena, text) : NULL;
    status_clear(&f->status);
    return optimizer_read(value, name, rate, flavour, &f->reader, out, &f->status);
}

static struct optimizer must_read(struct fixture *f, const char *text, enum optimizer_flavour flavour)
{
    struct optimizer optimizer;
    if (!read_as(f, text, "Adagrad", -1, flavour, &optimizer))
        fail_msg("%s: %s", text, f->status.message);
    return optimizer;
}

/* ---- reading and printing ------------------------------------------------------------------------------------ */

/* A bare word takes the estimator's rate, a mapping the class's. */
static void rates(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        double given;
        enum optimizer_flavour flavour;
        const char *class_name;
        double rate;
    } cases[] = {
        { NULL, 0.2, FLAVOUR_KERAS_LEGACY, "Ftrl", 0.2 },
        { "null", 0.2, FLAVOUR_KERAS_LEGACY, "Ftrl", 0.2 },
        { "Adagrad", 0.2, FLAVOUR_KERAS_LEGACY, "Adagrad", 0.2 },
        { "adagrad", -1, FLAVOUR_KERAS_LEGACY, "Adagrad", 0.001 },
        { "{adagrad: {}}", 0.2, FLAVOUR_KERAS_LEGACY, "Adagrad", 0.001 },
        { "{adagrad: null}", 0.2, FLAVOUR_KERAS_LEGACY, "Adagrad", 0.001 },
        { "{Adagrad: {learning_rate: null}}", 0.2, FLAVOUR_KERAS_LEGACY, "Adagrad", 0.001 },
        { "{adagrad: {learning_rate: 0.05}}", 0.2, FLAVOUR_KERAS_LEGACY, "Adagrad", 0.05 },
        { "SGD", -1, FLAVOUR_KERAS_LEGACY, "SGD", 0.01 },
        { "RMSProp", -1, FLAVOUR_KERAS_LEGACY, "RMSprop", 0.001 },
        { "{RMSprop: {}}", -1, FLAVOUR_KERAS_LEGACY, "RMSprop", 0.001 },
        { "RMSProp", 0.05, FLAVOUR_V1, "RMSProp", 0.05 },
        { "'Adam'", 0.05, FLAVOUR_V1, "Adam", 0.05 },
        { "{momentum: {learning_rate: 0.1, momentum: 0.5, use_nesterov: true}}", 0.05, FLAVOUR_V1, "Momentum", 0.1 },
        { "{adam: {name: First}}", 0.05, FLAVOUR_KERAS_LEGACY, "First", 0.001 },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct optimizer optimizer;
        if (!read_as(f, cases[i].text, "Ftrl", cases[i].given, cases[i].flavour, &optimizer))
            fail_msg("%s: %s", cases[i].text, f->status.message);
        assert_string_equal(optimizer_class(&optimizer), cases[i].class_name);
        assert_true(optimizer.options.learning_rate.rate == cases[i].rate);
    }
    assert_string_equal(optimizer_class(&(struct optimizer){ 0 }), "");
}

static void wrong_arguments(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        enum optimizer_flavour flavour;
        pil_code code;
        const char *message;
    } cases[] = {
        { "Adagard", FLAVOUR_KERAS_LEGACY, PIL_INVALID_ARGUMENT,
          "model.yaml:1:1: no optimizer is called 'Adagard'; did you mean 'adagrad'?" },
        { "{nothing: {}}", FLAVOUR_KERAS_LEGACY, PIL_INVALID_ARGUMENT, "there are adagrad, adam, ftrl" },
        { "{nadam: {}}", FLAVOUR_V1, PIL_INVALID_ARGUMENT, "no optimizer of TensorFlow 1 is called 'nadam'" },
        { "{momentum: {}}", FLAVOUR_KERAS_LEGACY, PIL_INVALID_ARGUMENT, "no optimizer is called 'momentum'" },
        { "{adam: {}, sgd: {}}", FLAVOUR_KERAS_LEGACY, PIL_INVALID_ARGUMENT, "one of them" },
        { "[adam]", FLAVOUR_KERAS_LEGACY, PIL_INVALID_ARGUMENT, "one of them" },
        { "{adam: {learning_rat: 0.1}}", FLAVOUR_KERAS_LEGACY, PIL_INVALID_ARGUMENT, "did you mean 'learning_rate'?" },
        { "{adam: {beta_1: 1}}", FLAVOUR_KERAS_LEGACY, PIL_INVALID_ARGUMENT, "beta_1 must be from 0" },
        { "{sgd: {momentum: 1.5}}", FLAVOUR_KERAS_LEGACY, PIL_INVALID_ARGUMENT, "momentum must be from 0 to 1" },
        { "{ftrl: {learning_rate_power: 0.5}}", FLAVOUR_KERAS_LEGACY, PIL_INVALID_ARGUMENT,
          "learning_rate_power must be at most 0" },
        { "{adagrad: {}}", FLAVOUR_V1, PIL_INVALID_ARGUMENT, "adagrad of TensorFlow 1 needs a learning_rate" },
        { "{sgd: {clipnorm: 1.0, global_clipnorm: 2.0}}", FLAVOUR_KERAS_LEGACY, PIL_INVALID_ARGUMENT,
          "model.yaml:1: SGD takes clipnorm or global_clipnorm, not both" },
        { "{sgd: {clipvalue: -1.0}}", FLAVOUR_KERAS_LEGACY, PIL_INVALID_ARGUMENT, "clipvalue must be at least 0" },
        { "{nadam: {learning_rate: {cosine_decay: {initial_learning_rate: 1, decay_steps: 9}}}}", FLAVOUR_KERAS_LEGACY,
          PIL_INVALID_ARGUMENT, "Nadam takes no schedule" },
        { "{adam: {decay: 0.1}}", FLAVOUR_KERAS, PIL_INVALID_ARGUMENT, "no argument 'decay'" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct optimizer optimizer;
        if (read_as(f, cases[i].text, "Adagrad", -1, cases[i].flavour, &optimizer))
            fail_msg("%s is taken", cases[i].text);
        if (f->status.code != cases[i].code || !strstr(f->status.message, cases[i].message))
            fail_msg("%s: %d %s", cases[i].text, f->status.code, f->status.message);
    }
}

/* What is printed, with every default written out, reads back as the same. */
static void printed_and_read(void **state)
{
    struct fixture *f = *state;
    static const char *const names[][9] = {
        [FLAVOUR_KERAS_LEGACY] = { "adagrad", "adam", "ftrl", "rmsprop", "sgd", "adamax", "nadam", "adadelta", NULL },
        [FLAVOUR_V1] = { "adagrad", "adam", "ftrl", "rmsprop", "sgd", "momentum", "adadelta", "proximal_adagrad", NULL },
        [FLAVOUR_KERAS] = { "adagrad", "adam", "ftrl", "rmsprop", "sgd", "adamax", "nadam", "adadelta", NULL },
    };
    for (int flavour = 0; flavour < 3; flavour++)
        for (int i = 0; names[flavour][i]; i++) {
            struct text text = { 0 }, again_text = { 0 };
            char yaml[100];
            snprintf(yaml, sizeof yaml, "{%s: {learning_rate: 0.0125}}", names[flavour][i]);
            struct optimizer optimizer = must_read(f, yaml, (enum optimizer_flavour)flavour);
            optimizer_print(&optimizer, &text);
            assert_non_null(strstr(text.data, "learning_rate: 0.0125"));
            struct optimizer again = must_read(f, text.data, (enum optimizer_flavour)flavour);
            optimizer_print(&again, &again_text);
            assert_string_equal(again_text.data, text.data);
            assert_ptr_equal(again.row, optimizer.row);
            text_free(&text);
            text_free(&again_text);
        }
    for (int flavour = 0; flavour < 3; flavour++) {
        size_t count = 0;
        for (const struct arg_table *table; (table = optimizer_arguments((enum optimizer_flavour)flavour, count)) != NULL;
             count++)
            assert_string_equal(table->name, names[flavour][count]);
        assert_null(names[flavour][count]);
    }
    struct text text = { 0 };
    struct optimizer optimizer =
        must_read(f,
                  "{ftrl: {learning_rate: {inverse_time_decay: {initial_learning_rate: 1, decay_steps: 9, "
                  "decay_rate: 0.5}}, l1_regularization_strength: 0.25}}",
                  FLAVOUR_KERAS_LEGACY);
    optimizer_print(&optimizer, &text);
    assert_string_equal(text.data,
                        "{ftrl: {learning_rate: {inverse_time_decay: {initial_learning_rate: 1, decay_steps: 9, decay_rate: 0.5, "
                        "staircase: false, name: null}}, learning_rate_power: -0.5, initial_accumulator_value: 0.1, "
                        "l1_regularization_strength: 0.25, l2_regularization_strength: 0, name: null, "
                        "l2_shrinkage_regularization_strength: 0, beta: 0, clipnorm: null, clipvalue: null, "
                        "global_clipnorm: null, decay: 0}}");
    text_free(&text);
}

/* Keras takes its own epsilon where it is told none. */
static void epsilon(void **state)
{
    struct fixture *f = *state;
    assert_true(must_read(f, "{adam: {epsilon: null}}", FLAVOUR_KERAS_LEGACY).options.epsilon == 1e-7f);
    assert_true(must_read(f, "{adam: {epsilon: 0}}", FLAVOUR_KERAS_LEGACY).options.epsilon == 1e-7f);
    assert_true(must_read(f, "{adam: {epsilon: 0.5}}", FLAVOUR_KERAS_LEGACY).options.epsilon == 0.5f);
    assert_true(must_read(f, "{adam: {}}", FLAVOUR_V1).options.epsilon == 1e-8f);
}

/* ---- slots and hyper-parameters ------------------------------------------------------------------------------ */

/* Names of slots of a variable "v", each followed by a space, then of scalars in order; " training/X/" is left out. */
static void declared(void **state)
{
    struct fixture *f = *state;
    static const struct optimizer_names x = { .scope = "training/X" }, bare = { 0 },
                                        linear = { NULL, "part_0", "linear/head", 0 }, second = { NULL, "t_0", "head", 1 },
                                        scoped = { .scope = "OptimizeLoss" };
    static const struct {
        const char *text, *want;
        const struct optimizer_names *names;
    } cases[] = {
        { "{adagrad: {}}", "v/accumulator decay learning_rate ", &x },
        { "{adam: {}}", "v/m v/v beta_1 beta_2 decay learning_rate ", &x },
        { "{adam: {amsgrad: true}}", "v/m v/v v/vhat beta_1 beta_2 decay learning_rate ", &x },
        { "{rmsprop: {}}", "v/rms decay learning_rate momentum rho ", &x },
        { "{rmsprop: {momentum: 0.5}}", "v/rms v/momentum decay learning_rate momentum rho ", &x },
        { "{rmsprop: {centered: true}}", "v/rms v/mg decay learning_rate momentum rho ", &x },
        { "{rmsprop: {centered: true, momentum: 0.5}}", "v/rms v/mg v/momentum decay learning_rate momentum rho ", &x },
        { "{sgd: {}}", "decay learning_rate momentum ", &x },
        { "{sgd: {momentum: 0.5}}", "v/momentum decay learning_rate momentum ", &x },
        { "{adamax: {}}", "v/m v/v beta_1 beta_2 decay learning_rate ", &x },
        { "{nadam: {}}", "v/m v/v beta_1 beta_2 decay learning_rate momentum_cache ", &x },
        { "{adadelta: {}}", "v/accum_grad v/accum_var decay learning_rate rho ", &x },
        { "{adagrad: {learning_rate: {cosine_decay: {initial_learning_rate: 1, decay_steps: 9}}}}", "v/accumulator decay ", &x },
        /* of TensorFlow 1 */
        { "{sgd: {learning_rate: 1}}", "", &bare },
        { "{adagrad: {learning_rate: 1}}", "v/Adagrad ", &bare },
        { "{adagrad: {learning_rate: 1}}", "v/t_0/Adagrad ", &second },
        { "{ftrl: {learning_rate: 1}}", "v/part_0/Ftrl v/part_0/Ftrl_1 ", &linear },
        { "{ftrl: {learning_rate: 1, name: Mine}}", "OptimizeLoss/v/Mine OptimizeLoss/v/Mine_1 ", &scoped },
        { "{adam: {}}", "v/Adam v/Adam_1 beta1_power beta2_power ", &bare },
        { "{adam: {}}", "v/part_0/Adam v/part_0/Adam_1 linear/head/beta1_power linear/head/beta2_power ", &linear },
        { "{adam: {}}", "v/t_0/Adam v/t_0/Adam_1 head/beta1_power_1 head/beta2_power_1 ", &second },
        { "{adam: {}}", "OptimizeLoss/v/Adam OptimizeLoss/v/Adam_1 OptimizeLoss/beta1_power OptimizeLoss/beta2_power ", &scoped },
        { "{rmsprop: {learning_rate: 1}}", "v/RMSProp v/RMSProp_1 ", &bare },
        { "{rmsprop: {learning_rate: 1, centered: true}}", "v/RMSProp v/RMSProp_1 v/RMSProp_2 ", &bare },
        { "{momentum: {learning_rate: 1}}", "v/Momentum ", &bare },
        { "{adadelta: {}}", "v/Adadelta v/Adadelta_1 ", &bare },
        { "{proximal_adagrad: {learning_rate: 1}}", "v/ProximalAdagrad ", &bare },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct store *store = store_new(&f->status);
        struct optimizer optimizer = must_read(f, cases[i].text, cases[i].names == &x ? FLAVOUR_KERAS_LEGACY : FLAVOUR_V1);
        struct variable *v = store_declare(store, "v", DTYPE_FLOAT32, SHAPE(3, 2), STORE_DENSE, &f->status);
        assert_true(optimizer_declare(&optimizer, store, v, cases[i].names, &f->status));
        assert_true(optimizer_declare_scalars(&optimizer, store, cases[i].names, false, &f->status));
        assert_int_equal(v->slot_count, optimizer_slots(&optimizer));
        size_t skipped = cases[i].names == &x ? strlen("training/X/") : 0;
        struct text names = { 0 };
        text_append_text(&names, "");
        for (int k = 0; k < v->slot_count; k++)
            text_format(&names, "%s ", v->slots[k].name + skipped);
        for (size_t k = 0; k < store_count(store); k++)
            if (strcmp(store_at(store, k)->name, "v") != 0)
                text_format(&names, "%s ", store_at(store, k)->name + skipped);
        assert_string_equal(names.data, cases[i].want);
        text_free(&names);
        store_free(store);
    }
}

/* ---- checkpoints of TensorFlow 1 ----------------------------------------------------------------------------- */

/* Declares what the bundle holds of these variables (by a word in their names); all that it holds must be declared then. */
static struct store *declare_v1(struct fixture *f, const char *prefix, const char *text, const struct optimizer_names *names,
                                bool (*is_variable)(const char *name))
{
    struct bundle *bundle = bundle_open(prefix, &f->status);
    struct store *store = store_new(&f->status);
    struct optimizer optimizer = must_read(f, text, FLAVOUR_V1);
    assert_non_null(bundle);
    for (size_t i = 0; i < bundle_count(bundle); i++) {
        const struct bundle_entry *entry = bundle_at(bundle, i);
        if (!is_variable(entry->name))
            continue;
        struct variable *v = store_declare(store, entry->name, DTYPE_FLOAT32, entry->shape, STORE_DENSE, &f->status);
        assert_non_null(v);
        v->trainable = true;
        assert_true(optimizer_declare(&optimizer, store, v, names, &f->status));
    }
    assert_true(optimizer_declare_scalars(&optimizer, store, names, false, &f->status));
    assert_non_null(store_declare(store, "global_step", DTYPE_INT64, SHAPE_SCALAR, STORE_PLAIN, &f->status));
    assert_true(store_allocate(store, &f->status));
    size_t tensors = 0;
    for (size_t i = 0; i < store_count(store); i++)
        tensors += 1 + (size_t)store_at(store, i)->slot_count;
    for (size_t i = 0; i < bundle_count(bundle); i++) /* slots are stored once a part */
        tensors += strstr(bundle_at(bundle, i)->name, "/part_1/") || strstr(bundle_at(bundle, i)->name, "/part_2/") ||
                   strstr(bundle_at(bundle, i)->name, "/t_1/") || strstr(bundle_at(bundle, i)->name, "/t_2/");
    if (tensors != bundle_count(bundle))
        fail_msg("%s: %zu tensors, %zu are declared", prefix, bundle_count(bundle), tensors);
    bundle_close(bundle);
    if (!checkpoint_restore(store, prefix, &(struct checkpoint_restore_options){ .slots = true }, &f->status))
        fail_msg("%s", f->status.message);
    return store;
}

static bool ends_in_weights(const char *name)
{
    size_t size = strlen(name);
    return (size > 8 && strcmp(name + size - 8, "/weights") == 0) || (size > 8 && strcmp(name + size - 8, "_weights") == 0) ||
           (size > 7 && strcmp(name + size - 7, "/kernel") == 0) || (size > 5 && strcmp(name + size - 5, "/bias") == 0);
}

/* expected.txt: bundle, name, index, value, the last as C prints %a. */
static void expect_listed(const struct store *store, const char *bundle)
{
    char have[8], name[200];
    int index, seen = 0;
    double value;
    FILE *file = fopen("tests/golden/partitioned_1x/expected.txt", "r");
    assert_non_null(file);
    while (fscanf(file, "%7s %199s %d %la", have, name, &index, &value) == 4) {
        if (strcmp(have, bundle) != 0)
            continue;
        for (size_t i = 0; i < store_count(store); i++) {
            const struct variable *v = store_at(store, i);
            for (int k = 0; k <= v->slot_count; k++) {
                if (strcmp(k == 0 ? v->name : v->slots[k - 1].name, name) != 0)
                    continue;
                struct tensor view = k == 0 ? v->value : store_slot_view(v, k - 1);
                double got = (double)tensor_floats(&view)[index / view.cols * view.ld + index % view.cols];
                if (got != value)
                    fail_msg("%s[%d] is %a, not %a", name, index, got, value);
                seen++;
            }
        }
    }
    fclose(file);
    assert_true(seen >= 90);
}

static void slots_of_tensorflow_1(void **state)
{
    struct fixture *f = *state;
    struct store *store = declare_v1(f, "tests/golden/partitioned_1x/lin", "{ftrl: {learning_rate: 1}}",
                                     &(struct optimizer_names){ .part = "part_0" }, ends_in_weights);
    expect_listed(store, "lin");
    store_free(store);
    store = declare_v1(f, "tests/golden/partitioned_1x/dnn", "{adagrad: {learning_rate: 1}}",
                       &(struct optimizer_names){ .part = "t_0" }, ends_in_weights);
    expect_listed(store, "dnn");
    store_free(store);
    static const char mnist[] =
        "../shared/conformance/tf_checkpoints/tensorflow_testdata/tensorflow/python/compiler/tensorrt/test/"
        "testdata/model.ckpt-46900";
    FILE *file = fopen("../shared/conformance/README.md", "r");
    if (!file) {
        print_message("no conformance data here: Adam's names are not compared\n");
        return;
    }
    fclose(file);
    store = declare_v1(f, mnist, "{adam: {}}", &(struct optimizer_names){ 0 }, ends_in_weights);
    assert_int_equal(*store_int64(store, "global_step"), 46900);
    assert_true(*store_float32(store, "beta1_power") >= 0 && *store_float32(store, "beta1_power") < 1e-30f);
    store_free(store);
}

/* ---- against checkpoints of step 0 --------------------------------------------------------------------------- */

struct twin {
    const char *folder;
    struct {
        const char *scope, *text, *prefix; /* of the variables it trains */
        bool iter;
    } parts[2];
};
static const struct twin twins[] = {
    { "wide_deep_classifier",
      { { "training/Ftrl", "{ftrl: {learning_rate: 0.1, l1_regularization_strength: 0.01}}", "linear/", true },
        { "training/Adam", "{adam: {learning_rate: 0.005}}", "dnn/", false } } },
    { "wide_deep_regressor",
      { { "training/Ftrl", "{ftrl: {learning_rate: 0.005}}", "linear/", true },
        { "training/Adagrad", "{adagrad: {learning_rate: 0.001}}", "dnn/", false } } },
    { "dnn_classifier_5", { { "training/RMSprop", "{rmsprop: {learning_rate: 0.002}}", "dnn/", false } } },
    { "dnn_regressor_batchnorm", { { "training/SGD", "{sgd: {learning_rate: 0.01, momentum: 0.9}}", "dnn/", false } } },
    { "linear_classifier_ftrl",
      { { "training/Ftrl",
          "{ftrl: {learning_rate: 0.2, l1_regularization_strength: 0.05, "
          "l2_regularization_strength: 0.01}}",
          "linear/", false } } },
};

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void declare_twin(struct fixture *f, const struct twin *twin, const struct bundle *bundle, struct store *store)
{
    for (size_t p = 0; p < COUNT_OF(twin->parts) && twin->parts[p].scope; p++) {
        struct optimizer optimizer = must_read(f, twin->parts[p].text, FLAVOUR_KERAS_LEGACY);
        const struct optimizer_names names = { .scope = twin->parts[p].scope };
        for (size_t i = 0; i < bundle_count(bundle); i++) {
            const struct bundle_entry *entry = bundle_at(bundle, i);
            if (!starts(entry->name, twin->parts[p].prefix) || strstr(entry->name, "/moving_"))
                continue;
            struct variable *variable = store_declare(store, entry->name, DTYPE_FLOAT32, entry->shape, STORE_DENSE, &f->status);
            assert_true(optimizer_declare(&optimizer, store, variable, &names, &f->status));
            variable->trainable = true;
            variable->group = (int)p;
        }
        assert_true(optimizer_declare_scalars(&optimizer, store, &names, twin->parts[p].iter, &f->status));
    }
    assert_true(store_allocate(store, &f->status));
}

static void expect_values(struct fixture *f, struct bundle *bundle, const char *name, const struct tensor *tensor)
{
    const struct bundle_entry *entry = bundle_find(bundle, name);
    if (!entry)
        fail_msg("TensorFlow stores no %s", name);
    assert_true(shape_equal(entry->shape, tensor->shape));
    assert_int_equal(entry->dtype, tensor->dtype);
    void *want = mem_new((size_t)entry->bytes, &f->status), *got = mem_new((size_t)entry->bytes, &f->status);
    assert_true(want && got && bundle_read(bundle, entry, want, &f->status));
    tensor_pack(tensor, got);
    if (memcmp(want, got, (size_t)entry->bytes) != 0)
        fail_msg("%s starts otherwise in TensorFlow", name);
    mem_free(want);
    mem_free(got);
}

static void checkpoints_of_step_0(void **state)
{
    struct fixture *f = *state;
    const char *root = getenv("PILASTER_TEST_ROOT");
    for (size_t t = 0; t < COUNT_OF(twins); t++) {
        char prefix[1024];
        snprintf(prefix, sizeof prefix, "%s/tests/golden/twin/%s/step0/model.ckpt-0", root ? root : ".", twins[t].folder);
        struct bundle *bundle = bundle_open(prefix, &f->status);
        struct store *store = store_new(&f->status);
        if (!bundle || !store)
            fail_msg("%s", f->status.message);
        declare_twin(f, &twins[t], bundle, store);
        size_t ours = 0, theirs = 0;
        for (size_t i = 0; i < bundle_count(bundle); i++)
            theirs += starts(bundle_at(bundle, i)->name, "training/");
        for (size_t i = 0; i < store_count(store); i++) {
            const struct variable *variable = store_at(store, i);
            for (int k = 0; k < variable->slot_count; k++, ours++) {
                struct tensor slot = store_slot_view(variable, k);
                expect_values(f, bundle, variable->slots[k].name, &slot);
            }
            if (starts(variable->name, "training/")) {
                expect_values(f, bundle, variable->name, &variable->value);
                assert_true(variable->hyper == (variable->dtype == DTYPE_FLOAT32));
                ours++;
            }
        }
        assert_int_equal(ours, theirs);
        store_free(store);
        bundle_close(bundle);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_arguments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(printed_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(epsilon, set_up, tear_down),
        cmocka_unit_test_setup_teardown(declared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slots_of_tensorflow_1, set_up, tear_down),
        cmocka_unit_test_setup_teardown(checkpoints_of_step_0, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
