/* SPDX-License-Identifier: Apache-2.0 */
/* Losses and metrics by Keras's words, as ops of a graph. */
#ifndef PILASTER_KERAS_LOSS_HEADER
#define PILASTER_KERAS_LOSS_HEADER

#include "graph/graph.h"
#include "pilaster/keras_loss.h"
#include "pilaster/keras_metric.h"
#include "train/train.h"

/* ---- loss.c ---- */
/* Of a rows tensor, without the batch: "[80, 16]", and how many elements. */
const char *keras_row_text(const struct pil_tensor *x, char out[128]);
int64_t keras_row_elements(const struct pil_tensor *x);
/* Is there such a loss, and can it take these options? */
bool keras_loss_check(const pil_keras_loss *loss, pil_status *status);
/* The losses of rows (or of steps of rows) [batch, ...]; errors are the graph's, and say which loss would fit. */
struct pil_tensor *keras_losses(struct pil_graph *graph, const pil_keras_loss *loss, struct pil_tensor *labels,
                                struct pil_tensor *predictions);
/* Their weighted sum over their number. weights: as keras_weights gives them, or NULL. */
struct pil_tensor *keras_loss_build(struct pil_graph *graph, const pil_keras_loss *loss, struct pil_tensor *labels,
                                    struct pil_tensor *predictions, struct pil_tensor *weights);
/* Sample weights [batch] or [batch, 1] and a mask [batch, time], either NULL, as weights of losses of predictions' shape without its
 * last axis. */
struct pil_tensor *keras_weights(struct pil_graph *graph, struct pil_tensor *predictions, struct pil_tensor *weights,
                                 struct pil_tensor *mask);

/* ---- metric.c ---- */
bool keras_metric_check(const pil_keras_metric *metric, pil_status *status);
/* The metric and the name it is shown by, in the graph's arena. */
struct pil_metric *keras_metric_build(struct pil_graph *graph, const pil_keras_metric *metric, struct pil_tensor *labels,
                                      struct pil_tensor *predictions, struct pil_tensor *weights, const char **name);

#endif
