/* SPDX-License-Identifier: Apache-2.0 */
/* A callback whose batches follow a formula, which can do anything wrong that a callback can; the program that reads it. */
#ifndef PILASTER_TESTS_CALLBACKS_H
#define PILASTER_TESTS_CALLBACKS_H

#include "feeds.h"

/* Batch b of epoch e has some rows; row r of it is number n, of which all its values follow. */
static inline int64_t batches_of(int64_t epoch)
{
    return 4 + epoch % 3;
}

static inline int64_t rows_of(int64_t epoch, int64_t batch)
{
    return 1 + (epoch * 5 + batch * 7) % 30;
}

static inline int64_t number_of(int64_t epoch, int64_t batch, int64_t row)
{
    return epoch * 100000 + batch * 100 + row;
}

enum { MOST = 32, IDS = 1000 };
/* What a callback does wrong in batch `at` (counted over all calls). */
enum fault {
    FAULT_NONE,
    FAULT_SAYS_SO,
    FAULT_OTHER_ROWS,
    FAULT_NO_ROWS,
    FAULT_NOTHING,
    FAULT_FORGETS,
    FAULT_TWICE,
    FAULT_TYPE,
    FAULT_UNKNOWN,
    FAULT_NULL,
    FAULT_SPLITS,
    FAULT_RETURNS_FALSE,
    FAULT_BAD_ID,
    FAULT_NO_BATCHES,
};
struct maker {
    int64_t calls, seeks, at;
    enum fault fault;
    bool no_label;
    int64_t next_epoch, next_batch; /* a callback that can only go on */
};

static inline void wrong(struct maker *maker, pil_batch *out, int64_t rows, const float *x)
{
    static const char *const words[MOST] = { "w" };
    static const int64_t splits[MOST + 1] = { 0, 1, 0 }, ints[MOST] = { 0 };
    switch (maker->fault) {
    case FAULT_OTHER_ROWS:
        pil_batch_set_strings(out, "word", words, rows + 1);
        break;
    case FAULT_TWICE:
        pil_batch_set_floats(out, "x", x, rows);
        break;
    case FAULT_TYPE:
        pil_batch_set_ints(out, "word", ints, rows);
        break;
    case FAULT_UNKNOWN:
        pil_batch_set_strings(out, "wird", words, rows);
        break;
    case FAULT_NULL:
        pil_batch_set_strings(out, "word", NULL, rows);
        break;
    case FAULT_SPLITS:
        pil_batch_set_ragged_strings(out, "tags", words, splits, rows);
        break;
    default:
        break;
    }
}

static inline bool make_batch(void *context, int64_t epoch, int64_t batch, pil_batch *out, pil_status *status)
{
    struct maker *maker = context;
    bool faulty = maker->fault != FAULT_NONE && maker->calls++ == maker->at;
    float x[MOST * X_WIDTH], id[MOST], weights[4 * MOST];
    char text[5 * MOST][32];
    const char *words[MOST], *tags[4 * MOST];
    int64_t ids[4 * MOST], tag_splits[MOST + 1] = { 0 }, id_splits[MOST + 1] = { 0 };
    assert_int_equal(epoch, maker->next_epoch);
    assert_int_equal(batch, maker->next_batch);
    if (maker->fault == FAULT_NO_BATCHES || batch == batches_of(epoch)) {
        maker->next_epoch++;
        maker->next_batch = 0;
        return false;
    }
    maker->next_batch++;
    if (faulty && maker->fault == FAULT_SAYS_SO) {
        *status = (pil_status){ PIL_IO, "the cable is out" };
        return maker->calls % 2;
    }
    if (faulty && maker->fault == FAULT_NOTHING)
        return true;
    int64_t rows = faulty && maker->fault == FAULT_NO_ROWS ? 0 : rows_of(epoch, batch);
    for (int64_t r = 0; r < rows; r++) {
        int64_t n = number_of(epoch, batch, r), t = tag_splits[r], i = id_splits[r];
        id[r] = (float)n;
        for (int k = 0; k < X_WIDTH; k++)
            x[r * X_WIDTH + k] = (float)(n + k);
        snprintf(text[r], sizeof(text[r]), "w%d", (int)n);
        words[r] = n % 5 == 0 ? NULL : text[r];
        for (int64_t k = 0; k < n % 4; k++, t++) {
            snprintf(text[MOST + t], sizeof(text[0]), "t%d", (int)(n + k));
            tags[t] = text[MOST + t];
        }
        for (int64_t k = 0; k < n % 3; k++, i++) {
            ids[i] = (n + k) % IDS;
            weights[i] = (float)k + 0.5f;
        }
        tag_splits[r + 1] = t;
        id_splits[r + 1] = i;
    }
    if (faulty && maker->fault == FAULT_BAD_ID)
        ids[0] = -7;
    pil_batch_set_floats(out, "x", x, rows);
    if (faulty)
        wrong(maker, out, rows, x);
    pil_batch_set_strings(out, "word", words, rows);
    pil_batch_set_ragged_strings(out, "tags", tags, tag_splits, rows);
    pil_batch_set_ragged_ints(out, "ids", ids, id_splits, rows);
    pil_batch_set_ragged_floats(out, "weights", weights, id_splits, rows);
    if (!maker->no_label)
        pil_batch_set_floats(out, "id", id, rows);
    if (!faulty || maker->fault != FAULT_FORGETS)
        pil_batch_set_ints(out, "unread", ids, rows);
    memset(text, '#', sizeof(text)); /* it was copied */
    return !faulty || maker->fault != FAULT_RETURNS_FALSE;
}

static inline bool go_to(void *context, int64_t epoch, int64_t batch, pil_status *status)
{
    struct maker *maker = context;
    maker->seeks++;
    if (maker->fault == FAULT_SAYS_SO) {
        *status = (pil_status){ PIL_NOT_FOUND, "it is not there" };
        return false;
    }
    maker->next_epoch = epoch;
    maker->next_batch = batch;
    return true;
}

static inline pil_dataset *new_callback(struct maker *maker, bool seeks, int64_t epochs)
{
    pil_dataset *dataset = pil_dataset_from_callback(
        PIL_FEATURE_SPECS({ "x", PIL_TYPE_FLOAT32, .shape = { X_WIDTH } }, { "word", PIL_TYPE_STRING },
                          { "tags", PIL_TYPE_STRING, .ragged = true }, { "ids", PIL_TYPE_INT64, .ragged = true },
                          { "weights", PIL_TYPE_FLOAT32, .ragged = true }, { "unread", PIL_TYPE_INT64 },
                          { "id", PIL_TYPE_FLOAT32 }),
        make_batch, .seek = seeks ? go_to : NULL, .context = maker, .label_name = "id", .num_epochs = epochs);
    pil_status status = pil_dataset_status(dataset);
    if (!status_ok(&status))
        fail_msg("%s", status.message);
    return dataset;
}

static inline struct model callback_model(const pil_dataset *dataset)
{
    pil_status status = { 0 };
    struct model model = { .columns = pil_columns_new(), .lists = true };
    pil_columns *c = model.columns;
    model.program = program_new(&(struct program_options){ 0 }, &status);
    model.x = program_dense(model.program, "x", X_WIDTH, &status);
    model.target = program_target(model.program, &(struct program_target){ .field = "id", .width = 1 }, &status);
    model.word = program_feature(model.program, pil_categorical_column_with_hash_bucket(c, "word", WORDS), &status);
    model.tags = program_feature(model.program, pil_categorical_column_with_hash_bucket(c, "tags", TAGS), &status);
    pil_column *ids = pil_categorical_column_with_identity(c, "ids", IDS);
    model.pairs = program_feature(model.program, pil_weighted_categorical_column(c, ids, "weights"), &status);
    pil_status made = pil_columns_status(c);
    if (!status_ok(&made) || !program_dataset(model.program, dataset, &status) || !program_finish(model.program, &status))
        fail_msg("%s %s", made.message, status.message);
    return model;
}

static inline void check_made(const struct model *model, const struct batch *batch, int64_t epoch, int64_t number, bool grouped)
{
    assert_int_equal(batch->rows, rows_of(epoch, number));
    const struct sparse *tags = &batch->features[model->tags], *pairs = &batch->features[model->pairs];
    char word[32];
    for (int64_t r = 0; r < batch->rows; r++) {
        const float *numbers = tensor_floats(&batch->numbers) + r * batch->numbers.ld;
        int64_t n = number_of(epoch, number, r);
        assert_true(numbers[model->target] == (float)n && numbers[model->x] == (float)n &&
                    numbers[model->x + 2] == (float)(n + 2));
        snprintf(word, sizeof(word), "w%d", (int)n);
        assert_int_equal(batch->features[model->word].ids[r], n % 5 == 0 ? -1 : hashed(word, WORDS));
        assert_int_equal(tags->offsets[r + 1] - tags->offsets[r], n % 4);
        assert_int_equal(pairs->offsets[r + 1] - pairs->offsets[r], n % 3);
        for (int64_t k = 0; k < n % 4; k++) {
            snprintf(word, sizeof(word), "t%d", (int)(n + k));
            assert_int_equal(tags->ids[tags->offsets[r] + k], hashed(word, TAGS));
        }
        for (int64_t k = 0; k < n % 3; k++) {
            assert_int_equal(pairs->ids[pairs->offsets[r] + k], (n + k) % IDS);
            assert_true(pairs->weights[pairs->offsets[r] + k] == (float)k + 0.5f);
        }
    }
    if (grouped)
        check_groups(tags);
    assert_int_equal(batch->cursor.epoch, epoch);
    assert_int_equal(batch->cursor.emitted, number + 1);
}

#endif
