/* SPDX-License-Identifier: Apache-2.0 */
/* Folders that are damaged, cut off, lie about their sizes or name files elsewhere: an error each, never a crash. */
#include "exports.h"

static char folder[512];
static struct hand_rows rows;

/* A fresh export of the wide & deep model; `folder` is its path. */
static void export_anew(const char *base)
{
    struct hand hand = hand_wide_deep();
    pil_status status = { 0 };
    file_remove_folder(scratch_path(base), &status);
    snprintf(folder, sizeof folder, "%s", hand_export(&hand, base));
    hand_free(&hand);
}

static const char *inside(const char *path)
{
    static char paths[8][700];
    static int next;
    char *out = paths[next++ % 8];
    snprintf(out, sizeof paths[0], "%s/%s", folder, path);
    return out;
}

/* Opens; where that works, runs a request. */
static bool open_and_run(pil_status *status)
{
    pil_predictor *predictor = pil_predictor_open(folder, status);
    pil_prediction result = { 0 };
    pil_request request = hand_request(&rows, NULL, 20);
    bool worked = predictor && pil_predictor_run(predictor, &request, &result, status);
    pil_predictor_close(predictor);
    return worked;
}

/* ---- the manifest, made anew ---------------------------------------------------------------------------------- */

/* The manifest's text with the true sizes and checksums of what now lies in the folder: damage that no checksum tells. */
static void sign(void)
{
    struct arena *arena = arena_new(&(pil_status){ 0 });
    size_t size, file_size;
    char *old = scratch_read(inside(MANIFEST_PATH), &size);
    struct flow_reader reader = { .rest = slice_of(old, size), .file = "MANIFEST" };
    struct text text = { 0 };
    struct slice word;
    struct value *value;
    while (flow_next(&reader, &word, &value, arena, &(pil_status){ 0 })) {
        if (slice_is(word, "manifest"))
            text_format(&text, "manifest {version: 1, files: %s}\n", value_get(value, "files")->text.data);
        if (!slice_is(word, "file"))
            continue;
        const char *path = value_get(value, "path")->text.data;
        char *data = scratch_read(inside(path), &file_size);
        text_append_text(&text, "file {path: ");
        text_json_string(&text, slice_text(path));
        text_format(&text, ", bytes: %zu, crc32c: %lld}\n", file_size, (long long)crc32c(0, data, file_size));
        free(data);
    }
    text_format(&text, "end {crc32c: %lld}\n", (long long)crc32c(0, text.data, text.size));
    scratch_write(inside(MANIFEST_PATH), text.data, text.size);
    text_free(&text);
    free(old);
    arena_free(arena);
}

/* ---- damage --------------------------------------------------------------------------------------------------- */

static const char *const files[] = { GRAPH_PATH, INDEX_PATH, DATA_PATH, "assets/tags_vocabulary.txt", MANIFEST_PATH };

static void test_missing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        pil_status status;
        export_anew("missing");
        assert_true(open_and_run(&status));
        unlink(inside(files[i]));
        assert_false(open_and_run(&status));
        assert_int_equal(status.code, PIL_NOT_FOUND);
        assert_says(status, "missing");
    }
}

static void test_cut_off_and_longer(void **state)
{
    (void)state;
    export_anew("cut");
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        size_t size;
        char *data = scratch_read(inside(files[i]), &size);
        const size_t sizes[] = { 0, 1, size / 2, size - 1, size + 1 };
        for (size_t k = 0; k < COUNT_OF(sizes); k++) {
            pil_status status;
            data[size] = '\n';
            scratch_write(inside(files[i]), data, sizes[k]);
            if (open_and_run(&status))
                fail_msg("%s of %zu bytes was read", files[i], sizes[k]);
            assert_int_equal(status.code, PIL_BAD_DATA);
        }
        scratch_write(inside(files[i]), data, size);
        free(data);
    }
    pil_status status;
    assert_true(open_and_run(&status));
}

/* Any byte of any file: the checksum tells, whatever it was. */
static void test_flipped(void **state)
{
    (void)state;
    export_anew("flipped");
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        size_t size, step;
        char *data = scratch_read(inside(files[i]), &size);
        step = MAX(size / 150, 1);
        for (size_t at = 0; at < size; at += step) {
            pil_status status;
            data[at] ^= (char)(1 << at % 8);
            scratch_write(inside(files[i]), data, size);
            if (open_and_run(&status))
                fail_msg("%s was read with byte %zu flipped", files[i], at);
            assert_true(status.code == PIL_BAD_DATA || status.code == PIL_UNSUPPORTED || status.code == PIL_NOT_FOUND);
            data[at] ^= (char)(1 << at % 8);
        }
        scratch_write(inside(files[i]), data, size);
        free(data);
    }
    pil_status status;
    assert_true(open_and_run(&status));
}

/* Damage that the checksums agree with: whatever is read then runs or is refused. */
static void test_flipped_and_signed(void **state)
{
    static const char bytes[] = "0913-.,:]}\"x ";
    size_t size;
    (void)state;
    export_anew("signed");
    char *data = scratch_read(inside(GRAPH_PATH), &size);
    for (size_t at = 0; at < size; at += 3) {
        pil_status status;
        char old = data[at];
        data[at] = bytes[at / 3 % (sizeof bytes - 1)];
        scratch_write(inside(GRAPH_PATH), data, size);
        sign();
        open_and_run(&status);
        data[at] = old;
    }
    scratch_write(inside(GRAPH_PATH), data, size);
    free(data);
    sign();
    pil_status status;
    assert_true(open_and_run(&status));
}

/* One part of predict.graph replaced, and signed. */
static const struct lie {
    const char *from, *to, *says;
} lies[] = {
    { "pilaster {version: 1", "pilaster {version: 2", "a model of version 2; this library reads version 1" },
    { "receivers: 7", "receivers: 6", "columns should begin here" },
    { "receivers: 7", "receivers: -1", "from 0 to 100000" },
    { "signatures: 3", "signatures: 2", "something stands behind the last signature" },
    { "signatures: 3", "signatures: 4", "ends too early" },
    { "receiver {name: day", "receiver {name: carrier", "an input is there twice" },
    { "receiver {name: day", "receiver {name: other", "the model reads the feature 'day', which requests do not bring" },
    { "receiver {name: carrier, type: string", "receiver {name: carrier, type: float32",
      "reads the feature 'carrier' as string, requests bring float32" },
    { "output {name: scores, tensor: 0", "output {name: scores, tensor: 99", "an output has no value" },
    { "output {name: scores, tensor: 0", "output {name: classes, tensor: 0", "an output is there twice" },
    { "signature {name: scores_only", "signature {name: serving_default", "a signature is there twice" },
    { "hash_bucket_size: 40", "hash_bucket_size: 4000000", "has a table of 40 rows for the 4000000 ids of 'feature_" },
    { "carrier_embedding/embedding_weights, shape: [40, 5]", "carrier_embedding/embedding_weights, shape: [7, 5]",
      "has a table of 7 rows for the 40 ids of 'feature_" },
    { "dnn/hiddenlayer_0/bias", "dnn/hiddenlayer_9/bias", "has no variable 'dnn/hiddenlayer_9/bias'" },
    { "input {name: numbers", "input {name: numberz", "reads the input 'numberz', which the columns do not make" },
    { "assets/tags_vocabulary.txt", "assets/tagz_vocabulary.txt", "the manifest does not name assets/tagz_vocabulary.txt" },
    { "assets/tags_vocabulary.txt", "assets/../../etc/passwd", "no file of the folder assets" },
};

static void replace_in(const char *path, const char *from, const char *to)
{
    size_t size;
    char *data = scratch_read(path, &size), *at = strstr(data, from);
    struct text text = { 0 };
    if (!at)
        fail_msg("there is no '%s' in %s", from, data);
    text_append(&text, data, (size_t)(at - data));
    text_append_text(&text, to);
    text_append(&text, at + strlen(from), size - (size_t)(at - data) - strlen(from));
    scratch_write(path, text.data, text.size);
    text_free(&text);
    free(data);
}

static void test_lies(void **state)
{
    (void)state;
    export_anew("lies");
    size_t size;
    char *data = scratch_read(inside(GRAPH_PATH), &size);
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        pil_status status;
        scratch_write(inside(GRAPH_PATH), data, size);
        replace_in(inside(GRAPH_PATH), lies[i].from, lies[i].to);
        sign();
        if (open_and_run(&status))
            fail_msg("case %zu was read", i);
        if (!strstr(status.message, lies[i].says))
            fail_msg("case %zu: '%s' instead of '%s'", i, status.message, lies[i].says);
        assert_true(status.code == PIL_BAD_DATA || status.code == PIL_UNSUPPORTED);
    }
    free(data);
}

/* Manifests, each with the right checksum at its end. */
static const struct list {
    const char *text, *says;
} lists[] = {
    { "manifest {version: 9, files: 1}\n", "an export of version 9; this library reads version 1" },
    { "manifest {version: 1, files: 99999999999}\n", "files must be from 1 to 1000000" },
    { "manifest {version: 1, files: 2}\nfile {path: a, bytes: 1, crc32c: 1}\n", "no such record stands here" },
    { "manifest {version: 1, files: 1}\nfile {path: ../other, bytes: 1, crc32c: 1}\n", "lies outside of its folder" },
    { "manifest {version: 1, files: 1}\nfile {path: /etc/passwd, bytes: 1, crc32c: 1}\n", "lies outside of its folder" },
    { "manifest {version: 1, files: 1}\nfile {path: \"a//b\", bytes: 1, crc32c: 1}\n", "lies outside of its folder" },
    { "manifest {version: 1, files: 1}\nfile {path: a/, bytes: 1, crc32c: 1}\n", "lies outside of its folder" },
    { "manifest {version: 1, files: 1}\nfile {path: a/../b, bytes: 1, crc32c: 1}\n", "lies outside of its folder" },
    { "manifest {version: 1, files: 1}\nfile {path: \"a\\u0000b\", bytes: 1, crc32c: 1}\n", "zero byte" },
    { "manifest {version: 1, files: 2}\nfile {path: a, bytes: 1, crc32c: 1}\nfile {path: a, bytes: 1, crc32c: 1}\n",
      "stands in the manifest twice" },
    { "manifest {version: 1, files: 1}\nfile {path: a, bytes: 1, crc32c: 1}\n",
      "does not name assets.extra/pilaster/predict.graph" },
    { "", "no such record stands here" },
};

static void test_manifests(void **state)
{
    (void)state;
    export_anew("manifests");
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        pil_status status;
        struct text text = { 0 };
        text_append_text(&text, lists[i].text);
        text_format(&text, "end {crc32c: %lld}\n", (long long)crc32c(0, lists[i].text, strlen(lists[i].text)));
        scratch_write(inside(MANIFEST_PATH), text.data, text.size);
        assert_false(open_and_run(&status));
        if (!strstr(status.message, lists[i].says))
            fail_msg("case %zu: '%s' instead of '%s'", i, status.message, lists[i].says);
        text_free(&text);
    }
}

static void test_other_folders(void **state)
{
    pil_status status;
    (void)state;
    assert_null(pil_predictor_open(scratch_path("nowhere"), &status));
    assert_int_equal(status.code, PIL_NOT_FOUND);
    assert_says(status, "no such folder");
    assert_null(pil_predictor_open(NULL, &status));
    mkdir(scratch_path("empty"), 0777);
    assert_null(pil_predictor_open(scratch_path("empty"), &status));
    assert_says(status, "is no export, and has none below it");
    if (getuid() != 0) {
        export_anew("closed");
        chmod(inside(GRAPH_PATH), 0);
        assert_false(open_and_run(&status));
        assert_int_equal(status.code, PIL_IO);
        assert_says(status, "Permission denied");
    }
    /* Of several versions below a folder the newest that is complete. */
    export_anew("versions");
    char first[512];
    snprintf(first, sizeof first, "%s", folder);
    struct hand hand = hand_wide_deep();
    hand_export(&hand, "versions");
    hand_free(&hand);
    mkdir(scratch_path("versions/9999999999"), 0777);
    mkdir(scratch_path("versions/temp-9999999998"), 0777);
    snprintf(folder, sizeof folder, "%s", scratch_path("versions"));
    status = (pil_status){ 0 };
    struct arena *arena = arena_new(&status);
    char *found = export_find(folder, arena, &status);
    assert_non_null(found);
    assert_true(strcmp(found, first) > 0);
    assert_null(strstr(found, "9999999999"));
    arena_free(arena);
    assert_true(open_and_run(&status));
}

static int set_up(void **state)
{
    hand_fill_rows(&rows);
    return scratch_set_up(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing),       cmocka_unit_test(test_cut_off_and_longer),
        cmocka_unit_test(test_flipped),       cmocka_unit_test(test_flipped_and_signed),
        cmocka_unit_test(test_lies),          cmocka_unit_test(test_manifests),
        cmocka_unit_test(test_other_folders),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_tear_down);
}
