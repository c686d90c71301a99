/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export: how a model leaves, and how what has left is run. When an export is made (after an evaluation, at the end) is the
 * estimator's; here is one version's folder, from its first byte to its name, and the resident predictor that opens it.
 *
 *   receiver    what requests bring, as a serving input function says it
 *   signature   export outputs and predictions -> named signatures over tensors
 *   write       a request to export -> base/<seconds>/, complete when it has that name
 *   folder      versions below a base, the manifest, garbage
 *   read        a folder -> graph, program, variables, signatures
 *   predictor   requests and batches -> outputs, by many threads
 *   rows        a file's rows -> outputs
 *   output      a batch's values under their names, as floats, integers and words, of an export and of a trained model alike
 *
 *     <base>/1764000000/variables/variables.{index,data-00000-of-00001}   a TensorFlow bundle: the only copy of the weights
 *                       assets/<column>_vocabulary.txt
 *                       assets.extra/pilaster/predict.graph               receivers, columns, graph, signatures: flow text
 *                       assets.extra/pilaster/model.yaml                  where there is one
 *                       assets.extra/pilaster/MANIFEST                    size and checksum of each of these
 */
#ifndef PILASTER_EXPORT_H
#define PILASTER_EXPORT_H

#include "column/column.h"
#include "pilaster/export.h"
#include "store/store.h"

/* ---- receiver.c ---- */
struct receiver {
    const char *name;
    pil_receiver_type type;
    int64_t width; /* 0: any number of values a row */
};
struct pil_receivers *receivers_new(pil_status *status);
const pil_status *receivers_status(const struct pil_receivers *receivers);      /* the first error of pil_receive */
void receivers_fail(struct pil_receivers *receivers, const pil_status *reason); /* becomes that error, unless there is one */
size_t receivers_count(const struct pil_receivers *receivers);
const struct receiver *receivers_at(const struct pil_receivers *receivers, size_t i);
void receivers_free(struct pil_receivers *receivers);

/* ---- write.c ---- */
struct export_request {
    struct pil_graph *graph;       /* of PREDICT, over `program` (column_settle was called) */
    const struct program *program; /* finished */
    pil_dict predictions;
    pil_exports outputs;
    const struct pil_receivers *receivers;
    const struct store *store;
    int64_t step;
    const char *model_yaml; /* to lie beside, or NULL */
};
/* Writes the next version below `base` (made where it is absent) and appends its path. PIL_BUSY: another process exports there.
 */
bool export_write(const struct export_request *request, const char *base, struct text *path, pil_status *status);

/* ---- folder.c ---- */
/* Removes all versions but the newest `keep` (0: all stay): folders of ten digits that are complete exports of ours, and what
 * writers that died have left. Never what somebody is writing. */
bool export_keep(const char *base, int64_t keep, pil_status *status);
/* The export a path means: itself, or the newest version below it, in the arena. NULL with status ok: neither. */
char *export_find(const char *path, struct arena *arena, pil_status *status);

/* ---- predictor.c: what a program with rows of its own needs ---- */
const struct program *predictor_program(const pil_predictor *predictor);
/* Gives a pil_prediction that is still zero a place that runs on the caller's threads, which must outlive it. */
bool predictor_place(pil_predictor *predictor, struct threads *threads, pil_prediction *result, pil_status *status);
void predictor_leave(pil_predictor *predictor, pil_prediction *result); /* gives the place back; nobody else may run meanwhile */
/* Runs the signature (NULL: "predict", or the default) over a batch of the predictor's program. */
bool predictor_run_batch(pil_predictor *predictor, const char *signature, const struct batch *batch, pil_prediction *result,
                         pil_status *status);

/* ---- rows.c ---- */
struct predict_rows {
    const char *signature;         /* NULL: "predict", or the default */
    const char *data;              /* CSV with a header or JSON lines; "-": standard input */
    int threads;                   /* 0: one a processor */
    const struct field_spec *keep; /* fields to read besides, for raw->fields */
    size_t keep_count;
    bool (*batch)(void *context, const pil_output *outputs, size_t count, const struct batch *raw, pil_status *status);
    void *context;
};
/* Predictions for the rows of a file, in their order, batch by batch. */
bool predictor_predict(pil_predictor *predictor, const struct predict_rows *rows, pil_status *status);

/* ---- output.c ---- */
/* Named values of a batch (pilaster/export.h, pil_output): copies without gaps that stay until the next set. */
struct outputs;
/* names, integer and words are the items'; their tensors are not looked at. The words must outlive the outputs. */
struct outputs *outputs_new(const pil_named_tensor *items, size_t count, pil_status *status);
/* The i-th value: a row for each row of the batch, or one for all of them (rows 1). Memory grows to the largest batch seen. */
bool outputs_set(struct outputs *outputs, size_t i, const struct tensor *value, pil_status *status);
/* The i-th value is a constant of `width` elements, always the same: it stands in every row. NULL: it is 0, 1, ... */
bool outputs_repeat(struct outputs *outputs, size_t i, const struct tensor *value, int64_t width, int64_t rows,
                    pil_status *status);
void outputs_none(struct outputs *outputs, size_t i, int64_t width); /* of no rows */
const pil_output *outputs_items(const struct outputs *outputs, size_t *count);
void outputs_free(struct outputs *outputs);
/* The row an output has for row `row` of the batch: of one that does not depend on the rows always the first. */
static inline int64_t output_row(const pil_output *output, int64_t row)
{
    return row < output->rows ? row : 0;
}
/* A row as a JSON object, {"logits":[0.5],"class_ids":[1],"classes":["late"]}. */
void output_json(const pil_output *outputs, size_t count, int64_t row, struct text *out);

#endif
