/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of ops as text: the types of argument that this room adds to the base's, and the words of its enums. A family's rows
 * name the arguments of each op, and from them a graph is written and read again without knowing any op.
 */
#include <limits.h>
#include <string.h>

#include "op/internal.h"

const char *const op_activation_words[] = {
    [ACTIVATION_LINEAR] = "linear",
    [ACTIVATION_RELU] = "relu",
    [ACTIVATION_SIGMOID] = "sigmoid",
    [ACTIVATION_TANH] = "tanh",
    [ACTIVATION_ELU] = "elu",
    [ACTIVATION_SELU] = "selu",
    [ACTIVATION_SOFTPLUS] = "softplus",
    [ACTIVATION_SOFTSIGN] = "softsign",
    [ACTIVATION_EXPONENTIAL] = "exponential",
    [ACTIVATION_GELU] = "gelu",
    [ACTIVATION_SWISH] = "swish",
    [ACTIVATION_HARD_SIGMOID] = "hard_sigmoid",
    [ACTIVATION_LEAKY_RELU] = "leaky_relu",
    [ACTIVATION_RELU6] = "relu6",
    [ACTIVATION_MISH] = "mish",
    [ACTIVATION_COUNT] = NULL,
};
const char *const op_combiner_words[] = { [COMBINER_SUM] = "sum", [COMBINER_MEAN] = "mean", [COMBINER_SQRTN] = "sqrtn", NULL };

struct arg_table op_arguments(const struct op_row *row)
{
    return (struct arg_table){ .name = row->name,
                               .help = row->help,
                               .args = row->arguments,
                               .arg_count = row->argument_count,
                               .defaults = row->defaults,
                               .size = row->args_size };
}

/* One number by the base's rules, then within an int. */
static bool read_int(const struct arg *arg, const struct value *value, int64_t least, int64_t most, int64_t *out,
                     struct args_reader *reader, pil_status *status)
{
    if (!ARG_INT.parse(arg, value, out, reader, status))
        return false;
    if (*out < least || *out > most)
        return value_fail(value, status, "%s cannot be as large as %lld", arg->name, (long long)*out);
    return true;
}

static bool parse_int(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                      pil_status *status)
{
    int64_t number;
    if (!read_int(arg, value, INT_MIN, INT_MAX, &number, reader, status))
        return false;
    *(int *)field = (int)number;
    return true;
}

static void print_int(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    text_format(out, "%d", *(const int *)field);
}

/* The count stands `list->count` bytes from the first item. */
static int *count_of(const struct op_list *list, const void *items)
{
    return (int *)((char *)(uintptr_t)items + list->count);
}

static bool parse_list(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                       pil_status *status)
{
    const struct op_list *list = arg->extra;
    if (value->kind != VALUE_LIST)
        return value_fail(value, status, "%s takes a list of integers", arg->name);
    if (value->count > (size_t)list->most)
        return value_fail(value, status, "%s takes %d integers at most, not %zu", arg->name, list->most, value->count);
    memset(field, 0, (size_t)list->most * (list->wide ? sizeof(int64_t) : sizeof(int)));
    for (size_t i = 0; i < value->count; i++) {
        int64_t number;
        if (!read_int(arg, value->items[i], list->wide ? INT64_MIN : INT_MIN, list->wide ? INT64_MAX : INT_MAX, &number, reader,
                      status))
            return false;
        if (list->wide)
            ((int64_t *)field)[i] = number;
        else
            ((int *)field)[i] = (int)number;
    }
    *count_of(list, field) = (int)value->count;
    return true;
}

static void print_list(const struct arg *arg, const void *field, struct text *out)
{
    const struct op_list *list = arg->extra;
    int count = *count_of(list, field);
    text_append_text(out, "[");
    for (int i = 0; i < MIN(count, list->most); i++)
        text_format(out, "%s%lld", i ? ", " : "",
                    list->wide ? (long long)((const int64_t *)field)[i] : (long long)((const int *)field)[i]);
    text_append_text(out, "]");
}

static bool parse_dtype(const struct arg *arg, const struct value *value, void *field, struct args_reader *reader,
                        pil_status *status)
{
    (void)reader;
    enum dtype dtype = value->kind == VALUE_SCALAR ? dtype_find(value->text) : DTYPE_NONE;
    if (dtype == DTYPE_NONE)
        return value_fail(value, status, "%s takes a type, such as float32 or int64", arg->name);
    *(int *)field = (int)dtype;
    return true;
}

static void print_dtype(const struct arg *arg, const void *field, struct text *out)
{
    (void)arg;
    text_append_text(out, dtype_name((enum dtype) * (const int *)field));
}

const struct arg_type OP_ARG_INT = {
    .name = "integer", .schema = "{\"type\":\"integer\"}", .parse = parse_int, .print = print_int, .json = print_int
};
const struct arg_type OP_ARG_LIST = { .name = "list of integers",
                                      .schema = "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}",
                                      .parse = parse_list,
                                      .print = print_list,
                                      .json = print_list };
const struct arg_type OP_ARG_DTYPE = {
    .name = "type", .schema = "{\"type\":\"string\"}", .parse = parse_dtype, .print = print_dtype
};
