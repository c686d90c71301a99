/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file `checkpoint` in a model_dir: which checkpoints exist, as a text proto that TensorFlow writes and reads
 * (CheckpointState, tensorflow/python/training/checkpoint_state.proto):
 *
 *     model_checkpoint_path: "model.ckpt-20"
 *     all_model_checkpoint_paths: "model.ckpt-10"
 *     all_model_checkpoint_paths: "model.ckpt-20"
 *
 * It may hold time stamps and comments too, which are read over. Writing it is the last act of a save: until then a new
 * checkpoint does not exist, from then on it is the one to go on from.
 */
#include "store/internal.h"

#include <string.h>

/* ---- the text proto ------------------------------------------------------------------------------------------ */

struct reader {
    struct slice rest;
    const char *path;
    int line;
    struct text text; /* the string read last, without quotes and escapes */
};

static bool bad_syntax(const struct reader *reader, const char *expected, pil_status *status)
{
    return status_fail(status, PIL_BAD_DATA, "%s:%d: %s expected; not a checkpoint file as TensorFlow writes it", reader->path,
                       reader->line, expected);
}

static int peek(const struct reader *reader)
{
    return reader->rest.size > 0 ? (unsigned char)reader->rest.data[0] : -1;
}

static int take(struct reader *reader)
{
    int byte = peek(reader);
    if (byte >= 0)
        reader->rest = slice_of(reader->rest.data + 1, reader->rest.size - 1);
    reader->line += byte == '\n';
    return byte;
}

static void skip_space(struct reader *reader)
{
    for (int byte; (byte = peek(reader)) == ' ' || byte == '\t' || byte == '\r' || byte == '\n' || byte == '#' || byte == ',' ||
                   byte == ';';) {
        if (byte == '#') {
            while (peek(reader) >= 0 && peek(reader) != '\n')
                take(reader);
        } else {
            take(reader);
        }
    }
}

static bool is_word(int byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '_' ||
           byte == '.' || byte == '+' || byte == '-';
}

/* A field's name or a number; empty when there is neither. */
static struct slice take_word(struct reader *reader)
{
    const char *start = reader->rest.data;
    while (is_word(peek(reader)))
        take(reader);
    return slice_of(start, (size_t)(reader->rest.data - start));
}

static int digit(int byte, int base)
{
    int value = byte >= '0' && byte <= '9' ? byte - '0' : (byte | 32) >= 'a' && (byte | 32) <= 'f' ? (byte | 32) - 'a' + 10 : 99;
    return value < base ? value : -1;
}

/* What follows a backslash: a letter, up to three octal digits, x and up to two hexadecimal ones. */
static int take_escape(struct reader *reader)
{
    static const char letters[] = "nrtabfv", meanings[] = "\n\r\t\a\b\f\v";
    int byte = take(reader);
    const char *letter = byte > 0 ? strchr(letters, byte) : NULL;
    if (letter != NULL)
        return (unsigned char)meanings[letter - letters];
    bool hexadecimal = byte == 'x' || byte == 'X';
    if (!hexadecimal && digit(byte, 8) < 0)
        return byte == '\\' || byte == '\'' || byte == '"' || byte == '?' ? byte : -1;
    int base = hexadecimal ? 16 : 8, value = hexadecimal ? 0 : digit(byte, 8), more = 2;
    if (hexadecimal && digit(peek(reader), 16) < 0)
        return -1;
    for (; more > 0 && digit(peek(reader), base) >= 0; more--)
        value = value * base + digit(take(reader), base);
    return value & 0xFF;
}

/* One or more quoted strings, which count as one. */
static bool take_string(struct reader *reader, pil_status *status)
{
    text_clear(&reader->text);
    for (int quote; (quote = peek(reader)) == '"' || quote == '\''; skip_space(reader)) {
        take(reader);
        while (peek(reader) != quote) {
            int byte = take(reader);
            if (byte == '\\')
                byte = take_escape(reader);
            if (byte <= 0 || byte == '\n')
                return bad_syntax(reader, "the end of a string", status);
            text_append(&reader->text, &(char){ (char)byte }, 1);
        }
        take(reader);
    }
    return text_ok(&reader->text, status);
}

/* "name: value"; the name, and whether the value is a string (then it is in reader->text). */
static bool take_field(struct reader *reader, struct slice *name, bool *is_string, pil_status *status)
{
    *name = take_word(reader);
    skip_space(reader);
    if (name->size == 0)
        return bad_syntax(reader, "a field's name", status);
    if (take(reader) != ':')
        return bad_syntax(reader, "a colon", status);
    skip_space(reader);
    *is_string = peek(reader) == '"' || peek(reader) == '\'';
    if (*is_string)
        return take_string(reader, status);
    return take_word(reader).size > 0 || bad_syntax(reader, "a value", status);
}

/* Moves a name to the end, or adds it there. */
static bool add_name(struct state *state, size_t *capacity, const char *name, size_t size, struct arena *arena,
                     pil_status *status)
{
    size_t at = 0;
    while (at < state->count && strcmp(state->names[at], name) != 0)
        at++;
    char *found = at < state->count ? state->names[at] : arena_text(arena, name, size, status);
    if (found == NULL || !mem_grow(&state->names, capacity, state->count + 1, sizeof *state->names, status))
        return false;
    if (at < state->count)
        memmove(state->names + at, state->names + at + 1, (--state->count - at) * sizeof *state->names);
    state->names[state->count++] = found;
    return true;
}

static bool parse(struct reader *reader, struct arena *arena, struct state *state, pil_status *status)
{
    size_t capacity = 0;
    char *latest = NULL;
    struct state list = { 0 };
    bool fine = true;
    for (skip_space(reader); fine && peek(reader) >= 0; skip_space(reader)) {
        struct slice name;
        bool is_string;
        fine = take_field(reader, &name, &is_string, status);
        if (!fine || !is_string || reader->text.size == 0)
            continue;
        if (slice_is(name, "all_model_checkpoint_paths")) {
            fine = add_name(&list, &capacity, reader->text.data, reader->text.size, arena, status);
        } else if (slice_is(name, "model_checkpoint_path")) {
            latest = arena_text(arena, reader->text.data, reader->text.size, status);
            fine = latest != NULL;
        }
    }
    if (fine && latest != NULL) /* it need not be the last of the list, nor in it */
        fine = add_name(&list, &capacity, latest, strlen(latest), arena, status);
    if (fine && list.count > 0) {
        state->names = arena_alloc(arena, list.count * sizeof *list.names, status);
        fine = state->names != NULL;
        if (fine)
            memcpy(state->names, list.names, list.count * sizeof *list.names);
        state->count = fine ? list.count : 0;
    }
    mem_free(list.names);
    return fine;
}

bool state_read(const char *model_dir, struct arena *arena, struct state *state, pil_status *status)
{
    struct file_data file;
    *state = (struct state){ 0 };
    const char *path = path_join(arena, model_dir, "checkpoint", status);
    if (path == NULL)
        return false;
    if (!file_exists(path))
        return true;
    if (!file_load(path, &file, status))
        return false;
    struct reader reader = { .rest = slice_of(file.data, file.size), .path = path, .line = 1 };
    bool fine = parse(&reader, arena, state, status);
    text_free(&reader.text);
    file_unload(&file);
    return fine;
}

/* As protobuf's CEscape does it: what is not printable ASCII in octal. */
static void put_field(struct text *out, const char *field, const char *value)
{
    text_format(out, "%s: \"", field);
    for (const char *at = value; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte == '\n')
            text_append(out, "\\n", 2);
        else if (byte == '\r')
            text_append(out, "\\r", 2);
        else if (byte == '\t')
            text_append(out, "\\t", 2);
        else if (byte == '"' || byte == '\'' || byte == '\\')
            text_format(out, "\\%c", byte);
        else if (byte < 0x20 || byte >= 0x7F)
            text_format(out, "\\%03o", byte);
        else
            text_append(out, at, 1);
    }
    text_append(out, "\"\n", 2);
}

bool state_write(const char *model_dir, const struct state *state, pil_status *status)
{
    struct text content = { 0 }, path = { 0 };
    if (state->count > 0)
        put_field(&content, "model_checkpoint_path", state->names[state->count - 1]);
    for (size_t i = 0; i < state->count; i++)
        put_field(&content, "all_model_checkpoint_paths", state->names[i]);
    text_format(&path, "%s/checkpoint", model_dir);
    bool fine = text_ok(&content, status) && text_ok(&path, status) &&
                file_replace(path.data, content.data != NULL ? content.data : "", content.size, status);
    text_free(&content);
    text_free(&path);
    return fine;
}

/* ---- the files of a checkpoint ------------------------------------------------------------------------------- */

bool state_exists(const char *prefix)
{
    struct text path = { 0 };
    text_format(&path, "%s.index", prefix);
    bool exists = !path.failed && file_exists(path.data);
    text_free(&path);
    return exists;
}

char *state_prefix(const char *model_dir, const char *name, struct arena *arena, pil_status *status)
{
    char *prefix = path_join(arena, model_dir, name, status);
    if (prefix == NULL || name[0] != '/' || state_exists(prefix))
        return prefix;
    char *moved = path_join(arena, model_dir, path_base(name), status);
    return moved == NULL || state_exists(moved) ? moved : prefix;
}

/* "model.ckpt-20.data-00000-of-00001" and "model.ckpt-20.meta" belong to "model.ckpt-20"; the index is removed by itself. */
static bool belongs(const char *file, const char *name)
{
    size_t size = strlen(name);
    return strncmp(file, name, size) == 0 && (strncmp(file + size, ".data-", 6) == 0 || strcmp(file + size, ".meta") == 0);
}

bool state_remove(const char *model_dir, const char *name, pil_status *status)
{
    struct arena *arena = arena_new(status);
    char **names, *path;
    size_t count;
    bool fine = arena != NULL && (path = arena_format(arena, status, "%s/%s.index", model_dir, name)) != NULL &&
                file_remove(path, status) && file_list(model_dir, arena, &names, &count, status);
    for (size_t i = 0; fine && i < count; i++) {
        if (!belongs(names[i], name))
            continue;
        path = path_join(arena, model_dir, names[i], status);
        fine = path != NULL && file_remove(path, status);
    }
    arena_free(arena);
    return fine;
}

char *checkpoint_latest(const char *model_dir, struct arena *arena, pil_status *status)
{
    struct state state;
    if (!state_read(model_dir, arena, &state, status) || state.count == 0)
        return NULL;
    return state_prefix(model_dir, state.names[state.count - 1], arena, status);
}

bool checkpoint_list(const char *model_dir, struct arena *arena, char ***prefixes, size_t *count, pil_status *status)
{
    struct state state;
    *count = 0;
    *prefixes = NULL;
    if (!state_read(model_dir, arena, &state, status))
        return false;
    *prefixes = state.names;
    for (; *count < state.count; ++*count) {
        state.names[*count] = state_prefix(model_dir, state.names[*count], arena, status);
        if (state.names[*count] == NULL)
            return false;
    }
    return true;
}
