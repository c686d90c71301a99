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
 * and PIL_OP_OPTIONS(reduce_mean, pil_reduce_options) is what the macro pil_reduce_mean(graph, x, .keepdims = true) calls:
 *     pil_tensor *pil_reduce_mean_make(pil_graph *graph, const pil_reduce_options *options);
 */
#ifndef PILASTER_PUBLIC_OP_H
#define PILASTER_PUBLIC_OP_H

#include "pilaster/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Any op by its name; what the functions below call, and what other languages bind. `options` is the op's struct or NULL, and is
 * copied; `inputs` are `count` tensors. Returns the first output; all of them go to `outputs` where it is not NULL. A sum over
 * the batch, which is made in float64, comes back as float32. Errors: no such op, too few or too many inputs, a NULL among them,
 * options of another size, and whatever the op's shape rule refuses. */
PIL_API pil_tensor *pil_op(pil_graph *graph, const char *op, const void *options, size_t options_size, pil_tensor *const *inputs,
                           size_t count, pil_tensor **outputs);

#define PIL_OP_1(name)                                                                                                           \
    static inline pil_tensor *pil_##name(pil_graph *graph, pil_tensor *x)                                                        \
    {                                                                                                                            \
        return pil_op(graph, #name, NULL, 0, &x, 1, NULL);                                                                       \
    }
#define PIL_OP_2(name)                                                                                                           \
    static inline pil_tensor *pil_##name(pil_graph *graph, pil_tensor *a, pil_tensor *b)                                         \
    {                                                                                                                            \
        pil_tensor *inputs[2] = { a, b };                                                                                        \
        return pil_op(graph, #name, NULL, 0, inputs, 2, NULL);                                                                   \
    }
#define PIL_OP_3(name, a, b, c)                                                                                                  \
    static inline pil_tensor *pil_##name(pil_graph *graph, pil_tensor *a, pil_tensor *b, pil_tensor *c)                          \
    {                                                                                                                            \
        pil_tensor *inputs[3] = { a, b, c };                                                                                     \
        return pil_op(graph, #name, NULL, 0, inputs, 3, NULL);                                                                   \
    }
/* The input is a field of the options so that a macro's dots may begin with it; among the op's arguments it stays NULL. */
#define PIL_OP_OPTIONS(name, type)                                                                                               \
    static inline pil_tensor *pil_##name##_make(pil_graph *graph, const type *options)                                           \
    {                                                                                                                            \
        type arguments = *options;                                                                                               \
        pil_tensor *x = arguments.x;                                                                                             \
        arguments.x = NULL;                                                                                                      \
        return pil_op(graph, #name, &arguments, sizeof arguments, &x, 1, NULL);                                                  \
    }

/* Axes, from the end where below 0: PIL_AXES(1, -1). */
typedef struct pil_axes {
    int count;
    int items[PIL_MAX_RANK];
} pil_axes;
#define PIL_AXES(...) ((pil_axes){ (int)(sizeof((int[]){ __VA_ARGS__ }) / sizeof(int)), { __VA_ARGS__ } })
#define PIL_AXES_ALL ((pil_axes){ 0, { 0 } })

/* ---- parts and shapes (op/split.c, op/box.c, op/shape.c) -------------------------------------------------------------
 *
 * Their inputs may be of any dense type unless an op says otherwise; what they give is of the same. An op that would change how
 * many rows the batch has is refused: the batch axis is not cut, joined, repeated or padded. It may move to another place, but
 * then every row is needed at once. */

typedef struct pil_axis_options {
    int axis;
} pil_axis_options;
/* Tensors one behind the other along an axis, in which alone they may differ: [?, 2] and [?, 3] along 1 give [?, 5]. Errors:
 * another rank or type, a difference elsewhere, the batch axis. Source: tf.concat. */
static inline pil_tensor *pil_concat(pil_graph *graph, pil_tensor *const *values, size_t count, int axis)
{
    pil_axis_options options = { axis };
    return pil_op(graph, "concat", &options, sizeof options, values, count, NULL);
}
/* Tensors of one shape side by side along a new axis: n of [?, 3] give [?, n, 3] along 1, and along 0, where the batch becomes
 * the second axis, [n, ?, 3]. Errors: another shape or type. Source: tf.stack. */
static inline pil_tensor *pil_stack(pil_graph *graph, pil_tensor *const *values, size_t count, int axis)
{
    pil_axis_options options = { axis };
    return pil_op(graph, "stack", &options, sizeof options, values, count, NULL);
}

/* What pil_split and its kind do with their outputs: all are there, or all are the error tensor. */
static inline pil_tensor *pil_op_parts(pil_graph *graph, const char *op, const void *options, size_t options_size, pil_tensor *x,
                                       size_t count, pil_tensor **outputs)
{
    for (size_t i = 0; i < count; i++)
        outputs[i] = NULL;
    pil_tensor *first = pil_op(graph, op, options, options_size, &x, 1, count ? outputs : NULL);
    for (size_t i = 0; i < count; i++)
        outputs[i] = outputs[i] ? outputs[i] : first;
    return first;
}
typedef struct pil_split_options {
    int axis;
    int64_t num;
} pil_split_options;
/* `num` equal parts along an axis, into outputs[0 .. num - 1]: [?, 9] in 9 parts along 1 gives [?, 1] each. One node however many
 * parts, at most 256; parts of rows are not copied. Errors: parts that would not be equal, the batch axis. Returns the first.
 * Source: tf.split with a number. */
static inline pil_tensor *pil_split(pil_graph *graph, pil_tensor *x, size_t num, int axis, pil_tensor **outputs)
{
    pil_split_options options = { axis, (int64_t)num };
    return pil_op_parts(graph, "split", &options, sizeof options, x, num, outputs);
}
/* The positions of an axis of size `num`, each without that axis: [?, 9, 2] along 1 gives nine of [?, 2]. As pil_split otherwise.
 * Source: tf.unstack. */
static inline pil_tensor *pil_unstack(pil_graph *graph, pil_tensor *x, size_t num, int axis, pil_tensor **outputs)
{
    pil_split_options options = { axis, (int64_t)num };
    return pil_op_parts(graph, "unstack", &options, sizeof options, x, num, outputs);
}
enum { PIL_MAX_SPLIT_SIZES = 64 };
typedef struct pil_split_sizes_options {
    int axis, count;
    int64_t sizes[PIL_MAX_SPLIT_SIZES];
} pil_split_sizes_options;
/* `count` parts along an axis, sizes[i] positions of it to outputs[i]; at most 64. Errors: sizes that do not add up to the axis.
 * Source: tf.split with sizes. */
static inline pil_tensor *pil_split_sizes(pil_graph *graph, pil_tensor *x, const int64_t *sizes, size_t count, int axis,
                                          pil_tensor **outputs)
{
    pil_split_sizes_options options = { axis, count > INT32_MAX ? INT32_MAX : (int)count, { 0 } };
    for (size_t i = 0; i < count && i < PIL_MAX_SPLIT_SIZES; i++)
        options.sizes[i] = sizes[i];
    return pil_op_parts(graph, "split_sizes", &options, sizeof options, x, count, outputs);
}

typedef struct pil_slice_options {
    pil_shape begin, size;
} pil_slice_options;
/* The box of `size` positions from `begin` on, a number for each axis; a size of -1 takes all that are left, which the batch axis
 * needs: pil_slice(g, x, PIL_SHAPE(0, 2), PIL_SHAPE(-1, 3)) are columns 2, 3, 4. Source: tf.slice. */
static inline pil_tensor *pil_slice(pil_graph *graph, pil_tensor *x, pil_shape begin, pil_shape size)
{
    pil_slice_options options = { begin, size };
    return pil_op(graph, "slice_box", &options, sizeof options, &x, 1, NULL);
}
typedef struct pil_pad_options {
    pil_shape before, after;
    float constant_value;
} pil_pad_options;
/* x with before[i] positions in front of and after[i] behind axis i, which hold `constant_value`; float32. The batch axis takes 0
 * and 0. Source: tf.pad (the paddings' two columns apart). */
static inline pil_tensor *pil_pad(pil_graph *graph, pil_tensor *x, pil_shape before, pil_shape after, float constant_value)
{
    pil_pad_options options = { before, after, constant_value };
    return pil_op(graph, "pad", &options, sizeof options, &x, 1, NULL);
}
typedef struct pil_tile_options {
    pil_shape multiples;
} pil_tile_options;
/* x repeated multiples[i] times along axis i, the batch axis once; float32. Source: tf.tile. */
static inline pil_tensor *pil_tile(pil_graph *graph, pil_tensor *x, pil_shape multiples)
{
    pil_tile_options options = { multiples };
    return pil_op(graph, "tile", &options, sizeof options, &x, 1, NULL);
}

typedef struct pil_shape_options {
    pil_shape shape;
} pil_shape_options;
/* x repeated to a shape, by the rules of broadcasting; float32. Where the shape begins with -1, every row of the batch is x: that
 * is how a variable becomes rows. Source: tf.broadcast_to. */
static inline pil_tensor *pil_broadcast_to(pil_graph *graph, pil_tensor *x, pil_shape shape)
{
    pil_shape_options options = { shape };
    return pil_op(graph, "broadcast_to", &options, sizeof options, &x, 1, NULL);
}
/* The same elements, row by row, in another shape. Of rows the batch stays the first axis (-1), and one more size may be -1: what
 * is left. Errors: another number of elements, the batch elsewhere. Source: tf.reshape. */
static inline pil_tensor *pil_reshape(pil_graph *graph, pil_tensor *x, pil_shape shape)
{
    pil_shape_options options = { shape };
    return pil_op(graph, "reshape", &options, sizeof options, &x, 1, NULL);
}
/* x with its axes in the order of `perm`, or reversed where that is PIL_AXES_ALL. Rows stay rows where perm begins with 0; else
 * the batch becomes another axis. Source: tf.transpose. */
static inline pil_tensor *pil_transpose(pil_graph *graph, pil_tensor *x, pil_axes perm)
{
    return pil_op(graph, "transpose", &perm, sizeof perm, &x, 1, NULL);
}
/* x without the axes named, which are of size 1, or with PIL_AXES_ALL without all that are: never without the batch, even of one
 * row. Source: tf.squeeze. */
static inline pil_tensor *pil_squeeze(pil_graph *graph, pil_tensor *x, pil_axes axis)
{
    return pil_op(graph, "squeeze", &axis, sizeof axis, &x, 1, NULL);
}
/* x with an axis of size 1 more, which is the result's axis `axis`: [?, 3] along 1 or -2 gives [?, 1, 3]. Source: tf.expand_dims.
 */
static inline pil_tensor *pil_expand_dims(pil_graph *graph, pil_tensor *x, int axis)
{
    pil_axis_options options = { axis };
    return pil_op(graph, "expand_dims", &options, sizeof options, &x, 1, NULL);
}
/* Zeros of x's shape and type; no gradient flows. Source: tf.zeros_like. */
PIL_OP_1(zeros_like)

/* ---- what whole numbers choose (op/gather.c, op/embed.c) --------------------------------------------------------------
 *
 * Indices are float32, int32 or int64 that hold whole numbers. One that is no whole number, or out of range where that is an
 * error, ends the step: the error names the op, the row and the number. */

typedef struct pil_gather_options {
    pil_tensor *indices;
    int axis;
    int batch_dims; /* 1: row i of the indices chooses from row i of params, along `axis` of at least 1 */
} pil_gather_options;
#define PIL_GATHER_DEFAULTS .axis = 0, .batch_dims = 0
static inline pil_gather_options pil_gather_options_default(void)
{
    pil_gather_options options = { NULL, 0, 0 };
    return options;
}
/* Positions of an axis of params: params [n, d] by indices [?, k] give [?, k, d]; along axis 1 of params [?, n, d] by indices
 * [k],
 * [?, k, d]; with batch_dims = 1 by indices [?, k], [?, k, d] too. The gradient goes to params, added up where an index stands
 * more than once; of the rows of a variable only those chosen get one, as with pil_embedding_lookup. Errors: an index out of [0,
 * n). Source: tf.gather. */
#define pil_gather(graph, params, ...)                                                                                           \
    pil_gather_make((graph), (params), &(pil_gather_options){ PIL_GATHER_DEFAULTS, .indices = __VA_ARGS__ })
PIL_API pil_tensor *pil_gather_make(pil_graph *graph, pil_tensor *params, const pil_gather_options *options);

typedef struct pil_one_hot_options {
    int64_t depth;
    float on_value, off_value;
    int axis; /* the result's, of size `depth` */
} pil_one_hot_options;
#define PIL_ONE_HOT_DEFAULTS .on_value = 1.0f, .off_value = 0.0f, .axis = -1
static inline pil_one_hot_options pil_one_hot_options_default(void)
{
    pil_one_hot_options options = { 0, 1.0f, 0.0f, -1 };
    return options;
}
/* Indices [?, k] as vectors [?, k, depth] with on_value where the index says and off_value elsewhere, everywhere for an index out
 * of [0, depth). No gradient flows. Source: tf.one_hot. */
#define pil_one_hot(graph, indices, ...)                                                                                         \
    pil_one_hot_make((graph), (indices), &(pil_one_hot_options){ PIL_ONE_HOT_DEFAULTS, .depth = __VA_ARGS__ })
static inline pil_tensor *pil_one_hot_make(pil_graph *graph, pil_tensor *indices, const pil_one_hot_options *options)
{
    return pil_op(graph, "one_hot", options, sizeof *options, &indices, 1, NULL);
}

/* Rows of a table by id: ids [?] give [?, dim], ids [?, k] give [?, k, dim]. Of params that are a variable only the rows looked
 * up get a gradient and are touched by an optimizer. Errors: params that are no matrix, sparse ids, an id out of range. Source:
 * tf.nn.embedding_lookup. */
PIL_API pil_tensor *pil_embedding_lookup(pil_graph *graph, pil_tensor *params, pil_tensor *ids);

typedef struct pil_embedding_lookup_sparse_options {
    pil_tensor *sp_ids;
    const char *combiner; /* "mean", "sqrtn", "sum" */
    float max_norm;       /* rows longer than it are scaled down before they are combined; 0: none */
} pil_embedding_lookup_sparse_options;
#define PIL_EMBEDDING_LOOKUP_SPARSE_DEFAULTS .combiner = "mean", .max_norm = 0.0f
PIL_API pil_embedding_lookup_sparse_options pil_embedding_lookup_sparse_options_default(void);
/* Rows of a table by the ids of a sparse tensor (a categorical column's), weighted where it has weights and combined row by row:
 * [?, dim]. An id below 0 is none, a row without ids gives zeros. Only the rows looked up get a gradient. Errors: as
 * pil_embedding_lookup's, dense ids, params that are no variable, an unknown combiner. Source:
 * tf.nn.safe_embedding_lookup_sparse. */
#define pil_embedding_lookup_sparse(graph, params, ...)                                                                          \
    pil_embedding_lookup_sparse_make(                                                                                            \
        (graph), (params),                                                                                                       \
        &(pil_embedding_lookup_sparse_options){ PIL_EMBEDDING_LOOKUP_SPARSE_DEFAULTS, .sp_ids = __VA_ARGS__ })
PIL_API pil_tensor *pil_embedding_lookup_sparse_make(pil_graph *graph, pil_tensor *params,
                                                     const pil_embedding_lookup_sparse_options *options);

/* ---- products (op/matmul.c, op/product.c) ---------------------------------------------------------------------------- */

typedef struct pil_matmul_options {
    pil_tensor *b;
    bool transpose_a, transpose_b; /* the last two axes are exchanged first */
} pil_matmul_options;
#define PIL_MATMUL_DEFAULTS .transpose_a = false, .transpose_b = false
PIL_API pil_matmul_options pil_matmul_options_default(void);
/* The product of the last two axes, [..., m, k] and [..., k, n], those in front broadcast: pil_matmul(g, a, b, .transpose_b =
 * true).
 * [?, k] times [k, n] is the fast case, with a vector [n] added even faster. Two matrices of rows are multiplied over the batch,
 * transpose_a, and give [m, n]. Errors: inner sizes that differ, a factor with less than two axes. Source: tf.matmul. */
#define pil_matmul(graph, a, ...) pil_matmul_make((graph), (a), &(pil_matmul_options){ PIL_MATMUL_DEFAULTS, .b = __VA_ARGS__ })
PIL_API pil_tensor *pil_matmul_make(pil_graph *graph, pil_tensor *a, const pil_matmul_options *options);

/* ---- arithmetic (op/math.c, op/compare.c) ------------------------------------------------------------------------
 *
 * Of two operands the result has the shape both broadcast to; a gradient is summed back to its operand's shape. */

/* a + b. Source: tf.add. */
PIL_OP_2(add)
/* a - b. Source: tf.subtract. */
PIL_OP_2(sub)
/* a b. Source: tf.multiply. */
PIL_OP_2(mul)
/* a / b. Source: tf.divide. */
PIL_OP_2(div)
/* a to the power of b; 1 where b is 0, NaN where a is below 0 and b no whole number. The gradient of b is 0 where a is not above
 * 0. Source: tf.pow. */
PIL_OP_2(pow)
/* The larger of a and b; the gradient goes to the one taken, to a on a tie. Source: tf.maximum. */
PIL_OP_2(maximum)
/* The smaller of a and b; the gradient as with maximum. Source: tf.minimum. */
PIL_OP_2(minimum)
/* -x. Source: tf.negative. */
PIL_OP_1(neg)
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
/* The nearest whole number that is not above x; no gradient flows. Source: tf.floor. */
PIL_OP_1(floor)
/* The nearest whole number that is not below x; no gradient flows. Source: tf.math.ceil. */
PIL_OP_1(ceil)
/* The nearest whole number, of two the even one; no gradient flows. Source: tf.round. */
PIL_OP_1(round)
/* x, through which no gradient flows. Source: tf.stop_gradient. */
PIL_OP_1(stop_gradient)

typedef struct pil_clip_options {
    float clip_value_min, clip_value_max;
} pil_clip_options;
/* x, but at least `clip_value_min` and at most `clip_value_max`; the gradient flows where nothing was cut off. Errors: the limits
 * crossed, or NaN. Source: tf.clip_by_value. */
static inline pil_tensor *pil_clip_by_value(pil_graph *graph, pil_tensor *x, float clip_value_min, float clip_value_max)
{
    pil_clip_options options = { clip_value_min, clip_value_max };
    return pil_op(graph, "clip_by_value", &options, sizeof options, &x, 1, NULL);
}

typedef struct pil_cast_options {
    pil_dtype dtype;
} pil_cast_options;
/* The same numbers as another type: towards zero where they become whole, and the nearest there is where they would not fit; NaN
 * becomes 0. Gradients flow between floats. Source: tf.cast. */
static inline pil_tensor *pil_cast(pil_graph *graph, pil_tensor *x, pil_dtype dtype)
{
    pil_cast_options options = { dtype };
    return pil_op(graph, "cast", &options, sizeof options, &x, 1, NULL);
}

/* Comparisons: 1 where they hold, else 0; with NaN only not_equal holds. No gradient flows. Sources: tf.equal, tf.not_equal,
 * tf.less, tf.less_equal, tf.greater, tf.greater_equal. */
PIL_OP_2(equal)
PIL_OP_2(not_equal)
PIL_OP_2(less)
PIL_OP_2(less_equal)
PIL_OP_2(greater)
PIL_OP_2(greater_equal)
/* Truths: whatever is not 0 is true. No gradient flows. Sources: tf.logical_and, tf.logical_or, tf.logical_not. */
PIL_OP_2(logical_and)
PIL_OP_2(logical_or)
PIL_OP_1(logical_not)
/* a where the condition is not 0, else b; all three broadcast. The gradient flows to the one taken; the condition has none.
 * Source: tf.where with three arguments. */
PIL_OP_3(where, condition, a, b)

/* ---- reductions (op/axes.c) -------------------------------------------------------------------------------------- */

typedef struct pil_reduce_options {
    pil_tensor *x;
    pil_axes axis; /* none: all of them */
    bool keepdims; /* axes that went stay with a size of 1 */
} pil_reduce_options;
#define PIL_REDUCE_DEFAULTS .axis = { 0, { 0 } }, .keepdims = false
static inline pil_reduce_options pil_reduce_options_default(void)
{
    pil_reduce_options options = { NULL, { 0, { 0 } }, false };
    return options;
}
/* The sum over axes: pil_reduce_sum(g, x, .axis = PIL_AXES(1), .keepdims = true). Over the batch it is made in float64 and in one
 * order, whatever the threads. Errors: an axis that x lacks, or one named twice. Source: tf.reduce_sum. */
#define pil_reduce_sum(graph, ...) pil_reduce_sum_make((graph), &(pil_reduce_options){ PIL_REDUCE_DEFAULTS, .x = __VA_ARGS__ })
PIL_OP_OPTIONS(reduce_sum, pil_reduce_options)
/* The mean over axes. Source: tf.reduce_mean. */
#define pil_reduce_mean(graph, ...) pil_reduce_mean_make((graph), &(pil_reduce_options){ PIL_REDUCE_DEFAULTS, .x = __VA_ARGS__ })
PIL_OP_OPTIONS(reduce_mean, pil_reduce_options)
/* The largest over axes; NaN where there is one. The gradient is shared equally by all that are the largest.
 * Source: tf.reduce_max. */
#define pil_reduce_max(graph, ...) pil_reduce_max_make((graph), &(pil_reduce_options){ PIL_REDUCE_DEFAULTS, .x = __VA_ARGS__ })
PIL_OP_OPTIONS(reduce_max, pil_reduce_options)
/* The smallest over axes; as reduce_max. Source: tf.reduce_min. */
#define pil_reduce_min(graph, ...) pil_reduce_min_make((graph), &(pil_reduce_options){ PIL_REDUCE_DEFAULTS, .x = __VA_ARGS__ })
PIL_OP_OPTIONS(reduce_min, pil_reduce_options)

typedef struct pil_argmax_options {
    pil_tensor *x;
    int axis;
    bool keepdims;
} pil_argmax_options;
#define PIL_ARGMAX_DEFAULTS .axis = 0, .keepdims = false
static inline pil_argmax_options pil_argmax_options_default(void)
{
    pil_argmax_options options = { NULL, 0, false };
    return options;
}
/* Where along an axis (0 unless told: the batch) the largest stands, the first on a tie; a whole number in float32. No gradient
 * flows. Source: tf.argmax. */
#define pil_argmax(graph, ...) pil_argmax_make((graph), &(pil_argmax_options){ PIL_ARGMAX_DEFAULTS, .x = __VA_ARGS__ })
PIL_OP_OPTIONS(argmax, pil_argmax_options)

/* ---- activations (op/activation.c) ------------------------------------------------------------------------------- */

typedef enum pil_activation {
    PIL_ACTIVATION_LINEAR,
    PIL_ACTIVATION_RELU,
    PIL_ACTIVATION_SIGMOID,
    PIL_ACTIVATION_TANH,
    PIL_ACTIVATION_ELU,
    PIL_ACTIVATION_SELU,
    PIL_ACTIVATION_SOFTPLUS,
    PIL_ACTIVATION_SOFTSIGN,
    PIL_ACTIVATION_EXPONENTIAL,
    PIL_ACTIVATION_GELU,
    PIL_ACTIVATION_SWISH,
    PIL_ACTIVATION_HARD_SIGMOID,
    PIL_ACTIVATION_LEAKY_RELU, /* with a slope of 0.2 */
    PIL_ACTIVATION_RELU6,
    PIL_ACTIVATION_MISH
} pil_activation;
typedef struct pil_activation_options {
    pil_activation activation;
} pil_activation_options;
/* A function of every element, of x's shape. */
static inline pil_tensor *pil_activate(pil_graph *graph, pil_tensor *x, pil_activation activation)
{
    pil_activation_options options = { activation };
    return pil_op(graph, "activation", &options, sizeof options, &x, 1, NULL);
}
#define PIL_OP_ACTIVATION(name, activation)                                                                                      \
    static inline pil_tensor *pil_##name(pil_graph *graph, pil_tensor *x)                                                        \
    {                                                                                                                            \
        return pil_activate(graph, x, activation);                                                                               \
    }

/* max(x, 0). Source: tf.nn.relu. */
PIL_OP_ACTIVATION(relu, PIL_ACTIVATION_RELU)
/* min(max(x, 0), 6). Source: tf.nn.relu6. */
PIL_OP_ACTIVATION(relu6, PIL_ACTIVATION_RELU6)
/* 1 / (1 + e^-x). Source: tf.sigmoid. */
PIL_OP_ACTIVATION(sigmoid, PIL_ACTIVATION_SIGMOID)
/* The hyperbolic tangent. Source: tf.tanh. */
PIL_OP_ACTIVATION(tanh, PIL_ACTIVATION_TANH)
/* x above 0, else e^x - 1. Source: tf.nn.elu. */
PIL_OP_ACTIVATION(elu, PIL_ACTIVATION_ELU)
/* 1.0507 x above 0, else 1.0507 * 1.67326 (e^x - 1). Source: tf.nn.selu. */
PIL_OP_ACTIVATION(selu, PIL_ACTIVATION_SELU)
/* log(1 + e^x). Source: tf.nn.softplus. */
PIL_OP_ACTIVATION(softplus, PIL_ACTIVATION_SOFTPLUS)
/* x / (1 + |x|). Source: tf.nn.softsign. */
PIL_OP_ACTIVATION(softsign, PIL_ACTIVATION_SOFTSIGN)
/* x times the normal distribution's part below x. Source: tf.nn.gelu. */
PIL_OP_ACTIVATION(gelu, PIL_ACTIVATION_GELU)
/* x sigmoid(x). Source: tf.nn.swish. */
PIL_OP_ACTIVATION(swish, PIL_ACTIVATION_SWISH)
/* x tanh(log(1 + e^x)). Source: tf.keras.activations.mish. */
PIL_OP_ACTIVATION(mish, PIL_ACTIVATION_MISH)
/* 0.2 x + 0.5 within 0 and 1. Source: tf.keras.activations.hard_sigmoid. */
PIL_OP_ACTIVATION(hard_sigmoid, PIL_ACTIVATION_HARD_SIGMOID)

typedef struct pil_leaky_relu_options {
    pil_tensor *x;
    float alpha;
} pil_leaky_relu_options;
#define PIL_LEAKY_RELU_DEFAULTS .alpha = 0.2f
static inline pil_leaky_relu_options pil_leaky_relu_options_default(void)
{
    pil_leaky_relu_options options = { NULL, 0.2f };
    return options;
}
/* x above 0, else alpha x. Source: tf.nn.leaky_relu. */
#define pil_leaky_relu(graph, ...)                                                                                               \
    pil_leaky_relu_make((graph), &(pil_leaky_relu_options){ PIL_LEAKY_RELU_DEFAULTS, .x = __VA_ARGS__ })
PIL_OP_OPTIONS(leaky_relu, pil_leaky_relu_options)

typedef struct pil_softmax_options {
    pil_tensor *x;
    int axis;
} pil_softmax_options;
#define PIL_SOFTMAX_DEFAULTS .axis = -1
static inline pil_softmax_options pil_softmax_options_default(void)
{
    pil_softmax_options options = { NULL, -1 };
    return options;
}
/* e^x / sum e^x along an axis (the last unless told; 0 is the batch), of x's shape. Source: tf.nn.softmax. */
#define pil_softmax(graph, ...) pil_softmax_make((graph), &(pil_softmax_options){ PIL_SOFTMAX_DEFAULTS, .x = __VA_ARGS__ })
PIL_OP_OPTIONS(softmax, pil_softmax_options)
/* The logarithm of softmax, without its underflow. Source: tf.nn.log_softmax. */
#define pil_log_softmax(graph, ...)                                                                                              \
    pil_log_softmax_make((graph), &(pil_softmax_options){ PIL_SOFTMAX_DEFAULTS, .x = __VA_ARGS__ })
PIL_OP_OPTIONS(log_softmax, pil_softmax_options)

/* ---- windows over time (op/conv.c, op/pool.c) --------------------------------------------------------------------- */

typedef enum pil_padding {
    PIL_PADDING_VALID, /* windows within x alone */
    PIL_PADDING_SAME,  /* ceil(time / stride) windows; what is added stands on both sides, of an odd number more behind */
    PIL_PADDING_CAUSAL /* all that is added stands in front: a window sees no later step */
} pil_padding;
typedef struct pil_conv1d_options {
    pil_tensor *kernel;
    int64_t stride;
    pil_padding padding;
    int64_t dilation_rate; /* steps from one of a window's to the next */
} pil_conv1d_options;
#define PIL_CONV1D_DEFAULTS .stride = 1, .padding = PIL_PADDING_VALID, .dilation_rate = 1
static inline pil_conv1d_options pil_conv1d_options_default(void)
{
    pil_conv1d_options options = { NULL, 1, PIL_PADDING_VALID, 1 };
    return options;
}
/* x [?, time, channels] by a kernel [size, channels, filters] gives [?, windows, filters]: each window of `size` steps times the
 * kernel; steps that are added are zeros. A bias is added by pil_add. Errors: a kernel of other channels or of the batch, a stride
 * or dilation_rate below 1, no window that fits. Source: tf.nn.conv1d, tf.keras.layers.Conv1D. */
#define pil_conv1d(graph, x, ...)                                                                                                \
    pil_conv1d_make((graph), (x), &(pil_conv1d_options){ PIL_CONV1D_DEFAULTS, .kernel = __VA_ARGS__ })
static inline pil_tensor *pil_conv1d_make(pil_graph *graph, pil_tensor *x, const pil_conv1d_options *options)
{
    pil_conv1d_options arguments = *options;
    pil_tensor *inputs[2] = { x, options->kernel };
    arguments.kernel = NULL;
    return pil_op(graph, "conv1d", &arguments, sizeof arguments, inputs, 2, NULL);
}

typedef struct pil_pool1d_options {
    int64_t ksize;
    int64_t strides; /* 0: ksize */
    pil_padding padding;
} pil_pool1d_options;
#define PIL_POOL1D_DEFAULTS .strides = 0, .padding = PIL_PADDING_VALID
static inline pil_pool1d_options pil_pool1d_options_default(void)
{
    pil_pool1d_options options = { 2, 0, PIL_PADDING_VALID };
    return options;
}
/* The largest of each window of `ksize` steps, a channel each: x [?, time, channels] gives [?, windows, channels]. The gradient goes
 * to the first of equals. Errors: a ksize below 1, strides below 0, no window that fits. Source: tf.nn.max_pool1d. */
#define pil_max_pool1d(graph, x, ...)                                                                                            \
    pil_max_pool1d_make((graph), (x), &(pil_pool1d_options){ PIL_POOL1D_DEFAULTS, .ksize = __VA_ARGS__ })
static inline pil_tensor *pil_max_pool1d_make(pil_graph *graph, pil_tensor *x, const pil_pool1d_options *options)
{
    return pil_op(graph, "max_pool1d", options, sizeof *options, &x, 1, NULL);
}
/* The mean of each window; steps that were added do not count. As pil_max_pool1d otherwise. Source: tf.nn.avg_pool1d. */
#define pil_avg_pool1d(graph, x, ...)                                                                                            \
    pil_avg_pool1d_make((graph), (x), &(pil_pool1d_options){ PIL_POOL1D_DEFAULTS, .ksize = __VA_ARGS__ })
static inline pil_tensor *pil_avg_pool1d_make(pil_graph *graph, pil_tensor *x, const pil_pool1d_options *options)
{
    return pil_op(graph, "avg_pool1d", options, sizeof *options, &x, 1, NULL);
}

/* ---- dropout (op/random.c) --------------------------------------------------------------------------------------- */

typedef struct pil_nn_dropout_options {
    pil_tensor *x;
    float rate;            /* the part of the elements that is dropped, in [0, 1) */
    bool training;         /* mode == PIL_TRAIN; false: x comes back */
    pil_shape noise_shape; /* axes of size 1 share one draw, -1 is x's own size; none: each element has its own */
    int64_t seed;          /* a stream of random numbers of its own; below 0: the model's seed */
} pil_nn_dropout_options;
#define PIL_NN_DROPOUT_DEFAULTS .rate = 0.5f, .training = false, .noise_shape = { 0, { 0 } }, .seed = -1
static inline pil_nn_dropout_options pil_nn_dropout_options_default(void)
{
    pil_nn_dropout_options options = { NULL, 0.5f, false, { 0, { 0 } }, -1 };
    return options;
}
/* x with elements set to 0 at random, the others divided by 1 - rate: pil_nn_dropout(g, x, .rate = 0.2f, .training = mode ==
 * PIL_TRAIN). The numbers follow from the seed, the op's name (pil_name), the step and the row. Of x [?, time, channels]
 * .noise_shape = PIL_SHAPE(-1, 1, channels) drops whole channels. Errors: a rate out of [0, 1), a noise_shape whose sizes are
 * neither 1 nor x's. Source: tf.layers.dropout. */
#define pil_nn_dropout(graph, ...)                                                                                               \
    pil_nn_dropout_make((graph), &(pil_nn_dropout_options){ PIL_NN_DROPOUT_DEFAULTS, .x = __VA_ARGS__ })
static inline pil_tensor *pil_nn_dropout_make(pil_graph *graph, const pil_nn_dropout_options *options)
{
    struct {
        float rate;
        const char *stream; /* the gradient's alone */
        pil_shape noise_shape;
        bool seeded;
        int64_t seed;
    } arguments = { options->rate, NULL, options->noise_shape, options->seed >= 0, options->seed };
    pil_tensor *x = options->x;
    return x && !options->training ? x : pil_op(graph, "dropout", &arguments, sizeof arguments, &x, 1, NULL);
}

#ifdef __cplusplus
}
#endif

#endif
