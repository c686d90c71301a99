/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV blocks into typed fields.
 *
 * Records come in two sorts. A *regular* one has as many separators as there are columns, the last of them a newline, by an
 * index that byte masks make of some thousand fields at once (kernel/scan.c); its wanted cells are picked out of the index
 * and parsed, the others are never looked at. Everything else (blank lines, comments, a last record without a newline, too
 * few or too many fields, quotes in odd places) is read byte by byte by `walk`, which also finds the words for what is
 * wrong. Both give the same values for a record that both can read; the tests compare them.
 *
 *     data     pos                                         ends[i .. i + columns)
 *              1,2.5,Sun\n3,4.5,Mon\n\n5,...               regular: , , \n
 *
 * RFC 4180, with the liberties that files take: CRLF or LF, blank lines anywhere, a quote inside an unquoted field.
 */
#include "input/internal.h"

#include <stdio.h>
#include <string.h>

enum {
    INDEX = 4096,     /* ends on the stack: with the records they index they stay in the first-level cache */
    INDEX_SPARE = 64, /* what the scan may leave free at the end */
    INDEX_LEAST = 2 * INDEX_SPARE
};

static const char ADVICE[] = "set default_value to fill such fields, "
                             "or input.on_error: skip (in C: .ignore_errors) to drop such rows";
static const char SKIP_ADVICE[] = "input.on_error: skip (in C: .ignore_errors) drops such rows";

struct bind {
    size_t column, field;
    bool direct; /* one value a cell, without a weight: stored here without a detour */
    enum field_type type;
};

struct csv {
    char delimiter, comment;
    bool skip_bad, all_required, splits;
    struct row_split split;
    size_t split_column; /* SIZE_MAX: by the whole record */
    size_t columns;
    const char **names; /* [columns] */
    struct bind *binds; /* ascending by column */
    size_t bind_count;
    size_t *absent; /* fields that the file lacks */
    size_t absent_count;
    struct arena *arena;
};

/* ---- one cell, byte by byte ---------------------------------------------------------------------------------- */

struct cell {
    struct slice text; /* without its quotes, doubled ones inside still doubled */
    struct slice raw;  /* with them, for carets */
    bool doubled;      /* it holds doubled quotes */
    bool last;         /* a newline or the end follows */
    bool open;         /* its quote is not closed */
    bool followed;     /* something stands behind its closing quote */
    const char *next;  /* behind the separator */
};

/* The closing quote of the field whose content starts at `at`, or NULL. */
static const char *closing(const char *at, const char *end, bool *doubled)
{
    *doubled = false;
    while (at < end && (at = memchr(at, '"', (size_t)(end - at))) != NULL) {
        if (at + 1 == end || at[1] != '"')
            return at;
        *doubled = true;
        at += 2;
    }
    return NULL;
}

static struct cell cell_at(const struct csv *csv, const char *at, const char *end)
{
    struct cell cell = { 0 };
    const char *stop = at;
    bool quoted = at < end && *at == '"';
    if (quoted) {
        const char *close = closing(at + 1, end, &cell.doubled);
        if (close == NULL) {
            cell.raw = slice_of(at, (size_t)(end - at));
            cell.open = true;
            return cell;
        }
        cell.text = slice_of(at + 1, (size_t)(close - at - 1));
        stop = close + 1;
    }
    const char *content = stop;
    while (stop < end && *stop != csv->delimiter && *stop != '\n')
        stop++;
    cell.last = stop == end || *stop == '\n';
    cell.next = stop < end ? stop + 1 : end;
    if (cell.last && stop > content && stop[-1] == '\r')
        stop--;
    cell.raw = slice_of(at, (size_t)(stop - at));
    if (!quoted)
        cell.text = cell.raw;
    cell.followed = quoted && stop > content;
    return cell;
}

static const char *quote_trouble(const struct cell *cell)
{
    return cell->open ? "its quote is not closed" : "something follows its closing quote";
}

/* Doubled quotes halved. */
static size_t unescape(struct slice text, char *out)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        out[size++] = text.data[i];
        i += text.data[i] == '"';
    }
    return size;
}

static bool plain_text(struct fields *fields, const struct cell *cell, struct slice *text, pil_status *status)
{
    *text = cell->text;
    if (!cell->doubled)
        return true;
    char *copy = fields_own_text(fields, cell->text.size, status);
    if (copy == NULL)
        return false;
    *text = slice_of(copy, unescape(cell->text, copy));
    return true;
}

/* ---- names and columns --------------------------------------------------------------------------------------- */

static bool header_names(struct csv *csv, struct slice header, const char *path, pil_status *status)
{
    size_t capacity = 0;
    const char *at = header.data, *end = header.data + header.size;
    for (bool last = false; !last;) {
        struct cell cell = cell_at(csv, at, end);
        if (cell.open || cell.followed)
            return status_fail(status, PIL_BAD_DATA, "%s: the header, column %zu: %s", path, csv->columns + 1,
                               quote_trouble(&cell));
        char *name = arena_text(csv->arena, cell.text.data, cell.text.size, status);
        if (name == NULL || !mem_grow(&csv->names, &capacity, csv->columns + 1, sizeof(*csv->names), status))
            return false;
        if (cell.doubled)
            name[unescape(cell.text, name)] = '\0';
        csv->names[csv->columns++] = name;
        at = cell.next;
        last = cell.last;
    }
    return true;
}

static bool given_names(struct csv *csv, const struct csv_options *options, const char *path, pil_status *status)
{
    if (options->name_count == 0)
        return status_fail(status, PIL_INVALID_ARGUMENT, "%s: without a header, input.names must name the columns", path);
    csv->names = mem_array(options->name_count, sizeof(*csv->names), status);
    for (size_t i = 0; csv->names != NULL && i < options->name_count; i++) {
        csv->names[i] = arena_text(csv->arena, options->names[i], strlen(options->names[i]), status);
        if (csv->names[i] == NULL)
            return false;
        csv->columns++;
    }
    return csv->names != NULL;
}

/* The column of a name; SIZE_MAX when there is none. Twice the same name: nobody knows which is meant. */
static bool find_column(const struct csv *csv, const char *name, const char *path, size_t *column, pil_status *status)
{
    *column = SIZE_MAX;
    for (size_t i = 0; i < csv->columns; i++) {
        if (strcmp(csv->names[i], name) != 0)
            continue;
        if (*column != SIZE_MAX)
            return status_fail(status, PIL_BAD_DATA, "%s: columns %zu and %zu are both named '%s'", path, *column + 1, i + 1,
                               name);
        *column = i;
    }
    return true;
}

static bool no_column(const struct csv *csv, const char *name, const char *path, pil_status *status)
{
    const char *near = nearest_word(name, csv->names, csv->columns);
    if (near != NULL)
        return status_fail(status, PIL_BAD_DATA, "%s: has no column '%s'; did you mean '%s'?", path, name, near);
    status_fail(status, PIL_BAD_DATA, "%s: has no column '%s'", path, name);
    char list[200];
    size_t size = 0;
    for (size_t i = 0; i < csv->columns && size + 40 < sizeof(list); i++)
        size += (size_t)snprintf(list + size, sizeof(list) - size, "%s%.32s", i > 0 ? ", " : "", csv->names[i]);
    return status_hint(status, "its columns are %s%s", list, csv->columns > 1 && size + 40 >= sizeof(list) ? ", ..." : "");
}

static bool bind_fields(struct csv *csv, const char *path, const struct field_spec *specs, size_t count, pil_status *status)
{
    csv->binds = mem_array(count, sizeof(*csv->binds), status);
    csv->absent = mem_array(count, sizeof(*csv->absent), status);
    if (csv->binds == NULL || csv->absent == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct field_spec *spec = &specs[i];
        struct bind bind = { .field = i, .type = spec->type, .direct = spec->separator == 0 && spec->weight_separator == 0 };
        if (!find_column(csv, spec->name, path, &bind.column, status))
            return false;
        if (bind.column == SIZE_MAX) {
            if (spec->required || csv->all_required)
                return no_column(csv, spec->name, path, status);
            csv->absent[csv->absent_count++] = i;
            continue;
        }
        size_t place = csv->bind_count++;
        for (; place > 0 && csv->binds[place - 1].column > bind.column; place--)
            csv->binds[place] = csv->binds[place - 1];
        csv->binds[place] = bind;
    }
    return true;
}

static bool bind_split(struct csv *csv, const struct row_split *split, const char *path, pil_status *status)
{
    csv->split_column = SIZE_MAX;
    if (split == NULL)
        return true;
    csv->splits = true;
    csv->split = *split;
    if (!split_check(split, status))
        return false;
    if (split->by == NULL)
        return true;
    return find_column(csv, split->by, path, &csv->split_column, status) &&
           (csv->split_column != SIZE_MAX || no_column(csv, split->by, path, status));
}

struct csv *csv_new(const struct csv_options *options, const struct row_split *split, struct slice header, const char *path,
                    const struct field_spec *specs, size_t count, pil_status *status)
{
    struct csv *csv = mem_new(sizeof(*csv), status);
    if (csv == NULL)
        return NULL;
    csv->delimiter = options->delimiter != 0 ? options->delimiter : ',';
    csv->comment = options->comment;
    csv->skip_bad = options->skip_bad;
    csv->all_required = options->all_required;
    csv->arena = arena_new(status);
    bool done = csv->arena != NULL;
    if (done && strchr("\"\r\n", csv->delimiter) != NULL)
        done = status_fail(status, PIL_INVALID_ARGUMENT, "a quote or a newline cannot be the delimiter");
    done = done && (options->header ? header_names(csv, header, path, status) : given_names(csv, options, path, status)) &&
           bind_fields(csv, path, specs, count, status) && bind_split(csv, split, path, status);
    if (done)
        return csv;
    csv_free(csv);
    return NULL;
}

void csv_free(struct csv *csv)
{
    if (csv == NULL)
        return;
    mem_free(csv->names);
    mem_free(csv->binds);
    mem_free(csv->absent);
    arena_free(csv->arena);
    mem_free(csv);
}

/* ---- parsing a block ----------------------------------------------------------------------------------------- */

struct parse {
    const struct csv *csv;
    const struct block *block;
    struct fields *fields;
    const char *at, *end; /* the next record; the end of the block */
    int64_t line;         /* of `at` */
    bool quotes;          /* the block has some */
    size_t limit;         /* of the next index: small behind a record that was not regular, so that none is made in vain */
    int64_t skipped;
    pil_status *status;
};

static int64_t newlines(const char *at, const char *end)
{
    int64_t count = 0;
    for (; at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        count++;
    return count;
}

static void next_record(struct parse *parse, const char *next)
{
    parse->line += parse->quotes ? newlines(parse->at, next) : 1;
    parse->at = next;
}

/* The record that starts at `at`, for errors: to the end of its line at least as far as `reached`. */
static struct slice record_shown(const struct parse *parse, const char *reached)
{
    const char *newline = memchr(reached, '\n', (size_t)(parse->end - reached));
    const char *end = newline != NULL ? newline : parse->end;
    if (end > reached && end[-1] == '\r')
        end--;
    return slice_of(parse->at, (size_t)(end - parse->at));
}

/* The cell is bad, and status says why: finds the words for where. */
static bool bad_cell(struct parse *parse, size_t column, struct slice raw, const char *advice)
{
    if (parse->status == NULL || parse->status->code != PIL_BAD_DATA)
        return false;
    status_prefix(parse->status, "%s:%lld: field '%s' (column %zu): ", parse->block->path, (long long)parse->line,
                  parse->csv->names[column], column + 1);
    return show_cell(record_shown(parse, raw.data + raw.size), raw, advice, parse->status);
}

static bool bad_count(struct parse *parse, size_t count)
{
    struct slice record = record_shown(parse, parse->at);
    status_fail(parse->status, PIL_BAD_DATA, "%s:%lld: %zu field%s in this record, %zu expected", parse->block->path,
                (long long)parse->line, count, count == 1 ? "" : "s", parse->csv->columns);
    status_hint(parse->status, "%.*s%s", (int)MIN(record.size, (size_t)110), record.data, record.size > 110 ? "..." : "");
    return status_hint(parse->status, "%s", SKIP_ADVICE);
}

/* A cell that is not simply stored: several values, weights, spaces around a number, nonsense. */
static bool set_cell(struct parse *parse, const struct bind *bind, struct slice text, struct slice raw)
{
    if (fields_set_cell(parse->fields, bind->field, text, parse->status))
        return true;
    return bad_cell(parse, bind->column, raw, ADVICE);
}

/* Stores a cell; there is room for one more entry in each field. */
static inline bool store(struct parse *parse, const struct bind *bind, struct slice text, struct slice raw)
{
    struct field *field = &parse->fields->fields[bind->field];
    const int64_t entry = field->entries;
    if (!bind->direct || text.size == 0)
        return set_cell(parse, bind, text, raw);
    if (bind->type == FIELD_FLOAT) {
        if (!parse_float(text, &field->floats[entry]))
            return set_cell(parse, bind, text, raw);
    } else if (bind->type == FIELD_INT64) {
        if (!parse_int64(text, &field->ints[entry]))
            return set_cell(parse, bind, text, raw);
    } else {
        field->texts[entry] = text;
    }
    field->present[entry] = 1;
    if (field->weights != NULL)
        field->weights[entry] = 1;
    field->entries = entry + 1;
    return true;
}

/* ---- records byte by byte ------------------------------------------------------------------------------------ */

/* Passes over what is no record: a blank line or a comment. */
static bool no_record(struct parse *parse, const char **next)
{
    const char *at = parse->at, *newline = memchr(at, '\n', (size_t)(parse->end - at));
    const char *line_end = newline != NULL ? newline : parse->end;
    *next = newline != NULL ? newline + 1 : parse->end;
    if (parse->csv->comment != 0 && *at == parse->csv->comment)
        return true;
    return line_end == at || (line_end == at + 1 && *at == '\r');
}

static bool bad_quotes(struct parse *parse, const struct cell *cell, size_t column)
{
    if (column >= parse->csv->columns)
        return bad_count(parse, column + 1);
    status_fail(parse->status, PIL_BAD_DATA, "%s", quote_trouble(cell));
    return bad_cell(parse, column, cell->raw,
                    "quotes inside a quoted field are doubled; "
                    "input.on_error: skip (in C: .ignore_errors) drops such rows");
}

/* First the shape of the record: how many fields, where it ends, which part it belongs to. */
static bool measure(struct parse *parse, const char **next, bool *keep)
{
    const struct csv *csv = parse->csv;
    size_t column = 0;
    struct cell cell;
    const char *at = parse->at;
    *keep = true;
    do {
        cell = cell_at(csv, at, parse->end);
        if (cell.open) {
            const char *newline = memchr(at, '\n', (size_t)(parse->end - at));
            *next = newline != NULL ? newline + 1 : parse->end;
            return bad_quotes(parse, &cell, column);
        }
        if (csv->splits && column == csv->split_column)
            *keep = split_keeps(&csv->split, cell.text);
        at = *next = cell.next;
        column++;
    } while (!cell.last);
    if (csv->splits && csv->split_column == SIZE_MAX)
        *keep = split_keeps(&csv->split, slice_of(parse->at, (size_t)(cell.raw.data + cell.raw.size - parse->at)));
    return column == csv->columns || bad_count(parse, column);
}

/* Then its wanted cells. */
static bool read_cells(struct parse *parse)
{
    const struct csv *csv = parse->csv;
    struct cell cell = { .next = parse->at };
    size_t columns = 0;
    for (size_t b = 0; b < csv->bind_count; b++) {
        const struct bind *bind = &csv->binds[b];
        struct slice text;
        for (; columns <= bind->column; columns++)
            cell = cell_at(csv, cell.next, parse->end);
        if (cell.followed)
            return bad_quotes(parse, &cell, bind->column);
        if (!plain_text(parse->fields, &cell, &text, parse->status) || !store(parse, bind, text, cell.raw))
            return false;
    }
    return true;
}

/* A bad record: an error, or one less. */
static bool drop(struct parse *parse, const char *next)
{
    fields_undo_row(parse->fields);
    if (!parse->csv->skip_bad || parse->status == NULL || parse->status->code != PIL_BAD_DATA)
        return false;
    status_clear(parse->status);
    parse->skipped++;
    next_record(parse, next);
    return true;
}

/* Reads one record of whatever sort. */
static bool walk(struct parse *parse)
{
    const char *next;
    bool keep;
    if (no_record(parse, &next)) {
        parse->line++;
        parse->at = next;
        return true;
    }
    if (!fields_reserve(parse->fields, 1, parse->status))
        return false;
    if (!measure(parse, &next, &keep))
        return drop(parse, next);
    if (keep && !read_cells(parse))
        return drop(parse, next);
    if (keep && !fields_end_row(parse->fields, parse->line, parse->status))
        return false;
    next_record(parse, next);
    return true;
}

/* ---- regular records ----------------------------------------------------------------------------------------- */

/* One separator a column, and the last one ends the record. Blank lines and comments are for walk. */
static inline bool is_regular(const struct parse *parse, const char *base, const uint32_t *ends)
{
    const size_t last = parse->csv->columns - 1;
    for (size_t i = 0; i < last; i++) {
        if (base[ends[i]] == '\n')
            return false;
    }
    if (base[ends[last]] != '\n' || (parse->csv->comment != 0 && *parse->at == parse->csv->comment))
        return false;
    return last > 0 || (*parse->at != '\n' && *parse->at != '\r');
}

static inline struct slice raw_cell(const struct parse *parse, const char *base, const uint32_t *ends, size_t column)
{
    const char *start = column > 0 ? base + ends[column - 1] + 1 : parse->at, *end = base + ends[column];
    if (column + 1 == parse->csv->columns && end > start && end[-1] == '\r')
        end--;
    return slice_of(start, (size_t)(end - start));
}

/* A quoted cell's text. *good: it is well-formed; if not, walk has the words. */
static bool unquote(struct parse *parse, struct slice *text, bool *good)
{
    struct cell cell = { 0 };
    const char *end = text->data + text->size, *close = closing(text->data + 1, end, &cell.doubled);
    *good = close != NULL && close + 1 == end;
    cell.text = slice_of(text->data + 1, *good ? text->size - 2 : 0);
    return !*good || plain_text(parse->fields, &cell, text, parse->status);
}

static bool split_regular(struct parse *parse, const char *base, const uint32_t *ends)
{
    const struct csv *csv = parse->csv;
    bool whole = csv->split_column == SIZE_MAX;
    struct slice text = raw_cell(parse, base, ends, whole ? csv->columns - 1 : csv->split_column);
    if (whole)
        text = slice_of(parse->at, (size_t)(text.data + text.size - parse->at));
    else if (text.size >= 2 && text.data[0] == '"')
        text = slice_of(text.data + 1, text.size - 2);
    return split_keeps(&csv->split, text);
}

/* Reads one regular record. */
static inline bool read_regular(struct parse *parse, const char *base, const uint32_t *ends)
{
    const struct csv *csv = parse->csv;
    const char *next = base + ends[csv->columns - 1] + 1;
    if (csv->splits && !split_regular(parse, base, ends)) {
        next_record(parse, next);
        return true;
    }
    for (size_t b = 0; b < csv->bind_count; b++) {
        const struct bind *bind = &csv->binds[b];
        struct slice raw = raw_cell(parse, base, ends, bind->column), text = raw;
        bool good = true;
        if (parse->quotes && raw.size > 0 && raw.data[0] == '"' && !unquote(parse, &text, &good))
            return false;
        if (!good) {
            fields_undo_row(parse->fields);
            return walk(parse);
        }
        if (!store(parse, bind, text, raw))
            return drop(parse, next);
    }
    if (!fields_end_row(parse->fields, parse->line, parse->status))
        return false;
    next_record(parse, next);
    return true;
}

/* Indexes the fields from `at` on and reads their records. At least one record is read. */
static bool read_indexed(struct parse *parse)
{
    uint32_t ends[INDEX];
    const struct csv *csv = parse->csv;
    const char *base = parse->at;
    const size_t columns = csv->columns, limit = MAX(parse->limit, columns + INDEX_SPARE);
    if (limit > INDEX)
        return walk(parse); /* thousands of columns */
    struct scan scan = scan_begin(base, (size_t)(parse->end - base), csv->delimiter, '\n', '"');
    const size_t count = scan.run(&scan, ends, limit);
    size_t i = 0;
    if (!fields_reserve(parse->fields, (int64_t)(count / columns), parse->status))
        return false;
    for (; i + columns <= count && is_regular(parse, base, ends + i); i += columns) {
        const char *expected = base + ends[i + columns - 1] + 1;
        if (!read_regular(parse, base, ends + i))
            return false;
        if (parse->at != expected)
            return true; /* walk ended elsewhere: its quotes count, not the index's */
    }
    parse->limit = i > 0 ? MIN(2 * parse->limit, (size_t)INDEX) : INDEX_LEAST;
    return i > 0 || walk(parse);
}

bool csv_parse(const struct csv *csv, const struct block *block, struct fields *fields, int64_t *skipped, pil_status *status)
{
    struct parse parse = { .csv = csv,
                           .block = block,
                           .fields = fields,
                           .at = block->data,
                           .end = block->data + block->size,
                           .line = block->first_line,
                           .limit = INDEX,
                           .quotes = memchr(block->data, '"', block->size) != NULL,
                           .status = status };
    fields->source = block->path;
    for (size_t i = 0; i < csv->absent_count; i++)
        fields->fields[csv->absent[i]].absent = true;
    bool done = true;
    while (done && parse.at < parse.end)
        done = read_indexed(&parse);
    if (skipped != NULL)
        *skipped += parse.skipped;
    return done;
}
