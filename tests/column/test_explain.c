/* SPDX-License-Identifier: Apache-2.0 */
/* What columns say of a row, as JSON and as text. */
#include "columns.h"

enum { COLUMNS = 12 };
struct said {
    pil_columns *c;
    pil_column *columns[COLUMNS];
    struct ran ran;
};

static struct said said_new(void)
{
    static const char *const days[] = { "Mon", "Fri" };
    static const char *const names[] = { "weekday", "hour", "tailnum", "distance", "tags", "v", "w", "missing" };
    static const char *const cells[] = {
        "Fri",  "18", "N14228", "1400", "a|q\"x", "1|3", "0.5|2", "", /* */
        "Mond", "3",  "",       "700",  "",       "0|9", "",      "", /* */
        "Mon",  "24", "N1",     "1",    "b",      "5|5", "1",     "",
    };
    const float b[] = { 1, 2 };
    pil_columns *c = pil_columns_new();
    pil_column *day = pil_categorical_column_with_vocabulary_list(c, "weekday", days, 2);
    pil_column *hour = pil_categorical_column_with_identity(c, "hour", 24);
    pil_column *distance = pil_numeric_column(c, "distance", .normalizer_fn = { 0, 1000 });
    pil_column *tags = pil_categorical_column_with_vocabulary_list(c, "tags", ((const char *const[]){ "a", "b" }), 2);
    pil_column *tail = pil_categorical_column_with_hash_bucket(c, "tailnum", 5000);
    struct said said = { .c = c,
                         .columns = {
                             day,
                             pil_crossed_column(c, PIL_KEYS(day, hour), 1),
                             pil_embedding_column(c, tail, 8),
                             distance,
                             tags,
                             pil_bucketized_column(c, pil_numeric_column(c, "v", .shape = { 2 }), b, 2),
                             pil_weighted_categorical_column(c, tags, "w"),
                             pil_crossed_column(c, PIL_KEYS(pil_key(c, "tags"), day, pil_key(c, "w_raw")), 1),
                             pil_categorical_column_with_hash_bucket(c, "missing", 3),
                             tail,
                             pil_indicator_column(c, day),
                             pil_numeric_column(c, "unused"),
                         } };
    pil_status status = pil_columns_status(c);
    ASSERT_OK(status);
    pil_column *asked[] = { day, said.columns[1], tail, distance, tags, said.columns[5], said.columns[6], said.columns[8] };
    struct program *program = program_of(asked, COUNT_OF(asked), NULL);
    state_field(program, "tags", PROGRAM_ANY_TYPE, '|');
    state_field(program, "v", PROGRAM_ANY_TYPE, '|');
    state_field(program, "w", PROGRAM_ANY_TYPE, '|');
    said.ran = run_rows(program, names, COUNT_OF(names), cells, 3);
    return said;
}

static void said_free(struct said *said)
{
    ran_free(&said->ran);
    pil_columns_free(said->c);
}

static void check(const struct said *said, int column, int64_t row, bool json, const char *want)
{
    struct text text = { 0 };

    program_explain(said->ran.program, said->columns[column], said->ran.fields, row, said->ran.scratch, json, &text);
    assert_string_equal(text.data, want);
    text_free(&text);
}

static void as_text(void **state)
{
    (void)state;
    struct said said = said_new();
    char want[80];

    check(&said, 0, 0, false, "'Fri' -> id 1 of 2");
    check(&said, 1, 0, false, "'Fri' x 18 -> id 0 of 1");
    snprintf(want, sizeof want, "'N14228' -> id ");
    struct text count = { 0 };
    text_count(&count, (int64_t)(fingerprint64("N14228", 6) % 5000));
    snprintf(want + strlen(want), sizeof want - strlen(want), "%s of 5,000", count.data);
    text_free(&count);
    check(&said, 2, 0, false, want);
    check(&said, 3, 0, false, "1.4");
    check(&said, 4, 0, false, "'a' -> id 0 of 2; 'q\"x' -> no id (not in the vocabulary)");
    check(&said, 5, 0, false, "1 -> id 1 of 6; 3 -> id 5 of 6");
    check(&said, 6, 0, false, "'a' -> id 0 of 2, weight 0.5; 'q\"x' -> no id (not in the vocabulary)");
    check(&said, 8, 0, false, "no value");
    check(&said, 10, 0, false, "'Fri' -> id 1 of 2");
    check(&said, 0, 1, false, "'Mond' -> no id (not in the vocabulary)");
    check(&said, 1, 1, false, "'Mond' x 3 -> id 0 of 1"); /* -1 is hashed in a cross */
    check(&said, 9, 1, false, "no value");
    check(&said, 11, 0, false, "the model does not use column 'unused'");
    said_free(&said);
}

static void as_json(void **state)
{
    (void)state;
    struct said said = said_new();

    check(&said, 0, 0, true, "{\"values\":[\"Fri\"],\"ids\":[1],\"weights\":[]}");
    check(&said, 1, 0, true, "{\"values\":[[\"Fri\",18]],\"ids\":[0],\"weights\":[]}");
    check(&said, 3, 1, true, "{\"values\":[0.7],\"ids\":[],\"weights\":[]}");
    check(&said, 4, 0, true, "{\"values\":[\"a\",\"q\\\"x\"],\"ids\":[0,-1],\"weights\":[]}");
    check(&said, 6, 0, true, "{\"values\":[\"a\",\"q\\\"x\"],\"ids\":[0,-1],\"weights\":[0.5,2]}");
    check(&said, 4, 1, true, "{\"values\":[],\"ids\":[],\"weights\":[]}");
    said_free(&said);
}

/* Combinations with the last leaf fastest, each with the values it was made of. */
static void of_combinations(void **state)
{
    (void)state;
    static const char *const names[] = { "a", "b", "c" };
    static const char *const cells[] = { "1|2", "x", "p|q|r" };
    pil_columns *c = pil_columns_new();
    pil_column *column = pil_crossed_column(c, PIL_KEYS(pil_key(c, "a"), pil_key(c, "b"), pil_key(c, "c")), 1);
    struct program *program = program_of(&column, 1, NULL);
    struct text text = { 0 };

    state_field(program, "a", FIELD_INT64, '|');
    state_field(program, "c", PROGRAM_ANY_TYPE, '|');
    struct ran ran = run_rows(program, names, 3, cells, 1);
    ASSERT_OK(ran.status);
    program_explain(program, column, ran.fields, 0, ran.scratch, true, &text);
    assert_string_equal(
        text.data,
        "{\"values\":[[1,\"x\",\"p\"],[1,\"x\",\"q\"],[1,\"x\",\"r\"],[2,\"x\",\"p\"],[2,\"x\",\"q\"],[2,\"x\",\"r\"]],"
        "\"ids\":[0,0,0,0,0,0],\"weights\":[]}");
    text_free(&text);
    ran_free(&ran);
    pil_columns_free(c);
}

static void of_shared_embeddings(void **state)
{
    (void)state;
    static const char *const names[] = { "from", "to" };
    static const char *const cells[] = { "3", "1" };
    pil_columns *c = pil_columns_new();
    pil_column *from = pil_categorical_column_with_identity(c, "from", 4), *to = pil_categorical_column_with_identity(c, "to", 4);
    pil_column *columns[] = { from, to }, *members[2];
    pil_column *group = pil_shared_embeddings(c, PIL_KEYS(from, to), members, 2);
    struct ran ran = run_rows(program_of(columns, 2, NULL), names, 2, cells, 1);
    struct text text = { 0 };

    ASSERT_OK(ran.status);
    program_explain(ran.program, group, ran.fields, 0, ran.scratch, false, &text);
    assert_string_equal(text.data, "from_shared_embedding: 3 -> id 3 of 4; to_shared_embedding: 1 -> id 1 of 4");
    text_clear(&text);
    program_explain(ran.program, group, ran.fields, 0, ran.scratch, true, &text);
    assert_string_equal(text.data, "{\"from_shared_embedding\":{\"values\":[3],\"ids\":[3],\"weights\":[]},"
                                   "\"to_shared_embedding\":{\"values\":[1],\"ids\":[1],\"weights\":[]}}");
    text_free(&text);
    ran_free(&ran);
    pil_columns_free(c);
}

/* A row that cannot be transformed says why. */
static void of_errors(void **state)
{
    (void)state;
    struct said said = said_new();
    struct text text = { 0 };

    assert_int_equal(said.ran.status.code, PIL_BAD_DATA); /* the last row's hour */
    check(&said, 1, 2, false,
          "rows.csv:4: field 'hour': 24 is not in [0, 24)\n"
          "          make num_buckets larger, or give default_value for such values");
    program_explain(said.ran.program, said.columns[1], said.ran.fields, 2, said.ran.scratch, true, &text);
    assert_memory_equal(text.data, "{\"error\":\"rows.csv:4: ", 21);
    text_clear(&text);
    program_explain(said.ran.program, said.columns[1], said.ran.fields, 3, said.ran.scratch, false, &text);
    assert_non_null(strstr(text.data, "rows 3 to 4 are asked of a batch of 3"));
    text_free(&text);
    said_free(&said);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(as_text), cmocka_unit_test(as_json), cmocka_unit_test(of_combinations),
                                        cmocka_unit_test(of_errors), cmocka_unit_test(of_shared_embeddings) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
