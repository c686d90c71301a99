/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resident predictor. What is shared (program, plan, variables, signatures) never changes after it is opened; whatever a run
 * writes lies in a workspace, one a caller:
 *
 *     request --fields_put--> fields --program_run--> records --> batch --column_bind--> session_run --> outputs
 *
 * the way of every row, training's too, so a prediction has the bits that the estimator's has. Workspaces hang on the predictor
 * in a list that only grows, by compare and swap: no lock, and a caller never waits for another. A workspace's pool is one
 * thread, the caller's. After its first run it allocates nothing for as many rows: every buffer keeps its size.
 */
#include <stdatomic.h>
#include <string.h>

#include "export/internal.h"

struct pil_workspace {
    const struct pil_predictor *predictor;
    struct pil_workspace *next;
    struct threads *own_threads;
    struct session *session;
    struct fields *fields;
    struct program_scratch *scratch;
    struct records records;
    struct record_batch *batch;
    struct outputs **outputs;    /* by signature */
    const struct signature *ran; /* by the last run; NULL: it failed */
};
struct pil_predictor {
    struct exported exported;
    pil_signature *signatures; /* as told to callers */
    _Atomic(struct pil_workspace *) workspaces;
};

/* ---- what it offers ------------------------------------------------------------------------------------------ */

static int64_t output_width(const struct exported *exported, const struct signature_output *output)
{
    int64_t rows, columns;
    if (output->tensor < 0)
        return (int64_t)output->words.count;
    struct op_type type = exported->signatures.tensors[output->tensor]->type;
    if (type.extent != EXTENT_ROWS)
        return shape_elements(type.shape);
    tensor_cut(type.shape, true, &rows, &columns);
    return columns;
}

static const char *output_dtype(const struct exported *exported, const struct signature_output *output)
{
    if (output->words.items)
        return "string";
    enum dtype dtype = exported->signatures.tensors[output->tensor]->type.dtype;
    return output->integer || dtype == DTYPE_INT32 || dtype == DTYPE_INT64 ? "int64" : "float32";
}

/* Ports of inputs are every signature's. */
static bool describe(struct pil_predictor *predictor, pil_status *status)
{
    static const char *const methods[] = { "predict", "regress", "classify" };
    const struct exported *exported = &predictor->exported;
    const struct signatures *signatures = &exported->signatures;
    struct arena *arena = exported->arena;
    pil_port *inputs = arena_alloc(arena, MAX(exported->receiver_count, 1) * sizeof *inputs, status);
    predictor->signatures = arena_alloc(arena, signatures->count * sizeof *predictor->signatures, status);
    if (!inputs || !predictor->signatures)
        return false;
    for (size_t i = 0; i < exported->receiver_count; i++)
        inputs[i] = (pil_port){ exported->receivers[i].name, receiver_type_names[exported->receivers[i].type],
                                exported->receivers[i].width };
    for (size_t s = 0; s < signatures->count; s++) {
        const struct signature *signature = &signatures->items[s];
        pil_port *outputs = arena_alloc(arena, signature->output_count * sizeof *outputs, status);
        if (!outputs)
            return false;
        for (size_t o = 0; o < signature->output_count; o++)
            outputs[o] = (pil_port){ signature->outputs[o].name, output_dtype(exported, &signature->outputs[o]),
                                     output_width(exported, &signature->outputs[o]) };
        predictor->signatures[s] = (pil_signature){ signature->name, methods[signature->kind], inputs,
                                                    outputs,         exported->receiver_count, signature->output_count };
    }
    return true;
}

static bool open_found(struct pil_predictor *predictor, const char *folder, pil_status *status)
{
    struct arena *arena = arena_new(status);
    const char *found = arena && folder ? export_find(folder, arena, status) : NULL;
    bool done = found && exported_open(&predictor->exported, found, status) && describe(predictor, status);
    if (arena && !found && status_ok(status)) {
        status_fail(status, PIL_NOT_FOUND, "%s: %s", folder ? folder : "",
                    folder && file_exists(folder) ? "is no export, and has none below it" : "no such folder");
        status_hint(status, "an export is a folder with %s in it, named by its time in seconds", MANIFEST_PATH);
    }
    arena_free(arena);
    return done;
}

pil_predictor *pil_predictor_open(const char *folder, pil_status *status)
{
    *status = (pil_status){ 0 };
    struct pil_predictor *predictor = mem_new(sizeof *predictor, status);
    if (predictor && open_found(predictor, folder, status))
        return predictor;
    pil_predictor_close(predictor);
    return NULL;
}

const pil_signature *pil_predictor_describe(const pil_predictor *predictor, size_t i)
{
    return predictor && i < predictor->exported.signatures.count ? &predictor->signatures[i] : NULL;
}

const struct program *predictor_program(const pil_predictor *predictor)
{
    return predictor->exported.program.program;
}

/* ---- workspaces ---------------------------------------------------------------------------------------------- */

static void workspace_free(struct pil_workspace *workspace)
{
    if (!workspace)
        return;
    for (size_t s = 0; workspace->outputs && s < workspace->predictor->exported.signatures.count; s++)
        outputs_free(workspace->outputs[s]);
    mem_free(workspace->outputs);
    record_batch_free(workspace->batch);
    records_free(&workspace->records);
    program_scratch_free(workspace->scratch);
    fields_free(workspace->fields);
    session_free(workspace->session);
    threads_free(workspace->own_threads);
    mem_free(workspace);
}

/* The predictor's one copy of each variable. */
static bool bind_variables(struct pil_workspace *workspace, const struct exported *exported, pil_status *status)
{
    for (size_t i = 0; i < graph_variable_count(exported->graph); i++) {
        const struct graph_variable *variable = graph_variable_at(exported->graph, i);
        struct session_variable where = { .value = store_find(exported->store, variable->name)->value,
                                          .group = -1,
                                          .block_offset = -1 };
        if (!session_bind(workspace->session, variable, &where, status))
            return false;
    }
    return true;
}

/* What a signature's outputs are, in the words of a dict. */
static struct outputs *new_outputs(const struct exported *exported, const struct signature *signature, pil_status *status)
{
    pil_named_tensor *items = mem_array(signature->output_count, sizeof *items, status);
    for (size_t o = 0; items && o < signature->output_count; o++) {
        const struct signature_output *from = &signature->outputs[o];
        items[o] = (pil_named_tensor){ .name = from->name,
                                       .integer = strcmp(output_dtype(exported, from), "int64") == 0,
                                       .words = from->words.items,
                                       .word_count = from->words.count };
    }
    struct outputs *outputs = items ? outputs_new(items, signature->output_count, status) : NULL;
    mem_free(items);
    return outputs;
}

static bool fill_workspace(struct pil_workspace *workspace, struct threads *threads, pil_status *status)
{
    const struct exported *exported = &workspace->predictor->exported;
    const struct program *program = exported->program.program;
    size_t field_count;
    const struct field_spec *specs = program_fields(program, &field_count);
    if (!threads)
        threads = workspace->own_threads = threads_new(1, status);
    if (!threads || !(workspace->session = session_new(exported->plan, threads, kernel_get(), 0, status)) ||
        !bind_variables(workspace, exported, status))
        return false;
    workspace->fields = fields_new(specs, field_count, status);
    workspace->scratch = program_scratch_new(program, status);
    workspace->batch = record_batch_new(program, status);
    workspace->outputs = mem_array(exported->signatures.count, sizeof *workspace->outputs, status);
    for (size_t s = 0; workspace->outputs && s < exported->signatures.count; s++)
        workspace->outputs[s] = new_outputs(exported, &exported->signatures.items[s], status);
    return status_ok(status) && records_init(&workspace->records, program, status);
}

bool predictor_place(pil_predictor *predictor, struct threads *threads, pil_prediction *result, pil_status *status)
{
    struct pil_workspace *workspace = result->workspace;
    if (workspace)
        return workspace->predictor == predictor ||
               status_fail(status, PIL_INVALID_ARGUMENT, "the pil_prediction belongs to another predictor");
    workspace = mem_new(sizeof *workspace, status);
    if (!workspace)
        return false;
    workspace->predictor = predictor;
    if (!fill_workspace(workspace, threads, status)) {
        workspace_free(workspace);
        return false;
    }
    workspace->next = atomic_load(&predictor->workspaces);
    while (!atomic_compare_exchange_weak(&predictor->workspaces, &workspace->next, workspace))
        continue;
    result->workspace = workspace;
    return true;
}

void predictor_leave(pil_predictor *predictor, pil_prediction *result)
{
    struct pil_workspace *left = result->workspace, *first = atomic_load(&predictor->workspaces), **at = &first;
    while (*at && *at != left)
        at = &(*at)->next;
    if (*at)
        *at = left->next;
    atomic_store(&predictor->workspaces, first);
    workspace_free(left);
    result->workspace = NULL;
}

void pil_predictor_close(pil_predictor *predictor)
{
    if (!predictor)
        return;
    for (struct pil_workspace *workspace = atomic_load(&predictor->workspaces), *next; workspace; workspace = next) {
        next = workspace->next;
        workspace_free(workspace);
    }
    exported_free(&predictor->exported);
    mem_free(predictor);
}

/* ---- a request as fields ------------------------------------------------------------------------------------- */

static const struct receiver *find_receiver(const struct exported *exported, const char *name)
{
    for (size_t i = 0; i < exported->receiver_count; i++)
        if (strcmp(exported->receivers[i].name, name) == 0)
            return &exported->receivers[i];
    return NULL;
}

static bool no_such_input(const struct exported *exported, const char *name, pil_status *status)
{
    const char *names[64];
    size_t count = MIN(exported->receiver_count, COUNT_OF(names));
    for (size_t i = 0; i < count; i++)
        names[i] = exported->receivers[i].name;
    const char *nearest = nearest_word(name, names, count);
    return status_fail(status, PIL_INVALID_ARGUMENT, "the model takes no input '%s'%s%s%s", name,
                       nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static bool check_offsets(const pil_request_input *input, int64_t rows, pil_status *status)
{
    if (!input->offsets)
        return status_fail(status, PIL_INVALID_ARGUMENT,
                           "the input '%s' takes any number of values a row: its offsets are missing", input->name);
    for (int64_t r = 0; r < rows; r++)
        if (input->offsets[r] > input->offsets[r + 1])
            return status_fail(status, PIL_INVALID_ARGUMENT, "the input '%s': its offsets do not ascend at row %lld", input->name,
                               (long long)r + 1);
    return input->offsets[0] >= 0 ||
           status_fail(status, PIL_INVALID_ARGUMENT, "the input '%s': its offsets begin below 0", input->name);
}

static bool check_input(const struct exported *exported, const pil_request_input *input, int64_t rows, pil_status *status)
{
    if (!input->name)
        return status_fail(status, PIL_INVALID_ARGUMENT, "an input has no name");
    const struct receiver *receiver = find_receiver(exported, input->name);
    if (!receiver)
        return no_such_input(exported, input->name, status);
    int arrays = (input->floats != NULL) + (input->ints != NULL) + (input->strings != NULL);
    bool given = receiver->type == PIL_RECEIVE_FLOATS ? input->floats != NULL
                 : receiver->type == PIL_RECEIVE_INTS ? input->ints != NULL
                                                      : input->strings != NULL;
    if (arrays > 1)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the input '%s' is given as two types; it is %s", input->name,
                           receiver_type_names[receiver->type]);
    if (arrays == 1 && !given)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the input '%s' is %s, and %s is given", input->name,
                           receiver_type_names[receiver->type],
                           input->floats ? "float32"
                           : input->ints ? "int64"
                                         : "string");
    if (receiver->width == 0)
        return check_offsets(input, rows, status) &&
               (given || input->offsets[rows] == input->offsets[0] ||
                status_fail(status, PIL_INVALID_ARGUMENT, "the input '%s' has no values", input->name));
    if (!given)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the input '%s' has no values", input->name);
    return !input->offsets || status_fail(status, PIL_INVALID_ARGUMENT, "the input '%s' has offsets; it takes %lld values a row",
                                          input->name, (long long)receiver->width);
}

static bool check_request(const struct exported *exported, const pil_request *request, pil_status *status)
{
    if (request->rows < 0 || request->rows > INT32_MAX)
        return status_fail(status, PIL_INVALID_ARGUMENT, "a request has %lld rows; it may have 0 to 2147483647",
                           (long long)request->rows);
    if (request->input_count > 0 && !request->inputs)
        return status_fail(status, PIL_INVALID_ARGUMENT, "a request has %zu inputs, which are missing", request->input_count);
    for (size_t i = 0; i < request->input_count; i++) {
        if (!check_input(exported, &request->inputs[i], request->rows, status))
            return false;
        for (size_t k = 0; k < i; k++)
            if (strcmp(request->inputs[k].name, request->inputs[i].name) == 0)
                return status_fail(status, PIL_INVALID_ARGUMENT, "the input '%s' is given twice", request->inputs[i].name);
    }
    for (size_t i = 0; i < exported->receiver_count; i++) {
        size_t k = 0;
        while (k < request->input_count && strcmp(request->inputs[k].name, exported->receivers[i].name) != 0)
            k++;
        if (k == request->input_count)
            return status_fail(status, PIL_INVALID_ARGUMENT, "the input '%s' is missing", exported->receivers[i].name);
    }
    return true;
}

static bool put_field(struct pil_workspace *workspace, size_t field, const pil_request_input *input, int64_t rows,
                      pil_status *status)
{
    const struct receiver *receiver = find_receiver(&workspace->predictor->exported, input->name);
    struct field_values values = { .type = receiver_field_type(receiver->type), .rows = rows, .width = receiver->width };
    values.values = input->floats ? (const void *)input->floats
                    : input->ints ? (const void *)input->ints
                                  : (const void *)input->strings;
    values.splits = receiver->width == 0 ? input->offsets : NULL;
    return fields_put(workspace->fields, field, &values, status);
}

static bool put_request(struct pil_workspace *workspace, const pil_request *request, pil_status *status)
{
    struct fields *fields = workspace->fields;
    fields_clear(fields);
    for (size_t f = 0; f < fields->count; f++) {
        for (size_t i = 0; i < request->input_count; i++)
            if (strcmp(request->inputs[i].name, fields->fields[f].spec->name) == 0 &&
                !put_field(workspace, f, &request->inputs[i], request->rows, status))
                return false;
    }
    return fields_end_rows(fields, request->rows, 1, status);
}

/* ---- outputs ------------------------------------------------------------------------------------------------- */

static bool make_output(struct pil_workspace *workspace, const struct signature_output *output, struct outputs *outputs,
                        size_t number, int64_t rows, pil_status *status)
{
    const struct exported *exported = &workspace->predictor->exported;
    const struct pil_tensor *tensor = output->tensor >= 0 ? exported->signatures.tensors[output->tensor] : NULL;
    int64_t width = output_width(exported, output);
    if (rows == 0) {
        outputs_none(outputs, number, width);
        return true;
    }
    const struct tensor *value = tensor ? &session_fetch(workspace->session, (size_t)output->tensor)->tensor : NULL;
    if (!tensor || tensor->type.extent != EXTENT_ROWS)
        return outputs_repeat(outputs, number, value, width, rows, status);
    return outputs_set(outputs, number, value, status);
}

static bool run_batch(struct pil_workspace *workspace, const struct signature *signature, const struct batch *batch,
                      pil_status *status)
{
    const struct exported *exported = &workspace->predictor->exported;
    struct outputs *outputs = workspace->outputs[signature - exported->signatures.items];
    column_bind(workspace->session, batch, program_feature_count(exported->program.program));
    if (batch->rows > 0 && !session_run(workspace->session, batch->rows, exported->step, NULL, 0, status))
        return false;
    for (size_t o = 0; o < signature->output_count; o++)
        if (!make_output(workspace, &signature->outputs[o], outputs, o, batch->rows, status))
            return false;
    workspace->ran = signature;
    return true;
}

/* ---- running ------------------------------------------------------------------------------------------------- */

static const struct signature *find_signature(const struct exported *exported, const char *name, pil_status *status)
{
    const struct signature *found = signatures_find(&exported->signatures, name);
    struct text list = { .limit = 400 };
    if (found)
        return found;
    status_fail(status, PIL_NOT_FOUND, "the export has no signature '%s'", name);
    for (size_t s = 0; s < exported->signatures.count; s++)
        text_format(&list, "%s%s", s ? ", " : "", exported->signatures.items[s].name);
    if (!list.failed)
        status_hint(status, "it has %s", list.data);
    text_free(&list);
    return NULL;
}

bool pil_predictor_run(pil_predictor *predictor, const pil_request *request, pil_prediction *result, pil_status *status)
{
    *status = (pil_status){ 0 };
    if (!predictor || !request || !result)
        return status_fail(status, PIL_INVALID_ARGUMENT, "pil_predictor_run: the %s is NULL",
                           !predictor ? "predictor"
                           : !request ? "request"
                                      : "prediction");
    const struct exported *exported = &predictor->exported;
    if (result->workspace)
        result->workspace->ran = NULL;
    const struct signature *signature =
        find_signature(exported, request->signature ? request->signature : "serving_default", status);
    if (!signature || !check_request(exported, request, status) || !predictor_place(predictor, NULL, result, status))
        return false;
    struct pil_workspace *workspace = result->workspace;
    records_clear(&workspace->records);
    if (!put_request(workspace, request, status) || !program_run(exported->program.program, workspace->fields, 0, request->rows,
                                                                 workspace->scratch, &workspace->records, status))
        return false;
    const struct batch *batch = record_batch_fill(workspace->batch, &workspace->records, status);
    return batch && run_batch(workspace, signature, batch, status);
}

bool predictor_run_batch(pil_predictor *predictor, const char *name, const struct batch *batch, pil_prediction *result,
                         pil_status *status)
{
    const struct exported *exported = &predictor->exported;
    const char *wanted = name ? name : signatures_find(&exported->signatures, "predict") ? "predict" : "serving_default";
    const struct signature *signature = find_signature(exported, wanted, status);
    if (!signature || !predictor_place(predictor, NULL, result, status))
        return false;
    result->workspace->ran = NULL;
    return run_batch(result->workspace, signature, batch, status);
}

const pil_output *pil_predictor_outputs(const pil_prediction *result, const char *name, size_t *count)
{
    const struct pil_workspace *workspace = result->workspace;
    const struct signature *ran = workspace ? workspace->ran : NULL;
    size_t found = 0;
    const pil_output *outputs =
        ran ? outputs_items(workspace->outputs[ran - workspace->predictor->exported.signatures.items], &found) : NULL;
    if (count)
        *count = found;
    for (size_t o = 0; name && o < found; o++)
        if (strcmp(outputs[o].name, name) == 0)
            return &outputs[o];
    return name ? NULL : outputs;
}
