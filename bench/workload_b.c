/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workload B in memory: 26 categories and 13 numbers, embeddings of 16 beside the numbers, 429 -> 256 -> 128 -> 64 -> 1 with
 * ReLU, a click from a hidden model, Adagrad 0.01, batch 2048. Graph, store, session and updater as in `pilaster train`; the
 * batch's rows are slices of arrays, grouped by id in jobs behind the first phase of the step before.
 *
 *     workload_b [--rows N] [--table N] [--threads N] [--steps N] [--skewed]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "model.h"
#include "probe.h"
#include "store/store.h"
#include "train/train.h"

enum { TABLES = 26, NUMBERS = 13, DIM = 16, BATCH = 2048, PADDED = 16 };

struct data {
    int64_t rows, table_rows;
    int32_t *ids[TABLES];
    float *numbers, *labels;
};
/* The groups of one batch; two of them, made in turn. */
struct grouped {
    struct groups groups[TABLES];
    struct sparse ids[TABLES];
    void *memory[TABLES];
};
struct bench {
    struct data data;
    struct grouped batches[2];
    void *scratch[64];
    int64_t next_row; /* of the batch the jobs prepare */
    int next;
};

/* ---- data, deterministic ---- */

static bool make_data(struct data *data, bool skewed, pil_status *status)
{
    struct random_key key = random_key(7, "criteo");
    data->numbers = mem_block((size_t)data->rows * PADDED * sizeof(float), status);
    data->labels = mem_block((size_t)data->rows * sizeof(float), status);
    for (int t = 0; t < TABLES; t++)
        data->ids[t] = mem_block((size_t)data->rows * sizeof(int32_t), status);
    if (!status_ok(status))
        return false;
    for (int64_t r = 0; r < data->rows; r++) {
        double score = -1;
        for (int t = 0; t < TABLES; t++) {
            uint32_t bits[4];
            random_bits(key, (uint64_t)t, (uint64_t)r, bits);
            double u = (double)bits[0] / 4294967296.0;
            /* skewed: the density falls as 1 / rank */
            int64_t id = skewed ? (int64_t)exp(u * log((double)data->table_rows)) - 1 : (int64_t)(u * (double)data->table_rows);
            data->ids[t][r] = (int32_t)(id < data->table_rows ? id : data->table_rows - 1);
            score += t < 6 ? ((double)(data->ids[t][r] % 7) - 3) * 0.3 : 0;
        }
        for (int c = 0; c < NUMBERS; c++) {
            float value = random_uniform(key, 100 + (uint64_t)c, (uint64_t)r);
            data->numbers[r * PADDED + c] = value;
            score += c < 4 ? ((double)value - 0.5) * 2 : 0;
        }
        data->labels[r] = (double)random_uniform(key, 200, (uint64_t)r) < 1 / (1 + exp(-score)) ? 1.0f : 0.0f;
    }
    return true;
}

/* ---- the model ---- */

static struct pil_tensor *dense(struct pil_graph *graph, struct pil_tensor *x, int number, int64_t units,
                                enum activation activation)
{
    char name[32];
    int64_t width = x->type.shape.dims[1];
    struct op_matmul_args args = { .bias = true, .activation = activation };
    snprintf(name, sizeof name, "layer_%d/kernel", number);
    struct pil_tensor *w =
        graph_variable(graph, name, SHAPE(width, units), (pil_initializer){ PIL_INITIALIZER_GLOROT_UNIFORM, 0, 0 }, true);
    snprintf(name, sizeof name, "layer_%d/bias", number);
    return graph_op3(graph, "matmul", &args, x, w, graph_variable(graph, name, SHAPE(units), (pil_initializer){ 0 }, true));
}

static struct pil_tensor *build(struct pil_graph *graph, int64_t table_rows)
{
    static const int64_t units[] = { 256, 128, 64 };
    struct pil_tensor *parts[TABLES + 1];
    char name[32];
    for (int t = 0; t < TABLES; t++) {
        snprintf(name, sizeof name, "ids_%d", t);
        struct pil_tensor *ids = graph_input(graph, name, DTYPE_INT32, SHAPE(BATCH_DIM), true);
        snprintf(name, sizeof name, "table_%02d", t);
        struct pil_tensor *table = graph_variable(graph, name, SHAPE(table_rows, DIM),
                                                  (pil_initializer){ PIL_INITIALIZER_UNIFORM, -0.05f, 0.05f }, true);
        parts[t] = graph_op2(graph, "lookup", &(struct op_lookup_args){ COMBINER_MEAN, 0, 1 }, ids, table);
    }
    parts[TABLES] = graph_input(graph, "numbers", DTYPE_FLOAT32, SHAPE(BATCH_DIM, NUMBERS), false);
    struct pil_tensor *x = graph_op(graph, "concat", &(struct op_axis_args){ .axis = 1 }, parts, TABLES + 1, NULL);
    for (int i = 0; i < 3; i++)
        x = dense(graph, x, i, units[i], ACTIVATION_RELU);
    struct pil_tensor *logits = dense(graph, x, 3, 1, ACTIVATION_LINEAR);
    struct pil_tensor *labels = graph_input(graph, "labels", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false);
    struct pil_tensor *losses = graph_op2(graph, "sigmoid_cross_entropy", NULL, logits, labels);
    return loss_reduce(graph, losses, NULL, REDUCTION_SUM_OVER_BATCH_SIZE);
}

/* ---- batches ---- */

static void group_task(void *context, int64_t t, int worker)
{
    struct bench *bench = context;
    struct grouped *batch = &bench->batches[bench->next];
    batch->ids[t] = (struct sparse){ .rows = BATCH, .entries = BATCH, .ids = bench->data.ids[t] + bench->next_row };
    sort_groups(&batch->ids[t], bench->data.table_rows, bench->scratch[worker], batch->memory[t], &batch->groups[t]);
    batch->ids[t].groups = &batch->groups[t];
}

static void bind_batch(struct bench *bench, struct session *session, int which, int64_t row)
{
    char name[32];
    for (int t = 0; t < TABLES; t++) {
        snprintf(name, sizeof name, "ids_%d", t);
        session_input(session, name, &(struct op_value){ .sparse = bench->batches[which].ids[t] });
    }
    struct tensor numbers = { .data = bench->data.numbers + row * PADDED,
                              .dtype = DTYPE_FLOAT32,
                              .shape = SHAPE(BATCH, NUMBERS),
                              .rows = BATCH,
                              .cols = NUMBERS,
                              .ld = PADDED };
    struct tensor labels = {
        .data = bench->data.labels + row, .dtype = DTYPE_FLOAT32, .shape = SHAPE(BATCH, 1), .rows = BATCH, .cols = 1, .ld = 1
    };
    session_input(session, "numbers", &(struct op_value){ .tensor = numbers });
    session_input(session, "labels", &(struct op_value){ .tensor = labels });
}

enum { WARM_UP = 20, WINDOW = 20 };
struct result {
    double seconds, best_rate, loss, least; /* least: seconds of a step */
};

static bool take_step(struct bench *bench, struct session *session, struct updater *updater, int64_t step, pil_status *status)
{
    struct job job = { group_task, bench, TABLES };
    int which = bench->next;
    int64_t row = bench->next_row;
    bind_batch(bench, session, which, row);
    bench->next = 1 - which;
    bench->next_row = row + 2 * BATCH <= bench->data.rows ? row + BATCH : 0;
    return session_run(session, BATCH, step, &job, 1, status) && updater_apply(updater, session, step, status);
}

/* `steps` steps behind the warm-up; the best window and the best step beside the whole. */
static bool train(struct bench *bench, struct session *session, struct updater *updater, struct threads *threads, int64_t steps,
                  struct result *out, pil_status *status)
{
    struct job job = { group_task, bench, TABLES };
    double start = 0, window = 0, sum = 0;
    threads_run(threads, &job, 1);
    out->least = INFINITY;
    for (int64_t step = -WARM_UP; step < steps; step++) {
        double begin = bench_seconds();
        if (step == 0)
            start = window = begin;
        if (!take_step(bench, session, updater, step + WARM_UP, status))
            return false;
        double now = bench_seconds();
        out->least = fmin(out->least, now - begin);
        sum = (step + WARM_UP) % WINDOW == 0 ? 0 : sum;
        sum += session_scalar(session, 0);
        if (step > 0 && step % WINDOW == WINDOW - 1) {
            out->best_rate = fmax(out->best_rate, (double)WINDOW * BATCH / (now - window));
            out->loss = sum / WINDOW;
            window = now;
        }
        out->seconds = now - start;
    }
    return true;
}

/* Products alone count as work: 6 flops a weight, less the first layer's dX for the numbers. */
static void report(const struct bench *bench, bool skewed, int threads, int64_t steps, const struct result *result)
{
    const double flops = 6.0 * (429.0 * 256 + 256 * 128 + 128 * 64 + 64) - 2.0 * 13 * 256;
    double peak = threads * bench_peak(kernel_get()->level, 0.3), rate = (double)(steps * BATCH) / result->seconds;
    double percent = 100 * flops / peak;
    printf("B in memory, %s ids, %lld rows a table, %d threads, level %s\n", skewed ? "skewed" : "uniform",
           (long long)bench->data.table_rows, threads, kernel_get()->level);
    printf("  %lld steps   %.0f examples/s   best window %.0f   best step %.3f ms   loss %.4f   %.1f %% of %.0f GFLOP/s (best "
           "window %.1f %%)\n",
           (long long)steps, rate, result->best_rate, 1e3 * result->least, result->loss, percent * rate, 1e-9 * peak,
           percent * result->best_rate);
    printf(
        "{\"workload\":\"B\",\"who\":\"pilaster\",\"skewed\":%s,\"table\":%lld,\"threads\":%d,\"examples_s\":%.0f,"
        "\"best_examples_s\":%.0f,\"least_step_ms\":%.3f,\"loss\":%.5f,\"percent_of_peak\":%.1f,\"best_percent_of_peak\":%.1f}\n",
        skewed ? "true" : "false", (long long)bench->data.table_rows, threads, rate, result->best_rate, 1e3 * result->least,
        result->loss, percent * rate, percent * result->best_rate);
}

static bool measure(struct bench *bench, int count, char **words, pil_status *status)
{
    bool skewed = bench_option(count, words, "--skewed", 0) != 0 || (count > 1 && strcmp(words[count - 1], "--skewed") == 0);
    int64_t steps = bench_option(count, words, "--steps", 200);
    struct threads *threads = threads_new((int)bench_option(count, words, "--threads", 0), status);
    struct pil_graph *graph = graph_new(status);
    struct store *store = store_new(status);
    struct updater_part part = { .group = 0 };
    if (!status_ok(status) || !optimizer_find("adagrad", FLAVOUR_KERAS_LEGACY, &part.optimizer, status) ||
        !make_data(&bench->data, skewed, status))
        return false;
    part.optimizer.options.learning_rate.rate = 0.01;
    for (int w = 0; w < threads_count(threads) && w < (int)COUNT_OF(bench->scratch); w++)
        bench->scratch[w] = mem_block(sort_scratch(BATCH), status);
    for (int b = 0; b < 2; b++)
        for (int t = 0; t < TABLES; t++)
            bench->batches[b].memory[t] = mem_block(sort_memory(BATCH), status);
    struct pil_tensor *loss = build(graph, bench->data.table_rows);
    graph_gradients(graph, loss);
    struct plan *plan = plan_compile(graph, &loss, 1, status);
    struct session *session = plan ? session_new(plan, threads, kernel_get(), 7, status) : NULL;
    struct updater *updater = NULL;
    struct result result = { 0 };
    bool ok = session && bench_declare(store, graph, &part.optimizer, "training/Adagrad", status) &&
              store_initialize(store, 7, threads, status) && bench_bind(session, store, graph, status) &&
              (updater = updater_new(store, &part, 1, threads, kernel_get(), status)) &&
              train(bench, session, updater, threads, steps, &result, status);
    if (ok)
        report(bench, skewed, threads_count(threads), steps, &result);
    updater_free(updater);
    session_free(session);
    plan_free(plan);
    graph_free(graph);
    store_free(store);
    threads_free(threads);
    return ok;
}

int main(int count, char **words)
{
    pil_status status = { 0 };
    static struct bench bench;
    bench.data.rows = bench_option(count, words, "--rows", 400 * BATCH);
    bench.data.table_rows = bench_option(count, words, "--table", 1000000);
    if (!measure(&bench, count, words, &status)) {
        fprintf(stderr, "workload_b: %s\n", status.message);
        return 1;
    }
    return 0;
}
