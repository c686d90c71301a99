/* SPDX-License-Identifier: Apache-2.0 */
/* Reading checkpoint bundles: everything TensorFlow made gives what TensorFlow read from it; parts come together; damage of
 * any kind is an error or changes nothing. */
#include "failing.h"
#include "format/format.h"
#include "format/sha256.h"
#include "kernel/kernel.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CONFORMANCE "../shared/conformance/"

/* ---- what TensorFlow read ------------------------------------------------------------------------------------ */

static const char *tensorflow_name(enum dtype dtype)
{
    return (int)dtype == 8 ? "complex64" : dtype_name(dtype);
}

static void hash_tensor(struct bundle *bundle, const struct bundle_entry *entry, char digest[65])
{
    pil_status status = { 0 };
    struct sha256 hash = sha256_start();
    if (entry->dtype == DTYPE_STRING) {
        struct arena *arena = arena_new(&status);
        struct slice *items;
        assert_true(bundle_read_strings(bundle, entry, arena, &items, &status));
        for (int64_t i = 0; i < shape_elements(entry->shape); i++)
            sha256_add(&hash, items[i].data, items[i].size);
        arena_free(arena);
    } else {
        char *values = malloc((size_t)entry->bytes + 1);
        assert_true(bundle_read(bundle, entry, values, &status));
        sha256_add(&hash, values, (size_t)entry->bytes);
        free(values);
    }
    sha256_end(&hash, digest);
}

/* The contents are JSON with one item a line:  "name": { / "shape": [ / 3, / ], / "dtype": "float32", / "sha256": "...". */
static void check_contents(const char *json_path)
{
    size_t size;
    char *json = scratch_read(json_path, &size), prefix[1024] = CONFORMANCE "tf_checkpoints/", name[512] = "", digest[65];
    pil_status status = { 0 };
    struct bundle *bundle = NULL;
    const struct bundle_entry *entry = NULL;
    struct shape shape = SHAPE_SCALAR;
    bool in_shape = false;
    size_t tensors = 0;
    assert_non_null(json);
    for (char *save, *line = strtok_r(json, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        char *value = strstr(line, "\": ");
        if (in_shape && line[0] != ']')
            shape.dims[shape.rank++] = strtoll(line, NULL, 10);
        if (line[0] == ']')
            in_shape = false;
        if (value == NULL)
            continue;
        *value = '\0';
        value += 3;
        const char *key = line + 1;
        char *quote = value[0] == '"' ? strchr(value + 1, '"') : NULL;
        if (quote != NULL)
            *quote = '\0';
        if (strcmp(key, "checkpoint") == 0) {
            strcat(prefix, value + 1);
            bundle = bundle_open(prefix, &status);
            assert_string_equal(status.message, "");
        } else if (value[0] == '{' && strcmp(key, "tensors") != 0) {
            snprintf(name, sizeof name, "%s", key);
            shape = SHAPE_SCALAR;
            tensors++;
            entry = bundle_find(bundle, name);
            assert_non_null(entry);
            assert_string_equal(entry->name, name);
        } else if (strcmp(key, "shape") == 0) {
            in_shape = strchr(value, ']') == NULL;
        } else if (strcmp(key, "dtype") == 0) {
            assert_string_equal(tensorflow_name(entry->dtype), value + 1);
            assert_true(shape_equal(entry->shape, shape));
        } else if (strcmp(key, "sha256") == 0) {
            hash_tensor(bundle, entry, digest);
            assert_string_equal(digest, value + 1);
        }
    }
    assert_true(tensors > 0);
    assert_int_equal(bundle_count(bundle), tensors);
    assert_true(bundle_verify(bundle, &status));
    bundle_close(bundle);
    free(json);
}

static void tensorflow_contents(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char **names, path[1024];
    size_t count, checked = 0;
    if (!file_is_folder(CONFORMANCE "tf_checkpoint_contents")) {
        arena_free(arena);
        print_message("# ../shared/conformance is absent\n");
        skip();
    }
    assert_true(file_list(CONFORMANCE "tf_checkpoint_contents", arena, &names, &count, &status));
    for (size_t i = 0; i < count; i++) {
        if (strstr(names[i], ".json") == NULL)
            continue;
        snprintf(path, sizeof path, CONFORMANCE "tf_checkpoint_contents/%s", names[i]);
        check_contents(path);
        checked++;
    }
    assert_true(checked >= 27);
    arena_free(arena);
}

/* 4,000 float64 scalars: "name<TAB>value" a line. */
static void many_variables(void **state)
{
    (void)state;
    size_t size;
    pil_status status = { 0 };
    char *list = scratch_read(CONFORMANCE "tf_checkpoint_contents/tf_made_bundles__many4000.tsv", &size);
    if (list == NULL) {
        print_message("# ../shared/conformance is absent\n");
        skip();
    }
    struct bundle *bundle = bundle_open(CONFORMANCE "tf_checkpoints/tf_made_bundles/many4000", &status);
    assert_non_null(bundle);
    size_t count = 0;
    for (char *save, *line = strtok_r(list, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        char *tab = strchr(line, '\t');
        if (line[0] == '#' || tab == NULL)
            continue;
        *tab = '\0';
        double value = 0;
        const struct bundle_entry *entry = bundle_at(bundle, count++);
        assert_string_equal(entry->name, line);
        assert_ptr_equal(bundle_find(bundle, line), entry);
        assert_int_equal(entry->dtype, DTYPE_FLOAT64);
        assert_true(bundle_read(bundle, entry, &value, &status));
        assert_true(value == strtod(tab + 1, NULL));
    }
    assert_int_equal(count, 4000);
    assert_int_equal(bundle_count(bundle), 4000);
    bundle_close(bundle);
    free(list);
}

/* ---- a bundle of our own, some of it in parts ---------------------------------------------------------------- */

static void put_entry(struct table_writer *writer, struct slice key, struct shape shape, int64_t offset, int64_t bytes,
                      uint32_t crc, const char *slices, size_t slices_size)
{
    struct text entry = { 0 }, message = { 0 };
    wire_put_uint(&entry, 1, DTYPE_FLOAT32);
    for (int d = 0; d < shape.rank; d++) {
        struct text dim = { 0 };
        wire_put_uint(&dim, 1, (uint64_t)shape.dims[d]);
        wire_put_message(&message, 2, &dim);
        text_free(&dim);
    }
    wire_put_message(&entry, 2, &message);
    if (slices == NULL) {
        wire_put_uint(&entry, 4, (uint64_t)offset);
        wire_put_uint(&entry, 5, (uint64_t)bytes);
        wire_put_fixed32(&entry, 6, crc);
    } else {
        text_append(&entry, slices, slices_size);
    }
    pil_status status = { 0 };
    assert_true(table_put(writer, key, slice_of(entry.data, entry.size), &status));
    text_free(&entry);
    text_free(&message);
}

/* "part" [4, 3] in two parts of two rows (the second first in the file), and "plain" [3]. The lists of parts that
 * TensorFlow would never write are for the tests of damage. */
static void make_parted(const char *prefix, const char *slices, size_t slices_size)
{
    static const float data[] = { 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, -1, -2, -3 };
    pil_status status = { 0 };
    char path[600];
    struct table_writer *writer = table_writer_new(&status);
    assert_true(table_put(writer, slice_of("", 0), slice_of("\x08\x01", 2), &status));
    uint32_t crc[3];
    for (int i = 0; i < 3; i++)
        crc[i] = crc32c_mask(crc32c(0, data + 6 * i, i < 2 ? 24 : 12));
    /* name, 00 01, rank 2, start and length of the rows, all columns (start 0, length -1) */
    put_entry(writer, slice_of("\0part\0\1\1\2\x80\x82\x80\x7F", 13), SHAPE(2, 3), 24, 24, crc[1], NULL, 0);
    put_entry(writer, slice_of("\0part\0\1\1\2\x82\x82\x80\x7F", 13), SHAPE(2, 3), 0, 24, crc[0], NULL, 0);
    put_entry(writer, slice_text("part"), SHAPE(4, 3), 0, 0, 0, slices, slices_size);
    put_entry(writer, slice_text("plain"), SHAPE(3), 48, 12, crc[2], NULL, 0);
    struct text index = { 0 };
    assert_true(table_finish(writer, &index, &status));
    snprintf(path, sizeof path, "%s.index", prefix);
    scratch_write(path, index.data, index.size);
    snprintf(path, sizeof path, "%s.data-00000-of-00001", prefix);
    scratch_write(path, data, sizeof data);
    text_free(&index);
}

/* {7: {1: extent {2: 2}, 1: extent {}}} and {7: {1: extent {1: 2, 2: 2}, 1: extent {}}} */
static const char TWO_PARTS[] = "\x3A\x06\x0A\x02\x10\x02\x0A\x00"
                                "\x3A\x08\x0A\x04\x08\x02\x10\x02\x0A\x00";

static void parts_come_together(void **state)
{
    (void)state;
    pil_status status = { 0 };
    const char *prefix = scratch_path("parted");
    make_parted(prefix, TWO_PARTS, sizeof TWO_PARTS - 1);
    struct bundle *bundle = bundle_open(prefix, &status);
    assert_string_equal(status.message, "");
    assert_int_equal(bundle_count(bundle), 2);
    const struct bundle_entry *entry = bundle_find(bundle, "part");
    assert_true(entry->partitioned);
    assert_int_equal(entry->bytes, 48);
    float out[12] = { 0 };
    assert_true(bundle_read(bundle, entry, out, &status));
    for (int i = 0; i < 12; i++)
        assert_true(out[i] == (float)i);
    struct tensor tensor;
    assert_true(tensor_new(&tensor, DTYPE_FLOAT32, SHAPE(4, 3), false, &status));
    assert_true(bundle_read_tensor(bundle, entry, &tensor, &status));
    assert_true(tensor.ld > 3);
    for (int i = 0; i < 12; i++)
        assert_true(tensor_floats(&tensor)[i / 3 * tensor.ld + i % 3] == (float)i);
    tensor_free(&tensor);
    assert_true(bundle_verify(bundle, &status));
    assert_true(bundle_check(bundle, entry, &status));
    assert_true(bundle_read(bundle, bundle_find(bundle, "plain"), out, &status));
    assert_true(out[0] == -1 && out[2] == -3);
    assert_null(bundle_find(bundle, "par"));
    assert_null(bundle_find(bundle, "parts"));
    assert_null(bundle_find(bundle, ""));
    bundle_close(bundle);
}

/* Lists of parts that are wrong: what the error says. */
static void wrong_parts(void **state)
{
    (void)state;
    static const struct {
        const char *slices;
        size_t size;
        const char *message;
    } cases[] = {
        { TWO_PARTS, 8, "the parts of 'part' cover 6 of its 12 values" },
        { "\x3A\x06\x0A\x02\x10\x02\x0A\x00\x3A\x06\x0A\x02\x10\x02\x0A\x00", 16, "its parts overlap" },
        { "\x3A\x06\x0A\x02\x10\x05\x0A\x00", 8, "its parts" },                   /* five rows of four */
        { "\x3A\x04\x0A\x02\x10\x02", 6, "its parts" },                           /* one dimension of two */
        { "\x3A\x08\x0A\x02\x10\x02\x0A\x00\x0A\x00", 10, "its parts" },          /* three */
        { "\x3A\x08\x0A\x04\x08\x03\x10\x02\x0A\x00", 10, "its parts" },          /* rows 3 and 4 */
        { "\x3A\x06\x0A\x02\x10\x04\x0A\x00", 8, "a part of 'part' is missing" }, /* no such key */
        { "\x3A\x11\x0A\x0D\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F\x10\x02\x0A\x00", 19, "its parts" }, /* starts at 2^63 - 1 */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_status status = { 0 };
        float out[12];
        const char *prefix = scratch_path("parted");
        make_parted(prefix, cases[i].slices, cases[i].size);
        struct bundle *bundle = bundle_open(prefix, &status);
        assert_string_equal(status.message, "");
        assert_false(bundle_read(bundle, bundle_find(bundle, "part"), out, &status));
        assert_int_equal(status.code, PIL_BAD_DATA);
        assert_non_null(strstr(status.message, cases[i].message));
        bundle_close(bundle);
    }
}

/* ---- damage -------------------------------------------------------------------------------------------------- */

static void write_small(const char *prefix)
{
    pil_status status = { 0 };
    static const float values[6] = { 1, -2, 3.5f, 0, 1e30f, -0.0f };
    static const int64_t step = 60;
    struct slice words[3] = { slice_text("one"), slice_text(""), slice_text("three") };
    struct bundle_writer *writer = bundle_writer_new(prefix, &status);
    assert_true(bundle_begin(writer, "dnn/kernel", DTYPE_FLOAT32, SHAPE(2, 3), &status));
    assert_true(bundle_data(writer, values, sizeof values, &status) && bundle_end(writer, &status));
    assert_true(bundle_begin(writer, "global_step", DTYPE_INT64, SHAPE_SCALAR, &status));
    assert_true(bundle_data(writer, &step, sizeof step, &status) && bundle_end(writer, &status));
    assert_true(bundle_strings(writer, "words", SHAPE(3), words, &status));
    assert_true(bundle_writer_finish(writer, &status));
}

/* Opens and reads all; with `digest` what was read. */
static bool read_all(const char *prefix, char digest[65], pil_status *status)
{
    struct sha256 hash = sha256_start();
    struct arena *arena = arena_new(status);
    struct bundle *bundle = bundle_open(prefix, status);
    bool fine = bundle != NULL;
    for (size_t i = 0; fine && i < bundle_count(bundle); i++) {
        const struct bundle_entry *entry = bundle_at(bundle, i);
        struct slice *items;
        sha256_add(&hash, entry->name, strlen(entry->name) + 1);
        sha256_add(&hash, &entry->shape, sizeof entry->shape);
        if (entry->dtype == DTYPE_STRING) {
            fine = bundle_read_strings(bundle, entry, arena, &items, status);
            for (int64_t k = 0; fine && k < shape_elements(entry->shape); k++)
                sha256_add(&hash, items[k].data, items[k].size + 1);
        } else {
            char *values = entry->bytes < 1 << 20 ? malloc((size_t)entry->bytes + 1) : NULL;
            fine = values != NULL && bundle_read(bundle, entry, values, status);
            if (fine)
                sha256_add(&hash, values, (size_t)entry->bytes);
            free(values);
        }
    }
    if (bundle != NULL)
        bundle_verify(bundle, status);
    bundle_close(bundle);
    arena_free(arena);
    if (digest != NULL)
        sha256_end(&hash, digest);
    return fine;
}

static void damage_file(const char *prefix, const char *path)
{
    size_t size = 0;
    char *original = scratch_read(path, &size), *copy = malloc(size), expected[65], got[65];
    pil_status status = { 0 };
    int harmless = 0;
    assert_true(read_all(prefix, expected, &status));
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit += 7) {
            memcpy(copy, original, size);
            copy[i] ^= (char)(1 << bit);
            scratch_write(path, copy, size);
            status_clear(&status);
            if (read_all(prefix, got, &status)) {
                assert_string_equal(got, expected);
                harmless++;
            } else {
                assert_false(status_ok(&status));
            }
        }
    }
    assert_true(harmless <= 2 * 40); /* the footer's padding */
    for (size_t cut = 0; cut < size; cut++) {
        scratch_write(path, original, cut);
        status_clear(&status);
        assert_false(read_all(prefix, NULL, &status));
        assert_int_equal(status.code, PIL_BAD_DATA);
    }
    scratch_write(path, original, size);
    free(original);
    free(copy);
}

static void flips_and_cuts(void **state)
{
    (void)state;
    const char *prefix = scratch_path("small"), *index = scratch_path("small.index"),
               *data = scratch_path("small.data-00000-of-00001");
    write_small(prefix);
    damage_file(prefix, index);
    damage_file(prefix, data);
    prefix = scratch_path("parted");
    make_parted(prefix, TWO_PARTS, sizeof TWO_PARTS - 1);
    damage_file(prefix, scratch_path("parted.index"));
}

/* The same with the index's checksum mended after each change: whatever it says, nothing is read that is not there. */
static void hostile_index(void **state)
{
    (void)state;
    static const char *const names[] = { "small", "parted" };
    static const unsigned char values[] = { 0x00, 0x01, 0x0B, 0x7F, 0x80, 0xFF };
    write_small(scratch_path("small"));
    make_parted(scratch_path("parted"), TWO_PARTS, sizeof TWO_PARTS - 1);
    for (size_t n = 0; n < COUNT_OF(names); n++) {
        const char *prefix = scratch_path(names[n]);
        char path[600];
        size_t size = 0;
        snprintf(path, sizeof path, "%s.index", prefix);
        char *original = scratch_read(path, &size), *copy = malloc(size);
        struct slice footer = slice_of(original + size - 48, 48);
        uint64_t metaindex;
        assert_true(wire_varint(&footer, &metaindex));
        size_t block = (size_t)metaindex - 5;
        int survived = 0;
        for (size_t i = 0; i < block; i++) {
            for (size_t v = 0; v < COUNT_OF(values); v++) {
                pil_status status = { 0 };
                memcpy(copy, original, size);
                copy[i] = (char)values[v];
                uint32_t crc = crc32c_mask(crc32c(0, copy, block + 1));
                for (size_t k = 0; k < 4; k++)
                    copy[block + 1 + k] = (char)(crc >> (8 * k));
                scratch_write(path, copy, size);
                survived += read_all(prefix, NULL, &status);
            }
        }
        assert_true(survived > 0);
        free(original);
        free(copy);
    }
}

static void expect_open_error(const char *prefix, pil_code code, const char *text)
{
    pil_status status = { 0 };
    assert_null(bundle_open(prefix, &status));
    assert_int_equal(status.code, code);
    assert_non_null(strstr(status.message, text));
}

static void write_index(const char *prefix, const char *header, size_t size)
{
    pil_status status = { 0 };
    struct text index = { 0 };
    char path[600];
    struct table_writer *writer = table_writer_new(&status);
    assert_true(table_put(writer, slice_of("", 0), slice_of(header, size), &status) && table_finish(writer, &index, &status));
    snprintf(path, sizeof path, "%s.index", prefix);
    scratch_write(path, index.data, index.size);
    text_free(&index);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    pil_status status = { 0 };
    expect_open_error(scratch_path("none"), PIL_NOT_FOUND, "none: no such checkpoint (there is no ");
    scratch_write(scratch_path("first"), "values", 6);
    expect_open_error(scratch_path("first"), PIL_UNSUPPORTED, "first: a checkpoint of TensorFlow's first format");
    write_index(scratch_path("big"), "\x08\x01\x10\x01", 4);
    expect_open_error(scratch_path("big"), PIL_UNSUPPORTED, "big.index: the values are big-endian");
    write_index(scratch_path("new"), "\x08\x01\x1A\x02\x10\x02", 6);
    expect_open_error(scratch_path("new"), PIL_UNSUPPORTED, "new.index: written in version 2");
    write_index(scratch_path("none"), "\x08\x00", 2);
    expect_open_error(scratch_path("none"), PIL_BAD_DATA, "none.index: the header is damaged");
    write_index(scratch_path("many"), "\x08\xFF\xFF\xFF\xFF\x07", 6);
    expect_open_error(scratch_path("many"), PIL_BAD_DATA, "many.index: the header is damaged");

    write_small(scratch_path("small"));
    struct bundle *bundle = bundle_open(scratch_path("small"), &status);
    struct slice *items;
    float values[6];
    assert_false(bundle_read(bundle, bundle_find(bundle, "words"), values, &status));
    assert_non_null(strstr(status.message, "'words' holds strings"));
    status_clear(&status);
    assert_false(bundle_read_strings(bundle, bundle_find(bundle, "global_step"), NULL, &items, &status));
    assert_non_null(strstr(status.message, "'global_step' holds numbers"));
    status_clear(&status);
    unlink(scratch_path("small.data-00000-of-00001"));
    assert_false(bundle_read(bundle, bundle_find(bundle, "dnn/kernel"), values, &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
    assert_non_null(strstr(status.message, "small.data-00000-of-00001"));
    bundle_close(bundle);
}

static void out_of_memory(void **state)
{
    (void)state;
    write_small(scratch_path("small"));
    make_parted(scratch_path("parted"), TWO_PARTS, sizeof TWO_PARTS - 1);
    static const char *const names[] = { "small", "parted" };
    for (size_t k = 0; k < COUNT_OF(names); k++) {
        for (int64_t n = 0;; n++) {
            pil_status status = { 0 };
            failing_start(n, false);
            struct arena *arena = arena_new(&status);
            struct bundle *bundle = arena != NULL ? bundle_open(scratch_path(names[k]), &status) : NULL;
            bool worked = bundle != NULL && bundle_verify(bundle, &status);
            float values[12];
            struct slice *items;
            if (worked && k == 0)
                worked = bundle_read_strings(bundle, bundle_find(bundle, "words"), arena, &items, &status);
            else if (worked)
                worked = bundle_read(bundle, bundle_find(bundle, "part"), values, &status);
            bundle_close(bundle);
            arena_free(arena);
            long long live = failing_live;
            bool reached = failing_stop();
            assert_int_equal(live, 0);
            if (!reached)
                break;
            assert_false(worked);
            assert_int_equal(status.code, PIL_NO_MEMORY);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensorflow_contents),    cmocka_unit_test(many_variables),
        cmocka_unit_test(parts_come_together),    cmocka_unit_test(wrong_parts),
        cmocka_unit_test(flips_and_cuts),         cmocka_unit_test(hostile_index),
        cmocka_unit_test(what_is_wrong_is_named), cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("format/bundle", tests, scratch_set_up, scratch_tear_down);
}
