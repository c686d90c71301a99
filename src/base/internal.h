/* SPDX-License-Identifier: Apache-2.0 */
/* What text.c borrows from the C++ standard library, behind json.cc. For files of this room only. */
#ifndef PILASTER_BASE_INTERNAL_H
#define PILASTER_BASE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The nearest number to the decimal text [first, last), which must be well-formed and without a plus sign. False when it
 * is too large or too small for the type; *value is then unchanged. */
bool number_from_text(const char *first, const char *last, float *value);
bool number_from_text_double(const char *first, const char *last, double *value);
/* The shortest digits that read back, as 0.001 where `fixed`, else as 1e-03. Returns the length; 0 when out is too small. */
size_t number_to_text(char *out, size_t size, float value, bool fixed);
size_t number_to_text_double(char *out, size_t size, double value, bool fixed);

#ifdef __cplusplus
}
#endif

#endif
