/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a version. Checked first, so that a mistake in the model costs nothing on the disk: the signatures, and that requests
 * bring what the columns read. Then the variables (the only large file), the words of vocabularies, the graph, the manifest.
 */
#include <string.h>

#include "export/internal.h"

struct writing {
    struct draft draft;
    struct arena *arena;
    struct signatures signatures;
};

/* A vocabulary's words, called back while the columns are printed. */
static bool write_asset(void *context, const char *path, const void *data, size_t bytes, pil_status *status)
{
    return draft_file(context, path, data, bytes, status);
}

static bool check_store(const struct export_request *request, const struct graph_variable *variable, pil_status *status)
{
    char have[128], want[128];
    const struct variable *found = store_find(request->store, variable->name);
    if (!found)
        return status_fail(status, PIL_INTERNAL, "the variable '%s' of the model is not in the store", variable->name);
    if (found->dtype != DTYPE_FLOAT32 || !shape_equal(found->shape, variable->shape))
        return status_fail(status, PIL_INTERNAL, "the variable '%s' is %s %s in the store, float32 %s in the model",
                           variable->name, dtype_name(found->dtype), shape_text(found->shape, have),
                           shape_text(variable->shape, want));
    return true;
}

/* Values alone, of the variables that the loaded graph will ask for. `graph` is that graph. */
static bool write_variables(struct writing *writing, const struct export_request *request, const struct pil_graph *graph,
                            pil_status *status)
{
    size_t count = graph_variable_count(graph);
    const char **names = arena_alloc(writing->arena, MAX(count, 1) * sizeof *names, status);
    const char *prefix = path_join(writing->arena, writing->draft.folder, BUNDLE_PREFIX, status);
    if (!names || !prefix)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct graph_variable *variable = graph_variable_at(graph, i);
        if (!check_store(request, variable, status))
            return false;
        names[i] = variable->name;
    }
    return checkpoint_export(request->store, prefix, names, count, status) && draft_add(&writing->draft, INDEX_PATH, status) &&
           draft_add(&writing->draft, DATA_PATH, status);
}

/* What the reader will find is read before it is written: which variables it needs, and that it can read it at all. */
static bool read_back(struct slice text, const struct export_request *request, struct writing *writing, pil_status *status)
{
    struct flow_reader reader = { .rest = text, .file = "predict.graph" };
    struct pil_tensor **wanted;
    size_t count;
    struct pil_graph *graph = graph_load(&reader, &wanted, &count, status);
    bool done = graph && column_check(request->program, graph, status) && write_variables(writing, request, graph, status);
    graph_free(graph);
    return done;
}

static bool write_files(struct writing *writing, const struct export_request *request, pil_status *status)
{
    struct draft *draft = &writing->draft;
    const struct program_assets assets = { .write = write_asset, .context = draft };
    struct text text = { .limit = (size_t)1 << 31 };
    size_t graph;
    bool done = exported_print(request, &writing->signatures, &assets, &text, &graph, status) &&
                read_back(slice_of(text.data + graph, text.size - graph), request, writing, status) &&
                draft_file(draft, GRAPH_PATH, text.data, text.size, status);
    text_free(&text);
    if (done && request->model_yaml)
        done = draft_file(draft, YAML_PATH, request->model_yaml, strlen(request->model_yaml), status);
    return done;
}

static bool check_request(const struct export_request *request, pil_status *status)
{
    const struct pil_receivers *receivers = request->receivers;
    const pil_status *failed = !status_ok(graph_status(request->graph)) ? graph_status(request->graph)
                               : receivers                              ? receivers_status(receivers)
                                                                        : NULL;
    if (failed && !status_ok(failed)) {
        *status = status_ok(status) ? *failed : *status;
        return false;
    }
    size_t count = receivers ? receivers_count(receivers) : 0;
    for (size_t i = 0; i < count; i++)
        if (!utf8_valid(slice_text(receivers_at(receivers, i)->name)))
            return status_fail(status, PIL_UNSUPPORTED, "a received feature's name is not UTF-8");
    return receivers_fit(request->program, count ? receivers_at(receivers, 0) : NULL, count, status);
}

bool export_write(const struct export_request *request, const char *base, struct text *path, pil_status *status)
{
    struct writing writing = { .arena = arena_new(status) };
    bool done = writing.arena && check_request(request, status) &&
                signatures_make(request, writing.arena, &writing.signatures, status) &&
                draft_open(&writing.draft, base, status) && write_files(&writing, request, status) &&
                draft_finish(&writing.draft, path, status);
    draft_close(&writing.draft);
    arena_free(writing.arena);
    return done;
}
