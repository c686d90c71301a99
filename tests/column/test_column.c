/* SPDX-License-Identifier: Apache-2.0 */
/* What all columns have in common: the set, its first error, and sets without memory. */
#include "columns.h"
#include "column/internal.h"
#include "failing.h"

/* The C of the manual page. */
static void as_written(void **state)
{
    (void)state;
    static const char *const days[] = { "Sun", "Mon", "Tues", "Wed", "Thurs", "Fri", "Sat" };
    pil_columns *c = pil_columns_new();
    pil_column *dayofweek = pil_categorical_column_with_vocabulary_list(c, "dayofweek", days, 7);
    pil_column *hourofday = pil_categorical_column_with_identity(c, "hourofday", 24);
    pil_column *day_hr = pil_crossed_column(c, PIL_KEYS(dayofweek, hourofday), 24 * 7); /* a raw field: pil_key(c, "origin") */
    pil_column *day_hr_em = pil_embedding_column(c, day_hr, 2, .ckpt_to_load_from = "traffic_model",
                                                 .tensor_name_in_ckpt = "day_hr_embedding/embedding_weights", .trainable = false);

    assert_int_equal(pil_columns_status(c).code, PIL_OK);
    assert_string_equal(pil_column_name(day_hr_em), "dayofweek_X_hourofday_embedding");
    assert_string_equal(column_key(day_hr_em), "dayofweek_X_hourofday_embedding");
    assert_false(column_embedding(day_hr_em)->trainable);
    pil_columns_free(c);
}

/* Everything a maker was given may go away. */
static void copies(void **state)
{
    (void)state;
    char key[] = "k", word[] = "word", file[] = "ckpt", tensor[] = "table", combiner[] = "sum";
    const char *words[] = { word };
    float b[] = { 1, 2 };
    pil_columns *c = pil_columns_new();
    pil_column *k = pil_categorical_column_with_vocabulary_list(c, key, words, 1);
    pil_column *x = pil_bucketized_column(c, pil_numeric_column(c, key), b, 2);
    pil_column *e = pil_embedding_column(c, k, 1, .combiner = combiner, .ckpt_to_load_from = file, .tensor_name_in_ckpt = tensor);
    memset(key, 'Q', 1), memset(word, 'Q', 4), memset(file, 'Q', 4), memset(tensor, 'Q', 5), memset(combiner, 'Q', 3);
    words[0] = NULL, b[0] = b[1] = 9;
    struct text text = { 0 };
    args_print(k->row->args, k->options, &text);
    args_print(x->row->args, x->options, &text);
    args_print(e->row->args, e->options, &text);
    assert_null(strchr(text.data, 'Q'));
    assert_null(strchr(text.data, '9'));
    assert_string_equal(column_embedding(e)->checkpoint, "ckpt");
    text_free(&text);
    pil_columns_free(c);
}

static void first_error_stays(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *bad = pil_categorical_column_with_identity(c, "k", -4);
    pil_column *after = pil_numeric_column(c, "x");
    pil_column *made_of_it = pil_embedding_column(c, pil_crossed_column(c, PIL_KEYS(bad, after), 0), 0);

    assert_ptr_equal(bad, after);
    assert_ptr_equal(bad, made_of_it);
    assert_string_equal(pil_columns_status(c).message,
                        "categorical_column_with_identity: num_buckets is -4; it must lie between 1 and 2147483647");
    assert_string_equal(pil_column_name(bad), "");
    assert_string_equal(column_kind(bad), "");
    assert_false(column_is_categorical(bad) || column_is_dense(bad));
    pil_columns_free(c);
}

static void defaults_are_the_macros(void **state)
{
    (void)state;
    pil_embedding_column_options embedding = pil_embedding_column_options_default();
    assert_true(embedding.trainable && strcmp(embedding.combiner, "mean") == 0 && embedding.max_norm == 0);
    assert_int_equal(pil_categorical_column_with_identity_options_default().default_value, -1);
    assert_int_equal(pil_categorical_column_with_vocabulary_list_options_default().default_value, -1);
    assert_int_equal(pil_categorical_column_with_vocabulary_file_options_default().default_value, -1);
    assert_string_equal(pil_categorical_column_with_hash_bucket_options_default().dtype, "string");
    assert_int_equal(pil_numeric_column_options_default().shape[0], 1);
    assert_null(pil_bucketized_column_options_default().source_column);
    assert_null(pil_indicator_column_options_default().categorical_column);
    assert_string_equal(pil_weighted_categorical_column_options_default().dtype, "float32");
    assert_int_equal(pil_crossed_column_options_default().hash_key, 0);
    assert_true(pil_shared_embeddings_options_default().trainable);
}

/* Without memory there is a set that has failed already, and it may be freed. */
static void without_memory(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 3; n++) {
        failing_start(n, true);
        pil_columns *c = pil_columns_new();
        assert_non_null(c);
        pil_column *column = pil_key(c, "x");
        assert_non_null(column);
        assert_int_equal(pil_columns_status(c).code, PIL_NO_MEMORY);
        assert_ptr_equal(column, pil_embedding_column(c, column, 3));
        pil_columns_free(c);
        assert_true(failing_stop());
        assert_int_equal(failing_live, 0);
    }
    assert_int_equal(pil_columns_status(NULL).code, PIL_NO_MEMORY);
    assert_string_equal(pil_column_name(pil_key(NULL, "x")), "");
    pil_columns_free(NULL);
}

static void all_memory(void **state)
{
    (void)state;
    static const char *const words[] = { "a", "b" };
    const float b[] = { 1 };
    for (int64_t n = 0;; n++) {
        failing_start(n, false);
        pil_columns *c = pil_columns_new();
        pil_column *out[2], *k = pil_categorical_column_with_vocabulary_list(c, "k", words, 2);
        pil_column *x = pil_bucketized_column(c, pil_numeric_column(c, "x", .default_value = PIL_FLOATS(1)), b, 1);
        pil_column *i = pil_categorical_column_with_identity(c, "i", 2), *h = pil_categorical_column_with_hash_bucket(c, "h", 2);
        pil_column *w = pil_weighted_categorical_column(c, h, "w");
        pil_column *cross = pil_crossed_column(c, PIL_KEYS(k, x, i, pil_key(c, "r")), 5);
        pil_embedding_column(c, cross, 2);
        pil_indicator_column(c, w);
        pil_shared_embeddings(c, PIL_KEYS(k, k), out, 2);
        pil_status status = pil_columns_status(c);
        pil_columns_free(c);
        bool reached = failing_stop();
        assert_int_equal(failing_live, 0);
        assert_int_equal(status.code, reached ? PIL_NO_MEMORY : PIL_OK);
        if (!reached)
            break;
    }
}

/* modulo is exact for every divisor and every end of the range. */
static void remainders(void **state)
{
    (void)state;
    static const uint64_t divisors[] = { 1,
                                         2,
                                         3,
                                         7,
                                         10,
                                         168,
                                         1000,
                                         65535,
                                         65536,
                                         65537,
                                         999983,
                                         1000003,
                                         2147483646,
                                         2147483647,
                                         UINT64_C(1) << 32,
                                         (UINT64_C(1) << 63) - 1,
                                         UINT64_C(1) << 63,
                                         UINT64_MAX };
    uint64_t x = 1;

    for (size_t i = 0; i < COUNT_OF(divisors); i++) {
        const struct divisor by = divisor_of(divisors[i]);
        for (int k = 0; k < 2000; k++) {
            uint64_t edge = divisors[i] * x;
            x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            assert_true(modulo(x, by) == x % divisors[i]);
            assert_true(modulo(edge, by) == edge % divisors[i]);
            assert_true(modulo(edge - 1, by) == (edge - 1) % divisors[i]);
        }
        assert_true(modulo(0, by) == 0);
        assert_true(modulo(UINT64_MAX, by) == UINT64_MAX % divisors[i]);
        assert_true(modulo(divisors[i] - 1, by) == divisors[i] - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_written),        cmocka_unit_test(copies),
        cmocka_unit_test(first_error_stays), cmocka_unit_test(defaults_are_the_macros),
        cmocka_unit_test(all_memory),        cmocka_unit_test(without_memory),
        cmocka_unit_test(remainders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
