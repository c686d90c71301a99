/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures. What TensorFlow's export_saved_model makes of export_outputs, with one addition: the predictions themselves are a
 * signature, too, "predict", where no export output has that name. (There it is the canned heads that add it.)
 *
 *     none                       serving_default = the predictions
 *     one                        that one, and the same as serving_default
 *     several                    one of them is serving_default, else an error
 *
 *     regress   "outputs"        classify  "scores", "classes": all classes' words in every row, as TensorFlow gives them
 */
#include <string.h>

#include "export/internal.h"

static const char DEFAULT[] = "serving_default", PREDICT[] = "predict";

const struct signature *signatures_find(const struct signatures *signatures, const char *name)
{
    for (size_t i = 0; i < signatures->count; i++)
        if (strcmp(signatures->items[i].name, name) == 0)
            return &signatures->items[i];
    return NULL;
}

static bool is_batch(struct op_type type)
{
    return type.extent == EXTENT_ROWS && !type.sparse;
}

bool signature_takes(const struct pil_tensor *tensor, const char *name, pil_status *status)
{
    char shape[128];
    struct op_type type = tensor->type;
    bool number =
        type.dtype == DTYPE_FLOAT32 || type.dtype == DTYPE_FLOAT64 || type.dtype == DTYPE_INT32 || type.dtype == DTYPE_INT64;
    if (number && (is_batch(type) || type.extent == EXTENT_FIXED))
        return true;
    if (!number || type.sparse)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the output '%s' (%s) is of no type that can be exported: %s", name,
                           graph_tensor_name(tensor), type.sparse ? "sparse" : dtype_name(type.dtype));
    status_fail(status, PIL_INVALID_ARGUMENT, "the output '%s' (%s), %s, has no row for each row of the request", name,
                graph_tensor_name(tensor), shape_text(type.shape, shape));
    return status_hint(status, "outputs are [batch, ...], or constants");
}

/* The number of a tensor among those that are fetched; -1: no memory. */
static int64_t fetched(struct signatures *out, struct pil_tensor *tensor, struct arena *arena, pil_status *status)
{
    for (size_t i = 0; i < out->tensor_count; i++)
        if (out->tensors[i] == tensor)
            return (int64_t)i;
    if (out->tensor_count == out->tensor_capacity) {
        size_t capacity = MAX(2 * out->tensor_capacity, 8);
        struct pil_tensor **more = arena_alloc(arena, capacity * sizeof *more, status);
        if (!more)
            return -1;
        if (out->tensor_count > 0)
            memcpy(more, out->tensors, out->tensor_count * sizeof *more);
        out->tensors = more;
        out->tensor_capacity = capacity;
    }
    out->tensors[out->tensor_count] = tensor;
    return (int64_t)out->tensor_count++;
}

static bool check_words(const char *const *words, size_t count, const char *name, pil_status *status)
{
    for (size_t i = 0; i < count; i++)
        if (!utf8_valid(slice_text(words[i])))
            return status_fail(status, PIL_UNSUPPORTED, "word number %zu of the output '%s' is not UTF-8", i + 1, name);
    return true;
}

/* A member of a dict. */
static bool dict_output(struct signatures *out, const pil_named_tensor *item, struct arena *arena,
                        struct signature_output *output, pil_status *status)
{
    if (!item->name || !item->tensor)
        return status_fail(status, PIL_INVALID_ARGUMENT, "an output has no name or no tensor");
    if (!utf8_valid(slice_text(item->name)))
        return status_fail(status, PIL_UNSUPPORTED, "an output's name is not UTF-8");
    if (!signature_takes(item->tensor, item->name, status) ||
        !check_words(item->words, item->words ? item->word_count : 0, item->name, status))
        return false;
    *output = (struct signature_output){ .name = item->name,
                                         .integer = item->integer && !item->words,
                                         .tensor = fetched(out, item->tensor, arena, status) };
    if (item->words)
        output->words = (struct arg_texts){ item->words, item->word_count, true };
    return output->tensor >= 0;
}

static bool dict_outputs(struct signatures *out, pil_dict dict, struct arena *arena, struct signature *signature,
                         pil_status *status)
{
    if (dict.count == 0)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the signature '%s' has no outputs", signature->name);
    signature->outputs = arena_alloc(arena, dict.count * sizeof *signature->outputs, status);
    signature->output_count = dict.count;
    for (size_t i = 0; signature->outputs && i < dict.count; i++) {
        if (!dict_output(out, &dict.items[i], arena, &signature->outputs[i], status))
            return false;
        for (size_t k = 0; k < i; k++)
            if (strcmp(signature->outputs[k].name, signature->outputs[i].name) == 0)
                return status_fail(status, PIL_INVALID_ARGUMENT, "the signature '%s' has the output '%s' twice", signature->name,
                                   signature->outputs[i].name);
    }
    return signature->outputs != NULL;
}

static bool regression_output(struct signatures *out, const pil_export_output *from, struct arena *arena,
                              struct signature *signature, pil_status *status)
{
    char shape[128];
    struct op_type type = from->value->type;
    if (!is_batch(type) || type.dtype != DTYPE_FLOAT32 || type.shape.rank > 2 ||
        (type.shape.rank == 2 && type.shape.dims[1] != 1)) {
        status_fail(status, PIL_INVALID_ARGUMENT, "the regression output '%s' (%s) is %s %s; it takes float32 [?] or [?, 1]",
                    signature->name, graph_tensor_name(from->value), dtype_name(type.dtype), shape_text(type.shape, shape));
        return status_hint(status, "a predict output takes any shape");
    }
    pil_named_tensor only = { .name = "outputs", .tensor = from->value };
    return dict_outputs(out, (pil_dict){ &only, 1 }, arena, signature, status);
}

/* "0", "1", ... */
static const char *const *number_words(int64_t count, struct arena *arena, pil_status *status)
{
    const char **words = arena_alloc(arena, (size_t)count * sizeof *words, status);
    for (int64_t i = 0; words && i < count; i++)
        if (!(words[i] = arena_format(arena, status, "%lld", (long long)i)))
            return NULL;
    return words;
}

static bool classification_output(struct signatures *out, const pil_export_output *from, struct arena *arena,
                                  struct signature *signature, pil_status *status)
{
    char shape[128];
    struct op_type type = from->value->type;
    int64_t classes = type.shape.rank == 2 ? type.shape.dims[1] : 0;
    if (!is_batch(type) || type.dtype != DTYPE_FLOAT32 || classes < 1)
        return status_fail(status, PIL_INVALID_ARGUMENT,
                           "the classification output '%s' (%s) is %s %s; it takes float32 [?, classes]", signature->name,
                           graph_tensor_name(from->value), dtype_name(type.dtype), shape_text(type.shape, shape));
    if (from->words && from->word_count != (size_t)classes)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the classification output '%s' has %lld scores and %zu words",
                           signature->name, (long long)classes, from->word_count);
    const char *const *words = from->words ? from->words : number_words(classes, arena, status);
    signature->outputs = arena_alloc(arena, 2 * sizeof *signature->outputs, status);
    if (!words || !signature->outputs || !check_words(words, (size_t)classes, "classes", status))
        return false;
    signature->output_count = 2;
    signature->outputs[0] =
        (struct signature_output){ .name = "classes", .tensor = -1, .words = { words, (size_t)classes, true } };
    return dict_output(out, &(pil_named_tensor){ .name = "scores", .tensor = from->value }, arena, &signature->outputs[1],
                       status);
}

static bool add_export(struct signatures *out, const char *name, const pil_export_output *from, struct arena *arena,
                       pil_status *status)
{
    struct signature *signature = &out->items[out->count];
    *signature = (struct signature){ .name = name, .kind = from->kind };
    if (!name || !utf8_valid(slice_text(name)))
        return status_fail(status, PIL_UNSUPPORTED, "an export output has no name, or one that is not UTF-8");
    if (signatures_find(out, name))
        return status_fail(status, PIL_INVALID_ARGUMENT, "there are two export outputs '%s'", name);
    if (from->kind != PIL_EXPORT_PREDICT && !from->value)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the export output '%s' has no tensor", name);
    bool done = from->kind == PIL_EXPORT_PREDICT   ? dict_outputs(out, from->outputs, arena, signature, status)
                : from->kind == PIL_EXPORT_REGRESS ? regression_output(out, from, arena, signature, status)
                : from->kind == PIL_EXPORT_CLASSIFY
                    ? classification_output(out, from, arena, signature, status)
                    : status_fail(status, PIL_INVALID_ARGUMENT, "the export output '%s' is of no kind", name);
    out->count += done;
    return done;
}

/* The one that callers get who name none. */
static const pil_export_output *find_default(const pil_exports *exports, const pil_export_output *predictions, pil_status *status)
{
    for (size_t i = 0; i < exports->count; i++)
        if (exports->items[i].name && strcmp(exports->items[i].name, DEFAULT) == 0)
            return &exports->items[i].output;
    if (exports->count <= 1)
        return exports->count ? &exports->items[0].output : predictions;
    status_fail(status, PIL_INVALID_ARGUMENT, "there are %zu export outputs and none is named '%s'", exports->count, DEFAULT);
    status_hint(status, "name the one so that callers get who name none");
    return NULL;
}

bool signatures_make(const struct export_request *request, struct arena *arena, struct signatures *out, pil_status *status)
{
    const pil_exports *exports = &request->outputs;
    const pil_export_output predictions = { .kind = PIL_EXPORT_PREDICT, .outputs = request->predictions };
    const pil_export_output *first = find_default(exports, &predictions, status);
    *out = (struct signatures){ 0 };
    if (!first)
        return false;
    out->items = arena_alloc(arena, (exports->count + 2) * sizeof *out->items, status);
    if (!out->items || !add_export(out, DEFAULT, first, arena, status))
        return false;
    for (size_t i = 0; i < exports->count; i++)
        if (&exports->items[i].output != first || !exports->items[i].name || strcmp(exports->items[i].name, DEFAULT) != 0) {
            if (!add_export(out, exports->items[i].name, &exports->items[i].output, arena, status))
                return false;
        }
    if (exports->count > 0 && request->predictions.count > 0 && !signatures_find(out, PREDICT))
        return add_export(out, PREDICT, &predictions, arena, status);
    return true;
}
