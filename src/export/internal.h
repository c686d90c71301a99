/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share: signatures, and an export that has been read. */
#ifndef PILASTER_EXPORT_INTERNAL_H
#define PILASTER_EXPORT_INTERNAL_H

#include "export/export.h"

#define OWN_FOLDER "assets.extra/pilaster"
#define GRAPH_PATH OWN_FOLDER "/predict.graph"
#define YAML_PATH OWN_FOLDER "/model.yaml"
#define MANIFEST_PATH OWN_FOLDER "/MANIFEST"
#define BUNDLE_PREFIX "variables/variables"
#define INDEX_PATH BUNDLE_PREFIX ".index"
#define DATA_PATH BUNDLE_PREFIX ".data-00000-of-00001"

extern const char *const receiver_type_names[]; /* "float32", "int64", "string" */
enum field_type receiver_field_type(pil_receiver_type type);

/* ---- signature.c ---- */
struct signature_output {
    const char *name;
    int64_t tensor; /* of the wanted ones; -1: there is none, the words are the value, the same in every row */
    bool integer;
    struct arg_texts words; /* NULL: numbers */
};
struct signature {
    const char *name;
    pil_export_kind kind;
    struct signature_output *outputs;
    size_t output_count;
};
struct signatures {
    struct pil_tensor **tensors; /* what a plan fetches, each once */
    size_t tensor_count;
    struct signature *items; /* "serving_default" first */
    size_t count;
    size_t tensor_capacity, capacity; /* of an arena's arrays */
};
/* What is to be exported, checked; lies in the arena. */
bool signatures_make(const struct export_request *request, struct arena *arena, struct signatures *out, pil_status *status);
const struct signature *signatures_find(const struct signatures *signatures, const char *name); /* NULL */
/* Is the tensor one that a signature can give? */
bool signature_takes(const struct pil_tensor *tensor, const char *name, pil_status *status);

/* ---- folder.c ---- */
/* Where a new version is written: base/temp-<seconds>, under the base's lock. */
struct draft {
    const char *base, *folder;
    int64_t seconds;
    struct file_lock *lock;
    struct arena *arena;
    const char **files; /* relative, in the order written */
    size_t file_count, file_capacity;
};
bool draft_open(struct draft *draft, const char *base, pil_status *status);
bool draft_file(struct draft *draft, const char *path, const void *data, size_t bytes, pil_status *status);
bool draft_add(struct draft *draft, const char *path, pil_status *status); /* a file that somebody else has written there */
/* Writes the manifest and gives the folder its name, which is appended to `path`. */
bool draft_finish(struct draft *draft, struct text *path, pil_status *status);
void draft_close(struct draft *draft); /* removes what was not finished */

struct manifest_file {
    const char *path;
    int64_t bytes, crc32c;
};
struct manifest {
    struct manifest_file *files;
    size_t count;
};
/* Reads it and checks that every file is there with its size; and its checksum, but for the variables', whose every tensor has
 * one that is checked when it is read. */
bool manifest_check(const char *folder, struct arena *arena, struct manifest *out, pil_status *status);
const struct manifest_file *manifest_find(const struct manifest *manifest, const char *path); /* NULL */
/* The bytes of a file of the manifest, their checksum verified. */
bool manifest_load(const char *folder, const struct manifest_file *file, struct file_data *data, pil_status *status);

/* ---- read.c ---- */
/* An export as it was read. */
struct exported {
    struct arena *arena;
    const char *folder;
    int64_t step;
    struct receiver *receivers;
    size_t receiver_count;
    struct program_file program;
    struct pil_graph *graph;
    struct signatures signatures;
    struct plan *plan;
    struct store *store;
};
bool exported_open(struct exported *exported, const char *folder, pil_status *status);
void exported_free(struct exported *exported);
/* predict.graph's text, and where in it the graph begins. */
bool exported_print(const struct export_request *request, const struct signatures *signatures,
                    const struct program_assets *assets, struct text *out, size_t *graph, pil_status *status);
/* What the model reads must be what requests bring. */
bool receivers_fit(const struct program *program, const struct receiver *receivers, size_t count, pil_status *status);

#endif
