/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: what a run tells while it goes on, such as "loss = 0.25, step = 101" or a warning that no gradient reaches a variable.
 * The library never prints: without a function set here they go nowhere.
 */
#ifndef PILASTER_PUBLIC_LOG_H
#define PILASTER_PUBLIC_LOG_H

#include "pilaster/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pil_log_level { PIL_LOG_ERROR, PIL_LOG_WARNING, PIL_LOG_INFO, PIL_LOG_DEBUG } pil_log_level;
/* Takes a line, without its newline. It may be called by several threads. */
typedef void (*pil_log_function)(void *context, pil_log_level level, const char *line);
/* Sets where all lines of this process go; NULL: nowhere. To be called while no run is going on. */
PIL_API void pil_log_to(pil_log_function function, void *context);

#ifdef __cplusplus
}
#endif

#endif
