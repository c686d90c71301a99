/* SPDX-License-Identifier: Apache-2.0 */
/* Embeddings, shared ones and indicators: names, tables, options, errors. */
#include <math.h>

#include "column/internal.h"
#include "columns.h"

static void embedding(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *day = pil_categorical_column_with_identity(c, "day of week", 7);
    pil_column *column = pil_embedding_column(c, day, 4);
    pil_column *frozen = pil_embedding_column(c, day, 2, .combiner = "sqrtn", .ckpt_to_load_from = "traffic_model",
                                              .tensor_name_in_ckpt = "day/embedding_weights", .trainable = false,
                                              .max_norm = 1.5f, .initializer = { "zeros" });
    const struct column_embedding *e = column_embedding(column);

    assert_int_equal(pil_columns_status(c).code, PIL_OK);
    assert_string_equal(pil_column_name(column), "day of week_embedding");
    assert_string_equal(column_scope(column), "day_of_week_embedding");
    assert_string_equal(e->variable, "day_of_week_embedding/embedding_weights");
    assert_int_equal(column_width(column), 4);
    assert_false(column_is_categorical(column));
    assert_ptr_equal(e->categorical, day);
    assert_int_equal(e->combiner, COMBINER_MEAN);
    assert_int_equal(e->initializer.kind, PIL_INITIALIZER_TRUNCATED_NORMAL);
    assert_true(e->initializer.a == 0 && e->initializer.b == 0.5f); /* 1 / sqrt(4) */
    assert_true(e->trainable && !e->checkpoint && e->max_norm == 0 && !e->shared);
    e = column_embedding(frozen);
    assert_int_equal(e->combiner, COMBINER_SQRTN);
    assert_int_equal(e->initializer.kind, PIL_INITIALIZER_ZEROS);
    assert_string_equal(e->checkpoint, "traffic_model");
    assert_string_equal(e->checkpoint_tensor, "day/embedding_weights");
    assert_true(!e->trainable && e->max_norm == 1.5f);
    assert_null(column_embedding(day));
    pil_columns_free(c);
}

static void weighted_embedding(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *k = pil_categorical_column_with_hash_bucket(c, "k", 9);
    pil_column *column = pil_embedding_column(c, pil_weighted_categorical_column(c, k, "w"), 2);

    assert_string_equal(pil_column_name(column), "k_weighted_by_w_embedding");
    assert_int_equal(column_buckets(column_embedding(column)->categorical), 9);
    pil_columns_free(c);
}

static void indicator(void **state)
{
    (void)state;
    const float b[] = { 1, 2 };
    pil_columns *c = pil_columns_new();
    pil_column *x = pil_bucketized_column(c, pil_numeric_column(c, "x"), b, 2);
    pil_column *column = pil_indicator_column(c, x);

    assert_string_equal(pil_column_name(column), "x_bucketized_indicator");
    assert_int_equal(column_width(column), 3);
    assert_ptr_equal(column_indicator(column), x);
    assert_ptr_equal(column_lookup_source(column), x);
    pil_columns_free(c);
}

static void shared(void **state)
{
    (void)state;
    static const char *const ports[] = { "EWR", "JFK", "LGA" };
    pil_columns *c = pil_columns_new();
    pil_column *out[2];
    pil_column *origin = pil_categorical_column_with_vocabulary_list(c, "origin", ports, 3);
    pil_column *dest = pil_weighted_categorical_column(c, pil_categorical_column_with_vocabulary_list(c, "dest", ports, 3), "w");
    pil_column *group = pil_shared_embeddings(c, PIL_KEYS(origin, dest), out, 5, .combiner = "sum");

    assert_int_equal(pil_columns_status(c).code, PIL_OK);
    assert_int_equal(column_part_count(group), 2);
    assert_ptr_equal(column_part(group, 0), out[0]);
    assert_ptr_equal(column_part(group, 1), out[1]);
    assert_string_equal(pil_column_name(out[0]), "origin_shared_embedding");
    assert_string_equal(pil_column_name(out[1]), "dest_weighted_by_w_shared_embedding");
    for (int i = 0; i < 2; i++) {
        const struct column_embedding *e = column_embedding(out[i]);
        assert_string_equal(e->variable, "dest_weighted_by_w_origin_shared_embedding"); /* the names sorted */
        assert_true(e->shared && e->dimension == 5 && e->combiner == COMBINER_SUM);
        assert_int_equal(column_part_count(out[i]), 1);
        assert_ptr_equal(column_part(out[i], 0), out[i]);
    }
    assert_ptr_equal(column_embedding(out[0])->categorical, origin);
    group = pil_shared_embeddings(c, PIL_KEYS(origin), out, 5, .shared_embedding_collection_name = "airports");
    assert_string_equal(column_embedding(out[0])->variable, "airports");
    pil_columns_free(c);
}

static void errors(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "dimension is 0",
        "there is no combiner 'men'; did you mean 'mean'?",
        "belong together; only ckpt_to_load_from is given",
        "belong together; only tensor_name_in_ckpt is given",
        "names in a checkpoint have no ':0'",
        "max_norm is -1",
        "there is no initializer 'zeroes'; did you mean 'zeros'?",
        "categorical_column is missing",
        "make ids of it with bucketized_column",
        "must have equally many ids; 'k' has 5, 'm' 6",
        "must be of one kind; 'k' is a categorical_column_with_identity, 'h' a categorical_column_with_hash_bucket",
        "categorical_columns is empty",
        "combiner is ''",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        pil_columns *c = pil_columns_new();
        pil_column *k = pil_categorical_column_with_identity(c, "k", 5), *m = pil_categorical_column_with_identity(c, "m", 6);
        pil_column *h = pil_categorical_column_with_hash_bucket(c, "h", 5), *out[2] = { NULL, NULL };
        pil_keys none = { NULL, 0 };
        switch (i) {
        case 0:
            pil_embedding_column(c, k, 0);
            break;
        case 1:
            pil_embedding_column(c, k, 1, .combiner = "men");
            break;
        case 2:
            pil_embedding_column(c, k, 1, .ckpt_to_load_from = "a");
            break;
        case 3:
            pil_embedding_column(c, k, 1, .tensor_name_in_ckpt = "a");
            break;
        case 4:
            pil_embedding_column(c, k, 1, .ckpt_to_load_from = "a", .tensor_name_in_ckpt = "b:0");
            break;
        case 5:
            pil_embedding_column(c, k, 1, .max_norm = -1);
            break;
        case 6:
            pil_embedding_column(c, k, 1, .initializer = { "zeroes" });
            break;
        case 7:
            pil_indicator_column(c, NULL);
            break;
        case 8:
            pil_embedding_column(c, pil_numeric_column(c, "x"), 1);
            break;
        case 9:
            pil_shared_embeddings(c, PIL_KEYS(k, m), out, 1);
            break;
        case 10:
            pil_shared_embeddings(c, PIL_KEYS(k, h), out, 1);
            break;
        case 11:
            pil_shared_embeddings(c, none, out, 1);
            break;
        default:
            pil_embedding_column(c, k, 1, .combiner = NULL);
            break;
        }
        ASSERT_COLUMNS_FAIL(c, texts[i]);
        if (i == 9 || i == 10)
            assert_true(out[0] && out[0] == out[1] && column_is_error(out[0]));
        pil_columns_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedding), cmocka_unit_test(weighted_embedding), cmocka_unit_test(indicator), cmocka_unit_test(shared),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
