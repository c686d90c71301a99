/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one C++ file: it lends to C what only C++ libraries have, exact and shortest numbers of the standard library and
 * simdjson's parser. No exception leaves it.
 *
 * simdjson writes a text as a tape: a word of 64 bits for each value, brackets that know their partners. A json_value of a
 * list or an object is a place on that tape; walking reads it in order.
 */
#include <charconv>
#include <limits>
#include <new>
#include <string_view>
#include <system_error>

#include <simdjson.h>

extern "C" {
#include "base/internal.h"
#include "base/json.h"
}

/* ---- numbers ------------------------------------------------------------------------------------------------- */

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

/* ---- JSON ---------------------------------------------------------------------------------------------------- */

static_assert(JSON_PADDING >= simdjson::SIMDJSON_PADDING, "simdjson reads that far behind a text");

using simdjson::internal::tape_ref;
using simdjson::internal::tape_type;

/* A place on a tape names its document; deriving from it leads back to the flag. */
struct json_dom : simdjson::dom::document {
    simdjson::dom::parser parser;
    bool patched = false;
};

static tape_ref tape_at(const void *document, size_t place) noexcept
{
    return tape_ref(static_cast<const simdjson::dom::document *>(document), place);
}

/* The tape's count is 24 bits wide and stays at its highest; beyond, count. */
static size_t count_items(const tape_ref &at, bool is_map) noexcept
{
    size_t count = at.scope_count();
    if (count < 0xFFFFFF)
        return count;
    count = 0;
    for (size_t place = at.json_index + 1; place < at.after_element() - 1; count++)
        place = tape_ref(at.doc, place + is_map).after_element();
    return count;
}

static bool read_patched(std::string_view text, double *number) noexcept
{
    constexpr double infinity = std::numeric_limits<double>::infinity();
    text.remove_prefix(1);
    if (text == "NaN")
        *number = std::numeric_limits<double>::quiet_NaN();
    else if (text == "Infinity")
        *number = infinity;
    else if (text == "-Infinity")
        *number = -infinity;
    else
        return false;
    return true;
}

static void set_number(json_value *out, double number) noexcept
{
    out->kind = JSON_NUMBER;
    out->number = number;
    out->integer = 0;
}

static void read_text(const tape_ref &at, json_value *out) noexcept
{
    std::string_view text = at.get_string_view();
    double number;
    if (!text.empty() && text[0] == '\0' && static_cast<const json_dom *>(at.doc)->patched && read_patched(text, &number)) {
        set_number(out, number);
        return;
    }
    out->kind = JSON_TEXT;
    out->text = slice{ text.data(), text.size() };
}

static void read_value(const tape_ref &at, json_value *out) noexcept
{
    out->flag = out->is_integer = false;
    switch (at.tape_ref_type()) {
    case tape_type::START_OBJECT:
    case tape_type::START_ARRAY:
        out->kind = at.tape_ref_type() == tape_type::START_OBJECT ? JSON_MAP : JSON_LIST;
        out->count = count_items(at, out->kind == JSON_MAP);
        out->document = at.doc;
        out->place = at.json_index;
        break;
    case tape_type::STRING:
        read_text(at, out);
        break;
    case tape_type::INT64:
        out->kind = JSON_NUMBER;
        out->is_integer = true;
        out->integer = at.next_tape_value<int64_t>();
        out->number = static_cast<double>(out->integer);
        break;
    case tape_type::UINT64: /* only for what an int64_t does not hold */
        set_number(out, static_cast<double>(at.next_tape_value<uint64_t>()));
        break;
    case tape_type::DOUBLE:
        set_number(out, at.next_tape_value<double>());
        break;
    case tape_type::TRUE_VALUE:
    case tape_type::FALSE_VALUE:
        out->kind = JSON_BOOL;
        out->flag = at.tape_ref_type() == tape_type::TRUE_VALUE;
        break;
    default:
        out->kind = JSON_NULL;
    }
}

extern "C" struct json_dom *json_dom_new(void)
{
    try {
        return new (std::nothrow) json_dom;
    } catch (...) {
        return nullptr;
    }
}

extern "C" void json_dom_free(struct json_dom *dom)
{
    delete dom;
}

static json_dom_result result_of(simdjson::error_code error) noexcept
{
    if (error == simdjson::SUCCESS)
        return JSON_DOM_PARSED;
    return error == simdjson::MEMALLOC ? JSON_DOM_NO_MEMORY : JSON_DOM_REFUSED;
}

extern "C" enum json_dom_result json_dom_parse(struct json_dom *dom, const char *data, size_t size, size_t capacity, bool patched,
                                               struct json_value *root)
{
    try {
        simdjson::error_code error = simdjson::SUCCESS;
        if (dom->capacity() < capacity)
            error = dom->allocate(capacity);
        if (!error && dom->parser.capacity() < capacity)
            error = dom->parser.allocate(capacity, JSON_DEPTH + 1); /* the text itself counts as one */
        if (!error)
            error = dom->parser.parse_into_document(*dom, data, size, false).error();
        if (!error) {
            dom->patched = patched;
            read_value(tape_at(static_cast<simdjson::dom::document *>(dom), 1), root);
        }
        return result_of(error);
    } catch (const std::bad_alloc &) {
        return JSON_DOM_NO_MEMORY;
    } catch (...) {
        return JSON_DOM_REFUSED;
    }
}

extern "C" struct json_walk json_children(const struct json_value *value)
{
    if (value->kind != JSON_LIST && value->kind != JSON_MAP)
        return json_walk{ nullptr, 0, 0, false };
    size_t end = tape_at(value->document, value->place).after_element() - 1;
    return json_walk{ value->document, value->place + 1, end, value->kind == JSON_MAP };
}

extern "C" bool json_next(struct json_walk *walk, struct slice *key, struct json_value *value)
{
    if (walk->place >= walk->end)
        return false;
    std::string_view name;
    if (walk->is_map)
        name = tape_at(walk->document, walk->place++).get_string_view();
    if (key != nullptr)
        *key = slice{ name.data(), name.size() };
    tape_ref at = tape_at(walk->document, walk->place);
    read_value(at, value);
    walk->place = at.after_element();
    return true;
}

extern "C" bool json_get(const struct json_value *map, const char *key, struct json_value *value)
{
    std::string_view wanted(key);
    if (map->kind != JSON_MAP)
        return false;
    json_walk walk = json_children(map);
    while (walk.place < walk.end) {
        tape_ref at = tape_at(walk.document, walk.place + 1);
        if (tape_at(walk.document, walk.place).get_string_view() == wanted) {
            read_value(at, value);
            return true;
        }
        walk.place = at.after_element();
    }
    return false;
}

extern "C" bool json_floats(const struct json_value *list, float *out)
{
    json_value item;
    if (list->kind != JSON_LIST)
        return false;
    json_walk walk = json_children(list);
    while (json_next(&walk, nullptr, &item)) {
        if (item.kind != JSON_NUMBER)
            return false;
        *out++ = static_cast<float>(item.number);
    }
    return true;
}
