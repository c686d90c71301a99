/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workload D in memory: texts of 80 words as token ids (20,000 words, as frequent as 1 / rank), Embedding 256, LSTM 128, dropout
 * 0.5, one unit; binary cross-entropy, RMSprop 0.001 as Keras's newer class computes it. Graph, store, session and updater as
 * in `pilaster train`.
 *
 * The rule that is planted: words from rank 10 on come in pairs, and of a pair a text of class 1 uses the second with probability
 * 0.7, one of class 0 the first. Who knows the rule tells 99.9 % of the texts apart. With --mask texts have 20 to 80 words behind
 * zeros, and the layer leaves these out.
 *
 *     workload_d [--batch N] [--steps N] [--threads N] [--mask] [--profile] [--write FILE]
 *
 * --write: the data alone, for the peers: int32 rows and length, ids int32 [rows, length], labels float32 [rows].
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "model.h"
#include "pilaster/op.h"
#include "probe.h"
#include "store/store.h"
#include "train/train.h"

enum { WORDS = 20000, TIME = 80, FEATURES = 256, HIDDEN = 128, PLAIN = 10, LEAST = 20 };
enum { ROWS = 16384, EVAL_ROWS = 2048, WARM_UP = 5, WINDOWS = 10 };

struct data {
    int32_t *ids; /* [ROWS + EVAL_ROWS, TIME] */
    float *labels;
};

/* ---- data, deterministic ---- */

static int32_t word_of(double u, double coin, bool label, const double *below)
{
    int64_t low = 1, high = WORDS - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (u < below[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return (int32_t)(low < PLAIN || low == WORDS - 1 ? low : (low & ~(int64_t)1) + ((coin < 0.7) == label));
}

static bool make_data(struct data *data, bool mask, pil_status *status)
{
    const struct random_key key = random_key(7, "texts");
    const int64_t rows = ROWS + EVAL_ROWS;
    static double below[WORDS]; /* the probability of a word up to this one */
    double sum = 0;
    for (int w = 1; w < WORDS; w++)
        below[w] = sum += 1.0 / w;
    data->ids = mem_block((size_t)(rows * TIME) * sizeof *data->ids, status);
    data->labels = mem_block((size_t)rows * sizeof *data->labels, status);
    if (!status_ok(status))
        return false;
    for (int64_t r = 0; r < rows; r++) {
        const bool label = random_uniform(key, 0, (uint64_t)r) < 0.5f;
        const int64_t length = mask ? LEAST + (int64_t)(random_uniform(key, 1, (uint64_t)r) * (float)(TIME - LEAST + 1)) : TIME;
        data->labels[r] = label;
        for (int64_t t = 0; t < TIME; t++) {
            uint32_t bits[4];
            random_bits(key, 2, (uint64_t)(r * TIME + t), bits);
            data->ids[r * TIME + t] =
                t < TIME - length ? 0 : word_of(bits[0] / 4294967296.0 * sum, bits[1] / 4294967296.0, label, below);
        }
    }
    return true;
}

static bool write_data(const struct data *data, const char *path)
{
    const int32_t sizes[] = { ROWS + EVAL_ROWS, TIME };
    const size_t rows = ROWS + EVAL_ROWS;
    FILE *file = fopen(path, "wb");
    bool ok = file && fwrite(sizes, sizeof sizes, 1, file) == 1 &&
              fwrite(data->ids, sizeof(int32_t), rows * TIME, file) == rows * TIME &&
              fwrite(data->labels, sizeof(float), rows, file) == rows;
    return (!file || fclose(file) == 0) && ok;
}

/* ---- the model ---- */

static struct pil_tensor *build_logits(struct pil_graph *graph, bool mask, bool training)
{
    const pil_initializer glorot = pil_glorot_uniform_initializer(), orthogonal = pil_orthogonal_initializer(1), zeros = { 0 },
                          uniform = pil_random_uniform_initializer(-0.05f, 0.05f);
    const struct op_rnn_args lstm = { .cell = RNN_LSTM,
                                      .hidden = HIDDEN,
                                      .activation = ACTIVATION_TANH,
                                      .recurrent = ACTIVATION_SIGMOID,
                                      .keras_order = true,
                                      .forget_bias = 1,
                                      .bias = true,
                                      .ends = mask ? RNN_ENDS_MASK : RNN_ENDS_NEVER };
    struct pil_tensor *ids = graph_input(graph, "ids", DTYPE_INT32, SHAPE(BATCH_DIM, TIME), false);
    struct pil_tensor *table = graph_variable(graph, "embedding/embeddings", SHAPE(WORDS, FEATURES), uniform, true);
    struct pil_tensor *inputs[] = { pil_embedding_lookup(graph, table, ids),
                                    graph_variable(graph, "lstm/lstm_cell/kernel", SHAPE(FEATURES, 4 * HIDDEN), glorot, true),
                                    graph_variable(graph, "lstm/lstm_cell/recurrent_kernel", SHAPE(HIDDEN, 4 * HIDDEN),
                                                   orthogonal, true),
                                    graph_variable(graph, "lstm/lstm_cell/bias", SHAPE(4 * HIDDEN), zeros, true), ids };
    struct pil_tensor *last = graph_op(graph, "rnn", &lstm, inputs, mask ? 5 : 4, NULL);
    struct pil_tensor *dropped = pil_nn_dropout(graph, last, .rate = 0.5f, .training = training);
    return graph_op3(graph, "matmul", &(struct op_matmul_args){ .bias = true }, dropped,
                     graph_variable(graph, "dense/kernel", SHAPE(HIDDEN, 1), glorot, true),
                     graph_variable(graph, "dense/bias", SHAPE(1), zeros, true));
}

static struct pil_tensor *build_loss(struct pil_graph *graph, bool mask)
{
    struct pil_tensor *logits = build_logits(graph, mask, true);
    struct pil_tensor *labels = graph_input(graph, "labels", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 1), false);
    return loss_reduce(graph, graph_op2(graph, "sigmoid_cross_entropy", NULL, logits, labels), NULL,
                       REDUCTION_SUM_OVER_BATCH_SIZE);
}

/* ---- runs ---- */

struct bench {
    struct data data;
    struct threads *threads;
    struct store *store;
    int64_t batch, steps;
    bool mask, profile;
    double rate, best, loss, accuracy;
};

static void bind_rows(const struct bench *bench, struct session *session, int64_t first, int64_t rows)
{
    struct tensor ids = { .data = bench->data.ids + first * TIME,
                          .dtype = DTYPE_INT32,
                          .shape = SHAPE(rows, TIME),
                          .rows = rows,
                          .cols = TIME,
                          .ld = TIME };
    struct tensor labels = {
        .data = bench->data.labels + first, .dtype = DTYPE_FLOAT32, .shape = SHAPE(rows, 1), .rows = rows, .cols = 1, .ld = 1
    };
    session_input(session, "ids", &(struct op_value){ .tensor = ids });
    session_input(session, "labels", &(struct op_value){ .tensor = labels });
}

static bool train(struct bench *bench, struct session *session, struct updater *updater, pil_status *status)
{
    const int64_t window_steps = MAX(bench->steps / WINDOWS, 1), batches = ROWS / bench->batch;
    double start = 0, window = 0, sum = 0;
    for (int64_t step = -WARM_UP; step < bench->steps; step++) {
        if (step == 0)
            start = window = bench_seconds();
        bind_rows(bench, session, (step + WARM_UP) % batches * bench->batch, bench->batch);
        if (!session_run(session, bench->batch, step + WARM_UP, NULL, 0, status) ||
            !updater_apply(updater, session, step + WARM_UP, status))
            return false;
        sum += session_scalar(session, 0);
        if (step >= 0 && step % window_steps == window_steps - 1) {
            double now = bench_seconds();
            bench->best = fmax(bench->best, (double)(window_steps * bench->batch) / (now - window));
            bench->loss = sum / (double)window_steps;
            window = now;
        }
        if (step < 0 || step % window_steps == window_steps - 1)
            sum = 0;
    }
    bench->rate = (double)(bench->steps * bench->batch) / (bench_seconds() - start);
    return true;
}

static bool run_training(struct bench *bench, pil_status *status)
{
    struct updater_part part = { .group = 0 };
    struct pil_graph *graph = graph_new(status);
    if (!graph || !optimizer_find("rmsprop", FLAVOUR_KERAS, &part.optimizer, status))
        return false;
    part.optimizer.options.learning_rate.rate = 0.001;
    struct pil_tensor *loss = build_loss(graph, bench->mask);
    graph_gradients(graph, loss);
    struct plan *plan = plan_compile(graph, &loss, 1, status);
    struct session *session = plan ? session_new(plan, bench->threads, kernel_get(), 7, status) : NULL;
    struct updater *updater = NULL;
    bool ok = session && (!bench->profile || session_profile(session, status)) &&
              bench_declare(bench->store, graph, &part.optimizer, NULL, status) &&
              store_initialize(bench->store, 7, bench->threads, status) && bench_bind(session, bench->store, graph, status) &&
              (updater = updater_new(bench->store, &part, 1, bench->threads, kernel_get(), status)) &&
              train(bench, session, updater, status);
    struct text text = { 0 };
    if (ok && bench->profile) {
        session_profile_text(session, &text);
        printf("%s\n", text.data);
    }
    text_free(&text);
    updater_free(updater);
    session_free(session);
    plan_free(plan);
    graph_free(graph);
    return ok;
}

/* The share of the rows kept apart whose logit has the label's sign. */
static bool run_evaluation(struct bench *bench, pil_status *status)
{
    struct pil_graph *graph = graph_new(status);
    if (!graph)
        return false;
    struct pil_tensor *logits = build_logits(graph, bench->mask, false);
    struct plan *plan = plan_compile(graph, &logits, 1, status);
    struct session *session = plan ? session_new(plan, bench->threads, kernel_get(), 7, status) : NULL;
    bool ok = session && bench_bind(session, bench->store, graph, status);
    int64_t right = 0;
    for (int64_t row = ROWS; ok && row < ROWS + EVAL_ROWS; row += 128) {
        bind_rows(bench, session, row, 128);
        ok = session_run(session, 128, 0, NULL, 0, status);
        const struct tensor *out = &session_fetch(session, 0)->tensor;
        for (int64_t r = 0; ok && r < 128; r++)
            right += (tensor_floats(out)[r * out->ld] > 0) == (bench->data.labels[row + r] > 0);
    }
    bench->accuracy = (double)right / EVAL_ROWS;
    session_free(session);
    plan_free(plan);
    graph_free(graph);
    return ok;
}

static void report(const struct bench *bench)
{
    /* Products alone count: forward, by x and h, by the kernels; no h comes before the first step. Steps left out count too. */
    const int threads = threads_count(bench->threads);
    const double flops = 2.0 * 3 * 4 * HIDDEN * (TIME * (FEATURES + HIDDEN) - HIDDEN),
                 peak = bench_peak(kernel_get()->level, 0.3) * threads;
    const double percent = 100 * bench->rate * flops / peak, best = 100 * bench->best * flops / peak;
    printf("D in memory, batch %lld, %s, %d threads, level %s\n", (long long)bench->batch, bench->mask ? "masked" : "no mask",
           threads, kernel_get()->level);
    printf("  %.0f examples/s, %.1f %% of %.0f GFLOP/s   best window %.0f, %.1f %%   loss %.4f   accuracy %.4f\n", bench->rate,
           percent, 1e-9 * peak, bench->best, best, bench->loss, bench->accuracy);
    printf("{\"workload\":\"D\",\"who\":\"pilaster\",\"batch\":%lld,\"mask\":%s,\"threads\":%d,\"examples_s\":%.1f,"
           "\"best_examples_s\":%.1f,\"loss\":%.4f,\"accuracy\":%.4f,\"percent_of_peak\":%.1f,\"best_percent_of_peak\":%.1f}\n",
           (long long)bench->batch, bench->mask ? "true" : "false", threads, bench->rate, bench->best, bench->loss,
           bench->accuracy, percent, best);
}

int main(int count, char **words)
{
    pil_status status = { 0 };
    struct bench bench = { .batch = bench_option(count, words, "--batch", 128),
                           .mask = bench_option(count, words, "--mask", 0) != 0,
                           .profile = bench_option(count, words, "--profile", 0) != 0 };
    bench.steps = bench_option(count, words, "--steps", 100);
    const char *path = count > 2 && strcmp(words[count - 2], "--write") == 0 ? words[count - 1] : NULL;
    bool ok = make_data(&bench.data, bench.mask, &status);
    if (ok && path)
        ok = write_data(&bench.data, path) || status_fail(&status, PIL_BAD_DATA, "cannot write %s", path);
    else if (ok)
        ok = (bench.threads = threads_new((int)bench_option(count, words, "--threads", 0), &status)) &&
             (bench.store = store_new(&status)) && run_training(&bench, &status) && run_evaluation(&bench, &status);
    if (ok && !path)
        report(&bench);
    store_free(bench.store);
    threads_free(bench.threads);
    mem_free(bench.data.ids);
    mem_free(bench.data.labels);
    if (!ok)
        fprintf(stderr, "workload_d: %s\n", status.message);
    return ok ? 0 : 1;
}
