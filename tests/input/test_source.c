/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of whole records out of plain files, gzip files and standard input. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "failing.h"
#include "scratch.h"
#include "input/input.h"

static const char *write_bytes(const char *name, const void *data, size_t size)
{
    const char *path = scratch_path(name);
    pil_status status = { 0 };
    assert_true(file_replace(path, data, size, &status));
    return path;
}

static const char *write_text(const char *name, const char *text)
{
    return write_bytes(name, text, strlen(text));
}

/* Appends one gzip member; returns the new size. */
static size_t compress_member(const void *data, size_t size, unsigned char *out, size_t at, size_t room)
{
    z_stream z = { 0 };
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)size;
    z.next_out = out + at;
    z.avail_out = (uInt)(room - at);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    at = room - z.avail_out;
    deflateEnd(&z);
    return at;
}

static struct source *open_one(const char *path, const struct source_options *options)
{
    pil_status status = { 0 };
    struct source_options copy = *options;
    copy.paths = &path;
    copy.path_count = 1;
    struct source *source = source_open(&copy, &status);
    if (source == NULL)
        fail_msg("%s", status.message);
    return source;
}

/* Is the byte at `at` the start of a record? Read byte by byte, with RFC 4180's rule for quotes. */
static bool record_starts(const char *text, size_t at)
{
    bool inside = false;
    for (size_t i = 0; i < at; i++) {
        if (text[i] != '"')
            continue;
        if (inside && text[i + 1] == '"')
            i++;
        else if (inside || i == 0 || text[i - 1] == ',' || text[i - 1] == '\n')
            inside = !inside;
    }
    return !inside && (at == 0 || text[at - 1] == '\n');
}

static int64_t lines_before(const char *text, size_t at)
{
    int64_t lines = 1;
    for (size_t i = 0; i < at; i++)
        lines += text[i] == '\n';
    return lines;
}

/* All blocks are the text from `from` on, each one begins with a record at the line it names; released late, out of order. */
static void check_blocks(struct source *source, const char *text, size_t from)
{
    struct block blocks[600], block;
    size_t count = 0, at = from;
    bool end = false;
    pil_status status = { 0 };
    for (;;) {
        if (!source_next(source, &block, &end, &status))
            fail_msg("%s", status.message);
        if (end)
            break;
        assert_true(block.size > 0 && at + block.size <= strlen(text));
        assert_memory_equal(block.data, text + at, block.size);
        assert_true(record_starts(text, at));
        assert_int_equal(block.first_line, lines_before(text, at));
        at += block.size;
        blocks[count++] = block;
    }
    assert_int_equal(at, strlen(text));
    at = from;
    for (size_t i = 0; i < count; i++) {
        assert_memory_equal(blocks[i].data, text + at, blocks[i].size);
        at += blocks[i].size;
    }
    for (size_t i = count; i > 0; i--)
        block_release(&blocks[i - 1]);
}

static const char *const texts[] = {
    "a,b,c\n1,2,3\n4,5,6\n",
    "a,b,c\r\n1,2,3\r\n4,5,6\r\n7,8,9",
    "a,b\n1,\"x\ny\"\n2,\"say \"\"hi\"\",\n\"\n\"\",\"\"\n3,z\n",
    "a,b\n5\" disk,3\n37.8\"N 12'17.9\"W,x\n\"q\",\"\"\"\"\n6\",\"\n\"\n7,8\n",
    "h\n\n\n1\n\n\"\n\n\"\n",
};

static void every_block_size(void **unused)
{
    (void)unused;
    for (size_t t = 0; t < COUNT_OF(texts); t++) {
        size_t size = strlen(texts[t]);
        unsigned char packed[4096];
        size_t half = size / 2, packed_size = compress_member(texts[t], half, packed, 0, sizeof(packed));
        packed_size = compress_member(texts[t] + half, size - half, packed, packed_size, sizeof(packed));
        memset(packed + packed_size, 0, 512); /* padding */
        const char *plain = write_text("plain.csv", texts[t]), *zipped = write_bytes("zipped.csv", packed, packed_size + 512);
        for (size_t bytes = 1; bytes <= size + 1; bytes++) {
            for (int header = 0; header < 2; header++) {
                const struct source_options options = { .block_bytes = bytes, .quotes = true, .header = header };
                size_t from = header ? strcspn(texts[t], "\n") + 1 : 0;
                const char *paths[] = { plain, zipped };
                for (int p = 0; p < 2; p++) {
                    struct source *source = open_one(paths[p], &options);
                    assert_int_equal(source_header(source).size, header ? strcspn(texts[t], "\r\n") : 0);
                    assert_memory_equal(source_header(source).data, texts[t], source_header(source).size);
                    check_blocks(source, texts[t], from);
                    pil_status status = { 0 };
                    assert_true(source_rewind(source, &status));
                    check_blocks(source, texts[t], from);
                    source_close(source);
                }
            }
        }
    }
}

/* Without quotes a newline is a newline. */
static void quotes_off(void **unused)
{
    (void)unused;
    const char *text = "{\"a\": \"\n";
    struct source *source = open_one(write_text("x", text), &(struct source_options){ .block_bytes = 1 });
    struct block block;
    bool end;
    pil_status status = { 0 };
    assert_true(source_next(source, &block, &end, &status));
    assert_int_equal(block.size, strlen(text));
    source_close(source);
}

static void header_after_mark_and_comments(void **unused)
{
    (void)unused;
    const char *text = "\xEF\xBB\xBF# it's \"5\n\n\r\nname,\"other\nname\"\r\n1,2\n# a \"quote\n3,\"\n\"\n";
    const struct source_options options = { .block_bytes = 1, .quotes = true, .header = true, .comment = '#' };
    struct source *source = open_one(write_text("x", text), &options);
    assert_true(slice_is(source_header(source), "name,\"other\nname\""));
    struct block block;
    bool end;
    pil_status status = { 0 };
    static const struct {
        const char *text;
        int64_t line;
    } expected[] = { { "1,2\n", 6 }, { "# a \"quote\n", 7 }, { "3,\"\n\"\n", 8 } };
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        assert_true(source_next(source, &block, &end, &status) && !end);
        assert_true(slice_is(slice_of(block.data, block.size), expected[i].text));
        assert_int_equal(block.first_line, expected[i].line);
    }
    assert_true(source_next(source, &block, &end, &status) && end);
    source_close(source);
}

static void lists_and_globs(void **unused)
{
    (void)unused;
    write_text("part-2.csv", "a\n2\n");
    write_text("part-1.csv", "a\n1\n");
    write_text("z.csv", "a\n0");
    const char *paths[] = { scratch_path("z.csv"), scratch_path("part-*.csv") };
    const struct source_options options = { .paths = paths, .path_count = 2, .header = true };
    pil_status status = { 0 };
    struct source *source = source_open(&options, &status);
    assert_non_null(source);
    assert_int_equal(source_file_count(source), 3);
    assert_string_equal(path_base(source_file(source, 1)), "part-1.csv");
    for (int pass = 0; pass < 2; pass++) {
        struct block block;
        bool end;
        assert_true(source_progress(source) == 0 || pass == 0);
        for (int i = 0; i < 3; i++) {
            assert_true(source_next(source, &block, &end, &status) && !end);
            assert_int_equal(block.data[0], '0' + i);
            assert_int_equal(block.first_line, 2);
            assert_string_equal(block.path, source_file(source, (size_t)i));
        }
        assert_true(source_next(source, &block, &end, &status) && end);
        assert_true(source_next(source, &block, &end, &status) && end);
        assert_true(source_progress(source) == 1);
        assert_true(source_rewind(source, &status));
    }
    source_close(source);
}

/* Opens and reads everything; the message of what went wrong. */
static const char *failure(const struct source_options *options, pil_code *code)
{
    static pil_status status;
    status_clear(&status);
    struct source *source = source_open(options, &status);
    struct block block;
    bool end = false;
    while (source != NULL && !end && source_next(source, &block, &end, &status))
        block_release(&block);
    source_close(source);
    *code = status.code;
    return status.message;
}

static void expect_failure(const char *path, struct source_options options, pil_code code, const char *text)
{
    options.paths = &path;
    options.path_count = 1;
    pil_code got;
    const char *message = failure(&options, &got);
    assert_int_equal(got, code);
    if (strstr(message, text) == NULL)
        fail_msg("'%s' does not hold '%s'", message, text);
    if (path[0] == '/' && strpbrk(path, "?*") == NULL && strstr(message, path_base(path)) == NULL)
        fail_msg("'%s' does not name %s", message, path);
}

static void bad_files(void **unused)
{
    (void)unused;
    const struct source_options csv = { .quotes = true, .header = true };
    expect_failure(scratch_path("missing.csv"), csv, PIL_NOT_FOUND, "no such file");
    expect_failure(write_text("empty.csv", ""), csv, PIL_BAD_DATA, "is empty");
    expect_failure(write_text("mark.csv", "\xEF\xBB\xBF"), csv, PIL_BAD_DATA, "is empty");
    expect_failure(write_text("blank.csv", "\n\r\n\n"), csv, PIL_BAD_DATA, "is empty");
    expect_failure(write_text("open.csv", "a,b\n1,\"x\n2,\"y\"\n3,\"z\n4,5\n6,7\n"), csv, PIL_BAD_DATA,
                   "open.csv:4: the quote that opens here is not closed");
    expect_failure(write_text("header.csv", "a,\"b\n1,2\n"), csv, PIL_BAD_DATA, "header.csv:1: the quote");
    pil_code code;
    assert_non_null(strstr(failure(&(struct source_options){ 0 }, &code), "no file"));
    assert_int_equal(code, PIL_INVALID_ARGUMENT);

    write_text("h1.csv", "a,b\n1,2\n");
    write_text("h2.csv", "b,a\n1,2\n");
    expect_failure(scratch_path("h?.csv"), csv, PIL_BAD_DATA, "h2.csv: its header is not that of");
}

static void bad_gzip(void **unused)
{
    (void)unused;
    unsigned char packed[65536];
    char text[30000] = "a,b\n";
    size_t size = 4;
    for (uint32_t i = 0; size < 29000; i++)
        size += (size_t)sprintf(text + size, "%u,%u\n", i * 2654435761u, i * 40503u);
    size_t packed_size = compress_member(text, size, packed, 0, sizeof(packed));
    const struct source_options csv = { .quotes = true, .header = true, .block_bytes = 1000 };
    for (size_t cut = 2; cut < packed_size; cut += packed_size / 40)
        expect_failure(write_bytes("short.gz", packed, cut), csv, PIL_BAD_DATA, "ends too early");
    expect_failure(write_bytes("short.gz", packed, packed_size - 1), csv, PIL_BAD_DATA, "ends too early");
    packed[packed_size] = 'x';
    expect_failure(write_bytes("tail.gz", packed, packed_size + 1), csv, PIL_BAD_DATA, "");
    packed[packed_size - 6] ^= 1; /* of the checksum */
    expect_failure(write_bytes("sum.gz", packed, packed_size), csv, PIL_BAD_DATA, "is damaged: incorrect data check");
    packed[packed_size - 6] ^= 1;
    memset(packed + packed_size / 2, 0xFF, 20);
    expect_failure(write_bytes("middle.gz", packed, packed_size), csv, PIL_BAD_DATA, "is damaged");
    size = compress_member("", 0, packed, 0, sizeof(packed));
    expect_failure(write_bytes("nothing.gz", packed, size), csv, PIL_BAD_DATA, "is empty");
}

/* 70 MB without a newline, which plain and compressed are refused alike. */
static void long_records(void **unused)
{
    (void)unused;
    size_t size = (size_t)70 << 20;
    char *text = malloc(size);
    unsigned char *packed = malloc(1 << 20);
    assert_non_null(text);
    assert_non_null(packed);
    memset(text, 'x', size);
    memcpy(text, "a\n1\n\"", 5);
    const struct source_options csv = { .quotes = true, .header = true };
    expect_failure(write_bytes("long.csv", text, size), csv, PIL_BAD_DATA, "long.csv:3: a record is longer than 64 MB");
    unlink(scratch_path("long.csv"));
    size_t packed_size = compress_member(text, size, packed, 0, 1 << 20);
    expect_failure(write_bytes("long.gz", packed, packed_size), csv, PIL_BAD_DATA, "long.gz:3: a record is longer than 64 MB");

    /* A record of 5 MB is fine. */
    memcpy(text + (5 << 20), "\"\n2\n", 5);
    struct source *source = open_one(write_text("long.csv", text), &csv);
    check_blocks(source, text, 2);
    source_close(source);
    free(text);
    free(packed);
}

/* Standard input, a few bytes a read. */
static const char *input_text;
static size_t input_at, input_size, input_step;

static int64_t read_input(int fd, void *data, size_t size)
{
    assert_int_equal(fd, 0);
    size = MIN(MIN(size, input_step), input_size - input_at);
    memcpy(data, input_text + input_at, size);
    input_at += size;
    return (int64_t)size;
}

static void standard_input(void **unused)
{
    (void)unused;
    struct file_calls calls = *file_calls();
    calls.read = read_input;
    file_set_calls(&calls);
    unsigned char packed[4096];
    for (size_t t = 0; t < COUNT_OF(texts); t++) {
        size_t packed_size = compress_member(texts[t], strlen(texts[t]), packed, 0, sizeof(packed));
        for (input_step = 1; input_step < 40; input_step += 6) {
            for (int gzip = 0; gzip < 2; gzip++) {
                input_text = gzip ? (const char *)packed : texts[t];
                input_size = gzip ? packed_size : strlen(texts[t]);
                input_at = 0;
                struct source *source = open_one("-", &(struct source_options){ .quotes = true });
                assert_string_equal(source_file(source, 0), "standard input");
                check_blocks(source, texts[t], 0);
                pil_status status = { 0 };
                assert_false(source_rewind(source, &status));
                assert_non_null(strstr(status.message, "only once"));
                source_close(source);
            }
        }
    }

    /* Whoever types a line gets it before the next one is there. */
    input_text = "a,b\n1,2\n3,4\n";
    input_size = strlen(input_text);
    input_at = 0;
    input_step = 4;
    struct source *source = open_one("-", &(struct source_options){ .quotes = true, .header = true });
    assert_int_equal(input_at, 4);
    struct block block;
    bool end;
    pil_status status = { 0 };
    assert_true(source_next(source, &block, &end, &status));
    assert_true(slice_is(slice_of(block.data, block.size), "1,2\n"));
    assert_int_equal(input_at, 8);
    source_close(source);

    input_size = input_at = 0;
    expect_failure("-", (struct source_options){ .header = true }, PIL_BAD_DATA, "standard input: is empty");
    file_set_calls(NULL);
}

static void json_lines_are_known(void **unused)
{
    (void)unused;
    const struct source_options options = { .quotes = true, .header = true, .detect_lines = true };
    struct source *source = open_one(write_text("x", " \n {\"a\": 1}\n"), &options);
    assert_true(source_is_lines(source));
    check_blocks(source, " \n {\"a\": 1}\n", 0);
    source_close(source);
    source = open_one(write_text("x", "a,b\n{,2\n"), &options);
    assert_false(source_is_lines(source));
    assert_true(slice_is(source_header(source), "a,b"));
    source_close(source);
}

static uint64_t fingerprint_of(const char *path)
{
    struct source *source = open_one(path, &(struct source_options){ 0 });
    uint64_t hash = source_fingerprint(source);
    source_close(source);
    return hash;
}

static void fingerprint_sees_changes(void **unused)
{
    (void)unused;
    size_t size = 300000;
    char *text = calloc(size, 1);
    assert_non_null(text);
    memset(text, 'x', size - 1);
    uint64_t first = fingerprint_of(write_bytes("f", text, size));
    assert_true(first == fingerprint_of(write_bytes("g", text, size)));
    text[0] = 'y';
    assert_true(first != fingerprint_of(write_bytes("f", text, size)));
    text[0] = 'x';
    text[size - 2] = 'y';
    assert_true(first != fingerprint_of(write_bytes("f", text, size)));
    text[size - 2] = 'x';
    assert_true(first != fingerprint_of(write_bytes("f", text, size - 1)));
    free(text);
}

/* From the second pass on nothing is allocated. */
static void second_pass_allocates_nothing(void **unused)
{
    (void)unused;
    static char text[200000];
    static unsigned char packed[200000];
    size_t size = 0;
    for (int i = 0; size < sizeof(text) - 100; i++)
        size +=
            (size_t)sprintf(text + size, "%d,\"%.*s\"\n", i, i % 50, "some words, that are not all of the same length at all");
    size_t packed_size = compress_member(text, size, packed, 0, sizeof(packed));
    const char *paths[] = { write_bytes("p.csv", text, size), write_bytes("p.csv.gz", packed, packed_size) };
    const struct source_options options = { .paths = paths, .path_count = 2, .block_bytes = 5000, .quotes = true };
    pil_status status = { 0 };
    struct source *source = source_open(&options, &status);
    assert_non_null(source);
    uint64_t before = 0;
    for (int pass = 0; pass < 3; pass++) {
        struct block block;
        bool end = false;
        before = pass == 0 ? 0 : mem_allocations();
        while (source_next(source, &block, &end, &status) && !end)
            block_release(&block);
        assert_true(end);
        assert_true(source_rewind(source, &status));
        assert_true(pass == 0 || mem_allocations() == before);
    }
    source_close(source);
}

/* ---- files that others write to ------------------------------------------------------------------------------ */

enum { LONG = 1000000 };
static char long_text[LONG + 1];

static void fill_long_text(void)
{
    size_t size = (size_t)sprintf(long_text, "a,b\n");
    for (uint32_t i = 0; size + 40 < LONG; i++)
        size += (size_t)sprintf(long_text + size, "%u,%u\n", i, i * 2654435761u);
    memset(long_text + size, '\n', LONG - size);
}

/* The clock of a file system may stand still between two writes; here it does not. */
static void set_time(const char *path, int64_t seconds)
{
    const struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void expect_changed(struct source *source, const char *name)
{
    struct block block;
    bool end = false;
    pil_status status = { 0 };
    while (source_next(source, &block, &end, &status)) {
        assert_false(end);
        block_release(&block);
    }
    assert_int_equal(status.code, PIL_BAD_DATA);
    assert_non_null(strstr(status.message, name));
    assert_non_null(strstr(status.message, "changed while it was read"));
}

/* Cut off when it has been opened: at once, or when some blocks have been read, which stay what they were. */
static void file_is_cut_off(void **unused)
{
    (void)unused;
    const struct source_options options = { .block_bytes = 10000, .quotes = true, .header = true };
    unsigned char *packed = malloc(LONG);
    assert_non_null(packed);
    fill_long_text();
    size_t packed_size = compress_member(long_text, LONG, packed, 0, LONG);
    for (int gzip = 0; gzip < 2; gzip++) {
        const char *name = gzip ? "cut.csv.gz" : "cut.csv";
        for (int blocks = 0; blocks < 3; blocks++) {
            const char *path = write_bytes(name, gzip ? (const void *)packed : long_text, gzip ? packed_size : LONG);
            struct source *source = open_one(path, &options);
            struct block block[2];
            bool end;
            pil_status status = { 0 };
            for (int i = 0; i < blocks; i++)
                assert_true(source_next(source, &block[i], &end, &status) && !end);
            assert_int_equal(truncate(path, blocks == 2 ? 0 : (off_t)packed_size / 2), 0);
            expect_changed(source, name);
            const char *at = long_text + 4;
            for (int i = 0; i < blocks; i++) {
                assert_memory_equal(block[i].data, at, block[i].size);
                at += block[i].size;
                block_release(&block[i]);
            }
            source_close(source);
        }
    }
    free(packed);
}

/* An input is what was there when it was opened. */
static void appended_rows_are_not_read(void **unused)
{
    (void)unused;
    fill_long_text();
    const char *path = write_bytes("grow.csv", long_text, LONG);
    struct source *source = open_one(path, &(struct source_options){ .block_bytes = 10000, .quotes = true });
    uint64_t before = source_fingerprint(source);
    for (int pass = 0; pass < 3; pass++) {
        FILE *file = fopen(path, "ab");
        assert_non_null(file);
        assert_true(fputs("1,2\n", file) >= 0 && fclose(file) == 0);
        pil_status status = { 0 };
        check_blocks(source, long_text, 0);
        assert_true(source_rewind(source, &status));
    }
    assert_true(source_fingerprint(source) == before);
    source_close(source);
}

/* Other bytes at the start or the end are seen before or behind the pass in which they are read. */
static void file_is_written_over(void **unused)
{
    (void)unused;
    const struct source_options options = { .block_bytes = 10000, .quotes = true };
    const size_t places[] = { 7, LONG - 3 };
    fill_long_text();
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        for (int blocks = 0; blocks < 2; blocks++) {
            const char *path = write_bytes("over.csv", long_text, LONG);
            set_time(path, 1000);
            struct source *source = open_one(path, &options);
            struct block block;
            bool end;
            pil_status status = { 0 };
            if (blocks > 0)
                assert_true(source_next(source, &block, &end, &status));
            int fd = open(path, O_WRONLY);
            assert_true(fd >= 0 && pwrite(fd, "x", 1, (off_t)places[i]) == 1 && close(fd) == 0);
            set_time(path, 1001);
            expect_changed(source, "over.csv");
            source_close(source);
        }
    }
    /* Written again with the same bytes it is the same. */
    const char *path = write_bytes("over.csv", long_text, LONG);
    set_time(path, 1000);
    struct source *source = open_one(path, &options);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0 && pwrite(fd, long_text, LONG, 0) == LONG && close(fd) == 0);
    set_time(path, 1001);
    check_blocks(source, long_text, 0);
    source_close(source);
}

/* More files than are kept open: each is found again, and one that was replaced meanwhile is known. */
static void many_files(void **unused)
{
    (void)unused;
    enum { FILES = 100 };
    char name[32], text[32];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "many-%03d.csv", i);
        snprintf(text, sizeof(text), "a\n%03d\n", i);
        write_text(name, text);
    }
    const char *pattern = scratch_path("many-*");
    const struct source_options options = { .paths = &pattern, .path_count = 1, .header = true };
    pil_status status = { 0 };
    struct source *source = source_open(&options, &status);
    assert_non_null(source);
    for (int pass = 0; pass < 2; pass++) {
        struct block block;
        bool end;
        for (int i = 0; i < FILES; i++) {
            assert_true(source_next(source, &block, &end, &status) && !end);
            snprintf(text, sizeof(text), "%03d\n", i);
            assert_true(slice_is(slice_of(block.data, block.size), text));
            block_release(&block);
        }
        assert_true(source_next(source, &block, &end, &status) && end);
        assert_true(source_rewind(source, &status));
    }
    write_text("many-099.csv", "a\n098\n");
    expect_changed(source, "many-099.csv");
    source_close(source);
}

/* A pipe with a name can be read but once, and is there for every pass. */
static void named_pipe(void **unused)
{
    (void)unused;
    fill_long_text();
    const char *path = scratch_path("pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = open(path, O_WRONLY);
        for (size_t at = 0; at < LONG;) {
            ssize_t written = write(fd, long_text + at, LONG - at);
            at += written > 0 ? (size_t)written : 0;
        }
        _exit(0);
    }
    struct source *source = open_one(path, &(struct source_options){ .block_bytes = 10000, .quotes = true });
    assert_int_equal(waitpid(child, NULL, 0), child);
    for (int pass = 0; pass < 2; pass++) {
        pil_status status = { 0 };
        check_blocks(source, long_text, 0);
        assert_true(source_progress(source) == 1);
        assert_true(source_rewind(source, &status));
    }
    source_close(source);
}

/* Each allocation fails once: an error, no leak, no crash. */
static void memory_runs_out(void **unused)
{
    (void)unused;
    unsigned char packed[1000];
    size_t packed_size = compress_member(texts[2], strlen(texts[2]), packed, 0, sizeof(packed));
    const char *paths[] = { write_text("p.csv", texts[2]), write_bytes("p.csv.gz", packed, packed_size) };
    const struct source_options options = {
        .paths = paths, .path_count = 2, .block_bytes = 8, .quotes = true, .header = true, .detect_lines = true
    };
    int64_t n = 0;
    for (;; n++) {
        pil_status status = { 0 };
        struct block blocks[20], block;
        size_t count = 0;
        bool end = false;
        failing_start(n, false);
        struct source *source = source_open(&options, &status);
        while (source != NULL && !end && source_next(source, &block, &end, &status))
            blocks[count++] = block;
        while (count > 0)
            block_release(&blocks[--count]);
        source_close(source);
        assert_int_equal(failing_live, 0);
        if (!failing_stop())
            break;
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
    assert_true(n > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_size),
        cmocka_unit_test(quotes_off),
        cmocka_unit_test(header_after_mark_and_comments),
        cmocka_unit_test(lists_and_globs),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(bad_gzip),
        cmocka_unit_test(long_records),
        cmocka_unit_test(standard_input),
        cmocka_unit_test(json_lines_are_known),
        cmocka_unit_test(fingerprint_sees_changes),
        cmocka_unit_test(file_is_cut_off),
        cmocka_unit_test(appended_rows_are_not_read),
        cmocka_unit_test(file_is_written_over),
        cmocka_unit_test(many_files),
        cmocka_unit_test(named_pipe),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(second_pass_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
