/* SPDX-License-Identifier: Apache-2.0 */
/* Predictors: the session's bits, at any number of rows and threads; no allocation after a first run; every request that is
 * wrong is told; every allocation fails once. */
#include "failing.h"
#include "exports.h"

#include "pilaster/op.h"
#include "pilaster/rnn.h"

#include <pthread.h>

/* ---- the session's bits -------------------------------------------------------------------------------------- */

/* What the model itself gives for the rows, without any export. */
struct reference {
    struct plan *plan;
    struct threads *threads;
    struct session *session;
    struct program_scratch *scratch;
    struct fields *fields;
    struct records records;
    struct record_batch *batch;
};

static void reference_fields(struct reference *reference, struct hand *hand, const pil_request *request)
{
    size_t count;
    const struct field_spec *specs = program_fields(hand->program, &count);
    reference->fields = fields_new(specs, count, &hand->status);
    for (size_t f = 0; f < count; f++) {
        reference->fields->fields[f].absent = !specs[f].required;
        for (size_t i = 0; i < request->input_count; i++) {
            const pil_request_input *input = &request->inputs[i];
            struct field_values values = { .rows = request->rows,
                                           .width = strcmp(input->name, "pair") == 0      ? 2
                                                    : strcmp(input->name, "rawdata") == 0 ? 9
                                                                                          : 1,
                                           .splits = input->offsets };
            if (strcmp(input->name, specs[f].name) != 0)
                continue;
            values.type = input->floats ? FIELD_FLOAT : input->ints ? FIELD_INT64 : FIELD_STRING;
            values.values = input->floats ? (const void *)input->floats
                            : input->ints ? (const void *)input->ints
                                          : (const void *)input->strings;
            assert_true(fields_put(reference->fields, f, &values, &hand->status));
        }
    }
    assert_true(fields_end_rows(reference->fields, request->rows, 1, &hand->status));
}

static struct reference reference_run(struct hand *hand, const pil_request *request, struct pil_tensor *const *fetches,
                                      size_t count, int threads)
{
    struct reference reference = { 0 };
    pil_status *status = &hand->status;
    reference.plan = plan_compile(hand->graph, fetches, count, status);
    reference.threads = threads_new(threads, status);
    reference.session = session_new(reference.plan, reference.threads, kernel_get(), 5, status);
    for (size_t i = 0; i < graph_variable_count(hand->graph); i++) {
        const struct graph_variable *variable = graph_variable_at(hand->graph, i);
        struct session_variable where = { store_find(hand->store, variable->name)->value, -1, -1 };
        assert_true(session_bind(reference.session, variable, &where, status));
    }
    reference_fields(&reference, hand, request);
    reference.scratch = program_scratch_new(hand->program, status);
    records_init(&reference.records, hand->program, status);
    program_run(hand->program, reference.fields, 0, request->rows, reference.scratch, &reference.records, status);
    assert_ok(*status);
    reference.batch = record_batch_new(hand->program, status);
    const struct batch *batch = record_batch_fill(reference.batch, &reference.records, status);
    column_bind(reference.session, batch, program_feature_count(hand->program));
    session_run(reference.session, request->rows, 0, NULL, 0, status);
    assert_ok(*status);
    return reference;
}

static void reference_free(struct reference *reference)
{
    record_batch_free(reference->batch);
    records_free(&reference->records);
    program_scratch_free(reference->scratch);
    fields_free(reference->fields);
    session_free(reference->session);
    threads_free(reference->threads);
    plan_free(reference->plan);
}

static void same_floats(const pil_output *output, const struct tensor *want)
{
    assert_int_equal(output->rows, want->rows);
    assert_int_equal(output->width, want->cols);
    for (int64_t r = 0; r < want->rows; r++)
        assert_memory_equal(output->floats + r * output->width, tensor_floats(want) + r * want->ld,
                            (size_t)want->cols * sizeof(float));
}

static void test_same_bits(void **state)
{
    static const int64_t sizes[] = { 1, 2, 65, HAND_ROWS };
    struct hand hand = hand_wide_deep();
    struct hand_rows *rows = malloc(sizeof *rows);
    pil_status status;
    (void)state;
    hand_fill_rows(rows);
    pil_predictor *predictor = pil_predictor_open(hand_export(&hand, "bits"), &status);
    assert_ok(status);
    pil_prediction result = { 0 };
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        pil_request request = hand_request(rows, "predict", sizes[s]);
        struct pil_tensor *fetches[] = { hand.request.predictions.items[0].tensor, hand.request.predictions.items[1].tensor,
                                         hand.request.predictions.items[2].tensor };
        struct reference reference = reference_run(&hand, &request, fetches, 3, 2);
        size_t count;
        pil_predictor_run(predictor, &request, &result, &status);
        assert_ok(status);
        const pil_output *outputs = pil_predictor_outputs(&result, NULL, &count);
        assert_int_equal(count, 5);
        for (size_t o = 0; o < 3; o++)
            same_floats(&outputs[o], &session_fetch(reference.session, o)->tensor);
        for (int64_t r = 0; r < sizes[s]; r++) {
            int64_t id = (int64_t)outputs[2].floats[r];
            assert_int_equal(outputs[2].ints[r], id);
            assert_string_equal(outputs[3].strings[r], hand_words[id]);
            for (int64_t c = 0; c < 3; c++)
                assert_string_equal(outputs[4].strings[3 * r + c], hand_words[c]);
        }
        assert_null(outputs[0].ints);
        assert_null(outputs[0].strings);
        assert_ptr_equal(pil_predictor_outputs(&result, "probabilities", NULL), &outputs[1]);
        assert_null(pil_predictor_outputs(&result, "probability", NULL));
        reference_free(&reference);
    }
    pil_predictor_close(predictor);
    free(rows);
    hand_free(&hand);
}

/* The course's model function: steps cut from a window, an LSTM over them, its last output to one number. */
static void test_recurrent(void **state)
{
    enum { STEPS = 9, ROWS = 70 };
    static float series[STEPS * ROWS];
    struct hand hand = hand_new();
    struct pil_graph *g = hand.graph;
    struct pil_tensor *steps[STEPS], *outputs[STEPS];
    pil_status status;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(series); i++)
        series[i] = (float)(i % 23) / 11 - 1;
    hand_state_field(&hand, "rawdata", FIELD_FLOAT, '|');
    pil_split(g, column_dense(&(struct column_inputs){ hand.program, g }, "rawdata", STEPS, &hand.status), STEPS, 1, steps);
    pil_static_rnn(g, pil_basic_lstm_cell(g, 3), steps, STEPS, outputs);
    struct pil_tensor *y = pil_add(g,
                                   graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, outputs[STEPS - 1],
                                             pil_variable(g, "weight", pil_random_normal(g, PIL_SHAPE(3, 1)))),
                                   pil_variable(g, "bias", pil_random_normal(g, PIL_SHAPE(1))));
    pil_receive(hand.receivers, "rawdata", PIL_RECEIVE_FLOATS, STEPS);
    hand_finish(&hand, PIL_DICT(g, { "predicted", y }),
                PIL_EXPORTS(g, { "regression_export_outputs", pil_regression_output(y) }));
    pil_predictor *predictor = pil_predictor_open(hand_export(&hand, "recurrent"), &status);
    assert_ok(status);
    pil_prediction result = { 0 };
    pil_request request = { PIL_INPUTS({ "rawdata", .floats = series }), .rows = ROWS };
    struct reference reference = reference_run(&hand, &request, &y, 1, 2);
    assert_true(pil_predictor_run(predictor, &request, &result, &status));
    same_floats(pil_predictor_outputs(&result, "outputs", NULL), &session_fetch(reference.session, 0)->tensor);
    request.signature = "predict";
    assert_true(pil_predictor_run(predictor, &request, &result, &status));
    same_floats(pil_predictor_outputs(&result, "predicted", NULL), &session_fetch(reference.session, 0)->tensor);
    reference_free(&reference);
    pil_predictor_close(predictor);
    hand_free(&hand);
}

static void test_signatures(void **state)
{
    struct hand hand = hand_wide_deep();
    struct hand_rows *rows = malloc(sizeof *rows);
    pil_status status;
    (void)state;
    hand_fill_rows(rows);
    pil_predictor *predictor = pil_predictor_open(hand_export(&hand, "signatures"), &status);
    assert_ok(status);
    const pil_signature *first = pil_predictor_describe(predictor, 0), *second = pil_predictor_describe(predictor, 1);
    assert_string_equal(first->name, "serving_default");
    assert_string_equal(first->method, "classify");
    assert_int_equal(first->input_count, 7);
    assert_string_equal(first->inputs[5].name, "tags");
    assert_string_equal(first->inputs[5].dtype, "string");
    assert_int_equal(first->inputs[5].width, 0);
    assert_int_equal(first->output_count, 2);
    assert_string_equal(first->outputs[0].name, "classes");
    assert_string_equal(first->outputs[0].dtype, "string");
    assert_int_equal(first->outputs[0].width, 3);
    assert_string_equal(first->outputs[1].dtype, "float32");
    assert_string_equal(second->name, "scores_only");
    assert_string_equal(pil_predictor_describe(predictor, 2)->name, "predict");
    assert_string_equal(pil_predictor_describe(predictor, 2)->outputs[2].dtype, "int64");
    assert_null(pil_predictor_describe(predictor, 3));

    pil_prediction result = { 0 };
    pil_request request = hand_request(rows, NULL, 4);
    assert_true(pil_predictor_run(predictor, &request, &result, &status));
    const pil_output *classes = pil_predictor_outputs(&result, "classes", NULL);
    assert_int_equal(classes->rows, 4);
    assert_string_equal(classes->strings[3 * 3 + 1], hand_words[1]);
    request.signature = "scores_only";
    assert_true(pil_predictor_run(predictor, &request, &result, &status));
    assert_string_equal(pil_predictor_outputs(&result, "classes", NULL)->strings[4], "1");
    request.signature = "score_only";
    assert_false(pil_predictor_run(predictor, &request, &result, &status));
    assert_says(status, "no signature 'score_only'");
    assert_says(status, "serving_default, scores_only, predict");
    assert_null(pil_predictor_outputs(&result, NULL, NULL));
    pil_predictor_close(predictor);
    free(rows);
    hand_free(&hand);
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

static const float window[18] = { 0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f, 0.7f, 0.8f, 0.9f };
static const int64_t ascending[] = { 0, 0, 2 }, falling[] = { 0, 2, 1 }, negative[] = { -1, 0, 0 };
static const char *const two[] = { "red", "blue" };

static const struct wrong {
    const char *says;
    int input; /* of the request's; it becomes */
    pil_request_input with;
    int64_t rows; /* 0: two */
    int drop;     /* 1: the request has one input less */
} wrongs[] = {
    { "the model takes no input 'carier'; did you mean 'carrier'?", 0, { "carier", .strings = two }, 0, 0 },
    { "the input 'carrier' is missing", 0, { "ignored", .floats = window }, 0, 1 },
    { "the input 'day' is given twice", 0, { "day", .strings = two }, 0, 0 },
    { "the input 'hour' is int64, and float32 is given", 2, { "hour", .floats = window }, 0, 0 },
    { "the input 'hour' is int64, and string is given", 2, { "hour", .strings = two }, 0, 0 },
    { "the input 'hour' has no values", 2, { "hour" }, 0, 0 },
    { "the input 'hour' is given as two types", 2, { "hour", .ints = ascending, .floats = window }, 0, 0 },
    { "the input 'hour' has offsets", 2, { "hour", .ints = ascending, .offsets = ascending }, 0, 0 },
    { "the input 'tags' takes any number of values a row: its offsets are missing", 5, { "tags", .strings = two }, 0, 0 },
    { "the input 'tags': its offsets do not ascend at row 2", 5, { "tags", .strings = two, .offsets = falling }, 0, 0 },
    { "the input 'tags': its offsets begin below 0", 5, { "tags", .strings = two, .offsets = negative }, 0, 0 },
    { "the input 'tags' has no values", 5, { "tags", .offsets = ascending }, 0, 0 },
    { "an input has no name", 5, { NULL, .strings = two }, 0, 0 },
    { "row 2: field 'hour'", 2, { "hour", .ints = (const int64_t[]){ 3, 24 } }, 0, 0 },
    { "a request has -1 rows", 2, { "hour", .ints = ascending }, -1, 0 },
    { "a request has 2147483648 rows", 2, { "hour", .ints = ascending }, INT64_C(2147483648), 0 },
};

static void test_wrong_requests(void **state)
{
    struct hand hand = hand_wide_deep();
    struct hand_rows *rows = malloc(sizeof *rows), *own = malloc(sizeof *own);
    pil_status status;
    (void)state;
    hand_fill_rows(rows);
    pil_predictor *predictor = pil_predictor_open(hand_export(&hand, "wrong"), &status);
    assert_ok(status);
    pil_prediction result = { 0 };
    for (size_t i = 0; i < COUNT_OF(wrongs); i++) {
        const struct wrong *wrong = &wrongs[i];
        memcpy(own, rows, sizeof *own);
        own->inputs[wrong->input] = wrong->with;
        pil_request request = { .rows = wrong->rows ? wrong->rows : 2,
                                .inputs = own->inputs,
                                .input_count = 7 - (size_t)wrong->drop };
        if (pil_predictor_run(predictor, &request, &result, &status))
            fail_msg("case %zu ran", i);
        assert_says(status, wrong->says);
        assert_null(pil_predictor_outputs(&result, NULL, NULL));
    }
    pil_request request = hand_request(rows, NULL, 2);
    request.inputs = NULL;
    assert_false(pil_predictor_run(predictor, &request, &result, &status));
    assert_says(status, "inputs, which are missing");
    assert_false(pil_predictor_run(NULL, &request, &result, &status)); /* an open whose status nobody looked at */
    assert_says(status, "the predictor is NULL");
    assert_null(pil_predictor_describe(NULL, 0));
    assert_false(pil_predictor_run(predictor, NULL, &result, &status));
    assert_says(status, "the request is NULL");
    assert_false(pil_predictor_run(predictor, &request, NULL, &status));
    assert_says(status, "the prediction is NULL");
    request = hand_request(rows, NULL, 2); /* and after all that it runs */
    assert_true(pil_predictor_run(predictor, &request, &result, &status));
    assert_int_equal(status.code, PIL_OK);

    struct hand other = hand_window(NULL);
    pil_predictor *another = pil_predictor_open(hand_export(&other, "other"), &status);
    assert_ok(status);
    request = (pil_request){ PIL_INPUTS({ "rawdata", .floats = window }), .rows = 2 };
    assert_false(pil_predictor_run(another, &request, &result, &status));
    assert_says(status, "belongs to another predictor");
    pil_predictor_close(another);
    hand_free(&other);
    pil_predictor_close(predictor);
    free(rows);
    free(own);
    hand_free(&hand);
}

static void test_rows_of_every_number(void **state)
{
    static float many[9 * 5000];
    struct hand hand = hand_window(NULL);
    pil_status status;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(many); i++)
        many[i] = (float)(i % 17) / 17;
    pil_predictor *predictor = pil_predictor_open(hand_export(&hand, "window"), &status);
    assert_ok(status);
    pil_prediction none = { 0 }, result = { 0 }, single = { 0 };
    pil_request request = { PIL_INPUTS({ "rawdata", .floats = many }), .rows = 0 };
    assert_true(pil_predictor_run(predictor, &request, &none, &status));
    const pil_output *y = pil_predictor_outputs(&none, "predicted", NULL);
    assert_int_equal(y->rows, 0);
    assert_int_equal(y->width, 1);
    request.rows = 5000;
    assert_true(pil_predictor_run(predictor, &request, &result, &status));
    y = pil_predictor_outputs(&result, "predicted", NULL);
    assert_int_equal(y->rows, 5000);
    for (int64_t r = 0; r < 5000; r += 777) { /* a row has the same bits in any company */
        request = (pil_request){ PIL_INPUTS({ "rawdata", .floats = many + 9 * r }), .rows = 1 };
        assert_true(pil_predictor_run(predictor, &request, &single, &status));
        assert_memory_equal(pil_predictor_outputs(&single, "predicted", NULL)->floats, y->floats + r, sizeof(float));
    }
    pil_predictor_close(predictor);
    hand_free(&hand);
}

/* ---- memory and threads -------------------------------------------------------------------------------------- */

static void test_no_allocation_after_the_first(void **state)
{
    struct hand hand = hand_wide_deep();
    struct hand_rows *rows = malloc(sizeof *rows);
    pil_status status;
    (void)state;
    hand_fill_rows(rows);
    pil_predictor *predictor = pil_predictor_open(hand_export(&hand, "allocations"), &status);
    assert_ok(status);
    pil_prediction result = { 0 };
    pil_request request = hand_request(rows, "predict", HAND_ROWS);
    assert_true(pil_predictor_run(predictor, &request, &result, &status));
    uint64_t before = mem_allocations();
    static const int64_t sizes[] = { HAND_ROWS, 1, 77, 0, 300 };
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        request.rows = sizes[s];
        assert_true(pil_predictor_run(predictor, &request, &result, &status));
    }
    assert_int_equal(mem_allocations(), before);
    pil_predictor_close(predictor);
    free(rows);
    hand_free(&hand);
}

struct caller {
    pil_predictor *predictor;
    const struct hand_rows *rows;
    const float *want; /* of all rows at once */
    int number;
    bool fine;
};

static void *call(void *context)
{
    struct caller *caller = context;
    pil_prediction result = { 0 };
    pil_status status;
    caller->fine = true;
    for (int round = 0; round < 20 && caller->fine; round++) {
        int64_t rows = 1 + (caller->number * 37 + round * 11) % HAND_ROWS;
        pil_request request = hand_request(caller->rows, "predict", rows);
        caller->fine = pil_predictor_run(caller->predictor, &request, &result, &status);
        const pil_output *logits = pil_predictor_outputs(&result, "logits", NULL);
        caller->fine = caller->fine && logits && logits->rows == rows &&
                       memcmp(logits->floats, caller->want, (size_t)rows * 3 * sizeof(float)) == 0;
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    enum { CALLERS = 6 };
    struct hand hand = hand_wide_deep();
    struct hand_rows *rows = malloc(sizeof *rows);
    struct caller callers[CALLERS];
    pthread_t threads[CALLERS];
    pil_status status;
    (void)state;
    hand_fill_rows(rows);
    pil_predictor *predictor = pil_predictor_open(hand_export(&hand, "threads"), &status);
    assert_ok(status);
    pil_prediction all = { 0 };
    pil_request request = hand_request(rows, "predict", HAND_ROWS);
    assert_true(pil_predictor_run(predictor, &request, &all, &status));
    const float *want = pil_predictor_outputs(&all, "logits", NULL)->floats;
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){ predictor, rows, want, i, false };
        assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(callers[i].fine);
    }
    pil_predictor_close(predictor);
    free(rows);
    hand_free(&hand);
}

/* The number of threads of this process. */
static int thread_count(void)
{
    struct arena *arena = arena_new(&(pil_status){ 0 });
    char **names;
    size_t count = 0;
    file_list("/proc/self/task", arena, &names, &count, &(pil_status){ 0 });
    arena_free(arena);
    return (int)count;
}

static void test_no_thread_is_started(void **state)
{
    struct hand hand = hand_window(NULL);
    pil_status status;
    int before = thread_count();
    (void)state;
    if (before == 0)
        skip();
    pil_predictor *predictor = pil_predictor_open(hand_export(&hand, "alone"), &status);
    pil_prediction result = { 0 };
    pil_request request = { PIL_INPUTS({ "rawdata", .floats = window }), .rows = 2 };
    assert_true(pil_predictor_run(predictor, &request, &result, &status));
    assert_int_equal(thread_count(), before);
    pil_predictor_close(predictor);
    hand_free(&hand);
}

static void test_no_memory(void **state)
{
    struct hand hand = hand_wide_deep();
    struct hand_rows *rows = malloc(sizeof *rows);
    const char *path = hand_export(&hand, "memory");
    (void)state;
    hand_fill_rows(rows);
    for (int64_t n = 0;; n++) {
        pil_status status;
        pil_prediction result = { 0 };
        pil_request request = hand_request(rows, "predict", 70);
        failing_start(n, false);
        pil_predictor *predictor = pil_predictor_open(path, &status);
        bool worked = predictor && pil_predictor_run(predictor, &request, &result, &status);
        if (predictor && !worked) { /* memory is there again: it goes on */
            pil_status again;
            assert_true(pil_predictor_run(predictor, &request, &result, &again));
        }
        pil_predictor_close(predictor);
        assert_int_equal(atomic_load(&failing_live), 0);
        if (!failing_stop())
            break;
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
    free(rows);
    hand_free(&hand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_recurrent),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_wrong_requests),
        cmocka_unit_test(test_rows_of_every_number),
        cmocka_unit_test(test_no_allocation_after_the_first),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_no_thread_is_started),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
