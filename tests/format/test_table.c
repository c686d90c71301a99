/* SPDX-License-Identifier: Apache-2.0 */
/* Sorted string tables: there and back over several blocks, TensorFlow's own bytes, damage with and without the checksums
 * that would catch it. */
#include "failing.h"
#include "format/format.h"
#include "kernel/kernel.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct text make_table(int count, size_t value_size)
{
    pil_status status = { 0 };
    struct text out = { .limit = SIZE_MAX / 2 };
    struct table_writer *writer = table_writer_new(&status);
    char *value = calloc(1, value_size + 16);
    assert_non_null(writer);
    assert_non_null(value);
    for (int i = 0; i < count; i++) {
        char key[64];
        int key_size = i == 0 ? 0 : snprintf(key, sizeof key, "layer_%04d/kernel/%d", i / 3, i % 3);
        snprintf(value, value_size + 16, "value %d", i);
        assert_true(table_put(writer, slice_of(key, (size_t)key_size), slice_of(value, value_size), &status));
    }
    assert_true(table_finish(writer, &out, &status));
    assert_string_equal(status.message, "");
    free(value);
    return out;
}

static void there_and_back(void **state)
{
    (void)state;
    static const struct {
        int count;
        size_t value_size;
    } cases[] = { { 0, 8 }, { 1, 8 }, { 16, 8 }, { 17, 8 }, { 1000, 8 }, { 5000, 200 } }; /* the last: four blocks */
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        pil_status status = { 0 };
        struct text out = make_table(cases[c].count, cases[c].value_size);
        struct table *table = table_open(slice_of(out.data, out.size), "t", &status);
        assert_non_null(table);
        assert_int_equal(table_count(table), cases[c].count);
        for (int i = 0; i < cases[c].count; i++) {
            char expected[64];
            if (i > 0) {
                snprintf(expected, sizeof expected, "layer_%04d/kernel/%d", i / 3, i % 3);
                assert_true(slice_is(table_key(table, (size_t)i), expected));
                assert_int_equal(table_key(table, (size_t)i).data[strlen(expected)], '\0');
            }
            snprintf(expected, sizeof expected, "value %d", i);
            assert_int_equal(table_value(table, (size_t)i).size, cases[c].value_size);
            assert_memory_equal(table_value(table, (size_t)i).data, expected, MIN(strlen(expected), cases[c].value_size));
        }
        table_close(table);
        text_free(&out);
    }
}

static void order_is_kept(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct table_writer *writer = table_writer_new(&status);
    assert_true(table_put(writer, slice_text("b"), slice_text("1"), &status));
    assert_false(table_put(writer, slice_text("b"), slice_text("2"), &status));
    assert_int_equal(status.code, PIL_INTERNAL);
    status_clear(&status);
    assert_false(table_put(writer, slice_text("a"), slice_text("2"), &status));
    table_writer_free(writer);
}

/* Every index of TensorFlow's, taken apart and written again: 4,000 variables make two blocks. */
static void tensorflow_bytes(void **state)
{
    (void)state;
    static const char *const names[] = { "many4000", "dtypes", "partitioned", "sharded2" };
    for (size_t n = 0; n < COUNT_OF(names); n++) {
        char path[256];
        size_t size;
        snprintf(path, sizeof path, "../shared/conformance/tf_checkpoints/tf_made_bundles/%s.index", names[n]);
        char *data = scratch_read(path, &size);
        if (data == NULL) {
            print_message("# ../shared/conformance is absent\n");
            skip();
        }
        pil_status status = { 0 };
        struct table *table = table_open(slice_of(data, size), path, &status);
        assert_string_equal(status.message, "");
        struct table_writer *writer = table_writer_new(&status);
        for (size_t i = 0; i < table_count(table); i++)
            assert_true(table_put(writer, table_key(table, i), table_value(table, i), &status));
        struct text again = { 0 };
        assert_true(table_finish(writer, &again, &status));
        assert_int_equal(again.size, size);
        assert_memory_equal(again.data, data, size);
        text_free(&again);
        table_close(table);
        free(data);
    }
}

/* Reads all of it; returns whether it was a table at all. The bytes lie in memory of their own size. */
static bool read_table(const char *data, size_t size, pil_status *status)
{
    char *copy = malloc(MAX(size, 1));
    memcpy(copy, data, size);
    struct table *table = table_open(slice_of(copy, size), "some.index", status);
    uint32_t crc = 0;
    for (size_t i = 0; table != NULL && i < table_count(table); i++) {
        crc = crc32c(crc, table_key(table, i).data, table_key(table, i).size + 1);
        crc = crc32c(crc, table_value(table, i).data, table_value(table, i).size);
    }
    bool fine = table != NULL;
    if (fine && size > 0)
        copy[0] = (char)crc; /* so that the loop is not optimised away */
    table_close(table);
    free(copy);
    return fine;
}

static bool same_table(const char *a, size_t a_size, const char *b, size_t b_size)
{
    struct table *x = table_open(slice_of(a, a_size), "x", NULL), *y = table_open(slice_of(b, b_size), "y", NULL);
    bool same = x != NULL && y != NULL && table_count(x) == table_count(y);
    for (size_t i = 0; same && i < table_count(x); i++)
        same = slice_equal(table_key(x, i), table_key(y, i)) && slice_equal(table_value(x, i), table_value(y, i));
    table_close(x);
    table_close(y);
    return same;
}

static void flips_and_cuts(void **state)
{
    (void)state;
    struct text out = make_table(40, 12);
    char *copy = malloc(out.size);
    int harmless = 0;
    for (size_t i = 0; i < out.size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            pil_status status = { 0 };
            memcpy(copy, out.data, out.size);
            copy[i] ^= (char)(1 << bit);
            if (read_table(copy, out.size, &status)) {
                assert_true(same_table(copy, out.size, out.data, out.size));
                harmless++;
            } else {
                assert_true(status.code == PIL_BAD_DATA || status.code == PIL_UNSUPPORTED);
            }
        }
    }
    assert_true(harmless < 40 * 8); /* only the footer's padding */
    for (size_t cut = 0; cut < out.size; cut++) {
        pil_status status = { 0 };
        assert_false(read_table(out.data, cut, &status));
        assert_int_equal(status.code, PIL_BAD_DATA);
    }
    free(copy);
    text_free(&out);
}

/* A hostile file has right checksums, so every byte of block and footer is changed and the checksums are mended. */
static void hostile(void **state)
{
    (void)state;
    struct text out = make_table(40, 12);
    struct slice footer = slice_of(out.data + out.size - 48, 48);
    uint64_t handle[4];
    for (int i = 0; i < 4; i++)
        assert_true(wire_varint(&footer, &handle[i]));
    uint64_t blocks[3][2] = { { 0, handle[0] - 5 }, { handle[0], handle[1] }, { handle[2], handle[3] } };
    char *copy = malloc(out.size);
    int survived = 0;
    static const unsigned char values[] = { 0x00, 0x01, 0x7F, 0x80, 0xFF, 0x10, 0x3F };
    for (int b = 0; b < 3; b++) {
        for (uint64_t i = blocks[b][0]; i < blocks[b][0] + blocks[b][1]; i++) {
            for (size_t v = 0; v < COUNT_OF(values); v++) {
                pil_status status = { 0 };
                memcpy(copy, out.data, out.size);
                copy[i] = (char)values[v];
                uint64_t end = blocks[b][0] + blocks[b][1] + 1;
                uint32_t crc = crc32c_mask(crc32c(0, copy + blocks[b][0], (size_t)blocks[b][1] + 1));
                for (int k = 0; k < 4; k++)
                    copy[end + (uint64_t)k] = (char)(crc >> (8 * k));
                if (read_table(copy, out.size, &status))
                    survived++;
                else
                    assert_true(status.code == PIL_BAD_DATA || status.code == PIL_UNSUPPORTED);
            }
        }
    }
    assert_true(survived > 0); /* changed letters of values are a table still: the checksums were mended rightly */
    free(copy);
    text_free(&out);
}

static void mend(struct text *file, size_t block, size_t size)
{
    uint32_t crc = crc32c_mask(crc32c(0, file->data + block, size + 1));
    for (size_t k = 0; k < 4; k++)
        file->data[block + size + 1 + k] = (char)(crc >> (8 * k));
}

static void compressed_is_named(void **state)
{
    (void)state;
    struct text out = make_table(3, 8);
    struct slice footer = slice_of(out.data + out.size - 48, 48);
    uint64_t metaindex;
    assert_true(wire_varint(&footer, &metaindex));
    size_t size = (size_t)metaindex - 5;
    out.data[size] = 2;
    mend(&out, 0, size);
    pil_status status = { 0 };
    assert_false(read_table(out.data, out.size, &status));
    assert_int_equal(status.code, PIL_UNSUPPORTED);
    assert_non_null(strstr(status.message, "some.index: the block at byte 0 is compressed in a way (2)"));
    text_free(&out);
}

/* Three bytes an entry, each a key of some kilobytes: a small file must not ask for gigabytes. */
static void expanding_keys_are_refused(void **state)
{
    (void)state;
    struct text block = { 0 }, file = { .limit = SIZE_MAX / 2 };
    wire_put_varint(&block, 0);
    wire_put_varint(&block, 30000);
    wire_put_varint(&block, 0);
    static const char letters[30000] = { 1 };
    text_append(&block, letters, sizeof letters);
    for (int i = 0; i < 20000; i++) {
        wire_put_varint(&block, (uint64_t)(30000 + i));
        wire_put_varint(&block, 1);
        wire_put_varint(&block, 0);
        text_append(&block, "a", 1);
    }
    text_append(&block, "\0\0\0\0\1\0\0\0", 8);
    text_append(&file, block.data, block.size);
    text_append(&file, "\0\0\0\0\0", 5);
    mend(&file, 0, block.size);
    struct text index = { 0 }, handle = { 0 };
    wire_put_varint(&handle, 0);
    wire_put_varint(&handle, block.size);
    text_append(&index, "\0\1", 2);
    wire_put_varint(&index, handle.size);
    text_append(&index, "b", 1);
    text_append(&index, handle.data, handle.size);
    text_append(&index, "\0\0\0\0\1\0\0\0", 8);
    size_t at = file.size;
    text_append(&file, index.data, index.size);
    text_append(&file, "\0\0\0\0\0", 5);
    mend(&file, at, index.size);
    struct text footer = { 0 };
    for (int i = 0; i < 2; i++) { /* the metaindex may be any block */
        wire_put_varint(&footer, at);
        wire_put_varint(&footer, index.size);
    }
    static const char zeros[48];
    text_append(&footer, zeros, 40 - footer.size);
    text_append(&footer, "\x57\xFB\x80\x8B\x24\x75\x47\xDB", 8);
    text_append(&file, footer.data, footer.size);

    pil_status status = { 0 };
    assert_false(read_table(file.data, file.size, &status));
    assert_int_equal(status.code, PIL_BAD_DATA);
    assert_non_null(strstr(status.message, "its keys take more than"));
    text_free(&block);
    text_free(&file);
    text_free(&index);
    text_free(&handle);
    text_free(&footer);
}

static void out_of_memory(void **state)
{
    (void)state;
    struct text out = make_table(100, 20);
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        struct table *table = table_open(slice_of(out.data, out.size), "t", &status);
        bool worked = table != NULL;
        table_close(table);
        long long live = failing_live;
        bool reached = failing_stop();
        assert_int_equal(live, 0);
        if (!reached)
            break;
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        struct text again = { 0 };
        struct table_writer *writer = table_writer_new(&status);
        bool worked = writer != NULL;
        for (int i = 0; worked && i < 20; i++) {
            char key[16];
            snprintf(key, sizeof key, "key%04d", i);
            worked = table_put(writer, slice_text(key), slice_text("value"), &status);
        }
        if (worked)
            worked = table_finish(writer, &again, &status);
        else
            table_writer_free(writer);
        text_free(&again);
        long long live = failing_live;
        bool reached = failing_stop();
        assert_int_equal(live, 0);
        if (!reached)
            break;
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
    text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(order_is_kept),
        cmocka_unit_test(tensorflow_bytes),
        cmocka_unit_test(flips_and_cuts),
        cmocka_unit_test(hostile),
        cmocka_unit_test(compressed_is_named),
        cmocka_unit_test(expanding_keys_are_refused),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("format/table", tests, NULL, NULL);
}
