/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX's own test cases (folders with input_0.npy, ..., output_0.npy, kept beside the repository) for ops that compute the same.
 * A case runs at every level, once with constants for inputs, and, where `rows` says that axis 0 may be the batch, with rows.
 * Without the folder the test is skipped with a word.
 */
#ifndef PILASTER_TESTS_OP_ONNX_H
#define PILASTER_TESTS_OP_ONNX_H

#include "op/harness.h"

#define ONNX_FOLDER "../shared/conformance/onnx-node"

struct onnx_case {
    const char *path;
    const char *op; /* a binary one takes more than two inputs from left to right */
    const void *args;
    int input_count; /* 0: one */
    bool rows;
    int output_count; /* 0: one */
};
static inline int onnx_outputs(const struct onnx_case *c)
{
    return MAX(c->output_count, 1);
}

struct onnx_array {
    struct shape shape;
    float *values;
    int64_t count;
};

/* Number n of an array, whose type is told as "<f4", "<i8", "|b1", ... */
static inline float onnx_number(const char *type, const char *data, int64_t n)
{
    int64_t integer = 0;
    uint64_t natural = 0;
    float number;
    size_t size = (size_t)(type[2] - '0');
    if (type[1] == 'f' && size == sizeof number) {
        memcpy(&number, data + (size_t)n * size, size);
        return number;
    }
    assert_true(strchr("iub", type[1]) != NULL && size <= sizeof natural);
    memcpy(&natural, data + (size_t)n * size, size); /* both are little-endian */
    memcpy(&integer, &natural, sizeof integer);
    if (type[1] == 'i' && size < sizeof integer && natural >> (8 * size - 1)) /* below 0 */
        integer -= (int64_t)1 << (8 * size);
    return type[1] == 'i' ? (float)integer : (float)natural;
}

/* "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }" stands behind ten bytes: the magic word, a version, its own size. */
static inline struct onnx_array onnx_read(const char *path, const char *name)
{
    struct onnx_array array = { .count = 1 };
    struct file_data file;
    pil_status status = { 0 };
    char full[512], header[256] = "";
    snprintf(full, sizeof full, ONNX_FOLDER "/%s/%s.npy", path, name);
    if (!file_load(full, &file, &status))
        fail_msg("%s", status.message);
    assert_true(file.size > 10 && memcmp(file.data, "\x93NUMPY\x01", 7) == 0);
    size_t size = (size_t)(unsigned char)file.data[8] | (size_t)(unsigned char)file.data[9] << 8;
    memcpy(header, file.data + 10, MIN(size, sizeof header - 1));
    char *at = strstr(header, "'shape': ("), *type = strstr(header, "'descr': '");
    assert_true(at && type && strstr(header, "'fortran_order': False"));
    for (at += strlen("'shape': ("); *at != ')'; at += *at == ',' || *at == ' ') {
        if (*at < '0' || *at > '9')
            continue;
        array.shape.dims[array.shape.rank++] = strtoll(at, &at, 10);
    }
    array.count = shape_elements(array.shape);
    array.values = calloc((size_t)array.count + 1, sizeof *array.values);
    assert_non_null(array.values);
    for (int64_t n = 0; n < array.count; n++)
        array.values[n] = onnx_number(type + strlen("'descr': '"), file.data + 10 + size, n);
    file_unload(&file);
    return array;
}

static inline void onnx_check(const struct onnx_case *c, const struct kernels *kernels, const struct tensor *got,
                              const struct onnx_array *want)
{
    assert_int_equal(got->rows * got->cols, want->count);
    for (int64_t n = 0; n < want->count; n++) {
        double value = result_at(got, n), expected = (double)want->values[n];
        if (!(fabs(value - expected) <= 1e-6 + 3e-6 * fabs(expected)) && !(isnan(value) && isnan(expected)))
            fail_msg("%s, level %s: element %lld is %.9g, not %.9g", c->path, kernels->level, (long long)n, value, expected);
    }
}

static inline void onnx_run(const struct onnx_case *c, const struct kernels *kernels, const struct onnx_array *inputs, int count,
                            const struct onnx_array *want, bool rows)
{
    pil_status status = { 0 };
    struct pil_graph *g = graph_new(&status);
    struct pil_tensor *tensors[MOST_INPUTS], *y[MOST_OUTPUTS];
    struct tensor memory[MOST_INPUTS] = { { 0 } };
    static const char *const names[MOST_INPUTS] = { "a", "b", "c", "d", "e", "f" };
    for (int i = 0; i < count; i++) {
        struct shape shape = inputs[i].shape;
        bool by_rows = rows && shape.rank == inputs[0].shape.rank && shape.dims[0] == inputs[0].shape.dims[0];
        if (by_rows) {
            assert_true(tensor_new(&memory[i], DTYPE_FLOAT32, shape, true, &status));
            tensor_unpack(inputs[i].values, &memory[i]);
            shape.dims[0] = BATCH_DIM;
        }
        tensors[i] = by_rows ? graph_input(g, names[i], DTYPE_FLOAT32, shape, false) : graph_constant(g, shape, inputs[i].values);
    }
    const struct op_row *row = op_find(c->op);
    assert_non_null(row);
    if (row->max_inputs == 2 && count != 2) {
        y[0] = tensors[0];
        for (int i = 1; i < count; i++)
            y[0] = graph_op2(g, c->op, c->args, y[0], tensors[i]);
    } else {
        graph_op(g, c->op, c->args, tensors, count, y);
    }
    struct plan *plan = plan_compile(g, y, (size_t)onnx_outputs(c), &status);
    assert_ok(status);
    struct threads *threads = threads_new(1, &status);
    struct session *session = session_new(plan, threads, kernels, 1, &status);
    for (int i = 0; i < count; i++)
        if (memory[i].data)
            session_input(session, names[i], &(struct op_value){ .tensor = memory[i] });
    session_run(session, rows ? inputs[0].shape.dims[0] : 1, 1, NULL, 0, &status);
    assert_ok(status);
    for (int k = 0; k < onnx_outputs(c); k++)
        onnx_check(c, kernels, &session_fetch(session, (size_t)k)->tensor, &want[k]);
    session_free(session);
    threads_free(threads);
    plan_free(plan);
    graph_free(g);
    for (int i = 0; i < count; i++)
        tensor_free(&memory[i]);
}

static inline void onnx_try(const struct onnx_case *list, size_t cases)
{
    if (!file_exists(ONNX_FOLDER "/INDEX.tsv")) {
        print_message(ONNX_FOLDER " is not there; its cases are left out\n");
        skip();
    }
    for (size_t k = 0; k < cases; k++) {
        struct onnx_array inputs[MOST_INPUTS], want[MOST_OUTPUTS];
        int count = MAX(list[k].input_count, 1);
        char name[32];
        for (int i = 0; i < count; i++) {
            snprintf(name, sizeof name, "input_%d", i);
            inputs[i] = onnx_read(list[k].path, name);
        }
        for (int i = 0; i < onnx_outputs(&list[k]); i++) {
            snprintf(name, sizeof name, "output_%d", i);
            want[i] = onnx_read(list[k].path, name);
        }
        for (size_t l = 0; l < COUNT_OF(level_names); l++)
            for (int rows = 0; kernel_level(level_names[l]) && rows <= list[k].rows; rows++)
                onnx_run(&list[k], kernel_level(level_names[l]), inputs, count, want, rows);
        for (int i = 0; i < count; i++)
            free(inputs[i].values);
        for (int i = 0; i < onnx_outputs(&list[k]); i++)
            free(want[i].values);
    }
}

#endif
