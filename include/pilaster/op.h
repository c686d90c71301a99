/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops: what a model function computes with. Every tensor is float32 unless its op says otherwise; a truth is a float32 of 0 or 1.
 * The first axis of what comes from the data is the batch ([batch, 9], printed [?, 9]); axes count from 0, or from the end
 * where they are below 0. Arithmetic broadcasts as NumPy does, axes aligned at the end; the batch stands only against the batch
 * or 1.
 *
 * Gradients flow through every op unless its comment says that none does. Errors are the graph's (pilaster/graph.h); they name
 * the op, its inputs and their shapes.
 *
 * Each op is one line below, with its manual above it: PIL_OP_1(exp) is
 *     pil_tensor *pil_exp(pil_graph *graph, pil_tensor *x);
 * PIL_OP_2(add) is
 *     pil_tensor *pil_add(pil_graph *graph, pil_tensor *a, pil_tensor *b);
 * and PIL_OP_OPTIONS(reduce_mean, pil_reduce_options) is what stands behind the macro pil_reduce_mean(graph, x, .keepdims = true):
 *     pil_tensor *pil_reduce_mean_make(pil_graph *graph, const pil_reduce_options *options);
 */
#ifndef PILASTER_PUBLIC_OP_H
#define PILASTER_PUBLIC_OP_H

#include "pilaster/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Any op by its name; what the functions below call, and what other languages bind. `options` is the op's struct or NULL, and is
 * copied; `inputs` are `count` tensors. Returns the first output; all of them go to `outputs` where it is not NULL. Errors: no
 * such op, too few or too many inputs, a NULL among them, options of another size, and whatever the op's shape rule refuses. */
PIL_API pil_tensor *pil_op(pil_graph *graph, const char *op, const void *options, size_t options_size, pil_tensor *const *inputs,
                           size_t count, pil_tensor **outputs);

#define PIL_OP_1(name)                                                     \
    static inline pil_tensor *pil_##name(pil_graph *graph, pil_tensor *x)  \
    {                                                                      \
        return pil_op(graph, #name, NULL, 0, &x, 1, NULL);                 \
    }
#define PIL_OP_2(name)                                                                   \
    static inline pil_tensor *pil_##name(pil_graph *graph, pil_tensor *a, pil_tensor *b) \
    {                                                                                    \
        pil_tensor *inputs[2] = { a, b };                                                \
        return pil_op(graph, #name, NULL, 0, inputs, 2, NULL);                           \
    }
#define PIL_OP_3(name, a, b, c)                                                                      \
    static inline pil_tensor *pil_##name(pil_graph *graph, pil_tensor *a, pil_tensor *b, pil_tensor *c) \
    {                                                                                                \
        pil_tensor *inputs[3] = { a, b, c };                                                         \
        return pil_op(graph, #name, NULL, 0, inputs, 3, NULL);                                       \
    }
/* The input is a field of the options so that a macro's dots may begin with it; among the op's arguments it stays NULL. */
#define PIL_OP_OPTIONS(name, type)                                                           \
    static inline pil_tensor *pil_##name##_make(pil_graph *graph, const type *options)       \
    {                                                                                        \
        type arguments = *options;                                                           \
        pil_tensor *x = arguments.x;                                                         \
        arguments.x = NULL;                                                                  \
        return pil_op(graph, #name, &arguments, sizeof arguments, &x, 1, NULL);              \
    }

/* Axes, from the end where below 0: PIL_AXES(1, -1). */
typedef struct pil_axes {
    int count;
    int items[PIL_MAX_RANK];
} pil_axes;
#define PIL_AXES(...) ((pil_axes){ (int)(sizeof((int[]){ __VA_ARGS__ }) / sizeof(int)), { __VA_ARGS__ } })

/* ---- arithmetic (op/math.c) ------------------------------------------------------------------------------------ */

/* a + b. Source: tf.add. */
PIL_OP_2(add)
/* a - b. Source: tf.subtract. */
PIL_OP_2(sub)
/* a b. Source: tf.multiply. */
PIL_OP_2(mul)
/* a / b. Source: tf.divide. */
PIL_OP_2(div)
/* The larger of a and b; the gradient goes to the one taken, to a on a tie. Source: tf.maximum. */
PIL_OP_2(maximum)
/* The smaller of a and b; the gradient as with maximum. Source: tf.minimum. */
PIL_OP_2(minimum)
/* x^2. Source: tf.square. */
PIL_OP_1(square)
/* The square root of x. Source: tf.sqrt. */
PIL_OP_1(sqrt)
/* |x|; its gradient at 0 is 0. Source: tf.abs. */
PIL_OP_1(abs)
/* e^x. Source: tf.exp. */
PIL_OP_1(exp)
/* The natural logarithm of x. Source: tf.math.log. */
PIL_OP_1(log)
/* -1, 0 or 1; no gradient flows. Source: tf.sign. */
PIL_OP_1(sign)
/* x, through which no gradient flows. Source: tf.stop_gradient. */
PIL_OP_1(stop_gradient)

#ifdef __cplusplus
}
#endif

#endif
