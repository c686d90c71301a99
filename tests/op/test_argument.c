/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an op's arguments are in a file: for every row, arguments that differ from zeros and from the defaults in every field come
 * back from their text as they were, byte by byte.
 */
#include "estimator/modelfile.h"
#include "op/harness.h"
#include "op/internal.h"

/* Fills a field of any type with something that is not its default. */
static void fill(const struct arg *arg, char *options, int turn)
{
    char *field = options + arg->offset;
    if (arg->type == &ARG_BOOL) {
        *(bool *)field = turn % 2 == 0;
    } else if (arg->type == &ARG_INT) {
        *(int64_t *)field = turn % 2 ? -123456789012 : 9007199254740993;
    } else if (arg->type == &OP_ARG_INT) {
        *(int *)field = turn % 2 ? -7 : 123;
    } else if (arg->type == &ARG_FLOAT) {
        *(float *)field = turn % 2 ? 0.1f : -3.4e38f;
    } else if (arg->type == &ARG_TEXT) {
        *(const char **)field = turn % 2 ? NULL : "a layer/\"dropout\": 1";
    } else if (arg->type == &OP_ARG_DTYPE) {
        *(int *)field = turn % 2 ? DTYPE_INT64 : DTYPE_FLOAT64;
    } else if (arg->type == &ARG_CHOICE) {
        const char *const *words = arg->extra;
        int count = 0;
        while (words[count])
            count++;
        *(int *)field = turn % 2 ? count - 1 : MIN(1, count - 1);
    } else if (arg->type == &OP_ARG_LIST) {
        const struct op_list *list = arg->extra;
        int count = turn % 2 ? list->most : MIN(2, list->most);
        memcpy(field + list->count, &count, sizeof count);
        for (int i = 0; i < count; i++) {
            int64_t number = i ? i * 1000003 : -1;
            if (list->wide)
                ((int64_t *)field)[i] = number;
            else
                ((int *)field)[i] = (int)number;
        }
    } else {
        fail_msg("an argument type that this test does not know: %s", arg->type->name);
    }
}

/* A text lies elsewhere once it was read: it is compared by itself, then the pointers are made equal. */
static void same_texts(const struct arg_table *table, char *a, const char *b)
{
    for (size_t i = 0; i < table->arg_count; i++) {
        if (table->args[i].type != &ARG_TEXT)
            continue;
        const char *const *other = (const char *const *)(b + table->args[i].offset);
        const char **own = (const char **)(a + table->args[i].offset);
        assert_true((*own == NULL) == (*other == NULL));
        if (*own)
            assert_string_equal(*own, *other);
        *own = *other;
    }
}

static void comes_back(const struct arg_table *table, const char *options)
{
    pil_status status = { 0 };
    struct text text = { 0 };
    struct arena *arena = arena_new(&status);
    struct args_reader reader = { .arena = arena };
    args_print(table, options, &text);
    assert_false(text.failed);
    struct value *value = yaml_read(slice_of(text.data, text.size), "arguments", false, arena, &status);
    assert_ok(status);
    char *back = calloc(1, table->size);
    assert_non_null(back);
    if (!args_parse(table, value, back, &reader, &status))
        fail_msg("%s: %.*s: %s", table->name, (int)text.size, text.data, status.message);
    same_texts(table, back, options);
    if (memcmp(back, options, table->size) != 0)
        fail_msg("%s: %.*s is read as something else", table->name, (int)text.size, text.data);
    free(back);
    arena_free(arena);
    text_free(&text);
}

static void every_argument_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < op_count(); i++) {
        const struct op_row *row = op_at(i);
        struct arg_table table = op_arguments(row);
        assert_string_equal(table.name, row->name);
        assert_true(row->args_size > 0 || row->argument_count == 0);
        for (int turn = 0; row->args_size && turn < 2; turn++) {
            char *options = calloc(1, row->args_size);
            assert_non_null(options);
            for (size_t k = 0; k < row->argument_count; k++)
                fill(&row->arguments[k], options, turn + (int)k);
            comes_back(&table, options);
            free(options);
        }
        if (row->defaults)
            comes_back(&table, row->defaults);
    }
}

static size_t size_of(const struct arg *arg)
{
    const struct op_list *list = arg->extra;
    if (arg->type == &OP_ARG_LIST)
        return (size_t)list->most * (list->wide ? sizeof(int64_t) : sizeof(int));
    return arg->type == &ARG_BOOL   ? sizeof(bool)
           : arg->type == &ARG_INT  ? sizeof(int64_t)
           : arg->type == &ARG_TEXT ? sizeof(char *)
                                    : sizeof(int);
}

static void take(bool *taken, size_t at, size_t size)
{
    for (size_t b = 0; b < size; b++) {
        assert_false(taken[at + b]); /* no two fields overlap */
        taken[at + b] = true;
    }
}

/* Every field has its row: nowhere is room for another, but for pads of up to seven bytes and for a tensor in front. */
static void no_field_is_forgotten(void **state)
{
    (void)state;
    enum { MOST = 1024, PADDED = 7 };
    for (size_t i = 0; i < op_count(); i++) {
        const struct op_row *row = op_at(i);
        bool taken[MOST] = { false };
        assert_true(row->args_size <= MOST);
        if ((row->args_size > 0) != (row->argument_count > 0))
            fail_msg("%s has arguments without a table", row->name);
        for (size_t k = 0; k < row->argument_count; k++) {
            const struct arg *arg = &row->arguments[k];
            const struct op_list *list = arg->extra;
            assert_true(arg->help && arg->help[0]);
            take(taken, arg->offset, size_of(arg));
            if (arg->type == &OP_ARG_LIST)
                take(taken, (size_t)((ptrdiff_t)arg->offset + list->count), sizeof(int));
        }
        size_t at = 0, room = 0;
        while (at < sizeof(struct pil_tensor *) && !taken[at])
            at++;
        assert_true(at == 0 || at == sizeof(struct pil_tensor *));
        for (; at < row->args_size; at++) {
            room = taken[at] ? 0 : room + 1;
            if (room > PADDED)
                fail_msg("%s: no argument stands at %zu", row->name, at + 1 - room);
        }
    }
}

static bool takes(const char *op, const char *text, pil_status *status)
{
    struct op_row const *row = op_find(op);
    struct arg_table table = op_arguments(row);
    struct arena *arena = arena_new(status);
    struct args_reader reader = { .arena = arena };
    char *options = calloc(1, row->args_size);
    assert_non_null(options);
    struct value *value = yaml_read(slice_text(text), "arguments", false, arena, status);
    bool taken = value && args_parse(&table, value, options, &reader, status);
    free(options);
    arena_free(arena);
    return taken;
}

/* A file may hold anything. */
static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *op, *text, *says;
    } list[] = {
        { "sum_to", "{shape: 3}", "shape takes a list of integers" },
        { "sum_to", "{shape: [1, 2, 3, 4, 5, 6, 7, 8, 9]}", "shape takes 8 integers at most, not 9" },
        { "sum_to", "{shape: [1, x]}", "takes an integer" },
        { "cast", "{dtype: float33}", "dtype takes a type" },
        { "cast", "{dtype: [float32]}", "dtype takes a type" },
        { "activation", "{activation: tang}", "did you mean" },
        { "scale", "{factor: 1}", "scale has no argument 'factor'" },
    };
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        pil_status status = { 0 };
        assert_false(takes(list[i].op, list[i].text, &status));
        if (!strstr(status.message, list[i].says))
            fail_msg("%s %s says: %s", list[i].op, list[i].text, status.message);
    }
    pil_status status = { 0 };
    assert_true(takes("sum_to", "{shape: []}", &status));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_argument_comes_back),
        cmocka_unit_test(no_field_is_forgotten),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
