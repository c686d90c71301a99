/* SPDX-License-Identifier: Apache-2.0 */
/* Strided values become rows of floats, integers and words; a value for all rows is repeated; the JSON is what predict prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "export/export.h"

static const char *const words[] = { "on time", "late" };
static const pil_named_tensor items[] = {
    { .name = "logits" },
    { .name = "class_ids", .integer = true },
    { .name = "classes", .words = words, .word_count = 2 },
    { .name = "all_classes", .words = words, .word_count = 2 },
};

static void check_json(const struct outputs *outputs, int64_t row, const char *want)
{
    size_t count;
    struct text text = { 0 };
    const pil_output *list = outputs_items(outputs, &count);
    output_json(list, count, row, &text);
    assert_false(text.failed);
    assert_string_equal(text.data, want);
    text_free(&text);
}

static void rows_and_words(void **state)
{
    pil_status status = { 0 };
    struct tensor logits, ids, all;
    struct outputs *outputs = outputs_new(items, 4, &status);
    (void)state;
    assert_non_null(outputs);
    assert_true(tensor_new(&logits, DTYPE_FLOAT32, SHAPE(2, 3), true, &status)); /* padded: rows are not side by side */
    assert_true(tensor_new(&ids, DTYPE_FLOAT32, SHAPE(2, 1), true, &status));
    assert_true(tensor_new(&all, DTYPE_FLOAT32, SHAPE(2), false, &status));
    for (int i = 0; i < 3; i++) {
        tensor_floats(&logits)[i] = (float)i + 0.5f;
        tensor_floats(&logits)[logits.ld + i] = -(float)i;
    }
    tensor_floats(&ids)[ids.ld] = 1;
    tensor_floats(&all)[1] = 1;
    const struct tensor *const values[] = { &logits, &ids, &ids, &all };
    for (size_t i = 0; i < 4; i++)
        assert_true(outputs_set(outputs, i, values[i], &status));
    check_json(outputs, 0,
               "{\"logits\":[0.5,1.5,2.5],\"class_ids\":[0],\"classes\":[\"on time\"],\"all_classes\":[\"on time\",\"late\"]}");
    check_json(outputs, 1,
               "{\"logits\":[-0,-1,-2],\"class_ids\":[1],\"classes\":[\"late\"],\"all_classes\":[\"on time\",\"late\"]}");
    uint64_t before = mem_allocations();
    for (size_t i = 0; i < 4; i++)
        assert_true(outputs_set(outputs, i, values[i], &status));
    assert_int_equal(mem_allocations(), before);
    tensor_free(&logits);
    tensor_free(&ids);
    tensor_free(&all);
    outputs_free(outputs);
}

/* A number that no word belongs to is an empty word, never a read behind the list. */
static void a_word_that_is_none(void **state)
{
    pil_status status = { 0 };
    struct tensor ids;
    size_t count;
    struct outputs *outputs = outputs_new(&items[2], 1, &status);
    (void)state;
    assert_true(tensor_new(&ids, DTYPE_FLOAT32, SHAPE(3, 1), true, &status));
    tensor_floats(&ids)[0] = 7;
    tensor_floats(&ids)[ids.ld] = -1;
    tensor_floats(&ids)[2 * ids.ld] = 1;
    assert_true(outputs_set(outputs, 0, &ids, &status));
    const pil_output *output = outputs_items(outputs, &count);
    assert_string_equal(output->strings[0], "");
    assert_string_equal(output->strings[1], "");
    assert_string_equal(output->strings[2], "late");
    tensor_free(&ids);
    outputs_free(outputs);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rows_and_words), cmocka_unit_test(a_word_that_is_none) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
