/* SPDX-License-Identifier: Apache-2.0 */
/* TFRecord frames: TensorFlow's own file, there and back, every flipped byte and every cut found. */
#include "format/format.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void mask(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t crc = i * 2654435761u;
        assert_true(crc32c_unmask(crc32c_mask(crc)) == crc);
        assert_true(crc32c_mask(crc) != crc);
    }
    assert_true(crc32c_mask(0) == 0xA282EAD8u); /* stands in every index: the checksum of nothing */
}

static struct text three_records(void)
{
    struct text out = { 0 };
    record_put(&out, "first", 5);
    record_put(&out, "", 0);
    record_put(&out, "the third", 9);
    return out;
}

static void there_and_back(void **state)
{
    (void)state;
    struct text out = three_records();
    struct slice file = slice_of(out.data, out.size), record;
    size_t offset = 0;
    pil_status status = { 0 };
    assert_int_equal(out.size, 3 * 16 + 5 + 9);
    assert_true(record_next(file, &offset, &record, "f", &status) && slice_is(record, "first"));
    assert_true(record_next(file, &offset, &record, "f", &status) && slice_is(record, ""));
    assert_true(record_next(file, &offset, &record, "f", &status) && slice_is(record, "the third"));
    assert_false(record_next(file, &offset, &record, "f", &status));
    assert_true(status_ok(&status));
    assert_int_equal(offset, out.size);
    text_free(&out);
}

/* How many records are read before the end (status ok) or an error. */
static int count_records(struct slice file, pil_status *status)
{
    size_t offset = 0;
    struct slice record;
    int count = 0;
    while (record_next(file, &offset, &record, "some.tfrecord", status))
        count++;
    return count;
}

static void damage(void **state)
{
    (void)state;
    struct text out = three_records();
    for (size_t i = 0; i < out.size; i++) {
        pil_status status = { 0 };
        out.data[i] ^= 0x10;
        assert_true(count_records(slice_of(out.data, out.size), &status) < 3);
        assert_int_equal(status.code, PIL_BAD_DATA);
        assert_non_null(strstr(status.message, "some.tfrecord: "));
        out.data[i] ^= 0x10;
    }
    for (size_t cut = 0; cut < out.size; cut++) {
        pil_status status = { 0 };
        char *copy = malloc(cut + 1); /* of its own, so that reading beyond it is seen */
        assert_non_null(copy);
        memcpy(copy, out.data, cut);
        int count = count_records(slice_of(copy, cut), &status);
        bool between = cut == 0 || cut == 21 || cut == 37;
        assert_int_equal(status_ok(&status), between);
        assert_int_equal(count, cut < 21 ? 0 : cut < 37 ? 1 : 2);
        free(copy);
    }
    text_free(&out);
}

static void tensorflow_file(void **state)
{
    (void)state;
    size_t size;
    char *data = scratch_read("../shared/conformance/tf_checkpoints/tensorflow_testdata/tensorflow/c/testdata/tf_record", &size);
    if (data == NULL) {
        print_message("# ../shared/conformance is absent\n");
        skip();
    }
    pil_status status = { 0 };
    struct text again = { 0 };
    size_t offset = 0;
    struct slice record;
    while (record_next(slice_of(data, size), &offset, &record, "tf_record", &status))
        record_put(&again, record.data, record.size);
    assert_string_equal(status.message, "");
    assert_int_equal(again.size, size);
    assert_memory_equal(again.data, data, size);
    text_free(&again);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mask),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(damage),
        cmocka_unit_test(tensorflow_file),
    };
    return cmocka_run_group_tests_name("format/record", tests, NULL, NULL);
}
