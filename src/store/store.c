/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The variables' memory. Declaring only collects; store_allocate knows all variables, so it can lay them side by side:
 *
 *     group's block    | hiddenlayer_0/kernel, rows padded to 16 | bias | hiddenlayer_1/kernel ...   each rounded to 16 floats
 *     slot 0's block   | the same places                         |      |
 *     a table's row    | w 0..dim | slot 0 | slot 1 | gap to the stride |
 *
 * A block is updated as one array, pads and gaps included. That is right only as long as an update with w = 0, gradient 0
 * and untouched slots gives w = 0 again. With the slots' initial values in the pads it does, for every formula whose
 * epsilon is not 0 where its slot starts at 0 (such a formula makes real weights NaN as well).
 */
#include "store/store.h"

#include <inttypes.h>
#include <string.h>

struct store {
    struct arena *arena; /* variables, names */
    struct variable **sorted, **declared;
    size_t count, sorted_capacity, declared_capacity;
    struct store_block *blocks;
    int groups;
    void **memory; /* every block of memory that is owned */
    size_t memory_count, memory_capacity;
    int64_t bytes;
    bool allocated;
};

struct store *store_new(pil_status *status)
{
    struct store *store = mem_new(sizeof *store, status);
    if (store == NULL)
        return NULL;
    store->arena = arena_new(status);
    if (store->arena == NULL) {
        mem_free(store);
        return NULL;
    }
    return store;
}

void store_free(struct store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < store->memory_count; i++)
        mem_free(store->memory[i]);
    mem_free(store->memory);
    mem_free(store->blocks);
    mem_free(store->sorted);
    mem_free(store->declared);
    arena_free(store->arena);
    mem_free(store);
}

/* ---- declaring ----------------------------------------------------------------------------------------------- */

/* Where a name is or belongs among the sorted ones. */
static size_t find_place(const struct store *store, const char *name, bool *found)
{
    size_t low = 0, high = store->count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(store->sorted[middle]->name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const char *layout_name(enum store_layout layout)
{
    return layout == STORE_DENSE ? "dense" : layout == STORE_TABLE ? "table" : "plain";
}

static bool same_declaration(const struct variable *variable, enum dtype dtype, struct shape shape, enum store_layout layout,
                             pil_status *status)
{
    char there[128], here[128];
    if (variable->dtype == dtype && variable->layout == layout && shape_equal(variable->shape, shape))
        return true;
    return status_fail(status, PIL_INVALID_ARGUMENT, "variable '%s' is declared twice: as %s %s %s and as %s %s %s",
                       variable->name, layout_name(variable->layout), dtype_name(variable->dtype),
                       shape_text(variable->shape, there), layout_name(layout), dtype_name(dtype), shape_text(shape, here));
}

static bool check_declaration(const struct store *store, const char *name, enum dtype dtype, struct shape shape,
                              enum store_layout layout, pil_status *status)
{
    char text[128];
    if (store->allocated)
        return status_fail(status, PIL_INTERNAL, "variable '%s' is declared after the variables got their memory", name);
    if (name[0] == '\0')
        return status_fail(status, PIL_INVALID_ARGUMENT, "a variable needs a name");
    if (dtype_size(dtype) == 0 || (layout != STORE_PLAIN && dtype != DTYPE_FLOAT32))
        return status_fail(status, PIL_INVALID_ARGUMENT, "variable '%s' cannot be %s %s", name, layout_name(layout),
                           dtype_name(dtype));
    if (shape_elements(shape) < 0 || tensor_bytes(dtype, shape, false) > INT64_MAX / 16 ||
        (layout == STORE_TABLE && (shape.rank != 2 || shape.dims[1] == 0)))
        return status_fail(status, PIL_INVALID_ARGUMENT, "variable '%s' cannot have the shape %s", name, shape_text(shape, text));
    return true;
}

struct variable *store_declare(struct store *store, const char *name, enum dtype dtype, struct shape shape,
                               enum store_layout layout, pil_status *status)
{
    bool found;
    size_t place = find_place(store, name, &found);
    if (found)
        return same_declaration(store->sorted[place], dtype, shape, layout, status) ? store->sorted[place] : NULL;
    if (!check_declaration(store, name, dtype, shape, layout, status) ||
        !mem_grow(&store->sorted, &store->sorted_capacity, store->count + 1, sizeof *store->sorted, status) ||
        !mem_grow(&store->declared, &store->declared_capacity, store->count + 1, sizeof *store->declared, status))
        return NULL;
    struct variable *variable = arena_alloc(store->arena, sizeof *variable, status);
    char *copy = variable != NULL ? arena_text(store->arena, name, strlen(name), status) : NULL;
    if (copy == NULL)
        return NULL;
    variable->name = copy;
    variable->dtype = dtype;
    variable->shape = shape;
    variable->layout = layout;
    variable->block_offset = -1;
    memmove(store->sorted + place + 1, store->sorted + place, (store->count - place) * sizeof *store->sorted);
    store->sorted[place] = variable;
    store->declared[store->count++] = variable;
    return variable;
}

bool store_add_slot(struct store *store, struct variable *variable, const char *name, float initial, pil_status *status)
{
    for (int k = 0; k < variable->slot_count; k++) {
        if (strcmp(variable->slots[k].name, name) == 0)
            return true;
    }
    if (store->allocated || variable->slot_count == STORE_MAX_SLOTS || variable->layout == STORE_PLAIN)
        return status_fail(status, PIL_INTERNAL, "variable '%s' cannot get the slot '%s' (%s)", variable->name, name,
                           store->allocated                  ? "its memory is laid out"
                           : variable->layout == STORE_PLAIN ? "it is not trained"
                                                             : "it has three");
    char *copy = arena_text(store->arena, name, strlen(name), status);
    if (copy == NULL)
        return false;
    variable->slots[variable->slot_count++] = (struct store_slot){ copy, initial };
    return true;
}

/* ---- laying out ---------------------------------------------------------------------------------------------- */

static void *own_floats(struct store *store, int64_t floats, pil_status *status)
{
    if (floats > PTRDIFF_MAX / (int64_t)sizeof(float)) {
        status_fail(status, PIL_NO_MEMORY, "the variables are larger than any memory");
        return NULL;
    }
    size_t bytes = (size_t)MAX(floats, PAD) * sizeof(float);
    if (!mem_grow(&store->memory, &store->memory_capacity, store->memory_count + 1, sizeof *store->memory, status))
        return NULL;
    void *block = mem_block(bytes, status);
    if (block == NULL)
        return NULL;
    store->memory[store->memory_count++] = block;
    store->bytes += (int64_t)bytes;
    return block;
}

static void fill(float *values, int64_t count, float value)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = value;
}

static bool in_block(const struct variable *variable)
{
    return variable->layout == STORE_DENSE && (variable->trainable || variable->slot_count > 0);
}

static int64_t dense_floats(const struct variable *variable)
{
    int64_t floats = (int64_t)(tensor_bytes(DTYPE_FLOAT32, variable->shape, false) / sizeof(float));
    return (floats + PAD - 1) / PAD * PAD;
}

/* The block of one group: places in order of declaration, then memory for weights and each slot, then the views. */
static bool lay_out_group(struct store *store, int group, pil_status *status)
{
    struct store_block *block = &store->blocks[group];
    for (size_t i = 0; i < store->count; i++) {
        struct variable *variable = store->declared[i];
        if (!in_block(variable) || variable->group != group)
            continue;
        variable->block_offset = block->floats;
        block->floats += dense_floats(variable); /* each at most 2^57, and memory for 2^62 fails below */
        block->slot_count = MAX(block->slot_count, variable->slot_count);
        if (block->floats > INT64_MAX / 16)
            return status_fail(status, PIL_NO_MEMORY, "the variables are larger than any memory");
    }
    if (block->floats == 0)
        return true;
    block->weights = own_floats(store, block->floats, status);
    for (int k = 0; k < block->slot_count && block->weights != NULL; k++) {
        block->slots[k] = own_floats(store, block->floats, status);
        if (block->slots[k] == NULL)
            return false;
    }
    if (block->weights == NULL)
        return false;
    for (size_t i = 0; i < store->count; i++) {
        struct variable *variable = store->declared[i];
        if (!in_block(variable) || variable->group != group)
            continue;
        variable->value = tensor_view(block->weights + variable->block_offset, DTYPE_FLOAT32, variable->shape, false);
        for (int k = 0; k < variable->slot_count; k++) {
            variable->slot_data[k] = block->slots[k] + variable->block_offset;
            fill(variable->slot_data[k], dense_floats(variable), variable->slots[k].initial);
        }
    }
    return true;
}

/* Floats between rows. A row of one to four floats must not be spread over two cache lines, and longer ones should not touch
 * one more than they need: rows of 12 mod 16 are rounded up to whole lines, which costs a third at most. */
static int64_t table_stride(int64_t floats)
{
    if (floats <= 2)
        return floats;
    int64_t stride = (floats + 3) / 4 * 4;
    return stride % 16 == 12 ? stride + 4 : stride;
}

static bool lay_out_table(struct store *store, struct variable *variable, pil_status *status)
{
    int64_t rows = variable->shape.dims[0], dim = variable->shape.dims[1];
    variable->slot_stride = dim == 1 ? 1 : (dim + 3) / 4 * 4;
    int64_t stride = table_stride((1 + variable->slot_count) * variable->slot_stride);
    if (rows > 0 && stride > INT64_MAX / 16 / rows)
        return status_fail(status, PIL_NO_MEMORY, "'%s' is larger than any memory", variable->name);
    float *memory = own_floats(store, rows * stride, status);
    if (memory == NULL)
        return false;
    variable->value = (struct tensor){
        .data = memory, .dtype = DTYPE_FLOAT32, .shape = variable->shape, .rows = rows, .cols = dim, .ld = stride
    };
    for (int k = 0; k < variable->slot_count; k++) {
        variable->slot_data[k] = memory + (k + 1) * variable->slot_stride;
        for (int64_t row = 0; row < rows && variable->slots[k].initial != 0; row++)
            fill(variable->slot_data[k] + row * stride, variable->slot_stride, variable->slots[k].initial);
    }
    return true;
}

/* By itself: what no optimizer changes. */
static bool lay_out_alone(struct store *store, struct variable *variable, pil_status *status)
{
    size_t item = dtype_size(variable->dtype);
    int64_t bytes = variable->layout == STORE_DENSE ? dense_floats(variable) * (int64_t)sizeof(float)
                                                    : shape_elements(variable->shape) * (int64_t)item;
    void *memory = own_floats(store, (bytes + 3) / 4, status);
    if (memory == NULL)
        return false;
    variable->value = tensor_view(memory, variable->dtype, variable->shape, false);
    if (variable->layout == STORE_PLAIN)
        variable->value.ld = variable->value.cols;
    /* A hyper-parameter has the model's value before anything is restored: restoring compares. */
    if (variable->layout == STORE_PLAIN && variable->dtype == DTYPE_FLOAT32 &&
        variable->initializer.kind == PIL_INITIALIZER_CONSTANT)
        fill(memory, shape_elements(variable->shape), variable->initializer.a);
    return true;
}

bool store_allocate(struct store *store, pil_status *status)
{
    if (store->allocated)
        return status_fail(status, PIL_INTERNAL, "the variables have their memory already");
    for (size_t i = 0; i < store->count; i++) {
        const struct variable *variable = store->declared[i];
        if (variable->group < 0 || variable->group > INT16_MAX)
            return status_fail(status, PIL_INTERNAL, "variable '%s' is of group %d", variable->name, variable->group);
        if (in_block(variable))
            store->groups = MAX(store->groups, variable->group + 1);
    }
    store->blocks = mem_array((size_t)store->groups, sizeof *store->blocks, status);
    if (store->blocks == NULL)
        return false;
    store->allocated = true;
    for (int group = 0; group < store->groups; group++) {
        if (!lay_out_group(store, group, status))
            return false;
    }
    for (size_t i = 0; i < store->count; i++) {
        struct variable *variable = store->declared[i];
        if (in_block(variable))
            continue;
        if (!(variable->layout == STORE_TABLE ? lay_out_table : lay_out_alone)(store, variable, status))
            return false;
    }
    return true;
}

/* ---- first values -------------------------------------------------------------------------------------------- */

enum { PIECE = 1 << 14 }; /* elements a task draws */

struct piece {
    struct variable *variable;
    int64_t first, count;
};
struct drawing {
    const struct piece *pieces;
    uint64_t seed;
    float *scratch;       /* PIECE a worker */
    pil_status *statuses; /* a worker */
};

/* Spreads elements first .. first + count over the rows. */
static void scatter(const struct tensor *to, int64_t first, int64_t count, const float *from)
{
    while (count > 0) {
        int64_t row = first / to->cols, column = first % to->cols, run = MIN(count, to->cols - column);
        memcpy(tensor_floats(to) + row * to->ld + column, from, (size_t)run * sizeof(float));
        from += run;
        first += run;
        count -= run;
    }
}

static void draw(void *context, int64_t index, int worker)
{
    const struct drawing *drawing = context;
    const struct piece *piece = &drawing->pieces[index];
    const struct variable *variable = piece->variable;
    pil_status *status = &drawing->statuses[worker];
    const struct tensor *value = &variable->value;
    bool packed = value->ld == value->cols || value->rows == 1;
    float *scratch = piece->count <= PIECE ? drawing->scratch + (int64_t)worker * PIECE : NULL, *own = NULL;
    if (packed)
        scratch = tensor_floats(value) + piece->first;
    else if (scratch == NULL)
        scratch = own = mem_array((size_t)piece->count, sizeof(float), status);
    if (scratch == NULL)
        return;
    if (!initializer_fill(variable->initializer, random_key(drawing->seed, variable->name), variable->shape, piece->first,
                          piece->count, scratch, status))
        status_prefix(status, "variable '%s': ", variable->name);
    else if (!packed)
        scatter(value, piece->first, piece->count, scratch);
    mem_free(own);
}

/* Elements a piece takes: an orthogonal matrix is drawn as a whole. */
static int64_t piece_size(const struct variable *variable)
{
    return variable->initializer.kind == PIL_INITIALIZER_ORTHOGONAL ? MAX(shape_elements(variable->shape), 1) : PIECE;
}

/* PLAIN zeros are left alone: a step count may have been set already. */
static bool is_drawn(const struct variable *variable)
{
    return variable->dtype == DTYPE_FLOAT32 && !variable->hyper &&
           (variable->layout != STORE_PLAIN || variable->initializer.kind != PIL_INITIALIZER_ZEROS);
}

static bool list_pieces(const struct store *store, struct piece **pieces, size_t *count, pil_status *status)
{
    size_t capacity = 0;
    for (size_t i = 0; i < store->count; i++) {
        struct variable *variable = store->declared[i];
        int64_t elements = is_drawn(variable) ? shape_elements(variable->shape) : 0, size = piece_size(variable);
        for (int64_t first = 0; first < elements; first += size) {
            if (!mem_grow(pieces, &capacity, *count + 1, sizeof **pieces, status))
                return false;
            (*pieces)[(*count)++] = (struct piece){ variable, first, MIN(size, elements - first) };
        }
    }
    return true;
}

bool store_initialize(struct store *store, uint64_t seed, struct threads *threads, pil_status *status)
{
    size_t count = 0;
    int workers = threads != NULL ? threads_count(threads) : 1;
    bool fine = false;
    struct piece *pieces = NULL;
    struct drawing drawing = { .seed = seed };
    if (!list_pieces(store, &pieces, &count, status))
        goto done;
    drawing.pieces = pieces;
    drawing.scratch = mem_block((size_t)workers * PIECE * sizeof(float), status);
    drawing.statuses = mem_array((size_t)workers, sizeof *drawing.statuses, status);
    if (drawing.scratch == NULL || drawing.statuses == NULL)
        goto done;
    if (threads != NULL) {
        threads_run(threads, &(struct job){ draw, &drawing, (int64_t)count }, 1);
    } else {
        for (size_t i = 0; i < count; i++)
            draw(&drawing, (int64_t)i, 0);
    }
    fine = true;
    for (int i = 0; i < workers; i++) {
        if (!status_ok(&drawing.statuses[i]))
            fine = status_fail(status, drawing.statuses[i].code, "%s", drawing.statuses[i].message);
    }
done:
    mem_free(pieces);
    mem_free(drawing.scratch);
    mem_free(drawing.statuses);
    return fine;
}

/* ---- questions ----------------------------------------------------------------------------------------------- */

void store_copy_values(const struct store *from, struct store *to)
{
    for (size_t i = 0; i < store_count(to); i++) {
        struct variable *variable = store_at(to, i);
        const struct variable *other = store_find(from, variable->name);
        bool same = other && other->dtype == variable->dtype && shape_equal(other->shape, variable->shape);
        if (same && variable->layout != STORE_PLAIN && other->layout != STORE_PLAIN)
            tensor_copy(&other->value, &variable->value);
    }
}

struct variable *store_find(const struct store *store, const char *name)
{
    bool found;
    size_t place = find_place(store, name, &found);
    return found ? store->sorted[place] : NULL;
}

size_t store_count(const struct store *store)
{
    return store->count;
}

struct variable *store_at(const struct store *store, size_t i)
{
    return store->sorted[i];
}

struct tensor store_slot_view(const struct variable *variable, int slot)
{
    struct tensor view = variable->value;
    view.data = variable->slot_data[slot];
    return view;
}

struct store_block store_block(const struct store *store, int group)
{
    return group >= 0 && group < store->groups ? store->blocks[group] : (struct store_block){ 0 };
}

int store_groups(const struct store *store)
{
    return store->groups;
}

int64_t store_parameters(const struct store *store)
{
    int64_t total = 0;
    for (size_t i = 0; i < store->count; i++)
        total += store->sorted[i]->trainable ? shape_elements(store->sorted[i]->shape) : 0;
    return total;
}

int64_t store_bytes(const struct store *store)
{
    return store->bytes;
}

static void *scalar(const struct store *store, const char *name, enum dtype dtype)
{
    struct variable *variable = store_find(store, name);
    bool fits = variable != NULL && variable->dtype == dtype && variable->layout == STORE_PLAIN && variable->shape.rank == 0;
    return fits ? variable->value.data : NULL;
}

int64_t *store_int64(struct store *store, const char *name)
{
    return scalar(store, name, DTYPE_INT64);
}

float *store_float32(struct store *store, const char *name)
{
    return scalar(store, name, DTYPE_FLOAT32);
}
