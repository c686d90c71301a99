/* SPDX-License-Identifier: Apache-2.0 */
/* Crosses: TensorFlow's ids of strings, integers, vocabularies, buckets and nested crosses, sparse and dense; real courses' data.
 */
#include "columns.h"

/* ---- crossed_columns.json ------------------------------------------------------------------------------------ */

/* The inner columns that the cases name. */
struct inner {
    pil_column *identity, *vocabulary, *bucketized, *crossed;
};

static struct inner inner_columns(pil_columns *c)
{
    static const char *const days[] = { "Sun", "Mon", "Tue" };
    const float b[] = { -1, 0, 1 };
    struct inner inner = {
        pil_categorical_column_with_identity(c, "i", 24),
        pil_categorical_column_with_vocabulary_list(c, "a", days, 3),
        pil_bucketized_column(c, pil_numeric_column(c, "x"), b, 3),
        NULL,
    };
    inner.crossed = pil_crossed_column(c, PIL_KEYS(inner.bucketized, inner.identity), 50);
    return inner;
}

static pil_column *key_named(pil_columns *c, const struct inner *inner, const char *name)
{
    if (strncmp(name, "crossed(", 8) == 0)
        return inner->crossed;
    if (strncmp(name, "bucketized(", 11) == 0)
        return inner->bucketized;
    if (strncmp(name, "vocabulary_list(", 16) == 0)
        return inner->vocabulary;
    return strncmp(name, "identity(", 9) == 0 ? inner->identity : pil_key(c, name);
}

static void golden_ids(void **state)
{
    (void)state;
    static const char *const names[] = { "a", "b", "i", "x" };
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    struct golden golden;
    pil_columns *c = pil_columns_new();
    struct inner inner = inner_columns(c);
    pil_column *columns[64];
    const char *cells[64 * 4];
    size_t count = 0;

    assert_true(golden_open("tests/golden/crossed_columns.json", &golden));
    struct json_value cases = golden_get(&golden.root, "cases"), item, value, features;
    struct json_walk walk = json_children(&cases);
    assert_true(json_next(&walk, NULL, &item));
    features = golden_get(&item, "features");
    size_t rows = 0;
    for (size_t i = 0; i < 4; i++) {
        value = golden_get(&features, names[i]);
        const char **column = golden_cells(&value, '\t', arena);
        rows = value.count;
        assert_true(rows <= 64);
        for (size_t r = 0; r < rows; r++)
            cells[r * 4 + i] = column[r];
    }
    while (json_next(&walk, NULL, &item)) {
        value = golden_get(&item, "keys");
        const char **words = golden_words(&value, arena);
        pil_column *keys[8];
        for (size_t i = 0; i < value.count; i++)
            keys[i] = key_named(c, &inner, words[i]);
        pil_keys list = { keys, value.count };
        columns[count++] = pil_crossed_column(c, list, golden_integer(&item, "hash_bucket_size", 0),
                                              .hash_key = golden_integer(&item, "hash_key", 0));
    }
    status = pil_columns_status(c);
    ASSERT_OK(status);
    struct program *program = program_of(columns, count, NULL);
    for (size_t i = 0; i < 3; i++)
        state_field(program, names[i], PROGRAM_ANY_TYPE, '\t');
    struct ran ran = run_rows(program, names, 4, cells, rows);
    ASSERT_OK(ran.status);
    walk = json_children(&cases);
    json_next(&walk, NULL, &item);
    for (int f = 0; json_next(&walk, NULL, &item); f++) {
        value = golden_get(&item, "ids");
        check_ids(&ran, f, &value);
    }
    assert_true(count >= 30);
    ran_free(&ran);
    pil_columns_free(c);
    golden_close(&golden);
    arena_free(arena);
}

/* ---- crossed_dense.json: one value a row, sparse and compat tf_dense ------------------------------------------- */

struct words_of_dense {
    pil_column *v, *xb;
};

static pil_column *dense_cross(pil_columns *c, const struct words_of_dense *inner, const struct json_value *keys, int64_t size,
                               int64_t hash_key)
{
    struct json_walk walk = json_children(keys);
    struct json_value key;
    pil_column *list[8];
    size_t count = 0;

    while (json_next(&walk, NULL, &key)) {
        char name[16] = "";
        if (key.kind == JSON_LIST) {
            list[count++] = dense_cross(c, inner, &key, 13, 0);
            continue;
        }
        memcpy(name, key.text.data, key.text.size);
        list[count++] = strcmp(name, "v") == 0 ? inner->v : strcmp(name, "xb") == 0 ? inner->xb : pil_key(c, name);
    }
    pil_keys all = { list, count };
    return pil_crossed_column(c, all, size, .hash_key = hash_key);
}

static void dense_and_sparse(void **state)
{
    (void)state;
    static const char *const names[] = { "s", "t", "v", "i", "x" }, *const vocabulary[] = { "r", "g" };
    const float b[] = { 0, 1, 2 };
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    struct golden golden;
    pil_columns *c = pil_columns_new();
    const struct words_of_dense inner = { pil_categorical_column_with_vocabulary_list(c, "v", vocabulary, 2),
                                          pil_bucketized_column(c, pil_numeric_column(c, "x"), b, 3) };
    pil_column *columns[32];
    const char *cells[64 * 5];
    size_t count = 0, rows = 0;

    assert_true(golden_open("tests/golden/crossed_dense.json", &golden));
    struct json_value cases = golden_get(&golden.root, "cases"), features = golden_get(&golden.root, "features"), item, value;
    for (size_t i = 0; i < 5; i++) {
        value = golden_get(&features, names[i]);
        const char **column = golden_words(&value, arena);
        rows = value.count;
        for (size_t r = 0; r < rows; r++)
            cells[r * 5 + i] = column[r];
    }
    struct json_walk walk = json_children(&cases);
    while (json_next(&walk, NULL, &item)) {
        value = golden_get(&item, "keys");
        columns[count] =
            dense_cross(c, &inner, &value, golden_integer(&item, "hash_bucket_size", 0), golden_integer(&item, "hash_key", 0));
        value = golden_get(&item, "name");
        assert_true(slice_is(value.text, pil_column_name(columns[count])));
        count++;
    }
    assert_int_equal(count, 9);
    for (int dense = 0; dense < 2; dense++) {
        struct program *program = program_of(columns, count, &(struct program_options){ .tf_dense = dense });
        state_field(program, "i", FIELD_INT64, 0);
        struct ran ran = run_rows(program, names, 5, cells, rows);
        ASSERT_OK(ran.status);
        walk = json_children(&cases);
        for (int f = 0; json_next(&walk, NULL, &item); f++) {
            value = golden_get(&item, dense ? "dense" : "sparse");
            check_ids(&ran, f, &value);
        }
        ran_free(&ran);
    }
    pil_columns_free(c);
    golden_close(&golden);
    arena_free(arena);
}

/* ---- TensorFlow's unit tests ---------------------------------------------------------------------------------- */

static void conformance_crosses(void **state)
{
    (void)state;
    pil_status status = OK_STATUS;
    struct golden golden;

    if (!golden_open("../shared/conformance/tf_golden/hash_and_cross.json", &golden)) {
        print_message("no conformance data: skipped\n");
        skip();
    }
    struct arena *arena = arena_new(&status);
    struct json_value cases = golden_get(&golden.root, "cases"), item, value;
    struct json_walk walk = json_children(&cases);
    const float b[] = { 0, 1 };
    int seen = 0;
    while (json_next(&walk, NULL, &item)) {
        static const char *const names[] = { "a", "c", "d1", "d2" };
        value = golden_get(&item, "fn");
        if (!slice_is(value.text, "crossed_column"))
            continue;
        pil_columns *c = pil_columns_new();
        pil_column *a = pil_bucketized_column(c, pil_numeric_column(c, "a", .shape = { 2 }), b, 2);
        value = golden_get(&item, "keys");
        size_t width = value.count;
        int64_t size = golden_integer(&item, "hash_bucket_size", 0), hash_key = golden_integer(&item, "hash_key", 0);
        pil_column *d = pil_crossed_column(c, PIL_KEYS(pil_key(c, "d1"), pil_key(c, "d2")), 9);
        pil_column *column = width == 2 ? pil_crossed_column(c, PIL_KEYS(a, pil_key(c, "c")), size, .hash_key = hash_key)
                                        : pil_crossed_column(c, PIL_KEYS(a, pil_key(c, "c"), d), size, .hash_key = hash_key);
        struct json_value inputs = golden_get(&item, "leaf_inputs");
        const char *cells[8];
        for (size_t i = 0; i < width; i++) {
            value = golden_get(&inputs, names[i]);
            const char **field = golden_cells(&value, '|', arena);
            cells[i] = field[0];
            cells[width + i] = field[1];
        }
        struct program *program = program_of(&column, 1, NULL);
        for (size_t i = 0; i < 4; i++)
            state_field(program, names[i], PROGRAM_ANY_TYPE, '|');
        struct ran ran = run_rows(program, names, width, cells, 2);
        ASSERT_OK(ran.status);
        value = golden_get(&item, "expected_rows");
        check_ids(&ran, 0, &value);
        seen++;
        ran_free(&ran);
        pil_columns_free(c);
    }
    assert_int_equal(seen, 2);
    golden_close(&golden);
    arena_free(arena);
}

static void names_of_crosses(void **state)
{
    (void)state;
    const float b[] = { 0 };
    pil_columns *c = pil_columns_new();
    pil_column *a = pil_bucketized_column(c, pil_numeric_column(c, "a"), b, 1), *k = pil_key(c, "c"), *d1 = pil_key(c, "d1"),
               *d2 = pil_key(c, "d2");
    pil_column *crosses[] = {
        pil_crossed_column(c, PIL_KEYS(a, k, pil_crossed_column(c, PIL_KEYS(d1, d2), 10)), 10),
        pil_crossed_column(c, PIL_KEYS(pil_crossed_column(c, PIL_KEYS(d1, d2), 10), k, a), 10),
        pil_crossed_column(c, PIL_KEYS(pil_crossed_column(c, PIL_KEYS(d2, k), 10), d1, a), 10),
    };
    for (size_t i = 0; i < COUNT_OF(crosses); i++)
        assert_string_equal(pil_column_name(crosses[i]), "a_bucketized_X_c_X_d1_X_d2");
    pil_columns_free(c);
}

/* ---- rows of two courses, as TensorFlow 2.15 crossed them ------------------------------------------------------ */

enum { LAB_COLUMNS = 16, LAB_ROWS = 400 };
struct lab {
    const char *cells[(LAB_ROWS + 1) * LAB_COLUMNS]; /* the header first */
    size_t width, rows;
};

/* A file of tabs and newlines. False when it is not at hand. */
static bool lab_read(const char *path, struct lab *lab, struct arena *arena)
{
    pil_status status = OK_STATUS;
    struct file_data file;
    size_t cell = 0;

    if (!file_exists(path))
        return false;
    if (!file_load(path, &file, &status))
        fail_msg("%s", status.message);
    char *text = arena_text(arena, file.data, file.size, &status);
    lab->width = 0;
    for (char *at = text; *at && cell < COUNT_OF(lab->cells);) {
        char *end = at + strcspn(at, "\t\n");
        char stop = *end;
        lab->cells[cell++] = at;
        *end = '\0';
        if (stop == '\n' && lab->width == 0)
            lab->width = cell;
        at = end + (stop != '\0');
    }
    lab->rows = cell / lab->width - 1;
    file_unload(&file);
    return true;
}

static void lab_check(const struct lab *lab, const struct ran *ran, int feature, const char *name)
{
    size_t at = 0;

    while (at < lab->width && strcmp(lab->cells[at], name) != 0)
        at++;
    assert_true(at < lab->width);
    for (size_t r = 0; r < lab->rows; r++)
        if (id_of(ran, feature, (int64_t)r) != atoi(lab->cells[(r + 1) * lab->width + at]))
            fail_msg("row %zu: %s is %d, not %s", r, name, (int)id_of(ran, feature, (int64_t)r),
                     lab->cells[(r + 1) * lab->width + at]);
}

static void linspace(float *out, double from, double to, int count)
{
    for (int i = 0; i < count; i++)
        out[i] = i == count - 1 ? (float)to : (float)(from + i * ((to - from) / (count - 1)));
}

static void taxi(const char *path, int buckets, bool vocabulary)
{
    static const char *const days[] = { "Sun", "Mon", "Tues", "Wed", "Thu", "Fri", "Sat" };
    static const char *const names[] = { "dayofweek", "hourofday", "pickuplon", "pickuplat", "dropofflon", "dropofflat" };
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    struct lab lab;
    float lat[16], lon[16];

    if (!lab_read(path, &lab, arena)) {
        arena_free(arena);
        print_message("no conformance data: skipped\n");
        skip();
    }
    linspace(lat, 38, 42, buckets);
    linspace(lon, -76, -72, buckets);
    pil_columns *c = pil_columns_new();
    pil_column *day = vocabulary ? pil_categorical_column_with_vocabulary_list(c, "dayofweek", days, 7)
                                 : pil_categorical_column_with_identity(c, "dayofweek", 7);
    pil_column *hour = pil_categorical_column_with_identity(c, "hourofday", 24);
    pil_column *plat = pil_bucketized_column(c, pil_numeric_column(c, "pickuplat"), lat, (size_t)buckets);
    pil_column *plon = pil_bucketized_column(c, pil_numeric_column(c, "pickuplon"), lon, (size_t)buckets);
    pil_column *dlat = pil_bucketized_column(c, pil_numeric_column(c, "dropofflat"), lat, (size_t)buckets);
    pil_column *dlon = pil_bucketized_column(c, pil_numeric_column(c, "dropofflon"), lon, (size_t)buckets);
    pil_column *ploc = pil_crossed_column(c, PIL_KEYS(plat, plon), buckets * buckets);
    pil_column *dloc = pil_crossed_column(c, PIL_KEYS(dlat, dlon), buckets * buckets);
    pil_column *columns[] = { plat,
                              plon,
                              dlat,
                              dlon,
                              ploc,
                              dloc,
                              pil_crossed_column(c, PIL_KEYS(ploc, dloc), buckets * buckets * buckets * buckets),
                              pil_crossed_column(c, PIL_KEYS(day, hour), 168) };
    static const char *const outputs[] = { "plat", "plon", "dlat", "dlon", "ploc", "dloc", "pd_pair", "day_hr" };
    if (!vocabulary) /* the column dayofweek has the ids, dayofweek_str the words */
        for (size_t r = 1; r <= lab.rows; r++)
            lab.cells[r * lab.width] = lab.cells[r * lab.width + 6];
    const char **cells = arena_alloc(arena, lab.rows * COUNT_OF(names) * sizeof *cells, &status);
    for (size_t r = 0; r < lab.rows; r++)
        for (size_t i = 0; i < COUNT_OF(names); i++)
            cells[r * COUNT_OF(names) + i] = lab.cells[(r + 1) * lab.width + i];
    struct ran ran = run_rows(program_of(columns, COUNT_OF(columns), NULL), names, COUNT_OF(names), cells, lab.rows);
    ASSERT_OK(ran.status);
    assert_int_equal(lab.rows, LAB_ROWS);
    for (size_t i = 0; i < COUNT_OF(outputs); i++)
        lab_check(&lab, &ran, (int)i, outputs[i]);
    ran_free(&ran);
    pil_columns_free(c);
    arena_free(arena);
}

/* The data says 'Tue', the vocabulary 'Tues': an id of -1 inside the cross. */
static void taxi_vocabulary(void **state)
{
    (void)state;
    taxi("../shared/conformance/tf_lab_golden/taxi_feateng_nb10_vocab.tsv", 10, true);
}

static void taxi_identity(void **state)
{
    (void)state;
    taxi("../shared/conformance/tf_lab_golden/taxi_model_performance_nb16_identity.tsv", 16, false);
}

/* Two vocabularies and two bucketized ages, four leaves in one cross. */
static void babyweight(void **state)
{
    (void)state;
    static const char *const names[] = { "is_male", "plurality", "mother_age", "gestation_weeks" };
    static const char *const male[] = { "True", "False", "Unknown" };
    static const char *const plural[] = { "Single(1)",      "Twins(2)",       "Triplets(3)",
                                          "Quadruplets(4)", "Quintuplets(5)", "Multiple(2+)" };
    pil_status status = OK_STATUS;
    struct arena *arena = arena_new(&status);
    struct lab lab;
    float ages[30], weeks[30];

    if (!lab_read("../shared/conformance/tf_lab_golden/babyweight_cross20000.tsv", &lab, arena)) {
        arena_free(arena);
        print_message("no conformance data: skipped\n");
        skip();
    }
    for (int i = 0; i < 30; i++) {
        ages[i] = (float)(15 + i);
        weeks[i] = (float)(17 + i);
    }
    pil_columns *c = pil_columns_new();
    pil_column *columns[] = { pil_categorical_column_with_vocabulary_list(c, "is_male", male, 3),
                              pil_categorical_column_with_vocabulary_list(c, "plurality", plural, 6),
                              pil_bucketized_column(c, pil_numeric_column(c, "mother_age"), ages, 30),
                              pil_bucketized_column(c, pil_numeric_column(c, "gestation_weeks"), weeks, 30), NULL };
    columns[4] = pil_crossed_column(c, PIL_KEYS(columns[0], columns[1], columns[2], columns[3]), 20000);
    static const char *const outputs[] = { "is_male_id", "plurality_id", "age_bucket", "gest_bucket", "crossed_id" };
    const char **cells = arena_alloc(arena, lab.rows * 4 * sizeof *cells, &status);
    for (size_t r = 0; r < lab.rows; r++)
        for (size_t i = 0; i < 4; i++)
            cells[r * 4 + i] = lab.cells[(r + 1) * lab.width + i];
    struct ran ran = run_rows(program_of(columns, 5, NULL), names, 4, cells, lab.rows);
    ASSERT_OK(ran.status);
    assert_int_equal(lab.rows, LAB_ROWS);
    for (size_t i = 0; i < COUNT_OF(outputs); i++)
        lab_check(&lab, &ran, (int)i, outputs[i]);
    ran_free(&ran);
    pil_columns_free(c);
    arena_free(arena);
}

/* ---- limits and errors ----------------------------------------------------------------------------------------- */

static void too_many_combinations(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *column = pil_crossed_column(c, PIL_KEYS(pil_key(c, "a"), pil_key(c, "b")), 10);
    static const char *const names[] = { "a", "b" };
    static const char *const cells[] = { "1|2|3", "4|5", "1|2|3", "1|2|3" };
    struct program *program = program_of(&column, 1, &(struct program_options){ .max_values_per_row = 6 });

    state_field(program, "a", PROGRAM_ANY_TYPE, '|');
    state_field(program, "b", PROGRAM_ANY_TYPE, '|');
    struct ran ran = run_rows(program, names, 2, cells, 2);
    assert_int_equal(ran.status.code, PIL_BAD_DATA);
    ASSERT_TEXT(ran.status, "rows.csv:3: column 'a_X_b': the row makes 9 combinations, more than max_values_per_row (6)");
    ran_free(&ran);
    pil_columns_free(c);
}

/* An integer goes into a cross as itself, not as its text. */
static void integers_and_texts(void **state)
{
    (void)state;
    pil_columns *c = pil_columns_new();
    pil_column *column = pil_crossed_column(c, PIL_KEYS(pil_key(c, "a"), pil_key(c, "b")), 1000000);
    static const char *const names[] = { "a", "b" };
    static const char *const cells[] = { "3", "5" };
    int32_t ids[2] = { 0 };

    for (int text = 0; text < 2; text++) {
        struct program *program = program_of(&column, 1, NULL);
        state_field(program, "a", text ? FIELD_STRING : FIELD_INT64, 0);
        state_field(program, "b", text ? FIELD_STRING : FIELD_INT64, 0);
        struct ran ran = run_rows(program, names, 2, cells, 1);
        ASSERT_OK(ran.status);
        ids[text] = id_of(&ran, 0, 0);
        ran_free(&ran);
    }
    /* sparse_cross of (3, 5) with 1000 buckets is 412 (TensorFlow 2.15); a million is a multiple of a thousand. */
    assert_int_equal(ids[0] % 1000, 412);
    assert_int_not_equal(ids[0], ids[1]);
    pil_columns_free(c);
}

static void errors(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "keys has 1; a cross needs at least two",
        "make buckets of it with bucketized_column",
        "name the raw field 'h' instead",
        "name the column without its weights",
        "keys are categorical columns and raw fields",
        "hash_bucket_size is 0",
        "keys is missing",
        "keys has 0",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        pil_columns *c = pil_columns_new();
        pil_column *k = pil_key(c, "k"), *h = pil_categorical_column_with_hash_bucket(c, "h", 5);
        pil_column *identity = pil_categorical_column_with_identity(c, "i", 5);
        pil_keys none = { NULL, 0 };
        switch (i) {
        case 0:
            pil_crossed_column(c, PIL_KEYS(k), 5);
            break;
        case 1:
            pil_crossed_column(c, PIL_KEYS(k, pil_numeric_column(c, "x")), 5);
            break;
        case 2:
            pil_crossed_column(c, PIL_KEYS(k, h), 5);
            break;
        case 3:
            pil_crossed_column(c, PIL_KEYS(k, pil_weighted_categorical_column(c, identity, "w")), 5);
            break;
        case 4:
            pil_crossed_column(c, PIL_KEYS(k, pil_indicator_column(c, identity)), 5);
            break;
        case 5:
            pil_crossed_column(c, PIL_KEYS(k, identity), 0);
            break;
        case 6:
            pil_crossed_column(c, PIL_KEYS(k, NULL), 5);
            break;
        default:
            pil_crossed_column(c, none, 5);
            break;
        }
        ASSERT_COLUMNS_FAIL(c, texts[i]);
        pil_columns_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_ids),         cmocka_unit_test(dense_and_sparse), cmocka_unit_test(conformance_crosses),
        cmocka_unit_test(names_of_crosses),   cmocka_unit_test(taxi_vocabulary),  cmocka_unit_test(taxi_identity),
        cmocka_unit_test(babyweight),         cmocka_unit_test(errors),           cmocka_unit_test(too_many_combinations),
        cmocka_unit_test(integers_and_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
