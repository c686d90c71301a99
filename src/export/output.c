/* SPDX-License-Identifier: Apache-2.0 */
/* Named outputs: strided values of a session become arrays without gaps, as floats always, as integers or words where the model
 * says so. */
#include <math.h>
#include <string.h>

#include "export/export.h"

struct output_memory {
    float *floats;
    int64_t *ints;
    const char **strings;
    size_t float_capacity, int_capacity, string_capacity;
    bool integer;
    const char *const *words;
    size_t word_count;
    int64_t filled; /* of a constant: rows that hold it, all alike */
};
struct outputs {
    size_t count;
    pil_output *items;
    struct output_memory *memory;
};

struct outputs *outputs_new(const pil_named_tensor *items, size_t count, pil_status *status)
{
    struct outputs *outputs = mem_new(sizeof *outputs, status);
    if (!outputs)
        return NULL;
    outputs->items = mem_array(MAX(count, 1), sizeof *outputs->items, status);
    outputs->memory = mem_array(MAX(count, 1), sizeof *outputs->memory, status);
    if (!outputs->items || !outputs->memory) {
        outputs_free(outputs);
        return NULL;
    }
    outputs->count = count;
    for (size_t i = 0; i < count; i++) {
        outputs->items[i].name = items[i].name;
        outputs->memory[i].integer = items[i].integer;
        outputs->memory[i].words = items[i].words;
        outputs->memory[i].word_count = items[i].word_count;
    }
    return outputs;
}

static bool reserve(struct output_memory *memory, int64_t rows, int64_t width, pil_status *status)
{
    if (width > 0 && rows > INT64_MAX / 8 / width)
        return status_no_memory(status, SIZE_MAX);
    size_t count = (size_t)MAX(rows * width, 1);
    return mem_grow(&memory->floats, &memory->float_capacity, count, sizeof *memory->floats, status) &&
           (!memory->integer || mem_grow(&memory->ints, &memory->int_capacity, count, sizeof *memory->ints, status)) &&
           (!memory->words || mem_grow(&memory->strings, &memory->string_capacity, count, sizeof *memory->strings, status));
}

/* A number that is none, or beyond the integers, becomes the least of them. */
static int64_t integer_of(double number)
{
    return fabs(number) < 9.2e18 ? (int64_t)number : INT64_MIN;
}

/* Copies a row of numbers of any type to element `to` on. */
static void take_row(const struct tensor *from, int64_t row, struct output_memory *memory, int64_t to)
{
    const void *at = (const char *)from->data + (size_t)(row * from->ld) * dtype_size(from->dtype);
    float *floats = memory->floats + to;
    int64_t *ints = memory->integer ? memory->ints + to : NULL;
    for (int64_t c = 0; c < from->cols; c++) {
        double exact = from->dtype == DTYPE_FLOAT64 ? ((const double *)at)[c] : 0;
        int64_t integer = from->dtype == DTYPE_INT64   ? ((const int64_t *)at)[c]
                          : from->dtype == DTYPE_INT32 ? ((const int32_t *)at)[c]
                                                       : 0;
        bool is_integer = from->dtype == DTYPE_INT64 || from->dtype == DTYPE_INT32;
        floats[c] = from->dtype == DTYPE_FLOAT32 ? ((const float *)at)[c] : is_integer ? (float)integer : (float)exact;
        if (ints)
            ints[c] = is_integer ? integer : integer_of((double)floats[c]);
    }
}

static void find_words(struct output_memory *memory, int64_t count)
{
    for (int64_t k = 0; memory->words && k < count; k++) {
        float number = memory->floats[k];
        memory->strings[k] = number >= 0 && number < (float)memory->word_count ? memory->words[(size_t)number] : "";
    }
}

static void show(const struct output_memory *memory, pil_output *item)
{
    item->floats = memory->floats;
    item->ints = memory->ints;
    item->strings = memory->strings;
}

/* Elements of one row: the product of all axes but the batch. A vector that does not depend on the batch is one row. */
static void cut(const struct tensor *value, int64_t *rows, int64_t *width)
{
    int64_t elements = value->rows * value->cols;
    bool column = value->shape.rank >= 2 || value->rows == value->shape.dims[0];
    *rows = value->shape.rank == 0 ? 1 : column ? value->shape.dims[0] : 1;
    *width = *rows > 0 ? elements / *rows : value->cols;
}

bool outputs_set(struct outputs *outputs, size_t i, const struct tensor *value, pil_status *status)
{
    struct output_memory *memory = &outputs->memory[i];
    pil_output *item = &outputs->items[i];
    cut(value, &item->rows, &item->width);
    if (!reserve(memory, value->rows, value->cols, status))
        return false;
    if (value->dtype == DTYPE_FLOAT32 && !memory->integer)
        for (int64_t r = 0; r < value->rows; r++)
            memcpy(memory->floats + r * value->cols, tensor_floats(value) + r * value->ld, (size_t)value->cols * sizeof(float));
    else
        for (int64_t r = 0; r < value->rows; r++)
            take_row(value, r, memory, r * value->cols);
    find_words(memory, value->rows * value->cols);
    show(memory, item);
    return true;
}

bool outputs_repeat(struct outputs *outputs, size_t i, const struct tensor *value, int64_t width, int64_t rows,
                    pil_status *status)
{
    struct output_memory *memory = &outputs->memory[i];
    if (!reserve(memory, rows, width, status))
        return false;
    if (memory->filled == 0 && rows > 0) {
        for (int64_t r = 0; value && r < value->rows; r++)
            take_row(value, r, memory, r * value->cols);
        for (int64_t c = 0; !value && c < width; c++)
            memory->floats[c] = (float)c;
        find_words(memory, width);
        memory->filled = 1;
    }
    for (; memory->filled < rows; memory->filled++) {
        size_t at = (size_t)(memory->filled * width), count = (size_t)width;
        memcpy(memory->floats + at, memory->floats, count * sizeof *memory->floats);
        if (memory->integer)
            memcpy(memory->ints + at, memory->ints, count * sizeof *memory->ints);
        if (memory->words)
            memcpy(memory->strings + at, memory->strings, count * sizeof *memory->strings);
    }
    outputs->items[i].rows = rows;
    outputs->items[i].width = width;
    show(memory, &outputs->items[i]);
    return true;
}

void outputs_none(struct outputs *outputs, size_t i, int64_t width)
{
    outputs->items[i].rows = 0;
    outputs->items[i].width = width;
}

const pil_output *outputs_items(const struct outputs *outputs, size_t *count)
{
    *count = outputs->count;
    return outputs->items;
}

void outputs_free(struct outputs *outputs)
{
    if (!outputs)
        return;
    for (size_t i = 0; i < outputs->count; i++) {
        mem_free(outputs->memory[i].floats);
        mem_free(outputs->memory[i].ints);
        mem_free(outputs->memory[i].strings);
    }
    mem_free(outputs->items);
    mem_free(outputs->memory);
    mem_free(outputs);
}

void output_json(const pil_output *outputs, size_t count, int64_t row, struct text *out)
{
    text_append(out, "{", 1);
    for (size_t i = 0; i < count; i++) {
        const pil_output *output = &outputs[i];
        int64_t first = output_row(output, row) * output->width;
        text_append(out, ",", i > 0);
        text_json_string(out, slice_text(output->name));
        text_append(out, ":[", 2);
        for (int64_t k = first; k < first + output->width; k++) {
            text_append(out, ",", k > first);
            if (output->strings)
                text_json_string(out, slice_text(output->strings[k]));
            else if (output->ints)
                text_format(out, "%lld", (long long)output->ints[k]);
            else
                text_json_float(out, output->floats[k]);
        }
        text_append(out, "]", 1);
    }
    text_append(out, "}", 1);
}
