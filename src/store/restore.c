/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring: first everything is compared (names, types, shapes), then everything is read, so that a checkpoint of another
 * model changes nothing. The rules, where TensorFlow's own are followed if there are any:
 *
 *     a variable          must be there, of the same type and shape
 *     its slots           too, when training goes on (options->slots); evaluating needs none
 *     a hyper-parameter   the model's value stays; a difference is told. It need not be there (1.x stores none)
 *     a plain scalar      an optimizer's own count ("training/Ftrl/iter") need not be there
 *     what is there only  is ignored as TensorFlow ignores it, but for a variable of the model itself: then the model has
 *                         lost a part, and training on would lose what that part has learned
 */
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

struct restore {
    struct store *store;
    struct bundle *bundle;
    const char *prefix;
    const struct checkpoint_restore_options *options;
};

/* ---- comparing ----------------------------------------------------------------------------------------------- */

enum { DESCRIPTION = 160 };

/* "[42, 64]", or "float64 [42, 64]" where types differ. */
static const char *describe(enum dtype dtype, struct shape shape, bool with_type, char out[DESCRIPTION])
{
    char text[128];
    snprintf(out, DESCRIPTION, "%s%s%s", with_type ? dtype_name(dtype) : "", with_type ? " " : "", shape_text(shape, text));
    return out;
}

static bool other_model(const struct restore *restore, pil_status *status)
{
    const char *model_dir = restore->options->model_dir;
    return status_hint(status,
                       "start in an empty folder, or take over what fits with --warm-start-from %s (in C: .warm_start_from)",
                       model_dir != NULL ? model_dir : restore->prefix);
}

/* Whether `name` is in the checkpoint as it must be. */
static bool compare(const struct restore *restore, const char *name, const struct variable *variable, bool is_slot,
                    pil_status *status)
{
    char there[DESCRIPTION], here[DESCRIPTION];
    const struct bundle_entry *entry = bundle_find(restore->bundle, name);
    bool with_type = entry != NULL && entry->dtype != variable->dtype;
    if (entry != NULL && !with_type && shape_equal(entry->shape, variable->shape))
        return true;
    describe(variable->dtype, variable->shape, with_type, here);
    if (entry != NULL)
        status_fail(status, PIL_INVALID_ARGUMENT, "%s is of another model: %s is %s there, %s here", restore->prefix, name,
                    describe(entry->dtype, entry->shape, with_type, there), here);
    else if (is_slot)
        status_fail(status, PIL_INVALID_ARGUMENT, "%s was trained with another optimizer: %s is not there", restore->prefix,
                    name);
    else
        status_fail(status, PIL_INVALID_ARGUMENT, "%s is of another model: %s is not there, %s here", restore->prefix, name,
                    here);
    return other_model(restore, status);
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* A hyper-parameter is never needed, an optimizer's count neither; evaluating needs no scalars at all. */
static bool is_needed(const struct restore *restore, const struct variable *variable)
{
    if (variable->layout != STORE_PLAIN)
        return true;
    return restore->options->slots && !variable->hyper && !starts_with(variable->name, "training/");
}

static bool compare_variables(const struct restore *restore, pil_status *status)
{
    const struct store *store = restore->store;
    for (size_t i = 0; i < store_count(store); i++) {
        const struct variable *variable = store_at(store, i);
        bool there = bundle_find(restore->bundle, variable->name) != NULL;
        if ((is_needed(restore, variable) || (there && !variable->hyper)) &&
            !compare(restore, variable->name, variable, false, status))
            return false;
    }
    for (size_t i = 0; restore->options->slots && i < store_count(store); i++) {
        const struct variable *variable = store_at(store, i);
        for (int k = 0; k < variable->slot_count; k++) {
            if (!compare(restore, variable->slots[k].name, variable, true, status))
                return false;
        }
    }
    return true;
}

/* "dnn/logits/bias/t_0/Adagrad" belongs to "dnn/logits/bias", and so does "OptimizeLoss/dnn/logits/bias/Adagrad". */
static bool is_slot_of(const char *name, const char *variable)
{
    size_t size = strlen(variable);
    for (const char *at = name; (at = strstr(at, variable)) != NULL; at++) {
        if ((at == name || at[-1] == '/') && at[size] == '/')
            return true;
    }
    return false;
}

static bool belongs_to_variable(const struct store *store, const char *name)
{
    for (size_t i = 0; i < store_count(store); i++) {
        if (is_slot_of(name, store_at(store, i)->name))
            return true;
    }
    return false;
}

/* "OptimizeLoss/learning_rate" */
static bool is_rate(const struct bundle_entry *entry)
{
    static const char end[] = "/learning_rate";
    size_t size = strlen(entry->name);
    return entry->shape.rank == 0 && size >= sizeof end && strcmp(entry->name + size + 1 - sizeof end, end) == 0;
}

/* Is a tensor that only the checkpoint has a variable of the model? Not: optimizers' (2.x "training/", 1.x slots, powers of
 * beta and rates), counters and graphs of objects (not floats, or named with an underscore), and what Pilaster adds itself. */
static bool is_model_variable(const struct store *store, const struct bundle_entry *entry)
{
    const char *name = entry->name;
    if (entry->dtype != DTYPE_FLOAT32 || name[0] == '_' || starts_with(name, "training/") || starts_with(name, "pilaster/") ||
        strstr(name, "beta1_power") != NULL || strstr(name, "beta2_power") != NULL || is_rate(entry))
        return false;
    return store_find(store, name) == NULL && !belongs_to_variable(store, name);
}

static bool compare_extras(const struct restore *restore, pil_status *status)
{
    for (size_t i = 0; i < bundle_count(restore->bundle); i++) {
        const struct bundle_entry *entry = bundle_at(restore->bundle, i);
        char there[DESCRIPTION];
        if (!is_model_variable(restore->store, entry))
            continue;
        status_fail(status, PIL_INVALID_ARGUMENT, "%s is of another model: %s is %s there, but not here", restore->prefix,
                    entry->name, describe(entry->dtype, entry->shape, false, there));
        return other_model(restore, status);
    }
    return true;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* 1.x stores a slot of a partitioned variable once a part, "<variable>/part_<k>/Ftrl" or "<variable>/t_<k>/Adagrad", each of the
 * whole's shape with only that part's values. The store knows the slot by the name of part 0. The next part's name: */
static bool next_part(struct text *out, const char *name, int k)
{
    static const char *const words[] = { "/part_0/", "/t_0/" };
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        const char *at = strstr(name, words[i]);
        if (at == NULL)
            continue;
        size_t before = (size_t)(at - name), word = strlen(words[i]);
        text_clear(out);
        text_append(out, name, before + word - 2);
        text_format(out, "%d%s", k, at + word - 1);
        return true;
    }
    return false;
}

/* A partitioned tensor is put together in memory of its own, then spread over the rows. */
static bool load_parts(const struct restore *restore, const struct bundle_entry *entry, const struct tensor *values,
                       pil_status *status)
{
    struct text name = { 0 };
    int64_t elements = 0, all = shape_elements(entry->shape);
    const struct bundle_entry *part = entry;
    void *whole = mem_block((size_t)entry->bytes, status);
    bool fine = whole != NULL;
    for (int k = 1; fine && part != NULL && elements < all; k++) {
        int64_t count = 0;
        fine = bundle_read_parts(restore->bundle, part, whole, &count, status);
        elements += count;
        bool more = fine && elements < all && next_part(&name, entry->name, k) && text_ok(&name, status);
        part = more ? bundle_find(restore->bundle, name.data) : NULL;
        if (part != NULL && (part->dtype != entry->dtype || !shape_equal(part->shape, entry->shape)))
            part = NULL;
    }
    fine = fine && status_ok(status);
    if (fine && elements != all)
        fine = status_fail(status, PIL_BAD_DATA, "%s: the parts of '%s' do not make it whole", restore->prefix, entry->name);
    if (fine)
        tensor_unpack(whole, values);
    text_free(&name);
    mem_free(whole);
    return fine;
}

static bool load(const struct restore *restore, const char *name, const struct tensor *values, pil_status *status)
{
    const struct bundle_entry *entry = bundle_find(restore->bundle, name);
    if (entry == NULL)
        return true; /* not needed, or compare would have said so */
    if (entry->partitioned)
        return load_parts(restore, entry, values, status);
    return bundle_read_tensor(restore->bundle, entry, values, status);
}

/* TensorFlow goes on with the rates of the checkpoint; we take the model's and say where they differ. */
static bool tell_difference(const struct restore *restore, const struct variable *variable, pil_status *status)
{
    const struct bundle_entry *entry = bundle_find(restore->bundle, variable->name);
    float there;
    if (entry == NULL || entry->dtype != DTYPE_FLOAT32 || entry->bytes != sizeof there || variable->dtype != DTYPE_FLOAT32)
        return true;
    if (!bundle_read(restore->bundle, entry, &there, status))
        return false;
    float here = *tensor_floats(&variable->value);
    char there_text[32], here_text[32];
    if (memcmp(&here, &there, sizeof here) != 0) {
        print_float(there_text, there);
        print_float(here_text, here);
        log_line(PIL_LOG_WARNING, "%s: %s is %s there and %s in the model, which is used", restore->prefix, variable->name,
                 there_text, here_text);
    }
    return true;
}

static bool load_all(const struct restore *restore, pil_status *status)
{
    bool slots = restore->options->slots, fine = true;
    for (size_t i = 0; fine && i < store_count(restore->store); i++) {
        const struct variable *variable = store_at(restore->store, i);
        if (variable->hyper)
            fine = !slots || tell_difference(restore, variable, status);
        else
            fine = load(restore, variable->name, &variable->value, status);
        for (int k = 0; fine && slots && k < variable->slot_count; k++) {
            struct tensor values = store_slot_view(variable, k);
            fine = load(restore, variable->slots[k].name, &values, status);
        }
    }
    return fine;
}

/* What rides along is read later; that it is damaged must be known before training goes on. */
static bool check_own(const struct restore *restore, pil_status *status)
{
    bool fine = true;
    for (size_t i = 0; fine && i < bundle_count(restore->bundle); i++) {
        const struct bundle_entry *entry = bundle_at(restore->bundle, i);
        fine = !starts_with(entry->name, "pilaster/") || bundle_check(restore->bundle, entry, status);
    }
    return fine;
}

static bool is_whole(const char *prefix)
{
    pil_status status = { 0 };
    struct bundle *bundle = bundle_open(prefix, &status);
    bool fine = bundle != NULL && bundle_verify(bundle, &status);
    bundle_close(bundle);
    return fine;
}

/* Adds to an error the newest checkpoint of the folder, other than `prefix`, whose checksums are right. */
static void hint_good(const char *model_dir, const char *prefix, pil_status *status)
{
    pil_status reason = { 0 };
    struct arena *arena = arena_new(&reason);
    char **prefixes;
    size_t count = 0;
    if (arena == NULL || !checkpoint_list(model_dir, arena, &prefixes, &count, &reason))
        count = 0;
    while (count > 0 && (strcmp(prefixes[count - 1], prefix) == 0 || !is_whole(prefixes[count - 1])))
        count--;
    if (count > 0) {
        status_hint(status, "the newest good checkpoint is %s", prefixes[count - 1]);
        status_hint(status, "to go on from there, make it model_checkpoint_path in %s/checkpoint", model_dir);
    } else if (status_ok(&reason)) {
        status_hint(status, "%s has no other good checkpoint", model_dir);
    }
    arena_free(arena);
}

bool checkpoint_restore(struct store *store, const char *prefix, const struct checkpoint_restore_options *options,
                        pil_status *status)
{
    pil_status reason = { 0 }; /* of its own: only what fails here may get the hint */
    struct restore restore = { store, bundle_open(prefix, &reason), prefix, options };
    bool fine = restore.bundle != NULL && compare_variables(&restore, &reason) &&
                (!options->slots || (compare_extras(&restore, &reason) && check_own(&restore, &reason))) &&
                load_all(&restore, &reason);
    bundle_close(restore.bundle);
    if (fine)
        return true;
    bool damaged = reason.code == PIL_BAD_DATA || reason.code == PIL_NOT_FOUND || reason.code == PIL_IO;
    if (damaged && options->model_dir != NULL)
        hint_good(options->model_dir, prefix, &reason);
    if (status != NULL && status_ok(status))
        *status = reason;
    return false;
}

bool checkpoint_extra(const char *prefix, const char *name, struct arena *arena, struct slice *out, pil_status *status)
{
    bool fine = false;
    struct bundle *bundle = bundle_open(prefix, status);
    const struct bundle_entry *entry = bundle != NULL ? bundle_find(bundle, name) : NULL;
    if (entry == NULL)
        goto done;
    if (entry->dtype != DTYPE_UINT8 || entry->partitioned) {
        status_fail(status, PIL_BAD_DATA, "%s: '%s' is not bytes", prefix, name);
        goto done;
    }
    if (!bundle_check(bundle, entry, status)) /* first: the size may be as wrong as the rest */
        goto done;
    char *copy = arena_alloc(arena, (size_t)entry->bytes + 1, status);
    fine = copy != NULL && bundle_read(bundle, entry, copy, status);
    if (fine)
        *out = slice_of(copy, (size_t)entry->bytes);
done:
    bundle_close(bundle);
    return fine;
}
