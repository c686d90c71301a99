/* SPDX-License-Identifier: Apache-2.0 */
/* The `checkpoint` file: TensorFlow's ways of writing it, escapes, damage, folders that have moved. */
#include "failing.h"
#include "scratch.h"
#include "store/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void write_state(const char *content)
{
    scratch_write(scratch_path("checkpoint"), content, strlen(content));
}

/* The names, joined by spaces. */
static const char *read_names(pil_status *status)
{
    static char joined[1024];
    struct arena *arena = arena_new(status);
    struct state state;
    joined[0] = '\0';
    bool fine = state_read(scratch_folder, arena, &state, status);
    for (size_t i = 0; fine && i < state.count; i++) {
        strcat(joined, i > 0 ? " " : "");
        strcat(joined, state.names[i]);
    }
    arena_free(arena);
    return fine ? joined : NULL;
}

static void what_tensorflow_writes(void **state)
{
    (void)state;
    static const struct {
        const char *content, *names;
    } cases[] = {
        { "", "" },
        { "model_checkpoint_path: \"model.ckpt-2\"\nall_model_checkpoint_paths: \"model.ckpt-0\"\n"
          "all_model_checkpoint_paths: \"model.ckpt-2\"\n",
          "model.ckpt-0 model.ckpt-2" },
        { "model_checkpoint_path: \"ckpt-3\"\nall_model_checkpoint_paths: \"ckpt-3\"\n"
          "all_model_checkpoint_timestamps: 1700000000.25\nlast_preserved_timestamp: 1.7e+09\n",
          "ckpt-3" },
        { "# by hand\nmodel_checkpoint_path : 'a' # the older\n  all_model_checkpoint_paths:\"a\" "
          ",all_model_checkpoint_paths:\"b\";",
          "b a" }, /* what is named to go on from is the newest */
        { "model_checkpoint_path: \"only\"", "only" },
        { "all_model_checkpoint_paths: \"x\"", "x" },
        { "model_checkpoint_path: \"a\\\"b\\\\c\\101\\x42\\303\\251\" 'd'", "a\"b\\cAB\303\251d" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_status status = { 0 };
        write_state(cases[i].content);
        assert_string_equal(read_names(&status), cases[i].names);
    }
    unlink(scratch_path("checkpoint"));
    pil_status status = { 0 };
    assert_string_equal(read_names(&status), "");
    assert_true(status_ok(&status));
}

static void damaged(void **state)
{
    (void)state;
    static const struct {
        const char *content, *message;
    } cases[] = {
        { "model_checkpoint_path \"a\"", "checkpoint:1: a colon expected" },
        { "\n\nmodel_checkpoint_path: \"a", "checkpoint:3: the end of a string expected" },
        { "model_checkpoint_path: \"a\nb\"", "the end of a string expected" },
        { "model_checkpoint_path: \"\\q\"", "the end of a string expected" },
        { "model_checkpoint_path: \"\\0\"", "the end of a string expected" },
        { "\"a\"", "checkpoint:1: a field's name expected" },
        { "model_checkpoint_path:", "a value expected" },
        { "model_checkpoint_path: {", "a value expected" },
        { "\x01\x02", "a field's name expected" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pil_status status = { 0 };
        write_state(cases[i].content);
        assert_null(read_names(&status));
        assert_int_equal(status.code, PIL_BAD_DATA);
        assert_non_null(strstr(status.message, cases[i].message));
    }
    /* Any byte anywhere: an error or names, never more. */
    static const char good[] = "model_checkpoint_path: \"a\\101\"\nall_model_checkpoint_paths: \"b\" # c\n";
    char copy[sizeof good];
    for (size_t i = 0; i < sizeof good - 1; i++) {
        for (int byte = 0; byte < 256; byte += 15) {
            pil_status status = { 0 };
            memcpy(copy, good, sizeof good);
            copy[i] = (char)byte;
            scratch_write(scratch_path("checkpoint"), copy, sizeof good - 1);
            bool fine = read_names(&status) != NULL;
            assert_int_equal(fine, status_ok(&status));
        }
    }
    unlink(scratch_path("checkpoint"));
}

static void there_and_back(void **state)
{
    (void)state;
    pil_status status = { 0 };
    size_t size;
    char *names[] = { "/abs/model.ckpt-1", "tab\there \"'\\", "caf\303\251\001" };
    assert_true(state_write(scratch_folder, &(struct state){ names, 3 }, &status));
    char *content = scratch_read(scratch_path("checkpoint"), &size);
    assert_string_equal(content, "model_checkpoint_path: \"caf\\303\\251\\001\"\n"
                                 "all_model_checkpoint_paths: \"/abs/model.ckpt-1\"\n"
                                 "all_model_checkpoint_paths: \"tab\\there \\\"\\'\\\\\"\n"
                                 "all_model_checkpoint_paths: \"caf\\303\\251\\001\"\n");
    free(content);
    assert_string_equal(read_names(&status), "/abs/model.ckpt-1 tab\there \"'\\ caf\303\251\001");
    assert_true(state_write(scratch_folder, &(struct state){ NULL, 0 }, &status));
    assert_string_equal(read_names(&status), "");
    unlink(scratch_path("checkpoint"));
}

static void paths(void **state)
{
    (void)state;
    pil_status status = { 0 };
    struct arena *arena = arena_new(&status);
    char **list;
    size_t count;
    assert_null(checkpoint_latest(scratch_folder, arena, &status));
    assert_true(status_ok(&status));
    write_state("model_checkpoint_path: \"model.ckpt-2\"\nall_model_checkpoint_paths: \"/old/place/model.ckpt-1\"\n"
                "all_model_checkpoint_paths: \"/old/place/model.ckpt-0\"\n");
    scratch_write(scratch_path("model.ckpt-1.index"), "", 0);
    assert_string_equal(checkpoint_latest(scratch_folder, arena, &status), scratch_path("model.ckpt-2"));
    assert_true(checkpoint_list(scratch_folder, arena, &list, &count, &status));
    assert_int_equal(count, 3);
    assert_string_equal(list[0], scratch_path("model.ckpt-1")); /* it has moved with its folder */
    assert_string_equal(list[1], "/old/place/model.ckpt-0");
    assert_string_equal(list[2], scratch_path("model.ckpt-2"));
    assert_true(state_exists(list[0]));
    assert_false(state_exists(list[1]));
    write_state("nonsense");
    assert_null(checkpoint_latest(scratch_folder, arena, &status));
    assert_int_equal(status.code, PIL_BAD_DATA);
    arena_free(arena);
    unlink(scratch_path("checkpoint"));
    unlink(scratch_path("model.ckpt-1.index"));
}

static void removing(void **state)
{
    (void)state;
    static const char *const gone[] = { "model.ckpt-2.index", "model.ckpt-2.meta", "model.ckpt-2.data-00000-of-00002",
                                        "model.ckpt-2.data-00001-of-00002" };
    static const char *const stay[] = { "model.ckpt-20.index", "model.ckpt-20.data-00000-of-00001", "model.ckpt-2.yaml" };
    pil_status status = { 0 };
    for (size_t i = 0; i < COUNT_OF(gone); i++)
        scratch_write(scratch_path(gone[i]), "", 0);
    for (size_t i = 0; i < COUNT_OF(stay); i++)
        scratch_write(scratch_path(stay[i]), "", 0);
    assert_true(state_remove(scratch_folder, "model.ckpt-2", &status));
    assert_true(state_remove(scratch_folder, "model.ckpt-2", &status)); /* nothing is there: fine */
    for (size_t i = 0; i < COUNT_OF(gone); i++)
        assert_false(file_exists(scratch_path(gone[i])));
    for (size_t i = 0; i < COUNT_OF(stay); i++)
        assert_true(file_exists(scratch_path(stay[i])));
}

static void out_of_memory(void **state)
{
    (void)state;
    write_state("model_checkpoint_path: \"a\"\nall_model_checkpoint_paths: \"b\"\nall_model_checkpoint_paths: \"a\"\n");
    for (int64_t n = 0;; n++) {
        pil_status status = { 0 };
        failing_start(n, false);
        struct arena *arena = arena_new(&status);
        char **list = NULL;
        size_t count = 0;
        bool worked = arena != NULL && checkpoint_list(scratch_folder, arena, &list, &count, &status) && count == 2;
        if (worked)
            worked = state_write(scratch_folder, &(struct state){ (char *[]){ "b", "a" }, 2 }, &status);
        arena_free(arena);
        long long live = failing_live;
        bool reached = failing_stop();
        assert_int_equal(live, 0);
        if (!reached) {
            assert_true(worked);
            break;
        }
        assert_false(worked);
        assert_int_equal(status.code, PIL_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_tensorflow_writes),
        cmocka_unit_test(damaged),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(paths),
        cmocka_unit_test(removing),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("store/state", tests, scratch_set_up, scratch_tear_down);
}
