/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses of a row, before weights and reductions (train/loss.c). Labels get a gradient as well, where something below wants it;
 * classes have none.
 *
 *   sigmoid_cross_entropy         x, z [batch, d] -> [batch, d]: max(x, 0) - x z + log(1 + exp(-|x|));  dx = (sigmoid(x) - z) dy
 *   softmax_cross_entropy         x, z [batch, c] -> [batch, 1]: -sum z log softmax(x);                 dx = (softmax(x) sum z - z) dy
 *   sparse_softmax_cross_entropy  x [batch, c], class [batch, 1] -> [batch, 1]; both may have axes between: the last one counts
 *   squared_difference            a, b -> (a - b)^2
 * The first form of sigmoid cross entropy is TensorFlow's (nn_impl.py), which neither overflows nor cancels.
 */
#include <math.h>

#include "op/internal.h"

enum { CHUNK = 64 };

static bool pair_infer(struct op_infer *infer)
{
    if (!op_need_float(infer))
        return false;
    if (!shape_equal(infer->inputs[0].shape, infer->inputs[1].shape))
        return op_fail(infer, "logits and labels must have one shape");
    return op_like(infer, 0);
}

/* log(1 + e) for e in (0, 1], with log1p's accuracy: log(u) corrected by what 1 + e rounded away. */
static void log_one_plus(const struct kernels *kernels, const float *e, float *out, int64_t n)
{
    float u[CHUNK];
    for (int64_t i = 0; i < n; i++)
        u[i] = 1.0f + e[i];
    kernels->log(u, out, n);
    for (int64_t i = 0; i < n; i++)
        out[i] -= ((u[i] - 1.0f) - e[i]) / u[i];
}

static void sigmoid_cross_entropy_run(struct op_run *run)
{
    const struct tensor *x = &run->inputs[0].tensor, *z = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    /* One column: walk down the rows, whose labels may be a view of a wider block. */
    bool down = x->cols == 1;
    int64_t lines = down ? 1 : x->rows, length = down ? x->rows : x->cols;
    int64_t x_step = down ? x->ld : 1, z_step = down ? z->ld : 1, out_step = down ? out->ld : 1;
    for (int64_t r = 0; r < lines; r++)
        for (int64_t at = 0; at < length; at += CHUNK) {
            int64_t n = MIN(CHUNK, length - at);
            const float *in = tensor_floats(x) + r * x->ld + at * x_step, *label = tensor_floats(z) + r * z->ld + at * z_step;
            float *loss = tensor_floats(out) + r * out->ld + at * out_step, e[CHUNK], soft[CHUNK];
            for (int64_t i = 0; i < n; i++)
                e[i] = -fabsf(in[i * x_step]);
            run->kernels->exp(e, e, n);
            log_one_plus(run->kernels, e, soft, n);
            for (int64_t i = 0; i < n; i++) {
                float logit = in[i * x_step];
                loss[i * out_step] = (logit > 0 || logit != logit ? logit : 0) - logit * label[i * z_step] + soft[i];
            }
        }
}

static void sigmoid_cross_entropy_gradient(struct op_gradient *g)
{
    struct pil_tensor *dy = g->output_gradients[0], *x = g->inputs[0];
    if (g->wanted[0])
        g->input_gradients[0] = op_emit3(g, "sigmoid_cross_entropy_dx", NULL, dy, x, g->inputs[1]);
    if (g->wanted[1])
        g->input_gradients[1] = op_emit1(g, "scale", &(struct op_scalar_args){ -1 }, op_emit2(g, "mul", NULL, dy, x));
}

static bool dx_infer(struct op_infer *infer)
{
    const struct op_type *dy = &infer->inputs[0], *x = &infer->inputs[1], *z = &infer->inputs[2];
    if (!op_need_float(infer))
        return false;
    if (!shape_equal(dy->shape, x->shape) || !shape_equal(z->shape, x->shape))
        return op_fail(infer, "the shapes differ");
    return op_like(infer, 1);
}

static void sigmoid_cross_entropy_dx_run(struct op_run *run)
{
    const struct tensor *dy = &run->inputs[0].tensor, *x = &run->inputs[1].tensor, *z = &run->inputs[2].tensor;
    const struct tensor *dx = &run->outputs[0].tensor;
    run->kernels->activate(ACTIVATION_SIGMOID, tensor_floats(x), x->ld, tensor_floats(dx), dx->ld, x->rows, x->cols);
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t c = 0; c < x->cols; c++) {
            float *d = tensor_floats(dx) + r * dx->ld + c;
            *d = (*d - tensor_floats(z)[r * z->ld + c]) * tensor_floats(dy)[r * dy->ld + c];
        }
}

/* ---- softmax ---- */

/* The output as the logits, with one class. */
static bool one_class(struct op_infer *infer)
{
    op_like(infer, 0);
    infer->outputs[0].shape.dims[infer->outputs[0].shape.rank - 1] = 1;
    return true;
}

static int64_t classes_of(const struct tensor *x)
{
    return x->shape.dims[x->shape.rank - 1];
}

static bool softmax_loss_infer(struct op_infer *infer)
{
    if (!op_need_float(infer))
        return false;
    const struct shape *x = &infer->inputs[0].shape;
    if (x->rank < 2 || x->dims[x->rank - 1] < 1 || !shape_equal(*x, infer->inputs[1].shape))
        return op_fail(infer, "logits and labels must be [batch, classes] both");
    return one_class(infer);
}

static bool sparse_softmax_loss_infer(struct op_infer *infer)
{
    if (!op_need_float(infer))
        return false;
    const struct shape *x = &infer->inputs[0].shape;
    if (x->rank < 2 || x->dims[x->rank - 1] < 1 || !one_class(infer) ||
        !shape_equal(infer->inputs[1].shape, infer->outputs[0].shape))
        return op_fail(infer, "logits must be [batch, classes], labels [batch, 1]");
    return true;
}

/* The largest logit and log sum exp(x - largest). */
static float log_sum(const struct op_run *run, const float *x, int64_t n, float *largest)
{
    float top = x[0], sum = 0, e[CHUNK];
    for (int64_t i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t count = MIN(CHUNK, n - at);
        for (int64_t i = 0; i < count; i++)
            e[i] = x[at + i] - top;
        run->kernels->exp(e, e, count);
        for (int64_t i = 0; i < count; i++)
            sum += e[i];
    }
    float out;
    run->kernels->log(&sum, &out, 1);
    *largest = top;
    return out;
}

static void softmax_loss_run(struct op_run *run)
{
    const struct tensor *x = &run->inputs[0].tensor, *z = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    int64_t classes = classes_of(x);
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t k = 0; k < x->cols / classes; k++) {
            const float *in = tensor_floats(x) + r * x->ld + k * classes, *label = tensor_floats(z) + r * z->ld + k * classes;
            float top, log_total = log_sum(run, in, classes, &top), loss = 0;
            for (int64_t c = 0; c < classes; c++)
                loss += label[c] != 0 ? label[c] * (log_total - (in[c] - top)) : 0;
            tensor_floats(out)[r * out->ld + k] = loss;
        }
}

/* The class of row r, the k-th of it, or -1 with the status filled. */
static int64_t class_of(struct op_run *run, const struct tensor *z, int64_t r, int64_t k, int64_t classes)
{
    float label = tensor_floats(z)[r * z->ld + k];
    if (label >= 0 && label < (float)classes && label == floorf(label))
        return (int64_t)label;
    status_fail(run->status, PIL_BAD_DATA, "label %g of row %lld of the batch is not one of the %lld classes 0 .. %lld",
                (double)label, (long long)(run->first_row + r), (long long)classes, (long long)(classes - 1));
    return -1;
}

static void sparse_softmax_loss_run(struct op_run *run)
{
    const struct tensor *x = &run->inputs[0].tensor, *z = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    int64_t classes = classes_of(x);
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t k = 0; k < x->cols / classes; k++) {
            const float *in = tensor_floats(x) + r * x->ld + k * classes;
            int64_t class = class_of(run, z, r, k, classes);
            float top, log_total = log_sum(run, in, classes, &top);
            tensor_floats(out)[r * out->ld + k] = class < 0 ? NAN : log_total - (in[class] - top);
        }
}

static void sparse_softmax_loss_gradient(struct op_gradient *g)
{
    if (g->wanted[0])
        g->input_gradients[0] = op_emit3(g, "softmax_cross_entropy_dx", NULL, g->output_gradients[0], g->inputs[0], g->inputs[1]);
}

static void softmax_loss_gradient(struct op_gradient *g)
{
    struct pil_tensor *dy = g->output_gradients[0], *x = g->inputs[0];
    sparse_softmax_loss_gradient(g);
    if (g->wanted[1])
        g->input_gradients[1] = op_emit1(g, "scale", &(struct op_scalar_args){ -1 },
                                         op_emit2(g, "mul", NULL, op_emit1(g, "log_softmax", NULL, x), dy));
}

static bool softmax_dx_infer(struct op_infer *infer)
{
    const struct shape *x = &infer->inputs[1].shape, *z = &infer->inputs[2].shape;
    if (!op_need_float(infer))
        return false;
    struct shape one = *x;
    one.dims[MAX(one.rank - 1, 0)] = 1;
    if (x->rank < 2 || !shape_equal(infer->inputs[0].shape, one) || (!shape_equal(*z, one) && !shape_equal(*z, *x)))
        return op_fail(infer, "dy [batch, 1], logits [batch, classes] and labels are needed");
    return op_like(infer, 1);
}

/* softmax(x) in d, which becomes (softmax(x) sum z - z) dy. */
static void by_distribution(float *d, const float *label, float dy, int64_t classes)
{
    float total = 0;
    for (int64_t c = 0; c < classes; c++)
        total += label[c];
    for (int64_t c = 0; c < classes; c++)
        d[c] = (d[c] * total - label[c]) * dy;
}

static void by_class(float *d, int64_t class, float dy, int64_t classes)
{
    for (int64_t c = 0; c < classes; c++)
        d[c] = (d[c] - (c == class ? 1.0f : 0.0f)) * dy;
}

/* dy [batch, 1], x [batch, c], z [batch, c] or [batch, 1]: classes. Of one class both give 0. */
static void softmax_loss_dx_run(struct op_run *run)
{
    const struct tensor *dy = &run->inputs[0].tensor, *x = &run->inputs[1].tensor, *z = &run->inputs[2].tensor;
    const struct tensor *dx = &run->outputs[0].tensor;
    int64_t classes = classes_of(x);
    bool distribution = z->cols == x->cols;
    for (int64_t k = 0; k < x->cols / classes; k++) {
        int64_t at = k * classes;
        run->kernels->softmax(tensor_floats(x) + at, x->ld, tensor_floats(dx) + at, dx->ld, x->rows, classes, false);
        for (int64_t r = 0; r < x->rows; r++) {
            float *d = tensor_floats(dx) + r * dx->ld + at, scale = tensor_floats(dy)[r * dy->ld + k];
            if (distribution)
                by_distribution(d, tensor_floats(z) + r * z->ld + at, scale, classes);
            else
                by_class(d, class_of(run, z, r, k, classes), scale, classes);
        }
    }
}

static void squared_difference_run(struct op_run *run)
{
    const struct tensor *a = &run->inputs[0].tensor, *b = &run->inputs[1].tensor, *out = &run->outputs[0].tensor;
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->cols; c++) {
            float d = tensor_floats(a)[r * a->ld + c] - tensor_floats(b)[r * b->ld + c];
            tensor_floats(out)[r * out->ld + c] = d * d;
        }
}

static void squared_difference_gradient(struct op_gradient *g)
{
    struct pil_tensor *d = op_emit2(g, "sub", NULL, g->inputs[0], g->inputs[1]);
    d = op_emit1(g, "scale", &(struct op_scalar_args){ 2 }, op_emit2(g, "mul", NULL, g->output_gradients[0], d));
    if (g->wanted[0])
        g->input_gradients[0] = d;
    if (g->wanted[1])
        g->input_gradients[1] = op_emit1(g, "scale", &(struct op_scalar_args){ -1 }, d);
}

#define LOSS(op_name, text, infer_rule, run_function, gradient_function)                                                         \
    {                                                                                                                            \
        .name = op_name, .help = text, .min_inputs = 2, .max_inputs = 2, .flags = OP_TAKES_VIEWS, .infer = infer_rule,           \
        .run = run_function, .gradient = gradient_function                                                                       \
    }
static const struct op_row rows[] = {
    LOSS("sigmoid_cross_entropy", "binary cross entropy of logits", pair_infer, sigmoid_cross_entropy_run,
         sigmoid_cross_entropy_gradient),
    LOSS("softmax_cross_entropy", "cross entropy of logits and label distributions", softmax_loss_infer, softmax_loss_run,
         softmax_loss_gradient),
    LOSS("sparse_softmax_cross_entropy", "cross entropy of logits and classes", sparse_softmax_loss_infer,
         sparse_softmax_loss_run, sparse_softmax_loss_gradient),
    LOSS("squared_difference", "(a - b)^2", pair_infer, squared_difference_run, squared_difference_gradient),
    { .name = "sigmoid_cross_entropy_dx",
      .help = "(sigmoid(x) - z) dy",
      .min_inputs = 3,
      .max_inputs = 3,
      .flags = OP_TAKES_VIEWS,
      .infer = dx_infer,
      .run = sigmoid_cross_entropy_dx_run },
    { .name = "softmax_cross_entropy_dx",
      .help = "(softmax(x) - z) dy",
      .min_inputs = 3,
      .max_inputs = 3,
      .flags = OP_TAKES_VIEWS,
      .infer = softmax_dx_infer,
      .run = softmax_loss_dx_run },
};
OP_ROWS_OF(loss);
