/* SPDX-License-Identifier: Apache-2.0 */
/*
 * predict.graph, written and read: what requests bring, the columns, the graph, the signatures.
 *
 *     pilaster {version: 1, step: 1000, receivers: 1, signatures: 2}
 *     receiver {name: rawdata, type: float32, width: 9}
 *     columns ... end                                          (column/save.c)
 *     graph ... wanted                                         (graph/save.c)
 *     signature {name: serving_default, method: regress, outputs: 1}
 *     output {name: outputs, tensor: 0, integer: false, words: null}
 *
 * An output's tensor is a number in the graph's `wanted`, or -1 where the words themselves are the value.
 */
#include <string.h>

#include "export/internal.h"
#include "format/format.h"

enum { VERSION = 1, MOST = 100000 };

static const char *const methods[] = {
    [PIL_EXPORT_PREDICT] = "predict", [PIL_EXPORT_REGRESS] = "regress", [PIL_EXPORT_CLASSIFY] = "classify", NULL
};

struct record {
    int64_t version, step, receivers, signatures, width, outputs, tensor;
    int type, method;
    bool integer;
    const char *name;
    struct arg_texts words;
};
#define MEMBER(member) .name = #member, .offset = offsetof(struct record, member)
#define COUNT(member, least)                                                                                                     \
    {                                                                                                                            \
        MEMBER(member), .type = &ARG_INT, .low = (least), .high = MOST, .required = true                                         \
    }
static const struct arg head_members[] = { { MEMBER(version), .type = &ARG_INT, .required = true },
                                           { MEMBER(step), .type = &ARG_INT, .required = true },
                                           COUNT(receivers, 0),
                                           COUNT(signatures, 1) };
static const struct arg receiver_members[] = {
    { MEMBER(name), .type = &ARG_TEXT, .required = true },
    { MEMBER(type), .type = &ARG_CHOICE, .extra = receiver_type_names, .required = true },
    { MEMBER(width), .type = &ARG_INT, .low = 0, .high = INT32_MAX, .required = true }
};
static const struct arg signature_members[] = { { MEMBER(name), .type = &ARG_TEXT, .required = true },
                                                { MEMBER(method), .type = &ARG_CHOICE, .extra = methods, .required = true },
                                                COUNT(outputs, 1) };
static const struct arg output_members[] = { { MEMBER(name), .type = &ARG_TEXT, .required = true },
                                             { MEMBER(tensor), .type = &ARG_INT, .low = -1, .high = MOST, .required = true },
                                             { MEMBER(integer), .type = &ARG_BOOL, .required = true },
                                             { MEMBER(words), .type = &ARG_TEXTS } };
#define TABLE(word, table)                                                                                                       \
    {                                                                                                                            \
        .name = word, .args = table, .arg_count = COUNT_OF(table), .size = sizeof(struct record)                                 \
    }
static const struct arg_table head_record = TABLE("pilaster", head_members),
                              receiver_record = TABLE("receiver", receiver_members),
                              signature_record = TABLE("signature", signature_members),
                              output_record = TABLE("output", output_members);

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* "receiver {...}": a record of the members that the table has. */
static void put_record(const struct arg_table *table, const struct record *record, struct text *out)
{
    text_format(out, "%s ", table->name);
    args_print(table, record, out);
    text_append_text(out, "\n");
}

bool exported_print(const struct export_request *request, const struct signatures *signatures,
                    const struct program_assets *assets, struct text *out, size_t *graph, pil_status *status)
{
    size_t receivers = request->receivers ? receivers_count(request->receivers) : 0;
    if (receivers > MOST || signatures->count > MOST || signatures->tensor_count > MOST)
        return status_fail(status, PIL_UNSUPPORTED, "an export has at most %d inputs, signatures and outputs", MOST);
    put_record(&head_record,
               &(struct record){ .version = VERSION,
                                 .step = request->step,
                                 .receivers = (int64_t)receivers,
                                 .signatures = (int64_t)signatures->count },
               out);
    for (size_t i = 0; i < receivers; i++) {
        const struct receiver *receiver = receivers_at(request->receivers, i);
        put_record(&receiver_record,
                   &(struct record){ .name = receiver->name, .type = (int)receiver->type, .width = receiver->width }, out);
    }
    if (!program_save(request->program, assets, out, status))
        return false;
    *graph = out->size;
    if (!graph_save(request->graph, signatures->tensors, signatures->tensor_count, out, status))
        return false;
    for (size_t s = 0; s < signatures->count; s++) {
        const struct signature *signature = &signatures->items[s];
        put_record(&signature_record,
                   &(struct record){
                       .name = signature->name, .method = (int)signature->kind, .outputs = (int64_t)signature->output_count },
                   out);
        for (size_t o = 0; o < signature->output_count; o++) {
            const struct signature_output *output = &signature->outputs[o];
            put_record(&output_record,
                       &(struct record){
                           .name = output->name, .tensor = output->tensor, .integer = output->integer, .words = output->words },
                       out);
        }
    }
    return text_ok(out, status);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

struct reading {
    struct flow_reader reader;
    struct exported *out;
    struct manifest manifest;
    pil_status *status;
};

static bool next_record(struct reading *reading, const struct arg_table *table, struct record *record)
{
    struct slice word;
    struct value *value;
    pil_status *status = reading->status;
    if (!flow_next(&reading->reader, &word, &value, reading->out->arena, status))
        return status_ok(status) ? flow_fail(&reading->reader, status, "the file ends too early") : false;
    if (!slice_is(word, table->name) || value->kind != VALUE_MAP)
        return flow_fail(&reading->reader, status, "no such record stands here in an export");
    return args_parse(table, value, record, &(struct args_reader){ .arena = reading->out->arena }, status);
}

static bool read_receivers(struct reading *reading, size_t count)
{
    struct exported *out = reading->out;
    struct record record;
    out->receivers = arena_alloc(out->arena, MAX(count, 1) * sizeof *out->receivers, reading->status);
    for (; out->receivers && out->receiver_count < count; out->receiver_count++) {
        if (!next_record(reading, &receiver_record, &record))
            return false;
        for (size_t i = 0; i < out->receiver_count; i++)
            if (strcmp(out->receivers[i].name, record.name) == 0)
                return flow_fail(&reading->reader, reading->status, "an input is there twice");
        out->receivers[out->receiver_count] = (struct receiver){ record.name, (pil_receiver_type)record.type, record.width };
    }
    return out->receivers != NULL;
}

/* A file of words is one that the manifest has checked. */
static bool check_asset(void *context, const char *path, pil_status *status)
{
    const struct reading *reading = context;
    return manifest_find(&reading->manifest, path) ||
           status_fail(status, PIL_BAD_DATA, "%s: the manifest does not name %s", reading->reader.file, path);
}

static bool read_output(struct reading *reading, struct signature *signature, struct signature_output *output)
{
    struct record record;
    if (!next_record(reading, &output_record, &record))
        return false;
    *output = (struct signature_output){ record.name, record.tensor, record.integer, record.words };
    if (record.tensor >= (int64_t)reading->out->signatures.tensor_count || (record.tensor < 0 && record.words.count == 0))
        return flow_fail(&reading->reader, reading->status, "an output has no value");
    for (const struct signature_output *other = signature->outputs; other < output; other++)
        if (strcmp(other->name, record.name) == 0)
            return flow_fail(&reading->reader, reading->status, "an output is there twice");
    return record.tensor < 0 || signature_takes(reading->out->signatures.tensors[record.tensor], record.name, reading->status);
}

static bool read_signatures(struct reading *reading, size_t count)
{
    struct signatures *signatures = &reading->out->signatures;
    struct arena *arena = reading->out->arena;
    struct record record;
    signatures->items = arena_alloc(arena, count * sizeof *signatures->items, reading->status);
    for (; signatures->items && signatures->count < count; signatures->count++) {
        struct signature *signature = &signatures->items[signatures->count];
        if (!next_record(reading, &signature_record, &record))
            return false;
        if (signatures_find(signatures, record.name))
            return flow_fail(&reading->reader, reading->status, "a signature is there twice");
        *signature = (struct signature){ .name = record.name,
                                         .kind = (pil_export_kind)record.method,
                                         .output_count = (size_t)record.outputs };
        signature->outputs = arena_alloc(arena, signature->output_count * sizeof *signature->outputs, reading->status);
        for (size_t o = 0; o < signature->output_count; o++)
            if (!signature->outputs || !read_output(reading, signature, &signature->outputs[o]))
                return false;
    }
    return signatures->items && (reading->reader.rest.size == 0 ||
                                 flow_fail(&reading->reader, reading->status, "something stands behind the last signature"));
}

static bool read_graph(struct reading *reading)
{
    struct exported *out = reading->out;
    struct record record;
    pil_status *status = reading->status;
    const struct program_assets assets = { .check = check_asset, .context = reading };
    if (!next_record(reading, &head_record, &record))
        return false;
    if (record.version != VERSION) {
        status_fail(status, PIL_UNSUPPORTED, "%s: a model of version %lld; this library reads version %d", reading->reader.file,
                    (long long)record.version, VERSION);
        return status_hint(status, "it was exported by a newer version: update the library");
    }
    out->step = record.step;
    if (!read_receivers(reading, (size_t)record.receivers) ||
        !program_load(&reading->reader, out->folder, &assets, &out->program, status) ||
        !(out->graph = graph_load(&reading->reader, &out->signatures.tensors, &out->signatures.tensor_count, status)))
        return false;
    return read_signatures(reading, (size_t)record.signatures) && column_check(out->program.program, out->graph, status) &&
           receivers_fit(out->program.program, out->receivers, out->receiver_count, status);
}

/* ---- variables ----------------------------------------------------------------------------------------------- */

/* Before memory is taken for what a file says. */
static bool check_entry(struct bundle *bundle, const struct graph_variable *variable, const char *prefix, pil_status *status)
{
    char have[128], want[128];
    const struct bundle_entry *entry = bundle_find(bundle, variable->name);
    if (!entry)
        return status_fail(status, PIL_BAD_DATA, "%s: has no variable '%s'", prefix, variable->name);
    if (entry->dtype != DTYPE_FLOAT32 || !shape_equal(entry->shape, variable->shape))
        return status_fail(status, PIL_BAD_DATA, "%s: the variable '%s' is %s %s there, float32 %s in the graph", prefix,
                           variable->name, dtype_name(entry->dtype), shape_text(entry->shape, have),
                           shape_text(variable->shape, want));
    return true;
}

static bool declare_variables(struct exported *out, const char *prefix, pil_status *status)
{
    struct bundle *bundle = bundle_open(prefix, status);
    bool done = bundle != NULL;
    for (size_t i = 0; done && i < graph_variable_count(out->graph); i++) {
        const struct graph_variable *variable = graph_variable_at(out->graph, i);
        bool table = variable->lookup_only && variable->shape.rank == 2 && variable->shape.dims[1] > 0;
        done =
            check_entry(bundle, variable, prefix, status) &&
            store_declare(out->store, variable->name, DTYPE_FLOAT32, variable->shape, table ? STORE_TABLE : STORE_DENSE, status);
    }
    bundle_close(bundle);
    return done;
}

/* One copy of the variables, whoever runs. The plan says which are tables. */
static bool read_variables(struct exported *out, pil_status *status)
{
    const char *prefix = path_join(out->arena, out->folder, BUNDLE_PREFIX, status);
    out->plan = prefix ? plan_compile(out->graph, out->signatures.tensors, out->signatures.tensor_count, status) : NULL;
    out->store = out->plan ? store_new(status) : NULL;
    return out->store && declare_variables(out, prefix, status) && store_allocate(out->store, status) &&
           checkpoint_restore(out->store, prefix, &(struct checkpoint_restore_options){ .slots = false }, status);
}

bool exported_open(struct exported *out, const char *folder, pil_status *status)
{
    struct reading reading = { .out = out, .status = status };
    struct file_data data = { .data = "" };
    *out = (struct exported){ .arena = arena_new(status) };
    out->folder = out->arena ? arena_text(out->arena, folder, strlen(folder), status) : NULL;
    bool done = out->folder && manifest_check(folder, out->arena, &reading.manifest, status) &&
                manifest_load(folder, manifest_find(&reading.manifest, GRAPH_PATH), &data, status);
    reading.reader = (struct flow_reader){ .rest = slice_of(data.data, data.size),
                                           .file = done ? path_join(out->arena, folder, GRAPH_PATH, status) : "" };
    done = done && reading.reader.file && read_graph(&reading) && read_variables(out, status);
    file_unload(&data);
    if (done)
        return true;
    if (status->code == PIL_INVALID_ARGUMENT) /* whoever opens an export has not written it */
        status->code = PIL_BAD_DATA;
    exported_free(out);
    return false;
}

void exported_free(struct exported *out)
{
    store_free(out->store);
    plan_free(out->plan);
    graph_free(out->graph);
    program_file_free(&out->program);
    arena_free(out->arena);
    *out = (struct exported){ 0 };
}
