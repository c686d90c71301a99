/* SPDX-License-Identifier: Apache-2.0 */
/* Named outputs: strided values of a session become arrays without gaps, as floats always, as integers or words where the model
 * says so. */
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
    size_t elements = (size_t)(value->rows * value->cols);
    if (!mem_grow(&memory->floats, &memory->float_capacity, MAX(elements, 1), sizeof *memory->floats, status) ||
        (memory->integer && !mem_grow(&memory->ints, &memory->int_capacity, MAX(elements, 1), sizeof *memory->ints, status)) ||
        (memory->words && !mem_grow(&memory->strings, &memory->string_capacity, MAX(elements, 1), sizeof *memory->strings, status)))
        return false;
    for (int64_t r = 0; r < value->rows; r++)
        memcpy(memory->floats + r * value->cols, tensor_floats(value) + r * value->ld, (size_t)value->cols * sizeof(float));
    for (size_t k = 0; memory->integer && k < elements; k++)
        memory->ints[k] = (int64_t)memory->floats[k];
    for (size_t k = 0; memory->words && k < elements; k++) {
        float number = memory->floats[k];
        memory->strings[k] = number >= 0 && number < (float)memory->word_count ? memory->words[(size_t)number] : "";
    }
    item->floats = memory->floats;
    item->ints = memory->ints;
    item->strings = memory->strings;
    return true;
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
