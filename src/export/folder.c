/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions below a base, as folders. A version is written as temp-<seconds>, every file and folder of it synced, and renamed;
 * who sees <seconds> sees all of it. Its last file is the manifest: the size and checksum of every other one.
 *
 *     manifest {version: 1, files: 2}
 *     file {path: variables/variables.index, bytes: 141, crc32c: 2864434397}
 *     file {path: assets.extra/pilaster/predict.graph, bytes: 5210, crc32c: 123}
 *     end {crc32c: 99}                                                             of all text before
 *
 * Whoever writes or removes holds the lock <base>/.pilaster.lock, which the kernel frees when the process dies. So a temporary
 * folder that the holder finds belongs to nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "export/internal.h"

enum { VERSION = 1, TRIES = 10, AHEAD = 3600 /* seconds that names may run ahead of the clock */, PIECE = 1 << 20 };

/* ---- checksums ----------------------------------------------------------------------------------------------- */

/* Size and checksum of a file, read in pieces. */
static bool measure(const char *path, int64_t *bytes, int64_t *checksum, pil_status *status)
{
    struct file_reader reader;
    char *piece = mem_array(PIECE, 1, status);
    bool done = piece && file_reader_open(&reader, path, status);
    uint32_t crc = 0;
    if (!done) {
        mem_free(piece);
        return false;
    }
    for (int64_t at = 0; done && at < reader.size; at += PIECE) {
        size_t size = (size_t)MIN((int64_t)PIECE, reader.size - at);
        done = file_read_at(&reader, at, piece, size, status);
        crc = done ? crc32c(crc, piece, size) : crc;
    }
    *bytes = reader.size;
    *checksum = (int64_t)crc;
    file_reader_pause(&reader);
    mem_free(piece);
    return done;
}

/* ---- versions ------------------------------------------------------------------------------------------------ */

static bool is_number(const char *name, size_t least, size_t most)
{
    size_t size = strspn(name, "0123456789");
    return name[size] == '\0' && size >= least && size <= most;
}

static bool is_complete(const char *folder, struct arena *arena, pil_status *status)
{
    const char *path = path_join(arena, folder, MANIFEST_PATH, status);
    return path && file_is_regular(path);
}

/* What our writers leave when they die, and nobody else: a folder with nothing in it, with our own folder, which is made first and
 * removed last, or with nothing but the place of that. */
static bool is_left_over(const char *folder, struct arena *arena, pil_status *status)
{
    char **names, **inner;
    size_t count, inner_count;
    const char *own = path_join(arena, folder, OWN_FOLDER, status), *place = path_join(arena, folder, "assets.extra", status);
    if (!own || !place || !file_is_folder(folder))
        return false;
    if (file_is_folder(own))
        return true;
    if (!file_list(folder, arena, &names, &count, status))
        return false;
    return count == 0 ||
           (count == 1 && file_is_folder(place) && file_list(place, arena, &inner, &inner_count, status) && inner_count == 0);
}

/* Whatever moment this is stopped at, what stays is known as a left-over: our own folder goes last. */
static bool remove_version(const char *folder, struct arena *arena, pil_status *status)
{
    char **names;
    size_t count;
    if (!file_list(folder, arena, &names, &count, status))
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *path = path_join(arena, folder, names[i], status);
        if (!path || (strcmp(names[i], "assets.extra") != 0 && file_is_folder(path) && !file_remove_folder(path, status)))
            return false;
    }
    return file_remove_folder(folder, status);
}

static bool remove_left_overs(const char *base, struct arena *arena, pil_status *status)
{
    char **names;
    size_t count;
    if (!file_list(base, arena, &names, &count, status))
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *folder = path_join(arena, base, names[i], status);
        bool temporary = strncmp(names[i], "temp-", 5) == 0 && is_number(names[i] + 5, 1, 20);
        if (!folder || (temporary && is_left_over(folder, arena, status) && !remove_version(folder, arena, status)))
            return false;
    }
    return status_ok(status);
}

static struct file_lock *lock_base(const char *base, struct arena *arena, pil_status *status)
{
    const char *path = path_join(arena, base, ".pilaster.lock", status);
    return path ? file_lock_new(path, status) : NULL;
}

bool export_keep(const char *base, int64_t keep, pil_status *status)
{
    struct arena *arena = arena_new(status);
    struct file_lock *lock = arena && file_is_folder(base) ? lock_base(base, arena, status) : NULL;
    char **names = NULL;
    size_t count = 0;
    int64_t found = 0;
    bool done = lock && remove_left_overs(base, arena, status) && file_list(base, arena, &names, &count, status);
    for (size_t i = count; done && keep > 0 && i-- > 0;) { /* of one length, so the newest stands last */
        const char *folder = path_join(arena, base, names[i], status);
        const char *temporary = arena_format(arena, status, "%s/temp-%s", base, names[i]);
        if (!folder || !temporary) {
            done = false;
        } else if (is_number(names[i], 10, 10) && is_complete(folder, arena, status) && ++found > keep) {
            /* Nobody sees half of it: it loses its name first. */
            done = file_rename(folder, temporary, status) && remove_version(temporary, arena, status);
        }
    }
    done = done || (arena && !lock && status_ok(status)); /* there is no base yet */
    file_lock_free(lock);
    arena_free(arena);
    return done;
}

char *export_find(const char *path, struct arena *arena, pil_status *status)
{
    char **names;
    size_t count;
    char *newest = NULL;
    int64_t best = -1, number;
    if (is_complete(path, arena, status))
        return arena_text(arena, path, strlen(path), status);
    if (!status_ok(status) || !file_is_folder(path) || !file_list(path, arena, &names, &count, status))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        char *folder = is_number(names[i], 1, 18) ? path_join(arena, path, names[i], status) : NULL;
        if (folder && is_complete(folder, arena, status) && parse_int64(slice_text(names[i]), &number) && number > best) {
            best = number;
            newest = folder;
        }
    }
    return status_ok(status) ? newest : NULL;
}

/* ---- a version that is being written ------------------------------------------------------------------------- */

static const char *inside(const struct draft *draft, const char *path, pil_status *status)
{
    return path_join(draft->arena, draft->folder, path, status);
}

/* Behind the newest version of the seconds to come, which exports in quick succession have taken: a name that became free again
 * would stand in front of versions older than it. */
static bool first_second(const struct draft *draft, int64_t now, int64_t *first, pil_status *status)
{
    char **names;
    size_t count;
    int64_t number;
    if (!file_list(draft->base, draft->arena, &names, &count, status))
        return false;
    *first = now;
    for (size_t i = 0; i < count; i++)
        if (is_number(names[i], 10, 10) && parse_int64(slice_text(names[i]), &number) && number >= *first && number < now + AHEAD)
            *first = number + 1;
    return true;
}

/* The next second for which there is no folder. */
static bool choose_name(struct draft *draft, pil_status *status)
{
    int64_t now = (int64_t)time(NULL), first;
    if (!first_second(draft, now, &first, status))
        return false;
    for (draft->seconds = first; draft->seconds < first + TRIES; draft->seconds++) {
        const char *final = arena_format(draft->arena, status, "%s/%lld", draft->base, (long long)draft->seconds);
        draft->folder = arena_format(draft->arena, status, "%s/temp-%lld", draft->base, (long long)draft->seconds);
        if (!final || !draft->folder)
            return false;
        if (!file_exists(final) && !file_exists(draft->folder))
            return true;
    }
    draft->folder = NULL;
    return status_fail(status, PIL_BUSY, "%s: the next %d seconds have exports already", draft->base, TRIES);
}

bool draft_open(struct draft *draft, const char *base, pil_status *status)
{
    static const char *const folders[] = { OWN_FOLDER, "variables" };
    *draft = (struct draft){ .base = base, .arena = arena_new(status) };
    if (!draft->arena || !file_make_folder(base, status) || !(draft->lock = lock_base(base, draft->arena, status)) ||
        !remove_left_overs(base, draft->arena, status) || !choose_name(draft, status))
        return false;
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        const char *path = inside(draft, folders[i], status);
        if (!path || !file_make_folder(path, status))
            return false;
    }
    return true;
}

bool draft_add(struct draft *draft, const char *path, pil_status *status)
{
    const char *copy = arena_text(draft->arena, path, strlen(path), status);
    if (!copy || !mem_grow(&draft->files, &draft->file_capacity, draft->file_count + 1, sizeof *draft->files, status))
        return false;
    draft->files[draft->file_count++] = copy;
    return true;
}

bool draft_file(struct draft *draft, const char *path, const void *data, size_t bytes, pil_status *status)
{
    const char *full = inside(draft, path, status), *base = full ? path_base(full) : NULL;
    const char *folder = full ? arena_text(draft->arena, full, (size_t)(base - full), status) : NULL;
    return folder && file_make_folder(folder, status) && file_replace(full, data, bytes, status) &&
           draft_add(draft, path, status);
}

static bool write_manifest(struct draft *draft, pil_status *status)
{
    struct text text = { 0 };
    bool done = true;
    text_format(&text, "manifest {version: %d, files: %zu}\n", VERSION, draft->file_count);
    for (size_t i = 0; done && i < draft->file_count; i++) {
        int64_t bytes = 0, checksum = 0;
        const char *full = inside(draft, draft->files[i], status);
        done = full && measure(full, &bytes, &checksum, status);
        text_append_text(&text, "file {path: ");
        ARG_TEXT.print(NULL, &draft->files[i], &text);
        text_format(&text, ", bytes: %lld, crc32c: %lld}\n", (long long)bytes, (long long)checksum);
    }
    done = done && text_ok(&text, status);
    if (done)
        text_format(&text, "end {crc32c: %lld}\n", (long long)crc32c(0, text.data, text.size));
    done = done && text_ok(&text, status) && draft_file(draft, MANIFEST_PATH, text.data, text.size, status);
    text_free(&text);
    return done;
}

bool draft_finish(struct draft *draft, struct text *path, pil_status *status)
{
    if (!write_manifest(draft, status))
        return false;
    for (int i = 0; i < TRIES; i++) { /* somebody without our lock may have taken the name meanwhile */
        pil_status renamed = { 0 };
        const char *final = arena_format(draft->arena, status, "%s/%lld", draft->base, (long long)draft->seconds + i);
        if (!final)
            return false;
        if (file_exists(final))
            continue;
        if (!file_rename(draft->folder, final, &renamed))
            return status_fail(status, renamed.code, "%s", renamed.message);
        draft->folder = NULL;
        text_append_text(path, final);
        return text_ok(path, status);
    }
    return status_fail(status, PIL_BUSY, "%s: the next %d seconds have exports already", draft->base, TRIES);
}

void draft_close(struct draft *draft)
{
    pil_status ignored = { 0 };
    if (draft->folder && draft->lock && file_is_folder(draft->folder))
        remove_version(draft->folder, draft->arena, &ignored);
    file_lock_free(draft->lock);
    mem_free(draft->files);
    arena_free(draft->arena);
    *draft = (struct draft){ 0 };
}

/* ---- the manifest, read -------------------------------------------------------------------------------------- */

struct record {
    int64_t version, files, bytes, crc32c;
    const char *path;
};
#define MEMBER(member) .name = #member, .offset = offsetof(struct record, member), .required = true
static const struct arg head_members[] = { { MEMBER(version), .type = &ARG_INT },
                                           { MEMBER(files), .type = &ARG_INT, .low = 1, .high = 1e6 } };
static const struct arg file_members[] = { { MEMBER(path), .type = &ARG_TEXT },
                                           { MEMBER(bytes), .type = &ARG_INT },
                                           { MEMBER(crc32c), .type = &ARG_INT } };
static const struct arg end_members[] = { { MEMBER(crc32c), .type = &ARG_INT } };
#define TABLE(word, table)                                                                                                       \
    {                                                                                                                            \
        .name = word, .args = table, .arg_count = COUNT_OF(table), .size = sizeof(struct record)                                 \
    }
static const struct arg_table head_table = TABLE("manifest", head_members), file_table = TABLE("file", file_members),
                              end_table = TABLE("end", end_members);

/* The next record, which must be of that table. */
static bool next_record(struct flow_reader *reader, const struct arg_table *table, struct arena *arena, struct record *record,
                        pil_status *status)
{
    struct slice word;
    struct value *value;
    if (!flow_next(reader, &word, &value, arena, status))
        return status_ok(status) ? flow_fail(reader, status, "the manifest ends too early") : false;
    if (!slice_is(word, table->name) || value->kind != VALUE_MAP)
        return flow_fail(reader, status, "no such record stands here in a manifest");
    return args_parse(table, value, record, &(struct args_reader){ .arena = arena }, status);
}

/* A path within the folder: plain names with a slash between. */
static bool is_inside(const char *path)
{
    for (;; path++) {
        size_t size = strcspn(path, "/");
        if (size == 0 || path[0] == '.')
            return false;
        path += size;
        if (!*path)
            return true;
    }
}

static bool check_end(const struct flow_reader *reader, const char *start, const char *end, const struct record *record,
                      pil_status *status)
{
    if ((int64_t)crc32c(0, start, (size_t)(end - start)) != record->crc32c)
        return status_fail(status, PIL_BAD_DATA, "%s: is damaged: its checksum is wrong", reader->file);
    return reader->rest.size == 0 || flow_fail(reader, status, "something stands behind the manifest's end");
}

static bool read_manifest(struct flow_reader *reader, struct arena *arena, struct manifest *out, pil_status *status)
{
    const char *start = reader->rest.data;
    struct record record;
    if (!next_record(reader, &head_table, arena, &record, status))
        return false;
    if (record.version != VERSION) {
        status_fail(status, PIL_UNSUPPORTED, "%s: an export of version %lld; this library reads version %d", reader->file,
                    (long long)record.version, VERSION);
        return status_hint(status, "it was written by a newer version: update the library");
    }
    out->files = arena_alloc(arena, (size_t)record.files * sizeof *out->files, status);
    if (!out->files)
        return false;
    for (size_t count = (size_t)record.files; out->count < count;) {
        if (!next_record(reader, &file_table, arena, &record, status))
            return false;
        if (!is_inside(record.path))
            return flow_fail(reader, status, "a file of the manifest lies outside of its folder");
        if (manifest_find(out, record.path))
            return flow_fail(reader, status, "a file stands in the manifest twice");
        out->files[out->count++] = (struct manifest_file){ record.path, record.bytes, record.crc32c };
    }
    const char *end = reader->rest.data;
    return next_record(reader, &end_table, arena, &record, status) && check_end(reader, start, end, &record, status);
}

const struct manifest_file *manifest_find(const struct manifest *manifest, const char *path)
{
    for (size_t i = 0; i < manifest->count; i++)
        if (strcmp(manifest->files[i].path, path) == 0)
            return &manifest->files[i];
    return NULL;
}

static bool fail_file(const char *path, const char *what, pil_status *status)
{
    status_fail(status, PIL_BAD_DATA, "%s: %s", path, what);
    return status_hint(status, "the export is damaged: export the model again, or copy the folder again");
}

static bool check_file(const char *folder, const struct manifest_file *file, struct arena *arena, pil_status *status)
{
    int64_t bytes, checksum;
    const char *path = path_join(arena, folder, file->path, status);
    if (!path || !file_size(path, &bytes, status))
        return false;
    if (!file_is_regular(path) || bytes != file->bytes)
        return fail_file(path, "is not of the size that the manifest says", status);
    if (strcmp(file->path, DATA_PATH) == 0)
        return true;
    return measure(path, &bytes, &checksum, status) &&
           (checksum == file->crc32c || fail_file(path, "is damaged: its checksum is wrong", status));
}

bool manifest_check(const char *folder, struct arena *arena, struct manifest *out, pil_status *status)
{
    static const char *const needed[] = { GRAPH_PATH, INDEX_PATH, DATA_PATH };
    const char *path = path_join(arena, folder, MANIFEST_PATH, status);
    struct file_data data;
    *out = (struct manifest){ 0 };
    if (!path || !file_load(path, &data, status))
        return false;
    struct flow_reader reader = { .rest = slice_of(data.data, data.size), .file = path };
    bool done = read_manifest(&reader, arena, out, status);
    file_unload(&data);
    if (!done && status->code == PIL_INVALID_ARGUMENT) /* whoever reads the file has not written it */
        status->code = PIL_BAD_DATA;
    for (size_t i = 0; done && i < COUNT_OF(needed); i++)
        done = manifest_find(out, needed[i]) || status_fail(status, PIL_BAD_DATA, "%s: does not name %s", path, needed[i]);
    for (size_t i = 0; done && i < out->count; i++)
        done = check_file(folder, &out->files[i], arena, status);
    return done;
}

bool manifest_load(const char *folder, const struct manifest_file *file, struct file_data *data, pil_status *status)
{
    struct arena *arena = arena_new(status);
    const char *path = arena ? path_join(arena, folder, file->path, status) : NULL;
    bool done = path && file_load(path, data, status);
    if (done && ((int64_t)data->size != file->bytes || (int64_t)crc32c(0, data->data, data->size) != file->crc32c)) {
        file_unload(data);
        done = fail_file(path, "is damaged: its checksum is wrong", status);
    }
    arena_free(arena);
    return done;
}
