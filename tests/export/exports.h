/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models by hand for the tests of exports: a wide & deep classifier over columns of every sort, and a network over a raw window.
 * Each has its program, PREDICT graph and a store of fixed noise, the dicts a spec would have, and rows to ask.
 */
#ifndef PILASTER_TESTS_EXPORTS_H
#define PILASTER_TESTS_EXPORTS_H

#include "scratch.h"

#include <time.h>

#include "export/internal.h"
#include "format/format.h"

#define assert_ok(status)                                                                                                        \
    do {                                                                                                                         \
        if (!status_ok(&(status)))                                                                                               \
            fail_msg("%s", (status).message);                                                                                    \
    } while (0)
#define assert_says(status, part)                                                                                                \
    do {                                                                                                                         \
        if (!strstr((status).message, part))                                                                                     \
            fail_msg("'%s' says nothing of '%s'", (status).message, part);                                                       \
    } while (0)

struct hand {
    pil_status status;
    pil_columns *columns;
    struct program *program;
    struct pil_graph *graph;
    struct store *store;
    struct pil_receivers *receivers;
    struct export_request request;
};

/* The disk's own time is not what is tested. */
static inline int hand_sync(int fd)
{
    (void)fd;
    return 0;
}

static inline struct hand hand_new(void)
{
    struct hand hand = { 0 };
    struct file_calls calls = *file_calls();
    calls.sync = hand_sync;
    file_set_calls(&calls);
    hand.columns = pil_columns_new();
    hand.program = program_new(&(struct program_options){ 0 }, &hand.status);
    hand.graph = graph_new(&hand.status);
    hand.store = store_new(&hand.status);
    hand.receivers = receivers_new(&hand.status);
    assert_ok(hand.status);
    return hand;
}

/* The graph is built: the program is finished, variables get noise. */
static inline void hand_finish(struct hand *hand, pil_dict predictions, pil_exports outputs)
{
    uint64_t state = 7;
    assert_ok(*graph_status(hand->graph));
    column_settle(&(struct column_inputs){ hand->program, hand->graph });
    program_finish(hand->program, &hand->status);
    assert_ok(hand->status);
    store_declare(hand->store, "global_step", DTYPE_INT64, SHAPE_SCALAR, STORE_PLAIN, &hand->status);
    for (size_t i = 0; i < graph_variable_count(hand->graph); i++) {
        const struct graph_variable *variable = graph_variable_at(hand->graph, i);
        bool table = strstr(variable->name, "embedding") != NULL;
        struct variable *own = store_declare(hand->store, variable->name, DTYPE_FLOAT32, variable->shape,
                                             table ? STORE_TABLE : STORE_DENSE, &hand->status);
        assert_ok(hand->status);
        own->trainable = true;
        char slot[256];
        snprintf(slot, sizeof slot, "%s/Adagrad", variable->name);
        store_add_slot(hand->store, own, slot, 0.1f, &hand->status);
    }
    assert_true(store_allocate(hand->store, &hand->status));
    for (size_t i = 0; i < store_count(hand->store); i++) {
        struct tensor *value = &store_at(hand->store, i)->value;
        for (int64_t r = 0; value->dtype == DTYPE_FLOAT32 && r < value->rows; r++)
            for (int64_t c = 0; c < value->cols; c++) {
                state = state * 6364136223846793005ull + 1442695040888963407ull;
                tensor_floats(value)[r * value->ld + c] = (float)((double)(state >> 33) / (double)(1u << 31) - 0.5);
            }
    }
    hand->request = (struct export_request){ .graph = hand->graph,
                                             .program = hand->program,
                                             .predictions = predictions,
                                             .outputs = outputs,
                                             .receivers = hand->receivers,
                                             .store = hand->store,
                                             .step = 1234 };
    assert_ok(hand->status);
}

static inline void hand_free(struct hand *hand)
{
    receivers_free(hand->receivers);
    store_free(hand->store);
    graph_free(hand->graph);
    program_free(hand->program);
    pil_columns_free(hand->columns);
}

/* ---- wide & deep --------------------------------------------------------------------------------------------- */

static const char *const hand_words[] = { "on time", "late, \"very\"", "\xC3\xA9" };

static inline void hand_state_field(struct hand *hand, const char *name, enum field_type type, char separator)
{
    program_field(hand->program, &(struct field_spec){ .name = name, .type = type, .separator = separator }, &hand->status);
}

/* Three classes. Inputs: carrier, day, hour, delay, pair (2 numbers), tags (any number of words). */
static inline struct hand hand_wide_deep(void)
{
    static const char *const days[] = { "Mon", "Tue", "Wed" };
    struct hand hand = hand_new();
    pil_columns *c = hand.columns;
    struct pil_graph *g = hand.graph;
    pil_status *status = &hand.status;
    scratch_write(scratch_path("tags.txt"), "red\ngreen\nblue\n", 15);
    pil_column *carrier = pil_categorical_column_with_hash_bucket(c, "carrier", 40);
    pil_column *day = pil_categorical_column_with_vocabulary_list(c, "day", days, 3, .num_oov_buckets = 1);
    pil_column *hour = pil_categorical_column_with_identity(c, "hour", 24);
    pil_column *delay = pil_numeric_column(c, "delay", .normalizer_fn = { .subtract = 3, .divide = 7 });
    pil_column *pair = pil_numeric_column(c, "pair", .shape = { 2 });
    pil_column *tags = pil_categorical_column_with_vocabulary_file(c, "tags", scratch_path("tags.txt"));
    pil_column *keys[] = { day, hour, pil_key(c, "carrier") };
    pil_column *cross = pil_crossed_column(c, ((pil_keys){ keys, 3 }), 100);
    pil_column *deep[] = { pil_embedding_column(c, carrier, 5), pil_embedding_column(c, tags, 3, .combiner = "sqrtn"),
                           pil_indicator_column(c, day), delay, pair };
    pil_column *wide[] = { cross, carrier, hour };
    pil_status made = pil_columns_status(c);
    assert_ok(made);
    hand_state_field(&hand, "pair", FIELD_FLOAT, '|');
    hand_state_field(&hand, "tags", FIELD_STRING, '|');
    program_target(hand.program, &(struct program_target){ .field = "label", .width = 1, .classes = 3 }, status);
    struct column_inputs inputs = { hand.program, g };
    struct pil_tensor *x =
        column_input_layer(&inputs, deep, COUNT_OF(deep), "dnn/input_from_feature_columns/input_layer", status);
    int64_t width = x->type.shape.dims[1];
    struct pil_tensor *hidden =
        graph_op3(g, "matmul", &(struct op_matmul_args){ .bias = true, .activation = ACTIVATION_RELU }, x,
                  graph_variable(g, "dnn/hiddenlayer_0/kernel", SHAPE(width, 18), (pil_initializer){ 0 }, true),
                  graph_variable(g, "dnn/hiddenlayer_0/bias", SHAPE(18), (pil_initializer){ 0 }, true));
    struct pil_tensor *logits = graph_op3(g, "matmul", &(struct op_matmul_args){ .bias = true }, hidden,
                                          graph_variable(g, "dnn/logits/kernel", SHAPE(18, 3), (pil_initializer){ 0 }, true),
                                          graph_variable(g, "dnn/logits/bias", SHAPE(3), (pil_initializer){ 0 }, true));
    logits = graph_op2(g, "add", NULL, logits,
                       column_linear_model(&inputs, wide, COUNT_OF(wide), 3, COMBINER_SUM, "linear/linear_model", status));
    struct pil_tensor *probabilities = graph_op1(g, "softmax", NULL, logits), *ids = graph_op1(g, "argmax", NULL, logits);
    graph_variable(g, "unused", SHAPE(4), (pil_initializer){ 0 }, true);
    struct pil_tensor *all = graph_constant(g, SHAPE(3), (const float[]){ 0, 1, 2 });
    assert_ok(*graph_status(g));
    assert_ok(*status);
    pil_dict predictions =
        PIL_DICT(g, { .name = "logits", .tensor = logits }, { .name = "probabilities", .tensor = probabilities },
                 { .name = "class_ids", .tensor = ids, .integer = true },
                 { .name = "classes", .tensor = ids, .words = hand_words, .word_count = 3 },
                 { .name = "all_classes", .tensor = all, .words = hand_words, .word_count = 3 });
    pil_exports outputs = PIL_EXPORTS(g, { "serving_default", pil_classification_output(probabilities, hand_words, 3) },
                                      { "scores_only", pil_classification_output(probabilities, NULL, 0) });
    pil_receive(hand.receivers, "carrier", PIL_RECEIVE_STRINGS, 1);
    pil_receive(hand.receivers, "day", PIL_RECEIVE_STRINGS, 1);
    pil_receive(hand.receivers, "hour", PIL_RECEIVE_INTS, 1);
    pil_receive(hand.receivers, "delay", PIL_RECEIVE_INTS, 1);
    pil_receive(hand.receivers, "pair", PIL_RECEIVE_FLOATS, 2);
    pil_receive(hand.receivers, "tags", PIL_RECEIVE_STRINGS, 0);
    pil_receive(hand.receivers, "ignored", PIL_RECEIVE_FLOATS, 3);
    hand_finish(&hand, predictions, outputs);
    return hand;
}

enum { HAND_ROWS = 300 };
struct hand_rows {
    const char *carrier[HAND_ROWS], *day[HAND_ROWS], *tags[2 * HAND_ROWS];
    int64_t hour[HAND_ROWS], delay[HAND_ROWS], offsets[HAND_ROWS + 1];
    float pair[2 * HAND_ROWS], ignored[3 * HAND_ROWS];
    pil_request_input inputs[7];
};

static inline void hand_fill_rows(struct hand_rows *rows)
{
    static const char *const carriers[] = { "AA", "UA", "", "a longer name of a carrier", NULL },
                             *const days[] = { "Mon", "Wed", "Fri", "" }, *const tags[] = { "red", "blue", "pink", "", "green" };
    uint64_t state = 3;
    memset(rows, 0, sizeof *rows);
    for (int64_t r = 0; r < HAND_ROWS; r++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        rows->carrier[r] = carriers[(state >> 33) % 5];
        rows->day[r] = days[(state >> 37) % 4];
        rows->hour[r] = (int64_t)((state >> 40) % 24);
        rows->delay[r] = (int64_t)((state >> 45) % 50) - 10;
        rows->pair[2 * r] = (float)((state >> 20) % 100) / 10;
        rows->pair[2 * r + 1] = -0.25f * (float)((state >> 28) % 10);
        rows->offsets[r + 1] = rows->offsets[r] + (int64_t)((state >> 50) % 3);
        for (int64_t e = rows->offsets[r]; e < rows->offsets[r + 1]; e++)
            rows->tags[e] = tags[(state >> (51 + e % 3)) % 5];
    }
    const pil_request_input inputs[] = {
        { "carrier", .strings = rows->carrier }, { "day", .strings = rows->day },
        { "hour", .ints = rows->hour },          { "delay", .ints = rows->delay },
        { "pair", .floats = rows->pair },        { "tags", .strings = rows->tags, .offsets = rows->offsets },
        { "ignored", .floats = rows->ignored }
    };
    memcpy(rows->inputs, inputs, sizeof inputs);
}

static inline pil_request hand_request(const struct hand_rows *rows, const char *signature, int64_t count)
{
    return (pil_request){ .signature = signature, .rows = count, .inputs = rows->inputs, .input_count = 7 };
}

/* ---- a raw window -------------------------------------------------------------------------------------------- */

/* [batch, 9] -> one number. Input: rawdata. */
static inline struct hand hand_window(pil_exports (*outputs)(struct pil_graph *g, struct pil_tensor *y))
{
    struct hand hand = hand_new();
    struct pil_graph *g = hand.graph;
    hand_state_field(&hand, "rawdata", FIELD_FLOAT, '|');
    struct column_inputs inputs = { hand.program, g };
    struct pil_tensor *x = column_dense(&inputs, "rawdata", 9, &hand.status);
    struct pil_tensor *hidden = graph_op2(g, "matmul", &(struct op_matmul_args){ .activation = ACTIVATION_TANH }, x,
                                          graph_variable(g, "kernel", SHAPE(9, 5), (pil_initializer){ 0 }, true));
    struct pil_tensor *y = graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, hidden,
                                     graph_variable(g, "weight", SHAPE(5, 1), (pil_initializer){ 0 }, true));
    pil_receive(hand.receivers, "rawdata", PIL_RECEIVE_FLOATS, 9);
    hand_finish(&hand, PIL_DICT(g, { "predicted", y }), outputs ? outputs(g, y) : (pil_exports){ 0 });
    return hand;
}

/* Exports into a folder of the scratch folder; the path lies in a static buffer. */
static inline const char *hand_export(struct hand *hand, const char *base)
{
    static char paths[8][512];
    static int next;
    struct text text = { 0 };
    char *path = paths[next++ % 8];
    if (!export_write(&hand->request, scratch_path(base), &text, &hand->status))
        fail_msg("%s", hand->status.message);
    snprintf(path, sizeof paths[0], "%s", text.data);
    text_free(&text);
    return path;
}

#endif
