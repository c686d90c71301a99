/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a request takes: the wide & deep classifier of examples/flights and the course's LSTM (9 steps, 3 units), exported and
 * opened, then asked one row at a time, and some more at a time. The median and the 99th hundredth of single calls.
 *
 *     predictor [--calls N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "export/export.h"
#include "model.h"
#include "pilaster/column.h"
#include "pilaster/op.h"
#include "pilaster/rnn.h"

struct made {
    pil_columns *columns;
    struct program *program;
    struct pil_graph *graph;
    struct store *store;
    struct pil_receivers *receivers;
};

static struct made make(pil_status *status)
{
    return (struct made){ pil_columns_new(), program_new(&(struct program_options){ 0 }, status), graph_new(status),
                          store_new(status), receivers_new(status) };
}

static void free_made(struct made *made)
{
    receivers_free(made->receivers);
    store_free(made->store);
    graph_free(made->graph);
    program_free(made->program);
    pil_columns_free(made->columns);
}

/* Finishes, initializes and exports; the predictor, or NULL. */
static pil_predictor *export_and_open(struct made *made, pil_dict predictions, const char *base, pil_status *status)
{
    struct threads *threads = threads_new(1, status);
    struct text path = { 0 };
    column_settle(&(struct column_inputs){ made->program, made->graph });
    bool fine = threads && status_ok(graph_status(made->graph)) && program_finish(made->program, status);
    for (size_t i = 0; fine && i < graph_variable_count(made->graph); i++) {
        const struct graph_variable *variable = graph_variable_at(made->graph, i);
        struct variable *own = store_declare(made->store, variable->name, DTYPE_FLOAT32, variable->shape, STORE_DENSE, status);
        fine = own != NULL;
        if (fine)
            own->initializer = pil_glorot_uniform_initializer();
    }
    fine = fine && store_allocate(made->store, status) && store_initialize(made->store, 7, threads, status);
    struct export_request request = { .graph = made->graph,
                                      .program = made->program,
                                      .predictions = predictions,
                                      .receivers = made->receivers,
                                      .store = made->store };
    pil_predictor *predictor = fine && export_write(&request, base, &path, status) ? pil_predictor_open(path.data, status) : NULL;
    if (!status_ok(graph_status(made->graph)))
        *status = *graph_status(made->graph);
    text_free(&path);
    threads_free(threads);
    return predictor;
}

/* ---- the models ---- */

static struct pil_tensor *dense(struct pil_graph *g, struct pil_tensor *x, const char *name, int64_t units,
                                enum activation activation)
{
    char kernel[64], bias[64];
    snprintf(kernel, sizeof kernel, "%s/kernel", name);
    snprintf(bias, sizeof bias, "%s/bias", name);
    pil_initializer glorot = pil_glorot_uniform_initializer();
    return graph_op3(g, "matmul", &(struct op_matmul_args){ .bias = true, .activation = activation }, x,
                     graph_variable(g, kernel, SHAPE(x->type.shape.dims[1], units), glorot, true),
                     graph_variable(g, bias, SHAPE(units), glorot, true));
}

static pil_column *cross(pil_columns *c, pil_column *a, pil_column *b, int64_t buckets)
{
    pil_column *keys[] = { a, b };
    return pil_crossed_column(c, ((pil_keys){ keys, 2 }), buckets);
}

/* examples/flights/model.yaml. */
static pil_predictor *flights(struct made *made, const char *base, pil_status *status)
{
    static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" }, *const origins[] = { "EWR", "JFK",
                                                                                                                "LGA" };
    pil_columns *c = made->columns;
    struct pil_graph *g = made->graph;
    pil_column *weekday = pil_categorical_column_with_vocabulary_list(c, "weekday", days, 7);
    pil_column *month = pil_categorical_column_with_identity(c, "month", 13),
               *hour = pil_categorical_column_with_identity(c, "sched_hour", 24);
    pil_column *origin = pil_categorical_column_with_vocabulary_list(c, "origin", origins, 3);
    pil_column *carrier = pil_categorical_column_with_hash_bucket(c, "carrier", 100),
               *dest = pil_categorical_column_with_hash_bucket(c, "dest", 500);
    pil_column *tailnum = pil_categorical_column_with_hash_bucket(c, "tailnum", 5000);
    pil_column *distance = pil_numeric_column(c, "distance", .normalizer_fn = { .divide = 1000 });
    pil_column *weekday_hour = cross(c, weekday, hour, 672), *route = cross(c, origin, pil_key(c, "dest"), 1000);
    pil_column *carrier_hour = cross(c, pil_key(c, "carrier"), hour, 1000);
    pil_column *carrier_dest = cross(c, pil_key(c, "carrier"), pil_key(c, "dest"), 2000),
               *month_hour = cross(c, month, hour, 1000);
    pil_column *wide[] = { weekday, hour,         month, origin,       carrier,      dest,
                           tailnum, weekday_hour, route, carrier_hour, carrier_dest, month_hour };
    pil_column *deep[] = { pil_embedding_column(c, weekday_hour, 4),
                           pil_embedding_column(c, route, 8),
                           pil_embedding_column(c, tailnum, 8),
                           pil_embedding_column(c, carrier, 4),
                           pil_embedding_column(c, month_hour, 4),
                           pil_embedding_column(c, dest, 4),
                           distance };
    struct column_inputs inputs = { made->program, g };
    struct pil_tensor *x = column_input_layer(&inputs, deep, COUNT_OF(deep), "dnn/input_layer", status);
    x = dense(g, dense(g, x, "dnn/hiddenlayer_0", 64, ACTIVATION_RELU), "dnn/hiddenlayer_1", 32, ACTIVATION_RELU);
    struct pil_tensor *logits = dense(g, x, "dnn/logits", 1, ACTIVATION_LINEAR);
    logits =
        graph_op2(g, "add", NULL, logits, column_linear_model(&inputs, wide, COUNT_OF(wide), 1, COMBINER_SUM, "linear", status));
    struct pil_tensor *logistic = graph_op1(g, "activation", &(struct op_activation_args){ ACTIVATION_SIGMOID }, logits);
    static const char *const words[] = { "weekday", "origin", "carrier", "dest", "tailnum" }, *const numbers[] = { "month",
                                                                                                                   "sched_hour",
                                                                                                                   "distance" };
    for (size_t i = 0; i < COUNT_OF(words); i++)
        pil_receive(made->receivers, words[i], PIL_RECEIVE_STRINGS, 1);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        pil_receive(made->receivers, numbers[i], PIL_RECEIVE_INTS, 1);
    return export_and_open(made, PIL_DICT(g, { "logits", logits }, { "logistic", logistic }), base, status);
}

/* The course's model function, over a raw window. */
static pil_predictor *sinewave(struct made *made, const char *base, pil_status *status)
{
    enum { STEPS = 9 };
    struct pil_graph *g = made->graph;
    struct pil_tensor *steps[STEPS], *outputs[STEPS];
    program_field(made->program, &(struct field_spec){ .name = "rawdata", .type = FIELD_FLOAT, .separator = '|' }, status);
    pil_split(g, column_dense(&(struct column_inputs){ made->program, g }, "rawdata", STEPS, status), STEPS, 1, steps);
    pil_static_rnn(g, pil_basic_lstm_cell(g, 3), steps, STEPS, outputs);
    struct pil_tensor *y = dense(g, outputs[STEPS - 1], "last", 1, ACTIVATION_LINEAR);
    pil_receive(made->receivers, "rawdata", PIL_RECEIVE_FLOATS, STEPS);
    return export_and_open(made, PIL_DICT(g, { "predicted", y }), base, status);
}

/* ---- asking ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

static bool ask(const char *name, pil_predictor *predictor, pil_request request, int64_t calls, pil_status *status)
{
    pil_prediction result = { 0 };
    double *times = calloc((size_t)calls, sizeof *times);
    bool fine = times && pil_predictor_run(predictor, &request, &result, status);
    for (int64_t i = 0; fine && i < calls; i++) {
        double start = now();
        fine = pil_predictor_run(predictor, &request, &result, status);
        times[i] = now() - start;
    }
    if (fine) {
        qsort(times, (size_t)calls, sizeof *times, by_size);
        printf("%-10s %4lld rows   p50 %7.2f us   p99 %7.2f us   %7.3f us a row\n", name, (long long)request.rows,
               times[calls / 2], times[calls - 1 - calls / 100], times[calls / 2] / (double)request.rows);
    }
    free(times);
    return fine;
}

enum { ROWS = 256 };
static struct {
    const char *weekday[ROWS], *origin[ROWS], *carrier[ROWS], *dest[ROWS], *tailnum[ROWS];
    int64_t month[ROWS], hour[ROWS], distance[ROWS];
    float window[9 * ROWS];
} rows;

static void fill_rows(void)
{
    static const char *const days[] = { "Mon", "Fri", "Sun" }, *const origins[] = { "EWR", "JFK" },
                             *const carriers[] = { "EV", "DL", "UA", "B6" },
                             *const dests[] = { "ORD", "ATL", "LAX", "BOS", "SFO" },
                             *const tails[] = { "N14573", "N326NB", "N11119", "N24211" };
    for (int i = 0; i < ROWS; i++) {
        rows.weekday[i] = days[i % 3];
        rows.origin[i] = origins[i % 2];
        rows.carrier[i] = carriers[i % 4];
        rows.dest[i] = dests[i % 5];
        rows.tailnum[i] = tails[i / 3 % 4];
        rows.month[i] = 1 + i % 12;
        rows.hour[i] = i % 24;
        rows.distance[i] = 100 * (i % 20);
        for (int t = 0; t < 9; t++)
            rows.window[9 * i + t] = (float)((i + t) % 7) / 7;
    }
}

static bool measure(const char *base, int64_t calls, pil_status *status)
{
    static const int64_t sizes[] = { 1, 16, ROWS };
    struct made wide_deep = make(status), lstm = make(status);
    pil_predictor *first = flights(&wide_deep, base, status), *second = first ? sinewave(&lstm, base, status) : NULL;
    bool fine = first && second;
    for (size_t s = 0; fine && s < COUNT_OF(sizes); s++) {
        pil_request flight = { PIL_INPUTS({ "weekday", .strings = rows.weekday }, { "origin", .strings = rows.origin },
                                          { "carrier", .strings = rows.carrier }, { "dest", .strings = rows.dest },
                                          { "tailnum", .strings = rows.tailnum }, { "month", .ints = rows.month },
                                          { "sched_hour", .ints = rows.hour }, { "distance", .ints = rows.distance }),
                               .rows = sizes[s] };
        pil_request window = { PIL_INPUTS({ "rawdata", .floats = rows.window }), .rows = sizes[s] };
        fine = ask("flights", first, flight, calls / sizes[s] + 100, status) &&
               ask("sinewave", second, window, calls / sizes[s] + 100, status);
    }
    pil_predictor_close(first);
    pil_predictor_close(second);
    free_made(&wide_deep);
    free_made(&lstm);
    return fine;
}

int main(int count, char **words)
{
    pil_status status = { 0 };
    char base[] = "/tmp/pilaster-bench-XXXXXX";
    fill_rows();
    if (!mkdtemp(base))
        return 1;
    bool fine = measure(base, bench_option(count, words, "--calls", 20000), &status);
    if (!fine)
        fprintf(stderr, "predictor: %s\n", status.message);
    file_remove_folder(base, &(pil_status){ 0 });
    return !fine;
}
