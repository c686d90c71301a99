/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fingerprints against TensorFlow's and farmhash's own values, crosses and checksums against TensorFlow's; and the checksum
 * of every length, in one piece and in two, against its definition bit by bit.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/kernel.h"

#include "kernel/golden.h"

/* ---- fingerprint64 ---- */

static void fingerprints(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item, key;
    int count = 0;
    assert_true(golden_open(&golden, "tests/golden/fingerprint64.json"));
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        struct slice text = golden_get(&item, "string").text;
        uint64_t hash = fingerprint64(text.data, text.size);
        char decimal[32];
        snprintf(decimal, sizeof decimal, "%llu", (unsigned long long)hash);
        assert_true(slice_is(golden_get(&item, "fingerprint64").text, decimal));
        struct json_value buckets = golden_get(&item, "bucket");
        struct slice size;
        for (struct json_walk each = json_children(&buckets); json_next(&each, &size, &key);) {
            int64_t n;
            assert_true(parse_int64(size, &n));
            assert_int_equal(hash % (uint64_t)n, key.integer);
        }
    }
    assert_true(count > 100);
    golden_close(&golden);
}

/* farmhash's self test: pieces of a megabyte, up to all of it. */
static void farmhash(void **state)
{
    (void)state;
    struct file_data data = { 0 }, table = { 0 };
    pil_status status;
    status_clear(&status);
    if (!file_exists("../shared/conformance/farmhash/data_1MiB.bin")) {
        print_message("farmhash's self test is absent (../shared/conformance)\n");
        skip();
    }
    assert_true(file_load("../shared/conformance/farmhash/data_1MiB.bin", &data, &status));
    assert_true(file_load("../shared/conformance/farmhash/farmhashna_hash64.tsv", &table, &status));
    int count = 0;
    for (const char *line = table.data, *end = line + table.size; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        char text[128];
        size_t size = (size_t)((next ? next : end) - line), offset, length;
        unsigned long long want;
        assert_true(size < sizeof text);
        memcpy(text, line, size);
        text[size] = '\0';
        line += size + 1;
        if (sscanf(text, "%zu %zu %llx", &offset, &length, &want) != 3)
            continue;
        assert_true(offset + length <= data.size);
        assert_true(fingerprint64(data.data + offset, length) == want);
        count++;
    }
    assert_int_equal(count, 362);
    file_unload(&data);
    file_unload(&table);
}

/* ---- crosses and buckets ---- */

static void check_hash(uint64_t hash, struct slice want)
{
    char decimal[32];
    snprintf(decimal, sizeof decimal, "%llu", (unsigned long long)hash);
    assert_true(slice_is(want, decimal));
}

static uint64_t hash_text(struct slice text)
{
    return fingerprint64(text.data, text.size);
}

/* A pair of strings, one crossed with the other. */
static void check_pair(const struct json_value *item)
{
    struct json_value input = golden_get(item, "input"), a, b;
    struct json_walk sides = json_children(&input);
    assert_true(json_next(&sides, NULL, &a) && json_next(&sides, NULL, &b));
    check_hash(fingerprint_cat64(hash_text(a.text), hash_text(b.text)), golden_get(item, "expected_u64").text);
}

/* sparse_cross: one string a column, from the hash key on; 0 buckets: modulo 2^63 - 1. */
static void check_cross(const struct json_value *item)
{
    struct json_value columns = golden_get(item, "columns"), column, word, want, expected = golden_get(item, "expected");
    int64_t key, buckets = golden_get(item, "num_buckets").integer;
    assert_true(parse_int64(golden_get(item, "hash_key").text, &key));
    uint64_t hash = (uint64_t)key;
    for (struct json_walk walk = json_children(&columns); json_next(&walk, NULL, &column);) {
        struct json_walk words = json_children(&column);
        assert_true(json_next(&words, NULL, &word));
        hash = fingerprint_cat64(hash, hash_text(word.text));
    }
    struct json_walk results = json_children(&expected);
    assert_true(json_next(&results, NULL, &want));
    check_hash(hash % (buckets > 0 ? (uint64_t)buckets : INT64_MAX), want.text);
}

static void check_buckets(const struct json_value *item)
{
    struct json_value input = golden_get(item, "input"), expected = golden_get(item, "expected"), word, want;
    struct json_walk words = json_children(&input), wants = json_children(&expected);
    uint64_t buckets = (uint64_t)golden_get(item, "num_buckets").integer;
    while (json_next(&words, NULL, &word)) {
        assert_true(json_next(&wants, NULL, &want));
        assert_int_equal(hash_text(word.text) % buckets, want.integer);
    }
}

static void crosses(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    int pairs = 0, chains = 0, buckets = 0;
    if (!golden_open(&golden, "../shared/conformance/tf_golden/hash_and_cross.json")) {
        print_message("TensorFlow's hashes are absent (../shared/conformance)\n");
        skip();
    }
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item);) {
        struct slice function = golden_get(&item, "fn").text;
        if (slice_is(function, "Fingerprint64")) {
            check_hash(hash_text(golden_get(&item, "input").text), golden_get(&item, "expected_u64").text);
        } else if (slice_is(function, "FingerprintCat64")) {
            check_pair(&item);
            pairs++;
        } else if (slice_is(function, "sparse_cross_hashed")) {
            check_cross(&item);
            chains++;
        } else if (slice_is(function, "string_to_hash_bucket_fast")) {
            check_buckets(&item);
            buckets++;
        }
    }
    assert_true(pairs == 2 && chains == 4 && buckets == 4);
    golden_close(&golden);
}

/* TensorFlow's fingerprint_test: the same without files. */
static void known_values(void **state)
{
    (void)state;
    assert_true(fingerprint64("Hello", 5) == 15404698994557526151u);
    assert_true(fingerprint64("World", 5) == 18308117990299812472u);
    assert_true(fingerprint64("", 0) == 11160318154034397263u);
    /* ("Hello", "World") crossed one after the other differs from the other order */
    uint64_t hello = fingerprint64("Hello", 5), world = fingerprint64("World", 5);
    assert_true(fingerprint_cat64(hello, world) != fingerprint_cat64(world, hello));
}

/* ---- crc32c ---- */

/* By definition: one bit at a time. */
static uint32_t crc_slowly(const unsigned char *data, size_t size)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void checksums(void **state)
{
    (void)state;
    unsigned char data[8000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)random_below(random_key(3, "bytes"), 0, i, 256);
    assert_true(crc32c(0, "123456789", 9) == 0xe3069283u);
    for (size_t size = 0; size < sizeof data; size += size < 100 ? 1 : 61) {
        uint32_t want = crc_slowly(data, size);
        assert_true(crc32c(0, data, size) == want);
        assert_true(crc32c_portable(0, data, size) == want);
        assert_true(crc32c(0, data + sizeof data - size, size) == crc_slowly(data + sizeof data - size, size));
        size_t part = size / 3;
        assert_true(crc32c(crc32c(0, data, part), data + part, size - part) == want);
        assert_true(crc32c_portable(crc32c(0, data, part), data + part, size - part) == want);
    }
}

static void golden_checksums(void **state)
{
    (void)state;
    struct golden golden;
    struct json_value item;
    int count = 0;
    if (!golden_open(&golden, "../shared/conformance/tf_golden/crc32c.json")) {
        print_message("TensorFlow's checksums are absent (../shared/conformance)\n");
        skip();
    }
    struct json_value cases = golden_get(&golden.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++) {
        struct slice hex = golden_get(&item, "hex").text;
        unsigned char data[256];
        assert_true(hex.size / 2 <= sizeof data);
        for (size_t i = 0; i < hex.size / 2; i++) {
            char byte[3] = { hex.data[2 * i], hex.data[2 * i + 1], '\0' };
            data[i] = (unsigned char)strtoul(byte, NULL, 16);
        }
        uint32_t crc = crc32c(0, data, hex.size / 2);
        char text[16];
        snprintf(text, sizeof text, "%08x", crc);
        assert_true(slice_is(golden_get(&item, "crc32c").text, text));
        snprintf(text, sizeof text, "%08x", (crc >> 15 | crc << 17) + 0xa282ead8u);
        assert_true(slice_is(golden_get(&item, "masked").text, text));
    }
    assert_true(count > 0);
    golden_close(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fingerprints), cmocka_unit_test(farmhash),  cmocka_unit_test(crosses),
        cmocka_unit_test(known_values), cmocka_unit_test(checksums), cmocka_unit_test(golden_checksums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
