/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How options are written. A macro such as pil_variable(g, name, ...) puts the original's defaults first and yours after them,
 *
 *     pil_variable(g, "weight", pil_zeros(g, PIL_SHAPE(3)), .trainable = false)
 *
 * so an option is named only where it differs, and `= false` or `= 0` means what it says. An option given after its default
 * is what these macros are for, so the compilers' warning about that is off from here on; so is, in C, the one about members
 * left out of {"name", tensor}, of which some have a default.
 *
 * Behind each macro pil_X stands a plain function, pil_X_make, that takes a pointer to the options, and
 * pil_X_options_default(), which C++ and other languages use.
 */
#ifndef PILASTER_PUBLIC_OPTIONS_H
#define PILASTER_PUBLIC_OPTIONS_H

#include <stddef.h> /* a translation unit must declare something */

#if defined(__clang__)
#pragma clang diagnostic ignored "-Winitializer-overrides"
#elif defined(__GNUC__) && !defined(__cplusplus)
#pragma GCC diagnostic ignored "-Woverride-init"
#endif
#if defined(__GNUC__) && !defined(__cplusplus)
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif

#endif
