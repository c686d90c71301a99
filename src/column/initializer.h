/* SPDX-License-Identifier: Apache-2.0 */
/* Initializers by name, for the room's embeddings. */
#ifndef PILASTER_COLUMN_INITIALIZER_H
#define PILASTER_COLUMN_INITIALIZER_H

#include "column/column.h"

/* What the public struct says, in op's terms; without a name: truncated normal of deviation 1 / sqrt(dimension). False: there is
 * no such name, and *wrong is the nearest one or NULL. */
bool initializer_of(const pil_column_initializer *given, int64_t dimension, pil_initializer *out, const char **wrong);
extern const struct arg_type COLUMN_ARG_INITIALIZER;

#endif
