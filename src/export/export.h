/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export: how a model leaves. The folder that runs without the code that made it, the predictor that runs it, and named outputs,
 * which a trained model and an export give alike.
 *
 *   output   a batch's values under their names, as floats, integers and words; as JSON
 */
#ifndef PILASTER_EXPORT_H
#define PILASTER_EXPORT_H

#include "graph/graph.h"
#include "pilaster/export.h"

/* ---- output.c ---- */
/* Named values of a batch (pilaster/export.h, pil_output): copies without gaps that stay until the next set. */
struct outputs;
/* names, integer and words are the items'; their tensors are not looked at. The words must outlive the outputs. */
struct outputs *outputs_new(const pil_named_tensor *items, size_t count, pil_status *status);
/* The i-th value: a row for each row of the batch, or one for all of them (rows 1). Memory grows to the largest batch seen. */
bool outputs_set(struct outputs *outputs, size_t i, const struct tensor *value, pil_status *status);
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
