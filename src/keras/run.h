/* SPDX-License-Identifier: Apache-2.0 */
/* A model for one mode, as fit, evaluate and predict run it: run.c makes it, whoever has data feeds it. */
#ifndef PILASTER_KERAS_RUN_H
#define PILASTER_KERAS_RUN_H

#include "keras/internal.h"

struct keras_run {
    pil_sequential *model;
    pil_mode mode;
    struct program *program;
    struct pil_graph *graph;
    struct column_inputs inputs;
    struct sequential_outputs outputs;
    struct plan *plan;
    struct session *session;
    struct updater *updater; /* TRAIN */
    struct metric **metrics; /* [outputs.metric_count] */
    struct fetches fetches;
};
/* Builds, compiles and binds the model for such data; makes the model's values where it has none yet, slots too in TRAIN. weights: the
 * dataset's field of sample weights, or NULL; they are read unless the mode is PREDICT. */
bool keras_run_make(struct keras_run *run, pil_sequential *model, pil_mode mode, const struct pil_dataset *dataset,
                    const char *weights, pil_status *status);
/* A feed over the dataset for this run's program, from its beginning. */
struct feed *keras_run_feed(const struct keras_run *run, const struct pil_dataset *dataset, pil_status *status);
/* After a step: the value of one of the outputs' tensors; NULL for NULL. */
const struct tensor *keras_run_value(const struct keras_run *run, const struct pil_tensor *tensor);
/* Adds the batch that has just run to the metrics; begins anew. */
bool keras_run_count(struct keras_run *run, pil_status *status);
void keras_run_reset(struct keras_run *run);
/* A batch of a pass without training: bound and run. */
bool keras_run_batch(struct keras_run *run, struct feed *feed, const struct batch *batch, pil_status *status);
void keras_run_free(struct keras_run *run);

#endif
