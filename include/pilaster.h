/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of Pilaster: models of feature columns and learned embeddings, trained, evaluated and used.
 *
 * Each header below is a subject and may be included alone; this one brings them all. Names begin with pil_, types and
 * functions, or PIL_, macros and constants. What a function needs, owns and can fail with stands beside it.
 */
#ifndef PILASTER_H
#define PILASTER_H

#include "pilaster/column.h"
#include "pilaster/estimator.h"
#include "pilaster/export.h"
#include "pilaster/graph.h"
#include "pilaster/hook.h"
#include "pilaster/input.h"
#include "pilaster/keras.h"
#include "pilaster/keras_callback.h"
#include "pilaster/keras_layer.h"
#include "pilaster/keras_loss.h"
#include "pilaster/keras_metric.h"
#include "pilaster/layers.h"
#include "pilaster/log.h"
#include "pilaster/loss.h"
#include "pilaster/metric.h"
#include "pilaster/op.h"
#include "pilaster/options.h"
#include "pilaster/rnn.h"
#include "pilaster/status.h"
#include "pilaster/train.h"

#endif
