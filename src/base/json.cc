/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one C++ file: it lends to C what only the C++ library has. No exception leaves it.
 */
#include <charconv>
#include <system_error>

extern "C" {
#include "base/internal.h"
}

template <typename T> static bool read_number(const char *first, const char *last, T *value) noexcept
{
    return std::from_chars(first, last, *value).ec == std::errc();
}

template <typename T> static size_t write_number(char *out, size_t size, T value, bool fixed) noexcept
{
    auto result = std::to_chars(out, out + size, value, fixed ? std::chars_format::fixed : std::chars_format::scientific);
    return result.ec == std::errc() ? static_cast<size_t>(result.ptr - out) : 0;
}

extern "C" bool number_from_text(const char *first, const char *last, float *value)
{
    return read_number(first, last, value);
}

extern "C" bool number_from_text_double(const char *first, const char *last, double *value)
{
    return read_number(first, last, value);
}

extern "C" size_t number_to_text(char *out, size_t size, float value, bool fixed)
{
    return write_number(out, size, value, fixed);
}

extern "C" size_t number_to_text_double(char *out, size_t size, double value, bool fixed)
{
    return write_number(out, size, value, fixed);
}
