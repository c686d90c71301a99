/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workload C in memory: sine windows, BasicLSTMCell over (seq, 1), the last output to one unit; mean squared error, SGD 0.01; in
 * three sizes (seq, hidden, batch). Graph, store, session and updater as in `pilaster train`; the model as a model function
 * writes it, or, to show what that costs, put together by hand from the op rnn.
 *
 *     workload_c [--threads N] [--steps N] [--size 0..2] [--by-hand 1]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "model.h"
#include "pilaster/op.h"
#include "pilaster/rnn.h"
#include "probe.h"
#include "store/store.h"
#include "train/train.h"

struct size {
    int64_t time, hidden, batch, steps;
};
static const struct size sizes[] = { { 9, 3, 20, 20000 }, { 20, 32, 64, 1000 }, { 50, 128, 64, 60 } };
enum { INPUTS = 1, WINDOWS = 40, POOL = 64 }; /* batches in memory; windows of steps, of which the best is told */

struct data {
    struct tensor x[POOL], y[POOL];
};

/* sin over a window that begins anywhere, at any pace; the target is what comes next. */
static bool make_data(struct data *data, const struct size *size, pil_status *status)
{
    struct random_key key = random_key(7, "sine");
    for (int64_t b = 0; b < POOL; b++) {
        if (!tensor_new(&data->x[b], DTYPE_FLOAT32, SHAPE(size->batch, size->time, INPUTS), true, status) ||
            !tensor_new(&data->y[b], DTYPE_FLOAT32, SHAPE(size->batch, 1), true, status))
            return false;
        for (int64_t r = 0; r < size->batch; r++) {
            uint64_t row = (uint64_t)(b * size->batch + r);
            double from = (double)random_uniform(key, 0, row) * 6.28, pace = 0.2 + (double)random_uniform(key, 1, row);
            for (int64_t t = 0; t < size->time; t++)
                tensor_floats(&data->x[b])[r * data->x[b].ld + t] = (float)sin(from + pace * (double)t);
            tensor_floats(&data->y[b])[r * data->y[b].ld] = (float)sin(from + pace * (double)size->time);
        }
    }
    return true;
}

/* The course's model: steps cut from the series, static_rnn, the last output to one unit. */
static struct pil_tensor *build_course(struct pil_graph *graph, const struct size *size)
{
    enum { MOST_STEPS = 64 };
    struct pil_tensor *series = graph_input(graph, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, size->time * INPUTS), false);
    struct pil_tensor *steps[MOST_STEPS], *outputs[MOST_STEPS];
    pil_split(graph, series, (size_t)size->time, 1, steps);
    pil_rnn_cell *cell = pil_basic_lstm_cell(graph, size->hidden, .forget_bias = 1.0f);
    pil_static_rnn(graph, cell, steps, (size_t)size->time, outputs);
    struct pil_tensor *weight = pil_variable(graph, "weight", pil_random_normal(graph, PIL_SHAPE(size->hidden, 1)));
    struct pil_tensor *bias = pil_variable(graph, "bias", pil_zeros(graph, PIL_SHAPE(1)));
    return pil_add(graph,
                   pil_op(graph, "matmul", &(struct op_matmul_args){ 0 }, sizeof(struct op_matmul_args),
                          (pil_tensor *[]){ outputs[size->time - 1], weight }, 2, NULL),
                   bias);
}

/* The same from the op rnn itself and a product with its bias: the least that a graph of it can be. */
static struct pil_tensor *build_by_hand(struct pil_graph *graph, const struct size *size)
{
    const pil_initializer glorot = pil_glorot_uniform_initializer(), normal = pil_random_normal_initializer(0, 1), zeros = { 0 };
    const struct op_rnn_args lstm = { .cell = RNN_LSTM,
                                      .hidden = size->hidden,
                                      .activation = ACTIVATION_TANH,
                                      .recurrent = ACTIVATION_SIGMOID,
                                      .forget_bias = 1,
                                      .joined = true,
                                      .bias = true };
    struct pil_tensor *x = graph_input(graph, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, size->time, INPUTS), false);
    struct pil_tensor *kernel =
        graph_variable(graph, "rnn/basic_lstm_cell/kernel", SHAPE(INPUTS + size->hidden, 4 * size->hidden), glorot, true);
    struct pil_tensor *bias = graph_variable(graph, "rnn/basic_lstm_cell/bias", SHAPE(4 * size->hidden), zeros, true);
    struct pil_tensor *last = graph_op3(graph, "rnn", &lstm, x, kernel, bias);
    struct pil_tensor *weight = graph_variable(graph, "weight", SHAPE(size->hidden, 1), normal, true);
    return graph_op3(graph, "matmul", &(struct op_matmul_args){ .bias = true }, last, weight,
                     graph_variable(graph, "bias", SHAPE(1), zeros, true));
}

static struct pil_tensor *build(struct pil_graph *graph, const struct size *size, bool by_hand)
{
    struct pil_tensor *out = by_hand ? build_by_hand(graph, size) : build_course(graph, size);
    struct pil_tensor *y = graph_input(graph, "y", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false);
    struct pil_tensor *error = graph_op2(graph, "sub", NULL, out, y);
    return loss_reduce(graph, graph_op2(graph, "mul", NULL, error, error), NULL, REDUCTION_SUM_OVER_BATCH_SIZE);
}

struct result {
    double rate, best, loss;
};

static bool train(const struct data *data, const struct size *size, int64_t steps, struct session *session,
                  struct updater *updater, struct result *out, pil_status *status)
{
    const int64_t window_steps = MAX(steps / WINDOWS, 1);
    double start = bench_seconds(), window = start, sum = 0;
    for (int64_t step = 0; step < steps; step++) {
        session_input(session, "x", &(struct op_value){ .tensor = data->x[step % POOL] });
        session_input(session, "y", &(struct op_value){ .tensor = data->y[step % POOL] });
        if (!session_run(session, size->batch, step, NULL, 0, status) || !updater_apply(updater, session, step, status))
            return false;
        sum += session_scalar(session, 0);
        if (step % window_steps == window_steps - 1) {
            double now = bench_seconds(), rate = (double)(window_steps * size->batch) / (now - window);
            out->best = MAX(out->best, rate);
            out->loss = sum / (double)window_steps;
            sum = 0;
            window = now;
        }
    }
    out->rate = (double)(steps * size->batch) / (bench_seconds() - start);
    return true;
}

static void report(const struct size *size, int threads, const struct result *result)
{
    /* Products alone count, forward, by h and by the kernel: the loss by x is not wanted, and no h comes before the first step.
     */
    const double columns = 4 * (double)size->hidden, time = (double)size->time, h = (double)size->hidden;
    const double flops = 2 * time * columns * (2 * (INPUTS + h) + h),
                 peak = 1e-9 * bench_peak(kernel_get()->level, 0.3) * threads;
    const double percent = 100 * result->best * flops * 1e-9 / peak;
    printf("C in memory, seq %lld, hidden %lld, batch %lld, %d threads, level %s\n", (long long)size->time,
           (long long)size->hidden, (long long)size->batch, threads, kernel_get()->level);
    printf("  %.0f examples/s   best window %.0f   loss %.5f   best %.1f %% of %.0f GFLOP/s\n", result->rate, result->best,
           result->loss, percent, peak);
    printf("{\"workload\":\"C\",\"who\":\"pilaster\",\"seq\":%lld,\"hidden\":%lld,\"batch\":%lld,\"threads\":%d,\"examples_s\":%."
           "0f,\"best_examples_"
           "s\":%.0f,"
           "\"loss\":%.5f,\"percent_of_peak\":%.1f}\n",
           (long long)size->time, (long long)size->hidden, (long long)size->batch, threads, result->rate, result->best,
           result->loss, percent);
}

static bool measure(const struct size *size, int64_t steps, bool by_hand, struct threads *threads, pil_status *status)
{
    static struct data data;
    struct pil_graph *graph = graph_new(status);
    struct store *store = store_new(status);
    struct updater_part part = { .group = 0 };
    if (!graph || !store || !optimizer_find("sgd", FLAVOUR_KERAS_LEGACY, &part.optimizer, status) ||
        !make_data(&data, size, status))
        return false;
    part.optimizer.options.learning_rate.rate = 0.01;
    struct pil_tensor *loss = build(graph, size, by_hand);
    graph_gradients(graph, loss);
    struct plan *plan = plan_compile(graph, &loss, 1, status);
    struct session *session = plan ? session_new(plan, threads, kernel_get(), 7, status) : NULL;
    struct updater *updater = NULL;
    struct result result = { 0 };
    bool ok = session && bench_declare(store, graph, &part.optimizer, "OptimizeLoss", status) &&
              store_initialize(store, 7, threads, status) && bench_bind(session, store, graph, status) &&
              (updater = updater_new(store, &part, 1, threads, kernel_get(), status)) &&
              train(&data, size, steps ? steps : size->steps, session, updater, &result, status);
    if (ok)
        report(size, threads_count(threads), &result);
    updater_free(updater);
    session_free(session);
    plan_free(plan);
    graph_free(graph);
    store_free(store);
    for (int b = 0; b < POOL; b++) {
        tensor_free(&data.x[b]);
        tensor_free(&data.y[b]);
    }
    return ok;
}

int main(int count, char **words)
{
    pil_status status = { 0 };
    struct threads *threads = threads_new((int)bench_option(count, words, "--threads", 0), &status);
    const int64_t only = bench_option(count, words, "--size", -1);
    bool ok = threads != NULL;
    for (int64_t i = 0; ok && i < (int64_t)COUNT_OF(sizes); i++)
        if (only < 0 || only == i)
            ok = measure(&sizes[i], bench_option(count, words, "--steps", 0), bench_option(count, words, "--by-hand", 0) != 0,
                         threads, &status);
    threads_free(threads);
    if (!ok)
        fprintf(stderr, "workload_c: %s\n", status.message);
    return ok ? 0 : 1;
}
