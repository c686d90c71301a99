/* SPDX-License-Identifier: Apache-2.0 */
/* What shape rules must not take, as tables: inputs of any type, and a part of what the error says. Every error names the op and
 * all inputs with their shapes. */
#ifndef PILASTER_TESTS_OP_REFUSALS_H
#define PILASTER_TESTS_OP_REFUSALS_H

#include "op/harness.h"

#define DENSE(...)                                                                                                               \
    {                                                                                                                            \
        .dtype = DTYPE_FLOAT32, .extent = EXTENT_FIXED, .shape = SHAPE(__VA_ARGS__)                                              \
    }
#define ROWS_OF(...)                                                                                                             \
    {                                                                                                                            \
        .dtype = DTYPE_FLOAT32, .extent = EXTENT_ROWS, .shape = SHAPE(BATCH_DIM, __VA_ARGS__)                                    \
    }
#define ONE_A_ROW                                                                                                                \
    {                                                                                                                            \
        .dtype = DTYPE_FLOAT32, .extent = EXTENT_ROWS, .shape = SHAPE(BATCH_DIM)                                                 \
    }
#define TURNED(n)                                                                                                                \
    {                                                                                                                            \
        .dtype = DTYPE_FLOAT32, .extent = EXTENT_BATCH, .shape = SHAPE(n, BATCH_DIM)                                             \
    } /* rows, transposed */
#define SCALAR                                                                                                                   \
    {                                                                                                                            \
        .dtype = DTYPE_FLOAT32, .extent = EXTENT_FIXED                                                                           \
    }
#define IDS                                                                                                                      \
    {                                                                                                                            \
        .dtype = DTYPE_INT32, .extent = EXTENT_ROWS, .sparse = true, .shape = SHAPE(BATCH_DIM)                                   \
    }
#define INTEGERS(...)                                                                                                            \
    {                                                                                                                            \
        .dtype = DTYPE_INT64, .extent = EXTENT_ROWS, .shape = SHAPE(BATCH_DIM, __VA_ARGS__)                                      \
    }
#define FLOAT64(...)                                                                                                             \
    {                                                                                                                            \
        .dtype = DTYPE_FLOAT64, .extent = EXTENT_BATCH, .shape = SHAPE(__VA_ARGS__)                                              \
    }

struct refusal {
    const char *op;
    const void *args;
    const char *says; /* a part of the error */
    int input_count;
    struct op_type inputs[MOST_INPUTS];
};

static inline void check_refusals(const struct refusal *list, size_t count)
{
    static const char *const names[MOST_INPUTS] = { "alpha", "beta", "gamma", "delta", "epsilon", "zeta" };
    for (size_t i = 0; i < count; i++) {
        pil_status status = { 0 };
        const struct op_row *row = op_find(list[i].op);
        assert_non_null(row);
        struct op_infer infer = { .args = list[i].args,
                                  .input_count = list[i].input_count,
                                  .inputs = list[i].inputs,
                                  .input_names = names,
                                  .status = &status };
        if (op_infer(row, &infer))
            fail_msg("refusal %zu: %s takes what it should not (%s)", i, list[i].op, list[i].says);
        assert_int_equal(status.code, PIL_INVALID_ARGUMENT);
        if (!strstr(status.message, list[i].says) || strncmp(status.message, list[i].op, strlen(list[i].op)) != 0)
            fail_msg("refusal %zu of %s says: %s", i, list[i].op, status.message);
        bool counted = list[i].input_count >= row->min_inputs && (row->max_inputs < 0 || list[i].input_count <= row->max_inputs);
        for (int k = 0; counted && k < list[i].input_count; k++) { /* every input with its shape */
            char shape[128], want[192];
            const struct op_type *type = &list[i].inputs[k];
            snprintf(want, sizeof want, "%s %s", names[k], type->sparse ? "sparse" : shape_text(type->shape, shape));
            if (!strstr(status.message, want))
                fail_msg("refusal %zu of %s does not name %s: %s", i, list[i].op, want, status.message);
        }
    }
}

#endif
